"""Parked orders: stop orders that wait for the last trade to reach their trigger price. RULEBOOK 2.9 and 2.10.

They wait in ladders of their own (Book.stops), ordered by trigger price. They enter the market one after the other: each
may trade, move the last price and so trigger the next.
"""

import numpy as np

from matching import codes as c
from matching.book import own, parked, price_of, rest, row_of, unlink
from matching.breaker import interrupt, is_held_back, reach_of, trades_continuously
from matching.cancel import cancel_partner
from matching.events import Incoming, cancel_incoming, emit_order
from matching.execute import execute, limit_price, self_match_mode
from matching.extras import offset_flags, release
from matching.iceberg import conceal
from matching.jit import inlined, outlined
from matching.records import NOBODY, PARKED

MOST_TRIGGERED = 100  # by one command; after that an auction begins


@inlined
def first_reached(book, number):
    """Slot of the next parked order that the last price triggers, or NOBODY: buys before sells, nearest trigger, oldest."""
    last = book.instruments[np.uint64(number)].last_price
    buys, sells = parked(book, number, c.BUY), parked(book, number, c.SELL)
    if buys.best != buys.end and price_of(buys, buys.best) <= last:
        return book.levels[np.uint64(buys.best)].head
    if sells.best != sells.end and price_of(sells, sells.best) >= last:
        return book.levels[np.uint64(sells.best)].head
    return np.uint32(NOBODY)


@inlined
def trigger(book, events, at, command, slot):
    """TRIGGERED: a parked order enters the market. Returns (at, whether the circuit breaker held it back)."""
    order, extra = book.orders[slot], book.extras[slot]
    number, account, side = np.int64(order.instrument), np.int64(order.account), np.int64(order.side)
    leaves = order.leaves_quantity
    stop = extra.order_type == c.STOP
    unlink(book, parked(book, number, side), slot)
    book.instruments[np.uint64(number)].stops -= 1
    # no collar: a stop order must be able to close a position; protection and the band still bind it
    limit = limit_price(book, number, c.MARKET if stop else c.LIMIT, side, extra.price, c.NONE)
    flags = offset_flags(book, slot)
    entry = emit_order(book, events, at, command, order, c.TRIGGERED, c.OK, flags, limit, order.quantity, leaves)
    incoming = Incoming(entry, number, account, order.order_id, side, limit, flags)
    at = cancel_partner(book, events, at + 1, command, slot)
    order.terms &= ~PARKED & 255
    mode = self_match_mode(book, account, np.int64(extra.flag_bits))
    reach = reach_of(book, number, side, limit, command.time)
    at, leaves = execute(book, events, at, command, incoming, reach, leaves, mode, False)
    beyond = leaves != 0 and is_held_back(book, number, side, limit)
    if beyond and stop:
        at = cancel_incoming(book, events, at, command, incoming, leaves, c.VELOCITY)
        leaves = c.NONE
    order.leaves_quantity = leaves
    if leaves == 0:
        release(book, slot, False)
        return at, False
    ladder = own(book, number, side)
    rest(book, ladder, slot, row_of(ladder, limit))
    return conceal(book, events, at, command, slot, leaves), beyond


@outlined
def fire(book, events, at, command, number):
    """Trigger the parked orders that an instrument's last price has reached. Returns the next free row of events."""
    instrument = book.instruments[np.uint64(number)]
    triggered = 0
    while instrument.stops != 0 and trades_continuously(instrument):
        slot = first_reached(book, number)
        if slot == NOBODY:
            break
        if triggered == MOST_TRIGGERED:
            return interrupt(book, events, at, command, number, c.CASCADE)
        triggered += 1
        at, beyond = trigger(book, events, at, command, slot)
        if beyond:
            return interrupt(book, events, at, command, number, c.VELOCITY)
    return at
