"""One picture: what its file holds, and how that becomes 8-bit RGB.

Pillow scales by the depth of the container, and leaves unsaid what it passes over: the lower byte of 16-bit
colors, the tag that makes 0 white, the other pages. Here the file is asked first.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps, TiffImagePlugin, UnidentifiedImageError

FULL = 65535  # what a file of 16 bits can hold
CLEAR = 2**14  # a value from here on shows that the 16 bits are used: cameras have 10, 12 or 14
SUBFILE, BITS, PHOTOMETRIC, SAMPLES, PLANES, EXTRA, FORMAT = 254, 258, 262, 277, 284, 338, 339  # tags of TIFF
COMMON = (1, 2, 3, 4, 5, 6, 7, 8, 32773, 32946)  # compressions that every reader of TIFF knows
HEADS = {  # where in a file, what stands there, what that is
    "HEIC, as phones save photos": (4, (b"ftyphei", b"ftyphev", b"ftypmif1", b"ftypmsf1")),
    "AVIF": (4, (b"ftypavif", b"ftypavis")),
    "a video, or a raw photo in such a box": (4, (b"ftyp",)),
    "JPEG XL": (0, (b"\xff\x0a", b"\x00\x00\x00\x0cJXL ")),
    "DICOM": (128, (b"DICM",)),
    "PDF": (0, (b"%PDF",)),
    "SVG or XML": (0, (b"<svg", b"<?xml")),
    "OpenEXR": (0, (b"\x76\x2f\x31\x01",)),
    "HDF5": (0, (b"\x89HDF",)),
    "an array of NumPy": (0, (b"\x93NUMPY",)),
    "compressed by gzip": (0, (b"\x1f\x8b",)),
    "a zip archive": (0, (b"PK\x03\x04",)),
}


class Undecided(ValueError):
    """The range of 16-bit pictures is not known, and somebody has to say it."""


class Deep(NamedTuple):
    """A picture of more than 8 bits a channel, as its file holds it, upright.

    Attributes:
        values: ``[H, W, C]`` int64; C is 1 or 3.
        top: the value of full white, where the file says it.
        room: the largest value that the file could hold.
        inverted: whether 0 is white.
        opacity: ``[H, W]`` from 0 to 1.
        premultiplied: whether the values were already multiplied by the opacity.
    """

    values: np.ndarray
    top: int | None
    room: int = FULL
    inverted: bool = False
    opacity: np.ndarray | None = None
    premultiplied: bool = False

    @property
    def undecided(self) -> bool:
        """Whether the values alone do not tell the range; a black picture has none to tell."""
        return self.top is None and self.values.min() >= 0 and 0 < int(self.values.max()) < CLEAR


def open_rgb(source: np.ndarray | Path | str, white: int | None = None) -> Image.Image:
    """Return an image as 8-bit RGB, whatever its file holds; of several pages the first.

    Gray is repeated over three channels, CMYK and palettes are converted, what is transparent turns white, and a
    photo is turned upright as its EXIF tag asks. What has 16 bits a channel is scaled from its full range.

    Args:
        white: the value in a 16-bit file that becomes 255: 4095 for a camera of 12 bits. 8-bit files, and those
            that say themselves which value is white, are taken as they are.

    Raises:
        ValueError: when ``source`` is neither path nor array; naming the file, when it cannot be read as an image,
            is of a kind that is not read here, or holds a value above ``white``; or when ``white`` is ``None`` and
            no 16-bit value reaches 2**14, since fewer bits in a file for 16 would come out nearly black.
    """
    white = checked_white(white)
    held = read(source)
    if isinstance(held, Deep) and white is None and held.undecided:
        raise undecided(int(held.values.max()), source)
    return as_rgb(held, source, white)


def checked_white(white: Any) -> int | None:
    """Return ``white`` as an int, or ``None``; refuse what is no value of a pixel."""
    if white is None:
        return None
    if isinstance(white, (bool, np.bool_)) or not isinstance(white, (int, np.integer)) or white < 1:
        raise ValueError(
            f"white={white!r}: give the value in the files that is full white, a whole number: 4095 for 12 bits."
        )
    return int(white)


def checked_array(image: np.ndarray) -> None:
    """Do nothing for 8-bit pixels ``[H, W]`` or ``[H, W, 3]``; refuse any other array."""
    if image.dtype != np.uint8:
        raise ValueError(f"image array is {image.dtype}; scale it to 0..255 and convert it to uint8.")
    if (image.ndim != 2 and image.shape[2:] != (3,)) or not image.size:
        raise ValueError(f"image array has shape {image.shape}; give [H, W] or [H, W, 3].")


def read(source: np.ndarray | Path | str) -> Image.Image | Deep:
    """Return what a file holds, upright: an image of 8 bits a channel or fewer, or one that is :class:`Deep`."""
    if isinstance(source, np.ndarray):
        checked_array(source)
        return Image.fromarray(source)
    _check_source(source)
    try:
        with _opened(source) as opened:
            if _plain(opened):
                return ImageOps.exif_transpose(opened)
            _check_kind(opened, source)
            if _in_pairs(opened):
                return _deep_colors(source)
            _mend_byte_order(opened)
            if opened.mode.startswith("I"):
                return _deep_gray(opened, source)
            cut = opened.mode not in ("P", "PA", "CMYK") and _depth(opened, source) == 16
            image = ImageOps.exif_transpose(opened)
    except _Kind as error:
        raise ValueError(f"{source}: {error}") from error
    except Exception as error:  # whatever a decoder makes of strange bytes
        raise ValueError(f"{source}: {_why(source, error)}") from error
    if cut and max(high for _, high in _extrema(image)) < CLEAR // 256:
        raise ValueError(
            f"{source}: has 16 bits a channel; the upper 8, which alone are read here, are nearly empty. "
            "Save it as a PNG of 16 bits."
        )
    return image


def _check_source(source: Any) -> None:
    """Refuse what is neither a path nor an array."""
    if isinstance(source, (str, os.PathLike)):
        return
    if source is None:
        raise ValueError("the image is missing (None); give the path of a file, or a uint8 array.")
    cure = "give a path, or a uint8 array [H, W] or [H, W, 3]"
    if isinstance(source, Image.Image):
        cure = "give the path of its file, or np.asarray(image.convert('RGB'))"
    elif hasattr(source, "read"):
        cure = "give the path of a file, or of what it holds np.asarray(Image.open(file).convert('RGB'))"
    elif isinstance(source, torch.Tensor):
        cure += "; of a uint8 tensor [3, H, W] tensor.permute(1, 2, 0).cpu().numpy() is one"
    raise ValueError(f"the image is of type {type(source).__name__}; {cure}.")


def as_rgb(held: Image.Image | Deep, source: object, white: int | None = None) -> Image.Image:
    """Return what :func:`read` gave as 8-bit RGB; ``source`` is for the message."""
    if isinstance(held, Deep):
        return _scaled(held, source, white)
    try:
        if held.has_transparency_data:  # files hide any color below
            held = Image.alpha_composite(Image.new("RGBA", held.size, "white"), held.convert("RGBA"))
        return held.convert("RGB")
    except ValueError as error:
        raise ValueError(
            f"{source}: of a kind that is not read here (colors as {held.mode}); save it as RGB."
        ) from error


def _scaled(held: Deep, source: object, white: int | None) -> Image.Image:
    values, top = held.values, held.top or white or held.room
    low, high = int(values.min()), int(values.max())
    if low >= 0 and high > top and white is not None:
        raise ValueError(
            f"{source}: holds the value {high}, above white={white}; give the value that is full white in all "
            "files of the set."
        )
    if low < 0 or high > top:
        raise ValueError(
            f"{source}: gray values run from {low} to {high}, beyond 16 bits; rescale them to 0..65535."
        )
    pixels = (top - values if held.inverted else values) * 255 // top
    if held.opacity is not None:
        opacity = held.opacity[..., None]
        pixels = np.rint((pixels if held.premultiplied else pixels * opacity) + 255 * (1 - opacity)).clip(0, 255)
    pixels = pixels.astype(np.uint8)
    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).convert("RGB")


def undecided(largest: int, source: object, of: str = "") -> Undecided:
    """Return the error that asks for ``white``, from the largest value and the file that holds it."""
    bits = _bits(largest)
    return Undecided(
        f"{source}: the largest value{of} is {largest}, where 16 bits reach {FULL}. That looks like {bits} bits, "
        f"which would come out nearly black. Give white={2**bits - 1} to stretch them to full white, or "
        f"white={FULL} to leave the pictures as dark as they are."
    )


def largest(sources: Iterable[Path]) -> tuple[int, Path | None]:
    """Return the largest value in all 16-bit files that do not say their range, and its file.

    It stops where a value shows that all 16 bits are used. What cannot be read is told where it is opened.
    """
    most, where = 0, None
    for source in sources:
        try:
            with _opened(source) as opened:
                deep = opened.mode.startswith("I") or _in_pairs(opened)
            held = read(source) if deep else None
        except Exception:
            continue
        if isinstance(held, Deep) and held.top is None and int(held.values.max()) > most:
            most, where = int(held.values.max()), source
            if most >= CLEAR:
                break
    return most, where


def facts(source: np.ndarray | Path | str, held: Image.Image | Deep) -> dict[str, int]:
    """Return ``depth``, ``low``, ``high`` and ``pages`` of what :func:`read` gave for ``source``.

    Values are those in the file; of palettes, CMYK and the like those of the RGB picture made from them.
    """
    depth, top, inverted, pages = 8, 255, False, 1
    if not isinstance(source, np.ndarray):
        with _opened(source) as opened:
            depth, inverted, pages = _depth(opened, source), _zero_is_white(opened), _pages(opened)
            top = _maxval(opened) or 2**depth - 1
    if isinstance(held, Deep):
        return {"depth": depth, "low": int(held.values.min()), "high": int(held.values.max()), "pages": pages}
    plain = held if held.mode in ("1", "L", "LA", "RGB", "RGBA") else as_rgb(held, source)
    bands = _extrema(plain)
    low, high = (round(value * top / 255) for value in (min(b[0] for b in bands), max(b[1] for b in bands)))
    if inverted and plain.mode in ("1", "L"):
        low, high = top - high, top - low
    return {"depth": depth, "low": low, "high": high, "pages": pages}


def _extrema(image: Image.Image) -> list[tuple[int, int]]:
    """Return smallest and largest value of each band that is no opacity."""
    bands = image.getextrema()
    pairs: list[Any] = list(bands) if isinstance(bands[0], tuple) else [bands]
    return pairs[:-1] if image.mode in ("LA", "RGBA") else pairs


# What is in a file, by its head


def _opened(source: Path | str) -> Image.Image:
    opened = Image.open(source)
    if _tag(opened, 274, 1) in (5, 6, 7, 8):
        # Where Pillow knows the name, it maps the file by the size of the turned picture, and skews it.
        opened.filename = ""  # type: ignore[attr-defined]
    return opened


def _plain(opened: Image.Image) -> bool:
    """Return whether a file has 8 bits a channel as most have, so that there is nothing to ask."""
    eight = opened.format in ("JPEG", "MPO", "WEBP", "GIF", "AVIF", "BMP")
    return eight or (opened.format == "PNG" and opened.tile[0][3] == opened.mode)  # type: ignore[attr-defined]


def _rawmodes(opened: Image.Image) -> list[str]:
    """Return how the pixels lie in the file; empty when they come from a decoder that does not tell."""
    args = [tile[3] for tile in getattr(opened, "tile", [])]
    return [str(a[0] if isinstance(a, tuple) and a else a) for a in args]


def _tag(opened: Image.Image, tag: int, default: Any) -> Any:
    return opened.tag_v2.get(tag, default) if isinstance(opened, TiffImagePlugin.TiffImageFile) else default


def _maxval(opened: Image.Image) -> int | None:
    """Return the value that a PGM or PPM calls white."""
    if opened.format != "PPM" or opened.mode == "1":
        return None
    args = opened.tile[0][3]  # type: ignore[attr-defined]
    if isinstance(args, tuple):
        return int(args[1])
    return FULL if args == "I;16B" else 255


def _precision(opened: Image.Image, source: Path | str) -> int | None:
    """Return the bits a channel of a JPEG 2000: they stand in its codestream, after the number of channels."""
    if opened.format != "JPEG2000":
        return None
    with Path(source).open("rb") as file:
        head = file.read(2**16)
    start = head.find(b"\xff\x4f\xff\x51")
    return (head[start + 42] & 0x7F) + 1 if 0 <= start < len(head) - 42 else None


def _depth(opened: Image.Image, source: Path | str) -> int:
    """Return the bits a channel in the file; of a palette those of its colors."""
    if opened.mode in ("P", "PA"):
        return 8
    if isinstance(opened, TiffImagePlugin.TiffImageFile):
        return max(_tag(opened, BITS, (1,)))
    maxval, precision = _maxval(opened), _precision(opened, source)
    if maxval or precision:
        return maxval.bit_length() if maxval else int(precision or 8)
    raw = (_rawmodes(opened) or [""])[0]
    if opened.mode.startswith("I") or raw.endswith(";16B"):
        return 32 if ";32" in raw else 16
    if opened.mode == "1":
        return 1
    return int(raw[2]) if raw in ("L;2", "L;4") else 8


def _room(opened: Image.Image) -> int:
    signed = any(raw.startswith("I;16") and raw.endswith("S") for raw in _rawmodes(opened))
    return 2**15 - 1 if signed else FULL


def _zero_is_white(opened: Image.Image) -> bool:
    return _tag(opened, PHOTOMETRIC, 0) == 0 and isinstance(opened, TiffImagePlugin.TiffImageFile)


def _pages(opened: Image.Image) -> int:
    """Return the pages or frames of a file; small copies of the first page, and layers, do not count."""
    if opened.format == "PSD":
        return 1
    try:
        count = int(getattr(opened, "n_frames", 1))
        if isinstance(opened, TiffImagePlugin.TiffImageFile):
            reduced = 0
            for page in range(1, count):
                opened.seek(page)
                reduced += _tag(opened, SUBFILE, 0) & 1
            opened.seek(0)
            return (count - reduced) * int(_tag(opened, 32997, 1))  # ImageDepth: a volume in one page
        return count
    except Exception:  # the first page was read; the others are damaged
        return 1


class _Kind(ValueError):
    """A sound file of a kind that would be misread."""


def _check_kind(opened: Image.Image, source: Path | str) -> None:
    """Refuse what Pillow opens and misreads."""
    if opened.mode == "F":
        raise _Kind("floating-point image of unknown range; save it as 8-bit gray.")
    if not isinstance(opened, TiffImagePlugin.TiffImageFile):
        return
    if _depth(opened, source) == 8 and set(_tag(opened, FORMAT, (1,))) == {2}:
        raise _Kind(_not_read("8 bits with a sign", "save it as 8-bit gray without one"))
    if _tag(opened, SUBFILE, 0) & 1 and _tag(opened, 330, None):
        raise _Kind(_not_read("a raw photo, of which only a small preview shows", "develop it to PNG or JPEG"))
    if opened.mode == "RGBA" and not _tag(opened, EXTRA, ()):
        with _opened(source) as again:
            if again.getchannel("A").getextrema() != (255, 255):
                raise _Kind(
                    _not_read(
                        "4 bands, and no word what the fourth is", "save three of them as RGB, or all as RGBA"
                    )
                )
    if _depth(opened, source) == 16 and opened.mode in ("RGBA", "CMYK") and len(_rawmodes(opened)[0]) == 1:
        raise _Kind(_not_read(f"16-bit {opened.mode} in separate planes", "save it as RGB of 8 bits"))


def _not_read(kind: str, cure: str = "save it as PNG or JPEG") -> str:
    return f"of a kind that is not read here ({kind}); {cure}."


def _why(source: Path | str, error: Exception) -> str:
    """Return why a file could not be opened, and the cure for that."""
    if isinstance(error, Image.DecompressionBombError):
        return f"too large to be opened ({error}); scale it down, or cut it into pieces."
    if isinstance(error, MemoryError):
        return "too large for the memory of this machine; scale it down, or cut it into pieces."
    # A Path has lost one of the two slashes; one letter is a drive of Windows.
    if isinstance(error, OSError) and re.match(r"[a-z][a-z0-9+.-]+:/", str(source), re.IGNORECASE):
        return "cannot be read as an image (it is an address on the web); download it first, and give the file."
    if isinstance(error, FileNotFoundError):
        return f"cannot be read as an image ({error.strerror}); give the path of a file that is there."
    if Path(source).is_dir():
        return "cannot be read as an image (it is a folder); give the files in it."
    if isinstance(error, PermissionError):
        return f"cannot be read as an image ({error.strerror}); allow yourself to read it."
    with Path(source).open("rb") as file:
        head = file.read(256)
    if not head:
        return "cannot be read as an image (the file is empty); delete or replace it."
    if head.startswith(b"version https://git-lfs"):
        return "is only a pointer to the image, left by Git LFS; get the file itself by git lfs pull."
    if head.lstrip()[:5].lower() in (b"<html", b"<!doc"):
        return "is a web page, as a download that failed leaves one; fetch the image again."
    closed = isinstance(error, (UnidentifiedImageError, KeyError)) or "decoder error" in str(error)
    if head[:4] in TiffImagePlugin.PREFIXES and closed:
        kind = _tiff_kind(Path(source), isinstance(error, UnidentifiedImageError))
        if kind is not None:
            return _not_read(
                kind, f"save {'one or three of its bands' if 'bands' in kind else 'it'} as a PNG of 8 bits"
            )
    for kind, (start, marks) in HEADS.items():
        if head[start:].startswith(marks) and isinstance(error, UnidentifiedImageError):
            return _not_read(kind)
    reason = str(_refusal(Path(source), head) if isinstance(error, UnidentifiedImageError) else error)
    if re.search("unsupported|not supported|cannot handle|unimplemented|not implemented", reason, re.IGNORECASE):
        return _not_read(reason)
    return f"cannot be read as an image ({error}); delete or replace it."


def _refusal(source: Path, head: bytes) -> Exception | None:
    """Return what the reader of the file's own format has to say, which Pillow keeps to itself."""
    for factory, accept in Image.OPEN.values():
        try:
            if accept is not None and accept(head[:16]) is True:
                with source.open("rb") as file:
                    factory(file, source.name)
        except Exception as error:
            return error
    return None


