"""Small tasks from packaged pictures: parts that share nothing, labels that mean what they say."""

from __future__ import annotations

import numpy as np
import pytest

import tlhelpers as tl
from tlhelpers.data import _tasks

QUICK = [
    name for name in tl.data.IMAGE_TASKS if name not in ("defects", "mono or poly")
]  # those decode 2,624 files


@pytest.mark.parametrize("name", QUICK)
class TestEveryTask:
    def test_it_has_a_hundred_training_images_of_every_class(self, name: str) -> None:
        splits = tl.data.IMAGE_TASKS[name](0)
        assert len(splits.train) == 100 and len(splits.val) in (40, 60) and len(splits.test) in (60, 400)
        assert len(splits.train.classes) == tl.data.TASK_CLASSES.get(name, 2)
        for part in splits:
            assert np.bincount(part.labels, minlength=len(part.classes)).min() >= 5
            assert part[0][0].mode == "RGB"

    def test_the_seed_decides(self, name: str) -> None:
        make = tl.data.IMAGE_TASKS[name]
        first, again, other = (b"".join(np.asarray(i).tobytes() for i in make(s).train.images) for s in (0, 0, 1))
        assert first == again != other


class TestStrips:
    def test_parts_share_no_pixel(self, monkeypatch: pytest.MonkeyPatch) -> None:
        columns = np.tile(np.arange(640) // 4, (100, 1)).astype(np.uint8)  # a pixel tells where it was
        monkeypatch.setattr(_tasks, "photo", lambda name: columns)
        seen = [
            {v for image in part.images for v in np.unique(image)} for part in tl.data.IMAGE_TASKS["photos"](0)
        ]
        assert all(not seen[a] & seen[b] for a, b in ((0, 1), (0, 2), (1, 2)))

    def test_a_crop_lies_where_it_says(self) -> None:
        whole = np.random.default_rng(0).integers(0, 255, (200, 300), dtype=np.uint8)
        found, y, x = tl.data.crop(whole, 0.4, 0.8, np.random.default_rng(1))
        assert (found == whole[y : y + 64, x : x + 64]).all() and 120 <= x <= 240 - 64


class TestPhotosInAnotherOrder:
    def test_pictures_come_in_turn_or_shuffled_and_as_often(self) -> None:
        make = tl.data.IMAGE_TASKS["photos"]
        in_turn, shuffled = (make(0, sizes=(20, 12, 18), shuffle=order) for order in (False, True))
        for part, other in zip(in_turn, shuffled, strict=True):
            assert part.labels.tolist() == [i % 6 for i in range(len(part))] != other.labels.tolist()
            assert sorted(part.labels.tolist()) == sorted(other.labels.tolist()) and part.classes == other.classes
        again = make(0, sizes=(20, 12, 18))
        assert all(np.array_equal(a, b) for a, b in zip(again.train.images, in_turn.train.images, strict=True))

    def test_a_shuffled_label_still_names_the_photo(self, monkeypatch: pytest.MonkeyPatch) -> None:
        number = {name: i for i, name in enumerate(tl.data.PHOTOS)}
        monkeypatch.setattr(_tasks, "photo", lambda name: np.full((80, 400), number[name], np.uint8))
        for part in tl.data.IMAGE_TASKS["photos"](3, sizes=(18, 18, 18), shuffle=True):
            assert [int(image[0, 0]) for image in part.images] == part.labels.tolist()


class TestHandwrittenDigits:
    def test_some_of_them_are_those_of_all_counted_from_the_first(self) -> None:
        whole, some = tl.data.handwritten_digits(), tl.data.handwritten_digits(5, 9)
        assert len(whole) == 1797 and whole.classes == tuple("0123456789") and some.classes == tuple("56789")
        assert whole.images[0].shape == (8, 8) and whole.images[0].dtype == np.uint8
        high = whole.take(np.flatnonzero(whole.labels >= 5))
        assert np.array_equal(np.stack(some.images), np.stack(high.images))
        assert np.array_equal(some.labels, high.labels - 5)
        assert np.stack(whole.images).min() == 0 and np.stack(whole.images).max() == 255

    @pytest.mark.parametrize("ends", [(5, 5), (6, 3), (-1, 4), (0, 10)])
    def test_what_is_no_two_digits_is_refused(self, ends: tuple[int, int]) -> None:
        with pytest.raises(ValueError, match=f"first={ends[0]}, last={ends[1]}; give two digits"):
            tl.data.handwritten_digits(*ends)


def test_the_kind_of_a_cell_is_told_in_the_order_of_the_cells() -> None:
    kinds = tl.data.cell_kinds()
    assert kinds.shape == (2624,) and set(kinds) == {"mono", "poly"}


class TestQuestions:
    def test_odd_or_even_asks_about_the_same_digits(self) -> None:
        value = {
            image.tobytes(): label
            for part in tl.data.IMAGE_TASKS["digits"](0)
            for image, label in zip(part.images, part.labels, strict=True)
        }
        parity = tl.data.IMAGE_TASKS["odd or even"](0).train
        known = [(image.tobytes(), odd) for image, odd in zip(parity.images, parity.labels, strict=True)]
        pairs = [(value[key], odd) for key, odd in known if key in value]
        assert len(pairs) > 10 and all(v % 2 == p for v, p in pairs)

    def test_turns_are_quarter_turns_to_the_left(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(_tasks, "photo", lambda name: np.arange(400 * 400).reshape(400, 400) // 400 // 2)
        monkeypatch.setattr(_tasks, "ImageSet", lambda images, labels, classes: (images, labels, classes))
        images, labels, classes = tl.data.IMAGE_TASKS["turned"](0).train
        for image, label in zip(images, labels, strict=True):
            upright = np.rot90(image, -label)
            assert upright[0, 0] < upright[-1, 0] and classes[0] == "upright"

    def test_near_and_far_are_even_in_every_part(self) -> None:
        assert all(
            np.bincount(part.labels).tolist() == [len(part) / 2] * 2
            for part in tl.data.IMAGE_TASKS["near or far"](0)
        )

    def test_pixels_are_shares_of_white(self) -> None:
        images = tl.data.IMAGE_TASKS["faces"](0).val
        found = tl.data.pixels(images, side=4)
        assert found.shape == (40, 48) and 0 <= found.min() < found.max() <= 1


class TestPhotographs:
    def test_they_come_with_the_packages_and_are_rgb(self) -> None:
        found = tl.data.photographs()
        assert len(found) == 8 and all(p.dtype == np.uint8 and p.shape[2:] == (3,) for p in found.values())

    def test_textures_are_three(self) -> None:
        assert list(tl.data.textures()) == ["brick", "grass", "gravel"]


class TestPieces:
    @pytest.fixture
    def places(self) -> dict[str, np.ndarray]:
        """Return photographs in which the gray value tells column or row."""
        ramp = np.tile(np.arange(200, dtype=np.uint8), (200, 1))
        return {"columns": ramp, "rows": ramp.T.copy()}

    def test_they_are_labeled_with_their_photograph(self, places: dict[str, np.ndarray]) -> None:
        found = tl.data.pieces(places, 5, 0, seed=0)
        assert found.classes == ("columns", "rows") and found.labels.tolist() == [0] * 5 + [1] * 5

    @pytest.mark.parametrize("seed", range(4))
    def test_no_pixel_lies_in_pieces_of_both_sides(self, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
        size = 60
        number = np.arange(size * size).reshape(size, size)
        seen: dict[int, set[int]] = {0: set(), 1: set()}
        for side in (0, 1):
            # Each pixel is found again by looking where its neighborhood was cut.
            rng = np.random.default_rng(9)
            noise = rng.integers(0, 256, size=(size, size), dtype=np.uint8)
            for piece in cut_places(noise, side, seed):
                y, x, length = piece
                seen[side] |= set(number[y : y + length, x : x + length].ravel().tolist())
        assert seen[0] and seen[1] and not seen[0] & seen[1]

    def test_brightness_and_contrast_say_nothing(self) -> None:
        rng = np.random.default_rng(0)
        dark = rng.normal(40, 4, size=(120, 120)).clip(0, 255).astype(np.uint8)
        found = tl.data.pieces({"dark": dark, "bright": dark + 180}, 20, 0, seed=0)
        means = np.array([piece.mean() for piece in found.images])
        spreads = np.array([piece.std() for piece in found.images])
        assert means.min() > 105 and means.max() < 150 and spreads.min() > 30
        assert abs(means[:20].mean() - means[20:].mean()) < 10

    def test_turned_pieces_are_full(self) -> None:
        white = np.full((100, 100), 250, dtype=np.uint8)
        white[::2] = 240
        for piece in tl.data.pieces({"white": white}, 8, 0, seed=1, turned=True).images:
            # A black corner from outside would lie many deviations below all others.
            values = piece.astype(float)
            assert values.min() > values.mean() - 3 * values.std()

    def test_a_seed_sets_them(self, places: dict[str, np.ndarray]) -> None:
        first, again, other = (tl.data.pieces(places, 3, 0, seed=s) for s in (0, 0, 1))
        assert all(np.array_equal(a, b) for a, b in zip(first.images, again.images, strict=True))
        assert any(a.shape != b.shape or (a != b).any() for a, b in zip(first.images, other.images, strict=True))

    @pytest.mark.parametrize(
        ("settings", "message"),
        [({"side": 2}, "side=2; a line has sides 0 and 1"), ({"shares": (0.3, 0.8)}, "0.5 or less, above 0")],
        ids=["side", "size"],
    )
    def test_what_cannot_be_cut_is_refused(
        self, places: dict[str, np.ndarray], settings: dict, message: str
    ) -> None:
        with pytest.raises(ValueError, match=message):
            tl.data.pieces(places, 2, **({"side": 0, "seed": 0} | settings))


def cut_places(noise: np.ndarray, side: int, seed: int) -> list[tuple[int, int, int]]:
    """Return where pieces were cut from an image of noise, found by comparing them with it."""
    found = []
    for piece in tl.data.pieces({"noise": noise}, 12, side, seed).images:
        length = len(piece)
        windows = np.lib.stride_tricks.sliding_window_view(noise.astype(float), (1, length))[: 61 - length, :, 0]
        for first in (piece[0].astype(float), piece[0, ::-1].astype(float)):
            scaled = (windows - windows.mean(2, keepdims=True)) / windows.std(2, keepdims=True)
            fit = scaled @ (first - first.mean()) / first.std() / length
            found += [(y, x, length) for y, x in np.argwhere(fit > 0.9).tolist()]
    assert len(found) == 12
    return found


@pytest.mark.parametrize("name", [*tl.data.PHOTOS, *tl.data.TEXTURES, "lfw_subset"])
def test_a_photo_is_read_once_and_nobody_can_change_it(name: str) -> None:
    pixels = tl.data.photo(name)
    assert pixels is tl.data.photo(name)
    with pytest.raises(ValueError, match="read-only"):
        pixels[0] = 0


class TestModulesOfTheCells:
    def test_there_are_as_many_of_each_kind_as_were_published(self) -> None:
        modules, kinds = tl.data.cell_modules(), tl.data.cell_kinds()
        assert len(modules) == len(kinds) == 2624 and modules[0] == 0 and modules[-1] == 43
        assert (np.diff(modules) >= 0).all() and (np.diff(modules) <= 1).all()
        of_kind = {kind: len(np.unique(modules[kinds == kind])) for kind in ("mono", "poly")}
        assert of_kind == {"mono": 18, "poly": 26}
        assert all(len(np.unique(kinds[modules == module])) == 1 for module in range(44))

    def test_small_and_large_modules_stand_alone(self) -> None:
        assert np.bincount(tl.data.cell_modules())[[0, 36, 40]].tolist() == [60, 72, 48]

    def test_another_order_or_number_of_cells_is_refused(self) -> None:
        kinds = tl.data.cell_kinds()
        names = [f"images/cell{number:04d}.png" for number in range(1, len(kinds) + 1)]
        _tasks.modules_of(kinds, names)
        with pytest.raises(ValueError, match="not listed by name"):
            _tasks.modules_of(kinds, names[::-1])
        with pytest.raises(ValueError, match="published are 18 and 26"):
            _tasks.modules_of(kinds[100:], names[100:])  # some modules are gone
        with pytest.raises(ValueError, match="The package has changed"):
            _tasks.modules_of(np.random.default_rng(0).permutation(kinds), names)
