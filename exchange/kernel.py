"""The path of a command through the core, compiled into one call per batch. No I/O, no clock.

`process` applies a batch; `process_one` tells the path, in the order of RULEBOOK 5: is the row sound, may anybody
trade, does the phase allow it, does the order meant exist, does the order pass, then the book, and at last the
exposures. Helpers stand before those who use them. Checks return (reason, value, bound) and what they found; reason 0
means that the command passes.
"""
import numpy as np

from exchange.operators import check_operator, done, operate
from exchange.phases import REFUSES_CANCEL, REFUSES_ENTRY
from matching.book import bucket_of, find, next_row, opposite, own, price_of
from matching.codes import ALL, CommandKind, EventKind, Flag, OrderType, Reason, Side, TimeInForce
from matching.jit import inlined, kernel, outlined, prefetch
from matching.kernel import (
    amend,
    crosses,
    enter,
    limit_price,
    mass_cancel,
    open_after_amend,
    rejected,
    resting_order,
    withdraw,
)
from matching.records import MAX_QUANTITY, NOBODY
from risk.kernel import (
    check_collar,
    check_exposure,
    check_increments,
    check_offset,
    check_rate,
    check_size,
    first_client_order_row,
    first_holder,
    hold,
    names_client_order,
    remember,
    settle,
)
from risk.protection import check_protection

_BUY, _SELL = int(Side.BUY), int(Side.SELL)
_ENTER, _CANCEL, _AMEND = int(CommandKind.ENTER), int(CommandKind.CANCEL), int(CommandKind.AMEND)
_MASS_CANCEL, _MASS_CANCELED = int(CommandKind.MASS_CANCEL), int(EventKind.MASS_CANCELED)
_PHASE, _END_DAY = int(CommandKind.PHASE), int(CommandKind.END_DAY)
_MARKET, _LIMIT_ORDER = int(OrderType.MARKET), int(OrderType.LIMIT)
_GTC, _IOC, _FOK = int(TimeInForce.GTC), int(TimeInForce.IOC), int(TimeInForce.FOK)
_POST_ONLY = int(Flag.POST_ONLY)
_ANY_FLAG = int(sum(Flag)) & ~int(Flag.PARKED)
_SMP = int(Flag.SMP_CANCEL_INCOMING | Flag.SMP_CANCEL_RESTING | Flag.SMP_CANCEL_BOTH)
_AHEAD = 6                       # how many commands ahead to look

_OK = int(Reason.NONE)
_UNKNOWN_KIND, _UNKNOWN_INSTRUMENT = int(Reason.UNKNOWN_KIND), int(Reason.UNKNOWN_INSTRUMENT)
_UNKNOWN_ACCOUNT, _INVALID_SIDE = int(Reason.UNKNOWN_ACCOUNT), int(Reason.INVALID_SIDE)
_INVALID_ORDER_TYPE, _INVALID_TIME_IN_FORCE = int(Reason.INVALID_ORDER_TYPE), int(Reason.INVALID_TIME_IN_FORCE)
_INVALID_FLAGS, _INVALID_QUANTITY = int(Reason.INVALID_FLAGS), int(Reason.INVALID_QUANTITY)
_UNKNOWN_ORDER = int(Reason.UNKNOWN_ORDER)
_PRICE_BELOW_BAND, _PRICE_ABOVE_BAND = int(Reason.PRICE_BELOW_BAND), int(Reason.PRICE_ABOVE_BAND)
_DUPLICATE, _CLIENT_CAPACITY = int(Reason.DUPLICATE_CLIENT_ORDER_ID), int(Reason.CLIENT_ORDER_ID_CAPACITY)
_MAX_OPEN_ORDERS, _BOOK_FULL = int(Reason.MAX_OPEN_ORDERS), int(Reason.BOOK_FULL)
_POST_ONLY_WOULD_TRADE = int(Reason.POST_ONLY_WOULD_TRADE)
_MASS_CANCEL_REASON = int(Reason.MASS_CANCEL)


