"""The pre-trade rules about limits and accounts, each of them once. RULEBOOK 2.7, 5, 9.6, 10 to 12.

A rule is one line of a list: its Reason, whether the order breaks it, and the value and bound that a refusal reports.

    found = rule(found, c.MAX_ORDER_QUANTITY, order.total > largest, order.total, largest)

`found` goes through the list from line to line and keeps the first rule that is broken. A caller that only asks whether
any rule is broken reads `found.broken` and nothing else. The compiler then removes reasons, values and bounds, and what
is left is the disjunction of all conditions, without a branch: this is how the fast path checks an order. A caller that
refuses an order reads all four. Both walk the same list, so that they cannot differ.

The lines of a list stand in the order of codes.Reason. All conditions are evaluated, whatever was found before: each must
be safe to evaluate for any order, but its answer only counts if the rules before it hold. Put what few orders meet behind
`rarely(...)`.

exchange/engine/rules.py has the whole list, with what needs the book; the functions here are its parts. They take

    found     what the list has found so far
    order     Proposal, what the command asks for
    plain     literal: the order and its market are known to be plain (see exchange/engine/rules.py), and rules
              that such an order cannot break are left out
"""

from typing import NamedTuple

import numpy as np

from matching import codes as c
from matching.intrinsics import rarely
from matching.jit import inlined
from risk.kernel import earliest_message, first_holder, names_client_order
from risk.records import SPECIAL_OFFSET

# The form of a list -------------------------------------------------------------------------------


class Found(NamedTuple):
    """What a list of rules has found. The figures mean nothing unless a rule is broken."""

    broken: bool
    reason: int  # codes.Reason of the first broken rule
    value: int  # that broke it
    bound: int  # that it broke


class Proposal(NamedTuple):
    """An order as a command would make it: what the rules look at beside the row of the command."""

    side: int  # BUY or SELL
    price: int  # ticks, its limit; of a STOP 0
    value_price: int  # ticks at which its notional is counted
    total: int  # lots, what has filled included
    leaves: int  # lots open
    growth: int  # lots open more than now
    flags: int  # of the command, and offset flags of the order that it amends
    enters: bool  # ENTER
    amends: bool  # AMEND; if neither, TAKE
    limited: bool  # it has a limit, from its sender or from the exchange
    chosen: bool  # its sender has chosen that limit
    parked: bool  # it waits for its trigger


@inlined
def nothing_found():
    """What a list begins with."""
    return Found(False, c.OK, np.int64(0), np.int64(0))


@inlined
def rule(found, reason, broken, value, bound):
    """One rule of a list: `found`, or this rule if it is the first that is broken."""
    earlier = found.broken
    return Found(
        earlier | broken,
        found.reason if earlier else reason,
        found.value if earlier else value,
        found.bound if earlier else bound,
    )


@inlined
def range_rule(found, reason, value, low, high):
    """A value lies from `low` to `high`; the bound that is reported is the end it lies beyond. RULEBOOK 1.2."""
    found = rule(found, reason, value < low, value, low)
    return rule(found, reason, value > high, value, high)


@inlined
def checked(found, refusal):
    """`rule` for what a function has checked that returns (reason, value, bound)."""
    reason, value, bound = refusal
    return rule(found, reason, reason != c.OK, value, bound)


# The list, in parts -------------------------------------------------------------------------------


@inlined
def offset_rules(found, ledger, command, order):
    """114: just one offset flag where long and short are kept apart, and none elsewhere. RULEBOOK 10.1.

    CLOSE_TODAY is only for an order that ends with the day: tomorrow its lots are yesterday's. An AMEND bears no flag.
    """
    flags = np.int64(command.flag_bits)
    offset = flags & c.OFFSET_FLAGS
    apart = ledger.limits[np.uint64(command.instrument)].special & SPECIAL_OFFSET != 0 and not order.amends
    outlives_day = order.enters and (command.time_in_force == c.GTC or command.time_in_force == c.GTD)
    one = offset != 0 and offset & (offset - 1) == 0
    fits = (one and not (offset == c.CLOSE_TODAY and outlives_day)) if apart else offset == 0
    return rule(found, c.INVALID_OFFSET, not fits, flags, np.int64(0))


@inlined
def standing_rules(found, ledger, command):
    """201 to 205: kill switches, and accounts that are disabled. RULEBOOK 5.1 and 5.2.

    Rows of the ledger keep the Reason that refuses, so that one look at each is enough.
    """
    zero = np.int64(0)
    of_instrument = ledger.limits[np.uint64(command.instrument)].refusal
    of_account = np.int64(ledger.accounts[np.uint64(command.account)].refusal)
    if rarely(of_instrument | of_account != c.OK):
        found = rule(found, of_instrument, of_instrument != c.OK, zero, zero)
        found = rule(found, of_account, of_account != c.OK, zero, zero)
    return found


@inlined
def protection_rules(found, ledger, command):
    """219: market-maker protection has tripped and is not reset. RULEBOOK 9.6."""
    account = ledger.accounts[np.uint64(command.account)]
    return rule(found, c.PROTECTION_TRIPPED, account.tripped != 0, account.protection_traded, account.protection_lots)


