"""The journal: every command, in order, on disk before any of its events leaves the hub.

It holds COMMAND rows and nothing else. Events and books are computed again from them. It has no clock and no thread;
the runner has both. segments.py has the format on disk, and how the end of a journal is judged after a crash.

    journal, recovered = Journal.open(folder, config_hash=bytes(32))
    journal.append(commands)             # one write: safe against the death of this process
    journal.sync()                       # fdatasync, in a worker thread: safe against the death of the machine

Guarantees:
- Commands that `sync` has covered are never lost, even when the process is killed or the power fails, provided that the
  disk keeps what it has acknowledged.
- A killed process always recovers by itself. Only a power cut or a failing disk can make `open` refuse.
- After the first failed write or sync every call raises JournalFailed. The kernel may have dropped the pages and marked
  them clean, so a second fsync that succeeds proves nothing. The next `open` copies what it can read into a new file
  and syncs that.
- One writer: the file LOCK is locked while a journal is open, and names the process.

What `open` refuses, with the hub's exit code:

    code  exception            meaning
    2     (none; verify only)  torn: an unfinished end, which the next start drops
    3     JournalLocked        another process has it open
    4     JournalFailed        a write or sync failed, the disk is full, the lock cannot be had
    5     JournalSuspect       the end is damaged; an operator may accept the loss: repair
    6     JournalCorrupt       commands that were acknowledged are damaged or missing
    7     JournalTooNew        a newer program wrote it
    8     JournalMismatch      written under another configuration or by an engine with other rules
    9     JournalUnreadable    the folder or a file in it cannot be made or read
"""

import errno
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from threading import Lock
from typing import TextIO

import numpy as np

from exchange.journal.files import FILES, Files, StrPath, sync_folder, write_all, write_atomically
from exchange.journal.segments import (
    CLOSE,
    COMMANDS,
    ENGINE_VERSION,
    FRAME_HEADER,
    ROWS_PER_FRAME,
    SEGMENT_HEADER,
    Decision,
    Examination,
    Header,
    Segment,
    Verdict,
    examine,
    follow,
    pack_frame,
    read_header,
    segment_paths,
)
from exchange.journal.snapshot import covered_sequence
from matching.codes import CommandKind
from matching.records import COMMAND

SEGMENT_BYTES = 64 << 20
BLOCK_ROWS = 8_192  # rows that `read` gives at once
NO_CONFIGURATION = bytes(32)
_KIND_NAMES = {kind.value: kind.name for kind in CommandKind}
ALARM_BYTES, CANCEL_ONLY_BYTES, HALT_BYTES = 256 << 20, 64 << 20, 16 << 20


class JournalError(Exception):
    """What a journal refuses with. `exit_code` is that of a process which ends for it."""

    exit_code = 1


class JournalLocked(JournalError):
    exit_code = 3


class JournalFailed(JournalError):
    exit_code = 4


class JournalSuspect(JournalError):
    exit_code = 5


class JournalCorrupt(JournalError):
    exit_code = 6


class JournalTooNew(JournalError):
    exit_code = 7


class JournalMismatch(JournalError):
    exit_code = 8


class JournalUnreadable(JournalError):
    exit_code = 9


REFUSALS = {Decision.SUSPECT: JournalSuspect, Decision.CORRUPT: JournalCorrupt, Decision.TOO_NEW: JournalTooNew}


class Space(IntEnum):
    """How the hub must behave for the free space on the disk."""

    PLENTY = 0
    ALARM = 1  # below 256 MiB: warn the operator
    CANCEL_ONLY = 2  # below 64 MiB: refuse commands that add orders
    HALTED = 3  # below 16 MiB: take no command


@dataclass(frozen=True)
class Recovered:
    """What `open` found."""

    verdict: Verdict
    first_sequence: int  # first command in the journal
    sequence: int  # last command in the journal; 0: none
    torn_path: str | None  # where the unfinished end was kept
    torn_bytes: int
    snapshot_chain: int | None  # the journal's chain value after snapshot_sequence; None if no frame ends there


