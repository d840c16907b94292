"""A tuned network on the disk: its weights, and a card that says how to use them."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import json
import math
import operator
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import pandas as pd
import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from tlhelpers._paths import checked
from tlhelpers._rows import clean, in_order
from tlhelpers._seed import random_state_kept
from tlhelpers.models import _backbones, _same, _steps
from tlhelpers.models._backbones import Backbone

WEIGHTS, CARD = "weights.safetensors", "card.json"
FORMAT = 2  # the first one had no number, and its transform was a list of printed steps
LIBRARIES = ("torch", "torchvision", "timm")
# What the network is, as against notes, which may be edited; the weights' file holds a copy.
KEYS = ("format", "backbone", "classes", "image_size", "transform", "changed", "answers", *LIBRARIES)


def save(folder: str | Path, net: Backbone, image_size: int | None, classes: Sequence[str], **notes: Any) -> Path:
    """Write the weights (safetensors) and ``card.json``: what is needed to use the network, and ``notes``.

    Before anything is written the network is built again from the card, as :func:`load_saved` will do it. It must
    have the same modules, tensors and transform, and give the same answers to four fixed images, up to 1e-4 of the
    largest logit (3% in half precision or on a GPU). What is compiled or parallel is saved as the network inside.

    The transform travels when it is made of fixed steps of torchvision, and so do the type of the weights and
    plain settings of modules (``eps``, dropout's ``p``). Which parameters are trained or frozen does not, nor
    whether two parameters are one (each is written).

    Args:
        folder: made when missing. What was saved there before stays whole when this save fails.
        image_size: side of the images in pixels, as a check; ``None`` takes that of the network's transform.
        classes: one name an output, in the order of the outputs.
        notes: anything that JSON can hold. Arrays, tuples, dates, paths and dataclasses are written as lists and
            text, whole-number keys as text, NaN as ``null``.

    Returns:
        The card's path.

    Raises:
        ValueError: naming what would not come back as it is: a module, tensor, step of the transform, class, or
            note; or an ``image_size`` that is not that of the transform.
        OSError: when the folder cannot be written.
    """
    folder = _as_folder(folder)
    net = _unwrapped(net)
    if beside := [name for name in net._modules if name != "net"]:
        raise ValueError(
            f"net.{beside[0]} stands beside the network, net.net, and would be lost; put it into the network, or "
            f"take it away: del net.{beside[0]}."
        )
    names = _class_names(classes)
    plain_notes = _plain_notes(notes)
    steps = json.loads(json.dumps(_steps.written(net.transform), allow_nan=False))
    batch = _same.batch_for(net.transform)
    if not torch.equal(batch, _same.batch_for(_steps.made(steps))):
        raise ValueError(
            f"the transform of {net.name}, {_steps.one_line(net.transform)}, makes other tensors when it is built "
            "again; something was changed in it by hand. Use models.preprocessing."
        )
    card: dict[str, Any] = {
        "format": FORMAT,
        "backbone": net.name,
        "classes": names,
        "image_size": _checked_size(image_size, batch),
        "transform": steps,
    }
    with random_state_kept():
        answers = _outputs(net, batch, len(names))
        fresh = _fresh(card, batch)
        what = f"models.load({net.name!r}, {len(names)})"
        _same.check_parts(net.net, fresh.net, what)
        if answers is None:
            answers = _same.answers(net, batch)  # all parts are as they were, so this tells what fails
        card["changed"] = json.loads(json.dumps(_same.changes(net.net, fresh.net, what), allow_nan=False))
        tensors = {name: t.detach().cpu().clone().contiguous() for name, t in _same.state(net.net).items()}
        again = _filled(fresh, card, tensors)
        _same.check_settings(net.net, again.net)
        answers_again = _same.answers(again, batch)
        _check_answers(net, answers, batch, answers_again)
    card["answers"] = [" ".join(f"{v:.6g}" for v in row[:8]) for row in answers_again.tolist()]
    card |= {library: _version(library) for library in LIBRARIES}
    weights = safetensors.torch.save(tensors, metadata={"card": json.dumps(card, allow_nan=False)})
    digest = hashlib.sha256(weights).hexdigest()
    text = _readable(card | {"sha256": digest} | plain_notes)
    _write(folder, {WEIGHTS: weights, CARD: f"{text}\n".encode()})
    return folder / CARD


def load_saved(folder: str | Path) -> tuple[Backbone, dict[str, Any]]:
    """Return the network that :func:`save` wrote, in eval mode on the CPU, and its card. No network is needed.

    The random state stays as it was. The network must answer four fixed images as it did when it was saved, up to
    1e-3 of the largest logit (3% in half precision).

    Raises:
        FileNotFoundError: when a file is missing.
        ValueError: when the weights are not those that the card names, the card was damaged or edited (notes may
            be), or the network cannot be built again as it was.
    """
    folder = _as_folder(folder)
    if folder.name in (CARD, WEIGHTS) and not folder.is_dir():  # what save returned
        folder = folder.parent
    if folder.is_file():
        raise FileNotFoundError(f"{folder} is a file; give the folder that save wrote.")
    for name in (CARD, WEIGHTS):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder} holds no {name}; give the folder that save wrote.")
    card = _read_card(folder / CARD)
    checked(folder / WEIGHTS, card["sha256"], f"It changed after {CARD} was written; save the network again.")
    old = "format" not in card
    try:
        if not old:
            _check_unedited(card, folder)
        tensors = safetensors.torch.load((folder / WEIGHTS).read_bytes())
    except SafetensorError as error:
        raise ValueError(f"{folder / WEIGHTS}: damaged ({error}); save the network again.") from error
    with random_state_kept():
        try:
            transform = (_steps.made_from_print if old else _steps.made)(card["transform"])
            batch = _same.batch_for(transform)
            fresh = _fresh(card, batch)
            if old:
                _check_old(card, batch, fresh)
            net = _filled(fresh, card, tensors)
        except ValueError as error:
            raise ValueError(
                f"{folder / CARD}: the network cannot be built again: {error}{_libraries(card)}"
            ) from error
        if not old:
            _check_as_saved(card, _same.answers(net, batch), _same.allowed(net, _same.OTHER_MACHINE), folder)
    return net.eval(), card


def _as_folder(folder: object) -> Path:
    if not isinstance(folder, (str, os.PathLike)):
        raise ValueError(f"folder is a {type(folder).__name__}; give the path of a folder first, as text.")
    return Path(folder).expanduser()


def _fresh(card: Mapping[str, Any], batch: torch.Tensor) -> Backbone:
    """Return a network of random weights with the card's name, classes and transform, for such images."""
    height, width = batch.shape[2:]
    fresh = _backbones.load(
        card["backbone"], len(card["classes"]), pretrained=False, image_size=height if height == width else None
    )
    old = isinstance(card["transform"][0], str)
    fresh.transform = (_steps.made_from_print if old else _steps.made)(card["transform"])
    return fresh


def _filled(fresh: Backbone, card: Mapping[str, Any], tensors: dict[str, torch.Tensor]) -> Backbone:
    """Give a fresh network the settings of the card and the tensors, in their types."""
    _same.apply_changes(fresh.net, card.get("changed", {}))
    mine = fresh.net.state_dict(keep_vars=True)
    odd = sorted(set(mine) ^ set(tensors)) or [n for n in mine if mine[n].shape != tensors[n].shape]
    if odd:
        raise ValueError(f"the tensor {odd[0]!r} of {card['backbone']} is not the one in {WEIGHTS}.")
    # Buffers that no file holds follow the type of the parameters, as they did in the network that was saved.
    fresh.net.to(next((tensors[n].dtype for n, _ in fresh.net.named_parameters()), torch.float32))
    for name, tensor in fresh.net.state_dict(keep_vars=True).items():
        tensor.data = tensor.data.to(tensors[name].dtype)
    fresh.net.load_state_dict(tensors)
    return fresh.eval()


def _unwrapped(net: nn.Module) -> Backbone:
    inner = _same.unwrapped(net) if isinstance(net, nn.Module) else net
    if isinstance(inner, Backbone):
        return inner
    held = next((key for key, part in getattr(inner, "_modules", {}).items() if isinstance(part, Backbone)), None)
    cure = f"give its part {held!r}" if held else "give what models.load returned"
    raise ValueError(f"net is a {type(inner).__name__} and no Backbone; {cure}.")


def _class_names(classes: Sequence[str]) -> list[str]:
    names: list[str] = []
    for number, name in enumerate(in_order(classes, "classes")):
        if not isinstance(name, str):
            raise ValueError(
                f"class {number} is {name!r} ({type(name).__name__}); give names as text, such as {str(name)!r}."
            )
        if not clean(name) or not _encodes(name):
            raise ValueError(f"the name of class {number} is {name!r}; give it one that can be read.")
        twin = next((other for other in names if clean(other) == clean(name)), None)
        if twin is not None:
            raise ValueError(
                f"two classes have one name, {twin!a} and {name!a}; each output needs a name of its own."
            )
        names.append(str(name))
    if not names:
        raise ValueError("classes is empty; give one name an output, in the order of the outputs.")
    return names


def _checked_size(image_size: int | None, batch: torch.Tensor) -> int | list[int]:
    height, width = batch.shape[2:]
    made = f"{height} x {width}"
    found = height if height == width else [height, width]
    if image_size is None:
        return found
    try:
        asked = operator.index(image_size)
    except TypeError as error:
        raise ValueError(f"image_size is {image_size!r}; give a whole number, or None.") from error
    if isinstance(image_size, bool) or asked != found:
        raise ValueError(
            f"image_size={image_size}, but the transform of the network makes images of {made} pixels; give None "
            "to save it as it is, or image_size to models.load before training."
        )
    return found


def _plain_notes(notes: Mapping[str, Any]) -> dict[str, Any]:
    taken = sorted({*KEYS, "sha256"} & set(notes))
    if taken:
        raise ValueError(f"the note {taken[0]!r} has the name of an entry that save writes itself; rename it.")
    plain = {}
    for name, value in notes.items():
        if not _encodes(name):
            raise ValueError(f"the note {name!r} has a name that cannot be written as text; rename it.")
        try:
            plain[name] = _plain(value, name)
        except RecursionError as error:
            raise ValueError(
                f"the note {name!r} is nested too deeply, or holds itself; give it flatter."
            ) from error
    return plain


def _plain(value: Any, where: str) -> Any:
    """Return a note as JSON holds it."""
    if isinstance(value, (np.generic, np.ndarray, torch.Tensor)) and not _is_time(value):
        value = value.tolist()
    elif isinstance(value, (range, pd.Index)):
        value = list(value)
    if isinstance(value, float):
        if math.isinf(value):
            raise ValueError(f"the note {where} is {value!r}, which JSON cannot hold; give a number, or text.")
        return None if math.isnan(value) else float(value)
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, str) and _encodes(value):
        return str(value)
    if isinstance(value, PurePath):
        return _plain(str(value), where)
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    elif isinstance(value, tuple) and hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, Mapping):
        found = {_key(key, where): _plain(part, f"{where}[{key!r}]") for key, part in value.items()}
        if len(found) < len(value):
            raise ValueError(
                f"the note {where} has a number and a text as keys that are written alike; rename one."
            )
        return found
    if isinstance(value, (list, tuple)):
        return [_plain(part, f"{where}[{number}]") for number, part in enumerate(value)]
    shown = " ".join(repr(value).split())[:60]
    raise ValueError(
        f"the note {where} is {shown} ({type(value).__name__}), which JSON cannot hold; give numbers, text, lists "
        "and dicts of them."
    )


