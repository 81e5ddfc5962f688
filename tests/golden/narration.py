"""Events in words: the fourth column of the story. RULEBOOK 15.2.

    narration.of_command(command, events)      # "buys 12 at 519.6 from producer; 8 rest"

It reads events only, in their order. The subject of a phrase is the member who gave the command, unless another is named.
Clearing at the end of the day appears as sums; the reports beside the story have the figures of each account.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from exchange.catalogue.calendar import beijing
from exchange.instruments import Instrument
from exchange.units import fen_to_money, ticks_to_price
from matching.codes import ALL, CommandKind, EventKind, Flag, Phase, Reason, Side

_HUBS_OWN = (Reason.VELOCITY, Reason.CASCADE, Reason.LIMIT_LOCK)


def money(fen: int) -> str:
    return f"{fen_to_money(fen):,}"


def word(code: Reason | Phase) -> str:
    return code.name.lower().replace("_", " ")


class Narration:
    """Words for events of these instruments and accounts.

    name    order_id -> name of the order in the story, or None
    """

    def __init__(
        self, instruments: Sequence[Instrument], accounts: Sequence[str], name: Callable[[int], str | None]
    ) -> None:
        self._instruments, self._accounts, self._name = instruments, accounts, name

    def of_command(self, command: np.record, events: np.ndarray) -> str:
        """The events of one command."""
        account = int(command.account) if command.kind < CommandKind.PHASE else ALL
        instrument = int(command.instrument)
        phrases: list[str] = []
        own = self._own(events)
        for event in events:
            match EventKind(event.kind):
                case EventKind.REJECTED:
                    phrases.append(f"refused: {word(Reason(event.reason))}")
                case EventKind.PHASE:
                    phrases.append(self._phase(event))
                case EventKind.LIMIT | EventKind.CASH | EventKind.KILL_SWITCH | EventKind.WINDOW:
                    phrases.append("done")
                case EventKind.LIQUIDATED:
                    phrases.append(f"{event.quantity} liquidated")
                case EventKind.MASS_CANCELED if event.quantity == 0:
                    phrases.append("nothing to cancel")
                case EventKind.AMENDED:
                    phrases.append("amended")
                case _:
                    self._market(event, account, instrument, phrases)
        if own is not None and (left := self._left(events, own)):
            phrases.append(left)
        return "; ".join(phrases)

    def of_step(self, events: np.ndarray, touched: Iterable[int]) -> str:
        """The events of a step of the schedule that concern orders, trades or instruments of the story."""
        touched = set(touched)
        phrases: list[str] = []
        results: dict[int, int] = {}
        fees = 0
        cleared = set(events["instrument"][events["kind"] == EventKind.BALANCE].tolist())
        for event in events:
            number = int(event.instrument)
            match EventKind(event.kind):
                case EventKind.PHASE:
                    if number != ALL and (event.reason in _HUBS_OWN or event.quantity == Phase.LIMIT_LOCKED):
                        phrases.append(self._phase(event))
                case EventKind.BALANCE:
                    results[int(event.account)] = results.get(int(event.account), 0) + int(event.quantity)
                    fees += int(event.leaves_quantity)
                case EventKind.SETTLED if number in cleared:
                    phrases.append(self._settled(event))
                case EventKind.DELIVERY:
                    phrases.append(
                        f"{self._accounts[event.resting_account]} delivers {event.quantity} {self._symbol(number)} "
                        f"to {self._accounts[event.account]} at {self._price(number, event.price)}"
                    )
                case EventKind.EXPIRED if number in touched:
                    phrases.append(f"{self._symbol(number)} expired")
                case EventKind.LISTED:
                    phrases.append(f"{self._symbol(number)} listed at {self._price(number, event.price)}")
                case EventKind.MARGIN_CALL:
                    phrases.append(f"margin call: {self._accounts[event.account]}, {money(event.quantity)} missing")
                case EventKind.SETTLED | EventKind.EXPIRED:
                    pass
                case _:
                    self._market(event, ALL, ALL, phrases)
        if any(results.values()):
            phrases.append(
                "result: "
                + ", ".join(
                    f"{self._accounts[account]} {'+' * (fen > 0)}{money(fen)}"
                    for account, fen in sorted(results.items())
                    if fen
                )
            )
        if fees:
            phrases.append(f"fees {money(fees)}")
        return "; ".join(phrases)

    # What happens in the market -------------------------------------------------------------------

    def _market(self, event: np.record, account: int, instrument: int, phrases: list[str]) -> None:
        """Add phrases for orders and trades. A phrase leaves out this account and this instrument."""
        number = int(event.instrument)
        lots = f"{event.quantity}" if number == instrument else f"{event.quantity} {self._symbol(number)}"
        match EventKind(event.kind):
            case EventKind.TRADED:
                who = "" if event.account == account else f"{self._of(event.order_id, event.account)} "
                verb = "buys" if event.side == Side.BUY else "sells"
                phrases.append(
                    f"{who}{verb} {lots} at {self._price(number, event.price)} "
                    f"{'from' if event.side == Side.BUY else 'to'} {self._accounts[event.resting_account]}"
                )
            case EventKind.CANCELED:
                reason = f" ({word(Reason(event.reason))})" if event.reason else ""
                who = "" if event.account == account else f"{self._of(event.order_id, event.account)}: "
                phrases.append(f"{who}{lots} canceled{reason}")
            case EventKind.TRIGGERED:
                phrases.append(
                    f"{self._of(event.order_id, event.account)} is triggered, limit {self._price(number, event.price)}"
                )
            case EventKind.DISPLAYED:
                who = "" if event.account == account else f"{self._of(event.order_id, event.account)} "
                phrases.append(f"{who}shows {lots}")
            case EventKind.AUCTION if event.quantity:
                left = int(event.resting_leaves_quantity)
                side = f", {abs(left)} {'bid' if left > 0 else 'offered'} left" if left else ""
                phrases.append(
                    f"auction {self._symbol(number)} {self._price(number, event.price)}, {event.quantity} lots{side}"
                )
            case EventKind.COUNTDOWN:
                phrases.append(f"countdown to {beijing(event.quantity):%H:%M:%S}")

    def _own(self, events: np.ndarray) -> np.record | None:
        first = events[0]
        return first if first.kind in (EventKind.ACCEPTED, EventKind.AMENDED) else None

    def _left(self, events: np.ndarray, own: np.record) -> str:
        """The lots that the order did not trade, if it is still in the book."""
        mine = events[
            ((events["order_id"] == own.order_id) | (events["resting_order_id"] == own.order_id))
            & np.isin(events["kind"], (EventKind.ACCEPTED, EventKind.AMENDED, EventKind.TRADED, EventKind.CANCELED))
        ]
        last = mine[-1]
        resting = last.kind == EventKind.TRADED and last.resting_order_id == own.order_id
        left = int(last.resting_leaves_quantity if resting else last.leaves_quantity)
        if last.kind == EventKind.CANCELED or left == 0:
            return ""
        flags = int(own["flags"])
        return f"{left} {'wait' if flags & Flag.PARKED else 'rest'}"

    # Words ----------------------------------------------------------------------------------------

    def _of(self, order_id: int, account: int) -> str:
        """An order by its owner and name."""
        name = self._name(int(order_id))
        return f"{self._accounts[account]}'s {name}" if name else self._accounts[account]

    def _symbol(self, number: int) -> str:
        return self._instruments[number].symbol

    def _price(self, number: int, ticks: int) -> str:
        return str(ticks_to_price(self._instruments[number], ticks))

    def _phase(self, event: np.record) -> str:
        reason = f" ({word(Reason(event.reason))})" if event.reason else ""
        return f"{self._symbol(event.instrument)} goes to {word(Phase(event.quantity))}{reason}"

    def _settled(self, event: np.record) -> str:
        number = int(event.instrument)
        locked = f", limit-locked for {abs(event.leaves_quantity)} day" if event.leaves_quantity else ""
        band = (
            ""
            if self._instruments[number].legs
            else (
                f", then {self._price(number, event.resting_leaves_quantity)} to "
                f"{self._price(number, event.resting_price)}"
            )
        )
        return f"{self._symbol(number)} settles at {self._price(number, event.price)} after {event.quantity} lots{band}{locked}"
