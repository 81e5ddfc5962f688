"""The rules of a venue: the phases of its sessions, and a profile that replaces fields of the families. RULEBOOK 14.5.

A session is a list of phases by Beijing time. Night times are of the evening of the trading day before, day times of the
trading day itself; hours beyond 24 run past midnight.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from exchange.catalogue import entries
from exchange.catalogue.entries import EntryError
from exchange.engine.phases import FOLLOWS
from matching.codes import Phase, SettlementRule

_LAST = (Phase.CLOSING, Phase.CLOSED)
_FAMILY_FIELDS = ("price_rule", "offset", "auction", "velocity", "protection", "collar")

Times = tuple[tuple[int, Phase], ...]  # (minutes after midnight, phase that begins)


@dataclass(frozen=True)
class Session:
    """Phases of one kind of instrument in a trading day."""

    night: Times
    day: Times


@dataclass(frozen=True)
class HubDay:
    """When the whole hub does something. Minutes after midnight in Beijing; None: not at all."""

    begin_night: int | None  # BEGIN_DAY, on the evening before, where there is a night session
    begin: int  # BEGIN_DAY, where there is none
    limit_lock: int | None  # PHASE to LIMIT_LOCKED is sent
    window: int  # WINDOW
    settlement: int  # SETTLEMENT, SETTLE, EXPIRE
    end: int  # END_DAY, CLOSED
    short_auction: int  # minutes that a call auction lasts which the hub itself began (8.8)


@dataclass(frozen=True)
class Profile:
    """One venue profile."""

    name: str
    family: Mapping[str, Any]  # fields as they stand in a family file, instead of the family's own
    sessions: Mapping[str, str]  # session of the family -> session of this profile
    day: HubDay
    settlement_rule: SettlementRule

    def session(self, name: str) -> str:
        return self.sessions.get(name, name)


def read_sessions(content: object) -> dict[str, Session]:
    """sessions.json. Errors: EntryError naming session, field, value and bound."""
    given = entries.read(content, {"note": entries.text, "sessions": entries.table}, "sessions")["sessions"]
    sessions = {}
    for name, entry in given.items():
        read = entries.read(
            entry,
            {"grade": entries.text, "source": entries.text, "night": entries.entries, "day": entries.entries},
            name,
        )
        entries.choice(read["grade"], entries.GRADES, f"{name}: grade")
        night, day = (_times(read[part], f"{name}: {part}") for part in ("night", "day"))
        if not day:
            raise EntryError(f"{name}: day is [], must have at least one phase")
        if night:
            _follow(Phase.CLOSED, night, f"{name}: night")
            _follow(night[-1][1], day, f"{name}: day after a night")
        _follow(Phase.CLOSED, day, f"{name}: day")
        if day[-1][1] not in _LAST:
            raise EntryError(f"{name}: day ends with {day[-1][1].name}, must be CLOSING or CLOSED")
        sessions[name] = Session(night, day)
    return sessions


def _times(rows: list[Any], name: str) -> Times:
    times: list[tuple[int, Phase]] = []
    for row in rows:
        if not isinstance(row, list) or len(row) != 2:
            raise EntryError(f"{name} has {row!r}, must be [time, phase]")
        minutes = entries.one(row[0], entries.clock, name)
        phase = Phase[entries.choice(row[1], Phase.__members__, name)]
        if times and minutes <= times[-1][0]:
            raise EntryError(f"{name} has {row[0]}, must be later than the time before")
        times.append((minutes, phase))
    return tuple(times)


def _follow(before: Phase, times: Times, name: str) -> None:
    for _, phase in times:
        if phase not in FOLLOWS[before]:
            raise EntryError(
                f"{name}: {phase.name} after {before.name}, must be "
                f"{' or '.join(after.name for after in FOLLOWS[before]) or 'nothing'}"
            )
        before = phase


def read_profile(content: object, name: str, sessions: Mapping[str, Session]) -> Profile:
    """One profile of profiles.json. Errors: EntryError naming profile, field, value and bound."""
    given = entries.read(content, {"note": entries.text, "profiles": entries.table}, "profiles")["profiles"]
    entries.choice(name, given, "profile")
    read = entries.read(
        given[name],
        {
            "note": entries.text,
            "family": entries.table,
            "sessions": entries.table,
            "day": entries.table,
            "settlement_rule": entries.text,
            "sources": entries.table,
        },
        name,
    )
    for field in read["family"]:
        entries.choice(field, _FAMILY_FIELDS, f"{name}: family: field")
    for old, new in read["sessions"].items():
        entries.choice(old, sessions, f"{name}: sessions: name")
        entries.choice(new, sessions, f"{name}: sessions: {old}")
    entries.check_sources(read["sources"], (*read["family"], "day", "settlement_rule"), name)
    rule = entries.choice(read["settlement_rule"], ("DAY_VWAP", "WINDOW_VWAP"), f"{name}: settlement_rule")
    return Profile(name, read["family"], read["sessions"], _hub_day(read["day"], f"{name}: day"), SettlementRule[rule])


def _hub_day(content: object, name: str) -> HubDay:
    times = entries.read(
        content,
        {
            field: _maybe if field in ("begin_night", "limit_lock") else entries.clock
            for field in HubDay.__dataclass_fields__
        },
        name,
    )
    if not times["begin"] < times["window"] < times["settlement"] < times["end"]:
        raise EntryError(f"{name}: begin, window, settlement and end must follow each other")
    return HubDay(**times)


def _maybe(value: object) -> int | None:
    return None if value is None else entries.clock(value)


entries.BOUNDS[_maybe] = f"{entries.BOUNDS[entries.clock]}, or null"
