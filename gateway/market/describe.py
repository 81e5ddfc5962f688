"""Instruments as clients read them, under Deribit's names: their terms and their ticker.

    describe.instrument(exchange, market, 0)["tick_size"]    # Decimal("0.1")
    describe.selected(exchange, "SC")                        # frozenset({0, 1, 2})

The parameter `currency` of many methods selects instruments. It may be a currency (CNY), a product, the letters with which
symbols begin (SC), or `any`.
"""

import calendar
import datetime
from decimal import Decimal
from typing import Any

import numpy as np

from exchange.engine.machine import Exchange
from exchange.engine.phases import REFUSES_ENTRY
from exchange.instruments import Instrument
from exchange.projections.marketdata import MarketData
from gateway.text.refusals import invalid
from gateway.text.scale import Scale, fen
from gateway.text.words import PHASE
from matching.codes import Phase, Reason

_KINDS_OF_FUTURES = ("any", "all", "future")
_NO_EXPIRY = 32_503_708_800_000  # ms, the year 3000: clients expect a date even where nothing expires


def base_of(instrument: Instrument) -> str:
    """The base currency, for clients that expect currency pairs: the letters of the symbol before its month."""
    letters = instrument.symbol.rstrip("0123456789")
    return letters if letters.isalpha() else instrument.symbol


def selected(exchange: Exchange, currency: str, kind: str = "any") -> frozenset[int]:
    """Indices of the instruments that a currency or product, and a kind, select.

    Errors    Refused -32602 naming currency
    """
    if kind not in _KINDS_OF_FUTURES:
        return frozenset()
    wanted = currency.upper()
    if wanted == "ANY":
        return frozenset(range(len(exchange.instruments)))
    found = frozenset(
        index
        for index, instrument in enumerate(exchange.instruments)
        if wanted in (instrument.currency.upper(), instrument.product.upper(), base_of(instrument).upper())
    )
    if not found:
        raise invalid(
            "currency",
            f"currency: {currency} is no currency or product of this hub",
            value=currency,
            bound=", ".join(currency_codes(exchange)),
            reason="unknown_currency",
        )
    return found


def currency_codes(exchange: Exchange) -> list[str]:
    """The currencies, then the base currencies that are traded in them."""
    return list(
        dict.fromkeys(
            [instrument.currency for instrument in exchange.instruments]
            + [base_of(instrument) for instrument in exchange.instruments]
        )
    )


def currencies(exchange: Exchange) -> list[dict[str, Any]]:
    """public/get_currencies."""
    names = {base_of(instrument): instrument.product for instrument in exchange.instruments}
    return [
        {
            "currency": code,
            "currency_long": names.get(code) or code,
            "coin_type": "FIAT",
            "decimals": 2,
            "fee_precision": 2,
            "min_confirmations": 0,
            "min_withdrawal_fee": 0,
            "withdrawal_fee": 0,
            "withdrawal_priorities": [],
        }
        for code in currency_codes(exchange)
    ]


def takes_orders(phase: int) -> bool:
    """Whether a phase takes new orders."""
    return REFUSES_ENTRY[phase] == Reason.NONE


def instrument(exchange: Exchange, market: MarketData, index: int) -> dict[str, Any]:
    """One entry of public/get_instruments."""
    contract = exchange.instruments[index]
    limit = exchange.limit(contract.symbol)
    scale, day = Scale(contract), market.statistics(index)
    price, amount = scale.decimal_price, scale.decimal_amount
    commission = Decimal(int(limit.fee_rate)) / 1_000_000
    return {
        "instrument_name": contract.symbol,
        "instrument_id": index,
        "kind": "future",
        "instrument_type": "linear",
        "base_currency": base_of(contract),
        "quote_currency": contract.currency,
        "counter_currency": contract.currency,
        "settlement_currency": contract.currency,
        "price_index": contract.product or contract.symbol,
        "settlement_period": "month" if contract.expiry else "perpetual",
        "tick_size": price(contract.price_increment),
        "tick_size_steps": [],
        "contract_size": amount(1),
        "min_trade_amount": amount(contract.minimum_quantity),
        "creation_timestamp": milliseconds(contract.listed, 0),
        "expiration_timestamp": milliseconds(contract.expiry, _NO_EXPIRY),
        "is_active": day.phase not in (Phase.UNLISTED, Phase.EXPIRED),
        "state": "open" if takes_orders(day.phase) else "closed",
        "phase": PHASE[int(day.phase)],
        "mechanism": contract.mechanism.name.lower(),
        "offset": contract.offset,
        "maker_commission": commission,
        "taker_commission": commission,
        "fee_per_lot": fen(limit.fee_per_lot),
        "rfq": False,
        "description": contract.name,
        "product": contract.product,
        "unit": contract.unit,
        "price_floor": price(contract.price_floor),
        "price_ceiling": price(contract.price_ceiling),
        "min_price": price(day.floor),
        "max_price": price(day.ceiling),
        "settlement_price": price(settlement_of(day)),
        "reference_price": price(contract.reference_price),
        "margin_per_lot": fen(limit.margin),
    }


def settlement_of(day: np.record) -> int:
    """The last settlement price in an instrument's STATISTICS, ticks."""
    return int(day.settlement if day.settled else day.previous_settlement)


def ticker(exchange: Exchange, market: MarketData, scale: Scale, index: int, now_ns: int) -> dict[str, Any]:
    """public/ticker and the channel ticker. All of it is market data except open interest, which the engine knows."""
    top, day = market.top(index), market.statistics(index)
    price, amount = scale.decimal_price, scale.decimal_amount
    traded, previous = bool(day.day_trades), int(day.previous_settlement)
    last = price(day.last_price if day.trades else previous)
    change = round(Decimal(100 * (int(day.last_price) - previous)) / abs(previous), 4) if traded and previous else None
    return {
        "timestamp": now_ns // 1_000_000,
        "instrument_name": scale.instrument.symbol,
        "state": "open" if takes_orders(day.phase) else "closed",
        "phase": PHASE[int(day.phase)],
        "best_bid_price": price(top.bid_price) if top.bid_quantity else 0,
        "best_bid_amount": amount(top.bid_quantity),
        "best_ask_price": price(top.ask_price) if top.ask_quantity else 0,
        "best_ask_amount": amount(top.ask_quantity),
        "last_price": last,
        "mark_price": last,
        "index_price": last,
        "settlement_price": price(settlement_of(day)),
        "min_price": price(day.floor),
        "max_price": price(day.ceiling),
        "open_interest": amount(exchange.open_interest(scale.instrument.symbol)),
        "stats": {
            "high": price(day.high_price) if traded else None,
            "low": price(day.low_price) if traded else None,
            "volume": amount(day.volume),
            "volume_notional": scale.money(int(day.notional)),
            "price_change": change,
        },
    }


def milliseconds(date: datetime.date | None, default: int) -> int:
    """Midnight UTC of a date, ms since the Unix epoch."""
    return default if date is None else calendar.timegm(date.timetuple()) * 1000
