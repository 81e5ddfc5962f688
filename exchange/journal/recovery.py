"""From a data folder to a running exchange: the newest valid snapshot, and the commands after it.

The result is what a replay of all commands from the first would give, in less time. And the other direction: what may
be deleted, because a start no longer needs it.

    recovery = recover(folder, make_exchange, config_hash=digest)
    runner = Runner(recovery.exchange, recovery.journal, clock)
    ...
    prune(recovery.journal)                     # after a new snapshot
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from exchange.journal import snapshot as snapshots
from exchange.journal.files import FILES, Files, StrPath
from exchange.journal.journal import NO_CONFIGURATION, Journal, JournalCorrupt, JournalMismatch, Recovered
from exchange.journal.segments import SEGMENT_HEADER, read_header, segment_paths


class Machine(Protocol):
    """The part of an exchange that recovery needs."""

    def apply(self, commands: np.ndarray) -> Any: ...
    def restore(self, arrays: dict[str, np.ndarray]) -> None: ...
    def digest(self) -> str: ...


@dataclass(frozen=True)
class Recovery:
    """An exchange as it was after the last command of its journal."""

    exchange: Any
    journal: Journal
    recovered: Recovered
    snapshot_sequence: int  # 0: no snapshot was used
    replayed: int  # commands applied on top of it


def recover(
    folder: StrPath,
    make_exchange: Callable[[], Machine],
    config_hash: bytes = NO_CONFIGURATION,
    durable: bool = True,
    files: Files = FILES,
    **options: Any,
) -> Recovery:
    """Open the journal of a folder and bring an exchange to its end.

    make_exchange  gives an exchange that has seen no command
    options        of Journal.open
    Errors         every JournalError; the lock is then free again
    """
    snapshot = snapshots.newest(folder, files)
    start = snapshot.sequence if snapshot else 0
    journal, recovered = Journal.open(folder, config_hash, durable, snapshot_sequence=start, files=files, **options)
    try:
        exchange = make_exchange()
        if snapshot:
            _restore(exchange, snapshot, recovered)
        for commands in journal.read(start + 1):
            exchange.apply(commands)
        return Recovery(exchange, journal, recovered, start, journal.sequence - start)
    except BaseException:
        journal.close()
        raise


def _restore(exchange: Machine, snapshot: snapshots.Snapshot, recovered: Recovered) -> None:
    chain = recovered.snapshot_chain
    if chain != snapshot.chain:
        raise JournalCorrupt(
            f"{snapshot.path}: made from another journal: after sequence {snapshot.sequence} the chain is "
            f"{_hex(chain)} in the journal, {_hex(snapshot.chain)} in the snapshot"
        )
    exchange.restore(snapshot.arrays)
    digest = exchange.digest()
    if digest != snapshot.digest:
        raise JournalMismatch(
            f"{snapshot.path}: restores to digest {digest}, was written with {snapshot.digest}: "
            "this engine is not the one that wrote it"
        )


def prune(journal: Journal, keep: int = 2, segments: bool = True, files: Files = FILES) -> list[str]:
    """Delete the snapshots and segments that `keep` newer snapshots make superfluous. Those newer ones are checked first.

    segments False: snapshots only, so that the journal stays whole
    keep     at least 2, so that one damaged snapshot never makes a start impossible
    Returns  the paths deleted, oldest first
    Errors   ValueError; OSError
    """
    if keep < 2:
        raise ValueError(f"keep is {keep}; at least 2 snapshots must stay")
    kept = [snapshot.sequence for snapshot, _ in zip(snapshots.valid(journal.folder, files), range(keep), strict=False)]
    if len(kept) < keep:
        return []
    superfluous = _covered_segments(journal, kept[-1], files) if segments else []
    superfluous += snapshots.older(journal.folder, kept[-1], files)
    for path in superfluous:
        files.remove(path)
    return superfluous


def _covered_segments(journal: Journal, sequence: int, files: Files) -> list[str]:
    """Paths of the segments in which every command is at or before `sequence`."""
    paths = [path for _, path in segment_paths(journal.folder, files)]
    headers = [read_header(files.read(path, SEGMENT_HEADER.size)) for path in paths]
    # A segment ends where the next begins; the last, which is being written, has no next and stays.
    return [
        path for path, after in zip(paths, headers[1:], strict=False) if after and after.first_sequence - 1 <= sequence
    ]


def _hex(chain: int | None) -> str:
    return "not at the end of a frame" if chain is None else f"{chain:#010x}"
