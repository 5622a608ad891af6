"""Adapter folders, as peft writes them: low-rank changes of some layers, merged into the base checkpoint's tensors."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from torch import Tensor

from vilt.checkpoints.merging import check_settings, merged
from vilt.checkpoints.state_dict import read_stored, read_weights
from vilt.common.errors import CheckpointError, short
from vilt.common.folder import Folder
from vilt.common.hub import HubFolder, is_repository
from vilt.common.storage import as_folder

CONFIG = "adapter_config.json"
WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")


class AdapterFolder(Folder):
    """An adapter's folder over the folder of its base checkpoint: files that the adapter lacks are the base's.

    Args:
        folder: The adapter's.
        **options: For the filesystem of the base.

    Raises:
        CheckpointError: The adapter names no base, or one that it must not open, or cannot be merged here.
    """

    def __init__(self, folder: Folder, **options: Any) -> None:
        self.folder, self.uri = folder, folder.uri
        self.settings = folder.read_json(CONFIG)
        base = self.settings.get("base_model_name_or_path")
        if not isinstance(base, str) or not base:
            raise CheckpointError(
                f"{self.uri}/{CONFIG} names no base_model_name_or_path: set it to the base checkpoint"
            )
        check_settings(self.settings, self.uri)
        home = f"hf://{self.uri}" if isinstance(folder, HubFolder) and "://" not in self.uri else self.uri
        if not _may_name(home, base):
            raise CheckpointError(
                f"{self.uri}/{CONFIG}: base_model_name_or_path is {short(base)}, which an adapter from there must not "
                "open: copy the adapter, name owner/name on the hub, or save the merged model"
            )
        self.base = as_folder(base, **options)

    def exists(self, name: str) -> bool:
        """Tell whether the adapter or its base holds a file."""
        return self.folder.exists(name) or self.base.exists(name)

    def read(self, name: str, most: int | None = None) -> bytes:
        """Return the bytes of a file of the adapter, or of its base."""
        return (self.folder if self.folder.exists(name) else self.base).read(name, most)

    def local_path(self, name: str) -> str | None:
        """Return where a file lies on this machine, if it does."""
        return self.folder.local_path(name) or self.base.local_path(name)

    def stored(self) -> tuple[dict[str, Tensor], str]:
        """Return the base's tensors with the adapter merged, and a hash of both."""
        base, (adapter, sha256) = read_stored(self.base), read_weights(self.folder, _weights(self.folder))
        settings = json.dumps(self.settings, sort_keys=True).encode()
        digest = hashlib.sha256(base.sha256.encode() + bytes.fromhex(sha256) + settings)
        return merged(base.tensors, adapter, self.settings, self.uri), digest.hexdigest()


def is_adapter(folder: Folder) -> bool:
    """Tell whether a folder holds an adapter, which goes over its base whatever else the folder holds."""
    return folder.exists(CONFIG) and any(folder.exists(name) for name in WEIGHTS)


def _weights(folder: Folder) -> str:
    """Return the name of the adapter's file; the first of `WEIGHTS` when there is none."""
    return next((name for name in WEIGHTS if folder.exists(name)), WEIGHTS[0])


def with_base(folder: Folder, **options: Any) -> Folder:
    """Return an adapter's folder over its base's; any other folder as it is."""
    if isinstance(folder, AdapterFolder) or not is_adapter(folder):
        return folder
    return AdapterFolder(folder, **options)


def _may_name(adapter: str, base: str) -> bool:
    """Return whether an adapter may say that its base is there: its author must not choose what else is opened.

    A repository of the hub and a model that ships with the package may be named by all; another folder by an adapter
    in the same bucket or on the same server; a local one by a local adapter.
    """
    if "::" in base:  # a chain of filesystems
        return False
    scheme, _, rest = base.partition("://") if "://" in base else ("", "", base)
    if scheme in ("hf", "zoo"):
        return not rest.startswith("/") and ".." not in rest.split("/")
    if is_repository(base):
        return True
    own, _, own_rest = adapter.partition("://") if "://" in adapter else ("", "", adapter)
    if scheme.lower() in ("", "file", "local"):
        return own in ("", "file")
    return (scheme, rest.partition("/")[0]) == (own, own_rest.partition("/")[0])
