"""Convert checkpoints into the published format: `vilt convert`.

The source is a `.ckpt` file of the original project, or a published folder, also one with `pytorch_model.bin`. Every
head that has a published class is written; `itm_score`, the matching head of the pretraining, has none and is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from vilt import Predictor, ViltConfig, ViltImageProcessor
from vilt.checkpoints import state_dict as checkpoint
from vilt.checkpoints.loading import check_fit, check_layers, compare, on_meta
from vilt.checkpoints.saving import save_weights
from vilt.common.counts import counted
from vilt.common.folder import SAFETENSORS, Folder
from vilt.common.json_text import read_json
from vilt.common.storage import read_file
from vilt.inference.preprocessor import tokenizer_of
from vilt.models.vilt import original

PROCESSOR = "preprocessor_config.json"
VOCABULARY = ("vocab.txt", "tokenizer.json")  # either is enough
TOKENIZER = (*VOCABULARY, "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
TIED = ("mlm_score.decoder.weight", "mlm_score.decoder.bias")


@dataclass(frozen=True)
class Converted:
    """The outcome of a conversion.

    Attributes:
        output: The new folder.
        architectures: The published classes that its heads belong to.
        left_out: Heads of the source that no published class has.
        has_tokenizer: Whether the folder holds one.
    """

    output: str
    architectures: list[str]
    left_out: list[str]
    has_tokenizer: bool


def convert(source: str, out: str, tokenizer: str | None = None, labels: str | None = None) -> Converted:
    """Write a checkpoint in the published format into a new folder.

    Args:
        source: A `.ckpt` file of the original project, or a published folder.
        out: The new folder.
        tokenizer: A folder to take the tokenizer from; default: the source.
        labels: A file with the names of the classes, see `read_labels`.

    Raises:
        ValueError, OSError: If something is wrong with the files, in one line; before anything is written.
    """
    if Folder(out).exists(SAFETENSORS):
        raise ValueError(f"{out!r} already holds a {SAFETENSORS}: give a new folder")
    files: dict[str, bytes] = {}
    left_out: list[str] = []
    processor = ViltImageProcessor()
    if original.is_original(source):
        config, found, _, left_out, short_side = original.read(source)
        tensors = checkpoint.completed(found)
        processor = ViltImageProcessor(size={"shortest_edge": short_side})
    else:
        config, tensors = ViltConfig.from_pretrained(source), checkpoint.read(source)[0]
        if Folder(source).exists(PROCESSOR):
            processor = ViltImageProcessor.from_pretrained(source)
        files = _tokenizer_files(source)
    weights, tasks = _fitting(config, tensors, source)
    if labels:
        config.id2label = _checked(read_labels(labels), labels, config, weights)
        config.label2id = {label: index for index, label in config.id2label.items()}
    if tokenizer:
        files = _tokenizer_files(tokenizer)
        _check_tokenizer(tokenizer, files, config)
    classes = [head.architecture for task, head in Predictor.task_heads.items() if task in tasks and head.architecture]
    config.architectures = config.architectures or classes or ["ViltModel"]
    config.save_pretrained(out)
    processor.save_pretrained(out)
    for name, content in files.items():
        Folder(out).write(name, content)
    save_weights(out, weights, TIED)
    return Converted(out, config.architectures or [], list(left_out), bool(files))


def _fitting(config: ViltConfig, tensors: Mapping[str, Tensor], source: str) -> tuple[dict[str, Tensor], list[str]]:
    """Return the tensors of the model and its heads by their published names, float32, and the heads' tasks.

    Raises:
        ValueError: A tensor is missing or has no place.
    """
    check_layers(tensors, config, source)
    heads = {task: head for task, head in Predictor.heads_in(tensors, config).items() if task != "embed"}
    model = on_meta(lambda: Predictor.make_model(config, tensors), source)
    names = {**model.state_dict()}
    for task, head in heads.items():
        start = Predictor.task_heads[task].name
        names |= {f"{start}.{name}": tensor for name, tensor in head.state_dict().items()}
    fit = compare(tensors, names, "vilt")
    check_fit(fit, names, source, strict=True, ignore_mismatched=False)
    if fit.unexpected:
        which = ", ".join(f"{name} {tuple(tensors[name].shape)}" for name in fit.unexpected[:3])
        more = f" and {len(fit.unexpected) - 3} more" if len(fit.unexpected) > 3 else ""
        raise ValueError(f"the weights in {source!r} do not fit: the config has no place for {which}{more}")
    of_heads = tuple(f"{Predictor.task_heads[task].name}." for task in heads)
    prefix = "vilt." if heads else ""  # as published: the bare model's tensors have none
    floats = {name: t.float() if t.is_floating_point() else t for name, t in fit.tensors.items()}
    named = {name if name.startswith(of_heads) else prefix + name: tensor for name, tensor in floats.items()}
    return named, list(heads)


def read_labels(uri: str) -> dict[int, str]:
    """Read the names of classes: a text with one a line, a JSON list, or a JSON object {index: label}.

    Raises:
        ValueError, OSError: If the file cannot be read.
    """
    try:
        text = read_file(uri).decode().strip()
    except UnicodeDecodeError as error:
        raise ValueError(f"{uri!r} is not UTF-8: {error}") from None
    try:
        value = read_json(text) if text[:1] in ("[", "{") else text.splitlines()
        return {int(k): str(v) for k, v in (value.items() if isinstance(value, dict) else enumerate(value))}
    except ValueError as error:
        raise ValueError(f"{uri!r} is neither a JSON list nor a JSON object of labels by index: {error}") from None


def _checked(labels: dict[int, str], uri: str, config: ViltConfig, weights: Mapping[str, Tensor]) -> dict[int, str]:
    """Return labels by rising index.

    Raises:
        ValueError: They are not those of the classifier.
    """
    if not any(name.startswith("classifier.") for name in weights):
        raise ValueError(f"{uri!r}: the checkpoint has no classifier, so no labels")
    if sorted(labels) != list(range(config.num_labels)):
        given = f"{counted(len(labels), 'label')} from {min(labels)} to {max(labels)}" if labels else "no labels"
        raise ValueError(f"{uri!r} has {given}; the classifier has {config.num_labels}, from 0")
    return dict(sorted(labels.items()))


def _tokenizer_files(uri: str) -> dict[str, bytes]:
    folder = Folder(uri)
    return {name: folder.read(name) for name in TOKENIZER if folder.exists(name)}


def _check_tokenizer(uri: str, files: dict[str, bytes], config: ViltConfig) -> None:
    """Check that a folder has a tokenizer, and the model a row for each of its words.

    Raises:
        ValueError: If it has not.
    """
    if not files.keys() & set(VOCABULARY):
        raise ValueError(f"--tokenizer {uri!r}: the folder has no {' or '.join(VOCABULARY)}")
    tokenizer_of(Folder(uri), config)
