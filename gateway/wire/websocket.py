"""The websocket within bounds: uvicorn's websocket protocol, guarded; without compression, which would get round the bounds.

Messages go to the application through ASGI, unless `deliver_to` has named a Receiver. ASGI costs an order as much as
everything that the hub computes for it. A Receiver takes each message at once, so reading is never paused for it.
"""

import asyncio
from typing import Any, Protocol

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import PayloadTooBig
from websockets.frames import Frame

from gateway.wire.bounds import REFUSALS
from gateway.wire.frames import CONTROL, PARTIAL, TEXT, FrameParser
from gateway.wire.guard import Connection, Guard


class Receiver(Protocol):
    """Takes messages in the same turn of the event loop in which they were read."""

    def take(self, message: bytes | str) -> None:
        """One message."""

    def taken(self) -> None:
        """The last message of a read has been taken."""


class GuardedWebSocket(WebSocketsSansIOProtocol):
    """See the module."""

    connection: Connection  # from connection_made on
    conn: FrameParser

    def __init__(self, guard: Guard, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.guard = guard
        self.conn = FrameParser(
            guard.bounds,
            guard.clock,
            guard.refused,
            max_size=guard.bounds.message_bytes_before_authentication,
            logger=self.logger,
        )
        self.close_timeout = guard.bounds.linger_seconds
        self.discarding = False  # the connection is refused: what still comes is thrown away
        self.discarded = 0  # bytes
        self.receiver: Receiver | None = None
        self.early = False  # bytes came before there was a receiver
        self.fast_path = False  # every frame so far was whole, so the parser holds no part of one
        self.rest = b""  # of a read: the beginning of a frame

    def deliver_to(self, receiver: Receiver) -> None:
        """Hand every message to `receiver` from now on. ASGI still gets the disconnect."""
        self.receiver = receiver
        self.fast_path = not self.early
        for _ in range(self.queue.qsize()):
            message = self.queue.get_nowait()
            if message["type"] == "websocket.receive":
                text = message.get("text")
                receiver.take(message["bytes"] if text is None else text)  # type: ignore[arg-type]
            else:
                self.queue.put_nowait(message)
        receiver.taken()
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.connection = self.guard.connections[transport]
        self.connection.protocol = self

    def connection_lost(self, exc: Exception | None) -> None:
        self.guard.release(self.connection)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.discarding:
            self.discarded += len(data)
            if self.discarded > self.guard.bounds.linger_bytes:
                self.transport.abort()
            return
        if self.receiver is None:
            self.early = self.handshake_initiated
            super().data_received(data)
            return
        if self.fast_path:
            data = self._take_frames(data, self.receiver)
        if data:
            super().data_received(data)
        self.receiver.taken()

    def _take_frames(self, data: bytes, receiver: Receiver) -> bytes:
        """Take whole text frames without the parser, and give it the control frames.

        Returns what is for the parser; from then on it gets everything.
        """
        if self.rest:
            data, self.rest = self.rest + data, b""
        taken = 0
        for kind, content in self.conn.whole_frames(data):
            if kind == TEXT:
                taken += 1
                if taken > self.guard.bounds.queued_messages:
                    self.conn.refuse("queued_messages")
                    self.handle_parser_exception()
                else:
                    self._take_text(content, receiver)
            elif kind == CONTROL:
                super().data_received(content)
            elif kind == PARTIAL:
                self.rest = content
                break
            else:
                self.fast_path = False
                return content
            if self.discarding or self.conn.close_rcvd is not None:
                break
        return b""

    def _take_text(self, data: bytes, receiver: Receiver) -> None:
        if self.close_sent:
            return
        try:
            text = data.decode()
        except UnicodeDecodeError:  # the peer's fault: it is no error to log
            self.guard.refused["protocol"] += 1
            self.fail(1007, "text is not UTF-8")
            return
        receiver.take(text)

    def handle_connect(self, event: Any) -> None:
        super().handle_connect(event)
        if self.handshake_initiated and not self.handshake_complete:
            self.scope["extensions"]["guard"] = self.connection  # type: ignore[assignment]

    def start_keepalive(self) -> None:
        """The application has accepted the websocket: the handshake is over."""
        self.connection.done()
        super().start_keepalive()

    def send_receive_event_to_app(self) -> None:
        """As the parent does, but to the receiver if there is one, and invalid UTF-8 is not logged as an error."""
        data = self.frames[0] if len(self.frames) == 1 else b"".join(self.frames)
        self.frames = []
        if self.curr_msg_data_type == "text":
            self._take_text(data, self.receiver or self)
        elif not self.close_sent:
            (self.receiver or self).take(data)

    def take(self, message: bytes | str) -> None:
        """Receive for the application, through ASGI, where there is no other receiver."""
        self.queue.put_nowait(
            {"type": "websocket.receive", "text": message}
            if isinstance(message, str)
            else {"type": "websocket.receive", "bytes": message}
        )
        if not self.read_paused:
            self.read_paused = True
            self.transport.pause_reading()

    def taken(self) -> None:
        """ASGI has no use for it."""

    def handle_close(self, event: Frame) -> None:
        (self.receiver or self).taken()  # messages that came before are answered
        super().handle_close(event)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self.transport.get_write_buffer_size() > self.guard.bounds.write_buffer_bytes:
            self.connection.cut("write_buffer")

    def too_late(self, name: str) -> None:
        if REFUSALS[name].code and self.handshake_complete:
            self.fail(*REFUSALS[name])
        else:
            self.transport.abort()

    def allow_message_bytes(self, most: int) -> None:
        self.conn.max_message_size = most

    def fail(self, code: int, reason: str) -> None:
        """Close from our side."""
        if not self.close_sent:
            self.conn.fail(code, reason)
            self.handle_parser_exception()

    def handle_parser_exception(self) -> None:
        """Send the reason, half-close, and throw away what still comes for a moment.

        A close with unread bytes would reset the connection, and the peer would never see the reason.
        """
        if self.close_sent:
            return
        (self.receiver or self).taken()  # messages that came before are answered
        if isinstance(self.conn.parser_exc, PayloadTooBig):
            self.guard.refused["message_bytes"] += 1
        elif self.conn.close_sent is not None and self.conn.close_sent.code == 1002:
            self.guard.refused["protocol"] += 1
        self.close_sent = self.discarding = True
        self.stop_keepalive()
        self.transport.write(b"".join(self.conn.data_to_send()))
        close = self.conn.close_sent
        self.queue.put_nowait(
            {
                "type": "websocket.disconnect",
                "code": close.code if close else 1006,
                "reason": close.reason if close else "",
            }
        )
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.read_paused = False
        self.transport.resume_reading()
        self.close_timer = self.loop.call_later(self.guard.bounds.linger_seconds, self.transport.abort)
