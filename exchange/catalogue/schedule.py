"""The schedule of a trading day: which commands the hub's operator sends when. RULEBOOK 14.3 to 14.7. No clock, no I/O.

    schedule = Schedule(read_catalogue(profile="chinese"))
    for step in schedule.day(datetime.date(2026, 12, 1)):
        print(beijing(step.time), step.description)              # step.commands: COMMAND rows, not stamped

    driver = Driver(schedule, schedule.opens, now_ns)            # 24 hours in five minutes
    for step in driver.due(now_ns):                              # or, by hand: driver.next()
        runner.submit(step.commands)
    runner.listeners.append(lambda commands, events: driver.heard(events))

`Schedule` turns data into days: the same catalogue and date give the same steps. `Driver` walks through the days and
reacts to what happens: it ends the short auctions that the hub began, leaves alone what an operator has halted, ends a
one-sided auction when its countdown does, and keeps an instrument halted that closed limit-locked for three days.

A step is submitted as one block, which the runner journals as a whole. So after a restart the exchange's own state says
which step was the last, and `Driver.resume` goes on with the next.
"""

import datetime
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from exchange.catalogue.calendar import CalendarError, moment, yyyymmdd
from exchange.catalogue.contracts import Catalogue, Contract, Kind
from exchange.engine.machine import Exchange
from exchange.engine.phases import MAY_FOLLOW
from matching.codes import ALL, AUCTION_PHASES, CommandKind, EventKind, Limit, Phase, Reason, SettlementRule
from matching.records import COMMAND

COMPRESSION = 288  # 24 hours in five minutes
IDLE_NS = 30 * 60 * 1_000_000_000  # of market time: what is left of hours in which nobody trades
LOCKED_DAYS = 3  # in a row, after which an instrument is halted for a day (9.4)
_MINUTE = 60 * 1_000_000_000
_DAY = datetime.timedelta(days=1)
_TRADING = (*AUCTION_PHASES, Phase.AUCTION_MATCH, Phase.CONTINUOUS, Phase.LIMIT_LOCKED)
_OVER = (Phase.CLOSED, Phase.UNLISTED, Phase.EXPIRED)
# What takes effect with the SETTLE before; the rest when the day begins (14.4).
_AT_SETTLEMENT = (Limit.INSTRUMENT_DAILY_LIMIT, Limit.INSTRUMENT_MARGIN_RATE)
# How an instrument gets out of a short auction into a phase that may not follow one: it trades first.
_OUT_OF_AUCTION = {
    Phase.BREAK: (Phase.AUCTION_MATCH, Phase.BREAK),
    Phase.CLOSING: (Phase.AUCTION_MATCH, Phase.BREAK, Phase.CLOSING),
}
_HEARD = np.zeros(256, np.bool_)
_HEARD[[EventKind.PHASE, EventKind.LISTED, EventKind.EXPIRED, EventKind.SETTLED, EventKind.COUNTDOWN]] = True

Row = tuple[CommandKind, int, int, int, int]  # kind, instrument, order_type, price, quantity


@dataclass(frozen=True, eq=False)
class Step:
    """What the operator sends at one moment of market time."""

    time: int  # ns UTC
    description: str
    commands: np.ndarray  # COMMAND[n], not stamped
    quiet: bool = False  # nobody trades until the next step


def _rows(rows: Iterable[Row]) -> np.ndarray:
    rows = list(rows)
    commands = np.zeros(len(rows), COMMAND)
    for column, name in enumerate(("kind", "instrument", "order_type", "price", "quantity")):
        commands[name] = [row[column] for row in rows]
    return commands


