"""Repositories of the Hugging Face hub, read by way of huggingface_hub and its cache."""

from __future__ import annotations

import os
import re
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
            raise FileNotFoundError(
                f"no {name} in {self.uri!r}: no such folder here, and the repository of the hub has no such file, or "
                "it is not in the cache and the hub is out of reach"
            )
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

        try:
            path = hf_hub_download(
                self.repository, name, revision=self.revision, subfolder=self.subfolder, **self.options
            )
        except (EntryNotFoundError, RepositoryNotFoundError):
            return None
        except (HfHubHTTPError, ValueError) as error:
            raise ValueError(f"cannot read {self.uri!r} from the hub: {str(error).splitlines()[0]}") from None
        parts = Path(path).parts
        if "snapshots" in parts:
            self.commit_hash = parts[parts.index("snapshots") + 1]
        return os.fspath(path)


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
