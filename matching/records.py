"""The rows that everything else is made of. Integers only, little-endian: ticks, lots, fen, nanoseconds.

COMMAND (112 bytes) is what somebody asks for: the row on the wire, in the journal and in the engine.
  sequence          1, 2, 3 ... without gap; stamped by the runner
  time              ns since the Unix epoch, UTC; stamped by the runner
  order_id          CANCEL, AMEND, TAKE: the order meant. ENTER: 0, or its OCO partner (one cancels the other). An order's id
                    is the sequence of the command that entered it
  price             ticks; may be negative where the band allows it
  trigger_price     ticks, of STOP and STOP_LIMIT; else 0
  quantity          lots. AMEND: new total including what has filled (FIX 38), or with OPEN_QUANTITY the new open quantity
  display_quantity  lots shown at a time (FIX 1138), of an iceberg; 0: all
  minimum_quantity  lots that must trade at once (FIX 110), of an IOC order; of an offer: least lots of one TAKE; 0: any
  expire_date       yyyymmdd (FIX 432), of GTD; else 0
  counterparty      account that a negotiated offer is made to; else 0
  client_order_id   up to 20 ASCII characters; empty: none
  instrument        index, or ALL
  account           index, or ALL
  kind, side, order_type, time_in_force, flags     codes.py
  session           number of the gateway session it came through, for audit; the engine ignores it

Operators' commands use some of these fields for values of their own. COMMAND_WORDS has a second name for them there:
  PHASE             phase in order_type
  SETTLE            settlement_rule in order_type; price: ticks, if the rule is GIVEN
  KILL_SWITCH       scope in order_type; firm in account, if the scope is FIRM; on in quantity, 1 or 0
  LIMIT             limit (codes.Limit) in order_type; value in quantity
  CASH              amount in quantity: fen paid in, negative: out
  BEGIN_DAY         date in quantity: yyyymmdd

EVENT (128 bytes) is what came of a command.
  event_id          1, 2, 3 ... without gap, over all instruments
  sequence, time    of the command that caused it
  order_id          the order (TRADED: the incoming one)
  price             ticks. TRADED: trade price. Else the order's limit (a MARKET order: the limit it was given)
  quantity          lots. ACCEPTED, AMENDED: total. TRADED: traded. CANCELED: what was open and is no more
  leaves_quantity   lots still open of order_id after this event
  trade_id          TRADED: 1, 2, 3 ... without gap; else 0
  resting_order_id, resting_account, resting_leaves_quantity, resting_price
                    TRADED: the resting order: id, account, lots that stay open, its limit; else see below
  client_order_id, instrument, account, side, flags    of order_id (REJECTED: of the command)
  kind, reason      codes.py

Some events use the fields for values of their own. EVENT_WORDS and Event have the second names given here with "in":
  REJECTED          refused_value in resting_leaves_quantity broke the rule, refused_bound in resting_price is its bound;
                    first_order_id in resting_order_id: the order that has the repeated client_order_id
  AMENDED           open_before in resting_leaves_quantity: lots open before the change; price_before in resting_price: ticks
  ACCEPTED and AMENDED with the flag PARKED
                    trigger_price in resting_price: ticks
  DISPLAYED         quantity: lots shown now; shown_before in resting_leaves_quantity
  COUNTDOWN         price: worst bid that trades; quantity: ns when the auction ends; leaves_quantity: lots offered
  AUCTION           price, quantity traded; surplus in resting_leaves_quantity: lots bid minus lots offered, left at the price
  PHASE             quantity: the phase
  BALANCE           price: settlement; quantity: fen won (lost: negative); leaves_quantity: fen of fees; position in
                    resting_leaves_quantity: lots; margin in resting_price: fen of initial margin for the position;
                    volume in resting_order_id: lots bought and sold that day
  SETTLED           price: settlement; quantity: lots traded that day; leaves_quantity: days limit-locked in a row;
                    next_floor in resting_leaves_quantity and next_ceiling in resting_price: the next day's band, ticks
  LISTED            price: reference

Both are `np.record` dtypes, so `row.price` works in compiled and in plain Python alike. COMMAND_WORDS and EVENT_WORDS are
the same bytes as the engine names them: the client order id as three integers, and `flags` as flag_bits, since np.record
has a `flags` of its own.
"""

from typing import Any, NamedTuple

import numpy as np

CLIENT_ORDER_ID = "S20"
CACHE_LINE = 64  # bytes
_WORDS = [("client_0", "<i8"), ("client_1", "<i8"), ("client_2", "<i4")]


