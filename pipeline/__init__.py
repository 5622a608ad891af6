"""Batch inference over image-text tables on Ray Data: a table in, scores or answers out.

This package knows nothing of the command line.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.common.errors import ConfigError
    from pipeline.common.summary import Summary
    from pipeline.config.job import JobConfig
    from pipeline.jobs import run
    from pipeline.scoring.dataflow import build_processor

__all__ = ["ConfigError", "JobConfig", "Summary", "build_processor", "run"]

_MODULE_OF = {
    "ConfigError": "common.errors",
    "JobConfig": "config.job",
    "Summary": "common.summary",
    "build_processor": "scoring.dataflow",
    "run": "jobs",
}


def __getattr__(name: str) -> object:
    """Import a name of `__all__` when it is first asked for: Ray and torch take seconds to import."""
    if name in _MODULE_OF:
        return globals().setdefault(name, getattr(import_module(f"pipeline.{_MODULE_OF[name]}"), name))
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
