"""Instruments and accounts as clients read them: terms under Deribit's names, positions, margin, equity.

Which instruments a `currency` or a channel means is decided here too: a currency (CNY), a product or the letters of the
symbols (SC), or `any`.

    describe(exchange, 0)["tick_size"]          # Decimal("0.1")
    chosen(exchange, "SC")                      # frozenset({0, 1, 2})
"""
import calendar
import datetime
from decimal import Decimal
from typing import Any

from exchange.instruments import Instrument
from exchange.machine import Exchange
from gateway.messages import Refused, Scale
from matching.codes import Phase

FUTURES = ("any", "all", "future")
_NEVER = 32_503_708_800_000      # ms, the year 3000: clients want a date even where nothing expires


def base_of(instrument: Instrument) -> str:
    """What is bought, as a code for clients that think in pairs: the letters of the symbol before its month."""
    letters = instrument.symbol.rstrip("0123456789")
    return letters if letters.isalpha() else instrument.symbol


def chosen(exchange: Exchange, currency: str, kind: str = "any") -> frozenset[int]:
    """Indices of the instruments that a currency or product and a kind mean.

    Errors    Refused -32602 naming currency
    """
    if kind not in FUTURES:
        return frozenset()
    wanted = currency.upper()
    if wanted == "ANY":
        return frozenset(range(len(exchange.instruments)))
    found = frozenset(index for index, instrument in enumerate(exchange.instruments) if wanted in (
        instrument.currency.upper(), instrument.product.upper(), base_of(instrument).upper()))
    if not found:
        raise Refused(-32602, "Invalid params", f"currency: {currency} is no currency or product of this hub",
                      field="currency", value=currency, bound=", ".join(codes(exchange)), reason="unknown_currency")
    return found


def codes(exchange: Exchange) -> list[str]:
    """Currencies, then what is traded in them."""
    return list(dict.fromkeys([instrument.currency for instrument in exchange.instruments]
                              + [base_of(instrument) for instrument in exchange.instruments]))


def describe_currencies(exchange: Exchange) -> list[dict[str, Any]]:
    """public/get_currencies."""
    names = {base_of(instrument): instrument.product for instrument in exchange.instruments}
    return [{"currency": code, "currency_long": names.get(code) or code, "coin_type": "FIAT", "decimals": 2,
             "fee_precision": 2, "min_confirmations": 0, "min_withdrawal_fee": 0, "withdrawal_fee": 0,
             "withdrawal_priorities": []} for code in codes(exchange)]


def describe(exchange: Exchange, index: int) -> dict[str, Any]:
    """One entry of public/get_instruments."""
    instrument = exchange.instruments[index]
    scale = Scale(instrument)
    active = exchange.phase(instrument.symbol) == Phase.CONTINUOUS
    price, amount = (lambda ticks: Decimal(scale.price(ticks))), (lambda lots: Decimal(scale.amount(lots)))
    return {
        "instrument_name": instrument.symbol, "instrument_id": index, "kind": "future", "instrument_type": "linear",
        "base_currency": base_of(instrument), "quote_currency": instrument.currency,
        "counter_currency": instrument.currency, "settlement_currency": instrument.currency,
        "price_index": instrument.product or instrument.symbol,
        "settlement_period": "month" if instrument.expiry else "perpetual",
        "tick_size": price(instrument.price_increment), "tick_size_steps": [], "contract_size": amount(1),
        "min_trade_amount": amount(instrument.minimum_quantity),
        "creation_timestamp": milliseconds(instrument.listed, 0),
        "expiration_timestamp": milliseconds(instrument.expiry, _NEVER), "is_active": active,
        "state": "open" if active else "closed", "maker_commission": 0, "taker_commission": 0, "rfq": False,
        "description": instrument.name, "product": instrument.product, "unit": instrument.unit,
        "price_floor": price(instrument.price_floor), "price_ceiling": price(instrument.price_ceiling),
        "reference_price": price(instrument.reference_price or 0), "margin_per_lot": fen(_margin(exchange, index))}


def milliseconds(day: datetime.date | None, otherwise: int) -> int:
    """Midnight UTC of a date."""
    return otherwise if day is None else calendar.timegm(day.timetuple()) * 1000


def fen(amount: int) -> Decimal:
    """Fen as an amount of currency."""
    return Decimal(amount) / 100


def _margin(exchange: Exchange, index: int) -> int:
    return int(exchange.ledger.limits[index].margin)


def positions(exchange: Exchange, account: int, scales: list[Scale], instruments: frozenset[int]) -> list[dict[str, Any]]:
    """private/get_positions: what the account holds or has held in these instruments."""
    rows = exchange.positions(account)
    return [position(exchange, scales[row["instrument"]], *(int(row[name]) for name in (
        "instrument", "position", "open_buy", "open_sell", "cost"))) for row in rows if int(row["instrument"]) in instruments]


def position(exchange: Exchange, scale: Scale, index: int, lots: int, open_buy: int, open_sell: int,
             cost: int) -> dict[str, Any]:
    """Position. `cost`: ticks x lots paid less received since the first trade, so profit is exact but not split by sale."""
    instrument = exchange.instruments[index]
    last = exchange.last_price(instrument.symbol)
    profit = scale.money(lots * last - cost)
    worst = max(abs(lots + open_buy), abs(lots - open_sell))
    margin = _margin(exchange, index)
    return {
        "instrument_name": instrument.symbol, "kind": "future",
        "direction": "buy" if lots > 0 else "sell" if lots < 0 else "zero", "size": Decimal(scale.amount(lots)),
        "size_currency": scale.money(abs(lots) * last), "average_price": Decimal(scale.average(cost, lots)),
        "mark_price": Decimal(scale.price(last)), "index_price": Decimal(scale.price(last)),
        "floating_profit_loss": profit if lots else Decimal(0), "realized_profit_loss": Decimal(0) if lots else profit,
        "total_profit_loss": profit, "initial_margin": fen(worst * margin), "maintenance_margin": fen(abs(lots) * margin),
        "open_orders_margin": fen((worst - abs(lots)) * margin), "leverage": 1,
        "open_orders_buy": Decimal(scale.amount(open_buy)), "open_orders_sell": Decimal(scale.amount(open_sell))}


def summary(exchange: Exchange, account: int, currency: str, scales: list[Scale]) -> dict[str, Any]:
    """private/get_account_summary. One equity for all instruments; profit not yet settled is shown beside it."""
    row = exchange.account(account)
    equity, margin = int(row.equity), int(row.margin_used)
    held = positions(exchange, account, scales, frozenset(range(len(exchange.instruments))))
    return {
        "currency": currency, "id": account, "username": exchange.accounts[account].name, "type": "main",
        "equity": fen(equity), "balance": fen(equity), "margin_balance": fen(equity), "initial_margin": fen(margin),
        "maintenance_margin": fen(margin), "available_funds": fen(equity - margin),
        "available_withdrawal_funds": fen(equity - margin), "open_orders": int(row.open_orders),
        "session_upl": sum((item["total_profit_loss"] for item in held), Decimal(0)),
        "total_pl": sum((item["total_profit_loss"] for item in held), Decimal(0)),
        "margin_model": "segregated_sm", "portfolio_margining_enabled": False}
