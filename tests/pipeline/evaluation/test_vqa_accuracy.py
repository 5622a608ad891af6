"""The accuracy of VQA against cases worked out by hand from the official rules."""

import pytest

from pipeline.evaluation.vqa_accuracy import accuracy, normalised


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("Yes", "yes"),
        (" a  red\tball\n", "red ball"),
        ("The Answer", "answer"),
        ("two", "2"),
        ("none", "0"),
        ("Ten cats", "10 cats"),
        ("eleven", "eleven"),
        ("dont", "don't"),
        ("don't", "don't"),
        ("couldnt've", "couldn't've"),
        ("couldn'tve", "couldn't've"),
        ("couldntve", "couldntve"),
        ("theyre", "they're"),
        ("somebody'd", "somebodyd"),
        ("yes!", "yes"),  # no space beside it: a space takes its place, and goes at the end
        ("left-right", "left right"),
        ("left - right", "left right"),
        ("a/b", "b"),  # "a b", and then the article goes
        ("1,000", "1000"),
        ("1,000-2,000", "10002000"),
        ("red, blue", "red blue"),
        ("red,blue", "red blue"),
        ("3.5", "3.5"),
        ("no.", "no"),
        ("st. john", "st john"),
        ("1.", "1"),
        ("it's", "it's"),
        ("7:30", "7:30"),
        ("the", ""),
    ],
)
def test_normalised(answer: str, expected: str) -> None:
    assert normalised(answer) == expected


@pytest.mark.parametrize(("matches", "expected"), [(0, 0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1), (9, 1), (10, 1)])
def test_accuracy_by_the_number_of_matches(matches: int, expected: float) -> None:
    truths = ["blue"] * matches + ["red", "green"] * 5
    assert accuracy("Blue", truths[:10]) == pytest.approx(expected if matches < 10 else 0)
    assert accuracy("blue", truths[:10]) == pytest.approx(expected)


def test_where_all_agree_nothing_is_normalised() -> None:
    assert accuracy("two", ["two"] * 10) == 1
    assert accuracy("2", ["two"] * 10) == 0
    assert accuracy(" two\n", ["two "] * 10) == 1
    assert accuracy("2", ["two"] * 9 + ["three"]) == 1


def test_fewer_than_ten_answers() -> None:
    assert accuracy("a dog", ["dog", "cat"]) == pytest.approx((0 + 1 / 3) / 2)
