"""Rows and their second names."""

import numpy as np
import pytest

from matching.records import COMMAND, COMMAND_WORDS, EVENT, EVENT_WORDS, Command, Event, SecondName


@pytest.mark.parametrize("dtype, words, values", [(COMMAND, COMMAND_WORDS, Command), (EVENT, EVENT_WORDS, Event)])
def test_a_second_name_reads_the_same_field_in_the_engine_and_in_python(
    dtype: np.dtype, words: np.dtype, values: type
) -> None:
    rows = np.zeros(1, dtype)
    for number, name in enumerate(dtype.names or ()):
        rows[name] = number
    second = {name: field.field for name, field in vars(values).items() if isinstance(field, SecondName)}
    assert second
    row, value = rows.view(words)[0], values(*rows[0].item())
    for name, field in second.items():
        assert row[name] == rows[0][field] == getattr(value, name)
