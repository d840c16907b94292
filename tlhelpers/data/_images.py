"""Labeled images: loading, stratified splits, batches.

The solar cells are the ELPV set (Buerhop-Lutz et al. 2018; Deitsch et al. 2019), CC BY-NC-SA 4.0.
"""

from __future__ import annotations

import inspect
import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from copy import copy
from dataclasses import dataclass, field
from functools import lru_cache, partial
from multiprocessing.reduction import ForkingPickler
from operator import index as as_index
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from sklearn.model_selection import train_test_split
from torch import nn
from torch.utils.data import DataLoader, Dataset, Subset
from torchvision.transforms import v2
from tqdm import tqdm

from tlhelpers._rows import class_numbers, clean, in_order, is_missing, positions
from tlhelpers.data import _pictures
from tlhelpers.data._pictures import CLEAR, Deep

SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".tif", ".tiff", ".webp",
    ".gif", ".avif", ".jp2", ".j2k", ".mpo", ".ppm", ".pgm", ".pbm", ".pnm",
)  # fmt: skip


@dataclass
class _Range:
    """How far the 16-bit files of a set reach, for it and its parts: looked up once, when a dark one is met."""

    files: list[Path]
    largest: int | None = None
    where: Path | None = None

    def check(self) -> None:
        """Raise where no file of the set uses the 16 bits that it has."""
        if self.largest is None:
            progress = tqdm(self.files, desc="range of 16-bit files", leave=False, delay=2)
            self.largest, self.where = _pictures.largest(progress)
        if self.largest < CLEAR:
            raise _pictures.undecided(self.largest, self.where, " in all 16-bit files of this set")


@dataclass(frozen=True, eq=False)
class ImageSet(Dataset):
    """Images with one label each; item ``i`` is ``(RGB image, label)``.

    Attributes:
        images: 8-bit arrays ``[H, W]`` or ``[H, W, 3]``, or paths of image files, in the order of the labels. A
            file is opened when its item is asked for.
        labels: int64 array ``[N]`` of class indices.
        classes: name of each class, by index.
        white: the value in the 16-bit files that becomes 255, one for the whole set, as in :func:`open_rgb`. When
            ``None``, that is 65,535, provided that a file of the set uses those bits.

    Raises:
        ValueError: naming the first row whose image is neither path nor 8-bit array, or whose label is no whole
            number or names no class; when there is not one label an image; when two classes have one name; and,
            for an item, as :func:`open_rgb`.
        IndexError, TypeError: when an item is asked for that is not there, or not by a whole number.
    """

    images: Sequence[np.ndarray | Path]
    labels: np.ndarray
    classes: tuple[str, ...]
    white: int | None = field(default=None, kw_only=True)
    _range: _Range = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        images = [_image(image, row) for row, image in enumerate(in_order(self.images, "images"))]
        classes = _class_names(self.classes)
        put = object.__setattr__
        put(self, "images", images)
        put(self, "classes", classes)
        put(self, "labels", class_numbers(self.labels, len(images), classes, "images"))
        put(self, "white", _pictures.checked_white(self.white))
        put(self, "_range", _Range([image for image in images if isinstance(image, Path)]))
        self._check_labels()

    def _check_labels(self) -> None:
        first: dict[Path, int] = {}
        for row, image in enumerate(self.images):
            if isinstance(image, Path) and self.labels[first.setdefault(image, row)] != self.labels[row]:
                raise ValueError(
                    f"{image} stands in rows {first[image]} and {row} with two labels; an image has one here: "
                    "leave the wrong row out."
                )

    def __eq__(self, other: object) -> bool:
        """Whether another set holds the same images (files by their paths) and labels in the same order."""
        if not isinstance(other, ImageSet):
            return NotImplemented
        alike = (self.classes, self.white, len(self)) == (other.classes, other.white, len(other))
        return (
            alike
            and np.array_equal(self.labels, other.labels)
            and all(_same(*pair) for pair in zip(self.images, other.images, strict=True))
        )

    __hash__ = None  # type: ignore[assignment]  # it holds arrays

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        row = self._row(index)
        return self._opened(row)[1], int(self.labels[row])

    def _row(self, index: int) -> int:
        try:
            row = as_index(index)
        except TypeError:
            row = None
        if row is None or isinstance(index, (bool, np.bool_)):
            raise TypeError(f"index {index!r} is no whole number; take(...) gives several images.")
        if not -len(self) <= row < len(self):
            raise IndexError(f"index {row} names no image; there are {len(self)}, counted from 0.")
        return row

    def _opened(self, row: int) -> tuple[Image.Image | Deep, Image.Image]:
        """Return an image as its file holds it, and as 8-bit RGB on the scale of the set."""
        source = self.images[row]
        held = _pictures.read(source)
        if isinstance(held, Deep) and self.white is None and held.undecided:
            self._range.check()
        return held, _pictures.as_rgb(held, source, self.white)

    def rarest(self) -> tuple[str, int]:
        """Return the name of the class with the fewest images, and how many those are."""
        counts = np.bincount(self.labels, minlength=len(self.classes))
        return self.classes[int(counts.argmin())], int(counts.min())

    def take(self, indices: Iterable[int] | np.ndarray) -> ImageSet:
        """Return the images at ``indices``, in that order, or those where a mask ``[N]`` is true.

        Raises:
            ValueError: when an index is no whole number from 0 or names no image, or a mask has another length.
        """
        rows = positions(indices, len(self))
        part = copy(self)  # with the same range, as one scale is for the whole set
        object.__setattr__(part, "images", [self.images[row] for row in rows.tolist()])
        object.__setattr__(part, "labels", self.labels[rows])
        return part


