"""The application over real sockets, in a process of its own, with journal and fsync: websocket, HTTP, and the effects of a lost
connection. test_session.py tests the meaning of requests without sockets."""

import asyncio
import contextlib
import hashlib
import hmac
import itertools
import json
import re
import socket
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.build import existing

ids = itertools.count(1)
PRICE = {"alice": 521, "bob": 522, "carol": 523, "dave": 524}


class Client:
    """A websocket that numbers its requests and keeps notifications."""

    def __init__(self, socket: Any) -> None:
        self.socket = socket
        self.notifications: list[Any] = []

    async def ask(self, method: str, **parameters: Any) -> Any:
        number = next(ids)
        await self.socket.send(json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(await asyncio.wait_for(self.socket.recv(), 20))
            if message.get("id") == number:
                return message.get("result", message.get("error"))
            self.notifications.append(message)

    async def next(self, channel: Any) -> Any:
        while True:
            for message in self.notifications:
                if message.get("params", {}).get("channel") == channel:
                    self.notifications.remove(message)
                    return message["params"]["data"]
            self.notifications.append(json.loads(await asyncio.wait_for(self.socket.recv(), 20)))


@contextlib.asynccontextmanager
async def client(served: str, key: Any = None) -> AsyncIterator[Any]:
    async with connect(f"ws://{served}/ws/api/v2", compression=None) as socket:
        one = Client(socket)
        if key:
            await one.ask("public/auth", grant_type="client_credentials", client_id=key, client_secret=f"{key}-secret")
        yield one


def run(test: Any) -> Any:
    """Async tests without a plugin's settings."""

    def wrapped(served: str) -> None:
        asyncio.run(test(served))

    wrapped.__name__ = test.__name__
    return wrapped


def order(instrument: str = "LU2701", amount: int = 10, price: int = 3964, **more: Any) -> Any:
    return {"instrument_name": instrument, "amount": amount, "price": price, **more}


@run
async def test_two_clients_trade_and_each_gets_its_reports(served: str) -> None:
    async with client(served, "alice") as alice, client(served, "bob") as bob:
        await alice.ask(
            "private/subscribe", channels=["user.orders.any.any.raw", "user.trades.any.any.raw", "book.LU2701.raw"]
        )
        assert (await alice.next("book.LU2701.raw"))["type"] == "snapshot"
        bought = await alice.ask("private/buy", **order(amount=30))
        assert (bought["order"]["order_state"], bought["order"]["amount"]) == ("open", 30)
        assert (await alice.next("book.LU2701.raw"))["bids"] == [["new", 3964, 30]]
        sold = await bob.ask("private/sell", **order(price=3960))
        assert [(trade["price"], trade["amount"]) for trade in sold["trades"]] == [(3964, 10)]
        assert [(await alice.next("user.orders.any.any.raw"))["filled_amount"] for _ in range(2)] == [0, 10]
        assert [trade["liquidity"] for trade in await alice.next("user.trades.any.any.raw")] == ["M"]
        assert (await alice.ask("private/cancel", order_id=bought["order"]["order_id"]))["order_state"] == "cancelled"


@run
async def test_many_orders_in_flight_are_answered_each_once_and_in_order(served: str) -> None:
    async with client(served, "carol") as carol:
        numbers = [next(ids) for _ in range(500)]
        for number in numbers:
            await carol.socket.send(
                json.dumps(
                    {"id": number, "method": "private/buy", "params": order(price=3900, client_order_id=f"n{number}")}
                )
            )
        answers = [json.loads(await asyncio.wait_for(carol.socket.recv(), 20)) for _ in numbers]
        assert [answer["id"] for answer in answers] == numbers
        sequences = [answer["result"]["order"]["seq"] for answer in answers]
        assert sequences == sorted(set(sequences))
        assert await carol.ask("private/cancel_all") == 500


@run
async def test_a_retry_over_another_connection_does_not_trade_twice(served: str) -> None:
    async with client(served, "carol") as first:
        entered = await first.ask("private/buy", **order(price=3901, client_order_id="retry-1"))
    async with client(served, "carol") as second:
        again = await second.ask("private/buy", **order(price=3901, client_order_id="retry-1"))
        assert (again["order"]["order_id"], again["order"]["dup"]) == (entered["order"]["order_id"], True)
        assert await second.ask("private/cancel_all") == 1


@pytest.mark.parametrize("how", ["closed", "torn"])
def test_cancel_on_disconnect_acts_on_a_lost_connection(served: str, how: Any) -> None:
    async def test() -> None:
        async with client(served, "dave") as watching:
            async with client(served, "dave") as dave:
                await dave.ask("private/enable_cancel_on_disconnect")
                await dave.ask("private/buy", **order(price=3902))
                if how == "torn":
                    dave.socket.transport.abort()
            for _ in range(200):
                if not await watching.ask("private/get_open_orders"):
                    return
                await asyncio.sleep(0.05)
            raise AssertionError("the order is still there")

    asyncio.run(test())


@run
async def test_after_logout_the_connection_is_closed_and_orders_stay(served: str) -> None:
    async with client(served, "dave") as dave:
        await dave.ask("private/enable_cancel_on_disconnect")
        await dave.ask("private/buy", **order(price=3903))
        assert await dave.ask("private/logout") == "ok"
        with pytest.raises(ConnectionClosed) as closed:
            await asyncio.wait_for(dave.socket.recv(), 20)
        assert existing(closed.value.rcvd).code == 1000
    async with client(served, "dave") as again:
        assert await again.ask("private/cancel_all") == 1


@run
async def test_a_missed_heartbeat_closes_the_connection(served: str) -> None:
    async with client(served) as silent:
        assert await silent.ask("public/set_heartbeat", interval=1) == "ok"
        seen = []
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                seen.append(json.loads(await asyncio.wait_for(silent.socket.recv(), 20))["params"]["type"])
        assert seen[-1] == "test_request" and existing(closed.value.rcvd).code == 4001


@run
async def test_what_cannot_be_read_is_answered_and_the_connection_stays(served: str) -> None:
    async with client(served) as one:
        for frame in ("nonsense", b"\xff\xfe", '{"method":"public/test","params":{"a":1}}', "[" * 4000):
            await one.socket.send(frame)
            assert "error" in json.loads(await asyncio.wait_for(one.socket.recv(), 20))
        assert "version" in await one.ask("public/test")


@run
async def test_public_channels_need_no_key(served: str) -> None:
    async with client(served) as one, client(served, "bob") as bob:
        assert await one.ask("public/subscribe", channels=["quote.LU2701", "trades.LU2701.100ms", "book.LU2701.100ms"])
        assert (await one.next("quote.LU2701"))["instrument_name"] == "LU2701"
        await bob.ask("private/sell", **order(price=3960))
        await bob.ask("private/buy", **order(price=3960))
        assert [trade["price"] for trade in await one.next("trades.LU2701.100ms")] == [3960]


# HTTP ---------------------------------------------------------------------------------------------


def get(served: str, path: str, **more: Any) -> Any:
    return httpx.get(f"http://{served}/api/v2/{path}", timeout=20, **more)


def signed(served: str, path: str, key: str = "bob", method: str = "GET", body: bytes = b"") -> Any:
    stamp, nonce = str(int(time.time() * 1000)), str(next(ids))
    text = f"{stamp}\n{nonce}\n{method}\n/api/v2/{path}\n{body.decode()}\n"
    signature = hmac.new(f"{key}-secret".encode(), text.encode(), hashlib.sha256).hexdigest()
    headers = {"authorization": f"deri-hmac-sha256 id={key},ts={stamp},sig={signature},nonce={nonce}"}
    return httpx.request(method, f"http://{served}/api/v2/{path}", content=body, headers=headers, timeout=20)


def test_orders_go_by_signed_http_get_as_well(served: str) -> None:
    answer = signed(served, "private/buy?instrument_name=LU2701&amount=20&price=3904.0&post_only=true")
    order_ = answer.json()["result"]["order"]
    assert (answer.status_code, order_["price"], order_["post_only"]) == (200, 3904, True)
    edited = signed(served, f"private/edit?order_id={order_['order_id']}&amount=10").json()["result"]["order"]
    assert edited["amount"] == 10
    canceled = signed(served, f"private/cancel?order_id={order_['order_id']}").json()["result"]
    assert canceled["order_state"] == "cancelled"


def test_post_takes_parameters_or_a_whole_request(served: str) -> None:
    whole = {"jsonrpc": "2.0", "id": "x", "method": "private/get_positions", "params": {"currency": "CNY"}}
    for path, body in (("private/get_positions", whole["params"]), ("private/get_positions", whole)):
        answer = httpx.post(f"http://{served}/api/v2/{path}", json=body, auth=("bob", "bob-secret"), timeout=20)
        assert answer.status_code == 200 and isinstance(answer.json()["result"], list)
    answer = httpx.post(f"http://{served}/api/v2", json=whole, auth=("bob", "bob-secret"), timeout=20)
    assert answer.json()["id"] == "x" and "result" in answer.json()


def test_a_token_from_http_opens_private_methods(served: str) -> None:
    answer = get(
        served,
        "public/auth",
        params={"grant_type": "client_credentials", "client_id": "bob", "client_secret": "bob-secret"},
    )
    token = answer.json()["result"]["access_token"]
    answer = get(served, "private/get_account_summary?currency=CNY", headers={"authorization": f"Bearer {token}"})
    assert answer.json()["result"]["username"] == "bob"


@pytest.mark.parametrize(
    ("path", "status", "code", "field"),
    [
        ("private/get_positions", 401, 13009, None),
        ("public/nonsense", 404, -32601, "method"),
        ("nonsense", 404, -32601, "method"),
        ("public/get_order_book?instrument_name=XX", 400, 13020, "instrument_name"),
        ("public/get_order_book?instrument_name=SC2701&depth=many", 400, -32602, "depth"),
        ("public/get_order_book?instrument_name=SC2701&instrument_name=SC2702", 400, -32602, "instrument_name"),
        ("public/subscribe?channels=x", 400, 10030, "method"),
        ("public/set_heartbeat?interval=10", 400, 10030, "method"),
    ],
)
def test_http_refuses_with_a_status_and_a_body_that_names_the_field(
    served: str, path: str, status: Any, code: Any, field: str
) -> None:
    answer = get(served, path)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["data"].get("field")) == (status, code, field)


