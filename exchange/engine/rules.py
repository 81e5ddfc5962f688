"""What a command must pass before it changes anything, rule by rule in the order of codes.Reason. RULEBOOK 1.5 and 5.

One function a kind of command: `check_enter_any` for new orders, `check_amend`, `check_cancel`, `check_taking`,
`check_mass_cancel`. Checks return (reason, value, bound) and what they found; reason 0 means that the command passes.
Plain orders are first asked whether they pass all rules at once (`passes`); only one that does not is asked rule by rule.
What operators command is checked in operators.py.
"""

import numpy as np

from exchange.engine.phases import REFUSES_CANCEL, REFUSES_ENTRY
from matching import codes as c
from matching.amend import open_after_amend, resting_order
from matching.book import crosses, find, home, opposite, price_of
from matching.breaker import trades_continuously
from matching.codes import ALL, Flag
from matching.enter import is_parked_type, rows_of
from matching.execute import limit_price
from matching.extras import offset_flags
from matching.jit import code, inlined, outlined, rarely
from matching.records import (
    ICEBERG,
    MAX_QUANTITY,
    MOST_REFILLS,
    NOBODY,
    OCO,
    PARKED,
    SPARE_EXTRA_ROWS,
)
from matching.spot import (
    check_counterparty,
    check_mechanism,
    check_offer,
    check_reserve,
    check_revocable,
    check_take,
)
from risk.kernel import (
    breaks_limits,
    check_exposure,
    check_increments,
    check_offset,
    check_rate,
    check_size,
    first_holder,
    names_client_order,
)
from risk.protection import check_protection

_RARE_FLAGS = code(Flag.OPEN | Flag.CLOSE | Flag.CLOSE_TODAY | Flag.PARKED)
_ANY_FLAG = code(sum(Flag) - Flag.PARKED)


# Is the row sound? RULEBOOK 1.5 -------------------------------------------------------------------


@inlined
def check_names(book, command):
    """Instrument and account exist."""
    if command.instrument < 0 or command.instrument >= len(book.instruments):
        return c.UNKNOWN_INSTRUMENT, command.instrument, len(book.instruments) - 1
    if command.account < 0 or command.account >= len(book.members):
        return c.UNKNOWN_ACCOUNT, command.account, len(book.members) - 1
    return c.OK, 0, 0


@inlined
def check_flags(flags):
    """Only known flags, and at most one self-match flag."""
    smp = flags & c.SELF_MATCH_FLAGS
    return flags & ~_ANY_FLAG == 0 and smp & (smp - 1) == 0


@inlined
def check_quantity(quantity):
    """A quantity is at least one lot, and countable."""
    if quantity <= 0:
        return c.INVALID_QUANTITY, quantity, 1
    if quantity > MAX_QUANTITY:
        return c.INVALID_QUANTITY, quantity, MAX_QUANTITY
    return c.OK, 0, 0


@inlined
def may_rest(command):
    """Has an ENTER a time in force with which an order waits in the book or parked?"""
    time_in_force = command.time_in_force
    return time_in_force == c.DAY or time_in_force == c.GTC or time_in_force == c.GTD or time_in_force == c.SESSION


@inlined
def check_display(command):
    """RULEBOOK 2.11."""
    shown, quantity = command.display_quantity, command.quantity
    if shown == 0:
        return c.OK, 0, 0
    order_type = command.order_type
    if not may_rest(command) or (order_type != c.LIMIT and order_type != c.STOP_LIMIT):
        return c.INVALID_DISPLAY_QUANTITY, shown, 0
    if shown > quantity:
        return c.INVALID_DISPLAY_QUANTITY, shown, quantity
    if shown < 0 or shown * MOST_REFILLS < quantity:
        return c.INVALID_DISPLAY_QUANTITY, shown, 0 if shown < 0 else (quantity + MOST_REFILLS - 1) // MOST_REFILLS
    return c.OK, 0, 0


@inlined
def check_minimum(command, mechanism):
    """RULEBOOK 2.12; of an offer (13.1) it is the least that a TAKE may ask for."""
    least = command.minimum_quantity
    if least == 0:
        return c.OK, 0, 0
    if command.time_in_force != c.IOC and mechanism != c.LISTING:
        return c.INVALID_MINIMUM_QUANTITY, least, 0
    if least < 0 or least > command.quantity:
        return c.INVALID_MINIMUM_QUANTITY, least, 0 if least < 0 else command.quantity
    return c.OK, 0, 0


