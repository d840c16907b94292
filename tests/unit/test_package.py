"""The package is eight doors over private modules: cheap to import, on floors, each function told and typed."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import tlhelpers as tl

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "tlhelpers"
DOORS = ("book", "data", "look", "models", "plots", "profile", "stats", "train")
HEAVY = ("torch", "torchvision", "timm", "pandas", "numpy", "scipy", "sklearn", "matplotlib", "transformers")
# Who may import whom: a door sees those below it, and nobody sees the book.
FLOORS = {
    "_paths": set(),
    "_seed": set(),
    "_machine": set(),
    "_rows": set(),
    "_crossed": {"_rows"},
    "profile": {"_paths"},
    "stats": {"_crossed", "_rows"},
    "plots": {"_rows", "stats"},
    "data": {"_paths", "_rows", "profile"},
    "models": {"_paths", "_rows", "_machine", "_seed", "data"},
    "train": {"_paths", "_machine", "_rows", "_seed", "profile", "stats", "data", "models"},
    "look": {"_machine", "_rows", "stats", "data", "models"},
    "book": {"_paths", "profile", "stats"},
}


def run(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def modules() -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path.relative_to(PACKAGE), ast.parse(path.read_text(encoding="utf-8"))


def public() -> Iterator[tuple[str, object]]:
    """Yield what the doors offer: classes and functions, by the name a reader calls."""
    for door in DOORS:
        module = getattr(tl, door)
        names = getattr(module, "__all__", None) or [name for name in vars(module) if not name.startswith("_")]
        for name in names:
            thing = getattr(module, name)
            if callable(thing) and getattr(thing, "__module__", "").startswith("tlhelpers."):
                yield f"{door}.{name}", thing


class TestImport:
    def test_it_is_cheap(self) -> None:
        clock = "import sys, time; start = time.perf_counter(); import tlhelpers"
        run(f"{clock}; assert time.perf_counter() - start < 1; assert not set({HEAVY}) & set(sys.modules)")

    @pytest.mark.parametrize(
        "use", ["tl.profile.current()", "tl.data", "tl.models", "tl.book", "tl.data.FetchError"]
    )
    def test_what_needs_no_heavy_library_loads_none(self, use: str) -> None:
        run(f"import sys, tlhelpers as tl; {use}; assert not set({HEAVY}) & set(sys.modules)")

    def test_no_door_changes_which_warnings_are_shown(self) -> None:
        theirs = "import warnings, matplotlib.pyplot, pandas, scipy.stats, sklearn.pipeline, torch, datasets"
        ours = (
            f"import tlhelpers as tl; [getattr(getattr(tl, d), n) for d in {DOORS} for n in dir(getattr(tl, d))]"
        )
        trainer = "from transformers import AutoModel, Trainer"
        run(f"{theirs}; {trainer}; before = list(warnings.filters); {ours}; assert warnings.filters == before")


class TestDoors:
    def test_there_are_eight_and_a_seed(self) -> None:
        assert sorted(tl.__all__) == sorted([*DOORS, "seed_everything"]) and set(tl.__all__) <= set(dir(tl))
        assert callable(tl.seed_everything)
        for name in DOORS:
            door = getattr(tl, name)
            assert isinstance(door, ModuleType) and door.__name__ == f"tlhelpers.{name}" and door.__doc__

    def test_every_other_module_is_private(self) -> None:
        own = {path.parts[0].removesuffix(".py") for path, _ in modules()} - {"__init__"}
        assert {name for name in own if not name.startswith("_")} == set(DOORS)
        inner = {path.name for path, _ in modules() if len(path.parts) > 1}
        assert all(name.startswith("_") for name in inner)

    def test_an_unknown_name_is_told(self) -> None:
        for door in (tl, tl.data):
            with pytest.raises(AttributeError, match="oracle"):
                _ = door.oracle

    @pytest.mark.parametrize("stub", sorted(PACKAGE.rglob("*.pyi")), ids=lambda path: path.parent.name)
    def test_a_stub_lists_what_its_door_offers_and_all_of_it_is_there(self, stub: Path) -> None:
        tree = ast.parse(stub.read_text(encoding="utf-8"))
        imported = {a.asname or a.name for n in tree.body if isinstance(n, ast.ImportFrom) for a in n.names}
        (listed,) = (ast.literal_eval(n.value) for n in tree.body if isinstance(n, ast.Assign))
        assert set(listed) == imported and len(listed) == len(imported)
        door = tl if stub.parent == PACKAGE else getattr(tl, stub.parent.name)
        assert set(door.__all__) == imported
        for name in imported:
            getattr(door, name)

    def test_the_version_is_that_of_the_project(self) -> None:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())
        assert tl.__version__ == project["project"]["version"]


class TestFloors:
    def test_a_module_imports_from_below_only_and_nobody_imports_the_book(self) -> None:
        for path, tree in modules():
            floor = path.parts[0].removesuffix(".py")
            for node in ast.walk(tree):
                if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "tlhelpers":
                    _, *inner = node.module.split(".")
                    used = {inner[0]} if inner else {alias.name for alias in node.names}
                elif isinstance(node, ast.Import):
                    used = {name.name for name in node.names if name.name.startswith("tlhelpers")}
                else:
                    used = {"a relative import"} if isinstance(node, ast.ImportFrom) and node.level else set()
                assert used <= FLOORS.get(floor, set()) | {floor}, f"{path}:{getattr(node, 'lineno', 0)}"

    def test_the_environment_is_read_by_profile_and_the_profile_is_asked_for_by_the_book(self) -> None:
        for path, tree in modules():
            names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
            names |= {alias.name for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) for alias in n.names}
            assert path.name == "profile.py" or not names & {"environ", "getenv"}, path
            assert path.parts[0] == "book" or "current" not in names, path


class TestFunctions:
    @pytest.mark.parametrize(
        ("name", "thing"), public(), ids=lambda value: value if isinstance(value, str) else ""
    )
    def test_it_says_what_it_does(self, name: str, thing: object) -> None:
        assert inspect.getdoc(thing), f"{name} has no docstring"

    @pytest.mark.parametrize(
        ("name", "thing"),
        [pair for pair in public() if inspect.isfunction(pair[1])],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_it_is_typed_and_what_follows_the_fifth_argument_has_a_name(self, name: str, thing: object) -> None:
        signature = inspect.signature(thing)
        by_place = [
            p for p in signature.parameters.values() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        ]
        assert len(by_place) <= 5, f"{name}{signature}"
        assert signature.return_annotation is not signature.empty
        assert all(p.annotation is not p.empty for p in signature.parameters.values())
