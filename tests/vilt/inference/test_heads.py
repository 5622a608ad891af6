"""What the logits of heads mean."""

from __future__ import annotations

import numpy as np
from torch import nn

from vilt.inference.heads import TaskHead, probabilities, separate

LOGITS = np.array([[0.0, 2.0, -1.0], [1000.0, 1000.0, -1000.0]], np.float32)


def test_one_class_of_several() -> None:
    found = probabilities(LOGITS, None)
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-6)
    np.testing.assert_allclose(found[1], [0.5, 0.5, 0])


def test_classes_that_do_not_exclude_each_other() -> None:
    found = separate(LOGITS, None)
    np.testing.assert_allclose(found[0], 1 / (1 + np.exp(-LOGITS[0])), rtol=1e-6)
    np.testing.assert_allclose(found[1], [1, 1, 0])


def test_defaults_of_a_head() -> None:
    head = TaskHead("classifier", lambda _: nn.Identity())
    assert (head.reads, head.scores, head.needs_pooler) == ("pooled", probabilities, True)
