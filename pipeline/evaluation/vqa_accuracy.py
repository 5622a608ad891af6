"""The accuracy of an answer to a question of VQA, as the official evaluator computes it.

Source: `vqaEvaluation/vqaEval.py` of GT-Vision-Lab/VQA, as it is since March 2021. What surprises is kept, because
published numbers have it: if all annotators gave the same answer, nothing is normalised.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
_PERIOD = re.compile(r"\.(?!\d)")
_PERIODS = 32  # at most: the official code passes re.UNICODE as the number of replacements
_NUMBER_WITH_COMMA = re.compile(r"\d,\d")
_ARTICLES = {"a", "an", "the"}
_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_DIGITS = {"none": "0", **{word: str(number) for number, word in enumerate(_NUMBERS)}}
# Known contractions; any of them is also understood with one of its apostrophes left out.
_CONTRACTIONS = """
    ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd he'd've
    he's how'd how'll how's isn't it'd it'd've it'll ma'am might've mightn't mightn't've must've mustn't needn't not've
    o'clock oughtn't 'ow's'at shan't she'd've should've shouldn't shouldn't've somebody'd've somebody'll somebody's
    someone'd someone'd've someone'll someone's something'd something'd've something'll that's there'd there'd've
    there're there's they'd they'd've they'll they're they've 'twas wasn't we'd've we've weren't what'll what're what's
    what've when's where'd where's where've who'd who'd've who'll who's who've why'll why're why's won't would've
    wouldn't wouldn't've y'all y'all'll y'all'd've you'd you'd've you'll you're you've
"""
_WHOLE = {
    word[:i] + word[i + 1 :]: word for word in _CONTRACTIONS.split() for i, letter in enumerate(word) if letter == "'"
} | {"somebody'd": "somebodyd"}  # as it stands there


@lru_cache(maxsize=2**16)  # answers repeat
def normalised(answer: str) -> str:
    """Return an answer as it is compared.

    It is in lower case, without punctuation and articles, with numbers to ten as digits, and contractions with their
    apostrophes.
    """
    words = without_punctuation(stripped(answer)).lower().split()
    kept = [word for word in (_DIGITS.get(word, word) for word in words) if word not in _ARTICLES]
    return " ".join(_WHOLE.get(word, word) for word in kept)


def stripped(answer: str) -> str:
    """Replace line ends and tabs by spaces, and remove spaces at both ends."""
    return answer.replace("\n", " ").replace("\t", " ").strip()


def without_punctuation(text: str) -> str:
    """Remove punctuation.

    A mark beside a space is removed, and any mark of a text that has a number like 1,000; others become a space. Full
    stops are removed unless a digit follows.
    """
    out = text
    for mark in _PUNCTUATION:
        beside_space = f"{mark} " in text or f" {mark}" in text
        out = out.replace(mark, "" if beside_space or _NUMBER_WITH_COMMA.search(text) else " ")
    return _PERIOD.sub("", out, count=_PERIODS)


def accuracy(answer: str, truths: Sequence[str]) -> float:
    """Return the accuracy of an answer, 0 to 1.

    It is the mean, with each annotator's answer left out in turn, of min(matches among the others / 3, 1).
    """
    truths = [stripped(truth) for truth in truths]
    unanimous = len(set(truths)) == 1
    answer = stripped(answer) if unanimous else normalised(answer)
    matches = [(truth if unanimous else normalised(truth)) == answer for truth in truths]
    return sum(min(1.0, (sum(matches) - left_out) / 3) for left_out in matches) / len(truths)
