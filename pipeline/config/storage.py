"""Section `storage`: how to reach s3://."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr, field_validator, model_validator
from typing_extensions import Self

from pipeline.config.base import Section

MOST_SECRET_BYTES = 2**16
_VARIABLE = re.compile(r"\$\{(?:env:)?(\w+)\}")


class StorageConfig(Section):
    """How to reach s3://, for input, output, model and images, on every machine.

    If a key is left out, the usual environment variables, files and instance credentials decide. `key`, `secret` and
    `token` can be given as {env: NAME}, ${env:NAME} or {file: PATH}: neither the file nor `ps` shows them then.
    """

    endpoint_url: str | None = Field(None, description="URL of the server, if it is not AWS")
    key: SecretStr | None = Field(None, description="access key id")
    secret: SecretStr | None = Field(None, description="secret access key")
    token: SecretStr | None = Field(None, description="session token of temporary credentials")
    region: str | None = Field(None, description="region of the buckets")
    anon: bool = Field(False, description="read public buckets without credentials")

    @field_validator("key", "secret", "token", mode="before")
    @classmethod
    def _from_elsewhere(cls, value: Any) -> Any:
        """Return a secret that stands in an environment variable or a file."""
        if isinstance(value, str) and (found := _VARIABLE.fullmatch(value)):
            value = {"env": found[1]}
        if not isinstance(value, dict):
            return value
        if len(value) != 1 or not {*value} <= {"env", "file"} or not all(isinstance(v, str) for v in value.values()):
            raise ValueError("storage: a secret is a text, {env: NAME} or {file: PATH}")
        ((kind, name),) = value.items()
        return _variable(name) if kind == "env" else _file(name)

    @model_validator(mode="after")
    def _credentials_are_whole(self) -> Self:
        if (self.key is None) != (self.secret is None):
            missing, given = ("key", "secret") if self.key is None else ("secret", "key")
            raise ValueError(f"storage.{missing}: missing, though storage.{given} is set")
        if self.token is not None and self.key is None:
            raise ValueError("storage.token: set without storage.key and storage.secret, to which it belongs")
        if self.anon and self.key is not None:
            raise ValueError("storage.anon: true, though storage.key is set; leave one of them out")
        return self


def _variable(name: str) -> str:
    """Return an environment variable. Raises ValueError if it is not set."""
    value = os.environ.get(name)
    if not value:
        raise ValueError(f"storage: the environment variable {name!r} is not set, or empty")
    return value


def _file(path: str) -> str:
    """Return the first line of a file. Raises ValueError if there is none."""
    try:
        with Path(path).expanduser().open(encoding="utf-8") as file:
            value = file.read(MOST_SECRET_BYTES).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"storage: the file {path!r} cannot be read: {getattr(error, 'strerror', error)}") from None
    if not value or "\n" in value:
        raise ValueError(f"storage: the file {path!r} does not hold one line with a secret")
    return value
