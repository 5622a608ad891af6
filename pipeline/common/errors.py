"""The errors that end a job, and one-line texts for the errors of libraries."""

from __future__ import annotations

MOST_CHARACTERS = 2000  # of a message of a library


class ConfigError(ValueError):
    """A config, or what it points to, is wrong: one line that names the key, the value, and what would be right."""


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, shortened: pyarrow adds more, deltalake lists all files of a log."""
    line = str(error).partition("\n")[0]
    return line if len(line) <= MOST_CHARACTERS else f"{line[:MOST_CHARACTERS]} ..."


class NoFilesError(ConfigError):
    """There is no file at the path of the input: all may have been deleted, or the path is misspelt."""


class BusyError(RuntimeError):
    """Another run is at work on the output."""


class RowsLostError(RuntimeError):
    """Rows in and rows out differ: an output that must not be trusted."""


class TooManyErrorsError(RuntimeError):
    """More rows are rejected than `max_error_rate` allows."""


class RayFailedError(RuntimeError):
    """Ray did not start on this machine."""


class StorageFailedError(RuntimeError):
    """The storage failed in mid-run and did not come back."""
