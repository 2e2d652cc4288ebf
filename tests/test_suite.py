"""The tests themselves: nothing is lost, nothing is named twice, and files mirror the packages."""

import ast
import collections
import subprocess
import sys

import pytest

# Raise it when tests are added. A file that no longer imports or a parametrisation gone empty makes the count fall.
FEWEST_TESTS = 9000

# What is tested of a package as a whole: the networks of the lectures, and that everything was compared with PyTorch
WHOLE = {"nn.lectures", "nn.oracle"}


@pytest.fixture(scope="module")
def files(root):
    """Return every Python file under tests, parsed."""
    return {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted((root / "tests").glob("**/*.py"))}


def scopes(tree):
    """Yield the bodies in which pytest looks for tests: the module's and its classes'."""
    yield tree
    yield from (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef))


def defined(scope):
    """Return the names of the functions and classes defined directly in a scope, with repetitions."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return [node.name for node in scope.body if isinstance(node, kinds)]


@pytest.mark.promise(31)
def test_no_name_is_defined_twice_in_a_file(files):
    """The second definition would silently replace the first, which then never runs."""
    twice = []
    for path, tree in files.items():
        for scope in scopes(tree):
            counts = collections.Counter(defined(scope))
            twice += [f"{path.name}: {name}" for name, count in counts.items() if count > 1]
    assert twice == []


@pytest.mark.promise(31)
def test_every_test_stands_where_pytest_finds_it(files):
    """Not in a file of another name, inside another function, or in a class that is not called Test."""
    lost = []
    for path, tree in files.items():
        found = set()
        if path.name.startswith("test_"):
            for scope in scopes(tree):
                if isinstance(scope, ast.Module) or scope.name.startswith("Test"):
                    found |= {id(node) for node in scope.body}
        lost += [
            f"{path.name}:{node.lineno} {node.name}"
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_") and id(node) not in found
        ]
    assert lost == []


def test_no_assertion_is_constant(files):
    """`assert True` has hidden bugs for years elsewhere."""
    assert [
        f"{path.name}:{node.lineno}"
        for path, tree in files.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Assert) and isinstance(node.test, (ast.Constant, ast.Tuple))
    ] == []


@pytest.mark.parametrize("package", ["autodiff", "nn"])
def test_test_files_mirror_the_modules(root, modules, package):
    """tests/autodiff/test_value.py tests autodiff/value.py; tests/nn/test_optim_paths.py nn/optim.py, in part."""
    names = {module.name for module in modules} | WHOLE
    strangers = []
    for path in sorted((root / "tests" / package).glob("**/test_*.py")):
        folders = path.parent.relative_to(root / "tests").parts
        name = ".".join([*folders, path.stem.removeprefix("test_")])
        if not any(name == known or name.startswith(known + "_") for known in names):
            strangers.append(str(path.relative_to(root)))
    assert strangers == []


@pytest.mark.promise(31)
def test_at_least_so_many_tests_are_collected(root, figure):
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", "tests"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    collected = [line for line in run.stdout.splitlines() if "::" in line]
    assert len(set(collected)) == len(collected)
    figure(f"tests collected: {len(collected)}, at least {FEWEST_TESTS}")
    assert len(collected) >= FEWEST_TESTS
