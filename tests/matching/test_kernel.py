"""The rules of matching as situations: the smallest book that shows each rule, over the reference and the engine.

Every test runs twice, over ReferenceBook and over Exchange(..., risk=False). Expected events are in short form, one
tuple per event (tests/venue.py); `test_every_field_of_every_event` has whole rows. Numbers are RULEBOOK rules.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from matching.codes import (
    ALL,
    CommandKind,
    EventKind,
    Flag,
    Limit,
    OrderType,
    Phase,
    Reason,
    Scope,
    SelfMatch,
    Side,
    TimeInForce,
)
from matching.records import COMMAND, EVENT
from tests.build import account, amend, cancel, enter, instrument, operator
from tests.venue import OpenVenue

BUY, SELL = Side.BUY, Side.SELL
DAY, GTC, IOC, FOK = TimeInForce.DAY, TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK
OPENING = TimeInForce.OPENING
NONE, INCOMING, RESTING, BOTH = SelfMatch
MARKET = {"order_type": OrderType.MARKET}


# 1 Commands and events

WRONG_ROWS = [
    ("kind", {"kind": 0}, "UNKNOWN_KIND", 0, 0),
    ("kind beyond traders", {"kind": 6}, "UNKNOWN_KIND", 6, 0),
    ("kind below operators", {"kind": 15}, "UNKNOWN_KIND", 15, 0),
    ("kind after the last", {"kind": max(CommandKind) + 1}, "UNKNOWN_KIND", max(CommandKind) + 1, 0),
    ("kind beyond operators", {"kind": 255}, "UNKNOWN_KIND", 255, 0),
    ("instrument", {"instrument": 1}, "UNKNOWN_INSTRUMENT", 1, 0),
    ("instrument below", {"instrument": -2}, "UNKNOWN_INSTRUMENT", -2, 0),
    ("every instrument", {"instrument": ALL}, "UNKNOWN_INSTRUMENT", ALL, 0),
    ("account", {"account": 4}, "UNKNOWN_ACCOUNT", 4, 3),
    ("every account", {"account": ALL}, "UNKNOWN_ACCOUNT", ALL, 3),
    ("no side", {"side": 0}, "INVALID_SIDE", 0, 0),
    ("side", {"side": 3}, "INVALID_SIDE", 3, 0),
    ("no order type", {"order_type": 0}, "INVALID_ORDER_TYPE", 0, 0),
    ("order type", {"order_type": max(OrderType) + 1}, "INVALID_ORDER_TYPE", max(OrderType) + 1, 0),
    ("time in force", {"time_in_force": 5}, "INVALID_TIME_IN_FORCE", 5, 0),
    ("time in force beyond", {"time_in_force": 11}, "INVALID_TIME_IN_FORCE", 11, 0),
    ("flag of events", {"flags": 1024}, "INVALID_FLAGS", 1024, 0),
    ("unknown flag", {"flags": 2048}, "INVALID_FLAGS", 2048, 0),
    ("highest flag", {"flags": 1 << 31}, "INVALID_FLAGS", 1 << 31, 0),
    ("two self-match flags", {"flags": 8 + 16}, "INVALID_FLAGS", 24, 0),
    ("three self-match flags", {"flags": 8 + 16 + 32}, "INVALID_FLAGS", 56, 0),
    ("post-only market", {"flags": 1, **MARKET}, "INVALID_FLAGS", 1, 0),
    ("post-only immediate", {"flags": 1, "time_in_force": IOC}, "INVALID_FLAGS", 1, 0),
    ("post-only fill-or-kill", {"flags": 1, "time_in_force": FOK}, "INVALID_FLAGS", 1, 0),
    ("post-only for the opening", {"flags": 1, "time_in_force": OPENING}, "INVALID_FLAGS", 1, 0),
    ("no quantity", {"quantity": 0}, "INVALID_QUANTITY", 0, 1),
    ("negative quantity", {"quantity": -7}, "INVALID_QUANTITY", -7, 1),
    ("quantity beyond counting", {"quantity": (1 << 44) + 1}, "INVALID_QUANTITY", (1 << 44) + 1, 1 << 44),
    ("below the band", {"price": 89}, "PRICE_BELOW_BAND", 89, 90),
    ("above the band", {"price": 111}, "PRICE_ABOVE_BAND", 111, 110),
    ("far below the band", {"price": -(1 << 63)}, "PRICE_BELOW_BAND", -(1 << 63), 90),
    ("far above the band", {"price": (1 << 63) - 1}, "PRICE_ABOVE_BAND", (1 << 63) - 1, 110),
]


@pytest.mark.parametrize(
    "change, reason, value, bound", [case[1:] for case in WRONG_ROWS], ids=[case[0] for case in WRONG_ROWS]
)
def test_1_5_and_5_6_an_order_that_makes_no_sense_is_refused_with_value_and_bound(
    venue: OpenVenue, change: dict[str, Any], reason: str, value: int, bound: int
) -> None:
    book = venue()
    book.do(enter(1, SELL, 101, 5), enter(2, BUY, 99, 5))
    before = book.memory()
    assert book.do(enter(0, BUY, 105, 5) | change) == [("rejected", reason, value, bound)]
    assert book.memory() == before


@pytest.mark.parametrize(
    "earlier, later",
    list(
        zip(
            (
                {"kind": 99},
                {"instrument": 7},
                {"account": 9},
                {"side": 9},
                {"order_type": 9},
                {"time_in_force": 9},
                {"flags": 1024},
                {"quantity": 0},
                {"trigger_price": 5},
                {"display_quantity": -1},
                {"minimum_quantity": 1},
                {"expire_date": 1},
            ),
            (
                {"instrument": 7},
                {"account": 9},
                {"side": 9},
                {"order_type": 9},
                {"time_in_force": 9},
                {"flags": 1024},
                {"quantity": 0},
                {"trigger_price": 5},
                {"display_quantity": -1},
                {"minimum_quantity": 1},
                {"expire_date": 1},
                {"order_id": 77},
            ),
            strict=True,
        )
    ),
)
def test_1_3_of_two_broken_rules_the_first_is_reported(
    venue: OpenVenue, earlier: dict[str, int], later: dict[str, int]
) -> None:
    alone = venue().do(enter(0, BUY, 100, 5) | earlier)
    assert venue().do(enter(0, BUY, 100, 5) | earlier | later) == alone
    assert alone[0][0] == "rejected"


def test_1_3_phase_comes_before_order_known_before_band_before_book_full_before_post_only(venue: OpenVenue) -> None:
    book = venue(max_orders=1)
    assert book.do(enter(0, SELL, 100, 5)) == [("accepted", 1, 100, 5)]
    post_only = enter(1, BUY, 100, 1, flags=Flag.POST_ONLY)
    assert book.do(post_only) == [("rejected", "BOOK_FULL", 1, 1)]
    assert book.do(post_only | {"price": 111}) == [("rejected", "PRICE_ABOVE_BAND", 111, 110)]
    assert book.do(amend(1, 77, 111, 1)) == [("rejected", "UNKNOWN_ORDER", 77, 0)]
    assert book.last(operator(CommandKind.PHASE, Phase.HALTED), amend(1, 77, 111, 1)) == [
        ("rejected", "INSTRUMENT_HALTED", Phase.HALTED, 0)
    ]


def test_1_5_only_kind_instrument_and_account_of_a_cancel_are_checked(venue: OpenVenue) -> None:
    nonsense = {"side": 9, "order_type": 9, "time_in_force": 9, "flags": 1 << 31, "quantity": -5, "price": 1 << 40}
    book = venue()
    assert book.last(enter(0, BUY, 100, 5), cancel(0, 1) | nonsense) == [("canceled", 1, "NONE", 5)]
    assert book.do(cancel(0, 1, instrument=3)) == [("rejected", "UNKNOWN_INSTRUMENT", 3, 0)]
    assert book.do(cancel(9, 1)) == [("rejected", "UNKNOWN_ACCOUNT", 9, 3)]


def test_1_5_flags_and_quantity_of_an_amend_are_checked_and_its_side_is_the_books(venue: OpenVenue) -> None:
    book = venue()
    book.do(enter(0, BUY, 100, 5))
    assert book.do(amend(0, 1, 99, 5, flags=2048)) == [("rejected", "INVALID_FLAGS", 2048, 0)]
    assert book.do(amend(0, 1, 99, 5, flags=8 + 32)) == [("rejected", "INVALID_FLAGS", 40, 0)]
    assert book.do(amend(0, 1, 99, 0)) == [("rejected", "INVALID_QUANTITY", 0, 1)]
    assert book.do(amend(0, 1, 99, 5, side=SELL, order_type=MARKET["order_type"], time_in_force=IOC)) == [
        ("amended", 1, 99, 5, 5)
    ]
    assert book.orders() == [(1, 99, 5)]


@pytest.mark.parametrize(
    "command, refusal",
    [
        (operator(CommandKind.MASS_CANCEL, side=3), ("INVALID_SIDE", 3, 0)),
        (operator(CommandKind.MASS_CANCEL, instrument=1), ("UNKNOWN_INSTRUMENT", 1, 0)),
        (operator(CommandKind.MASS_CANCEL, instrument=-2), ("UNKNOWN_INSTRUMENT", -2, 0)),
        (operator(CommandKind.MASS_CANCEL, account=4), ("UNKNOWN_ACCOUNT", 4, 3)),
        (operator(CommandKind.PHASE, max(Phase) + 1), ("INVALID_VALUE", max(Phase) + 1, max(Phase))),
        (operator(CommandKind.PHASE, Phase.CLOSED, instrument=1), ("UNKNOWN_INSTRUMENT", 1, 0)),
        (operator(CommandKind.KILL_SWITCH, 4, quantity=1), ("INVALID_VALUE", 4, 3)),
        (operator(CommandKind.KILL_SWITCH, Scope.HUB, quantity=2), ("INVALID_VALUE", 2, 1)),
        (operator(CommandKind.KILL_SWITCH, Scope.HUB, quantity=-1), ("INVALID_VALUE", -1, 0)),
        (operator(CommandKind.KILL_SWITCH, Scope.INSTRUMENT, instrument=1, quantity=1), ("UNKNOWN_INSTRUMENT", 1, 0)),
        (operator(CommandKind.KILL_SWITCH, Scope.ACCOUNT, account=4, quantity=1), ("UNKNOWN_ACCOUNT", 4, 3)),
        (operator(CommandKind.LIMIT, 0), ("INVALID_VALUE", 0, 44)),
        (operator(CommandKind.LIMIT, 14), ("INVALID_VALUE", 14, 44)),
        (operator(CommandKind.LIMIT, 45), ("INVALID_VALUE", 45, 44)),
        (operator(CommandKind.LIMIT, Limit.MAX_LONG, quantity=-1), ("INVALID_VALUE", -1, 0)),
        (operator(CommandKind.LIMIT, Limit.SELF_MATCH, quantity=4), ("INVALID_VALUE", 4, 3)),
        (operator(CommandKind.LIMIT, Limit.ENABLED, quantity=2), ("INVALID_VALUE", 2, 1)),
        (operator(CommandKind.LIMIT, Limit.INSTRUMENT_DAILY_LIMIT, quantity=10_001), ("INVALID_VALUE", 10_001, 10_000)),
        (
            operator(CommandKind.LIMIT, Limit.INSTRUMENT_FEE_RATE, quantity=1_000_001),
            ("INVALID_VALUE", 1_000_001, 1_000_000),
        ),
        (
            operator(CommandKind.LIMIT, Limit.INSTRUMENT_VELOCITY_WINDOW, quantity=86_400_001),
            ("INVALID_VALUE", 86_400_001, 86_400_000),
        ),
        (
            operator(CommandKind.LIMIT, Limit.INSTRUMENT_RESERVE, quantity=-(1 << 41)),
            ("INVALID_VALUE", -(1 << 41), -(1 << 40)),
        ),
        (operator(CommandKind.LIMIT, Limit.MAX_LONG, account=4, quantity=1), ("UNKNOWN_ACCOUNT", 4, 3)),
        (operator(CommandKind.LIMIT, Limit.INSTRUMENT_COLLAR, instrument=1, quantity=1), ("UNKNOWN_INSTRUMENT", 1, 0)),
        (operator(CommandKind.CASH, account=4, quantity=1), ("UNKNOWN_ACCOUNT", 4, 3)),
        (operator(CommandKind.BEGIN_DAY, quantity=0), ("INVALID_VALUE", 0, 1)),
        (operator(CommandKind.BEGIN_DAY, quantity=1_0000_0101), ("INVALID_VALUE", 1_0000_0101, 9999_12_31)),
        (operator(CommandKind.LIST, instrument=1), ("UNKNOWN_INSTRUMENT", 1, 0)),
        (operator(CommandKind.LIST, price=111), ("INVALID_VALUE", 111, 110)),
        (operator(CommandKind.SETTLE, 3), ("INVALID_VALUE", 3, 2)),
        (operator(CommandKind.SETTLE, instrument=ALL), ("UNKNOWN_INSTRUMENT", ALL, 0)),
        (operator(CommandKind.EXPIRE, instrument=ALL), ("UNKNOWN_INSTRUMENT", ALL, 0)),
        (operator(CommandKind.WINDOW, instrument=-2), ("UNKNOWN_INSTRUMENT", -2, 0)),
    ],
)
def test_1_5_an_operator_command_with_an_unknown_index_code_or_value_is_refused(
    venue: OpenVenue, command: dict[str, Any], refusal: tuple[str, int, int]
) -> None:
    book = venue()
    book.do(enter(0, BUY, 100, 5))
    before = book.memory()
    assert book.do(command) == [("rejected", *refusal)]
    assert book.memory() == before


@pytest.mark.parametrize(
    "command, emitted",
    [
        (operator(CommandKind.PHASE, Phase.HALTED), ("phase", 0, Phase.HALTED, "NONE")),
        (operator(CommandKind.WINDOW), ("window", 0)),
        (operator(CommandKind.WINDOW, instrument=ALL), ("window", ALL)),
        (operator(CommandKind.BEGIN_DAY, quantity=2027_01_04), ("day_begun", 2027_01_04)),
        (
            operator(CommandKind.KILL_SWITCH, Scope.ACCOUNT, account=2, quantity=1),
            ("kill_switch", 0, 2, Scope.ACCOUNT, 1),
        ),
        (operator(CommandKind.LIMIT, Limit.MAX_LONG, account=3, quantity=50), ("limit", 0, 3, Limit.MAX_LONG, 50)),
        (
            operator(CommandKind.LIMIT, Limit.INSTRUMENT_MARGIN, quantity=50),
            ("limit", 0, 0, Limit.INSTRUMENT_MARGIN, 50),
        ),
        (operator(CommandKind.CASH, account=1, quantity=-50), ("cash", 0, 1, 0, -50)),
        (operator(CommandKind.END_DAY), ("day_ended", 0)),
        (operator(CommandKind.MASS_CANCEL), ("mass_canceled", 0)),
    ],
)
def test_1_6_an_operator_command_gives_one_event_of_its_own_kind(
    venue: OpenVenue, command: dict[str, Any], emitted: tuple[Any, ...]
) -> None:
    assert venue().do(command) == [emitted]


def test_1_2_kill_switch_and_limits_of_risk_change_nothing_without_risk(venue: OpenVenue) -> None:
    book = venue()
    book.do(
        operator(CommandKind.KILL_SWITCH, Scope.HUB, quantity=1),
        operator(CommandKind.LIMIT, Limit.ENABLED, quantity=0),
        operator(CommandKind.LIMIT, Limit.MAX_ORDER_QUANTITY, quantity=1),
        operator(CommandKind.CASH, quantity=-1),
    )
    assert book.do(enter(0, BUY, 100, 5)) == [("accepted", 5, 100, 5)]


def test_1_4_an_order_is_named_by_the_sequence_that_entered_it_and_never_again(venue: OpenVenue) -> None:
    book = venue()
    assert book.do(enter(0, BUY, 100, 5)) == [("accepted", 1, 100, 5)]
    assert book.do(cancel(0, 1)) == [("canceled", 1, "NONE", 5)]
    assert book.do(cancel(0, 1)) == [("rejected", "UNKNOWN_ORDER", 1, 0)]
    assert book.do(enter(0, BUY, 100, 5)) == [("accepted", 4, 100, 5)]


def test_1_7_events_and_trades_are_numbered_without_gap_over_instruments_and_calls(venue: OpenVenue) -> None:
    book = venue([instrument("A1"), instrument("B1")])
    first = book.events(enter(0, SELL, 100, 5), enter(1, BUY, 100, 2), cancel(3, 77))
    second = book.events(enter(0, SELL, 100, 5, instrument=1), enter(1, BUY, 100, 2, instrument=1))
    emitted = np.concatenate([first, second])
    assert emitted["event_id"].tolist() == list(range(1, len(emitted) + 1))
    assert emitted["trade_id"][emitted["trade_id"] > 0].tolist() == [1, 2]
    assert emitted["sequence"].tolist() == [1, 2, 2, 3, 4, 5, 5]


def test_1_1_no_commands_give_no_events(venue: OpenVenue) -> None:
    events = venue().machine.apply(np.zeros(0, COMMAND))
    assert len(events) == 0
    assert events.dtype == EVENT


# 2 Orders


def test_2_1_what_does_not_trade_rests(venue: OpenVenue) -> None:
    book = venue()
    assert book.last(enter(0, SELL, 101, 2), enter(1, BUY, 101, 5)) == [
        ("accepted", 2, 101, 5),
        ("traded", 2, 1, 101, 2),
    ]
    assert book.orders() == [(2, 101, 3)]


def test_2_1_a_limit_order_trades_at_its_price_or_better_and_no_worse(venue: OpenVenue) -> None:
    book = venue()
    assert book.last(enter(0, SELL, 100, 1), enter(0, SELL, 101, 1), enter(0, SELL, 102, 1), enter(1, BUY, 101, 9)) == [
        ("accepted", 4, 101, 9),
        ("traded", 4, 1, 100, 1),
        ("traded", 4, 2, 101, 1),
    ]
    assert book.orders() == [(4, 101, 7), (3, 102, 1)]


def test_2_1_prices_at_both_edges_of_the_band_and_below_zero(venue: OpenVenue) -> None:
    book = venue([instrument(floor=-5, ceiling=-1, reference_price=-3)])
    assert book.do(enter(0, BUY, -6, 1)) == [("rejected", "PRICE_BELOW_BAND", -6, -5)]
    assert book.do(enter(0, BUY, 0, 1)) == [("rejected", "PRICE_ABOVE_BAND", 0, -1)]
    assert book.do(enter(0, BUY, -5, 1), enter(0, SELL, -1, 1)) == [("accepted", 3, -5, 1), ("accepted", 4, -1, 1)]
    assert book.do(enter(1, SELL, -5, 1)) == [("accepted", 5, -5, 1), ("traded", 5, 3, -5, 1)]
    assert book.do(enter(1, BUY, -1, 1)) == [("accepted", 6, -1, 1), ("traded", 6, 4, -1, 1)]


@pytest.mark.parametrize("side, resting, price", [(BUY, 100, 103), (SELL, 100, 97), (BUY, 109, 110), (SELL, 91, 90)])
def test_2_2_a_market_order_gets_the_best_opposite_price_plus_protection_within_the_band(
    venue: OpenVenue, side: Side, resting: int, price: int
) -> None:
    book = venue([instrument(protection=3)])
    order = enter(1, side, 0, 9, **MARKET, time_in_force=GTC)
    assert book.last(enter(0, 3 - side, resting, 4), order) == [("accepted", 2, price, 9), ("traded", 2, 1, resting, 4)]
    assert book.orders() == [(2, price, 5)]


@pytest.mark.parametrize("protection", [0, 3])
@pytest.mark.parametrize("side, price", [(BUY, 110), (SELL, 90)])
def test_2_2_with_nothing_on_the_other_side_a_market_order_gets_the_edge_of_the_band(
    venue: OpenVenue, side: Side, price: int, protection: int
) -> None:
    book = venue([instrument(protection=protection)])
    assert book.do(enter(1, side, 0, 9, **MARKET)) == [("accepted", 1, price, 9)]
    assert book.orders() == [(1, price, 9)]


@pytest.mark.parametrize("side, price", [(BUY, 110), (SELL, 90)])
def test_2_2_without_protection_a_market_order_gets_the_edge_of_the_band(
    venue: OpenVenue, side: Side, price: int
) -> None:
    book = venue()
    assert book.last(enter(0, 3 - side, 100, 4), enter(1, side, 5000, 9, **MARKET, time_in_force=IOC)) == [
        ("accepted", 2, price, 9),
        ("traded", 2, 1, 100, 4),
        ("canceled", 2, "IOC_REMAINDER", 5),
    ]


def test_2_2_protection_ends_what_a_market_order_sweeps(venue: OpenVenue) -> None:
    book = venue([instrument(protection=1)])
    assert book.last(
        enter(0, SELL, 100, 1),
        enter(0, SELL, 101, 1),
        enter(0, SELL, 102, 1),
        enter(1, BUY, 0, 3, **MARKET, time_in_force=IOC),
    ) == [
        ("accepted", 4, 101, 3),
        ("traded", 4, 1, 100, 1),
        ("traded", 4, 2, 101, 1),
        ("canceled", 4, "IOC_REMAINDER", 1),
    ]


def test_2_3_day_orders_expire_and_gtc_orders_stay(venue: OpenVenue) -> None:
    book = venue()
    assert book.last(
        enter(0, BUY, 100, 1, time_in_force=GTC),
        enter(0, BUY, 99, 2),
        enter(0, SELL, 105, 3),
        operator(CommandKind.END_DAY),
    ) == [("canceled", 2, "DAY_ENDED", 2), ("canceled", 3, "DAY_ENDED", 3), ("day_ended", 2)]
    assert book.orders() == [(1, 100, 1)]


def test_2_3_expiry_goes_by_instrument_then_bids_then_best_price_then_age(venue: OpenVenue) -> None:
    book = venue([instrument("A1"), instrument("B1")])
    assert book.last(
        enter(0, SELL, 102, 1, instrument=1),
        enter(0, SELL, 101, 1, instrument=0),
        enter(0, BUY, 98, 1),
        enter(1, BUY, 99, 1),
        enter(2, BUY, 98, 1),
        enter(0, SELL, 103, 1),
        enter(0, BUY, 97, 1, instrument=1),
        enter(0, SELL, 101, 1, instrument=1),
        operator(CommandKind.END_DAY),
    ) == [
        ("canceled", 4, "DAY_ENDED", 1),
        ("canceled", 3, "DAY_ENDED", 1),
        ("canceled", 5, "DAY_ENDED", 1),
        ("canceled", 2, "DAY_ENDED", 1),
        ("canceled", 6, "DAY_ENDED", 1),
        ("canceled", 7, "DAY_ENDED", 1),
        ("canceled", 8, "DAY_ENDED", 1),
        ("canceled", 1, "DAY_ENDED", 1),
        ("day_ended", 8),
    ]


def test_2_4_immediate_or_cancel_trades_what_it_can_and_never_rests(venue: OpenVenue) -> None:
    book = venue()
    assert book.last(enter(0, SELL, 100, 2), enter(1, BUY, 100, 5, time_in_force=IOC)) == [
        ("accepted", 2, 100, 5),
        ("traded", 2, 1, 100, 2),
        ("canceled", 2, "IOC_REMAINDER", 3),
    ]
    assert book.do(enter(1, BUY, 100, 5, time_in_force=IOC)) == [
        ("accepted", 3, 100, 5),
        ("canceled", 3, "IOC_REMAINDER", 5),
    ]
    assert book.orders() == []


def test_2_4_an_immediate_order_that_fills_has_no_remainder_to_cancel(venue: OpenVenue) -> None:
    assert venue().last(enter(0, SELL, 100, 5), enter(1, BUY, 100, 5, time_in_force=IOC)) == [
        ("accepted", 2, 100, 5),
        ("traded", 2, 1, 100, 5),
    ]


def test_2_5_fill_or_kill_trades_in_full_over_several_prices(venue: OpenVenue) -> None:
    assert venue().last(enter(0, SELL, 100, 2), enter(0, SELL, 101, 3), enter(1, BUY, 101, 5, time_in_force=FOK)) == [
        ("accepted", 3, 101, 5),
        ("traded", 3, 1, 100, 2),
        ("traded", 3, 2, 101, 3),
    ]


def test_2_5_fill_or_kill_that_lacks_one_lot_trades_nothing(venue: OpenVenue) -> None:
    book = venue()
    assert book.last(
        enter(0, SELL, 100, 2), enter(0, SELL, 101, 3), enter(0, SELL, 102, 9), enter(1, BUY, 101, 6, time_in_force=FOK)
    ) == [("accepted", 4, 101, 6), ("canceled", 4, "FOK_NOT_FILLED", 6)]
    assert book.orders() == [(1, 100, 2), (2, 101, 3), (3, 102, 9)]


@pytest.mark.parametrize("owner", [0, 1])
def test_2_6_post_only_is_refused_if_it_would_meet_any_order_even_its_own(venue: OpenVenue, owner: int) -> None:
    book = venue()
    book.do(enter(0, SELL, 101, 2), enter(2, SELL, 103, 2))
    post = enter(owner, BUY, 101, 5, flags=Flag.POST_ONLY | Flag.SMP_CANCEL_RESTING)
    assert book.do(post) == [("rejected", "POST_ONLY_WOULD_TRADE", 101, 101)]
    assert book.do(post | {"price": 104}) == [("rejected", "POST_ONLY_WOULD_TRADE", 104, 101)]
    assert book.do(post | {"price": 100}) == [("accepted", 5, 100, 5)]
    assert book.do(enter(1, SELL, 100, 1, flags=Flag.POST_ONLY)) == [("rejected", "POST_ONLY_WOULD_TRADE", 100, 100)]


def test_2_8_a_full_pool_refuses_orders_that_would_rest_and_orders_that_would_not(venue: OpenVenue) -> None:
    book = venue([instrument("A1"), instrument("B1")], max_orders=2)
    book.do(enter(0, SELL, 100, 2), enter(0, SELL, 100, 2, instrument=1))
    for order in (
        enter(1, BUY, 90, 1),
        enter(1, BUY, 100, 1, time_in_force=IOC),
        enter(1, BUY, 0, 1, **MARKET),
        enter(1, BUY, 90, 1, instrument=1),
    ):
        assert book.do(order) == [("rejected", "BOOK_FULL", 2, 2)]
    assert book.do(amend(0, 1, 101, 3)) == [("amended", 1, 101, 3, 3)]
    assert book.last(cancel(0, 2, instrument=1), enter(1, BUY, 101, 3)) == [
        ("accepted", 9, 101, 3),
        ("traded", 9, 1, 101, 3),
    ]
    assert book.do(enter(1, BUY, 90, 1), enter(1, BUY, 90, 1)) == [("accepted", 10, 90, 1), ("accepted", 11, 90, 1)]
    assert book.do(enter(1, BUY, 90, 1)) == [("rejected", "BOOK_FULL", 2, 2)]


# 3 Matching


@pytest.mark.parametrize("side, prices, met", [(BUY, (102, 100, 101), (2, 3, 1)), (SELL, (98, 100, 99), (2, 3, 1))])
def test_3_1_best_price_first(
    venue: OpenVenue, side: Side, prices: tuple[int, int, int], met: tuple[int, int, int]
) -> None:
    book = venue()
    book.do(*(enter(0, 3 - side, price, 1) for price in prices))
    emitted = book.do(enter(1, side, 105 if side == BUY else 95, 3))
    assert [event[2] for event in emitted[1:]] == list(met)


@pytest.mark.parametrize("side", [BUY, SELL])
def test_3_1_at_one_price_oldest_first(venue: OpenVenue, side: Side) -> None:
    book = venue()
    book.do(*(enter(owner, 3 - side, 100, 2) for owner in (0, 1, 2)))
    assert book.do(enter(3, side, 100, 5)) == [
        ("accepted", 4, 100, 5),
        ("traded", 4, 1, 100, 2),
        ("traded", 4, 2, 100, 2),
        ("traded", 4, 3, 100, 1),
    ]
    assert book.orders() == [(3, 100, 1)]


def test_3_1_a_partial_fill_keeps_priority(venue: OpenVenue) -> None:
    book = venue()
    book.do(enter(0, SELL, 100, 5), enter(1, SELL, 100, 5), enter(2, BUY, 100, 2))
    assert book.do(enter(2, BUY, 100, 4)) == [
        ("accepted", 4, 100, 4),
        ("traded", 4, 1, 100, 3),
        ("traded", 4, 2, 100, 1),
    ]


def test_3_1_a_cancel_in_the_middle_of_a_queue_leaves_the_others_in_order(venue: OpenVenue) -> None:
    book = venue()
    book.do(*(enter(0, SELL, 100, 1) for _ in range(4)), cancel(0, 2), cancel(0, 4), enter(0, SELL, 100, 1))
    assert book.orders() == [(1, 100, 1), (3, 100, 1), (7, 100, 1)]


def test_3_2_resting_rule_trades_at_the_resting_price(venue: OpenVenue) -> None:
    book = venue()
    assert book.last(enter(0, SELL, 98, 1), enter(1, BUY, 104, 1))[1] == ("traded", 2, 1, 98, 1)
    assert book.last(enter(0, BUY, 104, 1), enter(1, SELL, 98, 1))[1] == ("traded", 4, 3, 104, 1)


@pytest.mark.parametrize("last, price", [(95, 98), (98, 98), (101, 101), (104, 104), (109, 104)])
@pytest.mark.parametrize("side", [BUY, SELL])
def test_3_2_median_rule_trades_at_the_middle_of_bid_ask_and_last(
    venue: OpenVenue, side: Side, last: int, price: int
) -> None:
    """98 bid against 104 offered: the reference price stands for the last trade."""
    book = venue([instrument(price_rule="median", reference_price=last)])
    bid, ask = enter(0, BUY, 104, 1), enter(1, SELL, 98, 1)
    assert book.last(*((ask, bid) if side == BUY else (bid, ask)))[1] == ("traded", 2, 1, price, 1)


def test_3_2_median_rule_follows_the_last_trade_within_one_order_and_per_instrument(venue: OpenVenue) -> None:
    terms: dict[str, Any] = {"price_rule": "median", "reference_price": 105}
    book = venue([instrument("A1", **terms), instrument("B1", **terms)])
    assert book.last(enter(0, SELL, 99, 1), enter(0, SELL, 100, 1), enter(1, BUY, 103, 1), enter(1, BUY, 102, 1)) == [
        ("accepted", 4, 102, 1),
        ("traded", 4, 2, 102, 1),
    ]
    assert book.last(enter(0, SELL, 99, 1), enter(0, SELL, 103, 1), enter(0, SELL, 103, 1), enter(1, BUY, 104, 3)) == [
        ("accepted", 8, 104, 3),
        ("traded", 8, 5, 102, 1),
        ("traded", 8, 6, 103, 1),
        ("traded", 8, 7, 103, 1),
    ]
    assert book.last(enter(0, SELL, 99, 1, instrument=1), enter(1, BUY, 106, 1, instrument=1))[1] == (
        "traded",
        10,
        9,
        105,
        1,
    )


def test_3_2_a_market_order_counts_with_the_price_it_was_given(venue: OpenVenue) -> None:
    book = venue([instrument(price_rule="median", reference_price=109, protection=2)])
    assert book.last(enter(0, SELL, 100, 1), enter(1, BUY, 0, 1, **MARKET)) == [
        ("accepted", 2, 102, 1),
        ("traded", 2, 1, 102, 1),
    ]


def test_3_3_a_trade_shows_both_orders(venue: OpenVenue) -> None:
    book = venue()
    book.do(enter(0, SELL, 100, 5))
    trade = book.events(enter(1, BUY, 103, 2))[1]
    assert (trade["order_id"], trade["account"], trade["side"], trade["leaves_quantity"]) == (2, 1, BUY, 0)
    assert (
        trade["resting_order_id"],
        trade["resting_account"],
        trade["resting_leaves_quantity"],
        trade["resting_price"],
    ) == (1, 0, 3, 100)
    assert (trade["price"], trade["quantity"], trade["trade_id"]) == (100, 2, 1)


def test_3_4_a_new_order_queues_behind_all_at_its_price(venue: OpenVenue) -> None:
    book = venue()
    book.do(enter(0, BUY, 99, 1), enter(1, BUY, 100, 1), enter(2, BUY, 99, 1), enter(3, BUY, 100, 1))
    assert book.orders() == [(2, 100, 1), (4, 100, 1), (1, 99, 1), (3, 99, 1)]


def test_3_1_instruments_do_not_meet(venue: OpenVenue) -> None:
    book = venue([instrument("A1"), instrument("B1")])
    assert book.last(enter(0, SELL, 100, 1, instrument=1), enter(1, BUY, 100, 1)) == [("accepted", 2, 100, 1)]


# 4 Self-match

FAMILY = (account("A", group=7), account("B", group=7), account("C"), account("D"))


def test_4_1_accounts_of_one_group_do_not_meet_and_others_do(venue: OpenVenue) -> None:
    book = venue(accounts=FAMILY)
    flag = {"flags": Flag.SMP_CANCEL_INCOMING}
    assert book.last(enter(0, SELL, 100, 5), enter(1, BUY, 100, 2, **flag)) == [
        ("accepted", 2, 100, 2),
        ("canceled", 2, "SELF_MATCH_INCOMING", 2),
    ]
    assert book.do(enter(2, BUY, 100, 2, **flag)) == [("accepted", 3, 100, 2), ("traded", 3, 1, 100, 2)]


def test_4_1_without_groups_each_account_is_its_own(venue: OpenVenue) -> None:
    book = venue(accounts=[account(name) for name in "ABC"])
    flag = {"flags": Flag.SMP_CANCEL_INCOMING}
    assert book.last(enter(0, SELL, 100, 5), enter(0, BUY, 100, 2, **flag)) == [
        ("accepted", 2, 100, 2),
        ("canceled", 2, "SELF_MATCH_INCOMING", 2),
    ]
    assert book.do(enter(1, BUY, 100, 2, **flag)) == [("accepted", 3, 100, 2), ("traded", 3, 1, 100, 2)]


def test_4_1_a_group_number_never_equals_the_group_of_an_account_without_one(venue: OpenVenue) -> None:
    book = venue(accounts=[account("A", group=1), account("B"), account("C", group=0)])
    flag = {"flags": Flag.SMP_CANCEL_INCOMING}
    assert book.last(enter(0, SELL, 100, 5), enter(1, BUY, 100, 1, **flag))[-1] == ("traded", 2, 1, 100, 1)
    assert book.do(enter(2, BUY, 100, 1, **flag))[-1] == ("traded", 3, 1, 100, 1)


def test_4_2_none_lets_an_account_trade_with_itself(venue: OpenVenue) -> None:
    assert venue().last(enter(0, SELL, 100, 5), enter(0, BUY, 100, 2)) == [
        ("accepted", 2, 100, 2),
        ("traded", 2, 1, 100, 2),
    ]


SELF_MATCHES: dict[
    SelfMatch, tuple[list[tuple[Any, ...]], list[tuple[int, int, int]]]
] = {  # the incoming order is number 5
    INCOMING: ([("canceled", 5, "SELF_MATCH_INCOMING", 5)], [(2, 100, 3), (3, 101, 9)]),
    RESTING: ([("canceled", 2, "SELF_MATCH_RESTING", 3), ("traded", 5, 3, 101, 5)], [(3, 101, 4)]),
    BOTH: ([("canceled", 2, "SELF_MATCH_RESTING", 3), ("canceled", 5, "SELF_MATCH_INCOMING", 5)], [(3, 101, 9)]),
}


@pytest.mark.parametrize("mode", SELF_MATCHES)
@pytest.mark.parametrize("named_by", ["order", "account", "limit command"])
def test_4_2_prevention_acts_when_the_match_would_happen_by_flag_or_default(
    venue: OpenVenue, mode: SelfMatch, named_by: str
) -> None:
    """Account 1 offers 2 at 100, account 0 offers 3 at 100, account 1 offers 9 at 101; account 0 buys 7."""
    accounts = [account("A", self_match=mode if named_by == "account" else NONE), account("B"), account("C")]
    book = venue(accounts=accounts)
    offers = [enter(1, SELL, 100, 2), enter(0, SELL, 100, 3), enter(1, SELL, 101, 9)]
    flags = {INCOMING: 8, RESTING: 16, BOTH: 32}[mode] if named_by == "order" else 0
    set_mode = operator(CommandKind.LIMIT, Limit.SELF_MATCH, quantity=mode if named_by == "limit command" else NONE)
    book.do(*offers, *[set_mode] * (named_by != "account"))
    book.do(*[operator(CommandKind.PHASE, Phase.CONTINUOUS)] * (named_by == "account"))
    then, left = SELF_MATCHES[mode]
    assert book.do(enter(0, BUY, 101, 7, flags=flags)) == [("accepted", 5, 101, 7), ("traded", 5, 1, 100, 2), *then]
    assert book.orders() == left


def test_4_2_the_flag_of_the_order_overrides_the_default_of_the_account(venue: OpenVenue) -> None:
    book = venue(accounts=[account("A", self_match=INCOMING)])
    assert book.last(enter(0, SELL, 100, 3), enter(0, BUY, 100, 3, flags=Flag.SMP_CANCEL_RESTING)) == [
        ("accepted", 2, 100, 3),
        ("canceled", 1, "SELF_MATCH_RESTING", 3),
    ]
    assert book.orders() == [(2, 100, 3)]


def test_4_2_the_mode_of_the_resting_side_has_no_effect(venue: OpenVenue) -> None:
    book = venue(accounts=[account("A", group=1, self_match=BOTH), account("B", group=1)])
    assert book.last(enter(0, SELL, 100, 3, flags=Flag.SMP_CANCEL_BOTH), enter(1, BUY, 100, 3)) == [
        ("accepted", 2, 100, 3),
        ("traded", 2, 1, 100, 3),
    ]


def test_4_2_an_order_that_filled_before_it_met_its_own_is_not_touched(venue: OpenVenue) -> None:
    book = venue()
    assert book.last(
        enter(1, SELL, 100, 3), enter(0, SELL, 100, 3), enter(0, BUY, 100, 3, flags=Flag.SMP_CANCEL_BOTH)
    ) == [("accepted", 3, 100, 3), ("traded", 3, 1, 100, 3)]
    assert book.orders() == [(2, 100, 3)]


def test_4_2_cancel_resting_clears_every_own_order_it_meets_and_an_immediate_rest_is_canceled(venue: OpenVenue) -> None:
    book = venue()
    assert book.last(
        enter(0, SELL, 100, 3),
        enter(0, SELL, 101, 4),
        enter(1, SELL, 101, 1),
        enter(0, BUY, 101, 3, flags=Flag.SMP_CANCEL_RESTING, time_in_force=IOC),
    ) == [
        ("accepted", 4, 101, 3),
        ("canceled", 1, "SELF_MATCH_RESTING", 3),
        ("canceled", 2, "SELF_MATCH_RESTING", 4),
        ("traded", 4, 3, 101, 1),
        ("canceled", 4, "IOC_REMAINDER", 2),
    ]


def test_4_2_an_immediate_order_canceled_for_self_match_is_canceled_once(venue: OpenVenue) -> None:
    assert venue().last(
        enter(0, SELL, 100, 3), enter(0, BUY, 101, 3, flags=Flag.SMP_CANCEL_INCOMING, time_in_force=IOC)
    ) == [("accepted", 2, 101, 3), ("canceled", 2, "SELF_MATCH_INCOMING", 3)]


@pytest.mark.parametrize(
    "flags, filled",
    [(0, True), (Flag.SMP_CANCEL_RESTING, True), (Flag.SMP_CANCEL_INCOMING, False), (Flag.SMP_CANCEL_BOTH, False)],
)
def test_4_3_the_quantity_available_to_a_fill_or_kill_order(venue: OpenVenue, flags: int, filled: bool) -> None:
    """Two lots of others, two own, two of others: four are wanted."""
    book = venue()
    book.do(enter(1, SELL, 100, 2), enter(0, SELL, 100, 2), enter(2, SELL, 101, 2))
    emitted = book.do(enter(0, BUY, 101, 4, flags=flags, time_in_force=FOK))
    if filled:
        assert sum(event[4] for event in emitted if event[0] == "traded") == 4
    else:
        assert emitted == [("accepted", 4, 101, 4), ("canceled", 4, "FOK_NOT_FILLED", 4)]
        assert book.orders() == [(1, 100, 2), (2, 100, 2), (3, 101, 2)]


def test_4_3_own_orders_do_not_count_for_fill_or_kill_with_cancel_resting_and_survive_the_kill(
    venue: OpenVenue,
) -> None:
    book = venue()
    book.do(enter(1, SELL, 100, 2), enter(0, SELL, 100, 2), enter(2, SELL, 101, 2))
    assert book.do(enter(0, BUY, 101, 5, flags=Flag.SMP_CANCEL_RESTING, time_in_force=FOK)) == [
        ("accepted", 4, 101, 5),
        ("canceled", 4, "FOK_NOT_FILLED", 5),
    ]
    assert book.orders() == [(1, 100, 2), (2, 100, 2), (3, 101, 2)]


def test_4_1_group_set_by_a_limit_command_holds_from_the_next_command_on(venue: OpenVenue) -> None:
    book = venue()
    book.do(
        enter(0, SELL, 100, 5),
        operator(CommandKind.LIMIT, Limit.GROUP, account=0, quantity=9),
        operator(CommandKind.LIMIT, Limit.GROUP, account=1, quantity=9),
    )
    assert book.do(enter(1, BUY, 100, 2, flags=Flag.SMP_CANCEL_INCOMING))[-1] == (
        "canceled",
        4,
        "SELF_MATCH_INCOMING",
        2,
    )


# 5 Rules that hold without risk too


@pytest.mark.parametrize(
    "phase, command, refused",
    [
        (Phase.CLOSED, enter(0, BUY, 100, 5), True),
        (Phase.CLOSED, amend(0, 1, 100, 4), True),
        (Phase.CLOSED, cancel(0, 1), True),
        (Phase.CLOSED, operator(CommandKind.MASS_CANCEL), False),
        (Phase.CLOSED, operator(CommandKind.END_DAY), False),
        (Phase.HALTED, enter(0, BUY, 100, 5), True),
        (Phase.HALTED, amend(0, 1, 100, 4), True),
        (Phase.HALTED, cancel(0, 1), False),
        (Phase.HALTED, operator(CommandKind.MASS_CANCEL), False),
    ],
)
def test_5_3_what_each_phase_refuses(venue: OpenVenue, phase: Phase, command: dict[str, Any], refused: bool) -> None:
    book = venue()
    book.do(enter(0, BUY, 100, 5), operator(CommandKind.PHASE, phase))
    reason = "INSTRUMENT_CLOSED" if phase == Phase.CLOSED else "INSTRUMENT_HALTED"
    emitted = book.do(command)
    assert emitted[0] == (("rejected", reason, phase, 0) if refused else ("canceled", 1, emitted[0][2], 5))
    assert bool(book.orders()) is refused


@pytest.mark.parametrize(
    "make", [lambda owner, order: cancel(owner, order), lambda owner, order: amend(owner, order, 99, 1)]
)
@pytest.mark.parametrize(
    "owner, order_id, place",
    [(0, 3, 0), (0, 0, 0), (0, -1, 0), (0, 1 << 62, 0), (0, -(1 << 63), 0), (1, 1, 0), (0, 1, 1)],
    ids=["not entered yet", "zero", "negative", "far", "very negative", "of another", "elsewhere"],
)
def test_5_4_an_order_that_is_not_there_or_not_ones_own_is_unknown(
    venue: OpenVenue, make: Callable[..., Any], owner: int, order_id: int, place: int
) -> None:
    book = venue([instrument("A1"), instrument("B1")])
    book.do(enter(0, BUY, 100, 5))
    before = book.memory()
    assert book.do(make(owner, order_id) | {"instrument": place}) == [("rejected", "UNKNOWN_ORDER", order_id, 0)]
    assert book.memory() == before


@pytest.mark.parametrize(
    "gone",
    [
        (enter(1, SELL, 100, 5),),
        (cancel(0, 1),),
        (operator(CommandKind.MASS_CANCEL),),
        (operator(CommandKind.END_DAY),),
        (amend(0, 1, 99, 5), enter(1, SELL, 99, 5)),
        (enter(0, SELL, 100, 1, flags=Flag.SMP_CANCEL_RESTING),),
    ],
    ids=["filled", "canceled", "mass canceled", "expired", "amended and filled", "self-matched"],
)
def test_5_4_an_order_that_has_gone_is_unknown(venue: OpenVenue, gone: tuple[Any, ...]) -> None:
    book = venue()
    book.do(enter(0, BUY, 100, 5), *gone)
    assert book.do(cancel(0, 1)) == [("rejected", "UNKNOWN_ORDER", 1, 0)]


def test_5_6_an_amend_outside_the_band_changes_nothing(venue: OpenVenue) -> None:
    book = venue()
    book.do(enter(0, BUY, 100, 5))
    assert book.do(amend(0, 1, 111, 5)) == [("rejected", "PRICE_ABOVE_BAND", 111, 110)]
    assert book.do(amend(0, 1, 89, 5)) == [("rejected", "PRICE_BELOW_BAND", 89, 90)]
    assert book.orders() == [(1, 100, 5)]


# 6 Amending


def test_6_1_the_new_quantity_is_the_total_what_has_filled_included(venue: OpenVenue) -> None:
    book = venue()
    book.do(enter(0, BUY, 100, 10), enter(1, SELL, 100, 4))
    assert book.do(amend(0, 1, 100, 9)) == [("amended", 1, 100, 9, 5)]
    assert book.orders() == [(1, 100, 5)]


def test_6_1_with_the_flag_the_new_quantity_is_what_stays_open(venue: OpenVenue) -> None:
    book = venue()
    book.do(enter(0, BUY, 100, 10), enter(1, SELL, 100, 4))
    assert book.do(amend(0, 1, 100, 3, flags=Flag.OPEN_QUANTITY)) == [("amended", 1, 100, 7, 3)]


@pytest.mark.parametrize("total", [1, 3, 4])
def test_6_1_an_amend_to_what_has_filled_or_less_cancels_the_order(venue: OpenVenue, total: int) -> None:
    book = venue()
    book.do(enter(0, BUY, 100, 10), enter(1, SELL, 100, 4), enter(1, SELL, 102, 1))
    assert book.do(amend(0, 1, 102, total, flags=Flag.POST_ONLY)) == [("canceled", 1, "AMENDED_TO_FILLED", 6)]
    assert book.orders() == [(3, 102, 1)]


@pytest.mark.parametrize("quantity, keeps", [(5, True), (4, True), (1, True), (6, False)])
def test_6_2_amend_down_keeps_the_place_amend_up_loses_it(venue: OpenVenue, quantity: int, keeps: bool) -> None:
    book = venue()
    book.do(enter(0, BUY, 100, 5), enter(1, BUY, 100, 1))
    assert book.do(amend(0, 1, 100, quantity)) == [("amended", 1, 100, quantity, quantity)]
    mine, other = (1, 100, quantity), (2, 100, 1)
    assert book.orders() == ([mine, other] if keeps else [other, mine])


def test_6_2_open_quantity_not_larger_keeps_the_place_though_the_total_grows(venue: OpenVenue) -> None:
    book = venue()
    book.do(enter(0, BUY, 100, 10), enter(1, SELL, 100, 8), enter(2, BUY, 100, 1))
    assert book.do(amend(0, 1, 100, 2, flags=Flag.OPEN_QUANTITY)) == [("amended", 1, 100, 10, 2)]
    assert book.orders() == [(1, 100, 2), (3, 100, 1)]
    assert book.do(amend(0, 1, 100, 3, flags=Flag.OPEN_QUANTITY)) == [("amended", 1, 100, 11, 3)]
    assert book.orders() == [(3, 100, 1), (1, 100, 3)]


@pytest.mark.parametrize("price", [99, 101])
def test_6_3_another_price_loses_the_place_even_with_less_quantity(venue: OpenVenue, price: int) -> None:
    book = venue()
    book.do(enter(0, BUY, 100, 5), enter(1, BUY, price, 1))
    assert book.do(amend(0, 1, price, 3)) == [("amended", 1, price, 3, 3)]
    assert book.orders() == [(2, price, 1), (1, price, 3)]


def test_6_3_an_order_amended_away_and_back_queues_behind(venue: OpenVenue) -> None:
    book = venue()
    book.do(enter(0, BUY, 100, 5), enter(1, BUY, 100, 1), amend(0, 1, 99, 5), amend(0, 1, 100, 5))
    assert book.orders() == [(2, 100, 1), (1, 100, 5)]


def test_6_3_an_amended_order_may_trade_and_rests_with_what_is_left_under_the_same_id(venue: OpenVenue) -> None:
    book = venue()
    book.do(enter(0, BUY, 95, 10), enter(1, SELL, 100, 3), enter(1, SELL, 101, 3), enter(2, BUY, 96, 1))
    assert book.do(amend(0, 1, 100, 8)) == [("amended", 1, 100, 8, 8), ("traded", 1, 2, 100, 3)]
    assert book.orders() == [(1, 100, 5), (4, 96, 1), (3, 101, 3)]
    assert book.do(amend(0, 1, 101, 6)) == [("amended", 1, 101, 6, 3), ("traded", 1, 3, 101, 3)]
    assert book.do(cancel(0, 1)) == [("rejected", "UNKNOWN_ORDER", 1, 0)]


@pytest.mark.parametrize(
    "flags, then",
    [
        (0, [("canceled", 1, "SELF_MATCH_INCOMING", 5)]),
        (Flag.SMP_CANCEL_RESTING, [("canceled", 2, "SELF_MATCH_RESTING", 3)]),
    ],
)
def test_6_3_an_amended_order_meets_its_own_by_the_flags_of_the_amend_or_the_default(
    venue: OpenVenue, flags: int, then: list[tuple[str, int, str, int]]
) -> None:
    """The flag of the ENTER has no effect any more; only the AMEND's counts."""
    book = venue(accounts=[account("A", self_match=INCOMING)])
    book.do(enter(0, BUY, 95, 5, flags=Flag.SMP_CANCEL_BOTH), enter(0, SELL, 100, 3))
    assert book.do(amend(0, 1, 100, 5, flags=flags)) == [("amended", 1, 100, 5, 5), *then]


