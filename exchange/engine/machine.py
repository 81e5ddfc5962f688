"""The exchange as one object: commands in, events out. No I/O, no clock.

    exchange = Exchange([Instrument(...)], accounts=100)
    events = exchange.apply(commands)         # COMMAND[n], stamped -> EVENT[m]
    bids, asks = exchange.depth("SC2701")

Exchange owns the memory of matching and risk, and offers it to read by symbol and account. exchange/engine/lanes.py has
the path of a command, docs/IN_PROCESS.md an introduction.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from exchange.engine.accounts import (
    EXPOSED,
    AccountSummary,
    Position,
    held_instruments,
    open_interest_of,
    position_of,
    summary_of,
)
from exchange.engine.lanes import (
    list_depth,
    list_orders,
    locate,
    process_fast,
    process_fast_alone,
    process_general,
    process_operators,
)
from exchange.engine.results import Results, touch
from exchange.instruments import Instrument, daily_limits, largest_order
from matching.auction import indicative
from matching.book import Book, new_book
from matching.codes import ALL, CommandKind, Mechanism, Side
from matching.jit import direct
from matching.records import (
    COMMAND,
    COMMAND_WORDS,
    EVENT,
    EXTRA,
    INSTRUMENT,
    MARKED,
    NIL,
    NOBODY,
    OCO,
    ORDER,
    SIDE,
    SPARE_EXTRA_ROWS,
    SPARE_ROWS,
    TIME_IN_FORCE,
    offset_of,
)
from risk.limits import LARGEST_MARGIN, Account, set_account
from risk.records import SPECIAL_AT_SETTLEMENT, SPECIAL_OFFSET, SPECIAL_SPREAD, SPECIAL_TO_LEG, Ledger, new_ledger

RESTING = np.dtype(
    (
        np.record,
        [
            ("order_id", "<i8"),
            ("price", "<i8"),
            ("quantity", "<i8"),
            ("leaves_quantity", "<i8"),
            ("client_order_id", "S20"),
            ("instrument", "<i4"),
            ("account", "<i4"),
            ("side", "u1"),
            ("time_in_force", "u1"),
        ],
    )
)
_COUNTED = ("event_id", "trade_id", "orders", "extra_rows", "trading_date")  # of STATE, in the digest
_OF_INSTRUMENT = tuple(name for name in INSTRUMENT.names or () if name != "state")  # which only repeats others
DEPTH = np.dtype((np.record, [("price", "<i8"), ("quantity", "<i8"), ("orders", "<i8")]))
POSITION = np.dtype(
    (
        np.record,
        [("instrument", "<i8"), ("position", "<i8"), ("open_buy", "<i8"), ("open_sell", "<i8"), ("cost", "<i8")],
    )
)

# A posted or negotiated offer. minimum_quantity: least lots of one TAKE; counterparty: to whom it is made, or ALL.
OFFER = np.dtype(
    (
        np.record,
        [
            ("order_id", "<i8"),
            ("price", "<i8"),
            ("leaves_quantity", "<i8"),
            ("minimum_quantity", "<i8"),
            ("account", "<i4"),
            ("counterparty", "<i4"),
            ("side", "u1"),
        ],
    )
)

_OTHER_LANES = {"general": process_general, "operators": process_operators}
_MILLISECOND = 1_000_000  # ns
_SPARE_EVENTS = 8192  # events a batch may give beyond those of the worst single command, before a second call


class Exchange:
    """Books, risk and accounts of a set of instruments, in memory.

    instruments   Instrument objects; their position is the instrument index
    accounts      Account objects, or a number: that many, with limits far away
    risk          False: matching alone (RULEBOOK 1 to 4 and 6)
    max_orders    capacity of resting orders
    max_client_order_ids   how many client order ids a day can be remembered
    Errors    InstrumentError: legs that do not fit (RULEBOOK 12.6)
    """

    def __init__(
        self,
        instruments: Sequence[Instrument],
        accounts: Sequence[Account] | int = 1,
        risk: bool = True,
        max_orders: int = 1 << 17,
        max_client_order_ids: int = 1 << 20,
    ) -> None:
        self.instruments = tuple(instruments)
        self.accounts = (
            tuple(Account(name=f"account-{number}") for number in range(accounts))
            if isinstance(accounts, int)
            else tuple(accounts)
        )
        if not self.accounts:
            raise ValueError("accounts: none given, at least 1 needed")
        self.risk = risk
        self.sequence = 0  # of the last command
        self.time = 0  # of the last command, ns
        self._index = {instrument.symbol: number for number, instrument in enumerate(self.instruments)}
        listed = {instrument.symbol: instrument for instrument in self.instruments}
        for instrument in self.instruments:
            instrument.check_legs(listed)
        self._book = self._new_book(max_orders)
        self._ledger = self._new_ledger(max_client_order_ids)
        self._results = Results(self._most_events() + _SPARE_EVENTS)
        limits = self._ledger.limits  # columns: a cell is read several times as fast as a field of a record
        self._fees = limits["fee_per_lot"], limits["fee_rate"], limits["fen_per_tick"]
        self._lanes: dict[Any, Callable[..., Any]] = {}  # compiled, by lane

    def _new_book(self, max_orders: int) -> Book:
        book = new_book(
            bands=[(i.price_floor, i.price_ceiling) for i in self.instruments],
            references=[i.reference_price for i in self.instruments],
            members=len(self.accounts),
            max_orders=max_orders,
            median=[i.price_rule == "median" for i in self.instruments],
            protection=[i.protection for i in self.instruments],
        )
        for row, instrument in zip(book.instruments, self.instruments, strict=True):
            row.phase, row.mechanism, row.auction = instrument.phase, instrument.mechanism, instrument.auction
            row.daily_limit, row.velocity = instrument.daily_limit, instrument.velocity
            row.velocity_window = instrument.velocity_window * _MILLISECOND
            row.watched, row.special = (
                instrument.velocity != 0,
                self.risk and (instrument.offset or len(instrument.legs) > 0),
            )
            row.floor, row.ceiling = daily_limits(instrument, instrument.reference_price, instrument.daily_limit)
        for member, account in zip(book.members, self.accounts, strict=True):
            if account.group is not None:
                member.group = account.group
            member.self_match = account.self_match
        return book

    def _new_ledger(self, max_client_order_ids: int) -> Ledger:
        ledger = new_ledger(
            len(self.accounts),
            len(self.instruments),
            max(a.firm for a in self.accounts) + 1,
            max_client_order_ids,
            self.risk,
        )
        for number, account in enumerate(self.accounts):
            set_account(ledger, number, account)
        for limit, instrument in zip(ledger.limits, self.instruments, strict=True):
            limit.max_order_quantity = largest_order(instrument)
            limit.max_position, limit.collar = instrument.max_position, instrument.collar
            limit.largest_position = LARGEST_MARGIN // max(1, instrument.margin)
            limit.margin, limit.fen_per_tick = instrument.margin, instrument.fen_per_tick
            limit.price_increment, limit.quantity_increment = instrument.price_increment, instrument.quantity_increment
            limit.minimum_quantity = instrument.minimum_quantity
            limit.margin_rate, limit.opening_cap = instrument.margin_rate, instrument.opening_cap
            limit.fee_per_lot, limit.fee_rate = instrument.fee_per_lot, instrument.fee_rate
            limit.settlement, limit.physical = instrument.reference_price, instrument.physical
            legs = [self._index[symbol] for symbol in instrument.legs] + [NIL, NIL]
            limit.leg_near, limit.leg_far = legs[:2]
            limit.special = (
                instrument.offset * SPECIAL_OFFSET
                | (len(instrument.legs) == 2) * SPECIAL_SPREAD
                | (len(instrument.legs) == 1) * SPECIAL_TO_LEG
                | instrument.at_settlement * SPECIAL_AT_SETTLEMENT
            )
        return ledger

    def warm_up(self) -> None:
        """Load the compiled lanes and the memory that commands will use, so that the first batch is as fast as later ones.

        Changes nothing that shows. It takes as much memory as a full book does.
        """
        self.load_lanes()
        book, ledger = self._book, self._ledger
        for rows in (book.orders, book.chain, book.buckets, book.levels, ledger.exposures, ledger.client_orders):
            touch(rows)
        self._results.warm_up()

    def load_lanes(self, *names: str) -> None:
        """Load compiled lanes, or compile what no cache holds, and run nothing. names: fast, general, operators; none: all."""
        lanes = {"fast": process_fast if self.risk else process_fast_alone, **_OTHER_LANES}
        for name in names or lanes:
            self._compiled(lanes[name], np.zeros(1, COMMAND).view(COMMAND_WORDS), 0, self._results.room(), 0)

    def _most_events(self) -> int:
        """Events that a single command may give: of every order, account and instrument."""
        book = self._book
        return 3 * len(book.orders) + 2 * (len(book.members) + len(book.instruments)) + SPARE_EXTRA_ROWS + SPARE_ROWS

    # Commands -------------------------------------------------------------------------------------

    def apply(self, commands: np.ndarray) -> np.ndarray:
        """Apply COMMAND[n]. Returns their events, EVENT[m].

        The caller may keep the result and write to it. Any split of the same rows into batches gives the same events.
        Errors    TypeError: rows are not COMMAND. ValueError naming the row, its value and the bound: the sequence does not
                  continue the last one, or time runs backwards. Rows before that one may have been applied then:
                  `sequence` says how far; none has where the first row is wrong, or the last row's sequence.
        """
        if commands.dtype != COMMAND:
            raise TypeError(f"commands: dtype {commands.dtype}, must be matching.COMMAND")
        if not len(commands):
            return np.empty(0, EVENT)
        # The lanes are compiled for one kind of array: contiguous, writable, aligned.
        if not (commands.flags.c_contiguous and commands.flags.behaved):
            commands = commands.copy()
        rows = commands.view(COMMAND_WORDS)
        sequences, times = commands["sequence"], commands["time"]
        if sequences[0] != self.sequence + 1 or sequences[-1] != self.sequence + len(commands) or times[0] < self.time:
            raise self._out_of_order(sequences, times)
        parts = []
        done = 0
        while done < len(rows):
            began = done
            done, written = self._fill(rows, done, self._results.room())
            if done == began:
                error = self._out_of_order(sequences, times)
                self.sequence += done
                self.time = int(times[done - 1])
                raise error
            parts.append(self._results.lend(written))
        self.sequence += len(rows)
        self.time = int(times[-1])
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _out_of_order(self, sequences: np.ndarray, times: np.ndarray) -> ValueError:
        """What is wrong with the first row that does not continue the last command."""
        wanted = self.sequence + 1 + np.arange(len(sequences))
        before = np.concatenate([[self.time], times[:-1]])
        row = int(np.argmax((sequences != wanted) | (times < before)))
        if sequences[row] != wanted[row]:
            return ValueError(f"sequence of row {row} is {sequences[row]}, must be {wanted[row]}")
        return ValueError(
            f"time of row {row} is {times[row]}, must be {before[row]} or later: time never runs backwards"
        )

    def _fill(self, rows: np.ndarray, done: int, buffer: np.ndarray) -> tuple[int, int]:
        """Apply rows from `done` on until all are done or the buffer might not hold the events of the next.

        Returns (next row, rows of events written)
        """
        at, began = 0, -1
        while done < len(rows) and done != began:
            began = done
            done, at, unfinished = self._run(process_fast if self.risk else process_fast_alone, rows, done, buffer, at)
            if unfinished or done < len(rows):
                operators = not unfinished and rows[done]["kind"] >= CommandKind.PHASE
                done, at = self._run(process_operators if operators else process_general, rows, done, buffer, at)
        return done, at

    def _run(self, lane: Any, rows: np.ndarray, done: int, buffer: np.ndarray, at: int) -> Any:
        """One call of a lane."""
        return self._compiled(lane, rows, done, buffer, at)(rows, done, buffer, at, self._book, self._ledger)

    def _compiled(self, lane: Any, rows: np.ndarray, done: int, buffer: np.ndarray, at: int) -> Callable[..., Any]:
        """The compiled lane. It does not check types, which is safe because all arguments are made in this class."""
        if lane not in self._lanes:
            self._lanes[lane] = direct(lane, rows, done, buffer, at, self._book, self._ledger)
        return self._lanes[lane]

    @property
    def event_id(self) -> int:
        """Number of the last event."""
        return int(self._book.state[0].event_id)

    @property
    def book(self) -> Book:
        """The arrays of matching, for invariants.check_book and for benchmarks. Read only."""
        return self._book

    @property
    def ledger(self) -> Ledger:
        """The arrays of risk. Read only."""
        return self._ledger

    # Reading --------------------------------------------------------------------------------------

    def index(self, symbol: str) -> int:
        """Index of an instrument. Errors: KeyError."""
        return self._index[symbol]

    def depth(self, symbol: str, levels: int | None = 10) -> tuple[np.ndarray, np.ndarray]:
        """(bids, asks): record arrays with price (ticks), quantity (lots) and orders; best first.

        levels   at most so many a side; None: all
        Cost     O(levels listed), and the orders of levels in which icebergs rest. The first call for an instrument
                 counts its orders, and from then on each order of it costs the engine a little more
        Errors   KeyError
        """
        number = self._index[symbol]
        sides = []
        for side in (Side.BUY, Side.SELL):
            most = int(self._book.sides[2 * number + side - 1].orders)
            rows = np.empty((most if levels is None else min(levels, most), 3), np.int64)
            count = list_depth(self._book, number, int(side), rows)
            sides.append(rows[:count].copy().view(DEPTH).reshape(count))
        return sides[0], sides[1]

    def best(self, symbol: str) -> tuple[int | None, int | None]:
        """Prices of the best bid and the best ask, ticks; None: there is none. O(1). Errors: KeyError."""
        number = self._index[symbol]
        bids, asks = self._book.sides[2 * number : 2 * number + 2].tolist()
        return _best_price(bids), _best_price(asks)

    def orders(self, symbol: str) -> np.ndarray:
        """RESTING orders of an instrument: bids then asks, best price first, oldest first."""
        slots = np.concatenate([self._slots(self._index[symbol], place) for place in (0, 1)])
        return self._resting(slots[:, 0], slots[:, 1])

    def offers(self, symbol: str) -> np.ndarray:
        """OFFER rows of an instrument that is listed or negotiated, in the order of `orders`. RULEBOOK 13.1 and 13.3."""
        number, book = self._index[symbol], self._book
        slots, prices = np.concatenate([self._slots(number, place) for place in (0, 1)]).T
        orders, extras = book.orders[slots], book.extras[slots]
        marked = orders["terms"] & MARKED != 0  # else its row of extras means nothing
        offers = np.zeros(len(slots), OFFER)
        offers["price"] = prices
        for field in ("order_id", "leaves_quantity", "account", "side"):
            offers[field] = orders[field]
        offers["minimum_quantity"] = np.where(
            marked, np.minimum(extras["minimum_quantity"], orders["leaves_quantity"]), 0
        )
        negotiated = book.instruments[number]["mechanism"] == Mechanism.NEGOTIATED
        offers["counterparty"] = np.where(marked & negotiated, extras["counterparty"], ALL)
        return offers

    def _slots(self, number: int, place: int) -> np.ndarray:
        """int64 (n, 2): slot and price of the orders of a ladder of the book; see kernel.list_orders."""
        ladders = self._book.sides if place < 2 else self._book.stops
        slots = np.empty((int(ladders[2 * number + place % 2]["orders"]), 2), np.int64)
        list_orders(self._book, number, place, slots)
        return slots

    def order(self, order_id: int) -> np.record | None:
        """The RESTING order of this id, or None."""
        slot, price = locate(self._book, int(order_id))
        return None if slot == NOBODY else self._resting(np.array([slot]), np.array([price]))[0]

    def _resting(self, slots: np.ndarray, prices: np.ndarray) -> np.ndarray:
        orders = self._book.orders[slots]
        resting = np.zeros(len(slots), RESTING)
        for field in ("order_id", "quantity", "leaves_quantity", "instrument", "account", "side"):
            resting[field] = orders[field]
        resting["time_in_force"] = orders["terms"] & TIME_IN_FORCE
        resting["price"] = prices
        words = orders.view(np.uint8).reshape(len(slots), ORDER.itemsize)
        start = offset_of(ORDER, "client_0")
        resting["client_order_id"] = np.ascontiguousarray(words[:, start : start + 20]).view("S20").reshape(len(slots))
        return resting

    def last_price(self, symbol: str) -> int:
        """Price of the last trade, ticks; before the first one the reference price."""
        return int(self._book.instruments[self._index[symbol]].last_price)

    def indicative(self, symbol: str) -> tuple[int, int, int]:
        """(price, lots, surplus) of a call auction that ended now, all 0 if nothing would trade. RULEBOOK 8.4.

        surplus   lots bid minus lots offered that would remain at the price
        """
        price, volume, surplus = indicative(self._book, self._index[symbol])
        return int(price), int(volume), int(surplus)

    def phase(self, symbol: str) -> int:
        """codes.Phase of an instrument."""
        return int(self._book.instruments[self._index[symbol]].phase)

    def account(self, number: int) -> np.record:
        """A copy of an account's ACCOUNT row: equity, margin_used (fen), open_orders, limits."""
        return self._ledger.accounts[number : number + 1].copy()[0]

    def position(self, account: int, symbol: str) -> Position:
        """What an account holds in an instrument, valued at the last trade's price. Errors: KeyError."""
        number = self._index[symbol]
        return position_of(self._ledger, self.instruments, account, number, self.last_price(symbol))

    def summary(self, account: int) -> AccountSummary:
        """An account's money and margin over all instruments, and whether it may trade."""
        held = held_instruments(self._ledger, len(self.instruments), account).tolist()
        positions = [self.position(account, self.instruments[number].symbol) for number in held]
        return summary_of(self._ledger, self.instruments, self.accounts, positions, account)

    def positions(self, account: int) -> np.ndarray:
        """POSITION rows of an account: instruments in which it holds or has held anything."""
        count = len(self.instruments)
        held = held_instruments(self._ledger, count, account)
        exposures = self._ledger.exposures[account * count + held]
        positions = np.zeros(len(held), POSITION)
        positions["instrument"] = held
        for field in EXPOSED:
            positions[field] = exposures[field]
        return positions

    def open_interest(self, symbol: str) -> int:
        """Lots of all long positions in an instrument. Errors: KeyError."""
        return open_interest_of(self._ledger, self.instruments, self._index[symbol])

    def limit(self, symbol: str) -> np.record:
        """A copy of an instrument's LIMIT row: margin, fees, limits. Errors: KeyError."""
        number = self._index[symbol]
        return self._ledger.limits[number : number + 1].copy()[0]

    def trade_fee(self, instrument: int, price: int, quantity: int) -> int:
        """Millionths of a fen that a trade costs either side at the present rates, exact. Charged at settlement.

        instrument   index
        """
        per_lot, rate, fen_per_tick = (int(column[instrument]) for column in self._fees)
        return quantity * (per_lot * 1_000_000 + rate * abs(price) * fen_per_tick)

    @property
    def killed(self) -> bool:
        """Whether the operator's kill switch is on for the whole hub."""
        return bool(self._ledger.hub[0].killed)

    # The whole state ------------------------------------------------------------------------------

    def digest(self) -> str:
        """Hex digest of all state that later events depend on. Equal state, equal digest, on any machine.

        It covers what the state means (orders in their queues, exposures, counters), not where it lies in memory.
        """
        digest = hashlib.blake2b(digest_size=16)
        book, ledger, state = self._book, self._ledger, self._book.state[0]
        digest.update(np.array([self.sequence, *(state[name] for name in _COUNTED)], "<i8").tobytes())
        for field in _OF_INSTRUMENT:
            digest.update(np.ascontiguousarray(book.instruments[field]).tobytes())
        for number in range(len(self.instruments)):
            for place in range(4):
                slots = self._slots(number, place)
                digest.update(self._resting(slots[:, 0], slots[:, 1]).tobytes())
                digest.update(self._extras(slots[:, 0]).tobytes())
        held = ledger.client_orders[ledger.client_orders["order_id"] != 0]
        for table in (
            book.members,
            ledger.accounts,
            ledger.limits,
            ledger.exposures,
            ledger.gross,
            ledger.firms,
            ledger.hub,
            held[np.argsort(held["order_id"])],
        ):
            digest.update(np.ascontiguousarray(table).tobytes())
        return digest.hexdigest()

    def _extras(self, slots: np.ndarray) -> np.ndarray:
        """int64 (n, fields of EXTRA) of those of the orders that are MARKED; a linked order is named by its id."""
        book = self._book
        marked = slots[book.orders["terms"][slots] & MARKED != 0]
        rows = np.array([book.extras[field][marked] for field in EXTRA.names or ()], np.int64)
        linked = (EXTRA.names or ()).index("linked")
        paired = book.orders["terms"][marked] & OCO != 0
        rows[linked] = np.where(paired, book.orders["order_id"][book.extras["linked"][marked]], 0)
        return np.ascontiguousarray(rows.T)

    def state(self) -> dict[str, np.ndarray]:
        """All state as named arrays, without unused rows, for a snapshot. They are copies."""
        book, ledger = self._book, self._ledger
        used = int(book.state[0].used)
        held = np.flatnonzero(ledger.client_orders["order_id"])
        arrays = {
            "sequence": np.array([self.sequence, self.time], "<i8"),
            "client_rows": held.astype("<i8"),
            "client_orders": ledger.client_orders[held],
        }
        for name in ("instruments", "sides", "stops", "levels", "words", "buckets", "members", "state"):
            arrays[f"book_{name}"] = _copied(getattr(book, name))
        for name in ("orders", "extras", "chain"):
            arrays[f"book_{name}"] = _copied(getattr(book, name)[:used])
        arrays["book_sides"]["counted"] = 0  # a restored exchange counts anew when its depth is read
        for name in ("accounts", "limits", "exposures", "gross", "firms", "hub"):
            arrays[f"ledger_{name}"] = _copied(getattr(ledger, name))
        return arrays

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Take over the state of another Exchange made from the same instruments, accounts and capacities.

        Errors    ValueError naming the array that does not fit; nothing has changed then
        """
        book, ledger = self._book, self._ledger
        whole = {
            f"book_{name}": getattr(book, name)
            for name in ("instruments", "sides", "stops", "levels", "words", "buckets", "members", "state")
        }
        whole |= {
            f"ledger_{name}": getattr(ledger, name)
            for name in ("accounts", "limits", "exposures", "gross", "firms", "hub")
        }
        cut = {"book_orders": book.orders, "book_extras": book.extras, "book_chain": book.chain}
        for name, target in (whole | cut).items():
            given = arrays.get(name)
            if (
                given is None
                or given.dtype.itemsize != target.dtype.itemsize
                or (len(given) > len(target) if name in cut else len(given) != len(target))
            ):
                raise ValueError(
                    f"snapshot array {name}: {None if given is None else given.shape}, must be {target.shape}"
                )
        for side in book.sides[book.sides["counted"] != 0]:
            book.counts[side.first : side.end] = 0
        ledger.client_orders["order_id"] = 0
        ledger.client_orders[arrays["client_rows"]] = arrays["client_orders"].view(ledger.client_orders.dtype)
        for name, target in (whole | cut).items():
            target[: len(arrays[name])] = arrays[name].view(target.dtype)
        self.sequence, self.time = map(int, arrays["sequence"])


_BEST, _END, _ORIGIN, _SLOPE = ((SIDE.names or ()).index(name) for name in ("best", "end", "origin", "slope"))


def _best_price(side: tuple[int, ...]) -> int | None:
    """Price of a SIDE's best level, ticks; see book.price_of."""
    return None if side[_BEST] == side[_END] else side[_SLOPE] * (side[_BEST] - side[_ORIGIN])


def _copied(rows: np.ndarray) -> np.ndarray:
    """A copy byte for byte. NumPy would copy field by field, slowly, and leave the padding undefined."""
    return rows.view(np.uint8).copy().view(rows.dtype)
