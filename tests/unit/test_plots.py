"""Figures show what they are given, in colors that every reader can tell apart."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from PIL import Image

from tlhelpers import plots
from tlhelpers.stats import Interval, interval

# Okabe & Ito (2008), in the order of their table.
OKABE_ITO = ("#000000", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7")
GRAY = "#6E6E6E"


@pytest.fixture(autouse=True)
def canvas() -> Iterator[None]:
    """Draw in the book's style, without a screen; leave neither figures nor settings behind."""
    plt.switch_backend("agg")
    with mpl.rc_context():
        plots.use_style()
        yield
    plt.close("all")


class TestStyle:
    def test_the_colors_of_the_cycle_are_okabe_itos_and_a_gray(self) -> None:
        colors = plt.rcParams["axes.prop_cycle"].by_key()["color"]
        assert len(set(colors)) == len(colors) == 7
        assert set(colors[:6]) < set(OKABE_ITO) and colors[6] == GRAY

    def test_named_colors_are_okabe_itos_or_the_gray(self) -> None:
        assert set(plots.COLORS.values()) <= {*OKABE_ITO, GRAY}

    def test_strategies_have_different_colors(self) -> None:
        strategies = [plots.COLORS[name] for name in ("scratch", "frozen", "two-stage", "full")]
        assert len(set(strategies)) == 4
        assert plots.COLORS["train"] != plots.COLORS["validation"]

    def test_lines_stand_out_against_the_ground(self) -> None:
        # WCAG 2.2 asks for a contrast of 3 to 1 where color carries meaning.
        def luminance(color: str) -> float:
            linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(color)]
            return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))

        for name in ("scratch", "frozen", "two-stage", "validation"):
            assert 1.05 / (luminance(plots.COLORS[name]) + 0.05) >= 3, name

    def test_a_figure_needs_no_settings_of_its_own(self) -> None:
        figure, _ = plt.subplots()
        assert figure.get_size_inches().tolist() == [5.2, 3.4] and figure.dpi == 160
        assert isinstance(figure.get_layout_engine(), ConstrainedLayoutEngine)
        assert plt.rcParams["savefig.bbox"] == "tight" and plt.rcParams["savefig.dpi"] == 160

    def test_the_ground_is_white_on_screen_and_in_the_file(self) -> None:
        for key in ("figure.facecolor", "savefig.facecolor", "axes.facecolor"):
            assert to_hex(plt.rcParams[key]) == "#ffffff"

    def test_type_is_large(self) -> None:
        for key in ("axes.titlesize", "axes.labelsize", "xtick.labelsize", "ytick.labelsize", "legend.fontsize"):
            assert plt.rcParams[key] >= 11


@pytest.fixture
def runs() -> pd.DataFrame:
    """Two strategies, two label counts, three seeds."""
    rng = np.random.default_rng(0)
    rows = [
        {
            "strategy": strategy,
            "labels": labels,
            "seed": seed,
            "auroc": level + 0.001 * labels + rng.normal(0, 0.01),
        }
        for strategy, level in (("two-stage", 0.8), ("scratch", 0.5))
        for labels in (50, 25)
        for seed in range(3)
    ]
    return pd.DataFrame(rows)


class TestInk:
    @staticmethod
    def contrast(color: str) -> float:
        """Return the contrast with white, by the formula of WCAG 2.2."""
        channels = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
        return 1.05 / (0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05)

    @pytest.mark.parametrize("color", sorted({*plots.COLORS.values(), *plots.CYCLE, "#FFFFFF"}))
    def test_letters_are_legible_on_white(self, color: str) -> None:
        assert self.contrast(plots.ink(color)) > 4.45
        if self.contrast(color) < 4.45:
            assert self.contrast(plots.ink(color)) < 4.8  # no darker than it must be

    @pytest.mark.parametrize("color", ["#000000", "#6e6e6e", "#0072b2"])
    def test_what_is_dark_stays(self, color: str) -> None:
        assert plots.ink(color) == color


