"""Stops, icebergs, minimum quantities, dates and OCOs, as situations: RULEBOOK 2.3 and 2.8 to 2.14.

Every test runs over the reference and over the engine (conftest.py). Events are in short form (tests/venue.py).
"""

from typing import Any

import numpy as np
import pytest

from matching.codes import ALL, CommandKind, EventKind, Flag, OrderType, Phase, SelfMatch, Side, TimeInForce
from tests.build import account, amend, cancel, enter, instrument, operator
from tests.venue import OpenVenue

BUY, SELL = Side.BUY, Side.SELL
GTC, IOC, FOK, GTD = TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK, TimeInForce.GTD
SESSION, OPENING, DAY = TimeInForce.SESSION, TimeInForce.OPENING, TimeInForce.DAY
MARKET = {"order_type": OrderType.MARKET}
PARKED, POST_ONLY = int(Flag.PARKED), Flag.POST_ONLY


def stop(account: int, side: Side, trigger_price: int, quantity: int, **fields: Any) -> dict[str, Any]:
    """A STOP order: a MARKET order once triggered."""
    return enter(account, side, 0, quantity, order_type=OrderType.STOP, trigger_price=trigger_price, **fields)


def stop_limit(
    account: int, side: Side, trigger_price: int, price: int, quantity: int, **fields: Any
) -> dict[str, Any]:
    return enter(account, side, price, quantity, order_type=OrderType.STOP_LIMIT, trigger_price=trigger_price, **fields)


def iceberg(account: int, side: Side, price: int, quantity: int, shown: int, **fields: Any) -> dict[str, Any]:
    return enter(account, side, price, quantity, display_quantity=shown, **fields)


def phase(phase: Phase, instrument: int = 0) -> dict[str, Any]:
    return operator(CommandKind.PHASE, phase, instrument=instrument)


def trade_at(price: int, lots: int = 1) -> tuple[dict[str, Any], dict[str, Any]]:
    """Two commands that make this the last price."""
    return enter(3, SELL, price, lots), enter(2, BUY, price, lots)


# Invalid conditions -------------------------------------------------------------------------------

WRONG = [
    ("trigger of a limit order", {"trigger_price": 105}, "INVALID_TRIGGER_PRICE", 105, 0),
    ("trigger of a market order", {"trigger_price": -1, **MARKET}, "INVALID_TRIGGER_PRICE", -1, 0),
    (
        "stop at once or never",
        {"order_type": OrderType.STOP, "trigger_price": 105, "time_in_force": FOK},
        "INVALID_TIME_IN_FORCE",
        FOK,
        0,
    ),
    (
        "stop-limit at once",
        {"order_type": OrderType.STOP_LIMIT, "trigger_price": 105, "time_in_force": IOC},
        "INVALID_TIME_IN_FORCE",
        IOC,
        0,
    ),
    (
        "stop for the opening",
        {"order_type": OrderType.STOP, "trigger_price": 105, "time_in_force": OPENING},
        "INVALID_TIME_IN_FORCE",
        OPENING,
        0,
    ),
    (
        "post-only stop-limit",
        {"order_type": OrderType.STOP_LIMIT, "trigger_price": 105, "flags": POST_ONLY},
        "INVALID_FLAGS",
        1,
        0,
    ),
    ("flag of events", {"flags": PARKED}, "INVALID_FLAGS", PARKED, 0),
    ("shows less than a hundredth", {"quantity": 500, "display_quantity": 4}, "INVALID_DISPLAY_QUANTITY", 4, 5),
    (
        "shows less than a hundredth, rounded up",
        {"quantity": 501, "display_quantity": 5},
        "INVALID_DISPLAY_QUANTITY",
        5,
        6,
    ),
    ("shows less than nothing", {"display_quantity": -1}, "INVALID_DISPLAY_QUANTITY", -1, 0),
    ("shows more than all", {"display_quantity": 6}, "INVALID_DISPLAY_QUANTITY", 6, 5),
    ("hides a market order", {"display_quantity": 2, **MARKET}, "INVALID_DISPLAY_QUANTITY", 2, 0),
    (
        "hides a stop",
        {"display_quantity": 2, "order_type": OrderType.STOP, "trigger_price": 105},
        "INVALID_DISPLAY_QUANTITY",
        2,
        0,
    ),
    ("hides at once", {"display_quantity": 2, "time_in_force": IOC}, "INVALID_DISPLAY_QUANTITY", 2, 0),
    ("hides for the opening", {"display_quantity": 2, "time_in_force": OPENING}, "INVALID_DISPLAY_QUANTITY", 2, 0),
    ("minimum of an order that rests", {"minimum_quantity": 1}, "INVALID_MINIMUM_QUANTITY", 1, 0),
    ("minimum of fill-or-kill", {"minimum_quantity": 1, "time_in_force": FOK}, "INVALID_MINIMUM_QUANTITY", 1, 0),
    ("minimum beyond all", {"minimum_quantity": 6, "time_in_force": IOC}, "INVALID_MINIMUM_QUANTITY", 6, 5),
    ("minimum below nothing", {"minimum_quantity": -1, "time_in_force": IOC}, "INVALID_MINIMUM_QUANTITY", -1, 0),
    ("date of an order without", {"expire_date": 20270104}, "INVALID_EXPIRE_DATE", 20270104, 0),
    ("no date", {"time_in_force": GTD}, "INVALID_EXPIRE_DATE", 0, 1),
    ("counterparty in an order book", {"counterparty": 2}, "INVALID_COUNTERPARTY", 2, 0),
    ("link of an order at once", {"order_id": 1, "time_in_force": IOC}, "INVALID_LINK", 1, 0),
    ("link of a market order", {"order_id": 1, **MARKET}, "INVALID_LINK", 1, 0),
    ("link of an opening order", {"order_id": 1, "time_in_force": OPENING}, "INVALID_LINK", 1, 0),
    ("link with nothing", {"order_id": 77}, "UNKNOWN_ORDER", 77, 0),
    ("link with below nothing", {"order_id": -1}, "UNKNOWN_ORDER", -1, 0),
    ("link with another's order", {"order_id": 2}, "UNKNOWN_ORDER", 2, 0),
    ("link with the other side", {"order_id": 3}, "UNKNOWN_ORDER", 3, 0),
    ("opening order outside of an auction", {"time_in_force": OPENING}, "ONLY_IN_AUCTION", Phase.CONTINUOUS, 0),
    ("trigger reached, buy", {"order_type": OrderType.STOP, "trigger_price": 100}, "TRIGGER_REACHED", 100, 100),
    (
        "trigger reached, sell",
        {"order_type": OrderType.STOP, "trigger_price": 100, "side": SELL},
        "TRIGGER_REACHED",
        100,
        100,
    ),
    ("trigger above", {"order_type": OrderType.STOP, "trigger_price": 111}, "TRIGGER_ABOVE_BAND", 111, 110),
    ("trigger below", {"order_type": OrderType.STOP, "trigger_price": 89, "side": SELL}, "TRIGGER_BELOW_BAND", 89, 90),
    (
        "limit of a stop-limit",
        {"order_type": OrderType.STOP_LIMIT, "trigger_price": 111, "price": 120},
        "PRICE_ABOVE_BAND",
        120,
        110,
    ),
    (
        "trigger before the band",
        {"order_type": OrderType.STOP, "trigger_price": -(1 << 63)},
        "TRIGGER_REACHED",
        -(1 << 63),
        100,
    ),
]


