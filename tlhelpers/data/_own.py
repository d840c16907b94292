"""Data of your own: read a folder or a table, see what is odd about it, cut it into parts that share nothing."""

from __future__ import annotations

import operator
import os
import re
import unicodedata
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from PIL import Image
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components
from tqdm import tqdm

from tlhelpers._rows import check_apart, class_numbers, clean, identities, in_order, positions
from tlhelpers.data import _pictures
from tlhelpers.data._folders import PART, as_path, left_out, near_path, read_folder
from tlhelpers.data._images import ImageSet, check_set
from tlhelpers.data._names import check_classes, check_spelling
from tlhelpers.data._shortcuts import shortcuts
from tlhelpers.data._tables import open_table, read_table, starting_folder, unnamed

SIDE = 16  # pixels of the thumbnails by which copies are found
ROUNDING = 32 * float(np.finfo(np.float32).eps)  # of a mean over so many products, with room to spare


class Own(NamedTuple):
    """What :func:`read` found.

    Attributes:
        images: in the order of the folder or table.
        groups: for each image the group that must stay together, ``[N]`` of text; ``None``: each stands alone.
        left_out: a row for each file that was not read: ``file``, its path below the source, and ``reason``.
    """

    images: ImageSet
    groups: np.ndarray | None
    left_out: pd.DataFrame


def read(
    source: str | Path | pd.DataFrame,
    image_column: str = "image",
    label_column: str = "label",
    root: str | Path | None = None,
    group: str | None = None,
    *,
    white: int | None = None,
) -> Own:
    """Return the images of a folder (one subfolder a class) or a table (one row an image), and what was left out.

    Args:
        source: a folder, a CSV, or a DataFrame.
        root: what the paths in a table start from; the folder of the CSV when ``None``, for a DataFrame the
            current one.
        group: a column of the table, or, for a folder, a regular expression that is looked for in each file's path
            below the folder. Images with the same find belong together: one patient, machine, day. Where the
            expression has brackets, what the first of them finds is the group.
        white: the gray value that is white; see :class:`ImageSet`.

    Raises:
        FileNotFoundError: when ``source`` is neither.
        ValueError: as :func:`from_csv` and :func:`from_folder`; when a file has no find, two groups differ only in
            their writing or in the folder of a part or class, or all are one group.
    """
    path = Path() if isinstance(source, pd.DataFrame) else as_path(source)
    groups = None
    if isinstance(source, pd.DataFrame) or path.is_file():
        images, groups, others = _from_table(source, (image_column, label_column, group), root, white)
    elif path.is_dir():
        if root is not None:
            raise ValueError(f"root={str(root)!r} is for tables, and {path} is a folder; leave root out.")
        images, others = read_folder(path, white)
        check_classes(images, path.name or str(path))
        if group is not None:
            groups = _finds(file_names(images, path), group, images.classes)
    else:
        raise FileNotFoundError(
            f"{str(path)!r} is neither a folder nor a file, seen from {Path.cwd()}.{near_path(path)}"
        )
    if groups is not None:
        check_spelling(groups.tolist(), "groups", f"group={group!r}")
        if len(set(groups)) < 2:
            raise ValueError(
                f"group={group!r} puts all {len(groups)} images into one group, {str(groups[0])!r}; none is left "
                "to test on. It must catch what differs from group to group, as the number in r'patient\\d+'."
            )
    return Own(images, groups, others)


def _from_table(
    source: str | Path | pd.DataFrame,
    columns: tuple[str, str, str | None],
    root: str | Path | None,
    white: int | None,
) -> tuple[ImageSet, np.ndarray | None, pd.DataFrame]:
    image_column, label_column, group = columns
    if group is not None and not isinstance(group, str):
        raise ValueError(f"group is {group!r}; for a table give the name of a column.")
    table = open_table(source, [name for name in columns if name is not None])
    below = starting_folder(source, root)
    images = read_table(table, image_column, label_column, below, white)
    groups = None
    if group is not None:
        cells = table.column(group, " For a table, group is a column; a regular expression is for folders.")
        groups = np.array([clean(cell) for cell in cells])
    if root is None and isinstance(source, pd.DataFrame):  # its paths may lead anywhere
        below = Path(os.path.commonpath([os.path.dirname(os.path.abspath(str(path))) for path in images.images]))
        if below == Path(below.anchor):
            return images, groups, left_out(below, {})
    return images, groups, unnamed(images, below)


