"""Outputs of another machine: words to the letter, measured numbers near each other."""

from __future__ import annotations

import pytest

from tools.near import far

CLAIM = "[holds] It costs accuracy at 1e-4. (measured: five seeds, 300 cells: -0.177 [-0.224, -0.130]; 81%)"
HTML = '<div class="tl-claim" id="claim-12-costs" data-verdict="holds"><dd>by 2.41 of their norm</dd></div>'
TABLE = """          gain  share  cells
frozen   0.813  -0.01    100
tuned    0.824   0.10    500"""
WIDER = """           gain  share  cells
frozen    0.813  -0.01    100
tuned    0.8242   0.10    500"""


@pytest.mark.parametrize(
    ("stored", "new"),
    [
        (CLAIM, CLAIM),
        # What a second processor really gave.
        (CLAIM, CLAIM.replace("-0.177 [-0.224, -0.130]", "-0.180 [-0.213, -0.147]")),
        (HTML, HTML.replace("2.41", "2.29")),
        ("+0.305 [+0.201, +0.409]", "+0.290 [+0.175, +0.405]"),
        ("loss +0.704 [+0.407, +1.001] above", "loss +0.677 [+0.339, +1.016] above"),
        # At the edge: 0.03 and a quarter of 0.2.
        ("0.5 [0.4, 0.6]", "0.58 [0.32, 0.68]"),
        # Just within: in floats, 0.84 - 0.81 is more than 0.03.
        ("0.81", "0.84"),
        ("0.810", "0.780"),
        (CLAIM, CLAIM.replace("81%", "84%")),
        ("2.00", "2.20"),
        ("39.4% of them", "41.0% of them"),
        # A sign that flips near zero, and zeros with one.
        ("+0.004 [-0.010, +0.018]", "-0.002 [-0.018, +0.014]"),
        ("-0.000", "+0.000"),
        ("-0.0", "0.0"),
        ("loss nan, then 0.50", "loss nan, then 0.51"),
        ("1.00e-05", "1.05e-05"),
        ("rate 0.00010", "rate 0.00011"),
        ("9.9e-01", "0.992"),
        ("0.990", "1.010"),
        # A column gets wider or narrower, and with it what stands above and beside.
        (TABLE, TABLE.replace("-0.01", " 0.01")),
        (TABLE, WIDER),
        (WIDER, TABLE),
        ("array([0.1, 0.2])", "array([0.09, 0.2 ])"),
        ("[0.01 0.2]", "[-0.01   0.19]"),
        ("a  \n0.98  |\n1.00  |", "a\n0.980 |\n1.001 |"),
    ],
)
def test_near(stored: str, new: str) -> None:
    assert far(stored, new) == []


@pytest.mark.parametrize(
    ("stored", "new", "said"),
    [
        (
            CLAIM,
            CLAIM.replace("-0.177", "-0.277"),
            "-0.177 is stored, -0.277 came out: off by 0.100, 0.0535",
        ),
        (HTML, HTML.replace("2.41", "2.66"), "off by 0.25, 0.241 is allowed; after “"),
        (CLAIM, CLAIM.replace("81%", "85%"), "81% is stored, 85% came out: off by 0.04, 0.03 is allowed"),
        ("0.810", "0.841", "off by 0.031"),
        ("0.5 [0.4, 0.6]", "0.5 [0.4, 0.69]", "off by 0.09, 0.08"),
        # Pairs that are no interval of a mean.
        ("[0.5, 0.4, 0.6]", "[0.5, 0.4, 0.64]", "off by 0.04, 0.03 is allowed"),
        ("0.5 [0.4, 0.6, 0.8]", "0.5 [0.4, 0.64, 0.8]", "off by 0.04, 0.03 is allowed"),
        ("0.5 (0.4, 0.6)", "0.54 (0.4, 0.6)", "off by 0.04, 0.03 is allowed"),
        ("+0.020", "-0.020", "off by 0.040"),
        ("0.33% of the weights", "3.33% of the weights", "off by 0.0300"),
        # Rates: within 0.03 of each other, and the wrong line.
        (CLAIM, CLAIM.replace("1e-4", "1e-3"), "after “[holds] It costs accuracy at”"),
        ("1e-05", "3e-05", "0.00002"),
        ("0.00010", "0.00100", "0.00090"),
        ("0.0003", "0.003", "0.0027"),
        ("1e-2", "2e-2", "0.01"),
        (
            TABLE,
            TABLE.replace(" 0.10", "-0.10"),
            "off by 0.20, 0.03 is allowed; after “ain share cells frozen 0.813 -0.01 100 tuned 0.824”",
        ),
    ],
)
def test_far(stored: str, new: str, said: str) -> None:
    lines = far(stored, new)
    assert lines is not None and len(lines) == 1 and said in lines[0]


def test_each_number_that_is_off_is_named() -> None:
    lines = far(CLAIM, CLAIM.replace("-0.177 [-0.224, -0.130]", "0.177 [-0.225, 0.130]"))
    assert lines is not None and [line.split()[0] for line in lines] == ["-0.177", "-0.130"]


@pytest.mark.parametrize(
    ("stored", "new"),
    [
        (CLAIM, CLAIM.replace("costs", "gains")),
        (CLAIM, CLAIM.replace("[holds]", "[does not hold]")),
        (HTML, HTML.replace('"holds"', '"open"')),
        (CLAIM, CLAIM.replace("300", "301")),
        (HTML, HTML.replace("claim-12", "claim-11")),
        (TABLE, TABLE.replace("500", "499")),
        (TABLE, TABLE + "\nscratch  0.700   0.10    500"),
        (TABLE, TABLE.replace("\ntuned", " tuned")),
        # Blanks count where no number changed its width.
        (TABLE, TABLE.replace("gain", " gain")),
        ("if x:\n    0.5", "if x:\n  0.5"),
        ("0.5", "nan"),
        ("nan", "0.5"),
        ("0.5", "inf"),
        ("nan", "inf"),
        ("0.5 and 0.6", "0.5"),
        ("0.5", ""),
        # A whole number is a count, and what belongs to a word is none.
        ("5", "5.0"),
        ("in 12 epochs.", "in 13 epochs."),
        ("torch 2.14.1", "torch 2.14.2"),
        ("width: 0.60rem", "width: 0.61rem"),
        ("1,280 numbers", "1,281 numbers"),
    ],
)
def test_words_differ(stored: str, new: str) -> None:
    assert far(stored, new) is None