def _key(key: Any, where: str) -> str:
    if isinstance(key, (int, np.integer)) and not isinstance(key, bool):
        return str(int(key))
    if isinstance(key, str) and _encodes(key):
        return str(key)
    raise ValueError(f"the note {where} has the key {key!r} ({type(key).__name__}); give keys as text.")


def _is_time(value: Any) -> bool:
    return getattr(getattr(value, "dtype", None), "kind", "") in "mM" and not isinstance(value, torch.Tensor)


def _readable(value: Any, indent: str = "") -> str:
    """Return JSON in which what is short stands on one line."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    if (len(indent + text) <= 100 and indent) or not value or not isinstance(value, (dict, list)):
        return text
    deeper = f"{indent} "
    if isinstance(value, dict):
        rows = [f"{json.dumps(key, ensure_ascii=False)}: {_readable(part, deeper)}" for key, part in value.items()]
    else:
        rows = [_readable(part, deeper) for part in value]
    opened, closed = "{}" if isinstance(value, dict) else "[]"
    return f"{opened}\n{deeper}" + f",\n{deeper}".join(rows) + f"\n{indent}{closed}"


def _encodes(text: str) -> bool:
    """Return whether a text can be written: names of files may hold halves of letters, which UTF-8 has not."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _outputs(net: Backbone, batch: torch.Tensor, classes: int) -> torch.Tensor | None:
    """Return the logits of a batch, or ``None`` when the network fails: its parts may tell why."""
    try:
        answers = _same.answers(net, batch)
    except ValueError:
        return None
    if answers.shape[1] != classes:
        raise ValueError(
            f"there are {classes} classes for {answers.shape[1]} outputs; name each output, in their order, or "
            "load the network with num_classes."
        )
    return answers