@inlined
def increment_rules(found, ledger, command, order, plain):
    """401 to 403: increments of price, trigger and quantity, and the least quantity. RULEBOOK 5.5.

    The price increment binds prices that a sender has chosen, not the limit that the exchange gives a market order.
    """
    limit = ledger.limits[np.uint64(command.instrument)]
    price_step, lot_step = limit.price_increment, limit.quantity_increment
    off_tick = rarely(price_step > 1) and order.chosen and order.price % price_step != 0
    found = rule(found, c.PRICE_OFF_TICK, off_tick, order.price, price_step)
    if not plain:
        trigger = command.trigger_price
        off_tick = price_step > 1 and order.parked and trigger % price_step != 0
        found = rule(found, c.PRICE_OFF_TICK, off_tick, trigger, price_step)
    found = rule(
        found, c.QUANTITY_BELOW_MINIMUM, order.total < limit.minimum_quantity, order.total, limit.minimum_quantity
    )
    off_lot = rarely(lot_step > 1) and order.total % lot_step != 0
    return rule(found, c.QUANTITY_OFF_LOT, off_lot, order.total, lot_step)


@inlined
def size_rules(found, ledger, command, order, last_price):
    """406 to 408: collar, largest order, largest notional. RULEBOOK 5.7 and 5.8.

    No collar binds an order that waits for its trigger (2.9) or takes an offer (13.1).
    """
    account = ledger.accounts[np.uint64(command.account)]
    limit = ledger.limits[np.uint64(command.instrument)]
    if rarely(limit.collar != 0):
        collared = order.limited and not order.parked
        high, low = last_price + limit.collar, last_price - limit.collar
        found = rule(found, c.PRICE_OUTSIDE_COLLAR, collared & (order.price > high), order.price, high)
        found = rule(found, c.PRICE_OUTSIDE_COLLAR, collared & (order.price < low), order.price, low)
    largest = min(account.max_order_quantity, limit.max_order_quantity)
    found = rule(found, c.MAX_ORDER_QUANTITY, order.total > largest, order.total, largest)
    notional = abs(order.value_price) * order.leaves * limit.fen_per_tick
    return rule(
        found, c.MAX_ORDER_NOTIONAL, notional > account.max_order_notional, notional, account.max_order_notional
    )


@inlined
def account_rules(found, ledger, command, order):
    """501 to 504: message rate, client order id, open orders. RULEBOOK 5.9 to 5.11.

    The rate is the generic cell rate algorithm (ITU-T I.371) on command time.
    """
    account = ledger.accounts[np.uint64(command.account)]
    earliest = earliest_message(account)
    early = rarely(account.message_interval != 0) and command.time < earliest
    found = rule(found, c.MESSAGE_RATE, early, command.time, earliest)
    if not order.amends and names_client_order(command):
        zero, first = np.int64(0), first_holder(ledger, command)
        held, most = ledger.hub[0].client_orders, ledger.hub[0].max_client_orders
        found = rule(found, c.DUPLICATE_CLIENT_ORDER_ID, first != 0, first, zero)
        found = rule(found, c.CLIENT_ORDER_ID_CAPACITY, held >= most, held, most)
    many = not order.amends and account.open_orders >= account.max_open_orders
    return rule(found, c.MAX_OPEN_ORDERS, many, account.open_orders + 1, account.max_open_orders)


@inlined
def exposure_rules(found, ledger, command, order, near, far, plain):
    """505 to 511: reduce-only, position limits, credit, margin call, offsets. RULEBOOK 2.7, 5.12, 5.13, 10, 11.6 and 12.

    near, far     Stake of the account in each instrument that the order is about; far on the other side. With `plain`
                  there is one, and `far` is not looked at
    An AMEND is checked for the lots by which the order grows (5.15).
    """
    account = ledger.accounts[np.uint64(command.account)]
    zero = np.int64(0)
    grows = not order.amends or order.growth > 0
    reduces = grows and rarely(order.flags & c.REDUCE_ONLY != 0)
    buys = order.side == c.BUY
    found = rule(found, c.REDUCE_ONLY_WOULD_INCREASE, reduces and near.reach > 0, near.reach, zero)
    if not plain:
        found = rule(found, c.REDUCE_ONLY_WOULD_INCREASE, reduces and far.reach > 0, far.reach, zero)
        found = rule(found, c.MAX_LONG, grows and not buys and far.reach > far.limit, far.reach, far.limit)
    found = rule(found, c.MAX_LONG if buys else c.MAX_SHORT, grows & (near.reach > near.limit), near.reach, near.limit)
    more = near.worst - near.worst_before
    margin = account.margin_used + more * near.margin
    enlarges = more > 0
    if not plain:
        found = rule(found, c.MAX_SHORT, grows and buys and far.reach > far.limit, far.reach, far.limit)
        more_far = far.worst - far.worst_before
        margin += more_far * far.margin
        enlarges = enlarges or more_far > 0
    found = rule(found, c.CREDIT, grows & enlarges & (margin > account.equity), margin, account.equity)
    if not plain:
        called = grows and account.called != 0
        found = rule(found, c.MARGIN_CALLED, called and more > 0, near.worst, near.worst_before)
        found = rule(found, c.MARGIN_CALLED, called and enlarges, far.worst, far.worst_before)
        for leg in (near, far):
            beyond = grows and leg.closes and order.growth > leg.free
            found = rule(found, c.CLOSE_EXCEEDS_POSITION, beyond, order.growth, max(leg.free, 0))
        for leg in (near, far):
            beyond = grows and leg.cap != 0 and not leg.closes and leg.opened > leg.cap
            found = rule(found, c.OPENING_CAP, beyond, leg.opened, leg.cap)
    return found
