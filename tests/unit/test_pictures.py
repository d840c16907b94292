"""Pictures of what a network looks for: pieces that share no pixel, channels that get what excites them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import tlhelpers as tl
from tlhelpers.data import ImageSet
from tlhelpers.models import Backbone


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


class Edges(nn.Module):
    """A stem of two known filters, red and vertical edges; then a block and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 2, 3, padding=1, bias=False)
        self.body = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1))
        self.head = nn.Linear(4, 2)
        with torch.no_grad():
            self.stem.weight.zero_()
            self.stem.weight[0, :, 1, 1] = torch.tensor([1.0, -1.0, -1.0])
            self.stem.weight[1, :, :, 0] = -1
            self.stem.weight[1, :, :, 2] = 1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(self.stem(x)).mean((2, 3)))


@pytest.fixture
def edges() -> Backbone:
    torch.manual_seed(0)
    return Backbone(Edges(), "edges", tl.models.preprocessing(32, (0.5,) * 3, (0.5,) * 3))


class TestMaximize:
    def test_a_channel_that_likes_red_gets_a_red_picture(self, edges: Backbone) -> None:
        (picture,) = tl.look.maximize(edges, "stem", [0], side=32, steps=150, rate=0.2)
        assert picture.shape == (32, 32, 3) and 0 <= picture.min() <= picture.max() <= 1
        red, green, blue = picture.mean((0, 1))
        assert red > max(green, blue) + 0.25

    def test_it_drives_the_channel_up(self, edges: Backbone) -> None:
        (start,), (end,) = (tl.look.maximize(edges, "stem", [0], 32, steps) for steps in (1, 60))
        assert red_minus(end) > red_minus(start) + 0.25

    def test_a_seed_sets_the_picture_and_the_network_stays(self, edges: Backbone) -> None:
        before = edges.net.stem.weight.clone()
        first, again = (tl.look.maximize(edges, "stem", [1], 32, steps=3, seed=4) for _ in range(2))
        assert np.array_equal(first, again)
        assert torch.equal(edges.net.stem.weight, before) and edges.net.stem.weight.grad is None
        assert edges.training and not edges.net.stem._forward_hooks

    def test_a_channel_that_is_not_there_is_refused(self, edges: Backbone) -> None:
        with pytest.raises(ValueError, match=r"channels \[0, 2\]: stage 'stem' has 2 of them"):
            tl.look.maximize(edges, "stem", [0, 2], 32, steps=1)

    def test_a_transform_that_does_not_normalize_is_refused(self, edges: Backbone) -> None:
        edges = Backbone(edges.net, "edges", lambda image: torch.zeros(3, 32, 32))
        with pytest.raises(ValueError, match="the transform of edges has no step that normalizes"):
            tl.look.maximize(edges, "stem", [0], 32, steps=1)

    def test_it_works_for_a_transformer(self) -> None:
        vit = tl.models.load("timm/vit_tiny_patch16_224", pretrained=False, image_size=32)
        assert tl.look.maximize(vit, "blocks.1", [3, 5], side=32, steps=2).shape == (2, 32, 32, 3)


def red_minus(picture: np.ndarray) -> float:
    return float((picture[..., 0] - picture[..., 1] - picture[..., 2]).mean())


class TestTopPatches:
    def test_the_reddest_places_come_first(self, edges: Backbone) -> None:
        images = []
        for red in (60, 240, 0, 150):
            image = np.zeros((32, 32, 3), dtype=np.uint8)
            image[20:24, 8:12, 0] = red
            images.append(image)
        found = tl.look.top_patches(edges, ImageSet(images, np.zeros(4, int), ("any",)), {"stem": [0]}, count=3)
        patches = found["stem", 0]
        assert list(found) == [("stem", 0)] and patches.shape[0] == 3 and patches.shape[1] == patches.shape[2]
        reds = [patch[..., 0].max() for patch in patches]
        assert reds == pytest.approx([240 / 255, 150 / 255, 60 / 255], abs=0.01)

    def test_too_few_images_are_refused(self, edges: Backbone) -> None:
        one = ImageSet([np.zeros((32, 32), dtype=np.uint8)], np.zeros(1, int), ("any",))
        with pytest.raises(ValueError, match="1 images; 9 patches need as many"):
            tl.look.top_patches(edges, one, {"stem": [0]})


class TestWindow:
    def test_a_convolution_sees_its_kernel_and_two_see_more(self, edges: Backbone) -> None:
        assert tl.look.receptive_window(edges, "stem", 32, share=1.0) == 3
        assert 3 < tl.look.receptive_window(edges, list(edges.stages)[-2], 32, share=1.0) <= 7

    def test_a_smaller_share_needs_no_larger_window(self, edges: Backbone) -> None:
        last = list(edges.stages)[-2]
        assert tl.look.receptive_window(edges, last, 32, share=0.5) <= tl.look.receptive_window(
            edges, last, 32, share=0.99
        )

    def test_a_transformer_sees_the_whole_picture(self) -> None:
        vit = tl.models.load("timm/vit_tiny_patch16_224", pretrained=False, image_size=32)
        assert tl.look.receptive_window(vit, "blocks.11", 32, share=1.0) == 32


class TestColors:
    def test_equal_features_get_equal_colors(self) -> None:
        maps = torch.randn(1, 6, 1, 1, generator=torch.Generator().manual_seed(0)) * torch.ones(2, 6, 4, 4)
        maps[:, :, 2:] = torch.randn(1, 6, 1, 1, generator=torch.Generator().manual_seed(1))
        painted = tl.look.colors(maps + 1e-6 * torch.randn(maps.shape))
        assert painted.shape == (2, 4, 4, 3) and 0 <= painted.min() <= painted.max() <= 1
        assert np.allclose(painted[0, :2, :, 0], painted[1, :2, :, 0], atol=0.01)
        assert abs(painted[0, 0, 0, 0] - painted[0, 3, 0, 0]) > 0.9

    def test_fewer_than_three_channels_do(self) -> None:
        assert tl.look.colors(torch.randn(1, 2, 3, 3)).shape == (1, 3, 3, 3)


def test_a_mosaic_puts_pictures_in_rows_on_white() -> None:
    black = np.zeros((3, 2, 2, 3))
    sheet = tl.look.mosaic(black, columns=2, gap=1)
    assert sheet.shape == (5, 5, 3)
    assert sheet[:2, :2].max() == 0 and sheet[2].min() == 1 and sheet[3:, 3:].min() == 1
