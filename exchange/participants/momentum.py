"""A trend follower: buys after a rise, sells after a fall, and closes its position when the trend ends.

    Momentum(account=8, instruments=[0, 4], seed=1)

It compares the last price with a slow average of the last prices that it has seen, and only ever takes; it has no
orders in the book and stays away from call auctions. After a restart it watches anew before it acts.
"""

from collections.abc import Sequence

import numpy as np

from exchange.participants.member import EVERY_MONTH, View, other_side, rows, take
from matching.codes import Side


class Momentum:
    """A simulated member that follows the last price.

    threshold      ticks between last price and average that make a trend
    slowness       looks over which the average moves
    quantity       lots of an order, (least, most)
    max_position   lots, long or short
    """

    def __init__(
        self,
        account: int,
        instruments: Sequence[int],
        seed: int,
        threshold: int = 3,
        slowness: int = 40,
        quantity: tuple[int, int] = (1, 5),
        max_position: int = 30,
        interval_ns: int = 100_000_000,
        months: int = EVERY_MONTH,
    ) -> None:
        self.account, self.instruments, self.interval_ns, self.months = account, tuple(instruments), interval_ns, months
        self._rng = np.random.default_rng((seed, account))
        self._threshold, self._slowness, self._quantity = threshold, slowness, quantity
        self._max_position = max_position
        self._averages: dict[int, float] = {}

    def act(self, now_ns: int, view: View) -> np.ndarray:
        """An order with the trend, or one that closes the position left by the last trend."""
        if view.auction:
            return rows([])
        average = self._averages.get(view.instrument, float(view.last))
        ahead = view.last - average
        self._averages[view.instrument] = average + ahead / self._slowness
        if abs(ahead) >= self._threshold:
            side = Side.BUY if ahead > 0 else Side.SELL
            room = self._max_position - (view.position if side == Side.BUY else -view.position)
        elif abs(ahead) < 1 and view.position:
            side = Side.SELL if view.position > 0 else Side.BUY
            room = abs(view.position)
        else:
            return rows([])
        quantity = min(room, int(self._rng.integers(self._quantity[0], self._quantity[1] + 1)))
        against = view.best(other_side(side), self.account)
        if quantity <= 0 or against is None or not view.allows(against):
            return rows([])
        return rows([take(view, self.account, side, against, quantity)])
