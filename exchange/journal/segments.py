"""The format of the journal on disk, and how its end is judged after a crash. Reads only.

The journal is a folder of segments, 00000001.journal, 00000002.journal ... Each process that opens the journal
begins a new one, and begins another when one is full. A segment is a header and then frames; a frame is a header and a
block of COMMAND rows. Integers are little-endian.

Segment header, 64 bytes                       Frame header, 32 bytes
  4 magic "QIEE"                                 4 crc        CRC-32C of the next 28 bytes
  1 format version                               4 body_crc   CRC-32C of the rows
  1 flags: 1 volatile (written without fsync)    4 link       crc of the frame before, or of the segment's header
  2 version of the engine's semantics            2 kind       COMMANDS or CLOSE
  4 segment number                               2 rows       0 to ROWS_PER_FRAME
  4 epoch: counts openings of the journal        8 sequence   of the first row; CLOSE: the next to be written
  8 sequence of the first command                8 durable    highest sequence known synced when this was written
  4 chain: crc of the last COMMANDS frame before
 32 hash of the configuration
  4 crc        CRC-32C of the 60 bytes before

Each part guards against an accident:
- `link` binds each frame to all before it: a frame that was moved, repeated, or belongs to another journal is valid by
  itself, but does not link. `sequence` guards the same order of commands: 1, 2, 3 ... without gap.
- The frame header has a CRC of its own, because its length decides whether a bad end is a frame that was cut short by a
  crash (it was never acknowledged: drop it) or a frame that has rotted (it may have been acknowledged: refuse).
- `durable` is the watermark: a later frame that says "all to 700 is synced" proves that a damaged frame at 650 was
  acknowledged. A checksum alone cannot show that.
- Headers and rows are multiples of 16 bytes, so one frame header in 32 straddles two disk sectors. Where a power cut keeps
  only its first half, that half still names the frame before, and zeros follow it, the sequence among them. No good frame
  or row has the sequence 0, so such an end was never written. Where a power cut keeps all but the last sector, and that
  sector has less than a row in it, the end is SUSPECT instead of torn: no data is at risk, but an operator must confirm.
- The rows of a frame are counted in 16 bits and ROWS_PER_FRAME is 32,768, so a damaged length can never make the reader
  ask for more than 7 MiB. (3.5 MiB a full frame: one frame is one batch of the runner, tens of thousands of rows under load,
  and one fsync; splitting such a batch into frames of 64 KiB would buy nothing but headers.)

What `examine` finds where the good frames end, together with what proves that more was once there, selects a row of
`Finding`, the recovery table:

    examination = examine(folder)
    examination.verdict.finding            # Finding.CUT_SHORT
    examination.verdict.finding.decision   # Decision.TORN
"""

import math
import os
import re
import struct
from dataclasses import dataclass, field
from enum import Enum, IntEnum

import numpy as np
from crc32c import crc32c

from exchange.journal.files import FILES, Files, StrPath
from matching.records import COMMAND

MAGIC = b"QIEE"
FORMAT_VERSION = 2
ENGINE_VERSION = 2  # raise it when the same commands would no longer give the same events
VOLATILE = 1  # flag of the segment header
SEGMENT_HEADER = struct.Struct("<4sBBHIIqI32sI")
FRAME_HEADER = struct.Struct("<IIIHHqq")
COMMANDS, CLOSE = 0x4D43, 0x4C43
ROWS_PER_FRAME = 32_768
SECTOR = 512  # bytes that a disk writes as a whole or not at all
_FRAME_FIELDS = np.dtype(
    [
        ("crc", "<u4"),
        ("body_crc", "<u4"),
        ("link", "<u4"),
        ("kind", "<u2"),
        ("rows", "<u2"),
        ("sequence", "<i8"),
        ("durable", "<i8"),
    ]
)
_FRAME_STEP = math.gcd(FRAME_HEADER.size, COMMAND.itemsize)  # frames begin at multiples of it
_SEGMENT_NAME = re.compile(r"(\d{8})\.journal")


