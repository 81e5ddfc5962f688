"""The Python client of the hub: JSON-RPC for people and strategies, binary rows for volume; sync and async.

    with Client("ws://127.0.0.1:8080", "demo", "secret") as hub:
        print(hub.buy("SC2701", amount=1000, price="520.5")["order"]["order_id"])
        for channel, data in hub.subscribe("book.SC2701.raw", "user.trades.SC2701.raw"):
            print(channel, data)

    async with AsyncClient("ws://127.0.0.1:8080", "demo", "secret") as hub:
        summary = await hub.call("private/get_account_summary", currency="CNY")

    with BinaryClient("ws://127.0.0.1:8080", "demo", "secret") as hub:
        rows = np.zeros(256, COMMAND)                    # instrument: hub.instruments["SC2701"]["index"] ...
        hub.send(rows)
        events = hub.receive()                           # EVENT rows of the account

Methods, parameters and channels are those of docs/PROTOCOL.md, passed on unchanged. The clients number requests, match
answers, answer heartbeats, and raise errors as exceptions. They do not reconnect by themselves: what was under way when a
connection broke is unknown, and only the caller knows what to ask for then (`backoff` spaces the attempts). A client
belongs to one thread or one event loop.

    for delay in backoff():
        try:
            with Client(url, key, secret) as hub:
                trade(hub)                               # asks for its open orders first
        except (OSError, ConnectionLost):
            time.sleep(delay)
"""

import asyncio
import contextlib
import random
import threading
from collections import deque
from collections.abc import AsyncIterator, Coroutine, Iterator
from decimal import Decimal
from typing import Any, Literal, Self, TypeVar

import msgspec
import numpy as np
from websockets.asyncio.client import connect as connect_async
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import connect as connect_sync

from matching.records import COMMAND, EVENT

_Result = TypeVar("_Result")
Number = int | float | str | Decimal  # a price or an amount; str and Decimal are exact
_JSON_PATH = "/ws/api/v2"
_BINARY_PATH = "/ws/bin/v1"
_MAX_ROWS = 4_096  # COMMAND rows in a frame
_MAX_WAITING = 100_000  # notifications that may wait for a slow consumer
_CONNECTION: dict[str, Any] = {"compression": None, "max_size": 16 << 20}


class HubError(Exception):
    """The hub refused a request. `code` and `message` are in docs/PROTOCOL.md 9; `data` names field, value and bound."""

    def __init__(self, code: int, message: str, data: dict[str, Any]) -> None:
        super().__init__(f"{code} {message}: {data.get('text', '')}".rstrip(": "))
        self.code = code
        self.message = message
        self.data = data


