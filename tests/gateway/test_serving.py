"""What a hub does around its loop: kernels made ready before anybody is served, the watch over the disk."""

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
from exchange.catalogue import load_catalogue, read_catalogue
from exchange.participants.scenario import demo_accounts
from gateway import serving
from matching import jit
serving.warm_up({instruments}, demo_accounts())
print(*(kernel.py_func.__name__ for kernel in jit._kernels if not kernel.signatures))
"""
WITHOUT_RISK = "process_alone"  # no hub is without


@pytest.mark.skipif(INTERPRETED, reason="nothing is compiled")
@pytest.mark.parametrize("instruments", ["load_catalogue()", "read_catalogue().instruments"])
def test_no_kernel_is_left_to_be_compiled_while_members_wait(instruments: Any) -> None:
    """With instruments that trade, and with a schedule whose instruments are closed when the hub starts."""
    result = subprocess.run(
        [sys.executable, "-c", ALL_KERNELS.format(instruments=instruments)], capture_output=True, text=True, timeout=600
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == WITHOUT_RISK, "these are compiled only when they are first called"


def test_the_watch_over_the_disk_tells_the_hub_when_only_cancels_may_be_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The levels of exchange/journal/journal.py; a real disk of that size cannot be had in a test."""
    monkeypatch.setattr(serving, "_SPACE_EVERY", 0.001)
    levels = iter([Space.PLENTY, Space.ALARM, Space.CANCEL_ONLY, Space.CANCEL_ONLY, Space.ALARM, Space.HALTED])
    condition, heard, stop = Condition(), [], asyncio.Event()
    condition.listeners.append(lambda: heard.append(condition.disk_low))
    journal = SimpleNamespace(space=lambda: (next(levels), 1 << 20), sequence=0)
    running = SimpleNamespace(
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
