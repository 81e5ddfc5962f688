"""Parked orders: stop orders that wait for the last trade to reach their trigger price. RULEBOOK 2.9 and 2.10.

They stand in ladders of their own (Book.stops) by trigger price, the first to be triggered best, and come to the market
one after the other: each may trade, move the last price, and so trigger the next.
"""

import numpy as np

from matching import codes as c
from matching.book import own, parked, price_of, rest, row_of, unlink
from matching.breaker import goes_on, interrupt, matches, reach_of
from matching.jit import inlined, outlined
from matching.kernel import emit, incoming_canceled, limit_price, self_match_mode
from matching.records import NOBODY, PARKED
from matching.terms import cancel_linked, conceal, execute_any, leave, offset_flags

MOST_TRIGGERED = 100  # by one command; more of them become an auction


@inlined
def first_reached(book, number):
    """Slot of the parked order that the last price triggers first, or NOBODY: buys before sells, nearest trigger, oldest."""
    last = book.instruments[np.uint64(number)].last_price
    buys, sells = parked(book, number, c.BUY), parked(book, number, c.SELL)
    if buys.best != buys.end and price_of(buys, buys.best) <= last:
        return book.levels[np.uint64(buys.best)].head
    if sells.best != sells.end and price_of(sells, sells.best) >= last:
        return book.levels[np.uint64(sells.best)].head
    return np.uint32(NOBODY)


@inlined
def trigger(book, events, at, command, slot):
    """A parked order enters the market. Returns (at, whether the circuit breaker ends continuous trading)."""
    order, extra = book.orders[slot], book.extras[slot]
    number, account, side = np.int64(order.instrument), np.int64(order.account), np.int64(order.side)
    leaves = order.leaves_quantity
    stop = extra.order_type == c.STOP
    unlink(book, parked(book, number, side), slot)
    book.instruments[np.uint64(number)].stops -= 1
    # the collar does not bind it: a stop must get out, within protection and the band
    limit = limit_price(book, number, c.MARKET if stop else c.LIMIT, side, extra.price, 0)
    flags = np.int64(offset_flags(book, slot))
    emit(
        book,
        events,
        at,
        command,
        order,
        c.TRIGGERED,
        c.OK,
        number,
        account,
        side,
        flags,
        order.order_id,
        limit,
        order.quantity,
        leaves,
    )
    at = cancel_linked(book, events, at + 1, command, slot)
    order.terms &= ~PARKED & 255
    mode = self_match_mode(book, account, np.int64(extra.flag_bits))
    reach = reach_of(book, number, side, limit, command.time)
    at, leaves = execute_any(
        book, events, at, command, order, number, account, order.order_id, side, limit, reach, leaves, mode, flags
    )
    beyond = leaves != 0 and goes_on(book, number, side, limit)
    if beyond and stop:
        at = incoming_canceled(
            book, events, at, command, order, number, account, order.order_id, side, limit, leaves, c.VELOCITY, flags
        )
        leaves = 0
    order.leaves_quantity = leaves
    if leaves == 0:
        leave(book, slot)
        return at, False
    ladder = own(book, number, side)
    rest(book, ladder, slot, row_of(ladder, limit))
    return conceal(book, events, at, command, slot, leaves), beyond


@outlined
def fire(book, events, at, command, number):
    """Trigger the parked orders that an instrument's last price has reached. Returns the next free row of events."""
    instrument = book.instruments[np.uint64(number)]
    triggered = 0
    while instrument.stops != 0 and matches(instrument):
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
