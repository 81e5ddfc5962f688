"""The exchange together with the projections of its events: recovered as one, kept in one snapshot.

    hub = Projections(exchange, Blotter(...), MarketData(...))
    recovery = recover(folder, lambda: hub, config_hash)        # exchange/journal/recovery.py

A projection is computed from commands and events alone, and can be thrown away and computed again. `Projections.all` is
the only list of them.

Projections has the methods that recovery needs of an exchange. `apply` is for replaying the journal: while the hub runs,
the gateway applies a batch first, answers, and then records it.
"""

from typing import Protocol

import numpy as np

from exchange.engine.machine import Exchange
from exchange.projections.blotter import Blotter
from exchange.projections.marketdata import MarketData, Updates
from exchange.projections.settlements import Settlements
from exchange.projections.statement import Statements
from exchange.projections.surveillance import Surveillance


class Projection(Protocol):
    """What all projections have in common."""

    @property
    def event_id(self) -> int:
        """Of the last event recorded."""

    def state(self) -> dict[str, np.ndarray]:
        """Its memory as named arrays, copied, for a snapshot."""

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Take the arrays that `state` gave. Errors: ValueError naming the array that does not fit."""


class Projections:
    """An Exchange and its projections.

    blotter        the orders
    market_data    the books and trades that everyone may see
    surveillance   the conduct of members; None: with the usual thresholds, and nobody is a market maker
    statements     each account's last trading day
    settlements    the events of clearing
    """

    def __init__(
        self, exchange: Exchange, blotter: Blotter, market_data: MarketData, surveillance: Surveillance | None = None
    ) -> None:
        self.exchange = exchange
        self.blotter = blotter
        self.market_data = market_data
        self.surveillance = surveillance or Surveillance(exchange.instruments, exchange.accounts)
        self.statements = Statements(exchange.instruments, exchange.accounts, blotter)
        self.settlements = Settlements()
        self.of_members = self.blotter, self.surveillance, self.statements, self.settlements
        self.all: tuple[Projection, ...] = *self.of_members, self.market_data

    def apply(self, commands: np.ndarray) -> np.ndarray:
        """Apply COMMAND[n] and record its events. Returns EVENT[m]."""
        events = self.exchange.apply(commands)
        self.record(commands, events)
        return events

    def record(self, commands: np.ndarray, events: np.ndarray) -> Updates:
        """Record a batch in every projection. Returns what changed in market data, until the next call."""
        for projection in self.of_members:
            projection.record(commands, events)
        return self.market_data.record(events)  # what everyone may see does not depend on commands

    def digest(self) -> str:
        """The digest of the exchange, from whose commands the projections follow."""
        return self.exchange.digest()

    def state(self) -> dict[str, np.ndarray]:
        """All memory as named arrays, copied, for a snapshot."""
        arrays = self.exchange.state()
        for projection in self.all:
            arrays |= projection.state()
        return arrays

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Take the arrays that `state` gave. Errors: ValueError naming the array that does not fit."""
        for projection in self.all:
            projection.restore(arrays)
        self.exchange.restore(arrays)
