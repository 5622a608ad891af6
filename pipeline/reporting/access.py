"""What a report may open beside the output itself."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.common import uris


@dataclass(frozen=True)
class Access:
    """The files and hosts that may be opened for pictures, by the caller's own config or command line.

    Results are data that a stranger may have written: their summary names the table, and never decides this.

    Attributes:
        prefixes: URIs of files and folders.
        allow_private: Whether http(s) hosts may be at addresses that are not public.
        checkpoints: The job's checkpoints and tokenizer, by the names that it gives them.
    """

    prefixes: Sequence[str] = ()
    allow_private: bool = False
    checkpoints: Sequence[str] = ()

    def permits(self, uri: str) -> bool:
        """Return whether a file, folder or glob is one of the prefixes or below one."""
        if "::" in uri:  # a chain of filesystems
            return False
        wanted = _absolute(uri)
        allowed = [_absolute(prefix) for prefix in self.prefixes]
        return any(wanted == prefix or wanted.startswith(uris.as_prefix(prefix)) for prefix in allowed)

    def permits_checkpoint(self, uri: str) -> bool:
        """Return whether a checkpoint or tokenizer is the job's own, or permitted as files are."""
        try:
            return uri in self.checkpoints or self.permits(uri)
        except ValueError:  # no URI that can be opened
            return False


def _absolute(uri: str) -> str:
    return uris.normal(uri if uris.scheme(uri) else os.path.abspath(uri)).rstrip("/")
