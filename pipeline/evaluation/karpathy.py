"""Splits of images and texts in the layout of Karpathy and Fei-Fei. A file is read whole."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from pipeline.common.errors import ConfigError
from pipeline.config.storage import StorageConfig
from pipeline.evaluation.layouts import Karpathy, check_once, parse, read_file
from vilt.common.counts import counted


class Split(NamedTuple):
    """The images of a split and their texts.

    Attributes:
        imgids: The file's numbers of the images, ascending.
        images: Paths of the images below their folder.
        sentids: The file's numbers of the texts, ascending.
        texts: The texts.
        image_of: The index in `images` of each text's image.
    """

    imgids: list[int]
    images: list[str]
    sentids: list[int]
    texts: list[str]
    image_of: list[int]


def read_split(path: str, split: str, storage: StorageConfig) -> Split:
    """Read one split of `dataset_coco.json` or `dataset_flickr30k.json`.

    Raises:
        ConfigError: The file cannot be read, has another layout, or no such split.
    """
    every = parse(Karpathy, read_file(path, "retrieval.annotations", storage), "retrieval.annotations", path)
    chosen = sorted((image for image in every["images"] if image["split"] == split), key=lambda image: image["imgid"])
    if not chosen:
        splits = Counter(image["split"] for image in every["images"])
        found = ", ".join(f"{name} ({counted(count, 'image')})" for name, count in splits.items()) or "no image at all"
        raise ConfigError(f"retrieval.split: {path!r} has no image of {split!r}; it has {found}")
    for image in chosen:
        if not image["sentences"]:
            raise ConfigError(f"retrieval.annotations: {path!r}: image {image['imgid']} has no sentences")
    texts = sorted(
        (sentence["sentid"], sentence["raw"], index)
        for index, image in enumerate(chosen)
        for sentence in image["sentences"]
    )
    found_split = Split(
        [image["imgid"] for image in chosen],
        ["/".join(filter(None, (image.get("filepath"), image["filename"]))) for image in chosen],
        *(list(column) for column in zip(*texts, strict=True)),
    )
    check_once(found_split.imgids, "imgid", "retrieval.annotations", path)
    check_once(found_split.sentids, "sentid", "retrieval.annotations", path)
    return found_split
