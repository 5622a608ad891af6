"""The published checkpoints give the published numbers. Needs them on this machine: they are 470 MB each.

`VILT_CHECKPOINTS`: a folder with vilt-b32-mlm/, vilt-b32-finetuned-vqa/, ... and cats.jpg, picture 000000039769 of COCO
val2017.
"""

import os
from pathlib import Path

import pytest
import torch
from PIL import Image

import vilt

FOLDER = Path(os.environ.get("VILT_CHECKPOINTS", "checkpoints"))


def inputs_of(name: str, text: str, images: int = 1) -> tuple[str, dict[str, torch.Tensor]]:
    """The checkpoint's folder and the model's inputs, or skip where they are not at hand."""
    folder, picture = FOLDER / name, FOLDER / "cats.jpg"
    for path in (folder, picture):
        if not path.exists():
            pytest.skip(f"{path} is not at hand; VILT_CHECKPOINTS names the folder of published checkpoints")
    image = Image.open(picture)
    processor = vilt.ViltProcessor.from_pretrained(str(folder))
    return str(folder), processor(image if images == 1 else [image] * images, text, return_tensors="pt")


@torch.inference_mode()
def test_masked_words() -> None:
    folder, inputs = inputs_of("vilt-b32-mlm", "a bunch of [MASK] laying on a [MASK].")
    logits = vilt.ViltForMaskedLM.from_pretrained(folder)(**inputs).logits
    assert logits.shape == (1, 11, 30522)
    assert logits[0, 0, :3].tolist() == pytest.approx([-12.5061, -12.5123, -12.5174], abs=1e-4)
    tokenizer = vilt.ViltTokenizer.from_pretrained(folder)
    assert tokenizer.decode([int(logits[0, 4].argmax())]) == "cats"


@torch.inference_mode()
def test_answers() -> None:
    folder, inputs = inputs_of("vilt-b32-finetuned-vqa", "How many cats are there?")
    model = vilt.ViltForQuestionAnswering.from_pretrained(folder)
    logits = model(**inputs).logits
    assert logits.shape == (1, 3129)
    assert logits[0, :3].tolist() == pytest.approx([-15.9495, -18.1472, -10.3041], abs=1e-4)
    assert model.config.id2label[int(logits.argmax())] == "2"


@torch.inference_mode()
def test_two_pictures() -> None:
    text = "The left image contains twice the number of dogs as the right image."
    folder, inputs = inputs_of("vilt-b32-finetuned-nlvr2", text, images=2)
    model = vilt.ViltForImagesAndTextClassification.from_pretrained(folder)
    assert model(input_ids=inputs["input_ids"], pixel_values=inputs["pixel_values"][None]).logits.shape == (1, 2)
