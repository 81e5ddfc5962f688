"""Recovery: a snapshot and the commands after it give what a full replay gives, and no deleted file is needed."""

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exchange import Exchange
from exchange.journal import snapshot
from exchange.journal.journal import Journal, JournalCorrupt, JournalError, JournalMismatch, verify
from exchange.journal.recovery import prune, recover
from matching.records import COMMAND
from tests.build import account, existing, instrument

BATCHES = [30, 1, 64, 5, 200, 17, 90, 40, 3, 150]


def make_exchange() -> Exchange:
    return Exchange(
        [instrument(f"SC{number}") for number in range(3)],
        [account(f"A{number}", equity=10**9) for number in range(4)],
        max_orders=1 << 12,
    )


def flow(first: int, count: int, seed: int = 7) -> np.ndarray:
    """Commands that trade, rest, cancel and are refused; a function of their sequences, whatever the batches."""
    rows = np.zeros(count, COMMAND)
    for row, sequence in zip(rows, range(first, first + count), strict=True):
        generator = np.random.default_rng((seed, sequence))
        kind = generator.choice([1, 1, 1, 1, 2, 3])
        row["sequence"], row["time"], row["kind"] = sequence, sequence * 10**6, kind
        row["instrument"], row["account"] = generator.integers(0, 3), generator.integers(0, 4)
        row["side"], row["order_type"], row["time_in_force"] = generator.integers(1, 3), 2, generator.choice([0, 1, 3])
        row["price"], row["quantity"] = generator.integers(95, 106), generator.integers(1, 10)
        row["order_id"] = 0 if kind == 1 else max(1, sequence - generator.integers(1, 30))
        row["client_order_id"] = str(sequence).encode()
    return rows


@pytest.fixture(scope="module")
def history() -> tuple[list[np.ndarray], list[str]]:
    """The batches of a session, and the digest after each."""
    exchange, batches, digests = make_exchange(), [], []
    for count in BATCHES:
        batches.append(flow(exchange.sequence + 1, count))
        exchange.apply(batches[-1])
        digests.append(exchange.digest())
    assert exchange.orders("SC1").size and len(set(digests)) == len(BATCHES)
    return batches, digests


def run(folder: Path, batches: list[np.ndarray], snapshots: tuple[int, ...] = (), prune_after: bool = False) -> Any:
    """One run of a hub: recover, apply, take a snapshot after the batches of these numbers. It is not closed at the end."""
    recovery = recover(folder, make_exchange, segment_bytes=20_000)
    exchange, journal = recovery.exchange, recovery.journal
    for batch in batches:
        if batch["sequence"][0] <= journal.sequence:
            continue
        journal.append(batch)
        journal.sync()
        exchange.apply(batch)
        if exchange.sequence in [b["sequence"][-1] for b in (batches[number] for number in snapshots)]:
            snapshot.write(folder, exchange.state(), journal.sequence, journal.chain, exchange.digest())
            if prune_after:
                prune(journal)
    return recovery


def copy(folder: Path, name: str) -> Any:
    """A copy of the folder while a hub has it open: what a killed hub leaves."""
    return shutil.copytree(folder, folder.parent / name)


def test_a_new_folder_gives_a_new_exchange(tmp_path: Path) -> None:
    recovery = recover(tmp_path / "hub", make_exchange)
    assert (recovery.exchange.sequence, recovery.snapshot_sequence, recovery.replayed) == (0, 0, 0)
    recovery.journal.close()


@pytest.mark.compiled
@pytest.mark.parametrize("at", range(len(BATCHES)))
def test_snapshot_and_tail_give_the_digest_of_a_full_replay(tmp_path: Path, history: Any, at: Any) -> None:
    batches, digests = history
    run(tmp_path / "hub", batches, snapshots=(at,)).journal.close()
    recovery = recover(tmp_path / "hub", make_exchange)
    assert recovery.exchange.digest() == digests[-1]
    assert recovery.snapshot_sequence == sum(BATCHES[: at + 1]) and recovery.replayed == sum(BATCHES[at + 1 :])
    recovery.journal.close()


@pytest.mark.compiled
def test_a_restart_after_every_batch_gives_the_digests_of_one_life(tmp_path: Path, history: Any) -> None:
    batches, digests = history
    for number, digest in enumerate(digests):
        recovery = run(tmp_path / "hub", batches[: number + 1], snapshots=(number,) if number in (2, 6) else ())
        assert recovery.exchange.digest() == digest
        recovery.journal.close()


