"""A product family: the terms that all its contracts share, and those that change with the date. RULEBOOK 14.

    family = read_family(entries.load(path), profile, sessions)
    family.terms_at(datetime.date(2027, 2, 15)).daily_limit

Terms stand in the order of the dates from which they hold; a later entry names only what it changes.
"""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from exchange.catalogue import entries
from exchange.catalogue.calendar import Calendar, CalendarError
from exchange.catalogue.entries import EntryError
from exchange.catalogue.venue import Profile, Session
from matching.codes import AuctionStep, Mechanism

# Stages of a contract's life, by which margin and position limits step (14.4).
STAGES = ("general", "month_before", "delivery_month", "last_days")
LAST_DAYS = 2  # trading days before the last one, from which the stage last_days holds
_AUCTION_STEPS = {name.lower(): step for name, step in AuctionStep.__members__.items()}


@dataclass(frozen=True)
class Terms:
    """What holds from a date on. Shares in 1/10,000, the fee rate in 1/1,000,000, money in fen."""

    start: datetime.date
    daily_limit: int  # share of the settlement price; 0: the whole ladder
    first_day_limit: int  # the same, on the first day of a contract
    margin_rate: tuple[int, ...]  # share of the settlement price, by stage
    fee_per_lot: int  # fen
    fee_rate: int
    max_position: tuple[int, ...]  # lots of one account, by stage
    opening_cap: int  # lots an account may open a day; 0: none
    max_order_quantity: int  # lots


@dataclass(frozen=True)
class LastTradingDay:
    """Which trading day is a contract's last: counted in its delivery month or a month before."""

    months_before: int
    day: int = 0  # of the month, or the next trading day
    from_start: int = 0  # first, second ... trading day
    from_end: int = 0  # last, second last ...

    def of(self, calendar: Calendar, month: "Month") -> datetime.date:
        """Errors: CalendarError."""
        at = month.plus(-self.months_before)
        if self.day:
            return calendar.on_or_after(datetime.date(at.year, at.month, self.day))
        days = calendar.of_month(at.year, at.month)
        number = -self.from_end if self.from_end else self.from_start - 1
        if not -len(days) <= number < len(days):
            raise CalendarError(
                f"calendar: {at.year}-{at.month:02d} has {len(days)} trading days, "
                f"must have {self.from_end or self.from_start}"
            )
        return days[number]


@dataclass(frozen=True, order=True)
class Month:
    """A delivery month."""

    year: int
    month: int

    def plus(self, count: int) -> "Month":
        year, month = divmod(12 * self.year + self.month - 1 + count, 12)
        return Month(year, month + 1)

    def __str__(self) -> str:
        return f"{self.year % 100:02d}{self.month:02d}"


@dataclass(frozen=True)
class Derived:
    """TAS or calendar spreads of a family: prices reach `reach` ticks to either side."""

    reach: int
    session: str


@dataclass(frozen=True)
class Spot:
    """An instrument of the spot side: no months, no last day."""

    symbol: str
    name: str
    name_zh: str
    mechanism: Mechanism
    lot_size: Decimal
    session: str
    terms: tuple[Terms, ...]


@dataclass(frozen=True)
class Family:
    """One family file, with the profile's fields in place of its own."""

    code: str
    name: str
    name_zh: str
    product: str
    unit: str
    currency: str
    modelled_on: str
    tick_size: Decimal
    lot_size: Decimal
    ladder: tuple[Decimal, Decimal]  # lowest and highest price that fits, as shares of the reference price
    price_rule: str
    offset: bool
    auction: AuctionStep  # tie-breaks of its call auctions (8.5)
    protection: int  # ticks
    collar: int  # ticks
    velocity: int  # ticks
    velocity_window: int  # ms
    delivery_places: tuple[str, ...]
    delivery_days: int  # trading days after the last one
    physical: bool
    months: int  # how many are listed at a time
    last_trading_day: LastTradingDay
    reference_price: int  # ticks
    seasonal: tuple[int, ...]  # ticks on top, January to December
    session: str
    tas: Derived | None
    spreads: Derived | None
    spot: tuple[Spot, ...]
    terms: tuple[Terms, ...]

    def reference(self, month: Month) -> int:
        """Reference price of a delivery month, ticks."""
        return self.reference_price + self.seasonal[month.month - 1]


def at(terms: Sequence[Terms], date: datetime.date) -> Terms:
    """Those that hold on a date; before the first date the first ones."""
    return next((entry for entry in reversed(terms) if entry.start <= date), terms[0])


# Reading ------------------------------------------------------------------------------------------

