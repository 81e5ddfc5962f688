"""Requests that are refused: the error that a client is sent, and how each Reason of the engine is worded.

    raise invalid("price", "price is missing", reason="value_required")
    raise refusal(Reason.UNKNOWN_INSTRUMENT, value="XX2701")

A refusal is the exception Refused: code, message and data as they are sent. REASONS has one row for each rule of the
engine: Deribit's code and message where that venue has one, the field to change, the FIX code, the text.
"""

from typing import Any, NamedTuple

from matching.codes import Reason


class Fix(NamedTuple):
    """A reason in FIX: tag 103 OrdRejReason, 378 ExecRestatementReason or 380 BusinessRejectReason."""

    tag: int
    value: int


_OTHER = Fix(380, 0)


class Wording(NamedTuple):
    """How a Reason is worded for clients."""

    code: int
    message: str
    field: str
    fix: Fix
    unit: str  # of value and bound in a REJECTED event (answers.rejection); empty: they mean nothing
    text: str  # {value} and {bound} are in the unit of the field


# fmt: off
# code, message, field, FIX, unit of value and bound; then the text
REASONS: dict[Reason, Wording] = {
    Reason.NONE: Wording(0, "none", "", Fix(103, 99), "",
        "no reason"),
    Reason.UNKNOWN_KIND: Wording(11050, "bad_request", "kind", Fix(380, 3), "code",
        "kind {value} is not a command"),
    Reason.UNKNOWN_INSTRUMENT: Wording(13020, "not_found", "instrument_name", Fix(103, 1), "code",
        "instrument {value} is unknown"),
    Reason.UNKNOWN_ACCOUNT: Wording(13007, "user_not_found", "account", Fix(103, 15), "code",
        "account {value} is unknown"),
    Reason.INVALID_SIDE: Wording(11043, "bad_argument", "direction", Fix(103, 99), "code",
        "side is {value}, must be buy or sell"),
    Reason.INVALID_ORDER_TYPE: Wording(11043, "bad_argument", "type", Fix(103, 11), "code",
        "type {value} is unknown, must be 1 market, 2 limit, 3 or 4 stop"),
    Reason.INVALID_TIME_IN_FORCE: Wording(11043, "bad_argument", "time_in_force", Fix(103, 11), "code",
        "time in force {value} is unknown"),
    Reason.INVALID_FLAGS: Wording(11047, "unsupported_arg_combination", "post_only", Fix(103, 11), "code",
        "post_only needs a limit order that may rest, and only one self_match mode may be given (flags {value})"),
    Reason.INVALID_QUANTITY: Wording(10021, "invalid_amount", "amount", Fix(103, 13), "amount",
        "amount is {value}; the nearest allowed is {bound}"),
    Reason.INVALID_VALUE: Wording(11043, "bad_argument", "value", Fix(380, 0), "count",
        "value {value} is out of range; the nearest allowed is {bound}"),
    Reason.INVALID_TRIGGER_PRICE: Wording(11036, "invalid_trigger_price", "trigger_price", Fix(103, 11), "price",
        "trigger_price is {value}; only a stop order that is not triggered yet has one"),
    Reason.INVALID_DISPLAY_QUANTITY: Wording(10036, "invalid_max_show_amount", "display_amount", Fix(103, 13), "amount",
        "display_amount is {value}; the nearest that this order may have is {bound} (0: none)"),
    Reason.INVALID_MINIMUM_QUANTITY: Wording(10021, "invalid_amount", "minimum_amount", Fix(103, 13), "amount",
        "minimum_amount is {value}; the nearest that this order may have is {bound} (0: none)"),
    Reason.INVALID_EXPIRE_DATE: Wording(11043, "bad_argument", "expire_date", Fix(103, 11), "date",
        "expire_date is {value}; the first that this order may have is {bound}"),
    Reason.INVALID_OFFSET: Wording(11047, "unsupported_arg_combination", "offset", Fix(103, 11), "offset",
        "offset is {value}; where an instrument has it, it must be one of open, close and close_today (which ends "
        "with the day: neither good_til_cancelled nor good_til_date), elsewhere none"),
    Reason.INVALID_COUNTERPARTY: Wording(11043, "bad_argument", "counterparty", Fix(103, 15), "code",
        "counterparty {value} is not allowed: a negotiated offer names another account, other orders name none"),
    Reason.INVALID_LINK: Wording(11047, "unsupported_arg_combination", "linked_order_id", Fix(103, 11), "id",
        "order {value} cannot be linked with this one: only orders that may rest can"),
    Reason.HUB_KILLED: Wording(10019, "locked_by_admin", "", Fix(103, 0), "",
        "trading is stopped by the operator; cancels are accepted"),
    Reason.INSTRUMENT_KILLED: Wording(10019, "locked_by_admin", "instrument_name", Fix(103, 0), "",
        "the instrument is stopped by the operator; cancels are accepted"),
    Reason.FIRM_KILLED: Wording(13002, "account_blocked", "account", Fix(103, 0), "",
        "the firm is stopped by the operator; cancels are accepted"),
    Reason.ACCOUNT_KILLED: Wording(13002, "account_blocked", "account", Fix(103, 0), "",
        "the account is stopped by the operator; cancels are accepted"),
    Reason.ACCOUNT_DISABLED: Wording(13002, "account_blocked", "account", Fix(103, 15), "",
        "the account is not enabled"),
    Reason.INSTRUMENT_CLOSED: Wording(10012, "book_closed", "instrument_name", Fix(103, 2), "",
        "the instrument is closed for trading"),
    Reason.INSTRUMENT_HALTED: Wording(10012, "book_closed", "instrument_name", Fix(103, 2), "",
        "the instrument is halted; cancels are accepted"),
    Reason.INSTRUMENT_UNLISTED: Wording(10012, "book_closed", "instrument_name", Fix(103, 2), "",
        "the instrument is not listed yet"),
    Reason.INSTRUMENT_EXPIRED: Wording(10012, "book_closed", "instrument_name", Fix(103, 2), "",
        "the instrument has expired"),
    Reason.AUCTION_MATCHING: Wording(10012, "book_closed", "instrument_name", Fix(103, 2), "",
        "the call auction has traded; no orders or cancels are accepted until trading begins"),
    Reason.INSTRUMENT_BREAK: Wording(10012, "book_closed", "instrument_name", Fix(103, 2), "",
        "the instrument is in a break; cancels are accepted"),
    Reason.INSTRUMENT_CLOSING: Wording(10012, "book_closed", "instrument_name", Fix(103, 2), "",
        "trading has ended for the day; cancels are accepted"),
    Reason.INSTRUMENT_SETTLING: Wording(10041, "settlement_in_progress", "instrument_name", Fix(103, 2), "",
        "the instrument is being settled"),
    Reason.NOT_IN_AUCTION: Wording(11047, "unsupported_arg_combination", "type", Fix(103, 11), "",
        "a call auction accepts stops, and limit orders that rest or are at_the_opening; none may be post_only"),
    Reason.ONLY_IN_AUCTION: Wording(11047, "unsupported_arg_combination", "time_in_force", Fix(103, 11), "phase",
        "at_the_opening orders are accepted in a call auction only; the instrument is in {value}"),
    Reason.PHASE_TRANSITION: Wording(11043, "bad_argument", "phase", Fix(380, 0), "phase",
        "the instrument is in {value}, which cannot change to {bound}"),
    Reason.NOT_LIMIT_LOCKED: Wording(11043, "bad_argument", "phase", Fix(380, 0), "phase",
        "the instrument is not limit-locked: both sides have orders, or the best one is not at the day's limit"),
    Reason.WRONG_MECHANISM: Wording(10031, "invalid_args_for_instrument", "instrument_name", Fix(103, 11), "",
        "the instrument's trading mechanism does not allow this"),
    Reason.PROTECTION_TRIPPED: Wording(14219, "protection_tripped", "", Fix(103, 0), "count",
        "market-maker protection was triggered by {value} lots, its limit is {bound}; private/reset_mmp ends it"),
    Reason.ENTRY_ONLY: Wording(14220, "entry_only", "instrument_name", Fix(103, 99), "",
        "the call auction takes new orders only; orders can be neither canceled nor amended until it has traded"),
    Reason.UNKNOWN_ORDER: Wording(10004, "order_not_found", "order_id", Fix(103, 5), "id",
        "order {value} is not open"),
    Reason.ALREADY_LINKED: Wording(14302, "already_linked", "linked_order_id", Fix(103, 99), "id",
        "order {value} is already linked with another order"),
    Reason.IRREVOCABLE: Wording(14303, "irrevocable", "order_id", Fix(103, 99), "",
        "a bid in a one-sided auction cannot be canceled or amended"),
    Reason.NOT_COUNTERPARTY: Wording(14304, "not_counterparty", "order_id", Fix(103, 99), "",
        "the offer is made to another account, or it is your own"),
    Reason.OFFER_EXISTS: Wording(14305, "offer_exists", "direction", Fix(103, 99), "",
        "the auction already has its offer; bids are on the other side"),
    Reason.NO_OFFER: Wording(14306, "no_offer", "instrument_name", Fix(103, 99), "",
        "this auction has no offer yet"),
    Reason.AUCTION_OVER: Wording(14307, "auction_over", "instrument_name", Fix(103, 2), "",
        "the auction's countdown has ended"),
    Reason.PRICE_OFF_TICK: Wording(10043, "price_wrong_tick", "price", Fix(103, 18), "price",
        "price {value} is not a multiple of {bound}"),
    Reason.QUANTITY_BELOW_MINIMUM: Wording(10002, "qty_too_low", "amount", Fix(103, 13), "amount",
        "amount {value} is below the smallest order, {bound}"),
    Reason.QUANTITY_OFF_LOT: Wording(10021, "invalid_amount", "amount", Fix(103, 13), "amount",
        "amount {value} is not a multiple of {bound}"),
    Reason.PRICE_BELOW_BAND: Wording(10005, "price_too_low", "price", Fix(103, 16), "price",
        "price {value} is below the lowest price of the day, {bound}"),
    Reason.PRICE_ABOVE_BAND: Wording(10007, "price_too_high", "price", Fix(103, 16), "price",
        "price {value} is above the highest price of the day, {bound}"),
    Reason.PRICE_OUTSIDE_COLLAR: Wording(10011, "price_not_allowed", "price", Fix(103, 16), "price",
        "price {value} is too far from the last trade; the collar ends at {bound}"),
    Reason.MAX_ORDER_QUANTITY: Wording(10021, "invalid_amount", "amount", Fix(103, 26), "amount",
        "amount {value} is above the largest order, {bound}"),
    Reason.MAX_ORDER_NOTIONAL: Wording(10021, "invalid_amount", "amount", Fix(103, 27), "money",
        "the order's value {value} is above the largest, {bound}"),
    Reason.TRIGGER_REACHED: Wording(11036, "invalid_trigger_price", "trigger_price", Fix(103, 99), "price",
        "trigger_price {value} is already reached: the last price is {bound}"),
    Reason.TRIGGER_BELOW_BAND: Wording(10035, "trigger_price_too_low", "trigger_price", Fix(103, 16), "price",
        "trigger_price {value} is below the lowest price of the day, {bound}"),
    Reason.TRIGGER_ABOVE_BAND: Wording(10034, "trigger_price_too_high", "trigger_price", Fix(103, 16), "price",
        "trigger_price {value} is above the highest price of the day, {bound}"),
    Reason.PRICE_BEYOND_RESERVE: Wording(10011, "price_not_allowed", "price", Fix(103, 16), "price",
        "price {value} is worse than the auction asks for, {bound}"),
    Reason.MESSAGE_RATE: Wording(10028, "too_many_requests", "", Fix(380, 8), "",
        "the account has sent more commands than its message rate allows"),
    Reason.DUPLICATE_CLIENT_ORDER_ID: Wording(14502, "duplicate_client_order_id", "client_order_id", Fix(103, 6), "",
        "client_order_id is already used today by order {value}, which differs from this one"),
    Reason.CLIENT_ORDER_ID_CAPACITY: Wording(14503, "client_order_id_capacity", "client_order_id", Fix(103, 0), "",
        "the hub can hold no more client order ids today; send a label instead"),
    Reason.MAX_OPEN_ORDERS: Wording(10013, "max_total_open_orders", "", Fix(103, 3), "count",
        "the account would have {value} open orders, its limit is {bound}"),
    Reason.REDUCE_ONLY_WOULD_INCREASE: Wording(14505, "reduce_only_would_increase", "reduce_only", Fix(103, 99), "amount",
        "with its open orders the position could become {value} instead of smaller"),
    Reason.MAX_LONG: Wording(10018, "max_future_position_size", "amount", Fix(103, 3), "amount",
        "the long position could become {value}, the limit is {bound}"),
    Reason.MAX_SHORT: Wording(10018, "max_future_position_size", "amount", Fix(103, 3), "amount",
        "the short position could become {value}, the limit is {bound}"),
    Reason.CREDIT: Wording(10009, "not_enough_funds", "amount", Fix(103, 25), "money",
        "margin of {value} would be needed, the equity is {bound}"),
    Reason.MARGIN_CALLED: Wording(14509, "margin_called", "amount", Fix(103, 25), "amount",
        "the account has a margin call: only orders that reduce a position are accepted; this one could turn "
        "{bound} into {value}"),
    Reason.CLOSE_EXCEEDS_POSITION: Wording(14510, "close_exceeds_position", "amount", Fix(103, 3), "amount",
        "{value} would be closed, only {bound} may be"),
    Reason.OPENING_CAP: Wording(14511, "opening_cap", "amount", Fix(103, 3), "amount",
        "{value} would be opened today, the limit of a day is {bound}"),
    Reason.BOOK_FULL: Wording(10047, "matching_engine_queue_full", "", Fix(103, 0), "count",
        "the hub holds as many open orders as it can, {bound}"),
    Reason.POST_ONLY_WOULD_TRADE: Wording(11054, "post_only_reject", "post_only", Fix(103, 99), "price",
        "the post_only order would have traded at {bound}"),
    Reason.IOC_REMAINDER: Wording(14701, "ioc_remainder", "time_in_force", Fix(378, 8), "",
        "the quantity that did not trade at once was canceled"),
    Reason.FOK_NOT_FILLED: Wording(14702, "fok_not_filled", "time_in_force", Fix(378, 8), "",
        "the order could not trade in full at once"),
    Reason.SELF_MATCH_INCOMING: Wording(14703, "self_match_incoming", "self_match", Fix(378, 18), "",
        "canceled because it would have traded with an order of its own group"),
    Reason.SELF_MATCH_RESTING: Wording(14704, "self_match_resting", "self_match", Fix(378, 19), "",
        "canceled because an order of its own group would have traded with it"),
    Reason.MASS_CANCEL: Wording(14705, "mass_cancel", "", Fix(378, 99), "",
        "canceled by a mass cancel"),
    Reason.DAY_ENDED: Wording(14706, "day_ended", "time_in_force", Fix(378, 8), "",
        "the trading day has ended"),
    Reason.AMENDED_TO_FILLED: Wording(14707, "amended_to_filled", "amount", Fix(378, 5), "",
        "the new amount is not above the filled amount"),
    Reason.OUTSIDE_DAILY_LIMITS: Wording(14708, "outside_daily_limits", "price", Fix(378, 15), "",
        "the price is outside the next day's limits"),
    Reason.LINKED: Wording(14709, "linked", "linked_order_id", Fix(378, 8), "",
        "the linked order has traded or was triggered"),
    Reason.MINIMUM_NOT_AVAILABLE: Wording(14710, "minimum_not_available", "minimum_amount", Fix(378, 8), "",
        "the minimum_amount could not trade at once"),
    Reason.DATE_REACHED: Wording(14711, "date_reached", "expire_date", Fix(378, 8), "",
        "the order's expire_date is over"),
    Reason.AUCTION_ENDED: Wording(14712, "auction_ended", "time_in_force", Fix(378, 8), "",
        "the call auction has traded"),
    Reason.SESSION_ENDED: Wording(14713, "session_ended", "time_in_force", Fix(378, 8), "",
        "the trading session has ended"),
    Reason.PROTECTION: Wording(14714, "protection", "", Fix(378, 8), "",
        "market-maker protection was triggered"),
    Reason.LIQUIDATION: Wording(14715, "liquidation", "", Fix(378, 8), "",
        "the operator is liquidating the position"),
    Reason.INSTRUMENT_EXPIRY: Wording(14716, "instrument_expiry", "instrument_name", Fix(378, 8), "",
        "the instrument has expired"),
    Reason.VELOCITY: Wording(14801, "velocity", "price", Fix(378, 6), "",
        "prices moved too fast: the circuit breaker started a call auction"),
    Reason.CASCADE: Wording(14802, "cascade", "", Fix(378, 6), "",
        "too many stop orders triggered at once: a call auction started"),
    Reason.LIMIT_LOCK: Wording(14803, "limit_lock", "", Fix(378, 8), "",
        "the instrument is no longer locked at its daily limit"),
}
# fmt: on


class Refused(Exception):
    """A request that is refused. `data` is the error's data object; it may name field, value and bound."""

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
    """A parameter that is wrong: JSON-RPC's Invalid params, naming the parameter."""
    return Refused(-32602, "Invalid params", text, field=field, reason=data.pop("reason", "invalid_value"), **data)


def refusal(
    reason: Reason, text: str = "", *, field: str = "", value: Any = None, bound: Any = None, **more: Any
) -> Refused:
    """The error for a broken rule. `text`, `field`: given where they differ from the rule's own."""
    wording = REASONS[reason]
    if not text:
        text = wording.text.format(value=value, bound=bound)
        if field and wording.field and text.startswith(wording.field + " "):
            text = field + text[len(wording.field) :]
    return Refused(
        wording.code,
        wording.message,
        text,
        field=field or wording.field,
        value=value,
        bound=bound,
        reason=reason.name.lower(),
        fix=wording.fix,
        **more,
    )