class Decision(IntEnum):
    """What recovery does. The value is the exit code of `qiee journal verify`, and of a hub that refuses to start."""

    CLEAN = 0  # go on
    TORN = 2  # drop the unfinished end, which was never acknowledged, and go on
    SUSPECT = 5  # refuse; an operator may accept the loss (repair)
    CORRUPT = 6  # refuse; commands that were acknowledged are damaged or missing
    TOO_NEW = 7  # refuse; a program of another version, mostly a newer one, wrote this


class Found(Enum):
    """What follows the last good frame."""

    NOTHING = "there is no segment"
    WHOLE = "the file ends after a whole frame"
    CLOSED = "the file ends with a close marker"
    SHORT = "the file ends inside a frame"
    ZEROS = (
        "from a sector's edge or the frame's start to the end of the file all is zero, the frame's last row at least"
    )
    DAMAGED = "a frame's checksum is wrong"
    MISPLACED = "a valid frame or segment that is not the successor of the one before"
    BAD_HEADER = "a segment header is not one"
    MISSING = "a segment is not there"
    NEWER = "a segment of another format"


class Proof(Enum):
    """What proves that the journal once held more."""

    NONE = "nothing"
    LATER = "a valid frame stands further on, but none says that what is bad had been synced"
    DURABLE = "a later frame, close marker, segment or snapshot says that what is bad or missing had been synced"


_ANY = tuple(Proof)


class Finding(Enum):
    """The recovery table, one member a row: what is found, what proves that there was more, what is done, in words.

    Two deliberate differences from "anything valid later means corrupt": a later frame without a covering watermark
    is LOST_UNSYNCED, because a power cut may keep the second of two unsynced frames and lose the first; and zeros count
    as unwritten only if they cover a whole row or the sequence in the header, so that no single flipped byte can turn a
    frame that has rotted into a torn one.
    """

    EMPTY = Found.NOTHING, (Proof.NONE,), Decision.CLEAN, "a new journal"
    STOPPED = Found.CLOSED, (Proof.NONE,), Decision.CLEAN, "closed in good order"
    KILLED = Found.WHOLE, (Proof.NONE,), Decision.CLEAN, "not closed; every frame is whole"
    CUT_SHORT = Found.SHORT, (Proof.NONE,), Decision.TORN, "the last frame was never finished"
    UNWRITTEN = Found.ZEROS, (Proof.NONE,), Decision.TORN, "the last frame's sectors were never written"
    DAMAGED_END = (
        Found.DAMAGED,
        (Proof.NONE,),
        Decision.SUSPECT,
        ("the last frame is damaged; nothing shows whether it was acknowledged"),
    )
    LOST_UNSYNCED = (
        Found.DAMAGED,
        (Proof.LATER,),
        Decision.SUSPECT,
        (
            "a frame is damaged before one that was written in the same breath; nothing shows whether they were acknowledged"
        ),
    )
    DAMAGED_DURABLE = Found.DAMAGED, (Proof.DURABLE,), Decision.CORRUPT, "a frame that was acknowledged is damaged"
    CUT_DURABLE = Found.SHORT, (Proof.DURABLE,), Decision.CORRUPT, "a frame that was acknowledged is cut short"
    ZEROED_DURABLE = Found.ZEROS, (Proof.DURABLE,), Decision.CORRUPT, "a frame that was acknowledged is zeroed"
    ENDS_EARLY = Found.WHOLE, (Proof.DURABLE,), Decision.CORRUPT, "commands that were acknowledged are missing"
    CLOSED_EARLY = Found.CLOSED, (Proof.DURABLE,), Decision.CORRUPT, "commands that were acknowledged are missing"
    ALL_GONE = Found.NOTHING, (Proof.DURABLE,), Decision.CORRUPT, "a snapshot is there, but its journal is not"
    SEGMENT_MISSING = Found.MISSING, _ANY, Decision.CORRUPT, "a segment is missing"
    OUT_OF_PLACE = Found.MISPLACED, _ANY, Decision.CORRUPT, "what stands here does not follow what stands before it"
    HEADER_DAMAGED = Found.BAD_HEADER, _ANY, Decision.CORRUPT, "the segment's header is damaged"
    NEWER_FORMAT = (
        Found.NEWER,
        _ANY,
        Decision.TOO_NEW,
        f"of another version than this program, which reads format {FORMAT_VERSION}",
    )

    def __init__(self, found: Found, proofs: tuple[Proof, ...], decision: Decision, text: str):
        self.found, self.proofs, self.decision, self.text = found, proofs, decision, text

    @staticmethod
    def of(found: Found, proof: Proof) -> "Finding":
        """The row for what was found."""
        return next(row for row in Finding if row.found is found and proof in row.proofs)


