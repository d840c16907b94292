"""What a loader gives and what a network answers: taken as it is meant, or named with its cause and its cure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sized
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import nn

from tlhelpers._machine import device_of, to_device
from tlhelpers._rows import in_order

Batches = Iterable[tuple[torch.Tensor, torch.Tensor]]
Part = tuple[torch.Tensor, torch.Tensor]


class Fault(NamedTuple):
    """What is wrong with a value, and how to put it right: two sentences, of which the first has no full stop."""

    what: str
    cure: str

    def __str__(self) -> str:
        first = self.cure.partition(" ")[0]
        plain = first[1:] == first[1:].lower()  # a name such as BatchNorm keeps its capitals
        return f"{self.what}; {self.cure[:1].lower() if plain else self.cure[:1]}{self.cure[1:]}"


def refused(fault: Fault, where: str = "") -> ValueError:
    """Return the error that tells of a fault, and where it is."""
    return ValueError(f"{where}: {fault}" if where else str(fault))


def fault_of(error: ValueError) -> Fault:
    """Return the fault that an error tells of, as ``<what>; <cure>``."""
    what, _, cure = str(error).partition("; ")
    return Fault(what.rstrip("."), cure[:1].upper() + cure[1:] or "Look at it by hand.")


def pairs(batches: Batches, name: str) -> Iterator[Part]:
    """Yield inputs ``[B, ...]`` and labels ``[B, ...]`` of each batch, as tensors.

    Raises:
        ValueError: at the first batch that is no such pair.
    """
    for number, batch in enumerate(batches, start=1):
        yield pair(batch, f"batch {number} of {name}")


def pair(batch: Any, where: str) -> Part:
    """Return a batch as two tensors with as many rows.

    Raises:
        ValueError: when it is a mapping, one tensor, one row of a data set, or has another number of parts.
    """
    if isinstance(batch, Mapping):
        cure = "Give pairs (x, y): a collate_fn that returns two of these values."
        raise refused(Fault(f"a mapping with the keys {list(batch)[:6]}", cure), where)
    if not isinstance(batch, (tuple, list)):
        kind = (
            f"{type(batch).__name__} of shape {tuple(batch.shape)}"
            if hasattr(batch, "shape")
            else repr(batch)[:60]
        )
        raise refused(
            Fault(f"{kind}, alone", "Give pairs (x, y), inputs and labels: a list such as [(x, y)]."), where
        )
    if len(batch) != 2:
        kinds = ", ".join(type(part).__name__ for part in batch[:6])
        raise refused(Fault(f"{len(batch)} parts ({kinds})", "Give two, inputs and labels (x, y)."), where)
    x, y = batch
    if isinstance(x, Mapping):
        cure = "Give one tensor: wrap the network so that it takes its inputs apart."
        raise refused(Fault(f"the inputs are a mapping with the keys {list(x)[:6]}", cure), where)
    if not isinstance(y, (list, tuple)) and np.ndim(y) == 0:
        cure = "Put the data set in a loader: tl.data.loader, or DataLoader(data_set, batch_size=32)."
        raise refused(Fault(f"one row with the label {_short(y)}, not a batch", cure), where)
    x, y = as_tensor(x, "inputs", where), as_tensor(y, "labels", where)
    if x.ndim == 0 or len(x) != len(y):
        cure = "Give one label a row of inputs."
        raise refused(Fault(f"inputs have shape {tuple(x.shape)} and labels {tuple(y.shape)}", cure), where)
    return x, y


def as_tensor(values: Any, what: str, where: str = "") -> torch.Tensor:
    """Return numbers as a tensor, in their order; a tensor as it is.

    Raises:
        ValueError: when they are names or other objects.
    """
    if isinstance(values, torch.Tensor):
        return values
    try:
        rows = values if isinstance(values, (np.ndarray, pd.DataFrame)) else in_order(values, what)
    except ValueError as error:
        raise refused(fault_of(error), where) from error
    try:
        if isinstance(rows, list) and rows and isinstance(rows[0], torch.Tensor):
            return torch.stack([torch.as_tensor(row) for row in rows])
        array = np.asarray(rows)
        if array.dtype == object:  # such as pandas' own whole numbers
            array = np.asarray(array.tolist())
    except (ValueError, RuntimeError, TypeError) as error:
        raise refused(Fault(f"{what} differ in shape from row to row", "Bring all to one."), where) from error
    if array.dtype.kind not in "biuf":
        first = next((row for row in array.reshape(-1).tolist() if not isinstance(row, (int, float))), None)
        cure = "Give numbers: names, numbers = np.unique(values, return_inverse=True) numbers names."
        raise refused(Fault(f"{what} are no numbers, first {_short(first)}", cure), where)
    if array.dtype.kind == "u" and array.dtype != np.uint8:  # torch computes little with these
        array = array.astype(np.int64)
    return torch.from_numpy(np.array(array, order="C"))


def _short(value: object) -> str:
    value = value.item() if isinstance(value, (torch.Tensor, np.generic)) and np.ndim(value) == 0 else value
    return repr(value)[:40]


def one_pass(batches: object) -> bool:
    """Return whether batches can be read once only, as those of a generator."""
    return hasattr(batches, "__next__")


def length(batches: object) -> int | None:
    try:
        return len(batches) if isinstance(batches, Sized) else None
    except TypeError:  # a loader of a stream has the method, but no length
        return None


def label_fault(y: torch.Tensor) -> Fault | None:
    """Return why labels are not one class index a row, ``[B]`` whole numbers from 0, or ``None``."""
    if y.ndim != 1:
        return Fault(f"labels are {y.dtype} of shape {tuple(y.shape)}", _shape_cure(y))
    if not len(y):
        return Fault("there is no label: their shape is (0,)", "Give one a row.")
    if y.dtype == torch.bool:
        return Fault("labels are true and false (torch.bool)", "Write y.long(): 0 for false and 1 for true.")
    if y.is_floating_point() and not torch.isfinite(y).all():
        row = int((~torch.isfinite(y)).nonzero()[0])
        return Fault(f"labels are {y.dtype}, and that of row {row} is {y[row].item()}", "Leave that row out.")
    whole = not y.is_complex() and bool((y == y.long()).all())
    if whole and not y.is_floating_point() and y.min() >= 0:
        return None
    start = (
        f"labels are {y.dtype} and start at {y.min().item()}" if not y.is_complex() else f"labels are {y.dtype}"
    )
    return Fault(start, f"Give whole numbers from 0 to C - 1.{_number_cure(y, whole)}")


def _shape_cure(y: torch.Tensor) -> str:
    if y.ndim == 2 and y.shape[1] == 1:
        return f"Give [B], one class index a row: y.reshape(-1){'' if _whole_type(y) else '.long()'}."
    if y.ndim == 2 and len(y) and y.shape[1]:
        if bool(((y == 0) | (y == 1)).all()) and bool((y.sum(1) == 1).all()):
            return "Give [B], one class index a row: y.argmax(1), as these are one-hot."
        if shares(y):
            return "Give [B], one class index a row: y.argmax(1) takes the likeliest class."
        return "Give [B], one class index a row. Several classes a row need another loss than cross-entropy."
    return "Give [B], one class index a row."


def _number_cure(y: torch.Tensor, whole: bool) -> str:
    if not whole:
        return " These have fractions: targets of a regression need another loss than cross-entropy."
    found = set(y.unique().tolist())
    if found == {-1, 1}:
        return " For -1 and 1 write (y.long() + 1) // 2."
    if -100 in found:
        return " Leave rows labeled -100 out: cross-entropy passes over them without a word."
    if min(found) < 0:
        return " Leave rows without a class out."
    return " Write y.long(): nothing is cut off."


def _whole_type(y: torch.Tensor) -> bool:
    return not y.is_floating_point() and not y.is_complex() and y.dtype != torch.bool


def shares(y: torch.Tensor) -> bool:
    """Return whether labels ``[B, C]`` are shares of classes: floats of 0 or more whose rows sum to 1."""
    fit = y.ndim == 2 and y.shape[1] > 1 and y.is_floating_point() and bool((y >= 0).all())
    return fit and bool(((y.float().sum(1) - 1).abs() < 1e-2).all())


def range_fault(y: torch.Tensor, classes: int) -> Fault | None:
    """Return why class indices ``[B]`` do not fit ``classes`` outputs, or ``None``."""
    if not len(y) or int(y.max()) < classes:
        return None
    low, high = int(y.min()), int(y.max())
    what = f"labels run from {low} to {high}, and the network has {classes} outputs, numbered from 0"
    if low >= 1 and high == classes:
        return Fault(what, "They seem to be counted from 1: write y - 1.")
    return Fault(what, "Replace the head by one with an output a class, or number the classes from 0.")


def output_fault(out: object, rows: int) -> Fault | None:
    """Return why what a network gave for ``rows`` inputs is not logits ``[rows, C]``, or ``None``."""
    if not isinstance(out, torch.Tensor):
        cure = "Wrap it so that it returns its logits [B, C] alone; older networks take aux_logits=False."
        if hasattr(out, "logits"):
            cure = "Wrap it so that it returns the part called logits alone; older networks take aux_logits=False."
        parts = f" with {len(out)} parts" if hasattr(out, "__len__") else ""
        return Fault(f"the network gives {type(out).__name__}{parts}, not logits [B, C]", cure)
    shape = f"the network gives outputs of shape {tuple(out.shape)} for {rows} inputs"
    if out.ndim == 0 or len(out) != rows:
        return Fault(shape, "Give logits [B, C], one row an input.")
    if out.ndim == 1 or (out.ndim == 2 and out.shape[1] == 1):
        return Fault(shape, "Cross-entropy needs one output a class: two for two classes, in place of one.")
    if out.ndim > 2:
        flat = out[0].numel() == out.shape[1]
        return Fault(shape, "Put nn.Flatten() behind it." if flat else "Give logits [B, C], one row an input.")
    if not out.is_floating_point():
        return Fault(f"the network gives {out.dtype}", "Return logits, before argmax.")
    return None


def as_input(x: torch.Tensor, net: nn.Module) -> torch.Tensor:
    """Return inputs where ``net`` lies, floating-point ones in the type that it computes with."""
    return in_type_of(net, to_device(x, device_of(net)))


def in_type_of(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Return floating-point inputs in the type that ``net`` computes with, others as they are."""
    kind = next((p.dtype for p in net.parameters() if p.is_floating_point()), x.dtype)
    return x.to(kind) if x.is_floating_point() else x


