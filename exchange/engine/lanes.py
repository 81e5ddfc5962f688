"""The path of a command through the core, compiled. No I/O, no clock.

There are three lanes. Each is one compiled call for as many commands of a batch as it may take, in their order:

    process_fast        the fast path: plain orders in plain markets, which are nearly all
    process_general     the general path: any command of a trader
    process_operators   commands of operators

What is plain is said in rules.py. A command that both paths could take gives the same events on either. A command is checked
(rules.py), matched (matching) and applied to exposures (risk), in this order. Helpers stand before their callers.
"""

import numpy as np

from exchange.engine.operators import check_operator, done, operate
from exchange.engine.phases import release_lock
from exchange.engine.rules import (
    broken_rule,
    check,
    check_cancel,
    check_mass_cancel,
    is_plain_amend,
    is_plain_entry,
    is_plain_market,
    proposed_amend,
    proposed_entry,
)
from matching import codes as c
from matching.amend import amend, open_after_amend, resting_order
from matching.book import bucket_of, count, find, home, next_row, own, price_of
from matching.cancel import EVERY_TIME, mass_cancel, withdraw
from matching.codes import ALL
from matching.enter import enter
from matching.events import reject
from matching.intrinsics import prefetch, rarely, read_anew
from matching.jit import inlined, kernel, outlined
from matching.records import (
    CACHE_LINE,
    ICEBERG,
    NIL,
    NOBODY,
    PARKED,
    SPARE_ROWS,
)
from matching.spot import (
    note_offer,
    take,
)
from matching.triggers import fire
from risk.kernel import (
    apply_events,
    apply_incoming,
    apply_rows,
    first_client_order_row,
    hold,
    hold_checked,
    names_client_order,
    remember,
)
from risk.positions import row_of_exposure, stake_in
from risk.protection import next_tripped
from risk.rules import Found

_AHEAD, _FAR_AHEAD = 6, 48  # how many commands ahead to look

_STEADY = 32  # so many plain commands in a row go back to the fast path
_MOST_GROWTH = 3  # see sure_of_room


@outlined
def refuse(book, events, at, command, found):
    """Emit REJECTED by the rule that was found broken. Returns the next free row of events."""
    read_anew()
    first_order = found.value if found.reason == c.DUPLICATE_CLIENT_ORDER_ID else c.NONE
    return reject(book, events, at, command, found.reason, found.value, found.bound, first_order)


# What follows from a command ----------------------------------------------------------------------


@outlined
def aftermath(book, events, at, command, instrument):
    """Fire parked orders that the last price has reached, and end limit locks. instrument: index or ALL."""
    for number in range(len(book.instruments)):
        if instrument == ALL or instrument == number:
            at = fire(book, events, at, command, number)
            at = release_lock(book, events, at, command, number)
    return at


@outlined
def cancel_tripped(book, ledger, events, at, command):
    """Cancel the orders of accounts whose market-maker protection this command has tripped. RULEBOOK 9.6."""
    number = next_tripped(ledger, c.NONE)
    while number != NIL:
        end, _ = mass_cancel(book, events, at, command, c.EVERY, number, c.NONE, c.PROTECTION, EVERY_TIME)
        apply_events(ledger, events, at, end)
        at = end
        number = next_tripped(ledger, number + 1)
    ledger.hub[0].tripped = 0
    end = aftermath(book, events, at, command, c.EVERY)
    apply_events(ledger, events, at, end)
    return end


# The fast path ------------------------------------------------------------------------------------


@outlined
def process_in_full(book, ledger, risk, events, at, command):
    """ENTER or AMEND in a plain market that breaks a rule, or an AMEND that is not plain: check the whole list of rules."""
    read_anew()
    found, slot, _ = check(book, ledger, risk, command)
    if found.broken:
        return refuse(book, events, at, command, found)
    end = amend(book, events, at, command, slot, True)
    if risk:
        apply_rows(ledger, events, at, end, True)
    return end


@inlined
def fast_enter(book, ledger, risk, events, at, command):
    """ENTER of a plain order."""
    order = proposed_entry(book, ledger, risk, command, True)
    stake = stake_in(
        ledger, np.int64(command.account), np.int64(command.instrument), order.side, order.growth, order.flags, True
    )
    found = broken_rule(book, ledger, risk, command, order, np.uint32(NOBODY), stake, stake, True)
    if rarely(found.broken):
        return process_in_full(book, ledger, risk, events, at, command)
    if not risk:
        return enter(book, events, at, command, order.price, True)
    hold_checked(ledger, command, order, stake, np.int64(1))
    if names_client_order(command):
        remember(ledger, command)
    end = enter(book, events, at, command, order.price, True)
    if end != at + 1:
        apply_incoming(ledger, command, command.sequence, order.side, order.leaves, events, at + 1, end)
    return end


