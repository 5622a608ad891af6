"""`vilt report`: one HTML file about the output of a finished job."""

from __future__ import annotations

from collections.abc import Sequence

from jobs.console.command import Outcome
from jobs.console.tables import lines
from jobs.reports.page import write_report
from pipeline.common import uris
from pipeline.common.errors import ConfigError
from pipeline.common.redaction import redacted
from pipeline.config.storage import StorageConfig
from pipeline.reporting.pictures import Access


def report_output(uri: str, out: str | None, allow: Sequence[str] = (), allow_private: bool = False) -> Outcome:
    """Write the report of an output.

    Args:
        uri: The output folder.
        out: The file to write; default: `_report.html` in the output folder.
        allow: URIs of files and folders that may be opened for pictures, beside the output itself.
        allow_private: Whether http(s) hosts may be at addresses that are not public.

    Raises:
        ConfigError: If there is no output of a finished job, or a URI cannot be used.
    """
    target = write_report(uri, StorageConfig(), _access(allow, allow_private), out)
    return Outcome(lines(target), {"report": target})


def _access(allow: Sequence[str], allow_private: bool) -> Access:
    for prefix in allow:
        try:
            uris.normal(prefix)
        except ValueError as error:
            raise ConfigError(f"--allow: {redacted(prefix)!r} cannot be used: {error}") from None
    if allow_private and not any(uris.scheme(prefix) in uris.WEB for prefix in allow):
        raise ConfigError("--allow-private: no --allow names an http:// or https:// prefix; give the server there")
    return Access(tuple(allow), allow_private)