def _same(one: np.ndarray | Path, other: np.ndarray | Path) -> bool:
    if isinstance(one, Path) or isinstance(other, Path):
        return isinstance(one, Path) and isinstance(other, Path) and one == other
    return one is other or np.array_equal(one, other)


def check_set(images: Any) -> None:
    """Do nothing for an :class:`ImageSet`.

    Raises:
        ValueError: with the way to one, when it is anything else.
    """
    if isinstance(images, ImageSet):
        return
    if isinstance(images, Subset):
        cure = "of the set it is a part of, take the images: images.take(subset.indices)"
    elif isinstance(getattr(images, "images", None), ImageSet):
        cure = "give its images: found.images"
    elif isinstance(images, (str, os.PathLike)):
        cure = f"read it first: tl.data.read({str(images)!r}).images"
    else:
        cure = "make one of paths or arrays: tl.data.ImageSet(images, labels, classes)"
    raise ValueError(f"images is of type {type(images).__name__}, not an ImageSet; {cure}.")


def _image(image: Any, row: int) -> np.ndarray | Path:
    if isinstance(image, np.ndarray) and image.ndim:
        try:
            _pictures.checked_array(image)
        except ValueError as error:
            raise ValueError(f"image {row}: {error}") from error
        return image
    if isinstance(image, Path):
        return image
    if isinstance(image, (str, os.PathLike)) and str(image).strip():
        return Path(image)
    if isinstance(image, str) or is_missing(image):
        raise ValueError(f"image {row} is missing ({image!r}); give its path, or leave the row out.")
    cure = ": np.asarray(image.convert('RGB')) is one" if isinstance(image, Image.Image) else ""
    raise ValueError(
        f"image {row} is of type {type(image).__name__}; give a path, or a uint8 array [H, W] or [H, W, 3]{cure}."
    )


def _class_names(classes: Iterable[Any]) -> tuple[str, ...]:
    names = in_order(classes, "classes")
    first: dict[str, str] = {}
    for number, name in enumerate(names):
        if not isinstance(name, str):
            raise ValueError(f"class {number} is {name!r} ({type(name).__name__}); give its name as text.")
        if not clean(name):
            raise ValueError(f"class {number} has no name ({name!r}); give it one.")
        if clean(name) in first:
            raise ValueError(f"classes {first[clean(name)]!a} and {name!a} are one name; give each class its own.")
        first[clean(name)] = name
    return tuple(map(str, names))


