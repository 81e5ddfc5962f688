"""exchange/catalogue/calendar.py: trading days and nights, and calendars that contradict themselves. RULEBOOK 14.3."""

import datetime
import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.catalogue.calendar import CALENDAR, CalendarError, beijing, load_calendar, moment

DATE = datetime.date
TRADING = load_calendar()
DAYS = TRADING.trading_days(TRADING.first, TRADING.last)
dates = st.dates(TRADING.first, TRADING.last)


def write_calendar(folder: Path, change: Callable[..., Any]) -> Path:
    content = json.loads(CALENDAR.read_text())
    change(content)
    path = folder / "calendar.json"
    path.write_text(json.dumps(content))
    return path


def refusal(folder: Path, change: Callable[..., Any]) -> str:
    with pytest.raises(CalendarError) as caught:
        load_calendar(write_calendar(folder, change))
    return str(caught.value)


# The built-in calendar


def test_it_covers_two_years_and_says_which_is_projected() -> None:
    assert (TRADING.first, TRADING.last, TRADING.projected) == (DATE(2026, 1, 1), DATE(2027, 12, 31), (2027,))
    assert all(year["source"] for year in json.loads(CALENDAR.read_text())["years"].values())


@pytest.mark.parametrize(
    ("date", "trades"),
    [
        (DATE(2026, 12, 1), True),
        (DATE(2026, 11, 28), False),  # Saturday
        (DATE(2026, 2, 17), False),  # Spring Festival
        (DATE(2026, 2, 14), False),  # a Saturday on which offices work
        (DATE(2026, 10, 7), False),  # National Day
        (DATE(2026, 10, 8), True),
        (DATE(2027, 6, 9), False),  # Dragon Boat Festival, a Wednesday
    ],
)
def test_trading_days_are_weekdays_that_are_no_holiday(date: date, trades: bool) -> None:
    assert TRADING.is_trading_day(date) == trades


@pytest.mark.parametrize(
    ("date", "before", "after"),
    [
        (DATE(2026, 9, 30), DATE(2026, 9, 29), DATE(2026, 10, 8)),
        (DATE(2026, 10, 3), DATE(2026, 9, 30), DATE(2026, 10, 8)),
        (DATE(2026, 12, 31), DATE(2026, 12, 30), DATE(2027, 1, 4)),
    ],
)
def test_next_and_previous_trading_day(date: date, before: date, after: date) -> None:
    assert TRADING.previous_trading_day(date) == before and TRADING.next_trading_day(date) == after


@pytest.mark.parametrize(
    ("date", "night"),
    [
        (DATE(2026, 12, 1), True),
        (DATE(2026, 11, 30), True),  # a Monday: Friday's night belongs to it
        (DATE(2026, 10, 8), False),  # after National Day
        (DATE(2026, 9, 28), False),  # Mid-Autumn was on a Friday
        (DATE(2026, 4, 7), False),  # Qingming took the Monday
        (DATE(2027, 1, 4), False),
        (DATE(2027, 6, 10), False),  # a single day off
    ],
)
def test_no_night_session_where_a_public_holiday_lies_before_the_day(date: date, night: bool) -> None:
    """RULEBOOK 14.3"""
    assert TRADING.has_night(date) == night


@pytest.mark.parametrize(
    ("local", "date"),
    [
        ("2026-12-01 09:00", DATE(2026, 12, 1)),
        ("2026-12-01 20:55", DATE(2026, 12, 2)),
        ("2026-12-02 02:29", DATE(2026, 12, 2)),
        ("2026-11-27 21:00", DATE(2026, 11, 30)),  # Friday night is Monday's
        ("2026-11-28 01:00", DATE(2026, 11, 30)),
        ("2026-10-03 12:00", DATE(2026, 10, 8)),
    ],
)
def test_the_night_belongs_to_the_next_trading_day(local: str, date: date) -> None:
    """RULEBOOK 14.3"""
    at = datetime.datetime.fromisoformat(f"{local}+08:00")
    assert TRADING.trading_date(int(at.timestamp()) * 10**9) == date


@given(dates)
def test_after_the_next_trading_day_comes_back_the_same(date: date) -> None:
    if DAYS[0] < date < DAYS[-1]:
        following = TRADING.next_trading_day(date)
        assert date < following and TRADING.is_trading_day(following)
        assert TRADING.previous_trading_day(following) <= date <= TRADING.on_or_after(date) <= following
        assert not any(
            TRADING.is_trading_day(date + datetime.timedelta(between)) for between in range(1, (following - date).days)
        )


