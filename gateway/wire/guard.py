"""The protocol guard: it bounds what one peer can make the hub hold or do, before any message is read.

uvicorn alone lets a peer flood pings without reading, keep half a request for ever, send endless empty fragments, stall
with megabytes queued, or open any number of sockets. Two thin subclasses of its protocols, GuardedHttp (http.py) and
GuardedWebSocket (websocket.py), share one Guard: the table of open connections, the counts of refusals, and a sweep that
runs a few times a second. A message costs it a few comparisons; what needs a clock is rare (control frames) or left to the
sweep. The guard knows nothing of accounts, orders or their rates, which are the session's. It cannot help against a full
network link or a flood of TLS handshakes: put a proxy in front.

    guard = Guard(Bounds(connections_per_address=64))
    config = uvicorn.Config(app, http=partial(GuardedHttp, guard), ws=partial(GuardedWebSocket, guard))
    connection_of(scope).authenticate("key-1")             # in a session that knows its peer
"""

import asyncio
import ipaddress
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from gateway.wire.bounds import REFUSALS, Bounds


class Guarded(Protocol):
    """The protocol of a connection, HTTP or websocket, as the guard sees it."""

    def too_late(self, name: str) -> None:
        """What the connection was expected to do is late: refuse it under this name of REFUSALS."""

    def allow_message_bytes(self, most: int) -> None:
        """Accept messages of this size from now on."""


class Connection:
    """One open socket as the guard sees it. A session gets it by `connection_of(scope)`."""

    __slots__ = (
        "acknowledged",
        "address",
        "deadline",
        "guard",
        "key",
        "late",
        "number",
        "protocol",
        "refusal",
        "stalled_since",
        "transport",
    )

    def __init__(
        self, guard: "Guard", number: int, address: str, transport: asyncio.Transport | None, protocol: Guarded | None
    ) -> None:
        self.guard = guard
        self.number = number  # 1, 2, 3 ... of this server; COMMAND.session
        self.address = address
        self.transport = transport
        self.protocol = protocol
        self.key: str | None = None
        self.refusal: str | None = None  # why it was not admitted
        self.deadline: float | None = None  # for what it is expected to do next
        self.late = "handshake_timeout"  # the refusal when that is late
        self.acknowledged = 0
        self.stalled_since: float | None = None

    def expect(self, seconds: float, late: str) -> None:
        """Refuse this connection as `late` (a name of REFUSALS) unless `done` is called within `seconds`."""
        self.late = late
        self.deadline = self.guard.clock() + seconds

    def done(self) -> None:
        self.deadline = None

    def require_authentication(self) -> None:
        """For endpoints where every message is private: close with 1008 unless `authenticate` is called soon."""
        self.expect(self.guard.bounds.authentication_seconds, "authentication_timeout")

    def authenticate(self, key: str, binary: bool = False) -> bool:
        """The peer has proved that it owns `key`: count the connection there, and allow larger messages.

        binary    whether these are frames of rows
        Returns   False, and nothing has changed: the key has all its connections, and the caller must refuse
        """
        guard, bounds = self.guard, self.guard.bounds
        if key != self.key:
            if guard.keys.get(key, 0) >= bounds.connections_per_key:
                guard.refused["connections_per_key"] += 1
                return False
            self.forget_key()
            guard.keys[key] = guard.keys.get(key, 0) + 1
            self.key = key
        self.done()
        if self.protocol is not None:
            self.protocol.allow_message_bytes(bounds.binary_message_bytes if binary else bounds.message_bytes)
        return True

    def cut(self, name: str) -> None:
        """End the connection at once, whatever is queued for it. name: of REFUSALS."""
        self.guard.refused[name] += 1
        if self.transport is not None:
            self.transport.abort()

    def forget_key(self) -> None:
        """The connection has ended, or logs on with another key."""
        if self.key is not None:
            left = self.guard.keys[self.key] - 1
            if left:
                self.guard.keys[self.key] = left
            else:
                del self.guard.keys[self.key]
            self.key = None


def connection_of(scope: Any) -> Connection:
    """The guard's connection of an ASGI scope. Without a guard (in-process test clients): one without a socket."""
    connection = scope.get("extensions", {}).get("guard")
    return connection or Connection(Guard(Bounds()), 0, "", None, None)


@dataclass(slots=True)
class _Address:
    """Open connections from one address, and how many new ones it may make."""

    open: int
    allowance: float
    at: float