@pytest.mark.parametrize(
    "body",
    [
        b"x",
        b"[]",
        b"7",
        b'{"a":1}',
        b'{"order_id":"1","order_id":"2"}',
        b'{"order_id":"1"} {}',
        b'{"order_id":"1"},"method":"private/cancel_all"',
        b'{"method":"private/cancel_all"}',
        b'{"order_id":' + b"[" * 8_000,
        b'{"order_id":"\xff"}',
    ],
)
def test_a_body_that_is_not_the_parameters_is_refused(served: str, body: Any) -> None:
    answer = httpx.post(f"http://{served}/api/v2/private/cancel", content=body, auth=("bob", "bob-secret"), timeout=20)
    assert answer.status_code == 400 and "error" in answer.json()


def test_the_page_of_the_api_loads_nothing_from_other_servers(served: str) -> None:
    """A trading floor may have no way to the internet, so the page loads everything from the hub."""
    page = httpx.get(f"http://{served}/docs", timeout=20).text
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(loaded) >= 2 and all(path.startswith("/") for path in loaded)
    assert all(httpx.get(f"http://{served}{path}", timeout=20).status_code == 200 for path in loaded)


def test_the_hub_reports_that_it_is_alive_and_ready(served: str) -> None:
    assert httpx.get(f"http://{served}/healthz", timeout=20).json()["alive"] is True
    ready = httpx.get(f"http://{served}/readyz", timeout=20)
    assert ready.status_code == 200 and ready.json()["ready"] is True


