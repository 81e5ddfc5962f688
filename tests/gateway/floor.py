"""A hub without sockets: sessions around a real exchange. The test controls the clock and the batches.

floor = Floor()
alice = floor.session("alice")               # logged on as account 0; bob is account 1
alice.ask("private/buy", instrument_name="SC2701", amount=5, price="1.00")
with floor.one_batch(): ...                  # commands of several sessions become one durable batch
"""

import contextlib
import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import numpy as np

from exchange import Exchange
from exchange.projections.blotter import Blotter
from exchange.projections.marketdata import MarketData
from exchange.projections.projections import Projections
from gateway.auth import Auth, Credential
from gateway.hub import Hub, Limits
from gateway.market.feed import Feed
from gateway.rpc.desk import Desk
from gateway.rpc.methods.table import METHODS
from gateway.rpc.session import Session
from gateway.rpc.ticket import Ticket
from matching.codes import ALL
from matching.records import COMMAND
from tests.build import account, instrument, rows

START = 1_795_399_483_000_000_000
KEYS = [
    Credential("alice", "alice-secret", 0),
    Credential("bob", "bob-secret", 1),
    Credential("carol", "carol-secret", 2),
    Credential("reader", "reader-secret", 0, "trade:read account:read"),
    Credential("operator", "operator-secret", ALL, "operator"),
]


class Floor:
    """Everything behind the sockets. `now` is the only clock."""

    def __init__(
        self,
        instruments: list[Any] | None = None,
        accounts: list[Any] | None = None,
        limits: Limits | None = None,
        day: Callable[[Exchange, Callable[[], int]], Any] | None = None,
        **settings: Any,
    ) -> None:
        self.now = START
        exchange = Exchange(
            instruments or [instrument(), instrument("FU2701")],
            accounts or [account("alice"), account("bob"), account("carol")],
            max_orders=4096,
            **settings,
        )
        market = MarketData(exchange.instruments)
        no_runner: Any = None  # sessions submit to the floor
        self.hub = Hub(
            Projections(exchange, Blotter(4096), market),
            no_runner,
            Feed(exchange.instruments, market, exchange),
            Auth(KEYS),
            lambda: self.now,
            "floor",
            limits or Limits(),
            day=None if day is None else day(exchange, lambda: self.now),
        )
        self.desk = Desk(self.hub)
        self.waiting: list[tuple[Session, bytes, Ticket]] = []
        self.held = False
        self.sessions = 0

    def session(self, key: str | None = None, **settings: Any) -> "Client":
        self.sessions += 1
        client = Client(self, self.sessions, **settings)
        if key:
            client.ask("public/auth", grant_type="client_credentials", client_id=key, client_secret=f"{key}-secret")
            client.messages.clear()
        return client

    @contextlib.contextmanager
    def one_batch(self) -> Iterator[None]:
        """All commands submitted inside become one durable batch at the end."""
        self.held = True
        yield
        self.held = False
        self.run()

    def run(self) -> None:
        """Process a batch as the runner and the gateway do."""
        while self.waiting:
            waiting, self.waiting = self.waiting, []
            blocks = [np.frombuffer(bytearray(rows), COMMAND) for _, rows, _ in waiting]
            commands = np.concatenate(blocks)
            commands["sequence"] = self.hub.exchange.sequence + 1 + np.arange(len(commands))
            commands["time"] = self.now
            events = self.hub.exchange.apply(commands)
            at = 0
            for (session, _, ticket), block in zip(waiting, blocks, strict=True):
                own = commands[at : at + len(block)]
                at += len(block)
                theirs = events[
                    (events["sequence"] >= own["sequence"][0]) & (events["sequence"] <= own["sequence"][-1])
                ]
                self.desk.reports.expect(session, [ticket], own, theirs)
            self._publish(commands, events)

    def operate(self, *commands: dict[str, Any]) -> None:
        """Apply operator commands."""
        block = rows(*commands, start=self.hub.exchange.sequence + 1)
        block["time"] = self.now
        self._publish(block, self.hub.exchange.apply(block))

    def _publish(self, commands: np.ndarray, events: np.ndarray) -> None:
        self.desk.publish(commands, events)
        if self.hub.day is not None:
            self.hub.day.heard(commands, events)


class Client:
    """A peer that records what it is sent, and its session."""

    def __init__(self, floor: Floor, number: int, **settings: Any) -> None:
        self.floor = floor
        self.messages: list[dict[str, Any]] = []
        self.closed: tuple[int, str] | None = None
        self.queued = 0
        self.session = Session(floor.desk, self, METHODS, number=number, address="127.0.0.1", **settings)

    def send(self, message: bytes) -> None:
        self.messages.append(json.loads(message, parse_float=Decimal))

    def submit(self, rows: bytes, ticket: Ticket) -> None:
        self.floor.waiting.append((self.session, rows, ticket))

    def close(self, code: int, reason: str) -> None:
        self.closed = (code, reason)

    def tell(self, frame: bytes | str) -> None:
        """Send a raw frame."""
        self.session.receive(frame, self.floor.now)
        if not self.floor.held:
            self.floor.run()

    def ask(self, method: str, **parameters: Any) -> Any:
        """Send a request; returns its result or its error. Notifications stay in `messages`."""
        before = len(self.messages)
        self.tell(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}))
        for at in range(before, len(self.messages)):
            if "id" in self.messages[at]:
                answer = self.messages.pop(at)
                return answer["result"] if "result" in answer else answer["error"]
        return None

    def notified(self, channel: str) -> list[Any]:
        """Data of the notifications of a channel so far."""
        return [
            message["params"]["data"]
            for message in self.messages
            if message.get("method") == "subscription" and message["params"]["channel"] == channel
        ]
