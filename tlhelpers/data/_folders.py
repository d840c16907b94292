"""Images in class folders: what is a class, a part, an image, and what is none of them."""

from __future__ import annotations

import filecmp
import os
import re
import stat
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from tqdm import tqdm

from tlhelpers.data._images import SUFFIXES, ImageSet
from tlhelpers.data._names import MISSING, check_spelling, near

PART = re.compile(
    r"(train|training|val|valid|validation|dev|eval|test|testing)([ _-]?(set|data|dataset|split|images))?", re.I
)
# What computers, not people, put into folders; so do all names that begin with a dot.
SYSTEM = {
    "__macosx", "__pycache__", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "lost+found", "lost.dir",
    "@eadir", "@recycle", "@tmp", "#recycle", "#snapshot", "$recycle.bin", "recycler", "found.000",
    "system volume information", "network trash folder", "temporary items",
}  # fmt: skip
PICTURES = {  # kinds of pictures that are not read here, so that the cure is to convert them
    ".heic", ".heif", ".hif", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf", ".raw", ".dcm",
    ".svg", ".psd", ".pdf", ".mp4", ".mov", ".avi", ".npy", ".npz", ".mat", ".jxl", ".ico", ".tga", ".eps", ".nii",
    ".fits",
}  # fmt: skip
WORDS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "dev": "val",
         "test": "test", "testing": "test", "eval": "test"}  # fmt: skip
# Folders and files that lie beside images and say what is in them.
MASKS = re.compile(
    r"((binary|gt|segmentation|seg|ground[ _-]?truth)[ _-]?)?(masks?|segmentations?|seg|segmentationclass|"
    r"annotations?|annots?|ground[ _-]?truths?|gts?|labels?|bboxes)",
    re.I,
)
MASK_FILE = re.compile(
    r"(.*[^ _.-])[ _.-]+(masks?|segmentation|seg|gt|ground[ _-]?truth|annotation|labels?)([ _.-]*\d{1,2})?", re.I
)
IMAGES = re.compile(r"((jpeg|png|raw|input|rgb)[ _-]?)?(images?|imgs?|pictures|photos|scans|frames)", re.I)
# What divides the images of a class further, and is no class itself.
WITHIN = re.compile(
    r"(day|date|week|month|year|cam|camera|session|series|visit|site|scanner|video|clip|seq|sequence|batch|patient|"
    r"subject|person|case|run|strip|device|room|[ps])[ _-]*(\d{1,5}|[a-z])|(19|20)\d\d([._-]?\d\d){0,2}",
    re.I,
)
BORDER = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[^\W\d_])(?=\d)|(?<=\d)(?=[^\W\d_])")  # of words: train2017, trainA
UNLABELED = {"unlabeled", "unlabelled", "unsup", "nolabel", "no_label", "no label"}


class Found(NamedTuple):
    """What lies in a folder; ``reason`` says why it is not read and is empty for an image."""

    path: Path
    reason: str
    facts: os.stat_result | None = None


def ending(name: str | Path) -> str:
    """Return the ending of a file's name in lower case, ``.jpg``, or nothing."""
    return Path(str(name).strip()).suffix.lower()


def walk(folder: Path, reason: str = "", above: tuple[tuple[int, int], ...] = ()) -> Iterator[Found]:
    """Yield every file below a folder in the order of names; linked folders are followed, once around.

    Args:
        reason: why nothing in this folder is read.
        above: device and number of the folders that hold this one.
    """
    try:
        facts = folder.stat()
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        yield Found(folder, reason or f"a folder that cannot be opened ({error.strerror})")
        return
    here = (*above, (facts.st_dev, facts.st_ino))
    for entry in entries:
        path, name = folder / entry.name, entry.name
        why = reason or _not_theirs(name, entry.is_dir())
        if not entry.is_dir():
            yield _file(path, why)
        elif entry.is_symlink() and (why or _identity(path) in here):
            yield Found(path, why or "a link to a folder that holds it")
        else:
            if not why and ending(name) in SUFFIXES:
                yield Found(path, "a folder named like an image")
            yield from walk(path, why, here)