class Journal:
    """An open journal. `append` and `sync` may run in two threads at once; each by itself in one at a time.

    sequence          last command appended; 0: none
    durable_sequence  last command known synced
    chain             crc of the frame that holds `sequence`: with it a snapshot names its place in this journal
    volatile          True: sync does nothing, and a power cut may lose what was acknowledged
    epoch             how many times the journal was opened, this one included
    """

    def __init__(
        self,
        folder: StrPath,
        files: Files,
        lock_fd: int,
        volatile: bool,
        config_hash: bytes,
        engine_version: int,
        segment_bytes: int,
    ):
        self.folder, self.volatile = folder, volatile
        self.sequence = self.durable_sequence = self.chain = self.epoch = 0
        self._files, self._lock_fd, self._segment_bytes = files, lock_fd, segment_bytes
        self._config_hash, self._engine_version = config_hash, engine_version
        self._number, self._fd, self._offset, self._link = 0, -1, 0, 0
        self._failure: str | None = None
        self._closed = False
        self._segment = Lock()  # held while the segment is synced or changed for the next

    @classmethod
    def open(
        cls,
        folder: StrPath,
        config_hash: bytes = NO_CONFIGURATION,
        durable: bool = True,
        *,
        snapshot_sequence: int = 0,
        engine_version: int = ENGINE_VERSION,
        segment_bytes: int = SEGMENT_BYTES,
        files: Files = FILES,
    ) -> tuple["Journal", Recovered]:
        """Lock the folder, judge the journal in it, drop an unfinished end, and begin a new segment.

        config_hash        32 bytes; must be that of all earlier openings
        durable            False: no fsync at all, for benchmarks; `volatile` in the journal and in its header
        snapshot_sequence  last command covered by a valid snapshot: segments before it may be gone
        segment_bytes      a segment is followed by the next before it grows beyond this
        Errors             every JournalError; nothing on disk is then changed, but for LOCK
        """
        if len(config_hash) != 32:
            raise ValueError(f"config_hash has {len(config_hash)} bytes, not 32")
        folder = os.fspath(folder)
        lock_fd = _lock(folder, files)
        try:
            try:
                examination = examine(folder, files, snapshot_sequence)
            except OSError as error:
                raise JournalUnreadable(f"cannot read the journal in {folder}: {error}") from error
            verdict = examination.verdict
            if verdict.decision in REFUSALS:
                raise REFUSALS[verdict.decision](str(verdict) + _advice(verdict))
            check_headers(examination, config_hash, engine_version)
            journal = cls(folder, files, lock_fd, not durable, config_hash, engine_version, segment_bytes)
            return journal, journal._begin(examination, snapshot_sequence)
        except BaseException:
            os.close(lock_fd)
            raise

    def append(self, commands: np.ndarray) -> None:
        """Write COMMAND[n], stamped with the sequences that follow the last. Split in frames of ROWS_PER_FRAME.

        Errors  ValueError if the rows do not continue the sequence (nothing is then written); JournalFailed
        """
        self._check_alive()
        if commands.dtype != COMMAND or commands.ndim != 1:
            raise ValueError(f"the journal takes COMMAND rows, not {commands.dtype} of {commands.ndim} dimensions")
        expected = np.arange(self.sequence + 1, self.sequence + 1 + len(commands))
        if not np.array_equal(commands["sequence"], expected):
            raise ValueError(
                f"sequence: {len(commands)} rows must run from {self.sequence + 1} without gap; "
                f"they run from {commands['sequence'][0]} to {commands['sequence'][-1]}"
            )
        for at in range(0, len(commands), ROWS_PER_FRAME):
            self._append_frame(commands[at : at + ROWS_PER_FRAME])

    def sync(self) -> int:
        """Make all that has been appended durable. Releases the interpreter while the disk works.

        Returns  the sequence up to which commands may now be acknowledged
        Errors   JournalFailed
        """
        with self._segment:
            self._check_alive()
            sequence = self.sequence  # read before the call: what is appended meanwhile is not covered
            if not self.volatile:
                try:
                    self._files.sync_data(self._fd)
                except OSError as error:
                    raise self._fail("sync", error) from error
                self.durable_sequence = sequence
            return sequence

    def read(self, from_sequence: int = 1) -> Iterator[np.ndarray]:
        """COMMAND[<= BLOCK_ROWS] blocks, writable copies, from this sequence to the last now appended.

        Errors  JournalCorrupt if they are no longer on disk as they were written
        """
        return read(self.folder, from_sequence, self.sequence, self._files)

    def space(self) -> tuple[Space, int]:
        """How the hub must behave for the free space on the disk, and that space in bytes."""
        try:
            usage = self._files.statvfs(self.folder)
        except OSError as error:
            raise self._fail("statvfs", error) from error
        free = usage.f_bavail * usage.f_frsize
        return Space((free < ALARM_BYTES) + (free < CANCEL_ONLY_BYTES) + (free < HALT_BYTES)), free

    def close(self) -> None:
        """Sync, write the close marker, and let go of the lock. After a failure only the latter."""
        if self._closed:
            return
        try:
            if self._failure is None:
                self.sync()
                self._write(CLOSE, b"", 0)
                self.sync()
        finally:
            self._closed = True
            os.close(self._fd)
            os.close(self._lock_fd)

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _append_frame(self, commands: np.ndarray) -> None:
        size = FRAME_HEADER.size + commands.nbytes
        if self._offset + size > self._segment_bytes and self._offset > SEGMENT_HEADER.size:
            self._next_segment()
        # Only an array that is not contiguous is copied.
        self._write(COMMANDS, np.ascontiguousarray(commands).view(np.uint8).data, len(commands))
        self.sequence += len(commands)
        self.chain = self._link

    def _write(self, kind: int, rows: memoryview | bytes, count: int) -> None:
        """Write one frame with one call. Only a frame that was written whole counts."""
        header, crc = pack_frame(kind, rows, count, self._link, self.sequence + 1, self.durable_sequence)
        try:
            write_all(self._files, self._fd, [header, rows] if count else [header], len(header) + len(rows))
        except OSError as error:
            raise self._fail("write", error) from error
        self._offset += len(header) + len(rows)
        self._link = crc

    def _next_segment(self) -> None:
        """Sync the old segment, then create the new one: so a segment proves that all before it is durable."""
        self.sync()
        with self._segment:
            old = self._fd
            try:
                self._start_segment(self._number + 1)
                self._files.close(old)
            except OSError as error:
                raise self._fail("new segment", error) from error

    def _start_segment(self, number: int) -> None:
        header = Header(
            number, self.epoch, self.sequence + 1, self.chain, self._config_hash, self.volatile, self._engine_version
        ).pack()
        path = os.path.join(self.folder, f"{number:08}.journal")
        self._fd = write_atomically(self._files, path, [header], durable=not self.volatile)
        self._number, self._offset, self._link = number, len(header), int.from_bytes(header[60:], "little")

    def _begin(self, examination: Examination, snapshot_sequence: int) -> Recovered:
        """Copy the last segment's good frames forward if it was not closed, and start the next one."""
        verdict, torn_path, torn_bytes = examination.verdict, None, 0
        last = examination.segments[-1] if examination.segments else None
        self.sequence = last.sequence if last else snapshot_sequence
        self.chain = last.chain if last else 0
        self.epoch = max((segment.header.epoch for segment in examination.segments), default=0) + 1
        try:
            _name_holder(self._lock_fd, f"pid={os.getpid()} epoch={self.epoch}")
            for name in self._files.names(self.folder):
                if name.endswith(".tmp"):
                    self._files.remove(os.path.join(self.folder, name))
            if last and not last.closed:
                torn_path, torn_bytes = cut(last, self._files, not self.volatile)
            number = 1 if last is None else last.header.number + bool(last.frames)
            self._start_segment(number)
        except OSError as error:
            raise JournalFailed(f"cannot begin a segment of the journal in {self.folder}: {error}") from error
        self.durable_sequence = 0 if self.volatile else self.sequence
        return Recovered(
            verdict,
            examination.first_sequence,
            self.sequence,
            torn_path,
            torn_bytes,
            examination.chain_at(snapshot_sequence),
        )

    def _check_alive(self) -> None:
        if self._failure is not None:
            raise JournalFailed(self._failure)
        if self._closed:
            raise ValueError("the journal is closed")

    def _fail(self, what: str, error: OSError) -> JournalFailed:
        if self._failure is None:
            self._failure = (
                f"journal {self.folder}: {what} failed in segment {self._number} at offset {self._offset}: {error}; "
                f"commands to {self.durable_sequence} are durable, nothing later may be acknowledged; "
                "see to the disk and start again"
            )
        return JournalFailed(self._failure)


