"""AMEND: a resting or parked order gets another price or quantity, and keeps its place if only the quantity falls. RULEBOOK 6.

`plain` is the literal last parameter of `amend`: True on the fast path, see jit.py.
"""

import numpy as np

from matching import codes as c
from matching.book import find, own, parked, price_of, rest, row_of, unlink
from matching.breaker import interrupt, is_held_back, reach_of
from matching.cancel import cancel_partner, withdraw
from matching.events import Incoming, emit_order
from matching.execute import execute, may_trade, self_match_mode
from matching.extras import offset_flags, release
from matching.iceberg import conceal, reveal
from matching.jit import inlined
from matching.records import NOBODY, PARKED


@inlined
def resting_order(book, command):
    """Slot of the order a CANCEL or AMEND means, or NOBODY: it must be open and be the account's (RULEBOOK 5.4)."""
    slot = find(book, command.order_id)
    if slot != NOBODY:
        order = book.orders[slot]
        if order.account != command.account or order.instrument != command.instrument:
            return np.uint32(NOBODY)
    return slot


@inlined
def open_after_amend(order, command):
    """The open quantity that an AMEND asks for, lots; zero or less: nothing would be left. RULEBOOK 6.1."""
    if command.flag_bits & c.OPEN_QUANTITY:
        return command.quantity
    return command.quantity - (order.quantity - order.leaves_quantity)


@inlined
def change_quantity(book, events, at, command, slot, ladder, leaves, price, bound, keeps_place, flags):
    """AMENDED: give an order another open quantity, and take it out of its level unless it keeps its place.

    leaves    lots open from now on
    price     ticks, its limit from now on
    bound     ticks: the limit before, or of a parked order the trigger from now on
    """
    order = book.orders[slot]
    open_before = order.leaves_quantity
    if keeps_place:
        book.levels[order.level].quantity += leaves - open_before
    else:
        unlink(book, ladder, slot)
    order.quantity += leaves - open_before
    order.leaves_quantity = leaves
    event = emit_order(book, events, at, command, order, c.AMENDED, c.OK, flags, price, order.quantity, leaves)
    event.open_before = open_before
    event.price_before = bound
    return at + 1


@inlined
def amend_parked(book, events, at, command, slot, leaves, flags):
    """AMEND of a parked order: price, quantity and trigger. RULEBOOK 2.9."""
    order, extra = book.orders[slot], book.extras[slot]
    ladder = parked(book, np.int64(order.instrument), np.int64(order.side))
    trigger = command.trigger_price
    keeps_place = trigger == extra.trigger_price and leaves <= order.leaves_quantity
    if extra.order_type != c.STOP:
        extra.price = command.price
    extra.trigger_price = trigger
    at = change_quantity(
        book, events, at, command, slot, ladder, leaves, extra.price, trigger, keeps_place, flags | c.PARKED
    )
    if not keeps_place:
        rest(book, ladder, slot, row_of(ladder, trigger))
    return at


@inlined
def amend(book, events, at, command, slot, plain):
    """AMEND: keep the place if the price stays and the quantity does not grow; else leave, execute and rest again.

    Returns   the next free row of events
    """
    order = book.orders[slot]
    number, account, side = np.int64(command.instrument), np.int64(command.account), np.int64(order.side)
    price, leaves = command.price, open_after_amend(order, command)
    if leaves <= 0:
        return withdraw(book, events, at, command, slot, c.AMENDED_TO_FILLED, plain)
    flags, offset = np.int64(command.flag_bits), c.NONE
    if not plain:
        offset = offset_flags(book, slot)
        flags = flags & ~c.OFFSET_FLAGS | offset
        if order.terms & PARKED:
            return amend_parked(book, events, at, command, slot, leaves, flags)
    ladder = own(book, number, side)
    price_before = price_of(ladder, np.int64(order.level))
    keeps_place = price == price_before and leaves <= order.leaves_quantity
    if not plain:
        shown = book.extras[slot].shown
        at = reveal(book, events, at, command, slot)
    at = change_quantity(book, events, at, command, slot, ladder, leaves, price, price_before, keeps_place, flags)
    if keeps_place:
        return at if plain else conceal(book, events, at, command, slot, shown)
    interrupted = False
    if may_trade(book, number, side, price, plain):
        incoming = Incoming(events[np.uint64(at - 1)], number, account, order.order_id, side, price, offset)
        mode = self_match_mode(book, account, np.int64(command.flag_bits))
        reach = price if plain else reach_of(book, number, side, price, command.time)
        trades = book.state[0].trade_id
        at, leaves = execute(book, events, at, command, incoming, reach, leaves, mode, plain)
        order.leaves_quantity = leaves
        if not plain:
            if book.state[0].trade_id != trades:
                at = cancel_partner(book, events, at, command, slot)
            interrupted = leaves != 0 and is_held_back(book, number, side, price)
    if leaves == 0:
        release(book, slot, plain)
        return at
    rest(book, ladder, slot, row_of(ladder, price))
    if not plain:
        at = conceal(book, events, at, command, slot, leaves)
        if interrupted:
            at = interrupt(book, events, at, command, number, c.VELOCITY)
    return at
