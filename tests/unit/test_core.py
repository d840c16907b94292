"""The promises that every chapter rests on."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import tlhelpers as tl
from benchmarks import recipes
from tlhelpers.data import ImageSet

ARCHITECTURES = ["efficientnet_lite0", "resnet18", "resnet50", "mobilenet_v3_small", "timm/vit_tiny_patch16_224"]


def load(name: str = "resnet18") -> tl.backbones.Backbone:
    return tl.backbones.load(name, num_classes=2, pretrained=False, image_size=64)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images in the layout of the pediatric chest X-rays, with one brighter class."""
    rng = np.random.default_rng(0)
    for part, count in (("train", 24), ("val", 4), ("test", 12)):
        for label, name in enumerate(("NORMAL", "PNEUMONIA")):
            where = tmp_path / part / name
            where.mkdir(parents=True)
            for number in range(count):
                values = rng.integers(0, 120, (80, 72)) + 100 * label
                Image.fromarray(values.astype(np.uint8)).save(where / f"{number}.png")
    return tmp_path


def test_import_is_cheap() -> None:
    code = "import sys, tlhelpers; assert 'torch' not in sys.modules and 'pandas' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=10)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_stages_and_groups_hold_every_parameter_once(name: str) -> None:
    net = load(name)
    everything = sorted(id(p) for p in net.parameters())
    assert sorted(id(p) for stage in net.stages.values() for p in stage.parameters) == everything
    groups = tl.rates.groups(net, head=1e-3, backbone=1e-4, decay=0.5)
    assert sorted(id(p) for group in groups for p in group["params"]) == everything
    assert next(iter(net.stages)) == "stem" and list(net.stages)[-1] == "head"


def test_check_names_the_parameter_that_the_optimizer_misses() -> None:
    net = load()
    groups = [g for g in tl.rates.groups(net, head=1e-3, backbone=1e-4) if not g["name"].startswith("stem")]
    with pytest.raises(ValueError, match=r"net\.conv1\.weight"):
        tl.rates.check(net, torch.optim.AdamW(groups))


def test_frozen_stages_keep_their_statistics_through_every_train_call() -> None:
    net = tl.freezing.freeze(load())
    before = {name: value.clone() for name, value in net.named_buffers()}
    for _ in range(3):
        net.train()
        net(torch.randn(4, 3, 64, 64) + 3)
    assert all(torch.equal(before[name], value) for name, value in net.named_buffers())


def test_without_freezing_the_statistics_move() -> None:
    net = load()
    for parameter in net.parameters():
        parameter.requires_grad_(False)
    before = {name: value.clone() for name, value in net.named_buffers()}
    torch.nn.Module.train(net.net, True)
    net(torch.randn(4, 3, 64, 64) + 3)
    assert not any(torch.equal(before[name], value) for name, value in net.named_buffers())


def test_unknown_stage_and_backbone_are_named() -> None:
    with pytest.raises(KeyError, match="layer9"):
        tl.freezing.freeze(load(), ["layer9"])
    with pytest.raises(ValueError, match="resnet5000"):
        tl.backbones.load("resnet5000")


def test_checksum_mismatch_names_file_and_digests(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(b"other")
    with pytest.raises(ValueError, match=r"weights\.pth: checksum mismatch, expected abc"):
        tl.backbones.checked(path, "abc")


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK", "I;16", "P", "RGBA"])
def test_every_kind_of_image_becomes_rgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "image.tif"
    if mode == "I;16":
        Image.fromarray(np.full((8, 8), 65535, dtype=np.uint16)).save(path)
        assert tl.data.open_rgb(path).getpixel((0, 0)) == (255, 255, 255)
    else:
        Image.new(mode, (8, 8)).save(path)
    assert tl.data.open_rgb(path).mode == "RGB"


def test_corrupt_image_is_named(tmp_path: Path) -> None:
    path = tmp_path / "broken.png"
    path.write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"broken\.png"):
        tl.data.open_rgb(path)


def test_labels_of_the_wrong_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(2, 1\)"):
        ImageSet([np.zeros((4, 4), np.uint8)] * 2, np.zeros((2, 1), dtype=int), ("a", "b"))


