"""The whole state of the exchange in one file, so that a start need not replay the journal from its first command.

A snapshot only saves time: all of them may be deleted while the journal is whole. It holds the state after command n of
a journal: the sequence n, the journal's chain value there, the digest of the state, and the state itself.

    write(folder, exchange.state(), journal.sequence, journal.chain, exchange.digest())
    snapshot = newest(folder)                   # None: there is no valid one
    exchange.restore(snapshot.arrays)

A file, 000000001000.snapshot, is a header of 32 bytes, a directory in JSON, and the arrays, each at a multiple of 64:

    8 magic   4 format version   4 CRC-32C of all that follows it   8 bytes of the file   4 bytes of the directory   4 zero

It is written under another name, synced, renamed, and the folder synced, so it exists whole or not at all. If it is
damaged nevertheless, recovery takes the snapshot before it and replays more of the journal.
"""

import contextlib
import json
import os
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from crc32c import crc32c

from exchange.journal.files import FILES, Files, StrPath, write_atomically

MAGIC = b"QIEESNAP"
FORMAT_VERSION = 3  # raise it when arrays of the same names mean something else
HEADER = struct.Struct("<8sIIQII")
_CRC_END = 16  # the checksum covers the bytes of the file from here
_ALIGNMENT = 64
_NAME = re.compile(r"(\d{12})\.snapshot")


class SnapshotInvalid(Exception):
    """A file that is not a whole and undamaged snapshot of a known format."""


class SnapshotFailed(Exception):
    """A snapshot could not be written. The hub may go on: the journal has everything."""


@dataclass(frozen=True)
class Snapshot:
    """The state after a command."""

    path: str
    sequence: int
    chain: int  # journal's crc of the frame that ends with this command
    digest: str  # of the exchange
    arrays: dict[str, np.ndarray]


def write(
    folder: StrPath, arrays: dict[str, np.ndarray], sequence: int, chain: int, digest: str, files: Files = FILES
) -> str:
    """Write a snapshot of a state that the journal has made durable.

    arrays    by name; contiguous ones are not copied. Cut to what is used: every byte is written
    sequence  last command that the state knows; it must be durable, or recovery will miss it in the journal
    Returns   the path
    Errors    SnapshotFailed; there is then no new file, and the older ones are untouched
    """
    entries, at = [], 0
    pieces: list[bytes | memoryview] = []
    for name, array in arrays.items():
        flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
        padding = -at % _ALIGNMENT
        entries.append(
            {"name": name, "shape": array.shape, "at": at + padding, "bytes": flat.nbytes, **_layout(array.dtype)}
        )
        pieces += [bytes(padding), flat]
        at += padding + flat.nbytes
    directory = json.dumps({"sequence": sequence, "chain": chain, "digest": digest, "arrays": entries}).encode()
    directory += b" " * (-(HEADER.size + len(directory)) % _ALIGNMENT)
    size = HEADER.size + len(directory) + at
    rest = HEADER.pack(MAGIC, FORMAT_VERSION, 0, size, len(directory), 0)[_CRC_END:]
    crc = 0
    for piece in (rest, directory, *pieces):
        crc = crc32c(piece, crc)
    header = HEADER.pack(MAGIC, FORMAT_VERSION, crc, size, len(directory), 0)
    path = os.path.join(folder, f"{sequence:012}.snapshot")
    try:
        os.close(write_atomically(files, path, [header, directory, *(piece for piece in pieces if len(piece))]))
    except OSError as error:
        with contextlib.suppress(OSError):  # the journal may need the space of a half-written snapshot
            files.remove(path + ".tmp")
        raise SnapshotFailed(f"cannot write {path}: {error}") from error
    return path


def load(path: StrPath, files: Files = FILES) -> Snapshot:
    """Read and check a snapshot. Its arrays are writable views of one block of memory.

    Errors  SnapshotInvalid, whatever the bytes are; OSError
    """
    content = files.read(path)
    if len(content) < HEADER.size:
        raise SnapshotInvalid(f"{path}: {len(content)} bytes are too few")
    magic, version, crc, size, directory_bytes, _ = HEADER.unpack(content[: HEADER.size].tobytes())
    if magic != MAGIC:
        raise SnapshotInvalid(f"{path}: not a snapshot")
    if version != FORMAT_VERSION:
        raise SnapshotInvalid(f"{path}: format {version}; this program reads {FORMAT_VERSION}")
    if size != len(content):
        raise SnapshotInvalid(f"{path}: {len(content)} bytes, should be {size}")
    actual = crc32c(content[_CRC_END:].data)
    if actual != crc:
        raise SnapshotInvalid(f"{path}: CRC-32C is {actual:#010x}, expected {crc:#010x}")
    try:
        directory = json.loads(content[HEADER.size : HEADER.size + directory_bytes].tobytes())
        data = content[HEADER.size + directory_bytes :]
        arrays = {entry["name"]: _array(entry, data) for entry in directory["arrays"]}
        return Snapshot(os.fspath(path), directory["sequence"], directory["chain"], directory["digest"], arrays)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise SnapshotInvalid(f"{path}: its directory makes no sense: {error}") from error


def valid(folder: StrPath, files: Files = FILES) -> Iterator[Snapshot]:
    """The folder's valid snapshots, the newest first, read one at a time; the others are passed over."""
    for sequence, path in reversed(_paths(folder, files)):
        try:
            snapshot = load(path, files)
        except (SnapshotInvalid, OSError):
            continue  # an older snapshot is as good, only slower; recovery reports which it took
        if snapshot.sequence == sequence:
            yield snapshot


def older(folder: StrPath, sequence: int, files: Files = FILES) -> list[str]:
    """Paths of the snapshots before the one of this sequence, valid or not, the oldest first."""
    return [path for at, path in _paths(folder, files) if at < sequence]


def newest(folder: StrPath, files: Files = FILES) -> Snapshot | None:
    """The newest valid snapshot, None if there is none."""
    return next(valid(folder, files), None) if os.path.isdir(folder) else None


def covered_sequence(folder: StrPath, files: Files = FILES) -> int:
    """The last command that a valid snapshot covers; 0 without one."""
    snapshot = newest(folder, files)
    return snapshot.sequence if snapshot else 0


def _paths(folder: StrPath, files: Files) -> list[tuple[int, str]]:
    matches = (_NAME.fullmatch(name) for name in files.names(folder))
    return sorted((int(match[1]), os.path.join(folder, match[0])) for match in matches if match)


def _layout(dtype: np.dtype) -> dict[str, Any]:
    """A dtype as the directory has it. Rows whose fields overlap are stored as bytes; `restore` knows their type."""
    try:
        return {"dtype": np.lib.format.dtype_to_descr(dtype), "record": dtype.type is np.record}
    except ValueError:
        return {"dtype": f"|V{dtype.itemsize}", "record": False}


def _array(entry: dict[str, Any], data: np.ndarray) -> np.ndarray:
    dtype = np.lib.format.descr_to_dtype(_tuples(entry["dtype"]))
    if entry["record"]:
        dtype = np.dtype((np.record, dtype))
    return data[entry["at"] : entry["at"] + entry["bytes"]].view(dtype).reshape(entry["shape"])


def _tuples(descr: Any) -> Any:
    """A dtype's description as NumPy wants it: JSON has made lists of the tuples that its fields and shapes are."""
    if not isinstance(descr, list):
        return descr
    return [(field[0], _tuples(field[1]), *map(tuple, field[2:])) for field in descr]
