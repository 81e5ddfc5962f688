"""The Python client against a hub process, sync and async: what the README shows must work as shown."""

import asyncio
import itertools
import socket
import threading
import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from websockets.sync.server import serve

from gateway.client import (
    AsyncBinaryClient,
    AsyncClient,
    BinaryClient,
    Client,
    ConnectionLost,
    HubError,
    backoff,
)
from matching import COMMAND, CommandKind, EventKind, Flag, OrderType, Side, TimeInForce


@pytest.fixture
def url(served: str) -> Any:
    return f"ws://{served}"


@pytest.fixture
def dave(url: str) -> Iterator[Any]:
    with Client(url, "dave", "dave-secret") as hub:
        yield hub
        hub.cancel_all()


@pytest.fixture
def terms(dave: Any) -> Any:
    """Instrument, one lot, and a price at which no one else trades; other tests use other instruments."""
    instrument = dave.call("public/get_instruments")[-1]
    return instrument["instrument_name"], instrument["contract_size"], str(instrument["reference_price"])


# JSON, blocking.


def test_orders_are_entered_edited_and_canceled(dave: Any, terms: Any) -> None:
    name, lot, price = terms
    order = dave.buy(name, amount=2 * lot, price=price, label="first")["order"]
    assert (order["order_state"], order["label"], order["direction"]) == ("open", "first", "buy")
    smaller = dave.edit(order["order_id"], amount=lot, price=price)["order"]
    assert smaller["order_id"] == order["order_id"] and smaller["amount"] == lot
    assert dave.cancel(order["order_id"])["order_state"] == "cancelled"
    dave.buy(name, lot, Decimal(price))
    dave.sell(name, lot, float(price) + dave.call("public/get_instrument", instrument_name=name)["tick_size"])
    assert dave.cancel_all() == 2


def test_an_order_without_a_price_is_a_market_order(dave: Any, terms: Any) -> None:
    name, lot, _ = terms
    order = dave.buy(name, lot)["order"]
    assert (order["order_type"], order["order_state"]) == ("market", "cancelled")


def test_a_refusal_is_an_exception_with_code_message_and_field(dave: Any, terms: Any) -> None:
    name, lot, _ = terms
    with pytest.raises(HubError) as refused:
        dave.buy(name, lot, "1000000")
    assert refused.value.data["field"] == "price" and str(refused.value.code) in str(refused.value)
    with pytest.raises(HubError, match="-32601"):
        dave.call("public/no_such_method")
    assert dave.call("public/test")["version"]


def test_notifications_are_iterated_while_calls_are_made(dave: Any, terms: Any) -> None:
    name, lot, price = terms
    feed = dave.subscribe(f"user.orders.{name}.raw", f"book.{name}.raw")
    order = dave.buy(name, lot, price)["order"]
    seen = {}
    for channel, data in feed:
        if channel.startswith("user.orders"):
            seen["state"] = data["order_state"]
            if data["order_state"] == "open":
                dave.cancel(order["order_id"])
        else:
            seen.setdefault("book", data["type"])
        if seen.get("state") == "cancelled":
            break
    assert seen == {"book": "snapshot", "state": "cancelled"}
    dave.unsubscribe(f"user.orders.{name}.raw")


def test_a_wrong_key_and_a_closed_port_are_errors_at_once(url: str) -> None:
    with pytest.raises(HubError, match="13004"):
        Client(url, "dave", "guess")
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with pytest.raises(OSError):
        Client(f"ws://127.0.0.1:{port}")
    with pytest.raises(ConnectionLost, match="did not accept"):
        Client(url + "/nowhere")


def test_a_client_without_a_key_sees_what_is_public_and_no_more(url: str) -> None:
    with Client(url) as hub:
        assert hub.call("public/get_time") > 0
        with pytest.raises(HubError, match="13009"):
            hub.cancel_all()


# JSON, in an event loop.


def test_many_calls_are_in_flight_at_once_and_each_gets_its_own_answer(url: str, terms: Any) -> None:
    name, lot, price = terms

    async def run() -> Any:
        async with AsyncClient(url, "dave", "dave-secret") as hub:
            answers = await asyncio.gather(*(hub.buy(name, lot, price, label=f"n{n}") for n in range(50)))
            canceled = await hub.cancel_all()
            return [answer["order"]["label"] for answer in answers], canceled

    labels, canceled = asyncio.run(run())
    assert labels == [f"n{n}" for n in range(50)] and canceled == 50


def test_a_subscription_gives_just_its_channels_and_ends_with_the_connection(url: str, terms: Any) -> None:
    name, lot, price = terms

    async def run() -> Any:
        async with AsyncClient(url, "dave", "dave-secret") as hub:
            orders = await hub.subscribe(f"user.orders.{name}.raw")
            books = await hub.subscribe(f"book.{name}.raw")
            order = (await hub.buy(name, lot, price))["order"]
            await hub.edit(order["order_id"], amount=lot, price=price)
            await hub.cancel(order["order_id"])
            seen = []
            async for channel, data in orders:
                seen.append((channel, data["order_state"]))
                if data["order_state"] == "cancelled":
                    break
            async for channel, data in books:
                assert (channel, data["type"]) == (f"book.{name}.raw", "snapshot")
                break
            await orders.close()
        with pytest.raises(ConnectionLost):
            async for _ in books:
                pass
        with pytest.raises(ConnectionLost):
            await hub.call("public/test")
        return seen

    assert asyncio.run(run()) == [(f"user.orders.{name}.raw", "open")] * 2 + [(f"user.orders.{name}.raw", "cancelled")]


