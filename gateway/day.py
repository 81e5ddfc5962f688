"""The trading day of a running hub: submits the schedule's commands to the runner when they are due.

    day = TradingDay("compressed", schedule, Driver.resume(schedule, exchange, clock(), factor=288), clock)
    runner.listeners.append(day.heard)
    await day.run(runner, say)                   # until the hub stops; by hand: day.next() for each operator/next_step

exchange/catalogue/driver.py knows what a day is and how it reacts to events. Here is only the clock.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from exchange.catalogue.driver import Driver
from exchange.catalogue.schedule import Schedule, Step
from exchange.engine.machine import Exchange
from exchange.runner import Runner
from matching.codes import EventKind, Reason

Mode = Literal["real", "compressed", "by_hand"]
_EVERY_SECONDS = 0.05
_MINUTES_OF_A_DAY = 1440


class TradingDay:
    """A schedule's driver, and the clock that moves it.

    mode       real: in the hub's time; compressed: faster; by_hand: a step for each operator/next_step
    """

    def __init__(self, mode: Mode, schedule: Schedule, driver: Driver, clock: Callable[[], int]) -> None:
        self.mode, self.profile = mode, schedule.profile.name
        self._schedule, self._driver, self._clock = schedule, driver, clock

    @classmethod
    def resume(
        cls, mode: Mode, schedule: Schedule, exchange: Exchange, clock: Callable[[], int], minutes: float = 5.0
    ) -> "TradingDay":
        """Continue where the exchange is. minutes: that 24 compressed hours take."""
        now = clock()
        options: dict[str, Any] = {}
        if mode == "compressed":
            options = {"factor": _MINUTES_OF_A_DAY / minutes}
        elif mode == "real":
            options = {"factor": 1, "market_ns": now, "idle_ns": None}
        return cls(mode, schedule, Driver.resume(schedule, exchange, now, **options), clock)

    def heard(self, commands: np.ndarray, events: np.ndarray) -> None:
        """The runner's listener: the driver reacts to events, whoever's command caused them."""
        self._driver.heard(events)

    async def run(self, runner: Runner, say: Callable[[str], None]) -> None:
        """Submit what is due, until the hub stops. say: prints a line for each step and for each refusal."""
        while not runner.stopping:
            for step in self._driver.due(self._clock()):
                say(f"{self._driver.day}  {step.description}")
                runner.submit(step.commands, lambda commands, events: _say_refusals(events, say))
            await asyncio.sleep(_EVERY_SECONDS)

    def next(self) -> Step | None:
        """The next step of a day by hand. Submit its commands at once. None: the calendar has ended."""
        return self._driver.next()

    def describe(self) -> dict[str, Any]:
        """operator/get_schedule: the state of the day and its remaining steps."""
        upcoming = self._driver.upcoming
        steps = (
            []
            if upcoming is None
            else [
                {"timestamp": step.time // 1_000_000, "description": step.description, "commands": len(step.commands)}
                for step in self._schedule.day(self._driver.day)
                if step.time >= upcoming[0]
            ]
        )
        market = None if self.mode == "by_hand" else self._driver.market_time(self._clock()) // 1_000_000
        return {
            "day": self.mode,
            "profile": self.profile,
            "date": str(self._driver.day),
            "market_timestamp": market,
            "finished": self._driver.finished,
            "steps": steps,
        }


def _say_refusals(events: np.ndarray, say: Callable[[str], None]) -> None:
    for event in events[events["kind"] == EventKind.REJECTED]:
        reason = Reason(int(event["reason"])).name.lower()
        say(f"a command of the schedule was refused: {reason}, instrument {event['instrument']}")
