"""Figures with one look: Okabe-Ito colors, white card, large type, bands and bars for the seeds.

Groups are drawn in the ``order`` told, or that of ``names``, which holds their labels, or as they come. ``colors``
and ``marks`` are one for all groups, or a mapping for some.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image

from tlhelpers._rows import in_order
from tlhelpers.stats import Interval, interval

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
    "holds": "#009E73",
    "fails": "#D55E00",
    "open": "#6E6E6E",
}
CYCLE = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#6E6E6E"]
_MARKS = {"scratch": "s-", "two-stage": "D-", "full": "^-", "full-fast": "v-"}
Choice = str | Mapping[str, str] | None


def use_style() -> None:
    """Set matplotlib's defaults for the book: white ground, so that a figure reads the same in dark mode."""
    plt.rcParams.update({
        "figure.figsize": (5.2, 3.4), "figure.dpi": 160, "savefig.dpi": 160, "savefig.bbox": "tight",
        "figure.constrained_layout.use": True,
        "figure.facecolor": "white", "savefig.facecolor": "white", "axes.facecolor": "white",
        "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "axes.axisbelow": True,
        "grid.color": "#DDDDDD", "grid.linewidth": 0.7,
        "axes.titlesize": 13, "axes.titlelocation": "left", "axes.labelsize": 12,
        "xtick.labelsize": 11, "ytick.labelsize": 11, "legend.fontsize": 11, "legend.frameon": False,
        "lines.linewidth": 2.2, "axes.prop_cycle": cycler(color=CYCLE), "font.family": "DejaVu Sans",
    })  # fmt: skip


def bands(
    runs: pd.DataFrame,
    x: str,
    y: str,
    by: str,
    ax: Axes | None = None,
    *,
    order: Sequence[str] | None = None,
    names: Mapping[str, str] | None = None,
    colors: Choice = None,
    marks: Choice = None,
    log: bool = False,
    ends: bool = True,
    span: tuple[str, str] | None = None,
) -> Axes:
    """Draw one line a group of ``by``: the mean of ``y`` at each ``x`` with its 95 % interval over seeds.

    Args:
        runs: one row a run; rows without ``y`` are left out.
        ax: where to draw; a new figure when ``None``.
        order: groups to draw, from back to front.
        names: labels of groups.
        colors: of the lines.
        marks: markers and dashes as matplotlib writes them, such as ``"s:"``.
        log: a logarithmic axis with a tick at each ``x``, and at no other place.
        ends: name each line at its right end, so that no legend has to be matched by color.
        span: columns with the ends of an interval, where each row is a mean already, as in table ``contrasts``.

    Raises:
        ValueError: when ``span`` is given and a group has two rows at one ``x``.
        KeyError: when a column is missing, or ``order`` or ``names`` tells of a group that has no run.
    """
    if missing := [name for name in (x, y, by, *(span or ())) if name not in runs]:
        raise KeyError(f"column(s) {missing} missing; there are {list(runs.columns)}.")
    ax = _axes(ax)
    right = []
    for group, name in _labels(dict.fromkeys(runs[by]), order, names).items():
        means = _means(runs[runs[by] == group].dropna(subset=y), x, y, span)
        color, mark = _pick(colors, group, COLORS.get(group, "")), _pick(marks, group, _MARKS.get(group, "o-"))
        (line,) = ax.plot(means.index, [i.mean for i in means], mark, color=color or None, label=name)
        low, high = [i.low for i in means], [i.high for i in means]
        ax.fill_between(means.index, low, high, color=line.get_color(), alpha=0.16, linewidth=0)
        right.append((means.iloc[-1].mean, means.index[-1], name, to_hex(line.get_color())))
    if log:
        ticks = sorted(runs[x].unique())
        ax.set_xscale("log")
        ax.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
        ax.minorticks_off()
    if ends:
        _name_ends(ax, right)
    return ax


