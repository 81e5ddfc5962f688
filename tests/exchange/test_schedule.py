"""exchange/catalogue/schedule.py: each trading day as steps of commands, and the driver that takes them. RULEBOOK 14."""

import datetime
from collections import Counter
from datetime import date
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange import Exchange
from exchange.catalogue import Kind, read_catalogue
from exchange.catalogue.calendar import CalendarError, beijing
from exchange.catalogue.driver import Driver
from exchange.catalogue.schedule import Schedule, Step, follow
from exchange.engine.phases import FOLLOWS
from matching.codes import ALL, AUCTION_PHASES, CommandKind, EventKind, Limit, Phase, Reason, SettlementRule
from matching.records import COMMAND, EVENT
from tests.build import existing

DATE = datetime.date
MINUTE = 60 * 10**9
SCHEDULES = {name: Schedule(read_catalogue(profile=name)) for name in ("chinese", "international")}
CHINESE, INTERNATIONAL = SCHEDULES["chinese"], SCHEDULES["international"]
OPENS = CHINESE.opens
DAYS = CHINESE.calendar.trading_days(OPENS, DATE(2027, 7, 30))
INDEX = {contract.symbol: number for number, contract in enumerate(CHINESE.contracts)}
SC1, SC2, LU1, AUCTION = (INDEX[symbol] for symbol in ("SC2701", "SC2702", "LU2701", "LN-AUCTION"))
FRIDAY = DATE(2026, 12, 4)  # an ordinary day with a night before it
trading_days = st.sampled_from(DAYS)
profiles = st.sampled_from(sorted(SCHEDULES))


def phases_of(steps: list[Step], number: int) -> list[tuple[str, str]]:
    """(local time, phase) of an instrument, as the timetable has them."""
    told = []
    for step in steps:
        for row in step.commands:
            if row["kind"] == CommandKind.PHASE and row["instrument"] == number:
                told.append((f"{beijing(step.time):%d %H:%M}", Phase(int(row["order_type"])).name))
    return told


def commands_of(steps: list[Step], kind: CommandKind) -> list[Any]:
    return [row for step in steps for row in step.commands if row["kind"] == kind]


def at(steps: list[Step], text: str) -> list[Any]:
    """The steps of this local time."""
    return [step for step in steps if f"{beijing(step.time):%H:%M}" == text]


# A day as data


def test_the_phases_of_crude_oil_on_a_chinese_day() -> None:
    """RULEBOOK 14.3"""
    assert phases_of(CHINESE.day(FRIDAY), SC1) == [
        ("03 20:55", "CALL_AUCTION"),
        ("03 20:59", "AUCTION_MATCH"),
        ("03 21:00", "CONTINUOUS"),
        ("04 02:30", "BREAK"),
        ("04 08:55", "CALL_AUCTION"),
        ("04 08:59", "AUCTION_MATCH"),
        ("04 09:00", "CONTINUOUS"),
        ("04 10:15", "BREAK"),
        ("04 10:30", "CONTINUOUS"),
        ("04 11:30", "BREAK"),
        ("04 13:30", "CONTINUOUS"),
        ("04 15:00", "CLOSING"),
    ]


@pytest.mark.parametrize(
    ("symbol", "night", "first"),
    [
        ("SC2702", "02:30", ("03 20:55", "CALL_AUCTION")),
        ("LU2702", "23:00", ("03 20:55", "CALL_AUCTION")),
        ("PG2702", "23:00", ("03 20:55", "CALL_AUCTION")),
        ("LN2702", None, ("04 08:55", "CALL_AUCTION")),
        ("SC2702-TAS", "02:30", ("03 21:00", "CONTINUOUS")),
        ("SC2701-SC2702", "02:30", ("03 21:00", "CONTINUOUS")),
        ("LN-LISTING", None, ("04 09:00", "CONTINUOUS")),
        ("LN-AUCTION", None, ("04 13:30", "CALL_AUCTION")),
    ],
)
def test_night_sessions_end_by_product(symbol: str, night: str | None, first: tuple[str, str]) -> None:
    """RULEBOOK 14.3"""
    phases = phases_of(CHINESE.day(FRIDAY), INDEX[symbol])
    assert phases[0] == first
    breaks = [time[3:] for time, phase in phases if phase == "BREAK" and (time < "04 08:00")]
    assert breaks == ([night] if night else [])


