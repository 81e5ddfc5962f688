"""Public market data, computed from events alone: price levels, their changes, trades, and the figures of the day.

    market = MarketData(exchange.instruments)
    updates = market.record(exchange.apply(commands))     # books and levels that changed, and trades
    bids, asks, change_id = market.book(instrument, depth=10)

This is a projection: it never reads the engine's book, and can be thrown away and computed again by recording the same
events from the first one. Subscriptions and JSON are in gateway/market/.

How quantities follow from events: an order is incoming from its ACCEPTED, AMENDED, TRIGGERED or UNCROSSED event on,
until another order is or the command ends; its remainder then joins its level. TRADED reduces the incoming order and
the level of the resting order. CANCELED ends the incoming order, or reduces the level of any other order. AMENDED and
UNCROSSED take the order out of its old level. DISPLAYED adds to its level what the order shows beyond what it showed
before. Events flagged PARKED concern no level.

All changes that a command makes to an instrument are published as one net change: a level touched twice appears once,
with its final quantity, and a level that ends as it began does not appear. In a call auction bids and offers may cross.

Instruments are indices, prices ticks, quantities lots, times ns since the epoch. Helpers stand before their callers,
because the compiler needs that.
"""

import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from exchange.instruments import Instrument, daily_limits
from matching import bitmap
from matching import codes as c
from matching.codes import ALL, Phase
from matching.jit import inlined, kernel
from matching.records import EVENT, EVENT_WORDS, NIL, record

NEW, CHANGE, DELETE = 1, 2, 3  # LEVEL_CHANGE.action
CHECKSUM_DEPTH = 10  # levels of each side that a checksum covers
_TEN, _ZERO = np.uint64(10), np.uint64(48)


# One change set: what one command did to the book of one instrument.
BOOK_CHANGE = record(
    ("change_id", "<i8"),  # 1, 2, 3 ... without gap, per instrument
    ("sequence", "<i8"),  # of the command
    ("time", "<i8"),  # of the command, ns
    ("bid_price", "<i8"),  # best bid after it, ticks
    ("bid_quantity", "<i8"),  # lots there; 0: no bid
    ("ask_price", "<i8"),
    ("ask_quantity", "<i8"),
    ("first", "<i8"),  # its rows in Updates.levels: first, and how many
    ("count", "<i8"),
    ("instrument", "<i4"),
    ("checksum", "<u4"),  # after it, see MarketData.checksum; 0 unless asked for
    ("top", "u1"),
)  # 1: the best bid or ask, or the quantity there, is not what it was

# One level of one change set.
LEVEL_CHANGE = record(
    ("change_id", "<i8"),
    ("sequence", "<i8"),
    ("time", "<i8"),
    ("price", "<i8"),
    ("quantity", "<i8"),  # lots now open at the price
    ("before", "<i8"),  # lots before the command
    ("instrument", "<i4"),
    ("side", "u1"),
    ("action", "u1"),
)  # NEW, CHANGE or DELETE

TRADE = record(
    ("trade_id", "<i8"),  # over all instruments
    ("trade_sequence", "<i8"),  # 1, 2, 3 ... per instrument
    ("sequence", "<i8"),
    ("time", "<i8"),
    ("price", "<i8"),
    ("quantity", "<i8"),
    ("order_id", "<i8"),  # the incoming order, the taker
    ("resting_order_id", "<i8"),  # the resting order, the maker
    ("instrument", "<i4"),
    ("account", "<i4"),  # of the taker
    ("resting_account", "<i4"),  # of the maker
    ("side", "u1"),  # of the taker
    ("tick_direction", "u1"),  # 0 up, 1 unchanged after up, 2 down, 3 unchanged after down
    ("auction", "u1"),
)  # 1: in an auction; the buy stands for the taker

STATISTICS = record(
    ("trades", "<i8"),  # since the first event; 0: no price below means anything
    ("last_price", "<i8"),
    ("tick_direction", "<i8"),  # of the last trade
    ("day_trades", "<i8"),  # since the last DAY_BEGUN; 0: none of the prices of the next line
    ("open_price", "<i8"),
    ("high_price", "<i8"),
    ("low_price", "<i8"),
    ("volume", "<i8"),  # lots of the day
    ("notional", "<i8"),  # sum of price x quantity of the day, ticks x lots
    ("phase", "<i8"),  # codes.Phase
    ("auction_price", "<i8"),  # of the last auction; means nothing where auction_volume is 0
    ("auction_volume", "<i8"),  # lots
    ("auction_surplus", "<i8"),  # lots, buys minus sells at its price
    ("settled", "<i8"),  # 1: settled since the last DAY_BEGUN
    ("settlement", "<i8"),  # of the day, once settled
    ("previous_settlement", "<i8"),  # of the day before; before the first: the reference price
    ("floor", "<i8"),
    ("ceiling", "<i8"),  # the band: daily limits, from SETTLED on those of the next day
    ("daily_limit", "<i8"),  # 1/10,000 of the settlement price; 0: none
    ("locked_days", "<i8"),
)  # settled limit-locked in a row; negative: at the lower limit

