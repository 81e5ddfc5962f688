"""Phases, call auctions and protection as situations: RULEBOOK 8 and 9, and the days of 11.1 as orders see them.

Every test runs over the reference and over the engine (conftest.py). Events are in short form (tests/venue.py).
"""

from typing import Any

import numpy as np
import pytest

from exchange.engine.phases import FOLLOWS, PERMITS
from matching.codes import (
    ALL,
    AUCTION_PHASES,
    AuctionStep,
    CommandKind,
    EventKind,
    Flag,
    Limit,
    Mechanism,
    OrderType,
    Phase,
    Reason,
    Scope,
    SelfMatch,
    SettlementRule,
    Side,
    TimeInForce,
)
from tests.build import account, amend, cancel, enter, instrument, operator
from tests.venue import OpenVenue, Venue

BUY, SELL = Side.BUY, Side.SELL
GTC, IOC, FOK, OPENING = TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK, TimeInForce.OPENING
MARKET = {"order_type": OrderType.MARKET}
STOP = {"order_type": OrderType.STOP}
(
    CLOSED,
    CONTINUOUS,
    HALTED,
    CALL_AUCTION,
    AUCTION_MATCH,
    BREAK,
    LIMIT_LOCKED,
    CLOSING,
    SETTLEMENT,
    UNLISTED,
    EXPIRED,
    AUCTION_ENTRY_ONLY,
) = Phase
MILLISECOND = 1_000_000


def phase(phase: Phase, instrument: int = 0) -> dict[str, Any]:
    return operator(CommandKind.PHASE, phase, instrument=instrument)


def settle(price: int, instrument: int = 0) -> dict[str, Any]:
    return operator(CommandKind.SETTLE, SettlementRule.GIVEN, price=price, instrument=instrument)


def went(phase: Phase, reason: str = "NONE", instrument: int = 0) -> tuple[str, int, int, str]:
    return "phase", instrument, phase, reason


WAYS = {  # to each phase, from continuous trading; 1 is a bid at 91
    CONTINUOUS: (),
    CLOSED: (phase(CLOSED),),
    HALTED: (phase(HALTED),),
    CALL_AUCTION: (phase(CALL_AUCTION),),
    AUCTION_ENTRY_ONLY: (phase(AUCTION_ENTRY_ONLY),),
    AUCTION_MATCH: (phase(CALL_AUCTION), phase(AUCTION_MATCH)),
    BREAK: (phase(BREAK),),
    LIMIT_LOCKED: (enter(3, BUY, 110, 1), phase(LIMIT_LOCKED)),
    CLOSING: (phase(CLOSING),),
    SETTLEMENT: (phase(CLOSING), phase(SETTLEMENT)),
    EXPIRED: (operator(CommandKind.EXPIRE),),
}


def in_phase(venue: OpenVenue, wanted: Phase, instruments: Any = None) -> Venue:
    """A book in a phase; order 1 of account 0 bids 91 in it, except where expiry has canceled it."""
    book = venue(instruments)
    book.do(enter(0, BUY, 91, 5), *WAYS[wanted])
    return book


# 8.1, 8.2


@pytest.mark.parametrize("now", list(WAYS))
def test_8_1_what_each_phase_refuses(venue: OpenVenue, now: Phase) -> None:
    refuses_entry, refuses_cancel = PERMITS[now]
    book = in_phase(venue, now)
    for command, reason in (
        (enter(0, BUY, 91, 1), refuses_entry),
        (amend(0, 1, 91, 4), refuses_entry or refuses_cancel),
        (cancel(0, 1), refuses_cancel),
    ):
        emitted = book.do(command)
        if reason == Reason.NONE:
            assert emitted[0][0] in ("accepted", "amended", "canceled")
        else:
            assert emitted == [("rejected", reason.name, now, 0)]


def test_8_1_an_unlisted_instrument_refuses_everything_until_it_is_listed_with_a_reference_price(
    venue: OpenVenue,
) -> None:
    book = venue([instrument(phase=UNLISTED, daily_limit=500)])
    assert book.do(enter(0, BUY, 100, 1), cancel(0, 1)) == [("rejected", "INSTRUMENT_UNLISTED", UNLISTED, 0)] * 2
    assert book.do(phase(CLOSED)) == [("rejected", "PHASE_TRANSITION", UNLISTED, CLOSED)]
    assert book.do(operator(CommandKind.LIST, price=89)) == [("rejected", "INVALID_VALUE", 89, 90)]
    assert book.do(operator(CommandKind.LIST, price=102)) == [("listed", 0, 102)]
    assert book.do(operator(CommandKind.LIST, price=102)) == [("rejected", "PHASE_TRANSITION", CLOSED, CLOSED)]
    assert book.do(enter(0, BUY, 100, 1)) == [("rejected", "INSTRUMENT_CLOSED", CLOSED, 0)]
    book.do(phase(CONTINUOUS))
    assert book.do(
        enter(0, BUY, 96, 1), enter(0, BUY, 108, 1), enter(0, BUY, 102, 1) | STOP | {"trigger_price": 102}
    ) == [
        ("rejected", "PRICE_BELOW_BAND", 96, 97),
        ("rejected", "PRICE_ABOVE_BAND", 108, 107),
        ("rejected", "TRIGGER_REACHED", 102, 102),
    ]


@pytest.mark.parametrize("after", list(Phase))
@pytest.mark.parametrize("now", list(WAYS))
def test_8_1_which_phase_may_follow(venue: OpenVenue, now: Phase, after: Phase) -> None:
    book = in_phase(venue, now)
    emitted = book.do(phase(after))
    if after == now or after in FOLLOWS[now] and after != LIMIT_LOCKED:
        assert emitted[-1] == went(after)
    elif after == LIMIT_LOCKED and after in FOLLOWS[now]:
        assert emitted == [("rejected", "NOT_LIMIT_LOCKED", now, after)]
    else:
        assert emitted == [("rejected", "PHASE_TRANSITION", now, after)]


def test_8_2_for_all_instruments_those_that_can_take_the_phase_do(venue: OpenVenue) -> None:
    book = venue([instrument(name) for name in ("A1", "B1", "C1")])
    book.do(phase(CLOSING, instrument=1), phase(HALTED, instrument=2))
    assert book.do(phase(CALL_AUCTION, instrument=ALL)) == [
        went(CALL_AUCTION),
        went(CALL_AUCTION, instrument=2),
        went(CALL_AUCTION, instrument=ALL),
    ]
    assert book.do(phase(SETTLEMENT, instrument=ALL)) == [
        went(SETTLEMENT, instrument=1),
        went(SETTLEMENT, instrument=ALL),
    ]
    assert book.do(phase(SETTLEMENT, instrument=ALL)) == [
        went(SETTLEMENT, instrument=1),
        went(SETTLEMENT, instrument=ALL),
    ]
    assert book.do(phase(BREAK, instrument=ALL)) == [went(BREAK, instrument=ALL)]
    assert book.do(phase(LIMIT_LOCKED, instrument=ALL)) == [went(LIMIT_LOCKED, instrument=ALL)]