def test_the_international_day_has_no_break() -> None:
    """RULEBOOK 14.5"""
    assert phases_of(INTERNATIONAL.day(FRIDAY), SC1) == [
        ("04 05:45", "CALL_AUCTION"),
        ("04 06:00", "CONTINUOUS"),
        ("05 05:00", "CLOSING"),
    ]


@pytest.mark.parametrize(
    ("date", "evening"),
    [
        (DATE(2026, 12, 7), DATE(2026, 12, 4)),  # Monday: Friday's evening
        (DATE(2027, 1, 4), None),  # after New Year: no night
        (DATE(2027, 2, 15), None),
    ],
)
def test_a_day_begins_on_the_evening_before_unless_a_holiday_lies_there(date: date, evening: date | None) -> None:
    """RULEBOOK 14.3"""
    steps = CHINESE.day(date)
    assert beijing(steps[0].time).date() == (evening or date)
    assert f"{beijing(steps[0].time):%H:%M}" == ("20:50" if evening else "08:50")
    assert steps[0].commands[0]["quantity"] == 10_000 * date.year + 100 * date.month + date.day
    assert len(at(steps, "20:55")) == (evening is not None)


@given(trading_days, profiles)
def test_every_day_begins_once_and_ends_once_and_all_phases_may_follow_each_other(date: date, profile: str) -> None:
    """RULEBOOK 8.1, 11.1, 14.3"""
    schedule = SCHEDULES[profile]
    steps = schedule.day(date)
    kinds = Counter(CommandKind(int(row["kind"])) for step in steps for row in step.commands)
    assert kinds[CommandKind.BEGIN_DAY] == kinds[CommandKind.END_DAY] == kinds[CommandKind.WINDOW] == 1
    assert (
        steps[0].commands[0]["kind"] == CommandKind.BEGIN_DAY and steps[-1].commands[0]["kind"] == CommandKind.END_DAY
    )
    assert all(step.time < after.time for step, after in zip(steps, steps[1:], strict=False))
    phases = schedule.initial_phases(date)
    for step in steps:
        for row in step.commands:
            if row["kind"] == CommandKind.PHASE and row["instrument"] != ALL:
                before, asked = Phase(int(phases[row["instrument"]])), Phase(int(row["order_type"]))
                assert asked == before or asked in FOLLOWS[before], (step.description, before, asked)
            if row["kind"] in (CommandKind.SETTLE, CommandKind.EXPIRE):
                assert phases[row["instrument"]] in (Phase.SETTLEMENT, Phase.CLOSED)
            phases = follow(phases, np.array([row], COMMAND))
    listed = {number for number, _ in schedule.listed(date)}
    assert {row["instrument"] for row in commands_of(steps, CommandKind.SETTLE)} == listed
    assert all(phases[number] in (Phase.CLOSED, Phase.EXPIRED) for number in listed)
    assert [number for number in listed if phases[number] == Phase.EXPIRED] == [
        number for number in listed if schedule.contracts[number].expiry == date
    ]


@given(trading_days, profiles)
def test_a_day_ends_before_the_next_begins_and_leaves_what_the_next_expects(date: date, profile: str) -> None:
    schedule = SCHEDULES[profile]
    today, tomorrow = schedule.day(date), schedule.calendar.next_trading_day(date)
    assert today[-1].time < schedule.day(tomorrow)[0].time
    phases = schedule.initial_phases(date)
    for step in today:
        phases = follow(phases, step.commands)
    assert phases.tolist() == schedule.initial_phases(tomorrow).tolist()


def test_outrights_settle_before_instruments_with_legs_and_expire_after_them() -> None:
    """RULEBOOK 12.1, 14.6"""
    steps = CHINESE.day(DATE(2026, 12, 31))
    kinds = [CHINESE.contracts[row["instrument"]].kind for row in commands_of(steps, CommandKind.SETTLE)]
    assert kinds == sorted(kinds) and set(kinds) == set(Kind)
    expired = [CHINESE.contracts[row["instrument"]].symbol for row in commands_of(steps, CommandKind.EXPIRE)]
    assert expired == ["SC2701-SC2702", "SC2701-TAS", "NG2701", "LN2701", "FU2701", "LU2701", "SC2701"]


