"""Follow one order book: rebuild it from changes and check it after each of them.

    make serve                                            # in another terminal
    python examples/market_data.py --instrument SC2701

The hub sends a snapshot, then changes. Each change names the one before it, so a lost message is noticed, and carries
a checksum of the ten best levels of each side (docs/PROTOCOL.md, section 6).
"""

import argparse
import zlib
from decimal import Decimal
from typing import Any

from gateway.client import Client


class Book:
    """Lots by price in ticks, for each side: integers, which is what the checksum is taken of."""

    def __init__(self, tick_size: Decimal, lot_size: Decimal) -> None:
        self.tick_size = tick_size
        self.lot_size = lot_size
        self.bids: dict[int, int] = {}
        self.asks: dict[int, int] = {}
        self.change_id = 0

    def apply(self, message: dict[str, Any]) -> None:
        """Take in one message of the channel. Errors: ValueError, when the book is no longer the hub's."""
        if message["type"] == "snapshot":
            self.bids.clear()
            self.asks.clear()
        elif message["prev_change_id"] != self.change_id:
            raise ValueError(f"changes between {self.change_id} and {message['prev_change_id']} are missing")
        self.change_id = message["change_id"]
        for levels, changes in ((self.bids, message["bids"]), (self.asks, message["asks"])):
            for action, price, amount in changes:
                ticks = int(Decimal(str(price)) / self.tick_size)
                if action == "delete":
                    del levels[ticks]
                else:
                    levels[ticks] = int(Decimal(str(amount)) / self.lot_size)
        if self.checksum() != message["checksum"]:
            raise ValueError(f"the checksum of change {self.change_id} is another")

    def checksum(self) -> int:
        sides = (sorted(self.asks.items())[:10], sorted(self.bids.items(), reverse=True)[:10])
        text = "|".join(",".join(f"{price}:{quantity}" for price, quantity in side) for side in sides)
        return zlib.crc32(text.encode())

    def __str__(self) -> str:
        bid, ask = max(self.bids, default=None), min(self.asks, default=None)
        bid_text = "no bid" if bid is None else f"{self.bids[bid]} at {bid * self.tick_size}"
        ask_text = "no ask" if ask is None else f"{self.asks[ask]} at {ask * self.tick_size}"
        return f"{self.change_id}: {bid_text} / {ask_text}"


def main() -> None:
    arguments = argparse.ArgumentParser(description="Follow one order book.")
    arguments.add_argument("--url", default="ws://127.0.0.1:8080")
    arguments.add_argument("--instrument", default="SC2701")
    arguments.add_argument("--messages", type=int, default=20, help="how many to read")
    options = arguments.parse_args()

    with Client(options.url) as hub:
        instrument = hub.call("public/get_instrument", instrument_name=options.instrument)
        book = Book(Decimal(str(instrument["tick_size"])), Decimal(str(instrument["contract_size"])))
        messages = hub.subscribe(f"book.{options.instrument}.raw")
        for _ in range(options.messages):
            _, message = next(messages)
            book.apply(message)
            print(book, flush=True)


if __name__ == "__main__":
    main()
