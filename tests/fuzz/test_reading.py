"""Whatever lies on a disk is read as it was meant, or refused by name: found by search, not thought up.

Each check draws hundreds of odd pictures, folders, tables or texts, the same ones each time; ``pytest -m slow
tests/fuzz`` draws twenty times as many, others each time. What was found stands as a case in
the tests of its module.
"""

from __future__ import annotations

import csv
import io
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from PIL import Image

import tlhelpers as tl
from tlhelpers import _rows

CLEAR = (ValueError, FileNotFoundError)


def searched(examples: int, drawn: st.SearchStrategy[Any]) -> Callable[[Callable[[Any], None]], Any]:
    """Check so many examples in each run, and twenty times as many, others each time, in the slow one."""

    def decorate(check: Callable[[Any], None]) -> Any:
        @pytest.mark.parametrize("times", [1, pytest.param(20, marks=pytest.mark.slow)])
        def run(times: int) -> None:
            @settings(
                max_examples=examples * times,
                derandomize=times == 1,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
                phases=(Phase.explicit, Phase.generate, Phase.shrink),
            )
            @given(drawn)
            def each(example: Any) -> None:
                check(example)

            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Pillow's on damaged tags
                each()

        run.__doc__ = check.__doc__
        return run

    return decorate


# --- pictures

MODES = (
    "1",
    "L",
    "P",
    "LA",
    "PA",
    "RGB",
    "RGBA",
    "RGBX",
    "CMYK",
    "YCbCr",
    "LAB",
    "HSV",
    "I",
    "I;16",
    "I;16B",
    "F",
)
KINDS = ("png", "jpeg", "bmp", "tiff", "webp", "gif", "ppm", "tga", "jpeg2000", "pcx", "avif")


@st.composite
def pictures(draw: st.DrawFn) -> bytes:
    """A sound picture of any mode, kind, size and tag, as bytes, or one that was cut or altered."""
    mode = draw(st.sampled_from(MODES))
    size = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    rng = np.random.default_rng(draw(st.integers(0, 9)))
    top = draw(st.sampled_from([1, 255, 1023, 4095, 65535]))
    picture = Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))
    if mode.startswith("I") or mode == "F":
        values = rng.integers(0, top + 1, (size[1], size[0]))
        kind = {"I": np.int32, "F": np.float32, "I;16": np.uint16, "I;16B": ">u2"}[mode]
        picture = Image.fromarray(values.astype(kind))
    elif mode == "PA":
        picture = picture.convert("P").convert("PA")
    elif mode == "LAB":
        picture = Image.merge("LAB", picture.split())
    else:
        picture = picture.convert("L").convert(mode) if mode in ("1", "LA") else picture.convert(mode)
    out = io.BytesIO()
    options: dict[str, Any] = {}
    if draw(st.booleans()):
        exif = Image.Exif()
        exif[274] = draw(st.integers(0, 9))
        options["exif"] = exif
    try:
        picture.save(out, draw(st.sampled_from(KINDS)), **options)
    except (OSError, ValueError, TypeError, KeyError):  # this kind holds no such mode
        out = io.BytesIO()
        picture.convert("RGB").save(out, "png")
    whole = bytearray(out.getvalue())
    # Some encoders do not give as many bytes twice, so places are drawn from one range and wrapped.
    harm = draw(st.sampled_from(["none", "none", "cut", "bytes"]))
    if harm == "cut":
        return bytes(whole[: draw(st.integers(0, 2**16)) % (len(whole) + 1)])
    if harm == "bytes":
        for _ in range(draw(st.integers(1, 6))):
            whole[draw(st.integers(0, 2**16)) % len(whole)] = draw(st.integers(0, 255))
    return bytes(whole)


