"""Documented models of the most used parameters, in pydantic: for OpenAPI and for readers.

The hub itself reads with the structs of requests.py, which are ten times faster. A test gives both the same messages and
checks that they accept and refuse the same ones.

    Enter.model_json_schema()
"""

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, StrictInt, StrictStr

from gateway.text.words import OrderTypeWord


def _plain(value: Any) -> Any:
    """A number, or a text that holds a plain decimal: no exponent, sign, space or underscore that Decimal would take."""
    if isinstance(value, str):
        digits = value.removeprefix("-")
        whole, point, fraction = digits.partition(".")
        if not (whole.isascii() and whole.isdigit() and len(whole) <= 24) or (
            point and not (fraction.isascii() and fraction.isdigit() and len(fraction) <= 24)
        ):
            raise ValueError("not a plain decimal")
    elif isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise ValueError("not a number")
    return value


def _ascii(value: str) -> str:
    if any(not " " <= character <= "~" for character in value):
        raise ValueError("not printable ASCII")
    return value


Number = Annotated[
    Decimal,
    BeforeValidator(_plain),
    Field(allow_inf_nan=False, gt=-(10**24), lt=10**24, description="number, or decimal as text"),
]
Tag = Annotated[StrictStr, Field(min_length=1, max_length=20), AfterValidator(_ascii)]
Name = Annotated[StrictStr, Field(max_length=64)]
OrderId = Annotated[StrictStr, Field(min_length=1, max_length=20)] | Annotated[StrictInt, Field(ge=1, le=(1 << 63) - 1)]
Date = Annotated[StrictStr, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")]
AccountName = Name | Annotated[StrictInt, Field(ge=0, le=(1 << 31) - 1)]
_ABSENT: Any = None  # may be left out, may not be null


class Enter(BaseModel):
    """private/buy and private/sell."""

    model_config = ConfigDict(extra="forbid")

    instrument_name: Name
    amount: Number = Field(description="units, a multiple of contract_size")
    price: Number = Field(
        default=_ABSENT, description="currency per unit, a multiple of tick_size; of limit and stop_limit"
    )
    type: OrderTypeWord = "limit"
    trigger_price: Number = Field(default=_ABSENT, description="of stops: last price at which they enter the market")
    trigger: Literal["last_price"] = "last_price"
    time_in_force: Literal[
        "good_til_cancelled",
        "good_til_day",
        "good_til_date",
        "good_for_session",
        "at_the_opening",
        "immediate_or_cancel",
        "fill_or_kill",
    ] = "good_til_cancelled"
    expire_date: Date = Field(default=_ABSENT, description="of good_til_date: YYYY-MM-DD, the last trading day")
    display_amount: Number = Field(default=_ABSENT, description="iceberg: what is shown at a time; default: all")
    minimum_amount: Number = Field(
        default=_ABSENT,
        description="immediate_or_cancel: at least so much at once; an offer: the least that may be taken",
    )
    linked_order_id: OrderId = Field(
        default=_ABSENT, description="one cancels the other: an open order of the same side"
    )
    offset: Literal["open", "close", "close_today"] = Field(
        default=_ABSENT, description="where the instrument keeps long and short apart"
    )
    counterparty: AccountName = Field(
        default=_ABSENT, description="name or number of the account that an offer is made to"
    )
    client_order_id: Tag = Field(
        default=_ABSENT, description="unique per account and trading day: makes sending again safe"
    )
    label: Tag = Field(default=_ABSENT, description="a free tag")
    post_only: StrictBool = False
    reject_post_only: StrictBool = True
    reduce_only: StrictBool = False
    self_match: Literal["cancel_incoming", "cancel_resting", "cancel_both"] = Field(
        default=_ABSENT, description="self-match prevention; default: the account's"
    )


class Take(BaseModel):
    """private/take."""

    model_config = ConfigDict(extra="forbid")

    order_id: OrderId
    amount: Number
    client_order_id: Tag = _ABSENT
    label: Tag = _ABSENT


class Edit(BaseModel):
    """private/edit."""

    model_config = ConfigDict(extra="forbid")

    order_id: OrderId
    amount: Number = Field(default=_ABSENT, description="new total, what has filled included")
    price: Number = _ABSENT
    trigger_price: Number = Field(default=_ABSENT, description="of a stop that waits")
    post_only: StrictBool = False
    reject_post_only: StrictBool = True


class Cancel(BaseModel):
    """private/cancel."""

    model_config = ConfigDict(extra="forbid")

    order_id: OrderId


DOCUMENTED: dict[str, type[BaseModel]] = {
    "private/buy": Enter,
    "private/sell": Enter,
    "private/edit": Edit,
    "private/cancel": Cancel,
    "private/take": Take,
}
