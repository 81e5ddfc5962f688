"""The protocol guard: what one peer can make the hub hold or do is bounded before any message is read.

uvicorn alone lets a peer flood pings without reading, keep half a request for ever, send endless empty fragments,
stall with megabytes queued, or open any number of sockets. The guard is two thin subclasses of uvicorn's protocols,
`GuardedHttp` and `GuardedWebSocket`, that share one `Guard`: the table of open connections, the counters, and a sweep
that runs a few times a second. On the path of a message it costs a few comparisons; whatever needs a clock is either
rare (control frames) or done by the sweep. It knows nothing of accounts, orders or rates of orders: that is the
session's business. It cannot help against a full network link or a flood of TLS handshakes: put a proxy in front.

Before the upgrade a refusal is an HTTP answer, 429 (this peer has too much) or 503 (the hub is full) with a reason;
after it, a close code: 1008 policy, 1009 size, 1013 overload. Peers that do not read are cut without a word. Every
refusal is counted under its name in REFUSALS.

    guard = Guard(Bounds(connections_per_address=64))
    config = uvicorn.Config(app, http=partial(GuardedHttp, guard), ws=partial(GuardedWebSocket, guard))
    connection_of(scope).authenticate("key-1", bounds.message_bytes)      # in a session, once the peer is known
"""

import asyncio
import ipaddress
import json
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from http import HTTPStatus
from typing import Any, NamedTuple, Protocol

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import PayloadTooBig, ProtocolError
from websockets.frames import Frame, Opcode
from websockets.server import ServerProtocol
from websockets.speedups import apply_mask


@dataclass(frozen=True)
class Bounds:
    """How much one peer may have. Every bound is a positive number; a wrong one is a ValueError that names it."""

    connections: int = 2_000  # open at once, HTTP and websocket together
    connections_per_address: int = 32  # IPv6: per /64 network
    connections_per_key: int = 16  # authenticated with one API key
    connects_per_second: int = 10  # new ones per address, after a first burst of connections_per_address
    handshake_seconds: float = 5.0  # from connecting (or its first byte) to a whole request
    authentication_seconds: float = 5.0  # on endpoints that are private from the first message
    keep_alive_seconds: float = 15.0  # HTTP: idle between two requests
    request_head_bytes: int = 16_384  # HTTP: request line and headers
    request_body_bytes: int = 65_536  # HTTP: body
    pipelined_requests: int = 16  # HTTP: sent ahead of their answers
    message_bytes_before_authentication: int = 4_096
    message_bytes: int = 65_536  # one JSON message
    binary_message_bytes: int = 4_096 * 112  # one binary message: 4,096 COMMAND rows
    fragments_per_message: int = 64
    queued_messages: int = 4_096  # messages of one read that wait for the session
    control_frames_per_second: int = 20  # pings, and pongs nobody asked for
    write_buffer_bytes: int = 1_048_576  # queued for a peer beyond what the kernel took
    write_stall_seconds: float = 5.0  # bytes queued and none acknowledged by the peer
    ping_seconds: float = 5.0  # a websocket is pinged this often
    pong_seconds: float = 5.0  # and must answer within
    linger_seconds: float = 1.0  # after a refusal, for the peer to read the reason
    linger_bytes: int = 1_048_576  # and so much of what it still sends is thrown away

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, int | float) or not 0 < value < 2**31:
                raise ValueError(f"bound {field.name} is {value!r}, must be a number above 0 and below 2^31")


class Refusal(NamedTuple):
    """How a refusal is told: HTTP status or websocket close code, and the reason. 0: the connection is cut."""

    code: int
    reason: str


REFUSALS = {
    "connections": Refusal(503, "the hub has all the connections it takes"),
    "connections_per_address": Refusal(429, "too many connections from this address"),
    "connects_per_second": Refusal(429, "too many new connections a second from this address"),
    "connections_per_key": Refusal(429, "too many connections with this key"),
    "handshake_timeout": Refusal(0, "no whole request in time"),
    "authentication_timeout": Refusal(1008, "not authenticated in time"),
    "request_head": Refusal(431, "request head too large"),
    "request_body": Refusal(413, "request body too large"),
    "pipelined_requests": Refusal(429, "too many requests ahead of their answers"),
    "message_bytes": Refusal(1009, "message too big"),
    "fragments": Refusal(1009, "too many fragments in one message"),
    "queued_messages": Refusal(1008, "too many messages at once"),
    "control_frames": Refusal(1008, "too many control frames"),
    "protocol": Refusal(1002, "not the websocket protocol"),
    "write_buffer": Refusal(0, "too much queued for a peer that does not read"),
    "write_stalled": Refusal(0, "the peer reads nothing"),
}


