"""Orders and trades of the day, as members ask for them: by id, by client order id, by account.

    blotter = Blotter(max_orders=1 << 17)
    blotter.record(commands, exchange.apply(commands))
    blotter.order(order_id), blotter.order_of(account, b"a-91"), blotter.orders(account, count=20)

This is a projection of commands and events: it never reads the engine, and can be thrown away and computed again. Its
size is bounded: it holds every open order and, in the remaining rows, the orders that finished last. A new order takes
the row of the order that finished first, never that of an open one. Refused orders are not kept: the REJECTED event has
answered them.

Instruments and accounts are indices, prices ticks, quantities lots, times ns since the epoch. In Python read the field
`flags` as entry["flags"]: every NumPy scalar already has an attribute of that name. Helpers stand before their callers,
because the compiler needs that.
"""

import struct
from enum import IntEnum
from typing import NamedTuple

import numpy as np

from matching import codes as c
from matching.book import bucket_of
from matching.codes import ALL
from matching.jit import inlined, kernel
from matching.records import CLIENT_ORDER_ID, COMMAND, COMMAND_WORDS, EVENT, EVENT_WORDS, NIL, record

_MAX_INSTRUMENTS = 1 << 16  # as many as COMMAND.instrument can name
_CLIENT = struct.Struct("<qqi")  # a client order id as the three integers that kernels compare


class OrderState(IntEnum):
    """What has become of an order."""

    OPEN = 1
    FILLED = 2
    CANCELED = 3  # ENTRY.reason says why; part of it may have traded
    UNTRIGGERED = 4  # parked: it waits for its trigger


_OPEN, _FILLED, _CANCELED_STATE = int(OrderState.OPEN), int(OrderState.FILLED), int(OrderState.CANCELED)
_UNTRIGGERED = int(OrderState.UNTRIGGERED)


def _entry(*client: tuple[str, str]) -> np.dtype:
    return record(
        ("order_id", "<i8"),
        ("price", "<i8"),  # ticks; of a MARKET order, and of a STOP once triggered, the
        # limit it was given
        ("trigger_price", "<i8"),  # ticks, of STOP and STOP_LIMIT; else 0
        ("quantity", "<i8"),  # lots, total including what has filled
        ("leaves_quantity", "<i8"),  # lots still open
        ("filled_quantity", "<i8"),
        ("display_quantity", "<i8"),  # lots shown at a time; 0: all
        ("minimum_quantity", "<i8"),  # lots that had to trade at once, or least lots of one TAKE; 0: any
        ("notional", "<i8"),  # sum of trade price x quantity, ticks x lots
        ("created", "<i8"),
        ("updated", "<i8"),  # ns, of the command that entered it and the last that changed it
        ("linked_order_id", "<i8"),  # the order of which it is a pair, one cancels the other; 0: alone
        *client,
        ("instrument", "<i4"),
        ("account", "<i4"),
        ("expire_date", "<i4"),  # yyyymmdd, of GTD; else 0
        ("sequence", "<i8"),  # of the last command that changed it
        ("flags", "<u4"),  # of the command that entered it
        ("reason", "<u2"),  # CANCELED: why
        ("side", "u1"),
        ("order_type", "u1"),
        ("time_in_force", "u1"),
        ("state", "u1"),  # OrderState
        ("changed_by", "u1"),  # EventKind of the last event that changed it
        ("amended", "u1"),
        ("triggered", "u1"),
    )  # 1: it has been, ever


# One order. ENTRY and ENTRY_WORDS are the same bytes; kernels read the client order id as three integers.
ENTRY = _entry(("client_order_id", CLIENT_ORDER_ID))
ENTRY_WORDS = _entry(("client_0", "<i8"), ("client_1", "<i8"), ("client_2", "<i4"))

# One trade, with both its sides.
FILL = record(
    ("trade_id", "<i8"),
    ("trade_sequence", "<i8"),  # 1, 2, 3 ... per instrument
    ("sequence", "<i8"),
    ("time", "<i8"),
    ("price", "<i8"),
    ("quantity", "<i8"),
    ("order_id", "<i8"),
    ("resting_order_id", "<i8"),  # taker, maker
    ("leaves_quantity", "<i8"),
    ("resting_leaves_quantity", "<i8"),  # what stayed open of each
    ("instrument", "<i4"),
    ("account", "<i4"),
    ("resting_account", "<i4"),
    ("side", "u1"),
)  # of the taker