class TestBands:
    def test_a_line_is_the_mean_at_each_x(self, runs: pd.DataFrame) -> None:
        ax = plots.bands(runs, "labels", "auroc", "strategy")
        assert [line.get_label() for line in ax.lines] == ["two-stage", "scratch"]
        for line in ax.lines:
            part = runs[runs["strategy"] == line.get_label()]
            assert line.get_xdata().tolist() == [25, 50]
            expected = [part.loc[part["labels"] == labels, "auroc"].mean() for labels in (25, 50)]
            assert np.allclose(line.get_ydata(), expected)

    def test_a_band_is_the_interval_over_seeds(self, runs: pd.DataFrame) -> None:
        ax = plots.bands(runs, "labels", "auroc", "strategy")
        assert len(ax.collections) == 2
        part = runs[(runs["strategy"] == "two-stage") & (runs["labels"] == 50)]
        expected = interval(part["auroc"].to_numpy())
        corners = ax.collections[0].get_paths()[0].vertices
        at_50 = corners[corners[:, 0] == 50, 1]
        assert (at_50.min(), at_50.max()) == pytest.approx((expected.low, expected.high))

    def test_with_a_span_each_row_is_a_mean_with_its_interval(self) -> None:
        rows = pd.DataFrame({"labels": [50, 25], "mean": [0.8, 0.6], "low": [0.7, 0.5], "high": [0.9, 0.65]})
        ax = plots.bands(rows.assign(arm="frozen"), "labels", "mean", "arm", span=("low", "high"))
        assert ax.lines[0].get_ydata().tolist() == [0.6, 0.8]
        corners = ax.collections[0].get_paths()[0].vertices
        assert set(corners[corners[:, 0] == 25, 1]) == {0.5, 0.65}
        with pytest.raises(ValueError, match="two rows at labels=50"):
            plots.bands(pd.concat([rows, rows[:1]]).assign(arm="frozen"), "labels", "mean", "arm",
                        span=("low", "high"))  # fmt: skip

    def test_band_and_name_have_the_color_of_their_line(self, runs: pd.DataFrame) -> None:
        ax = plots.bands(runs, "labels", "auroc", "strategy")
        colors = {line.get_label(): to_hex(line.get_color()).upper() for line in ax.lines}
        assert colors == {name: plots.COLORS[name] for name in ("two-stage", "scratch")}
        assert {text.get_text(): text.get_color() for text in ax.texts} == {
            name: plots.ink(color) for name, color in colors.items()
        }
        bands = [to_hex(band.get_facecolor()[0]).upper() for band in ax.collections]
        assert bands == list(colors.values())

    def test_lines_differ_by_marker_too(self, runs: pd.DataFrame) -> None:
        ax = plots.bands(runs, "labels", "auroc", "strategy")
        assert len({line.get_marker() for line in ax.lines}) == 2

    def test_each_line_is_named_at_its_right_end(self, runs: pd.DataFrame) -> None:
        ax = plots.bands(runs, "labels", "auroc", "strategy")
        for line in ax.lines:
            (text,) = [text for text in ax.texts if text.get_text() == line.get_label()]
            assert text.xy == (50, pytest.approx(line.get_ydata()[-1]))
        assert ax.get_legend() is None

    def test_names_of_lines_that_end_together_do_not_cover_each_other(self, runs: pd.DataFrame) -> None:
        same = [runs[runs["strategy"] == "scratch"].assign(strategy=name) for name in ("a", "b", "c")]
        ax = plots.bands(pd.concat(same), "labels", "auroc", "strategy")
        heights = sorted(ax.transData.transform(text.xy)[1] for text in ax.texts)
        low, high = ax.transData.transform([(0, y) for y in ax.get_ylim()])[:, 1]
        assert np.diff(heights).min() >= 0.05 * (high - low)

    def test_the_order_is_that_asked_for(self, runs: pd.DataFrame) -> None:
        ax = plots.bands(runs, "labels", "auroc", "strategy", order=["scratch", "two-stage"])
        assert [line.get_label() for line in ax.lines] == ["scratch", "two-stage"]
        ax = plots.bands(runs, "labels", "auroc", "strategy", order=["scratch"])
        assert [line.get_label() for line in ax.lines] == ["scratch"]

    def test_other_names_take_the_colors_of_the_cycle(self, runs: pd.DataFrame) -> None:
        other = runs.assign(strategy=runs["strategy"].map({"two-stage": "this", "scratch": "that"}))
        ax = plots.bands(other, "labels", "auroc", "strategy")
        cycle = plt.rcParams["axes.prop_cycle"].by_key()["color"]
        assert [line.get_color() for line in ax.lines] == cycle[:2]

    def test_it_draws_where_it_is_told_or_on_a_new_figure(self, runs: pd.DataFrame) -> None:
        _, ax = plt.subplots()
        assert plots.bands(runs, "labels", "auroc", "strategy", ax=ax) is ax
        other = plots.bands(runs, "labels", "auroc", "strategy")
        assert isinstance(other, Axes) and other.figure is not ax.figure

    @pytest.mark.parametrize("name", ["labels", "auroc", "strategy"])
    def test_a_missing_column_is_named_with_those_that_exist(self, runs: pd.DataFrame, name: str) -> None:
        with pytest.raises(KeyError, match=rf"column\(s\) \['{name}'\] missing; there are \[.*'seed'"):
            plots.bands(runs.drop(columns=name), "labels", "auroc", "strategy")

    def test_any_color_cycle_will_do(self) -> None:
        runs = pd.DataFrame({"n": [1, 1], "y": [0.1, 0.2], "s": ["other", "other"]})
        with plt.rc_context({"axes.prop_cycle": plt.cycler(color=[(0.2, 0.4, 0.6)])}):
            ax = plots.bands(runs, "n", "y", "s")
        assert ax.texts[0].get_color() == "#336699"

    def test_a_group_without_runs_is_named(self) -> None:
        runs = pd.DataFrame({"n": [1, 1], "y": [0.1, 0.2], "s": ["a", "a"]})
        for choice in ({"order": ["a", "b"]}, {"names": {"a": "A", "b": "B"}}):
            with pytest.raises(KeyError, match=r"no run of \['b'\]; there are \['a'\]"):
                plots.bands(runs, "n", "y", "s", **choice)

    def test_names_choose_order_and_label_the_groups(self, runs: pd.DataFrame) -> None:
        names = {"scratch": "from scratch", "two-stage": "two stages"}
        ax = plots.bands(runs, "labels", "auroc", "strategy", names=names)
        assert [line.get_label() for line in ax.lines] == list(names.values())
        assert {text.get_text() for text in ax.texts} == set(names.values())
        ax = plots.bands(runs, "labels", "auroc", "strategy", names=names, order=["two-stage"])
        assert [line.get_label() for line in ax.lines] == ["two stages"]

    def test_colors_and_marks_may_be_told(self, runs: pd.DataFrame) -> None:
        ax = plots.bands(
            runs, "labels", "auroc", "strategy", colors={"scratch": "#000000"}, marks={"scratch": "x:"}
        )
        looks = {
            line.get_label(): (line.get_color(), line.get_marker(), line.get_linestyle()) for line in ax.lines
        }
        assert looks == {"two-stage": (plots.COLORS["two-stage"], "D", "-"), "scratch": ("#000000", "x", ":")}
        ax = plots.bands(runs, "labels", "auroc", "strategy", colors="#123456", marks="--")
        assert {(line.get_color(), line.get_linestyle()) for line in ax.lines} == {("#123456", "--")}

    def test_a_legend_may_name_the_lines(self, runs: pd.DataFrame) -> None:
        ax = plots.bands(runs, "labels", "auroc", "strategy", ends=False)
        assert not ax.texts
        assert ax.get_legend_handles_labels()[1] == ["two-stage", "scratch"]

    def test_a_logarithmic_axis_has_ticks_where_runs_are(self, runs: pd.DataFrame) -> None:
        ax = plots.bands(runs.assign(labels=runs["labels"] * 40), "labels", "auroc", "strategy", log=True)
        assert ax.get_xscale() == "log" and ax.get_xticks().tolist() == [1000, 2000]
        assert [label.get_text() for label in ax.get_xticklabels()] == ["1,000", "2,000"]
        assert len(ax.get_xticks(minor=True)) == 0

    def test_runs_without_a_value_are_left_out(self, runs: pd.DataFrame) -> None:
        gap = runs.assign(auroc=runs["auroc"].where(runs["seed"] > 0))
        line = plots.bands(gap, "labels", "auroc", "strategy").lines[0]
        part = gap[(gap["strategy"] == "two-stage") & (gap["labels"] == 50)]
        assert line.get_ydata()[1] == pytest.approx(part["auroc"].mean())