class Connection:
    """One open socket as the guard knows it; the session reaches it with `connection_of(scope)`."""

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
        self, guard: "Guard", number: int, address: str, transport: asyncio.Transport | None, protocol: Any
    ) -> None:
        self.guard = guard
        self.number = number  # 1, 2, 3 ... of this server; COMMAND.session
        self.address = address
        self.transport = transport
        self.protocol = protocol
        self.key: str | None = None
        self.refusal: str | None = None  # why it was not admitted
        self.deadline: float | None = None  # when what we wait for is late
        self.late = "handshake_timeout"  # what being late is called
        self.acknowledged = 0
        self.stalled_since: float | None = None

    def expect(self, seconds: float, late: str) -> None:
        """Refuse this connection as `late` (a name of REFUSALS) unless `done` is called within `seconds`."""
        self.late = late
        self.deadline = self.guard.clock() + seconds

    def done(self) -> None:
        self.deadline = None

    def require_authentication(self) -> None:
        """For endpoints that are private from the first message: close with 1008 unless `authenticate` comes soon."""
        self.expect(self.guard.bounds.authentication_seconds, "authentication_timeout")

    def authenticate(self, key: str, message_bytes: int | None = None) -> bool:
        """The peer has shown that it owns `key`: count it there, allow larger messages (None: bounds.message_bytes).

        Returns False, and changes nothing, where the key has all its connections already; the caller refuses.
        """
        guard = self.guard
        if key != self.key:
            if guard.keys.get(key, 0) >= guard.bounds.connections_per_key:
                guard.refused["connections_per_key"] += 1
                return False
            self.forget_key()
            guard.keys[key] = guard.keys.get(key, 0) + 1
            self.key = key
        self.done()
        if isinstance(self.protocol, GuardedWebSocket):
            self.protocol.conn.max_message_size = message_bytes or guard.bounds.message_bytes
        return True

    def cut(self, name: str) -> None:
        """End it at once, whatever is queued for it, counted as `name` of REFUSALS."""
        self.guard.refused[name] += 1
        if self.transport is not None:
            self.transport.abort()

    def forget_key(self) -> None:
        """Logged out, or gone."""
        if self.key is not None:
            left = self.guard.keys[self.key] - 1
            if left:
                self.guard.keys[self.key] = left
            else:
                del self.guard.keys[self.key]
            self.key = None


def connection_of(scope: Any) -> Connection:
    """The guard's connection of an ASGI scope; where no guard runs (in-process test clients) one without a socket."""
    connection = scope.get("extensions", {}).get("guard")
    return connection or Connection(Guard(Bounds()), 0, "", None, None)


@dataclass(slots=True)
class _Address:
    """What is open from one address, and its allowance of new connections."""

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
        """Plain numbers: connections open, connections accepted, and `refused_<name>` of each name of REFUSALS."""
        return {
            "connections_open": self.open,
            "connections_accepted": self.accepted,
            **{f"refused_{name}": count for name, count in self.refused.items()},
        }

    def admit(self, transport: asyncio.Transport, protocol: Any) -> Connection:
        """A socket was accepted. Its `refusal` names the bound that it would break, or is None."""
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
            # It waits a moment for its request, so that the answer is read; but only some may wait.
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
        """The socket is gone."""
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
        """Refuse who is late, cut who does not read, forget addresses that are quiet."""
        now = self.clock()
        for connection in list(self.connections.values()):
            if connection.deadline is not None and now >= connection.deadline:
                connection.done()
                if connection.refusal is None:
                    self.refused[connection.late] += 1
                connection.protocol.too_late(connection.late)
            self._check_writes(connection, now)
        burst, rate = self.bounds.connections_per_address, self.bounds.connects_per_second
        for address, entry in list(self.addresses.items()):
            if not entry.open and entry.allowance + (now - entry.at) * rate >= burst:
                del self.addresses[address]

    def _check_writes(self, connection: Connection, now: float) -> None:
        """Bytes queued must stay below the bound, and some must be acknowledged by the peer from time to time."""
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
        """At the end of a stop: nobody keeps the server waiting."""
        for connection in list(self.connections.values()):
            assert connection.transport is not None
            connection.transport.abort()


