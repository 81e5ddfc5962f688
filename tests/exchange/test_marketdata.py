"""projections/marketdata.py: a client that follows only the change sets has the engine's book after every command."""

import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from exchange import Exchange
from exchange.projections.marketdata import CHANGE, DELETE, NEW, MarketData, net_changes
from matching.codes import ALL, CommandKind, EventKind, Limit, Phase, Reason, Side, TimeInForce
from tests.build import amend, cancel, enter, instrument, operator, rows
from tests.exchange.events import (
    accepted,
    amended,
    canceled,
    displayed,
    parked,
    phase,
    stream,
    traded,
    triggered,
    uncrossed,
)
from tests.matching.flow import random_flow

BUY, SELL = Side.BUY, Side.SELL
SEEDS = range(24)


def depths(exchange: Exchange) -> list[Any]:
    """The engine's book of every instrument: ((price, quantity) of bids, of asks), best first."""
    return [
        tuple(
            [(int(level.price), int(level.quantity)) for level in side]
            for side in exchange.depth(terms.symbol, levels=1 << 20)
        )
        for terms in exchange.instruments
    ]


def told(market: MarketData, number: int, **options: Any) -> tuple[Any, ...]:
    bids, asks, _ = market.book(number, **options)
    return bids.tolist(), asks.tolist()


def checksum_by_hand(bids: list[Any], asks: list[Any]) -> int:
    """The reference of the checksum: bids and asks as (ticks, lots), best first."""
    sides = [",".join(f"{price}:{quantity}" for price, quantity in side[:10]) for side in (asks, bids)]
    return zlib.crc32("|".join(sides).encode())


def play(seed: int, count: int = 700) -> tuple[Any, ...]:
    """A random flow, command by command: its events, and the engine's books after each command."""
    flow = random_flow(seed, count)
    exchange = Exchange(flow.instruments, flow.accounts, risk=False, max_orders=4096)
    played = []
    for row in range(count):
        events = exchange.apply(flow.commands[row : row + 1])
        played.append((events, depths(exchange)))
    return flow, played


def split(items: list[Any], rng: Any) -> Iterator[list[Any]]:
    """Cut a list into pieces of random length."""
    while items:
        size = int(rng.choice((1, 2, 7, 60)))
        yield items[:size]
        items = items[size:]


class Client:
    """Follows one instrument by its change sets alone, and refuses a set that does not fit."""

    def __init__(self) -> None:
        self.sides: dict[int, dict[int, Any]] = {int(BUY): {}, int(SELL): {}}
        self.change_id = 0

    def apply(self, book: np.record, levels: np.ndarray) -> None:
        assert book.change_id == self.change_id + 1
        self.change_id = int(book.change_id)
        assert book.count > 0
        for row in levels[book.first : book.first + book.count]:
            assert (row.change_id, row.sequence, row.time, row.instrument) == (
                book.change_id,
                book.sequence,
                book.time,
                book.instrument,
            )
            side = self.sides[int(row.side)]
            assert side.get(int(row.price), 0) == row.before != row.quantity
            assert row.action == (NEW if row.before == 0 else DELETE if row.quantity == 0 else CHANGE)
            side[int(row.price)] = int(row.quantity)
            if row.quantity == 0:
                del side[int(row.price)]

    def book(self) -> tuple[Any, ...]:
        return (sorted(self.sides[int(BUY)].items(), reverse=True), sorted(self.sides[int(SELL)].items()))


