"""Importing the package costs nothing; its modules come when they are used."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

import tlhelpers as tl

HEAVY = ("torch", "torchvision", "timm", "pandas", "numpy", "scipy", "sklearn", "matplotlib")


def run(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], check=True, timeout=10)


def test_import_is_cheap() -> None:
    run(f"import sys, tlhelpers; assert not set({HEAVY}) & set(sys.modules)")


def test_the_settings_alone_need_no_heavy_library() -> None:
    run(f"import sys, tlhelpers as tl; tl.profile.current(); assert not set({HEAVY}) & set(sys.modules)")


@pytest.mark.parametrize("name", tl.__all__)
def test_every_listed_module_is_there_and_says_what_it_is_for(name: str) -> None:
    module = getattr(tl, name)
    assert isinstance(module, ModuleType) and module.__name__ == f"tlhelpers.{name}"
    assert module.__doc__


def test_every_module_is_listed() -> None:
    found = {path.stem for path in Path(str(tl.__file__)).parent.glob("*.py")} - {"__init__"}
    assert found == set(tl.__all__)
    assert found <= set(dir(tl))


def test_an_unknown_module_is_named_with_those_that_exist() -> None:
    with pytest.raises(
        AttributeError, match=r"'tlhelpers' has no attribute 'oracle'; it has profile, data, .*claims"
    ):
        _ = tl.oracle


def test_the_version_is_that_of_the_project() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    assert tl.__version__ == project["project"]["version"]
