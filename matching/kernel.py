"""Continuous matching: enter, match, rest, amend, cancel. RULEBOOK 2, 3, 4 and 6.

Read it from `enter`: an order is accepted, executed against the other side, and what is left rests or is canceled.
Every function takes the events array and the next free row `at`, writes what happens and returns the next free row.
The caller (exchange/machine.py) has checked the command and guarantees room for one row per resting order and three
more. Helpers stand before those who use them, as the compiler wants it; commands and events come as COMMAND_WORDS and
EVENT_WORDS.
"""
import numpy as np

from matching.book import find, forget, index, is_empty, new_slot, next_row, opposite, own, parked, price_of, rest, row_of, unlink
from matching.codes import (
    ALL,
    RESTING_OFFSET,
    CommandKind,
    EventKind,
    Flag,
    Mechanism,
    OrderType,
    Phase,
    Reason,
    SelfMatch,
    Side,
    TimeInForce,
)
from matching.jit import code, inlined, outlined, rarely
from matching.records import ICEBERG, ICEBERG_ROWS, LINKED, MARKED, NOBODY, PARKED, PARKED_ROWS, TIME_IN_FORCE

_BUY = code(Side.BUY)
_MARKET, _STOP, _STOP_LIMIT = code(OrderType.MARKET), code(OrderType.STOP), code(OrderType.STOP_LIMIT)
_IOC, _FOK, _GTD = code(TimeInForce.IOC), code(TimeInForce.FOK), code(TimeInForce.GTD)
_CONTINUOUS, _LIMIT_LOCKED, _CALL_AUCTION = code(Phase.CONTINUOUS), code(Phase.LIMIT_LOCKED), code(Phase.CALL_AUCTION)
_ORDER_BOOK, _ONE_SIDED = code(Mechanism.ORDER_BOOK), code(Mechanism.ONE_SIDED)
_OFFSET, _PARKED_FLAG = code(Flag.OPEN | Flag.CLOSE | Flag.CLOSE_TODAY), code(Flag.PARKED)
_OPEN_QUANTITY = code(Flag.OPEN_QUANTITY)
_SMP_FLAGS = code(Flag.SMP_CANCEL_INCOMING | Flag.SMP_CANCEL_RESTING | Flag.SMP_CANCEL_BOTH)
_SMP_INCOMING, _SMP_RESTING = code(Flag.SMP_CANCEL_INCOMING), code(Flag.SMP_CANCEL_RESTING)
_TRADE = code(SelfMatch.NONE)
_CANCEL_INCOMING, _CANCEL_RESTING = code(SelfMatch.CANCEL_INCOMING), code(SelfMatch.CANCEL_RESTING)
_CANCEL_BOTH = code(SelfMatch.CANCEL_BOTH)
_ACCEPTED, _REJECTED, _TRADED = code(EventKind.ACCEPTED), code(EventKind.REJECTED), code(EventKind.TRADED)
_CANCEL, _AMEND, _TAKE = code(CommandKind.CANCEL), code(CommandKind.AMEND), code(CommandKind.TAKE)
_CANCELED, _AMENDED = code(EventKind.CANCELED), code(EventKind.AMENDED)
_DISPLAYED, _PHASE_EVENT = code(EventKind.DISPLAYED), code(EventKind.PHASE)
_LINKED_REASON, _VELOCITY = code(Reason.LINKED), code(Reason.VELOCITY)
_MINIMUM_NOT_AVAILABLE, _DATE_REACHED = code(Reason.MINIMUM_NOT_AVAILABLE), code(Reason.DATE_REACHED)
_NO_FLAGS, _NO_LOTS = code(0), code(0)
_MASS_CANCEL = code(Reason.MASS_CANCEL)
_NO_REASON, _IOC_REMAINDER = code(Reason.NONE), code(Reason.IOC_REMAINDER)
_FOK_NOT_FILLED, _AMENDED_TO_FILLED = code(Reason.FOK_NOT_FILLED), code(Reason.AMENDED_TO_FILLED)
_SELF_MATCH_INCOMING, _SELF_MATCH_RESTING = code(Reason.SELF_MATCH_INCOMING), code(Reason.SELF_MATCH_RESTING)
EVERY_TIME = code(-1)                  # mass_cancel: whatever the time in force


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
def tell_order(book, events, at, command, order, kind, reason, flags, price, quantity, leaves):
    """The event of an order of the pool. Returns the row."""
    return tell(book, events, at, command, order, kind, reason, np.int64(order.instrument), np.int64(order.account),
                np.int64(order.side), flags, order.order_id, price, quantity, leaves)


