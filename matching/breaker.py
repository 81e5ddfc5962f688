"""The circuit breaker: how far an order may trade now, and when an auction replaces trading. RULEBOOK 9.3 and 8.8.

INSTRUMENT.velocity is how many ticks trades may move within the window. Time is divided into slices of half a window; the
trades of the current slice and of the one before count.
"""

import numpy as np

from matching import codes as c
from matching.book import crosses
from matching.events import emit_phase
from matching.jit import inlined


@inlined
def trades_continuously(instrument):
    """Do orders of the instrument trade as soon as they arrive?"""
    return (
        instrument.phase == c.CONTINUOUS or instrument.phase == c.LIMIT_LOCKED
    ) and instrument.mechanism == c.ORDER_BOOK


@inlined
def forget_slices(instrument):
    """Forget all trades."""
    instrument.low, instrument.high = 1, 0
    instrument.low_before, instrument.high_before = 1, 0


@inlined
def reach_of(book, number, side, limit, time):
    """How far an incoming order may trade now, ticks: its limit, or nearer as the range of recent trades demands."""
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
    """The reach of an order after it has traded at `price`: its own trades count too. RULEBOOK 9.3."""
    if instrument.velocity == 0:
        return reach
    return min(reach, price + instrument.velocity) if side == c.BUY else max(reach, price - instrument.velocity)


@inlined
def note_trade(instrument):
    """Count the last price as a trade of the current slice."""
    price = instrument.last_price
    if instrument.velocity == 0:
        return
    if instrument.low > instrument.high:
        instrument.low, instrument.high = price, price
    else:
        instrument.low = min(instrument.low, price)
        instrument.high = max(instrument.high, price)


@inlined
def is_held_back(book, number, side, limit):
    """Does the circuit breaker alone keep an order that has been executed from trading on?"""
    return book.instruments[np.uint64(number)].velocity != 0 and crosses(book, number, side, limit)


@inlined
def interrupt(book, events, at, command, number, reason):
    """PHASE: the hub itself changes continuous trading into a call auction. RULEBOOK 8.8."""
    instrument = book.instruments[np.uint64(number)]
    instrument.phase = c.CALL_AUCTION
    instrument.locked = 0  # 9.4: the day no longer counts as limit-locked
    return emit_phase(book, events, at, command, number, c.CALL_AUCTION, reason)
