"""Compiled kernels on disk: never stale, and found by the next process.

The packages are copied and a helper in another file than the kernel's is edited: numba alone would not notice.
"""

import ast
import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

from matching.jit import KERNEL_SOURCES, source_digest

ROOT = pathlib.Path(__file__).resolve().parents[2]
DECORATORS = {"kernel", "inlined", "outlined", "step"}
PACKAGES = ("matching", "risk", "exchange", "gateway")
PROGRAM = """
import json, sys
import numba, numpy as np
from matching import jit, probe
cached = jit.is_cached()
print(json.dumps({"cached": cached, "answer": int(probe.ask(4)), "compiled": jit.compilations(),
                  "hits": sum(probe.ask.stats.cache_hits.values()), "folder": numba.config.CACHE_DIR}))
if "some" not in sys.argv:
    jit.seal()
"""
PROBE = """
from matching.jit import kernel
from matching.probe_step import FACTOR, step

@kernel
def ask(number):
    return step(number) * FACTOR
"""
STEP = """
from matching.jit import inlined
FACTOR = 3

@inlined
def step(number):
    return number + 3
"""


def checkout(root):
    """A copy of the matching package with a small kernel in it."""
    shutil.copytree(ROOT / "matching", root / "matching", ignore=shutil.ignore_patterns("__pycache__"))
    (root / "matching" / "probe.py").write_text(PROBE)
    (root / "matching" / "probe_step.py").write_text(STEP)
    return root


def run(root, cache, *arguments):
    """What PROGRAM says of the checkout in a new process."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        cwd=root,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(root), "NUMBA_CACHE_DIR": str(cache), "NUMBA_DISABLE_JIT": "0"},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_second_process_takes_the_kernel_from_the_cache_and_compiles_nothing(tmp_path):
    root, cache = checkout(tmp_path / "first"), tmp_path / "cache"
    first, second = run(root, cache), run(root, cache)
    assert (first["cached"], first["answer"], first["compiled"], first["hits"]) == (False, 21, 1, 0)
    assert (second["cached"], second["answer"], second["compiled"], second["hits"]) == (True, 21, 0, 1)
    assert first["folder"] == second["folder"]


def test_kernels_are_not_called_cached_while_only_some_have_been_compiled(tmp_path):
    """A replay or a benchmark compiles those that it needs; the first hub after it still has a minute's work to announce."""
    root, cache = checkout(tmp_path / "first"), tmp_path / "cache"
    first, second = run(root, cache, "some"), run(root, cache, "some")
    assert (first["cached"], first["compiled"]) == (False, 1)
    assert (second["cached"], second["compiled"]) == (False, 0)


def test_another_checkout_of_the_same_sources_is_not_cached_because_the_first_one_is(tmp_path):
    """Numba would not find the kernels of the first: it looks for the path of their file."""
    first, second = (run(checkout(tmp_path / name), tmp_path / "cache") for name in ("first", "second"))
    assert (first["cached"], first["compiled"]) == (False, 1)
    assert (second["cached"], second["compiled"]) == (False, 1)
    assert first["folder"] != second["folder"]


@pytest.mark.parametrize("old, new, answer", [("number + 3", "number + 5", 27), ("FACTOR = 3", "FACTOR = 4", 28)])
def test_an_edited_helper_or_constant_in_another_file_is_never_answered_from_the_old_cache(tmp_path, old, new, answer):
    root, cache = checkout(tmp_path / "first"), tmp_path / "cache"
    before = run(root, cache)
    step = root / "matching" / "probe_step.py"
    step.write_text(step.read_text().replace(old, new))
    after = run(root, cache)
    assert (before["answer"], after["answer"]) == (21, answer)
    assert (after["compiled"], after["hits"]) == (1, 0)
    assert after["folder"] != before["folder"]


def sources():
    """The files whose text the digest covers."""
    return {path for pattern in KERNEL_SOURCES for path in ROOT.glob(pattern)} - {ROOT / "matching" / "reference.py"}


def test_the_digest_changes_with_every_kernel_source(tmp_path):
    for source in sources():
        copied = tmp_path / source.relative_to(ROOT)
        copied.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, copied)
    seen = {source_digest(tmp_path)}
    assert seen == {source_digest(ROOT)}
    for source in sources():
        copied = tmp_path / source.relative_to(ROOT)
        copied.write_text(source.read_text() + "\n")
        seen.add(source_digest(tmp_path))
        copied.write_text(source.read_text())
    assert len(seen) == 1 + len(sources())


def test_every_file_with_a_kernel_and_every_file_it_imports_from_is_a_kernel_source():
    """Constants are frozen into kernels, so what a kernel's file imports counts as much as the file."""
    for package in PACKAGES:
        for source in (ROOT / package).rglob("*.py"):
            imported = [
                (node.module, {name.name for name in node.names})
                for node in ast.walk(ast.parse(source.read_text()))
                if isinstance(node, ast.ImportFrom)
            ]
            if not any(module == "matching.jit" and names & DECORATORS for module, names in imported):
                continue
            assert source in sources(), f"{source.relative_to(ROOT)} has kernels but is not in KERNEL_SOURCES"
            for module, names in imported:
                if module.split(".")[0] in PACKAGES:
                    folder = ROOT / module.replace(".", "/")
                    own = folder.with_suffix(".py")
                    for file in [own] if own.exists() else [folder / f"{name}.py" for name in names]:
                        assert file in sources(), f"{source.relative_to(ROOT)} uses {module}, not in KERNEL_SOURCES"
