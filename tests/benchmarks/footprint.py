"""What it costs to have us around: time to import, bytes per node."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .timing import Samples

ROOT = Path(__file__).resolve().parents[2]  # the packages lie here, whether or not they are installed
OPTIONAL = ("graphviz", "matplotlib", "hypothesis", "numba", "jax", "sklearn", "IPython")
CLOCK = "import time; start = time.perf_counter(); import {}; print(time.perf_counter() - start)"


def import_seconds(module: str) -> float:
    """Time of one import in a fresh interpreter, its own start-up not counted.

    An installed package has its byte code beside it, so a setting that forbids to write it is lifted here.
    """
    command = [sys.executable, "-c", CLOCK.format(module)]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    run = subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True)
    return float(run.stdout)


def import_times(workload: str, rounds: int) -> list[Samples]:
    """`import autodiff` against `import numpy`, taken in turn."""
    modules = ("numpy", "autodiff")
    for module in modules:
        import_seconds(module)  # writes the byte code, warms the disk cache
    runs = []
    for i in range(max(rounds, 20)):
        order = modules if i % 2 == 0 else modules[::-1]
        runs.append({module: import_seconds(module) for module in order})
    return [Samples(workload, m, "import", tuple(run[m] for run in runs)) for m in modules]


def optional_imports() -> list[str]:
    """Optional packages that `import autodiff` loads although it should not."""
    code = f"import autodiff, sys; print(*[m for m in {OPTIONAL} if m in sys.modules])"
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()


def bytes_per_node(value: Callable[[float], Any], length: int, backward: bool = False) -> float:
    """Memory of a chain of nodes, per node, without the 24 bytes of the Python float that each holds."""
    node = value(1.0)
    gc.collect()
    tracemalloc.start()
    try:
        for _ in range(length):
            node = node * 1.0000001
        if backward:
            node.backward()
        return tracemalloc.get_traced_memory()[0] / length - sys.getsizeof(1.0)
    finally:
        tracemalloc.stop()