# Where an order hangs in the two indices. Slots, or NIL.
_LINK = record(("previous_client", "<i4"), ("next_client", "<i4"))

_COUNTERS = record(
    ("event_id", "<i8"),  # of the last event recorded
    ("used", "<i8"),  # slots ever handed out
    ("finished", "<i8"),  # orders that ever finished
    ("evicted", "<i8"),  # of these, how many have made room
    ("trades", "<i8"),
)  # trades ever recorded


class _State(NamedTuple):
    """The arrays of a blotter, as the kernels take them. c: capacity."""

    entries: np.ndarray  # ENTRY_WORDS (c)
    owners: np.ndarray  # int32 (c), account + 1 of the order in a slot, minus that when finished; 0: none
    finished: np.ndarray  # int32 (c), ring of slots in the order in which their orders finished
    buckets: np.ndarray  # int32, slot + 1: first of the chain of an order id
    chain: np.ndarray  # int32 (c), slot + 1: next of that chain
    client_buckets: np.ndarray  # int32, slot + 1: first of the list of a client order id, newest first
    links: np.ndarray  # _LINK (c)
    fills: np.ndarray  # FILL, a ring
    traded: np.ndarray  # int64 (instruments), trades ever recorded of each
    counters: np.ndarray  # _COUNTERS (1)


# The index by order id ----------------------------------------------------------------------------


@inlined
def _find(state, order_id):
    """Slot of an order, or NIL."""
    slot = state.buckets[bucket_of(state, order_id)] - 1
    while slot != NIL and state.entries[slot].order_id != order_id:
        slot = state.chain[slot] - 1
    return slot


@inlined
def _forget_id(state, slot):
    bucket = bucket_of(state, state.entries[slot].order_id)
    at = state.buckets[bucket] - 1
    if at == slot:
        state.buckets[bucket] = state.chain[slot]
    else:
        while state.chain[at] - 1 != slot:
            at = state.chain[at] - 1
        state.chain[at] = state.chain[slot]


# The index by account and client order id ---------------------------------------------------------


@inlined
def _client_bucket(state, account, client_0, client_1, client_2):
    """FNV-1a over 32-bit pieces, which keeps the products within int64, then mixed downwards."""
    words = 0x811C9DC5
    for piece in (
        client_0 & 0xFFFFFFFF,
        (client_0 >> 32) & 0xFFFFFFFF,
        client_1 & 0xFFFFFFFF,
        (client_1 >> 32) & 0xFFFFFFFF,
        np.int64(client_2) & 0xFFFFFFFF,
        np.int64(account) & 0xFFFFFFFF,
    ):
        words = ((words ^ piece) * 0x01000193) & 0xFFFFFFFF
    words = ((words ^ (words >> 15)) * 0x2C1B3C6D) & 0xFFFFFFFF
    return (words ^ (words >> 13)) & (len(state.client_buckets) - 1)


@inlined
def _bucket_of_entry(state, entry):
    return _client_bucket(state, entry.account, entry.client_0, entry.client_1, entry.client_2)


@inlined
def _has_client_order_id(entry):
    return (entry.client_0 | entry.client_1 | entry.client_2) != 0


@inlined
def _link_client(state, slot):
    """Put an order at the head of its list: of several with one tag the newest is found first."""
    bucket = _bucket_of_entry(state, state.entries[slot])
    head = state.client_buckets[bucket] - 1
    state.links[slot].previous_client = NIL
    state.links[slot].next_client = head
    if head != NIL:
        state.links[head].previous_client = slot
    state.client_buckets[bucket] = slot + 1