@inlined
def rejected(book, events, at, command, reason, value, bound, first_order):
    """Refuse a command. value and bound: see EVENT; first_order: the earlier holder of a client order id, or 0."""
    meant = command.order_id if command.kind in (_AMEND, _CANCEL, _TAKE) else 0
    event = tell(book, events, at, command, command, _REJECTED, reason, np.int64(command.instrument), np.int64(command.account),
                 np.int64(command.side), np.int64(command.flag_bits), meant, command.price, command.quantity, _NO_LOTS)
    event.resting_order_id = first_order
    event.resting_leaves_quantity = value
    event.resting_price = bound
    return at + 1


@inlined
def incoming_canceled(book, events, at, command, owner, number, account, order_id, side, limit, open_quantity, reason, flags):
    """The open rest of the incoming order is canceled before it could rest. For the parameters see execute."""
    tell(book, events, at, command, owner, _CANCELED, reason, number, account, side, flags, order_id, limit, open_quantity,
         _NO_LOTS)
    return at + 1


# Orders with rarer terms ---------------------------------------------------------------------------------------------

@inlined
def offset_flags(book, slot):
    """The offset flags of an order that is in the pool, as its events bear them."""
    return book.extras[slot].flag_bits & _OFFSET if book.orders[slot].terms & MARKED else 0


@inlined
def home(book, slot):
    """The SIDE where an order of the pool stands: a side of the book, or where parked orders wait."""
    order = book.orders[slot]
    if order.terms & PARKED:
        return parked(book, order.instrument, order.side)
    return own(book, order.instrument, order.side)


@inlined
def displayed(book, events, at, command, slot, price, shown):
    """DISPLAYED: an iceberg shows `shown` lots from now on. RULEBOOK 2.11."""
    order, extra = book.orders[slot], book.extras[slot]
    before = extra.shown
    event = tell_order(book, events, at, command, order, _DISPLAYED, _NO_REASON, _NO_FLAGS, price, shown, order.leaves_quantity)
    event.resting_leaves_quantity = before
    extra.shown = shown
    return at + 1


@inlined
def reveal(book, events, at, command, slot):
    """Before an iceberg that rests is canceled, amended or traded in an auction, the whole of it is told."""
    order = book.orders[slot]
    if order.terms & ICEBERG and not order.terms & PARKED:
        price = price_of(own(book, order.instrument, order.side), np.int64(order.level))
        return displayed(book, events, at, command, slot, price, order.leaves_quantity)
    return at


@inlined
def conceal(book, events, at, command, slot, most):
    """When an iceberg has come to rest it shows `display_quantity` lots, or `most`, or what is left."""
    order, extra = book.orders[slot], book.extras[slot]
    if order.terms & ICEBERG:
        price = price_of(own(book, order.instrument, order.side), np.int64(order.level))
        extra.shown = order.leaves_quantity
        return displayed(book, events, at, command, slot, price, min(extra.display_quantity, most, order.leaves_quantity))
    return at


@inlined
def unlink_pair(book, slot):
    """The other order of a pair stays alone. Returns its slot, or NOBODY."""
    if book.orders[slot].terms & LINKED:
        other = np.uint32(book.extras[slot].linked)
        if not (book.orders[slot].terms | book.orders[other].terms) & PARKED:
            book.state[0].pairs -= 1
        book.orders[slot].terms &= ~LINKED & 255
        book.orders[other].terms &= ~LINKED & 255
        return other
    return np.uint32(NOBODY)


