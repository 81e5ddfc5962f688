"""The only loop: drain, stamp, journal, apply, publish. RULEBOOK 1.1.

    runner = Runner(exchange, journal, clock)
    runner.submit(commands, reply)           # rows not stamped yet
    await runner.run()

What queued up while the last batch was being made durable is the next batch: load makes batches larger, not queues
longer. While the journal waits for the disk, in a thread of its own, the machine computes the same batch; replies and
publication wait for both. So nothing leaves the hub before it is durable.

Clock and journal are arguments: the loop itself knows no time and no disk. The first failure of the journal stops the
loop for good; of that batch nobody gets an answer.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np

from exchange.engine.machine import Exchange
from matching.records import COMMAND

Reply = Callable[[np.ndarray, np.ndarray], None]
MAX_BATCH = 1 << 15  # rows
# Rows from which the machine takes long enough to compute beside the disk: for fewer, two threads that hand each other
# the interpreter cost more than they save.
_WORTH_OVERLAPPING = 2048
_ROW = np.dtype((np.void, COMMAND.itemsize))


class Durable(Protocol):
    """What the loop needs of a journal (exchange/journal/journal.py)."""

    def append(self, commands: np.ndarray) -> None: ...
    def sync(self) -> object: ...


class Runner:
    """Feeds an Exchange from many submitters, durably and in one order.

    exchange   Exchange
    journal    exchange.journal.Journal, or None: nothing is kept
    clock      () -> ns since the Unix epoch, UTC
    listeners  called as listener(commands, events) for every durable batch, after its replies
    """

    def __init__(self, exchange: Exchange, journal: Durable | None, clock: Callable[[], int]) -> None:
        self.exchange = exchange
        self.listeners: list[Reply] = []
        self._journal = journal
        self._clock = clock
        self._time = exchange.time  # never runs backwards, not even when the clock was set back
        self._queue: list[tuple[np.ndarray, Reply | None]] = []
        self._wake = asyncio.Event()
        self._stopping = False

    def submit(self, commands: np.ndarray, reply: Reply | None = None) -> None:
        """Queue COMMAND rows; sequence and time are stamped when they are drained.

        reply   called once they are durable, with these rows as stamped and just their events
        Errors  ValueError: no rows; RuntimeError: the loop is stopping
        """
        if not len(commands):
            raise ValueError("commands: no rows given, at least 1 needed")
        if self._stopping:
            raise RuntimeError("the hub is stopping and takes no more commands")
        self._queue.append((commands, reply))
        self._wake.set()

    @property
    def stopping(self) -> bool:
        """Whether commands are refused: told to stop, or the journal has failed."""
        return self._stopping

    def step(self) -> int:
        """Process what is queued, on the calling thread. Returns the number of commands."""
        batch, submissions = self._drain()
        if len(batch):
            try:
                if self._journal is not None:
                    self._journal.append(batch)
                    self._journal.sync()
                self._publish(batch, self.exchange.apply(batch), submissions)
            except BaseException:
                self._stopping = True
                raise
        return len(batch)

    async def run(self) -> None:
        """Process batches until stop(). Errors: what the journal or the machine raises; the hub must end then."""
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1, "journal") as disk:
            while self._queue or not self._stopping:
                if not self._queue:
                    self._wake.clear()
                    await self._wake.wait()
                    continue
                batch, submissions = self._drain()
                try:
                    if self._journal is None:
                        self._publish(batch, self.exchange.apply(batch), submissions)
                        await asyncio.sleep(0)
                        continue
                    self._journal.append(batch)
                    if len(batch) < _WORTH_OVERLAPPING:
                        events = self.exchange.apply(batch)
                        await loop.run_in_executor(disk, self._journal.sync)
                    else:
                        durable = loop.run_in_executor(disk, self._journal.sync)
                        events = self.exchange.apply(batch)
                        await durable
                    self._publish(batch, events, submissions)
                except BaseException:
                    self._stopping = True
                    raise

    async def stop(self) -> None:
        """Refuse new commands and let run() end once the queue is empty."""
        self._stopping = True
        self._wake.set()

    def _drain(self) -> tuple[np.ndarray, list[tuple[int, int, Reply | None]]]:
        """Take submissions up to MAX_BATCH rows as one stamped batch, with the rows that are each one's."""
        parts: list[np.ndarray] = []
        submissions: list[tuple[int, int, Reply | None]] = []
        rows = 0
        for commands, reply in self._queue:
            if parts and rows + len(commands) > MAX_BATCH:
                break
            parts.append(commands)
            submissions.append((rows, rows + len(commands), reply))
            rows += len(commands)
        del self._queue[: len(parts)]
        if not rows:
            return np.empty(0, COMMAND), []
        # a copy, and so ours to stamp; as bytes, because NumPy copies records field by field
        batch = np.concatenate([part.view(_ROW) for part in parts]).view(COMMAND)
        self._time = max(self._time, self._clock())
        batch["sequence"] = np.arange(self.exchange.sequence + 1, self.exchange.sequence + rows + 1)
        batch["time"] = self._time
        return batch, submissions

    def _publish(self, batch: np.ndarray, events: np.ndarray, submissions: list[tuple[int, int, Reply | None]]) -> None:
        if len(submissions) == 1:
            if submissions[0][2] is not None:
                submissions[0][2](batch, events)
        else:
            ends = batch["sequence"][[end - 1 for _, end, _ in submissions]]
            cuts = np.searchsorted(events["sequence"], ends, side="right").tolist()
            begin = 0
            for (first, end, reply), cut in zip(submissions, cuts, strict=True):
                if reply is not None:
                    reply(batch[first:end], events[begin:cut])
                begin = cut
        for listener in self.listeners:
            listener(batch, events)