def _finds(paths: Sequence[str], pattern: str, classes: Sequence[str]) -> np.ndarray:
    """Return what a regular expression finds in each path, or its first bracket, compared in one Unicode form."""
    try:
        sought = re.compile(unicodedata.normalize("NFC", pattern))
    except (re.error, TypeError) as error:
        raise ValueError(
            f"group={pattern!r} is no regular expression ({error}); for a folder give one, such as r'patient\\d+'."
        ) from error
    finds = [sought.search(unicodedata.normalize("NFC", path)) for path in paths]
    without = [path for path, find in zip(paths, finds, strict=True) if find is None]
    if without:
        raise ValueError(
            f"group={pattern!r} is found in {len(paths) - len(without)} of {len(paths)} paths, not in "
            f"{', '.join(without[:3])}; mend the pattern (for a folder it is a regular expression, no column), "
            "rename those files, or give no group (None) if nothing belongs together."
        )
    found = [find[1 if sought.groups else 0] for find in finds if find]
    empty = [path for path, name in zip(paths, found, strict=True) if not (name and name.strip())]
    if empty:
        raise ValueError(
            f"group={pattern!r} finds nothing {'in its first bracket ' if sought.groups else ''}in "
            f"{len(empty)} of {len(paths)} paths, first {', '.join(empty[:3])}; mend the pattern: what the first "
            "bracket finds is the group, so it may be neither optional nor empty; (?:...) is a bracket that does "
            "not count."
        )
    _check_torn(finds, found, pattern, sought, classes)
    return np.array([clean(name) for name in found])


def _check_torn(
    finds: Sequence[re.Match[str] | None],
    found: Sequence[str],
    pattern: str,
    sought: re.Pattern[str],
    classes: Sequence[str],
) -> None:
    """Do nothing when no two groups differ only in a part or class folder that the pattern caught with them."""
    known: dict[tuple[bool, str], str] = {}
    named = {unicodedata.normalize("NFC", name) for name in classes}
    for name, find in dict(zip(found, finds, strict=True)).items():
        if find is None:
            continue
        *above, last = name.rstrip("/").split("/")
        kept = [folder for folder in above if not PART.fullmatch(folder.strip())]
        keys = [(False, "/".join([*kept, last]))]
        start, end = find.span(1 if sought.groups else 0)
        # A pattern that names the slash means the folder before it; one that takes any sign does not.
        blind = sought.search(find.string[:start] + name.replace("/", "\0") + find.string[end:])
        if blind and blind.span(1 if sought.groups else 0) == (start, end):
            keys.append((True, "/".join([*(folder for folder in kept if folder not in named), last])))
        for key in keys:
            other = known.setdefault(key, name)
            if other != name:
                cure = ", or write '/' into the pattern" if key[0] else ""
                raise ValueError(
                    f"group={pattern!r} finds two groups, {other!r} and {name!r}, that differ only in the folder "
                    f"of a part or class. If both are {key[1]!r}, catch that alone, without '/', as "
                    f"r'([^/_]+)_\\d' does; if they are two, rename one{cure}."
                )


def file_names(images: ImageSet, root: str | Path | None = None) -> list[str]:
    """Return the path of each image file below ``root``, or below the folder that all share.

    Raises:
        ValueError: when an image is an array, which has no file, or lies elsewhere.
    """
    check_set(images)
    for row, image in enumerate(images.images):
        if not isinstance(image, (str, os.PathLike)):
            raise ValueError(f"image {row} is a {type(image).__name__} in memory, which has no file name.")
    if not len(images):
        return []
    # Absolute and relative ones may stand in one table.
    paths = [Path(os.path.abspath(str(path))) for path in images.images]
    top = Path(os.path.abspath(root if root is not None else os.path.commonpath([p.parent for p in paths])))
    outside = next((path for path in paths if not path.is_relative_to(top)), None)
    if outside is not None:
        raise ValueError(
            f"{outside} does not lie below root={str(root)!r}; leave root out, or give a folder above all."
        )
    return [path.relative_to(top).as_posix() for path in paths]