def test_refusals_reach_the_caller_who_made_them(url: str, terms: Any) -> None:
    name, lot, price = terms

    async def run() -> Any:
        async with AsyncClient(url, "dave", "dave-secret") as hub:
            answers = await asyncio.gather(
                hub.buy(name, lot, price), hub.sell("NOTHING", lot, price), return_exceptions=True
            )
            await hub.cancel_all()
            with pytest.raises(HubError):
                await hub.subscribe("no.such.channel")
            return answers

    good, bad = asyncio.run(run())
    assert good["order"]["order_state"] == "open" and isinstance(bad, HubError)


# Rare behaviour of a hub, from a small scripted server.


@pytest.fixture
def scripted() -> Iterator[Any]:
    """A websocket server that sends these frames after the first message: (url, frames sent, frames received)."""
    say: list[Any] = []
    heard: list[Any] = []

    def talk(websocket: Any) -> None:
        heard.append(websocket.recv())
        for frame in say:
            websocket.send(frame)
        for message in websocket:
            heard.append(message)
        websocket.close()

    with serve(talk, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}", say, heard
        server.shutdown()
        thread.join()


def is_heard(heard: Any, text: str) -> Any:
    """Whether the server receives a message with this text. It reads in its own thread, so this may take a moment."""
    for _ in range(500):
        if any(text in message for message in heard):
            return True
        time.sleep(0.01)
    return False


HEARTBEAT = '{"jsonrpc":"2.0","method":"heartbeat","params":{"type":"%s"}}'


def test_a_test_request_is_answered_while_waiting_for_an_answer(scripted: Any) -> None:
    url, say, heard = scripted
    say += [HEARTBEAT % "heartbeat", HEARTBEAT % "test_request", '{"jsonrpc":"2.0","id":1,"result":5}']
    with Client(url) as hub:
        assert hub.call("public/get_time") == 5
    assert is_heard(heard, "public/test")


def test_an_async_client_answers_a_test_request_by_itself(scripted: Any) -> None:
    url, say, heard = scripted
    say += [HEARTBEAT % "test_request", '{"jsonrpc":"2.0","id":1,"result":5}']

    async def run() -> Any:
        async with AsyncClient(url) as hub:
            return await hub.call("public/get_time")

    assert asyncio.run(run()) == 5
    assert is_heard(heard, "public/test")


def test_an_answer_that_does_not_come_is_a_timeout_and_a_late_one_is_not_taken_for_the_next(scripted: Any) -> None:
    url, say, _ = scripted
    with Client(url, timeout=0.1) as hub, pytest.raises(TimeoutError):
        hub.call("private/buy")
    say += ['{"jsonrpc":"2.0","id":99,"result":"late"}', '{"jsonrpc":"2.0","id":1,"result":"mine"}']
    with Client(url) as hub:
        assert hub.call("public/test") == "mine"


# Binary.


def test_the_blocking_and_the_async_binary_client_do_the_same(url: str) -> None:
    rows = np.zeros(2, COMMAND)
    rows["kind"], rows["side"] = CommandKind.ENTER, Side.BUY
    rows["order_type"], rows["time_in_force"] = OrderType.LIMIT, TimeInForce.IOC
    rows["quantity"], rows["client_order_id"], rows["flags"] = 1, [b"one", b"two"], Flag.LABEL

    def reach(welcome: Any) -> None:
        instrument = list(welcome.values())[-1]
        rows["instrument"] = instrument["index"]
        rows["price"] = (instrument["price_floor"] + instrument["price_ceiling"]) // 2

    def told(events: np.ndarray) -> Any:
        return [(int(event["kind"]), event["client_order_id"]) for event in events]

    async def run() -> Any:
        async with AsyncBinaryClient(url, "carol", "carol-secret", cancel_on_disconnect=False) as hub:
            reach(hub.instruments)
            await hub.send(rows)
            return told(await hub.receive(5))

    with BinaryClient(url, "carol", "carol-secret", cancel_on_disconnect=False) as hub:
        reach(hub.instruments)
        hub.send(rows)
        blocking = told(hub.receive(5))
        hub.logout()
        with pytest.raises(ConnectionLost, match="1000 logged out"):
            hub.receive(5)
    assert blocking == [(kind, name) for name in (b"one", b"two") for kind in (EventKind.ACCEPTED, EventKind.CANCELED)]
    assert asyncio.run(run()) == blocking


def test_rows_of_another_layout_are_not_sent(url: str) -> None:
    with BinaryClient(url, "carol", "carol-secret") as hub, pytest.raises(TypeError, match="must be matching.COMMAND"):
        hub.send(np.zeros(1, [("price", "<i8")]))


def test_a_hub_of_another_version_is_noticed(scripted: Any) -> None:
    url, say, _ = scripted
    say.append(
        '{"result":{"account":0,"session":1,"sequence":0,"command":[["price","<i8"]],"event":[],"instruments":[],'
        '"max_rows":4096,"cancel_on_disconnect":true}}'
    )
    with pytest.raises(ValueError, match="COMMAND rows are not laid out"):
        BinaryClient(url, "carol", "carol-secret")


def test_back_off_is_random_below_a_bound_that_doubles_up_to_the_longest() -> None:
    many = [list(itertools.islice(backoff(first=1, longest=8), 7)) for _ in range(400)]
    for attempt, bound in enumerate((1, 2, 4, 8, 8, 8, 8)):
        delays = [delays[attempt] for delays in many]
        assert 0 <= min(delays) < bound * 0.1 and bound * 0.9 < max(delays) <= bound