@inlined
def fast_cancel(book, ledger, risk, events, at, command):
    """CANCEL. In a plain market it can only break one rule of check_cancel."""
    slot = resting_order(book, command)
    if rarely(slot == NOBODY):
        return refuse(book, events, at, command, Found(True, c.UNKNOWN_ORDER, command.order_id, c.NONE))
    order = book.orders[slot]
    if risk:
        account, instrument, side = np.int64(command.account), np.int64(command.instrument), np.int64(order.side)
        hold(ledger, account, instrument, side, -order.leaves_quantity, np.int64(-1), c.NONE, True)
    return withdraw(book, events, at, command, slot, c.OK, True)


@inlined
def fast_amend(book, ledger, risk, events, at, command):
    """AMEND of a plain order."""
    slot = resting_order(book, command)
    leaves = open_after_amend(book.orders[slot], command)
    order = proposed_amend(book, command, slot, leaves, True)
    stake = stake_in(
        ledger, np.int64(command.account), np.int64(command.instrument), order.side, order.growth, order.flags, True
    )
    found = broken_rule(book, ledger, risk, command, order, slot, stake, stake, True)
    if rarely(found.broken | (not is_plain_amend(ledger, command, slot, leaves))):
        return process_in_full(book, ledger, risk, events, at, command)
    if not risk:
        return amend(book, events, at, command, slot, True)
    hold_checked(ledger, command, order, stake, c.NONE)
    end = amend(book, events, at, command, slot, True)
    if end != at + 1:
        apply_incoming(ledger, command, command.order_id, order.side, leaves, events, at + 1, end)
    return end


@inlined
def continues(commands, number):
    """Does a row continue the sequence, and is it not earlier than the row before it?"""
    command, before = commands[np.uint64(number)], commands[np.uint64(max(number - 1, 0))]
    return command.sequence - number == commands[0].sequence and command.time >= before.time


@inlined
def look_ahead(book, ledger, risk, commands, number, sequence):
    """Fetch the memory that coming commands will touch, since a batch says in advance where they will look.

    First the rows themselves, far ahead; then, from a row that has come, what it names.
    sequence  of row `number`
    """
    if rarely(number & 15 == 0):  # sixteen new ids share a line of buckets
        prefetch(book.buckets, bucket_of(book, sequence + 16 + _AHEAD))
    if number + _FAR_AHEAD < len(commands):
        prefetch(commands, np.uint64(number + _FAR_AHEAD))
        prefetch(commands, np.uint64(number + _FAR_AHEAD), CACHE_LINE)
        ahead = commands[np.uint64(number + _AHEAD)]
        prefetch(book.orders, np.uint64(book.buckets[bucket_of(book, ahead.order_id)]))
        if risk:
            prefetch(ledger.exposures, row_of_exposure(ledger, ahead.account, ahead.instrument))
            prefetch(ledger.accounts, np.uint64(ahead.account))
            if ahead.client_0 != 0:
                prefetch(ledger.client_orders, np.uint64(first_client_order_row(ledger, ahead)))


@inlined
def room_for_events(book, events):
    """Row of `events` up to which a command may begin, before two rows for each open order and STATE.extra_rows are taken off.

    One command gives at most two events for each order, account and instrument, those that icebergs and parked orders may
    give beyond that, and SPARE_ROWS.
    """
    return len(events) - 2 * (len(book.members) + len(book.instruments)) - SPARE_ROWS


@inlined
def sure_of_room(book, at, room):
    """How many plain commands certainly find room for their events.

    A command needs at + 2 * orders + extra_rows <= room. A plain one adds at most three to that: it is accepted and rests.
    """
    left = room - at - 2 * book.state[0].orders - book.state[0].extra_rows
    return left // _MOST_GROWTH + 1 if left >= 0 else 0


@inlined
def fast_path(commands, first, events, at, book, ledger, risk):
    """The fast path; see process_fast. risk: literal."""
    state = book.state[0]
    state.event_id -= at  # events are numbered from the first row on
    number = sure = first
    before = commands[0].sequence  # a row that does not continue it, or the time of the last one, is not applied
    latest = commands[np.uint64(max(number - 1, 0))].time
    room = room_for_events(book, events)
    while ledger.hub[0].tripped == 0:
        if rarely(number == sure):
            sure = min(number + sure_of_room(book, at, room), len(commands))
            if rarely(number == sure):
                break
        command = commands[np.uint64(number)]
        time = command.time
        wrong = (command.sequence - number ^ before) | (time - latest) >> 63
        if rarely(wrong != 0 or not is_plain_market(book, command)):
            break
        latest = time
        look_ahead(book, ledger, risk, commands, number, command.sequence)
        kind = command.kind
        if kind == c.CANCEL:
            at = fast_cancel(book, ledger, risk, events, at, command)
        elif kind == c.ENTER:
            if rarely(not is_plain_entry(ledger, command)):
                break
            at = fast_enter(book, ledger, risk, events, at, command)
        elif kind == c.AMEND:
            at = fast_amend(book, ledger, risk, events, at, command)
        else:
            break
        number += 1
    state.event_id += at
    return number, at, ledger.hub[0].tripped != 0