def survey(images: ImageSet, closeness: float = 0.07, *, groups: Iterable[Any] | None = None) -> pd.DataFrame:
    """Open every image; return a row an image: what is in its file, and whether it looks like another one.

    Warns where place in the list, folder or file name tell the labels, as :func:`tlhelpers.data.shortcuts` finds.

    - ``width``, ``height``: of the upright picture, in pixels.
    - ``gray``: whether its three channels are the same.
    - ``seen``: share of its pixels in the square of its middle, which is what most networks get to see.
    - ``depth``: bits a channel in the file.
    - ``low``, ``high``: smallest and largest value in the file, before any scaling.
    - ``pages``: pages or frames in the file, of which the first is read: more than one is a film, or a volume.
    - ``copy_of``: the first image that looks the same in a thumbnail of 16 by 16 gray pixels, whatever its size,
      brightness or contrast (blank ones are compared by their gray); for most that is the image itself. So copies
      are found that were saved again, but not those that were mirrored or cut.

    Args:
        closeness: root mean square difference of two standardized thumbnails that still counts as the same; 0
            for thumbnails that are equal.
        groups: what you will keep together, one an image; the look-ups are then asked across groups.

    Raises:
        ValueError: naming the first three images that cannot be read; when the range of the 16-bit files is not
            known, as :class:`tlhelpers.data.ImageSet` tells; when ``images`` is no such set, or there is not one
            group an image.
    """
    check_set(images)
    if not 0 <= closeness < np.inf:
        raise ValueError(f"closeness={closeness!r}: give a number from 0, such as 0.07.")
    members = None if groups is None else identities(groups, len(images))
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
        spread = float(small.std())
        # Of a picture without any detail only its gray is left to compare.
        thumbs[index] = (small - small.mean()) / max(spread, 4.0) if spread >= 0.5 else 1 + small.mean() / 16
    told = [f"{len(faults)} of {len(images)} images cannot be read, first:", *faults[:3]] if faults else []
    if told or unknown:
        raise ValueError("\n".join([*told, unknown] if unknown else told))
    _tell_shortcuts(images, members)
    return pd.DataFrame(rows).assign(copy_of=_first_like(thumbs, closeness))


def _tell_shortcuts(images: ImageSet, groups: np.ndarray | None) -> None:
    found = shortcuts(images, groups)
    if found:
        told = "; ".join(map(str, found))
        cure = "images of one source may stand together. Name the source as the group, and keep it in one part."
        if groups is not None:
            cure = "the groups do not hold together all that belongs together. Group by what the look-up knows."
        warnings.warn(f"Labels are told without a pixel: {told}: {cure}", stacklevel=3)


def _first_like(thumbs: np.ndarray, closeness: float) -> np.ndarray:
    """Return for each row of ``[N, P]`` float32 the position of the first that is as close or its own, ``[N]``."""
    first = np.arange(len(thumbs))
    square = (thumbs**2).mean(1)
    for start in tqdm(range(0, len(thumbs), 512), desc="copies", leave=False, delay=2):
        end = min(start + 512, len(thumbs))
        sums = square[start:end, None] + square[None, :end]
        gap = sums - 2 / thumbs.shape[1] * thumbs[start:end] @ thumbs[:end].T
        # The difference of large float32 numbers is not exact: what may be near is measured once more.
        near = gap < closeness**2 + ROUNDING * sums
        for row, index in zip(near, range(start, end), strict=True):
            row[index] = True  # an image is like itself, so there is a first one
            like = int(row.argmax())
            while like < index and not _close(thumbs[like], thumbs[index], closeness):
                row[like] = False
                like = int(row.argmax())
            first[index] = first[like] if like < index else index
    return first