def ink(color: str) -> str:
    """Return a color, darkened until letters of it are legible on white: a contrast of 4.5, as WCAG 2.2 asks."""
    rgb = np.array(to_rgb(color))
    for darker in np.linspace(1, 0, 101):
        linear = np.where(rgb * darker <= 0.04045, rgb * darker / 12.92, ((rgb * darker + 0.055) / 1.055) ** 2.4)
        if 1.05 / (linear @ (0.2126, 0.7152, 0.0722) + 0.05) >= 4.5:
            break
    return to_hex(rgb * darker)


def _means(part: pd.DataFrame, x: str, y: str, span: tuple[str, str] | None) -> pd.Series:
    """Return an interval for each ``x``, over its runs or as the row has it."""
    if span is None:
        return part.groupby(x)[y].apply(lambda v: interval(v.to_numpy()))
    rows = part.set_index(x).sort_index()
    if not rows.index.is_unique:
        twice = rows.index[rows.index.duplicated()][0]
        raise ValueError(f"two rows at {x}={twice}; with span each row is a mean, so give one.")
    columns = (rows[name] for name in (y, *span))
    spans = [Interval(mean, low, high, 0) for mean, low, high in zip(*columns, strict=True)]
    return pd.Series(spans, rows.index)


def _name_ends(ax: Axes, ends: list[tuple[float, float, str, str]]) -> None:
    low, high = ax.get_ylim()
    gap = 0.06 * (high - low)
    placed = -np.inf
    for height, at, name, color in sorted(ends):
        placed = max(height, placed + gap)
        ax.annotate(
            name, (at, placed), xytext=(8, 0), textcoords="offset points", color=ink(color), va="center",
            fontweight="bold", annotation_clip=False,
        )  # fmt: skip


def dots(
    runs: Mapping[str, Iterable[float]] | pd.DataFrame,
    ax: Axes | None = None,
    *,
    order: Sequence[str] | None = None,
    names: Mapping[str, str] | None = None,
    colors: Choice = None,
    marks: Choice = "D",
    line: float | None = None,
    shift: float = 0,
    label: str | None = None,
    upright: bool = False,
) -> Axes:
    """Draw one row a group: its runs as pale dots, and their mean with its 95 % interval.

    Args:
        runs: values by group, as a mapping or a table with a column a group; missing values are left out.
        ax: where to draw; a new figure when ``None``.
        order: groups to draw, from top to bottom.
        names: labels of groups.
        colors: by default that of the group in :data:`COLORS`, else blue.
        marks: markers of the means.
        line: where to draw a dotted line, such as at zero or at chance.
        shift: moves the dots within their rows, so that several calls can share the rows.
        label: of all groups, for ``ax.legend()``.
        upright: draw columns instead of rows.

    Raises:
        KeyError: when ``order`` or ``names`` tells of a group that is not there.
    """
    ax = _axes(ax)
    names = _labels(runs, order, names)
    colors = {group: _pick(colors, group, COLORS.get(group, CYCLE[0])) for group in names}
    means = {}
    for row, group in enumerate(names):
        values = np.asarray(in_order(runs[group], f"runs of {group!r}"), dtype=float)
        values = values[~np.isnan(values)]
        means[group] = interval(values)
        place = np.full(len(values), row + shift)
        across = (place, values) if upright else (values, place)
        ax.plot(*across, "o", color=colors[group], alpha=0.3, markersize=7, markeredgewidth=0)
    return intervals(
        means, ax, names=names, colors=colors, marks=marks, line=line, shift=shift, label=label, upright=upright
    )


