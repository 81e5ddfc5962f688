"""The words of the protocol as small integers: one enum for each code field of COMMAND and EVENT (records.py).

Values of Side, OrderType and TimeInForce are those of FIX tags 54, 40 and 59. Numbers are never
reused: a code that is dropped keeps its number, a new one takes a new number.

Kernels read the members as int64 constants of this module, each under its own name:

    from matching import codes as c
    if event.kind == c.TRADED: ...

A Python int or an enum member would make numba compile each callee once for every value it is given. Where two enums
share a name, `_PUBLISHED` says what the constant is called.
"""

from enum import IntEnum, IntFlag
from typing import TYPE_CHECKING

import numpy as np


# fmt: off
class Side(IntEnum):
    """FIX 54. In a MASS_CANCEL command 0 means both sides."""

    BUY = 1
    SELL = 2


class OrderType(IntEnum):
    """FIX 40."""

    MARKET = 1
    LIMIT = 2
    STOP = 3                   # parked until the last trade reaches trigger_price, then a MARKET order
    STOP_LIMIT = 4             # parked likewise, then a LIMIT order


# What orders of a type carry; tests/matching/test_codes.py holds the kernels to it.
STOP_TYPES = frozenset({OrderType.STOP, OrderType.STOP_LIMIT})  # a trigger price that they wait for
LIMIT_TYPES = frozenset({OrderType.LIMIT, OrderType.STOP_LIMIT})  # a limit price of their owner


class TimeInForce(IntEnum):
    """FIX 59."""

    DAY = 0
    GTC = 1
    OPENING = 2                # for the call auction only: what it leaves is canceled
    IOC = 3                    # the FAK of Chinese exchanges
    FOK = 4
    GTD = 6                    # until the end of the trading day expire_date
    SESSION = 10               # until the next break or close; no FIX value


class Flag(IntFlag):
    """Bits of COMMAND.flags and EVENT.flags."""

    POST_ONLY = 1              # refuse the order rather than take liquidity (FIX 18=6)
    REDUCE_ONLY = 2            # refuse the order if it could enlarge the position
    OPEN_QUANTITY = 4          # AMEND: quantity is the new open quantity, not the new total
    SMP_CANCEL_INCOMING = 8    # FIX 2964=1
    SMP_CANCEL_RESTING = 16    # FIX 2964=2
    SMP_CANCEL_BOTH = 32       # FIX 2964=3
    LABEL = 64                 # client_order_id is a free tag: need not be unique
    OPEN = 128                 # FIX 77: opens a position, where the instrument keeps long and short apart
    CLOSE = 256                # closes what was not opened today
    CLOSE_TODAY = 512          # closes what was opened today
    PARKED = 1024              # events only: the order waits for its trigger and is in no level


RESTING_OFFSET = 16            # TRADED.flags: offset flags of the incoming order, and so many bits higher of the resting one


class SelfMatch(IntEnum):
    """An account's own mode of self-match prevention, used where an order names none (FIX 2964)."""

    NONE = 0
    CANCEL_INCOMING = 1
    CANCEL_RESTING = 2
    CANCEL_BOTH = 3


class CommandKind(IntEnum):
    """What a COMMAND row asks for. Below 16: traders. From 16: operators."""

    ENTER = 1
    CANCEL = 2
    AMEND = 3
    MASS_CANCEL = 4
    TAKE = 5                   # trade with the offer order_id of a listing or a negotiated deal
    PHASE = 16                 # of an instrument, or ALL
    KILL_SWITCH = 17           # of the hub, a firm, an account or an instrument
    LIMIT = 18                 # one limit of an account or an instrument
    CASH = 19                  # paid into an account, or out of it
    END_DAY = 20               # DAY orders expire, client order ids are forgotten, margin is called
    BEGIN_DAY = 21             # a trading date begins
    LIST = 22                  # instrument; price: its reference price, ticks
    SETTLE = 23                # instrument: settlement price, results, fees, the next day's band
    EXPIRE = 24                # instrument: positions are closed at the settlement price; physical ones are delivered
    LIQUIDATE = 25             # account, instrument: its orders are canceled, its position is closed at the market
    WINDOW = 26                # instrument or ALL: the window of WINDOW_VWAP begins


