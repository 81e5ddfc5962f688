"""Compiled kernels on disk are never stale, and the next process finds them.

The tests copy the package and edit a step in another file than the kernel's. Numba alone would not notice that.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
from typing import Any

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = """
import json, sys
from matching import jit, probe
cached = jit.is_cached()
print(json.dumps({"cached": cached, "answer": int(probe.ask(4)), "compiled": jit.compilations(),
                  "hits": sum(probe.ask.stats.cache_hits.values())}))
if "some" not in sys.argv:
    jit.seal()
"""
PROBE = """
from matching.jit import kernel
from matching import probe_codes as c
from matching.probe_step import FACTOR, step

@kernel
def ask(number):
    return step(number) * FACTOR + c.NOTHING
"""
STEP = '''
from typing import NamedTuple
import numpy as np
from matching.jit import inlined, outlined
FACTOR = 3
TABLE = np.array([0, 3])

class Given(NamedTuple):
    number: int
    unused: int

@outlined
def deeper(number):
    """What this says is compiled into nothing."""
    return number + TABLE[1]  # nor what this says

@inlined
def step(number):
    return deeper(Given(number, 0).number)

@inlined
def not_reached(number):
    return number + 7
'''
CODES = "NOTHING = 0\nUNUSED = 1\n"


def checkout(root: pathlib.Path) -> pathlib.Path:
    """A copy of the matching package with a small kernel in it."""
    shutil.copytree(ROOT / "matching", root / "matching", ignore=shutil.ignore_patterns("__pycache__"))
    (root / "matching" / "probe.py").write_text(PROBE)
    (root / "matching" / "probe_step.py").write_text(STEP)
    (root / "matching" / "probe_codes.py").write_text(CODES)
    return root


def run(root: pathlib.Path, cache: pathlib.Path, *arguments: str, program: str = PROGRAM) -> Any:
    """The output of a program for the checkout, in a new process."""
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=root,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(root), "NUMBA_CACHE_DIR": str(cache), "NUMBA_DISABLE_JIT": "0"},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def edit(root: pathlib.Path, name: str, old: str, new: str) -> None:
    source = root / "matching" / name
    before = source.read_text()
    assert old in before
    source.write_text(before.replace(old, new))


def test_a_second_process_takes_the_kernel_from_the_cache_and_compiles_nothing(tmp_path: pathlib.Path) -> None:
    root, cache = checkout(tmp_path / "first"), tmp_path / "cache"
    first, second = run(root, cache), run(root, cache)
    assert first == {"cached": False, "answer": 21, "compiled": 1, "hits": 0}
    assert second == {"cached": True, "answer": 21, "compiled": 0, "hits": 1}


def test_kernels_are_not_called_cached_while_only_some_have_been_compiled(tmp_path: pathlib.Path) -> None:
    """A replay or a benchmark compiles only the kernels that it needs. The first hub after it compiles the others."""
    root, cache = checkout(tmp_path / "first"), tmp_path / "cache"
    first, second = run(root, cache, "some"), run(root, cache, "some")
    assert (first["cached"], first["compiled"]) == (False, 1)
    assert (second["cached"], second["compiled"]) == (False, 0)


def test_another_checkout_of_the_same_sources_shares_the_kernels_of_the_first(tmp_path: pathlib.Path) -> None:
    first, second = (run(checkout(tmp_path / name), tmp_path / "cache") for name in ("first", "second"))
    assert (first["cached"], first["compiled"]) == (False, 1)
    assert (second["cached"], second["compiled"], second["hits"]) == (True, 0, 1)


@pytest.mark.parametrize(
    "name, old, new, answer",
    [
        ("probe_step.py", "return number + TABLE[1]", "return number + TABLE[1] + 2", 27),
        ("probe_step.py", "FACTOR = 3", "FACTOR = 4", 28),
        ("probe_step.py", "[0, 3]", "[0, 5]", 27),
        ("probe_step.py", "Given(number, 0)", "Given(number + 1, 0)", 24),
        ("probe_step.py", "number: int\n    unused: int", "unused: int\n    number: int", 9),
        ("probe_codes.py", "NOTHING = 0", "NOTHING = 1", 22),
        ("probe.py", "* FACTOR", "- FACTOR", 4),
    ],
)
def test_an_edited_step_constant_or_table_is_never_answered_from_the_old_cache(
    tmp_path: pathlib.Path, name: str, old: str, new: str, answer: int
) -> None:
    root, cache = checkout(tmp_path / "first"), tmp_path / "cache"
    before = run(root, cache)
    edit(root, name, old, new)
    after = run(root, cache)
    assert (before["answer"], after["answer"]) == (21, answer)
    assert (after["compiled"], after["hits"]) == (1, 0)


@pytest.mark.parametrize(
    "name, old, new",
    [
        ("probe_step.py", "compiled into nothing", "still compiled into nothing"),
        ("probe_step.py", "  # nor what this says", ""),
        ("probe_step.py", "\nimport numpy", "# A line more.\n\nimport numpy"),
        ("probe_step.py", "number + 7", "number + 8"),
        ("probe_codes.py", "UNUSED = 1", "UNUSED = 2"),
        ("probe.py", "@kernel", "# Asked by the test.\n@kernel"),
    ],
)
def test_an_edit_that_reaches_no_kernel_compiles_nothing(tmp_path: pathlib.Path, name: str, old: str, new: str) -> None:
    root, cache = checkout(tmp_path / "first"), tmp_path / "cache"
    run(root, cache)
    edit(root, name, old, new)
    assert run(root, cache) == {"cached": True, "answer": 21, "compiled": 0, "hits": 1}


def test_a_step_called_from_python_is_an_error_and_no_crash(tmp_path: pathlib.Path) -> None:
    program = """
import json
from matching import probe_step
try:
    probe_step.step(4)
except TypeError as error:
    print(json.dumps(str(error)))
"""
    assert run(checkout(tmp_path / "first"), tmp_path / "cache", program=program).startswith(
        "step is a step of a kernel"
    )


def test_a_literal_flag_compiles_the_branch_it_chooses_and_nothing_of_the_other(tmp_path: pathlib.Path) -> None:
    program = """
import json
from numba.core.errors import TypingError
from matching.jit import either, inlined, kernel

@inlined
def no_integer_has(number):
    return number.this

@either
def step(number, plain):
    if not plain and number > 0:
        number = no_integer_has(number)
    return number + 1

@inlined
def pass_on(number, plain):
    return step(number, plain)

@kernel
def fast(number):
    return pass_on(number, True)

@kernel
def general(number):
    return pass_on(number, False)

try:
    general(1)
except TypingError:
    print(json.dumps(fast(1)))
"""
    root = checkout(tmp_path / "first")
    (root / "matching" / "flagged.py").write_text(program)
    assert run(root, tmp_path / "cache", program="import matching.flagged") == 2
