"""With the compiler off, Python runs the same source and gives the same bytes.

This is for debugging and for coverage.
"""

import os
import subprocess
import sys

import pytest

from tests.matching.flow import engine, random_flow

SEEDS, LENGTH = (1, 2, 3), 300
PROGRAM = """
import sys
from matching.jit import INTERPRETED
from matching.invariants import check_book
from tests.matching.flow import engine, random_flow
assert INTERPRETED
for seed in map(int, sys.argv[3:]):
    flow = random_flow(seed, int(sys.argv[1]), risk=sys.argv[2] == "risk")
    exchange = engine(flow)
    events = exchange.apply(flow.commands)
    check_book(exchange.book)
    print(events.tobytes().hex(), exchange.digest())
"""


@pytest.mark.parametrize("risk", ["plain", "risk"])
def test_interpreted_kernels_give_the_bytes_and_the_digest_of_compiled_ones(risk: str) -> None:
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(LENGTH), risk, *map(str, SEEDS)],
        capture_output=True,
        text=True,
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
    )
    assert run.returncode == 0, run.stderr
    for line, seed in zip(run.stdout.splitlines(), SEEDS, strict=True):
        flow = random_flow(seed, LENGTH, risk=risk == "risk")
        exchange = engine(flow)
        emitted, digest = line.split()
        assert bytes.fromhex(emitted) == exchange.apply(flow.commands).tobytes()
        assert digest == exchange.digest()
