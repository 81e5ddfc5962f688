"""Websocket frames (RFC 6455), read and written. Bytes only: no socket, no session.

    for kind, content in parser.whole_frames(data): ...      # the fast path: frames that are there as a whole
    transport.write(text_frame_head(len(message)) + message)

FrameParser reads everything else as its parent does: fragments, binary frames, violations of the protocol. That takes ten
times as long.
"""

from collections.abc import Callable, Iterator
from typing import Any

from websockets.exceptions import ProtocolError
from websockets.frames import Frame, Opcode
from websockets.server import ServerProtocol
from websockets.speedups import apply_mask

from gateway.wire.bounds import REFUSALS, Bounds

# What whole_frames has found.
TEXT = 0  # a whole text: its payload, unmasked
CONTROL = 1  # a whole close, ping or pong: the frame
PARTIAL = 2  # a frame of which more must be read
OTHER = 3  # a frame for the parser, and all that follows it

_MASKED = 0x80  # all frames of a client are (5.1)
_FIN = 0x80
_WHOLE_TEXT = _FIN | Opcode.TEXT  # first byte; reserved bits are 0
_WHOLE_CONTROL = frozenset(_FIN | opcode for opcode in (Opcode.CLOSE, Opcode.PING, Opcode.PONG))
_MAX_CONTROL = 125  # bytes of a control frame (5.5)
_NEVER = -1  # a length that no frame has


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

    def whole_frames(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """(kind, content) of the frames in `data`, without the parser. PARTIAL and OTHER are the last.

        A text that is longer than max_message_size is OTHER: the parser refuses it.
        """
        at, end = 0, len(data)
        while end - at >= 2:
            first, length, start = data[at], data[at + 1] - _MASKED, at + 6
            if length == 126:
                if end - at < 4:
                    break
                length, start = data[at + 2] << 8 | data[at + 3], at + 8
            elif length > 126:
                length = _NEVER
            is_text = first == _WHOLE_TEXT
            longest = self.max_message_size if is_text else _MAX_CONTROL if first in _WHOLE_CONTROL else _NEVER
            if not 0 <= length <= longest:
                yield OTHER, data[at:]
                return
            stop = start + length
            if stop > end:
                break
            if is_text:
                yield TEXT, apply_mask(data[start:stop], data[start - 4 : start])  # the mask is before it (5.3)
            else:
                yield CONTROL, data[at:stop]
            at = stop
        yield PARTIAL, data[at:]

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