def _check_answers(net: Backbone, mine: torch.Tensor, batch: torch.Tensor, again: torch.Tensor) -> None:
    gap = _same.gap(mine, again)
    if gap <= _same.allowed(net, _same.SAME_MACHINE):
        return
    hooked = [name for name, m in net.net.named_modules() if m._forward_hooks or m._forward_pre_hooks]
    if _same.gap(_same.answers(net, batch), mine) > 0:
        why = "It answers otherwise at each call, in eval mode too: take out what draws at random."
    elif hooked:
        why = f"A hook at {hooked[0]!r} changes what it computes: remove it, or keep it in your own code."
    else:
        why = "Something that no weight holds was changed, such as a forward function: put it back."
    raise ValueError(
        f"{net.name} and the network that would be loaded give answers up to {gap:.2g} of the largest logit "
        f"apart, for the same images and weights. {why}"
    )


def _check_as_saved(card: Mapping[str, Any], answers: torch.Tensor, allowed: float, folder: Path) -> None:
    before = torch.tensor([[float(v) for v in row.split()] for row in card["answers"]])
    gap = _same.gap(answers[:, : before.shape[1]], before)
    if gap > allowed:
        raise ValueError(
            f"{folder}: the network gives other answers than when it was saved, up to {gap:.2g} of the largest "
            f"logit apart.{_libraries(card) or ' Its libraries are the same; was their code changed?'}"
        )


