"""What the code of a chapter reaches: modules of this repository, stored tables, figures.

From this the build makes a chapter's key. It has to be sound before it is fine: a module counts when the code
could use it, and where a name cannot be followed, its whole package does. Docstrings and comments do not count.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from tools.catalog import ConversionError

# They draw what travels in an output's metadata, and the build draws it again: no run depends on them.
RENDERING = ("tlhelpers.book._render", "tlhelpers.book._quiz")
# Functions of the door `book` that read stored tables and drawings, and which of their arguments name one.
READERS = {
    "results": slice(0, 1),
    "card": slice(None),
    "check": slice(1, 2),
    "beside": slice(1, 2),
    "figure": slice(0, 1),
}


def parse(code: str, name: str) -> ast.Module:
    """The syntax tree of Python code; IPython's own lines count as nothing.

    Raises `ConversionError` when it is no Python.
    """
    plain = re.sub(r"^([ \t]*)[%!].*$", r"\1pass", code, flags=re.MULTILINE)
    try:
        return ast.parse(plain)
    except SyntaxError as error:
        raise ConversionError(
            f"{name}: this is no Python ({error.msg}): {(error.text or '').strip()!r}"
        ) from error


def without_docstrings(tree: ast.AST) -> str:
    """A syntax tree as text, without docstrings and positions, and the same for every version of Python.

    `ast.dump` is not: since 3.13 it leaves out empty fields, and a reader's Python must find the key that was
    committed.
    """
    if isinstance(tree, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        body = tree.body[1:] if ast.get_docstring(tree, clean=False) is not None else tree.body
    else:
        body = None

    def text(value: object) -> str:
        if isinstance(value, list):
            return f"[{','.join(map(text, value))}]"
        return without_docstrings(value) if isinstance(value, ast.AST) else repr(value)

    fields = [
        f"{name}={text(body if name == 'body' and body is not None else value)}"
        for name, value in ast.iter_fields(tree)
        if name != "kind" and value is not None and value != []
    ]
    return f"{type(tree).__name__}({','.join(fields)})"


def for_checkers_only(node: ast.AST) -> bool:
    """Whether a statement is `if TYPE_CHECKING:`, which never runs."""
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def running(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes of a tree that may run."""
    yield tree
    for child in ast.iter_child_nodes(tree):
        if for_checkers_only(child):
            assert isinstance(child, ast.If)
            for node in child.orelse:
                yield from running(node)
        else:
            yield from running(child)


