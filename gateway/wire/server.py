"""The listening server: a guarded uvicorn that the command line and the tests run inside their own event loop.

`serve` binds the socket, so that a busy port is reported before anything else starts. `start` runs the application's
lifespan and accepts connections. `stop` closes them within two seconds. Run it on uvloop: `uvloop.run(main())`.

    server = serve(app, "127.0.0.1", 0, Bounds())
    await server.start()
    print(server.port, server.guard.metrics())
    await server.stop()
"""

import asyncio
import contextlib
import resource
import socket
from functools import partial
from typing import Any

import uvicorn

from gateway.wire.bounds import Bounds
from gateway.wire.guard import Guard
from gateway.wire.http import GuardedHttp
from gateway.wire.websocket import GuardedWebSocket

STOP_SECONDS = 2
BACKLOG = 2_048  # connections that the system holds until we accept them; with fewer, a storm of them waits seconds


class ServerError(Exception):
    """The server cannot run. The message is one line for the user; exit_code is the process's."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


EXIT_CANNOT_LISTEN = 10
EXIT_CANNOT_START = 11


class Server:
    """A listening socket, its guard and its application. Made by `serve`."""

    def __init__(self, listener: socket.socket, config: uvicorn.Config, guard: Guard) -> None:
        self.listener = listener
        self.guard = guard
        self.host, self.port = listener.getsockname()[:2]
        self._uvicorn = uvicorn.Server(config)
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Start the application and accept connections. Errors: ServerError if the application does not start."""
        config = self._uvicorn.config
        if not config.loaded:
            config.load()
        self._uvicorn.lifespan = config.lifespan_class(config)
        try:
            await self._uvicorn.startup(sockets=[self.listener])
        except SystemExit as exit_:
            self.listener.close()
            raise ServerError("the application did not start; the lines above say why", EXIT_CANNOT_START) from exit_
        self._tasks = [asyncio.create_task(self._uvicorn.main_loop()), asyncio.create_task(self.guard.watch())]

    async def stop(self) -> None:
        """Stop accepting, close every connection (websockets with 1012), stop the application. May be called twice."""
        if not self._tasks:
            self.listener.close()
            return
        tasks, self._tasks = self._tasks, []
        self._uvicorn.should_exit = True
        tasks[1].cancel()
        await self._uvicorn.shutdown(sockets=[self.listener])
        self.guard.cut_all()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks)


def serve(app: Any, host: str, port: int, bounds: Bounds | None = None) -> Server:
    """Bind `host:port` (port 0: any free one) and make the server of an ASGI app. Nothing runs yet.

    Errors    ServerError with exit code 10: the address is in use, not local or not permitted
    """
    bounds = bounds or Bounds()
    guard = Guard(bounds)
    listener = _listen(host, port, bounds)
    _allow_files(bounds.connections)
    config = uvicorn.Config(
        app,
        http=partial(GuardedHttp, guard),  # type: ignore[arg-type]
        ws=partial(GuardedWebSocket, guard),  # type: ignore[arg-type]
        loop="uvloop",
        lifespan="on",
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws_per_message_deflate=False,
        ws_max_size=bounds.message_bytes_before_authentication,
        ws_ping_interval=bounds.ping_seconds,
        ws_ping_timeout=bounds.pong_seconds,
        timeout_keep_alive=bounds.keep_alive_seconds,  # type: ignore[arg-type]
        timeout_graceful_shutdown=STOP_SECONDS,
        backlog=BACKLOG,
    )
    return Server(listener, config, guard)


def _listen(host: str, port: int, bounds: Bounds) -> socket.socket:
    """A bound socket; accepted sockets inherit its options."""
    listener = None
    try:
        if not 0 <= port <= 65_535:  # the resolver would take it modulo 65,536
            raise OverflowError("the port must be 0 to 65535")
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            # The system drops a peer that acknowledges nothing, even when it has taken all our bytes.
            milliseconds = int(bounds.write_stall_seconds * 1000)
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
        listener.bind(address)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except (OSError, OverflowError) as error:
        if listener is not None:
            listener.close()
        why = getattr(error, "strerror", None) or str(error)
        raise ServerError(f"cannot listen on {host}:{port}: {why.lower()}", EXIT_CANNOT_LISTEN) from error
    return listener


def _allow_files(connections: int) -> None:
    """Raise the limit of open files: every connection is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + 512
    if soft != resource.RLIM_INFINITY and soft < wanted:
        ceiling = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, ceiling), hard))
