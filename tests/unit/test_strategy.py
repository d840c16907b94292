"""What a recommendation promises: sane over its inputs, and every reason can be looked up."""

from __future__ import annotations

import dataclasses
import itertools
import re
from pathlib import Path

import pytest

from tlhelpers.book import _strategy as strategy
from tlhelpers.book._strategy import BUDGETS, DISTANCES, MODALITIES, SCENARIOS, STRATEGIES, recommend

BOOK = Path(__file__).parents[2] / "book"
COUNTS = sorted(
    {2, 25, 300, 2_000_000} | {n + d for n in (strategy.HANDFUL, strategy.FEW, strategy.MANY) for d in (-1, 0, 1)}
)
EVERY = list(itertools.product(COUNTS, DISTANCES, MODALITIES, BUDGETS))
ANSWERS = (
    "frozen features",
    "two-stage",
    "two-stage",
    "two-stage",
    "full fine-tuning",
    "full fine-tuning",
    "frozen features",
)
DEPTH = {name: depth for depth, name in enumerate(STRATEGIES)}


def sources() -> set[str]:
    claims = {
        found
        for chapter in BOOK.glob("[0-9]*.md")
        for found in re.findall(r'claim\(\s*"(\d\d(?:-[a-z0-9]+)+)"', chapter.read_text())
    }
    return claims | set(re.findall(r"^@\w+\{(\w+),", (BOOK / "references.bib").read_text(), re.M))


def test_every_reason_names_a_claim_of_the_book_or_an_entry_of_its_bibliography():
    known = sources()
    cited = {reason.source for inputs in EVERY for reason in recommend(*inputs).reasons}
    assert cited - known == set()
    assert len(cited) > 10


def test_a_far_task_with_300_images_in_full():
    assert recommend(300, "far") == strategy.Recommendation(
        strategy="two-stage",
        rates=strategy.Rates(1e-3, 3e-5),
        freeze="all at first, then nothing; BatchNorm held",
        compare=("frozen features", "a small network from scratch", "a linear model on small gray pixels"),
        risks=(
            "validation may prefer the start: tuning then added nothing",
            "BatchNorm statistics drift although their layers are frozen",
            "one rate for all layers, too high for the lower ones",
            "negative transfer: borrowing may be worse than doing without",
        ),
        mitigation=(
            "train the head first, keep the best epoch by validation, the start included",
            "hold BatchNorm in eval mode at every train() call",
            "a rate for the backbone far below the head's, chosen by validation",
            "train what borrows nothing, too: if it wins, do not borrow",
        ),
        reasons=recommend(300, "far").reasons,
    )
    assert [reason.source for reason in recommend(300, "far").reasons] == [
        "kumar2022", "01-two-stage-beats-frozen-500", "05-batchnorm-held-in-stage-2", "11-uniform-high-rate",
        "15-scratch-wins-on-digits", "02-prior-hurts-in-the-middle", "14-probe-foretells-gain",
        "04-far-task-peaks-earlier",
    ]  # fmt: skip


def test_a_text_prototype_in_short():
    advice = recommend(2_000, "near", "text", "minutes")
    assert (advice.strategy, advice.freeze, advice.compare) == (
        "frozen features",
        "everything but the head",
        ("counted words and a linear model",),
    )
    assert [reason.source for reason in advice.reasons] == ["09-words-beaten", "10-mean-beats-cls", "devlin2019"]


def test_every_recommendation_is_complete():
    for inputs in EVERY:
        found = recommend(*inputs)
        assert found.strategy in STRATEGIES, inputs
        assert found.freeze and found.compare and found.reasons, inputs
        assert len(found.risks) == len(found.mitigation) > 0, inputs


def test_rates_are_positive_and_the_backbone_is_never_faster_than_the_head():
    for inputs in EVERY:
        rates = recommend(*inputs).rates
        assert rates.head > 0, inputs
        assert rates.backbone is None or 0 < rates.backbone <= rates.head, inputs


def test_a_backbone_has_a_rate_exactly_when_something_of_it_is_trained():
    for inputs in EVERY:
        found = recommend(*inputs)
        assert (found.rates.backbone is None) == (found.strategy == "frozen features"), inputs


@pytest.mark.parametrize("modality", MODALITIES)
@pytest.mark.parametrize("budget", BUDGETS)
def test_more_labels_and_more_distance_never_mean_to_train_less(modality, budget):
    depth = {(n, d): DEPTH[recommend(n, d, modality, budget).strategy] for n in COUNTS for d in DISTANCES}
    for d in DISTANCES:
        along = [depth[n, d] for n in COUNTS]
        assert along == sorted(along)
    for n in COUNTS:
        along = [depth[n, d] for d in DISTANCES]
        assert along == sorted(along)


@pytest.mark.parametrize("modality", MODALITIES)
def test_a_prototype_trains_the_head_alone_whatever_the_labels(modality):
    assert {recommend(n, d, modality, "minutes").strategy for n in COUNTS for d in DISTANCES} == {
        "frozen features"
    }