# 5.3 Call auctions

AUCTION_TAKES = [
    (enter(1, BUY, 100, 1), None),
    (enter(1, BUY, 100, 1, time_in_force=GTC), None),
    (enter(1, BUY, 100, 1, time_in_force=OPENING), None),
    (enter(1, BUY, 0, 1, trigger_price=105) | STOP, None),
    (enter(1, BUY, 100, 5, display_quantity=2), None),
    (amend(0, 1, 92, 9), None),
    (cancel(0, 1), None),
    (enter(1, BUY, 100, 1, time_in_force=IOC), "NOT_IN_AUCTION"),
    (enter(1, BUY, 100, 1, time_in_force=FOK), "NOT_IN_AUCTION"),
    (enter(1, BUY, 100, 1) | MARKET, "NOT_IN_AUCTION"),
    (enter(1, BUY, 100, 1, time_in_force=OPENING) | MARKET, "NOT_IN_AUCTION"),
    (enter(1, BUY, 100, 1, flags=Flag.POST_ONLY), "NOT_IN_AUCTION"),
    (amend(0, 1, 92, 9, flags=Flag.POST_ONLY), "NOT_IN_AUCTION"),
]


@pytest.mark.parametrize("now", AUCTION_PHASES)
@pytest.mark.parametrize("command, reason", AUCTION_TAKES)
def test_5_3_what_a_call_auction_takes(
    venue: OpenVenue, command: dict[str, Any], reason: str | None, now: Phase
) -> None:
    if now == AUCTION_ENTRY_ONLY and command["kind"] != CommandKind.ENTER:
        reason = reason or "ENTRY_ONLY"
    emitted = in_phase(venue, now).do(command)
    assert emitted[0][:3] == (("rejected", reason, now) if reason else emitted[0][:3])
    assert (emitted[0][0] == "rejected") is (reason is not None)


def test_8_3_in_a_call_auction_nothing_matches(venue: OpenVenue) -> None:
    book = in_phase(venue, CALL_AUCTION)
    assert book.do(enter(1, SELL, 91, 5), enter(1, BUY, 105, 2)) == [("accepted", 3, 91, 5), ("accepted", 4, 105, 2)]
    assert book.do(amend(1, 4, 106, 3)) == [("amended", 4, 106, 3, 3)]
    assert book.orders() == [(4, 106, 3), (1, 91, 5), (3, 91, 5)]


# 8.4, 8.5 The price

A, B, C, D = range(4)
BOOKS = [  # bids, asks as (price, lots); steps; reference; price, lots, surplus
    ("nothing", [], [], 0, 100, (0, 0, 0)),
    ("apart", [(99, 5)], [(100, 5)], 0, 100, (0, 0, 0)),
    ("one price", [(100, 5)], [(100, 3)], 0, 90, (100, 3, 2)),
    ("the lowest of many", [(104, 5)], [(98, 5)], 0, 110, (98, 5, 0)),
    ("nearest to the reference, within", [(104, 5)], [(98, 5)], AuctionStep.REFERENCE, 101, (101, 5, 0)),
    ("nearest to the reference, above", [(104, 5)], [(98, 5)], AuctionStep.REFERENCE, 110, (104, 5, 0)),
    ("nearest to the reference, below", [(104, 5)], [(98, 5)], AuctionStep.REFERENCE, 90, (98, 5, 0)),
    ("two as near: the lower", [(104, 2), (100, 2)], [(98, 2), (102, 2)], AuctionStep.REFERENCE, 101, (101, 2, 0)),
    ("most lots, not the nearest", [(105, 1), (100, 9)], [(100, 9), (95, 1)], AuctionStep.REFERENCE, 105, (100, 10, 0)),
    ("least imbalance", [(104, 5), (100, 3)], [(98, 5)], AuctionStep.IMBALANCE, 98, (101, 5, 0)),
    (
        "imbalance before reference",
        [(104, 5), (100, 3)],
        [(98, 5)],
        AuctionStep.IMBALANCE | AuctionStep.REFERENCE,
        99,
        (101, 5, 0),
    ),
    ("bids left: no bid above the price", [(104, 8)], [(98, 5)], AuctionStep.REFERENCE, 90, (104, 5, 3)),
    ("offers left: no offer below the price", [(104, 5)], [(98, 8)], AuctionStep.REFERENCE, 110, (98, 5, -3)),
    (
        "neither a bid above nor an offer below",
        [(104, 5), (100, 3)],
        [(98, 5), (102, 3)],
        AuctionStep.REFERENCE,
        110,
        (102, 5, -3),
    ),
    (
        "both left at neighbours: the fewer",
        [(104, 5), (100, 3)],
        [(98, 5), (101, 2)],
        AuctionStep.IMBALANCE,
        90,
        (101, 5, -2),
    ),
    ("ends of the band", [(110, 5)], [(90, 5)], AuctionStep.REFERENCE, 110, (110, 5, 0)),
    ("the middle of an odd number", [(104, 5)], [(98, 5)], AuctionStep.MIDDLE, 110, (101, 5, 0)),
    ("the middle of an even number: the upper", [(103, 5)], [(98, 5)], AuctionStep.MIDDLE, 90, (101, 5, 0)),
    ("the middle of two: the upper", [(101, 5)], [(100, 5)], AuctionStep.MIDDLE, 90, (101, 5, 0)),
    ("the middle of those with bids left", [(104, 5), (102, 3)], [(98, 5)], AuctionStep.MIDDLE, 90, (103, 5, 0)),
    (
        "imbalance before the middle",
        [(104, 5), (100, 3)],
        [(98, 5)],
        AuctionStep.IMBALANCE | AuctionStep.MIDDLE,
        90,
        (103, 5, 0),
    ),
    (
        "both left: the middle of where nothing is",
        [(104, 5), (98, 3)],
        [(97, 5), (101, 2)],
        AuctionStep.IMBALANCE | AuctionStep.MIDDLE,
        90,
        (100, 5, 0),
    ),
    (
        "the reference leaves the middle nothing to decide",
        [(104, 5)],
        [(98, 5)],
        AuctionStep.REFERENCE | AuctionStep.MIDDLE,
        103,
        (103, 5, 0),
    ),
]


