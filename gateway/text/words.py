"""The protocol's words for codes: one table for each field whose values have names in JSON.

    DIRECTION[Side.BUY]                          # "buy"
    ORDER_TYPE_CODE["stop_limit"]                # OrderType.STOP_LIMIT

Values are plain ints, as in codes.py.
"""

from typing import Literal

from matching.codes import LIMIT_TYPES, STOP_TYPES, Flag, Limit, OrderType, Phase, Reason, Side, TimeInForce

# Where a request names a type of order, and where it selects open orders.
OrderTypeWord = Literal["limit", "market", "stop_limit", "stop_market"]
OpenOrdersWord = Literal["all", "limit", "market", "trigger_all", "stop_all", "stop_limit", "stop_market"]

DIRECTION: dict[int, str] = {Side.BUY: "buy", Side.SELL: "sell"}
ORDER_TYPE: dict[int, OrderTypeWord] = {
    OrderType.MARKET: "market",
    OrderType.LIMIT: "limit",
    OrderType.STOP: "stop_market",
    OrderType.STOP_LIMIT: "stop_limit",
}
TIME_IN_FORCE: dict[int, str] = {
    TimeInForce.DAY: "good_til_day",
    TimeInForce.GTC: "good_til_cancelled",
    TimeInForce.OPENING: "at_the_opening",
    TimeInForce.IOC: "immediate_or_cancel",
    TimeInForce.FOK: "fill_or_kill",
    TimeInForce.GTD: "good_til_date",
    TimeInForce.SESSION: "good_for_session",
}
PHASE: dict[int, str] = {phase: phase.name.lower() for phase in Phase}
REASON: dict[int, str] = {reason: reason.name.lower() for reason in Reason}

ORDER_TYPE_CODE = {word: int(code) for code, word in ORDER_TYPE.items()}
WITH_LIMIT = {ORDER_TYPE[kind] for kind in LIMIT_TYPES}
WITH_TRIGGER = {ORDER_TYPE[kind] for kind in STOP_TYPES}
TIME_IN_FORCE_CODE = {word: int(code) for code, word in TIME_IN_FORCE.items()}
PHASE_CODE = {word: int(code) for code, word in PHASE.items()}
LIMIT_CODE = {limit.name.lower(): int(limit) for limit in Limit}
OFFSET_FLAG = {"open": int(Flag.OPEN), "close": int(Flag.CLOSE), "close_today": int(Flag.CLOSE_TODAY)}
SELF_MATCH_FLAG = {
    "cancel_incoming": int(Flag.SMP_CANCEL_INCOMING),
    "cancel_resting": int(Flag.SMP_CANCEL_RESTING),
    "cancel_both": int(Flag.SMP_CANCEL_BOTH),
}
