"""Public channels: who subscribed to what, what they are sent, and what happens to those who do not keep up.

    feed = Feed(exchange.instruments, market, exchange)
    feed.check("book.SC2701.raw")                        # ChannelError names what is wrong
    feed.subscribe(subscriber, "book.SC2701.raw", now)   # the first message, a snapshot, is sent at once
    feed.publish(events, now)                            # each durable batch: records it into market, sends what is due
    feed.tick(now)                                       # some fifty times a second: intervals, and slow subscribers

It is sans-I/O: a subscriber is an object with `send(bytes)`, `queued` (bytes it has not got rid of yet) and
`close(code, reason)`. Times are ns. It is not the session (requests, private channels: gateway/rpc/session.py) and not the
book (exchange/projections/marketdata.py). A message is written once and the same bytes go to every subscriber of its channel;
nothing is written for channels without subscribers.

Channels and their `data`
  book.{instrument}.raw              one message for every command that changed the book
  book.{instrument}.100ms            the net change since the last message, at most ten times a second
      {"type": "snapshot" or "change", "timestamp": ms, "instrument_name", "change_id", "prev_change_id" (changes),
       "bids": [[action, price, amount], ...], "asks": ..., "checksum"}. Actions are new, change, delete; amount is the
      new total at the price. `prev_change_id` is the `change_id` of the message before it. A snapshot replaces all that
      was known; one that was not asked for says "resync": true (below).
  book.{instrument}.{group}.{depth}.raw|100ms     a full image whenever it differs from the last: bids and asks are
      [[price, amount], ...]. group: none, or a whole number of currency units that is a multiple of the tick; prices
      are rounded to it, bids down and asks up, and summed. depth: 1, 10 or 20 levels. raw: once a durable batch.
  quote.{instrument}                 best_bid_price, best_bid_amount, best_ask_price, best_ask_amount, timestamp, after
      every command that changed one of them. No bid: price null, amount 0.
  trades.{instrument}.raw|100ms      list of trades: raw those of one command, 100ms those since the last message.
  ticker.{instrument}.raw|100ms      what public/ticker tells, whenever it differs: raw once a durable batch.
  auction.{instrument}               during a call auction what it would trade now, ten times a second when it differs:
      price (null: nothing), amount, imbalance, "final": false. When it has traded the same, "final": true.
  phase.{instrument}, phase.any      list of {"instrument_name", "phase", "reason", "timestamp", "seq"}: all that it is about,
      then those that a batch moved.

Checksum
  zlib's CRC-32 of the ten best asks and bids after the message, as ASCII text in ticks and lots: the asks, best first,
  as "price:quantity" joined by ",", then "|", then the bids likewise: "6001:5,6002:3|5999:2". Ticks are price divided
  by tick_size, lots amount divided by contract_size, both from public/get_instruments, rounded to the whole number that
  they are; so no client needs to know how numbers were printed.

Slow subscribers
  A queue is bounded in bytes (and so in messages: none is shorter than 100 bytes). From half the bound on, book, quote,
  ticker and auction channels send nothing more to that subscriber; when its queue has shrunk to an eighth, it gets a
  fresh snapshot or image and goes on from there. Trades, phases and what an auction traded cannot be left out: at the
  full bound the subscriber is cut off with close code 1013, and so is one whose queue has not shrunk for `patience`.
  Nobody else notices.

What is read from the engine itself (open interest, the indicative price) is read only while the engine is not ahead of
what is durable.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple, Protocol

import numpy as np

from exchange.engine.machine import Exchange
from exchange.instruments import Instrument
from exchange.projections.marketdata import (
    BOOK_CHANGE,
    CHANGE,
    DELETE,
    LEVEL_CHANGE,
    NEW,
    TRADE,
    MarketData,
    net_changes,
)
from gateway.market import describe as terms
from gateway.text.messages import DIRECTION, PHASES, Scale, encode, notification
from matching.codes import ALL, AUCTION_PHASES, EventKind, Phase, Reason, Side

INTERVAL = 100_000_000  # ns, of the channels named 100ms
TRY_AGAIN_LATER = 1013  # websocket close code
_DEPTHS = ("1", "10", "20")
_KINDS = ("book", "quote", "trades", "ticker", "auction", "phase")
_OF_ENGINE = ("ticker", "auction")  # read from the engine too
# What changes an instrument as a whole, or all of them.
_MOVES = np.isin(
    np.arange(256),
    [EventKind.PHASE, EventKind.AUCTION, EventKind.SETTLED, EventKind.LISTED, EventKind.DAY_BEGUN, EventKind.EXPIRED],
)
_FOLDED = 1 << 16  # rows of pending changes from which they are folded before more are kept
_ACTIONS = {NEW: "new", CHANGE: "change", DELETE: "delete"}


class ChannelError(ValueError):
    """A channel that does not exist. The message names it, and what would be allowed."""


class Subscriber(Protocol):
    """Who receives messages."""

    @property
    def queued(self) -> int:
        """Bytes accepted by `send` that have not left yet."""

    def send(self, message: bytes) -> None:
        """Queue a message. Must not call the feed."""

    def close(self, code: int, reason: str) -> None:
        """Close the connection. Must not call the feed."""


@dataclass(frozen=True)
class Topic:
    """A channel name, read."""

    name: str
    kind: str  # book, image, quote, trades, ticker, auction or phase
    instrument: int  # ALL: of every one
    conflated: bool  # 100ms
    group: int = 1  # ticks
    depth: int = 0


class _Wait(NamedTuple):
    """A subscriber that is left out until it can be given a fresh start."""

    since: int  # ns, when its queue was last seen to shrink
    queued: int  # bytes it had then
    resync: bool  # it had been sent something before


@dataclass(eq=False)
class _Channel:
    """A channel with at least one subscriber."""

    topic: Topic
    subscribers: dict[Subscriber, None] = field(default_factory=dict)
    waiting: dict[Subscriber, _Wait] = field(default_factory=dict)
    change_id: int = 0  # book: of the last message
    body: str = ""  # image, ticker, auction: what the last message told
    trades: list[tuple[Any, ...]] = field(default_factory=list)  # not sent yet
    snapshot: tuple[int, bytes] = (-1, b"")  # the last one written: change_id of the book, message


@dataclass(eq=False)
class _Listing:
    """An instrument and the channels that are open on it."""

    index: int
    scale: Scale
    channels: list[_Channel] = field(default_factory=list)
    dirty: bool = False  # its book has changed since the last interval

    @property
    def symbol(self) -> str:
        return self.scale.instrument.symbol

    def of(self, kind: str, conflated: bool) -> Iterator[_Channel]:
        return (
            channel for channel in self.channels if channel.topic.kind == kind and channel.topic.conflated == conflated
        )


class Feed:
    """Subscriptions of the public channels.

    market      MarketData, which the feed brings up to date: publish is the only one to record into it while it runs
    exchange    Exchange; None: there are no channels ticker and auction
    max_queue   bytes that one subscriber may have waiting
    patience    ns that a subscriber may go without reading once it is being left out
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
        self._listings = [_Listing(index, Scale(instrument)) for index, instrument in enumerate(instruments)]
        self._indices = {instrument.symbol: index for index, instrument in enumerate(instruments)}
        self._channels: dict[str, _Channel] = {}
        self._leave_out, self._let_in, self._cut = max_queue // 2, max_queue // 8, max_queue
        self._patience = patience
        # per instrument: is there such a channel? Batches are sifted by these before anything is done row by row
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
        kind, *rest = name.split(".")
        if kind not in _KINDS or not rest or (self._exchange is None and kind in _OF_ENGINE):
            raise ChannelError(f"channel {name}: unknown, public channels are {', '.join(_KINDS)} of an instrument")
        if name == "phase.any":
            return Topic(name, kind, ALL, False)
        if rest[0] not in self._indices:
            raise ChannelError(f"channel {name}: instrument {rest[0]} is unknown")
        instrument, options = self._indices[rest[0]], rest[1:]
        if kind in ("quote", "auction", "phase"):
            if options:
                raise ChannelError(f"channel {name}: must be {kind}.{rest[0]}")
            return Topic(name, kind, instrument, kind == "auction")
        if len(options) not in ((1, 3) if kind == "book" else (1,)):
            raise ChannelError(f"channel {name}: must be {kind}.{rest[0]}.raw or {kind}.{rest[0]}.100ms")
        if options[-1] not in ("raw", "100ms"):
            raise ChannelError(f"channel {name}: interval is {options[-1]}, must be raw or 100ms")
        conflated = options[-1] == "100ms"
        if len(options) == 1:
            return Topic(name, kind, instrument, conflated)
        if options[1] not in _DEPTHS:
            raise ChannelError(f"channel {name}: depth is {options[1]}, must be one of {', '.join(_DEPTHS)}")
        return Topic(name, "image", instrument, conflated, self._group(name, instrument, options[0]), int(options[1]))

    def subscribe(self, subscriber: Subscriber, name: str, now_ns: int) -> None:
        """Open a channel to a subscriber; what it shows now is sent as the first message. Twice is once.

        Errors   ChannelError; nothing has changed then
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
        """Close a channel to a subscriber. False: it had not subscribed to it."""
        channel = self._channels.get(name)
        if channel is None or subscriber not in channel.subscribers:
            return False
        del channel.subscribers[subscriber]
        channel.waiting.pop(subscriber, None)
        if not channel.subscribers:
            self._close(channel)
        return True

    def drop(self, subscriber: Subscriber) -> None:
        """Forget a subscriber that has gone."""
        for name in self.channels(subscriber):
            self.unsubscribe(subscriber, name)

    def channels(self, subscriber: Subscriber) -> list[str]:
        """Names of the channels that a subscriber has."""
        return [name for name, channel in self._channels.items() if subscriber in channel.subscribers]

    # Publishing -----------------------------------------------------------------------------------

    def publish(self, events: np.ndarray, now_ns: int) -> None:
        """Record a durable batch and send what its subscribers are due. EVENT[n], every command whole.

        Errors   ValueError from MarketData.record: the events have a gap
        """
        updates = self.market.record(events)
        if not self._channels:
            return
        moves = events[_MOVES[events["kind"]]]
        instruments = updates.books["instrument"]
        changed = np.unique(instruments[self._watched[instruments]]).tolist()
        if len(moves):
            changed = sorted({*changed, *self._moved(moves)})
        if changed:
            trades = updates.trades[self._each_trade[updates.trades["instrument"]]]
            told = self._each_change[instruments] | (self._each_top[instruments] & (updates.books["top"] == 1))
            if len(trades):
                told |= self._each_trade[instruments] & np.isin(updates.books["sequence"], trades["sequence"])
            self._tell_commands(updates.books[told].tolist(), updates.levels, trades.tolist(), now_ns)
            self._keep_pending(updates.levels)
            self._note_changed([self._listings[number] for number in changed], now_ns)
        if len(moves):
            self._tell_moves(moves, now_ns)
        self.tick(now_ns)

    def _moved(self, moves: np.ndarray) -> list[int]:
        """Watched instruments of which more than the book has changed; a new day changes all."""
        if (moves["kind"] == EventKind.DAY_BEGUN).any():
            return np.flatnonzero(self._watched).tolist()
        instruments = moves["instrument"][moves["instrument"] != ALL]
        return instruments[self._watched[instruments]].tolist()

    def _tell_moves(self, moves: np.ndarray, now_ns: int) -> None:
        """Auctions that have traded, and phases: of each instrument and of all."""
        told: dict[str, list[str]] = {}
        for event in moves[
            (moves["instrument"] != ALL) & (moves["kind"] != EventKind.SETTLED) & (moves["kind"] != EventKind.DAY_BEGUN)
        ]:
            index = int(event["instrument"])
            listing = self._listings[index]
            if event["kind"] == EventKind.AUCTION:
                channel = self._channels.get(f"auction.{listing.symbol}")
                if channel is not None:
                    channel.body = ""
                    self._send_to_all(channel, notification(channel.topic.name, self._traded(listing, event)))
                continue
            phases: dict[int, int] = {EventKind.PHASE: int(event["quantity"]), EventKind.LISTED: Phase.CLOSED}
            phase = phases.get(int(event["kind"]), int(Phase.EXPIRED))
            text = _phase_text(listing.symbol, phase, int(event["time"]), int(event["reason"]), int(event["sequence"]))
            for name in (f"phase.{listing.symbol}", "phase.any"):
                if name in self._channels:
                    told.setdefault(name, []).append(text)
        for name, texts in told.items():
            self._send_to_all(self._channels[name], notification(name, f"[{','.join(texts)}]"))

    def tick(self, now_ns: int) -> None:
        """Send what waits for the end of an interval, and let slow subscribers in again or cut them off."""
        if self._dirty and now_ns >= self._next_interval:
            self._next_interval = now_ns + INTERVAL
            self._tell_interval(now_ns)
        for channel in [channel for channel in self._channels.values() if channel.waiting]:
            self._serve_waiting(channel, now_ns)

    def _tell_commands(
        self, books: list[tuple[Any, ...]], levels: np.ndarray, trades: list[tuple[Any, ...]], now_ns: int
    ) -> None:
        """Go through a batch command by command; what a command traded goes out before what it left."""
        by_command = {key: list(rows) for key, rows in groupby(trades, key=_INSTRUMENT_AND_SEQUENCE)}
        for book in books:
            listing = self._listings[book[_INSTRUMENT]]
            traded = by_command.get((book[_INSTRUMENT], book[_SEQUENCE]))
            for channel in list(listing.channels):
                kind = channel.topic.kind
                if kind == "trades" and traded:
                    if channel.topic.conflated:
                        channel.trades += traded
                    else:
                        self._send_trades(channel, traded, now_ns)
                elif kind == "quote" and book[_TOP]:
                    self._send(channel, self._quote(listing, book), now_ns)
                elif kind == "book" and not channel.topic.conflated:
                    rows = levels[book[_FIRST] : book[_FIRST] + book[_COUNT]].tolist()
                    change_id, time, checksum = book[_CHANGE_ID], book[_TIME], book[_CHECKSUM]
                    self._send(channel, self._change(channel, rows, change_id, time, checksum), now_ns)

    def _note_changed(self, listings: list[_Listing], now_ns: int) -> None:
        """Send images that follow every batch, and mark what has something to tell at the end of the interval."""
        for listing in listings:
            for channel in [*listing.of("image", False), *listing.of("ticker", False)]:
                self._send_image(channel, now_ns)
            if not listing.dirty:
                listing.dirty = True
                self._dirty.append(listing)

    def _keep_pending(self, levels: np.ndarray) -> None:
        """Remember changes for channels with an interval; many are folded on the way, so memory is bounded."""
        rows = levels[self._conflated[levels["instrument"]]]
        if not len(rows):
            return
        self._pending.append(rows)  # a copy: indexed by a mask
        self._pending_rows += len(rows)
        if self._pending_rows > _FOLDED:
            self._pending = [net_changes(np.concatenate(self._pending))]
            self._pending_rows = len(self._pending[0])

    def _tell_interval(self, now_ns: int) -> None:
        """The end of an interval: net changes, images and trades of everything that has changed in it."""
        net = net_changes(np.concatenate(self._pending)) if self._pending else np.zeros(0, LEVEL_CHANGE)
        self._pending, self._pending_rows = [], 0
        dirty, self._dirty = self._dirty, []
        ahead = self._ahead()
        for listing in dirty:
            listing.dirty = False
            for channel in list(listing.channels):
                if not channel.topic.conflated:
                    continue
                if channel.topic.kind in _OF_ENGINE and ahead:
                    if not listing.dirty:  # the next interval tells
                        listing.dirty = True
                        self._dirty.append(listing)
                elif channel.topic.kind in ("image", *_OF_ENGINE):
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
        """Send what a later snapshot or image can make up for."""
        for subscriber in channel.subscribers:
            if subscriber not in channel.waiting:
                queued = subscriber.queued
                if queued > self._leave_out:
                    channel.waiting[subscriber] = _Wait(now_ns, queued, resync=True)
                else:
                    subscriber.send(message)

    def _send_trades(self, channel: _Channel, trades: list[tuple[Any, ...]], now_ns: int) -> None:
        """Send what nothing later makes up for."""
        scale = self._listings[channel.topic.instrument].scale
        self._send_to_all(
            channel, notification(channel.topic.name, f"[{','.join(_trade(scale, trade) for trade in trades)}]")
        )

    def _send_to_all(self, channel: _Channel, message: bytes) -> None:
        """Send what cannot be left out."""
        for subscriber in list(channel.subscribers):
            if subscriber.queued > self._cut:
                self._cut_off(subscriber)
            else:
                subscriber.send(message)

    def _serve_waiting(self, channel: _Channel, now_ns: int) -> None:
        """Give a fresh start to those who have caught up, and give up those who do not read."""
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
                self._cut_off(subscriber)

    def _between_messages(self, channel: _Channel) -> bool:
        """Has the book changed since the channel's last message? Then a chain can only begin with its next one."""
        topic = channel.topic
        if topic.kind in _OF_ENGINE:
            return self._ahead()
        return topic.kind == "book" and topic.conflated and self._listings[topic.instrument].dirty

    def _ahead(self) -> bool:
        """Whether the engine knows more than is durable."""
        return self._exchange is not None and self._exchange.event_id != self.market.event_id

    def _cut_off(self, subscriber: Subscriber) -> None:
        self.drop(subscriber)
        subscriber.close(TRY_AGAIN_LATER, "too slow: the queue of messages is full")

    # Writing messages -----------------------------------------------------------------------------

    def _begin(self, channel: _Channel, subscriber: Subscriber, resync: bool, now_ns: int) -> None:
        """Send what a subscriber needs to begin, or to begin again."""
        message = self._first_message(channel, resync, now_ns)
        if message is not None:
            subscriber.send(message)

    def _first_message(self, channel: _Channel, resync: bool, now_ns: int) -> bytes | None:
        if channel.topic.kind == "phase":
            return notification(channel.topic.name, self._phases(channel.topic.instrument, now_ns))
        listing = self._listings[channel.topic.instrument]
        if channel.topic.kind in ("image", *_OF_ENGINE):
            body = self._body(channel, now_ns)
            return None if body is None else notification(channel.topic.name, body)
        top = self.market.top(listing.index)
        if channel.topic.kind == "quote":
            return self._quote(listing, tuple(top.item()))
        if resync:
            return self._snapshot(listing, channel, top, ',"resync":true')
        if channel.snapshot[0] != top.change_id:
            channel.snapshot = int(top.change_id), self._snapshot(listing, channel, top, "")
        return channel.snapshot[1]

    def _snapshot(self, listing: _Listing, channel: _Channel, top: np.record, mark: str) -> bytes:
        """The whole book. Its change_id is the channel's own: an interval whose changes cancelled out sent nothing."""
        bids, asks, _ = self.market.book(listing.index)
        price, amount = listing.scale.price, listing.scale.amount
        sides = [
            ",".join(f'["new",{price(ticks)},{amount(lots)}]' for ticks, lots in side.tolist()) for side in (bids, asks)
        ]
        return notification(
            channel.topic.name,
            (
                f'{{"type":"snapshot","timestamp":{top.time // 1_000_000},"instrument_name":"{listing.symbol}",'
                f'"change_id":{channel.change_id},"bids":[{sides[0]}],"asks":[{sides[1]}],'
                f'"checksum":{self.market.checksum(listing.index)}{mark}}}'
            ),
        )

    def _change(
        self, channel: _Channel, rows: Iterable[tuple[Any, ...]], change_id: int, time: int, checksum: int
    ) -> bytes:
        """A change set; moves the channel's chain on."""
        scale = self._listings[channel.topic.instrument].scale
        bids: list[str] = []
        asks: list[str] = []
        for row in rows:
            text = f'["{_ACTIONS[row[_ACTION]]}",{scale.price(row[_PRICE])},{scale.amount(row[_QUANTITY])}]'
            (bids if row[_SIDE] == Side.BUY else asks).append(text)
        previous, channel.change_id = channel.change_id, change_id
        return notification(
            channel.topic.name,
            (
                f'{{"type":"change","timestamp":{time // 1_000_000},"instrument_name":"{scale.instrument.symbol}",'
                f'"prev_change_id":{previous},"change_id":{change_id},"bids":[{",".join(bids)}],"asks":[{",".join(asks)}],'
                f'"checksum":{checksum}}}'
            ),
        )

    def _send_image(self, channel: _Channel, now_ns: int) -> None:
        """Send an image, ticker or auction, if anything but its time and number differs from the last one."""
        body = self._body(channel, now_ns)
        if body is None:
            return
        told = body[body.index('"bids"' if channel.topic.kind == "image" else '"instrument_name"') :]
        if told != channel.body:
            channel.body = told
            self._send(channel, notification(channel.topic.name, body), now_ns)

    def _body(self, channel: _Channel, now_ns: int) -> str | None:
        """The data of an image, ticker or auction; None: there is nothing to tell."""
        listing, topic = self._listings[channel.topic.instrument], channel.topic
        if topic.kind == "image":
            return self._image(listing, topic)
        assert self._exchange is not None
        if topic.kind == "ticker":
            return encode(terms.ticker(self._exchange, self.market, listing.scale, listing.index, now_ns))
        if self.market.statistics(listing.index).phase not in AUCTION_PHASES:
            return None
        return self._auction(listing, *self._exchange.indicative(listing.symbol), now_ns, False)

    def _auction(self, listing: _Listing, price: int, lots: int, surplus: int, time_ns: int, final: bool) -> str:
        shown = listing.scale.price(price) if lots else "null"
        return (
            f'{{"timestamp":{time_ns // 1_000_000},"instrument_name":"{listing.symbol}","price":{shown},'
            f'"amount":{listing.scale.amount(lots)},"imbalance":{listing.scale.amount(surplus)},'
            f'"final":{"true" if final else "false"}}}'
        )

    def _traded(self, listing: _Listing, event: np.record) -> str:
        """The data of an auction that has traded."""
        price, lots, surplus, time = (
            int(event[name]) for name in ("price", "quantity", "resting_leaves_quantity", "time")
        )
        return self._auction(listing, price, lots, surplus, time, True)

    def _phases(self, instrument: int, now_ns: int) -> str:
        """Where one or all are now."""
        listings = self._listings if instrument == ALL else [self._listings[instrument]]
        return (
            "["
            + ",".join(
                _phase_text(listing.symbol, int(self.market.statistics(listing.index).phase), now_ns)
                for listing in listings
            )
            + "]"
        )

    def _image(self, listing: _Listing, topic: Topic) -> str:
        bids, asks, change_id = self.market.book(listing.index, topic.depth, topic.group)
        price, amount = listing.scale.price, listing.scale.amount
        sides = [",".join(f"[{price(ticks)},{amount(lots)}]" for ticks, lots in side.tolist()) for side in (bids, asks)]
        time = self.market.top(listing.index).time
        return (
            f'{{"timestamp":{time // 1_000_000},"instrument_name":"{listing.symbol}",'
            f'"change_id":{change_id},"bids":[{sides[0]}],"asks":[{sides[1]}]}}'
        )

    def _quote(self, listing: _Listing, book: tuple[Any, ...]) -> bytes:
        price, amount = listing.scale.price, listing.scale.amount
        bid = price(book[_BID_PRICE]) if book[_BID_QUANTITY] else "null"
        ask = price(book[_ASK_PRICE]) if book[_ASK_QUANTITY] else "null"
        return notification(
            f"quote.{listing.symbol}",
            (
                f'{{"timestamp":{book[_TIME] // 1_000_000},"instrument_name":"{listing.symbol}",'
                f'"best_bid_price":{bid},"best_bid_amount":{amount(book[_BID_QUANTITY])},'
                f'"best_ask_price":{ask},"best_ask_amount":{amount(book[_ASK_QUANTITY])}}}'
            ),
        )

    # Opening and closing --------------------------------------------------------------------------

    def _open(self, topic: Topic) -> _Channel:
        if topic.kind == "phase":
            channel = self._channels[topic.name] = _Channel(topic)
            return channel
        channel = _Channel(topic, change_id=int(self.market.top(topic.instrument).change_id))
        self._channels[topic.name] = channel
        self._listings[topic.instrument].channels.append(channel)
        self._notice(topic.instrument)
        return channel

    def _close(self, channel: _Channel) -> None:
        del self._channels[channel.topic.name]
        if channel.topic.kind == "phase":
            return
        self._listings[channel.topic.instrument].channels.remove(channel)
        self._notice(channel.topic.instrument)

    def _notice(self, instrument: int) -> None:
        """Bring what publish looks at in line with the channels that are open on an instrument."""
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

    def _group(self, name: str, instrument: int, text: str) -> int:
        """Ticks of a group. Errors: ChannelError."""
        if text == "none":
            return 1
        tick = self._listings[instrument].scale.instrument.tick_size
        if not (text.isascii() and text.isdigit() and len(text) <= 9 and int(text) > 0) or Decimal(text) % tick:
            raise ChannelError(f"channel {name}: group is {text}, must be none or a whole multiple of the tick {tick}")
        return int(Decimal(text) / tick)


