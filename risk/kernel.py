"""Pre-trade risk: what an order must pass, and what it holds. RULEBOOK 5.

`refuses`, `check_order` and `check_account` say which rule an order breaks first; `apply_event` keeps the exposures.
Exposures follow from events alone: an ACCEPTED order is held, trades, cancels and amendments move or release it. So
after any run they equal a recomputation from the open orders and the trades.

`check_exposure`, `hold`, `fill` and `settle` are for every instrument and account. The many, with net positions of their
own and no margin called, take the short way told here; one test leads the others to risk/legs.py.

Checks return (reason, value, bound); reason 0 means that the order passes.
"""

import numpy as np

from matching import codes as c
from matching.codes import RESTING_OFFSET
from matching.jit import code, inlined, rarely, read_anew
from risk.legs import check_special_exposure, fill_special, hold_special
from risk.positions import OFFSET, check_offset_flags, move, row_of_exposure, weigh
from risk.protection import count_resting_fill
from risk.records import SPECIAL_OFFSET

_PIECE = code(0xFFFFFFFF)


# The order by itself (RULEBOOK 5.5, 5.7, 5.8) -----------------------------------------------------


@inlined
def check_offset(special, flags, time_in_force):
    """Offset flags (RULEBOOK 10.1). special: LIMIT.special of the instrument; 0 for an AMEND, which bears none anywhere."""
    if (flags & OFFSET) | (special & SPECIAL_OFFSET):
        return check_offset_flags(special, np.int64(flags), np.int64(time_in_force))
    return c.OK, 0, 0


@inlined
def check_increments(limit, price, trigger, quantity):
    """Price and trigger price on the increment, quantity at least the minimum and on its increment.

    A price that nobody chose is given as 0: that of a MARKET or STOP order, the trigger of any but a parked one.
    """
    if limit.price_increment > 1:
        if price % limit.price_increment != 0:
            return c.PRICE_OFF_TICK, price, limit.price_increment
        if trigger % limit.price_increment != 0:
            return c.PRICE_OFF_TICK, trigger, limit.price_increment
    if quantity < limit.minimum_quantity:
        return c.QUANTITY_BELOW_MINIMUM, quantity, limit.minimum_quantity
    if limit.quantity_increment > 1 and quantity % limit.quantity_increment != 0:
        return c.QUANTITY_OFF_LOT, quantity, limit.quantity_increment
    return c.OK, 0, 0


@inlined
def check_size(account, limit, price, total_quantity, open_quantity, last_price, bound_by_collar):
    """Collar, largest order, largest notional. price: of a STOP order its trigger, and no collar binds it (RULEBOOK 2.9)."""
    if limit.collar != 0 and bound_by_collar:
        if price > last_price + limit.collar:
            return c.PRICE_OUTSIDE_COLLAR, price, last_price + limit.collar
        if price < last_price - limit.collar:
            return c.PRICE_OUTSIDE_COLLAR, price, last_price - limit.collar
    largest = min(account.max_order_quantity, limit.max_order_quantity)
    if total_quantity > largest:
        return c.MAX_ORDER_QUANTITY, total_quantity, largest
    notional = abs(price) * open_quantity * limit.fen_per_tick
    if notional > account.max_order_notional:
        return c.MAX_ORDER_NOTIONAL, notional, account.max_order_notional
    return c.OK, 0, 0


@inlined
def earliest_message(account):
    """Time, ns, from which on another message keeps to the rate."""
    return account.message_arrival - (account.message_burst - 1) * account.message_interval


@inlined
def count_message(account, time):
    """A message that keeps to the rate has come."""
    if rarely(account.message_interval != 0):
        account.message_arrival = max(account.message_arrival, time) + account.message_interval


@inlined
def check_rate(account, time):
    """Generic cell rate algorithm (ITU-T I.371) on command time. A message that passes is counted."""
    early = earliest_message(account)
    if account.message_interval != 0 and time < early:
        return c.MESSAGE_RATE, time, early
    count_message(account, time)
    return c.OK, 0, 0


# Client order ids (RULEBOOK 5.10) -----------------------------------------------------------------


