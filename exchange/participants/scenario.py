"""The hub's simulated market: demo accounts, simulated members, and when each of them acts.

    scenario = Scenario(exchange, demo_members(exchange, seed=1), seed=1)
    for rows in scenario.step(clock()):       # every 0.1 s or so
        runner.submit(rows, scenario.heard)

A step moves the fair values and lets each member look at as many instruments as its interval allows. Their commands go
to the hub like those of any account. Members see the phase of an instrument: they act where orders may be entered, and
use other orders in call auctions than in continuous trading. They do not trade spreads, at settlement, or on the spot
side. In one step only one member acts in an instrument, and the next step waits for the events of the last, so a member's
commands meet the book that it saw, unless another account was quicker. The same seed and the same steps on the same
exchange give the same commands.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from datetime import date

import numpy as np

from exchange.engine.machine import Exchange
from exchange.instruments import Instrument
from exchange.participants.fair_value import FairValues
from exchange.participants.market_maker import MarketMaker
from exchange.participants.member import Closable, Member, View
from exchange.participants.momentum import Momentum
from exchange.participants.noise_trader import NoiseTrader
from exchange.participants.refiner import Refiner
from matching.codes import ALL, AUCTION_PHASES, EventKind, Mechanism, Phase, Reason, SelfMatch, Side
from risk.limits import Account

_SECOND = 1_000_000_000
_BURST_SECONDS = 3  # of commands that may be asked for at once, so that empty books fill quickly
_SILENCE_NS = _SECOND  # of a member whose order was refused
# Somebody else was quicker, or the phase has changed meanwhile: no reason to fall silent.
_RACES = frozenset(
    (
        Reason.UNKNOWN_ORDER,
        Reason.POST_ONLY_WOULD_TRADE,
        Reason.TRIGGER_REACHED,
        Reason.CLOSE_EXCEEDS_POSITION,
        Reason.INSTRUMENT_CLOSED,
        Reason.INSTRUMENT_HALTED,
        Reason.INSTRUMENT_UNLISTED,
        Reason.INSTRUMENT_EXPIRED,
        Reason.AUCTION_MATCHING,
        Reason.INSTRUMENT_BREAK,
        Reason.INSTRUMENT_CLOSING,
        Reason.INSTRUMENT_SETTLING,
        Reason.NOT_IN_AUCTION,
        Reason.ONLY_IN_AUCTION,
        Reason.ENTRY_ONLY,
    )
)
# What says nothing about other instruments.
_OF_INSTRUMENT = frozenset(
    (Reason.MAX_LONG, Reason.MAX_SHORT, Reason.OPENING_CAP, *(reason for reason in Reason if 400 < reason < 500))
)
_ACTIVE = (Phase.CONTINUOUS, Phase.LIMIT_LOCKED, *AUCTION_PHASES)
_GONE = (Phase.UNLISTED, Phase.EXPIRED)
_MAKERS = ("sim-maker-1", "sim-maker-2")
_MEMBERS = (*_MAKERS, "sim-noise-1", "sim-noise-2", "sim-refiner", "sim-momentum")


class Scenario:
    """Simulated members on an exchange.

    exchange             read, never written; its state decides what members see
    members              Member objects
    seed                 of the fair values
    commands_per_second  that all members together may send
    """

    def __init__(
        self, exchange: Exchange, members: Sequence[Member], seed: int, commands_per_second: int = 200
    ) -> None:
        self.rejects: Counter[Reason] = Counter()  # of the members' commands
        self._exchange, self._members = exchange, tuple(members)
        # views of the exchange's own columns: always current, and one cell is cheap to read
        instruments, limits = exchange.book.instruments, exchange.ledger.limits
        self._floor, self._ceiling, self._last = (instruments[name] for name in ("floor", "ceiling", "last_price"))
        self._phase, self._stops = instruments["phase"], instruments["stops"]
        self._collar, self._largest = limits["collar"], limits["max_order_quantity"]
        self._most_held, self._positions = limits["max_position"], exchange.ledger.exposures["position"]
        self._largest_of_account, self._most_long, self._most_short = (
            exchange.ledger.accounts[name] for name in ("max_order_quantity", "max_long", "max_short")
        )
        self._plain = np.flatnonzero([is_plain(terms) for terms in exchange.instruments])
        self._values = FairValues(
            [exchange.instruments[number] for number in self._plain], self._last[self._plain], (seed, exchange.sequence)
        )
        self._listed = np.zeros(len(instruments), bool)
        self._ranks: dict[int, int] = {}  # of the instruments that members trade
        self._cost_ns = _SECOND // commands_per_second
        self._allowance_ns = _BURST_SECONDS * _SECOND
        self._time: int | None = None
        # turns begin apart, so that members with one interval do not always look at the same instrument
        self._turns = [
            number * len(member.instruments) // len(self._members) for number, member in enumerate(self._members)
        ]
        self._credit_ns = [0] * len(self._members)
        self._silent_until: dict[tuple[int, int], int] = {}  # by account and instrument, or ALL
        self._unanswered = 0

    @property
    def fair_values(self) -> np.ndarray:
        """int64[instruments], ticks; of those that members do not trade the last price."""
        values = self._last.copy()
        values[self._plain] = self._values.ticks
        return values

    def step(self, now_ns: int) -> list[np.ndarray]:
        """The commands of the members now: COMMAND arrays to submit, each with `heard` as its reply."""
        elapsed = 0 if self._time is None else min(max(now_ns - self._time, 0), _SECOND)
        self._time = now_ns
        self._allowance_ns = min(self._allowance_ns + elapsed, _BURST_SECONDS * _SECOND)
        self._values.step(elapsed)
        for number in range(len(self._members)):
            self._credit_ns[number] = min(self._credit_ns[number] + elapsed, _SECOND)
        if self._unanswered:
            return []
        self._rank()
        fair_values = self.fair_values
        asked: dict[int, np.ndarray] = {}  # by instrument
        for number, member in enumerate(self._members):
            for _ in range(self._credit_ns[number] // member.interval_ns):
                self._credit_ns[number] -= member.interval_ns
                instrument = self._next(number, asked)
                if instrument is None or not self._may_act(member, instrument, now_ns):
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
        """The events of commands that a step asked for. A member that was refused is silent for a second, everywhere or in
        the instrument that the reason is about."""
        self._unanswered = 0
        for event in events[events["kind"] == EventKind.REJECTED]:
            reason = Reason(int(event["reason"]))
            self.rejects[reason] += 1
            if reason not in _RACES:
                about = int(event["instrument"]) if reason in _OF_INSTRUMENT else ALL
                self._silent_until[int(event["account"]), about] = int(event["time"]) + _SILENCE_NS

    def _rank(self) -> None:
        """Of each instrument that members trade: how many of its product are delivered before it, of those listed now."""
        listed = ~np.isin(self._phase, _GONE)
        if not np.array_equal(listed, self._listed):
            self._listed = listed
            traded = [number for number in self._plain.tolist() if listed[number]]
            ranks = delivery_ranks([self._exchange.instruments[number] for number in traded])
            self._ranks = dict(zip(traded, ranks, strict=True))

    def _next(self, number: int, asked: Collection[int]) -> int | None:
        """The next instrument for a member to look at; None: there is none. Left out are those where another member has acted in
        this step, and those that the member does not trade, or not in their present phase."""
        member = self._members[number]
        for _ in member.instruments:
            instrument = member.instruments[self._turns[number] % len(member.instruments)]
            self._turns[number] += 1
            if (
                instrument not in asked
                and self._phase[instrument] in _ACTIVE
                and self._ranks.get(instrument, member.months) < member.months
            ):
                return instrument
        return None

    def _may_act(self, member: Member, instrument: int, now_ns: int) -> bool:
        silent_until = (self._silent_until.get((member.account, about), 0) for about in (ALL, instrument))
        return self._allowance_ns > 0 and now_ns >= max(silent_until)

    def _view(self, member: Member, instrument: int, fair_value: int) -> View:
        """What a member sees of an instrument."""
        instruments = self._exchange.instruments
        row = member.account * len(instruments) + instrument
        last, floor, ceiling = int(self._last[instrument]), int(self._floor[instrument]), int(self._ceiling[instrument])
        collar = int(self._collar[instrument]) or ceiling - floor
        position, account, offset = int(self._positions[row]), member.account, instruments[instrument].offset
        gross = self._exchange.ledger.gross[row]
        return View(
            instrument=instrument,
            rank=self._ranks[instrument],
            fair=fair_value,
            last=last,
            lowest=max(floor, last - collar),
            highest=min(ceiling, last + collar),
            largest=int(min(self._largest[instrument], self._largest_of_account[account])),
            orders=self._exchange.orders(instruments[instrument].symbol),
            position=position,
            auction=bool(self._phase[instrument] in AUCTION_PHASES),
            parked=int(self._stops[instrument]),
            limit=int(min(self._most_held[instrument], self._most_long[account], self._most_short[account])),
            long=int(gross.long) if offset else position,
            short=int(gross.short) if offset else -position,
            closable=closable(gross) if offset else None,
        )


def is_plain(terms: Instrument) -> bool:
    """Do members trade it? They know order books of single instruments in any whole number of ticks and lots."""
    return (
        terms.mechanism == Mechanism.ORDER_BOOK
        and not terms.legs
        and not terms.at_settlement
        and terms.minimum_quantity == terms.quantity_increment == terms.price_increment == 1
    )


def closable(gross: np.record) -> Closable:
    """What an account may still close, from its GROSS row (RULEBOOK 10.3): a buy closes short, a sell long."""
    lots = {
        name: int(gross[name])
        for name in (
            "long",
            "short",
            "long_today",
            "short_today",
            "closing_long",
            "closing_short",
            "closing_long_today",
            "closing_short_today",
        )
    }
    return Closable(
        before={
            Side.BUY: lots["short"] - lots["short_today"] - lots["closing_short"],
            Side.SELL: lots["long"] - lots["long_today"] - lots["closing_long"],
        },
        today={
            Side.BUY: lots["short_today"] - lots["closing_short_today"],
            Side.SELL: lots["long_today"] - lots["closing_long_today"],
        },
    )


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
    cny = 100  # fen
    people = [
        Account(
            name="demo",
            firm=0,
            self_match=SelfMatch.CANCEL_RESTING,
            equity=10_000_000 * cny,
            max_order_quantity=100,
            max_order_notional=60_000_000 * cny,
            max_long=200,
            max_short=200,
            max_open_orders=200,
            messages_per_second=100,
            message_burst=200,
        ),
        Account(
            name="refinery",
            firm=1,
            self_match=SelfMatch.CANCEL_RESTING,
            equity=100_000_000 * cny,
            max_order_quantity=200,
            max_order_notional=200_000_000 * cny,
            max_long=1000,
            max_short=1000,
            max_open_orders=500,
            messages_per_second=200,
            message_burst=400,
        ),
        Account(
            name="trader",
            firm=2,
            self_match=SelfMatch.CANCEL_INCOMING,
            equity=50_000_000 * cny,
            max_order_quantity=200,
            max_order_notional=100_000_000 * cny,
            max_long=400,
            max_short=400,
            max_open_orders=1000,
            messages_per_second=500,
            message_burst=1000,
        ),
    ]
    members = [
        Account(
            name=name,
            firm=3,
            self_match=SelfMatch.CANCEL_RESTING,
            equity=5_000_000_000 * cny,
            max_order_quantity=50,
            max_order_notional=50_000_000 * cny,
            max_long=1000,
            max_short=1000,
            max_open_orders=1000,
            messages_per_second=1000,
            message_burst=1000,
        )
        for name in _MEMBERS
    ]
    return people + members


def demo_market_makers(accounts: Sequence[Account]) -> list[int]:
    """Indices of the accounts that quote both sides as market makers do."""
    return [number for number, account in enumerate(accounts) if account.name in _MAKERS]


def demo_members(exchange: Exchange, seed: int) -> list[Member]:
    """The simulated members of `demo_accounts`. Errors: ValueError naming an account that the exchange lacks."""
    numbers = {account.name: number for number, account in enumerate(exchange.accounts)}
    for name in _MEMBERS:
        if name not in numbers:
            raise ValueError(f"account {name}: missing, simulated members need {', '.join(_MEMBERS)}")
    maker_1, maker_2, noise_1, noise_2, refiner, momentum = (numbers[name] for name in _MEMBERS)
    everything = [number for number, terms in enumerate(exchange.instruments) if is_plain(terms)]
    first_product = [
        number
        for number in everything
        if exchange.instruments[number].product == exchange.instruments[everything[0]].product
    ]
    now = seed + exchange.sequence  # after a restart members do not repeat themselves
    # Members that send little come first: in empty books the makers would use up the common allowance.
    return [
        NoiseTrader(noise_1, everything, now, stopping=0.04, hiding=0.5),
        NoiseTrader(noise_2, everything, now, activity=0.2, taking=0.7, interval_ns=50_000_000, hiding=0.5),
        MarketMaker(maker_1, everything, now),
        MarketMaker(maker_2, everything, now, half_spread=2, quantity=(8, 40), skew=8),
        Refiner(refiner, first_product, seed, months=2),
        Momentum(momentum, everything, now, months=1),
    ]
