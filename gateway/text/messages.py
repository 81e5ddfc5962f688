"""Wire messages <-> rows: reading JSON-RPC strictly, exact decimals, refusals with their text, answers.

It knows texts and rows, but neither sessions nor the state of any order: parameters of the methods are in requests.py,
orders and trades as clients see them in reports.py.

    request = decode(b'{"id":7,"method":"private/cancel","params":{"order_id":"12"}}')
    cancel = Reader(Cancel).read(request, frame)
    result(id_text(request.id), '{"order_id":"12"}', received=now, sent=now)

A refusal is the exception Refused: code, message and data as they travel. REASONS says for each rule of the engine how
it is told: Deribit's code and message where that venue has one, the field to change, the FIX code, a text.

Numbers of orders (price, amount) stay raw text until the instrument is known; Scale then turns them into ticks and lots
through exchange/units.py, and remembers what it has seen: prices of one instrument are few.
"""

import datetime
import json
import re
import struct
from collections.abc import Iterator
from decimal import Context, Decimal
from typing import Annotated, Any, Literal, NamedTuple, SupportsInt, get_args, get_origin, get_type_hints

import msgspec
import numpy as np
from msgspec import UNSET, Meta, Raw, Struct, UnsetType
from msgspec.structs import astuple

from exchange.catalogue.calendar import yyyymmdd
from exchange.instruments import Instrument
from exchange.units import TooLarge, amount_to_lots, lots_to_amount, price_to_ticks, ticks_to_price
from matching.codes import Flag, Phase, Reason, Side
from matching.records import COMMAND, EVENT, Command, Event

# Refusals -----------------------------------------------------------------------------------------


class Fix(NamedTuple):
    """A reason in FIX: tag 103 OrdRejReason, 378 ExecRestatementReason or 380 BusinessRejectReason."""

    tag: int
    value: int


_OTHER = Fix(380, 0)


class Told(NamedTuple):
    """How one Reason is told to clients."""

    code: int
    message: str
    field: str
    fix: Fix
    text: str  # {value} and {bound} in the unit of the field


