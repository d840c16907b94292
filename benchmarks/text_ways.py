"""Six ways to a sentiment classifier with 500 labels, and four rates, on splits of the protocol.

Read by chapters 09, 10 and 15. The splits are final ones of the protocol's table ``sentences``; full tuning and
LoRA have the rates that its search chose, so neither was searched more than the other. CKA is debiased.
Exploratory.
"""

from __future__ import annotations

import tempfile
from functools import lru_cache

import numpy as np

import tlhelpers as tl
from benchmarks import sentences, texts
from benchmarks.experiment import Cell, Experiment, Row
from benchmarks.texts import ARMS
from tlhelpers.data import TextSplits
from tlhelpers.profile import Profile

LABELS, SEEDS = 500, sentences.PLAN.final_seeds[:5]
RATES, RATE_SEEDS = (2e-5, 1e-4, 3e-4, 1e-3), sentences.PLAN.final_seeds[5:]


@lru_cache(maxsize=2)
def cut(p: Profile, seed: int) -> TextSplits:
    """Return the sentences of a final split of the protocol, those to train on thinned out."""
    every = sentences.texts(p)
    rows = sentences.rows_of(seed, len(every))
    test = np.random.default_rng(seed).permutation(rows.test)  # of some scores only the first few are asked
    return TextSplits(*(every.take(part) for part in (sentences.few(LABELS, seed), rows.val, test)))


def rate_of(arm: str) -> float:
    """Return the rate of an arm that the search of the protocol chose.

    Raises:
        SystemExit: when the search has not been run.
    """
    chosen = sentences.PLAN.chosen(sentences.EXPERIMENT.stored())
    if arm not in chosen:
        raise SystemExit(
            f"no rate was chosen for {arm!r} yet; run python -m benchmarks {sentences.EXPERIMENT.name}."
        )
    return chosen[arm]


@lru_cache(maxsize=1)
def adapted(p: Profile, seed: int) -> tuple[tempfile.TemporaryDirectory, float]:
    """Go on pretraining on sentences that a split neither watches nor tests; return the folder and the seconds."""
    every = sentences.texts(p)
    rows = sentences.rows_of(seed, len(every))
    left = np.setdiff1d(np.arange(len(every)), np.concatenate([rows.val, rows.test]))
    chosen = np.random.default_rng(seed).permutation(left)[: p.text_unlabeled]
    return texts.adapt(p, list(every.take(chosen).texts), seed)


def ways(p: Profile) -> list[Cell]:
    """Return the cells split by split, so that an unfinished run holds whole splits."""
    return [{"arm": arm, "labels": LABELS, "seed": seed} for seed in SEEDS for arm in ARMS]


def run(p: Profile, arm: str, labels: int, seed: int) -> Row:
    """Run one cell of the ways."""
    splits = cut(p, seed)
    if arm == "words":
        return texts.words(p, splits)
    if arm == "frozen":
        return texts.frozen(p, splits, tl.models.load_encoder(p.text_model).to(p.device))
    if arm in ("full", "lora"):
        return texts.tuned(p, splits, seed, rate_of(arm), lora=arm == "lora").row
    folder, seconds = adapted(p, seed)
    if arm == "adapted full":
        return texts.tuned(p, splits, seed, rate_of("full"), start=folder.name, before=seconds).row
    return texts.frozen(p, splits, tl.models.load_encoder(folder.name).to(p.device), seconds)


def rates(p: Profile) -> list[Cell]:
    """Return the cells of the rates split by split; no rate is chosen here."""
    return [{"rate": rate, "seed": seed} for seed in RATE_SEEDS for rate in RATES]


def run_rate(p: Profile, rate: float, seed: int) -> Row:
    """Run one cell of the rates; the last training loss shows one that does not learn."""
    tuned = texts.tuned(p, cut(p, seed), seed, rate)
    return tuned.row | {"train_loss": float(tuned.history["train_loss"].iloc[-1])}


def always_bf16(cell: Cell) -> bool:
    """Every cell of the rates is trained by the Trainer."""
    return True


Experiment(
    "ways_with_text",
    ways,
    run,
    check=[{"arm": "words", "labels": LABELS, "seed": SEEDS[1]}],
    bf16=texts.in_bf16,
)
Experiment("rates_with_text", rates, run_rate, check=[{"rate": 2e-5, "seed": RATE_SEEDS[1]}], bf16=always_bf16)