@pytest.mark.parametrize(
    "bids, asks, steps, reference, emitted", [case[1:] for case in BOOKS], ids=[case[0] for case in BOOKS]
)
def test_8_4_and_8_5_the_auction_price(
    venue: OpenVenue, bids: list[Any], asks: list[Any], steps: int, reference: int, emitted: tuple[int, int, int]
) -> None:
    book = venue([instrument(auction=steps, reference_price=reference)])
    book.do(phase(CALL_AUCTION), *(enter(A, BUY, *bid) for bid in bids), *(enter(B, SELL, *ask) for ask in asks))
    events = book.do(phase(AUCTION_MATCH))
    assert events[-2:] == [("auction", *emitted), went(AUCTION_MATCH)]
    assert {event[3] for event in events if event[0] == "traded"} <= {emitted[0]}
    assert sum(event[4] for event in events if event[0] == "traded") == emitted[1]
    assert book.do(phase(CONTINUOUS)) == [went(CONTINUOUS)]


@pytest.mark.parametrize("bid, ask, price", [(-2, -5, -3), (0, -1, 0), (-1, -2, -1), (1, 0, 1), (2, -1, 1)])
def test_8_5_the_middle_rounds_up_below_zero_too(venue: OpenVenue, bid: int, ask: int, price: int) -> None:
    book = venue([instrument(floor=-9, ceiling=9, reference_price=0, auction=AuctionStep.MIDDLE)])
    book.do(phase(CALL_AUCTION), enter(A, BUY, bid, 1), enter(B, SELL, ask, 1))
    assert book.do(phase(CONTINUOUS))[-2] == ("auction", price, 1, 0)


def test_8_5_the_previous_settlement_is_the_reference_once_there_was_one(venue: OpenVenue) -> None:
    book = venue([instrument(reference_price=99)])
    book.do(settle(103), phase(CALL_AUCTION), enter(A, BUY, 104, 1), enter(B, SELL, 98, 1))
    assert book.do(phase(CONTINUOUS))[-2] == ("auction", 103, 1, 0)


# 8.6 The trades


def test_8_6_buys_best_price_first_oldest_first_each_with_the_sells_likewise(venue: OpenVenue) -> None:
    book = venue([instrument(auction=0)])
    book.do(
        phase(CALL_AUCTION),
        enter(A, BUY, 101, 3),
        enter(A, BUY, 102, 4),
        enter(B, SELL, 99, 2),
        enter(B, SELL, 98, 3),
        enter(B, BUY, 101, 5),
        enter(C, SELL, 99, 4),
        enter(C, SELL, 103, 1),
        enter(C, BUY, 97, 1),
    )
    assert book.do(phase(CONTINUOUS)) == [
        ("uncrossed", 3, 4),
        ("traded", 3, 5, 101, 3),
        ("traded", 3, 4, 101, 1),
        ("uncrossed", 2, 3),
        ("traded", 2, 4, 101, 1),
        ("traded", 2, 7, 101, 2),
        ("uncrossed", 6, 5),
        ("traded", 6, 7, 101, 2),
        ("auction", 101, 9, 3),
        went(CONTINUOUS),
    ]
    assert book.orders() == [(6, 101, 3), (9, 97, 1), (8, 103, 1)]


def test_8_6_what_an_auction_leaves_of_a_buy_keeps_its_place(venue: OpenVenue) -> None:
    book = venue()
    book.do(
        phase(CALL_AUCTION), enter(A, BUY, 100, 5), enter(B, BUY, 100, 5), enter(C, SELL, 100, 2), phase(AUCTION_MATCH)
    )
    assert book.orders() == [(2, 100, 3), (3, 100, 5)]


def test_8_6_self_match_prevention_does_not_apply(venue: OpenVenue) -> None:
    book = venue(accounts=[account("A", self_match=SelfMatch.CANCEL_BOTH)])
    book.do(phase(CALL_AUCTION), enter(A, BUY, 100, 5, flags=Flag.SMP_CANCEL_BOTH), enter(A, SELL, 100, 5))
    assert book.do(phase(CONTINUOUS))[1] == ("traded", 2, 3, 100, 5)


def test_8_6_an_iceberg_takes_part_whole_in_its_place(venue: OpenVenue) -> None:
    book = venue()
    book.do(
        phase(CALL_AUCTION),
        enter(A, BUY, 100, 9, display_quantity=2),
        enter(A, BUY, 100, 1),
        enter(B, SELL, 100, 9, display_quantity=4),
        enter(B, SELL, 100, 1),
    )
    assert book.do(phase(CONTINUOUS)) == [
        ("displayed", 2, 9, 2),
        ("uncrossed", 2, 9),
        ("displayed", 4, 9, 4),
        ("traded", 2, 4, 100, 9),
        ("uncrossed", 3, 1),
        ("traded", 3, 5, 100, 1),
        ("auction", 100, 10, 0),
        went(CONTINUOUS),
    ]


@pytest.mark.parametrize("bid, ask, last", [(9, 5, ("displayed", 2, 2, 4)), (5, 9, ("displayed", 3, 4, 4))])
def test_8_6_what_is_left_of_an_iceberg_shows_its_display_quantity_again(
    venue: OpenVenue, bid: int, ask: int, last: tuple[str, int, int, int]
) -> None:
    book = venue([instrument(auction=0)])
    book.do(
        phase(CALL_AUCTION), enter(A, BUY, 100, bid, display_quantity=2), enter(B, SELL, 100, ask, display_quantity=4)
    )
    assert book.do(phase(CONTINUOUS))[-3] == last
    assert [order[2] for order in book.orders()] == [4]


def test_8_6_orders_of_an_oco_are_canceled_as_the_other_trades_and_count_once(venue: OpenVenue) -> None:
    """If the second offer of A counted as supply, 103 would trade no more lots than 100."""
    book = venue([instrument(auction=0)])
    book.do(
        phase(CALL_AUCTION),
        enter(A, SELL, 100, 5),
        enter(A, SELL, 101, 5, order_id=2),
        enter(B, SELL, 103, 5),
        enter(C, BUY, 105, 10),
        enter(C, BUY, 91, 7, order_id=5, time_in_force=GTC),
    )
    assert book.do(phase(CONTINUOUS)) == [
        ("uncrossed", 5, 10),
        ("traded", 5, 2, 103, 5),
        ("canceled", 3, "LINKED", 5),
        ("traded", 5, 4, 103, 5),
        ("canceled", 6, "LINKED", 7),
        ("auction", 103, 10, 0),
        went(CONTINUOUS),
    ]


