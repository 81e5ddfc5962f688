"""Trade over a websocket: look at the market, buy at the best offer, then rest a bid, move it and cancel it.

    make serve                                            # in another terminal
    python examples/trader.py --instrument SC2701

Methods and parameters are those of docs/PROTOCOL.md; the client passes them on as they are.
"""

import argparse
import uuid
from decimal import Decimal

from gateway.client import Client, HubError


def main() -> None:
    arguments = argparse.ArgumentParser(description="One small trade and one resting order.")
    arguments.add_argument("--url", default="ws://127.0.0.1:8080")
    arguments.add_argument("--key", default="demo")
    arguments.add_argument("--secret", default="demo-secret")
    arguments.add_argument("--instrument", default="SC2701")
    options = arguments.parse_args()
    symbol = options.instrument

    with Client(options.url, options.key, options.secret) as hub:
        instrument = hub.call("public/get_instrument", instrument_name=symbol)
        tick, lot = Decimal(str(instrument["tick_size"])), Decimal(str(instrument["contract_size"]))
        best = hub.call("public/get_order_book", instrument_name=symbol, depth=1)
        if not best["asks"]:
            raise SystemExit(f"nobody offers {symbol}")
        ask = Decimal(str(best["best_ask_price"]))
        own_trades = hub.subscribe(f"user.trades.{symbol}.raw")

        # An order with an id of ours may be sent again after a lost connection: the hub answers a repeat with the first.
        bought = hub.buy(symbol, lot, ask, time_in_force="immediate_or_cancel", client_order_id=uuid.uuid4().hex[:20])
        if not bought["trades"]:
            raise SystemExit("somebody else was faster")
        _, trades = next(own_trades)
        for trade in trades:
            print(f"bought {trade['amount']} {symbol} at {trade['price']}")

        # A bid that may not trade: it rests, or is refused.
        try:
            bid = hub.buy(symbol, lot, ask - 2 * tick, post_only=True)["order"]
        except HubError as refusal:
            raise SystemExit(f"refused: {refusal}") from None
        print(f"order {bid['order_id']} is {bid['order_state']} at {bid['price']}")
        bid = hub.edit(bid["order_id"], lot, ask - 3 * tick)["order"]
        print(f"order {bid['order_id']} is {bid['order_state']} at {bid['price']}")
        bid = hub.cancel(bid["order_id"])
        print(f"order {bid['order_id']} is {bid['order_state']}")


if __name__ == "__main__":
    main()
