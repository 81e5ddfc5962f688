"""A recorded flow at the hub compared with the same flow at its venue: trades, refusals, and the book at the end.

    comparison = compare(flow, exchange, trades, refusals)
    comparison.identical, comparison.missing, comparison.extra

A trade is identical when taker, maker, price and quantity are. This file counts and names what differs, with a short
cause each; it does not judge, and changes nothing in the exchange.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass

import numpy as np

from exchange.engine.machine import Exchange
from exchange.replay.formats import Flow
from matching.codes import Reason

Trade = tuple[int, int, int, int]  # taker, maker, price, quantity


@dataclass(frozen=True)
class Difference:
    """A trade or an open order that is on one side only. The venue's ids, ticks, lots. maker_id 0: an open order."""

    taker_id: int
    maker_id: int
    price: int
    quantity: int
    cause: str


@dataclass(frozen=True)
class Comparison:
    """The venue beside the hub.

    identical               trades that are the same in taker, maker, price and quantity
    in_order                the identical ones came in the same order
    missing, extra          trades of the venue, and of the hub, that the other does not have
    refused_by_both         orders that the venue took back at once and the hub refused as POST_ONLY
    refused_by_venue        only the venue: withdrawn within the ms, for a reason that it does not give
    refused_by_hub          only the hub
    resting_identical       orders open at the end in both, with the same open quantity
    resting_refused         open at the venue; the hub had refused them
    resting_differ          any other difference between the two books
    """

    identical: int
    in_order: bool
    missing: tuple[Difference, ...]
    extra: tuple[Difference, ...]
    refused_by_both: int
    refused_by_venue: int
    refused_by_hub: int
    resting_identical: int
    resting_refused: int
    resting_differ: tuple[Difference, ...]


def compare(flow: Flow, exchange: Exchange, trades: np.ndarray, refusals: np.ndarray) -> Comparison:
    """Compare the result of a flow with the venue's trades and its last book.

    exchange   after the whole flow
    trades     int64[t, 4]: the hub's trades as taker and maker order id, price, quantity
    refusals   uint16[n]: for each command that was a refused ENTER its Reason, else 0
    """
    named = trades.copy()
    named[:, :2] = flow.venue_ids[trades[:, :2] - 1]
    ours = [tuple(trade) for trade in named.tolist()]
    columns = ("taker_order_id", "maker_order_id", "price", "quantity")
    theirs = list(zip(*(flow.tape[column].tolist() for column in columns), strict=True))
    common = Counter(ours) & Counter(theirs)
    refused = np.flatnonzero(refusals)
    refused_ids = dict(zip(flow.venue_ids[refused].tolist(), map(Reason, refusals[refused].tolist()), strict=True))
    post_only = {venue_id for venue_id, reason in refused_ids.items() if reason is Reason.POST_ONLY_WOULD_TRADE}
    at_once = set(flow.refused.tolist())
    causes = _Causes(flow, ours, theirs, refused_ids)
    missing, extra = _without(theirs, common), _without(ours, common)
    identical, kept, differ = _compare_books(flow, exchange, refused_ids)
    return Comparison(
        identical=common.total(),
        in_order=_only(ours, common) == _only(theirs, common),
        missing=tuple(Difference(*trade, causes.of_missing(trade)) for trade in missing),
        extra=tuple(Difference(*trade, causes.of_extra(trade)) for trade in extra),
        refused_by_both=len(post_only & at_once),
        refused_by_venue=len(at_once - set(refused_ids)),
        refused_by_hub=len(post_only - at_once),
        resting_identical=identical,
        resting_refused=kept,
        resting_differ=differ,
    )


def _without(trades: list[Trade], common: Counter[Trade]) -> list[Trade]:
    left = common.copy()
    rest = []
    for trade in trades:
        if left[trade]:
            left[trade] -= 1
        else:
            rest.append(trade)
    return rest


def _only(trades: list[Trade], common: Counter[Trade]) -> list[Trade]:
    return [trade for trade in trades if trade in common]


class _Causes:
    """Why a trade is on one side only: the first of these that holds."""

    def __init__(self, flow: Flow, ours: list[Trade], theirs: list[Trade], refused: dict[int, Reason]):
        self._sent = set(flow.venue_ids.tolist())
        self._left_out = {order.venue_id: order.cause for order in flow.left_out}
        self._refused = refused
        self._ours, self._theirs = _by_order(ours), _by_order(theirs)

    def of_missing(self, trade: Trade) -> str:
        taker, maker, _, _ = trade
        for order, who in ((taker, "taker"), (maker, "maker")):
            if order in self._left_out:
                return f"the {who}'s order was left out: {self._left_out[order]}"
            if order not in self._sent:
                return f"the recording does not show the {who}'s order"
            if order in self._refused:
                return f"the hub refused the {who}'s order: {self._refused[order].name}"
        return self._other_trade(self._ours, taker, maker, "here") or "the two orders did not meet here, nor any other"

    def of_extra(self, trade: Trade) -> str:
        taker, maker, _, _ = trade
        return self._other_trade(self._theirs, taker, maker, "at the venue") or "neither order traded at the venue"

    @staticmethod
    def _other_trade(trades: dict[int, list[Trade]], taker: int, maker: int, where: str) -> str:
        for _, second, price, quantity in trades[taker]:
            if second == maker:
                return f"the two traded {quantity} lots at {price} {where}"
        for order, who in ((taker, "taker"), (maker, "maker")):
            for first, second, _, _ in trades[order]:
                return f"the {who} traded with order {second if first == order else first} {where}"
        return ""


def _by_order(trades: list[Trade]) -> dict[int, list[Trade]]:
    """Trades by each of the two orders. The two orders of a trade are two entries."""
    index: dict[int, list[Trade]] = defaultdict(list)
    for trade in trades:
        index[trade[0]].append(trade)
        index[trade[1]].append(trade)
    return index


def _compare_books(
    flow: Flow, exchange: Exchange, refused: dict[int, Reason]
) -> tuple[int, int, tuple[Difference, ...]]:
    """(orders open in both alike, open at the venue but refused here, all other differences)."""
    here: dict[int, tuple[int, int]] = {}
    for instrument in exchange.instruments:
        orders = exchange.orders(instrument.symbol)
        names = flow.venue_ids[orders["order_id"] - 1].tolist()
        here |= zip(names, zip(orders["price"].tolist(), orders["leaves_quantity"].tolist(), strict=True), strict=True)
    there = dict(
        zip(
            flow.resting["order_id"].tolist(),
            zip(flow.resting["price"].tolist(), flow.resting["leaves_quantity"].tolist(), strict=True),
            strict=True,
        )
    )
    alike = sum(here.get(order) == terms for order, terms in there.items())
    kept = sum(order in refused for order in there)
    differ = []
    for order in sorted(here.keys() | there.keys()):
        if here.get(order) == there.get(order) or order in refused:
            continue
        price, quantity = there.get(order) or here[order]
        cause = (
            "open here only"
            if order not in there
            else "open at the venue only"
            if order not in here
            else f"{here[order][1]} lots are open here"
        )
        differ.append(Difference(order, 0, price, quantity, cause))
    return alike, kept, tuple(differ)
