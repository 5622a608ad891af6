"""What pyiceberg raises, in one line. Imports no pyiceberg, which may be missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.common.errors import ConfigError, first_line

SCHEME = "iceberg://"  # of a table that a catalog knows


@contextmanager
def refused(uri: str) -> Iterator[None]:
    """Turn what pyiceberg and the storage raise into one line."""
    try:
        yield
    except ConfigError:
        raise
    except ImportError as error:
        raise ConfigError(
            f"input.path: {uri!r} is an Iceberg table, for which pyiceberg is missing ({first_line(error)}): "
            "pip install '.[iceberg]'"
        ) from None
    except Exception as error:  # each catalog has errors of its own
        raise ConfigError(
            f"input.path: cannot read the Iceberg table {uri!r}: {first_line(error) or type(error).__name__}"
        ) from None
