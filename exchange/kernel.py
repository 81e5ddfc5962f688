"""The path of a command through the core, compiled into one call per batch. No I/O, no clock.

`process` applies a batch; `process_one` tells the path, in the order of RULEBOOK 5: is the row sound, may anybody
trade, does the phase allow it, does the order meant exist, does the order pass, then the book, and at last the
exposures. Helpers stand before those who use them. Checks return (reason, value, bound) and what they found; reason 0
means that the command passes.
"""
import numpy as np

from exchange.operators import check_operator, done, operate
from exchange.phases import REFUSES_CANCEL, REFUSES_ENTRY, release_lock
from matching.book import bucket_of, find, next_row, opposite, own, price_of
from matching.codes import ALL, CommandKind, EventKind, Flag, Mechanism, OrderType, Phase, Reason, Side, TimeInForce
from matching.jit import code, inlined, kernel, outlined, prefetch, rarely
from matching.kernel import (
    EVERY_TIME,
    amend,
    amend_special,
    crosses,
    enter,
    enter_special,
    home,
    is_parked_type,
    limit_price,
    mass_cancel,
    matches,
    offset_flags,
    open_after_amend,
    rejected,
    resting_order,
    rows_of,
    withdraw,
)
from matching.records import (
    ICEBERG,
    LINKED,
    MAX_QUANTITY,
    MOST_REFILLS,
    NIL,
    NOBODY,
    PARKED,
    PLAIN_STATE,
    SPARE_EXTRA_ROWS,
    SPARE_ROWS,
    TIME_IN_FORCE,
)
from matching.triggers import fire
from risk.kernel import (
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
from risk.protection import check_protection, next_tripped

_BUY, _SELL = code(Side.BUY), code(Side.SELL)
_ENTER, _CANCEL, _AMEND = code(CommandKind.ENTER), code(CommandKind.CANCEL), code(CommandKind.AMEND)
_MASS_CANCEL, _MASS_CANCELED = code(CommandKind.MASS_CANCEL), code(EventKind.MASS_CANCELED)
_FIRST_OPERATOR, _LAST_OPERATOR = code(CommandKind.PHASE), code(CommandKind.WINDOW)
_MARKET, _LIMIT_ORDER = code(OrderType.MARKET), code(OrderType.LIMIT)
_STOP, _STOP_LIMIT = code(OrderType.STOP), code(OrderType.STOP_LIMIT)
_DAY, _GTC, _OPENING = code(TimeInForce.DAY), code(TimeInForce.GTC), code(TimeInForce.OPENING)
_IOC, _FOK, _GTD, _SESSION = code(TimeInForce.IOC), code(TimeInForce.FOK), code(TimeInForce.GTD), code(TimeInForce.SESSION)
_PLAIN_TIMES = 1 << _DAY | 1 << _GTC | 1 << _IOC | 1 << _FOK
_CONTINUOUS, _CALL_AUCTION = code(Phase.CONTINUOUS), code(Phase.CALL_AUCTION)
_ORDER_BOOK, _LISTING = code(Mechanism.ORDER_BOOK), code(Mechanism.LISTING)
_POST_ONLY = code(Flag.POST_ONLY)
_RARE_FLAGS = code(Flag.OPEN | Flag.CLOSE | Flag.CLOSE_TODAY | Flag.PARKED)
_ANY_FLAG = code(sum(Flag) - Flag.PARKED)
_SMP = code(Flag.SMP_CANCEL_INCOMING | Flag.SMP_CANCEL_RESTING | Flag.SMP_CANCEL_BOTH)
_AHEAD = 6                       # how many commands ahead to look

_OK = code(Reason.NONE)
_UNKNOWN_KIND, _UNKNOWN_INSTRUMENT = code(Reason.UNKNOWN_KIND), code(Reason.UNKNOWN_INSTRUMENT)
_UNKNOWN_ACCOUNT, _INVALID_SIDE = code(Reason.UNKNOWN_ACCOUNT), code(Reason.INVALID_SIDE)
_INVALID_ORDER_TYPE, _INVALID_TIME_IN_FORCE = code(Reason.INVALID_ORDER_TYPE), code(Reason.INVALID_TIME_IN_FORCE)
_INVALID_FLAGS, _INVALID_QUANTITY = code(Reason.INVALID_FLAGS), code(Reason.INVALID_QUANTITY)
_INVALID_TRIGGER, _INVALID_DISPLAY = code(Reason.INVALID_TRIGGER_PRICE), code(Reason.INVALID_DISPLAY_QUANTITY)
_INVALID_MINIMUM, _INVALID_DATE = code(Reason.INVALID_MINIMUM_QUANTITY), code(Reason.INVALID_EXPIRE_DATE)
_INVALID_LINK, _ALREADY_LINKED = code(Reason.INVALID_LINK), code(Reason.ALREADY_LINKED)
_UNKNOWN_ORDER = code(Reason.UNKNOWN_ORDER)
_NOT_IN_AUCTION, _ONLY_IN_AUCTION = code(Reason.NOT_IN_AUCTION), code(Reason.ONLY_IN_AUCTION)
_WRONG_MECHANISM, _TRIGGER_REACHED = code(Reason.WRONG_MECHANISM), code(Reason.TRIGGER_REACHED)
_TRIGGER_BELOW_BAND, _TRIGGER_ABOVE_BAND = code(Reason.TRIGGER_BELOW_BAND), code(Reason.TRIGGER_ABOVE_BAND)
_PRICE_BELOW_BAND, _PRICE_ABOVE_BAND = code(Reason.PRICE_BELOW_BAND), code(Reason.PRICE_ABOVE_BAND)
_DUPLICATE, _CLIENT_CAPACITY = code(Reason.DUPLICATE_CLIENT_ORDER_ID), code(Reason.CLIENT_ORDER_ID_CAPACITY)
_MAX_OPEN_ORDERS, _BOOK_FULL = code(Reason.MAX_OPEN_ORDERS), code(Reason.BOOK_FULL)
_POST_ONLY_WOULD_TRADE = code(Reason.POST_ONLY_WOULD_TRADE)
_MASS_CANCEL_REASON, _PROTECTION = code(Reason.MASS_CANCEL), code(Reason.PROTECTION)


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
def check_quantity(quantity):
    """A quantity is at least one lot, and countable."""
    if quantity <= 0:
        return _INVALID_QUANTITY, quantity, 1
    if quantity > MAX_QUANTITY:
        return _INVALID_QUANTITY, quantity, MAX_QUANTITY
    return _OK, 0, 0


@inlined
def is_plain(book, command):
    """Is an ENTER one of the many: LIMIT or MARKET; DAY, GTC, IOC or FOK; no rarer term; continuous trading that nobody watches?

    The rest goes through check_special_row and enter_special, which know everything.
    """
    rare = (command.trigger_price | command.display_quantity | command.minimum_quantity | command.order_id
            | np.int64(command.expire_date | command.counterparty))
    known = (1 << np.int64(command.time_in_force & 63)) & _PLAIN_TIMES != 0 and command.time_in_force < 64
    return (rare == 0 and book.instruments[np.uint64(command.instrument)].state == PLAIN_STATE and known and (
        command.order_type == _LIMIT_ORDER or command.order_type == _MARKET) and command.flag_bits & _RARE_FLAGS == 0)


@inlined
def check_plain_row(command):
    """RULEBOOK 1.5 for an ENTER that is_plain."""
    if command.side != _BUY and command.side != _SELL:
        return _INVALID_SIDE, command.side, 0
    flags = np.int64(command.flag_bits)
    if flags != 0 and (not check_flags(flags) or (
            flags & _POST_ONLY and (command.order_type == _MARKET or command.time_in_force > _GTC))):
        return _INVALID_FLAGS, flags, 0
    return check_quantity(command.quantity)


@inlined
def may_rest(command):
    """Has an ENTER a time in force with which an order waits in the book or parked?"""
    time_in_force = command.time_in_force
    return time_in_force == _DAY or time_in_force == _GTC or time_in_force == _GTD or time_in_force == _SESSION


@inlined
def check_display(command):
    """RULEBOOK 2.11."""
    shown, quantity = command.display_quantity, command.quantity
    if shown == 0:
        return _OK, 0, 0
    order_type = command.order_type
    if not may_rest(command) or (order_type != _LIMIT_ORDER and order_type != _STOP_LIMIT):
        return _INVALID_DISPLAY, shown, 0
    if shown > quantity:
        return _INVALID_DISPLAY, shown, quantity
    if shown < 0 or shown * MOST_REFILLS < quantity:
        return _INVALID_DISPLAY, shown, 0 if shown < 0 else (quantity + MOST_REFILLS - 1) // MOST_REFILLS
    return _OK, 0, 0


@inlined
def check_minimum(command, mechanism):
    """RULEBOOK 2.12; of an offer (13.1) it is the least that a TAKE may ask for."""
    least = command.minimum_quantity
    if least == 0:
        return _OK, 0, 0
    if command.time_in_force != _IOC and mechanism != _LISTING:
        return _INVALID_MINIMUM, least, 0
    if least < 0 or least > command.quantity:
        return _INVALID_MINIMUM, least, 0 if least < 0 else command.quantity
    return _OK, 0, 0


@inlined
def check_special_row(book, command):
    """RULEBOOK 1.5 and 2.9 to 2.14 for any ENTER."""
    if command.side != _BUY and command.side != _SELL:
        return _INVALID_SIDE, command.side, 0
    order_type, time_in_force = command.order_type, command.time_in_force
    if order_type < _MARKET or order_type > _STOP_LIMIT:
        return _INVALID_ORDER_TYPE, order_type, 0
    waits = is_parked_type(order_type)
    passing = time_in_force == _IOC or time_in_force == _FOK or time_in_force == _OPENING
    if not may_rest(command) and (waits or not passing):
        return _INVALID_TIME_IN_FORCE, time_in_force, 0
    flags = np.int64(command.flag_bits)
    if not check_flags(flags) or (flags & _POST_ONLY and (order_type != _LIMIT_ORDER or not may_rest(command))):
        return _INVALID_FLAGS, flags, 0
    reason, value, bound = check_quantity(command.quantity)
    if reason == _OK and command.trigger_price != 0 and not waits:
        reason, value, bound = _INVALID_TRIGGER, command.trigger_price, 0
    if reason == _OK:
        reason, value, bound = check_display(command)
    mechanism = book.instruments[np.uint64(command.instrument)].mechanism
    if reason == _OK:
        reason, value, bound = check_minimum(command, mechanism)
    if reason == _OK and time_in_force == _GTD and command.expire_date < max(book.state[0].trading_date, 1):
        reason, value, bound = _INVALID_DATE, np.int64(command.expire_date), max(book.state[0].trading_date, 1)
    if reason == _OK and time_in_force != _GTD and command.expire_date != 0:
        reason, value, bound = _INVALID_DATE, np.int64(command.expire_date), 0
    return reason, value, bound


@inlined
def check_link_row(command):
    """RULEBOOK 2.14: may this order be one of a pair?"""
    if command.order_id != 0 and (not may_rest(command) or command.order_type == _MARKET):
        return _INVALID_LINK, command.order_id, 0
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
def held_in_band(instrument, price):
    """The price of the band that is nearest: what a trigger is valued at before it is known to lie there (410, 411)."""
    return max(min(price, instrument.ceiling), instrument.floor)


@inlined
def best_opposite(book, instrument, side):
    """Best price an order of this side would meet, ticks; only where there is one."""
    against = opposite(book, instrument, side)
    return price_of(against, against.best)


# Traders' commands -------------------------------------------------------------------------------------------------------

@inlined
def check_entry(book, ledger, risk, command, price, size_price, waits):
    """What an ENTER must pass once the row makes sense and the market is open. RULEBOOK 5.5 to 5.13, 2.6, 2.8.

    price       ticks, its limit (of a STOP: 0); size_price: ticks that its value is reckoned at
    waits       whether it is parked: its trigger is checked too, the collar does not bind it
    Returns     (reason, value, bound, first order)
    """
    instrument = book.instruments[np.uint64(command.instrument)]
    limits = ledger.limits[np.uint64(command.instrument)]
    chooses = command.order_type == _LIMIT_ORDER or command.order_type == _STOP_LIMIT
    reason, value, bound = _OK, np.int64(0), np.int64(0)
    if risk:
        # the increment binds prices that people choose, not the limit the hub gives a market order
        reason, value, bound = check_increments(limits, price if chooses else 0, command.trigger_price, command.quantity)
        if reason != _OK:
            return reason, value, bound, 0
    if chooses or not waits:
        reason, value, bound = check_band(instrument, price)
    account = ledger.accounts[np.uint64(command.account)]
    if reason == _OK and risk:
        reason, value, bound = check_size(
            account, limits, size_price, command.quantity, command.quantity, instrument.last_price, not waits)
    if reason == _OK and waits:
        reason, value, bound = check_trigger(instrument, command.side, command.trigger_price)
    if reason == _OK and risk:
        reason, value, bound = check_rate(account, command.time)
        if reason == _OK and names_client_order(command):
            first = first_holder(ledger, command)
            if first != 0:
                return _DUPLICATE, first, 0, first
            held = ledger.hub[0].client_orders
            if held >= ledger.hub[0].max_client_orders:
                return _CLIENT_CAPACITY, held, ledger.hub[0].max_client_orders, 0
        if reason == _OK and account.open_orders >= account.max_open_orders:
            return _MAX_OPEN_ORDERS, account.open_orders + 1, account.max_open_orders, 0
        if reason == _OK:
            reason, value, bound = check_exposure(
                ledger, command.account, command.instrument, command.side, command.quantity, command.flag_bits)
    if reason != _OK:
        return reason, value, bound, 0
    capacity = len(book.orders) - 1      # slot 0 is nobody's
    if book.state[0].orders >= capacity:
        return _BOOK_FULL, book.state[0].orders, capacity, 0
    return _OK, 0, 0, 0


@inlined
def check_trigger(instrument, side, trigger):
    """RULEBOOK 2.9: a trigger that is not reached yet, within the band."""
    last = instrument.last_price
    if (trigger <= last) if side == _BUY else (trigger >= last):
        return _TRIGGER_REACHED, trigger, last
    if trigger < instrument.floor:
        return _TRIGGER_BELOW_BAND, trigger, instrument.floor
    if trigger > instrument.ceiling:
        return _TRIGGER_ABOVE_BAND, trigger, instrument.ceiling
    return _OK, 0, 0


@inlined
def check_post_only(book, command, side, price):
    """RULEBOOK 2.6."""
    if command.flag_bits & _POST_ONLY and crosses(book, command.instrument, side, price):
        return _POST_ONLY_WOULD_TRADE, price, best_opposite(book, command.instrument, side)
    return _OK, 0, 0


@inlined
def check_enter(book, ledger, risk, command):
    """Every rule for a new order that is_plain, in order. Returns (reason, value, bound, first order, limit price)."""
    reason, value, bound = check_plain_row(command)
    if reason == _OK and risk:
        reason, value, bound = check_standing(ledger, command)
        if reason == _OK:
            reason, value, bound = check_protection(ledger.accounts[np.uint64(command.account)])
    if reason != _OK:
        return reason, value, bound, 0, 0
    collar = ledger.limits[np.uint64(command.instrument)].collar if risk else 0
    price = limit_price(book, command.instrument, command.order_type, command.side, command.price, collar)
    reason, value, bound, first = check_entry(book, ledger, risk, command, price, price, False)
    if reason == _OK:
        reason, value, bound = check_post_only(book, command, command.side, price)
    return reason, value, bound, first, price


@inlined
def check_auction_entry(phase, command):
    """RULEBOOK 5.3: what a call auction takes, and what only it takes."""
    time_in_force = command.time_in_force
    if phase == _CALL_AUCTION:
        if command.order_type == _MARKET or time_in_force == _IOC or time_in_force == _FOK or command.flag_bits & _POST_ONLY:
            return _NOT_IN_AUCTION, phase, 0
    elif time_in_force == _OPENING:
        return _ONLY_IN_AUCTION, phase, 0
    return _OK, 0, 0


@inlined
def check_link(book, command):
    """RULEBOOK 2.14: the order to be linked with is the account's, of this instrument and side, and alone."""
    slot = find(book, command.order_id)
    order = book.orders[slot]
    if slot == NOBODY or order.account != command.account or order.instrument != command.instrument or (
            order.side != command.side):
        return _UNKNOWN_ORDER, command.order_id, 0
    if order.terms & LINKED:
        return _ALREADY_LINKED, command.order_id, 0
    return _OK, 0, 0


@outlined
def check_special_enter(book, ledger, risk, command):
    """Every rule for any new order, in order. Returns (reason, value, bound, first order, limit price)."""
    reason, value, bound = check_special_row(book, command)
    if reason == _OK and risk:
        special = ledger.limits[np.uint64(command.instrument)].special
        reason, value, bound = check_offset(special, command.flag_bits, command.time_in_force)
    if reason == _OK:
        reason, value, bound = check_link_row(command)
    if reason == _OK and risk:
        reason, value, bound = check_standing(ledger, command)
    instrument = book.instruments[np.uint64(command.instrument)]
    phase = np.int64(instrument.phase)
    if reason == _OK and REFUSES_ENTRY[np.uint64(phase)] != _OK:
        reason, value, bound = REFUSES_ENTRY[np.uint64(phase)], phase, 0
    if reason == _OK:
        reason, value, bound = check_auction_entry(phase, command)
    if reason == _OK and risk:
        reason, value, bound = check_protection(ledger.accounts[np.uint64(command.account)])
    if reason == _OK and command.order_id != 0:
        reason, value, bound = check_link(book, command)
    if reason != _OK:
        return reason, value, bound, 0, 0
    waits = is_parked_type(command.order_type)
    collar = ledger.limits[np.uint64(command.instrument)].collar if risk else 0
    price = limit_price(book, command.instrument, command.order_type, command.side, command.price, collar)
    if command.order_type == _STOP:
        price = 0
    size_price = held_in_band(instrument, command.trigger_price) if command.order_type == _STOP else price
    reason, value, bound, first = check_entry(book, ledger, risk, command, price, size_price, waits)
    if reason == _OK:
        rows, allowance = rows_of(command), len(book.orders) + SPARE_EXTRA_ROWS - 1
        if book.state[0].extra_rows + rows > allowance and rows != 0:
            reason, value, bound = _BOOK_FULL, book.state[0].extra_rows + rows, allowance
    if reason == _OK and matches(instrument):
        reason, value, bound = check_post_only(book, command, command.side, price)
    return reason, value, bound, first, price


@inlined
def check_amend(book, ledger, risk, command):
    """Every rule for an amendment, in order. Returns (reason, value, bound, slot)."""
    nobody = np.uint32(NOBODY)
    reason, value, bound = check_names(book, command)
    if reason == _OK and not check_flags(np.int64(command.flag_bits)):
        reason, value, bound = _INVALID_FLAGS, np.int64(command.flag_bits), 0
    if reason == _OK:
        reason, value, bound = check_quantity(command.quantity)
    if reason != _OK:
        return reason, value, bound, nobody
    slot = resting_order(book, command)
    order, extra = book.orders[slot], book.extras[slot]
    waits = slot != NOBODY and order.terms & PARKED != 0
    leaves = open_after_amend(order, command)
    total = order.quantity - order.leaves_quantity + leaves
    if command.trigger_price != 0 and not waits and slot != NOBODY:
        return _INVALID_TRIGGER, command.trigger_price, 0, nobody
    if slot != NOBODY and order.terms & ICEBERG and leaves > 0 and extra.display_quantity * MOST_REFILLS < total:
        return _INVALID_DISPLAY, extra.display_quantity, (total + MOST_REFILLS - 1) // MOST_REFILLS, nobody
    if risk:
        reason, value, bound = check_offset(0, command.flag_bits, 0)
        if reason == _OK:
            reason, value, bound = check_standing(ledger, command)
        if reason != _OK:
            return reason, value, bound, nobody
    instrument = book.instruments[np.uint64(command.instrument)]
    phase = np.int64(instrument.phase)
    if REFUSES_ENTRY[np.uint64(phase)] != _OK:
        return REFUSES_ENTRY[np.uint64(phase)], phase, 0, nobody
    if phase == _CALL_AUCTION and command.flag_bits & _POST_ONLY:
        return _NOT_IN_AUCTION, phase, 0, nobody
    if instrument.mechanism != _ORDER_BOOK:
        return _WRONG_MECHANISM, np.int64(instrument.mechanism), 0, nobody
    if risk:
        reason, value, bound = check_protection(ledger.accounts[np.uint64(command.account)])
        if reason != _OK:
            return reason, value, bound, nobody
    if slot == NOBODY:
        return _UNKNOWN_ORDER, command.order_id, 0, nobody
    limits = ledger.limits[np.uint64(command.instrument)]
    stop = waits and extra.order_type == _STOP
    size_price = held_in_band(instrument, command.trigger_price) if stop else command.price
    if risk:
        reason, value, bound = check_increments(limits, 0 if stop else command.price, command.trigger_price, total)
        if reason != _OK:
            return reason, value, bound, nobody
    if not stop:
        reason, value, bound = check_band(instrument, command.price)
    account = ledger.accounts[np.uint64(command.account)]
    if reason == _OK and risk:
        reason, value, bound = check_size(
            account, limits, size_price, total, max(leaves, 0), instrument.last_price, not waits)
    if reason == _OK and waits:
        reason, value, bound = check_trigger(instrument, order.side, command.trigger_price)
    if reason == _OK and risk:
        reason, value, bound = check_rate(account, command.time)
        growth = leaves - order.leaves_quantity
        if reason == _OK and growth > 0:
            flags = np.int64(command.flag_bits) | np.int64(offset_flags(book, slot))
            reason, value, bound = check_exposure(ledger, command.account, command.instrument, order.side, growth, flags)
    if reason == _OK and leaves > 0 and not waits:
        reason, value, bound = check_post_only(book, command, order.side, command.price)
    return reason, value, bound, slot if reason == _OK else nobody


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


# What follows from a command ----------------------------------------------------------------------------------------------

@outlined
def aftermath(book, events, at, command, instrument):
    """Parked orders that the last price has reached, and locks that are no more. instrument: index or ALL."""
    for number in range(len(book.instruments)):
        if instrument == ALL or instrument == number:
            at = fire(book, events, at, command, number)
            at = release_lock(book, events, at, command, number)
    return at


@outlined
def cancel_tripped(book, ledger, events, at, command):
    """The orders of accounts that this command has tripped leave the books. RULEBOOK 9.6."""
    number = next_tripped(ledger, 0)
    while number != NIL:
        end, _ = mass_cancel(book, events, at, command, ALL, number, 0, _PROTECTION, EVERY_TIME)
        settle(ledger, events, at, end)
        at = end
        number = next_tripped(ledger, number + 1)
    ledger.hub[0].tripped = 0
    end = aftermath(book, events, at, command, ALL)
    settle(ledger, events, at, end)
    return end


# The path of a command -----------------------------------------------------------------------------------------------------

@inlined
def process_enter(book, ledger, risk, events, at, command):
    """ENTER: the way of most orders."""
    reason, value, bound = check_names(book, command)
    if rarely(reason != _OK):
        return refuse(book, events, at, command, reason, value, bound, 0)
    if rarely(not is_plain(book, command)):
        return process_special_enter(book, ledger, risk, events, at, command)
    reason, value, bound, first, price = check_enter(book, ledger, risk, command)
    if rarely(reason != _OK):
        return refuse(book, events, at, command, reason, value, bound, first)
    if not risk:
        return enter(book, events, at, command, price)
    if names_client_order(command):
        remember(ledger, command)
    hold(ledger, command.account, command.instrument, command.side, command.quantity, 1, 0)
    end = enter(book, events, at, command, price)
    settle(ledger, events, at + 1, end)          # behind ACCEPTED, for which the order is held already
    return end


@outlined
def process_special_enter(book, ledger, risk, events, at, command):
    """ENTER with rarer terms, in another phase than continuous trading, or where trades are watched."""
    reason, value, bound, first, price = check_special_enter(book, ledger, risk, command)
    if reason != _OK:
        return refuse(book, events, at, command, reason, value, bound, first)
    if risk and names_client_order(command):
        remember(ledger, command)
    end = enter_special(book, events, at, command, price)
    end = aftermath(book, events, end, command, command.instrument)
    if risk:
        settle(ledger, events, at, end)
    return end


@inlined
def process_cancel(book, ledger, risk, events, at, command):
    """CANCEL."""
    reason, value, bound, slot = check_cancel(book, command)
    if rarely(reason != _OK):
        return refuse(book, events, at, command, reason, value, bound, 0)
    order = book.orders[slot]
    instrument = book.instruments[np.uint64(command.instrument)]
    if rarely(order.terms > TIME_IN_FORCE or (instrument.locked | instrument.special) != 0):
        return process_special_cancel(book, ledger, risk, events, at, command, slot)
    if risk:
        hold(ledger, command.account, command.instrument, order.side, -order.leaves_quantity, -1, 0)
    return withdraw(book, events, at, command, slot, _OK)


@outlined
def process_special_cancel(book, ledger, risk, events, at, command, slot):
    """CANCEL of an order with rarer terms, or where it may end a limit lock."""
    end = withdraw(book, events, at, command, slot, _OK)
    end = aftermath(book, events, end, command, command.instrument)
    if risk:
        settle(ledger, events, at, end)
    return end


@outlined
def process_amend(book, ledger, risk, events, at, command):
    """AMEND."""
    reason, value, bound, slot = check_amend(book, ledger, risk, command)
    if reason != _OK:
        return refuse(book, events, at, command, reason, value, bound, 0)
    instrument = book.instruments[np.uint64(command.instrument)]
    if book.orders[slot].terms > TIME_IN_FORCE or instrument.phase != _CONTINUOUS or instrument.watched != 0:
        end = amend_special(book, events, at, command, slot)
        end = aftermath(book, events, end, command, command.instrument)
    else:
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
        book, events, at, command, command.instrument, command.account, command.side, _MASS_CANCEL_REASON, EVERY_TIME)
    if risk:
        settle(ledger, events, at, end)
    end = done(book, events, end, command, _MASS_CANCELED, command.account, command.side, canceled)
    return aftermath(book, events, end, command, command.instrument)


