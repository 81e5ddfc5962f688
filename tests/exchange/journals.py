"""Journals for tests: rows that are a function of their sequence, whole folders on disk, segments in memory."""

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from exchange.journal.files import FILES, Files
from exchange.journal.journal import Journal, read
from matching.records import COMMAND


def commands(first: int, count: int) -> np.ndarray:
    """Each row has its sequence in every field, so that an invented or mixed row is noticed."""
    rows = np.zeros(count, COMMAND)
    rows["sequence"] = np.arange(first, first + count)
    rows["time"] = 1_700_000_000_000_000_000 + rows["sequence"] * 1_000
    rows["kind"] = 1 + rows["sequence"] % 4
    rows["price"] = rows["sequence"] * 7919 % 1000 - 500
    rows["quantity"] = 1 + rows["sequence"] % 9
    rows["client_order_id"] = rows["sequence"].astype("S20")
    return rows


def filled(folder: Path, blocks: list[int], **options: Any) -> Journal:
    """An open journal with blocks of so many rows, each synced."""
    journal, _ = Journal.open(folder, **options)
    for count in blocks:
        journal.append(commands(journal.sequence + 1, count))
        journal.sync()
    return journal


def everything(folder: Path | str) -> np.ndarray:
    """All the commands of a journal."""
    return np.concatenate([commands(1, 0), *read(folder)])


def contents(folder: Path) -> dict[str, bytes]:
    """The segments of a folder, by name."""
    names = sorted(name for name in os.listdir(folder) if name.endswith(".journal"))
    return {name: Path(folder, name).read_bytes() for name in names}


def in_memory(segments: Mapping[str, Any]) -> Files:
    """Files that read only these segments."""

    def content(path: str, most: Any = None) -> np.ndarray:
        return np.array(np.frombuffer(segments[os.path.basename(path)], np.uint8)[:most])

    return dataclasses.replace(FILES, names=lambda folder: list(segments), read=content)


def put(folder: Path, segments: dict[str, bytes]) -> None:
    """Write segments as the files of a folder that no process has open."""
    os.makedirs(folder, exist_ok=True)
    for name, content in segments.items():
        Path(folder, name).write_bytes(content)
