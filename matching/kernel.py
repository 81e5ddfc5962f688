"""Continuous matching of plain orders: enter, match, rest, amend, cancel. RULEBOOK 2, 3, 4 and 6.

Read it from `enter`: an order is accepted, executed against the other side, and what is left rests or is canceled.
This is the lane of markets in which every order is plain; terms.py has the same steps for orders of any terms, made of these.
Every function takes the events array and the next free row `at`, writes what happens and returns the next free row.
The caller (exchange/engine/lanes.py) has checked the command and guarantees room. Helpers stand before those who use them, as the
compiler wants it; commands and events come as COMMAND_WORDS and EVENT_WORDS.
"""

import numpy as np

from matching import codes as c
from matching.book import (
    find,
    forget,
    index,
    is_empty,
    new_slot,
    next_row,
    opposite,
    own,
    price_of,
    rest,
    row_of,
    unlink,
)
from matching.jit import clear_fields, code, copy_fields, inlined, rarely, read_anew
from matching.records import NOBODY

_LOW = code(0xFFFFFFFF)
_NAME_END = code((1 << 48) - 1)  # of ORDER.name_end: client_2 and instrument


# What events say ----------------------------------------------------------------------------------


@inlined
def emit(
    book, events, at, command, owner, kind, reason, instrument, account, side, flags, order_id, price, quantity, leaves
):
    """Write an event row; what only trades, amendments and rejects fill is zero. Returns the row.

    command   its cause; owner: the row whose client order id it bears, the ENTER command or the ORDER
    """
    return emit_named(
        book,
        events,
        at,
        command,
        owner,
        (np.int64(owner.client_2) & _LOW) | (np.int64(instrument) << 32),
        kind,
        reason,
        account,
        side,
        flags,
        order_id,
        price,
        quantity,
        leaves,
    )


@inlined
def emit_named(
    book, events, at, command, owner, name_end, kind, reason, account, side, flags, order_id, price, quantity, leaves
):
    """emit, for the two that have the end of the name and the instrument side by side as an event has them.

    STATE.event_id is the last event of the batch before: it moves on once a batch (exchange/engine/lanes.py).
    Neighbours are written together, see EVENT_WORDS.
    """
    event = events[np.uint64(at)]
    event.event_id = book.state[0].event_id + at + 1
    copy_fields(event, command, "sequence", "time")
    event.order_id = order_id
    event.price = price
    event.quantity = quantity
    event.leaves_quantity = leaves
    clear_fields(event, "trade_id", "resting_price")
    copy_fields(event, owner, "client_0", "client_1")
    event.name_end = name_end
    event.accounts = np.int64(account) & _LOW
    event.about = np.int64(kind) | np.int64(side) << 8 | np.int64(reason) << 16 | np.int64(flags) << 32
    return event


@inlined
def emit_order(book, events, at, command, order, kind, reason, flags, price, quantity, leaves):
    """The event of an order of the pool. Returns the row."""
    return emit_named(
        book,
        events,
        at,
        command,
        order,
        order.name_end & _NAME_END,
        kind,
        reason,
        np.int64(order.account),
        np.int64(order.side),
        flags,
        order.order_id,
        price,
        quantity,
        leaves,
    )


@inlined
def nameless(event):
    """An event about no order bears no client order id."""
    event.client_0 = 0
    event.client_1 = 0
    event.client_2 = 0


@inlined
def rejected(book, events, at, command, reason, value, bound, first_order):
    """Refuse a command. value and bound: see EVENT; first_order: the earlier holder of a client order id, or 0."""
    meant = command.order_id if command.kind in (c.AMEND, c.CANCEL, c.TAKE) else 0
    event = emit(
        book,
        events,
        at,
        command,
        command,
        c.REJECTED,
        reason,
        np.int64(command.instrument),
        np.int64(command.account),
        np.int64(command.side),
        np.int64(command.flag_bits),
        meant,
        command.price,
        command.quantity,
        c.NONE,
    )
    event.resting_order_id = first_order
    event.resting_leaves_quantity = value
    event.resting_price = bound
    return at + 1


@inlined
def incoming_canceled(
    book, events, at, command, owner, number, account, order_id, side, limit, open_quantity, reason, flags
):
    """The open rest of the incoming order is canceled before it could rest. For the parameters see execute."""
    emit(
        book,
        events,
        at,
        command,
        owner,
        c.CANCELED,
        reason,
        number,
        account,
        side,
        flags,
        order_id,
        limit,
        open_quantity,
        c.NONE,
    )
    return at + 1


# Matching -----------------------------------------------------------------------------------------


@inlined
def withdraw(book, events, at, command, slot, reason):
    """Cancel a resting order that is plain."""
    order = book.orders[slot]
    side = own(book, order.instrument, order.side)
    open_quantity = order.leaves_quantity
    unlink(book, side, slot)
    price = price_of(side, np.int64(order.level))
    emit_order(book, events, at, command, order, c.CANCELED, reason, c.NONE, price, open_quantity, c.NONE)
    forget(book, slot)
    return at + 1


