"""Orders of a session: parameters -> COMMAND rows, and the answer when the rows come back durable.

A function of a method submits rows with a Ticket and returns None, or answers at once where there is nothing to do. The
ticket names the function that answers. Questions that change nothing are in questions.py.

    buy(session, read, "7", now)                  # session.submit(rows, Ticket(_answer_entry, "7", now))
"""
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from msgspec import UNSET, Struct

from gateway import requests, terms
from gateway.messages import REASONS, Command, Event, Refused, Scale, invalid, refused_by_rule
from gateway.reports import Batch, Order, entered
from gateway.requests import order_number
from matching.codes import ALL, CommandKind, EventKind, Flag, OrderType, Reason, Side, TimeInForce

if TYPE_CHECKING:
    from gateway.session import Session

_REJECTED, _TRADED = int(EventKind.REJECTED), int(EventKind.TRADED)
_CANCELED, _MASS_CANCELED = int(EventKind.CANCELED), int(EventKind.MASS_CANCELED)
_DUPLICATE = int(Reason.DUPLICATE_CLIENT_ORDER_ID)
_TYPE = {"limit": int(OrderType.LIMIT), "market": int(OrderType.MARKET), UNSET: int(OrderType.LIMIT)}
_TIME_IN_FORCE = {"good_til_cancelled": int(TimeInForce.GTC), "good_til_day": int(TimeInForce.DAY),
                  "immediate_or_cancel": int(TimeInForce.IOC), "fill_or_kill": int(TimeInForce.FOK)}
_SELF_MATCH = {"cancel_incoming": int(Flag.SMP_CANCEL_INCOMING), "cancel_resting": int(Flag.SMP_CANCEL_RESTING),
               "cancel_both": int(Flag.SMP_CANCEL_BOTH), UNSET: 0}
_BUY, _SELL = int(Side.BUY), int(Side.SELL)
_POST_ONLY, _REDUCE_ONLY, _LABEL = int(Flag.POST_ONLY), int(Flag.REDUCE_ONLY), int(Flag.LABEL)
_GTC, _IOC, _MARKET = int(TimeInForce.GTC), int(TimeInForce.IOC), int(OrderType.MARKET)
_ENTER, _CANCEL, _AMEND = int(CommandKind.ENTER), int(CommandKind.CANCEL), int(CommandKind.AMEND)
_MASS_CANCEL = int(CommandKind.MASS_CANCEL)


class Ticket(Struct, gc=False):
    """What is needed to answer when the rows come back. `id` is JSON; None: nobody waits."""

    answer: Callable[["Session", "Ticket", list[Command], list[Event], Batch], str]
    id: str | None
    received: int                # ns
    rows: int = 1
    order_id: int = 0


# Entering -----------------------------------------------------------------------------------------------------------------

def buy(session: "Session", read: requests.Enter, request_id: str, now: int) -> None:
    _enter(session, read, _BUY, request_id, now)


def sell(session: "Session", read: requests.Enter, request_id: str, now: int) -> None:
    _enter(session, read, _SELL, request_id, now)


def _enter(session: "Session", read: requests.Enter, side: int, request_id: str, now: int) -> None:
    index = session.instrument(read.instrument_name)
    scale = session.orders.scales[index]
    market = read.type == "market"
    if market is (read.price is not UNSET):
        raise invalid("price", "price: a market order has none" if market else "price is missing",
                      reason="invalid_value" if market else "value_required")
    time_in_force = (_TIME_IN_FORCE[read.time_in_force] if read.time_in_force is not UNSET
                     else _IOC if market else _GTC)
    name, flags = _name_and_flag(read.client_order_id, read.label)
    if read.post_only is True:
        flags |= _POST_ONLY
    if read.reduce_only is True:
        flags |= _REDUCE_ONLY
    _refuse_repricing(read.reject_post_only)
    session.submit(session.row(
        _ENTER, instrument=index, price=0 if market else scale.ticks(read.price),  # type: ignore[arg-type]
        quantity=scale.lots(read.amount), client_order_id=name, side=side,
        order_type=_TYPE[read.type], time_in_force=time_in_force, flags=flags | _SELF_MATCH[read.self_match]),
        Ticket(_answer_entry, request_id, now))


def _answer_entry(session: "Session", ticket: Ticket, commands: list[Command], events: list[Event], batch: Batch) -> str:
    command, first = commands[0], events[0]
    if first.kind == _REJECTED:
        if first.reason == _DUPLICATE:
            return _answer_repeat(session, command, first, batch)
        raise refused_by_rule(first, session.orders.scales[command.instrument])
    order = entered(command, first)
    body = _changed(session, order, events)
    if order.leaves > 0:
        session.remember(order, batch.now)
    return body


