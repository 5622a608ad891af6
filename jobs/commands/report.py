"""`vilt report`: one HTML file about the output of a finished job, or about two outputs, row by row."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from jobs.console.command import Outcome
from jobs.console.tables import lines
from jobs.reports.compare import comparison_table, comparison_values
from pipeline.common import uris
from pipeline.common.errors import ConfigError
from pipeline.common.redaction import redacted
from pipeline.config.storage import StorageConfig
from pipeline.monitoring.events import emit
from pipeline.reporting.access import Access
from pipeline.reporting.comparison import compare
from pipeline.reporting.comparison_page import comparison_page
from pipeline.reporting.groups import GROUP_QUANTILES, Groups
from pipeline.reporting.page import write_report
from pipeline.reporting.rendering import write_page
from pipeline.storage.failures import as_storage_failure

COMPARED = "_compared.html"


def report_output(
    uri: str, out: str | None, access: Access, by: str | None = None, threshold: float | None = None
) -> Outcome:
    """Write the report of an output.

    Args:
        uri: The output folder.
        out: The file to write; default: `_report.html` in the output folder.
        access: What may be opened for pictures, beside the output itself.
        by: A column of the results, to show the scores of each of its values.
        threshold: Refused: it is for two outputs.

    Raises:
        ConfigError: If there is no output of a finished job, or a URI or column cannot be used.
        StorageFailedError: If the storage fails.
    """
    if threshold is not None:
        raise ConfigError("--threshold: is for two outputs, as in `vilt report A B --threshold 0.5`; leave it out")
    with as_storage_failure():
        target, view = write_report(uri, StorageConfig(), access, out, by)
    values = {"report": target, **_left_out(view.left_out), **({"by": _values(view.groups)} if view.groups else {})}
    return Outcome(lines(target), values)


def compare_outputs(
    first: str,
    second: str,
    out: str | None,
    access: Access,
    by: str | None = None,
    threshold: float | None = None,
) -> Outcome:
    """Compare two outputs row by row, and write a report of it.

    Args:
        first: The output folder of one run.
        second: The output folder of the other.
        out: The file to write; default: `_compared.html` in the second folder.
        access: What may be opened for pictures, beside the outputs themselves.
        by: Refused: it is for one output.
        threshold: The score whose crossing is counted; default: each run's own median.

    Raises:
        ConfigError: If one is no output of a finished job, or their rows cannot be compared.
        StorageFailedError: If the storage fails.
    """
    if by is not None:
        raise ConfigError("--by: is for one output; leave it out, or report each output by itself")
    with as_storage_failure():
        found = compare(first, second, StorageConfig(), threshold)
        page, left_out = comparison_page(found, StorageConfig(), access)
    target = out or f"{second.rstrip('/')}/{COMPARED}"
    write_page(page, target, StorageConfig())
    values = {"report": target, **_left_out(left_out), **comparison_values(found)}
    return Outcome(comparison_table(found, target), values)


def _left_out(why: str) -> dict[str, str]:
    """Warn that a report lacks pictures, if it does; return what JSON says of it."""
    if not why:
        return {}
    emit("warning", why, logging.WARNING)
    return {"left_out": why}


def _values(groups: Groups) -> dict[str, Any]:
    """Return groups as JSON values."""
    names = [str(share) for share in GROUP_QUANTILES]
    found = [
        {
            "value": group.name,
            "rows": group.rows,
            "rejected": group.rejected,
            "quantiles": dict(zip(names, group.quantiles, strict=False)),
        }
        for group in groups.groups
    ]
    others = {"groups": groups.other_groups, "rows": groups.other_rows}
    return {"column": groups.column, "groups": found, "others": others}


def access_of(allow: Sequence[str], allow_private: bool) -> Access:
    """Return what the command line lets a report open.

    Args:
        allow: URIs of files and folders.
        allow_private: Whether http(s) hosts may be at addresses that are not public.

    Raises:
        ConfigError: If a URI cannot be used.
    """
    for prefix in allow:
        try:
            uris.normal(prefix)
        except ValueError as error:
            raise ConfigError(f"--allow: {redacted(prefix)!r} cannot be used: {error}") from None
    if allow_private and not any(uris.scheme(prefix) in uris.WEB for prefix in allow):
        raise ConfigError("--allow-private: no --allow names an http:// or https:// prefix; give the server there")
    return Access(tuple(allow), allow_private)
