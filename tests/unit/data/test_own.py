"""Data of your own: clear words for what is wrong with it, and parts that share nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tlhelpers as tl
from tlhelpers.data import ImageSet

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
        images, groups = tl.data.read(table, "file", "kind", group="patient")
        assert images.classes == ("a", "b", "c") and images.labels.tolist() == [0, 1, 2, 0, 1, 2]
        assert tl.data.file_names(images) == [f"{n}.png" for n in range(6)]
        assert groups is not None and groups.tolist() == ["p0", "p0", "p1", "p1", "p2", "p2"]

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
            ("kind", "class", r"no column 'kind'; it has file, class, patient"),
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

    def test_files_that_are_passed_over_are_listed(self, tmp_path: Path) -> None:
        (tmp_path / "a" / "deep").mkdir(parents=True)
        for name in ("one.JPG", "two.HEIC", "deep/three.gif", ".hidden"):
            (tmp_path / "a" / name).touch()
        assert [f.name for f in tl.data.left_out(tmp_path)] == ["three.gif", "two.HEIC"]

    def test_groups_are_found_in_the_path(self, tmp_path: Path) -> None:
        for name in ("a/p1_l.png", "a/p2_l.png", "b/p1_r.png", "b/p3_r.png"):
            write(tmp_path / name)
        assert tl.data.read(tmp_path, group=r"p(\d)").groups.tolist() == ["1", "2", "1", "3"]  # type: ignore[union-attr]
        with pytest.raises(ValueError, match=r"found in 2 of 4 paths, not in b/p1_r.png, b/p3_r.png"):
            tl.data.read(tmp_path, group=r"p\d_l")
        with pytest.raises(ValueError, match="all 4 images into one group"):
            tl.data.read(tmp_path, group=r"png")

    def test_a_class_of_one_image_is_refused(self, tmp_path: Path) -> None:
        for name in ("a/1.png", "a/2.png", "b/1.png"):
            write(tmp_path / name)
        with pytest.raises(ValueError, match="class 'b' has 1 image"):
            tl.data.read(tmp_path)


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
