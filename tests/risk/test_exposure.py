"""What the engine holds, compared with what it should hold (RULEBOOK 5.14), on random flows with low limits.

The engine keeps exposures as running sums; the oracle (tests/risk/oracle.py) holds nothing and computes them from open
orders and trades.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from exchange.engine.machine import Exchange
from matching.codes import CommandKind, EventKind, Flag, SelfMatch, Side
from matching.records import COMMAND
from tests.build import account, amend, enter
from tests.matching.flow import Flow, engine, random_flow, reference
from tests.risk.flow import special_flow
from tests.risk.oracle import RiskOracle
from tests.venue import Venue

LENGTH = 1500
MOVING = (
    CommandKind.LIMIT,
    CommandKind.CASH,
    CommandKind.LIST,
    CommandKind.SETTLE,
    CommandKind.EXPIRE,
    CommandKind.LIQUIDATE,
)
OPEN, CLOSE, CLOSE_TODAY = Flag.OPEN, Flag.CLOSE, Flag.CLOSE_TODAY


@pytest.mark.compiled
@pytest.mark.parametrize("make, first", [(random_flow, 0), (random_flow, 10), (special_flow, 0), (special_flow, 10)])
def test_5_14_exposures_equal_a_recomputation_and_money_is_conserved(make: Callable[..., Any], first: int) -> None:
    """5.14, 10, 12, 11.3, 11.4: every figure of every account, and the sums of positions, costs and money."""
    held = 0
    for seed in range(first, first + 10):
        flow = make(seed, LENGTH, risk=True)
        exchange, oracle = engine(flow), reference(flow)
        assert isinstance(oracle, RiskOracle)
        paid_in = sum(account.equity for account in flow.accounts)
        for batch in np.array_split(flow.commands, 5):
            events = exchange.apply(batch)
            oracle.apply(batch)
            paid_in += int(events["quantity"][events["kind"] == EventKind.CASH].sum())
            for number in range(len(flow.accounts)):
                for leg in range(len(flow.instruments)):
                    where = f"seed {seed}, account {number}, instrument {leg}"
                    assert figures(exchange, number, leg) == expected_figures(oracle, number, leg), where
                    held += oracle.held[number, leg].position != 0
                row = exchange.account(number)
                assert (int(row.margin_used), int(row.open_orders), int(row.equity)) == (
                    oracle.margin_used(number),
                    len(oracle.open_orders(number)),
                    oracle.accounts[number].equity,
                ), f"seed {seed}"
            ledger = exchange.ledger
            by_instrument = ledger.exposures.reshape(len(flow.accounts), len(flow.instruments))
            assert not by_instrument["position"].sum(axis=0).any() and not by_instrument["cost"].sum(axis=0).any()
            assert sum(map(int, ledger.accounts["equity"])) + int(ledger.hub[0].fees) == paid_in
    assert held > 100


@pytest.mark.parametrize(
    "mode, buys, sells",
    [(SelfMatch.CANCEL_INCOMING, 0, 5), (SelfMatch.CANCEL_RESTING, 4, 0), (SelfMatch.CANCEL_BOTH, 0, 0)],
)
def test_5_14_an_amended_order_that_meets_its_own_group_releases_the_canceled_lots(
    mode: SelfMatch, buys: int, sells: int
) -> None:
    """4.3: whichever of the two is canceled."""
    book = Venue("engine", accounts=[account("A", self_match=mode), account("B")], risk=True)
    book.do(enter(0, Side.SELL, 101, 5), enter(0, Side.BUY, 99, 4))
    assert book.do(amend(0, 2, 101, 4))[0][0] == "amended"
    held = figures(book.machine, 0, 0)
    assert (held["open_buy"], held["open_sell"], held["worst"]) == (buys, sells, max(buys, sells))
    assert book.machine.account(0).open_orders == (buys > 0) + (sells > 0)


def figures(exchange: Exchange, account: int, instrument: int) -> dict[str, int]:
    """The engine's figures for an account in an instrument."""
    row = account * len(exchange.instruments) + instrument
    exposure, gross = exchange.ledger.exposures[row], exchange.ledger.gross[row]
    return {
        name: int(source[name])
        for source, names in (
            (exposure, ("position", "cost", "open_buy", "open_sell", "worst", "volume", "turnover", "value")),
            (
                gross,
                (
                    "long",
                    "short",
                    "long_today",
                    "short_today",
                    "opened",
                    "opening_buy",
                    "opening_sell",
                    "closing_long",
                    "closing_short",
                    "closing_long_today",
                    "closing_short_today",
                ),
            ),
        )
        for name in names
    }