@dataclass(frozen=True)
class Verdict:
    """A row of the table, with where and what."""

    finding: Finding
    path: str  # file in which the good frames end
    offset: int  # byte at which they end
    sequence: int  # first command that is missing
    detail: str = ""  # checksums, versions, ranges

    @property
    def decision(self) -> Decision:
        return self.finding.decision

    def __str__(self) -> str:
        text = f"{self.decision.name}: {self.path}, offset {self.offset}, sequence {self.sequence}: {self.finding.text}"
        return f"{text} ({self.detail})" if self.detail else text


@dataclass(frozen=True)
class Header:
    """A segment's header."""

    number: int
    epoch: int
    first_sequence: int
    chain: int
    config_hash: bytes
    volatile: bool = False
    engine_version: int = ENGINE_VERSION
    version: int = FORMAT_VERSION

    def pack(self) -> bytes:
        """The 64 bytes of the file."""
        head = SEGMENT_HEADER.pack(
            MAGIC,
            self.version,
            VOLATILE if self.volatile else 0,
            self.engine_version,
            self.number,
            self.epoch,
            self.first_sequence,
            self.chain,
            self.config_hash,
            0,
        )[:-4]
        return head + struct.pack("<I", crc32c(head))


@dataclass
class Segment:
    """A segment as far as its frames are good."""

    path: str
    header: Header
    size: int  # bytes of the file
    offset: int = SEGMENT_HEADER.size  # where the good frames end
    link: int = 0  # crc that the next frame must name
    sequence: int = 0  # last good command
    chain: int = 0  # crc of the last good COMMANDS frame, here or before
    closed: bool = False
    frames: list[tuple[int, int, int, int]] = field(default_factory=list)  # offset, rows, first sequence, crc


@dataclass(frozen=True)
class Examination:
    """The segments that are good, the last of them perhaps in part, and the verdict on what follows."""

    segments: list[Segment]
    verdict: Verdict

    @property
    def first_sequence(self) -> int:
        return self.segments[0].header.first_sequence if self.segments else 1

    @property
    def sequence(self) -> int:
        return self.segments[-1].sequence if self.segments else 0

    def chain_at(self, sequence: int) -> int | None:
        """The crc of the frame that ends with this command (before the first: 0); None if no frame ends there."""
        for segment in self.segments:
            if segment.header.first_sequence - 1 == sequence:
                return segment.header.chain
            if segment.header.first_sequence <= sequence <= segment.sequence:
                return next((crc for _, rows, first, crc in segment.frames if first + rows - 1 == sequence), None)
        return None


def pack_frame(
    kind: int, rows: bytes | bytearray | memoryview, count: int, link: int, sequence: int, durable: int
) -> tuple[bytes, int]:
    """A frame's header for these rows, and its crc, which the next frame names as its link."""
    packed = FRAME_HEADER.pack(0, crc32c(rows), link, kind, count, sequence, durable)
    crc = crc32c(packed[4:])
    return struct.pack("<I", crc) + packed[4:], crc


def segment_paths(folder: StrPath, files: Files = FILES) -> list[tuple[int, str]]:
    """Number and path of each segment of the folder, in order."""
    matches = (_SEGMENT_NAME.fullmatch(name) for name in files.names(folder))
    return sorted((int(match[1]), os.path.join(folder, match[0])) for match in matches if match)


