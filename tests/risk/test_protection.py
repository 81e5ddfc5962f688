"""RULEBOOK 9.6, market-maker protection, as situations. Each runs over the oracle and over the engine with risk on.

Account 0 is the market maker: 10 lots within 100 ms of the first. Commands come a second apart unless they have a time.
"""

from typing import Any

import pytest

from matching.codes import CommandKind, Limit, Phase, Side
from tests.build import SECOND, account, amend, cancel, enter, instrument, operator
from tests.risk.test_checks import passes, refused
from tests.venue import Venue

BUY, SELL = Side.BUY, Side.SELL
MILLISECOND = SECOND // 1000
NOON = 43_200 * SECOND


@pytest.fixture(params=["reference", "engine"])
def hub(request: pytest.FixtureRequest) -> Venue:
    accounts = [account("A", protection_lots=10, protection_interval=100), *(account(name) for name in "BCD")]
    return Venue(request.param, [instrument("A1"), instrument("B1")], accounts, 100, True)


def sell(quantity: int, time: int = NOON, **fields: Any) -> dict[str, Any]:
    """Account 1 sells to the market maker's bid."""
    return enter(1, SELL, 100, quantity, time=time, **fields)


def limit(which: Limit, value: int) -> dict[str, Any]:
    return operator(CommandKind.LIMIT, which, account=0, quantity=value)


def test_9_6_at_the_lots_allowed_all_orders_of_the_account_are_canceled_in_all_instruments(hub: Venue) -> None:
    hub.do(enter(0, BUY, 100, 12), enter(0, SELL, 105, 3), enter(0, BUY, 99, 4, instrument=1), enter(2, BUY, 99, 1))
    assert hub.do(sell(9)) == [("accepted", 5, 100, 9), ("traded", 5, 1, 100, 9)]
    assert hub.do(sell(1)) == [
        ("accepted", 6, 100, 1),
        ("traded", 6, 1, 100, 1),
        ("canceled", 1, "PROTECTION", 2),
        ("canceled", 2, "PROTECTION", 3),
        ("canceled", 3, "PROTECTION", 4),
    ]
    assert hub.orders() == [(4, 99, 1)]


def test_9_6_orders_in_an_auction_of_entry_only_are_canceled_too(hub: Venue) -> None:
    """8.9: it is the hub that cancels."""
    hub.do(enter(0, BUY, 100, 12), enter(0, BUY, 99, 4, instrument=1))
    hub.do(operator(CommandKind.PHASE, Phase.AUCTION_ENTRY_ONLY, instrument=1))
    assert hub.do(sell(10))[2:] == [("canceled", 1, "PROTECTION", 2), ("canceled", 2, "PROTECTION", 4)]
    refused(hub, amend(0, 2, 99, 4, instrument=1), "PROTECTION_TRIPPED", 10, 10)
    refused(hub, cancel(0, 2, instrument=1), "ENTRY_ONLY", Phase.AUCTION_ENTRY_ONLY, 0)


def test_9_6_new_orders_and_amendments_are_refused_until_the_reset_and_others_trade_on(hub: Venue) -> None:
    hub.do(enter(0, BUY, 100, 12), sell(11))
    refused(hub, enter(0, BUY, 99, 1), "PROTECTION_TRIPPED", 11, 10)
    refused(hub, amend(0, 1, 99, 1), "PROTECTION_TRIPPED", 11, 10)
    assert hub.do(cancel(0, 1))[0][:2] == ("rejected", "UNKNOWN_ORDER")
    passes(hub, enter(2, BUY, 99, 1))
    hub.do(limit(Limit.PROTECTION_LOTS, 0))
    refused(hub, enter(0, BUY, 99, 1), "PROTECTION_TRIPPED", 11, 0)
    hub.do(limit(Limit.PROTECTION_LOTS, 5), limit(Limit.PROTECTION_RESET, 0))
    later = NOON + 60_000 * MILLISECOND
    assert hub.last(enter(0, BUY, 100, 8), sell(4, later)) == [("accepted", 12, 100, 4), ("traded", 12, 11, 100, 4)]
    assert hub.do(sell(1, later))[-1] == ("canceled", 11, "PROTECTION", 3)


def test_9_6_the_interval_begins_with_the_first_lots_and_its_end_still_belongs_to_it(hub: Venue) -> None:
    hub.do(enter(0, BUY, 100, 100), sell(5), sell(4, NOON + 60 * MILLISECOND))
    assert len(hub.orders()) == 1
    hub.do(sell(1, NOON + 100 * MILLISECOND))
    assert hub.orders() == []


def test_9_6_lots_after_the_interval_begin_a_new_count(hub: Venue) -> None:
    hub.do(enter(0, BUY, 100, 100), sell(5), sell(4, NOON + 60 * MILLISECOND), sell(9, NOON + 100 * MILLISECOND + 1))
    assert len(hub.orders()) == 1
    hub.do(sell(1, NOON + 200 * MILLISECOND + 1))
    assert hub.orders() == []


def test_9_6_what_the_account_trades_as_the_incoming_side_does_not_count(hub: Venue) -> None:
    hub.do(enter(1, SELL, 100, 50), enter(0, BUY, 99, 1))
    assert hub.do(enter(0, BUY, 100, 50))[-1][0] == "traded"
    assert len(hub.orders()) == 1


def test_9_6_lots_of_all_instruments_count_together_and_one_order_may_meet_several(hub: Venue) -> None:
    hub.do(enter(0, BUY, 100, 4), enter(0, BUY, 99, 4), enter(0, BUY, 98, 4), enter(0, BUY, 99, 2, instrument=1))
    hub.do(enter(1, SELL, 99, 2, instrument=1, time=NOON))
    assert hub.do(enter(1, SELL, 99, 8, time=NOON)) == [
        ("accepted", 6, 99, 8),
        ("traded", 6, 1, 100, 4),
        ("traded", 6, 2, 99, 4),
        ("canceled", 3, "PROTECTION", 4),
    ]


def test_9_6_an_order_that_trips_two_accounts_finishes_before_both_are_canceled_in_order(hub: Venue) -> None:
    hub.do(
        operator(CommandKind.LIMIT, Limit.PROTECTION_LOTS, account=2, quantity=3),
        enter(2, BUY, 100, 3),
        enter(0, BUY, 100, 10),
        enter(2, BUY, 95, 1),
        enter(0, BUY, 95, 1),
        enter(3, BUY, 100, 1),
    )
    assert hub.do(sell(14)) == [
        ("accepted", 7, 100, 14),
        ("traded", 7, 2, 100, 3),
        ("traded", 7, 3, 100, 10),
        ("traded", 7, 6, 100, 1),
        ("canceled", 5, "PROTECTION", 1),
        ("canceled", 4, "PROTECTION", 1),
    ]


def test_9_6_an_account_without_protection_is_never_tripped(hub: Venue) -> None:
    hub.do(enter(2, BUY, 100, 1000), sell(999))
    assert hub.orders() == [(1, 100, 1)]


@pytest.mark.parametrize(
    "which, value, bound",
    [
        (Limit.PROTECTION_LOTS, -1, 0),
        (Limit.PROTECTION_LOTS, (1 << 40) + 1, 1 << 40),
        (Limit.PROTECTION_INTERVAL, -1, 0),
        (Limit.PROTECTION_INTERVAL, 86_400_001, 86_400_000),
    ],
)
def test_1_5_protection_out_of_range_is_refused(which: Limit, value: int, bound: int) -> None:
    refused(Venue("engine", risk=True), limit(which, value), "INVALID_VALUE", value, bound)
