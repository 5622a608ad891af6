"""The table of faults, at the end of the run; servers that tests may kill."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.demo.s3_server import S3Server
from tests.faults.harness import TABLE, Job


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """An S3 server of their own."""
    made = S3Server(tmp_path_factory.mktemp("s3-faults"))
    made.start()
    yield made
    made.kill()


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, server: S3Server) -> tuple[float, dict[int, float]]:
    """The seconds that the job takes when nothing happens, and its scores."""
    job = Job(tmp_path_factory.mktemp("undisturbed"), server, "undisturbed")
    seconds = job.finish()
    job.outcome("none", 0, 0.0)
    return seconds, job.scores


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """For the job's config and log."""
    return tmp_path


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if TABLE:
        terminalreporter.section("faults")
        head = f"{'fault':44} {'times':>5} {'rows in':>8} {'rows out':>8} {'doubled':>7} {'seconds lost':>12}  rejected"
        terminalreporter.write_line(head)
    for row in TABLE:
        lost = "" if row.seconds_lost is None else f"{row.seconds_lost:.1f}"
        rejected = ", ".join(f"{count} {reason}" for reason, count in row.rejected.items())
        numbers = f"{row.times:5} {row.rows_in:8} {row.rows_out:8} {row.doubled:7} {lost:>12}"
        terminalreporter.write_line(f"{row.fault:44} {numbers}  {rejected}")