def test_8_6_stops_that_the_auction_price_reaches_are_triggered_after_the_phase(venue: OpenVenue) -> None:
    book = venue()
    book.do(
        enter(A, BUY, 0, 2, trigger_price=103) | STOP,
        phase(CALL_AUCTION),
        enter(B, BUY, 104, 5),
        enter(C, SELL, 104, 5),
        enter(C, SELL, 106, 1),
    )
    assert book.do(phase(AUCTION_MATCH))[-1] == went(AUCTION_MATCH)
    assert book.do(phase(CONTINUOUS)) == [went(CONTINUOUS), ("triggered", 1, 110, 2), ("traded", 1, 5, 106, 1)]


@pytest.mark.parametrize("between", [(HALTED,), (CLOSED,), (HALTED, BREAK)])
def test_8_3_a_crossed_book_that_comes_to_continuous_trading_in_another_way_is_uncrossed(
    venue: OpenVenue, between: tuple[Any, ...]
) -> None:
    book = venue()
    book.do(phase(CALL_AUCTION), enter(A, BUY, 101, 5), enter(B, SELL, 99, 5), *map(phase, between))
    assert len(book.orders()) == 2
    assert book.do(phase(CONTINUOUS)) == [
        ("uncrossed", 2, 5),
        ("traded", 2, 3, 100, 5),
        ("auction", 100, 5, 0),
        went(CONTINUOUS),
    ]
    assert book.do(phase(HALTED), phase(CONTINUOUS)) == [went(HALTED), went(CONTINUOUS)]


def test_8_6_every_field_of_the_events_of_an_auction(venue: OpenVenue) -> None:
    book = venue([instrument("A1"), instrument("B1", auction=0)])
    at = {"instrument": 1}
    book.do(
        phase(CALL_AUCTION, instrument=1),
        enter(A, BUY, 101, 5, client_order_id=b"bid", flags=Flag.LABEL, **at),
        enter(B, SELL, 99, 3, client_order_id=b"offer", **at),
    )
    events = book.events(phase(AUCTION_MATCH, instrument=1) | {"client_order_id": b"match", "side": 2, "account": 3})
    expected: list[dict[str, Any]] = [
        {
            "kind": EventKind.UNCROSSED,
            "order_id": 2,
            "price": 101,
            "quantity": 5,
            "leaves_quantity": 5,
            "account": A,
            "side": BUY,
            "client_order_id": b"bid",
        },
        {
            "kind": EventKind.TRADED,
            "order_id": 2,
            "price": 101,
            "quantity": 3,
            "leaves_quantity": 2,
            "account": A,
            "side": BUY,
            "client_order_id": b"bid",
            "trade_id": 1,
            "resting_order_id": 3,
            "resting_account": B,
            "resting_price": 99,
        },
        {"kind": EventKind.AUCTION, "price": 101, "quantity": 3, "resting_leaves_quantity": 2},
        {"kind": EventKind.PHASE, "quantity": AUCTION_MATCH},
    ]
    rows = np.zeros(len(expected), events.dtype)
    for number, event in enumerate(expected):
        for name, value in {"sequence": 4, "time": 4_000_000_000, "event_id": 4 + number, **at, **event}.items():
            rows[number][name] = value
    assert events.tolist() == rows.tolist()


# 8.9 Entry only


def test_8_9_an_order_can_be_neither_canceled_nor_amended_until_the_auction_has_traded(venue: OpenVenue) -> None:
    book = in_phase(venue, AUCTION_ENTRY_ONLY)
    book.do(enter(A, BUY, 0, 1, trigger_price=105) | STOP)
    refused = [("rejected", "ENTRY_ONLY", AUCTION_ENTRY_ONLY, 0)]
    for command in (
        cancel(A, 1),
        cancel(A, 3),
        cancel(A, 99),  # before "unknown order"
        amend(A, 1, 91, 4),
        amend(A, 1, 92, 9),
        amend(A, 1, 91, 9),
        amend(A, 3, 0, 1, trigger_price=106),
        amend(A, 99, 91, 4),
    ):
        assert book.do(command) == refused
    assert book.orders() == [(1, 91, 5)]
    assert book.do(phase(CONTINUOUS), amend(A, 1, 91, 4), cancel(A, 1))[-2:] == [
        ("amended", 1, 91, 4, 4),
        ("canceled", 1, "NONE", 4),
    ]


@pytest.mark.parametrize("fields", [{"account": A}, {"account": ALL}, {"account": A, "side": BUY}])
def test_8_9_a_mass_cancel_passes_its_orders_by_whoever_sends_it(venue: OpenVenue, fields: dict[str, Any]) -> None:
    book = venue([instrument("A1"), instrument("B1")])
    book.do(*(enter(A, BUY, 91, 5, instrument=number) for number in (0, 1)))
    book.do(enter(A, BUY, 0, 1, trigger_price=105) | STOP, phase(AUCTION_ENTRY_ONLY))
    assert book.do(operator(CommandKind.MASS_CANCEL, instrument=ALL, **fields)) == [
        ("canceled", 2, "MASS_CANCEL", 5),
        ("mass_canceled", 1),
    ]
    assert book.do(operator(CommandKind.MASS_CANCEL, **fields)) == [("mass_canceled", 0)]
    assert book.orders() == [(1, 91, 5)]
    assert book.last(phase(CALL_AUCTION), operator(CommandKind.MASS_CANCEL, **fields))[-1] == ("mass_canceled", 2)


def test_8_9_an_operator_halts_the_instrument_to_take_orders_out(venue: OpenVenue) -> None:
    book = in_phase(venue, AUCTION_ENTRY_ONLY)
    book.do(enter(B, SELL, 90, 5), enter(C, BUY, 92, 5), phase(HALTED))
    assert book.do(operator(CommandKind.MASS_CANCEL, account=C)) == [
        ("canceled", 4, "MASS_CANCEL", 5),
        ("mass_canceled", 1),
    ]
    assert book.do(phase(AUCTION_ENTRY_ONLY)) == [went(AUCTION_ENTRY_ONLY)]
    assert book.last(phase(AUCTION_MATCH))[:2] == [("uncrossed", 1, 5), ("traded", 1, 3, 91, 5)]


