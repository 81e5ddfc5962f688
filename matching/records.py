"""The rows everything else is made of. Integers only, little-endian: ticks, lots, fen, nanoseconds.

COMMAND (112 bytes), what somebody asks for; the row on the wire, in the journal and in the engine
  sequence          1, 2, 3 ... without gap; stamped by the runner
  time              ns since the Unix epoch, UTC; stamped by the runner
  order_id          CANCEL, AMEND, TAKE: the order meant. ENTER: 0, or the order that it is linked with (one cancels the
                    other). An order's id is the sequence that entered it
  price             ticks; may be negative where the band allows it
  trigger_price     ticks, of STOP and STOP_LIMIT; else 0
  quantity          lots. AMEND: new total including what has filled (FIX 38), or with OPEN_QUANTITY the new open one
  display_quantity  lots shown at a time (FIX 1138), of an iceberg; 0: all
  minimum_quantity  lots that must trade at once (FIX 110), of an IOC order; TAKE's offer: least lots of one TAKE; 0: any
  expire_date       yyyymmdd (FIX 432), of GTD; else 0
  counterparty      account that a negotiated offer is made to; else 0
  client_order_id   up to 20 ASCII characters; empty: none
  instrument        index, or ALL
  account           index, or ALL
  kind, side, order_type, time_in_force, flags     codes.py
  session           number of the gateway session it came through, for audit; the engine ignores it

EVENT (128 bytes), what came of it
  event_id          1, 2, 3 ... without gap, over all instruments
  sequence, time    of the command that caused it
  order_id          the order (TRADED: the incoming one)
  price             ticks. TRADED: trade price. Else the order's limit (a MARKET order: the limit it was given)
  quantity          lots. ACCEPTED, AMENDED: total. TRADED: traded. CANCELED: what was open and is no more
  leaves_quantity   lots still open of order_id after this event
  trade_id          TRADED: 1, 2, 3 ... without gap; else 0
  resting_order_id, resting_account, resting_leaves_quantity, resting_price
                    TRADED: the other order: id, account, what stays open, its own limit.
                    AMENDED: resting_leaves_quantity and resting_price are the order's own before the change.
                    REJECTED: resting_leaves_quantity is the value that broke the rule, resting_price the bound;
                    for a repeated client_order_id resting_order_id is the first order.
                    ACCEPTED and AMENDED of a PARKED order: resting_price is its trigger price.
                    DISPLAYED: quantity is what the order shows now, resting_leaves_quantity what it showed before.
                    AUCTION: price, quantity traded, resting_leaves_quantity the surplus (buys minus sells) left at the price.
                    BALANCE: price settlement, quantity fen won (lost: negative), leaves_quantity fen of fees,
                    resting_leaves_quantity the position, lots, resting_price fen of initial margin that it needs,
                    resting_order_id lots bought and sold that day.
                    SETTLED: price settlement, quantity lots traded that day, leaves_quantity days limit-locked in a row,
                    resting_leaves_quantity and resting_price the new daily floor and ceiling. LISTED: price reference.
  client_order_id, instrument, account, side, flags    of order_id (REJECTED: of the command)
  kind, reason      codes.py

Both are `np.record` dtypes, so `row.price` works in compiled and in plain Python alike.
The engine reads the client order id as three integers, and `flags` under a name that np.record does not use itself:
COMMAND_WORDS and EVENT_WORDS are the same bytes so named.
"""

from typing import Any, NamedTuple

import numpy as np

CLIENT_ORDER_ID = "S20"
CACHE_LINE = 64  # bytes
_WORDS = [("client_0", "<i8"), ("client_1", "<i8"), ("client_2", "<i4")]


def record(*fields: tuple[str, str], size: int = 0) -> np.dtype:
    """A record dtype laid out as C would; size: bytes a row takes, where it shall fill cache lines."""
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
    """The same rows with one field more, which covers those from `first` on."""
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
    """Zeroed rows that begin on a cache line, so that a row of 64 bytes is one line and not parts of two."""
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


COMMAND = _command("flags", ("client_order_id", CLIENT_ORDER_ID))
COMMAND_WORDS = overlaid(_command("flag_bits", *_WORDS), "name_end", "<i8", "client_2")
EVENT = _event("flags", ("client_order_id", CLIENT_ORDER_ID))
# Neighbours once more as one number, for what an event costs is the stores that it takes to write: client_2 and instrument;
# account and resting_account; kind, side, reason and flag_bits. And in COMMAND_WORDS: client_2 and instrument.
EVENT_WORDS = overlaid(_event("flag_bits", *_WORDS), "name_end", "<i8", "client_2")
EVENT_WORDS = overlaid(overlaid(EVENT_WORDS, "accounts", "<i8", "account"), "about", "<i8", "kind")


class Command(NamedTuple):
    """A COMMAND row as Python values."""

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


class Event(NamedTuple):
    """An EVENT row as Python values. A field that has no meaning for the event is 0."""

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


assert Command._fields == COMMAND.names and Event._fields == EVENT.names

