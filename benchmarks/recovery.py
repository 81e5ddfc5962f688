"""What does durability cost, and how long does a start take? Journals commands with one fsync per batch, then recovers them.

    python -m benchmarks.recovery --commands 1000000 --batch 256

Every run writes a new journal in its own folder (--folder: on the disk that is to be measured), closes it, and starts a hub
from it as `qiee serve` does. The program prints the median of the runs and their spread:

    journal   append and fsync each batch, without overlap; `volatile`: the same without fsync
    read      read the segments from the file system into memory
    verify    check the checksums of every frame (exchange/journal/segments.py); includes reading
    decode    turn verified frames into blocks of COMMAND rows; includes reading and verifying again
    apply     put those blocks through the machine, risk on
    start     recover(): all of that in one call; `from a snapshot`: the same with a snapshot at the last command

Here the pages of the files are in memory. After a power cut they have to be read from the disk first.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import numpy as np

from exchange import Exchange, Instrument
from exchange.journal import snapshot
from exchange.journal.files import FILES
from exchange.journal.journal import Journal
from exchange.journal.journal import read as read_journal
from exchange.journal.recovery import recover
from exchange.journal.segments import examine, segment_paths
from matching.codes import CommandKind, OrderType, TimeInForce
from matching.records import COMMAND

ACCOUNTS = 16
RESULT = Path(__file__).parent / "results" / "recovery.json"


def flow(count: int, seed: int) -> np.ndarray:
    """COMMAND[count]: 60 % orders within 20 ticks of the middle, 40 % cancels of an order of the last 200 commands."""
    generator = np.random.default_rng(seed)
    rows = np.zeros(count, COMMAND)
    rows["sequence"] = np.arange(1, count + 1)
    rows["time"] = rows["sequence"] * 10_000
    enters = generator.random(count) < 0.6
    rows["kind"] = np.where(enters, CommandKind.ENTER, CommandKind.CANCEL)
    rows["side"] = generator.integers(1, 3, count)
    rows["order_type"], rows["time_in_force"] = OrderType.LIMIT, TimeInForce.GTC
    rows["price"] = np.where(enters, generator.integers(4_980, 5_021, count), 0)
    rows["quantity"] = np.where(enters, generator.integers(1, 20, count), 0)
    entered = np.maximum.accumulate(np.where(enters, rows["sequence"], 0))
    rows["order_id"] = np.where(enters, 0, entered[np.maximum(0, np.arange(count) - generator.integers(1, 200, count))])
    rows["account"] = np.where(enters, rows["sequence"] % ACCOUNTS, rows["order_id"] % ACCOUNTS)
    return rows


def make_exchange() -> Exchange:
    return Exchange(
        [
            Instrument(
                symbol="SC2701",
                tick_size=Decimal("0.1"),
                lot_size=Decimal(1000),
                price_floor=1,
                price_ceiling=10_000,
                reference_price=5_000,
            )
        ],
        accounts=ACCOUNTS,
    )


def timed(measure: Callable[[], object]) -> float:
    start = time.perf_counter()
    measure()
    return time.perf_counter() - start


def write(folder: str, commands: np.ndarray, batch: int, durable: bool) -> None:
    """Journal the commands, each batch synced before the next."""
    with Journal.open(folder, durable=durable)[0] as journal:
        for at in range(0, len(commands), batch):
            journal.append(commands[at : at + batch])
            journal.sync()


def start(folder: str, commands: int) -> None:
    recovery = recover(folder, make_exchange)
    recovery.journal.close()
    assert recovery.exchange.sequence == commands


def run(folder: str, commands: np.ndarray, batch: int) -> dict[str, float]:
    """Seconds of each step, once."""
    seconds = {
        "volatile": timed(lambda: write(folder + "-volatile", commands, batch, False)),
        "journal": timed(lambda: write(folder, commands, batch, True)),
        "read": timed(lambda: [FILES.read(path) for _, path in segment_paths(folder)]),
        "verify": timed(lambda: examine(folder)),
    }
    blocks: list[np.ndarray] = []
    seconds["decode"] = timed(lambda: blocks.extend(read_journal(folder)))
    exchange = make_exchange()
    seconds["apply"] = timed(lambda: [exchange.apply(block) for block in blocks])
    blocks.clear()
    seconds["start"] = timed(lambda: start(folder, len(commands)))
    chain = examine(folder).chain_at(len(commands))
    assert chain is not None
    snapshot.write(folder, exchange.state(), len(commands), chain, exchange.digest())
    seconds["start from a snapshot"] = timed(lambda: start(folder, len(commands)))
    return seconds


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--commands", type=int, default=1_000_000)
    options.add_argument("--batch", type=int, default=256, help="commands an fsync")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--runs", type=int, default=5)
    options.add_argument(
        "--folder", default=tempfile.gettempdir(), help="where the journals are written and deleted again"
    )
    arguments = options.parse_args()
    commands = flow(arguments.commands, arguments.seed)
    make_exchange().apply(commands[:1_000])  # compile, or load from the cache
    runs = []
    for _ in range(arguments.runs):
        folder = tempfile.mkdtemp(dir=arguments.folder)
        try:
            runs.append(run(os.path.join(folder, "journal"), commands, arguments.batch))
        finally:
            shutil.rmtree(folder)
    result = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "commands": arguments.commands,
        "batch": arguments.batch,
        "seed": arguments.seed,
        "runs": arguments.runs,
        "seconds": {
            step: {
                "median": statistics.median(one[step] for one in runs),
                "least": min(one[step] for one in runs),
                "most": max(one[step] for one in runs),
            }
            for step in runs[0]
        },
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print(
        f"{arguments.commands:,} commands, {arguments.batch} a batch, {commands.nbytes / 1e6:.0f} MB; median of "
        f"{arguments.runs} runs; {result['machine']}"
    )
    print(f"{'':>22}{'seconds':>9}{'least':>9}{'most':>9}{'commands/s':>13}")
    for step, of in result["seconds"].items():
        print(
            f"{step:>22}{of['median']:>9.3f}{of['least']:>9.3f}{of['most']:>9.3f}{arguments.commands / of['median']:>13,.0f}"
        )


if __name__ == "__main__":
    main()
