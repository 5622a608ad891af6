"""`vilt train`: the shipped model, trained anew on drawn scenes."""

from __future__ import annotations

from jobs.console.command import Outcome
from jobs.console.tables import lines
from jobs.demo.train import train


def train_model(out: str, steps: int, seed: int, first_step: int) -> Outcome:
    """Train the model; the losses are printed on the way.

    Args:
        out: Folder for the checkpoint.
        steps: Number of steps of the whole training.
        seed: Seed of the weights and the scenes.
        first_step: Continue with the weights that a training of so many steps left in `out`.
    """
    train(out, steps, seed, first_step)
    return Outcome(lines(f"written     {out}"), {"output": out, "steps": steps, "seed": seed})
