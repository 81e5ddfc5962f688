"""The machine together with what is computed from its events: recovered as one, kept in one snapshot.

    hub = Projections(exchange, Blotter(...), MarketData(...))
    recovery = recover(folder, lambda: hub, config_hash)        # exchange/journal/recovery.py

It has the methods that recovery asks of an exchange. While the hub runs, the gateway records each durable batch into
the projections itself, after it has answered; `apply` here is for replaying the journal.
"""

import numpy as np

from exchange.engine.machine import Exchange
from exchange.projections.blotter import Blotter
from exchange.projections.marketdata import MarketData
from exchange.projections.settlements import Settlements
from exchange.projections.statement import Statements
from exchange.projections.surveillance import Surveillance


class Projections:
    """An Exchange, the blotter of its orders, the market data of its books, the surveillance of its members, and what was
    settled: statements of the last day, and the events of clearing.

    surveillance   None: one without market makers, with the usual thresholds
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

    def apply(self, commands: np.ndarray) -> np.ndarray:
        """Apply COMMAND[n] and record what came of them. Returns EVENT[m]."""
        events = self.exchange.apply(commands)
        self.market_data.record(events)
        for projection in (self.blotter, self.surveillance, self.statements, self.settlements):
            projection.record(commands, events)
        return events

    def digest(self) -> str:
        """That of the exchange: projections follow from the same commands."""
        return self.exchange.digest()

    def state(self) -> dict[str, np.ndarray]:
        """All memory as named arrays, copied, for a snapshot."""
        return (
            self.exchange.state()
            | self.blotter.state()
            | self.market_data.state()
            | self.surveillance.state()
            | self.statements.state()
            | self.settlements.state()
        )

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Take the state that `state` gave. Errors: ValueError naming the array that does not fit."""
        self.blotter.restore(arrays)
        self.market_data.restore(arrays)
        self.surveillance.restore(arrays)
        self.statements.restore(arrays)
        self.settlements.restore(arrays)
        self.exchange.restore(arrays)
