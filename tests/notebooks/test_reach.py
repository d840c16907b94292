"""What a chapter's key looks at: sound first, then fine, and the same for every Python."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tools.catalog import ConversionError
from tools.reach import Imports, Reach, parse, without_docstrings

DOOR = "import lazy_loader\n__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)\n"
FILES = {
    "pack/__init__.py": DOOR,
    "pack/__init__.pyi": "from . import data, book, stats\nfrom ._seed import seed\n\n__version__: str\n",
    "pack/_seed.py": "def seed(): ...\n",
    "pack/stats.py": "import numpy\n\ndef mean(): ...\n",
    "pack/data/__init__.py": DOOR,
    "pack/data/__init__.pyi": "from ._images import load\nfrom ._own import read\n",
    "pack/data/_images.py": "from pack import _paths\n\n\ndef load():\n    from ._deep import inner\n",
    "pack/data/_deep.py": "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    import pack.stats\n",
    "pack/data/_own.py": "from . import _images as images\nfrom ..stats import mean\n",
    "pack/_paths.py": "",
    "pack/book/__init__.py": DOOR,
    "pack/book/__init__.pyi": "from ._results import card, check, results\nfrom ._rules import rules\n",
    "pack/book/_results.py": "def results(name): ...\n\n\ndef card(*names): ...\n",
    "pack/book/_rules.py": 'from pack.book import _results\n\n\ndef rules():\n    _results.results("matrix")\n',
    "flat/__init__.py": "",
    "flat/one.py": "",
    "flat/two.py": "import flat.one\n",
    "book/beside.py": "from flat import two\n",
    "book/results/matrix.csv": "seed,note\n",
    "book/results/texts.csv": "seed,note\n",
    "book/figures/anatomy.svg": "<svg/>",
}


@pytest.fixture
def reach(tmp_path: Path) -> Reach:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return Reach(tmp_path)


DATA = {"pack", "pack._paths", "pack.data", "pack.data._deep", "pack.data._images"}


@pytest.mark.parametrize(
    ("code", "modules"),
    [
        ("import pack as tl", {"pack"}),
        ("import pack as tl\ntl.data.load(tl.__version__)", DATA),
        ("from pack import data\ndata.load", DATA),
        ("from pack.data import load", DATA),
        ("from pack.data import load as other", DATA),
        ("import pack.data\npack.data.load.cache", DATA),
        ("import pack.data._images", DATA),
        ("def f():\n    from pack.data import load", DATA),
        ("import pack as tl\ntl.data.read", {*DATA, "pack.data._own", "pack.stats"}),
        ("import pack as tl\ntl.stats.mean", {"pack", "pack.stats"}),
        ("import pack as tl\ntl.seed()", {"pack", "pack._seed"}),
        ("from pack import seed\nseed()", {"pack", "pack._seed"}),
        # Where a name cannot be followed, all of the package counts.
        ("import pack as tl\ndoor = tl.data", {*DATA, "pack.data._own", "pack.stats"}),
        ("from pack.data import *", {*DATA, "pack.data._own", "pack.stats"}),
        ("import pack as tl\ntl.data.unknown", {*DATA, "pack.data._own", "pack.stats"}),
        ("import flat\ngetattr(flat, 'two')", {"flat", "flat.one", "flat.two"}),
        ("import flat.two", {"flat", "flat.one", "flat.two"}),
        ("import beside", {"beside", "flat", "flat.one", "flat.two"}),
        ("import numpy as np\nnp.pack", set()),
        ("pack = 1\npack.data", set()),
        ("%matplotlib inline\n!ls\nfrom pack import seed", {"pack", "pack._seed"}),
    ],
)
def test_modules(code: str, modules: set[str], reach: Reach) -> None:
    assert set(reach.closure(parse(code, "a"))) == modules


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("from pack.book import results\nresults('texts')", ["texts.csv", "texts.json"]),
        ("for n in ('texts', 'x'):\n    print(n)", ["texts.csv", "texts.json"]),
        ("from pack.book import rules", ["matrix.csv", "matrix.json"]),
        ("open(folder / 'figures' / 'anatomy.svg')", ["anatomy.svg"]),
        ("open('results/texts.csv')", ["texts.csv", "texts.json"]),
        ("from pack.book import results\nresults('none')", []),
    ],
)
def test_tables_and_figures(code: str, names: list[str], reach: Reach) -> None:
    assert [part.name for part in reach.parts([code], "a") if isinstance(part, Path)] == names


@pytest.mark.parametrize(
    "call",
    [
        "results(f'rate_{n}')",
        "tl.book.card('a' + n)",
        "check(live, f'{n}', seed=0)",
        "name = 'rate_' + 'maps'\nresults(name)",
        "beside(live, 'rate_{}'.format(n))",
        "tl.book.figure(f'{n}.svg')",
    ],
)
def test_a_name_that_is_made_up_is_refused(call: str, reach: Reach) -> None:
    with pytest.raises(ConversionError, match=r"book/01-a\.md: .*plain quotes"):
        reach.parts([call], "book/01-a.md")


def test_code_that_is_no_python_is_refused(reach: Reach) -> None:
    with pytest.raises(ConversionError, match=r"book/01-a\.md: this is no Python"):
        reach.parts(["1 +"], "book/01-a.md")


def test_the_modules_of_looks_are_in_no_key() -> None:
    root = Path(__file__).resolve().parents[2]
    code = "import tlhelpers as tl\ntl.book.claim('a', 'b', None)\ntl.book.quiz('05')\ntl.book.card('texts')"
    reached = Reach(root).closure(parse(code, "a"))
    assert "tlhelpers.book._claims" in reached
    assert not {"tlhelpers.book._render", "tlhelpers.book._quiz"} & set(reached)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('"""A."""\nx = 1', "x = 1  # why"),
        ('def f():\n    """Say."""\n    return 1', "def f(): return 1"),
        ('class A:\n    """Say."""\n\n    a: int = 1', "class A:\n    a: int = 1"),
        ("x = u'a'", "x = 'a'"),
    ],
)
def test_docstrings_comments_and_layout_do_not_count(one: str, other: str) -> None:
    assert without_docstrings(ast.parse(one)) == without_docstrings(ast.parse(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x = 1", "x = 2"),
        ("x = 1", "x = True"),
        ("x = '1'", "x = 1"),
        ("f(None)", "f()"),
        ("def f(a, *, b=1): ...", "def f(a, b=1): ..."),
        ("x = 'a'\n'''no docstring'''", "x = 'a'"),
        ("a.b", "a.c"),
        ("f(a)[b]", "f(b)[a]"),
        ("try:\n    a\nfinally:\n    b", "try:\n    a\nexcept E:\n    b"),
    ],
)
def test_code_counts(one: str, other: str) -> None:
    assert without_docstrings(ast.parse(one)) != without_docstrings(ast.parse(other))


def test_the_same_text_for_every_python() -> None:
    """Python 3.13 leaves empty fields out of `ast.dump`; readers with it must find the committed key."""
    shown = without_docstrings(ast.parse("def f(a, b=None):\n    return f'{a!r:>{b}}'"))
    assert shown == (
        "Module(body=[FunctionDef(name='f',args=arguments(args=[arg(arg='a'),arg(arg='b')],"
        "defaults=[Constant()]),body=[Return(value=JoinedStr(values=[FormattedValue(value=Name(id='a',ctx=Load()),"
        "conversion=114,format_spec=JoinedStr(values=[Constant(value='>'),"
        "FormattedValue(value=Name(id='b',ctx=Load()),conversion=-1)]))]))])])"
    )


def test_imports_of_checkers_are_not_followed() -> None:
    code = "if TYPE_CHECKING:\n    import a\nelse:\n    import b\nif x:\n    import c"
    assert Imports.of(ast.parse(code)).imported == {"b", "c"}