def _close(one: np.ndarray, other: np.ndarray, closeness: float) -> bool:
    return bool(((one.astype(float) - other) ** 2).mean() <= closeness**2)


def tied(groups: Iterable[Any] | None, copy_of: Iterable[int]) -> np.ndarray:
    """Return one number an image ``[N]``: the same for images of one group, for copies, and for what those tie.

    Args:
        groups: one an image, of any type; names are compared without spaces around them and in one Unicode form.
        copy_of: for each image the position of the one that it is a copy of, or its own, as :func:`survey` says.

    Raises:
        ValueError: when there is not one group an image, one is missing, or ``copy_of`` names no image.
    """
    copies = in_order(copy_of, "copy_of")
    if np.asarray(copies).dtype == bool:
        raise ValueError("copy_of holds true and false; give the position of an image for each.")
    try:
        edges = [positions(copies, len(copies))]
    except ValueError as error:
        raise ValueError(f"copy_of: {error}") from error
    if groups is not None:
        members = identities(groups, len(copies))
        _, first, inverse = np.unique(members, return_index=True, return_inverse=True)
        edges.append(first[inverse])
    ends = np.concatenate(edges)
    starts = np.tile(np.arange(len(copies)), len(edges))
    links = coo_array((np.ones(len(ends)), (starts, ends)), (len(copies), len(copies)))
    return connected_components(links, directed=False)[1]


def parts(
    labels: Iterable[int],
    shares: Iterable[float],
    seed: int,
    ties: Iterable[Any] | None = None,
    tries: int = 300,
    *,
    classes: Sequence[str] | None = None,
) -> list[np.ndarray]:
    """Return disjoint index arrays, one a share, which together hold every image; classes keep their proportions.

    Args:
        labels: class indices ``[N]``.
        shares: what each part gets, such as ``(0.75, 0.25)``.
        ties: what must not be torn apart, ``[N]`` of any type, as :func:`tied` gives it. Of ``tries`` random
            orders of the groups the one is taken that comes nearest to the shares. Where none gives every class
            to every part, as with many classes, groups are dealt out class by class, the rarest first.
        classes: names, for messages.

    Raises:
        ValueError: when the shares are not positive or do not add up to 1, a label or tie is missing or no whole
            number, or a class cannot stand in every part.
    """
    rows = labels if isinstance(labels, np.ndarray) and labels.ndim else in_order(labels, "labels")
    numbers = class_numbers(rows, len(rows), _kinds(rows) if classes is None else classes, "images")
    if not len(numbers):
        raise ValueError("labels are empty; there is nothing to part.")
    sizes = _shares(shares)
    cuts = np.cumsum(sizes)
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise ValueError(f"seed={seed!r}; give a whole number from 0 on, so that the same parts come again.")
    if tries < 1:
        raise ValueError(f"tries={tries}; give 1 or more.")
    member = np.arange(len(numbers)) if ties is None else identities(ties, len(numbers), "ties")
    pairs = np.unique(np.stack([member, numbers]), axis=1)
    available = np.bincount(pairs[1], minlength=int(numbers.max()) + 1)
    if (available < len(sizes)).any():
        label = int(available.argmin())
        name = f" ({classes[label]!r})" if classes is not None else ""
        tie = _told_ties(np.unique(member, return_counts=True)[1])
        raise ValueError(
            f"class number {label}{name}, counted from 0, stands in {available[label]} group(s) or image(s) "
            f"that may be parted; {len(sizes)} parts need {len(sizes)}.{tie} Collect more, or group more finely."
        )
    rng = np.random.default_rng(seed)
    if len(np.unique(member)) == len(numbers):
        chosen = _by_class(numbers, cuts, rng)
    else:
        ones = np.ones(len(numbers))
        counts = coo_array((ones, (member, numbers))).tocsr()
        chosen = _by_group(counts, np.asarray(sizes), cuts, rng, tries)[member]
    found = [np.flatnonzero(chosen == part) for part in range(len(sizes))]
    check_apart({f"part {number}": rows for number, rows in enumerate(found)}, member)
    return found