@inlined
def leave(book, slot):
    """Give the slot of an order back, and what one with rarer terms took of the room for events."""
    if book.orders[slot].terms & MARKED:
        unlink_pair(book, slot)
        book.state[0].extra_rows -= book.extras[slot].rows
    forget(book, slot)


@inlined
def clear_extra(extra):
    """A row of EXTRA that says nothing yet."""
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
def look_at(instrument):
    """Bring INSTRUMENT.watched up to date: does anything depend on the instrument's trades?"""
    instrument.watched = 1 if instrument.stops != 0 or instrument.velocity != 0 else 0


@inlined
def unpark(book, number):
    """One order less waits for its trigger."""
    instrument = book.instruments[np.uint64(number)]
    instrument.stops -= 1
    look_at(instrument)


# Leaving the book ----------------------------------------------------------------------------------------------------

@outlined
def withdraw_special(book, events, at, command, slot, reason):
    """Cancel an order with rarer terms: an iceberg is revealed first, a parked order leaves where it waits."""
    order = book.orders[slot]
    at = reveal(book, events, at, command, slot)
    side = home(book, slot)
    open_quantity = order.leaves_quantity
    flags = np.int64(offset_flags(book, slot))
    price = price_of(side, np.int64(order.level))
    unlink(book, side, slot)
    if order.terms & PARKED:
        flags |= _PARKED_FLAG
        price = book.extras[slot].price
        unpark(book, order.instrument)
    tell_order(book, events, at, command, order, _CANCELED, reason, flags, price, open_quantity, _NO_LOTS)
    leave(book, slot)
    return at + 1


@inlined
def withdraw(book, events, at, command, slot, reason):
    """Cancel an order of the pool."""
    order = book.orders[slot]
    if rarely(order.terms > TIME_IN_FORCE):
        return withdraw_special(book, events, at, command, slot, reason)
    side = own(book, order.instrument, order.side)
    open_quantity = order.leaves_quantity
    unlink(book, side, slot)
    price = price_of(side, np.int64(order.level))
    tell_order(book, events, at, command, order, _CANCELED, reason, _NO_FLAGS, price, open_quantity, _NO_LOTS)
    forget(book, slot)
    return at + 1


@outlined
def cancel_linked(book, events, at, command, slot):
    """One cancels the other (RULEBOOK 2.14): the order in `slot` has traded or was triggered."""
    other = unlink_pair(book, slot)
    if other != NOBODY:
        return withdraw_special(book, events, at, command, other, _LINKED_REASON)
    return at


# Matching ------------------------------------------------------------------------------------------------------------

@inlined
def middle(a, b, c):
    """The median of three prices."""
    return max(min(a, b), min(max(a, b), c))


@inlined
def self_match_mode(book, account, flags):
    """RULEBOOK 4.2: the flag of the command, or else the default of its account."""
    flags = flags & _SMP_FLAGS
    if flags == 0:
        return book.members[np.uint64(account)].self_match
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
        best = price_of(against, against.best)
        limit = min(best + instrument.protection, limit) if side == _BUY else max(best - instrument.protection, limit)
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


# The circuit breaker (RULEBOOK 9.3) --------------------------------------------------------------------------------------

@inlined
def forget_slices(instrument):
    """No trade is remembered."""
    instrument.low, instrument.high = 1, 0
    instrument.low_before, instrument.high_before = 1, 0


