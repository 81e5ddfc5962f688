"""Continuous matching: enter, match, rest, amend, cancel. RULEBOOK 2, 3, 4 and 6.

Read it from `enter`: an order is accepted, executed against the other side, and what is left rests or is canceled.
Every function takes the events array and the next free row `at`, writes what happens and returns the next free row.
The caller (exchange/machine.py) has checked the command and guarantees room for one row per resting order and three
more. Helpers stand before those who use them, as the compiler wants it; commands and events come as COMMAND_WORDS and
EVENT_WORDS.
"""
import numpy as np

from matching.book import find, forget, index, is_empty, new_slot, next_row, opposite, own, price_of, rest, row_of, unlink
from matching.codes import ALL, CommandKind, EventKind, Flag, OrderType, Reason, SelfMatch, Side, TimeInForce
from matching.jit import inlined
from matching.records import NOBODY, TIME_IN_FORCE

_BUY = int(Side.BUY)
_MARKET = int(OrderType.MARKET)
_DAY, _IOC, _FOK = int(TimeInForce.DAY), int(TimeInForce.IOC), int(TimeInForce.FOK)
_OPEN_QUANTITY = int(Flag.OPEN_QUANTITY)
_SMP_FLAGS = int(Flag.SMP_CANCEL_INCOMING | Flag.SMP_CANCEL_RESTING | Flag.SMP_CANCEL_BOTH)
_SMP_INCOMING, _SMP_RESTING = int(Flag.SMP_CANCEL_INCOMING), int(Flag.SMP_CANCEL_RESTING)
_TRADE = int(SelfMatch.NONE)
_CANCEL_INCOMING, _CANCEL_RESTING = int(SelfMatch.CANCEL_INCOMING), int(SelfMatch.CANCEL_RESTING)
_CANCEL_BOTH = int(SelfMatch.CANCEL_BOTH)
_ACCEPTED, _REJECTED, _TRADED = int(EventKind.ACCEPTED), int(EventKind.REJECTED), int(EventKind.TRADED)
_CANCEL, _AMEND = int(CommandKind.CANCEL), int(CommandKind.AMEND)
_CANCELED, _AMENDED = int(EventKind.CANCELED), int(EventKind.AMENDED)
_NO_REASON, _IOC_REMAINDER = int(Reason.NONE), int(Reason.IOC_REMAINDER)
_FOK_NOT_FILLED, _AMENDED_TO_FILLED = int(Reason.FOK_NOT_FILLED), int(Reason.AMENDED_TO_FILLED)
_SELF_MATCH_INCOMING, _SELF_MATCH_RESTING = int(Reason.SELF_MATCH_INCOMING), int(Reason.SELF_MATCH_RESTING)


# What events say ----------------------------------------------------------------------------------------------------

@inlined
def tell(book, events, at, command, owner, kind, reason, instrument, account, side, flags, order_id, price, quantity, leaves):
    """Write an event row; what only trades, amendments and rejects fill is zero. Returns the row.

    command   its cause; owner: the row whose client order id it bears, the ENTER command or the ORDER
    STATE.event_id is the last event of the batch before: it moves on once a batch (exchange/kernel.py).
    Everything is read before anything is written: the compiler cannot know that the rows do not overlap.
    """
    event = events[np.uint64(at)]
    event_id = book.state[0].event_id + at + 1
    sequence, time = command.sequence, command.time
    client_0, client_1, client_2 = owner.client_0, owner.client_1, owner.client_2
    event.event_id = event_id
    event.sequence = sequence
    event.time = time
    event.order_id = order_id
    event.price = price
    event.quantity = quantity
    event.leaves_quantity = leaves
    event.trade_id = 0
    event.resting_order_id = 0
    event.resting_leaves_quantity = 0
    event.resting_price = 0
    event.client_0 = client_0
    event.client_1 = client_1
    event.client_2 = client_2
    event.instrument = instrument
    event.account = account
    event.resting_account = 0
    event.kind = kind
    event.side = side
    event.reason = reason
    event.flag_bits = flags
    return event


@inlined
def rejected(book, events, at, command, reason, value, bound, first_order):
    """Refuse a command. value and bound: see EVENT; first_order: the earlier holder of a client order id, or 0."""
    meant = command.order_id if command.kind == _AMEND or command.kind == _CANCEL else 0
    event = tell(book, events, at, command, command, _REJECTED, reason, command.instrument, command.account, command.side,
                 command.flag_bits, meant, command.price, command.quantity, 0)
    event.resting_order_id = first_order
    event.resting_leaves_quantity = value
    event.resting_price = bound
    return at + 1


@inlined
def incoming_canceled(book, events, at, command, owner, order_id, side, limit, open_quantity, reason):
    """The open rest of the incoming order is canceled before it could rest. owner: see execute."""
    tell(book, events, at, command, owner, _CANCELED, reason, command.instrument, command.account, side, 0, order_id, limit,
         open_quantity, 0)
    return at + 1


# Leaving the book ----------------------------------------------------------------------------------------------------

