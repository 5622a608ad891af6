"""The first stage of a rank job: the tables of vectors that its candidates are found in, opened and checked."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipeline.common.errors import ConfigError, first_line
from pipeline.config.input import InputConfig
from pipeline.config.job import JobConfig
from pipeline.config.texts import CandidatesConfig, VectorsConfig
from pipeline.storage.filesystem import storage_errors
from pipeline.tables.rank_inputs.vectors import Vectors
from pipeline.tables.row_id_column import row_id_type
from pipeline.tables.table import InputTable, TableFiles, open_files

KEY = "texts.candidates"
RECALL_TEXTS, RECALL_SHARE = 20, 0.1  # texts that are read with all images by default, and most pairs of theirs
SEED = 0


@dataclass(frozen=True)
class FirstStage:
    """What finds the candidates of a rank job: the images whose vectors are nearest to a text's.

    Attributes:
        images: The vectors of the images.
        texts: The vectors of the texts.
        texts_by_id: Whether ids say which text a vector is of, and not its place in the table of texts.
        n: How many images of each text.
        cosine: Whether the cosine says how near two vectors are, and not their product.
        recall_texts: int64, positions of the texts that are read with all images as well, to measure recall.
    """

    images: Vectors
    texts: Vectors
    texts_by_id: bool
    n: int
    cosine: bool
    recall_texts: np.ndarray

    @property
    def fingerprint(self) -> str:
        """Return a hash of the files of both tables, and of the texts that recall is measured on."""
        found = hashlib.sha256(self.images.table.fingerprint.encode())
        found.update(self.texts.table.fingerprint.encode())
        found.update(self.recall_texts.astype(np.int64).tobytes())
        return found.hexdigest()


def open_first_stage(config: JobConfig, images: InputTable, text_ids: pa.Array, readable: np.ndarray) -> FirstStage:
    """Open the tables of vectors, and check that their columns fit together; no row is read.

    Args:
        config: The job.
        images: Its table of images.
        text_ids: The ids of its texts.
        readable: int64, positions of the texts that can be read.

    Raises:
        ConfigError: A table or a column is missing, or is of another kind, or the vectors' lengths differ.
    """
    spec, texts = config.texts, config.texts and config.texts.candidates
    assert spec is not None
    assert isinstance(texts, CandidatesConfig)
    kind = row_id_type(images.schema, config.input.id)
    of_images = _vectors(config, "images", texts.images, images, config.input.id, kind)
    own = (
        None
        if texts.texts.path
        else _open(config, f"{KEY}.texts", InputConfig(path=spec.path, id=spec.id, format=spec.format))
    )
    of_texts = _vectors(config, "texts", texts.texts, own, spec.id, text_ids.type)
    if None not in (of_images.length, of_texts.length) and of_images.length != of_texts.length:
        raise ConfigError(
            f"{KEY}: the vectors of the images have {of_images.length} numbers and those of the texts "
            f"{of_texts.length}: they are not of one model"
        )
    count = texts.recall_texts
    if count is None:
        share = RECALL_SHARE * len(readable) * min(texts.n, images.rows) / max(1, images.rows)
        count = 0 if texts.n >= images.rows else min(RECALL_TEXTS, int(share))
    drawn = np.random.default_rng(SEED).choice(readable, min(count, len(readable)), replace=False)
    cosine = texts.metric == "cosine"
    return FirstStage(of_images, of_texts, texts.texts.path is not None, texts.n, cosine, np.sort(drawn))


def _vectors(
    config: JobConfig, name: str, spec: VectorsConfig, own: TableFiles | None, own_id: str | None, kind: pa.DataType
) -> Vectors:
    """Open the vectors of the images or of the texts.

    Args:
        config: The job.
        name: "images" or "texts".
        spec: Their section.
        own: The table of the images or texts itself.
        own_id: Its column of ids.
        kind: The type of their ids.
    """
    key = f"{KEY}.{name}"
    if spec.path is None:
        assert own is not None
        return Vectors.of(key, own, own_id, spec.vector, kind)
    id_column = spec.id or own_id
    table = _open(config, f"{key}.path", InputConfig(path=spec.path, id=id_column))
    return Vectors.of(key, table, id_column, spec.vector, kind)


def _open(config: JobConfig, key: str, spec: InputConfig) -> TableFiles:
    """Open a table; errors name its key."""
    try:
        return open_files(spec, config.storage, [])
    except ConfigError as error:
        raise ConfigError(str(error).replace("input.path", key, 1)) from None
    except storage_errors() as error:
        raise ConfigError(f"{key}: cannot read {spec.path!r}: {first_line(error)}") from None
