"""Trading days, from data: weekdays that are no public holiday. Times are Beijing's, which is UTC+8 all year.

    calendar = load_calendar()
    calendar.next_trading_day(datetime.date(2026, 9, 30))        # 2026-10-08
    calendar.has_night(datetime.date(2026, 10, 8))               # False: a holiday lies before it

A trading day is named by the date of its day session. The night session before belongs to it: the evening of the trading
day before, unless a public holiday lies between the two. Saturdays and Sundays are never trading days, not even those on
which offices work.
"""

import bisect
import datetime
import pathlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from exchange.catalogue import entries
from exchange.instruments import InstrumentError
from exchange.units import BEIJING

CALENDAR = pathlib.Path(__file__).parent / "data" / "calendar.json"
EVENING = 18  # o'clock; the evening from then on belongs to the next trading day
_MINUTE = 60_000_000_000  # ns
_DAY = datetime.timedelta(days=1)
_EPOCH = datetime.date(1970, 1, 1)


class CalendarError(InstrumentError):
    """A date that the calendar does not know, or a calendar that contradicts itself. Names the date and the bound."""


def moment(date: datetime.date, minutes: int) -> int:
    """ns UTC of a time of day in Beijing, in minutes after midnight of a date; 1,440 and more fall on the next day."""
    return ((date - _EPOCH).days * 1440 + minutes - 480) * _MINUTE


def yyyymmdd(date: datetime.date) -> int:
    """A date as BEGIN_DAY and GTD orders carry it."""
    return 10_000 * date.year + 100 * date.month + date.day


