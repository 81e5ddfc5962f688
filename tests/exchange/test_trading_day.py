"""A schedule on an exchange: weeks without a refused command, and terms as the catalogue has them. RULEBOOK 14."""

import datetime
from datetime import date
from typing import Any

import numpy as np
import pytest

from exchange import Account, Exchange
from exchange.catalogue import read_catalogue
from exchange.catalogue.driver import Driver
from exchange.catalogue.schedule import Schedule
from matching.codes import CommandKind, EventKind, Flag, Limit, OrderType, Phase, Reason, Side, TimeInForce
from tests.build import enter, existing, rows

pytestmark = pytest.mark.compiled

DATE = datetime.date
SCHEDULES = {name: Schedule(read_catalogue(profile=name)) for name in ("chinese", "international")}
IN_LEDGER = {
    Limit.INSTRUMENT_MAX_ORDER_QUANTITY: "max_order_quantity",
    Limit.INSTRUMENT_MAX_POSITION: "max_position",
    Limit.INSTRUMENT_MARGIN_RATE: "margin_rate",
    Limit.INSTRUMENT_FEE_PER_LOT: "fee_per_lot",
    Limit.INSTRUMENT_FEE_RATE: "fee_rate",
    Limit.INSTRUMENT_OPENING_CAP: "opening_cap",
}


class Hub:
    """An exchange, its schedule by hand, and the events."""

    def __init__(self, profile: str, date: date | None = None, accounts: int = 2) -> None:
        self.schedule = SCHEDULES[profile]
        self.exchange = Exchange(
            self.schedule.catalogue.instruments,
            [Account(name=f"A{number}", equity=10**12) for number in range(accounts)],
            max_orders=1 << 10,
        )
        self.driver = Driver(self.schedule, date or self.schedule.opens, 0)
        self.index = {contract.symbol: number for number, contract in enumerate(self.schedule.contracts)}

    def apply(self, block: np.ndarray, time: int) -> np.ndarray:
        block = block.copy()
        block["sequence"] = np.arange(self.exchange.sequence + 1, self.exchange.sequence + 1 + len(block))
        block["time"] = time
        events = self.exchange.apply(block)
        self.driver.heard(events)
        return events

    def step(self) -> tuple[Any, ...]:
        step = existing(self.driver.next())
        return step, self.apply(step.commands, step.time)

    def until(self, text: str, date: date | None = None) -> np.ndarray:
        """Take steps until the one of this description; returns its events."""
        while True:
            step, events = self.step()
            if text in step.description and (date is None or self.driver.day == date):
                return events

    def order(
        self, account: int, side: Side, price: int, quantity: int, symbol: str = "SC2701", **fields: Any
    ) -> np.ndarray:
        return self.apply(
            rows(enter(account, side, price, quantity, instrument=self.index[symbol], **fields)), self.exchange.time
        )


@pytest.mark.parametrize("profile", sorted(SCHEDULES))
def test_no_command_of_five_weeks_is_refused_and_terms_are_those_of_the_catalogue(profile: str) -> None:
    """RULEBOOK 8.1, 14.2, 14.4, 14.6"""
    hub = Hub(profile)
    schedule, exchange = hub.schedule, hub.exchange
    days = 0
    while hub.driver.day < DATE(2027, 1, 6):
        step, events = hub.step()
        assert not (events["kind"] == EventKind.REJECTED).any(), step.description
        if step.commands[0]["kind"] != CommandKind.BEGIN_DAY:
            continue
        days += 1
        day = hub.driver.day
        for number, contract in schedule.listed(day):
            limits = contract.limits(day)
            assert exchange.book.instruments["daily_limit"][number] == limits.pop(Limit.INSTRUMENT_DAILY_LIMIT)
            assert {limit: exchange.ledger.limits[IN_LEDGER[limit]][number] for limit in limits} == limits, (
                day,
                contract.symbol,
            )
            width = contract.limits(day)[Limit.INSTRUMENT_DAILY_LIMIT]
            if width and day > contract.listed:
                settlement = int(exchange.ledger.limits["settlement"][number])
                assert exchange.book.instruments["ceiling"][number] == settlement + settlement * width // 10_000
    assert days > 23
    phases = exchange.book.instruments["phase"]
    for number, contract in enumerate(schedule.contracts):
        if contract.expiry is not None and contract.expiry < hub.driver.day:
            assert phases[number] == Phase.EXPIRED
        elif contract.listed > hub.driver.day:
            assert phases[number] == Phase.UNLISTED


@pytest.mark.parametrize("profile", sorted(SCHEDULES))
def test_after_a_restart_the_steps_that_follow_are_the_same(profile: str) -> None:
    """RULEBOOK 14.7"""
    hub = Hub(profile, DATE(2026, 12, 30))
    for _ in range(60):
        step, _ = hub.step()
        resumed = Driver.resume(hub.schedule, hub.exchange, 0)
        following, expected = existing(resumed.upcoming), existing(hub.driver.upcoming)
        assert resumed.day == hub.driver.day and following[0] <= expected[0]
        if step.description == "settlement" or "ends" in step.description or "begins" in step.description:
            assert following == expected