REASONS: dict[Reason, Told] = {
    Reason.NONE: Told(0, "none", "", Fix(103, 99), "no reason"),
    Reason.UNKNOWN_KIND: Told(11050, "bad_request", "kind", Fix(380, 3), "kind {value} is not a command"),
    Reason.UNKNOWN_INSTRUMENT: Told(
        13020, "not_found", "instrument_name", Fix(103, 1), "instrument {value} is unknown"
    ),
    Reason.UNKNOWN_ACCOUNT: Told(13007, "user_not_found", "account", Fix(103, 15), "account {value} is unknown"),
    Reason.INVALID_SIDE: Told(11043, "bad_argument", "direction", Fix(103, 99), "side is {value}, must be buy or sell"),
    Reason.INVALID_ORDER_TYPE: Told(
        11043, "bad_argument", "type", Fix(103, 11), "type {value} is unknown, must be 1 market, 2 limit, 3 or 4 stop"
    ),
    Reason.INVALID_TIME_IN_FORCE: Told(
        11043, "bad_argument", "time_in_force", Fix(103, 11), "time in force {value} is unknown"
    ),
    Reason.INVALID_FLAGS: Told(
        11047,
        "unsupported_arg_combination",
        "post_only",
        Fix(103, 11),
        "post_only needs a limit order that may rest, and only one self_match mode may be given (flags {value})",
    ),
    Reason.INVALID_QUANTITY: Told(
        10021, "invalid_amount", "amount", Fix(103, 13), "amount is {value}; the nearest allowed is {bound}"
    ),
    Reason.INVALID_VALUE: Told(
        11043, "bad_argument", "value", Fix(380, 0), "value {value} is out of range; the nearest allowed is {bound}"
    ),
    Reason.INVALID_TRIGGER_PRICE: Told(
        11036,
        "invalid_trigger_price",
        "trigger_price",
        Fix(103, 11),
        "trigger_price is {value}; only stop orders that wait have one",
    ),
    Reason.INVALID_DISPLAY_QUANTITY: Told(
        10036,
        "invalid_max_show_amount",
        "display_amount",
        Fix(103, 13),
        "display_amount is {value}; the nearest that this order may have is {bound} (0: none)",
    ),
    Reason.INVALID_MINIMUM_QUANTITY: Told(
        10021,
        "invalid_amount",
        "minimum_amount",
        Fix(103, 13),
        "minimum_amount is {value}; the nearest that this order may have is {bound} (0: none)",
    ),
    Reason.INVALID_EXPIRE_DATE: Told(
        11043,
        "bad_argument",
        "expire_date",
        Fix(103, 11),
        "expire_date is {value}; the first that this order may have is {bound}",
    ),
    Reason.INVALID_OFFSET: Told(
        11047,
        "unsupported_arg_combination",
        "offset",
        Fix(103, 11),
        "offset is {value}; where an instrument has it, it must be one of open, close and close_today (which ends with the day: "
        "neither good_til_cancelled nor good_til_date), elsewhere none",
    ),
    Reason.INVALID_COUNTERPARTY: Told(
        11043,
        "bad_argument",
        "counterparty",
        Fix(103, 15),
        "counterparty {value} cannot be: a negotiated offer needs another account, other orders none",
    ),
    Reason.INVALID_LINK: Told(
        11047,
        "unsupported_arg_combination",
        "linked_order_id",
        Fix(103, 11),
        "order {value} cannot be linked with this one: only orders that may rest can",
    ),
    Reason.HUB_KILLED: Told(
        10019, "locked_by_admin", "", Fix(103, 0), "trading is stopped by the operator; cancels are accepted"
    ),
    Reason.INSTRUMENT_KILLED: Told(
        10019,
        "locked_by_admin",
        "instrument_name",
        Fix(103, 0),
        "the instrument is stopped by the operator; cancels are accepted",
    ),
    Reason.FIRM_KILLED: Told(
        13002, "account_blocked", "account", Fix(103, 0), "the firm is stopped by the operator; cancels are accepted"
    ),
    Reason.ACCOUNT_KILLED: Told(
        13002, "account_blocked", "account", Fix(103, 0), "the account is stopped by the operator; cancels are accepted"
    ),
    Reason.ACCOUNT_DISABLED: Told(13002, "account_blocked", "account", Fix(103, 15), "the account is not enabled"),
    Reason.INSTRUMENT_CLOSED: Told(
        10012, "book_closed", "instrument_name", Fix(103, 2), "the instrument is closed for trading"
    ),
    Reason.INSTRUMENT_HALTED: Told(
        10012, "book_closed", "instrument_name", Fix(103, 2), "the instrument is halted; cancels are accepted"
    ),
    Reason.INSTRUMENT_UNLISTED: Told(
        10012, "book_closed", "instrument_name", Fix(103, 2), "the instrument is not listed yet"
    ),
    Reason.INSTRUMENT_EXPIRED: Told(10012, "book_closed", "instrument_name", Fix(103, 2), "the instrument has expired"),
    Reason.AUCTION_MATCHING: Told(
        10012,
        "book_closed",
        "instrument_name",
        Fix(103, 2),
        "the call auction has traded; nothing is accepted until trading begins",
    ),
    Reason.INSTRUMENT_BREAK: Told(
        10012, "book_closed", "instrument_name", Fix(103, 2), "the instrument is in a break; cancels are accepted"
    ),
    Reason.INSTRUMENT_CLOSING: Told(
        10012, "book_closed", "instrument_name", Fix(103, 2), "trading has ended for the day; cancels are accepted"
    ),
    Reason.INSTRUMENT_SETTLING: Told(
        10041, "settlement_in_progress", "instrument_name", Fix(103, 2), "the instrument is being settled"
    ),
    Reason.NOT_IN_AUCTION: Told(
        11047,
        "unsupported_arg_combination",
        "type",
        Fix(103, 11),
        "a call auction takes limit orders that rest or are at_the_opening, and stops; none of them post_only",
    ),
    Reason.ONLY_IN_AUCTION: Told(
        11047,
        "unsupported_arg_combination",
        "time_in_force",
        Fix(103, 11),
        "at_the_opening orders are taken in a call auction only; the instrument is in {value}",
    ),
    Reason.PHASE_TRANSITION: Told(
        11043, "bad_argument", "phase", Fix(380, 0), "the instrument is in {value}; no way leads from there to {bound}"
    ),
    Reason.NOT_LIMIT_LOCKED: Told(
        11043,
        "bad_argument",
        "phase",
        Fix(380, 0),
        "the instrument is not limit-locked: both sides have orders, or the best one is not at the day's limit",
    ),
    Reason.WRONG_MECHANISM: Told(
        10031,
        "invalid_args_for_instrument",
        "instrument_name",
        Fix(103, 11),
        "the instrument does not trade in this way",
    ),
    Reason.PROTECTION_TRIPPED: Told(
        14219,
        "protection_tripped",
        "",
        Fix(103, 0),
        "market-maker protection was triggered by {value} lots, its limit is {bound}; private/reset_mmp ends it",
    ),
    Reason.ENTRY_ONLY: Told(
        14220,
        "entry_only",
        "instrument_name",
        Fix(103, 99),
        "the call auction takes new orders only; orders can be neither canceled nor amended until it has traded",
    ),
    Reason.UNKNOWN_ORDER: Told(10004, "order_not_found", "order_id", Fix(103, 5), "order {value} is not open"),
    Reason.ALREADY_LINKED: Told(
        14302, "already_linked", "linked_order_id", Fix(103, 99), "order {value} is linked with another one already"
    ),
    Reason.IRREVOCABLE: Told(14303, "irrevocable", "order_id", Fix(103, 99), "a bid in a one-sided auction stays"),
    Reason.NOT_COUNTERPARTY: Told(
        14304, "not_counterparty", "order_id", Fix(103, 99), "the offer is made to somebody else, or is one's own"
    ),
    Reason.OFFER_EXISTS: Told(
        14305,
        "offer_exists",
        "direction",
        Fix(103, 99),
        "the auction has its offer already; others bid on the other side",
    ),
    Reason.NO_OFFER: Told(
        14306, "no_offer", "instrument_name", Fix(103, 99), "nobody has made the offer of this auction yet"
    ),
    Reason.AUCTION_OVER: Told(
        14307, "auction_over", "instrument_name", Fix(103, 2), "the auction's countdown has ended"
    ),
    Reason.PRICE_OFF_TICK: Told(
        10043, "price_wrong_tick", "price", Fix(103, 18), "price {value} is not a multiple of {bound}"
    ),
    Reason.QUANTITY_BELOW_MINIMUM: Told(
        10002, "qty_too_low", "amount", Fix(103, 13), "amount {value} is below the smallest order, {bound}"
    ),
    Reason.QUANTITY_OFF_LOT: Told(
        10021, "invalid_amount", "amount", Fix(103, 13), "amount {value} is not a multiple of {bound}"
    ),
    Reason.PRICE_BELOW_BAND: Told(
        10005, "price_too_low", "price", Fix(103, 16), "price {value} is below the lowest price of the day, {bound}"
    ),
    Reason.PRICE_ABOVE_BAND: Told(
        10007, "price_too_high", "price", Fix(103, 16), "price {value} is above the highest price of the day, {bound}"
    ),
    Reason.PRICE_OUTSIDE_COLLAR: Told(
        10011,
        "price_not_allowed",
        "price",
        Fix(103, 16),
        "price {value} is too far from the last trade; the collar ends at {bound}",
    ),
    Reason.MAX_ORDER_QUANTITY: Told(
        10021, "invalid_amount", "amount", Fix(103, 26), "amount {value} is above the largest order, {bound}"
    ),
    Reason.MAX_ORDER_NOTIONAL: Told(
        10021, "invalid_amount", "amount", Fix(103, 27), "the order's value {value} is above the largest, {bound}"
    ),
    Reason.TRIGGER_REACHED: Told(
        11036,
        "invalid_trigger_price",
        "trigger_price",
        Fix(103, 99),
        "trigger_price {value} is reached already: the last price is {bound}",
    ),
    Reason.TRIGGER_BELOW_BAND: Told(
        10035,
        "trigger_price_too_low",
        "trigger_price",
        Fix(103, 16),
        "trigger_price {value} is below the lowest price of the day, {bound}",
    ),
    Reason.TRIGGER_ABOVE_BAND: Told(
        10034,
        "trigger_price_too_high",
        "trigger_price",
        Fix(103, 16),
        "trigger_price {value} is above the highest price of the day, {bound}",
    ),
    Reason.PRICE_BEYOND_RESERVE: Told(
        10011, "price_not_allowed", "price", Fix(103, 16), "price {value} is worse than the auction asks for, {bound}"
    ),
    Reason.MESSAGE_RATE: Told(
        10028, "too_many_requests", "", Fix(380, 8), "the account sends more orders than its limit of messages allows"
    ),
    Reason.DUPLICATE_CLIENT_ORDER_ID: Told(
        14502,
        "duplicate_client_order_id",
        "client_order_id",
        Fix(103, 6),
        "the client_order_id is taken today by order {value}, which differs from this one",
    ),
    Reason.CLIENT_ORDER_ID_CAPACITY: Told(
        14503,
        "client_order_id_capacity",
        "client_order_id",
        Fix(103, 0),
        "the hub's memory for client order ids is full until the end of the day; send a label instead",
    ),
    Reason.MAX_OPEN_ORDERS: Told(
        10013,
        "max_total_open_orders",
        "",
        Fix(103, 3),
        "the account would have {value} open orders, its limit is {bound}",
    ),
    Reason.REDUCE_ONLY_WOULD_INCREASE: Told(
        14505,
        "reduce_only_would_increase",
        "reduce_only",
        Fix(103, 99),
        "with its open orders the position could become {value} instead of smaller",
    ),
    Reason.MAX_LONG: Told(
        10018,
        "max_future_position_size",
        "amount",
        Fix(103, 3),
        "the long position could become {value}, the limit is {bound}",
    ),
    Reason.MAX_SHORT: Told(
        10018,
        "max_future_position_size",
        "amount",
        Fix(103, 3),
        "the short position could become {value}, the limit is {bound}",
    ),
    Reason.CREDIT: Told(
        10009, "not_enough_funds", "amount", Fix(103, 25), "margin of {value} would be needed, the equity is {bound}"
    ),
    Reason.MARGIN_CALLED: Told(
        14509,
        "margin_called",
        "amount",
        Fix(103, 25),
        "the account's margin is called: only orders that reduce are accepted, this one could make {value} of {bound}",
    ),
    Reason.CLOSE_EXCEEDS_POSITION: Told(
        14510, "close_exceeds_position", "amount", Fix(103, 3), "{value} would be closed, only {bound} may be"
    ),
    Reason.OPENING_CAP: Told(
        14511, "opening_cap", "amount", Fix(103, 3), "{value} would be opened today, the limit of a day is {bound}"
    ),
    Reason.BOOK_FULL: Told(
        10047, "matching_engine_queue_full", "", Fix(103, 0), "the hub holds as many open orders as it can, {bound}"
    ),
    Reason.POST_ONLY_WOULD_TRADE: Told(
        11054, "post_only_reject", "post_only", Fix(103, 99), "a post_only order would have met the price {bound}"
    ),
    Reason.IOC_REMAINDER: Told(
        14701, "ioc_remainder", "time_in_force", Fix(378, 8), "what did not trade at once was canceled"
    ),
    Reason.FOK_NOT_FILLED: Told(
        14702, "fok_not_filled", "time_in_force", Fix(378, 8), "it could not trade in full at once"
    ),
    Reason.SELF_MATCH_INCOMING: Told(
        14703, "self_match_incoming", "self_match", Fix(378, 18), "canceled rather than trade with its own group"
    ),
    Reason.SELF_MATCH_RESTING: Told(
        14704, "self_match_resting", "self_match", Fix(378, 19), "canceled rather than trade with its own group"
    ),
    Reason.MASS_CANCEL: Told(14705, "mass_cancel", "", Fix(378, 99), "canceled with all others"),
    Reason.DAY_ENDED: Told(14706, "day_ended", "time_in_force", Fix(378, 8), "the trading day has ended"),
    Reason.AMENDED_TO_FILLED: Told(
        14707, "amended_to_filled", "amount", Fix(378, 5), "the new amount is not more than what has filled"
    ),
    Reason.OUTSIDE_DAILY_LIMITS: Told(
        14708, "outside_daily_limits", "price", Fix(378, 15), "its price is outside the limits of the next day"
    ),
    Reason.LINKED: Told(
        14709, "linked", "linked_order_id", Fix(378, 8), "the order that it was linked with has traded or was triggered"
    ),
    Reason.MINIMUM_NOT_AVAILABLE: Told(
        14710, "minimum_not_available", "minimum_amount", Fix(378, 8), "the minimum could not trade at once"
    ),
    Reason.DATE_REACHED: Told(14711, "date_reached", "expire_date", Fix(378, 8), "its date has come"),
    Reason.AUCTION_ENDED: Told(14712, "auction_ended", "time_in_force", Fix(378, 8), "the call auction has traded"),
    Reason.SESSION_ENDED: Told(14713, "session_ended", "time_in_force", Fix(378, 8), "the trading session has ended"),
    Reason.PROTECTION: Told(14714, "protection", "", Fix(378, 8), "market-maker protection was triggered"),
    Reason.LIQUIDATION: Told(14715, "liquidation", "", Fix(378, 8), "the operator liquidates the position"),
    Reason.INSTRUMENT_EXPIRY: Told(
        14716, "instrument_expiry", "instrument_name", Fix(378, 8), "the instrument has expired"
    ),
    Reason.VELOCITY: Told(
        14801, "velocity", "price", Fix(378, 6), "prices moved too fast: the circuit breaker began a call auction"
    ),
    Reason.CASCADE: Told(14802, "cascade", "", Fix(378, 6), "too many stop orders at once: a call auction began"),
    Reason.LIMIT_LOCK: Told(
        14803, "limit_lock", "", Fix(378, 8), "the instrument is no longer locked at its daily limit"
    ),
}

