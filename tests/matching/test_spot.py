"""The spot side as situations, and one-sided auctions against a definition: RULEBOOK 13.

Accounts A to D have no group; E and F are one group. The band is 90 to 110. Events are in short form.
"""

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exchange import Exchange
from matching.codes import (
    ALL,
    RESTING_OFFSET,
    CommandKind,
    EventKind,
    Flag,
    Limit,
    Mechanism,
    OrderType,
    Phase,
    Reason,
    Scope,
    Side,
    TimeInForce,
)
from matching.invariants import check_book
from matching.records import EVENT
from matching.spot import COUNTDOWN
from risk.limits import Account
from tests.build import SECOND, account, amend, cancel, enter, instrument, operator, rows
from tests.effort import examples
from tests.venue import brief

BUY, SELL = Side.BUY, Side.SELL
LISTING, ONE_SIDED, NEGOTIATED = Mechanism.LISTING, Mechanism.ONE_SIDED, Mechanism.NEGOTIATED
CALL_AUCTION, AUCTION_MATCH, CONTINUOUS = Phase.CALL_AUCTION, Phase.AUCTION_MATCH, Phase.CONTINUOUS
OPENING, GTC, IOC, FOK = TimeInForce.OPENING, TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK
A, B, C, D, E, F = range(6)
FIELDS = {
    EventKind.COUNTDOWN: ("order_id", "price", "quantity"),
    EventKind.PHASE: ("instrument", "quantity"),
    EventKind.UNCROSSED: ("order_id", "price", "quantity"),
    EventKind.AUCTION: ("price", "quantity", "resting_leaves_quantity"),
}


def short(event: np.record) -> tuple[Any, ...]:
    kind = EventKind(event["kind"])
    return (kind.name.lower(), *(int(event[field]) for field in FIELDS[kind])) if kind in FIELDS else brief(event)


class Hub:
    """An Exchange of one instrument. It gives events in short form and checks its book after every call."""

    def __init__(
        self, mechanism: Mechanism, risk: bool = False, accounts: list[Account] | None = None, **terms: Any
    ) -> None:
        phase = CALL_AUCTION if mechanism == ONE_SIDED else CONTINUOUS
        members = accounts or [account(f"{name}", group=1 if name in "EF" else None) for name in "ABCDEF"]
        self.exchange = Exchange(
            [instrument(mechanism=mechanism, phase=phase, **terms)], members, risk=risk, max_orders=100
        )

    def events(self, *commands: dict[str, Any]) -> np.ndarray:
        events = self.exchange.apply(rows(*commands, start=self.exchange.sequence + 1))
        check_book(self.exchange.book)
        return events

    def do(self, *commands: dict[str, Any]) -> list[Any]:
        return [short(event) for event in self.events(*commands)]

    def orders(self) -> list[Any]:
        return [
            (int(order["order_id"]), int(order["price"]), int(order["leaves_quantity"]))
            for order in self.exchange.orders("SC2701")
        ]


def take(account: int, order_id: int, lots: int, **fields: Any) -> dict[str, Any]:
    return {"kind": CommandKind.TAKE, "account": account, "order_id": order_id, "quantity": lots, **fields}


def phase(to: Phase) -> dict[str, Any]:
    return operator(CommandKind.PHASE, to)


# 13.1 Listing


def test_13_1_nothing_matches_by_itself_and_a_take_trades_a_part_or_all_at_the_price_of_the_offer() -> None:
    hub = Hub(LISTING)
    assert hub.do(enter(A, SELL, 100, 9), enter(B, BUY, 105, 4)) == [("accepted", 1, 100, 9), ("accepted", 2, 105, 4)]
    assert hub.do(take(C, 1, 3)) == [("accepted", 3, 100, 3), ("traded", 3, 1, 100, 3)]
    assert hub.orders() == [(2, 105, 4), (1, 100, 6)]
    assert hub.do(take(C, 2, 4)) == [("accepted", 4, 105, 4), ("traded", 4, 2, 105, 4)]
    assert hub.do(take(D, 1, 6)) == [("accepted", 5, 100, 6), ("traded", 5, 1, 100, 6)]
    assert hub.orders() == [] and hub.exchange.last_price("SC2701") == 100
    assert hub.do(take(D, 1, 1)) == [("rejected", "UNKNOWN_ORDER", 1, 0)]


