"""What must hold in a book at any time. A broken invariant is an error of this program.

    check_book(exchange.book)        # AssertionError with the book printed, or nothing

Checked, for the sides of the book and the ladders of parked orders: queues are linked both ways and hold every order once;
level quantities are the sums of their orders; the bitmap marks exactly the levels that are not empty; `best` is the best
of them; every order is found by its id; no slot is lost. OCO partners point to each other, an iceberg shows a part of what
it has, STATE.extra_rows is the sum over the orders. While an instrument trades continuously its sides do not cross and no
trigger of a parked order has been reached.
"""

import numpy as np

from matching.bitmap import first_from
from matching.book import Book, find, is_empty, price_of
from matching.breaker import trades_continuously
from matching.jit import inlined, kernel
from matching.records import ICEBERG, MARKED, NOBODY, OCO, PARKED
from matching.triggers import first_reached

BROKEN = (
    "",
    "an empty level has a tail",
    "an order has no open quantity, or more than its total",
    "an order's level or side is not where it stands",
    "a queue is not linked both ways",
    "an order is not found by its id",
    "a level's quantity is not the sum of its orders",
    "the tail of a level is not its youngest order",
    "the bitmap does not mark an occupied level",
    "the bitmap marks an empty level",
    "best is not the best occupied level",
    "a side's count of orders is wrong",
    "the count of open orders is wrong",
    "slots are lost",
    "a book is crossed",
    "the terms of an order contradict each other",
    "the count of parked orders is wrong",
    "the second allowance is not what orders take of it",
    "a parked order should have been triggered",
    "the orders of a level are not counted right",
)


@inlined
def terms_hold(book, slot, waits):
    """Do the traits of an order agree with its EXTRA and with the ladder it is in? waits: that of parked orders."""
    order, extra = book.orders[slot], book.extras[slot]
    if (order.terms & PARKED != 0) != waits:
        return False
    if order.terms & (ICEBERG | OCO | PARKED) and not order.terms & MARKED:
        return False
    if (
        order.terms & ICEBERG
        and not waits
        and not 0 < extra.shown <= min(extra.display_quantity, order.leaves_quantity)
    ):
        return False
    if order.terms & OCO:
        other = np.uint32(extra.linked)
        partner = book.orders[other]
        return (
            partner.terms & OCO
            and book.extras[other].linked == slot
            and partner.account == order.account
            and partner.instrument == order.instrument
            and partner.side == order.side
            and find(book, partner.order_id) == other
        )
    return True


@inlined
def broken_side(book, side, number, waits):
    """(number in BROKEN, row of levels or slot, orders, sum of EXTRA.rows) of one SIDE. number: its row of sides."""
    count, best, marked, rows = 0, side.end, side.first - 1, 0
    counted = side.counted != 0
    for row in range(side.first, side.end):
        level = book.levels[row]
        if level.head == NOBODY:
            if level.tail != NOBODY or level.quantity != 0:
                return 1, row, 0, 0
            if counted and (book.counts[row].orders != 0 or book.counts[row].icebergs != 0):
                return 19, row, 0, 0
            continue
        if best == side.end:
            best = row
        following = first_from(book.words, side.words, marked + 1 - side.first)
        if following < 0 or side.first + following > row:
            return 8, row, 0, 0
        if side.first + following < row:
            return 9, side.first + following, 0, 0
        marked = row
        quantity, older, slot, orders, icebergs = 0, np.uint32(NOBODY), level.head, 0, 0
        while slot != NOBODY:
            order = book.orders[slot]
            if order.leaves_quantity <= 0 or order.leaves_quantity > order.quantity:
                return 2, np.int64(slot), 0, 0
            if order.level != row or 2 * order.instrument + order.side - 1 != number:
                return 3, np.int64(slot), 0, 0
            if order.previous != older:
                return 4, np.int64(slot), 0, 0
            if find(book, order.order_id) != slot:
                return 5, np.int64(slot), 0, 0
            if not terms_hold(book, slot, waits):
                return 15, np.int64(slot), 0, 0
            rows += book.extras[slot].rows if order.terms & MARKED else 0
            quantity += order.leaves_quantity
            orders += 1
            icebergs += 1 if order.terms & ICEBERG else 0
            count += 1
            if count > len(book.orders):
                return 4, np.int64(slot), 0, 0
            older, slot = slot, order.next
        if quantity != level.quantity:
            return 6, row, 0, 0
        if level.tail != older:
            return 7, row, 0, 0
        if counted and (book.counts[row].orders != orders or book.counts[row].icebergs != icebergs):
            return 19, row, 0, 0
    if marked + 1 < side.end and first_from(book.words, side.words, marked + 1 - side.first) >= 0:
        return 9, marked, 0, 0
    if side.best != best:
        return 10, best, 0, 0
    if side.orders != count:
        return 11, count, 0, 0
    return 0, 0, count, rows


@kernel
def broken_invariant(book):
    """(number in BROKEN, row of sides, or of stops after them, row of levels or slot); number 0: nothing is broken."""
    total, rows, sides = 0, 0, len(book.sides)
    for number in range(2 * sides):
        waits = number >= sides
        side = book.stops[number - sides] if waits else book.sides[number]
        broken, where, count, taken = broken_side(book, side, number - sides if waits else number, waits)
        if broken != 0:
            return broken, number, where
        total += count
        rows += taken
    state = book.state[0]
    if state.orders != total:
        return 12, 0, total
    if state.extra_rows != rows:
        return 17, 0, rows
    free, slot = 0, np.uint32(state.free)
    while slot != NOBODY and free <= state.used:
        free += 1
        slot = book.orders[slot].next
    if free + total != state.used - 1:
        return 13, 0, free
    for number in range(len(book.instruments)):
        instrument = book.instruments[number]
        bids, asks = book.sides[2 * number], book.sides[2 * number + 1]
        buys, sells = book.stops[2 * number], book.stops[2 * number + 1]
        if instrument.stops != buys.orders + sells.orders:
            return 16, 2 * number, instrument.stops
        if not trades_continuously(instrument):
            continue
        if not is_empty(bids) and not is_empty(asks) and price_of(bids, bids.best) >= price_of(asks, asks.best):
            return 14, 2 * number, bids.best
        if first_reached(book, number) != NOBODY:
            return 18, 2 * number, np.int64(first_reached(book, number))
    return 0, 0, 0


def check_book(book: Book) -> None:
    """Raise AssertionError, with the side of the book in the message, if an invariant is broken."""
    number, side, where = broken_invariant(book)
    if number:
        parked, row = divmod(int(side), len(book.sides))
        raise AssertionError(
            f"{BROKEN[number]}: {'parked ' * parked}{'asks' if row & 1 else 'bids'} of instrument {row >> 1}, "
            f"row or slot {where}\n{print_side(book, (book.stops if parked else book.sides)[row])}"
        )


def print_side(book: Book, side: np.record, most: int = 50) -> str:
    """One SIDE of a book as text, best price first: price, quantity, and the orders as id:open quantity."""
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
