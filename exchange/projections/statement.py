"""End-of-day statements: what each account, and the hub, had at the end of a day and how it came to that.

    statements = Statements(exchange.instruments, exchange.accounts, blotter)
    statements.record(commands, exchange.apply(commands))
    statements.account(3).equity, statements.summary().fees      # of the last day that ended, fen
    statements.csv(3), statements.html(3), statements.html()     # text; without an account: the hub's

This is a projection: it folds the events of clearing and never looks at the ledger, which may be batches ahead. Money
is whole fen, prices ticks, quantities lots; statement_report.py writes them for people and for other programs.

A day here reaches from END_DAY to END_DAY, so that what is paid overnight is in the statement of the day that comes
and each statement opens with what the one before closed with. RULEBOOK 11.10.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from exchange.instruments import Instrument
from exchange.projections import statement_report
from exchange.projections.blotter import FILL, Blotter
from exchange.projections.statement_figures import Delivery, HubStatement, PositionDay, Settlement, Statement
from matching.codes import EventKind
from matching.records import EVENT_WORDS
from risk.limits import Account

_FOLDED = (
    EventKind.BALANCE,
    EventKind.DELIVERY,
    EventKind.MARGIN_CALL,
    EventKind.CASH,
    EventKind.DAY_ENDED,
    EventKind.DAY_BEGUN,
    EventKind.SETTLED,
    EventKind.EXPIRED,
)
_IS_FOLDED = np.isin(np.arange(256), _FOLDED)
_NO_FILLS = np.empty(0, FILL)


@dataclass(slots=True)
class _Day:
    """A day as it is folded: figures by account, and by account and instrument."""

    opening: list[int]  # fen, by account
    paid_in: list[int]
    calls: list[int]
    positions: list[dict[int, PositionDay]]  # by account, then instrument
    date: int = 0
    first: int = 1  # sequences of its commands
    last: int = 0
    settlements: dict[int, Settlement] = field(default_factory=dict)
    deliveries: list[Delivery] = field(default_factory=list)


class Statements:
    """Statements of the last day that ended, kept up to date by `record`.

    instruments, accounts   those of the Exchange, in its order
    blotter                 where trades of the day are looked up; None: statements list no trades
    Memory                  two days: what each account holds or traded in each instrument
    """

    def __init__(
        self, instruments: Sequence[Instrument], accounts: Sequence[Account], blotter: Blotter | None = None
    ) -> None:
        self.instruments, self.accounts = tuple(instruments), tuple(accounts)
        self._blotter = blotter
        self._event_id = 0
        self._present = self._new_day([account.equity for account in self.accounts])
        self._ended: _Day | None = None

    def _new_day(self, opening: list[int]) -> _Day:
        count = len(self.accounts)
        return _Day(opening, [0] * count, [0] * count, [{} for _ in range(count)])

    def record(self, commands: np.ndarray, events: np.ndarray) -> None:
        """Take a batch: COMMAND[n] as applied (not used), and their events, EVENT[m].

        Errors   ValueError where the batch does not continue those recorded before; nothing has changed then
        Cost     O(m) to find the few events of clearing, a few microseconds for each of these
        """
        if not len(events):
            return
        if events["event_id"][0] != self._event_id + 1:
            raise ValueError(
                f"event {events['event_id'][0]} does not continue event {self._event_id}; "
                f"record from event 1 into new Statements"
            )
        for event in events[_IS_FOLDED[events["kind"]]].view(EVENT_WORDS):
            self._fold(event)
        self._event_id = int(events["event_id"][-1])

    def _fold(self, event: np.record) -> None:
        day, kind, account, instrument = self._present, event.kind, int(event.account), int(event.instrument)
        price, quantity = int(event.price), int(event.quantity)
        if kind == EventKind.BALANCE:
            before = day.positions[account].get(instrument)
            volume, result, fees = (before.volume, before.result, before.fees) if before else (0, 0, 0)
            day.positions[account][instrument] = PositionDay(
                instrument,
                int(event.position),
                price,
                volume + int(event.volume),
                result + quantity,
                fees + int(event.leaves_quantity),
                int(event.margin),
            )
        elif kind == EventKind.CASH:
            day.paid_in[account] += quantity
        elif kind == EventKind.MARGIN_CALL:
            day.calls[account] = quantity
        elif kind == EventKind.DELIVERY:
            day.deliveries.append(Delivery(instrument, account, int(event.resting_account), quantity, price))
        elif kind == EventKind.SETTLED:
            day.settlements[instrument] = Settlement(
                instrument,
                price,
                quantity,
                int(event.leaves_quantity),
                int(event.next_floor),
                int(event.next_ceiling),
            )
        elif kind == EventKind.EXPIRED:
            for held in day.positions:
                if instrument in held:
                    held[instrument] = replace(held[instrument], position=0, margin=0)
        elif kind == EventKind.DAY_BEGUN:
            day.date = quantity
        else:
            self._end_day(int(event.sequence))

    def _end_day(self, sequence: int) -> None:
        """The day is over; the next opens with what this one closed with. Positions stay, their day's figures do not."""
        ended = self._present
        ended.last = sequence
        self._ended = ended
        self._present = self._new_day(
            [self._statement(ended, account, _NO_FILLS).equity for account in range(len(self.accounts))]
        )
        self._present.first, self._present.date = sequence + 1, ended.date
        for held, kept in zip(ended.positions, self._present.positions, strict=True):
            kept.update(
                (number, replace(position, volume=0, result=0, fees=0))
                for number, position in held.items()
                if position.position
            )

    @property
    def date(self) -> int | None:
        """Trading date of the last day that ended, yyyymmdd, 0 if no BEGIN_DAY gave it; None: no day has ended."""
        return self._ended.date if self._ended else None

    @property
    def event_id(self) -> int:
        """Of the last event recorded."""
        return self._event_id

    def account(self, account: int) -> Statement:
        """The account's statement of the last day that ended.

        Errors   LookupError: no day has ended yet; IndexError: no such account
        """
        if not 0 <= account < len(self.accounts):
            raise IndexError(f"account is {account}, must be 0 to {len(self.accounts) - 1}")
        return self._statement(self._last_day(), account, self._trades(account))

    def summary(self) -> HubStatement:
        """The hub's statement of the last day that ended. Errors: LookupError: no day has ended yet."""
        day = self._last_day()
        accounts = (self._statement(day, account, _NO_FILLS) for account in range(len(self.accounts)))
        return HubStatement(day.date, tuple(accounts), _in_order(day.settlements), tuple(day.deliveries))

    def csv(self, account: int | None = None) -> str:
        """The statement of an account, or of the hub, as CSV. Errors: as account."""
        if account is None:
            return statement_report.hub_csv(self.summary(), self.instruments, self.accounts)
        return statement_report.account_csv(self.account(account), self.instruments, self.accounts)

    def html(self, account: int | None = None) -> str:
        """The statement of an account, or of the hub, as one HTML page that can be printed. Errors: as account."""
        if account is None:
            return statement_report.hub_html(self.summary(), self.instruments, self.accounts)
        return statement_report.account_html(self.account(account), self.instruments, self.accounts)

    def _last_day(self) -> _Day:
        if self._ended is None:
            raise LookupError("no day has ended yet")
        return self._ended

    @staticmethod
    def _statement(day: _Day, account: int, trades: np.ndarray) -> Statement:
        return Statement(
            day.date,
            account,
            day.opening[account],
            day.paid_in[account],
            day.calls[account],
            _in_order(day.positions[account]),
            tuple(delivery for delivery in day.deliveries if account in (delivery.account, delivery.counterparty)),
            trades,
        )

    def _trades(self, account: int) -> np.ndarray:
        if self._blotter is None:
            return _NO_FILLS
        day = self._last_day()
        trades = self._blotter.trades(account, count=1 << 40)[::-1]
        return trades[(trades["sequence"] >= day.first) & (trades["sequence"] <= day.last)]

    # Over a snapshot ------------------------------------------------------------------------------

    def state(self) -> dict[str, np.ndarray]:
        """All it knows, as int64 arrays named statement_..., for a snapshot."""
        days = [day for day in (self._present, self._ended) if day]
        tables: dict[str, list[tuple[int, ...]]] = {
            "days": [(self._event_id, day.date, day.first, day.last) for day in days],
            "accounts": [
                (number, *figures)
                for number, day in enumerate(days)
                for figures in zip(day.opening, day.paid_in, day.calls, strict=True)
            ],
            "positions": [
                (number, account, *_figures(position))
                for number, day in enumerate(days)
                for account, held in enumerate(day.positions)
                for position in held.values()
            ],
            "settlements": [
                (number, *_figures(settlement))
                for number, day in enumerate(days)
                for settlement in day.settlements.values()
            ],
            "deliveries": [
                (number, *_figures(delivery)) for number, day in enumerate(days) for delivery in day.deliveries
            ],
        }
        return {
            f"statement_{name}": np.array(rows, "<i8").reshape(len(rows), _WIDTHS[name])
            for name, rows in tables.items()
        }

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Take what `state` gave; other arrays are left alone.

        Errors   ValueError: an array is missing, or is of another shape or of other accounts. Nothing has changed then.
        """
        tables = {}
        for name, width in _WIDTHS.items():
            given = arrays.get(f"statement_{name}")
            if given is None or given.ndim != 2 or given.shape[1] != width:
                raise ValueError(
                    f"snapshot array statement_{name}: {None if given is None else given.shape}, must be (n, {width})"
                )
            tables[name] = given.tolist()
        count = len(self.accounts)
        if len(tables["accounts"]) != count * len(tables["days"]):
            raise ValueError(
                f"snapshot array statement_accounts: {len(tables['accounts'])} rows, "
                f"must be {count * len(tables['days'])}"
            )
        days = []
        for number, (_, date, first, last) in enumerate(tables["days"]):
            day = self._new_day([0] * count)
            day.date, day.first, day.last = date, first, last
            rows = tables["accounts"][number * count : (number + 1) * count]
            for account, (_, opening, paid_in, call) in enumerate(rows):
                day.opening[account], day.paid_in[account], day.calls[account] = opening, paid_in, call
            days.append(day)
        for number, account, *figures in tables["positions"]:
            days[number].positions[account][figures[0]] = PositionDay(*figures)
        for number, *figures in tables["settlements"]:
            days[number].settlements[figures[0]] = Settlement(*figures)
        for number, *figures in tables["deliveries"]:
            days[number].deliveries.append(Delivery(*figures))
        self._event_id = tables["days"][0][0]
        self._present, self._ended = days[0], days[1] if len(days) > 1 else None


_WIDTHS = {
    "days": 4,
    "accounts": 4,
    "positions": 9,
    "settlements": 7,
    "deliveries": 6,
}  # columns of each table of a state


def _figures(row: PositionDay | Settlement | Delivery) -> tuple[int, ...]:
    return tuple(getattr(row, name) for name in row.__dataclass_fields__)


def _in_order(rows: dict[Any, Any]) -> tuple[Any, ...]:
    """The rows of a table by instrument."""
    return tuple(rows[number] for number in sorted(rows))