def literals(tree: ast.AST) -> set[str]:
    """All strings of a tree."""
    return {
        node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


@dataclass
class Imports:
    """Names that a piece of code bound by importing, and the dotted names that it reaches through them."""

    bound: dict[str, set[str]] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    imported: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, tree: ast.AST, package: str = "") -> Imports:
        """Follow the imports of code that lies in `package`."""
        made = cls()
        for node in running(tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    made.imported.add(alias.name)
                    name = alias.asname or alias.name.split(".")[0]
                    made.bound.setdefault(name, set()).add(alias.name if alias.asname else name)
            elif isinstance(node, ast.ImportFrom):
                made._from(node, package)
        made._follow(tree)
        return made

    def _from(self, node: ast.ImportFrom, package: str) -> None:
        above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
        base = ".".join([*above, *([node.module] if node.module else [])])
        self.imported.add(base)
        for alias in node.names:
            if alias.name == "*":
                self.used.add(base)
            else:
                self.imported.add(f"{base}.{alias.name}")
                self.bound.setdefault(alias.asname or alias.name, set()).add(f"{base}.{alias.name}")

    def _follow(self, node: ast.AST) -> None:
        chain, parts = node, []
        while isinstance(chain, ast.Attribute):
            parts.append(chain.attr)
            chain = chain.value
        if isinstance(chain, ast.Name) and chain.id in self.bound:
            self.used |= {".".join([name, *reversed(parts)]) for name in self.bound[chain.id]}
            return
        for child in ast.iter_child_nodes(node):
            if for_checkers_only(child):
                assert isinstance(child, ast.If)
                for statement in child.orelse:
                    self._follow(statement)
            else:
                self._follow(child)


class Reach:
    """The modules of a checkout, and who reaches whom. Make one for each build: it remembers what it read."""

    def __init__(self, root: Path) -> None:
        self.root = root
        # Chapters run in book/, so that a module beside them can be imported as well.
        self.places = (root, root / "book")
        self.locate = cache(self._locate)
        self.module = cache(self._module)
        self.exported = cache(self._exported)

    def _locate(self, name: str) -> Path | None:
        """The file of a module of this repository, or None."""
        for place in self.places:
            path = place.joinpath(*name.split("."))
            for file in (path / "__init__.py", path.with_name(path.name + ".py")):
                if file.is_file():
                    return file
        return None

    def _module(self, name: str) -> tuple[str, frozenset[str], frozenset[str]]:
        """A module's code without docstrings, the modules that it reaches directly, the tables it may name."""
        path = self.locate(name)
        assert path is not None
        tree = parse(path.read_text(encoding="utf-8"), path.relative_to(self.root).as_posix())
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        named = literals(tree) if _calls_a_reader(tree) else set()
        return without_docstrings(tree), frozenset(self.direct(Imports.of(tree, package))), frozenset(named)

    def _exported(self, package: str) -> dict[str, str]:
        """Where the names of a package come from, as its stub (without one, its code) says."""
        path = self.locate(package)
        if path is None or path.name != "__init__.py":
            return {}
        stub = path.with_suffix(".pyi")
        source = stub if stub.is_file() else path
        imports = Imports.of(parse(source.read_text(encoding="utf-8"), source.name), package)
        return {name: next(iter(targets)) for name, targets in imports.bound.items() if len(targets) == 1}

    def modules(self, name: str, *, whole: bool) -> set[str]:
        """The modules behind a dotted name, such as ``tlhelpers.data.load``: the packages on its way, its own.

        A name that ends at a package, or that the package does not explain, may mean anything in it: with `whole`
        all its modules count.
        """
        reached: set[str] = set()
        here = ""
        for part in name.split("."):
            below = f"{here}.{part}" if here else part
            target = self.exported(here).get(part) if here else None
            if self.locate(below):
                reached.add(below)
                here = below
            elif not here:
                return set()  # another package
            elif target and target != below:
                return reached | self.modules(target, whole=whole)
            elif part.startswith("__") or self.locate(here).name != "__init__.py":  # type: ignore[union-attr]
                return reached
            else:
                break
        path = self.locate(here)
        if whole and path is not None and path.name == "__init__.py":
            for file in path.parent.rglob("*.py"):
                inner = file.relative_to(path.parent).with_suffix("")
                reached.add(".".join([here, *inner.parts]).removesuffix(".__init__"))
        return reached

    def direct(self, imports: Imports) -> set[str]:
        """The modules that code with these imports reaches, without what those reach in turn."""
        reached: set[str] = set()
        for name in imports.imported:
            reached |= self.modules(name, whole=False)
        for name in imports.used:
            reached |= self.modules(name, whole=True)
        return reached - set(RENDERING)

    def closure(self, tree: ast.AST) -> list[str]:
        """All modules of this repository that code reaches, by name."""
        waiting = self.direct(Imports.of(tree))
        reached: set[str] = set()
        while waiting:
            name = waiting.pop()
            reached.add(name)
            waiting |= self.module(name)[1] - reached
        return sorted(reached)

    def files(self, named: Iterable[str]) -> list[Path]:
        """The stored tables with their notes, and the figures, that these strings name."""
        used: list[Path] = []
        for path in sorted((self.root / "book" / "results").glob("*.csv")):
            if path.stem in named or any(path.name in text for text in named):
                used += [path, path.with_suffix(".json")]
        for path in sorted((self.root / "book" / "figures").glob("*")):
            if any(path.name in text for text in named):
                used.append(path)
        return used

    def parts(self, code: list[str], name: str) -> list[str | Path]:
        """All that the outputs of code depend on in this repository: code, modules, tables, figures.

        Raises `ConversionError` on code that is no Python, or that makes up the name of a table.
        """
        tree = ast.Module([statement for cell in code for statement in parse(cell, name).body], [])
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            reader = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
            for argument in call.args[READERS.get(reader, slice(0, 0))]:
                if not isinstance(argument, ast.Constant):
                    raise ConversionError(
                        f"{name}: {ast.unparse(call)} makes up the name of what it reads; write it out in plain "
                        "quotes, so that the build can tell what the chapter depends on"
                    )
        modules = self.closure(tree)
        texts = [f"{module}\0{self.module(module)[0]}" for module in modules]
        named = literals(tree).union(*(self.module(module)[2] for module in modules))
        return [*code, *texts, *self.files(named)]


def _calls_a_reader(tree: ast.AST) -> bool:
    names = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
    names |= {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute)}
    return bool(names & set(READERS))
