"""The fair values that informed members trade on: mean-reverting walks in whole ticks, one a product and one a month.

    values = FairValues(exchange.instruments, last_prices, seed=1)
    values.step(100_000_000)                  # 0.1 s later
    values.ticks[0]

All months of a product move together, by a tick at a time; each has a small walk of its own besides, so the curve
bends a little and stays a curve. Both are drawn back to where they began the more, the further away they are
(Ehrenfest's walk: its standard deviation is the square root of half the `pull`).
"""

from collections.abc import Sequence

import numpy as np

from exchange.instruments import Instrument

_SECOND = 1_000_000_000
_OWN_DEVIATION = 3  # ticks, standard deviation of a month's own walk
_MARGIN = 4  # a fourth of the way from reference to limit stays free at the limit


class FairValues:
    """Fair values of instruments, in ticks: `ticks`, int64[n].

    instruments       Instrument objects
    last_prices       ticks, where the walks go on from
    seed              int or tuple of ints, not negative
    moves_per_second  of a product; a month's own walk moves a fifth as often
    """

    def __init__(
        self,
        instruments: Sequence[Instrument],
        last_prices: Sequence[int] | np.ndarray,
        seed: int | tuple[int, ...],
        moves_per_second: float = 0.8,
    ) -> None:
        self._rng = np.random.default_rng(seed)
        _, self._product = np.unique([terms.product for terms in instruments], return_inverse=True)
        self._reference = np.array([terms.reference_price for terms in instruments], np.int64)
        floor = np.array([terms.price_floor for terms in instruments], np.int64)
        ceiling = np.array([terms.price_ceiling for terms in instruments], np.int64)
        self._lowest = self._reference - (self._reference - floor) * (_MARGIN - 1) // _MARGIN
        self._highest = self._reference + (ceiling - self._reference) * (_MARGIN - 1) // _MARGIN
        products = int(self._product.max()) + 1
        half_bands = [
            int((self._highest - self._lowest)[self._product == product].min()) // 2 for product in range(products)
        ]
        deviations = np.array([max(1, half_band // 4) for half_band in half_bands] + [_OWN_DEVIATION] * len(floor))
        self._pull = 2 * deviations * deviations
        self._rate = np.array([moves_per_second] * products + [moves_per_second / 5] * len(floor))
        moved = np.array(last_prices, np.int64) - self._reference
        common = [int(np.rint(moved[self._product == product].mean())) for product in range(products)]
        own = np.clip(moved - np.array(common)[self._product], -2 * _OWN_DEVIATION, 2 * _OWN_DEVIATION)
        self._walks = np.concatenate([common, own]).astype(np.int64)  # products first, then months
        self._products = products

    @property
    def ticks(self) -> np.ndarray:
        """int64[n], within the bands."""
        values = self._reference + self._walks[: self._products][self._product] + self._walks[self._products :]
        return np.clip(values, self._lowest, self._highest)

    def step(self, elapsed_ns: int) -> None:
        """Let time pass. Each walk moves by at most one tick."""
        moves = self._rng.random(len(self._walks)) < self._rate * (elapsed_ns / _SECOND)
        up = self._rng.random(len(self._walks)) < 0.5 - self._walks / (2 * self._pull)
        self._walks += np.where(moves, np.where(up, 1, -1), 0)
