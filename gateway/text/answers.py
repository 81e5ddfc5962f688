"""Answers: results, errors and notifications as JSON, and rejections of the engine as errors.

result(id_text(request.id), '{"order_id":"12"}', received=now, sent=now)
raise rejection(event, scale)                # of a REJECTED event
"""

from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from gateway.text.reader import Id
from gateway.text.refusals import REASONS, Refused, refusal
from gateway.text.scale import Scale, date_text, fen
from gateway.text.words import OFFSET_FLAG, PHASE
from matching.codes import Reason
from matching.records import Event

_encoder = msgspec.json.Encoder(decimal_format="number")


def encode(value: Any) -> str:
    """Plain values as JSON. A Decimal becomes a number with exactly its digits."""
    return _encoder.encode(value).decode()


class _WithId(Struct):
    id: Id | UnsetType = UNSET


_id = msgspec.json.Decoder(_WithId)


def id_of_refused(frame: bytes | str) -> str:
    """The id, as JSON, of a frame that is not a valid request; null where it cannot be read."""
    try:
        return id_text(_id.decode(frame).id)
    except (ValueError, RecursionError):
        return "null"


def id_text(request_id: Id | UnsetType) -> str:
    """The id of a request as JSON."""
    return str(request_id) if type(request_id) is int else encode(None if request_id is UNSET else request_id)


def result(request_id: str, body: str, received: int, sent: int) -> bytes:
    """The answer to a request that was done. `request_id` and `body` are JSON; `received` and `sent` are ns."""
    received //= 1000
    sent //= 1000
    return (
        f'{{"jsonrpc":"2.0","id":{request_id},"result":{body},"usIn":{received},"usOut":{sent},'
        f'"usDiff":{sent - received},"testnet":true}}'
    ).encode()


def error(request_id: str, refused: Refused, received: int, sent: int) -> bytes:
    """The answer to a request that was refused."""
    received //= 1000
    sent //= 1000
    body = encode({"code": refused.code, "message": refused.message, "data": refused.data})
    return (
        f'{{"jsonrpc":"2.0","id":{request_id},"error":{body},"usIn":{received},"usOut":{sent},'
        f'"usDiff":{sent - received},"testnet":true}}'
    ).encode()


def notification(channel: str, data: str) -> bytes:
    """A message of a channel. `data` is JSON."""
    return f'{{"jsonrpc":"2.0","method":"subscription","params":{{"channel":"{channel}","data":{data}}}}}'.encode()


# Rejections ---------------------------------------------------------------------------------------


def rejection(event: Event, scale: Scale | None, field: str = "", unit: str = "") -> Refused:
    """The error of a REJECTED event, its numbers in the units that the client uses.

    scale          of the event's instrument; None: it has none
    field, unit    given where the parameter has another name or unit than the rule's own (refusals.REASONS)
    """
    reason = Reason(event.reason)
    value, bound = _numbers(reason, event, scale, unit or REASONS[reason].unit)
    text = f"order {value} is no open order on this side of the instrument" if field == "linked_order_id" else ""
    return refusal(reason, text, field=field, value=value, bound=bound, seq=event.sequence)


def _numbers(reason: Reason, event: Event, scale: Scale | None, unit: str) -> tuple[Any, Any]:
    """Value and bound of a REJECTED event in its unit. None: the reason has no such number."""
    value, bound = event.resting_leaves_quantity, event.resting_price
    if reason is Reason.DUPLICATE_CLIENT_ORDER_ID:
        return str(event.resting_order_id), None
    match unit:
        case "code":
            return value, None
        case "id":
            return str(value or event.order_id), None
        case "money":
            return fen(value), fen(bound)
        case "count":
            return value, bound
        case "date":
            return date_text(value), date_text(bound)
        case "phase":
            return PHASE.get(value, value), None if reason is Reason.ONLY_IN_AUCTION else PHASE.get(bound, bound)
        case "offset":
            return "+".join(name for name, flag in OFFSET_FLAG.items() if value & flag) or "none", None
        case "price" if scale is not None:
            return scale.decimal_price(value), scale.decimal_price(bound)
        case "amount" if scale is not None:
            return scale.decimal_amount(value), scale.decimal_amount(bound)
    return (value, None) if reason < Reason.HUB_KILLED else (None, None)
