"""Orders of a session: parameters -> COMMAND rows, and the answer when the rows come back durable.

A function of a method submits rows with a Ticket and returns None, or answers at once where there is nothing to do. The
ticket names the function that answers. Questions that change nothing are in questions.py.

    buy(session, read, "7", now)                  # session.submit(rows, Ticket(_answer_entry, "7", now))
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from msgspec import UNSET, Struct, UnsetType

from gateway.hub import Hub, disk_is_low
from gateway.market import describe as terms
from gateway.rpc import requests
from gateway.rpc.reports import TIME_IN_FORCE, Batch, Order, entered
from gateway.rpc.requests import order_number
from gateway.text.messages import (
    OFFSETS,
    Scale,
    date_number,
    encode,
    invalid,
    refusal,
    refused_by_rule,
)
from matching.codes import ALL, CommandKind, EventKind, Flag, Limit, OrderType, Reason, Side, TimeInForce
from matching.records import Command, Event

if TYPE_CHECKING:
    from gateway.rpc.session import Session

_OFFER_IS_GONE = (int(Reason.UNKNOWN_ORDER), int(Reason.INVALID_QUANTITY))  # or less is left of it
_TYPE = {
    "limit": int(OrderType.LIMIT),
    "market": int(OrderType.MARKET),
    UNSET: int(OrderType.LIMIT),
    "stop_limit": int(OrderType.STOP_LIMIT),
    "stop_market": int(OrderType.STOP),
}
_PRICED = ("limit", "stop_limit", UNSET)
_STOPS = ("stop_limit", "stop_market")
_TIME_IN_FORCE = {name: number for number, name in TIME_IN_FORCE.items()}
_SELF_MATCH = {
    "cancel_incoming": int(Flag.SMP_CANCEL_INCOMING),
    "cancel_resting": int(Flag.SMP_CANCEL_RESTING),
    "cancel_both": int(Flag.SMP_CANCEL_BOTH),
    UNSET: 0,
}
_POST_ONLY, _REDUCE_ONLY, _LABEL = int(Flag.POST_ONLY), int(Flag.REDUCE_ONLY), int(Flag.LABEL)
_HUB_S_PRICE = (int(OrderType.MARKET), int(OrderType.STOP))  # of orders that bring none


class Ticket(Struct, gc=False):
    """What is needed to answer when the rows come back. `id` is JSON; None: nobody waits."""

    answer: Callable[["Session", "Ticket", list[Command], list[Event], Batch], str]
    id: str | None
    received: int  # ns
    rows: int = 1
    order_id: int = 0


# Entering -----------------------------------------------------------------------------------------


def buy(session: "Session", read: requests.Enter, request_id: str, now: int) -> None:
    _enter(session, read, Side.BUY, request_id, now)


def sell(session: "Session", read: requests.Enter, request_id: str, now: int) -> None:
    _enter(session, read, Side.SELL, request_id, now)


def _enter(session: "Session", read: requests.Enter, side: int, request_id: str, now: int) -> None:
    refuse_without_room(session.hub)
    index = session.instrument(read.instrument_name)
    scale = session.orders.scales[index]
    kind = read.type
    priced = kind in _PRICED
    if priced is (read.price is UNSET):
        raise invalid(
            "price",
            "price is missing" if priced else f"price: a {kind} order has none",
            reason="value_required" if priced else "invalid_value",
        )
    if kind in _STOPS and read.trigger_price is UNSET:
        raise invalid(
            "trigger_price", f"trigger_price is missing: a {kind} order waits for it", reason="value_required"
        )
    time_in_force = (
        _TIME_IN_FORCE[read.time_in_force]
        if read.time_in_force is not UNSET
        else TimeInForce.IOC
        if kind == "market"
        else TimeInForce.GTC
    )
    if time_in_force == TimeInForce.GTD and read.expire_date is UNSET:
        raise invalid(
            "expire_date", "expire_date is missing: a good_til_date order ends with it", reason="value_required"
        )
    name, flags = _name_and_flag(read.client_order_id, read.label)
    if read.post_only is True:
        flags |= _POST_ONLY
    if read.reduce_only is True:
        flags |= _REDUCE_ONLY
    if read.offset is not UNSET:
        flags |= OFFSETS[read.offset]
    _refuse_repricing(read.reject_post_only)
    session.submit(
        session.row(
            CommandKind.ENTER,
            instrument=index,
            price=0 if read.price is UNSET else scale.ticks(read.price),
            quantity=scale.lots(read.amount),
            client_order_id=name,
            side=side,
            order_type=_TYPE[kind],
            time_in_force=time_in_force,
            flags=flags | _SELF_MATCH[read.self_match],
            **_special(session, read, scale),
        ),
        Ticket(_answer_entry, request_id, now),
    )


def _special(session: "Session", read: requests.Enter, scale: Scale) -> dict[str, int]:
    """The columns of a row that only some orders fill. Errors: Refused naming the field."""
    fields = {}
    if read.trigger_price is not UNSET:
        fields["trigger_price"] = scale.ticks(read.trigger_price, "trigger_price")
    elif read.trigger is not UNSET:
        raise invalid("trigger", "trigger: an order without trigger_price has none", value=read.trigger)
    if read.display_amount is not UNSET:
        fields["display_quantity"] = scale.lots(read.display_amount, "display_amount")
    if read.minimum_amount is not UNSET:
        fields["minimum_quantity"] = scale.lots(read.minimum_amount, "minimum_amount")
    if read.expire_date is not UNSET:
        fields["expire_date"] = date_number(read.expire_date, "expire_date")
    if read.linked_order_id is not UNSET:
        fields["order_id"] = order_number(read.linked_order_id, "linked_order_id")
    if read.counterparty is not UNSET:
        fields["counterparty"] = session.desk.account(read.counterparty, "counterparty")
    return fields


def refuse_without_room(hub: Hub) -> None:
    """New orders while the disk is nearly full. Errors: Refused 11051; cancels do not come here."""
    if hub.condition.disk_low:
        raise disk_is_low()


def _answer_entry(
    session: "Session", ticket: Ticket, commands: list[Command], events: list[Event], batch: Batch
) -> str:
    command, first = commands[0], events[0]
    if first.kind == EventKind.REJECTED:
        if first.reason == Reason.DUPLICATE_CLIENT_ORDER_ID or (
            command.kind == CommandKind.TAKE
            and first.reason in _OFFER_IS_GONE
            and command.client_order_id
            and not command.flags & _LABEL
        ):
            return _answer_repeat(session, command, first, batch)
        raise refused_by_rule(first, session.orders.scales[command.instrument], _field_meant(command, first))
    order = entered(command, first)
    body = _changed(session, order, events, batch)
    if order.leaves > 0:
        session.remember(order, batch.now)
    return body


def _field_meant(command: Command, rejected: Event) -> str:
    """The parameter that a rule is about, where it is not the usual one."""
    if (
        rejected.reason == Reason.PRICE_OFF_TICK
        and rejected.resting_leaves_quantity == command.trigger_price != command.price
    ):
        return "trigger_price"
    return "linked_order_id" if rejected.reason == Reason.UNKNOWN_ORDER and command.kind == CommandKind.ENTER else ""


def _answer_repeat(session: "Session", command: Command, rejected: Event, batch: Batch) -> str:
    """RULEBOOK 5.10 for clients: the same order again is answered with the first one, another is refused."""
    order = (
        batch.order(rejected.resting_order_id, rejected.sequence)
        if rejected.reason == Reason.DUPLICATE_CLIENT_ORDER_ID
        else batch.named(command.account, command.client_order_id.rstrip(b"\0"), rejected.sequence)
    )
    if order is None or not (
        _is_repeat(order, command)
        if command.kind == CommandKind.ENTER
        else (order.quantity == command.quantity and batch.offer_taken_by(order.order_id) == command.order_id)
    ):
        raise refused_by_rule(rejected, session.orders.scales[command.instrument])
    return f'{{"order":{session.orders.text(order, dup=True)},"trades":[]}}'


def _is_repeat(order: Order, command: Command) -> bool:
    """Whether an ENTER says what the order was entered with."""
    return (
        order.instrument == command.instrument
        and order.side == command.side
        and order.flags == command.flags
        and order.quantity == command.quantity
        and order.order_type == command.order_type
        and order.time_in_force == command.time_in_force
        and order.expire_date == command.expire_date
        and order.trigger_price == command.trigger_price
        and order.display_quantity == command.display_quantity
        and order.minimum_quantity == command.minimum_quantity
        and (order.price == command.price or command.order_type in _HUB_S_PRICE)
    )


def _changed(session: "Session", order: Order, events: list[Event], batch: Batch) -> str:
    """The answer of buy, sell, take and edit: bring the order up to its events, list its trades.

    It may be the resting side of some: its trade may have triggered a stop that trades with what was left of it.
    """
    trades = []
    number = order.order_id
    for event in events:
        if event.order_id == number or event.resting_order_id == number:
            order.apply(event)
            if event.kind == EventKind.TRADED:
                trades.append(event)
    text = session.orders.text(order)
    if not trades:
        return f'{{"order":{text},"trades":[]}}'
    texts = ",".join(
        session.orders.trade_text(order, event, event.order_id == number, batch.trade_sequence(event))
        for event in trades
    )
    return f'{{"order":{text},"trades":[{texts}]}}'


def _name_and_flag(client_order_id: str | UnsetType, label: str | UnsetType) -> tuple[bytes, int]:
    """The 20 bytes that name an order, and whether they are only a tag. Errors: Refused naming label."""
    if client_order_id is not UNSET:
        if label is not UNSET and label != client_order_id:
            raise invalid(
                "label",
                f"label: {label} must be equal to client_order_id, which travels in its place",
                value=label,
                bound=client_order_id,
            )
        return client_order_id.encode(), 0
    return (b"", 0) if label is UNSET else (label.encode(), _LABEL)


def _refuse_repricing(reject_post_only: bool | UnsetType) -> None:
    if reject_post_only is False:
        raise invalid(
            "reject_post_only",
            "reject_post_only: a post_only order that would trade is refused here, never repriced",
            value=False,
            bound=True,
        )


# Taking -------------------------------------------------------------------------------------------


def take(session: "Session", read: requests.Take, request_id: str, now: int) -> None:
    """The offer may be anybody's; whether it may be taken is the book's affair (RULEBOOK 13)."""
    refuse_without_room(session.hub)
    number = order_number(read.order_id)
    offer = session.orders.find(number)
    # who names the order may be asking again: whether it is the same is seen when the engine has refused it
    if offer is None or not (offer.open or read.client_order_id):
        raise refusal(
            Reason.UNKNOWN_ORDER, "" if offer is None else f"order {number} is {offer.state}", value=str(number)
        )
    name, flags = _name_and_flag(read.client_order_id, read.label)
    session.submit(
        session.row(
            CommandKind.TAKE,
            instrument=offer.instrument,
            order_id=number,
            flags=flags,
            client_order_id=name,
            quantity=session.orders.scales[offer.instrument].lots(read.amount),
        ),
        Ticket(_answer_entry, request_id, now),
    )


# Editing ------------------------------------------------------------------------------------------


def edit(session: "Session", read: requests.Edit, request_id: str, now: int) -> None:
    _amend(session, _own_open(session, order_number(read.order_id)), read, request_id, now)


def edit_by_label(session: "Session", read: requests.EditByLabel, request_id: str, now: int) -> None:
    index = session.instrument(read.instrument_name)
    found = session.orders.open_of(session.account, frozenset({index}), read.label)
    if len(found) != 1:
        raise refusal(
            Reason.UNKNOWN_ORDER,
            f"{len(found)} open orders have the label {read.label}, must be one",
            field="label",
            value=read.label,
        )
    _amend(session, found[0], read, request_id, now)


def _amend(
    session: "Session", order: Order, read: requests.Edit | requests.EditByLabel, request_id: str, now: int
) -> None:
    refuse_without_room(session.hub)
    if read.amount is UNSET and read.price is UNSET and read.trigger_price is UNSET:
        raise invalid("amount", "amount, price or trigger_price must be given", reason="value_required")
    _refuse_repricing(read.reject_post_only)
    scale = session.orders.scales[order.instrument]
    # an edit that is still under way counts, so that edits sent one after the other add up
    last_price, last_trigger, last_quantity, under_way = session.amending.get(
        order.order_id, (order.price, order.trigger_price if order.parked else 0, order.quantity, 0)
    )
    price = last_price if read.price is UNSET else scale.ticks(read.price)
    trigger = last_trigger if read.trigger_price is UNSET else scale.ticks(read.trigger_price, "trigger_price")
    quantity = last_quantity if read.amount is UNSET else scale.lots(read.amount)
    session.submit(
        session.row(
            CommandKind.AMEND,
            instrument=order.instrument,
            order_id=order.order_id,
            price=price,
            trigger_price=trigger,
            quantity=quantity,
            side=order.side,
            flags=_POST_ONLY if read.post_only is True else 0,
        ),
        Ticket(_answer_edit, request_id, now, 1, order.order_id),
    )
    session.amending[order.order_id] = price, trigger, quantity, under_way + 1


def _answer_edit(session: "Session", ticket: Ticket, commands: list[Command], events: list[Event], batch: Batch) -> str:
    first = events[0]
    price, trigger, quantity, under_way = session.amending.pop(ticket.order_id)
    if under_way > 1:
        session.amending[ticket.order_id] = price, trigger, quantity, under_way - 1
    if first.kind == EventKind.REJECTED:
        raise refused_by_rule(first, _scale_of(session, ticket.order_id), _field_meant(commands[0], first))
    order = batch.order(ticket.order_id, first.sequence - 1)
    assert order is not None, f"order {ticket.order_id} was amended, but the blotter does not know it"
    return _changed(session, order, events, batch)


# Market-maker protection (RULEBOOK 9.6) -----------------------------------------------------------


def set_protection(session: "Session", read: requests.SetProtection, request_id: str, now: int) -> None:
    """The account's own: an interval of 0 switches it off."""
    if bool(read.interval) is not bool(read.quantity_limit):
        raise invalid(
            "quantity_limit",
            f"quantity_limit: {read.quantity_limit} within {read.interval} s protects nobody: both "
            "must be above 0, or both 0",
            value=read.quantity_limit,
            bound=1 if read.interval else 0,
        )
    rows = session.row(
        CommandKind.LIMIT, order_type=int(Limit.PROTECTION_INTERVAL), quantity=1000 * read.interval
    ) + session.row(CommandKind.LIMIT, order_type=int(Limit.PROTECTION_LOTS), quantity=read.quantity_limit)
    session.submit(rows, Ticket(_answer_protection, request_id, now, 2))