@inlined
def reach_of(book, number, side, limit, time):
    """How far an incoming order may trade now, ticks: its limit, or what the range of late trades allows."""
    instrument = book.instruments[np.uint64(number)]
    if instrument.velocity == 0:
        return limit
    part = time // max(instrument.velocity_window // 2, 1)
    if part != instrument.slice:
        low, high = (instrument.low, instrument.high) if part == instrument.slice + 1 else (1, 0)
        instrument.low_before, instrument.high_before = low, high
        instrument.low, instrument.high = 1, 0
        instrument.slice = part
    low, high = instrument.low, instrument.high
    if instrument.low_before <= instrument.high_before:
        low = instrument.low_before if low > high else min(low, instrument.low_before)
        high = instrument.high_before if instrument.low > instrument.high else max(high, instrument.high_before)
    if low > high:
        low, high = instrument.last_price, instrument.last_price
    return min(limit, low + instrument.velocity) if side == _BUY else max(limit, high - instrument.velocity)


@inlined
def note_trade(instrument, price):
    """A trade of the present slice."""
    if instrument.low > instrument.high:
        instrument.low, instrument.high = price, price
    else:
        instrument.low = min(instrument.low, price)
        instrument.high = max(instrument.high, price)


@inlined
def goes_on(book, number, side, limit):
    """Would an order that has traded as far as it may now go on? Only the circuit breaker stops one."""
    return book.instruments[np.uint64(number)].velocity != 0 and crosses(book, number, side, limit)


@inlined
def interrupt(book, events, at, command, number, reason):
    """The hub itself turns continuous trading into a call auction. RULEBOOK 8.8."""
    book.instruments[np.uint64(number)].phase = _CALL_AUCTION
    tell(book, events, at, command, command, _PHASE_EVENT, reason, number, _NO_LOTS, _NO_LOTS, _NO_FLAGS, _NO_LOTS,
         _NO_LOTS, _CALL_AUCTION, _NO_LOTS)
    nameless(events[np.uint64(at)])
    return at + 1


@inlined
def nameless(event):
    """An event about no order bears no client order id."""
    event.client_0 = 0
    event.client_1 = 0
    event.client_2 = 0


# Matching itself ---------------------------------------------------------------------------------------------------------

@inlined
def trade(book, events, at, command, owner, number, account, order_id, side, limit, leaves, slot, most, flags, watching):
    """One match of the incoming order with the resting order in `slot`, of at most `most` lots. Returns (lots, at)."""
    state = book.state[0]
    instrument = book.instruments[np.uint64(number)]
    order = book.orders[slot]
    level = book.levels[np.uint64(order.level)]
    resting_price = price_of(opposite(book, number, side), np.int64(order.level))
    price = resting_price
    if instrument.median != 0:
        price = middle(limit, resting_price, instrument.last_price)
    traded = min(leaves, most)
    order.leaves_quantity -= traded
    level.quantity -= traded
    instrument.last_price = price
    if watching and instrument.velocity != 0:
        note_trade(instrument, price)
    state.trade_id += 1
    event = tell(book, events, at, command, owner, _TRADED, _NO_REASON, number, account, side, flags, order_id, price, traded,
                 leaves - traded)
    event.trade_id = state.trade_id
    event.resting_order_id = order.order_id
    event.resting_leaves_quantity = order.leaves_quantity
    event.resting_price = resting_price
    event.resting_account = order.account
    return traded, at + 1


@outlined
def meet_special(book, events, at, command, owner, number, account, order_id, side, limit, leaves, slot, flags):
    """Match with a resting order that has rarer terms. Returns (lots left of the incoming order, at)."""
    order, extra = book.orders[slot], book.extras[slot]
    iceberg = order.terms & ICEBERG
    most = extra.shown if iceberg else order.leaves_quantity
    marks = flags | np.int64(offset_flags(book, slot)) << RESTING_OFFSET
    traded, at = trade(book, events, at, command, owner, number, account, order_id, side, limit, leaves, slot, most, marks, True)
    extra.shown -= traded
    at = cancel_linked(book, events, at, command, slot)
    ladder = opposite(book, number, side)
    if order.leaves_quantity == 0:
        unlink(book, ladder, slot)
        leave(book, slot)
    elif iceberg and extra.shown == 0:
        row = np.int64(order.level)
        unlink(book, ladder, slot)
        rest(book, ladder, slot, row)
        at = displayed(book, events, at, command, slot, price_of(ladder, row), min(extra.display_quantity, order.leaves_quantity))
    return leaves - traded, at