_FAMILY: entries.Fields = {
    "code": entries.text,
    "name": entries.text,
    "name_zh": entries.text,
    "product": entries.text,
    "unit": entries.text,
    "currency": entries.text,
    "modelled_on": entries.text,
    "tick_size": entries.size,
    "lot_size": entries.size,
    "ladder": entries.table,
    "price_rule": entries.text,
    "offset": entries.truth,
    "auction": entries.texts,
    "protection": entries.count,
    "collar": entries.count,
    "velocity": entries.table,
    "delivery": entries.table,
    "months": entries.count,
    "last_trading_day": entries.table,
    "reference_price": entries.decimal,
    "seasonal": entries.decimals,
    "session": entries.text,
    "terms": entries.entries,
    "sources": entries.table,
}
_MAYBE: entries.Fields = {"tas": entries.table, "spreads": entries.table, "spot": entries.entries}
# fields for which the file must name a source; profiles.json has the sources of the profile's fields
_SOURCED = (
    "tick_size",
    "lot_size",
    "ladder",
    "protection",
    "collar",
    "velocity",
    "delivery",
    "months",
    "last_trading_day",
    "reference_price",
    "seasonal",
    "session",
)
_SPOT: entries.Fields = {
    "symbol": entries.text,
    "name": entries.text,
    "name_zh": entries.text,
    "mechanism": entries.text,
    "lot_size": entries.size,
    "session": entries.text,
    "terms": entries.entries,
    "sources": entries.table,
}


def _fen(value: object) -> int:
    fen = entries.decimal(value) * 100
    if fen < 0 or fen != int(fen):
        raise ValueError
    return int(fen)


def _staged(convert: Any) -> Any:
    """A figure for each stage; one that is not named is that of the stage before."""

    def figures(value: object) -> tuple[int, ...]:
        given = entries.table(value)
        if "general" not in given or not set(given) <= set(STAGES):
            raise ValueError
        found: list[int] = []
        for stage in STAGES:
            found.append(convert(given[stage]) if stage in given else found[-1])
        return tuple(found)

    return figures


_shares, _lots = _staged(entries.share), _staged(entries.count)
entries.BOUNDS[_fen] = "an amount of currency in quotes, not negative, with at most 2 decimals"
entries.BOUNDS[_shares] = f"shares from 0 to 1 in quotes, of {', '.join(STAGES)}; general is needed"
entries.BOUNDS[_lots] = f"lots of {', '.join(STAGES)}; general is needed"
_TERMS: entries.Fields = {
    "daily_limit": entries.share,
    "margin_rate": _shares,
    "fee_per_lot": _fen,
    "fee_rate": entries.rate,
    "max_position": _lots,
    "opening_cap": entries.count,
    "max_order_quantity": entries.count,
}
_TERMS_MAYBE: entries.Fields = {"first_day_limit": entries.share}


def read_family(content: object, profile: Profile, sessions: Mapping[str, Session]) -> Family:
    """A family file under a profile. Errors: EntryError naming entry, field, value and bound."""
    if not isinstance(content, dict):
        raise EntryError(f"family is {content!r}, must be an object")
    read = entries.read(dict(content) | dict(profile.family), _FAMILY, "family", _MAYBE)
    code, tick = read["code"], read["tick_size"]
    entries.check_sources(
        read["sources"],
        [
            *_SOURCED,
            *(name for name in ("tas", "spreads") if name in read),
            *(name for name in profile.family if name in content and name not in _SOURCED),
        ],
        code,
    )
    ladder = entries.read(read["ladder"], {"floor": entries.decimal, "ceiling": entries.decimal}, f"{code}: ladder")
    if not ladder["floor"] < 1 < ladder["ceiling"]:
        raise EntryError(f"{code}: ladder is {ladder['floor']} to {ladder['ceiling']}, must be below 1 to above 1")
    velocity = entries.read(read["velocity"], {"ticks": entries.count, "window_ms": entries.count}, f"{code}: velocity")
    delivery = entries.read(
        read["delivery"],
        {"places": entries.texts, "days": entries.count, "physical": entries.truth},
        f"{code}: delivery",
    )
    if len(read["seasonal"]) != 12:
        raise EntryError(f"{code}: seasonal has {len(read['seasonal'])} prices, must have 12, January to December")
    if read["months"] < 1:
        raise EntryError(f"{code}: months is {read['months']}, must be 1 or more")
    return Family(
        **{
            name: read[name]
            for name in (
                "code",
                "name",
                "name_zh",
                "product",
                "unit",
                "currency",
                "modelled_on",
                "tick_size",
                "lot_size",
                "price_rule",
                "offset",
                "protection",
                "collar",
                "months",
            )
        },
        ladder=(ladder["floor"], ladder["ceiling"]),
        auction=_auction_steps(read["auction"], f"{code}: auction"),
        velocity=velocity["ticks"],
        velocity_window=velocity["window_ms"],
        delivery_places=delivery["places"],
        delivery_days=delivery["days"],
        physical=delivery["physical"],
        last_trading_day=_last_trading_day(read["last_trading_day"], f"{code}: last_trading_day"),
        reference_price=_ticks(read["reference_price"], tick, f"{code}: reference_price"),
        seasonal=tuple(_ticks(price, tick, f"{code}: seasonal") for price in read["seasonal"]),
        session=_session(read["session"], profile, sessions, f"{code}: session"),
        tas=_derived(read.get("tas"), profile, sessions, f"{code}: tas"),
        spreads=_derived(read.get("spreads"), profile, sessions, f"{code}: spreads"),
        spot=tuple(
            _spot(entry, profile, sessions, f"{code}: spot {number}")
            for number, entry in enumerate(read.get("spot", ()), 1)
        ),
        terms=_terms(read["terms"], code),
    )


