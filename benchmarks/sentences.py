"""Movie sentences, from 25 to 5,000 labels: counted words, a small network, a frozen encoder, full tuning, LoRA.

The table ``sentences`` of the protocol. The collection names no document of a movie sentence, so each stands
alone; those that are the same but for spaces count once.
"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.pipeline import Pipeline
from torch import nn

import tlhelpers as tl
from benchmarks import engine, parts, protocol
from benchmarks.experiment import Cell, Row, planned
from benchmarks.parts import Outcome, Rows
from tlhelpers.data import TextSet
from tlhelpers.profile import Profile

PLAN = protocol.plan("sentences")
WIDE = 64  # numbers of a word vector that starts random


@lru_cache(maxsize=1)
def texts(p: Profile) -> TextSet:
    """Return all sentences, each once."""
    every = tl.data.load_texts(p.text_data)
    first = {" ".join(text.split()): row for row, text in reversed(list(enumerate(every.texts)))}
    return every.take(sorted(first.values()))


@lru_cache(maxsize=1)
def tokens(p: Profile) -> torch.Tensor:
    """Return token numbers and mask of all sentences, ``[N, 2, T]``."""
    return parts.tokens(texts(p).texts, tl.models.load_encoder(p.text_model), PLAN.rules["length"])


@lru_cache(maxsize=1)
def encoded(p: Profile) -> np.ndarray:
    """Return the mean over the tokens of the frozen encoder, ``[N, width]``."""
    encoder = tl.models.load_encoder(p.text_model).to(p.device)
    return tl.models.encode(texts(p).texts, encoder, max_length=PLAN.rules["length"]).numpy()


def rows_of(seed: int, count: int) -> Rows:
    """Return the sentences of each part."""
    return parts.rows_alone(PLAN, seed, count)


def few(labels: int, seed: int) -> np.ndarray:
    """Return the sentences that a run learns from."""
    y = texts(tl.profile.current()).labels
    return parts.few_of(y, rows_of(seed, len(y)).train, labels, seed)


def run(p: Profile, arm: str, labels: int, setting: float, seed: int) -> Row:
    """Run one cell."""
    y = texts(p).labels
    rows = rows_of(seed, len(y))
    outcome = _run(p, arm, rows, few(labels, seed), setting, seed)
    row: Row = outcome.row(y[rows.test])
    if outcome.chances is not None:
        right = outcome.chances.argmax(axis=1) == y[rows.test]
        row["items"] = {"group": rows.test.astype(np.uint16), "score": right.astype(np.uint8)}
    return row


def _run(p: Profile, arm: str, rows: Rows, few: np.ndarray, setting: float, seed: int) -> Outcome:
    if arm == "words":
        every = np.array(texts(p).texts, dtype=object)
        return _fitted(parts.word_model(setting), every, texts(p).labels, rows, few)
    if arm == "frozen":
        return _fitted(tl.look.linear_classifier(setting), encoded(p), texts(p).labels, rows, few)
    tl.seed_everything(seed)
    return _trained(p, arm, rows, few, setting, seed)


def _fitted(model: Pipeline, x: np.ndarray, y: np.ndarray, rows: Rows, few: np.ndarray) -> Outcome:
    model.fit(x[few], y[few])
    watched = model.score(x[rows.val], y[rows.val])
    return Outcome(float(watched), 0, model.predict_proba(x[rows.test]) if len(rows.test) else None)


class SmallReader(nn.Module):
    """The mean of random word vectors, and two layers on it: what one would train without a borrowed network."""

    def __init__(self, words: int, classes: int = 2) -> None:
        super().__init__()
        self.words = nn.Embedding(words, WIDE)
        self.body = nn.Sequential(nn.Linear(WIDE, WIDE), nn.ReLU(), nn.Dropout(0.3), nn.Linear(WIDE, classes))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits ``[B, C]`` for token numbers and mask ``[B, 2, T]``."""
        return self.body(tl.models.mean_pool(self.words(x[:, 0]), x[:, 1]))


def _trained(p: Profile, arm: str, rows: Rows, few: np.ndarray, rate: float, seed: int) -> Outcome:
    rules, y = PLAN.rules, torch.from_numpy(texts(p).labels)
    x = tokens(p)
    encoder = tl.models.load_encoder(p.text_model)
    if arm == "scratch":
        net: nn.Module = SmallReader(len(encoder.tokenizer))
    else:
        model: Any = encoder.model
        head = nn.Linear(model.config.hidden_size, 2)
        body = parts.with_lora(model) if arm == "lora" else model
        net = parts.SentenceClassifier(body, head, bf16=trains_in_bf16(p.device))
    net.to(p.device)
    steps = max(rules["least_steps"], -(-rules["passes"] * len(few) // rules["batch"]))
    steps = -(-steps // rules["rounds"]) * (5 if arm == "scratch" else 1)
    history = engine.fit(
        net,
        engine.Drawn([x[few]], y[few], rules["batch"], steps, seed),
        (x[rows.val], y[rows.val]),
        [{"params": [weight for weight in net.parameters() if weight.requires_grad], "lr": rate}],
        rounds=rules["rounds"],
        measure=rules["measure"],
        weights=None,
    )
    best: pd.Series = history.query("best").iloc[0]
    chances = None
    if len(rows.test):
        # Sentences of one length stand together, so that little padding is computed.
        order = np.argsort(x[rows.test][:, 1].sum(dim=1).numpy(), kind="stable")
        test = rows.test[order]
        sorted_chances, _ = tl.train.predict_proba(net, parts.in_order((x[test], y[test]), engine.CHUNK))
        chances = np.empty_like(sorted_chances)
        chances[order] = sorted_chances
    return Outcome(float(best[f"val_{rules['measure']}"]), int(best["epoch"]), chances)


@lru_cache(maxsize=1)
def trains_in_bf16(device: str) -> bool:
    """Whether a training step of a transformer is faster in bfloat16 here, measured on a small one."""
    return engine.faster_in_bf16(device, partial(_step, device))


def _step(device: str, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(384, 12, 1536, batch_first=True).to(device)
    with torch.autocast(device, torch.bfloat16, enabled=dtype == torch.bfloat16):
        layer(torch.zeros(16, 32, 384, device=device)).float().mean().backward()


def in_bf16(cell: Cell) -> bool:
    """Tell whether a cell computes in bfloat16."""
    return cell["arm"] in ("full", "lora") and trains_in_bf16(tl.profile.current().device)


EXPERIMENT = planned(
    "movie_sentences",
    PLAN,
    run,
    bf16=in_bf16,
    check=[{"arm": "words", "labels": 500, "setting": 10.0, "seed": 601}],
)