class ConnectionLost(Exception):
    """The connection has ended, with `code` and `reason` of the close frame (1006: none). What was under way is unknown."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"connection lost: {code} {reason}".rstrip())
        self.code = code
        self.reason = reason


def backoff(first: float = 0.25, longest: float = 30.0) -> Iterator[float]:
    """Seconds to wait before each next attempt: random between 0 and a bound that doubles up to `longest`.

    The randomness matters more than the doubling: a thousand clients that lost their connections at the same moment must
    not all come back at the same moment.
    """
    bound = first
    while True:
        yield random.uniform(0, bound)
        bound = min(longest, 2 * bound)


def _lost(error: ConnectionClosed) -> ConnectionLost:
    close = error.rcvd or error.sent
    return ConnectionLost(close.code, close.reason) if close else ConnectionLost(1006, "")


@contextlib.contextmanager
def _losses() -> Iterator[None]:
    """Raise ConnectionLost for the end of a connection."""
    try:
        yield
    except ConnectionClosed as error:
        raise _lost(error) from error
    except InvalidHandshake as error:
        raise ConnectionLost(1006, f"the hub did not accept the connection: {error}") from error


# JSON ---------------------------------------------------------------------------------------------


class _Dialogue:
    """JSON-RPC without a socket: it numbers requests and sorts received frames."""

    def __init__(self) -> None:
        self._last_id = 0

    def request(self, method: str, params: dict[str, Any]) -> tuple[int, str]:
        """(id, text frame)."""
        self._last_id += 1
        given = {name: value for name, value in params.items() if value is not None}
        message = {"jsonrpc": "2.0", "id": self._last_id, "method": method, "params": given}
        return self._last_id, msgspec.json.encode(message).decode()

    def sort(self, text: str | bytes) -> tuple[Literal["answer", "notification", "test_request", "other"], Any, Any]:
        """The kind and content of a frame.

        ("answer", id, result or HubError), ("notification", channel, data), ("test_request", None, None) or
        ("other", method, params)
        """
        message = msgspec.json.decode(text)
        if "error" in message:
            error = message["error"]
            return "answer", message.get("id"), HubError(error["code"], error["message"], error.get("data") or {})
        if "result" in message:
            return "answer", message.get("id"), message["result"]
        params = message.get("params", {})
        if message.get("method") == "subscription":
            return "notification", params["channel"], params["data"]
        if message.get("method") == "heartbeat" and params.get("type") == "test_request":
            return "test_request", None, None
        return "other", message.get("method"), params


def _credentials(client_id: str, client_secret: str) -> dict[str, str]:
    return {"grant_type": "client_credentials", "client_id": client_id, "client_secret": client_secret}


def _subscribing(channels: tuple[str, ...], verb: str = "subscribe") -> str:
    """The method for these channels. Private ones need the private method, which takes public ones too."""
    return f"private/{verb}" if any(channel.startswith("user.") for channel in channels) else f"public/{verb}"


def _order(instrument_name: str, amount: Number, price: Number | None, options: dict[str, Any]) -> dict[str, Any]:
    """Parameters of buy and sell. Without a price it is a market order, with a trigger_price a stop."""
    kind = "market" if price is None else "limit"
    if options.get("trigger_price") is not None:
        kind = f"stop_{kind}"
    return {"instrument_name": instrument_name, "amount": amount, "price": price, "type": kind} | options


class Client:
    """A blocking connection to /ws/api/v2.

    url            "ws://host:port"
    client_id      key; empty: public methods only
    timeout        seconds that an answer may take, then TimeoutError
    Errors         OSError: no hub listens there; ConnectionLost: refused or broken; HubError: the key is wrong
    """

    def __init__(self, url: str, client_id: str = "", client_secret: str = "", timeout: float = 10.0) -> None:
        self._dialogue = _Dialogue()
        self._timeout = timeout
        self._waiting: deque[tuple[str, Any]] = deque(maxlen=_MAX_WAITING)
        with _losses():
            self._websocket = connect_sync(url.rstrip("/") + _JSON_PATH, **_CONNECTION).__enter__()
        if client_id:
            try:
                self.call("public/auth", **_credentials(client_id, client_secret))
            except BaseException:
                self.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close. Cancel on disconnect acts if it is on; where it must not, call private/logout first."""
        self._websocket.close()

    def call(self, method: str, **params: Any) -> Any:
        """Call a method of docs/PROTOCOL.md and return its result. A parameter that is None is not sent.

        Errors    HubError, ConnectionLost, TimeoutError (what the hub did is then unknown)
        """
        number, text = self._dialogue.request(method, params)
        with _losses():
            self._websocket.send(text)
            while True:
                answer = self._next(self._timeout)
                if answer is not None and answer[0] == number:
                    if isinstance(answer[1], HubError):
                        raise answer[1]
                    return answer[1]

    def _next(self, timeout: float | None) -> tuple[Any, Any] | None:
        """Take one frame. An answer is returned, a notification kept for later, a test request answered."""
        kind, name, content = self._dialogue.sort(self._websocket.recv(timeout))
        if kind == "answer":
            return name, content
        if kind == "notification":
            if len(self._waiting) == _MAX_WAITING:
                raise ConnectionLost(1013, f"{_MAX_WAITING} notifications are waiting to be taken")
            self._waiting.append((name, content))
        elif kind == "test_request":
            self._websocket.send(self._dialogue.request("public/test", {})[1])
        return None

    def subscribe(self, *channels: str) -> Iterator[tuple[str, Any]]:
        """Subscribe, and return an endless iterator of (channel, data) over all channels of this connection.

        Other calls may be made between two steps of the iteration.
        """
        self.call(_subscribing(channels), channels=channels)
        return self._notifications()

    def _notifications(self) -> Iterator[tuple[str, Any]]:
        while True:
            while self._waiting:
                yield self._waiting.popleft()
            with _losses():
                self._next(None)

    def unsubscribe(self, *channels: str) -> Any:
        return self.call(_subscribing(channels, "unsubscribe"), channels=channels)

    def buy(self, instrument_name: str, amount: Number, price: Number | None = None, **options: Any) -> Any:
        """{"order": ..., "trades": [...]}. Without a price a market order; options as in docs/PROTOCOL.md 4.

        A trigger_price makes it a stop: hub.sell("SC2701", 1000, trigger_price="505.0")
        """
        return self.call("private/buy", **_order(instrument_name, amount, price, options))

    def sell(self, instrument_name: str, amount: Number, price: Number | None = None, **options: Any) -> Any:
        """As `buy`."""
        return self.call("private/sell", **_order(instrument_name, amount, price, options))

    def take(self, order_id: str, amount: Number, **options: Any) -> Any:
        """Trade with another account's posted offer."""
        return self.call("private/take", order_id=order_id, amount=amount, **options)

    def edit(self, order_id: str, amount: Number | None = None, price: Number | None = None, **options: Any) -> Any:
        """Change an open order. `amount` is the new total, including what has filled."""
        return self.call("private/edit", order_id=order_id, amount=amount, price=price, **options)

    def cancel(self, order_id: str) -> Any:
        return self.call("private/cancel", order_id=order_id)

    def cancel_all(self) -> Any:
        """Number of orders canceled."""
        return self.call("private/cancel_all")


