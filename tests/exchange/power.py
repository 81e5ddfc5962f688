"""A disk whose power can be cut: real files in a folder, and a record of what of them is on the disk.

    disk = Disk(folder, die_at=17)            # the 17th call that changes something raises PowerCut
    Journal.open(folder, files=disk.files)
    disk.after_the_cut(generator, elsewhere)  # a folder as the machine may find it at its next start

Every sector of 512 bytes and every name that was synced survives a cut; of the others any subset does. The length of
a file and the sectors in it survive independently of each other, as metadata and data do.
"""

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from exchange.journal.files import FILES, Files, StrPath, read_file

SECTOR = 512


class PowerCut(BaseException):
    """Not an Exception: no program catches the power cut."""


class Inode:
    """A file without its name."""

    def __init__(self) -> None:
        self.written = b""
        self.synced = b""

    def after_the_cut(self, generator: np.random.Generator) -> bytes:
        if self.written == self.synced:
            return self.synced
        size = int(generator.integers(len(self.synced), len(self.written) + 1))
        size = int(generator.choice([size, len(self.synced), len(self.written)]))
        old, new = self.synced.ljust(size, b"\0")[:size], self.written[:size]
        keep = generator.random()
        return b"".join((new if generator.random() < keep else old)[at : at + SECTOR] for at in range(0, size, SECTOR))


class Disk:
    """Files that pass every call on to the os, and record what it changed on the disk."""

    def __init__(self, folder: str, die_at: int) -> None:
        self.folder, self.die_at, self.calls = os.fspath(folder), die_at, 0
        self.names: dict[str, Inode] = {}  # synced
        self.pending: list[tuple[str, Inode | None]] = []
        self.current: dict[str, Inode] = {}
        self.open_files: dict[int, tuple[str, Inode | None]] = {}
        self.files = Files(
            open=self.open,
            write=self.write,
            sync=self.sync,
            sync_data=self.sync,
            close=self.close,
            rename=self.rename,
            remove=self.remove,
        )

    def tick(self) -> bool:
        self.calls += 1
        return self.calls >= self.die_at

    def open(self, path: str, flags: int, mode: int = 0o777) -> int:
        fd = FILES.open(path, flags, mode)
        name = os.path.basename(path)
        if os.path.isdir(path):
            self.open_files[fd] = name, None
            return fd
        if flags & os.O_CREAT and name not in self.current:
            self.current[name] = Inode()
            self.pending.append((name, self.current[name]))
        if flags & os.O_TRUNC:
            self.current[name].written = b""
        self.open_files[fd] = name, self.current[name]
        return fd

    def write(self, fd: int, buffers: Sequence[Any]) -> int:
        data = b"".join(bytes(buffer) for buffer in buffers)
        inode = self.open_files[fd][1]
        assert inode is not None
        inode.written += data
        if self.tick():
            raise PowerCut
        return FILES.write(fd, buffers)

    def sync(self, fd: int) -> None:
        if self.tick():
            raise PowerCut
        inode = self.open_files[fd][1]
        if inode is None:
            for name, target in self.pending:
                apply(self.names, name, target)
            self.pending = []
        else:
            inode.synced = inode.written

    def close(self, fd: int) -> None:
        self.open_files.pop(fd)
        FILES.close(fd)

    def rename(self, old: str, new: str) -> None:
        if self.tick():
            raise PowerCut
        FILES.rename(old, new)
        inode = self.current.pop(os.path.basename(old))
        self.current[os.path.basename(new)] = inode
        self.pending += [(os.path.basename(new), inode), (os.path.basename(old), None)]

    def remove(self, path: StrPath) -> None:
        if self.tick():
            raise PowerCut
        FILES.remove(path)
        self.current.pop(os.path.basename(path))
        self.pending.append((os.path.basename(path), None))

    def after_the_cut(self, generator: np.random.Generator, folder: Path) -> None:
        """The folder as it may be after the cut: the synced names and some of the later changes, each file in some state."""
        names = dict(self.names)
        for name, target in self.pending:
            if generator.random() < 0.5:
                apply(names, name, target)
        os.makedirs(folder)
        for name, inode in names.items():
            with open(os.path.join(folder, name), "wb") as file:
                file.write(inode.after_the_cut(generator))
        for fd in self.open_files:
            with contextlib.suppress(OSError):  # LOCK may be closed already
                os.close(fd)


def apply(names: dict[str, Inode], name: str, target: Inode | None) -> None:
    if target is None:
        names.pop(name, None)
    else:
        names[name] = target


def on_disk(disk: Disk, folder: str) -> None:
    """Treat the files of a folder as synced, as after a start of the machine."""
    for name in os.listdir(folder):
        inode = Inode()
        inode.written = inode.synced = read_file(os.path.join(folder, name)).tobytes()
        disk.names[name] = disk.current[name] = inode
