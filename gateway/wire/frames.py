"""Websocket frames (RFC 6455), read and written. Bytes only: no socket, no session.

    kind, start, stop = next_frame(data, at, max_text)       # the fast path: a text frame that is there as a whole
    text = unmasked(data, start, stop).decode()
    transport.write(text_frame_head(len(message)) + message)

FrameParser reads everything else: fragments, binary frames, violations of the protocol. It takes ten times as long.
"""

from collections.abc import Callable
from typing import Any

from websockets.exceptions import ProtocolError
from websockets.frames import Frame, Opcode
from websockets.server import ServerProtocol
from websockets.speedups import apply_mask

from gateway.wire.bounds import REFUSALS, Bounds

# What begins at a place of the bytes that a client sent.
TEXT = 0  # a whole text frame
CONTROL = 1  # a whole close, ping or pong frame
PARTIAL = 2  # a frame of which more must be read
OTHER = 3  # a frame for the parser

_MASKED = 0x80  # all frames of a client are (5.1)
_FIN = 0x80
_WHOLE_TEXT = _FIN | Opcode.TEXT  # first byte; reserved bits are 0
_WHOLE_CONTROL = frozenset(_FIN | opcode for opcode in (Opcode.CLOSE, Opcode.PING, Opcode.PONG))
_MAX_CONTROL = 125  # bytes of a control frame (5.5)


def next_frame(data: bytes, at: int, max_text: int) -> tuple[int, int, int]:
    """What begins at `at`, and where its payload starts and stops.

    max_text   bytes; a longer text is for the parser, which refuses it
    """
    received = len(data) - at
    if received < 2:
        return PARTIAL, at, at
    first, length, start = data[at], data[at + 1] - _MASKED, at + 6
    if length == 126:
        if received < 4:
            return PARTIAL, at, at
        length, start = data[at + 2] << 8 | data[at + 3], at + 8
    elif length > 126:
        return OTHER, at, at
    if first == _WHOLE_TEXT:
        kind, longest = TEXT, max_text
    elif first in _WHOLE_CONTROL:
        kind, longest = CONTROL, _MAX_CONTROL
    else:
        return OTHER, at, at
    if not 0 <= length <= longest:
        return OTHER, at, at
    stop = start + length
    return (kind, start, stop) if stop <= len(data) else (PARTIAL, at, at)


def unmasked(data: bytes, start: int, stop: int) -> bytes:
    """The payload of a client's frame. The mask stands before it (5.3)."""
    return apply_mask(data[start:stop], data[start - 4 : start])


def text_frame_head(length: int) -> bytes:
    """The head of an unfragmented, unmasked text frame (5.2). length: bytes of the payload."""
    if length < 126:
        return bytes((_WHOLE_TEXT, length))
    if length < 1 << 16:
        return bytes((_WHOLE_TEXT, 126)) + length.to_bytes(2, "big")
    return bytes((_WHOLE_TEXT, 127)) + length.to_bytes(8, "big")


class FrameParser(ServerProtocol):
    """The parser of the websockets package, with bounds on what the RFC does not limit: fragments, control frames, messages.

    refused    counts of the guard, by name of REFUSALS
    """

    max_message_size: int  # bytes; not None here

    def __init__(self, bounds: Bounds, clock: Callable[[], float], refused: dict[str, int], **settings: Any) -> None:
        super().__init__(**settings)
        self.bounds = bounds
        self.clock = clock
        self.refused = refused
        self.fragments = 0
        self.control_frames = 0
        self.control_since = 0.0

    def recv_frame(self, frame: Frame) -> None:
        opcode = frame.opcode
        if opcode is Opcode.TEXT or opcode is Opcode.BINARY:
            if len(self.events) >= self.bounds.queued_messages:
                self.refuse("queued_messages")
            elif frame.fin and self.current_size is None:
                self.events.append(frame)  # the parent does no more for a whole message
            else:
                self.fragments = 1
                super().recv_frame(frame)
            return
        if opcode is Opcode.CONT:
            self.fragments += 1
            if self.fragments > self.bounds.fragments_per_message:
                self.refuse("fragments")
                return
        elif self._count_control_frame() > self.bounds.control_frames_per_second:
            self.refuse("control_frames")
            return
        super().recv_frame(frame)

    def _count_control_frame(self) -> int:
        now = self.clock()
        if now - self.control_since >= 1:
            self.control_since, self.control_frames = now, 0
        self.control_frames += 1
        return self.control_frames

    def refuse(self, name: str) -> None:
        """Send a close frame and read no more. The owner sees parser_exc and ends the connection."""
        self.refused[name] += 1
        self.parser_exc = ProtocolError(REFUSALS[name].reason)
        self.fail(*REFUSALS[name])