def test_8_9_what_the_hub_itself_cancels_it_cancels_in_entry_only_too(venue: OpenVenue) -> None:
    book = venue([instrument(daily_limit=500)])
    book.do(phase(AUCTION_ENTRY_ONLY), enter(A, BUY, 96, 5), enter(A, BUY, 101, 5), enter(B, BUY, 100, 5))
    assert book.do(settle(103))[0] == ("canceled", 2, "OUTSIDE_DAILY_LIMITS", 5)
    book.do(enter(C, BUY, 100, 5, time_in_force=GTC))
    assert book.do(operator(CommandKind.END_DAY)) == [
        ("canceled", 3, "DAY_ENDED", 5),
        ("canceled", 4, "DAY_ENDED", 5),
        ("day_ended", 2),
    ]
    assert book.do(operator(CommandKind.EXPIRE))[0] == ("canceled", 6, "INSTRUMENT_EXPIRY", 5)


def test_8_9_a_kill_switch_refuses_new_orders_and_those_that_rest_stay(venue: OpenVenue) -> None:
    book = venue(risk=True)
    book.do(enter(A, BUY, 100, 5), phase(AUCTION_ENTRY_ONLY))
    book.do(operator(CommandKind.KILL_SWITCH, Scope.ACCOUNT, account=A, quantity=1))
    assert book.do(enter(A, BUY, 100, 1)) == [("rejected", "ACCOUNT_KILLED", A, 0)]
    assert book.do(operator(CommandKind.MASS_CANCEL, account=A)) == [("mass_canceled", 0)]
    assert book.orders() == [(1, 100, 5)]


@pytest.mark.parametrize("before", [CONTINUOUS, CALL_AUCTION, HALTED, BREAK, CLOSED])
@pytest.mark.parametrize("after", [AUCTION_MATCH, CONTINUOUS])
def test_8_9_the_auction_trades_when_entry_only_ends(venue: OpenVenue, before: Phase, after: Phase) -> None:
    book = in_phase(venue, before)
    book.do(phase(AUCTION_ENTRY_ONLY))
    ((_, buy, *_), (_, sell, *_)) = book.do(enter(B, BUY, 105, 1, time_in_force=OPENING), enter(C, SELL, 91, 4))
    assert book.do(phase(after)) == [
        ("uncrossed", buy, 1),
        ("traded", buy, sell, 91, 1),
        ("uncrossed", 1, 5),
        ("traded", 1, sell, 91, 3),
        ("auction", 91, 4, 2),
        went(after),
    ]


def test_8_9_the_end_of_entry_only_is_an_auction_even_where_nothing_trades(venue: OpenVenue) -> None:
    book = in_phase(venue, AUCTION_ENTRY_ONLY)
    book.do(enter(B, BUY, 90, 1, time_in_force=OPENING))
    assert book.do(phase(CONTINUOUS)) == [
        ("canceled", 3, "AUCTION_ENDED", 1),
        ("auction", 0, 0, 0),
        went(CONTINUOUS),
    ]


def test_8_9_a_closing_auction(venue: OpenVenue) -> None:
    """SSE: continuous trading, 14:57 entry only, 15:00 one price, closed."""
    book = venue([instrument(auction=AuctionStep.IMBALANCE | AuctionStep.MIDDLE)])
    book.do(enter(A, BUY, 99, 5), enter(B, SELL, 104, 5), phase(AUCTION_ENTRY_ONLY), enter(C, BUY, 104, 5))
    book.do(enter(D, SELL, 101, 5))
    assert book.do(phase(AUCTION_MATCH), phase(CLOSED)) == [
        ("uncrossed", 4, 5),
        ("traded", 4, 5, 102, 5),
        ("auction", 102, 5, 0),
        went(AUCTION_MATCH),
        went(CLOSED),
    ]
    assert book.orders() == [(1, 99, 5), (2, 104, 5)]


# 9.1 Daily limits


def test_9_1_the_settlement_price_makes_the_next_days_band_and_orders_outside_are_canceled(venue: OpenVenue) -> None:
    """4 % of 105 are 4.2 ticks, so 101 to 109; 110 at the ladder's end is outside."""
    book = venue([instrument(daily_limit=400)])
    assert book.do(enter(A, BUY, 95, 1), enter(A, SELL, 105, 1)) == [
        ("rejected", "PRICE_BELOW_BAND", 95, 96),
        ("rejected", "PRICE_ABOVE_BAND", 105, 104),
    ]
    book.do(
        enter(A, BUY, 97, 1),
        enter(A, BUY, 101, 1),
        enter(A, SELL, 104, 1, display_quantity=0),
        enter(B, SELL, 0, 1, trigger_price=97) | STOP,
        enter(B, BUY, 0, 1, trigger_price=102) | STOP,
        enter(B, BUY, 97, 1, trigger_price=103) | {"order_type": OrderType.STOP_LIMIT},
    )
    assert book.do(settle(104)) == [
        ("canceled", 3, "OUTSIDE_DAILY_LIMITS", 1),
        ("canceled", 8, "OUTSIDE_DAILY_LIMITS", 1),
        ("canceled", 6, "OUTSIDE_DAILY_LIMITS", 1),
        ("settled", 0, 104, 0, 100, 108),
    ]
    assert book.orders() == [(4, 101, 1), (5, 104, 1)]


@pytest.mark.parametrize("settlement, reason, bound", [(105, "PRICE_ABOVE_BAND", 104), (95, "PRICE_BELOW_BAND", 96)])
def test_11_2_a_settlement_price_outside_the_band_of_its_day_is_refused(
    venue: OpenVenue, settlement: int, reason: str, bound: int
) -> None:
    book = venue([instrument(daily_limit=400)])
    assert book.do(settle(settlement)) == [("rejected", reason, settlement, bound)]


@pytest.mark.parametrize(
    "settlement, limit, band",
    [
        (100, 400, (96, 104)),
        (104, 400, (100, 108)),
        (96, 490, (92, 100)),
        (100, 1, (99, 101)),
        (100, 0, (90, 110)),
        (100, 10_000, (90, 110)),
        (109, 900, (100, 110)),
    ],
)
def test_9_1_the_limit_is_rounded_towards_zero_at_least_a_tick_within_the_ladder(
    venue: OpenVenue, settlement: int, limit: int, band: tuple[int, int]
) -> None:
    book = venue([instrument(daily_limit=limit)])
    assert book.do(settle(settlement)) == [("settled", 0, settlement, 0, *band)]


def test_9_1_a_market_order_gets_the_edge_of_the_days_band(venue: OpenVenue) -> None:
    book = venue([instrument(daily_limit=400)])
    assert book.do(enter(A, BUY, 0, 1) | MARKET, enter(B, BUY, 0, 1, trigger_price=105) | STOP) == [
        ("accepted", 1, 104, 1),
        ("rejected", "TRIGGER_ABOVE_BAND", 105, 104),
    ]