class EventKind(IntEnum):
    """What an EVENT row reports. Below 16: orders. From 16: the operator command of the same number was done."""

    ACCEPTED = 1
    REJECTED = 2
    TRADED = 3
    CANCELED = 4
    AMENDED = 5
    TRIGGERED = 6              # a parked order enters the market; price: the limit it now has
    MASS_CANCELED = 7          # closes a MASS_CANCEL; quantity: orders canceled
    DISPLAYED = 8              # an iceberg shows another part of its quantity
    UNCROSSED = 9              # a resting buy order leaves its level to trade in an auction; what it keeps returns there
    AUCTION = 10               # closes an auction
    COUNTDOWN = 11             # a one-sided auction is covered, and ends unless a better bid comes
    BALANCE = 12               # an account's result, fees and margin in an instrument that settles
    DELIVERY = 13              # account receives, resting_account delivers quantity lots at price
    MARGIN_CALL = 14           # account; quantity: fen missing
    PHASE = 16
    KILL_SWITCH = 17
    LIMIT = 18
    CASH = 19
    DAY_ENDED = 20             # quantity: orders expired
    DAY_BEGUN = 21
    LISTED = 22
    SETTLED = 23               # the settlement price and the next day's band
    EXPIRED = 24               # quantity: orders canceled
    LIQUIDATED = 25            # quantity: lots closed
    WINDOW = 26


class Phase(IntEnum):
    """Trading phase of an instrument (FIX 336). What each permits and what may follow it: exchange/engine/phases.py."""

    CLOSED = 0
    CONTINUOUS = 1
    HALTED = 2                 # nothing enters, nothing matches, cancels pass
    CALL_AUCTION = 3           # orders are collected; nothing matches before it ends
    AUCTION_MATCH = 4          # the auction has traded; neither entry nor cancel
    BREAK = 5
    LIMIT_LOCKED = 6           # continuous trading at the daily limit with nobody on the other side
    CLOSING = 7                # no more orders; cancels pass
    SETTLEMENT = 8
    UNLISTED = 9               # not yet listed
    EXPIRED = 10
    AUCTION_ENTRY_ONLY = 11    # a call auction that takes new orders, but neither cancels nor amendments


# The phases in which a call auction collects orders. Nothing matches in them.
AUCTION_PHASES = (Phase.CALL_AUCTION, Phase.AUCTION_ENTRY_ONLY)


class AuctionStep(IntFlag):
    """Bits of Instrument.auction: the tie-breaks of a call auction, applied in this order (RULEBOOK 8.5)."""

    IMBALANCE = 1              # prices at which least is left unmatched
    REFERENCE = 4              # the price nearest to the previous settlement price
    MIDDLE = 8                 # the middle price, half a tick rounded up


class Mechanism(IntEnum):
    """How an instrument trades."""

    ORDER_BOOK = 0             # continuous matching and call auctions
    LISTING = 1                # posted offers; others TAKE them
    ONE_SIDED = 2              # one initiator, competing bids, countdown
    NEGOTIATED = 3             # an offer to one counterparty, who TAKEs it


class SettlementRule(IntEnum):
    """How SETTLE finds its price (RULEBOOK 11.2)."""

    DAY_VWAP = 0
    WINDOW_VWAP = 1
    GIVEN = 2


class Scope(IntEnum):
    """What a KILL_SWITCH command blocks."""

    HUB = 0
    FIRM = 1
    ACCOUNT = 2
    INSTRUMENT = 3


