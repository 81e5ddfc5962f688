"""Methods that change nothing. Each function answers one of them, as JSON text. Errors of all: Refused.

They read the projections (blotter, market data), which are as new as the last durable batch, and the engine's positions.

    open_orders(caller, params, now)             # '[{"order_id":"12", ...}]'
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from msgspec import UNSET

from exchange.projections import statement_report
from exchange.projections.blotter import FILL
from gateway.market import describe
from gateway.rpc import account, requests
from gateway.rpc.methods.orders import protection
from gateway.rpc.order import Order
from gateway.rpc.requests import order_number
from gateway.rpc.ticket import Caller
from gateway.text.answers import encode
from gateway.text.refusals import Refused, invalid, refusal
from gateway.text.rows import layout
from gateway.text.scale import date_number, date_text, fen
from gateway.text.words import DIRECTION
from gateway.version import VERSION
from matching.codes import EventKind, Mechanism, Phase, Reason
from matching.records import EVENT, Event

_FILL = layout(FILL)


# Own orders and trades ----------------------------------------------------------------------------


def _list(caller: Caller, orders: list[Order]) -> str:
    return f"[{','.join(map(caller.desk.orders.text, orders))}]"


def open_orders(caller: Caller, params: requests.ByCurrency, now: int) -> str:
    return _open(caller, describe.selected(caller.desk.hub.exchange, params.currency, params.kind), params.type)


def open_orders_by_instrument(caller: Caller, params: requests.ByInstrument, now: int) -> str:
    return _open(caller, frozenset({caller.desk.instrument(params.instrument_name)}), params.type)


def _open(caller: Caller, instruments: frozenset[int], kind: str) -> str:
    orders = caller.desk.orders.open_of(caller.account, instruments)
    return _list(caller, [order for order in orders if order.is_of(kind)])


def open_orders_by_label(caller: Caller, params: requests.ByLabel, now: int) -> str:
    instruments = describe.selected(caller.desk.hub.exchange, params.currency)
    return _list(caller, caller.desk.orders.open_of(caller.account, instruments, params.label))


def order_state(caller: Caller, params: requests.OneOrder, now: int) -> str:
    return caller.desk.orders.text(_own(caller, order_number(params.order_id)))


def _own(caller: Caller, order_id: int) -> Order:
    """Errors: Refused where the caller has no such order, or the hub no longer knows it."""
    order = caller.desk.orders.find(order_id)
    if order is None or order.account != caller.account:
        raise refusal(Reason.UNKNOWN_ORDER, f"order {order_id} is unknown", value=str(order_id))
    return order


def order_state_by_label(caller: Caller, params: requests.ByLabel, now: int) -> str:
    instruments = describe.selected(caller.desk.hub.exchange, params.currency)
    return _list(caller, caller.desk.orders.all_of(caller.account, instruments, params.label))


def history_by_instrument(caller: Caller, params: requests.HistoryByInstrument, now: int) -> str:
    return _history(caller, frozenset({caller.desk.instrument(params.instrument_name)}), params)


def history_by_currency(caller: Caller, params: requests.HistoryByCurrency, now: int) -> str:
    return _history(caller, describe.selected(caller.desk.hub.exchange, params.currency, params.kind), params)


def _history(
    caller: Caller,
    instruments: frozenset[int],
    params: requests.HistoryByInstrument | requests.HistoryByCurrency,
) -> str:
    finished = [
        order
        for order in caller.desk.orders.all_of(caller.account, instruments)
        if not order.open and (params.include_unfilled or order.filled)
    ]
    return _list(caller, finished[params.offset : params.offset + params.count])


def trades_by_instrument(caller: Caller, params: requests.GetTrades, now: int) -> str:
    return _trades(caller, frozenset({caller.desk.instrument(params.instrument_name)}), params)


def trades_by_currency(caller: Caller, params: requests.UserTradesByCurrency, now: int) -> str:
    return _trades(caller, describe.selected(caller.desk.hub.exchange, params.currency, params.kind), params)


def _trades(
    caller: Caller, instruments: frozenset[int], params: requests.GetTrades | requests.UserTradesByCurrency
) -> str:
    only = min(instruments) if len(instruments) == 1 else None
    fills = caller.desk.hub.blotter.trades(caller.account, only, count=1 << 17)
    times = fills["time"] // 1_000_000
    fills = fills[(times >= params.start_timestamp) & (times <= params.end_timestamp)]
    if isinstance(params, requests.GetTrades):  # trade sequences are those of one instrument
        fills = fills[(fills["trade_sequence"] >= params.start_seq) & (fills["trade_sequence"] <= params.end_seq)]
    if only is None and instruments != caller.desk.all_instruments:
        fills = fills[np.isin(fills["instrument"], list(instruments))]
    if params.sorting == "asc":
        fills = fills[::-1]
    return (
        f'{{"trades":[{",".join(_fill_texts(caller, fills[: params.count]))}],'
        f'"has_more":{"true" if len(fills) > params.count else "false"}}}'
    )


def trades_by_order(caller: Caller, params: requests.OrderTrades, now: int) -> str:
    order = _own(caller, order_number(params.order_id))
    fills = caller.desk.hub.blotter.trades(caller.account, order.instrument, params.count, order.order_id)
    fills = fills[::-1] if params.sorting == "asc" else fills
    return f"[{','.join(_fill_texts(caller, fills, order.order_id))}]"


def _fill_texts(caller: Caller, fills: np.ndarray, order_id: int = 0) -> list[str]:
    """FILL rows as JSON, one text for each side that is the account's. order_id: only for this order."""
    orders, texts = caller.desk.orders, []
    for fill in fills:
        (
            trade_id,
            trade_sequence,
            sequence,
            time,
            price,
            quantity,
            incoming_id,
            resting_id,
            leaves,
            resting_leaves,
            instrument,
            account_,
            resting_account,
            side,
        ) = _FILL.unpack(fill.tobytes())
        trade = Event(
            0,
            sequence,
            time,
            incoming_id,
            price,
            quantity,
            leaves,
            trade_id,
            resting_id,
            resting_leaves,
            0,
            b"",
            instrument,
            account_,
            resting_account,
            EventKind.TRADED,
            side,
            0,
            0,
        )
        for own_id, owner in ((incoming_id, account_), (resting_id, resting_account)):
            if owner == caller.account and order_id in (0, own_id):
                order = orders.find(own_id)
                if order is not None:
                    texts.append(orders.trade_text(order, trade, own_id == incoming_id, trade_sequence))
    return texts


