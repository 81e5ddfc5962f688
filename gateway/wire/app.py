"""The application: routes that await bytes, feed a session and send what it says. FastAPI on the guarded server.

    hub = Hub(exchange, runner, blotter, market_data, feed, auth, clock, name="QIEE Hub")
    server = serve(create_app(hub), "127.0.0.1", 8080)               # gateway/wire/server.py

`create_app` takes over what happens with each durable batch (Gateway.publish is the runner's first listener): nobody
else records into blotter and market data while it runs.

A connection writes its frames to the transport itself, those of one batch in one system call: on the way of an order,
sending by way of ASGI would cost as much as everything else together.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import numpy as np
from fastapi import FastAPI, WebSocket
from fastapi_offline import FastAPIOffline
from starlette.responses import JSONResponse, Response

from gateway.binary.session import HUB_STOPS, serve_binary
from gateway.hub import Hub, Limits
from gateway.rpc.desk import Desk
from gateway.rpc.methods.orders import Ticket
from gateway.rpc.session import Session
from gateway.version import VERSION
from gateway.wire.guard import Connection as Guarded
from gateway.wire.guard import connection_of
from gateway.wire.rest import router
from matching.records import COMMAND

__all__ = ["Hub", "Limits", "create_app"]

_TICK_SECONDS = 0.02
log = logging.getLogger(__name__)


class Connection:
    """One JSON websocket: the peer of its session.

    Frames and commands are gathered while messages of one read are taken, or one batch is published, and leave at its end.
    Every turn of the event loop less is a system call less, and those cost more than all we compute for an order.
    """

    def __init__(self, gateway: "Gateway", guarded: Guarded) -> None:
        hub = gateway.hub
        self.session = Session(
            hub, gateway.desk, self, number=guarded.number, address=guarded.address, admit=guarded.authenticate
        )
        self._gateway = gateway
        self._runner = hub.runner
        self._clock = hub.clock
        self._reports = gateway.desk.reports
        self._protocol = guarded.protocol
        self._transport = guarded.protocol.transport
        self._loop = asyncio.get_running_loop()
        self._taking = False  # messages of one read are being taken
        self._frames: list[bytes] = []
        self._bytes = 0  # of them
        self._rows = bytearray()
        self._tickets: list[Ticket] = []
        self.closing: tuple[int, str] | None = None
        self.closed = asyncio.Event()

    @property
    def queued(self) -> int:
        """Bytes that have not left yet."""
        return self._transport.get_write_buffer_size() + self._bytes

    def read(self) -> None:
        """From now on, take what the client sends."""
        self._protocol.deliver_to(self)

    def take(self, message: bytes | str) -> None:
        """One message of the client."""
        self._taking = True
        self.session.receive(message, self._clock())

    def taken(self) -> None:
        """That was the last one of a read."""
        self._taking = False
        if self._tickets:
            self._hand_over()
        if self._frames:
            self.write()

    def send(self, message: bytes) -> None:
        """Queue one text frame."""
        if not self._frames and not self._taking:
            if self._gateway.publishing is None:
                self._loop.call_soon(self.write)
            else:
                self._gateway.publishing.append(self)
        self._frames += (frame_head(len(message)), message)
        self._bytes += len(message)

    def write(self) -> None:
        """Send what is queued, in one call."""
        if self._frames and not self._protocol.close_sent and not self._transport.is_closing():
            self._transport.write(b"".join(self._frames))
        self._frames.clear()
        self._bytes = 0

    def submit(self, rows: bytes, ticket: Ticket) -> None:
        """Queue commands for the runner."""
        if not self._tickets and not self._taking:
            self._loop.call_soon(self._hand_over)
        self._rows += rows
        self._tickets.append(ticket)

    def _hand_over(self) -> None:
        rows, self._rows = self._rows, bytearray()
        tickets, self._tickets = self._tickets, []
        if self._runner.stopping:
            self.session.failed(tickets, self._clock())
        else:
            self._runner.submit(np.frombuffer(rows, COMMAND), partial(self._reports.expect, self.session, tickets))

    def close(self, code: int, reason: str) -> None:
        """What was sent before still leaves."""
        if self.closing is None:
            self.closing = code, reason
            self._loop.call_soon(self._end)

    def _end(self) -> None:
        self.write()
        self.closed.set()


def frame_head(length: int) -> bytes:
    """The head of an unfragmented, unmasked text frame (RFC 6455, 5.2)."""
    if length < 126:
        return bytes((0x81, length))
    if length < 1 << 16:
        return b"\x81\x7e" + length.to_bytes(2, "big")
    return b"\x81\x7f" + length.to_bytes(8, "big")


class Gateway:
    """The connections of one hub, and what is done for all of them: serving, ticking, stopping."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.desk = Desk(hub)
        self.connections: set[Connection] = set()
        self.publishing: list[Connection] | None = None  # while a batch is: those it has sent something
        hub.runner.listeners.insert(0, self.publish)

    def publish(self, commands: np.ndarray, events: np.ndarray) -> None:
        """The runner's listener: one durable batch."""
        self.publishing = []
        try:
            self.desk.publish(commands, events)
        finally:
            told, self.publishing = self.publishing, None
        for connection in told:
            connection.write()

    async def tick(self) -> None:
        """Intervals of the feed and heartbeats, for ever."""
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            now = self.hub.clock()
            self.hub.feed.tick(now)
            for connection in list(self.connections):
                connection.session.tick(now)

    async def serve(self, websocket: WebSocket) -> None:
        """One JSON websocket, until it ends."""
        await websocket.accept()
        connection = Connection(self, connection_of(websocket.scope))
        self.connections.add(connection)
        code = HUB_STOPS[0]  # when this task is canceled, it is the server that stops
        closer = asyncio.create_task(self._close_when_told(websocket, connection))
        try:
            connection.read()
            code = await self._disconnected(websocket)
        finally:
            closer.cancel()
            self.connections.discard(connection)
            connection.session.lost(self.hub.clock(), cancel=code not in HUB_STOPS)

    async def _disconnected(self, websocket: WebSocket) -> int:
        """Returns the close code, when it is all over. Messages do not come this way."""
        while (message := await websocket.receive())["type"] != "websocket.disconnect":
            pass
        return message.get("code") or 1006

    async def _close_when_told(self, websocket: WebSocket, connection: Connection) -> None:
        await connection.closed.wait()
        assert connection.closing is not None
        with contextlib.suppress(RuntimeError):  # the peer was faster
            await websocket.close(*connection.closing)

    @contextlib.asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        ticking = asyncio.create_task(self.tick())
        ticking.add_done_callback(_told_if_failed)
        yield
        ticking.cancel()


def _told_if_failed(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("the gateway's clock has stopped", exc_info=error)


def create_app(hub: Hub) -> FastAPI:
    """The ASGI application of a hub; it must be served by gateway.server."""
    gateway = Gateway(hub)
    app = FastAPIOffline(title=hub.name, version=VERSION, lifespan=gateway.lifespan, docs_url="/docs", redoc_url=None)
    app.include_router(router(hub, gateway.desk))

    @app.websocket("/ws/api/v2")
    async def json_rpc(websocket: WebSocket) -> None:
        await gateway.serve(websocket)

    @app.websocket("/ws/bin/v1")
    async def binary(websocket: WebSocket) -> None:
        await serve_binary(websocket, hub)

    @app.get("/healthz")
    async def healthz() -> Response:
        return JSONResponse({"name": hub.name, "alive": True})

    @app.get("/readyz")
    async def readyz() -> Response:
        ready, body = readiness(hub)
        return JSONResponse(body, 200 if ready else 503)

    return app


def readiness(hub: Hub) -> tuple[bool, dict[str, Any]]:
    """Whether the hub takes orders, and where it stands."""
    ready = not hub.runner.stopping
    return ready, {"name": hub.name, "ready": ready, "sequence": hub.exchange.sequence}