@pytest.mark.parametrize("change, reason, value, bound", [case[1:] for case in WRONG], ids=[case[0] for case in WRONG])
def test_1_5_and_2_9_to_2_14_a_condition_that_an_order_may_not_have_is_refused(
    venue: OpenVenue, change: dict[str, Any], reason: str, value: int, bound: int
) -> None:
    book = venue()
    book.do(enter(0, BUY, 91, 1), enter(1, BUY, 91, 1), enter(0, SELL, 109, 1))
    before = book.memory()
    assert book.do(enter(0, BUY, 95, 5) | change) == [("rejected", reason, value, bound)]
    assert book.memory() == before


# 2.8


def test_2_8_parked_orders_count_for_the_pool(venue: OpenVenue) -> None:
    book = venue(max_orders=2)
    book.do(stop(0, BUY, 105, 1), enter(0, BUY, 99, 1))
    assert book.do(enter(1, BUY, 98, 1)) == [("rejected", "BOOK_FULL", 2, 2)]
    assert book.do(cancel(0, 1), enter(1, BUY, 98, 1))[-1] == ("accepted", 5, 98, 1)


def test_2_8_icebergs_and_parked_orders_use_an_allowance_until_they_end(venue: OpenVenue) -> None:
    """Six orders and 1,030 rows: five icebergs take 1,020, a parked order 8 more; two rows are left."""
    book = venue(max_orders=6)
    book.do(*(iceberg(0, BUY, 99, 10, 5) for _ in range(4)))
    assert book.do(stop_limit(0, BUY, 105, 106, 10, display_quantity=5)) == [("accepted", 5, 106, 10)]
    assert book.do(stop(1, BUY, 105, 1)) == [("rejected", "BOOK_FULL", 1036, 1030)]
    assert book.do(iceberg(1, BUY, 99, 10, 5)) == [("rejected", "BOOK_FULL", 1232, 1030)]
    assert book.do(iceberg(1, BUY, 99, 10, 10)) == [("accepted", 8, 99, 10)]
    book.do(cancel(1, 8), cancel(0, 1))
    assert book.do(iceberg(1, BUY, 99, 10, 5))[0] == ("accepted", 11, 99, 10)


def test_2_8_a_triggered_order_keeps_its_part_of_the_allowance_until_it_ends(venue: OpenVenue) -> None:
    """The fifth iceberg uses the allowance up to 1,020 of 1,033. The two orders that were parked keep 8 each."""
    book = venue(max_orders=9)
    book.do(
        *(iceberg(0, BUY, 91, 10, 5) for _ in range(4)),
        stop_limit(0, BUY, 105, 106, 3),
        stop_limit(0, BUY, 105, 106, 3),
        *trade_at(105),
    )
    assert book.orders()[:2] == [(5, 106, 3), (6, 106, 3)]
    assert book.do(iceberg(1, BUY, 91, 10, 5)) == [("rejected", "BOOK_FULL", 4 * 204 + 16 + 204, 1033)]
    book.do(cancel(0, 5))
    assert book.do(iceberg(1, BUY, 91, 10, 5))[0] == ("accepted", 11, 91, 10)


# 2.9 Parked


def test_2_9_a_stop_order_is_parked_and_in_no_level(venue: OpenVenue) -> None:
    book = venue()
    events = book.events(
        stop(0, BUY, 105, 3, flags=Flag.LABEL) | {"price": 7}, stop_limit(1, SELL, 95, 94, 2, client_order_id=b"x")
    )
    emitted = (
        "kind",
        "order_id",
        "price",
        "quantity",
        "leaves_quantity",
        "resting_price",
        "flags",
        "side",
        "client_order_id",
    )
    assert events[list(emitted)].tolist() == [
        (EventKind.ACCEPTED, 1, 0, 3, 3, 105, PARKED | Flag.LABEL, BUY, b""),
        (EventKind.ACCEPTED, 2, 94, 2, 2, 95, PARKED, SELL, b"x"),
    ]
    assert book.orders() == []
    assert book.do(enter(2, SELL, 99, 1), enter(2, BUY, 98, 1)) == [("accepted", 3, 99, 1), ("accepted", 4, 98, 1)]


def test_2_9_a_parked_order_is_canceled_like_any_other_and_says_that_it_was_parked(venue: OpenVenue) -> None:
    book = venue()
    book.do(stop(0, BUY, 105, 3), stop_limit(0, SELL, 95, 94, 2))
    assert book.do(cancel(1, 1)) == [("rejected", "UNKNOWN_ORDER", 1, 0)]
    events = book.events(cancel(0, 1), cancel(0, 2))
    assert events[["order_id", "price", "quantity", "flags"]].tolist() == [(1, 0, 3, PARKED), (2, 94, 2, PARKED)]
    assert book.do(cancel(0, 1)) == [("rejected", "UNKNOWN_ORDER", 1, 0)]


@pytest.mark.parametrize("side, passed", [(BUY, 104), (SELL, 96)])
def test_2_9_the_last_trade_counts_for_a_new_trigger(venue: OpenVenue, side: Side, passed: int) -> None:
    book = venue()
    book.do(*trade_at(passed))
    assert book.do(stop(0, side, passed, 1)) == [("rejected", "TRIGGER_REACHED", passed, passed)]
    assert book.do(stop(0, side, passed + (1 if side == BUY else -1), 1)) == [("accepted", 4, 0, 1)]


