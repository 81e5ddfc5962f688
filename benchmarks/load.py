"""The client that benchmarks/gateway.py measures with: one websocket on a bare socket, and two ways to send.

    wire = Wire(port, "/ws/api/v2")
    wire.ask(b'{"method":"public/auth",...}')
    times = open_loop(wire, frames, schedule(10_000, rate=5_000, seed=7), first_id=1)

Open loop: each frame has an intended time of sending, which is known before the first one is sent. Its latency counts from
that time, whether or not client and hub were ready for it. So a stall of the hub counts for every order that was due in
it (which avoids coordinated omission). How late the client itself sent is recorded beside. Closed loop: a new frame is sent
when an answer has come.

The client does little work: frames are encoded and masked before the clock starts, and it reads only the number of an
answer. It has one thread and no event loop, and sleeps in select, which has a resolution of microseconds.
"""

import base64
import contextlib
import ctypes
import os
import select
import socket
import struct
import time
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from hdrh.histogram import HdrHistogram

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
PERCENTILES = (50.0, 90.0, 99.0, 99.9, 100.0)
_BUFFER = 1 << 22
_MASK = b"\x5a\xc3\x17\x99"
_LONGEST = 60_000_000_000  # ns
_SET_TIMER_SLACK = 29  # prctl: how much later than requested a sleep may end


