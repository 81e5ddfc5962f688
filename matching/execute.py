"""An incoming order meets the other side of the book: prices, self-matches, trades. RULEBOOK 2.2, 2.5, 3 and 4.

`execute` is the loop, `trade` one match, `can_fill` the question whether enough could trade, asked before anything changes.
`plain` is their literal last parameter. True is the fast path: every order of the instrument is plain, and no circuit
breaker watches it. False is the general path; what it has beyond the other stands behind `if not plain`.

Helpers stand before those who use them, as the compiler wants it.
"""

import numpy as np

from matching import codes as c
from matching.book import crosses, is_empty, next_row, opposite, price_of, rest, row_of, unlink
from matching.breaker import note_trade, reach_after, trades_continuously
from matching.cancel import cancel_partner, withdraw
from matching.codes import RESTING_OFFSET
from matching.events import cancel_incoming, emit_incoming, number_trade
from matching.extras import offset_flags, release
from matching.iceberg import display
from matching.intrinsics import rarely, read_anew
from matching.jit import either, inlined
from matching.oco import trades_first
from matching.records import ICEBERG, NOBODY

# Prices -------------------------------------------------------------------------------------------


@inlined
def middle(a, b, c):
    """The median of three prices."""
    return max(min(a, b), min(max(a, b), c))


@inlined
def limit_price(book, number, order_type, side, price, collar):
    """The limit of an order, ticks: its own, or for a MARKET order the one of RULEBOOK 2.2. collar 0: none."""
    if not rarely(order_type == c.MARKET):
        return price
    instrument = book.instruments[number]
    against = opposite(book, number, side)
    limit = instrument.ceiling if side == c.BUY else instrument.floor
    if instrument.protection != 0 and not is_empty(against):
        best = price_of(against, against.best)
        limit = min(best + instrument.protection, limit) if side == c.BUY else max(best - instrument.protection, limit)
    if collar != 0:
        limit = max(min(limit, instrument.last_price + collar), instrument.last_price - collar)
        limit = max(min(limit, instrument.ceiling), instrument.floor)
    return limit


# Self-match prevention ----------------------------------------------------------------------------


@inlined
def self_match_mode(book, account, flags):
    """SelfMatch of an order: the flag of its command, or else the default of its account. RULEBOOK 4.2."""
    flags = flags & c.SELF_MATCH_FLAGS
    if flags == 0:
        return book.members[np.uint64(account)].self_match
    if flags == c.SMP_CANCEL_INCOMING:
        return c.CANCEL_INCOMING
    return c.CANCEL_RESTING if flags == c.SMP_CANCEL_RESTING else c.CANCEL_BOTH


@inlined
def is_self_match(book, account, other):
    """Are two accounts of one group? RULEBOOK 4.1."""
    return book.members[np.uint64(account)].group == book.members[np.uint64(other)].group


@inlined
def stops_incoming(book, level, mode, group):
    """Does a level hold an order at which self-match prevention cancels the incoming one?"""
    if mode != c.SELF_MATCH_ALLOWED and mode != c.CANCEL_RESTING:
        slot = level.head
        while slot != NOBODY:
            if book.members[np.uint64(book.orders[slot].account)].group == group:
                return True
            slot = book.orders[slot].next
    return False


# Trades -------------------------------------------------------------------------------------------


@inlined
def may_trade(book, number, side, limit, plain):
    """Is there reason to execute an order? On the fast path if it crosses, on the general one if the phase lets it trade."""
    return crosses(book, number, side, limit) if plain else trades_continuously(book.instruments[np.uint64(number)])