def test_2_3_mass_cancel_and_expiry_cancel_parked_orders_after_resting_ones_first_trigger_first(
    venue: OpenVenue,
) -> None:
    book = venue([instrument("A1"), instrument("B1")])
    orders = (
        stop(0, SELL, 94, 1),
        stop(0, SELL, 95, 1),
        stop(0, BUY, 106, 1),
        stop(0, BUY, 105, 1),
        stop(1, BUY, 105, 1),
        enter(0, SELL, 108, 1),
        stop(0, BUY, 101, 1, instrument=1),
        enter(0, BUY, 92, 1),
    )
    book.do(*orders)
    expired = book.do(operator(CommandKind.END_DAY))
    assert [event[1] for event in expired] == [8, 6, 4, 5, 3, 2, 1, 7, 8]
    book.do(*orders)  # 10 to 17
    emitted = book.do(operator(CommandKind.MASS_CANCEL, account=0, side=BUY))
    assert [event[1] for event in emitted] == [17, 13, 12, 3]


def test_2_9_amend_of_a_parked_order_sets_price_quantity_and_trigger(venue: OpenVenue) -> None:
    book = venue()
    book.do(stop_limit(0, BUY, 105, 106, 3))
    events = book.events(amend(0, 1, 107, 4, trigger_price=104, flags=Flag.REDUCE_ONLY))
    emitted = ["kind", "price", "quantity", "leaves_quantity", "resting_leaves_quantity", "resting_price", "flags"]
    assert events[emitted].tolist() == [(EventKind.AMENDED, 107, 4, 4, 3, 104, PARKED | Flag.REDUCE_ONLY)]
    assert book.last(*trade_at(104)) == [("accepted", 4, 104, 1), ("traded", 4, 3, 104, 1), ("triggered", 1, 107, 4)]
    assert book.orders() == [(1, 107, 4)]


def test_2_9_amend_of_a_stop_ignores_its_price(venue: OpenVenue) -> None:
    book = venue()
    book.do(stop(0, BUY, 105, 3))
    assert book.do(amend(0, 1, 1 << 50, 3, trigger_price=106)) == [("amended", 1, 0, 3, 3)]


@pytest.mark.parametrize(
    "change, reason, value, bound",
    [
        ({"trigger_price": 100}, "TRIGGER_REACHED", 100, 100),
        ({"trigger_price": 0}, "TRIGGER_REACHED", 0, 100),
        ({"trigger_price": 111}, "TRIGGER_ABOVE_BAND", 111, 110),
        ({"price": 89}, "PRICE_BELOW_BAND", 89, 90),
        ({"quantity": 0}, "INVALID_QUANTITY", 0, 1),
    ],
)
def test_2_9_amend_of_a_parked_order_is_checked_as_its_entry(
    venue: OpenVenue, change: dict[str, int], reason: str, value: int, bound: int
) -> None:
    book = venue()
    book.do(stop_limit(0, BUY, 105, 106, 3))
    before = book.memory()
    assert book.do(amend(0, 1, 106, 3, trigger_price=105) | change) == [("rejected", reason, value, bound)]
    assert book.memory() == before


def test_2_9_amend_of_an_order_that_rests_carries_no_trigger(venue: OpenVenue) -> None:
    book = venue()
    book.do(enter(0, BUY, 99, 3))
    assert book.do(amend(0, 1, 99, 2, trigger_price=105)) == [("rejected", "INVALID_TRIGGER_PRICE", 105, 0)]
    assert book.do(amend(1, 1, 99, 2, trigger_price=105)) == [("rejected", "UNKNOWN_ORDER", 1, 0)]


@pytest.mark.parametrize(
    "price, quantity, trigger, keeps",
    [(106, 3, 105, True), (107, 3, 105, True), (106, 2, 105, True), (106, 4, 105, False), (106, 3, 106, False)],
)
def test_2_9_a_parked_order_keeps_its_place_with_the_same_trigger_and_no_more_lots(
    venue: OpenVenue, price: int, quantity: int, trigger: int, keeps: bool
) -> None:
    book = venue()
    book.do(stop_limit(0, BUY, 105, 106, 3), stop_limit(1, BUY, trigger, 106, 3))
    book.do(amend(0, 1, price, quantity, trigger_price=trigger))
    triggered = [event[1] for event in book.last(*trade_at(106)) if event[0] == "triggered"]
    assert triggered == ([1, 2] if keeps else [2, 1])


# 2.10 Triggered


@pytest.mark.parametrize(
    "side, trigger, last, is_triggered",
    [
        (BUY, 105, 104, False),
        (BUY, 105, 105, True),
        (BUY, 105, 107, True),
        (SELL, 95, 96, False),
        (SELL, 95, 95, True),
        (SELL, 95, 93, True),
    ],
)
def test_2_10_a_trade_at_or_through_the_trigger_triggers_the_order(
    venue: OpenVenue, side: Side, trigger: int, last: int, is_triggered: bool
) -> None:
    emitted = venue().last(stop_limit(0, side, trigger, trigger, 1), *trade_at(last))
    assert (("triggered", 1, trigger, 1) in emitted) is is_triggered


def test_2_10_a_stop_becomes_a_market_order_with_protection(venue: OpenVenue) -> None:
    book = venue([instrument(protection=1)])
    book.do(stop(0, BUY, 101, 5), enter(1, SELL, 102, 2), enter(1, SELL, 103, 2), enter(1, SELL, 104, 2))
    assert book.last(*trade_at(101))[2:] == [
        ("triggered", 1, 103, 5),
        ("traded", 1, 2, 102, 2),
        ("traded", 1, 3, 103, 2),
    ]
    assert book.orders() == [(1, 103, 1), (4, 104, 2)]
    assert book.do(amend(0, 1, 104, 9, trigger_price=105)) == [("rejected", "INVALID_TRIGGER_PRICE", 105, 0)]


def test_2_10_a_stop_limit_rests_at_its_limit_behind_all_there(venue: OpenVenue) -> None:
    book = venue()
    book.do(stop_limit(0, SELL, 98, 99, 5), enter(1, SELL, 99, 2))
    triggered = book.events(*trade_at(98))[-1]
    assert (
        triggered["kind"],
        triggered["order_id"],
        triggered["quantity"],
        triggered["leaves_quantity"],
        triggered["flags"],
        triggered["side"],
    ) == (EventKind.TRIGGERED, 1, 5, 5, 0, SELL)
    assert book.orders() == [(2, 99, 2), (1, 99, 5)]