@inlined
def middle(a, b, c):
    """The median of three prices."""
    return max(min(a, b), min(max(a, b), c))


@inlined
def self_match_mode(book, account, flags):
    """RULEBOOK 4.2: the flag of the command, or else the default of its account."""
    flags = flags & c.SELF_MATCH_FLAGS
    if flags == 0:
        return book.members[np.uint64(account)].self_match
    if flags == c.SMP_CANCEL_INCOMING:
        return c.CANCEL_INCOMING
    return c.CANCEL_RESTING if flags == c.SMP_CANCEL_RESTING else c.CANCEL_BOTH


@inlined
def is_self_match(book, account, other):
    """RULEBOOK 4.1."""
    return book.members[np.uint64(account)].group == book.members[np.uint64(other)].group


@inlined
def crosses(book, instrument, side, limit):
    """Would an order at `limit` meet a resting one at once? instrument: its index."""
    against = opposite(book, instrument, side)
    return against.best <= row_of(against, limit)


@inlined
def limit_price(book, number, order_type, side, price, collar):
    """The limit of an order, ticks: its own, or for a MARKET order the one RULEBOOK 2.2 gives it. collar 0: none."""
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


@inlined
def can_fill(book, instrument, side, limit, quantity, mode, group):
    """RULEBOOK 2.5 and 4.3: is there as much at `limit` or better, hidden lots included, that it may trade with?"""
    against = opposite(book, instrument, side)
    row = against.best
    while quantity > 0 and row <= row_of(against, limit):
        level = book.levels[row]
        if mode == c.SELF_MATCH_ALLOWED:
            quantity -= level.quantity
        else:
            slot = level.head
            while slot != NOBODY and quantity > 0:
                order = book.orders[slot]
                if book.members[np.uint64(order.account)].group != group:
                    quantity -= order.leaves_quantity
                elif mode != c.CANCEL_RESTING:
                    return False
                slot = order.next
        row = next_row(book, against, row + 1)
    return quantity <= 0


@inlined
def trade(book, events, at, command, owner, number, account, order_id, side, limit, leaves, slot, most, flags):
    """One match of the incoming order with the resting order in `slot`, of at most `most` lots. Returns (lots, at)."""
    state = book.state[0]
    instrument = book.instruments[np.uint64(number)]
    order = book.orders[slot]
    level = book.levels[np.uint64(order.level)]
    resting_price = price_of(opposite(book, number, side), np.int64(order.level))
    price = resting_price
    if rarely(instrument.median != 0):
        price = middle(limit, resting_price, instrument.last_price)
    traded = min(leaves, most)
    order.leaves_quantity -= traded
    level.quantity -= traded
    instrument.last_price = price
    state.trade_id += 1
    event = emit(
        book,
        events,
        at,
        command,
        owner,
        c.TRADED,
        c.OK,
        number,
        account,
        side,
        flags,
        order_id,
        price,
        traded,
        leaves - traded,
    )
    event.trade_id = state.trade_id
    event.resting_order_id = order.order_id
    event.resting_leaves_quantity = order.leaves_quantity
    event.resting_price = resting_price
    event.resting_account = order.account
    return traded, at + 1


@inlined
def execute(book, events, at, command, owner, number, account, order_id, side, limit, leaves, mode):
    """Match an incoming order against the opposite side, best price first, oldest first. RULEBOOK 3 and 4.

    Where all orders are plain and no circuit breaker watches; terms.execute_any is the same for any market.

    owner     the row whose client order id the order bears: the ENTER command, or the ORDER that is amended
    number    of the instrument
    limit     ticks, within the band
    leaves    lots open, > 0
    mode      SelfMatch
    Returns   (at, leaves): next free row of events; lots left, 0 also when self-match prevention canceled them
    Cost      O(orders met)
    """
    against = opposite(book, number, side)
    last_row = row_of(against, limit)
    while leaves > 0 and against.best <= last_row:
        slot = book.levels[np.uint64(against.best)].head
        order = book.orders[slot]
        if rarely(mode != c.SELF_MATCH_ALLOWED and is_self_match(book, account, order.account)):
            read_anew()
            if mode != c.CANCEL_INCOMING:
                at = withdraw(book, events, at, command, slot, c.SELF_MATCH_RESTING)
            if mode != c.CANCEL_RESTING:
                at = incoming_canceled(
                    book,
                    events,
                    at,
                    command,
                    owner,
                    number,
                    account,
                    order_id,
                    side,
                    limit,
                    leaves,
                    c.SELF_MATCH_INCOMING,
                    c.NONE,
                )
                leaves = c.NONE
            continue
        traded, at = trade(
            book,
            events,
            at,
            command,
            owner,
            number,
            account,
            order_id,
            side,
            limit,
            leaves,
            slot,
            order.leaves_quantity,
            c.NONE,
        )
        leaves -= traded
        if order.leaves_quantity == 0:
            unlink(book, against, slot)
            forget(book, slot)
    return at, leaves


