"""What a statement says: the figures of an account's day and of the hub's. RULEBOOK 11.10.

exchange/projections/statement.py computes them from events, exchange/projections/statement_report.py writes them as text.
"""

from dataclasses import dataclass, field

import numpy as np

from exchange.engine.accounts import Funds


@dataclass(frozen=True, slots=True)
class PositionDay:
    """What an account holds and did in one instrument that day."""

    instrument: int
    position: int  # lots, long positive
    settlement: int  # ticks
    volume: int  # lots bought and sold
    result: int  # fen, won by marking to market
    fees: int  # fen
    margin: int  # fen, initial margin of the position


@dataclass(frozen=True, slots=True)
class Delivery:
    """Lots that one account delivers to another."""

    instrument: int
    account: int  # the receiver
    counterparty: int  # the deliverer
    quantity: int  # lots
    price: int  # ticks


@dataclass(frozen=True, slots=True)
class Settlement:
    """How an instrument settled."""

    instrument: int
    price: int  # ticks
    volume: int  # lots traded
    locked_days: int  # days in a row closed limit-locked; negative: at the floor
    floor: int  # ticks, lowest price of the next day
    ceiling: int  # ticks, highest


@dataclass(frozen=True, slots=True)
class Statement:
    """One account's day. Money is in fen."""

    date: int  # yyyymmdd; 0: no BEGIN_DAY gave it
    account: int
    opening_equity: int
    paid_in: int
    margin_call: int  # fen missing; 0: no margin is called
    positions: tuple[PositionDay, ...]
    deliveries: tuple[Delivery, ...]
    trades: np.ndarray = field(compare=False)  # FILL, oldest first, those that the blotter still has

    @property
    def result(self) -> int:
        """Won by marking to market; negative: lost."""
        return sum(position.result for position in self.positions)

    @property
    def fees(self) -> int:
        return sum(position.fees for position in self.positions)

    @property
    def funds(self) -> Funds:
        """At the close; margin is that of the positions."""
        return Funds(self.opening_equity, self.paid_in, self.result, self.fees, self.margin)

    @property
    def equity(self) -> int:
        """At the close."""
        return self.funds.equity

    @property
    def margin(self) -> int:
        """Initial margin of the positions."""
        return sum(position.margin for position in self.positions)

    @property
    def available(self) -> int:
        """Equity beyond margin; negative: missing."""
        return self.funds.available


@dataclass(frozen=True, slots=True)
class HubStatement:
    """The hub's day: every account and every instrument that settled. The results of all accounts add up to zero."""

    date: int
    accounts: tuple[Statement, ...]
    settlements: tuple[Settlement, ...]
    deliveries: tuple[Delivery, ...]

    @property
    def paid_in(self) -> int:
        return sum(account.paid_in for account in self.accounts)

    @property
    def fees(self) -> int:
        """Charged by the hub that day."""
        return sum(account.fees for account in self.accounts)

    @property
    def result(self) -> int:
        """Of all accounts; always zero, since one account's gain is another's loss."""
        return sum(account.result for account in self.accounts)
