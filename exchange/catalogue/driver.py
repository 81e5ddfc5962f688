"""Walks through the days of a schedule as time passes, and reacts to what happens. RULEBOOK 14.7. No clock, no I/O.

    driver = Driver(schedule, schedule.opens, now_ns)            # 24 hours in five minutes
    for step in driver.due(now_ns):                              # or, by hand: driver.next()
        runner.submit(step.commands)
    runner.listeners.append(lambda commands, events: driver.heard(events))

It ends the short auctions that the hub began and the one-sided auctions whose countdown is over, leaves instruments alone
that an operator has halted, and keeps an instrument halted that closed limit-locked for three days.

A step is submitted as one block, which the runner journals as a whole. So after a restart the state of the exchange shows
which step was the last, and `Driver.resume` goes on with the next.
"""

import datetime
from collections.abc import Sequence
from typing import Any

import numpy as np

from exchange.catalogue.calendar import CalendarError
from exchange.catalogue.schedule import TRADING, Row, Schedule, Step, follow, phase_row, rows_of
from exchange.engine.machine import Exchange
from matching.codes import ALL, AUCTION_PHASES, CommandKind, EventKind, Phase, Reason

COMPRESSION = 288  # 24 hours in five minutes
IDLE_NS = 30 * 60 * 1_000_000_000  # of market time: how long hours without trading last
LOCKED_DAYS = 3  # in a row, after which an instrument is halted for a day (9.4)
_MINUTE = 60 * 1_000_000_000
_OVER = (Phase.CLOSED, Phase.UNLISTED, Phase.EXPIRED)
# How an instrument gets out of a short auction into a phase that may not follow one: it trades first.
_OUT_OF_AUCTION = {
    Phase.BREAK: (Phase.AUCTION_MATCH, Phase.BREAK),
    Phase.CLOSING: (Phase.AUCTION_MATCH, Phase.BREAK, Phase.CLOSING),
}
_HEARD = np.zeros(256, np.bool_)
_HEARD[[EventKind.PHASE, EventKind.LISTED, EventKind.EXPIRED, EventKind.SETTLED, EventKind.COUNTDOWN]] = True


class Driver:
    """Walks through the days of a schedule, at a chosen speed.

    schedule    Schedule
    date        trading day to begin with
    start_ns    the hub's time now
    factor      market time passes so many times faster than the hub's
    market_ns   market time now; None: when the first step is due. With factor 1 and market_ns = start_ns the market lives in
                the hub's own time
    idle_ns     hours without trading are shortened to this much market time; None: they are not

    `due` and `next` give steps whose commands are to be submitted at once, each as one block; `heard` must be given all events.
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
        self._by_hand: int | None = None  # market time of a step; its events will give the hub's time

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
        """Shorten the hours until the next step if there is no trading in them."""
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
        """The steps whose time has come. At most those of one day, so that their events are heard before the next day."""
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

    def _own_step(self, number: int, time: int, way: Sequence[Phase], description: str) -> Step:
        symbol = self._schedule.contracts[number].symbol
        rows = [phase_row(number, phase) for phase in way] if self._phases[number] in AUCTION_PHASES else []
        return Step(time, f"{description} {symbol}", rows_of(rows), self._quiet)

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
            rows += [phase_row(number, part) for part in way]
        return rows_of(rows)

    # Events ---------------------------------------------------------------------------------------

    def heard(self, events: np.ndarray) -> None:
        """Take the events of all commands: EVENT[n]."""
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
        if phase in TRADING:
            self._suspended.discard(number)  # an operator has resumed it
        if phase == Phase.CALL_AUCTION and reason in (Reason.VELOCITY, Reason.CASCADE):
            self._auctions[number] = self._short_auction_end(time)