@inlined
def withdraw(book, events, at, command, slot, reason):
    """Cancel a resting order."""
    order = book.orders[slot]
    side = own(book, order.instrument, order.side)
    open_quantity = order.leaves_quantity
    unlink(book, side, slot)
    tell(book, events, at, command, order, _CANCELED, reason, order.instrument, order.account, order.side, 0, order.order_id,
         price_of(side, order.level), open_quantity, 0)
    forget(book, slot)
    return at + 1


# Matching ------------------------------------------------------------------------------------------------------------

@inlined
def middle(a, b, c):
    """The median of three prices."""
    return max(min(a, b), min(max(a, b), c))


@inlined
def self_match_mode(book, command):
    """RULEBOOK 4.2: the flag of the command, or else the default of its account."""
    flags = command.flag_bits & _SMP_FLAGS
    if flags == 0:
        return book.members[np.uint64(command.account)].self_match
    if flags == _SMP_INCOMING:
        return _CANCEL_INCOMING
    return _CANCEL_RESTING if flags == _SMP_RESTING else _CANCEL_BOTH


@inlined
def crosses(book, instrument, side, limit):
    """Would an order at `limit` meet a resting one at once? instrument: its index."""
    against = opposite(book, instrument, side)
    return against.best <= row_of(against, limit)


@inlined
def limit_price(book, number, order_type, side, price, collar):
    """The limit of an order, ticks: its own, or for a MARKET order the one RULEBOOK 2.2 gives it. collar 0: none."""
    if order_type != _MARKET:
        return price
    instrument = book.instruments[number]
    against = opposite(book, number, side)
    limit = instrument.ceiling if side == _BUY else instrument.floor
    if instrument.protection != 0 and not is_empty(against):
        limit = price_of(against, min(against.best + instrument.protection, against.end - 1))
    if collar != 0:
        limit = max(min(limit, instrument.last_price + collar), instrument.last_price - collar)
        limit = max(min(limit, instrument.ceiling), instrument.floor)
    return limit


@inlined
def can_fill(book, instrument, side, limit, quantity, mode, group):
    """RULEBOOK 2.5 and 4.3: is there as much at `limit` or better as self-match prevention lets this order trade?"""
    against = opposite(book, instrument, side)
    row = against.best
    while quantity > 0 and row <= row_of(against, limit):
        level = book.levels[row]
        if mode == _TRADE:
            quantity -= level.quantity
        else:
            slot = level.head
            while slot != NOBODY and quantity > 0:
                order = book.orders[slot]
                if book.members[np.uint64(order.account)].group != group:
                    quantity -= order.leaves_quantity
                elif mode != _CANCEL_RESTING:
                    return False
                slot = order.next
        row = next_row(book, against, row + 1)
    return quantity <= 0


@inlined
def execute(book, events, at, command, owner, order_id, side, limit, leaves, mode):
    """Match an incoming order against the opposite side, best price first, oldest first. RULEBOOK 3 and 4.

    owner     the row whose client order id the order bears: the ENTER command, or the ORDER that is amended
    limit     ticks, within the band
    leaves    lots open, > 0
    mode      SelfMatch
    Returns   (at, leaves): next free row of events; lots left, 0 also when self-match prevention canceled them
    Cost      O(orders met)
    """
    state = book.state[0]
    instrument = book.instruments[np.uint64(command.instrument)]
    against = opposite(book, command.instrument, side)
    last_row = row_of(against, limit)
    while leaves > 0 and against.best <= last_row:
        row = against.best
        level = book.levels[np.uint64(row)]
        slot = level.head
        order = book.orders[slot]
        if mode != _TRADE and book.members[np.uint64(order.account)].group == book.members[np.uint64(command.account)].group:
            if mode != _CANCEL_INCOMING:
                at = withdraw(book, events, at, command, slot, _SELF_MATCH_RESTING)
            if mode != _CANCEL_RESTING:
                at = incoming_canceled(book, events, at, command, owner, order_id, side, limit, leaves,
                                       _SELF_MATCH_INCOMING)
                leaves = 0
            continue
        resting_price = price_of(against, row)
        price = resting_price
        if instrument.median != 0:
            price = middle(limit, resting_price, instrument.last_price)
        traded = min(leaves, order.leaves_quantity)
        leaves -= traded
        order.leaves_quantity -= traded
        level.quantity -= traded
        instrument.last_price = price
        state.trade_id += 1
        event = tell(book, events, at, command, owner, _TRADED, _NO_REASON, command.instrument, command.account, side, 0,
                     order_id, price, traded, leaves)
        at += 1
        event.trade_id = state.trade_id
        event.resting_order_id = order.order_id
        event.resting_leaves_quantity = order.leaves_quantity
        event.resting_price = resting_price
        event.resting_account = order.account
        if order.leaves_quantity == 0:
            unlink(book, against, slot)
            forget(book, slot)
    return at, leaves


# The commands of traders ----------------------------------------------------------------------------------------------