class TestDots:
    RUNS = {"frozen": [0.7, 0.8, 0.75], "tuned": [0.9, 0.85, 0.8], "other": [0.5, 0.6, float("nan")]}  # noqa: RUF012

    @staticmethod
    def marks(ax: Axes) -> list[tuple[float, float]]:
        """Tell where the means stand."""
        return [tuple(bar.lines[0].get_xydata()[0]) for bar in ax.containers]

    def test_each_run_is_a_pale_dot_in_the_row_of_its_group(self) -> None:
        ax = plots.dots(self.RUNS)
        pale = [line for line in ax.lines if line.get_alpha() is not None]
        assert [line.get_xdata().tolist() for line in pale] == [[0.7, 0.8, 0.75], [0.9, 0.85, 0.8], [0.5, 0.6]]
        assert [set(line.get_ydata()) for line in pale] == [{0}, {1}, {2}]
        assert [text.get_text() for text in ax.get_yticklabels()] == list(self.RUNS)
        assert ax.get_ylim() == (2.5, -0.5), "the first group lies on top"

    def test_a_mark_and_a_bar_are_mean_and_interval(self) -> None:
        ax = plots.dots(self.RUNS)
        expected = [interval(np.array(runs)[~np.isnan(runs)]) for runs in self.RUNS.values()]
        assert self.marks(ax) == [(pytest.approx(i.mean), row) for row, i in enumerate(expected)]
        bars = [bar.lines[2][0].get_segments()[0][:, 0] for bar in ax.containers]
        assert [tuple(ends) for ends in bars] == [pytest.approx((i.low, i.high)) for i in expected]

    def test_names_choose_order_and_label_the_groups(self) -> None:
        ax = plots.dots(self.RUNS, names={"tuned": "all of it", "frozen": "the head"})
        assert [text.get_text() for text in ax.get_yticklabels()] == ["all of it", "the head"]
        assert self.marks(ax)[0][0] == pytest.approx(0.85)
        ax = plots.dots(self.RUNS, names={"tuned": "all of it", "frozen": "the head"}, order=["frozen", "other"])
        assert [text.get_text() for text in ax.get_yticklabels()] == ["the head", "other"]

    def test_groups_have_the_colors_of_the_book_or_those_told(self) -> None:
        def colors(ax: Axes) -> list[str]:
            return [to_hex(bar.lines[0].get_color()).upper() for bar in ax.containers]

        assert colors(plots.dots(self.RUNS)) == [plots.COLORS["frozen"], plots.COLORS["tuned"], plots.CYCLE[0]]
        assert colors(plots.dots(self.RUNS, colors="#123456")) == ["#123456"] * 3
        told = colors(plots.dots(self.RUNS, colors={"other": "#123456"}))
        assert told == [plots.COLORS["frozen"], plots.COLORS["tuned"], "#123456"]

    def test_a_table_with_a_column_a_group_will_do(self) -> None:
        table = pd.DataFrame(self.RUNS)
        assert self.marks(plots.dots(table)) == self.marks(plots.dots(self.RUNS))

    def test_two_calls_share_the_rows(self) -> None:
        ax = plots.dots(self.RUNS, shift=-0.1, label="here", colors="#000000")
        assert plots.dots(self.RUNS, ax, shift=0.1, label="there") is ax
        assert {round(y, 6) for _, y in self.marks(ax)} == {-0.1, 0.9, 1.9, 0.1, 1.1, 2.1}
        assert ax.get_legend_handles_labels()[1] == ["here", "there"]

    def test_columns_instead_of_rows(self) -> None:
        ax = plots.dots(self.RUNS, upright=True, line=0.5)
        assert [text.get_text() for text in ax.get_xticklabels()] == list(self.RUNS)
        assert self.marks(ax) == [(row, x) for x, row in self.marks(plots.dots(self.RUNS))]
        assert [line.get_ydata() for line in ax.lines if line.get_linestyle() == ":"] == [[0.5, 0.5]]

    def test_a_line_is_drawn_where_it_is_wanted(self) -> None:
        dotted = [line for line in plots.dots(self.RUNS, line=0.5).lines if line.get_linestyle() == ":"]
        assert [line.get_xdata() for line in dotted] == [[0.5, 0.5]]
        assert not [line for line in plots.dots(self.RUNS).lines if line.get_linestyle() == ":"]

    def test_a_group_that_is_not_there_is_named(self) -> None:
        with pytest.raises(KeyError, match=r"no run of \['scratch'\]; there are \['frozen', 'tuned', 'other'\]"):
            plots.dots(self.RUNS, order=["frozen", "scratch"])

    def test_a_group_of_one_run_has_no_interval(self) -> None:
        with pytest.raises(ValueError, match="an interval needs two or more runs"):
            plots.dots({"a": [0.5]})


