"""Figures with one look: Okabe-Ito colors, white card, large type, bands for the seeds."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image

from tlhelpers import measures

# Okabe & Ito (2008), told apart by readers with any kind of color vision.
COLORS = {
    "frozen": "#6E6E6E",
    "tuned": "#0072B2",
    "new": "#009E73",
    "scratch": "#D55E00",
    "full": "#CC79A7",
    "full-fast": "#E69F00",
    "two-stage": "#0072B2",
    "train": "#E69F00",
    "validation": "#0072B2",
}
CYCLE = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#6E6E6E"]
_MARKERS = {"scratch": "s", "frozen": "o", "two-stage": "D", "full": "^", "full-fast": "v"}


def use_style() -> None:
    """Set matplotlib's defaults for the book: white ground, so that a figure reads the same in dark mode."""
    plt.rcParams.update(
        {
            "figure.figsize": (7.0, 4.2),
            "figure.dpi": 110,
            "savefig.dpi": 110,
            "savefig.bbox": "tight",
            "figure.facecolor": "white",
            "savefig.facecolor": "white",
            "axes.facecolor": "white",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.color": "#DDDDDD",
            "grid.linewidth": 0.7,
            "axes.axisbelow": True,
            "axes.titlesize": 13,
            "axes.titlelocation": "left",
            "axes.labelsize": 12,
            "xtick.labelsize": 11,
            "ytick.labelsize": 11,
            "legend.fontsize": 11,
            "legend.frameon": False,
            "lines.linewidth": 2.2,
            "axes.prop_cycle": cycler(color=CYCLE),
            "font.family": "DejaVu Sans",
        }
    )


def bands(
    runs: pd.DataFrame, x: str, y: str, by: str, ax: Axes | None = None, order: Sequence[str] | None = None
) -> Axes:
    """Draw one line a group of ``by``: the mean of ``y`` at each ``x`` with its 95 % interval over seeds.

    Each line is named at its right end, so that no legend has to be matched by color.

    Args:
        runs: one row a run.
        ax: where to draw; a new figure when ``None``.
        order: groups to draw, from back to front.

    Raises:
        KeyError: when a column is missing, or ``order`` names a group that has no run.
    """
    missing = [name for name in (x, y, by) if name not in runs]
    if missing:
        raise KeyError(f"column(s) {missing} missing; there are {list(runs.columns)}.")
    groups = list(dict.fromkeys(runs[by]))
    unknown = [name for name in order or [] if name not in groups]
    if unknown:
        raise KeyError(f"no run of {unknown} in column {by!r}; there are {groups}.")
    ax = ax if ax is not None else plt.subplots()[1]
    ends = []
    for name in order if order is not None else groups:
        part = runs[runs[by] == name].groupby(x)[y].apply(lambda v: measures.interval(v.to_numpy()))
        color = COLORS.get(name)
        at = part.index.to_numpy()
        (line,) = ax.plot(at, [i.mean for i in part], color=color, marker=_MARKERS.get(name, "o"), label=name)
        ax.fill_between(
            at, [i.low for i in part], [i.high for i in part], color=line.get_color(), alpha=0.16, linewidth=0
        )
        ends.append((part.iloc[-1].mean, at[-1], name, to_hex(line.get_color())))
    _name_ends(ax, ends)
    return ax


def _name_ends(ax: Axes, ends: list[tuple[float, float, str, str]]) -> None:
    low, high = ax.get_ylim()
    gap = 0.06 * (high - low)
    placed = -np.inf
    for height, at, name, color in sorted(ends):
        placed = max(height, placed + gap)
        ax.annotate(
            name,
            (at, placed),
            xytext=(8, 0),
            textcoords="offset points",
            color=color,
            va="center",
            fontweight="bold",
            annotation_clip=False,
        )


def history(runs: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw training and validation loss by epoch, with the epoch that was kept marked.

    Args:
        runs: what :func:`tlhelpers.training.fit` returned.
    """
    ax = ax if ax is not None else plt.subplots()[1]
    for column, name, style in (("train_loss", "train", "--"), ("val_loss", "validation", "-")):
        ax.plot(runs["epoch"], runs[column], style, color=COLORS[name], label=name, marker="o", markersize=4)
    kept = runs[runs["best"]]
    ax.plot(
        kept["epoch"], kept["val_loss"], "o", color=COLORS["validation"], markersize=12, fillstyle="none",
        label="kept",
    )  # fmt: skip
    ax.set(xlabel="epoch", ylabel="cross-entropy (nats)")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend()
    return ax


def grid_of_images(
    images: Sequence[Image.Image | np.ndarray], titles: Sequence[str], columns: int = 4, side: float = 1.7
) -> Figure:
    """Draw images in a grid, each under its title.

    Raises:
        ValueError: when there are not as many titles as images, or none.
    """
    if not len(images) or len(images) != len(titles):
        raise ValueError(f"{len(images)} images and {len(titles)} titles; give as many of both, at least one.")
    rows = -(-len(images) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(side * columns, (side + 0.35) * rows), squeeze=False)
    for ax in axes.flat:
        ax.axis("off")
    for ax, image, title in zip(axes.flat, images, titles, strict=False):
        values = np.asarray(image)
        # Without limits matplotlib would stretch the contrast of each gray image by itself.
        limits = {"vmin": 0, "vmax": 255} if values.dtype == np.uint8 else {}
        ax.imshow(values, cmap="gray", **limits)
        ax.set_title(title, fontsize=11, loc="center")
    figure.tight_layout()
    return figure