def test_2_10_buys_lowest_trigger_first_oldest_first(venue: OpenVenue) -> None:
    book = venue()
    book.do(
        stop_limit(0, BUY, 104, 91, 1),
        stop_limit(0, BUY, 103, 91, 1),
        stop_limit(1, BUY, 103, 91, 1),
        stop(0, BUY, 105, 1),
        enter(2, SELL, 106, 1),
    )
    emitted = book.last(*trade_at(105))
    assert [event[1] for event in emitted if event[0] == "triggered"] == [2, 3, 1, 4]
    assert emitted[-1] == ("traded", 4, 5, 106, 1)


def test_2_10_buys_before_sells(venue: OpenVenue) -> None:
    """There are too many buys for one command, so one is still parked when an auction trades that also triggers a sell."""
    book = venue(max_orders=200)
    book.do(*(stop_limit(0, BUY, 101, 91, 1) for _ in range(101)), *trade_at(103))
    book.do(stop_limit(1, SELL, 102, 109, 1), *trade_at(102))
    assert book.do(phase(Phase.CONTINUOUS))[-2:] == [("triggered", 101, 91, 1), ("triggered", 104, 109, 1)]


def test_2_10_sells_highest_trigger_first_oldest_first(venue: OpenVenue) -> None:
    book = venue()
    book.do(
        stop_limit(0, SELL, 96, 109, 1),
        stop_limit(0, SELL, 95, 109, 1),
        stop_limit(1, SELL, 96, 109, 1),
        stop_limit(0, SELL, 97, 109, 1),
    )
    assert [event[1] for event in book.last(*trade_at(95)) if event[0] == "triggered"] == [4, 1, 3, 2]


def test_2_10_the_last_price_is_read_again_after_each_trigger(venue: OpenVenue) -> None:
    """The first buy trades at the trigger of the second. The sell far below is not triggered."""
    book = venue()
    book.do(
        stop(0, BUY, 103, 1), stop(0, SELL, 99, 1), stop(1, BUY, 104, 1), enter(2, SELL, 104, 1), enter(2, SELL, 106, 1)
    )
    assert book.last(*trade_at(103))[2:] == [
        ("triggered", 1, 110, 1),
        ("traded", 1, 4, 104, 1),
        ("triggered", 3, 110, 1),
        ("traded", 3, 5, 106, 1),
    ]


def test_2_10_an_amend_that_trades_triggers_too(venue: OpenVenue) -> None:
    book = venue()
    book.do(stop_limit(0, BUY, 103, 103, 1), enter(1, SELL, 104, 1), enter(2, BUY, 99, 1))
    assert book.do(amend(2, 3, 104, 1)) == [
        ("amended", 3, 104, 1, 1),
        ("traded", 3, 2, 104, 1),
        ("triggered", 1, 103, 1),
    ]


def test_2_10_one_command_triggers_a_hundred_orders_and_then_a_call_auction_begins(venue: OpenVenue) -> None:
    book = venue(max_orders=200)
    book.do(*(stop_limit(0, BUY, 103, 91, 1) for _ in range(101)))
    emitted = book.last(*trade_at(103))
    assert [event[1] for event in emitted if event[0] == "triggered"] == list(range(1, 101))
    assert emitted[-1] == ("phase", 0, Phase.CALL_AUCTION, "CASCADE")
    assert book.do(phase(Phase.CONTINUOUS)) == [
        ("auction", 0, 0, 0),
        ("phase", 0, Phase.CONTINUOUS, "NONE"),
        ("triggered", 101, 91, 1),
    ]


def test_2_10_exactly_a_hundred_triggered_orders_begin_no_auction(venue: OpenVenue) -> None:
    book = venue(max_orders=200)
    book.do(*(stop_limit(0, BUY, 103, 91, 1) for _ in range(100)))
    assert book.last(*trade_at(103))[-1] == ("triggered", 100, 91, 1)


@pytest.mark.parametrize(
    "flags, default, then",
    [
        (Flag.SMP_CANCEL_RESTING, SelfMatch.NONE, [("canceled", 2, "SELF_MATCH_RESTING", 2)]),
        (0, SelfMatch.CANCEL_INCOMING, [("canceled", 1, "SELF_MATCH_INCOMING", 1)]),
        (0, SelfMatch.NONE, [("traded", 1, 2, 104, 1)]),
    ],
)
def test_2_10_a_parked_order_keeps_its_self_match_flag_even_if_amended_with_another(
    venue: OpenVenue, flags: int, default: SelfMatch, then: list[Any]
) -> None:
    book = venue(accounts=[account("A", self_match=default), account("B"), account("C"), account("D")])
    book.do(
        stop(0, BUY, 103, 1, flags=flags),
        enter(0, SELL, 104, 2),
        amend(0, 1, 0, 1, trigger_price=103, flags=Flag.SMP_CANCEL_BOTH),
    )
    assert book.last(*trade_at(103))[2:] == [("triggered", 1, 110, 1), *then]


def test_2_10_instruments_do_not_trigger_each_other(venue: OpenVenue) -> None:
    book = venue([instrument("A1"), instrument("B1")])
    book.do(stop(0, BUY, 103, 1, instrument=1))
    assert book.last(*trade_at(105))[-1][0] == "traded"


# 2.11 Icebergs


def test_2_11_an_iceberg_shows_a_part_and_goes_behind_when_that_has_traded(venue: OpenVenue) -> None:
    book = venue()
    assert book.do(iceberg(0, SELL, 100, 8, 3)) == [("accepted", 1, 100, 8), ("displayed", 1, 3, 8)]
    book.do(enter(1, SELL, 100, 2))
    assert book.do(enter(2, BUY, 100, 4)) == [
        ("accepted", 3, 100, 4),
        ("traded", 3, 1, 100, 3),
        ("displayed", 1, 3, 0),
        ("traded", 3, 2, 100, 1),
    ]
    assert book.orders() == [(2, 100, 1), (1, 100, 5)]
    assert book.do(enter(2, BUY, 100, 6)) == [
        ("accepted", 4, 100, 6),
        ("traded", 4, 2, 100, 1),
        ("traded", 4, 1, 100, 3),
        ("displayed", 1, 2, 0),
        ("traded", 4, 1, 100, 2),
    ]
    assert book.orders() == []