@inlined
def check_row(book, command):
    """RULEBOOK 1.5 and 2.9 to 2.14 for any ENTER."""
    if command.side != c.BUY and command.side != c.SELL:
        return c.INVALID_SIDE, command.side, 0
    order_type, time_in_force = command.order_type, command.time_in_force
    if order_type < c.MARKET or order_type > c.STOP_LIMIT:
        return c.INVALID_ORDER_TYPE, order_type, 0
    waits = is_parked_type(order_type)
    passing = time_in_force == c.IOC or time_in_force == c.FOK or time_in_force == c.OPENING
    if not may_rest(command) and (waits or not passing):
        return c.INVALID_TIME_IN_FORCE, time_in_force, 0
    flags = np.int64(command.flag_bits)
    if not check_flags(flags) or (flags & c.POST_ONLY and (order_type != c.LIMIT or not may_rest(command))):
        return c.INVALID_FLAGS, flags, 0
    reason, value, bound = check_quantity(command.quantity)
    if reason == c.OK and command.trigger_price != 0 and not waits:
        reason, value, bound = c.INVALID_TRIGGER_PRICE, command.trigger_price, 0
    if reason == c.OK:
        reason, value, bound = check_display(command)
    mechanism = book.instruments[np.uint64(command.instrument)].mechanism
    if reason == c.OK:
        reason, value, bound = check_minimum(command, mechanism)
    if reason == c.OK and time_in_force == c.GTD and command.expire_date < max(book.state[0].trading_date, 1):
        reason, value, bound = c.INVALID_EXPIRE_DATE, np.int64(command.expire_date), max(book.state[0].trading_date, 1)
    if reason == c.OK and time_in_force != c.GTD and command.expire_date != 0:
        reason, value, bound = c.INVALID_EXPIRE_DATE, np.int64(command.expire_date), 0
    return reason, value, bound


@inlined
def check_link_row(command):
    """RULEBOOK 2.14: may this order be one of a pair?"""
    if command.order_id != 0 and (not may_rest(command) or command.order_type == c.MARKET):
        return c.INVALID_LINK, command.order_id, 0
    return c.OK, 0, 0


# The many: plain orders that pass -----------------------------------------------------------------


@inlined
def names_known(book, command):
    """Do instrument and account exist? As unsigned numbers the negative ones are too large."""
    return (np.uint64(command.instrument) < np.uint64(len(book.instruments))) & (
        np.uint64(command.account) < np.uint64(len(book.members))
    )


@inlined
def is_plain(ledger, command):
    """Is an ENTER one of the many: LIMIT or MARKET; DAY, GTC, IOC or FOK; no rarer term or flag; margin not called?"""
    rare = (
        command.trigger_price
        | command.display_quantity
        | command.minimum_quantity
        | command.order_id
        | np.int64(command.expire_date | command.counterparty)
        | np.int64(command.flag_bits) & _RARE_FLAGS
        | np.int64(ledger.accounts[np.uint64(command.account)].called)
    )
    # side and order_type are 1 or 2 each
    known = np.uint64((command.side - 1) | (command.order_type - 1)) < np.uint64(2)
    return (rare == 0) & known & (command.time_in_force <= c.FOK) & (command.time_in_force != c.OPENING)


@inlined
def sound_flags(command):
    """RULEBOOK 1.5 for the flags of a plain order."""
    flags = np.int64(command.flag_bits)
    return check_flags(flags) and (
        flags & c.POST_ONLY == 0 or (command.order_type != c.MARKET and command.time_in_force <= c.GTC)
    )


@inlined
def passes(book, ledger, risk, command, price):
    """Does a plain order in a plain market pass every rule of check_enter_any? price: its limit, ticks.

    All rules are looked at together, which is faster than one by one as long as nearly every order passes.
    Returns   (whether it does, lots that margin is held for then)
    """
    instrument = book.instruments[np.uint64(command.instrument)]
    quantity = command.quantity
    breaks = (
        (quantity <= 0)
        | (quantity > MAX_QUANTITY)
        | (price < instrument.floor)
        | (price > instrument.ceiling)
        | (book.state[0].orders >= len(book.orders) - 1)
    )
    worst = np.int64(0)
    if risk:
        breaks_any, worst = breaks_limits(
            ledger, command, command.side, price, instrument.last_price, quantity, quantity, quantity, 1
        )
        breaks |= breaks_any
        if names_client_order(command):
            breaks |= (
                first_holder(ledger, command) != 0 or ledger.hub[0].client_orders >= ledger.hub[0].max_client_orders
            )
    if rarely(command.flag_bits != 0):
        breaks |= not sound_flags(command) or (
            command.flag_bits & c.POST_ONLY != 0 and crosses(book, command.instrument, command.side, price)
        )
    return not breaks, worst


