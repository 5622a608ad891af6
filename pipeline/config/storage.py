"""Section `storage`: how to reach s3://."""

from __future__ import annotations

from pydantic import Field, SecretStr, model_validator
from typing_extensions import Self

from pipeline.config.base import Section


class StorageConfig(Section):
    """How to reach s3://, for input, output, model and images, on every machine.

    If a key is left out, the usual environment variables, files and instance credentials decide.
    """

    endpoint_url: str | None = Field(None, description="URL of the server, if it is not AWS")
    key: SecretStr | None = Field(None, description="access key id")
    secret: SecretStr | None = Field(None, description="secret access key")
    token: SecretStr | None = Field(None, description="session token of temporary credentials")
    region: str | None = Field(None, description="region of the buckets")
    anon: bool = Field(False, description="read public buckets without credentials")

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
