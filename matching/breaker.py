"""The circuit breaker: how far an order may trade now, and when trading goes over into an auction. RULEBOOK 9.3 and 8.8.

Time is cut into slices of half a window; what counts are the trades of the present slice and of the one before.
"""

import numpy as np

from matching import codes as c
from matching.jit import inlined
from matching.kernel import crosses, emit, nameless


@inlined
def matches(instrument):
    """Do orders of the instrument trade as they come?"""
    return (
        instrument.phase == c.CONTINUOUS or instrument.phase == c.LIMIT_LOCKED
    ) and instrument.mechanism == c.ORDER_BOOK


@inlined
def forget_slices(instrument):
    """No trade is remembered."""
    instrument.low, instrument.high = 1, 0
    instrument.low_before, instrument.high_before = 1, 0


@inlined
def reach_of(book, number, side, limit, time):
    """How far an incoming order may trade now, ticks: its limit, or what the range of late trades allows."""
    instrument = book.instruments[np.uint64(number)]
    if instrument.velocity == 0:
        return limit
    part = time // max(instrument.velocity_window // 2, 1)
    if part != instrument.slice:
        low, high = (instrument.low, instrument.high) if part == instrument.slice + 1 else (1, 0)
        instrument.low_before, instrument.high_before = low, high
        instrument.low, instrument.high = 1, 0
        instrument.slice = part
    low, high = instrument.low, instrument.high
    if instrument.low_before <= instrument.high_before:
        low = instrument.low_before if low > high else min(low, instrument.low_before)
        high = instrument.high_before if instrument.low > instrument.high else max(high, instrument.high_before)
    if low > high:
        low, high = instrument.last_price, instrument.last_price
    return min(limit, low + instrument.velocity) if side == c.BUY else max(limit, high - instrument.velocity)


@inlined
def reach_after(instrument, side, reach, price):
    """How far the order may go on that has just traded at `price`: its own trades count too. RULEBOOK 9.3."""
    if instrument.velocity == 0:
        return reach
    return min(reach, price + instrument.velocity) if side == c.BUY else max(reach, price - instrument.velocity)


@inlined
def note_trade(instrument):
    """The last price is that of a trade of the present slice."""
    price = instrument.last_price
    if instrument.velocity == 0:
        return
    if instrument.low > instrument.high:
        instrument.low, instrument.high = price, price
    else:
        instrument.low = min(instrument.low, price)
        instrument.high = max(instrument.high, price)


@inlined
def goes_on(book, number, side, limit):
    """Would an order that has traded as far as it may now go on? Only the circuit breaker stops one."""
    return book.instruments[np.uint64(number)].velocity != 0 and crosses(book, number, side, limit)


@inlined
def interrupt(book, events, at, command, number, reason):
    """The hub itself turns continuous trading into a call auction. RULEBOOK 8.8."""
    instrument = book.instruments[np.uint64(number)]
    instrument.phase = c.CALL_AUCTION
    instrument.locked = 0  # 9.4: it will not have closed locked
    emit(
        book,
        events,
        at,
        command,
        command,
        c.PHASE,
        reason,
        number,
        c.NONE,
        c.NONE,
        c.NONE,
        c.NONE,
        c.NONE,
        c.CALL_AUCTION,
        c.NONE,
    )
    nameless(events[np.uint64(at)])
    return at + 1
