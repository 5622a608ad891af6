"""`ViltProcessor`: an image processor and a tokenizer, called together."""

import numpy as np
import pytest
import transformers

from vilt import ViltProcessor, ViltTokenizer
from vilt.common.folder import ZOO

SCENES = str(ZOO / "scenes")


THEIRS = transformers.BertTokenizerFast.from_pretrained(SCENES)


OURS = ViltTokenizer.from_pretrained(SCENES)


def test_the_processor_pads_as_transformers_does() -> None:
    images = [np.zeros((64, 96, 3), np.uint8), np.zeros((96, 64, 3), np.uint8)]
    texts = ["a red star", "a small blue circle left of a large green square"]
    theirs = transformers.ViltProcessor(transformers.ViltImageProcessor.from_pretrained(SCENES), THEIRS)
    expected = theirs(images, texts, padding=True, return_tensors="pt")
    got = ViltProcessor.from_pretrained(SCENES)(images, texts, padding=True, return_tensors="pt")
    assert set(got) == set(expected)
    for name, tensor in got.items():
        assert np.allclose(tensor.numpy(), expected[name].numpy(), atol=1e-6), name


def test_decoding_several() -> None:
    rows = OURS(["a red star", "a small blue circle"])["input_ids"]
    processor = ViltProcessor.from_pretrained(SCENES)
    for skip in (False, True):
        assert processor.batch_decode(rows, skip) == THEIRS.batch_decode(rows, skip_special_tokens=skip)
        assert processor.decode(rows[0], skip_special_tokens=skip) == THEIRS.decode(rows[0], skip_special_tokens=skip)


def test_settings_go_to_the_half_that_has_them() -> None:
    processor = ViltProcessor.from_pretrained(SCENES)
    image = np.zeros((64, 96, 3), np.uint8)
    found = processor(image, "a red star", max_length=4, truncation=True, do_normalize=False, return_tensors="np")
    assert found["input_ids"].shape == (1, 4)
    assert found["pixel_values"].max() == 0, "not normalised"
    names = ["input_ids", "token_type_ids", "attention_mask", "pixel_values"]
    theirs = transformers.ViltProcessor(transformers.ViltImageProcessor.from_pretrained(SCENES), THEIRS)
    assert processor.model_input_names == theirs.model_input_names
    assert list(found) == [*names, "pixel_mask"]
    assert processor.feature_extractor is processor.image_processor


def test_halves_that_are_missing() -> None:
    whole = ViltProcessor.from_pretrained(SCENES)
    for halves in ((None, OURS), (whole.image_processor, None)):
        with pytest.raises(ValueError, match=r"^give an image_processor and a tokenizer$"):
            ViltProcessor(*halves)
    with pytest.raises(TypeError, match=r"^ViltProcessor has no argument 'tokeniser'$"):
        ViltProcessor(whole.image_processor, OURS, tokeniser=1)
    assert (
        ViltProcessor(tokenizer=OURS, feature_extractor=whole.image_processor).image_processor is whole.image_processor
    )
