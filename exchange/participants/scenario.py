"""Who trades what at the hub when nobody else does: demo accounts, simulated members, and their turns.

    scenario = Scenario(exchange, demo_members(exchange, seed=1), seed=1)
    for rows in scenario.step(clock()):       # every 0.1 s or so
        runner.submit(rows, scenario.heard)

A step moves the fair values and lets each member look at as many instruments as its interval allows; what they answer
is handed to the hub like anybody's commands. Within a step an instrument hears one member only, and no step asks for
anything before the last answer has been heard, so what a member has seen is what its commands meet, unless a person
was quicker. The same seed and the same steps on the same exchange give the same commands.
"""
from collections import Counter
from collections.abc import Sequence
from datetime import date

import numpy as np

from exchange.instruments import Instrument
from exchange.machine import Exchange
from exchange.participants.fair_value import FairValues
from exchange.participants.market_maker import MarketMaker
from exchange.participants.member import Member, View
from exchange.participants.momentum import Momentum
from exchange.participants.noise_trader import NoiseTrader
from exchange.participants.refiner import Refiner
from matching.codes import EventKind, Phase, Reason, SelfMatch
from risk.limits import Account

_SECOND = 1_000_000_000
_BURST_SECONDS = 3               # of commands that may be asked for at once, so that empty books fill quickly
_SILENCE_NS = _SECOND            # of a member whose order was refused
_RACES = (Reason.UNKNOWN_ORDER, Reason.POST_ONLY_WOULD_TRADE)    # somebody else was quicker: no reason to fall silent
_MEMBERS = ("sim-maker-1", "sim-maker-2", "sim-noise-1", "sim-noise-2", "sim-refiner", "sim-momentum")


