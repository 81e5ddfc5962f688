"""exchange/runner.py: one order of all commands, nothing published before it is durable, its own events to each submitter."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exchange import Exchange
from exchange.journal.journal import Journal
from exchange.runner import MAX_BATCH, Runner
from matching.codes import EventKind, Reason, Side
from matching.records import COMMAND
from tests.build import account, as_rows, cancel, enter, fields, instrument, rows
from tests.matching.flow import random_flow

BUY, SELL = Side.BUY, Side.SELL
START = 1_795_000_000_000_000_000
PATIENCE = 20  # seconds to wait for a loop that should have ended


class Recording:
    """A journal in memory that records the order of calls. Its disk can be blocked, and can fail."""

    def __init__(self) -> None:
        self.story: list[Any] = []
        self.batches: list[Any] = []
        self.fails: str | None = None
        self.disk = threading.Event()
        self.disk.set()

    def append(self, commands: np.ndarray) -> None:
        if self.fails == "append":
            raise OSError("append: no space")
        self.story.append("append")
        self.batches.append(commands.copy())

    def sync(self) -> None:
        assert self.disk.wait(PATIENCE)
        if self.fails == "sync":
            raise OSError("sync: input/output error")
        self.story.append("sync")


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        return self.now


def exchange() -> Exchange:
    return Exchange([instrument(), instrument("FU2701")], [account("A"), account("B"), account("C")])


def unstamped(*commands: dict[str, Any]) -> np.ndarray:
    block = rows(*commands)
    block["sequence"] = block["time"] = 0
    return block


def told(answers: list[Any], name: int | str) -> Callable[..., Any]:
    """A reply that records its arguments under a name."""
    return lambda commands, events: answers.append((name, commands, events))


def noted(story: list[Any], name: str) -> Callable[..., Any]:
    """A listener that only notes that it was called."""
    return lambda commands, events: story.append(name)


async def until(holds: Callable[..., Any]) -> None:
    async def wait() -> None:
        while not holds():
            await asyncio.sleep(0.001)

    await asyncio.wait_for(wait(), PATIENCE)


def run(runner: Runner, *during: Callable[..., Any]) -> None:
    """Run the loop while the coroutine functions `during` are awaited in turn, then stop it."""

    async def all_of_it() -> None:
        loop = asyncio.create_task(runner.run())
        try:
            for part in during:
                await part()
        finally:
            await runner.stop()
            await asyncio.wait_for(loop, PATIENCE)

    asyncio.run(all_of_it())


def both_ways(runner: Runner) -> dict[str, Callable[..., Any]]:
    """Process the queue by step() and by run()."""
    return {"step": runner.step, "run": lambda: run(runner)}


WAYS = pytest.mark.parametrize("way", ["step", "run"])


# Whose rows, whose events


@pytest.mark.compiled
@WAYS
@pytest.mark.parametrize("with_journal", [True, False], ids=["journal", "no journal"])
@pytest.mark.parametrize("seed", range(3))
def test_every_submitter_gets_just_its_rows_and_their_events(seed: int, with_journal: bool, way: str) -> None:
    flow = random_flow(seed, 600)
    alone, shared = (Exchange(flow.instruments, flow.accounts, max_orders=flow.max_orders) for _ in range(2))
    runner = Runner(shared, Recording() if with_journal else None, Clock())
    rng = np.random.default_rng(seed)
    cuts = np.unique(np.concatenate([[0, 600], rng.integers(0, 600, 60)]))
    answers: list[Any] = []
    for begin, end in zip(cuts, cuts[1:], strict=False):
        runner.submit(flow.commands[begin:end], told(answers, int(begin)))
    both_ways(runner)[way]()

    expected = flow.commands.copy()
    expected["time"] = START
    events = alone.apply(expected)
    assert [name for name, _, _ in answers] == cuts[:-1].tolist()
    for (_, commands, own), begin, end in zip(answers, cuts, cuts[1:], strict=False):
        assert as_rows(commands) == as_rows(expected[begin:end])
        assert as_rows(own) == as_rows(events[(events["sequence"] > begin) & (events["sequence"] <= end)])
    assert shared.digest() == alone.digest()


def test_a_trade_is_a_reply_to_the_taker_and_reaches_the_maker_as_a_listener() -> None:
    runner = Runner(exchange(), None, Clock())
    answers: list[Any] = []
    heard: list[Any] = []
    runner.listeners.append(told(heard, "all"))
    runner.submit(unstamped(enter(0, SELL, 101, 5)), told(answers, "maker"))
    runner.submit(unstamped(enter(1, BUY, 101, 5)), told(answers, "taker"))
    runner.step()
    kinds = {name: events["kind"].tolist() for name, _, events in answers}
    assert kinds == {"maker": [EventKind.ACCEPTED], "taker": [EventKind.ACCEPTED, EventKind.TRADED]}
    ((_, commands, events),) = heard
    assert len(commands) == 2 and events["kind"].tolist() == kinds["maker"] + kinds["taker"]


def test_a_submission_without_reply_is_processed_and_shifts_no_other_answer() -> None:
    runner = Runner(exchange(), None, Clock())
    answers: list[Any] = []
    runner.submit(unstamped(enter(0, BUY, 99, 1)))
    runner.submit(unstamped(enter(0, BUY, 98, 2), cancel(0, 9)), told(answers, "second"))
    runner.submit(unstamped(enter(0, BUY, 97, 3)))
    assert runner.step() == 4
    ((_, commands, events),) = answers
    assert commands["sequence"].tolist() == [2, 3]
    assert fields(events, "kind", "reason", "price") == [
        (EventKind.ACCEPTED, Reason.NONE, 98),
        (EventKind.REJECTED, Reason.UNKNOWN_ORDER, 0),
    ]


def test_the_rows_of_the_submitter_are_not_written_to() -> None:
    runner = Runner(exchange(), Recording(), Clock())
    commands = unstamped(enter(0, BUY, 99, 1))
    commands.setflags(write=False)
    runner.submit(commands)
    runner.step()
    assert commands["sequence"].tolist() == [0] and commands["time"].tolist() == [0]


# Stamps


def test_what_a_submitter_writes_into_sequence_and_time_does_not_count() -> None:
    journal, clock = Recording(), Clock()
    runner = Runner(exchange(), journal, clock)
    runner.submit(rows(enter(0, BUY, 99, 1), start=70, time=5))
    runner.submit(rows(enter(0, BUY, 99, 1), start=7, time=9))
    runner.step()
    assert fields(journal.batches[0], "sequence", "time") == [(1, START), (2, START)]


def test_time_never_runs_backwards_even_if_the_clock_does() -> None:
    journal, clock = Recording(), Clock()
    runner = Runner(exchange(), journal, clock)
    for offset in (0, 500, 400, 501):
        clock.now = START + offset
        runner.submit(unstamped(enter(0, BUY, 99, 1)))
        runner.step()
    assert [int(batch["time"][0]) - START for batch in journal.batches] == [0, 500, 500, 501]


def test_sequences_go_on_where_the_exchange_is() -> None:
    first = exchange()
    first.apply(rows(*[enter(0, BUY, 99, 1)] * 5))
    journal = Recording()
    runner = Runner(first, journal, Clock())
    runner.submit(unstamped(enter(0, BUY, 99, 1)))
    runner.step()
    assert journal.batches[0]["sequence"].tolist() == [6]


# Durable first


@WAYS
def test_nothing_is_published_before_the_journal_synced_and_replies_come_before_listeners(way: str) -> None:
    journal = Recording()
    runner = Runner(exchange(), journal, Clock())
    for name in ("listener 1", "listener 2"):
        runner.listeners.append(noted(journal.story, name))
    for number in range(3):
        runner.submit(
            unstamped(enter(0, BUY, 99, 1)),
            noted(journal.story, f"reply {number}"),
        )
    both_ways(runner)[way]()
    assert journal.story == ["append", "sync", "reply 0", "reply 1", "reply 2", "listener 1", "listener 2"]


def test_while_the_disk_is_busy_nothing_is_published_and_what_queues_up_is_the_next_batch() -> None:
    journal = Recording()
    answers: list[Any] = []
    runner = Runner(exchange(), journal, Clock())
    journal.disk.clear()

    async def slow_disk() -> None:
        runner.submit(unstamped(enter(0, BUY, 99, 1)), told(answers, "first"))
        await until(lambda: journal.batches)
        for number in range(3):
            runner.submit(unstamped(*[enter(0, BUY, 98, 1)] * (number + 1)), told(answers, f"later {number}"))
        await asyncio.sleep(0.02)
        assert answers == [] and journal.story == ["append"]
        journal.disk.set()

    run(runner, slow_disk)
    assert [name for name, _, _ in answers] == ["first", "later 0", "later 1", "later 2"]
    assert [len(batch) for batch in journal.batches] == [1, 6]
    assert journal.story == ["append", "sync"] * 2


def test_the_journal_has_all_that_was_published_and_replays_to_the_same_state(tmp_path: Path) -> None:
    flow = random_flow(5, 400)
    journal, _ = Journal.open(tmp_path)
    first, again = (Exchange(flow.instruments, flow.accounts, max_orders=flow.max_orders) for _ in range(2))
    runner = Runner(first, journal, Clock())
    heard = []

    def durable(commands: np.ndarray, events: np.ndarray) -> None:
        assert journal.durable_sequence >= commands["sequence"][-1]
        heard.append(events)

    async def several() -> None:
        for begin in range(0, 400, 40):
            runner.submit(flow.commands[begin : begin + 40], durable)
            await asyncio.sleep(0)

    run(runner, several)
    replayed = [again.apply(batch) for batch in journal.read()]
    journal.close()
    assert as_rows(np.concatenate(replayed)) == as_rows(np.concatenate(heard)) and len(heard) == 10
    assert again.digest() == first.digest()


# Failure


@WAYS
@pytest.mark.parametrize("broken", ["append", "sync"])
def test_a_failed_journal_stops_the_loop_without_an_answer(broken: str, way: str) -> None:
    journal = Recording()
    answers: list[Any] = []
    runner = Runner(exchange(), journal, Clock())
    runner.listeners.append(told(answers, "listener"))
    journal.fails = broken
    runner.submit(unstamped(enter(0, BUY, 99, 1)), told(answers, "reply"))
    runner.submit(unstamped(enter(1, BUY, 99, 1)), told(answers, "reply"))
    with pytest.raises(OSError, match=f"^{broken}: "):
        both_ways(runner)[way]()
    assert answers == []


def test_after_the_journal_has_failed_no_command_is_accepted_and_the_queue_stays_unanswered() -> None:
    journal = Recording()
    answers: list[Any] = []
    runner = Runner(exchange(), journal, Clock())

    async def breaking_disk() -> None:
        loop = asyncio.create_task(runner.run())
        runner.submit(unstamped(enter(0, BUY, 99, 1)), told(answers, "before"))
        await until(lambda: answers)
        journal.disk.clear()
        runner.submit(unstamped(enter(0, BUY, 98, 1)), told(answers, "in the failing batch"))
        await until(lambda: len(journal.batches) == 2)
        runner.submit(unstamped(enter(0, BUY, 97, 1)), told(answers, "behind it"))
        journal.fails = "sync"
        journal.disk.set()
        with pytest.raises(OSError, match="^sync: "):
            await asyncio.wait_for(loop, PATIENCE)
        assert runner.stopping
        with pytest.raises(RuntimeError, match="^the hub is stopping and takes no more commands$"):
            runner.submit(unstamped(enter(0, BUY, 96, 1)), told(answers, "after"))

    asyncio.run(breaking_disk())
    assert [name for name, _, _ in answers] == ["before"] and journal.story == ["append", "sync", "append"]


# Stopping, and refused submissions


def test_stop_processes_what_is_queued_and_accepts_no_more() -> None:
    journal = Recording()
    answers: list[Any] = []
    runner = Runner(exchange(), journal, Clock())

    async def stopped() -> None:
        journal.disk.clear()
        loop = asyncio.create_task(runner.run())
        runner.submit(unstamped(enter(0, BUY, 99, 1)), told(answers, 0))
        await until(lambda: journal.batches)
        for number in range(1, 20):
            runner.submit(unstamped(enter(0, BUY, 99, 1)), told(answers, number))
        assert not runner.stopping
        await runner.stop()
        assert runner.stopping
        with pytest.raises(RuntimeError, match="stopping"):
            runner.submit(unstamped(enter(0, BUY, 99, 1)), told(answers, "late"))
        journal.disk.set()
        await asyncio.wait_for(loop, PATIENCE)

    asyncio.run(stopped())
    assert [name for name, _, _ in answers] == list(range(20)) and runner.exchange.sequence == 20


def test_an_idle_loop_stops() -> None:
    runner = Runner(exchange(), Recording(), Clock())
    run(runner, lambda: asyncio.sleep(0.01))
    assert runner.exchange.sequence == 0


@pytest.mark.parametrize("with_journal", [True, False], ids=["journal", "no journal"])
def test_a_reply_may_submit_the_next_command(with_journal: bool) -> None:
    runner = Runner(exchange(), Recording() if with_journal else None, Clock())
    sequences = []

    def again(commands: np.ndarray, events: np.ndarray) -> None:
        sequences.append(int(commands["sequence"][0]))
        if len(sequences) < 5:
            runner.submit(unstamped(enter(0, BUY, 99, 1)), again)

    runner.submit(unstamped(enter(0, BUY, 99, 1)), again)
    run(runner, lambda: until(lambda: len(sequences) == 5))
    assert sequences == [1, 2, 3, 4, 5]


@pytest.mark.compiled
def test_a_batch_is_bounded_and_a_submission_is_never_cut() -> None:
    journal = Recording()
    answers: list[Any] = []
    runner = Runner(exchange(), journal, Clock())
    sizes = (MAX_BATCH - 1, 1, 1, MAX_BATCH + 5, 2)
    for size in sizes:
        block = np.zeros(size, COMMAND)  # unknown kinds: refused, and cheap
        runner.submit(block, told(answers, size))
    run(runner)
    assert [len(batch) for batch in journal.batches] == [MAX_BATCH, 1, MAX_BATCH + 5, 2]
    assert [len(events) for _, _, events in answers] == list(sizes)


def test_a_submission_without_rows_is_refused() -> None:
    runner = Runner(exchange(), None, Clock())
    with pytest.raises(ValueError, match="^commands: no rows given, at least 1 needed$"):
        runner.submit(np.empty(0, COMMAND))
    assert runner.step() == 0