def examine(folder: StrPath, files: Files = FILES, snapshot_sequence: int = 0) -> Examination:
    """Check every byte of a journal and judge its end.

    snapshot_sequence  last command that a valid snapshot covers: the journal must reach it, and may begin after it
    Errors             OSError where a file cannot be read; damage is a verdict, never an exception
    """
    paths = segment_paths(folder, files)
    segments: list[Segment] = []
    for at, (number, path) in enumerate(paths):
        content = files.read(path)
        before = segments[-1] if segments else None
        verdict = _judge_header(content, number, path, before, snapshot_sequence)
        if verdict:
            return Examination(segments, verdict)
        segment, found, detail = follow(content, path)
        segments.append(segment)
        last = at == len(paths) - 1
        if last or found not in (Found.WHOLE, Found.CLOSED):
            proof, why = _proof(content, segment, found, snapshot_sequence, last)
            return Examination(
                segments,
                Verdict(
                    Finding.of(found, proof),
                    path,
                    segment.offset,
                    segment.sequence + 1,
                    "; ".join(filter(None, (detail, why))),
                ),
            )
    proof = Proof.DURABLE if snapshot_sequence else Proof.NONE
    detail = f"commands 1 to {snapshot_sequence} are missing" if snapshot_sequence else ""
    return Examination([], Verdict(Finding.of(Found.NOTHING, proof), os.fspath(folder), 0, 1, detail))


def read_header(content: np.ndarray) -> Header | None:
    """The header of a segment, whatever its version; None if that is not what the bytes are."""
    if len(content) < SEGMENT_HEADER.size:
        return None
    head = content[: SEGMENT_HEADER.size].tobytes()
    magic, version, flags, engine, number, epoch, first, chain, config_hash, crc = SEGMENT_HEADER.unpack(head)
    if magic != MAGIC or crc32c(head[:-4]) != crc or version < 1:
        return None
    return Header(number, epoch, first, chain, config_hash, bool(flags & VOLATILE), engine, version)


def _judge_header(
    content: np.ndarray, number: int, path: str, before: Segment | None, snapshot_sequence: int
) -> Verdict | None:
    """What is wrong with a segment's header, by itself or as the successor of the segment before."""
    sequence = before.sequence + 1 if before else 1
    header = read_header(content)
    if header is None:
        return Verdict(Finding.HEADER_DAMAGED, path, 0, sequence)
    if header.version != FORMAT_VERSION:
        return Verdict(Finding.NEWER_FORMAT, path, 0, sequence, f"format {header.version}")
    gap = f"commands {sequence} to {header.first_sequence - 1} are missing"
    if before is None:
        if header.first_sequence > snapshot_sequence + 1:
            return Verdict(Finding.SEGMENT_MISSING, path, 0, sequence, f"{gap} and no valid snapshot covers them")
    elif number != before.header.number + 1:
        return Verdict(Finding.SEGMENT_MISSING, path, 0, sequence, gap)
    elif header.first_sequence > sequence:
        return Verdict(Finding.ENDS_EARLY, before.path, before.offset, sequence, gap)
    elif (header.first_sequence, header.chain) != (sequence, before.chain) or header.epoch < before.header.epoch:
        return Verdict(
            Finding.OUT_OF_PLACE,
            path,
            0,
            sequence,
            (
                f"begins with sequence {header.first_sequence}, chain {header.chain:#010x}, epoch {header.epoch}; "
                f"expected {sequence}, {before.chain:#010x}, at least {before.header.epoch}"
            ),
        )
    if header.number != number:
        return Verdict(Finding.OUT_OF_PLACE, path, 0, sequence, f"is segment {header.number} by its header")
    return None


