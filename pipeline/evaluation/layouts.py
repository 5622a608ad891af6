"""The layouts of the benchmarks' files: what is read of each, and the line for a file of another layout."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError
from typing_extensions import NotRequired, TypedDict

from pipeline.common.errors import ConfigError, first_line
from pipeline.config.storage import StorageConfig
from pipeline.storage.filesystem import open_fsspec, storage_errors


class Sentence(TypedDict):
    """A text of an image."""

    raw: str
    sentid: int


class KarpathyImage(TypedDict):
    """An image and its texts. filepath: the folder of the image, if the images lie in several."""

    filename: str
    filepath: NotRequired[str]
    imgid: int
    split: str
    sentences: list[Sentence]


class Karpathy(TypedDict):
    """`dataset_coco.json`, `dataset_flickr30k.json`."""

    images: list[KarpathyImage]


class Question(TypedDict):
    """A question about an image."""

    question_id: int
    image_id: int
    question: str


class Questions(TypedDict):
    """`v2_OpenEnded_mscoco_val2014_questions.json`."""

    questions: list[Question]
    data_subtype: NotRequired[str]


class Answer(TypedDict):
    """The answer of one annotator."""

    answer: str


class Annotation(TypedDict):
    """All answers to a question. answer_type: yes/no, number or other."""

    question_id: int
    answer_type: str
    answers: list[Answer]


class Annotations(TypedDict):
    """`v2_mscoco_val2014_annotations.json`."""

    annotations: list[Annotation]


class Submitted(TypedDict):
    """A model's answer, as the evaluation server takes it."""

    question_id: int
    answer: str


class Nlvr2Line(TypedDict):
    """A line of `dev.json`."""

    identifier: str
    sentence: str
    label: Literal["True", "False"]


# Layout -> its parser, and the layout as a person reads it.
LAYOUTS: dict[Any, tuple[TypeAdapter[Any], str]] = {
    Karpathy: (TypeAdapter(Karpathy), '{"images": [{"filename", "imgid", "split", "sentences": [{"raw", "sentid"}]}]}'),
    Questions: (TypeAdapter(Questions), '{"questions": [{"question_id", "image_id", "question"}], "data_subtype"}'),
    Annotations: (
        TypeAdapter(Annotations),
        '{"annotations": [{"question_id", "answer_type", "answers": [{"answer"}]}]}',
    ),
    Submitted: (TypeAdapter(list[Submitted]), '[{"question_id", "answer"}]'),
    Nlvr2Line: (TypeAdapter(Nlvr2Line), 'lines of {"identifier", "sentence", "label": "True" or "False"}'),
}


def read_file(path: str, key: str, storage: StorageConfig) -> bytes:
    """Return the bytes of a file.

    Raises:
        ConfigError: It cannot be read; the line names the config key.
    """
    filesystem, where = open_fsspec(path, key, storage)
    try:
        return filesystem.cat_file(where)
    except FileNotFoundError:
        raise ConfigError(f"{key}: {path!r} does not exist") from None
    except storage_errors() as error:
        raise ConfigError(f"{key}: cannot read {path!r}: {first_line(error)}") from None


def parse(layout: Any, content: bytes, key: str, path: str, where: str = "") -> Any:
    """Return content in its layout.

    Args:
        layout: One of `LAYOUTS`.
        content: JSON.
        key: The config key that names the file.
        path: The file.
        where: What precedes the fault in the line of an error, as "line 3: ".

    Raises:
        ConfigError: It has another layout; the line says what was expected and what was found.
    """
    adapter, expected = LAYOUTS[layout]
    try:
        return adapter.validate_json(content)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
    location = ".".join(map(str, fault["loc"]))
    if fault["type"] == "json_invalid":
        found = f"no JSON ({fault['msg']})"
    elif fault["type"] == "missing":
        parent = location.rpartition(".")[0]
        keys = ", ".join(fault["input"]) or "nothing"
        found = f"{parent or 'an object'} with the keys {keys}, without {fault['loc'][-1]!r}"
    else:
        found = f"{f'{location}: ' if location else ''}{_shown(fault['input'])}"
    raise ConfigError(f"{key}: {path!r} has another layout: expected {expected}, found {where}{found}")


def _shown(value: Any) -> str:
    """Return a value of a file in a few words."""
    kinds = {list: "a list", dict: "an object", type(None): "null"}
    if isinstance(value, dict) and value:
        return f"an object with the keys {', '.join(list(value)[:6])}"
    return kinds.get(type(value)) or f"{value!r:.60}"


def check_once(numbers: Iterable[object], name: str, key: str, path: str) -> None:
    """Check that every number or name stands in a file once.

    Raises:
        ConfigError: Not so.
    """
    twice = next((number for number, count in Counter(numbers).items() if count > 1), None)
    if twice is not None:
        raise ConfigError(f"{key}: {path!r}: {name} {twice!r} stands there more than once")
