"""One interface for both implementations of the rulebook. It stamps commands and gives events in a short form.

    book = Venue("engine", [instrument()], accounts=4)
    book.do(enter(0, BUY, 100, 5))             # [("accepted", 1, 100, 5)]

Implementations: "reference" (ReferenceBook, or with risk RiskOracle) and "engine" (Exchange).
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from exchange import Account, Exchange, Instrument
from exchange.commands import Command, Stamper
from matching.codes import EventKind, Reason
from matching.reference import ReferenceBook
from tests.build import SECOND, account, instrument
from tests.risk.oracle import RiskOracle

TOLD = {  # kind of event: the figures that matter
    EventKind.ACCEPTED: ("order_id", "price", "leaves_quantity"),
    EventKind.TRADED: ("order_id", "resting_order_id", "price", "quantity"),
    EventKind.CANCELED: ("order_id", "reason", "quantity"),
    EventKind.AMENDED: ("order_id", "price", "quantity", "leaves_quantity"),
    EventKind.REJECTED: ("reason", "resting_leaves_quantity", "resting_price"),
    EventKind.TRIGGERED: ("order_id", "price", "leaves_quantity"),
    EventKind.DISPLAYED: ("order_id", "quantity", "resting_leaves_quantity"),
    EventKind.UNCROSSED: ("order_id", "leaves_quantity"),
    EventKind.AUCTION: ("price", "quantity", "resting_leaves_quantity"),
    EventKind.COUNTDOWN: ("quantity",),
    EventKind.MASS_CANCELED: ("quantity",),
    EventKind.PHASE: ("instrument", "quantity", "reason"),
    EventKind.DAY_ENDED: ("quantity",),
    EventKind.DAY_BEGUN: ("quantity",),
    EventKind.LISTED: ("instrument", "price"),
    EventKind.SETTLED: ("instrument", "price", "leaves_quantity", "resting_leaves_quantity", "resting_price"),
    EventKind.EXPIRED: ("instrument", "quantity"),
    EventKind.WINDOW: ("instrument",),
}
OPERATOR = ("instrument", "account", "side", "quantity")
COUNTERS = {"book_state": "event_id", "ledger_accounts": "message_arrival"}  # what a refused command may change


def brief(event: np.void) -> tuple[Any, ...]:
    """An event in short form: what happened, to which order, and the figures that matter for its kind."""
    kind = EventKind(event["kind"])
    return (
        kind.name.lower(),
        *(Reason(event[name]).name if name == "reason" else int(event[name]) for name in TOLD.get(kind, OPERATOR)),
    )


OpenVenue = Callable[..., "Venue"]  # what the fixtures named `venue` are: makes one of the implementation under test


class Venue:
    """Commands in, events out, for the named implementation."""

    def __init__(
        self,
        implementation: str,
        instruments: Sequence[Instrument] | None = None,
        accounts: Sequence[Account] | int = 4,
        max_orders: int = 100,
        risk: bool = False,
        max_client_order_ids: int = 1 << 10,
    ) -> None:
        self.instruments = [instrument()] if instruments is None else instruments
        if isinstance(accounts, int):
            accounts = [account(f"A{number}") for number in range(accounts)]
        self.machine: Any
        if implementation == "engine":
            self.machine = Exchange(
                self.instruments, accounts, risk=risk, max_orders=max_orders, max_client_order_ids=max_client_order_ids
            )
        elif risk:
            self.machine = RiskOracle(self.instruments, accounts, max_orders, max_client_order_ids)
        else:
            self.machine = ReferenceBook(self.instruments, accounts, max_orders)
        self.stamper = Stamper(interval=SECOND)

    @property
    def sequence(self) -> int:
        """Of the last command."""
        return self.stamper.sequence

    def events(self, *commands: Command) -> np.ndarray:
        return self.machine.apply(self.stamper.stamp(*commands))

    def do(self, *commands: Command) -> list[tuple[Any, ...]]:
        """All events of the commands."""
        return [brief(event) for event in self.events(*commands)]

    def last(self, *commands: Command) -> list[tuple[Any, ...]]:
        """The events of the last command."""
        self.events(*commands[:-1])
        return self.do(commands[-1])

    def orders(self, number: int = 0) -> list[tuple[int, int, int]]:
        """Resting orders as (order_id, price, open lots): bids then asks, best first, oldest first."""
        resting: Any
        if isinstance(self.machine, Exchange):
            resting = self.machine.orders(self.instruments[number].symbol)
        else:
            book = self.machine if isinstance(self.machine, ReferenceBook) else self.machine.book
            resting = book.resting(number)
        return [(int(order.order_id), int(order.price), int(order.leaves_quantity)) for order in resting]

    def memory(self) -> object:
        """Everything that a refused command may not change; of the engine, every field except the counters."""
        if not isinstance(self.machine, Exchange):
            book = self.machine if isinstance(self.machine, ReferenceBook) else self.machine.book
            return [
                (
                    market.phase,
                    market.last_price,
                    market.floor,
                    market.ceiling,
                    [asdict(order) for order in book.all_orders(market.number)],
                )
                for market in book.markets
            ]
        arrays = self.machine.state()
        del arrays["sequence"]
        for name, field in COUNTERS.items():
            arrays[name][field] = 0
        return {name: array.tolist() for name, array in arrays.items()}