@kernel
def process_fast(commands, first, events, at, book, ledger):
    """The fast path: apply commands from `first` on, while they are plain and certainly find room for their events.

    commands  COMMAND_WORDS (n)
    events    EVENT_WORDS, filled from row `at`
    Returns   (next command, next free row of events, whether process_general must cancel_tripped)
    """
    return fast_path(commands, first, events, at, book, ledger, True)


@kernel
def process_fast_alone(commands, first, events, at, book, ledger):
    """The fast path without risk (HUB.on is 0). It is a kernel of its own, so that neither kernel branches on it."""
    return fast_path(commands, first, events, at, book, ledger, False)


# The general path ---------------------------------------------------------------------------------


@outlined
def general_enter(book, ledger, risk, events, at, command):
    """ENTER of any order in any market."""
    found, _, price = check(book, ledger, risk, command)
    if found.broken:
        return refuse(book, events, at, command, found)
    if risk and names_client_order(command):
        remember(ledger, command)
    end = enter(book, events, at, command, price, False)
    if book.instruments[np.uint64(command.instrument)].mechanism == c.ONE_SIDED:
        end = note_offer(book, events, end, command)
    end = aftermath(book, events, end, command, np.int64(command.instrument))
    if risk:
        apply_events(ledger, events, at, end)
    return end


@outlined
def general_take(book, ledger, risk, events, at, command):
    """TAKE."""
    found, slot, _ = check(book, ledger, risk, command)
    if found.broken:
        return refuse(book, events, at, command, found)
    if risk and names_client_order(command):
        remember(ledger, command)
    end = take(book, events, at, command, slot)
    if risk:
        apply_events(ledger, events, at, end)
    return end


@outlined
def general_cancel(book, ledger, risk, events, at, command):
    """CANCEL of any order."""
    found, slot = check_cancel(book, command)
    if found.broken:
        return refuse(book, events, at, command, found)
    end = withdraw(book, events, at, command, slot, c.OK, False)
    end = aftermath(book, events, end, command, np.int64(command.instrument))
    if risk:
        apply_events(ledger, events, at, end)
    return end


@outlined
def general_amend(book, ledger, risk, events, at, command):
    """AMEND of any order."""
    found, slot, _ = check(book, ledger, risk, command)
    if found.broken:
        return refuse(book, events, at, command, found)
    end = amend(book, events, at, command, slot, False)
    end = aftermath(book, events, end, command, np.int64(command.instrument))
    if risk:
        apply_events(ledger, events, at, end)
    return end


@outlined
def general_mass_cancel(book, ledger, risk, events, at, command):
    """MASS_CANCEL."""
    found = check_mass_cancel(book, command)
    if found.broken:
        return refuse(book, events, at, command, found)
    number, account, side = np.int64(command.instrument), np.int64(command.account), np.int64(command.side)
    end, canceled = mass_cancel(book, events, at, command, number, account, side, c.MASS_CANCEL_REASON, EVERY_TIME)
    if risk:
        apply_events(ledger, events, at, end)
    end = done(book, events, end, command, c.MASS_CANCELED, account, side, canceled)
    return aftermath(book, events, end, command, number)


@kernel
def process_general(commands, first, events, at, book, ledger):
    """The general path: apply commands from `first` on, until plain ones keep coming, or until one of an operator.

    If the command before `first` has tripped an account, its orders are canceled at the beginning. Parameters: see process_fast.
    Returns   (next command, next free row of events)
    """
    risk = ledger.hub[0].on != 0
    state = book.state[0]
    state.event_id -= at
    number = first
    room = room_for_events(book, events)
    if ledger.hub[0].tripped != 0:
        at = cancel_tripped(book, ledger, events, at, commands[np.uint64(number - 1)])
    plain = 0
    while number < len(commands) and at + 2 * state.orders + state.extra_rows <= room and plain < _STEADY:
        command = commands[np.uint64(number)]
        kind = command.kind
        if kind >= c.PHASE or not continues(commands, number):
            break
        is_plain = (
            is_plain_market(book, command) and kind <= c.AMEND and (kind != c.ENTER or is_plain_entry(ledger, command))
        )
        plain = plain + 1 if is_plain else 0
        if kind == c.ENTER:
            at = general_enter(book, ledger, risk, events, at, command)
        elif kind == c.CANCEL:
            at = general_cancel(book, ledger, risk, events, at, command)
        elif kind == c.AMEND:
            at = general_amend(book, ledger, risk, events, at, command)
        elif kind == c.MASS_CANCEL:
            at = general_mass_cancel(book, ledger, risk, events, at, command)
        elif kind == c.TAKE:
            at = general_take(book, ledger, risk, events, at, command)
        else:
            at = refuse(book, events, at, command, Found(True, c.UNKNOWN_KIND, np.int64(kind), c.NONE))
        if ledger.hub[0].tripped != 0:
            at = cancel_tripped(book, ledger, events, at, command)
        number += 1
    state.event_id += at
    return number, at