@inlined
def _unlink_client(state, slot):
    """Links go both ways because thousands of orders may share a tag, and the oldest of them leaves first."""
    link = state.links[slot]
    if link.next_client != NIL:
        state.links[link.next_client].previous_client = link.previous_client
    if link.previous_client != NIL:
        state.links[link.previous_client].next_client = link.next_client
    else:
        state.client_buckets[_bucket_of_entry(state, state.entries[slot])] = link.next_client + 1


# Orders come and go -------------------------------------------------------------------------------


@inlined
def _new_slot(state):
    """An unused slot, or that of the order that finished first, or NIL: every slot holds an open order."""
    counters = state.counters[0]
    slot = counters.used
    if slot < len(state.entries):
        counters.used += 1
        return slot
    if counters.evicted == counters.finished:
        return NIL
    slot = state.finished[counters.evicted % len(state.finished)]
    counters.evicted += 1
    _forget_id(state, slot)
    if _has_client_order_id(state.entries[slot]):
        _unlink_client(state, slot)
    return slot


@inlined
def _finish(state, slot, order_state):
    counters = state.counters[0]
    entry = state.entries[slot]
    entry.state = order_state
    state.owners[slot] = -entry.account - 1
    state.finished[counters.finished % len(state.finished)] = slot
    counters.finished += 1


@inlined
def _stamp(entry, event):
    entry.updated = event.time
    entry.sequence = event.sequence
    entry.changed_by = event.kind


@inlined
def _set_terms(entry, command, event):
    """What the command alone says. TAKE and LIQUIDATE give orders too, whose terms RULEBOOK 13.1 and 11.7 set."""
    entry.flags = np.int64(event.flag_bits) & ~c.PARKED
    entry.trigger_price = 0
    entry.display_quantity = 0
    entry.minimum_quantity = 0
    entry.expire_date = 0
    entry.linked_order_id = 0
    if command.kind == c.ENTER:
        entry.flags = command.flag_bits
        entry.order_type = command.order_type
        entry.time_in_force = command.time_in_force
        entry.trigger_price = command.trigger_price
        entry.display_quantity = command.display_quantity
        entry.minimum_quantity = command.minimum_quantity
        entry.expire_date = command.expire_date
        entry.linked_order_id = command.order_id
    elif command.kind == c.TAKE:
        entry.order_type = c.LIMIT
        entry.time_in_force = c.FOK
    else:
        entry.order_type = c.MARKET
        entry.time_in_force = c.IOC


@inlined
def _open(state, slot, command, event):
    entry = state.entries[slot]
    _set_terms(entry, command, event)
    entry.order_id = event.order_id
    entry.price = event.price
    entry.quantity = event.quantity
    entry.leaves_quantity = event.leaves_quantity
    entry.filled_quantity = 0
    entry.notional = 0
    entry.created = event.time
    entry.client_0 = event.client_0
    entry.client_1 = event.client_1
    entry.client_2 = event.client_2
    entry.instrument = event.instrument
    entry.account = event.account
    entry.reason = 0
    entry.amended = 0
    entry.triggered = 0
    entry.side = event.side
    entry.state = _UNTRIGGERED if event.flag_bits & c.PARKED else _OPEN
    _stamp(entry, event)
    state.owners[slot] = event.account + 1
    bucket = bucket_of(state, event.order_id)
    state.chain[slot] = state.buckets[bucket]
    state.buckets[bucket] = slot + 1
    if _has_client_order_id(entry):
        _link_client(state, slot)
    if entry.linked_order_id != 0:
        other = _find(state, entry.linked_order_id)
        if other != NIL:
            state.entries[other].linked_order_id = event.order_id


@inlined
def _is_open(entry):
    return entry.state == _OPEN or entry.state == _UNTRIGGERED


@inlined
def _leave_alone(state, entry):
    """An order of an OCO pair was canceled: the other order, if it is open, is no longer linked."""
    if entry.linked_order_id != 0:
        slot = _find(state, entry.linked_order_id)
        if slot != NIL:
            other = state.entries[slot]
            if other.linked_order_id == entry.order_id and _is_open(other):
                other.linked_order_id = 0


@inlined
def _amend(entry, event):
    entry.price = event.price
    entry.quantity = event.quantity
    if event.flag_bits & c.PARKED:
        entry.trigger_price = event.trigger_price


