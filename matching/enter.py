"""ENTER: an order is accepted, trades, and what is left rests, is parked or is canceled. RULEBOOK 2 and 3.

The caller (exchange/engine/lanes.py) has checked the command and guarantees room for the events. `plain` is the literal
last parameter of the steps: True on the fast path, for a plain order in a plain market; see jit.py.
"""

import numpy as np

from matching import codes as c
from matching.book import find, index, new_slot, own, parked, rest, row_of
from matching.breaker import interrupt, is_held_back, reach_of
from matching.cancel import withdraw
from matching.events import Incoming, cancel_incoming, emit, emit_named
from matching.execute import can_fill, execute, may_trade, self_match_mode
from matching.extras import mark
from matching.iceberg import conceal, is_iceberg
from matching.intrinsics import copy_fields, rarely
from matching.jit import inlined
from matching.oco import join_oco, leave_oco
from matching.records import ICEBERG, ICEBERG_ROWS, NOBODY, PARKED, PARKED_ROWS


@inlined
def is_parked_type(order_type):
    """Does an order of this type wait for its trigger?"""
    return order_type >= c.STOP


@inlined
def rows_of(command):
    """What an ENTER takes of the second allowance for events (RULEBOOK 2.8)."""
    rows = ICEBERG_ROWS if is_iceberg(command) else 0
    return rows + PARKED_ROWS if is_parked_type(command.order_type) else rows


@inlined
def partner_of(book, command):
    """Slot of the order that an ENTER is to be the OCO partner of, or NOBODY."""
    return find(book, command.order_id) if command.order_id != 0 else np.uint32(NOBODY)


@inlined
def make_partners(book, slot, other):
    """Link an order that has come to rest with its OCO partner. other: slot, or NOBODY."""
    if other != NOBODY:
        mark(book, slot)
        mark(book, other)
        join_oco(book, slot, other)


@inlined
def keep(book, command, leaves, limit, plain):
    """Write an order that will rest or be parked into a free slot, and make it findable by its id. Returns the slot."""
    slot = new_slot(book)
    order = book.orders[slot]
    order.order_id = command.sequence
    order.quantity = command.quantity
    order.leaves_quantity = leaves
    copy_fields(order, command, "client_0", "client_1")
    order.name_end = command.name_end | np.int64(command.side) << 48 | np.int64(command.time_in_force) << 56
    order.account = command.account
    index(book, slot, command.sequence)
    if not plain:
        traits = ICEBERG if is_iceberg(command) else 0
        if is_parked_type(command.order_type):
            traits |= PARKED
        if (
            traits != 0
            or command.minimum_quantity != 0
            or command.counterparty != 0
            or command.expire_date != 0
            or (command.flag_bits & c.OFFSET_FLAGS)
            or command.order_id != 0
        ):
            mark(book, slot)
            order.terms |= traits
            extra = book.extras[slot]
            extra.price = limit
            extra.trigger_price = command.trigger_price
            extra.display_quantity = command.display_quantity
            extra.minimum_quantity = command.minimum_quantity
            extra.flag_bits = command.flag_bits
            extra.expire_date = command.expire_date
            extra.counterparty = command.counterparty
            extra.order_type = command.order_type
            extra.rows = rows_of(command)
            book.state[0].extra_rows += extra.rows
    return slot


@inlined
def park(book, events, at, command, limit):
    """Accept a STOP or STOP_LIMIT order, which waits for its trigger. RULEBOOK 2.9."""
    number, side = np.int64(command.instrument), np.int64(command.side)
    event = emit(
        book,
        events,
        at,
        command,
        command,
        c.ACCEPTED,
        c.OK,
        number,
        np.int64(command.account),
        side,
        np.int64(command.flag_bits) | c.PARKED,
        command.sequence,
        limit,
        command.quantity,
        command.quantity,
    )
    event.trigger_price = command.trigger_price
    other = partner_of(book, command)
    slot = keep(book, command, command.quantity, limit, False)
    ladder = parked(book, number, side)
    rest(book, ladder, slot, row_of(ladder, command.trigger_price))
    make_partners(book, slot, other)
    book.instruments[np.uint64(number)].stops += 1
    return at + 1


@inlined
def enter(book, events, at, command, limit, plain):
    """ENTER: accept, execute, and rest or cancel what is left. The order's id is its sequence (RULEBOOK 1.4).

    limit     ticks, within the band
    Returns   the next free row of events
    """
    number, account, side = np.int64(command.instrument), np.int64(command.account), np.int64(command.side)
    order_id, leaves = command.sequence, command.quantity
    if not plain and is_parked_type(command.order_type):
        return park(book, events, at, command, limit)
    entry = emit_named(
        book,
        events,
        at,
        command,
        command,
        command.name_end,
        c.ACCEPTED,
        c.OK,
        account,
        side,
        np.int64(command.flag_bits),
        order_id,
        limit,
        leaves,
        leaves,
    )
    at += 1
    offset = c.NONE if plain else np.int64(command.flag_bits) & c.OFFSET_FLAGS
    incoming = Incoming(command if plain else entry, number, account, order_id, side, limit, offset)
    passing = command.time_in_force == c.IOC or command.time_in_force == c.FOK
    interrupted = False
    if not plain:
        other = partner_of(book, command)
    if may_trade(book, number, side, limit, plain):
        mode = self_match_mode(book, account, np.int64(command.flag_bits))
        reach = limit if plain else reach_of(book, number, side, limit, command.time)
        least = c.NONE if plain else command.minimum_quantity
        if rarely(command.time_in_force == c.FOK):
            least = leaves
        group = book.members[np.uint64(account)].group
        if rarely(least != 0) and not can_fill(book, number, side, limit, reach, least, mode, group, plain):
            reason = c.FOK_NOT_FILLED if command.time_in_force == c.FOK else c.MINIMUM_NOT_AVAILABLE
            return cancel_incoming(book, events, at, command, incoming, leaves, reason)
        trades = book.state[0].trade_id
        at, leaves = execute(book, events, at, command, incoming, reach, leaves, mode, plain)
        if not plain:
            if book.state[0].trade_id != trades and other != NOBODY:
                leave_oco(book, other)
                at = withdraw(book, events, at, command, other, c.LINKED, False)
                other = np.uint32(NOBODY)
            if leaves != 0 and is_held_back(book, number, side, limit):
                if passing or command.order_type == c.MARKET:
                    return cancel_incoming(book, events, at, command, incoming, leaves, c.VELOCITY)
                interrupted = True
    if leaves == 0:
        return at
    if rarely(passing):
        reason = c.IOC_REMAINDER if command.time_in_force == c.IOC else c.FOK_NOT_FILLED
        return cancel_incoming(book, events, at, command, incoming, leaves, reason)
    slot = keep(book, command, leaves, limit, plain)
    ladder = own(book, number, side)
    rest(book, ladder, slot, row_of(ladder, limit))
    if not plain:
        make_partners(book, slot, other)
        at = conceal(book, events, at, command, slot, leaves)
        if interrupted:
            at = interrupt(book, events, at, command, number, c.VELOCITY)
    return at