def _phase(instrument: int, phase: Phase) -> Row:
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
            parts.append((moment(date, hub.limit_lock), "limit-locked?", [_phase(ALL, Phase.LIMIT_LOCKED)]))
        parts.append((moment(date, hub.window), "window opens", [(CommandKind.WINDOW, ALL, 0, 0, 0)]))
        parts.append((moment(date, hub.settlement), "settlement", self._settlement(date)))
        parts.append(
            (moment(date, hub.end), f"day {date} ends", [(CommandKind.END_DAY, 0, 0, 0, 0), _phase(ALL, Phase.CLOSED)])
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
        return rows + [_phase(number, Phase.HALTED) for number in sorted(suspended)]

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
                    _phase(number, phase)
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
        rows = [_phase(ALL, Phase.SETTLEMENT)]
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
            told = [(description, rows) for at, description, rows in parts if at == time]
            commands = _rows(row for _, rows in told for row in rows)
            phases = follow(phases, commands)
            quiet = not np.isin(phases, _TRADING).any()
            steps.append(Step(time, "; ".join(description for description, _ in told), commands, bool(quiet)))
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


class Driver:
    """Walks through the days of a schedule, as fast as it is told.

    schedule    Schedule
    date        trading day to begin with
    start_ns    the hub's time now
    factor      market time passes so many times faster than the hub's
    market_ns   market time now; None: when the first step is due. With factor 1 and market_ns = start_ns the market lives in
                the hub's own time
    idle_ns     hours in which nobody trades are shortened to so much market time; None: not

    `due` and `next` give steps whose commands are to be submitted at once, each as one block; `heard` is to be given all events.
    """

    def __init__(
        self,
        schedule: Schedule,
        date: datetime.date,
        start_ns: int,
        factor: float = COMPRESSION,
        market_ns: int | None = None,
        idle_ns: int | None = IDLE_NS,
    ) -> None:
        if factor <= 0:
            raise ValueError(f"factor is {factor}, must be above 0")
        self.day = date
        self.finished = False  # the calendar has come to its end
        self._schedule, self._factor, self._idle = schedule, factor, idle_ns
        self._settlements = schedule.references.copy()
        self._suspended: set[int] = set()  # today
        self._locked: set[int] = set()  # closed limit-locked too often: suspended tomorrow
        self._phases = schedule.initial_phases(date)
        self._steps = schedule.day(date)
        self._at = 0  # of the next step
        self._auctions: dict[int, int] = {}  # short auctions and when they end, market time
        self._countdowns: dict[int, int] = {}
        self._ended: set[int] = set()  # one-sided auctions whose countdown is over: closed until tomorrow
        self._wanted: dict[int, Phase] = {}  # phase that the timetable has last asked for
        self._quiet = True
        self._real = start_ns
        self._market = self._steps[0].time if market_ns is None else market_ns
        self._issued = self._market  # market time of the last step
        self._by_hand: int | None = None  # market time of a step whose events will tell the hub's time

    @classmethod
    def resume(cls, schedule: Schedule, exchange: Exchange, start_ns: int, **options: Any) -> "Driver":
        """Go on where an exchange stands: after the last step that it has seen. An exchange that has seen none begins.

        options   factor, market_ns and idle_ns as above; market_ns None: the time of that last step
        """
        date = int(exchange.book.state[0].trading_date)
        if date == 0:
            return cls(schedule, schedule.opens, start_ns, **options)
        day = datetime.date(date // 10_000, date // 100 % 100, date % 100)
        driver = cls(schedule, day, start_ns, **options)
        driver._find_place(exchange, options.get("market_ns") is None)
        return driver

    def _find_place(self, exchange: Exchange, at_last_step: bool) -> None:
        """Which step of the day was the last: the earliest of those whose phases are most like the exchange's."""
        instruments, limits = exchange.book.instruments, exchange.ledger.limits
        self._phases = instruments["phase"].astype(np.int64)
        self._settlements = limits["settlement"].astype(np.int64)
        settled = [
            number for number, step in enumerate(self._steps) if (step.commands["kind"] == CommandKind.SETTLE).any()
        ][-1]
        if limits["settled"].any():
            self._locked = {int(number) for number in np.flatnonzero(abs(instruments["locked_days"]) >= LOCKED_DAYS)}
            place = len(self._steps) - 1 if np.isin(self._phases, _OVER).all() else settled
        else:
            phases = self._schedule.initial_phases(self.day)
            likeness = []
            for step in self._steps[:settled]:
                phases = follow(phases, step.commands)
                likeness.append(int((phases == self._phases).sum()))
            place = int(np.argmax(likeness))
        for step in self._steps[: place + 1]:
            for row in step.commands[
                (step.commands["kind"] == CommandKind.PHASE) & (step.commands["instrument"] != ALL)
            ]:
                self._wanted[int(row["instrument"])] = Phase(int(row["order_type"]))
        self._at = place + 1
        last = self._steps[place]
        self._quiet, self._issued = last.quiet, last.time
        if at_last_step:
            self._market = last.time
        self._ended = {
            number
            for number, phase in self._wanted.items()
            if phase in AUCTION_PHASES and self._phases[number] == Phase.CLOSED
        }
        for number in np.flatnonzero(np.isin(self._phases, AUCTION_PHASES)):
            if instruments["deadline"][number]:
                self._countdowns[int(number)] = self._market_of(int(instruments["deadline"][number]))
            elif self._wanted.get(int(number)) not in AUCTION_PHASES:
                self._auctions[int(number)] = self._short_auction_end(self._real)

    # Time -----------------------------------------------------------------------------------------

    def market_time(self, now_ns: int) -> int:
        """Market time, ns UTC, at a time of the hub."""
        return int(self._market + (now_ns - self._real) * self._factor)

    def _market_of(self, time_ns: int) -> int:
        """The same, for something that happened after the last step and before the next one of the timetable."""
        return max(self.market_time(time_ns), self._issued)

    def _short_auction_end(self, time_ns: int) -> int:
        begun = self._market_of(time_ns)
        if self._at < len(self._steps):
            begun = min(begun, self._steps[self._at].time)
        return begun + self._schedule.profile.day.short_auction * _MINUTE

    def _next_day(self) -> None:
        """Into the next trading day, once all steps of this one are out."""
        if self._at < len(self._steps) or self.finished:
            return
        try:
            day = self._schedule.calendar.next_trading_day(self.day)
            steps = self._schedule.day(day, self._settlements, self._locked)
        except CalendarError:
            self.finished = True
            return
        self.day, self._steps, self._at = day, steps, 0
        self._suspended, self._locked = self._locked, set()
        self._ended.clear()
        self._wanted.clear()

    def _skip(self, now_ns: int) -> None:
        """Shorten the hours until the next step, if nobody trades in them."""
        if self._idle is None or not self._quiet or self._at >= len(self._steps) or self._auctions or self._countdowns:
            return
        self._market += max(0, self._steps[self._at].time - self.market_time(now_ns) - self._idle)

    # Steps ----------------------------------------------------------------------------------------

    @property
    def upcoming(self) -> tuple[int, str] | None:
        """Market time and description of the timetable's next step; None: there is no other."""
        self._next_day()
        return None if self._at >= len(self._steps) else (self._steps[self._at].time, self._steps[self._at].description)

    def due(self, now_ns: int) -> list[Step]:
        """The steps whose time has come. At most one day's at a time, so that its events are heard before the next."""
        self._next_day()
        self._skip(now_ns)
        steps = []
        market = self.market_time(now_ns)
        while (time := self._next_time()) is not None and time <= market:
            step = self._take()
            if len(step.commands):
                steps.append(step)
        return steps

    def next(self) -> Step | None:
        """The next step, whatever the time; None at the end of the calendar. Market time goes on from there."""
        while True:
            self._next_day()
            if self._next_time() is None:
                return None
            step = self._take()
            if len(step.commands):
                self._by_hand = step.time
                return step

    def _next_time(self) -> int | None:
        times = [*self._auctions.values(), *self._countdowns.values()]
        if self._at < len(self._steps):
            times.append(self._steps[self._at].time)
        return min(times, default=None)

    def _take(self) -> Step:
        """The earliest step; what this driver has scheduled itself goes before the timetable."""
        time = self._next_time()
        assert time is not None
        self._issued = max(self._issued, time)
        for ends, way_out in ((self._auctions, self._end_auction), (self._countdowns, self._end_countdown)):
            for number in [number for number, end in ends.items() if end == time]:
                del ends[number]
                return way_out(number, time)
        step = self._steps[self._at]
        self._at += 1
        self._quiet = step.quiet
        return Step(step.time, step.description, self._as_things_are(step.commands), step.quiet)

    def _end_auction(self, number: int, time: int) -> Step:
        wanted = self._wanted.get(number, Phase.CONTINUOUS)
        way = _OUT_OF_AUCTION.get(wanted, (Phase.CONTINUOUS,))
        return self._own_step(number, time, way, "short auction ends")

    def _end_countdown(self, number: int, time: int) -> Step:
        self._ended.add(number)
        return self._own_step(number, time, (Phase.AUCTION_MATCH, Phase.CLOSED), "countdown ends")

    def _own_step(self, number: int, time: int, way: Sequence[Phase], told: str) -> Step:
        symbol = self._schedule.contracts[number].symbol
        rows = [_phase(number, phase) for phase in way] if self._phases[number] in AUCTION_PHASES else []
        return Step(time, f"{told} {symbol}", _rows(rows), self._quiet)

    def _as_things_are(self, commands: np.ndarray) -> np.ndarray:
        """The timetable's commands, without those for what is halted or waits for its countdown."""
        rows: list[Row] = []
        for row in commands:
            number, phase = (
                int(row["instrument"]),
                Phase(int(row["order_type"])) if row["kind"] == CommandKind.PHASE else None,
            )
            if phase is None or number == ALL:
                rows.append(
                    (
                        CommandKind(int(row["kind"])),
                        number,
                        int(row["order_type"]),
                        int(row["price"]),
                        int(row["quantity"]),
                    )
                )
                continue
            self._wanted[number] = phase
            halted = self._phases[number] == Phase.HALTED or number in self._suspended
            if halted and phase not in (Phase.HALTED, Phase.CLOSING, Phase.CLOSED):
                continue
            if number in self._countdowns or number in self._ended:
                continue
            way = (phase,) if self._auctions.pop(number, None) is None else _OUT_OF_AUCTION.get(phase, (phase,))
            rows += [_phase(number, part) for part in way]
        return _rows(rows)

    # Events ---------------------------------------------------------------------------------------

    def heard(self, events: np.ndarray) -> None:
        """What came of commands, anybody's: EVENT[n]."""
        if self._by_hand is not None and len(events):
            self._real, self._market, self._by_hand = int(events["time"][0]), self._by_hand, None
        for event in events[_HEARD[events["kind"]]]:
            number, kind = int(event["instrument"]), int(event["kind"])
            if number == ALL:
                continue
            if kind == EventKind.PHASE:
                self._phase_is(number, Phase(int(event["quantity"])), int(event["reason"]), int(event["time"]))
            elif kind == EventKind.LISTED:
                self._phases[number] = Phase.CLOSED
            elif kind == EventKind.EXPIRED:
                self._phases[number] = Phase.EXPIRED
            elif kind == EventKind.COUNTDOWN:
                self._countdowns[number] = self._market_of(int(event["quantity"]))
            else:
                self._settlements[number] = event["price"]
                if abs(int(event["leaves_quantity"])) >= LOCKED_DAYS:
                    self._locked.add(number)

    def _phase_is(self, number: int, phase: Phase, reason: int, time: int) -> None:
        self._phases[number] = phase
        self._auctions.pop(number, None)
        if phase not in AUCTION_PHASES:
            self._countdowns.pop(number, None)
        if phase in _TRADING:
            self._suspended.discard(number)  # an operator has resumed it
        if phase == Phase.CALL_AUCTION and reason in (Reason.VELOCITY, Reason.CASCADE):
            self._auctions[number] = self._short_auction_end(time)