def _identity(path: Path) -> tuple[int, int]:
    facts = path.stat()
    return facts.st_dev, facts.st_ino


def _not_theirs(name: str, folder: bool) -> str:
    if name.startswith("."):
        return f"in hidden folder {name!r}" if folder else "hidden file"
    if name.lower() in SYSTEM:
        return f"in system folder {name!r}" if folder else "system file"
    return ""


def _file(path: Path, why: str) -> Found:
    try:
        facts = path.stat()
    except OSError:
        return Found(path, why or "a broken link")
    if not why and not stat.S_ISREG(facts.st_mode):
        why = "no plain file"
    if not why and ending(path) not in SUFFIXES:
        why = f"ending {ending(path)!r}" if ending(path) else "no ending"
    return Found(path, why, facts)


def from_folder(root: str | Path, *, white: int | None = None) -> ImageSet:
    """Return the images under ``root``, where each class is a subfolder.

    Images are files with one of the endings .png, .jpg, .jpeg, .jpe, .jfif, .bmp, .tif, .tiff, .webp, .gif, .avif,
    .jp2, .j2k, .mpo, .ppm, .pgm, .pbm and .pnm, in upper or lower case, at any depth below a class folder. Linked
    folders are followed. What is hidden or made by a computer, such as ``.DS_Store``, ``@eaDir`` or ``__MACOSX``,
    is passed over; :func:`read` returns a list of all that is not read.

    A set that comes already divided (``train/NORMAL``, ``val/NORMAL``, ``test/NORMAL``) is put together
    again, so that :func:`split` can make parts of useful size; the pediatric chest X-rays of Kermany et al.
    (2018), for one, come with 16 validation images. A folder is such a part by its name, and when it holds folders
    of classes; a folder ``train`` full of images is a class.

    Args:
        white: the gray value that is white; see :class:`ImageSet`.

    Raises:
        FileNotFoundError: when ``root`` is no folder.
        ValueError: when there are no class folders, fewer than two, or one is empty; when parts stand beside
            classes, one class is written in two ways, or stands where no training image does; when masks lie
            beside images, or the folders in class folders may be the classes; when a file is empty, is reached
            twice with two labels, or a folder cannot be opened.
    """
    return read_folder(as_path(root), white)[0]


def as_path(source: object) -> Path:
    """Return a path; ``~`` is the folder of the user.

    Raises:
        ValueError: when it is no path, or an empty one.
    """
    if not isinstance(source, (str, os.PathLike)) or not str(source).strip():
        raise ValueError(f"{source!r:.60} is no path; give that of a folder or a table, as text.")
    return Path(source).expanduser()


