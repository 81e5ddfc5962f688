"""How long does a newcomer wait? From a fresh clone to the first trade, and from a changed kernel line to its test.

    python -m benchmarks.start                  # five clones; about four minutes; writes benchmarks/results/start.json
    python -m benchmarks.start --runs 1         # stores nothing

Each run clones the repository's last commit into a temporary folder, with an empty cache of kernels, and does what the
README says: `make serve`, then the market order of its first page. Then it changes a line that the fast path, the general
path and the operators' path all compile, and runs a test file of the engine. Seconds are seconds on the wall; CPU seconds
are those of all processes that took part. Packages come from wherever pip and uv find them, so installing depends on the
network and on their caches.
"""

import argparse
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.request
from typing import Any

from benchmarks.measure import machine, machine_line, store, summary, table

ROOT = pathlib.Path(__file__).resolve().parent.parent
CHANGED = pathlib.Path("matching/book.py"), "side.orders += 1\n", "side.orders = side.orders + 1\n"
RETEST = (".venv/bin/python", "-m", "pytest", "-q", "tests/matching/test_kernel.py")
STEPS = {
    "install": "make serving",
    "compile": "qiee serve, until it says that it is ready",
    "trade": "the README's first order, until it is answered",
    "clone to trade": "all of it, from git clone on",
    "second start": "qiee serve again, until it is ready",
    "retest": "a kernel line changed: pytest tests/matching/test_kernel.py",
}


class Clock:
    """Seconds on the wall, and CPU seconds of all processes that have ended, since it was made."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.monotonic(), self._children()

    @staticmethod
    def _children() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    def read(self) -> dict[str, float]:
        return {"wall": time.monotonic() - self._wall, "cpu": self._children() - self._cpu}


class Hub:
    """A hub that has said that it is ready. `memory`: MiB in RAM then."""

    def __init__(self, clone: pathlib.Path, environment: dict[str, str]) -> None:
        command = [str(clone / ".venv/bin/qiee"), "serve", "--port", "0"]
        self._process = subprocess.Popen(command, cwd=clone, env=environment, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        said = ""
        for line in self._process.stdout:
            said += line
            if "your first order" in line:
                break
        found = re.search(r"ws://(\S+)/ws/api/v2 ", said)
        if found is None:
            raise RuntimeError(f"the hub did not become ready: {said}")
        self.address = found.group(1)
        status = pathlib.Path(f"/proc/{self._process.pid}/status").read_text()
        self.memory = int(re.findall(r"VmRSS:\s+(\d+) kB", status)[0]) / 1024

    def first_trade(self) -> None:
        """Errors: RuntimeError if the README's market order does not trade."""
        url = f"http://{self.address}/api/v2/private/buy?instrument_name=SC2701&amount=1000&type=market"
        request = urllib.request.Request(url, headers={"Authorization": "Basic ZGVtbzpkZW1vLXNlY3JldA=="})  # demo
        with urllib.request.urlopen(request, timeout=10) as answer:
            order = json.load(answer)["result"]["order"]
        if order["order_state"] != "filled":
            raise RuntimeError(f"the first order was not filled: {order}")

    def stop(self) -> None:
        self._process.send_signal(signal.SIGINT)
        self._process.communicate(timeout=60)


def run(folder: pathlib.Path) -> dict[str, dict[str, float]]:
    """What each step took, once. folder: empty."""
    clone = folder / "clone"
    environment = os.environ | {"NUMBA_CACHE_DIR": str(folder / "kernels")}
    took: dict[str, dict[str, float]] = {}
    whole = Clock()
    subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
    clock = Clock()
    subprocess.run(["make", "-s", "serving"], cwd=clone, check=True, stdout=subprocess.DEVNULL)
    took["install"] = clock.read()
    clock = Clock()
    hub = Hub(clone, environment)
    ready = clock.read()["wall"]
    clock = Clock()
    hub.first_trade()
    took["trade"] = {"wall": clock.read()["wall"]}
    traded = whole.read()["wall"]
    clock = Clock()
    hub.stop()
    took["compile"] = {"wall": ready, "cpu": clock.read()["cpu"]}
    took["clone to trade"] = {"wall": traded, "cpu": whole.read()["cpu"]}
    clock = Clock()
    hub = Hub(clone, environment)
    took["second start"] = {"wall": clock.read()["wall"], "memory": hub.memory}
    hub.stop()
    subprocess.run(["make", "-s", "install"], cwd=clone, check=True, stdout=subprocess.DEVNULL)
    subprocess.run(RETEST, cwd=clone, env=environment, check=True, stdout=subprocess.DEVNULL)
    path, before, after = CHANGED
    source = (clone / path).read_text()
    if before not in source:
        raise RuntimeError(f"{path} has no line {before!r} any more")
    (clone / path).write_text(source.replace(before, after, 1))
    clock = Clock()
    subprocess.run(RETEST, cwd=clone, env=environment, check=True, stdout=subprocess.DEVNULL)
    took["retest"] = clock.read()
    return took


def measure_start(runs: int) -> dict[str, Any]:
    """Seconds on the wall, CPU seconds and MiB of each step, median and spread."""
    taken = []
    for _ in range(runs):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="qiee-start-"))
        try:
            taken.append(run(folder))
        finally:
            shutil.rmtree(folder)
    return {step: {unit: summary(one[step][unit] for one in taken) for unit in taken[0][step]} for step in STEPS}


def report(result: dict[str, Any]) -> str:
    """The result as a table."""
    rows = [
        (f"{step}: {text}", *(f"{result[step][unit]:.1f}" if unit in result[step] else "" for unit in ("wall", "cpu")))
        for step, text in STEPS.items()
    ]
    memory = f"{result['second start']['memory']:.0f} MiB in RAM when ready"
    return "\n".join([machine_line(result["machine"]), "", table(("", "seconds", "CPU seconds"), rows), "", memory])


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--runs", type=int, default=5)
    arguments = options.parse_args()
    result = {"machine": machine(), "runs": arguments.runs, **measure_start(arguments.runs)}
    print(report(result))
    if arguments.runs >= 5:
        print(f"\nstored as {store('start', result)}")


if __name__ == "__main__":
    main()
