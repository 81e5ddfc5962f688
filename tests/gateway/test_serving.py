"""Around a hub's loop: kernels are compiled before anyone is served, and the disk is watched."""

import asyncio
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from exchange.journal.journal import Space
from gateway import serving
from gateway.hub import Condition
from matching.jit import INTERPRETED

ALL_KERNELS = """
from exchange import Exchange
from exchange.catalogue import load_catalogue, read_catalogue
from exchange.commands import Stamper, begin_day, enter
from exchange.participants.scenario import demo_accounts
from gateway.kernels import make_ready
from gateway import serving
from matching import Side, jit
make_ready(print)
for instruments in (load_catalogue(), read_catalogue().instruments):
    stamper, hub = Stamper(), serving.new_projections(instruments, demo_accounts(), 1000)
    hub.apply(stamper.stamp(begin_day(2030_01_02), enter(0, Side.BUY, instruments[0].reference_price, 1000)))
print(*(kernel.py_func.__name__ for kernel in jit._kernels if not kernel.signatures))
"""
WITHOUT_RISK = "process_fast_alone"  # every hub has it


@pytest.mark.skipif(INTERPRETED, reason="nothing is compiled")
def test_no_kernel_is_left_to_be_compiled_while_members_wait() -> None:
    """Sealed kernels refuse other types: neither the instruments of the catalogue nor those of a schedule need any."""
    result = subprocess.run([sys.executable, "-c", ALL_KERNELS], capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == WITHOUT_RISK, "these are compiled only when they are first called"


def test_the_hub_accepts_only_cancels_while_the_disk_is_nearly_full(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The levels of exchange/journal/journal.py, simulated, because a test has no real disk of that size."""
    monkeypatch.setattr(serving, "_SPACE_EVERY", 0.001)
    levels = iter([Space.PLENTY, Space.ALARM, Space.CANCEL_ONLY, Space.CANCEL_ONLY, Space.ALARM, Space.HALTED])
    condition, heard, stop = Condition(), [], asyncio.Event()
    condition.listeners.append(lambda: heard.append(condition.disk_low))
    journal = SimpleNamespace(space=lambda: (next(levels), 1 << 20), sequence=0)
    running: Any = SimpleNamespace(
        recovery=SimpleNamespace(journal=journal),
        hub=SimpleNamespace(condition=condition),
        snapshot_at=0,
        settings=SimpleNamespace(snapshot_every=1000),
    )

    async def watch() -> None:
        watching = asyncio.create_task(serving._watch(running, stop))
        async with asyncio.timeout(20):
            await stop.wait()
        watching.cancel()

    asyncio.run(watch())
    assert heard == [True, False, True] and condition.disk_low