@outlined
def refuse(book, events, at, command, reason, value, bound, first_order):
    """Write the REJECTED event of a command. Returns the next free row of events."""
    return rejected(book, events, at, command, reason, value, bound, first_order)


# Is the row sound? RULEBOOK 1.5 ------------------------------------------------------------------------------------------

@inlined
def check_names(book, command):
    """Instrument and account exist."""
    if command.instrument < 0 or command.instrument >= len(book.instruments):
        return _UNKNOWN_INSTRUMENT, command.instrument, len(book.instruments) - 1
    if command.account < 0 or command.account >= len(book.members):
        return _UNKNOWN_ACCOUNT, command.account, len(book.members) - 1
    return _OK, 0, 0


@inlined
def check_flags(flags):
    """Only known flags, and at most one self-match flag."""
    smp = flags & _SMP
    return flags & ~_ANY_FLAG == 0 and smp & (smp - 1) == 0


@inlined
def check_row(command):
    """The codes and the quantity of an ENTER."""
    if command.side != _BUY and command.side != _SELL:
        return _INVALID_SIDE, command.side, 0
    if command.order_type != _LIMIT_ORDER and command.order_type != _MARKET:
        return _INVALID_ORDER_TYPE, command.order_type, 0
    time_in_force = command.time_in_force
    if time_in_force > _GTC and time_in_force != _IOC and time_in_force != _FOK:
        return _INVALID_TIME_IN_FORCE, time_in_force, 0
    flags = np.int64(command.flag_bits)
    if flags != 0 and (not check_flags(flags) or (
            flags & _POST_ONLY and (command.order_type == _MARKET or time_in_force > _GTC))):
        return _INVALID_FLAGS, flags, 0
    if command.quantity <= 0:
        return _INVALID_QUANTITY, command.quantity, 1
    if command.quantity > MAX_QUANTITY:
        return _INVALID_QUANTITY, command.quantity, MAX_QUANTITY
    return _OK, 0, 0


# May anybody trade this now? RULEBOOK 5.1 to 5.3 -------------------------------------------------------------------------

@inlined
def check_standing(ledger, command):
    """Kill switches and the account's standing."""
    refusal = ledger.limits[np.uint64(command.instrument)].refusal
    if refusal == _OK:
        refusal = np.int64(ledger.accounts[np.uint64(command.account)].refusal)
    return refusal, 0, 0


@inlined
def check_band(instrument, price):
    """RULEBOOK 5.6."""
    if price < instrument.floor:
        return _PRICE_BELOW_BAND, price, instrument.floor
    if price > instrument.ceiling:
        return _PRICE_ABOVE_BAND, price, instrument.ceiling
    return _OK, 0, 0


@inlined
def best_opposite(book, instrument, side):
    """Best price an order of this side would meet, ticks; only where there is one."""
    against = opposite(book, instrument, side)
    return price_of(against, against.best)


# Traders' commands -------------------------------------------------------------------------------------------------------