def record(*fields: tuple[str, str], size: int = 0) -> np.dtype:
    """A record dtype laid out as C would. size: bytes of a row, if it is to fill cache lines."""
    plain = np.dtype(list(fields), align=True)
    names = [name for name, _ in fields]
    layout: Any = {
        "names": names,
        "formats": [plain[name] for name in names],
        "offsets": [offset_of(plain, name) for name in names],
        "itemsize": max(size, plain.itemsize),
    }
    return np.dtype((np.record, np.dtype(layout, align=True)))


def overlaid(dtype: np.dtype, name: str, kind: str, first: str) -> np.dtype:
    """The same rows with one more field, which lies over those from `first` on."""
    assert dtype.names is not None
    layout: Any = {
        "names": [*dtype.names, name],
        "formats": [*(dtype[field] for field in dtype.names), kind],
        "offsets": [*(offset_of(dtype, field) for field in dtype.names), offset_of(dtype, first)],
        "itemsize": dtype.itemsize,
    }
    return np.dtype((np.record, np.dtype(layout, align=True)))


def offset_of(dtype: np.dtype, field: str) -> int:
    """Bytes before a field of a row."""
    assert dtype.fields is not None
    return dtype.fields[field][1]


def new_rows(count: int, dtype: np.dtype) -> np.ndarray:
    """Zeroed rows that begin on a cache line, so that a row of 64 bytes lies in one line and not in two."""
    memory = np.zeros(count * dtype.itemsize + CACHE_LINE, np.uint8)
    begin = -memory.ctypes.data % CACHE_LINE
    return memory[begin : begin + count * dtype.itemsize].view(dtype)


def _command(flags: str, *client: tuple[str, str]) -> np.dtype:
    return record(
        ("sequence", "<i8"),
        ("time", "<i8"),
        ("order_id", "<i8"),
        ("price", "<i8"),
        ("trigger_price", "<i8"),
        ("quantity", "<i8"),
        ("display_quantity", "<i8"),
        ("minimum_quantity", "<i8"),
        *client,
        ("instrument", "<i4"),
        ("account", "<i4"),
        ("expire_date", "<i4"),
        ("counterparty", "<i4"),
        ("kind", "u1"),
        ("side", "u1"),
        ("order_type", "u1"),
        ("time_in_force", "u1"),
        (flags, "<u4"),
        ("session", "<u4"),
    )


def _event(flags: str, *client: tuple[str, str]) -> np.dtype:
    return record(
        ("event_id", "<i8"),
        ("sequence", "<i8"),
        ("time", "<i8"),
        ("order_id", "<i8"),
        ("price", "<i8"),
        ("quantity", "<i8"),
        ("leaves_quantity", "<i8"),
        ("trade_id", "<i8"),
        ("resting_order_id", "<i8"),
        ("resting_leaves_quantity", "<i8"),
        ("resting_price", "<i8"),
        *client,
        ("instrument", "<i4"),
        ("account", "<i4"),
        ("resting_account", "<i4"),
        ("kind", "u1"),
        ("side", "u1"),
        ("reason", "<u2"),
        (flags, "<u4"),
    )


class SecondName:
    """A field of Command or Event under another name, for rows in which it has a meaning of its own."""

    def __init__(self, field: str) -> None:
        self.field = field

    def __get__(self, row: object, owner: type) -> int:
        return getattr(row, self.field)


class _CommandFields(NamedTuple):
    sequence: int
    time: int
    order_id: int
    price: int
    trigger_price: int
    quantity: int
    display_quantity: int
    minimum_quantity: int
    client_order_id: bytes
    instrument: int
    account: int
    expire_date: int
    counterparty: int
    kind: int
    side: int
    order_type: int
    time_in_force: int
    flags: int
    session: int


class Command(_CommandFields):
    """A COMMAND row as Python values."""

    __slots__ = ()

    phase = SecondName("order_type")
    settlement_rule = SecondName("order_type")
    scope = SecondName("order_type")
    firm = SecondName("account")
    on = SecondName("quantity")
    limit = SecondName("order_type")
    value = SecondName("quantity")
    amount = SecondName("quantity")
    date = SecondName("quantity")


class _EventFields(NamedTuple):
    event_id: int
    sequence: int
    time: int
    order_id: int = 0
    price: int = 0
    quantity: int = 0
    leaves_quantity: int = 0
    trade_id: int = 0
    resting_order_id: int = 0
    resting_leaves_quantity: int = 0
    resting_price: int = 0
    client_order_id: bytes = b""
    instrument: int = 0
    account: int = 0
    resting_account: int = 0
    kind: int = 0
    side: int = 0
    reason: int = 0
    flags: int = 0