@inlined
def execute(book, events, at, command, owner, number, account, order_id, side, limit, reach, leaves, mode, flags, watching):
    """Match an incoming order against the opposite side, best price first, oldest first. RULEBOOK 3 and 4.

    owner     the row whose client order id the order bears: the ENTER command, or the ORDER that is amended or triggered
    number    of the instrument
    limit     ticks, within the band
    reach     ticks, limit or nearer: how far it may go now (9.3)
    leaves    lots open, > 0
    mode      SelfMatch
    flags     offset flags of the incoming order
    watching  whether anybody looks at trades (INSTRUMENT.watched)
    Returns   (at, leaves): next free row of events; lots left, 0 also when self-match prevention canceled them
    Cost      O(orders met)
    """
    against = opposite(book, number, side)
    last_row = row_of(against, reach)
    while leaves > 0 and against.best <= last_row:
        slot = book.levels[np.uint64(against.best)].head
        order = book.orders[slot]
        if rarely(mode != _TRADE and (
                book.members[np.uint64(order.account)].group == book.members[np.uint64(account)].group)):
            if mode != _CANCEL_INCOMING:
                at = withdraw(book, events, at, command, slot, _SELF_MATCH_RESTING)
            if mode != _CANCEL_RESTING:
                at = incoming_canceled(book, events, at, command, owner, number, account, order_id, side, limit, leaves,
                                       _SELF_MATCH_INCOMING, flags)
                leaves = 0
            continue
        if rarely(order.terms > TIME_IN_FORCE):
            leaves, at = meet_special(
                book, events, at, command, owner, number, account, order_id, side, limit, leaves, slot, flags)
            continue
        traded, at = trade(book, events, at, command, owner, number, account, order_id, side, limit, leaves, slot,
                           order.leaves_quantity, flags, watching)
        leaves -= traded
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
    """ENTER: accept, execute, and rest or cancel what is left. Its id is its sequence (RULEBOOK 1.4).

    The way of plain orders in continuous trading; enter_special is that of all others.
    """
    number, account, side = np.int64(command.instrument), np.int64(command.account), np.int64(command.side)
    leaves = command.quantity
    tell(book, events, at, command, command, _ACCEPTED, _NO_REASON, number, account, side, np.int64(command.flag_bits),
         command.sequence, limit, leaves, leaves)
    at += 1
    if crosses(book, number, side, limit):
        mode = self_match_mode(book, account, command.flag_bits)
        if command.time_in_force == _FOK and not can_fill(
                book, number, side, limit, leaves, mode, book.members[np.uint64(account)].group):
            return incoming_canceled(book, events, at, command, command, number, account, command.sequence, side, limit, leaves,
                                     _FOK_NOT_FILLED, _NO_FLAGS)
        at, leaves = execute(book, events, at, command, command, number, account, command.sequence, side, limit, limit, leaves,
                             mode, _NO_FLAGS, False)
    if leaves == 0:
        return at
    if command.time_in_force == _IOC or command.time_in_force == _FOK:
        reason = _IOC_REMAINDER if command.time_in_force == _IOC else _FOK_NOT_FILLED
        return incoming_canceled(book, events, at, command, command, number, account, command.sequence, side, limit, leaves,
                                 reason, _NO_FLAGS)
    slot = new_slot(book)
    keep(book.orders[slot], command, leaves)
    index(book, slot, command.sequence)
    ladder = own(book, number, side)
    rest(book, ladder, slot, row_of(ladder, limit))
    return at


@inlined
def is_parked_type(order_type):
    """Does an order of this type wait for its trigger?"""
    return order_type == _STOP or order_type == _STOP_LIMIT


