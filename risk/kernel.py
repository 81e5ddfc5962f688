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
from risk.legs import fill_special, hold_special
from risk.positions import move, row_of_exposure, weigh
from risk.protection import count_resting_fill

_PIECE = code(0xFFFFFFFF)


# Message rate (RULEBOOK 5.9) -----------------------------------------------------------------------


@inlined
def earliest_message(account):
    """Time, ns, from which on another message keeps to the rate."""
    return account.message_arrival - (account.message_burst - 1) * account.message_interval


@inlined
def count_message(account, time):
    """A message that keeps to the rate has come."""
    if rarely(account.message_interval != 0):
        account.message_arrival = max(account.message_arrival, time) + account.message_interval


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
