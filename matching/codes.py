"""The words of the protocol as small integers: one enum per code field of COMMAND and EVENT.

Values of Side, OrderType and TimeInForce are those of FIX tags 54, 40 and 59. Numbers are for ever:
a code that dies keeps its number, a new one takes a new number.
"""
from enum import IntEnum, IntFlag


class Side(IntEnum):
    """FIX 54. In a MASS_CANCEL command 0 means both sides."""

    BUY = 1
    SELL = 2


class OrderType(IntEnum):
    """FIX 40."""

    MARKET = 1
    LIMIT = 2


class TimeInForce(IntEnum):
    """FIX 59."""

    DAY = 0
    GTC = 1
    IOC = 3
    FOK = 4


class Flag(IntFlag):
    """Bits of COMMAND.flags and EVENT.flags."""

    POST_ONLY = 1              # refuse the order rather than take liquidity (FIX 18=6)
    REDUCE_ONLY = 2            # refuse the order if it could enlarge the position
    OPEN_QUANTITY = 4          # AMEND: quantity is the new open quantity, not the new total
    SMP_CANCEL_INCOMING = 8    # FIX 2964=1
    SMP_CANCEL_RESTING = 16    # FIX 2964=2
    SMP_CANCEL_BOTH = 32       # FIX 2964=3
    LABEL = 64                 # client_order_id is a free tag: need not be unique


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
    PHASE = 16                 # order_type: Phase; instrument, or ALL
    KILL_SWITCH = 17           # order_type: Scope; account or instrument: its index (firm: account); quantity: 1 on, 0 off
    LIMIT = 18                 # order_type: Limit; account or instrument: its index; quantity: the new value
    CASH = 19                  # account; quantity: fen paid in (negative: paid out)
    END_DAY = 20               # DAY orders expire, client order ids are forgotten


class EventKind(IntEnum):
    """What an EVENT row tells. Below 16: orders. From 16: the operator command of the same number was done."""

    ACCEPTED = 1
    REJECTED = 2
    TRADED = 3
    CANCELED = 4
    AMENDED = 5
    MASS_CANCELED = 7          # closes a MASS_CANCEL; quantity: orders canceled
    PHASE = 16
    KILL_SWITCH = 17
    LIMIT = 18
    CASH = 19
    DAY_ENDED = 20             # quantity: orders expired


class Phase(IntEnum):
    """Trading phase of an instrument (FIX 336). What each permits: exchange/phases.py."""

    CLOSED = 0
    CONTINUOUS = 1
    HALTED = 2                 # nothing enters, nothing matches, cancels pass


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
    INSTRUMENT_MAX_ORDER_QUANTITY = 32
    INSTRUMENT_MAX_POSITION = 33
    INSTRUMENT_COLLAR = 34     # ticks around the last trade; 0: none
    INSTRUMENT_MARGIN = 35     # fen per lot
    INSTRUMENT_PROTECTION = 36 # ticks a market order may go beyond the best price; 0: to the band


ALL = -1                       # COMMAND.instrument / .account of a command that means every one


class Reason(IntEnum):
    """Why a command was refused or an order canceled: one member per rule.

    Members stand in order of precedence: of several broken rules the first named here is reported.
    RULEBOOK gives each its number; gateway/messages.py its text, field and FIX code.
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
    # may anybody trade this now?
    HUB_KILLED = 201
    INSTRUMENT_KILLED = 202
    FIRM_KILLED = 203
    ACCOUNT_KILLED = 204
    ACCOUNT_DISABLED = 205
    INSTRUMENT_CLOSED = 206
    INSTRUMENT_HALTED = 207
    # the order meant (CANCEL, AMEND)
    UNKNOWN_ORDER = 301
    # the order by itself
    PRICE_OFF_TICK = 401
    QUANTITY_BELOW_MINIMUM = 402
    QUANTITY_OFF_LOT = 403
    PRICE_BELOW_BAND = 404
    PRICE_ABOVE_BAND = 405
    PRICE_OUTSIDE_COLLAR = 406
    MAX_ORDER_QUANTITY = 407
    MAX_ORDER_NOTIONAL = 408
    # the account
    MESSAGE_RATE = 501
    DUPLICATE_CLIENT_ORDER_ID = 502
    CLIENT_ORDER_ID_CAPACITY = 503
    MAX_OPEN_ORDERS = 504
    REDUCE_ONLY_WOULD_INCREASE = 505
    MAX_LONG = 506
    MAX_SHORT = 507
    CREDIT = 508
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