class TestIntervals:
    FOUND = {  # noqa: RUF012
        "more": Interval(0.02, 0.01, 0.03, 5),
        "less": Interval(-0.02, -0.03, -0.01, 5),
        "same": Interval(0.0, -0.02, 0.03, 5),
    }

    def test_each_is_a_bar_in_its_row_also_when_it_is_lopsided(self) -> None:
        ax = plots.intervals(self.FOUND)
        bars = [bar.lines[2][0].get_segments()[0] for bar in ax.containers]
        for row, (ends, i) in enumerate(zip(bars, self.FOUND.values(), strict=True)):
            assert ends.ravel().tolist() == pytest.approx([i.low, row, i.high, row])
        assert [text.get_text() for text in ax.get_yticklabels()] == list(self.FOUND)

    def test_colors_say_on_which_side_of_zero_it_lies(self) -> None:
        ax = plots.intervals(self.FOUND)
        colors = [to_hex(bar.lines[0].get_color()).upper() for bar in ax.containers]
        assert colors == [plots.COLORS[name] for name in ("holds", "fails", "open")] and len(set(colors)) == 3

    def test_zero_is_marked_unless_another_line_is_wanted(self) -> None:
        for line, expected in ((0, [[0, 0]]), (0.5, [[0.5, 0.5]]), (None, [])):
            ax = plots.intervals(self.FOUND, line=line)
            assert [one.get_xdata() for one in ax.lines if one.get_linestyle() == ":"] == expected

    def test_an_interval_that_is_not_there_is_named(self) -> None:
        with pytest.raises(KeyError, match=r"no run of \['none'\]; there are \['more', 'less', 'same'\]"):
            plots.intervals(self.FOUND, names={"none": "None"})


