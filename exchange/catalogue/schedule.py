"""The schedule of a trading day: which commands the hub's operator sends when. RULEBOOK 14.3 to 14.7. No clock, no I/O.

    schedule = Schedule(read_catalogue(profile="chinese"))
    for step in schedule.day(datetime.date(2026, 12, 1)):
        print(beijing(step.time), step.description)              # step.commands: COMMAND rows, not stamped

The same catalogue and date give the same steps. exchange/catalogue/driver.py walks through them as time passes, and reacts
to events.
"""

import datetime
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from exchange.catalogue.calendar import CalendarError, moment, yyyymmdd
from exchange.catalogue.contracts import Catalogue, Contract, Kind
from exchange.engine.phases import MAY_FOLLOW
from matching.codes import ALL, AUCTION_PHASES, CommandKind, Limit, Phase, SettlementRule
from matching.records import COMMAND

_MINUTE = 60 * 1_000_000_000
_DAY = datetime.timedelta(days=1)
TRADING = (*AUCTION_PHASES, Phase.AUCTION_MATCH, Phase.CONTINUOUS, Phase.LIMIT_LOCKED)
# What takes effect with the SETTLE before; the rest when the day begins (14.4).
_AT_SETTLEMENT = (Limit.INSTRUMENT_DAILY_LIMIT, Limit.INSTRUMENT_MARGIN_RATE)

Row = tuple[CommandKind, int, int, int, int]  # kind, instrument, order_type, price, quantity


@dataclass(frozen=True, eq=False)
class Step:
    """What the operator sends at one moment of market time."""

    time: int  # ns UTC
    description: str
    commands: np.ndarray  # COMMAND[n], not stamped
    quiet: bool = False  # no trading until the next step


def rows_of(rows: Iterable[Row]) -> np.ndarray:
    """COMMAND[n], not stamped."""
    rows = list(rows)
    commands = np.zeros(len(rows), COMMAND)
    for column, name in enumerate(("kind", "instrument", "order_type", "price", "quantity")):
        commands[name] = [row[column] for row in rows]
    return commands


def phase_row(instrument: int, phase: Phase) -> Row:
    """A PHASE command. instrument: index or ALL."""
    return CommandKind.PHASE, instrument, int(phase), 0, 0


def follow(phases: np.ndarray, commands: np.ndarray) -> np.ndarray:
    """The phases of all instruments after a step, where it meets no surprise. phases: int[n]."""
    after = phases.copy()
    for row in commands:
        kind, instrument, phase = int(row["kind"]), int(row["instrument"]), int(row["order_type"])
        if kind == CommandKind.LIST:
            after[instrument] = Phase.CLOSED
        elif kind == CommandKind.EXPIRE:
            after[instrument] = Phase.EXPIRED
        elif kind == CommandKind.PHASE and instrument != ALL:
            after[instrument] = phase
        elif kind == CommandKind.PHASE and phase != Phase.LIMIT_LOCKED:  # a locked market is the exception
            after[MAY_FOLLOW[after, phase] != 0] = phase
    return after


