"""The method table: every method of the API with its parameters, its scope and its handler.

    METHODS["private/buy"].handler(session, params, now)

A method is one row here, one struct in requests.py, one function beside this file, and one entry of docs/PROTOCOL.md.
"""

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from gateway.auth import LogOn
from gateway.rpc import requests
from gateway.rpc.methods import connection, operators, orders, queries
from gateway.rpc.session import Method
from gateway.rpc.ticket import Ticket
from gateway.text.reader import Reader

_PUBLIC, _READ, _TRADE, _ACCOUNT, _OPERATOR = "", "trade:read", "trade:read_write", "account:read", "operator"
_READERS: dict[type[Struct], Reader] = {}  # methods with the same parameters share one
_Handler = Callable[[Any, Any, int], str | Ticket]


def _method(parameters: type[Struct], scope: str, handler: _Handler) -> Method:
    return Method(_READERS.setdefault(parameters, Reader(parameters)), scope, handler)


def _engine(parameters: type[Struct], scope: str, handler: _Handler) -> Method:
    """A method that reads the engine's state."""
    return _method(parameters, scope, handler)._replace(reads_engine=True)


def _websocket(
    parameters: type[Struct], scope: str, handler: _Handler, after: Callable[[Any, Any, int], None] | None = None
) -> Method:
    """A method that needs a connection which stays."""
    return _method(parameters, scope, handler)._replace(websocket_only=True, after=after)