# What the two numbers of a REJECTED event count, for those reasons that have numbers. Others give their value as it is, up
# to INVALID_LINK, or none.
_UNITS: dict[Reason, str] = {
    Reason.INVALID_QUANTITY: "amount",
    Reason.INVALID_TRIGGER_PRICE: "price",
    Reason.INVALID_DISPLAY_QUANTITY: "amount",
    Reason.INVALID_MINIMUM_QUANTITY: "amount",
    Reason.INVALID_EXPIRE_DATE: "date",
    Reason.INVALID_OFFSET: "offset",
    Reason.INVALID_LINK: "id",
    Reason.INVALID_VALUE: "count",
    Reason.ONLY_IN_AUCTION: "phase",
    Reason.PHASE_TRANSITION: "phase",
    Reason.NOT_LIMIT_LOCKED: "phase",
    Reason.CLOSE_EXCEEDS_POSITION: "amount",
    Reason.OPENING_CAP: "amount",
    Reason.UNKNOWN_ORDER: "id",
    Reason.ALREADY_LINKED: "id",
    Reason.PRICE_OFF_TICK: "price",
    Reason.QUANTITY_BELOW_MINIMUM: "amount",
    Reason.QUANTITY_OFF_LOT: "amount",
    Reason.PRICE_BELOW_BAND: "price",
    Reason.PRICE_ABOVE_BAND: "price",
    Reason.PRICE_OUTSIDE_COLLAR: "price",
    Reason.MAX_ORDER_QUANTITY: "amount",
    Reason.MAX_ORDER_NOTIONAL: "money",
    Reason.TRIGGER_REACHED: "price",
    Reason.TRIGGER_BELOW_BAND: "price",
    Reason.TRIGGER_ABOVE_BAND: "price",
    Reason.PRICE_BEYOND_RESERVE: "price",
    Reason.MAX_OPEN_ORDERS: "count",
    Reason.REDUCE_ONLY_WOULD_INCREASE: "amount",
    Reason.MAX_LONG: "amount",
    Reason.MAX_SHORT: "amount",
    Reason.CREDIT: "money",
    Reason.MARGIN_CALLED: "amount",
    Reason.PROTECTION_TRIPPED: "count",
    Reason.BOOK_FULL: "count",
    Reason.POST_ONLY_WOULD_TRADE: "price",
}
OFFSETS = {"open": int(Flag.OPEN), "close": int(Flag.CLOSE), "close_today": int(Flag.CLOSE_TODAY)}
DIRECTION = {int(Side.BUY): "buy", int(Side.SELL): "sell"}
PHASES = {int(phase): phase.name.lower() for phase in Phase}


