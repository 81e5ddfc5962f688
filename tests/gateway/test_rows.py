"""Single rows are the bytes of the dtypes."""

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gateway.text.rows import command_row, commands_of, events_of
from matching.records import COMMAND, EVENT


def test_a_packed_row_is_the_dtypes_row() -> None:
    row = np.frombuffer(
        command_row(
            1,
            5,
            9,
            instrument=3,
            order_id=12,
            price=-7,
            trigger_price=-9,
            quantity=8,
            display_quantity=4,
            minimum_quantity=2,
            client_order_id=b"abc",
            expire_date=20270115,
            counterparty=6,
            side=2,
            order_type=2,
            time_in_force=3,
            flags=64,
        ),
        COMMAND,
    )[0]
    assert [row[name].item() for name in COMMAND.names or ()] == [
        0,
        0,
        12,
        -7,
        -9,
        8,
        4,
        2,
        b"abc",
        3,
        5,
        20270115,
        6,
        1,
        2,
        2,
        3,
        64,
        9,
    ]


@given(
    st.binary(min_size=COMMAND.itemsize, max_size=COMMAND.itemsize),
    st.binary(min_size=EVENT.itemsize, max_size=EVENT.itemsize),
)
def test_reading_a_row_gives_what_the_dtype_gives(command: bytes, event: bytes) -> None:
    for raw, dtype, read_all in ((command, COMMAND, commands_of), (event, EVENT, events_of)):
        row = np.frombuffer(raw, dtype)
        values: Any = next(read_all(row))
        names = dtype.names or ()
        assert values._fields == names
        for name, value in zip(names, values, strict=True):
            assert (value.rstrip(b"\0") if isinstance(value, bytes) else value) == row[0][name].item()
