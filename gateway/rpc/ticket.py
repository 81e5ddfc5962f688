"""What passes between a session and the methods: who calls, what is submitted, how it is answered.

A method that changes something returns a Ticket: COMMAND rows, and the function that makes the answer once they are
durable. The session adds which request it answers, and the ticket travels with the rows.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from msgspec import Struct

from gateway.rpc.desk import Desk
from gateway.rpc.order import Order
from gateway.rpc.reports import Batch
from matching.records import Command, Event

# The commands of a ticket and their events -> the result as JSON. Errors: Refused.
Answer = Callable[[list[Command], list[Event], Batch], str]


class Ticket(Struct, gc=False):
    """COMMAND rows, one after the other, and what is needed to answer them."""

    rows: bytes
    answer: Answer
    count: int = 1  # of rows
    id: str | None = None  # of the request, as JSON; None: no answer is expected
    received: int = 0  # ns


class Edit(NamedTuple):
    """What the edits under way will make of an order: ticks, ticks, lots."""

    price: int
    trigger_price: int
    quantity: int
    under_way: int = 0  # edits


class Caller(Protocol):
    """A session as the methods see it."""

    desk: Desk
    account: int  # ALL: of an operator
    number: int  # of the connection
    edits: dict[int, Edit]  # under way, by order id

    def refuse_if_busy(self) -> None:
        """Errors: Refused where too many commands of the connection are under way."""

    def note_resting(self, order: Order, now: int) -> None:
        """An order that the caller entered rests in the book. Cancel on disconnect concerns it."""