def _tiff_kind(path: Path, unidentified: bool) -> str | None:
    """Return in words how the pixels of a TIFF lie; ``None`` when its head is damaged."""
    try:
        with path.open("rb") as file:
            head = file.read(8)
            head += file.read(8) if 43 in head[2:4] else b""
            tags = TiffImagePlugin.ImageFileDirectory_v2(head)
            file.seek(tags.next)
            tags.load(file)
        if not {256, 257, PHOTOMETRIC} <= set(tags) or not {273, 324} & set(tags):
            return None
        bands, bits = int(tags.get(SAMPLES, 1)), max(tags.get(BITS, (1,)))
        what = {2: "signed ", 3: "floating-point ", 5: "complex ", 6: "complex "}.get(
            max(tags.get(FORMAT, (1,))), ""
        )
    except Exception:
        return None
    compression = tags.get(259, 1)
    if compression not in COMMON:
        return f"a TIFF of compression {compression}"
    if not unidentified:
        return None
    order = ", high byte first" if head[:2] == b"MM" and bits > 8 else ""
    zero = ", 0 is white" if tags[PHOTOMETRIC] == 0 else ""
    return f"{bands} band{'s' if bands > 1 else ''} of {bits} {what}bits{zero}{order}"


# More than 8 bits


def _deep_gray(opened: Image.Image, source: Path | str) -> Deep:
    maxval, precision = _maxval(opened), _precision(opened, source)
    twelve, room, inverted = "I;12" in _rawmodes(opened), _room(opened), _zero_is_white(opened)
    image = ImageOps.exif_transpose(opened)
    values = np.asarray(image).astype(np.int64)
    clear = image.info.get("transparency")
    opacity = None if clear is None else (values != clear).astype(float)
    top = 4095 if twelve else None
    # Pillow has stretched these two to 16 bits already.
    if maxval and maxval < FULL:
        top, values = maxval, np.rint(values * maxval / FULL).astype(np.int64)
    if precision and precision < 16:
        top, values = 2**precision - 1, values >> (16 - precision)
    return Deep(values[..., None], top, room, inverted, opacity)