PRICE_LEVEL = record(("price", "<i8"), ("quantity", "<i8"))

# One level in a snapshot, and how far an instrument's changes had come.
_LEVEL = record(("instrument", "<i8"), ("side", "<i8"), ("price", "<i8"), ("quantity", "<i8"))
_CHAIN_FIELDS = ("change_id", "sequence", "time")
_CHAIN = record(*((name, "<i8") for name in _CHAIN_FIELDS))

# Where an instrument's ladder lies in the flat arrays, and its best levels.
_LADDER = record(
    ("floor", "<i8"),
    ("ceiling", "<i8"),
    ("bids", "<i8"),
    ("asks", "<i8"),  # row of the level at price 0
    ("bid_words", "<i8"),
    ("ask_words", "<i8"),  # its bitmaps
    ("best_bid", "<i8"),
    ("best_ask", "<i8"),  # floor - 1, ceiling + 1: none
    ("bid_quantity", "<i8"),
    ("ask_quantity", "<i8"),
    ("bid_levels", "<i8"),
    ("ask_levels", "<i8"),  # how many
    ("change_id", "<i8"),
    ("sequence", "<i8"),
    ("time", "<i8"),
    ("first_touch", "<i8"),
    ("last_touch", "<i8"),  # rows of the touches of the present command, NIL: none
    ("checked", "<i8"),
)  # 1: checksums are wanted

# The order that is being processed, and what is left of it.
_INCOMING = record(
    ("order_id", "<i8"),  # NIL: there is none
    ("instrument", "<i8"),
    ("side", "<i8"),
    ("price", "<i8"),
    ("leaves", "<i8"),
    ("auction", "<i8"),
)  # 1: it trades in an auction

# A level that the present command has touched.
_TOUCH = record(("row", "<i8"), ("price", "<i8"), ("before", "<i8"), ("next", "<i8"), ("side", "<i8"))

_COUNTERS = record(
    ("event_id", "<i8"),  # of the last event recorded
    ("touches", "<i8"),  # levels touched by the present command
    ("touched", "<i8"),  # instruments touched by it
    ("books", "<i8"),
    ("levels", "<i8"),
    ("trades", "<i8"),
)  # rows of output written in this batch


class Updates(NamedTuple):
    """What one batch changed, in the order of events. Views of memory that the next `record` overwrites."""

    books: np.ndarray  # BOOK_CHANGE
    levels: np.ndarray  # LEVEL_CHANGE, change set by change set
    trades: np.ndarray  # TRADE


class _State(NamedTuple):
    """The arrays of a market, as the kernels take them."""

    ladders: np.ndarray  # _LADDER (instruments)
    statistics: np.ndarray  # STATISTICS (instruments)
    levels: np.ndarray  # int64 lots, bids and asks of all instruments
    marks: np.ndarray  # uint8, 1: touched by the present command
    words: np.ndarray  # uint64, bitmaps of the levels that are not empty
    counters: np.ndarray  # _COUNTERS (1)
    incoming: np.ndarray  # _INCOMING (1)
    crc: np.ndarray  # int64 (256), the table of CRC-32
    text: np.ndarray  # uint8, room to write what a checksum is taken of


class _Output(NamedTuple):
    """Room for what one batch can give; grows with the largest batch."""

    touches: np.ndarray  # _TOUCH
    instruments: np.ndarray  # int64, touched by the present command
    books: np.ndarray
    levels: np.ndarray
    trades: np.ndarray


# Checksum -----------------------------------------------------------------------------------------


@inlined
def _write_integer(text, at, value):
    if value < 0:
        text[at] = 45  # "-"
        at += 1
        value = -value
    end = at + 1
    power = 10
    while value >= power and end - at < 19:  # 10 ** 19 is beyond int64
        end += 1
        power *= 10
    rest = np.uint64(value)  # unsigned: compiles to a multiplication instead of a division
    for place in range(end - 1, at - 1, -1):
        tenth = rest // _TEN
        text[place] = _ZERO + rest - tenth * _TEN
        rest = tenth
    return end


