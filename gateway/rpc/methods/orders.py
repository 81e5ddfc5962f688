"""Methods that enter, edit and cancel orders: parameters -> COMMAND rows, and the answer once the rows are durable.

A method returns a Ticket, or its result at once where there is nothing to do. Errors of all: Refused.

    buy(caller, params, now)                     # Ticket(row, partial(_answer_entry, caller))
"""

from functools import partial
from typing import Any

from msgspec import UNSET, UnsetType

from gateway.hub import disk_is_low
from gateway.market import describe
from gateway.rpc import requests
from gateway.rpc.order import Order, entered
from gateway.rpc.reports import Batch
from gateway.rpc.requests import order_number
from gateway.rpc.ticket import Caller, Edit, Ticket
from gateway.text import codes as c
from gateway.text.answers import encode, rejection
from gateway.text.refusals import invalid, refusal
from gateway.text.rows import command_row
from gateway.text.scale import Scale, date_number
from gateway.text.words import (
    OFFSET_FLAG,
    ORDER_TYPE_CODE,
    SELF_MATCH_FLAG,
    TIME_IN_FORCE_CODE,
    WITH_LIMIT,
    WITH_TRIGGER,
)
from matching.codes import ALL, LIMIT_TYPES, Limit, Reason
from matching.records import Command, Event

_OFFER_GONE = (c.UNKNOWN_ORDER, c.INVALID_QUANTITY)  # a TAKE is rejected: the offer is closed, or less of it is left


# Entering -----------------------------------------------------------------------------------------


def buy(caller: Caller, params: requests.Enter, now: int) -> Ticket:
    return _enter(caller, params, c.BUY)


def sell(caller: Caller, params: requests.Enter, now: int) -> Ticket:
    return _enter(caller, params, c.SELL)


def _enter(caller: Caller, params: requests.Enter, side: int) -> Ticket:
    desk = caller.desk
    if desk.hub.condition.disk_low:
        raise disk_is_low()
    index = desk.instrument(params.instrument_name)
    scale = desk.orders.scales[index]
    kind = params.type
    priced = kind is UNSET or kind in WITH_LIMIT
    if priced is (params.price is UNSET):
        raise invalid(
            "price",
            "price is missing" if priced else f"price: a {kind} order has none",
            reason="value_required" if priced else "invalid_value",
        )
    if kind in WITH_TRIGGER and params.trigger_price is UNSET:
        raise invalid(
            "trigger_price", f"trigger_price is missing: a {kind} order waits for it", reason="value_required"
        )
    time_in_force = (
        TIME_IN_FORCE_CODE[params.time_in_force]
        if params.time_in_force is not UNSET
        else c.IOC
        if kind == "market"
        else c.GTC
    )
    if time_in_force == c.GTD and params.expire_date is UNSET:
        raise invalid(
            "expire_date", "expire_date is missing: a good_til_date order ends with it", reason="value_required"
        )
    name, flags = _name_and_flag(params.client_order_id, params.label)
    if params.post_only is True:
        flags |= c.POST_ONLY
    if params.reduce_only is True:
        flags |= c.REDUCE_ONLY
    if params.offset is not UNSET:
        flags |= OFFSET_FLAG[params.offset]
    if params.self_match is not UNSET:
        flags |= SELF_MATCH_FLAG[params.self_match]
    _refuse_repricing(params.reject_post_only)
    row = command_row(
        c.ENTER,
        caller.account,
        caller.number,
        instrument=index,
        price=0 if params.price is UNSET else scale.ticks(params.price),
        quantity=scale.lots(params.amount),
        client_order_id=name,
        side=side,
        order_type=c.LIMIT if kind is UNSET else ORDER_TYPE_CODE[kind],
        time_in_force=time_in_force,
        flags=flags,
        **_special(caller, params, scale),
    )
    return Ticket(row, partial(_answer_entry, caller))


def _special(caller: Caller, params: requests.Enter, scale: Scale) -> dict[str, int]:
    """The fields of a row that only some orders have. Errors: Refused naming the parameter."""
    fields = {}
    if params.trigger_price is not UNSET:
        fields["trigger_price"] = scale.ticks(params.trigger_price, "trigger_price")
    elif params.trigger is not UNSET:
        raise invalid("trigger", "trigger: an order without trigger_price has none", value=params.trigger)
    if params.display_amount is not UNSET:
        fields["display_quantity"] = scale.lots(params.display_amount, "display_amount")
    if params.minimum_amount is not UNSET:
        fields["minimum_quantity"] = scale.lots(params.minimum_amount, "minimum_amount")
    if params.expire_date is not UNSET:
        fields["expire_date"] = date_number(params.expire_date, "expire_date")
    if params.linked_order_id is not UNSET:
        fields["order_id"] = order_number(params.linked_order_id, "linked_order_id")
    if params.counterparty is not UNSET:
        fields["counterparty"] = caller.desk.account(params.counterparty, "counterparty")
    return fields