class Refused(Exception):
    """A request that is not done. `data` may name field, value and bound."""

    def __init__(
        self,
        code: int,
        message: str,
        text: str,
        *,
        field: str = "",
        value: Any = None,
        bound: Any = None,
        reason: str = "",
        fix: Fix = _OTHER,
        **more: Any,
    ) -> None:
        super().__init__(text)
        self.code = code
        self.message = message
        self.data: dict[str, Any] = {"reason": reason or message.lower().replace(" ", "_")}
        if field:
            self.data |= {"field": field, "param": field}
        if value is not None:
            self.data["value"] = value
        if bound is not None:
            self.data["bound"] = bound
        self.data |= {"fix": {"tag": fix.tag, "value": fix.value}, "text": text, **more}


def invalid(field: str, text: str, **data: Any) -> Refused:
    """Invalid params, naming the parameter."""
    return Refused(-32602, "Invalid params", text, field=field, reason=data.pop("reason", "invalid_value"), **data)


def refusal(
    reason: Reason, text: str = "", *, field: str = "", value: Any = None, bound: Any = None, **more: Any
) -> Refused:
    """The error of a broken rule. `text`, `field`: where they are not the usual ones."""
    told = REASONS[reason]
    if not text:
        text = told.text.format(value=value, bound=bound)
        if field and told.field and text.startswith(told.field + " "):
            text = field + text[len(told.field) :]
    return Refused(
        told.code,
        told.message,
        text,
        field=field or told.field,
        value=value,
        bound=bound,
        reason=reason.name.lower(),
        fix=told.fix,
        **more,
    )


