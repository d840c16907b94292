"""Small target tasks from packaged data: many questions for one pretrained network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from importlib.resources import files
from pathlib import Path

import numpy as np
from PIL import Image

from tlhelpers.data._images import ImageSet, Splits, load, split

Sizes = tuple[int, int, int]
SIZES: Sizes = (100, 60, 400)
CROP_SIDE = 64
"""Pixels of the side of a crop."""
PHOTOS = ("chelsea", "coffee", "astronaut", "rocket", "china", "flower")
TEXTURES = ("brick", "grass", "gravel")
CELLS_A_MODULE = 60
MODULES = {"mono": 18, "poly": 26}


@cache
def photo(name: str) -> np.ndarray:
    """Return a picture that comes with scikit-image or scikit-learn, ``[H, W]`` or ``[H, W, 3]``, read-only."""
    if name in ("china", "flower"):
        from sklearn.datasets import load_sample_image

        picture = load_sample_image(f"{name}.jpg")
    else:
        from skimage import data as samples

        picture = getattr(samples, name)()
    pixels = np.array(picture[0] if isinstance(picture, tuple) else picture)  # a stereo pair is seen from the left
    pixels.setflags(write=False)  # every caller gets these very pixels
    return pixels


def crop(whole: np.ndarray, left: float, right: float, rng: np.random.Generator) -> tuple[np.ndarray, int, int]:
    """Return a random square of :data:`CROP_SIDE` pixels from a vertical strip of a picture, its row and column.

    Strips that do not overlap make parts that share no pixel.

    Args:
        left, right: ends of the strip, as shares of the width.
    """
    start, stop = (round(at * whole.shape[1]) for at in (left, right))
    x = int(rng.integers(start, stop - CROP_SIDE + 1))
    y = int(rng.integers(0, whole.shape[0] - CROP_SIDE + 1))
    return np.ascontiguousarray(whole[y : y + CROP_SIDE, x : x + CROP_SIDE]), y, x


def strips(draw: Callable[[int, float, float], ImageSet], sizes: Sizes = SIZES) -> Splits:
    """Return train, validation and test parts from three strips of the pictures that share no pixel.

    Args:
        draw: from number of images, left end and right end of the strip to the images.
        sizes: images of the three parts.
    """
    ends = ((0.0, 0.4), (0.4, 0.6), (0.6, 1.0))
    return Splits(*(draw(size, *strip) for size, strip in zip(sizes, ends, strict=True)))


def origin(names: Sequence[str], seed: int, sizes: Sizes = SIZES, *, shuffle: bool = False) -> Splits:
    """Return crops of several pictures, asked from which each comes.

    Args:
        shuffle: draw the order of the pictures, too, and with it other crops; else they come in turn.
    """
    rng = np.random.default_rng(seed)

    def draw(count: int, left: float, right: float) -> ImageSet:
        labels = np.arange(count) % len(names)
        if shuffle:
            labels = rng.permutation(labels)
        images = [crop(photo(names[label]), left, right, rng)[0] for label in labels.tolist()]
        return ImageSet(images, labels, tuple(names))

    return strips(draw, sizes)


def turned(seed: int, sizes: Sizes = SIZES) -> Splits:
    """Return crops of photos, each turned by a multiple of 90 degrees, asked by which."""
    rng = np.random.default_rng(seed)

    def draw(count: int, left: float, right: float) -> ImageSet:
        turns = rng.permutation(np.arange(count) % 4)
        names = rng.permutation(np.array(PHOTOS)[np.arange(count) % len(PHOTOS)])
        pixels = [crop(photo(str(name)), left, right, rng)[0] for name in names]
        images = [np.ascontiguousarray(np.rot90(*pair)) for pair in zip(pixels, turns, strict=True)]
        return ImageSet(images, turns, ("upright", "left", "upside down", "right"))

    return strips(draw, sizes)


def depth(seed: int, sizes: Sizes = SIZES) -> Splits:
    """Return crops of one photo of a garage, asked whether they show something nearer than its median depth."""
    from skimage.data import stereo_motorcycle

    garage, _, disparity = stereo_motorcycle()
    middle = np.median(disparity[np.isfinite(disparity)])
    rng = np.random.default_rng(seed)

    def draw(count: int, left: float, right: float) -> ImageSet:
        images: list[np.ndarray] = []
        labels: list[int] = []
        while len(images) < count:
            image, y, x = crop(garage, left, right, rng)
            inside = disparity[y : y + CROP_SIDE, x : x + CROP_SIDE]
            near = int(np.median(inside[np.isfinite(inside)]) > middle)
            if labels.count(near) < count / 2:
                images.append(image)
                labels.append(near)
        return ImageSet(images, np.array(labels), ("far", "near"))

    return strips(draw, sizes)


def cell_kinds() -> np.ndarray:
    """Return ``mono`` or ``poly`` for every solar cell, ``[N]``, in the order of :func:`tlhelpers.data.load`."""
    table = Path(str(files("elpv_dataset"))) / "data" / "labels.csv"
    return np.genfromtxt(table, dtype=str)[:, 2]


def cell_modules() -> np.ndarray:
    """Return the solar module that each cell was cut from, ``[N]`` int64 from 0 to 43, in the order of ``load``.

    ELPV does not say it, but its list goes module by module: cells of one kind stand in runs, and cut into pieces
    of about 60 cells these make 44 modules, 18 of one crystal and 26 of many, as Deitsch et al. (2019) report.
    Within a run of several modules an edge may be off by a cell or two. Cells of one module share its make, its
    damage and its camera, so a split has to keep them together.

    Raises:
        ValueError: when the package lists other cells, or in another order, so that no module can be told.
    """
    return modules_of(cell_kinds(), _cell_names())


def load_groups(name: str | Path) -> np.ndarray | None:
    """Return which images of :func:`load` belong together ``[N]``: modules for ``elpv``, ``None`` for a folder.

    A folder says nothing of its groups; :func:`read` takes them from file names or from a table.
    """
    return cell_modules() if name == "elpv" else None


def modules_of(kinds: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Return what :func:`cell_modules` does, from the kind ``[N]`` and the file name of each cell, in their order.

    Raises:
        ValueError: as :func:`cell_modules`.
    """
    if list(names) != sorted(names) or len(names) != len(kinds):
        raise ValueError(
            f"the cells of elpv-dataset are not listed by name ({names[:2]}...), so their order tells no module. "
            "The package has changed: install the version of requirements.lock."
        )
    edges = np.flatnonzero(kinds[1:] != kinds[:-1]) + 1
    pieces = [
        piece
        for run in np.split(np.arange(len(kinds)), edges)
        for piece in np.array_split(run, max(1, round(len(run) / CELLS_A_MODULE)))
    ]
    found = Counter(str(kinds[piece[0]]) for piece in pieces)
    if found != MODULES or min(map(len, pieces)) < 48 or max(map(len, pieces)) > 72:
        raise ValueError(
            f"the order of elpv-dataset gives {found['mono']} modules of one crystal and {found['poly']} of many, "
            f"of {min(map(len, pieces))} to {max(map(len, pieces))} cells; published are {MODULES['mono']} and "
            f"{MODULES['poly']}, of 48 to 72. The package has changed: install the version of requirements.lock."
        )
    return np.repeat(np.arange(len(pieces)), [len(piece) for piece in pieces])


