"""The files of a BERT tokenizer: `tokenizer.json`, or `vocab.txt`, and the settings beside them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tokenizers import AddedToken, Tokenizer
from tokenizers.implementations import BertWordPieceTokenizer
from tokenizers.normalizers import BertNormalizer

from vilt.common.errors import CheckpointError, short
from vilt.common.folder import Folder
from vilt.common.json_text import read_json
from vilt.processing.tokenizer.file_checks import MOST_VOCABULARY_BYTES, check_tokenizer

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
NAMES = {"unk_token": "[UNK]", "sep_token": "[SEP]", "pad_token": "[PAD]", "cls_token": "[CLS]", "mask_token": "[MASK]"}
LONGEST = 40  # tokens that ViLT reads
MOST_ADDITIONAL = 10_000  # special tokens beside those of BERT
LONGEST_TOKEN = 1000  # characters of a special token
UNLIMITED = 10**20  # what published settings have in place of no limit is larger


@dataclass
class Settings:
    """The settings in `tokenizer_config.json`.

    Attributes:
        names: Each special token by what it is for, "cls_token" and so on.
        lowercase: Whether texts are read in lower case.
        strip_accents: Whether accents are dropped; None: as `lowercase` says.
        chinese: Whether each Chinese character is a word.
        max_length: Tokens of a text that the model reads, None if the file does not say.
        padding_side, truncation_side: "right" or "left".
        given: The file as it is.
        additional: Further special tokens.
    """

    names: dict[str, str] = field(default_factory=lambda: dict(NAMES))
    lowercase: bool = True
    strip_accents: bool | None = None
    chinese: bool = True
    max_length: int | None = None
    padding_side: str = "right"
    truncation_side: str = "right"
    given: dict[str, Any] = field(default_factory=dict)
    additional: list[str] = field(default_factory=list)

    @property
    def special(self) -> dict[str, Any]:
        """Return the special tokens as files have them."""
        return {**self.names, **({"additional_special_tokens": list(self.additional)} if self.additional else {})}

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Settings:
        """Return the settings of a `tokenizer_config.json`."""
        names = {name: _content(given[name]) if given.get(name) else token for name, token in NAMES.items()}
        longest = given.get("model_max_length")
        sides = {key: given.get(key, "right") for key in ("padding_side", "truncation_side")}
        for key, side in sides.items():
            if side not in ("right", "left"):
                raise CheckpointError(f"{key} is {short(side)}; it is right or left")
        if not isinstance(given.get("strip_accents"), bool | None):
            raise CheckpointError(f"strip_accents is {short(given['strip_accents'])}; it is true, false or null")
        return cls(
            names,
            bool(given.get("do_lower_case", True)),
            given.get("strip_accents"),
            bool(given.get("tokenize_chinese_chars", True)),
            int(longest) if isinstance(longest, int | float) and 0 < longest < UNLIMITED else None,
            sides["padding_side"],
            sides["truncation_side"],
            dict(given),
            _several(given.get("additional_special_tokens")),
        )

    def normalizer(self) -> BertNormalizer:
        """Return what prepares texts."""
        return BertNormalizer(
            clean_text=True,
            handle_chinese_chars=self.chinese,
            strip_accents=self.strip_accents,
            lowercase=self.lowercase,
        )


def _content(token: Any) -> str:
    """Return a special token, which files have as a string or as an object."""
    text = token.get("content") if isinstance(token, Mapping) else token
    if isinstance(text, AddedToken):
        text = text.content
    if not isinstance(text, str) or len(text) > LONGEST_TOKEN:
        raise CheckpointError(f"a special token is {short(token)}; it is a short text")
    return text


def _several(tokens: Any) -> list[str]:
    if tokens is not None and not (isinstance(tokens, list | tuple) and len(tokens) <= MOST_ADDITIONAL):
        raise CheckpointError(
            f"additional_special_tokens is {short(tokens)}; it is a list of at most {MOST_ADDITIONAL} tokens"
        )
    return [_content(token) for token in tokens or ()]


def read(folder: Folder) -> tuple[Tokenizer, Settings]:
    """Read a tokenizer and its settings.

    As in transformers, `tokenizer_config.json` decides about case, accents and Chinese characters, if it is there.

    Raises:
        CheckpointError: A file is damaged, or says something that no tokenizer needs.
        FileNotFoundError: The folder has neither `tokenizer.json` nor `vocab.txt`.
    """
    name = "tokenizer_config.json"
    given = folder.read_json(name) if folder.exists(name) else None
    try:
        settings = Settings.of(given or {})
    except CheckpointError as error:
        raise CheckpointError(f"{folder.uri}/{name}: {error}") from None
    whole = folder.exists("tokenizer.json")
    where = f"{folder.uri}/{'tokenizer.json' if whole else 'vocab.txt'}"
    data = folder.read("tokenizer.json" if whole else "vocab.txt", MOST_VOCABULARY_BYTES)
    try:
        text = data.decode()
        if whole:
            values = read_json(text)
            check_tokenizer(values if isinstance(values, dict) else {}, where)
        tokenizer = Tokenizer.from_str(text) if whole else word_piece(words(text), settings)
    except CheckpointError:
        raise
    except BaseException as error:  # the library's own panics are no Exception
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        raise CheckpointError(f"{where} holds no tokenizer: {short(str(error))}") from None
    if not whole:
        tokenizer.add_special_tokens(settings.additional)
        return tokenizer, settings
    if given is not None and isinstance(tokenizer.normalizer, BertNormalizer):
        state = json.loads(tokenizer.normalizer.__getstate__())
        wanted = (settings.lowercase, settings.strip_accents, settings.chinese)
        if (state["lowercase"], state["strip_accents"], state["handle_chinese_chars"]) != wanted:
            tokenizer.normalizer = settings.normalizer()
    elif given is None and isinstance(tokenizer.normalizer, BertNormalizer):
        settings.lowercase = json.loads(tokenizer.normalizer.__getstate__())["lowercase"]
    return tokenizer, settings


def words(text: str) -> list[str]:
    """Return the words of a `vocab.txt`, one a line; a word's index is its id.

    Lines end where files end them: a word may be, or hold, U+2028, U+0085 or U+001C, where `str.splitlines` splits.
    """
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return lines if lines[-1] else lines[:-1]


def word_piece(words: Sequence[str], settings: Settings) -> Tokenizer:
    """Return a WordPiece tokenizer over words; of a word that is there twice the later id counts, as published."""
    if not words:
        raise CheckpointError("there are no words")
    names = {name.removesuffix("_token"): token for name, token in settings.names.items()}
    names["unk"] = names["unk"] if names["unk"] in words else words[0]
    made = BertWordPieceTokenizer(
        {word: index for index, word in enumerate(words)},
        unk_token=names["unk"],
        sep_token=names["sep"],
        cls_token=names["cls"],
        pad_token=names["pad"],
        mask_token=names["mask"],
        handle_chinese_chars=settings.chinese,
        strip_accents=settings.strip_accents,
        lowercase=settings.lowercase,
    )
    return made._tokenizer


def write(folder: Folder, tokenizer: Tokenizer, settings: Settings, max_length: int, processor: str | None) -> None:
    """Write `vocab.txt`, `tokenizer.json`, `tokenizer_config.json` and `special_tokens_map.json`.

    Args:
        folder: Where to.
        tokenizer: The tokenizer.
        settings: Its settings.
        max_length: Tokens of a text that the model reads.
        processor: The class that holds this and an image processor, which `AutoProcessor` reads.
    """
    by_id = {index: word for word, index in tokenizer.get_vocab().items()}
    lines = [by_id.get(index, "") for index in range(max(by_id) + 1)]  # ids without a word keep their line
    folder.write("vocab.txt", "".join(f"{word}\n" for word in lines))
    folder.write("tokenizer.json", tokenizer.to_str())
    values = {
        **{key: value for key, value in settings.given.items() if key not in ("auto_map", "additional_special_tokens")},
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": settings.lowercase,
        "strip_accents": settings.strip_accents,
        "tokenize_chinese_chars": settings.chinese,
        "model_max_length": max_length,
        "padding_side": settings.padding_side,
        "truncation_side": settings.truncation_side,
        **({"processor_class": processor} if processor else {}),
        **settings.special,
    }
    folder.write("special_tokens_map.json", json.dumps(settings.special, indent=2) + "\n")
    folder.write("tokenizer_config.json", json.dumps(values, indent=2) + "\n")
