"""Options with which deltalake, pylance and pyiceberg open object stores."""

from __future__ import annotations

from urllib.parse import urlsplit

from pipeline.config.storage import StorageConfig


def delta_options(uri: str, storage: StorageConfig) -> dict[str, str]:
    """Return what deltalake needs to open `uri`: for s3:// the config's section `storage`, else nothing."""
    if urlsplit(uri).scheme not in ("s3", "s3a"):
        return {}
    secrets = {
        "AWS_ACCESS_KEY_ID": storage.key,
        "AWS_SECRET_ACCESS_KEY": storage.secret,
        "AWS_SESSION_TOKEN": storage.token,
    }
    options = {name: value.get_secret_value() for name, value in secrets.items() if value is not None}
    if storage.endpoint_url is not None:
        options["AWS_ENDPOINT_URL"] = storage.endpoint_url
    if storage.region is not None:
        options["AWS_REGION"] = storage.region
    if storage.anon:
        options["AWS_SKIP_SIGNATURE"] = "true"
    return {**options, "AWS_ALLOW_HTTP": "true"}
