"""What the whole suite shares: bounds checks in kernels, the kinds of tests, and how many cases they draw.

Kernels are compiled with bounds checks, also in server processes that tests start; matching/jit.py keeps such kernels in
a cache folder of their own.
"""

import os

os.environ.setdefault("NUMBA_BOUNDSCHECK", "1")  # before anything imports numba

import re

import pytest
from hypothesis import settings

from tests.effort import examples

# Every test has one kind, a marker of pyproject.toml: that of the longest of these names that its own begins with.
KINDS = {
    "": "unit",
    "benchmarks": "benchmark",
    "clients": "client",
    "exchange/test_shanghai_days.py": "golden",
    "gateway/test_app.py": "process",
    "gateway/test_cli.py": "process",
    "gateway/test_client.py": "process",
    "gateway/test_examples.py": "process",
    "gateway/test_guard.py": "process",
    "golden": "golden",
    "matching/test_cache.py": "process",
    "matching/test_differential.py": "differential",
    "matching/test_interpreted.py": "differential",
    "matching/test_state_machine.py": "differential",
    "risk/test_differential.py": "differential",
    "simulation": "differential",
}
NAMES_A_RULE = re.compile(r"test_\d+_\d+_")  # a section of docs/RULEBOOK.md

settings.register_profile("hub", max_examples=examples(100), deadline=None)
settings.load_profile("hub")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        name = item.nodeid.removeprefix("tests/")
        item.add_marker(KINDS[max((begin for begin in KINDS if name.startswith(begin)), key=len)])
        if NAMES_A_RULE.match(item.name):
            item.add_marker("rule")
        if getattr(getattr(item, "obj", None), "is_hypothesis_test", False):
            item.add_marker("property")
