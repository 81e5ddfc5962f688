"""The books of all instruments in a few flat arrays, and the four ways they change: rest, unlink, index, forget.

    book = new_book(bands=[(0, 65535)], references=[30000], members=100, max_orders=1 << 16)

- `levels` is a dense ladder: an instrument's bid at price p is row `bids + p`, its ask row `asks + p`. Both sides
  have a ladder of their own because an auction's book may cross.
- `words` holds one bitmap per ladder (bitmap.py), which finds the next occupied level without walking.
- `orders` is the pool. An order's row is its slot; orders of one level form a doubly linked list through `next` and
  `previous`, oldest at `head`. Free slots form a list through `next`.
- `buckets` and `chain` resolve order ids: bucket of the id -> slot + 1 -> chain of slots with the same bucket.
  Sixteen consecutive ids share a cache line, and lines are scattered by a multiplicative hash, so that young ids
  stay together and no pattern of old survivors crowds one place. Memory follows live orders, not history.

What Python allocates as zeros costs nothing until it is touched, so a wide band or a large pool is cheap.
"""
from typing import NamedTuple

import numpy as np

from matching import bitmap
from matching.codes import Phase, Side
from matching.jit import inlined
from matching.records import INSTRUMENT, LEVEL, MEMBER, NIL, ORDER, STATE

_BUY = int(Side.BUY)
_GOLDEN = 0x9E3779B1             # 2**32 / golden ratio: spreads consecutive block numbers
_ID_BITS = 0x7FFFFFFF            # keeps the product within int64


class Book(NamedTuple):
    """Everything matching knows. Shapes in parentheses; n instruments, m accounts, c orders at most."""

    instruments: np.ndarray      # INSTRUMENT (n)
    levels: np.ndarray           # LEVEL (sum of band widths, bids and asks)
    words: np.ndarray            # uint64, the bitmaps
    orders: np.ndarray           # ORDER (c)
    buckets: np.ndarray          # int32 (power of two, at least 2c), slot + 1 or 0
    chain: np.ndarray            # int32 (c), slot + 1 or 0
    members: np.ndarray          # MEMBER (m)
    state: np.ndarray            # STATE (1)


