"""The journal without failures: what is appended is read back, there is one writer, and deliberate damage is refused."""

import dataclasses
import io
import json
import multiprocessing
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exchange.journal.files import FILES
from exchange.journal.journal import (
    Journal,
    JournalCorrupt,
    JournalFailed,
    JournalLocked,
    JournalMismatch,
    JournalSuspect,
    JournalTooNew,
    JournalUnreadable,
    Space,
    dump,
    read,
    repair,
    verify,
)
from exchange.journal.segments import COMMANDS, ENGINE_VERSION, ROWS_PER_FRAME, Finding, Header, examine, pack_frame
from matching.records import COMMAND
from tests.exchange.journals import commands, contents, everything, filled, put


def test_what_is_appended_is_read_back_after_the_next_open(tmp_path: Path) -> None:
    filled(tmp_path, [3, 1, 40]).close()
    journal, recovered = Journal.open(tmp_path)
    assert recovered.verdict.finding is Finding.STOPPED
    assert (recovered.first_sequence, recovered.sequence) == (1, 44)
    assert np.array_equal(np.concatenate(list(journal.read())), commands(1, 44))
    journal.close()


def test_commands_continue_over_openings_and_segments(tmp_path: Path) -> None:
    for opening in range(5):
        with filled(tmp_path, [7] * 10, segment_bytes=2_000) as journal:
            assert journal.epoch == opening + 1
    assert np.array_equal(everything(tmp_path), commands(1, 350))
    assert len(examine(tmp_path).segments) > 15


def test_reading_begins_and_ends_at_the_given_commands(tmp_path: Path) -> None:
    with filled(tmp_path, [5] * 30, segment_bytes=3_000) as journal:
        for first in (1, 2, 5, 6, 74, 149, 150, 151):
            assert np.array_equal(np.concatenate([commands(1, 0), *journal.read(first)]), commands(first, 151 - first))
    assert np.array_equal(np.concatenate(list(read(tmp_path, 50, 60))), commands(50, 11))


def test_blocks_that_are_read_are_aligned_and_writable(tmp_path: Path) -> None:
    with filled(tmp_path, [5, 5]) as journal:
        for block in journal.read():
            assert block.dtype is COMMAND and block.flags.writeable and block.flags.aligned and block.flags.c_contiguous


def test_a_journal_may_be_read_while_it_is_written(tmp_path: Path) -> None:
    journal = filled(tmp_path, [5])
    reading = journal.read()
    journal.append(commands(6, 5))
    assert sum(len(block) for block in reading) == 5 and sum(len(block) for block in journal.read()) == 10
    journal.close()


def test_a_batch_larger_than_a_frame_is_split(tmp_path: Path) -> None:
    count = 2 * ROWS_PER_FRAME + 5
    with filled(tmp_path, [count]):
        assert [rows for _, rows, _, _ in examine(tmp_path).segments[0].frames] == [ROWS_PER_FRAME, ROWS_PER_FRAME, 5]
        assert np.array_equal(everything(tmp_path), commands(1, count))


def test_rows_that_are_not_contiguous_in_memory_are_written_as_they_read(tmp_path: Path) -> None:
    with Journal.open(tmp_path)[0] as journal:
        journal.append(np.repeat(commands(1, 10), 2)[::2])
    assert np.array_equal(everything(tmp_path), commands(1, 10))


def test_an_empty_batch_writes_nothing(tmp_path: Path) -> None:
    with Journal.open(tmp_path)[0] as journal:
        journal.append(commands(1, 0))
        assert journal.sequence == 0 and not examine(tmp_path).segments[0].frames


@pytest.mark.parametrize(
    "rows",
    [
        commands(2, 3),
        commands(1, 3)[::-1],
        np.concatenate([commands(1, 2), commands(2, 2)]),
        commands(1, 3).view(np.uint8),
        commands(1, 4).reshape(2, 2),
    ],
    ids=["gap", "backwards", "repeat", "bytes", "two dimensions"],
)
def test_rows_out_of_sequence_are_refused_and_change_nothing(tmp_path: Path, rows: np.ndarray) -> None:
    with Journal.open(tmp_path)[0] as journal:
        with pytest.raises(ValueError, match="sequence|COMMAND"):
            journal.append(rows)
        journal.append(commands(1, 3))
    assert np.array_equal(everything(tmp_path), commands(1, 3))


