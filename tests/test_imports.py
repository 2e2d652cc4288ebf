"""Imports point strictly down, form no cycle, and load nothing that the user did not ask for."""

import ast
import graphlib
import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator

import pytest

import autodiff

# A module may import only from lower levels; an entry for a package holds for the modules in it, which may also
# import each other.
LEVELS = {
    "autodiff.errors": 0,
    "autodiff.floats": 0,
    "autodiff.shapes": 0,
    "autodiff.graph": 0,
    "autodiff.primitive": 1,
    "autodiff.rules": 2,
    "autodiff.array_rules": 3,
    "autodiff.functions": 4,
    "autodiff.backward": 4,
    "autodiff.forward": 4,
    "autodiff.node": 5,
    "autodiff.value": 6,
    "autodiff.tensor": 6,
    "autodiff.modes": 7,
    "autodiff.numpy_api": 7,
    "autodiff.transforms": 8,
    "autodiff.draw": 8,
    "autodiff.row_docs": 8,
    "autodiff.compiler": 9,
    "autodiff.testing": 9,
    "autodiff": 10,
    "autodiff.cli": 11,
    "autodiff.__main__": 12,  # nothing but a call of cli.main
}

# Third-party packages that a module of the engine may import when it is imported itself. Everything else waits for the
# function that needs it.
EAGER = {"numpy"}
EAGER_IN = {
    "autodiff.testing.strategies": {"hypothesis"},
    "autodiff.testing.plugin": {"pytest"},
    "nn.sklearn": {"sklearn"},  # its classes are theirs
    "nn._estimator": {"sklearn", "scipy"},  # likewise
}

HEAVY = {"graphviz", "matplotlib", "hypothesis", "numba", "jax", "nn", "tqdm", "safetensors", "sklearn", "IPython"}


def absolute(module, node):
    """Return the absolute name of what an ImportFrom imports from."""
    if not node.level:
        return node.module
    parts = module.name.split(".") if module.is_package else module.name.split(".")[:-1]
    parts = parts[: len(parts) - (node.level - 1)]
    return ".".join([*parts, *([node.module] if node.module else [])])


def imported(module, names, tree=None) -> Iterator[str]:
    """Yield every module that a module imports: at the top, in functions, under TYPE_CHECKING, and by importlib.

    `from package import name` imports the submodule of that name if there is one, else the package itself.
    """
    for node in ast.walk(tree or module.tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = absolute(module, node)
            for alias in node.names:
                submodule = f"{package}.{alias.name}"
                yield submodule if submodule in names else package
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            argument = node.args[0] if node.args else None
            assert isinstance(argument, ast.Constant), f"{module.name}: import of a computed name, line {node.lineno}"
            yield argument.value


def eager_part(tree):
    """Return the statements of a module that run when it is imported."""
    body, waiting = [], list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            body.append(node)
        waiting.extend(ast.iter_child_nodes(node))
    return ast.Module(body, [])


def unit(name):
    """Return the entry of LEVELS that a module belongs to: its own, or that of its package."""
    if name in LEVELS:
        return name
    package = name.rpartition(".")[0]
    return package if package in LEVELS and package != "autodiff" else None


@pytest.fixture(scope="session")
def names(modules):
    return {module.name for module in modules}


def test_every_module_of_the_engine_has_a_level(names):
    assert [name for name in names if name.startswith("autodiff") and unit(name) is None] == []


def test_every_level_belongs_to_an_existing_module(names):
    assert sorted(set(LEVELS) - names) == []


def test_imports_of_the_engine_point_strictly_down(modules, names):
    wrong = []
    for module in modules:
        if module.name.partition(".")[0] != "autodiff":
            continue
        here = unit(module.name)
        for target in imported(module, names):
            if target.partition(".")[0] != "autodiff":
                continue
            there = unit(target)
            if here is None or there is None:
                wrong.append(f"{module.name} imports {target}, and one of them has no level")
                continue
            inside_one_package = here == there and here in {"autodiff.compiler", "autodiff.draw", "autodiff.testing"}
            if not inside_one_package and LEVELS[there] >= LEVELS[here]:
                wrong.append(f"{module.name} (L{LEVELS[here]}) imports {target} (L{LEVELS[there]})")
    assert wrong == []


def test_the_engine_never_imports_nn(modules, names):
    """Not even for `autodiff demo`: nn lends that command through an entry point."""
    assert [
        module.name
        for module in modules
        if module.name.partition(".")[0] == "autodiff"
        and any(target.partition(".")[0] == "nn" for target in imported(module, names))
    ] == []


def test_nn_imports_only_public_names_of_the_engine(modules):
    wrong = []
    for module in modules:
        if module.name.partition(".")[0] != "nn":
            continue
        aliases = set()
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    if alias.name == "autodiff":
                        aliases.add(alias.asname or alias.name)
                    elif alias.name.startswith("autodiff."):
                        wrong.append(f"{module.name} imports {alias.name}")
            elif isinstance(node, ast.ImportFrom):
                package = absolute(module, node)
                if package.startswith("autodiff."):
                    wrong.append(f"{module.name} imports from {package}")
                elif package == "autodiff":
                    wrong += [
                        f"{module.name} imports {alias.name}"
                        for alias in node.names
                        if alias.name not in autodiff.__all__
                    ]
        wrong += [
            f"{module.name} uses {ast.unparse(node)}"
            for node in ast.walk(module.tree)
            if isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id in aliases
            and node.attr not in {*autodiff.__all__, "__all__"}
        ]
    assert wrong == []


def test_there_are_no_import_cycles(modules, names):
    graph = {module.name: set(imported(module, names)) & names - {module.name} for module in modules}
    list(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError, which shows the cycle


def test_modules_load_third_party_packages_only_when_needed(modules, names):
    own = {"autodiff", "nn"} | sys.stdlib_module_names | EAGER
    assert [
        f"{module.name} imports {target} at its top"
        for module in modules
        for target in imported(module, names, eager_part(module.tree))
        if target.partition(".")[0] not in own | EAGER_IN.get(module.name, set())
    ] == []


@pytest.mark.parametrize(("package", "allowed"), [("autodiff", set()), ("nn", {"nn"})])
def test_importing_a_package_loads_nothing_optional(package, allowed):
    code = f"import json, sys, {package}; print(json.dumps(sorted(sys.modules)))"
    out = subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, capture_output=True, text=True)
    assert out.stderr == ""
    assert HEAVY & set(json.loads(out.stdout)) == allowed


def test_the_estimators_are_found_in_nn_when_they_are_asked_for():
    pytest.importorskip("sklearn", reason="nn.sklearn is made of scikit-learn's base classes")
    code = "import nn; print(nn.sklearn.MLPClassifier.__name__, nn.sklearn is __import__('nn.sklearn').sklearn)"
    out = subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, capture_output=True, text=True)
    assert out.stdout == "MLPClassifier True\n"


def test_every_package_is_listed_for_installation(modules, root):
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    assert sorted(settings["tool"]["setuptools"]["packages"]) == [m.name for m in modules if m.is_package]