def asked(net: nn.Module, x: torch.Tensor, where: str) -> Any:
    """Return what ``net`` gives for inputs.

    Raises:
        RuntimeError, ValueError: when it fails, with its words, the shape of the inputs, and the likely cause.
    """
    try:
        return net(x)
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, ValueError, AssertionError, TypeError, IndexError, AttributeError) as error:
        kind = ValueError if isinstance(error, ValueError) else RuntimeError
        raise kind(f"{where}: {forward_fault(net, x, error)}") from error


def forward_fault(net: nn.Module, x: torch.Tensor, error: Exception) -> Fault:
    """Return what a network said as it failed on inputs, and the likely cause."""
    said = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
    if not isinstance(error, RuntimeError):
        said = f"{type(error).__name__}, {said}"
    what = f"the network fails on inputs {x.dtype} {tuple(x.shape)}: {said}"
    if not isinstance(error, (RuntimeError, ValueError, AssertionError, IndexError)):
        return Fault(what, "Call it on one batch by hand, and read the whole report.")
    return Fault(what, _forward_cure(net, x, said))


def _forward_cure(net: nn.Module, x: torch.Tensor, said: str) -> str:
    if "more than 1 value per channel" in said:
        return "BatchNorm cannot learn from one row: leave a last batch of one out (drop_last=True)."
    first = next((m for m in net.modules() if isinstance(m, (nn.Conv2d, nn.Embedding, nn.Linear))), None)
    if isinstance(first, nn.Embedding) and not x.is_floating_point() and x.numel():
        if int(x.max()) >= first.num_embeddings or int(x.min()) < 0:
            return (
                f"Inputs go from {int(x.min())} to {int(x.max())}, and the embedding has {first.num_embeddings} "
                "rows: take the tokenizer of this network, or resize its embedding."
            )
    elif isinstance(first, nn.Embedding) and x.is_floating_point():
        return "It takes whole numbers, such as tokens: write x.long()."
    elif not x.is_floating_point():
        return (
            "It computes with floats: v2.ToDtype(torch.float32, scale=True), then normalize as its weights demand."
        )
    if isinstance(first, nn.Conv2d):
        wanted = first.in_channels
        if x.ndim == 4 and x.shape[1] != wanted:
            if x.shape[3] == wanted:
                return "The channels stand last: write x.permute(0, 3, 1, 2)."
            if x.shape[1] == 1:
                return f"It takes {wanted} channels, these are gray: write x.expand(-1, {wanted}, -1, -1)."
            if x.shape[1] == wanted + 1:
                return f"It takes {wanted} channels, these have one more, such as alpha: write x[:, :{wanted}]."
            return f"It takes {wanted} channels, these have {x.shape[1]}: change its first layer, or the inputs."
        if x.ndim == 4:
            size = f"{x.shape[2]} x {x.shape[3]}"
            return f"Does it take images of {size} pixels? Load it for that size, or resize them to its own."
        return "It takes images [B, C, H, W]."
    if isinstance(first, nn.Linear) and re.search(r"shape|size|dim", said):
        return f"Its first linear layer takes {first.in_features} features a row."
    return "Call it on one batch by hand, and read the whole report."


def not_finite(x: torch.Tensor) -> str:
    """Return how many rows of inputs ``[B, ...]`` hold NaN or infinity, and the first of them; or nothing."""
    if not x.is_floating_point() or torch.isfinite(x).all():
        return ""
    bad = (~torch.isfinite(x.flatten(1) if x.ndim > 1 else x[:, None])).any(1).nonzero().flatten()
    return f"{len(bad)} of its {len(x)} rows hold NaN or infinity, first row {int(bad[0])}"


def spoiled(net: nn.Module) -> str | None:
    """Return the name of the first weight or buffer that holds NaN or infinity, or ``None``."""
    values = [*net.named_parameters(), *net.named_buffers()]
    return next((name for name, t in values if t.is_floating_point() and not torch.isfinite(t).all()), None)