def read_folder(root: Path, white: int | None = None) -> tuple[ImageSet, pd.DataFrame]:
    """Return the images as :func:`from_folder` does, and a table of what was not read: ``file``, ``reason``."""
    if not root.is_dir():
        raise FileNotFoundError(f"{root} is not a folder.{near_path(root)}")
    found = list(tqdm(walk(root), desc="files", leave=False, delay=2))
    images = [item.path for item in found if not item.reason]
    _check_files(found)
    below = {path: path.relative_to(root).parts for path in images}
    # A folder is found only when it is no class: a link that loops, or one named like an image.
    full = {path.parent for path in images}
    full |= {above for path in full for above in path.parents}
    odd = {item.path for item in found} - full
    folders = _folders(root, odd)
    parts = _parts(root, folders, below)
    places = [root / part for part in parts] if parts else [root]
    classes = tuple(sorted({name for place in places for name in _folders(place, odd)}))
    _check_masks(root, {place: _folders(place, odd) for place in places})
    if parts:
        _check_doubled(root, parts, below)
        _check_parts(root, {place.name: _folders(place, odd) for place in places}, below)
    if len(classes) < 2:
        raise ValueError(
            f"{root} has {len(classes)} class folder(s) {classes}; it needs two or more, each with its images."
            f"{_hint(root, found)}"
        )
    if not images:
        raise ValueError(f"no class folder under {root} holds an image ({', '.join(SUFFIXES)}){_instead(found)}")
    _check_names(classes, root)
    depth = 2 if parts else 1
    mine: dict[str, list[Path]] = {name: [] for name in classes}
    read = {place / name for place in places for name in classes}
    reasons = {item.path: item.reason for item in found if item.reason and item.path not in read}
    for path, names in below.items():
        if len(names) > depth and names[depth - 1] in mine and (not parts or names[0] in parts):
            mine[names[depth - 1]].append(path)
        else:
            reasons[path] = "beside the class folders"
    for name, files in mine.items():
        if not files:
            inside = [item for item in found if any(item.path.is_relative_to(place / name) for place in places)]
            raise ValueError(
                f"class folder {name!r} under {root} holds no image ({', '.join(SUFFIXES)}){_instead(inside)}"
            )
    _check_mask_files(root, mine, below, depth)
    _check_inner(root, mine, below, depth)
    labeled = [(path, index) for index, files in enumerate(mine.values()) for path in sorted(files)]
    again = _reached_twice(root, labeled, {item.path: item.facts for item in found})
    labeled = [(path, index) for path, index in labeled if path not in again]
    chosen = ImageSet(
        [path for path, _ in labeled], np.array([index for _, index in labeled]), classes, white=white
    )
    return chosen, left_out(root, reasons | again)


def left_out(root: Path, reasons: dict[Path, str]) -> pd.DataFrame:
    """Return a row a file: ``file``, its path below ``root``, and ``reason``."""
    rows = sorted((path.relative_to(root).as_posix(), reason) for path, reason in reasons.items())
    return pd.DataFrame([(_shown(name), reason) for name, reason in rows], columns=["file", "reason"], dtype=str)


def _shown(name: str) -> str:
    # A name that is no UTF-8 can be opened, but neither printed nor saved.
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _folders(place: Path, odd: Collection[Path]) -> list[str]:
    with os.scandir(place) as entries:
        names = sorted(entry.name for entry in entries if entry.is_dir())
    return [name for name in names if not _not_theirs(name, True) and place / name not in odd]


def _parts(root: Path, folders: Sequence[str], below: dict[Path, tuple[str, ...]]) -> list[str]:
    """Return the folders that are parts of a divided set; none when the folders are classes."""
    full = {names[0] for names in below.values() if len(names) > 1}
    held: dict[str, set[str]] = {name: set() for name in folders if PART.fullmatch(name.strip())}
    for names in below.values():
        if len(names) > 2 and names[0] in held:
            held[names[0]].add(names[1])
    divided = [name for name in held if held[name]]
    # What holds no image is no class: annotations, documents.
    others = [name for name in folders if name not in held and name in full]
    if divided and others:
        first = divided[0]
        raise ValueError(
            f"{root} has parts ({', '.join(divided)}) beside other folders {others}; move those away if {first!r} "
            f"is a part of a divided set, with the classes {_some(held[first])}. If {first!r} is a class like "
            f"{others[0]!r}, move its images out of its folders, up into {first!r}, or rename it."
        )
    if divided:
        return list(held)
    _check_affixes(root, [name for name in folders if name in full and name not in held])
    flat = [name for name in held if name in full]
    if len(flat) > 1 or (flat and not [name for name in folders if name not in held]):
        raise ValueError(
            f"{root} has the folders {', '.join(map(repr, flat))}, with images in them and no class folders. If "
            "they are parts of a divided set, the labels are missing: make a folder for each class, "
            f"{flat[-1]}/<class>/, or give a table. If they are classes, rename them: {flat[-1] + ' class'!r}."
        )
    return []


