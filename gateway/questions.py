"""Answers to questions: what a client may ask without changing anything. Each function answers one method, as JSON text.

They read the projections (blotter, market data), which are as durable as the last batch, and the engine's positions.
What changes something is in session.py.

    open_orders(session, read, "7", now)         # '[{"order_id":"12", ...}]'
"""
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np

from exchange.blotter import FILL
from gateway import requests, terms
from gateway.messages import REASONS, Event, Refused, encode, layout
from gateway.reports import DIRECTION, Order
from gateway.requests import order_number
from matching.codes import EventKind, Phase, Reason

if TYPE_CHECKING:
    from gateway.hub import Hub
    from gateway.session import Session

VERSION = "1.0"
_TRADED = int(EventKind.TRADED)
_FILL = layout(FILL)


# Questions about the own account --------------------------------------------------------------------------------------


def _list(session: "Session", orders: list[Order]) -> str:
    return f"[{','.join(map(session.orders.text, orders))}]"


def open_orders(session: "Session", read: requests.ByCurrency, request_id: str, now: int) -> str:
    chosen = terms.chosen(session.hub.exchange, read.currency, read.kind)
    return _open(session, chosen, read.type)


def open_orders_by_instrument(session: "Session", read: requests.ByInstrument, request_id: str, now: int) -> str:
    return _open(session, frozenset({session.instrument(read.instrument_name)}), read.type)


def _open(session: "Session", chosen: frozenset[int], kind: str) -> str:
    return _list(session, [order for order in session.orders.open_of(session.account, chosen) if order.is_of(kind)])


def open_orders_by_label(session: "Session", read: requests.ByLabel, request_id: str, now: int) -> str:
    return _list(session, session.orders.open_of(session.account, terms.chosen(session.hub.exchange, read.currency), read.label))


def order_state(session: "Session", read: requests.OneOrder, request_id: str, now: int) -> str:
    return session.orders.text(_own(session, order_number(read.order_id)))


def _own(session: "Session", number: int) -> Order:
    order = session.orders.find(number)
    if order is None or order.account != session.account:
        told = REASONS[Reason.UNKNOWN_ORDER]
        raise Refused(told.code, told.message, f"order {number} is unknown", field="order_id", value=str(number),
                      reason="unknown_order", fix=told.fix)
    return order


def order_state_by_label(session: "Session", read: requests.ByLabel, request_id: str, now: int) -> str:
    return _list(session, session.orders.all_of(session.account, terms.chosen(session.hub.exchange, read.currency), read.label))


def history_by_instrument(session: "Session", read: requests.HistoryByInstrument, request_id: str, now: int) -> str:
    return _history(session, frozenset({session.instrument(read.instrument_name)}), read)


def history_by_currency(session: "Session", read: requests.HistoryByCurrency, request_id: str, now: int) -> str:
    return _history(session, terms.chosen(session.hub.exchange, read.currency, read.kind), read)


def _history(session: "Session", chosen: frozenset[int], read: requests.HistoryByInstrument | requests.HistoryByCurrency) -> str:
    finished = [order for order in session.orders.all_of(session.account, chosen)
                if not order.open and (read.include_unfilled or order.filled)]
    return _list(session, finished[read.offset:read.offset + read.count])


def trades_by_instrument(session: "Session", read: requests.GetTrades, request_id: str, now: int) -> str:
    return _trades(session, frozenset({session.instrument(read.instrument_name)}), read)


def trades_by_currency(session: "Session", read: requests.UserTradesByCurrency, request_id: str, now: int) -> str:
    return _trades(session, terms.chosen(session.hub.exchange, read.currency, read.kind), read)


def _trades(session: "Session", chosen: frozenset[int], read: requests.GetTrades | requests.UserTradesByCurrency) -> str:
    fills = session.hub.blotter.trades(session.account, min(chosen) if len(chosen) == 1 else None, count=1 << 17)
    times = fills["time"] // 1_000_000
    fills = fills[(times >= read.start_timestamp) & (times <= read.end_timestamp)]
    if 1 < len(chosen) < len(session.desk.everything) or not chosen:
        fills = fills[np.isin(fills["instrument"], list(chosen))]
    if read.sorting == "asc":
        fills = fills[::-1]
    return (f'{{"trades":[{",".join(_fill_texts(session, fills[:read.count]))}],'
            f'"has_more":{"true" if len(fills) > read.count else "false"}}}')