def test_13_1_every_field_of_the_events_of_a_take() -> None:
    hub = Hub(LISTING, offset=True)
    hub.do(enter(A, SELL, 101, 9, client_order_id=b"offer", flags=Flag.CLOSE))
    events = hub.events(take(B, 1, 4, client_order_id=b"take", flags=Flag.LABEL | Flag.OPEN, side=SELL, price=7))
    taker = {"order_id": 2, "account": B, "side": BUY, "client_order_id": b"take", "price": 101, "quantity": 4}
    expected = [
        {"kind": EventKind.ACCEPTED, "leaves_quantity": 4, "flags": Flag.LABEL | Flag.OPEN, **taker},
        {
            "kind": EventKind.TRADED,
            "trade_id": 1,
            "resting_order_id": 1,
            "resting_account": A,
            "resting_leaves_quantity": 5,
            "resting_price": 101,
            "flags": Flag.OPEN | Flag.CLOSE << RESTING_OFFSET,
            **taker,
        },
    ]
    block = np.zeros(2, EVENT)
    for number, event in enumerate(expected):
        for name, value in {"event_id": number + 2, "sequence": 2, "time": 2 * SECOND, **event}.items():
            block[number][name] = value
    assert events.tolist() == block.tolist()
    assert events.tobytes() == block.tobytes()


@pytest.mark.parametrize(
    "command, refusal",
    [
        (take(B, 1, 0), ("INVALID_QUANTITY", 0, 1)),
        (take(B, 1, -1), ("INVALID_QUANTITY", -1, 1)),
        (take(B, 1, 10), ("INVALID_QUANTITY", 10, 9)),
        (take(B, 1, 3), ("QUANTITY_BELOW_MINIMUM", 3, 4)),
        (take(B, 7, 5), ("UNKNOWN_ORDER", 7, 0)),
        (take(B, 0, 5), ("UNKNOWN_ORDER", 0, 0)),
        (take(A, 1, 5), ("NOT_COUNTERPARTY", A, A)),
        (take(9, 1, 5), ("UNKNOWN_ACCOUNT", 9, 5)),
        (take(B, 1, 5, instrument=1), ("UNKNOWN_INSTRUMENT", 1, 0)),
        (take(B, 1, 5, flags=Flag.PARKED), ("INVALID_FLAGS", 1024, 0)),
    ],
)
def test_13_1_a_take_of_what_is_not_offered_is_refused_and_changes_nothing(
    command: dict[str, Any], refusal: tuple[str, int, int]
) -> None:
    hub = Hub(LISTING)
    hub.do(enter(A, SELL, 100, 9, minimum_quantity=4))
    state = {
        name: array.tolist() for name, array in hub.exchange.state().items() if name not in ("sequence", "book_state")
    }
    assert hub.do(command) == [("rejected", *refusal)]
    assert {name: array.tolist() for name, array in hub.exchange.state().items() if name in state} == state


def test_13_1_the_last_lots_may_be_fewer_than_the_least_of_one_take() -> None:
    hub = Hub(LISTING)
    hub.do(enter(A, SELL, 100, 9, minimum_quantity=4), take(B, 1, 6))
    assert hub.do(take(C, 1, 2)) == [("rejected", "QUANTITY_BELOW_MINIMUM", 2, 3)]
    assert hub.do(take(C, 1, 3))[-1] == ("traded", 4, 1, 100, 3)


def test_13_1_an_offer_of_ones_own_group_is_not_taken() -> None:
    hub = Hub(LISTING)
    hub.do(enter(E, SELL, 100, 9))
    assert hub.do(take(F, 1, 9)) == [("rejected", "NOT_COUNTERPARTY", F, E)]