def _answer_repeat(session: "Session", command: Command, rejected: Event, batch: Batch) -> str:
    """RULEBOOK 5.10 for clients: the same order again is answered with the first one, another is refused."""
    order = batch.order(rejected.resting_order_id, rejected.sequence)
    if order is None or not (
            order.instrument == command.instrument and order.side == command.side
            and order.quantity == command.quantity and order.order_type == command.order_type
            and order.time_in_force == command.time_in_force
            and (order.price == command.price or command.order_type == _MARKET)):
        raise refused_by_rule(rejected, session.orders.scales[command.instrument])
    return f'{{"order":{session.orders.text(order, dup=True)},"trades":[]}}'


def _changed(session: "Session", order: Order, events: list[Event]) -> str:
    """The answer of buy, sell and edit: bring the order up to its events, list its trades."""
    trades = []
    for event in events:
        if event.order_id == order.order_id:
            order.apply(event)
            if event.kind == _TRADED:
                trades.append(event)
    text = session.orders.text(order)
    if not trades:
        return f'{{"order":{text},"trades":[]}}'
    return f'{{"order":{text},"trades":[{",".join(session.orders.trade_text(order, event, True) for event in trades)}]}}'


def _name_and_flag(client_order_id: Any, label: Any) -> tuple[bytes, int]:
    """The 20 bytes that name an order, and whether they are only a tag. Errors: Refused naming label."""
    if client_order_id is not UNSET:
        if label is not UNSET and label != client_order_id:
            raise invalid("label", f"label: {label} must be equal to client_order_id, which travels in its place",
                          value=label, bound=client_order_id)
        return client_order_id.encode(), 0
    return (b"", 0) if label is UNSET else (label.encode(), _LABEL)


def _refuse_repricing(reject_post_only: Any) -> None:
    if reject_post_only is False:
        raise invalid("reject_post_only", "reject_post_only: a post_only order that would trade is refused here, never "
                      "repriced", value=False, bound=True)


# Editing --------------------------------------------------------------------------------------------------------------

def edit(session: "Session", read: requests.Edit, request_id: str, now: int) -> None:
    _amend(session, _own_open(session, order_number(read.order_id)), read, request_id, now)


def edit_by_label(session: "Session", read: requests.EditByLabel, request_id: str, now: int) -> None:
    index = session.instrument(read.instrument_name)
    found = session.orders.open_of(session.account, frozenset({index}), read.label)
    if len(found) != 1:
        raise Refused(10004, "order_not_found", f"{len(found)} open orders have the label {read.label}, must be one",
                      field="label", value=read.label, reason="unknown_order", fix=REASONS[Reason.UNKNOWN_ORDER].fix)
    _amend(session, found[0], read, request_id, now)


def _amend(session: "Session", order: Order, read: requests.Edit | requests.EditByLabel, request_id: str, now: int) -> None:
    if read.amount is UNSET and read.price is UNSET:
        raise invalid("amount", "amount or price must be given", reason="value_required")
    _refuse_repricing(read.reject_post_only)
    scale = session.orders.scales[order.instrument]
    # an edit that is still under way counts, so that edits sent one after the other add up
    last_price, last_quantity, under_way = session.amending.get(order.order_id, (order.price, order.quantity, 0))
    price = last_price if read.price is UNSET else scale.ticks(read.price)
    quantity = last_quantity if read.amount is UNSET else scale.lots(read.amount)
    session.submit(session.row(
        _AMEND, instrument=order.instrument, order_id=order.order_id, price=price, quantity=quantity, side=order.side,
        flags=_POST_ONLY if read.post_only is True else 0),
        Ticket(_answer_edit, request_id, now, 1, order.order_id))
    session.amending[order.order_id] = price, quantity, under_way + 1


def _answer_edit(session: "Session", ticket: Ticket, commands: list[Command], events: list[Event], batch: Batch) -> str:
    first = events[0]
    price, quantity, under_way = session.amending.pop(ticket.order_id)
    if under_way > 1:
        session.amending[ticket.order_id] = price, quantity, under_way - 1
    if first.kind == _REJECTED:
        raise refused_by_rule(first, _scale_of(session, ticket.order_id))
    order = batch.order(ticket.order_id, first.sequence - 1)
    assert order is not None, f"order {ticket.order_id} was amended, but the blotter does not know it"
    return _changed(session, order, events)


# Canceling ------------------------------------------------------------------------------------------------------------