# 9.3 Circuit breaker

FAST: dict[str, Any] = {
    "velocity": 3,
    "velocity_window": 2000,
}  # slices of a second; rows come a second apart unless they have a time


def at(command: dict[str, Any], milliseconds: int) -> dict[str, Any]:
    return command | {"time": 10_000_000_000 + milliseconds * MILLISECOND}


def offers(book: Venue, *prices: int) -> None:
    """One lot offered, or bid for, at each price."""
    book.do(*(at(enter(D, SELL if price > 100 else BUY, price, 1), 0) for price in prices))


@pytest.mark.parametrize("side, sign", [(BUY, 1), (SELL, -1)])
def test_9_3_an_order_that_would_go_on_rests_and_trading_goes_over_into_a_call_auction(
    venue: OpenVenue, side: Side, sign: int
) -> None:
    book = venue([instrument(**FAST)])
    offers(book, 100 + sign * 2, 100 + sign * 3, 100 + sign * 4)
    limit = 100 + sign * 5
    assert book.do(at(enter(A, side, limit, 5), 0)) == [
        ("accepted", 4, limit, 5),
        ("traded", 4, 1, 100 + sign * 2, 1),
        ("traded", 4, 2, 100 + sign * 3, 1),
        went(CALL_AUCTION, "VELOCITY"),
    ]
    assert sorted(book.orders()) == [(3, 100 + sign * 4, 1), (4, limit, 3)]
    assert book.do(at(phase(CONTINUOUS), 0))[:2] == [
        ("uncrossed", *((4, 3) if sign == 1 else (3, 1))),
        ("traded", *((4, 3) if sign == 1 else (3, 4)), limit, 1),
    ]


def test_9_3_an_order_that_ends_where_the_range_ends_changes_nothing(venue: OpenVenue) -> None:
    book = venue([instrument(**FAST)])
    offers(book, 102, 103, 104)
    assert book.do(at(enter(A, BUY, 103, 5), 0))[-1] == ("traded", 4, 2, 103, 1)
    assert book.do(at(enter(A, SELL, 103, 3), 0))[-1] == ("traded", 5, 4, 103, 3)


@pytest.mark.parametrize(
    "fields, emitted",
    [
        ({"time_in_force": IOC}, [("traded", 4, 1, 102, 1), ("traded", 4, 2, 103, 1), ("canceled", 4, "VELOCITY", 3)]),
        ({**MARKET}, [("traded", 4, 1, 102, 1), ("traded", 4, 2, 103, 1), ("canceled", 4, "VELOCITY", 3)]),
        ({"time_in_force": IOC, "minimum_quantity": 3}, [("canceled", 4, "MINIMUM_NOT_AVAILABLE", 5)]),
        ({"time_in_force": FOK}, [("canceled", 4, "FOK_NOT_FILLED", 5)]),
        ({"time_in_force": FOK, "quantity": 3}, [("canceled", 4, "FOK_NOT_FILLED", 3)]),
        ({"time_in_force": FOK, "quantity": 2}, [("traded", 4, 1, 102, 1), ("traded", 4, 2, 103, 1)]),
    ],
)
def test_9_3_orders_that_may_not_rest_are_canceled_and_the_market_stays_open(
    venue: OpenVenue, fields: dict[str, Any], emitted: list[Any]
) -> None:
    book = venue([instrument(**FAST)])
    offers(
        book,
        102,
        103,
        104,
    )
    assert book.do(at(enter(A, BUY, 110, 5) | fields, 0))[1:] == emitted
    assert book.do(at(enter(A, BUY, 91, 1), 0)) == [("accepted", 5, 91, 1)]


def test_9_3_the_trades_of_the_present_and_the_previous_slice_count(venue: OpenVenue) -> None:
    book = venue([instrument(**FAST)])
    offers(book, 102, 104, 106)
    book.do(at(enter(A, BUY, 102, 1), 500))
    assert book.do(at(enter(A, BUY, 106, 1, time_in_force=IOC), 1500))[1:] == [("traded", 5, 2, 104, 1)]
    assert book.do(at(enter(A, BUY, 106, 1, time_in_force=IOC), 1999))[1:] == [("canceled", 6, "VELOCITY", 1)]
    # 102 is of the slice before the last by now; 104 counts
    assert book.do(at(enter(A, BUY, 106, 1, time_in_force=IOC), 2000))[1:] == [("traded", 7, 3, 106, 1)]


def test_9_3_without_trades_in_them_the_last_price_counts(venue: OpenVenue) -> None:
    book = venue([instrument(**FAST)])
    offers(book, 102, 105, 106)
    book.do(at(enter(A, BUY, 102, 1), 500))
    assert book.do(at(enter(A, BUY, 106, 2, time_in_force=IOC), 9000))[1:] == [
        ("traded", 5, 2, 105, 1),
        ("canceled", 5, "VELOCITY", 1),
    ]


def test_9_3_the_order_s_own_trades_count(venue: OpenVenue) -> None:
    """It buys at 95, far below the last price. From there it may go up to 98."""
    book = venue([instrument(**FAST)])
    book.do(at(enter(D, SELL, 95, 1), 0), at(enter(D, SELL, 98, 1), 0), at(enter(D, SELL, 99, 1), 0))
    assert book.do(at(enter(A, BUY, 105, 3, time_in_force=IOC), 0))[1:] == [
        ("traded", 4, 1, 95, 1),
        ("traded", 4, 2, 98, 1),
        ("canceled", 4, "VELOCITY", 1),
    ]
    book.do(at(enter(D, SELL, 95, 1), 2500))
    assert book.do(at(enter(A, BUY, 105, 2, time_in_force=FOK), 2500))[1:] == [("canceled", 6, "FOK_NOT_FILLED", 2)]


def test_9_3_a_phase_to_continuous_clears_the_slices(venue: OpenVenue) -> None:
    book = venue([instrument(**FAST)])
    offers(book, 102, 105, 106)
    book.do(at(enter(A, BUY, 102, 1), 0), at(enter(B, BUY, 101, 1), 0), at(enter(B, SELL, 101, 1), 0))
    book.do(at(enter(A, BUY, 102, 1), 0), at(enter(B, SELL, 102, 1), 0))
    assert book.do(at(enter(A, BUY, 105, 1, time_in_force=IOC), 0))[-1] == ("canceled", 9, "VELOCITY", 1)
    assert book.do(at(phase(HALTED), 0), at(phase(CONTINUOUS), 0), at(enter(A, BUY, 105, 1, time_in_force=IOC), 0))[
        -1
    ] == ("traded", 12, 2, 105, 1)