@inlined
def passes_amend(book, ledger, risk, command, slot, leaves):
    """Does an AMEND in a plain market pass every rule of check_amend for sure? It may pass though this says no.

    slot, leaves    of the order that it means, or NOBODY; lots that it would leave open
    Returns         as passes
    """
    instrument, order = book.instruments[np.uint64(command.instrument)], book.orders[slot]
    quantity, price = command.quantity, command.price
    breaks = (
        (slot == NOBODY)
        | (leaves <= 0)
        | (quantity <= 0)
        | (quantity > MAX_QUANTITY)
        | (price < instrument.floor)
        | (price > instrument.ceiling)
        | (command.trigger_price != 0)
        | (np.int64(command.flag_bits) & ~c.OPEN_QUANTITY != 0)
    )
    worst = np.int64(0)
    if risk:
        growth = leaves - order.leaves_quantity
        breaks_any, worst = breaks_limits(
            ledger, command, order.side, price, instrument.last_price, order.quantity + growth, leaves, growth, 0
        )
        breaks |= breaks_any | (ledger.accounts[np.uint64(command.account)].called != 0)
    return not breaks, worst


# May anybody trade this now? RULEBOOK 5.1 to 5.3 --------------------------------------------------


@inlined
def check_standing(ledger, command):
    """Kill switches and the account's standing."""
    refusal = ledger.limits[np.uint64(command.instrument)].refusal
    if refusal == c.OK:
        refusal = np.int64(ledger.accounts[np.uint64(command.account)].refusal)
    return refusal, 0, 0


@inlined
def check_band(instrument, price):
    """RULEBOOK 5.6."""
    if price < instrument.floor:
        return c.PRICE_BELOW_BAND, price, instrument.floor
    if price > instrument.ceiling:
        return c.PRICE_ABOVE_BAND, price, instrument.ceiling
    return c.OK, 0, 0


@inlined
def held_in_band(instrument, price):
    """The price of the band that is nearest: what a trigger is valued at before it is known to lie there (410, 411)."""
    return max(min(price, instrument.ceiling), instrument.floor)


@inlined
def best_opposite(book, instrument, side):
    """Best price an order of this side would meet, ticks; only where there is one."""
    against = opposite(book, instrument, side)
    return price_of(against, against.best)


# Traders' commands --------------------------------------------------------------------------------


@inlined
def check_account(ledger, command, side):
    """What the account of a new order must have: rate, client order id, room, exposure. RULEBOOK 5.9 to 5.13.

    Returns   (reason, value, bound, first order)
    """
    account = ledger.accounts[np.uint64(command.account)]
    reason, value, bound = check_rate(account, command.time)
    if reason == c.OK and names_client_order(command):
        first = first_holder(ledger, command)
        if first != 0:
            return c.DUPLICATE_CLIENT_ORDER_ID, first, 0, first
        held = ledger.hub[0].client_orders
        if held >= ledger.hub[0].max_client_orders:
            return c.CLIENT_ORDER_ID_CAPACITY, held, ledger.hub[0].max_client_orders, 0
    if reason == c.OK and account.open_orders >= account.max_open_orders:
        return c.MAX_OPEN_ORDERS, account.open_orders + 1, account.max_open_orders, 0
    if reason == c.OK:
        reason, value, bound = check_exposure(
            ledger, command.account, command.instrument, side, command.quantity, command.flag_bits
        )
    return reason, value, bound, 0