@pytest.mark.compiled
@pytest.mark.parametrize("seed", SEEDS)
def test_a_client_with_nothing_but_change_sets_has_the_engines_book_after_every_command(seed: int) -> None:
    flow, played = play(seed)
    market = MarketData(flow.instruments)
    clients = [Client() for _ in flow.instruments]
    for number in range(len(clients)):
        market.check(number, True)
    for batch in split(played, np.random.default_rng(seed)):
        updates = market.record(np.concatenate([events for events, _ in batch]))
        waiting = list(updates.books)
        for events, books in batch:
            while waiting and waiting[0].sequence == events[0]["sequence"]:
                book = waiting.pop(0)
                clients[book.instrument].apply(book, updates.levels)
                bids, asks = books[book.instrument]
                assert book.checksum == checksum_by_hand(bids, asks)
                assert (book.bid_quantity, book.ask_quantity) == (bids[0][1] if bids else 0, asks[0][1] if asks else 0)
                assert not bids or book.bid_price == bids[0][0]
                assert not asks or book.ask_price == asks[0][0]
            assert [client.book() for client in clients] == books
        assert not waiting
        for number, client in enumerate(clients):
            assert told(market, number) == books[number]
            assert market.top(number).change_id == client.change_id
            assert market.checksum(number) == checksum_by_hand(*books[number])


@pytest.mark.compiled
@pytest.mark.parametrize("seed", SEEDS[:4])
def test_any_split_of_the_events_gives_the_same_changes_tape_and_figures(seed: int) -> None:
    flow, played = play(seed)
    markets = [MarketData(flow.instruments) for _ in range(2)]
    told_at_once = markets[0].record(np.concatenate([events for events, _ in played]))
    pieces = []
    for batch in split(played, np.random.default_rng(seed)):
        updates = markets[1].record(np.concatenate([events for events, _ in batch]))
        pieces.append((updates.levels.tolist(), updates.trades.tolist()))
    assert sum((levels for levels, _ in pieces), []) == told_at_once.levels.tolist()
    assert sum((trades for _, trades in pieces), []) == told_at_once.trades.tolist()
    for number in range(len(flow.instruments)):
        assert markets[0].statistics(number) == markets[1].statistics(number)
    assert markets[0].trades().tolist() == markets[1].trades().tolist()


@pytest.mark.compiled
@pytest.mark.parametrize("seed", SEEDS[:6])
def test_phases_and_last_prices_are_the_engines(seed: int) -> None:
    """Also phases that the hub sets itself (8.8)."""
    flow = random_flow(seed, 700)
    exchange, market = (
        Exchange(flow.instruments, flow.accounts, risk=False, max_orders=4096),
        MarketData(flow.instruments),
    )
    for row in range(len(flow.commands)):
        market.record(exchange.apply(flow.commands[row : row + 1]))
        for number, terms in enumerate(flow.instruments):
            assert market.phase(number) == exchange.phase(terms.symbol)
            figures = market.statistics(number)
            assert figures.trades == 0 or figures.last_price == exchange.last_price(terms.symbol)


@pytest.mark.compiled
@pytest.mark.parametrize("seed", SEEDS[:6])
def test_top_is_flagged_exactly_when_the_best_price_or_its_quantity_differs(seed: int) -> None:
    flow, played = play(seed)
    market = MarketData(flow.instruments)
    tops = [((), ()) for _ in flow.instruments]
    for events, books in played:
        flagged = {int(book.instrument) for book in market.record(events).books if book.top}
        after = [(tuple(bids[:1]), tuple(asks[:1])) for bids, asks in books]
        assert flagged == {number for number, top in enumerate(after) if top != tops[number]}
        tops = after


# Situations ---------------------------------------------------------------------------------------


class Venue:
    """One instrument, its engine and its market."""

    def __init__(self, **terms: Any) -> None:
        self.exchange = Exchange([instrument(**terms)], accounts=4, risk=False)
        self.market = MarketData(self.exchange.instruments)
        self.last = self.trades = 0

    def do(self, *commands: dict[str, Any]) -> list[Any]:
        """Apply commands as one batch; returns the level changes as (side, action, price, quantity)."""
        block = rows(*commands, start=self.last + 1)
        self.last += len(commands)
        self.updates = self.market.record(self.exchange.apply(block))
        return self.changes()

    def tell(self, *commands: list[Any]) -> list[Any]:
        """Record events made by hand, each list those of one command, as one batch; returns the same."""
        self.updates = self.market.record(
            stream(*commands, start=self.last + 1, event_id=self.market.event_id, trade_id=self.trades)
        )
        self.last += len(commands)
        self.trades += len(self.updates.trades)
        return self.changes()

    def changes(self) -> list[Any]:
        return [(int(row.side), int(row.action), int(row.price), int(row.quantity)) for row in self.updates.levels]


