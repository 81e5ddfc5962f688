"""The books of all instruments in a few flat arrays, and how they change: rest, unlink, index, forget.

    book = new_book(bands=[(0, 65535)], references=[30000], members=100, max_orders=1 << 16)

- `sides` has two rows per instrument, bids and asks, each with a dense ladder in `levels`, best price first. An order
  trades with `opposite(...)` and rests on `own(...)`, so the steps are the same for buying and selling.
- `stops` has two rows per instrument, parked buys and parked sells, with ladders by trigger price in which the best row
  is triggered first. A parked order is in the pool like any other, but in no public level.
- `words` holds one bitmap per ladder (bitmap.py), which finds the next occupied level without walking.
- `orders` is the pool. An order's row is its slot; orders of one level form a doubly linked list through `next` and
  `previous`, oldest at `head`. Free slots form a list through `next`. Slot 0 is NOBODY, so that the ends of a list need
  no special case: what is written there is never read. `extras` holds what only some orders have (extras.py).
- `buckets` and `chain` resolve order ids: bucket of the id -> slot -> chain of slots with the same bucket. Sixteen
  consecutive ids share a cache line. High bits are folded onto low ones, so that old orders with regular ids do not crowd
  into a few buckets. The size depends on the capacity of live orders, not on history.

Zeroed memory takes no pages until it is touched, so a wide band or a large pool is cheap.
"""

from typing import NamedTuple

import numpy as np

from matching import bitmap
from matching.codes import Phase
from matching.intrinsics import prefetch, rarely
from matching.jit import inlined, outlined
from matching.records import (
    COUNT,
    EXTRA,
    ICEBERG,
    INSTRUMENT,
    LEVEL,
    MEMBER,
    NOBODY,
    ORDER,
    PARKED,
    SIDE,
    STATE,
    new_rows,
)

_FOLD = 12  # bits by which the high bits of an id are shifted onto the low ones


class Book(NamedTuple):
    """Everything matching knows. Shapes in parentheses; n instruments, m accounts, c orders at most."""

    instruments: np.ndarray  # INSTRUMENT (n)
    sides: np.ndarray  # SIDE (2n): bids of 0, asks of 0, bids of 1 ...
    stops: np.ndarray  # SIDE (2n): parked buys of 0, parked sells of 0, parked buys of 1 ...
    levels: np.ndarray  # LEVEL (four times the sum of ladder widths)
    words: np.ndarray  # uint64, the bitmaps
    orders: np.ndarray  # ORDER (c + 1)
    extras: np.ndarray  # EXTRA (c + 1)
    buckets: np.ndarray  # uint32 (power of two, at least 2c), slot
    chain: np.ndarray  # uint32 (c + 1), slot
    members: np.ndarray  # MEMBER (m)
    state: np.ndarray  # STATE (1)
    counts: np.ndarray  # COUNT, one a level; kept for the sides that are `counted`


