"""Event rows made by hand, as the engine emits them by the RULEBOOK, for tests of projections with a given stream.

    events = stream([accepted(1, BUY, 100, 5), displayed(1, BUY, 100, 2, before=5)],       # command 1
                    [canceled(1, BUY, 100, 5)])                                            # command 2

Rows are dictionaries until `stream` numbers them. Instrument and account are 0 by default.
"""

from typing import Any

import numpy as np

from matching.codes import EventKind, Flag, Phase, Reason
from matching.records import EVENT
from tests.build import SECOND

Told = dict[str, Any]


def accepted(order_id: int, side: int, price: int, quantity: int, **fields: Any) -> Told:
    return {
        "kind": EventKind.ACCEPTED,
        "order_id": order_id,
        "side": side,
        "price": price,
        "quantity": quantity,
        "leaves_quantity": quantity,
        **fields,
    }


def parked(told: Told, trigger: int) -> Told:
    """The same for a parked order (2.9); ACCEPTED and AMENDED have the trigger."""
    known = {} if told["kind"] == EventKind.CANCELED else {"resting_price": trigger}
    return told | {"flags": told.get("flags", 0) | Flag.PARKED} | known


def amended(order_id: int, side: int, price: int, leaves: int, before: tuple[int, int], **fields: Any) -> Told:
    """before: price and open lots."""
    return {
        "kind": EventKind.AMENDED,
        "order_id": order_id,
        "side": side,
        "price": price,
        "quantity": leaves,
        "leaves_quantity": leaves,
        "resting_price": before[0],
        "resting_leaves_quantity": before[1],
        **fields,
    }


def triggered(order_id: int, side: int, price: int, leaves: int, **fields: Any) -> Told:
    return {
        "kind": EventKind.TRIGGERED,
        "order_id": order_id,
        "side": side,
        "price": price,
        "quantity": leaves,
        "leaves_quantity": leaves,
        **fields,
    }


def uncrossed(order_id: int, side: int, price: int, leaves: int, **fields: Any) -> Told:
    return triggered(order_id, side, price, leaves, **fields) | {"kind": EventKind.UNCROSSED}


def displayed(order_id: int, side: int, price: int, shown: int, before: int, **fields: Any) -> Told:
    return {
        "kind": EventKind.DISPLAYED,
        "order_id": order_id,
        "side": side,
        "price": price,
        "quantity": shown,
        "resting_leaves_quantity": before,
        **fields,
    }


def canceled(order_id: int, side: int, price: int, quantity: int, reason: Reason = Reason.NONE, **fields: Any) -> Told:
    return {
        "kind": EventKind.CANCELED,
        "order_id": order_id,
        "side": side,
        "price": price,
        "quantity": quantity,
        "reason": reason,
        **fields,
    }


def traded(
    order_id: int, side: int, price: int, quantity: int, leaves: int, resting: tuple[int, int, int], **fields: Any
) -> Told:
    """resting: id, price and open lots of the resting order."""
    return {
        "kind": EventKind.TRADED,
        "order_id": order_id,
        "side": side,
        "price": price,
        "quantity": quantity,
        "leaves_quantity": leaves,
        "resting_order_id": resting[0],
        "resting_price": resting[1],
        "resting_leaves_quantity": resting[2],
        **fields,
    }


def phase(to: Phase, instrument: int = 0, reason: Reason = Reason.NONE) -> Told:
    return {"kind": EventKind.PHASE, "instrument": instrument, "quantity": to, "reason": reason}


def stream(*commands: list[Told], start: int = 1, event_id: int = 0, trade_id: int = 0) -> np.ndarray:
    """EVENT[n] of commands `start`, start + 1 ..., a second apart; numbers go on from `event_id` and `trade_id`."""
    rows = np.zeros(sum(map(len, commands)), EVENT)
    at = 0
    for number, told in enumerate(commands, start):
        for fields in told:
            trade_id += fields["kind"] == EventKind.TRADED
            for name, value in {
                "event_id": event_id + at + 1,
                "sequence": number,
                "time": number * SECOND,
                "trade_id": trade_id * (fields["kind"] == EventKind.TRADED),
                **fields,
            }.items():
                rows[at][name] = value
            at += 1
    return rows
