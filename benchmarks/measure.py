"""How the benchmarks measure and report: median and spread, the machine line, tables, and the result file.

    runs = alternate({"yardstick": run_yardstick, "engine": run_engine}, repeats=5)     # seconds of each, turn by turn
    print(summary([rows / seconds for seconds in runs["engine"]]))
    store("kernel", {"machine": machine(), ...})

A shared machine is never idle, so no result is a single number. Programs that are compared run alternately within the same
minute. The result is the median of their ratios, with the smallest and the largest.
"""

import datetime
import gc
import importlib.metadata
import json
import os
import pathlib
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

RESULTS = pathlib.Path(__file__).with_name("results")
MEGABYTE = 1 << 20


class Summary(NamedTuple):
    """Median of the runs, with the smallest and the largest."""

    median: float
    low: float
    high: float
    runs: int

    def __format__(self, spec: str) -> str:
        return f"{self.median:{spec}} ({self.low:{spec}}-{self.high:{spec}})"


def summary(values: Iterable[float]) -> Summary:
    """Median and spread. Errors: ValueError, no values."""
    ordered = sorted(values)
    if not ordered:
        raise ValueError("values: none given, at least 1 needed")
    return Summary(statistics.median(ordered), ordered[0], ordered[-1], len(ordered))


def alternate(programs: dict[str, Callable[[], float]], repeats: int) -> dict[str, list[float]]:
    """Run the programs alternately, `repeats` times each; each returns the seconds that it counts."""
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(repeats):
        for name, program in programs.items():
            gc.collect()
            seconds[name].append(program())
    return seconds


def ratios(seconds: Sequence[float], base: Sequence[float]) -> Summary:
    """How many times faster than `base`, for each turn."""
    return summary(theirs / ours for ours, theirs in zip(seconds, base, strict=True))


def machine() -> dict[str, Any]:
    """Hardware and versions. `load` is the load average when this is called, so call it first."""
    packages = ("numba", "numpy", "uvicorn", "uvloop", "fastapi", "msgspec")
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in packages},
        "load": [round(load, 2) for load in os.getloadavg()],
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def machine_line(machine: dict[str, Any]) -> str:
    """The machine in one line."""
    return (
        f"{machine['cpu']}, {machine['cores']} cores, Python {machine['python']}, numba {machine['numba']}, "
        f"numpy {machine['numpy']}, load {machine['load'][0]} at the start, {machine['date']}"
    )


def _cpu() -> str:
    try:
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass  # not Linux: use what the platform reports
    return platform.processor() or platform.machine()


def resident_bytes() -> int:
    """Memory of this process that is in RAM now. Linux."""
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def busy_seconds() -> float:
    """CPU seconds that all processes of the machine have used so far, stolen time included. Linux."""
    user, nice, system, _, _, interrupt, soft, stolen = map(
        int, pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    )
    return (user + nice + system + interrupt + soft + stolen) / os.sysconf("SC_CLK_TCK")


class ForeignLoad:
    """How many cores other processes used meanwhile, given our own CPU seconds."""

    def __init__(self) -> None:
        self._wall, self._busy = time.perf_counter(), busy_seconds()

    def cores(self, own_seconds: float) -> float:
        wall = time.perf_counter() - self._wall
        return max(0.0, busy_seconds() - self._busy - own_seconds) / wall


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table, aligned for a terminal: the first column left, the others right."""
    lines = [list(heads), *(list(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]

    def text(line: Sequence[str]) -> str:
        cells = (
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        return f"| {' | '.join(cells)} |"

    rule = "|".join("-" * (width + 1) + ("-" if column == 0 else ":") for column, width in enumerate(widths))
    return "\n".join([text(lines[0]), f"|{rule}|", *map(text, lines[1:])])


def store(name: str, result: dict[str, Any], folder: pathlib.Path = RESULTS) -> pathlib.Path:
    """Write a result as NAME.json; a Summary becomes an object of its fields."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps(_plain(result), indent=1) + "\n")
    return path


def _plain(value: Any) -> Any:
    if isinstance(value, Summary):
        return {name: round(number, 4) for name, number in value._asdict().items()}
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return round(value, 4) if isinstance(value, float) else value
