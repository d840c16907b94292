"""A tuned classifier of texts on the disk, and what it says of new texts."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from tqdm import tqdm
from transformers import AutoModelForSequenceClassification

from tlhelpers._machine import device_of
from tlhelpers._paths import checked, sha256_of
from tlhelpers.data._folders import SYSTEM
from tlhelpers.data._hub import quiet
from tlhelpers.data._texts import TextSet, class_names, strings
from tlhelpers.models._backbones import evaluating
from tlhelpers.models._encoders import check_reading, load_pretrained, positions_of
from tlhelpers.train._huggingface import check_answer, names_of, unnamed

CARD = "card.json"
OURS = ("classes", "max_length", "files", "transformers", "torch")
# Short and long, of several scripts; the last is longer than any limit of a model that reads a part of it.
PROBES = ("A lovely film.", "Schön, aber zu lang!", "とても良い。", "not good, not bad, not worth it " * 20)


def predict_texts(
    model: Any,
    tokenizer: Any,
    texts: TextSet | Iterable[str],
    max_length: int | None = None,
    batch_size: int = 64,
) -> np.ndarray:
    """Return the probability of each class for each text, float32 ``[N, C]``; the model is left as it was.

    It computes in the numbers of its weights, whatever the Trainer rounded to; so a reloaded model says the same.

    Args:
        max_length: tokens kept of a text. ``None``: as many as in the training by :func:`build_trainer` or on the
            card of :func:`load_text_classifier`; for another model, all that it can read.

    Raises:
        ValueError: when there is no text; naming the first row that is missing, blank or no string; when the model
            is no classifier of one class a text, or cannot read what the tokenizer makes.
    """
    rows = strings(texts)
    if not rows:
        raise ValueError("there is no text to predict.")
    if isinstance(batch_size, bool) or not isinstance(batch_size, (int, np.integer)) or batch_size < 1:
        raise ValueError(f"batch_size is {batch_size!r}; give a whole number from 1.")
    length = _length(model, tokenizer, max_length)
    check_reading(model, tokenizer, length)
    check_answer(model, tokenizer)
    device = device_of(model)
    # The Trainer leaves a forward behind that rounds to bfloat16, and that no file holds.
    forward = vars(model).get("_original_forward", model)
    order = np.argsort([len(text) for text in rows], kind="stable")
    found = np.empty((len(rows), len(names_of(model))), np.float32)
    with evaluating(model), torch.no_grad():
        for start in tqdm(range(0, len(rows), batch_size), desc="texts", leave=False):
            some = order[start : start + batch_size]
            batch = tokenizer(
                [rows[i] for i in some], padding=True, truncation=True, max_length=length, return_tensors="pt"
            ).to(device)
            found[some] = forward(**batch).logits.float().softmax(dim=1).cpu().numpy()
    return found


def _length(model: Any, tokenizer: Any, max_length: int | None) -> int:
    if max_length is not None:
        return max_length
    known = getattr(model, "text_length", None)
    if known is None:
        limits = [limit for limit in (positions_of(model), tokenizer.model_max_length) if limit is not None]
        known = min(limits)
    if known > 10**6:  # transformers' word for 'not known'
        raise ValueError("neither model nor tokenizer says how many tokens can be read; give max_length.")
    return int(known)


def save_text_classifier(
    folder: str | Path, model: Any, tokenizer: Any, max_length: int | None = None, **notes: Any
) -> Path:
    """Write a tuned classifier with its head, its tokenizer and ``card.json``: what its use needs, and ``notes``.

    What is written is read again and asked about a few texts, and only then takes its place; so nothing is left
    half-written, and what is saved is what :func:`load_text_classifier` loads.

    Args:
        folder: a new or empty one, or one of an earlier save, which is replaced.
        max_length: tokens kept of a text; ``None``: as many as in the training by :func:`build_trainer`.
        notes: more entries of the card, such as scores; what JSON can hold.

    Returns:
        The card's path.

    Raises:
        ValueError: when the folder holds other files; when the classes have no names of their own; when an adapter
            was not merged yet; when ``max_length`` is not known; when a note cannot be written; when what was read
            again gives other answers.
    """
    folder = Path(folder).expanduser()
    _check_place(folder)
    model = getattr(model, "_orig_mod", model)  # torch.compile wraps it
    if hasattr(model, "merge_and_unload"):
        raise ValueError("the model wears an adapter (LoRA); save what model.merge_and_unload() returns.")
    classes = names_of(model)
    if unnamed(classes):
        raise ValueError(
            f"the model calls its classes {classes[:8]}; give them names, which predictions carry: "
            "text_classifier(start, seed, classes), or model.config.id2label = {0: ..., 1: ...}."
        )
    class_names(classes)
    length = getattr(model, "text_length", None) if max_length is None else max_length
    if length is None:
        raise ValueError("max_length is not known; give the tokens of a text that training kept.")
    check_reading(model, tokenizer, length)
    check_answer(model, tokenizer)
    card = {"classes": list(classes), "max_length": int(length), "files": {}}
    card |= {"transformers": transformers.__version__, "torch": torch.__version__} | _written(notes)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as place:
        new = Path(place, "new")
        with quiet():
            model.save_pretrained(new)
            tokenizer.save_pretrained(new)
        card["files"] = {file.name: sha256_of(file) for file in sorted(new.iterdir()) if file.is_file()}
        (new / CARD).write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        _check_same(model, tokenizer, new, int(length))
        if folder.exists():
            os.replace(folder, Path(place, "old"))
        os.replace(new, folder)
    return folder / CARD


def _check_place(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file; give a folder.")
    if not folder.exists() or not any(folder.iterdir()):
        return
    try:
        known = {CARD, *json.loads((folder / CARD).read_text(encoding="utf-8"))["files"]}
    except (OSError, ValueError, KeyError, TypeError):
        known = set()
    others = sorted(file.name for file in folder.iterdir() if file.name not in known and not _left_by_system(file))
    if others:
        raise ValueError(
            f"{folder} holds other files ({', '.join(others[:3])}), which a save would replace; give a folder of "
            "its own."
        )


def _left_by_system(file: Path) -> bool:
    """Return whether a file was left by Finder or Explorer; other hidden files are somebody's."""
    name = file.name.lower()
    return file.is_file() and (name in (".ds_store", ".localized", *SYSTEM) or name.startswith("._"))