class AsyncClient:
    """A connection to /ws/api/v2 inside an event loop; many calls may be under way at once.

        async with AsyncClient(url, key, secret) as hub:
            orders = await asyncio.gather(*(hub.buy("SC2701", 1000, price) for price in prices))

    Parameters and errors as of `Client`; the connection opens on entering the context.
    """

    def __init__(self, url: str, client_id: str = "", client_secret: str = "", timeout: float = 10.0) -> None:
        self._url = url.rstrip("/") + _JSON_PATH
        self._key = (client_id, client_secret)
        self._timeout = timeout
        self._dialogue = _Dialogue()
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._subscriptions: list[Subscription] = []
        self._stack = contextlib.AsyncExitStack()
        self._lost: ConnectionLost | None = None

    async def __aenter__(self) -> Self:
        with _losses():
            self._websocket = await self._stack.enter_async_context(connect_async(self._url, **_CONNECTION))
        self._reader = asyncio.create_task(self._read())
        if self._key[0]:
            try:
                await self.call("public/auth", **_credentials(*self._key))
            except BaseException:
                await self.close()
                raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close. Cancel on disconnect acts if it is on."""
        await self._stack.aclose()
        await self._reader

    async def call(self, method: str, **params: Any) -> Any:
        """As Client.call."""
        if self._lost is not None:
            raise self._lost
        number, text = self._dialogue.request(method, params)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        try:
            with _losses():
                await self._websocket.send(text)
            return await asyncio.wait_for(answer, self._timeout)
        finally:
            del self._answers[number]

    async def _read(self) -> None:
        """Hand answers to their callers and notifications to the subscriptions, until the connection ends."""
        try:
            async for text in self._websocket:
                kind, name, content = self._dialogue.sort(text)
                if kind == "answer":
                    self._answer(name, content)
                elif kind == "notification":
                    for subscription in self._subscriptions:
                        subscription.put(name, content)
                elif kind == "test_request":
                    await self._websocket.send(self._dialogue.request("public/test", {})[1])
            self._lost = ConnectionLost(1000, "closed")
        except ConnectionClosed as error:
            self._lost = _lost(error)
        for number in list(self._answers):
            self._answer(number, self._lost)
        for subscription in self._subscriptions:
            subscription.end(self._lost)

    def _answer(self, number: Any, content: Any) -> None:
        waiting = self._answers.get(number)
        if waiting is None or waiting.done():
            return
        if isinstance(content, Exception):
            waiting.set_exception(content)
        else:
            waiting.set_result(content)

    async def subscribe(self, *channels: str) -> "Subscription":
        """Subscribe. The result iterates over these channels only: `async for channel, data in subscription`."""
        subscription = Subscription(self, channels)
        self._subscriptions.append(subscription)  # before the call: data may come right behind the answer
        try:
            await self.call(_subscribing(channels), channels=channels)
        except BaseException:
            self._subscriptions.remove(subscription)
            raise
        return subscription

    async def buy(self, instrument_name: str, amount: Number, price: Number | None = None, **options: Any) -> Any:
        """As Client.buy."""
        return await self.call("private/buy", **_order(instrument_name, amount, price, options))

    async def sell(self, instrument_name: str, amount: Number, price: Number | None = None, **options: Any) -> Any:
        """As Client.buy."""
        return await self.call("private/sell", **_order(instrument_name, amount, price, options))

    async def take(self, order_id: str, amount: Number, **options: Any) -> Any:
        """As Client.take."""
        return await self.call("private/take", order_id=order_id, amount=amount, **options)

    async def edit(
        self, order_id: str, amount: Number | None = None, price: Number | None = None, **options: Any
    ) -> Any:
        """As Client.edit."""
        return await self.call("private/edit", order_id=order_id, amount=amount, price=price, **options)

    async def cancel(self, order_id: str) -> Any:
        return await self.call("private/cancel", order_id=order_id)

    async def cancel_all(self) -> Any:
        """Number of orders canceled."""
        return await self.call("private/cancel_all")


class Subscription:
    """(channel, data) of some channels, in the order sent. Made by AsyncClient.subscribe.

    Iterating raises ConnectionLost when the connection ends, and with code 1013 when 100,000 notifications are waiting:
    more would be lost, and the consumer would not see what happened.
    """

    def __init__(self, client: AsyncClient, channels: tuple[str, ...]) -> None:
        self.channels = channels
        self._client = client
        self._waiting: deque[tuple[str, Any]] = deque()
        self._ready = asyncio.Event()
        self._end: ConnectionLost | None = None

    def put(self, channel: str, data: Any) -> None:
        """The client has received a notification."""
        if channel not in self.channels or self._end is not None:
            return
        if len(self._waiting) == _MAX_WAITING:
            self.end(ConnectionLost(1013, f"{_MAX_WAITING} notifications are waiting to be taken"))
            return
        self._waiting.append((channel, data))
        self._ready.set()

    def end(self, reason: ConnectionLost) -> None:
        """No more notifications will come."""
        self._end = self._end or reason
        self._ready.set()

    async def __aiter__(self) -> AsyncIterator[tuple[str, Any]]:
        while True:
            while self._waiting:
                yield self._waiting.popleft()
            if self._end is not None:
                raise self._end
            self._ready.clear()
            await self._ready.wait()

    async def close(self) -> None:
        """Unsubscribe these channels."""
        self._client._subscriptions.remove(self)
        await self._client.call(_subscribing(self.channels, "unsubscribe"), channels=self.channels)


# Binary -------------------------------------------------------------------------------------------


def _log_on(client_id: str, client_secret: str, cancel_on_disconnect: bool) -> str:
    return msgspec.json.encode(
        {
            "method": "auth",
            "client_id": client_id,
            "client_secret": client_secret,
            "cancel_on_disconnect": cancel_on_disconnect,
        }
    ).decode()


class Welcome(msgspec.Struct):
    """The hub's answer to the log-on of a binary session."""

    account: int  # index; the hub writes it into every row
    session: int  # number of this connection; COMMAND.session
    sequence: int  # of the hub's last command
    command: list[tuple[str, str]]  # layouts, as NumPy dtype descriptions
    event: list[tuple[str, str]]
    instruments: list[dict[str, Any]]  # index, symbol, tick_size, lot_size, price_floor, price_ceiling ...
    max_rows: int
    cancel_on_disconnect: bool