class Splits(NamedTuple):
    """Disjoint parts of one set: fit on ``train``, choose on ``val``, report on ``test``."""

    train: ImageSet
    val: ImageSet
    test: ImageSet


@lru_cache(maxsize=1)
def _elpv() -> ImageSet:
    from elpv_dataset.utils import load_dataset

    images, probability, _ = load_dataset()
    images.setflags(write=False)  # every caller gets these very pixels
    # Experts gave four grades; 2/3 and 1 say 'more likely defective than not'.
    return ImageSet(list(images), (probability > 0.5).astype(np.int64), ("functional", "defective"))


def load(name: str | Path) -> ImageSet:
    """Return the labeled images called ``name``: ``elpv``, or a folder for :func:`from_folder`.

    Raises:
        FileNotFoundError: when it is neither.
    """
    if name == "elpv":
        cells = _elpv()
        return ImageSet(list(cells.images), cells.labels.copy(), cells.classes)
    if Path(name).is_dir():
        from tlhelpers.data._folders import from_folder  # it needs ImageSet

        return from_folder(name)
    raise FileNotFoundError(
        f"no images at {str(name)!r}: it is neither the packaged set 'elpv' nor a folder. "
        "Set TLHELPERS_DATA to a folder with one subfolder a class, or use TLHELPERS_PROFILE=offline."
    )


def split(
    images: ImageSet, train: int, val: int, test: int, seed: int, *, groups: Iterable[Any] | None = None
) -> Splits:
    """Divide ``images`` into three disjoint parts of the given sizes, each with the same share of classes.

    Args:
        train, val, test: numbers of images, not shares.
        groups: what must not be torn apart, ``[N]`` of any type, such as the patient of each image. Whole groups
            are dealt out, as :func:`parts` does; then each part is thinned out to its size.

    Raises:
        ValueError: when a size is no whole number, a part would be empty, lack a class, or the parts together
            exceed the set; when an image stands in it twice.
    """
    check_set(images)
    sizes = {"train": train, "val": val, "test": test}
    train, val, test = (_whole(part, size, "a number of images") for part, size in sizes.items())
    seed = _whole("seed", seed, "a number", 0)
    if seed >= 2**32:  # scikit-learn's own limit
        raise ValueError(f"seed={seed}: give a number below {2**32}.")
    for part, size in (("train", train), ("val", val), ("test", test)):
        if size < len(images.classes):
            raise ValueError(f"{part}={size}: a part needs at least one image of {len(images.classes)} classes.")
    if train + val + test > len(images):
        raise ValueError(
            f"train={train}, val={val} and test={test} need {train + val + test} images; there are {len(images)}."
        )
    name, count = images.rarest()
    if count < 3:
        raise ValueError(f"class {name!r} has {count} image(s); three parts need three or more.")
    _check_once(images)
    if groups is not None:
        return _split_groups(images, {"train": train, "val": val, "test": test}, seed, groups)
    rest, test_index = _stratified(np.arange(len(images)), images, test, seed)
    rest, val_index = _stratified(rest, images, val, seed)
    if len(rest) - train >= len(images.classes):
        _, rest = _stratified(rest, images, train, seed)
    elif len(rest) > train:  # too few left over for scikit-learn to stratify
        rest = rest[_spread(images.labels[rest], len(images.classes), seed)[:train]]
    splits = Splits(*(images.take(index) for index in (rest, val_index, test_index)))
    for part, chosen in splits._asdict().items():
        name, count = chosen.rarest()
        if not count:
            raise ValueError(f"{part}={len(chosen)} holds no image of the rare class {name!r}; make it larger.")
    return splits


