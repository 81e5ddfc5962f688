"""The compiled passes of the binary endpoint: check and stamp commands, and deal events to their accounts.

    refused = stamp(rows, account, session)           # COMMAND[n], in place; (row, check) of the first bad one, or None
    dealer = Dealer(accounts=100)
    dealer.watch(7)
    for account, events in dealer.deal(events): ...   # EVENT rows of each watched account

Half a million rows come in a second, in frames of 256. A loop that looks at each row once is faster here than array
expressions. Helpers stand before their callers, because the compiler needs it.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from matching import codes as c
from matching.codes import ALL, RESTING_OFFSET, CommandKind, EventKind
from matching.jit import inlined, kernel
from matching.records import COMMAND, COMMAND_WORDS, EVENT, EVENT_WORDS, NIL, offset_of

_ID_AT = offset_of(COMMAND, "client_order_id")
_ID_END = _ID_AT + COMMAND["client_order_id"].itemsize


class Check(NamedTuple):
    """A field of a trader's row, and what it must be."""

    field: str
    bound: str


# The book checks everything else.
CHECKS = (
    Check("kind", "1 ENTER, 2 CANCEL, 3 AMEND, 4 MASS_CANCEL or 5 TAKE"),
    Check("client_order_id", "up to 20 printable ASCII characters, then zero bytes"),
)
_KIND, _CLIENT_ORDER_ID = range(len(CHECKS))

# Whose an event is. A MASS_CANCELED or LIMIT of all accounts, of an instrument or of the hub is nobody's.
_NOBODY, _ACCOUNT, _BOTH_SIDES, _OF_LIMIT, _OF_KILL_SWITCH = range(5)
_BELONGS = np.full(256, _NOBODY, np.int64)
_BELONGS[
    [
        EventKind.ACCEPTED,
        EventKind.REJECTED,
        EventKind.CANCELED,
        EventKind.AMENDED,
        EventKind.TRIGGERED,
        EventKind.MASS_CANCELED,
        EventKind.DISPLAYED,
        EventKind.UNCROSSED,
        EventKind.BALANCE,
        EventKind.MARGIN_CALL,
        EventKind.CASH,
        EventKind.LIQUIDATED,
    ]
] = _ACCOUNT
_BELONGS[[EventKind.TRADED, EventKind.DELIVERY]] = _BOTH_SIDES
_BELONGS[EventKind.LIMIT], _BELONGS[EventKind.KILL_SWITCH] = _OF_LIMIT, _OF_KILL_SWITCH
_INCOMING_FLAGS = np.uint32((1 << RESTING_OFFSET) - 1)  # of the incoming order; the bits above are the resting order's


@inlined
def _printable(row):
    """Whether the client order id in the bytes of a row is characters 0x20 to 0x7E, then zeros to the end."""
    ended = False
    for at in range(_ID_AT, _ID_END):
        character = row[at]
        if character == 0:
            ended = True
        elif ended or character < 0x20 or character > 0x7E:
            return False
    return True


@kernel
def _stamp(rows, raw, account, session):
    """Write account and session into every row. COMMAND_WORDS[n], and the same memory as uint8[n, 112].

    Returns (row, check) of the first row that is not a trader's, or (NIL, NIL).
    """
    for at in range(len(rows)):
        row = rows[at]
        if row.kind < c.ENTER or row.kind > c.TAKE:
            return at, _KIND
        if (row.client_0 != 0 or row.client_1 != 0 or row.client_2 != 0) and not _printable(raw[at]):
            return at, _CLIENT_ORDER_ID
        row.account = account
        row.session = session
    return NIL, NIL


@inlined
def _place_of(places, account):
    """The place of an account, or NIL."""
    return places[account] if 0 <= account < len(places) else NIL


@inlined
def _places_of(places, event):
    """The place of an event's account, and of the other side's; NIL: it goes to neither."""
    belongs = _BELONGS[event.kind]
    if (
        belongs == _NOBODY
        or (belongs == _OF_LIMIT and event.side >= c.LIMIT_INSTRUMENT_MAX_ORDER_QUANTITY)
        or (belongs == _OF_KILL_SWITCH and event.side != c.ACCOUNT)
    ):
        return NIL, NIL
    if belongs == _BOTH_SIDES and event.resting_account != event.account:
        return _place_of(places, event.account), _place_of(places, event.resting_account)
    return _place_of(places, event.account), NIL


