"""Which contracts follow from the families and the calendar, and their instruments. RULEBOOK 14.1, 14.2.

The engine's instruments are fixed when it starts, so the catalogue yields every contract that will be listed until its
horizon, the later ones UNLISTED. They stand in the order of the day on which they are listed, then outright months, spot,
TAS and spreads, then as the files of the families are named; so a later horizon only appends.

A contract whose last trading day the calendar does not know is not listed.
"""

import contextlib
import datetime
import functools
import pathlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

from exchange.catalogue import entries
from exchange.catalogue.calendar import CALENDAR, Calendar, CalendarError, load_calendar
from exchange.catalogue.entries import EntryError
from exchange.catalogue.terms import LAST_DAYS, STAGES, Family, Month, Spot, Terms, at, read_family
from exchange.catalogue.venue import Profile, Session, read_profile, read_sessions
from exchange.instruments import Instrument, InstrumentError, daily_limits
from matching.codes import Limit, Mechanism, Phase

CATALOGUE = pathlib.Path(__file__).with_name("data")
HUB, SESSIONS, PROFILES = "hub.json", "sessions.json", "profiles.json"
_NO_FAMILIES = (HUB, SESSIONS, PROFILES, CALENDAR.name)
_SCALE = 10_000  # of shares


class Kind(IntEnum):
    """The kind of an instrument; a kind that depends on another comes after it."""

    OUTRIGHT = 0
    SPOT = 1
    TAS = 2
    SPREAD = 3