@inlined
def check_entry(book, ledger, risk, command, price, size_price, waits):
    """What an ENTER must pass once the row makes sense and the market is open. RULEBOOK 5.5 to 5.13, 2.6, 2.8.

    price       ticks, its limit (of a STOP: 0); size_price: ticks that its value is reckoned at
    waits       whether it is parked: its trigger is checked too, the collar does not bind it
    Returns     (reason, value, bound, first order)
    """
    instrument = book.instruments[np.uint64(command.instrument)]
    limits = ledger.limits[np.uint64(command.instrument)]
    chooses = command.order_type == c.LIMIT or command.order_type == c.STOP_LIMIT
    reason, value, bound = c.OK, np.int64(0), np.int64(0)
    if risk:
        # the increment binds prices that people choose, not the limit the hub gives a market order
        reason, value, bound = check_increments(
            limits, price if chooses else 0, command.trigger_price, command.quantity
        )
        if reason != c.OK:
            return reason, value, bound, 0
    if chooses or not waits:
        reason, value, bound = check_band(instrument, price)
    account = ledger.accounts[np.uint64(command.account)]
    if reason == c.OK and risk:
        reason, value, bound = check_size(
            account, limits, size_price, command.quantity, command.quantity, instrument.last_price, not waits
        )
    if reason == c.OK and waits:
        reason, value, bound = check_trigger(instrument, command.side, command.trigger_price)
    if reason == c.OK and instrument.mechanism != c.ORDER_BOOK:
        reason, value, bound = check_reserve(book, command)
    if reason == c.OK and risk:
        reason, value, bound, first = check_account(ledger, command, command.side)
        if reason != c.OK:
            return reason, value, bound, first
    if reason != c.OK:
        return reason, value, bound, 0
    capacity = len(book.orders) - 1  # slot 0 is nobody's
    if book.state[0].orders >= capacity:
        return c.BOOK_FULL, book.state[0].orders, capacity, 0
    return c.OK, 0, 0, 0


@inlined
def check_trigger(instrument, side, trigger):
    """RULEBOOK 2.9: a trigger that is not reached yet, within the band."""
    last = instrument.last_price
    if (trigger <= last) if side == c.BUY else (trigger >= last):
        return c.TRIGGER_REACHED, trigger, last
    if trigger < instrument.floor:
        return c.TRIGGER_BELOW_BAND, trigger, instrument.floor
    if trigger > instrument.ceiling:
        return c.TRIGGER_ABOVE_BAND, trigger, instrument.ceiling
    return c.OK, 0, 0


@inlined
def check_post_only(book, command, side, price):
    """RULEBOOK 2.6."""
    if command.flag_bits & c.POST_ONLY and crosses(book, command.instrument, side, price):
        return c.POST_ONLY_WOULD_TRADE, price, best_opposite(book, command.instrument, side)
    return c.OK, 0, 0


@inlined
def limit_of(book, ledger, risk, command):
    """The limit of an ENTER, ticks: the one that was given, or for a MARKET order the one of RULEBOOK 2.2."""
    collar = ledger.limits[np.uint64(command.instrument)].collar if risk else 0
    return limit_price(book, command.instrument, command.order_type, command.side, command.price, collar)


@inlined
def check_auction_entry(phase, command):
    """RULEBOOK 5.3: what a call auction takes, and what only it takes."""
    time_in_force = command.time_in_force
    if phase in c.AUCTION_PHASES:
        if (
            command.order_type == c.MARKET
            or time_in_force == c.IOC
            or time_in_force == c.FOK
            or command.flag_bits & c.POST_ONLY
        ):
            return c.NOT_IN_AUCTION, phase, 0
    elif time_in_force == c.OPENING:
        return c.ONLY_IN_AUCTION, phase, 0
    return c.OK, 0, 0


@inlined
def check_link(book, command):
    """RULEBOOK 2.14: the order to be linked with is the account's, of this instrument and side, and alone."""
    slot = find(book, command.order_id)
    order = book.orders[slot]
    if (
        slot == NOBODY
        or order.account != command.account
        or order.instrument != command.instrument
        or (order.side != command.side)
    ):
        return c.UNKNOWN_ORDER, command.order_id, 0
    if order.terms & OCO:
        return c.ALREADY_LINKED, command.order_id, 0
    return c.OK, 0, 0


