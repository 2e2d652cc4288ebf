"""Fair timing on a noisy machine: everybody is measured in turn, in the same process, in every round."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

Phase = Callable[[], object]


@dataclass(frozen=True)
class Candidate:
    """One implementation of a workload: named phases that together make one step, run in their order."""

    name: str
    phases: dict[str, Phase]
    setting: Callable[[], AbstractContextManager[None]] = nullcontext  # entered while this one is timed


@dataclass(frozen=True)
class Samples:
    """Measured figures of one implementation: seconds per step, bytes per node, ..., one a round."""

    workload: str
    name: str
    what: str
    values: tuple[float, ...]
    unit: str = "s"


def measure(
    workload: str, candidates: Sequence[Candidate], rounds: int, seconds: float, what: str = "step"
) -> list[Samples]:
    """Time the candidates A, B, C, A, B, C, ...: a slow moment of the machine then hits all alike."""
    loops = {c.name: _calibrate(c, seconds) for c in candidates}
    timed = [(c, _sample(c, loops[c.name])) for _ in range(rounds) for c in candidates]
    samples = []
    for candidate in candidates:
        mine = [phases for c, phases in timed if c is candidate]
        if len(candidate.phases) > 1:
            samples += [
                Samples(workload, candidate.name, phase, tuple(phases[phase] for phases in mine))
                for phase in candidate.phases
            ]
        samples.append(Samples(workload, candidate.name, what, tuple(sum(phases.values()) for phases in mine)))
    return samples


def _calibrate(candidate: Candidate, seconds: float) -> int:
    """How many steps fill the wanted time."""
    _run(candidate.phases, 1)
    once = sum(_run(candidate.phases, 1).values())
    again = sum(_run(candidate.phases, 1).values())
    return max(1, round(seconds / min(once, again)))


def _sample(candidate: Candidate, loops: int) -> dict[str, float]:
    """Seconds per step of each phase."""
    gc.collect()  # nobody pays for the garbage of the one before
    time.sleep(0.03)  # worker threads of BLAS and OpenMP spin for a while after work, and would take our cores
    with candidate.setting():
        _run(candidate.phases, 1)
        return _run(candidate.phases, loops)


def _run(phases: dict[str, Phase], loops: int) -> dict[str, float]:
    """Run whole steps and say what each phase took on average."""
    if len(phases) == 1:  # the clock stays out of the loop: a step may be a few microseconds
        ((name, phase),) = phases.items()
        start = time.perf_counter()
        for _ in range(loops):
            phase()
        return {name: (time.perf_counter() - start) / loops}

    total = dict.fromkeys(phases, 0.0)
    for _ in range(loops):
        for name, phase in phases.items():
            start = time.perf_counter()
            phase()
            total[name] += time.perf_counter() - start
    return {name: t / loops for name, t in total.items()}


@contextmanager
def collector_off() -> Iterator[None]:
    """A setting: without Python's cyclic garbage collector."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
