"""Slow: a stored cell, run again, gives what the table says. The chapters rerun other cells live."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

import tlhelpers as tl
from benchmarks import (
    bugs,
    forgetting,
    layers,
    matrix,
    negative,
    probes,
    rate_maps,
    rate_plans,
    recipes,
    repairs,
    sounds,
    strategies,
    targets,
    text_rates,
    texts,
)

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("name", "run", "cell"),
    [
        ("strategies", strategies.run, {"strategy": "two-stage", "labels": 100, "seed": 1}),
        ("strategies", strategies.run, {"strategy": "scratch", "labels": 250, "seed": 2}),
        ("repairs", repairs.run, {"variant": "classes not weighted", "seed": 3}),
        ("targets", targets.run, {"task": "mono or poly", "arm": "frozen", "seed": 1}),
        ("targets", targets.run, {"task": "tweets", "arm": "tuned", "seed": 2}),
        ("layers", layers.run, {"recipe": "random", "seed": 1}),
        ("texts", texts.run, {"arm": "lora", "labels": 500, "seed": 1}),
        ("texts", texts.run, {"arm": "words", "labels": 500, "seed": 3}),
        ("text_rates", text_rates.run, {"rate": 2e-5, "seed": 101}),
        ("rate_maps", rate_maps.run, {"backbone": 1e-4, "head": 1e-3, "seed": 1}),
        ("rate_plans", rate_plans.run, {"task": "mono", "plan": "probe", "rate": 1e-3, "seed": 2}),
        ("matrix", matrix.train, {"task": "digits", "strategy": "frozen", "labels": 100, "seed": 1}),
        ("sounds", sounds.run, {"arm": "classic", "labels": 50, "seed": 1}),
    ],
    ids=[
        "two-stage",
        "scratch",
        "repair",
        "target",
        "text target",
        "layers",
        "LoRA",
        "words",
        "rate",
        "rate map",
        "plan",
        "matrix",
        "sounds",
    ],
)
def test_a_stored_cell_run_again_gives_the_stored_scores(
    name: str, run: Callable[..., recipes.Run], cell: dict[str, Any]
) -> None:
    stored = tl.book.results(name)
    others = {key: value for key, value in cell.items() if key != "seed"}
    runs = stored[(stored[list(others)] == list(others.values())).all(axis=1)].set_index("seed")
    # Sums in another order drift apart over many epochs, so compute on as many threads as the stored run.
    torch.set_num_threads(stored.attrs["provenance"]["threads"])
    again = run(**cell).scores
    assert again["auroc"] == pytest.approx(runs.loc[cell["seed"], "auroc"], abs=0.02)
    assert again["auroc"] in tl.stats.prediction_interval(runs["auroc"].to_numpy())


def test_a_stored_probe_run_again_gives_the_stored_scores() -> None:
    stored = tl.book.results("probes")
    rows = stored.query("task == 'textures' and weights == 'pretrained' and seed == 7").set_index("stage")
    assert probes.run("textures", "pretrained", 7) == pytest.approx(rows["balanced_accuracy"].to_dict(), abs=0.02)


@pytest.mark.parametrize(
    ("name", "rows", "block"),
    [
        ("bugs", lambda: bugs.labels(1), {"bug": "labels", "seed": 1}),
        ("negative", lambda: negative.words("tweets", 1), {"family": "words", "target": "tweets", "seed": 1}),
    ],
    ids=["bugs", "negative"],
)
def test_a_stored_block_run_again_gives_the_stored_scores(
    name: str, rows: Callable[[], Any], block: dict[str, Any]
) -> None:
    stored = tl.book.results(name)
    stored = stored[(stored[list(block)] == list(block.values())).all(axis=1)]
    torch.set_num_threads(1)
    again = [row["accuracy"] for row in rows() if "accuracy" in row]
    assert len(again) == len(stored["accuracy"].dropna()) > 0
    assert again == pytest.approx(stored["accuracy"].dropna().tolist(), abs=0.02)


def test_a_stored_forgetting_run_again_gives_the_stored_scores() -> None:
    stored = tl.book.results("forgetting").query("arm == 'frozen, norms move'").set_index("seed")
    torch.set_num_threads(1)
    assert forgetting.image_run("frozen, norms move", 1)["source"] == pytest.approx(
        stored.loc[1, "source"], abs=0.05
    )