@inlined
def check_enter_any(book, ledger, risk, command):
    """Every rule for any new order, in order. Returns (reason, value, bound, first order, limit price)."""
    reason, value, bound = check_row(book, command)
    if reason == c.OK and risk:
        special = ledger.limits[np.uint64(command.instrument)].special
        reason, value, bound = check_offset(special, command.flag_bits, command.time_in_force)
    if reason == c.OK:
        reason, value, bound = check_counterparty(book, command)
    if reason == c.OK:
        reason, value, bound = check_link_row(command)
    if reason == c.OK and risk:
        reason, value, bound = check_standing(ledger, command)
    instrument = book.instruments[np.uint64(command.instrument)]
    phase = np.int64(instrument.phase)
    if reason == c.OK and REFUSES_ENTRY[np.uint64(phase)] != c.OK:
        reason, value, bound = REFUSES_ENTRY[np.uint64(phase)], phase, 0
    if reason == c.OK:
        reason, value, bound = check_auction_entry(phase, command)
    if reason == c.OK:
        reason, value, bound = check_mechanism(book, command)
    if reason == c.OK and risk:
        reason, value, bound = check_protection(ledger.accounts[np.uint64(command.account)])
    if reason == c.OK and command.order_id != 0:
        reason, value, bound = check_link(book, command)
    if reason == c.OK:
        reason, value, bound = check_offer(book, command)
    if reason != c.OK:
        return reason, value, bound, 0, 0
    waits = is_parked_type(command.order_type)
    price = 0 if command.order_type == c.STOP else limit_of(book, ledger, risk, command)
    size_price = held_in_band(instrument, command.trigger_price) if command.order_type == c.STOP else price
    reason, value, bound, first = check_entry(book, ledger, risk, command, price, size_price, waits)
    if reason == c.OK:
        rows, allowance = rows_of(command), len(book.orders) + SPARE_EXTRA_ROWS - 1
        if book.state[0].extra_rows + rows > allowance and rows != 0:
            reason, value, bound = c.BOOK_FULL, book.state[0].extra_rows + rows, allowance
    if reason == c.OK and trades_continuously(instrument):
        reason, value, bound = check_post_only(book, command, command.side, price)
    return reason, value, bound, first, price


@inlined
def check_amend(book, ledger, risk, command):
    """Every rule for an amendment, in order. Returns (reason, value, bound, slot)."""
    nobody = np.uint32(NOBODY)
    reason, value, bound = check_names(book, command)
    if reason == c.OK and not check_flags(np.int64(command.flag_bits)):
        reason, value, bound = c.INVALID_FLAGS, np.int64(command.flag_bits), 0
    if reason == c.OK:
        reason, value, bound = check_quantity(command.quantity)
    if reason != c.OK:
        return reason, value, bound, nobody
    slot = resting_order(book, command)
    order, extra = book.orders[slot], book.extras[slot]
    waits = slot != NOBODY and order.terms & PARKED != 0
    leaves = open_after_amend(order, command)
    total = order.quantity - order.leaves_quantity + leaves
    if command.trigger_price != 0 and not waits and slot != NOBODY:
        return c.INVALID_TRIGGER_PRICE, command.trigger_price, 0, nobody
    if slot != NOBODY and order.terms & ICEBERG and leaves > 0 and extra.display_quantity * MOST_REFILLS < total:
        return c.INVALID_DISPLAY_QUANTITY, extra.display_quantity, (total + MOST_REFILLS - 1) // MOST_REFILLS, nobody
    if risk:
        reason, value, bound = check_offset(0, command.flag_bits, 0)
        if reason == c.OK:
            reason, value, bound = check_standing(ledger, command)
        if reason != c.OK:
            return reason, value, bound, nobody
    instrument = book.instruments[np.uint64(command.instrument)]
    phase = np.int64(instrument.phase)
    if REFUSES_ENTRY[np.uint64(phase)] != c.OK:
        return REFUSES_ENTRY[np.uint64(phase)], phase, 0, nobody
    if phase in c.AUCTION_PHASES and command.flag_bits & c.POST_ONLY:
        return c.NOT_IN_AUCTION, phase, 0, nobody
    if instrument.mechanism != c.ORDER_BOOK:
        return c.WRONG_MECHANISM, np.int64(instrument.mechanism), 0, nobody
    if risk:
        reason, value, bound = check_protection(ledger.accounts[np.uint64(command.account)])
        if reason != c.OK:
            return reason, value, bound, nobody
    if REFUSES_CANCEL[np.uint64(phase)] != c.OK:  # an amendment is a cancel and a new order
        return REFUSES_CANCEL[np.uint64(phase)], phase, 0, nobody
    if slot == NOBODY:
        return c.UNKNOWN_ORDER, command.order_id, 0, nobody
    limits = ledger.limits[np.uint64(command.instrument)]
    stop = waits and extra.order_type == c.STOP
    size_price = held_in_band(instrument, command.trigger_price) if stop else command.price
    if risk:
        reason, value, bound = check_increments(limits, 0 if stop else command.price, command.trigger_price, total)
        if reason != c.OK:
            return reason, value, bound, nobody
    if not stop:
        reason, value, bound = check_band(instrument, command.price)
    account = ledger.accounts[np.uint64(command.account)]
    if reason == c.OK and risk:
        reason, value, bound = check_size(
            account, limits, size_price, total, max(leaves, 0), instrument.last_price, not waits
        )
    if reason == c.OK and waits:
        reason, value, bound = check_trigger(instrument, order.side, command.trigger_price)
    if reason == c.OK and risk:
        reason, value, bound = check_rate(account, command.time)
        growth = leaves - order.leaves_quantity
        if reason == c.OK and growth > 0:
            flags = np.int64(command.flag_bits) | np.int64(offset_flags(book, slot))
            reason, value, bound = check_exposure(
                ledger, command.account, command.instrument, order.side, growth, flags
            )
    if reason == c.OK and leaves > 0 and not waits:
        reason, value, bound = check_post_only(book, command, order.side, command.price)
    return reason, value, bound, slot if reason == c.OK else nobody