def test_2_11_a_part_of_what_it_shows_leaves_it_in_its_place(venue: OpenVenue) -> None:
    book = venue()
    book.do(iceberg(0, SELL, 100, 8, 3), enter(1, SELL, 100, 2))
    assert book.do(enter(2, BUY, 100, 2), enter(2, BUY, 100, 2)) == [
        ("accepted", 3, 100, 2),
        ("traded", 3, 1, 100, 2),
        ("accepted", 4, 100, 2),
        ("traded", 4, 1, 100, 1),
        ("displayed", 1, 3, 0),
        ("traded", 4, 2, 100, 1),
    ]


def test_2_11_the_leaves_quantity_of_a_trade_includes_the_hidden_part(venue: OpenVenue) -> None:
    book = venue()
    book.do(iceberg(0, SELL, 100, 8, 3))
    events = book.events(enter(2, BUY, 100, 2))
    assert events["resting_leaves_quantity"].tolist() == [0, 6]
    refill = book.events(enter(2, BUY, 100, 1))[-1]
    assert (refill["kind"], refill["price"], refill["leaves_quantity"], refill["side"], refill["account"]) == (
        EventKind.DISPLAYED,
        100,
        5,
        SELL,
        0,
    )


def test_2_11_an_order_that_shows_all_is_no_iceberg_and_one_that_trades_first_shows_a_part_of_the_rest(
    venue: OpenVenue,
) -> None:
    book = venue()
    assert book.do(iceberg(0, SELL, 100, 3, 3)) == [("accepted", 1, 100, 3)]
    assert book.do(iceberg(1, BUY, 100, 8, 4)) == [
        ("accepted", 2, 100, 8),
        ("traded", 2, 1, 100, 3),
        ("displayed", 2, 4, 5),
    ]
    assert book.do(enter(0, SELL, 101, 6), iceberg(1, BUY, 101, 8, 4))[-1] == ("displayed", 4, 2, 2)


def test_2_11_what_is_hidden_counts_for_fill_or_kill(venue: OpenVenue) -> None:
    book = venue()
    book.do(iceberg(0, SELL, 100, 8, 3), enter(1, SELL, 101, 1))
    assert book.do(enter(2, BUY, 101, 10, time_in_force=FOK))[-1] == ("canceled", 3, "FOK_NOT_FILLED", 10)
    emitted = book.do(enter(2, BUY, 101, 9, time_in_force=FOK))
    assert sum(event[4] for event in emitted if event[0] == "traded") == 9


@pytest.mark.parametrize("quantity, filled", [(3, True), (4, False)])
def test_4_3_what_an_iceberg_hides_does_not_count_in_front_of_an_own_order_that_ends_it(
    venue: OpenVenue, quantity: int, filled: bool
) -> None:
    """After its refresh it would be behind the own order, which cancels the incoming one."""
    book = venue()
    book.do(iceberg(0, SELL, 100, 8, 3), enter(2, SELL, 100, 1))
    emitted = book.do(enter(2, BUY, 100, quantity, time_in_force=FOK, flags=Flag.SMP_CANCEL_INCOMING))
    assert (emitted[-1][0] == "displayed") is filled
    assert (emitted[-1] == ("canceled", 3, "FOK_NOT_FILLED", quantity)) is not filled


@pytest.mark.parametrize(
    "command, then",
    [
        (cancel(0, 1), [("canceled", 1, "NONE", 5)]),
        (operator(CommandKind.MASS_CANCEL), [("canceled", 1, "MASS_CANCEL", 5), ("mass_canceled", 1)]),
        (enter(0, BUY, 100, 1, flags=Flag.SMP_CANCEL_RESTING), [("canceled", 1, "SELF_MATCH_RESTING", 5)]),
        (amend(0, 1, 100, 3), [("canceled", 1, "AMENDED_TO_FILLED", 5)]),
    ],
)
def test_2_11_before_it_is_canceled_an_iceberg_is_revealed(
    venue: OpenVenue, command: dict[str, Any], then: list[Any]
) -> None:
    book = venue()
    book.do(iceberg(0, SELL, 100, 8, 3), enter(1, BUY, 100, 3))
    emitted = book.do(command)
    assert emitted[emitted.index(("displayed", 1, 5, 3)) :] == [("displayed", 1, 5, 3), *then]


def test_2_11_amended_in_its_place_it_is_revealed_and_shows_what_it_showed(venue: OpenVenue) -> None:
    book = venue()
    book.do(iceberg(0, SELL, 100, 8, 3), enter(1, SELL, 100, 1), enter(2, BUY, 100, 1))
    assert book.do(amend(0, 1, 100, 7)) == [("displayed", 1, 7, 2), ("amended", 1, 100, 7, 6), ("displayed", 1, 2, 6)]
    assert book.do(amend(0, 1, 100, 2)) == [("displayed", 1, 6, 2), ("amended", 1, 100, 2, 1), ("displayed", 1, 1, 1)]
    assert book.orders() == [(1, 100, 1), (2, 100, 1)]


def test_2_11_amended_away_it_shows_anew(venue: OpenVenue) -> None:
    book = venue()
    book.do(iceberg(0, SELL, 100, 8, 3), enter(1, SELL, 100, 1), enter(2, BUY, 100, 1), enter(2, BUY, 99, 2))
    assert book.do(amend(0, 1, 100, 9)) == [("displayed", 1, 7, 2), ("amended", 1, 100, 9, 8), ("displayed", 1, 3, 8)]
    assert book.orders()[1:] == [(2, 100, 1), (1, 100, 8)]
    assert book.do(amend(0, 1, 99, 9)) == [
        ("displayed", 1, 8, 3),
        ("amended", 1, 99, 9, 8),
        ("traded", 1, 4, 99, 2),
        ("displayed", 1, 3, 6),
    ]


def test_2_11_the_new_total_may_not_be_more_than_a_hundred_times_what_it_shows(venue: OpenVenue) -> None:
    book = venue()
    book.do(iceberg(0, SELL, 100, 8, 3))
    before = book.memory()
    assert book.do(amend(0, 1, 100, 301)) == [("rejected", "INVALID_DISPLAY_QUANTITY", 3, 4)]
    assert book.memory() == before
    assert book.do(amend(0, 1, 100, 300))[1] == ("amended", 1, 100, 300, 300)
    book.do(enter(1, BUY, 100, 5))
    assert book.do(amend(0, 1, 100, 296, flags=Flag.OPEN_QUANTITY)) == [("rejected", "INVALID_DISPLAY_QUANTITY", 3, 4)]