def trades_by_order(session: "Session", read: requests.OrderTrades, request_id: str, now: int) -> str:
    order = _own(session, order_number(read.order_id))
    fills = session.hub.blotter.trades(session.account, order.instrument, read.count, order.order_id)
    fills = fills[::-1] if read.sorting == "asc" else fills
    return f"[{','.join(_fill_texts(session, fills, order.order_id))}]"


def _fill_texts(session: "Session", fills: np.ndarray, order_id: int = 0) -> list[str]:
    """Trades as JSON, once for each of the account's sides (of the order, if one is named)."""
    texts = []
    for fill in fills:
        (trade_id, sequence, time, price, quantity, taker, maker, leaves, resting_leaves, instrument, account,
         resting_account, side) = _FILL.unpack(fill.tobytes())
        event = Event(0, sequence, time, taker, price, quantity, leaves, trade_id, maker, resting_leaves, 0, b"",
                      instrument, account, resting_account, _TRADED, side, 0, 0)
        for number, owner in ((taker, account), (maker, resting_account)):
            if owner == session.account and order_id in (0, number):
                order = session.orders.find(number)
                if order is not None:
                    texts.append(session.orders.trade_text(order, event, number == taker))
    return texts


def positions(session: "Session", read: requests.ByCurrency, request_id: str, now: int) -> str:
    chosen = terms.chosen(session.hub.exchange, read.currency, read.kind)
    return encode(terms.positions(session.hub.exchange, session.account, session.orders.scales, chosen))


def position(session: "Session", read: requests.OneInstrument, request_id: str, now: int) -> str:
    index = session.instrument(read.instrument_name)
    held = terms.positions(session.hub.exchange, session.account, session.orders.scales, frozenset({index}))
    return encode(held[0] if held else terms.position(
        session.hub.exchange, session.orders.scales[index], index, 0, 0, 0, 0))


def summary(session: "Session", read: requests.Summary, request_id: str, now: int) -> str:
    return encode(_summary_of(session, read.currency))


def summaries(session: "Session", read: requests.Summary, request_id: str, now: int) -> str:
    summary = _summary_of(session, "any")
    return encode({"id": session.account, "username": summary["username"], "type": "main", "summaries": [summary]})


def _summary_of(session: "Session", currency: str) -> dict[str, Any]:
    """One equity for all: whatever known currency is asked for, the hub's own is answered."""
    exchange = session.hub.exchange
    terms.chosen(exchange, currency)
    return terms.summary(exchange, session.account, exchange.instruments[0].currency, session.orders.scales)


# Public questions -----------------------------------------------------------------------------------------------------