@inlined
def check_enter(book, ledger, risk, command):
    """Every rule for a new order, in order. Returns (reason, value, bound, first order, limit price)."""
    reason, value, bound = check_names(book, command)
    if reason == _OK:
        reason, value, bound = check_row(command)
    if reason == _OK and risk:
        special = ledger.limits[np.uint64(command.instrument)].special
        reason, value, bound = check_offset(special, command.flag_bits, command.time_in_force)
    if reason == _OK and risk:
        reason, value, bound = check_standing(ledger, command)
    if reason != _OK:
        return reason, value, bound, 0, 0
    instrument = book.instruments[np.uint64(command.instrument)]
    if REFUSES_ENTRY[np.uint64(instrument.phase)] != _OK:
        return REFUSES_ENTRY[np.uint64(instrument.phase)], np.int64(instrument.phase), 0, 0, 0
    if risk:
        reason, value, bound = check_protection(ledger.accounts[np.uint64(command.account)])
        if reason != _OK:
            return reason, value, bound, 0, 0
    limits = ledger.limits[np.uint64(command.instrument)]
    collar = limits.collar if risk else 0
    price = limit_price(book, command.instrument, command.order_type, command.side, command.price, collar)
    if risk:
        # the increment binds prices that people choose, not the limit the hub gives a market order
        chosen = price if command.order_type == _LIMIT_ORDER else 0
        reason, value, bound = check_increments(limits, chosen, 0, command.quantity)
        if reason != _OK:
            return reason, value, bound, 0, 0
    reason, value, bound = check_band(instrument, price)
    if reason == _OK and risk:
        account = ledger.accounts[np.uint64(command.account)]
        reason, value, bound = check_collar(limits, price, instrument.last_price)
        if reason == _OK:
            reason, value, bound = check_size(account, limits, price, command.quantity, command.quantity)
        if reason == _OK:
            reason, value, bound = check_rate(account, command.time)
        if reason == _OK and names_client_order(command):
            first = first_holder(ledger, command)
            if first != 0:
                return _DUPLICATE, first, 0, first, 0
            held = ledger.hub[0].client_orders
            if held >= ledger.hub[0].max_client_orders:
                return _CLIENT_CAPACITY, held, ledger.hub[0].max_client_orders, 0, 0
        if reason == _OK and account.open_orders >= account.max_open_orders:
            return _MAX_OPEN_ORDERS, account.open_orders + 1, account.max_open_orders, 0, 0
        if reason == _OK:
            reason, value, bound = check_exposure(
                ledger, command.account, command.instrument, command.side, command.quantity, command.flag_bits)
    if reason != _OK:
        return reason, value, bound, 0, 0
    capacity = len(book.orders) - 1      # slot 0 is nobody's
    if book.state[0].orders >= capacity:
        return _BOOK_FULL, book.state[0].orders, capacity, 0, 0
    if command.flag_bits & _POST_ONLY and crosses(book, command.instrument, command.side, price):
        return _POST_ONLY_WOULD_TRADE, price, best_opposite(book, command.instrument, command.side), 0, 0
    return _OK, 0, 0, 0, price


@inlined
def check_amend(book, ledger, risk, command):
    """Every rule for an amendment, in order. Returns (reason, value, bound, slot)."""
    reason, value, bound = check_names(book, command)
    if reason == _OK and not check_flags(np.int64(command.flag_bits)):
        reason, value, bound = _INVALID_FLAGS, np.int64(command.flag_bits), 0
    if reason == _OK and command.quantity <= 0:
        reason, value, bound = _INVALID_QUANTITY, command.quantity, 1
    if reason == _OK and command.quantity > MAX_QUANTITY:
        reason, value, bound = _INVALID_QUANTITY, command.quantity, MAX_QUANTITY
    if reason == _OK and risk:
        reason, value, bound = check_offset(0, command.flag_bits, 0)
    if reason == _OK and risk:
        reason, value, bound = check_standing(ledger, command)
    if reason != _OK:
        return reason, value, bound, np.uint32(NOBODY)
    instrument = book.instruments[np.uint64(command.instrument)]
    if REFUSES_ENTRY[np.uint64(instrument.phase)] != _OK:
        return REFUSES_ENTRY[np.uint64(instrument.phase)], np.int64(instrument.phase), 0, np.uint32(NOBODY)
    if risk:
        reason, value, bound = check_protection(ledger.accounts[np.uint64(command.account)])
        if reason != _OK:
            return reason, value, bound, np.uint32(NOBODY)
    slot = resting_order(book, command)
    if slot == NOBODY:
        return _UNKNOWN_ORDER, command.order_id, 0, np.uint32(NOBODY)
    order = book.orders[slot]
    leaves = open_after_amend(order, command)
    total = order.quantity - order.leaves_quantity + leaves
    limits = ledger.limits[np.uint64(command.instrument)]
    if risk:
        reason, value, bound = check_increments(limits, command.price, 0, total)
        if reason != _OK:
            return reason, value, bound, np.uint32(NOBODY)
    reason, value, bound = check_band(instrument, command.price)
    if reason == _OK and risk:
        account = ledger.accounts[np.uint64(command.account)]
        reason, value, bound = check_collar(limits, command.price, instrument.last_price)
        if reason == _OK:
            reason, value, bound = check_size(account, limits, command.price, total, max(leaves, 0))
        if reason == _OK:
            reason, value, bound = check_rate(account, command.time)
        growth = leaves - order.leaves_quantity
        if reason == _OK and growth > 0:
            reason, value, bound = check_exposure(
                ledger, command.account, command.instrument, order.side, growth, command.flag_bits)
    if reason == _OK and leaves > 0 and command.flag_bits & _POST_ONLY and crosses(
            book, command.instrument, order.side, command.price):
        best = best_opposite(book, command.instrument, order.side)
        return _POST_ONLY_WOULD_TRADE, command.price, best, np.uint32(NOBODY)
    return reason, value, bound, slot


