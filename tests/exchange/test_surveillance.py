"""exchange/projections/surveillance.py: what RULEBOOK 9.7 counts of members, and what is reported."""

from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest

from exchange import Exchange
from exchange.projections.surveillance import CONDUCT, Behaviour, Notice, Step, Surveillance, Thresholds
from matching.codes import ALL, CommandKind, EventKind, Flag, Limit, Reason, Side, TimeInForce
from risk.limits import Account
from tests.build import account, amend, cancel, enter, instrument, operator, rows
from tests.exchange.events import accepted, canceled, stream, traded
from tests.matching.flow import Flow, random_flow

BUY, SELL = Side.BUY, Side.SELL
COUNTS = (CONDUCT.names or ())[2:]
MILLISECOND = 1_000_000
LOW = Thresholds(cancels=3, large_cancels=2, large_lots=10, self_trades=2, bursts=1, burst_messages=4)


class Hub:
    def __init__(self, accounts: list[Account] | None = None, instruments: int = 2, **options: Any) -> None:
        self.exchange = Exchange(
            [instrument(f"I{number}") for number in range(instruments)],
            accounts or [account(f"A{number}") for number in range(4)],
            risk=False,
        )
        self.surveillance = Surveillance(self.exchange.instruments, self.exchange.accounts, **options)
        self.last = 0

    def do(self, *commands: dict[str, Any]) -> None:
        block = rows(*commands, start=self.last + 1)
        self.last += len(commands)
        self.surveillance.record(block, self.exchange.apply(block))

    def counts(self, number: int, of: int = 0) -> dict[str, Any]:
        """The counts of an account in an instrument by name, without zeros."""
        return {
            name: int(row[name])
            for row in self.surveillance.conduct(number)
            if row.instrument == of
            for name in COUNTS
            if row[name]
        }

    def reported(self) -> list[Any]:
        return [(notice.account, notice.behaviour, notice.count, notice.step) for notice in self.surveillance.report()]


def begin_day(date: int = 20261105) -> dict[str, Any]:
    return operator(CommandKind.BEGIN_DAY, quantity=date)


# What counts


def test_orders_amendments_cancels_and_trades_are_counted_for_their_account_and_instrument() -> None:
    hub = Hub()
    hub.do(
        enter(0, BUY, 100, 5),
        enter(0, BUY, 99, 5),
        amend(0, 2, 98, 5),
        cancel(0, 2),
        enter(1, SELL, 100, 2),
        enter(0, SELL, 105, 1, instrument=1),
        cancel(0, 77),
        enter(0, BUY, 5000, 1),
    )
    assert hub.counts(0) == {"orders": 2, "amendments": 1, "cancels": 1, "trades": 1, "lots": 2}
    assert hub.counts(1) == {"orders": 1, "trades": 1, "lots": 2}
    assert hub.counts(0, of=1) == {"orders": 1} and hub.counts(2) == {}
    assert [(row.account, row.instrument) for row in hub.surveillance.conduct()] == [(0, 0), (0, 1), (1, 0)]


def test_cancels_by_the_hub_do_not_count() -> None:
    """9.7: remainders, killed FOK orders, self-match prevention, OCOs, expiry, a mass cancel of all accounts"""
    hub = Hub()
    hub.do(
        enter(0, SELL, 103, 1),
        enter(0, BUY, 100, 5, time_in_force=TimeInForce.IOC),
        enter(0, BUY, 100, 5, time_in_force=TimeInForce.FOK),
        enter(0, BUY, 103, 1, flags=Flag.SMP_CANCEL_BOTH),
        enter(0, BUY, 95, 5),
        enter(0, BUY, 96, 5, order_id=5),
        enter(1, SELL, 96, 5),
        enter(0, BUY, 95, 5),
        operator(CommandKind.MASS_CANCEL, account=ALL, instrument=ALL, side=0),
        enter(0, BUY, 95, 5),
        operator(CommandKind.END_DAY),
    )
    assert hub.counts(0) == {"orders": 8, "trades": 1, "lots": 5}


def test_a_mass_cancel_in_the_name_of_the_account_and_an_amendment_to_nothing_count_each_order() -> None:
    hub = Hub(thresholds=LOW)
    hub.do(
        enter(0, BUY, 95, 5),
        enter(0, BUY, 94, 10),
        enter(1, BUY, 93, 10),
        operator(CommandKind.MASS_CANCEL, account=0, instrument=ALL, side=0),
        enter(0, BUY, 95, 5),
        enter(1, SELL, 95, 2),
        amend(0, 5, 95, 2),
    )
    assert hub.counts(0) == {"orders": 3, "cancels": 3, "large_cancels": 1, "trades": 1, "lots": 2}
    assert hub.counts(1) == {"orders": 2, "trades": 1, "lots": 2}