@pytest.mark.parametrize("mechanism", [LISTING, NEGOTIATED])
@pytest.mark.parametrize(
    "change",
    [
        {"order_type": OrderType.MARKET},
        {"time_in_force": IOC},
        {"time_in_force": FOK},
        {"flags": Flag.POST_ONLY},
        {"display_quantity": 2},
        {"order_type": OrderType.STOP, "trigger_price": 105},
    ],
)
def test_13_1_and_13_3_an_offer_is_a_plain_limit_order_that_waits(mechanism: Mechanism, change: dict[str, Any]) -> None:
    hub = Hub(mechanism)
    assert hub.do(enter(A, SELL, 100, 5, counterparty=B if mechanism == NEGOTIATED else 0) | change) == [
        ("rejected", "WRONG_MECHANISM", mechanism, 0)
    ]
    assert hub.orders() == []


@pytest.mark.parametrize(
    "mechanism, phases",
    [
        (LISTING, [CALL_AUCTION]),
        (NEGOTIATED, [CALL_AUCTION]),
        (ONE_SIDED, [CONTINUOUS]),
        (ONE_SIDED, [Phase.HALTED, CONTINUOUS]),
    ],
)
def test_13_each_mechanism_has_its_phase(mechanism: Mechanism, phases: list[Phase]) -> None:
    hub = Hub(mechanism)
    hub.do(*map(phase, phases))
    order = enter(A, SELL, 100, 5, counterparty=B if mechanism == NEGOTIATED else 0)
    assert hub.do(order) == [("rejected", "WRONG_MECHANISM", mechanism, 0)]


@pytest.mark.parametrize("mechanism", [Mechanism.ORDER_BOOK, ONE_SIDED])
def test_13_take_is_refused_by_other_mechanisms(mechanism: Mechanism) -> None:
    hub = Hub(mechanism)
    hub.do(enter(A, SELL, 100, 5))
    assert hub.do(take(B, 1, 5)) == [("rejected", "WRONG_MECHANISM", mechanism, 0)]


@pytest.mark.parametrize("mechanism", [LISTING, ONE_SIDED, NEGOTIATED])
def test_13_offers_and_bids_are_not_amended(mechanism: Mechanism) -> None:
    hub = Hub(mechanism)
    hub.do(enter(A, SELL, 100, 5, counterparty=B if mechanism == NEGOTIATED else 0))
    assert hub.do(amend(A, 1, 100, 4))[0][:2] == ("rejected", "WRONG_MECHANISM")


@pytest.mark.parametrize("halt, reason", [(Phase.HALTED, "INSTRUMENT_HALTED"), (Phase.CLOSED, "INSTRUMENT_CLOSED")])
def test_13_1_a_take_needs_an_open_market(halt: Phase, reason: str) -> None:
    hub = Hub(LISTING)
    hub.do(enter(A, SELL, 100, 5), phase(halt))
    assert hub.do(take(B, 1, 5)) == [("rejected", reason, halt, 0)]


def test_13_1_phases_of_a_listing_hold_no_auction_though_offers_cross() -> None:
    hub = Hub(LISTING)
    hub.do(enter(A, SELL, 100, 5), enter(B, BUY, 105, 5), phase(Phase.HALTED))
    assert hub.do(phase(CALL_AUCTION), phase(AUCTION_MATCH), phase(CONTINUOUS)) == [
        ("phase", 0, CALL_AUCTION),
        ("phase", 0, AUCTION_MATCH),
        ("phase", 0, CONTINUOUS),
    ]
    assert hub.do(phase(Phase.LIMIT_LOCKED))[0][:2] == ("rejected", "NOT_LIMIT_LOCKED")
    assert hub.do(cancel(A, 1)) == [("canceled", 1, "NONE", 5)]


# Risk


def exposure(hub: Hub, number: int) -> list[Any]:
    return [
        tuple(int(position[name]) for name in ("position", "open_buy", "open_sell"))
        for position in hub.exchange.positions(number)
    ]


def test_13_1_and_5_14_an_offer_is_held_and_a_take_moves_both_sides() -> None:
    hub = Hub(LISTING, risk=True)
    hub.do(enter(A, SELL, 100, 9), take(B, 1, 4))
    assert exposure(hub, A) == [(-4, 0, 5)]
    assert exposure(hub, B) == [(4, 0, 0)]
    assert [hub.exchange.account(number)["open_orders"] for number in (A, B)] == [1, 0]