def new_book(bands, references, members: int, max_orders: int, median=None, protection=None) -> Book:
    """An empty book.

    bands       (floor, ceiling) in ticks per instrument
    references  reference price in ticks per instrument, stands for the last trade before there is one
    members     number of accounts, each its own self-match group
    max_orders  capacity of resting orders over all instruments
    median, protection   per instrument, see INSTRUMENT
    Errors      ValueError for an empty band, a band wider than bitmap.MAX_LEVELS, more than 65,536 instruments or no
                capacity
    """
    if not 0 < len(bands) <= 1 << 16:
        raise ValueError(f"instruments: {len(bands)} given, 1 to 65536 allowed")
    if not 0 < max_orders < 1 << 31:
        raise ValueError(f"max_orders: {max_orders} given, 1 to {(1 << 31) - 1} allowed")
    instruments = np.zeros(len(bands), INSTRUMENT)
    level_count = word_count = 0
    for row, (floor, ceiling), reference in zip(instruments, bands, references, strict=True):
        width = ceiling - floor + 1
        if not 0 < width <= bitmap.MAX_LEVELS:
            raise ValueError(f"band {floor}..{ceiling}: {width} levels, 1 to {bitmap.MAX_LEVELS} allowed")
        row.floor, row.ceiling = floor, ceiling
        row.best_bid, row.best_ask, row.last_price = floor - 1, ceiling + 1, reference
        row.phase = Phase.CONTINUOUS
        row.bids, row.asks = level_count - floor, level_count + width - floor
        level_count += 2 * width
        row.bid_words = word_count
        row.ask_words = word_count + bitmap.words_needed(width)
        word_count += 2 * bitmap.words_needed(width)
    if median is not None:
        instruments["median"] = median
    if protection is not None:
        instruments["protection"] = protection
    blocks = 1 << max(1, (max_orders // 8 - 1).bit_length())
    accounts = np.zeros(members, MEMBER)
    accounts["group"] = np.arange(members)
    state = np.zeros(1, STATE)
    state["free"] = NIL
    return Book(instruments, np.zeros(level_count, LEVEL), np.zeros(word_count, np.uint64),
                np.zeros(max_orders, ORDER), np.zeros(16 * blocks, np.int32), np.zeros(max_orders, np.int32),
                accounts, state)


@inlined
def bucket_of(book, order_id):
    """Where the chain of an order id begins: sixteen consecutive ids are neighbours, blocks of them are scattered."""
    scattered = (((order_id >> 4) & _ID_BITS) * _GOLDEN) & 0xFFFFFFFF
    blocks = len(book.buckets) >> 4
    return (((scattered * blocks) >> 32) << 4) | (order_id & 15)


@inlined
def find(book, order_id):
    """Slot of a resting order, or NIL."""
    slot = book.buckets[bucket_of(book, order_id)] - 1
    while slot != NIL and book.orders[slot].order_id != order_id:
        slot = book.chain[slot] - 1
    return slot


@inlined
def index(book, slot, order_id):
    """Make an order findable by its id."""
    bucket = bucket_of(book, order_id)
    book.chain[slot] = book.buckets[bucket]
    book.buckets[bucket] = slot + 1


@inlined
def forget(book, slot):
    """Give an order's slot and id back."""
    bucket = bucket_of(book, book.orders[slot].order_id)
    at = book.buckets[bucket] - 1
    if at == slot:
        book.buckets[bucket] = book.chain[slot]
    else:
        while book.chain[at] - 1 != slot:
            at = book.chain[at] - 1
        book.chain[at] = book.chain[slot]
    state = book.state[0]
    book.orders[slot].next = state.free
    state.free = slot
    state.orders -= 1


@inlined
def new_slot(book):
    """A slot for an order that will rest; the caller has made sure that there is room."""
    state = book.state[0]
    state.orders += 1
    slot = state.free
    if slot == NIL:
        slot = state.used
        state.used += 1
    else:
        state.free = book.orders[slot].next
    return slot


@inlined
def rest(book, instrument, slot, side, price):
    """Queue an order behind all others at its price."""
    row = (instrument.bids if side == _BUY else instrument.asks) + price
    level = book.levels[row]
    order = book.orders[slot]
    order.level = row
    order.next = NIL
    if level.orders == 0:
        order.previous = NIL
        level.head = slot
        if side == _BUY:
            bitmap.mark(book.words, instrument.bid_words, price - instrument.floor)
            if price > instrument.best_bid:
                instrument.best_bid = price
        else:
            bitmap.mark(book.words, instrument.ask_words, price - instrument.floor)
            if price < instrument.best_ask:
                instrument.best_ask = price
    else:
        order.previous = level.tail
        book.orders[level.tail].next = slot
    level.tail = slot
    level.orders += 1
    level.quantity += order.leaves_quantity
    instrument.orders += 1


@inlined
def unlink(book, instrument, slot):
    """Take an order out of its level. The slot and the id stay the order's."""
    order = book.orders[slot]
    level = book.levels[order.level]
    level.quantity -= order.leaves_quantity
    level.orders -= 1
    instrument.orders -= 1
    if level.orders == 0:
        close_level(book, instrument, order.level, order.side)
    elif order.previous == NIL:
        level.head = order.next
        book.orders[order.next].previous = NIL
    else:
        book.orders[order.previous].next = order.next
        if order.next == NIL:
            level.tail = order.previous
        else:
            book.orders[order.next].previous = order.previous


@inlined
def close_level(book, instrument, row, side):
    """Note that a level has become empty; if it was the best one find the next."""
    floor = instrument.floor
    if side == _BUY:
        price = row - instrument.bids
        bitmap.clear(book.words, instrument.bid_words, price - floor)
        if price == instrument.best_bid:
            below = bitmap.last_to(book.words, instrument.bid_words, price - floor)
            instrument.best_bid = floor + below          # NIL is -1: floor - 1 says that there is none
    else:
        price = row - instrument.asks
        bitmap.clear(book.words, instrument.ask_words, price - floor)
        if price == instrument.best_ask:
            above = bitmap.first_from(book.words, instrument.ask_words, price - floor)
            instrument.best_ask = floor + above if above != NIL else instrument.ceiling + 1


@inlined
def price_of(instrument, order):
    """Limit price of a resting order, ticks."""
    return order.level - (instrument.bids if order.side == _BUY else instrument.asks)
