"""A noise trader: small random orders, slightly more often against its own position.

    NoiseTrader(account=5, instruments=range(24), seed=1)

When it looks at an instrument it mostly does nothing. Otherwise it takes what the other side offers, leaves an order
near the best price, or a stop order further away. Once it has `patience` of them in an instrument, it cancels the
oldest. In a call auction it bids up to a few ticks more than the fair value, or offers as much below it, so that bids
and offers cross and the auction finds a price.
"""

from collections.abc import Sequence

import numpy as np

from exchange.participants.member import EVERY_MONTH, Command, View, cancel, enter, other_side, rows, stop, take
from matching.codes import Side, TimeInForce

_QUANTITIES = (1, 2, 3, 5, 10)  # lots; people like round numbers
_QUANTITY_SHARES = (0.45, 0.25, 0.12, 0.12, 0.06)
_SHOWN = 2  # lots, of an iceberg
_LARGEST_STOP = 2  # lots
_MOST_PARKED = 6  # in an instrument, of anybody


class NoiseTrader:
    """A simulated member that trades at random.

    activity       chance of doing something on a look at the nearest month; later months get less
    taking         share of its orders that trade at once
    stopping       share of the others that wait for a trade two to five ticks away
    hiding         share of resting orders of five lots and more that are icebergs
    patience       orders that it leaves in an instrument
    max_position   lots, long or short, that it does not pass
    """

    def __init__(
        self,
        account: int,
        instruments: Sequence[int],
        seed: int,
        activity: float = 0.35,
        taking: float = 0.5,
        stopping: float = 0.0,
        hiding: float = 0.0,
        patience: int = 3,
        max_position: int = 40,
        interval_ns: int = 20_000_000,
        months: int = EVERY_MONTH,
    ) -> None:
        self.account, self.instruments, self.interval_ns, self.months = account, tuple(instruments), interval_ns, months
        self._rng = np.random.default_rng((seed, account))
        self._activity, self._taking, self._patience, self._max_position = activity, taking, patience, max_position
        self._stopping, self._hiding = stopping, hiding

    def act(self, now_ns: int, view: View) -> np.ndarray:
        """Perhaps an order, and the end of an old one."""
        rng = self._rng
        own = view.orders[view.orders["account"] == self.account]
        if rng.random() >= self._activity / (1 + view.rank) and not (view.auction and not self._is_keen(view, own)):
            return rows([])
        commands: list[Command] = []
        if len(own) >= self._patience:
            commands.append(cancel(view, own[own["order_id"].argmin()]))
        side = Side.BUY if rng.random() < 0.5 - 0.5 * view.position / self._max_position else Side.SELL
        quantity = int(rng.choice(_QUANTITIES, p=_QUANTITY_SHARES))
        quantity = min(quantity, self._room(view, own, side))
        if quantity > 0:
            commands += self._keen(view, side, quantity) if view.auction else self._order(view, side, quantity)
        return rows(commands)

    def _room(self, view: View, own: np.ndarray, side: int) -> int:
        """Lots of this side until the position could be at its limit; any parked order could be its own."""
        open_lots = int(own["leaves_quantity"][own["side"] == side].sum()) + _LARGEST_STOP * view.parked
        return self._max_position - open_lots - (view.position if side == Side.BUY else -view.position)

    def _order(self, view: View, side: int, quantity: int) -> list[Command]:
        """Take the best price of others, rest up to three ticks away from the best of its own side, or place a stop order."""
        against = view.best(other_side(side), self.account)
        if self._rng.random() < self._taking:
            return (
                [take(view, self.account, side, against, quantity)]
                if against is not None and view.allows(against)
                else []
            )
        if self._rng.random() < self._stopping:
            return self._stop(view, side, min(quantity, _LARGEST_STOP))
        best = view.best(side, self.account)
        step = 1 if side == Side.BUY else -1
        price = (view.fair - step if best is None else best) - step * int(self._rng.integers(-1, 4))
        shown = _SHOWN if quantity > 2 * _SHOWN and self._rng.random() < self._hiding else 0
        return [enter(view, self.account, side, view.nearest(price), quantity, display_quantity=shown)]

    def _stop(self, view: View, side: int, quantity: int) -> list[Command]:
        """A stop order. Half of them have a limit two ticks beyond the trigger."""
        step = 1 if side == Side.BUY else -1
        trigger = view.last + step * int(self._rng.integers(2, 6))
        price = trigger + 2 * step if self._rng.random() < 0.5 else None
        if (
            view.parked >= _MOST_PARKED
            or not view.allows(trigger)
            or not view.allows(trigger if price is None else price)
        ):
            return []
        return [stop(view, self.account, side, trigger, quantity, price)]

    def _is_keen(self, view: View, own: np.ndarray) -> bool:
        """Whether one of its orders is priced beyond what makers quote around the fair value."""
        beyond = np.where(own["side"] == Side.BUY, 1, -1) * (own["price"] - view.fair)
        return bool((beyond > view.rank).any())

    def _keen(self, view: View, side: int, quantity: int) -> list[Command]:
        """In a call auction: one to four ticks beyond the fair value, more in later months where makers are further apart."""
        step = 1 if side == Side.BUY else -1
        price = view.fair + step * (view.rank + int(self._rng.integers(1, 5)))
        lasts = TimeInForce.OPENING if self._rng.random() < 0.3 else TimeInForce.DAY
        return [enter(view, self.account, side, view.nearest(price), quantity, lasts)]