def intervals(
    differences: Mapping[str, Interval],
    ax: Axes | None = None,
    *,
    order: Sequence[str] | None = None,
    names: Mapping[str, str] | None = None,
    colors: Choice = None,
    marks: Choice = "D",
    line: float | None = 0,
    shift: float = 0,
    label: str | None = None,
    upright: bool = False,
) -> Axes:
    """Draw one interval a row around its mean: a forest plot, by default with a dotted line at zero.

    Where an interval has no ends, as nothing can be said of them, its mean stands alone, in gray.

    Args:
        differences: intervals by name.
        colors: by default green above zero, orange below, gray where the interval holds zero.

    The other arguments and errors are those of :func:`dots`.
    """
    ax = _axes(ax)
    names = _labels(differences, order, names)
    if line is not None:
        (ax.axhline if upright else ax.axvline)(line, color="#333333", linestyle=":", linewidth=1.4, zorder=1)
    for row, group in enumerate(names):
        i = differences[group]
        if not isinstance(i, Interval):
            raise ValueError(f"{group!r} is {i!r}; give intervals, such as tl.stats.interval returns.")
        reach = [[i.mean - i.low], [i.high - i.mean]]
        color, mark = _pick(colors, group, COLORS[i.verdict]), _pick(marks, group, "D")
        ax.errorbar(
            *((row + shift, i.mean) if upright else (i.mean, row + shift)),
            xerr=None if upright else reach, yerr=reach if upright else None,
            fmt=mark, color=color, capsize=5, markersize=7, label=None if row else label,
        )  # fmt: skip
    axis, ends = (ax.xaxis, (-0.5, len(names) - 0.5)) if upright else (ax.yaxis, (len(names) - 0.5, -0.5))
    axis.set_ticks(range(len(names)), labels=list(names.values()))
    (ax.set_xlim if upright else ax.set_ylim)(ends)
    return ax


def _axes(ax: Axes | None) -> Axes:
    return ax if ax is not None else plt.subplots()[1]


def _labels(there: Iterable[str], order: Sequence[str] | None, names: Mapping[str, str] | None) -> dict[str, str]:
    groups = list(there)
    chosen = list(order or names or groups)
    if unknown := [group for group in chosen if group not in groups]:
        raise KeyError(f"no run of {unknown}; there are {groups}.")
    return {group: (names or {}).get(group, group) for group in chosen}


def _pick(choice: Choice, group: str, otherwise: str) -> str:
    return choice if isinstance(choice, str) else (choice or {}).get(group, otherwise)


def history(runs: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw training and validation loss by epoch, with the epoch that was kept marked.

    Args:
        runs: what :func:`tlhelpers.train.fit` returned.
    """
    ax = _axes(ax)
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


def image_grid(
    images: Iterable[Image.Image | np.ndarray], titles: Iterable[str], columns: int = 4, side: float = 1.7
) -> Figure:
    """Draw images in a grid, each under its title.

    Args:
        images: pictures, or arrays ``[H, W]``, ``[H, W, 3]`` or ``[H, W, 4]``, in any container; they are taken in
            their order, and titles likewise.

    Raises:
        ValueError: when there are not as many titles as images, none, or no column; or when an image has another
            shape.
    """
    if isinstance(images, Image.Image):
        raise ValueError("images is one image; give a list, as [image].")
    images, titles = in_order(images, "images"), in_order(titles, "titles")
    if columns < 1:
        raise ValueError(f"columns={columns}; give 1 or more.")
    if not len(images) or len(images) != len(titles):
        raise ValueError(f"{len(images)} images and {len(titles)} titles; give as many of both, at least one.")
    rows = -(-len(images) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(side * columns, (side + 0.35) * rows), squeeze=False)
    for ax in axes.flat:
        ax.axis("off")
    for ax, image, title in zip(axes.flat, images, titles, strict=False):
        values = np.asarray(image)
        if not (values.ndim == 2 or (values.ndim == 3 and values.shape[2] in (1, 3, 4))):
            first = " Channels stand first: .permute(1, 2, 0)." if values.ndim == 3 else ""
            raise ValueError(f"image {title!r} has shape {values.shape}; give [H, W] or [H, W, 3].{first}")
        # Without limits matplotlib would stretch the contrast of each gray image by itself.
        limits = {"vmin": 0, "vmax": 255} if values.dtype == np.uint8 else {}
        ax.imshow(values, cmap="gray", **limits)
        ax.set_title(title, fontsize=11, loc="center")
    return figure
