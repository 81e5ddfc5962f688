"""One served hub for all tests that need sockets."""

import pathlib
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.build import existing


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Address (host:port) of a hub in its own process."""
    folder = tmp_path_factory.mktemp("journal")
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.gateway.served", str(folder)],
        stdout=subprocess.PIPE,
        cwd=pathlib.Path(__file__).parents[2],
        text=True,
    )
    try:
        yield next(f"127.0.0.1:{line.split()[1]}" for line in existing(process.stdout) if line.startswith("port "))
    finally:
        process.terminate()
        code = process.wait(20)
        existing(process.stdout).close()
    assert code == 0, "the hub did not stop cleanly"
