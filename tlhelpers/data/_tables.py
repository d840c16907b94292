"""Tables: what a CSV lists, which line is odd, and where a file is that is not where the table says."""

from __future__ import annotations

import csv
import io
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple
from urllib.parse import unquote

import numpy as np
import pandas as pd
from PIL import Image
from tqdm import tqdm

from tlhelpers._rows import clean, is_missing
from tlhelpers.data._folders import PICTURES, as_path, check_filled, ending, left_out, near_path, twice, walk
from tlhelpers.data._images import SUFFIXES, ImageSet
from tlhelpers.data._names import MISSING, check_classes, check_spelling, in_classes, near, spelling

KINDS = (  # how files begin that are no tables in text
    (b"PK\x03\x04", "an Excel workbook (.xlsx) or another zip archive"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook (.xls)"),
    (b"PAR1", "a Parquet file"),
    (b"ARROW1", "a Feather file"),
    (b"\x89HDF", "an HDF5 file"),
    (b"SQLite format 3", "a database"),
    (b"\x1f\x8b", "compressed (.gz)"),
    (b"%PDF", "a PDF"),
    (b"{", "JSON"),
    (b"[", "JSON"),
    (b"<", "HTML or XML"),
)
ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://", re.I)


class Table(NamedTuple):
    """Cells of the wanted columns as text without spaces around it.

    Attributes:
        name: of the file, for messages.
        columns: every name in the header, cleaned.
        cells: one list a column.
        lines: where each row stands, counted as an editor does; for a DataFrame the number of the row from 0.
        unit: what ``lines`` counts: ``line`` or ``row``.
        separator: what stands between the cells of the file; nothing for a DataFrame.
        hint: where a column may be that is not there, for messages.
    """

    name: str
    columns: list[str]
    cells: list[list[str]]
    lines: Sequence[int]
    unit: str
    separator: str = ""
    hint: str = ""

    def column(self, name: str, note: str = "", *, free: bool = False) -> list[str]:
        """Return the cells of one column.

        Args:
            note: added to the message when there is no such column.
            free: whether the cells are texts, which may run over lines, and of which some say ``?`` or ``None``.

        Raises:
            ValueError: when there is no such column, or two; when cells are empty or say that they are.
        """
        name = clean(str(name))
        count = self.columns.count(name)
        if not count:
            raise ValueError(
                f"{self.name} has no column {name!r}; it has {', '.join(map(repr, self.columns))}."
                f"{near(name, self.columns)}{note}{self._headless()}{self.hint}"
            )
        if count > 1:
            raise ValueError(f"{self.name} has {count} columns {name!r}; rename or delete all but one.")
        cells = self.cells[self.columns.index(name)]
        empty = [row for row, cell in enumerate(cells) if not cell]
        if empty:
            frame = (
                ""
                if self.separator
                else " Where the file says None or NA, and means it, read it with pd.read_csv(..., "
                "keep_default_na=False)."
            )
            raise ValueError(
                f"{self.name}: column {name!r} is empty in {len(empty)} {self.unit}(s), first "
                f"{self.where(empty)}; fill it in, or delete what has none.{frame}"
            )
        missing = {name for name in MISSING if not free or spelling(name).strip("-<>") in ("nan", "na", "nat")}
        absent = [row for row, cell in enumerate(cells) if cell in missing]
        if absent:
            raise ValueError(
                f"{self.name}: column {name!r} reads {cells[absent[0]]!r} in {len(absent)} {self.unit}(s), first "
                f"{self.where(absent)}. If that means that nothing is known, delete them; if it is a name, write "
                "another one, such as 'no finding'."
            )
        broken = [row for row, cell in enumerate(cells) if "\n" in cell and not free]
        if broken:
            raise ValueError(
                f"{self.name}: column {name!r} holds a line break in {self.unit} {self.where(broken)}; is a "
                "quotation mark left open?"
            )
        return cells

    def where(self, rows: Sequence[int]) -> str:
        """Return where the first three of these rows stand."""
        return ", ".join(str(self.lines[row]) for row in rows[:3])

    def _headless(self) -> str:
        if any(ending(name) in SUFFIXES or ADDRESS.match(name) for name in self.columns):
            return " Its first line looks like data: add one above it that names the columns, as image,label."
        return ""


def from_csv(
    path: str | Path | pd.DataFrame,
    image_column: str = "image",
    label_column: str = "label",
    root: str | Path | None = None,
    *,
    white: int | None = None,
) -> ImageSet:
    """Return the images that a CSV or a DataFrame lists, in its order.

    Comma, semicolon, tab and bar are told apart by the header; the text is UTF-8, or UTF-16 with its mark. Spaces
    around cells are cut off. A file needs one of the endings that :func:`from_folder` reads.

    Args:
        root: what relative paths start from; the folder of the CSV when ``None``, for a DataFrame the current one.
        white: the gray value that is white; see :class:`ImageSet`.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it is no table, a line has too many cells or too few, a column is unknown, or a cell is
            empty; when files are missing (it says where they were found), empty, of a kind that is not read, or
            named twice; when two labels differ only in their writing, one cell holds several labels, or there are
            fewer than two classes or two images of one.
    """
    table = open_table(path, [image_column, label_column])
    return read_table(table, image_column, label_column, starting_folder(path, root), white)


def starting_folder(source: str | Path | pd.DataFrame, root: str | Path | None) -> Path:
    """Return the folder that relative paths in a table start from.

    Raises:
        ValueError: when ``root`` is no folder.
    """
    if root is None:
        return Path() if isinstance(source, pd.DataFrame) else as_path(source).parent
    if not as_path(root).is_dir():
        raise ValueError(
            f"root={str(root)!r} is no folder, seen from {Path.cwd()}; give the one that paths start from."
            f"{near_path(as_path(root))}"
        )
    return as_path(root)


def read_table(
    table: Table, image_column: str, label_column: str, root: Path, white: int | None = None
) -> ImageSet:
    """Return the images of an open table, as :func:`from_csv` says."""
    names = [name.replace("\\", "/") for name in table.column(image_column)]  # as Windows separates folders
    labels = table.column(label_column)
    paths = [root / name for name in names]
    facts = [_facts(path) for path in tqdm(paths, desc="files", leave=False, delay=2)]
    missing = [row for row, fact in enumerate(facts) if fact is None]
    if missing:
        raise ValueError(
            f"{len(missing)} of {len(paths)} files that {table.name} lists are missing, first "
            f"{', '.join(str(paths[row]) for row in missing[:3])}; "
            f"{_cure([names[row] for row in missing], root, len(missing) == len(paths), image_column)}"
        )
    others = {ending(path) or "no ending": path for path in reversed(paths) if ending(path) not in SUFFIXES}
    if others:
        raise ValueError(
            f"{table.name} lists files of a kind that is not read here ({', '.join(sorted(others))}), as "
            f"{next(iter(others.values()))}; convert them to .png or .jpg, and change the paths. What is read: "
            f"{', '.join(SUFFIXES)}."
        )
    check_filled([path for path, fact in zip(paths, facts, strict=True) if fact and not fact.st_size])
    _check_once(table, paths, labels, facts, image_column)
    check_spelling(labels, "labels", f"{table.name}, column {label_column!r}")
    check_single(labels, f"{table.name}, column {label_column!r}")
    numbers, classes = in_classes(labels)
    images = ImageSet(paths, numbers, classes, white=white)
    check_classes(images, table.name)
    return images


def _facts(path: Path) -> os.stat_result | None:
    try:
        return path.stat() if path.is_file() else None
    except (OSError, ValueError):  # a name too long, or with a zero byte
        return None


def _check_once(
    table: Table, paths: Sequence[Path], labels: Sequence[str], facts: Sequence[os.stat_result | None], column: str
) -> None:
    """Do nothing when each file stands on one row."""
    again = twice(paths, facts)
    written = table.column(column)
    for other, row in sorted(again, key=lambda pair: labels[pair[0]] == labels[pair[1]]):
        said = (
            f"{table.name}: {table.unit} {table.lines[other]} and {table.unit} {table.lines[row]} name one file, "
        )
        if labels[other] != labels[row]:
            raise ValueError(
                f"{said}{paths[row]}, with the labels {labels[other]!r} and {labels[row]!r}; an image has one "
                "label here: delete the wrong one."
            )
        cure = (
            f"keep the first, as table.drop_duplicates({column!r}) does."
            if all(written[one] == written[two] for one, two in again)
            else f"delete {table.unit}(s) {table.where(sorted({two for _, two in again}))}"
            f"{' ...' if len(again) > 3 else ''}."
        )
        raise ValueError(
            f"{said}{paths[row]} ({len(again)} row(s) too many in all); an image stands on one row here: {cure}"
        )


def check_single(labels: Sequence[str], where: str) -> None:
    """Do nothing when no cell seems to hold several labels."""
    names = sorted(set(labels))
    for sign in "|;,":
        several = {name: pieces for name in names if len(pieces := _pieces(name, sign)) > 1}
        alone = {spelling(name) for name in names if name not in several}
        every = Counter(piece for pieces in several.values() for piece in set(pieces))
        written: dict[tuple[str, ...], str] = {}
        faults: list[str] = []
        for name, pieces in several.items():
            other = written.setdefault(tuple(sorted(pieces)), name)
            # A bar seldom belongs to a name, a comma may.
            known = any if sign == "|" else all
            if other != name:
                faults.insert(0, f"{other!r} and {name!r} hold the same labels in another order")
            elif known(piece in alone or (sign == "|" and every[piece] > 1) for piece in pieces):
                faults.append(f"{name!r} seems to hold several labels")
        if faults:
            raise ValueError(
                f"{where}: {faults[0]}. One image has one label here: choose one for each image, or leave such "
                f"rows out; if it is one name, write it without {sign!r}."
            )


def _pieces(name: str, sign: str) -> list[str]:
    return [spelling(piece.strip(" '\"")) for piece in name.strip("[](){}").split(sign) if piece.strip(" '\"")]


def unnamed(images: ImageSet, root: Path) -> pd.DataFrame:
    """Return the image files below ``root`` that no row of the table names: ``file`` and ``reason``."""
    named = {os.path.abspath(str(path)) for path in images.images}
    numbers = {(fact.st_dev, fact.st_ino) for path in named if (fact := os.stat(path)).st_ino}
    found = tqdm(walk(root), desc="other files", leave=False, delay=2)
    rest = (item for item in found if not item.reason and os.path.abspath(item.path) not in named)
    other = [item.path for item in rest if item.facts and (item.facts.st_dev, item.facts.st_ino) not in numbers]
    return left_out(root, dict.fromkeys(other, "no row names it"))


def open_table(source: str | Path | pd.DataFrame, wanted: Sequence[str]) -> Table:
    """Return the wanted columns of a CSV or a DataFrame.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it is no table in text, holds no row, or a line has too many cells or too few.
    """
    if isinstance(source, pd.DataFrame):
        columns = [clean(str(name)) for name in source.columns]
        keep = {clean(str(name)) for name in wanted}
        cells = [
            [_cell(value, name, row) for row, value in enumerate(source.iloc[:, at] if name in keep else [])]
            for at, name in enumerate(columns)
        ]
        in_index = [name for name in source.index.names if name is not None and clean(str(name)) in keep]
        hint = f" {in_index[0]!r} is its index: give table.reset_index()." if in_index else ""
        hint = hint or _one_hot(columns, [source.iloc[:100, at].astype(str) for at in range(len(columns))])
        table = Table("the DataFrame", columns, cells, range(len(source)), "row", hint=hint)
    else:
        table = _read_csv(as_path(source), wanted)
        table = table._replace(hint=_one_hot(table.columns, [cells[:100] for cells in table.cells]))
    if not len(table.lines):
        raise ValueError(f"{table.name} holds no row below its header.")
    _check_header_once(table)
    return table


def _one_hot(columns: Sequence[str], cells: Sequence[Iterable[str]]) -> str:
    """Return how to make a column of labels from one column a class, where the table seems to have such."""
    numbers = {"0": 0, "0.0": 0, "False": 0, "1": 1, "1.0": 1, "True": 1}
    kept = {name: [numbers.get(cell, -1) for cell in column] for name, column in zip(columns, cells, strict=True)}
    hot = {name: column for name, column in kept.items() if column and min(column) >= 0}
    if len(hot) < 2 or any(sum(row) != 1 for row in zip(*hot.values(), strict=True)):
        return ""
    names = list(hot)[:8]
    return (
        f" There is a column for each class, it seems: table['label'] = table[{names}].idxmax(axis=1) makes one, "
        "with table = pd.read_csv(...)."
    )


def _check_header_once(table: Table) -> None:
    """Do nothing when no row repeats the names of the columns, as where files were joined."""
    filled = [
        (clean(name).casefold(), cells) for name, cells in zip(table.columns, table.cells, strict=True) if cells
    ]
    names = sorted(name for name, _ in filled)
    known, lists = set(names), [cells for _, cells in filled]
    again = [
        row
        for row in range(len(table.lines))
        if len(lists) > 1
        and lists[0][row].casefold() in known
        and sorted(clean(cells[row]).casefold() for cells in lists) == names
    ]
    if again:
        raise ValueError(
            f"{table.name}: the header stands again on {len(again)} {table.unit}(s), first {table.where(again)}, "
            "as where tables were joined; delete it there."
        )


def _cell(value: object, column: str, row: int) -> str:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "backslashreplace")
    if isinstance(value, (np.ndarray, list, tuple, dict, set, Image.Image)):
        raise ValueError(
            f"the DataFrame: column {column!r} holds a {type(value).__name__} in row {row}; give one text or "
            "number a row, and images as paths of their files."
        )
    return "" if is_missing(value) else str(value).strip()