@inlined
def is_iceberg(command):
    """Does an ENTER hide a part of its quantity?"""
    return 0 < command.display_quantity < command.quantity


@inlined
def rows_of(command):
    """What an ENTER takes of the second allowance (RULEBOOK 2.8)."""
    rows = ICEBERG_ROWS if is_iceberg(command) else 0
    return rows + PARKED_ROWS if is_parked_type(command.order_type) else rows


@inlined
def matches(instrument):
    """Do orders of the instrument trade as they come?"""
    return (instrument.phase == _CONTINUOUS or instrument.phase == _LIMIT_LOCKED) and instrument.mechanism == _ORDER_BOOK


@inlined
def keep_special(book, command, leaves, limit):
    """A slot for an order of any terms, findable by its id. Returns it."""
    slot = new_slot(book)
    order = book.orders[slot]
    keep(order, command, leaves)
    index(book, slot, command.sequence)
    traits = ICEBERG if is_iceberg(command) else 0
    if is_parked_type(command.order_type):
        traits |= PARKED
    if traits != 0 or command.minimum_quantity != 0 or command.counterparty != 0 or command.expire_date != 0 or (
            command.flag_bits & _OFFSET) or command.order_id != 0:
        order.terms |= traits | MARKED
        extra = book.extras[slot]
        clear_extra(extra)
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
def link(book, slot, other):
    """Make a pair of two orders of which one cancels the other. other: slot, or NOBODY."""
    if other != NOBODY:
        if not book.orders[other].terms & MARKED:
            clear_extra(book.extras[other])
        for one, two in ((slot, other), (other, slot)):
            book.orders[one].terms |= LINKED | MARKED
            book.extras[one].linked = two
        if not (book.orders[slot].terms | book.orders[other].terms) & PARKED:
            book.state[0].pairs += 1


@inlined
def park(book, events, at, command, limit):
    """A STOP or STOP_LIMIT begins to wait. RULEBOOK 2.9."""
    number, side = np.int64(command.instrument), np.int64(command.side)
    event = tell(book, events, at, command, command, _ACCEPTED, _NO_REASON, number, np.int64(command.account), side,
                 np.int64(command.flag_bits) | _PARKED_FLAG, command.sequence, limit, command.quantity, command.quantity)
    event.resting_price = command.trigger_price
    other = find(book, command.order_id) if command.order_id != 0 else np.uint32(NOBODY)
    slot = keep_special(book, command, command.quantity, limit)
    ladder = parked(book, number, side)
    rest(book, ladder, slot, row_of(ladder, command.trigger_price))
    link(book, slot, other)
    instrument = book.instruments[np.uint64(number)]
    instrument.stops += 1
    look_at(instrument)
    return at + 1


