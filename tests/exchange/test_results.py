"""The memory that events are written to: what a caller keeps stays as it is, and what nobody keeps is used again."""

import gc

import numpy as np
import pytest

from exchange import Exchange
from exchange.engine.results import Results
from matching.records import EVENT
from tests.build import enter, instrument, rows

MOST = 1_000


def written(results: Results, number: int, count: int) -> np.ndarray:
    """A result of `count` events that all have this number."""
    room = results.room()
    assert len(room) >= MOST
    room["event_id"][:count] = number
    return results.lend(count)


def address(events: np.ndarray) -> int:
    return int(events.__array_interface__["data"][0])


@pytest.mark.parametrize("count", [1, 256, 257, 900])
def test_results_that_are_kept_stay_as_they_are(count: int) -> None:
    results = Results(MOST)
    kept = [written(results, number, count) for number in range(50)]
    assert [set(events["event_id"].tolist()) for events in kept] == [{number} for number in range(50)]
    assert all(events.dtype == EVENT and len(events) == count for events in kept)


@pytest.mark.parametrize("held", [0, 1, 2])
def test_memory_of_results_that_nobody_holds_is_used_again(held: int) -> None:
    """As a caller does that drops each result, or holds the last one or two while the next is computed."""
    results = Results(MOST)
    kept: list[np.ndarray] = []
    places: set[int] = set()
    for number in range(50):
        kept.append(written(results, number, 900))
        places.add(address(kept[-1]))
        del kept[: len(kept) - held]
    assert len(places) == held + 1


def test_a_part_of_a_result_keeps_the_whole_of_it() -> None:
    results = Results(MOST)
    parts = [written(results, number, 900)["event_id"][5:7] for number in range(20)]
    gc.collect()
    assert [part.tolist() for part in parts] == [[number, number] for number in range(20)]


def test_results_that_are_all_kept_lie_close_together() -> None:
    """Each but the first of an arena begins where another ends: they do not pin a worst case each."""
    results = Results(MOST)
    kept = [written(results, number, 300) for number in range(200)]
    ends = {address(events) + events.nbytes for events in kept}
    arenas = sum(address(events) not in ends for events in kept)
    assert arenas * 2 * MOST < 2 * 200 * 300


def test_a_few_events_are_copied_and_hold_no_arena() -> None:
    results = Results(MOST)
    few = written(results, 7, 256)
    assert few.base is not None and few.base.nbytes == few.nbytes
    written(results, 8, 256)
    assert set(few["event_id"].tolist()) == {7}


@pytest.mark.compiled
def test_an_exchange_gives_results_that_its_next_batches_leave_alone() -> None:
    exchange, kept = Exchange([instrument()], max_orders=2_000), []
    for batch in range(20):
        commands = rows(*[enter(0, 1, 100, 1)] * 100, *[enter(0, 2, 100, 1)] * 100, start=200 * batch + 1)
        kept.append(exchange.apply(commands))
    assert [len(events) for events in kept] == [300] * 20
    whole = np.concatenate(kept)
    assert np.array_equal(whole["event_id"], np.arange(1, 6_001))