@outlined
def process_operator(book, ledger, risk, events, at, command):
    """PHASE, KILL_SWITCH, LIMIT, CASH, END_DAY."""
    reason, value, bound = check_operator(book, ledger, risk, command)
    if reason != _OK:
        return refuse(book, events, at, command, reason, value, bound, 0)
    return operate(book, ledger, risk, events, at, command)


@inlined
def process_kind(book, ledger, risk, events, at, command):
    """One command by its kind. Returns the next free row of events."""
    kind = command.kind
    if kind == _ENTER:
        return process_enter(book, ledger, risk, events, at, command)
    if kind == _CANCEL:
        return process_cancel(book, ledger, risk, events, at, command)
    if kind == _AMEND:
        return process_amend(book, ledger, risk, events, at, command)
    if kind == _MASS_CANCEL:
        return process_mass_cancel(book, ledger, risk, events, at, command)
    if _FIRST_OPERATOR <= kind <= _LAST_OPERATOR:
        return process_operator(book, ledger, risk, events, at, command)
    return refuse(book, events, at, command, _UNKNOWN_KIND, np.int64(kind), 0, 0)


@inlined
def process_one(book, ledger, risk, events, at, command):
    """One command, start to end. Returns the next free row of events."""
    at = process_kind(book, ledger, risk, events, at, command)
    if ledger.hub[0].tripped != 0:
        at = cancel_tripped(book, ledger, events, at, command)
    return at


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

    One command gives at most two events an order, account and instrument, those that icebergs and parked orders may give
    beyond that (STATE.extra_rows), and SPARE_ROWS.

    commands  COMMAND_WORDS (n)
    events    EVENT_WORDS, at least so many rows
    Returns   (next command, rows of events written)
    """
    risk = ledger.hub[0].on != 0
    state = book.state[0]
    at = np.int64(0)
    number = first
    room = len(events) - 2 * (len(book.members) + len(book.instruments)) - SPARE_ROWS
    while number < len(commands) and at + 2 * state.orders + state.extra_rows <= room:
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
    """Fill int64 rows (n, 3) with price, quantity shown and orders of a side's levels, best first. Returns how many."""
    ladder = own(book, number, side)
    row = ladder.best
    count = 0
    while count < len(rows) and row != ladder.end:
        rows[count, 0] = price_of(ladder, row)
        rows[count, 1] = 0
        rows[count, 2] = 0
        slot = book.levels[row].head
        while slot != NOBODY:
            order = book.orders[slot]
            rows[count, 1] += book.extras[slot].shown if order.terms & ICEBERG else order.leaves_quantity
            rows[count, 2] += 1
            slot = order.next
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
    """(slot, price) of an open order, of a parked one its limit; slot NOBODY: there is none."""
    slot = find(book, order_id)
    if slot == NOBODY:
        return np.int64(NOBODY), np.int64(0)
    order = book.orders[slot]
    price = book.extras[slot].price if order.terms & PARKED else price_of(home(book, slot), np.int64(order.level))
    return np.int64(slot), np.int64(price)
