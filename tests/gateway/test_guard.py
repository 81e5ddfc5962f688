"""Each attack that the server's guard must stop, run against a server process on loopback.

Clients of each test have their own address (127.1.0.n), so that the bounds per address of one test do not affect another.
Run as a program, this file is that server: a small ASGI application behind `serve`.
"""

import asyncio
import contextlib
import itertools
import json
import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from gateway.wire.bounds import Bounds
from gateway.wire.guard import Connection, Guard, connection_of, network_of
from gateway.wire.server import ServerError, serve
from tests.build import existing

SHORT = Bounds(
    connections=60,
    connections_per_address=8,
    connections_per_key=2,
    connects_per_second=50,
    handshake_seconds=0.5,
    authentication_seconds=0.4,
    keep_alive_seconds=0.4,
    write_stall_seconds=0.6,
    linger_seconds=0.4,
    ping_seconds=0.4,
    pong_seconds=0.4,
    message_bytes=32_768,
    pipelined_requests=4,
    queued_messages=512,
)
MEBIBYTE = 1 << 20


# The server.


async def application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        for done in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{done}.complete"})
    elif scope["type"] == "http":
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})
    else:
        await talk(scope, receive, send)


async def talk(scope: Any, receive: Any, send: Any) -> None:
    """Echo; `key:NAME` authenticates, `feed` sends without end."""
    connection = connection_of(scope)
    await receive()
    await send({"type": "websocket.accept"})
    if scope["path"] == "/private":
        connection.require_authentication()
    feeding = None
    while (message := await receive())["type"] == "websocket.receive":
        text = message.get("text")
        if text == "feed":
            feeding = asyncio.create_task(feed(send))
        elif text and text.startswith("key:"):
            await send({"type": "websocket.send", "text": str(connection.authenticate(text[4:]))})
        else:
            await send(message | {"type": "websocket.send"})
    if feeding:
        feeding.cancel()


async def feed(send: Any) -> None:
    with contextlib.suppress(OSError):
        while True:
            await send({"type": "websocket.send", "bytes": bytes(65_536)})


async def run_server(bounds: Any) -> None:
    server = serve(application, "127.0.0.1", 0, bounds)
    await server.start()
    loop = asyncio.get_running_loop()
    asked: asyncio.Queue[Any] = asyncio.Queue()
    loop.add_reader(0, lambda: asked.put_nowait(os.read(0, 100)))
    print(server.port, flush=True)
    while await asked.get():  # a line: report the state; end of input: stop
        rss = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        print(json.dumps(server.guard.metrics() | {"rss": rss}), flush=True)
    loop.remove_reader(0)
    await server.stop()
    print("stopped", flush=True)


# The clients.


