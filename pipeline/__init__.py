"""How rows flow: an image-text table in, scores or answers out, on Ray Data. Knows nothing of the command line."""

from pipeline.config import JobConfig
from pipeline.run import Summary, build_processor, run
from pipeline.sections import ConfigError

__all__ = ["ConfigError", "JobConfig", "Summary", "build_processor", "run"]
