"""One cancels the other (OCO): two orders of which one is canceled when the other trades or is triggered. RULEBOOK 2.14.

Both are of one account, instrument and side. Each has the bit OCO in ORDER.terms and the slot of its partner in EXTRA.linked.
STATE.pairs counts those of which neither is parked: only they can be in the way of each other when one order, or an
auction, takes several levels. Then the better placed one trades, and the other is canceled before it could.
"""

import numpy as np

from matching.jit import inlined, outlined
from matching.records import NOBODY, OCO, PARKED

_SEEN = np.uint32(1 << 31)  # a bit of EXTRA.flag_bits that is no Flag; see lots_without_partners


@inlined
def are_in_book(book, slot, other):
    """Is neither of two orders parked?"""
    return not (book.orders[slot].terms | book.orders[other].terms) & PARKED


@inlined
def join_oco(book, slot, other):
    """Make partners of two MARKED orders."""
    for one, two in ((slot, other), (other, slot)):
        book.orders[one].terms |= OCO
        book.extras[one].linked = two
    if are_in_book(book, slot, other):
        book.state[0].pairs += 1


@inlined
def leave_oco(book, slot):
    """End the link of an order with its partner. Returns the partner's slot, or NOBODY if it has none."""
    if book.orders[slot].terms & OCO:
        other = np.uint32(book.extras[slot].linked)
        if are_in_book(book, slot, other):
            book.state[0].pairs -= 1
        book.orders[slot].terms &= ~OCO & 255
        book.orders[other].terms &= ~OCO & 255
        return other
    return np.uint32(NOBODY)


@inlined
def trades_first(book, slot):
    """Can a resting order still be there when its turn comes? Not if its partner trades before it does."""
    order = book.orders[slot]
    if not order.terms & OCO:
        return True
    other = book.extras[slot].linked
    partner = book.orders[other]
    if partner.terms & PARKED or partner.level > order.level:
        return True
    if partner.level < order.level:
        return False
    older = order.previous
    while older != NOBODY and older != other:
        older = book.orders[older].previous
    return older == NOBODY


@outlined
def lots_without_partners(book, row):
    """Lots of a level, less those of orders whose partner trades before they do.

    Where both partners are in this level, the first that the walk meets leaves a mark at the second, which takes it away
    again when it is reached. So the walk costs O(orders) and no mark outlives it.
    """
    lots = np.int64(0)
    slot = book.levels[np.uint64(row)].head
    while slot != NOBODY:
        order, extra = book.orders[slot], book.extras[slot]
        other = np.uint32(extra.linked) if order.terms & OCO else np.uint32(NOBODY)
        counts = True
        if other != NOBODY and not book.orders[other].terms & PARKED:
            if book.orders[other].level != order.level:
                counts = book.orders[other].level > order.level
            elif extra.flag_bits & _SEEN:
                extra.flag_bits &= ~_SEEN
                counts = False
            else:
                book.extras[other].flag_bits |= _SEEN
        if counts:
            lots += order.leaves_quantity
        slot = order.next
    return lots


@inlined
def lots_at(book, row):
    """Lots of an occupied level that can trade, hidden ones included."""
    if book.state[0].pairs != 0:
        return lots_without_partners(book, row)
    return book.levels[np.uint64(row)].quantity
