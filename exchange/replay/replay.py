"""Apply past commands again: a recorded flow or a hub's own journal, with a report.

A recorded flow is handled as the runner handles commands: a batch is appended to a journal, synced, and then applied. The
recorded time is the command time, of each row its own. A hub's journal is only read and applied. A replay runs as fast as
possible, or at a multiple of the recorded time; the clock and the way to wait are arguments. Equal commands give equal
digests, at any speed and in any batches.

    report = replay(flow, Exchange(flow.instruments, flow.accounts), journal)
    report = replay_journal("data", make_exchange, config_hash, every=100_000)
    report = run()                              # the sample capture, through a journal in a temporary folder

How a report is shown to people: exchange/replay/report.py.
"""

import hashlib
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

import numpy as np

from exchange.engine.machine import Exchange
from exchange.journal import snapshot as snapshots
from exchange.journal.files import FILES, StrPath
from exchange.journal.journal import (
    NO_CONFIGURATION,
    REFUSALS,
    Journal,
    JournalCorrupt,
    JournalUnreadable,
    check_headers,
    read,
)
from exchange.journal.segments import examine
from exchange.replay.comparison import Comparison, compare
from exchange.replay.formats import Flow, LeftOut, bitstamp
from matching.codes import CommandKind, EventKind, Reason

BATCH = 4_096  # commands
Progress = Callable[[int, int], None]  # (commands done, commands in all)


@dataclass(frozen=True)
class Report:
    """What a replay did. Quantities in lots but for `volume`; seconds do not count waiting for recorded time.

    volume              units of each instrument traded
    rejects             how many commands were refused, by Reason
    cancels_of_refused  how many of them were cancels of orders that had been refused themselves
    comparison          the hub beside the venue; None for a journal
    machine_seconds     Exchange.apply alone
    path_seconds        journal, disk and machine (of a journal: reading and machine)
    digest              of the exchange after the last command; event_digest: of all events, bit for bit
    digests             (sequence, digest) on the way, where asked for
    """

    commands: int
    events: int
    accepted: int
    trades: int
    volume: dict[str, Decimal]
    rejects: dict[Reason, int]
    cancels_of_refused: int
    left_out: tuple[LeftOut, ...]
    comparison: Comparison | None
    machine_seconds: float
    path_seconds: float
    digest: str
    event_digest: str
    digests: tuple[tuple[int, str], ...]

    @property
    def machine_rate(self) -> float:
        """Commands a second, machine alone."""
        return self.commands / self.machine_seconds if self.machine_seconds else 0.0

    @property
    def path_rate(self) -> float:
        """Commands a second, the whole path."""
        return self.commands / self.path_seconds if self.path_seconds else 0.0

    def as_json(self) -> dict[str, Any]:
        """The report as plain values for json.dumps."""
        plain = asdict(self)
        plain["volume"] = {symbol: str(volume) for symbol, volume in self.volume.items()}
        plain["rejects"] = {reason.name: count for reason, count in self.rejects.items()}
        return plain | {"machine_rate": round(self.machine_rate), "path_rate": round(self.path_rate)}


def replay(
    flow: Flow,
    exchange: Exchange,
    journal: Journal | None = None,
    *,
    batch: int = BATCH,
    speed: float | None = None,
    progress: Progress | None = None,
    clock: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], None] = time.sleep,
) -> Report:
    """Send a flow through the journal and the exchange, and compare with its venue.

    exchange   new, made of the flow's instruments and accounts
    journal    empty; None: the machine alone
    batch      largest number of commands that are journaled and applied at once
    speed      multiple of recorded time; None: as fast as possible
    Errors     ValueError for batch or speed, or an exchange that has seen commands; JournalError
    """
    if exchange.sequence:
        raise ValueError(f"exchange: has applied {exchange.sequence} commands, must be new")
    tally = _Tally(exchange, clock, journal, len(flow.commands))
    for commands in _paced([flow.commands], batch, speed, clock, sleep):
        tally.apply(commands)
        if progress:
            progress(tally.commands, len(flow.commands))
    return tally.report(compare(flow, exchange, tally.trades(), tally.refusals), flow.left_out)