@given(dates, st.integers(0, 2879))
def test_a_moment_in_beijing_time_converts_back_to_itself(date: date, minutes: int) -> None:
    at = beijing(moment(date, minutes))
    assert at.utcoffset() == datetime.timedelta(hours=8)
    assert at.replace(tzinfo=None) == datetime.datetime.combine(date, datetime.time()) + datetime.timedelta(
        minutes=minutes
    )


@given(st.integers(1, 12), st.sampled_from((2026, 2027)))
def test_the_months_make_up_the_year(month: int, year: int) -> None:
    days = TRADING.of_month(year, month)
    assert days and {(day.year, day.month) for day in days} == {(year, month)}
    assert sum(len(TRADING.of_month(year, number)) for number in range(1, 13)) == sum(day.year == year for day in DAYS)


# Dates that it does not cover


@pytest.mark.parametrize(
    "ask",
    [
        TRADING.is_trading_day,
        TRADING.next_trading_day,
        TRADING.previous_trading_day,
        TRADING.has_night,
        TRADING.on_or_after,
    ],
)
def test_a_date_that_is_not_covered_is_named_with_the_years(ask: Callable[..., Any]) -> None:
    with pytest.raises(CalendarError, match="^calendar: 2028-01-03 is not covered, must be 2026-01-01 to 2027-12-31$"):
        ask(DATE(2028, 1, 3))


def test_the_day_after_the_last_is_not_covered() -> None:
    with pytest.raises(
        CalendarError, match="1 trading days after 2027-12-31 is not covered, must be 2026-01-01 to 2027-12-31"
    ):
        TRADING.next_trading_day(DAYS[-1])
    with pytest.raises(CalendarError, match="1 trading days before"):
        TRADING.previous_trading_day(DAYS[0])


def test_only_a_trading_day_has_a_night() -> None:
    with pytest.raises(CalendarError, match="2026-10-01 is no trading day"):
        TRADING.has_night(DATE(2026, 10, 1))


# Bad calendars


def year(content: dict[str, Any], number: str = "2026") -> dict[str, Any]:
    return content["years"][number]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            lambda c: year(c)["holidays"].pop(2),
            "2026: trading_days is 242, must be 243: that many weekdays are no holiday",
        ),
        (
            lambda c: year(c)["holidays"].insert(3, {"name": "Flood", "from": "2026-04-06", "to": "2026-04-07"}),
            "2026: holiday 4: from is 2026-04-06, must be 2026-04-07 to 2026-12-31",
        ),
        (
            lambda c: year(c)["holidays"][0].update({"to": "2025-12-31"}),
            "2026: holiday 1: to is 2025-12-31, must be 2026-01-01 to 2026-12-31",
        ),
        (
            lambda c: year(c)["holidays"][0].update({"to": "2026-02-30"}),
            "2026: holiday 1: to is '2026-02-30', must be a date such as 2026-12-31",
        ),
        (
            lambda c: year(c)["holidays"][0].update({"off": True}),
            "2026: holiday 1: off is unknown, must be one of name, from, to",
        ),
        (
            lambda c: c["years"].update({"2029": c["years"].pop("2027")}),
            "year is 2029, must be 2027: years follow each other",
        ),
        (lambda c: c["years"].update({"MMXXVIII": {}}), "year is 'MMXXVIII', must be 1970 to 2200"),
        (lambda c: year(c).pop("source"), "2026: source is missing"),
        (lambda c: year(c).update({"grade": "D"}), "2026: grade is 'D', must be one of A, B, C, GK, DESIGN"),
        (lambda c: c.update({"years": {}}), "years is {}, must name at least one year"),
        (lambda c: c.pop("years"), "calendar: years is missing"),
    ],
)
def test_a_calendar_that_contradicts_itself_is_named(tmp_path: Path, change: Callable[..., Any], told: str) -> None:
    message = refusal(tmp_path, change)
    assert message.startswith("calendar calendar.json: ") and told in message


def test_a_file_that_is_no_calendar_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "calendar.json"
    for content in (b"{", b"\xff", b"[]"):
        path.write_bytes(content)
        with pytest.raises(CalendarError) as caught:
            load_calendar(path)
        assert "calendar.json" in str(caught.value) and "\n" not in str(caught.value)