# The commands of traders --------------------------------------------------------------------------


@inlined
def keep(order, command, leaves):
    """Write what an order that rests is remembered by."""
    order.order_id = command.sequence
    order.quantity = command.quantity
    order.leaves_quantity = leaves
    copy_fields(order, command, "client_0", "client_1")
    order.name_end = command.name_end | np.int64(command.side) << 48 | np.int64(command.time_in_force) << 56
    order.account = command.account


@inlined
def enter(book, events, at, command, limit):
    """ENTER: accept, execute, and rest or cancel what is left. Its id is its sequence (RULEBOOK 1.4).

    The way of plain orders in a plain market; terms.enter_any is that of all others.
    """
    number, account, side = np.int64(command.instrument), np.int64(command.account), np.int64(command.side)
    leaves = command.quantity
    emit_named(
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
        command.sequence,
        limit,
        leaves,
        leaves,
    )
    at += 1
    if crosses(book, number, side, limit):
        mode = self_match_mode(book, account, command.flag_bits)
        if rarely(command.time_in_force == c.FOK) and not can_fill(
            book, number, side, limit, leaves, mode, book.members[np.uint64(account)].group
        ):
            return incoming_canceled(
                book,
                events,
                at,
                command,
                command,
                number,
                account,
                command.sequence,
                side,
                limit,
                leaves,
                c.FOK_NOT_FILLED,
                c.NONE,
            )
        at, leaves = execute(
            book, events, at, command, command, number, account, command.sequence, side, limit, leaves, mode
        )
    if leaves == 0:
        return at
    if rarely(command.time_in_force == c.IOC or command.time_in_force == c.FOK):
        reason = c.IOC_REMAINDER if command.time_in_force == c.IOC else c.FOK_NOT_FILLED
        return incoming_canceled(
            book, events, at, command, command, number, account, command.sequence, side, limit, leaves, reason, c.NONE
        )
    slot = new_slot(book)
    keep(book.orders[slot], command, leaves)
    index(book, slot, command.sequence)
    ladder = own(book, number, side)
    rest(book, ladder, slot, row_of(ladder, limit))
    return at


@inlined
def open_after_amend(order, command):
    """The open quantity that an AMEND asks for, lots; zero or less: nothing would be left. RULEBOOK 6.1."""
    if command.flag_bits & c.OPEN_QUANTITY:
        return command.quantity
    return command.quantity - (order.quantity - order.leaves_quantity)


@inlined
def amended(book, events, at, command, slot, ladder, leaves, price_before, keeps_place, flags):
    """Change an order's open quantity to `leaves`, out of its level unless it keeps its place, and tell it."""
    order = book.orders[slot]
    open_before = order.leaves_quantity
    if keeps_place:
        book.levels[order.level].quantity += leaves - open_before
    else:
        unlink(book, ladder, slot)
    order.quantity += leaves - open_before
    order.leaves_quantity = leaves
    event = emit_order(book, events, at, command, order, c.AMENDED, c.OK, flags, command.price, order.quantity, leaves)
    event.resting_leaves_quantity = open_before
    event.resting_price = price_before
    return at + 1


@inlined
def amend(book, events, at, command, slot):
    """AMEND: keep the place when only the quantity shrinks, else leave and enter again. RULEBOOK 6.

    The way of plain orders in a plain market; terms.amend_any is that of all others.
    """
    order = book.orders[slot]
    number, account, side = np.int64(command.instrument), np.int64(command.account), np.int64(order.side)
    ladder = own(book, number, side)
    open_before = order.leaves_quantity
    price_before = price_of(ladder, np.int64(order.level))
    leaves = open_after_amend(order, command)
    if leaves <= 0:
        return withdraw(book, events, at, command, slot, c.AMENDED_TO_FILLED)
    keeps_place = command.price == price_before and leaves <= open_before
    at = amended(
        book, events, at, command, slot, ladder, leaves, price_before, keeps_place, np.int64(command.flag_bits)
    )
    if keeps_place:
        return at
    if crosses(book, number, side, command.price):
        mode = self_match_mode(book, account, command.flag_bits)
        at, leaves = execute(
            book, events, at, command, order, number, account, order.order_id, side, command.price, leaves, mode
        )
        order.leaves_quantity = leaves
    if leaves == 0:
        forget(book, slot)
    else:
        rest(book, ladder, slot, row_of(ladder, command.price))
    return at


@inlined
def resting_order(book, command):
    """Slot of the order a CANCEL or AMEND means, or NOBODY: it must be open and be the account's (RULEBOOK 5.4)."""
    slot = find(book, command.order_id)
    if slot != NOBODY:
        order = book.orders[slot]
        if order.account != command.account or order.instrument != command.instrument:
            return np.uint32(NOBODY)
    return slot
