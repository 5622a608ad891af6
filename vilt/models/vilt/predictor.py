"""`Predictor`: images and texts -> ViLT's scores, answers and more; the one path, in notebooks and on clusters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from vilt.common.counts import counted
from vilt.inference.embeddings import PixelProjection
from vilt.inference.engine import WINDOW, Engine
from vilt.inference.heads import TaskHead, separate
from vilt.inference.pairs import Pairs, starts
from vilt.inference.token_results import Filled, Tag
from vilt.models.layers import MaskedWordHead
from vilt.models.vilt.configuration import ViltConfig
from vilt.models.vilt.fast import FastVilt
from vilt.models.vilt.heads import answer_classifier, images_classifier
from vilt.models.vilt.modeling import ViltModel
from vilt.models.vilt.preprocessor import Preprocessor
from vilt.processing.image_files.decoding import ImageInput

IMAGES = 32  # that `rank` holds at a time
CROSS_PAIRS = 4096  # whose vectors `cross_scores` holds at a time
Images = ImageInput | Sequence[ImageInput]
Texts = str | Sequence[str]


class Predictor(Engine[ViltModel, ViltConfig, Preprocessor]):
    """A ViLT checkpoint with every head that it holds. See `Engine`.

    Images are pictures, encoded bytes or uint8 arrays. In the methods that take images and texts, one image alone is
    paired with every text, and one text alone with every image; an image that cannot be read raises `ImageError`.
    """

    config_class = ViltConfig
    model_class = ViltModel
    preprocessor_class = Preprocessor
    task_heads: ClassVar[dict[str, TaskHead]] = {
        "score": TaskHead(
            "rank_output",
            lambda config: nn.Linear(config.hidden_size, 1),
            architecture="ViltForImageAndTextRetrieval",
        ),
        "answer": TaskHead("classifier", answer_classifier, scores=separate, architecture="ViltForQuestionAnswering"),
        "fill": TaskHead("mlm_score", MaskedWordHead, needs_pooler=False, architecture="ViltForMaskedLM"),
        "tag": TaskHead(
            "classifier",
            lambda config: nn.Linear(config.hidden_size, config.num_labels),
            needs_pooler=False,
            architecture="ViltForTokenClassification",
        ),
        "reason": TaskHead("classifier", images_classifier, architecture="ViltForImagesAndTextClassification"),
    }

    @classmethod
    def may_have(cls, task: str, config: ViltConfig) -> bool:
        """Tell whether a config leaves room for a task's head: `reason` needs images, and a modality for each."""
        return task != "reason" or 1 <= config.num_images < config.modality_type_vocab_size

    @classmethod
    def build(cls, model: ViltModel) -> FastVilt:
        """Build the fast model from a published one."""
        return FastVilt(model)

    @staticmethod
    def make_projection(model: ViltModel, preprocessor: Preprocessor) -> PixelProjection:
        """Make the projection of raw pixels."""
        return PixelProjection(model.embeddings.patch_embeddings.projection, *preprocessor.images.affine())

    def pooled(self, pairs: Pairs, images: Tensor | None = None) -> Tensor:
        """Return the pooled [CLS] of each pair, float32 (n, D), in the order of `pairs`; what all pooled heads read."""
        return self.vectors(pairs, "pooled", images)

    def score(self, images: Images, texts: Texts) -> np.ndarray:
        """Return how well each text fits its image: the retrieval logit, float32 (n,); higher fits better."""
        self.require("score")
        parts = [self.logits("score", self.pooled(pairs))[:, 0] for pairs in self._windows(images, texts)]
        return np.concatenate(parts) if parts else np.empty(0, np.float32)

    def rank(self, images: Sequence[ImageInput], texts: Sequence[str]) -> np.ndarray:
        """Score every text with every image, float32 (images, texts). Each image is decoded and embedded once."""
        self.require("score")
        token_ids, lengths = self.preprocessor.tokenizer.ragged(texts)
        rows = []
        for begin in range(0, len(images), IMAGES):
            window = images[begin : begin + IMAGES]
            pairs = self.preprocessor.pairs(window, [""] * len(window))  # their own texts are not read
            text_index = np.tile(np.arange(len(texts)), len(window))
            image_index = np.repeat(pairs.image_index, len(texts))
            scores = [*self.cross_scores(pairs, token_ids, lengths, text_index, image_index)]
            rows.append(np.concatenate(scores).reshape(len(window), -1) if scores else np.empty((len(window), 0)))
        return np.concatenate(rows).astype(np.float32) if rows else np.empty((0, len(texts)), np.float32)

    def answer(self, images: Images, questions: Texts, top_k: int = 1) -> list[list[tuple[str, float]]]:
        """Return the `top_k` answers to each question about its image, as (answer, score), best first.

        A score is the sigmoid of the answer's logit.
        """
        self.require("answer")
        windows = self._windows(images, questions)
        scores = (self.scores("answer", self.of_pairs("answer", pairs)) for pairs in windows)
        return [row for window in scores for row in self._best(window, top_k)]

    def reason(self, images: Sequence[Sequence[ImageInput]], texts: Sequence[str]) -> list[list[tuple[str, float]]]:
        """Return the classes of each text about its `config.num_images` images, as (class, probability), best first."""
        self.require("reason")
        count = self.config.num_images
        if len(images) != len(texts):
            raise ValueError(
                f"{counted(len(images), 'row')} of images and {counted(len(texts), 'text')} do not pair up"
            )
        for i, row in enumerate(images):
            if len(row) != count:
                raise ValueError(f"row {i} has {counted(len(row), 'image')}; the model reads {count}")
        out = []
        for begin in range(0, len(texts), WINDOW):
            rows, window = images[begin : begin + WINDOW], texts[begin : begin + WINDOW]
            flat = [image for row in rows for image in row]
            every = [text for text in window for _ in range(count)]
            pairs = self.preprocessor.pairs(flat, every, [*range(1, count + 1)] * len(window))
            logits = self.logits("reason", self.pooled(pairs).unflatten(0, (-1, count)).flatten(1))
            out += self._best(self.scores("reason", logits), logits.shape[1])
        return out

    def embed(self, images: Images, texts: Texts) -> np.ndarray:
        """Return the pooled vector of each pair, float32 (n, D)."""
        self.require("embed")
        parts = [self.logits("embed", self.pooled(pairs)) for pairs in self._windows(images, texts)]
        return np.concatenate(parts) if parts else np.empty((0, self.config.hidden_size), np.float32)

    def fill(self, images: Images, texts: Texts) -> list[Filled]:
        """Fill every [MASK] of each text, the most certain first, each reading those filled before it."""
        self.require("fill")
        return [row for pairs in self._windows(images, texts) for row in self.fill_pairs(pairs)]

    def tag(self, images: Images, texts: Texts) -> list[list[Tag]]:
        """Return the class of each token of each text, [CLS] and [SEP] left out."""
        self.require("tag")
        return [row for pairs in self._windows(images, texts) for row in self.tag_pairs(pairs)]

    @torch.inference_mode()
    def cross_scores(
        self,
        images: Pairs,
        token_ids: np.ndarray,
        text_lengths: np.ndarray,
        text_index: np.ndarray,
        image_index: np.ndarray,
    ) -> Iterator[np.ndarray]:
        """Yield scores of texts with the images of `images`, float32, `CROSS_PAIRS` pairs at a time.

        Each image is embedded once. Pair i is text `text_index[i]` of those that lie end to end in `token_ids`, and
        image `image_index[i]`.
        """
        embedded = self.embed_images(images) if len(images.grids) else None
        for begin in range(0, len(text_index), CROSS_PAIRS):
            part = slice(begin, begin + CROSS_PAIRS)
            pairs = images.with_texts(token_ids, text_lengths, text_index[part], image_index[part])
            yield self.logits("score", self.pooled(pairs, embedded))[:, 0]

    @torch.inference_mode()
    def fill_pairs(self, pairs: Pairs) -> list[Filled]:
        """Do as `fill` for pairs that are preprocessed. Each round fills one [MASK] of every pair that has one left."""
        ids, begins = pairs.token_ids.copy(), starts(pairs.text_lengths)
        empty = ids == self.preprocessor.tokenizer.id("[MASK]")
        masks, scores = np.flatnonzero(empty), np.zeros(len(ids), np.float32)
        images = self.embed_images(pairs) if len(masks) else None
        while images is not None and len(places := np.flatnonzero(empty)):
            waiting = np.unique(np.searchsorted(begins, places, "right") - 1)
            current = replace(pairs, token_ids=ids)
            for batch, states in self.passes.run(current, images, self.model.text_states, waiting):
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
        """Do as `tag` for pairs that are preprocessed."""
        if not len(pairs):
            return []
        label, score = np.empty(len(pairs.token_ids), np.int64), np.empty(len(pairs.token_ids), np.float32)
        images = self.embed_images(pairs)
        for batch, states in self.passes.run(pairs, images, self.model.text_states):
            order = batch.text_order.cpu().numpy()
            best, which = self.heads["tag"](states).softmax(-1).max(-1)
            score[order], label[order] = best.cpu().numpy(), which.cpu().numpy()
        token = self.preprocessor.tokenizer.token
        return [
            [Tag(token(pairs.token_ids[i]), self.labels[label[i]], float(score[i])) for i in range(begin + 1, end - 1)]
            for begin, end in zip(starts(pairs.text_lengths), np.cumsum(pairs.text_lengths), strict=True)
        ]

    def _windows(self, images: Images, texts: Texts) -> Iterator[Pairs]:
        """Pair up images and texts, `WINDOW` pairs at a time."""
        one = isinstance(images, Image.Image | np.ndarray | bytes)
        if isinstance(texts, str):
            texts = [texts] * (1 if one else len(images))  # type: ignore[arg-type]
        many: Sequence[ImageInput] = [images] * len(texts) if one else images  # type: ignore[assignment, list-item]
        if len(many) != len(texts):
            raise ValueError(f"{counted(len(many), 'image')} and {counted(len(texts), 'text')} do not pair up")
        for i, text in enumerate(texts):
            if not isinstance(text, str):
                raise ValueError(f"text {i} is {text!r}, a {type(text).__name__}; a text is a str")
        for begin in range(0, len(texts), WINDOW):
            yield self.preprocessor.pairs(many[begin : begin + WINDOW], texts[begin : begin + WINDOW])
