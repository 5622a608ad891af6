"""`Engine`: what the predictors of the family have in common, from packed batches to the best classes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from typing_extensions import Self

from vilt import checkpoint
from vilt.backbone import Backbone
from vilt.configuration import Config
from vilt.embeddings import FilledRows, ImageEmbeddings
from vilt.fast_encoder import fast_encoder
from vilt.gpu import DEFAULT, GpuOptions, is_gpu
from vilt.heads import Head, Reads
from vilt.linear import packed, replace
from vilt.packing import Packed, Pairs
from vilt.precision import LINEARS, PRECISIONS, resolve_precision
from vilt.preprocessor import AnyPreprocessor
from vilt.scores import top
from vilt.storage import Source
from vilt.threads import side_by_side
from vilt.transfer import Uploader

CPU_TOKENS, GPU_TOKENS = 3072, 65536  # of one forward pass; a CPU's caches like small ones
WINDOW = 256  # pairs whose pixels the methods that take images hold at a time


class Engine:
    """A checkpoint with every head that it holds, on a device in a precision.

    No padding and no masks: each pair's tokens are read exactly as if it were alone, so a result does not depend
    on the other pairs of a call. A subclass says how its kind of model is made, and adds methods for each task.
    """

    config_class: ClassVar[type[Config]]
    model_class: ClassVar[type[Backbone]]
    preprocessor_class: ClassVar[type[AnyPreprocessor]]

    def __init__(
        self,
        model: Backbone,
        heads: Mapping[str, nn.Module],
        preprocessor: AnyPreprocessor,
        device: str | torch.device | None = None,
        precision: str = "auto",
        weights_sha256: str = "",
        gpu: GpuOptions = DEFAULT,
    ) -> None:
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.precision = resolve_precision(precision, self.device)
        self.tokens = CPU_TOKENS if self.device.type == "cpu" else GPU_TOKENS  # of one forward pass
        self.config: Any = model.config
        self.preprocessor: Any = preprocessor
        self.weights_sha256 = weights_sha256
        dtype = PRECISIONS[self.precision]
        with torch.no_grad():
            projection = self.make_projection(model, preprocessor)
        self.model: Any = model.to(self.device).eval()  # and no longer the caller's
        if self.precision in LINEARS:
            replace(model.encoder, LINEARS[self.precision])  # but not the projection: bfloat16 holds pixels exactly
        if is_gpu(self.device):
            self.model.encoder = fast_encoder(model.encoder, self.precision, gpu)  # type: ignore[assignment]
        self.model.to(dtype)
        if isinstance(image := getattr(self.model, "image", None), ImageEmbeddings):
            image.keep_positions()
        self.uploader = Uploader(self.device, gpu.pinned)
        self.projection = projection.to(self.device, dtype)
        for part in (self.model.encoder, self.projection):
            replace(part, packed)
        if is_gpu(self.device):
            self.projection = FilledRows(self.projection)
        self.heads = {task: head.to(self.device).eval() for task, head in heads.items()}  # float32: they are small
        self.labels = np.array([self.config.id2label[i] for i in range(self.config.num_labels)], dtype=object)

    @classmethod
    def from_pretrained(
        cls,
        uri: Source,
        device: str | torch.device | None = None,
        precision: str = "auto",
        tokenizer: Source | None = None,
        gpu: GpuOptions = DEFAULT,
    ) -> Self:
        """Load a checkpoint: a folder, `s3://...`, `hf://owner/name`, any URI that fsspec opens.

        device: where to run; a GPU if torch sees one, else the CPU. precision: "float32", "bfloat16", "int8"
        on CPUs (see `vilt.int8`), "float8" on GPUs (see `vilt.float8`), or "auto": bfloat16 where the device computes
        with it natively, else float32. tokenizer: the folder of one, where the checkpoint has none. gpu: see
        `vilt.gpu`.
        """
        config = cls.config_class.from_pretrained(uri)
        preprocessor = cls.preprocessor_class.from_pretrained(uri, config, tokenizer)
        tensors, sha256 = checkpoint.read(uri)
        heads = cls.heads_in(tensors, config)
        model = cls.model_class(config, **cls.model_class.options(tensors))
        named = {head.name: head for head in heads.values() if isinstance(head, Head)}
        checkpoint.fill(model, named, tensors, str(uri))
        for head in heads.values():  # two tasks may read one head's tensors, as VisualBERT's answer and reason do
            if isinstance(head, Head) and head is not named[head.name]:
                head.load_state_dict(named[head.name].state_dict())
        return cls(model, heads, preprocessor, device, precision, sha256, gpu)

    @classmethod
    def heads_in(cls, tensors: Mapping[str, Tensor], config: Any) -> dict[str, nn.Module]:
        """Fresh heads, by task, for those that a checkpoint holds."""
        raise NotImplementedError

    @staticmethod
    def make_projection(model: Any, preprocessor: Any) -> nn.Module:
        """From the rows of images, as they are stored, to the model's width."""
        raise NotImplementedError

    def require(self, task: str) -> None:
        """Raises ValueError in one line where the checkpoint cannot do a task."""
        if task not in self.heads:
            raise ValueError(f"the model has no head to {task}; it can {', '.join(self.heads) or 'do nothing'}")

    def reads(self, task: str) -> Reads:
        """Which vectors a task's head reads; those of `embed` are pooled where the checkpoint has a pooler."""
        head = self.heads[task]
        if isinstance(head, Head):
            return head.reads
        return "pooled" if self.model.pooler is not None else "cls"

    @torch.inference_mode()
    def vectors(self, pairs: Pairs, reads: Reads, images: Tensor | None = None) -> Tensor:
        """What a head reads of each pair, float32 (n, D), in the order of `pairs`.

        images: those of `pairs`, where they are embedded already.
        """
        pooled = reads == "pooled"
        width = self.model.pooler.dense.out_features if pooled else self.config.hidden_size
        out = torch.empty((len(pairs), width), device=self.device)
        if not len(pairs):
            return out
        read, last_word = self.model.pooled if pooled else self.model.one, reads == "last_word"
        if images is None and is_gpu(self.device):
            # A window at a time: the host copies the images of one while the GPU is at work on those before.
            for chosen, part in pairs.windows(self.tokens):
                for batch, vectors in self._passes(part, self.embed_images(part), read, last_word=last_word):
                    self._place(out, chosen[batch.order], vectors)
            return out
        images = self.embed_images(pairs) if images is None else images
        for batch, vectors in self._passes(pairs, images, read, last_word=last_word):
            self._place(out, batch.order, vectors)
        return out

    def embed_images(self, pairs: Pairs) -> Tensor:
        """Return the embedded images of `pairs`, as the model's `embed` takes them."""
        return self.model.embed_images(pairs, self.projection, self.uploader.rows)

    def _place(self, out: Tensor, order: np.ndarray, vectors: Tensor) -> None:
        """Write vectors (m, D) to the rows `order`, int64 (m,), of `out`."""
        (rows,) = self.uploader.indices([order])
        out[rows] = vectors

    @torch.inference_mode()
    def logits(self, task: str, features: Tensor) -> np.ndarray:
        """A head on its features, as `vectors` gives them: float32 (n, outputs)."""
        return self.heads[task](features).cpu().numpy()

    def scores(self, task: str, logits: np.ndarray) -> np.ndarray:
        """Logits (n, classes) of a task -> what is told of each class, mostly its probability."""
        head = self.heads[task]
        assert isinstance(head, Head)
        return head.scores(logits)

    def of_pairs(self, task: str, pairs: Pairs) -> np.ndarray:
        """The logits of a task, float32 (n, outputs)."""
        return self.logits(task, self.vectors(pairs, self.reads(task)))

    def _passes(
        self,
        pairs: Pairs,
        images: Tensor,
        read: Callable[[Packed, Tensor], Tensor],
        chosen: np.ndarray | None = None,
        last_word: bool = False,
    ) -> Iterator[tuple[Packed, Tensor]]:
        """Packed batches of all pairs, or of those in `chosen`, each with what `read` gives for it, float32.

        Batches for which there is no memory are halved.
        """

        def run(part: np.ndarray) -> tuple[Packed, Tensor | None]:
            batch = Packed(pairs, part, self.device, last_word, self.uploader.indices)
            try:
                with torch.inference_mode():  # it holds for one thread
                    return batch, read(batch, images).float()
            except (RuntimeError, MemoryError) as error:
                if len(part) == 1 or not _is_out_of_memory(error):
                    raise
                return batch, None

        threads = torch.get_num_threads() if self.device.type == "cpu" else 1
        waiting = pairs.cut(self.tokens, chosen, threads)
        while waiting:
            too_large = []
            for batch, values in side_by_side(run, waiting, threads):
                if values is None:
                    too_large.append(batch.order)
                    self.tokens = min(self.tokens, int(pairs.lengths[batch.order].sum()) // 2)
                else:
                    yield batch, values
            waiting = pairs.cut(self.tokens, np.concatenate(too_large)) if too_large else []

    def _best(self, scores: np.ndarray, top_k: int) -> list[list[tuple[str, float]]]:
        """Scores (n, labels) -> for each row its `top_k` (label, score), best first."""
        if not 1 <= top_k <= scores.shape[1]:
            raise ValueError(f"top_k is {top_k}; this model knows {scores.shape[1]} answers")
        best, values = top(scores, top_k)
        return [
            list(zip(row.tolist(), value.tolist(), strict=True))
            for row, value in zip(self.labels[best], values, strict=True)
        ]


def _is_out_of_memory(error: Exception) -> bool:
    """Of a GPU or of the host, for which torch has no error of its own."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)