def test_the_documented_schema_lists_every_http_method_once(served: str) -> None:
    schema = httpx.get(f"http://{served}/openapi.json", timeout=20).json()
    assert "/api/v2/private/buy" in schema["paths"] and "/api/v2/public/subscribe" not in schema["paths"]
    body = schema["paths"]["/api/v2/private/buy"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert "client_order_id" in body["properties"]
    operations = [operation["operationId"] for path in schema["paths"].values() for operation in path.values()]
    assert len(operations) == len(set(operations))


# The trading day.


@run
async def test_a_stop_waits_and_is_triggered_over_the_socket(served: str) -> None:
    async with client(served, "alice") as alice, client(served, "bob") as bob:
        last = (await alice.ask("public/ticker", instrument_name="BU2701"))["last_price"]
        await alice.ask("private/subscribe", channels=["user.orders.BU2701.raw"])
        terms = {"type": "stop_limit", "trigger_price": last + 20}
        stop = (await alice.ask("private/buy", **order("BU2701", 10, last + 20, **terms)))["order"]
        assert (stop["order_state"], stop["trigger_price"]) == ("untriggered", last + 20)
        assert (await alice.next("user.orders.BU2701.raw"))["order_state"] == "untriggered"
        await bob.ask("private/sell", **order("BU2701", 20, last + 20))
        await bob.ask("private/buy", **order("BU2701", 10, last + 20))
        seen = await alice.next("user.orders.BU2701.raw")
        assert (seen["order_id"], seen["order_state"], seen["triggered"]) == (stop["order_id"], "filled", True)


@run
async def test_an_operator_halts_an_instrument_and_the_phase_is_published(served: str) -> None:
    async with client(served, "alice") as alice, client(served, "operator") as chief:
        await alice.ask("public/subscribe", channels=["phase.FU2701", "ticker.FU2701.raw"])
        assert (await alice.next("phase.FU2701"))[0]["phase"] == "continuous"
        assert (await alice.next("ticker.FU2701.raw"))["state"] == "open"
        halted = await chief.ask("operator/halt", instrument_name="FU2701")
        assert [(event["event"], event["phase"]) for event in halted["events"]] == [("phase", "halted")]
        assert (await alice.next("phase.FU2701"))[0]["seq"] == halted["seq"]
        assert (await alice.next("ticker.FU2701.raw"))["phase"] == "halted"
        assert (await alice.ask("private/buy", **order("FU2701", 10, 3000)))["data"]["reason"] == "instrument_halted"
        assert (await alice.ask("operator/resume"))["code"] == 13021
        assert "seq" in await chief.ask("operator/resume", instrument_name="FU2701")
        assert (await alice.next("phase.FU2701"))[0]["phase"] == "continuous"
        assert (await chief.ask("operator/logout")) == "ok"


def test_operators_work_over_http_too_and_traders_do_not(served: str) -> None:
    def ask(key: str, **params: Any) -> Any:
        return httpx.get(
            f"http://{served}/api/v2/operator/set_phase", params=params, timeout=20, auth=(key, f"{key}-secret")
        )

    refused = ask("alice", instrument_name="PG2701", phase="break")
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, 13021)
    for phase in ("break", "continuous"):
        answer = ask("operator", instrument_name="PG2701", phase=phase)
        assert (answer.status_code, answer.json()["result"]["events"][0]["phase"]) == (200, phase)
    refused = ask("operator", instrument_name="PG2701", phase="closing-time")
    assert (refused.status_code, refused.json()["error"]["data"]["field"]) == (400, "phase")


