"""The only loop: drain, stamp, journal, apply, publish. RULEBOOK 1.1.

    runner = Runner(exchange, journal, clock)
    runner.submit(commands, reply)           # rows not stamped yet
    await runner.run()

Commands that arrive while a batch is being made durable form the next batch: load makes batches larger, not queues
longer. While a thread waits for the disk, the exchange computes the same batch; replies and publication wait for both.
So nothing leaves the hub before it is durable.

Clock and journal are arguments: the loop itself reads no time and touches no disk. The first failure of the journal
stops the loop for good, and no command of that batch is answered.
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
# Rows from which the exchange computes while the disk works. For fewer rows, switching between two threads costs more
# than it saves.
_WORTH_OVERLAPPING = 2048
_ROW = np.dtype((np.void, COMMAND.itemsize))


class Durable(Protocol):
    """The part of a journal that the loop needs (exchange/journal/journal.py)."""

    def append(self, commands: np.ndarray) -> None: ...
    def sync(self) -> object: ...


class Runner:
    """Applies the commands of many submitters to an Exchange, durably and in one order.

    exchange   Exchange
    journal    exchange.journal.journal.Journal, or None: nothing is journaled
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

        reply   called when the rows are durable, with the stamped rows and their events
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
        """Whether commands are refused: `stop` was called, or the journal has failed."""
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
        """Process batches until stop(). Errors: those of the journal and the exchange; the hub must end then."""
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
        """Take submissions up to MAX_BATCH rows. Returns the stamped batch, and (first row, end, reply) of each submission."""
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
        # A copy, which we may stamp. As bytes, because NumPy copies records field by field.
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