# Own account --------------------------------------------------------------------------------------


def positions(caller: Caller, params: requests.ByCurrency, now: int) -> str:
    exchange = caller.desk.hub.exchange
    instruments = describe.selected(exchange, params.currency, params.kind)
    return encode(account.positions(exchange, caller.account, caller.desk.orders.scales, instruments))


def position(caller: Caller, params: requests.OneInstrument, now: int) -> str:
    index = caller.desk.instrument(params.instrument_name)
    return encode(account.position(caller.desk.hub.exchange, caller.account, caller.desk.orders.scales[index]))


def summary(caller: Caller, params: requests.Summary, now: int) -> str:
    return encode(_summary(caller, params.currency))


def summaries(caller: Caller, params: requests.Summary, now: int) -> str:
    only = _summary(caller, "any")
    return encode({"id": caller.account, "username": only["username"], "type": "main", "summaries": [only]})


def _summary(caller: Caller, currency: str) -> dict[str, Any]:
    """An account has one equity. It is answered in the hub's currency, whichever known currency is asked for."""
    exchange = caller.desk.hub.exchange
    describe.selected(exchange, currency)  # Refused where it is unknown
    return account.summary(exchange, caller.account)


def get_protection(caller: Caller, params: requests.Protection, now: int) -> str:
    """Market-maker protection; an empty list where it is off."""
    row = caller.desk.hub.exchange.account(caller.account)
    settings = protection(int(row.protection_interval) // 1_000_000_000, int(row.protection_lots))
    return encode([settings | {"is_triggered": bool(row.tripped)}] if row.protection_lots else [])


def offers(caller: Caller, params: requests.OneInstrument, now: int) -> str:
    """The caller's own offers and those that he may take (RULEBOOK 13.1, 13.3).

    Posted offers show no names. Negotiated ones show both accounts, and only these two see them.
    """
    index, exchange = caller.desk.instrument(params.instrument_name), caller.desk.hub.exchange
    scale = caller.desk.orders.scales[index]
    if scale.instrument.mechanism not in (Mechanism.LISTING, Mechanism.NEGOTIATED):
        raise refusal(Reason.WRONG_MECHANISM, value=params.instrument_name)
    shown = []
    for offer in exchange.offers(scale.instrument.symbol):
        own = int(offer.account) == caller.account
        entry = {
            "order_id": str(offer.order_id),
            "direction": DIRECTION[int(offer.side)],
            "own": own,
            "price": scale.decimal_price(offer.price),
            "amount": scale.decimal_amount(offer.leaves_quantity),
            "minimum_amount": scale.decimal_amount(offer.minimum_quantity),
        }
        if scale.instrument.mechanism == Mechanism.NEGOTIATED:
            if not own and int(offer.counterparty) != caller.account:
                continue
            entry |= {
                "account": exchange.accounts[offer.account].name,
                "counterparty": exchange.accounts[offer.counterparty].name,
            }
        shown.append(entry)
    return encode(shown)


# Settlements and statements -----------------------------------------------------------------------


def settlements(caller: Caller, params: requests.Settlements, now: int) -> str:
    """The settlement prices of each day. The last one of an instrument that has expired is a delivery."""
    index = caller.desk.instrument(params.instrument_name)
    stored, scale = caller.desk.hub.projections.settlements, caller.desk.orders.scales[index]
    rows, expired = stored.of_instrument(index), len(stored.expiry(index)) > 0
    delivery = rows[:1] if expired else rows[:0]
    wanted = rows if params.type in (UNSET, "settlement") else delivery if params.type == "delivery" else rows[:0]
    price, amount = scale.decimal_price, scale.decimal_amount
    return _page(
        params,
        wanted,
        lambda row: {
            "type": "delivery" if len(delivery) and row["event_id"] == delivery["event_id"][0] else "settlement",
            "timestamp": int(row["time"]) // 1_000_000,
            "instrument_name": params.instrument_name,
            "mark_price": price(row["price"]),
            "index_price": price(row["price"]),
            "position": amount(row["quantity"]),
            "profit_loss": 0,
            "session_profit_loss": 0,
            "funding": 0,
            "locked_days": int(row["leaves_quantity"]),
            "min_price": price(row["resting_leaves_quantity"]),
            "max_price": price(row["resting_price"]),
            "seq": int(row["sequence"]),
        },
    )


def own_settlements(caller: Caller, params: requests.Settlements, now: int) -> str:
    """What the settlements and deliveries of an instrument meant for the caller's account."""
    index = caller.desk.instrument(params.instrument_name)
    stored, scale = caller.desk.hub.projections.settlements, caller.desk.orders.scales[index]
    accounts = caller.desk.hub.exchange.accounts
    price, amount = scale.decimal_price, scale.decimal_amount

    def entry(row: np.record) -> dict[str, Any]:
        common = {
            "timestamp": int(row["time"]) // 1_000_000,
            "instrument_name": params.instrument_name,
            "mark_price": price(row["price"]),
            "index_price": price(row["price"]),
            "funding": 0,
            "seq": int(row["sequence"]),
        }
        if row["kind"] == EventKind.DELIVERY:
            receives = row["account"] == caller.account
            return common | {
                "type": "delivery",
                "position": amount(row["quantity"] if receives else -row["quantity"]),
                "profit_loss": 0,
                "session_profit_loss": 0,
                "counterparty": accounts[int(row["resting_account"] if receives else row["account"])].name,
            }
        profit = fen(row["quantity"])
        return common | {
            "type": "settlement",
            "position": amount(row["resting_leaves_quantity"]),
            "profit_loss": profit,
            "session_profit_loss": profit,
            "fee": fen(row["leaves_quantity"]),
        }

    parts = []
    if params.type in (UNSET, "settlement"):
        parts.append(stored.of_account(caller.account, index))
    if params.type in (UNSET, "delivery"):
        parts.append(stored.deliveries(index, caller.account))
    rows = np.concatenate(parts) if parts else np.zeros(0, EVENT)
    return _page(params, rows[np.argsort(rows["event_id"])[::-1]], entry)


def _page(params: requests.Settlements, rows: np.ndarray, entry: Callable[[Any], dict[str, Any]]) -> str:
    """One page of events, newest first. `continuation` is the id of its last event; the next page begins after it."""
    rows = rows[rows["time"] // 1_000_000 <= params.search_start_timestamp]
    if params.continuation:
        rows = rows[rows["event_id"] < order_number(params.continuation, "continuation")]
    page = rows[: params.count]
    continuation = str(page["event_id"][-1]) if len(rows) > len(page) else ""
    return encode({"settlements": [entry(row) for row in page], "continuation": continuation})


def statement(caller: Caller, params: requests.Statement, now: int) -> str:
    return _statement(caller, caller.account, params)


def any_statement(caller: Caller, params: requests.OperatorStatement, now: int) -> str:
    """For operators: the statement of an account, or of the whole hub."""
    return _statement(caller, None if params.account == "any" else caller.desk.account(params.account), params)


def _statement(caller: Caller, account_: int | None, params: requests.Statement | requests.OperatorStatement) -> str:
    statements = caller.desk.hub.projections.statements
    date = statements.date
    if date is None:
        raise Refused(11030, "other_reject", "no day has ended yet: there is no statement", reason="no_statement")
    if params.date is not UNSET and date_number(params.date, "date") != date:
        raise invalid(
            "date",
            f"date: the statement of {params.date} is not kept, the last day that ended is {date_text(date)}",
            value=params.date,
            bound=date_text(date),
        )
    if params.format != "json":
        return encode(statements.csv(account_) if params.format == "csv" else statements.html(account_))
    names = statements.instruments, statements.accounts
    rows = (
        statement_report.hub_rows(statements.summary(), *names)
        if account_ is None
        else statement_report.account_rows(statements.account(account_), *names)
    )
    body: dict[str, Any] = {"trading_date": date_text(date)}
    for number, row in enumerate(rows):
        record, figures = row["record"], {name: value for name, value in row.items() if name != "record"}
        if number:
            body.setdefault("deliveries" if record == "delivery" else f"{record}s", []).append(figures)
        else:
            body |= figures
    return encode(body)


# Public -------------------------------------------------------------------------------------------


def get_time(caller: Caller, params: requests.Nothing, now: int) -> str:
    return str(now // 1_000_000)


def test(caller: Caller, params: requests.Test, now: int) -> str:
    if params.expected_result == "exception":
        raise Refused(11094, "internal_server_error", "the exception that was asked for", field="expected_result")
    return f'{{"version":"{VERSION}"}}'


def hello(caller: Caller, params: requests.Hello, now: int) -> str:
    return f'{{"version":"{VERSION}"}}'


def status(caller: Caller, params: requests.Nothing, now: int) -> str:
    reason = caller.desk.hub.locked_by
    locked = {"locked": "true" if reason else "false"}  # a text, as at Deribit
    return encode(locked | ({"locked_reason": reason} if reason else {}))


def currencies(caller: Caller, params: requests.Nothing, now: int) -> str:
    return encode(describe.currencies(caller.desk.hub.exchange))


def instruments(caller: Caller, params: requests.GetInstruments, now: int) -> str:
    """Those that trade, or those that have expired. One that is not listed yet is described only by its name."""
    exchange, market = caller.desk.hub.exchange, caller.desk.hub.market_data
    wanted = [
        index
        for index in sorted(describe.selected(exchange, params.currency, params.kind))
        if (phase := market.statistics(index).phase) != Phase.UNLISTED and (phase == Phase.EXPIRED) == params.expired
    ]
    return encode([describe.instrument(exchange, market, index) for index in wanted])


def one_instrument(caller: Caller, params: requests.OneInstrument, now: int) -> str:
    index = caller.desk.instrument(params.instrument_name)
    return encode(describe.instrument(caller.desk.hub.exchange, caller.desk.hub.market_data, index))


def order_book(caller: Caller, params: requests.GetOrderBook, now: int) -> str:
    index = caller.desk.instrument(params.instrument_name)
    scale = caller.desk.orders.scales[index]
    bids, asks, change_id = caller.desk.hub.market_data.book(index, params.depth)
    sides = {
        name: [[scale.decimal_price(row["price"]), scale.decimal_amount(row["quantity"])] for row in rows]
        for name, rows in (("bids", bids), ("asks", asks))
    }
    return encode(_ticker(caller, index, now) | sides | {"change_id": change_id})


def ticker(caller: Caller, params: requests.OneInstrument, now: int) -> str:
    return encode(_ticker(caller, caller.desk.instrument(params.instrument_name), now))


def _ticker(caller: Caller, index: int, now: int) -> dict[str, Any]:
    hub = caller.desk.hub
    return describe.ticker(hub.exchange, hub.market_data, caller.desk.orders.scales[index], index, now)


def last_trades(caller: Caller, params: requests.GetTrades, now: int) -> str:
    index = caller.desk.instrument(params.instrument_name)
    scale = caller.desk.orders.scales[index]
    trades = caller.desk.hub.market_data.trades(index, 1 << 20)
    times, numbers = trades["time"] // 1_000_000, trades["trade_sequence"]
    trades = trades[
        (times >= params.start_timestamp)
        & (times <= params.end_timestamp)
        & (numbers >= params.start_seq)
        & (numbers <= params.end_seq)
    ]
    if params.sorting == "asc":
        trades = trades[::-1]
    last = _ticker(caller, index, now)["last_price"]
    return encode(
        {
            "trades": [
                {
                    "trade_id": str(trade["trade_id"]),
                    "trade_seq": int(trade["trade_sequence"]),
                    "instrument_name": params.instrument_name,
                    "timestamp": int(trade["time"]) // 1_000_000,
                    "direction": DIRECTION[int(trade["side"])],
                    "price": scale.decimal_price(trade["price"]),
                    "amount": scale.decimal_amount(trade["quantity"]),
                    "contracts": int(trade["quantity"]),
                    "tick_direction": int(trade["tick_direction"]),
                    "mark_price": last,
                    "index_price": last,
                }
                for trade in trades[: params.count]
            ],
            "has_more": len(trades) > params.count,
        }
    )
