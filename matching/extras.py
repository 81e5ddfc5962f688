"""What only some orders have: display quantity, trigger, offset flags, a date, a partner. One row of EXTRA each.

An order that has any of it is MARKED in ORDER.terms, and the row of EXTRA with the number of its slot is its own. Other
rows hold what an earlier order left there and are not read.
"""

import numpy as np

from matching import codes as c
from matching.book import forget
from matching.jit import inlined
from matching.oco import leave_oco
from matching.records import MARKED


@inlined
def watch(instrument):
    """Bring INSTRUMENT.watched up to date: with a MARKED order or a circuit breaker, orders take the general path."""
    instrument.watched = 1 if instrument.marked != 0 or instrument.velocity != 0 else 0


@inlined
def clear_extra(extra):
    """Remove what an earlier order left in a row of EXTRA."""
    extra.price = 0
    extra.trigger_price = 0
    extra.display_quantity = 0
    extra.shown = 0
    extra.minimum_quantity = 0
    extra.linked = 0
    extra.flag_bits = 0
    extra.expire_date = 0
    extra.counterparty = 0
    extra.order_type = 0
    extra.rows = 0


@inlined
def mark(book, slot):
    """Give an order its row of EXTRA, if it has none yet."""
    order = book.orders[slot]
    if not order.terms & MARKED:
        order.terms |= MARKED
        clear_extra(book.extras[slot])
        instrument = book.instruments[np.uint64(order.instrument)]
        instrument.marked += 1
        watch(instrument)


@inlined
def offset_flags(book, slot):
    """The offset flags of an order of the book, which its events carry."""
    return np.int64(book.extras[slot].flag_bits) & c.OFFSET_FLAGS if book.orders[slot].terms & MARKED else c.NONE


@inlined
def release(book, slot, plain):
    """Give back the slot of an order that has left its level, and its share of the room for events."""
    if not plain:
        order = book.orders[slot]
        if order.terms & MARKED:
            leave_oco(book, slot)
            book.state[0].extra_rows -= book.extras[slot].rows
            instrument = book.instruments[np.uint64(order.instrument)]
            instrument.marked -= 1
            watch(instrument)
    forget(book, slot)
