"""Pictures of what a network looks for: channels get what excites them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import tlhelpers as tl
from tlhelpers.data import ImageSet
from tlhelpers.models import Backbone


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


class TestWhatComesIn:
    @pytest.mark.parametrize("channels", [[], [0.5], ["a"], 3])
    def test_channels_are_numbers(self, edges: Backbone, channels: object) -> None:
        with pytest.raises(ValueError, match=r"channels (are|is)"):
            tl.look.maximize(edges, "stem", channels, side=8, steps=1)

    def test_channels_come_in_any_container(self, edges: Backbone) -> None:
        expected = tl.look.maximize(edges, "stem", [1, 0], side=8, steps=2)
        for channels in (np.array([1, 0]), iter([1, 0]), torch.tensor([1, 0])):
            assert np.array_equal(tl.look.maximize(edges, "stem", channels, side=8, steps=2), expected)

    def test_a_channel_that_is_not_there_is_named(self, edges: Backbone) -> None:
        images = ImageSet([np.zeros((8, 8, 3), np.uint8)] * 2, np.array([0, 1]), ("a", "b"))
        with pytest.raises(ValueError, match=r"channels \[99\]: stage 'stem' has"):
            tl.look.top_patches(edges, images, {"stem": [99]}, 1)

    @pytest.mark.parametrize(
        ("pictures", "columns"),
        [
            ([], 1),
            ([np.zeros((2, 2, 3)), np.zeros((1, 1, 3))], 2),
            ([np.zeros((3, 3))], 1),
            ([np.zeros((2, 2, 3))], 0),
        ],
    )
    def test_a_mosaic_is_of_pictures_of_one_size(self, pictures: list, columns: int) -> None:
        with pytest.raises(ValueError, match=f"for {columns} columns; give one shape"):
            tl.look.mosaic(pictures, columns)

    def test_pixels_of_a_mosaic_end_at_one_like_its_ground(self) -> None:
        sheet = tl.look.mosaic(iter([np.full((1, 1, 3), 255, np.uint8), np.zeros((1, 1, 3), np.uint8)]), 2, gap=1)
        assert sheet[0, :, 0].tolist() == [1, 1, 0]

    @pytest.mark.parametrize("out", [torch.zeros(2, 3), torch.full((1, 3, 2, 2), float("nan"))])
    def test_colors_are_of_finite_maps(self, out: torch.Tensor) -> None:
        with pytest.raises(ValueError, match=r"are not \[B, C, H, W\], or hold NaN"):
            tl.look.colors(out)

    def test_a_window_holds_a_share(self, edges: Backbone) -> None:
        with pytest.raises(ValueError, match="share=90"):
            tl.look.receptive_window(edges, "stem", 8, share=90)
