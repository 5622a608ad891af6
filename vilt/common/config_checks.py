"""Check the values of a `config.json` before anything is made of them. Imports no torch.

The limits are far beyond every published model, and low enough that making a model's skeleton takes no memory. Whether
the sizes are those of the stored tensors is checked by `vilt.checkpoints.loading`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vilt.common.errors import CheckpointError, short

MOST_LABELS = 10**6  # a config that names more is no honest one, and would fill the memory
MOST_LAYERS = 1000
MOST_NUMBER = 1e6  # of what is no size: rates, means, scales
SIZES: dict[str, tuple[int, int]] = {  # whole numbers: the least and the most
    "vocab_size": (1, 10**7),
    "type_vocab_size": (1, 10**4),
    "modality_type_vocab_size": (1, 10**4),
    "max_position_embeddings": (3, 10**6),
    "hidden_size": (1, 2**17),
    "num_hidden_layers": (0, MOST_LAYERS),
    "num_attention_heads": (1, 2**17),
    "intermediate_size": (1, 2**20),
    "num_channels": (1, 1024),
    "max_image_length": (-1, 2**20),
    "num_images": (-1, 64),
    "num_labels": (0, MOST_LABELS),
    "encoder_stride": (1, 2**14),
    "pooler_output_size": (1, 2**17),
    "visual_embedding_dim": (1, 2**20),
    "chunk_size_feed_forward": (0, 2**31),
}
SIDES: dict[str, tuple[int, int]] = {"image_size": (1, 2**14), "patch_size": (1, 2**14)}  # one, or height and width
SHARES = ("hidden_dropout_prob", "attention_probs_dropout_prob")
NUMBERS = ("initializer_range", "layer_norm_eps")
SWITCHES = (
    "qkv_bias",
    "tie_word_embeddings",
    "output_hidden_states",
    "output_attentions",
    "return_dict",
    "use_return_dict",
    "bypass_transformer",
    "special_visual_initialize",
)
WORDS = ("hidden_act", "pooler_act", "model_type", "dtype", "torch_dtype", "problem_type", "attn_implementation")
TOKENS = ("pad_token_id", "bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id")
MAY_BE_NULL = (*WORDS, *TOKENS, "num_labels", "pooler_output_size", "return_dict", "use_return_dict")


def check_config(values: Mapping[str, Any], source: str, known: type) -> None:
    """Check every known key of a config, and that no other key hides a method of the class.

    Args:
        values: The keys of a `config.json`.
        source: The folder, for the message.
        known: The class that the keys become attributes of.

    Raises:
        CheckpointError: A value is of no use. The line names the file, the key and the value.
    """
    where = f"{source}/config.json"
    for key, value in values.items():
        wanted = None if value is None and key in MAY_BE_NULL else _fault(key, value)
        if wanted:
            raise CheckpointError(f"{where}: {short(key)[1:-1]} is {short(value)}; it is {wanted}")
        if _hides(key, known):
            raise CheckpointError(f"{where}: the key {short(key)} has the name of something else; remove it")
    heads, layers = values.get("num_attention_heads", 12), values.get("num_hidden_layers", 12)
    for layer, pruned in (values.get("pruned_heads") or {}).items():
        if not -layers <= int(layer) < layers or not set(pruned) < set(range(heads)):
            what = f"pruned_heads names {short(pruned)} of layer {layer}"
            raise CheckpointError(f"{where}: {what}; there are {layers} layers of {heads} heads")
    width = values.get("hidden_size")
    if width is not None and "num_attention_heads" in values and width % heads:
        raise CheckpointError(f"{where}: hidden_size {width} is not a multiple of num_attention_heads {heads}")


def _fault(key: str, value: Any) -> str | None:
    """Return what a value should be; None if it is that, or if the key is not known here."""
    if key in SIZES:
        low, high = SIZES[key]
        return None if is_whole(value, low, high) else f"a whole number from {low} to {high}"
    if key in SIDES:
        low, high = SIDES[key]
        sides = value if isinstance(value, list | tuple) and len(value) == 2 else [value]
        good = all(is_whole(side, low, high) for side in sides)
        return None if good else f"a whole number from {low} to {high}, or two of them"
    if key in SHARES:
        return None if is_number(value) and 0 <= value <= 1 else "a number from 0 to 1"
    if key in NUMBERS:
        return None if is_number(value) and value >= 0 else "a number from 0"
    if key in SWITCHES:
        return None if isinstance(value, bool) else "true or false"
    if key in WORDS:
        return None if isinstance(value, str) and len(value) <= 100 else "a short text"
    if key in TOKENS:
        return None if is_whole(value, -1, 10**7) else "the number of a token, or null"
    if key in ("id2label", "label2id", "pruned_heads"):
        return _fault_of_table(key, value)
    return None


def _fault_of_table(key: str, value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, Mapping) or len(value) > MOST_LABELS:
        return f"an object of at most {MOST_LABELS} entries"
    for name, entry in value.items():
        index, other = (entry, name) if key == "label2id" else (name, entry)
        from_end = key == "pruned_heads" and isinstance(index, str) and index.startswith("-")  # -1 is the last layer
        if not _is_index(index[1:] if from_end else index, MOST_LABELS):
            return f"an object with whole numbers from 0 to {MOST_LABELS} (not {short(index)})"
        if key == "pruned_heads":
            if not isinstance(other, list) or not all(is_whole(head, 0, 2**17) for head in other):
                return "an object of lists of heads by layer"
        elif not isinstance(other, str):
            return f"an object of names (not {short(other)})"
    return None


def is_whole(value: Any, low: int, high: int) -> bool:
    """Return whether a value of a file is an integer from `low` to `high`."""
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def is_number(value: Any) -> bool:
    """Return whether a value of a file is a number nearer to 0 than `MOST_NUMBER`: no NaN, infinity or 10^400."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < MOST_NUMBER


def _is_index(value: Any, most: int) -> bool:
    """Return whether a value is a whole number, or its digits, as JSON has the keys of objects."""
    if isinstance(value, str):
        return value.isascii() and value.isdigit() and len(value) < 10 and int(value) <= most
    return is_whole(value, 0, most)


def _hides(key: str, known: type) -> bool:
    """Return whether a key, made an attribute, would take the place of a method or of Python's own names."""
    if key.startswith("__"):
        return True
    found = getattr(known, key, None)
    return callable(found) or (isinstance(found, property) and found.fset is None and key != "use_return_dict")