def replay_journal(
    folder: StrPath,
    make_exchange: Callable[[], Exchange],
    config_hash: bytes = NO_CONFIGURATION,
    *,
    every: int = 0,
    batch: int = BATCH,
    speed: float | None = None,
    progress: Progress | None = None,
    on_digest: Callable[[int, str], None] | None = None,
    clock: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], None] = time.sleep,
) -> Report:
    """Apply a hub's journal again, from its first command that is there. Takes no lock and changes nothing on disk.

    Where the first segments are gone, the oldest snapshot that the rest of the journal continues is the beginning.
    make_exchange  gives an exchange like the hub's that has seen no command
    config_hash    32 bytes; must be those that the hub opened the journal with
    every          report the digest after each so many sequences, and call `on_digest` with it; 0: only at the end
    Errors         ValueError for every, batch or speed; JournalError
    """
    if every < 0:
        raise ValueError(f"every is {every}, must be 0 or more")
    first, last = _span(folder, config_hash)
    exchange = make_exchange()
    if first > 1:
        _restore(exchange, folder, first)
    tally = _Tally(exchange, clock, None, last - exchange.sequence)
    begin, digests = exchange.sequence, []
    blocks = tally.timed(read(folder, begin + 1, last))
    for commands in _paced(blocks, batch, speed, clock, sleep, every):
        tally.apply(commands)
        if every and exchange.sequence % every == 0:
            digests.append((exchange.sequence, exchange.digest()))
            if on_digest:
                on_digest(*digests[-1])
        if progress:
            progress(tally.commands, last - begin)
    return tally.report(None, (), tuple(digests))


def run(
    journal: str | None = None,
    make_exchange: Callable[[], Exchange] | None = None,
    config_hash: bytes = NO_CONFIGURATION,
    *,
    every: int = 100_000,
    speed: float | None = None,
    batch: int = BATCH,
    progress: Progress | None = None,
    on_digest: Callable[[int, str], None] | None = None,
) -> Report:
    """What `qiee replay` does: the sample capture through a durable journal in a temporary folder, or a hub's journal.

    journal        folder of a hub's journal; None: the sample capture
    make_exchange  needed for a journal: gives the hub's own exchange, new
    config_hash    of a journal: that of the hub
    Errors         CaptureError if the capture is not installed, JournalError: both with exit_code; ValueError
    """
    if journal is not None:
        if make_exchange is None:
            raise ValueError("make_exchange: none given, a journal needs the exchange that it was written for")
        return replay_journal(
            journal,
            make_exchange,
            config_hash,
            every=every,
            batch=batch,
            speed=speed,
            progress=progress,
            on_digest=on_digest,
        )
    flow = bitstamp.load()
    # Kernels are loaded (the first time: compiled) before the clock runs.
    Exchange(flow.instruments, flow.accounts).apply(flow.commands[:1])
    with tempfile.TemporaryDirectory(prefix="qiee-replay-") as folder, Journal.open(folder)[0] as opened:
        return replay(
            flow, Exchange(flow.instruments, flow.accounts), opened, batch=batch, speed=speed, progress=progress
        )


# Commands in --------------------------------------------------------------------------------------


def _paced(
    blocks: Iterable[np.ndarray],
    batch: int,
    speed: float | None,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
    every: int = 0,
) -> Iterator[np.ndarray]:
    """Cut blocks into batches, none before its recorded time has come; also after each `every` sequences."""
    if batch < 1:
        raise ValueError(f"batch is {batch}, must be at least 1")
    if speed is not None and not 0 < speed < float("inf"):
        raise ValueError(f"speed is {speed}, must be above 0 and finite; leave it out for as fast as possible")
    begin = first_time = None
    for block in blocks:
        at = 0
        while at < len(block):
            end = min(at + batch, len(block))
            if every:
                end = min(end, at + every - int(block["sequence"][at] - 1) % every)
            if speed is not None:
                if begin is None or first_time is None:
                    begin, first_time = clock(), int(block["time"][0])
                due = first_time + int((clock() - begin) * speed * 1e9)
                end = min(end, int(block["time"].searchsorted(due, "right")))
                if end <= at:
                    sleep(max(int(block["time"][at]) - due, 1) / speed / 1e9)
                    continue
            yield block[at:end]
            at = end


def _span(folder: StrPath, config_hash: bytes) -> tuple[int, int]:
    """First and last sequence in a journal of this configuration; (1, 0): none. An unfinished end does not count.

    Errors    JournalError
    """
    try:
        examination = examine(folder, FILES, snapshots.covered_sequence(folder))
    except OSError as error:
        raise JournalUnreadable(f"cannot read the journal in {folder}: {error}") from error
    if examination.verdict.decision in REFUSALS:
        raise REFUSALS[examination.verdict.decision](str(examination.verdict))
    check_headers(examination, config_hash)
    return examination.first_sequence, examination.sequence


