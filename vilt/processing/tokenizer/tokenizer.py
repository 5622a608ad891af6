"""The BERT uncased WordPiece tokenizer of a checkpoint, with the methods of transformers' `BertTokenizerFast`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Encoding
from typing_extensions import Self

from vilt.common.folder import Folder
from vilt.common.hub import split_options
from vilt.common.storage import Source, as_folder
from vilt.processing.features import BatchEncoding
from vilt.processing.tokenizer import vocabulary
from vilt.processing.tokenizer.padding import Lengths, pad_encodings, pad_values
from vilt.processing.tokenizer.token_table import TokenTable
from vilt.processing.tokenizer.vocabulary import LONGEST, SPECIAL_TOKENS, Settings

__all__ = ["SPECIAL_TOKENS", "ViltTokenizer"]
CHARACTERS = 10_000  # of a text are read at first: far more than the tokens that a model reads need
MOST_CHARACTERS = 1_000_000  # of a text are read at all; they hold fewer than 40 tokens only if made to
WIDEST_TOKEN = 250  # characters that a token takes at most, in texts that people write, blanks included
WORD_ENDS = " \t\n\r"


class ViltTokenizer(TokenTable):
    """Turn texts into token ids: [CLS] ... [SEP].

    Special tokens are attributes, as published: `cls_token` and `cls_token_id`, `pad_token` and so on.

    Args:
        tokenizer: The WordPiece tokenizer.
        max_length: Tokens of a text that the model reads.
        settings: Names of special tokens and the like.
    """

    @classmethod
    def from_vocabulary(cls, words: Sequence[str], lowercase: bool = True, max_length: int = LONGEST) -> Self:
        """Make a WordPiece tokenizer over `words`; a word's index is its id."""
        settings = Settings(lowercase=lowercase)
        return cls(vocabulary.word_piece(words, settings), max_length, settings)

    @classmethod
    def from_pretrained(cls, source: Source, max_length: int | None = None, **options: Any) -> Self:
        """Read `tokenizer.json`, or `vocab.txt`, and `tokenizer_config.json`.

        Args:
            source: A folder, any URI that fsspec opens, or a repository of the hub.
            max_length: Tokens of a text that the model reads; by default what the files say, else 40.
            **options: Settings that take the place of the file's, and keywords that say how to reach the hub.
        """
        hub, changes = split_options(options)
        tokenizer, settings = vocabulary.read(as_folder(source, hub))
        if changes:
            settings = Settings.of({**settings.given, **changes})
            tokenizer.normalizer = settings.normalizer()
        made = cls(tokenizer, max_length or settings.max_length or LONGEST, settings)
        made.name_or_path = str(source)
        return made

    def save_pretrained(self, save_directory: str | Path, processor_class: str | None = None) -> tuple[str, ...]:
        """Write `vocab.txt`, `tokenizer.json`, `tokenizer_config.json` and `special_tokens_map.json`.

        Args:
            save_directory: A folder or URI, made if it is missing.
            processor_class: The class that holds this and an image processor, which `AutoProcessor` reads.

        Returns:
            The names of the files.
        """
        self.settings.padding_side, self.settings.truncation_side = self.padding_side, self.truncation_side
        folder = Folder(str(save_directory))
        vocabulary.write(folder, self.tokenizer, self.settings, self.max_length, processor_class)
        names = ("tokenizer_config.json", "special_tokens_map.json", "vocab.txt", "tokenizer.json")
        return tuple(f"{save_directory}/{name}" for name in names)

    def ragged(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Tokenize for a model; long texts lose their end.

        Args:
            texts: The texts, of any length.

        Returns:
            The ids of all texts end to end, and the length of each, int64.
        """
        ids, lengths, _ = self.ragged_and_cut(texts)
        return ids, lengths

    def ragged_and_cut(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Tokenize as `ragged` does, and tell which texts lost their end.

        Args:
            texts: The texts, of any length.

        Returns:
            The ids of all texts end to end; the length of each, int64; and which have more tokens, bool.
        """
        read = self._encode_beginnings(texts, self.max_length)
        encoded = [encoding.ids for encoding, _ in read]
        lengths = np.array([len(ids) for ids in encoded], dtype=np.int64)
        ids = np.fromiter((i for ids in encoded for i in ids), dtype=np.int64, count=int(lengths.sum()))
        cut = [self._is_cut(text, *of) for text, of in zip(texts, read, strict=True)]
        return ids, lengths, np.array(cut, dtype=bool)

    def _is_cut(self, text: str, encoding: Encoding, read: int) -> bool:
        """Return whether a text, of which `read` characters were encoded, has more tokens than that."""
        full = len(encoding) >= self.max_length
        return bool((full and encoding.overflowing) or text[read:].strip())

    def _encode_beginnings(self, texts: Sequence[str], length: int, special: bool = True) -> list[tuple[Encoding, int]]:
        """Encode texts, at most `length` tokens each, without reading the rest of a text that is far longer.

        What a text begins with is tokenized in the same way whatever follows, up to where a word ends. The ids are
        those of the whole text, therefore, if there are enough; a beginning with too few is read anew, longer.

        Returns:
            Of each text the encoding, and how many characters were read for it.
        """

        def encode(parts: list[str]) -> list[tuple[Encoding, int]]:
            self.tokenizer.enable_truncation(length, direction="right")
            return list(zip(self._encode(parts, special), map(len, parts), strict=True))

        first = max(CHARACTERS, WIDEST_TOKEN * length)
        out = encode([_beginning(text, first) for text in texts])
        short = [i for i, text in enumerate(texts) if len(text) > first and len(out[i][0]) < length]
        for i, longer in zip(short, encode([_beginning(texts[i], MOST_CHARACTERS) for i in short]), strict=True):
            out[i] = longer
        return out

    def __call__(
        self,
        text: str | Sequence[str] | Sequence[Sequence[str]],
        text_pair: str | Sequence[str] | Sequence[Sequence[str]] | None = None,
        *,
        add_special_tokens: bool = True,
        padding: bool | str = False,
        truncation: bool | str | None = None,
        max_length: int | None = None,
        stride: int = 0,
        is_split_into_words: bool = False,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_tensors: str | None = None,
        return_token_type_ids: bool | None = None,
        return_attention_mask: bool | None = None,
        return_overflowing_tokens: bool = False,
        return_special_tokens_mask: bool = False,
        return_offsets_mapping: bool = False,
        return_length: bool = False,
        verbose: bool = True,
    ) -> BatchEncoding:
        """Tokenize texts, or pairs of texts. The arguments and their effects are those of BERT's published tokenizer.

        Args:
            text: A text, several, several pairs; or, with `is_split_into_words`, the words of one or of each.
            text_pair: The second text of each.
            add_special_tokens: Whether to add [CLS] and [SEP].
            padding: True or "longest" to the longest text, "max_length" to `max_length`.
            truncation: True, "longest_first", "only_first" or "only_second": which text loses its end.
            max_length: Most tokens; by default the model's own.
            stride: Tokens that the next piece of a text repeats, with `return_overflowing_tokens`.
            is_split_into_words: Whether texts are lists of words.
            pad_to_multiple_of: Pad up to a multiple of this.
            padding_side: "right" or "left", in place of the tokenizer's own.
            return_tensors: "pt", "np", or None for lists.
            return_token_type_ids: False to leave them out.
            return_attention_mask: False to leave it out.
            return_overflowing_tokens: Return the rest of long texts as further rows.
            return_special_tokens_mask: Return 1 for special tokens.
            return_offsets_mapping: Return the characters of each token.
            return_length: Return the tokens of each row.
            verbose: Taken, and changes nothing.

        Returns:
            `input_ids`, `token_type_ids` and `attention_mask`, int64 (B, T) or lists, and what else was asked for.

        Raises:
            ValueError: An argument is none of the above, or rows of different lengths do not make one array.
        """
        del verbose
        one = isinstance(text, str) or (is_split_into_words and not (text and isinstance(text[0], list | tuple)))
        texts: list[Any] = [text] if one else list(text)
        if text_pair is not None:
            texts = list(zip(texts, [text_pair] if one else text_pair, strict=True))
        lengths = Lengths.of(padding, truncation, max_length, self.max_length, pad_to_multiple_of)
        plain = all(isinstance(value, str) for value in texts) and not (stride or return_overflowing_tokens)
        if lengths.truncates and plain and self.truncation_side == "right" and lengths.strategy != "only_second":
            encodings = [encoding for encoding, _ in self._encode_beginnings(texts, lengths.most, add_special_tokens)]
        else:
            if lengths.truncates:
                self.tokenizer.enable_truncation(
                    lengths.most, stride=stride, strategy=lengths.strategy, direction=self.truncation_side
                )
            encodings = self._encode(texts, add_special_tokens, is_split_into_words)
        found = [
            (i, piece)
            for i, encoding in enumerate(encodings)
            for piece in (encoding, *(encoding.overflowing if return_overflowing_tokens else ()))
        ]
        pieces = [piece for _, piece in found]
        pad_encodings(pieces, lengths, padding_side or self.padding_side, self.pad_token_id, self.pad_token)
        data: dict[str, list[Any]] = {"input_ids": [piece.ids for piece in pieces]}
        for name, wanted, attribute in (
            ("token_type_ids", return_token_type_ids is not False, "type_ids"),
            ("attention_mask", return_attention_mask is not False, "attention_mask"),
            ("special_tokens_mask", return_special_tokens_mask, "special_tokens_mask"),
            ("offset_mapping", return_offsets_mapping, "offsets"),
        ):
            if wanted:
                data[name] = [getattr(piece, attribute) for piece in pieces]
        if return_length:
            data["length"] = [len(piece.ids) for piece in pieces]
        if return_overflowing_tokens:
            data["overflow_to_sample_mapping"] = [i for i, _ in found]
        if one and return_tensors is None and not return_overflowing_tokens:
            first = {key: rows[0] if isinstance(rows[0], list) else rows for key, rows in data.items()}
            return BatchEncoding(first, pieces)
        return BatchEncoding(data, pieces, return_tensors)

    def _encode(self, texts: Sequence[Any], special: bool, words: bool = False) -> list[Encoding]:
        """Encode with the truncation that was enabled, and disable it."""
        try:
            found: list[Encoding] = self.tokenizer.encode_batch(
                list(texts), add_special_tokens=special, is_pretokenized=words
            )
            return found
        finally:
            self.tokenizer.no_truncation()

    def encode_plus(self, text: Any, text_pair: Any = None, **settings: Any) -> BatchEncoding:
        """Tokenize one text, or one pair; see `__call__`."""
        return self(text, text_pair, **settings)

    def batch_encode_plus(self, batch_text_or_text_pairs: Sequence[Any], **settings: Any) -> BatchEncoding:
        """Tokenize several texts, or several pairs; see `__call__`."""
        return self(batch_text_or_text_pairs, **settings)

    def encode(self, text: Any, text_pair: Any = None, **settings: Any) -> Any:
        """Return the ids of one text, or of one pair; see `__call__`."""
        return self(text, text_pair, **settings)["input_ids"]

    def tokenize(self, text: str, pair: str | None = None, add_special_tokens: bool = False) -> list[str]:
        """Return the tokens of a text, or of a pair."""
        return self(text, pair, add_special_tokens=add_special_tokens).tokens()

    def pad(
        self,
        encoded_inputs: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        padding: bool | str = True,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_attention_mask: bool | None = None,
        return_tensors: str | None = None,
        verbose: bool = True,
    ) -> BatchEncoding:
        """Pad rows that were tokenized before: what a collate function does. The arguments are as in `__call__`."""
        del verbose
        lengths = Lengths.of(padding, False, max_length, self.max_length, pad_to_multiple_of)
        side, mask = padding_side or self.padding_side, return_attention_mask is not False
        return pad_values(encoded_inputs, lengths, side, self.pad_token_id, mask, return_tensors)


def _beginning(text: str, most: int) -> str:
    """Return at most `most` characters of a text, up to where a word ends if there is such a place."""
    if len(text) <= most:
        return text
    end = max(text.rfind(blank, 0, most) for blank in WORD_ENDS)
    return text[: end if end > 0 else most]
