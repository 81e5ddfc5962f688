"""Orders of any terms in any market: icebergs, pairs, minimum quantities, dates, parked orders. RULEBOOK 2.9 to 2.14.

The same steps as in kernel.py, for orders that most markets do not have: `enter_any`, `amend_any`, `execute_any`,
`withdraw_any`, `mass_cancel`. What such an order has beyond others stands in a row of EXTRA; `mark` gives it one, `leave`
takes it back. How parked orders come to the market is told in triggers.py, what the circuit breaker allows in breaker.py.
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
    parked,
    price_of,
    rest,
    row_of,
    unlink,
)
from matching.breaker import goes_on, interrupt, matches, note_trade, reach_after, reach_of
from matching.codes import (
    ALL,
    RESTING_OFFSET,
)
from matching.jit import code, inlined, outlined
from matching.kernel import (
    amended,
    emit,
    emit_order,
    incoming_canceled,
    is_self_match,
    keep,
    middle,
    open_after_amend,
    self_match_mode,
    trade,
)
from matching.records import ICEBERG, ICEBERG_ROWS, LINKED, MARKED, NOBODY, PARKED, PARKED_ROWS, TIME_IN_FORCE

EVERY_TIME = code(-1)  # mass_cancel: whatever the time in force


# What an order shows ------------------------------------------------------------------------------


@inlined
def offset_flags(book, slot):
    """The offset flags of an order that is in the pool, as its events bear them."""
    return book.extras[slot].flag_bits & c.OFFSET_FLAGS if book.orders[slot].terms & MARKED else 0


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
    event = emit_order(book, events, at, command, order, c.DISPLAYED, c.OK, c.NONE, price, shown, order.leaves_quantity)
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
        return displayed(
            book, events, at, command, slot, price, min(extra.display_quantity, most, order.leaves_quantity)
        )
    return at


# Rows of EXTRA, and pairs -------------------------------------------------------------------------


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
    """Bring INSTRUMENT.watched up to date: is anything in the instrument not plain?"""
    instrument.watched = 1 if instrument.marked != 0 or instrument.velocity != 0 else 0


@inlined
def mark(book, slot):
    """Give an order a row of EXTRA. RULEBOOK 2.9 to 2.14: what most orders do not have."""
    order = book.orders[slot]
    if not order.terms & MARKED:
        order.terms |= MARKED
        clear_extra(book.extras[slot])
        instrument = book.instruments[np.uint64(order.instrument)]
        instrument.marked += 1
        look_at(instrument)


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
    order = book.orders[slot]
    if order.terms & MARKED:
        unlink_pair(book, slot)
        book.state[0].extra_rows -= book.extras[slot].rows
        instrument = book.instruments[np.uint64(order.instrument)]
        instrument.marked -= 1
        look_at(instrument)
    forget(book, slot)


@inlined
def link(book, slot, other):
    """Make a pair of two orders of which one cancels the other. other: slot, or NOBODY."""
    if other != NOBODY:
        mark(book, slot)
        mark(book, other)
        for one, two in ((slot, other), (other, slot)):
            book.orders[one].terms |= LINKED
            book.extras[one].linked = two
        if not (book.orders[slot].terms | book.orders[other].terms) & PARKED:
            book.state[0].pairs += 1


# Leaving the book ---------------------------------------------------------------------------------


@outlined
def withdraw_any(book, events, at, command, slot, reason):
    """Cancel an order of the pool: an iceberg is revealed first, a parked order leaves where it waits."""
    order = book.orders[slot]
    at = reveal(book, events, at, command, slot)
    side = home(book, slot)
    open_quantity = order.leaves_quantity
    flags = np.int64(offset_flags(book, slot))
    price = price_of(side, np.int64(order.level))
    unlink(book, side, slot)
    if order.terms & PARKED:
        flags |= c.PARKED
        price = book.extras[slot].price
        book.instruments[np.uint64(order.instrument)].stops -= 1
    emit_order(book, events, at, command, order, c.CANCELED, reason, flags, price, open_quantity, c.NONE)
    leave(book, slot)
    return at + 1


@outlined
def cancel_linked(book, events, at, command, slot):
    """One cancels the other (RULEBOOK 2.14): the order in `slot` has traded or was triggered."""
    other = unlink_pair(book, slot)
    if other != NOBODY:
        return withdraw_any(book, events, at, command, other, c.LINKED)
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
            if times != EVERY_TIME and time_in_force == c.GTD:
                chosen = chosen and book.extras[slot].expire_date <= book.state[0].trading_date
                why = c.DATE_REACHED
            if chosen and (account == ALL or order.account == account):
                at = withdraw_any(book, events, at, command, slot, why)
                canceled += 1
            slot = younger
        row = next_row(book, ladder, row + 1)
    return at, canceled


@inlined
def offer_is_alone(book, number):
    """Has nobody bid yet for the offer of a one-sided auction?"""
    slot = find(book, book.instruments[number].initiator)
    return slot != NOBODY and is_empty(opposite(book, number, book.orders[slot].side))


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
        instrument_row = book.instruments[number]
        if reason == c.MASS_CANCEL_REASON and (
            instrument_row.phase == c.AUCTION_ENTRY_ONLY
            or (instrument_row.mechanism == c.ONE_SIDED and not offer_is_alone(book, number))
        ):
            continue  # 8.9; 13.2: bids of a one-sided auction stay, and its offer once there is one
        for place in range(4):
            row = 2 * number + (place & 1)
            if side == 0 or side == (place & 1) + 1:
                ladder = book.sides[row] if place < 2 else book.stops[row]
                at, some = withdraw_side(book, events, at, command, ladder, account, times, reason)
                canceled += some
    return at, canceled


# Matching -----------------------------------------------------------------------------------------


@outlined
def meet(book, events, at, command, owner, number, account, order_id, side, limit, leaves, slot, flags):
    """Match with a resting order of any terms. Returns (lots left of the incoming order, at)."""
    order, extra = book.orders[slot], book.extras[slot]
    iceberg = order.terms & ICEBERG != 0
    most = extra.shown if iceberg else order.leaves_quantity
    marks = flags | np.int64(offset_flags(book, slot)) << RESTING_OFFSET
    traded, at = trade(
        book, events, at, command, owner, number, account, order_id, side, limit, leaves, slot, most, marks
    )
    note_trade(book.instruments[np.uint64(number)])
    if iceberg:
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
        at = displayed(
            book, events, at, command, slot, price_of(ladder, row), min(extra.display_quantity, order.leaves_quantity)
        )
    return leaves - traded, at


@inlined
def goes_first(book, slot):
    """Does a resting order keep its place until it trades? Not the worse placed one of a pair. RULEBOOK 2.14."""
    order = book.orders[slot]
    if not order.terms & LINKED:
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


@inlined
def ends_at(book, level, mode, group):
    """Does self-match prevention cancel the incoming order somewhere in this level?"""
    if mode != c.SELF_MATCH_ALLOWED and mode != c.CANCEL_RESTING:
        slot = level.head
        while slot != NOBODY:
            if book.members[np.uint64(book.orders[slot].account)].group == group:
                return True
            slot = book.orders[slot].next
    return False


@outlined
def can_fill_any(book, number, side, limit, reach, quantity, mode, group):
    """kernel.can_fill where resting orders may have any terms. reach: see execute_any. RULEBOOK 2.5, 2.12, 4.3."""
    instrument = book.instruments[np.uint64(number)]
    against = opposite(book, number, side)
    last_price = instrument.last_price
    row = against.best
    while quantity > 0 and row <= row_of(against, reach):
        level = book.levels[np.uint64(row)]
        ends = ends_at(book, level, mode, group)
        slot = level.head
        while slot != NOBODY and quantity > 0:
            order = book.orders[slot]
            if mode != c.SELF_MATCH_ALLOWED and book.members[np.uint64(order.account)].group == group:
                if mode != c.CANCEL_RESTING:
                    return False
            elif goes_first(book, slot):
                # what an iceberg hides goes behind the order that ends it all
                hides = ends and order.terms & ICEBERG != 0
                quantity -= book.extras[slot].shown if hides else order.leaves_quantity
                price = price_of(against, row)
                last_price = middle(limit, price, last_price) if instrument.median != 0 else price
                reach = reach_after(instrument, side, reach, last_price)
            slot = order.next
        row = next_row(book, against, row + 1)
    return quantity <= 0


@inlined
def execute_any(book, events, at, command, owner, number, account, order_id, side, limit, reach, leaves, mode, flags):
    """kernel.execute where resting orders may have any terms.

    owner     also an ORDER that is triggered, or an EVENT
    reach     ticks, limit or nearer: how far it may go now (RULEBOOK 9.3)
    flags     offset flags of the incoming order
    """
    instrument = book.instruments[np.uint64(number)]
    against = opposite(book, number, side)
    while leaves > 0 and against.best <= row_of(against, reach):
        slot = book.levels[np.uint64(against.best)].head
        if mode != c.SELF_MATCH_ALLOWED and is_self_match(book, account, book.orders[slot].account):
            if mode != c.CANCEL_INCOMING:
                at = withdraw_any(book, events, at, command, slot, c.SELF_MATCH_RESTING)
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
                    flags,
                )
                leaves = c.NONE
            continue
        leaves, at = meet(book, events, at, command, owner, number, account, order_id, side, limit, leaves, slot, flags)
        reach = reach_after(instrument, side, reach, instrument.last_price)
    return at, leaves


# The commands of traders --------------------------------------------------------------------------


@inlined
def is_parked_type(order_type):
    """Does an order of this type wait for its trigger?"""
    return order_type >= c.STOP


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
def keep_any(book, command, leaves, limit):
    """A slot for an order of any terms, findable by its id. Returns it."""
    slot = new_slot(book)
    order = book.orders[slot]
    keep(order, command, leaves)
    index(book, slot, command.sequence)
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
    """A STOP or STOP_LIMIT begins to wait. RULEBOOK 2.9."""
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
    event.resting_price = command.trigger_price
    other = find(book, command.order_id) if command.order_id != 0 else np.uint32(NOBODY)
    slot = keep_any(book, command, command.quantity, limit)
    ladder = parked(book, number, side)
    rest(book, ladder, slot, row_of(ladder, command.trigger_price))
    link(book, slot, other)
    book.instruments[np.uint64(number)].stops += 1
    return at + 1


@outlined
def enter_any(book, events, at, command, limit):
    """ENTER of any order in any market."""
    number, account, side = np.int64(command.instrument), np.int64(command.account), np.int64(command.side)
    order_id = command.sequence
    if is_parked_type(command.order_type):
        return park(book, events, at, command, limit)
    leaves, flags = command.quantity, np.int64(command.flag_bits & c.OFFSET_FLAGS)
    emit(
        book,
        events,
        at,
        command,
        command,
        c.ACCEPTED,
        c.OK,
        number,
        account,
        side,
        np.int64(command.flag_bits),
        order_id,
        limit,
        leaves,
        leaves,
    )
    at += 1
    other = find(book, command.order_id) if command.order_id != 0 else np.uint32(NOBODY)
    passing = command.time_in_force == c.IOC or command.time_in_force == c.FOK
    interrupted = False
    if matches(book.instruments[np.uint64(number)]):
        mode = self_match_mode(book, account, command.flag_bits)
        reach = reach_of(book, number, side, limit, command.time)
        least = leaves if command.time_in_force == c.FOK else command.minimum_quantity
        if least != 0 and not can_fill_any(
            book, number, side, limit, reach, least, mode, book.members[np.uint64(account)].group
        ):
            reason = c.FOK_NOT_FILLED if command.time_in_force == c.FOK else c.MINIMUM_NOT_AVAILABLE
            return incoming_canceled(
                book, events, at, command, command, number, account, order_id, side, limit, leaves, reason, flags
            )
        trades = book.state[0].trade_id
        at, leaves = execute_any(
            book, events, at, command, command, number, account, order_id, side, limit, reach, leaves, mode, flags
        )
        if book.state[0].trade_id != trades and other != NOBODY:
            unlink_pair(book, other)
            at = withdraw_any(book, events, at, command, other, c.LINKED)
            other = np.uint32(NOBODY)
        if leaves != 0 and goes_on(book, number, side, limit):
            if passing or command.order_type == c.MARKET:
                return incoming_canceled(
                    book,
                    events,
                    at,
                    command,
                    command,
                    number,
                    account,
                    order_id,
                    side,
                    limit,
                    leaves,
                    c.VELOCITY,
                    flags,
                )
            interrupted = True
    if leaves == 0:
        return at
    if passing:
        return incoming_canceled(
            book, events, at, command, command, number, account, order_id, side, limit, leaves, c.IOC_REMAINDER, flags
        )
    slot = keep_any(book, command, leaves, limit)
    ladder = own(book, number, side)
    rest(book, ladder, slot, row_of(ladder, limit))
    link(book, slot, other)
    at = conceal(book, events, at, command, slot, leaves)
    if interrupted:
        at = interrupt(book, events, at, command, number, c.VELOCITY)
    return at


@inlined
def amend_parked(book, events, at, command, slot):
    """AMEND of a parked order: price, quantity and trigger. RULEBOOK 2.9."""
    order, extra = book.orders[slot], book.extras[slot]
    ladder = parked(book, order.instrument, order.side)
    leaves = open_after_amend(order, command)
    keeps_place = command.trigger_price == extra.trigger_price and leaves <= order.leaves_quantity
    flags = np.int64(command.flag_bits) & ~c.OFFSET_FLAGS | np.int64(offset_flags(book, slot)) | c.PARKED
    at = amended(book, events, at, command, slot, ladder, leaves, command.trigger_price, keeps_place, flags)
    if extra.order_type == c.STOP_LIMIT:
        extra.price = command.price
    events[np.uint64(at - 1)].price = extra.price
    extra.trigger_price = command.trigger_price
    if not keeps_place:
        rest(book, ladder, slot, row_of(ladder, command.trigger_price))
    return at


@outlined
def amend_any(book, events, at, command, slot):
    """AMEND of any order in any market."""
    order, extra = book.orders[slot], book.extras[slot]
    number, account, side = np.int64(command.instrument), np.int64(command.account), np.int64(order.side)
    leaves = open_after_amend(order, command)
    if leaves <= 0:
        return withdraw_any(book, events, at, command, slot, c.AMENDED_TO_FILLED)
    if order.terms & PARKED:
        return amend_parked(book, events, at, command, slot)
    ladder = own(book, number, side)
    price_before = price_of(ladder, np.int64(order.level))
    keeps_place = command.price == price_before and leaves <= order.leaves_quantity
    shown = extra.shown
    at = reveal(book, events, at, command, slot)
    flags = np.int64(command.flag_bits) & ~c.OFFSET_FLAGS | np.int64(offset_flags(book, slot))
    at = amended(book, events, at, command, slot, ladder, leaves, price_before, keeps_place, flags)
    if keeps_place:
        return conceal(book, events, at, command, slot, shown)
    interrupted = False
    if matches(book.instruments[np.uint64(number)]):
        mode = self_match_mode(book, account, command.flag_bits)
        reach = reach_of(book, number, side, command.price, command.time)
        trades = book.state[0].trade_id
        at, leaves = execute_any(
            book,
            events,
            at,
            command,
            order,
            number,
            account,
            order.order_id,
            side,
            command.price,
            reach,
            leaves,
            mode,
            np.int64(offset_flags(book, slot)),
        )
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
        at = interrupt(book, events, at, command, number, c.VELOCITY)
    return at