def read(folder: StrPath, first: int = 1, last: int | None = None, files: Files = FILES) -> Iterator[np.ndarray]:
    """COMMAND[<= BLOCK_ROWS] blocks of a journal, open or not, without its lock; every checksum is checked on the way.

    first, last  sequences, both included; last None: as far as the frames are good
    Errors       JournalCorrupt if commands that were asked for are not there; JournalUnreadable
    """
    try:
        paths = [path for _, path in segment_paths(folder, files)]
        headers = [read_header(files.read(path, SEGMENT_HEADER.size)) for path in paths]
        for path, following in zip(paths, [*headers[1:], None], strict=True):
            if following and following.first_sequence <= first:
                continue  # it ends before the first command wanted
            if last is not None and first > last:
                return
            rows = _rows(files.read(path), path)
            if len(rows) and rows["sequence"][0] > first:
                raise JournalCorrupt(f"{path}: begins with sequence {rows['sequence'][0]}; {first} is not there")
            rows = rows[rows["sequence"].searchsorted(first) :]
            if last is not None:
                rows = rows[: last - first + 1]
            for at in range(0, len(rows), BLOCK_ROWS):
                yield rows[at : at + BLOCK_ROWS]
            first += len(rows)
    except OSError as error:
        raise JournalUnreadable(f"cannot read the journal in {folder}: {error}") from error
    if last is not None and first <= last:
        raise JournalCorrupt(f"{folder}: sequence {first} is not there; the journal had reached {last}")