def test_a_damaged_snapshot_falls_back_to_the_one_before_and_a_longer_tail(tmp_path: Path, history: Any) -> None:
    batches, digests = history
    run(tmp_path / "hub", batches, snapshots=(3, 7)).journal.close()
    newest = existing(snapshot.newest(tmp_path / "hub")).path
    for expected in (sum(BATCHES[:4]), 0):
        with open(newest, "r+b") as file:
            file.truncate(os.path.getsize(newest) - 100)
        recovery = recover(tmp_path / "hub", make_exchange)
        assert recovery.exchange.digest() == digests[-1] and recovery.snapshot_sequence == expected
        recovery.journal.close()
        older = snapshot.newest(tmp_path / "hub")
        newest = older.path if older else newest


def test_pruning_keeps_two_snapshots_and_every_segment_that_the_older_needs(tmp_path: Path, history: Any) -> None:
    batches, digests = history
    hub = run(tmp_path / "hub", batches, snapshots=(1, 3, 5, 8), prune_after=True)
    names = os.listdir(tmp_path / "hub")
    assert sorted(name for name in names if name.endswith(".snapshot")) == [
        "000000000317.snapshot",
        "000000000450.snapshot",
    ]
    assert "00000001.journal" not in names
    assert verify(tmp_path / "hub").exit_code == 0
    for damaged in ((), ("000000000450.snapshot",)):
        folder = copy(tmp_path / "hub", f"copy-{len(damaged)}")
        for name in damaged:
            (folder / name).write_bytes(b"torn")
        recovery = recover(folder, make_exchange)
        assert recovery.exchange.digest() == digests[-1]
        recovery.journal.close()
    lost = copy(tmp_path / "hub", "lost")
    for name in ("000000000317.snapshot", "000000000450.snapshot"):
        (lost / name).unlink()
    with pytest.raises(JournalCorrupt, match="commands 1 to .* are missing and no valid snapshot covers them"):
        recover(lost, make_exchange)
    hub.journal.close()


def test_nothing_is_pruned_while_fewer_than_two_snapshots_are_valid(tmp_path: Path, history: Any) -> None:
    hub = run(tmp_path / "hub", history[0], snapshots=(5, 8))
    (tmp_path / "hub" / "000000000450.snapshot").write_bytes(b"torn")
    assert prune(hub.journal) == []
    with pytest.raises(ValueError, match="keep is 1"):
        prune(hub.journal, keep=1)
    hub.journal.close()


def test_a_journal_that_ends_before_its_snapshot_is_refused(tmp_path: Path, history: Any) -> None:
    run(tmp_path / "hub", history[0][:6], snapshots=(5,)).journal.close()
    for name in os.listdir(tmp_path / "hub"):
        if name.endswith(".journal"):
            (tmp_path / "hub" / name).unlink()
    with pytest.raises(JournalCorrupt, match="its journal is not.*commands 1 to 317 are missing"):
        recover(tmp_path / "hub", make_exchange)


def test_a_snapshot_of_another_journal_is_refused(tmp_path: Path, history: Any) -> None:
    for folder, seed in (("one", 1), ("other", 2)):
        run(tmp_path / folder, [flow(1, 50, seed), flow(51, 50, seed)], snapshots=(0,)).journal.close()
    shutil.copy(tmp_path / "other" / "000000000050.snapshot", tmp_path / "one")
    with pytest.raises(JournalCorrupt, match="made from another journal"):
        recover(tmp_path / "one", make_exchange)


def test_a_snapshot_that_does_not_restore_to_its_digest_is_refused_and_the_lock_is_free_again(
    tmp_path: Path, history: Any
) -> None:
    hub = run(tmp_path / "hub", history[0][:2])
    snapshot.write(tmp_path / "hub", hub.exchange.state(), hub.journal.sequence, hub.journal.chain, "another digest")
    hub.journal.close()
    for _ in range(2):
        with pytest.raises(JournalMismatch, match="another digest"):
            recover(tmp_path / "hub", make_exchange)


def test_replay_in_blocks_gives_what_the_batches_gave(tmp_path: Path, history: Any) -> None:
    """The journal is read in blocks of its own size, not in the batches that were written."""
    batches, digests = history
    run(tmp_path / "hub", batches).journal.close()
    exchange = make_exchange()
    with Journal.open(tmp_path / "hub")[0] as journal:
        for block in journal.read():
            exchange.apply(block)
    assert exchange.digest() == digests[-1]


def test_every_refusal_has_an_exit_code_of_its_own() -> None:
    codes = [refusal.exit_code for refusal in JournalError.__subclasses__()]
    assert len(codes) == len(set(codes)) and not {0, 1, 2} & set(codes)
