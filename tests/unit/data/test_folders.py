"""What is a class, a part, an image in a folder, and what becomes of all the rest."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tlhelpers as tl
from tlhelpers.data import Own

PETS = ("cat/1.png", "cat/2.png", "dog/1.png", "dog/2.png")


def fill(root: Path, *names: str) -> Path:
    """Make a file for each name: an image, a folder where it ends with a slash, else three bytes."""
    for number, name in enumerate(names):
        path = root / name
        (path if name.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
        if path.suffix in (".png", ".gif", ".jpg", ".JPG", ".tiff") and not name.endswith("/"):
            kind = {".jpg": "JPEG", ".gif": "GIF", ".tiff": "TIFF"}.get(path.suffix.lower(), "PNG")
            Image.new("L", (3, 3), number).save(path, kind)
        elif not name.endswith("/"):
            path.write_bytes(b"abc")
    return root


def counts(own: Own) -> dict[str, int]:
    """Return the number of images by class."""
    return dict(zip(own.images.classes, np.bincount(own.images.labels).tolist(), strict=True))


def reasons(own: Own) -> dict[str, str]:
    """Return why each file was left out."""
    assert own.left_out.columns.tolist() == ["file", "reason"]
    return dict(zip(own.left_out["file"], own.left_out["reason"], strict=True))


def within(names: tuple[str, ...], *places: str) -> tuple[str, ...]:
    return tuple(f"{place}/{name}" for place in places for name in names)


class TestLeftOut:
    """Every file that is not read is told, with why."""

    @pytest.mark.parametrize(
        ("name", "reason"),
        [
            ("cat/3.HEIC", "ending '.heic'"),
            ("cat/deep/3.txt", "ending '.txt'"),
            ("cat/3.jpg.part", "ending '.part'"),
            ("cat/3", "no ending"),
            ("3.png", "beside the class folders"),
            ("labels.csv", "ending '.csv'"),
            (".DS_Store", "hidden file"),
            ("cat/.DS_Store", "hidden file"),
            ("cat/deep/._3.png", "hidden file"),
            ("Thumbs.db", "system file"),
            ("cat/Thumbs.db", "system file"),
            ("cat/deep/desktop.ini", "system file"),
            ("@eaDir/3.png", "in system folder '@eaDir'"),
            ("cat/@eaDir/3.png/THUMB.jpg", "in system folder '@eaDir'"),
            ("cat/deep/__MACOSX/cat/._3.png", "in system folder '__MACOSX'"),
            ("__MACOSX/3.png", "in system folder '__MACOSX'"),
            ("#recycle/cat/3.png", "in system folder '#recycle'"),
            ("$RECYCLE.BIN/3.png", "in system folder '$RECYCLE.BIN'"),
            ("cat/.ipynb_checkpoints/3.png", "in hidden folder '.ipynb_checkpoints'"),
            (".git/3.png", "in hidden folder '.git'"),
            ("lost+found/3.png", "in system folder 'lost+found'"),
            ("cat/album.png/", "a folder named like an image"),
            ("album.png/", "a folder named like an image"),
        ],
    )
    def test_it_is_listed_and_not_read(self, tmp_path: Path, name: str, reason: str) -> None:
        own = tl.data.read(fill(tmp_path, *PETS, name))
        assert counts(own) == {"cat": 2, "dog": 2} and reasons(own) == {name.rstrip("/"): reason}

    def test_each_file_is_either_read_or_listed(self, tmp_path: Path) -> None:
        others = ("cat/@eaDir/1.png/a.jpg", "a.txt", "dog/x.gif", "dog/.b", "top.png", "dog/deep/2.JPG")
        own = tl.data.read(fill(tmp_path, *PETS, *others))
        files = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
        read = set(tl.data.file_names(own.images, tmp_path))
        assert read | set(own.left_out["file"]) == files and not read & set(own.left_out["file"])
        assert {"dog/x.gif", "dog/deep/2.JPG"} < read

    @pytest.mark.parametrize("name", ["x.gif", "x.JPG", "x.jpg.png", "x.tiff", "deep/er/x.png", "deep.png/x.png"])
    def test_images_of_any_known_ending_are_read_at_any_depth(self, tmp_path: Path, name: str) -> None:
        assert counts(tl.data.read(fill(tmp_path, *PETS, f"cat/{name}"))) == {"cat": 3, "dog": 2}

    def test_a_pipe_is_no_file(self, tmp_path: Path) -> None:
        os.mkfifo(fill(tmp_path, *PETS) / "cat" / "3.png")
        assert reasons(tl.data.read(tmp_path)) == {"cat/3.png": "no plain file"}

    def test_an_empty_file_is_told_at_once(self, tmp_path: Path) -> None:
        (fill(tmp_path, *PETS) / "cat" / "3.png").touch()
        with pytest.raises(ValueError, match=r"1 image file\(s\) are empty \(0 bytes\), first .*cat/3\.png; copy"):
            tl.data.read(tmp_path)


class TestLinks:
    """What a link leads to is read once."""

    def test_a_linked_folder_and_a_linked_file_are_read(self, tmp_path: Path) -> None:
        root, out = fill(tmp_path / "root", *PETS), fill(tmp_path / "out", "1.png", "2.png", "deep/3.png")
        (root / "cat" / "more").symlink_to(out, target_is_directory=True)
        (root / "dog" / "3.png").symlink_to(fill(tmp_path, "4.png") / "4.png")
        own = tl.data.read(root)
        assert counts(own) == {"cat": 5, "dog": 3} and own.left_out.empty

    def test_a_link_that_loops_is_told(self, tmp_path: Path) -> None:
        fill(tmp_path, *PETS)
        for name, target in (("cat/up", "."), ("cat/here", "cat"), ("loop", ".")):
            (tmp_path / name).symlink_to(tmp_path / target, target_is_directory=True)
        own = tl.data.read(tmp_path)
        assert counts(own) == {"cat": 2, "dog": 2}
        assert reasons(own) == dict.fromkeys(("cat/up", "cat/here", "loop"), "a link to a folder that holds it")

    def test_a_broken_link_is_told(self, tmp_path: Path) -> None:
        (fill(tmp_path, *PETS) / "cat" / "3.png").symlink_to(tmp_path / "gone.png")
        assert reasons(tl.data.read(tmp_path)) == {"cat/3.png": "a broken link"}

    def test_a_file_reached_twice_is_read_once(self, tmp_path: Path) -> None:
        (fill(tmp_path, *PETS) / "cat" / "9.png").symlink_to(tmp_path / "cat" / "1.png")
        os.link(tmp_path / "dog" / "1.png", tmp_path / "dog" / "9.png")
        own = tl.data.read(tmp_path)
        assert counts(own) == {"cat": 2, "dog": 2}
        assert reasons(own) == {f"{n}/9.png": f"a link to {n}/1.png, which is read" for n in ("cat", "dog")}

    def test_a_file_in_two_classes_is_refused(self, tmp_path: Path) -> None:
        (fill(tmp_path, *PETS) / "dog" / "more").symlink_to(tmp_path / "cat", target_is_directory=True)
        with pytest.raises(
            ValueError, match=r"cat/1\.png and dog/more/1\.png under .* one file, .* in two classes"
        ):
            tl.data.read(tmp_path)


class TestParts:
    """A part is one by its name, and when it holds class folders."""

    @pytest.mark.parametrize("name", ["train", "valid", "test", "Training"])
    def test_a_folder_full_of_images_is_a_class(self, tmp_path: Path, name: str) -> None:
        own = tl.data.read(fill(tmp_path, *PETS, f"{name}/1.png", f"{name}/2.png"))
        assert counts(own) == {"cat": 2, "dog": 2, name: 2}

    def test_parts_beside_classes_are_a_question(self, tmp_path: Path) -> None:
        fill(tmp_path, *PETS, *within(PETS, "train"))
        said = (
            r"has parts \(train\) beside other folders \['cat', 'dog'\]; move those away if 'train' is a part .*"
            r"classes 'cat', 'dog'\. If 'train' is a class like 'cat', move its images"
        )
        with pytest.raises(ValueError, match=said):
            tl.data.read(tmp_path)

    def test_a_folder_without_images_beside_parts_is_passed_over(self, tmp_path: Path) -> None:
        own = tl.data.read(fill(tmp_path, *within(PETS, "train", "test"), "annotations/1.json"))
        assert counts(own) == {"cat": 4, "dog": 4}
        assert reasons(own) == {"annotations/1.json": "ending '.json'"}

    @pytest.mark.parametrize(
        "names", [("training_set", "test_set"), ("train-data", "Test Data"), ("TRAIN", "dev"), ("train ", "test")]
    )
    def test_parts_have_many_names(self, tmp_path: Path, names: tuple[str, str]) -> None:
        assert counts(tl.data.read(fill(tmp_path, *within(PETS, *names)))) == {"cat": 4, "dog": 4}

    @pytest.mark.parametrize("beside", [(), ("bus/1.png", "bus/2.png")])
    def test_parts_without_class_folders_lack_labels(self, tmp_path: Path, beside: tuple[str, ...]) -> None:
        fill(tmp_path, "train/1.png", "train/2.png", "test/1.png", "test/2.png", *beside)
        with pytest.raises(
            ValueError, match=r"'test', 'train', with images in them and no class folders.*train/<cl"
        ):
            tl.data.read(tmp_path)

    @pytest.mark.parametrize(
        "names",
        [
            ("seg_train", "seg_test"),
            ("cats_train", "dogs_train", "cats_val"),
            ("train-cats", "testing-cats"),
            ("cat (train)", "cat (test)"),
            ("train2017", "val2017"),
            ("trainA", "trainB", "testA", "testB"),
            ("TrainCats", "TestCats"),
        ],
    )
    def test_parts_in_the_names_of_folders_are_a_question(self, tmp_path: Path, names: tuple[str, ...]) -> None:
        with pytest.raises(ValueError, match=r"are named like parts of a divided set\. Put class folders into"):
            tl.data.read(fill(tmp_path, *within(("1.png", "2.png"), *names)))

    def test_unlabeled_images_of_a_part_are_left_out(self, tmp_path: Path) -> None:
        own = tl.data.read(fill(tmp_path, *within(PETS, "train"), "test/8.png", "test/9.png"))
        assert counts(own) == {"cat": 2, "dog": 2}
        assert reasons(own) == dict.fromkeys(("test/8.png", "test/9.png"), "beside the class folders")

    @pytest.mark.parametrize(
        ("names", "said"),
        [
            (
                ("train/cat", "train/dog", "test/unknown"),
                r"class 'unknown' stands in test alone, not in train\. If",
            ),
            (
                ("train/cat", "train/dog", "val/new", "test/new"),
                r"class 'new' stands in test and val alone, not in train",
            ),
            (
                ("val/cat", "val/dog", "test/cat", "test/dog", "test/x"),
                r"class 'x' stands in test alone, not in val",
            ),
            (("train/cat", "train/dog", "train/unknown", "test/cat"), r"'unknown' stands in train alone"),
        ],
    )
    def test_a_class_of_one_part_alone_is_a_question(
        self, tmp_path: Path, names: tuple[str, ...], said: str
    ) -> None:
        fill(tmp_path, *(f"{name}/{number}.png" for name in names for number in range(2)))
        with pytest.raises(ValueError, match=rf"{said}.*move .* away; if it is a class"):
            tl.data.read(tmp_path)

    @pytest.mark.parametrize("inner", ["training_set/cat", "training_set/dog", "training_set"])
    def test_a_part_within_a_part_is_told(self, tmp_path: Path, inner: str) -> None:
        fill(tmp_path, *(f"training_set/{inner}/{n}.png" for n in range(2)), *within(PETS, "test_set/test_set"))
        with pytest.raises(ValueError, match=r"a part within a part\. Move the class folders one level up, from"):
            tl.data.read(tmp_path)

    def test_a_class_named_like_a_part_may_stand_in_parts(self, tmp_path: Path) -> None:
        pictures = within(("train/1.png", "train/2.png", "bus/1.png", "bus/2.png"), "train", "test")
        assert counts(tl.data.read(fill(tmp_path, *pictures))) == {"bus": 4, "train": 4}


class TestMasks:
    """What belongs to an image is no image of the class."""

    @pytest.mark.parametrize(
        "name",
        ["1_mask.png", "1_mask_1.png", "1-seg.gif", "1.GT.png", "1 label.png", "masks/1.png", "ground_truth/1.png",
         "deep/annotations/1.png"],
    )  # fmt: skip
    @pytest.mark.parametrize("place", ["", "train/"])
    def test_masks_beside_the_images_of_a_class_are_a_question(
        self, tmp_path: Path, name: str, place: str
    ) -> None:
        fill(tmp_path, *within(PETS, place or "."), f"{place}cat/{name}")
        said = (
            rf"1 file\(s\) are named like masks, first {place}cat/{name} beside .*: move them out.*If they are im"
        )
        with pytest.raises(ValueError, match=said):
            tl.data.read(tmp_path)

    @pytest.mark.parametrize(
        ("names", "said"),
        [
            (("images/1.png", "masks/1.png"), r"holds 'images' beside 'masks'.*make a folder for each class"),
            (
                ("train/images/1.png", "train/labels/1.txt", "valid/images/2.png", "valid/labels/2.txt"),
                r"train holds 'images' beside 'labels'.*boxes are no class folders: make a folder for each class",
            ),
            (("images/train/1.png", "labels/train/1.txt"), r"holds 'images' beside 'labels'"),
            (("JPEGImages/1.png", "Annotations/1.xml"), r"holds 'JPEGImages' beside 'Annotations'"),
            (("train/1.png", "train_masks/1.gif"), r"holds 'train' beside 'train_masks'"),
            (within(PETS, "images", "masks"), r"give '.*/images', which holds 'cat', 'dog'"),
        ],
    )
    def test_images_beside_masks_are_no_classes(self, tmp_path: Path, names: tuple[str, ...], said: str) -> None:
        with pytest.raises(ValueError, match=rf"{said}.*If they are classes, rename"):
            tl.data.read(fill(tmp_path, *names))

    @pytest.mark.parametrize(
        "names",
        [
            ("masks", "gloves"),
            ("mask", "no mask"),
            ("face", "face_mask"),
            ("labels", "boxes"),
            ("cat/images", "dog/images"),
        ],
    )
    def test_classes_named_like_masks_are_read(self, tmp_path: Path, names: tuple[str, ...]) -> None:
        own = tl.data.read(fill(tmp_path, *within(("1.png", "2_mask.png"), *names)))
        assert counts(own) == {name.split("/")[0]: 2 for name in names}


class TestInner:
    """Whether the folders outside or inside are the classes."""

    @pytest.mark.parametrize(
        "folders",
        [
            ("10253/0", "10253/1", "10254/0", "10254/1", "10255/0"),
            ("fold1/cat", "fold1/dog", "fold2/cat", "fold2/dog"),
            ("original/cat", "original/dog", "augmented/cat", "augmented/dog"),
            ("cat/left", "cat/right", "dog/left", "dog/right"),
            ("train/p1/cat", "train/p1/dog", "train/p2/cat", "train/p2/dog"),
        ],
    )
    def test_the_same_folders_in_two_classes_are_a_question(
        self, tmp_path: Path, folders: tuple[str, ...]
    ) -> None:
        said = (
            r"the folders .* both hold .*no image beside\. If .* take the class folders together, .*is a class, mo"
        )
        with pytest.raises(ValueError, match=said):
            tl.data.read(fill(tmp_path, *within(("1.png", "2.png"), *folders)))

    @pytest.mark.parametrize("name", ["flowers/daisy", "flowers/deep/Daisy"])
    def test_a_folder_named_like_another_class_is_a_question(self, tmp_path: Path, name: str) -> None:
        fill(tmp_path, *within(("1.png", "2.png"), "daisy", "rose", name, "flowers/rose"))
        said = r"'flowers' holds a folder '[dD]aisy', and 'daisy' is a class, too\. If .*move its images there"
        with pytest.raises(ValueError, match=said):
            tl.data.read(tmp_path)

    @pytest.mark.parametrize(
        "folders",
        [
            ("day1", "day2"),
            ("2024-05-01", "2024-05-02"),
            ("camera_a", "camera_b"),
            ("p01", "p02"),
            ("train", "test"),
            ("deep",),
            (".", "left", "right"),
        ],
    )
    def test_folders_within_a_class_are_read(self, tmp_path: Path, folders: tuple[str, ...]) -> None:
        places = [f"{name}/{folder}" for name in ("cat", "dog") for folder in folders]
        own = tl.data.read(fill(tmp_path, *within(("1.png", "2.png"), *places)))
        assert counts(own) == dict.fromkeys(("cat", "dog"), 2 * len(folders))

    def test_a_doubled_class_folder_is_read(self, tmp_path: Path) -> None:
        own = tl.data.read(fill(tmp_path, *within(("1.png", "2.png"), "cat/cat", "dog/dog")))
        assert counts(own) == {"cat": 2, "dog": 2}


class TestClasses:
    """Two classes differ in more than their writing, and each holds images."""

    @pytest.mark.parametrize(
        ("one", "other", "said"),
        [
            ("Cat", "cat", r"the classes 'Cat' and 'cat' differ only in upper and lower case"),
            ("cat ", "cat", r"'cat' and 'cat ' differ only in the spaces around them"),
            ("hot  dog", "hot dog", r"'hot  dog' and 'hot dog' differ only in case, spaces or Unicode form"),
            ("caf\u00e9", "cafe\u0301", r"'cafe\\u0301' and 'caf\\xe9' differ only in their Unicode form"),
            ("cat\u200b", "cat", r"'cat' and 'cat\\u200b' differ only"),
            ("1", "01", r"'01' and '1' differ only in how the number is written"),
        ],
    )
    def test_names_that_differ_in_writing_only_are_a_question(
        self, tmp_path: Path, one: str, other: str, said: str
    ) -> None:
        images = ("1.png", "2.png")
        fill(tmp_path / "plain", *within(images, one, other, "bird"))
        fill(tmp_path / "parts", *within(images, f"train/{one}", "train/bird", f"test/{other}", "test/bird"))
        for name in ("plain", "parts"):
            with pytest.raises(ValueError, match=rf"{said}.*write them alike"):
                tl.data.read(tmp_path / name)

    @pytest.mark.parametrize(
        ("name", "said"),
        [("nan", "is named like a missing label"), ("Unlabeled", "says that its images have no label")],
    )
    def test_a_missing_label_is_no_class(self, tmp_path: Path, name: str, said: str) -> None:
        with pytest.raises(ValueError, match=rf"class folder '{name}' {said}; move it away,? or rename it"):
            tl.data.read(fill(tmp_path, *PETS, f"{name}/1.png"))

    def test_none_is_a_class(self, tmp_path: Path) -> None:
        assert counts(tl.data.read(fill(tmp_path, *PETS, "none/1.png", "none/2.png")))["none"] == 2

    @pytest.mark.parametrize(
        ("names", "said"),
        [
            (("a/1.HEIC", "a/2.heic", "b/1.heic"), r"no class folder under .*: it holds 3 \.heic; convert them"),
            ((*PETS, "b/1.heic", "b/2.txt"), r"class folder 'b' under .*: it holds 1 \.heic, 1 \.txt; convert"),
            ((*PETS, "b/1.txt"), r"class folder 'b' .*: it holds 1 \.txt; put images there, or move it away"),
            ((*PETS, "b/"), r"class folder 'b' .*: it is empty; put its images there, or delete it"),
            ((*PETS, "b/@eaDir/1.png"), r"class folder 'b' .*not read \(in system folder '@eaDir'\)"),
            (("1.png", "2.png"), r"0 class folder.* Its 2 image\(s\) lie in no folder: move each into"),
            (("1.png", "labels.csv"), r"0 class folder.* is '.*labels\.csv' their table\?"),
            (("1.heic",), r"0 class folder.* It holds 1 \.heic; convert them"),
            (within(PETS, "images/train"), r"1 class folder.* Give '.*images/train', which holds 'cat', 'dog'"),
            (
                within(PETS, "images/train", "images/test"),
                r"1 class.* Give '.*images', which holds 'test', 'train'",
            ),
            (within(PETS, "set"), r"1 class folder\(s\) \('set',\).* Give '.*/set', which holds 'cat', 'dog'"),
        ],
    )
    def test_what_is_there_instead_is_told(self, tmp_path: Path, names: tuple[str, ...], said: str) -> None:
        with pytest.raises(ValueError, match=said):
            tl.data.read(fill(tmp_path, *names))