class Wire:
    """A websocket to the hub.

    Errors    ConnectionError when the hub refuses the handshake, closes, or does not answer in time
    """

    def __init__(self, port: int, path: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray(_BUFFER)
        self._view = memoryview(self._buffer)
        self._begin = self._end = 0
        self._out = memoryview(b"")
        with contextlib.suppress(OSError, AttributeError):  # Linux; on other systems sleeps are a little longer
            ctypes.CDLL(None).prctl(_SET_TIMER_SLACK, 1)
        key = base64.b64encode(os.urandom(16)).decode()
        self._socket.sendall(
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        head = b""
        while b"\r\n\r\n" not in head:
            part = self._socket.recv(1)
            if not part:
                raise ConnectionError(f"the hub refused the websocket {path}: {head!r}")
            head += part
        if not head.startswith(b"HTTP/1.1 101 "):
            raise ConnectionError(f"the hub refused the websocket {path}: {head!r}")
        self._socket.setblocking(False)

    def ask(self, text: bytes, seconds: float = 10) -> bytes:
        """Send one text message and return the next message that comes."""
        self.send(frame(TEXT, text))
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for message in self.receive(0.1):
                return bytes(message)
        raise ConnectionError(f"no answer within {seconds} s to {text[:80]!r}")

    def send(self, frames: bytes) -> None:
        """Queue frames, and send at once what the socket accepts."""
        if self._out:
            self._out = memoryview(bytes(self._out) + frames)
        else:
            self._out = memoryview(frames)
        self._flush()

    def _flush(self) -> None:
        while self._out:
            try:
                self._out = self._out[self._socket.send(self._out) :]
            except BlockingIOError:
                return

    def receive(self, seconds: float) -> Iterator[memoryview]:
        """Messages that have come, after waiting at most so long for the first. Each is valid until the next is taken."""
        writing = [self._socket] if self._out else []
        readable, writable, _ = select.select([self._socket], writing, [], max(0.0, seconds))
        if writable:
            self._flush()
        if not readable:
            return
        if self._begin > _BUFFER // 2:
            self._buffer[: self._end - self._begin] = self._buffer[self._begin : self._end]
            self._begin, self._end = 0, self._end - self._begin
        count = self._socket.recv_into(self._view[self._end :])
        if not count:
            raise ConnectionError("the hub closed the connection")
        self._end += count
        yield from self._messages()

    def _messages(self) -> Iterator[memoryview]:
        buffer = self._buffer
        while self._end - self._begin >= 2:
            at = self._begin
            length = buffer[at + 1]
            start = at + 2
            if length == 126:
                start = at + 4
                length = int.from_bytes(buffer[at + 2 : start], "big")
            elif length == 127:
                start = at + 10
                length = int.from_bytes(buffer[at + 2 : start], "big")
            if start > self._end or start + length > self._end:
                return
            self._begin = start + length
            kind = buffer[at] & 15
            if kind in (TEXT, BINARY):
                yield self._view[start : start + length]
            elif kind == PING:
                self.send(frame(PONG, bytes(self._view[start : start + length])))
            elif kind == CLOSE:
                raise ConnectionError(f"the hub closed: {bytes(self._view[start : start + length])!r}")

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.setblocking(True)
            self._socket.sendall(frame(CLOSE, struct.pack(">H", 1000)))
        self._socket.close()


def frame(kind: int, payload: bytes) -> bytes:
    """One whole masked frame."""
    length = len(payload)
    if length < 126:
        head = bytes((0x80 | kind, 0x80 | length))
    elif length < 1 << 16:
        head = bytes((0x80 | kind, 0xFE)) + length.to_bytes(2, "big")
    else:
        head = bytes((0x80 | kind, 0xFF)) + length.to_bytes(8, "big")
    mask = _MASK * (length // 4 + 1)
    masked = int.from_bytes(payload, "little") ^ int.from_bytes(mask[:length], "little")
    return head + _MASK + masked.to_bytes(length, "little")


@dataclass(frozen=True)
class Times:
    """The times of one run of either loop, in ns, one entry per frame unless said otherwise."""

    latency: np.ndarray  # from the intended time of sending until its answer was read
    lateness: np.ndarray  # from the intended time of sending until it was sent
    seconds: float  # from the first due time to the last answer
    cpu_seconds: float  # of the client
    errors: int  # answers that were refusals
    due_seconds: float = 0.0  # open loop: from the first due time to the last

    @property
    def rate(self) -> float:
        """Answered frames a second."""
        return len(self.latency) / self.seconds

    @property
    def client(self) -> float:
        """Share of a core that the client used."""
        return self.cpu_seconds / self.seconds


Reader = Callable[[memoryview], tuple[int, bool]]
"""What an answer says: every frame before this number is answered, and whether it is a refusal."""


def schedule(count: int, rate: float, seed: int) -> np.ndarray:
    """When each of so many frames is due: a Poisson process, ns from its start."""
    gaps = np.random.default_rng(seed).exponential(1e9 / rate, count)
    return gaps.cumsum().astype(np.int64)


def open_loop(wire: Wire, frames: Sequence[bytes], due: np.ndarray, read: Reader, patience: float = 3.0) -> Times:
    """Send each frame when it is due, whether or not earlier ones were answered.

    patience  seconds after the last due time for the answers to come
    Errors    ConnectionError; TimeoutError: some were not answered by then
    """
    count = len(frames)
    receives, sends = np.zeros(count, np.int64), np.zeros(count, np.int64)
    cpu, start = time.process_time(), time.perf_counter_ns() + 1_000_000
    at = (due + start).tolist()
    sent = answered = errors = 0
    end = at[-1] + int(patience * 1e9)
    while answered < count:
        now = time.perf_counter_ns()
        if sent < count and at[sent] <= now:
            until = bisect_right(at, now, sent)
            wire.send(b"".join(frames[sent:until]) if until > sent + 1 else frames[sent])
            sends[sent:until] = now
            sent = until
        if now > end:
            raise TimeoutError(
                f"{count - answered} of {count} frames were not answered {patience} s after the last was due"
            )
        for message in wire.receive((at[sent] - time.perf_counter_ns()) / 1e9 if sent < count else 0.01):
            number, refused = read(message)
            if number > answered:
                receives[answered:number] = time.perf_counter_ns()
                answered = number
            errors += refused
    planned = np.array(at, np.int64)
    return Times(
        receives - planned,
        sends - planned,
        (int(receives[-1]) - at[0]) / 1e9,
        time.process_time() - cpu,
        errors,
        (at[-1] - at[0]) / 1e9,
    )


def closed_loop(wire: Wire, frames: Sequence[bytes], in_flight: int, read: Reader, patience: float = 30.0) -> Times:
    """Keep so many frames in flight.

    Errors    ConnectionError; TimeoutError: no answer for `patience` seconds
    """
    count = len(frames)
    receives, sends = np.zeros(count, np.int64), np.zeros(count, np.int64)
    cpu, start = time.process_time(), time.perf_counter_ns()
    sent = answered = errors = 0
    heard = start
    while answered < count:
        until = min(count, answered + in_flight)
        if until > sent:
            sends[sent:until] = time.perf_counter_ns()
            wire.send(b"".join(frames[sent:until]) if until > sent + 1 else frames[sent])
            sent = until
        for message in wire.receive(0.1):
            number, refused = read(message)
            heard = time.perf_counter_ns()
            if number > answered:
                receives[answered:number] = heard
                answered = number
            errors += refused
        if time.perf_counter_ns() - heard > patience * 1e9:
            raise TimeoutError(f"{count - answered} of {count} frames were not answered within {patience} s")
    return Times(
        receives - sends,
        np.zeros(count, np.int64),
        (int(receives[-1]) - start) / 1e9,
        time.process_time() - cpu,
        errors,
    )


def percentiles(nanoseconds: Iterable[int], interval: int = 0) -> dict[str, float]:
    """p50, p90, p99, p99.9 and max in milliseconds, from an HDR histogram of three digits.

    interval  ns between two samples of a closed loop, for HdrHistogram's own correction of coordinated omission; 0 where
              latencies count from the intended time, and need none
    """
    histogram = HdrHistogram(1, _LONGEST, 3)
    for value in nanoseconds:
        if interval:
            histogram.record_corrected_value(min(max(1, int(value)), _LONGEST), interval)
        else:
            histogram.record_value(min(max(1, int(value)), _LONGEST))
    return {
        "max" if percentile == 100 else f"p{percentile:g}": histogram.get_value_at_percentile(percentile) / 1e6
        for percentile in PERCENTILES
    }
