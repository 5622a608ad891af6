"""The published benchmarks, read from their own files. A file is read whole."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

from pipeline.common.errors import ConfigError
from pipeline.config.storage import StorageConfig
from pipeline.evaluation.layouts import (
    LAYOUTS,
    Annotation,
    Annotations,
    Karpathy,
    Nlvr2Line,
    Questions,
    check_once,
    parse,
    read_file,
)

IDENTIFIER = re.compile(r"(.+-\d+)-(\d+)-(\d+)")  # of NLVR2: split-set, pair, sentence


class Split(NamedTuple):
    """Images and their texts. image_of: of each text, the place of its image in `images`.

    imgids, sentids: the file's own numbers, ascending. images: paths below the images' folder.
    """

    imgids: list[int]
    images: list[str]
    sentids: list[int]
    texts: list[str]
    image_of: list[int]


@dataclass(frozen=True)
class VqaSet:
    """Questions, and of each its image's file and number; `truths`: question_id -> its annotation, where there are."""

    question_ids: list[int]
    questions: list[str]
    image_ids: list[int]
    images: list[str]
    truths: dict[int, Annotation] | None


class Example(NamedTuple):
    """A sentence of NLVR2. images: set: of the sets of images that were written about; group: of one sentence, over the
    pairs of images that it stands beside.
    """

    identifier: str
    sentence: str
    label: bool
    images: tuple[str, str]
    set: str
    group: str


def read_split(path: str, split: str, storage: StorageConfig) -> Split:
    """The images of one split of `dataset_coco.json` or `dataset_flickr30k.json`, and their texts."""
    every = parse(Karpathy, read_file(path, "retrieval.annotations", storage), "retrieval.annotations", path)
    chosen = sorted((image for image in every["images"] if image["split"] == split), key=lambda image: image["imgid"])
    if not chosen:
        held = Counter(image["split"] for image in every["images"])
        found = ", ".join(f"{name} ({count:,} images)" for name, count in held.items()) or "no image at all"
        raise ConfigError(f"retrieval.split: {path!r} has no image of {split!r}; it has {found}")
    for image in chosen:
        if not image["sentences"]:
            raise ConfigError(f"retrieval.annotations: {path!r}: image {image['imgid']} has no sentences")
    texts = sorted(
        (sentence["sentid"], sentence["raw"], place)
        for place, image in enumerate(chosen)
        for sentence in image["sentences"]
    )
    out = Split(
        [image["imgid"] for image in chosen],
        ["/".join(filter(None, (image.get("filepath"), image["filename"]))) for image in chosen],
        *(list(column) for column in zip(*texts, strict=True)),
    )
    check_once(out.imgids, "imgid", "retrieval.annotations", path)
    check_once(out.sentids, "sentid", "retrieval.annotations", path)
    return out


def read_vqa(questions: str, annotations: str | None, image_name: str, storage: StorageConfig) -> VqaSet:
    """A file of questions, and the annotations of just these questions, in the layout of VQAv2.

    image_name: see `VqaConfig`; `test-dev2015` has the images of `test2015`.
    """
    asked = parse(Questions, read_file(questions, "vqa.questions", storage), "vqa.questions", questions)
    rows = asked["questions"]
    ids = [row["question_id"] for row in rows]
    check_once(ids, "question_id", "vqa.questions", questions)
    truths = None
    if annotations is not None:
        content = read_file(annotations, "vqa.annotations", storage)
        told = parse(Annotations, content, "vqa.annotations", annotations)["annotations"]
        truths = {row["question_id"]: row for row in told if row["answers"]}
        missing = [number for number in ids if number not in truths]
        if missing:
            raise ConfigError(
                f"vqa.annotations: {annotations!r} has no answers to {len(missing):,} of the {len(ids):,} questions of "
                f"{questions!r}, question_id {missing[0]} among them"
            )
    subtype = asked.get("data_subtype", "").replace("test-dev", "test")
    names = [image_name.format(subtype=subtype, image_id=row["image_id"]) for row in rows]
    return VqaSet(ids, [row["question"] for row in rows], [row["image_id"] for row in rows], names, truths)


def read_nlvr2(path: str, storage: StorageConfig) -> list[Example]:
    """The examples of a file of NLVR2, one JSON object a line."""
    key, out = "nlvr2.annotations", []
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
        set_, pair, sentence = parts.groups()
        images = (f"{set_}-{pair}-img0.png", f"{set_}-{pair}-img1.png")
        label = row["label"] == "True"
        out.append(Example(row["identifier"], row["sentence"], label, images, set_, f"{set_}--{sentence}"))
    if not out:
        raise ConfigError(f"{key}: {path!r} is empty; expected {LAYOUTS[Nlvr2Line][1]}")
    check_once([example.identifier for example in out], "identifier", key, path)
    return out
