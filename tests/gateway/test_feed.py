"""gateway/market/feed.py: messages to subscribers add up to the engine's book, and a slow subscriber affects no other."""

import json
import zlib
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from exchange import Exchange
from exchange.instruments import Instrument
from exchange.projections.marketdata import MarketData
from gateway.market.feed import INTERVAL, TRY_AGAIN_LATER, ChannelError, Feed
from matching.codes import ALL, AUCTION_PHASES, CommandKind, Phase, Side, TimeInForce
from tests.build import cancel, enter, existing, instrument, operator, rows
from tests.matching.flow import random_flow

BUY, SELL = Side.BUY, Side.SELL
START = 1_800_000_000_000_000_000


class Connection:
    """A subscriber that reads everything at once, unless the test stops it."""

    def __init__(self, reading: bool = True) -> None:
        self.reading = reading
        self.waiting: list[Any] = []
        self.received: list[Any] = []
        self.closed: tuple[int, str] | None = None

    @property
    def queued(self) -> int:
        return sum(map(len, self.waiting))

    def send(self, message: bytes) -> None:
        assert self.closed is None
        self.waiting.append(message)
        if self.reading:
            self.read()

    def read(self, messages: int | None = None) -> None:
        taken, self.waiting = self.waiting[:messages], self.waiting[len(self.waiting[:messages]) :]
        self.received += taken

    def close(self, code: int, reason: str) -> None:
        self.closed = code, reason

    def messages(self, channel: str | None = None) -> list[Any]:
        """Data of the received messages, with exact numbers; empties `received`."""
        told = [json.loads(message, parse_float=Decimal)["params"] for message in self.received]
        self.received = []
        return [params["data"] for params in told if channel in (None, params["channel"])]


class BookClient:
    """The reference client: rebuilds a book from JSON and refuses a broken chain or a wrong checksum."""

    def __init__(self, terms: Instrument) -> None:
        self.terms, self.change_id, self.resyncs = terms, None, 0

    def apply(self, data: dict[str, Any]) -> None:
        assert data["instrument_name"] == self.terms.symbol
        if data["type"] == "snapshot":
            self.bids: dict[Any, Any] = {}
            self.asks: dict[Any, Any] = {}
            self.resyncs += data.get("resync", False)
        else:
            assert data["prev_change_id"] == self.change_id < data["change_id"]
        self.change_id = data["change_id"]
        for side, told in ((self.bids, data["bids"]), (self.asks, data["asks"])):
            for action, price, amount in told:
                assert (action == "new") == (price not in side) and (action == "delete") == (amount == 0)
                side[price] = amount
                if action == "delete":
                    del side[price]
        assert data["checksum"] == self.checksum()

    def checksum(self) -> int:
        """The checksum as a client computes it."""

        def text(levels: list[Any]) -> str:
            return ",".join(
                f"{round(price / self.terms.tick_size)}:{round(amount / self.terms.lot_size)}"
                for price, amount in levels[:10]
            )

        bids, asks = self.book()
        return zlib.crc32(f"{text(asks)}|{text(bids)}".encode())

    def book(self) -> tuple[Any, ...]:
        return sorted(self.bids.items(), reverse=True), sorted(self.asks.items())


def book_of(exchange: Exchange, number: int) -> tuple[Any, ...]:
    """The engine's book in currency and units."""
    terms = exchange.instruments[number]
    return tuple(
        [(int(level.price) * terms.tick_size, int(level.quantity) * terms.lot_size) for level in side]
        for side in exchange.depth(terms.symbol, levels=1 << 20)
    )