def _check_affixes(root: Path, folders: Sequence[str]) -> None:
    """Do nothing when no two folders differ in the name of a part only, as ``cats_train`` and ``cats_test`` do."""
    seen: dict[tuple[str, ...], tuple[str, str]] = {}
    for folder in folders:
        words = re.split(r"[\W_]+", BORDER.sub("_", folder).lower())
        for at, word in enumerate(words):
            if word in WORDS:
                part, other = seen.setdefault((*words[:at], *words[at + 1 :]), (WORDS[word], folder))
                if part != WORDS[word]:
                    raise ValueError(
                        f"{root}: the folders {other!r} and {folder!r} are named like parts of a divided set. Put "
                        f"class folders into {part}/ and {WORDS[word]}/, as {part}/<class>/; or rename them, if "
                        "they are classes."
                    )


def _check_doubled(root: Path, parts: Sequence[str], below: dict[Path, tuple[str, ...]]) -> None:
    """Do nothing when no part holds parts instead of classes, as ``train/train/cat`` does."""
    for part in parts:
        inner = sorted({names[1] for names in below.values() if len(names) > 2 and names[0] == part})
        if inner and all(PART.fullmatch(name.strip()) for name in inner):
            raise ValueError(
                f"{root}: {part!r} holds {_some(inner)}, a part within a part. Move the class folders one level "
                f"up, from {part}/{inner[0]}/<class>/ to {part}/<class>/."
            )


def _check_masks(root: Path, held: dict[Path, list[str]]) -> None:
    """Do nothing when no folder holds images and their masks, boxes or labels instead of classes."""
    for place, names in held.items():
        images = [name for name in names if IMAGES.fullmatch(name.strip())]
        masks = [name for name in names if MASKS.fullmatch(name.strip())]
        if not images:  # train beside train_masks
            split = [(name, MASK_FILE.fullmatch(name.strip())) for name in names]
            pairs = [(name, find[1]) for name, find in split if find and find[1] in names]
            pairs = [pair for pair in pairs if PART.fullmatch(pair[1]) or IMAGES.fullmatch(pair[1])]
            images, masks = [base for _, base in pairs], [name for name, _ in pairs]
        if images and masks:
            inner = [name for name in _folders(place / images[0], ()) if not PART.fullmatch(name.strip())]
            cure = f"give {str(place / images[0])!r}, which holds {_some(inner)}" if len(inner) > 1 else ""
            cure = cure or "make a folder for each class, <class>/, with its images alone, or give a table"
            raise ValueError(
                f"{place} holds {_some(images)} beside {_some(masks)}. If these are images and what belongs to "
                f"them (masks, boxes, labels), neither is a class, and boxes are no class folders: {cure}. If "
                f"they are classes, rename them: {masks[0] + ' class'!r}."
            )


def _check_mask_files(
    root: Path, mine: dict[str, list[Path]], below: dict[Path, tuple[str, ...]], depth: int
) -> None:
    """Do nothing when no class holds masks beside its images, by the names of files or of folders."""
    masks: list[tuple[Path, str]] = []
    for name, files in mine.items():
        apart = [path for path in files if any(map(MASKS.fullmatch, map(str.strip, below[path][depth:-1])))]
        if len(apart) < len(files):
            masks += [(path, f"other images of class {name!r}") for path in apart]
        stems = {(path.parent, path.stem.lower()): path for path in files}
        for path in files:
            find = MASK_FILE.fullmatch(path.stem)
            base = stems.get((path.parent, find[1].lower())) if find else None
            if base is not None:
                masks.append((path, base.name))
    if masks:
        first, beside = masks[0][0].relative_to(root).as_posix(), masks[0][1]
        raise ValueError(
            f"{root}: {len(masks)} file(s) are named like masks, first {first} beside {beside}. If they are "
            f"masks or annotations, they are no images of a class: move them out of {root}. If they are images, "
            "rename them, or their folder."
        )


