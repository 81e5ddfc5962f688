"""An exchange inside a program: no hub, no sockets, no clock.

    python examples/in_process.py

Prices are ticks and quantities lots; accounts and instruments are numbers. exchange/commands.py writes commands,
docs/RULEBOOK.md says what they do.
"""

from decimal import Decimal

from exchange import Account, Exchange, Instrument
from exchange.commands import Stamper, amend, enter
from matching import EventKind, Flag, Reason, Side

BUYER, SELLER = 0, 1


def main() -> None:
    crude = Instrument(
        symbol="SC2701", tick_size=Decimal("0.1"), lot_size=Decimal(1000), price_floor=4500, price_ceiling=6100
    )
    accounts = [Account(name="buyer", equity=10**12), Account(name="seller", equity=10**12)]  # fen
    exchange = Exchange([crude], accounts)
    stamper = Stamper()  # numbers the commands and gives each its time

    events = exchange.apply(
        stamper.stamp(
            enter(SELLER, Side.SELL, 5215, 10),
            enter(SELLER, Side.SELL, 5213, 4, client_order_id=b"best offer"),
            enter(BUYER, Side.BUY, 5213, 6),  # takes four, and two rest
            amend(SELLER, order_id=1, price=5214, quantity=10),
            enter(BUYER, Side.BUY, 5214, 1, flags=Flag.POST_ONLY),  # would trade at once: refused
        )
    )
    for event in events:
        kind, reason = EventKind(event["kind"]), Reason(event["reason"])
        why = "" if reason == Reason.NONE else f": {reason.name}"
        print(f"{kind.name:<9} {event['quantity']:>3} lots at {event['price'] * crude.tick_size}{why}")

    bids, asks = exchange.depth("SC2701")
    for side, levels in (("ask", asks[::-1]), ("bid", bids)):
        for level in levels:
            print(f"{side:<9} {level['quantity']:>3} lots at {level['price'] * crude.tick_size}")
    print("position of the buyer:", exchange.position(BUYER, "SC2701").lots)
    print("digest", exchange.digest())  # equal states have equal digests, on any machine


if __name__ == "__main__":
    main()
