"""Data of your own: clear words for what is wrong with it, and parts that share nothing."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import tlhelpers as tl
from tlhelpers.data import ImageSet, _own

RNG = np.random.default_rng(0)


def write(path: Path, shape: tuple[int, ...] = (20, 24)) -> Path:
    """Save an image of coarse, smooth noise, so that a thumbnail tells it from others."""
    path.parent.mkdir(parents=True, exist_ok=True)
    blocks = RNG.integers(0, 255, (5, 6, *shape[2:]), dtype=np.uint8)
    Image.fromarray(blocks).resize((shape[1], shape[0]), Image.Resampling.BICUBIC).save(path)
    return path


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Six images of three classes, listed by a CSV beside them."""
    rows = ["file,kind,patient"]
    for number in range(6):
        write(tmp_path / "shots" / f"{number}.png")
        rows.append(f"shots/{number}.png,{'abc'[number % 3]},p{number // 2}")
    (tmp_path / "list.csv").write_text("\n".join(rows), encoding="utf-8")
    return tmp_path / "list.csv"


class TestCsv:
    def test_images_labels_and_groups_come_in_the_order_of_the_rows(self, table: Path) -> None:
        images, groups, left_out = tl.data.read(table, "file", "kind", group="patient")
        assert images.classes == ("a", "b", "c") and images.labels.tolist() == [0, 1, 2, 0, 1, 2]
        assert tl.data.file_names(images) == [f"{n}.png" for n in range(6)]
        assert groups is not None and groups.tolist() == ["p0", "p0", "p1", "p1", "p2", "p2"]
        assert left_out.empty and left_out.columns.tolist() == ["file", "reason"]

    def test_semicolons_a_byte_order_mark_and_backslashes_are_read(self, table: Path) -> None:
        text = table.read_text().replace(",", ";").replace("/", "\\")
        table.write_text(text, encoding="utf-8-sig")
        assert len(tl.data.from_csv(table, "file", "kind")) == 6

    def test_numbers_are_classes_in_the_order_of_numbers(self, table: Path) -> None:
        text = table.read_text()
        for letter, number in zip("abc", ("10", "2", "1"), strict=True):
            text = text.replace(f",{letter},", f",{number},")
        table.write_text(text)
        assert tl.data.from_csv(table, "file", "kind").classes == ("1", "2", "10")

    def test_root_says_where_paths_start(self, table: Path, tmp_path: Path) -> None:
        moved = tmp_path / "elsewhere" / "list.csv"
        moved.parent.mkdir()
        table.rename(moved)
        with pytest.raises(ValueError, match=r"6 of 6 files .* missing, first .*0\.png, .*1\.png, .*2\.png; give"):
            tl.data.from_csv(moved, "file", "kind")
        assert len(tl.data.from_csv(moved, "file", "kind", root=tmp_path)) == 6

    @pytest.mark.parametrize(
        ("old", "new", "said"),
        [
            ("kind", "class", r"no column 'kind'; it has 'file', 'class', 'patient'"),
            (",b,", ",,", r"column 'kind' is empty in 2 line\(s\), first 3, 6"),
            ("shots/3.png,a", "shots/3.png,z", r"class 'a' has 1 image"),
        ],
    )
    def test_a_fault_is_named(self, table: Path, old: str, new: str, said: str) -> None:
        table.write_text(table.read_text().replace(old, new))
        with pytest.raises(ValueError, match=said):
            tl.data.from_csv(table, "file", "kind")

    def test_one_class_is_refused(self, table: Path) -> None:
        table.write_text("file,kind\nshots/0.png,a\nshots/1.png,a\n")
        with pytest.raises(ValueError, match=r"one class only, \('a',\)"):
            tl.data.from_csv(table, "file", "kind")

    def test_what_is_not_there_is_said(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match="neither a folder nor a file"):
            tl.data.read(tmp_path / "nothing")