class Event(_EventFields):
    """An EVENT row as Python values. A field that has no meaning for the event is 0."""

    __slots__ = ()

    refused_value = SecondName("resting_leaves_quantity")
    refused_bound = SecondName("resting_price")
    first_order_id = SecondName("resting_order_id")
    open_before = SecondName("resting_leaves_quantity")
    price_before = SecondName("resting_price")
    trigger_price = SecondName("resting_price")
    shown_before = SecondName("resting_leaves_quantity")
    surplus = SecondName("resting_leaves_quantity")
    position = SecondName("resting_leaves_quantity")
    margin = SecondName("resting_price")
    volume = SecondName("resting_order_id")
    next_floor = SecondName("resting_leaves_quantity")
    next_ceiling = SecondName("resting_price")


def _named_twice(dtype: np.dtype, values: type) -> np.dtype:
    """The same rows, in which fields also have the second names that Command or Event gives them."""
    for name, second in vars(values).items():
        if isinstance(second, SecondName):
            dtype = overlaid(dtype, name, dtype[second.field].str, second.field)
    return dtype


COMMAND = _command("flags", ("client_order_id", CLIENT_ORDER_ID))
EVENT = _event("flags", ("client_order_id", CLIENT_ORDER_ID))
# Neighbours are also one number, since the cost of an event is the number of stores: client_2 and instrument; account and
# resting_account; kind, side, reason and flag_bits.
COMMAND_WORDS = overlaid(_command("flag_bits", *_WORDS), "name_end", "<i8", "client_2")
COMMAND_WORDS = _named_twice(COMMAND_WORDS, Command)
EVENT_WORDS = overlaid(_event("flag_bits", *_WORDS), "name_end", "<i8", "client_2")
EVENT_WORDS = overlaid(overlaid(EVENT_WORDS, "accounts", "<i8", "account"), "about", "<i8", "kind")
EVENT_WORDS = _named_twice(EVENT_WORDS, Event)

assert Command._fields == COMMAND.names and Event._fields == EVENT.names

# fmt: off
# A resting or parked order: one cache line. Slot 0 of the pool is NOBODY: a link to 0 leads nowhere.
ORDER = record(
    ("order_id", "<i8"),
    ("quantity", "<i8"),              # lots, total including what has filled
    ("leaves_quantity", "<i8"),       # lots still open
    *_WORDS,
    ("instrument", "<u2"),
    ("side", "u1"),
    ("terms", "u1"),                  # time in force, and the TRAITs below
    ("next", "<u4"),                  # slot of the next younger order of the level; free slots: the next free one
    ("previous", "<u4"),              # slot of the next older order
    ("level", "<u4"),                 # row of Book.levels
    ("account", "<i4"))
# Neighbours are also one number: client_2, instrument, side and terms; next and previous.
ORDER = overlaid(overlaid(ORDER, "name_end", "<i8", "client_2"), "links", "<i8", "next")

# Bits of ORDER.terms above the time in force. MARKED: the order has a row of EXTRA; an order with another bit has this one too.
TIME_IN_FORCE = 15
ICEBERG, OCO, PARKED, MARKED = 16, 32, 64, 128

# What only some orders have (extras.py), in the row of the order's slot: one cache line.
EXTRA = record(
    ("price", "<i8"),                 # PARKED: ticks, limit once triggered
    ("trigger_price", "<i8"),         # PARKED: ticks
    ("display_quantity", "<i8"),      # ICEBERG: lots shown at a time
    ("shown", "<i8"),                 # ICEBERG: lots shown now
    ("minimum_quantity", "<i8"),      # of an offer: least lots of one TAKE
    ("linked", "<u4"),                # OCO: slot of its partner
    ("flag_bits", "<u4"),             # of the command that entered it: offset and self-match
    ("expire_date", "<i4"),           # GTD: yyyymmdd
    ("counterparty", "<i4"),          # negotiated offer: whom it is made to
    ("order_type", "<u4"),            # PARKED: STOP or STOP_LIMIT
    ("rows", "<u4"))                  # events that it may cause beyond those of a plain order; see STATE.extra_rows

# All orders of one side at one price. Zeros, as new memory has them, are an empty level.
LEVEL = record(
    ("quantity", "<i8"),              # lots, sum of leaves_quantity
    ("head", "<u4"),                  # slot of the oldest order
    ("tail", "<u4"))                  # slot of the youngest order
LEVEL = overlaid(LEVEL, "ends", "<i8", "head")     # head and tail are also one number

# Beside a LEVEL of a side that is counted. Kept apart from it: as part of LEVEL, or kept for every side, it costs 1 % of the
# friendly flow and 5 to 13 % of flows that touch many levels (benchmarks/kernel.py).
COUNT = record(
    ("orders", "<i4"),
    ("icebergs", "<i4"))              # of them, those that hide lots