def test_empty_part_of_a_split_is_refused() -> None:
    images = ImageSet([np.zeros((4, 4), np.uint8)] * 20, np.arange(20) % 2, ("a", "b"))
    with pytest.raises(ValueError, match="val=0"):
        tl.data.split(images, 10, 0, 5, seed=0)


def test_parts_are_disjoint_stratified_and_nested() -> None:
    images = ImageSet(
        [np.full((1, 1), i, np.uint8) for i in range(200)], (np.arange(200) % 4 == 0) * 1, ("a", "b")
    )
    splits = tl.data.split(images, 100, 40, 60, seed=3)
    seen = [int(a[0, 0]) for part in splits for a in part.images]
    assert len(set(seen)) == 200
    assert [int(part.labels.sum()) for part in splits] == [25, 10, 15]
    sets = [{int(a[0, 0]) for a in tl.data.subset(splits.train, n, seed=0).images} for n in (8, 20, 40)]
    assert sets[0] < sets[1] < sets[2]


def test_one_class_only_is_refused() -> None:
    with pytest.raises(ValueError, match="one class only"):
        tl.measures.scores(np.full((3, 2), 0.5), np.ones(3, dtype=int))


def test_nan_loss_names_epoch_and_batch() -> None:
    net = torch.nn.Linear(2, 2)
    batches = [(torch.full((4, 2), float("nan")), torch.tensor([0, 1, 0, 1]))]
    with pytest.raises(FloatingPointError, match="epoch 1, batch 1"):
        tl.training.fit(net, batches, batches, torch.optim.SGD(net.parameters(), 0.1), epochs=1)


def test_interval_agrees_with_a_value_worked_out_by_hand() -> None:
    found = tl.measures.interval([1.0, 2.0, 3.0])
    assert found.mean == 2.0 and found.high == pytest.approx(2 + 4.302653 / np.sqrt(3), abs=1e-5)


@pytest.mark.gpu
def test_the_full_profile_goes_through_the_same_functions(folder: Path) -> None:
    images = tl.data.load(folder)
    assert images.classes == ("NORMAL", "PNEUMONIA") and len(images) == 80
    splits = tl.data.split(images, 40, 16, 24, seed=0)
    net = tl.backbones.load("resnet50", pretrained=False, image_size=64)
    tl.freezing.freeze(net)
    x, _ = tl.features.compute(net, splits.train)
    assert x.shape == (40, 2048)
    tl.freezing.thaw(net)
    optimizer = torch.optim.AdamW(tl.rates.groups(net, head=1e-3, backbone=1e-4))
    train = tl.data.loader(splits.train, net.transform, 16, shuffle=True)
    history = tl.training.fit(net, train, tl.data.loader(splits.val, net.transform), optimizer, epochs=1)
    assert np.isfinite(history[["train_loss", "val_loss"]].to_numpy()).all()


def test_one_seed_gives_the_same_numbers_twice() -> None:
    p = dataclasses.replace(tl.profile.current(), n_train=24, n_val=20, n_test=30, epochs=1, image_size=64)
    first, second = (recipes.two_stage(recipes.cut(p, 24, 0), p, 0) for _ in range(2))
    assert first.scores == second.scores
    assert first.history["train_loss"].tolist() == second.history["train_loss"].tolist()


def test_quizzes_are_valid_and_explain_every_option() -> None:
    for number in ("01", "07"):
        questions = tl.quiz.load(number)
        assert len(questions) >= 6
        assert all(option["explanation"] for question in questions for option in question["options"])


def test_a_quiz_fault_names_file_question_and_field(tmp_path: Path) -> None:
    (tmp_path / "99.yml").write_text(
        "- {id: 99-a, objective: o, question: q, kind: one, options: ["
        "{text: a, correct: true, explanation: e}, {text: b, correct: false}]}"
    )
    with pytest.raises(ValueError, match=r"99\.yml, question 1, options\.1: 'explanation' is a required"):
        tl.quiz.load("99", tmp_path)


def test_a_claim_that_the_text_relies_on_stops_the_build() -> None:
    with pytest.raises(AssertionError, match="01-x does not hold"):
        tl.claims.claim("01-x", "Up is down.", holds=False, measured="0.1")