@inlined
def _fill(state, slot, event, leaves_quantity):
    entry = state.entries[slot]
    entry.leaves_quantity = leaves_quantity
    entry.filled_quantity += event.quantity
    entry.notional += event.price * event.quantity
    _stamp(entry, event)
    if leaves_quantity == 0:
        _finish(state, slot, _FILLED)


@inlined
def _keep_fill(state, event):
    counters = state.counters[0]
    fill = state.fills[counters.trades % len(state.fills)]
    counters.trades += 1
    state.traded[event.instrument] += 1
    fill.trade_id = event.trade_id
    fill.trade_sequence = state.traded[event.instrument]
    fill.sequence = event.sequence
    fill.time = event.time
    fill.price = event.price
    fill.quantity = event.quantity
    fill.order_id = event.order_id
    fill.resting_order_id = event.resting_order_id
    fill.leaves_quantity = event.leaves_quantity
    fill.resting_leaves_quantity = event.resting_leaves_quantity
    fill.instrument = event.instrument
    fill.account = event.account
    fill.resting_account = event.resting_account
    fill.side = event.side


# The kernels --------------------------------------------------------------------------------------


@kernel
def record_orders(state, commands, events):
    """Fold a batch into the blotter; see Blotter.record. COMMAND_WORDS, EVENT_WORDS.

    Returns NIL, or the row of the first event that does not continue the ones before it.
    """
    counters = state.counters[0]
    present = 0  # row of the command that the event belongs to
    incoming = NIL  # slot of the last order that was accepted, amended, triggered, uncrossed
    for at in range(len(events)):
        event = events[at]
        if event.event_id != counters.event_id + 1:
            return at
        kind = event.kind
        if kind == c.ACCEPTED:
            while present < len(commands) and commands[present].sequence < event.sequence:
                present += 1
            if present == len(commands) or commands[present].sequence != event.sequence:
                return at
            incoming = _new_slot(state)
            if incoming == NIL:
                return at
            _open(state, incoming, commands[present], event)
        elif kind == c.TRADED:
            resting = _find(state, event.resting_order_id)
            if resting == NIL or incoming == NIL or state.entries[incoming].order_id != event.order_id:
                return at
            _fill(state, incoming, event, event.leaves_quantity)
            _fill(state, resting, event, event.resting_leaves_quantity)
            _keep_fill(state, event)
        elif kind in (c.CANCELED, c.AMENDED, c.TRIGGERED, c.UNCROSSED):
            slot = _find(state, event.order_id)
            if slot == NIL:
                return at
            entry = state.entries[slot]
            if kind == c.CANCELED:
                entry.leaves_quantity = event.leaves_quantity
                entry.reason = event.reason
                _stamp(entry, event)
                _leave_alone(state, entry)
                _finish(state, slot, _CANCELED_STATE)
            else:
                incoming = slot
            if kind in (c.AMENDED, c.TRIGGERED):
                entry.leaves_quantity = event.leaves_quantity
                _stamp(entry, event)
                _amend(entry, event)
            if kind == c.AMENDED:
                entry.amended = 1
            if kind == c.TRIGGERED:
                entry.state = _OPEN
                entry.triggered = 1
        counters.event_id = event.event_id
    return NIL


@kernel
def find_order(state, order_id):
    """Slot of an order, or NIL."""
    return _find(state, order_id)


@kernel
def find_client_order(state, account, client_0, client_1, client_2):
    """Slot of the newest order of the account with this client order id, or NIL."""
    slot = state.client_buckets[_client_bucket(state, account, client_0, client_1, client_2)] - 1
    while slot != NIL:
        entry = state.entries[slot]
        if (
            entry.client_0 == client_0
            and entry.client_1 == client_1
            and entry.client_2 == client_2
            and entry.account == account
        ):
            return slot
        slot = state.links[slot].next_client
    return NIL


@kernel
def select_orders(state, account, instrument, only_open, slots):
    """Write the slots of an account's orders to `slots`, unordered; returns how many. instrument: index or ALL."""
    count = 0
    owner = account + 1
    for slot in range(state.counters[0].used):
        holds = state.owners[slot]
        if (holds == owner or (holds == -owner and not only_open)) and (
            instrument == ALL or state.entries[slot].instrument == instrument
        ):
            slots[count] = slot
            count += 1
    return count


