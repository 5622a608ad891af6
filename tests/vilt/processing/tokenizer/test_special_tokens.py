"""Special tokens beside BERT's own, as people add them before fine-tuning, beside transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import transformers

import vilt
from tests.parity.checkpoints import WORDS


def both(folder: Path) -> list[Any]:
    """Return the tokenizer of a folder in both libraries."""
    return [
        kind.from_pretrained(str(folder / name))
        for kind, name in ((vilt.ViltTokenizer, "ours"), (transformers.BertTokenizerFast, "theirs"))
    ]


@pytest.fixture
def tokenizers(tmp_path: Path) -> list[Any]:
    for name in ("ours", "theirs"):
        vilt.ViltTokenizer.from_vocabulary(WORDS).save_pretrained(tmp_path / name)
    return both(tmp_path)


def said(tokenizer: Any) -> dict[str, Any]:
    """Return what a tokenizer says of its special tokens."""
    ids = tokenizer("a <img> red <box>")["input_ids"]
    return {
        "ids": ids,
        "additional": [str(token) for token in tokenizer.additional_special_tokens],
        "additional ids": tokenizer.additional_special_tokens_ids,
        "all": [str(token) for token in tokenizer.all_special_tokens],
        "map": dict(tokenizer.special_tokens_map),
        "length": len(tokenizer),
        "decoded": tokenizer.decode(ids, skip_special_tokens=True),
        "tokens": tokenizer.convert_ids_to_tokens(ids, skip_special_tokens=True),
    }


@pytest.mark.parametrize("replace", [True, False])
def test_additional_tokens_are_kept_through_files(tokenizers: list[Any], tmp_path: Path, replace: bool) -> None:
    for tokenizer in tokenizers:
        assert tokenizer.add_special_tokens({"additional_special_tokens": ["<img>"]}) == 1
        assert tokenizer.add_special_tokens({"additional_special_tokens": ["<box>"]}, replace) == 1
    ours, theirs = map(said, tokenizers)
    assert ours == theirs
    assert ours["additional"] == (["<box>"] if replace else ["<img>", "<box>"])
    for tokenizer, name in zip(tokenizers, ("ours", "theirs"), strict=True):
        tokenizer.save_pretrained(tmp_path / name)
    again = [said(tokenizer) for tokenizer in both(tmp_path)]
    assert again == [ours, theirs]
    crossed = transformers.BertTokenizerFast.from_pretrained(str(tmp_path / "ours"))
    assert said(crossed) == ours
    assert said(vilt.ViltTokenizer.from_pretrained(str(tmp_path / "theirs"))) == ours


def test_additional_tokens_of_a_vocabulary_without_tokenizer_json(tokenizers: list[Any], tmp_path: Path) -> None:
    tokenizers[0].add_special_tokens({"additional_special_tokens": ["<img>", "<box>"]})
    expected = said(tokenizers[0])
    tokenizers[0].save_pretrained(tmp_path / "ours")
    (tmp_path / "ours" / "tokenizer.json").unlink()
    assert said(vilt.ViltTokenizer.from_pretrained(str(tmp_path / "ours"))) == expected


@pytest.mark.parametrize("value", [3, "<img>", [4], [["<img>"]], ["x" * 2000]])
@pytest.mark.usefixtures("tokenizers")
def test_other_values_in_a_file_are_refused_in_one_line(tmp_path: Path, value: object) -> None:
    path = tmp_path / "ours" / "tokenizer_config.json"
    path.write_text(transformers.BertConfig(additional_special_tokens=value).to_json_string())
    with pytest.raises(ValueError, match=r"special.token.* is .*; it is a ") as caught:
        vilt.ViltTokenizer.from_pretrained(str(tmp_path / "ours"))
    assert len(str(caught.value).splitlines()) == 1
