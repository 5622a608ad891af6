"""What a person reads if the storage fails."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import pytest
from botocore.exceptions import EndpointConnectionError

from pipeline.common.errors import ConfigError, StorageFailedError
from pipeline.config.storage import StorageConfig
from pipeline.storage.failures import as_storage_failure, write_named


@pytest.mark.parametrize(
    "error", [OSError("gone"), EndpointConnectionError(endpoint_url="http://gone"), aiohttp.ClientError("gone")]
)
def test_a_failure_says_what_to_do(error: Exception) -> None:
    again = r"^the storage failed: .*gone.*; run the same command again$"
    with pytest.raises(StorageFailedError, match=again), as_storage_failure():
        raise error
    with pytest.raises(StorageFailedError, match=r"; wait$"), as_storage_failure("wait"):
        raise error


def test_other_errors_stay_as_they_are() -> None:
    with pytest.raises(ValueError, match=r"^mine$"), as_storage_failure():
        raise ValueError("mine")


def test_a_file_that_the_user_names(tmp_path: Path) -> None:
    target = tmp_path / "new" / "file"
    for data in (b"first", b"second"):
        write_named(str(target), "--out", data, StorageConfig())
        assert target.read_bytes() == data
    with pytest.raises(ConfigError, match=r"^--out: cannot write '.*/file/below': "):
        write_named(str(target / "below"), "--out", b"", StorageConfig())
