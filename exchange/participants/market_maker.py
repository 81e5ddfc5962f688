"""A market maker: a ladder of bids and offers around the fair value, leaning against its own position.

    MarketMaker(account=3, instruments=range(24), seed=1)

Bids and offers stand on `levels` consecutive ticks, `half_spread` away from a centre. The centre is the fair value less
a skew: the longer the maker, the lower it quotes, so others sell to it less and buy from it more. When the centre moves
by a tick, only the order at the far end moves: it is amended to the near end. A quote that meets a stale order trades.
At its largest position the maker quotes the reducing side only; it quotes less where the hub's position limit is low. In a
call auction it adds its best quotes to what rests already.
"""

from collections.abc import Sequence

import numpy as np

from exchange.participants.member import EVERY_MONTH, Command, View, cancel, enter, replace, rows
from matching.codes import Side

_AUCTION_LEVELS = 2


class MarketMaker:
    """A simulated member that quotes both sides.

    half_spread    ticks from the centre to the best quote in the nearest month; a tick more for each later month
    levels         quotes a side; in call auctions the best two
    quantity       lots of a quote, (least, most)
    max_position   lots, long or short, at which it stops quoting the side that would add
    skew           ticks by which it leans at that position
    """

    def __init__(
        self,
        account: int,
        instruments: Sequence[int],
        seed: int,
        half_spread: int = 1,
        levels: int = 5,
        quantity: tuple[int, int] = (3, 20),
        max_position: int = 600,
        skew: int = 6,
        interval_ns: int = 20_000_000,
        months: int = EVERY_MONTH,
    ) -> None:
        self.account, self.instruments, self.interval_ns, self.months = account, tuple(instruments), interval_ns, months
        self._rng = np.random.default_rng((seed, account))
        self._half_spread, self._levels, self._quantity = half_spread, levels, quantity
        self._max_position, self._skew = max_position, skew

    def act(self, now_ns: int, view: View) -> np.ndarray:
        """Bring the quotes in one instrument to where they belong."""
        most = min(self._max_position, view.limit // 2)
        largest = max(min(self._quantity[1], view.limit // (4 * self._levels)), 1)
        quantities = min(self._quantity[0], largest), largest
        room = view.limit - 2 * self._levels * largest  # a side's quotes, and those that they replace
        centre = view.fair - round(self._skew * view.position / most)
        away = self._half_spread + view.rank
        bids = self._prices(view, centre - away, -1) if view.position < most and view.long <= room else []
        asks = self._prices(view, centre + away, 1) if view.position > -most and view.short <= room else []
        own_asks = view.own(self.account, Side.SELL)
        bid_commands = self._requote(view, Side.BUY, bids, view.own(self.account, Side.BUY), quantities)
        ask_commands = self._requote(view, Side.SELL, asks, own_asks, quantities)
        # When quotes move up the asks move first, so that no new bid meets an old ask; otherwise the bids do.
        upwards = bool(bids) and len(own_asks) > 0 and bids[0] >= own_asks["price"][0]
        return rows(ask_commands + bid_commands if upwards else bid_commands + ask_commands)

    def _prices(self, view: View, first: int, step: int) -> list[int]:
        """Prices of one side, best first. Where the hub takes none of them, the nearest, if the maker gains by it."""
        levels = min(self._levels, _AUCTION_LEVELS) if view.auction else self._levels
        prices = [price for price in range(first, first + step * levels, step) if view.allows(price)]
        if not prices and (view.nearest(first) - first) * step > 0:
            prices = [view.nearest(first)]
        return prices

    def _requote(
        self, view: View, side: int, prices: list[int], own: np.ndarray, quantities: tuple[int, int]
    ) -> list[Command]:
        """What turns a side's resting orders into one order on each price. In an auction those further out may stay."""
        missing = set(prices)
        if view.auction and prices:
            own = own[own["price"] >= prices[-1] if side == Side.BUY else own["price"] <= prices[-1]]
        spare = []
        for order, price, leaves in zip(own, own["price"].tolist(), own["leaves_quantity"].tolist(), strict=True):
            if price in missing and leaves >= quantities[0]:
                missing.discard(price)
            else:
                spare.append(order)
        commands = []
        for price in sorted(missing, reverse=side == Side.BUY):
            quantity = int(self._rng.integers(quantities[0], quantities[1] + 1))
            if spare:
                commands += replace(view, spare.pop(), price, quantity)
            else:
                commands.append(enter(view, self.account, side, price, quantity))
        return commands + [cancel(view, order) for order in spare]
