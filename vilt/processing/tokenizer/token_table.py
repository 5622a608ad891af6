"""The tokens of a tokenizer: their ids, the special ones, those that were added, and the text that ids stand for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tokenizers import AddedToken, Tokenizer

from vilt.processing.features import as_lists
from vilt.processing.tokenizer.vocabulary import LONGEST, NAMES, Settings

NAMED = {f"{name}_id": name for name in NAMES}


class TokenTable:
    """Tokens and their ids, with the published names.

    Special tokens are attributes: `cls_token` and `cls_token_id`, `pad_token` and so on.

    Args:
        tokenizer: The WordPiece tokenizer.
        max_length: Tokens of a text that the model reads.
        settings: Names of special tokens and the like.
    """

    model_input_names = ("input_ids", "token_type_ids", "attention_mask")
    is_fast = True
    pad_token_type_id = 0

    def __init__(self, tokenizer: Tokenizer, max_length: int = LONGEST, settings: Settings | None = None) -> None:
        self.tokenizer = tokenizer
        self.max_length = max_length
        self.settings = settings or Settings()
        self.padding_side = self.settings.padding_side
        self.truncation_side = self.settings.truncation_side
        self.name_or_path = ""
        tokenizer.no_padding()
        tokenizer.no_truncation()

    def __getattr__(self, name: str) -> Any:
        """Return a special token, or its id."""
        names = self.__dict__["settings"].names if "settings" in self.__dict__ else {}
        if name in names:
            return names[name]
        if name in NAMED:
            return self.tokenizer.token_to_id(names[NAMED[name]])
        if name in ("bos_token", "eos_token", "bos_token_id", "eos_token_id"):
            return None
        raise AttributeError(f"{type(self).__name__!r} has no attribute {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        if name in NAMES:
            self.settings.names[name] = str(value)
        else:
            super().__setattr__(name, value)

    def id(self, token: str) -> int:
        """Return the id of one token of the vocabulary. Raises KeyError if there is none."""
        found: int | None = self.tokenizer.token_to_id(token)
        if found is None:
            raise KeyError(f"{token!r} is not in the vocabulary")
        return found

    def token(self, index: int) -> str:
        """Return the token with this id, "" if there is none."""
        return self.tokenizer.id_to_token(int(index)) or ""

    def __len__(self) -> int:
        return int(self.tokenizer.get_vocab_size())

    def __repr__(self) -> str:
        return f"{type(self).__name__}(vocab_size={self.vocab_size}, model_max_length={self.model_max_length})"

    @property
    def backend_tokenizer(self) -> Tokenizer:
        """Return the tokenizer of the tokenizers library."""
        return self.tokenizer

    @property
    def model_max_length(self) -> int:
        """Tokens of a text that the model reads."""
        return self.max_length

    @model_max_length.setter
    def model_max_length(self, value: int) -> None:
        self.max_length = value

    @property
    def max_len_single_sentence(self) -> int:
        """Tokens of a text without special ones."""
        return self.max_length - self.num_special_tokens_to_add(False)

    @property
    def max_len_sentences_pair(self) -> int:
        """Tokens of two texts without special ones."""
        return self.max_length - self.num_special_tokens_to_add(True)

    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        """Return how many special tokens a text, or a pair, gets."""
        return int(self.tokenizer.num_special_tokens_to_add(pair))

    @property
    def do_lower_case(self) -> bool:
        """Return whether texts are read in lower case."""
        return self.settings.lowercase

    @property
    def vocab_size(self) -> int:
        """Tokens in the vocabulary, without those that were added."""
        return int(self.tokenizer.get_vocab_size(with_added_tokens=False))

    @property
    def vocab(self) -> dict[str, int]:
        """Return the id of each token."""
        return self.get_vocab()

    def get_vocab(self) -> dict[str, int]:
        """Return the id of each token."""
        return dict(self.tokenizer.get_vocab(with_added_tokens=True))

    def get_added_vocab(self) -> dict[str, int]:
        """Return the id of each token that is looked for before words are."""
        return {token.content: index for index, token in sorted(self.added_tokens_decoder.items())}

    @property
    def added_tokens_decoder(self) -> dict[int, AddedToken]:
        """Return the tokens that are looked for before words are, by id."""
        return dict(self.tokenizer.get_added_tokens_decoder())

    @property
    def added_tokens_encoder(self) -> dict[str, int]:
        """Return the ids of the tokens that are looked for before words are."""
        return self.get_added_vocab()

    def save_vocabulary(self, save_directory: str, filename_prefix: str | None = None) -> tuple[str, ...]:
        """Write `vocab.txt`, with a prefix before its name, into a folder that is there; return its path."""
        return tuple(self.tokenizer.model.save(save_directory, filename_prefix))

    @property
    def special_tokens_map(self) -> dict[str, Any]:
        """Return each special token by what it is for."""
        return self.settings.special

    @property
    def all_special_tokens(self) -> list[str]:
        """Return all special tokens."""
        return list(dict.fromkeys((*self.settings.names.values(), *self.settings.additional)))

    @property
    def additional_special_tokens(self) -> list[str]:
        """Return the special tokens that have no name such as `cls_token`."""
        return list(self.settings.additional)

    @additional_special_tokens.setter
    def additional_special_tokens(self, value: Sequence[str | AddedToken]) -> None:
        self.settings.additional = [str(token) for token in value]

    @property
    def additional_special_tokens_ids(self) -> list[int]:
        """Return the ids of `additional_special_tokens`."""
        return self.convert_tokens_to_ids(self.additional_special_tokens)  # type: ignore[return-value]

    @property
    def all_special_ids(self) -> list[int]:
        """Return the ids of the special tokens."""
        return self.convert_tokens_to_ids(self.all_special_tokens)  # type: ignore[return-value]

    def add_tokens(
        self, new_tokens: str | AddedToken | Sequence[str | AddedToken], special_tokens: bool = False
    ) -> int:
        """Add tokens behind the vocabulary; return how many are new."""
        tokens = [new_tokens] if isinstance(new_tokens, str | AddedToken) else list(new_tokens)
        add = self.tokenizer.add_special_tokens if special_tokens else self.tokenizer.add_tokens
        return int(add(tokens))

    def add_special_tokens(
        self, special_tokens_dict: Mapping[str, Any], replace_additional_special_tokens: bool = True
    ) -> int:
        """Name special tokens; return how many are new.

        Args:
            special_tokens_dict: {"cls_token": ...} or {"additional_special_tokens": [...]}.
            replace_additional_special_tokens: Whether additional ones take the place of those before.
        """
        tokens: list[str | AddedToken] = []
        for name, value in special_tokens_dict.items():
            if name in NAMES:
                self.settings.names[name] = str(value)
                tokens.append(value)
            elif name == "additional_special_tokens":
                tokens += value
                before = [] if replace_additional_special_tokens else self.additional_special_tokens
                self.additional_special_tokens = list(dict.fromkeys([*before, *map(str, value)]))
            else:
                raise KeyError(f"{name!r} is not one of {', '.join(NAMES)}, additional_special_tokens")
        return self.add_tokens(tokens, special_tokens=True)

    def convert_tokens_to_ids(self, tokens: str | Sequence[str]) -> int | list[int]:
        """Return the id of a token, or of several; unknown ones have that of `unk_token`."""
        if isinstance(tokens, str):
            found = self.tokenizer.token_to_id(tokens)
            return int(self.unk_token_id if found is None else found)
        return [self.convert_tokens_to_ids(token) for token in tokens]  # type: ignore[misc]

    def convert_ids_to_tokens(self, ids: int | Sequence[int], skip_special_tokens: bool = False) -> str | list[str]:
        """Return the token of an id, or of several."""
        if isinstance(ids, int):
            return str(self.tokenizer.id_to_token(ids))
        skipped = set(self.all_special_ids) if skip_special_tokens else set()
        return [self.tokenizer.id_to_token(int(i)) for i in ids if int(i) not in skipped]

    def convert_tokens_to_string(self, tokens: Sequence[str]) -> str:
        """Join tokens to a text."""
        return str(self.tokenizer.decoder.decode(list(tokens)))

    def build_inputs_with_special_tokens(
        self, token_ids_0: Sequence[int], token_ids_1: Sequence[int] | None = None
    ) -> list[int]:
        """Return [CLS] A [SEP], or [CLS] A [SEP] B [SEP], as ids."""
        second = [] if token_ids_1 is None else [*token_ids_1, self.sep_token_id]
        return [self.cls_token_id, *token_ids_0, self.sep_token_id, *second]

    def create_token_type_ids_from_sequences(
        self, token_ids_0: Sequence[int], token_ids_1: Sequence[int] | None = None
    ) -> list[int]:
        """Return 0 for each token of [CLS] A [SEP], 1 for each of B [SEP]."""
        return [0] * (len(token_ids_0) + 2) + ([1] * (len(token_ids_1) + 1) if token_ids_1 is not None else [])

    def get_special_tokens_mask(
        self,
        token_ids_0: Sequence[int],
        token_ids_1: Sequence[int] | None = None,
        already_has_special_tokens: bool = False,
    ) -> list[int]:
        """Return 1 for each special token of ids that have them.

        Raises:
            ValueError: The ids have none yet, which only the published tokenizer in Python takes.
        """
        if not already_has_special_tokens or token_ids_1 is not None:
            raise ValueError("give one row of ids that has its special tokens, and already_has_special_tokens=True")
        special = set(self.all_special_ids)
        return [int(index in special) for index in token_ids_0]

    def decode(
        self, token_ids: Any, skip_special_tokens: bool = False, clean_up_tokenization_spaces: bool | None = None
    ) -> str:
        """Return the text of ids.

        Args:
            token_ids: One id, or several in a list, an array or a tensor.
            skip_special_tokens: Whether to leave special tokens out.
            clean_up_tokenization_spaces: Whether to drop blanks before punctuation, as the decoder of most files does
                in any case.
        """
        ids = as_lists(token_ids)
        ids = [ids] if isinstance(ids, int) else ids
        text = str(self.tokenizer.decode(ids, skip_special_tokens=skip_special_tokens))
        if clean_up_tokenization_spaces:
            for spaced in (" .", " ?", " !", " ,", " n't", " 'm", " 's", " 've", " 're"):
                text = text.replace(spaced, spaced[1:])
            text = text.replace(" ' ", "'")
        return text

    def batch_decode(self, sequences: Any, skip_special_tokens: bool = False, **settings: Any) -> list[str]:
        """Return the texts of several rows of ids; see `decode`."""
        return [self.decode(row, skip_special_tokens, **settings) for row in sequences]