def _auction_steps(names: list[str], name: str) -> AuctionStep:
    steps = AuctionStep(0)
    for step in names:
        steps |= _AUCTION_STEPS[entries.choice(step, _AUCTION_STEPS, name)]
    return steps


def _ticks(price: Decimal, tick_size: Decimal, name: str) -> int:
    ticks = int(price / tick_size)
    if ticks * tick_size != price:
        raise EntryError(f"{name} is {price}, must be a multiple of the tick size {tick_size}")
    return ticks


def _session(name: str, profile: Profile, sessions: Mapping[str, Session], what: str) -> str:
    entries.choice(name, sessions, what)
    return profile.session(name)


def _derived(content: object, profile: Profile, sessions: Mapping[str, Session], name: str) -> Derived | None:
    if content is None:
        return None
    read = entries.read(content, {"reach": entries.count, "session": entries.text}, name)
    if read["reach"] < 1:
        raise EntryError(f"{name}: reach is {read['reach']}, must be 1 tick or more")
    return Derived(read["reach"], _session(read["session"], profile, sessions, f"{name}: session"))


def _spot(content: object, profile: Profile, sessions: Mapping[str, Session], name: str) -> Spot:
    read = entries.read(content, _SPOT, name)
    entries.check_sources(read["sources"], ("lot_size", "session"), name)
    mechanism = entries.choice(read["mechanism"], [known.name for known in Mechanism if known], f"{name}: mechanism")
    return Spot(
        read["symbol"],
        read["name"],
        read["name_zh"],
        Mechanism[mechanism],
        read["lot_size"],
        _session(read["session"], profile, sessions, f"{name}: session"),
        _terms(read["terms"], name),
    )


def _last_trading_day(content: object, name: str) -> LastTradingDay:
    ways = {"day": entries.count, "from_start": entries.count, "from_end": entries.count}
    read = entries.read(content, {"months_before": entries.count}, name, ways)
    named = [way for way in ways if way in read]
    if len(named) != 1:
        raise EntryError(f"{name} names {' and '.join(named) or 'none'}, must be one of {', '.join(ways)}")
    largest = 28 if named == ["day"] else 15
    if not 1 <= read[named[0]] <= largest:
        raise EntryError(f"{name}: {named[0]} is {read[named[0]]}, must be 1 to {largest}")
    return LastTradingDay(**read)


def _terms(content: list[Any], name: str) -> tuple[Terms, ...]:
    """Effective-dated terms. The first entry is complete, later entries have only what changes."""
    if not content:
        raise EntryError(f"{name}: terms is [], must have at least one entry")
    found: list[Terms] = []
    held: dict[str, Any] = {}
    for number, entry in enumerate(content, 1):
        label = f"{name}: terms {number}"
        head: entries.Fields = {"from": entries.date, "sources": entries.table}
        if found:
            read = entries.read(entry, head, label, {**_TERMS, **_TERMS_MAYBE})
        else:
            read = entries.read(entry, {**head, **_TERMS}, label, _TERMS_MAYBE)
        start, sources = read.pop("from"), read.pop("sources")
        if found and start <= found[-1].start:
            raise EntryError(
                f"{label}: from is {start}, must be after {found[-1].start}: terms follow each other and do not overlap"
            )
        entries.check_sources(sources, read, label)
        held |= read
        found.append(Terms(start=start, **{"first_day_limit": held["daily_limit"], **held}))
    return tuple(found)