def _split_groups(images: ImageSet, sizes: dict[str, int], seed: int, groups: Iterable[Any]) -> Splits:
    from tlhelpers.data._own import parts  # it needs ImageSet

    total = sum(sizes.values())
    dealt = parts(images.labels, [size / total for size in sizes.values()], seed, groups, classes=images.classes)
    found = []
    for (part, size), rows in zip(sizes.items(), dealt, strict=True):
        if len(rows) < size:
            raise ValueError(
                f"{part}={size}: whole groups give this part {len(rows)} images of {len(images)}; ask for fewer, "
                "or take another seed."
            )
        found.append(images.take(rows[_spread(images.labels[rows], len(images.classes), seed)[:size]]))
    return Splits(*found)


def _check_once(images: ImageSet) -> None:
    first: dict[Path | int, int] = {}
    for row, image in enumerate(images.images):
        other = first.setdefault(image if isinstance(image, Path) else id(image), row)
        if other != row:
            name = image if isinstance(image, Path) else "an image"
            raise ValueError(
                f"{name} stands in rows {other} and {row}, so it could be in training and in the test; split "
                "first, then repeat images of the training part."
            )


def _stratified(pool: np.ndarray, images: ImageSet, size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    labels = images.labels[pool]
    counts = np.bincount(labels, minlength=len(images.classes))
    if counts.min() < 2:
        name, left = images.classes[int(counts.argmin())], counts.min()
        raise ValueError(
            f"class {name!r} is so rare that {left} image(s) of it would be left for two parts; make test and val "
            "smaller, or find more."
        )
    return tuple(train_test_split(pool, test_size=size, stratify=labels, random_state=seed))


def subset(images: ImageSet, size: int, seed: int) -> ImageSet:
    """Return ``size`` images with the classes in proportion; for one seed the smaller lies in the larger.

    Nested subsets are what a project sees: more labels arrive, the old ones stay.

    Raises:
        ValueError: when ``size`` is no whole number, or not from one image a class up to all.
    """
    check_set(images)
    size, seed = _whole("size", size, "a number of images"), _whole("seed", seed, "a number", 0)
    if not len(images.classes) <= size <= len(images):
        raise ValueError(f"size={size}: give a number from {len(images.classes)} to {len(images)}.")
    return images.take(_spread(images.labels, len(images.classes), seed)[:size])


def _whole(name: str, value: Any, what: str, least: int | None = None) -> int:
    """Return a number as int, which those of numpy are not: an int8 runs over where parts are added up."""
    number = isinstance(value, (int, np.integer)) and not isinstance(value, (bool, np.bool_))
    if not number or (least is not None and value < least):
        raise ValueError(f"{name}={value!r}: give {what}, a whole one{'' if least is None else f' from {least}'}.")
    return int(value)


def _spread(labels: np.ndarray, n_classes: int, seed: int) -> np.ndarray:
    """Return an order of which every prefix keeps the proportions and, where it is long enough, every class."""
    rng = np.random.default_rng(seed)
    rank = np.empty(len(labels))
    for label in range(n_classes):
        where = rng.permutation(np.flatnonzero(labels == label))
        rank[where] = (np.arange(len(where)) + 0.5) / max(len(where), 1)
    order = np.argsort(rank, kind="stable")
    firsts = np.sort(np.unique(labels[order], return_index=True)[1])
    if (firsts < n_classes).all():
        return order
    return np.concatenate([order[firsts], np.delete(order, firsts)])


def augment_cells() -> Callable[[torch.Tensor], torch.Tensor]:
    """Return random flips for one image ``[3, H, W]``: a solar cell has neither up nor left.

    Choose augmentations by what leaves the label alone. A chest has a left side, where the heart is.
    """
    return v2.Compose([v2.RandomHorizontalFlip(), v2.RandomVerticalFlip()])


def loader(
    images: ImageSet,
    transform: Callable[[Image.Image], torch.Tensor],
    batch_size: int = 32,
    shuffle: bool = False,
    augment: Callable[[torch.Tensor], torch.Tensor] | None = None,
    *,
    seed: int = 0,
    workers: int = 0,
    cache: bool = False,
) -> DataLoader:
    """Return batches ``(x [B, 3, H, W] float32, y [B] int64)``.

    Args:
        transform: from PIL image to tensor; take it from the weights (``net.transform``).
        augment: random change of one transformed image, for training only.
        seed: of the order.
        workers: processes that decode; 0 is right for small images. Where they are started by "spawn", as on
            macOS and Windows, both functions must lie in a file that can be imported.
        cache: hold every transformed image in memory (12 S² bytes each) instead of decoding it again in each
            epoch; with ``augment`` the random change is still new each time.

    Raises:
        ValueError: when ``images`` is no :class:`ImageSet` or empty, a number is out of range, no function is
            given, or ``cache`` is asked of several workers, whose memory is apart. While batches are drawn: naming
            the image, when it cannot be read, when ``transform`` or ``augment`` fails on it, with the error's
            words, or what comes of it is no float32 tensor ``[3, H, W]`` or has another shape than its neighbors;
            and when a function cannot be sent to the workers.
    """
    check_set(images)
    batch_size = _whole("batch_size", batch_size, "a number of images", 1)
    workers = _whole("workers", workers, "a number of processes", 0)
    seed = _whole("seed", seed, "a number")
    if len(images) == 0:
        raise ValueError("the image set is empty; there is nothing to load.")
    for step, function in (("transform", transform), ("augment", augment)):
        if not callable(function) and (function is not None or step == "transform"):
            raise ValueError(f"{step}={function!r} cannot be called; give a function, such as net.transform.")
    if cache and workers:
        raise ValueError(f"cache=True with workers={workers}: cached images need workers=0.")
    return DataLoader(
        range(len(images)),  # type: ignore[arg-type]  # anything with len() and [] serves as a data set
        batch_size=batch_size,
        shuffle=shuffle,
        num_workers=workers,
        collate_fn=_Batches(images, transform, augment, {} if cache else None),
        generator=torch.Generator().manual_seed(seed),
        # A last batch of one image gives BatchNorm nothing to normalize with.
        drop_last=shuffle and len(images) > batch_size and len(images) % batch_size == 1,
    )


@dataclass
class _Batches:
    """Make a batch of the images with the given indices; a class, as a function inside another cannot be sent."""

    images: ImageSet
    transform: Callable[[Image.Image], torch.Tensor]
    augment: Callable[[torch.Tensor], torch.Tensor] | None
    kept: dict[int, torch.Tensor] | None

    def __call__(self, indices: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        tensors = [self._prepared(index) for index in indices]
        if self.augment is not None:
            tensors = [self._made("augment", index, x) for index, x in zip(indices, tensors, strict=True)]
        # Only of the last step: augment may be what makes numbers of pixels.
        for index, x in zip(indices, tensors, strict=True):
            if x.dtype != torch.float32 or x.ndim != 3 or x.shape[0] != 3:
                step = "transform" if self.augment is None else "augment"
                raise ValueError(
                    f"{step} made {str(x.dtype).removeprefix('torch.')} {list(x.shape)} of {self._name(index)}; a "
                    f"batch needs float32 [3, H, W] of each: {_lacking(x)}."
                )
        for index, x in zip(indices, tensors, strict=True):
            if x.shape != tensors[0].shape:
                raise ValueError(
                    f"{self._name(index)} became {list(x.shape)} and {self._name(indices[0])} "
                    f"{list(tensors[0].shape)}; a batch needs one shape: let the transform resize and crop."
                )
        return torch.stack(tensors), torch.from_numpy(self.images.labels[indices])

    def _prepared(self, index: int) -> torch.Tensor:
        if self.kept is not None and index in self.kept:
            return self.kept[index]
        tensor = self._made("transform", index, self.images[index][0])
        if self.kept is not None:
            self.kept[index] = tensor
        return tensor

    def _made(self, step: str, index: int, given: Any) -> torch.Tensor:
        function: Any = self.transform if step == "transform" else self.augment
        try:
            made = function(given)
        except Exception as error:  # whatever a function of the reader's raises
            told = f"{type(error).__name__}: {error}"
            cure = _mended(function, step, error)
            raise ValueError(f"{step} failed on {self._name(index)} ({told}); {cure}.") from error
        if not isinstance(made, torch.Tensor):
            cure = _uncalled(function)
            if not cure and callable(made):
                cure = "call it, and give what it returns"
            cure = f" It makes such a function; {cure}." if cure else ""
            name = self._name(index)
            raise ValueError(
                f"{step} made {type(made).__name__} of {name}; it must return a tensor [3, H, W].{cure}"
            )
        return made

    def _name(self, index: int) -> str:
        source = self.images.images[index]
        return f"image {index}" if isinstance(source, np.ndarray) else str(source)

    def __getstate__(self) -> dict[str, Any]:
        """Send the parts to a worker process, or say which of them cannot go there."""
        notebook = not hasattr(sys.modules["__main__"], "__file__")
        for step, function in (("transform", self.transform), ("augment", self.augment)):
            try:
                ForkingPickler.dumps(function)
                if notebook and getattr(function, "__module__", "") == "__main__":
                    raise TypeError("it is defined in this notebook")
            except Exception as error:
                raise ValueError(
                    f"{step} cannot be sent to worker processes ({error}); write it as a function of its own in a "
                    ".py file, no lambda and not inside another function, or take workers=0."
                ) from error
        return self.__dict__


def _uncalled(function: Any) -> str:
    """Return the cure where ``()`` was forgotten behind what makes a function; else nothing."""
    made = function.func if isinstance(function, partial) else function
    name = getattr(made, "__name__", "")
    if isinstance(made, type):
        # The weights of torchvision hold their class of transforms half made.
        return "call it: transforms()" if isinstance(function, partial) else f"call it: {name}()"
    try:
        asked = inspect.signature(function)
    except (TypeError, ValueError):  # one written in C
        return ""
    return f"call it: {name}()" if name and not asked.parameters else ""


def _by_name(function: Any, error: Exception) -> bool:
    """Return whether a function takes its image by name only."""
    if "named argument" in str(error) or "keyword-only argument" in str(error):
        return True
    try:
        kinds = [asked.kind for asked in inspect.signature(function).parameters.values()]
    except (TypeError, ValueError):
        return False
    by_place = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return bool(kinds) and not any(kind in (*by_place, inspect.Parameter.VAR_POSITIONAL) for kind in kinds)


def _mended(function: Any, step: str, error: Exception) -> str:
    """Return the cure for a function that failed on an image."""
    if cure := _uncalled(function):
        return cure
    if isinstance(function, nn.Module) and next(function.parameters(), None) is not None:
        return "it is a network; give net.transform" + (", or a change of one image" if step == "augment" else "")
    if _by_name(function, error):
        return "it takes its image by name; give a function of one image: lambda x: change(image=x)"
    if re.search(r"PIL|should be a float tensor|should be Tensor", str(error)):
        return "put v2.ToImage() and v2.ToDtype(torch.float32, scale=True) before the step that wants a tensor"
    return f"it is given one {'RGB image of PIL' if step == 'transform' else 'tensor [3, H, W]'}; mend it for that"


def _lacking(x: torch.Tensor) -> str:
    """Return what makes float32 ``[3, H, W]`` of a tensor."""
    if x.ndim == 4 and x.shape[0] == 1:
        return "return x[0], one image and no batch"
    if x.ndim == 3 and x.shape[0] != 3 and x.shape[2] == 3:
        return "put the channels first, x.permute(2, 0, 1)"
    if x.ndim == 2 or (x.ndim == 3 and x.shape[0] == 1):
        return "repeat the gray, v2.Grayscale(3)"
    if x.ndim != 3 or x.shape[0] != 3:
        return "three channels, then height and width"
    scale = "" if x.is_floating_point() else ", scale=True"
    return f"end with v2.ToDtype(torch.float32{scale})"
