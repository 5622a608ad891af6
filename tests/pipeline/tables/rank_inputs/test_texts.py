"""The texts of `rank`: which can be read, which images each is read with, and their hash."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from pipeline.common.error_codes import Failure
from pipeline.tables.rank_inputs.texts import Candidates, RankTexts

INVALID = Failure("text_invalid", "byte 0xff")
TEXTS = RankTexts(pa.array(range(7, 12)), ["a", None, " \t", INVALID, "b"], None)


def candidates(pairs: set[tuple[int, int]]) -> Candidates:
    """Candidates of pairs (image, text)."""
    ordered = np.array(sorted(pairs), np.int64).reshape(-1, 2)
    images, begins = np.unique(ordered[:, 0], return_index=True)
    return Candidates(pa.array(images), np.append(begins, len(ordered)), ordered[:, 1])


@given(st.sets(st.tuples(st.integers(-3, 3), st.integers(0, 4))), st.integers(-4, 4))
def test_the_texts_of_an_image(pairs: set[tuple[int, int]], image: int) -> None:
    found, again = candidates(pairs).of(pa.array([image, image]))
    assert found.tolist() == sorted(text for other, text in pairs if other == image)
    assert found.dtype == np.int64
    assert np.array_equal(found, again)


def test_texts_that_cannot_be_read() -> None:
    assert [TEXTS.failure(i) for i in range(5)] == [
        None,
        Failure("text_null", "the text is null"),
        Failure("text_empty", "the text is ' \\t'"),
        INVALID,
        None,
    ]
    assert TEXTS.readable.tolist() == [0, 4]
    assert TEXTS.strings == ["a", "", " \t", "", "b"]


@given(st.sets(st.tuples(st.integers(0, 3), st.integers(0, 4))))
def test_pairs_to_read(pairs: set[tuple[int, int]]) -> None:
    assert TEXTS.pairs(10) == 20
    texts = RankTexts(TEXTS.ids, TEXTS.texts, candidates(pairs))
    assert texts.pairs(10) == sum(text in (0, 4) for _, text in pairs)


def test_the_hash_is_of_texts_ids_and_candidates() -> None:
    some = [
        TEXTS,
        RankTexts(pa.array(range(8, 13)), TEXTS.texts, None),
        RankTexts(TEXTS.ids, ["a", "None", " \t", INVALID, "b"], None),
        RankTexts(TEXTS.ids, ["a", None, " \t", "b", INVALID], None),
        RankTexts(TEXTS.ids, TEXTS.texts, candidates(set())),
        RankTexts(TEXTS.ids, TEXTS.texts, candidates({(1, 0)})),
        RankTexts(TEXTS.ids, TEXTS.texts, candidates({(0, 1)})),
    ]
    assert len({texts.fingerprint for texts in some}) == len(some)
    assert RankTexts(pa.array(range(7, 12)), list(TEXTS.texts), None).fingerprint == TEXTS.fingerprint
    ids = [RankTexts(pa.array(ids), TEXTS.texts, None) for ids in (list("abcde"), [b"a", b"b", b"c", b"d", b"e"])]
    assert ids[0].fingerprint != ids[1].fingerprint
