"""What a trader's command must pass before it changes anything: every rule once, in the order of codes.Reason.

`broken_rule` is the list for ENTER, AMEND and TAKE, RULEBOOK 1.5, 2, 5 and 13. The form of a list, and the rules about
limits and accounts, are in risk/rules.py; those of the spot side are in matching/spot.py. A new rule is one more line.

    order, near = proposed_entry(book, ledger, risk, command, plain), stake_of(...)
    broken_rule(book, ledger, risk, command, order, ..., plain).broken      # may this order pass?
    found, slot, order = check(book, ledger, risk, command)                 # any command: which rule, value, bound?

Fast path: nearly all commands are plain orders in plain markets, and nearly all of them pass. `is_plain_market`,
`is_plain_entry` and `is_plain_amend` say which commands may take it. With a literal `plain` the list leaves out what such
a command cannot break, and its caller only reads whether any rule is broken. A command that breaks one goes through the
whole list again, in `check`.

CANCEL and MASS_CANCEL have rules of their own below; those of operators are in operators.py.
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
from matching.intrinsics import rarely
from matching.jit import inlined, outlined
from matching.records import (
    ICEBERG,
    MAX_QUANTITY,
    MOST_REFILLS,
    NOBODY,
    OCO,
    PARKED,
    PLAIN_STATE,
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
from risk.kernel import count_message
from risk.legs import stakes_of
from risk.rules import (
    Proposal,
    account_rules,
    checked,
    exposure_rules,
    increment_rules,
    nothing_found,
    offset_rules,
    protection_rules,
    range_rule,
    rule,
    size_rules,
    standing_rules,
)

_RARE_FLAGS = np.int64(Flag.OPEN | Flag.CLOSE | Flag.CLOSE_TODAY | Flag.PARKED)
_KNOWN_FLAGS = np.int64(sum(Flag) - Flag.PARKED)
_ZERO = np.int64(0)


# Which commands may take the fast path ------------------------------------------------------------


@inlined
def is_plain_market(book, command):
    """Do instrument and account exist, and is the market plain: continuous trading of plain orders, nothing else?

    As unsigned numbers, negative indices are too large.
    """
    return (
        (np.uint64(command.instrument) < np.uint64(len(book.instruments)))
        & (np.uint64(command.account) < np.uint64(len(book.members)))
    ) and book.instruments[np.uint64(command.instrument)].state == PLAIN_STATE


@inlined
def is_plain_entry(ledger, command):
    """Is an ENTER plain: LIMIT or MARKET; DAY, GTC, IOC or FOK; no rarer term or flag; and margin not called?"""
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
def is_plain_amend(ledger, command, slot, leaves):
    """Is an AMEND plain: of an order that is there and stays open; no rarer term or flag; and margin not called?"""
    rare = (
        command.trigger_price
        | np.int64(command.flag_bits) & ~c.OPEN_QUANTITY
        | np.int64(ledger.accounts[np.uint64(command.account)].called)
    )
    return (rare == 0) & (slot != NOBODY) & (leaves > 0)


# What a command asks for --------------------------------------------------------------------------


@inlined
def limit_of(book, ledger, risk, command, side):
    """The limit of an ENTER, ticks: the one that was given, or for a MARKET order the one of RULEBOOK 2.2."""
    collar = ledger.limits[np.uint64(command.instrument)].collar if risk else _ZERO
    return limit_price(book, np.int64(command.instrument), np.int64(command.order_type), side, command.price, collar)


@inlined
def within_band(instrument, price):
    """The nearest price in the band: what a trigger is valued at before it is known to lie there (410, 411)."""
    return max(min(price, instrument.ceiling), instrument.floor)


@inlined
def proposed_entry(book, ledger, risk, command, plain):
    """The Proposal of an ENTER."""
    # a side that does not exist is refused (104); until then it must not lead outside the arrays
    side = np.int64(command.side) if plain else (c.SELL if command.side == c.SELL else c.BUY)
    price = value_price = limit_of(book, ledger, risk, command, side)
    parked = stop = False
    if not plain:
        parked, stop = is_parked_type(command.order_type), command.order_type == c.STOP
        if stop:
            price = _ZERO
            value_price = within_band(book.instruments[np.uint64(command.instrument)], command.trigger_price)
    return Proposal(
        side=side,
        price=price,
        value_price=value_price,
        total=command.quantity,
        leaves=command.quantity,
        growth=command.quantity,
        flags=np.int64(command.flag_bits),
        enters=True,
        amends=False,
        limited=not stop,
        chosen=not stop and command.order_type != c.MARKET,
        parked=parked,
    )


@inlined
def proposed_amend(book, command, slot, leaves, plain):
    """The Proposal of an AMEND. slot: of its order, or NOBODY; leaves: lots that it would leave open."""
    order = book.orders[slot]
    side = np.int64(order.side) if slot != NOBODY else c.BUY  # nobody's row has none
    price = value_price = command.price
    flags = np.int64(command.flag_bits)
    parked = stop = False
    if not plain and slot != NOBODY:
        flags |= np.int64(offset_flags(book, slot))
        parked = order.terms & PARKED != 0
        stop = parked and book.extras[slot].order_type == c.STOP
        if stop:
            price = _ZERO
            value_price = within_band(book.instruments[np.uint64(command.instrument)], command.trigger_price)
    return Proposal(
        side=side,
        price=price,
        value_price=value_price,
        total=order.quantity - order.leaves_quantity + leaves,
        leaves=leaves,
        growth=leaves - order.leaves_quantity,
        flags=flags,
        enters=False,
        amends=True,
        limited=not stop,
        chosen=not stop,
        parked=parked,
    )


@inlined
def proposed_take(book, command, slot):
    """The Proposal of a TAKE: the other side of the offer in `slot`, at its price. No price of its own is checked."""
    side, price = c.BUY, _ZERO
    if slot != NOBODY:
        side = 3 - np.int64(book.orders[slot].side)
        price = price_of(home(book, slot), np.int64(book.orders[slot].level))
    return Proposal(
        side=side,
        price=price,
        value_price=price,
        total=command.quantity,
        leaves=command.quantity,
        growth=command.quantity,
        flags=np.int64(command.flag_bits),
        enters=False,
        amends=False,
        limited=False,
        chosen=False,
        parked=False,
    )


# The list -----------------------------------------------------------------------------------------


@inlined
def may_rest(command):
    """Has an ENTER a time in force with which an order waits, in the book or for its trigger?"""
    time_in_force = command.time_in_force
    return time_in_force == c.DAY or time_in_force == c.GTC or time_in_force == c.GTD or time_in_force == c.SESSION


@inlined
def are_flags_sound(command, order):
    """Only known flags, at most one self-match flag, POST_ONLY only on a LIMIT order that may rest."""
    flags = np.int64(command.flag_bits)
    smp = flags & c.SELF_MATCH_FLAGS
    may_post = not order.enters or (command.order_type == c.LIMIT and may_rest(command))
    return flags & ~_KNOWN_FLAGS == 0 and smp & (smp - 1) == 0 and (flags & c.POST_ONLY == 0 or may_post)


@inlined
def refills_needed(quantity):
    """The least that an iceberg of so many lots shows at a time. RULEBOOK 2.11."""
    return -(-quantity // MOST_REFILLS)


@inlined
def instrument_rule(found, book, command):
    """102: the instrument exists."""
    last = np.int64(len(book.instruments) - 1)
    number = np.int64(command.instrument)
    return rule(found, c.UNKNOWN_INSTRUMENT, number < 0 or number > last, number, last)


@inlined
def account_rule(found, command, accounts):
    """103: the account, or the firm, is one of so many."""
    last = np.int64(accounts - 1)
    number = np.int64(command.account)
    return rule(found, c.UNKNOWN_ACCOUNT, number < 0 or number > last, number, last)


@inlined
def name_rules(found, book, command):
    """102 and 103: instrument and account exist. No other rule may be looked at before these hold."""
    return account_rule(instrument_rule(found, book, command), command, len(book.members))


@inlined
def type_rules(found, command, order):
    """104 to 106: side, order type and time in force of an ENTER. RULEBOOK 1.5."""
    side, order_type = np.int64(command.side), np.int64(command.order_type)
    time_in_force = np.int64(command.time_in_force)
    passing = time_in_force == c.IOC or time_in_force == c.FOK or time_in_force == c.OPENING
    fits = may_rest(command) or (passing and not order.parked)
    found = rule(found, c.INVALID_SIDE, order.enters and side != c.BUY and side != c.SELL, side, _ZERO)
    unknown = order_type < c.MARKET or order_type > c.STOP_LIMIT
    found = rule(found, c.INVALID_ORDER_TYPE, order.enters and unknown, order_type, _ZERO)
    return rule(found, c.INVALID_TIME_IN_FORCE, order.enters and not fits, time_in_force, _ZERO)


@inlined
def term_rules(found, book, command, order, slot):
    """110 to 113: trigger price, display quantity, minimum quantity, expire date. RULEBOOK 1.5 and 2.9 to 2.13."""
    enters, trigger = order.enters, command.trigger_price
    bears = trigger != 0 and not order.parked and (enters or (order.amends and slot != NOBODY))
    found = rule(found, c.INVALID_TRIGGER_PRICE, bears, trigger, _ZERO)

    shown, least = command.display_quantity, refills_needed(command.quantity)
    may_hide = may_rest(command) and (command.order_type == c.LIMIT or command.order_type == c.STOP_LIMIT)
    found = rule(found, c.INVALID_DISPLAY_QUANTITY, enters and shown != 0 and not may_hide, shown, _ZERO)
    found = rule(found, c.INVALID_DISPLAY_QUANTITY, enters and shown > command.quantity, shown, command.quantity)
    found = rule(found, c.INVALID_DISPLAY_QUANTITY, enters and shown < 0, shown, _ZERO)
    found = rule(found, c.INVALID_DISPLAY_QUANTITY, enters and shown != 0 and shown < least, shown, least)
    shown, least = book.extras[slot].display_quantity, refills_needed(order.total)
    iceberg = order.amends and slot != NOBODY and book.orders[slot].terms & ICEBERG != 0
    found = rule(found, c.INVALID_DISPLAY_QUANTITY, iceberg and order.leaves > 0 and shown < least, shown, least)

    minimum, listing = command.minimum_quantity, book.instruments[np.uint64(command.instrument)].mechanism == c.LISTING
    misplaced = minimum != 0 and command.time_in_force != c.IOC and not listing
    found = rule(found, c.INVALID_MINIMUM_QUANTITY, enters and (misplaced or minimum < 0), minimum, _ZERO)
    found = rule(found, c.INVALID_MINIMUM_QUANTITY, enters and minimum > command.quantity, minimum, command.quantity)

    date, dated = np.int64(command.expire_date), command.time_in_force == c.GTD
    earliest = max(book.state[0].trading_date, 1)
    found = rule(found, c.INVALID_EXPIRE_DATE, enters and dated and date < earliest, date, earliest)
    return rule(found, c.INVALID_EXPIRE_DATE, enters and not dated and date != 0, date, _ZERO)


@inlined
def link_row_rules(found, command, order):
    """116: may this order be one of an OCO pair? RULEBOOK 2.14."""
    fits = may_rest(command) and command.order_type != c.MARKET
    return rule(found, c.INVALID_LINK, order.enters and command.order_id != 0 and not fits, command.order_id, _ZERO)


@inlined
def phase_rules(found, book, command, order):
    """206 to 215: what the phase of the instrument takes. RULEBOOK 5.3."""
    phase = np.int64(book.instruments[np.uint64(command.instrument)].phase)
    refusal = REFUSES_ENTRY[np.uint64(phase)]
    found = rule(found, refusal, refusal != c.OK, phase, _ZERO)
    time_in_force, posts = command.time_in_force, command.flag_bits & c.POST_ONLY != 0
    at_once = command.order_type == c.MARKET or time_in_force == c.IOC or time_in_force == c.FOK
    collected = not ((order.enters and (at_once or posts)) or (order.amends and posts))
    auction = phase in c.AUCTION_PHASES
    found = rule(found, c.NOT_IN_AUCTION, auction and not collected, phase, _ZERO)
    opening = order.enters and time_in_force == c.OPENING
    return rule(found, c.ONLY_IN_AUCTION, opening and not auction, phase, _ZERO)


@inlined
def mechanism_rules(found, book, command, order):
    """218: what the mechanism of the instrument takes. Orders are amended in an order book only. RULEBOOK 13."""
    if order.amends:
        mechanism = np.int64(book.instruments[np.uint64(command.instrument)].mechanism)
        return rule(found, c.WRONG_MECHANISM, mechanism != c.ORDER_BOOK, mechanism, _ZERO)
    return checked(found, check_mechanism(book, command))


@inlined
def entry_only_rules(found, book, command, order):
    """220: an amendment is a cancel and a new order, so a phase that refuses cancels refuses it. RULEBOOK 8.1."""
    phase = np.int64(book.instruments[np.uint64(command.instrument)].phase)
    refusal = REFUSES_CANCEL[np.uint64(phase)]
    return rule(found, refusal, order.amends and refusal != c.OK, phase, _ZERO)


@inlined
def named_order_rules(found, book, command, order, slot):
    """301 to 307: the order that the command names, and the offer of a one-sided auction. RULEBOOK 2.14, 5.4 and 13.

    A TAKE is checked against its offer by quantity, too (108, 402).
    """
    if not order.enters and not order.amends:
        reason, value, bound, _ = check_take(book, command)
        return rule(found, reason, reason != c.OK, value, bound)
    named, links = book.orders[slot], order.enters and command.order_id != 0
    unknown = (links or order.amends) and (slot == NOBODY or named.side != order.side)
    found = rule(found, c.UNKNOWN_ORDER, unknown, command.order_id, _ZERO)
    found = rule(found, c.ALREADY_LINKED, links and named.terms & OCO != 0, command.order_id, _ZERO)
    return checked(found, check_offer(book, command)) if order.enters else found


@inlined
def band_rules(found, instrument, order):
    """404 and 405: the price lies in the band. RULEBOOK 5.6."""
    price, floor, ceiling = order.price, instrument.floor, instrument.ceiling
    found = rule(found, c.PRICE_BELOW_BAND, order.limited and price < floor, price, floor)
    return rule(found, c.PRICE_ABOVE_BAND, order.limited and price > ceiling, price, ceiling)


@inlined
def trigger_rules(found, instrument, command, order):
    """409 to 411: the trigger is not reached yet and lies in the band. RULEBOOK 2.9."""
    trigger, last = command.trigger_price, instrument.last_price
    reached = trigger <= last if order.side == c.BUY else trigger >= last
    found = rule(found, c.TRIGGER_REACHED, order.parked and reached, trigger, last)
    found = rule(found, c.TRIGGER_BELOW_BAND, order.parked and trigger < instrument.floor, trigger, instrument.floor)
    return rule(found, c.TRIGGER_ABOVE_BAND, order.parked and trigger > instrument.ceiling, trigger, instrument.ceiling)


@inlined
def room_rules(found, book, command, order, plain):
    """601: room for one more order, and for the events that icebergs and parked orders may need. RULEBOOK 2.8."""
    orders, capacity = book.state[0].orders, np.int64(len(book.orders) - 1)  # slot 0 is nobody's
    found = rule(found, c.BOOK_FULL, order.enters and orders >= capacity, orders, capacity)
    if not plain:
        rows = rows_of(command)
        needed, allowance = book.state[0].extra_rows + rows, capacity + SPARE_EXTRA_ROWS
        found = rule(found, c.BOOK_FULL, order.enters and rows != 0 and needed > allowance, needed, allowance)
    return found


@inlined
def post_only_rules(found, book, command, order):
    """602: an order that shall only rest does not trade at once. RULEBOOK 2.6."""
    instrument = np.int64(command.instrument)
    would_trade = (
        rarely(command.flag_bits & c.POST_ONLY != 0)
        and trades_continuously(book.instruments[np.uint64(instrument)])
        and not order.parked
        and order.leaves > 0
        and crosses(book, instrument, order.side, order.price)
    )
    against = opposite(book, instrument, order.side)
    return rule(found, c.POST_ONLY_WOULD_TRADE, would_trade, order.price, price_of(against, against.best))


@inlined
def broken_rule(book, ledger, risk, command, order, slot, near, far, plain):
    """What an ENTER, AMEND or TAKE breaks: the Found of the whole list. Instrument and account exist.

    order     Proposal
    slot      of the order that the command names, or NOBODY
    near, far Stake of the account, see exposure_rules; without risk they are not looked at
    plain     literal: see the head of this file
    """
    instrument = book.instruments[np.uint64(command.instrument)]
    quantity = command.quantity
    found = nothing_found()
    if not plain:
        found = type_rules(found, command, order)  # 104 to 106
    unsound = rarely(command.flag_bits != 0) and not are_flags_sound(command, order)
    found = rule(found, c.INVALID_FLAGS, unsound, np.int64(command.flag_bits), _ZERO)
    found = range_rule(found, c.INVALID_QUANTITY, quantity, np.int64(1), np.int64(MAX_QUANTITY))
    if not plain:
        found = term_rules(found, book, command, order, slot)  # 110 to 113
        if risk:
            found = offset_rules(found, ledger, command, order)  # 114
        if order.enters:
            found = checked(found, check_counterparty(book, command))  # 115
        found = link_row_rules(found, command, order)  # 116
    if risk:
        found = standing_rules(found, ledger, command)  # 201 to 205
    if not plain:
        found = phase_rules(found, book, command, order)  # 206 to 215
        found = mechanism_rules(found, book, command, order)  # 218
    if risk:
        found = protection_rules(found, ledger, command)  # 219
    if not plain:
        found = entry_only_rules(found, book, command, order)  # 220
        found = named_order_rules(found, book, command, order, slot)  # 301 to 307
    if risk:
        found = increment_rules(found, ledger, command, order, plain)  # 401 to 403
    found = band_rules(found, instrument, order)  # 404 and 405
    if risk:
        found = size_rules(found, ledger, command, order, instrument.last_price)  # 406 to 408
    if not plain:
        found = trigger_rules(found, instrument, command, order)  # 409 to 411
        if order.enters:
            found = checked(found, check_reserve(book, command))  # 412
    if risk:
        found = account_rules(found, ledger, command, order)  # 501 to 504
        found = exposure_rules(found, ledger, command, order, near, far, plain)  # 505 to 511
    found = room_rules(found, book, command, order, plain)  # 601
    return post_only_rules(found, book, command, order)  # 602


# Any command of a trader --------------------------------------------------------------------------


@outlined
def check(book, ledger, risk, command):
    """Which rule does an ENTER, AMEND or TAKE break first? A message that the rate lets pass is counted (RULEBOOK 5.9).

    Returns   (Found, slot of the order that it names or NOBODY, its limit in ticks)
    """
    found, slot = name_rules(nothing_found(), book, command), np.uint32(NOBODY)
    if found.broken:
        return found, slot, _ZERO
    if command.kind == c.ENTER:
        if command.order_id != 0:
            slot = resting_order(book, command)
        order = proposed_entry(book, ledger, risk, command, False)
    elif command.kind == c.AMEND:
        slot = resting_order(book, command)
        order = proposed_amend(book, command, slot, open_after_amend(book.orders[slot], command), False)
    else:
        slot = find(book, command.order_id)
        order = proposed_take(book, command, slot)
    near, far = stakes_of(
        ledger, np.int64(command.account), np.int64(command.instrument), order.side, order.growth, order.flags
    )
    found = broken_rule(book, ledger, risk, command, order, slot, near, far, False)
    if risk and (not found.broken or found.reason > c.MESSAGE_RATE):
        count_message(ledger.accounts[np.uint64(command.account)], command.time)
    return found, slot, order.price


@inlined
def check_cancel(book, command):
    """The rules of a CANCEL. Returns (Found, slot)."""
    found, slot = name_rules(nothing_found(), book, command), np.uint32(NOBODY)
    if found.broken:
        return found, slot
    instrument = book.instruments[np.uint64(command.instrument)]
    phase = np.int64(instrument.phase)
    refusal = REFUSES_CANCEL[np.uint64(phase)]
    found = rule(found, refusal, refusal != c.OK, phase, _ZERO)  # 206 to 213
    slot = resting_order(book, command)
    found = rule(found, c.UNKNOWN_ORDER, slot == NOBODY, command.order_id, _ZERO)
    if not found.broken and instrument.mechanism != c.ORDER_BOOK:
        found = checked(found, check_revocable(book, slot))  # 303
    return found, slot


@inlined
def check_mass_cancel(book, command):
    """The rules of a MASS_CANCEL: instrument and account exist or are ALL; side is BUY, SELL or 0. Returns Found."""
    found, side = nothing_found(), np.int64(command.side)
    if command.instrument != ALL:
        found = instrument_rule(found, book, command)
    if command.account != ALL:
        found = account_rule(found, command, len(book.members))
    return rule(found, c.INVALID_SIDE, side > c.SELL, side, _ZERO)
