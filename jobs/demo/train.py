"""Train the shipped model on drawn scenes: `vilt train --out FOLDER`.

Masked captions first, which teach the model to find things; then captions, questions and rankings together.
"""

from __future__ import annotations

import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from random import Random

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.utils.rnn import pad_sequence

from jobs.console.text import visible
from jobs.demo import questions, scenes
from jobs.demo.batches import CANDIDATES, IMAGES, LAST_PART, Example, ScenePool, compose, to_pairs, vocabulary
from vilt.checkpoints.loading import check_fit, compare, fill
from vilt.checkpoints.saving import save_weights
from vilt.checkpoints.state_dict import read_stored
from vilt.common.counts import counted
from vilt.inference.pairs import Pairs
from vilt.models.layers import MaskedWordHead
from vilt.models.vilt.configuration import ViltConfig
from vilt.models.vilt.heads import answer_classifier
from vilt.models.vilt.modeling import ViltModel, ViltPreTrainedModel
from vilt.processing.tokenizer.tokenizer import ViltTokenizer

TIED = ("mlm_score.decoder.bias",)  # the same tensor as mlm_score.bias
ALIGNED_LAYER = 4  # of 6; the layers above can then look things up


def config() -> ViltConfig:
    """Return the shape of the shipped model: 3.3 million parameters, 128-pixel pictures in patches of 32."""
    return ViltConfig(
        vocab_size=len(vocabulary()),
        hidden_size=192,
        num_hidden_layers=6,
        num_attention_heads=6,
        intermediate_size=768,
        initializer_range=0.05,
        image_size=scenes.SHORTEST_EDGE,
        id2label=dict(enumerate(questions.ANSWERS)),
    )


class Trainee(ViltPreTrainedModel):
    """One `ViltModel`, the three heads that learn on it by their published names, and what aligns words and patches."""

    def __init__(self, shape: ViltConfig, seed: int) -> None:
        super().__init__(shape)
        torch.manual_seed(seed)
        self.vilt = ViltModel(shape)
        self.rank_output, self.classifier = nn.Linear(shape.hidden_size, 1), answer_classifier(shape)
        self.mlm_score = MaskedWordHead(shape)
        self.word_side, self.patch_side = (nn.Linear(shape.hidden_size, 64) for _ in range(2))
        self.post_init()

    def published(self) -> dict[str, Tensor]:
        """Return the tensors that a checkpoint keeps."""
        aligning = ("word_side.", "patch_side.")
        return {name: tensor for name, tensor in self.state_dict().items() if not name.startswith(aligning)}

    def embed_images(self, pairs: Pairs) -> tuple[Tensor, Tensor]:
        """Embed the images of `pairs` once each: (images, 1 + N, D) with filler, and a mask (images, 1 + N)."""
        embeddings = self.vilt.embeddings
        mean, std, rescale = IMAGES.affine()
        pixels = torch.from_numpy(pairs.patches).unflatten(1, (-1, len(mean))) * rescale  # channels last
        pixels = ((pixels - torch.tensor(mean)) / torch.tensor(std)).flatten(1)
        projection = embeddings.patch_embeddings.projection
        patches = F.linear(pixels, projection.weight.permute(0, 2, 3, 1).flatten(1), projection.bias)
        tables = {grid: embeddings.positions(*grid).flatten(0, 1) for grid in dict.fromkeys(pairs.grids)}
        first = embeddings.cls_token[0] + embeddings.position_embeddings[0, :1]  # (1, D)
        images = [
            torch.cat([first, rows + tables[grid]])
            for rows, grid in zip(patches.split(pairs.grid_sizes.tolist()), pairs.grids, strict=True)
        ]
        lengths = torch.tensor([len(image) for image in images])
        padded = pad_sequence(images, batch_first=True)
        return padded, (torch.arange(padded.shape[1]) < lengths[:, None]).long()

    def loss(self, pairs: Pairs, examples: list[Example], words: Tensor, cells: Tensor) -> dict[str, Tensor]:
        """Return the loss of each kind of example in the batch.

        Args:
            pairs: The examples.
            examples: In the same order.
            words: Targets of masked words, see `to_pairs`.
            cells: Cells of attribute words, see `to_pairs`.
        """
        lengths = pairs.text_lengths.tolist()
        ids, words, cells = (
            pad_sequence(list(values.split(lengths)), batch_first=True, padding_value=filler)
            for values, filler in ((torch.from_numpy(pairs.token_ids), 0), (words, -100), (cells, -100))
        )  # (n, T)
        text_mask = (torch.arange(ids.shape[1]) < torch.tensor(lengths)[:, None]).long()
        images, image_mask = self.embed_images(pairs)
        index = torch.from_numpy(pairs.image_index)
        out = self.vilt(
            input_ids=ids,
            attention_mask=text_mask,
            image_embeds=images[index],
            pixel_mask=image_mask[index],
            output_hidden_states=True,
        )
        losses = {"align": self.alignment(out.hidden_states[ALIGNED_LAYER], cells, image_mask[index, 1:])}
        chosen = words >= 0
        if chosen.any():
            states = out.last_hidden_state[:, : ids.shape[1]][chosen]
            losses["caption"] = F.cross_entropy(self.mlm_score(states).float(), words[chosen])
        rank = [i for i, e in enumerate(examples) if e.kind == "rank"]
        if rank:
            logits = self.rank_output(out.pooler_output[rank]).float().view(-1, CANDIDATES)  # the true caption first
            losses["rank"] = F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.int64))
        asked = [i for i, e in enumerate(examples) if e.kind == "question"]
        if asked:
            answers = torch.tensor([examples[i].answer for i in asked])
            soft = F.one_hot(answers, len(questions.ANSWERS)).float()
            logits = self.classifier(out.pooler_output[asked]).float()
            losses["question"] = F.binary_cross_entropy_with_logits(logits, soft) * soft.shape[1]
        return losses

    def alignment(self, x: Tensor, cells: Tensor, patch_mask: Tensor) -> Tensor:
        """Return the cross entropy of the patch that each attribute word of a true caption is about.

        Args:
            x: (n, T + 1 + N, D).
            cells: Int64 (n, T), the patch of each token within its picture, -100 for none.
            patch_mask: (n, N), 1 for a real patch.
        """
        pair, token = torch.nonzero(cells >= 0, as_tuple=True)
        query, keys = self.word_side(x[pair, token]), self.patch_side(x[:, cells.shape[1] + 1 :])[pair]
        scores = (keys @ query[:, :, None])[:, :, 0].float() / query.shape[1] ** 0.5
        return F.cross_entropy(scores.masked_fill(patch_mask[pair] == 0, -1e4), cells[pair, token])


