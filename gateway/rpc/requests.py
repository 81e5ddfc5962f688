"""The parameters of the methods, as strict structs: a field that is not listed here is refused by name.

Only the form is checked here. What an instrument or an order is, the methods know. The structs of order methods have no
default but UNSET (not given): only then can Reader.read see cheaply that no field was given twice.

    Reader(Enter).read(request, frame).instrument_name
"""

from typing import Annotated, Any, Literal, get_args, get_type_hints

from msgspec import UNSET, Meta, Raw, Struct, UnsetType, ValidationError, convert

from gateway.text.reader import Milliseconds, Name, Text
from gateway.text.refusals import invalid
from gateway.text.words import OpenOrdersWord, OrderTypeWord

Tag = Annotated[str, Meta(min_length=1, max_length=20, pattern=r"^[ -~]*\Z")]
OrderId = Annotated[int, Meta(ge=1, le=(1 << 63) - 1)] | Annotated[str, Meta(min_length=1, max_length=20)]
Number = Raw  # a JSON number or a text, kept exact: scale.decimal
Date = Annotated[str, Meta(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")]
AccountName = Annotated[int, Meta(ge=0, le=(1 << 31) - 1)] | Name  # an account's number or its name
Count = Annotated[int, Meta(ge=1, le=1000)]
Channels = Annotated[list[Annotated[str, Meta(max_length=128)]], Meta(min_length=1, max_length=500)]
Kind = Literal["any", "all", "future", "option", "spot", "future_combo", "option_combo", "combo"]
KINDS = get_args(Kind)
TimeInForce = Literal[
    "good_til_cancelled",
    "good_til_day",
    "good_til_date",
    "good_for_session",
    "at_the_opening",
    "immediate_or_cancel",
    "fill_or_kill",
]
Sorting = Literal["asc", "desc", "default"]


class Nothing(Struct, forbid_unknown_fields=True, gc=False):
    pass


class Test(Struct, forbid_unknown_fields=True):
    expected_result: Literal["exception"] | UnsetType = UNSET


class Hello(Struct, forbid_unknown_fields=True):
    client_name: Name
    client_version: Name


class GetInstruments(Struct, forbid_unknown_fields=True):
    currency: Name = "any"
    kind: Kind = "any"
    expired: bool = False
    include_spots: bool = False


class OneInstrument(Struct, forbid_unknown_fields=True):
    instrument_name: Name


class GetOrderBook(Struct, forbid_unknown_fields=True):
    instrument_name: Name
    depth: Count = 20


class GetTrades(Struct, forbid_unknown_fields=True):
    instrument_name: Name
    count: Count = 10
    start_seq: Milliseconds = 0
    end_seq: Milliseconds = 1 << 52
    start_timestamp: Milliseconds = 0
    end_timestamp: Milliseconds = 1 << 52
    include_old: bool = False
    sorting: Sorting = "default"
    historical: bool = False


class SetHeartbeat(Struct, forbid_unknown_fields=True):
    interval: Annotated[int, Meta(ge=1, le=3600)]


class Subscribe(Struct, forbid_unknown_fields=True):
    channels: Channels
    label: Text = ""


class Enter(Struct, forbid_unknown_fields=True, gc=False):
    """buy and sell."""

    instrument_name: Name
    amount: Number
    price: Number | UnsetType = UNSET
    type: OrderTypeWord | UnsetType = UNSET
    trigger_price: Number | UnsetType = UNSET
    trigger: Literal["last_price"] | UnsetType = UNSET
    time_in_force: TimeInForce | UnsetType = UNSET
    expire_date: Date | UnsetType = UNSET
    display_amount: Number | UnsetType = UNSET
    minimum_amount: Number | UnsetType = UNSET
    linked_order_id: OrderId | UnsetType = UNSET
    offset: Literal["open", "close", "close_today"] | UnsetType = UNSET
    counterparty: AccountName | UnsetType = UNSET
    client_order_id: Tag | UnsetType = UNSET
    label: Tag | UnsetType = UNSET
    post_only: bool | UnsetType = UNSET
    reject_post_only: bool | UnsetType = UNSET
    reduce_only: bool | UnsetType = UNSET
    self_match: Literal["cancel_incoming", "cancel_resting", "cancel_both"] | UnsetType = UNSET


class Take(Struct, forbid_unknown_fields=True, gc=False):
    """take: trade with a posted offer."""

    order_id: OrderId
    amount: Number
    client_order_id: Tag | UnsetType = UNSET
    label: Tag | UnsetType = UNSET


class Edit(Struct, forbid_unknown_fields=True, gc=False):
    order_id: OrderId
    amount: Number | UnsetType = UNSET
    price: Number | UnsetType = UNSET
    trigger_price: Number | UnsetType = UNSET
    post_only: bool | UnsetType = UNSET
    reject_post_only: bool | UnsetType = UNSET


class EditByLabel(Struct, forbid_unknown_fields=True, gc=False):
    label: Tag
    instrument_name: Name
    amount: Number | UnsetType = UNSET
    price: Number | UnsetType = UNSET
    trigger_price: Number | UnsetType = UNSET
    post_only: bool | UnsetType = UNSET
    reject_post_only: bool | UnsetType = UNSET


class Cancel(Struct, forbid_unknown_fields=True, gc=False):
    order_id: OrderId


class OneOrder(Struct, forbid_unknown_fields=True):
    order_id: OrderId


class OrderTrades(Struct, forbid_unknown_fields=True):
    order_id: OrderId
    count: Count = 1000
    sorting: Sorting = "default"
    historical: bool = False


class ByLabel(Struct, forbid_unknown_fields=True):
    label: Tag
    currency: Name = "any"


class ByInstrument(Struct, forbid_unknown_fields=True):
    """Orders of one instrument."""

    instrument_name: Name
    type: OpenOrdersWord = "all"
    kind: Kind = "any"
    include_combos: bool = False
    detailed: Literal[False] = False


class ByCurrency(Struct, forbid_unknown_fields=True):
    """Orders or positions of a currency or a product."""

    currency: Name = "any"
    kind: Kind = "any"
    type: OpenOrdersWord = "all"
    detailed: Literal[False] = False


class HistoryByInstrument(Struct, forbid_unknown_fields=True):
    instrument_name: Name
    count: Count = 20
    offset: Annotated[int, Meta(ge=0, le=1 << 20)] = 0
    include_old: bool = False
    include_unfilled: bool = True


class HistoryByCurrency(Struct, forbid_unknown_fields=True):
    currency: Name = "any"
    kind: Kind = "any"
    count: Count = 20
    offset: Annotated[int, Meta(ge=0, le=1 << 20)] = 0
    include_old: bool = False
    include_unfilled: bool = True


class UserTradesByCurrency(Struct, forbid_unknown_fields=True):
    currency: Name = "any"
    kind: Kind = "any"
    count: Count = 10
    start_timestamp: Milliseconds = 0
    end_timestamp: Milliseconds = 1 << 52
    include_old: bool = False
    sorting: Sorting = "default"
    historical: bool = False


class Summary(Struct, forbid_unknown_fields=True):
    currency: Name = "any"
    extended: bool = False


class Scope(Struct, forbid_unknown_fields=True):
    """Cancel on disconnect."""

    scope: Literal["connection", "account"] = "connection"


class Settlements(Struct, forbid_unknown_fields=True):
    instrument_name: Name
    type: Literal["settlement", "delivery", "bankruptcy"] | UnsetType = UNSET
    count: Count = 20
    continuation: Name = ""
    search_start_timestamp: Milliseconds = 1 << 52


class Statement(Struct, forbid_unknown_fields=True):
    format: Literal["json", "csv", "html"] = "json"
    date: Date | UnsetType = UNSET


class OperatorStatement(Struct, forbid_unknown_fields=True):
    """Of an account, or of the whole hub."""

    account: AccountName = "any"
    format: Literal["json", "csv", "html"] = "json"
    date: Date | UnsetType = UNSET


class SetProtection(Struct, forbid_unknown_fields=True):
    """Market-maker protection, of the account."""

    index_name: Literal["any"]
    interval: Annotated[int, Meta(ge=0, le=86_400)]
    frozen_time: Literal[0] = 0
    quantity_limit: Annotated[int, Meta(ge=0, le=1 << 40)] = 0


class Protection(Struct, forbid_unknown_fields=True):
    index_name: Literal["any"] = "any"


# Operators


class SetPhase(Struct, forbid_unknown_fields=True):
    instrument_name: Name
    phase: Literal[
        "closed",
        "continuous",
        "halted",
        "call_auction",
        "auction_match",
        "break",
        "limit_locked",
        "closing",
        "settlement",
        "unlisted",
        "expired",
        "auction_entry_only",
    ]


class Halt(Struct, forbid_unknown_fields=True):
    instrument_name: Name = "any"


class Resume(Struct, forbid_unknown_fields=True):
    instrument_name: Name = "any"
    phase: Literal["continuous", "call_auction", "auction_entry_only", "break"] = "continuous"


class KillSwitch(Struct, forbid_unknown_fields=True):
    scope: Literal["hub", "firm", "account", "instrument"]
    on: bool
    firm: Annotated[int, Meta(ge=0, le=(1 << 31) - 1)] | UnsetType = UNSET
    account: AccountName | UnsetType = UNSET
    instrument_name: Name | UnsetType = UNSET


class SetLimit(Struct, forbid_unknown_fields=True):
    limit: Name
    value: Annotated[int, Meta(ge=-(1 << 63), le=(1 << 63) - 1)]
    account: AccountName | UnsetType = UNSET
    instrument_name: Name | UnsetType = UNSET


class Cash(Struct, forbid_unknown_fields=True):
    account: AccountName
    amount: Number


class MassCancel(Struct, forbid_unknown_fields=True):
    account: AccountName = "any"
    instrument_name: Name = "any"
    direction: Literal["buy", "sell"] | UnsetType = UNSET


class BeginDay(Struct, forbid_unknown_fields=True):
    date: Date


class ListInstrument(Struct, forbid_unknown_fields=True):
    instrument_name: Name
    reference_price: Number


class Settle(Struct, forbid_unknown_fields=True):
    instrument_name: Name
    rule: Literal["day_vwap", "window_vwap", "given"] = "day_vwap"
    price: Number | UnsetType = UNSET


class Liquidate(Struct, forbid_unknown_fields=True):
    account: AccountName
    instrument_name: Name


class ForAccount(Struct, forbid_unknown_fields=True):
    account: AccountName = "any"


class Logout(Struct, forbid_unknown_fields=True):
    invalidate_token: bool = True


def order_number(order_id: int | str, field: str = "order_id") -> int:
    """The number in an order id. Errors: Refused naming the field."""
    if isinstance(order_id, int):
        return order_id
    if not (order_id.isascii() and order_id.isdigit() and len(order_id) < 19):
        raise invalid(field, f"{field}: {order_id} is not the id of an order", value=order_id)
    return int(order_id)


def from_query(struct_: type[Struct], pairs: list[tuple[str, str]]) -> dict[str, Any]:
    """The parameters of a query string, whose values are all texts, as the JSON values that the struct expects.

    A value that cannot be converted stays a text: the struct refuses it.

    Errors    Refused -32602 naming a field that is given twice
    """
    types = get_type_hints(struct_, include_extras=True)
    values: dict[str, Any] = {}
    for name, text in pairs:
        if name in values:
            raise invalid(name, f"{name} is given twice", reason="duplicate_field")
        expected = types.get(name)
        stays_text = expected is None or expected is Number or Number in get_args(expected)
        values[name] = text if stays_text else _value(expected, text)
    return values


def _value(expected: Any, text: str) -> Any:
    try:
        return convert(text, expected, strict=False)
    except ValidationError:
        return text
