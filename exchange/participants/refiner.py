"""A refiner: prices its cargoes over time by buying, and later lifting, a hedge in slices.

    Refiner(account=7, instruments=[0, 1], seed=1)

Each programme lasts `programme_ns` and ends at a position of its own; on the way the target lies on a straight line
between two ends. Ends are drawn from the seed and the number of the programme, so what the refiner wants at a time is
known without any memory. It joins the best price of its side while it is about on schedule, and takes the other side's
when it falls behind (half passive, half taking: the usual execution by slices). In a call auction it rests one order
a tick beyond the fair value.
"""

from collections.abc import Sequence

import numpy as np

from exchange.participants.member import EVERY_MONTH, View, cancel, enter, other_side, replace, rows, take
from matching.codes import Side


class Refiner:
    """A simulated member with a programme.

    largest_end    lots, the most that a programme ends at
    programme_ns   how long a programme lasts
    slice_lots     lots of one order
    """

    def __init__(
        self,
        account: int,
        instruments: Sequence[int],
        seed: int,
        largest_end: int = 200,
        programme_ns: int = 600_000_000_000,
        slice_lots: int = 5,
        interval_ns: int = 500_000_000,
        months: int = EVERY_MONTH,
    ) -> None:
        self.account, self.instruments, self.interval_ns, self.months = account, tuple(instruments), interval_ns, months
        self._seed, self._largest_end, self._programme_ns = seed, largest_end, programme_ns
        self._slice = slice_lots

    def target(self, now_ns: int, instrument: int) -> int:
        """Lots that the refiner wants to hold now."""
        number, passed = divmod(now_ns, self._programme_ns)
        begin, end = self._end(number - 1, instrument), self._end(number, instrument)
        return begin + (end - begin) * passed // self._programme_ns

    def _end(self, number: int, instrument: int) -> int:
        rng = np.random.default_rng((self._seed, self.account, instrument, max(number, 0)))
        return int(rng.integers(0, self._largest_end + 1))

    def act(self, now_ns: int, view: View) -> np.ndarray:
        """One slice, or one correction of the slice that rests."""
        behind = self.target(now_ns, view.instrument) - view.position
        side = Side.BUY if behind > 0 else Side.SELL
        commands = [cancel(view, order) for order in view.own(self.account, other_side(side))]
        resting = view.own(self.account, side)
        quantity = min(abs(behind), self._slice)
        touch, against = view.best(side, self.account), view.best(other_side(side), self.account)
        if view.auction:
            touch, against = view.nearest(view.fair + (1 if side == Side.BUY else -1)), None
        if abs(behind) > 2 * self._slice and against is not None and view.allows(against):
            commands += [cancel(view, order) for order in resting]
            commands.append(take(view, self.account, side, against, quantity))
        elif behind == 0:
            commands += [cancel(view, order) for order in resting]
        elif touch is not None and view.allows(touch):
            if not len(resting):
                commands.append(enter(view, self.account, side, touch, quantity))
            elif resting["price"][0] != touch:
                commands += replace(view, resting[0], touch, quantity)
        return rows(commands)