def _told_ties(sizes: np.ndarray) -> str:
    """Say how many images are tied to others, from the number of images in each group."""
    held = int(sizes[sizes > 1].sum())
    if not held:
        return ""
    return (
        f" Groups and copies are kept together: {held} of {int(sizes.sum())} images are tied to others, up to "
        f"{int(sizes.max())} at once."
    )


def _kinds(labels: Iterable[Any]) -> Sequence[str]:
    """Return a name for each number up to the highest label; what is no whole number is told elsewhere."""
    highest = 0
    for label in labels:
        try:
            highest = max(highest, operator.index(label))
        except TypeError:
            continue
    return [str(number) for number in range(highest + 1)]


def _shares(shares: Iterable[float]) -> list[float]:
    rows = in_order(shares, "shares")
    try:
        sizes = [float(share) for share in rows]
    except (TypeError, ValueError) as error:
        raise ValueError(f"shares={rows}; give positive numbers that add up to 1.") from error
    # Written so that NaN is refused, too.
    if not (sizes and min(sizes) > 0 and abs(np.cumsum(sizes)[-1] - 1) <= 1e-6):
        raise ValueError(f"shares={tuple(sizes)}; give positive numbers that add up to 1.")
    return sizes


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
    counts: csr_array, shares: np.ndarray, cuts: np.ndarray, rng: np.random.Generator, tries: int
) -> np.ndarray:
    """Return the part of each group; ``counts`` holds the images by group and class."""
    total, sizes, best, chosen = counts.sum(0), counts.sum(1), np.inf, None
    by_class = counts.T.tocsr()
    for _ in tqdm(range(tries), desc="orders of groups", leave=False, delay=2):
        order = rng.permutation(len(sizes))
        size = sizes[order]
        middle = (size.cumsum() - size / 2) / size.sum()
        part = np.empty(len(sizes), int)
        part[order] = np.searchsorted(cuts[:-1], middle)
        got = (by_class @ np.eye(len(shares))[part]).T
        miss = np.abs(got / total - shares[:, None]).max() if got.all() else np.inf
        if miss < best:
            best, chosen = miss, part
    for _ in range(20 if chosen is None else 0):
        part = _dealt(counts, shares, rng)
        got = (by_class @ np.eye(len(shares))[part]).T
        miss = np.abs(got / total - shares[:, None]).max() if got.all() else np.inf
        if miss < best:
            best, chosen = miss, part
    if chosen is None:
        raise ValueError(
            f"no order of {len(sizes)} groups gave {len(shares)} parts that all hold every class; "
            f"group more finely, or collect more.{_told_ties(sizes)}"
        )
    return chosen


def _dealt(counts: csr_array, shares: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the part of each group, dealt out class by class to the part that lacks most of the class."""
    by_class = counts.T.tocsr()
    wanted = shares[:, None] * counts.sum(0)  # [parts, classes]
    order, chosen = rng.permutation(counts.shape[0]), np.full(counts.shape[0], -1)
    rank = np.argsort(order)
    missing = np.ones(wanted.shape, bool)
    for label in np.argsort(np.diff(by_class.indptr), kind="stable"):
        groups = by_class.indices[by_class.indptr[label] : by_class.indptr[label + 1]]
        for group in sorted(groups[chosen[groups] < 0], key=lambda number: rank[number]):
            inside = counts.indices[counts.indptr[group] : counts.indptr[group + 1]]
            images = counts.data[counts.indptr[group] : counts.indptr[group + 1]]
            # A part without the class comes first, then the one that is furthest from its share.
            part = int(np.lexsort((-wanted[:, label] / shares, ~missing[:, label]))[0])
            chosen[group] = part
            wanted[part, inside] -= images
            missing[part, inside] = False
    return chosen
