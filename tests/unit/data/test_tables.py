"""A table of images: what is read, which line is odd, and where a file is that is not where the table says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import tlhelpers as tl
from tlhelpers.data import Own

NAMES = ("a1.png", "a2.png", "b1.png", "b2.png")
TABLE = "image,label\na1.png,x\na2.png,x\nb1.png,y\nb2.png,y\n"
SIX = "image,label\na1.png,{}\na2.png,{}\nb1.png,{}\nb2.png,{}\nc1.png,y\nc2.png,y\n"
GROUPS = "image,label,who\na1.png,x,{}\na2.png,x,{}\nb1.png,y,p1\nb2.png,y,p2\n"


def draw(root: Path, *names: str) -> None:
    for number, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (3, 3), number).save(root / name, "PNG")


@pytest.fixture
def write(tmp_path: Path) -> Any:
    """Write a table and the files that lie beside it, and read it."""

    def write(
        text: str | bytes, *names: str, file: str = "list.csv", encoding: str = "utf-8", **given: Any
    ) -> Own:
        draw(tmp_path, *(names or (*NAMES, "c1.png", "c2.png")))
        (tmp_path / file).write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
        return tl.data.read(tmp_path / file, **given)

    return write


class TestForms:
    """One table in the forms that programs write."""

    @pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
    def test_separators_and_encodings(self, write: Any, separator: str, encoding: str) -> None:
        own = write(TABLE.replace(",", separator), encoding=encoding)
        assert own.images.classes == ("x", "y") and own.images.labels.tolist() == [0, 0, 1, 1]

    @pytest.mark.parametrize(
        "text",
        [
            TABLE.replace(",", ", "),
            TABLE.replace(",", " , ").replace("\n", " \n"),
            TABLE.replace("\n", "\r\n"),
            TABLE.replace("\n", "\r"),
            "sep=;\n" + TABLE.replace(",", ";"),
            '"sep=;"\n' + TABLE.replace(",", ";"),
            "sep=,\n" + TABLE,
            "\n" + TABLE.replace("\n", "\n\n"),
            TABLE.replace("\n", ",\n") + ",,\n,,\n",
            TABLE.replace("a1.png", '"a1.png"').replace(",x", ', "x"'),
            TABLE.replace("a1.png", ".\\a1.png"),
            'image;label;"note, with, more, commas"\n' + TABLE.replace(",", ";").replace("\n", ";z\n")[14:],
            "image;label;note, with, more, commas\n" + TABLE.replace(",", ";").replace("\n", ";z\n")[14:],
            ",image,label\n" + "\n".join(f"{n},{line}" for n, line in enumerate(TABLE.split("\n")[1:-1])),
        ],
    )
    def test_odd_but_clear_ones_are_read(self, write: Any, text: str) -> None:
        own = write(text)
        assert own.images.classes == ("x", "y") and tl.data.file_names(own.images) == list(NAMES)

    @pytest.mark.parametrize(
        ("content", "file", "said"),
        [
            (TABLE.replace("x", "gr\u00fcn").encode("cp1252"), "list.csv", r"line 2 is not UTF-8.*'a1\.png,grün'"),
            (TABLE.encode("utf-16-le"), "list.csv", "zero bytes: UTF-16 without its mark"),
            (b"PK\x03\x04\x00", "list.xlsx", r"it is an Excel workbook"),
            (b"\xd0\xcf\x11\xe0\x00", "list.xls", r"it is an old Excel workbook"),
            (b"PAR1\x00", "list.parquet", r"it is a Parquet file"),
            (b'[{"image": "a1.png"}]', "list.json", r"it is JSON"),
            (b"<!doctype html>", "list.csv", r"it is HTML"),
            (b"PK\x03\x04\x00", "images.zip", r"it is an archive \(\.zip\); unpack it"),
            (b"\x89PNG", "one.png", r"it is one picture; give the folder"),
            (b"", "list.csv", r"it is empty"),
            (b"\n \n", "list.csv", r"it is empty"),
            (TABLE.replace(",x", ',"x', 1).encode(), "list.csv", r"is a quotation mark left open\?"),
        ],
    )
    def test_what_is_no_table_is_told(self, write: Any, content: bytes, file: str, said: str) -> None:
        with pytest.raises(ValueError, match=rf"{file} cannot be read as a table.*{said}"):
            write(content, file=file)

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            (TABLE + "c1.png,y,z\n", r"1 line\(s\) have another number .* first line 6: 3, not 2"),
            (TABLE.replace("a2.png,x", "a2.png"), r"first line 3: 1, not 2"),
            ("\n\n" + TABLE + "\nc1.png,y,z\n", r"first line 9: 3, not 2"),
            ("image,label\n", r"holds no row below its header"),
            (TABLE[12:], r"no column 'image'; it has 'a1\.png', 'x'\. Its first line looks like data: add one"),
            (TABLE.replace("label", "Label"), r"no column 'label'; it has 'image', 'Label'\. Is 'Label' meant\?"),
            (
                TABLE.replace("label", "labels"),
                r"no column 'label'; it has 'image', 'labels'\. Is 'labels' meant\?",
            ),
            (TABLE.replace("image", "Image Id"), r"no column 'image'; .* Is 'Image Id' meant\?"),
            (TABLE.replace("\n", ",label\n"), r"has 2 columns 'label'; rename or delete all but one"),
            (TABLE.replace(",x", ", "), r"column 'label' is empty in 2 line\(s\), first 2, 3"),
            (TABLE.replace(",x", ',"x\ny"'), r"column 'label' holds a line break in line 2, 4"),
        ],
    )
    def test_the_line_or_column_is_named(self, write: Any, text: str, said: str) -> None:
        with pytest.raises(ValueError, match=rf"list\.csv.*{said}"):
            write(text)

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("image,label\n1,a1.png,x\n2,a2.png,y\n", r"each line has one cell more .*the header lacks a name"),
            ("# exported\n" + TABLE, r"the first line is no header \('# exported'\); delete it"),
        ],
    )
    def test_an_odd_header_is_told(self, write: Any, text: str, said: str) -> None:
        with pytest.raises(ValueError, match=said):
            write(text)

    def test_a_file_that_is_not_there_is_told(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match=r"list\.csv is not a file"):
            tl.data.from_csv(tmp_path / "list.csv")

    def test_a_root_that_is_not_there_is_told(self, write: Any, tmp_path: Path) -> None:
        (tmp_path / "shots").mkdir()
        with pytest.raises(ValueError, match=r"shot' is no folder, .* Is 'shots' meant\?"):
            write(TABLE, root=tmp_path / "shot")


class TestLabels:
    """One image has one label, written in one way."""

    @pytest.mark.parametrize(
        ("labels", "said"),
        [
            (("0", "0.0", "0", "0.0"), r"the labels '0' and '0\.0' differ only in how the number is written"),
            (("1", "01", "1", "01"), r"'01' and '1' differ only in how the number is written"),
            (("Cat", "cat", "Cat", "cat"), r"'Cat' and 'cat' differ only in upper and lower case"),
            (("True", "TRUE", "True", "TRUE"), r"'TRUE' and 'True' differ only in upper and lower case"),
            (("caf\u00e9", "cafe\u0301") * 2, r"'cafe\\u0301' and 'caf\\xe9' differ only in their Unicode form"),
            (("?", "x", "x", "x"), r"reads '\?' in 1 line"),
            (("nan", "x", "x", "x"), r"reads 'nan' in 1 line\(s\), first 2\. If that means that nothing is known"),
            (("x", "NA", "x", "None"), r"reads 'NA' in 2 line\(s\), first 3, 5"),
            (("M|E", "E|M", "N", "N"), r"'E\|M' and 'M\|E' hold the same labels in another order\. One image has"),
            (("M|E", "M|E", "M", "M"), r"'M\|E' seems to hold several labels"),
            (('"M, E"', '"E,M"', "N", "N"), r"hold the same labels in another order.*without ','"),
            (('"M, y"', '"M, y"', "M", "M"), r"'M, y' seems to hold several labels"),
            (("M;E", "E;M", "N", "N"), r"hold the same labels in another order"),
            (("yy", "x", "x", "x"), r"class 'yy' has 1 image; find more, or leave it out"),
            (("cats", "cat", "cat", "cat"), r"class 'cats' has 1 image; .* Is 'cat' meant\?"),
        ],
    )
    def test_what_is_a_question_is_asked(self, write: Any, labels: tuple[str, ...], said: str) -> None:
        with pytest.raises(ValueError, match=said):
            write(SIX.format(*labels))

    @pytest.mark.parametrize(
        ("labels", "classes"),
        [
            (("x", "x ", " x", "x\t"), ("x", "y")),
            (("Apple|Scab", "Apple|Scab", "Pear|Rust", "Pear|Rust"), ("Apple|Scab", "Pear|Rust", "y")),
            (('"rust, brown"', '"rust, brown"', "x", "x"), ("rust, brown", "x", "y")),
            (("none", "none", "x", "x"), ("none", "x", "y")),
            (("dog", "dog", "dogs", "dogs"), ("dog", "dogs", "y")),
        ],
    )
    def test_what_is_clear_is_read(self, write: Any, labels: tuple[str, ...], classes: tuple[str, ...]) -> None:
        assert write(SIX.format(*labels)).images.classes == classes

    @pytest.mark.parametrize("again", ["a1.png", "./a1.png", "sub/../a1.png", "link.png", "hard.png"])
    def test_an_image_on_two_rows_is_refused(self, write: Any, tmp_path: Path, again: str) -> None:
        draw(tmp_path, "a1.png", "sub/1.png")
        (tmp_path / "link.png").symlink_to(tmp_path / "a1.png")
        (tmp_path / "hard.png").hardlink_to(tmp_path / "a1.png")
        with pytest.raises(ValueError, match=r"line 2 and line 6 name one file, .*, with the labels 'x' and 'y'"):
            write(f"{TABLE}{again},y\n")
        cure = r"drop_duplicates\('image'\)" if again == "a1.png" else r"delete line\(s\) 6\."
        with pytest.raises(ValueError, match=rf"line 2 and line 6 name one file.*{cure}"):
            write(f"{TABLE}{again},x\n")


class TestMissingFiles:
    """The message says where the files are, and the cure fits."""

    @pytest.mark.parametrize(
        ("old", "new", "files", "said"),
        [
            (".png", "", NAMES, r"'a1' is there as 'a1\.png'; the ending is missing: add '\.png' in column 'im"),
            (".png", ".jpg", NAMES, r"'a1\.jpg' is there as 'a1\.png'; the ending is another one: write '\.png'"),
            ("a1", "A1", NAMES, r"1 of 4 .*'A1\.png' is there as 'a1\.png'; the spelling differs"),
            ("a1", "a 1", NAMES, r"'a 1\.png' is there as 'a1\.png'; the spelling differs"),
            ("a1", "caf\u00e9", ("cafe\u0301.png", *NAMES[1:]), r"'caf\\xe9\.png' is there as 'cafe\\u0301\.png'"),
            ("", "", tuple(f"deep/{n}" for n in NAMES), r"as 'deep/a1\.png'; give root='.*/deep'\.$"),
            (".png", "", tuple(f"d/{n}" for n in NAMES), r"as 'd/a1\.png'; the ending .*; give root='.*/d'\.$"),
            (
                ".png", "", ("p1/a1.png", "p1/a2.png", "p2/b1.png", "p2/b2.png"),
                r"'a1' is there as 'p1/a1\.png'; the ending is missing: add '\.png' .*'p1', 'p2' in front in",
            ),
            ("", "", ("p/a1.png", "q/a1.png", *NAMES[1:]), r"'a1\.png' may be 'p/a1\.png' or 'q/a1\.png' below"),
            ("a1", "https://a.org/a1", NAMES, r"'https://a\.org/a1\.png' is an address: download the files first"),
            ("\n", "\n/home/me/set/", NAMES, r"they are there without '/home/me/set/': take that away"),
            ("\n", "\nC:\\me\\", NAMES, r"they are there without 'C:/me/': take that away"),
            ("a1", "/mnt/disk/q7", NAMES, r"'/mnt/disk/q7\.png' is a path of another computer, or was moved"),
            ("a1", "imaeg_one", ("image_one.png", *NAMES[1:]), r"no file has that .* Is 'image_one\.png' meant"),
            ("a1", "zzzzzz", NAMES, r"1 of 4 .*no file of that name lies below .*: find them, or delete"),
            ("", "", ("q.txt",), r"4 of 4 .*: give the folder that their paths start from as root"),
            ("a1.png", "sub", (*NAMES, "sub/1.png"), r"'sub' is a folder: name the images in it"),
            ("a1.png", "a1.heic", ("a1.heic", *NAMES[1:]), r"of a kind that is not read here \(\.heic\), .*conv"),
            ("a1.png", "a1", ("a1", *NAMES[1:]), r"of a kind that is not read here \(no ending\)"),
        ],
    )  # fmt: skip
    def test_the_cause_is_found(self, write: Any, old: str, new: str, files: tuple[str, ...], said: str) -> None:
        head, body = TABLE[:12], "\n" + TABLE[12:-1]
        with pytest.raises(ValueError, match=said):
            write(head + (body.replace(old, new) if old else body)[1:] + "\n", *files)

    @pytest.mark.parametrize(
        ("front", "said"), [("~/", r"map\(os\.path\.expanduser\)"), ("file://", "take 'file://' away")]
    )
    def test_a_path_of_this_computer_written_otherwise(
        self, write: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, front: str, said: str
    ) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        whole = front if front == "~/" else f"{front}{tmp_path}/"
        rows = "".join(f"{whole}{name},{name[0]}\n" for name in NAMES)
        with pytest.raises(ValueError, match=said):
            write(f"image,label\n{rows}", *NAMES)

    def test_the_lines_for_pandas_take_numbers(self, write: Any, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=r"with pandas: ") as caught:
            write("image,label\n1,x\n2,x\n3,y\n4,y\n", "p/1.png", "p/2.png", "q/3.png", "q/4.png")
        lines = str(caught.value).split("with pandas: ")[1].split("; read(table")[0]
        names: dict[str, Any] = {"table": pd.read_csv(tmp_path / "list.csv"), "Path": Path}
        exec(lines, names)
        assert tl.data.read(names["table"]).images.labels.tolist() == [0, 0, 1, 1]

    def test_the_lines_for_pandas_do_what_they_say(self, write: Any, tmp_path: Path) -> None:
        text = TABLE.replace(".png", "")
        with pytest.raises(ValueError, match=r"with pandas: ") as caught:
            write(text, "p1/a1.png", "p1/a2.png", "p2/b1.png", "p2/b2.png")
        lines = str(caught.value).split("with pandas: ")[1].split("; read(table")[0]
        names: dict[str, Any] = {"table": pd.read_csv(tmp_path / "list.csv"), "Path": Path}
        exec(lines, names)
        assert tl.data.read(names["table"]).images.labels.tolist() == [0, 0, 1, 1]

    def test_an_empty_file_is_told(self, write: Any, tmp_path: Path) -> None:
        (tmp_path / "c1.png").touch()
        with pytest.raises(ValueError, match=r"1 image file\(s\) are empty .*c1\.png"):
            write(TABLE + "c1.png,y\n", *NAMES)

    @pytest.mark.parametrize("name", ["a1.gif", "a1.GIF", "a1.tiff"])
    def test_a_folder_and_a_table_read_the_same_endings(self, write: Any, tmp_path: Path, name: str) -> None:
        assert len(write(TABLE.replace("a1.png", name), name, *NAMES[1:]).images) == 4


class TestLeftOut:
    """Image files that no row names are listed."""

    def test_of_a_table(self, write: Any, tmp_path: Path) -> None:
        draw(tmp_path, "c3.png", "sub/c4.png", "@eaDir/c5.png", ".c6.png")
        (tmp_path / "notes.txt").touch()
        left_out = write(TABLE, *NAMES).left_out
        assert left_out["file"].tolist() == ["c3.png", "sub/c4.png"]
        assert set(left_out["reason"]) == {"no row names it"}


class TestGroups:
    """A column says what belongs together."""

    def test_spaces_and_unicode_forms_do_not_part_a_group(self, write: Any) -> None:
        own = write(GROUPS.format("caf\u00e9", "cafe\u0301 "), group="who")
        assert own.groups.tolist() == ["caf\u00e9", "caf\u00e9", "p1", "p2"]

    @pytest.mark.parametrize(
        ("groups", "column", "said"),
        [
            (("p0", " "), "who", r"column 'who' is empty in 1 line\(s\), first 3"),
            (("p0", "NaN"), "who", r"column 'who' reads 'NaN' in 1 line\(s\), first 3"),
            (("P1", "p3"), "who", r"the groups 'P1' and 'p1' differ only in upper and lower case"),
            (("7", "7.0"), "who", r"the groups '7' and '7\.0' differ only in how the number is written"),
            (("p1", "p1"), r"p\d", r"no column 'p\\\\d'; .*For a table, group is a column"),
            (("p1", "p1"), "Who", r"no column 'Who'; .* Is 'who' meant\?"),
            (("p1", "p1"), 3, r"group is 3; for a table give the name of a column"),
        ],
    )
    def test_what_is_no_group_is_told(self, write: Any, groups: tuple[str, str], column: Any, said: str) -> None:
        with pytest.raises(ValueError, match=said):
            write(GROUPS.format(*groups), group=column)


class TestDataFrame:
    """A DataFrame is read as a CSV is, row by row."""

    @pytest.fixture
    def frame(self, tmp_path: Path) -> pd.DataFrame:
        draw(tmp_path, *NAMES)
        return pd.DataFrame({"image": NAMES, "label": [0, 0, 1, 1], "who": [7, 7, 8, 9]})

    def test_rows_stay_together_whatever_the_index(self, frame: pd.DataFrame, tmp_path: Path) -> None:
        shuffled = frame.sample(frac=1, random_state=1)
        own = tl.data.read(shuffled, root=tmp_path, group="who")
        assert tl.data.file_names(own.images, tmp_path) == shuffled["image"].tolist()
        assert own.images.labels.tolist() == shuffled["label"].tolist() and own.images.classes == ("0", "1")
        assert own.groups is not None and own.groups.tolist() == shuffled["who"].astype(str).tolist()
        assert len(tl.data.from_csv(frame, root=tmp_path)) == 4

    def test_paths_start_from_the_current_folder(
        self, frame: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        frame["image"] = [Path(name) for name in frame["image"]]
        assert len(tl.data.read(frame).images) == 4

    @pytest.mark.parametrize("hole", [None, np.nan, pd.NA, " ", "nan"])
    def test_a_hole_is_told_by_its_row(self, frame: pd.DataFrame, tmp_path: Path, hole: object) -> None:
        frame["label"] = frame["label"].astype(object)
        frame.loc[2, "label"] = hole
        with pytest.raises(ValueError, match=r"the DataFrame: column 'label' .* in 1 row\(s\), first 2"):
            tl.data.read(frame, root=tmp_path)

    def test_a_class_that_pandas_takes_for_a_hole_is_told(self, frame: pd.DataFrame, tmp_path: Path) -> None:
        frame.assign(label=["None", "None", "x", "x"]).to_csv(tmp_path / "list.csv", index=False)
        with pytest.raises(ValueError, match=r"first 0, 1; .*keep_default_na=False"):
            tl.data.read(pd.read_csv(tmp_path / "list.csv"), root=tmp_path)

    @pytest.mark.parametrize("value", [np.zeros((2, 2)), {"path": "a1.png"}, ["a1.png"], Image.new("L", (2, 2))])
    def test_what_is_no_path_is_told(self, frame: pd.DataFrame, value: object) -> None:
        frame["image"] = pd.Series([*NAMES[:3], None], dtype=object)
        frame.at[3, "image"] = value
        with pytest.raises(ValueError, match=r"column 'image' holds a \w+ in row 3; give one text"):
            tl.data.read(frame)

    def test_what_lies_beside_its_images_is_listed(self, frame: pd.DataFrame, tmp_path: Path) -> None:
        frame["image"] = [str(tmp_path / name) for name in frame["image"]]
        draw(tmp_path, "c1.png")
        assert tl.data.read(frame).left_out["file"].tolist() == ["c1.png"]

    def test_a_table_without_rows_is_told(self, frame: pd.DataFrame) -> None:
        with pytest.raises(ValueError, match="the DataFrame holds no row"):
            tl.data.read(frame[:0])


@pytest.mark.parametrize("values", [["0", "1"], ["0.0", "1.0"]])
def test_one_column_a_class_is_told(tmp_path: Path, values: list[str]) -> None:
    off, on = values
    (tmp_path / "l.csv").write_text(f"image,MEL,NV\na.png,{on},{off}\nb.png,{off},{on}\n")
    cure = r"a column for each class, it seems: table\['label'\] = table\[\['MEL', 'NV'\]\].idxmax\(axis=1\)"
    with pytest.raises(ValueError, match=f"no column 'label'.*{cure}"):
        tl.data.read(tmp_path / "l.csv")
    with pytest.raises(ValueError, match=cure):
        tl.data.read(pd.read_csv(tmp_path / "l.csv"))


def test_a_column_in_the_index_is_told() -> None:
    frame = pd.DataFrame({"image": ["a.png", "b.png"], "label": ["x", "y"]}).set_index("image")
    with pytest.raises(ValueError, match=r"no column 'image'.*'image' is its index: give table.reset_index\(\)"):
        tl.data.read(frame)