def test_2_11_a_parked_iceberg_shows_nothing_before_it_rests(venue: OpenVenue) -> None:
    book = venue()
    assert book.do(stop_limit(0, SELL, 98, 97, 8, display_quantity=3)) == [("accepted", 1, 97, 8)]
    assert book.do(amend(0, 1, 97, 9, trigger_price=98)) == [("amended", 1, 97, 9, 9)]
    assert book.last(enter(1, BUY, 97, 2), *trade_at(98))[2:] == [
        ("triggered", 1, 97, 9),
        ("traded", 1, 3, 97, 2),
        ("displayed", 1, 3, 7),
    ]
    book.do(stop_limit(0, SELL, 91, 92, 8, display_quantity=3))
    assert book.do(cancel(0, 6)) == [("canceled", 6, "NONE", 8)]


# 2.12 Minimum quantity


@pytest.mark.parametrize("minimum, trades", [(5, True), (6, False)])
def test_2_12_an_immediate_order_trades_its_minimum_or_nothing(venue: OpenVenue, minimum: int, trades: bool) -> None:
    book = venue()
    book.do(enter(0, SELL, 100, 2), enter(0, SELL, 101, 3), enter(0, SELL, 102, 3))
    emitted = book.do(enter(1, BUY, 101, 8, time_in_force=IOC, minimum_quantity=minimum))
    if trades:
        assert emitted == [
            ("accepted", 4, 101, 8),
            ("traded", 4, 1, 100, 2),
            ("traded", 4, 2, 101, 3),
            ("canceled", 4, "IOC_REMAINDER", 3),
        ]
    else:
        assert emitted == [("accepted", 4, 101, 8), ("canceled", 4, "MINIMUM_NOT_AVAILABLE", 8)]


def test_2_12_a_market_order_may_have_a_minimum_and_own_orders_do_not_count(venue: OpenVenue) -> None:
    book = venue()
    book.do(enter(0, SELL, 100, 2), enter(1, SELL, 101, 3))
    order = enter(1, BUY, 0, 8, time_in_force=IOC, flags=Flag.SMP_CANCEL_RESTING, **MARKET)
    assert book.do(order | {"minimum_quantity": 3})[-1] == ("canceled", 3, "MINIMUM_NOT_AVAILABLE", 8)
    assert book.do(order | {"minimum_quantity": 2})[1:] == [
        ("traded", 4, 1, 100, 2),
        ("canceled", 2, "SELF_MATCH_RESTING", 3),
        ("canceled", 4, "IOC_REMAINDER", 6),
    ]


# 2.13 Limited life


def test_2_13_a_gtd_order_expires_at_the_end_of_its_date(venue: OpenVenue) -> None:
    book = venue()
    assert book.do(enter(0, BUY, 99, 1, time_in_force=GTD, expire_date=1)) == [("accepted", 1, 99, 1)]
    book.do(operator(CommandKind.BEGIN_DAY, quantity=20270104))
    assert book.do(enter(0, BUY, 99, 1, time_in_force=GTD, expire_date=20270103)) == [
        ("rejected", "INVALID_EXPIRE_DATE", 20270103, 20270104)
    ]
    book.do(
        enter(0, BUY, 98, 1, time_in_force=GTD, expire_date=20270104),
        enter(0, SELL, 109, 1),
        stop(0, SELL, 95, 1, time_in_force=GTD, expire_date=20270104),
        enter(0, BUY, 97, 1, time_in_force=GTD, expire_date=20270105),
    )
    assert book.do(operator(CommandKind.END_DAY)) == [
        ("canceled", 1, "DATE_REACHED", 1),
        ("canceled", 4, "DATE_REACHED", 1),
        ("canceled", 5, "DAY_ENDED", 1),
        ("canceled", 6, "DATE_REACHED", 1),
        ("day_ended", 4),
    ]
    assert book.orders() == [(7, 97, 1)]
    assert book.do(operator(CommandKind.BEGIN_DAY, quantity=20270106), operator(CommandKind.END_DAY))[1:] == [
        ("canceled", 7, "DATE_REACHED", 1),
        ("day_ended", 1),
    ]


def test_2_13_without_a_trading_date_no_date_is_reached(venue: OpenVenue) -> None:
    book = venue()
    book.do(enter(0, BUY, 99, 1, time_in_force=GTD, expire_date=1))
    assert book.do(operator(CommandKind.END_DAY)) == [("day_ended", 0)]


@pytest.mark.parametrize("ends", [Phase.BREAK, Phase.CLOSING, Phase.CLOSED])
def test_2_13_a_session_order_ends_with_the_session_of_its_instrument(venue: OpenVenue, ends: Phase) -> None:
    book = venue([instrument("A1"), instrument("B1")])
    book.do(
        enter(0, BUY, 99, 1, time_in_force=SESSION),
        enter(0, BUY, 98, 1),
        enter(0, SELL, 108, 1, time_in_force=SESSION),
        stop(0, SELL, 95, 1, time_in_force=SESSION),
        stop(0, BUY, 105, 1, time_in_force=SESSION),
        enter(0, BUY, 99, 1, time_in_force=SESSION, instrument=1),
    )
    assert book.do(phase(Phase.HALTED)) == [("phase", 0, Phase.HALTED, "NONE")]
    assert book.do(phase(ends)) == [
        ("canceled", 1, "SESSION_ENDED", 1),
        ("canceled", 3, "SESSION_ENDED", 1),
        ("canceled", 5, "SESSION_ENDED", 1),
        ("canceled", 4, "SESSION_ENDED", 1),
        ("phase", 0, ends, "NONE"),
    ]
    assert book.orders() == [(2, 98, 1)]
    assert book.do(operator(CommandKind.END_DAY))[1] == ("canceled", 6, "DAY_ENDED", 1)


def test_2_13_an_opening_order_lives_until_the_auction_has_traded(venue: OpenVenue) -> None:
    book = venue()
    book.do(
        phase(Phase.CALL_AUCTION),
        enter(0, BUY, 99, 5, time_in_force=OPENING),
        enter(1, SELL, 99, 2),
        enter(0, SELL, 105, 1, time_in_force=OPENING),
        enter(1, BUY, 91, 1),
    )
    assert book.do(phase(Phase.CONTINUOUS)) == [
        ("uncrossed", 2, 5),
        ("traded", 2, 3, 99, 2),
        ("canceled", 2, "AUCTION_ENDED", 3),
        ("canceled", 4, "AUCTION_ENDED", 1),
        ("auction", 99, 2, 3),
        ("phase", 0, Phase.CONTINUOUS, "NONE"),
    ]
    assert book.orders() == [(5, 91, 1)]


