"""The feed: who subscribed to which public channel, what is sent when, and what happens to slow subscribers.

    feed = Feed(exchange.instruments, market, exchange)
    feed.check("book.SC2701.raw")                        # ChannelError names what is wrong
    feed.subscribe(subscriber, "book.SC2701.raw", now)   # its first message, a snapshot, is sent at once
    feed.publish(events, now)                            # each durable batch: records it into market, sends what is due
    feed.tick(now)                                       # some fifty times a second: intervals and slow subscribers

It is sans-I/O: a Subscriber has `send`, `queued` and `close`. Times are ns. Requests and private channels are the session's
(gateway/rpc/session.py), books are the projection's (exchange/projections/marketdata.py). A message is made once, and the
same bytes go to every subscriber of its channel; nothing is made for channels without subscribers.

Channels and their `data`
  book.{instrument}.raw              a message for every command that changed the book
  book.{instrument}.100ms            the net change since the last message, at most ten times a second
      {"type": "snapshot" or "change", "timestamp": ms, "instrument_name", "change_id", "prev_change_id" (changes),
       "bids": [[action, price, amount], ...], "asks": ..., "checksum"}. Actions are new, change, delete; amount is the
      new total at the price. `prev_change_id` is the `change_id` of the message before it. A snapshot replaces all that
      was known; one that was not asked for has "resync": true (see slow subscribers).
  book.{instrument}.{group}.{depth}.raw|100ms     a full image whenever it differs from the last: bids and asks are
      [[price, amount], ...]. group: none, or a whole number of currency units that is a multiple of the tick; prices
      are rounded to it, bids down and asks up, and summed. depth: 1, 10 or 20 levels. raw: once for each durable batch.
  quote.{instrument}                 best_bid_price, best_bid_amount, best_ask_price, best_ask_amount, timestamp, after
      every command that changed one of them. No bid: price null, amount 0.
  trades.{instrument}.raw|100ms      list of trades: those of one command (raw), or since the last message (100ms).
  ticker.{instrument}.raw|100ms      what public/ticker shows, whenever it differs; raw: once for each durable batch.
  auction.{instrument}               during a call auction what it would trade now, ten times a second when it differs:
      price (null: nothing), amount, imbalance, "final": false. When it has traded, the same with "final": true.
  phase.{instrument}, phase.any      list of {"instrument_name", "phase", "reason", "timestamp", "seq"}: first all
      instruments that it covers, then those that a batch changed.

Checksum
  zlib's CRC-32 of the ten best asks and bids after the message, as ASCII text in ticks and lots: the asks, best first,
  as "price:quantity" joined by ",", then "|", then the bids in the same way: "6001:5,6002:3|5999:2". Ticks are the price
  divided by tick_size, lots the amount divided by contract_size, both from public/get_instruments, rounded to the whole
  number that they are. So no client needs to know how numbers were printed.

Slow subscribers
  A queue is bounded in bytes (and so in messages: none is shorter than 100 bytes). While it is above half the bound, book,
  quote, ticker and auction channels leave that subscriber out. When it has shrunk to an eighth, the subscriber gets a
  fresh snapshot or image and goes on from there. Trades, phases and what an auction traded cannot be left out: at the full
  bound the subscriber is closed with code 1013. So is one whose queue has not shrunk for `patience`. Other subscribers are
  not affected.

What comes from the engine itself (open interest, the indicative price of an auction) is sent only while the engine is not
ahead of what is durable.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, NamedTuple, Protocol

import numpy as np

from exchange.engine.machine import Exchange
from exchange.instruments import Instrument
from exchange.projections.marketdata import LEVEL_CHANGE, MarketData, net_changes
from gateway.market import bodies, describe
from gateway.market.topics import READS_ENGINE, ChannelError, Topic, Topics
from gateway.text.answers import encode, notification
from gateway.text.scale import Scale
from matching.codes import ALL, AUCTION_PHASES, EventKind, Phase

__all__ = ["ChannelError", "Feed", "INTERVAL", "Subscriber", "TRY_AGAIN_LATER"]

INTERVAL = 100_000_000  # ns, of the channels named 100ms
TRY_AGAIN_LATER = 1013  # websocket close code
# Events that change more of an instrument than its book, or all instruments.
_CHANGES_INSTRUMENT = np.isin(
    np.arange(256),
    [EventKind.PHASE, EventKind.AUCTION, EventKind.SETTLED, EventKind.LISTED, EventKind.DAY_BEGUN, EventKind.EXPIRED],
)
_MAX_PENDING = 1 << 16  # rows of changes kept for the end of an interval, before they are replaced by their net changes


class Subscriber(Protocol):
    """Receives messages."""

    @property
    def queued(self) -> int:
        """Bytes accepted by `send` that have not been sent yet."""

    def send(self, message: bytes) -> None:
        """Queue a message. Must not call the feed."""

    def close(self, code: int, reason: str) -> None:
        """Close the connection. Must not call the feed."""


class _Wait(NamedTuple):
    """A subscriber that a channel leaves out until it can have a fresh start."""

    since: int  # ns, when its queue was last seen to shrink
    queued: int  # bytes in it then
    resync: bool  # the channel had sent it something before


@dataclass(eq=False)
class _Channel:
    """A channel with at least one subscriber."""

    topic: Topic
    subscribers: dict[Subscriber, None] = field(default_factory=dict)
    waiting: dict[Subscriber, _Wait] = field(default_factory=dict)
    change_id: int = 0  # book: of the last message
    last: str = ""  # image, ticker, auction: what the last message showed
    trades: list[tuple[Any, ...]] = field(default_factory=list)  # for the end of the interval
    snapshot: tuple[int, bytes] = (-1, b"")  # the last one made: change_id of the book, message


@dataclass(eq=False)
class _Listing:
    """An instrument and its open channels."""

    index: int
    scale: Scale
    channels: list[_Channel] = field(default_factory=list)
    dirty: bool = False  # it has changed since the last interval

    @property
    def symbol(self) -> str:
        return self.scale.instrument.symbol

    def of(self, kind: str, conflated: bool) -> Iterator[_Channel]:
        return (
            channel for channel in self.channels if channel.topic.kind == kind and channel.topic.conflated == conflated
        )


class Feed:
    """Subscriptions of the public channels.

    market      MarketData; while the feed runs, only `publish` may record into it
    exchange    Exchange; None: there are no channels ticker and auction
    max_queue   bytes that may be queued for one subscriber
    patience    ns that a subscriber which is left out may go without reading
    """

    def __init__(
        self,
        instruments: Sequence[Instrument],
        market: MarketData,
        exchange: Exchange | None = None,
        max_queue: int = 1 << 20,
        patience: int = 10_000_000_000,
    ) -> None:
        self.market = market
        self._exchange = exchange
        self._topics = Topics(instruments, engine=exchange is not None)
        self._listings = [_Listing(index, Scale(instrument)) for index, instrument in enumerate(instruments)]
        self._channels: dict[str, _Channel] = {}
        self._leave_out, self._let_in, self._cut = max_queue // 2, max_queue // 8, max_queue
        self._patience = patience
        # By instrument, whether it has such a channel. Batches are filtered by these before any loop in Python.
        self._watched, self._each_change, self._each_top, self._each_trade, self._conflated = np.zeros(
            (5, len(instruments)), bool
        )
        self._pending: list[np.ndarray] = []  # LEVEL_CHANGE rows since the last interval
        self._pending_rows = 0
        self._dirty: list[_Listing] = []
        self._next_interval = 0

    # Subscribing ----------------------------------------------------------------------------------

    def check(self, name: str) -> Topic:
        """Read a channel name. Errors: ChannelError."""
        return self._topics.read(name)

    def subscribe(self, subscriber: Subscriber, name: str, now_ns: int) -> None:
        """Open a channel to a subscriber. Its first message shows the present state. A second call does nothing.

        Errors    ChannelError; nothing has changed
        """
        topic = self.check(name)
        channel = self._channels.get(topic.name) or self._open(topic)
        if subscriber in channel.subscribers:
            return
        channel.subscribers[subscriber] = None
        if topic.kind == "trades":
            return
        queued = subscriber.queued
        if topic.kind != "phase" and (queued > self._leave_out or self._between_messages(channel)):
            channel.waiting[subscriber] = _Wait(now_ns, queued, resync=False)
        else:
            self._begin(channel, subscriber, False, now_ns)

    def unsubscribe(self, subscriber: Subscriber, name: str) -> bool:
        """Close a channel to a subscriber. False: it was not subscribed."""
        channel = self._channels.get(name)
        if channel is None or subscriber not in channel.subscribers:
            return False
        del channel.subscribers[subscriber]
        channel.waiting.pop(subscriber, None)
        if not channel.subscribers:
            self._close(channel)
        return True

    def drop(self, subscriber: Subscriber) -> None:
        """Close all channels to a subscriber."""
        for name in self.channels(subscriber):
            self.unsubscribe(subscriber, name)

    def channels(self, subscriber: Subscriber) -> list[str]:
        """Names of a subscriber's channels."""
        return [name for name, channel in self._channels.items() if subscriber in channel.subscribers]

    # Publishing -----------------------------------------------------------------------------------

    def publish(self, events: np.ndarray, now_ns: int) -> None:
        """Record a durable batch and send what is due. EVENT[n], all events of each command.

        Errors    ValueError from MarketData.record: the events have a gap
        """
        updates = self.market.record(events)
        if not self._channels:
            return
        instrument_events = events[_CHANGES_INSTRUMENT[events["kind"]]]
        instruments = updates.books["instrument"]
        changed = np.unique(instruments[self._watched[instruments]]).tolist()
        if len(instrument_events):
            changed = sorted({*changed, *self._changed_by(instrument_events)})
        if changed:
            trades = updates.trades[self._each_trade[updates.trades["instrument"]]]
            wanted = self._each_change[instruments] | (self._each_top[instruments] & (updates.books["top"] == 1))
            if len(trades):
                wanted |= self._each_trade[instruments] & np.isin(updates.books["sequence"], trades["sequence"])
            self._send_commands(updates.books[wanted].tolist(), updates.levels, trades.tolist(), now_ns)
            self._keep_pending(updates.levels)
            self._send_batch([self._listings[index] for index in changed], now_ns)
        if len(instrument_events):
            self._send_instrument_events(instrument_events)
        self.tick(now_ns)

    def _changed_by(self, events: np.ndarray) -> list[int]:
        """The watched instruments that these events change; a new day changes all."""
        if (events["kind"] == EventKind.DAY_BEGUN).any():
            return np.flatnonzero(self._watched).tolist()
        instruments = events["instrument"][events["instrument"] != ALL]
        return instruments[self._watched[instruments]].tolist()

    def _send_instrument_events(self, events: np.ndarray) -> None:
        """Send what auctions have traded, and the phases that have changed."""
        phases: dict[str, list[str]] = {}  # by channel
        for event in events[(events["instrument"] != ALL) & (events["kind"] != EventKind.DAY_BEGUN)]:
            kind, listing = event["kind"], self._listings[event["instrument"]]
            if kind == EventKind.AUCTION:
                channel = self._channels.get(f"auction.{listing.symbol}")
                if channel is not None:
                    channel.last = ""
                    message = notification(channel.topic.name, bodies.final_auction(listing.scale, event))
                    self._send_to_all(channel, message)
            elif kind in (EventKind.PHASE, EventKind.LISTED, EventKind.EXPIRED):
                text = bodies.phase(
                    listing.symbol,
                    _phase_after(event),
                    int(event["time"]),
                    int(event["reason"]),
                    int(event["sequence"]),
                )
                for name in (f"phase.{listing.symbol}", "phase.any"):
                    if name in self._channels:
                        phases.setdefault(name, []).append(text)
        for name, texts in phases.items():
            self._send_to_all(self._channels[name], notification(name, f"[{','.join(texts)}]"))

    def tick(self, now_ns: int) -> None:
        """Send what is due at the end of an interval, and let slow subscribers in again or close them."""
        if self._dirty and now_ns >= self._next_interval:
            self._next_interval = now_ns + INTERVAL
            self._send_interval(now_ns)
        for channel in [channel for channel in self._channels.values() if channel.waiting]:
            self._serve_waiting(channel, now_ns)

    def _send_commands(
        self, books: list[tuple[Any, ...]], levels: np.ndarray, trades: list[tuple[Any, ...]], now_ns: int
    ) -> None:
        """Send what each command changed: first its trades, then the book that it left."""
        by_command = {key: list(rows) for key, rows in groupby(trades, key=bodies.command_of)}
        for book in books:
            listing = self._listings[book[bodies.INSTRUMENT]]
            traded = by_command.get((book[bodies.INSTRUMENT], book[bodies.SEQUENCE]))
            for channel in list(listing.channels):
                kind = channel.topic.kind
                if kind == "trades" and traded:
                    if channel.topic.conflated:
                        channel.trades += traded
                    else:
                        self._send_trades(channel, traded, now_ns)
                elif kind == "quote" and book[bodies.TOP]:
                    self._send(channel, notification(channel.topic.name, bodies.quote(listing.scale, book)), now_ns)
                elif kind == "book" and not channel.topic.conflated:
                    rows = levels[book[bodies.FIRST] : book[bodies.FIRST] + book[bodies.COUNT]].tolist()
                    change_id, time, checksum = book[bodies.CHANGE_ID], book[bodies.TIME], book[bodies.CHECKSUM]
                    self._send(channel, self._change(channel, rows, change_id, time, checksum), now_ns)

    def _send_batch(self, listings: list[_Listing], now_ns: int) -> None:
        """Send the images that follow each batch, and note which instruments are due at the end of the interval."""
        for listing in listings:
            for channel in [*listing.of("image", False), *listing.of("ticker", False)]:
                self._send_image(channel, now_ns)
            if not listing.dirty:
                listing.dirty = True
                self._dirty.append(listing)

    def _keep_pending(self, levels: np.ndarray) -> None:
        """Keep changes for the end of the interval, in bounded memory."""
        rows = levels[self._conflated[levels["instrument"]]]
        if not len(rows):
            return
        self._pending.append(rows)  # a copy: indexed by a mask
        self._pending_rows += len(rows)
        if self._pending_rows > _MAX_PENDING:
            self._pending = [net_changes(np.concatenate(self._pending))]
            self._pending_rows = len(self._pending[0])

    def _send_interval(self, now_ns: int) -> None:
        """Net changes, images and trades of everything that has changed in the interval."""
        net = net_changes(np.concatenate(self._pending)) if self._pending else np.zeros(0, LEVEL_CHANGE)
        self._pending, self._pending_rows = [], 0
        dirty, self._dirty = self._dirty, []
        ahead = self._ahead()
        for listing in dirty:
            listing.dirty = False
            for channel in list(listing.channels):
                if not channel.topic.conflated:
                    continue
                if channel.topic.kind in READS_ENGINE and ahead:
                    if not listing.dirty:  # it is due at the end of the next one
                        listing.dirty = True
                        self._dirty.append(listing)
                elif channel.topic.kind in ("image", *READS_ENGINE):
                    self._send_image(channel, now_ns)
                elif channel.topic.kind == "trades":
                    if channel.trades:
                        self._send_trades(channel, channel.trades, now_ns)
                        channel.trades = []
                else:
                    first, last = np.searchsorted(net["instrument"], (listing.index, listing.index + 1))
                    if last > first:
                        top = self.market.top(listing.index)
                        message = self._change(
                            channel,
                            net[first:last].tolist(),
                            int(top.change_id),
                            int(top.time),
                            self.market.checksum(listing.index),
                        )
                        self._send(channel, message, now_ns)

    # The slow-subscriber rule ---------------------------------------------------------------------

    def _send(self, channel: _Channel, message: bytes, now_ns: int) -> None:
        """Send what a later snapshot or image replaces."""
        for subscriber in channel.subscribers:
            if subscriber not in channel.waiting:
                queued = subscriber.queued
                if queued > self._leave_out:
                    channel.waiting[subscriber] = _Wait(now_ns, queued, resync=True)
                else:
                    subscriber.send(message)

    def _send_trades(self, channel: _Channel, trades: list[tuple[Any, ...]], now_ns: int) -> None:
        """Send what nothing later replaces."""
        scale = self._listings[channel.topic.instrument].scale
        self._send_to_all(
            channel, notification(channel.topic.name, f"[{','.join(bodies.trade(scale, row) for row in trades)}]")
        )

    def _send_to_all(self, channel: _Channel, message: bytes) -> None:
        """Send a message that no subscriber may miss."""
        for subscriber in list(channel.subscribers):
            if subscriber.queued > self._cut:
                self._close_slow(subscriber)
            else:
                subscriber.send(message)

    def _serve_waiting(self, channel: _Channel, now_ns: int) -> None:
        """Let subscribers in again that have caught up, and close those that do not read."""
        between = self._between_messages(channel)
        for subscriber, wait in list(channel.waiting.items()):
            queued = subscriber.queued
            if queued <= self._let_in:
                if not between:
                    del channel.waiting[subscriber]
                    self._begin(channel, subscriber, wait.resync, now_ns)
            elif queued < wait.queued:
                channel.waiting[subscriber] = _Wait(now_ns, queued, wait.resync)
            elif now_ns - wait.since > self._patience:
                self._close_slow(subscriber)

    def _between_messages(self, channel: _Channel) -> bool:
        """Whether the channel has yet to send some changes. A subscriber can begin only after it has."""
        topic = channel.topic
        if topic.kind in READS_ENGINE:
            return self._ahead()
        return topic.kind == "book" and topic.conflated and self._listings[topic.instrument].dirty

    def _ahead(self) -> bool:
        """Whether the engine has applied commands that are not durable yet."""
        return self._exchange is not None and self._exchange.event_id != self.market.event_id

    def _close_slow(self, subscriber: Subscriber) -> None:
        self.drop(subscriber)
        subscriber.close(TRY_AGAIN_LATER, "too slow: the queue of messages is full")

    # Messages -------------------------------------------------------------------------------------

    def _begin(self, channel: _Channel, subscriber: Subscriber, resync: bool, now_ns: int) -> None:
        """Send what a subscriber needs to begin, or to begin again."""
        message = self._first_message(channel, resync, now_ns)
        if message is not None:
            subscriber.send(message)

    def _first_message(self, channel: _Channel, resync: bool, now_ns: int) -> bytes | None:
        """None: there is nothing to show yet."""
        name = channel.topic.name
        if channel.topic.kind == "phase":
            return notification(name, self._phases(channel.topic.instrument, now_ns))
        listing = self._listings[channel.topic.instrument]
        if channel.topic.kind in ("image", *READS_ENGINE):
            body = self._body(channel, now_ns)
            return None if body is None else notification(name, body)
        top = self.market.top(listing.index)
        if channel.topic.kind == "quote":
            return notification(name, bodies.quote(listing.scale, tuple(top.item())))
        if resync:
            return self._snapshot(listing, channel, resync)
        if channel.snapshot[0] != top.change_id:
            channel.snapshot = int(top.change_id), self._snapshot(listing, channel, resync)
        return channel.snapshot[1]

    def _snapshot(self, listing: _Listing, channel: _Channel, resync: bool) -> bytes:
        body = bodies.snapshot(self.market, listing.scale, listing.index, channel.change_id, resync)
        return notification(channel.topic.name, body)

    def _change(
        self, channel: _Channel, rows: Iterable[tuple[Any, ...]], change_id: int, time_ns: int, checksum: int
    ) -> bytes:
        """The changes since the channel's last message."""
        scale = self._listings[channel.topic.instrument].scale
        previous_id, channel.change_id = channel.change_id, change_id
        return notification(channel.topic.name, bodies.change(scale, rows, previous_id, change_id, time_ns, checksum))

    def _send_image(self, channel: _Channel, now_ns: int) -> None:
        """Send an image, ticker or auction, if anything but its time and change_id differs from the last one."""
        body = self._body(channel, now_ns)
        if body is None:
            return
        shown = body[body.index('"bids"' if channel.topic.kind == "image" else '"instrument_name"') :]
        if shown != channel.last:
            channel.last = shown
            self._send(channel, notification(channel.topic.name, body), now_ns)

    def _body(self, channel: _Channel, now_ns: int) -> str | None:
        """The data of an image, ticker or auction. None: there is no auction."""
        listing, topic = self._listings[channel.topic.instrument], channel.topic
        if topic.kind == "image":
            return bodies.image(self.market, listing.scale, listing.index, topic.depth, topic.group)
        assert self._exchange is not None
        if topic.kind == "ticker":
            return encode(describe.ticker(self._exchange, self.market, listing.scale, listing.index, now_ns))
        if self.market.statistics(listing.index).phase not in AUCTION_PHASES:
            return None
        return bodies.auction(listing.scale, *self._exchange.indicative(listing.symbol), now_ns, False)

    def _phases(self, instrument: int, now_ns: int) -> str:
        """The present phases, of one instrument or of all."""
        listings = self._listings if instrument == ALL else [self._listings[instrument]]
        texts = (
            bodies.phase(listing.symbol, int(self.market.statistics(listing.index).phase), now_ns)
            for listing in listings
        )
        return f"[{','.join(texts)}]"

    # Opening and closing --------------------------------------------------------------------------

    def _open(self, topic: Topic) -> _Channel:
        if topic.kind == "phase":
            channel = self._channels[topic.name] = _Channel(topic)
            return channel
        channel = _Channel(topic, change_id=int(self.market.top(topic.instrument).change_id))
        self._channels[topic.name] = channel
        self._listings[topic.instrument].channels.append(channel)
        self._note_channels(topic.instrument)
        return channel

    def _close(self, channel: _Channel) -> None:
        del self._channels[channel.topic.name]
        if channel.topic.kind == "phase":
            return
        self._listings[channel.topic.instrument].channels.remove(channel)
        self._note_channels(channel.topic.instrument)

    def _note_channels(self, instrument: int) -> None:
        """The channels of an instrument have changed: update what publish filters by."""
        listing = self._listings[instrument]
        self._watched[instrument] = bool(listing.channels)
        self._each_change[instrument] = any(listing.of("book", False))
        self._each_top[instrument] = any(listing.of("quote", False))
        self._each_trade[instrument] = any(channel.topic.kind == "trades" for channel in listing.channels)
        self.market.check(instrument, bool(self._each_change[instrument]))
        conflated = any(listing.of("book", True))
        if self._conflated[instrument] and not conflated:  # what is pending would be older than the next snapshot
            self._pending = [rows[rows["instrument"] != instrument] for rows in self._pending]
        self._conflated[instrument] = conflated


def _phase_after(event: np.record) -> int:
    """The phase of an instrument after a PHASE, LISTED or EXPIRED event."""
    if event["kind"] == EventKind.PHASE:
        return int(event["quantity"])
    return int(Phase.CLOSED if event["kind"] == EventKind.LISTED else Phase.EXPIRED)
