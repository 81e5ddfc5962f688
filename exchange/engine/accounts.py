"""What an account has: its position in an instrument, and its money. Statements, the gateway and tests use these figures.

    exchange.position(0, "SC2701").result        # ticks x lots that the next settlement would pay at the last price
    exchange.summary(0).funds.available          # fen

Everything is read from the ledger of risk and nothing is kept, so a figure is as new as the last command.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

import numpy as np

from exchange.instruments import Instrument
from exchange.units import notional_to_money
from risk.limits import Account
from risk.records import SPECIAL_AT_SETTLEMENT, Ledger

EXPOSED = ("position", "open_buy", "open_sell", "cost")  # of EXPOSURE: not all 0 where an account is concerned


class Funds(NamedTuple):
    """An account's money over a trading day. Fen."""

    opening_equity: int  # when the day began
    paid_in: int  # since then, less what was paid out
    result: int  # won since then by marking to market; negative: lost
    fees: int  # charged since then
    margin: int  # initial margin that is held

    @property
    def equity(self) -> int:
        """The account's money now; what is not yet settled is not in it."""
        return self.opening_equity + self.paid_in + self.result - self.fees

    @property
    def available(self) -> int:
        """Equity beyond margin; negative: missing."""
        return self.equity - self.margin


class Position(NamedTuple):
    """What an account holds in one instrument."""

    instrument: int  # index
    lots: int  # net, long positive
    long: int  # lots; where long and short are kept apart (RULEBOOK 10) both may be above 0
    short: int  # lots
    long_today: int  # lots of `long` opened today; 0 unless long and short are kept apart
    short_today: int  # lots, likewise
    open_buy: int  # lots of open buy orders
    open_sell: int  # lots of open sell orders
    cost: int  # ticks x lots paid (bought) minus received (sold) since the last settlement
    mark: int  # ticks, the last trade's price
    settlement: int  # ticks, of the last settlement
    result: int  # ticks x lots that the next settlement would pay at `mark`
    initial_margin: int  # fen, held for the position and its open orders
    position_margin: int  # fen, of it for the position alone
    maintenance_margin: int  # fen, the share of position_margin below which margin is called (RULEBOOK 11.6)

    @property
    def order_margin(self) -> int:
        """Initial margin held for open orders, fen."""
        return self.initial_margin - self.position_margin


class AccountSummary(NamedTuple):
    """What an account has in all instruments together."""

    account: int  # index
    name: str
    firm: int
    funds: Funds  # fen; its margin includes that of open orders
    position_margin: int  # fen, initial margin of the positions alone
    maintenance_margin: int  # fen, the share of it below which margin is called (RULEBOOK 11.6)
    called: bool  # margin is called
    margin_call: int  # fen that are missing; 0 unless called
    unsettled: Decimal  # currency, exact: what the next settlement would pay at the last prices
    open_orders: int
    enabled: bool
    killed: bool  # by the operator's kill switch
    tripped: bool  # by market-maker protection (RULEBOOK 9.6)


def position_of(
    ledger: Ledger, instruments: Sequence[Instrument], account: int, instrument: int, last_price: int
) -> Position:
    """An account's position in an instrument. last_price: ticks."""
    count = len(instruments)
    row = account * count + instrument
    terms, exposure, limit = instruments[instrument], ledger.exposures[row], ledger.limits[instrument]
    lots, margin = int(exposure.position), int(limit.margin)
    long, short, long_today, short_today = max(lots, 0), max(-lots, 0), 0, 0
    if terms.offset:
        gross = ledger.gross[row]
        long, short = int(gross.long), int(gross.short)
        long_today, short_today = int(gross.long_today), int(gross.short_today)
    cost = _cost(ledger, account * count, count, instrument, last_price)
    position_margin = max(long, short) * margin  # RULEBOOK 10.5
    return Position(
        instrument=instrument,
        lots=lots,
        long=long,
        short=short,
        long_today=long_today,
        short_today=short_today,
        open_buy=int(exposure.open_buy),
        open_sell=int(exposure.open_sell),
        cost=cost,
        mark=last_price,
        settlement=int(limit.settlement),
        result=0 if terms.at_settlement else lots * last_price - cost,  # the position in the leg has it (12.1)
        initial_margin=int(exposure.worst) * margin,
        position_margin=position_margin,
        maintenance_margin=_maintenance(ledger, position_margin),
    )


def _cost(ledger: Ledger, first: int, count: int, instrument: int, settlement: int) -> int:
    """Ticks x lots that a position has cost if today's settlement price is `settlement`.

    Lots traded at settlement are in the position, but have no price until then (RULEBOOK 12.1).
    """
    limits, exposures = ledger.limits, ledger.exposures[first : first + count]
    late = exposures[(limits["leg_near"] == instrument) & (limits["special"] & SPECIAL_AT_SETTLEMENT != 0)]
    return int(exposures[instrument].cost) + settlement * int(late["position"].sum()) + int(late["cost"].sum())


def _maintenance(ledger: Ledger, margin: int) -> int:
    return margin * int(ledger.hub[0].maintenance) // 10_000


def summary_of(
    ledger: Ledger,
    instruments: Sequence[Instrument],
    accounts: Sequence[Account],
    positions: Sequence[Position],
    account: int,
) -> AccountSummary:
    """An account's summary. positions: those of the account, all of them."""
    row = ledger.accounts[account]
    funds = Funds(int(row.opening_equity), int(row.paid_in), int(row.result), int(row.fees), int(row.margin_used))
    position_margin = sum(position.position_margin for position in positions)
    unsettled = (notional_to_money(instruments[position.instrument], position.result) for position in positions)
    return AccountSummary(
        account=account,
        name=accounts[account].name,
        firm=int(row.firm),
        funds=funds,
        position_margin=position_margin,
        maintenance_margin=_maintenance(ledger, position_margin),
        called=bool(row.called),
        margin_call=max(0, position_margin - funds.equity) if row.called else 0,
        unsettled=sum(unsettled, Decimal(0)),
        open_orders=int(row.open_orders),
        enabled=bool(row.enabled),
        killed=bool(row.killed),
        tripped=bool(row.tripped),
    )


def held_instruments(ledger: Ledger, instruments: int, account: int) -> np.ndarray:
    """Indices of the instruments in which an account holds, has ordered or has paid anything since the last settlement."""
    exposures = ledger.exposures[account * instruments : (account + 1) * instruments]
    return np.flatnonzero(np.any([exposures[field] != 0 for field in EXPOSED], axis=0))


def open_interest_of(ledger: Ledger, instruments: Sequence[Instrument], instrument: int) -> int:
    """Lots of all long positions in an instrument."""
    count = len(instruments)
    if instruments[instrument].offset:
        return int(ledger.gross["long"][instrument::count].sum())
    positions = ledger.exposures["position"][instrument::count]
    return int(positions[positions > 0].sum())