def test_a_statement_is_a_page_and_a_file_of_its_own(served: str) -> None:
    def get_file(path: str, key: Any = None) -> Any:
        return httpx.get(f"http://{served}/api/v2/{path}", auth=(key, f"{key}-secret") if key else None, timeout=20)

    assert get_file("private/statement.csv", "dave").json()["error"]["data"]["reason"] == "no_statement"
    ended = httpx.post(f"http://{served}/api/v2/operator/end_day", auth=("operator", "operator-secret"), timeout=20)
    assert ended.json()["result"]["events"][-1]["event"] == "day_ended"
    page, table = (get_file(f"private/statement.{form}", "dave") for form in ("html", "csv"))
    assert page.headers["content-type"].startswith("text/html") and "dave" in page.text
    assert (
        table.headers["content-type"].startswith("text/csv") and "statement.csv" in table.headers["content-disposition"]
    )
    assert table.text.splitlines()[1].split(",")[:3] == ["account", "", "dave"]
    hub = get_file("operator/statement.csv", "operator")
    assert hub.text.splitlines()[1].startswith("hub,")
    assert "alice" in get_file("operator/statement.html?account=alice", "operator").text
    assert get_file("operator/statement.html", "dave").status_code == 403
    assert get_file("private/statement.html?date=2020-01-01", "dave").status_code == 400
    stranger = get_file("private/statement.html")
    assert stranger.status_code == 401 and stranger.headers["www-authenticate"].startswith("Basic")