def cancel(session: "Session", read: requests.Cancel, request_id: str, now: int) -> None:
    order = _own_open(session, order_number(read.order_id))
    session.submit(session.row(_CANCEL, instrument=order.instrument, order_id=order.order_id),
                   Ticket(_answer_cancel, request_id, now, 1, order.order_id))


def _answer_cancel(session: "Session", ticket: Ticket, commands: list[Command], events: list[Event], batch: Batch) -> str:
    first = events[0]
    if first.kind == _REJECTED:
        raise refused_by_rule(first, _scale_of(session, ticket.order_id))
    order = batch.order(ticket.order_id, first.sequence)
    assert order is not None, f"order {ticket.order_id} was canceled, but the blotter does not know it"
    return session.orders.text(order)


def cancel_by_label(session: "Session", read: requests.ByLabel, request_id: str, now: int) -> str | None:
    chosen = terms.chosen(session.hub.exchange, read.currency)
    orders = session.orders.open_of(session.account, chosen, read.label)
    if not orders:
        return "0"
    rows = b"".join(session.row(_CANCEL, instrument=order.instrument, order_id=order.order_id) for order in orders)
    session.submit(rows, Ticket(_answer_count, request_id, now, len(orders)))
    return None


def cancel_all(session: "Session", read: Any, request_id: str, now: int) -> None:
    session.submit(session.row(_MASS_CANCEL, instrument=ALL), Ticket(_answer_count, request_id, now))


def cancel_all_by_instrument(session: "Session", read: requests.ByInstrument, request_id: str, now: int) -> str | None:
    return _mass_cancel(session, frozenset({session.instrument(read.instrument_name)}), read.type, request_id, now)


def cancel_all_by_currency(session: "Session", read: requests.ByCurrency, request_id: str, now: int) -> str | None:
    return _mass_cancel(session, terms.chosen(session.hub.exchange, read.currency, read.kind), read.type, request_id, now)


def _mass_cancel(session: "Session", instruments: frozenset[int], kind: str, request_id: str, now: int) -> str | None:
    if kind == "market" or not instruments:          # market orders never rest
        return "0"
    chosen = [ALL] if instruments == session.desk.everything else sorted(instruments)
    session.submit(b"".join(session.row(_MASS_CANCEL, instrument=index) for index in chosen),
                   Ticket(_answer_count, request_id, now, len(chosen)))
    return None


def _answer_count(session: "Session", ticket: Ticket, commands: list[Command], events: list[Event], batch: Batch) -> str:
    """Orders canceled: a mass cancel tells their number, single cancels are counted; those that came too late are not."""
    if events[0].kind == _REJECTED and len(commands) == 1 and commands[0].kind == _MASS_CANCEL:
        raise refused_by_rule(events[0], None)
    if commands[0].kind == _MASS_CANCEL:
        return str(sum(event.quantity for event in events if event.kind == _MASS_CANCELED))
    return str(sum(event.kind == _CANCELED for event in events))


def cancel_for_lost(session: "Session", now: int) -> None:
    """Cancel on disconnect: all orders of the account, or those entered on this connection."""
    if session.cancel_on_disconnect == "account":
        session.submit(session.row(_MASS_CANCEL, instrument=ALL), Ticket(_no_answer, None, now))
    elif session.cancel_on_disconnect == "connection":
        cancel_unasked(session, [order for number in sorted(session.entered)
                                 if (order := session.orders.find(number)) is not None and order.open], now)


def cancel_unasked(session: "Session", orders: list[Order], now: int) -> None:
    """Cancel these, with nobody to tell."""
    if orders:
        rows = b"".join(session.row(_CANCEL, instrument=order.instrument, order_id=order.order_id) for order in orders)
        session.submit(rows, Ticket(_no_answer, None, now, len(orders)))


def _no_answer(session: "Session", ticket: Ticket, commands: list[Command], events: list[Event], batch: Batch) -> str:
    return '""'


def _own_open(session: "Session", number: int) -> Order:
    """The order that a cancel or edit means. Errors: Refused as the engine would, with what became of it."""
    order = session.orders.find(number)
    if order is not None and order.account == session.account and order.open:
        return order
    told = REASONS[Reason.UNKNOWN_ORDER]
    what = told.text.format(value=number) if order is None or order.account != session.account else (
        f"order {number} is {order.state}")
    raise Refused(told.code, told.message, what, field="order_id", value=str(number), reason="unknown_order",
                  fix=told.fix)


def _scale_of(session: "Session", order_id: int) -> Scale | None:
    order = session.orders.find(order_id)
    return None if order is None else session.orders.scales[order.instrument]