METHODS: dict[str, Method] = {
    "public/auth": _method(LogOn, _PUBLIC, connection.auth),
    "public/get_time": _method(requests.Nothing, _PUBLIC, queries.get_time),
    "public/test": _method(requests.Test, _PUBLIC, queries.test),
    "public/hello": _method(requests.Hello, _PUBLIC, queries.hello),
    "public/status": _method(requests.Nothing, _PUBLIC, queries.status),
    "public/get_currencies": _method(requests.Nothing, _PUBLIC, queries.currencies),
    "public/get_instruments": _method(requests.GetInstruments, _PUBLIC, queries.instruments),
    "public/get_instrument": _method(requests.OneInstrument, _PUBLIC, queries.one_instrument),
    "public/get_order_book": _engine(requests.GetOrderBook, _PUBLIC, queries.order_book),
    "public/ticker": _engine(requests.OneInstrument, _PUBLIC, queries.ticker),
    "public/get_last_trades_by_instrument": _method(requests.GetTrades, _PUBLIC, queries.last_trades),
    "public/get_last_trades_by_instrument_and_time": _method(requests.GetTrades, _PUBLIC, queries.last_trades),
    "public/get_last_settlements_by_instrument": _method(requests.Settlements, _PUBLIC, queries.settlements),
    "public/set_heartbeat": _websocket(requests.SetHeartbeat, _PUBLIC, connection.set_heartbeat),
    "public/disable_heartbeat": _websocket(requests.Nothing, _PUBLIC, connection.disable_heartbeat),
    "public/subscribe": _websocket(requests.Subscribe, _PUBLIC, connection.subscribe, connection.send_first_messages),
    "public/unsubscribe": _websocket(requests.Subscribe, _PUBLIC, connection.unsubscribe),
    "public/unsubscribe_all": _websocket(requests.Nothing, _PUBLIC, connection.unsubscribe_all),
    "private/buy": _method(requests.Enter, _TRADE, orders.buy),
    "private/sell": _method(requests.Enter, _TRADE, orders.sell),
    "private/edit": _method(requests.Edit, _TRADE, orders.edit),
    "private/edit_by_label": _method(requests.EditByLabel, _TRADE, orders.edit_by_label),
    "private/take": _method(requests.Take, _TRADE, orders.take),
    "private/cancel": _method(requests.Cancel, _TRADE, orders.cancel),
    "private/cancel_by_label": _method(requests.ByLabel, _TRADE, orders.cancel_by_label),
    "private/cancel_all": _method(requests.Nothing, _TRADE, orders.cancel_all),
    "private/cancel_all_by_instrument": _method(requests.ByInstrument, _TRADE, orders.cancel_all_by_instrument),
    "private/cancel_all_by_currency": _method(requests.ByCurrency, _TRADE, orders.cancel_all_by_currency),
    "private/cancel_all_by_kind_or_type": _method(requests.ByCurrency, _TRADE, orders.cancel_all_by_currency),
    "private/get_open_orders": _method(requests.ByCurrency, _READ, queries.open_orders),
    "private/get_open_orders_by_instrument": _method(requests.ByInstrument, _READ, queries.open_orders_by_instrument),
    "private/get_open_orders_by_currency": _method(requests.ByCurrency, _READ, queries.open_orders),
    "private/get_open_orders_by_label": _method(requests.ByLabel, _READ, queries.open_orders_by_label),
    "private/get_order_state": _method(requests.OneOrder, _READ, queries.order_state),
    "private/get_order_state_by_label": _method(requests.ByLabel, _READ, queries.order_state_by_label),
    "private/get_order_history_by_instrument": _method(
        requests.HistoryByInstrument, _READ, queries.history_by_instrument
    ),
    "private/get_order_history_by_currency": _method(requests.HistoryByCurrency, _READ, queries.history_by_currency),
    "private/get_user_trades_by_instrument": _method(requests.GetTrades, _READ, queries.trades_by_instrument),
    "private/get_user_trades_by_instrument_and_time": _method(requests.GetTrades, _READ, queries.trades_by_instrument),
    "private/get_user_trades_by_currency": _method(requests.UserTradesByCurrency, _READ, queries.trades_by_currency),
    "private/get_user_trades_by_currency_and_time": _method(
        requests.UserTradesByCurrency, _READ, queries.trades_by_currency
    ),
    "private/get_user_trades_by_order": _method(requests.OrderTrades, _READ, queries.trades_by_order),
    "private/get_positions": _engine(requests.ByCurrency, _READ, queries.positions),
    "private/get_position": _engine(requests.OneInstrument, _READ, queries.position),
    "private/get_account_summary": _engine(requests.Summary, _ACCOUNT, queries.summary),
    "private/get_account_summaries": _engine(requests.Summary, _ACCOUNT, queries.summaries),
    "private/get_settlement_history_by_instrument": _method(requests.Settlements, _READ, queries.own_settlements),
    "private/get_statement": _method(requests.Statement, _ACCOUNT, queries.statement),
    "private/set_mmp_config": _method(requests.SetProtection, _TRADE, orders.set_protection),
    "private/get_offers": _engine(requests.OneInstrument, _READ, queries.offers),
    "private/get_mmp_config": _engine(requests.Protection, _READ, queries.get_protection),
    "private/reset_mmp": _method(requests.Protection, _TRADE, orders.reset_protection),
    "private/enable_cancel_on_disconnect": _websocket(requests.Scope, _TRADE, connection.enable_cancel_on_disconnect),
    "private/disable_cancel_on_disconnect": _websocket(
        requests.Nothing, _TRADE, connection.disable_cancel_on_disconnect
    ),
    "private/get_cancel_on_disconnect": _websocket(requests.Nothing, _READ, connection.get_cancel_on_disconnect),
    "private/subscribe": _websocket(requests.Subscribe, _READ, connection.subscribe, connection.send_first_messages),
    "private/unsubscribe": _websocket(requests.Subscribe, _READ, connection.unsubscribe),
    "private/unsubscribe_all": _websocket(requests.Nothing, _READ, connection.unsubscribe_all),
    "private/logout": _websocket(requests.Logout, _READ, connection.logout, connection.close_logged_out),
    "operator/set_phase": _method(requests.SetPhase, _OPERATOR, operators.set_phase),
    "operator/halt": _method(requests.Halt, _OPERATOR, operators.halt),
    "operator/resume": _method(requests.Resume, _OPERATOR, operators.resume),
    "operator/kill_switch": _method(requests.KillSwitch, _OPERATOR, operators.kill_switch),
    "operator/set_limit": _method(requests.SetLimit, _OPERATOR, operators.set_limit),
    "operator/cash": _method(requests.Cash, _OPERATOR, operators.cash),
    "operator/mass_cancel": _method(requests.MassCancel, _OPERATOR, operators.mass_cancel),
    "operator/begin_day": _method(requests.BeginDay, _OPERATOR, operators.begin_day),
    "operator/end_day": _method(requests.Nothing, _OPERATOR, operators.end_day),
    "operator/list": _method(requests.ListInstrument, _OPERATOR, operators.list_instrument),
    "operator/begin_window": _method(requests.Halt, _OPERATOR, operators.begin_window),
    "operator/settle": _method(requests.Settle, _OPERATOR, operators.settle),
    "operator/expire": _method(requests.OneInstrument, _OPERATOR, operators.expire),
    "operator/liquidate": _method(requests.Liquidate, _OPERATOR, operators.liquidate),
    "operator/next_step": _method(requests.Nothing, _OPERATOR, operators.next_step),
    "operator/get_schedule": _method(requests.Nothing, _OPERATOR, operators.schedule),
    "operator/get_surveillance": _method(requests.ForAccount, _OPERATOR, operators.surveillance),
    "operator/get_accounts": _engine(requests.ForAccount, _OPERATOR, operators.accounts),
    "operator/get_statement": _method(requests.OperatorStatement, _OPERATOR, queries.any_statement),
    "operator/logout": _websocket(requests.Logout, _OPERATOR, connection.logout, connection.close_logged_out),
}