def refused_by_rule(event: "Event", scale: "Scale | None", field: str = "", unit: str = "") -> Refused:
    """The error of a REJECTED event; its numbers in the instrument's units.

    `field`, `unit`: where the parameter has another name, and is counted in something else
    """
    reason = Reason(event.reason)
    value, bound = _numbers(reason, event, scale, unit or _UNITS.get(reason, ""))
    text = f"order {value} is no open order on this side of the instrument" if field == "linked_order_id" else ""
    return refusal(reason, text, field=field, value=value, bound=bound, seq=event.sequence)


def _numbers(reason: Reason, event: "Event", scale: "Scale | None", unit: str) -> tuple[Any, Any]:
    """Value and bound of a REJECTED event as the client counts: currency, units, money. None: has no number."""
    value, bound = event.resting_leaves_quantity, event.resting_price
    if reason is Reason.DUPLICATE_CLIENT_ORDER_ID:
        return str(event.resting_order_id), None
    if unit == "id":
        return str(value or event.order_id), None
    if unit == "money":
        return Decimal(value) / 100, Decimal(bound) / 100
    if unit == "count":
        return value, bound
    if unit == "date":
        return date_text(value), date_text(bound)
    if unit == "phase":
        return PHASES.get(value, value), None if reason is Reason.ONLY_IN_AUCTION else PHASES.get(bound, bound)
    if unit == "offset":
        return "+".join(name for name, flag in OFFSETS.items() if value & flag) or "none", None
    if not unit or scale is None:
        return (value, None) if reason < Reason.HUB_KILLED else (None, None)
    convert = scale.decimal_price if unit == "price" else scale.decimal_amount
    return convert(value), convert(bound)


