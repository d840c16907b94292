"""A first strategy for a task, with what to compare it against and where each reason comes from."""

from __future__ import annotations

import html
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np

DISTANCES = ("near", "moderate", "far")
MODALITIES = ("image", "text")
BUDGETS = ("minutes", "hours", "days")
STRATEGIES = ("frozen features", "two-stage", "full fine-tuning")  # from least trained to most
# Rules of thumb, not findings: this book measured 8 to 900 labeled images, and nothing near the upper two.
HANDFUL, FEW, MANY = 100, 1_000, 100_000
SCENARIOS: dict[str, tuple[int, str, str, str]] = {
    "500 images, similar domain": (500, "near", "image", "hours"),
    "5,000 images, moderately different": (5_000, "moderate", "image", "hours"),
    "50,000 images, very different": (50_000, "far", "image", "hours"),
    "500,000 images or more, unique domain": (500_000, "far", "image", "days"),
    "short texts, general domain": (2_000, "near", "text", "hours"),
    "long documents, specialized domain": (20_000, "far", "text", "days"),
    "a prototype, strategy unknown": (500, "moderate", "image", "minutes"),
}
"""The seven rows of the guide of chapter 15, with numbers where it has words."""
LABELS = {"compare": "Compare with", "mitigation": "What to do about them", "reasons": "Because"}


@dataclass(frozen=True)
class Reason:
    """One sentence and its source: the id of a claim of this book, or a key of its bibliography."""

    text: str
    source: str

    def __str__(self) -> str:
        return f"{self.text} [{self.source}]"


@dataclass(frozen=True)
class Rates:
    """Learning rates to begin a search with; ``backbone`` is ``None`` when nothing but the head is trained."""

    head: float
    backbone: float | None = None

    def __str__(self) -> str:
        return f"head {self.head:g}" + (f", backbone {self.backbone:g}" if self.backbone is not None else "")


@dataclass(frozen=True)
class Recommendation:
    """What to run first, and what to run beside it before you believe in it."""

    strategy: str
    rates: Rates
    freeze: str
    compare: tuple[str, ...]
    risks: tuple[str, ...]
    mitigation: tuple[str, ...]
    reasons: tuple[Reason, ...]

    def _rows(self) -> dict[str, list[str]]:
        names = {field.name: LABELS.get(field.name, field.name.capitalize()) for field in fields(self)}
        values = {names[name]: getattr(self, name) for name in names}
        return {k: [str(item) for item in v] if isinstance(v, tuple) else [str(v)] for k, v in values.items()}

    def __str__(self) -> str:
        return "\n".join(f"{name}: {'; '.join(items)}" for name, items in self._rows().items())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        def cell(items: list[str]) -> str:
            texts = [html.escape(item) for item in items]
            return texts[0] if len(texts) == 1 else f"<ul>{''.join(f'<li>{text}</li>' for text in texts)}</ul>"

        rows = (f'<tr><th scope="row">{k}</th><td>{cell(v)}</td></tr>' for k, v in self._rows().items())
        return f'<table class="dataframe tl-recommendation"><tbody>{"".join(rows)}</tbody></table>'