def _events(frame: str | bytes) -> np.ndarray:
    """EVENT rows of a frame; a text frame is a refusal."""
    if isinstance(frame, str):
        error = msgspec.json.decode(frame)["error"]
        raise HubError(error["code"], error["message"], error["data"])
    return np.frombuffer(frame, EVENT)


def _welcome(frame: str | bytes) -> Welcome:
    if isinstance(frame, bytes) or "error" in msgspec.json.decode(frame):
        _events(frame)
    welcome: Welcome = msgspec.convert(msgspec.json.decode(frame)["result"], Welcome)
    for name, layout, ours in (("COMMAND", welcome.command, COMMAND), ("EVENT", welcome.event, EVENT)):
        if layout != ours.descr:
            raise ValueError(f"the hub's {name} rows are not laid out as this client's; use the client of its version")
    return welcome


def _frames(rows: np.ndarray) -> Iterator[bytes]:
    if rows.dtype != COMMAND:
        raise TypeError(f"rows: dtype {rows.dtype}, must be matching.COMMAND")
    for at in range(0, len(rows), _MAX_ROWS):
        yield rows[at : at + _MAX_ROWS].tobytes()


class AsyncBinaryClient:
    """A connection to /ws/bin/v1 inside an event loop, open within its context; the rules are in gateway/binary/session.py.

    account        index of the account
    instruments    by symbol: index, tick_size, lot_size, price_floor, price_ceiling, currency, unit
    welcome        all that the hub answered
    Errors         on entering: OSError, ConnectionLost, HubError (key), ValueError (a hub of another version)

    Events are read as they come, and wait here without bound until `receive` takes them. A hub reads no rows from a client
    that does not read its events, so a client that waited with reading could block itself.
    """

    def __init__(self, url: str, client_id: str, client_secret: str, cancel_on_disconnect: bool = False) -> None:
        self._url = url.rstrip("/") + _BINARY_PATH
        self._log_on = _log_on(client_id, client_secret, cancel_on_disconnect)
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        with _losses():
            connecting = connect_async(self._url, max_queue=None, **_CONNECTION)
            self._websocket = await self._stack.enter_async_context(connecting)
            try:
                await self._websocket.send(self._log_on)
                self.welcome = _welcome(await self._websocket.recv())
            except BaseException:
                await self.close()
                raise
        self.account = self.welcome.account
        self.instruments = {instrument["symbol"]: instrument for instrument in self.welcome.instruments}
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close. Cancel on disconnect acts if it is on."""
        await self._stack.aclose()

    async def logout(self) -> None:
        """Close and leave the open orders in the book."""
        with _losses():
            await self._websocket.send('{"method":"logout"}')
        await self._websocket.wait_closed()

    async def send(self, rows: np.ndarray) -> None:
        """Send COMMAND[n], in frames of at most 4,096 rows; sequence, time, account and session need not be set."""
        with _losses():
            for frame in _frames(rows):
                await self._websocket.send(frame)

    async def receive(self, timeout: float | None = None) -> np.ndarray:
        """The next EVENT rows of the account, read-only.

        Errors    HubError: a frame that was sent is refused, nothing of it was submitted; TimeoutError; ConnectionLost
        """
        with _losses():
            return _events(await asyncio.wait_for(self._websocket.recv(), timeout))


class BinaryClient:
    """As AsyncBinaryClient, for programs without an event loop. A thread of its own reads events while rows are sent.

    `send` and `receive` may be called from two threads.
    """

    def __init__(self, url: str, client_id: str, client_secret: str, cancel_on_disconnect: bool = False) -> None:
        self._client = AsyncBinaryClient(url, client_id, client_secret, cancel_on_disconnect)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="qiee-binary-client", daemon=True)
        self._thread.start()
        try:
            self._do(self._client.__aenter__())
        except BaseException:
            self._end()
            raise
        self.welcome = self._client.welcome
        self.account = self._client.account
        self.instruments = self._client.instruments

    def _do(self, step: Coroutine[Any, Any, _Result]) -> _Result:
        return asyncio.run_coroutine_threadsafe(step, self._loop).result()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close. Cancel on disconnect acts if it is on. May be called twice."""
        if not self._loop.is_closed():
            self._do(self._client.close())
            self._end()

    def logout(self) -> None:
        """Close and leave the open orders in the book."""
        self._do(self._client.logout())

    def send(self, rows: np.ndarray) -> None:
        """As AsyncBinaryClient.send."""
        self._do(self._client.send(rows))

    def receive(self, timeout: float | None = None) -> np.ndarray:
        """As AsyncBinaryClient.receive."""
        return self._do(self._client.receive(timeout))