@inlined
def _write_level(text, at, first, price, quantity):
    if not first:
        text[at] = 44  # ","
        at += 1
    at = _write_integer(text, at, price)
    text[at] = 58  # ":"
    return _write_integer(text, at + 1, quantity)


@inlined
def _write_top(state, ladder):
    """Write what the checksum is taken of; returns its length."""
    text = state.text
    at = 0
    level = ladder.best_ask - ladder.floor
    for place in range(min(CHECKSUM_DEPTH, ladder.ask_levels)):
        price = ladder.floor + level
        at = _write_level(text, at, place == 0, price, state.levels[ladder.asks + price])
        level = bitmap.first_from(state.words, ladder.ask_words, level + 1)
    text[at] = 124  # "|"
    at += 1
    level = ladder.best_bid - ladder.floor
    for place in range(min(CHECKSUM_DEPTH, ladder.bid_levels)):
        price = ladder.floor + level
        at = _write_level(text, at, place == 0, price, state.levels[ladder.bids + price])
        level = bitmap.last_to(state.words, ladder.bid_words, level - 1)
    return at


@inlined
def _checksum(state, ladder):
    crc = 0xFFFFFFFF
    for at in range(_write_top(state, ladder)):
        crc = state.crc[(crc ^ np.int64(state.text[at])) & 255] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


# Levels -------------------------------------------------------------------------------------------


@inlined
def _touch(state, output, instrument, side, price, quantity):
    """Add quantity to a level and remember what it was before the command. False: the level does not exist."""
    if instrument < 0 or instrument >= len(state.ladders):
        return False
    ladder = state.ladders[instrument]
    if price < ladder.floor or price > ladder.ceiling:
        return False
    row = (ladder.bids if side == c.BUY else ladder.asks) + price
    if state.marks[row] == 0:
        counters = state.counters[0]
        state.marks[row] = 1
        at = counters.touches
        counters.touches += 1
        touch = output.touches[at]
        touch.row = row
        touch.price = price
        touch.before = state.levels[row]
        touch.next = NIL
        touch.side = side
        if ladder.first_touch == NIL:
            ladder.first_touch = at
            output.instruments[counters.touched] = instrument
            counters.touched += 1
        else:
            output.touches[ladder.last_touch].next = at
        ladder.last_touch = at
    state.levels[row] += quantity
    return True


@inlined
def _open_level(state, ladder, side, price):
    if side == c.BUY:
        bitmap.mark(state.words, ladder.bid_words, price - ladder.floor)
        ladder.bid_levels += 1
        if price > ladder.best_bid:
            ladder.best_bid = price
    else:
        bitmap.mark(state.words, ladder.ask_words, price - ladder.floor)
        ladder.ask_levels += 1
        if price < ladder.best_ask:
            ladder.best_ask = price


@inlined
def _close_level(state, ladder, side, price):
    if side == c.BUY:
        bitmap.clear(state.words, ladder.bid_words, price - ladder.floor)
        ladder.bid_levels -= 1
        if price == ladder.best_bid:
            below = bitmap.last_to(state.words, ladder.bid_words, price - ladder.floor)
            ladder.best_bid = ladder.floor + below  # NIL is -1: floor - 1 says that there is none
    else:
        bitmap.clear(state.words, ladder.ask_words, price - ladder.floor)
        ladder.ask_levels -= 1
        if price == ladder.best_ask:
            above = bitmap.first_from(state.words, ladder.ask_words, price - ladder.floor)
            ladder.best_ask = ladder.floor + above if above != NIL else ladder.ceiling + 1


@inlined
def _write_level_change(change, ladder, instrument, event, touch, quantity):
    """One row of a change set; returns its action."""
    change.change_id = ladder.change_id + 1
    change.sequence = event.sequence
    change.time = event.time
    change.price = touch.price
    change.quantity = quantity
    change.before = touch.before
    change.instrument = instrument
    change.side = touch.side
    change.action = NEW if touch.before == 0 else DELETE if quantity == 0 else CHANGE
    return change.action


