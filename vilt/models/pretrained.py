"""`from_pretrained` and `save_pretrained`: the base of all published model classes."""

from __future__ import annotations

import inspect
import logging
import os
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn
from typing_extensions import Self

from vilt.checkpoints.adapters import with_base
from vilt.checkpoints.loading import Fit, check_fit, check_layers, compare, fill, on_meta
from vilt.checkpoints.saving import save_weights
from vilt.checkpoints.state_dict import read_stored
from vilt.common.configuration import Config
from vilt.common.errors import short
from vilt.common.folder import Folder
from vilt.common.hub import split_options
from vilt.common.interop import SeenByTransformers
from vilt.common.storage import Source, as_folder
from vilt.models.load_options import LoadOptions, device_of, dtype_of
from vilt.models.members import ModelMembers

logger = logging.getLogger(__name__)


class PreTrainedModel(SeenByTransformers, ModelMembers):
    """A model that is made from a config and kept in a checkpoint folder."""

    _base = ("transformers.modeling_utils", "PreTrainedModel")
    config: Any
    config_class: ClassVar[type[Config]]
    hf_device_map: dict[str, torch.device]

    def __init__(self, config: Config, *_inputs: Any, **_options: Any) -> None:
        super().__init__()
        if not isinstance(config, Config):
            raise ValueError(
                f"config is a {type(config).__name__}, not a {self.config_class.__name__}; "
                f"to load a checkpoint: {type(self).__name__}.from_pretrained(...)"
            )
        self.config = config
        if config._attn_implementation is None:
            config._attn_implementation = "sdpa"
        self.name_or_path = config.name_or_path  # an attribute, where peft looks for it

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _blank, (type(self),), self.__dict__.copy()

    def finish(self, out: Any, return_dict: bool | None) -> Any:
        """Return what `forward` returns: the named values or, when they are not wanted, a tuple."""
        return out if (self.config.use_return_dict if return_dict is None else return_dict) else out.to_tuple()

    @classmethod
    def options_of(cls, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
        """Return how a checkpoint of these tensors wants the class to be made, beside its config."""
        del tensors
        return {}

    @classmethod
    def read_checkpoint(cls, folder: Folder, **options: Any) -> tuple[dict[str, Any], Mapping[str, Tensor]]:
        """Read the keys of a checkpoint's config and its tensors.

        Args:
            folder: The checkpoint's.
            **options: Of `read_stored`.
        """
        values, _ = cls.config_class.get_config_dict(folder)
        return values, read_stored(folder, **options).tensors

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: Source | None,
        *model_args: Any,
        config: Config | str | None = None,
        **kwargs: Any,
    ) -> Any:
        """Load config and weights; the model is in eval mode.

        What the checkpoint lacks is initialised, and a warning names it.

        Args:
            pretrained_model_name_or_path: A folder, `owner/name` on the hub, or a URI that fsspec opens. None makes the
                model from `config` and `state_dict`.
            *model_args: Of the class, after its config.
            config: A config, or where to read it, in place of the checkpoint's.
            **kwargs: `dtype` (or `torch_dtype`; "auto" for the stored one, float32 by default), `device_map` of one
                device, `ignore_mismatched_sizes`, `output_loading_info`, `variant`, `use_safetensors`, `state_dict`,
                `attn_implementation`; of the hub `revision`, `token`, `cache_dir`, `local_files_only`,
                `force_download`, `subfolder`; any key of the config; any argument of the class.

        Returns:
            The model; with `output_loading_info`, also a dict of what was missing, unexpected or of another shape.

        Raises:
            FileNotFoundError: There is no config or there are no weights.
            TypeError: A keyword is not known.
            ValueError: The checkpoint is of another family, does not fit, or a keyword is of no use.
        """
        hub, kwargs = split_options(kwargs)
        options, kwargs = LoadOptions.of(kwargs)
        source = str(pretrained_model_name_or_path)
        values, tensors = cls._read(pretrained_model_name_or_path, hub, options, config)
        made, kwargs = cls._config(config, values, source, kwargs)
        check_layers(tensors, made, source)
        cls._check_keywords(kwargs)

        def make() -> nn.Module:
            return cls(made, *model_args, **kwargs)

        names = on_meta(make, source).state_dict()
        fit = compare(tensors, names, cls.base_model_prefix)
        check_fit(fit, names, source, strict=False, ignore_mismatched=options.ignore_mismatched_sizes)
        model = make()
        assert isinstance(model, cls)
        dtype = dtype_of(options.dtype, made, tensors)
        tied = model._tied_weights_keys
        fill(model, dict(sorted(fit.tensors.items(), key=lambda item: item[0] not in tied)), dtype)  # the others win
        model.tie_weights()
        made.name_or_path = source
        for part in (model, cast(PreTrainedModel, model.base_model)):
            part.name_or_path = source
        made.dtype = dtype
        device = device_of(options.device_map)
        model.to(device)
        if device is not None:
            model.hf_device_map = {"": device}  # where libraries look for it
        fit = model._without_tied(fit)
        _warn(fit, source, cls.__name__)
        model.eval()
        return (model, _info(fit)) if options.output_loading_info else model

    @classmethod
    def _check_keywords(cls, keywords: Mapping[str, Any]) -> None:
        """Raise TypeError for a keyword that is neither the config's nor the class's."""
        taken = inspect.signature(cls.__init__).parameters
        if any(parameter.kind is parameter.VAR_KEYWORD for parameter in taken.values()):
            return
        if unknown := [name for name in keywords if name not in taken]:
            raise TypeError(f"{cls.__name__}.from_pretrained() got an unexpected keyword argument {unknown[0]!r}")

    @classmethod
    def _read(
        cls, source: Source | None, hub: dict[str, Any], options: LoadOptions, config: Any
    ) -> tuple[dict[str, Any], Mapping[str, Tensor]]:
        if source is None:
            if config is None or options.state_dict is None:
                raise ValueError("from_pretrained(None) needs config and state_dict")
            return {}, options.state_dict
        folder = with_base(as_folder(source, hub))
        if options.state_dict is not None:
            return (cls.config_class.get_config_dict(folder)[0] if config is None else {}), options.state_dict
        if config is not None:
            return {}, read_stored(folder, options.variant, options.use_safetensors).tensors
        return cls.read_checkpoint(folder, variant=options.variant, use_safetensors=options.use_safetensors)

    @classmethod
    def _config(
        cls, config: Config | str | None, values: dict[str, Any], source: str, kwargs: dict[str, Any]
    ) -> tuple[Any, dict[str, Any]]:
        """Return the config, and the keywords that are no keys of it."""
        if isinstance(config, Config):
            implementation = kwargs.pop("attn_implementation", None)
            if implementation is not None:
                config._attn_implementation = implementation
            return config, kwargs
        if config is not None:
            return cls.config_class.from_pretrained(config, return_unused_kwargs=True, **kwargs)
        kind = values.get("model_type", cls.config_class.model_type)
        if kind != cls.config_class.model_type:
            raise ValueError(
                f"{source!r} is a checkpoint of model_type {short(kind)}; {cls.__name__} reads "
                f"{cls.config_class.model_type!r}"
            )
        return cls.config_class.from_dict(values, return_unused_kwargs=True, **kwargs)

    def _without_tied(self, fit: Fit) -> Fit:
        """Return the fit without names that are missing in the file and yet have their value, from what they share."""
        parameters = self.state_dict(keep_vars=True)
        filled = {parameters[name].data_ptr() for name in fit.tensors}
        return fit._replace(missing=[name for name in fit.missing if parameters[name].data_ptr() not in filled])

    @classmethod
    def _from_config(cls, config: Config, **kwargs: Any) -> Self:
        """Make a new model in the dtype that is asked for."""
        options, kwargs = LoadOptions.of(kwargs)
        implementation = kwargs.pop("attn_implementation", None)
        if implementation is not None:
            config._attn_implementation = implementation
        model = cls(config, **kwargs)
        return model.to(options.dtype) if isinstance(options.dtype, torch.dtype) else model

    def save_pretrained(
        self,
        save_directory: str | os.PathLike[str],
        is_main_process: bool = True,
        state_dict: Mapping[str, Tensor] | None = None,
        save_function: Callable[..., None] | None = None,
        push_to_hub: bool = False,
        max_shard_size: int | str = "5GB",
        safe_serialization: bool = True,
        variant: str | None = None,
        **kwargs: Any,
    ) -> None:
        """Write `config.json` and the weights in the model's dtype.

        Args:
            save_directory: A folder, or a URI that fsspec opens.
            is_main_process: Whether this process writes at all.
            state_dict: The tensors to write in place of the model's.
            save_function: Taken for its place in the signature; files are written by `vilt.checkpoints.saving`.
            push_to_hub: Refused.
            max_shard_size: The most bytes of a file.
            safe_serialization: Write `model.safetensors`, not `pytorch_model.bin`.
            variant: A word in the file's name.
            **kwargs: `token` and `save_peft_format` are read over.

        Raises:
            ValueError: `push_to_hub` is set, or a keyword is not known.
        """
        del save_function
        if push_to_hub:
            raise ValueError("push_to_hub: not offered here; write a folder and upload it with huggingface_hub")
        if unknown := set(kwargs) - {"token", "save_peft_format"}:
            raise ValueError(f"save_pretrained knows no {', '.join(sorted(unknown))}")
        if not is_main_process:
            return
        self.config.architectures, self.config.dtype = [type(self).__name__], self.dtype
        self.config.save_pretrained(str(save_directory))
        save_weights(
            str(save_directory),
            self.state_dict() if state_dict is None else state_dict,
            self._tied_weights_keys,
            max_shard_size=max_shard_size,
            safe_serialization=safe_serialization,
            variant=variant,
        )


def _blank(cls: type[PreTrainedModel]) -> PreTrainedModel:
    """Make a model without content, for pickle to fill."""
    return cls.__new__(cls)


def _warn(fit: Fit, source: str, name: str) -> None:
    """Log what was initialised, and what was not used."""
    new = [*fit.missing, *(f"{n} (of another shape)" for n, _, _ in fit.mismatched)]
    if new:
        logger.warning(
            "%s of %r: not in the checkpoint, so newly initialised: %s. Train before using it.",
            name,
            source,
            ", ".join(new),
        )
    if fit.unexpected:
        logger.info("%s of %r: in the checkpoint and not used: %s", name, source, ", ".join(fit.unexpected))


def _info(fit: Fit) -> dict[str, Any]:
    """Return what `output_loading_info` asks for."""
    return {
        "missing_keys": fit.missing,
        "unexpected_keys": fit.unexpected,
        "mismatched_keys": fit.mismatched,
        "error_msgs": [],
    }
