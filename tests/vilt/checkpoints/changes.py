"""Changes of a good checkpoint, from which `tests.vilt.checkpoints.hostile` makes its cases."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

Change = Callable[[Path], object]


def edit(name: str, **values: Any) -> Change:
    """Set keys of a JSON file."""

    def change(folder: Path) -> None:
        path = folder / name
        path.write_text(json.dumps({**(json.loads(path.read_text()) if path.exists() else {}), **values}))

    return change


def config(**values: Any) -> Change:
    """Set keys of `config.json`."""
    return edit("config.json", **values)


def images(**values: Any) -> Change:
    """Set keys of `preprocessor_config.json`."""
    return edit("preprocessor_config.json", **values)


def words(**values: Any) -> Change:
    """Set keys of `tokenizer.json`."""
    return edit("tokenizer.json", **values)


def model_of_words(**values: Any) -> Change:
    """Set keys of the model in `tokenizer.json`."""

    def change(folder: Path) -> None:
        tokenizer = json.loads((folder / "tokenizer.json").read_text())
        words(model={**tokenizer["model"], **values})(folder)

    return change


def content(name: str, data: bytes) -> Change:
    """Replace a file."""
    return lambda folder: (folder / name).write_bytes(data)


def header(values: Any, rest: bytes = b"") -> Change:
    """Replace the weights by a safetensors file with this header."""
    text = values if isinstance(values, bytes) else json.dumps(values).encode()
    return content("model.safetensors", struct.pack("<Q", len(text)) + text + rest)


def tensors(**changes: Any) -> Change:
    """Replace tensors; their names have `__` in place of dots."""

    def change(folder: Path) -> None:
        path = folder / "model.safetensors"
        state = safetensors.torch.load_file(path)
        safetensors.torch.save_file({**state, **{n.replace("__", "."): t for n, t in changes.items()}}, path)

    return change


def torch_file(data: Callable[[], bytes]) -> Change:
    """Replace the weights by a `pytorch_model.bin`."""

    def change(folder: Path) -> None:
        (folder / "model.safetensors").unlink()
        (folder / "pytorch_model.bin").write_bytes(data())

    return change


def zipped(pickled: bytes, compression: int = zipfile.ZIP_STORED, **entries: bytes) -> bytes:
    """Return a zip file as torch writes them, with a pickle."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, data in {"data.pkl": pickled, "version": b"3\n", "byteorder": b"little", **entries}.items():
            archive.writestr(f"archive/{name}", data)
    return buffer.getvalue()


def saved(value: Any) -> bytes:
    """Return what torch saves."""
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def nested(depth: int) -> bytes:
    """Return a pickle of tuples in tuples, as the key of a dict: its hash overflows the stack."""
    return b"\x80\x02})" + b"\x85" * depth + b"K\x01s."


def adapter(rank: int = 2, **settings: Any) -> Change:
    """Make an adapter over the checkpoint, which moves to a folder beside it."""

    def change(folder: Path) -> None:
        base = folder.parent / f"{folder.name}-base"
        base.mkdir()
        for file in folder.iterdir():
            file.rename(base / file.name)
        values = {"peft_type": "LORA", "base_model_name_or_path": str(base), "lora_alpha": 8, **settings}
        (folder / "adapter_config.json").write_text(json.dumps(values))
        module = "base_model.model.vilt.encoder.layer.0.attention.attention.query"
        state = {f"{module}.lora_A.weight": torch.zeros(rank, 16), f"{module}.lora_B.weight": torch.zeros(16, rank)}
        safetensors.torch.save_file(state, folder / "adapter_model.safetensors")

    return change


def flat_adapter(folder: Path) -> None:
    """Make an adapter whose matrices have one dimension."""
    adapter()(folder)
    state = safetensors.torch.load_file(folder / "adapter_model.safetensors")
    flat = {name: tensor.flatten() for name, tensor in state.items()}
    safetensors.torch.save_file(flat, folder / "adapter_model.safetensors")


def lightning(state: Any, **content: Any) -> bytes:
    """Return a `.ckpt` file as Lightning saves them."""
    return saved({"state_dict": state, **content})
