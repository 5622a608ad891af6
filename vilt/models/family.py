"""The description of a model family for the rest of the code. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from vilt.common.configuration import Config
    from vilt.inference.engine import Engine
    from vilt.inference.preprocessor import AnyPreprocessor

Reads = Literal["text", "image", "regions"]


@dataclass(frozen=True)
class ModelFamily:
    """A model family: one folder, and one line of the registry.

    Classes are named as `module:Class` and imported when they are first used, so that the driver of a job can ask for
    `tasks` and `reads` before torch is there.

    Attributes:
        name: As people write it, for messages.
        model_type: As `config.json` has it.
        config: The class of configs, a `Config`.
        predictor: The class that runs checkpoints, an `Engine`.
        preprocessor: The class that makes rows and tokens, an `AnyPreprocessor`.
        tasks: The names of the tasks that the predictor has; a checkpoint has those whose heads it holds.
        reads: What each row gives the model: a text, an image's pixels, or the features of an image's regions.
    """

    name: str
    model_type: str
    config: str
    predictor: str
    preprocessor: str
    tasks: tuple[str, ...]
    reads: frozenset[Reads]

    @property
    def config_class(self) -> type[Config]:
        """Return the class of configs."""
        return _load(self.config)  # type: ignore[return-value]

    @property
    def predictor_class(self) -> type[Engine]:
        """Return the class that runs checkpoints."""
        return _load(self.predictor)  # type: ignore[return-value]

    @property
    def preprocessor_class(self) -> type[AnyPreprocessor]:
        """Return the class that makes rows and tokens."""
        return _load(self.preprocessor)  # type: ignore[return-value]


def _load(name: str) -> object:
    module, _, attribute = name.partition(":")
    return getattr(import_module(module), attribute)
