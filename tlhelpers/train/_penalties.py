"""Keep what a network knew while it learns something else: two penalties, a pull beside the loss, and rehearsal.

Forgetting is loss of performance on the *source* task (McCloskey & Cohen 1989); measure it there. Each penalty is
a number to add to the loss, a function of weights alone: ``loss + ewc(net, start, importance, strength)``, or
``train.fit(..., penalty=lambda: ewc(...))``. :func:`pull_back` moves the weights themselves, after each step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle
from tqdm import tqdm

from tlhelpers._machine import device_of
from tlhelpers.models._backbones import evaluating
from tlhelpers.train._batches import (
    as_tensor,
    asked,
    in_type_of,
    label_fault,
    not_finite,
    output_fault,
    range_fault,
    refused,
)
from tlhelpers.train._guards import optimizer_fault

Weights = dict[str, torch.Tensor]
"""Tensors by the name of a parameter, shaped as it is."""


def snapshot(net: nn.Module) -> Weights:
    """Return a copy of each parameter of ``net`` that is trained, detached: where the penalties pull back to."""
    return {name: p.detach().clone() for name, p in net.named_parameters() if p.requires_grad}


def fisher(net: nn.Module, x: torch.Tensor, y: torch.Tensor | None = None, seed: int = 0) -> Weights:
    """Return the diagonal of the Fisher information: how much each trained weight matters to what ``net`` says.

    ``F_i = mean over x of (d log p(label | x) / d w_i) ** 2``, the squared gradient of each example by itself; the
    square of a batch's mean gradient is something else, and near zero once the batch is learned.

    Without ``y`` each label is drawn from the network's own ``p(. | x)``, one an example: an unbiased estimate
    of the true Fisher information, which Kirkpatrick et al. (2017), "Overcoming catastrophic forgetting in neural
    networks", need. With the observed labels it is the *empirical* Fisher, which vanishes where a network fits
    its labels perfectly (Kunstner et al. 2019, "Limitations of the empirical Fisher approximation").

    The network is in eval mode meanwhile, back in its former mode after; a running ``.grad`` is left alone.

    Args:
        net: gives logits ``[B, C]`` for inputs ``[B, ...]``.
        x: source examples ``[N, ...]``.
        y: their labels ``[N]``, for the empirical Fisher.
        seed: of the drawn labels.

    Returns:
        One tensor of numbers that are zero or more for each trained parameter, by name.

    Raises:
        ValueError: when there is no example, one is not finite, labels are not as many or no class indices, the
            outputs are not logits of two classes or more, or no parameter is trained.
    """
    x = as_tensor(x, "examples")
    y = None if y is None else as_tensor(y, "labels")
    trained = {name: p for name, p in net.named_parameters() if p.requires_grad}
    if not len(x) or (y is not None and len(y) != len(x)):
        raise ValueError(f"{len(x)} examples and {'no' if y is None else len(y)} labels; one label each.")
    if not trained:
        raise ValueError("no parameter is trained, so none can be held; unfreeze a part first.")
    if y is not None and (fault := label_fault(y)):
        raise refused(fault)
    if rows := not_finite(x):
        raise ValueError(f"examples: {rows}; look at the files of these rows.")
    device, generator = device_of(net), torch.Generator().manual_seed(seed)
    information = {name: torch.zeros_like(p) for name, p in trained.items()}
    with evaluating(net):
        for i in tqdm(range(len(x)), desc="Fisher information", leave=False):
            out = asked(net, in_type_of(net, x[i : i + 1].to(device)), f"example {i}")
            if fault := output_fault(out, 1) or (
                range_fault(y, out.shape[1]) if y is not None and not i else None
            ):
                raise refused(fault)
            log_p = out[0].log_softmax(dim=0)
            drawn = torch.multinomial(log_p.detach().exp().cpu(), 1, generator=generator).item()
            label = int(drawn if y is None else y[i])
            slopes = torch.autograd.grad(log_p[label], list(trained.values()), allow_unused=True)
            for name, slope in zip(trained, slopes, strict=True):
                if slope is not None:  # a part that this output does not use, such as another head
                    information[name] += slope.detach() ** 2 / len(x)
    return information


def ewc(net: nn.Module, start: Weights, importance: Weights, strength: float) -> torch.Tensor:
    """Return the elastic weight consolidation penalty, a number that has a gradient.

    ``strength / 2 * sum_i F_i (w_i - start_i) ** 2`` over the weights in ``start`` (Kirkpatrick et al. 2017): a
    spring at each weight, stiff where the source task needs it. It is the quadratic approximation of the source
    loss around ``start``, so ``start`` must be a minimum of that. Adam and its kin rescale the gradient of a
    spring; :func:`pull_back` is the form that they leave alone.

    Args:
        start: what :func:`snapshot` returned before tuning.
        importance: what :func:`fisher` returned on source data, by the same names.
        strength: 0 or more; useful values are large where the entries of ``importance`` are small.

    Raises:
        ValueError: for a negative strength, no weight in ``start``, one of another shape or elsewhere, or one that
            is the network's own, as in ``net.state_dict()``.
        KeyError: when ``net`` or ``importance`` lacks a weight of ``start``, or that is no weight.
    """
    if not importance:
        raise ValueError("importance holds nothing; give what fisher returned, or use l2sp, which needs none.")
    return _springs(net, start, strength, importance)


def l2sp(
    net: nn.Module, start: Weights, strength: float, new_strength: float = 0.0, new: tuple[str, ...] = ()
) -> torch.Tensor:
    """Return the L2-SP penalty, a number that has a gradient: weight decay toward the start, not toward zero.

    ``strength / 2 * sum_i (w_i - start_i) ** 2 + new_strength / 2 * sum_j w_j ** 2`` (Xuhong Li et al. 2018,
    "Explicit Inductive Bias for Transfer Learning with Convolutional Networks"): ``i`` over the weights in
    ``start``, ``j`` over those of a new head, which have no start to return to. It needs no source data. With
    Adam and its kin see :func:`pull_back`.

    Args:
        start: what :func:`snapshot` returned before tuning, without the new head.
        strength, new_strength: alpha and beta of the paper, 0 or more.
        new: names of the parameters that are new.

    Raises:
        ValueError: as :func:`ewc`.
        KeyError: when ``net`` lacks a named weight.
    """
    total = _springs(net, start, strength, None)
    new = (new,) if isinstance(new, str) else tuple(new)
    if not new_strength >= 0:
        raise ValueError(f"new_strength={new_strength}; a penalty's strength is 0 or more.")
    if new_strength and not new:
        raise ValueError(f"new_strength={new_strength} and no name in new, so it would hold nothing; name them.")
    if new:
        now = dict(net.named_parameters())
        if absent := [name for name in new if name not in now]:
            raise KeyError(
                f"the network has no weight {absent[0]!r}; it has {', '.join(list(now)[-4:])}, among others."
            )
        total = total + new_strength / 2 * torch.stack([(now[name] ** 2).sum() for name in new]).sum()
    return total


def pull_back(
    net: nn.Module,
    optimizer: torch.optim.Optimizer,
    start: Weights,
    strength: float,
    importance: Weights | None = None,
) -> RemovableHandle:
    """Pull the weights of ``net`` toward ``start`` after each step of ``optimizer``, until the pull is removed.

    ``w <- w - min(1, lr * strength * importance) * (w - start)``: the springs of :func:`l2sp`, or with
    ``importance`` those of :func:`ewc`, outside of the loss. Inside, Adam divides the gradient of a spring, like
    the rest, by the root of its second moment: where the gradients of the loss are large, the same spring pulls
    less. Weight decay had this fault, and AdamW is its cure (Loshchilov & Hutter 2019, "Decoupled Weight Decay
    Regularization"); here the decay is toward the start. With plain SGD both forms agree at small rates.

    The strength is another number than in the loss, so search it anew. A step of Adam is about ``lr``, so that a
    weight rests within about ``1 / (strength * importance)`` of its start, whatever the scale of the loss.

    ``lr`` is that of the weight's own group at that step. A weight that the step left alone, as it is frozen or
    has no gradient, stays where it is. So does each weight that ``start`` does not hold: leave a new head out.

    Args:
        net: the network, where it will be trained.
        optimizer: holds weights of ``net``; a group that is added later is pulled, too.
        start: what :func:`snapshot` returned before tuning, tensors shaped as the weights of these names.
        strength: 0 or more.
        importance: what :func:`fisher` returned on source data, by the same names; ``None`` pulls all alike.

    Returns:
        A handle: ``handle.remove()`` ends the pull, and so does the end of ``with pull_back(...):``. A second call
        pulls a second time.

    Raises:
        ValueError: as :func:`ewc`; when ``importance`` holds a number that is negative or not finite, or the
            optimizer is none, or holds no weight of ``start``.
        KeyError: as :func:`ewc`.
    """
    if fault := optimizer_fault(optimizer):
        raise refused(fault)
    now = _held(net, start, strength, importance)
    springs = {}
    for name, old in start.items():
        w = now[name]
        stiff = w.new_ones(()) if importance is None else importance[name]
        if not (torch.isfinite(stiff) & (stiff >= 0)).all():
            raise ValueError(
                f"importance of {name!r} runs from {stiff.min():g} to {stiff.max():g}; give finite numbers of 0 "
                "or more, as fisher returns them: below 0 a weight would be pushed away."
            )
        springs[id(w)] = (old.to(w.dtype), stiff)
    if not any(id(w) in springs for group in optimizer.param_groups for w in group["params"]):
        raise ValueError(
            f"the optimizer holds none of the {len(start)} weight(s) of start, first {next(iter(start))!r}, so "
            "none would be pulled; make it from net.parameters(), of this network and not of a copy."
        )

    @torch.no_grad()
    def pull(*_: object) -> None:
        for group in optimizer.param_groups:
            for w in group["params"]:
                if id(w) in springs and w.requires_grad and w.grad is not None:
                    old, stiff = springs[id(w)]
                    share = (float(group["lr"]) * strength * stiff).clamp(max=1)
                    w.lerp_(old, share.to(w.dtype))

    return optimizer.register_step_post_hook(pull)


def _springs(
    net: nn.Module, start: Mapping[str, torch.Tensor], strength: float, stiff: Mapping[str, torch.Tensor] | None
) -> torch.Tensor:
    now = _held(net, start, strength, stiff)
    terms = [
        ((now[name] - old) ** 2 * (1.0 if stiff is None else stiff[name])).sum() for name, old in start.items()
    ]
    return strength / 2 * torch.stack(terms).sum()


def _held(
    net: nn.Module, start: Mapping[str, torch.Tensor], strength: float, stiff: Mapping[str, torch.Tensor] | None
) -> dict[str, nn.Parameter]:
    """Return the parameters of ``net`` by name, once a start, a strength and the stiffness fit them."""
    if not 0 <= strength < math.inf:
        raise ValueError(f"strength={strength}; a penalty's strength is a finite number, 0 or more.")
    if not start:
        raise ValueError(
            "start holds no weight, so nothing would be held; take the snapshot with some part unfrozen."
        )
    now = dict(net.named_parameters())
    buffers = dict(net.named_buffers())
    if counted := [name for name in start if name in buffers]:
        raise KeyError(
            f"start holds {counted[0]!r}, which is counted, not trained; take snapshot(net), not net.state_dict()."
        )
    if shared := [name for name, old in start.items() if name in now and old.data_ptr() == now[name].data_ptr()]:
        raise ValueError(
            f"{shared[0]!r} of start is the network's own weight and moves along with it, so the penalty would "
            "stay 0; take snapshot(net), which copies."
        )
    if absent := [name for name in start if name not in now or (stiff is not None and name not in stiff)]:
        raise KeyError(
            f"{len(absent)} weight(s) of the start are missing in the network or in its Fisher information, first "
            f"{absent[0]!r}; take snapshot and Fisher from the network that you tune, with the same parts frozen."
        )
    for name, old in start.items():
        for what, value in (("start", old), ("importance", old if stiff is None else stiff[name])):
            if value.shape != now[name].shape or value.device != now[name].device:
                raise ValueError(
                    f"{name!r} has shape {tuple(value.shape)} on {value.device} in {what} and "
                    f"{tuple(now[name].shape)} on {now[name].device} in the network; take {what} from this "
                    "network, where it lies now, and leave a new head out."
                )
    return now


def rehearsed(size: int, share: float) -> int:
    """Return how many source examples join ``size`` target examples so that they are ``share`` of the batch.

    Raises:
        ValueError: when the share is not in [0, 1), or the size is negative.
    """
    if not size >= 0:
        raise ValueError(f"size={size}; give the number of target examples in a batch.")
    if not 0 <= share < 1:
        raise ValueError(f"share={share}; give the share of source examples in a batch, from 0 to below 1.")
    return round(size * share / (1 - share))


def replay(
    x: torch.Tensor, y: torch.Tensor, count: int, seed: int
) -> Callable[[], tuple[torch.Tensor, torch.Tensor]]:
    """Return a function that draws ``count`` source examples ``(x [count, ...], y [count])`` at each call.

    Rehearsal (Robins 1995, "Catastrophic forgetting, rehearsal and pseudorehearsal"): add their loss to that
    of the target's batch. All examples come once before any comes again.

    Raises:
        ValueError: when there is no source example, labels are not as many, or ``count`` is below 1.
    """
    x, y = as_tensor(x, "examples"), as_tensor(y, "labels")
    if not len(x) or len(x) != len(y) or count < 1:
        raise ValueError(f"count={count} of {len(x)} source examples with {len(y)} labels; give 1 or more.")
    order = _endless(len(x), seed)

    def draw() -> tuple[torch.Tensor, torch.Tensor]:
        chosen = torch.tensor([next(order) for _ in range(count)])
        return x[chosen], y[chosen]

    return draw


def _endless(size: int, seed: int) -> Iterator[int]:
    generator = torch.Generator().manual_seed(seed)
    while True:
        yield from torch.randperm(size, generator=generator).tolist()
