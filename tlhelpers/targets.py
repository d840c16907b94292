"""Small target tasks from packaged data: many questions for one pretrained network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from importlib.resources import files
from pathlib import Path

import numpy as np

from tlhelpers import data
from tlhelpers.data import ImageSet, Splits

TRAIN, VAL, TEST = 100, 60, 400
SIDE = 64  # pixels of a crop
PHOTOS = ("chelsea", "coffee", "astronaut", "rocket", "china", "flower")
TEXTURES = ("brick", "grass", "gravel")
CUTS = ("blocks.0", "blocks.2", "blocks.4", "blocks.6", "top")  # stages of the packaged network


@cache
def picture(name: str) -> np.ndarray:
    """Return a picture that comes with scikit-image or scikit-learn, ``[H, W]`` or ``[H, W, 3]``, 8 bits."""
    if name in ("china", "flower"):
        from sklearn.datasets import load_sample_image

        return np.array(load_sample_image(f"{name}.jpg"))
    from skimage import data as samples

    return np.asarray(getattr(samples, name)())


def crop(whole: np.ndarray, left: float, right: float, rng: np.random.Generator) -> tuple[np.ndarray, int, int]:
    """Return a random square of :data:`SIDE` pixels from a vertical strip of a picture, and its row and column.

    Strips that do not overlap make parts that share no pixel.

    Args:
        left, right: ends of the strip, as shares of the width.
    """
    start, stop = (round(at * whole.shape[1]) for at in (left, right))
    x = int(rng.integers(start, stop - SIDE + 1))
    y = int(rng.integers(0, whole.shape[0] - SIDE + 1))
    return np.ascontiguousarray(whole[y : y + SIDE, x : x + SIDE]), y, x


def strips(draw: Callable[[int, float, float], ImageSet]) -> Splits:
    """Return train, validation and test parts from three strips of the pictures that share no pixel.

    Args:
        draw: from number of images, left end and right end of the strip to the images.
    """
    return Splits(draw(TRAIN, 0.0, 0.4), draw(VAL, 0.4, 0.6), draw(TEST, 0.6, 1.0))


def origin(names: Sequence[str], seed: int) -> Splits:
    """Return crops of several pictures, asked from which each comes."""
    rng = np.random.default_rng(seed)

    def draw(count: int, left: float, right: float) -> ImageSet:
        labels = np.arange(count) % len(names)
        images = [crop(picture(names[label]), left, right, rng)[0] for label in labels.tolist()]
        return ImageSet(images, labels, tuple(names))

    return strips(draw)


def turned(seed: int) -> Splits:
    """Return crops of photos, each turned by a multiple of 90 degrees, asked by which."""
    rng = np.random.default_rng(seed)

    def draw(count: int, left: float, right: float) -> ImageSet:
        turns = rng.permutation(np.arange(count) % 4)
        names = rng.permutation(np.array(PHOTOS)[np.arange(count) % len(PHOTOS)])
        pixels = [crop(picture(str(name)), left, right, rng)[0] for name in names]
        images = [np.ascontiguousarray(np.rot90(one, turn)) for one, turn in zip(pixels, turns, strict=True)]
        return ImageSet(images, turns, ("upright", "left", "upside down", "right"))

    return strips(draw)


def depth(seed: int) -> Splits:
    """Return crops of one photo of a garage, asked whether they show something nearer than its median depth."""
    from skimage.data import stereo_motorcycle

    photo, _, disparity = stereo_motorcycle()
    middle = np.median(disparity[np.isfinite(disparity)])
    rng = np.random.default_rng(seed)

    def draw(count: int, left: float, right: float) -> ImageSet:
        images: list[np.ndarray] = []
        labels: list[int] = []
        while len(images) < count:
            found, y, x = crop(photo, left, right, rng)
            inside = disparity[y : y + SIDE, x : x + SIDE]
            near = int(np.median(inside[np.isfinite(inside)]) > middle)
            if labels.count(near) < count / 2:
                images.append(found)
                labels.append(near)
        return ImageSet(images, np.array(labels), ("far", "near"))

    return strips(draw)


def cells(question: str, seed: int) -> Splits:
    """Return solar cells, asked whether they are defective or whether their silicon is one crystal or many."""
    images = data.load("elpv")
    if question == "kind":
        table = Path(str(files("elpv_dataset"))) / "data" / "labels.csv"
        kinds = np.genfromtxt(table, dtype=str)[:, 2]
        images = ImageSet(images.images, (kinds == "poly").astype(np.int64), ("mono", "poly"))
    return data.split(images, TRAIN, VAL, TEST, seed)


def digits(question: str, seed: int) -> Splits:
    """Return handwritten digits of 8 by 8 pixels, asked which they are or whether they are odd."""
    from sklearn.datasets import load_digits

    found = load_digits()
    pixels = [np.ascontiguousarray(image) for image in (found.images * 255 / 16).round().astype(np.uint8)]
    if question == "parity":
        return data.split(ImageSet(pixels, found.target % 2, ("even", "odd")), TRAIN, VAL, TEST, seed)
    return data.split(ImageSet(pixels, found.target, tuple("0123456789")), TRAIN, VAL, TEST, seed)


def faces(seed: int) -> Splits:
    """Return gray patches of 25 by 25 pixels, half of them faces; there are 200, so the test part is small."""
    patches = (picture("lfw_subset") * 255).round().astype(np.uint8)
    images = ImageSet(list(patches), np.repeat([1, 0], 100), ("no face", "face"))
    return data.split(images, TRAIN, 40, 60, seed)


def pixels(images: ImageSet, side: int = 16) -> np.ndarray:
    """Return the images as plain numbers, ``[N, 3 * side * side]`` from 0 to 1: features without a network."""
    small = (images[i][0].resize((side, side)) for i in range(len(images)))
    return np.stack([np.asarray(image, dtype=float).ravel() / 255 for image in small])


IMAGE_TASKS: dict[str, Callable[[int], Splits]] = {
    "defects": partial(cells, "defects"),
    "mono or poly": partial(cells, "kind"),
    "digits": partial(digits, "value"),
    "odd or even": partial(digits, "parity"),
    "faces": faces,
    "textures": partial(origin, TEXTURES),
    "photos": partial(origin, PHOTOS),
    "near or far": depth,
    "turned": turned,
}
"""Nine questions about pictures: from a seed to splits with 100 labels to train on."""

CLASSES = {"digits": 10, "textures": 3, "photos": 6, "turned": 4}
"""Number of classes of the tasks that have more than two."""
