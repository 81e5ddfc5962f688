"""The whole exchange from one seed, stopped and restored on the way: the events are those of an exchange that never stopped."""

import dataclasses

import numpy as np
import pytest

from tests.matching.divergence import first_difference
from tests.matching.flow import engine, random_flow

LENGTH = 1500


@pytest.mark.parametrize("risk", [False, True])
def test_a_run_that_is_stopped_and_restored_at_random_rows_emits_the_same_events(risk: bool) -> None:
    """1.1: the state, restored into a new machine, decides all later events."""
    for seed in range(500, 520):
        flow = random_flow(seed, LENGTH, risk)
        whole = engine(flow)
        expected = whole.apply(flow.commands)
        exchange, parts = engine(flow), []
        cuts = np.sort(np.random.default_rng(seed).integers(1, LENGTH, 4))
        for batch in np.split(flow.commands, cuts):
            parts.append(exchange.apply(batch))
            successor = engine(flow)
            successor.restore(exchange.state())
            assert successor.digest() == exchange.digest()
            exchange = successor
        difference = first_difference(flow, np.concatenate(parts), expected)
        assert difference is None, difference
        assert exchange.digest() == whole.digest()


def test_states_of_equal_machines_are_equal_byte_for_byte() -> None:
    flow = random_flow(7, LENGTH, risk=True)
    one, other = engine(flow), engine(dataclasses.replace(flow, commands=flow.commands.copy()))
    one.apply(flow.commands)
    for row in range(LENGTH):
        other.apply(flow.commands[row : row + 1])
    ours, theirs = one.state(), other.state()
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if ours[name].tobytes() != theirs[name].tobytes()] == []