def _in_pairs(opened: Image.Image) -> bool:
    """Return whether these are colors of 16 bits, of which Pillow would keep the upper byte."""
    raws = _rawmodes(opened)
    if opened.format == "PPM":
        return opened.mode == "RGB" and _maxval(opened) == FULL and opened.tile[0][0] == "ppm"  # type: ignore[attr-defined]
    planes = raws[:1] == ["R"] and opened.mode == "RGB" and max(_tag(opened, BITS, (8,))) == 16
    if _tag(opened, PLANES, 1) == 2 and not planes:
        return False  # libtiff hands over the upper bytes only
    return planes or any(re.fullmatch("(RGB|RGBX|RGBA|RGBa);16[BLN]|LA;16B", raw) for raw in raws)


def _deep_colors(source: Path | str) -> Deep:
    """Read the two bytes of each value one after the other, as if each were the upper one."""
    with _opened(source) as opened:
        codec, raw = opened.tile[0][0], _rawmodes(opened)[0]  # type: ignore[attr-defined]
        little = sys.byteorder == "little" if codec == "libtiff" else raw[-1] == "L" or _prefix(opened) == b"II"
        clear = opened.info.get("transparency")
    alpha: np.ndarray | None
    if raw == "LA;16B":
        four = _pixels(source, "").astype(np.int64)
        pairs = four[..., 0::2] * 256 + four[..., 1::2]
        values, alpha = pairs[..., :1], pairs[..., 1]
    else:
        upper, lower = (_pixels(source, order).astype(np.int64) for order in ("LB" if little else "BL"))
        pairs = upper * 256 + lower
        values, alpha = pairs[..., :3], pairs[..., 3] if pairs.shape[2] == 4 else None
    opacity = None
    if clear is not None:
        opacity = (values != np.asarray(clear)).any(-1).astype(float)
    if alpha is not None:
        most = int(alpha.max())
        opacity = alpha / (FULL if most >= CLEAR else 2 ** _bits(most) - 1)
    return Deep(values, None, opacity=opacity, premultiplied=raw.startswith("RGBa"))


