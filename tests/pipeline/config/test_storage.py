"""Secrets of a config: from the environment or a file, and never where others see them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline import ConfigError, JobConfig
from pipeline.common.redaction import redacted_text
from pipeline.config.input import InputConfig
from pipeline.config.storage import StorageConfig

SECRET = "hunter2Qz9"


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "job.yaml"
    path.write_text("input: {path: x}\nmodel: zoo://scenes\noutput: {path: out}\nstorage: {key: k, secret: s}\n")
    return str(path)


@pytest.mark.parametrize("value", ["{env: THE_SECRET}", "${env:THE_SECRET}", "${THE_SECRET}", "{file: %s}"])
def test_a_secret_of_the_environment_or_a_file(
    file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, value: str
) -> None:
    monkeypatch.setenv("THE_SECRET", SECRET)
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    override = "storage.secret=" + value.replace("%s", str(tmp_path / "secret"))
    config = JobConfig.load("score", file, [override])
    assert config.storage.secret is not None
    assert config.storage.secret.get_secret_value() == SECRET
    assert SECRET not in repr(config)
    assert not caplog.records
    assert StorageConfig.checked(config.storage.model_dump()) == config.storage


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("{env: NO_SUCH_THING}", "storage: the environment variable 'NO_SUCH_THING' is not set, or empty"),
        ("{file: /no/such/file}", "storage: the file '/no/such/file' cannot be read: No such file or directory"),
        ("{file: /dev/null}", "storage: the file '/dev/null' does not hold one line with a secret"),
        ("{env: A, file: b}", "storage: a secret is a text, {env: NAME} or {file: PATH}"),
        (f"{{enw: {SECRET}}}", "storage: a secret is a text, {env: NAME} or {file: PATH}"),
        (f"[{SECRET}]", "storage.secret: the value is wrong"),
    ],
)
def test_a_secret_that_is_not_there_is_one_line(file: str, value: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        JobConfig.load("score", file, [f"storage.secret={value}"])
    assert message in str(caught.value)
    assert SECRET not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("override", [f"storage.secret={SECRET}", f"input.path=ftp://u:{SECRET}@host/x"])
def test_a_secret_on_the_command_line_is_warned_of(file: str, caplog: pytest.LogCaptureFixture, override: str) -> None:
    JobConfig.load("score", file, [override])
    (record,) = caplog.records
    assert "which `ps` shows to everybody on this machine" in record.getMessage()
    assert SECRET not in record.getMessage()
    assert redacted_text(record.getMessage()) == record.getMessage(), "the log shows the advice, too"


@pytest.mark.parametrize(
    "prefix", [f"ftp://user:{SECRET}@host/a/", f"https://host/a?tok={SECRET}", f"S3://K:{SECRET}@b"]
)
def test_a_prefix_with_credentials_is_refused(prefix: str) -> None:
    with pytest.raises(ConfigError, match=r"input\.allow: .* in section `storage`") as caught:
        InputConfig.checked({"path": "x", "allow": [prefix]})
    assert SECRET not in str(caught.value)


def test_what_is_stored_of_the_input_has_no_credentials() -> None:
    spec = InputConfig.checked({"path": f"ftp://user:{SECRET}@host/a", "filter": f"uri = 'https://u:{SECRET}@h/x'"})
    assert SECRET not in str(spec.stored())
    assert spec.stored()["path"] == "ftp://host/a"
    assert spec.stored().keys() == spec.model_dump(exclude_defaults=True).keys()