@inlined
def first_client_order_row(ledger, command):
    """Row of the table where the search for this account's client order id begins."""
    first, second, third = np.int64(command.client_0), np.int64(command.client_1), np.int64(command.client_2)
    # pieces of 32 bits by factors of 28 bits: no sum of six leaves int64
    words = (
        (first & _PIECE) * 0x9E3779B
        + ((first >> 32) & _PIECE) * 0xC2B2AE3
        + (second & _PIECE) * 0x85EBCA7
        + ((second >> 32) & _PIECE) * 0xD6E8FEB
        + (third & _PIECE) * 0xA3B1955
        + np.int64(command.account) * 0xB5297A5
    )
    words ^= words >> 27
    return (words ^ (words >> 17)) & (len(ledger.client_orders) - 1)


@inlined
def client_order_row(ledger, command):
    """Row of the table that holds this account's client order id, or the free row where it would go."""
    last = len(ledger.client_orders) - 1
    row = first_client_order_row(ledger, command)
    while True:
        held = ledger.client_orders[row]
        if held.order_id == 0 or (
            held.client_0 == command.client_0
            and held.client_1 == command.client_1
            and held.client_2 == command.client_2
            and held.account == command.account
        ):
            return row
        row = (row + 1) & last


@inlined
def names_client_order(command):
    """Does the command carry a client order id that must be unique?"""
    return (command.client_0 | command.client_1 | command.client_2) != 0 and not command.flag_bits & c.LABEL


@inlined
def first_holder(ledger, command):
    """The accepted order that has this client order id, or 0."""
    return ledger.client_orders[client_order_row(ledger, command)].order_id


@inlined
def remember(ledger, command):
    """Note the client order id of an accepted order."""
    held = ledger.client_orders[client_order_row(ledger, command)]
    held.order_id = command.sequence
    held.client_0 = command.client_0
    held.client_1 = command.client_1
    held.client_2 = command.client_2
    held.account = command.account
    ledger.hub[0].client_orders += 1


@inlined
def forget_client_orders(ledger):
    """A new day: every client order id is free again."""
    if ledger.hub[0].client_orders != 0:
        for row in range(len(ledger.client_orders)):
            ledger.client_orders[row].order_id = 0
        ledger.hub[0].client_orders = 0


# The account (RULEBOOK 5.11 to 5.13) --------------------------------------------------------------


@inlined
def check_exposure(ledger, account_index, instrument_index, side, growth, flags):
    """Would `growth` > 0 more lots on this side break reduce-only, position limits or credit? RULEBOOK 10 to 12 add to it.

    flags   of the order, and REDUCE_ONLY of the AMEND that makes it grow
    """
    account = ledger.accounts[np.uint64(account_index)]
    limit = ledger.limits[np.uint64(instrument_index)]
    if limit.special | account.called:
        return check_special_exposure(
            ledger,
            np.int64(account_index),
            np.int64(instrument_index),
            np.int64(side),
            np.int64(growth),
            np.int64(flags),
        )
    exposure = ledger.exposures[row_of_exposure(ledger, account_index, instrument_index)]
    buys = growth * (2 - side)  # a side is 1 or 2: arithmetic instead of a branch nobody can predict
    sells = growth - buys
    long = exposure.position + exposure.open_buy + buys
    short = exposure.open_sell + sells - exposure.position
    reach = long if side == c.BUY else short
    bound = min(account.max_long if side == c.BUY else account.max_short, limit.max_position, limit.largest_position)
    if flags & c.REDUCE_ONLY and reach > 0:
        return c.REDUCE_ONLY_WOULD_INCREASE, reach, 0
    if reach > bound:
        return c.MAX_LONG if side == c.BUY else c.MAX_SHORT, reach, bound
    more = max(long, short) - exposure.worst  # as in worst_case
    margin = account.margin_used + more * limit.margin
    if more > 0 and margin > account.equity:
        return c.CREDIT, margin, account.equity
    return c.OK, 0, 0