def test_a_position_is_carried_through_the_days_and_delivered_on_the_last() -> None:
    """RULEBOOK 11.8, 14.6"""
    hub = Hub("international")
    hub.until("continuous SC")
    hub.order(0, Side.BUY, 5210, 3)
    hub.order(1, Side.SELL, 5210, 3)
    settled = hub.until("settlement", hub.driver.day)
    assert settled["price"][(settled["kind"] == EventKind.SETTLED) & (settled["instrument"] == 0)].tolist() == [5210]
    expired = hub.until("settlement", DATE(2026, 12, 31))
    delivery = expired[expired["kind"] == EventKind.DELIVERY]
    assert delivery[["instrument", "account", "resting_account", "quantity"]].tolist() == [(0, 0, 1, 3)]
    assert hub.exchange.phase("SC2701") == Phase.EXPIRED and not hub.exchange.positions(0)["position"].any()


def test_lots_traded_at_settlement_become_positions_of_the_leg() -> None:
    """RULEBOOK 12.1, 14.6"""
    hub = Hub("international")
    hub.until("continuous SC")
    hub.order(0, Side.BUY, 5, 2, symbol="SC2701-TAS")
    hub.order(1, Side.SELL, 5, 2, symbol="SC2701-TAS", order_type=OrderType.LIMIT, time_in_force=TimeInForce.IOC)
    hub.until("settlement")
    held = hub.exchange.positions(0)
    assert held["position"][held["instrument"] == 0].tolist() == [2]
    assert int(hub.exchange.account(1)["result"]) == 2 * 5 * 100_00


def test_orders_of_the_call_auction_trade_when_it_ends() -> None:
    """RULEBOOK 8.3, 14.3"""
    hub = Hub("chinese", DATE(2026, 12, 4))
    hub.until("call auction SC")
    hub.order(0, Side.BUY, 5230, 2, flags=Flag.OPEN)
    hub.order(1, Side.SELL, 5190, 2, flags=Flag.OPEN)
    events = hub.until("auction match SC")
    assert events["price"][events["kind"] == EventKind.TRADED].tolist() == [
        5210
    ]  # nearest to the previous settlement price
    hub.order(0, Side.BUY, 5200, 1, flags=Flag.OPEN)  # neither entry nor cancel until trading begins
    assert hub.exchange.depth("SC2701")[0].tolist() == []


def test_a_sweep_begins_a_short_auction_that_the_schedule_ends() -> None:
    """RULEBOOK 9.3, 14.7"""
    hub = Hub("international")
    hub.until("continuous SC")
    for price in range(5210, 5330, 10):
        hub.order(1, Side.SELL, price, 1)
    events = hub.order(0, Side.BUY, 5300, 20)
    tripped = events[events["kind"] == EventKind.PHASE]
    assert tripped[["instrument", "quantity", "reason"]].tolist() == [(0, Phase.CALL_AUCTION, Reason.VELOCITY)]
    assert hub.exchange.phase("SC2701") == Phase.CALL_AUCTION and hub.exchange.phase("SC2702") == Phase.CONTINUOUS
    step, events = hub.step()
    assert step.description == "short auction ends SC2701" and hub.exchange.phase("SC2701") == Phase.CONTINUOUS
    assert (events["kind"] == EventKind.TRADED).any()


def lock(hub: Hub, day: date) -> int:
    """At the close there are no offers of SC2702, and a bid at its limit."""
    hub.until("continuous SC", day)
    ceiling = int(hub.exchange.book.instruments["ceiling"][hub.index["SC2702"]])
    hub.order(0, Side.BUY, ceiling, 1, symbol="SC2702", flags=Flag.OPEN)
    hub.until("limit-locked?")
    return hub.exchange.phase("SC2702")


def test_an_instrument_that_closes_locked_for_three_days_is_halted_on_the_fourth() -> None:
    """RULEBOOK 9.4, 14.7"""
    hub = Hub("chinese", DATE(2026, 12, 8))
    for day, wider in ((DATE(2026, 12, 8), 1100), (DATE(2026, 12, 9), 1300), (DATE(2026, 12, 10), 1300)):
        assert lock(hub, day) == Phase.LIMIT_LOCKED
        hub.until("settlement")
        row = hub.exchange.book.instruments[hub.index["SC2702"]]
        assert row.ceiling == row.previous_settlement + row.previous_settlement * wider // 10_000
    hub.until("begins", DATE(2026, 12, 11))
    while hub.driver.day == DATE(2026, 12, 11):
        assert hub.exchange.phase("SC2702") in (Phase.HALTED, Phase.CLOSING, Phase.SETTLEMENT, Phase.CLOSED)
        assert hub.exchange.phase("SC2703") != Phase.HALTED
        hub.step()
        if hub.exchange.phase("SC2702") == Phase.CLOSED:
            break
    hub.until("continuous SC", DATE(2026, 12, 14))
    assert hub.exchange.phase("SC2702") == Phase.CONTINUOUS
