"""What the sessions of a hub share: names of accounts and instruments, orders, reports, token buckets, and what follows a
durable batch.

    desk = Desk(hub)
    runner.listeners.insert(0, desk.publish)
"""

from collections.abc import Callable, Iterable

import numpy as np

from gateway.hub import Hub
from gateway.market.feed import Subscriber
from gateway.rpc.order import Orders
from gateway.rpc.reports import Reports
from gateway.text.answers import encode, notification
from gateway.text.refusals import Refused, refusal
from gateway.text.words import PHASE
from matching.codes import EventKind, Reason

_NS = 1_000_000_000  # in a second
_CHANGES_PHASE = np.isin(np.arange(256), [EventKind.PHASE, EventKind.LISTED, EventKind.EXPIRED])
_MAX_BUCKETS = 65_536


class Bucket:
    """A token bucket in whole nanoseconds: `burst` requests at once, then `per_second`."""

    __slots__ = ("per_second", "_interval", "_room", "_arrival")

    def __init__(self, per_second: int, burst: int) -> None:
        self.per_second = per_second
        self._interval = _NS // per_second
        self._room = self._interval * burst
        self._arrival = 0

    def take(self, now: int) -> None:
        """Take a token for one request. Errors: Refused 10028, and nothing is taken."""
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
    """See the module."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.orders = Orders(hub.exchange, hub.blotter)
        self.reports = Reports(self.orders)
        self.all_instruments = frozenset(range(len(hub.exchange.instruments)))
        self._instruments = {instrument.symbol: index for index, instrument in enumerate(hub.exchange.instruments)}
        self._accounts = {account.name: number for number, account in enumerate(hub.exchange.accounts)}
        self.platform: dict[Subscriber, None] = {}  # subscribers of platform_state, in their order
        hub.condition.listeners.append(self.publish_platform)
        self._durable = hub.exchange.sequence  # of the last published command
        self._waiting: list[Callable[[], None]] = []  # requests
        self._buckets: dict[str, Bucket] = {}

    @property
    def engine_is_ahead(self) -> bool:
        """Whether the engine has applied commands that are not durable yet."""
        return self.hub.exchange.sequence != self._durable

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

    def instrument(self, name: str) -> int:
        """Index of an instrument. Errors: Refused naming instrument_name."""
        try:
            return self._instruments[name]
        except KeyError:
            raise refusal(Reason.UNKNOWN_INSTRUMENT, value=name) from None

    def wait(self, serve: Callable[[], None]) -> None:
        """Serve a request when the batch under way has been published."""
        self._waiting.append(serve)

    def publish(self, commands: np.ndarray, events: np.ndarray) -> None:
        """The runner's listener, for each durable batch: answers and private notifications, then the projections and the
        requests that waited for them, then market data and the public channels."""
        now = self.hub.clock()
        self.reports.publish(commands, events, now)
        for projection in self.hub.projections.of_members:
            projection.record(commands, events)
        self.orders.changed(commands, events)
        self._durable = int(commands["sequence"][-1])
        waiting, self._waiting = self._waiting, []
        for serve in waiting:
            serve()
        self.hub.feed.publish(events, now)
        if self.platform:
            instruments = np.unique(events["instrument"][_CHANGES_PHASE[events["kind"]]])
            instruments = instruments[instruments >= 0].tolist()
            if instruments or (events["kind"] == EventKind.KILL_SWITCH).any():
                self._send_platform(platform_state(self.hub, instruments))

    def publish_platform(self) -> None:
        """Publish the condition of the hub to the channel platform_state."""
        self._send_platform(_MAINTENANCE if self.hub.condition.stopping else platform_state(self.hub, []))

    def _send_platform(self, message: bytes) -> None:
        for subscriber in list(self.platform):
            subscriber.send(message)

    def bucket_of_key(self, client_id: str) -> Bucket:
        return self._bucket("key " + client_id, self.hub.limits.requests_per_second, self.hub.limits.request_burst)

    def bucket_of_address(self, address: str) -> Bucket:
        if len(self._buckets) > _MAX_BUCKETS:
            self._buckets.clear()
        return self._bucket("address " + address, self.hub.limits.public_per_second, self.hub.limits.public_burst)

    def _bucket(self, name: str, per_second: int, burst: int) -> Bucket:
        return self._buckets.get(name) or self._buckets.setdefault(name, Bucket(per_second, burst))


_MAINTENANCE = notification("platform_state", '{"maintenance":true}')


def platform_state(hub: Hub, instruments: Iterable[int]) -> bytes:
    """A message of platform_state: whether trading is locked, and the phases of these instruments."""
    phases = {
        hub.exchange.instruments[index].symbol: PHASE[int(hub.market_data.statistics(index).phase)]
        for index in instruments
    }
    return notification("platform_state", encode({"locked": bool(hub.locked_by), "phases": phases}))