@either
def can_fill(book, number, side, limit, reach, quantity, mode, group, plain):
    """Could an order trade so many lots at once? Hidden lots count, orders of its own group do not. RULEBOOK 2.5, 2.12, 4.3.

    limit, reach    see execute
    """
    instrument = book.instruments[np.uint64(number)]
    against = opposite(book, number, side)
    last_price = instrument.last_price
    row = against.best
    while quantity > 0 and row <= row_of(against, reach):
        level = book.levels[np.uint64(row)]
        if plain and mode == c.SELF_MATCH_ALLOWED:
            quantity -= level.quantity
        else:
            stops = not plain and stops_incoming(book, level, mode, group)
            slot = level.head
            while slot != NOBODY and quantity > 0:
                order = book.orders[slot]
                if mode != c.SELF_MATCH_ALLOWED and book.members[np.uint64(order.account)].group == group:
                    if mode != c.CANCEL_RESTING:
                        return False
                elif plain:
                    quantity -= order.leaves_quantity
                elif trades_first(book, slot):
                    # hidden lots queue again behind the order that stops the incoming one
                    hides = stops and order.terms & ICEBERG != 0
                    quantity -= book.extras[slot].shown if hides else order.leaves_quantity
                    price = price_of(against, row)
                    last_price = middle(limit, price, last_price) if instrument.median != 0 else price
                    reach = reach_after(instrument, side, reach, last_price)
                slot = order.next
        row = next_row(book, against, row + 1)
    return quantity <= 0


@either
def trade(book, events, at, command, incoming, leaves, slot, plain):
    """Trade with the resting order in `slot`, which then leaves, stays or shows more of itself.

    leaves    lots open of the incoming order
    Returns   (at, lots left of the incoming order)
    """
    instrument = book.instruments[np.uint64(incoming.instrument)]
    order = book.orders[slot]
    level = book.levels[np.uint64(order.level)]
    ladder = opposite(book, incoming.instrument, incoming.side)
    limit = price_of(ladder, np.int64(order.level))
    most, flags = order.leaves_quantity, incoming.flags
    if not plain:
        if order.terms & ICEBERG:
            most = book.extras[slot].shown
        flags |= offset_flags(book, slot) << RESTING_OFFSET
    price = limit
    if rarely(instrument.median != 0):
        price = middle(incoming.limit, limit, instrument.last_price)
    traded = min(leaves, most)
    leaves -= traded
    order.leaves_quantity -= traded
    level.quantity -= traded
    instrument.last_price = price
    event = emit_incoming(book, events, at, command, incoming, c.TRADED, c.OK, flags, price, traded, leaves)
    number_trade(book, event, order, limit)
    at += 1
    if not plain:
        note_trade(instrument)
        if order.terms & ICEBERG:
            book.extras[slot].shown -= traded
        at = cancel_partner(book, events, at, command, slot)
    if order.leaves_quantity == 0:
        unlink(book, ladder, slot)
        release(book, slot, plain)
    elif not plain and order.terms & ICEBERG and traded == most:
        row = np.int64(order.level)
        unlink(book, ladder, slot)
        rest(book, ladder, slot, row)
        lots = min(book.extras[slot].display_quantity, order.leaves_quantity)
        at = display(book, events, at, command, slot, limit, lots)
    return at, leaves


@inlined
def execute(book, events, at, command, incoming, reach, leaves, mode, plain):
    """Match an incoming order against the opposite side: best price first, oldest first. RULEBOOK 3 and 4.

    incoming  Incoming
    reach     ticks: how far it may trade now. Its limit, or nearer where a circuit breaker watches (RULEBOOK 9.3)
    leaves    lots open, > 0
    mode      SelfMatch
    Returns   (at, leaves): next free row of events; lots left, 0 also when self-match prevention canceled them
    Cost      O(orders met)
    """
    instrument = book.instruments[np.uint64(incoming.instrument)]
    against = opposite(book, incoming.instrument, incoming.side)
    last_row = row_of(against, reach)
    while leaves > 0 and against.best <= last_row:
        slot = book.levels[np.uint64(against.best)].head
        other = np.int64(book.orders[slot].account)
        if rarely(mode != c.SELF_MATCH_ALLOWED and is_self_match(book, incoming.account, other)):
            read_anew()
            if mode != c.CANCEL_INCOMING:
                at = withdraw(book, events, at, command, slot, c.SELF_MATCH_RESTING, plain)
            if mode != c.CANCEL_RESTING:
                at = cancel_incoming(book, events, at, command, incoming, leaves, c.SELF_MATCH_INCOMING)
                leaves = c.NONE
            continue
        at, leaves = trade(book, events, at, command, incoming, leaves, slot, plain)
        if not plain:
            reach = reach_after(instrument, incoming.side, reach, instrument.last_price)
            last_row = row_of(against, reach)
    return at, leaves
