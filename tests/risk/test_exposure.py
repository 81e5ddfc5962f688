"""What the engine holds against what it should hold (RULEBOOK 5.14), on random flows with near limits.

The engine keeps exposures as running sums; here they are computed again from the resting orders and the trades.
"""
import dataclasses
from collections import defaultdict

import numpy as np
import pytest

from matching.codes import CommandKind, EventKind, Side
from matching.records import COMMAND
from tests.matching.flow import engine, random_flow

LENGTH = 1500


@pytest.mark.parametrize("first", range(0, 100, 25))
def test_5_14_exposures_equal_a_recomputation_from_open_orders_and_trades(first):
    traded = 0
    for seed in range(first, first + 25):
        flow = random_flow(seed, LENGTH, risk=True)
        exchange = engine(flow)
        events = np.concatenate([exchange.apply(batch) for batch in np.array_split(flow.commands, 5)])
        trades = events[events["kind"] == EventKind.TRADED]
        traded += len(trades)
        positions, costs = holdings(trades)
        for account in range(len(flow.accounts)):
            held = {int(row.instrument): row for row in exchange.positions(account)}
            margin = open_orders = 0
            for number, terms in enumerate(flow.instruments):
                orders = exchange.orders(terms.symbol)
                orders = orders[orders["account"] == account]
                open_orders += len(orders)
                buys = int(orders["leaves_quantity"][orders["side"] == Side.BUY].sum())
                sells = int(orders["leaves_quantity"][orders["side"] == Side.SELL].sum())
                position, cost = positions[account, number], costs[account, number]
                expected = (position, buys, sells, cost)
                row = held.get(number)
                assert expected == ((0, 0, 0, 0) if row is None else tuple(
                    int(row[name]) for name in ("position", "open_buy", "open_sell", "cost"))), f"seed {seed}"
                worst = max(abs(position + buys), abs(position - sells))
                margin += worst * int(exchange.ledger.limits[number]["margin"])
            assert int(exchange.account(account)["margin_used"]) == margin, f"seed {seed}"
            assert int(exchange.account(account)["open_orders"]) == open_orders, f"seed {seed}"
        for number in range(len(flow.instruments)):
            assert sum(positions[account, number] for account in range(len(flow.accounts))) == 0
            assert sum(costs[account, number] for account in range(len(flow.accounts))) == 0
    assert traded > 1000


def test_no_limit_is_ever_exceeded_while_limits_stay_as_they_are():
    """5.11 to 5.13, after every single command: fills, cancels and expiry only ever release."""
    near = 0
    for seed in range(200, 220):
        flow = without_operators(random_flow(seed, LENGTH, risk=True))
        exchange = engine(flow)
        accounts = exchange.ledger.accounts
        exposures = exchange.ledger.exposures.reshape(len(flow.accounts), len(flow.instruments))
        most = np.minimum(np.array([account.max_long for account in flow.accounts])[:, None],
                          np.array([terms.max_position for terms in flow.instruments]))
        least = np.minimum(np.array([account.max_short for account in flow.accounts])[:, None],
                           np.array([terms.max_position for terms in flow.instruments]))
        for row in range(LENGTH):
            exchange.apply(flow.commands[row:row + 1])
            long = exposures["position"] + exposures["open_buy"]
            short = exposures["open_sell"] - exposures["position"]
            assert (long <= most).all() and (short <= least).all(), f"seed {seed}, row {row}"
            assert (accounts["margin_used"] <= accounts["equity"]).all(), f"seed {seed}, row {row}"
            assert (accounts["open_orders"] <= accounts["max_open_orders"]).all(), f"seed {seed}, row {row}"
            assert (exposures["open_buy"] >= 0).all() and (exposures["open_sell"] >= 0).all()
            near += int((long == most).sum() + (short == least).sum())
    assert near > 100                          # limits were reached, not only never met


def holdings(trades):
    """(positions, costs) by (account, instrument) as the trades made them: lots, ticks x lots."""
    positions, costs = defaultdict(int), defaultdict(int)
    names = ("account", "resting_account", "instrument", "side", "quantity", "price")
    for incoming, resting, instrument, side, quantity, price in zip(*(trades[name].tolist() for name in names),
                                                                    strict=True):
        bought = quantity if side == Side.BUY else -quantity
        for account, lots in ((incoming, bought), (resting, -bought)):
            positions[account, instrument] += lots
            costs[account, instrument] += lots * price
    return positions, costs


def without_operators(flow):
    """The flow with LIMIT and CASH rows replaced by cancels of nothing."""
    commands = flow.commands.copy()
    for row in np.flatnonzero(np.isin(commands["kind"], (CommandKind.LIMIT, CommandKind.CASH))):
        blank = np.zeros(1, COMMAND)
        blank["sequence"], blank["time"] = commands["sequence"][row], commands["time"][row]
        blank["kind"] = CommandKind.CANCEL
        commands[row] = blank[0]
    return dataclasses.replace(flow, commands=commands)
