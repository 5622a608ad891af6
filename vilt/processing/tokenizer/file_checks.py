"""Check the files of a tokenizer that a stranger wrote: what it makes of a text is bounded by the text.

A `tokenizer.json` is a small program: it may name steps that replace every letter by a page, or search with patterns
that never end. Those of BERT's tokenizers, and the harmless ones beside them, are read; all else is refused by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from operator import itemgetter
from typing import Any

from tokenizers import Tokenizer

from vilt.common.counts import counted
from vilt.common.errors import CheckpointError, short

MOST_VOCABULARY_BYTES = 2**26
LONGEST_WORD = 1000  # characters of a word that WordPiece takes apart, in a time that grows with their square
LONGEST_PREFIX = 16
MOST_STEPS = 16  # of a normalizer or a pre-tokenizer
NORMALIZERS = ("BertNormalizer", "Lowercase", "NFC", "NFD", "NFKC", "NFKD", "Nmt", "Strip", "StripAccents")  # once each
PRE_TOKENIZERS = (
    "BertPreTokenizer",
    "CharDelimiterSplit",
    "Digits",
    "Metaspace",
    "Punctuation",
    "UnicodeScripts",
    "Whitespace",
    "WhitespaceSplit",
)
POST_PROCESSORS = ("BertProcessing", "TemplateProcessing")


def check_tokenizer(values: Mapping[str, Any], where: str) -> None:
    """Check a `tokenizer.json` before the tokenizers library builds it.

    Args:
        values: The file.
        where: Its name, for the message.

    Raises:
        CheckpointError: It names a step that is not known to be harmless, or a size that no tokenizer needs.
    """
    model = values.get("model")
    kind = model.get("type", "WordPiece") if isinstance(model, Mapping) else None
    if not isinstance(model, Mapping) or kind != "WordPiece":
        raise CheckpointError(f"{where}: the model is {short(kind or model)}; WordPiece is read, as BERT's")
    longest, prefix = model.get("max_input_chars_per_word", 100), model.get("continuing_subword_prefix", "##")
    if not isinstance(longest, int) or not 0 <= longest <= LONGEST_WORD:
        raise CheckpointError(f"{where}: max_input_chars_per_word is {short(longest)}; {LONGEST_WORD} is the most")
    if not isinstance(prefix, str) or len(prefix) > LONGEST_PREFIX:
        raise CheckpointError(f"{where}: continuing_subword_prefix is {short(prefix)}; it is a short text, as '##'")
    vocabulary = model.get("vocab")
    if not isinstance(vocabulary, Mapping) or not vocabulary:
        raise CheckpointError(f"{where}: vocab is {short(vocabulary)}; it is an object of the id of each word")
    if model.get("unk_token", "[UNK]") not in vocabulary:
        raise CheckpointError(f"{where}: unk_token is {short(model.get('unk_token'))}, which is not in vocab")
    _check_steps(values, "normalizer", "normalizers", NORMALIZERS, where)
    _check_steps(values, "pre_tokenizer", "pretokenizers", PRE_TOKENIZERS, where)
    _check_steps(values, "post_processor", "processors", POST_PROCESSORS, where)


def _check_steps(values: Mapping[str, Any], key: str, parts: str, known: tuple[str, ...], where: str) -> None:
    """Check the steps that a part of the tokenizer takes."""
    seen: set[str] = set()
    for count, step in enumerate(_steps(values.get(key), parts, where)):
        kind = step.get("type")
        if kind == "Replace" and key == "normalizer" and _does_not_expand(step):
            continue
        if not isinstance(kind, str) or kind not in known:
            raise CheckpointError(f"{where}: {key} is {short(kind)}; read are {', '.join(known)}")
        if count >= MOST_STEPS or kind in seen:
            raise CheckpointError(f"{where}: {key} takes more steps than any tokenizer needs")
        seen.add(kind)


def _steps(part: Any, parts: str, where: str, depth: int = 0) -> Iterator[Mapping[str, Any]]:
    """Yield the steps of a part, which may be a sequence of steps."""
    if part is None:
        return
    if not isinstance(part, Mapping) or depth > MOST_STEPS:
        raise CheckpointError(f"{where}: {short(part)} is no part of a tokenizer")
    if part.get("type") != "Sequence":
        yield part
        return
    inner = part.get(parts)
    if not isinstance(inner, list) or len(inner) > MOST_STEPS:
        raise CheckpointError(f"{where}: {parts} is {short(inner)}; it is a list of at most {MOST_STEPS} steps")
    for one in inner:
        yield from _steps(one, parts, where, depth + 1)


def _does_not_expand(step: Mapping[str, Any]) -> bool:
    """Return whether a step replaces a text by one that is not longer; patterns may take for ever."""
    pattern, content = step.get("pattern"), step.get("content")
    found = pattern.get("String") if isinstance(pattern, Mapping) else None
    return isinstance(found, str) and isinstance(content, str) and bool(found) and len(content) <= len(found)


def check_words(tokenizer: Tokenizer, rows: int, longest: int, source: str) -> None:
    """Check that a model has a row for every token, and room for a text beside the special tokens.

    Args:
        tokenizer: The tokenizer.
        rows: Of the model's table of words.
        longest: Tokens of a text that the model reads.
        source: Where the tokenizer is, for the message.

    Raises:
        CheckpointError: It has not.
    """
    token, index = max(tokenizer.get_vocab().items(), key=itemgetter(1), default=("", -1))
    if index >= rows:
        raise CheckpointError(
            f"{source}: the tokenizer has the token {short(token)} with the id {index}; the model's table of words has "
            f"{counted(rows, 'row')}"
        )
    special = tokenizer.num_special_tokens_to_add(False)
    if special >= longest:
        raise CheckpointError(
            f"{source}: the tokenizer adds {counted(special, 'token')} to a text; the model reads {longest}"
        )
    if (highest := max(tokenizer.encode("").ids, default=0)) >= rows:  # the post-processor has ids of its own
        raise CheckpointError(
            f"{source}: the tokenizer adds a token with the id {highest}; the model's table of words has "
            f"{counted(rows, 'row')}"
        )