class Limit(IntEnum):
    """Which limit a LIMIT command sets. Below 32 the account's, from 32 the instrument's."""

    MAX_ORDER_QUANTITY = 1     # lots
    MAX_ORDER_NOTIONAL = 2     # fen
    MAX_LONG = 3               # lots, in each instrument, worst case
    MAX_SHORT = 4              # lots, in each instrument, worst case
    MAX_OPEN_ORDERS = 5        # resting orders over all instruments
    MESSAGES_PER_SECOND = 6    # ENTER and AMEND; 0: no limit
    MESSAGE_BURST = 7          # how many may come at once
    ENABLED = 8                # 1 or 0
    SELF_MATCH = 9             # a SelfMatch
    GROUP = 10                 # self-match group
    PROTECTION_LOTS = 11       # market-maker protection: lots that may trade within the interval; 0: none
    PROTECTION_INTERVAL = 12   # ms
    PROTECTION_RESET = 13      # any value: the account may quote again
    INSTRUMENT_MAX_ORDER_QUANTITY = 32
    INSTRUMENT_MAX_POSITION = 33
    INSTRUMENT_COLLAR = 34     # ticks around the last trade; 0: none
    INSTRUMENT_MARGIN = 35     # fen per lot
    INSTRUMENT_PROTECTION = 36 # ticks a market order may go beyond the best price; 0: to the band
    INSTRUMENT_DAILY_LIMIT = 37        # 1/10,000 of the settlement price, from the next SETTLE on; 0: the whole ladder
    INSTRUMENT_MARGIN_RATE = 38        # 1/10,000 of the settlement price, from the next SETTLE on; 0: fen per lot
    INSTRUMENT_FEE_PER_LOT = 39        # fen
    INSTRUMENT_FEE_RATE = 40           # 1/1,000,000 of the value
    INSTRUMENT_VELOCITY = 41           # ticks that trades may move within the window; 0: no circuit breaker
    INSTRUMENT_VELOCITY_WINDOW = 42    # ms
    INSTRUMENT_OPENING_CAP = 43        # lots an account may open a day; 0: none
    INSTRUMENT_RESERVE = 44            # ticks: floor (sell) or ceiling (buy) of bids in a one-sided auction; set by its initiator


ALL = -1                       # COMMAND.instrument / .account of a command that means every one


class Reason(IntEnum):
    """Why a command was refused or an order canceled: one member per rule.

    Members stand in order of precedence: of several broken rules the first named here is reported.
    RULEBOOK gives each its number; gateway/text/refusals.py its text, field and FIX code.
    """

    NONE = 0
    # the row itself
    UNKNOWN_KIND = 101
    UNKNOWN_INSTRUMENT = 102
    UNKNOWN_ACCOUNT = 103
    INVALID_SIDE = 104
    INVALID_ORDER_TYPE = 105
    INVALID_TIME_IN_FORCE = 106
    INVALID_FLAGS = 107
    INVALID_QUANTITY = 108
    INVALID_VALUE = 109        # an operator command's value or code
    INVALID_TRIGGER_PRICE = 110
    INVALID_DISPLAY_QUANTITY = 111
    INVALID_MINIMUM_QUANTITY = 112
    INVALID_EXPIRE_DATE = 113
    INVALID_OFFSET = 114
    INVALID_COUNTERPARTY = 115
    INVALID_LINK = 116
    # may anybody trade this now?
    HUB_KILLED = 201
    INSTRUMENT_KILLED = 202
    FIRM_KILLED = 203
    ACCOUNT_KILLED = 204
    ACCOUNT_DISABLED = 205
    INSTRUMENT_CLOSED = 206
    INSTRUMENT_HALTED = 207
    INSTRUMENT_UNLISTED = 208
    INSTRUMENT_EXPIRED = 209
    AUCTION_MATCHING = 210
    INSTRUMENT_BREAK = 211
    INSTRUMENT_CLOSING = 212
    INSTRUMENT_SETTLING = 213
    NOT_IN_AUCTION = 214       # an order that a call auction does not take
    ONLY_IN_AUCTION = 215      # an OPENING order outside of one
    PHASE_TRANSITION = 216     # no way leads from this phase to that one
    NOT_LIMIT_LOCKED = 217
    WRONG_MECHANISM = 218      # the instrument does not trade in this way
    PROTECTION_TRIPPED = 219   # market-maker protection, until it is reset
    ENTRY_ONLY = 220           # the call auction takes no more cancels and amendments
    # the order meant (CANCEL, AMEND)
    UNKNOWN_ORDER = 301
    ALREADY_LINKED = 302
    IRREVOCABLE = 303          # a bid of a one-sided auction stays
    NOT_COUNTERPARTY = 304     # the offer is to somebody else, or to nobody but others
    OFFER_EXISTS = 305         # a one-sided auction has its initiator already
    NO_OFFER = 306             # a one-sided auction has none yet
    AUCTION_OVER = 307         # the countdown has ended
    # the order by itself
    PRICE_OFF_TICK = 401
    QUANTITY_BELOW_MINIMUM = 402
    QUANTITY_OFF_LOT = 403
    PRICE_BELOW_BAND = 404
    PRICE_ABOVE_BAND = 405
    PRICE_OUTSIDE_COLLAR = 406
    MAX_ORDER_QUANTITY = 407
    MAX_ORDER_NOTIONAL = 408
    TRIGGER_REACHED = 409      # the last trade is there already
    TRIGGER_BELOW_BAND = 410
    TRIGGER_ABOVE_BAND = 411
    PRICE_BEYOND_RESERVE = 412 # a bid worse than a one-sided auction asks for
    # the account
    MESSAGE_RATE = 501
    DUPLICATE_CLIENT_ORDER_ID = 502
    CLIENT_ORDER_ID_CAPACITY = 503
    MAX_OPEN_ORDERS = 504
    REDUCE_ONLY_WOULD_INCREASE = 505
    MAX_LONG = 506
    MAX_SHORT = 507
    CREDIT = 508
    MARGIN_CALLED = 509        # the account may only reduce
    CLOSE_EXCEEDS_POSITION = 510
    OPENING_CAP = 511
    # the book
    BOOK_FULL = 601
    POST_ONLY_WOULD_TRADE = 602
    # why an accepted order was canceled
    IOC_REMAINDER = 701
    FOK_NOT_FILLED = 702
    SELF_MATCH_INCOMING = 703
    SELF_MATCH_RESTING = 704
    MASS_CANCEL = 705
    DAY_ENDED = 706
    AMENDED_TO_FILLED = 707
    OUTSIDE_DAILY_LIMITS = 708
    LINKED = 709               # one cancels the other: the other traded or was triggered
    MINIMUM_NOT_AVAILABLE = 710
    DATE_REACHED = 711
    AUCTION_ENDED = 712
    SESSION_ENDED = 713
    PROTECTION = 714           # market-maker protection
    LIQUIDATION = 715
    INSTRUMENT_EXPIRY = 716
    # why the machine itself changed a phase
    VELOCITY = 801
    CASCADE = 802              # too many stop orders in one go
    LIMIT_LOCK = 803