@pytest.mark.parametrize(
    ("profile", "rule"), [("chinese", SettlementRule.DAY_VWAP), ("international", SettlementRule.WINDOW_VWAP)]
)
def test_the_settlement_rule_is_the_profiles(profile: str, rule: SettlementRule) -> None:
    """RULEBOOK 14.5"""
    rules = {
        SCHEDULES[profile].contracts[row["instrument"]].kind: row["order_type"]
        for row in commands_of(SCHEDULES[profile].day(FRIDAY), CommandKind.SETTLE)
    }
    assert rules == {
        Kind.OUTRIGHT: rule,
        Kind.SPOT: SettlementRule.DAY_VWAP,
        Kind.TAS: SettlementRule.DAY_VWAP,
        Kind.SPREAD: SettlementRule.DAY_VWAP,
    }


def test_a_month_is_listed_at_the_price_of_the_month_before_plus_the_difference_in_the_files() -> None:
    """RULEBOOK 14.2"""
    settlements = CHINESE.references.copy()
    settlements[INDEX["SC2704"]] += 300
    date = DATE(2027, 1, 4)
    listed = {
        CHINESE.contracts[row["instrument"]].symbol: int(row["price"])
        for row in commands_of(CHINESE.day(date, settlements), CommandKind.LIST)
    }
    assert listed == {
        "SC2705": 5162 + 300,
        "LU2705": 3926,
        "FU2705": 3002,
        "LN2705": 4175,
        "NG2705": 2570,
        "SC2705-TAS": 0,
        "SC2704-SC2705": 5169 - 5162,
    }
    settlements[INDEX["SC2704"]] = 20_000
    price = [int(row["price"]) for row in commands_of(CHINESE.day(date, settlements), CommandKind.LIST)][0]
    assert price == CHINESE.contracts[INDEX["SC2705"]].ladder[1]  # within its ladder, whatever happened


def test_nothing_is_listed_on_the_day_the_hub_opens() -> None:
    assert len(CHINESE.day(OPENS)[0].commands) == 1 and not commands_of(CHINESE.day(OPENS), CommandKind.LIST)


@given(trading_days, profiles)
def test_the_commands_of_all_days_keep_every_limit_as_the_catalogue_has_it(date: date, profile: str) -> None:
    """RULEBOOK 14.4: daily limit and margin rate take effect with the SETTLE before, the rest when the day begins."""
    schedule = SCHEDULES[profile]
    after = schedule.calendar.next_trading_day(date)
    early = (Limit.INSTRUMENT_DAILY_LIMIT, Limit.INSTRUMENT_MARGIN_RATE)
    held = {number: contract.limits(date) for number, contract in schedule.listed(date)}
    steps = [step for step in schedule.day(date) if step.description == "settlement"] + schedule.day(after)[:1]
    for part, (step, limits) in enumerate(zip(steps, (early, set(Limit) - set(early)), strict=True)):
        for row in step.commands[step.commands["kind"] == CommandKind.LIMIT]:
            assert Limit(int(row["order_type"])) in limits, part
            held[int(row["instrument"])][Limit(int(row["order_type"]))] = int(row["quantity"])
        order = step.commands["kind"].tolist()
        if CommandKind.LIMIT in order and CommandKind.SETTLE in order:
            assert len(order) - order[::-1].index(CommandKind.LIMIT) <= order.index(CommandKind.SETTLE)
    for number, contract in schedule.listed(after):
        if contract.is_listed(date):
            assert held[number] == contract.limits(after)


@pytest.mark.parametrize(
    ("date", "symbol", "limit", "value"),
    [
        (DATE(2026, 12, 25), "SC2701", Limit.INSTRUMENT_MARGIN_RATE, None),
        (DATE(2026, 12, 28), "SC2701", Limit.INSTRUMENT_MARGIN_RATE, 2000),  # from the 29th, two days before the last
        (DATE(2026, 12, 31), "SC2702", Limit.INSTRUMENT_MARGIN_RATE, 1500),  # from January, its last month
        (DATE(2027, 1, 4), "SC2702", Limit.INSTRUMENT_MAX_POSITION, 500),
        (DATE(2027, 1, 4), "SC2705", Limit.INSTRUMENT_DAILY_LIMIT, 800),  # 16 % on its first day
        (DATE(2027, 2, 3), "SC2704", Limit.INSTRUMENT_DAILY_LIMIT, 1200),  # Spring Festival
    ],
)
def test_terms_change_when_the_catalogue_says_so(date: date, symbol: str, limit: Limit, value: int | None) -> None:
    """RULEBOOK 14.4"""
    told = [
        int(row["quantity"])
        for row in commands_of(CHINESE.day(date), CommandKind.LIMIT)
        if row["instrument"] == INDEX[symbol] and row["order_type"] == limit
    ]
    assert told == ([] if value is None else [value])


