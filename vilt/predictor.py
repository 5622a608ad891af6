"""`Predictor`: images and texts -> scores, answers and more. The one inference path, of notebooks and of clusters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from vilt import checkpoint
from vilt.configuration import ViltConfig
from vilt.decoding import ImageInput
from vilt.embeddings import PixelProjection
from vilt.heads import Head
from vilt.linear import pack
from vilt.model import ViltModel
from vilt.packing import Packed, Pairs, starts
from vilt.precision import PRECISIONS, resolve_precision
from vilt.preprocessor import Preprocessor
from vilt.scores import sigmoid, softmax, top
from vilt.storage import Source
from vilt.vilt_heads import heads_in

CPU_TOKENS, GPU_TOKENS = 3072, 65536  # of one forward pass; a CPU's caches like small ones
WINDOW = 256  # pairs whose pixels the methods that take images hold at a time
IMAGES = 32  # that `rank` holds at a time
CROSS_PAIRS = 4096  # whose vectors `cross_scores` holds at a time
Images = ImageInput | Sequence[ImageInput]
Texts = str | Sequence[str]


class Filled(NamedTuple):
    """A text with every [MASK] filled, and what was put there, in the order of the text, with its probability."""

    text: str
    words: list[tuple[str, float]]


class Tag(NamedTuple):
    """A token of a text, the class that is most likely, and its probability."""

    token: str
    label: str
    score: float


class Predictor:
    """A ViLT checkpoint with every head that it holds.

    No padding and no masks: each pair's tokens are read exactly as if it were alone, so a result does not depend
    on the other pairs of a call.

    Images are pictures, encoded bytes or uint8 arrays. In the methods that take images and texts, one image alone is
    paired with every text, and one text alone with every image; an image that cannot be read raises `ImageError`.
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
        self.tokens = CPU_TOKENS if self.device.type == "cpu" else GPU_TOKENS  # of one forward pass
        self.config, self.preprocessor, self.weights_sha256 = model.config, preprocessor, weights_sha256
        dtype = PRECISIONS[self.precision]
        with torch.no_grad():
            projection = PixelProjection(model.image.projection, *preprocessor.images.affine())
        self.model = model.to(self.device, dtype).eval()  # and no longer the caller's
        self.projection = projection.to(self.device, dtype)
        for part in (self.model.encoder, self.projection):
            pack(part)
        self.heads = {task: head.to(self.device).eval() for task, head in heads.items()}  # float32: they are small
        self.labels = np.array([self.config.id2label[i] for i in range(self.config.num_labels)], dtype=object)

    @classmethod
    def from_pretrained(
        cls,
        uri: Source,
        device: str | torch.device | None = None,
        precision: str = "auto",
        resize: str = "pillow",
    ) -> Predictor:
        """Load a checkpoint: a folder, `s3://...`, `hf://owner/name`, any URI that fsspec opens.

        device: where to run; a GPU if torch sees one, else the CPU. precision: "float32", "bfloat16", or "auto":
        bfloat16 where the device computes with it natively, else float32. resize: see `Preprocessor.from_pretrained`.
        """
        config = ViltConfig.from_pretrained(uri)
        preprocessor = Preprocessor.from_pretrained(uri, config, resize)
        tensors, sha256 = checkpoint.read(uri)
        heads = heads_in(tensors, config)
        model = ViltModel(config, add_pooling_layer="embed" in heads)
        named = {head.name: head for head in heads.values() if isinstance(head, Head)}
        checkpoint.fill(model, named, tensors, str(uri))
        return cls(model, heads, preprocessor, device, precision, sha256)

    def score(self, images: Images, texts: Texts) -> np.ndarray:
        """How well each text fits its image: the retrieval logit, float32 (n,); higher fits better."""
        self.require("score")
        parts = [self.logits("score", self.pooled(pairs))[:, 0] for pairs in self._windows(images, texts)]
        return np.concatenate(parts) if parts else np.empty(0, np.float32)

    def rank(self, images: Sequence[ImageInput], texts: Sequence[str]) -> np.ndarray:
        """Every text with every image: the scores, float32 (images, texts). Each image is decoded and embedded once."""
        self.require("score")
        token_ids, lengths = self.preprocessor.tokenizer.ragged(texts)
        rows = []
        for begin in range(0, len(images), IMAGES):
            window = images[begin : begin + IMAGES]
            own = self.preprocessor.pairs(window, [""] * len(window))  # their own texts are not read
            text_index = np.tile(np.arange(len(texts)), len(window))
            image_index = np.repeat(own.image_index, len(texts))
            scores = [*self.cross_scores(own, token_ids, lengths, text_index, image_index)]
            rows.append(np.concatenate(scores).reshape(len(window), -1) if scores else np.empty((len(window), 0)))
        return np.concatenate(rows).astype(np.float32) if rows else np.empty((0, len(texts)), np.float32)

    def answer(self, images: Images, questions: Texts, top_k: int = 1) -> list[list[tuple[str, float]]]:
        """The `top_k` answers to each question about its image, as (answer, score), best first.

        A score is the sigmoid of the answer's logit.
        """
        self.require("answer")
        windows = self._windows(images, questions)
        scores = (sigmoid(self.logits("answer", self.pooled(pairs))) for pairs in windows)
        return [row for window in scores for row in self._best(window, top_k)]

    def reason(self, images: Sequence[Sequence[ImageInput]], texts: Sequence[str]) -> list[list[tuple[str, float]]]:
        """The classes of each text about its `config.num_images` images, as (class, probability), best first."""
        self.require("reason")
        count = self.config.num_images
        if len(images) != len(texts):
            raise ValueError(f"{len(images)} rows of images and {len(texts)} texts do not pair up")
        for i, row in enumerate(images):
            if len(row) != count:
                raise ValueError(f"row {i} has {len(row)} images; the model reads {count}")
        out = []
        for begin in range(0, len(texts), WINDOW):
            rows, window = images[begin : begin + WINDOW], texts[begin : begin + WINDOW]
            flat = [image for row in rows for image in row]
            every = [text for text in window for _ in range(count)]
            pairs = self.preprocessor.pairs(flat, every, [*range(1, count + 1)] * len(window))
            logits = self.logits("reason", self.pooled(pairs).unflatten(0, (-1, count)).flatten(1))
            out += self._best(softmax(logits), logits.shape[1])
        return out

    def embed(self, images: Images, texts: Texts) -> np.ndarray:
        """The pooled vector of each pair, float32 (n, D)."""
        self.require("embed")
        parts = [self.logits("embed", self.pooled(pairs)) for pairs in self._windows(images, texts)]
        return np.concatenate(parts) if parts else np.empty((0, self.config.hidden_size), np.float32)

    def fill(self, images: Images, texts: Texts) -> list[Filled]:
        """Every [MASK] of each text filled, the most certain first, each reading those filled before it."""
        self.require("fill")
        return [row for pairs in self._windows(images, texts) for row in self.fill_pairs(pairs)]

    def tag(self, images: Images, texts: Texts) -> list[list[Tag]]:
        """The class of each token of each text, [CLS] and [SEP] left out."""
        self.require("tag")
        return [row for pairs in self._windows(images, texts) for row in self.tag_pairs(pairs)]

    def require(self, task: str) -> None:
        """Raises ValueError in one line where the checkpoint cannot do a task."""
        if task not in self.heads:
            raise ValueError(f"the model has no head to {task}; it can {', '.join(self.heads) or 'do nothing'}")

    @torch.inference_mode()
    def pooled(self, pairs: Pairs, images: Tensor | None = None) -> Tensor:
        """The pooled [CLS] of each pair, float32 (n, D), in the order of `pairs`; what all pooled heads read.

        images: those of `pairs`, where they are embedded already.
        """
        out = torch.empty((len(pairs), self.config.hidden_size), device=self.device)
        if not len(pairs):
            return out
        if images is None:
            images = self.model.embed_images(pairs, self.projection)
        for batch, vectors in self._passes(pairs, images, self.model.pooled):
            out[torch.from_numpy(batch.order).to(self.device)] = vectors
        return out

    @torch.inference_mode()
    def cross_scores(
        self,
        images: Pairs,
        token_ids: np.ndarray,
        text_lengths: np.ndarray,
        text_index: np.ndarray,
        image_index: np.ndarray,
    ) -> Iterator[np.ndarray]:
        """Scores of texts with the images of `images`, float32, `CROSS_PAIRS` pairs at a time; each image is embedded
        once. Pair i is text `text_index[i]` of those that lie end to end in `token_ids`, and image `image_index[i]`."""
        embedded = self.model.embed_images(images, self.projection) if len(images.grids) else None
        for begin in range(0, len(text_index), CROSS_PAIRS):
            part = slice(begin, begin + CROSS_PAIRS)
            pairs = images.with_texts(token_ids, text_lengths, text_index[part], image_index[part])
            yield self.logits("score", self.pooled(pairs, embedded))[:, 0]

    @torch.inference_mode()
    def logits(self, task: str, features: Tensor) -> np.ndarray:
        """A head on its features, as `pooled` gives them: float32 (n, outputs)."""
        return self.heads[task](features).cpu().numpy()

    @torch.inference_mode()
    def fill_pairs(self, pairs: Pairs) -> list[Filled]:
        """As `fill`, for pairs that are preprocessed. Each round fills one [MASK] of every pair that has one left."""
        ids, begins = pairs.token_ids.copy(), starts(pairs.text_lengths)
        empty = ids == self.preprocessor.tokenizer.id("[MASK]")
        masks, scores = np.flatnonzero(empty), np.zeros(len(ids), np.float32)
        images = self.model.embed_images(pairs, self.projection) if len(masks) else None
        while images is not None and len(places := np.flatnonzero(empty)):
            waiting = np.unique(np.searchsorted(begins, places, "right") - 1)
            current = replace(pairs, token_ids=ids)
            for batch, states in self._passes(current, images, self.model.text_states, waiting):
                order = batch.text_order.cpu().numpy()
                read = empty[order]
                found = self.heads["fill"](states[torch.from_numpy(read).to(self.device)]).softmax(-1).max(-1)
                probability, word = (values.cpu().numpy() for values in found)
                place = order[read]
                by_certainty = np.lexsort((place, -probability))
                _, first = np.unique(np.searchsorted(begins, place[by_certainty], "right"), return_index=True)
                best = by_certainty[first]  # one of each pair
                ids[place[best]], scores[place[best]], empty[place[best]] = word[best], probability[best], False
        tokenizer, filled = self.preprocessor.tokenizer, []
        for begin, end in zip(begins, begins + pairs.text_lengths, strict=True):
            words = [(tokenizer.token(ids[i]), float(scores[i])) for i in masks[(masks >= begin) & (masks < end)]]
            filled.append(Filled(tokenizer.decode(ids[begin:end].tolist(), skip_special_tokens=True), words))
        return filled

    @torch.inference_mode()
    def tag_pairs(self, pairs: Pairs) -> list[list[Tag]]:
        """As `tag`, for pairs that are preprocessed."""
        if not len(pairs):
            return []
        label, score = np.empty(len(pairs.token_ids), np.int64), np.empty(len(pairs.token_ids), np.float32)
        images = self.model.embed_images(pairs, self.projection)
        for batch, states in self._passes(pairs, images, self.model.text_states):
            order = batch.text_order.cpu().numpy()
            best, which = self.heads["tag"](states).softmax(-1).max(-1)
            score[order], label[order] = best.cpu().numpy(), which.cpu().numpy()
        token = self.preprocessor.tokenizer.token
        return [
            [Tag(token(pairs.token_ids[i]), self.labels[label[i]], float(score[i])) for i in range(begin + 1, end - 1)]
            for begin, end in zip(starts(pairs.text_lengths), np.cumsum(pairs.text_lengths), strict=True)
        ]

    def _passes(
        self,
        pairs: Pairs,
        images: Tensor,
        read: Callable[[Packed, Tensor], Tensor],
        chosen: np.ndarray | None = None,
    ) -> Iterator[tuple[Packed, Tensor]]:
        """Packed batches of all pairs, or of those in `chosen`, each with what `read` gives for it, float32.

        Where memory runs out the batch, and all after it, are halved.
        """
        waiting = pairs.cut(self.tokens, chosen)
        while waiting:
            part, *waiting = waiting
            batch = Packed(pairs, part, self.device)
            try:
                values = read(batch, images).float()
            except (RuntimeError, MemoryError) as error:
                if len(part) == 1 or not _is_out_of_memory(error):
                    raise
                self.tokens = int(pairs.lengths[part].sum()) // 2
                waiting = pairs.cut(self.tokens, np.concatenate([part, *waiting]))
                continue
            yield batch, values

    def _best(self, scores: np.ndarray, top_k: int) -> list[list[tuple[str, float]]]:
        """Scores (n, labels) -> for each row its `top_k` (label, score), best first."""
        if not 1 <= top_k <= scores.shape[1]:
            raise ValueError(f"top_k is {top_k}; this model knows {scores.shape[1]} answers")
        best, values = top(scores, top_k)
        return [
            list(zip(row.tolist(), value.tolist(), strict=True))
            for row, value in zip(self.labels[best], values, strict=True)
        ]

    def _windows(self, images: Images, texts: Texts) -> Iterator[Pairs]:
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


def _is_out_of_memory(error: Exception) -> bool:
    """Of a GPU or of the host, for which torch has no error of its own."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)
