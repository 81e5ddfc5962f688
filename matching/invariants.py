"""What must hold in a book at every moment. A broken invariant is our mistake and stops the hub.

    check_book(exchange.book)        # AssertionError with the book printed, or nothing

Checked: queues are linked both ways and hold every resting order once; level quantities are the sums of their orders;
the bitmap marks just the levels that are not empty; `best` is the best of them; every order is found by its id; no
slot is lost; the two sides do not cross while the instrument trades continuously.
"""
import numpy as np

from matching.bitmap import first_from
from matching.book import Book, find, row_of
from matching.codes import Phase
from matching.jit import kernel
from matching.records import NOBODY

_CONTINUOUS = int(Phase.CONTINUOUS)
BROKEN = ("", "an empty level has a tail", "an order has no open quantity, or more than its total",
          "an order's level or side is not where it stands", "a queue is not linked both ways",
          "an order is not found by its id", "a level's quantity is not the sum of its orders",
          "the tail of a level is not its youngest order", "the bitmap does not mark an occupied level",
          "the bitmap marks an empty level", "best is not the best occupied level",
          "a side's count of orders is wrong", "the count of resting orders is wrong", "slots are lost",
          "a book is crossed")


@kernel
def broken_invariant(book):
    """(number in BROKEN, row of sides, row of levels or slot); number 0: all is well."""
    total = 0
    for number in range(len(book.sides)):
        side = book.sides[number]
        count, best, marked = 0, side.end, side.first - 1
        for row in range(side.first, side.end):
            level = book.levels[row]
            if level.head == NOBODY:
                if level.tail != NOBODY or level.quantity != 0:
                    return 1, number, row
                continue
            if best == side.end:
                best = row
            following = first_from(book.words, side.words, marked + 1 - side.first)
            if following < 0 or side.first + following > row:
                return 8, number, row
            if side.first + following < row:
                return 9, number, side.first + following
            marked = row
            quantity, older, slot = 0, np.uint32(NOBODY), level.head
            while slot != NOBODY:
                order = book.orders[slot]
                if order.leaves_quantity <= 0 or order.leaves_quantity > order.quantity:
                    return 2, number, np.int64(slot)
                if order.level != row or 2 * order.instrument + order.side - 1 != number:
                    return 3, number, np.int64(slot)
                if order.previous != older:
                    return 4, number, np.int64(slot)
                if find(book, order.order_id) != slot:
                    return 5, number, np.int64(slot)
                quantity += order.leaves_quantity
                count += 1
                if count > len(book.orders):
                    return 4, number, np.int64(slot)
                older, slot = slot, order.next
            if quantity != level.quantity:
                return 6, number, row
            if level.tail != older:
                return 7, number, row
        if marked + 1 < side.end and first_from(book.words, side.words, marked + 1 - side.first) >= 0:
            return 9, number, marked
        if side.best != best:
            return 10, number, best
        if side.orders != count:
            return 11, number, count
        total += count
    state = book.state[0]
    if state.orders != total:
        return 12, 0, total
    free, slot = 0, np.uint32(state.free)
    while slot != NOBODY and free <= state.used:
        free += 1
        slot = book.orders[slot].next
    if free + total != state.used - 1:
        return 13, 0, free
    for number in range(len(book.instruments)):
        bids, asks = book.sides[2 * number], book.sides[2 * number + 1]
        if book.instruments[number].phase == _CONTINUOUS and bids.best != bids.end and asks.best != asks.end:
            best_bid = bids.slope * (bids.best - bids.origin)
            if row_of(asks, best_bid) >= asks.best:
                return 14, 2 * number, bids.best
    return 0, 0, 0


def check_book(book: Book) -> None:
    """Raise AssertionError, with the book in the message, if anything that must hold does not."""
    number, side, where = broken_invariant(book)
    if number:
        raise AssertionError(f"{BROKEN[number]}: {'asks' if side & 1 else 'bids'} of instrument {side >> 1}, "
                             f"row or slot {where}\n{print_side(book, side)}")


def print_side(book: Book, number: int, most: int = 50) -> str:
    """One side of a book as text, best price first: price, quantity, and the orders as id:open quantity."""
    side = book.sides[number]
    lines: list[str] = []
    for row in range(side.first, side.end):
        level = book.levels[row]
        if level.head != NOBODY and len(lines) < most:
            slot = level.head
            orders: list[str] = []
            while slot != NOBODY and len(orders) < most:
                order = book.orders[slot]
                orders.append(f"{order.order_id}:{order.leaves_quantity}")
                slot = order.next
            lines.append(f"{side.slope * (row - side.origin):>10} {level.quantity:>10}  {' '.join(orders)}")
    return "\n".join(lines)
