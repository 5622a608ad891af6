"""The section `texts` of a job that ranks: its texts, and which images each is read with."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from pipeline.config.base import Section


class VectorsConfig(Section):
    """Vectors of images or of texts, from any model: a column of lists of floats."""

    path: str | None = Field(None, description="table of the vectors; default: the table of the images or texts itself")
    id: str | None = Field(
        None, description="with path: its column of ids; default: as the images' or texts' own column is called"
    )
    vector: str = Field("embedding", description="column of lists of floats, all of one length")

    @model_validator(mode="after")
    def _id_is_of_a_path(self) -> Self:
        if self.id is not None and self.path is None:
            raise ValueError(
                f"texts.candidates: id: {self.id!r}, but without path the vectors stand in the rows themselves: leave "
                "it out"
            )
        return self


class CandidatesConfig(Section):
    """A first stage: the images whose vectors are nearest to a text's are the only ones that it is read with."""

    n: int = Field(100, ge=1, description="nearest images of each text")
    images: VectorsConfig = VectorsConfig()
    texts: VectorsConfig = VectorsConfig()
    metric: Literal["cosine", "dot"] = Field("cosine", description="how near two vectors are")
    recall_texts: int | None = Field(
        None,
        ge=0,
        description="texts that are read with all images, too, to measure how many of the best are candidates; "
        "default: 20, or as many as add a tenth of the pairs",
    )


class TextsConfig(Section):
    """The texts that `rank` reads with every image."""

    path: str = Field(description="table of texts: a file, folder or glob")
    text: str = Field("text", description="column of texts")
    id: str | None = Field(None, description="integer column that names a text; default: its number in the table")
    format: str | None = Field(None, description="table format; default: what the file names' extensions say")
    candidates: str | CandidatesConfig | None = Field(
        None,
        description="table of the pairs to read, text_id and image_id; or the images nearest to each text by vectors: "
        "{n: 100, images: {vector: clip}, texts: {vector: clip}}; default: every text with every image",
    )
