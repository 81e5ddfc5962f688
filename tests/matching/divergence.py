"""Where two implementations differ: the first row that differs, with the command that repeats it.

    python -m tests.matching.divergence 17 2500          # the flow of seed 17, shrunk to the rows that matter
    python -m tests.matching.divergence 17 1500 risk     # the same with risk on

`first_difference` compares events; `shrink` finds a short list of commands that still shows a difference.
"""

import dataclasses
import sys

import numpy as np

from matching.codes import CommandKind
from matching.records import COMMAND, EVENT
from tests.matching.flow import Flow, engine, random_flow, reference


def first_difference(flow: Flow, events: np.ndarray, expected: np.ndarray) -> str | None:
    """The first unexpected event, with the command that caused it; None if all bytes are equal."""
    if events.tobytes() == expected.tobytes():
        return None
    length = min(len(events), len(expected))
    different = np.flatnonzero(events[:length] != expected[:length])
    at = int(different[0]) if len(different) else length
    row = expected[at] if at < len(expected) else events[at]
    command = flow.commands[int(row["sequence"]) - int(flow.commands["sequence"][0])]
    return "\n".join(
        (
            f"seed {flow.seed}, event {at} of {len(expected)}, sequence {row['sequence']}",
            f"command   {_told(command)}",
            f"expected  {_told(expected[at]) if at < len(expected) else 'nothing'}",
            f"engine    {_told(events[at]) if at < len(events) else 'nothing'}",
            f"repeat    python -m tests.matching.divergence {flow.seed} {len(flow.commands)}{' risk' * flow.risk}",
        )
    )


def shrink(flow: Flow) -> Flow:
    """The same flow, with every command blanked that the difference does not need."""
    commands = flow.commands.copy()
    step = len(commands)
    while step:
        for start in range(0, len(commands), step):
            trial = commands.copy()
            _blank(trial[start : start + step])
            if trial.tobytes() != commands.tobytes() and _parts(flow, trial):
                commands = trial
        step //= 2
    return _with(flow, commands)


def _blank(commands: np.ndarray) -> None:
    """Replace commands with ones that any implementation refuses: cancels of an order that never existed."""
    sequence, time = commands["sequence"].copy(), commands["time"].copy()
    commands[:] = np.zeros(1, COMMAND)
    commands["sequence"], commands["time"], commands["kind"] = sequence, time, CommandKind.CANCEL


def _with(flow: Flow, commands: np.ndarray) -> Flow:
    return dataclasses.replace(flow, commands=commands)


def _parts(flow: Flow, commands: np.ndarray) -> bool:
    trial = _with(flow, commands)
    return engine(trial).apply(commands).tobytes() != reference(trial).apply(commands).tobytes()


def _told(row: np.void) -> str:
    return " ".join(f"{name}={row[name].item()}" for name in row.dtype.names or () if row[name] not in (0, b""))


def main(seed: int, count: int, risk: bool) -> None:
    flow = random_flow(seed, count, risk)
    difference = first_difference(flow, engine(flow).apply(flow.commands), reference(flow).apply(flow.commands))
    if difference is None:
        print(f"seed {seed}: no difference in {count} commands")
        return
    flow = shrink(flow)
    print(*flow.instruments, *flow.accounts, f"max_orders={flow.max_orders}", sep="\n")
    for command in flow.commands[(flow.commands["kind"] != CommandKind.CANCEL) | (flow.commands["order_id"] != 0)]:
        print(_told(command))
    events: np.ndarray = engine(flow).apply(flow.commands)
    assert events.dtype == EVENT
    print(first_difference(flow, events, reference(flow).apply(flow.commands)))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), "risk" in sys.argv[3:])
