"""The protocol's words for codes: one table for each field whose values have names in JSON.

    DIRECTION[c.BUY]                          # "buy"
    ORDER_TYPE_CODE["stop_limit"]                # c.STOP_LIMIT

Values are plain ints, as in codes.py.
"""

from typing import Literal

from gateway.text import codes as c
from matching.codes import LIMIT_TYPES, STOP_TYPES, Limit, Phase, Reason

# Where a request names a type of order, and where it selects open orders.
OrderTypeWord = Literal["limit", "market", "stop_limit", "stop_market"]
OpenOrdersWord = Literal["all", "limit", "market", "trigger_all", "stop_all", "stop_limit", "stop_market"]

DIRECTION: dict[int, str] = {c.BUY: "buy", c.SELL: "sell"}
ORDER_TYPE: dict[int, OrderTypeWord] = {
    c.MARKET: "market",
    c.LIMIT: "limit",
    c.STOP: "stop_market",
    c.STOP_LIMIT: "stop_limit",
}
TIME_IN_FORCE: dict[int, str] = {
    c.DAY: "good_til_day",
    c.GTC: "good_til_cancelled",
    c.OPENING: "at_the_opening",
    c.IOC: "immediate_or_cancel",
    c.FOK: "fill_or_kill",
    c.GTD: "good_til_date",
    c.SESSION: "good_for_session",
}
PHASE: dict[int, str] = {int(phase): phase.name.lower() for phase in Phase}
REASON: dict[int, str] = {int(reason): reason.name.lower() for reason in Reason}

ORDER_TYPE_CODE = {word: code for code, word in ORDER_TYPE.items()}
WITH_LIMIT = {ORDER_TYPE[kind] for kind in LIMIT_TYPES}
WITH_TRIGGER = {ORDER_TYPE[kind] for kind in STOP_TYPES}
TIME_IN_FORCE_CODE = {word: code for code, word in TIME_IN_FORCE.items()}
PHASE_CODE = {word: code for code, word in PHASE.items()}
LIMIT_CODE = {limit.name.lower(): int(limit) for limit in Limit}
OFFSET_FLAG = {"open": c.OPEN, "close": c.CLOSE, "close_today": c.CLOSE_TODAY}
SELF_MATCH_FLAG = {
    "cancel_incoming": c.SMP_CANCEL_INCOMING,
    "cancel_resting": c.SMP_CANCEL_RESTING,
    "cancel_both": c.SMP_CANCEL_BOTH,
}