def get_time(session: "Session", read: Any, request_id: str, now: int) -> str:
    return str(now // 1_000_000)


def test(session: "Session", read: requests.Test, request_id: str, now: int) -> str:
    if read.expected_result == "exception":
        raise Refused(11094, "internal_server_error", "the exception that was asked for", field="expected_result")
    return f'{{"version":"{VERSION}"}}'


def hello(session: "Session", read: requests.Hello, request_id: str, now: int) -> str:
    return f'{{"version":"{VERSION}"}}'


def status(session: "Session", read: Any, request_id: str, now: int) -> str:
    return encode({"locked": "true" if locked(session.hub) else "false"})      # texts, as at Deribit


def currencies(session: "Session", read: Any, request_id: str, now: int) -> str:
    return encode(terms.describe_currencies(session.hub.exchange))


def instruments(session: "Session", read: requests.GetInstruments, request_id: str, now: int) -> str:
    if read.expired:
        return "[]"
    chosen = sorted(terms.chosen(session.hub.exchange, read.currency, read.kind))
    return encode([terms.describe(session.hub.exchange, index) for index in chosen])


def one_instrument(session: "Session", read: requests.OneInstrument, request_id: str, now: int) -> str:
    return encode(terms.describe(session.hub.exchange, session.instrument(read.instrument_name)))


def order_book(session: "Session", read: requests.GetOrderBook, request_id: str, now: int) -> str:
    index = session.instrument(read.instrument_name)
    scale = session.orders.scales[index]
    bids, asks, change_id = session.hub.market_data.book(index, read.depth)
    sides = {name: [[Decimal(scale.price(int(row["price"]))), Decimal(scale.amount(int(row["quantity"])))] for row in rows]
             for name, rows in (("bids", bids), ("asks", asks))}
    return encode(_ticker_of(session, index, now) | sides | {"change_id": change_id})


def ticker(session: "Session", read: requests.OneInstrument, request_id: str, now: int) -> str:
    return encode(_ticker_of(session, session.instrument(read.instrument_name), now))


def _ticker_of(session: "Session", index: int, now: int) -> dict[str, Any]:
    exchange, scale = session.hub.exchange, session.orders.scales[index]
    top, day = session.hub.market_data.top(index), session.hub.market_data.statistics(index)
    instrument = exchange.instruments[index]
    traded = bool(day.day_trades)
    last = Decimal(scale.price(int(day.last_price) if day.trades else instrument.reference_price or 0))
    return {
        "instrument_name": instrument.symbol, "timestamp": now // 1_000_000,
        "state": "open" if exchange.phase(instrument.symbol) == Phase.CONTINUOUS else "closed",
        "best_bid_price": Decimal(scale.price(int(top.bid_price))) if top.bid_quantity else 0,
        "best_bid_amount": Decimal(scale.amount(int(top.bid_quantity))),
        "best_ask_price": Decimal(scale.price(int(top.ask_price))) if top.ask_quantity else 0,
        "best_ask_amount": Decimal(scale.amount(int(top.ask_quantity))),
        "last_price": last, "mark_price": last, "index_price": last, "settlement_price": Decimal(
            scale.price(instrument.reference_price or 0)), "open_interest": 0,
        "min_price": Decimal(scale.price(instrument.price_floor)),
        "max_price": Decimal(scale.price(instrument.price_ceiling)),
        "stats": {"high": Decimal(scale.price(int(day.high_price))) if traded else None,
                  "low": Decimal(scale.price(int(day.low_price))) if traded else None,
                  "volume": Decimal(scale.amount(int(day.volume))), "volume_notional": scale.money(int(day.notional)),
                  "price_change": None}}


def last_trades(session: "Session", read: requests.GetTrades, request_id: str, now: int) -> str:
    index = session.instrument(read.instrument_name)
    scale = session.orders.scales[index]
    trades = session.hub.market_data.trades(index, 1 << 20)
    times, numbers = trades["time"] // 1_000_000, trades["trade_sequence"]
    trades = trades[(times >= read.start_timestamp) & (times <= read.end_timestamp)
                    & (numbers >= read.start_seq) & (numbers <= read.end_seq)]
    if read.sorting == "asc":
        trades = trades[::-1]
    last = _ticker_of(session, index, now)["last_price"]
    return encode({"trades": [{
        "trade_id": str(trade["trade_id"]), "trade_seq": int(trade["trade_sequence"]),
        "instrument_name": read.instrument_name, "timestamp": int(trade["time"]) // 1_000_000,
        "direction": DIRECTION[int(trade["side"])], "price": Decimal(scale.price(int(trade["price"]))),
        "amount": Decimal(scale.amount(int(trade["quantity"]))), "contracts": int(trade["quantity"]),
        "tick_direction": int(trade["tick_direction"]), "mark_price": last, "index_price": last,
    } for trade in trades[:read.count]], "has_more": len(trades) > read.count})


def locked(hub: "Hub") -> bool:
    """Whether the operator has stopped all trading."""
    return bool(hub.exchange.ledger.hub[0].killed)