def _answer_entry(caller: Caller, commands: list[Command], events: list[Event], batch: Batch) -> str:
    command, first = commands[0], events[0]
    if first.kind == c.REJECTED:
        if first.reason == c.DUPLICATE_CLIENT_ORDER_ID or (
            command.kind == c.TAKE
            and first.reason in _OFFER_GONE
            and command.client_order_id
            and not command.flags & c.LABEL
        ):
            return _answer_repeat(caller, command, first, batch)
        raise rejection(first, caller.desk.orders.scales[command.instrument], _field_of(command, first))
    order = entered(command, first)
    body = _order_and_trades(caller, order, events, batch)
    if order.leaves > 0:
        caller.note_resting(order, batch.now)
    return body


def _field_of(command: Command, rejected: Event) -> str:
    """The parameter that broke the rule. Empty: the rule's own (refusals.REASONS)."""
    if (
        rejected.reason == c.PRICE_OFF_TICK
        and rejected.resting_leaves_quantity == command.trigger_price != command.price
    ):
        return "trigger_price"
    return "linked_order_id" if rejected.reason == c.UNKNOWN_ORDER and command.kind == c.ENTER else ""


def _answer_repeat(caller: Caller, command: Command, rejected: Event, batch: Batch) -> str:
    """RULEBOOK 5.10 for clients: an order that is sent again is answered with the first one; a different one is refused."""
    order = (
        batch.order(rejected.resting_order_id, rejected.sequence)
        if rejected.reason == c.DUPLICATE_CLIENT_ORDER_ID
        else batch.named(command.account, command.client_order_id.rstrip(b"\0"), rejected.sequence)
    )
    if order is None or not (
        _is_repeat(order, command)
        if command.kind == c.ENTER
        else (order.quantity == command.quantity and batch.offer_taken_by(order.order_id) == command.order_id)
    ):
        raise rejection(rejected, caller.desk.orders.scales[command.instrument])
    return f'{{"order":{caller.desk.orders.text(order, dup=True)},"trades":[]}}'


def _is_repeat(order: Order, command: Command) -> bool:
    """Whether an ENTER has the same terms as the order."""
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
        and (order.price == command.price or command.order_type not in LIMIT_TYPES)
    )


def _order_and_trades(caller: Caller, order: Order, events: list[Event], batch: Batch) -> str:
    """The answer of buy, sell, take and edit: the order after its events, and its trades.

    The order may be the resting side of a trade: its own trade may have triggered a stop, which trades with what is left.
    """
    orders, trades = caller.desk.orders, []
    order_id = order.order_id
    for event in events:
        if event.order_id == order_id or event.resting_order_id == order_id:
            order.apply(event)
            if event.kind == c.TRADED:
                trades.append(event)
    text = orders.text(order)
    if not trades:
        return f'{{"order":{text},"trades":[]}}'
    texts = ",".join(
        orders.trade_text(order, event, event.order_id == order_id, batch.trade_sequence(event)) for event in trades
    )
    return f'{{"order":{text},"trades":[{texts}]}}'


def _name_and_flag(client_order_id: str | UnsetType, label: str | UnsetType) -> tuple[bytes, int]:
    """The row's client_order_id, and the flag that says it is only a label. Errors: Refused naming label."""
    if client_order_id is not UNSET:
        if label is not UNSET and label != client_order_id:
            raise invalid(
                "label",
                f"label: {label} must be equal to client_order_id, which is sent in its place",
                value=label,
                bound=client_order_id,
            )
        return client_order_id.encode(), 0
    return (b"", 0) if label is UNSET else (label.encode(), c.LABEL)


def _refuse_repricing(reject_post_only: bool | UnsetType) -> None:
    if reject_post_only is False:
        raise invalid(
            "reject_post_only",
            "reject_post_only: a post_only order that would trade is refused, never repriced",
            value=False,
            bound=True,
        )


# Taking -------------------------------------------------------------------------------------------