def test_sync_returns_the_last_command_that_may_be_acknowledged(tmp_path: Path) -> None:
    journal = filled(tmp_path, [])
    assert (journal.sync(), journal.durable_sequence) == (0, 0)
    journal.append(commands(1, 4))
    assert journal.durable_sequence == 0
    assert (journal.sync(), journal.durable_sequence) == (4, 4)
    journal.close()


def test_each_frame_carries_the_watermark_and_the_link_of_the_one_before(tmp_path: Path) -> None:
    with filled(tmp_path, [2, 3, 4]) as journal:
        chains = [examine(tmp_path).chain_at(sequence) for sequence in (0, 2, 5, 9)]
        assert chains[0] == 0 and None not in chains and chains[-1] == journal.chain
        assert examine(tmp_path).chain_at(3) is None


def test_the_chain_at_a_command_is_the_same_before_and_after_a_restart(tmp_path: Path) -> None:
    journal = filled(tmp_path, [2, 3])
    chain = journal.chain
    journal.close()
    with Journal.open(tmp_path)[0] as journal:
        assert journal.chain == chain == examine(tmp_path).chain_at(5)
        journal.append(commands(6, 1))
        assert journal.chain != chain == examine(tmp_path).chain_at(5)


def test_openings_without_a_command_leave_no_segments_behind(tmp_path: Path) -> None:
    filled(tmp_path, [2]).close()
    for _ in range(5):
        Journal.open(tmp_path)[0].close()
    assert len([name for name in os.listdir(tmp_path) if name.endswith(".journal")]) == 2


def test_a_volatile_journal_is_marked_and_never_syncs(tmp_path: Path) -> None:
    def forbidden(fd: Any) -> None:
        raise AssertionError("volatile, yet synced")

    files = dataclasses.replace(FILES, sync=forbidden, sync_data=forbidden)
    with filled(tmp_path, [3, 3], durable=False, files=files, segment_bytes=400) as journal:
        assert journal.volatile and journal.sync() == 6 and journal.durable_sequence == 0
    assert all(segment.header.volatile for segment in examine(tmp_path).segments)
    assert "without fsync" in verify(tmp_path).text
    assert not filled(tmp_path / "d", []).volatile


def test_the_second_opener_is_refused_with_the_holder_of_the_journal(tmp_path: Path) -> None:
    with filled(tmp_path, [1]):
        with pytest.raises(JournalLocked, match=f"pid={os.getpid()} epoch=1") as refusal:
            Journal.open(tmp_path)
        assert refusal.value.exit_code == 3
        assert repair(tmp_path, 1, 0).exit_code == 3
    Journal.open(tmp_path)[0].close()


def _race(folder: Path, start: Any, results: Any) -> None:
    start.wait()
    try:
        Journal.open(folder)
        results.put("won")
    except JournalLocked:
        results.put("locked")
    start.wait()  # the winner holds the lock until both have tried


