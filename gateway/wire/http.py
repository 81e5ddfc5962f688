"""HTTP within bounds: uvicorn's HTTP/1.1 protocol, guarded. Every connection begins here, also that of a websocket."""

import asyncio
import json
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.wire.bounds import REFUSALS
from gateway.wire.guard import Connection, Guard


class GuardedHttp(HttpToolsProtocol):
    """See the module."""

    connection: Connection  # from connection_made on

    def __init__(self, guard: Guard, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.guard = guard
        self.refusal: str | None = None  # of the request being read
        self.head_bytes = 0
        self.body_bytes = 0
        self.in_head = True
        self.requests = 0  # read to their end

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.connection = self.guard.admit(transport, self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.guard.release(self.connection)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.connection.refusal is not None:
            self.answer(self.connection.refusal)
            return
        in_head, requests = self.in_head, self.requests
        super().data_received(data)
        # The parser holds a head that never ends, so its bytes are counted here, read by read. A read that ends one
        # request and begins another is not counted: how many of its bytes were body is not known.
        if in_head and self.in_head and requests == self.requests and not self.transport.is_closing():
            self.head_bytes += len(data)
            if self.head_bytes > self.guard.bounds.request_head_bytes:
                self.refuse("request_head")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {"guard": self.connection}  # type: ignore[dict-item]
        self.in_head, self.head_bytes, self.body_bytes = True, 0, 0
        if self.connection.deadline is None:
            self.connection.expect(self.guard.bounds.handshake_seconds, "handshake_timeout")

    def on_url(self, url: bytes) -> None:
        self._count_head(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count_head(len(name) + len(value) + 4)
        super().on_header(name, value)

    def _count_head(self, size: int) -> None:
        self.head_bytes += size
        if self.head_bytes > self.guard.bounds.request_head_bytes:
            self._stop_parsing("request_head")

    def on_headers_complete(self) -> None:
        if len(self.pipeline) >= self.guard.bounds.pipelined_requests:
            self._stop_parsing("pipelined_requests")
        self.in_head, self.head_bytes = False, 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self.body_bytes += len(body)
        if self.body_bytes > self.guard.bounds.request_body_bytes:
            self._stop_parsing("request_body")
        super().on_body(body)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self.in_head, self.head_bytes = True, 0
        self.requests += 1
        # The handshake of a websocket ends when the application accepts it, so its deadline stays.
        if not (self.parser.should_upgrade() and self._should_upgrade()):
            self.connection.done()

    def _stop_parsing(self, name: str) -> None:
        """Stop the parser from within one of its callbacks. It reports the error to send_400_response."""
        self.refusal = name
        raise ValueError(REFUSALS[name].reason)

    def send_400_response(self, msg: str) -> None:
        if self.refusal is None:
            super().send_400_response(msg)
        else:
            self.refuse(self.refusal)

    def refuse(self, name: str) -> None:
        """Count the refusal, answer unless another answer has begun, and close."""
        self.guard.refused[name] += 1
        if self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete:
            self.transport.abort()
        else:
            self.answer(name)

    def answer(self, name: str) -> None:
        code, reason = REFUSALS[name]
        body = json.dumps({"error": {"code": code, "message": reason, "data": {"bound": name}}}).encode()
        self.transport.write(
            f"HTTP/1.1 {code} {HTTPStatus(code).phrase}\r\ncontent-type: application/json\r\nretry-after: 1\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n".encode()
            + body
        )
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.close()

    def too_late(self, name: str) -> None:
        """Without a whole request there is nothing to answer."""
        self.transport.abort()

    def allow_message_bytes(self, most: int) -> None:
        """The body of a request has its own bound."""
