"""Snapshots are read as they were written, or not at all. A damaged one is ignored and the one before it is the newest."""

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from crc32c import crc32c

from exchange.journal import snapshot
from exchange.journal.files import FILES
from exchange.journal.snapshot import FORMAT_VERSION, HEADER, SnapshotFailed, SnapshotInvalid
from matching.records import COMMAND, EXTRA, SIDE
from tests.build import existing
from tests.exchange.journals import commands

ARRAYS = {
    "rows": commands(1, 7),
    "levels": np.zeros((3, 2), SIDE),
    "orders": np.full(4, 9, np.int64).view(np.int64),
    "empty": np.empty((0, 5), EXTRA),
    "bytes": np.arange(5, dtype=np.uint8),
    "flags": np.array([[True, False]]),
    "nested": np.zeros(2, np.dtype([("a", "<i4", (3,)), ("b", [("c", "S3"), ("d", "<f8")])], align=True)),
    "scalar": np.array(5, np.int64),
    "transposed": np.arange(12, dtype=np.int32).reshape(3, 4).T,
}


def test_arrays_come_back_as_they_were(tmp_path: Path) -> None:
    path = snapshot.write(tmp_path, ARRAYS, 1234, 0xFFFFFFFF, "d1")
    read = existing(snapshot.newest(tmp_path))
    assert (read.path, read.sequence, read.chain, read.digest) == (path, 1234, 0xFFFFFFFF, "d1")
    assert list(read.arrays) == list(ARRAYS)
    for name, array in ARRAYS.items():
        back = read.arrays[name]
        assert back.dtype == array.dtype and back.dtype.type is array.dtype.type and back.shape == array.shape
        assert back.tobytes() == array.tobytes() and back.flags.writeable and back.ctypes.data % 16 == 0
    assert os.listdir(tmp_path) == ["000000001234.snapshot"]


def test_the_newest_is_the_one_of_the_highest_sequence_and_none_without_any(tmp_path: Path) -> None:
    assert snapshot.newest(tmp_path) is None and snapshot.newest(tmp_path / "nowhere") is None
    for sequence in (5, 100, 20):
        snapshot.write(tmp_path, {}, sequence, 0, "")
    assert snapshot.covered_sequence(tmp_path) == 100
    assert [one.sequence for one in snapshot.valid(tmp_path)] == [100, 20, 5]


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, str, bytes]:
    snapshot.write(tmp_path, {"rows": commands(1, 2)}, 10, 1, "old")
    path = snapshot.write(tmp_path, {"rows": commands(1, 3)}, 20, 2, "new")
    return tmp_path, path, Path(path).read_bytes()


def test_every_length_of_a_snapshot_falls_back_to_the_one_before(two: tuple[Path, str, bytes]) -> None:
    folder, path, content = two
    for length in range(len(content)):
        with open(path, "wb") as file:
            file.write(content[:length])
        assert existing(snapshot.newest(folder)).digest == "old", length


def test_every_flipped_byte_of_a_snapshot_falls_back_to_the_one_before(two: tuple[Path, str, bytes]) -> None:
    folder, path, content = two
    for at in range(len(content)):
        with open(path, "wb") as file:
            file.write(content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :])
        assert existing(snapshot.newest(folder)).digest == "old", at


def test_a_snapshot_under_the_name_of_another_is_ignored(two: tuple[Path, str, bytes]) -> None:
    folder, path, _ = two
    os.rename(path, os.path.join(folder, "000000000030.snapshot"))
    assert existing(snapshot.newest(folder)).digest == "old"


def test_a_newer_format_is_refused_with_both_versions(two: tuple[Path, str, bytes]) -> None:
    _, path, content = two
    with open(path, "wb") as file:
        file.write(content[:8] + (7).to_bytes(4, "little") + content[12:])
    with pytest.raises(SnapshotInvalid, match=f"format 7; this program reads {FORMAT_VERSION}"):
        snapshot.load(path)


@pytest.mark.parametrize(
    "directory",
    [
        b"[]",
        b"{}",
        b"nonsense",
        b"\xff\xfe",
        b'{"arrays":[{}]}',
        b'{"arrays":5}',
        b'{"arrays":[{"name":"a","dtype":"<i8","shape":[9],"at":0,"bytes":8,"record":false}]}',
        b'{"arrays":[{"name":"a","dtype":"|O","shape":[1],"at":0,"bytes":8,"record":false}]}',
        b'{"arrays":[{"name":"a","dtype":[["x"]],"shape":[1],"at":0,"bytes":8,"record":true}]}',
    ],
)
def test_a_directory_that_makes_no_sense_is_invalid_even_with_a_good_checksum(tmp_path: Path, directory: bytes) -> None:
    body = directory.ljust(200) + bytes(64)
    rest = HEADER.pack(snapshot.MAGIC, FORMAT_VERSION, 0, HEADER.size + len(body), 200, 0)[16:] + body
    header = HEADER.pack(snapshot.MAGIC, FORMAT_VERSION, crc32c(rest), HEADER.size + len(body), 200, 0)
    path = tmp_path / "000000000001.snapshot"
    path.write_bytes(header + body)
    with pytest.raises(SnapshotInvalid, match="makes no sense"):
        snapshot.load(path)
    assert snapshot.newest(tmp_path) is None


@pytest.mark.parametrize("name", ["open", "write", "sync", "rename"])
def test_a_failed_write_leaves_the_older_ones_as_they_were(two: tuple[Path, str, bytes], name: str) -> None:
    def fail(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    folder, path, content = two
    failing: Any = {name: fail}
    with pytest.raises(SnapshotFailed, match="No space left"):
        snapshot.write(folder, ARRAYS, 20, 3, "third", dataclasses.replace(FILES, **failing))
    assert Path(path).read_bytes() == content and existing(snapshot.newest(folder)).digest == "new"
    assert len(list(snapshot.valid(folder))) == 2 and not [name for name in os.listdir(folder) if name.endswith(".tmp")]


def test_a_snapshot_is_synced_before_it_has_its_name_and_its_name_after(tmp_path: Path) -> None:
    steps = []

    def noting(name: str) -> Callable[..., Any]:
        def call(*arguments: Any) -> int | None:
            steps.append(name)
            return getattr(FILES, name)(*arguments)

        return call

    files = dataclasses.replace(FILES, **{name: noting(name) for name in ("write", "sync", "rename")})
    snapshot.write(tmp_path, {"rows": np.zeros(3, COMMAND)}, 1, 0, "", files)
    assert steps[-3:] == ["sync", "rename", "sync"] and set(steps[:-3]) == {"write"}
