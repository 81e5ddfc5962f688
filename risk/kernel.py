"""What accounts have at stake: messages counted, client order ids taken, lots held and filled. RULEBOOK 5.9, 5.10, 5.14.

Exposures follow from events alone: an ACCEPTED order is held; trades, cancels and amendments fill or release it. So after
any run they equal a recomputation from the open orders and the trades. `apply_events` brings them up to date.

Most instruments have net positions of their own. `hold` and `fill` do these at once and leave the others to risk/legs.py.
The fast path knows that its instrument is of that kind and says so with a literal `plain`, which the compiler folds away.
What an order must pass is in risk/rules.py.
"""

import numpy as np

from matching import codes as c
from matching.codes import RESTING_OFFSET
from matching.intrinsics import rarely, read_anew
from matching.jit import inlined, outlined
from risk.legs import fill_legs, hold_legs
from risk.positions import change, move
from risk.protection import count_resting_fill

_PIECE = np.int64(0xFFFFFFFF)


# Message rate (RULEBOOK 5.9) -----------------------------------------------------------------------


@inlined
def earliest_message(account):
    """Time, ns, from which on another message is within the rate."""
    return account.message_arrival - (account.message_burst - 1) * account.message_interval


@inlined
def count_message(account, time):
    """Count a message that is within the rate."""
    if rarely(account.message_interval != 0):
        account.message_arrival = max(account.message_arrival, time) + account.message_interval


# Client order ids (RULEBOOK 5.10) -----------------------------------------------------------------


@inlined
def first_client_order_row(ledger, command):
    """Row of the table at which the search for the client order id of a command begins."""
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
    """Row of the table that holds the client order id of a command, or the free row where it would go."""
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
    """The accepted order that took this client order id first, or 0."""
    return ledger.client_orders[client_order_row(ledger, command)].order_id


@inlined
def remember(ledger, command):
    """Take the client order id of an accepted order for the day."""
    held = ledger.client_orders[client_order_row(ledger, command)]
    held.order_id = command.sequence
    held.client_0 = command.client_0
    held.client_1 = command.client_1
    held.client_2 = command.client_2
    held.account = command.account
    ledger.hub[0].client_orders += 1


@inlined
def forget_client_orders(ledger):
    """Free every client order id, for a new day."""
    if ledger.hub[0].client_orders != 0:
        for row in range(len(ledger.client_orders)):
            ledger.client_orders[row].order_id = 0
        ledger.hub[0].client_orders = 0


# Hold, release, fill (RULEBOOK 5.14) --------------------------------------------------------------


@inlined
def hold(ledger, account, instrument, side, quantity, orders, flags, plain):
    """Hold `quantity` more open lots of one side and `orders` more open orders; negative: release them.

    flags   of the order; only offset flags count here (RULEBOOK 10.1)
    plain   literal: positions in the instrument are known to be net and its own
    """
    if not plain and ledger.limits[np.uint64(instrument)].special:
        hold_legs(ledger, account, instrument, side, quantity, orders, flags)
    else:
        bought = quantity * (2 - side)  # a side is 1 or 2
        move(ledger, account, instrument, c.NONE, bought, quantity - bought, orders)


@inlined
def hold_checked(ledger, command, order, stake, orders):
    """Hold what a plain order that has passed asks for, and count its message. The rules know its worst case already.

    order, stake    its Proposal and Stake (risk/rules.py)
    """
    account, bought = np.int64(command.account), order.growth * (2 - order.side)
    change(
        ledger,
        account,
        np.int64(command.instrument),
        c.NONE,
        bought,
        order.growth - bought,
        orders,
        stake.worst,
    )
    count_message(ledger.accounts[np.uint64(account)], command.time)


