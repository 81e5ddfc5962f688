"""Requests, read strictly: the envelope of JSON-RPC, then the parameters of the method as a struct.

    request = decode(b'{"id":7,"method":"private/cancel","params":{"order_id":"12"}}')
    cancel = Reader(Cancel).read(request, frame)

Every field must be known, of its type, and given once. What is wrong is refused by the name of its field.
"""

import json
import re
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType
from msgspec.structs import astuple

from gateway.text.refusals import Refused, invalid

# Types of parameters that several rooms use.
Name = Annotated[str, Meta(max_length=64)]
Text = Annotated[str, Meta(max_length=256)]
Milliseconds = Annotated[int, Meta(ge=0, le=1 << 52)]
Id = Annotated[int, Meta(ge=-(1 << 63), le=(1 << 63) - 1)] | Annotated[str, Meta(max_length=64)] | None


class Request(Struct, forbid_unknown_fields=True, gc=False):
    """The envelope of a request. `params` is read when the method is known."""

    method: Annotated[str, Meta(max_length=64)]
    id: Id | UnsetType = UNSET
    params: Raw | UnsetType = UNSET
    jsonrpc: str | UnsetType = UNSET


_envelope = msgspec.json.Decoder(Request)
_NO_PARAMETERS = b"{}"


def decode(frame: bytes | str) -> Request:
    """The envelope of one request.

    Errors    Refused -32700 (not JSON) or -32600 (not a request), naming the field
    """
    try:
        request = _envelope.decode(frame)
    except msgspec.ValidationError as error:
        field, text, bound = _explain(str(error), Request)
        raise Refused(-32600, "Invalid Request", text, field=field, bound=bound) from None
    except RecursionError:
        raise Refused(-32700, "Parse error", "the request is nested too deep") from None
    except ValueError as error:
        raise Refused(-32700, "Parse error", _short(str(error))) from None
    if request.jsonrpc is not UNSET and request.jsonrpc != "2.0":
        raise Refused(-32600, "Invalid Request", "jsonrpc must be 2.0", field="jsonrpc", value=request.jsonrpc[:16])
    return request


class Reader:
    """Reads the parameters of one method into its struct."""

    __slots__ = ("struct", "_decoder", "_counts_fields")

    def __init__(self, struct_: type[Struct]) -> None:
        self.struct = struct_
        self._decoder = msgspec.json.Decoder(struct_)
        self._counts_fields = all(default is UNSET for default in struct_.__struct_defaults__)

    def read(self, request: Request, frame: bytes | str) -> Any:
        """The parameters of a request. `frame` is its whole text.

        Errors    Refused -32602 naming the field
        """
        raw = _NO_PARAMETERS if request.params is UNSET else request.params
        try:
            read = self._decoder.decode(raw)
        except msgspec.ValidationError as error:
            field, text, bound = _explain(str(error), self.struct)
            raise invalid(field, text, value=_value_of(raw, field), bound=bound, reason=_reason_of(text)) from None
        except RecursionError:
            raise invalid("params", "params: nested too deep") from None
        except ValueError as error:
            raise invalid("params", f"params: {_short(str(error))}") from None
        # Every key has a colon. With no more colons than fields that are set, no field was given twice.
        colons = frame.count(":") if isinstance(frame, str) else frame.count(b":")
        if not self._counts_fields or colons != _fields_set(request) + _fields_set(read):
            _refuse_repeated_fields(frame)
        return read


def _fields_set(read: Struct) -> int:
    values = astuple(read)
    return len(values) - values.count(UNSET)


def _refuse_repeated_fields(frame: bytes | str) -> None:
    """Search the whole frame for a field that is given twice: exact, and ten times slower than counting colons."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        for name in set(names):
            if names.count(name) > 1:
                raise invalid(name, f"{name} is given twice", reason="duplicate_field")
        return dict(pairs)

    json.loads(frame, object_pairs_hook=once)


_UNKNOWN_FIELD = re.compile(r"unknown field `(.*)`")
_MISSING_FIELD = re.compile(r"missing required field `(.*)`")
_AT = re.compile(r"(.*) - at `\$\.?(.*)`")
_OUT_OF_RANGE = re.compile(r"Expected `(\w+)` (of length )?([<>])= (-?\d+)")
_OF_ANOTHER_TYPE = re.compile(r"Expected `(.*)`, got `(\w+)`")
_TYPES = {
    "int": "a whole number",
    "float": "a number",
    "str": "a text",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}
_LENGTHS = {"str": "characters", "array": "entries"}


def _explain(message: str, struct_: type[Struct]) -> tuple[str, str, Any]:
    """(field, text, bound) of the decoder's message about a field of the struct."""
    if found := _UNKNOWN_FIELD.search(message):
        field = found[1][:64]
        return field, f"{field} is not a parameter here", None
    if found := _MISSING_FIELD.search(message):
        return found[1], f"{found[1]} is missing", None
    at = _AT.fullmatch(message)
    whole = "request" if struct_ is Request else "params"
    field, message = (at[2] or whole, at[1]) if at else (whole, message)
    if found := _OUT_OF_RANGE.fullmatch(message):
        end, bound = "least" if found[3] == ">" else "most", int(found[4])
        if found[2]:
            return field, f"{field} must have at {end} {bound} {_LENGTHS[found[1]]}", bound
        return field, f"{field} must be at {end} {bound}", bound
    if found := _OF_ANOTHER_TYPE.fullmatch(message):
        wanted = " or ".join(_TYPES.get(name.strip(), name) for name in found[1].split("|"))
        return field, f"{field} is {_TYPES.get(found[2], found[2])}, must be {wanted}", wanted
    if message.startswith("Invalid enum value") and (choices := _choices(struct_, field)):
        return field, f"{field} must be one of {', '.join(choices)}", ", ".join(choices)
    if "matching regex" in message:
        wanted = "a date such as 2026-12-31" if "[0-9]{4}-" in message else "printable ASCII"
        return field, f"{field} must be {wanted}", wanted
    return field, f"{field}: {_short(message[0].lower() + message[1:])}", None


def _choices(struct_: type[Struct], field: str) -> list[str]:
    """The values that a field may have, where its type lists them."""
    hint = get_type_hints(struct_).get(field)
    return [str(word) for part in (hint, *get_args(hint)) if get_origin(part) is Literal for word in get_args(part)]


def _reason_of(text: str) -> str:
    if text.endswith("not a parameter here"):
        return "unknown_field"
    return "value_required" if text.endswith("is missing") else "invalid_value"


def _value_of(raw: Raw | bytes, field: str) -> Any:
    """The value that was given for the field, where it is short enough to send back."""
    try:
        value = msgspec.json.decode(raw).get(field)
    except (ValueError, RecursionError, AttributeError):
        return None
    return value[:64] if isinstance(value, str) else value if isinstance(value, bool | int | float) else None


def _short(text: str) -> str:
    return text if len(text) <= 160 else text[:157] + "..."