def test_2_3_an_opening_order_that_saw_no_auction_expires_with_the_day(venue: OpenVenue) -> None:
    book = venue()
    book.do(phase(Phase.CALL_AUCTION), enter(0, BUY, 99, 5, time_in_force=OPENING), phase(Phase.CLOSED))
    assert book.do(operator(CommandKind.END_DAY)) == [("canceled", 2, "DAY_ENDED", 5), ("day_ended", 1)]


# 2.14 OCO


def test_2_14_when_a_resting_one_trades_the_other_is_canceled_directly_after(venue: OpenVenue) -> None:
    book = venue()
    book.do(enter(0, SELL, 102, 5), enter(0, SELL, 101, 5, order_id=1), enter(1, SELL, 101, 5))
    assert book.do(enter(2, BUY, 101, 7)) == [
        ("accepted", 4, 101, 7),
        ("traded", 4, 2, 101, 5),
        ("canceled", 1, "LINKED", 5),
        ("traded", 4, 3, 101, 2),
    ]
    assert book.orders() == [(3, 101, 3)]


def test_2_14_a_trade_of_one_lot_cancels_the_other_and_the_rest_stays_alone(venue: OpenVenue) -> None:
    book = venue()
    book.do(enter(0, SELL, 101, 5), stop(0, SELL, 95, 5, order_id=1))
    assert book.do(enter(2, BUY, 101, 1)) == [
        ("accepted", 3, 101, 1),
        ("traded", 3, 1, 101, 1),
        ("canceled", 2, "LINKED", 5),
    ]
    assert book.do(enter(0, SELL, 103, 1, order_id=1)) == [("accepted", 4, 103, 1)]


def test_2_14_when_one_is_triggered_the_other_is_canceled_directly_after(venue: OpenVenue) -> None:
    book = venue()
    book.do(enter(0, SELL, 105, 5), stop(0, SELL, 95, 5, order_id=1), enter(1, BUY, 94, 2))
    assert book.last(*trade_at(95))[2:] == [
        ("triggered", 2, 90, 5),
        ("canceled", 1, "LINKED", 5),
        ("traded", 2, 3, 94, 2),
    ]
    assert book.orders() == [(2, 90, 3)]


@pytest.mark.parametrize("first", [enter(0, SELL, 105, 5), stop(0, SELL, 95, 5)])
def test_2_14_when_one_is_canceled_the_other_stays_alone(venue: OpenVenue, first: dict[str, Any]) -> None:
    book = venue()
    book.do(first, enter(0, SELL, 104, 5, order_id=1), cancel(0, 1))
    assert book.do(enter(0, SELL, 106, 5, order_id=2)) == [("accepted", 4, 106, 5)]
    assert book.do(enter(1, BUY, 104, 1))[1:] == [("traded", 5, 2, 104, 1), ("canceled", 4, "LINKED", 5)]


def test_2_14_an_order_is_linked_with_one_other_only(venue: OpenVenue) -> None:
    book = venue()
    book.do(enter(0, SELL, 105, 5), enter(0, SELL, 104, 5, order_id=1))
    for order_id in (1, 2):
        assert book.do(enter(0, SELL, 103, 5, order_id=order_id)) == [("rejected", "ALREADY_LINKED", order_id, 0)]


@pytest.mark.parametrize("bid, left", [(5, []), (2, [(3, 101, 3)])])
def test_2_14_a_new_order_that_trades_at_once_cancels_the_other_before_it_rests(
    venue: OpenVenue, bid: int, left: list[Any]
) -> None:
    book = venue()
    book.do(enter(1, BUY, 101, bid), enter(0, SELL, 105, 5))
    assert book.do(enter(0, SELL, 101, 5, order_id=2)) == [
        ("accepted", 3, 101, 5),
        ("traded", 3, 1, 101, bid),
        ("canceled", 2, "LINKED", 5),
    ]
    assert book.orders() == left
    if left:
        assert book.do(enter(0, SELL, 105, 5, order_id=3)) == [("accepted", 4, 105, 5)]


def test_2_14_a_new_order_canceled_before_it_traded_leaves_the_other_alone(venue: OpenVenue) -> None:
    book = venue()
    book.do(enter(0, BUY, 101, 2), enter(0, SELL, 105, 5))
    assert book.do(enter(0, SELL, 101, 5, order_id=2, flags=Flag.SMP_CANCEL_INCOMING))[-1] == (
        "canceled",
        3,
        "SELF_MATCH_INCOMING",
        5,
    )
    assert book.do(enter(0, SELL, 106, 5, order_id=2)) == [("accepted", 4, 106, 5)]


@pytest.mark.parametrize("enters", [True, False])
def test_2_14_an_order_that_has_traded_cancels_the_other_though_self_match_prevention_cancels_its_rest(
    venue: OpenVenue, enters: bool
) -> None:
    book = venue()
    book.do(
        enter(1, BUY, 101, 2),
        enter(0, BUY, 100, 2),
        enter(0, SELL, 105, 5),
        enter(0, SELL, 106, 5, order_id=3 * (not enters)),
    )
    flags = {"flags": Flag.SMP_CANCEL_INCOMING}
    emitted = book.do(enter(0, SELL, 100, 5, order_id=3, **flags) if enters else amend(0, 4, 100, 5, **flags))
    assert emitted[1:] == [
        ("traded", emitted[0][1], 1, 101, 2),
        ("canceled", emitted[0][1], "SELF_MATCH_INCOMING", 3),
        ("canceled", 3, "LINKED", 5),
    ]


def test_2_14_an_amended_order_stays_linked_and_cancels_the_other_if_it_trades(venue: OpenVenue) -> None:
    book = venue()
    book.do(enter(1, BUY, 99, 2), enter(0, SELL, 105, 5), stop(0, SELL, 95, 5, order_id=2))
    assert book.do(amend(0, 2, 104, 6), amend(0, 3, 0, 6, trigger_price=94)) == [
        ("amended", 2, 104, 6, 6),
        ("amended", 3, 0, 6, 6),
    ]
    assert book.do(amend(0, 2, 99, 6)) == [
        ("amended", 2, 99, 6, 6),
        ("traded", 2, 1, 99, 2),
        ("canceled", 3, "LINKED", 6),
    ]
    assert book.orders() == [(2, 99, 4)]