def recommend(n_labels: int, distance: str, modality: str = "image", budget: str = "hours") -> Recommendation:
    """Return a first strategy. It opens an experiment; it does not replace one.

    Args:
        n_labels: labeled training examples, validation and test not counted.
        distance: ``near``, ``moderate`` or ``far`` from what the network was pretrained on. Judge both gaps of
            chapter 14, inputs and question; the larger counts.
        modality: ``image`` or ``text``. Sound as a spectrogram is an image, far from photographs.
        budget: ``minutes`` of computing, for a prototype; ``hours``; or ``days``, which pay for a search.

    Raises:
        TypeError: when ``n_labels`` is not a whole number.
        ValueError: when there are fewer than two labels, or a word is none of those above.
    """
    if isinstance(n_labels, bool) or not isinstance(n_labels, int | np.integer):
        raise TypeError(f"n_labels is {n_labels!r}; give a whole number of labeled examples.")
    if n_labels < 2:
        raise ValueError(f"n_labels={n_labels}; a classifier needs an example of two classes or more.")
    asked = {"distance": (distance, DISTANCES), "modality": (modality, MODALITIES), "budget": (budget, BUDGETS)}
    for name, (value, known) in asked.items():
        if value not in known:
            raise ValueError(f"{name}={value!r}; give one of {', '.join(known)}.{_hint(value)}")
    n = int(n_labels)
    strategy = _strategy(n, distance, modality, budget)
    told = [rule for rule in RULES[modality] if rule.when(n, distance, strategy)]
    rates, freeze = _HOW[modality, strategy]
    return Recommendation(
        strategy,
        rates,
        freeze,
        _beside(n, strategy, distance, modality, budget),
        tuple(rule.risk for rule in told if rule.risk),
        tuple(rule.remedy for rule in told if rule.risk),
        tuple(reason for rule in told for reason in rule.reasons),
    )


def _hint(value: object) -> str:
    if value in ("audio", "sound"):
        return " A spectrogram is an image, and far from photographs."
    return " Ask one column at a time, or treat it as text." if value in ("table", "tabular") else ""


def _strategy(n: int, distance: str, modality: str, budget: str) -> str:
    if modality == "text":
        return "frozen features" if budget == "minutes" or n < HANDFUL else "full fine-tuning"
    few = n < (FEW if distance == "near" else HANDFUL)
    return "frozen features" if few or budget == "minutes" else "two-stage"


def _beside(n: int, strategy: str, distance: str, modality: str, budget: str) -> tuple[str, ...]:
    tuned = strategy != "frozen features"
    if modality == "text":
        words = "counted words and a linear model"
        return (words, "frozen features, the mean over the tokens", "LoRA") if tuned else (words,)
    found = ["frozen features" if tuned else "the majority rule"]
    found.append("a small network from scratch" if n < MANY else "the same network from scratch, for longer")
    if distance == "far" and n < MANY:
        found.append("a linear model on small gray pixels")
    if budget == "days" or (n < HANDFUL and budget == "hours"):
        found.append("the last stages only" if tuned else "two-stage")
    return tuple(found)


_HOW = {
    ("image", "frozen features"): (Rates(1e-3), "everything but the head, BatchNorm in eval mode"),
    ("image", "two-stage"): (Rates(1e-3, 3e-5), "all at first, then nothing; BatchNorm held"),
    ("text", "frozen features"): (Rates(1e-3), "everything but the head"),
    ("text", "full fine-tuning"): (Rates(1e-4, 1e-4), "nothing"),
}


class Rule(NamedTuple):
    """When something may go wrong (by labels, distance and strategy), what to do about it, and why we say so."""

    when: Callable[[int, str, str], bool]
    risk: str
    remedy: str
    reasons: tuple[Reason, ...]