@outlined
def check_taking(book, ledger, risk, command):
    """Every rule for a TAKE, in order. RULEBOOK 13.1. Returns (reason, value, bound, first order, slot of the offer)."""
    nobody = np.uint32(NOBODY)
    reason, value, bound = check_names(book, command)
    flags = np.int64(command.flag_bits)
    if reason == c.OK and not check_flags(flags):
        reason, value, bound = c.INVALID_FLAGS, flags, 0
    if reason == c.OK:
        reason, value, bound = check_quantity(command.quantity)
    if reason == c.OK and risk:
        special = ledger.limits[np.uint64(command.instrument)].special
        reason, value, bound = check_offset(special, command.flag_bits, c.FOK)
        if reason == c.OK:
            reason, value, bound = check_standing(ledger, command)
    if reason != c.OK:
        return reason, value, bound, 0, nobody
    phase = np.int64(book.instruments[np.uint64(command.instrument)].phase)
    if REFUSES_ENTRY[np.uint64(phase)] != c.OK:
        return REFUSES_ENTRY[np.uint64(phase)], phase, 0, 0, nobody
    reason, value, bound = check_mechanism(book, command)
    if reason == c.OK and risk:
        reason, value, bound = check_protection(ledger.accounts[np.uint64(command.account)])
    if reason != c.OK:
        return reason, value, bound, 0, nobody
    reason, value, bound, slot = check_take(book, command)
    first = 0
    if reason == c.OK and risk:
        offer, limits = book.orders[slot], ledger.limits[np.uint64(command.instrument)]
        price = price_of(home(book, slot), np.int64(offer.level))
        reason, value, bound = check_increments(limits, 0, 0, command.quantity)
        if reason == c.OK:
            account = ledger.accounts[np.uint64(command.account)]
            reason, value, bound = check_size(account, limits, price, command.quantity, command.quantity, price, False)
        if reason == c.OK:
            reason, value, bound, first = check_account(ledger, command, 3 - np.int64(offer.side))
    return reason, value, bound, first, slot


@inlined
def check_cancel(book, command):
    """Every rule for a cancel, in order. Returns (reason, value, bound, slot)."""
    reason, value, bound = check_names(book, command)
    if reason != c.OK:
        return reason, value, bound, np.uint32(NOBODY)
    instrument = book.instruments[np.uint64(command.instrument)]
    if REFUSES_CANCEL[np.uint64(instrument.phase)] != c.OK:
        return REFUSES_CANCEL[np.uint64(instrument.phase)], np.int64(instrument.phase), 0, np.uint32(NOBODY)
    slot = resting_order(book, command)
    if slot == NOBODY:
        return c.UNKNOWN_ORDER, command.order_id, 0, np.uint32(NOBODY)
    if rarely(instrument.mechanism != c.ORDER_BOOK):
        reason, value, bound = check_revocable(book, slot)
    return reason, value, bound, slot


@inlined
def check_mass_cancel(book, command):
    """Instrument and account exist or are ALL; side is BUY, SELL or 0."""
    if command.instrument < ALL or command.instrument >= len(book.instruments):
        return c.UNKNOWN_INSTRUMENT, command.instrument, len(book.instruments) - 1
    if command.account < ALL or command.account >= len(book.members):
        return c.UNKNOWN_ACCOUNT, command.account, len(book.members) - 1
    if command.side > c.SELL:
        return c.INVALID_SIDE, command.side, 0
    return c.OK, 0, 0
