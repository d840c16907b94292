"""Sentences with labels, kept beside the document they come from."""

from __future__ import annotations

import csv
import hashlib
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import tlhelpers as tl
from tlhelpers.data import TextSet, _fetch, _texts


@pytest.fixture
def ratings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Write a rating file for the domain products and load it."""

    def load(lines: list[str]) -> TextSet:
        monkeypatch.setattr(_fetch, "folder", lambda: tmp_path)
        (tmp_path / "products.txt").write_text("\r\n".join(lines) + "\r\n", encoding="utf-8")
        return _texts._rated.__wrapped__("products")

    return load


def sentences(documents: list[int]) -> TextSet:
    n = len(documents)
    return TextSet([f"sentence {i}" for i in range(n)], np.arange(n) % 2, np.array(documents))


def test_the_four_domains_have_the_sizes_that_the_book_tells() -> None:
    found = {domain: len(tl.data.load_texts(domain)) for domain in tl.data.TEXT_DOMAINS}
    assert found == {"movies": 10070, "products": 2977, "tweets": 3432, "editorials": 2931}
    for domain in tl.data.TEXT_DOMAINS:
        assert set(tl.data.load_texts(domain).labels.tolist()) == {0, 1}


@pytest.mark.parametrize(("domain", "documents"), [("products", 298), ("editorials", 497)])
def test_a_group_is_a_document_where_the_collection_numbers_them(domain: str, documents: int) -> None:
    assert len(np.unique(tl.data.load_texts(domain).groups)) == documents


@pytest.mark.parametrize("domain", ["movies", "tweets"])
def test_movie_sentences_and_tweets_have_no_group_but_themselves(domain: str) -> None:
    texts = tl.data.load_texts(domain)
    assert len(np.unique(texts.groups)) == len(texts)


def test_no_caller_can_spoil_the_sentences_for_another() -> None:
    first = tl.data.load_texts("movies")
    first.labels[:] = 0
    first.groups[:] = 0
    first.texts.reverse()
    again = tl.data.load_texts("movies")
    assert again.labels.any() and again.groups.any() and again.texts == first.texts[::-1]


def test_the_sign_of_a_clear_rating_is_the_label(ratings) -> None:
    found = ratings(["1_1\t-0.5\tBroke.", "1_2\t0.49\tArrived.", "2_1\t3.1\tSuperb."])
    assert found.texts == ["Broke.", "Superb."]
    assert found.labels.tolist() == [0, 1] and found.labels.dtype == np.int64
    assert found.groups.tolist() == [1, 2]


def test_a_repeated_sentence_counts_once(ratings) -> None:
    found = ratings(["1_1\t-2\tDo not buy.", "7_4\t-3\tDo not buy.", "8_1\t1\tDo."])
    assert found.texts == ["Do not buy.", "Do."] and found.groups.tolist() == [1, 8]


def test_a_tabulator_within_a_sentence_stays(ratings) -> None:
    assert ratings(["1_1\t2\tgood\tvalue", "1_2\t-2\tbad"]).texts[0] == "good\tvalue"


def test_an_unknown_domain_is_told_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="no domain 'hotels'; there are movies, products, tweets, editorials"):
        tl.data.load_texts("hotels")


def test_missing_data_are_told_with_the_command_that_fetches_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_fetch, "folder", lambda: tmp_path)
    with pytest.raises(FileNotFoundError, match=r"movies\.txt is missing.*make setup"):
        _texts._rated.__wrapped__("movies")


def test_a_set_needs_a_label_and_a_document_for_each_text() -> None:
    with pytest.raises(ValueError, match="2 texts, 1 labels and 2 groups"):
        TextSet(["a", "b"], np.array([1]), np.array([1, 2]))


def test_take_keeps_text_label_and_document_together() -> None:
    found = sentences([4, 4, 5]).take([2, 0])
    assert (found.texts, found.labels.tolist(), found.groups.tolist()) == (
        ["sentence 2", "sentence 0"],
        [0, 0],
        [5, 4],
    )


@pytest.mark.parametrize("seed", range(5))
def test_no_document_lies_in_two_parts(seed: int) -> None:
    parts = tl.data.split_texts(sentences([i // 7 for i in range(350)]), train=100, val=40, test=60, seed=seed)
    assert [len(part) for part in parts] == [100, 40, 60]
    documents = [set(part.groups.tolist()) for part in parts]
    assert not documents[0] & documents[1] | documents[0] & documents[2] | documents[1] & documents[2]


def test_a_split_is_decided_by_its_seed() -> None:
    whole = sentences(list(range(50)))
    first, again, other = (tl.data.split_texts(whole, 20, 10, 10, seed) for seed in (0, 0, 1))
    assert first.train.texts == again.train.texts != other.train.texts


def test_too_few_documents_are_told() -> None:
    with pytest.raises(ValueError, match="need more documents than the 2 there are"):
        tl.data.split_texts(sentences([0] * 20 + [1] * 20), 10, 10, 10, seed=0)


def test_an_empty_part_is_refused() -> None:
    with pytest.raises(ValueError, match="val=0"):
        tl.data.split_texts(sentences([1, 2, 3]), 1, 0, 1, seed=0)


def test_texts_without_labels_are_none_of_those_that_judge() -> None:
    p = tl.profile.current()
    parts, pool = tl.data.text_splits(p, 3), tl.data.unlabeled_texts(p, 3)
    assert [len(part) for part in parts] == [p.text_train, p.text_val, p.text_test]
    assert len(pool) == len(set(pool)) == p.text_unlabeled
    assert not set(pool) & {*parts.val.texts, *parts.test.texts}
    assert set(pool) & set(parts.train.texts)


def test_fewer_labels_leave_the_sentences_that_judge_as_they_are() -> None:
    p = tl.profile.current()
    few, many = tl.data.text_splits(p, 1, train=20), tl.data.text_splits(p, 1)
    assert len(few.train) == 20
    assert few.val.texts == many.val.texts and few.test.texts == many.test.texts


TEXTS = ("a film", "a book", "a song", "a play")


class TestRows:
    """What a set takes, and what it tells."""

    @pytest.mark.parametrize(
        "holder",
        [
            list,
            tuple,
            np.array,
            lambda rows: (row for row in rows),
            lambda rows: pd.Series(list(rows), index=[3, 1, 0, 2]),
            lambda rows: pd.Series(list(rows), index=[7, 7, 1, 0]),
            lambda rows: pd.Categorical(list(rows)),
        ],
    )
    def test_rows_stay_together_whatever_holds_them(self, holder) -> None:
        found = TextSet(holder(TEXTS), holder((0, 1, 1, 0)), holder((5, 5, 6, 7)), ["no", "yes"])
        assert found.texts == list(TEXTS) and {type(text) for text in found.texts} == {str}
        assert found.labels.tolist() == [0, 1, 1, 0] and found.labels.dtype == np.int64
        assert found.groups.tolist() == [5, 5, 6, 7] and found.classes == ("no", "yes")

    def test_without_groups_each_text_stands_alone(self) -> None:
        assert TextSet(TEXTS, [0, 1, 0, 1]).groups.tolist() == [0, 1, 2, 3]

    def test_take_reads_a_mask_as_a_mask(self) -> None:
        whole = TextSet(TEXTS, [0, 1, 0, 1], ["p", "q", "p ", "r"])
        found = whole.take(whole.labels == 1)
        assert (found.texts, found.labels.tolist(), found.groups.tolist()) == (
            ["a book", "a play"],
            [1, 1],
            ["q", "r"],
        )
        assert len(whole.take(whole.labels == 5)) == 0

    @pytest.mark.parametrize(
        ("indices", "message"),
        [
            ([0.0], "indices are float64"),
            ([4], "index 4 names no row"),
            ([-1], "index -1 names no row"),
            ([True, False], "mask has shape"),
            (["0"], "indices are <U1"),
        ],
    )
    def test_take_tells_what_names_no_text(self, indices: list[object], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            TextSet(TEXTS, [0, 1, 0, 1]).take(indices)

    @pytest.mark.parametrize(
        ("bad", "message"),
        [
            (None, "text of row 2 is missing"),
            (float("nan"), "text of row 2 is missing"),
            (pd.NA, "text of row 2 is missing"),
            ("", "text of row 2 is blank"),
            (" \n\u00a0", "text of row 2 is blank"),
            ("\u200b\ufeff", "text of row 2 is blank"),
            (7, r"row 2 is '7' \(int\).*astype\(str\)"),
            (b"film", r"row 2 .*\(bytes\); decode"),
            (["a", "film"], r"row 2 .*\(list\); join"),
            ("bad \ud83d film", r"row 2 holds half a character.*UTF-8"),
        ],
    )
    def test_the_first_row_without_a_text_is_named(self, bad: object, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            TextSet(["a", "b", bad, bad], [0, 1, 0, 1])

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"texts": "a film"}, "texts is one string"),
            ({"labels": [1, 2, 1, 2]}, "label 2 of row 1 names no class.*counted from 1"),
            ({"labels": [0.0, 1.0, 0.0, 1.0]}, r"label of row 0 is 0.0 \(float\)"),
            ({"labels": np.array([True, False] * 2)}, r"label of row 0 is True \(bool\)"),
            ({"labels": ["no", "yes", "no", "yes"]}, r"label of row 0 is 'no' \(str\)"),
            ({"labels": [-1, 1, -1, 1]}, "label -1 of row 0"),
            ({"labels": np.zeros((4, 1), int)}, "row 0"),
            ({"groups": [1, None, 2, 3]}, "row 1 has no group"),
            ({"groups": ["p", "q", " ", "q"]}, "row 2 has no group"),
            ({"classes": "no"}, "classes is one string"),
            ({"classes": ("no", "no ")}, "two have one name"),
            ({"classes": ("caf\u00e9", "cafe\u0301")}, r"two have one name, 'cafe\\u0301'"),
            ({"classes": ("no", None)}, "class number 1, counted from 0, has no name"),
        ],
    )
    def test_what_does_not_fit_is_told(self, changes: dict, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            TextSet(**({"texts": TEXTS, "labels": [0, 1, 0, 1]} | changes))


class TestParts:
    """No document and no text lies in two parts."""

    @pytest.mark.parametrize(
        "groups",
        [
            np.repeat([1.1, 1.2, 1.3, 2.1, 2.2, 2.3], 2),
            np.repeat(["Ann", "Bo", "Cy", "Di", "Ed", "Fay"], 2),
            ["Ann", "Ann ", "Bo", "Bo\t", "Cy", "Cy", "Caf\u00e9", "Cafe\u0301", "Ed", "Ed", "Fay", "Fay"],
            [(chapter, section) for chapter in "ab" for section in (1, 2, 3) for _ in range(2)],
            pd.to_datetime(np.repeat([f"2026-01-0{day}" for day in range(1, 7)], 2)),
        ],
    )
    def test_documents_of_any_kind_are_compared_whole(self, groups) -> None:
        whole = TextSet([f"sentence {i}" for i in range(12)], np.arange(12) % 2, groups)
        for seed in range(5):
            parts = tl.data.split_texts(whole, 4, 2, 2, seed)
            assert [len(part) for part in parts] == [4, 2, 2]
            owners = [{int(text.split()[1]) // 2 for text in part.texts} for part in parts]
            assert sum(map(len, owners)) == len(set.union(*owners))

    def test_documents_that_share_a_text_stay_together(self) -> None:
        texts = [f"sentence {i}" for i in range(40)] + [f" sentence  {i}" for i in range(20)]
        whole = TextSet(texts, np.arange(60) % 2, np.arange(60))
        for seed in range(5):
            parts = tl.data.split_texts(whole, 20, 10, 10, seed)
            found = [{" ".join(text.split()) for text in part.texts} for part in parts]
            assert not found[0] & found[1] | found[0] & found[2] | found[1] & found[2]

    @pytest.mark.parametrize(
        ("domain", "expected"),
        [
            ("movies", "9090053cdf8ea306"),
            ("products", "553f06ae98eaebf3"),
            ("tweets", "ec2ee58566730bc1"),
            ("editorials", "2a733ece1d78ef54"),
        ],
    )
    def test_the_packaged_sentences_are_dealt_as_in_the_stored_runs(self, domain: str, expected: str) -> None:
        digest = hashlib.sha256()
        for part in tl.data.split_texts(tl.data.load_texts(domain), 500, 300, 1000, 0):
            digest.update(repr((part.texts, part.labels.tolist(), part.groups.tolist())).encode())
        assert digest.hexdigest()[:16] == expected

    @pytest.mark.parametrize("size", [0.5, 2.0, True, "2", None])
    def test_a_size_is_a_whole_number(self, size: object) -> None:
        with pytest.raises(ValueError, match=r"val=.*share \* 50"):
            tl.data.split_texts(sentences(list(range(50))), 20, size, 10, 0)

    @pytest.mark.parametrize("seed", [None, 0.5, -1, True, "0", np.random.default_rng(0)])
    def test_a_seed_is_a_whole_number_from_0(self, seed) -> None:
        with pytest.raises(ValueError, match=r"seed=.*: give a number, a whole one from 0"):
            tl.data.split_texts(sentences(list(range(50))), 20, 10, 10, seed)

    @pytest.mark.parametrize("seed", [0, np.int8(3), 2**32, 2**70])
    def test_any_whole_number_is_a_seed(self, seed) -> None:
        parts = tl.data.split_texts(sentences(list(range(50))), 20, 10, 10, seed)
        assert [len(part) for part in parts] == [20, 10, 10]

    def test_many_classes_are_compared_once_each(self) -> None:
        names = tuple(f"class {number}" for number in range(30_000))
        before = time.process_time()
        assert TextSet(["a", "b"], [0, 29_999], classes=names).classes == names
        assert time.process_time() - before < 5

    def test_a_class_that_a_part_lacks_is_told(self) -> None:
        rare = TextSet([f"sentence {i}" for i in range(50)], [1] * 3 + [0] * 47)
        with pytest.raises(ValueError, match="holds no text of the class 'positive', of which there are 3"):
            tl.data.split_texts(rare, 20, 2, 2, 0)


class TestTable:
    """Texts of a reader's own table."""

    @pytest.fixture
    def table(self, tmp_path: Path):
        def write(content: str, name: str = "own.csv", encoding: str = "utf-8") -> Path:
            (tmp_path / name).write_bytes(content.encode(encoding))
            return tmp_path / name

        return write

    def test_a_quoted_text_may_hold_anything(self, table) -> None:
        path = table('text,label\n"one, two\nthree",ham\n"say ""hi""",spam\nfour,ham \nfive,spam\n')
        found = tl.data.read_texts(path)
        assert found.texts == ["one, two\nthree", 'say "hi"', "four", "five"]
        assert found.classes == ("ham", "spam") and found.labels.tolist() == [0, 1, 0, 1]
        assert found.groups.tolist() == [0, 1, 2, 3]

    def test_columns_groups_and_separator_are_found(self, table) -> None:
        path = table("who\tstars\tsaid\np1\t10\ta\np1 \t2\tb\np2\t10\tc\np2\t2\td\n", "own.tsv", "utf-8-sig")
        found = tl.data.read_texts(str(path), "said", "stars", group="who")
        assert found.classes == ("2", "10") and found.labels.tolist() == [1, 0, 1, 0]
        assert found.groups.tolist() == ["p1", "p1", "p2", "p2"]

    @pytest.mark.parametrize(
        ("rows", "message"),
        [
            ("a,0\nb,1\nc,0.0\nd,1\n", "labels '0' and '0.0' differ only in how the number is written"),
            ("a,Spam\nb,ham\nc,spam\nd,ham\n", "labels 'Spam' and 'spam' differ only in upper and lower case"),
            ("a,not spam\nb,spam\nc,not  spam\nd,spam\n", "'not  spam' and 'not spam' differ only in"),
            ("a,x|y\nb,y|x\nc,x\nd,x\n", "hold the same labels in another order"),
            ("nan,ham\nb,ham\nc,spam\nd,spam\n", "column 'text' reads 'nan' in 1 line"),
            ("a,nan\nb,ham\nc,ham\n", "column 'label' reads 'nan' in 1 line\\(s\\), first 2"),
            ("a,ham\nb,ham\n", r"one class only, \('ham',\)"),
            ("a,ham\nb,ham\nc,spam\n", r"class 'spam' has 1 text \(line 4\)"),
            ('"a\nb",ham\nc,ham\nd,spam\n c ,spam\n', r"first on lines 4 \(ham\) and 6 \(spam\)"),
            ('"stray,ham\nb,spam\nc,ham\n"d",spam\ne,ham\n', "is a quotation mark left open"),
            ('"stray,ham\nb,spam\nc,ham\n",spam\ne,ham\n', "begins on line 2 .*looks like a row of its own"),
            ("a,ham\n\u200b,spam\n", r"column 'text' holds signs that nobody sees, .* first 3"),
            ("a,ham\n,spam\n", "column 'text' is empty in 1 line"),
            ("a,b,ham\nc,d,spam\n", "first line 2: 3, not 2. Put a cell that holds ',' in quotation marks"),
            ("a,ham\nb\n", "first line 3: 1, not 2"),
            ("", "no row|is empty"),
        ],
    )
    def test_what_needs_a_decision_is_told_by_line(self, table, rows: str, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            tl.data.read_texts(table("text,label\n" + rows))

    def test_a_sentence_that_ends_with_a_class_is_no_row(self, table) -> None:
        found = tl.data.read_texts(table('text,label\n"good?\nwell, no\nbad",no\nb,yes\nc,no\nd,yes\n'))
        assert len(found) == 4

    def test_texts_over_lines_that_look_like_rows_are_read_where_they_are_quoted(self, tmp_path: Path) -> None:
        said = [f"Note 4,{i % 5 + 1}\nSehr gut {i}" for i in range(10)]
        frame = pd.DataFrame({"text": said, "label": [i % 5 + 1 for i in range(10)]})
        frame.to_csv(tmp_path / "own.csv", index=False)
        frame.to_csv(tmp_path / "own.tsv", index=False, sep="\t")
        one = pd.concat([frame[:1], frame.assign(text=[f"text {i}" for i in range(10)])])
        for source in (frame, one, tmp_path / "own.csv", tmp_path / "own.tsv"):
            assert tl.data.read_texts(source).texts[0] == said[0]

    @pytest.mark.parametrize(
        ("content", "first"),
        [
            ('text,label\n"stray,ham\nb,spam\nc,ham\n",spam\ne,ham\n', 2),
            ('text,label\n"stray,ham\n\nb,spam\n \nend",spam\ne,ham\n', 2),
            ('text;label\ne;ham\nd;spam\n"stray;ham\nb;spam\nend";spam\n', 4),
            ('label,text\nham,e\nspam,"stray\nham,b\nspam,end"\nham,f\nspam,g\n', 3),
            ('who,text,label\np,e,ham\np,"stray,spam\nq,b,ham\nq,end",spam\np,f,ham\n', 3),
        ],
    )
    def test_rows_that_a_stray_mark_swallows_are_told(self, table, content: str, first: int) -> None:
        with pytest.raises(ValueError, match=rf"begins on line {first} .*looks like a row of its own.*DataFrame"):
            tl.data.read_texts(table(content))

    @pytest.mark.parametrize(
        "names",
        [
            ("not spam", "notspam"),
            ("1.1", "1.10"),
            ("3.10", "3.1"),
            ("1 11", "11 1"),
            ("\u03c3", "\u03c2"),
            ("\u00df", "ss"),
            ("-1", "1"),
        ],
    )
    def test_names_that_are_two_stay_two(self, table, names: tuple[str, str]) -> None:
        rows = "".join(f"text {i},{names[i % 2]},{names[i % 2]}\n" for i in range(4))
        found = tl.data.read_texts(table(f"text,label,who\n{rows}"), group="who")
        assert set(found.classes) == set(names) and found.groups.tolist() == [*names, *names]

    @pytest.mark.parametrize(
        "names", [("1", "1.00"), ("0", "-0.0"), ("2.5", "02.5"), ("a  b", "A b"), ("b ", "\u200bb")]
    )
    def test_names_that_are_one_are_told(self, table, names: tuple[str, str]) -> None:
        rows = "".join(f"text {i},{name}\n" for i, name in enumerate((*names, "x", "x")))
        with pytest.raises(ValueError, match=r"labels .* differ only in"):
            tl.data.read_texts(table(f"text,label\n{rows}"))

    @pytest.mark.parametrize("again", ["text,label", " Text ,label", "label,text"])
    def test_a_header_that_stands_again_is_told(self, table, again: str) -> None:
        path = table(f"text,label\na,0\nb,1\n{again}\nc,0\nd,1\n{again}\ne,1\n")
        with pytest.raises(ValueError, match=r"the header stands again on 2 line\(s\), first 4, 7, .*delete it"):
            tl.data.read_texts(path)
        with pytest.raises(ValueError, match=r"the DataFrame: the header stands again on 2 row\(s\), first 2, 5"):
            tl.data.read_texts(pd.read_csv(path))

    @pytest.mark.parametrize("mark", ['""', ""])
    def test_a_long_document_is_read_and_the_limit_of_csv_stays(self, table, mark: str) -> None:
        limit, long = csv.field_size_limit(), f"{mark}word, {mark}" * 50_000
        found = tl.data.read_texts(table(f'text,label\n"{long}",0\nb,1\nc,0\nd,1\n'))
        assert len(found.texts[0]) > 290_000 and csv.field_size_limit() == limit
        with pytest.raises(ValueError, match=r"line 3: .*is a quotation mark left open"):
            tl.data.read_texts(table(f'text,label\na,0\n"{long},0\nb,1\n'))
        assert csv.field_size_limit() == limit

    def test_marks_are_letters_in_a_table_with_tabs_that_quotes_nothing(self, table) -> None:
        rows = ['"Great" movie\t1', 'say "no\t0', '"Bad"\t0', "good, very\t1"]
        found = tl.data.read_texts(table("text\tlabel\n" + "\n".join(rows) + "\n", "own.tsv"))
        assert found.texts == [row.split("\t")[0] for row in rows] and found.labels.tolist() == [1, 0, 0, 1]

    @pytest.mark.parametrize(
        ("content", "line"),
        [
            ('text,label\na,0\n"Great" movie,1\n', 3),
            ('text\tlabel\na\t0\nb\t1\n"Great" movie\tno\t1\n', 4),
            ('text\tlabel\n"He said ""hi"""\t0\n"Great" movie\t1\n', 3),
            ('"text"\t"label"\n"a"\t0\n"Great" movie\t1\n', 3),
            ('sep=,\ntext,label\na,0\n"Great" movie,1\n', 4),
        ],
    )
    def test_a_mark_that_stands_wrong_is_told_by_line(self, table, content: str, line: int) -> None:
        with pytest.raises(ValueError, match=rf"\(line {line}: .*double the marks that belong to a text"):
            tl.data.read_texts(table(content))

    def test_another_encoding_another_kind_and_another_place_are_told(self, table, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="UTF-8"):
            tl.data.read_texts(table("text,label\nsch\u00f6n,ham\nb,spam\n", encoding="latin-1"))
        with pytest.raises(ValueError, match=r"an Excel workbook .*save it as a CSV in UTF-8"):
            tl.data.read_texts(table("PK\3\4", "own.xlsx"))
        for place in (tmp_path, tmp_path / "none.csv"):
            with pytest.raises(FileNotFoundError, match=f"{place} is not a file"):
                tl.data.read_texts(place)

    def test_a_question_mark_may_be_a_text(self, table) -> None:
        found = tl.data.read_texts(table("text,label\n?,ham\nNone,ham\nb,spam\nc,spam\n"))
        assert found.texts == ["?", "None", "b", "c"]

    def test_a_frame_is_read_row_by_row(self) -> None:
        frame = pd.DataFrame({"text": list("abcd"), "label": [1.5, -2, 1.5, -2]}, index=[3, 1, 0, 2])
        found = tl.data.read_texts(frame)
        assert found.texts == list("abcd") and found.classes == ("-2.0", "1.5")
        assert found.labels.tolist() == [1, 0, 1, 0]

    def test_one_group_is_told(self, table) -> None:
        path = table("text,label,who\na,0,p\nb,1,p \nc,0,p\nd,1,p\n")
        with pytest.raises(ValueError, match="all 4 texts into one group"):
            tl.data.read_texts(path, group="who")
        with pytest.raises(ValueError, match="columns of their own"):
            tl.data.read_texts(path, group="text")


class TestTold:
    """What the parts lack is told with the cure that fits."""

    def test_the_text_that_ties_everything_is_named(self) -> None:
        texts = [text for i in range(12) for text in (f"s {i}", "See attached.")]
        shared = tl.data.TextSet(texts, [i % 2 for i in range(12) for _ in (0, 1)], np.arange(24) // 2)
        with pytest.raises(ValueError, match=r"most of all 'See attached\.'; leave that text out"):
            tl.data.split_texts(shared, 6, 3, 3, 0)

    def test_bad_luck_is_told_as_such(self) -> None:
        rare = tl.data.TextSet([f"t{i}" for i in range(200)], [int(i < 6) for i in range(200)])
        messages = set()
        for seed in range(12):
            try:
                tl.data.split_texts(rare, 120, 40, 40, seed)
            except ValueError as error:
                messages.add(str(error).rpartition("; ")[2])
        assert messages == {"take another seed, or find more."}

    def test_sets_are_equal_by_what_they_hold(self) -> None:
        one, other = (tl.data.TextSet(["a", "b"], [0, 1]) for _ in range(2))
        assert one == other and one != tl.data.TextSet(["a", "c"], [0, 1]) and one != ["a", "b"]
        assert one != tl.data.TextSet(["a", "b"], [0, 1], [0, 0])
