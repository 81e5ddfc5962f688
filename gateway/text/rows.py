"""Rows as Python objects, one by one: a COMMAND row from its fields, EVENT rows as tuples.

    row = command_row(CommandKind.CANCEL, account, session, instrument=0, order_id=12)
    for event in events_of(events): ...

Reading a record of a structured array field by field takes ten times as long as unpacking its bytes.
"""

import struct
from collections.abc import Iterator

import numpy as np

from matching.records import COMMAND, EVENT, Command, Event

_CODES = {"<i8": "q", "<i4": "i", "|u1": "B", "<u2": "H", "<u4": "I", "|S20": "20s"}


def layout(row: np.dtype) -> struct.Struct:
    """How struct packs and unpacks one record of a dtype."""
    code, at = "<", 0
    for field, offset, *_ in (row.fields or {}).values():
        code += "x" * (offset - at) + _CODES[field.str]
        at = offset + field.itemsize
    return struct.Struct(code + "x" * (row.itemsize - at))


_COMMAND, _EVENT = layout(COMMAND), layout(EVENT)


def command_row(
    kind: int,
    account: int,
    session: int,
    *,
    instrument: int = 0,
    order_id: int = 0,
    price: int = 0,
    trigger_price: int = 0,
    quantity: int = 0,
    display_quantity: int = 0,
    minimum_quantity: int = 0,
    client_order_id: bytes = b"",
    expire_date: int = 0,
    counterparty: int = 0,
    side: int = 0,
    order_type: int = 0,
    time_in_force: int = 0,
    flags: int = 0,
) -> bytes:
    """The bytes of one COMMAND row. Sequence and time are 0: the runner stamps them."""
    return _COMMAND.pack(
        0,
        0,
        order_id,
        price,
        trigger_price,
        quantity,
        display_quantity,
        minimum_quantity,
        client_order_id,
        instrument,
        account,
        expire_date,
        counterparty,
        kind,
        side,
        order_type,
        time_in_force,
        flags,
        session,
    )


def commands_of(rows: np.ndarray) -> Iterator[Command]:
    """COMMAND rows one by one."""
    return map(Command._make, _COMMAND.iter_unpack(rows.tobytes()))


def events_of(rows: np.ndarray) -> Iterator[Event]:
    """EVENT rows one by one."""
    return map(Event._make, _EVENT.iter_unpack(rows.tobytes()))


def event_at(rows: np.ndarray, row: int) -> Event:
    """The EVENT row at an index."""
    return Event._make(_EVENT.unpack(rows[row : row + 1].tobytes()))
