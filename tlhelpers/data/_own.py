"""Data of your own: read a folder or a CSV, see what is odd about it, cut it into parts that share nothing."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from tqdm import tqdm

from tlhelpers.data import _pictures
from tlhelpers.data._images import SUFFIXES, ImageSet, from_folder

SIDE = 16  # pixels of the thumbnails by which copies are found


class Own(NamedTuple):
    """Images, and for each the group that must stay together (``None``: each image stands alone)."""

    images: ImageSet
    groups: np.ndarray | None


def read(
    source: str | Path,
    image_column: str = "image",
    label_column: str = "label",
    root: str | Path | None = None,
    group: str | None = None,
) -> Own:
    """Return the images of a folder (one subfolder a class) or of a CSV (one row an image).

    Args:
        root: what the paths in the CSV start from; its own folder when ``None``.
        group: a column of the CSV, or, for a folder, a regular expression that is looked for in each file's path
            below the folder. Images with the same find (its first bracket, if it has one) belong together: one
            patient, machine, day.

    Raises:
        FileNotFoundError: when ``source`` is neither.
        ValueError: as :func:`from_csv` and :func:`tlhelpers.data.from_folder`; when a file has no find; or when
            all are one group.
    """
    source = Path(source).expanduser()
    if source.is_dir():
        images = from_folder(source)
        _check_classes(images, source)
        groups = None if group is None else _finds(file_names(images, source), group)
    elif source.is_file():
        images = from_csv(source, image_column, label_column, root)
        groups = None if group is None else _table(source, [group])[group].to_numpy()
    else:
        raise FileNotFoundError(f"{source} is neither a folder nor a file, seen from {Path.cwd()}.")
    if groups is not None and len(set(groups)) < 2:
        raise ValueError(f"group={group!r} puts all {len(groups)} images into one group; none is left to test on.")
    return Own(images, groups)


def from_csv(
    path: str | Path, image_column: str = "image", label_column: str = "label", root: str | Path | None = None
) -> ImageSet:
    """Return the images that a CSV lists, in its order; comma, semicolon and tab are told apart by the header.

    Args:
        root: what relative paths start from; the folder of the CSV when ``None``.

    Raises:
        ValueError: when a column is unknown, a cell is empty, files are missing (the first three are named), or
            there are fewer than two classes or two images of one.
    """
    path = Path(path)
    root = path.parent if root is None else Path(root).expanduser()
    table = _table(path, [image_column, label_column])
    # A table made on Windows separates folders by backslashes.
    paths = [root / name.strip().replace("\\", "/") for name in table[image_column]]
    missing = [str(p) for p in paths if not p.is_file()]
    if missing:
        raise ValueError(
            f"{len(missing)} of {len(paths)} files that {path.name} lists are missing, first "
            f"{', '.join(missing[:3])}; give the folder that their paths start from as root."
        )
    labels = table[label_column].str.strip()
    classes = sorted(set(labels), key=lambda name: (0, int(name), name) if name.isdecimal() else (1, 0, name))
    images = ImageSet(paths, labels.map({name: i for i, name in enumerate(classes)}).to_numpy(), tuple(classes))
    _check_classes(images, path)
    return images


def left_out(source: str | Path) -> list[Path]:
    """Return the files under a folder that :func:`read` passes over, as their endings name no known image type."""
    files = (f for f in sorted(Path(source).expanduser().rglob("*")) if f.is_file())
    return [f for f in files if f.suffix.lower() not in SUFFIXES and not f.name.startswith(".")]


def _table(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header = file.readline()
        separator = max(",;\t", key=header.count)
        table = pd.read_csv(path, sep=separator, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (pd.errors.ParserError, pd.errors.EmptyDataError, csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{path.name} cannot be read as a table ({error}); save it as a CSV in UTF-8.") from error
    for column in columns:
        if column not in table:
            raise ValueError(f"{path.name} has no column {column!r}; it has {', '.join(table.columns)}.")
        empty = np.flatnonzero(table[column].str.strip() == "")
        if len(empty):
            rows = ", ".join(str(row + 2) for row in empty[:3])
            raise ValueError(f"{path.name}: column {column!r} is empty in {len(empty)} line(s), first {rows}.")
    return table


def _check_classes(images: ImageSet, source: Path) -> None:
    if len(images.classes) < 2:
        raise ValueError(f"{source.name} has one class only, {images.classes}; there is nothing to tell apart.")
    name, count = images.rarest()
    if count < 2:
        raise ValueError(f"{source.name}: class {name!r} has {count} image; find more, or leave it out.")


def _finds(paths: Sequence[str], pattern: str) -> np.ndarray:
    finds = [re.search(pattern, path) for path in paths]
    without = [path for path, find in zip(paths, finds, strict=True) if find is None]
    if without:
        raise ValueError(
            f"group={pattern!r} is found in {len(paths) - len(without)} of {len(paths)} paths, not in "
            f"{', '.join(without[:3])}; mend the pattern, or rename those files."
        )
    return np.array([find[1] if find.re.groups else find[0] for find in finds if find])


def file_names(images: ImageSet, root: str | Path | None = None) -> list[str]:
    """Return the path of each image file below ``root``, or below the folder that all share."""
    paths = [Path(str(path)) for path in images.images]
    top = Path(root) if root is not None else Path(os.path.commonpath([p.parent for p in paths]))
    return [path.relative_to(top).as_posix() for path in paths]


def survey(images: ImageSet, closeness: float = 0.07) -> pd.DataFrame:
    """Open every image; return a row an image: what is in its file, and whether it looks like another one.

    - ``width``, ``height``: of the upright picture, in pixels.
    - ``gray``: whether its three channels are the same.
    - ``seen``: share of its pixels in the square of its middle, which is what most networks get to see.
    - ``depth``: bits a channel in the file.
    - ``low``, ``high``: smallest and largest value in the file, before any scaling.
    - ``pages``: pages or frames in the file, of which the first is read: more than one is a film, or a volume.
    - ``copy_of``: the first image that looks the same in a thumbnail of 16 by 16 gray pixels, whatever its size,
      brightness or contrast; for most that is the image itself. So copies are found that were saved again, but
      not those that were mirrored or cut.

    Args:
        closeness: root mean square difference of two standardized thumbnails that still counts as the same.

    Raises:
        ValueError: naming the first three images that cannot be read; and when the range of the 16-bit files is
            not known, as :class:`tlhelpers.data.ImageSet` tells.
    """
    if not 0 <= closeness < np.inf:
        raise ValueError(f"closeness={closeness!r}: give a number from 0, such as 0.07.")
    rows, thumbs, faults, unknown = [], np.zeros((len(images), SIDE * SIDE), np.float32), [], None
    progress = tqdm(images.images, desc="images", leave=False)
    for index, source in enumerate(progress):
        try:
            held, image = images._opened(index)
            row = _pictures.facts(source, held)
        except _pictures.Undecided as error:
            unknown = str(error)
            continue
        except ValueError as error:
            faults.append(str(error))
            continue
        pixels = np.asarray(image)
        gray = bool((pixels[..., 0] == pixels[..., 1]).all() and (pixels[..., 1] == pixels[..., 2]).all())
        seen = min(image.size) / max(image.size)
        rows.append({"width": image.width, "height": image.height, "gray": gray, "seen": seen, **row})
        small = np.asarray(image.convert("L").resize((SIDE, SIDE), Image.Resampling.BILINEAR), np.float32).ravel()
        thumbs[index] = (small - small.mean()) / max(float(small.std()), 4.0)
    told = [f"{len(faults)} of {len(images)} images cannot be read, first:", *faults[:3]] if faults else []
    if told or unknown:
        raise ValueError("\n".join([*told, unknown] if unknown else told))
    return pd.DataFrame(rows).assign(copy_of=_first_like(thumbs, closeness))


def _first_like(thumbs: np.ndarray, closeness: float) -> np.ndarray:
    first = np.arange(len(thumbs))
    square = (thumbs**2).mean(1)
    for start in range(0, len(thumbs), 512):
        rows = slice(start, start + 512)
        gap = square[rows, None] + square[None] - 2 / thumbs.shape[1] * thumbs[rows] @ thumbs.T
        nearest = (gap < closeness**2).argmax(1)  # an image is like itself, so there is a first one
        for index, like in zip(range(start, start + len(nearest)), nearest.tolist(), strict=True):
            first[index] = first[min(like, index)] if like < index else index
    return first


def tied(groups: np.ndarray | None, copy_of: np.ndarray) -> np.ndarray:
    """Return one number an image ``[N]``: the same for images of one group, for copies, and for what those tie."""
    count = len(copy_of)
    edges = [np.asarray(copy_of)]
    if groups is not None:
        _, first, inverse = np.unique(np.asarray(groups), return_index=True, return_inverse=True)
        edges.append(first[inverse])
    ends = np.concatenate(edges)
    starts = np.tile(np.arange(count), len(edges))
    return connected_components(coo_array((np.ones(len(ends)), (starts, ends)), (count, count)), directed=False)[1]


def parts(
    labels: np.ndarray, shares: Sequence[float], seed: int, ties: np.ndarray | None = None, tries: int = 300
) -> list[np.ndarray]:
    """Return disjoint index arrays, one a share, which together hold every image; classes keep their proportions.

    Args:
        labels: class indices ``[N]``.
        shares: what each part gets, such as ``(0.75, 0.25)``.
        ties: what must not be torn apart, as :func:`tied` gives it. Of ``tries`` random orders of the groups the
            one is taken that comes nearest to the shares.

    Raises:
        ValueError: when the shares are not positive or do not add up to 1, or a class cannot stand in every part.
    """
    labels, cuts = np.asarray(labels), np.cumsum(shares)
    if min(shares) <= 0 or abs(cuts[-1] - 1) > 1e-6:
        raise ValueError(f"shares={tuple(shares)}; give positive numbers that add up to 1.")
    ties = np.arange(len(labels)) if ties is None else np.asarray(ties)
    _, member = np.unique(ties, return_inverse=True)
    classes = int(labels.max()) + 1
    counts = np.zeros((member.max() + 1, classes))
    np.add.at(counts, (member, labels), 1)
    available = (counts > 0).sum(0)
    if (available < len(shares)).any():
        raise ValueError(
            f"class number {available.argmin()}, counted from 0, stands in {available.min()} group(s) or image(s) "
            f"that may be parted; {len(shares)} parts need {len(shares)}. Collect more, or group more finely."
        )
    rng = np.random.default_rng(seed)
    if len(counts) == len(labels):
        chosen = _by_class(labels, cuts, rng)
    else:
        chosen = _by_group(counts, np.asarray(shares), cuts, rng, tries)[member]
    return [np.flatnonzero(chosen == part) for part in range(len(shares))]


def _by_class(labels: np.ndarray, cuts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    chosen = np.empty(len(labels), int)
    for label in np.unique(labels):
        where = rng.permutation(np.flatnonzero(labels == label))
        ends = [0]
        for part, cut in enumerate(cuts.tolist()):
            # Every part gets an image of the class, however rare it is.
            room = len(where) - (len(cuts) - 1 - part)
            ends.append(min(max(round(cut * len(where)), ends[-1] + 1), room))
            chosen[where[ends[-2] : ends[-1]]] = part
    return chosen


def _by_group(
    counts: np.ndarray, shares: np.ndarray, cuts: np.ndarray, rng: np.random.Generator, tries: int
) -> np.ndarray:
    total, best, chosen = counts.sum(0), np.inf, None
    for _ in range(tries):
        order = rng.permutation(len(counts))
        size = counts[order].sum(1)
        middle = (size.cumsum() - size / 2) / size.sum()
        part = np.empty(len(counts), int)
        part[order] = np.searchsorted(cuts[:-1], middle)
        got = np.stack([counts[part == k].sum(0) for k in range(len(shares))])
        miss = np.abs(got / total - shares[:, None]).max() if got.all() else np.inf
        if miss < best:
            best, chosen = miss, part
    if chosen is None:
        raise ValueError(
            f"no order of {len(counts)} groups gave {len(shares)} parts that all hold every class; "
            "group more finely, or collect more."
        )
    return chosen