def _read_csv(path: Path, wanted: Sequence[str]) -> Table:
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not a file, seen from {Path.cwd()}.")
    text = _text(path)
    lines = io.StringIO(text, newline=None).read().split("\n")
    marked = re.fullmatch(r"\"?sep=(.)\"?\s*[,;]*\s*", lines[0], re.I)  # Excel's own first line
    skipped = next((at for at, line in enumerate(lines) if line.strip() and not (marked and at == 0)), None)
    if skipped is None:
        raise ValueError(f"{path.name} cannot be read as a table (it is empty); save it as a CSV in UTF-8.")
    body = lines[skipped:]
    separator = marked[1] if marked else max(",;\t|", key=lambda sign: _fit(body, sign, wanted))
    try:
        header, rows, numbers = _rows(body, separator)
    except csv.Error as error:
        found = _literally(body) if separator == "\t" else None
        if found is None:
            line, reason = error.args
            raise ValueError(
                f"{path.name} cannot be read as a table (line {line + skipped}: {reason}; is a quotation mark "
                "left open?); double the marks that belong to a text, and put it between quotation marks, or save "
                "it as a CSV in UTF-8."
            ) from error
        header, rows, numbers = found
    numbers = [number + skipped for number in numbers]
    ragged = [at for at, row in enumerate(rows) if len(row) != len(header)]
    if ragged:
        at = ragged[0]
        if header[0].startswith("#"):
            raise ValueError(
                f"{path.name}: the first line is no header ({body[0][:50]!r}); delete it, so that the names of "
                "the columns come first."
            )
        numbered = len({row[0] for row in rows}) == len(rows) and all(row[0].isdecimal() for row in rows)
        if numbered and all(len(row) == len(header) + 1 for row in rows):
            raise ValueError(
                f"{path.name}: each line has one cell more than the header ({len(header) + 1}, not "
                f"{len(header)}); the header lacks a name for its first column: write one in front, as row."
            )
        raise ValueError(
            f"{path.name}: {len(ragged)} line(s) have another number of cells than the header, first line "
            f"{numbers[at]}: {len(rows[at])}, not {len(header)}. Put a cell that holds {separator!r} in quotation "
            "marks, or mend the line."
        )
    cells = [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in header]
    return Table(path.name, header, cells, numbers, "line", separator)