@pytest.mark.parametrize(
    "limits, command, refusal",
    [
        ({"max_long": 3}, take(B, 1, 4), ("MAX_LONG", 4, 3)),
        ({"max_order_quantity": 3}, take(B, 1, 4), ("MAX_ORDER_QUANTITY", 4, 3)),
        ({"max_order_notional": 399}, take(B, 1, 4), ("MAX_ORDER_NOTIONAL", 400, 399)),
        ({"max_open_orders": 0}, take(B, 1, 4), ("MAX_OPEN_ORDERS", 1, 0)),
        ({}, take(B, 1, 4, flags=Flag.REDUCE_ONLY), ("REDUCE_ONLY_WOULD_INCREASE", 4, 0)),
    ],
)
def test_13_1_a_take_passes_the_limits_of_its_account(
    limits: dict[str, Any], command: dict[str, Any], refusal: tuple[str, int, int]
) -> None:
    hub = Hub(LISTING, risk=True, accounts=[account("A"), account("B", **limits)])
    hub.do(enter(A, SELL, 100, 9))
    assert hub.do(command) == [("rejected", *refusal)]
    assert exposure(hub, B) == []


def test_13_1_a_killed_account_takes_nothing_and_a_client_order_id_is_used_once() -> None:
    hub = Hub(LISTING, risk=True)
    hub.do(enter(A, SELL, 100, 9), take(B, 1, 1, client_order_id=b"x"))
    assert hub.do(take(B, 1, 1, client_order_id=b"x")) == [("rejected", "DUPLICATE_CLIENT_ORDER_ID", 2, 0)]
    hub.do(operator(CommandKind.KILL_SWITCH, Scope.ACCOUNT, account=B, quantity=1))
    assert hub.do(take(B, 1, 1)) == [("rejected", "ACCOUNT_KILLED", 0, 0)]


def test_13_1_a_part_keeps_to_the_quantity_increment() -> None:
    hub = Hub(LISTING, risk=True, quantity_increment=5, minimum_quantity=5)
    hub.do(enter(A, SELL, 100, 20))
    assert hub.do(take(B, 1, 3)) == [("rejected", "QUANTITY_BELOW_MINIMUM", 3, 5)]
    assert hub.do(take(B, 1, 7)) == [("rejected", "QUANTITY_OFF_LOT", 7, 5)]
    assert hub.do(take(B, 1, 10))[-1] == ("traded", 4, 1, 100, 10)


# 13.3 Negotiated deals


@pytest.mark.parametrize("counterparty", [-1, 6, A])
def test_13_3_a_negotiated_offer_names_another_account(counterparty: int) -> None:
    assert Hub(NEGOTIATED).do(enter(A, SELL, 100, 5, counterparty=counterparty)) == [
        ("rejected", "INVALID_COUNTERPARTY", counterparty, 5)
    ]


@pytest.mark.parametrize("mechanism", [Mechanism.ORDER_BOOK, LISTING, ONE_SIDED])
def test_13_3_elsewhere_an_order_names_nobody(mechanism: Mechanism) -> None:
    assert Hub(mechanism).do(enter(A, SELL, 100, 5, counterparty=B)) == [("rejected", "INVALID_COUNTERPARTY", B, 0)]


@pytest.mark.parametrize("counterparty", [A, C])
def test_13_3_only_the_counterparty_takes_the_offer_and_takes_it_whole(counterparty: int) -> None:
    """Account A has index 0, which other orders carry as counterparty, too."""
    hub = Hub(NEGOTIATED)
    hub.do(enter(B, BUY, 100, 5, counterparty=counterparty))
    assert hub.do(take(D, 1, 5)) == [("rejected", "NOT_COUNTERPARTY", D, counterparty)]
    assert hub.do(take(B, 1, 5)) == [("rejected", "NOT_COUNTERPARTY", B, counterparty)]
    assert hub.do(take(counterparty, 1, 4)) == [("rejected", "INVALID_QUANTITY", 4, 5)]
    assert hub.do(take(counterparty, 1, 6)) == [("rejected", "INVALID_QUANTITY", 6, 5)]
    assert hub.do(take(counterparty, 1, 5)) == [("accepted", 6, 100, 5), ("traded", 6, 1, 100, 5)]