class Hub:
    """An engine whose events go to a feed. The test moves `now`."""

    def __init__(
        self,
        instruments: list[Instrument] | tuple[Any, ...],
        accounts: int | tuple[Any, ...] = 4,
        risk: bool = False,
        **limits: Any,
    ) -> None:
        self.exchange = Exchange(instruments, accounts, risk=risk, max_orders=4096)
        self.feed = Feed(self.exchange.instruments, MarketData(self.exchange.instruments), self.exchange, **limits)
        self.now = START
        self.last = 0

    def apply(self, commands: np.ndarray) -> None:
        self.feed.publish(self.exchange.apply(commands), self.now)

    def do(self, *commands: dict[str, Any]) -> None:
        block = rows(*commands, start=self.last + 1)
        self.last += len(commands)
        self.apply(block)

    def wait(self, ns: int = INTERVAL) -> None:
        self.now += ns
        self.feed.tick(self.now)

    def join(self, *channels: str, reading: bool = True) -> Connection:
        connection = Connection(reading)
        for channel in channels:
            self.feed.subscribe(connection, channel, self.now)
        return connection


def busy(hub: Hub, count: int, size: int = 50) -> None:
    """Orders that move the book: each enters somewhere and the one before it is canceled."""
    rng = np.random.default_rng(hub.last)
    for _ in range(count // size):
        commands = []
        for number in range(size // 2):
            price = int(rng.integers(91, 110))
            commands.append(enter(number % 3, BUY if price < 100 else SELL, price, int(rng.integers(1, 50))))
            commands.append(cancel(number % 3, hub.last + 1 + 2 * number - 50) if hub.last else commands[-1])
        hub.do(*commands)


# Books --------------------------------------------------------------------------------------------


@pytest.mark.compiled
@pytest.mark.parametrize("seed", range(12))
def test_a_book_rebuilt_from_json_is_the_engines_at_every_change_whoever_joined_when(seed: int) -> None:
    flow = random_flow(seed, 600)
    hub = Hub(flow.instruments, flow.accounts)
    rng = np.random.default_rng(seed)
    followers = []
    at = 0
    while at < len(flow.commands):
        if rng.random() < 0.1:
            number = int(rng.integers(len(flow.instruments)))
            channel = f"book.{flow.instruments[number].symbol}.raw"
            followers.append((hub.join(channel), BookClient(flow.instruments[number]), number))
        size = int(rng.choice((1, 1, 1, 30)))
        hub.apply(flow.commands[at : at + size])
        at += size
        for connection, client, number in followers:
            for data in connection.messages():
                client.apply(data)
            assert client.book() == book_of(hub.exchange, number)
            assert client.change_id == hub.feed.market.top(number).change_id


@pytest.mark.compiled
@pytest.mark.parametrize("seed", range(6))
def test_a_conflated_channel_publishes_the_net_change_at_most_ten_times_a_second(seed: int) -> None:
    flow = random_flow(seed, 900)
    hub = Hub(flow.instruments, flow.accounts)
    rng = np.random.default_rng(seed)
    followers = []
    for row in range(len(flow.commands)):
        if rng.random() < 0.03:
            number = int(rng.integers(len(flow.instruments)))
            followers.append(
                (
                    hub.join(f"book.{flow.instruments[number].symbol}.100ms"),
                    BookClient(flow.instruments[number]),
                    number,
                    [0],
                )
            )
        if followers and rng.random() < 0.01:
            connection, *_ = followers.pop(0)
            hub.feed.drop(connection)
        for step in ("publish", "tick"):
            if step == "publish":
                hub.apply(flow.commands[row : row + 1])
            else:
                hub.wait(int(rng.integers(0, INTERVAL // 4)))
            for connection, client, _, told in followers:
                for data in connection.messages():
                    if data["type"] == "change":
                        assert hub.now - told[-1] >= INTERVAL and (data["bids"] or data["asks"])
                        told.append(hub.now)
                    client.apply(data)
    hub.wait()
    assert len(followers) > 3
    for connection, client, number, _ in followers:
        for data in connection.messages():
            client.apply(data)
        assert client.book() == book_of(hub.exchange, number)


def test_changes_that_cancel_out_within_an_interval_are_not_published_and_the_chain_holds() -> None:
    hub = Hub([instrument()])
    hub.do(enter(0, BUY, 100, 1))
    connection = hub.join("book.SC2701.100ms")
    hub.do(enter(0, BUY, 99, 1))
    hub.do(enter(0, BUY, 98, 1), cancel(0, 3))
    hub.wait()
    late = hub.join("book.SC2701.100ms")
    hub.do(cancel(0, 1))
    hub.wait()
    for followed, kinds in ((connection, ["snapshot", "change", "change"]), (late, ["snapshot", "change"])):
        client, data = BookClient(hub.exchange.instruments[0]), followed.messages()
        assert [message["type"] for message in data] == kinds
        for message in data:
            client.apply(message)
        assert client.book() == book_of(hub.exchange, 0)


def test_a_subscription_between_messages_gets_a_snapshot_that_the_next_change_continues() -> None:
    hub = Hub([instrument()])
    early = hub.join("book.SC2701.100ms")
    hub.do(enter(0, BUY, 100, 1))
    hub.do(enter(0, BUY, 99, 1))
    late = hub.join("book.SC2701.100ms")
    assert late.messages() == []
    hub.wait()
    hub.do(enter(0, BUY, 98, 1))
    hub.wait()
    for connection in (early, late):
        client = BookClient(hub.exchange.instruments[0])
        for message in connection.messages():
            client.apply(message)
        assert client.book() == book_of(hub.exchange, 0) and client.resyncs == 0


def test_a_message_is_encoded_once_and_not_at_all_without_subscribers(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Hub([instrument("A"), instrument("B")])
    both = [hub.join("book.A.raw", "quote.A", "book.A.none.10.100ms") for _ in range(3)]
    hub.do(enter(0, BUY, 100, 1))
    assert len(both[0].received) > 3
    assert all(one is other for one, other in zip(both[0].received[3:], both[2].received[3:], strict=True))
    written: list[str] = []

    def notification(channel: str, data: str) -> bytes:
        written.append(channel)
        return b""

    monkeypatch.setattr("gateway.market.feed.notification", notification)
    hub.do(enter(0, BUY, 100, 1, instrument=1), enter(1, SELL, 100, 1, instrument=1))
    for connection in both:
        hub.feed.drop(connection)
    hub.do(enter(0, BUY, 100, 1), enter(1, SELL, 100, 1))
    hub.wait()
    assert written == []


def test_numbers_are_exact_decimals_without_exponent_or_noise() -> None:
    fine = instrument(
        "BTC", floor=0, ceiling=200_000, reference_price=1, tick_size=Decimal("0.005"), lot_size=Decimal("1E-8")
    )
    coarse = instrument(
        "SC", floor=-9, ceiling=6000, reference_price=1, tick_size=Decimal("0.1"), lot_size=Decimal(1000)
    )
    hub = Hub([fine, coarse])
    connection = hub.join("book.BTC.raw", "book.SC.raw")
    hub.do(
        enter(0, BUY, 20_001, 3),
        enter(0, BUY, 3, 123_456_789),
        enter(0, BUY, 5513, 7, instrument=1),
        enter(0, BUY, -7, 1, instrument=1),
    )
    text = b" ".join(connection.received).decode()
    for level in ('["new",100.005,0.00000003]', '["new",0.015,1.23456789]', '["new",551.3,7000]', '["new",-0.7,1000]'):
        assert level in text
    assert "e-" not in text.lower()


def test_a_grouped_image_is_sent_when_what_it_shows_has_changed() -> None:
    hub = Hub([instrument(floor=0, ceiling=1000, reference_price=500, tick_size=Decimal("0.5"))])
    connection = hub.join("book.SC2701.5.10.100ms")
    hub.do(*(enter(0, BUY, price, 1) for price in (499, 498, 491, 489)), enter(0, SELL, 501, 2))
    assert connection.messages()[1:] == [
        {
            "timestamp": 5000,
            "instrument_name": "SC2701",
            "change_id": 5,
            "bids": [[245, 3], [240, 1]],
            "asks": [[255, 2]],
        }
    ]
    hub.do(cancel(0, 1))
    hub.do(enter(0, BUY, 496, 1))
    hub.wait()
    assert connection.messages() == []
    raw = hub.join("book.SC2701.none.1.raw")
    hub.do(enter(0, BUY, 490, 1))
    hub.do(enter(0, BUY, 500, 1))
    assert [data["bids"] for data in raw.messages()] == [[[249, 1]], [[249, 1]], [[250, 1]]]


# Quotes and trades --------------------------------------------------------------------------------


def test_a_quote_is_sent_at_once_and_after_every_command_that_changed_the_top() -> None:
    hub = Hub([instrument()])
    connection = hub.join("quote.SC2701")
    hub.do(enter(0, BUY, 100, 1), enter(0, BUY, 99, 1), enter(0, BUY, 100, 1), enter(1, SELL, 102, 4), cancel(1, 4))
    told = [
        (data["best_bid_price"], data["best_bid_amount"], data["best_ask_price"], data["best_ask_amount"])
        for data in connection.messages()
    ]
    assert told == [(None, 0, None, 0), (1, 1, None, 0), (1, 2, None, 0), (1, 2, Decimal("1.02"), 4), (1, 2, None, 0)]


def test_trades_come_command_by_command_or_once_an_interval_before_the_book_they_left() -> None:
    hub = Hub([instrument()])
    raw = hub.join("trades.SC2701.raw", "book.SC2701.raw")
    slow = hub.join("trades.SC2701.100ms")
    hub.do(enter(0, SELL, 101, 2), enter(0, SELL, 102, 2), enter(1, BUY, 102, 3))
    hub.do(enter(1, BUY, 102, 1, time_in_force=TimeInForce.IOC))
    channels = [json.loads(message)["params"]["channel"] for message in raw.received]
    assert channels == ["book.SC2701.raw"] * 3 + ["trades.SC2701.raw", "book.SC2701.raw"] * 2
    trades = raw.messages("trades.SC2701.raw")
    names = ("trade_seq", "price", "amount", "direction", "seq")
    assert [[tuple(trade[name] for name in names) for trade in message] for message in trades] == [
        [(1, Decimal("1.01"), 2, "buy", 3), (2, Decimal("1.02"), 1, "buy", 3)],
        [(3, Decimal("1.02"), 1, "buy", 4)],
    ]
    first = slow.messages()
    hub.wait()
    assert first == [trades[0]] and slow.messages() == [trades[1]]


# Slow subscribers ---------------------------------------------------------------------------------


@pytest.mark.compiled
def test_a_slow_subscriber_of_a_book_is_conflated_to_a_fresh_snapshot_and_the_others_miss_nothing() -> None:
    hub = Hub([instrument()], max_queue=20_000)
    channels = ("book.SC2701.raw", "book.SC2701.100ms", "quote.SC2701", "book.SC2701.none.10.raw")
    slow, fast = hub.join(*channels, reading=False), hub.join(*channels)
    for _ in range(20):
        busy(hub, 200)
        hub.wait()
    assert 10_000 < slow.queued < 15_000 and slow.closed is None
    slow.reading = True
    slow.read()
    hub.wait()
    busy(hub, 200)
    hub.wait()
    assert fast.closed is None
    for connection, resyncs in ((slow, 1), (fast, 0)):
        received = connection.received
        for channel in channels[:2]:
            connection.received, client = list(received), BookClient(hub.exchange.instruments[0])
            for data in connection.messages(channel):
                client.apply(data)
            assert client.book() == book_of(hub.exchange, 0) and client.resyncs == resyncs
        for channel in channels[2:]:
            connection.received = list(received)
            last = connection.messages(channel)[-1]
            bids, asks = book_of(hub.exchange, 0)
            if channel.startswith("quote"):
                assert (last["best_bid_price"], last["best_ask_amount"]) == (bids[0][0], asks[0][1])
            else:
                assert [tuple(level) for level in last["bids"]] == bids[:10]


def test_a_subscriber_that_does_not_read_is_cut_off_after_the_patience_with_1013_and_forgotten() -> None:
    hub = Hub([instrument()], max_queue=20_000, patience=5 * INTERVAL)
    stuck, fast = hub.join("book.SC2701.raw", "quote.SC2701", reading=False), hub.join("book.SC2701.raw")
    busy(hub, 400)
    hub.wait(4 * INTERVAL)
    assert stuck.closed is None
    hub.wait(2 * INTERVAL)
    assert existing(stuck.closed)[0] == TRY_AGAIN_LATER and hub.feed.channels(stuck) == []
    held = stuck.queued
    busy(hub, 400)
    hub.wait()
    assert stuck.queued == held
    client = BookClient(hub.exchange.instruments[0])
    for data in fast.messages():
        client.apply(data)
    assert client.book() == book_of(hub.exchange, 0)


def test_a_subscriber_that_reads_slowly_is_not_cut_off() -> None:
    hub = Hub([instrument()], max_queue=20_000, patience=5 * INTERVAL)
    slow = hub.join("book.SC2701.raw", reading=False)
    busy(hub, 400)
    for _ in range(20):
        hub.wait(3 * INTERVAL)
        slow.read(1)
    assert slow.closed is None and slow.waiting
    slow.read()
    hub.wait()
    slow.read()
    assert slow.messages()[-1]["resync"] is True


def test_trades_are_never_left_out_so_a_full_queue_ends_its_connection_alone() -> None:
    hub = Hub([instrument()], max_queue=20_000)
    stuck, fast = hub.join("trades.SC2701.raw", reading=False), hub.join("trades.SC2701.raw")
    for _ in range(200):
        hub.do(enter(0, SELL, 100, 1), enter(1, BUY, 100, 1))
    assert existing(stuck.closed)[0] == TRY_AGAIN_LATER and stuck.queued < 20_500
    assert [data[0]["trade_seq"] for data in fast.messages()] == list(range(1, 201))


def test_subscribing_again_and_again_does_not_fill_a_queue_with_snapshots() -> None:
    hub = Hub([instrument()], max_queue=20_000)
    hub.do(*(enter(0, BUY, price, 1) for price in range(90, 111)))
    stuck = Connection(reading=False)
    for _ in range(200):
        hub.feed.subscribe(stuck, "book.SC2701.raw", hub.now)
        hub.feed.unsubscribe(stuck, "book.SC2701.raw")
    assert stuck.queued < 11_000


# Channels -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("channel", "complaint"),
    [
        ("candles.SC2701.raw", "unknown, public channels are"),
        ("book", "unknown, public channels are"),
        ("", "unknown, public channels are"),
        ("book.XX.raw", "instrument XX is unknown"),
        ("book.SC2701", "must be book.SC2701.raw or"),
        ("book.SC2701.1s", "interval is 1s, must be raw or 100ms"),
        ("trades.SC2701.none.10.raw", "must be trades.SC2701.raw or"),
        ("quote.SC2701.raw", "must be quote.SC2701"),
        ("book.SC2701.none.7.raw", "depth is 7, must be one of 1, 10, 20"),
        ("book.SC2701.3.10.raw", "group is 3, must be none or a whole multiple of the tick 2"),
        ("book.SC2701.0.10.raw", "group is 0"),
        ("book.SC2701.-2.10.raw", "group is -2"),
        ("book.SC2701.9999999999.10.raw", "group is 9999999999"),
        ("book.SC2701.\u0662.10.raw", "group is \u0662"),
    ],
)
def test_a_channel_that_does_not_exist_is_refused_with_what_would_be(channel: str, complaint: str) -> None:
    hub = Hub([instrument(tick_size=Decimal(2))])
    with pytest.raises(ChannelError, match="channel .*" + complaint):
        hub.feed.check(channel)
    connection = Connection()
    with pytest.raises(ChannelError):
        hub.feed.subscribe(connection, channel, hub.now)
    assert connection.received == [] and hub.feed.channels(connection) == []


def test_subscribing_twice_is_once_and_unsubscribing_says_whether_there_was_anything() -> None:
    hub = Hub([instrument()])
    connection = hub.join("book.SC2701.raw", "book.SC2701.raw", "quote.SC2701")
    assert len(connection.received) == 2
    assert hub.feed.channels(connection) == ["book.SC2701.raw", "quote.SC2701"]
    assert hub.feed.unsubscribe(connection, "book.SC2701.raw") is True
    assert hub.feed.unsubscribe(connection, "book.SC2701.raw") is False
    hub.do(enter(0, BUY, 100, 1))
    assert len(connection.received) == 3


# Tickers, auctions, phases ------------------------------------------------------------------------


def phase(number: Phase, instrument: int = 0) -> dict[str, Any]:
    return operator(CommandKind.PHASE, number, instrument=instrument)


def test_a_ticker_has_the_figures_of_market_and_engine_whenever_they_change() -> None:
    hub = Hub([instrument(daily_limit=1000), instrument("FU2701")])
    raw, slow, other = (hub.join(f"ticker.{name}") for name in ("SC2701.raw", "SC2701.100ms", "FU2701.raw"))
    (first,) = raw.messages()
    assert {
        name: first[name]
        for name in (
            "instrument_name",
            "state",
            "phase",
            "best_bid_price",
            "best_bid_amount",
            "last_price",
            "mark_price",
            "settlement_price",
            "min_price",
            "max_price",
            "open_interest",
        )
    } == {
        "instrument_name": "SC2701",
        "state": "open",
        "phase": "continuous",
        "best_bid_price": 0,
        "best_bid_amount": 0,
        "last_price": 1,
        "mark_price": 1,
        "settlement_price": 1,
        "min_price": Decimal("0.9"),
        "max_price": Decimal("1.1"),
        "open_interest": 0,
    }
    assert first["stats"] == {"high": None, "low": None, "volume": 0, "volume_notional": 0, "price_change": None}
    hub.wait()
    slow.messages()
    hub.do(enter(0, SELL, 105, 3))
    hub.do(enter(1, BUY, 105, 2))
    told = raw.messages()
    assert [(seen["best_ask_amount"], seen["last_price"]) for seen in told] == [(3, 1), (1, Decimal("1.05"))]
    assert told[-1]["stats"] == {
        "high": Decimal("1.05"),
        "low": Decimal("1.05"),
        "volume": 2,
        "volume_notional": Decimal("2.1"),
        "price_change": 5,
    }
    hub.wait()
    assert [seen["best_ask_amount"] for seen in slow.messages()] == [
        3,
        1,
    ]  # the first at once, because nothing was published for long
    hub.do(phase(Phase.BREAK))
    assert [(seen["state"], seen["phase"]) for seen in raw.messages()] == [("closed", "break")]
    hub.wait()
    hub.wait()
    assert len(slow.messages()) == 1 and len(other.messages()) == 1


def test_a_settlement_and_a_new_day_appear_in_the_ticker() -> None:
    """RULEBOOK 9.1, 11.2."""
    hub = Hub([instrument(daily_limit=500), instrument("FU2701")], risk=True)
    hub.do(operator(CommandKind.BEGIN_DAY, quantity=2026_12_01))
    hub.do(enter(0, SELL, 102, 3), enter(1, BUY, 102, 3))
    ticker = hub.join("ticker.SC2701.raw")
    hub.do(operator(CommandKind.SETTLE, 0))
    hub.do(operator(CommandKind.END_DAY), operator(CommandKind.BEGIN_DAY, quantity=2026_12_02))
    first, settled, *_, last = ticker.messages()
    assert (first["settlement_price"], first["min_price"], first["max_price"]) == (1, Decimal("0.95"), Decimal("1.05"))
    assert (settled["settlement_price"], settled["min_price"], settled["max_price"]) == (
        Decimal("1.02"),
        Decimal("0.97"),
        Decimal("1.07"),
    )
    assert (last["settlement_price"], last["stats"]["volume"], last["stats"]["price_change"]) == (
        Decimal("1.02"),
        0,
        None,
    )


@pytest.mark.parametrize("now", AUCTION_PHASES)
def test_a_call_auction_publishes_what_it_would_trade_and_then_what_it_traded(now: Phase) -> None:
    """RULEBOOK 8.4: price, lots, and what is left at that price."""
    hub = Hub([instrument(), instrument("FU2701")])
    auction = hub.join("auction.SC2701")
    assert auction.messages() == []  # there is no price now
    hub.do(phase(now))
    hub.wait()
    (nothing,) = auction.messages()
    assert (nothing["price"], nothing["amount"], nothing["imbalance"], nothing["final"]) == (None, 0, 0, False)
    hub.do(enter(0, BUY, 101, 5))
    hub.do(enter(1, SELL, 101, 3))
    late = hub.join("auction.SC2701")
    (seen,) = late.messages()
    assert (seen["price"], seen["amount"], seen["imbalance"], seen["final"]) == (Decimal("1.01"), 3, 2, False)
    assert auction.messages() == []  # not before the interval is over
    hub.wait()
    assert auction.messages() == [seen | {"timestamp": hub.now // 1_000_000}]
    hub.wait()
    hub.do(enter(2, BUY, 95, 1))  # this changes no figure of it
    hub.wait()
    assert auction.messages() == []
    hub.do(phase(Phase.CONTINUOUS))
    (done,) = auction.messages()
    assert (done["price"], done["amount"], done["imbalance"], done["final"]) == (Decimal("1.01"), 3, 2, True)
    hub.do(enter(2, BUY, 94, 1))
    hub.wait()
    assert auction.messages() == []


def test_an_indicative_price_is_not_published_while_the_engine_is_ahead_of_the_journal() -> None:
    hub = Hub([instrument(), instrument("FU2701")])
    hub.do(phase(Phase.CALL_AUCTION))
    auction = hub.join("auction.SC2701")
    hub.do(enter(0, BUY, 101, 5))
    hub.wait()
    auction.messages()
    block = rows(enter(1, SELL, 101, 3), start=hub.last + 1)
    events = hub.exchange.apply(block)  # computed, not yet durable
    hub.wait()
    late = hub.join("auction.SC2701")
    assert auction.messages() == late.messages() == []
    hub.feed.publish(events, hub.now)
    hub.wait()
    assert [seen["amount"] for seen in auction.messages()] == [3] == [seen["amount"] for seen in late.messages()]


def test_phases_are_published_for_one_instrument_and_for_all() -> None:
    """RULEBOOK 8.2, and 8.8: the reason where the hub itself did it."""
    hub = Hub([instrument(velocity=2, velocity_window=1000), instrument("FU2701")])
    one, every = hub.join("phase.SC2701"), hub.join("phase.any")
    assert [(seen["instrument_name"], seen["phase"], seen["reason"]) for seen in one.messages()[0]] == [
        ("SC2701", "continuous", "none")
    ]
    assert [(seen["instrument_name"], seen["phase"]) for seen in every.messages()[0]] == [
        ("SC2701", "continuous"),
        ("FU2701", "continuous"),
    ]
    hub.do(phase(Phase.BREAK, ALL))
    assert [(seen["instrument_name"], seen["phase"], seen["seq"]) for seen in every.messages()[0]] == [
        ("SC2701", "break", 1),
        ("FU2701", "break", 1),
    ]
    assert [len(told) for told in one.messages()] == [1]
    hub.do(phase(Phase.CONTINUOUS, ALL), enter(0, SELL, 101, 1), enter(0, SELL, 106, 1), enter(1, BUY, 106, 2))
    assert [(seen["phase"], seen["reason"]) for told in one.messages() for seen in told] == [
        ("continuous", "none"),
        ("call_auction", "velocity"),
    ]


def test_a_slow_subscriber_of_a_ticker_gets_a_fresh_one_when_it_has_caught_up() -> None:
    hub = Hub([instrument(), instrument("FU2701")], max_queue=8_000)
    slow, quick = hub.join("ticker.SC2701.raw", reading=False), hub.join("ticker.SC2701.raw")
    for price in (95, 96) * 20:
        hub.do(enter(0, BUY, price, 1), enter(1, SELL, price, 1))
    assert len(quick.messages()) > len(slow.waiting)
    slow.read()
    before = len(slow.messages())
    hub.wait()
    slow.read()
    assert before < 20 and [seen["stats"]["volume"] for seen in slow.messages()] == [40]


@pytest.mark.parametrize(
    "name",
    ["ticker.SC2701", "ticker.SC2701.1s", "auction.SC2701.raw", "auction.any", "phase.XX", "phase.any.raw", "phase"],
)
def test_channels_of_phases_that_do_not_exist_are_refused_by_name(name: str) -> None:
    with pytest.raises(ChannelError, match=name):
        Hub([instrument()]).feed.check(name)
