"""Data of your own: clear words for what is wrong with it, parts that share nothing, a model that comes back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import tlhelpers as tl
from tlhelpers.data import ImageSet
from tlhelpers.models import Backbone
from tools import build, notebooks

ROOT = Path(__file__).resolve().parents[2]
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


class TestBootstrap:
    def test_the_interval_holds_the_score_and_narrows_with_more_images(self) -> None:
        def width(count: int) -> float:
            rng, labels = np.random.default_rng(0), np.tile([0, 1], count // 2)
            chance = np.clip(labels * 0.3 + 0.35 + rng.normal(0, 0.2, count), 0, 1)
            found = tl.stats.bootstrap(np.stack([1 - chance, chance], 1), labels, draws=40)["accuracy"]
            assert found.low < found.mean < found.high and found.n == count
            return found.high - found.low

        assert width(400) < 0.6 * width(40)

    def test_images_that_repeat_each_other_widen_it(self) -> None:
        rng = np.random.default_rng(1)
        few = np.clip(np.tile([0.35, 0.65], 10) + rng.normal(0, 0.2, 20), 0, 1)
        chance, labels, ties = np.repeat(few, 8), np.repeat(np.tile([0, 1], 10), 8), np.repeat(np.arange(20), 8)
        both = np.stack([1 - chance, chance], 1)
        apart, tied = (tl.stats.bootstrap(both, labels, t, draws=60)["accuracy"] for t in (None, ties))
        assert tied.high - tied.low > 1.5 * (apart.high - apart.low)

    def test_every_draw_holds_every_class_though_each_stands_in_one_group(self) -> None:
        labels = np.array([0, 0, 1, 1, 2, 2])
        found = tl.stats.bootstrap(np.eye(3)[[0, 1, 1, 1, 2, 2]], labels, labels * 7, draws=5)
        assert found["accuracy"].low == found["accuracy"].mean == found["accuracy"].high == 5 / 6


class TestSaving:
    def test_the_network_comes_back_with_its_card(
        self, tmp_path: Path, tiny: Callable[[], Backbone], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        net = tiny()
        net.head.weight.data += 1
        tl.models.save(tmp_path / "out", net.to(memory_format=torch.channels_last), 8, ("a", "b"), note={"n": 3})
        asked = {}

        def fresh(name: str, num_classes: int, pretrained: bool, image_size: int) -> Backbone:
            asked.update(name=name, num_classes=num_classes, pretrained=pretrained, image_size=image_size)
            return tiny()

        monkeypatch.setattr(tl.models.backbones, "load", fresh)
        again, card = tl.models.load_saved(tmp_path / "out")
        assert asked == {"name": "tiny", "num_classes": 2, "pretrained": False, "image_size": 8}
        assert card["classes"] == ["a", "b"] and card["note"] == {"n": 3} and "Normalize" in card["transform"][-1]
        x = torch.ones(2, 3, 8, 8)
        assert not again.training and torch.allclose(again(x), net.eval()(x), atol=1e-6)

    def test_other_weights_are_refused(self, tmp_path: Path, tiny: Callable[[], Backbone]) -> None:
        tl.models.save(tmp_path, tiny(), 8, ("a", "b"))
        with (tmp_path / tl.models.WEIGHTS).open("ab") as file:
            file.write(b"x")
        with pytest.raises(ValueError, match="checksum mismatch"):
            tl.models.load_saved(tmp_path)

    def test_a_missing_file_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match=r"holds no card\.json"):
            tl.models.load_saved(tmp_path)


def run_template(settings: dict[str, object], folder: Path) -> None:
    """Execute the template with other values in its first cell, as a reader would."""
    notebook = notebooks.read_source(ROOT / "book" / "17-your-own-data.md")
    first = next(cell for cell in notebook.cells if cell.cell_type == "code")
    assert all(f"{name}" in first.source for name in settings)
    first.source += "\n" + "\n".join(f"{name} = {value!r}" for name, value in settings.items())
    notebooks.execute(notebook, folder)


@pytest.mark.slow
class TestTemplate:
    """Slow: the template runs on data that it was not written for."""

    @pytest.fixture(autouse=True)
    def settings(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in build.SETTINGS.items():
            monkeypatch.setenv(name, value)

    def test_a_folder_of_two_gray_classes_of_any_size_without_groups(self, folder: Path, tmp_path: Path) -> None:
        for number, path in enumerate(sorted(folder.rglob("*.png"))[::7]):
            with Image.open(path) as image:
                image.resize((30 + number, 90)).save(path)
        out = tmp_path / "model"
        run_template(
            {"DATA": str(folder), "GROUP": None, "EPOCHS": 2, "OUT": str(out), "FLIP": False, "IMAGE_SIZE": 64},
            tmp_path,
        )
        card = json.loads((out / "card.json").read_text())
        assert card["classes"] == ["NORMAL", "PNEUMONIA"] and card["image_size"] == 64
        assert card["test"]["auroc"][0] > 0.8, "one class is far brighter"

    def test_a_table_of_three_colored_classes_with_groups(self, tmp_path: Path) -> None:
        rows = ["photo;what;day"]
        for number in range(90):
            shape = (50 + number % 5, 60, 3)
            path = write(tmp_path / "shots" / f"{number}.jpg", shape)
            with Image.open(path) as image:
                tint = Image.new("RGB", image.size, ("red", "green", "blue")[number % 3])
                Image.blend(image, tint, 0.6).save(path)
            rows.append(f"{number}.jpg;{('rust', 'moss', 'dew')[number % 3]};day {number // 9}")
        (tmp_path / "list.csv").write_text("\n".join(rows), encoding="utf-8")
        out = tmp_path / "model"
        run_template(
            {"DATA": str(tmp_path / "list.csv"), "IMAGE_COLUMN": "photo", "LABEL_COLUMN": "what", "GROUP": "day",
             "ROOT": str(tmp_path / "shots"), "EPOCHS": 2, "OUT": str(out), "IMAGE_SIZE": 64, "SEEDS": (1, 2),
             "NEW": str(tmp_path / "shots" / "0.jpg"), "DISTANCE": "near"},
            tmp_path,
        )  # fmt: skip
        net, card = tl.models.load_saved(out)
        assert card["classes"] == ["dew", "moss", "rust"] and sum(card["data"]["groups"].values()) == 10
        assert net(torch.zeros(1, 3, 64, 64)).shape == (1, 3)
        assert card["test"]["accuracy"][0] > 0.8 and tl.profile.current().backbone == card["backbone"]
