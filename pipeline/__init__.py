"""How rows flow: an image-text table in, scores or answers out, on Ray Data. Knows nothing of the command line."""

from typing import TYPE_CHECKING

from pipeline.config import JobConfig
from pipeline.run import Summary, run
from pipeline.sections import ConfigError

if TYPE_CHECKING:
    from pipeline.flow import build_processor

__all__ = ["ConfigError", "JobConfig", "Summary", "build_processor", "run"]


def __getattr__(name: str) -> object:
    """`build_processor`, when it is first asked for: it needs Ray Data and torch, see `pipeline.run`."""
    if name == "build_processor":
        from pipeline.flow import build_processor

        return build_processor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