# Operators ----------------------------------------------------------------------------------------


@inlined
def process_operator(book, ledger, risk, events, at, command):
    """Any command of an operator."""
    found = check_operator(book, ledger, risk, command)
    if found.broken:
        return refuse(book, events, at, command, found)
    return operate(book, ledger, risk, events, at, command)


@kernel
def process_operators(commands, first, events, at, book, ledger):
    """Apply commands of operators from `first` on, until one of a trader. Parameters: see process_fast.

    Returns   (next command, next free row of events)
    """
    risk = ledger.hub[0].on != 0
    state = book.state[0]
    state.event_id -= at
    number = first
    room = room_for_events(book, events)
    while number < len(commands) and at + 2 * state.orders + state.extra_rows <= room:
        command = commands[np.uint64(number)]
        kind = command.kind
        if kind < c.PHASE or not continues(commands, number):
            break
        if kind > c.WINDOW:
            at = refuse(book, events, at, command, Found(True, c.UNKNOWN_KIND, np.int64(kind), c.NONE))
        else:
            at = process_operator(book, ledger, risk, events, at, command)
        if ledger.hub[0].tripped != 0:
            at = cancel_tripped(book, ledger, events, at, command)
        number += 1
    state.event_id += at
    return number, at


# Reading the books --------------------------------------------------------------------------------


@inlined
def shown_at(book, row):
    """Lots that the orders of a level show."""
    shown = np.int64(0)
    slot = book.levels[row].head
    while slot != NOBODY:
        order = book.orders[slot]
        shown += book.extras[slot].shown if order.terms & ICEBERG else order.leaves_quantity
        slot = order.next
    return shown


@inlined
def begin_counting(book, ladder):
    """Count the orders of every level of a side; from here on `rest` and `unlink` keep the counts."""
    row = ladder.best
    while row != ladder.end:
        slot = book.levels[row].head
        while slot != NOBODY:
            count(book, slot, row, 1)
            slot = book.orders[slot].next
        row = next_row(book, ladder, row + 1)
    ladder.counted = 1


@kernel
def list_depth(book, number, side, rows):
    """Fill int64 rows (n, 3) with price, quantity shown and orders of a side's levels, best first. Returns how many.

    Cost   O(levels listed), and the orders of those in which icebergs rest. The first call for a side counts its orders.
    """
    ladder = own(book, number, side)
    if ladder.counted == 0:
        begin_counting(book, ladder)
    row = ladder.best
    listed = 0
    while listed < len(rows) and row != ladder.end:
        counts = book.counts[row]
        rows[listed, 0] = price_of(ladder, row)
        rows[listed, 1] = book.levels[row].quantity if counts.icebergs == 0 else shown_at(book, row)
        rows[listed, 2] = counts.orders
        listed += 1
        row = next_row(book, ladder, row + 1)
    return listed


@kernel
def list_orders(book, number, place, slots):
    """Fill int64 slots (n, 2) with slot and price of a ladder's orders, best price first, oldest first. Returns how many.

    place     0 bids, 1 asks, 2 parked buys, 3 parked sells, whose price is their trigger
    """
    ladder = book.sides[2 * number + place] if place < 2 else book.stops[2 * number + place - 2]
    row = ladder.best
    count = 0
    while row != ladder.end:
        slot = book.levels[row].head
        while slot != NOBODY:
            slots[count, 0] = slot
            slots[count, 1] = price_of(ladder, row)
            count += 1
            slot = book.orders[slot].next
        row = next_row(book, ladder, row + 1)
    return count


@kernel
def locate(book, order_id):
    """(slot, price) of an open order, of a parked one its limit; slot NOBODY: there is none."""
    slot = find(book, order_id)
    if slot == NOBODY:
        return np.int64(NOBODY), np.int64(0)
    order = book.orders[slot]
    price = book.extras[slot].price if order.terms & PARKED else price_of(home(book, slot), np.int64(order.level))
    return np.int64(slot), np.int64(price)