class Schedule:
    """The days of a catalogue. Errors: CalendarError for a day that its calendar does not know or that is no trading day."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self.calendar, self.profile, self.opens = catalogue.calendar, catalogue.profile, catalogue.opens
        self.contracts = catalogue.contracts
        self._index = {contract.symbol: number for number, contract in enumerate(self.contracts)}
        self.references = np.array([contract.reference for contract in self.contracts], np.int64)

    def day(
        self, date: datetime.date, settlements: Sequence[int] | np.ndarray | None = None, suspended: Iterable[int] = ()
    ) -> list[Step]:
        """The steps of a trading day, in order of time.

        settlements   ticks by instrument, for the reference prices of months that are listed; None: those of the files
        suspended     indices of instruments that are halted all day
        """
        if not self.calendar.is_trading_day(date):
            raise CalendarError(f"calendar: {date} is no trading day")
        night = self._night(date)
        hub = self.profile.day
        begin = (
            moment(night, hub.begin_night)
            if night is not None and hub.begin_night is not None
            else moment(date, hub.begin)
        )
        parts: list[tuple[int, str, list[Row]]] = [
            (begin, f"day {date} begins", self._begin(date, settlements, suspended))
        ]
        parts += self._phases(date, night)
        if hub.limit_lock is not None:
            parts.append((moment(date, hub.limit_lock), "limit-locked?", [phase_row(ALL, Phase.LIMIT_LOCKED)]))
        parts.append((moment(date, hub.window), "window opens", [(CommandKind.WINDOW, ALL, 0, 0, 0)]))
        parts.append((moment(date, hub.settlement), "settlement", self._settlement(date)))
        parts.append(
            (
                moment(date, hub.end),
                f"day {date} ends",
                [(CommandKind.END_DAY, 0, 0, 0, 0), phase_row(ALL, Phase.CLOSED)],
            )
        )
        return self._steps(date, parts)

    def _night(self, date: datetime.date) -> datetime.date | None:
        """The evening on which the night session of a trading day begins; None: there is none."""
        if self.profile.day.begin_night is None or not self.calendar.has_night(date):
            return None
        return self.calendar.previous_trading_day(date)

    def listed(self, date: datetime.date) -> list[tuple[int, Contract]]:
        """Indices and contracts that trade on a trading day."""
        return [(number, contract) for number, contract in enumerate(self.contracts) if contract.is_listed(date)]

    def _begin(
        self, date: datetime.date, settlements: Sequence[int] | np.ndarray | None, suspended: Iterable[int]
    ) -> list[Row]:
        """BEGIN_DAY, the terms that hold from this day on, the months that are listed."""
        rows: list[Row] = [(CommandKind.BEGIN_DAY, 0, 0, 0, yyyymmdd(date))]
        if date > self.opens:
            before = self.calendar.previous_trading_day(date)
            for number, contract in self.listed(date):
                if contract.listed < date:
                    rows += _changes(number, contract.limits(before), contract.limits(date), at_settlement=False)
            prices = np.array(self.references if settlements is None else settlements, np.int64)
            for number, contract in enumerate(self.contracts):
                if contract.listed == date:
                    prices[number] = self.list_price(contract, prices)
                    rows.append((CommandKind.LIST, number, 0, int(prices[number]), 0))
        return rows + [phase_row(number, Phase.HALTED) for number in sorted(suspended)]

    def list_price(self, contract: Contract, settlements: np.ndarray) -> int:
        """Reference price of a month that is listed: as far from the month before as the files have it (14.2)."""
        price = contract.reference
        if contract.kind == Kind.SPREAD:
            near, far = (self._index[leg] for leg in contract.legs)
            price = int(settlements[near] - settlements[far])
        elif contract.kind == Kind.OUTRIGHT:
            before = self._index.get(f"{contract.family.code}{contract.months[0].plus(-1)}")
            if before is not None:
                price += int(settlements[before] - self.references[before])
        floor, ceiling = contract.ladder
        return min(max(price, floor), ceiling)

    def _phases(self, date: datetime.date, night: datetime.date | None) -> list[tuple[int, str, list[Row]]]:
        """The phases of every session: one part a time and phase."""
        found: dict[tuple[int, Phase], list[int]] = {}
        for number, contract in self.listed(date):
            session = self.catalogue.sessions[contract.session]
            for minutes, phase in session.night if night is not None else ():
                assert night is not None
                found.setdefault((moment(night, minutes), phase), []).append(number)
            for minutes, phase in session.day:
                found.setdefault((moment(date, minutes), phase), []).append(number)
        return [
            (
                time,
                f"{phase.name.lower().replace('_', ' ')} {self._named(numbers)}",
                [
                    phase_row(number, phase)
                    for number in sorted(numbers, key=lambda number: (self.contracts[number].kind, number))
                ],
            )
            for (time, phase), numbers in found.items()
        ]

    def _named(self, numbers: Iterable[int]) -> str:
        """Instruments in short: families, TAS and spreads of families, symbols of the spot side."""
        names = []
        for contract in (self.contracts[number] for number in numbers):
            code = contract.family.code
            names.append(
                {
                    Kind.OUTRIGHT: code,
                    Kind.SPOT: contract.symbol,
                    Kind.TAS: f"{code} TAS",
                    Kind.SPREAD: f"{code} spreads",
                }[contract.kind]
            )
        return " ".join(dict.fromkeys(names))

    def _settlement(self, date: datetime.date) -> list[Row]:
        """SETTLEMENT, the next day's limits and margins, SETTLE legs first, EXPIRE legs last."""
        rows = [phase_row(ALL, Phase.SETTLEMENT)]
        listed = sorted(self.listed(date), key=lambda entry: (entry[1].kind, entry[0]))
        try:
            after = self.calendar.next_trading_day(date)
        except CalendarError:
            after = date  # the calendar ends here
        for number, contract in listed:
            if contract.is_listed(after):
                rows += _changes(number, contract.limits(date), contract.limits(after), at_settlement=True)
        for number, contract in listed:
            rule = self.profile.settlement_rule if contract.kind == Kind.OUTRIGHT else SettlementRule.DAY_VWAP
            rows.append((CommandKind.SETTLE, number, int(rule), 0, 0))
        return rows + [
            (CommandKind.EXPIRE, number, 0, 0, 0) for number, contract in reversed(listed) if contract.expiry == date
        ]

    def _steps(self, date: datetime.date, parts: list[tuple[int, str, list[Row]]]) -> list[Step]:
        """Parts of one time become one step."""
        first, last = parts[0][0], parts[-1][0]
        times = sorted({time for time, _, _ in parts})
        if (
            times[0] != first
            or times[-1] != last
            or any(time >= parts[-2][0] for time, _, rows in parts[1:-2] if rows[0][0] == CommandKind.PHASE)
        ):
            raise CalendarError(
                f"schedule of {date}: sessions must lie between the begin of the day and its settlement"
            )
        phases = self.initial_phases(date)
        steps = []
        for time in times:
            due = [(description, rows) for at, description, rows in parts if at == time]
            commands = rows_of(row for _, rows in due for row in rows)
            phases = follow(phases, commands)
            quiet = not np.isin(phases, TRADING).any()
            steps.append(Step(time, "; ".join(description for description, _ in due), commands, bool(quiet)))
        return steps

    def initial_phases(self, date: datetime.date) -> np.ndarray:
        """Phases of all instruments when a trading day begins."""
        return np.array(
            [
                Phase.UNLISTED
                if contract.listed > max(date - _DAY, self.opens)
                else Phase.CLOSED
                if contract.expiry is None or contract.expiry >= date
                else Phase.EXPIRED
                for contract in self.contracts
            ],
            np.int64,
        )


def _changes(
    instrument: int, before: Mapping[Limit, int], after: Mapping[Limit, int], at_settlement: bool
) -> list[Row]:
    """LIMIT commands for what differs."""
    return [
        (CommandKind.LIMIT, instrument, int(limit), 0, value)
        for limit, value in after.items()
        if value != before[limit] and (limit in _AT_SETTLEMENT) == at_settlement
    ]