def network_of(host: str) -> str:
    """What counts as one address: an IPv4 address, or the /64 that one IPv6 customer usually has."""
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
    """A number that grows when the peer takes bytes: those its kernel acknowledged, or where the system does not tell
    (it is Linux that does), the negative of what is queued."""
    connected = transport.get_extra_info("socket")
    if connected is None or not hasattr(socket, "TCP_INFO"):
        return -queued
    try:
        info = connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 128)
    except OSError:
        return -queued
    return struct.unpack_from("<Q", info, 120)[0] if len(info) == 128 else -queued  # tcpi_bytes_acked


class GuardedHttp(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 protocol within bounds. Every connection begins here, websockets too."""

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
        # A head that never ends is held inside the parser, so it is counted here, read by read. Of a read that ended a
        # request nobody knows how much was its body: what began behind it is counted from the next read on.
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
        # A websocket's handshake ends when the application accepts it, so its deadline stays.
        if not (self.parser.should_upgrade() and self._should_upgrade()):
            self.connection.done()

    def _stop_parsing(self, name: str) -> None:
        """Leave the parser, from within one of its callbacks: it reports the error through send_400_response."""
        self.refusal = name
        raise ValueError(REFUSALS[name].reason)

    def send_400_response(self, msg: str) -> None:
        if self.refusal is None:
            super().send_400_response(msg)
        else:
            self.refuse(self.refusal)

    def refuse(self, name: str) -> None:
        """Count and answer, unless an answer has begun already, then close."""
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
        """Called by the sweep. Who has not managed to ask gets no answer."""
        self.transport.abort()


_TEXT, _BINARY, _CONT = Opcode.TEXT, Opcode.BINARY, Opcode.CONT


class _Frames(ServerProtocol):
    """The websocket parser, counting what the RFC leaves unlimited: fragments, control frames, messages a read."""

    max_message_size: int  # bytes; not None here

    def __init__(self, guard: Guard, **settings: Any) -> None:
        super().__init__(**settings)
        self.guard = guard
        self.most_messages = guard.bounds.queued_messages
        self.fragments = 0
        self.control_frames = 0
        self.control_since = 0.0

    def recv_frame(self, frame: Frame) -> None:
        opcode = frame.opcode
        if opcode is _TEXT or opcode is _BINARY:
            if len(self.events) >= self.most_messages:
                self.refuse("queued_messages")
            elif frame.fin and self.current_size is None:
                self.events.append(frame)  # all that the parent does with a whole message; the usual path
            else:
                self.fragments = 1
                super().recv_frame(frame)
            return
        if opcode is _CONT:
            self.fragments += 1
            if self.fragments > self.guard.bounds.fragments_per_message:
                self.refuse("fragments")
                return
        elif self._one_control_frame_more() > self.guard.bounds.control_frames_per_second:
            self.refuse("control_frames")
            return
        super().recv_frame(frame)

    def _one_control_frame_more(self) -> int:
        now = self.guard.clock()
        if now - self.control_since >= 1:
            self.control_since, self.control_frames = now, 0
        self.control_frames += 1
        return self.control_frames

    def refuse(self, name: str) -> None:
        """Send a close frame and read no more; the owner sees parser_exc and ends the connection."""
        self.guard.refused[name] += 1
        self.parser_exc = ProtocolError(REFUSALS[name].reason)
        self.fail(*REFUSALS[name])


class Receiver(Protocol):
    """Who takes messages in the turn in which they were read: `take` for each, and `taken` after the last of a read."""

    def take(self, message: bytes | str) -> None: ...
    def taken(self) -> None: ...


# First bytes of frames that are one whole text, and of control frames: FIN is set, reserved bits are not.
_WHOLE_TEXT = 0x80 | _TEXT
_CONTROLS = frozenset(0x80 | opcode for opcode in (Opcode.CLOSE, Opcode.PING, Opcode.PONG))


class GuardedWebSocket(WebSocketsSansIOProtocol):
    """uvicorn's websocket protocol within bounds; without compression, which would undo them.

    Messages go by way of ASGI, unless a Receiver has been given to `deliver_to`: that way costs an order as much as
    everything that the hub computes for it. Nothing waits for a Receiver, so reading need not be paused either.
    """

    connection: Connection  # from connection_made on
    conn: _Frames

    def __init__(self, guard: Guard, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.guard = guard
        self.conn = _Frames(guard, max_size=guard.bounds.message_bytes_before_authentication, logger=self.logger)
        self.close_timeout = guard.bounds.linger_seconds
        self.discarding = False
        self.discarded = 0
        self.receiver: Receiver | None = None
        self.early = False  # something came before there was a receiver
        self.whole_frames = False  # so far the receiver's frames came whole, and none is half in the parser
        self.rest = b""  # of a read: the beginning of a frame

    def deliver_to(self, receiver: Receiver) -> None:
        """From now on every message is taken by `receiver`; of ASGI's events only the disconnect is left."""
        self.receiver = receiver
        self.whole_frames = not self.early
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
        if self.whole_frames:
            data = self._take_whole_frames(data, self.receiver)
        if data:
            super().data_received(data)
        self.receiver.taken()

    def _take_whole_frames(self, data: bytes, receiver: Receiver) -> bytes:
        """Take text frames apart without the parser, which costs ten times as much, and give it the control frames.

        Returns what only the parser can judge: fragments, binary, violations, what is too long. It gets all from there.
        """
        if self.rest:
            data, self.rest = self.rest + data, b""
        at, end, taken = 0, len(data), 0
        while end - at >= 2:
            kind, length = data[at], data[at + 1] - 0x80  # a client's frames have the mask bit set
            start = at + 6
            if length == 126:
                if end - at < 4:
                    break
                length, start = data[at + 2] << 8 | data[at + 3], at + 8
            elif length > 126:
                length = -1
            longest = self.conn.max_message_size if kind == _WHOLE_TEXT else 125 if kind in _CONTROLS else -1
            if not 0 <= length <= longest:
                self.whole_frames = False
                return data[at:]
            stop = start + length
            if stop > end:
                break
            if kind == _WHOLE_TEXT:
                taken += 1
                if taken > self.conn.most_messages:
                    self.conn.refuse("queued_messages")
                    self.handle_parser_exception()
                else:
                    self._take_text(apply_mask(data[start:stop], data[start - 4 : start]), receiver)
            else:
                super().data_received(data[at:stop])
            if self.discarding or self.conn.close_rcvd is not None:
                return b""
            at = stop
        self.rest = data[at:]
        return b""

    def _take_text(self, data: bytes, receiver: Receiver) -> None:
        if self.close_sent:
            return
        try:
            text = data.decode()
        except UnicodeDecodeError:  # the peer's fault, and no traceback in our log
            self.guard.refused["protocol"] += 1
            self.fail(1007, "text is not UTF-8")
            return
        receiver.take(text)

    def handle_connect(self, event: Any) -> None:
        super().handle_connect(event)
        if self.handshake_initiated and not self.handshake_complete:
            self.scope["extensions"]["guard"] = self.connection  # type: ignore[assignment]

    def start_keepalive(self) -> None:
        """The application has accepted: the handshake is over."""
        self.connection.done()
        super().start_keepalive()

    def send_receive_event_to_app(self) -> None:
        """As the parent's, but to the receiver if there is one, and invalid UTF-8 is no traceback in our log."""
        data = self.frames[0] if len(self.frames) == 1 else b"".join(self.frames)
        self.frames = []
        if self.curr_msg_data_type == "text":
            self._take_text(data, self.receiver or self)
        elif not self.close_sent:
            (self.receiver or self).take(data)

    def take(self, message: bytes | str) -> None:
        """The application by way of ASGI, as the receiver where there is no other."""
        self.queue.put_nowait(
            {"type": "websocket.receive", "text": message}
            if isinstance(message, str)
            else {"type": "websocket.receive", "bytes": message}
        )
        if not self.read_paused:
            self.read_paused = True
            self.transport.pause_reading()

    def taken(self) -> None:
        """Nothing is left to be done."""

    def handle_close(self, event: Frame) -> None:
        (self.receiver or self).taken()  # what came before is answered
        super().handle_close(event)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self.transport.get_write_buffer_size() > self.guard.bounds.write_buffer_bytes:
            self.connection.cut("write_buffer")

    def too_late(self, name: str) -> None:
        """Called by the sweep."""
        if REFUSALS[name].code and self.handshake_complete:
            self.fail(*REFUSALS[name])
        else:
            self.transport.abort()

    def fail(self, code: int, reason: str) -> None:
        """Close from our side with a code and a reason."""
        if not self.close_sent:
            self.conn.fail(code, reason)
            self.handle_parser_exception()

    def handle_parser_exception(self) -> None:
        """Say why, half-close, and throw away what still comes for a moment.

        Closing at once with unread bytes would reset the connection, and the peer would never see the reason.
        """
        if self.close_sent:
            return
        (self.receiver or self).taken()  # what came before is answered
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
