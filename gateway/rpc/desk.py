"""What all sessions of a hub share: what a durable batch sets off, questions that wait, token buckets.

desk = Desk(hub)
runner.listeners.insert(0, desk.publish)
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import numpy as np

from gateway.hub import Hub
from gateway.rpc.methods import queries as questions
from gateway.rpc.reports import Orders, Reports
from gateway.text.messages import PHASES, Refused, encode, notification, refusal
from matching.codes import EventKind, Reason

if TYPE_CHECKING:
    from gateway.rpc.session import Session

_SECOND = 1_000_000_000
_MOVES = np.isin(np.arange(256), [EventKind.PHASE, EventKind.LISTED, EventKind.EXPIRED])


class Bucket:
    """A token bucket in whole nanoseconds: `burst` at once, `per_second` after that."""

    __slots__ = ("per_second", "_interval", "_room", "_arrival")

    def __init__(self, per_second: int, burst: int) -> None:
        self.per_second = per_second
        self._interval = _SECOND // per_second
        self._room = self._interval * burst
        self._arrival = 0

    def take(self, now: int) -> None:
        """One request. Errors: Refused 10028 with retry_after_ms, limit and remaining; then nothing is taken."""
        arrival = max(self._arrival, now) + self._interval
        if arrival - now > self._room:
            wait = arrival - now - self._room
            raise Refused(
                10028,
                "too_many_requests",
                f"more than {self.per_second} requests a second",
                retry_after_ms=-(-wait // 1_000_000),
                limit=self.per_second,
                remaining=0,
            )
        self._arrival = arrival


class Desk:
    """What all sessions of a hub share: orders, reports, the buckets of keys and addresses, and what a batch sets off."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self.orders = Orders(hub.exchange, hub.blotter)
        self.reports = Reports(self.orders)
        self.everything = frozenset(range(len(hub.exchange.instruments)))
        self._accounts = {account.name: number for number, account in enumerate(hub.exchange.accounts)}
        self.platform: set[Session] = set()  # subscribed to platform_state
        hub.condition.listeners.append(self.tell_platform)
        self._durable = hub.exchange.sequence  # last command published
        self._waiting: list[Callable[[], None]] = []
        self._buckets: dict[str, Bucket] = {}

    @property
    def behind(self) -> bool:
        """Whether the engine knows more than is durable."""
        return self._hub.exchange.sequence != self._durable

    def account(self, named: int | str, field: str = "account") -> int:
        """Index of an account by its name or number. Errors: Refused naming the field."""
        number: int | None
        if isinstance(named, int):
            number = named
        else:
            digits = named.isascii() and named.isdigit() and len(named) < 10
            number = self._accounts.get(named, int(named) if digits else None)
        if number is None or number >= len(self._accounts):
            raise refusal(Reason.UNKNOWN_ACCOUNT, field=field, value=named, bound=len(self._accounts) - 1)
        return number

    def wait(self, question: Callable[[], None]) -> None:
        """Ask again when the batch under way has been published."""
        self._waiting.append(question)

    def publish(self, commands: np.ndarray, events: np.ndarray) -> None:
        """One durable batch, as the runner's listener: answers and private notifications, then the blotter and the
        questions that waited for it, then market data and the public channels."""
        now = self._hub.clock()
        self.reports.publish(commands, events, now)
        self._hub.blotter.record(commands, events)
        for projection in (self._hub.surveillance, self._hub.statements, self._hub.settlements):
            if projection is not None:
                projection.record(commands, events)
        self.orders.changed(commands, events)
        self._durable = int(commands["sequence"][-1])
        waiting, self._waiting = self._waiting, []
        for question in waiting:
            question()
        self._hub.feed.publish(events, now)
        if self.platform:
            moved = np.unique(events["instrument"][_MOVES[events["kind"]]])
            moved = moved[moved >= 0].tolist()
            if moved or (events["kind"] == EventKind.KILL_SWITCH).any():
                self._to_platform(platform_state(self._hub, moved))

    def tell_platform(self) -> None:
        """How the hub is now, to all who subscribed to platform_state."""
        self._to_platform(MAINTENANCE if self._hub.condition.stopping else platform_state(self._hub, []))

    def _to_platform(self, message: bytes) -> None:
        for session in list(self.platform):
            session.peer.send(message)

    def bucket_of_key(self, client_id: str) -> Bucket:
        return self._bucket("key " + client_id, self._hub.limits.requests_per_second, self._hub.limits.request_burst)

    def bucket_of_address(self, address: str) -> Bucket:
        if len(self._buckets) > 65_536:
            self._buckets.clear()
        return self._bucket("address " + address, self._hub.limits.public_per_second, self._hub.limits.public_burst)

    def _bucket(self, name: str, per_second: int, burst: int) -> Bucket:
        return self._buckets.get(name) or self._buckets.setdefault(name, Bucket(per_second, burst))


MAINTENANCE = notification("platform_state", '{"maintenance":true}')


def platform_state(hub: Hub, instruments: Iterable[int]) -> bytes:
    """The message of the channel platform_state: whether trading is locked, and the phases of these instruments."""
    phases = {
        hub.exchange.instruments[index].symbol: PHASES[int(hub.market_data.statistics(index).phase)]
        for index in instruments
    }
    return notification("platform_state", encode({"locked": bool(questions.locked(hub)), "phases": phases}))
