"""The journal under failing calls, killed processes, full disks and power cuts: it loses nothing acknowledged."""

import dataclasses
import errno
import os
import random
import resource
import select
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exchange.journal.files import FILES, Files
from exchange.journal.journal import Journal, JournalFailed, JournalSuspect, repair
from exchange.journal.segments import Decision, Finding, examine
from matching.records import COMMAND
from tests.build import existing
from tests.exchange.journals import commands, contents, everything, filled, put
from tests.exchange.power import Disk, PowerCut, on_disk

CALLS = ("open", "write", "sync", "sync_data", "rename", "close")


def failing(name: str, at: int, error: int | None) -> Files:
    """Files whose call `name` fails from the `at`-th time on, except close; None: it writes short."""
    real, count = getattr(FILES, name), 0

    def call(*arguments: Any) -> int | None:
        nonlocal count
        count += 1
        if count < at:
            return real(*arguments)
        if error is None:
            buffers = b"".join(bytes(buffer) for buffer in arguments[1])
            return os.write(arguments[0], buffers[: len(buffers) * 2 // 3])
        if name == "close":
            real(*arguments)
        raise OSError(error, os.strerror(error))

    replaced: Any = {name: call}
    return dataclasses.replace(FILES, **replaced)


def session(folder: Path, files: Files) -> int:
    """Open, append twelve blocks over several segments, close. Returns the last command acknowledged before the failure."""
    acknowledged = 0
    try:
        journal, _ = Journal.open(folder, files=files, segment_bytes=1_500)
    except JournalFailed as failure:
        assert failure.exit_code == 4
        return 0
    try:
        for count in (1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3, 4):
            journal.append(commands(journal.sequence + 1, count))
            acknowledged = journal.sync()
        journal.close()
        pytest.fail("the failure was not noticed")
    except JournalFailed as failure:
        assert failure.exit_code == 4 and "nothing later may be acknowledged" in str(failure)
        for again in (journal.sync, lambda: journal.append(commands(1, 1)), journal.sync):
            with pytest.raises(JournalFailed):
                again()
        assert journal.durable_sequence == acknowledged
    finally:
        journal.close()
    return acknowledged


def calls_of_a_session(tmp_path: Path) -> dict[str, int]:
    counts = dict.fromkeys(CALLS, 0)

    def counting(name: str) -> Callable[..., Any]:
        def call(*arguments: Any) -> int | None:
            counts[name] += 1
            return getattr(FILES, name)(*arguments)

        return call

    (tmp_path / "counted").mkdir()
    with pytest.raises(pytest.fail.Exception):
        session(tmp_path / "counted", dataclasses.replace(FILES, **{name: counting(name) for name in CALLS}))
    return counts


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC, None], ids=["EIO", "ENOSPC", "short write"])
def test_a_call_that_fails_stops_acknowledgements_for_good_and_loses_none(tmp_path: Path, error: int | None) -> None:
    runs = 0
    for name, count in calls_of_a_session(tmp_path).items():
        if error is None and name != "write":
            continue
        for at in range(1, count + 1):
            folder = tmp_path / f"{name}-{at}"
            folder.mkdir()
            if name == "open" and at == 1:
                continue  # the call for LOCK: an unreadable folder, not a failed journal
            acknowledged = session(folder, failing(name, at, error))
            with Journal.open(folder)[0] as journal:
                assert journal.sequence >= acknowledged
                assert np.array_equal(everything(folder), commands(1, journal.sequence))
            runs += 1
    assert runs > 15


def test_after_a_failed_sync_the_next_start_copies_what_it_can_read_and_syncs_that(tmp_path: Path) -> None:
    """The pages of a failed fsync may be in memory only but marked clean, so a sync of the old file would prove nothing."""
    journal = filled(tmp_path, [3], files=failing("sync_data", 2, errno.EIO))
    journal.append(commands(4, 2))
    with pytest.raises(JournalFailed):
        journal.sync()
    journal.close()
    path = tmp_path / "00000001.journal"
    old = path.stat().st_ino
    synced = []

    def sync(fd: int) -> None:
        synced.append(os.fstat(fd).st_ino)
        FILES.sync(fd)

    Journal.open(tmp_path, files=dataclasses.replace(FILES, sync=sync))[0].close()
    assert path.stat().st_ino != old and path.stat().st_ino in synced
    assert np.array_equal(everything(tmp_path), commands(1, 5))


def test_an_end_that_was_torn_is_kept_aside_and_the_journal_goes_on(tmp_path: Path) -> None:
    filled(tmp_path / "source", [3, 4, 5]).close()
    content = contents(tmp_path / "source")["00000001.journal"]
    for length in (len(content) - 33, len(content) - 300, len(content) - 32 - 5 * COMMAND.itemsize - 31):
        hub = tmp_path / str(length)
        put(hub, {"00000001.journal": content[:length]})
        journal, recovered = Journal.open(hub)
        assert (recovered.verdict.finding, recovered.sequence) == (Finding.CUT_SHORT, 7)
        assert Path(existing(recovered.torn_path)).read_bytes() == content[length - recovered.torn_bytes : length]
        journal.append(commands(8, 5))
        journal.close()
        assert np.array_equal(everything(hub), commands(1, 12)) and examine(hub).verdict.finding is Finding.STOPPED


