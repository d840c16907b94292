"""Rows come in their order, once; groups are compared whole; what is missing is told by row."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from tlhelpers import _rows

HOLDERS: dict[str, Callable[[list[Any]], Iterable[Any]]] = {
    "list": list,
    "tuple": tuple,
    "array": np.array,
    "objects": lambda values: np.array(values, dtype=object),
    "generator": lambda values: (value for value in values),
    "shuffled index": lambda values: pd.Series(values, index=np.random.default_rng(0).permutation(len(values))),
    "index with holes": lambda values: pd.Series(values, index=[7 * i % 5 for i in range(len(values))]),
    "pandas index": pd.Index,
    "dict values": lambda values: dict(enumerate(values)).values(),
}


@pytest.mark.parametrize("holder", HOLDERS.values(), ids=HOLDERS)
class TestOrder:
    """A container is read in its order, not by its index."""

    def test_of_values(self, holder: Callable[[list[Any]], Iterable[Any]]) -> None:
        assert _rows.in_order(holder(["d", "a", "c", "b"]), "texts") == ["d", "a", "c", "b"]

    def test_of_labels(self, holder: Callable[[list[Any]], Iterable[Any]]) -> None:
        assert _rows.class_numbers(holder([2, 0, 1, 0]), 4, "xyz", "images").tolist() == [2, 0, 1, 0]

    def test_of_groups(self, holder: Callable[[list[Any]], Iterable[Any]]) -> None:
        assert _rows.identities(holder([1.2, 1.1, 2.1, 1.1])).tolist() == [1, 0, 2, 0]

    def test_of_positions_and_masks(self, holder: Callable[[list[Any]], Iterable[Any]]) -> None:
        assert _rows.positions(holder([3, 1]), 4).tolist() == [3, 1]
        assert _rows.positions(holder([False, True, False, True]), 4).tolist() == [1, 3]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ("a sentence", "one string"),
        (b"a sentence", "one string"),
        ({"a": 1}, "dict"),
        ({"a", "b"}, "set"),
        (pd.DataFrame({"text": ["a"], "other": ["b"]}), r"table with columns \['text', 'other'\]"),
        (5, "int, one thing"),
        (None, "NoneType, one thing"),
        (np.array(5), "ndarray, one thing"),
    ],
)
def test_what_has_no_rows_is_refused(values: Any, kind: str) -> None:
    with pytest.raises(ValueError, match=f"texts is an? {kind}|texts is {kind}"):
        _rows.in_order(values, "texts")


class TestPositions:
    """Which rows are meant."""

    def test_none_are_wanted(self) -> None:
        assert _rows.positions([], 3).tolist() == _rows.positions(np.zeros(0), 3).tolist() == []

    @pytest.mark.parametrize(
        ("indices", "message"),
        [
            ([1.0], "indices are float64"),
            (["1"], "indices are <U1"),
            ([[0, 1]], r"shape \(1, 2\)"),
            ([-1], "index -1 names no row; there are 4, counted from 0"),
            ([0, 4], "index 4 names no row"),
            ([True, False], r"mask has shape \(2,\), but there are 4 rows"),
        ],
    )
    def test_what_names_no_row_is_told(self, indices: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            _rows.positions(indices, 4)


class TestClassNumbers:
    """Labels are the numbers of classes."""

    @pytest.mark.parametrize(
        "labels",
        [
            torch.tensor([0, 1]),
            [torch.tensor(0), torch.tensor(1)],
            pd.array([0, 1], dtype="Int64"),
            np.array([0, 1], np.uint8),
            pd.Categorical([0, 1]),
        ],
    )
    def test_whole_numbers_of_any_kind_are_taken(self, labels: Any) -> None:
        found = _rows.class_numbers(labels, 2, ("no", "yes"), "texts")
        assert found.dtype == np.int64 and found.tolist() == [0, 1]

    @pytest.mark.parametrize(
        ("labels", "message"),
        [
            ([0, "spam"], r"label of row 1 is 'spam' \(str\).*np.unique\(names, return_inverse=True\)"),
            ([0.0, 1.0], r"label of row 0 is 0.0 \(float\).*astype\(int\)"),
            ([True, False], r"label of row 0 is True \(bool\).*astype\(int\)"),
            ([0, None], "label of row 1 is missing"),
            ([0, float("nan")], "label of row 1 is missing"),
            (pd.array([0, None], dtype="Int64"), "label of row 1 is missing"),
            ([1, 2], "label 2 of row 1 names no class; there are 2, numbered from 0.*counted from 1"),
            ([-1, 1], r"label -1 of row 0 names no class.*\(labels \+ 1\) // 2"),
            ([0, -3], "label -3 of row 1 names no class"),
            (np.zeros((2, 1), int), r"reshape\(-1\)"),
            (np.eye(2, dtype=int), r"argmax\(1\)"),
            ([0, 1, 1], r"labels have shape \(3,\), but there are 2 texts"),
            (0, "labels is a int, one thing"),
        ],
    )
    def test_the_first_bad_row_is_named_with_a_cure(self, labels: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            _rows.class_numbers(labels, 2, ("no", "yes"), "texts")


class TestIdentities:
    """Two rows are of one group, or they are not."""

    @pytest.mark.parametrize(
        ("groups", "expected"),
        [
            ([1.1, 1.2, 1.1], [0, 1, 0]),
            ([10, 9, 100], [1, 0, 2]),
            (["p0", "p0 ", "\tp0\u00a0", "p1"], [0, 0, 0, 1]),
            (["café", "cafe\u0301"], [0, 0]),
            (["P0", "p0"], [0, 1]),
            ([7, "7", 7.0, "07"], [1, 1, 1, 0]),
            ([2**60, 2**60 + 1, "x"], [0, 1, 2]),
            ([("p0", "left"), ("p0", "right"), ("p0 ", "left")], [0, 1, 0]),
            ([datetime.date(2026, 1, 2), datetime.date(2026, 1, 1)], [1, 0]),
            (pd.to_datetime(["2026-01-02", "2026-01-01"]), [1, 0]),
            (np.array(["2026-01-02", "2026-01-01"], "datetime64[D]"), [1, 0]),
            (pd.Categorical(["b", "a", "b"]), [1, 0, 1]),
            ([True, False, True], [1, 0, 1]),
            ([b"p0", "p0"], [0, 0]),
        ],
    )
    def test_they_are_compared_whole(self, groups: Any, expected: list[int]) -> None:
        assert _rows.identities(groups).tolist() == expected

    @pytest.mark.parametrize(
        "hole", [None, float("nan"), np.nan, pd.NA, pd.NaT, np.datetime64("NaT"), "", "  ", b" ", ("p0", None)]
    )
    def test_a_missing_one_is_refused(self, hole: object) -> None:
        with pytest.raises(ValueError, match=r"row 1 has no group .* among the days; .*'alone-1'"):
            _rows.identities([("a", "b"), hole], what="days")

    def test_there_is_one_a_row(self) -> None:
        with pytest.raises(ValueError, match="there are 2 groups for 3 rows"):
            _rows.identities([0, 1], 3)

    @pytest.mark.parametrize("group", [2.0**53, float("inf"), -1e300])
    def test_numbers_that_cannot_tell_neighbors_apart_are_refused(self, group: float) -> None:
        with pytest.raises(ValueError, match=r"row 1 .*cannot tell neighbors apart.*dtype=str"):
            _rows.identities([1.0, group])

    def test_parts_that_share_a_group_are_named(self) -> None:
        groups = np.array([0, 0, 1, 2])
        _rows.check_apart({"train": [0, 1], "val": np.array([2]), "test": []}, groups)
        with pytest.raises(ValueError, match="train and test share group number 0"):
            _rows.check_apart({"train": [0, 2], "test": [1]}, groups)