def _written(notes: dict[str, Any]) -> dict[str, Any]:
    """Return notes as JSON gives them back; numbers of NumPy and PyTorch become Python's."""
    taken = sorted(set(notes) & set(OURS))
    if taken:
        raise ValueError(f"the card has its own {taken[0]!r}; give the note another name.")
    kept = {}
    for name, note in notes.items():
        try:
            kept[name] = json.loads(json.dumps(note, default=lambda value: value.tolist()))
        except (TypeError, ValueError, AttributeError) as error:
            raise ValueError(
                f"note {name!r} is a {type(note).__name__} that a card cannot hold ({error}); give numbers, "
                "strings, lists and dicts."
            ) from error
    return kept


def _check_same(model: Any, tokenizer: Any, folder: Path, length: int) -> None:
    texts = [*PROBES, "word " * (length + 8)]
    try:
        again, its, _ = load_text_classifier(folder)
    except ValueError as error:
        raise ValueError(
            f"the model cannot be read again as it was saved, so nothing was written: {error}"
        ) from error
    again.to(device_of(model))
    with evaluating(model):
        ours, theirs = (
            predict_texts(net, words, texts, length, 2) for net, words in ((model, tokenizer), (again, its))
        )
    gap = float(np.abs(ours - theirs).max())
    if not gap < 1e-3:
        raise ValueError(
            f"the saved model gives other answers (probabilities differ by {gap:.2g}), so nothing was written; it "
            "was changed in a way that no file holds, such as a hook, or it gives NaN."
        )


def load_text_classifier(folder: str | Path) -> tuple[Any, Any, dict[str, Any]]:
    """Return the model with its trained head, in eval mode on the CPU, its tokenizer, and the card, a dict.

    The card has ``classes``, ``max_length`` and the notes of :func:`save_text_classifier`. No network is needed.

    Raises:
        FileNotFoundError: when the folder, or a file that the card names, is missing.
        ValueError: when a file is not the one that was saved, or does not hold the whole model.
    """
    folder = Path(folder).expanduser()
    if not (folder / CARD).is_file():
        raise FileNotFoundError(
            f"{folder} holds no {CARD}, seen from {Path.cwd()}; give the folder that save_text_classifier wrote. "
            "What save_pretrained wrote is read by AutoModelForSequenceClassification.from_pretrained."
        )
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
        classes, length, files = tuple(card["classes"]), int(card["max_length"]), dict(card["files"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{folder / CARD} is no card of a classifier of texts ({error!r}).") from error
    for name, digest in files.items():
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder} holds no {name}, which {CARD} names; copy the whole folder.")
        checked(folder / name, digest, f"It changed after {CARD} was written; save the classifier again.")
    model, tokenizer, new = load_pretrained(AutoModelForSequenceClassification, folder)
    if new:
        raise ValueError(
            f"{folder} lacks weights of the head, first {sorted(new)[0]}; the head was changed by hand."
        )
    if names_of(model) != classes:
        raise ValueError(
            f"{CARD} has the classes {classes}, config.json {names_of(model)}; save the classifier again."
        )
    model.text_length = length
    return model.eval(), tokenizer, card