@pytest.mark.parametrize(
    ("row", "expected"),
    list(zip(SCENARIOS, ANSWERS, strict=True)),
)
def test_each_row_of_the_guide_gets_its_answer(row, expected):
    assert recommend(*SCENARIOS[row]).strategy == expected


@pytest.mark.parametrize(
    ("edge", "distance", "below", "at"),
    [
        (strategy.FEW, "near", "frozen features", "two-stage"),
        (strategy.HANDFUL, "moderate", "frozen features", "two-stage"),
        (strategy.HANDFUL, "far", "frozen features", "two-stage"),
    ],
)
def test_thresholds_belong_to_the_upper_side(edge, distance, below, at):
    assert recommend(edge - 1, distance).strategy == below
    assert recommend(edge, distance).strategy == at


def test_half_a_million_images_are_compared_with_a_start_from_scratch():
    found = recommend(500_000, "far", budget="days")
    assert any("from scratch" in one for one in found.compare)
    assert {"he2019", "kolesnikov2020"} <= {reason.source for reason in found.reasons}


def test_images_are_always_compared_with_a_start_from_scratch():
    for n, distance, budget in itertools.product(COUNTS, DISTANCES, BUDGETS):
        assert any("from scratch" in one for one in recommend(n, distance, "image", budget).compare)


def test_far_images_come_with_a_warning_of_negative_transfer():
    for n, budget in itertools.product(COUNTS, BUDGETS):
        assert any("negative transfer" in risk for risk in recommend(n, "far", "image", budget).risks)


def test_a_handful_of_images_is_compared_with_two_stages_where_the_budget_allows():
    few = strategy.HANDFUL - 1
    for distance in DISTANCES:
        assert recommend(few, distance).strategy == "frozen features"
        assert "two-stage" in recommend(few, distance, "image", "hours").compare
        assert "two-stage" not in recommend(few, distance, "image", "minutes").compare


def test_far_images_are_compared_with_what_borrows_nothing_and_sees_little():
    for n in (25, 500, strategy.MANY - 1):
        assert "a linear model on small gray pixels" in recommend(n, "far").compare
        assert "a linear model on small gray pixels" not in recommend(n, "near").compare


def test_whatever_tunes_is_compared_with_frozen_features():
    for inputs in EVERY:
        found = recommend(*inputs)
        if found.strategy != "frozen features":
            assert any(one.startswith("frozen features") for one in found.compare), inputs


def test_days_pay_for_one_more_comparison():
    assert len(recommend(500, "far", budget="days").compare) > len(recommend(500, "far").compare)


def test_text_of_a_distant_domain_mentions_more_pretraining_and_long_documents():
    found = recommend(*SCENARIOS["long documents, specialized domain"])
    assert "gururangan2020" in {reason.source for reason in found.reasons}
    assert any("longer" in risk for risk in found.risks)


def test_a_recommendation_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        recommend(500, "near").strategy = "another"  # type: ignore[misc]


def test_numpy_counts_are_welcome():
    import numpy as np

    assert recommend(np.int64(500), "near") == recommend(500, "near")


@pytest.mark.parametrize("count", [True, 500.0, "500", None])
def test_a_count_that_is_no_whole_number_is_refused(count):
    with pytest.raises(TypeError, match="whole number"):
        recommend(count, "near")


@pytest.mark.parametrize("count", [-5, 0, 1])
def test_fewer_than_two_labels_are_refused(count):
    with pytest.raises(ValueError, match=f"n_labels={count}"):
        recommend(count, "near")


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ((500, "close", "image"), "distance='close'; give one of near, moderate, far"),
        ((500, "near", "video"), "modality='video'; give one of image, text"),
        ((500, "near", "audio"), "spectrogram is an image"),
        ((500, "near", "image", "weeks"), "budget='weeks'; give one of minutes, hours, days"),
        ((500, ["near"], "image"), "give one of near, moderate, far"),
    ],
)
def test_unknown_words_are_refused_with_those_that_are_known(inputs, message):
    with pytest.raises(ValueError, match=re.escape(message) if "=" in message else message):
        recommend(*inputs)


def test_as_text_it_has_one_line_a_field_and_names_its_sources():
    lines = str(recommend(500, "near")).splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "Strategy", "Rates", "Freeze", "Compare with", "Risks", "What to do about them", "Because",
    ]  # fmt: skip
    assert "[01-near-frozen-beats-scratch]" in lines[-1]


def test_as_html_it_is_a_table_with_row_headers_and_no_raw_markup():
    reasons = (strategy.Reason("a < b", "he2019"), strategy.Reason("c", "he2019"))
    page = dataclasses.replace(recommend(500, "near"), reasons=reasons)._repr_html_()
    assert page.count('<th scope="row">') == 7
    assert "a &lt; b" in page and "a < b" not in page
    assert page.count("<ul>") == page.count("</ul>") >= 1