@inlined
def breaks_limits(ledger, command, side, price, last_price, total, leaves, growth, orders):
    """Would an order break any rule of 5.1, 5.2, 5.5, 5.7 to 5.9, 5.11 to 5.13 or 9.6?

    The same as check_increments, check_size, check_rate, check_exposure and so on, but not in order and without saying which.
    Margin of the account is not called, and positions in the instrument are net and its own. An order that does not grow may
    be told to break a position limit that was broken before.

    command         ENTER or AMEND; side, price: of the order from then on, its limit in ticks
    total, leaves   lots of the order from then on, and of these open
    growth, orders  how many lots and orders more are open then
    Returns         (whether it does, lots that margin is held for if it does not)
    """
    account = ledger.accounts[np.uint64(command.account)]
    limit = ledger.limits[np.uint64(command.instrument)]
    exposure = ledger.exposures[row_of_exposure(ledger, command.account, command.instrument)]
    unfit = limit.refusal | np.int64(account.refusal | account.tripped)
    breaks = (
        (unfit != 0)
        | (total < limit.minimum_quantity)
        | (total > min(account.max_order_quantity, limit.max_order_quantity))
        | (abs(price) * leaves * limit.fen_per_tick > account.max_order_notional)
        | (account.open_orders + orders > account.max_open_orders)
    )
    if rarely(account.message_interval != 0):
        breaks |= command.time < earliest_message(account)
    if rarely(limit.price_increment > 1):
        breaks |= (command.kind == c.AMEND or command.order_type != c.MARKET) and price % limit.price_increment != 0
    if rarely(limit.quantity_increment > 1):
        breaks |= total % limit.quantity_increment != 0
    if rarely(limit.collar != 0):
        breaks |= (price > last_price + limit.collar) | (price < last_price - limit.collar)
    buys = growth * (2 - side)  # a side is 1 or 2: arithmetic instead of a branch nobody can predict
    long = exposure.position + exposure.open_buy + buys
    short = exposure.open_sell + (growth - buys) - exposure.position
    worst = max(long, short)  # as in worst_case
    more = worst - exposure.worst
    reach, most = (long, account.max_long) if side == c.BUY else (short, account.max_short)
    breaks |= (reach > min(most, limit.max_position, limit.largest_position)) | (
        (more > 0) & (account.margin_used + more * limit.margin > account.equity)
    )
    if rarely(command.flag_bits & c.REDUCE_ONLY != 0):
        breaks |= reach > 0
    return breaks, worst


# Hold, release, fill (RULEBOOK 5.14) --------------------------------------------------------------


@inlined
def hold_plain(ledger, account, instrument, side, quantity, orders):
    """hold, where the instrument is known to be plain."""
    bought = quantity * (2 - side)
    move(ledger, account, instrument, 0, bought, quantity - bought, orders)


@inlined
def hold(ledger, account, instrument, side, quantity, orders, flags):
    """Hold `quantity` more open lots of one side and `orders` more open orders; negative: release them.

    flags   offset flags of the order (RULEBOOK 10.1); others mean nothing here
    """
    if ledger.limits[np.uint64(instrument)].special:
        hold_special(
            ledger,
            np.int64(account),
            np.int64(instrument),
            np.int64(side),
            np.int64(quantity),
            np.int64(orders),
            np.int64(flags),
        )
    else:
        hold_plain(ledger, account, instrument, side, quantity, orders)


@inlined
def hold_passed(ledger, command, side, growth, orders, worst):
    """Count and hold what breaks_limits has let pass. growth, orders: as there; worst: what that said."""
    account = ledger.accounts[np.uint64(command.account)]
    exposure = ledger.exposures[row_of_exposure(ledger, command.account, command.instrument)]
    buys = growth * (2 - side)
    count_message(account, command.time)
    exposure.open_buy += buys
    exposure.open_sell += growth - buys
    account.open_orders += orders
    weigh(ledger, account, exposure, command.instrument, worst)


@inlined
def count_traded(exposure, side, quantity, turnover, value):
    """What `quantity` traded lots cost, and what fees and average prices are reckoned of. See EXPOSURE."""
    exposure.cost += turnover if side == c.BUY else -turnover
    exposure.volume += quantity
    exposure.turnover += turnover
    exposure.value += value


@inlined
def fill_plain(ledger, account, instrument, side, quantity, price, leaves):
    """fill, where the instrument is known to be plain."""
    bought = quantity * (2 - side)
    sold = quantity - bought
    exposure = move(ledger, account, instrument, bought - sold, -bought, -sold, -1 if leaves == 0 else 0)
    count_traded(exposure, side, quantity, price * quantity, abs(price * quantity))


