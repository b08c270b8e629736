"""`import stadet`: light, complete, and the same for Python, editors and type checkers."""

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import stadet


def type_checking_imports():
    """(module, name) that a type checker sees."""
    tree = ast.parse(Path(stadet.__file__).read_text())
    (block,) = (
        node
        for node in tree.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    return {
        (node.module, alias.name)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def test_one_list_of_names_for_all():
    listed = {(module, name) for module, names in stadet._MODULES.items() for name in names}
    assert listed == type_checking_imports()
    assert sorted(stadet.__all__) == sorted(name for _, name in listed)
    assert set(stadet.__all__) <= set(dir(stadet))
    assert len(set(stadet.__all__)) == len(stadet.__all__)


@pytest.mark.parametrize("name", stadet.__all__)
def test_a_public_name_is_there_and_documented(name):
    value = getattr(stadet, name)
    assert getattr(importlib.import_module(stadet._MODULE_OF[name]), name) is value
    if inspect.isroutine(value) or inspect.isclass(value):
        assert value.__doc__ and not value.__doc__.startswith(f"{name}(")


def test_import_is_light_and_quick():
    code = (
        "import sys, time; began = time.perf_counter(); import stadet; "
        "print(time.perf_counter() - began); "
        "assert not {'torch', 'numpy', 'cv2', 'av', 'yaml'} & set(sys.modules); "
        "assert 'open_detector' in dir(stadet) and 'torch' not in sys.modules"
    )
    took = []
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        took.append(float(done.stdout))
    assert min(took) < 0.1


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'stadet' has no attribute 'nothing'"):
        _ = stadet.nothing
    assert not hasattr(stadet, "torch")


def test_packages_are_attributes():
    code = "import stadet; assert stadet.detect.__name__ == 'stadet.detect'; stadet.__version__"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_walking_through_the_packages_of_a_checkout_ends():
    import pkgutil

    import stadet.stadet  # the package's own folder lies in the checkout, too

    assert len(stadet.stadet.__path__) == 1
    found = {module.name for module in pkgutil.iter_modules(stadet.__path__, "stadet.")}
    assert {"stadet.detect", "stadet.tools"} <= found


def test_an_old_python_is_one_line():
    code = "import sys; sys.version_info, sys.version = (3, 9, 1), '3.9.1 (main)'; import stadet"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == "stadet needs Python 3.10 or later, found 3.9.1\n"