def expected_figures(oracle: RiskOracle, account: int, instrument: int) -> dict[str, int]:
    """The same from positions and open orders."""
    held, apart = (
        oracle.held[account, instrument],
        oracle.terms[instrument].offset and not oracle.terms[instrument].legs,
    )
    lots = oracle.open_lots(account, instrument)

    def open_lots(side: Side, *offsets: Flag) -> int:
        return sum(lots for one, lots, offset in lots if one == side and (not offsets or offset in offsets))

    def of_kind(side: Side, offset: Flag) -> int:
        return open_lots(side, offset) if apart else 0

    return {
        "position": held.position,
        "cost": held.cost,
        "open_buy": open_lots(Side.BUY),
        "open_sell": open_lots(Side.SELL),
        "worst": oracle.worst_case(account, instrument),
        "volume": held.volume,
        "turnover": held.turnover,
        "value": held.value,
        "long": held.long.all,
        "short": held.short.all,
        "long_today": held.long.today,
        "short_today": held.short.today,
        "opened": held.opened,
        "opening_buy": of_kind(Side.BUY, OPEN),
        "opening_sell": of_kind(Side.SELL, OPEN),
        "closing_long": of_kind(Side.SELL, CLOSE),
        "closing_short": of_kind(Side.BUY, CLOSE),
        "closing_long_today": of_kind(Side.SELL, CLOSE_TODAY),
        "closing_short_today": of_kind(Side.BUY, CLOSE_TODAY),
    }


@pytest.mark.compiled
def test_no_limit_is_ever_exceeded_while_limits_stay_as_they_are() -> None:
    """5.11 to 5.13, after every command: fills, cancels and expiry only release."""
    near = 0
    for seed in range(200, 240):
        flow = without_operators(random_flow(seed, LENGTH, risk=True))
        exchange = engine(flow)
        accounts = exchange.ledger.accounts
        exposures = exchange.ledger.exposures.reshape(len(flow.accounts), len(flow.instruments))
        most = np.minimum(
            np.array([account.max_long for account in flow.accounts])[:, None],
            np.array([terms.max_position for terms in flow.instruments]),
        )
        least = np.minimum(
            np.array([account.max_short for account in flow.accounts])[:, None],
            np.array([terms.max_position for terms in flow.instruments]),
        )
        for row in range(LENGTH):
            exchange.apply(flow.commands[row : row + 1])
            long = exposures["position"] + exposures["open_buy"]
            short = exposures["open_sell"] - exposures["position"]
            assert (long <= most).all() and (short <= least).all(), f"seed {seed}, row {row}"
            assert (accounts["margin_used"] <= accounts["equity"]).all(), f"seed {seed}, row {row}"
            assert (accounts["open_orders"] <= accounts["max_open_orders"]).all(), f"seed {seed}, row {row}"
            assert (exposures["open_buy"] >= 0).all() and (exposures["open_sell"] >= 0).all()
            near += int((long == most).sum() + (short == least).sum())
    assert near > 100  # limits were reached, so the test proves something


def without_operators(flow: Flow) -> Flow:
    """The flow without commands that change limits, margin or equity, or ignore them: cancels of nothing replace these."""
    commands = flow.commands.copy()
    for row in np.flatnonzero(np.isin(commands["kind"], MOVING)):
        blank = np.zeros(1, COMMAND)
        blank["sequence"], blank["time"] = commands["sequence"][row], commands["time"][row]
        blank["kind"] = CommandKind.CANCEL
        commands[row] = blank[0]
    return dataclasses.replace(flow, commands=commands)