def test_a_cancel_is_large_by_its_open_lots_or_by_a_share_of_the_largest_order() -> None:
    by_lots = Hub(thresholds=LOW)
    by_lots.do(enter(0, BUY, 95, 10), cancel(0, 1), enter(0, BUY, 95, 12), enter(1, SELL, 95, 3), cancel(0, 3))
    assert by_lots.counts(0)["large_cancels"] == 1
    terms = [instrument("A", max_order_quantity=101), instrument("B", max_order_quantity=9)]
    surveillance = Surveillance(terms, [account()], thresholds=Thresholds(large_share=8_000))
    surveillance.record(
        rows(*[{"kind": CommandKind.ENTER}, {"kind": CommandKind.CANCEL}] * 4),
        stream(
            *[
                row
                for number, lots in ((0, 80), (0, 81), (1, 7), (1, 8))
                for row in (
                    [accepted(1, BUY, 95, lots, instrument=number)],
                    [canceled(1, BUY, 95, lots, instrument=number)],
                )
            ]
        ),
    )
    assert surveillance.conduct()["large_cancels"].tolist() == [1, 1]


def test_a_trade_within_an_account_or_its_group_is_a_self_trade_of_each_account() -> None:
    hub = Hub([account("A", group=7), account("B", group=7), account("C"), account("D")])
    hub.do(
        enter(0, SELL, 100, 1),
        enter(1, BUY, 100, 1),
        enter(2, SELL, 100, 2),
        enter(2, BUY, 100, 2),
        enter(2, SELL, 100, 3),
        enter(3, BUY, 100, 3),
    )
    assert [hub.counts(number).get("self_trades") for number in range(4)] == [1, 1, 1, None]
    assert [(hub.counts(number)["trades"], hub.counts(number)["lots"]) for number in range(4)] == [
        (1, 1),
        (1, 1),
        (2, 5),
        (1, 3),
    ]


def test_a_group_that_an_operator_sets_holds_from_then_on() -> None:
    hub = Hub()
    pair = enter(0, SELL, 100, 1), enter(1, BUY, 100, 1)
    hub.do(*pair, *(operator(CommandKind.LIMIT, Limit.GROUP, account=number, quantity=5) for number in (0, 1)), *pair)
    assert hub.counts(0)["self_trades"] == hub.counts(1)["self_trades"] == 1


def test_the_hubs_own_order_of_a_liquidation_is_not_the_members() -> None:
    """11.7"""
    surveillance = Surveillance([instrument()], [account()])
    surveillance.record(
        rows({"kind": CommandKind.ENTER}, {"kind": CommandKind.LIQUIDATE}),
        stream(
            [accepted(1, BUY, 95, 5)],
            [
                canceled(1, BUY, 95, 5, Reason.LIQUIDATION),
                accepted(2, SELL, 90, 4),
                canceled(2, SELL, 90, 4, Reason.IOC_REMAINDER),
            ],
        ),
    )
    assert surveillance.conduct()["orders"].tolist() == [1] and surveillance.conduct()["cancels"].tolist() == [0]


def test_trades_of_an_auction_count_though_prevention_does_not_apply_there() -> None:
    """8.6"""
    surveillance = Surveillance([instrument()], [account(), account()])
    surveillance.record(
        rows({"kind": CommandKind.PHASE}),
        stream(
            [
                {"kind": EventKind.UNCROSSED, "order_id": 1, "side": BUY},
                traded(1, BUY, 100, 5, 0, (2, 99, 0), account=1, resting_account=1),
            ]
        ),
    )
    assert surveillance.conduct()["self_trades"].tolist() == [1]


# Bursts


def burst(hub: Hub, *milliseconds: int) -> int:
    """An order that trades at nothing at each time, in ms."""
    hub.do(*(enter(0, BUY, 95, 1, time_in_force=TimeInForce.IOC, time=10**9 + at * MILLISECOND) for at in milliseconds))
    return hub.surveillance.bursts(0)


def test_a_burst_is_so_many_messages_within_less_than_a_second_wherever_it_begins() -> None:
    assert burst(Hub(thresholds=LOW), 0, 600, 700, 800) == 1
    assert burst(Hub(thresholds=LOW), 0, 600, 700, 1000) == 0
    assert burst(Hub(thresholds=LOW), 0, 600, 700, 1000, 1599) == 1
    assert burst(Hub(thresholds=LOW), *range(7)) == 1  # no message is in two bursts
    assert burst(Hub(thresholds=LOW), *range(8)) == 2


def test_refused_commands_are_no_messages_and_a_mass_cancel_is_one() -> None:
    hub = Hub(thresholds=LOW)
    hub.do(
        *(enter(0, BUY, 95, 1, time=10**9) for _ in range(2)),
        enter(0, BUY, 5000, 1, time=10**9),
        operator(CommandKind.MASS_CANCEL, account=0, instrument=ALL, side=0, time=10**9),
    )
    assert hub.surveillance.bursts(0) == 0
    hub.do(enter(0, BUY, 95, 1, time=10**9))
    assert hub.surveillance.bursts(0) == 1