def _write_until_killed(folder: str, acknowledge: int, seed: int) -> None:
    """A writer that writes every frame in two parts, so that a kill can fall between. It reports by a pipe what is durable."""

    def write_twice(fd: Any, buffers: Any) -> Any:
        content = b"".join(bytes(buffer) for buffer in buffers)
        half = generator.randrange(len(content))
        written = os.write(fd, content[:half])
        time.sleep(generator.choice((0, 0.0005)))
        return written + os.write(fd, content[half:])

    generator = random.Random(seed)
    journal, _ = Journal.open(folder, segment_bytes=3_000, files=dataclasses.replace(FILES, write=write_twice))
    while True:
        journal.append(commands(journal.sequence + 1, generator.randrange(1, 12)))
        os.write(acknowledge, journal.sync().to_bytes(8, "little"))


@pytest.mark.compiled
def test_a_thousand_kills_lose_nothing_acknowledged_and_need_no_operator(tmp_path: Path) -> None:
    findings = dict.fromkeys(Finding, 0)
    for kill in range(1_000):
        folder = os.fspath(tmp_path / str(kill // 10))  # ten processes per journal
        read_end, write_end = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                _write_until_killed(folder, write_end, kill)
            finally:
                os._exit(1)
        os.close(write_end)
        if kill % 2:  # every other one is killed while it writes, the rest at any time, also while it opens
            select.select([read_end], [], [], 10)
        time.sleep(random.Random(kill).random() * 0.004)
        os.kill(child, signal.SIGKILL)
        assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
        told = bytearray()
        while part := os.read(read_end, 1 << 16):
            told += part
        os.close(read_end)
        acknowledged = int.from_bytes(told[-8:], "little")
        examination = examine(folder) if os.path.isdir(folder) else None
        if examination is None:
            continue
        findings[examination.verdict.finding] += 1
        assert examination.verdict.decision in (Decision.CLEAN, Decision.TORN), examination.verdict
        assert examination.sequence >= acknowledged
        if kill % 10 == 9:
            with Journal.open(folder)[0] as journal:
                assert np.array_equal(everything(folder), commands(1, journal.sequence))
            shutil.rmtree(folder)
    # The test proves something only if kills fell between the two writes of a frame, and between frames.
    assert findings[Finding.CUT_SHORT] > 20 and findings[Finding.KILLED] > 100, findings


def test_a_disk_that_fills_up_is_an_orderly_stop(tmp_path: Path) -> None:
    """A real limit: the operating system refuses to let files of this process grow, at every length in steps of 512 bytes."""
    for limit in range(512, 16_384, 512):
        folder = tmp_path / str(limit)
        read_end, write_end = os.pipe()
        child = os.fork()
        if child == 0:
            status = 1
            try:
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
                journal, _ = Journal.open(folder)
                while True:
                    journal.append(commands(journal.sequence + 1, 3))
                    os.write(write_end, journal.sync().to_bytes(8, "little"))
            except JournalFailed as failure:
                status = failure.exit_code
            finally:
                os._exit(status)
        os.close(write_end)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 4
        told = b""
        while part := os.read(read_end, 1 << 16):
            told += part
        os.close(read_end)
        acknowledged = int.from_bytes(told[-8:], "little")
        assert acknowledged == (limit - 64) // (32 + 3 * COMMAND.itemsize) * 3
        journal, recovered = Journal.open(folder)
        assert recovered.sequence == acknowledged and recovered.verdict.decision in (Decision.CLEAN, Decision.TORN)
        journal.close()


@pytest.mark.compiled
@pytest.mark.parametrize("part", range(10))
def test_a_power_cut_loses_nothing_acknowledged_and_invents_nothing(tmp_path: Path, part: int) -> None:
    """Any subset of unsynced sectors and names survives. An unclear end is SUSPECT, never CORRUPT, and repair is enough."""
    decisions = dict.fromkeys(Decision, 0)
    for seed in range(part * 40, part * 40 + 40):
        generator = np.random.default_rng(seed)
        folder, acknowledged = tmp_path / f"{seed}-0", 0
        folder.mkdir()
        for life in range(3):
            disk = Disk(str(folder), die_at=int(generator.integers(1, 60)))
            on_disk(disk, str(folder))
            try:
                journal, _ = Journal.open(folder, segment_bytes=6_000, files=disk.files)
                while True:
                    for _ in range(int(generator.integers(1, 3))):
                        journal.append(commands(journal.sequence + 1, int(generator.integers(1, 30))))
                    acknowledged = journal.sync()
            except PowerCut:
                folder = tmp_path / f"{seed}-{life + 1}"
                disk.after_the_cut(generator, folder)
            verdict = examine(folder).verdict
            decisions[verdict.decision] += 1
            if verdict.decision is Decision.SUSPECT:
                with pytest.raises(JournalSuspect):
                    Journal.open(folder)
                assert verdict.sequence > acknowledged
                assert repair(folder, verdict.sequence, 0).exit_code == 0
            assert examine(folder).verdict.decision in (Decision.CLEAN, Decision.TORN), verdict
            journal, recovered = Journal.open(folder, durable=False)
            journal.close()
            assert recovered.sequence >= acknowledged
            assert np.array_equal(everything(folder), commands(1, recovered.sequence))
        for life in range(4):
            shutil.rmtree(tmp_path / f"{seed}-{life}")
    assert decisions[Decision.CLEAN] and decisions[Decision.TORN] and decisions[Decision.SUSPECT]