@outlined
def enter_special(book, events, at, command, limit):
    """ENTER of an order with rarer terms, in another phase than continuous trading, or where trades are watched."""
    number, account, side = np.int64(command.instrument), np.int64(command.account), np.int64(command.side)
    order_id = command.sequence
    if is_parked_type(command.order_type):
        return park(book, events, at, command, limit)
    leaves, flags = command.quantity, np.int64(command.flag_bits & _OFFSET)
    tell(book, events, at, command, command, _ACCEPTED, _NO_REASON, number, account, side, np.int64(command.flag_bits),
         order_id, limit, leaves, leaves)
    at += 1
    other = find(book, command.order_id) if command.order_id != 0 else np.uint32(NOBODY)
    passing = command.time_in_force == _IOC or command.time_in_force == _FOK
    interrupted = False
    if matches(book.instruments[np.uint64(number)]):
        mode = self_match_mode(book, account, command.flag_bits)
        reach = reach_of(book, number, side, limit, command.time)
        least = leaves if command.time_in_force == _FOK else command.minimum_quantity
        if least != 0 and not can_fill(book, number, side, reach, least, mode, book.members[np.uint64(account)].group):
            reason = _FOK_NOT_FILLED if command.time_in_force == _FOK else _MINIMUM_NOT_AVAILABLE
            return incoming_canceled(book, events, at, command, command, number, account, order_id, side, limit, leaves, reason,
                                     flags)
        trades = book.state[0].trade_id
        at, leaves = execute(book, events, at, command, command, number, account, order_id, side, limit, reach, leaves, mode,
                             flags, True)
        if book.state[0].trade_id != trades and other != NOBODY:
            unlink_pair(book, other)
            at = withdraw(book, events, at, command, other, _LINKED_REASON)
            other = np.uint32(NOBODY)
        if leaves != 0 and goes_on(book, number, side, limit):
            if passing or command.order_type == _MARKET:
                return incoming_canceled(book, events, at, command, command, number, account, order_id, side, limit, leaves,
                                         _VELOCITY, flags)
            interrupted = True
    if leaves == 0:
        return at
    if passing:
        return incoming_canceled(book, events, at, command, command, number, account, order_id, side, limit, leaves,
                                 _IOC_REMAINDER, flags)
    slot = keep_special(book, command, leaves, limit)
    ladder = own(book, number, side)
    rest(book, ladder, slot, row_of(ladder, limit))
    link(book, slot, other)
    at = conceal(book, events, at, command, slot, leaves)
    if interrupted:
        at = interrupt(book, events, at, command, number, _VELOCITY)
    return at


@inlined
def open_after_amend(order, command):
    """The open quantity that an AMEND asks for, lots; zero or less: nothing would be left. RULEBOOK 6.1."""
    if command.flag_bits & _OPEN_QUANTITY:
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
    event = tell_order(book, events, at, command, order, _AMENDED, _NO_REASON, flags, command.price, order.quantity, leaves)
    event.resting_leaves_quantity = open_before
    event.resting_price = price_before
    return at + 1


@inlined
def amend(book, events, at, command, slot):
    """AMEND: keep the place when only the quantity shrinks, else leave and enter again. RULEBOOK 6.

    The way of plain orders in continuous trading; amend_special is that of all others.
    """
    order = book.orders[slot]
    number, account, side = np.int64(command.instrument), np.int64(command.account), np.int64(order.side)
    ladder = own(book, number, side)
    open_before = order.leaves_quantity
    price_before = price_of(ladder, order.level)
    leaves = open_after_amend(order, command)
    if leaves <= 0:
        return withdraw(book, events, at, command, slot, _AMENDED_TO_FILLED)
    keeps_place = command.price == price_before and leaves <= open_before
    at = amended(book, events, at, command, slot, ladder, leaves, price_before, keeps_place, np.int64(command.flag_bits))
    if keeps_place:
        return at
    if crosses(book, number, side, command.price):
        mode = self_match_mode(book, account, command.flag_bits)
        at, leaves = execute(book, events, at, command, order, number, account, order.order_id, side, command.price,
                             command.price, leaves, mode, _NO_FLAGS, False)
        order.leaves_quantity = leaves
    if leaves == 0:
        forget(book, slot)
    else:
        rest(book, ladder, slot, row_of(ladder, command.price))
    return at


@inlined
def amend_parked(book, events, at, command, slot):
    """AMEND of a parked order: price, quantity and trigger. RULEBOOK 2.9."""
    order, extra = book.orders[slot], book.extras[slot]
    ladder = parked(book, order.instrument, order.side)
    leaves = open_after_amend(order, command)
    keeps_place = command.trigger_price == extra.trigger_price and leaves <= order.leaves_quantity
    flags = np.int64(command.flag_bits) & ~_OFFSET | np.int64(offset_flags(book, slot)) | _PARKED_FLAG
    at = amended(book, events, at, command, slot, ladder, leaves, command.trigger_price, keeps_place, flags)
    if extra.order_type == _STOP_LIMIT:
        extra.price = command.price
    events[np.uint64(at - 1)].price = extra.price
    extra.trigger_price = command.trigger_price
    if not keeps_place:
        rest(book, ladder, slot, row_of(ladder, command.trigger_price))
    return at