def test_2_14_an_amended_order_that_self_match_prevention_cancels_leaves_the_other_alone(venue: OpenVenue) -> None:
    book = venue()
    book.do(enter(0, BUY, 99, 2), enter(0, SELL, 105, 5), enter(0, SELL, 106, 5, order_id=2))
    assert book.do(amend(0, 2, 99, 5, flags=Flag.SMP_CANCEL_INCOMING))[-1] == ("canceled", 2, "SELF_MATCH_INCOMING", 5)
    assert book.do(enter(1, BUY, 106, 1)) == [("accepted", 5, 106, 1), ("traded", 5, 3, 106, 1)]


def test_2_14_two_parked_orders_may_be_linked(venue: OpenVenue) -> None:
    book = venue()
    book.do(stop(0, SELL, 95, 5), stop_limit(0, SELL, 96, 109, 5, order_id=1))
    assert book.last(*trade_at(95))[2:] == [("triggered", 2, 109, 5), ("canceled", 1, "LINKED", 5)]


def test_2_14_the_cancel_comes_before_what_the_same_trade_displays(venue: OpenVenue) -> None:
    book = venue()
    book.do(iceberg(0, SELL, 101, 8, 2), iceberg(0, SELL, 102, 8, 2, order_id=1))
    assert book.do(enter(2, BUY, 101, 2)) == [
        ("accepted", 3, 101, 2),
        ("traded", 3, 1, 101, 2),
        ("displayed", 2, 8, 2),
        ("canceled", 2, "LINKED", 8),
        ("displayed", 1, 2, 0),
    ]
    book.do(enter(1, BUY, 99, 1), stop(0, SELL, 91, 5))
    assert book.do(iceberg(0, SELL, 99, 8, 3, order_id=5)) == [
        ("accepted", 6, 99, 8),
        ("traded", 6, 4, 99, 1),
        ("canceled", 5, "LINKED", 5),
        ("displayed", 6, 3, 7),
    ]


@pytest.mark.parametrize("second_price", [100, 101])
@pytest.mark.parametrize("quantity, filled", [(5, True), (6, False)])
def test_2_14_of_an_oco_only_the_better_placed_order_counts_for_fill_or_kill(
    venue: OpenVenue, second_price: int, quantity: int, filled: bool
) -> None:
    book = venue()
    book.do(enter(0, SELL, 100, 3), enter(0, SELL, second_price, 4, order_id=1), enter(1, SELL, 101, 2))
    emitted = book.do(enter(2, BUY, 101, quantity, time_in_force=FOK))
    assert sum(event[4] for event in emitted if event[0] == "traded") == (quantity if filled else 0)
    assert (emitted[-1] == ("canceled", 4, "FOK_NOT_FILLED", quantity)) is not filled


def test_2_14_the_place_counts_not_the_age(venue: OpenVenue) -> None:
    """The older of the two was amended away and back, so it is behind the younger."""
    book = venue()
    book.do(enter(0, SELL, 100, 3), enter(0, SELL, 100, 1, order_id=1), amend(0, 1, 101, 3), amend(0, 1, 100, 3))
    assert book.do(enter(2, BUY, 100, 2, time_in_force=FOK))[-1] == ("canceled", 5, "FOK_NOT_FILLED", 2)


# Whole rows


def test_every_field_of_the_events_of_conditional_orders(venue: OpenVenue) -> None:
    book = venue([instrument("A1"), instrument("B1", protection=2)])
    book.do(
        enter(2, SELL, 102, 1, instrument=1),
        stop(0, BUY, 101, 4, instrument=1, client_order_id=b"stop", flags=Flag.LABEL),
        iceberg(1, SELL, 103, 9, 3, instrument=1, client_order_id=b"ice"),
    )
    events = book.events(enter(3, BUY, 102, 1, instrument=1, client_order_id=b"bid"))
    same = {"sequence": 4, "time": 4_000_000_000, "instrument": 1}
    expected = [
        {
            "kind": EventKind.ACCEPTED,
            "order_id": 4,
            "price": 102,
            "quantity": 1,
            "leaves_quantity": 1,
            "account": 3,
            "side": BUY,
            "client_order_id": b"bid",
        },
        {
            "kind": EventKind.TRADED,
            "order_id": 4,
            "price": 102,
            "quantity": 1,
            "trade_id": 1,
            "account": 3,
            "side": BUY,
            "client_order_id": b"bid",
            "resting_order_id": 1,
            "resting_account": 2,
            "resting_price": 102,
        },
        {
            "kind": EventKind.TRIGGERED,
            "order_id": 2,
            "price": 105,
            "quantity": 4,
            "leaves_quantity": 4,
            "account": 0,
            "side": BUY,
            "client_order_id": b"stop",
        },
        {
            "kind": EventKind.TRADED,
            "order_id": 2,
            "price": 103,
            "quantity": 3,
            "leaves_quantity": 1,
            "trade_id": 2,
            "account": 0,
            "side": BUY,
            "client_order_id": b"stop",
            "resting_order_id": 3,
            "resting_account": 1,
            "resting_price": 103,
            "resting_leaves_quantity": 6,
        },
        {
            "kind": EventKind.DISPLAYED,
            "order_id": 3,
            "price": 103,
            "quantity": 3,
            "leaves_quantity": 6,
            "account": 1,
            "side": SELL,
            "client_order_id": b"ice",
        },
        {
            "kind": EventKind.TRADED,
            "order_id": 2,
            "price": 103,
            "quantity": 1,
            "trade_id": 3,
            "account": 0,
            "side": BUY,
            "client_order_id": b"stop",
            "resting_order_id": 3,
            "resting_account": 1,
            "resting_price": 103,
            "resting_leaves_quantity": 5,
        },
    ]
    rows = np.zeros(len(expected), events.dtype)
    for number, event in enumerate(expected):
        for name, value in {**same, "event_id": int(events["event_id"][0]) + number, **event}.items():
            rows[number][name] = value
    assert events.tolist() == rows.tolist()
    assert events.tobytes() == rows.tobytes()
    assert book.do(operator(CommandKind.MASS_CANCEL, account=ALL, instrument=1)) == [
        ("displayed", 3, 5, 2),
        ("canceled", 3, "MASS_CANCEL", 5),
        ("mass_canceled", 1),
    ]
