"""The programs in examples/ do what they say, against a served hub where they need one."""

import subprocess
import sys
from pathlib import Path

from gateway.client import Client
from tests.build import existing

ROOT = Path(__file__).parents[2]
SYMBOL = "LU2703"  # no other test of a served hub trades it
PATIENCE = 300  # seconds, in case kernels are to be compiled first


def start(program: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, f"examples/{program}", *arguments],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def test_the_exchange_in_process_shows_events_book_and_position() -> None:
    program = start("in_process.py")
    lines = program.communicate(timeout=PATIENCE)[0].splitlines()
    assert program.returncode == 0, lines
    assert [line.split()[0] for line in lines] == [
        *("ACCEPTED", "ACCEPTED", "ACCEPTED", "TRADED", "AMENDED", "REJECTED"),
        *("ask", "bid", "position", "digest"),
    ]
    assert lines[-2] == "position of the buyer: 4"


def test_the_trader_buys_and_rests_moves_and_cancels_a_bid(served: str) -> None:
    with Client(f"ws://{served}", "bob", "bob-secret") as bob:
        price, lot = terms(bob)
        bob.sell(SYMBOL, lot, price)
        program = start(
            *("trader.py", "--url", f"ws://{served}", "--instrument", SYMBOL),
            *("--key", "alice", "--secret", "alice-secret"),
        )
        said = program.communicate(timeout=PATIENCE)[0]
    assert program.returncode == 0, said
    bought, *order = said.splitlines()
    assert bought.startswith("bought") and SYMBOL in bought
    assert [line.split()[3] for line in order] == ["open", "open", "cancelled"]


def test_the_follower_rebuilds_the_book_from_changes(served: str) -> None:
    with Client(f"ws://{served}", "bob", "bob-secret") as bob:
        price, lot = terms(bob)
        program = start(
            *("market_data.py", "--url", f"ws://{served}", "--instrument", SYMBOL, "--messages", "4"),
        )
        shown = existing(program.stdout)
        assert shown.readline().endswith("no bid / no ask\n")
        bid = bob.buy(SYMBOL, lot, price)["order"]
        assert shown.readline().endswith(f"1 at {bid['price']} / no ask\n")
        bob.edit(bid["order_id"], 3 * lot)
        assert shown.readline().endswith(f"3 at {bid['price']} / no ask\n")
        bob.cancel(bid["order_id"])
        assert shown.readline().endswith("no bid / no ask\n")
    assert program.wait(PATIENCE) == 0


def terms(hub: Client) -> tuple[str, float]:
    """A price that may be named, and a lot."""
    instrument = hub.call("public/get_instrument", instrument_name=SYMBOL)
    return str(instrument["reference_price"]), instrument["contract_size"]