@inlined
def _write_book_change(state, output, ladder, instrument, event, first):
    """Close the change set that began at row `first` of the level changes."""
    counters = state.counters[0]
    bid_quantity = state.levels[ladder.bids + ladder.best_bid] if ladder.bid_levels > 0 else 0
    ask_quantity = state.levels[ladder.asks + ladder.best_ask] if ladder.ask_levels > 0 else 0
    ladder.change_id += 1
    ladder.sequence = event.sequence
    ladder.time = event.time
    book = output.books[counters.books]
    counters.books += 1
    book.change_id = ladder.change_id
    book.sequence = event.sequence
    book.time = event.time
    book.bid_price = ladder.best_bid
    book.bid_quantity = bid_quantity
    book.ask_price = ladder.best_ask
    book.ask_quantity = ask_quantity
    book.first = first
    book.count = counters.levels - first
    book.instrument = instrument
    book.checksum = _checksum(state, ladder) if ladder.checked == 1 else 0
    ladder.bid_quantity = bid_quantity
    ladder.ask_quantity = ask_quantity
    return book


@inlined
def _tell_instrument(state, output, instrument, event):
    """Tell what the command of `event` did to an instrument. False: a level went below zero."""
    counters = state.counters[0]
    ladder = state.ladders[instrument]
    first = counters.levels
    best_bid, best_ask = ladder.best_bid, ladder.best_ask
    bid_quantity, ask_quantity = ladder.bid_quantity, ladder.ask_quantity
    sound = True
    at = ladder.first_touch
    while at != NIL:
        touch = output.touches[at]
        state.marks[touch.row] = 0
        quantity = state.levels[touch.row]
        sound = sound and quantity >= 0
        if quantity != touch.before:
            action = _write_level_change(output.levels[counters.levels], ladder, instrument, event, touch, quantity)
            counters.levels += 1
            if action == NEW:
                _open_level(state, ladder, touch.side, touch.price)
            elif action == DELETE:
                _close_level(state, ladder, touch.side, touch.price)
        at = touch.next
    ladder.first_touch = NIL
    if counters.levels > first:
        book = _write_book_change(state, output, ladder, instrument, event, first)
        book.top = (
            book.bid_price != best_bid
            or book.ask_price != best_ask
            or book.bid_quantity != bid_quantity
            or book.ask_quantity != ask_quantity
        )
    return sound


# Trades -------------------------------------------------------------------------------------------


@inlined
def _count_trade(statistics, price, quantity):
    """Bring an instrument's figures up to a trade."""
    if statistics.trades > 0:
        if price > statistics.last_price:
            statistics.tick_direction = 0
        elif price < statistics.last_price:
            statistics.tick_direction = 2
        else:
            statistics.tick_direction |= 1
    if statistics.day_trades == 0:
        statistics.open_price = price
        statistics.high_price = price
        statistics.low_price = price
    statistics.trades += 1
    statistics.day_trades += 1
    statistics.last_price = price
    statistics.high_price = max(statistics.high_price, price)
    statistics.low_price = min(statistics.low_price, price)
    statistics.volume += quantity
    statistics.notional += price * quantity


@inlined
def _write_trade(trade, event, statistics, auction):
    trade.trade_id = event.trade_id
    trade.trade_sequence = statistics.trades
    trade.sequence = event.sequence
    trade.time = event.time
    trade.price = event.price
    trade.quantity = event.quantity
    trade.order_id = event.order_id
    trade.resting_order_id = event.resting_order_id
    trade.instrument = event.instrument
    trade.account = event.account
    trade.resting_account = event.resting_account
    trade.side = event.side
    trade.tick_direction = statistics.tick_direction
    trade.auction = auction


# The incoming order -------------------------------------------------------------------------------


@inlined
def _come(incoming, event):
    """The order of an event is the incoming one from here on."""
    incoming.order_id = event.order_id
    incoming.instrument = event.instrument
    incoming.side = event.side
    incoming.price = event.price
    incoming.leaves = event.leaves_quantity
    incoming.auction = 1 if event.kind == c.UNCROSSED else 0


@inlined
def _join(state, output):
    """What is left of the incoming order joins its level, and none is incoming. False: the level does not exist."""
    incoming = state.incoming[0]
    leaves = incoming.leaves
    incoming.order_id = NIL
    incoming.leaves = 0
    return leaves == 0 or _touch(state, output, incoming.instrument, incoming.side, incoming.price, leaves)


@inlined
def _trade(state, output, event):
    """Count and publish a trade. False: its order is not the incoming one, or its instrument does not exist."""
    incoming = state.incoming[0]
    instrument = event.instrument
    if event.order_id != incoming.order_id or instrument < 0 or instrument >= len(state.statistics):
        return False
    counters = state.counters[0]
    statistics = state.statistics[instrument]
    incoming.leaves = event.leaves_quantity
    _count_trade(statistics, event.price, event.quantity)
    _write_trade(output.trades[counters.trades], event, statistics, incoming.auction)
    counters.trades += 1
    return True