def new_book(bands, references, members: int, max_orders: int, median=None, protection=None) -> Book:
    """An empty book.

    bands       (floor, ceiling) in ticks per instrument: what its ladders have rows for, and its band until limits are set
    references  reference price in ticks per instrument, stands for the last trade before there is one
    members     number of accounts, each its own self-match group
    max_orders  capacity of resting orders over all instruments
    median, protection   per instrument, see INSTRUMENT
    Errors      ValueError for an empty band, a band wider than bitmap.MAX_LEVELS, ladders of more than 2**32 levels
                together, more than 65,536 instruments, or no capacity
    """
    if not 0 < len(bands) <= 1 << 16:
        raise ValueError(f"instruments: {len(bands)} given, 1 to 65536 allowed")
    if not 0 < max_orders < 1 << 31:
        raise ValueError(f"max_orders: {max_orders} given, 1 to {(1 << 31) - 1} allowed")
    instruments = new_rows(len(bands), INSTRUMENT)
    sides, stops = new_rows(2 * len(bands), SIDE), new_rows(2 * len(bands), SIDE)
    levels = words = 0
    for number, (floor, ceiling) in enumerate(bands):
        width = ceiling - floor + 1
        if not 0 < width <= bitmap.MAX_LEVELS:
            raise ValueError(f"band {floor}..{ceiling}: {width} levels, 1 to {bitmap.MAX_LEVELS} allowed")
        instrument = instruments[number]
        instrument.floor, instrument.ceiling, instrument.last_price = floor, ceiling, references[number]
        instrument.ladder_floor, instrument.ladder_ceiling = floor, ceiling
        instrument.previous_settlement = references[number]
        instrument.low, instrument.low_before = 1, 1  # above high: no trades in the window
        instrument.phase = Phase.CONTINUOUS
        bids, asks = sides[2 * number], sides[2 * number + 1]
        parked_buys, parked_sells = stops[2 * number], stops[2 * number + 1]
        for side, slope, best_price in (
            (bids, -1, ceiling),
            (asks, 1, floor),
            (parked_buys, 1, floor),
            (parked_sells, -1, ceiling),
        ):
            side.first, side.end, side.best = levels, levels + width, levels + width
            side.slope, side.origin = slope, levels - slope * best_price
            side.words = words
            levels += width
            words += bitmap.words_needed(width)
    if levels >= 1 << 32:
        raise ValueError(f"bands: {levels} levels together, at most {(1 << 32) - 1} allowed")
    if median is not None:
        instruments["median"] = median
    if protection is not None:
        instruments["protection"] = protection
    blocks = 1 << max(1, (max_orders // 8 - 1).bit_length())
    accounts = new_rows(members, MEMBER)
    accounts["group"] = -1 - np.arange(members)  # groups that are given count from 0
    state = new_rows(1, STATE)
    state["used"] = 1  # slot 0 is nobody's
    return Book(
        instruments,
        sides,
        stops,
        new_rows(levels, LEVEL),
        np.zeros(words, np.uint64),
        new_rows(max_orders + 1, ORDER),
        new_rows(max_orders + 1, EXTRA),
        new_rows(16 * blocks, np.dtype(np.uint32)),
        np.zeros(max_orders + 1, np.uint32),
        accounts,
        state,
        new_rows(levels, COUNT),
    )


# Sides and prices ---------------------------------------------------------------------------------


@inlined
def own(book, instrument, side):
    """The SIDE on which an order of this Side rests. instrument: its index."""
    return book.sides[np.uint64(2 * instrument + side - 1)]


@inlined
def opposite(book, instrument, side):
    """The SIDE with which an order of this Side trades."""
    return book.sides[np.uint64(2 * instrument + 2 - side)]


@inlined
def parked(book, instrument, side):
    """The SIDE where a STOP or STOP_LIMIT order of this Side waits."""
    return book.stops[np.uint64(2 * instrument + side - 1)]


@inlined
def home(book, slot):
    """The SIDE that an order of the pool is in: of the book, or of the parked orders."""
    order = book.orders[slot]
    if order.terms & PARKED:
        return parked(book, np.int64(order.instrument), np.int64(order.side))
    return own(book, np.int64(order.instrument), np.int64(order.side))


@inlined
def row_of(side, price):
    """Row of a price in a SIDE's ladder. A better price has a lower row."""
    return side.origin + side.slope * price


@inlined
def price_of(side, row):
    """Price of a row of a SIDE's ladder, ticks."""
    return side.slope * (row - side.origin)


@inlined
def is_empty(side):
    """Does nothing rest on this SIDE?"""
    return side.best == side.end


@inlined
def crosses(book, instrument, side, limit):
    """Does an order of this Side at `limit` meet a resting one? instrument: its index."""
    against = opposite(book, instrument, side)
    return against.best <= row_of(against, limit)


@inlined
def next_row(book, side, row):
    """The first occupied row of a SIDE's ladder from `row` on, or its end."""
    if row >= side.end:
        return side.end
    level = bitmap.first_from(book.words, side.words, row - side.first)
    return side.first + level if level >= 0 else side.end


# Ids ----------------------------------------------------------------------------------------------


@inlined
def bucket_of(book, order_id):
    """Where the chain of an order id begins. Consecutive ids are neighbours and have buckets of their own."""
    return np.uint64((order_id ^ (order_id >> _FOLD)) & (len(book.buckets) - 1))


@inlined
def find(book, order_id):
    """Slot of a resting order, or NOBODY."""
    slot = book.buckets[bucket_of(book, order_id)]
    while rarely(slot != NOBODY and book.orders[slot].order_id != order_id):
        slot = book.chain[slot]
    return slot


@inlined
def index(book, slot, order_id):
    """Enter an order under its id, so that `find` returns its slot."""
    bucket = bucket_of(book, order_id)
    book.chain[slot] = book.buckets[bucket]
    book.buckets[bucket] = slot


@inlined
def forget(book, slot):
    """Free the slot of an order and remove its id. The order is in no level any more."""
    bucket = bucket_of(book, book.orders[slot].order_id)
    at = book.buckets[bucket]
    if not rarely(at != slot):
        book.buckets[bucket] = book.chain[slot]
    else:
        while book.chain[at] != slot:
            at = book.chain[at]
        book.chain[at] = book.chain[slot]
    state = book.state[0]
    book.orders[slot].next = state.free
    state.free = slot
    state.orders -= 1


@inlined
def new_slot(book):
    """Take a free slot. The caller has checked that there is one."""
    state = book.state[0]
    state.orders += 1
    slot = np.uint32(state.free)
    if rarely(slot == NOBODY):
        slot = np.uint32(state.used)
        state.used += 1
    else:
        state.free = book.orders[slot].next
        prefetch(book.orders, np.uint64(state.free))
    return slot


# Queues -------------------------------------------------------------------------------------------


@outlined
def count(book, slot, row, change):
    """An order has joined (1) or left (-1) a level of a side that is `counted`."""
    level = book.counts[np.uint64(row)]
    level.orders += change
    if book.orders[slot].terms & ICEBERG:
        level.icebergs += change


@inlined
def rest(book, side, slot, row):
    """Queue an order behind all others of its price. side: SIDE; row: of the price in its ladder."""
    level = book.levels[np.uint64(row)]
    order = book.orders[slot]
    tail = level.tail
    order.level = row
    order.links = np.int64(tail) << 32  # next NOBODY, previous the tail
    book.orders[tail].next = slot
    level.tail = slot
    level.quantity += order.leaves_quantity
    side.orders += 1
    if rarely(side.counted != 0):
        count(book, slot, np.int64(row), 1)
    if tail == NOBODY:
        level.head = slot
        bitmap.mark(book.words, side.words, row - side.first)
        side.best = min(side.best, row)


@inlined
def _ones_if_nobody(slot):
    """Every bit of an int64 set for NOBODY, none for an order."""
    return np.int64(slot) - 1 >> 63


@inlined
def unlink(book, side, slot):
    """Take an order out of its level. It keeps its slot and its id.

    Whether an order is the oldest of its level, the youngest or both cannot be predicted, and a mispredicted branch costs
    as much as the whole function. So it has no branches: masks choose what is written.
    """
    order = book.orders[slot]
    row = order.level
    level = book.levels[row]
    links, ends = order.links, level.ends
    older, younger = order.previous, order.next
    book.orders[older].next = younger
    book.orders[younger].previous = older
    oldest, youngest = _ones_if_nobody(older), _ones_if_nobody(younger)
    level.ends = ends ^ (
        (ends ^ links) & (oldest & 0xFFFF_FFFF | youngest << 32)
    )  # head the next one, tail the previous
    level.quantity -= order.leaves_quantity
    side.orders -= 1
    if rarely(side.counted != 0):
        count(book, slot, np.int64(row), -1)
    empty = links == 0
    bitmap.clear_if(book.words, side.words, np.int64(row) - side.first, empty)
    if rarely(empty and row == side.best):
        side.best = next_row(book, side, np.int64(row))