# One side of one instrument: a ladder of levels, best price first on both sides, so that buying and selling are the same
# walk. Row of a price: origin + slope * price.
SIDE = record(
    ("best", "<i8"),                  # row of the best occupied level; end: none
    ("first", "<i8"),                 # first row of the ladder
    ("end", "<i8"),                   # the row after the last
    ("origin", "<i8"),
    ("slope", "<i8"),                 # asks 1, bids -1
    ("words", "<i8"),                 # where the ladder's bitmap begins in Book.words
    ("orders", "<i8"),                # resting orders
    ("counted", "<i8"))               # 1: Book.counts has the orders of its levels, because someone reads its depth

# What the book knows of an instrument. The first cache line is read for every order.
INSTRUMENT = record(
    ("floor", "<i8"),                 # ticks, lowest price of the band: the daily limit, or the end of the ladder
    ("ceiling", "<i8"),               # ticks, highest price of the band
    ("last_price", "<i8"),            # ticks, of the last trade; before the first: the reference price
    ("protection", "<i8"),            # ticks beyond the best price for a market order; 0: to the edge of the band
    ("phase", "u1"),                  # codes.Phase
    ("mechanism", "u1"),              # codes.Mechanism
    ("watched", "u1"),                # 1: it has MARKED orders or a circuit breaker (extras.watch)
    ("special", "u1"),                # 1: its positions follow other rules (risk/records.py)
    ("median", "<i4"),                # 1: trades at the middle of bid, ask and last; 0: at the resting price
    ("stops", "<i8"),                 # parked orders
    ("marked", "<i8"),                # MARKED orders
    ("locked", "<i8"),                # Side whose orders alone stand at the daily limit, while LIMIT_LOCKED; else 0
    # the second and third are read by the general path and operators
    ("previous_settlement", "<i8"),   # ticks
    ("daily_limit", "<i8"),           # 1/10,000 of the settlement price; 0: the whole ladder
    ("locked_days", "<i8"),           # in a row; negative: at the lower limit
    ("velocity", "<i8"),              # ticks (RULEBOOK 9.3); 0: none
    ("velocity_window", "<i8"),       # ns
    ("slice", "<i8"),                 # time / half a window, of the last trade
    ("low", "<i8"), ("high", "<i8"),                # ticks, of trades in that slice
    ("low_before", "<i8"), ("high_before", "<i8"),  # ticks, in the one before; low > high: none
    ("auction", "<i8"),               # bits of codes.AuctionStep: the tie-breaks of a call auction
    ("reserve", "<i8"),               # ticks, ONE_SIDED: worst price a bid may have
    ("initiator", "<i8"),             # order_id, ONE_SIDED: the offer; 0: none yet
    ("deadline", "<i8"),              # ns, ONE_SIDED: end of the countdown; 0: not covered
    ("ladder_floor", "<i8"), ("ladder_ceiling", "<i8"),     # ticks, what the ladder has rows for
    size=3 * CACHE_LINE)
# phase, mechanism, watched and special are also one number. Orders take the fast path while it is PLAIN_STATE.
INSTRUMENT = overlaid(INSTRUMENT, "state", "<u4", "phase")
PLAIN_STATE = 1                       # phase CONTINUOUS, the others 0

# What the book knows of an account.
MEMBER = record(
    ("group", "<i4"),                 # a match within one group is a self-match
    ("self_match", "<i4"))            # codes.SelfMatch, where the order names none

# Counters of the whole engine.
STATE = record(
    ("event_id", "<i8"),              # of the last event
    ("trade_id", "<i8"),              # of the last trade
    ("orders", "<i8"),                # resting and parked orders
    ("extra_rows", "<i8"),            # sum of EXTRA.rows
    ("trading_date", "<i8"),          # yyyymmdd; 0: before the first BEGIN_DAY
    ("free", "<i8"),                  # first free slot; 0: take a new one
    ("used", "<i8"),                  # slots ever handed out; the rest was never touched
    ("pairs", "<i8"))                 # OCO partners of which neither is parked (oco.py)

ICEBERG_ROWS, PARKED_ROWS = 204, 8    # EXTRA.rows of such an order
SPARE_EXTRA_ROWS = 1024               # what STATE.extra_rows may reach beyond the capacity of orders (RULEBOOK 2.8)
SPARE_ROWS = 16                       # events of a command besides those of orders, accounts and instruments
MOST_REFILLS = 100                    # an iceberg shows at least one part in so many of its quantity
MAX_QUANTITY = 1 << 44                # lots of one order; keeps the sum of any book within int64
NOBODY = 0                            # the slot that no order has
NIL = -1                              # a row or level that does not exist
# fmt: on