@inlined
def fill(ledger, account, instrument, side, quantity, price, leaves, flags):
    """Turn `quantity` open lots into position; without leaves the order is no longer open. flags: see hold."""
    if ledger.limits[np.uint64(instrument)].special:
        fill_special(
            ledger,
            np.int64(account),
            np.int64(instrument),
            np.int64(side),
            np.int64(quantity),
            np.int64(price),
            np.int64(leaves),
            np.int64(flags),
        )
    else:
        fill_plain(ledger, account, instrument, side, quantity, price, leaves)


@inlined
def protect(ledger, event):
    """Count a trade for the protection of the resting account (RULEBOOK 9.6), if it has any."""
    if rarely(ledger.accounts[np.uint64(event.resting_account)].protection_lots != 0):
        read_anew()
        count_resting_fill(ledger, np.int64(event.resting_account), event.quantity, event.time)


@inlined
def change_of(event):
    """(lots, orders) more, or fewer, that are open by an ACCEPTED, CANCELED or AMENDED event."""
    if event.kind == c.ACCEPTED:
        return event.quantity, 1
    if event.kind == c.CANCELED:
        return -event.quantity, -1
    return event.leaves_quantity - event.resting_leaves_quantity, 0


@inlined
def apply_event(ledger, event):
    """Bring exposures up to date with one event. An order counts as open from ACCEPTED until its leaves are zero."""
    kind = event.kind
    flags = np.int64(event.flag_bits)
    if kind == c.TRADED:
        fill(
            ledger,
            event.account,
            event.instrument,
            event.side,
            event.quantity,
            event.price,
            event.leaves_quantity,
            flags,
        )
        fill(
            ledger,
            event.resting_account,
            event.instrument,
            3 - event.side,
            event.quantity,
            event.price,
            event.resting_leaves_quantity,
            flags >> RESTING_OFFSET,
        )
        protect(ledger, event)
    elif kind == c.ACCEPTED or kind == c.CANCELED or kind == c.AMENDED:
        held, orders = change_of(event)
        hold(ledger, event.account, event.instrument, event.side, held, orders, flags)


@inlined
def settle(ledger, events, first, last):
    """Bring exposures up to date with the events of rows first to last - 1."""
    for row in range(first, last):
        apply_event(ledger, events[np.uint64(row)])


@inlined
def settle_incoming(ledger, command, order_id, side, quantity, events, first, last):
    """Bring exposures up to date with what a plain order that is held has met: rows first to last - 1, behind that it came in.

    The incoming order moves its exposure once, by all that it has come to.
    order_id, side, quantity    of the order that the ENTER or AMEND is about; lots open when it came in
    """
    leaves = quantity
    filled, turnover, value = np.int64(0), np.int64(0), np.int64(0)
    for row in range(first, last):
        event = events[np.uint64(row)]
        if event.kind == c.TRADED:
            traded = event.price * event.quantity
            filled += event.quantity
            turnover += traded
            value += abs(traded)
            leaves -= event.quantity
            fill_plain(
                ledger,
                event.resting_account,
                command.instrument,
                3 - side,
                event.quantity,
                event.price,
                event.resting_leaves_quantity,
            )
            protect(ledger, event)
        elif event.order_id == order_id:  # what is left of it is canceled
            leaves = np.int64(0)
        else:  # a resting order goes instead of trading with its own kind
            hold_plain(ledger, event.account, command.instrument, 3 - side, -event.quantity, -1)
    gone = quantity - leaves
    bought, no_longer_buying = filled * (2 - side), gone * (2 - side)
    exposure = move(
        ledger,
        command.account,
        command.instrument,
        2 * bought - filled,
        -no_longer_buying,
        no_longer_buying - gone,
        -1 if leaves == 0 else 0,
    )
    count_traded(exposure, side, filled, turnover, value)


@inlined
def settle_plain(ledger, events, first, last):
    """settle, where all the events are orders and trades of an instrument that is known to be plain."""
    for row in range(first, last):
        event = events[np.uint64(row)]
        if event.kind == c.TRADED:
            fill_plain(
                ledger, event.account, event.instrument, event.side, event.quantity, event.price, event.leaves_quantity
            )
            fill_plain(
                ledger,
                event.resting_account,
                event.instrument,
                3 - event.side,
                event.quantity,
                event.price,
                event.resting_leaves_quantity,
            )
            protect(ledger, event)
        else:
            held, orders = change_of(event)
            hold_plain(ledger, event.account, event.instrument, event.side, held, orders)