class TestHistory:
    @pytest.fixture
    def found(self) -> pd.DataFrame:
        """What training.fit returns."""
        return pd.DataFrame(
            {
                "epoch": [0, 1, 2, 3],
                "train_loss": [np.nan, 0.6, 0.4, 0.3],
                "val_loss": [0.8, 0.7, 0.5, 0.6],
                "best": [False, False, True, False],
            }
        )

    def test_both_losses_are_drawn_by_epoch(self, found: pd.DataFrame) -> None:
        ax = plots.history(found)
        lines = {line.get_label(): line for line in ax.lines}
        assert list(lines) == ["train", "validation", "kept"]
        for name, column in (("train", "train_loss"), ("validation", "val_loss")):
            assert np.array_equal(lines[name].get_xdata(), [0, 1, 2, 3])
            assert np.array_equal(lines[name].get_ydata(), found[column], equal_nan=True)
            assert lines[name].get_color() == plots.COLORS[name]

    def test_lines_differ_by_more_than_color(self, found: pd.DataFrame) -> None:
        train, validation, _ = plots.history(found).lines
        assert train.get_linestyle() != validation.get_linestyle()

    def test_the_epoch_that_was_kept_is_marked(self, found: pd.DataFrame) -> None:
        kept = plots.history(found).lines[2]
        assert np.array_equal(kept.get_xydata(), [[2, 0.5]])

    def test_axes_and_lines_are_named(self, found: pd.DataFrame) -> None:
        ax = plots.history(found)
        assert ax.get_xlabel() == "epoch" and ax.get_ylabel() == "cross-entropy (nats)"
        legend = ax.get_legend()
        assert legend is not None
        assert [text.get_text() for text in legend.get_texts()] == ["train", "validation", "kept"]

    def test_epochs_are_whole_numbers(self, found: pd.DataFrame) -> None:
        ax = plots.history(found.iloc[:2])
        ax.figure.canvas.draw()
        assert all(float(tick).is_integer() for tick in ax.get_xticks())

    def test_it_draws_where_it_is_told_or_on_a_new_figure(self, found: pd.DataFrame) -> None:
        _, ax = plt.subplots()
        assert plots.history(found, ax=ax) is ax
        assert plots.history(found).figure is not ax.figure