def test_6_3_the_time_in_force_stays(venue: OpenVenue) -> None:
    book = venue()
    book.do(enter(0, BUY, 95, 5, time_in_force=GTC), enter(0, BUY, 95, 5, time_in_force=DAY))
    book.do(amend(0, 1, 96, 5, time_in_force=DAY), amend(0, 2, 96, 5, time_in_force=IOC))
    assert book.do(operator(CommandKind.END_DAY)) == [("canceled", 2, "DAY_ENDED", 5), ("day_ended", 1)]


@pytest.mark.parametrize("price", [100, 103])
def test_6_4_a_post_only_amend_that_would_trade_is_refused_and_the_order_stays_as_it_was(
    venue: OpenVenue, price: int
) -> None:
    book = venue()
    book.do(enter(0, BUY, 99, 5), enter(2, BUY, 99, 1), enter(1, SELL, 100, 3))
    assert book.do(amend(0, 1, price, 7, flags=Flag.POST_ONLY, side=SELL)) == [
        ("rejected", "POST_ONLY_WOULD_TRADE", price, 100)
    ]
    assert book.orders() == [(1, 99, 5), (2, 99, 1), (3, 100, 3)]
    assert book.do(amend(0, 1, 99, 4, flags=Flag.POST_ONLY)) == [("amended", 1, 99, 4, 4)]