def follow(content: np.ndarray, path: str) -> tuple[Segment, Found, str]:
    """Go from frame to frame while they are good; the segment up to there, what stands there, and the figures of it.

    The segment's header must be good.
    """
    header = read_header(content)
    assert header is not None
    view, size, head = content.data, len(content), FRAME_HEADER.size
    segment = Segment(
        path,
        header,
        size,
        link=int.from_bytes(view[60:64], "little"),
        sequence=header.first_sequence - 1,
        chain=header.chain,
    )
    while segment.offset < size:
        offset = segment.offset
        if segment.closed:
            return segment, Found.MISPLACED, "after the close marker"
        if size - offset < head:
            return segment, Found.SHORT, f"{size - offset} of the {head} bytes of a frame header"
        crc, body_crc, link, kind, rows, first, _ = FRAME_HEADER.unpack_from(view, offset)
        actual = crc32c(view[offset + 4 : offset + head])
        if actual != crc:
            middle = offset + head // 2  # the sequence follows it
            begun = middle % SECTOR == 0 and link == segment.link and _sensible(kind, rows)
            found = Found.DAMAGED if content[middle if begun else offset :].any() else Found.ZEROS
            return segment, found, f"frame header's CRC-32C is {crc:#010x}, expected {actual:#010x}"
        if (link, first) != (segment.link, segment.sequence + 1) or not _sensible(kind, rows):
            return (
                segment,
                Found.MISPLACED,
                (
                    f"kind {kind:#06x}, {rows} rows from sequence {first}, link {link:#010x}; expected "
                    f"sequence {segment.sequence + 1}, link {segment.link:#010x}"
                ),
            )
        end = offset + head + rows * COMMAND.itemsize
        if end > size:
            return segment, Found.SHORT, f"{size - offset} of the {end - offset} bytes of a frame"
        actual = crc32c(view[offset + head : end])
        if actual != body_crc:
            found = Found.ZEROS if _unwritten(content, offset, end) else Found.DAMAGED
            return segment, found, f"CRC-32C of the rows is {actual:#010x}, expected {body_crc:#010x}"
        segment.offset, segment.link = end, crc
        if kind == CLOSE:
            segment.closed = True
        else:
            segment.frames.append((offset, rows, first, crc))
            segment.sequence, segment.chain = first + rows - 1, crc
    return segment, Found.CLOSED if segment.closed else Found.WHOLE, ""


def _sensible(kind: int, rows: int) -> bool:
    return 0 < rows <= ROWS_PER_FRAME if kind == COMMANDS else kind == CLOSE and rows == 0


def _unwritten(content: np.ndarray, offset: int, end: int) -> bool:
    """Is all zero from a sector's edge within the frame, which ends at `end`, to the end of the file?"""
    last_byte = offset + int(np.flatnonzero(content[offset:])[-1])
    edge = -(-(last_byte + 1) // SECTOR) * SECTOR
    return end - edge >= COMMAND.itemsize


def _proof(
    content: np.ndarray, segment: Segment, found: Found, snapshot_sequence: int, last: bool
) -> tuple[Proof, str]:
    """The proof that the segment once held more than its good frames, and where it is."""
    sequence = segment.sequence + 1
    if not last:
        return Proof.DURABLE, "a later segment exists"
    if snapshot_sequence >= sequence:
        return Proof.DURABLE, f"a snapshot covers sequence {snapshot_sequence}"
    if found is not Found.DAMAGED:
        return Proof.NONE, ""
    later = _later_frames(content, segment)
    if not later:
        return Proof.NONE, ""
    offset, durable = max(later, key=lambda frame: frame[1])
    if durable >= sequence:
        return Proof.DURABLE, f"the frame at offset {offset} says that sequence {durable} was durable"
    return Proof.LATER, f"a valid frame stands at offset {offset}"


def _later_frames(content: np.ndarray, segment: Segment) -> list[tuple[int, int]]:
    """Offset and watermark of each frame header that is valid beyond the damage.

    If the damaged frame's own header is good its rows are passed over: no bytes that a client chose are taken for a frame.
    """
    view, head = content.data, FRAME_HEADER.size
    crc, _, _, _, rows, _, _ = FRAME_HEADER.unpack_from(view, segment.offset)
    start = segment.offset + head
    if crc == crc32c(view[segment.offset + 4 : start]):
        start += rows * COMMAND.itemsize
    found = []
    for first in range(start, start + head, _FRAME_STEP):
        count = max(0, (len(content) - first) // head)
        candidates = content[first : first + count * head].view(_FRAME_FIELDS)
        likely = np.flatnonzero(
            np.isin(candidates["kind"], (COMMANDS, CLOSE))
            & (candidates["sequence"] > segment.sequence)
            & (candidates["durable"] < candidates["sequence"])
        )
        for at in likely.tolist():
            offset = first + at * head
            if crc32c(view[offset + 4 : offset + head]) == candidates["crc"][at]:
                found.append((offset, int(candidates["durable"][at])))
    return found
