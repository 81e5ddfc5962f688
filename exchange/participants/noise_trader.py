"""A noise trader: small orders for no reason that the market could know, a little against its own position.

    NoiseTrader(account=5, instruments=range(24), seed=1)

When it looks at an instrument it mostly does nothing. Otherwise it takes what the other side offers, or leaves an order
near the touch; once it has left `patience` of them in an instrument, the oldest goes.
"""
from collections.abc import Sequence

import numpy as np

from exchange.participants.member import Command, View, cancel, enter, other_side, rows, take
from matching.codes import Side

_BUY, _SELL = int(Side.BUY), int(Side.SELL)
_QUANTITIES = (1, 2, 3, 5, 10)           # lots; people like round numbers
_QUANTITY_SHARES = (0.45, 0.25, 0.12, 0.12, 0.06)


class NoiseTrader:
    """A simulated member that trades at random.

    activity       chance of doing something on a look at the nearest month; later months get less
    taking         share of its orders that trade at once
    patience       orders that it leaves in an instrument
    max_position   lots, long or short, that it does not pass
    """

    def __init__(self, account: int, instruments: Sequence[int], seed: int, activity: float = 0.35, taking: float = 0.5,
                 patience: int = 3, max_position: int = 40, interval_ns: int = 20_000_000) -> None:
        self.account, self.instruments, self.interval_ns = account, tuple(instruments), interval_ns
        self._rng = np.random.default_rng((seed, account))
        self._activity, self._taking, self._patience, self._max_position = activity, taking, patience, max_position

    def act(self, now_ns: int, view: View) -> np.ndarray:
        """Perhaps an order, and the end of an old one."""
        rng = self._rng
        if rng.random() >= self._activity / (1 + view.rank):
            return rows([])
        own = view.orders[view.orders["account"] == self.account]
        commands: list[Command] = []
        if len(own) >= self._patience:
            commands.append(cancel(view, own[own["order_id"].argmin()]))
        side = _BUY if rng.random() < 0.5 - 0.5 * view.position / self._max_position else _SELL
        quantity = int(rng.choice(_QUANTITIES, p=_QUANTITY_SHARES))
        quantity = min(quantity, self._room(view, own, side))
        if quantity > 0:
            commands += self._order(view, side, quantity)
        return rows(commands)

    def _room(self, view: View, own: np.ndarray, side: int) -> int:
        """Lots of this side until the position could be at its limit."""
        open_lots = int(own["leaves_quantity"][own["side"] == side].sum())
        return self._max_position - open_lots - (view.position if side == _BUY else -view.position)

    def _order(self, view: View, side: int, quantity: int) -> list[Command]:
        """Take the best price of the others, or rest up to three ticks behind the own side's best."""
        against = view.best(other_side(side), self.account)
        if self._rng.random() < self._taking:
            return [take(view, self.account, side, against, quantity)] \
                if against is not None and view.allows(against) else []
        best = view.best(side, self.account)
        step = 1 if side == _BUY else -1
        price = (view.fair - step if best is None else best) - step * int(self._rng.integers(-1, 4))
        return [enter(view, self.account, side, view.nearest(price), quantity)]
