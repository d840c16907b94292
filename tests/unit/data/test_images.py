"""Images come as RGB with whole-number labels, and parts of a set are what they are said to be."""

from __future__ import annotations

import io
import re
import shutil
import sys
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.data import RandomSampler, SequentialSampler
from torchvision.models import ResNet18_Weights
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

import tlhelpers as tl
from tlhelpers.data import ImageSet

HOLDERS: dict[str, Callable[[list[Any]], Any]] = {
    "list": list,
    "tuple": tuple,
    "array": np.array,
    "generator": lambda values: (value for value in values),
    "shuffled index": lambda values: pd.Series(values, index=np.random.default_rng(1).permutation(len(values))),
    "index with holes": lambda values: pd.Series(values, index=[5, 9, 0, 2, 1, 44]),
    "names as index": lambda values: pd.Series(values, index=list("zyxwvu")),
}
Make = Callable[..., ImageSet]
Numbers = Callable[[ImageSet], list[int]]


def gray(count: int) -> list[np.ndarray]:
    return [np.zeros((4, 4), np.uint8)] * count


def tensor(image: Image.Image) -> torch.Tensor:
    return F.to_dtype(F.to_image(image), torch.float32)


class TestImageSet:
    def test_an_item_is_an_rgb_image_and_its_label(self, numbered: Make) -> None:
        images = numbered([0, 1, 1])
        image, label = images[2]
        assert image.mode == "RGB" and image.getpixel((0, 0)) == (2, 2, 2)
        assert label == 1 and type(label) is int
        assert len(images) == 3

    def test_labels_become_int64(self) -> None:
        images = ImageSet(gray(2), np.array([0, 1], dtype=np.uint8), ("a", "b"))
        assert images.labels.dtype == np.int64 and images.labels.tolist() == [0, 1]

    def test_a_list_of_labels_will_do(self) -> None:
        assert ImageSet(gray(2), [1, 0], ("a", "b")).labels.tolist() == [1, 0]

    def test_take_gives_the_images_in_the_order_asked_for(self, numbered: Make, numbers: Numbers) -> None:
        taken = numbered([0, 1, 2, 0], "abc").take([3, 1, 1])
        assert numbers(taken) == [3, 1, 1]
        assert taken.labels.tolist() == [0, 1, 1]
        assert taken.classes == ("a", "b", "c")

    def test_take_may_leave_nothing(self, numbered: Make) -> None:
        assert len(numbered([0, 1]).take([])) == 0

    def test_images_may_be_paths(self, tmp_path: Path) -> None:
        Image.new("L", (3, 2), 7).save(tmp_path / "one.png")
        image, _ = ImageSet([tmp_path / "one.png"], np.array([0]), ("a", "b"))[0]
        assert image.size == (3, 2) and image.getpixel((0, 0)) == (7, 7, 7)

    @pytest.mark.parametrize(
        ("labels", "message"),
        [
            (
                np.zeros((2, 1), dtype=int),
                "the label of row 0 is array([0]) (ndarray); labels are one number a row",
            ),
            ([0], "labels have shape (1,), but there are 2 images; give one label each."),
            ([0, 1, 0], "labels have shape (3,), but there are 2 images; give one label each."),
            (0, "labels is a int, one thing; give a list."),
        ],
    )
    def test_labels_of_the_wrong_shape_are_refused(self, labels: Any, message: str) -> None:
        with pytest.raises(ValueError, match=re.escape(message)):
            ImageSet(gray(2), labels, ("a", "b"))

    @pytest.mark.parametrize(
        ("kind", "cure"),
        [
            ("float64", r"is 0\.0 \(float\).*astype\(int\)"),
            ("float32", r"is 0\.0 \(float\).*astype\(int\)"),
            ("bool", r"is False \(bool\).*astype\(int\)"),
            ("str", r"is '0' \(str\).*np.unique\(names, return_inverse=True\)"),
        ],
    )
    def test_labels_that_are_no_whole_numbers_are_refused(self, kind: str, cure: str) -> None:
        with pytest.raises(ValueError, match=f"the label of row 0 {cure}"):
            ImageSet(gray(2), np.array([0, 1]).astype(kind), ("a", "b"))

    @pytest.mark.parametrize("label", [-1, 2, 255])
    def test_a_label_that_names_no_class_is_refused(self, label: int) -> None:
        message = f"label {label} of row 1 names no class; there are 2, numbered from 0: ('cat', 'dog')."
        with pytest.raises(ValueError, match=re.escape(message)):
            ImageSet(gray(3), np.array([0, label, 1]), ("cat", "dog"))

    @pytest.mark.parametrize("holder", HOLDERS.values(), ids=HOLDERS)
    def test_image_and_label_of_a_row_stay_together(self, holder: Any, tmp_path: Path) -> None:
        paths = [tmp_path / f"{number}.png" for number in range(6)]
        for number, path in enumerate(paths):
            Image.new("L", (1, 1), number).save(path)
        rows = np.random.default_rng(0).permutation(6)
        images = ImageSet(
            holder([str(paths[row]) for row in rows]), holder([int(row) for row in rows]), tuple("abcdef")
        )
        assert [(image.getpixel((0, 0))[0], label) for image, label in images] == [(row, row) for row in rows]
        assert images.images == [paths[row] for row in rows] and images.labels.tolist() == rows.tolist()

    def test_a_stack_of_arrays_is_so_many_images(self) -> None:
        stack = np.arange(12, dtype=np.uint8).reshape(3, 2, 2)
        images = ImageSet(stack, [0, 1, 0], ("a", "b"))
        assert len(images) == 3 and np.array_equal(np.asarray(images[1][0])[..., 0], stack[1])

    @pytest.mark.parametrize(
        ("image", "message"),
        [
            (np.zeros((4, 4)), "image 1: image array is float64; scale it to 0..255"),
            (np.zeros((4, 4), np.uint16), "image 1: image array is uint16; scale it to 0..255"),
            (np.zeros((4, 4, 4), np.uint8), "image 1: image array has shape (4, 4, 4); give [H, W]"),
            (np.zeros((0, 4), np.uint8), "image 1: image array has shape (0, 4)"),
            (None, "image 1 is missing (None); give its path, or leave the row out."),
            (float("nan"), "image 1 is missing (nan)"),
            ("", "image 1 is missing ('')"),
            (" ", "image 1 is missing (' ')"),
            (7, "image 1 is of type int; give a path, or a uint8 array [H, W] or [H, W, 3]."),
            (torch.zeros(3, 4, 4), "image 1 is of type Tensor; give a path"),
            (
                Image.new("L", (4, 4)),
                "image 1 is of type Image; give a path, or a uint8 array [H, W] or [H, W, 3]: np",
            ),
            (b"a.png", "image 1 is of type bytes"),
            (["a.png"], "image 1 is of type list"),
        ],
    )
    def test_what_is_no_image_is_named_by_its_row(self, image: Any, message: str) -> None:
        with pytest.raises(ValueError, match=re.escape(message)):
            ImageSet([gray(1)[0], image], [0, 1], ("a", "b"))

    @pytest.mark.parametrize(
        ("images", "message"),
        [
            ("a.png", "images is one string"),
            (pd.DataFrame({"path": ["a.png"]}), "images is a table with columns ['path']"),
            (Path("a.png"), "images is a PosixPath, one thing"),
            ({"a.png"}, "images is a set"),
        ],
    )
    def test_what_is_no_list_of_images_is_refused(self, images: Any, message: str) -> None:
        with pytest.raises(ValueError, match=re.escape(message)):
            ImageSet(images, [0], ("a", "b"))

    @pytest.mark.parametrize(
        ("classes", "message"),
        [
            ("ab", "classes is one string"),
            (("a", ""), "class 1 has no name ('')"),
            (("a", " "), "class 1 has no name (' ')"),
            (("a", 3), "class 1 is 3 (int); give its name as text."),
            (("a", None), "class 1 is None (NoneType)"),
            (("cat", "cat"), "classes 'cat' and 'cat' are one name"),
            (("cat", "cat "), "classes 'cat' and 'cat ' are one name; give each class its own."),
            (("caf\u00e9", "cafe\u0301"), r"classes 'caf\xe9' and 'cafe\u0301' are one name"),
        ],
    )
    def test_classes_have_a_name_each(self, classes: Any, message: str) -> None:
        with pytest.raises(ValueError, match=re.escape(message)):
            ImageSet(gray(2), [0, 1], classes)

    def test_names_of_classes_may_come_as_an_array(self) -> None:
        images = ImageSet(gray(2), [0, 1], np.array(["a", "b"]))
        assert images.classes == ("a", "b") and type(images.classes[0]) is str

    @pytest.mark.parametrize("index", [1, -2, np.int64(1), np.uint8(1), np.array(1), torch.tensor(1)])
    def test_an_item_is_asked_for_by_a_whole_number(self, numbered: Make, index: Any) -> None:
        image, label = numbered([0, 1, 1])[index]
        assert image.getpixel((0, 0)) == (1, 1, 1) and label == 1

    @pytest.mark.parametrize("index", [3, -4, np.int64(99)])
    def test_an_item_that_is_not_there_is_told(self, numbered: Make, index: Any) -> None:
        with pytest.raises(IndexError, match=f"index {index} names no image; there are 3, counted from 0"):
            numbered([0, 1, 1])[index]

    @pytest.mark.parametrize("index", [1.0, True, np.True_, "1", slice(2), [0, 1], None, np.array([0, 1])])
    def test_what_is_no_whole_number_names_no_item(self, numbered: Make, index: Any) -> None:
        with pytest.raises(TypeError, match=r"is no whole number; take\(\.\.\.\) gives several images"):
            numbered([0, 1, 1])[index]

    @pytest.mark.parametrize(
        ("indices", "message"),
        [([3], "index 3 names no row"), ([-1], "index -1"), ([0.0], "float64"), ([True, False], "mask has shape")],
    )
    def test_take_refuses_what_names_no_image(self, numbered: Make, indices: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            numbered([0, 1, 1]).take(indices)

    def test_a_part_shares_nothing_that_can_be_changed(self, numbered: Make) -> None:
        whole = numbered([0, 1, 1])
        part = whole.take([0, 1, 2])
        part.labels[:] = 0
        part.images.reverse()
        assert whole.labels.tolist() == [0, 1, 1] and whole.images[0][0, 0] == 0

    @pytest.mark.parametrize("holder", [np.array, list, tuple, pd.Series, torch.tensor])
    def test_take_follows_a_mask(self, numbered: Make, numbers: Numbers, holder: Any) -> None:
        assert numbers(numbered([0, 1, 0]).take(holder([True, False, True]))) == [0, 2]


class TestOpenRgb:
    @pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I", "I;16"])
    def test_every_kind_of_image_becomes_rgb(self, tmp_path: Path, mode: str) -> None:
        path = tmp_path / "image.tif"
        Image.new(mode, (8, 6)).save(path)
        image = tl.data.open_rgb(path)
        assert image.mode == "RGB" and image.size == (8, 6)

    def test_gray_is_repeated_over_three_channels(self, tmp_path: Path) -> None:
        Image.new("L", (2, 2), 77).save(tmp_path / "gray.png")
        assert tl.data.open_rgb(str(tmp_path / "gray.png")).getpixel((0, 0)) == (77, 77, 77)

    @pytest.mark.parametrize("suffix", ["png", "tif"])
    def test_16_bit_gray_is_scaled_from_its_full_range(self, tmp_path: Path, suffix: str) -> None:
        path = tmp_path / f"deep.{suffix}"
        Image.fromarray(np.array([[0, 256, 257, 32896, 65535]], dtype=np.uint16)).save(path)
        found = np.asarray(tl.data.open_rgb(path))
        assert found[0].tolist() == [[gray] * 3 for gray in (0, 0, 1, 128, 255)]

    def test_32_bit_gray_within_16_bits_is_scaled_alike(self, tmp_path: Path) -> None:
        Image.fromarray(np.array([[0, 65535]], dtype=np.int32)).save(tmp_path / "deep.tif")
        assert np.asarray(tl.data.open_rgb(tmp_path / "deep.tif"))[0].tolist() == [[0] * 3, [255] * 3]

    @pytest.mark.parametrize(("low", "high"), [(0, 65536), (-1, 5)])
    def test_values_beyond_16_bits_need_a_decision(self, tmp_path: Path, low: int, high: int) -> None:
        path = tmp_path / "deeper.tif"
        Image.fromarray(np.array([[low, high]], dtype=np.int32)).save(path)
        message = rf"deeper\.tif: gray values run from {low} to {high}, beyond 16 bits; rescale them to 0\.\.65535"
        with pytest.raises(ValueError, match=message):
            tl.data.open_rgb(path)

    def test_a_floating_point_image_needs_a_decision(self, tmp_path: Path) -> None:
        Image.fromarray(np.ones((4, 4), np.float32)).save(tmp_path / "float.tif")
        with pytest.raises(
            ValueError, match=r"float\.tif: floating-point image of unknown range; save it as 8-bit"
        ):
            tl.data.open_rgb(tmp_path / "float.tif")

    def test_cmyk_is_converted(self, tmp_path: Path) -> None:
        Image.new("CMYK", (2, 2), (0, 255, 255, 0)).save(tmp_path / "ink.tif")
        assert tl.data.open_rgb(tmp_path / "ink.tif").getpixel((0, 0)) == (255, 0, 0)

    def test_a_palette_is_converted(self, tmp_path: Path) -> None:
        image = Image.new("P", (2, 2), 1)
        image.putpalette([0, 0, 0, 10, 20, 30])
        image.save(tmp_path / "palette.png")
        assert tl.data.open_rgb(tmp_path / "palette.png").getpixel((0, 0)) == (10, 20, 30)

    def test_the_transparent_turns_white_and_the_opaque_stays(self, tmp_path: Path) -> None:
        image = Image.new("RGBA", (2, 2), (10, 20, 30, 0))
        image.putpixel((1, 1), (10, 20, 30, 255))
        image.save(tmp_path / "cut-out.png")
        found = tl.data.open_rgb(tmp_path / "cut-out.png")
        assert found.getpixel((0, 0)) == (255, 255, 255) and found.getpixel((1, 1)) == (10, 20, 30)

    @pytest.mark.parametrize(("orientation", "size"), [(1, (9, 6)), (3, (9, 6)), (6, (6, 9)), (8, (6, 9))])
    def test_a_photo_is_turned_upright_as_its_exif_tag_asks(
        self, tmp_path: Path, orientation: int, size: tuple[int, int]
    ) -> None:
        image = Image.new("RGB", (9, 6))
        image.putpixel((0, 0), (255, 255, 255))
        exif = Image.Exif()
        exif[0x0112] = orientation
        image.save(tmp_path / "phone.png", exif=exif)
        found = tl.data.open_rgb(tmp_path / "phone.png")
        corner = {1: (0, 0), 3: (8, 5), 6: (5, 0), 8: (0, 8)}[orientation]
        assert found.size == size and found.getpixel(corner) == (255, 255, 255)

    def test_an_8_bit_array_is_taken_as_it_is(self) -> None:
        values = np.arange(24, dtype=np.uint8)
        assert np.array_equal(tl.data.open_rgb(values.reshape(2, 4, 3)), values.reshape(2, 4, 3))
        assert np.array_equal(np.asarray(tl.data.open_rgb(values.reshape(4, 6)))[..., 2], values.reshape(4, 6))

    @pytest.mark.parametrize("kind", ["float32", "float64", "uint16", "int64", "bool"])
    def test_another_array_is_refused(self, kind: str) -> None:
        message = rf"image array is {kind}; scale it to 0\.\.255 and convert it to uint8"
        with pytest.raises(ValueError, match=message):
            tl.data.open_rgb(np.zeros((4, 4), kind))

    def test_a_file_that_is_no_image_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "broken.png").write_bytes(b"no image")
        message = r"broken\.png: cannot be read as an image \(cannot identify.*\); delete or replace it"
        with pytest.raises(ValueError, match=message):
            tl.data.open_rgb(tmp_path / "broken.png")

    @pytest.mark.parametrize("suffix", ["png", "jpg"])
    def test_an_image_that_was_cut_off_is_named(self, tmp_path: Path, suffix: str) -> None:
        path = tmp_path / f"half.{suffix}"
        values = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
        Image.fromarray(values).save(path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(ValueError, match=rf"half\.{suffix}: cannot be read as an image"):
            tl.data.open_rgb(path)

    @pytest.mark.parametrize(
        ("source", "cure"),
        [
            (Image.new("L", (2, 2)), r"type Image; give the path of its file, or np\.asarray\(image\.convert"),
            (io.BytesIO(b"GIF89a"), r"type BytesIO; give the path of a file, or .*np\.asarray"),
            (None, r"missing \(None\); give the path"),
            (torch.zeros(3, 2, 2), r"type Tensor; give a path.*permute\(1, 2, 0\)"),
            (b"cat.png", "type bytes; give a path"),
            (7, "type int; give a path"),
        ],
    )
    def test_what_is_neither_path_nor_array_is_refused(self, source: Any, cure: str) -> None:
        with pytest.raises(ValueError, match=cure):
            tl.data.open_rgb(source)

    @pytest.mark.parametrize("address", ["https://example.org/cat.png", Path("https://example.org/cat.png")])
    def test_an_address_on_the_web_is_to_be_downloaded(self, address: Any) -> None:
        with pytest.raises(ValueError, match=r"cat\.png: .*download it first"):
            tl.data.open_rgb(address)

    def test_a_missing_image_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=r"gone\.png: cannot be read as an image \(.*No such file"):
            tl.data.open_rgb(tmp_path / "gone.png")

    def test_the_set_names_the_broken_image_when_it_is_met(self, tmp_path: Path) -> None:
        (tmp_path / "broken.png").write_bytes(b"no image")
        images = ImageSet([np.zeros((2, 2), np.uint8), tmp_path / "broken.png"], np.array([0, 1]), ("a", "b"))
        batches = tl.data.loader(images, tensor, batch_size=2)
        with pytest.raises(ValueError, match=r"broken\.png"):
            list(batches)

    @pytest.mark.parametrize("shape", [(4,), (4, 4, 1), (4, 4, 2), (4, 4, 4), (2, 4, 4, 3)])
    def test_an_array_of_another_shape_is_refused(self, shape: tuple[int, ...]) -> None:
        with pytest.raises(
            ValueError, match=re.escape(f"image array has shape {shape}; give [H, W] or [H, W, 3]")
        ):
            tl.data.open_rgb(np.zeros(shape, np.uint8))

    @pytest.mark.parametrize("suffix", ["tif", "bmp", "png"])
    def test_a_damaged_file_of_any_kind_is_named(self, tmp_path: Path, suffix: str) -> None:
        path = tmp_path / f"damaged.{suffix}"
        Image.new("L", (64, 64), 7).save(path)
        whole = path.read_bytes()
        for length in range(8, len(whole), max(1, len(whole) // 40)):
            path.write_bytes(whole[:length])
            try:
                tl.data.open_rgb(path)
            except ValueError as error:
                assert f"damaged.{suffix}: cannot be read as an image" in str(error)


class TestLoad:
    def test_the_packaged_cells_are_those_of_the_paper(self) -> None:
        # Deitsch et al. (2019): 2,624 cells; graded 0, 1/3, 2/3, 1: 1,508, 295, 106, 715.
        images = tl.data.load("elpv")
        assert images.classes == ("functional", "defective")
        assert np.bincount(images.labels).tolist() == [1508 + 295, 106 + 715]
        assert {image.shape for image in images.images} == {(300, 300)}

    def test_the_packaged_cells_are_read_once_and_no_caller_can_spoil_them_for_another(self) -> None:
        first, second = tl.data.load("elpv"), tl.data.load("elpv")
        assert first.images[0] is second.images[0]
        with pytest.raises(ValueError, match="read-only"):
            first.images[0][:] = 0
        first.labels[:] = 0
        first.images.reverse()
        assert second.labels.any() and tl.data.load("elpv").labels.any()
        assert second.images[0] is tl.data.load("elpv").images[0] is not first.images[0]

    def test_a_folder_may_be_named(self, folder: Path) -> None:
        for name in (folder, str(folder)):
            images = tl.data.load(name)
            assert len(images) == 80 and images.classes == ("NORMAL", "PNEUMONIA")

    def test_a_missing_folder_says_what_to_set(self) -> None:
        message = (
            r"no images at 'data/nowhere': .*Set TLHELPERS_DATA to a folder.*or use TLHELPERS_PROFILE=offline"
        )
        with pytest.raises(FileNotFoundError, match=message):
            tl.data.load("data/nowhere")


class TestFromFolder:
    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        """Two cats and one dog."""
        for name in ("dog/1.png", "cat/2.png", "cat/1.png"):
            path = tmp_path / "pets" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (2, 2)).save(path)
        return tmp_path / "pets"

    def test_each_subfolder_is_a_class_in_alphabetical_order(self, root: Path) -> None:
        images = tl.data.from_folder(root)
        assert images.classes == ("cat", "dog")
        assert images.labels.tolist() == [0, 0, 1]
        assert images.images == [root / "cat/1.png", root / "cat/2.png", root / "dog/1.png"]

    def test_images_may_lie_deeper(self, root: Path) -> None:
        (root / "dog/old").mkdir()
        shutil.copy(root / "dog/1.png", root / "dog/old/2.PNG")
        assert np.bincount(tl.data.from_folder(str(root)).labels).tolist() == [2, 2]

    def test_other_files_and_hidden_folders_are_passed_over(self, root: Path) -> None:
        (root / "readme.txt").write_text("pets")
        (root / "dog/notes.csv").write_text("1")
        (root / ".cache").mkdir()
        assert len(tl.data.from_folder(root)) == 3 and tl.data.from_folder(root).classes == ("cat", "dog")

    @pytest.mark.parametrize(
        "parts", [("train", "val", "test"), ("train", "valid"), ("test", "train"), ("Training", "Testing")]
    )
    def test_a_divided_set_is_put_together_again(self, root: Path, parts: tuple[str, ...]) -> None:
        divided = root.parent / "divided"
        for part in parts:
            shutil.copytree(root, divided / part)
        images = tl.data.from_folder(divided)
        assert images.classes == ("cat", "dog")
        assert np.bincount(images.labels).tolist() == [2 * len(parts), len(parts)]
        for path, label in zip(images.images, images.labels, strict=True):
            assert Path(path).parent.name == images.classes[label]

    def test_a_divided_set_may_have_hidden_folders(self, root: Path) -> None:
        divided = root.parent / "divided"
        shutil.copytree(root, divided / "train")
        shutil.copytree(root, divided / "test")
        (divided / ".cache").mkdir()
        (divided / "train" / ".cache").mkdir()
        assert tl.data.from_folder(divided).classes == ("cat", "dog")

    def test_a_part_of_a_divided_set_may_lack_a_class(self, root: Path) -> None:
        divided = root.parent / "divided"
        shutil.copytree(root, divided / "train")
        shutil.copytree(root / "dog", divided / "val/dog")
        assert np.bincount(tl.data.from_folder(divided).labels).tolist() == [2, 2]

    def test_a_folder_without_classes_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=r"has 0 class folder\(s\) \(\); it needs two or more, each with its"):
            tl.data.from_folder(tmp_path)

    def test_images_without_class_folders_are_refused(self, root: Path) -> None:
        with pytest.raises(ValueError, match=r"cat has 0 class folder\(s\)"):
            tl.data.from_folder(root / "cat")

    def test_one_class_is_refused(self, root: Path) -> None:
        shutil.rmtree(root / "dog")
        with pytest.raises(ValueError, match=r"pets has 1 class folder\(s\) \('cat',\); it needs two or more"):
            tl.data.from_folder(root)

    def test_an_empty_class_is_named(self, root: Path) -> None:
        (root / "dog/1.png").rename(root / "dog/1.txt")
        with pytest.raises(ValueError, match=r"class folder 'dog' under .*pets holds no image \(\.png, \.jpg"):
            tl.data.from_folder(root)

    @pytest.mark.parametrize("name", ["nowhere", "pets/dog/1.png"])
    def test_what_is_no_folder_is_named(self, root: Path, name: str) -> None:
        with pytest.raises(FileNotFoundError, match=rf"{name} is not a folder"):
            tl.data.from_folder(root.parent / name)

    def test_what_a_mac_adds_to_a_zip_is_passed_over(self, root: Path) -> None:
        before = len(tl.data.from_folder(root))
        first = next(path for path in sorted(root.iterdir()) if path.is_dir())
        (first / "._0.png").write_bytes(b"resource fork")
        (root / "__MACOSX").mkdir()
        assert len(tl.data.from_folder(root)) == before

    def test_validation_is_a_part(self, tmp_path: Path) -> None:
        for part in ("train", "validation"):
            for name in ("a", "b"):
                (tmp_path / part / name).mkdir(parents=True)
                Image.new("L", (4, 4)).save(tmp_path / part / name / "0.png")
        assert tl.data.from_folder(tmp_path).classes == ("a", "b")


