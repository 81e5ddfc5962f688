"""The application: it connects websockets and HTTP requests with sessions. FastAPI, served by server.py.

    hub = Hub(projections, runner, feed, auth, clock, name="QIEE Hub")
    server = serve(create_app(hub), "127.0.0.1", 8080)

Gateway.publish becomes the runner's first listener. While it runs, nothing else may record into blotter and market data.

A connection writes its frames to the transport itself, all frames of one batch in one system call. To send them through
ASGI would cost an order as much as everything else together.
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

from gateway.binary.session import serve_binary
from gateway.hub import CLOSE_GOING_AWAY, CLOSED_BY_HUB, Hub
from gateway.rpc.desk import Desk
from gateway.rpc.methods.table import METHODS
from gateway.rpc.session import Session
from gateway.rpc.ticket import Ticket
from gateway.version import VERSION
from gateway.wire import guard
from gateway.wire.frames import text_frame_head
from gateway.wire.rest import router
from gateway.wire.websocket import GuardedWebSocket
from matching.records import COMMAND

_TICK_SECONDS = 0.02
log = logging.getLogger(__name__)


class Connection:
    """One JSON websocket: the peer of its session, and the receiver of its messages.

    While the messages of one read are taken, or one batch is published, frames and commands are gathered; they leave at
    its end. That saves system calls, which cost more than all that is computed for an order.
    """

    def __init__(self, gateway: "Gateway", guarded: guard.Connection) -> None:
        assert isinstance(guarded.protocol, GuardedWebSocket), "the application must be served by server.serve"
        hub = gateway.hub
        self.session = Session(
            gateway.desk,
            self,
            METHODS,
            number=guarded.number,
            address=guarded.address,
            admit=guarded.authenticate,
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
        """Bytes that have not been sent yet."""
        return self._transport.get_write_buffer_size() + self._bytes

    def read(self) -> None:
        """Take the client's messages from now on."""
        self._protocol.deliver_to(self)

    def take(self, message: bytes | str) -> None:
        """One message of the client."""
        self._taking = True
        self.session.receive(message, self._clock())

    def taken(self) -> None:
        """The last message of a read has been taken."""
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
        self._frames += (text_frame_head(len(message)), message)
        self._bytes += len(message)

    def write(self) -> None:
        """Send the queued frames in one system call."""
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
        """Close when the frames that were sent before have left."""
        if self.closing is None:
            self.closing = code, reason
            self._loop.call_soon(self._end)

    def _end(self) -> None:
        self.write()
        self.closed.set()


class Gateway:
    """The JSON websockets of one hub, and what is done for all of them."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.desk = Desk(hub)
        self.connections: set[Connection] = set()
        self.publishing: list[Connection] | None = None  # while a batch is published: those with frames to send
        hub.runner.listeners.insert(0, self.publish)

    def publish(self, commands: np.ndarray, events: np.ndarray) -> None:
        """The runner's listener, for each durable batch."""
        self.publishing = []
        try:
            self.desk.publish(commands, events)
        finally:
            connections, self.publishing = self.publishing, None
        for connection in connections:
            connection.write()

    async def tick(self) -> None:
        """The clock of the feed's intervals and the sessions' heartbeats."""
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            now = self.hub.clock()
            self.hub.feed.tick(now)
            for connection in list(self.connections):
                connection.session.tick(now)

    async def serve(self, websocket: WebSocket) -> None:
        """One JSON websocket, until it ends."""
        await websocket.accept()
        connection = Connection(self, guard.connection_of(websocket.scope))
        self.connections.add(connection)
        code = CLOSE_GOING_AWAY  # only a server that stops cancels this task
        closer = asyncio.create_task(self._close_when_asked(websocket, connection))
        try:
            connection.read()
            code = await self._disconnected(websocket)
        finally:
            closer.cancel()
            self.connections.discard(connection)
            connection.session.lost(self.hub.clock(), cancel=code not in CLOSED_BY_HUB)

    async def _disconnected(self, websocket: WebSocket) -> int:
        """Wait for the end of the connection and return the close code. Messages do not come through ASGI."""
        while (message := await websocket.receive())["type"] != "websocket.disconnect":
            pass
        return message.get("code") or 1006

    async def _close_when_asked(self, websocket: WebSocket, connection: Connection) -> None:
        await connection.closed.wait()
        assert connection.closing is not None
        with contextlib.suppress(RuntimeError):  # the peer has closed
            await websocket.close(*connection.closing)

    @contextlib.asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        ticking = asyncio.create_task(self.tick())
        ticking.add_done_callback(_log_failure)
        yield
        ticking.cancel()


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("the gateway's clock has stopped", exc_info=error)


def create_app(hub: Hub) -> FastAPI:
    """The ASGI application of a hub. Serve it by server.serve: it needs the guarded protocols."""
    gateway = Gateway(hub)
    app = FastAPIOffline(title=hub.name, version=VERSION, lifespan=gateway.lifespan, docs_url="/docs", redoc_url=None)
    app.include_router(router(gateway.desk, METHODS))

    @app.websocket("/ws/api/v2")
    async def json_rpc(websocket: WebSocket) -> None:
        await gateway.serve(websocket)

    @app.websocket("/ws/bin/v1")
    async def binary(websocket: WebSocket) -> None:
        await serve_binary(websocket, guard.connection_of(websocket.scope), hub)

    @app.get("/healthz")
    async def healthz() -> Response:
        return JSONResponse({"name": hub.name, "alive": True})

    @app.get("/readyz")
    async def readyz() -> Response:
        ready, body = readiness(hub)
        return JSONResponse(body, 200 if ready else 503)

    return app


def readiness(hub: Hub) -> tuple[bool, dict[str, Any]]:
    """Whether the hub accepts requests, and the body of /readyz."""
    ready = not hub.runner.stopping
    return ready, {"name": hub.name, "ready": ready, "sequence": hub.exchange.sequence}
