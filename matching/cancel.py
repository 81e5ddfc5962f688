"""Orders that leave the book without trading: one that is meant, the partner of an OCO, or many at once.

`withdraw` is the step for one order. `plain` is its literal last parameter: True on the fast path, see jit.py.
"""

import numpy as np

from matching import codes as c
from matching.book import find, home, is_empty, next_row, opposite, own, price_of, unlink
from matching.codes import ALL
from matching.events import emit_order
from matching.extras import offset_flags, release
from matching.iceberg import reveal
from matching.jit import either, inlined, outlined
from matching.oco import leave_oco
from matching.records import NOBODY, PARKED, TIME_IN_FORCE

EVERY_TIME = np.int64(-1)  # mass_cancel: whatever the time in force


@either
def withdraw(book, events, at, command, slot, reason, plain):
    """Cancel an order of the book. An iceberg is revealed first; a parked order leaves the ladder where it waits."""
    order = book.orders[slot]
    side = own(book, np.int64(order.instrument), np.int64(order.side))
    flags = c.NONE
    if not plain:
        at = reveal(book, events, at, command, slot)
        side = home(book, slot)
        flags = offset_flags(book, slot)
    open_quantity = order.leaves_quantity
    unlink(book, side, slot)
    price = price_of(side, np.int64(order.level))
    if not plain and order.terms & PARKED:
        flags |= c.PARKED
        price = book.extras[slot].price
        book.instruments[np.uint64(order.instrument)].stops -= 1
    emit_order(book, events, at, command, order, c.CANCELED, reason, flags, price, open_quantity, c.NONE)
    release(book, slot, plain)
    return at + 1


@outlined
def cancel_partner(book, events, at, command, slot):
    """Cancel the OCO partner, if any, of the order in `slot`, which has traded or was triggered. RULEBOOK 2.14."""
    other = leave_oco(book, slot)
    if other != NOBODY:
        return withdraw(book, events, at, command, other, c.LINKED, False)
    return at


@inlined
def withdraw_side(book, events, at, command, ladder, account, times, reason):
    """Cancel the orders of one SIDE: of an account (or ALL), with one of the times in force whose bits `times` has.

    Returns   (at, canceled)
    """
    canceled = 0
    row = ladder.best
    while row != ladder.end:
        slot = book.levels[row].head
        while slot != NOBODY:
            order = book.orders[slot]
            younger = order.next
            time_in_force = np.int64(order.terms & TIME_IN_FORCE)
            why = reason
            chosen = times == EVERY_TIME or times >> time_in_force & 1 != 0
            if times != EVERY_TIME and time_in_force == c.GTD:
                chosen = chosen and book.extras[slot].expire_date <= book.state[0].trading_date
                why = c.DATE_REACHED
            if chosen and (account == ALL or order.account == account):
                at = withdraw(book, events, at, command, slot, why, False)
                canceled += 1
            slot = younger
        row = next_row(book, ladder, row + 1)
    return at, canceled


@inlined
def has_no_bid(book, number):
    """Is there an offer in a one-sided auction, and no bid for it yet?"""
    slot = find(book, book.instruments[number].initiator)
    return slot != NOBODY and is_empty(opposite(book, np.int64(number), np.int64(book.orders[slot].side)))


@outlined
def mass_cancel(book, events, at, command, instrument, account, side, reason, times):
    """Cancel every order of an instrument (or ALL), account (or ALL) and side (or 0).

    Instruments in order; bids, asks, parked buys, parked sells; best price first, oldest first. RULEBOOK 2.3.
    times     bits of the times in force meant, or EVERY_TIME; with bits, GTD orders are canceled only if their date has come
    Returns   (at, canceled)
    """
    canceled = 0
    for number in range(len(book.instruments)):
        if instrument != ALL and instrument != number:
            continue
        instrument_row = book.instruments[number]
        if reason == c.MASS_CANCEL_REASON and (
            instrument_row.phase == c.AUCTION_ENTRY_ONLY
            or (instrument_row.mechanism == c.ONE_SIDED and not has_no_bid(book, number))
        ):
            continue  # 8.9; 13.2: bids of a one-sided auction stay, and so does the offer once there is one
        for place in range(4):
            row = 2 * number + (place & 1)
            if side == 0 or side == (place & 1) + 1:
                ladder = book.sides[row] if place < 2 else book.stops[row]
                at, some = withdraw_side(book, events, at, command, ladder, account, times, reason)
                canceled += some
    return at, canceled