def _phase_text(symbol: str, phase: int, time_ns: int, reason: int = 0, sequence: int = 0) -> str:
    """`sequence` 0: not told by a command, but as it is now."""
    text = (
        f'{{"instrument_name":"{symbol}","phase":"{PHASES[phase]}","reason":"{Reason(reason).name.lower()}",'
        f'"timestamp":{time_ns // 1_000_000}'
    )
    return f'{text},"seq":{sequence}}}' if sequence else text + "}"


def _trade(scale: Scale, trade: tuple[Any, ...]) -> str:
    return (
        f'{{"trade_seq":{trade[_TRADE["trade_sequence"]]},"trade_id":"{trade[_TRADE["trade_id"]]}",'
        f'"timestamp":{trade[_TRADE["time"]] // 1_000_000},"tick_direction":{trade[_TRADE["tick_direction"]]},'
        f'"price":{scale.price(trade[_TRADE["price"]])},"amount":{scale.amount(trade[_TRADE["quantity"]])},'
        f'"direction":"{DIRECTION[trade[_TRADE["side"]]]}","instrument_name":"{scale.instrument.symbol}",'
        f'"seq":{trade[_TRADE["sequence"]]}}}'
    )


# Rows are read as tuples, by position: ten times faster than field by field.
_BOOK = {name: position for position, name in enumerate(BOOK_CHANGE.names or ())}
_LEVEL = {name: position for position, name in enumerate(LEVEL_CHANGE.names or ())}
_TRADE = {name: position for position, name in enumerate(TRADE.names or ())}
_INSTRUMENT, _SEQUENCE, _TIME, _CHANGE_ID = (_BOOK[n] for n in ("instrument", "sequence", "time", "change_id"))
_FIRST, _COUNT, _CHECKSUM, _TOP = (_BOOK[name] for name in ("first", "count", "checksum", "top"))
_BID_PRICE, _BID_QUANTITY = _BOOK["bid_price"], _BOOK["bid_quantity"]
_ASK_PRICE, _ASK_QUANTITY = _BOOK["ask_price"], _BOOK["ask_quantity"]
_ACTION, _SIDE, _PRICE, _QUANTITY = (_LEVEL[name] for name in ("action", "side", "price", "quantity"))
_INSTRUMENT_AND_SEQUENCE = itemgetter(_TRADE["instrument"], _TRADE["sequence"])