class Scenario:
    """Simulated members on an exchange.

    exchange             read, never written; its state decides what members see
    members              Member objects
    seed                 of the fair values
    commands_per_second  that all members together may send
    """

    def __init__(self, exchange: Exchange, members: Sequence[Member], seed: int,
                 commands_per_second: int = 200) -> None:
        self.rejects: Counter[Reason] = Counter()        # of the members' commands
        self._exchange, self._members = exchange, tuple(members)
        # columns of the exchange's own memory: they show what holds now, and reading one cell is cheap
        instruments, limits = exchange.book.instruments, exchange.ledger.limits
        self._floor, self._ceiling, self._last = (instruments[name] for name in ("floor", "ceiling", "last_price"))
        self._phase, self._collar, self._largest = instruments["phase"], limits["collar"], limits["max_order_quantity"]
        self._positions, self._largest_of_account = (
            exchange.ledger.exposures["position"], exchange.ledger.accounts["max_order_quantity"])
        self._values = FairValues(exchange.instruments, self._last, (seed, exchange.sequence))
        self._ranks = delivery_ranks(exchange.instruments)
        self._cost_ns = _SECOND // commands_per_second
        self._allowance_ns = _BURST_SECONDS * _SECOND
        self._time: int | None = None
        # turns begin apart, so that members with one interval do not always look at the same instrument
        self._turns = [number * len(member.instruments) // len(self._members)
                       for number, member in enumerate(self._members)]
        self._credit_ns = [0] * len(self._members)
        self._silent_until: dict[int, int] = {}
        self._unanswered = 0

    @property
    def fair_values(self) -> np.ndarray:
        """int64[instruments], ticks."""
        return self._values.ticks

    def step(self, now_ns: int) -> list[np.ndarray]:
        """What the members ask for now: COMMAND arrays to submit, each with `heard` as its reply."""
        elapsed = 0 if self._time is None else min(max(now_ns - self._time, 0), _SECOND)
        self._time = now_ns
        self._allowance_ns = min(self._allowance_ns + elapsed, _BURST_SECONDS * _SECOND)
        self._values.step(elapsed)
        for number in range(len(self._members)):
            self._credit_ns[number] = min(self._credit_ns[number] + elapsed, _SECOND)
        if self._unanswered:
            return []
        fair_values = self._values.ticks
        asked: dict[int, np.ndarray] = {}                # by instrument
        for number, member in enumerate(self._members):
            for _ in range(self._credit_ns[number] // member.interval_ns):
                self._credit_ns[number] -= member.interval_ns
                instrument = member.instruments[self._turns[number] % len(member.instruments)]
                self._turns[number] += 1
                if instrument in asked or not self._may_act(member, instrument, now_ns):
                    continue
                rows = member.act(now_ns, self._view(member, instrument, int(fair_values[instrument])))
                if len(rows):
                    asked[instrument] = rows
                    self._allowance_ns -= len(rows) * self._cost_ns
        if not asked:
            return []
        self._unanswered = 1
        return [np.concatenate(list(asked.values()))]

    def heard(self, commands: np.ndarray, events: np.ndarray) -> None:
        """The events of commands that a step asked for. A member that was refused is silent for a second."""
        self._unanswered = 0
        for event in events[events["kind"] == EventKind.REJECTED]:
            reason = Reason(int(event["reason"]))
            self.rejects[reason] += 1
            if reason not in _RACES:
                self._silent_until[int(event["account"])] = int(event["time"]) + _SILENCE_NS

    def _may_act(self, member: Member, instrument: int, now_ns: int) -> bool:
        return (self._allowance_ns > 0 and self._phase[instrument] == Phase.CONTINUOUS
                and now_ns >= self._silent_until.get(member.account, 0))

    def _view(self, member: Member, instrument: int, fair_value: int) -> View:
        """What a member sees of an instrument."""
        instruments = self._exchange.instruments
        last, floor, ceiling = int(self._last[instrument]), int(self._floor[instrument]), int(self._ceiling[instrument])
        collar = int(self._collar[instrument]) or ceiling - floor
        return View(
            instrument=instrument, rank=self._ranks[instrument], fair=fair_value, last=last,
            lowest=max(floor, last - collar), highest=min(ceiling, last + collar),
            largest=int(min(self._largest[instrument], self._largest_of_account[member.account])),
            orders=self._exchange.orders(instruments[instrument].symbol),
            position=int(self._positions[member.account * len(instruments) + instrument]))


def delivery_ranks(instruments: Sequence[Instrument]) -> list[int]:
    """Of each instrument: how many of its product are delivered before it."""
    by_expiry = sorted(range(len(instruments)), key=lambda number: (instruments[number].expiry or date.max, number))
    seen: Counter[str] = Counter()
    ranks = [0] * len(instruments)
    for number in by_expiry:
        product = instruments[number].product
        ranks[number] = seen[product]
        seen[product] += 1
    return ranks


def demo_accounts() -> list[Account]:
    """Three accounts for people, small, commercial and proprietary; then those of the simulated members."""
    cny = 100                    # fen
    people = [
        Account(name="demo", firm=0, self_match=SelfMatch.CANCEL_RESTING, equity=10_000_000 * cny,
                max_order_quantity=100, max_order_notional=60_000_000 * cny, max_long=200, max_short=200,
                max_open_orders=200, messages_per_second=100, message_burst=200),
        Account(name="refinery", firm=1, self_match=SelfMatch.CANCEL_RESTING, equity=100_000_000 * cny,
                max_order_quantity=200, max_order_notional=200_000_000 * cny, max_long=1000, max_short=1000,
                max_open_orders=500, messages_per_second=200, message_burst=400),
        Account(name="trader", firm=2, self_match=SelfMatch.CANCEL_INCOMING, equity=50_000_000 * cny,
                max_order_quantity=200, max_order_notional=100_000_000 * cny, max_long=400, max_short=400,
                max_open_orders=1000, messages_per_second=500, message_burst=1000)]
    members = [
        Account(name=name, firm=3, self_match=SelfMatch.CANCEL_RESTING, equity=5_000_000_000 * cny,
                max_order_quantity=50, max_order_notional=50_000_000 * cny, max_long=1000, max_short=1000,
                max_open_orders=1000, messages_per_second=1000, message_burst=1000)
        for name in _MEMBERS]
    return people + members


def demo_members(exchange: Exchange, seed: int) -> list[Member]:
    """The simulated members of `demo_accounts`. Errors: ValueError naming an account that the exchange lacks."""
    numbers = {account.name: number for number, account in enumerate(exchange.accounts)}
    for name in _MEMBERS:
        if name not in numbers:
            raise ValueError(f"account {name}: missing, simulated members need {', '.join(_MEMBERS)}")
    maker_1, maker_2, noise_1, noise_2, refiner, momentum = (numbers[name] for name in _MEMBERS)
    everything = range(len(exchange.instruments))
    nearest = [number for number, rank in enumerate(delivery_ranks(exchange.instruments)) if rank == 0]
    first_product = [number for number in everything
                     if exchange.instruments[number].product == exchange.instruments[0].product]
    now = seed + exchange.sequence       # after a restart members do not repeat themselves
    return [
        MarketMaker(maker_1, everything, now),
        MarketMaker(maker_2, everything, now, half_spread=2, quantity=(8, 40), skew=8),
        NoiseTrader(noise_1, everything, now),
        NoiseTrader(noise_2, everything, now, activity=0.2, taking=0.7, interval_ns=50_000_000),
        Refiner(refiner, first_product[:2], seed),
        Momentum(momentum, nearest, now)]
