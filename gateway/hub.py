"""What a gateway needs to know of the hub it is the gate of: the parts, put together by gateway/cli.py.

    hub = Hub(exchange, runner, blotter, market_data, feed, auth, clock, name="QIEE Hub")
"""
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from exchange.blotter import Blotter
from exchange.machine import Exchange
from exchange.marketdata import MarketData
from gateway.auth import Auth
from gateway.feed import Feed

if TYPE_CHECKING:
    from exchange.runner import Runner


@dataclass(frozen=True)
class Limits:
    """What one client may ask of the gateway. Requests are counted by token bucket."""

    requests_per_second: int = 50_000    # of one key, over all its connections
    request_burst: int = 20_000
    public_per_second: int = 100         # of one connection, or one address over HTTP, before logging on
    public_burst: int = 200
    bad_requests: int = 100              # that cannot be read, in a row, before the connection is closed
    heartbeat_seconds: int = 10          # shortest interval of set_heartbeat
    channels: int = 1_000                # subscribed by one connection
    pending: int = 1_536                 # commands of one connection on their way: their answers fit its write buffer


@dataclass(frozen=True)
class Hub:
    """The running hub. `clock() -> ns` since the epoch, UTC."""

    exchange: Exchange
    runner: "Runner"
    blotter: Blotter
    market_data: MarketData
    feed: Feed
    auth: Auth
    clock: Callable[[], int]
    name: str = "QIEE Hub"
    limits: Limits = field(default_factory=Limits)
