"""Nothing in the packages runs text or bytes as code (promise 26)."""

import ast

import pytest

FORBIDDEN_CALLS = {"eval", "exec", "os.system", "os.popen", "builtins.eval", "builtins.exec"}
MAKE_CODE = {"compile", "builtins.compile", "FunctionType", "types.FunctionType", "CodeType", "types.CodeType"}
FORBIDDEN_MODULES = {"pickle", "_pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}


def dangers(tree):
    """Yield what could run foreign code, with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            if (called := ast.unparse(node.func)) in FORBIDDEN_CALLS:
                yield f"line {node.lineno}: {called}"
            for keyword in node.keywords:
                if keyword.arg in {"shell", "allow_pickle"} and ast.unparse(keyword.value) != "False":
                    yield f"line {node.lineno}: {ast.unparse(keyword)}"
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.partition(".")[0] in FORBIDDEN_MODULES:
                    yield f"line {node.lineno}: import {alias.name}"
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in FORBIDDEN_MODULES:
            yield f"line {node.lineno}: from {node.module} import"


@pytest.mark.promise(26)
def test_the_packages_run_no_text_or_bytes_as_code(modules, figure):
    figure(f"modules of the packages searched for eval, exec, pickle and shells: {len(modules)}")
    assert len(modules) >= 50
    assert [f"{module.name}, {danger}" for module in modules for danger in dangers(module.tree)] == []


@pytest.mark.promise(26)
def test_code_is_made_in_one_place_from_a_program_that_was_recorded(modules):
    """What the text of a program consists of is tested in tests/autodiff/test_compiler.py."""
    makers = [
        (module.name, ast.unparse(node.func))
        for module in modules
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in MAKE_CODE
    ]
    assert makers == [("autodiff.compiler.to_numpy", "compile"), ("autodiff.compiler.to_numpy", "FunctionType")]


@pytest.mark.parametrize(
    "code",
    [
        "eval('1')",
        "exec(text)",
        "import pickle",
        "from pickle import loads",
        "subprocess.run(command, shell=True)",
        "numpy.load(file, allow_pickle=True)",
        "os.system('ls')",
    ],
)
def test_the_search_finds_what_it_looks_for(code):
    assert len(list(dangers(ast.parse(code)))) == 1


def test_the_search_leaves_harmless_code_alone():
    assert list(dangers(ast.parse("ast.literal_eval(s); subprocess.run(c, shell=False); model.eval()"))) == []
