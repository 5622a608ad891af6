"""The table of exit codes."""

import pytest

from jobs.console.exit_codes import EXIT_CODES, exit_code_of
from pipeline.common import errors


def test_each_code_has_one_meaning() -> None:
    assert len({one.code for one in EXIT_CODES}) == len({one.status for one in EXIT_CODES}) == len(EXIT_CODES)
    assert all(one.cause and one.action for one in EXIT_CODES)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.ConfigError("x"), 2),
        (errors.StorageFailedError("x"), 1),
        (errors.RayFailedError("x"), 1),
        (errors.RowsLostError("x"), 1),
        (errors.TooManyErrorsError("x"), 3),
        (errors.BusyError("x"), 4),
        (KeyboardInterrupt(), 130),
    ],
)
def test_the_code_of_an_error(error: BaseException, code: int) -> None:
    found = exit_code_of(error)
    assert found is not None
    assert found.code == code


def test_every_error_that_ends_a_job_has_a_code() -> None:
    own = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, Exception)]
    assert own
    assert all(exit_code_of(error()) for error in own)
    assert exit_code_of(RuntimeError("unexpected")) is None