@searched(4000, pictures() | st.binary(max_size=200))
def test_a_file_is_a_picture_or_refused_by_name(content: bytes) -> None:
    """RGB of 8 bits comes out, or a sentence that names the file; survey says the same."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "odd picture.png"
        path.write_bytes(content)
        try:
            picture = tl.data.open_rgb(path)
        except ValueError as error:
            assert "odd picture.png" in str(error)
            return
        assert picture.mode == "RGB" and min(picture.size) > 0
        images = tl.data.ImageSet([path, path], [0, 0], ("a", "b"))
        facts = tl.data.survey(images)
        assert facts["width"].tolist() == [picture.width] * 2 and facts["copy_of"].tolist() == [0, 0]


@st.composite
def gray(draw: st.DrawFn) -> tuple[np.ndarray, int, str, str]:
    """Gray values of a camera of so many bits, the order of their bytes, and which end is white."""
    bits = draw(st.sampled_from([8, 10, 12, 14, 16]))
    rows, columns = draw(st.integers(1, 9)), draw(st.integers(2, 9))
    values = np.random.default_rng(draw(st.integers(0, 99))).integers(0, 2**bits, (rows, columns))
    values.flat[0], values.flat[-1] = 0, 2**bits - 1
    return values, bits, draw(st.sampled_from("<>")), draw(st.sampled_from(["minisblack", "miniswhite"]))


@searched(1200, gray())
def test_gray_of_any_depth_is_the_picture_that_was_meant(drawn: tuple[np.ndarray, int, str, str]) -> None:
    """One scale for the set, told or from the full range; white is white whichever end of the numbers it has."""
    values, bits, order, photometric = drawn
    top = 2**bits - 1
    expected = values / top * 255
    stored = (
        values if photometric == "minisblack" else (255 if bits == 8 else 65535 if bits == 16 else top) - values
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.tif"
        dtype = np.uint8 if bits == 8 else np.uint16
        if photometric == "miniswhite" and 8 < bits < 16:
            return  # zero is white, but which number is black?
        tifffile.imwrite(path, stored.astype(dtype), photometric=photometric, byteorder=order)
        images = tl.data.ImageSet([path], [0], ("a", "b"))
        if 8 < bits < 16:
            with pytest.raises(ValueError, match=f"{top}"):
                images[0]
            images = tl.data.ImageSet([path], [0], ("a", "b"), white=top)
        if (bits, order, photometric) == (16, ">", "miniswhite"):  # no library of ours opens it
            with pytest.raises(ValueError, match="0 is white, high byte first"):
                images[0]
            return
        found = np.asarray(images[0][0])
        assert (found == found[..., :1]).all()
        assert np.abs(found[..., 0] - expected).max() <= 1


# --- folders

NAMES = st.sampled_from(
    ["cat", "Cat", "cat ", " cat", "café", "cafe\u0301", "dog", "train", "Train", "test", "val", "unknown", ".git",
     "@eaDir", "__MACOSX", "x.png", "0", "a b", "日本", "#recycle", "Thumbs.db", "lost+found", "é"]
)  # fmt: skip
FILES = st.sampled_from(
    ["a.png", "b.PNG", "c.jpg", "d.tif", ".hidden.png", "._a.png", "notes.txt", "e.heic", "Thumbs.db", "f",
     "g.gif", "h.png.part", "i.webp", "desktop.ini", "j .png", "k.JPEG"]
)  # fmt: skip
TREES = st.lists(st.tuples(st.lists(NAMES, min_size=0, max_size=3), FILES), min_size=0, max_size=14)


def plant(tree: list[tuple[list[str], str]], root: Path) -> list[Path]:
    """Write the files that can be written; every picture is another one."""
    written = []
    for number, (folders, name) in enumerate(tree):
        path = root.joinpath(*folders, name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists():
                continue
            if path.suffix.lower() in (".png", ".jpg", ".jpeg", ".tif", ".gif", ".webp"):
                picture = Image.new("RGB", (4, 4), (number * 9, 0, 0))
                picture.save(path, Image.registered_extensions()[path.suffix.lower()])
            else:
                path.write_bytes(b"not a picture")
        except (FileExistsError, NotADirectoryError):
            continue
        written.append(path)
    return written


@searched(2200, TREES)
def test_a_folder_is_read_whole_or_refused(tree: list[tuple[list[str], str]]) -> None:
    """Each file is an image of the class whose folder it lies in, or is left out with a reason."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        written = plant(tree, root)
        try:
            images, groups, left_out = tl.data.read(root)
        except CLEAR as error:
            assert len(str(error)) > 20
            return
        assert groups is None
        taken = [Path(path).relative_to(root).as_posix() for path in images.images]
        told = left_out["file"].tolist()
        assert left_out["reason"].str.len().min() > 3 or left_out.empty
        under = [name for name in told if (root / name).is_dir()]
        accounted = Counter(taken + [name for name in told if name not in under])
        everything = {path.relative_to(root).as_posix() for path in written}
        assert set(accounted) <= everything and set(accounted.values()) <= {1}
        # A folder that is told as a whole may stand for what lies in it.
        rest = everything - set(accounted)
        assert all(any(name.startswith(f"{top}/") for top in under) for name in rest), rest
        for name, label in zip(taken, images.labels.tolist(), strict=True):
            parts = Path(name).parts
            assert images.classes[label] in {_rows.clean(part) for part in parts[:2]} | set(parts[:2])
            assert not any(part.startswith(".") for part in parts)
        seen = [_rows.clean(name).casefold() for name in images.classes]
        assert len(set(seen)) == len(seen) >= 2
        assert min(np.bincount(images.labels, minlength=len(seen))) >= 1