@pytest.mark.parametrize(
    "which, value, later", [(Limit.INSTRUMENT_VELOCITY, 3, 0), (Limit.INSTRUMENT_VELOCITY_WINDOW, 4000, 10_000)]
)
def test_9_3_a_limit_of_velocity_or_its_window_clears_the_slices(
    venue: OpenVenue, which: Limit, value: int, later: int
) -> None:
    """Second 10 is slice 10; with the longer window second 20 is."""
    book = venue([instrument(**FAST)], risk=True)
    offers(book, 102, 105, 106)
    book.do(at(enter(A, BUY, 102, 1), 0), at(enter(B, BUY, 101, 1), 0), at(enter(B, SELL, 101, 1), 0))
    book.do(at(enter(A, BUY, 102, 1), 0), at(enter(B, SELL, 102, 1), 0))
    assert book.do(at(enter(A, BUY, 105, 1, time_in_force=IOC), 0))[-1] == ("canceled", 9, "VELOCITY", 1)
    book.do(at(operator(CommandKind.LIMIT, which, quantity=value), 0))
    assert book.do(at(enter(A, BUY, 105, 1, time_in_force=IOC), later))[-1] == ("traded", 11, 2, 105, 1)


@pytest.mark.parametrize("now", AUCTION_PHASES)
def test_11_7_liquidation_waits_for_the_end_of_a_call_auction(venue: OpenVenue, now: Phase) -> None:
    book = in_phase(venue, now)
    assert book.do(operator(CommandKind.LIQUIDATE, account=0)) == [("rejected", "NOT_IN_AUCTION", now, 0)]
    book.do(phase(CONTINUOUS))
    assert book.do(operator(CommandKind.LIQUIDATE, account=0))[0] == ("canceled", 1, "LIQUIDATION", 5)


def test_9_3_an_amended_order_is_stopped_too(venue: OpenVenue) -> None:
    book = venue([instrument(**FAST)])
    offers(book, 104, 106)
    book.do(at(enter(A, BUY, 99, 5), 0))
    assert book.do(at(amend(A, 3, 106, 5), 0)) == [("amended", 3, 106, 5, 5), went(CALL_AUCTION, "VELOCITY")]


def test_9_3_triggered_orders_are_stopped_too_and_then_no_more_are_triggered(venue: OpenVenue) -> None:
    book = venue([instrument(**FAST)])
    stop_limit = {"order_type": OrderType.STOP_LIMIT}
    offers(book, 102, 106)
    book.do(
        at(enter(A, BUY, 0, 2, trigger_price=101) | STOP, 0),
        at(enter(A, BUY, 106, 2, trigger_price=102) | stop_limit, 0),
        at(enter(A, BUY, 106, 2, trigger_price=102) | stop_limit, 0),
    )
    assert book.do(at(enter(B, BUY, 102, 1), 0)) == [
        ("accepted", 6, 102, 1),
        ("traded", 6, 1, 102, 1),
        ("triggered", 3, 110, 2),
        ("canceled", 3, "VELOCITY", 2),
        ("triggered", 4, 106, 2),
        went(CALL_AUCTION, "VELOCITY"),
    ]
    assert book.do(at(phase(CONTINUOUS), 0)) == [
        ("uncrossed", 4, 2),
        ("traded", 4, 2, 106, 1),
        ("auction", 106, 1, 1),
        went(CONTINUOUS),
        ("triggered", 5, 106, 2),
    ]


# 9.4 Limit-locked

LOCKED = {BUY: enter(A, BUY, 110, 5), SELL: enter(A, SELL, 90, 5)}


@pytest.mark.parametrize("side", [BUY, SELL])
def test_9_4_a_market_is_limit_locked_with_the_best_at_the_limit_and_no_order_on_the_other_side(
    venue: OpenVenue, side: Side
) -> None:
    book = venue()
    refused = [("rejected", "NOT_LIMIT_LOCKED", CONTINUOUS, LIMIT_LOCKED)]
    assert book.do(phase(LIMIT_LOCKED)) == refused
    book.do(enter(A, side, 100, 5))
    assert book.do(phase(LIMIT_LOCKED)) == refused
    book.do(LOCKED[side])
    assert book.do(phase(LIMIT_LOCKED)) == [went(LIMIT_LOCKED)]
    assert book.do(enter(A, side, 100, 5), phase(LIMIT_LOCKED)) == [("accepted", 6, 100, 5), went(LIMIT_LOCKED)]


def test_9_4_an_offer_keeps_a_market_from_being_locked(venue: OpenVenue) -> None:
    book = venue()
    book.do(phase(CALL_AUCTION), LOCKED[BUY], enter(B, SELL, 110, 9), phase(CONTINUOUS))
    assert book.do(phase(LIMIT_LOCKED)) == [("rejected", "NOT_LIMIT_LOCKED", CONTINUOUS, LIMIT_LOCKED)]


@pytest.mark.parametrize(
    "command",
    [
        cancel(A, 1),
        amend(A, 1, 109, 5),
        enter(B, SELL, 110, 9),
        operator(CommandKind.MASS_CANCEL, account=ALL, instrument=ALL),
        operator(CommandKind.END_DAY),
    ],
)
def test_9_4_trading_is_continuous_again_once_the_market_is_no_longer_locked(
    venue: OpenVenue, command: dict[str, Any]
) -> None:
    book = venue([instrument("A1"), instrument("B1")])
    book.do(LOCKED[BUY], phase(LIMIT_LOCKED))
    assert book.do(command)[-1] == went(CONTINUOUS, "LIMIT_LOCK")


def test_9_4_a_settlement_that_moves_the_limit_away_ends_it_too(venue: OpenVenue) -> None:
    book = venue([instrument(daily_limit=1000)])
    book.do(LOCKED[BUY], phase(LIMIT_LOCKED))
    assert book.do(settle(95)) == [
        ("canceled", 1, "OUTSIDE_DAILY_LIMITS", 5),
        ("settled", 0, 95, 1, 90, 107),
        went(CONTINUOUS, "LIMIT_LOCK"),
    ]


@pytest.mark.parametrize(
    "command", [enter(B, SELL, 110, 4), enter(B, BUY, 110, 1), enter(B, SELL, 109, 2, time_in_force=IOC)]
)
def test_9_4_trading_goes_on_while_it_is_locked(venue: OpenVenue, command: dict[str, Any]) -> None:
    book = venue()
    book.do(LOCKED[BUY], phase(LIMIT_LOCKED))
    assert all(event[0] in ("accepted", "traded") for event in book.do(command))
    assert book.do(phase(BREAK)) == [went(BREAK)]


