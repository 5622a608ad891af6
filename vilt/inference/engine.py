"""`Engine`: what the predictors of all families have in common, from packed batches to the best classes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import ClassVar, Generic, Protocol, cast

import numpy as np
import torch
from torch import Tensor, nn
from typing_extensions import Self, TypeVar

from vilt.checkpoints import state_dict as checkpoint
from vilt.checkpoints.loading import check_layers, fitted, loaded, on_meta
from vilt.common.configuration import Config
from vilt.common.scores import top
from vilt.common.skip_init import SkipInit
from vilt.common.storage import Source, as_folder
from vilt.inference.backbone import Backbone
from vilt.inference.embeddings import FilledRows, ImageEmbeddings
from vilt.inference.gpu.encoder import gpu_encoder
from vilt.inference.gpu.options import DEFAULT, GpuOptions, is_gpu
from vilt.inference.gpu.transfer import Uploader
from vilt.inference.heads import Reads, TaskHead
from vilt.inference.linear import packed, replace
from vilt.inference.pairs import Pairs
from vilt.inference.passes import Passes
from vilt.inference.precision import dtype_of, resolve_precision, round_weights
from vilt.inference.preprocessor import AnyPreprocessor
from vilt.inference.token_results import Filled, Tag


class PublishedModel(Protocol):
    """A published model without a head."""

    @property
    def config(self) -> Config:
        """Return its config."""
        ...


ModelT = TypeVar("ModelT", bound=PublishedModel, default=PublishedModel)
ConfigT = TypeVar("ConfigT", bound=Config, default=Config)
PreprocessorT = TypeVar("PreprocessorT", bound=AnyPreprocessor, default=AnyPreprocessor)
WINDOW = 256  # pairs whose pixels the methods that take images hold at a time


class Engine(Generic[ModelT, ConfigT, PreprocessorT]):
    """A checkpoint with every head that it holds, on a device in a precision.

    No padding and no masks: each pair's tokens are read exactly as if it were alone, so a result does not depend
    on the other pairs of a call. A subclass says how its family's fast model is built from a published one, and adds
    methods for each task.

    Args:
        model: A published model without a head. Its weights are copied: later changes of it change nothing here.
        heads: The heads by task.
        preprocessor: The family's.
        device: Where to run; a GPU if torch sees one, else the CPU.
        precision: See `from_pretrained`.
        weights_sha256: The hash of the file that the weights came from.
        gpu: How to use a GPU.
    """

    config_class: ClassVar[type[Config]]
    model_class: ClassVar[Callable[..., nn.Module]]  # the published one
    preprocessor_class: ClassVar[type[AnyPreprocessor]]
    task_heads: ClassVar[Mapping[str, TaskHead]] = {}
    embeds_without_pooler: ClassVar[bool] = False

    def __init__(
        self,
        model: ModelT,
        heads: Mapping[str, nn.Module],
        preprocessor: PreprocessorT,
        device: str | torch.device | None = None,
        precision: str = "auto",
        weights_sha256: str = "",
        gpu: GpuOptions = DEFAULT,
    ) -> None:
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.precision = resolve_precision(precision, self.device)
        self.config = cast(ConfigT, model.config)
        self.preprocessor = preprocessor
        self.weights_sha256 = weights_sha256
        dtype = dtype_of(self.precision)
        with torch.no_grad():
            self.model: Backbone = self.build(model).to(self.device).eval()
            projection = round_weights(self.precision, self.model.encoder, self.make_projection(model, preprocessor))
            if is_gpu(self.device):
                self.model.encoder = gpu_encoder(self.model.encoder, self.precision, gpu)  # type: ignore[assignment]
            self.model.to(dtype)
            self.projection = projection.to(self.device, dtype)
            for part in (self.model.encoder, self.projection):
                replace(part, packed)
            if is_gpu(self.device):
                self.projection = FilledRows(self.projection)
        for module in self.model.modules():
            if isinstance(module, ImageEmbeddings):
                module.keep_positions()
        self.uploader = Uploader(self.device, gpu.pinned)
        self.passes = Passes(self.device, self.uploader)
        self.heads = {task: head.to(self.device).eval() for task, head in heads.items()}  # float32: they are small
        labels = self.config.id2label
        self.labels = np.array([labels.get(i, f"LABEL_{i}") for i in range(self.config.num_labels)], dtype=object)

    @classmethod
    def from_pretrained(
        cls,
        source: Source,
        device: str | torch.device | None = None,
        precision: str = "auto",
        tokenizer: Source | None = None,
        gpu: GpuOptions = DEFAULT,
    ) -> Self:
        """Load a checkpoint.

        Args:
            source: A folder, `owner/name` on the hub, `s3://...`, any URI that fsspec opens.
            device: Where to run; a GPU if torch sees one, else the CPU.
            precision: "float32", "bfloat16", "int8" on CPUs (see `vilt.inference.int8`), "float8" on GPUs (see
                `vilt.inference.float8`), or "auto": bfloat16 when the device computes with it natively, else float32.
            tokenizer: The folder of a tokenizer, when the checkpoint has none.
            gpu: How to use a GPU; see `vilt.inference.gpu.options`.

        Raises:
            FileNotFoundError: A file is missing.
            ValueError: The checkpoint is of another family, or its weights do not fit its config.
        """
        folder = as_folder(source)
        config: ConfigT = cls.config_class.from_pretrained(folder)
        preprocessor = cast(PreprocessorT, cls.preprocessor_class.from_pretrained(folder, config, tokenizer))
        tensors, sha256 = checkpoint.read(folder, config.model_type)
        tensors = checkpoint.tied(tensors) if config.tie_word_embeddings else tensors
        check_layers(tensors, config, str(folder))
        model = loaded(lambda: cls.make_model(config, tensors), tensors, config.model_type, str(folder))
        heads = cls.heads_in(tensors, config)
        for task, spec in cls.task_heads.items():
            if task in heads:
                start = f"{spec.name}."
                head_tensors = {name.removeprefix(start): t for name, t in tensors.items() if name.startswith(start)}
                heads[task].load_state_dict({name: head_tensors[name] for name in heads[task].state_dict()})
        return cls(cast(ModelT, model), heads, preprocessor, device, precision, sha256, gpu)

    @classmethod
    def check_tensors(cls, tensors: Mapping[str, Tensor], config: ConfigT, source: str) -> None:
        """Raise CheckpointError when tensors are not those of the model that a config describes; takes no memory.

        Of the tensors names, shapes and dtypes count; they may be on the meta device. A family whose predictor has no
        `model_class` reads its checkpoints itself, and checks them then.
        """
        if getattr(cls, "model_class", None) is None:
            return
        check_layers(tensors, config, source)
        fitted(lambda: cls.make_model(config, tensors), tensors, config.model_type, source)

    @classmethod
    def make_model(cls, config: ConfigT, tensors: Mapping[str, Tensor]) -> nn.Module:
        """Make the published model without a head that a checkpoint of these tensors holds."""
        return cls.model_class(config, **cls.model_class.options_of(tensors))  # type: ignore[attr-defined]

    @classmethod
    def heads_in(cls, tensors: Mapping[str, Tensor], config: ConfigT) -> dict[str, nn.Module]:
        """Make the heads, by task, whose tensors a checkpoint holds in the shapes that its config gives them; unfilled.

        `embed`, which hands on vectors as they are, needs only a pooler.
        """
        pooler = "pooler.dense.weight" in tensors
        found: dict[str, nn.Module] = {"embed": nn.Identity()} if pooler or cls.embeds_without_pooler else {}
        for task, spec in cls.task_heads.items():
            if (spec.needs_pooler and not pooler) or not cls.may_have(task, config):
                continue
            head = on_meta(partial(spec.make, config), "the checkpoint")
            wanted = {f"{spec.name}.{name}": tensor for name, tensor in head.state_dict().items()}
            if checkpoint.holds(tensors, wanted):
                with SkipInit():  # its weights are read, or not used
                    found[task] = spec.make(config)
        return found

    @classmethod
    def may_have(cls, task: str, config: ConfigT) -> bool:
        """Tell whether a config leaves room for a task's head."""
        del task, config
        return True

    @classmethod
    def build(cls, model: ModelT) -> Backbone:
        """Build the fast model from a published one."""
        raise NotImplementedError

    @staticmethod
    def make_projection(model: ModelT, preprocessor: PreprocessorT) -> nn.Module:
        """Make what maps the rows of images, as they are stored, to the model's width."""
        raise NotImplementedError

    def require(self, task: str) -> None:
        """Raise ValueError, in one line, when the checkpoint cannot do a task."""
        if task not in self.heads:
            raise ValueError(f"the model has no head to {task}; it can {', '.join(self.heads) or 'do nothing'}")

    def reads(self, task: str) -> Reads:
        """Return which vectors a task's head reads; those of `embed` are pooled when the checkpoint has a pooler."""
        if task in self.task_heads:
            return self.task_heads[task].reads
        return "pooled" if self.model.pooler is not None else "cls"

    def cross_scores(
        self,
        images: Pairs,
        token_ids: np.ndarray,
        text_lengths: np.ndarray,
        text_index: np.ndarray,
        image_index: np.ndarray,
    ) -> Iterator[np.ndarray]:
        """Score texts with images, for families whose tasks hold `rank`; see `vilt.models.vilt.predictor`."""
        raise NotImplementedError(f"{type(self).__name__} does not rank")

    def fill_pairs(self, pairs: Pairs) -> list[Filled]:
        """Fill every [MASK] of the texts of `pairs`, for families whose tasks hold `fill`."""
        raise NotImplementedError(f"{type(self).__name__} does not fill")

    def tag_pairs(self, pairs: Pairs) -> list[list[Tag]]:
        """Classify every token of the texts of `pairs`, for families whose tasks hold `tag`."""
        raise NotImplementedError(f"{type(self).__name__} does not tag")

    @torch.inference_mode()
    def vectors(self, pairs: Pairs, reads: Reads, images: Tensor | None = None) -> Tensor:
        """Return what a head reads of each pair, float32 (n, D), in the order of `pairs`.

        Args:
            pairs: The pairs.
            reads: Which vector of each pair.
            images: Those of `pairs`, when they are embedded already.
        """
        pooled = reads == "pooled"
        pooler = self.model.pooler
        width = pooler.dense.out_features if pooled and pooler is not None else self.config.hidden_size
        out = torch.empty((len(pairs), width), device=self.device)
        if not len(pairs):
            return out
        read, last_word = self.model.pooled if pooled else self.model.one, reads == "last_word"
        if images is None and is_gpu(self.device):
            # A window at a time: the host copies the images of one while the GPU computes those before.
            for chosen, part in pairs.windows(self.passes.tokens):
                for batch, vectors in self.passes.run(part, self.embed_images(part), read, last_word=last_word):
                    self._write(out, chosen[batch.order], vectors)
            return out
        images = self.embed_images(pairs) if images is None else images
        for batch, vectors in self.passes.run(pairs, images, read, last_word=last_word):
            self._write(out, batch.order, vectors)
        return out

    def embed_images(self, pairs: Pairs) -> Tensor:
        """Return the embedded images of `pairs`, as the fast model's `embed` takes them."""
        return self.model.embed_images(pairs, self.projection, self.uploader.rows)

    def _write(self, out: Tensor, order: np.ndarray, vectors: Tensor) -> None:
        """Write vectors (m, D) to the rows `order`, int64 (m,), of `out`."""
        (rows,) = self.uploader.indices([order])
        out[rows] = vectors

    @torch.inference_mode()
    def logits(self, task: str, features: Tensor) -> np.ndarray:
        """Run a head on its features, as `vectors` gives them: float32 (n, outputs)."""
        return self.heads[task](features).cpu().numpy()

    def scores(self, task: str, logits: np.ndarray) -> np.ndarray:
        """Return what is reported of each class, mostly its probability, for logits (n, classes) of a task."""
        return self.task_heads[task].scores(logits, self.config)

    def of_pairs(self, task: str, pairs: Pairs) -> np.ndarray:
        """Return the logits of a task, float32 (n, outputs)."""
        return self.logits(task, self.vectors(pairs, self.reads(task)))

    def _best(self, scores: np.ndarray, top_k: int) -> list[list[tuple[str, float]]]:
        """Return for each row of scores (n, labels) its `top_k` (label, score), best first."""
        if not 1 <= top_k <= scores.shape[1]:
            raise ValueError(f"top_k is {top_k}; this model knows {scores.shape[1]} answers")
        best, values = top(scores, top_k)
        return [
            list(zip(row.tolist(), value.tolist(), strict=True))
            for row, value in zip(self.labels[best], values, strict=True)
        ]
