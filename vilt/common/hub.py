"""Repositories of the Hugging Face hub, read by way of huggingface_hub and its cache."""

from __future__ import annotations

import os
import re
import time
from functools import cached_property
from pathlib import Path
from typing import Any

from vilt.common.folder import Folder

HUB_OPTIONS = (  # the keywords of `from_pretrained` that say how to reach a repository
    "cache_dir",
    "force_download",
    "local_files_only",
    "proxies",
    "revision",
    "subfolder",
    "token",
)
_REPOSITORY = re.compile(r"(?:hf://)?([\w.-]+/[\w.-]+?)(?:@([^/]+))?(?:/(.+))?")
_WITHOUT_OWNER = re.compile(r"(?:hf://)?(\w[\w.-]*)()()")  # the oldest repositories, as "bert-base-uncased"
PROBES, PROBE_PAUSE, PROBE_SECONDS = 2, 1.0, 10.0  # requests that show whether the hub is there: seconds
_IGNORED = ("resume_download", "trust_remote_code", "use_auth_token", "_from_auto", "_from_pipeline")


class HubFolder(Folder):
    """A repository of the hub; each file is downloaded when it is first read, and kept in the hub's cache.

    `HF_HUB_OFFLINE`, `HF_HOME`, `HF_ENDPOINT` and `HF_TOKEN` work as in huggingface_hub.

    Args:
        uri: `owner/name`, `hf://owner/name[@revision][/folder]`, or the name of a repository that has no owner.
        revision: A branch, tag or commit; `main` by default.
        subfolder: The folder in the repository.
        **options: Of `huggingface_hub.hf_hub_download`: `token`, `cache_dir`, `local_files_only`, `force_download`, ...

    Raises:
        ValueError: huggingface_hub is not installed.
    """

    _no_repository = False  # whether the hub has said so

    def __init__(self, uri: str, revision: str | None = None, subfolder: str | None = None, **options: Any) -> None:
        match = _REPOSITORY.fullmatch(uri) or _WITHOUT_OWNER.fullmatch(uri)
        assert match is not None
        self.uri = uri
        self.repository, self.revision = match[1], revision or match[2] or None
        self.subfolder = "/".join(part for part in (match[3], subfolder) if part) or None
        self.options = options
        try:
            import huggingface_hub  # noqa: F401
        except ImportError:
            raise ValueError(
                f"{uri!r} is no folder here, and a repository of the hub is read with huggingface_hub: "
                "pip install huggingface_hub"
            ) from None

    def exists(self, name: str) -> bool:
        """Tell whether the repository holds a file of this name."""
        return self.local_path(name) is not None

    def read(self, name: str, most: int | None = None) -> bytes:
        """Return the bytes of one file; see `Folder.read`."""
        path = self.local_path(name)
        if path is None:
            raise FileNotFoundError(f"no {name} in {self.uri!r}: {self._why_missing()}")
        self.check_size(name, os.path.getsize(path), most)
        return Path(path).read_bytes()

    def write(self, name: str, content: str | bytes) -> None:
        """Refuse: results are written into folders."""
        del content
        raise ValueError(f"cannot write {name} to {self.uri!r}: a repository of the hub is only read here")

    def local_path(self, name: str) -> str | None:
        """Return where the cached file lies, after downloading it if need be; None when there is none."""
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, RepositoryNotFoundError

        # huggingface_hub would ask a hub that is out of reach for half a minute, once for each file.
        options = {**self.options, "local_files_only": True} if self._unreachable else self.options
        try:
            path = hf_hub_download(self.repository, name, revision=self.revision, subfolder=self.subfolder, **options)
        except RepositoryNotFoundError:
            self._no_repository = True
            return None
        except EntryNotFoundError:
            return None
        except (HfHubHTTPError, ValueError) as error:
            raise ValueError(f"cannot read {self.uri!r} from the hub: {str(error).splitlines()[0]}") from None
        parts = Path(path).parts
        if "snapshots" in parts:
            self.commit_hash = parts[parts.index("snapshots") + 1]
        return os.fspath(path)

    @cached_property
    def _unreachable(self) -> str:
        """Return why the hub cannot be reached; "" if it can, or must not be asked."""
        from huggingface_hub import constants, utils

        if constants.HF_HUB_OFFLINE or self.options.get("local_files_only") or self.options.get("proxies"):
            return ""
        for left in reversed(range(PROBES)):
            try:
                utils.get_session().head(constants.ENDPOINT, timeout=PROBE_SECONDS)  # type: ignore[attr-defined]
                return ""
            except Exception as error:  # of requests or of httpx, by the release of huggingface_hub
                reason = type(error).__name__
            if left:
                time.sleep(PROBE_PAUSE)
        return reason

    def _why_missing(self) -> str:
        """Return why a file cannot be read, and what would be right."""
        from huggingface_hub import constants

        here = "" if self.uri.startswith("hf://") else "no such folder here, and "
        hub = constants.ENDPOINT.partition("://")[2]
        if self._no_repository:
            return f"{here}{hub} has no repository {self.repository!r}, or shows it to nobody without its HF_TOKEN"
        if self._unreachable:
            return (
                f"{here}the repository {self.repository!r} of the hub is not in its cache, and {hub} cannot be reached "
                f"({self._unreachable})"
            )
        if constants.HF_HUB_OFFLINE or self.options.get("local_files_only"):
            why = "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else "local_files_only is set"
            return (
                f"{here}the repository {self.repository!r} of the hub is not in its cache, and is not asked for: {why}"
            )
        return f"{here}the repository {self.repository!r} of the hub has no such file"


def is_repository(uri: str) -> bool:
    """Tell whether a URI has the form of a repository of the hub."""
    if uri.startswith((".", "~")) or uri.endswith(".ckpt"):
        return False
    match = _REPOSITORY.fullmatch(uri)
    if match is None:
        return _WITHOUT_OWNER.fullmatch(uri) is not None
    return uri.startswith("hf://") or match[3] is None


def split_options(keywords: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the keywords that say how to reach the hub, and the others; None says nothing."""
    hub = {key: value for key, value in keywords.items() if key in HUB_OPTIONS and value is not None}
    if keywords.get("use_auth_token") is not None:
        hub.setdefault("token", keywords["use_auth_token"])
    return hub, {key: value for key, value in keywords.items() if key not in (*HUB_OPTIONS, *_IGNORED)}
