"""Arrays on their way to a device."""

import numpy as np
import torch

from vilt.inference.gpu.transfer import Uploader


def test_arrays_arrive_as_they_are() -> None:
    uploader = Uploader(torch.device("cpu"), pinned=True)
    rows, indices = np.arange(12, dtype=np.uint8).reshape(3, 4), [np.arange(3), np.zeros(0, np.int64)]
    assert np.array_equal(uploader.rows(rows).numpy(), rows)
    assert [found.tolist() for found in uploader.indices(indices)] == [[0, 1, 2], []]
