"""A tuned network on the disk comes back as it was, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import tlhelpers as tl
from tlhelpers.models import Backbone, _saving


class TestSaving:
    def test_the_network_comes_back_with_its_card(
        self, tmp_path: Path, tiny: Callable[[], Backbone], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        net = tiny()
        net.head.weight.data += 1
        tl.models.save(tmp_path / "out", net.to(memory_format=torch.channels_last), 8, ("a", "b"), note={"n": 3})
        asked = {}

        def fresh(name: str, num_classes: int, pretrained: bool, image_size: int) -> Backbone:
            asked.update(name=name, num_classes=num_classes, pretrained=pretrained, image_size=image_size)
            return tiny()

        monkeypatch.setattr(_saving._backbones, "load", fresh)
        again, card = tl.models.load_saved(tmp_path / "out")
        assert asked == {"name": "tiny", "num_classes": 2, "pretrained": False, "image_size": 8}
        assert card["classes"] == ["a", "b"] and card["note"] == {"n": 3} and "Normalize" in card["transform"][-1]
        x = torch.ones(2, 3, 8, 8)
        assert not again.training and torch.allclose(again(x), net.eval()(x), atol=1e-6)

    def test_other_weights_are_refused(self, tmp_path: Path, tiny: Callable[[], Backbone]) -> None:
        tl.models.save(tmp_path, tiny(), 8, ("a", "b"))
        with (tmp_path / _saving.WEIGHTS).open("ab") as file:
            file.write(b"x")
        with pytest.raises(ValueError, match=r"checksum mismatch.*save the network again") as caught:
            tl.models.load_saved(tmp_path)
        assert "reinstall" not in str(caught.value), "no package can mend a reader's own file"

    def test_a_missing_file_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match=r"holds no card\.json"):
            tl.models.load_saved(tmp_path)
