"""Call auctions, and the changes of phase, against RULEBOOK 8 and 9.4.

The price is proved in three ways. Every small book is compared with `auction_price`, which applies 8.4 and 8.5 to every tick of
the band. Every small set of orders, traded by one PHASE command, is compared with `lot_by_lot`, which matches single lots. Larger
books, with every kind of order, must have the properties of an auction. After that come situations, one per test.

Each small book is an instrument of its own, so that one call tests thousands of them.
"""

import itertools
import pathlib
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exchange import Account, Exchange, Instrument
from exchange.engine.phases import FOLLOWS, PERMITS
from matching.codes import (
    ALL,
    RESTING_OFFSET,
    AuctionStep,
    CommandKind,
    EventKind,
    Flag,
    OrderType,
    Phase,
    Reason,
    SelfMatch,
    Side,
    TimeInForce,
)
from matching.invariants import check_book
from matching.jit import INTERPRETED
from matching.records import EVENT
from tests.build import account, amend, cancel, enter, instrument, operator, rows
from tests.effort import examples
from tests.venue import brief

RULEBOOK = pathlib.Path(__file__).parents[2] / "docs" / "RULEBOOK.md"
BUY, SELL = Side.BUY, Side.SELL
DAY, OPENING, SESSION = TimeInForce.DAY, TimeInForce.OPENING, TimeInForce.SESSION
CALL_AUCTION, AUCTION_MATCH, CONTINUOUS = Phase.CALL_AUCTION, Phase.AUCTION_MATCH, Phase.CONTINUOUS
IMBALANCE, REFERENCE, MIDDLE = AuctionStep
FIELDS = {
    EventKind.PHASE: ("instrument", "quantity", "reason"),
    EventKind.UNCROSSED: ("order_id", "price", "quantity"),
    EventKind.AUCTION: ("price", "quantity", "resting_leaves_quantity"),
    EventKind.DISPLAYED: ("order_id", "quantity", "resting_leaves_quantity"),
    EventKind.TRIGGERED: ("order_id", "price", "leaves_quantity"),
}


def short(event: np.record) -> tuple[Any, ...]:
    """An event in short form; of a PHASE the instrument's number, the phase and the reason."""
    kind = EventKind(event["kind"])
    if kind not in FIELDS:
        return brief(event)
    emitted: list[Any] = [int(event[field]) for field in FIELDS[kind]]
    if kind == EventKind.PHASE:
        emitted[1:] = Phase(emitted[1]).name, Reason(emitted[2]).name
    return (kind.name.lower(), *emitted)


class Market:
    """An Exchange without risk. It gives events in short form and checks its books after every call."""

    def __init__(
        self, instruments: list[Instrument] | None = None, accounts: int | list[Account] = 4, max_orders: int = 100
    ) -> None:
        instruments = [instrument()] if instruments is None else instruments
        self.exchange = Exchange(instruments, accounts, risk=False, max_orders=max_orders)

    def events(self, *commands: dict[str, Any]) -> np.ndarray:
        events = self.exchange.apply(rows(*commands, start=self.exchange.sequence + 1))
        check_book(self.exchange.book)
        return events

    def do(self, *commands: dict[str, Any]) -> list[Any]:
        return [short(event) for event in self.events(*commands)]

    def orders(self, number: int = 0) -> list[tuple[int, int, int]]:
        """(order_id, price, open lots): bids then asks, best first, oldest first."""
        orders = self.exchange.orders(self.exchange.instruments[number].symbol)
        return [(int(order["order_id"]), int(order["price"]), int(order["leaves_quantity"])) for order in orders]


def phase(to: int, number: int = 0) -> dict[str, Any]:
    return operator(CommandKind.PHASE, to, instrument=number)


def stop(account: int, side: Side, trigger: int, lots: int, **fields: Any) -> dict[str, Any]:
    return enter(
        account, side, 0, lots, order_type=OrderType.STOP, trigger_price=trigger, **{"time_in_force": DAY, **fields}
    )


# What the rules say, tick by tick and lot by lot --------------------------------------------------