@kernel
def select_fills(state, account, instrument, order_id, rows):
    """Write rows of the ring of trades to `rows`, newest first, until it is full; returns how many. ALL, 0: any."""
    trades = state.counters[0].trades
    count = 0
    for back in range(min(trades, len(state.fills))):
        if count == len(rows):
            break
        row = (trades - 1 - back) % len(state.fills)
        fill = state.fills[row]
        if (
            (account == ALL or fill.account == account or fill.resting_account == account)
            and (instrument == ALL or fill.instrument == instrument)
            and (order_id == 0 or fill.order_id == order_id or fill.resting_order_id == order_id)
        ):
            rows[count] = row
            count += 1
    return count


@kernel
def index_orders(state, slots):
    """Rebuild owners and both indices of a restored blotter. slots: all in use, oldest order first."""
    for at in range(len(slots)):
        slot = slots[at]
        entry = state.entries[slot]
        state.owners[slot] = entry.account + 1 if _is_open(entry) else -entry.account - 1
        bucket = bucket_of(state, entry.order_id)
        state.chain[slot] = state.buckets[bucket]
        state.buckets[bucket] = slot + 1
        if _has_client_order_id(entry):
            _link_client(state, slot)


class Blotter:
    """Open orders, the latest finished ones and the latest trades, kept up to date by `record`.

    max_orders   most orders that can be open at once: the engine's max_orders
    history      finished orders kept at least
    trades       trades kept
    Memory       about 200 bytes an order and 96 a trade, touched as the day fills it
    """

    def __init__(self, max_orders: int, history: int = 1 << 17, trades: int = 1 << 17) -> None:
        for name, value in (("max_orders", max_orders), ("history", history), ("trades", trades)):
            if not 0 < value < 1 << 30:
                raise ValueError(f"{name}: {value} given, 1 to {(1 << 30) - 1} allowed")
        capacity = max_orders + history + 1  # an order that trades at once takes one before it gives it back
        size = max(16, 1 << (2 * capacity - 1).bit_length())
        self._state = _State(
            np.zeros(capacity, ENTRY_WORDS),
            np.zeros(capacity, np.int32),
            np.zeros(capacity, np.int32),
            np.zeros(size, np.int32),
            np.zeros(capacity, np.int32),
            np.zeros(size, np.int32),
            np.zeros(capacity, _LINK),
            np.zeros(trades, FILL),
            np.zeros(_MAX_INSTRUMENTS, np.int64),
            np.zeros(1, _COUNTERS),
        )
        self._entries = self._state.entries.view(ENTRY)

    def record(self, commands: np.ndarray, events: np.ndarray) -> None:
        """Take a batch: COMMAND[n] as applied, and their events, EVENT[m].

        Errors   ValueError where the batch does not continue those recorded before (a gap in event_id, an unknown
                 order, a command missing, more open orders than max_orders). The blotter is then broken: throw it away.
        Cost     one compiled call; per event O(1)
        """
        # the compiled call knows one kind of array only: contiguous and writable
        at = record_orders(
            self._state,
            np.require(commands, COMMAND, ["C", "W"]).view(COMMAND_WORDS),
            np.require(events, EVENT, ["C", "W"]).view(EVENT_WORDS),
        )
        if at != NIL:
            raise ValueError(
                f"event {events[at]['event_id']} of command {events[at]['sequence']} does not continue "
                f"the events recorded before it; record from event 1 into a new Blotter"
            )

    def order(self, order_id: int) -> np.record | None:
        """ENTRY of an order, a copy; None: never accepted, or finished too long ago."""
        slot = find_order(self._state, int(order_id)) if order_id > 0 else NIL
        return None if slot == NIL else self._entries[slot].copy()

    def order_of(self, account: int, client_order_id: bytes) -> np.record | None:
        """ENTRY of the account's newest order with this client order id (or tag), a copy; None: there is none."""
        if not 0 < len(client_order_id) <= _CLIENT.size:
            return None
        words = _CLIENT.unpack(client_order_id.ljust(_CLIENT.size, b"\0"))
        slot = find_client_order(self._state, int(account), *words)
        return None if slot == NIL else self._entries[slot].copy()

    def orders(self, account: int, instrument: int | None = None, count: int | None = None) -> np.ndarray:
        """ENTRY rows of an account, newest first, open and finished; at most `count`."""
        return self._select(account, instrument, count, False)

    def open_orders(self, account: int, instrument: int | None = None, count: int | None = None) -> np.ndarray:
        """ENTRY rows of an account's open orders, newest first; at most `count`."""
        return self._select(account, instrument, count, True)

    def trades(
        self, account: int | None = None, instrument: int | None = None, count: int = 100, order_id: int | None = None
    ) -> np.ndarray:
        """FILL rows, newest first, at most `count`: those in which the account, or the order, was either side."""
        rows = np.zeros(min(max(count, 0), len(self._state.fills)), np.int64)
        found = select_fills(self._state, _or_all(account), _or_all(instrument), int(order_id or 0), rows)
        return self._state.fills[rows[:found]]

    def traded(self, instrument: int) -> int:
        """How many trades of the instrument have ever been recorded."""
        return int(self._state.traded[instrument])

    @property
    def event_id(self) -> int:
        """Of the last event recorded."""
        return int(self._state.counters[0].event_id)

    # Over a snapshot ------------------------------------------------------------------------------

    def state(self) -> dict[str, np.ndarray]:
        """All it knows, as arrays named blotter_..., cut to what is used, for a snapshot. Copies."""
        state, counters = self._state, self._state.counters[0]
        finished = np.arange(counters.evicted, counters.finished) % len(state.finished)
        trades = np.arange(max(0, counters.trades - len(state.fills)), counters.trades) % len(state.fills)
        return {
            "blotter_event_id": np.array([counters.event_id], "<i8"),
            "blotter_entries": self._entries[: counters.used].copy(),
            "blotter_finished": state.finished[finished].astype("<i8"),
            "blotter_fills": state.fills[trades],
            "blotter_traded": np.trim_zeros(state.traded, "b").copy(),
        }

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Take what `state` gave; other arrays are left alone. Only into a Blotter that has recorded nothing.

        Errors   ValueError: an array is missing, too large for this blotter's capacity, or the blotter is not new.
                 Nothing has changed then.
        """
        state, counters = self._state, self._state.counters[0]
        for name in ("event_id", "entries", "finished", "fills", "traded"):
            if f"blotter_{name}" not in arrays:
                raise ValueError(f"snapshot array blotter_{name}: missing")
        if counters.event_id:
            raise ValueError(f"blotter: has recorded {counters.event_id} events, must be new to be restored")
        entries, finished = arrays["blotter_entries"].view(ENTRY), arrays["blotter_finished"]
        if len(entries) > len(state.entries):
            raise ValueError(f"snapshot array blotter_entries: {len(entries)} orders, room for {len(state.entries)}")
        fills = arrays["blotter_fills"].view(FILL)[-len(state.fills) :]
        self._entries[: len(entries)] = entries
        state.finished[: len(finished)] = finished
        state.fills[: len(fills)] = fills
        state.traded[: len(arrays["blotter_traded"])] = arrays["blotter_traded"]
        counters.event_id = arrays["blotter_event_id"][0]
        counters.used, counters.finished, counters.trades = len(entries), len(finished), len(fills)
        index_orders(state, np.argsort(entries["order_id"]))

    def _select(self, account: int, instrument: int | None, count: int | None, only_open: bool) -> np.ndarray:
        slots = np.zeros(int(self._state.counters[0].used), np.int64)
        found = slots[: select_orders(self._state, int(account), _or_all(instrument), only_open, slots)]
        newest = np.argsort(self._entries["order_id"][found])[::-1]
        return self._entries[found[newest[: None if count is None else max(count, 0)]]]


def _or_all(index: int | None) -> int:
    return ALL if index is None else int(index)  # compiled calls know one kind of integer only
