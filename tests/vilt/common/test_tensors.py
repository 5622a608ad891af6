"""Whether a value is a tensor, with torch and without."""

import subprocess
import sys

import numpy as np
import torch

from vilt.common.tensors import is_tensor


def test_with_torch() -> None:
    assert is_tensor(torch.zeros(1))
    assert not is_tensor(np.zeros(1))
    assert not is_tensor("text")


def test_pictures_are_read_without_torch() -> None:
    """A process that reads and decodes has no use for it: that saves a second, and 200 MB."""
    code = """
import sys
import numpy as np
from PIL import Image
from vilt import ViltImageProcessor
from vilt.common.folder import ZOO
from vilt.models.registry import open_preprocessor

preprocessor = open_preprocessor(str(ZOO / "scenes"))
image = np.zeros((40, 60, 3), np.uint8)
patches = preprocessor.pairs([Image.fromarray(image)], ["a red circle"]).patches
pixels = ViltImageProcessor().preprocess([image], return_tensors="np")["pixel_values"]
print(patches.shape, pixels.shape, "torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("False")
