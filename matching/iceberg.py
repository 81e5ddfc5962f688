"""Icebergs: orders that show a part of their quantity at a time. RULEBOOK 2.11.

EXTRA.shown is what one shows, and DISPLAYED reports each change of it. Whatever concerns the whole order (a cancel, an
amendment, an auction) first reveals all of it, so that an observer of the events always knows what a level shows.
"""

import numpy as np

from matching import codes as c
from matching.book import own, price_of
from matching.events import emit_order
from matching.jit import inlined
from matching.records import ICEBERG, PARKED


@inlined
def is_iceberg(command):
    """Does an ENTER hide a part of its quantity?"""
    return 0 < command.display_quantity < command.quantity


@inlined
def resting_price(book, slot):
    """Price of a resting order, ticks."""
    order = book.orders[slot]
    return price_of(own(book, np.int64(order.instrument), np.int64(order.side)), np.int64(order.level))


@inlined
def display(book, events, at, command, slot, price, lots):
    """DISPLAYED: an iceberg shows so many lots from now on."""
    order, extra = book.orders[slot], book.extras[slot]
    event = emit_order(book, events, at, command, order, c.DISPLAYED, c.OK, c.NONE, price, lots, order.leaves_quantity)
    event.shown_before = extra.shown
    extra.shown = lots
    return at + 1


@inlined
def reveal(book, events, at, command, slot):
    """A resting iceberg shows all it has. Other orders stay as they are."""
    order = book.orders[slot]
    if order.terms & ICEBERG and not order.terms & PARKED:
        return display(book, events, at, command, slot, resting_price(book, slot), order.leaves_quantity)
    return at


@inlined
def conceal(book, events, at, command, slot, most):
    """An iceberg that has come to rest shows its display quantity, or `most` lots, or what is left, whichever is least."""
    order, extra = book.orders[slot], book.extras[slot]
    if order.terms & ICEBERG:
        extra.shown = order.leaves_quantity
        lots = min(extra.display_quantity, most, order.leaves_quantity)
        return display(book, events, at, command, slot, resting_price(book, slot), lots)
    return at