class Guard:
    """The open connections of one server, and what was refused."""

    def __init__(self, bounds: Bounds, clock: Callable[[], float] = time.monotonic) -> None:
        self.bounds = bounds
        self.clock = clock
        self.connections: dict[Any, Connection] = {}  # by transport
        self.open = 0  # admitted ones
        self.accepted = 0  # admitted since the start
        self.keys: dict[str, int] = {}
        self.addresses: dict[str, _Address] = {}
        self.refused = dict.fromkeys(REFUSALS, 0)
        shortest = min(
            bounds.handshake_seconds, bounds.authentication_seconds, bounds.write_stall_seconds, bounds.linger_seconds
        )
        self.sweep_seconds = min(0.25, shortest / 4)

    def metrics(self) -> dict[str, int]:
        """Counts: connections open, connections accepted, and `refused_<name>` for each name of REFUSALS."""
        return {
            "connections_open": self.open,
            "connections_accepted": self.accepted,
            **{f"refused_{name}": count for name, count in self.refused.items()},
        }

    def admit(self, transport: asyncio.Transport, protocol: Guarded) -> Connection:
        """A socket was accepted. The connection's `refusal` names the bound that it breaks; None: it is admitted."""
        peer = transport.get_extra_info("peername")
        address = network_of(peer[0]) if isinstance(peer, tuple) else "local"
        connection = Connection(self, self.accepted + 1, address, transport, protocol)
        self.connections[transport] = connection
        connection.refusal = self._broken(address)
        if connection.refusal is None:
            self.accepted += 1
            self.open += 1
            self.addresses[address].open += 1
            self.addresses[address].allowance -= 1
            connection.expect(self.bounds.handshake_seconds, "handshake_timeout")
        else:
            self.refused[connection.refusal] += 1
            # A client reads the answer only after it has sent its request: wait for that. But not many may wait.
            connection.expect(self.bounds.linger_seconds, connection.refusal)
            if len(self.connections) - self.open > max(16, self.bounds.connections // 8):
                transport.abort()
        return connection

    def _broken(self, address: str) -> str | None:
        """The bound that one more connection from here would break."""
        bounds, now = self.bounds, self.clock()
        burst = bounds.connections_per_address
        entry = self.addresses.setdefault(address, _Address(0, burst, now))
        entry.allowance = min(burst, entry.allowance + (now - entry.at) * bounds.connects_per_second)
        entry.at = now
        if self.open >= bounds.connections:
            return "connections"
        if entry.open >= bounds.connections_per_address:
            return "connections_per_address"
        return "connects_per_second" if entry.allowance < 1 else None

    def release(self, connection: Connection) -> None:
        """The socket is closed."""
        if self.connections.pop(connection.transport, None) is None:
            return
        connection.done()
        connection.forget_key()
        if connection.refusal is None:
            self.open -= 1
            self.addresses[connection.address].open -= 1

    async def watch(self) -> None:
        """Sweep for ever; the server runs this as a task and cancels it."""
        while True:
            await asyncio.sleep(self.sweep_seconds)
            self.sweep()

    def sweep(self) -> None:
        """Refuse connections that are late, cut those that do not read, forget addresses without connections."""
        now = self.clock()
        for connection in list(self.connections.values()):
            if connection.deadline is not None and now >= connection.deadline:
                connection.done()
                if connection.refusal is None:
                    self.refused[connection.late] += 1
                assert connection.protocol is not None
                connection.protocol.too_late(connection.late)
            self._check_writes(connection, now)
        burst, rate = self.bounds.connections_per_address, self.bounds.connects_per_second
        for address, entry in list(self.addresses.items()):
            if not entry.open and entry.allowance + (now - entry.at) * rate >= burst:
                del self.addresses[address]

    def _check_writes(self, connection: Connection, now: float) -> None:
        """Queued bytes must stay below the bound, and the peer must acknowledge some from time to time."""
        transport = connection.transport
        assert transport is not None
        queued = transport.get_write_buffer_size()
        if not queued:
            connection.stalled_since = None
            return
        if queued > self.bounds.write_buffer_bytes:
            connection.cut("write_buffer")
            return
        acknowledged = _acknowledged(transport, queued)
        if connection.stalled_since is None or acknowledged > connection.acknowledged:
            connection.acknowledged = acknowledged
            connection.stalled_since = now
        elif now - connection.stalled_since >= self.bounds.write_stall_seconds:
            connection.cut("write_stalled")

    def cut_all(self) -> None:
        """End all connections, so that no peer delays the server's stop."""
        for connection in list(self.connections.values()):
            assert connection.transport is not None
            connection.transport.abort()


def network_of(host: str) -> str:
    """What counts as one address: an IPv4 address, or the /64 network that one IPv6 customer usually has."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if address.version == 4:
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, 64), strict=False))


def _acknowledged(transport: asyncio.Transport, queued: int) -> int:
    """A number that grows when the peer takes bytes: the bytes that it acknowledged (Linux reports them), elsewhere the
    negative of the queued bytes."""
    connected = transport.get_extra_info("socket")
    if connected is None or not hasattr(socket, "TCP_INFO"):
        return -queued
    try:
        info = connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 128)
    except OSError:
        return -queued
    return struct.unpack_from("<Q", info, 120)[0] if len(info) == 128 else -queued  # tcpi_bytes_acked