def auction_price(
    bids: list[Any] | tuple[Any, ...], asks: list[Any] | tuple[Any, ...], ticks: range, steps: int, reference: int
) -> tuple[int, int, int]:
    """(price, volume, surplus) by 8.4 and 8.5. bids, asks: (price, lots). ticks: all of the band, lowest first."""
    demand = {tick: sum(lots for price, lots in bids if price >= tick) for tick in ticks}
    supply = {tick: sum(lots for price, lots in asks if price <= tick) for tick in ticks}
    volume = max(min(demand[tick], supply[tick]) for tick in ticks)
    if volume == 0:
        return 0, 0, 0
    left = [
        tick
        for tick in ticks
        if min(demand[tick], supply[tick]) == volume
        and sum(lots for price, lots in bids if price > tick) <= volume
        and sum(lots for price, lots in asks if price < tick) <= volume
    ]
    if steps & IMBALANCE:
        least = min(abs(demand[tick] - supply[tick]) for tick in left)
        left = [tick for tick in left if abs(demand[tick] - supply[tick]) == least]
    if steps & REFERENCE:
        nearest = min(abs(tick - reference) for tick in left)
        left = [tick for tick in left if abs(tick - reference) == nearest]
    if steps & MIDDLE:
        left = [left[len(left) // 2]]
    return min(left), volume, demand[min(left)] - supply[min(left)]


def lot_by_lot(bids: list[Any], asks: list[Any], volume: int) -> list[Any]:
    """The trades of 8.6 as (buy, sell, lots). bids, asks: (order_id, price, lots), oldest first."""
    buys = [order for order, _, lots in sorted(bids, key=lambda bid: -bid[1]) for _ in range(lots)]
    sells = [order for order, _, lots in sorted(asks, key=lambda ask: ask[1]) for _ in range(lots)]
    pairs = itertools.groupby(zip(buys[:volume], sells[:volume], strict=True))
    return [(buy, sell, len(list(lots))) for (buy, sell), lots in pairs]


# Every small book ---------------------------------------------------------------------------------

TICKS = range(4)
EVERY_CHOICE = [AuctionStep(sum(steps)) for count in range(4) for steps in itertools.combinations(AuctionStep, count)]
STRIDE = 97 if INTERPRETED else 1  # share of the books; all of them if that takes seconds


def small_market(books: list[Any], **terms: Any) -> Exchange:
    """An Exchange with one instrument per book. books: (bids, asks), each a list of (price, lots), entered in this order."""
    markets = [instrument(f"B{number}", 0, max(TICKS), 0, phase=CALL_AUCTION, **terms) for number in range(len(books))]
    exchange = Exchange(markets, 2, risk=False, max_orders=8 * len(books))
    orders = [
        enter(side - 1, side, price, lots, instrument=number)
        for number, book in enumerate(books)
        for side, entered in zip((BUY, SELL), book, strict=True)
        for price, lots in entered
    ]
    exchange.apply(rows(*orders))
    return exchange


@pytest.mark.parametrize("steps", EVERY_CHOICE)
def test_8_4_and_8_5_every_book_of_four_ticks_with_up_to_two_lots_a_level_has_the_price_that_the_rules_say(
    steps: int,
) -> None:
    """6,561 books, the previous settlement price at every tick and beyond both ends of the band."""
    levels = [
        [(price, lots) for price, lots in zip(TICKS, ladder, strict=True) if lots]
        for ladder in itertools.product(range(3), repeat=len(TICKS))
    ]
    books = list(itertools.product(levels, levels))[::STRIDE]
    exchange = small_market(books)
    exchange.book.instruments["auction"] = steps
    for reference in range(-1, len(TICKS) + 1) if steps & REFERENCE else (0,):
        exchange.book.instruments["previous_settlement"] = reference
        for number, (bids, asks) in enumerate(books):
            assert exchange.indicative(f"B{number}") == auction_price(bids, asks, TICKS, steps, reference), (
                bids,
                asks,
                reference,
            )


def test_8_6_every_set_of_up_to_two_buys_and_two_sells_trades_lot_by_lot_in_order_of_priority() -> None:
    """5,329 sets of orders in every order of entry, traded by one command. What is left keeps its place."""
    kinds = list(itertools.product(TICKS, (1, 2)))
    entered = [entry for count in range(3) for entry in itertools.product(kinds, repeat=count)]
    books = list(itertools.product(entered, entered))[::STRIDE]
    exchange = small_market(books)
    number = np.arange(len(books))
    exchange.book.instruments["auction"] = np.array(EVERY_CHOICE)[number % len(EVERY_CHOICE)]
    exchange.book.instruments["previous_settlement"] = number % len(TICKS)
    before = [exchange.orders(f"B{number}") for number in range(len(books))]
    events = exchange.apply(rows(phase(AUCTION_MATCH, ALL), start=exchange.sequence + 1))
    check_book(exchange.book)
    assert short(events[-1]) == ("phase", ALL, "AUCTION_MATCH", "NONE")
    parts = np.split(events[:-1], np.flatnonzero(np.diff(events["instrument"][:-1])) + 1)
    assert [int(part["instrument"][0]) for part in parts] == list(range(len(books)))
    for at, ((bids, asks), orders, part) in enumerate(zip(books, before, parts, strict=True)):
        price, volume, surplus = auction_price(bids, asks, TICKS, EVERY_CHOICE[at % len(EVERY_CHOICE)], at % len(TICKS))
        buys, sells = (
            [(int(o["order_id"]), int(o["price"]), int(o["leaves_quantity"])) for o in orders if o["side"] == side]
            for side in (BUY, SELL)
        )
        trades = lot_by_lot(buys, sells, volume)
        expected = []
        for buy, group in itertools.groupby(trades, key=lambda trade: trade[0]):
            limit, lots = next((limit, lots) for order, limit, lots in buys if order == buy)
            expected += [
                ("uncrossed", buy, limit, lots),
                *(("traded", buy, sell, price, lots) for _, sell, lots in group),
            ]
        assert [short(event) for event in part] == [
            *expected,
            ("auction", price, volume, surplus),
            ("phase", at, "AUCTION_MATCH", "NONE"),
        ], (bids, asks)
        left = {order: lots for order, _, lots in buys + sells}
        for buy, sell, lots in trades:
            left[buy] -= lots
            left[sell] -= lots
        assert [(int(o["order_id"]), int(o["leaves_quantity"])) for o in exchange.orders(f"B{at}")] == [
            (order, left[order]) for order, _, _ in buys + sells if left[order]
        ]


# Larger books -------------------------------------------------------------------------------------


@st.composite
def auctions(draw: Callable[..., Any]) -> tuple[list[dict[str, Any]], int, int]:
    """(commands that fill a book, tie-break steps, reference): plain orders, icebergs, OPENING orders, OCOs with a stop."""
    commands: list[dict[str, Any]] = []
    for number in range(1, draw(st.integers(2, 40)) + 1):
        side, price, lots = draw(st.sampled_from(Side)), draw(st.integers(92, 108)), draw(st.integers(1, 60))
        order = enter(
            draw(st.integers(0, 3)),
            side,
            price,
            lots,
            time_in_force=draw(st.sampled_from([DAY, SESSION, OPENING])),
            order_id=0,
        )
        rarer = draw(st.sampled_from(["", "", "", "iceberg", "stop", "pair"]))
        if rarer == "iceberg" and order["time_in_force"] != OPENING:
            order["display_quantity"] = draw(st.integers(1, lots))
        if rarer == "stop" and commands and commands[-1]["order_id"] == 0:
            partner = commands[-1]
            order |= stop(
                partner["account"], partner["side"], 110 if partner["side"] == BUY else 90, lots, order_id=number - 1
            )
        if rarer == "pair" and commands and commands[-1]["order_id"] == 0:
            partner = commands[-1]
            order |= {
                "account": partner["account"],
                "side": partner["side"],
                "order_id": number - 1,
                "time_in_force": DAY,
            }
        commands.append(order)
    return commands, draw(st.sampled_from(EVERY_CHOICE)), draw(st.integers(88, 112))


def depth_of(market: Market) -> dict[tuple[int, int], int]:
    """Lots shown by (side, price)."""
    return {
        (side, int(level["price"])): int(level["quantity"])
        for side, levels in zip(Side, market.exchange.depth("SC2701", 99), strict=True)
        for level in levels
    }


def levels_after(shown: dict[tuple[int, int], int], events: np.ndarray) -> dict[tuple[int, int], int]:
    """Lots shown at each price after the events of one auction, as EventKind defines them. shown: before it."""
    shown = dict(shown)
    out: dict[int, tuple[tuple[int, int], int]] = {}  # buy orders that have left their level to trade
    for event in events:
        kind, order, at = event["kind"], int(event["order_id"]), (int(event["side"]), int(event["price"]))
        if kind == EventKind.UNCROSSED:
            shown[at] -= int(event["quantity"])
            out[order] = (at, int(event["quantity"]))
        elif kind == EventKind.TRADED:
            out[order] = (out[order][0], out[order][1] - int(event["quantity"]))
            shown[SELL, int(event["resting_price"])] -= int(event["quantity"])
        elif kind == EventKind.DISPLAYED:
            shown[at] += int(event["quantity"] - event["resting_leaves_quantity"])
        elif kind == EventKind.CANCELED and not out.pop(order, None) and not event["flags"] & Flag.PARKED:
            shown[at] -= int(event["quantity"])
    for at, lots in out.values():
        shown[at] += lots
    return {at: lots for at, lots in shown.items() if lots}


@settings(
    max_examples=examples(400),
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(auctions())
def test_8_4_to_8_6_an_auction_trades_most_lots_at_one_price_and_leaves_out_no_order_that_should_trade(
    auction: tuple[list[dict[str, Any]], int, int],
) -> None:
    commands, steps, reference = auction
    members = [account(f"A{number}", group=number // 2, self_match=SelfMatch.CANCEL_BOTH) for number in range(4)]
    market = Market([instrument(phase=CALL_AUCTION, auction=steps)], members, max_orders=10_000)
    market.exchange.book.instruments["previous_settlement"] = reference
    assert set(market.events(*commands)["kind"].tolist()) <= {EventKind.ACCEPTED, EventKind.DISPLAYED}
    before = market.exchange.orders("SC2701")
    resting = [int(order_id) for order_id in before["order_id"]]
    pairs = {order: command["order_id"] for order, command in enumerate(commands, 1) if command["order_id"]}
    pairs |= {second: first for first, second in pairs.items()}
    seconds = {order for place, order in enumerate(resting) if pairs.get(order) in resting[:place]}
    bids, asks = (
        [
            (int(o["order_id"]), int(o["price"]), int(o["leaves_quantity"]))
            for o in before
            if o["side"] == side and o["order_id"] not in seconds
        ]
        for side in Side
    )
    price, volume, surplus = auction_price(
        [bid[1:] for bid in bids], [ask[1:] for ask in asks], range(90, 111), steps, reference
    )
    assert market.exchange.indicative("SC2701") == (price, volume, surplus)
    last_price = market.exchange.last_price("SC2701")
    shown = depth_of(market)
    events = market.events(phase(AUCTION_MATCH))
    trades = events[events["kind"] == EventKind.TRADED]
    assert [
        tuple(map(int, trade)) for trade in trades[["order_id", "resting_order_id", "quantity"]].tolist()
    ] == lot_by_lot(bids, asks, volume)
    assert not volume or set(trades["price"].tolist()) == {price}
    assert market.exchange.last_price("SC2701") == (price if volume else last_price)
    assert [short(event) for event in events[-2:]] == [
        ("auction", price, volume, surplus),
        ("phase", 0, "AUCTION_MATCH", "NONE"),
    ]
    traded = {
        order: int(trades["quantity"][(trades["order_id"] == order) | (trades["resting_order_id"] == order)].sum())
        for order, _, _ in bids + asks
    }
    assert all(traded[order] == lots for order, limit, lots in bids if limit > price and volume)
    assert all(traded[order] == lots for order, limit, lots in asks if limit < price and volume)
    assert all(traded[order] == 0 for order, limit, _ in bids if limit < price)
    assert all(traded[order] == 0 for order, limit, _ in asks if limit > price or not volume)
    # what is left keeps its place; OPENING orders are canceled, and the other order of an OCO that traded
    canceled = {
        int(event["order_id"]): Reason(event["reason"]) for event in events if event["kind"] == EventKind.CANCELED
    }
    linked = {pairs[order]: Reason.LINKED for order, lots in traded.items() if lots and order in pairs}
    open_lots = {int(o["order_id"]): int(o["leaves_quantity"]) - traded.get(int(o["order_id"]), 0) for o in before}
    opening = {
        order: Reason.AUCTION_ENDED
        for order, lots in open_lots.items()
        if lots and order not in linked and commands[order - 1]["time_in_force"] == OPENING
    }
    assert canceled == {**opening, **linked}
    assert [(order, lots) for order, _, lots in market.orders()] == [
        (order, open_lots[order]) for order in resting if open_lots[order] and order not in canceled
    ]
    assert depth_of(market) == levels_after(shown, events)
    market.events(phase(CONTINUOUS))  # check_book fails if the book is crossed


# 8.1 and 8.2: phases ------------------------------------------------------------------------------


def rulebook_table() -> dict[Phase, tuple[Reason, Reason, Reason, set[Phase]]]:
    """The table of 8.1 as {phase: (refuses ENTER, refuses AMEND, refuses CANCEL, phases that may follow)}."""
    table = {}
    for line in RULEBOOK.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if len(cells) == 5 and cells[0] in Phase.__members__:
            entry, amend, cancel = (Reason(0 if cell == "yes" else int(cell)) for cell in cells[1:4])
            table[Phase[cells[0]]] = (
                entry,
                amend,
                cancel,
                {
                    Phase[word]
                    for word in re.findall("[A-Z_]{4,}", cells[4])
                    if word in Phase.__members__ and "LIST only" not in cells[4]
                },
            )
    return table


def test_8_1_the_table_of_the_rulebook_is_that_of_the_code() -> None:
    assert rulebook_table() == {
        phase: (entry, entry or cancels, cancels, set(FOLLOWS[phase])) for phase, (entry, cancels) in PERMITS.items()
    }
    assert list(PERMITS) == list(Phase)


@pytest.mark.parametrize("before", Phase)
def test_8_2_a_phase_is_accepted_where_the_table_permits_it_and_refused_elsewhere(before: Phase) -> None:
    for after in Phase:
        market = Market([instrument(phase=before)])
        emitted = market.do(phase(after))
        if after == Phase.LIMIT_LOCKED and before == CONTINUOUS:
            assert emitted == [("rejected", "NOT_LIMIT_LOCKED", CONTINUOUS, Phase.LIMIT_LOCKED)]
        elif after == before or after in FOLLOWS[before]:
            assert emitted[-1] == ("phase", 0, after.name, "NONE")
            assert market.exchange.phase("SC2701") == after
        else:
            assert emitted == [("rejected", "PHASE_TRANSITION", before, after)]
            assert market.exchange.phase("SC2701") == before


def test_1_5_a_phase_that_does_not_exist_and_an_instrument_that_does_not_are_refused() -> None:
    market = Market()
    assert market.do(phase(len(Phase))) == [("rejected", "INVALID_VALUE", len(Phase), len(Phase) - 1)]
    assert market.do(phase(Phase.HALTED, 1)) == [("rejected", "UNKNOWN_INSTRUMENT", 1, 0)]
    assert market.do(phase(Phase.HALTED, -2)) == [("rejected", "UNKNOWN_INSTRUMENT", -2, 0)]


def test_8_2_for_all_every_instrument_that_can_take_the_phase_does_and_the_others_stay() -> None:
    phases = [CALL_AUCTION, Phase.CLOSED, CONTINUOUS, CALL_AUCTION, Phase.UNLISTED, AUCTION_MATCH]
    market = Market([instrument(f"I{number}", phase=before) for number, before in enumerate(phases)])
    assert market.do(phase(AUCTION_MATCH, ALL)) == [
        ("auction", 0, 0, 0),
        ("phase", 0, "AUCTION_MATCH", "NONE"),
        ("auction", 0, 0, 0),
        ("phase", 3, "AUCTION_MATCH", "NONE"),
        ("phase", 5, "AUCTION_MATCH", "NONE"),
        ("phase", ALL, "AUCTION_MATCH", "NONE"),
    ]
    assert [market.exchange.phase(f"I{number}") for number in range(6)] == [
        AUCTION_MATCH,
        Phase.CLOSED,
        CONTINUOUS,
        AUCTION_MATCH,
        Phase.UNLISTED,
        AUCTION_MATCH,
    ]


def test_8_1_a_phase_that_follows_itself_changes_nothing() -> None:
    market = Market([instrument(phase=Phase.BREAK), instrument("B1", phase=CONTINUOUS)])
    market.exchange.book.instruments["phase"][0] = CONTINUOUS
    market.do(enter(0, BUY, 99, 5, time_in_force=SESSION))
    market.exchange.book.instruments["phase"][0] = Phase.BREAK
    assert market.do(phase(Phase.BREAK)) == [("phase", 0, "BREAK", "NONE")]
    assert market.do(phase(Phase.BREAK, ALL)) == [
        ("phase", 0, "BREAK", "NONE"),
        ("phase", 1, "BREAK", "NONE"),
        ("phase", ALL, "BREAK", "NONE"),
    ]
    assert market.orders() == [(1, 99, 5)]


# 8.3 to 8.6: the auction --------------------------------------------------------------------------


@pytest.fixture
def market() -> Market:
    """One instrument in a call auction; the previous settlement is 100."""
    return Market([instrument(phase=CALL_AUCTION)])


def test_8_3_in_a_call_auction_orders_rest_and_nothing_matches(market: Market) -> None:
    assert market.do(enter(0, BUY, 105, 5), enter(1, SELL, 95, 3), amend(1, 2, 94, 4), cancel(0, 1)) == [
        ("accepted", 1, 105, 5),
        ("accepted", 2, 95, 3),
        ("amended", 2, 94, 4, 4),
        ("canceled", 1, "NONE", 5),
    ]
    assert market.orders() == [(2, 94, 4)]


@pytest.mark.parametrize("way", [[AUCTION_MATCH], [CONTINUOUS], [Phase.HALTED, CONTINUOUS], [Phase.CLOSED, CONTINUOUS]])
def test_8_3_a_crossed_book_trades_on_every_way_into_trading(market: Market, way: list[Phase]) -> None:
    market.do(enter(0, BUY, 105, 5), enter(1, SELL, 95, 3))
    *before, emitted = [market.do(phase(step)) for step in way]
    assert [event[0] for events in before for event in events] == ["phase"] * len(before)
    assert emitted == [
        ("uncrossed", 1, 105, 5),
        ("traded", 1, 2, 105, 3),
        ("auction", 105, 3, 2),
        ("phase", 0, way[-1].name, "NONE"),
    ]
    assert market.orders() == [(1, 105, 2)]
    assert market.exchange.last_price("SC2701") == 105


def test_8_3_a_book_that_is_not_crossed_comes_back_from_a_break_without_an_auction() -> None:
    market = Market()
    market.do(enter(0, BUY, 99, 5), enter(1, SELL, 101, 3), phase(Phase.BREAK))
    assert market.do(phase(CONTINUOUS)) == [("phase", 0, "CONTINUOUS", "NONE")]


def test_8_4_an_auction_where_no_bid_reaches_an_offer_makes_no_price(market: Market) -> None:
    market.do(enter(0, BUY, 99, 5), enter(1, SELL, 101, 3), enter(1, SELL, 105, 1))
    assert market.exchange.indicative("SC2701") == (0, 0, 0)
    assert market.do(phase(AUCTION_MATCH)) == [("auction", 0, 0, 0), ("phase", 0, "AUCTION_MATCH", "NONE")]
    assert market.orders() == [(1, 99, 5), (2, 101, 3), (3, 105, 1)]


@pytest.mark.parametrize(
    "steps, reference, price, surplus",
    [
        (0, 100, 102, 3),
        (REFERENCE, 100, 102, 3),
        (REFERENCE, 110, 104, 0),
        (REFERENCE, 103, 103, 0),
        (IMBALANCE, 90, 103, 0),
        (IMBALANCE | REFERENCE, 90, 103, 0),
        (IMBALANCE | REFERENCE, 110, 104, 0),
    ],
)
def test_8_5_what_the_steps_choose_where_most_lots_trade_from_98_to_104(
    steps: int, reference: int, price: int, surplus: int
) -> None:
    """Below 102 a bid better than the price would not trade in full (8.4). At 102 three lots bid are left."""
    market = Market([instrument(phase=CALL_AUCTION, auction=steps)])
    market.exchange.book.instruments["previous_settlement"] = reference
    market.do(enter(0, BUY, 104, 5), enter(0, BUY, 102, 3), enter(1, SELL, 98, 5))
    assert market.exchange.indicative("SC2701") == (price, 5, surplus)


@pytest.mark.parametrize(
    "bids, asks, price, surplus",
    [
        ([(104, 8)], [(98, 5)], 104, 3),
        ([(104, 5)], [(98, 8)], 98, -3),
        ([(104, 5), (100, 1)], [(98, 5), (101, 2)], 100, 1),
        ([(104, 5), (100, 3)], [(98, 5), (101, 2)], 101, -2),
        ([(104, 5), (100, 2)], [(98, 5), (101, 2)], 100, 2),
    ],
)
def test_8_4_and_8_5_the_surplus_at_the_price_is_the_least_possible(
    bids: list[tuple[int, int]], asks: list[tuple[int, int]], price: int, surplus: int
) -> None:
    market = Market([instrument(phase=CALL_AUCTION, auction=IMBALANCE)])
    market.do(*(enter(0, BUY, *bid) for bid in bids), *(enter(1, SELL, *ask) for ask in asks))
    assert market.exchange.indicative("SC2701") == (price, 5, surplus)


def test_8_5_shfe_and_ine_take_the_price_nearest_to_the_previous_settlement() -> None:
    """The default of an instrument."""
    assert instrument().auction == REFERENCE


def test_8_6_buys_and_sells_meet_by_price_then_time_and_what_is_left_keeps_its_place(market: Market) -> None:
    market.do(
        enter(0, BUY, 101, 4),
        enter(1, BUY, 103, 2),
        enter(2, BUY, 101, 3),
        enter(3, SELL, 100, 1),
        enter(0, SELL, 99, 4),
        enter(1, SELL, 101, 1),
        enter(3, SELL, 102, 2),
    )
    assert market.do(phase(CONTINUOUS)) == [
        ("uncrossed", 2, 103, 2),
        ("traded", 2, 5, 101, 2),
        ("uncrossed", 1, 101, 4),
        ("traded", 1, 5, 101, 2),
        ("traded", 1, 4, 101, 1),
        ("traded", 1, 6, 101, 1),
        ("auction", 101, 6, 3),
        ("phase", 0, "CONTINUOUS", "NONE"),
    ]
    assert market.orders() == [(3, 101, 3), (7, 102, 2)]


def test_8_6_orders_of_one_group_trade_with_each_other() -> None:
    market = Market([instrument(phase=CALL_AUCTION)], [account(self_match=SelfMatch.CANCEL_BOTH)])
    market.do(enter(0, BUY, 100, 4), enter(0, SELL, 100, 4, flags=Flag.SMP_CANCEL_INCOMING))
    assert market.do(phase(AUCTION_MATCH))[1] == ("traded", 1, 2, 100, 4)


def test_8_6_and_2_13_opening_orders_are_canceled_bids_before_asks_when_the_auction_has_traded(market: Market) -> None:
    market.do(
        enter(0, SELL, 104, 1, time_in_force=OPENING),
        enter(0, BUY, 101, 5, time_in_force=OPENING),
        enter(0, BUY, 98, 2, time_in_force=OPENING),
        enter(1, SELL, 101, 2),
        enter(1, SELL, 103, 2),
    )
    assert market.do(phase(AUCTION_MATCH)) == [
        ("uncrossed", 2, 101, 5),
        ("traded", 2, 4, 101, 2),
        ("canceled", 2, "AUCTION_ENDED", 3),
        ("canceled", 3, "AUCTION_ENDED", 2),
        ("canceled", 1, "AUCTION_ENDED", 1),
        ("auction", 101, 2, 3),
        ("phase", 0, "AUCTION_MATCH", "NONE"),
    ]


def test_2_13_opening_orders_of_an_auction_that_was_broken_off_go_when_continuous_trading_begins(
    market: Market,
) -> None:
    market.do(enter(0, BUY, 98, 2, time_in_force=OPENING), enter(1, BUY, 98, 2), phase(Phase.HALTED))
    assert market.orders() == [(1, 98, 2), (2, 98, 2)]
    assert market.do(phase(CONTINUOUS)) == [("canceled", 1, "AUCTION_ENDED", 2), ("phase", 0, "CONTINUOUS", "NONE")]


def test_8_6_an_iceberg_takes_part_whole_in_its_place_and_hides_again(market: Market) -> None:
    """The buy is filled. Three lots of the sell are left, of which it shows two."""
    market.do(
        enter(0, BUY, 102, 6, display_quantity=2), enter(1, SELL, 100, 9, display_quantity=2), enter(2, SELL, 100, 5)
    )
    assert market.do(phase(AUCTION_MATCH)) == [
        ("displayed", 1, 6, 2),
        ("uncrossed", 1, 102, 6),
        ("displayed", 2, 9, 2),
        ("traded", 1, 2, 100, 6),
        ("displayed", 2, 2, 3),
        ("auction", 100, 6, -8),
        ("phase", 0, "AUCTION_MATCH", "NONE"),
    ]
    assert market.orders() == [(2, 100, 3), (3, 100, 5)]


def test_8_6_an_iceberg_bid_of_which_lots_are_left_hides_again_behind_its_last_trade(market: Market) -> None:
    market.do(
        enter(0, BUY, 102, 9, display_quantity=2), enter(1, SELL, 99, 2), enter(2, SELL, 100, 3), enter(3, BUY, 99, 1)
    )
    assert market.do(phase(AUCTION_MATCH)) == [
        ("displayed", 1, 9, 2),
        ("uncrossed", 1, 102, 9),
        ("traded", 1, 2, 102, 2),
        ("traded", 1, 3, 102, 3),
        ("displayed", 1, 2, 4),
        ("auction", 102, 5, 4),
        ("phase", 0, "AUCTION_MATCH", "NONE"),
    ]
    assert depth_of(market) == {(BUY, 102): 2, (BUY, 99): 1}


def test_8_6_an_iceberg_offer_is_revealed_once_for_all_its_trades(market: Market) -> None:
    market.do(enter(0, BUY, 102, 1), enter(0, BUY, 101, 1), enter(1, SELL, 100, 9, display_quantity=4))
    assert market.do(phase(AUCTION_MATCH)) == [
        ("uncrossed", 1, 102, 1),
        ("displayed", 3, 9, 4),
        ("traded", 1, 3, 100, 1),
        ("uncrossed", 2, 101, 1),
        ("traded", 2, 3, 100, 1),
        ("displayed", 3, 4, 7),
        ("auction", 100, 2, -7),
        ("phase", 0, "AUCTION_MATCH", "NONE"),
    ]


def test_8_6_and_2_14_the_other_order_of_an_oco_is_canceled_when_one_trades(market: Market) -> None:
    """The sell's directly after its trade, the buy's after its last one; then what an iceberg shows again."""
    market.do(
        enter(0, BUY, 101, 9, display_quantity=3),
        stop(0, BUY, 106, 2, order_id=1),
        enter(1, SELL, 100, 2),
        stop(1, SELL, 95, 2, order_id=3),
        enter(2, SELL, 101, 3),
        enter(3, BUY, 90, 1),
        stop(3, BUY, 107, 1, order_id=6),
    )
    assert market.do(phase(AUCTION_MATCH)) == [
        ("displayed", 1, 9, 3),
        ("uncrossed", 1, 101, 9),
        ("traded", 1, 3, 101, 2),
        ("canceled", 4, "LINKED", 2),
        ("traded", 1, 5, 101, 3),
        ("canceled", 2, "LINKED", 2),
        ("displayed", 1, 3, 4),
        ("auction", 101, 5, 4),
        ("phase", 0, "AUCTION_MATCH", "NONE"),
    ]
    assert market.exchange.book.instruments["stops"].tolist() == [1]


def test_8_4_and_2_14_of_an_oco_only_the_better_placed_order_counts(market: Market) -> None:
    """With both bids ten lots would trade at 104, and the bid at 102 would be left behind a price above it."""
    market.do(enter(0, BUY, 105, 5), enter(0, BUY, 104, 5, order_id=1), enter(1, BUY, 102, 5), enter(2, SELL, 100, 10))
    assert market.exchange.book.state[0].pairs == 1
    assert market.exchange.indicative("SC2701") == (100, 10, 0)
    assert market.do(phase(CONTINUOUS)) == [
        ("uncrossed", 1, 105, 5),
        ("traded", 1, 4, 100, 5),
        ("canceled", 2, "LINKED", 5),
        ("uncrossed", 3, 102, 5),
        ("traded", 3, 4, 100, 5),
        ("auction", 100, 10, 0),
        ("phase", 0, "CONTINUOUS", "NONE"),
    ]
    assert market.exchange.book.state[0].pairs == 0


@pytest.mark.parametrize("moved, lots", [(False, 3), (True, 7)])
def test_8_4_and_2_14_of_an_oco_at_one_price_the_first_in_the_queue_counts(
    market: Market, moved: bool, lots: int
) -> None:
    """Order 1, amended away and back, is behind order 2, the other one of its OCO."""
    market.do(
        enter(0, SELL, 100, 3), enter(1, SELL, 100, 1), enter(0, SELL, 100, 7, order_id=1), enter(2, BUY, 100, 20)
    )
    if moved:
        market.do(amend(0, 1, 101, 3), amend(0, 1, 100, 3))
    digest = market.exchange.digest()
    assert market.exchange.indicative("SC2701") == (100, lots + 1, 20 - lots - 1)
    assert market.exchange.digest() == digest
    emitted = market.do(phase(AUCTION_MATCH))
    assert ("auction", 100, lots + 1, 19 - lots) in emitted
    assert market.orders() == [(4, 100, 19 - lots)]


@pytest.mark.parametrize("end", [cancel(0, 2), cancel(0, 1), operator(CommandKind.END_DAY)])
def test_2_14_the_order_left_of_an_oco_counts_like_any_order(market: Market, end: dict[str, Any]) -> None:
    market.do(enter(0, BUY, 105, 5), enter(0, BUY, 104, 5, order_id=1))
    market.do(end)
    assert market.exchange.book.state[0].pairs == 0


def test_8_6_parked_orders_that_the_auction_price_reaches_are_triggered_in_continuous_trading(market: Market) -> None:
    fill = [enter(0, BUY, 104, 2), enter(1, SELL, 104, 2), enter(1, SELL, 106, 5), stop(2, BUY, 103, 1)]
    triggered = [("triggered", 4, 110, 1), ("traded", 4, 3, 106, 1)]
    market.do(*fill)
    assert market.do(phase(AUCTION_MATCH))[-1] == ("phase", 0, "AUCTION_MATCH", "NONE")
    assert market.do(phase(CONTINUOUS)) == [("phase", 0, "CONTINUOUS", "NONE"), *triggered]
    at_once = Market([instrument(phase=CALL_AUCTION)])
    at_once.do(*fill)
    assert at_once.do(phase(CONTINUOUS))[-3:] == [("phase", 0, "CONTINUOUS", "NONE"), *triggered]


def test_8_6_every_field_of_the_events_of_an_auction(market: Market) -> None:
    """Fields that are not named are 0; the client order id is the buy's."""
    market.do(
        enter(1, BUY, 103, 5, client_order_id=b"bid", time_in_force=OPENING),
        enter(2, SELL, 101, 3, client_order_id=b"ask"),
    )
    events = market.events(phase(AUCTION_MATCH) | {"client_order_id": b"open", "account": 3})
    order = {"order_id": 1, "account": 1, "side": BUY, "client_order_id": b"bid"}
    expected: list[dict[str, Any]] = [
        {"kind": EventKind.UNCROSSED, "price": 103, "quantity": 5, "leaves_quantity": 5, **order},
        {
            "kind": EventKind.TRADED,
            "price": 103,
            "quantity": 3,
            "leaves_quantity": 2,
            "trade_id": 1,
            "resting_order_id": 2,
            "resting_account": 2,
            "resting_price": 101,
            **order,
        },
        {"kind": EventKind.CANCELED, "price": 103, "quantity": 2, "reason": Reason.AUCTION_ENDED, **order},
        {"kind": EventKind.AUCTION, "price": 103, "quantity": 3, "resting_leaves_quantity": 2},
        {"kind": EventKind.PHASE, "quantity": AUCTION_MATCH},
    ]
    block = np.zeros(len(expected), EVENT)
    for number, event in enumerate(expected):
        for name, value in {"event_id": number + 3, "sequence": 3, "time": 3_000_000_000, **event}.items():
            block[number][name] = value
    assert events.tolist() == block.tolist()
    assert events.tobytes() == block.tobytes()


def test_8_6_a_trade_carries_the_offset_flags_of_both_orders(market: Market) -> None:
    exchange = market.exchange = Exchange([instrument(phase=CALL_AUCTION, offset=True)], 4, risk=False, max_orders=9)
    market.do(enter(0, BUY, 100, 1, flags=Flag.OPEN), enter(1, SELL, 100, 1, flags=Flag.CLOSE_TODAY))
    traded = market.events(phase(AUCTION_MATCH))[1]
    assert traded["flags"] == Flag.OPEN | Flag.CLOSE_TODAY << RESTING_OFFSET
    assert exchange.book.state[0].orders == 0


@pytest.mark.parametrize("reverse", [False, True])
def test_8_4_the_indicative_price_can_be_asked_in_any_phase_and_changes_nothing(market: Market, reverse: bool) -> None:
    orders = [enter(0, BUY, 104, 3), enter(1, SELL, 100, 1), enter(2, SELL, 103, 4)]
    for order in reversed(orders) if reverse else orders:
        market.do(order)
    digest = market.exchange.digest()
    assert market.exchange.indicative("SC2701") == (103, 3, -2)
    assert market.exchange.digest() == digest
    market.exchange.book.instruments["phase"] = Phase.HALTED
    assert market.exchange.indicative("SC2701") == (103, 3, -2)


# 8.7: SESSION orders ------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [Phase.BREAK, Phase.CLOSING, Phase.CLOSED])
def test_8_7_session_orders_are_canceled_before_the_phase_event(after: Phase) -> None:
    market = Market()
    market.do(
        enter(0, SELL, 104, 1, time_in_force=SESSION),
        stop(0, SELL, 95, 2, time_in_force=SESSION),
        enter(1, BUY, 98, 3, time_in_force=SESSION),
        stop(1, BUY, 107, 4, time_in_force=SESSION),
        enter(2, BUY, 99, 5),
        enter(2, BUY, 99, 6, time_in_force=SESSION),
    )
    assert market.do(phase(after)) == [
        *(("canceled", order, "SESSION_ENDED", lots) for order, lots in ((6, 6), (3, 3), (1, 1), (4, 4), (2, 2))),
        ("phase", 0, after.name, "NONE"),
    ]
    assert market.orders() == [(5, 99, 5)]


@pytest.mark.parametrize("after", [Phase.HALTED, CALL_AUCTION])
def test_8_7_session_orders_stay_in_a_halt_and_in_an_auction(after: Phase) -> None:
    market = Market()
    market.do(enter(0, BUY, 98, 3, time_in_force=SESSION))
    assert market.do(phase(after)) == [("phase", 0, after.name, "NONE")]


# 9.4: limit-locked --------------------------------------------------------------------------------

LOCKED = ("phase", 0, "LIMIT_LOCKED", "NONE")
RELEASED = ("phase", 0, "CONTINUOUS", "LIMIT_LOCK")


@pytest.mark.parametrize(
    "orders",
    [
        [],
        [enter(0, BUY, 109, 1)],
        [enter(0, SELL, 91, 1)],
        [enter(0, BUY, 90, 1)],
        [enter(0, SELL, 110, 1)],
        [enter(0, BUY, 109, 1), enter(1, SELL, 110, 1)],
    ],
)
def test_9_4_limit_locked_is_refused_unless_one_side_alone_stands_at_the_daily_limit(orders: list[Any]) -> None:
    market = Market()
    market.do(*orders)
    assert market.do(phase(Phase.LIMIT_LOCKED)) == [("rejected", "NOT_LIMIT_LOCKED", CONTINUOUS, Phase.LIMIT_LOCKED)]
    assert market.do(phase(Phase.LIMIT_LOCKED, ALL)) == [("phase", ALL, "LIMIT_LOCKED", "NONE")]
    assert market.exchange.phase("SC2701") == CONTINUOUS


@pytest.mark.parametrize("side, limit, within", [(BUY, 110, 109), (SELL, 90, 91)])
def test_9_4_trading_goes_on_while_locked_and_the_lock_ends_with_the_command_that_opens_it(
    side: Side, limit: int, within: int
) -> None:
    other = Side(3 - side)
    market = Market()
    market.do(enter(0, side, limit, 5), enter(1, side, within, 1))
    assert market.do(phase(Phase.LIMIT_LOCKED)) == [LOCKED]
    assert market.exchange.book.instruments["locked"].tolist() == [side]
    assert market.do(phase(Phase.LIMIT_LOCKED)) == [LOCKED]
    assert market.do(enter(2, other, limit, 2)) == [("accepted", 5, limit, 2), ("traded", 5, 1, limit, 2)]
    assert market.do(enter(2, side, limit, 2)) == [("accepted", 6, limit, 2)]
    assert market.do(cancel(0, 1)) == [("canceled", 1, "NONE", 3)]
    assert market.do(enter(3, other, within, 3)) == [
        ("accepted", 8, within, 3),
        ("traded", 8, 6, limit, 2),
        ("traded", 8, 2, within, 1),
        RELEASED,
    ]
    assert market.exchange.book.instruments["locked"].tolist() == [0]


@pytest.mark.parametrize(
    "opens",
    [
        cancel(0, 1),
        amend(0, 1, 109, 5),
        operator(CommandKind.MASS_CANCEL, account=0),
        enter(1, SELL, 110, 6),
        enter(1, SELL, 110, 5),
    ],
)
def test_9_4_whatever_opens_the_lock_the_release_is_its_last_event(opens: dict[str, Any]) -> None:
    market = Market()
    market.do(enter(0, BUY, 110, 5), phase(Phase.LIMIT_LOCKED))
    emitted = market.do(opens)
    assert emitted[-1] == RELEASED and len(emitted) > 1
    assert market.do(enter(2, BUY, 100, 1)) == [("accepted", 4, 100, 1)]


@pytest.mark.parametrize(
    "after, locked",
    [
        (Phase.CLOSING, BUY),
        (Phase.CLOSED, BUY),
        (CONTINUOUS, 0),
        (CALL_AUCTION, 0),
        (Phase.HALTED, 0),
        (Phase.BREAK, 0),
    ],
)
def test_9_4_an_instrument_that_closes_locked_still_counts_as_locked_at_its_settlement(
    after: Phase, locked: int
) -> None:
    market = Market()
    market.do(enter(0, BUY, 110, 5), phase(Phase.LIMIT_LOCKED), phase(after))
    assert market.exchange.book.instruments["locked"].tolist() == [locked]
    if after == Phase.CLOSING:
        market.do(phase(Phase.SETTLEMENT))
        assert market.exchange.book.instruments["locked"].tolist() == [locked]
        market.do(phase(Phase.CLOSED), phase(CALL_AUCTION))
        assert market.exchange.book.instruments["locked"].tolist() == [0]


def test_9_3_continuous_trading_begins_with_empty_slices() -> None:
    market = Market([instrument(velocity=3, velocity_window=1000)])
    row = market.exchange.book.instruments[0]
    row["low"], row["high"], row["low_before"], row["high_before"] = 95, 97, 94, 99
    market.do(phase(Phase.HALTED))
    assert row["high"] == 97
    market.do(phase(CONTINUOUS))
    assert row["low"] > row["high"] and row["low_before"] > row["high_before"]