@dataclass
class Running:
    """A server process and the clients of one test, which come from one address."""

    process: subprocess.Popen[bytes]
    port: int
    address: str = "127.0.0.1"

    def metrics(self) -> Any:
        existing(self.process.stdin).write(b"?\n")
        existing(self.process.stdin).flush()
        return json.loads(existing(self.process.stdout).readline())

    def refused(self, name: str) -> Any:
        return self.metrics()[f"refused_{name}"]

    def open(self, receive_bytes: Any = None, address: Any = None) -> Any:
        """A TCP connection, nothing sent yet."""
        client = socket.socket()
        if receive_bytes:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        client.settimeout(5)
        client.bind((address or self.address, 0))
        client.connect(("127.0.0.1", self.port))
        return client

    def upgrade(self, path: str = "/", **options: Any) -> Any:
        """A TCP connection after a websocket handshake, with frames by hand."""
        client = self.open(**options)
        client.sendall(
            b"GET " + path.encode() + b" HTTP/1.1\r\nHost: hub\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(1)
        assert head.startswith(b"HTTP/1.1 101"), head
        return client

    def websocket(self, path: str = "/", address: Any = None, **options: Any) -> Any:
        return connect(f"ws://127.0.0.1:{self.port}{path}", sock=self.open(address=address), legacy=True, **options)

    def eventually(self, condition: Any, seconds: int = 5) -> None:
        end = time.monotonic() + seconds
        while not condition(self.metrics()):
            assert time.monotonic() < end, self.metrics()
            time.sleep(0.02)


def start(bounds: Any) -> Any:
    process = subprocess.Popen(
        [sys.executable, __file__, json.dumps(asdict(bounds))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )
    return Running(process, int(existing(process.stdout).readline()))


@pytest.fixture(scope="module")
def process() -> Iterator[Any]:
    running = start(SHORT)
    yield running
    assert running.process.communicate(timeout=10)[0].endswith(b"stopped\n")
    assert running.process.returncode == 0


ADDRESSES = itertools.count(1)


@pytest.fixture
def hub(process: Any) -> Iterator[Any]:
    process.address = f"127.1.0.{next(ADDRESSES)}"
    yield process
    process.eventually(lambda now: now["connections_open"] == 0)


def frame(opcode: Any, data: bytes = b"", fin: bool = True, masked: bool = True, rsv: int = 0) -> Any:
    """A client's frame; the mask is zero, so the bytes stay as they are."""
    head = bytes([fin << 7 | rsv << 4 | opcode])
    mask = 0x80 if masked else 0
    if len(data) < 126:
        head += bytes([mask | len(data)])
    else:
        head += bytes([mask | 127]) + struct.pack("!Q", len(data))
    return head + (b"\0\0\0\0" if masked else b"") + data


def read_to_end(client: Any) -> Any:
    """Everything until the server closes."""
    data = b""
    with contextlib.suppress(ConnectionResetError, BrokenPipeError):
        while chunk := client.recv(65_536):
            data += chunk
    client.close()
    return data


def close_code(client: Any) -> Any:
    """The close code at the end of what a websocket receives; None: cut without one."""
    data = read_to_end(client)
    code = None
    while len(data) >= 2:
        size = data[1]
        if size == 126:
            size, data = struct.unpack_from("!H", data, 2)[0], data[2:]
        elif size == 127:
            size, data = struct.unpack_from("!Q", data, 2)[0], data[8:]
        if data[0] == 0x88:
            code = struct.unpack_from("!H", data, 2)[0]
        data = data[2 + size :]
    return code


def flood(client: Any, data: Any, megabytes: Any) -> Any:
    """Send until cut, at most so much, without reading. Returns bytes sent."""
    sent = 0
    client.settimeout(2)
    with contextlib.suppress(OSError):
        while sent < megabytes * MEBIBYTE:
            sent += client.send(data)
    return sent


# Control frames, fragments, sizes.


@pytest.mark.parametrize("opcode", [9, 10], ids=["ping", "pong"])
def test_a_flood_of_control_frames_by_a_client_that_never_reads_is_cut_and_costs_no_memory(
    hub: Any, opcode: Any
) -> None:
    before = hub.metrics()
    client = hub.upgrade(receive_bytes=4096)
    sent = flood(client, frame(opcode, bytes(125)) * 500, megabytes=64)
    client.close()
    assert sent < 16 * MEBIBYTE
    after = hub.metrics()
    assert after["refused_control_frames"] == before["refused_control_frames"] + 1
    assert after["rss"] - before["rss"] < 8 * MEBIBYTE


def test_a_flood_of_pings_by_a_client_that_reads_is_closed_with_1008(hub: Any) -> None:
    client = hub.upgrade()
    client.sendall(frame(9, b"x") * (SHORT.control_frames_per_second + 1))
    assert close_code(client) == 1008


def test_pings_within_the_bound_are_answered(hub: Any) -> None:
    with hub.websocket() as client:
        for _ in range(SHORT.control_frames_per_second // 2):
            assert client.ping().wait(2)


def test_endless_empty_fragments_are_refused_with_1009_and_cost_no_memory(hub: Any) -> None:
    before = hub.metrics()
    client = hub.upgrade()
    sent = flood(client, frame(1, fin=False) + frame(0, fin=False) * 20_000, megabytes=8)
    assert sent < 8 * MEBIBYTE
    client.close()
    after = hub.metrics()
    assert after["refused_fragments"] == before["refused_fragments"] + 1
    assert after["rss"] - before["rss"] < 8 * MEBIBYTE


def test_the_last_fragment_allowed_completes_the_message_and_one_more_is_1009(hub: Any) -> None:
    first, middle, last = frame(1, b"a", fin=False), frame(0, b"b", fin=False), frame(0, b"c")
    allowed = SHORT.fragments_per_message
    client = hub.upgrade()
    client.sendall(first + middle * (allowed - 2) + last)
    whole = b"a" + b"b" * (allowed - 2) + b"c"
    assert client.recv(100) == bytes([0x81, allowed]) + whole
    client.sendall(first + middle * (allowed - 1) + last)
    assert close_code(client) == 1009


def test_a_message_over_the_bound_is_closed_with_1009_even_while_its_bytes_still_come(hub: Any) -> None:
    with hub.websocket() as client:
        client.send("x" * SHORT.message_bytes_before_authentication)
        assert len(client.recv()) == SHORT.message_bytes_before_authentication
        with pytest.raises(ConnectionClosed) as closed:
            client.send("x" * (SHORT.message_bytes_before_authentication + 1))
            client.recv()
    assert existing(closed.value.rcvd).code == 1009
    client = hub.upgrade()
    client.sendall(frame(2, bytes(200_000)))
    assert close_code(client) == 1009


def test_messages_may_be_larger_once_authenticated(hub: Any) -> None:
    with hub.websocket() as client:
        client.send("key:large")
        assert client.recv() == "True"
        client.send(bytes(SHORT.message_bytes))
        assert len(client.recv()) == SHORT.message_bytes
        with pytest.raises(ConnectionClosed) as closed:
            client.send(bytes(SHORT.message_bytes + 1))
            client.recv()
    assert existing(closed.value.rcvd).code == 1009


def test_many_tiny_messages_at_once_are_refused_and_cost_no_memory(hub: Any) -> None:
    before = hub.metrics()
    client = hub.upgrade(receive_bytes=4096)
    sent = flood(client, frame(2) * 20_000, megabytes=8)
    client.close()
    after = hub.metrics()
    assert sent < 8 * MEBIBYTE
    assert after["refused_queued_messages"] == before["refused_queued_messages"] + 1
    assert after["rss"] - before["rss"] < 8 * MEBIBYTE


@pytest.mark.parametrize(
    "bad, code",
    [
        (frame(1, b"hello", masked=False), 1002),
        (frame(3, b"hello"), 1002),
        (frame(11), 1002),
        (frame(1, b"hello", rsv=4), 1002),
        (frame(0, b"hello"), 1002),
        (frame(9, bytes(126)), 1002),
        (frame(9, b"", fin=False), 1002),
        (frame(8, b"\x03"), 1002),
        (frame(1, b"\xff\xfe"), 1007),
        (frame(1, b"\xed\xa0\x80"), 1007),
    ],
    ids=[
        "unmasked",
        "opcode 3",
        "opcode 11",
        "rsv1",
        "lone continuation",
        "long ping",
        "fragmented ping",
        "short close",
        "not UTF-8",
        "surrogate",
    ],
)
def test_frames_that_break_the_protocol_are_answered_by_the_close_code_of_the_rfc(
    hub: Any, bad: Any, code: Any
) -> None:
    client = hub.upgrade()
    before = hub.refused("protocol")
    client.sendall(bad)
    assert close_code(client) == code
    assert hub.refused("protocol") == before + 1


def test_compression_is_declined(hub: Any) -> None:
    with hub.websocket(compression="deflate") as client:
        assert client.protocol.extensions == []
        client.send("plain")
        assert client.recv() == "plain"


# Readers and silence.


def test_a_reader_that_stalls_is_cut_while_another_is_served(hub: Any) -> None:
    before = hub.metrics()
    stalled = [hub.upgrade(receive_bytes=4096) for _ in range(4)]
    with hub.websocket() as healthy:
        for client in stalled:
            client.sendall(frame(1, b"feed"))
        end = time.monotonic() + 5
        while hub.metrics()["connections_open"] > 1:
            assert time.monotonic() < end, hub.metrics()
            healthy.send("still here?")
            assert healthy.recv(2) == "still here?"
        after = hub.metrics()
    assert after["refused_write_stalled"] > before["refused_write_stalled"]
    assert after["rss"] - before["rss"] < 8 * MEBIBYTE
    for client in stalled:
        client.close()


def test_a_slow_reader_that_still_reads_is_kept(hub: Any) -> None:
    client = hub.upgrade(receive_bytes=4096)
    client.sendall(frame(1, b"feed"))
    before = hub.refused("write_stalled")
    end = time.monotonic() + 3 * SHORT.write_stall_seconds
    while time.monotonic() < end:
        # The feed never ends and answers to pings come after it, so this test allows silence after pings.
        assert client.recv(262_144)
        time.sleep(0.01)
    assert hub.refused("write_stalled") == before
    client.close()


def test_a_peer_that_stops_answering_pings_is_closed(hub: Any) -> None:
    client = hub.upgrade()
    assert close_code(client) == 1011


def test_a_quiet_client_that_answers_pings_is_kept(hub: Any) -> None:
    with hub.websocket(ping_interval=None) as client:
        time.sleep(3 * (SHORT.ping_seconds + SHORT.pong_seconds) / 2)
        client.send("awake")
        assert client.recv() == "awake"


@pytest.mark.parametrize(
    "start",
    [
        b"",
        b"GET / HTTP/1.1\r\nHost: hub\r\n",
        b"GET / HTTP/1.1\r\nHost: hub\r\nUpgr",
        b"POST / HTTP/1.1\r\nHost: hub\r\nContent-Length: 100\r\n\r\n{",
    ],
    ids=["silent", "half-sent headers", "half a header", "half a body"],
)
def test_a_client_that_does_not_finish_a_request_is_dropped(hub: Any, start: Any) -> None:
    before = hub.refused("handshake_timeout")
    clients = [hub.open() for _ in range(5)]
    for client in clients:
        client.sendall(start)
    assert [read_to_end(client) for client in clients] == [b""] * 5
    assert hub.refused("handshake_timeout") == before + 5


def test_headers_sent_drop_by_drop_do_not_extend_the_time(hub: Any) -> None:
    client = hub.open()
    began = time.monotonic()
    with contextlib.suppress(OSError):
        while time.monotonic() < began + 5:
            client.sendall(b"GET / HTTP/1.1\r\n" if time.monotonic() == began else b"x: y\r\n")
            time.sleep(0.05)
            client.settimeout(0.001)
            with contextlib.suppress(TimeoutError):
                if not client.recv(1000):
                    break
    assert time.monotonic() < began + 4
    client.close()


def test_a_second_request_half_sent_on_a_kept_connection_is_dropped(hub: Any) -> None:
    client = hub.open()
    client.sendall(b"GET / HTTP/1.1\r\nHost: hub\r\n\r\n")
    assert client.recv(1000).startswith(b"HTTP/1.1 200")
    client.sendall(b"GET / HT")
    assert read_to_end(client) == b""


def test_an_idle_http_connection_is_closed_quietly(hub: Any) -> None:
    before = hub.refused("handshake_timeout")
    client = hub.open()
    client.sendall(b"GET / HTTP/1.1\r\nHost: hub\r\n\r\n")
    assert read_to_end(client).endswith(b"\r\n\r\nok")
    assert hub.refused("handshake_timeout") == before


# Requests.


@pytest.mark.parametrize(
    "request_, status, name",
    [
        (b"GET / HTTP/1.1\r\nHost: hub\r\nx: " + b"y" * 20_000 + b"\r\n\r\n", b"431", "request_head"),
        (b"GET / HTTP/1.1\r\nHost: hub\r\nx: " + b"y" * 20_000, b"431", "request_head"),
        (b"GET /" + b"y" * 20_000 + b" HTTP/1.1\r\nHost: hub\r\n\r\n", b"431", "request_head"),
        (b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 4_000 + b"\r\n", b"431", "request_head"),
        (b"POST / HTTP/1.1\r\nHost: hub\r\nContent-Length: 70000\r\n\r\n" + b"x" * 70_000, b"413", "request_body"),
        (b"GET / HTTP/1.1\r\nHost: hub\r\n\r\n" * 50, b"429", "pipelined_requests"),
        (b"\0\1\2\3 not http\r\n\r\n", b"400", None),
    ],
    ids=["long header", "header without end", "long path", "many headers", "long body", "many pipelined", "not HTTP"],
)
def test_requests_beyond_the_bounds_are_refused_with_their_status(
    hub: Any, request_: Any, status: Any, name: str
) -> None:
    before = hub.metrics()
    client = hub.open()
    client.sendall(request_)
    assert read_to_end(client).startswith(b"HTTP/1.1 " + status)
    if name:
        assert hub.refused(name) == before[f"refused_{name}"] + 1


def test_a_body_larger_than_the_bound_of_a_head_is_accepted_in_one_read(hub: Any) -> None:
    """Sent in one call, and larger than request_head_bytes; the server mostly reads it at once."""
    request_ = b"POST / HTTP/1.1\r\nHost: hub\r\nContent-Length: 20000\r\n\r\n" + b"x" * 20_000
    client = hub.open()
    for _ in range(20):
        client.sendall(request_)
        answer = client.recv(1000)
        assert answer.startswith(b"HTTP/1.1 200"), answer
        while not answer.endswith(b"ok"):
            answer += client.recv(1000)


def test_a_head_without_end_after_a_whole_request_is_refused(hub: Any) -> None:
    before = hub.refused("request_head")
    client = hub.open()
    client.sendall(b"GET / HTTP/1.1\r\nHost: hub\r\n\r\nGET / HTTP/1.1\r\nx: " + b"y" * 10_000)
    with contextlib.suppress(OSError):
        for _ in range(20):
            time.sleep(0.01)
            client.sendall(b"y" * 10_000)
    hub.eventually(lambda now: now["connections_open"] == 0)
    assert hub.refused("request_head") == before + 1


# Connections.


def test_one_address_has_so_many_connections_and_the_next_is_answered_429_before_the_upgrade(hub: Any) -> None:
    clients = [hub.websocket() for _ in range(SHORT.connections_per_address)]
    with pytest.raises(InvalidStatus) as refused:
        hub.websocket()
    response = refused.value.response
    assert response.status_code == 429 and response.headers["retry-after"] == "1"
    assert json.loads(response.body)["error"]["data"] == {"bound": "connections_per_address"}
    clients.pop().close()
    hub.eventually(lambda now: now["connections_open"] == SHORT.connections_per_address - 1)
    time.sleep(2 / SHORT.connects_per_second)
    with hub.websocket() as again:
        again.send("room")
        assert again.recv() == "room"
    for client in clients:
        client.close()


def test_a_full_hub_answers_503_to_every_address_and_keeps_serving_those_inside(hub: Any) -> None:
    each = SHORT.connections_per_address
    addresses = [f"127.2.0.{n}" for n in range(1, SHORT.connections // each + 2)]
    clients = [
        hub.websocket(address=address)
        for address in addresses
        for _ in range(each)
        if hub.metrics()["connections_open"] < SHORT.connections
    ]
    assert len(clients) == SHORT.connections
    with pytest.raises(InvalidStatus) as refused:
        hub.websocket()
    assert refused.value.response.status_code == 503
    assert json.loads(refused.value.response.body)["error"]["data"] == {"bound": "connections"}
    for client in clients:
        client.send("inside")
    assert {client.recv(2) for client in clients} == {"inside"}
    for client in clients:
        client.close()


def test_a_flood_of_silent_connections_holds_no_more_than_the_bounds(hub: Any) -> None:
    before = hub.metrics()
    clients = []
    for _ in range(400):
        with contextlib.suppress(OSError):
            clients.append(hub.open())
    now = hub.metrics()
    assert now["connections_open"] <= SHORT.connections_per_address
    assert now["rss"] - before["rss"] < 8 * MEBIBYTE
    for client in clients:
        client.close()


def test_new_connections_a_second_are_bounded_per_address(hub: Any) -> None:
    statuses = set()
    for _ in range(SHORT.connections_per_address + SHORT.connects_per_second):
        client = hub.open()
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        statuses.add(read_to_end(client).split(b" ")[1])
    assert statuses == {b"200", b"429"}
    assert hub.refused("connects_per_second") > 0
    time.sleep(3 / SHORT.connects_per_second)
    client = hub.open()
    client.sendall(b"GET / HTTP/1.0\r\n\r\n")
    assert read_to_end(client).startswith(b"HTTP/1.1 200")


def test_one_key_has_so_many_connections_until_one_of_them_ends(hub: Any) -> None:
    clients = [hub.websocket() for _ in range(3)]
    answers = []
    for client in clients:
        client.send("key:alpha")
        answers.append(client.recv())
    assert answers == ["True", "True", "False"]
    clients[0].close()
    hub.eventually(lambda now: now["connections_open"] == 2)
    clients[2].send("key:alpha")
    assert clients[2].recv() == "True"
    for client in clients[1:]:
        client.close()


def test_a_private_endpoint_closes_with_1008_unless_authenticated_in_time(hub: Any) -> None:
    late, early = hub.websocket("/private"), hub.websocket("/private")
    early.send("key:early")
    assert early.recv() == "True"
    with pytest.raises(ConnectionClosed) as closed:
        late.recv(5)
    assert (existing(closed.value.rcvd).code, existing(closed.value.rcvd).reason) == (1008, "not authenticated in time")
    early.send("private")
    assert early.recv() == "private"
    early.close()


# Starting, stopping, settings.


def test_stopping_does_not_wait_for_a_stalled_reader() -> None:
    running = start(Bounds())
    client = running.upgrade(receive_bytes=4096)
    client.sendall(frame(1, b"feed"))
    healthy = running.websocket()
    healthy.send("x")
    healthy.recv()
    out, _ = running.process.communicate(timeout=8)
    assert out == b"stopped\n" and running.process.returncode == 0
    with pytest.raises(ConnectionClosed) as closed:
        healthy.recv()
    assert existing(closed.value.rcvd).code == 1012
    client.close()


def test_a_busy_port_is_one_clear_line_with_an_exit_code() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ServerError, match=f"^cannot listen on 127.0.0.1:{port}: address already in use$") as error:
            serve(application, "127.0.0.1", port)
    assert error.value.exit_code == 10


@pytest.mark.parametrize("host, port", [("192.0.2.1", 0), ("127.0.0.1", 70_000), ("no.such.host.invalid", 0)])
def test_an_address_that_cannot_be_bound_is_named(host: Any, port: Any) -> None:
    with pytest.raises(ServerError, match=f"^cannot listen on {host}:{port}: "):
        serve(application, host, port)


def test_an_application_that_refuses_to_start_is_reported() -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no data folder"})

    async def run() -> None:
        await serve(broken, "127.0.0.1", 0).start()

    with pytest.raises(ServerError, match="did not start") as error:
        asyncio.run(run())
    assert error.value.exit_code == 11


@pytest.mark.parametrize("value", [0, -1, "many", None, 2**40])
def test_a_wrong_bound_is_named(value: Any) -> None:
    with pytest.raises(ValueError, match="bound fragments_per_message is"):
        Bounds(fragments_per_message=value)


def test_an_ipv6_customer_is_one_address() -> None:
    assert network_of("2001:db8:1:2:3::4") == network_of("2001:db8:1:2:ffff::1") != network_of("2001:db8:1:3::1")
    assert network_of("::ffff:192.0.2.7") == network_of("192.0.2.7") == "192.0.2.7"
    assert network_of("fe80::1%eth0") == "fe80::/64"


def test_without_a_guard_a_connection_allows_everything_once() -> None:
    connection = connection_of({"type": "websocket"})
    assert isinstance(connection, Connection) and connection.authenticate("key")
    connection.require_authentication()
    connection.done()


def test_addresses_without_connections_are_forgotten() -> None:
    now = [0.0]
    guard = Guard(SHORT, clock=lambda: now[0])
    assert guard._broken("192.0.2.1") is None
    guard.addresses["192.0.2.1"].allowance = 0
    guard.sweep()
    assert list(guard.addresses) == ["192.0.2.1"]
    now[0] = SHORT.connections_per_address / SHORT.connects_per_second
    guard.sweep()
    assert guard.addresses == {}


if __name__ == "__main__":
    import uvloop

    uvloop.run(run_server(Bounds(**json.loads(sys.argv[1]))))
