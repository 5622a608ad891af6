"""Checkpoints in the published format: `vilt convert`.

Reads a `.ckpt` file of the original project, or a published folder, also one with `pytorch_model.bin`. Every head that
has a published class is written; `itm_score`, the matching head of the pretraining, has none and is left out.
"""

from __future__ import annotations

import json
import sys

from vilt import ViltConfig, ViltImageProcessor, ViltModel, ViltTokenizer
from vilt.checkpoints import state_dict as checkpoint
from vilt.common.storage import Folder, read_file
from vilt.inference.heads import Head
from vilt.models.vilt import original
from vilt.models.vilt.heads import ViltWithHead, heads_in

PROCESSOR = "preprocessor_config.json"
VOCABULARY = ("vocab.txt", "tokenizer.json")  # either is enough
TOKENIZER = (*VOCABULARY, "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
CONSTANT_OR_TIED = ("embeddings.text_embeddings.position_ids", "mlm_score.decoder.bias")  # in some published files


def convert_file(source: str, out: str, tokenizer: str | None = None, labels: str | None = None) -> int:
    """Convert and say what was written; the exit code, 2 after one line about what was wrong."""
    try:
        print("\n".join(convert(source, out, tokenizer, labels)))
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def convert(source: str, out: str, tokenizer: str | None = None, labels: str | None = None) -> list[str]:
    """Write the folder `out`; lines for a person.

    tokenizer: a folder to take the tokenizer from, the source's own where not given. labels: see `read_labels`.
    Raises ValueError or OSError in one line, before anything is written.
    """
    if Folder(out).exists(checkpoint.SAFETENSORS):
        raise ValueError(f"{out!r} already holds a {checkpoint.SAFETENSORS}: give a new folder")
    files: dict[str, bytes] = {}
    left_out: list[str] = []
    processor = ViltImageProcessor()
    if original.is_original(source):
        config, tensors, _, left_out, short_side = original.read(source)
        processor = ViltImageProcessor(size={"shortest_edge": short_side})
    else:
        config, tensors = ViltConfig.from_pretrained(source), checkpoint.read(source)[0]
        if Folder(source).exists(PROCESSOR):
            processor = ViltImageProcessor.from_pretrained(source)
        files = _tokenizer_files(source)
    model, heads = _build(config, tensors, source)
    if labels:
        config.id2label = _checked(read_labels(labels), labels, config, heads)
    if tokenizer:
        files = _tokenizer_files(tokenizer)
        _check_tokenizer(tokenizer, files, config)
    kinds = {type(head) for head in heads.values()}
    classes = [kind.__name__ for kind in ViltWithHead.__subclasses__() if kind.head_class in kinds]
    config.architectures = config.architectures or classes or ["ViltModel"]
    config.save_pretrained(out)
    processor.save_pretrained(out)
    for name, content in files.items():
        Folder(out).write(name, content)
    checkpoint.save(out, model, heads)
    lines = [f"{out}: {', '.join(config.architectures or [])}"]
    lines += [f"left out, as no published class has them: {', '.join(left_out)}"] if left_out else []
    hint = f"{out} has no tokenizer yet: copy a vocab.txt there, or convert with --tokenizer FOLDER"
    return lines if files else [*lines, hint]


def _build(config: ViltConfig, tensors: checkpoint.Tensors, source: str) -> tuple[ViltModel, dict[str, Head]]:
    """The model and the heads by their names. Raises ValueError where a tensor is missing or has no place."""
    found = heads_in(tensors, config)
    heads = {head.name: head for head in found.values() if isinstance(head, Head)}
    model = ViltModel(config, add_pooling_layer="embed" in found)
    unused = [name for name in checkpoint.fill(model, heads, tensors, source) if name not in CONSTANT_OR_TIED]
    if unused:
        which = ", ".join(f"{name} {tuple(tensors[name].shape)}" for name in unused[:3])
        more = f" and {len(unused) - 3} more" if len(unused) > 3 else ""
        raise ValueError(f"the weights in {source!r} do not fit: the config has no place for {which}{more}")
    return model, heads


def read_labels(uri: str) -> dict[int, str]:
    """The names of classes: a text with one a line, a JSON list, or a JSON object {index: label}."""
    try:
        text = read_file(uri).decode().strip()
    except UnicodeDecodeError as error:
        raise ValueError(f"{uri!r} is not UTF-8: {error}") from None
    try:
        value = json.loads(text) if text[:1] in ("[", "{") else text.splitlines()
        return {int(k): str(v) for k, v in (value.items() if isinstance(value, dict) else enumerate(value))}
    except ValueError as error:
        raise ValueError(f"{uri!r} is neither a JSON list nor a JSON object of labels by index: {error}") from None


def _checked(labels: dict[int, str], uri: str, config: ViltConfig, heads: dict[str, Head]) -> dict[int, str]:
    """Labels by rising index. Raises ValueError where they are not those of the classifier."""
    if "classifier" not in heads:
        raise ValueError(f"{uri!r}: the checkpoint has no classifier, so no labels")
    if sorted(labels) != list(range(config.num_labels)):
        given = f"{len(labels)} labels from {min(labels)} to {max(labels)}" if labels else "no labels"
        raise ValueError(f"{uri!r} has {given}; the classifier has {config.num_labels}, from 0")
    return dict(sorted(labels.items()))


def _tokenizer_files(uri: str) -> dict[str, bytes]:
    folder = Folder(uri)
    return {name: folder.read(name) for name in TOKENIZER if folder.exists(name)}


def _check_tokenizer(uri: str, files: dict[str, bytes], config: ViltConfig) -> None:
    """Raises ValueError where a folder has no tokenizer, or one with more words than the model."""
    if not files.keys() & set(VOCABULARY):
        raise ValueError(f"--tokenizer {uri!r}: the folder has no {' or '.join(VOCABULARY)}")
    words = len(ViltTokenizer.from_pretrained(uri))
    if words > config.vocab_size:
        raise ValueError(f"--tokenizer {uri!r} has {words} words; the model knows {config.vocab_size}")