class TestFolder:
    @pytest.mark.parametrize("content", ["image,label\nä.png,grün\n".encode("cp1252"), b"PK\x03\x04\xff\xfe\x00"])
    def test_a_table_in_another_encoding_or_of_a_spreadsheet_is_named(
        self, tmp_path: Path, content: bytes
    ) -> None:
        (tmp_path / "labels.csv").write_bytes(content)
        with pytest.raises(ValueError, match=r"labels\.csv cannot be read as a table.*save it as a CSV in UTF-8"):
            tl.data.read(tmp_path / "labels.csv")

    def test_groups_are_found_in_the_path(self, tmp_path: Path) -> None:
        for name in ("a/p1_l.png", "a/p2_l.png", "b/p1_r.png", "b/p3_r.png"):
            write(tmp_path / name)
        assert tl.data.read(tmp_path, group=r"p(\d)").groups.tolist() == ["1", "2", "1", "3"]  # type: ignore[union-attr]
        with pytest.raises(ValueError, match=r"found in 2 of 4 paths, not in b/p1_r.png, b/p3_r.png"):
            tl.data.read(tmp_path, group=r"p\d_l")
        with pytest.raises(ValueError, match="all 4 images into one group"):
            tl.data.read(tmp_path, group=r"png")

    @pytest.mark.parametrize(
        ("pattern", "said"),
        [
            (
                r"(pos)?/\d",
                r"finds nothing in its first bracket in 2 of 4 paths, first a/neg/2\.png, b/4\.png; mend",
            ),
            (r"(a)|(b)", r"finds nothing in its first bracket in 2 of 4 paths, first b/4\.png"),
            (r"x*", r"finds nothing in 4 of 4 paths"),
            (r"(a", r"group='\(a' is no regular expression \(missing \)"),
            (3, r"group=3 is no regular expression"),
            ("patient", r"found in 0 of 4 paths, .*for a folder it is a regular expression, no column"),
            (r"(?i)\d|P(?=\.)", r"the groups 'P' and 'p' differ only in upper and lower case"),
        ],
    )
    def test_a_pattern_that_gives_no_group_is_told(self, tmp_path: Path, pattern: Any, said: str) -> None:
        last = ("b/pos/p.png", "b/pos/P.png") if "P(" in str(pattern) else ("b/pos/3.png", "b/4.png")
        for name in ("a/pos/1.png", "a/neg/2.png", *last):
            write(tmp_path / name)
        with pytest.raises(ValueError, match=said):
            tl.data.read(tmp_path, group=pattern)

    def test_of_several_brackets_the_first_is_the_group(self, tmp_path: Path) -> None:
        for name in ("a/1_l.png", "a/1_r.png", "b/2_l.png", "b/2_r.png"):
            write(tmp_path / name)
        groups = tl.data.read(tmp_path, group=r"(\d)_(l|r)").groups
        assert groups is not None and groups.tolist() == ["1", "1", "2", "2"]

    def test_a_pattern_fits_a_name_in_any_unicode_form(self, tmp_path: Path) -> None:
        for name in ("a/ren\u00e91.png", "a/rene\u03012.png", "b/rene\u03011.png", "b/ren\u00e93.png"):
            write(tmp_path / name)
        groups = tl.data.read(tmp_path, group="rene\u0301[0-9]").groups
        assert groups is not None and sorted(groups) == ["ren\u00e91", "ren\u00e91", "ren\u00e92", "ren\u00e93"]

    @pytest.mark.parametrize(
        ("pattern", "parts", "said"),
        [
            (r"(.+)_\d", ("train/", "test/"), r"'test/cat/p0' and 'train/cat/p0'|'test/cat/p0' and 'test/dog/p0'"),
            (r"[^_]+", ("",), r"two groups, 'cat/p0' and 'dog/p0', .* If both are 'p0', catch that alone"),
            (r"(t\w+/\w+/p\d)", ("train/", "test/"), r"'test/cat/p0' and 'train/cat/p0'"),
        ],
    )
    def test_a_group_torn_by_folders_is_told(
        self, tmp_path: Path, pattern: str, parts: tuple[str, ...], said: str
    ) -> None:
        for part in parts:
            for name in ("cat/p0_1", "cat/p0_2", "dog/p0_1", "dog/p1_1"):
                write(tmp_path / f"{part}{name}.png")
        with pytest.raises(ValueError, match=rf"({said}).*without '/', as r'\(\[\^/_\]\+\)_\\d'"):
            tl.data.read(tmp_path, group=pattern)
        groups = tl.data.read(tmp_path, group=r"([^/_]+)_\d").groups
        assert groups is not None and set(groups) == {"p0", "p1"}

    @pytest.mark.parametrize(
        ("pattern", "expected"),
        [(r"\w+/p\d", ["a/p1", "a/p2", "b/p1", "b/p3"]), (r"(.+/x\d)", ["a/x1", "a/x2", "b/x3", "b/x4"])],
    )
    def test_a_class_folder_that_is_meant_stays(self, tmp_path: Path, pattern: str, expected: list[str]) -> None:
        for name in ("a/p1-x1", "a/p2-x2", "b/p1-x3", "b/p3-x4"):
            write(tmp_path / f"{name if 'p' in pattern else name.replace(name[2:5], '')}.png")
        groups = tl.data.read(tmp_path, group=pattern).groups
        assert groups is not None and groups.tolist() == expected

    def test_no_group_is_offered_where_a_pattern_does_not_fit(self, tmp_path: Path) -> None:
        for name in ("a/1.png", "a/2.png", "b/1.png", "b/2.png"):
            write(tmp_path / name)
        with pytest.raises(ValueError, match=r"or give no group \(None\) if nothing belongs together"):
            tl.data.read(tmp_path, group=r"\w+/strip\d")

    def test_root_is_for_tables(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=r"root='x' is for tables"):
            tl.data.read(tmp_path, root="x")

    @pytest.mark.parametrize("source", [None, 5, ["a.csv"], b"a.csv", "", " "])
    def test_what_is_no_path_is_refused(self, source: Any) -> None:
        for function in (tl.data.read, tl.data.from_csv, tl.data.from_folder):
            with pytest.raises(ValueError, match="is no path; give that of a folder or a table"):
                function(source)

    def test_a_name_that_comes_near_is_offered(self, tmp_path: Path) -> None:
        write(tmp_path / "pets" / "cat" / "1.png")
        with pytest.raises(FileNotFoundError, match=r"neither a folder nor a file, .* Is 'pets' meant\?"):
            tl.data.read(tmp_path / "pet")
        with pytest.raises(FileNotFoundError, match=r"pets' is there"):
            tl.data.read(f"'{tmp_path / 'pets'}' ")

    def test_white_is_handed_on(self, tmp_path: Path, table: Path) -> None:
        assert tl.data.read(table, "file", "kind", white=4095).images.white == 4095
        assert tl.data.from_csv(table, "file", "kind", white=4095).white == 4095
        for name in ("a/1.png", "a/2.png", "b/1.png", "b/2.png"):
            write(tmp_path / "set" / name)
        assert tl.data.read(tmp_path / "set", white=4095).images.white == 4095
        assert tl.data.from_folder(tmp_path / "set", white=4095).white == 4095

    def test_a_class_of_one_image_is_refused(self, tmp_path: Path) -> None:
        for name in ("a/1.png", "a/2.png", "b/1.png"):
            write(tmp_path / name)
        with pytest.raises(ValueError, match="class 'b' has 1 image"):
            tl.data.read(tmp_path)