def _check_inner(root: Path, mine: dict[str, list[Path]], below: dict[Path, tuple[str, ...]], depth: int) -> None:
    """Do nothing when no folder in a class folder may be a class itself."""
    alike: dict[tuple[str, ...], str] = {}
    names = {name.lower(): name for name in mine}
    for name, files in mine.items():
        inner = {folder for path in files for folder in below[path][depth:-1]}
        other = sorted(folder for folder in inner if names.get(folder.lower(), name) != name)
        if other:
            label = names[other[0].lower()]
            raise ValueError(
                f"{root}: class folder {name!r} holds a folder {other[0]!r}, and {label!r} is a class, too. If "
                f"{name}/{other[0]} is of class {label!r}, move its images there, or {name!r} away; if it is of "
                f"class {name!r}, rename it."
            )
    for name, files in mine.items():
        if any(len(below[path]) == depth + 1 for path in files):
            continue
        first = {below[path][depth] for path in files}
        inner_names = tuple(sorted(folder for folder in first if not PART.fullmatch(folder.strip())))
        if len(inner_names) < 2 or all(WITHIN.fullmatch(folder.strip()) for folder in inner_names):
            continue
        twin = alike.setdefault(tuple(folder.lower() for folder in inner_names), name)
        if twin != name:
            label = inner_names[0]
            raise ValueError(
                f"{root}: the folders {twin!r} and {name!r} both hold {_some(inner_names)}, and no image beside. "
                f"If {label!r} is a class (and {twin!r} a patient, a fold, a kind of copy), take the class "
                f"folders together, as {label}/{twin}/, without copies, or give a table. If {twin!r} is a class, "
                "move its images up, out of its folders."
            )


def _check_parts(root: Path, held: dict[str, list[str]], below: dict[Path, tuple[str, ...]]) -> None:
    """Do nothing when each class has images in the training part, or in two parts where there is none."""
    place: dict[str, list[str]] = {}
    for part, name in sorted({(names[0], names[1]) for names in below.values() if len(names) > 2}):
        if name in held.get(part, []):
            place.setdefault(name, []).append(part)
    check_spelling((name for names in held.values() for name in names), "classes", str(root))
    full = sorted({part for where in place.values() for part in where})
    training = {part for part in full if part.strip().lower().startswith("train")}
    for name, where in place.items():
        alone = not training & set(where) if training else len(where) == 1
        if len(full) > 1 and (alone or (len(where) == 1 and name.lower() in ("unknown", "unsorted"))):
            raise ValueError(
                f"{root}: class {name!r} stands in {' and '.join(where)} alone, not in "
                f"{' or '.join(part for part in full if part not in where)}. If these images have no label, move "
                f"{where[0]}/{name} away; if it is a class, take the class folders of all parts together into one "
                f"folder without parts, for parts are made anew."
            )


def _check_names(classes: Sequence[str], root: Path) -> None:
    check_spelling(classes, "classes", str(root))
    for name in classes:
        if name in MISSING & {"nan", "NaN", "-nan", "-NaN", "<NA>", "NaT"}:
            raise ValueError(
                f"{root}: the class folder {name!r} is named like a missing label; move it away, or rename it."
            )
        if name.lower() in UNLABELED:
            raise ValueError(
                f"{root}: the class folder {name!r} says that its images have no label; move it away or rename it."
            )
        if _shown(name) != name:
            raise ValueError(f"{root}: the name of class folder {name!a} is no UTF-8; rename it.")


def _check_files(found: Sequence[Found]) -> None:
    closed = [item for item in found if item.reason.startswith("a folder that cannot be opened")]
    if closed:
        raise ValueError(f"{closed[0].path}: {closed[0].reason}; mend its permissions, or move it away.")
    check_filled([item.path for item in found if not item.reason and item.facts and not item.facts.st_size])


def check_filled(empty: Sequence[Path]) -> None:
    """Raise a ValueError that names the first three files without content, when there are any."""
    if empty:
        raise ValueError(
            f"{len(empty)} image file(s) are empty (0 bytes), first {', '.join(str(path) for path in empty[:3])}; "
            "copy them again, or delete them."
        )


