"""Data files, read strictly: every field of an entry has the right type, none is missing and none is unknown.

    read({"code": "SC", "lot_size": "1000"}, {"code": text, "lot_size": size}, "family")

Numbers that money depends on are decimals in quotes: what stands in the file is what is meant. Every number says where it
is from: `sources` names for each field a grade and a source, and a field without one is refused.
"""

import datetime
import json
import pathlib
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any

GRADES = ("A", "B", "C", "GK", "DESIGN")  # official, press or mirror, note, general knowledge, this hub's own choice
_LARGEST_EXPONENT = 18


class EntryError(ValueError):
    """An entry that cannot be used: names the entry, the field, its value and the bound."""


def text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError
    return value


def decimal(value: object) -> Decimal:
    number = Decimal(text(value))
    if not number.is_finite() or abs(number.adjusted()) > _LARGEST_EXPONENT:
        raise ValueError
    return number


def size(value: object) -> Decimal:
    number = decimal(value)
    if number <= 0:
        raise ValueError
    return number


def share(value: object) -> int:
    """A share in 1/10,000."""
    return _millionths(value, 10_000)


def rate(value: object) -> int:
    """A share in 1/1,000,000."""
    return _millionths(value, 1_000_000)


def _millionths(value: object, scale: int) -> int:
    number = decimal(value) * scale
    if not 0 <= number <= scale or number != int(number):
        raise ValueError
    return int(number)


def whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError
    return value


def count(value: object) -> int:
    if whole(value) < 0:
        raise ValueError
    return whole(value)


def truth(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def date(value: object) -> datetime.date:
    return datetime.date.fromisoformat(text(value))


def clock(value: object) -> int:
    """Minutes after midnight. Hours beyond 24 are the next day's."""
    hours, minutes = text(value).split(":")
    if len(minutes) != 2 or not 0 <= int(hours) < 48 or not 0 <= int(minutes) < 60:
        raise ValueError
    return 60 * int(hours) + int(minutes)


def texts(value: object) -> tuple[str, ...]:
    return tuple(text(item) for item in entries(value))


def decimals(value: object) -> tuple[Decimal, ...]:
    return tuple(decimal(item) for item in entries(value))


def entries(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError
    return value


def table(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError
    return value


BOUNDS: dict[Callable[..., Any], str] = {
    text: "a text",
    decimal: "a decimal in quotes",
    size: "a decimal in quotes above 0",
    share: "a share from 0 to 1 in quotes, with at most 4 decimals",
    rate: "a share from 0 to 1 in quotes, with at most 6 decimals",
    whole: "a whole number",
    count: "a whole number, not negative",
    truth: "true or false",
    date: "a date such as 2026-12-31",
    clock: "a time such as 20:55, hours up to 47",
    texts: "a list of texts",
    decimals: "a list of decimals in quotes",
    entries: "a list",
    table: "an object",
}

Fields = Mapping[str, Callable[..., Any]]


def load(path: pathlib.Path) -> Any:
    """What a JSON file holds. Errors: EntryError, one line that names the file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_object)
    except OSError as error:
        raise EntryError(f"{path}: {error.strerror}") from None
    except EntryError as error:
        raise EntryError(f"{path.name}: {error}") from None
    except ValueError as error:  # no JSON, no UTF-8
        raise EntryError(f"{path.name}: {str(error).splitlines()[0]}") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A name that stands twice in an object would else lose its first value in silence."""
    read = dict(pairs)
    if len(read) < len(pairs):
        names = [name for name, _ in pairs]
        raise EntryError(f"{next(name for name in names if names.count(name) > 1)} stands twice in one object")
    return read


def read(entry: object, required: Fields, name: str, optional: Fields | None = None) -> dict[str, Any]:
    """The fields of an entry, converted; optional ones that are missing are left out.

    Errors    EntryError naming entry, field, value and bound
    """
    if not isinstance(entry, dict):
        raise EntryError(f"{name} is {entry!r}, must be an object")
    known = {**required, **(optional or {})}
    for field in entry:
        if field not in known:
            raise EntryError(f"{name}: {field} is unknown, must be one of {', '.join(known)}")
    found = {}
    for field, convert in known.items():
        if field in entry:
            found[field] = one(entry[field], convert, f"{name}: {field}")
        elif field in required:
            raise EntryError(f"{name}: {field} is missing")
    return found


def one(value: object, convert: Callable[..., Any], name: str) -> Any:
    """A single value. Errors: EntryError."""
    try:
        return convert(value)
    except (TypeError, ValueError, ArithmeticError):
        raise EntryError(f"{name} is {value!r}, must be {BOUNDS[convert]}") from None


def choice(value: object, allowed: Iterable[str], name: str) -> str:
    """A text that must be one of several. Errors: EntryError."""
    allowed = tuple(allowed)
    if value not in allowed:
        raise EntryError(f"{name} is {value!r}, must be one of {', '.join(allowed)}")
    return str(value)


def check_sources(sources: Mapping[str, object], fields: Iterable[str], name: str) -> None:
    """Every one of `fields` has a grade and a source, and nothing else has."""
    fields = tuple(fields)
    for field in fields:
        if field not in sources:
            raise EntryError(f"{name}: sources: {field} is missing: every number says where it is from")
    for field, source in sources.items():
        if field not in fields:
            raise EntryError(f"{name}: sources: {field} is unknown, must be one of {', '.join(fields)}")
        said = read(source, {"grade": text, "source": text}, f"{name}: sources: {field}")
        choice(said["grade"], GRADES, f"{name}: sources: {field}: grade")