def _cell_names() -> list[str]:
    table = Path(str(files("elpv_dataset"))) / "data" / "labels.csv"
    return np.genfromtxt(table, dtype=str)[:, 0].tolist()


def cells(question: str, seed: int, sizes: Sizes = SIZES) -> Splits:
    """Return solar cells, whole modules of them, asked whether they are defective or of which silicon they are."""
    images = load("elpv")
    if question == "kind":
        images = ImageSet(images.images, (cell_kinds() == "poly").astype(np.int64), ("mono", "poly"))
    return split(images, *sizes, seed, groups=cell_modules())


def handwritten_digits(first: int = 0, last: int = 9) -> ImageSet:
    """Return the handwritten digits of scikit-learn from ``first`` to ``last``, 8 by 8 pixels, uint8 gray.

    Label 0 is the digit ``first``.

    Raises:
        ValueError: when these are not two or more digits.
    """
    if not 0 <= first < last <= 9:
        raise ValueError(f"first={first}, last={last}; give two digits from 0 to 9, the smaller one first.")
    from sklearn.datasets import load_digits

    known = load_digits()
    asked = (known.target >= first) & (known.target <= last)
    images = list((known.images[asked] * 255 / 16).round().astype(np.uint8))
    return ImageSet(images, known.target[asked] - first, tuple(map(str, range(first, last + 1))))


def digits(question: str, seed: int, sizes: Sizes = SIZES) -> Splits:
    """Return handwritten digits, asked which they are or whether they are odd."""
    images = handwritten_digits()
    if question == "parity":
        images = ImageSet(images.images, images.labels % 2, ("even", "odd"))
    return split(images, *sizes, seed)