# Reports


def test_a_threshold_is_reported_with_the_step_that_follows() -> None:
    hub = Hub(thresholds=LOW)
    hub.do(begin_day(), enter(0, BUY, 95, 5), amend(0, 2, 96, 5), amend(0, 2, 95, 5))
    assert hub.reported() == []
    hub.do(cancel(0, 2))
    assert hub.surveillance.report() == [Notice(0, 0, Behaviour.CANCELS, 3, 3, 1, Step.PHONE)]
    assert hub.surveillance.trading_date == 20261105
    hub.do(operator(CommandKind.END_DAY))
    assert len(hub.reported()) == 1  # a day's report can be read until the next begins


def test_each_day_leads_one_step_further_and_a_good_day_does_not() -> None:
    hub = Hub(thresholds=LOW)
    steps = (Step.PHONE, None, Step.WATCH_LIST, Step.OPENING_RESTRICTED, Step.OPENING_RESTRICTED)
    for date, step in enumerate(steps, 20261105):
        hub.do(begin_day(date))
        for number in (0, 1) if step else ():
            hub.do(*(enter(0, BUY, 95, 5, instrument=number) for _ in range(3)))
            hub.do(*(cancel(0, hub.last - back, instrument=number) for back in range(3)))
        assert hub.reported() == ([(0, Behaviour.CANCELS, 3, step)] * 2 if step else [])
    hub.do(begin_day(20261110), *(enter(2, side, 100, 1) for side in (BUY, SELL) * 2))
    assert hub.reported() == [(2, Behaviour.SELF_TRADES, 2, Step.PHONE)]


def test_market_makers_are_counted_but_only_their_programmes_are_reported() -> None:
    hub = Hub(thresholds=LOW, market_makers=[0])
    for number in (0, 1):
        hub.do(*(enter(number, BUY, 95, 20, time=(1 + 10 * number) * 10**9) for _ in range(4)))
        hub.do(*(cancel(number, hub.last - 3 + back) for back in range(4)))
    assert hub.counts(0)["cancels"] == hub.counts(1)["cancels"] == 4
    assert hub.reported() == [
        (1, Behaviour.CANCELS, 4, Step.PHONE),
        (1, Behaviour.LARGE_CANCELS, 4, Step.PHONE),
        (0, Behaviour.PROGRAMME, 1, Step.DECLARE),
        (1, Behaviour.PROGRAMME, 1, Step.DECLARE),
    ]


def test_programme_trading_is_reported_from_ten_bursts_of_ten_messages_on() -> None:
    hub = Hub()
    assert burst(hub, *(second * 1000 for second in range(99) for _ in range(9))) == 0
    assert burst(hub, *(second * 2000 + 200_000 for second in range(9) for _ in range(10))) == 9
    assert hub.reported() == []
    burst(hub, *[300_000] * 10)
    assert hub.surveillance.report() == [Notice(0, ALL, Behaviour.PROGRAMME, 10, 10, 1, Step.DECLARE)]


def test_the_figures_of_a_day_begin_anew_within_a_batch() -> None:
    """11.1"""
    hub = Hub()
    hub.do(
        enter(0, BUY, 95, 5), begin_day(), enter(0, BUY, 95, 5), begin_day(20261106), cancel(0, 3), enter(1, BUY, 95, 1)
    )
    assert (hub.counts(0), hub.counts(1)) == ({"cancels": 1}, {"orders": 1})
    assert hub.surveillance.trading_date == 20261106


# Against a plain replay, over a snapshot, and what is refused


def plain(flow: Flow, batches: list[tuple[np.ndarray, np.ndarray]]) -> Counter[Any]:
    """(account, instrument) -> counts, in plain dictionaries."""
    counts: Counter[Any] = Counter()
    group = {number: (terms.group, number if terms.group is None else 0) for number, terms in enumerate(flow.accounts)}
    for commands, events in batches:
        causes = {int(command["sequence"]): command for command in commands}
        for event in events:
            cause, key = causes[int(event["sequence"])], (int(event["account"]), int(event["instrument"]))
            match EventKind(int(event["kind"])):
                case EventKind.DAY_BEGUN:
                    counts.clear()
                case EventKind.LIMIT if event["side"] == Limit.GROUP:
                    group[key[0]] = (int(event["quantity"]), 0)
                case EventKind.ACCEPTED:
                    counts[(*key, "orders")] += 1
                case EventKind.AMENDED:
                    counts[(*key, "amendments")] += 1
                case EventKind.CANCELED if event["reason"] in (Reason.NONE, Reason.AMENDED_TO_FILLED) or (
                    event["reason"] == Reason.MASS_CANCEL and cause["account"] != ALL
                ):
                    counts[(*key, "cancels")] += 1
                    counts[(*key, "large_cancels")] += int(event["quantity"] >= 5)
                case EventKind.TRADED:
                    sides = {int(event["account"]), int(event["resting_account"])}
                    for side in sides:
                        counts[(side, key[1], "trades")] += 1
                        counts[(side, key[1], "lots")] += int(event["quantity"])
                        counts[(side, key[1], "self_trades")] += len({group[one] for one in sides}) == 1
    return +counts