def train(
    out: str,
    steps: int,
    seed: int,
    first_step: int = 0,
    batch_size: int = 64,
    pool_size: int = 30_000,
    rate: float = 5e-4,
) -> None:
    """Train, and write the checkpoint every 1,000 steps and at the end; print the losses every 100 steps.

    Args:
        out: Folder for the checkpoint.
        steps: Number of steps of the whole training.
        seed: Seed of the weights and the scenes.
        first_step: Continue a training that ended there, with the weights that it left in `out`.
        batch_size: Examples in a step.
        pool_size: Scenes that are drawn ahead.
        rate: Learning rate, after the warm-up.
    """
    rng = Random(seed + first_step)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context, initializer=torch.set_num_threads, initargs=(1,)) as workers:
        pool = ScenePool(pool_size, workers)
    shape = config()
    tokenizer = ViltTokenizer.from_vocabulary(vocabulary())
    model = Trainee(shape, seed)
    if first_step:
        names = model.published()
        fit = compare(read_stored(out).tensors, names, "vilt")
        check_fit(fit, names, out, strict=True, ignore_mismatched=False)
        fill(model, fit.tensors)
    print(
        visible(f"{sum(p.numel() for p in model.parameters()):,} parameters, {counted(len(pool.items), 'scene')}"),
        flush=True,
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, betas=(0.9, 0.98), weight_decay=0.03, fused=True)
    warm_up = min(500, steps // 10 + 1)

    def scale(done: int) -> float:  # steady, then linear to 0 over the last part
        left = 1 - (first_step + done) / steps
        return min((done + 1) / warm_up, left / (1 - LAST_PART), 1.0)

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, scale)
    started, totals = time.monotonic(), dict.fromkeys(("align", "caption", "question", "rank"), 0.0)
    for step in range(first_step, steps):
        batch = compose(pool, rng, batch_size, step / steps)
        pairs, words, cells = to_pairs(pool, batch, tokenizer, rng)
        # Sequences are short: the fused attention's backward costs twice the plain products here.
        with torch.autocast("cpu", torch.bfloat16), sdpa_kernel(SDPBackend.MATH):
            losses = model.loss(pairs, batch, words, cells)
        optimizer.zero_grad()
        sum(losses.values(), torch.zeros(())).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        for name, loss in losses.items():
            totals[name] += loss.item() / 100
        if step % 100 == 99:
            line = "  ".join(f"{name} {total:.3f}" for name, total in totals.items())
            print(visible(f"step {step + 1:6d}  {line}  {time.monotonic() - started:.0f} s"), flush=True)
            totals = dict.fromkeys(totals, 0.0)
        if step % 1000 == 999 or step + 1 == steps:
            save(out, shape, model, tokenizer)


def save(out: str, shape: ViltConfig, model: Trainee, tokenizer: ViltTokenizer) -> None:
    """Write the folder in the published format, weights as bfloat16."""
    shape.save_pretrained(out)
    tokenizer.save_pretrained(out)
    IMAGES.save_pretrained(out)
    save_weights(out, {name: tensor.bfloat16() for name, tensor in model.published().items()}, TIED)