def faces(seed: int, sizes: Sizes = (100, 40, 60)) -> Splits:
    """Return gray patches of 25 by 25 pixels, half of them faces; there are 200, so the test part is small."""
    patches = (photo("lfw_subset") * 255).round().astype(np.uint8)
    images = ImageSet(list(patches), np.repeat([1, 0], 100), ("no face", "face"))
    return split(images, *sizes, seed)


def pixels(images: ImageSet, side: int = 16) -> np.ndarray:
    """Return the images as plain numbers, ``[N, 3 * side * side]`` from 0 to 1: features without a network."""
    small = (images[i][0].resize((side, side)) for i in range(len(images)))
    return np.stack([np.asarray(image, dtype=float).ravel() / 255 for image in small])


def photographs() -> dict[str, np.ndarray]:
    """Return eight photographs of things that ImageNet has names for, uint8 RGB; they come with two packages."""
    things = "cat", "cup", "astronaut", "rocket", "motorcycle", "temple", "flower", "cameraman"
    names = "chelsea", "coffee", "astronaut", "rocket", "stereo_motorcycle", "china", "flower", "camera"
    return {
        thing: np.asarray(Image.fromarray(photo(name)).convert("RGB"))
        for thing, name in zip(things, names, strict=True)
    }


def textures() -> dict[str, np.ndarray]:
    """Return three photographed surfaces, uint8 gray; they come with scikit-image."""
    return {name: photo(name) for name in TEXTURES}


def pieces(
    photos: Mapping[str, np.ndarray],
    count: int,
    side: int,
    seed: int,
    shares: tuple[float, float] = (0.3, 0.5),
    *,
    turned: bool = False,
) -> ImageSet:
    """Return gray squares cut from one side of each photograph, labeled with where they come from.

    A line through the middle, at an angle that ``seed`` draws for each photograph, parts it; no pixel lies in
    pieces of both sides. Brightness and contrast are drawn anew, so that only structure tells photographs apart.

    Args:
        photos: name to uint8 array ``[H, W]`` or ``[H, W, 3]``.
        count: pieces a photograph.
        side: 0 or 1, the side of the line.
        shares: smallest and largest side of a piece, as share of the photograph's shorter side.
        turned: rotate each piece by any angle, as a surface may lie.

    Raises:
        ValueError: when ``side`` is neither 0 nor 1, or pieces are too large to fit beside the line.
    """
    if side not in (0, 1):
        raise ValueError(f"side={side}; a line has sides 0 and 1.")
    if not 0 < shares[0] <= shares[1] <= 0.5:
        raise ValueError(f"shares={shares}; pieces beside a line through the middle are 0.5 or less, above 0.")
    squares, labels = [], []
    for label, picture in enumerate(photos.values()):
        gray = np.asarray(Image.fromarray(picture).convert("L"), dtype=np.float32)
        angle = np.random.default_rng((seed, label)).uniform(0, 2 * np.pi)
        rng = np.random.default_rng((seed, label, side))
        normal = np.array([np.sin(angle), np.cos(angle)]) * (1 if side else -1)
        drawn = 0
        while drawn < count:
            length = int(min(gray.shape) * rng.uniform(*shares))
            corner = rng.integers(0, np.array(gray.shape) - length + 1)
            center = corner + length / 2 - np.array(gray.shape) / 2
            if normal @ center < length / 2 * np.abs(normal).sum():
                continue
            piece = gray[corner[0] : corner[0] + length, corner[1] : corner[1] + length]
            if turned:
                lying = Image.fromarray(piece).rotate(rng.uniform(0, 360), Image.Resampling.BICUBIC)
                edge = int(np.ceil(length * (0.5 - 0.5**0.5 / 2)))  # what turned in from outside is cut off
                piece = np.asarray(lying)[edge:-edge, edge:-edge]
            if rng.random() < 0.5:
                piece = piece[:, ::-1]
            even = (piece - piece.mean()) / (piece.std() + 1e-6) * rng.uniform(35, 55) + rng.uniform(110, 145)
            squares.append(np.clip(even, 0, 255).astype(np.uint8))
            labels.append(label)
            drawn += 1
    return ImageSet(squares, np.array(labels), tuple(photos))


IMAGE_TASKS: dict[str, Callable[..., Splits]] = {
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
"""Nine questions about pictures: from a seed to splits with 100 labels to train on, or with other ``sizes=``."""

TASK_CLASSES = {"digits": 10, "textures": 3, "photos": 6, "turned": 4}
"""Number of classes of the tasks that have more than two."""