# fmt: off
# A resting order: one cache line. Slot 0 of the pool is nobody: a link that leads to 0 leads nowhere.
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
# Neighbours once more as one number: client_2, instrument, side and terms; next and previous.
ORDER = overlaid(overlaid(ORDER, "name_end", "<i8", "client_2"), "links", "<i8", "next")

# Bits of ORDER.terms above the time in force. MARKED: the order has a row of EXTRA; who has another bit has this one too.
TIME_IN_FORCE = 15
ICEBERG, LINKED, PARKED, MARKED = 16, 32, 64, 128

# What only some orders need, in the row of the order's slot: one cache line.
EXTRA = record(
    ("price", "<i8"),                 # PARKED: ticks, limit once triggered
    ("trigger_price", "<i8"),         # PARKED: ticks
    ("display_quantity", "<i8"),      # ICEBERG: lots shown at a time
    ("shown", "<i8"),                 # ICEBERG: lots shown now
    ("minimum_quantity", "<i8"),      # of an offer: least lots of one TAKE
    ("linked", "<u4"),                # LINKED: slot of the other order
    ("flag_bits", "<u4"),             # of the command that entered it: offset and self-match
    ("expire_date", "<i4"),           # GTD: yyyymmdd
    ("counterparty", "<i4"),          # negotiated offer: whom it is made to
    ("order_type", "<u4"),            # PARKED: STOP or STOP_LIMIT
    ("rows", "<u4"))                  # events that it may give beyond those of a plain order; see STATE.extra_rows

# All orders of one side at one price. Memory that was never touched is an empty level.
LEVEL = record(
    ("quantity", "<i8"),              # lots, sum of leaves_quantity
    ("head", "<u4"),                  # slot of the oldest order
    ("tail", "<u4"))                  # slot of the youngest order
LEVEL = overlaid(LEVEL, "ends", "<i8", "head")     # head and tail once more as one number

# One side of one instrument: a ladder of levels, best price first on both sides, so that buying and selling are the
# same walk. Row of a price: origin + slope * price.
SIDE = record(
    ("best", "<i8"),                  # row of the best occupied level; end: there is none
    ("first", "<i8"),                 # first row of the ladder
    ("end", "<i8"),                   # the row behind the last
    ("origin", "<i8"),
    ("slope", "<i8"),                 # asks 1, bids -1
    ("words", "<i8"),                 # where the ladder's bitmap begins in Book.words
    ("orders", "<i8"),                # resting orders
    ("_", "<i8"))

# What the book knows of an instrument. The first line is read for every order.
INSTRUMENT = record(
    ("floor", "<i8"),                 # ticks, lowest price of the band: the daily limit, or the end of the ladder
    ("ceiling", "<i8"),               # ticks, highest price of the band
    ("last_price", "<i8"),            # ticks, of the last trade; before the first: the reference price
    ("protection", "<i8"),            # ticks beyond the best price for a market order; 0: to the edge of the band
    ("phase", "u1"),                  # codes.Phase
    ("mechanism", "u1"),              # codes.Mechanism
    ("watched", "u1"),                # 1: not every order in it is plain, or a circuit breaker looks at its trades
    ("special", "u1"),                # 1: positions are not simply its own (risk/records.py)
    ("median", "<i4"),                # 1: trades at the middle of bid, ask and last; 0: at the resting price
    ("stops", "<i8"),                 # parked orders
    ("marked", "<i8"),                # orders that are MARKED
    ("locked", "<i8"),                # Side whose orders alone stand at the daily limit, while LIMIT_LOCKED; else 0
    # the second and third are not
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
# phase, mechanism, watched and special once more, as one number: what a plain order meets is PLAIN_STATE.
INSTRUMENT = overlaid(INSTRUMENT, "state", "<u4", "phase")
PLAIN_STATE = 1                       # CONTINUOUS, and nothing else

# What the book knows of an account.
MEMBER = record(
    ("group", "<i4"),                 # a match within one group is a self-match
    ("self_match", "<i4"))            # codes.SelfMatch, where the order names none

# Counters of the whole engine.
STATE = record(
    ("event_id", "<i8"),              # of the last event
    ("trade_id", "<i8"),              # of the last trade
    ("orders", "<i8"),                # resting and parked orders
    ("extra_rows", "<i8"),            # events that icebergs and parked orders may give beyond those of plain ones
    ("trading_date", "<i8"),          # yyyymmdd; 0: never told
    ("free", "<i8"),                  # first free slot; 0: take a new one
    ("used", "<i8"),                  # slots ever handed out; those beyond are untouched memory
    ("pairs", "<i8"))                 # pairs of linked orders that both rest in the book

ICEBERG_ROWS, PARKED_ROWS = 204, 8    # what such an order takes of the room for events
SPARE_EXTRA_ROWS = 1024               # what the second allowance has beyond the capacity of orders (RULEBOOK 2.8)
SPARE_ROWS = 16                       # events of a command beside those of its orders, accounts and instruments
MOST_REFILLS = 100                    # an iceberg shows at least such a part of its quantity
MAX_QUANTITY = 1 << 44                # lots of one order; keeps the sum of any book within int64
NOBODY = 0                            # slot that no order has
NIL = -1                              # a row or level that does not exist
# fmt: on