class TestFileNames:
    """The path of each image below one folder."""

    def images(self, *paths: Path | str) -> ImageSet:
        return ImageSet([Path(path) for path in paths], np.zeros(len(paths), int), ("a",))

    def test_absolute_and_relative_ones_may_be_mixed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        images = self.images("a/1.png", tmp_path / "b" / "2.png")
        for root in (None, ".", tmp_path, "../" + tmp_path.name):
            assert tl.data.file_names(images, root) == ["a/1.png", "b/2.png"]

    def test_an_empty_set_has_none(self) -> None:
        assert tl.data.file_names(self.images()) == []

    def test_a_folder_that_is_not_above_is_told(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=r"1\.png does not lie below root='/nowhere'; leave root out"):
            tl.data.file_names(self.images(tmp_path / "1.png"), "/nowhere")

    def test_an_array_has_no_file(self) -> None:
        images = ImageSet([np.zeros((2, 2), np.uint8)], np.array([0]), ("a",))
        with pytest.raises(ValueError, match="image 0 is a ndarray in memory, which has no file name"):
            tl.data.file_names(images)


class TestSurvey:
    def test_sizes_grays_and_copies(self, tmp_path: Path) -> None:
        paths = [write(tmp_path / "0.png"), write(tmp_path / "1.png", (40, 50, 3)), write(tmp_path / "2.png")]
        with Image.open(paths[1]) as image:
            image.resize((75, 60)).save(tmp_path / "3.jpg", quality=90)
        Image.open(paths[0]).point(lambda v: v // 2 + 60).save(tmp_path / "4.png")
        images = ImageSet([*paths, tmp_path / "3.jpg", tmp_path / "4.png"], np.array([0, 1, 0, 1, 0]), ("a", "b"))
        facts = tl.data.survey(images)
        assert facts["copy_of"].tolist() == [0, 1, 2, 1, 0]
        assert facts["width"].tolist() == [24, 50, 24, 75, 24] and facts["gray"].tolist() == [1, 0, 1, 0, 1]

    def test_unreadable_images_are_named(self, tmp_path: Path) -> None:
        (tmp_path / "bad.png").write_bytes(b"no image")
        images = ImageSet([write(tmp_path / "a.png"), tmp_path / "bad.png"], np.array([0, 1]), ("a", "b"))
        with pytest.raises(ValueError, match=r"(?s)1 of 2 images cannot be read, first:.*bad\.png"):
            tl.data.survey(images)

    def test_groups_and_copies_tie_what_they_share(self) -> None:
        ties = tl.data.tied(np.array(["x", "x", "y", "z", "z"]), np.array([0, 1, 1, 3, 4]))
        assert ties[0] == ties[1] == ties[2] != ties[3] == ties[4]
        assert len(set(tl.data.tied(None, np.arange(4)))) == 4

    @pytest.mark.parametrize(
        "groups",
        [
            ["p0", "p1", "p0 ", "p2"],
            [1.1, 1.2, 1.1, 2.1],
            ["caf\u00e9", "b", "cafe\u0301", "c"],
            [("a", 1), ("a", 2), ("a", 1), ("b", 1)],
            (name for name in "abac"),
            pd.Series(list("abac"), index=[3, 1, 0, 2]),
        ],
    )
    def test_groups_of_any_type_are_compared_whole(self, groups: Any) -> None:
        ties = tl.data.tied(groups, pd.Series(np.arange(4), index=[2, 0, 3, 1]))
        assert ties.tolist() == [0, 1, 0, 2]

    @pytest.mark.parametrize(
        ("groups", "copies", "said"),
        [
            (["a", "b"], [0, 1, 2], "there are 2 groups for 3 rows"),
            (["a", None, "b"], [0, 1, 2], "row 1 has no group"),
            (["a", " ", "b"], [0, 1, 2], "row 1 has no group"),
            (None, [0, 1, 3], "copy_of: index 3 names no row"),
            (None, [0, -1], "copy_of: index -1 names no row"),
            (None, [0.0, 1.0], "copy_of: indices are float64"),
            (None, [True, True], "copy_of holds true and false"),
        ],
    )
    def test_what_ties_nothing_is_told(self, groups: Any, copies: Any, said: str) -> None:
        with pytest.raises(ValueError, match=said):
            tl.data.tied(groups, copies)


class TestParts:
    def test_they_share_nothing_hold_all_and_keep_the_proportions(self) -> None:
        labels = np.repeat([0, 1, 2], [80, 40, 8])
        found = tl.data.parts(labels, (0.5, 0.25, 0.25), seed=0)
        assert sorted(np.concatenate(found).tolist()) == list(range(128))
        assert [np.bincount(labels[i]).tolist() for i in found] == [[40, 20, 4], [20, 10, 2], [20, 10, 2]]

    def test_every_part_gets_the_rarest_class(self) -> None:
        for shares in ((0.9, 0.05, 0.05), (0.05, 0.05, 0.9)):
            found = tl.data.parts(np.repeat([0, 1], [50, 3]), shares, seed=1)
            assert all((np.bincount(np.repeat([0, 1], [50, 3])[i], minlength=2) > 0).all() for i in found)

    def test_the_seed_decides(self) -> None:
        labels = np.tile([0, 1], 30)
        first, again, other = (tl.data.parts(labels, (0.7, 0.3), s)[1].tolist() for s in (0, 0, 1))
        assert first == again != other

    def test_groups_stay_whole_and_shares_are_met_nearly(self) -> None:
        rng = np.random.default_rng(0)
        ties = np.repeat(np.arange(40), rng.integers(1, 9, 40))
        labels = rng.integers(0, 3, len(ties))
        found = tl.data.parts(labels, (0.5, 0.25, 0.25), 0, ties)
        groups = [set(ties[i]) for i in found]
        assert not groups[0] & groups[1] and not groups[0] & groups[2] and not groups[1] & groups[2]
        for index, share in zip(found, (0.5, 0.25, 0.25), strict=True):
            assert np.abs(np.bincount(labels[index], minlength=3) / np.bincount(labels) - share).max() < 0.08

    @pytest.mark.parametrize(("shares", "said"), [((0.5, 0.4), "add up to 1"), ((1.2, -0.2), "positive")])
    def test_bad_shares_are_refused(self, shares: tuple[float, float], said: str) -> None:
        with pytest.raises(ValueError, match=said):
            tl.data.parts(np.tile([0, 1], 5), shares, 0)

    def test_a_class_in_too_few_groups_is_refused(self) -> None:
        with pytest.raises(ValueError, match=r"class number 1, counted from 0, stands in 1 group.*2 parts need 2"):
            tl.data.parts(np.array([0, 0, 0, 1, 1]), (0.5, 0.5), 0, np.array([0, 1, 2, 3, 3]))

    @pytest.mark.parametrize(
        "ties", [[1.1, 1.2, 1.1, 1.2, 2.1, 2.2, 2.1, 2.2], ["p0", "q0", "p0 ", "q0", "p1", "q1", "p1", " q1"]]
    )
    def test_ties_of_any_type_are_compared_whole(self, ties: list[Any]) -> None:
        found = tl.data.parts([0, 1, 0, 1, 0, 1, 0, 1], (0.5, 0.5), 0, ties)
        assert sorted(tuple(rows.tolist()) for rows in found) in (
            [(0, 1, 2, 3), (4, 5, 6, 7)],
            [(0, 2, 5, 7), (1, 3, 4, 6)],
        )

    def test_what_holds_labels_and_shares_does_not_matter(self) -> None:
        labels = np.tile([0, 1], 20)
        expected = [rows.tolist() for rows in tl.data.parts(labels, (0.7, 0.3), 0)]
        for held in (labels.tolist(), torch.from_numpy(labels), pd.Series(labels, index=labels[::-1] * 3)):
            assert [rows.tolist() for rows in tl.data.parts(held, (0.7, 0.3), 0)] == expected
        for shares in (np.array([0.7, 0.3]), [0.7, 0.3], (share for share in (0.7, 0.3))):
            assert [rows.tolist() for rows in tl.data.parts(labels, shares, 0)] == expected

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"labels": ["a", "b"] * 4}, r"label of row 0 is 'a' \(str\)"),
            ({"labels": [0.0, 1.0] * 4}, "label of row 0 is 0.0"),
            ({"labels": [0, -1] * 4}, "label -1 of row 1 names no class"),
            ({"labels": []}, "labels are empty"),
            ({"shares": 0.7}, "shares is a float, one thing"),
            ({"shares": ()}, "add up to 1"),
            ({"shares": (float("nan"), 0.5)}, "add up to 1"),
            ({"shares": ("most", "rest")}, "add up to 1"),
            ({"seed": None}, "seed=None; give a whole number"),
            ({"seed": -1}, "seed=-1; give a whole number"),
            ({"ties": [1, 2, 3]}, "there are 3 ties for 8 rows"),
            ({"ties": [1, 2, 3, 4, None, 6, 7, 8]}, "row 4 has no group .* among the ties"),
            ({"ties": [0] * 8}, "stands in 1 group"),
            ({"ties": [0, 1, 0, 1, 2, 3, 4, 5], "tries": 0}, "tries=0"),
        ],
    )
    def test_what_cannot_be_parted_is_told(self, change: dict[str, Any], said: str) -> None:
        given: dict[str, Any] = {"labels": [0, 1] * 4, "shares": (0.5, 0.5), "seed": 0, "ties": None, **change}
        with pytest.raises(ValueError, match=said):
            tl.data.parts(**given)

    def test_the_class_is_named_where_names_are_known(self) -> None:
        with pytest.raises(ValueError, match=r"class number 1 \('rust'\), counted from 0, stands in 1 group"):
            tl.data.parts([0, 0, 0, 1], (0.5, 0.5), 0, classes=("dew", "rust"))

    def test_many_classes_in_groups_are_parted_in_seconds(self) -> None:
        labels, ties = np.repeat(np.arange(200), 8), np.arange(1600) // 2
        start = time.process_time()
        found = tl.data.parts(labels, (0.6, 0.2, 0.2), 0, ties)
        assert time.process_time() - start < 5
        assert [np.unique(np.bincount(labels[rows])).tolist() for rows in found] == [[4], [2], [2]]
        assert sum(len(set(ties[rows])) for rows in found) == 800

    def test_groups_that_cannot_be_parted_are_told_in_seconds(self) -> None:
        # Of three groups each two share a class, so no two of them may stand in one of two parts.
        labels = np.concatenate([[0, 1, 0, 2, 1, 2], np.repeat(np.arange(3, 200), 8)])
        ties = np.concatenate([np.repeat([0, 1, 2], 2), np.arange(3, 197 * 8 + 3)])
        start = time.process_time()
        with pytest.raises(ValueError, match=r"no order of 1579 groups gave 2 parts that all hold every"):
            tl.data.parts(labels, (0.6, 0.4), 0, ties)
        assert time.process_time() - start < 5


