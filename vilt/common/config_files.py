"""Configs as files: `config.json` of a checkpoint, read and written. Imports no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar

from typing_extensions import Self

from vilt.common.config_checks import check_config
from vilt.common.errors import CheckpointError, short
from vilt.common.folder import Folder
from vilt.common.hub import split_options
from vilt.common.json_text import read_json
from vilt.common.storage import Source, as_folder


class ConfigFiles:
    """The half of a config that reads and writes files; `Config` has the values."""

    model_type: ClassVar[str]

    @classmethod
    def from_json_file(cls, json_file: str) -> Self:
        """Make a config from a JSON file."""
        with open(json_file, encoding="utf-8") as file:
            return cls(**read_json(file.read()))

    @classmethod
    def get_config_dict(cls, source: Source, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """Read `config.json`: its keys, and those of `kwargs` that say nothing of where to read it."""
        hub, unused = split_options(kwargs)
        folder = as_folder(source, hub)
        return cls._checked(folder.read_json("config.json"), folder), unused

    @classmethod
    def from_folder(cls, values: Mapping[str, Any], folder: Folder) -> Any:
        """Make the config of a checkpoint whose `config.json` is read already.

        Args:
            values: The content of the file.
            folder: Where it was read from.

        Raises:
            ValueError: The checkpoint is of another family.
        """
        return cls._made(cls._checked(dict(values), folder), folder)

    @classmethod
    def _checked(cls, values: dict[str, Any], folder: Folder) -> dict[str, Any]:
        """Check the values of a file, and add the commit of the repository that they are from."""
        if values.get("model_type", cls.model_type) == cls.model_type:  # of another family, the caller says so
            check_config(values, folder.uri, cls)
        if folder.commit_hash:
            values["_commit_hash"] = folder.commit_hash
        return values

    @classmethod
    def from_pretrained(cls, source: Source, **kwargs: Any) -> Any:
        """Read `config.json` from a folder, a repository of the Hugging Face hub, or any URI that fsspec opens.

        Args:
            source: Where the checkpoint is.
            **kwargs: How to reach the hub (`revision`, `token`, ...), and values that replace those of the file.

        Returns:
            The config; with `return_unused_kwargs`, the config and the keywords that were not used.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: The checkpoint is of another family.
        """
        values, kwargs = cls.get_config_dict(source, **kwargs)
        return cls._made(values, source, **kwargs)

    @classmethod
    def _made(cls, values: Mapping[str, Any], source: Source, **kwargs: Any) -> Any:
        """Make a config of checked values; see `from_pretrained`."""
        kind = values.get("model_type", cls.model_type)
        if kind != cls.model_type:
            raise ValueError(
                f"{str(source)!r} is a checkpoint of model_type {short(kind)}; {cls.__name__} is {cls.model_type!r}"
            )
        try:
            return cls.from_dict({**values, "name_or_path": str(source)}, **kwargs)
        except (TypeError, ValueError) as error:
            raise CheckpointError(f"{str(source)!r}: its config.json is of no use: {error}") from None

    @classmethod
    def from_dict(cls, config_dict: Mapping[str, Any], return_unused_kwargs: bool = False, **kwargs: Any) -> Any:
        """Make a config from the keys of a `config.json`; see `Config.from_dict`."""
        raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        """Return all keys with values that JSON can hold."""
        raise NotImplementedError

    def to_diff_dict(self) -> dict[str, Any]:
        """Return the keys whose values are not the defaults, and those of the class."""
        raise NotImplementedError

    def to_json_string(self, use_diff: bool = True) -> str:
        """Return the JSON of `to_diff_dict`, or of `to_dict`."""
        values = self.to_diff_dict() if use_diff else self.to_dict()
        return json.dumps(values, indent=2, sort_keys=True) + "\n"

    def to_json_file(self, json_file_path: str, use_diff: bool = True) -> None:
        """Write the JSON of `to_diff_dict`, or of `to_dict`, to a file."""
        with open(json_file_path, "w", encoding="utf-8") as file:
            file.write(self.to_json_string(use_diff))

    def save_pretrained(self, folder: str, push_to_hub: bool = False) -> None:
        """Write `config.json`, with all keys, into a folder or a URI that fsspec opens."""
        if push_to_hub:
            raise ValueError("push_to_hub: not offered here; write a folder and upload it with huggingface_hub")
        Folder(folder).write("config.json", self.to_json_string(use_diff=False))