class TestSplit:
    def test_parts_have_the_sizes_asked_for_and_share_no_image(self, numbered: Make, numbers: Numbers) -> None:
        splits = tl.data.split(numbered(np.arange(200) % 4 == 0), 90, 40, 50, seed=3)
        assert [len(part) for part in (splits.train, splits.val, splits.test)] == [90, 40, 50]
        assert len({number for part in splits for number in numbers(part)}) == 180

    def test_parts_may_use_up_the_set(self, numbered: Make, numbers: Numbers) -> None:
        splits = tl.data.split(numbered(np.arange(200) % 4 == 0), 100, 40, 60, seed=3)
        assert sorted(number for part in splits for number in numbers(part)) == list(range(200))

    def test_each_part_has_the_same_share_of_classes(self, numbered: Make) -> None:
        splits = tl.data.split(numbered(np.arange(200) % 4 == 0), 100, 40, 60, seed=3)
        assert [int(part.labels.sum()) for part in splits] == [25, 10, 15]

    def test_labels_and_classes_stay_with_their_images(self, numbered: Make, numbers: Numbers) -> None:
        images = numbered(np.arange(90) % 3, ("a", "b", "c"))
        for part in tl.data.split(images, 30, 30, 30, seed=0):
            assert part.classes == ("a", "b", "c")
            assert part.labels.tolist() == [number % 3 for number in numbers(part)]

    def test_a_seed_makes_one_split(self, numbered: Make, numbers: Numbers) -> None:
        images = numbered(np.arange(100) % 2)
        first, again, other = ([numbers(p) for p in tl.data.split(images, 40, 20, 20, seed=s)] for s in (1, 1, 2))
        assert first == again
        assert all(set(a) != set(b) for a, b in zip(first, other, strict=True))

    @pytest.mark.parametrize("part", ["train", "val", "test"])
    @pytest.mark.parametrize("size", [0, 1, -5])
    def test_a_part_without_room_for_each_class_is_refused(self, numbered: Make, part: str, size: int) -> None:
        sizes = {"train": 10, "val": 4, "test": 4} | {part: size}
        with pytest.raises(ValueError, match=rf"{part}={size}: a part needs at least one image of 2 classes"):
            tl.data.split(numbered(np.arange(20) % 2), **sizes, seed=0)

    @pytest.mark.parametrize("part", ["train", "val", "test"])
    @pytest.mark.parametrize("size", [0.5, 4.0, "4", None, True, np.float64(4)])
    def test_sizes_are_numbers_of_images(self, numbered: Make, part: str, size: Any) -> None:
        sizes = {"train": 10, "val": 4, "test": 4} | {part: size}
        message = re.escape(f"{part}={size!r}: give a number of images, a whole one.")
        with pytest.raises(ValueError, match=message):
            tl.data.split(numbered(np.arange(20) % 2), **sizes, seed=0)

    def test_sizes_may_be_numbers_of_numpy(self, numbered: Make, numbers: Numbers) -> None:
        images = numbered(np.arange(100) % 2)
        found = tl.data.split(images, np.int64(40), np.int32(20), np.uint8(20), seed=1)
        assert list(map(numbers, found)) == list(map(numbers, tl.data.split(images, 40, 20, 20, seed=1)))

    def test_the_parts_of_a_seed_stay_what_they_were(self, numbered: Make, numbers: Numbers) -> None:
        found = tl.data.split(numbered(np.arange(30) % 3, "abc"), 9, 6, 6, seed=3)
        assert [numbers(part) for part in found] == [
            [11, 15, 1, 14, 28, 27, 19, 29, 3],
            [10, 8, 6, 23, 7, 21],
            [5, 22, 16, 20, 24, 9],
        ]

    def test_more_than_there_is_is_refused(self, numbered: Make) -> None:
        with pytest.raises(ValueError, match=r"train=10, val=6 and test=5 need 21 images; there are 20"):
            tl.data.split(numbered(np.arange(20) % 2), 10, 6, 5, seed=0)

    @pytest.mark.parametrize("rare", [0, 1, 2])
    def test_a_class_with_fewer_images_than_parts_is_named(self, numbered: Make, rare: int) -> None:
        labels = np.arange(30) >= 30 - rare
        message = rf"class 'b' has {rare} image\(s\); three parts need three or more"
        with pytest.raises(ValueError, match=message):
            tl.data.split(numbered(labels), 10, 10, 10, seed=0)

    def test_a_remainder_too_small_to_stratify_is_no_obstacle(self, numbered: Make) -> None:
        splits = tl.data.split(numbered(np.arange(20) % 2), 10, 4, 5, seed=0)
        assert [len(part) for part in splits] == [10, 4, 5]
        assert splits.train.labels.sum() == 5

    def test_a_class_that_one_part_uses_up_is_named(self, numbered: Make) -> None:
        images = numbered(np.repeat([0, 1], [13, 5]))
        with pytest.raises(
            ValueError, match=r"class 'b' is so rare that 1 image\(s\) of it would be left for two"
        ):
            tl.data.split(images, 2, 3, 13, seed=0)

    def test_a_part_without_a_rare_class_is_named(self, numbered: Make) -> None:
        with pytest.raises(ValueError, match=r"(train|val|test)=10 holds no image of the rare class 'b'"):
            tl.data.split(numbered((np.arange(100) < 3) * 1), 10, 10, 10, seed=0)