def test_13_3_the_price_of_a_negotiated_deal_lies_in_the_band() -> None:
    assert Hub(NEGOTIATED).do(enter(A, SELL, 111, 5, counterparty=B)) == [("rejected", "PRICE_ABOVE_BAND", 111, 110)]


def test_13_3_a_deal_within_one_group_is_not_taken() -> None:
    hub = Hub(NEGOTIATED)
    hub.do(enter(E, SELL, 100, 5, counterparty=F))
    assert hub.do(take(F, 1, 5)) == [("rejected", "NOT_COUNTERPARTY", F, E)]


# 13.2 One-sided auctions


def over(hub: Hub) -> int:
    """Time of the countdown's end."""
    return int(hub.exchange.book.instruments[0]["deadline"])


@pytest.mark.parametrize("side, prices, worse", [(SELL, (100, 104, 102, 103), 99), (BUY, (100, 96, 98, 97), 101)])
def test_13_2_the_offer_trades_with_the_best_bids_each_at_its_own_price(
    side: Side, prices: tuple[int, int, int, int], worse: int
) -> None:
    """A sells at 100 or more, or buys at 100 or less, ten lots; six, four and one are bid, then two that displace a part."""
    reserve, best, second, third = prices
    other = Side(3 - side)
    hub = Hub(ONE_SIDED)
    assert hub.do(enter(A, side, reserve, 10)) == [("accepted", 1, reserve, 10)]
    assert hub.do(enter(B, other, worse, 1)) == [("rejected", "PRICE_BEYOND_RESERVE", worse, reserve)]
    assert hub.do(enter(B, other, second, 6)) == [("accepted", 3, second, 6)]
    assert hub.do(enter(C, other, reserve, 3)) == [("accepted", 4, reserve, 3)]
    assert hub.do(enter(D, other, reserve, 4)) == [
        ("accepted", 5, reserve, 4),
        ("countdown", 1, reserve, 5 * SECOND + COUNTDOWN),
    ]
    assert hub.do(enter(D, other, best, 2)) == [
        ("accepted", 6, best, 2),
        ("countdown", 1, reserve, 6 * SECOND + COUNTDOWN),
    ]
    emitted = hub.do(phase(AUCTION_MATCH))
    trades = [(best, 2, 6), (second, 6, 3), (reserve, 2, 4)]
    if side == SELL:
        expected = [
            event
            for price, lots, bid in trades
            for event in (("uncrossed", bid, price, {6: 2, 3: 6, 4: 3}[bid]), ("traded", bid, 1, price, lots))
        ]
    else:
        expected = [("uncrossed", 1, reserve, 10), *(("traded", 1, bid, price, lots) for price, lots, bid in trades)]
    assert emitted == [
        *expected,
        ("canceled", 4, "AUCTION_ENDED", 1),
        ("canceled", 5, "AUCTION_ENDED", 4),
        ("auction", reserve, 10, 5 if side == SELL else -5),
        ("phase", 0, AUCTION_MATCH),
    ]
    assert hub.orders() == [] and hub.exchange.last_price("SC2701") == reserve


def test_13_2_a_countdown_is_an_event_of_the_offer() -> None:
    hub = Hub(ONE_SIDED)
    hub.do(enter(A, SELL, 100, 10, client_order_id=b"offer"))
    emitted = hub.events(enter(B, BUY, 102, 10, client_order_id=b"bid"))[1]
    expected = np.zeros(1, EVENT)[0]
    for name, value in {
        "event_id": 3,
        "sequence": 2,
        "time": 2 * SECOND,
        "kind": EventKind.COUNTDOWN,
        "order_id": 1,
        "side": SELL,
        "account": A,
        "client_order_id": b"offer",
        "price": 102,
        "quantity": 2 * SECOND + COUNTDOWN,
        "leaves_quantity": 10,
    }.items():
        expected[name] = value
    assert emitted.tobytes() == expected.tobytes()