def _libraries(card: Mapping[str, Any]) -> str:
    differ = [f"{k} {card[k]} (now {_version(k)})" for k in LIBRARIES if card.get(k, _version(k)) != _version(k)]
    return f" It was saved with {', '.join(differ)}; install what it was saved with." if differ else ""


def _version(library: str) -> str:
    if library == "torch":
        return str(torch.__version__)
    try:
        return version(library)
    except PackageNotFoundError:
        return "none"


def _read_card(path: Path) -> dict[str, Any]:
    try:
        card = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise ValueError(
            f"{path}: no valid JSON ({error}); undo what was edited, or save the network again."
        ) from error
    if not isinstance(card, dict):
        raise ValueError(f"{path}: a {type(card).__name__}, where save writes an object; save the network again.")
    printed = isinstance(card.get("transform"), list) and all(isinstance(step, str) for step in card["transform"])
    first = ("backbone", "classes", "image_size", "transform")
    for key in ("sha256", *(first if printed and "format" not in card else KEYS)):
        if key not in card:
            raise ValueError(
                f"{path}: the entry {key!r} is missing; undo what was edited, or save the network again."
            )
    if isinstance(card.get("format"), int) and card["format"] > FORMAT:
        raise ValueError(f"{path}: format {card['format']} is newer than {FORMAT}; install a newer tlhelpers.")
    if card.get("format", FORMAT) != FORMAT:
        raise ValueError(
            f"{path}: format is {card['format']!r}, where save writes {FORMAT}; undo what was edited."
        )
    kinds = {"backbone": str, "classes": list, "transform": list, "sha256": str, "changed": dict, "answers": list}
    for key, kind in kinds.items():
        if not isinstance(card.get(key, kind()), kind) or (kind is list and not card.get(key, "-")):
            raise ValueError(f"{path}: {key!r} is {card[key]!r}; undo what was edited, or save the network again.")
    return card


