"""Texts: the BERT uncased WordPiece tokenizer of a checkpoint, and `ViltProcessor`."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import torch
from tokenizers import Tokenizer
from tokenizers.implementations import BertWordPieceTokenizer
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from vilt.images import ImageInput, ViltImageProcessor
from vilt.storage import Folder

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


class ViltTokenizer:
    """Text -> token ids [CLS] ... [SEP], at most `max_length` of them."""

    def __init__(self, tokenizer: Tokenizer, max_length: int = 40) -> None:
        self.tokenizer = tokenizer
        self.max_length = max_length
        tokenizer.no_padding()
        tokenizer.enable_truncation(max_length)

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
        self.tokenizer.no_truncation()
        out.write("tokenizer.json", self.tokenizer.to_str())
        self.tokenizer.enable_truncation(self.max_length)
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
        encoded = [e.ids for e in self.tokenizer.encode_batch(list(texts))]
        lengths = np.array([len(ids) for ids in encoded], dtype=np.int64)
        return np.fromiter((i for ids in encoded for i in ids), dtype=np.int64, count=int(lengths.sum())), lengths


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

    def __call__(self, images: ImageInput | Sequence[ImageInput], text: str | Sequence[str]) -> dict[str, Tensor]:
        """Images and as many texts -> the keyword arguments of the models' `forward`, texts padded to the longest.

        input_ids, attention_mask, token_type_ids: int64 (B, T). pixel_values, pixel_mask: see `ViltImageProcessor`.
        """
        ids, lengths = self.tokenizer.ragged([text] if isinstance(text, str) else text)
        rows = [torch.from_numpy(part) for part in np.split(ids, np.cumsum(lengths)[:-1])]
        input_ids = pad_sequence(rows, batch_first=True, padding_value=self.tokenizer.id("[PAD]"))
        attention_mask = torch.arange(input_ids.shape[1])[None] < torch.from_numpy(lengths)[:, None]
        return {
            "input_ids": input_ids,
            "attention_mask": attention_mask.long(),
            "token_type_ids": torch.zeros_like(input_ids),
            **self.image_processor(images),
        }
