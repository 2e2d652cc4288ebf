"""What the last full run found: record.json holds its counts, survivors.json every survivor under its reason."""

from __future__ import annotations

import ast
import hashlib
import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PROMISED = 0.95


def fingerprint(source: str) -> str:
    """A hash of what a table computes: comments, layout and docstrings do not count."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.FunctionDef)) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()[:16]


def counts() -> dict[str, dict[str, Any]]:
    """For each table the fingerprint of the source that was mutated, how many mutants, and how many were killed."""
    return json.loads((HERE / "record.json").read_text(encoding="utf-8"))


def survivors() -> dict[str, dict[str, list[str]]]:
    """For each table the names of the survivors, under the reason why they survive."""
    return json.loads((HERE / "survivors.json").read_text(encoding="utf-8"))


def reasons(table: str) -> dict[str, str]:
    """For each listed survivor of a table its reason."""
    return {name: reason for reason, names in survivors().get(table, {}).items() for name in names}


def enter(table: str, source: str, mutants: int, killed: int) -> None:
    """Record a full run of one table."""
    changed = {**counts(), table: {"source": fingerprint(source), "mutants": mutants, "killed": killed}}
    (HERE / "record.json").write_text(json.dumps(changed, indent=2) + "\n", encoding="utf-8")


def line(mutants: int, killed: int) -> str:
    """The figure."""
    return f"{mutants} mutants, {killed} killed, {mutants - killed} survived: score {killed / mutants:.1%}"