def test_an_order_enters_its_level_with_what_it_could_not_trade() -> None:
    venue = Venue()
    assert venue.do(enter(0, SELL, 101, 3), enter(0, SELL, 102, 4)) == [(SELL, NEW, 101, 3), (SELL, NEW, 102, 4)]
    assert venue.do(enter(1, BUY, 102, 9)) == [(SELL, DELETE, 101, 0), (SELL, DELETE, 102, 0), (BUY, NEW, 102, 2)]


def test_an_ioc_order_never_shows_and_an_fok_order_that_is_killed_changes_nothing() -> None:
    venue = Venue()
    venue.do(enter(0, SELL, 101, 3))
    assert venue.do(enter(1, BUY, 101, 5, time_in_force=TimeInForce.FOK)) == []
    assert venue.do(enter(1, BUY, 101, 5, time_in_force=TimeInForce.IOC)) == [(SELL, DELETE, 101, 0)]
    assert told(venue.market, 0) == ([], [])


def test_a_level_changed_twice_by_a_command_is_published_once() -> None:
    venue = Venue()
    venue.do(enter(0, BUY, 100, 5), enter(1, BUY, 100, 5))
    assert venue.do(enter(2, SELL, 100, 7)) == [(BUY, CHANGE, 100, 3)]
    assert venue.do(enter(0, BUY, 100, 1), enter(0, BUY, 100, 1)) == [(BUY, CHANGE, 100, 4), (BUY, CHANGE, 100, 5)]


def test_an_amend_that_takes_an_order_elsewhere_is_one_change_set() -> None:
    venue = Venue()
    venue.do(enter(0, BUY, 100, 5), enter(1, SELL, 103, 2))
    assert venue.do(amend(0, 1, 103, 5)) == [(BUY, DELETE, 100, 0), (SELL, DELETE, 103, 0), (BUY, NEW, 103, 3)]
    assert len(venue.updates.books) == 1


def test_an_amend_that_leaves_the_level_as_it_was_publishes_nothing_and_uses_no_change_id() -> None:
    venue = Venue()
    venue.do(enter(0, BUY, 100, 5), enter(1, BUY, 100, 5))
    assert venue.do(amend(0, 1, 100, 5)) == []
    assert venue.market.top(0).change_id == 2


def test_under_the_median_rule_the_resting_level_falls_and_not_the_one_of_the_trade_price() -> None:
    venue = Venue(price_rule="median", reference_price=100)
    venue.do(enter(0, SELL, 98, 5))
    assert venue.do(enter(1, BUY, 104, 2)) == [(SELL, CHANGE, 98, 3)]
    assert venue.updates.trades[0].price == 100


