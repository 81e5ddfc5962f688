"""The recovery table: every way in which a journal can end, and the decision for it."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from exchange.journal.segments import (
    CLOSE,
    COMMANDS,
    FRAME_HEADER,
    ROWS_PER_FRAME,
    SECTOR,
    SEGMENT_HEADER,
    Decision,
    Finding,
    Found,
    Header,
    Proof,
    Verdict,
    examine,
    pack_frame,
)
from matching.records import COMMAND
from tests.exchange.journals import commands, contents, filled, in_memory

HEAD, FRAME, ROW = SEGMENT_HEADER.size, FRAME_HEADER.size, COMMAND.itemsize
NAME = "00000001.journal"
BLOCKS = [1, 7, 2, 30, 5, 1, 16, 3, 9, 12, 1, 40, 4, 20, 6, 2, 1]
# Where each frame of BLOCKS begins, and where the last ends.
EDGES = [HEAD + at for at in itertools.accumulate((FRAME + ROW * count for count in BLOCKS), initial=0)]
SEQUENCES = list(itertools.accumulate(BLOCKS, initial=0))
STRADDLING = HEAD + FRAME + 31 * ROW  # where a frame begins whose header lies in two sectors


def judge(content: bytes | bytearray | dict[str, bytes], snapshot_sequence: int = 0) -> Verdict:
    segments = content if isinstance(content, dict) else {NAME: content}
    return examine("folder", in_memory(segments), snapshot_sequence).verdict


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """BLOCKS, synced one by one, and closed."""
    folder = tmp_path_factory.mktemp("closed")
    filled(folder, BLOCKS).close()
    content = contents(folder)[NAME]
    assert len(content) == EDGES[-1] + FRAME
    return content


@pytest.fixture(scope="module")
def killed(closed: bytes) -> bytes:
    """The same, as a killed process leaves it."""
    return closed[:-FRAME]


@pytest.fixture(scope="module")
def volley(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Three frames of 10 rows, the last two between two syncs; not closed."""
    folder = tmp_path_factory.mktemp("volley")
    journal = filled(folder, [10])
    journal.append(commands(11, 10))
    journal.append(commands(21, 10))
    journal.close()
    return contents(folder)[NAME][:-FRAME]


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Three segments of three openings, the last one killed."""
    folder = tmp_path_factory.mktemp("three")
    for blocks in ([3, 4], [5, 6], [7, 8]):
        filled(folder, blocks).close()
    segments = contents(folder)
    segments["00000003.journal"] = segments["00000003.journal"][:-FRAME]
    return segments


def changed(content: bytes, at: int, by: bytes) -> bytes:
    return content[:at] + by + content[at + len(by) :]


def frame(content: bytes, number: int) -> bytes:
    return content[EDGES[number] : EDGES[number + 1]]


def test_every_pair_of_what_is_found_and_what_is_proved_has_at_most_one_row() -> None:
    pairs = [(row.found, proof) for row in Finding for proof in row.proofs]
    assert len(pairs) == len(set(pairs))
    # Nothing follows the end of a file, so "a later frame" cannot be proof there.
    impossible = {
        (found, Proof.LATER) for found in (Found.NOTHING, Found.WHOLE, Found.CLOSED, Found.SHORT, Found.ZEROS)
    }
    assert set(pairs) == set(itertools.product(Found, Proof)) - impossible
    assert all(Finding.of(row.found, proof) is row for row in Finding for proof in row.proofs)


def test_only_unacknowledged_commands_are_dropped_without_an_operator() -> None:
    torn = {row for row in Finding if row.decision is Decision.TORN}
    assert torn == {Finding.CUT_SHORT, Finding.UNWRITTEN}
    assert all(row.decision in (Decision.CORRUPT, Decision.TOO_NEW) for row in Finding if Proof.DURABLE in row.proofs)


def test_every_length_of_a_journal_gives_the_decision_of_the_table(closed: bytes) -> None:
    for length in range(len(closed) + 1):
        verdict = judge(closed[:length])
        whole = sum(edge <= length for edge in EDGES) - 1
        if length < HEAD:
            expected = Finding.HEADER_DAMAGED, 0, 1
        elif length == len(closed):
            expected = Finding.STOPPED, length, SEQUENCES[-1] + 1
        else:
            finding = Finding.KILLED if length in EDGES else Finding.CUT_SHORT
            expected = finding, EDGES[whole], SEQUENCES[whole] + 1
        assert (verdict.finding, verdict.offset, verdict.sequence) == expected, length


@pytest.mark.compiled
@pytest.mark.parametrize("mask", [0xFF, 0x01])
def test_every_flipped_byte_is_noticed_and_nothing_acknowledged_is_dropped(killed: bytes, mask: int) -> None:
    content = bytearray(killed)
    for at in range(len(content)):
        content[at] ^= mask
        verdict = judge(content)
        content[at] ^= mask
        number = sum(edge <= at for edge in EDGES) - 1
        if at < HEAD:
            expected = Finding.HEADER_DAMAGED, 0, 1
        elif number == len(BLOCKS) - 1:
            expected = Finding.DAMAGED_END, EDGES[-2], SEQUENCES[-2] + 1
        else:
            expected = Finding.DAMAGED_DURABLE, EDGES[number], SEQUENCES[number] + 1
        assert (verdict.finding, verdict.offset, verdict.sequence) == expected, at


def test_a_close_marker_proves_the_last_frame_and_is_itself_only_suspect(closed: bytes) -> None:
    for at in range(EDGES[-2], len(closed)):
        expected = Finding.DAMAGED_DURABLE if at < EDGES[-1] else Finding.DAMAGED_END
        assert judge(changed(closed, at, bytes([closed[at] ^ 0xFF]))).finding is expected


def test_the_verdict_names_file_offset_sequence_and_both_checksums(killed: bytes) -> None:
    text = str(judge(changed(killed, EDGES[3] + FRAME + 5, b"\xee")))
    assert text.startswith(
        "CORRUPT: folder/00000001.journal, offset 1280, sequence 11: a frame that was acknowledged is damaged"
    )
    assert "CRC-32C of the rows is 0x" in text and "expected 0x" in text and "says that sequence" in text


def test_of_two_frames_written_between_two_syncs_the_second_does_not_prove_the_first(volley: bytes) -> None:
    size = FRAME + 10 * ROW
    first, second, third = (HEAD + size * number + FRAME + 500 for number in range(3))
    assert judge(changed(volley, first, b"\xee")).finding is Finding.DAMAGED_DURABLE
    assert judge(changed(volley, second, b"\xee")).finding is Finding.LOST_UNSYNCED
    assert judge(changed(volley, second - 500, bytes(8))).finding is Finding.LOST_UNSYNCED
    assert judge(changed(volley, second - 500 - FRAME, bytes(8))).finding is Finding.LOST_UNSYNCED
    assert judge(changed(volley, third, b"\xee")).finding is Finding.DAMAGED_END


def test_zeros_from_a_sector_edge_on_are_an_unwritten_end(killed: bytes) -> None:
    content = killed[: EDGES[11]] + frame(killed, 11)  # ends with 40 rows: 4,512 bytes
    for edge in range(EDGES[11] // SECTOR * SECTOR + SECTOR, len(content) - ROW, SECTOR):
        verdict = judge(content[:edge] + bytes(len(content) - edge))
        assert (verdict.finding, verdict.offset) == (Finding.UNWRITTEN, EDGES[11])
        assert judge(content[: edge - 9] + b"\xee" + content[edge - 8 :]).finding is Finding.DAMAGED_END
    assert judge(content[: EDGES[11]] + bytes(len(content) - EDGES[11])).finding is Finding.UNWRITTEN
    assert judge(content + bytes(100_000)).finding is Finding.UNWRITTEN


@pytest.fixture(scope="module")
def straddling(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """31 rows and 7, killed. The header of the second frame is in two sectors, one half in each."""
    folder = tmp_path_factory.mktemp("straddling")
    filled(folder, [31, 7]).close()
    assert (STRADDLING + FRAME // 2) % SECTOR == 0
    return contents(folder)[NAME][:-FRAME]


def test_half_a_header_with_nothing_behind_it_is_an_unwritten_end_at_a_sector_edge(
    straddling: bytes, killed: bytes, tmp_path: Path
) -> None:
    middle, size = STRADDLING + FRAME // 2, len(straddling)
    for zeros in (FRAME // 2, FRAME, size - middle, 100_000):
        verdict = judge(straddling[:middle] + bytes(zeros))
        assert (verdict.finding, verdict.offset, verdict.sequence) == (Finding.UNWRITTEN, STRADDLING, 32)
        assert judge(straddling[:middle] + bytes(zeros), 31).finding is Finding.UNWRITTEN
        assert judge(straddling[:middle] + bytes(zeros), 32).finding is Finding.ZEROED_DURABLE
        link_and_kind, behind = (
            range(STRADDLING + 8, STRADDLING + 14),
            range(middle, middle + zeros, 1 if zeros < size else 997),
        )
        for at in (*link_and_kind, *behind):  # half of another frame, or not all that was written
            spoilt = bytearray(straddling[:middle] + bytes(zeros))
            spoilt[at] ^= 0x81
            assert judge(spoilt).finding is Finding.DAMAGED_END, at
    for length in range(STRADDLING + 1, size):
        cut = straddling[:middle][:length] + bytes(max(0, length - middle))
        assert judge(cut).decision is Decision.TORN, length
    assert judge(killed[: EDGES[3] + FRAME // 2] + bytes(1_000)).finding is Finding.DAMAGED_END  # no edge is there
    filled(tmp_path, [31]).close()  # a close marker in that place
    closed = contents(tmp_path)[NAME]
    assert judge(closed).finding is Finding.STOPPED
    assert judge(closed[:middle] + bytes(FRAME // 2)).finding is Finding.UNWRITTEN


@pytest.mark.parametrize("mask", [0xFF, 0x01])
def test_no_flipped_byte_makes_a_header_in_two_sectors_an_unwritten_end(straddling: bytes, mask: int) -> None:
    """Not even in a frame of one row in which only the sequence is not 0."""
    rows = np.zeros(1, COMMAND)
    rows["sequence"] = 32
    link = int.from_bytes(straddling[HEAD : HEAD + 4], "little")
    packed, _ = pack_frame(COMMANDS, rows.tobytes(), 1, link, 32, 0)
    for content in (straddling, straddling[:STRADDLING] + packed + rows.tobytes()):
        assert judge(content).finding is Finding.KILLED
        for at in range(STRADDLING, len(content)):
            assert judge(changed(content, at, bytes([content[at] ^ mask]))).finding is Finding.DAMAGED_END, at


def test_a_power_cut_that_keeps_the_sectors_before_some_edge_is_suspect_only_where_less_than_a_row_is_missing(
    killed: bytes,
) -> None:
    for number in range(len(BLOCKS)):
        begin, end = EDGES[number], EDGES[number + 1]
        for edge in range(begin // SECTOR * SECTOR + SECTOR, end, SECTOR):
            expected = Finding.UNWRITTEN if edge < begin + FRAME or end - edge >= ROW else Finding.DAMAGED_END
            assert judge(killed[:edge] + bytes(end - edge)).finding is expected, (number, edge)


def test_zeros_that_do_not_cover_a_row_are_not_taken_for_unwritten() -> None:
    """A row may end in zeros: kind 0, index 0, session 0. One flipped byte before them must not drop it."""
    rows = np.zeros(9, COMMAND)  # 80 bytes of the last row are in the third sector, all zero
    rows["sequence"] = np.arange(1, 10)
    header = Header(1, 1, 1, 0, bytes(32)).pack()
    packed, _ = pack_frame(COMMANDS, rows.tobytes(), 9, int.from_bytes(header[60:], "little"), 1, 0)
    content = header + packed + rows.tobytes()
    assert len(content) == 2 * SECTOR + 80 and not any(content[2 * SECTOR :])
    assert judge(content).finding is Finding.KILLED
    for at in range(HEAD, len(content)):
        for mask in (1, 0xFF):
            assert judge(changed(content, at, bytes([content[at] ^ mask]))).finding is Finding.DAMAGED_END, at


def test_a_zeroed_sector_in_the_middle_is_corrupt(killed: bytes) -> None:
    for at in range(SECTOR, EDGES[-4] - SECTOR, 64):
        assert judge(changed(killed, at, bytes(SECTOR))).finding is Finding.DAMAGED_DURABLE


def test_a_snapshot_proves_what_the_journal_has_lost(closed: bytes, killed: bytes) -> None:
    last = SEQUENCES[-1]
    assert judge(killed, last).finding is Finding.KILLED
    assert judge(killed, last + 1).finding is Finding.ENDS_EARLY
    assert judge(closed, last + 1).finding is Finding.CLOSED_EARLY
    assert judge(killed[:-1], last).finding is Finding.CUT_DURABLE
    assert judge(killed[: EDGES[-2]] + bytes(300), last).finding is Finding.ZEROED_DURABLE
    assert judge(changed(killed, len(killed) - 1, b"\xee"), last).finding is Finding.DAMAGED_DURABLE
    assert judge({}, 5).finding is Finding.ALL_GONE
    assert judge({}).finding is Finding.EMPTY


@pytest.mark.parametrize("seed", range(300))
def test_frames_out_of_place_are_never_accepted(
    killed: bytes, closed: bytes, three: dict[str, bytes], seed: int
) -> None:
    """Swapped, repeated, left out, taken from another journal, or old bytes where a frame of the same size was."""
    generator = np.random.default_rng(seed)
    one, other = sorted(generator.choice(len(BLOCKS) - 1, 2, replace=False).tolist())
    frames = [frame(killed, number) for number in range(len(BLOCKS))]
    kind = ("swap", "repeat", "leave out", "splice", "repeat at the end", "after close", "stale sector")[seed % 7]
    place = one
    if kind == "swap":
        frames[one], frames[other] = frames[other], frames[one]
    elif kind == "repeat":
        frames.insert(other, frames[one])
        place = other
    elif kind == "leave out":
        del frames[one]
    elif kind == "splice":
        stranger = commands(SEQUENCES[one] + 1, BLOCKS[one])
        packed, _ = pack_frame(
            COMMANDS,
            stranger.tobytes(),
            len(stranger),
            int(generator.integers(1 << 32)),
            SEQUENCES[one] + 1,
            SEQUENCES[one],
        )
        frames[one] = packed + stranger.tobytes()
    elif kind == "repeat at the end":
        frames.append(frames[-1])
        place = len(BLOCKS)
    elif kind == "after close":
        verdict = judge(closed + frames[one])
        assert (verdict.finding, verdict.offset) == (Finding.OUT_OF_PLACE, len(closed))
        return
    else:
        sector = int(generator.integers(1, EDGES[-4] // SECTOR)) * SECTOR
        verdict = judge(changed(killed, sector, (bytes(32) + killed)[:SECTOR]))
        assert verdict.decision is Decision.CORRUPT
        return
    verdict = judge(killed[:HEAD] + b"".join(frames))
    assert verdict.finding is Finding.OUT_OF_PLACE and verdict.decision is Decision.CORRUPT
    assert (verdict.offset, verdict.sequence) == (EDGES[place], SEQUENCES[place] + 1)


@pytest.mark.parametrize(
    ("kind", "rows"),
    [(COMMANDS, 0), (CLOSE, 1), (0x1234, 1), (COMMANDS, ROWS_PER_FRAME + 1)],
    ids=["no rows", "close with rows", "unknown kind", "too many rows"],
)
def test_a_frame_that_no_version_of_this_program_writes_is_refused(killed: bytes, kind: int, rows: int) -> None:
    link = int.from_bytes(killed[EDGES[-2] : EDGES[-2] + 4], "little")
    packed, _ = pack_frame(kind, commands(1, rows).tobytes(), rows, link, SEQUENCES[-1] + 1, SEQUENCES[-1])
    assert judge(killed + packed).finding is Finding.OUT_OF_PLACE


def test_segments_follow_each_other(three: dict[str, bytes]) -> None:
    names = list(three)
    assert judge(three).finding is Finding.KILLED
    without = {name: three[name] for name in (names[0], names[2])}
    assert judge(without).finding is Finding.SEGMENT_MISSING and "commands 8 to 18 are missing" in str(judge(without))
    headless = {name: three[name] for name in names[1:]}
    assert judge(headless).finding is Finding.SEGMENT_MISSING and "commands 1 to 7 are missing" in str(judge(headless))
    assert judge(headless, 7).finding is Finding.KILLED
    early = judge(three | {names[1]: three[names[1]][: HEAD + FRAME + 5 * ROW]})
    assert early.finding is Finding.ENDS_EARLY and "commands 13 to 18 are missing" in str(early)
    assert judge(three | {names[1]: three[names[1]][:-40]}).finding is Finding.CUT_DURABLE
    assert judge(three | {names[0]: changed(three[names[0]], 200, b"\xee")}).finding is Finding.DAMAGED_DURABLE
    assert judge(three | {names[1]: changed(three[names[1]], 8, b"\xee")}).finding is Finding.HEADER_DAMAGED
    assert judge(three | {names[1]: b""}).finding is Finding.HEADER_DAMAGED


def test_a_segment_of_a_stale_writer_or_another_journal_is_refused(three: dict[str, bytes]) -> None:
    names = list(three)
    chain = examine("folder", in_memory({name: three[name] for name in names[:2]})).segments[-1].chain
    good = Header(3, 3, 19, chain, bytes(32))
    assert judge(three | {names[2]: good.pack()}).finding is Finding.KILLED
    for stranger in (
        Header(3, 1, 19, chain, bytes(32)),
        Header(3, 3, 19, chain ^ 1, bytes(32)),
        Header(3, 3, 18, chain, bytes(32)),
        Header(4, 3, 19, chain, bytes(32)),
    ):
        assert judge(three | {names[2]: stranger.pack()}).finding is Finding.OUT_OF_PLACE
    newer = judge(three | {names[2]: Header(3, 3, 19, chain, bytes(32), version=3).pack()})
    assert newer.finding is Finding.NEWER_FORMAT and "reads format 2" in str(newer) and "format 3" in str(newer)


def test_bytes_that_a_client_chose_are_never_read_as_a_frame(killed: bytes) -> None:
    """A row has 60 bytes that the client chooses. A forged close marker in them must not make a torn end corrupt."""
    forged, _ = pack_frame(CLOSE, b"", 0, 1, 1_000_000, 999_999)
    rows = commands(SEQUENCES[-1] + 1, 8)
    spoiled = bytearray(rows.tobytes())
    for row in range(8):
        spoiled[row * ROW + 32 : row * ROW + 64] = forged
    link = int.from_bytes(killed[EDGES[-2] : EDGES[-2] + 4], "little")
    packed, _ = pack_frame(COMMANDS, spoiled, 8, link, SEQUENCES[-1] + 1, SEQUENCES[-1])
    content = killed + packed + spoiled
    assert judge(content).finding is Finding.KILLED
    for length in range(len(killed) + 1, len(content)):
        assert judge(content[:length]).finding is Finding.CUT_SHORT
    assert judge(changed(content, len(content) - 1, b"\xee")).finding is Finding.DAMAGED_END


@pytest.mark.parametrize("seed", range(200))
def test_the_examination_accepts_any_bytes(killed: bytes, seed: int) -> None:
    generator = np.random.default_rng(seed)
    content = bytearray(killed)
    for _ in range(int(generator.integers(1, 6))):
        at, size = int(generator.integers(0, len(content))), int(generator.integers(1, 2_000))
        content[at : at + size] = generator.bytes(int(generator.integers(0, size + 1)))
    verdict = judge(content)
    assert verdict.finding in Finding and (verdict.sequence - 1) in SEQUENCES
