"""A file says what its values mean: depth, range, which end is white, pages, bands; else the reader is asked."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

import tlhelpers as tl
from tlhelpers.data import ImageSet, _pictures

RAMP = np.tile(np.linspace(0, 1, 64), (8, 1))
"""From black, left, to white, ``[8, 64]``."""


def ramp(top: int, kind: Any = np.uint16) -> np.ndarray:
    return np.rint(RAMP * top).astype(kind)


def png(path: Path, values: np.ndarray) -> Path:
    """Write gray, gray with opacity, RGB or RGBA of 16 bits as a PNG, which Pillow itself writes of gray only."""
    import zlib

    height, width, channels = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    body = b"".join(struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return path


def tif(path: Path, values: np.ndarray, **settings: Any) -> Path:
    tifffile.imwrite(path, values, **{"photometric": "minisblack", **settings})
    return path


def jp2(path: Path, values: np.ndarray) -> Path:
    Image.fromarray(values).save(path)
    return path


def pgm(path: Path, values: np.ndarray, maxval: int = 65535) -> Path:
    kind = b"P6" if values.ndim == 3 else b"P5"
    size = f"{values.shape[1]} {values.shape[0]}\n{maxval}\n".encode()
    path.write_bytes(kind + b"\n" + size + values.astype(">u2" if maxval > 255 else "u1").tobytes())
    return path


def plain(path: Path, values: np.ndarray) -> Path:
    words = " ".join(map(str, values.ravel()))
    path.write_text(f"{'P3' if values.ndim == 3 else 'P2'}\n{values.shape[1]} {values.shape[0]}\n65535\n{words}\n")
    return path


Write = Callable[[Path, np.ndarray], Path]
GRAY: dict[str, tuple[str, Write]] = {
    "png": ("a.png", lambda path, values: png(path, values[..., None])),
    "tif": ("a.tif", tif),
    "tif, high byte first": ("a.tif", lambda path, values: tif(path, values, byteorder=">")),
    "tif, compressed": ("a.tif", lambda path, values: tif(path, values, compression="zlib")),
    "tif, both": ("a.tif", lambda path, values: tif(path, values, compression="zlib", byteorder=">")),
    "tif, tiles": ("a.tif", lambda path, values: tif(path, values, tile=(16, 16))),
    "tif, signed": ("a.tif", lambda path, values: tif(path, values.astype(np.int16))),
    "tif, signed, both": (
        "a.tif",
        lambda path, values: tif(path, values.astype(np.int16), byteorder=">", compression="zlib"),
    ),
    "tif, 32 bits": ("a.tif", lambda path, values: tif(path, values.astype(np.int32))),
    "tif, 32 bits, no sign": ("a.tif", lambda path, values: tif(path, values.astype(np.uint32))),
    "tif, 32 bits, both": (
        "a.tif",
        lambda path, values: tif(path, values.astype(np.int32), byteorder=">", compression="zlib"),
    ),
    "jp2": ("a.jp2", jp2),
    "pgm": ("a.pgm", pgm),
    "pgm, plain": ("a.pgm", plain),
}


def colors(gray: np.ndarray) -> np.ndarray:
    return np.stack([gray, gray // 2, gray[:, ::-1]], -1)


def rgb(**settings: Any) -> Write:
    return lambda path, values: tif(path, values, photometric="rgb", **settings)


def with_opacity(**settings: Any) -> Write:
    opaque = lambda values: np.dstack([values, np.full_like(values[..., 0], 65535)])  # noqa: E731
    return lambda path, values: tif(path, opaque(values), photometric="rgb", **settings)


COLOR: dict[str, tuple[str, Write]] = {
    "png": ("a.png", png),
    "png, opaque": (
        "a.png",
        lambda path, values: png(path, np.dstack([values, np.full_like(values[..., 0], 65535)])),
    ),
    "ppm": ("a.ppm", pgm),
    "tif": ("a.tif", rgb()),
    "tif, compressed": ("a.tif", rgb(compression="zlib")),
    "tif, high byte first": ("a.tif", rgb(byteorder=">")),
    "tif, both": ("a.tif", rgb(byteorder=">", compression="zlib")),
    "tif, planes": (
        "a.tif",
        lambda path, values: rgb(planarconfig="separate")(path, values.transpose(2, 0, 1).copy()),
    ),
    "tif, planes, high byte first": (
        "a.tif",
        lambda path, values: rgb(planarconfig="separate", byteorder=">")(path, values.transpose(2, 0, 1).copy()),
    ),
    "tif, opaque": ("a.tif", with_opacity(extrasamples=["unassalpha"])),
    "tif, opaque, multiplied": ("a.tif", with_opacity(extrasamples=["assocalpha"], byteorder=">")),
    "tif, a band more": ("a.tif", with_opacity(extrasamples=["unspecified"], compression="zlib")),
}


@pytest.mark.parametrize(("name", "write"), GRAY.values(), ids=GRAY)
class TestGrayOf16Bits:
    @pytest.mark.parametrize(
        ("top", "bits"), [(1, 8), (200, 8), (255, 8), (1000, 10), (1023, 10), (4095, 12), (16383, 14)]
    )
    def test_fewer_bits_need_a_decision(
        self, tmp_path: Path, name: str, write: Write, top: int, bits: int
    ) -> None:
        path = write(tmp_path / name, ramp(top))
        message = (
            rf"{re.escape(name)}: the largest value is {top}, .* {bits} bits.*white={2**bits - 1} .*white=65535 "
        )
        with pytest.raises(ValueError, match=message):
            tl.data.open_rgb(path)

    @pytest.mark.parametrize("white", [4095, np.int64(4095), 5000, 65535])
    def test_white_becomes_255(self, tmp_path: Path, name: str, write: Write, white: int) -> None:
        values = ramp(4095)
        found = np.asarray(tl.data.open_rgb(write(tmp_path / name, values), white))
        assert np.array_equal(found, np.repeat(values[..., None] * 255.0 // white, 3, 2))

    def test_a_value_above_white_is_told(self, tmp_path: Path, name: str, write: Write) -> None:
        path = write(tmp_path / name, ramp(4096))
        with pytest.raises(ValueError, match=r"a\..*: holds the value 4096, above white=4095; give the value"):
            tl.data.open_rgb(path, 4095)

    def test_black_is_black(self, tmp_path: Path, name: str, write: Write) -> None:
        path = write(tmp_path / name, ramp(0))
        assert not np.asarray(tl.data.open_rgb(path)).any() and not np.asarray(tl.data.open_rgb(path, 4095)).any()

    def test_the_full_range_needs_none(self, tmp_path: Path, name: str, write: Write) -> None:
        path = write(tmp_path / name, ramp(32767))
        signed = path.suffix == ".tif" and tifffile.imread(path).dtype == np.int16
        found = np.asarray(tl.data.open_rgb(path))[..., 0]
        assert np.array_equal(found, ramp(32767) * 255.0 // (32767 if signed else 65535))

    def test_the_survey_tells_depth_and_range(self, tmp_path: Path, name: str, write: Write) -> None:
        path = write(tmp_path / name, ramp(4000) + 7)
        facts = tl.data.survey(ImageSet([path], [0], ("a", "b"), white=4095)).iloc[0]
        wide = path.suffix == ".tif" and tifffile.imread(path).dtype.itemsize == 4
        assert [facts["depth"], facts["low"], facts["high"], facts["pages"]] == [32 if wide else 16, 7, 4007, 1]


@pytest.mark.parametrize(("name", "write"), COLOR.values(), ids=COLOR)
class TestColorsOf16Bits:
    def test_fewer_bits_need_a_decision(self, tmp_path: Path, name: str, write: Write) -> None:
        path = write(tmp_path / name, colors(ramp(1023)))
        with pytest.raises(
            ValueError, match=rf"{re.escape(name)}: the largest value is 1023, .*white=1023 .*white=65535"
        ):
            tl.data.open_rgb(path)

    @pytest.mark.parametrize("white", [1023, 65535])
    def test_white_becomes_255(self, tmp_path: Path, name: str, write: Write, white: int) -> None:
        values = colors(ramp(1023))
        found = np.asarray(tl.data.open_rgb(write(tmp_path / name, values), white))
        assert np.array_equal(found, values * 255.0 // white)

    def test_the_full_range_is_as_in_8_bits(self, tmp_path: Path, name: str, write: Write) -> None:
        values = colors(ramp(255))
        found = np.asarray(tl.data.open_rgb(write(tmp_path / name, values * np.uint16(257))))
        assert np.array_equal(found, values)

    def test_the_survey_tells_depth_and_range(self, tmp_path: Path, name: str, write: Write) -> None:
        path = write(tmp_path / name, colors(ramp(1000)) + np.uint16(3))
        facts = tl.data.survey(ImageSet([path], [0], ("a", "b"), white=1023)).iloc[0]
        assert facts[["depth", "low", "high", "pages", "gray"]].tolist() == [16, 3, 1003, 1, False]


class TestOpacity:
    @pytest.mark.parametrize("suffix", ["png", "tif"])
    @pytest.mark.parametrize("full", [65535, 4095])
    def test_the_transparent_turns_white(self, tmp_path: Path, suffix: str, full: int) -> None:
        values = np.dstack([colors(ramp(4095)), np.where(RAMP < 0.5, 0, full).astype(np.uint16)])
        path = tmp_path / f"a.{suffix}"
        _ = (
            png(path, values)
            if suffix == "png"
            else tif(path, values, photometric="rgb", extrasamples=["unassalpha"])
        )
        found = np.asarray(tl.data.open_rgb(path, 4095))
        assert (found[:, :32] == 255).all() and np.array_equal(found[:, 32:], values[:, 32:, :3] * 255.0 // 4095)

    def test_gray_may_have_it(self, tmp_path: Path) -> None:
        values = np.dstack([ramp(4095), np.where(RAMP < 0.5, 0, 65535).astype(np.uint16)])
        found = np.asarray(tl.data.open_rgb(png(tmp_path / "a.png", values), 4095))
        assert (found[:, :32] == 255).all() and np.array_equal(found[:, 32:, 1], values[:, 32:, 0] * 255.0 // 4095)

    def test_half_of_it_is_half_white(self, tmp_path: Path) -> None:
        values = np.dstack([np.zeros((2, 2, 3), np.uint16), np.full((2, 2), 32768, np.uint16)])
        assert tl.data.open_rgb(png(tmp_path / "a.png", values)).getpixel((0, 0)) == (127, 127, 127)

    def test_one_value_may_stand_for_it(self, tmp_path: Path) -> None:
        path = png(tmp_path / "a.png", ramp(65535)[..., None])
        Image.open(path).save(tmp_path / "b.png", transparency=0)
        with Image.open(tmp_path / "b.png") as image:
            assert image.mode == "I;16" and image.info["transparency"] == 0
        assert np.asarray(tl.data.open_rgb(tmp_path / "b.png"))[0, :2, 0].tolist() == [255, 4]

    def test_a_fourth_band_without_a_name_is_asked_about(self, tmp_path: Path) -> None:
        path, values = tmp_path / "a.tif", np.random.default_rng(0).integers(0, 256, (8, 8, 4), dtype=np.uint8)
        for array in (values, np.dstack([values[..., :3], np.full((8, 8), 255, np.uint8)])):
            tif(path, array, photometric="rgb", extrasamples=["unassalpha"])
            body = path.read_bytes()
            entry = body.index(struct.pack("<HHI", 338, 3, 1))
            path.write_bytes(body[:entry] + struct.pack("<H", 65000) + body[entry + 2 :])
            with Image.open(path) as image:
                assert image.mode == "RGBA" and 338 not in image.tag_v2
            if array is values:
                with pytest.raises(
                    ValueError, match=r"a\.tif: of a kind .*4 bands, and no word what the fourth is"
                ):
                    tl.data.open_rgb(path)
            else:
                assert np.array_equal(np.asarray(tl.data.open_rgb(path)), values[..., :3])


class TestWhichEndIsWhite:
    """A film may be stored with 0 as white; the picture is the same."""

    @pytest.mark.parametrize("compression", [None, "zlib"])
    @pytest.mark.parametrize(("kind", "top"), [(np.uint8, 255), (np.uint16, 65535)])
    def test_the_picture_looks_the_same(
        self, tmp_path: Path, kind: Any, top: int, compression: str | None
    ) -> None:
        seen = [
            np.asarray(tl.data.open_rgb(tif(tmp_path / "a.tif", v, photometric=p, compression=compression)))
            for v, p in ((ramp(top, kind), "minisblack"), (top - ramp(top, kind), "miniswhite"))
        ]
        assert np.array_equal(*seen) and seen[0][0, 0, 0] == 0 and seen[0][0, -1, 0] == 255

    def test_it_does_in_12_bits(self, tmp_path: Path) -> None:
        path = tif(tmp_path / "a.tif", 4095 - ramp(4095), photometric="miniswhite")
        assert np.array_equal(np.asarray(tl.data.open_rgb(path, 4095))[..., 0], ramp(4095) * 255.0 // 4095)
        with pytest.raises(ValueError, match="the largest value is 4095"):
            tl.data.open_rgb(path)

    def test_one_bit(self, tmp_path: Path) -> None:
        tif(tmp_path / "a.tif", RAMP > 0.5, photometric="miniswhite")
        assert np.asarray(tl.data.open_rgb(tmp_path / "a.tif"))[0, [0, -1], 0].tolist() == [255, 0]

    def test_with_the_high_byte_first_it_is_refused(self, tmp_path: Path) -> None:
        path = tif(tmp_path / "a.tif", ramp(65535), photometric="miniswhite", byteorder=">")
        with pytest.raises(
            ValueError, match=r"a\.tif: of a kind that is not read here \(1 band of 16 bits, 0 is white, high byte"
        ):
            tl.data.open_rgb(path)

    def test_the_survey_tells_what_is_stored(self, tmp_path: Path) -> None:
        paths = [
            tif(tmp_path / f"{k}.tif", ramp(200, t) + t(10), photometric="miniswhite")
            for k, t in enumerate((np.uint8, np.uint16))
        ]
        facts = tl.data.survey(ImageSet(paths, [0, 1], ("a", "b"), white=255))
        assert facts[["depth", "low", "high"]].to_numpy().tolist() == [[8, 10, 210], [16, 10, 210]]


class TestRangeThatTheFileTells:
    """Some formats say which value is white; nobody has to be asked, and ``white`` is not for them."""

    @pytest.mark.parametrize("white", [None, 255, 65535])
    @pytest.mark.parametrize("maxval", [100, 255, 1000, 4095, 40000])
    def test_pgm(self, tmp_path: Path, maxval: int, white: int | None) -> None:
        path = pgm(tmp_path / "a.pgm", ramp(maxval // 2), maxval)
        found = np.asarray(tl.data.open_rgb(path, white))[0, :, 0]
        assert np.abs(found - ramp(maxval // 2)[0] * 255.0 / maxval).max() <= 1
        facts = tl.data.survey(ImageSet([path], [0], ("a", "b"))).iloc[0]
        assert facts[["depth", "low", "high"]].tolist() == [maxval.bit_length(), 0, maxval // 2]

    def test_tif_of_12_bits(self, tmp_path: Path) -> None:
        values = ramp(900).astype(int).ravel()
        pairs = values.reshape(-1, 2)
        packed = np.stack([pairs[:, 0] >> 4, (pairs[:, 0] & 15) << 4 | pairs[:, 1] >> 8, pairs[:, 1] & 255], 1)
        tags = ((256, 64), (257, 8), (258, 12), (259, 1), (262, 1), (273, 8), (277, 1), (278, 8), (279, 768))
        entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
        body = packed.astype(np.uint8).tobytes()
        (tmp_path / "a.tif").write_bytes(
            struct.pack("<2sHI", b"II", 42, 8 + len(body))
            + body
            + struct.pack("<H", len(tags))
            + entries
            + b"\0" * 4
        )
        found = np.asarray(tl.data.open_rgb(tmp_path / "a.tif"))
        assert np.array_equal(found[..., 0], ramp(900) * 255.0 // 4095)
        facts = tl.data.survey(ImageSet([tmp_path / "a.tif"], [0], ("a", "b"))).iloc[0]
        assert facts[["depth", "low", "high"]].tolist() == [12, 0, 900]

    @pytest.mark.parametrize("bits", [1, 2, 4])
    def test_gray_of_few_bits(self, tmp_path: Path, bits: int) -> None:
        import zlib

        top = 2**bits - 1
        row = np.arange(8) * top // 7
        packed = np.packbits(((row[:, None] >> np.arange(bits)[::-1]) & 1).astype(np.uint8).ravel()).tobytes()
        head = struct.pack(">IIBBBBB", 8, 1, bits, 0, 0, 0, 0)
        chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(b"\0" + packed)), (b"IEND", b""))
        body = b"".join(
            struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks
        )
        (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + body)
        images = ImageSet([tmp_path / "a.png"], [0], ("a", "b"))
        assert np.asarray(images[0][0])[0, :, 0].tolist() == (row * 255 // top).tolist()
        assert tl.data.survey(images).iloc[0][["depth", "low", "high"]].tolist() == [bits, 0, top]

    @pytest.mark.parametrize("bits", [1, 2, 4, 8])
    def test_a_palette(self, tmp_path: Path, bits: int) -> None:
        image = Image.new("P", (2, 2), 1)
        image.putpalette([0, 0, 0, 10, 20, 30])
        image.save(tmp_path / "a.png", bits=bits)
        images = ImageSet([tmp_path / "a.png"], [0], ("a", "b"))
        assert images[0][0].getpixel((0, 0)) == (10, 20, 30)
        assert tl.data.survey(images).iloc[0][["depth", "low", "high"]].tolist() == [8, 10, 30]


class TestKindsThatAreNotRead:
    """Sound files that would be misread are refused by what they hold, and nobody is told to delete them."""

    @pytest.mark.parametrize(
        ("values", "settings", "message"),
        [
            (
                np.zeros((8, 8, 5), np.uint8),
                {"planarconfig": "contig"},
                "(5 bands of 8 bits); save one or three of",
            ),
            (
                np.zeros((8, 8, 4), np.uint16),
                {"planarconfig": "contig"},
                "(4 bands of 16 bits); save one or three of",
            ),
            (
                np.zeros((5, 8, 8), np.uint8),
                {"planarconfig": "separate"},
                "(5 bands of 8 bits); save one or three",
            ),
            (np.zeros((8, 8, 13), np.uint8), {"planarconfig": "contig"}, "(13 bands of 8 bits)"),
            (np.zeros((8, 8, 2), np.uint8), {"planarconfig": "contig"}, "(2 bands of 8 bits)"),
            (np.zeros((8, 8)), {}, "(1 band of 64 floating-point bits); save it as a PNG of 8 bits"),
            (np.zeros((8, 8), np.float16), {}, "(1 band of 16 floating-point bits)"),
            (np.zeros((8, 8, 3), np.float32), {"photometric": "rgb"}, "(3 bands of 32 floating-point bits)"),
            (np.zeros((8, 8), np.complex64), {}, "(1 band of 64 complex bits)"),
            (np.zeros((8, 8), np.int8), {}, "(8 bits with a sign); save it as 8-bit gray without one"),
            (np.zeros((8, 8), np.uint32), {"byteorder": ">"}, "(1 band of 32 bits, high byte first)"),
            (np.zeros((8, 8), np.uint64), {}, "(1 band of 64 bits)"),
        ],
    )
    def test_a_tif(self, tmp_path: Path, values: np.ndarray, settings: dict[str, Any], message: str) -> None:
        path = tif(tmp_path / "a.tif", values, **settings)
        with pytest.raises(
            ValueError, match=re.escape(f"a.tif: of a kind that is not read here {message}")
        ) as told:
            tl.data.open_rgb(path)
        assert "delete" not in str(told.value)

    @pytest.mark.parametrize("order", ["<", ">"])
    def test_16_bits_of_which_half_is_handed_over(self, tmp_path: Path, order: str) -> None:
        planes = colors(ramp(4095)).transpose(2, 0, 1).copy()
        settings = {"photometric": "rgb", "planarconfig": "separate", "compression": "zlib", "byteorder": order}
        for values in (planes, planes // 16):
            path = tif(tmp_path / "a.tif", values, **settings)
            with pytest.raises(
                ValueError, match=r"a\.tif: has 16 bits a channel; the upper 8, .* are nearly empty"
            ):
                tl.data.open_rgb(path)
        path = tif(tmp_path / "a.tif", planes * np.uint16(16), **settings)
        assert np.array_equal(np.asarray(tl.data.open_rgb(path)), colors(ramp(4095)) // 16)

    @pytest.mark.parametrize(
        ("head", "message"),
        [
            (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "(HEIC, as phones save photos); save it as PNG or JPEG"),
            (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "(HEIC, as phones save photos)"),
            (b"\0\0\0\x18ftypisom\0\0\0\0", "(a video, or a raw photo in such a box)"),
            (b"\0\0\0\x0cJXL \r\n\x87\n", "(JPEG XL)"),
            (b"\0" * 128 + b"DICM", "(DICOM)"),
            (b"%PDF-1.7", "(PDF)"),
            (b'<?xml version="1.0"?><svg/>', "(SVG or XML)"),
            (b"\x1f\x8b\x08", "(compressed by gzip)"),
            (b"\x93NUMPY\x01\0", "(an array of NumPy)"),
        ],
    )
    def test_another_format(self, tmp_path: Path, head: bytes, message: str) -> None:
        (tmp_path / "photo.jpg").write_bytes(head + b"\0" * 300)
        with pytest.raises(ValueError, match=re.escape(f"photo.jpg: of a kind that is not read here {message}")):
            tl.data.open_rgb(tmp_path / "photo.jpg")

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", r"cannot be read as an image \(the file is empty\); delete or replace it"),
            (b"version https://git-lfs.github.com/spec/v1\n", "is only a pointer .* by git lfs pull"),
            (
                b"<!DOCTYPE html><html>",
                "is a web page, as a download that failed leaves one; fetch the image again",
            ),
        ],
    )
    def test_what_is_no_picture_at_all(self, tmp_path: Path, content: bytes, message: str) -> None:
        (tmp_path / "a.png").write_bytes(content)
        with pytest.raises(ValueError, match=rf"a\.png: {message}"):
            tl.data.open_rgb(tmp_path / "a.png")

    def test_a_folder(self, tmp_path: Path) -> None:
        with pytest.raises(
            ValueError, match=r"cannot be read as an image \(it is a folder\); give the files in it"
        ):
            tl.data.open_rgb(tmp_path)

    def test_too_many_pixels(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        Image.new("1", (100, 100)).save(tmp_path / "a.png")
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
        with pytest.raises(
            ValueError, match=r"a\.png: too large to be opened \(.*10000 pixels.*\); scale it down"
        ):
            tl.data.open_rgb(tmp_path / "a.png")

    def test_a_damaged_tif_is_damaged(self, tmp_path: Path) -> None:
        path = tif(
            tmp_path / "a.tif", np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8), photometric="rgb"
        )
        path.write_bytes(path.read_bytes()[:4000])
        with pytest.raises(ValueError, match=r"a\.tif: cannot be read as an image \(.*\); delete or replace it"):
            tl.data.open_rgb(path)

    @pytest.mark.parametrize("white", [0, -1, 4095.0, "4095", True, float("nan")])
    def test_a_white_that_is_no_value(self, tmp_path: Path, white: Any) -> None:
        message = re.escape(f"white={white!r}: give the value in the files that is full white, a whole number")
        with pytest.raises(ValueError, match=message):
            tl.data.open_rgb(np.zeros((2, 2), np.uint8), white)
        with pytest.raises(ValueError, match=message):
            ImageSet([np.zeros((2, 2), np.uint8)], [0], ("a", "b"), white=white)


class TestOneScaleForASet:
    @pytest.fixture
    def dark(self, tmp_path: Path) -> ImageSet:
        """Six pictures of 12 bits, of which each is darker than the next, and two of 8 bits."""
        paths = [png(tmp_path / f"{k}.png", ramp(500 * (k + 1))[..., None]) for k in range(6)]
        Image.new("L", (4, 4), 200).save(tmp_path / "8.png")
        eight = [tmp_path / "8.png", np.full((4, 4), 100, np.uint8)]
        return ImageSet([*paths, *eight], [0, 1] * 4, ("a", "b"))

    def test_the_set_is_asked_about_once_by_its_largest_value(self, dark: ImageSet) -> None:
        message = r"5\.png: the largest value in all 16-bit files of this set is 3000, .*12 bits.*white=4095 "
        for images in (dark, dark.take([0]), dark.take([0, 1]).take([1]), tl.data.subset(dark, 8, 0)):
            with pytest.raises(ValueError, match=message):
                images[0]
        with pytest.raises(ValueError, match=message):
            next(iter(tl.data.loader(dark, lambda image: image, batch_size=2)))

    def test_pictures_of_8_bits_need_no_answer(self, dark: ImageSet) -> None:
        assert [dark[k][0].getpixel((0, 0))[0] for k in (6, 7)] == [200, 100]

    def test_with_white_brightness_is_kept(self, dark: ImageSet) -> None:
        images = ImageSet(dark.images, dark.labels, dark.classes, white=4095)
        brightest = [int(np.asarray(image).max()) for image, _ in images]
        assert brightest == [*(500 * (k + 1) * 255 // 4095 for k in range(6)), 200, 100]
        assert images.take([3]).white == 4095
        assert int(np.asarray(images.take([3])[0][0]).max()) == brightest[3]

    def test_one_picture_with_all_bits_answers_for_the_set(self, dark: ImageSet, tmp_path: Path) -> None:
        bright = png(tmp_path / "bright.png", ramp(40000)[..., None])
        images = ImageSet([*dark.images, bright], [*dark.labels, 0], dark.classes)
        for part in (images, images.take([5])):
            assert (
                int(np.asarray(part[len(part) // 2][0]).max()) == 3000 * 255 // 65535 if len(part) == 1 else True
            )
        assert int(np.asarray(images.take([5])[0][0]).max()) == 3000 * 255 // 65535

    def test_the_files_are_looked_through_once(self, dark: ImageSet, monkeypatch: pytest.MonkeyPatch) -> None:
        calls = []
        largest = _pictures.largest
        monkeypatch.setattr(_pictures, "largest", lambda files: calls.append(1) or largest(files))
        for images in (dark, dark.take([0, 1]), dark.take([2])):
            for k in range(len(images.images[:2])):
                with pytest.raises(ValueError, match="largest value in all"):
                    images[k]
        assert len(calls) == 1

    def test_a_damaged_file_is_told_where_it_is_opened(self, dark: ImageSet, tmp_path: Path) -> None:
        (tmp_path / "broken.png").write_bytes(b"no image")
        images = ImageSet([tmp_path / "broken.png", *dark.images], [0, *dark.labels], dark.classes)
        with pytest.raises(ValueError, match=r"5\.png: the largest value in all"):
            images[1]
        with pytest.raises(ValueError, match=r"broken\.png: cannot be read"):
            images[0]

    def test_the_survey_asks_in_one_sentence(self, dark: ImageSet, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="the largest value in all 16-bit files of this set is 3000") as told:
            tl.data.survey(dark)
        assert str(told.value).count("white=4095") == 1
        (tmp_path / "broken.png").write_bytes(b"no image")
        images = ImageSet([tmp_path / "broken.png", *dark.images], [0, *dark.labels], dark.classes)
        with pytest.raises(ValueError, match=r"(?s)1 of 9 images cannot be read, first:.*broken.*is 3000") as told:
            tl.data.survey(images)
        assert str(told.value).count("white=4095") == 1


class TestPages:
    def test_the_first_is_read_and_the_survey_counts_them(self, tmp_path: Path) -> None:
        frames = [Image.new("RGB", (4, 4), (40 * k, 0, 0)) for k in range(1, 6)]
        paths = []
        for name in ("a.tif", "a.gif", "a.webp", "a.png", "a.mpo"):
            paths.append(tmp_path / name)
            frames[0].save(paths[-1], save_all=True, append_images=frames[1:])
        paths += [tif(tmp_path / "volume.tif", np.zeros((7, 4, 4), np.uint16)), tmp_path / "one.tif"]
        frames[0].save(paths[-1])
        images = ImageSet([*paths, np.zeros((4, 4), np.uint8)], [0, 1] * 4, ("a", "b"))
        assert tl.data.survey(images)["pages"].tolist() == [5, 5, 5, 5, 5, 7, 1, 1]
        assert all(abs(image.getpixel((0, 0))[0] - 40) < 6 for image, _ in list(images)[:5])

    def test_a_small_copy_of_the_first_page_is_none(self, tmp_path: Path) -> None:
        with tifffile.TiffWriter(tmp_path / "a.tif") as file:
            file.write(np.zeros((64, 64), np.uint8), photometric="minisblack")
            file.write(np.zeros((8, 8), np.uint8), photometric="minisblack", subfiletype=1)
            file.write(np.zeros((64, 64), np.uint8), photometric="minisblack")
        assert tl.data.survey(ImageSet([tmp_path / "a.tif"], [0], ("a", "b")))["pages"].tolist() == [2]

    def test_a_volume_in_one_page(self, tmp_path: Path) -> None:
        tif(tmp_path / "a.tif", np.zeros((5, 16, 16), np.uint8), volumetric=True, tile=(1, 16, 16))
        assert tl.data.survey(ImageSet([tmp_path / "a.tif"], [0], ("a", "b")))["pages"].tolist() == [5]


class TestSurvey:
    def test_arrays_have_8_bits(self) -> None:
        arrays = [np.full((4, 8), 7, np.uint8), np.dstack([np.full((4, 4), k, np.uint8) for k in (1, 9, 30)])]
        facts = tl.data.survey(ImageSet(arrays, [0, 1], ("a", "b")))
        names = ["width", "height", "gray", "seen", "depth", "low", "high", "pages", "copy_of"]
        assert facts[names].to_numpy().tolist() == [
            [8, 4, True, 0.5, 8, 7, 7, 1, 0],
            [4, 4, False, 1, 8, 1, 30, 1, 1],
        ]

    def test_a_ribbon_shows_by_what_is_seen_of_it(self, tmp_path: Path) -> None:
        Image.new("L", (12000, 3)).save(tmp_path / "ribbon.png")
        facts = tl.data.survey(ImageSet([tmp_path / "ribbon.png"], [0], ("a", "b"))).iloc[0]
        assert facts["seen"] == 3 / 12000 and facts["width"] == 12000

    def test_values_are_those_of_the_channels_used(self, tmp_path: Path) -> None:
        values = np.dstack([np.full((4, 4), k, np.uint8) for k in (50, 60, 70, 0)])
        Image.fromarray(values).save(tmp_path / "clear.png")
        Image.fromarray(values[..., :3]).save(tmp_path / "photo.bmp")
        images = ImageSet([tmp_path / "clear.png", tmp_path / "photo.bmp"], [0, 1], ("a", "b"))
        assert tl.data.survey(images)[["low", "high"]].to_numpy().tolist() == [[50, 70], [50, 70]]

    @pytest.mark.parametrize("closeness", [-0.1, float("nan"), float("inf")])
    def test_a_closeness_that_is_none(self, closeness: float) -> None:
        with pytest.raises(ValueError, match=r"closeness=.*: give a number from 0, such as 0\.07"):
            tl.data.survey(ImageSet([np.zeros((4, 4), np.uint8)], [0], ("a", "b")), closeness)


class TestWhatPillowGetsWrong:
    """Files that the reader of images itself skews, swaps or halves."""

    @pytest.mark.parametrize("orientation", range(1, 9))
    @pytest.mark.parametrize(
        ("kind", "channels"), [(np.uint8, 1), (np.uint8, 3), (np.uint16, 1), (np.uint16, 3), (np.int16, 1)]
    )
    def test_a_tif_is_turned_upright_and_not_skewed(
        self, tmp_path: Path, orientation: int, kind: Any, channels: int
    ) -> None:
        top = np.iinfo(kind).max
        stored = np.arange(48).reshape(6, 8) * (top // 47)
        upright = {
            1: stored,
            2: stored[:, ::-1],
            3: stored[::-1, ::-1],
            4: stored[::-1],
            5: stored.T,
            6: stored[::-1].T,
            7: stored[::-1, ::-1].T,
            8: stored[:, ::-1].T,
        }[orientation]
        values = np.repeat(stored[..., None], 3, 2) if channels == 3 else stored
        path = tif(
            tmp_path / "a.tif",
            values.astype(kind),
            photometric="rgb" if channels == 3 else "minisblack",
            extratags=[(274, "H", 1, orientation, True)],
        )
        assert np.array_equal(np.asarray(tl.data.open_rgb(path))[..., 0], upright * 255 // top)

    def test_planes_may_hold_one_that_is_no_color(self, tmp_path: Path) -> None:
        planes = np.concatenate([colors(ramp(4095)).transpose(2, 0, 1), ramp(9)[None]])
        path = tif(
            tmp_path / "a.tif", planes, photometric="rgb", planarconfig="separate", extrasamples=["unspecified"]
        )
        assert np.array_equal(np.asarray(tl.data.open_rgb(path, 4095)), colors(ramp(4095)) * 255.0 // 4095)

    def test_jpeg_2000_says_how_many_bits_it_has(self, tmp_path: Path) -> None:
        # Values of 12 bits are stored about their middle; so a file of 16 bits is one of 12 when its head says so.
        path = jp2(tmp_path / "a.j2k", ramp(900) + np.uint16(2**15 - 2**11))
        body = bytearray(path.read_bytes())
        assert body[42] == 15
        body[42] = 11
        path.write_bytes(body)
        images = ImageSet([path], [0], ("a", "b"))
        assert np.array_equal(np.asarray(images[0][0])[..., 0], ramp(900) * 255.0 // 4095)
        assert tl.data.survey(images).iloc[0][["depth", "low", "high"]].tolist() == [12, 0, 900]

    def test_a_jpeg_of_12_bits_is_of_another_kind(self, tmp_path: Path) -> None:
        Image.new("L", (16, 16), 99).save(tmp_path / "a.jpg")
        body = bytearray((tmp_path / "a.jpg").read_bytes())
        body[body.index(b"\xff\xc0") + 4] = 12
        (tmp_path / "a.jpg").write_bytes(body)
        with pytest.raises(
            ValueError, match=r"a\.jpg: of a kind that is not read here \(.*12-bit.*\); save it as PNG"
        ):
            tl.data.open_rgb(tmp_path / "a.jpg")

    @pytest.mark.parametrize("compression", [34712, 50001, 65530])
    def test_a_rare_compression_is_of_another_kind(self, tmp_path: Path, compression: int) -> None:
        path = tif(tmp_path / "a.tif", ramp(255, np.uint8))
        body = path.read_bytes()
        entry = struct.pack("<HHI", 259, 3, 1)
        path.write_bytes(body.replace(entry + b"\1\0", entry + struct.pack("<H", compression)))
        message = (
            rf"a\.tif: of a kind that is not read here \(a TIFF of compression {compression}\); save it as a PNG"
        )
        with pytest.raises(ValueError, match=message):
            tl.data.open_rgb(path)

    def test_the_preview_of_a_raw_photo_is_not_the_photo(self, tmp_path: Path) -> None:
        with tifffile.TiffWriter(tmp_path / "a.tif") as file:
            file.write(np.zeros((8, 8, 3), np.uint8), photometric="rgb", subfiletype=1, subifds=1)
            file.write(np.zeros((64, 64), np.uint16), photometric="minisblack")
        with pytest.raises(ValueError, match=r"a raw photo, of which only a small preview shows\); develop it"):
            tl.data.open_rgb(tmp_path / "a.tif")

    @pytest.mark.parametrize("head", [b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0", b"RIFF", b"BM", b"GIF8"])
    def test_a_head_alone_is_damaged(self, tmp_path: Path, head: bytes) -> None:
        (tmp_path / "a.png").write_bytes(head)
        with pytest.raises(ValueError, match=r"a\.png: cannot be read as an image \(.*\); delete or replace it"):
            tl.data.open_rgb(tmp_path / "a.png")