@inlined
def fill(ledger, account, instrument, side, quantity, price, leaves, flags, plain):
    """Turn `quantity` open lots into position; without leaves the order is no longer open. flags, plain: see hold."""
    if not plain and ledger.limits[np.uint64(instrument)].special:
        fill_legs(ledger, account, instrument, side, quantity, price, leaves, flags)
    else:
        bought = quantity * (2 - side)
        sold = quantity - bought
        closed = np.int64(1 if leaves == 0 else 0)
        exposure = move(ledger, account, instrument, bought - sold, -bought, -sold, -closed)
        exposure.cost += price * (bought - sold)
        exposure.volume += quantity
        exposure.turnover += price * quantity
        exposure.value += abs(price) * quantity


@inlined
def protect(ledger, event):
    """Count a trade for the market-maker protection of the resting account (RULEBOOK 9.6), if it has any."""
    if rarely(ledger.accounts[np.uint64(event.resting_account)].protection_lots != 0):
        read_anew()
        count_resting_fill(ledger, np.int64(event.resting_account), event.quantity, event.time)


@inlined
def apply_event(ledger, event, plain):
    """Bring exposures up to date with one event. An order counts as open from ACCEPTED until its leaves are zero."""
    kind = event.kind
    account, instrument, side = np.int64(event.account), np.int64(event.instrument), np.int64(event.side)
    flags, quantity = np.int64(event.flag_bits), event.quantity
    if kind == c.TRADED:
        fill(ledger, account, instrument, side, quantity, event.price, event.leaves_quantity, flags, plain)
        resting, flags = np.int64(event.resting_account), flags >> RESTING_OFFSET
        fill(ledger, resting, instrument, 3 - side, quantity, event.price, event.resting_leaves_quantity, flags, plain)
        protect(ledger, event)
    elif kind == c.ACCEPTED:
        hold(ledger, account, instrument, side, quantity, np.int64(1), flags, plain)
    elif kind == c.CANCELED:
        hold(ledger, account, instrument, side, -quantity, np.int64(-1), flags, plain)
    elif kind == c.AMENDED:
        growth = event.leaves_quantity - event.open_before
        hold(ledger, account, instrument, side, growth, c.NONE, flags, plain)


@inlined
def apply_rows(ledger, events, first, last, plain):
    """Bring exposures up to date with the events of rows first to last - 1. plain: see hold."""
    for row in range(first, last):
        apply_event(ledger, events[np.uint64(row)], plain)


@inlined
def apply_incoming(ledger, command, order_id, side, quantity, events, first, last):
    """apply_rows on the fast path: the events of an incoming order, which moves its own exposure once, not once a trade.

    order_id, side    of the order
    quantity          lots, open and held when it came in
    With apply_rows instead, the kernel runs at 0.94 of this speed (benchmarks/kernel.py, risk on).
    """
    account, instrument = np.int64(command.account), np.int64(command.instrument)
    leaves, filled, turnover, value = quantity, c.NONE, c.NONE, c.NONE
    for row in range(first, last):
        event = events[np.uint64(row)]
        if event.kind == c.TRADED:
            traded = event.price * event.quantity
            filled += event.quantity
            turnover += traded
            value += abs(traded)
            leaves -= event.quantity
            resting, left = np.int64(event.resting_account), event.resting_leaves_quantity
            fill(ledger, resting, instrument, 3 - side, event.quantity, event.price, left, c.NONE, True)
            protect(ledger, event)
        elif event.order_id == order_id:  # what is left of it is canceled
            leaves = c.NONE
        else:  # self-match prevention cancels a resting order
            hold(ledger, np.int64(event.account), instrument, 3 - side, -event.quantity, np.int64(-1), c.NONE, True)
    gone = quantity - leaves
    bought, bid = filled * (2 - side), gone * (2 - side)
    closed = np.int64(1 if leaves == 0 else 0)
    exposure = move(ledger, account, instrument, 2 * bought - filled, -bid, bid - gone, -closed)
    exposure.cost += turnover if side == c.BUY else -turnover
    exposure.volume += filled
    exposure.turnover += turnover
    exposure.value += value


@outlined
def apply_events(ledger, events, first, last):
    """apply_rows for any events, compiled once for all who call it."""
    apply_rows(ledger, events, first, last, False)
