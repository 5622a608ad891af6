"""`vilt calibrate`: how to choose a threshold, from rows that a person has labelled."""

from __future__ import annotations

from jobs.console.command import Outcome
from jobs.console.tables import facts
from jobs.reports.calibration import calibration_table, calibration_values
from pipeline.common.errors import ConfigError
from pipeline.config.storage import StorageConfig
from pipeline.evaluation.calibration import calibrate
from pipeline.evaluation.label_sample import draw_sample
from pipeline.storage.failures import as_storage_failure
from vilt.common.counts import counted


def draw_rows(uri: str, count: int, seed: int, out: str) -> Outcome:
    """Draw rows for a person to label.

    Args:
        uri: The output folder of a job.
        count: How many rows.
        seed: Seed of the draw.
        out: The file to write.

    Raises:
        ConfigError: There is no such output, or the file cannot be written.
        StorageFailedError: The storage fails.
    """
    with as_storage_failure():
        rows = draw_sample(uri, count, seed, out, StorageConfig())
    next_step = f"write 1 or 0 into its column good, then: vilt calibrate {uri} {out}"
    return Outcome(
        facts([("drawn", counted(rows, "row")), ("wrote", out), ("next", next_step)]), {"rows": rows, "file": out}
    )


def calibrate_output(uri: str, labels: str | None, precision: float) -> Outcome:
    """Measure what each threshold keeps.

    Args:
        uri: The output folder of a job.
        labels: The table of labels.
        precision: The share of good rows that is asked for.

    Raises:
        ConfigError: The output or the labels cannot be read, or do not fit together.
        StorageFailedError: The storage fails.
    """
    if labels is None:
        raise ConfigError("LABELS: missing; draw rows to label with --sample 200, or name the file with their labels")
    with as_storage_failure():
        found = calibrate(uri, labels, StorageConfig(), precision)
    return Outcome(calibration_table(found, precision), calibration_values(found, precision))