@inlined
def check_cancel(book, command):
    """Every rule for a cancel, in order. Returns (reason, value, bound, slot)."""
    reason, value, bound = check_names(book, command)
    if reason != _OK:
        return reason, value, bound, np.uint32(NOBODY)
    instrument = book.instruments[np.uint64(command.instrument)]
    if REFUSES_CANCEL[np.uint64(instrument.phase)] != _OK:
        return REFUSES_CANCEL[np.uint64(instrument.phase)], np.int64(instrument.phase), 0, np.uint32(NOBODY)
    slot = resting_order(book, command)
    if slot == NOBODY:
        return _UNKNOWN_ORDER, command.order_id, 0, np.uint32(NOBODY)
    return _OK, 0, 0, slot


@inlined
def check_mass_cancel(book, command):
    """Instrument and account exist or are ALL; side is BUY, SELL or 0."""
    if command.instrument < ALL or command.instrument >= len(book.instruments):
        return _UNKNOWN_INSTRUMENT, command.instrument, len(book.instruments) - 1
    if command.account < ALL or command.account >= len(book.members):
        return _UNKNOWN_ACCOUNT, command.account, len(book.members) - 1
    if command.side > _SELL:
        return _INVALID_SIDE, command.side, 0
    return _OK, 0, 0


# The path of a command -----------------------------------------------------------------------------------------------------

@inlined
def process_enter(book, ledger, risk, events, at, command):
    """ENTER: the way of most orders."""
    reason, value, bound, first, price = check_enter(book, ledger, risk, command)
    if reason != _OK:
        return refuse(book, events, at, command, reason, value, bound, first)
    if not risk:
        return enter(book, events, at, command, price)
    if names_client_order(command):
        remember(ledger, command)
    hold(ledger, command.account, command.instrument, command.side, command.quantity, 1, command.flag_bits)
    end = enter(book, events, at, command, price)
    settle(ledger, events, at + 1, end)          # behind ACCEPTED, for which the order is held already
    return end


@inlined
def process_cancel(book, ledger, risk, events, at, command):
    """CANCEL."""
    reason, value, bound, slot = check_cancel(book, command)
    if reason != _OK:
        return refuse(book, events, at, command, reason, value, bound, 0)
    order = book.orders[slot]
    if risk:
        hold(ledger, command.account, command.instrument, order.side, -order.leaves_quantity, -1, 0)
    return withdraw(book, events, at, command, slot, _OK)


@outlined
def process_amend(book, ledger, risk, events, at, command):
    """AMEND."""
    reason, value, bound, slot = check_amend(book, ledger, risk, command)
    if reason != _OK:
        return refuse(book, events, at, command, reason, value, bound, 0)
    end = amend(book, events, at, command, slot)
    if risk:
        settle(ledger, events, at, end)
    return end


@outlined
def process_mass_cancel(book, ledger, risk, events, at, command):
    """MASS_CANCEL."""
    reason, value, bound = check_mass_cancel(book, command)
    if reason != _OK:
        return refuse(book, events, at, command, reason, value, bound, 0)
    end, canceled = mass_cancel(
        book, events, at, command, command.instrument, command.account, command.side, _MASS_CANCEL_REASON, False)
    if risk:
        settle(ledger, events, at, end)
    return done(book, events, end, command, _MASS_CANCELED, command.account, command.side, canceled)