# fmt: on


# The members as constants -------------------------------------------------------------------------

_ENUMS: tuple[type[IntEnum | IntFlag], ...] = (
    Side,
    OrderType,
    TimeInForce,
    Flag,
    SelfMatch,
    CommandKind,
    EventKind,
    Phase,
    AuctionStep,
    Mechanism,
    SettlementRule,
    Scope,
    Limit,
    Reason,
)
# Constants that are not called as their member is, since another enum has a member of that name.
_PUBLISHED: dict[tuple[type, str], str] = {
    (Reason, "NONE"): "OK",  # of a check: the command passes
    (Reason, "MASS_CANCEL"): "MASS_CANCEL_REASON",
    (Reason, "DAY_ENDED"): "DAY_ENDED_REASON",
    (SelfMatch, "NONE"): "SELF_MATCH_ALLOWED",
    (Phase, "EXPIRED"): "EXPIRED_PHASE",
    (CommandKind, "LIMIT"): "SET_LIMIT",
    (EventKind, "LIMIT"): "SET_LIMIT",
    **{(Limit, name): f"LIMIT_{name}" for name in Limit.__members__},
    **{(AuctionStep, name): f"AUCTION_{name}" for name in AuctionStep.__members__},
}


def _constants() -> dict[str, np.int64]:
    """Every member of every enum by its constant's name. Errors: ValueError if a name would mean two numbers."""
    constants: dict[str, np.int64] = {}
    for enum in _ENUMS:
        for member_name, member in enum.__members__.items():
            name = _PUBLISHED.get((enum, member_name), member_name)
            if constants.setdefault(name, np.int64(member)) != member:
                raise ValueError(f"{enum.__name__}.{member_name}: {name} is {constants[name]} already")
    return constants


globals().update(_constants())
OFFSET_FLAGS = np.int64(Flag.OPEN | Flag.CLOSE | Flag.CLOSE_TODAY)
SELF_MATCH_FLAGS = np.int64(Flag.SMP_CANCEL_INCOMING | Flag.SMP_CANCEL_RESTING | Flag.SMP_CANCEL_BOTH)
EVERY = np.int64(ALL)  # ALL, for kernels
NONE = np.int64(0)  # of a field of an event that has no meaning there

if TYPE_CHECKING:

    def __getattr__(name: str) -> np.int64: ...