# 1.6, 7 Operators

MASS_CANCELS = [
    ({"account": 0}, [1, 4, 2]),
    ({"account": 0, "side": BUY}, [1, 4]),
    ({"account": 0, "side": SELL}, [2]),
    ({"account": ALL}, [1, 3, 4, 2]),
    ({"account": 0, "instrument": ALL}, [1, 4, 2, 5]),
    ({"account": ALL, "instrument": ALL, "side": SELL}, [2, 5]),
    ({"account": 2}, []),
    ({"account": 1, "instrument": 1}, []),
]


@pytest.mark.parametrize("command, canceled", MASS_CANCELS)
def test_1_6_mass_cancel_by_account_instrument_and_side(
    venue: OpenVenue, command: dict[str, Any], canceled: list[Any]
) -> None:
    book = venue([instrument("A1"), instrument("B1")])
    book.do(
        enter(0, BUY, 99, 1),
        enter(0, SELL, 105, 1),
        enter(1, BUY, 98, 1),
        enter(0, BUY, 98, 1, time_in_force=GTC),
        enter(0, SELL, 105, 1, instrument=1),
    )
    emitted = book.do(operator(CommandKind.MASS_CANCEL, **command))
    assert emitted == [
        *(("canceled", order_id, "MASS_CANCEL", 1) for order_id in canceled),
        ("mass_canceled", len(canceled)),
    ]