@inlined
def _change_by(state, output, event):
    """What an order's event adds to a level at once. Returns (sound, side, price, lots)."""
    incoming = state.incoming[0]
    kind = event.kind
    if kind == c.TRADED:
        return _trade(state, output, event), c.BUY + c.SELL - event.side, event.resting_price, -event.quantity
    if event.flag_bits & c.PARKED:
        return True, 0, 0, 0
    if kind == c.DISPLAYED:
        return True, event.side, event.price, event.quantity - event.shown_before
    if kind == c.CANCELED:
        if event.order_id != incoming.order_id:
            return True, event.side, event.price, -event.quantity
        incoming.leaves = 0
    elif kind in (c.ACCEPTED, c.AMENDED, c.TRIGGERED, c.UNCROSSED):
        sound = _join(state, output)
        _come(incoming, event)
        if kind == c.AMENDED:
            return sound, event.side, event.price_before, -event.open_before
        if kind == c.UNCROSSED:
            return sound, event.side, event.price, -event.leaves_quantity
        return sound, 0, 0, 0
    return True, 0, 0, 0


# Days and phases ----------------------------------------------------------------------------------


@inlined
def _begin_day(statistics):
    for row in range(len(statistics)):
        figures = statistics[row]
        figures.day_trades = 0
        figures.open_price = 0
        figures.high_price = 0
        figures.low_price = 0
        figures.volume = 0
        figures.notional = 0
        if figures.settled != 0:
            figures.previous_settlement = figures.settlement
        figures.settled = 0
        figures.settlement = 0


@inlined
def _settle(figures, event):
    """SETTLED; a second one on the same day corrects the first (11.3)."""
    figures.settled = 1
    figures.settlement = event.price
    figures.floor = event.next_floor
    figures.ceiling = event.next_ceiling
    figures.locked_days = event.leaves_quantity