def take(caller: Caller, params: requests.Take, now: int) -> Ticket:
    """The book decides whether the caller may take the offer (RULEBOOK 13)."""
    if caller.desk.hub.condition.disk_low:
        raise disk_is_low()
    offer_id = order_number(params.order_id)
    offer = caller.desk.orders.find(offer_id)
    # A take with a client_order_id may be sent again when the offer is closed: _answer_repeat answers it.
    if offer is None or not (offer.open or params.client_order_id):
        raise refusal(
            Reason.UNKNOWN_ORDER, "" if offer is None else f"order {offer_id} is {offer.state}", value=str(offer_id)
        )
    name, flags = _name_and_flag(params.client_order_id, params.label)
    row = command_row(
        c.TAKE,
        caller.account,
        caller.number,
        instrument=offer.instrument,
        order_id=offer_id,
        flags=flags,
        client_order_id=name,
        quantity=caller.desk.orders.scales[offer.instrument].lots(params.amount),
    )
    return Ticket(row, partial(_answer_entry, caller))


# Editing ------------------------------------------------------------------------------------------


def edit(caller: Caller, params: requests.Edit, now: int) -> Ticket:
    return _edit(caller, _own_open(caller, order_number(params.order_id)), params)


def edit_by_label(caller: Caller, params: requests.EditByLabel, now: int) -> Ticket:
    index = caller.desk.instrument(params.instrument_name)
    found = caller.desk.orders.open_of(caller.account, frozenset({index}), params.label)
    if len(found) != 1:
        raise refusal(
            Reason.UNKNOWN_ORDER,
            f"{len(found)} open orders have the label {params.label}, must be one",
            field="label",
            value=params.label,
        )
    return _edit(caller, found[0], params)


def _edit(caller: Caller, order: Order, params: requests.Edit | requests.EditByLabel) -> Ticket:
    if caller.desk.hub.condition.disk_low:
        raise disk_is_low()
    if params.amount is UNSET and params.price is UNSET and params.trigger_price is UNSET:
        raise invalid("amount", "amount, price or trigger_price must be given", reason="value_required")
    _refuse_repricing(params.reject_post_only)
    scale = caller.desk.orders.scales[order.instrument]
    # An edit under way is taken as done, so that edits of different fields sent one after the other add up.
    last = caller.edits.get(order.order_id) or Edit(
        order.price, order.trigger_price if order.parked else 0, order.quantity
    )
    next_ = Edit(
        last.price if params.price is UNSET else scale.ticks(params.price),
        last.trigger_price if params.trigger_price is UNSET else scale.ticks(params.trigger_price, "trigger_price"),
        last.quantity if params.amount is UNSET else scale.lots(params.amount),
        last.under_way + 1,
    )
    caller.refuse_if_busy()  # before the edit is noted: _answer_edit would never remove it
    caller.edits[order.order_id] = next_
    row = command_row(
        c.AMEND,
        caller.account,
        caller.number,
        instrument=order.instrument,
        order_id=order.order_id,
        price=next_.price,
        trigger_price=next_.trigger_price,
        quantity=next_.quantity,
        side=order.side,
        flags=c.POST_ONLY if params.post_only is True else 0,
    )
    return Ticket(row, partial(_answer_edit, caller))


def _answer_edit(caller: Caller, commands: list[Command], events: list[Event], batch: Batch) -> str:
    command, first = commands[0], events[0]
    last = caller.edits.pop(command.order_id)
    if last.under_way > 1:
        caller.edits[command.order_id] = last._replace(under_way=last.under_way - 1)
    if first.kind == c.REJECTED:
        raise rejection(first, caller.desk.orders.scales[command.instrument], _field_of(command, first))
    order = batch.order(command.order_id, first.sequence - 1)
    assert order is not None, f"order {command.order_id} was amended, but the blotter does not know it"
    return _order_and_trades(caller, order, events, batch)


# Market-maker protection (RULEBOOK 9.6) -----------------------------------------------------------


def set_protection(caller: Caller, params: requests.SetProtection, now: int) -> Ticket:
    """Of the caller's account. Interval and limit 0 switch it off."""
    if bool(params.interval) is not bool(params.quantity_limit):
        raise invalid(
            "quantity_limit",
            f"quantity_limit: {params.quantity_limit} within {params.interval} s has no effect: both "
            "must be above 0, or both 0",
            value=params.quantity_limit,
            bound=1 if params.interval else 0,
        )
    rows = _limit(caller, Limit.PROTECTION_INTERVAL, 1000 * params.interval) + _limit(
        caller, Limit.PROTECTION_LOTS, params.quantity_limit
    )
    return Ticket(rows, _answer_protection, 2)


def _limit(caller: Caller, limit: Limit, value: int) -> bytes:
    return command_row(c.SET_LIMIT, caller.account, caller.number, order_type=limit, quantity=value)