@inlined
def keep(order, command, leaves):
    """Write what an order that rests is remembered by. Reads before it writes, as tell does."""
    sequence, quantity, account, instrument = command.sequence, command.quantity, command.account, command.instrument
    client_0, client_1, client_2 = command.client_0, command.client_1, command.client_2
    side, time_in_force = command.side, command.time_in_force
    order.order_id = sequence
    order.quantity = quantity
    order.leaves_quantity = leaves
    order.client_0 = client_0
    order.client_1 = client_1
    order.client_2 = client_2
    order.account = account
    order.instrument = instrument
    order.side = side
    order.terms = time_in_force


@inlined
def enter(book, events, at, command, limit):
    """ENTER: accept, execute, and rest or cancel what is left. Its id is its sequence (RULEBOOK 1.4)."""
    side = command.side
    leaves = command.quantity
    tell(book, events, at, command, command, _ACCEPTED, _NO_REASON, command.instrument, command.account, side,
         command.flag_bits, command.sequence, limit, leaves, leaves)
    at += 1
    if crosses(book, command.instrument, side, limit):
        mode = self_match_mode(book, command)
        if command.time_in_force == _FOK and not can_fill(
                book, command.instrument, side, limit, leaves, mode, book.members[np.uint64(command.account)].group):
            return incoming_canceled(
                book, events, at, command, command, command.sequence, side, limit, leaves, _FOK_NOT_FILLED)
        at, leaves = execute(book, events, at, command, command, command.sequence, side, limit, leaves, mode)
    if leaves == 0:
        return at
    if command.time_in_force == _IOC or command.time_in_force == _FOK:
        reason = _IOC_REMAINDER if command.time_in_force == _IOC else _FOK_NOT_FILLED
        return incoming_canceled(
            book, events, at, command, command, command.sequence, side, limit, leaves, reason)
    slot = new_slot(book)
    keep(book.orders[slot], command, leaves)
    index(book, slot, command.sequence)
    ladder = own(book, command.instrument, side)
    rest(book, ladder, slot, row_of(ladder, limit))
    return at


@inlined
def open_after_amend(order, command):
    """The open quantity that an AMEND asks for, lots; zero or less: nothing would be left. RULEBOOK 6.1."""
    if command.flag_bits & _OPEN_QUANTITY:
        return command.quantity
    return command.quantity - (order.quantity - order.leaves_quantity)


@inlined
def amend(book, events, at, command, slot):
    """AMEND: keep the place when only the quantity shrinks, else leave and enter again. RULEBOOK 6."""
    order = book.orders[slot]
    side = order.side
    ladder = own(book, order.instrument, side)
    open_before = order.leaves_quantity
    price_before = price_of(ladder, order.level)
    leaves = open_after_amend(order, command)
    if leaves <= 0:
        return withdraw(book, events, at, command, slot, _AMENDED_TO_FILLED)
    keeps_place = command.price == price_before and leaves <= open_before
    if keeps_place:
        book.levels[order.level].quantity += leaves - open_before
    else:
        unlink(book, ladder, slot)
    order.quantity += leaves - open_before
    order.leaves_quantity = leaves
    event = tell(book, events, at, command, order, _AMENDED, _NO_REASON, order.instrument, order.account, side,
                 command.flag_bits, order.order_id, command.price, order.quantity, leaves)
    at += 1
    event.resting_leaves_quantity = open_before
    event.resting_price = price_before
    if keeps_place:
        return at
    if crosses(book, command.instrument, side, command.price):
        mode = self_match_mode(book, command)
        at, leaves = execute(
            book, events, at, command, order, order.order_id, side, command.price, leaves, mode)
        order.leaves_quantity = leaves
    if leaves == 0:
        forget(book, slot)
    else:
        rest(book, ladder, slot, row_of(ladder, command.price))
    return at


@inlined
def mass_cancel(book, events, at, command, instrument, account, side, reason, day_only):
    """Cancel every order of an instrument (or ALL), account (or ALL) and side (or 0).

    Instruments in order, bids before asks, best price first, oldest first. day_only: DAY orders only.
    Returns   (at, canceled)
    """
    canceled = 0
    for number in range(len(book.sides)):
        if (instrument != ALL and instrument != number >> 1) or (
                side != 0 and side != (number & 1) + 1):
            continue
        ladder = book.sides[number]
        row = ladder.best
        while row != ladder.end:
            slot = book.levels[row].head
            while slot != NOBODY:
                order = book.orders[slot]
                younger = order.next
                if (account == ALL or order.account == account) and (not day_only or order.terms & TIME_IN_FORCE == _DAY):
                    at = withdraw(book, events, at, command, slot, reason)
                    canceled += 1
                slot = younger
            row = next_row(book, ladder, row + 1)
    return at, canceled


@inlined
def resting_order(book, command):
    """Slot of the order a CANCEL or AMEND means, or NOBODY: it must rest there and be the account's (RULEBOOK 5.4)."""
    slot = find(book, command.order_id)
    if slot != NOBODY:
        order = book.orders[slot]
        if order.account != command.account or order.instrument != command.instrument:
            return np.uint32(NOBODY)
    return slot