def test_13_2_what_bids_do_not_cover_of_the_offer_is_canceled() -> None:
    hub = Hub(ONE_SIDED)
    hub.do(enter(A, SELL, 100, 10), enter(B, BUY, 101, 4))
    assert over(hub) == 0
    assert hub.do(phase(AUCTION_MATCH)) == [
        ("uncrossed", 2, 101, 4),
        ("traded", 2, 1, 101, 4),
        ("canceled", 1, "AUCTION_ENDED", 6),
        ("auction", 101, 4, -6),
        ("phase", 0, AUCTION_MATCH),
    ]


@pytest.mark.parametrize("orders", [[], [enter(A, SELL, 100, 10)]])
def test_13_2_an_auction_without_bids_makes_no_price(orders: list[Any]) -> None:
    hub = Hub(ONE_SIDED)
    hub.do(*orders)
    assert hub.do(phase(AUCTION_MATCH))[-2:] == [("auction", 0, 0, 0), ("phase", 0, AUCTION_MATCH)]
    assert hub.orders() == []


def test_13_2_there_is_one_offer_and_its_own_side_does_not_bid_for_it() -> None:
    hub = Hub(ONE_SIDED)
    hub.do(enter(E, SELL, 100, 10))
    assert hub.do(enter(B, SELL, 99, 1)) == [("rejected", "OFFER_EXISTS", 1, 0)]
    assert hub.do(enter(F, BUY, 101, 1)) == [("rejected", "NOT_COUNTERPARTY", F, E)]


def test_13_2_bids_are_irrevocable_and_so_is_the_offer_once_there_is_one() -> None:
    hub = Hub(ONE_SIDED)
    assert hub.do(enter(A, SELL, 100, 10), cancel(A, 1)) == [("accepted", 1, 100, 10), ("canceled", 1, "NONE", 10)]
    assert hub.do(enter(A, SELL, 100, 10), operator(CommandKind.MASS_CANCEL, account=A)) == [
        ("accepted", 3, 100, 10),
        ("canceled", 3, "MASS_CANCEL", 10),
        ("mass_canceled", 1),
    ]
    assert hub.do(enter(B, BUY, 98, 10)) == [("accepted", 5, 98, 10)]  # an offer to buy now
    hub.do(enter(C, SELL, 98, 1))
    assert hub.do(cancel(B, 5), cancel(C, 6)) == [("rejected", "IRREVOCABLE", 5, 5), ("rejected", "IRREVOCABLE", 6, 5)]
    for owner in (B, C, ALL):
        assert hub.do(operator(CommandKind.MASS_CANCEL, account=owner, instrument=ALL)) == [("mass_canceled", 0)]
    assert hub.orders() == [(5, 98, 10), (6, 98, 1)]


def test_13_2_in_a_phase_of_entry_only_bids_are_taken_and_a_lone_offer_stays_too() -> None:
    hub = Hub(ONE_SIDED)
    hub.do(enter(A, SELL, 100, 10), phase(Phase.AUCTION_ENTRY_ONLY))
    assert hub.do(cancel(A, 1), operator(CommandKind.MASS_CANCEL, account=A)) == [
        ("rejected", "ENTRY_ONLY", Phase.AUCTION_ENTRY_ONLY, 0),
        ("mass_canceled", 0),
    ]
    assert hub.do(enter(B, BUY, 102, 4)) == [("accepted", 5, 102, 4)]
    assert hub.do(phase(AUCTION_MATCH))[:2] == [("uncrossed", 5, 102, 4), ("traded", 5, 1, 102, 4)]


def test_13_2_a_bid_whose_offer_is_gone_is_still_irrevocable() -> None:
    hub = Hub(ONE_SIDED)
    hub.do(enter(A, SELL, 100, 10), enter(B, BUY, 102, 10, time_in_force=GTC), operator(CommandKind.END_DAY))
    assert hub.do(cancel(B, 2), operator(CommandKind.MASS_CANCEL, account=B)) == [
        ("rejected", "IRREVOCABLE", 2, 1),
        ("mass_canceled", 0),
    ]


