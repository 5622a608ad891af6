"""Texts: the BERT uncased WordPiece tokenizer of a checkpoint, and `ViltProcessor`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from tokenizers import Encoding, Tokenizer
from tokenizers.implementations import BertWordPieceTokenizer

from vilt.common.outputs import Batch
from vilt.common.storage import Folder, Source, as_folder
from vilt.processing.images import ViltImageProcessor

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
    def from_pretrained(cls, uri: Source, max_length: int = 40) -> ViltTokenizer:
        """Read `tokenizer.json`, or `vocab.txt` with `tokenizer_config.json`, from a folder or URI."""
        folder = as_folder(uri)
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

    def token(self, index: int) -> str:
        """The token with this id."""
        return self.tokenizer.id_to_token(int(index)) or ""

    def __len__(self) -> int:
        return self.tokenizer.get_vocab_size()

    def ragged(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Texts -> (ids of all texts end to end, the length of each), int64; long texts are cut as BERT does."""
        self.tokenizer.enable_truncation(self.max_length)
        encoded = [encoding.ids for encoding in self._encode(texts, True)]
        lengths = np.array([len(ids) for ids in encoded], dtype=np.int64)
        return np.fromiter((i for ids in encoded for i in ids), dtype=np.int64, count=int(lengths.sum())), lengths

    def __call__(
        self,
        text: str | Sequence[str] | Sequence[Sequence[str]],
        add_special_tokens: bool = True,
        padding: bool | str = False,
        truncation: bool | str | None = None,
        max_length: int | None = None,
        stride: int = 0,
        pad_to_multiple_of: int | None = None,
        return_token_type_ids: bool | None = None,
        return_attention_mask: bool | None = None,
        return_overflowing_tokens: bool = False,
        return_special_tokens_mask: bool = False,
        return_offsets_mapping: bool = False,
        return_length: bool = False,
        verbose: bool = True,
        return_tensors: str | None = None,
    ) -> Batch:
        """Texts, or pairs of texts -> `input_ids`, `token_type_ids` and `attention_mask`, int64 (B, T) or lists.

        The arguments and their effects are those of BERT's published tokenizer. padding: True or "longest" to the
        longest text, "max_length" to `max_length`. truncation: cut texts at `max_length`, the model's own length where
        that is not given; stride: tokens that a cut text's next piece repeats, with `return_overflowing_tokens`.
        """
        del verbose
        length = max_length or self.max_length
        if max_length and not padding and truncation is None:
            truncation = True  # as the published tokenizer takes it
        if truncation and truncation != "do_not_truncate":
            strategy = "longest_first" if truncation is True else str(truncation)
            self.tokenizer.enable_truncation(length, stride=stride, strategy=strategy)
        if padding and padding != "do_not_pad":
            to = length if padding == "max_length" else None
            self.tokenizer.enable_padding(pad_id=self.id("[PAD]"), length=to, pad_to_multiple_of=pad_to_multiple_of)
        texts = [text] if isinstance(text, str) else text
        found = [
            (i, piece)
            for i, encoding in enumerate(self._encode(texts, add_special_tokens))
            for piece in (encoding, *(encoding.overflowing if return_overflowing_tokens else ()))
        ]
        data: dict[str, list[Any]] = {"input_ids": [piece.ids for _, piece in found]}
        for name, wanted, attribute in (
            ("token_type_ids", return_token_type_ids is not False, "type_ids"),
            ("attention_mask", return_attention_mask is not False, "attention_mask"),
            ("special_tokens_mask", return_special_tokens_mask, "special_tokens_mask"),
            ("offset_mapping", return_offsets_mapping, "offsets"),
        ):
            if wanted:
                data[name] = [getattr(piece, attribute) for _, piece in found]
        if return_length:
            data["length"] = [len(piece.ids) for _, piece in found]
        if return_overflowing_tokens:
            data["overflow_to_sample_mapping"] = [i for i, _ in found]
        if isinstance(text, str) and return_tensors is None and not return_overflowing_tokens:
            return Batch({key: rows[0] if isinstance(rows[0], list) else rows for key, rows in data.items()})
        return Batch.of(data, return_tensors)

    def _encode(self, texts: Sequence[Any], special: bool) -> list[Encoding]:
        """Encode with the truncation and padding that were enabled, and disable them."""
        try:
            return self.tokenizer.encode_batch(list(texts), add_special_tokens=special)
        finally:
            self.tokenizer.no_truncation()
            self.tokenizer.no_padding()

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = False) -> str:
        """Token ids -> text."""
        return self.tokenizer.decode([int(i) for i in ids], skip_special_tokens=skip_special_tokens)

    def batch_decode(self, rows: Sequence[Sequence[int]], skip_special_tokens: bool = False) -> list[str]:
        """Several texts' token ids -> texts."""
        return [self.decode(ids, skip_special_tokens) for ids in rows]


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
        self,
        images: Any,
        text: str | Sequence[str] | Sequence[Sequence[str]],
        add_special_tokens: bool = True,
        padding: bool | str = False,
        truncation: bool | str | None = None,
        max_length: int | None = None,
        stride: int = 0,
        pad_to_multiple_of: int | None = None,
        return_token_type_ids: bool | None = None,
        return_attention_mask: bool | None = None,
        return_overflowing_tokens: bool = False,
        return_special_tokens_mask: bool = False,
        return_offsets_mapping: bool = False,
        return_length: bool = False,
        verbose: bool = True,
        return_tensors: str | None = None,
        **settings: Any,
    ) -> Batch:
        """Images and as many texts -> the keyword arguments of the models' `forward`.

        See `ViltTokenizer.__call__` for the texts; `settings` are those of `ViltImageProcessor.preprocess`.
        """
        texts = self.tokenizer(
            text,
            add_special_tokens=add_special_tokens,
            padding=padding,
            truncation=truncation,
            max_length=max_length,
            stride=stride,
            pad_to_multiple_of=pad_to_multiple_of,
            return_token_type_ids=return_token_type_ids,
            return_attention_mask=return_attention_mask,
            return_overflowing_tokens=return_overflowing_tokens,
            return_special_tokens_mask=return_special_tokens_mask,
            return_offsets_mapping=return_offsets_mapping,
            return_length=return_length,
            verbose=verbose,
            return_tensors=return_tensors,
        )
        return Batch({**texts, **self.image_processor(images, return_tensors=return_tensors, **settings)})

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = False) -> str:
        """Token ids -> text."""
        return self.tokenizer.decode(ids, skip_special_tokens)

    def batch_decode(self, rows: Sequence[Sequence[int]], skip_special_tokens: bool = False) -> list[str]:
        """Several texts' token ids -> texts."""
        return self.tokenizer.batch_decode(rows, skip_special_tokens)