# Dates --------------------------------------------------------------------------------------------


def date_text(date: int) -> str:
    """yyyymmdd as text; 0: none; what is no date yet (1): any."""
    return (
        "none"
        if date == 0
        else "any"
        if date < 1_000_00_00
        else f"{date // 10_000:04}-{date // 100 % 100:02}-{date % 100:02}"
    )


def date_number(text: str, field: str) -> int:
    """yyyymmdd of YYYY-MM-DD. Errors: Refused naming the field."""
    try:
        if len(text) != 10:
            raise ValueError
        return yyyymmdd(datetime.date.fromisoformat(text))
    except ValueError:
        raise invalid(field, f"{field}: {text} is not a date such as 2026-12-31", value=text) from None


# Requests -----------------------------------------------------------------------------------------

Id = Annotated[int, Meta(ge=-(1 << 63), le=(1 << 63) - 1)] | Annotated[str, Meta(max_length=64)] | None


class Request(Struct, forbid_unknown_fields=True, gc=False):
    """The envelope. `params` is read once the method is known."""

    method: Annotated[str, Meta(max_length=64)]
    id: Id | UnsetType = UNSET
    params: Raw | UnsetType = UNSET
    jsonrpc: str | UnsetType = UNSET


_envelope = msgspec.json.Decoder(Request)
_EMPTY = b"{}"


def decode(frame: bytes | str) -> Request:
    """Read the envelope of one request.

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
    """Reads the parameters of one method into its struct (requests.py)."""

    __slots__ = ("struct", "_decoder", "_countable")

    def __init__(self, struct_: type[Struct]) -> None:
        self.struct = struct_
        self._decoder = msgspec.json.Decoder(struct_)
        self._countable = all(default is UNSET for default in struct_.__struct_defaults__)

    def read(self, request: Request, frame: bytes | str) -> Any:
        """The parameters, every field known, of its type and given once.

        Errors    Refused -32602 naming the field
        """
        raw = _EMPTY if request.params is UNSET else request.params
        try:
            read = self._decoder.decode(raw)
        except msgspec.ValidationError as error:
            field, text, bound = _explain(str(error), self.struct)
            raise invalid(field, text, value=_value_of(raw, field), bound=bound, reason=_reason_of(text)) from None
        except RecursionError:
            raise invalid("params", "params: nested too deep") from None
        except ValueError as error:
            raise invalid("params", f"params: {_short(str(error))}") from None
        # Every key has its colon: as many colons as fields that are set leave no room for a field given twice.
        colons = frame.count(":") if isinstance(frame, str) else frame.count(b":")
        if not self._countable or colons != _fields_set(request) + _fields_set(read):
            _refuse_doubles(frame)
        return read


def _fields_set(read: Struct) -> int:
    values = astuple(read)
    return len(values) - values.count(UNSET)


def _refuse_doubles(frame: bytes | str) -> None:
    """The slow, sure search for a field given twice."""

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
    """(field, sentence, bound) of a decoder's message about a field of the struct."""
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
    """What a field may be, if all of that can be listed."""
    hint = get_type_hints(struct_).get(field)
    return [str(word) for part in (hint, *get_args(hint)) if get_origin(part) is Literal for word in get_args(part)]


