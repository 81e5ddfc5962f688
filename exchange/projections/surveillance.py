"""The conduct of members, counted by account, instrument and day. RULEBOOK 9.7. It refuses nothing.

    surveillance = Surveillance(exchange.instruments, exchange.accounts, market_makers=[3, 4])
    surveillance.record(commands, exchange.apply(commands))
    surveillance.report()                     # Notice rows: which account reached which threshold, and what follows

This is a projection of commands and events: it never reads the engine, and can be thrown away and computed again. Its
figures are those of the trading day and begin at zero with DAY_BEGUN. Only the number of days on which an account
reached a threshold is kept longer, because the next step depends on it.

These count as conduct of a member: an ENTER or TAKE that was accepted, an AMEND, a CANCEL, and each order that a
MASS_CANCEL of the account takes (also that of cancel on disconnect). These do not: remainders of IOC and FOK orders, and
cancels by the hub (expiry, self-match prevention, linked orders, protection, liquidation, a mass cancel of ALL accounts).
Market makers are counted, but reported only for programme trading. Real rules also exempt hedging and arbitrage; orders
here carry no such mark, so there is no such exemption.

Instruments and accounts are indices, quantities lots, times ns. Helpers stand before their callers, because the compiler
needs that.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import numpy as np

from exchange.instruments import Instrument, largest_order
from matching import codes as c
from matching.codes import ALL
from matching.jit import inlined, kernel
from matching.records import COMMAND, COMMAND_WORDS, EVENT, EVENT_WORDS, NIL, record
from risk.limits import Account


class Behaviour(IntEnum):
    """What a threshold is for."""

    CANCELS = 0  # cancels and amendments
    LARGE_CANCELS = 1
    SELF_TRADES = 2  # within the account, or within its self-match group
    PROGRAMME = 3  # bursts of messages, over all instruments


class Step(IntEnum):
    """What a venue does about it: each day on which the threshold is reached leads one step further."""

    PHONE = 1
    WATCH_LIST = 2
    OPENING_RESTRICTED = 3  # no new positions for a month or more
    DECLARE = 4  # PROGRAMME only: the account has to declare that a programme trades for it


_REPORTED = (Behaviour.CANCELS, Behaviour.LARGE_CANCELS, Behaviour.SELF_TRADES)  # per instrument, with steps


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """Counts of a day from which conduct is reported. Errors: ValueError naming field, value and bound.

    Sources: SHFE and INE, DCE, ZCE and CFFEX agree on 5 self-trades and 500 cancels of one client in one contract and
    day (brokers' digests of their rules on abnormal trading). 50 large cancels, the size of a large one and the steps
    come from market notes only. Programme trading: the rules of the five futures exchanges from 9 October 2025 on.
    An SHFE order cannot be amended: a change is a cancel and a new order, so an amendment counts as a cancel.
    """

    cancels: int = 500  # cancels and amendments
    large_cancels: int = 50
    large_lots: int = 300  # open lots from which a cancel is large (SHFE, INE)
    large_share: int = 0  # 1/10,000 of the instrument's largest order instead (DCE: 8,000); 0: large_lots
    self_trades: int = 5
    bursts: int = 10  # a day
    burst_messages: int = 10  # submits and cancels ...
    burst_ns: int = 1_000_000_000  # ... within less than this

    def __post_init__(self) -> None:
        for field in ("cancels", "large_cancels", "large_lots", "self_trades", "bursts", "burst_messages", "burst_ns"):
            if getattr(self, field) < 1:
                raise ValueError(f"thresholds: {field} is {getattr(self, field)}, must be 1 or more")
        if not 0 <= self.large_share <= 10_000:
            raise ValueError(f"thresholds: large_share is {self.large_share}, must be 0 to 10000")


# One account in one instrument on one day.
CONDUCT = record(
    ("account", "<i8"),
    ("instrument", "<i8"),  # filled in where rows are handed out
    ("orders", "<i8"),  # accepted
    ("amendments", "<i8"),
    ("cancels", "<i8"),  # by the member
    ("large_cancels", "<i8"),  # of them
    ("self_trades", "<i8"),
    ("trades", "<i8"),  # on either side; one with itself counts once
    ("lots", "<i8"),
)  # in them
_COUNTED = (CONDUCT.names or ())[2:]

# One account, over all instruments.
_MEMBER = record(
    ("group", "<i8"),  # self-match group
    ("bursts", "<i8"),  # of the day
    ("messages", "<i8"),  # since the last burst
    *((f"occasions_{behaviour.name.lower()}", "<i8") for behaviour in _REPORTED),
)  # days before this one

_COUNTERS = record(
    ("event_id", "<i8"),  # of the last event recorded
    ("trading_date", "<i8"),  # yyyymmdd; 0: no BEGIN_DAY gave it
    ("burst_ns", "<i8"),
)


@dataclass(frozen=True)
class Notice:
    """A threshold that an account has reached this day."""

    account: int
    instrument: int  # ALL: over all instruments
    behaviour: Behaviour
    count: int
    threshold: int
    occasion: int  # 1: the first day on which the account reached this threshold
    step: Step


class _State(NamedTuple):
    """The arrays of a surveillance, as the kernels take them. m accounts, n instruments."""

    conduct: np.ndarray  # CONDUCT (m * n), row account * n + instrument
    members: np.ndarray  # _MEMBER (m)
    times: np.ndarray  # int64 (m, burst_messages): ns, of each account's last messages, a ring
    large: np.ndarray  # int64 (n), lots from which a cancel is large
    counters: np.ndarray  # _COUNTERS (1)


@inlined
def _conduct(state, account, instrument):
    return state.conduct[account * len(state.large) + instrument]


@inlined
def _by_member(command, event):
    """Was the order canceled because its account asked for it?"""
    if event.reason == c.MASS_CANCEL_REASON:
        return command.account == event.account
    return event.reason == c.OK or event.reason == c.AMENDED_TO_FILLED


@inlined
def _is_message(command):
    """Is the command a submit or a cancel of an account?"""
    kind = command.kind
    return kind in (c.ENTER, c.CANCEL, c.AMEND, c.TAKE) or (kind == c.MASS_CANCEL and command.account != ALL)


@inlined
def _count_message(state, command):
    """A burst is so many messages in less than burst_ns; the next one begins with the message after it."""
    counters, member = state.counters[0], state.members[command.account]
    times = state.times[command.account]
    most = len(times)
    times[member.messages % most] = command.time
    member.messages += 1
    if member.messages >= most and command.time - times[member.messages % most] < counters.burst_ns:
        member.bursts += 1
        member.messages = 0


@inlined
def _count_trade(state, event):
    own = _conduct(state, event.account, event.instrument)
    own.trades += 1
    own.lots += event.quantity
    with_itself = state.members[event.account].group == state.members[event.resting_account].group
    if with_itself:
        own.self_trades += 1
    if event.resting_account != event.account:
        other = _conduct(state, event.resting_account, event.instrument)
        other.trades += 1
        other.lots += event.quantity
        if with_itself:
            other.self_trades += 1


@inlined
def _count(state, command, event):
    """One event of an order."""
    kind = event.kind
    if kind == c.TRADED:
        _count_trade(state, event)
    elif kind == c.ACCEPTED:
        if command.kind == c.ENTER or command.kind == c.TAKE:  # else the hub's own, of LIQUIDATE
            _conduct(state, event.account, event.instrument).orders += 1
    elif kind == c.AMENDED:
        _conduct(state, event.account, event.instrument).amendments += 1
    elif kind == c.CANCELED and _by_member(command, event):
        conduct = _conduct(state, event.account, event.instrument)
        conduct.cancels += 1
        if event.quantity >= state.large[event.instrument]:
            conduct.large_cancels += 1


@kernel
def record_conduct(state, commands, events):
    """Fold a batch into the counters, up to an event that begins a day. COMMAND_WORDS, EVENT_WORDS; whole commands.

    Returns (row, at): the row of the first event that does not continue the ones before it, or NIL; and the row of the
    first DAY_BEGUN event, which is recorded, or the number of events.
    """
    counters = state.counters[0]
    present = 0  # row of the command that the event belongs to
    sequence = NIL
    for at in range(len(events)):
        event = events[at]
        if event.event_id != counters.event_id + 1:
            return at, at
        if event.sequence != sequence:
            sequence = event.sequence
            while present < len(commands) and commands[present].sequence < sequence:
                present += 1
            if present == len(commands) or commands[present].sequence != sequence:
                return at, at
            if event.kind != c.REJECTED and _is_message(commands[present]):
                _count_message(state, commands[present])
        counters.event_id = event.event_id
        if event.kind == c.SET_LIMIT and event.side == c.LIMIT_GROUP:
            state.members[event.account].group = event.quantity
        elif event.kind == c.DAY_BEGUN:
            counters.trading_date = event.quantity
            return NIL, at
        else:
            _count(state, commands[present], event)
    return NIL, len(events)


class Surveillance:
    """Conduct of the day of all accounts in all instruments, kept up to date by `record`.

    instruments     Instrument objects, in the order of their indices
    accounts        Account objects, likewise
    market_makers   indices of accounts that are counted but not reported, but for programme trading
    thresholds      see Thresholds
    Errors          ValueError for a market maker that is no account
    Memory          72 bytes an account and instrument, touched only where there is conduct
    """

    def __init__(
        self,
        instruments: Sequence[Instrument],
        accounts: Sequence[Account],
        market_makers: Iterable[int] = (),
        thresholds: Thresholds | None = None,
    ) -> None:
        self.thresholds = thresholds or Thresholds()
        self.market_makers = frozenset(market_makers)
        for maker in self.market_makers:
            if not 0 <= maker < len(accounts):
                raise ValueError(f"market_makers: {maker} given, accounts 0 to {len(accounts) - 1} exist")
        members, counters = np.zeros(len(accounts), _MEMBER), np.zeros(1, _COUNTERS)
        for number, (member, account) in enumerate(zip(members, accounts, strict=True)):
            member.group = -1 - number if account.group is None else account.group  # alone, as in matching/book.py
        counters["burst_ns"] = self.thresholds.burst_ns
        share = self.thresholds.large_share
        large = [
            -(-largest_order(terms) * share // 10_000) if share else self.thresholds.large_lots for terms in instruments
        ]
        self._state = _State(
            np.zeros(len(accounts) * len(instruments), CONDUCT),
            members,
            np.zeros((len(accounts), self.thresholds.burst_messages), np.int64),
            np.array(large, np.int64),
            counters,
        )

    def record(self, commands: np.ndarray, events: np.ndarray) -> None:
        """Take a batch: COMMAND[n] as applied, and their events, EVENT[m].

        Errors   ValueError where the batch does not continue those recorded before (a gap in event_id, a command
                 missing). The counts are then broken: throw them away.
        Cost     one compiled call; per event O(1)
        """
        # the compiled call knows one kind of array only: contiguous and writable
        commands = np.require(commands, COMMAND, ["C", "W"]).view(COMMAND_WORDS)
        events = np.require(events, EVENT, ["C", "W"]).view(EVENT_WORDS)
        while len(events):
            wrong, at = record_conduct(self._state, commands, events)
            if wrong != NIL:
                event = events[wrong]
                raise ValueError(
                    f"event {event['event_id']} of command {event['sequence']} does not continue "
                    f"the events recorded before it; record from event 1 into a new Surveillance"
                )
            if at < len(events):
                self._begin_day()
            events = events[at + 1 :]

    def report(self) -> list[Notice]:
        """Thresholds reached since the day began, by behaviour, account and instrument."""
        members, thresholds = self._state.members, self.thresholds
        notices = []
        for behaviour, (counts, threshold) in self._counted().items():
            for row in np.flatnonzero(counts >= threshold).tolist():
                account, instrument = divmod(row, len(self._state.large))
                if account not in self.market_makers:
                    occasion = int(members[f"occasions_{behaviour.name.lower()}"][account]) + 1
                    notices.append(
                        Notice(
                            account,
                            instrument,
                            behaviour,
                            int(counts[row]),
                            threshold,
                            occasion,
                            Step(min(occasion, Step.OPENING_RESTRICTED)),
                        )
                    )
        for account in np.flatnonzero(members["bursts"] >= thresholds.bursts).tolist():
            notices.append(
                Notice(
                    account,
                    ALL,
                    Behaviour.PROGRAMME,
                    int(members["bursts"][account]),
                    thresholds.bursts,
                    1,
                    Step.DECLARE,
                )
            )
        return notices

    def conduct(self, account: int | None = None) -> np.ndarray:
        """CONDUCT rows of the day, of an account or of all, where there is any."""
        state = self._state
        if account is not None and not 0 <= account < len(state.members):
            raise IndexError(f"account: {account} given, 0 to {len(state.members) - 1} exist")
        used = np.flatnonzero(np.any([state.conduct[name] != 0 for name in _COUNTED], axis=0))
        conduct = state.conduct[used]
        conduct["account"], conduct["instrument"] = np.divmod(used, len(state.large))
        return conduct if account is None else conduct[conduct["account"] == account]

    def bursts(self, account: int) -> int:
        """How often this day the account sent so many messages at once (Thresholds.burst_messages)."""
        return int(self._state.members["bursts"][account])

    @property
    def trading_date(self) -> int:
        """The day that the figures are of, yyyymmdd; 0: no day was ever begun."""
        return int(self._state.counters[0].trading_date)

    @property
    def event_id(self) -> int:
        """Of the last event recorded."""
        return int(self._state.counters[0].event_id)

    # Over a snapshot ------------------------------------------------------------------------------

    def state(self) -> dict[str, np.ndarray]:
        """All it knows, as arrays named surveillance_..., for a snapshot. Copies."""
        state = self._state
        return {
            "surveillance_event_id": np.array([self.event_id, self.trading_date], "<i8"),
            "surveillance_conduct": self.conduct(),
            "surveillance_members": state.members.copy(),
            "surveillance_times": state.times.copy(),
        }

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Take what `state` gave; other arrays are left alone. Only into a Surveillance that has recorded nothing.

        Errors   ValueError: an array is missing, of other accounts, instruments or thresholds, or the surveillance is
                 not new. Nothing has changed then.
        """
        state = self._state
        for name in ("event_id", "conduct", "members", "times"):
            if f"surveillance_{name}" not in arrays:
                raise ValueError(f"snapshot array surveillance_{name}: missing")
        if self.event_id:
            raise ValueError(f"surveillance: has recorded {self.event_id} events, must be new to be restored")
        conduct, times = arrays["surveillance_conduct"].view(CONDUCT), arrays["surveillance_times"]
        if times.shape != state.times.shape:
            raise ValueError(f"snapshot array surveillance_times: has shape {times.shape}, must be {state.times.shape}")
        if (conduct["instrument"] >= len(state.large)).any() or (conduct["account"] >= len(state.members)).any():
            raise ValueError("snapshot array surveillance_conduct: has accounts or instruments that do not exist")
        state.members[:] = arrays["surveillance_members"].view(_MEMBER)
        state.times[:] = times
        state.conduct[conduct["account"] * len(state.large) + conduct["instrument"]] = conduct
        state.counters[0].event_id, state.counters[0].trading_date = arrays["surveillance_event_id"]

    def _counted(self) -> dict[Behaviour, tuple[np.ndarray, int]]:
        """Behaviours per instrument: what counts, a row an account and instrument, and the threshold."""
        conduct, thresholds = self._state.conduct, self.thresholds
        return {
            Behaviour.CANCELS: (conduct["cancels"] + conduct["amendments"], thresholds.cancels),
            Behaviour.LARGE_CANCELS: (conduct["large_cancels"], thresholds.large_cancels),
            Behaviour.SELF_TRADES: (conduct["self_trades"], thresholds.self_trades),
        }

    def _begin_day(self) -> None:
        """Remember who reached a threshold; the rest begins anew. A ring goes on: midnight parts no burst."""
        for behaviour, account in {(notice.behaviour, notice.account) for notice in self.report()}:
            if behaviour in _REPORTED:
                self._state.members[f"occasions_{behaviour.name.lower()}"][account] += 1
        self._state.conduct.view(np.int64)[:] = 0
        self._state.members["bursts"] = 0
