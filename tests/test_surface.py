"""`__all__` is exactly the public surface, and every public name explains itself."""

import ast
import importlib
import inspect
import re
import types

import pytest

PACKAGES = ["autodiff", "autodiff.testing", "nn"]


@pytest.fixture(params=PACKAGES)
def package(request):
    return importlib.import_module(request.param)


def is_own_submodule(package, thing):
    return isinstance(thing, types.ModuleType) and thing.__name__.startswith(package.__name__ + ".")


def test_all_is_the_public_surface(package):
    """Whatever dir() shows without an underscore is in __all__, except the package's own modules."""
    public = {
        name
        for name, thing in vars(package).items()
        if not name.startswith(("_", "@")) and not is_own_submodule(package, thing)  # pytest adds names with @
    }
    assert public == set(package.__all__) - {"__version__"}


def test_all_has_every_name_once(package):
    assert len(set(package.__all__)) == len(package.__all__)


def test_all_resolves(package):
    assert [name for name in package.__all__ if not hasattr(package, name)] == []


def test_no_public_name_is_a_foreign_module(package):
    assert [
        name
        for name in package.__all__
        if isinstance(thing := getattr(package, name), types.ModuleType) and not is_own_submodule(package, thing)
    ] == []


def test_public_names_live_in_our_packages(package):
    """A NumPy function re-exported by accident would be public for ever."""
    foreign = []
    for name in package.__all__:
        thing = getattr(package, name)
        home = getattr(thing, "__module__", None) if callable(thing) else None
        if home is not None and home.partition(".")[0] not in PACKAGES:
            foreign.append(f"{name} is from {home}")
    assert foreign == []


def own_docstring(thing):
    """Return the docstring that an object has itself, not through its class."""
    doc = getattr(thing, "__doc__", None)
    return None if doc == type(thing).__doc__ and not isinstance(thing, type) else doc


def test_every_public_name_has_a_docstring(package):
    assert [
        name
        for name in package.__all__
        if callable(thing := getattr(package, name)) and not (own_docstring(thing) or "").strip()
    ] == []


def test_every_public_class_and_function_of_nn_shows_an_example(modules, figure):
    """Also those that are public in a module of their own, such as nn.schedules."""
    homes = [module.name for module in modules if module.name.startswith("nn.") and not module.name.startswith("nn._")]
    homes.remove("nn.demo")  # a program; its example is the command `autodiff demo`
    names = {
        f"{home}.{name}": getattr(module, name)
        for home in homes
        for module in [importlib.import_module(home)]
        for name in getattr(module, "__all__", ())
    }
    things = {name: thing for name, thing in names.items() if isinstance(thing, (type, types.FunctionType))}
    figure(f"public classes and functions of nn, each with an example: {len(things)}")
    assert len(things) >= 140
    assert [name for name, thing in things.items() if ">>>" not in (own_docstring(thing) or "")] == []


def test_every_public_member_of_a_public_class_has_a_docstring(package):
    silent = []
    for name in package.__all__:
        thing = getattr(package, name)
        if not isinstance(thing, type):
            continue
        for member, definition in vars(thing).items():
            explains = callable(definition) or isinstance(definition, (property, classmethod, staticmethod))
            if explains and not member.startswith("_") and not (inspect.getdoc(getattr(thing, member)) or "").strip():
                silent.append(f"{name}.{member}")
    assert silent == []


def test_every_module_has_a_docstring(modules):
    assert [module.name for module in modules if not ast.get_docstring(module.tree)] == []


def test_the_overview_of_nn_names_everything():
    import nn

    words = set(re.findall(r"\w+", nn.__doc__))
    parts = {"Metric", "Callback", "Optimizer", "History", "Run", "Hook", "Flow", "Summary", "SummaryRow", "LoadedKeys"}
    errors = {name for name in nn.__all__ if name.endswith("Error")}
    assert set(nn.__all__) - words - parts - errors == {"ImageData", "Saved", "collate", "read_idx"}