def twice(paths: Sequence[Path], facts: Sequence[os.stat_result | None]) -> list[tuple[int, int]]:
    """Return the positions of paths that lead to one file, the first one before the other."""
    by_name: dict[str, int] = {}
    by_number: dict[tuple[int, int], int] = {}
    again = []
    for row, (path, fact) in enumerate(zip(paths, facts, strict=True)):
        first = by_name.setdefault(os.path.normpath(path), row)
        if first == row and fact and fact.st_ino:
            first = by_number.setdefault((fact.st_dev, fact.st_ino), row)
            # Some network drives give two files one number.
            first = first if first == row or filecmp.cmp(paths[first], path, shallow=False) else row
        if first != row:
            again.append((first, row))
    return again


def _reached_twice(
    root: Path, labeled: Sequence[tuple[Path, int]], facts: dict[Path, os.stat_result | None]
) -> dict[Path, str]:
    """Return the files that links lead to a second time, each with its reason."""
    paths = [path for path, _ in labeled]
    again: dict[Path, str] = {}
    for first, row in twice(paths, [facts[path] for path in paths]):
        one, other = (paths[at].relative_to(root).as_posix() for at in (first, row))
        if labeled[first][1] != labeled[row][1]:
            raise ValueError(
                f"{one} and {other} under {root} are one file, reached by a link, in two classes; delete the "
                "wrong one."
            )
        again[paths[row]] = f"a link to {one}, which is read"
    return again


def _hint(root: Path, found: Sequence[Found]) -> str:
    """Say what the folder holds instead of two class folders."""
    images = [item.path.relative_to(root).parts for item in found if not item.reason]
    tables = [item.path for item in found if ending(item.path) in (".csv", ".tsv") and item.path.parent == root]
    if not images:
        return _instead(found, " It")
    if all(len(names) == 1 for names in images):
        if tables:
            return (
                f" Its {len(images)} image(s) lie in no folder: is {str(tables[0])!r} their table? Then give that."
            )
        return f" Its {len(images)} image(s) lie in no folder: move each into a folder named by its class."
    place = root
    while len({names[0] for names in images}) == 1 and all(len(names) > 1 for names in images):
        place, images = place / images[0][0], [names[1:] for names in images]
    inner = sorted({names[0] for names in images if len(names) > 1})
    if len(inner) > 1 and place != root:
        return f" Give {str(place)!r}, which holds {_some(inner)}."
    return ""


def _instead(found: Sequence[Found], it: str = ": it") -> str:
    """Say what a folder holds, and what to do."""
    kinds = Counter(
        ending(f.path) or "without an ending" for f in found if f.reason.startswith(("ending", "no end"))
    )
    other = Counter(
        item.reason for item in found if item.reason and not item.reason.startswith(("ending", "no end"))
    )
    held = ", ".join(f"{count} {kind}" for kind, count in (kinds + Counter()).most_common(5))
    if not held and other:
        held = f"{sum(other.values())} file(s) that are not read ({other.most_common(1)[0][0]})"
    if not held:
        return f"{it} is empty; put its images there, or delete it." if it == ": it" else ""
    if PICTURES & set(kinds):
        return f"{it} holds {held}; convert them to .png or .jpg."
    return f"{it} holds {held}; put images there, or move it away."


def _some(names: Iterable[str]) -> str:
    names = sorted(names)
    return ", ".join(map(repr, names[:4])) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def near_path(path: Path) -> str:
    """Say which name beside a path that is not there comes near."""
    stripped = str(path).strip().strip("'\"")
    if stripped != str(path) and Path(stripped).expanduser().exists():
        return f" Without the spaces or quotation marks around it, {stripped!r} is there."
    try:
        return near(path.name, [other.name for other in path.parent.iterdir()])
    except OSError:
        return ""