# Frames, by hand.


def frame(kind: int, data: bytes, fin: bool = True) -> bytes:
    head = bytes((fin << 7 | kind,)) + (
        bytes((0x80 | len(data),)) if len(data) < 126 else b"\xfe" + len(data).to_bytes(2, "big")
    )
    return head + b"mask" + bytes(byte ^ b"mask"[at % 4] for at, byte in enumerate(data))


def question(number: int, more: int = 0) -> bytes:
    return b'{"id":%d,"method":"public/get_time"%s}' % (number, b" " * more)


def bare(served: str, *sent: bytes) -> bytes:
    """The answer on one connection that sends a handshake and these, read by read, and then reads to the end."""
    host, _, port = served.partition(":")
    with socket.create_connection((host, int(port)), timeout=10) as wire:
        wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        handshake = (
            b"GET /ws/api/v2 HTTP/1.1\r\nHost: hub\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        wire.sendall(handshake)
        got = b""
        while not got.endswith(b"\r\n\r\n"):
            got += wire.recv(1)
        for part in sent:
            wire.sendall(part)
            time.sleep(0.002)
        got = b""
        while part := wire.recv(65_536):
            got += part
        return got


def answered(answers: bytes) -> list[int]:
    return [int(found) for found in re.findall(rb'"id":(\d+),"result"', answers)]


GOODBYE = frame(8, b"\x03\xe8")


def test_frames_of_one_read_are_answered_in_order_before_the_close_frame_is(served: str) -> None:
    got = bare(served, b"".join(frame(1, question(number)) for number in range(50)) + GOODBYE)
    assert answered(got) == list(range(50))
    assert got.endswith(b"\x88\x02\x03\xe8")


def test_frames_may_be_cut_anywhere(served: str) -> None:
    sent = frame(1, question(1)) + frame(1, question(2, more=200)) + frame(9, b"ping") + frame(1, question(3)) + GOODBYE
    got = bare(served, *(sent[at : at + 1] for at in range(len(sent))))
    assert answered(got) == [1, 2, 3]
    assert b"\x8a\x04ping" in got


def test_fragments_and_whole_frames_may_follow_each_other(served: str) -> None:
    halves = question(2)[:9], question(2)[9:]
    got = bare(
        served,
        frame(1, question(1))
        + frame(1, halves[0], fin=False)
        + frame(9, b"ping")
        + frame(0, halves[1])
        + frame(1, question(3)),
        frame(1, question(4)) + GOODBYE,
    )
    assert answered(got) == [1, 2, 3, 4]
    assert b"\x8a\x04ping" in got


@pytest.mark.parametrize(
    "bad, code",
    [
        (frame(1, b"\xff\xfe"), 1007),
        (frame(1, bytes(5_000)), 1009),
        (frame(3, b"data"), 1002),
        (frame(9, bytes(126)), 1002),
        (b"\x81\x02hi", 1002),
        (frame(0x41, b"hi"), 1002),
        (frame(0, b"hi"), 1002),
    ],
    ids=["not UTF-8", "too long", "opcode 3", "long ping", "unmasked", "reserved bit", "lone continuation"],
)
def test_a_frame_that_breaks_the_protocol_ends_the_connection_after_what_came_before_it(
    served: str, bad: Any, code: Any
) -> None:
    got = bare(served, frame(1, question(1)) + bad + frame(1, question(2)))
    assert answered(got) == [1]
    assert b"\x88" in got and code.to_bytes(2, "big") in got.rpartition(b"\x88")[2]