def test_hours_without_trading_are_known() -> None:
    quiet = [f"{beijing(step.time):%H:%M}" for step in CHINESE.day(FRIDAY) if step.quiet]
    assert quiet == ["20:50", "02:30", "11:30", "15:00", "15:10", "15:30"]


def test_a_day_that_is_none_is_refused() -> None:
    with pytest.raises(CalendarError, match="2026-12-05 is no trading day"):
        CHINESE.day(DATE(2026, 12, 5))
    with pytest.raises(CalendarError, match="2028-01-04 is not covered, must be 2026-01-01 to 2027-12-31"):
        CHINESE.day(DATE(2028, 1, 4))


# The driver


def event(
    kind: EventKind, number: int, quantity: int = 0, reason: int = 0, time: int = 0, price: int = 0, leaves: int = 0
) -> np.ndarray:
    row = np.zeros(1, EVENT)
    for name, value in (
        ("kind", kind),
        ("instrument", number),
        ("quantity", quantity),
        ("reason", reason),
        ("time", time),
        ("price", price),
        ("leaves_quantity", leaves),
    ):
        row[name] = value
    return row


def answer(step: Step) -> np.ndarray:
    """The events of a step on a hub without other commands."""
    told = []
    for row in step.commands:
        if row["kind"] == CommandKind.PHASE and row["instrument"] != ALL:
            told.append(event(EventKind.PHASE, row["instrument"], row["order_type"]))
    return np.concatenate(told) if told else np.empty(0, EVENT)


def walk(driver: Driver, until: tuple[str, str]) -> Step:
    """Take steps by hand, and give their events to the driver, until the step of a local time and description."""
    time, text = until
    for _ in range(100):
        step = existing(driver.next())
        driver.heard(answer(step))
        if f"{beijing(step.time):%H:%M}" == time and text in step.description:
            return step
    raise AssertionError(f"{until} never came")


def test_by_hand_the_days_follow_each_other() -> None:
    driver = Driver(CHINESE, OPENS, start_ns=0)
    for day in DAYS[:3]:
        for expected in CHINESE.day(day):
            assert driver.upcoming == (expected.time, expected.description) and driver.day == day
            step = existing(driver.next())
            assert (step.time, step.commands.tolist()) == (expected.time, expected.commands.tolist())
            driver.heard(answer(step))


def test_a_driver_ends_with_the_calendar() -> None:
    last = CHINESE.calendar.trading_days(DATE(2027, 12, 1), DATE(2027, 12, 31))[-1]
    driver = Driver(CHINESE, last, start_ns=0)
    steps = [existing(driver.next()) for _ in CHINESE.day(last)]
    assert all(step is not None for step in steps) and driver.next() is None and driver.due(10**18) == []
    assert driver.finished and driver.upcoming is None