def pieces(flow: Flow, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    exchange = Exchange(flow.instruments, flow.accounts, risk=False, max_orders=2048)
    rng, at = np.random.default_rng(seed), 0
    while at < len(flow.commands):
        commands = flow.commands[at : at + int(rng.choice((1, 3, 20, 200)))]
        at += len(commands)
        yield commands, exchange.apply(commands)


def told(surveillance: Surveillance) -> Counter[Any]:
    return Counter(
        {
            (int(row.account), int(row.instrument), name): int(row[name])
            for row in surveillance.conduct()
            for name in COUNTS
            if row[name]
        }
    )


@pytest.mark.compiled
@pytest.mark.parametrize("seed", range(8))
def test_it_equals_a_plain_replay_of_the_events(seed: int) -> None:
    flow = random_flow(seed, 1000)
    batches = list(pieces(flow, seed))
    surveillance = Surveillance(flow.instruments, flow.accounts, thresholds=Thresholds(large_lots=5))
    for number, (commands, events) in enumerate(batches):
        surveillance.record(commands, events)
        if number % 20 == 0 or number == len(batches) - 1:
            assert told(surveillance) == plain(flow, batches[: number + 1])
    assert surveillance.event_id == batches[-1][1][-1]["event_id"]


def test_a_snapshot_restores_the_same_state() -> None:
    flow = random_flow(2, 1000)
    batches = list(pieces(flow, 2))
    kept = Surveillance(flow.instruments, flow.accounts, thresholds=LOW)
    for batch in batches[: len(batches) // 2]:
        kept.record(*batch)
    restored = Surveillance(flow.instruments, flow.accounts, thresholds=LOW)
    restored.restore(kept.state())
    assert told(restored) == told(kept) and len(told(kept)) > 5
    for surveillance in (kept, restored):
        for batch in batches[len(batches) // 2 :]:
            surveillance.record(*batch)
    assert told(restored) == told(kept) and restored.report() == kept.report() != []
    assert {name: array.tolist() for name, array in restored.state().items()} == {
        name: array.tolist() for name, array in kept.state().items()
    }


def test_a_snapshot_that_does_not_fit_changes_nothing() -> None:
    kept = Hub(thresholds=LOW)
    kept.do(enter(0, BUY, 95, 1, instrument=1))
    arrays = kept.surveillance.state()
    for hub, message in (
        (kept, "must be new to be restored"),
        (Hub(), r"surveillance_times: has shape \(4, 4\), must be"),
        (Hub(instruments=1, thresholds=LOW), "instruments that do not exist"),
    ):
        before = hub.surveillance.state()
        with pytest.raises(ValueError, match=message):
            hub.surveillance.restore(arrays)
        assert str(hub.surveillance.state()) == str(before)
    with pytest.raises(ValueError, match="snapshot array surveillance_event_id: missing"):
        Hub().surveillance.restore({})


def test_a_batch_that_does_not_continue_is_refused() -> None:
    exchange = Exchange([instrument()], accounts=2, risk=False)
    commands = rows(*(enter(0, BUY, 100, 1) for _ in range(4)))
    events = exchange.apply(commands)
    new = partial(Surveillance, exchange.instruments, exchange.accounts)
    with pytest.raises(ValueError, match="event 2 of command 2"):
        new().record(commands[1:], events[1:])
    with pytest.raises(ValueError, match="event 1 of command 1"):
        new().record(commands[1:], events)


@pytest.mark.parametrize(
    "field", ["cancels", "large_cancels", "large_lots", "self_trades", "bursts", "burst_messages", "burst_ns"]
)
def test_thresholds_that_make_no_sense_are_refused_by_name(field: str) -> None:
    with pytest.raises(ValueError, match=f"thresholds: {field} is 0, must be 1 or more"):
        Thresholds(**{field: 0})


def test_a_share_or_a_market_maker_out_of_range_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="thresholds: large_share is 10001, must be 0 to 10000"):
        Thresholds(large_share=10_001)
    with pytest.raises(ValueError, match="market_makers: 4 given, accounts 0 to 3 exist"):
        Hub(market_makers=[4])
    with pytest.raises(IndexError, match="account: 4 given, 0 to 3 exist"):
        Hub().surveillance.conduct(4)