def _reason_of(text: str) -> str:
    return (
        "unknown_field"
        if text.endswith("not a parameter here")
        else ("value_required" if text.endswith("is missing") else "invalid_value")
    )


def _value_of(raw: Raw | bytes, field: str) -> Any:
    """What was given for the field, if it is short enough to send back."""
    try:
        value = msgspec.json.decode(raw).get(field)
    except (ValueError, RecursionError, AttributeError):
        return None
    return value[:64] if isinstance(value, str) else value if isinstance(value, bool | int | float) else None


def _short(text: str) -> str:
    return text if len(text) <= 160 else text[:157] + "..."


# Exact decimals -----------------------------------------------------------------------------------

_NUMBER = re.compile(rb'(-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?)|"(-?[0-9]{1,24}(?:\.[0-9]{1,24})?)"')
_LONGEST = 64  # characters of a number
_HIGHEST = Decimal(10) ** 24
_REMEMBERED = 65_536
_TWELVE_DIGITS = Context(prec=12)


class Scale:
    """Prices and amounts of one instrument, text to integers and back, each converted once and remembered."""

    __slots__ = ("instrument", "_ticks", "_lots", "_prices", "_amounts")

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self._ticks: dict[bytes, int] = {}
        self._lots: dict[bytes, int] = {}
        self._prices: dict[int, str] = {}
        self._amounts: dict[int, str] = {}

    def ticks(self, raw: Raw, field: str = "price") -> int:
        """Ticks of a JSON number or text. Errors: Refused naming the field."""
        text = bytes(raw)
        known = self._ticks.get(text)
        return known if known is not None else _remember(self._ticks, text, self._price(text, field))

    def lots(self, raw: Raw, field: str = "amount") -> int:
        """Lots of a JSON number or text. Errors: Refused naming the field."""
        text = bytes(raw)
        known = self._lots.get(text)
        return known if known is not None else _remember(self._lots, text, self._amount(text, field))

    def _price(self, text: bytes, field: str) -> int:
        number = decimal(text, field)
        try:
            return price_to_ticks(self.instrument, number, field)
        except ValueError as error:
            raise _off_step(Reason.PRICE_OFF_TICK, error, field, number, self.instrument.tick_size) from None

    def _amount(self, text: bytes, field: str) -> int:
        number = decimal(text, field)
        try:
            return amount_to_lots(self.instrument, number, field)
        except ValueError as error:
            raise _off_step(Reason.QUANTITY_OFF_LOT, error, field, number, self.instrument.lot_size) from None

    def price(self, ticks: int) -> str:
        """A price as JSON number, with the digits it has."""
        known = self._prices.get(ticks)
        return (
            known
            if known is not None
            else _remember(self._prices, ticks, plain(ticks_to_price(self.instrument, ticks)))
        )

    def amount(self, lots: int) -> str:
        """An amount as JSON number."""
        known = self._amounts.get(lots)
        return (
            known if known is not None else _remember(self._amounts, lots, plain(lots_to_amount(self.instrument, lots)))
        )

    def decimal_price(self, ticks: SupportsInt) -> Decimal:
        """A price as a number that `encode` writes with the digits it has."""
        return Decimal(self.price(int(ticks)))

    def decimal_amount(self, lots: SupportsInt) -> Decimal:
        """An amount likewise."""
        return Decimal(self.amount(int(lots)))

    def average(self, notional: int, lots: int) -> str:
        """The average price of so many ticks x lots, to 12 digits."""
        if lots == 0:
            return "0"
        ticks, rest = divmod(notional, lots)
        if rest == 0:
            return self.price(ticks)
        return plain(_TWELVE_DIGITS.divide(notional * self.instrument.tick_size, Decimal(lots)))

    def money(self, notional: int) -> Decimal:
        """ticks x lots as an amount of currency."""
        return notional * self.instrument.tick_size * self.instrument.lot_size


def _off_step(reason: Reason, error: ValueError, field: str, number: Decimal, step: Decimal) -> Refused:
    """A price between ticks or an amount between lots; or one that is beyond all bounds."""
    if isinstance(error, TooLarge):
        return invalid(field, str(error), value=number, bound=error.bound)
    told = REASONS[reason]
    code, message = (10044, "trigger_price_wrong_tick") if field == "trigger_price" else (told.code, told.message)
    return Refused(
        code, message, str(error), field=field, value=number, bound=step, fix=told.fix, reason=reason.name.lower()
    )


