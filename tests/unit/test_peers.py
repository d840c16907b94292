"""Each recipe that is held against ours, run whole on a few small pictures, and what is measured of it."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import tlhelpers as tl
from benchmarks import experiment as bench
from benchmarks import peers
from tlhelpers.data import Splits

SIDE = 64


@pytest.fixture
def job() -> peers.Job:
    """One epoch a stage on 16 pieces of two photographs; 8 to watch and 8 to test on."""
    photos = {name: tl.data.photographs()[name] for name in ("cat", "temple")}
    cut = tl.data.pieces(photos, 16, 0, seed=0)
    cut = cut.take(np.stack([np.flatnonzero(cut.labels == label) for label in (0, 1)], axis=1).ravel())
    splits = Splits(*(cut.take(np.arange(*ends)) for ends in ((0, 16), (16, 24), (24, 32))))
    net = tl.models.load("efficientnet_lite0", 2, image_size=SIDE)
    return peers.Job(net, splits, (1, 1), seed=0, batch=8)


@pytest.mark.parametrize("library", peers.ARMS)
def test_a_recipe_moves_what_it_says_and_leaves_nothing_behind(
    library: str, job: peers.Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    if library in peers.EXTRAS:
        pytest.importorskip(library)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    row = peers.measured(library, job)
    assert row["buffers"] == 98
    moved = 0 if library in ("ours", "keras order") else row["buffers"]
    assert row["moved_in_stage_1"] == row["moved_buffers"] == moved
    assert 0 <= row["auroc"] <= 1 and 0 <= row["balanced_accuracy"] <= 1
    assert row["cpu_seconds"] > 0 and row["wall_seconds"] > 0 and row["peak_memory_mb"] > 0
    assert not list(tmp_path.iterdir()) and not "".join(capfd.readouterr())


def test_the_listing_trains_all_but_the_stem(job: peers.Job) -> None:
    before = {name: weights.clone() for name, weights in job.net.net.named_parameters()}
    peers.listing(job)
    moved = {name for name, weights in job.net.net.named_parameters() if not torch.equal(weights, before[name])}
    assert before.keys() - moved == {
        "conv_stem.weight",
        "bn1.weight",
        "bn1.bias",
        "classifier.weight",
        "classifier.bias",
    }


def test_statistics_that_moved_are_counted() -> None:
    body = nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 2), nn.BatchNorm1d(2))
    buffers = peers.Buffers(body)
    body[2](torch.randn(4, 2))
    buffers.count(body)
    body[0](torch.randn(4, 2))
    buffers.count(body)
    assert len(buffers.start) == 4 and buffers.moved == [2, 4]


def test_memory_is_counted_above_the_start() -> None:
    held = np.ones(2**24)
    with peers.Peak() as peak:
        more = np.ones(2**24)  # 128 MB: so much comes fresh from the system, never from what was freed before
    assert 120 < peak.megabytes < 200 and len(held) == len(more)


def test_what_is_missing_is_named_with_the_way_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers.util, "find_spec", lambda name: None)
    peers.check_installed("listing")
    with pytest.raises(ModuleNotFoundError, match="fastai is not installed: `make peers` sets up"):
        peers.run(tl.profile.current(), "fastai", 940)


def test_without_names_an_experiment_that_lacks_a_package_is_left_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(bench, "REGISTRY", {})
    for name, needs in (("plain", ()), ("with extras", ("torch", "no_such_package"))):
        bench.Experiment(name, lambda p: [], peers.run, needs=needs)
    monkeypatch.setattr(bench, "discover", lambda: bench.REGISTRY)
    monkeypatch.setattr(bench, "revision", lambda dirty: ("abc1234", None))
    monkeypatch.setattr(bench, "fill", lambda experiment, *_, **__: asked.append(experiment.name))
    bench.main([])
    assert asked == ["plain"]
    assert capsys.readouterr().out == "with extras is left out: no_such_package is not installed.\n"
    bench.main(["with extras"])
    assert asked == ["plain", "with extras"]
