"""Command line of the benchmarks: `python -m tests.benchmarks [--only tensor-2-4-1] [--rounds 21]`."""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np

from . import footprint, report
from .timing import Samples
from .workloads import WORKLOADS, Options, run


def machine(options: Options) -> str:
    """What a reader needs to judge the figures."""
    lines = [
        f"Python {platform.python_version()}, NumPy {np.__version__}, {os.cpu_count()} cores, "
        f"load {os.getloadavg()[0]:.1f}; medians of {options.rounds} interleaved rounds"
    ]
    if options.peers and importlib.util.find_spec("torch") is not None:
        import torch

        lines.append(f"PyTorch {torch.__version__} eager, {torch.get_num_threads()} threads")
    return "\n".join(lines)


def run_in_fresh_process(name: str, options: Options) -> list[Samples]:
    """Each workload finds the same process: no other's libraries loaded, no other's memory."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(run, name, options).result()


def parse(arguments: Sequence[str] | None) -> tuple[list[str], Options]:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description="Print one table of benchmarks.")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="workloads, by the beginning of their names")
    parser.add_argument("--list", action="store_true", help="print the names of the workloads and stop")
    parser.add_argument("--rounds", type=int, default=11, help="interleaved rounds (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=0.05, help="time a sample should last (default: %(default)s)")
    parser.add_argument("--no-peers", action="store_true", help="measure only ours and NumPy by hand")
    chosen = parser.parse_args(arguments)
    if chosen.list:
        parser.exit(0, "\n".join(WORKLOADS) + "\n")
    if chosen.rounds < 1:
        parser.error("--rounds must be at least 1")
    names = [name for name in WORKLOADS if not chosen.only or name.startswith(tuple(chosen.only))]
    if not names:
        parser.error(f"no workload begins with {' or '.join(chosen.only)}; there are {', '.join(WORKLOADS)}")
    return names, Options(chosen.rounds, chosen.seconds, not chosen.no_peers)


def main(arguments: Sequence[str] | None = None) -> None:
    names, options = parse(arguments)
    results: list[Samples] = []
    for name in names:
        print(f"measuring {name} ...", file=sys.stderr, flush=True)
        results += run(name, options) if len(names) == 1 else run_in_fresh_process(name, options)
    print(machine(options))
    print()
    print(report.table(results))
    print()
    print(report.promises(results))
    if "import-time" in names:
        print("optional packages loaded by import autodiff:", ", ".join(footprint.optional_imports()) or "none")


if __name__ == "__main__":
    main()
