"""`Predictor`: images and texts -> scores and answers. The one inference path, of notebooks and of clusters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import nn

from vilt import checkpoint
from vilt.configuration import ViltConfig
from vilt.decoding import ImageInput
from vilt.grids import Grid
from vilt.heads import HEADS
from vilt.images import ViltImageProcessor, patchify
from vilt.model import PixelProjection, ViltModel
from vilt.packing import Packed, Pairs, as_tensor
from vilt.text import ViltTokenizer

SCORE, ANSWER = "rank_output", "classifier"  # the heads' checkpoint names
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
CPU_TOKENS, GPU_TOKENS = 2048, 65536  # of one forward pass; a CPU's caches like small ones
WINDOW = 256  # pairs whose pixels `score` and `answer` hold at a time


@dataclass
class Preprocessor:
    """The half of a checkpoint that needs no weights: pictures -> patches, texts -> token ids."""

    images: ViltImageProcessor
    tokenizer: ViltTokenizer
    patch_size: int

    @classmethod
    def from_pretrained(cls, uri: str, config: ViltConfig | None = None) -> Preprocessor:
        """Read the processor's and tokenizer's files from a checkpoint folder or URI."""
        config = config or ViltConfig.from_pretrained(uri)
        tokenizer = ViltTokenizer.from_pretrained(uri, config.max_position_embeddings)
        return cls(ViltImageProcessor.from_pretrained(uri), tokenizer, config.patch_size)

    def grid(self, height: int, width: int) -> Grid:
        """The grid of an image of this size in pixels. Raises `ImageError` where none fits."""
        height, width = self.images.resized(height, width)
        return Grid(height // self.patch_size, width // self.patch_size)

    def patches(self, image: ImageInput) -> tuple[np.ndarray, Grid]:
        """An image -> uint8 (rows * cols, 3 * patch_size ** 2) and its grid. Raises `ImageError`."""
        pixels = self.images.resize(image)  # (height, width, 3)
        return patchify(pixels, self.patch_size), Grid(
            pixels.shape[0] // self.patch_size, pixels.shape[1] // self.patch_size
        )

    def pairs(self, images: Sequence[ImageInput], texts: Sequence[str]) -> Pairs:
        """Image i with text i, for every i. An object that stands in `images` several times is decoded once."""
        index = {id(image): image for image in images}
        place = {key: i for i, key in enumerate(index)}
        patches, grids = zip(*(self.patches(image) for image in index.values()), strict=True)
        token_ids, lengths = self.tokenizer.ragged(texts)
        image_index = np.array([place[id(image)] for image in images], dtype=np.int64)
        return Pairs(token_ids, lengths, np.concatenate(patches), grids, image_index)


class Predictor:
    """A ViLT checkpoint with every head that it holds, ready to score pairs and answer questions.

    No padding and no masks: each pair's tokens are read exactly as if it were alone, so a result does not depend
    on the other pairs of a call.
    """

    def __init__(
        self,
        model: ViltModel,
        heads: Mapping[str, nn.Module],
        preprocessor: Preprocessor,
        device: str | torch.device | None = None,
        precision: str = "auto",
        weights_sha256: str = "",
    ) -> None:
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.precision = resolve_precision(precision, self.device)
        self.config, self.preprocessor, self.weights_sha256 = model.config, preprocessor, weights_sha256
        dtype = PRECISIONS[self.precision]
        steps = preprocessor.images
        with torch.no_grad():
            projection = PixelProjection(model.image.projection, *steps.affine())
        self.model = model.to(self.device, dtype).eval()
        self.projection = projection.to(self.device, dtype)
        self.heads = {name: head.to(self.device).eval() for name, head in heads.items()}  # float32: they are small
        self.answers = np.array([self.config.id2label[i] for i in range(self.config.num_labels)], dtype=object)

    @classmethod
    def from_pretrained(cls, uri: str, device: str | torch.device | None = None, precision: str = "auto") -> Predictor:
        """Load a checkpoint: a folder, `s3://...`, `hf://owner/name`, any URI that fsspec opens.

        device: where to run; a GPU if torch sees one, else the CPU. precision: "float32", "bfloat16", or "auto":
        bfloat16 where the device computes with it natively, else float32.
        """
        config = ViltConfig.from_pretrained(uri)
        preprocessor = Preprocessor.from_pretrained(uri, config)
        tensors, sha256 = checkpoint.read(uri)
        model = ViltModel(config)
        heads = {
            name: kind(config) for name, kind in HEADS.items() if any(key.startswith(f"{name}.") for key in tensors)
        }
        checkpoint.fill(model, heads, tensors, uri)
        return cls(model, heads, preprocessor, device, precision, sha256)

    def score(self, images: ImageInput | Sequence[ImageInput], texts: str | Sequence[str]) -> np.ndarray:
        """How well each text fits its image: float32 (n,), the retrieval head's logits. Higher fits better.

        images: PIL images, uint8 arrays (H, W, 3) or encoded bytes; one image alone is paired with every text, and
        one text alone with every image. Raises `ImageError` for an image that cannot be scored.
        """
        parts = [self.logits(pairs, (SCORE,))[SCORE][:, 0] for pairs in self._windows(images, texts)]
        return np.concatenate(parts) if parts else np.empty(0, np.float32)

    def answer(
        self, images: ImageInput | Sequence[ImageInput], questions: str | Sequence[str], top_k: int = 1
    ) -> list[list[tuple[str, float]]]:
        """The `top_k` answers to each question about its image, as (answer, score), best first.

        A score is the sigmoid of the answer's logit. Images and questions pair up as in `score`.
        """
        return [
            answers
            for pairs in self._windows(images, questions)
            for answers in self.best_answers(self.logits(pairs, (ANSWER,))[ANSWER], top_k)
        ]

    def best_answers(self, logits: np.ndarray, top_k: int) -> list[list[tuple[str, float]]]:
        """float32 (n, answers) -> for each row its `top_k` (answer, score), best first."""
        if not 1 <= top_k <= logits.shape[1]:
            raise ValueError(f"top_k is {top_k}; this model knows {logits.shape[1]} answers")
        best = np.argsort(-logits, axis=1, kind="stable")[:, :top_k]  # (n, top_k)
        scores = 1 / (1 + np.exp(-np.take_along_axis(logits, best, 1)))
        return [
            list(zip(self.answers[row].tolist(), score.tolist(), strict=True))
            for row, score in zip(best, scores, strict=True)
        ]

    def require(self, head: str) -> None:
        """Raises ValueError in one line where the checkpoint lacks a head."""
        if head not in self.heads:
            raise ValueError(f"the model has no head {head!r}; it has {', '.join(self.heads) or 'none'}")

    @torch.inference_mode()
    def logits(self, pairs: Pairs, heads: Sequence[str]) -> dict[str, np.ndarray]:
        """The logits of each named head, float32 (n, outputs), in the order of `pairs`; one pass for all heads."""
        for head in heads:
            self.require(head)
        out: dict[str, np.ndarray] = {}
        images = self.model.embed_images(as_tensor(pairs.patches).to(self.device), pairs.grids, self.projection)
        for part in pairs.cut(CPU_TOKENS if self.device.type == "cpu" else GPU_TOKENS):
            batch = Packed(pairs, part, self.device)
            pooled = self.model.pooled(batch, images).float()  # (n, D)
            for head in heads:
                values = self.heads[head](pooled).cpu().numpy()
                out.setdefault(head, np.empty((len(pairs), values.shape[1]), np.float32))[batch.order] = values
        return out

    def _windows(self, images: ImageInput | Sequence[ImageInput], texts: str | Sequence[str]) -> Iterator[Pairs]:
        """Pair up images and texts, `WINDOW` pairs at a time."""
        one = isinstance(images, Image.Image | np.ndarray | bytes)
        if isinstance(texts, str):
            texts = [texts] * (1 if one else len(images))  # type: ignore[arg-type]
        many: Sequence[ImageInput] = [images] * len(texts) if one else images  # type: ignore[assignment, list-item]
        if len(many) != len(texts):
            raise ValueError(f"{len(many)} images and {len(texts)} texts do not pair up")
        for i, text in enumerate(texts):
            if not isinstance(text, str):
                raise ValueError(f"text {i} is {text!r}, a {type(text).__name__}; a text is a str")
        for begin in range(0, len(texts), WINDOW):
            yield self.preprocessor.pairs(many[begin : begin + WINDOW], texts[begin : begin + WINDOW])


def resolve_precision(precision: str, device: torch.device) -> str:
    """ "auto" -> the precision to use on `device`; others are checked."""
    if precision in PRECISIONS:
        return precision
    if precision != "auto":
        raise ValueError(f"precision {precision!r} is not one of auto, {', '.join(PRECISIONS)}")
    native = torch.cuda.is_bf16_supported(including_emulation=False) if device.type == "cuda" else _cpu_has_bfloat16()
    return "bfloat16" if native else "float32"


def _cpu_has_bfloat16() -> bool:
    if not hasattr(torch.cpu, "get_capabilities"):  # torch before 2.9
        return torch.cpu._is_avx512_bf16_supported()
    has = torch.cpu.get_capabilities()
    return bool(has.get("avx512_bf16") or has.get("amx_bf16"))
