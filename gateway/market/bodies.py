"""The data of public channels as JSON: books, quotes, trades, auctions, phases.

    bodies.image(market, scale, index, depth=10, group=1)    # '{"timestamp":...,"bids":[[5205,3], ...], ...}'

Rows of market data are read as tuples, by position: ten times faster than field by field.
"""

from collections.abc import Iterable
from operator import itemgetter
from typing import Any

import numpy as np

from exchange.projections.marketdata import (
    BOOK_CHANGE,
    CHANGE,
    DELETE,
    LEVEL_CHANGE,
    NEW,
    TRADE,
    MarketData,
)
from gateway.text import codes as c
from gateway.text.scale import Scale
from gateway.text.words import DIRECTION, PHASE, REASON

_ACTION_WORD = {NEW: "new", CHANGE: "change", DELETE: "delete"}
_BOOK = {name: position for position, name in enumerate(BOOK_CHANGE.names or ())}
_LEVEL = {name: position for position, name in enumerate(LEVEL_CHANGE.names or ())}
_TRADE = {name: position for position, name in enumerate(TRADE.names or ())}
# Positions in a BOOK_CHANGE.
INSTRUMENT, SEQUENCE, TIME, CHANGE_ID = (_BOOK[name] for name in ("instrument", "sequence", "time", "change_id"))
FIRST, COUNT, CHECKSUM, TOP = (_BOOK[name] for name in ("first", "count", "checksum", "top"))
_BID_PRICE, _BID_QUANTITY = _BOOK["bid_price"], _BOOK["bid_quantity"]
_ASK_PRICE, _ASK_QUANTITY = _BOOK["ask_price"], _BOOK["ask_quantity"]
_ACTION, _SIDE, _PRICE, _QUANTITY = (_LEVEL[name] for name in ("action", "side", "price", "quantity"))
# (instrument, sequence) of a TRADE.
command_of = itemgetter(_TRADE["instrument"], _TRADE["sequence"])


def snapshot(market: MarketData, scale: Scale, index: int, change_id: int, resync: bool) -> str:
    """The whole book. change_id: the channel's own, since an interval whose changes cancelled out sent nothing."""
    bids, asks, _ = market.book(index)
    price, amount = scale.price, scale.amount
    mark = ',"resync":true' if resync else ""
    sides = [
        ",".join(f'["new",{price(ticks)},{amount(lots)}]' for ticks, lots in side.tolist()) for side in (bids, asks)
    ]
    return (
        f'{{"type":"snapshot","timestamp":{market.top(index).time // 1_000_000},'
        f'"instrument_name":"{scale.instrument.symbol}",'
        f'"change_id":{change_id},"bids":[{sides[0]}],"asks":[{sides[1]}],'
        f'"checksum":{market.checksum(index)}{mark}}}'
    )


def change(
    scale: Scale, rows: Iterable[tuple[Any, ...]], previous_id: int, change_id: int, time_ns: int, checksum: int
) -> str:
    """LEVEL_CHANGE rows."""
    bids: list[str] = []
    asks: list[str] = []
    for row in rows:
        text = f'["{_ACTION_WORD[row[_ACTION]]}",{scale.price(row[_PRICE])},{scale.amount(row[_QUANTITY])}]'
        (bids if row[_SIDE] == c.BUY else asks).append(text)
    return (
        f'{{"type":"change","timestamp":{time_ns // 1_000_000},"instrument_name":"{scale.instrument.symbol}",'
        f'"prev_change_id":{previous_id},"change_id":{change_id},"bids":[{",".join(bids)}],"asks":[{",".join(asks)}],'
        f'"checksum":{checksum}}}'
    )


def image(market: MarketData, scale: Scale, index: int, depth: int, group: int) -> str:
    """The best levels of a book, summed in price groups of so many ticks."""
    bids, asks, change_id = market.book(index, depth, group)
    price, amount = scale.price, scale.amount
    sides = [",".join(f"[{price(ticks)},{amount(lots)}]" for ticks, lots in side.tolist()) for side in (bids, asks)]
    return (
        f'{{"timestamp":{market.top(index).time // 1_000_000},"instrument_name":"{scale.instrument.symbol}",'
        f'"change_id":{change_id},"bids":[{sides[0]}],"asks":[{sides[1]}]}}'
    )


def quote(scale: Scale, book: tuple[Any, ...]) -> str:
    """The best prices of a BOOK_CHANGE."""
    bid = scale.price(book[_BID_PRICE]) if book[_BID_QUANTITY] else "null"
    ask = scale.price(book[_ASK_PRICE]) if book[_ASK_QUANTITY] else "null"
    return (
        f'{{"timestamp":{book[TIME] // 1_000_000},"instrument_name":"{scale.instrument.symbol}",'
        f'"best_bid_price":{bid},"best_bid_amount":{scale.amount(book[_BID_QUANTITY])},'
        f'"best_ask_price":{ask},"best_ask_amount":{scale.amount(book[_ASK_QUANTITY])}}}'
    )


def trade(scale: Scale, row: tuple[Any, ...]) -> str:
    """A TRADE."""
    return (
        f'{{"trade_seq":{row[_TRADE["trade_sequence"]]},"trade_id":"{row[_TRADE["trade_id"]]}",'
        f'"timestamp":{row[_TRADE["time"]] // 1_000_000},"tick_direction":{row[_TRADE["tick_direction"]]},'
        f'"price":{scale.price(row[_TRADE["price"]])},"amount":{scale.amount(row[_TRADE["quantity"]])},'
        f'"direction":"{DIRECTION[row[_TRADE["side"]]]}","instrument_name":"{scale.instrument.symbol}",'
        f'"seq":{row[_TRADE["sequence"]]}}}'
    )


def auction(scale: Scale, price: int, lots: int, surplus: int, time_ns: int, final: bool) -> str:
    """A call auction: what it would trade now, or what it has traded (`final`)."""
    shown = scale.price(price) if lots else "null"
    return (
        f'{{"timestamp":{time_ns // 1_000_000},"instrument_name":"{scale.instrument.symbol}","price":{shown},'
        f'"amount":{scale.amount(lots)},"imbalance":{scale.amount(surplus)},'
        f'"final":{"true" if final else "false"}}}'
    )


def final_auction(scale: Scale, event: np.record) -> str:
    """An AUCTION event."""
    price, lots, surplus, time_ns = (
        int(event[name]) for name in ("price", "quantity", "resting_leaves_quantity", "time")
    )
    return auction(scale, price, lots, surplus, time_ns, True)


def phase(symbol: str, phase_: int, time_ns: int, reason: int = 0, sequence: int = 0) -> str:
    """sequence 0: no command changed the phase; it is the present one."""
    text = (
        f'{{"instrument_name":"{symbol}","phase":"{PHASE[phase_]}","reason":"{REASON[reason]}",'
        f'"timestamp":{time_ns // 1_000_000}'
    )
    return f'{text},"seq":{sequence}}}' if sequence else text + "}"
