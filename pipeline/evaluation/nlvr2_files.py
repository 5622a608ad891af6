"""Sentences about pairs of images in the layout of NLVR2. A file is read whole."""

from __future__ import annotations

import re
from typing import NamedTuple

from pipeline.common.errors import ConfigError
from pipeline.config.storage import StorageConfig
from pipeline.evaluation.layouts import LAYOUTS, Nlvr2Line, check_once, parse, read_file

IDENTIFIER = re.compile(r"(.+-\d+)-(\d+)-(\d+)")  # split-set, pair, sentence


class Example(NamedTuple):
    """A sentence of NLVR2, about two images.

    Attributes:
        identifier: Its name in the file: split-set-pair-sentence.
        sentence: The sentence.
        label: Whether it is true of the images.
        images: Names of the images.
        image_set: The set of images that the sentence was written about.
        group: The sentence, over all pairs of images that it is judged beside.
    """

    identifier: str
    sentence: str
    label: bool
    images: tuple[str, str]
    image_set: str
    group: str


def read_nlvr2(path: str, storage: StorageConfig) -> list[Example]:
    """Read a file of NLVR2, one JSON object a line.

    Raises:
        ConfigError: The file cannot be read, is empty, or has another layout.
    """
    key, examples = "nlvr2.annotations", list[Example]()
    for number, line in enumerate(read_file(path, key, storage).splitlines(), 1):
        if not line.strip():
            continue
        row = parse(Nlvr2Line, line, key, path, f"line {number}: ")
        parts = IDENTIFIER.fullmatch(row["identifier"])
        if not parts:
            raise ConfigError(
                f"{key}: {path!r} line {number}: identifier {row['identifier']!r} is not split-set-pair-sentence, "
                "as in dev-0-0-0"
            )
        image_set, pair, sentence = parts.groups()
        images = (f"{image_set}-{pair}-img0.png", f"{image_set}-{pair}-img1.png")
        label = row["label"] == "True"
        examples.append(
            Example(row["identifier"], row["sentence"], label, images, image_set, f"{image_set}--{sentence}")
        )
    if not examples:
        raise ConfigError(f"{key}: {path!r} is empty; expected {LAYOUTS[Nlvr2Line][1]}")
    check_once([example.identifier for example in examples], "identifier", key, path)
    return examples