class TestImageGrid:
    @pytest.mark.parametrize(("count", "columns", "rows"), [(1, 4, 1), (4, 4, 1), (5, 4, 2), (6, 2, 3), (3, 1, 3)])
    def test_there_are_as_many_axes_as_rows_and_columns(self, count: int, columns: int, rows: int) -> None:
        images = [Image.new("RGB", (4, 4))] * count
        figure = plots.image_grid(images, [str(i) for i in range(count)], columns=columns)
        assert isinstance(figure, Figure) and len(figure.axes) == rows * columns
        spec = figure.axes[0].get_subplotspec()
        assert spec is not None and spec.get_gridspec().get_geometry() == (rows, columns)

    def test_each_image_stands_under_its_title(self) -> None:
        images = [np.full((3, 2, 3), value, np.uint8) for value in (10, 20, 30)]
        figure = plots.image_grid(images, ["a", "b", "c"], columns=2)
        shown = [(ax.get_title(), ax.images[0].get_array()) for ax in figure.axes[:3]]
        assert [title for title, _ in shown] == ["a", "b", "c"]
        assert all(np.array_equal(values, image) for (_, values), image in zip(shown, images, strict=True))

    def test_places_left_over_are_empty(self) -> None:
        figure = plots.image_grid([Image.new("L", (4, 4))], ["a"], columns=3)
        assert [len(ax.images) for ax in figure.axes] == [1, 0, 0]
        assert not any(ax.axison for ax in figure.axes)

    def test_gray_images_are_shown_in_gray(self) -> None:
        figure = plots.image_grid([Image.new("L", (4, 4))], ["a"])
        assert figure.axes[0].images[0].get_cmap().name == "gray"

    def test_the_side_sets_the_size(self) -> None:
        figure = plots.image_grid([Image.new("L", (4, 4))] * 4, list("abcd"), columns=2, side=2.0)
        assert figure.get_size_inches().tolist() == pytest.approx([4.0, 4.7])

    @pytest.mark.parametrize(("images", "titles"), [(2, 1), (1, 2), (0, 0), (0, 1)])
    def test_each_image_needs_a_title(self, images: int, titles: int) -> None:
        message = f"{images} images and {titles} titles; give as many of both, at least one"
        with pytest.raises(ValueError, match=message):
            plots.image_grid([Image.new("L", (4, 4))] * images, ["a"] * titles)

    def test_gray_is_shown_as_it_is(self) -> None:
        figure = plots.image_grid([np.full((4, 4), 200, np.uint8)], ["bright"], columns=1)
        assert figure.axes[0].images[0].get_clim() == (0, 255)

    def test_images_and_titles_are_taken_in_their_order(self) -> None:
        images = [np.full((2, 2), value, np.uint8) for value in (1, 2, 3)]
        for kind in (iter, tuple, lambda rows: pd.Series(list(rows), index=[2, 0, 1])):
            axes = plots.image_grid(kind(images), kind(["a", "b", "c"])).axes
            assert [(ax.get_title(), int(ax.images[0].get_array()[0, 0])) for ax in axes[:3]] == [
                ("a", 1), ("b", 2), ("c", 3),
            ]  # fmt: skip

    @pytest.mark.parametrize(
        ("images", "titles", "message"),
        [
            ([np.zeros((2, 2))] * 3, "abc", "titles is one string, 'abc'"),
            (Image.new("L", (4, 4)), ["a"], "images is one image; give a list"),
            ([np.zeros((3, 5, 5))], ["a"], r"image 'a' has shape \(3, 5, 5\); .*permute\(1, 2, 0\)"),
            ([np.zeros(4)], ["a"], r"image 'a' has shape \(4,\)"),
        ],
    )
    def test_what_is_no_list_or_no_image_is_named(self, images: object, titles: object, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            plots.image_grid(images, titles)

    def test_there_is_a_column(self) -> None:
        with pytest.raises(ValueError, match="columns=0"):
            plots.image_grid([np.zeros((2, 2))], ["a"], columns=0)


class TestNothingToSay:
    UNKNOWN = Interval(0.8, float("nan"), float("nan"), 3)

    @pytest.mark.parametrize("upright", [True, False])
    def test_a_mean_without_ends_stands_alone_in_gray(self, upright: bool) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            ax = plots.intervals({"one": self.UNKNOWN, "two": Interval(0.5, 0.4, 0.6, 3)}, upright=upright)
            ax.figure.canvas.draw()
        mark = ax.containers[0].lines[0]
        assert mark.get_xydata()[0].tolist() == ([0, 0.8] if upright else [0.8, 0])
        assert to_hex(mark.get_color()).upper() == plots.COLORS["open"]
        bars = [bar.lines[2][0].get_segments()[0].size for bar in ax.containers]
        assert bars == [0, 4]

    def test_what_is_no_interval_is_named(self) -> None:
        with pytest.raises(ValueError, match=r"'one' is 0.8; give intervals"):
            plots.intervals({"one": 0.8})

    def test_runs_come_in_any_container(self) -> None:
        runs = [0.7, 0.8, 0.75]
        for kind in (iter, tuple, np.array, lambda rows: pd.Series(rows, index=[2, 0, 1])):
            ax = plots.dots({"frozen": kind(runs)})
            assert ax.lines[0].get_xdata().tolist() == runs