def _remember(memory: dict[Any, Any], key: Any, value: Any) -> Any:
    if len(memory) >= _REMEMBERED:
        memory.clear()
    memory[key] = value
    return value


def decimal(text: bytes, field: str) -> Decimal:
    """The exact value of a JSON number, or of a text that holds a plain decimal. Errors: Refused naming the field."""
    found = _NUMBER.fullmatch(text) if len(text) <= _LONGEST else None
    number = Decimal((found[1] or found[2]).decode()) if found else _HIGHEST
    if not -_HIGHEST < number < _HIGHEST:
        shown = text[:_LONGEST].decode("utf-8", "replace").strip('"')
        raise invalid(field, f"{field}: {shown} is not a number of at most 24 digits before the point", value=shown)
    return number


def plain(number: Decimal) -> str:
    """Without exponent and without zeros that say nothing: a JSON number."""
    text = format(number, "f")
    return (text.rstrip("0").rstrip(".") or "0") if "." in text else text


# Rows ---------------------------------------------------------------------------------------------

_CODES = {"<i8": "q", "<i4": "i", "|u1": "B", "<u2": "H", "<u4": "I", "|S20": "20s"}


def layout(row: np.dtype) -> struct.Struct:
    """The bytes of a record dtype, for single rows: ten times faster than reading a record field by field."""
    code, at = "<", 0
    for field, offset, *_ in (row.fields or {}).values():
        code += "x" * (offset - at) + _CODES[field.str]
        at = offset + field.itemsize
    return struct.Struct(code + "x" * (row.itemsize - at))


_COMMAND, _EVENT = layout(COMMAND), layout(EVENT)


def command_row(
    kind: int,
    account: int,
    session: int,
    *,
    instrument: int = 0,
    order_id: int = 0,
    price: int = 0,
    trigger_price: int = 0,
    quantity: int = 0,
    display_quantity: int = 0,
    minimum_quantity: int = 0,
    client_order_id: bytes = b"",
    expire_date: int = 0,
    counterparty: int = 0,
    side: int = 0,
    order_type: int = 0,
    time_in_force: int = 0,
    flags: int = 0,
) -> bytes:
    """The bytes of one COMMAND row that is not stamped yet."""
    return _COMMAND.pack(
        0,
        0,
        order_id,
        price,
        trigger_price,
        quantity,
        display_quantity,
        minimum_quantity,
        client_order_id,
        instrument,
        account,
        expire_date,
        counterparty,
        kind,
        side,
        order_type,
        time_in_force,
        flags,
        session,
    )


def commands_of(rows: np.ndarray) -> Iterator[Command]:
    """COMMAND rows one by one."""
    return map(Command._make, _COMMAND.iter_unpack(rows.tobytes()))


def events_of(rows: np.ndarray) -> Iterator[Event]:
    """EVENT rows one by one."""
    return map(Event._make, _EVENT.iter_unpack(rows.tobytes()))


def event_at(rows: np.ndarray, row: int) -> Event:
    """One of many EVENT rows."""
    return Event._make(_EVENT.unpack(rows[row : row + 1].tobytes()))


# Answers ------------------------------------------------------------------------------------------

_encoder = msgspec.json.Encoder(decimal_format="number")


def encode(value: Any) -> str:
    """JSON text of plain values; Decimals become numbers with exactly their digits."""
    return _encoder.encode(value).decode()


class _WithId(Struct):
    id: Id | UnsetType = UNSET


_id = msgspec.json.Decoder(_WithId)


def id_of_refused(frame: bytes | str) -> str:
    """The id as JSON of a frame that is no request, if it can be read all the same; else null."""
    try:
        return id_text(_id.decode(frame).id)
    except (ValueError, RecursionError):
        return "null"


def id_text(request_id: Id | UnsetType) -> str:
    """The id of a request as JSON."""
    return str(request_id) if type(request_id) is int else encode(None if request_id is UNSET else request_id)


def result(request_id: str, body: str, received: int, sent: int) -> bytes:
    """An answer. `request_id` and `body` are JSON; `received` and `sent` ns."""
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
    """One message of a channel; `data` is JSON."""
    return f'{{"jsonrpc":"2.0","method":"subscription","params":{{"channel":"{channel}","data":{data}}}}}'.encode()