def _answer_protection(commands: list[Command], events: list[Event], batch: Batch) -> str:
    _refuse_rejected(events)
    return encode([protection(commands[0].quantity // 1000, commands[1].quantity)])


def protection(interval: int, lots: int) -> dict[str, Any]:
    """An account's market-maker protection, as clients read it. interval: s."""
    return {"index_name": "any", "interval": interval, "frozen_time": 0, "quantity_limit": lots}


def reset_protection(caller: Caller, params: requests.Protection, now: int) -> Ticket:
    return Ticket(_limit(caller, Limit.PROTECTION_RESET, 1), _answer_ok)


def _answer_ok(commands: list[Command], events: list[Event], batch: Batch) -> str:
    _refuse_rejected(events)
    return '"ok"'


def _refuse_rejected(events: list[Event]) -> None:
    for event in events:
        if event.kind == c.REJECTED:
            raise rejection(event, None)


# Canceling ----------------------------------------------------------------------------------------


def cancel(caller: Caller, params: requests.Cancel, now: int) -> Ticket:
    order = _own_open(caller, order_number(params.order_id))
    return Ticket(_cancel(caller, order), partial(_answer_cancel, caller))


def _cancel(caller: Caller, order: Order) -> bytes:
    return command_row(c.CANCEL, caller.account, caller.number, instrument=order.instrument, order_id=order.order_id)


def _answer_cancel(caller: Caller, commands: list[Command], events: list[Event], batch: Batch) -> str:
    command, first = commands[0], events[0]
    if first.kind == c.REJECTED:
        raise rejection(first, caller.desk.orders.scales[command.instrument])
    order = batch.order(command.order_id, first.sequence)
    assert order is not None, f"order {command.order_id} was canceled, but the blotter does not know it"
    return caller.desk.orders.text(order)


def cancel_by_label(caller: Caller, params: requests.ByLabel, now: int) -> str | Ticket:
    instruments = describe.selected(caller.desk.hub.exchange, params.currency)
    return _cancel_each(caller, caller.desk.orders.open_of(caller.account, instruments, params.label))


def _cancel_each(caller: Caller, orders: list[Order]) -> str | Ticket:
    """Cancel these orders. The result is the number of those that were still open."""
    if not orders:
        return "0"
    return Ticket(b"".join(_cancel(caller, order) for order in orders), _answer_count, len(orders))


def cancel_all(caller: Caller, params: requests.Nothing, now: int) -> Ticket:
    return Ticket(command_row(c.MASS_CANCEL, caller.account, caller.number, instrument=ALL), _answer_count)


def cancel_all_by_instrument(caller: Caller, params: requests.ByInstrument, now: int) -> str | Ticket:
    return _mass_cancel(caller, frozenset({caller.desk.instrument(params.instrument_name)}), params.type)


def cancel_all_by_currency(caller: Caller, params: requests.ByCurrency, now: int) -> str | Ticket:
    instruments = describe.selected(caller.desk.hub.exchange, params.currency, params.kind)
    return _mass_cancel(caller, instruments, params.type)


def _mass_cancel(caller: Caller, instruments: frozenset[int], kind: str) -> str | Ticket:
    """Cancel the account's orders of a kind (words.OpenOrdersWord) in these instruments."""
    if kind != "all":
        orders = caller.desk.orders.open_of(caller.account, instruments)
        return _cancel_each(caller, [order for order in orders if order.is_of(kind)])
    if not instruments:
        return "0"
    indices = [ALL] if instruments == caller.desk.all_instruments else sorted(instruments)
    rows = b"".join(command_row(c.MASS_CANCEL, caller.account, caller.number, instrument=index) for index in indices)
    return Ticket(rows, _answer_count, len(indices))


def _answer_count(commands: list[Command], events: list[Event], batch: Batch) -> str:
    """The number of canceled orders. Cancels that came too late do not count."""
    if events[0].kind == c.REJECTED and len(commands) == 1 and commands[0].kind == c.MASS_CANCEL:
        raise rejection(events[0], None)
    if commands[0].kind == c.MASS_CANCEL:
        return str(sum(event.quantity for event in events if event.kind == c.MASS_CANCELED))
    return str(sum(event.kind == c.CANCELED for event in events))


def _own_open(caller: Caller, order_id: int) -> Order:
    """The order that a cancel or edit names. Errors: Refused as by the engine; the text says what state it is in."""
    order = caller.desk.orders.find(order_id)
    if order is None or order.account != caller.account:
        raise refusal(Reason.UNKNOWN_ORDER, value=str(order_id))
    if not order.open:
        raise refusal(Reason.UNKNOWN_ORDER, f"order {order_id} is {order.state}", value=str(order_id))
    return order