# --- tables

CELLS = st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1, max_size=6) | st.sampled_from(
    [
        "cat",
        "Cat",
        " cat",
        "dog",
        "0",
        "0.0",
        "1",
        "nan",
        "NA",
        "a|b",
        "b|a",
        'say "no"',
        "a;b",
        "a,b",
        "a\tb",
        "-",
    ]
)


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], list[str], list[str], dict[str, Any]]:
    """Labels, groups, texts of a table, and how it is written."""
    count = draw(st.integers(2, 9))
    few = draw(st.lists(CELLS, min_size=1, max_size=3))
    labels = draw(st.lists(st.sampled_from(few), min_size=count, max_size=count))
    groups = draw(st.lists(CELLS, min_size=count, max_size=count))
    texts = draw(st.lists(CELLS, min_size=count, max_size=count))
    how = {
        "separator": draw(st.sampled_from(",;\t")),
        "bom": draw(st.booleans()),
        "pad": draw(st.sampled_from(["", " "])),
        "quote": draw(st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL])),
        "end": draw(st.sampled_from(["\n", "\r\n"])),
    }
    return labels, groups, texts, how


def write_table(path: Path, columns: dict[str, list[str]], how: dict[str, Any]) -> None:
    """Save a table as some program would."""
    with path.open("w", encoding="utf-8-sig" if how["bom"] else "utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=how["separator"], quoting=how["quote"], lineterminator=how["end"])
        writer.writerow([how["pad"] + name for name in columns])
        writer.writerows(zip(*columns.values(), strict=True))


@searched(1500, tables())
def test_a_table_is_read_row_by_row_or_refused(
    drawn: tuple[list[str], list[str], list[str], dict[str, Any]],
) -> None:
    """The label of a row stays with its image, and rows of one group have one group."""
    labels, groups, _, how = drawn
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        names = [f"{number}.png" for number in range(len(labels))][::-1]
        for number, name in enumerate(names):
            Image.new("RGB", (4, 4), (number * 20, 0, 0)).save(root / name)
        write_table(root / "list.csv", {"image": names, "label": labels, "who": groups}, how)
        try:
            images, found, left_out = tl.data.read(root / "list.csv", group="who")
        except CLEAR as error:
            assert "list.csv" in str(error) or "group" in str(error)
            return
        assert [Path(path).name for path in images.images] == names and left_out["file"].tolist() == []
        cleaned = [_rows.clean(label) for label in labels]
        assert [images.classes[label] for label in images.labels] == cleaned
        expected = _rows.identities(groups)
        assert found is not None and (_rows.identities(found) == expected).all()


@searched(1500, tables())
def test_a_table_of_texts_is_read_row_by_row_or_refused(
    drawn: tuple[list[str], list[str], list[str], dict[str, Any]],
) -> None:
    """The label of a row stays with its text; no group stands in two parts."""
    labels, groups, texts, how = drawn
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "list.csv"
        write_table(path, {"text": texts, "label": labels, "who": groups}, how)
        try:
            read = tl.data.read_texts(path, group="who")
        except CLEAR as error:
            assert "list.csv" in str(error) or "group" in str(error)
            return
        cleaned = [_rows.clean(label) for label in labels]
        assert [_rows.clean(text) for text in read.texts] == [_rows.clean(text) for text in texts]
        assert [read.classes[label] for label in read.labels] == cleaned
        ids = _rows.identities(groups)
        try:
            splits = tl.data.split_texts(read, 1, 1, 1, seed=0)
        except ValueError:
            return
        where = {text: {ids[i] for i, other in enumerate(texts) if _rows.clean(other) == _rows.clean(text)}
                 for part in splits for text in part.texts}  # fmt: skip
        used = [set().union(*(where[text] for text in part.texts)) for part in splits]
        assert all(len(groups_of) >= 1 for groups_of in used)


# --- what a reader hands over

GROUPS = st.one_of(
    st.integers(-3, 3),
    st.floats(-2, 2, allow_nan=False).map(lambda x: round(x, 1)),
    st.sampled_from(["p0", "p0 ", "p1", "é", "e\u0301", "P0"]),
    st.booleans(),
    st.dates(date(2026, 1, 1), date(2026, 1, 9)),
    st.tuples(st.integers(0, 1), st.sampled_from(["l", "r"])),
)
HOLDERS = (list, tuple, iter, pd.Series, lambda values: pd.Series(values, index=range(len(values))[::-1]))


@st.composite
def sets(draw: st.DrawFn) -> tuple[list[Any], list[int], Any, int]:
    """Groups of one type or of several, labels, what holds them, and a seed."""
    count = draw(st.integers(6, 40))
    kind = draw(st.sampled_from([GROUPS, st.integers(0, 5), st.sampled_from([1.1, 1.2, 2.1, 2.2, 3.1])]))
    groups = draw(st.lists(kind, min_size=count, max_size=count))
    labels = draw(st.lists(st.integers(0, 1), min_size=count, max_size=count))
    return groups, labels, draw(st.sampled_from(HOLDERS)), draw(st.integers(0, 5))


@searched(1400, sets())
def test_no_group_stands_in_two_parts(drawn: tuple[list[Any], list[int], Any, int]) -> None:
    """Whatever groups are and whatever holds them: parts share none, for images and for texts."""
    groups, labels, holder, seed = drawn
    clean = [_rows.clean(group) if isinstance(group, str) else group for group in groups]
    if any(isinstance(group, str) for group in groups) and any(not isinstance(group, str) for group in groups):
        clean = [str(int(group)) if isinstance(group, (bool, int)) else str(group) for group in clean]
    try:
        ties = tl.data.tied(holder(groups), np.arange(len(groups)))
        parts = tl.data.parts(holder(labels), (0.6, 0.2, 0.2), seed, ties)
    except ValueError as error:
        assert len(str(error)) > 20
    else:
        assert sorted(np.concatenate(parts).tolist()) == list(range(len(groups)))
        held = [{clean[i] for i in part} for part in parts]
        assert not (held[0] & held[1] or held[0] & held[2] or held[1] & held[2])
    texts = [f"sentence {number}" for number in range(len(groups))]
    try:
        splits = tl.data.split_texts(tl.data.TextSet(holder(texts), holder(labels), holder(groups)), 3, 1, 1, seed)
    except ValueError as error:
        assert len(str(error)) > 20
        return
    held = [{clean[texts.index(text)] for text in part.texts} for part in splits]
    assert not (held[0] & held[1] or held[0] & held[2] or held[1] & held[2])
    for part in splits:
        assert [labels[texts.index(text)] for text in part.texts] == part.labels.tolist()