def test_9_4_a_market_that_swings_to_the_other_limit_is_no_longer_locked(venue: OpenVenue) -> None:
    book = venue()
    book.do(LOCKED[BUY], phase(LIMIT_LOCKED))
    assert book.do(enter(B, SELL, 90, 9)) == [
        ("accepted", 3, 90, 9),
        ("traded", 3, 1, 110, 5),
        went(CONTINUOUS, "LIMIT_LOCK"),
    ]
    assert book.do(phase(LIMIT_LOCKED)) == [went(LIMIT_LOCKED)]


def test_9_4_stops_are_triggered_while_it_is_locked_and_the_phase_is_the_last_event(venue: OpenVenue) -> None:
    book = venue()
    book.do(enter(B, SELL, 0, 6, trigger_price=99) | STOP, LOCKED[BUY], enter(A, BUY, 98, 1), phase(LIMIT_LOCKED))
    assert book.do(enter(C, SELL, 98, 6)) == [
        ("accepted", 5, 98, 6),
        ("traded", 5, 2, 110, 5),
        ("traded", 5, 3, 98, 1),
        ("triggered", 1, 90, 6),
        went(CONTINUOUS, "LIMIT_LOCK"),
    ]


def closed_locked(date: int, side: Side, price: int) -> tuple[Any, ...]:
    """A day that ends locked on a side, and settles at the limit there."""
    return (
        operator(CommandKind.BEGIN_DAY, quantity=date),
        phase(CONTINUOUS),
        operator(CommandKind.MASS_CANCEL, account=ALL),
        enter(A, side, 0, 1) | MARKET,
        phase(LIMIT_LOCKED),
        phase(CLOSING),
        phase(SETTLEMENT),
        settle(price),
        phase(CLOSED),
    )


def days_locked(emitted: list[Any]) -> list[tuple[int, int, int, int]]:
    return [event[2:] for event in emitted if event[0] == "settled"]


@pytest.mark.parametrize(
    "side, prices, bands",
    [
        (BUY, (1040, 1112, 1212), ((968, 1112), (1012, 1212), (1103, 1321))),
        (SELL, (960, 893, 813), ((893, 1027), (813, 973), (740, 886))),
    ],
)
def test_9_4_days_locked_in_a_row_widen_the_limit(
    venue: OpenVenue, side: Side, prices: tuple[int, int, int], bands: tuple[Any, ...]
) -> None:
    """4 %, then 7 % after the first locked day and 9 % after the second. A day that is not locked ends the row."""
    book = venue([instrument(floor=0, ceiling=3000, reference_price=1000, daily_limit=400)])
    book.do(phase(CLOSED))
    for days, (price, band) in enumerate(zip(prices, bands, strict=True), 1):
        assert days_locked(book.do(*closed_locked(2027_01_04 + days, side, price))) == [(price, days, *band)]
    calm = operator(CommandKind.BEGIN_DAY, quantity=2027_01_11), phase(CONTINUOUS), phase(CLOSED), settle(prices[-1])
    assert days_locked(book.do(*calm))[0][1] == 0


def test_9_4_a_day_locked_on_the_other_side_is_the_first(venue: OpenVenue) -> None:
    book = venue([instrument(floor=0, ceiling=3000, reference_price=1000, daily_limit=400)])
    book.do(phase(CLOSED))
    assert days_locked(book.do(*closed_locked(2027_01_04, BUY, 1040)))[0][1] == 1
    assert days_locked(book.do(*closed_locked(2027_01_05, SELL, 968)))[0][1] == 1


def test_9_4_a_locked_market_that_the_hub_turns_into_an_auction_has_not_closed_locked(venue: OpenVenue) -> None:
    book = venue([instrument(velocity=3, velocity_window=10_000)])
    book.do(enter(A, BUY, 110, 1), enter(A, BUY, 100, 1), phase(LIMIT_LOCKED))
    assert book.do(enter(B, SELL, 100, 2))[-1] == went(CALL_AUCTION, "VELOCITY")
    assert book.do(settle(100)) == [("settled", 0, 100, 0, 90, 110)]


def test_11_3_a_second_settlement_of_the_day_corrects_the_price_and_counts_no_day(venue: OpenVenue) -> None:
    book = venue([instrument(floor=0, ceiling=3000, reference_price=1000, daily_limit=400)])
    book.do(phase(CLOSED), *closed_locked(2027_01_04, BUY, 1040))
    assert book.do(settle(1000)) == [("settled", 0, 1000, 1, 930, 1070)]
    assert book.do(settle(965)) == [("canceled", 5, "OUTSIDE_DAILY_LIMITS", 1), ("settled", 0, 965, 1, 898, 1032)]


# 11.8


def test_11_8_an_instrument_that_expires_loses_its_orders(venue: OpenVenue) -> None:
    book = venue([instrument("A1"), instrument("B1")])
    book.do(
        enter(A, BUY, 99, 1),
        enter(A, SELL, 101, 1),
        enter(B, BUY, 0, 1, trigger_price=105) | STOP,
        enter(A, BUY, 99, 1, instrument=1),
        phase(CLOSED),
    )
    assert book.do(operator(CommandKind.EXPIRE)) == [
        ("canceled", 1, "INSTRUMENT_EXPIRY", 1),
        ("canceled", 2, "INSTRUMENT_EXPIRY", 1),
        ("canceled", 3, "INSTRUMENT_EXPIRY", 1),
        ("expired", 0, 3),
    ]
    assert book.do(phase(CLOSED), enter(A, BUY, 99, 1), operator(CommandKind.EXPIRE)) == [
        ("rejected", "PHASE_TRANSITION", EXPIRED, CLOSED),
        ("rejected", "INSTRUMENT_EXPIRED", EXPIRED, 0),
        ("rejected", "PHASE_TRANSITION", EXPIRED, EXPIRED),
    ]


# 13.2


@pytest.mark.parametrize("side, sides, canceled", [(BUY, BUY, 1), (SELL, 0, 1), (SELL, BUY, 0)])
def test_13_2_an_offer_without_bids_is_canceled_by_a_mass_cancel(
    venue: OpenVenue, side: Side, sides: int, canceled: int
) -> None:
    book = venue([instrument(mechanism=Mechanism.ONE_SIDED)])
    book.do(phase(CALL_AUCTION), enter(A, side, 100, 5))
    assert book.do(operator(CommandKind.MASS_CANCEL, side=sides, account=A))[-1] == ("mass_canceled", canceled)
    assert len(book.orders()) == 1 - canceled