@dataclass(frozen=True)
class Contract:
    """One instrument of the catalogue and the dates of its life."""

    symbol: str
    kind: Kind
    family: Family
    session: str
    listed: datetime.date
    expiry: datetime.date | None  # last trading day; None: the spot side has none
    terms: tuple[Terms, ...]
    stages: tuple[datetime.date, ...]  # from which the second, third ... of STAGES holds
    legs: tuple[str, ...] = ()
    spot: Spot | None = None
    months: tuple[Month, ...] = ()  # delivery month, or those of the legs

    def is_listed(self, date: datetime.date) -> bool:
        """Whether it trades on a trading day."""
        return self.listed <= date and (self.expiry is None or date <= self.expiry)

    def stage(self, date: datetime.date) -> int:
        """Index into STAGES."""
        return sum(date >= start for start in self.stages)

    def limits(self, date: datetime.date) -> dict[Limit, int]:
        """What LIMIT commands would set for a trading day."""
        terms, stage = at(self.terms, date), self.stage(date)
        outright = self.kind in (Kind.OUTRIGHT, Kind.SPOT)  # the others' margin is that of their legs
        legs = max(1, len(self.legs))
        daily_limit = terms.first_day_limit if date == self.listed and self.kind == Kind.OUTRIGHT else terms.daily_limit
        return {
            Limit.INSTRUMENT_MAX_ORDER_QUANTITY: terms.max_order_quantity,
            Limit.INSTRUMENT_MAX_POSITION: terms.max_position[stage],
            Limit.INSTRUMENT_DAILY_LIMIT: daily_limit if outright else 0,
            Limit.INSTRUMENT_MARGIN_RATE: terms.margin_rate[stage] if outright else 0,
            Limit.INSTRUMENT_FEE_PER_LOT: terms.fee_per_lot * legs,
            Limit.INSTRUMENT_FEE_RATE: terms.fee_rate if outright else 0,
            Limit.INSTRUMENT_OPENING_CAP: terms.opening_cap,
        }

    @property
    def reference(self) -> int:
        """Reference price as the files have it, ticks."""
        if self.kind == Kind.TAS:
            return 0
        if self.kind == Kind.SPREAD:
            near, far = (self.family.reference(month) for month in self.months)
            return near - far
        return self.family.reference(self.months[0]) if self.months else self.family.reference_price

    @property
    def ladder(self) -> tuple[int, int]:
        """Lowest and highest price that its ladder has rows for, ticks."""
        reference = self.reference
        if self.kind == Kind.TAS and self.family.tas:
            return -self.family.tas.reach, self.family.tas.reach
        if self.kind == Kind.SPREAD and self.family.spreads:
            return reference - self.family.spreads.reach, reference + self.family.spreads.reach
        low, high = sorted((int(reference * self.family.ladder[0]), int(reference * self.family.ladder[1])))
        return low, high

    def instrument(self, date: datetime.date) -> Instrument:
        """Its terms on a date, or on the day of its listing if that is later."""
        limits, family = self.limits(max(date, self.listed)), self.family
        floor, ceiling = self.ladder
        lot_size = self.spot.lot_size if self.spot else family.lot_size
        fen = int(abs(self.reference) * family.tick_size * lot_size * 100)
        label = "TAS " if self.kind == Kind.TAS else "spread " if self.kind == Kind.SPREAD else ""
        return Instrument(
            symbol=self.symbol,
            tick_size=family.tick_size,
            lot_size=lot_size,
            price_floor=floor,
            price_ceiling=ceiling,
            reference_price=self.reference,
            price_rule=family.price_rule,
            protection=min(family.protection, ceiling - floor),
            collar=family.collar if self.kind == Kind.OUTRIGHT else 0,
            margin=-(-fen * limits[Limit.INSTRUMENT_MARGIN_RATE] // _SCALE),
            max_order_quantity=limits[Limit.INSTRUMENT_MAX_ORDER_QUANTITY],
            max_position=limits[Limit.INSTRUMENT_MAX_POSITION],
            daily_limit=limits[Limit.INSTRUMENT_DAILY_LIMIT],
            margin_rate=limits[Limit.INSTRUMENT_MARGIN_RATE],
            fee_per_lot=limits[Limit.INSTRUMENT_FEE_PER_LOT],
            fee_rate=limits[Limit.INSTRUMENT_FEE_RATE],
            opening_cap=limits[Limit.INSTRUMENT_OPENING_CAP],
            velocity=family.velocity if self.kind == Kind.OUTRIGHT else 0,
            velocity_window=family.velocity_window,
            auction=family.auction,
            mechanism=self.spot.mechanism if self.spot else Mechanism.ORDER_BOOK,
            legs=self.legs,
            at_settlement=self.kind == Kind.TAS,
            offset=family.offset and self.spot is None,
            physical=family.physical and self.kind == Kind.OUTRIGHT,
            phase=Phase.CLOSED if self.listed <= date else Phase.UNLISTED,
            unit=family.unit,
            currency=family.currency,
            product=family.product,
            name=self.spot.name if self.spot else f"{family.name} {label}{'-'.join(map(str, self.months))}",
            listed=self.listed,
            expiry=self.expiry,
        )


@dataclass(frozen=True)
class Catalogue:
    """All contracts of a hub under a profile, in the order of the engine's instruments."""

    opens: datetime.date  # first trading day
    until: datetime.date  # horizon: nothing is listed after it
    calendar: Calendar
    profile: Profile
    sessions: Mapping[str, Session]
    families: tuple[Family, ...]
    contracts: tuple[Contract, ...]

    @functools.cached_property
    def instruments(self) -> tuple[Instrument, ...]:
        """As they are before the first trading day begins: listed ones CLOSED, later ones UNLISTED."""
        return tuple(contract.instrument(self.opens) for contract in self.contracts)


def load_catalogue(
    path: pathlib.Path = CATALOGUE, profile: str | None = None, open: bool = True, until: datetime.date | None = None
) -> tuple[Instrument, ...]:
    """The instruments of a catalogue.

    path      a folder, or the file of one family
    profile   of profiles.json; None: the one that hub.json names
    open      True: the order book months that are listed first, CONTINUOUS for ever under their general terms, with a ladder
              as wide as a day's limits. That is a hub without a schedule. False: every contract, for schedule.py
    until     horizon; None: that of hub.json
    Errors    InstrumentError naming the file, the entry, the field, its value and the bound; CalendarError
    """
    catalogue = read_catalogue(path, profile, until)
    if not open:
        return catalogue.instruments
    return tuple(
        _always_open(contract)
        for contract in catalogue.contracts
        if contract.kind == Kind.OUTRIGHT and contract.listed <= catalogue.opens
    )


def _always_open(contract: Contract) -> Instrument:
    terms = contract.instrument(contract.listed)
    entry = contract.terms[0]
    floor, ceiling = daily_limits(terms, terms.reference_price, entry.daily_limit)
    fen = abs(terms.reference_price) * terms.fen_per_tick
    return replace(
        terms,
        price_floor=floor,
        price_ceiling=ceiling,
        daily_limit=0,
        max_position=entry.max_position[0],
        margin_rate=entry.margin_rate[0],
        margin=-(-fen * entry.margin_rate[0] // _SCALE),
        velocity=0,
        phase=Phase.CONTINUOUS,
    )


def read_catalogue(
    path: pathlib.Path = CATALOGUE, profile: str | None = None, until: datetime.date | None = None
) -> Catalogue:
    """Read and check a whole catalogue. See load_catalogue; what a folder lacks besides families is the built-in one's."""
    folder = path if path.is_dir() else CATALOGUE
    with _named(file := _beside(folder, HUB)):
        hub = _hub(entries.load(file))
    with _named(file := _beside(folder, SESSIONS)):
        sessions = read_sessions(entries.load(file))
    with _named(file := _beside(folder, PROFILES)):
        venue = read_profile(entries.load(file), hub["profile"] if profile is None else profile, sessions)
    calendar = load_calendar(_beside(folder, CALENDAR.name))
    opens, until = hub["opens"], until or hub["until"]
    if not calendar.is_trading_day(opens):
        raise InstrumentError(f"catalogue {HUB}: opens is {opens}, must be a trading day")
    if not opens <= until <= calendar.last:
        raise InstrumentError(f"catalogue {HUB}: until is {until}, must be {opens} to {calendar.last}")
    families: list[Family] = []
    contracts: list[Contract] = []
    symbols: dict[str, str] = {}
    for file in _family_files(path, hub["families"]):
        with _named(file):
            family = read_family(entries.load(file), venue, sessions)
            families.append(family)
            for contract in _contracts(family, calendar, opens, hub["first_month"], until):
                if contract.symbol in symbols:
                    raise EntryError(f"symbol {contract.symbol} is listed twice, first by {symbols[contract.symbol]}")
                symbols[contract.symbol] = file.name
                _check(contract)
                contracts.append(contract)
    # Python's sort keeps what is equal in order: family by family, month by month
    contracts.sort(key=lambda contract: (max(contract.listed, opens), contract.kind))
    return Catalogue(opens, until, calendar, venue, sessions, tuple(families), tuple(contracts))


def _family_files(path: pathlib.Path, first: tuple[str, ...]) -> list[pathlib.Path]:
    """The files of a folder in the order that hub.json names; those that it does not name come behind, by name."""
    if not path.is_dir():
        return [path]
    files = [file for file in path.glob("*.json") if file.name not in _NO_FAMILIES]
    if not files:
        raise InstrumentError(f"catalogue {path}: no family in it, must have at least one *.json")
    return sorted(files, key=lambda file: (first.index(file.stem) if file.stem in first else len(first), file.name))


def _beside(folder: pathlib.Path, name: str) -> pathlib.Path:
    return folder / name if (folder / name).exists() else CATALOGUE / name


@contextlib.contextmanager
def _named(path: pathlib.Path) -> Iterator[None]:
    """Errors name the file in which the mistake is."""
    try:
        yield
    except CalendarError:
        raise
    except (EntryError, InstrumentError) as error:
        message = str(error)
        if not message.startswith((path.name, str(path))):
            message = f"{path.name}: {message}"
        raise InstrumentError(f"catalogue {message}") from None


def _hub(content: object) -> dict[str, Any]:
    hub = entries.read(
        content,
        {
            "note": entries.text,
            "opens": entries.date,
            "first_month": entries.text,
            "until": entries.date,
            "profile": entries.text,
            "families": entries.texts,
            "sources": entries.table,
        },
        "hub",
    )
    entries.check_sources(hub["sources"], ("opens", "first_month", "until"), "hub")
    digits = hub["first_month"]
    if len(digits) != 4 or not digits.isascii() or not digits.isdigit() or not 1 <= int(digits[2:]) <= 12:
        raise EntryError(f"hub: first_month is {digits!r}, must be a month such as 2701")
    hub["first_month"] = Month(2000 + int(digits[:2]), int(digits[2:]))
    return hub


# From rules to contracts --------------------------------------------------------------------------


def _contracts(
    family: Family, calendar: Calendar, opens: datetime.date, first: Month, until: datetime.date
) -> list[Contract]:
    """Everything of a family that is listed until the horizon."""
    outrights = list(_outrights(family, calendar, first, until))
    if not outrights or outrights[0].listed > opens:
        raise EntryError(f"{family.code}: no month is listed on {opens}, first_month must be nearer")
    spot = [
        Contract(terms.symbol, Kind.SPOT, family, terms.session, opens, None, terms.terms, (), spot=terms)
        for terms in family.spot
    ]
    tas = [
        Contract(
            f"{leg.symbol}-TAS",
            Kind.TAS,
            family,
            family.tas.session,
            leg.listed,
            leg.expiry,
            leg.terms,
            leg.stages,
            (leg.symbol,),
            months=leg.months,
        )
        for leg in outrights
        if family.tas
    ]
    spreads = [
        Contract(
            f"{near.symbol}-{far.symbol}",
            Kind.SPREAD,
            family,
            family.spreads.session,
            max(near.listed, far.listed),
            near.expiry,
            near.terms,
            near.stages,
            (near.symbol, far.symbol),
            months=near.months + far.months,
        )
        for near, far in zip(outrights, outrights[1:], strict=False)
        if family.spreads
    ]
    return outrights + spot + tas + spreads


def _outrights(family: Family, calendar: Calendar, first: Month, until: datetime.date) -> Iterator[Contract]:
    """Delivery months: each is listed on the trading day after the last one of the month that makes room for it (14.2)."""
    month = first
    while True:
        listed = _listing_day(family, calendar, month)
        if listed > until or month.plus(-family.last_trading_day.months_before).year > calendar.last.year:
            return
        expiry = family.last_trading_day.of(calendar, month)
        yield Contract(
            f"{family.code}{month}",
            Kind.OUTRIGHT,
            family,
            family.session,
            listed,
            expiry,
            family.terms,
            _stages(calendar, expiry),
            months=(month,),
        )
        month = month.plus(1)


def _listing_day(family: Family, calendar: Calendar, month: Month) -> datetime.date:
    """The first trading day of the calendar where the rule leads before it."""
    before = month.plus(-family.months)
    if before.plus(-family.last_trading_day.months_before).year < calendar.first.year:
        return calendar.on_or_after(calendar.first)
    return calendar.next_trading_day(family.last_trading_day.of(calendar, before))


def _stages(calendar: Calendar, expiry: datetime.date) -> tuple[datetime.date, ...]:
    """When the second, third ... of STAGES begins. "Delivery month" is the month of the last trading day (14.4)."""
    month = Month(expiry.year, expiry.month)
    before = month.plus(-1)
    starts = (datetime.date(before.year, before.month, 1), expiry.replace(day=1), calendar.shift(expiry, -LAST_DAYS))
    assert len(starts) == len(STAGES) - 1
    return starts


def _check(contract: Contract) -> None:
    """A contract can be traded under each of its terms. Errors: EntryError, InstrumentError."""
    terms = contract.instrument(contract.listed)
    for number, entry in enumerate(contract.terms, 1):
        for field in ("daily_limit", "first_day_limit"):
            share = getattr(entry, field)
            if share == 0 or contract.kind not in (Kind.OUTRIGHT, Kind.SPOT):
                continue
            width = abs(terms.reference_price) * share // _SCALE
            least = terms.reference_price - terms.price_floor, terms.price_ceiling - terms.reference_price
            if not 1 <= width <= min(least):
                raise EntryError(
                    f"{contract.symbol}: terms {number}: {field} is {share / _SCALE}, must be a tick at least and "
                    f"within the ladder: {1 / max(1, abs(terms.reference_price)):.4f} to "
                    f"{min(least) / max(1, abs(terms.reference_price)):.4f}"
                )