class TestSplitByGroups:
    def test_no_group_is_torn_apart_and_parts_have_their_sizes(self, numbered: Make, numbers: Numbers) -> None:
        groups = np.arange(240) // 8
        parts = tl.data.split(numbered(np.arange(240) % 3 == 0), 80, 30, 40, seed=3, groups=groups)
        assert [len(part) for part in parts] == [80, 30, 40]
        of_part = [set(groups[numbers(part)].tolist()) for part in parts]
        assert not (of_part[0] & of_part[1] or of_part[0] & of_part[2] or of_part[1] & of_part[2])
        assert all(part.rarest()[1] >= len(part) // 4 for part in parts)

    def test_the_cells_are_split_by_module(self) -> None:
        modules = tl.data.load_groups("elpv")
        assert modules is not None and np.array_equal(modules, tl.data.cell_modules())
        assert tl.data.load_groups("some/folder") is None
        rows = tl.data.ImageSet(
            [np.array([[i // 256, i % 256]], np.uint8) for i in range(2624)],
            tl.data.load("elpv").labels,
            ("functional", "defective"),
        )
        parts = tl.data.split(rows, 500, 200, 1000, seed=0, groups=modules)
        held = [{int(modules[256 * int(a) + int(b)]) for image in p.images for a, b in image} for p in parts]
        assert not held[0] & held[2] and not held[1] & held[2] and not held[0] & held[1]

    @pytest.mark.parametrize(
        ("groups", "message"),
        [
            (np.zeros(60, int), "stands in 1 group"),
            (["a"] * 30 + ["b"] * 30, "stands in 2 group"),
            ([None] * 60, "row 0 has no group"),
            (np.arange(59), "59"),
            (np.repeat([0, 1, 2], [54, 3, 3]), "ask for fewer"),
        ],
    )
    def test_groups_that_cannot_be_dealt_out_are_told(self, numbered: Make, groups: object, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            tl.data.split(numbered(np.arange(60) % 2), 20, 10, 10, seed=0, groups=groups)

    def test_a_class_that_lives_in_one_group_is_told(self, numbered: Make) -> None:
        labels = (np.arange(60) < 10).astype(int)
        with pytest.raises(ValueError, match="stands in 1 group"):
            tl.data.split(numbered(labels), 20, 10, 10, seed=0, groups=np.arange(60) // 10)


class TestSubset:
    LABELS = (np.arange(200) % 4 == 0) * 1

    def test_the_smaller_lies_in_the_larger(self, numbered: Make, numbers: Numbers) -> None:
        images = numbered(self.LABELS)
        sets = [set(numbers(tl.data.subset(images, size, seed=0))) for size in (8, 20, 21, 40, 199, 200)]
        assert [len(found) for found in sets] == [8, 20, 21, 40, 199, 200]
        assert all(smaller < larger for smaller, larger in pairwise(sets))

    @pytest.mark.parametrize("size", [8, 20, 100, 200])
    def test_classes_keep_their_proportion(self, numbered: Make, size: int) -> None:
        found = tl.data.subset(numbered(self.LABELS), size, seed=0)
        assert int(found.labels.sum()) == size // 4

    def test_two_images_hold_both_classes_however_rare_one_is(self, numbered: Make) -> None:
        found = tl.data.subset(numbered([0] * 19 + [1]), 2, seed=0)
        assert sorted(found.labels.tolist()) == [0, 1]

    def test_a_seed_makes_one_subset(self, numbered: Make, numbers: Numbers) -> None:
        images = numbered(self.LABELS)
        first, again, other = (numbers(tl.data.subset(images, 20, seed=seed)) for seed in (0, 0, 1))
        assert first == again and set(first) != set(other)

    def test_labels_stay_with_their_images(self, numbered: Make, numbers: Numbers) -> None:
        found = tl.data.subset(numbered(self.LABELS), 50, seed=0)
        assert found.labels.tolist() == [int(number % 4 == 0) for number in numbers(found)]

    @pytest.mark.parametrize("size", [1, 0, -1, 201])
    def test_a_size_out_of_range_is_refused(self, numbered: Make, size: int) -> None:
        with pytest.raises(ValueError, match=rf"size={size}: give a number from 2 to 200"):
            tl.data.subset(numbered(self.LABELS), size, seed=0)

    @pytest.mark.parametrize("size", [0.5, 20.0, "20", None, True])
    def test_a_size_is_a_number_of_images(self, numbered: Make, size: Any) -> None:
        with pytest.raises(ValueError, match=re.escape(f"size={size!r}: give a number of images, a whole one.")):
            tl.data.subset(numbered(self.LABELS), size, seed=0)

    @pytest.mark.parametrize("labels", [[0] * 19 + [1], [0] * 30 + [1, 2], [0] * 9 + [1] * 5 + [2]])
    def test_rare_classes_are_held_and_nested_at_every_size(
        self, numbered: Make, numbers: Numbers, labels: list[int]
    ) -> None:
        images = numbered(labels, "abc"[: max(labels) + 1])
        sizes = range(len(images.classes), len(images) + 1)
        sets = [set(numbers(tl.data.subset(images, size, seed=3))) for size in sizes]
        assert [len(found) for found in sets] == list(sizes)
        assert all(smaller < larger for smaller, larger in pairwise(sets))
        assert {labels[index] for index in sets[0]} == set(labels)


def test_a_cell_is_flipped_in_each_of_four_ways() -> None:
    torch.manual_seed(0)
    image = torch.arange(12.0).reshape(3, 2, 2)
    ways = {str(image.flip(dims).tolist()) for dims in ([], [1], [2], [1, 2])}
    change = tl.data.augment_cells()
    assert {str(change(image).tolist()) for _ in range(60)} == ways


class TestLoader:
    def test_a_batch_is_float_images_and_whole_labels(self, numbered: Make) -> None:
        (first, labels), *rest = tl.data.loader(numbered([0, 1, 1]), tensor, batch_size=2)
        assert first.shape == (2, 3, 1, 1) and first.dtype == torch.float32
        assert labels.dtype == torch.int64 and labels.tolist() == [0, 1]
        assert len(rest) == 1

    def test_without_shuffling_the_order_is_that_of_the_set(self, numbered: Make) -> None:
        batches = tl.data.loader(numbered([0, 1] * 4), tensor, batch_size=3)
        assert isinstance(batches.sampler, SequentialSampler)
        assert torch.cat([x for x, _ in batches])[:, 0, 0, 0].tolist() == list(range(8))

    def test_each_label_stays_with_its_image(self, numbered: Make) -> None:
        batches = tl.data.loader(numbered([0, 1] * 10), tensor, batch_size=6, shuffle=True)
        for x, y in batches:
            assert (x[:, 0, 0, 0] % 2).tolist() == y.tolist()

    def test_the_seed_sets_the_order_which_is_new_in_each_epoch(self, numbered: Make) -> None:
        images = numbered([0, 1] * 10)

        def orders(seed: int) -> list[list[float]]:
            batches = tl.data.loader(images, tensor, batch_size=10, shuffle=True, seed=seed)
            return [torch.cat([x for x, _ in batches])[:, 0, 0, 0].tolist() for _ in range(2)]

        first, second = orders(0)
        assert sorted(first) == sorted(second) == list(range(20))
        assert first != second and first != list(range(20))
        assert orders(0) == [first, second]
        assert orders(1)[0] != first

    def test_the_order_does_not_depend_on_other_random_numbers(self, numbered: Make) -> None:
        batches = [tl.data.loader(numbered([0, 1] * 10), tensor, shuffle=True, seed=4) for _ in range(2)]
        torch.manual_seed(0)
        first, _ = next(iter(batches[0]))
        torch.manual_seed(1)
        second, _ = next(iter(batches[1]))
        assert torch.equal(first, second)

    def test_training_drops_a_last_batch_of_one_image(self, numbered: Make) -> None:
        images = numbered([0, 1, 1] * 3)
        assert [len(y) for _, y in tl.data.loader(images, tensor, batch_size=4, shuffle=True)] == [4, 4]
        assert [len(y) for _, y in tl.data.loader(images, tensor, batch_size=4)] == [4, 4, 1], (
            "each image is scored"
        )
        assert [len(y) for _, y in tl.data.loader(images, tensor, batch_size=5, shuffle=True)] == [5, 4]

    def test_a_set_of_one_image_is_not_dropped(self, numbered: Make) -> None:
        batches = tl.data.loader(numbered([1]), tensor, shuffle=True)
        assert isinstance(batches.sampler, RandomSampler)
        assert [y.tolist() for _, y in batches] == [[1]]

    @pytest.mark.parametrize(("cache", "times"), [(True, 1), (False, 3)])
    def test_cached_images_are_transformed_once(self, numbered: Make, cache: bool, times: int) -> None:
        calls: Counter[Any] = Counter()

        def transform(image: Image.Image) -> torch.Tensor:
            calls[image.getpixel((0, 0))] += 1
            return tensor(image)

        batches = tl.data.loader(numbered([0, 1] * 2), transform, batch_size=2, shuffle=True, cache=cache)
        for _ in range(3):
            found = torch.cat([x for x, _ in batches])[:, 0, 0, 0]
            assert sorted(found.tolist()) == [0, 1, 2, 3]
        assert calls == {(number,) * 3: times for number in range(4)}

    @pytest.mark.parametrize("cache", [True, False])
    def test_the_random_change_is_new_each_time(self, numbered: Make, cache: bool) -> None:
        count = iter(range(100))
        batches = tl.data.loader(numbered([0, 1]), tensor, augment=lambda x: x + 10 * next(count), cache=cache)
        found = [next(iter(batches))[0][:, 0, 0, 0].tolist() for _ in range(3)]
        assert found == [[0, 11], [20, 31], [40, 51]]

    def test_an_empty_set_is_refused(self, numbered: Make) -> None:
        with pytest.raises(ValueError, match="the image set is empty; there is nothing to load"):
            tl.data.loader(numbered([]), tensor)

    def test_cached_images_need_one_process(self, numbered: Make) -> None:
        with pytest.raises(ValueError, match=r"cache=True with workers=2: cached images need workers=0"):
            tl.data.loader(numbered([0, 1]), tensor, cache=True, workers=2)

    @pytest.mark.parametrize(
        ("setting", "value", "message"),
        [
            ("batch_size", 0, "batch_size=0: give a number of images, a whole one from 1."),
            ("batch_size", -1, "batch_size=-1"),
            ("batch_size", 2.0, "batch_size=2.0"),
            ("batch_size", None, "batch_size=None"),
            ("batch_size", True, "batch_size=True"),
            ("workers", -1, "workers=-1: give a number of processes, a whole one from 0."),
            ("workers", 1.0, "workers=1.0"),
            ("workers", None, "workers=None"),
            ("seed", None, "seed=None"),
            ("seed", 0.5, "seed=0.5: give a number, a whole one."),
        ],
    )
    def test_numbers_out_of_range_are_refused(
        self, numbered: Make, setting: str, value: Any, message: str
    ) -> None:
        settings: dict[str, Any] = {setting: value}
        with pytest.raises(ValueError, match=re.escape(message)):
            tl.data.loader(numbered([0, 1]), tensor, **settings)

    @pytest.mark.parametrize("steps", [{"transform": None}, {"transform": tensor, "augment": True}])
    def test_what_cannot_be_called_is_refused(self, numbered: Make, steps: dict[str, Any]) -> None:
        step, value = list(steps.items())[-1]
        with pytest.raises(ValueError, match=rf"{step}={value} cannot be called; give a function, such as net"):
            tl.data.loader(numbered([0, 1]), **steps)

    def test_what_is_no_set_is_refused_with_the_way_to_one(self, numbered: Make) -> None:
        images = numbered([0, 1, 1])
        part = torch.utils.data.random_split(images, [2, 1])[0]
        with pytest.raises(ValueError, match=r"Subset, not an ImageSet; .*images\.take\(subset\.indices\)"):
            tl.data.loader(part, tensor)
        assert len(images.take(part.indices)) == 2
        own = tl.data.Own(images, None, pd.DataFrame())
        with pytest.raises(ValueError, match=r"Own, not an ImageSet; give its images"):
            tl.data.loader(own, tensor)

    @pytest.mark.parametrize(
        ("steps", "message"),
        [
            ({"transform": ResNet18_Weights.DEFAULT.transforms}, r"transform failed .*call it: transforms\(\)"),
            ({"transform": v2.ToImage}, r"transform failed .*call it: ToImage\(\)"),
            ({"transform": v2.RandomErasing}, r"transform .*call it: RandomErasing\(\)"),
            (
                {"transform": lambda image: v2.ToImage()},
                r"transform made ToImage of .*cat\.png; .*call it, and give",
            ),
            (
                {"transform": v2.Normalize([0.5], [0.5])},
                r"transform failed .*TypeError: .*PIL.*put v2\.ToImage\(\) and",
            ),
            ({"transform": nn.Conv2d(3, 3, 1)}, r"transform failed .*it is a network; give net\.transform"),
            ({"augment": tl.data.augment_cells}, r"augment failed .*call it: augment_cells\(\)"),
            ({"augment": lambda *, image: image}, r"augment failed .*takes its image by name; .*image=x"),
            ({"augment": lambda x: x[5]}, r"augment failed .*IndexError: .*it is given one tensor \[3, H, W\]"),
        ],
    )
    def test_a_function_that_fails_is_told_with_the_image_and_the_cure(
        self, tmp_path: Path, steps: dict[str, Any], message: str
    ) -> None:
        Image.new("L", (2, 2)).save(tmp_path / "cat.png")
        images = ImageSet([tmp_path / "cat.png"], [0], ("a", "b"))
        with pytest.raises(ValueError, match=rf"(?s)^{message}") as told:
            list(tl.data.loader(images, **{"transform": tensor} | steps))
        assert "cat.png" in str(told.value)

    @pytest.mark.parametrize(
        ("last", "message"),
        [
            (
                lambda x: x.to(torch.uint8),
                r"uint8 \[3, 1, 1\] of image 0; .*Dtype\(torch\.float32, scale=True\)",
            ),
            (lambda x: x.double(), r"float64 \[3, 1, 1\] .*end with v2\.ToDtype\(torch\.float32\)"),
            (lambda x: x[None], r"float32 \[1, 3, 1, 1\] .*return x\[0\], one image and no batch"),
            (lambda x: x[:1], r"float32 \[1, 1, 1\] .*repeat the gray"),
            (lambda x: x.permute(1, 2, 0), r"float32 \[1, 1, 3\] .*permute\(2, 0, 1\)"),
            (lambda x: x.flatten(), r"float32 \[3\] .*three channels"),
        ],
    )
    @pytest.mark.parametrize("step", ["transform", "augment"])
    def test_a_batch_is_float32_or_refused(self, numbered: Make, step: str, last: Any, message: str) -> None:
        steps = {"transform": tensor, "augment": last}
        if step == "transform":
            steps = {"transform": lambda image: last(tensor(image))}
        with pytest.raises(ValueError, match=f"{step} made {message}"):
            list(tl.data.loader(numbered([0, 1]), **steps))

    def test_the_last_step_may_be_what_makes_numbers_of_pixels(self, numbered: Make) -> None:
        batches = tl.data.loader(numbered([0, 1]), v2.ToImage(), augment=v2.ToDtype(torch.float32))
        assert next(iter(batches))[0][:, 0, 0, 0].tolist() == [0, 1]

    def test_a_batch_size_may_be_a_number_of_numpy(self, numbered: Make) -> None:
        batches = tl.data.loader(numbered([0, 1, 1]), tensor, batch_size=np.int64(2))
        assert [y.tolist() for _, y in batches] == [[0, 1], [1]]

    @pytest.mark.parametrize("step", ["transform", "augment"])
    def test_what_is_no_tensor_is_told_with_the_image(self, tmp_path: Path, step: str) -> None:
        Image.new("L", (2, 2)).save(tmp_path / "cat.png")
        steps: dict[str, Any] = {"transform": tensor, step: lambda x: None if step == "augment" else x}
        batches = tl.data.loader(ImageSet([tmp_path / "cat.png"], [0], ("a", "b")), **steps)
        made = "NoneType" if step == "augment" else "Image"
        with pytest.raises(ValueError, match=rf"{step} made {made} of .*cat\.png; it must return a tensor"):
            list(batches)

    @pytest.mark.parametrize("step", ["transform", "augment"])
    def test_shapes_that_differ_are_told_with_the_images(self, tmp_path: Path, step: str) -> None:
        for name, side in (("cat", 2), ("dog", 3)):
            Image.new("L", (side, 2)).save(tmp_path / f"{name}.png")
        steps: dict[str, Any] = {"transform": tensor} | (
            {"augment": torch.Tensor.clone} if step == "augment" else {}
        )
        images = ImageSet([tmp_path / "cat.png", tmp_path / "dog.png"], [0, 1], ("a", "b"))
        message = (
            r"dog\.png became \[3, 2, 3\] and .*cat\.png \[3, 2, 2\]; a batch needs one shape: let the transform"
        )
        with pytest.raises(ValueError, match=message):
            list(tl.data.loader(images, **steps))


class TestWorkers:
    """Processes that are started by "spawn", as on macOS and Windows, get their work sent."""

    def test_they_give_the_same_batches(self, tmp_path: Path) -> None:
        values = np.random.default_rng(0).integers(0, 4096, (5, 4, 4)).astype(np.uint16)
        for number, picture in enumerate(values):
            Image.fromarray(picture).save(tmp_path / f"{number}.png")
        paths = [tmp_path / f"{number}.png" for number in range(5)]
        images = ImageSet([np.zeros((4, 4), np.uint8), *paths], [0, 1, 0, 1, 0, 1], ("a", "b"), white=4095)
        net_like = tl.models.preprocessing(4, (0.5,) * 3, (0.5,) * 3)
        alone, sent = (
            tl.data.loader(images, net_like, 4, True, tl.data.augment_cells(), workers=workers)
            for workers in (0, 1)
        )
        sent.multiprocessing_context = "spawn"
        for (x, y), (x_sent, y_sent) in zip(alone, sent, strict=True):
            assert x.shape == x_sent.shape and torch.equal(y, y_sent)
            assert torch.equal(x.sum((2, 3)).round(decimals=3), x_sent.sum((2, 3)).round(decimals=3))

    @pytest.mark.parametrize("step", ["transform", "augment"])
    def test_a_function_that_cannot_be_sent_is_told(self, numbered: Make, step: str) -> None:
        steps: dict[str, Any] = {"transform": tensor, step: lambda x: x}
        batches = tl.data.loader(numbered([0, 1]), **steps, workers=1)
        batches.multiprocessing_context = "spawn"
        message = rf"{step} cannot be sent to worker processes \(.*\); write it as a function .*or take workers=0"
        with pytest.raises(ValueError, match=message):
            next(iter(batches))

    def test_a_function_of_a_notebook_cannot_be_sent(
        self, numbered: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        main = sys.modules["__main__"]
        monkeypatch.setattr(main, "tensor", tensor, raising=False)
        monkeypatch.delattr(main, "__file__", raising=False)
        monkeypatch.setattr(tensor, "__module__", "__main__")
        batches = tl.data.loader(numbered([0, 1]), tensor, workers=1)
        batches.multiprocessing_context = "spawn"
        with pytest.raises(ValueError, match=r"transform cannot be sent .*it is defined in this notebook"):
            next(iter(batches))


class TestOnce:
    """An image stands in a set once before it is split, and under one label."""

    @pytest.fixture
    def arrays(self) -> ImageSet:
        rng = np.random.default_rng(0)
        return ImageSet([rng.integers(0, 256, (4, 4), np.uint8) for _ in range(20)], [0, 1] * 10, ("a", "b"))

    def test_repeated_images_are_split_first(self, arrays: ImageSet) -> None:
        files = ImageSet([f"{n}.png" for n in range(20)], [0, 1] * 10, ("a", "b"))
        for images, name in ((arrays, "an image"), (files, "0.png")):
            with pytest.raises(ValueError, match=f"{name} stands in rows 0 and 20.*split first"):
                tl.data.split(images.take(np.tile(np.arange(20), 3)), 30, 15, 15, 0)

    def test_a_file_has_one_label(self) -> None:
        with pytest.raises(ValueError, match=r"a\.png stands in rows 0 and 2 with two labels"):
            ImageSet(["a.png", "b.png", "a.png"], [0, 1, 1], ("a", "b"))

    def test_sets_are_equal_by_what_they_hold(self, arrays: ImageSet) -> None:
        order = np.random.default_rng(1).permutation(20)
        again = ImageSet([image.copy() for image in arrays.images], arrays.labels, ("a", "b"))
        assert again == arrays and again.take(order) == arrays.take(order) and arrays.take(order) != arrays
        assert tl.data.split(arrays, 10, 4, 4, 0) == tl.data.split(arrays, 10, 4, 4, 0)
        assert tl.data.split(arrays, 10, 4, 4, 0) != tl.data.split(arrays, 10, 4, 4, 1) and arrays != [0]


def test_a_seed_beyond_the_librarys_is_told() -> None:
    images = ImageSet([np.full((4, 4), n, np.uint8) for n in range(12)], [0, 1] * 6, ("a", "b"))
    with pytest.raises(ValueError, match="seed=4294967296: give a number below 4294967296"):
        tl.data.split(images, 4, 4, 4, 2**32)
