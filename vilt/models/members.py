"""The methods with which every published model describes and changes itself, named as in transformers' base class."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from vilt.common.config_values import attention_named
from vilt.models.attention import additive, head_masks
from vilt.models.layers import Encoder, MaskedWordHead


class ModelMembers(nn.Module):
    """The members of `PreTrainedModel` that read and write no files."""

    config: Any
    name_or_path: str
    base_model_prefix: ClassVar[str]
    main_input_name: ClassVar[str] = "input_ids"
    supports_gradient_checkpointing: ClassVar[bool] = True
    framework: ClassVar[str] = "pt"
    _is_stateful: ClassVar[bool] = False
    _keep_in_fp32_modules: ClassVar[list[str] | None] = None
    _keys_to_ignore_on_save: ClassVar[list[str] | None] = None
    _tied_weights_keys: ClassVar[list[str]] = []
    _no_split_modules: ClassVar[list[str]] = []
    _keys_to_ignore_on_load_missing: ClassVar[list[str] | None] = None
    _keys_to_ignore_on_load_unexpected: ClassVar[list[str] | None] = None
    _supports_sdpa: ClassVar[bool] = True
    _supports_flash_attn: ClassVar[bool] = False
    _supports_flex_attn: ClassVar[bool] = False
    _supports_attention_backend: ClassVar[bool] = False
    _can_compile_fullgraph: ClassVar[bool] = False

    @classmethod
    def _can_set_attn_implementation(cls) -> bool:
        """Tell whether attention may be chosen after a model is made: here always."""
        return True

    @property
    def base_model(self) -> nn.Module:
        """Return the model below the head; a model without a head is its own."""
        return getattr(self, self.base_model_prefix, self)

    @property
    def device(self) -> torch.device:
        """Return the device of the first parameter."""
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """Return the dtype of the first floating parameter."""
        return next(p.dtype for p in self.parameters() if p.is_floating_point())

    @property
    def is_gradient_checkpointing(self) -> bool:
        """Return whether layers are computed again in the backward pass."""
        return any(encoder.gradient_checkpointing for encoder in self._encoders())

    @property
    def dummy_inputs(self) -> dict[str, Tensor]:
        """Return a small input of the text half, as transformers has it."""
        return {"input_ids": torch.tensor([[7, 6, 0, 0, 1], [1, 2, 3, 0, 0], [0, 0, 0, 4, 5]])}

    def num_parameters(self, only_trainable: bool = False, exclude_embeddings: bool = False) -> int:
        """Count the parameters, shared ones once."""
        tables = {f"{name}.weight" for name, m in self.named_modules() if isinstance(m, nn.Embedding)}
        return sum(
            parameter.numel()
            for name, parameter in self.named_parameters()
            if (parameter.requires_grad or not only_trainable) and not (exclude_embeddings and name in tables)
        )

    def estimate_tokens(self, input_dict: Mapping[str, Any]) -> int:
        """Return how many numbers the main input holds."""
        return int(input_dict[self.main_input_name].numel()) if self.main_input_name in input_dict else 0

    def floating_point_ops(self, input_dict: Mapping[str, Any], exclude_embeddings: bool = True) -> int:
        """Estimate the operations of a forward and a backward pass, as `Trainer` reports them."""
        return 6 * self.estimate_tokens(input_dict) * self.num_parameters(exclude_embeddings=exclude_embeddings)

    def get_memory_footprint(self, return_buffers: bool = True) -> int:
        """Count the bytes of parameters and, unless told otherwise, buffers."""
        tensors = [*self.parameters(), *(self.buffers() if return_buffers else ())]
        return sum(tensor.nelement() * tensor.element_size() for tensor in tensors)

    @classmethod
    def can_generate(cls) -> bool:
        """Tell whether the model writes texts: none here does."""
        return False

    @classmethod
    def is_remote_code(cls) -> bool:
        """Tell whether the class came with a checkpoint: none here does."""
        return False

    def enable_input_require_grads(self) -> None:
        """Let gradients reach the embeddings' output although the embeddings are frozen."""
        embeddings = self.get_input_embeddings()
        self._require_grads_hook = embeddings.register_forward_hook(lambda _m, _i, out: out.requires_grad_(True))

    def disable_input_require_grads(self) -> None:
        """Undo `enable_input_require_grads`."""
        self._require_grads_hook.remove()

    def get_input_embeddings(self) -> Any:
        """Return the table of words, or what embeds patches."""
        base = self.base_model
        if base is self:
            raise NotImplementedError(f"{type(self).__name__} has no get_input_embeddings")
        return base.get_input_embeddings()  # type: ignore[operator]

    def set_input_embeddings(self, value: nn.Embedding) -> None:
        """Replace the table of words."""
        base = self.base_model
        if base is self:
            raise NotImplementedError(f"{type(self).__name__} has no table of words to replace")
        base.set_input_embeddings(value)  # type: ignore[operator]

    def get_output_embeddings(self) -> nn.Linear | None:
        """Return the decoder of words; None for models without one."""
        return None

    def set_output_embeddings(self, new_embeddings: nn.Linear) -> None:
        """Replace the decoder of words."""
        raise NotImplementedError(f"{type(self).__name__} has no decoder of words, so not {new_embeddings}")

    def tie_weights(self) -> None:
        """Share the table of words with the decoder when the config says so, and the decoder's bias with its head."""
        for module in self.modules():
            if isinstance(module, MaskedWordHead):
                module.decoder.bias = module.bias
        decoder = self.get_output_embeddings()
        if decoder is not None and self.config.tie_word_embeddings:
            decoder.weight = self.get_input_embeddings().weight
            decoder.out_features = decoder.weight.shape[0]

    def resize_token_embeddings(
        self, new_num_tokens: int | None = None, pad_to_multiple_of: int | None = None, mean_resizing: bool = True
    ) -> nn.Embedding:
        """Give the table of words, and the decoder, another number of words; the first ones stay as they are.

        Args:
            new_num_tokens: How many words; None leaves their number.
            pad_to_multiple_of: Round up to a multiple.
            mean_resizing: Let new words begin at the mean of the old ones, not at random.

        Returns:
            The new table.

        Raises:
            ValueError: `pad_to_multiple_of` is no whole number.
        """
        if not isinstance(pad_to_multiple_of, int | None):
            raise ValueError(f"pad_to_multiple_of is {pad_to_multiple_of!r}; it is a whole number")
        old: nn.Embedding = self.get_input_embeddings()
        count = old.num_embeddings if new_num_tokens is None else new_num_tokens
        if pad_to_multiple_of:
            count = math.ceil(count / pad_to_multiple_of) * pad_to_multiple_of
        if count == old.num_embeddings:
            return old
        table = nn.Embedding(count, old.embedding_dim, device=old.weight.device, dtype=old.weight.dtype)
        if old.padding_idx is not None and old.padding_idx < count:
            table.padding_idx = old.padding_idx
        self._copy_rows(table.weight, old.weight, mean_resizing)
        table.weight.requires_grad_(old.weight.requires_grad)
        self.set_input_embeddings(table)
        decoder = self.get_output_embeddings()
        if decoder is not None:
            wider = nn.Linear(decoder.in_features, count, device=decoder.weight.device, dtype=decoder.weight.dtype)
            self._copy_rows(wider.weight, decoder.weight, mean_resizing)
            with torch.no_grad():
                wider.bias.zero_()
                kept = min(count, len(decoder.bias))
                wider.bias[:kept] = decoder.bias[:kept]
            self.set_output_embeddings(wider)
        self.config.vocab_size = self.base_model.config.vocab_size = count  # type: ignore[union-attr]
        self.vocab_size = count  # an attribute that models have from here on, as published
        self.tie_weights()
        return self.get_input_embeddings()

    def _copy_rows(self, new: Tensor, old: Tensor, mean: bool) -> None:
        with torch.no_grad():
            kept = min(len(new), len(old))
            new[:kept] = old[:kept]
            if mean:
                new[kept:] = old.float().mean(0).to(new)
            else:
                new[kept:].normal_(std=self.config.initializer_range)

    def prune_heads(self, heads_to_prune: Mapping[int, Iterable[int]]) -> None:
        """Remove heads of attention, given for each layer by their first numbers; the config keeps the list."""
        layers = self.base_model.encoder.layer  # type: ignore[union-attr]
        for layer, heads in heads_to_prune.items():
            layers[layer].attention.prune_heads(heads)  # type: ignore[index, union-attr]
            gone = set(self.config.pruned_heads.get(layer, [])) | set(heads)
            self.config.pruned_heads[layer] = sorted(gone)

    def gradient_checkpointing_enable(self, gradient_checkpointing_kwargs: Mapping[str, Any] | None = None) -> None:
        """Compute layers again in the backward pass instead of keeping what they made.

        Args:
            gradient_checkpointing_kwargs: Of `torch.utils.checkpoint.checkpoint`; `use_reentrant` is False by default.
        """
        options = {"use_reentrant": False, **(gradient_checkpointing_kwargs or {})}
        for encoder in self._encoders():
            encoder.gradient_checkpointing, encoder.checkpoint = True, partial(checkpoint, **options)

    def gradient_checkpointing_disable(self) -> None:
        """Keep what layers make."""
        for encoder in self._encoders():
            encoder.gradient_checkpointing = False

    def _encoders(self) -> list[Encoder]:
        return [module for module in self.modules() if isinstance(module, Encoder)]

    def set_attn_implementation(self, attn_implementation: str) -> None:
        """Choose how attention is computed: "eager" or "sdpa". Raises ValueError for others."""
        self.config._attn_implementation = attention_named(attn_implementation)

    def get_head_mask(self, head_mask: Tensor | None, num_hidden_layers: int) -> Any:
        """Return a mask of heads for each layer, broadcast to the probabilities; a list of None when there is none."""
        masks = head_masks(head_mask, num_hidden_layers, self.dtype)
        return [None] * num_hidden_layers if masks is None else masks

    def get_extended_attention_mask(self, attention_mask: Tensor, *_: Any, dtype: torch.dtype | None = None) -> Tensor:
        """Return what is added to the scores of attention for a mask of 1 and 0."""
        return additive(attention_mask, dtype or self.dtype)

    def init_weights(self) -> None:
        """Remove the heads that the config lists as pruned, initialise the weights, and tie them."""
        if self.config.pruned_heads:
            self.prune_heads({layer: heads for layer, heads in self.config.pruned_heads.items() if heads})
        self.apply(self._initialise_once)
        self.tie_weights()
        if getattr(self.config, "gradient_checkpointing", False):  # where configs of old said it
            self.gradient_checkpointing_enable()
            del self.config.gradient_checkpointing

    def post_init(self) -> None:
        """Call at the end of a class's `__init__`: as `init_weights`."""
        self.init_weights()

    def _initialise_once(self, module: nn.Module) -> None:
        """Initialise a module unless that has been done: a model below a head comes initialised."""
        if not getattr(module, "_is_initialised", False):
            self._init_weights(module)
            module._is_initialised = True  # type: ignore[assignment]

    def _init_weights(self, module: nn.Module) -> None:
        """Give one module fresh weights, without those of its children."""
        raise NotImplementedError
