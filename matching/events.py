"""Writing events. A step of the engine states here what it has done.

    event = emit_order(book, events, at, command, order, c.CANCELED, c.OK, c.NONE, price, quantity, c.NONE)

Every `emit` writes the row `at` of the events and returns it, so that the caller can fill fields that few events have.
The caller guarantees that there is room. Commands and events are COMMAND_WORDS and EVENT_WORDS (records.py).
"""

from typing import Any, NamedTuple

import numpy as np

from matching import codes as c
from matching.intrinsics import clear_fields, copy_fields
from matching.jit import inlined

_LOW = np.int64(0xFFFFFFFF)
_NAME_END = np.int64((1 << 48) - 1)  # of name_end: client_2 and instrument, without what an ORDER has above them


class Incoming(NamedTuple):
    """The order that is trading with resting ones: a new order, an amended or triggered one, or a liquidation.

    On the fast path `entry` is the ENTER command or the ORDER that is amended; the event that has just been written of it
    would do for both, but costs 2 to 8 % of benchmarks/kernel.py. On the general path it is that event, so that the steps
    are compiled for one type only.
    """

    entry: Any  # row that has its client order id, see above
    instrument: int  # index
    account: int
    order_id: int
    side: int
    limit: int  # ticks, within the band
    flags: int  # offset flags, which its events carry


@inlined
def emit(
    book, events, at, command, owner, kind, reason, instrument, account, side, flags, order_id, price, quantity, leaves
):
    """Write an event. Fields that only trades, amendments and rejects use are zero. Returns the row.

    command   the cause
    owner     the row whose client order id the event carries: the ENTER command or an ORDER
    """
    return emit_named(
        book,
        events,
        at,
        command,
        owner,
        (np.int64(owner.client_2) & _LOW) | (np.int64(instrument) << 32),
        kind,
        reason,
        account,
        side,
        flags,
        order_id,
        price,
        quantity,
        leaves,
    )


@inlined
def emit_named(
    book, events, at, command, owner, name_end, kind, reason, account, side, flags, order_id, price, quantity, leaves
):
    """`emit` for a caller that has the end of the client order id and the instrument as one number already.

    STATE.event_id is the last event of the batch before; the lanes advance it once per batch. Neighbouring fields are
    written as one number, see EVENT_WORDS.
    """
    event = events[np.uint64(at)]
    event.event_id = book.state[0].event_id + at + 1
    copy_fields(event, command, "sequence", "time")
    event.order_id = order_id
    event.price = price
    event.quantity = quantity
    event.leaves_quantity = leaves
    clear_fields(event, "trade_id", "resting_price")
    copy_fields(event, owner, "client_0", "client_1")
    event.name_end = name_end
    event.accounts = np.int64(account) & _LOW
    event.about = np.int64(kind) | np.int64(side) << 8 | np.int64(reason) << 16 | np.int64(flags) << 32
    return event


@inlined
def emit_order(book, events, at, command, order, kind, reason, flags, price, quantity, leaves):
    """Write the event of an ORDER in the book. Returns the row."""
    return emit_named(
        book,
        events,
        at,
        command,
        order,
        order.name_end & _NAME_END,
        kind,
        reason,
        np.int64(order.account),
        np.int64(order.side),
        flags,
        order.order_id,
        price,
        quantity,
        leaves,
    )


@inlined
def emit_incoming(book, events, at, command, incoming, kind, reason, flags, price, quantity, leaves):
    """Write the event of an Incoming order. Returns the row."""
    return emit_named(
        book,
        events,
        at,
        command,
        incoming.entry,
        incoming.entry.name_end & _NAME_END,
        kind,
        reason,
        incoming.account,
        incoming.side,
        flags,
        incoming.order_id,
        price,
        quantity,
        leaves,
    )


@inlined
def emit_unnamed(book, events, at, command, kind, reason, instrument, account, side, price, quantity, leaves):
    """Write an event that is about no order: it carries no order id and no client order id. Returns the row."""
    event = emit(
        book,
        events,
        at,
        command,
        command,
        kind,
        reason,
        instrument,
        account,
        side,
        c.NONE,
        c.NONE,
        price,
        quantity,
        leaves,
    )
    clear_name(event)
    return event


@inlined
def emit_phase(book, events, at, command, number, phase, reason):
    """PHASE of an instrument, or of ALL. Returns the next free row of events."""
    emit_unnamed(book, events, at, command, c.PHASE, reason, number, c.NONE, c.NONE, c.NONE, phase, c.NONE)
    return at + 1


@inlined
def clear_name(event):
    """Remove the client order id from an event."""
    event.client_0 = 0
    event.client_1 = 0
    event.client_2 = 0


@inlined
def number_trade(book, event, resting, resting_price):
    """Give a TRADED event the next trade id, and describe the resting order: ORDER after the trade, its limit in ticks."""
    state = book.state[0]
    state.trade_id += 1
    event.trade_id = state.trade_id
    event.resting_order_id = resting.order_id
    event.resting_leaves_quantity = resting.leaves_quantity
    event.resting_price = resting_price
    event.resting_account = resting.account


@inlined
def reject(book, events, at, command, reason, value, bound, first_order):
    """REJECTED. value and bound: see EVENT; first_order: the earlier holder of a client order id, or 0."""
    meant = command.order_id if command.kind in (c.AMEND, c.CANCEL, c.TAKE) else 0
    event = emit(
        book,
        events,
        at,
        command,
        command,
        c.REJECTED,
        reason,
        np.int64(command.instrument),
        np.int64(command.account),
        np.int64(command.side),
        np.int64(command.flag_bits),
        meant,
        command.price,
        command.quantity,
        c.NONE,
    )
    event.first_order_id = first_order
    event.refused_value = value
    event.refused_bound = bound
    return at + 1


@inlined
def cancel_incoming(book, events, at, command, incoming, leaves, reason):
    """CANCELED: what is left of an Incoming order does not come to rest."""
    emit_incoming(
        book, events, at, command, incoming, c.CANCELED, reason, incoming.flags, incoming.limit, leaves, c.NONE
    )
    return at + 1
