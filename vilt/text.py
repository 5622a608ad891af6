"""Texts: the BERT uncased WordPiece tokenizer of a checkpoint, and `ViltProcessor`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from tokenizers import Tokenizer
from tokenizers.implementations import BertWordPieceTokenizer

from vilt.images import ViltImageProcessor
from vilt.outputs import Batch
from vilt.storage import Folder

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


class ViltTokenizer:
    """Text -> token ids [CLS] ... [SEP], at most `max_length` of them."""

    def __init__(self, tokenizer: Tokenizer, max_length: int = 40) -> None:
        self.tokenizer = tokenizer
        self.max_length = max_length
        tokenizer.no_padding()
        tokenizer.no_truncation()

    @classmethod
    def from_vocabulary(cls, words: Sequence[str], lowercase: bool = True, max_length: int = 40) -> ViltTokenizer:
        """A WordPiece tokenizer over `words`, the id of each being its place."""
        vocabulary = {word: index for index, word in enumerate(words)}
        return cls(BertWordPieceTokenizer(vocabulary, lowercase=lowercase)._tokenizer, max_length)

    @classmethod
    def from_pretrained(cls, uri: str, max_length: int = 40) -> ViltTokenizer:
        """Read `tokenizer.json`, or `vocab.txt` with `tokenizer_config.json`, from a folder or URI."""
        folder = Folder(uri)
        if folder.exists("tokenizer.json"):
            return cls(Tokenizer.from_str(folder.read("tokenizer.json").decode()), max_length)
        words = folder.read("vocab.txt").decode().splitlines()
        settings = folder.read_json("tokenizer_config.json") if folder.exists("tokenizer_config.json") else {}
        return cls.from_vocabulary(words, settings.get("do_lower_case", True), max_length)

    def save_pretrained(self, folder: str) -> None:
        """Write `vocab.txt`, `tokenizer.json`, `tokenizer_config.json` and `special_tokens_map.json`."""
        out = Folder(folder)
        vocabulary = self.tokenizer.get_vocab()
        out.write("vocab.txt", "".join(f"{word}\n" for word in sorted(vocabulary, key=vocabulary.__getitem__)))
        out.write("tokenizer.json", self.tokenizer.to_str())
        names = {f"{token.strip('[]').lower()}_token": token for token in SPECIAL_TOKENS}
        settings = {"tokenizer_class": "BertTokenizer", "do_lower_case": True, "model_max_length": self.max_length}
        out.write("special_tokens_map.json", json.dumps(names, indent=2) + "\n")
        out.write("tokenizer_config.json", json.dumps({**settings, **names}, indent=2) + "\n")

    def id(self, token: str) -> int:
        """The id of one token of the vocabulary."""
        found = self.tokenizer.token_to_id(token)
        if found is None:
            raise KeyError(f"{token!r} is not in the vocabulary")
        return found

    def __len__(self) -> int:
        return self.tokenizer.get_vocab_size()

    def ragged(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Texts -> (ids of all texts end to end, the length of each), int64; long texts are cut as BERT does."""
        encoded = self._encode(texts, self.max_length)
        lengths = np.array([len(ids) for ids in encoded], dtype=np.int64)
        return np.fromiter((i for ids in encoded for i in ids), dtype=np.int64, count=int(lengths.sum())), lengths

    def __call__(
        self,
        text: str | Sequence[str],
        padding: bool | str = False,
        truncation: bool | str | None = None,
        max_length: int | None = None,
        add_special_tokens: bool = True,
        return_tensors: str | None = None,
    ) -> Batch:
        """Texts -> `input_ids`, `token_type_ids` and `attention_mask`, int64 (B, T) each or lists, as BERT's tokenizer.

        padding: True or "longest" to the longest text, "max_length" to `max_length`. truncation: cut texts at
        `max_length`, the model's own length where that is not given.
        """
        length = max_length or self.max_length
        texts = [text] if isinstance(text, str) else text
        ids = self._encode(texts, length if truncation else None, add_special_tokens)
        longest = {False: 0, "max_length": length}.get(padding, max(map(len, ids), default=0))
        room = [max(0, longest - len(row)) for row in ids]
        data = {
            "input_ids": [row + [self.id("[PAD]")] * space for row, space in zip(ids, room, strict=True)],
            "token_type_ids": [[0] * (len(row) + space) for row, space in zip(ids, room, strict=True)],
            "attention_mask": [[1] * len(row) + [0] * space for row, space in zip(ids, room, strict=True)],
        }
        if isinstance(text, str) and return_tensors is None:
            return Batch({key: rows[0] for key, rows in data.items()})
        return Batch.of(data, return_tensors)

    def _encode(self, texts: Sequence[str], length: int | None, special: bool = True) -> list[list[int]]:
        """The ids of each text, cut to `length` as BERT does: the last of them is still [SEP]."""
        every = [e.ids for e in self.tokenizer.encode_batch(list(texts), add_special_tokens=special)]
        if length is None:
            return every
        end = 1 if special else 0
        return [ids if len(ids) <= length else ids[: length - end] + ids[len(ids) - end :] for ids in every]

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = False) -> str:
        """Token ids -> text."""
        return self.tokenizer.decode([int(i) for i in ids], skip_special_tokens=skip_special_tokens)


class ViltProcessor:
    """A `ViltImageProcessor` and a tokenizer, called together: what the published `ViltProcessor` is."""

    def __init__(self, image_processor: ViltImageProcessor, tokenizer: ViltTokenizer) -> None:
        self.image_processor = image_processor
        self.tokenizer = tokenizer

    @classmethod
    def from_pretrained(cls, uri: str) -> ViltProcessor:
        """Read both from a checkpoint folder or URI."""
        return cls(ViltImageProcessor.from_pretrained(uri), ViltTokenizer.from_pretrained(uri))

    def save_pretrained(self, folder: str) -> None:
        """Write both into `folder`."""
        self.image_processor.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)

    def __call__(
        self, images: Any, text: str | Sequence[str], return_tensors: str | None = None, **settings: Any
    ) -> Batch:
        """Images and as many texts -> the keyword arguments of the models' `forward`.

        `settings` are those of `ViltTokenizer.__call__`; the rest see `ViltImageProcessor.preprocess`.
        """
        texts = self.tokenizer(text, return_tensors=return_tensors, **settings)
        return Batch({**texts, **self.image_processor(images, return_tensors=return_tensors)})

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = False) -> str:
        """Token ids -> text."""
        return self.tokenizer.decode(ids, skip_special_tokens)