# fmt: off
IMAGE_RULES = (
    Rule(lambda n, gap, how: how == "frozen features",
         "what your classes differ in may not be in the features",
         "raise the penalty of the head by validation; let everything move if a probe is poor",
         (Reason("Near: with one picture a class, frozen features beat a new network.",
                 "01-near-frozen-beats-scratch"),
          Reason("Far: on 500 solar cells, which of the two ranks better was left open.",
                 "01-frozen-beats-scratch"))),
    Rule(lambda n, gap, how: gap == "far" and n < HANDFUL, "", "",
         (Reason("Far, with 30 digits, tuning the last stages beat frozen features.",
                 "15-small-different-tune-top"),)),
    Rule(lambda n, gap, how: gap == "near" and n < FEW, "", "",
         (Reason("Near, with 40 labels, tuning the last stages lost against frozen features.",
                 "15-near-tuning-loses"),)),
    Rule(lambda n, gap, how: how != "frozen features",
         "validation may prefer the start: tuning then added nothing",
         "train the head first, keep the best epoch by validation, the start included",
         (Reason("Tuning from a random head distorts features.", "kumar2022"),
          Reason("On 500 solar cells, what a second stage adds to frozen features was left open.",
                 "01-two-stage-beats-frozen-500"))),
    Rule(lambda n, gap, how: how != "frozen features",
         "BatchNorm statistics drift although their layers are frozen",
         "hold BatchNorm in eval mode at every train() call",
         (Reason("What moving statistics cost in stage 2 was left open; held, you know what you have.",
                 "05-batchnorm-held-in-stage-2"),)),
    Rule(lambda n, gap, how: how == "two-stage",
         "one rate for all layers, too high for the lower ones",
         "a rate for the backbone far below the head's, chosen by validation",
         (Reason("One high rate for backbone and head spoiled the network.", "11-uniform-high-rate"),)),
    Rule(lambda n, gap, how: gap == "far",
         "negative transfer: borrowing may be worse than doing without",
         "train what borrows nothing, too: if it wins, do not borrow",
         (Reason("On digits, a small network from scratch beat the pretrained one.", "15-scratch-wins-on-digits"),
          Reason("A prior from other pictures can lose to none.", "02-prior-hurts-in-the-middle"),
          Reason("Whether a good probe foretells what pretraining gains was left open.",
                 "14-probe-foretells-gain"))),
    Rule(lambda n, gap, how: gap == "far" and how != "frozen features", "", "",
         (Reason("Solar cells, and photographs too, were read better below the last stage.",
                 "04-far-task-peaks-earlier"),)),
    Rule(lambda n, gap, how: n >= MANY,
         "long training for a gain that pretraining may not give",
         "stop both starts at the same cost and compare; mixed precision, bf16 where supported",
         (Reason("Enough labels and time let a random start catch up.", "he2019"),
          Reason("Pretrained on far more images, networks did well on targets of every size.", "kolesnikov2020"),
          Reason("On large medical sets, small fresh networks kept up.", "raghu2019"))),
)
TEXT_RULES = (
    Rule(lambda n, gap, how: True, "", "",
         (Reason("With 500 movie sentences, an encoder beat counted words, frozen or tuned.",
                 "09-words-beaten"),)),
    Rule(lambda n, gap, how: how == "full fine-tuning",
         "a rate too high or a start unlucky: the loss never leaves its first value",
         "three rates from 3e-5 to 3e-4, warm-up, several seeds, the best epoch by validation",
         (Reason("On movie sentences, full fine-tuning beat frozen features.", "09-tuning-beats-frozen"),
          Reason("How much it gains depends on the task.", "peters2019"),
          Reason("Fine-tuning few texts varies from seed to seed.", "mosbach2021"),
          Reason("The rate everybody quotes was not the one validation chose.", "09-rate-standard"))),
    Rule(lambda n, gap, how: how == "frozen features",
         "[CLS] of an encoder that was never tuned says little",
         "take the mean over the tokens of a sentence encoder",
         (Reason("The mean over the tokens reads more than [CLS].", "10-mean-beats-cls"),)),
    Rule(lambda n, gap, how: gap != "near",
         "the words of your domain are rare or cut into pieces",
         "with unlabeled text of the domain, pretrain further on it first, and measure that step",
         (Reason("More pretraining on text of the domain helped in four domains.", "gururangan2020"),
          Reason("On movie sentences it was left open.", "09-adaptation-pays"))),
    Rule(lambda n, gap, how: True,
         "texts longer than the encoder reads are cut, in silence",
         "count tokens; split long documents, or take an encoder with a longer window",
         (Reason("BERT reads 512 tokens.", "devlin2019"),)),
    Rule(lambda n, gap, how: how == "full fine-tuning",
         "memory, and one full copy of the network a task",
         "LoRA: a small file a task; QLoRA is for far larger models",
         (Reason("LoRA, on movie sentences, was not measurably behind full fine-tuning.",
                 "09-lora-costs-accuracy"),)),
)
# fmt: on
RULES = {"image": IMAGE_RULES, "text": TEXT_RULES}