def beijing(moment_ns: int) -> datetime.datetime:
    """Date and time in Beijing of a moment in ns UTC."""
    return datetime.datetime.fromtimestamp(moment_ns // 1_000_000_000, BEIJING)


@dataclass(frozen=True)
class Calendar:
    """Whole years of days, with their public holidays. Errors of every question: CalendarError for a date not covered."""

    first: datetime.date  # 1 January of the first year
    last: datetime.date  # 31 December of the last one
    holidays: Mapping[datetime.date, str]  # public holidays by name, weekends among them included
    projected: tuple[int, ...] = ()  # years whose holidays are not announced yet
    _days: tuple[datetime.date, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_days", tuple(day for day in _dates(self.first, self.last) if self._trades(day)))

    def _trades(self, date: datetime.date) -> bool:
        return date.weekday() < 5 and date not in self.holidays

    def _require(self, date: datetime.date) -> None:
        if not self.first <= date <= self.last:
            raise CalendarError(f"calendar: {date} is not covered, must be {self.first} to {self.last}")

    def is_trading_day(self, date: datetime.date) -> bool:
        self._require(date)
        return self._trades(date)

    def trading_days(self, first: datetime.date, last: datetime.date) -> tuple[datetime.date, ...]:
        """All trading days from `first` to `last`, both included."""
        self._require(first)
        self._require(last)
        return self._days[bisect.bisect_left(self._days, first) : bisect.bisect_right(self._days, last)]

    def shift(self, date: datetime.date, days: int) -> datetime.date:
        """The trading day `days` (not 0) trading days after a date, before it if negative. The date may be any day."""
        self._require(date)
        behind = bisect.bisect_right if days > 0 else bisect.bisect_left
        at = behind(self._days, date) + days - (days > 0)
        if not 0 <= at < len(self._days):
            raise CalendarError(
                f"calendar: {abs(days)} trading days {'after' if days > 0 else 'before'} {date} is not "
                f"covered, must be {self.first} to {self.last}"
            )
        return self._days[at]

    def next_trading_day(self, date: datetime.date) -> datetime.date:
        return self.shift(date, 1)

    def previous_trading_day(self, date: datetime.date) -> datetime.date:
        return self.shift(date, -1)

    def on_or_after(self, date: datetime.date) -> datetime.date:
        """The date itself if it is a trading day, else the next one."""
        return date if self.is_trading_day(date) else self.next_trading_day(date)

    def of_month(self, year: int, month: int) -> tuple[datetime.date, ...]:
        """The trading days of a month."""
        first = datetime.date(year, month, 1)
        return self.trading_days(first, datetime.date(year + month // 12, month % 12 + 1, 1) - _DAY)

    def has_night(self, date: datetime.date) -> bool:
        """Whether a night session precedes a trading day: none where a public holiday lies before it. RULEBOOK 14.3."""
        if not self.is_trading_day(date):
            raise CalendarError(f"calendar: {date} is no trading day")
        if date == self._days[0]:
            return False  # the evening before is not covered
        return not any(day in self.holidays for day in _dates(self.previous_trading_day(date), date))

    def trading_date(self, moment_ns: int) -> datetime.date:
        """The trading day that a moment (ns UTC) belongs to: evenings and days without trading belong to the next."""
        local = beijing(moment_ns)
        return self.on_or_after(local.date() + (_DAY if local.hour >= EVENING else datetime.timedelta()))


def _dates(first: datetime.date, last: datetime.date) -> Iterator[datetime.date]:
    return (first + number * _DAY for number in range((last - first).days + 1))


def load_calendar(path: pathlib.Path = CALENDAR) -> Calendar:
    """Read a calendar file.

    Errors    CalendarError naming the file, the year, the field, its value and the bound
    """
    try:
        return _calendar(entries.load(path))
    except entries.EntryError as error:
        raise CalendarError(
            f"calendar {error}" if path.name in str(error) else f"calendar {path.name}: {error}"
        ) from None


def _calendar(content: object) -> Calendar:
    years = entries.read(content, {"note": entries.text, "years": entries.table}, "calendar")["years"]
    if not years:
        raise entries.EntryError("years is {}, must name at least one year")
    numbers: list[int] = []
    holidays: dict[datetime.date, str] = {}
    projected = []
    for name, entry in years.items():
        if not name.isascii() or not name.isdigit() or len(name) != 4 or not 1970 <= int(name) <= 2200:
            raise entries.EntryError(f"year is {name!r}, must be 1970 to 2200")
        year = int(name)
        if numbers and year != numbers[-1] + 1:
            raise entries.EntryError(f"year is {year}, must be {numbers[-1] + 1}: years follow each other")
        numbers.append(year)
        terms = entries.read(
            entry,
            {
                "grade": entries.text,
                "source": entries.text,
                "projected": entries.truth,
                "trading_days": entries.count,
                "holidays": entries.entries,
            },
            name,
        )
        entries.choice(terms["grade"], entries.GRADES, f"{name}: grade")
        if terms["projected"]:
            projected.append(year)
        before = datetime.date(year - 1, 12, 31)
        for number, holiday in enumerate(terms["holidays"], 1):
            before = _holiday(holiday, f"{name}: holiday {number}", year, before, holidays)
        days = [
            day
            for day in _dates(datetime.date(year, 1, 1), datetime.date(year, 12, 31))
            if day.weekday() < 5 and day not in holidays
        ]
        if len(days) != terms["trading_days"]:
            raise entries.EntryError(
                f"{name}: trading_days is {terms['trading_days']}, must be {len(days)}: that many "
                "weekdays are no holiday, so a day is missing or one too many"
            )
    return Calendar(datetime.date(numbers[0], 1, 1), datetime.date(numbers[-1], 12, 31), holidays, tuple(projected))


def _holiday(
    entry: object, name: str, year: int, before: datetime.date, holidays: dict[datetime.date, str]
) -> datetime.date:
    """Add one holiday, from its first to its last day off. Returns the last."""
    read = entries.read(entry, {"name": entries.text, "from": entries.date, "to": entries.date}, name)
    first, last = read["from"], read["to"]
    if first <= before or first.year != year:
        raise entries.EntryError(
            f"{name}: from is {first}, must be {before + _DAY} to {year}-12-31: holidays of a year stand "
            "in order and do not overlap"
        )
    if last < first or last.year != year:
        raise entries.EntryError(f"{name}: to is {last}, must be {first} to {year}-12-31")
    holidays.update((day, read["name"]) for day in _dates(first, last))
    return last
