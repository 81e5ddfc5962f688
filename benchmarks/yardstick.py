"""The yardstick: a bare compiled book, a fixed measure of how fast the machine is at the moment.

    seconds = Yardstick(flow).run()      # the whole flow in one compiled call
    trades = Yardstick(flow).trades()

It has limit, cancel, replace and market orders of one instrument, on flat arrays indexed by price and by a dense order id.
It has no risk, no event rows, no ids to resolve and no checks; a cancel of an order that is gone does nothing. So it is
neither a rival of the engine nor a part of it. It must never be made faster, because figures of different days are
compared through it.
"""

import time

import numpy as np
from numba import njit

from benchmarks.workloads import SELL, Flow
from matching.codes import CommandKind, TimeInForce

_ENTER, _CANCEL, _AMEND = int(CommandKind.ENTER), int(CommandKind.CANCEL), int(CommandKind.AMEND)
_LIMIT, _CANCELED, _REPLACE, _MARKET = range(4)
_GONE = -1
_BID, _ASK, _TRADES = range(3)  # best bid, best ask, trades so far


@njit(inline="always")
def _unlink(order, best, heads, tails, counts, nexts, previous, prices, sides):
    """Take an order out of its queue, and find the next best price, level by level, if it was the last of the best."""
    side, price = sides[order], prices[order]
    before, after = previous[order], nexts[order]
    if before == _GONE:
        heads[side, price] = after
    else:
        nexts[before] = after
    if after == _GONE:
        tails[side, price] = before
    else:
        previous[after] = before
    sides[order] = _GONE
    counts[side, price] -= 1
    if counts[side, price] == 0 and price == best[side]:
        if side == _BID:
            while price > 0 and counts[_BID, price] == 0:
                price -= 1
        else:
            while price < counts.shape[1] - 1 and counts[_ASK, price] == 0:
                price += 1
        best[side] = price


@njit(inline="always")
def _trade(order, quantity, against, best, tape, heads, tails, counts, nexts, previous, prices, sides, quantities):
    """One match with the oldest order of the best price. Returns what is left of `quantity`."""
    price = best[against]
    maker = heads[against, price]
    traded = min(quantities[maker], quantity)
    row = best[_TRADES]
    tape[row, 0], tape[row, 1], tape[row, 2], tape[row, 3] = maker, order, price, traded
    best[_TRADES] = row + 1
    quantities[maker] -= traded
    if quantities[maker] == 0:
        _unlink(maker, best, heads, tails, counts, nexts, previous, prices, sides)
    return quantity - traded


@njit
def _one(
    kind, side, order, price, quantity, best, tape, heads, tails, counts, nexts, previous, prices, sides, quantities
):
    if kind == _CANCELED or kind == _REPLACE:  # noqa: SIM109  a test of a tuple compiles to other code
        if sides[order] == _GONE:
            return
        _unlink(order, best, heads, tails, counts, nexts, previous, prices, sides)
        if kind == _CANCELED:
            return
    if side == _BID:
        limit = counts.shape[1] - 2 if kind == _MARKET else price
        while quantity > 0 and best[_ASK] <= limit:
            quantity = _trade(
                order, quantity, _ASK, best, tape, heads, tails, counts, nexts, previous, prices, sides, quantities
            )
    else:
        limit = 1 if kind == _MARKET else price
        while quantity > 0 and best[_BID] >= limit:
            quantity = _trade(
                order, quantity, _BID, best, tape, heads, tails, counts, nexts, previous, prices, sides, quantities
            )
    if quantity > 0 and kind != _MARKET:
        tail = tails[side, price]
        prices[order], sides[order], quantities[order] = price, side, quantity
        previous[order], nexts[order] = tail, _GONE
        if tail == _GONE:
            heads[side, price] = order
        else:
            nexts[tail] = order
        tails[side, price] = order
        counts[side, price] += 1
        if side == _BID:
            best[_BID] = max(best[_BID], price)
        else:
            best[_ASK] = min(best[_ASK], price)


@njit(cache=True)
def _run(
    kinds,
    of_side,
    of_order,
    at_price,
    of_quantity,
    best,
    tape,
    heads,
    tails,
    counts,
    nexts,
    previous,
    prices,
    sides,
    quantities,
):
    for number in range(len(kinds)):
        _one(
            kinds[number],
            of_side[number],
            of_order[number],
            at_price[number],
            of_quantity[number],
            best,
            tape,
            heads,
            tails,
            counts,
            nexts,
            previous,
            prices,
            sides,
            quantities,
        )


class Yardstick:
    """A flow of one instrument in the columns that the bare book reads.

    Errors    ValueError: the flow has several instruments
    """

    def __init__(self, flow: Flow) -> None:
        if flow.instruments != 1:
            raise ValueError(f"flow {flow.name}: {flow.instruments} instruments, the yardstick has 1")
        commands = flow.commands
        enters = commands["kind"] == _ENTER
        self._orders = int(enters.sum())
        self._levels = flow.band + 2
        number = np.cumsum(enters) - 1  # of the order that a sequence entered
        kinds = np.select(
            (commands["kind"] == _CANCEL, commands["kind"] == _AMEND, commands["time_in_force"] == TimeInForce.IOC),
            (_CANCELED, _REPLACE, _MARKET),
            _LIMIT,
        )
        orders = np.where(enters, number, number[np.maximum(commands["order_id"], 1) - 1])
        self._columns = [
            np.ascontiguousarray(column, np.int64)
            for column in (kinds, commands["side"] == SELL, orders, commands["price"], commands["quantity"])
        ]
        self.warm = flow.warm
        self.rows = len(commands) - flow.warm
        self._apply(self._fresh(), 0, min(16, len(commands)))  # compiles

    def run(self) -> float:
        """CPU seconds for the flow behind its warm rows."""
        book = self._fresh()
        self._apply(book, 0, self.warm)
        start = time.thread_time()
        self._apply(book, self.warm, len(self._columns[0]))
        return time.thread_time() - start

    def trades(self) -> np.ndarray:
        """int64 (n, 4): resting order, incoming order, price, quantity of every trade. Orders count from 0."""
        book = self._fresh()
        self._apply(book, 0, len(self._columns[0]))
        return book[1][: book[0][_TRADES]]

    def _apply(self, book: tuple[np.ndarray, ...], first: int, last: int) -> None:
        _run(*(column[first:last] for column in self._columns), *book)

    def _fresh(self) -> tuple[np.ndarray, ...]:
        rows, orders, levels = len(self._columns[0]), self._orders, self._levels
        best = np.array([0, levels - 1, 0], np.int64)
        heads, tails = (np.full((2, levels), _GONE, np.int64) for _ in range(2))
        nexts, previous, sides = (np.full(orders, _GONE, np.int64) for _ in range(3))
        return (
            best,
            np.zeros((2 * rows, 4), np.int64),
            heads,
            tails,
            np.zeros((2, levels), np.int64),
            nexts,
            previous,
            np.zeros(orders, np.int64),
            sides,
            np.zeros(orders, np.int64),
        )
