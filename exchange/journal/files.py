"""The few calls through which journal and snapshots reach the disk, so that a test can make any of them fail.

This is no abstraction of file systems: `FILES` holds the functions of the os module. journal.py and snapshot.py take a
Files as an argument; a test passes one with a call replaced:

    failing = dataclasses.replace(FILES, sync_data=lambda fd: raise_eio())
    Journal.open(folder, files=failing)
"""

import fcntl
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

StrPath = str | os.PathLike[str]  # a folder or file, as the os module takes it
WRITE_BYTES = 64 << 20  # one write call carries at most this; Linux itself stops just under 2 GiB


def read_file(path: StrPath, most: int | None = None) -> np.ndarray:
    """The bytes of a file, or the first of them, as uint8[n], writable and aligned as compiled code needs them."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = os.fstat(fd).st_size
        content = np.empty(size if most is None else min(size, most), np.uint8)
        view, at = content.data, 0
        while at < len(content):
            count = os.readv(fd, [view[at : at + WRITE_BYTES]])
            if not count:  # the file shrank while we read
                return content[:at]
            at += count
        return content
    finally:
        os.close(fd)


@dataclass(frozen=True)
class Files:
    """File calls, each with the meaning of the os function that is its default."""

    open: Callable[..., int] = os.open
    write: Callable[[int, Sequence[Any]], int] = os.writev
    sync_data: Callable[[int], None] = os.fdatasync
    sync: Callable[[int], None] = os.fsync
    close: Callable[[int], None] = os.close
    rename: Callable[[str, str], None] = os.replace
    remove: Callable[[StrPath], None] = os.unlink
    names: Callable[[StrPath], list[str]] = os.listdir
    read: Callable[..., np.ndarray] = read_file
    lock: Callable[[int, int], None] = fcntl.flock
    statvfs: Callable[[StrPath], os.statvfs_result] = os.statvfs


FILES = Files()


def write_all(files: Files, fd: int, buffers: Sequence[Any], size: int) -> None:
    """Write the buffers, `size` bytes in all, with one call. A short write is an error: the disk is full or failing."""
    written = files.write(fd, buffers)
    if written != size:
        raise OSError(f"short write: {written} of {size} bytes")


def sync_folder(files: Files, folder: StrPath) -> None:
    """Make the names in a folder durable. Without this a new or renamed file can vanish in a power cut."""
    fd = files.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        files.sync(fd)
    finally:
        files.close(fd)


def write_atomically(files: Files, path: str, buffers: Sequence[Any], durable: bool = True) -> int:
    """Write a file so that it exists whole or not at all: `path`.tmp, fsync, rename, fsync of the folder.

    buffers   C-contiguous bytes-like objects, written one after the other
    durable   False leaves out both fsyncs: safe against the death of the process, not of the machine
    Returns   an open descriptor, positioned at the end, for appending
    Errors    OSError; the old file of that name, if any, is then untouched
    """
    fd = files.open(path + ".tmp", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
    try:
        for buffer in buffers:
            view = memoryview(buffer).cast("B")
            for at in range(0, len(view), WRITE_BYTES):
                piece = view[at : at + WRITE_BYTES]
                write_all(files, fd, [piece], len(piece))
        if durable:
            files.sync(fd)
        files.rename(path + ".tmp", path)
        if durable:
            sync_folder(files, os.path.dirname(path))
        return fd
    except BaseException:
        files.close(fd)
        raise