def _restore(exchange: Exchange, folder: StrPath, first: int) -> None:
    """Begin at the oldest snapshot that the journal continues without a gap. Errors: JournalCorrupt."""
    usable = [snapshot for snapshot in snapshots.valid(folder) if snapshot.sequence >= first - 1]
    if not usable:
        raise JournalCorrupt(f"{folder}: the journal begins with sequence {first}; no snapshot covers what was before")
    exchange.restore(usable[-1].arrays)


# Events out ---------------------------------------------------------------------------------------


class _Tally:
    """Applies batches, measures the time, and counts their events. Keeps trades and refusals, not the events.

    refusals  uint16[total]: for each command that was a refused ENTER its Reason, else 0
    """

    def __init__(self, exchange: Exchange, clock: Callable[[], float], journal: Journal | None, total: int):
        self._exchange, self._clock, self._journal = exchange, clock, journal
        self._begin = exchange.sequence + 1
        self.commands = self.events = self.accepted = self.cancels_of_refused = 0
        self.refusals = np.zeros(total, np.uint16)
        self._machine_seconds = self._path_seconds = 0.0
        self._rejects = np.zeros(max(Reason) + 1, np.int64)
        self._volume = np.zeros(len(exchange.instruments), np.int64)
        self._trades: list[np.ndarray] = []
        self._digest = hashlib.blake2b(digest_size=16)

    def timed(self, blocks: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        """The same blocks; the time that each takes to come counts as path."""
        while True:
            start = self._clock()
            block = next(blocks, None)
            self._path_seconds += self._clock() - start
            if block is None:
                return
            yield block

    def apply(self, commands: np.ndarray) -> None:
        start = self._clock()
        if self._journal is not None:
            self._journal.append(commands)
            self._journal.sync()
        durable = self._clock()
        events = self._exchange.apply(commands)
        end = self._clock()
        self._machine_seconds += end - durable
        self._path_seconds += end - start
        self._count(commands, events)

    def _count(self, commands: np.ndarray, events: np.ndarray) -> None:
        self.commands += len(commands)
        self.events += len(events)
        self._digest.update(events.view(np.uint8).data)
        kinds = events["kind"]
        self.accepted += int(np.count_nonzero(kinds == EventKind.ACCEPTED))
        traded = events[kinds == EventKind.TRADED]
        if len(traded):
            columns = ("order_id", "resting_order_id", "price", "quantity")
            self._trades.append(np.stack([traded[column] for column in columns], axis=1))
            np.add.at(self._volume, traded["instrument"], traded["quantity"])
        rejected = events[kinds == EventKind.REJECTED]
        self._rejects += np.bincount(rejected["reason"], minlength=len(self._rejects))
        causes = commands[rejected["sequence"] - commands["sequence"][0]]
        entered = causes["kind"] == CommandKind.ENTER
        self.refusals[causes["sequence"][entered] - self._begin] = rejected["reason"][entered]
        meant = causes["order_id"][causes["kind"] == CommandKind.CANCEL] - self._begin
        meant = meant[(meant >= 0) & (meant < len(self.refusals))]
        self.cancels_of_refused += int(np.count_nonzero(self.refusals[meant]))

    def trades(self) -> np.ndarray:
        """int64[t, 4]: taker and maker order id, price, quantity."""
        return np.concatenate(self._trades) if self._trades else np.zeros((0, 4), np.int64)

    def report(
        self, comparison: Comparison | None, left_out: tuple[LeftOut, ...], digests: tuple[tuple[int, str], ...] = ()
    ) -> Report:
        instruments = self._exchange.instruments
        return Report(
            commands=self.commands,
            events=self.events,
            accepted=self.accepted,
            trades=sum(map(len, self._trades)),
            volume={
                instrument.symbol: int(lots) * instrument.lot_size
                for instrument, lots in zip(instruments, self._volume, strict=True)
                if lots
            },
            rejects={Reason(reason): int(self._rejects[reason]) for reason in np.flatnonzero(self._rejects).tolist()},
            cancels_of_refused=self.cancels_of_refused,
            left_out=left_out,
            comparison=comparison,
            machine_seconds=self._machine_seconds,
            path_seconds=self._path_seconds,
            digest=self._exchange.digest(),
            event_digest=self._digest.hexdigest(),
            digests=digests,
        )