def _rows(content: np.ndarray, path: str) -> np.ndarray:
    """The rows of a segment's good frames, one behind the other: COMMAND[n], a copy."""
    if read_header(content) is None:
        raise JournalCorrupt(f"{path}: the segment's header is damaged")
    segment, _, _ = follow(content, path)
    rows = np.empty(sum(count for _, count, _, _ in segment.frames), COMMAND)
    source, target, at = content.data, rows.view(np.uint8).data, 0
    for offset, count, _, _ in segment.frames:
        start, size = offset + FRAME_HEADER.size, count * COMMAND.itemsize
        target[at : at + size] = source[start : start + size]
        at += size
    begin = segment.header.first_sequence
    if not np.array_equal(rows["sequence"], np.arange(begin, begin + len(rows))):
        raise JournalCorrupt(f"{path}: rows are not numbered as their frames say")
    return rows


def cut(segment: Segment, files: Files, durable: bool = True) -> tuple[str | None, int]:
    """Copy a segment's good frames into a new file of its name; what follows them goes into torn-<sequence>-<epoch>.bin.

    A copy, because after a failed fsync the old file may read well from memory and not be on the disk.
    Returns  path and bytes of the end that was cut off; None and 0 if there was none
    Errors   OSError
    """
    content, torn_path = files.read(segment.path), None
    torn = content[segment.offset :]
    if len(torn):
        name = f"torn-{segment.sequence + 1}-{segment.header.epoch}.bin"
        torn_path = os.path.join(os.path.dirname(segment.path), name)
        files.close(write_atomically(files, torn_path, [torn], durable))
    files.close(write_atomically(files, segment.path, [content[: segment.offset]], durable))
    return torn_path, len(torn)


@dataclass(frozen=True)
class Result:
    """The lines and the exit code of a command-line tool."""

    exit_code: int
    text: str


def verify(folder: StrPath, files: Files = FILES) -> Result:
    """Check every byte, and report what a start of the hub would find. Changes nothing, takes no lock.

    Beside a running hub it may see a frame half written, and call the journal torn.
    """
    try:
        examination = examine(folder, files, covered_sequence(folder, files))
    except OSError as error:
        return Result(JournalUnreadable.exit_code, f"cannot read the journal in {folder}: {error}")
    segments = examination.segments
    frames = sum(len(segment.frames) for segment in segments)
    commands = sum(segment.sequence - segment.header.first_sequence + 1 for segment in segments)
    volatile = ", written without fsync in part or whole" if any(s.header.volatile for s in segments) else ""
    span = f"{commands} commands, {examination.first_sequence} to {examination.sequence}" if commands else "no commands"
    return Result(
        int(examination.verdict.decision),
        (
            f"{examination.verdict}{_advice(examination.verdict)}\n{len(segments)} segments, {frames} frames, {span}, "
            f"{sum(segment.size for segment in segments)} bytes{volatile}"
        ),
    )


def dump(folder: StrPath, out: TextIO, first: int = 1, last: int | None = None, files: Files = FILES) -> Result:
    """Write commands as lines of JSON, one a row, in the units of the row (ticks, lots, ns). Takes no lock."""
    count = 0
    try:
        segments = [read_header(files.read(path, SEGMENT_HEADER.size)) for _, path in segment_paths(folder, files)]
        begin = segments[0].first_sequence if segments and segments[0] else 1
        for block in read(folder, max(first, begin), last, files):
            for row in block:
                fields = {name: row[name].item() for name in COMMAND.names or ()}
                fields["client_order_id"] = fields["client_order_id"].decode("ascii", "backslashreplace")
                fields["kind"] = _KIND_NAMES.get(fields["kind"], fields["kind"])
                out.write(json.dumps(fields) + "\n")
            out.flush()
            count += len(block)
    except BrokenPipeError:
        return Result(0, f"{count} commands, and then the reader went away")
    except OSError as error:
        return Result(JournalUnreadable.exit_code, f"cannot read the journal in {folder}: {error}")
    except JournalError as error:
        return Result(error.exit_code, str(error))
    return Result(0, f"{count} commands")