@outlined
def amend_special(book, events, at, command, slot):
    """AMEND of an order with rarer terms, in another phase than continuous trading, or where trades are watched."""
    order, extra = book.orders[slot], book.extras[slot]
    number, account, side = np.int64(command.instrument), np.int64(command.account), np.int64(order.side)
    leaves = open_after_amend(order, command)
    if leaves <= 0:
        return withdraw(book, events, at, command, slot, _AMENDED_TO_FILLED)
    if order.terms & PARKED:
        return amend_parked(book, events, at, command, slot)
    ladder = own(book, number, side)
    price_before = price_of(ladder, np.int64(order.level))
    keeps_place = command.price == price_before and leaves <= order.leaves_quantity
    shown = extra.shown
    at = reveal(book, events, at, command, slot)
    flags = np.int64(command.flag_bits) & ~_OFFSET | np.int64(offset_flags(book, slot))
    at = amended(book, events, at, command, slot, ladder, leaves, price_before, keeps_place, flags)
    if keeps_place:
        return conceal(book, events, at, command, slot, shown)
    interrupted = False
    if matches(book.instruments[np.uint64(number)]):
        mode = self_match_mode(book, account, command.flag_bits)
        reach = reach_of(book, number, side, command.price, command.time)
        trades = book.state[0].trade_id
        at, leaves = execute(book, events, at, command, order, number, account, order.order_id, side, command.price, reach,
                             leaves, mode, np.int64(offset_flags(book, slot)), True)
        order.leaves_quantity = leaves
        if book.state[0].trade_id != trades:
            at = cancel_linked(book, events, at, command, slot)
        interrupted = leaves != 0 and goes_on(book, number, side, command.price)
    if leaves == 0:
        leave(book, slot)
        return at
    rest(book, ladder, slot, row_of(ladder, command.price))
    at = conceal(book, events, at, command, slot, leaves)
    if interrupted:
        at = interrupt(book, events, at, command, number, _VELOCITY)
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
            if times != EVERY_TIME and time_in_force == _GTD:
                chosen = chosen and book.extras[slot].expire_date <= book.state[0].trading_date
                why = _DATE_REACHED
            if chosen and (account == ALL or order.account == account):
                at = withdraw(book, events, at, command, slot, why)
                canceled += 1
            slot = younger
        row = next_row(book, ladder, row + 1)
    return at, canceled


@outlined
def mass_cancel(book, events, at, command, instrument, account, side, reason, times):
    """Cancel every order of an instrument (or ALL), account (or ALL) and side (or 0).

    Instruments in order; bids, asks, parked buys, parked sells; best price first, oldest first. RULEBOOK 2.3.
    times     bits of the times in force meant, EVERY_TIME: all; GTD orders then only where their date has come
    Returns   (at, canceled)
    """
    canceled = 0
    for number in range(len(book.instruments)):
        if instrument != ALL and instrument != number:
            continue
        if reason == _MASS_CANCEL and book.instruments[number].mechanism == _ONE_SIDED:
            continue                     # offer and bids of a one-sided auction stay (13.2)
        for place in range(4):
            row = 2 * number + (place & 1)
            if side == 0 or side == (place & 1) + 1:
                ladder = book.sides[row] if place < 2 else book.stops[row]
                at, some = withdraw_side(book, events, at, command, ladder, account, times, reason)
                canceled += some
    return at, canceled


@inlined
def resting_order(book, command):
    """Slot of the order a CANCEL or AMEND means, or NOBODY: it must be open and be the account's (RULEBOOK 5.4)."""
    slot = find(book, command.order_id)
    if slot != NOBODY:
        order = book.orders[slot]
        if order.account != command.account or order.instrument != command.instrument:
            return np.uint32(NOBODY)
    return slot