def test_a_mass_cancel_over_instruments_is_one_change_set_an_instrument() -> None:
    exchange = Exchange([instrument("A"), instrument("B")], accounts=2, risk=False)
    market = MarketData(exchange.instruments)
    market.record(
        exchange.apply(rows(*(enter(0, BUY, 95 + number // 2, 1, instrument=number % 2) for number in range(8))))
    )
    updates = market.record(
        exchange.apply(rows(operator(CommandKind.MASS_CANCEL, account=0, instrument=-1, side=0), start=9))
    )
    assert [(book.instrument, book.change_id, book.count) for book in updates.books] == [(0, 5, 4), (1, 5, 4)]
    assert [told(market, number) for number in (0, 1)] == [([], []), ([], [])]


# Icebergs, stops, auctions: events as the engine emits them by the RULEBOOK


def test_an_iceberg_counts_with_what_it_shows() -> None:
    """2.11: at rest, refreshed, refreshed with the rest, and filled"""
    venue = Venue()
    assert venue.tell([accepted(1, SELL, 101, 25), displayed(1, SELL, 101, 10, before=25)]) == [(SELL, NEW, 101, 10)]
    assert venue.tell(
        [
            accepted(2, BUY, 101, 12),
            traded(2, BUY, 101, 10, 2, (1, 101, 15)),
            displayed(1, SELL, 101, 10, before=0),
            traded(2, BUY, 101, 2, 0, (1, 101, 13)),
        ]
    ) == [(SELL, CHANGE, 101, 8)]
    assert venue.tell(
        [accepted(3, BUY, 101, 8), traded(3, BUY, 101, 8, 0, (1, 101, 5)), displayed(1, SELL, 101, 5, before=0)]
    ) == [(SELL, CHANGE, 101, 5)]
    assert venue.tell([displayed(1, SELL, 101, 5, before=5), canceled(1, SELL, 101, 5)]) == [(SELL, DELETE, 101, 0)]


def test_an_iceberg_that_is_canceled_or_amended_reveals_itself_first() -> None:
    """2.11"""
    venue = Venue()
    venue.tell([accepted(1, BUY, 99, 25), displayed(1, BUY, 99, 10, before=25)])
    assert venue.tell(
        [
            displayed(1, BUY, 99, 25, before=10),
            amended(1, BUY, 98, 40, before=(99, 25)),
            displayed(1, BUY, 98, 10, before=40),
        ]
    ) == [(BUY, DELETE, 99, 0), (BUY, NEW, 98, 10)]
    assert venue.tell([displayed(1, BUY, 98, 40, before=10), canceled(1, BUY, 98, 40)]) == [(BUY, DELETE, 98, 0)]


def test_an_iceberg_that_trades_on_arrival_shows_a_part_of_what_is_left() -> None:
    venue = Venue()
    venue.tell([accepted(1, BUY, 99, 5)])
    assert venue.tell(
        [accepted(2, SELL, 99, 30), traded(2, SELL, 99, 5, 25, (1, 99, 0)), displayed(2, SELL, 99, 10, before=25)]
    ) == [(BUY, DELETE, 99, 0), (SELL, NEW, 99, 10)]


def test_a_parked_order_is_in_no_level_until_it_is_triggered() -> None:
    """2.9, 2.10"""
    venue = Venue()
    venue.tell([accepted(1, SELL, 103, 4)])
    assert (
        venue.tell(
            [parked(accepted(2, BUY, 0, 9), 102)],
            [parked(accepted(3, BUY, 104, 1), 105)],
            [parked(amended(3, BUY, 104, 2, before=(104, 1)), 106)],
            [parked(canceled(3, BUY, 104, 2), 106)],
        )
        == []
    )
    assert venue.tell(
        [accepted(4, SELL, 102, 1)],
        [
            accepted(5, BUY, 102, 3),
            traded(5, BUY, 102, 1, 2, (4, 102, 0)),
            triggered(2, BUY, 103, 9),
            traded(2, BUY, 103, 4, 5, (1, 103, 0)),
        ],
    ) == [(SELL, NEW, 102, 1), (SELL, DELETE, 102, 0), (BUY, NEW, 102, 2), (SELL, DELETE, 103, 0), (BUY, NEW, 103, 5)]


def test_one_order_after_the_other_may_be_triggered_and_meet_the_one_before() -> None:
    """2.10: what is left of an order rests when the next is triggered, which may trade with it or cancel it."""
    venue = Venue()
    venue.tell(
        [parked(accepted(1, BUY, 102, 5), 102)], [parked(accepted(2, SELL, 101, 9), 98)], [accepted(3, SELL, 102, 1)]
    )
    assert venue.tell(
        [
            accepted(4, BUY, 102, 3),
            traded(4, BUY, 102, 1, 2, (3, 102, 0)),
            triggered(1, BUY, 102, 5),
            triggered(2, SELL, 101, 9),
            canceled(4, BUY, 102, 2, Reason.SELF_MATCH_RESTING),
            traded(2, SELL, 102, 5, 4, (1, 102, 0)),
        ]
    ) == [(SELL, DELETE, 102, 0), (SELL, NEW, 101, 4)]


def test_the_other_order_of_an_oco_leaves_its_level_with_the_trade() -> None:
    """2.14"""
    venue = Venue()
    venue.tell([accepted(1, BUY, 99, 5)], [accepted(2, BUY, 95, 5)])
    assert venue.tell(
        [accepted(3, SELL, 99, 2), traded(3, SELL, 99, 2, 0, (1, 99, 3)), canceled(2, BUY, 95, 5, Reason.LINKED)]
    ) == [(BUY, CHANGE, 99, 3), (BUY, DELETE, 95, 0)]


def test_a_book_may_be_crossed_in_a_call_auction_and_is_uncrossed_when_it_ends() -> None:
    """8.3, 8.6: each buy leaves its level and trades. What is left of it returns."""
    venue = Venue()
    venue.tell(
        [phase(Phase.CALL_AUCTION)],
        [accepted(2, BUY, 103, 4)],
        [accepted(3, BUY, 102, 6)],
        [accepted(4, SELL, 99, 7)],
        [accepted(5, SELL, 106, 1)],
    )
    assert told(venue.market, 0) == ([(103, 4), (102, 6)], [(99, 7), (106, 1)])
    assert (venue.market.top(0).bid_price, venue.market.top(0).ask_price) == (103, 99)
    auction = {"kind": EventKind.AUCTION, "price": 102, "quantity": 7, "resting_leaves_quantity": 3}
    assert venue.tell(
        [
            uncrossed(2, BUY, 103, 4),
            traded(2, BUY, 102, 4, 0, (4, 99, 3)),
            uncrossed(3, BUY, 102, 6),
            traded(3, BUY, 102, 3, 3, (4, 99, 0)),
            auction,
            phase(Phase.CONTINUOUS),
        ]
    ) == [(BUY, DELETE, 103, 0), (SELL, DELETE, 99, 0), (BUY, CHANGE, 102, 3)]
    assert told(venue.market, 0) == ([(102, 3)], [(106, 1)])
    figures = venue.market.statistics(0)
    assert (figures.auction_price, figures.auction_volume, figures.auction_surplus) == (102, 7, 3)
    assert (figures.open_price, figures.volume, figures.phase) == (102, 7, Phase.CONTINUOUS)
    assert venue.market.trades()["auction"].tolist() == [1, 1]
    venue.tell([accepted(7, SELL, 102, 1), traded(7, SELL, 102, 1, 0, (3, 102, 2))])
    assert venue.market.trades()["auction"].tolist() == [0, 1, 1]


def test_icebergs_take_part_in_an_auction_whole_and_hide_again() -> None:
    """8.6"""
    venue = Venue()
    venue.tell(
        [phase(Phase.CALL_AUCTION)],
        [accepted(2, BUY, 103, 30), displayed(2, BUY, 103, 5, before=30)],
        [accepted(3, SELL, 99, 20), displayed(3, SELL, 99, 2, before=20)],
    )
    assert venue.tell(
        [
            displayed(2, BUY, 103, 30, before=5),
            uncrossed(2, BUY, 103, 30),
            displayed(3, SELL, 99, 20, before=2),
            traded(2, BUY, 101, 20, 10, (3, 99, 0)),
            displayed(2, BUY, 103, 5, before=10),
        ]
    ) == [(SELL, DELETE, 99, 0)]
    assert told(venue.market, 0) == ([(103, 5)], [])


def test_opening_orders_are_canceled_with_the_auction_even_the_one_that_traded_last() -> None:
    """8.6"""
    venue = Venue()
    venue.tell([phase(Phase.CALL_AUCTION)], [accepted(2, BUY, 103, 4)], [accepted(3, SELL, 99, 1)])
    assert venue.tell(
        [
            uncrossed(2, BUY, 103, 4),
            traded(2, BUY, 99, 1, 3, (3, 99, 0)),
            canceled(2, BUY, 103, 3, Reason.AUCTION_ENDED),
        ]
    ) == [(BUY, DELETE, 103, 0), (SELL, DELETE, 99, 0)]


def test_the_phase_of_each_instrument_is_known() -> None:
    """8.2: with ALL, each instrument that takes the phase has an event; the closing event belongs to none."""
    market = MarketData([instrument("A"), instrument("B", phase=Phase.CLOSED), instrument("C", phase=Phase.UNLISTED)])
    assert [market.phase(number) for number in range(3)] == [Phase.CONTINUOUS, Phase.CLOSED, Phase.UNLISTED]
    market.record(
        stream(
            [phase(Phase.HALTED, 0), phase(Phase.HALTED, 1), phase(Phase.HALTED, ALL)],
            [{"kind": EventKind.LISTED, "instrument": 2, "price": 97}],
            [{"kind": EventKind.EXPIRED, "instrument": 1}],
            [accepted(4, BUY, 99, 1), phase(Phase.CALL_AUCTION, 0, Reason.VELOCITY)],
        )
    )
    assert [market.phase(number) for number in range(3)] == [Phase.CALL_AUCTION, Phase.EXPIRED, Phase.CLOSED]
    assert market.statistics(2).previous_settlement == 97
    with pytest.raises(IndexError, match="instrument: 3 given, 0 to 2 exist"):
        market.phase(3)


def test_settlement_and_the_band_of_the_next_day() -> None:
    """9.1, 11.5: the band holds at once, the settlement price becomes the previous one when the next day begins."""
    venue = Venue(floor=50, ceiling=150, daily_limit=1000)

    def settled(price: int, floor: int, ceiling: int, locked_days: int = 0) -> list[dict[str, Any]]:
        return [
            {
                "kind": EventKind.SETTLED,
                "price": price,
                "resting_leaves_quantity": floor,
                "resting_price": ceiling,
                "leaves_quantity": locked_days,
                "quantity": 3,
            }
        ]

    def figures() -> tuple[Any, ...]:
        return tuple(
            int(venue.market.statistics(0)[name])
            for name in ("settled", "settlement", "previous_settlement", "floor", "ceiling", "locked_days")
        )

    day_begun = [{"kind": EventKind.DAY_BEGUN, "quantity": 20261105}]
    assert figures() == (0, 0, 100, 90, 110, 0)
    venue.tell(day_begun)
    assert figures() == (0, 0, 100, 90, 110, 0)
    venue.tell(settled(110, 97, 123, 1))
    assert figures() == (1, 110, 100, 97, 123, 1)
    venue.tell(day_begun)
    assert figures() == (0, 0, 110, 97, 123, 1)
    venue.tell(settled(105, 95, 115), settled(106, 96, 116))  # the second corrects the first (11.3)
    assert figures() == (1, 106, 110, 96, 116, 0)


def test_the_band_of_an_instrument_that_is_listed_follows_from_its_reference_price() -> None:
    """9.1, 11.9: with the daily limit in force then"""
    market = MarketData([instrument(floor=50, ceiling=120, phase=Phase.UNLISTED, daily_limit=1000)])
    limit = {"kind": EventKind.LIMIT, "side": Limit.INSTRUMENT_DAILY_LIMIT}
    listed = {"kind": EventKind.LISTED, "price": 80}

    def band() -> tuple[int, int]:
        statistics = market.statistics(0)
        return int(statistics["floor"]), int(statistics["ceiling"])

    market.record(stream([listed]))
    assert band() == (72, 88)
    market.record(stream([limit | {"quantity": 5000}], [listed], start=2, event_id=1))
    assert band() == (50, 120) and market.statistics(0).daily_limit == 5000
    market.record(stream([limit], [listed], start=4, event_id=3))
    assert band() == (50, 120)


def test_prices_may_be_negative() -> None:
    venue = Venue(floor=-50, ceiling=10, reference_price=-20)
    venue.do(enter(0, BUY, -21, 5), enter(0, BUY, -50, 1), enter(1, SELL, -1, 2), enter(1, SELL, 0, 3))
    assert told(venue.market, 0) == ([(-21, 5), (-50, 1)], [(-1, 2), (0, 3)])
    assert venue.market.checksum(0) == zlib.crc32(b"-1:2,0:3|-21:5,-50:1")
    assert told(venue.market, 0, group=10) == ([(-30, 5), (-50, 1)], [(0, 5)])


def test_the_checksum_covers_ten_levels_of_each_side_and_the_largest_numbers() -> None:
    venue = Venue(floor=0, ceiling=262_143, reference_price=100_000)
    venue.do(
        *(enter(0, BUY, 99_999 - 10_000 * level // 2, (1 << 39) - level) for level in range(12)),
        *(enter(1, SELL, 100_001 + 14_000 * level, 10**level) for level in range(11)),
    )
    assert venue.market.checksum(0) == checksum_by_hand(*depths(venue.exchange)[0])
    venue.market.check(0, True)
    venue.do(cancel(0, 1))
    assert venue.updates.books[0].checksum == checksum_by_hand(*depths(venue.exchange)[0]) == venue.market.checksum(0)
    venue.market.check(0, False)
    venue.do(cancel(0, 2))
    assert venue.updates.books[0].checksum == 0


def test_the_next_best_price_is_found_over_a_wide_and_sparse_band() -> None:
    venue = Venue(floor=-131_072, ceiling=131_071, reference_price=0)
    rng = np.random.default_rng(5)
    prices = np.unique(rng.integers(-131_072, 131_072, 500)).tolist()
    venue.do(*(enter(0, BUY if price < 0 else SELL, price, 1) for price in prices))
    bids, asks = told(venue.market, 0)
    assert [price for price, _ in bids] == sorted((price for price in prices if price < 0), reverse=True)
    assert [price for price, _ in asks] == [price for price in prices if price >= 0]
    for best in bids[:50]:
        assert told(venue.market, 0, depth=1)[0] == [best]
        venue.do(enter(1, SELL, best[0], 1))
    assert told(venue.market, 0, depth=3)[0] == bids[50:53]


def test_a_grouped_book_rounds_bids_down_and_asks_up_and_sums() -> None:
    venue = Venue()
    venue.do(
        *(enter(0, BUY, price, 1) for price in (99, 98, 96, 94, 90)),
        *(enter(0, SELL, price, 2) for price in (100, 101, 105, 106, 110)),
    )
    assert told(venue.market, 0, group=5) == ([(95, 3), (90, 2)], [(100, 2), (105, 4), (110, 4)])
    assert told(venue.market, 0, group=5, depth=2) == ([(95, 3), (90, 2)], [(100, 2), (105, 4)])


def test_figures_of_the_day_can_be_read_until_the_next_begins() -> None:
    """11.1"""
    venue = Venue()
    venue.do(
        enter(0, SELL, 101, 9),
        enter(1, BUY, 101, 2),
        enter(0, SELL, 100, 2),
        enter(1, BUY, 100, 1),
        enter(1, BUY, 101, 4),
    )
    figures = venue.market.statistics(0)
    assert (figures.open_price, figures.high_price, figures.low_price, figures.last_price) == (101, 101, 100, 101)
    assert (figures.volume, figures.notional, figures.trades) == (7, 2 * 101 + 100 + 100 + 3 * 101, 4)
    assert [int(trade.tick_direction) for trade in venue.market.trades(0)] == [0, 3, 2, 0]
    venue.do(operator(CommandKind.END_DAY))
    assert venue.market.statistics(0).volume == 7
    venue.tell([{"kind": EventKind.DAY_BEGUN, "quantity": 20261105}])
    figures = venue.market.statistics(0)
    assert (figures.day_trades, figures.volume, figures.notional, figures.last_price) == (0, 0, 0, 101)


def test_the_tape_keeps_the_last_trades_with_taker_maker_and_both_orders() -> None:
    exchange = Exchange([instrument("A"), instrument("B")], accounts=3, risk=False)
    market = MarketData(exchange.instruments, trades=5)
    commands = rows(
        *(
            order
            for number in range(12)
            for order in (enter(1, SELL, 100, 1, instrument=number % 2), enter(2, BUY, 100, 1, instrument=number % 2))
        )
    )
    for part in (commands[:4], commands[4:20], commands[20:]):
        market.record(exchange.apply(part))
    assert market.trades()["trade_id"].tolist() == [12, 11, 10, 9, 8]
    assert market.trades(count=2)["trade_id"].tolist() == [12, 11]
    assert market.trades(instrument=1)["trade_sequence"].tolist() == [6, 5, 4]
    last = market.trades(count=1)[0]
    assert (last.order_id, last.resting_order_id, last.account, last.resting_account) == (24, 23, 2, 1)
    assert (last.side, last.price, last.quantity, last.sequence, last.instrument) == (BUY, 100, 1, 24, 1)


def test_folding_changes_gives_the_difference_however_it_is_cut() -> None:
    flow, played = play(3)
    market = MarketData(flow.instruments)
    changes = market.record(np.concatenate([events for events, _ in played])).levels.copy()
    net = net_changes(changes)
    for number, (bids, asks) in enumerate(played[-1][1]):
        rows_of = net[net["instrument"] == number]
        assert sorted((int(row.price), int(row.quantity)) for row in rows_of if row.side == BUY) == sorted(bids)
        assert sorted((int(row.price), int(row.quantity)) for row in rows_of if row.side == SELL) == sorted(asks)
    assert set(net["action"]) == {NEW}
    middle = len(changes) // 2
    assert net_changes(np.concatenate([net_changes(changes[:middle]), changes[middle:]])).tolist() == net.tolist()
    second = net_changes(changes[middle:])
    assert {NEW, CHANGE, DELETE} == set(second["action"])
    assert len(net_changes(changes[:0])) == 0


def test_a_snapshot_restores_the_same_state() -> None:
    flow, played = play(5)
    kept = MarketData(flow.instruments, trades=20)
    kept.record(np.concatenate([events for events, _ in played[:400]]))
    restored = MarketData(flow.instruments, trades=20)
    restored.restore(kept.state())
    rest = np.concatenate([events for events, _ in played[400:]])
    assert kept.record(rest).levels.tolist() == restored.record(rest).levels.tolist()
    for number, books in enumerate(played[-1][1]):
        assert told(restored, number) == books
        assert restored.top(number).tolist() == kept.top(number).tolist()
        assert restored.statistics(number) == kept.statistics(number)
    assert restored.trades().tolist() == kept.trades().tolist()
    with pytest.raises(ValueError, match="must be new to be restored"):
        kept.restore(kept.state())
    with pytest.raises(ValueError, match="must be 1"):
        MarketData([instrument()]).restore(kept.state())
    other = MarketData([instrument()])
    other.record(stream([accepted(1, BUY, 100, 1)]))
    with pytest.raises(ValueError, match="outside the band"):
        MarketData([instrument(floor=500, ceiling=510, reference_price=505)]).restore(other.state())
    with pytest.raises(ValueError, match="snapshot array market_event_id: missing"):
        MarketData([instrument()]).restore({})


def test_events_with_a_gap_are_refused_and_so_are_events_of_other_instruments() -> None:
    venue = Venue()
    events = venue.exchange.apply(rows(enter(0, BUY, 100, 5), enter(0, BUY, 101, 5)))
    with pytest.raises(ValueError, match="event 2 of command 2 does not continue"):
        MarketData(venue.exchange.instruments).record(events[1:])
    with pytest.raises(ValueError, match="event 1 of command 1 does not continue"):
        MarketData([instrument(floor=50, ceiling=60, reference_price=55)]).record(events)
    with pytest.raises(IndexError, match="instrument: 1 given, 0 to 0 exist"):
        venue.market.book(1)


def test_a_thousand_instruments_with_the_widest_bands_take_no_memory_until_they_are_touched() -> None:
    exchange_like = [instrument(f"I{number}", floor=0, ceiling=262_143, reference_price=5) for number in range(1000)]
    market = MarketData(exchange_like)
    venue = Exchange([exchange_like[999]], accounts=2, risk=False)
    events = venue.apply(rows(enter(0, BUY, 262_143, 5)))
    events["instrument"] = 999
    market.record(events)
    assert told(market, 999) == ([(262_143, 5)], [])