def _text(path: Path) -> str:
    raw = path.read_bytes()
    said = f"{path.name} cannot be read as a table"
    kind = next((kind for start, kind in KINDS if raw.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(start)), None)
    if ending(path) in SUFFIXES or ending(path) in PICTURES:
        raise ValueError(f"{said}: it is one picture; give the folder that holds the class folders, or a table.")
    if ending(path) in (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar", ".bz2", ".xz"):
        raise ValueError(
            f"{said}: it is an archive ({ending(path)}); unpack it, and give the folder or the table."
        )
    if kind:
        raise ValueError(f"{said}: it is {kind}; save it as a CSV in UTF-8, or give a DataFrame.")
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        encoding = "utf-32" if raw.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")) else "utf-16"
    else:
        encoding = "utf-8-sig"
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        seen = raw.splitlines()[line - 1][:40].decode("cp1252", "replace")
        raise ValueError(
            f"{said} (line {line} is not UTF-8; as Windows' cp1252 it would read {seen!r}); save it as a CSV in "
            "UTF-8."
        ) from error
    if "\0" in text:
        raise ValueError(f"{said} (it holds zero bytes: UTF-16 without its mark?); save it as a CSV in UTF-8.")
    return text


def _fit(lines: Sequence[str], separator: str, wanted: Sequence[str]) -> tuple[int, int, int]:
    """Return how well a separator fits: wanted columns found, whether the first lines agree, columns."""
    agree, header = 0, list[str]()
    try:
        header, _, _ = _rows(lines[:1], separator)
        _, rows, _ = _rows(lines[:20], separator)
        agree = int(len(header) > 1 and all(len(row) == len(header) for row in rows))
    except csv.Error:  # some quotation mark opens or closes where this separator does not stand
        pass
    return sum(clean(str(name)) in header for name in wanted), agree, len(header)


def _rows(
    lines: Sequence[str], separator: str, quoting: Literal[0, 3] = csv.QUOTE_MINIMAL
) -> tuple[list[str], list[list[str]], list[int]]:
    """Return header, rows and the line that each row begins on.

    Raises:
        csv.Error: of the line and the reason, when a quotation mark stands where none may.
    """
    rows, numbers, last = [], [], 0
    limit = csv.field_size_limit(2**31 - 1)  # the most that Windows takes
    try:
        reader = csv.reader(
            (f"{line}\n" for line in lines),
            delimiter=separator,
            skipinitialspace=True,
            strict=True,
            quoting=quoting,
        )
        header = [clean(name.replace("\ufeff", "")) for name in next(reader)]
        last = reader.line_num
        for row in reader:
            cells = [cell.strip() for cell in row]
            while len(cells) > len(header) and not cells[-1]:
                cells.pop()
            if any(cells):  # a spreadsheet leaves lines of separators at the end
                rows.append(cells)
                numbers.append(last + 1)
            last = reader.line_num
    except csv.Error as error:
        raise csv.Error(last + 1, str(error)) from error
    finally:
        csv.field_size_limit(limit)
    return header, rows, numbers


def _literally(lines: Sequence[str]) -> tuple[list[str], list[list[str]], list[int]] | None:
    """Return what :func:`_rows` does of a table with tabs in which quotation marks are letters as all others.

    ``None`` when a row does not fit then, or when a column is quoted, so that the marks are no letters.
    """
    header, rows, numbers = _rows(lines, "\t", csv.QUOTE_NONE)
    if any('"' in name for name in header) or any(len(row) != len(header) for row in rows):
        return None
    for column in zip(*rows, strict=True):
        wrapped = [cell for cell in column if len(cell) > 1 and cell.startswith('"') and cell.endswith('"')]
        if 2 * len(wrapped) > len(column) or any('""' in cell[1:-1] for cell in wrapped):
            return None
    return header, rows, numbers


def _cure(names: Sequence[str], root: Path, every: bool, column: str) -> str:
    """Say where files are that are not where the table says, and what to change."""
    addresses = [name for name in names if ADDRESS.match(name)]
    if addresses:
        local = [unquote(name[7:]) for name in addresses if name.lower().startswith("file:///")]
        if local and all(_facts(Path(name)) for name in local):
            return f"{addresses[0]!r} is a file of this computer: take 'file://' away from column {column!r}."
        return f"{addresses[0]!r} is an address: download the files first, and give their paths."
    if (root / names[0]).is_dir():
        return f"{names[0]!r} is a folder: name the images in it, one a row."
    if all(name.startswith("~") and _facts(Path(os.path.expanduser(name))) for name in names):
        return (
            f"{names[0]!r} is there once '~' is written out: table[{column!r}] = "
            f"table[{column!r}].map(os.path.expanduser) with pandas."
        )
    sample = names[:3] if every else names
    for parent in root.absolute().parents:
        if all(_facts(parent / name) for name in sample):
            return f"give root={str(parent)!r}, where they are."
    for cut in range(1, len(PurePosixPath(names[0]).parts)):
        head = names[0][: -len("/".join(PurePosixPath(names[0]).parts[cut:]))]
        if all(name.startswith(head) and _facts(root / name[len(head) :]) for name in sample):
            return f"they are there without {head!r}: take that away from the start of column {column!r}."
    hits, known = _look(names, root)
    if hits:
        return _told(hits, names, every, root, column)
    if close := near(PurePosixPath(names[0]).name, known):
        return f"no file has that name.{close}"
    if re.match(r"/|[a-z]:/|~", names[0], re.I):
        return (
            f"{names[0]!r} is a path of another computer, or was moved: write the paths below a folder, and give "
            "that as root."
        )
    tail = "give the folder that their paths start from as root." if every else "find them, or delete their rows."
    return f"no file of that name lies below {root.absolute()}: {tail}"


def _look(names: Sequence[str], root: Path) -> tuple[dict[str, list[PurePosixPath]], set[str]]:
    """Return files below ``root`` that may be meant, by the name in the table; and the names of all files."""
    exact, loose, known = defaultdict(set), defaultdict(set), set()
    for item in tqdm(walk(root), desc="searching files", leave=False, delay=2):
        if item.facts is None or item.reason.startswith(("hidden", "system", "in ")):
            continue
        path = PurePosixPath(item.path.relative_to(root).as_posix())
        known.add(path.name)
        for key in {path.name, _stem(path.name)}:
            exact[key].add(path)
            loose[_loosely(key)].add(path)
    hits = {}
    for name in names:
        last = PurePosixPath(name).name
        keys = last, _stem(last)
        found = next((paths for key in keys if (paths := exact.get(key))), None)
        found = found or next((paths for key in keys if (paths := loose.get(_loosely(key)))), None)
        if found:
            hits[name] = sorted(found)
    return hits, known


def _loosely(name: str) -> str:
    return spelling(name).replace(" ", "")


def _stem(name: str) -> str:
    # An identity such as v1.2 has no ending.
    return PurePosixPath(name).stem if ending(name) in {*SUFFIXES, *PICTURES} else name


def _told(hits: dict[str, list[PurePosixPath]], names: Sequence[str], every: bool, root: Path, column: str) -> str:
    """Say in what way the files that were found differ from what the table says, and what to change."""
    for written, paths in hits.items():
        if len(paths) > 1:
            return (
                f"{written!r} may be {' or '.join(ascii(str(path)) for path in paths[:3])} below "
                f"{root.absolute()}: write which one is meant into column {column!r}."
            )
    pairs = [(PurePosixPath(name), paths[0]) for name, paths in hits.items()]
    name, path = pairs[0]
    cures = []
    endings = ", ".join(sorted({repr(path.suffix) for _, path in pairs}))
    if all(path.name == name.name + path.suffix for name, path in pairs):
        cures.append(f"the ending is missing: add {endings} in column {column!r}")
    elif all(_stem(path.name) == _stem(name.name) for name, path in pairs) and name.name != path.name:
        cures.append(f"the ending is another one: write {endings} into column {column!r}")
    elif any(path.name != name.name for name, path in pairs):
        cures.append(f"the spelling differs: write it in column {column!r} as the files have it")
    folders = sorted({str(path.parent) for name, path in pairs if path.parent != name.parent})
    bare = all(str(name.parent) == "." and str(path.parent) == folders[0] for name, path in pairs if folders)
    if every and folders and bare:
        cures.append(f"give root={str(root.absolute() / folders[0])!r}")
    elif folders:
        named = ", ".join(map(repr, folders[:4])) + (" ..." if len(folders) > 4 else "")
        cures.append(f"the folder is missing or another one: write {named} in front in column {column!r}")
        if every and all(str(name.parent) == "." for name, _ in pairs):
            key = "stem" if name.suffix != path.suffix else "name"
            cures.append(
                f"with pandas: files = {{p.{key}: str(p) for p in Path({str(root.absolute())!r})"
                f".rglob('*{path.suffix}')}}; table[{column!r}] = "
                f"table[{column!r}].astype(str).map(files); read(table, ...)"
            )
            if any(re.match(r"0\d", name.name) for name, _ in pairs):
                cures.append("read the table with dtype=str then, or pandas drops the zeros in front")
    some = "" if len(hits) == len(set(names)) else f"{len(hits)} of them are there: "
    return f"{some}{str(name)!a} is there as {str(path)!a}; {'; '.join(cures)}."