def _check_unedited(card: Mapping[str, Any], folder: Path) -> None:
    with safe_open(folder / WEIGHTS, "pt") as file:
        kept = json.loads((file.metadata() or {}).get("card", "{}"))
    for key in KEYS:
        if key not in kept:
            raise ValueError(
                f"{folder / WEIGHTS}: not written by save, it holds no {key!r}; save the network again."
            )
        if card[key] != kept[key]:
            now, before = (str(entry)[:200] for entry in (card[key], kept[key]))
            raise ValueError(
                f"{folder / CARD}: {key!r} was changed, to {now} from {before} as saved; undo that. Only notes "
                "may be edited; for another card load the network and save it anew."
            )


def _check_old(card: Mapping[str, Any], batch: torch.Tensor, fresh: Backbone) -> None:
    made = list(batch.shape[2:])
    if card["image_size"] is not None and [card["image_size"]] * 2 != made:
        raise ValueError(
            f"image_size is {card['image_size']}, but the transform makes images of {made[0]} x {made[1]} pixels; "
            "correct image_size."
        )
    if any("transform_input" in vars(module) for module in fresh.net.modules()):
        raise ValueError("this older card does not say how the network scales its input; save it again.")


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Put files into a folder: all of them, or none. Those that were there stay when it fails."""
    above = next(path for path in (folder, *folder.parents) if os.path.lexists(path) or path == path.parent)
    if os.path.lexists(above) and not above.is_dir():
        raise NotADirectoryError(f"{above} is a file; give a folder to save into.")
    made: list[Path] = []
    try:
        made = [path for path in (folder, *folder.parents) if not path.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".saving-", dir=folder, ignore_cleanup_errors=True) as scratch:
            for name, content in files.items():
                (Path(scratch) / name).write_bytes(content)
                digest = hashlib.sha256(content).hexdigest()
                checked(Path(scratch) / name, digest, "The disk did not keep what was written; use another one.")
            _replace(folder, Path(scratch), list(files))
    except BaseException as error:
        for path in made:
            if path.is_dir() and not any(path.iterdir()):
                path.rmdir()
        if not isinstance(error, OSError):
            raise
        raise OSError(
            error.errno,
            f"{folder} cannot be written ({error.strerror or error}); free space there, or give another folder. "
            "What was saved there before is as it was",
        ) from error


def _replace(folder: Path, scratch: Path, names: Sequence[str]) -> None:
    """Move files from ``scratch`` into ``folder``, all of them or none: then the old ones are put back."""
    old = scratch / "old"
    old.mkdir()
    for name in names:
        if (folder / name).exists():
            shutil.copy2(folder / name, old / name)
    moved = []
    try:
        for name in names:
            os.replace(scratch / name, folder / name)
            moved.append(name)
    except BaseException:
        for name in moved:
            (folder / name).unlink()
            if (old / name).exists():
                shutil.move(old / name, folder / name)
        raise