def repair(folder: StrPath, accept_loss_from: int, now_ns: int, files: Files = FILES) -> Result:
    """Drop a SUSPECT end, if the operator names the first command that is lost by it. The end is kept in a torn-*.bin.

    accept_loss_from  sequence; must be the one that `verify` names
    now_ns            time of the decision, for repairs.log, where it is written before anything is changed
    """
    try:
        lock_fd = _lock(folder, files)
    except JournalError as error:
        return Result(error.exit_code, str(error))
    try:
        examination = examine(folder, files, covered_sequence(folder, files))
        verdict = examination.verdict
        if verdict.decision in (Decision.CLEAN, Decision.TORN):
            return Result(0, f"nothing to repair: {verdict}")
        if verdict.decision is not Decision.SUSPECT:
            return Result(int(verdict.decision), f"not repaired: {verdict}{_advice(verdict)}")
        if accept_loss_from != verdict.sequence:
            return Result(
                int(verdict.decision),
                (
                    f"not repaired: accept_loss_from is {accept_loss_from}; "
                    f"the loss would begin with {verdict.sequence}: {verdict}"
                ),
            )
        note = json.dumps({"time": now_ns, "accept_loss_from": accept_loss_from, "verdict": str(verdict)}) + "\n"
        log_fd = files.open(
            os.path.join(folder, "repairs.log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640
        )
        try:
            write_all(files, log_fd, [note.encode()], len(note.encode()))
            files.sync(log_fd)
        finally:
            files.close(log_fd)
        torn_path, torn_bytes = cut(examination.segments[-1], files)
        return Result(
            0, f"dropped {torn_bytes} bytes from sequence {verdict.sequence} on; they are kept in {torn_path}"
        )
    except OSError as error:
        return Result(JournalFailed.exit_code, f"not repaired: {error}")
    finally:
        os.close(lock_fd)


def _advice(verdict: Verdict) -> str:
    if verdict.decision is Decision.SUSPECT:
        return (
            f". If the loss of sequence {verdict.sequence} and later is acceptable: "
            f"qiee journal repair --accept-loss-from {verdict.sequence}"
        )
    if verdict.decision is Decision.CORRUPT:
        return ". Restore the folder from a copy; nothing here can be dropped without losing acknowledged commands"
    return ""


def check_headers(examination: Examination, config_hash: bytes, engine_version: int = ENGINE_VERSION) -> None:
    """Refuse a journal that another configuration or another engine has written. Errors: JournalMismatch."""
    for segment in examination.segments:
        header = segment.header
        if header.config_hash != config_hash:
            raise JournalMismatch(
                f"{segment.path}: written under configuration {header.config_hash.hex()[:16]}, "
                f"opened under {config_hash.hex()[:16]}; the same commands would give other events: "
                "catalogue, profile, day (off or not) and max_orders must be those of its hub"
            )
        if header.engine_version != engine_version:
            raise JournalMismatch(
                f"{segment.path}: written by version {header.engine_version} of the engine's rules, "
                f"this is {engine_version}; the same commands would give other events"
            )


def _lock(folder: StrPath, files: Files) -> int:
    """The folder's LOCK file, locked; the folder is made if it is not there."""
    try:
        if not os.path.isdir(folder):
            os.makedirs(folder, exist_ok=True)  # another opener may make it at this moment
            sync_folder(files, os.path.dirname(os.path.abspath(folder)))
        fd = files.open(os.path.join(folder, "LOCK"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except OSError as error:
        raise JournalUnreadable(f"cannot use {folder} as a data folder: {error}") from error
    try:
        files.lock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.pread(fd, 100, 0).decode(errors="replace").strip() or "which has not said its name yet"
        os.close(fd)
        if error.errno in (errno.EAGAIN, errno.EACCES):
            raise JournalLocked(f"{folder} is in use by another process: {holder}") from error
        raise JournalFailed(f"cannot lock {folder}, so two hubs could write it at once: {error}") from error
    _name_holder(fd, f"pid={os.getpid()}")
    return fd


def _name_holder(lock_fd: int, text: str) -> None:
    """Write into LOCK which process holds it, for people to read. No code reads it."""
    os.pwrite(lock_fd, f"{text:<40}\n".encode(), 0)
