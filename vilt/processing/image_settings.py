"""The settings of the published image processors, and the files that hold them.

Those of ViLT and ViT differ in the size that they resize to, and ViLT's pads.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, ClassVar, cast

from PIL import Image
from typing_extensions import Self

from vilt.common.config_checks import is_number, is_whole
from vilt.common.errors import CheckpointError, short
from vilt.common.folder import Folder
from vilt.common.hub import split_options
from vilt.common.json_text import read_json
from vilt.common.storage import Source, as_folder
from vilt.processing.errors import ImageError
from vilt.processing.grids import NoGridError, resized

FILE = "preprocessor_config.json"
LONGEST_SIDE = 2048  # pixels that a stranger's file may resize images to: more than twice the largest published
OLDER_NAMES = {"pad_and_return_pixel_mask": "do_pad"}


def check_values(values: Mapping[str, Any], where: str) -> None:
    """Check the values of a `preprocessor_config.json` before they are used.

    Raises:
        CheckpointError: A value is of no use. The line names the file, the key and the value.
    """
    for key, value in values.items():
        wanted = None if value is None else _fault(key, value)
        if wanted:
            raise CheckpointError(f"{where}: {key} is {short(value)}; it is {wanted}")


def _fault(key: str, value: Any) -> str | None:
    """Return what a value should be; None if it is that, or if the key is not known here."""
    if key in ("size", "size_divisor", "resample"):
        low, high = (0, 5) if key == "resample" else (1, LONGEST_SIDE)
        if key == "size":
            parts = [*value.values()] if isinstance(value, Mapping) else value if isinstance(value, list) else [value]
        else:
            parts = [value]
        good = len(parts) <= 4 and all(is_whole(part, low, high) for part in parts)
        return None if good else f"{'sides' if key == 'size' else 'a whole number'} from {low} to {high}"
    if key in ("image_mean", "image_std"):
        numbers = value if isinstance(value, list) and len(value) in (1, 3) else [value]
        good = all(is_number(number) and (key == "image_mean" or number > 0) for number in numbers)
        return None if good else "a number for each of three channels, or one for all"
    if key == "rescale_factor":
        return None if is_number(value) and value > 0 else "a number above 0"
    if key.startswith("do_"):
        return None if isinstance(value, bool) else "true or false"
    return None


@dataclass
class ImageSettings:
    """The settings that the published image processors share, key by key as in `preprocessor_config.json`.

    Attributes:
        resample: A Pillow filter, 2 bilinear, 3 bicubic.
        image_mean, image_std: A number for each channel, or one for all.
        exif_orientation: Set pictures upright by their EXIF tag, see `vilt.processing.image_files.decoding.to_rgb`.
            Published files do not have it.
    """

    sides: ClassVar[tuple[str, ...]]  # the keys of `size`
    model_input_names: ClassVar[list[str]] = ["pixel_values"]
    is_fast: ClassVar[bool] = False

    do_resize: bool = True
    size: dict[str, int] = field(default_factory=dict)
    resample: int = Image.Resampling.BICUBIC
    do_rescale: bool = True
    rescale_factor: float = 1 / 255
    do_normalize: bool = True
    image_mean: float | Sequence[float] = (0.5, 0.5, 0.5)
    image_std: float | Sequence[float] = (0.5, 0.5, 0.5)
    exif_orientation: bool = False

    def __post_init__(self) -> None:
        for setting in fields(self):
            if getattr(self, setting.name) is None:  # as the published code takes it: the default
                setattr(
                    self,
                    setting.name,
                    setting.default if setting.default_factory is MISSING else setting.default_factory(),
                )
        if isinstance(self.size, int):  # older files
            self.size = dict.fromkeys(self.sides, self.size)
        if isinstance(self.size, list | tuple) and len(self.size) == len(self.sides):
            self.size = dict(zip(self.sides, self.size, strict=True))
        for side in self.sides:
            if side not in self.size:
                raise ValueError(f"size {self.size!r} has no {side!r}")

    @classmethod
    def from_pretrained(cls, source: Source, **changes: Any) -> Self:
        """Read `preprocessor_config.json`.

        Args:
            source: A folder, any URI that fsspec opens, or a repository of the hub.
            **changes: Settings that take the place of the file's, and keywords that say how to reach the hub.

        Raises:
            CheckpointError: The file is none, or a value in it is of no use.
            FileNotFoundError: There is no such file.
        """
        hub, changes = split_options(changes)
        folder = as_folder(source, hub)
        values = folder.read_json(FILE)
        check_values({OLDER_NAMES.get(key, key): value for key, value in values.items()}, f"{folder.uri}/{FILE}")
        try:
            return cast(Self, cls.from_dict(values, **changes))
        except ValueError as error:
            raise CheckpointError(f"{folder.uri}/{FILE}: {error}") from None

    @classmethod
    def from_dict(cls, image_processor_dict: Mapping[str, Any], **changes: Any) -> Self | tuple[Self, dict[str, Any]]:
        """Make one of `to_dict`'s result.

        Args:
            image_processor_dict: The settings; unknown ones are passed over, as older files have some.
            **changes: Settings that take their place. With `return_unused_kwargs=True` those that are none come back.

        Returns:
            The processor, or the processor and the changes that are no settings.
        """
        known = {f.name for f in fields(cls)}
        give_back = changes.pop("return_unused_kwargs", False)
        values = {OLDER_NAMES.get(key, key): value for key, value in {**image_processor_dict, **changes}.items()}
        made = cls(**{key: value for key, value in values.items() if key in known})
        unused = {key: value for key, value in changes.items() if OLDER_NAMES.get(key, key) not in known}
        return (made, unused) if give_back else made

    @classmethod
    def from_json_file(cls, json_file: str | Path) -> Self:
        """Make one of a file's settings."""
        return cast(Self, cls.from_dict(read_json(Path(json_file).read_text(encoding="utf-8"))))

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as the published file has them, with the name of the class."""
        values: dict[str, Any] = {}
        for setting in fields(self):
            value = getattr(self, setting.name)
            values[setting.name] = (
                list(value) if isinstance(value, tuple) else dict(value) if setting.name == "size" else value
            )
        if not self.exif_orientation:
            del values["exif_orientation"]
        return {**values, "resample": int(self.resample), "image_processor_type": type(self).__name__}

    def to_json_string(self) -> str:
        """Return `to_dict` as JSON, keys in order."""
        return json.dumps(self.to_dict(), indent=2, sort_keys=True) + "\n"

    def to_json_file(self, json_file_path: str | Path) -> None:
        """Write `to_json_string` to a file."""
        Path(json_file_path).write_text(self.to_json_string(), encoding="utf-8")

    def save_pretrained(self, save_directory: str | Path, processor_class: str | None = None) -> list[str]:
        """Write `preprocessor_config.json` into a folder, and return its name in a list.

        Args:
            save_directory: A folder or URI, made if it is missing.
            processor_class: The class that holds this and a tokenizer, which `AutoProcessor` reads.
        """
        values = self.to_dict() | ({"processor_class": processor_class} if processor_class else {})
        Folder(str(save_directory)).write(FILE, json.dumps(values, indent=2, sort_keys=True) + "\n")
        return [f"{save_directory}/{FILE}"]

    def changed(self, settings: Mapping[str, Any]) -> Self:
        """Return the same processor with other settings for one call; None changes nothing.

        Raises:
            TypeError: A name is no setting.
        """
        unknown = settings.keys() - {f.name for f in fields(self)}
        if unknown:
            raise TypeError(f"{type(self).__name__} has no setting {', '.join(map(repr, sorted(unknown)))}")
        return replace(self, **{key: value for key, value in settings.items() if value is not None})

    def affine(self) -> tuple[Sequence[float], Sequence[float], float]:
        """Return mean, standard deviation and rescale factor that turn a pixel x into (x * rescale - mean) / std."""
        mean, std = (self.image_mean, self.image_std) if self.do_normalize else (0.0, 1.0)
        each = [[value] * 3 if isinstance(value, int | float) else value for value in (mean, std)]
        return each[0], each[1], self.rescale_factor if self.do_rescale else 1.0

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """Return the height and width that an image of this size is resized to. Raises `ImageError` if none fits."""
        raise NotImplementedError

    @property
    def pads(self) -> bool:
        """Return whether images are padded to one size, with a mask of what is real."""
        return False


@dataclass
class ViltImageSettings(ImageSettings):
    """ViLT's: the short side is resized to `size`, the long one in proportion; both to multiples of `size_divisor`."""

    sides: ClassVar[tuple[str, ...]] = ("shortest_edge",)

    size: dict[str, int] = field(default_factory=lambda: {"shortest_edge": 384})
    size_divisor: int = 32
    do_pad: bool = True

    @property
    def pads(self) -> bool:
        """Return whether images are padded, as `do_pad` says."""
        return self.do_pad

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """Apply the rule of `vilt.processing.grids`."""
        try:
            return resized(height, width, self.size["shortest_edge"], self.size_divisor)
        except NoGridError as error:
            raise ImageError("image_aspect", str(error)) from None


@dataclass
class ViTImageSettings(ImageSettings):
    """ViT's: every image is resized to one size, whatever its shape.

    Attributes:
        do_convert_rgb: Taken for published files; images become RGB in any case.
    """

    sides: ClassVar[tuple[str, ...]] = ("height", "width")

    size: dict[str, int] = field(default_factory=lambda: {"height": 224, "width": 224})
    resample: int = Image.Resampling.BILINEAR
    do_convert_rgb: bool | None = None

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """Return the one size."""
        del height, width
        return self.size["height"], self.size["width"]