def test_blank_images_are_copies_only_when_they_are_of_one_gray() -> None:
    blank = [np.full((20, 30), value, np.uint8) for value in (0, 255, 0, 128, 129)]
    images = tl.data.ImageSet(blank, [0, 1, 0, 1, 0], ("dark", "light"))
    assert tl.data.survey(images)["copy_of"].tolist() == [0, 1, 0, 3, 3]


@pytest.mark.parametrize("closeness", [0, 1e-9, 1e-4])
def test_without_room_only_equal_images_are_copies(closeness: float) -> None:
    rng = np.random.default_rng(0)
    some = [rng.integers(0, 256, (20, 30, 3), np.uint8) for _ in range(40)]
    blank = [np.full((20, 30), value, np.uint8) for value in (254, 255, 255)]
    images = tl.data.ImageSet([*some, some[7], *blank], [0, 1] * 22, ("a", "b"))
    found = tl.data.survey(images, closeness=closeness)["copy_of"].tolist()
    assert found == [*range(40), 7, 41, 42, 42]


def test_the_first_of_many_copies_is_named_across_blocks() -> None:
    thumbs = np.random.default_rng(0).standard_normal((1100, 256)).astype(np.float32)
    thumbs[[600, 1099]] = thumbs[3]
    thumbs[1050] = thumbs[700] + np.float32(0.05)
    expected = np.arange(1100)
    expected[[600, 1099, 1050]] = 3, 3, 700
    assert np.array_equal(_own._first_like(thumbs, 0.07), expected)
    expected[1050] = 1050
    assert np.array_equal(_own._first_like(thumbs, 0.0), expected)


