"""The binary layouts as an SBE-style XML schema, for clients in other languages, generated from the dtypes.

Types, enums, sets and field offsets are written as in Simple Binary Encoding 1.0, little-endian, so that SBE tools can
read them. Frames carry bare rows without SBE's message header: the direction of a frame says which message it is.

    python -m gateway.binary.schema > docs/schema/binary.xml
"""

from enum import IntEnum, IntFlag
from xml.sax.saxutils import quoteattr

import numpy as np

from matching import codes
from matching.records import COMMAND, EVENT

_PRIMITIVES = {"<i8": "int64", "<i4": "int32", "<u4": "uint32", "<u2": "uint16", "|u1": "uint8"}

# Fields whose values have names. The fields are plain integers: the book refuses numbers that are not listed.
_TYPES: dict[str, dict[str, type[IntEnum | IntFlag]]] = {
    "COMMAND": {
        "kind": codes.CommandKind,
        "side": codes.Side,
        "order_type": codes.OrderType,
        "time_in_force": codes.TimeInForce,
        "flags": codes.Flag,
    },
    "EVENT": {"kind": codes.EventKind, "side": codes.Side, "reason": codes.Reason, "flags": codes.Flag},
}


def schema() -> str:
    """The XML text."""
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        '<sbe:messageSchema xmlns:sbe="http://fixprotocol.io/2016/sbe" package="qiee.hub" id="1" version="1"',
        '                   byteOrder="littleEndian" description="Rows of /ws/bin/v1: a frame is 1 to 4096 rows, no header">',
        "  <types>",
        '    <type name="ClientOrderId" primitiveType="char" length="20" characterEncoding="US-ASCII"/>',
        *_codes(),
        "  </types>",
        *_message("COMMAND", 1, COMMAND, "what a member asks for"),
        *_message("EVENT", 2, EVENT, "what came of it"),
        "</sbe:messageSchema>",
    ]
    return "\n".join(lines) + "\n"


def _codes() -> list[str]:
    """Enums and sets, each with the width of the field that carries it."""
    lines = []
    widths = {
        names[field]: _PRIMITIVES[dtype[field].str]
        for (_, names), dtype in zip(_TYPES.items(), (COMMAND, EVENT), strict=True)
        for field in names
    }
    for members, width in widths.items():
        is_set = issubclass(members, IntFlag)
        tag, item = ("set", "choice") if is_set else ("enum", "validValue")
        lines.append(f'    <{tag} name="{members.__name__}" encodingType="{width}">')
        for member in members:
            value = member.value.bit_length() - 1 if is_set else member.value
            lines.append(f'      <{item} name="{member.name}">{value}</{item}>')
        lines.append(f"    </{tag}>")
    return lines


def _message(name: str, number: int, dtype: np.dtype, description: str) -> list[str]:
    head = f'name="{name}" id="{number}" blockLength="{dtype.itemsize}" description={quoteattr(description)}'
    lines = [f"  <sbe:message {head}>"]
    assert dtype.names is not None and dtype.fields is not None
    for index, field in enumerate(dtype.names, 1):
        layout, offset = dtype.fields[field][:2]
        named = _TYPES[name].get(field)
        kind = named.__name__ if named else "ClientOrderId" if layout.kind == "S" else _PRIMITIVES[layout.str]
        lines.append(f'    <field name="{field}" id="{index}" type="{kind}" offset="{offset}"/>')
    return [*lines, "  </sbe:message>"]


if __name__ == "__main__":
    print(schema(), end="")