def test_24_hours_pass_in_five_minutes_and_idle_hours_faster() -> None:
    driver = Driver(CHINESE, FRIDAY, start_ns=10**18)
    steps = CHINESE.day(FRIDAY)
    seen, now = [], 10**18
    while driver.day == FRIDAY:
        taken = driver.due(now)
        for step in taken:
            driver.heard(answer(step))
            assert step.time <= driver.market_time(now)
        seen += [(now - 10**18, step.time) for step in taken]
        now += 10**8
    assert [time for _, time in seen][: len(steps)] == [step.time for step in steps]
    real = {time: at for at, time in seen}
    first, night_ends, morning = steps[0].time, steps[5].time, steps[6].time
    assert abs(real[night_ends] - (night_ends - first) // 288) <= 10**8
    assert real[morning] - real[night_ends] <= 30 * MINUTE // 288 + 2 * 10**8  # not the six hours in between
    assert max(at for at, _ in seen) < 5 * MINUTE


def test_in_real_time_no_step_is_skipped_and_overdue_steps_come_at_once() -> None:
    steps = CHINESE.day(FRIDAY)
    noon = steps[11].time + MINUTE
    driver = Driver(CHINESE, FRIDAY, noon, factor=1, market_ns=noon, idle_ns=None)
    assert [step.time for step in driver.due(noon)] == [step.time for step in steps[:12]]
    assert driver.due(steps[12].time - 1) == [] and driver.market_time(noon + 7) == noon + 7
    assert [step.time for step in driver.due(steps[12].time)] == [steps[12].time]


def test_time_does_not_stand_still_or_run_back() -> None:
    with pytest.raises(ValueError, match="factor is 0, must be above 0"):
        Driver(CHINESE, FRIDAY, 0, factor=0)


def test_a_short_auction_lasts_two_minutes_of_market_time() -> None:
    """RULEBOOK 8.8, 14.7"""
    driver = Driver(INTERNATIONAL, FRIDAY, start_ns=0)
    begun = walk(driver, ("06:00", "continuous")).time
    driver.heard(event(EventKind.PHASE, SC1, Phase.CALL_AUCTION, Reason.VELOCITY, time=10 * MINUTE // 288))
    step = existing(driver.next())
    assert step.commands[["kind", "instrument", "order_type"]].tolist() == [(CommandKind.PHASE, SC1, Phase.CONTINUOUS)]
    assert abs(step.time - (begun + 12 * MINUTE)) < 10**9 and "SC2701" in step.description


@pytest.mark.parametrize(
    ("before", "minutes", "following", "way"),
    [
        (("09:00", "continuous"), 74, "break", [Phase.AUCTION_MATCH, Phase.BREAK]),
        (("14:55", "limit"), 4, "closing", [Phase.AUCTION_MATCH, Phase.BREAK, Phase.CLOSING]),
    ],
)
def test_a_short_auction_trades_before_the_break_or_the_close(
    before: tuple[str, str], minutes: int, following: str, way: list[Phase]
) -> None:
    """RULEBOOK 14.7: it begins a minute before the break and would end a minute after its start."""
    driver = Driver(CHINESE, FRIDAY, start_ns=0)
    walk(driver, before)
    due, _ = existing(driver.upcoming)
    driver.heard(event(EventKind.PHASE, SC2, Phase.CONTINUOUS))
    driver.heard(event(EventKind.PHASE, SC1, Phase.CALL_AUCTION, Reason.CASCADE, time=minutes * MINUTE // 288))
    step = existing(driver.next())
    assert step.time == due and following in step.description
    rows = step.commands[step.commands["instrument"] == SC1]
    assert [Phase(int(phase)) for phase in rows["order_type"]] == way
    for phase, after in zip([Phase.CALL_AUCTION, *way], way, strict=False):
        assert after in FOLLOWS[phase]
    driver.heard(answer(step))
    assert existing(driver.next()).time >= due + 10 * MINUTE  # and does not end again


@pytest.mark.parametrize("now", AUCTION_PHASES)
def test_a_short_auction_ends_from_either_phase_of_a_call_auction(now: Phase) -> None:
    """RULEBOOK 8.9, 14.7: an operator has ended its cancels meanwhile."""
    exchange, _ = standing(INTERNATIONAL, FRIDAY, 3)
    exchange.book.instruments["phase"][SC1] = now
    step = existing(Driver.resume(INTERNATIONAL, exchange, start_ns=0).next())
    assert step.commands[["instrument", "order_type"]].tolist() == [(SC1, Phase.CONTINUOUS)]


def test_an_auction_that_began_as_the_break_began_ends_in_the_break() -> None:
    """RULEBOOK 14.7: the hub began the auction before the command came, so it refused the command."""
    driver = Driver(CHINESE, FRIDAY, start_ns=0)
    walk(driver, ("10:15", "break"))
    driver.heard(event(EventKind.PHASE, SC1, Phase.CALL_AUCTION, Reason.VELOCITY, time=0))
    step = existing(driver.next())
    assert [(int(row["instrument"]), Phase(int(row["order_type"]))) for row in step.commands] == [
        (SC1, Phase.AUCTION_MATCH),
        (SC1, Phase.BREAK),
    ]
    assert f"{beijing(step.time):%H:%M}" == "10:17"


def test_an_auction_that_somebody_else_has_ended_is_left_alone() -> None:
    driver = Driver(CHINESE, FRIDAY, start_ns=0)
    walk(driver, ("09:00", "continuous"))
    driver.heard(event(EventKind.PHASE, SC1, Phase.CALL_AUCTION, Reason.VELOCITY, time=0))
    driver.heard(event(EventKind.PHASE, SC1, Phase.CONTINUOUS))
    assert f"{beijing(existing(driver.next()).time):%H:%M}" == "10:15"


def test_what_an_operator_has_halted_stays_halted_until_the_close() -> None:
    """RULEBOOK 9.5, 14.7"""
    driver = Driver(CHINESE, FRIDAY, start_ns=0)
    walk(driver, ("09:00", "continuous"))
    driver.heard(event(EventKind.PHASE, SC1, Phase.HALTED))
    for time, text, takes_part in (
        ("10:15", "break", False),
        ("10:30", "continuous", False),
        ("15:00", "closing", True),
    ):
        assert (SC1 in walk(driver, (time, text)).commands["instrument"]) == takes_part


def test_what_an_operator_has_resumed_follows_the_timetable_again() -> None:
    """RULEBOOK 9.5, 14.7"""
    driver = Driver(CHINESE, FRIDAY, start_ns=0)
    walk(driver, ("09:00", "continuous"))
    driver.heard(event(EventKind.PHASE, SC1, Phase.HALTED))
    driver.heard(event(EventKind.PHASE, SC1, Phase.CONTINUOUS))
    assert SC1 in walk(driver, ("10:15", "break")).commands["instrument"]


@pytest.mark.parametrize(("days", "halted"), [(2, False), (3, True)])
def test_after_three_locked_days_an_instrument_is_halted_for_a_day(days: int, halted: bool) -> None:
    """RULEBOOK 9.4, 14.7"""
    driver = Driver(CHINESE, FRIDAY, start_ns=0)
    walk(driver, ("15:10", "settlement"))
    driver.heard(event(EventKind.SETTLED, SC1, price=5600, leaves=days))
    walk(driver, ("15:30", "ends"))
    first = existing(driver.next())
    rows = first.commands[first.commands["kind"] == CommandKind.PHASE]
    assert rows[["instrument", "order_type"]].tolist() == ([(SC1, Phase.HALTED)] if halted else [])
    driver.heard(answer(first))
    assert (SC1 in walk(driver, ("20:55", "auction")).commands["instrument"]) == (not halted)
    walk(driver, ("15:30", "ends"))
    assert SC1 in walk(driver, ("20:55", "auction")).commands["instrument"]  # the day after it trades again


@pytest.mark.parametrize("minutes", [(2, 5), (14, 17)])
def test_a_countdown_ends_the_one_sided_auction_and_not_the_timetable(minutes: tuple[int, int]) -> None:
    """RULEBOOK 13.2, 14.7: a better bid begins it again. It may end before or after the timetable's end."""
    driver = Driver(CHINESE, FRIDAY, start_ns=0)
    start = walk(driver, ("13:30", "call auction LN-AUCTION")).time
    for minute in minutes:
        driver.heard(event(EventKind.COUNTDOWN, AUCTION, quantity=minute * MINUTE // 288))
    step = existing(driver.next())
    assert [(int(row["instrument"]), Phase(int(row["order_type"]))) for row in step.commands] == [
        (AUCTION, Phase.AUCTION_MATCH),
        (AUCTION, Phase.CLOSED),
    ]
    assert abs(step.time - (start + minutes[-1] * MINUTE)) < 10**9
    driver.heard(answer(step))
    assert f"{beijing(existing(driver.next()).time):%H:%M}" == "14:55"  # neither 13:45 nor 13:46


def test_months_are_listed_at_what_was_settled() -> None:
    """RULEBOOK 14.2"""
    driver = Driver(CHINESE, DATE(2026, 12, 31), start_ns=0)
    walk(driver, ("15:10", "settlement"))
    driver.heard(event(EventKind.SETTLED, INDEX["SC2704"], price=5469))
    walk(driver, ("15:30", "ends"))
    first = existing(driver.next())
    prices = {int(row["instrument"]): int(row["price"]) for row in first.commands if row["kind"] == CommandKind.LIST}
    assert prices[INDEX["SC2705"]] == 5162 + 300


# After a restart


def standing(schedule: Schedule, date: date, place: int) -> tuple[Any, ...]:
    """An exchange in the state after a step of a day, written into its memory."""
    exchange = Exchange(schedule.catalogue.instruments, 1)
    phases = schedule.initial_phases(date)
    steps = schedule.day(date)
    for step in steps[: place + 1]:
        phases = follow(phases, step.commands)
        for number in step.commands["instrument"][step.commands["kind"] == CommandKind.SETTLE]:
            exchange.ledger.limits[number].settled = 1
    exchange.book.instruments["phase"] = phases
    exchange.book.state[0].trading_date = int(steps[0].commands[0]["quantity"])
    return exchange, steps


@pytest.mark.parametrize("profile", sorted(SCHEDULES))
def test_after_a_restart_the_next_step_follows_and_no_trading_time_is_lost(profile: str) -> None:
    """RULEBOOK 14.7: if several steps leave the same phases, the earliest counts as the last one taken."""
    schedule = SCHEDULES[profile]
    total = len(schedule.day(FRIDAY))
    for place in range(total - 1):
        exchange, steps = standing(schedule, FRIDAY, place)
        driver = Driver.resume(schedule, exchange, start_ns=5)
        time, _ = existing(driver.upcoming)
        assert driver.day == FRIDAY and time <= steps[place + 1].time
        assert driver.market_time(5) < time
        again = [step for step in steps if time <= step.time <= steps[place].time]
        assert not any(
            np.isin(
                step.commands["kind"],
                (CommandKind.BEGIN_DAY, CommandKind.SETTLE, CommandKind.EXPIRE, CommandKind.END_DAY),
            ).any()
            for step in again
        )


@pytest.mark.parametrize(
    "time", ["20:55", "21:00", "23:00", "02:30", "08:55", "09:00", "11:30", "13:30", "15:00", "15:10"]
)
def test_the_steps_of_a_chinese_day_are_recognised(time: str) -> None:
    """RULEBOOK 14.7"""
    steps = CHINESE.day(FRIDAY)
    place = [number for number, step in enumerate(steps) if f"{beijing(step.time):%H:%M}" == time][0]
    exchange, _ = standing(CHINESE, FRIDAY, place)
    driver = Driver.resume(CHINESE, exchange, start_ns=0)
    assert driver.upcoming == (steps[place + 1].time, steps[place + 1].description)


def test_a_day_that_has_ended_is_followed_by_the_next() -> None:
    """RULEBOOK 14.7"""
    exchange, steps = standing(CHINESE, FRIDAY, len(CHINESE.day(FRIDAY)) - 1)
    exchange.book.instruments["locked_days"][LU1] = -3
    exchange.ledger.limits["settlement"][SC1] = 5300
    driver = Driver.resume(CHINESE, exchange, start_ns=0)
    first = existing(driver.next())
    assert driver.day == DATE(2026, 12, 7) and first.commands[0]["quantity"] == 20261207
    assert (LU1, Phase.HALTED) in first.commands[["instrument", "order_type"]].tolist()


def test_an_exchange_that_has_seen_nothing_begins_with_the_first_day() -> None:
    driver = Driver.resume(CHINESE, Exchange(CHINESE.catalogue.instruments, 1), start_ns=0)
    assert driver.day == OPENS and existing(driver.next()).commands[0]["quantity"] == 20261201


def test_halts_short_auctions_and_countdowns_survive_a_restart() -> None:
    """RULEBOOK 14.7"""
    steps = CHINESE.day(FRIDAY)
    place = [number for number, step in enumerate(steps) if "call auction LN-AUCTION" in step.description][0]
    exchange, _ = standing(CHINESE, FRIDAY, place)
    exchange.book.instruments["phase"][[SC1, SC2]] = Phase.HALTED, Phase.CALL_AUCTION
    exchange.book.instruments["deadline"][AUCTION] = 3 * MINUTE // 288
    driver = Driver.resume(CHINESE, exchange, start_ns=0)
    first, second = existing(driver.next()), existing(driver.next())
    assert first.commands[["instrument", "order_type"]].tolist() == [(SC2, Phase.CONTINUOUS)]
    assert second.commands[["instrument", "order_type"]].tolist() == [
        (AUCTION, Phase.AUCTION_MATCH),
        (AUCTION, Phase.CLOSED),
    ]
    assert SC1 not in existing(driver.next()).commands["instrument"]


def test_in_real_time_a_restart_catches_up() -> None:
    """RULEBOOK 14.7"""
    steps = CHINESE.day(FRIDAY)
    exchange, _ = standing(CHINESE, FRIDAY, 6)
    now = steps[9].time + MINUTE
    driver = Driver.resume(CHINESE, exchange, now, factor=1, market_ns=now, idle_ns=None)
    assert [step.time for step in driver.due(now)] == [step.time for step in steps[7:10]]