@kernel
def _count(events, places, counts):
    """Count the rows of each place. counts must be zero."""
    for at in range(len(events)):
        own, other = _places_of(places, events[at])
        if own != NIL:
            counts[own] += 1
        if other != NIL:
            counts[other] += 1


@kernel
def _deal(events, places, ends, dealt):
    """Copy each row to the places of its accounts, with the other side of a trade hidden.

    ends   int64 for each place: the index of its first row in dealt, afterwards the index after its last row
    """
    for at in range(len(events)):
        event = events[at]
        own, other = _places_of(places, event)
        two_sides = event.kind == c.TRADED and event.resting_account != event.account
        if own != NIL:
            dealt[ends[own]] = event
            if two_sides:
                row = dealt[ends[own]]
                row.resting_account = NIL
                row.flag_bits &= _INCOMING_FLAGS
            ends[own] += 1
        if other != NIL:
            dealt[ends[other]] = event
            if two_sides:
                row = dealt[ends[other]]
                row.account = NIL
                row.leaves_quantity = NIL
                row.client_0 = 0
                row.client_1 = 0
                row.client_2 = 0
                row.flag_bits &= ~_INCOMING_FLAGS
            ends[other] += 1


def stamp(rows: np.ndarray, account: int, session: int) -> tuple[int, Check] | None:
    """Check COMMAND[n], contiguous and writable, and write account and session into each row.

    Returns   None, or the first row that no trader may send and the check it fails; only the rows before it are stamped
    """
    row, check = _stamp(
        rows.view(COMMAND_WORDS), rows.view(np.uint8).reshape(len(rows), COMMAND.itemsize), account, session
    )
    return None if row == NIL else (row, CHECKS[check])


class Dealer:
    """Deals the events of a batch to the watched accounts, in two passes however many there are.

    accounts   how many the hub has
    """

    def __init__(self, accounts: int) -> None:
        self._places = np.full(accounts, NIL, np.int64)  # by account
        self._accounts: list[int] = []  # by place
        self._dealt = np.empty(0, EVENT_WORDS)

    def watch(self, account: int) -> None:
        if self._places[account] == NIL:
            self._places[account] = len(self._accounts)
            self._accounts.append(account)

    def unwatch(self, account: int) -> None:
        self._accounts.remove(account)
        self._places[account] = NIL
        self._places[self._accounts] = np.arange(len(self._accounts))

    def deal(self, events: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """(account, EVENT rows in order) of each watched account that has any in the batch.

        Of a trade with another account the other side is hidden: its account is -1, and where it was incoming its
        leaves_quantity is -1, its client_order_id and flags are empty. A DELIVERY goes to both sides unchanged: they need
        each other's names. The rows are valid until the next call.
        """
        # The kernels are compiled for contiguous, writable arrays only.
        words = np.require(events, requirements=["C", "W"]).view(EVENT_WORDS)
        counts = np.zeros(len(self._accounts), np.int64)
        _count(words, self._places, counts)
        last = np.cumsum(counts)
        total = int(last[-1]) if len(last) else 0
        if total > len(self._dealt):
            self._dealt = np.empty(2 * total, EVENT_WORDS)  # used again for the next batch: fresh memory is slow
        ends = last - counts
        _deal(words, self._places, ends, self._dealt)
        rows = self._dealt.view(EVENT)
        for place in np.flatnonzero(counts):
            yield self._accounts[place], rows[last[place] - counts[place] : last[place]]


def warm_up() -> None:
    """Run the kernels once, so that they are compiled before the first frame."""
    rows = np.zeros(1, COMMAND)
    rows["kind"], rows["instrument"] = CommandKind.MASS_CANCEL, ALL
    stamp(rows, 0, 0)
    dealer = Dealer(1)
    dealer.watch(0)
    list(dealer.deal(np.zeros(1, EVENT)))
