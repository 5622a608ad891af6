"""Sections `actors`, `batch` and `ray`: what a job runs on, and how much of it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from pipeline.config.base import Section

BLOCK_BYTES = 2**16  # less than a micro-batch has, so that each is on its way as soon as it is made
WINDOW_BYTES = 2**29  # more than Arrow's 32-bit offsets hold would fail later


class ActorsConfig(Section):
    """The pool of actors that hosts the model: `count` of them, or between `min` and `max`."""

    count: int | None = Field(None, ge=1, description="actors; default: one for each GPU, else one for every 8 cores")
    min: int | None = Field(None, ge=1, description="least actors to work with; default: 1")
    max: int | None = Field(
        None, ge=1, description="most actors, if their number is to follow the work and the cluster"
    )
    gpus: float | None = Field(
        None, ge=0, description="GPUs of an actor, or a share of one; default: 1 if Ray has GPUs, else 0"
    )
    cpus: int | None = Field(None, ge=1, description="cores of an actor; default: 1 with a GPU, else a share of all")

    @model_validator(mode="after")
    def _one_size(self) -> Self:
        if self.max is None and self.min is not None:
            raise ValueError("actors.min: set without actors.max; give both, or actors.count")
        if self.max is not None and self.count is not None:
            raise ValueError("actors.count: set beside actors.max; a pool has one size, or a least and a most")
        if self.max is not None and self.max < (self.min or 1):
            raise ValueError(f"actors.max: {self.max} is less than actors.min, which is {self.min}")
        if self.gpus is not None and self.gpus > 1 and self.gpus % 1:
            raise ValueError(f"actors.gpus: {self.gpus:g} is no share of one GPU, and no whole number of them")
        return self


class BatchConfig(Section):
    """How rows are put together to micro-batches."""

    window_rows: int = Field(512, ge=1, description="rows that are sorted by size together")
    window_bytes: int = Field(
        WINDOW_BYTES,
        ge=1,
        le=2**30,
        description="most bytes of these rows, and of the images that their URIs lead to; fewer rows then go together",
    )
    tokens: int | None = Field(
        None, ge=256, description="tokens of a micro-batch, of texts and patches; default: 16384, with GPUs 65536"
    )
    block_bytes: int = Field(
        BLOCK_BYTES,
        ge=1,
        le=2**30,
        description="bytes of micro-batches that go to an actor together: smaller ones wait for each other, and one "
        "driver then serves more actors; default: each goes on its own",
    )


class RayConfig(Section):
    """The Ray cluster to run on."""

    address: str | None = Field(
        None, description="address of a running cluster; default: RAY_ADDRESS, else a local one is started"
    )
    decode_on: Literal["cpu_nodes", "all_nodes"] | None = Field(
        None, description="nodes that read and decode; default: those without GPUs, if the cluster has any"
    )