def test_of_two_writers_that_race_exactly_one_wins(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    for round_ in range(20):
        start, results = context.Barrier(2, timeout=20), context.Queue()
        racers = [context.Process(target=_race, args=(tmp_path / str(round_), start, results)) for _ in range(2)]
        for racer in racers:
            racer.start()
        assert sorted(results.get(timeout=20) for _ in racers) == ["locked", "won"]
        for racer in racers:
            racer.join()


def test_a_lock_left_by_a_dead_process_does_not_hold(tmp_path: Path) -> None:
    (tmp_path / "LOCK").write_text("pid=1 epoch=77\n")
    Journal.open(tmp_path)[0].close()


def test_a_file_system_that_cannot_lock_is_refused(tmp_path: Path) -> None:
    def unsupported(fd: int, operation: int) -> None:
        raise OSError(95, "Operation not supported")

    with pytest.raises(JournalFailed, match="two hubs could write it"):
        Journal.open(tmp_path, files=dataclasses.replace(FILES, lock=unsupported))


def test_a_folder_that_is_a_file_is_one_clear_refusal(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(JournalUnreadable, match="data") as refusal:
        Journal.open(tmp_path / "data")
    assert refusal.value.exit_code == 9
    assert verify(tmp_path / "data").exit_code == 9


def test_a_segment_that_cannot_be_read_is_one_clear_refusal(tmp_path: Path) -> None:
    def fail(path: str, most: int | None = None) -> np.ndarray:
        raise OSError(5, "Input/output error", path)

    filled(tmp_path, [3]).close()
    with pytest.raises(JournalUnreadable, match="Input/output error"):
        Journal.open(tmp_path, files=dataclasses.replace(FILES, read=fail))
    with pytest.raises(JournalUnreadable, match="Input/output error"):
        list(read(tmp_path, files=dataclasses.replace(FILES, read=fail)))
    Journal.open(tmp_path)[0].close()


def test_another_configuration_or_other_rules_are_refused(tmp_path: Path) -> None:
    filled(tmp_path, [1], config_hash=b"a" * 32).close()
    with pytest.raises(JournalMismatch, match="configuration 61616161") as refusal:
        Journal.open(tmp_path, b"b" * 32)
    assert refusal.value.exit_code == 8
    with pytest.raises(
        JournalMismatch, match=f"version {ENGINE_VERSION} of the engine's rules, this is {ENGINE_VERSION + 1}"
    ):
        Journal.open(tmp_path, b"a" * 32, engine_version=ENGINE_VERSION + 1)
    with pytest.raises(ValueError, match="config_hash has 3 bytes"):
        Journal.open(tmp_path, b"abc")
    Journal.open(tmp_path, b"a" * 32)[0].close()


def test_a_newer_format_is_refused_with_both_versions(tmp_path: Path) -> None:
    filled(tmp_path, [1]).close()
    chain = examine(tmp_path).segments[-1].chain
    (tmp_path / "00000002.journal").write_bytes(Header(2, 2, 2, chain, bytes(32), version=9).pack())
    with pytest.raises(JournalTooNew, match="reads format 2 .*format 9") as refusal:
        Journal.open(tmp_path)
    assert refusal.value.exit_code == 7 == verify(tmp_path).exit_code


@pytest.mark.parametrize(
    ("free_mib", "expected"),
    [
        (300, Space.PLENTY),
        (256, Space.PLENTY),
        (255, Space.ALARM),
        (63, Space.CANCEL_ONLY),
        (15, Space.HALTED),
        (0, Space.HALTED),
    ],
)
def test_the_free_space_on_the_disk_decides_what_the_hub_may_do(tmp_path: Path, free_mib: int, expected: Space) -> None:
    usage = os.statvfs_result((4096, 4096, 1 << 20, free_mib * 512, free_mib * 256, 0, 0, 0, 0, 255))
    with filled(tmp_path, [], files=dataclasses.replace(FILES, statvfs=lambda path: usage)) as journal:
        assert journal.space() == (expected, free_mib << 20)


def test_the_free_space_of_the_disk_is_read(tmp_path: Path) -> None:
    with filled(tmp_path, []) as journal:
        assert journal.space()[1] > 0


def test_a_closed_journal_accepts_no_commands(tmp_path: Path) -> None:
    journal = filled(tmp_path, [1])
    journal.close()
    journal.close()
    for call in (journal.sync, lambda: journal.append(commands(2, 1))):
        with pytest.raises(ValueError, match="closed"):
            call()


def test_leftovers_of_an_interrupted_opening_are_removed(tmp_path: Path) -> None:
    filled(tmp_path, [2]).close()
    (tmp_path / "00000002.journal.tmp").write_bytes(b"half a header")
    filled(tmp_path, [2]).close()
    assert not list(tmp_path.glob("*.tmp")) and np.array_equal(everything(tmp_path), commands(1, 4))


def test_verify_counts_and_names_the_end(tmp_path: Path) -> None:
    filled(tmp_path, [2, 3]).close()
    filled(tmp_path, [4]).close()
    result = verify(tmp_path)
    assert (
        result.exit_code == 0 and "2 segments, 3 frames, 9 commands, 1 to 9" in result.text and "CLEAN" in result.text
    )
    assert "no commands" in verify(os.path.dirname(tmp_path)).text


def test_dump_writes_a_line_of_json_a_command(tmp_path: Path) -> None:
    filled(tmp_path, [2, 3]).close()
    out = io.StringIO()
    result = dump(tmp_path, out, 2, 4)
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert (result.exit_code, result.text) == (0, "3 commands")
    assert [line["sequence"] for line in lines] == [2, 3, 4]
    assert lines[0]["kind"] == "AMEND" and lines[0]["client_order_id"] == "2" and lines[0]["price"] == 338
    assert dump(tmp_path, io.StringIO(), 1, 99).exit_code == JournalCorrupt.exit_code
    assert dump(tmp_path / "nowhere", io.StringIO()).exit_code == JournalUnreadable.exit_code


class ClosedPipe(io.StringIO):
    """Standard output after `| head` has ended."""

    def write(self, text: str) -> int:
        raise BrokenPipeError


def test_dump_into_a_pipe_that_is_closed_is_no_failure(tmp_path: Path) -> None:
    filled(tmp_path, [2, 3]).close()
    assert dump(tmp_path, ClosedPipe()).exit_code == 0


def suspect(folder: Path) -> Path:
    """The journal of blocks 2, 3 and 4, one byte of the last frame's rows changed. Nothing proves whether it was synced."""
    filled(folder / "source", [2, 3, 4]).close()
    content = bytearray(contents(folder / "source")["00000001.journal"][:-32])
    content[-50] ^= 1
    put(folder / "hub", {"00000001.journal": bytes(content)})
    return folder / "hub"


def test_repair_drops_a_suspect_end_only_if_the_loss_is_named(tmp_path: Path) -> None:
    hub = suspect(tmp_path)
    with pytest.raises(JournalSuspect, match="offset 688, sequence 6.*expected.*--accept-loss-from 6") as refusal:
        Journal.open(hub)
    assert refusal.value.exit_code == 5 == verify(hub).exit_code
    before = contents(hub)
    assert repair(hub, 5, 0).exit_code == 5 and contents(hub) == before
    result = repair(hub, 6, 1_700)
    assert result.exit_code == 0 and "480 bytes" in result.text
    assert (hub / "torn-6-1.bin").read_bytes() == before["00000001.journal"][688:]
    note = json.loads((hub / "repairs.log").read_text())
    assert (note["time"], note["accept_loss_from"]) == (1_700, 6) and "SUSPECT" in note["verdict"]
    filled(hub, [4]).close()
    assert np.array_equal(everything(hub), commands(1, 9))


def test_repair_does_nothing_to_a_good_journal_and_refuses_a_corrupt_one(tmp_path: Path) -> None:
    filled(tmp_path, [2, 3]).close()
    before = contents(tmp_path)
    result = repair(tmp_path, 1, 0)
    assert result.exit_code == 0 and "nothing to repair" in result.text and contents(tmp_path) == before
    damaged = bytearray(before["00000001.journal"])
    damaged[120] ^= 1
    put(tmp_path, {"00000001.journal": bytes(damaged)})
    result = repair(tmp_path, 1, 0)
    assert result.exit_code == 6 and "not repaired: CORRUPT" in result.text
    assert contents(tmp_path)["00000001.journal"] == damaged
    with pytest.raises(JournalCorrupt, match="offset 64, sequence 1: .*says that sequence") as refusal:
        Journal.open(tmp_path)
    assert refusal.value.exit_code == 6


def test_a_frame_whose_rows_are_not_numbered_as_it_says_is_refused_by_the_reader(tmp_path: Path) -> None:
    header = Header(1, 1, 1, 0, bytes(32)).pack()
    rows = commands(5, 2).tobytes()
    frame, _ = pack_frame(COMMANDS, rows, 2, int.from_bytes(header[60:], "little"), 1, 0)
    put(tmp_path, {"00000001.journal": header + frame + rows})
    with pytest.raises(JournalCorrupt, match="not numbered"):
        list(read(tmp_path))