def _pixels(source: Path | str, order: str) -> np.ndarray:
    """Return ``[H, W, 3 or 4]`` uint8: of each pair of bytes the first (``B``) or the second (``L``)."""
    with _opened(source) as opened:
        tiles = []
        for tile, raw in zip(opened.tile, _rawmodes(opened), strict=True):  # type: ignore[attr-defined]
            if len(raw) == 1 and raw not in "RGB":
                continue  # a plane that is no color
            mode = f"{raw.partition(';')[0].replace('a', 'A')};16{order}" if order else "RGBA"
            if tile[0] == "ppm":
                tiles.append(tile._replace(codec_name="raw", args=(mode, 0, 1)))
            else:
                tiles.append(tile._replace(args=(mode, *tile[3][1:]) if isinstance(tile[3], tuple) else mode))
        opened.tile = tiles  # type: ignore[attr-defined]
        return np.asarray(ImageOps.exif_transpose(opened))


def _mend_byte_order(opened: Image.Image) -> None:
    """Tell Pillow that libtiff has put the bytes of signed numbers in the order of this machine."""
    if sys.byteorder == "little" and _prefix(opened) == b"MM":
        opened.tile = [  # type: ignore[attr-defined]
            tile._replace(args=(tile[3][0].replace("BS", "S"), *tile[3][1:])) if tile[0] == "libtiff" else tile
            for tile in opened.tile  # type: ignore[attr-defined]
        ]


def _prefix(opened: Image.Image) -> bytes:
    return opened.tag_v2.prefix if isinstance(opened, TiffImagePlugin.TiffImageFile) else b""


def _bits(value: int) -> int:
    """Return for how many bits, of those that cameras have, a value is the likely end."""
    return next(bits for bits in (8, 10, 12, 14) if value < 2**bits)