def test_7_1_phase_is_set_for_one_instrument_or_for_all(venue: OpenVenue) -> None:
    book = venue([instrument("A1"), instrument("B1")])
    book.do(operator(CommandKind.PHASE, Phase.HALTED, instrument=1))
    assert book.do(enter(0, BUY, 99, 1), enter(0, BUY, 99, 1, instrument=1)) == [
        ("accepted", 2, 99, 1),
        ("rejected", "INSTRUMENT_HALTED", Phase.HALTED, 0),
    ]
    book.do(operator(CommandKind.PHASE, Phase.CLOSED, instrument=ALL))
    assert book.do(enter(0, BUY, 99, 1), cancel(0, 2)) == [("rejected", "INSTRUMENT_CLOSED", Phase.CLOSED, 0)] * 2
    book.do(operator(CommandKind.PHASE, Phase.CONTINUOUS, instrument=ALL))
    assert book.do(cancel(0, 2)) == [("canceled", 2, "NONE", 1)]


# Whole rows


def happened(kind: EventKind, **fields: Any) -> dict[str, Any]:
    """An expected event."""
    return {"kind": kind, **fields}


def test_every_field_of_every_event(venue: OpenVenue) -> None:
    """1.6: whole rows; fields that are not named are 0."""
    book = venue([instrument("A1"), instrument("B1")], max_orders=2)
    at = {"instrument": 1}
    events = book.events(
        enter(0, SELL, 100, 5, client_order_id=b"offer", **at),
        enter(1, BUY, 101, 2, client_order_id=b"bid", flags=Flag.SMP_CANCEL_INCOMING | Flag.LABEL, **at),
        amend(0, 1, 102, 9, client_order_id=b"up", flags=Flag.REDUCE_ONLY, **at),
        enter(2, BUY, 99, 4, client_order_id=b"twenty-characters-xx", time_in_force=IOC, **at),
        cancel(0, 1, client_order_id=b"out", flags=3, price=5, quantity=6, side=2, **at),
        amend(3, 1, 103, 8, client_order_id=b"late", flags=Flag.POST_ONLY, side=BUY, **at),
        enter(3, BUY, 120, 8, client_order_id=b"high", flags=Flag.LABEL, **at),
        enter(2, BUY, 98, 4, client_order_id=b"day", **at),
        operator(
            CommandKind.MASS_CANCEL,
            account=2,
            instrument=1,
            client_order_id=b"mass",
            side=BUY,
            price=3,
            quantity=7,
            flags=64,
        ),
        operator(CommandKind.PHASE, Phase.CONTINUOUS, instrument=1, account=3, client_order_id=b"open", side=2),
    )
    expected = [
        happened(
            EventKind.ACCEPTED,
            sequence=1,
            order_id=1,
            account=0,
            side=SELL,
            price=100,
            quantity=5,
            leaves_quantity=5,
            client_order_id=b"offer",
        ),
        happened(
            EventKind.ACCEPTED,
            sequence=2,
            order_id=2,
            account=1,
            side=BUY,
            price=101,
            quantity=2,
            leaves_quantity=2,
            client_order_id=b"bid",
            flags=8 + 64,
        ),
        happened(
            EventKind.TRADED,
            sequence=2,
            order_id=2,
            account=1,
            side=BUY,
            price=100,
            quantity=2,
            trade_id=1,
            client_order_id=b"bid",
            resting_order_id=1,
            resting_account=0,
            resting_leaves_quantity=3,
            resting_price=100,
        ),
        happened(
            EventKind.AMENDED,
            sequence=3,
            order_id=1,
            account=0,
            side=SELL,
            price=102,
            quantity=9,
            leaves_quantity=7,
            client_order_id=b"offer",
            flags=2,
            resting_leaves_quantity=3,
            resting_price=100,
        ),
        happened(
            EventKind.ACCEPTED,
            sequence=4,
            order_id=4,
            account=2,
            side=BUY,
            price=99,
            quantity=4,
            leaves_quantity=4,
            client_order_id=b"twenty-characters-xx",
        ),
        happened(
            EventKind.CANCELED,
            sequence=4,
            order_id=4,
            account=2,
            side=BUY,
            price=99,
            quantity=4,
            reason=Reason.IOC_REMAINDER,
            client_order_id=b"twenty-characters-xx",
        ),
        happened(
            EventKind.CANCELED,
            sequence=5,
            order_id=1,
            account=0,
            side=SELL,
            price=102,
            quantity=7,
            client_order_id=b"offer",
        ),
        happened(
            EventKind.REJECTED,
            sequence=6,
            order_id=1,
            account=3,
            side=BUY,
            price=103,
            quantity=8,
            flags=1,
            reason=Reason.UNKNOWN_ORDER,
            resting_leaves_quantity=1,
            client_order_id=b"late",
        ),
        happened(
            EventKind.REJECTED,
            sequence=7,
            account=3,
            side=BUY,
            price=120,
            quantity=8,
            flags=64,
            reason=Reason.PRICE_ABOVE_BAND,
            resting_leaves_quantity=120,
            resting_price=110,
            client_order_id=b"high",
        ),
        happened(
            EventKind.ACCEPTED,
            sequence=8,
            order_id=8,
            account=2,
            side=BUY,
            price=98,
            quantity=4,
            leaves_quantity=4,
            client_order_id=b"day",
        ),
        happened(
            EventKind.CANCELED,
            sequence=9,
            order_id=8,
            account=2,
            side=BUY,
            price=98,
            quantity=4,
            reason=Reason.MASS_CANCEL,
            client_order_id=b"day",
        ),
        happened(EventKind.MASS_CANCELED, sequence=9, account=2, side=BUY, quantity=1),
        happened(EventKind.PHASE, sequence=10, quantity=Phase.CONTINUOUS),
    ]
    rows_expected = np.zeros(len(expected), EVENT)
    for number, event in enumerate(expected):
        complete = {"event_id": number + 1, "time": event["sequence"] * 1_000_000_000, "instrument": 1, **event}
        for name, value in complete.items():
            rows_expected[number][name] = value
    assert events.tolist() == rows_expected.tolist()
    assert events.tobytes() == rows_expected.tobytes()