def test_13_2_the_countdown_begins_anew_only_with_a_bid_that_is_better_than_the_worst_one_needed() -> None:
    hub = Hub(ONE_SIDED)
    hub.do(enter(A, SELL, 100, 10), enter(B, BUY, 102, 6), enter(C, BUY, 101, 6))
    begun = over(hub)
    assert begun == 3 * SECOND + COUNTDOWN
    assert hub.do(enter(D, BUY, 101, 9)) == [("accepted", 4, 101, 9)]
    assert hub.do(enter(D, BUY, 100, 9)) == [("accepted", 5, 100, 9)]
    assert over(hub) == begun
    assert hub.do(enter(D, BUY, 102, 1)) == [("accepted", 6, 102, 1), ("countdown", 1, 101, 6 * SECOND + COUNTDOWN)]
    assert hub.do(enter(D, BUY, 103, 3)) == [("accepted", 7, 103, 3), ("countdown", 1, 102, 7 * SECOND + COUNTDOWN)]
    assert hub.do(enter(D, BUY, 102, 3)) == [("accepted", 8, 102, 3)]


def test_13_2_after_the_countdown_bids_are_refused_and_the_auction_waits_for_its_match() -> None:
    hub = Hub(ONE_SIDED)
    hub.do(enter(A, SELL, 100, 10), enter(B, BUY, 102, 10))
    end = over(hub)
    assert hub.do(enter(C, BUY, 101, 1, time=end - 1)) == [("accepted", 3, 101, 1)]
    assert hub.do(enter(C, BUY, 103, 1, time=end)) == [("rejected", "AUCTION_OVER", end, end)]
    assert hub.do(phase(AUCTION_MATCH) | {"time": end + 1})[1] == ("traded", 2, 1, 102, 10)
    hub.do(phase(CONTINUOUS) | {"time": end + 2}, phase(CALL_AUCTION) | {"time": end + 3})
    assert hub.do(enter(C, BUY, 95, 1, time=end + 4)) == [("accepted", 8, 95, 1)]
    assert over(hub) == 0


def test_13_2_orders_are_refused_while_bids_rest_without_their_offer() -> None:
    """END_DAY cancels the offer. A GTC bid stays until the auction ends."""
    hub = Hub(ONE_SIDED)
    hub.do(enter(A, SELL, 100, 10), enter(B, BUY, 102, 10, time_in_force=GTC), operator(CommandKind.END_DAY))
    for side in Side:
        assert hub.do(enter(C, side, 101, 1)) == [("rejected", "NO_OFFER", 1, 0)]
    assert hub.do(phase(AUCTION_MATCH)) == [
        ("canceled", 2, "AUCTION_ENDED", 10),
        ("auction", 0, 0, 0),
        ("phase", 0, AUCTION_MATCH),
    ]


@pytest.mark.parametrize(
    "way, ends",
    [
        ([Phase.HALTED], False),
        ([Phase.HALTED, CALL_AUCTION], False),
        ([Phase.CLOSED], True),
        ([Phase.HALTED, Phase.BREAK], True),
        ([Phase.HALTED, Phase.CLOSING], True),
    ],
)
def test_13_2_a_halt_keeps_an_auction_and_any_other_way_out_cancels_it(way: list[Phase], ends: bool) -> None:
    hub = Hub(ONE_SIDED)
    hub.do(enter(A, SELL, 100, 10), enter(B, BUY, 102, 10))
    *_, last = [hub.do(phase(step)) for step in way]
    assert last[:-1] == ([("canceled", 2, "AUCTION_ENDED", 10), ("canceled", 1, "AUCTION_ENDED", 10)] if ends else [])
    assert bool(hub.orders()) is not ends and (over(hub) == 0) is ends


@pytest.mark.parametrize("way", [[CONTINUOUS], [Phase.HALTED, CONTINUOUS]])
def test_13_2_and_8_3_an_auction_trades_on_every_way_into_continuous_trading(way: list[Phase]) -> None:
    hub = Hub(ONE_SIDED)
    hub.do(enter(A, SELL, 100, 10), enter(B, BUY, 102, 10))
    *_, last = [hub.do(phase(step)) for step in way]
    assert last == [
        ("uncrossed", 2, 102, 10),
        ("traded", 2, 1, 102, 10),
        ("auction", 102, 10, 0),
        ("phase", 0, CONTINUOUS),
    ]
    assert hub.do(phase(Phase.HALTED), phase(CONTINUOUS)) == [("phase", 0, Phase.HALTED), ("phase", 0, CONTINUOUS)]


