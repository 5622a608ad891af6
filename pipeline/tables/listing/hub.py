"""Datasets on the Hugging Face hub: `hf://datasets/owner/name`, read at one commit."""

from __future__ import annotations

import re

from pipeline.common.errors import ConfigError, first_line
from pipeline.config.input import InputConfig

_DATASET = re.compile(r"hf://datasets/(?P<repo>[^/@]+/[^/@]+)(@(?P<revision>[^/]+))?(?P<path>/.*)?$")


def pinned(spec: InputConfig) -> tuple[str, str]:
    """Return the URI of a table at one commit of its repository, and the version in words; both as they are elsewhere.

    What is pushed to the repository while a job runs does not change what the job reads.

    Raises:
        ConfigError: There is no such repository or revision, or huggingface_hub is missing.
    """
    if not spec.path.startswith("hf://"):
        return spec.path, ""
    found = _DATASET.match(spec.path)
    if found is None:
        raise ConfigError(f"input.path: {spec.path!r} is no dataset; write hf://datasets/owner/name")
    if spec.timestamp is not None:
        raise ConfigError("input.timestamp: a dataset of the hub has revisions; name one in input.version")
    if spec.version is not None and found["revision"]:
        raise ConfigError(
            f"input.version: {spec.version!r}, but {spec.path!r} names a revision, too; leave one of them out"
        )
    revision = found["revision"] or (None if spec.version is None else str(spec.version))
    try:
        from huggingface_hub import HfApi
    except ImportError as error:
        raise ConfigError(
            f"input.path: {spec.path!r} is on the Hugging Face hub, for which huggingface_hub is missing "
            f"({first_line(error)}): pip install '.[hub]'"
        ) from None
    try:
        commit = HfApi().dataset_info(found["repo"], revision=revision).sha
    except Exception as error:  # of the hub, of HTTP and of sockets, by the release of huggingface_hub
        raise ConfigError(f"input.path: cannot read {spec.path!r}: {first_line(error)}") from None
    return f"hf://datasets/{found['repo']}@{commit}{found['path'] or ''}", f"revision {commit}"
