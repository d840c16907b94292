"""The inputs of `make gpu-smoke`: the hubs' clients must take them for their own downloads."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from torchvision.models import ResNet50_Weights, resnet50

import tlhelpers as tl
from tools import smoke


@pytest.mark.gpu
def test_both_libraries_find_the_random_weights_without_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = smoke.random_resnet50(smoke.generate_images(tmp_path / "images", 40))
    smoke.write_weights(weights, tmp_path / "torch", tmp_path / "hf")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hf" / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    ours = resnet50(weights=ResNet50_Weights.IMAGENET1K_V2).state_dict()
    theirs = timm.create_model(smoke.TIMM_NAME, pretrained=True, cache_dir=tmp_path / "hf" / "hub").state_dict()
    assert all(
        torch.equal(ours[name], weights[name]) and torch.equal(theirs[name], weights[name]) for name in weights
    )


def test_the_images_are_a_folder_that_the_loader_divides(tmp_path: Path) -> None:
    smoke.generate_images(tmp_path, 60)
    images = tl.data.from_folder(tmp_path)
    assert images.classes == smoke.CLASSES and len(images) == 60
    assert [len(part) for part in tl.data.split(images, 20, 10, 20, seed=0)] == [20, 10, 20]
