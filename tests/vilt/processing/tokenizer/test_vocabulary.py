"""The files of a tokenizer: one word a line, and the settings beside them."""

import json
from pathlib import Path
from typing import Any

import pytest
import transformers

from vilt import ViltTokenizer
from vilt.common.folder import Folder
from vilt.processing.tokenizer.vocabulary import SPECIAL_TOKENS, Settings, read, word_piece, words, write

ODD = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "\u2028",
    "a\u0085b",
    "\x1c",
    "\x0b",
    "\x0c",
    "\u2029",
    "",
    "star",
    "red",
]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("last", [True, False])
def test_only_ends_of_lines_end_words(tmp_path: Path, end: str, last: bool) -> None:
    """bert-base-chinese has a word that is U+2028."""
    (tmp_path / "vocab.txt").write_bytes((end.join(ODD) + (end if last else "")).encode())
    ours, theirs = ViltTokenizer.from_pretrained(str(tmp_path)), transformers.BertTokenizer(tmp_path / "vocab.txt")
    assert ours.get_vocab() == theirs.get_vocab() == {word: index for index, word in enumerate(ODD)}
    assert ours("red star")["input_ids"] == theirs("red star")["input_ids"] == [2, 13, 12, 3]
    ours.save_pretrained(str(tmp_path / "saved"))
    (tmp_path / "saved" / "tokenizer.json").unlink()
    assert ViltTokenizer.from_pretrained(str(tmp_path / "saved")).get_vocab() == ours.get_vocab()


def test_ids_without_a_word_keep_their_line(tmp_path: Path) -> None:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "red", "red", "star"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    ours = ViltTokenizer.from_pretrained(str(tmp_path))
    assert ours("red star")["input_ids"] == [2, 6, 7, 3]
    ours.save_pretrained(str(tmp_path))
    (tmp_path / "tokenizer.json").unlink()
    assert ViltTokenizer.from_pretrained(str(tmp_path))("red star")["input_ids"] == [2, 6, 7, 3]


@pytest.mark.parametrize("files", ["vocab.txt", "tokenizer.json"])
@pytest.mark.parametrize(
    "config",
    [
        {"do_lower_case": False},
        {"strip_accents": False},
        {"strip_accents": True},
        {"tokenize_chinese_chars": False},
        {},
    ],
)
def test_settings_beside_the_vocabulary_decide(tmp_path: Path, files: str, config: dict[str, bool]) -> None:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "red", "Red", "élan", "elan", "Élan", "Elan", "中", "中中"]
    ViltTokenizer.from_vocabulary(words).save_pretrained(str(tmp_path))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer", **config}))
    if files == "vocab.txt":
        (tmp_path / "tokenizer.json").unlink()
    caption = "Red Élan elan 中中"
    expected = transformers.BertTokenizerFast.from_pretrained(tmp_path)(caption)["input_ids"]
    assert ViltTokenizer.from_pretrained(str(tmp_path))(caption)["input_ids"] == expected


def test_named_special_tokens(tmp_path: Path) -> None:
    names = {
        "cls_token": "<s>",
        "sep_token": {"content": "</s>"},
        "pad_token": "<pad>",
        "unk_token": "<unk>",
        "mask_token": "<m>",
    }
    (tmp_path / "vocab.txt").write_text("\n".join(["<pad>", "<unk>", "<s>", "</s>", "<m>", "red"]))
    (tmp_path / "tokenizer_config.json").write_text(
        json.dumps({"model_max_length": 5, "padding_side": "left", **names})
    )
    tokenizer = ViltTokenizer.from_pretrained(str(tmp_path))
    assert tokenizer(["red", "red blue"], padding=True)["input_ids"] == [[0, 2, 5, 3], [2, 5, 1, 3]]
    assert (tokenizer.model_max_length, tokenizer.cls_token_id, tokenizer.mask_token) == (5, 2, "<m>")
    assert ViltTokenizer.from_pretrained(str(tmp_path), 7).model_max_length == 7


@pytest.mark.parametrize(
    ("text", "found"),
    [("", []), ("a\nb", ["a", "b"]), ("a\nb\n", ["a", "b"]), ("a\r\n\r\nb", ["a", "", "b"]), ("\n", [""])],
)
def test_words_of_a_file(text: str, found: list[str]) -> None:
    assert words(text) == found


@pytest.mark.parametrize(
    ("given", "length"),
    [({}, None), ({"model_max_length": 512}, 512), ({"model_max_length": 1e30}, None), ({"model_max_length": 0}, None)],
)
def test_lengths_that_are_limits(given: dict[str, Any], length: int | None) -> None:
    assert Settings.of(given).max_length == length


def test_settings_of_a_file() -> None:
    settings = Settings.of(
        {"do_lower_case": False, "cls_token": {"content": "<s>"}, "mask_token": None, "padding_side": "left"}
    )
    assert (settings.lowercase, settings.padding_side, settings.truncation_side) == (False, "left", "right")
    assert (settings.names["cls_token"], settings.names["mask_token"]) == ("<s>", "[MASK]")
    assert settings.given["do_lower_case"] is False
    assert Settings().names is not Settings().names


def test_a_vocabulary_without_an_unknown_word() -> None:
    tokenizer = word_piece(["a", "[CLS]", "[SEP]"], Settings())
    assert tokenizer.encode("a b").tokens == ["[CLS]", "a", "a", "[SEP]"], "its first word stands for them"


def test_written_and_read(tmp_path: Path) -> None:
    settings = Settings.of({"do_lower_case": False, "added": 1, "auto_map": {"x": "code"}})
    write(Folder(tmp_path), word_piece([*SPECIAL_TOKENS, "Red"], settings), settings, 17, "ViltProcessor")
    tokenizer, found = read(Folder(tmp_path))
    assert (found.lowercase, found.max_length, found.given["processor_class"]) == (False, 17, "ViltProcessor")
    assert found.given["added"] == 1
    assert "auto_map" not in found.given, "no code comes with it"
    assert tokenizer.encode("Red").tokens == ["[CLS]", "Red", "[SEP]"]


def test_folders_without_a_tokenizer(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"^no vocab\.txt in "):
        read(Folder(tmp_path))