def _answer_protection(
    session: "Session", ticket: Ticket, commands: list[Command], events: list[Event], batch: Batch
) -> str:
    _refuse_rejected(events)
    return encode([protection_text(commands[0].quantity // 1000, commands[1].quantity)])


def protection_text(interval: int, lots: int) -> dict[str, Any]:
    return {"index_name": "any", "interval": interval, "frozen_time": 0, "quantity_limit": lots}


def reset_protection(session: "Session", read: requests.Protection, request_id: str, now: int) -> None:
    session.submit(
        session.row(CommandKind.LIMIT, order_type=int(Limit.PROTECTION_RESET), quantity=1),
        Ticket(_answer_ok, request_id, now),
    )


def _answer_ok(session: "Session", ticket: Ticket, commands: list[Command], events: list[Event], batch: Batch) -> str:
    _refuse_rejected(events)
    return '"ok"'


def _refuse_rejected(events: list[Event]) -> None:
    for event in events:
        if event.kind == EventKind.REJECTED:
            raise refused_by_rule(event, None)


# Canceling ----------------------------------------------------------------------------------------


def cancel(session: "Session", read: requests.Cancel, request_id: str, now: int) -> None:
    order = _own_open(session, order_number(read.order_id))
    session.submit(
        session.row(CommandKind.CANCEL, instrument=order.instrument, order_id=order.order_id),
        Ticket(_answer_cancel, request_id, now, 1, order.order_id),
    )


def _answer_cancel(
    session: "Session", ticket: Ticket, commands: list[Command], events: list[Event], batch: Batch
) -> str:
    first = events[0]
    if first.kind == EventKind.REJECTED:
        raise refused_by_rule(first, _scale_of(session, ticket.order_id))
    order = batch.order(ticket.order_id, first.sequence)
    assert order is not None, f"order {ticket.order_id} was canceled, but the blotter does not know it"
    return session.orders.text(order)


def cancel_by_label(session: "Session", read: requests.ByLabel, request_id: str, now: int) -> str | None:
    chosen = terms.chosen(session.hub.exchange, read.currency)
    return cancel_each(session, session.orders.open_of(session.account, chosen, read.label), request_id, now)


def cancel_each(session: "Session", orders: list[Order], request_id: str, now: int) -> str | None:
    """Cancel these; the answer is the number of those that were still open."""
    if not orders:
        return "0"
    rows = b"".join(
        session.row(CommandKind.CANCEL, instrument=order.instrument, order_id=order.order_id) for order in orders
    )
    session.submit(rows, Ticket(_answer_count, request_id, now, len(orders)))
    return None


def cancel_all(session: "Session", read: Any, request_id: str, now: int) -> None:
    session.submit(session.row(CommandKind.MASS_CANCEL, instrument=ALL), Ticket(_answer_count, request_id, now))


def cancel_all_by_instrument(session: "Session", read: requests.ByInstrument, request_id: str, now: int) -> str | None:
    return _mass_cancel(session, frozenset({session.instrument(read.instrument_name)}), read.type, request_id, now)


def cancel_all_by_currency(session: "Session", read: requests.ByCurrency, request_id: str, now: int) -> str | None:
    return _mass_cancel(
        session, terms.chosen(session.hub.exchange, read.currency, read.kind), read.type, request_id, now
    )


def _mass_cancel(session: "Session", instruments: frozenset[int], kind: str, request_id: str, now: int) -> str | None:
    if kind != "all":
        return cancel_each(
            session,
            [order for order in session.orders.open_of(session.account, instruments) if order.is_of(kind)],
            request_id,
            now,
        )
    if not instruments:
        return "0"
    chosen = [ALL] if instruments == session.desk.everything else sorted(instruments)
    session.submit(
        b"".join(session.row(CommandKind.MASS_CANCEL, instrument=index) for index in chosen),
        Ticket(_answer_count, request_id, now, len(chosen)),
    )
    return None


def _answer_count(
    session: "Session", ticket: Ticket, commands: list[Command], events: list[Event], batch: Batch
) -> str:
    """Orders canceled: a mass cancel tells their number, single cancels are counted; those that came too late are not."""
    if events[0].kind == EventKind.REJECTED and len(commands) == 1 and commands[0].kind == CommandKind.MASS_CANCEL:
        raise refused_by_rule(events[0], None)
    if commands[0].kind == CommandKind.MASS_CANCEL:
        return str(sum(event.quantity for event in events if event.kind == EventKind.MASS_CANCELED))
    return str(sum(event.kind == EventKind.CANCELED for event in events))


def cancel_for_lost(session: "Session", now: int) -> None:
    """Cancel on disconnect: all orders of the account, or those entered on this connection."""
    if session.cancel_on_disconnect == "account":
        session.submit(session.row(CommandKind.MASS_CANCEL, instrument=ALL), Ticket(_no_answer, None, now))
    elif session.cancel_on_disconnect == "connection":
        cancel_unasked(
            session,
            [
                order
                for number in sorted(session.entered)
                if (order := session.orders.find(number)) is not None and order.open
            ],
            now,
        )


def cancel_unasked(session: "Session", orders: list[Order], now: int) -> None:
    """Cancel these, with nobody to tell."""
    if orders:
        rows = b"".join(
            session.row(CommandKind.CANCEL, instrument=order.instrument, order_id=order.order_id) for order in orders
        )
        session.submit(rows, Ticket(_no_answer, None, now, len(orders)))


def _no_answer(session: "Session", ticket: Ticket, commands: list[Command], events: list[Event], batch: Batch) -> str:
    return '""'


def _own_open(session: "Session", number: int) -> Order:
    """The order that a cancel or edit means. Errors: Refused as the engine would, with what became of it."""
    order = session.orders.find(number)
    if order is None or order.account != session.account:
        raise refusal(Reason.UNKNOWN_ORDER, value=str(number))
    if not order.open:
        raise refusal(Reason.UNKNOWN_ORDER, f"order {number} is {order.state}", value=str(number))
    return order


def _scale_of(session: "Session", order_id: int) -> Scale | None:
    order = session.orders.find(order_id)
    return None if order is None else session.orders.scales[order.instrument]