@outlined
def process_operator(book, ledger, risk, events, at, command):
    """PHASE, KILL_SWITCH, LIMIT, CASH, END_DAY."""
    reason, value, bound = check_operator(book, ledger, risk, command)
    if reason != _OK:
        return refuse(book, events, at, command, reason, value, bound, 0)
    return operate(book, ledger, risk, events, at, command)


@inlined
def process_one(book, ledger, risk, events, at, command):
    """One command, start to end. Returns the next free row of events."""
    kind = command.kind
    if kind == _ENTER:
        return process_enter(book, ledger, risk, events, at, command)
    if kind == _CANCEL:
        return process_cancel(book, ledger, risk, events, at, command)
    if kind == _AMEND:
        return process_amend(book, ledger, risk, events, at, command)
    if kind == _MASS_CANCEL:
        return process_mass_cancel(book, ledger, risk, events, at, command)
    if _PHASE <= kind <= _END_DAY:
        return process_operator(book, ledger, risk, events, at, command)
    return refuse(book, events, at, command, _UNKNOWN_KIND, np.int64(kind), 0, 0)


@inlined
def look_ahead(book, ledger, risk, commands, number):
    """Fetch what a coming command will touch: memory is slow, and a batch says in advance where it will look."""
    if number + _AHEAD < len(commands):
        ahead = commands[np.uint64(number + _AHEAD)]
        prefetch(book.orders, np.uint64(book.buckets[bucket_of(book, ahead.order_id)]))
        if ahead.sequence & 15 == 0:     # sixteen new ids share a line of buckets
            prefetch(book.buckets, bucket_of(book, ahead.sequence + 16))
        if risk and names_client_order(ahead):
            prefetch(ledger.client_orders, np.uint64(first_client_order_row(ledger, ahead)))


@kernel
def process(commands, first, events, book, ledger):
    """Apply commands from `first` on for as long as any one of them surely finds room for its events.

    commands  COMMAND_WORDS (n)
    events    EVENT_WORDS, at least resting orders + 3 rows
    Returns   (next command, rows of events written)
    """
    risk = ledger.hub[0].on != 0
    state = book.state[0]
    at = 0
    number = first
    while number < len(commands) and at + state.orders + 3 <= len(events):
        look_ahead(book, ledger, risk, commands, number)
        at = process_one(book, ledger, risk, events, at, commands[np.uint64(number)])
        number += 1
    state.event_id += at
    return number, at


@kernel
def first_gap(commands, sequence):
    """Number of the first row that does not continue `sequence`, the last one applied; -1: all do."""
    for number in range(len(commands)):
        if commands[number].sequence != sequence + number + 1:
            return number
    return -1


# Reading the books ---------------------------------------------------------------------------------------------------------

@kernel
def list_depth(book, number, side, rows):
    """Fill int64 rows (n, 3) with price, quantity and orders of a side's levels, best first. Returns how many."""
    ladder = own(book, number, side)
    row = ladder.best
    count = 0
    while count < len(rows) and row != ladder.end:
        rows[count, 0] = price_of(ladder, row)
        rows[count, 1] = book.levels[row].quantity
        rows[count, 2] = 0
        slot = book.levels[row].head
        while slot != NOBODY:
            rows[count, 2] += 1
            slot = book.orders[slot].next
        count += 1
        row = next_row(book, ladder, row + 1)
    return count


@kernel
def list_orders(book, number, side, slots):
    """Fill int64 slots (n, 2) with slot and price of a side's orders, best price first, oldest first."""
    ladder = own(book, number, side)
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
    """(slot, price) of a resting order; slot NOBODY: there is none."""
    slot = find(book, order_id)
    order = book.orders[slot]
    return np.int64(slot), price_of(own(book, order.instrument, max(order.side, _BUY)), np.int64(order.level))
