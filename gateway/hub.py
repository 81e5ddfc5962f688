"""What a gateway needs to know of the hub it is the gate of: the parts, put together by gateway/serving.py.

hub = Hub(exchange, runner, blotter, market_data, feed, auth, clock, name="QIEE Hub")
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from exchange.engine.machine import Exchange
from exchange.projections.blotter import Blotter
from exchange.projections.marketdata import MarketData
from exchange.projections.settlements import Settlements
from exchange.projections.surveillance import Surveillance
from gateway.auth import Auth
from gateway.market.feed import Feed
from gateway.text.messages import Refused

if TYPE_CHECKING:
    from exchange.projections.statement import Statements
    from exchange.runner import Runner
    from gateway.day import TradingDay


@dataclass(frozen=True)
class Limits:
    """What one client may ask of the gateway. Requests are counted by token bucket."""

    requests_per_second: int = 50_000  # of one key, over all its connections
    request_burst: int = 20_000
    public_per_second: int = 100  # of one connection, or one address over HTTP, before logging on
    public_burst: int = 200
    bad_requests: int = 100  # that cannot be read, in a row, before the connection is closed
    heartbeat_seconds: int = 10  # shortest interval of set_heartbeat
    channels: int = 1_000  # subscribed by one connection
    pending: int = 1_536  # commands of one connection on their way: their answers fit its write buffer


class Condition:
    """What the machine around the hub asks of it. Whoever watches it calls `told`, whoever stops the hub `stop`."""

    def __init__(self) -> None:
        self.disk_low = False  # the journal has little room left: new orders are refused, cancels pass
        self.stopping = False  # in a moment every connection will be closed
        self.listeners: list[Callable[[], None]] = []

    def told(self, disk_low: bool) -> None:
        """How it is now; listeners hear of a change."""
        if disk_low != self.disk_low:
            self.disk_low = disk_low
            self._tell()

    def stop(self) -> None:
        """The hub is about to close its connections."""
        self.stopping = True
        self._tell()

    def _tell(self) -> None:
        for listener in self.listeners:
            listener()


def disk_is_low(where: str = "", **data: Any) -> Refused:
    """Why a new order, an edit or a take is refused then. It is not the operator's kill switch, and leaves that alone."""
    return Refused(
        11051,
        "system_maintenance",
        f"{where}the hub's disk is nearly full: new orders and edits are refused, cancels are accepted",
        reason="disk_space",
        **data,
    )


@dataclass(frozen=True)
class Hub:
    """The running hub. `clock() -> ns` since the epoch, UTC. What is None is not kept: methods that ask for it are refused."""

    exchange: Exchange
    runner: "Runner"
    blotter: Blotter
    market_data: MarketData
    feed: Feed
    auth: Auth
    clock: Callable[[], int]
    name: str = "QIEE Hub"
    limits: Limits = field(default_factory=Limits)
    condition: Condition = field(default_factory=Condition)
    surveillance: Surveillance | None = None
    statements: "Statements | None" = None
    settlements: Settlements | None = None
    day: "TradingDay | None" = None