def test_13_2_a_limit_command_may_raise_the_reserve_and_the_offer_trades_at_its_own() -> None:
    hub = Hub(ONE_SIDED, risk=True)
    hub.do(
        enter(A, SELL, 100, 10),
        enter(B, BUY, 101, 2),
        operator(CommandKind.LIMIT, Limit.INSTRUMENT_RESERVE, quantity=103),
    )
    assert hub.do(enter(C, BUY, 102, 10)) == [("rejected", "PRICE_BEYOND_RESERVE", 102, 103)]
    assert hub.do(enter(C, BUY, 103, 1))[0] == ("accepted", 5, 103, 1)
    assert [event for event in hub.do(phase(AUCTION_MATCH)) if event[0] == "traded"] == [
        ("traded", 5, 1, 103, 1),
        ("traded", 2, 1, 101, 2),
    ]
    assert [exposure(hub, number) for number in (A, B, C)] == [[(-3, 0, 0)], [(2, 0, 0)], [(1, 0, 0)]]


def test_13_2_an_offer_without_bids_is_canceled_when_continuous_trading_begins() -> None:
    """After a halt there is nothing to trade, so no auction takes place (8.3)."""
    hub = Hub(ONE_SIDED)
    hub.do(enter(A, SELL, 100, 10), phase(Phase.HALTED))
    assert hub.do(phase(CONTINUOUS)) == [("canceled", 1, "AUCTION_ENDED", 10), ("phase", 0, CONTINUOUS)]


bids = st.lists(st.tuples(st.integers(0, 6), st.integers(1, 9), st.integers(0, 100)), max_size=12)


@settings(
    max_examples=examples(300),
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(side=st.sampled_from(Side), lots=st.integers(1, 30), bids=bids)
def test_13_2_whatever_is_bid_the_countdown_and_the_trades_are_those_of_the_definition(
    side: Side, lots: int, bids: list[Any]
) -> None:
    """Bids are (ticks better than the offer, lots, seconds since the last one); the trades are checked lot by lot."""
    hub, better = Hub(ONE_SIDED), 1 if side == SELL else -1
    hub.do(enter(A, side, 100, lots) | {"time": 0})
    time, deadline = 0, None
    stand: list[tuple[int, int]] = []  # stand: (ticks better, bid) of every lot, best and oldest first
    for bid, (ticks, wanted, seconds) in enumerate(bids, 2):
        time += seconds * SECOND
        emitted = hub.do(enter(B + bid % 3, Side(3 - side), 100 + better * ticks, wanted, time=time))
        if deadline is not None and time >= deadline:
            assert emitted == [("rejected", "AUCTION_OVER", time, deadline)]
            continue
        worst = stand[lots - 1][0] if len(stand) >= lots else -1
        stand = sorted(stand + [(ticks, bid)] * wanted, key=lambda lot: -lot[0])
        if ticks > worst and len(stand) >= lots:
            deadline = time + COUNTDOWN
            assert emitted[1:] == [("countdown", 1, 100 + better * stand[lots - 1][0], deadline)]
        else:
            assert emitted[1:] == []
    events = hub.events(phase(AUCTION_MATCH) | {"time": time + 1})
    traded = [
        (int(t["resting_order_id"] if side == BUY else t["order_id"]), int(t["price"]), int(t["quantity"]))
        for t in events[events["kind"] == EventKind.TRADED]
    ]
    assert traded == [
        (bid, 100 + better * ticks, len(list(group))) for (ticks, bid), group in itertools.groupby(stand[:lots])
    ]
    canceled = {
        int(event["order_id"]): int(event["quantity"]) for event in events if event["kind"] == EventKind.CANCELED
    }
    assert set(events["reason"][events["kind"] == EventKind.CANCELED].tolist()) <= {Reason.AUCTION_ENDED}
    left = {bid: stand[lots:].count((ticks, bid)) for ticks, bid in stand[lots:]}
    assert canceled == left | ({1: lots - len(stand)} if len(stand) < lots else {})
    assert hub.orders() == []