@pytest.mark.parametrize(
    ("source", "cure"),
    [
        ("pets", r"read it first: tl\.data\.read\('pets'\)\.images"),
        (["a.png", "b.png"], r"tl\.data\.ImageSet\(images, labels, classes\)"),
        (None, r"of type NoneType, not an ImageSet"),
    ],
)
def test_what_is_no_set_is_refused_with_the_way_to_one(source: Any, cure: str) -> None:
    for ask in (tl.data.survey, tl.data.file_names, lambda rows: tl.data.split(rows, 2, 2, 2, 0)):
        with pytest.raises(ValueError, match=cure):
            ask(source)


class TestTold:
    """What copies and groups tie is said when they leave too little to part."""

    @pytest.mark.parametrize(
        ("ties", "said"),
        [
            ([0] * 6, r"Groups and copies are kept together: 6 of 6 images are tied to others, up to 6 at once"),
            ([0, 0, 0, 1, 2, 3], r"3 of 6 images are tied to others, up to 3 at once"),
        ],
    )
    def test_ties_that_leave_too_little_are_told(self, ties: list[int], said: str) -> None:
        with pytest.raises(ValueError, match=said):
            tl.data.parts([0, 0, 0, 1, 1, 1], (0.5, 0.5), 0, ties)

    def test_nothing_is_said_of_ties_where_there_are_none(self) -> None:
        with pytest.raises(ValueError, match=r"2 parts need 2\. Collect more"):
            tl.data.parts([0, 1, 1], (0.5, 0.5), 0)
