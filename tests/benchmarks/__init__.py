"""Benchmarks, run on demand from the repository root: `python -m tests.benchmarks` (`--help` for choices)."""