@inlined
def _list(figures, ladder, event):
    """LISTED at a reference price, which the band follows from. RULEBOOK 11.9."""
    price = event.price
    figures.phase = c.CLOSED
    figures.previous_settlement = price
    figures.floor = ladder.floor
    figures.ceiling = ladder.ceiling
    if figures.daily_limit != 0:
        width = max(abs(price) * figures.daily_limit // 10_000, 1)
        figures.floor = max(price - width, ladder.floor)
        figures.ceiling = min(price + width, ladder.ceiling)


@inlined
def _note(state, event):
    """An event about an instrument as a whole, or about the day. False: there is no such instrument."""
    kind, instrument = event.kind, event.instrument
    if kind == c.DAY_BEGUN:
        _begin_day(state.statistics)
    elif kind in (c.PHASE, c.AUCTION, c.SETTLED, c.LISTED, c.EXPIRED) or (
        kind == c.SET_LIMIT and event.side == c.LIMIT_INSTRUMENT_DAILY_LIMIT
    ):
        if instrument == ALL:  # the last event of a PHASE of all, after one of each
            return True
        if instrument < 0 or instrument >= len(state.statistics):
            return False
        figures = state.statistics[instrument]
        if kind == c.PHASE:
            figures.phase = event.quantity
        elif kind == c.AUCTION:
            figures.auction_price = event.price
            figures.auction_volume = event.quantity
            figures.auction_surplus = event.surplus
        elif kind == c.SETTLED:
            _settle(figures, event)
        elif kind == c.LISTED:
            _list(figures, state.ladders[instrument], event)
        elif kind == c.SET_LIMIT:
            figures.daily_limit = event.quantity
        else:
            figures.phase = c.EXPIRED_PHASE
    return True


# The kernels --------------------------------------------------------------------------------------


@kernel
def record_market(state, output, events):
    """Fold a batch of events into the ladders; see MarketData.record. events: EVENT_WORDS, whole commands.

    Returns (row, books, levels, trades): the row of the first event that does not continue those before it, or NIL,
    and how many rows were written of each output.
    """
    counters = state.counters[0]
    counters.books = 0
    counters.levels = 0
    counters.trades = 0
    state.incoming[0].order_id = NIL
    state.incoming[0].leaves = 0
    count = len(events)
    for at in range(count):
        event = events[at]
        sound = event.event_id == counters.event_id + 1
        counters.event_id = event.event_id
        if event.kind < c.PHASE and event.kind != c.AUCTION:
            fits, side, price, lots = _change_by(state, output, event)
            sound &= fits and (lots == 0 or _touch(state, output, event.instrument, side, price, lots))
        else:
            sound &= _note(state, event)
        if at + 1 == count or events[at + 1].sequence != event.sequence:  # the command ends here
            sound &= _join(state, output)
            for row in range(counters.touched):
                sound &= _tell_instrument(state, output, output.instruments[row], event)
            counters.touches = 0
            counters.touched = 0
        if not sound:
            return at, 0, 0, 0
    return NIL, counters.books, counters.levels, counters.trades


@kernel
def copy_side(state, instrument, side, group, levels):
    """Write the best levels of a side to `levels` (PRICE_LEVEL), grouped; returns how many there are."""
    ladder = state.ladders[instrument]
    depth = len(levels)
    count = 0
    if side == c.BUY:
        level = ladder.best_bid - ladder.floor
        left = ladder.bid_levels
    else:
        level = ladder.best_ask - ladder.floor
        left = ladder.ask_levels
    while left > 0:
        price = ladder.floor + level
        if side == c.BUY:
            quantity = state.levels[ladder.bids + price]
            level = bitmap.last_to(state.words, ladder.bid_words, level - 1)
            price = price // group * group
        else:
            quantity = state.levels[ladder.asks + price]
            level = bitmap.first_from(state.words, ladder.ask_words, level + 1)
            price = -(-price // group * group)
        left -= 1
        if count > 0 and levels[count - 1].price == price:
            levels[count - 1].quantity += quantity
        else:
            if count == depth:
                break
            levels[count].price = price
            levels[count].quantity = quantity
            count += 1
    return count


@kernel
def top_text(state, instrument):
    """Write the text that a checksum is taken of; returns its length."""
    return _write_top(state, state.ladders[instrument])


@kernel
def place_levels(state, levels):
    """Put the levels of a snapshot (_LEVEL rows) into empty ladders."""
    for at in range(len(levels)):
        level = levels[at]
        ladder = state.ladders[level.instrument]
        state.levels[(ladder.bids if level.side == c.BUY else ladder.asks) + level.price] = level.quantity
        _open_level(state, ladder, level.side, level.price)
        if level.side == c.BUY:
            ladder.bid_quantity = state.levels[ladder.bids + ladder.best_bid]
        else:
            ladder.ask_quantity = state.levels[ladder.asks + ladder.best_ask]


class MarketData:
    """Books by price, tape and figures of all instruments, kept up to date by `record`.

    instruments   Instrument objects, in the order of their indices
    trades        how many trades the tape keeps, over all instruments
    Errors        ValueError for a band that is empty or wider than matching.bitmap.MAX_LEVELS
    Memory        9 bytes per tick of every band and side, touched only where orders have been
    """

    def __init__(self, instruments: Sequence[Instrument], trades: int = 1 << 16) -> None:
        ladders, statistics = np.zeros(len(instruments), _LADDER), np.zeros(len(instruments), STATISTICS)
        for figures, instrument in zip(statistics, instruments, strict=True):
            figures.phase, figures.previous_settlement = instrument.phase, instrument.reference_price
            figures.daily_limit = instrument.daily_limit
            figures.floor, figures.ceiling = daily_limits(
                instrument, instrument.reference_price, instrument.daily_limit
            )
        level_count = word_count = 0
        for ladder, instrument in zip(ladders, instruments, strict=True):
            floor, ceiling = instrument.price_floor, instrument.price_ceiling
            width = ceiling - floor + 1
            if not 0 < width <= bitmap.MAX_LEVELS:
                raise ValueError(f"band {floor}..{ceiling}: {width} levels, 1 to {bitmap.MAX_LEVELS} allowed")
            ladder.floor, ladder.ceiling = floor, ceiling
            ladder.best_bid, ladder.best_ask = floor - 1, ceiling + 1
            ladder.bids, ladder.asks = level_count - floor, level_count + width - floor
            level_count += 2 * width
            ladder.bid_words = word_count
            ladder.ask_words = word_count + bitmap.words_needed(width)
            word_count += 2 * bitmap.words_needed(width)
            ladder.first_touch = NIL
        self._state = _State(
            ladders,
            statistics,
            np.zeros(level_count, np.int64),
            np.zeros(level_count, np.uint8),
            np.zeros(word_count, np.uint64),
            np.zeros(1, _COUNTERS),
            np.zeros(1, _INCOMING),
            _crc_table(),
            np.zeros(64 * CHECKSUM_DEPTH + 128, np.uint8),
        )
        self._output = _output(1024, len(instruments))
        self._tape = np.zeros(trades, TRADE)
        self._traded = 0

    def record(self, events: np.ndarray) -> Updates:
        """Take a batch of events, as exchange.apply returns them: EVENT[n], every command whole.

        Returns what changed, as views that the next call overwrites: copy what you keep.
        Errors   ValueError where the events do not continue those recorded before (a gap in event_id, a level that
                 does not exist or falls below zero). The MarketData is unusable then: throw it away.
        Cost     one compiled call; per event O(1)
        """
        if len(events) > len(self._output.trades):
            self._output = _output(1 << len(events).bit_length(), len(self._state.ladders))
        # The kernel is compiled for one kind of array: contiguous and writable.
        rows = np.require(events, EVENT, ["C", "W"]).view(EVENT_WORDS)
        at, books, levels, trades = record_market(self._state, self._output, rows)
        if at != NIL:
            raise ValueError(
                f"event {events[at]['event_id']} of command {events[at]['sequence']} does not continue "
                f"the events recorded before it; record from event 1 into a new MarketData"
            )
        output = self._output
        updates = Updates(output.books[:books], output.levels[:levels], output.trades[:trades])
        if trades:
            self._keep(updates.trades)
        return updates

    def book(self, instrument: int, depth: int | None = None, group: int = 1) -> tuple[np.ndarray, np.ndarray, int]:
        """(bids, asks, change_id): PRICE_LEVEL rows, best first, after the last event recorded.

        depth   at most so many levels a side; None: all
        group   ticks: prices are rounded away from the other side to a multiple of it, and summed
        """
        ladder = self._ladder(instrument)
        sides = []
        for side, count in ((c.BUY, ladder.bid_levels), (c.SELL, ladder.ask_levels)):
            levels = np.zeros(count if depth is None else min(depth, count), PRICE_LEVEL)
            found = copy_side(self._state, int(instrument), side, int(group), levels)
            sides.append(levels[:found])
        return sides[0], sides[1], int(ladder.change_id)

    def top(self, instrument: int) -> np.record:
        """Best bid and ask: bid_price, bid_quantity, ask_price, ask_quantity (quantity 0: none), change_id, sequence
        and time of the last change."""
        ladder = self._ladder(instrument)
        top = np.zeros(1, BOOK_CHANGE)[0]
        top.bid_price, top.bid_quantity = ladder.best_bid, ladder.bid_quantity
        top.ask_price, top.ask_quantity = ladder.best_ask, ladder.ask_quantity
        top.change_id, top.sequence, top.time = ladder.change_id, ladder.sequence, ladder.time
        top.instrument = instrument
        return top

    def checksum(self, instrument: int) -> int:
        """CRC-32 (zlib's) of the ten best levels of each side, the same as in BOOK_CHANGE.

        It is computed over ASCII text in ticks and lots: "price:quantity" of the asks, best first, joined by ",", then "|",
        then the bids likewise: "6001:5,6002:3|5999:2". A side without levels is empty.
        """
        self._ladder(instrument)
        return zlib.crc32(self._state.text[: top_text(self._state, int(instrument))].data)

    def check(self, instrument: int, wanted: bool) -> None:
        """Say whether change sets of an instrument shall carry their checksum (0.3 us each)."""
        self._ladder(instrument).checked = int(wanted)

    def statistics(self, instrument: int) -> np.record:
        """STATISTICS of an instrument, a copy."""
        self._ladder(instrument)
        return self._state.statistics[instrument].copy()

    def phase(self, instrument: int) -> Phase:
        """Trading phase of an instrument, after the last event recorded."""
        self._ladder(instrument)
        return Phase(int(self._state.statistics[instrument].phase))

    def trades(self, instrument: int | None = None, count: int = 100) -> np.ndarray:
        """The last `count` trades still on the tape, of one instrument or of all, newest first. TRADE rows."""
        kept = min(self._traded, len(self._tape))
        newest = (self._traded - 1 - np.arange(kept)) % len(self._tape)
        if instrument is not None:
            newest = newest[self._tape["instrument"][newest] == instrument]
        return self._tape[newest[: max(count, 0)]]

    @property
    def event_id(self) -> int:
        """Of the last event recorded."""
        return int(self._state.counters[0].event_id)

    # Over a snapshot ------------------------------------------------------------------------------

    def state(self) -> dict[str, np.ndarray]:
        """All it knows, as arrays named market_..., for a snapshot; of the ladders the levels in use. Copies."""
        state = self._state
        levels = []
        for number in range(len(state.ladders)):
            bids, asks, _ = self.book(number)
            levels += [(number, side, *row) for side, rows in ((c.BUY, bids), (c.SELL, asks)) for row in rows.tolist()]
        chains = np.zeros(len(state.ladders), _CHAIN)
        for name in _CHAIN_FIELDS:
            chains[name] = state.ladders[name]
        return {
            "market_event_id": np.array([self.event_id], "<i8"),
            "market_levels": np.array(levels, _LEVEL),
            "market_chains": chains,
            "market_statistics": state.statistics.copy(),
            "market_tape": self.trades(count=self._traded)[::-1].copy(),
        }

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Take what `state` gave; other arrays are left alone. Only into a MarketData that has recorded nothing.

        Errors   ValueError: an array is missing, of other instruments, or the market is not new. Nothing has changed
                 then.
        """
        state = self._state
        for name in ("event_id", "levels", "chains", "statistics", "tape"):
            if f"market_{name}" not in arrays:
                raise ValueError(f"snapshot array market_{name}: missing")
        if self.event_id:
            raise ValueError(f"market data: has recorded {self.event_id} events, must be new to be restored")
        levels, chains = arrays["market_levels"].view(_LEVEL).copy(), arrays["market_chains"].view(_CHAIN)
        if len(chains) != len(state.ladders):
            raise ValueError(f"snapshot array market_chains: {len(chains)} instruments, must be {len(state.ladders)}")
        bands = state.ladders[levels["instrument"]]
        if ((levels["price"] < bands["floor"]) | (levels["price"] > bands["ceiling"])).any():
            raise ValueError("snapshot array market_levels: has prices outside the band of their instrument")
        place_levels(state, levels)
        for name in _CHAIN_FIELDS:
            state.ladders[name] = chains[name]
        state.statistics[:] = arrays["market_statistics"].view(STATISTICS)
        state.counters[0].event_id = arrays["market_event_id"][0]
        self._keep(arrays["market_tape"].view(TRADE))

    def _ladder(self, instrument: int) -> Any:
        if not 0 <= instrument < len(self._state.ladders):
            raise IndexError(f"instrument: {instrument} given, 0 to {len(self._state.ladders) - 1} exist")
        return self._state.ladders[instrument]

    def _keep(self, trades: np.ndarray) -> None:
        """Put trades on the tape; of more than it can hold only the last."""
        size = len(self._tape)
        last = trades[-size:]
        at = (self._traded + len(trades) - len(last)) % size
        first = min(len(last), size - at)
        self._tape[at : at + first] = last[:first]
        self._tape[: len(last) - first] = last[first:]
        self._traded += len(trades)


def net_changes(changes: np.ndarray) -> np.ndarray:
    """Fold level changes of one or many change sets: LEVEL_CHANGE rows in order -> one row per level that differs.

    Sorted by instrument, side and price. `before` is of the first row of a level, all else of its last; `action` is
    that of the whole. Folding twice changes nothing, so long stretches can be folded piece by piece.
    """
    order = np.lexsort((np.arange(len(changes)), changes["price"], changes["side"], changes["instrument"]))
    rows = changes[order]
    if len(rows) == 0:
        return rows
    begins = np.ones(len(rows), bool)
    begins[1:] = (
        (rows["price"][1:] != rows["price"][:-1])
        | (rows["side"][1:] != rows["side"][:-1])
        | (rows["instrument"][1:] != rows["instrument"][:-1])
    )
    firsts = np.flatnonzero(begins)
    net = rows[np.append(firsts[1:], len(rows)) - 1]
    net["before"] = rows["before"][firsts]
    net["action"] = np.where(net["before"] == 0, NEW, np.where(net["quantity"] == 0, DELETE, CHANGE))
    return net[net["before"] != net["quantity"]]


def _crc_table() -> np.ndarray:
    """CRC-32 of the polynomial that zlib uses, one entry a byte value."""
    table = np.arange(256, dtype=np.int64)
    for _ in range(8):
        table = np.where(table & 1, 0xEDB88320 ^ (table >> 1), table >> 1)
    return table


def _output(events: int, instruments: int) -> _Output:
    """Room for so many events: an event touches one level, and the order that it makes incoming another one later."""
    levels = 2 * events
    return _Output(
        np.zeros(levels, _TOUCH),
        np.zeros(instruments, np.int64),
        np.zeros(levels, BOOK_CHANGE),
        np.zeros(levels, LEVEL_CHANGE),
        np.zeros(events, TRADE),
    )
