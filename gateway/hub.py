"""The parts of a running hub, as the gateway needs them. gateway/serving.py puts them together.

hub = Hub(projections, runner, feed, auth, clock, name="QIEE Hub")
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from exchange.engine.machine import Exchange
from exchange.projections.blotter import Blotter
from exchange.projections.marketdata import MarketData
from exchange.projections.projections import Projections
from exchange.runner import Runner
from gateway.auth import Auth
from gateway.day import TradingDay
from gateway.market.feed import Feed
from gateway.text.refusals import Refused

CLOSE_GOING_AWAY, CLOSE_SERVICE_RESTART = 1001, 1012  # close codes of a hub that stops (RFC 6455, 7.4.1)
CLOSED_BY_HUB = (CLOSE_GOING_AWAY, CLOSE_SERVICE_RESTART)  # cancel on disconnect does not act then


@dataclass(frozen=True)
class Limits:
    """How much one client may ask of the gateway. Requests are counted by token buckets."""

    requests_per_second: int = 50_000  # of one key, over all its connections
    request_burst: int = 20_000
    public_per_second: int = 100  # of one connection, or one address over HTTP, before logging on
    public_burst: int = 200
    bad_requests: int = 100  # unreadable ones in a row, before the connection is closed
    heartbeat_seconds: int = 10  # shortest interval of set_heartbeat
    channels: int = 1_000  # subscribed by one connection
    pending: int = 1_536  # commands of one connection under way; their answers fit into its write buffer


class Condition:
    """What the state of the machine means for the hub. Listeners are called when it changes."""

    def __init__(self) -> None:
        self.disk_low = False  # the journal has little room left: new orders are refused, cancels are accepted
        self.stopping = False  # all connections are about to be closed
        self.listeners: list[Callable[[], None]] = []

    def set_disk_low(self, disk_low: bool) -> None:
        if disk_low != self.disk_low:
            self.disk_low = disk_low
            self._notify()

    def set_stopping(self) -> None:
        self.stopping = True
        self._notify()

    def _notify(self) -> None:
        for listener in self.listeners:
            listener()


def disk_is_low(where: str = "", **data: Any) -> Refused:
    """The refusal of a new order, an edit or a take. `where` begins its text. The operator's kill switch is another thing."""
    return Refused(
        11051,
        "system_maintenance",
        f"{where}the hub's disk is nearly full: new orders and edits are refused, cancels are accepted",
        reason="disk_space",
        **data,
    )


@dataclass(frozen=True)
class Hub:
    """The running hub."""

    projections: Projections
    runner: Runner
    feed: Feed
    auth: Auth
    clock: Callable[[], int]  # ns since the Unix epoch, UTC
    name: str = "QIEE Hub"
    limits: Limits = field(default_factory=Limits)
    condition: Condition = field(default_factory=Condition)
    day: TradingDay | None = None  # None: every instrument trades all the time

    @property
    def exchange(self) -> Exchange:
        return self.projections.exchange

    @property
    def blotter(self) -> Blotter:
        return self.projections.blotter

    @property
    def market_data(self) -> MarketData:
        return self.projections.market_data

    @property
    def locked_by(self) -> str:
        """What keeps new orders out of every instrument: "operator", "disk_space", or "" for nothing."""
        if self.exchange.killed:
            return "operator"
        return "disk_space" if self.condition.disk_low else ""
