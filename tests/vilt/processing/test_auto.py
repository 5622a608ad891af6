"""`AutoTokenizer`, `AutoImageProcessor` and `AutoProcessor` read what a checkpoint has, as those of transformers do."""

import json
from pathlib import Path

import pytest
import transformers

import vilt
from tests.parity.checkpoints import WORDS, write_checkpoint
from tests.vilt.models.test_registry import write_visual_bert, write_vit


@pytest.fixture
def checkpoints(tmp_path: Path) -> Path:
    write_checkpoint(tmp_path / "vilt", "ViltForQuestionAnswering", hidden_size=24, num_attention_heads=2)
    write_vit(tmp_path / "vit")
    write_visual_bert(tmp_path / "visual_bert", "VisualBertForQuestionAnswering")
    return tmp_path


def test_each_family(checkpoints: Path) -> None:
    for name, expected in (("vilt", "ViltProcessor"), ("vit", "ViTImageProcessor"), ("visual_bert", "ViltTokenizer")):
        assert type(vilt.AutoProcessor.from_pretrained(checkpoints / name)).__name__ == expected
    for name in ("vilt", "vit"):
        ours, theirs = (one.AutoImageProcessor.from_pretrained(checkpoints / name) for one in (vilt, transformers))
        assert type(ours).__name__ == type(theirs).__name__
        assert ours.size == theirs.size
    for name in ("vilt", "visual_bert"):
        ours, theirs = (one.AutoTokenizer.from_pretrained(checkpoints / name) for one in (vilt, transformers))
        assert ours("a red star")["input_ids"] == theirs("a red star")["input_ids"]


def test_the_files_name_the_class(checkpoints: Path) -> None:
    path = checkpoints / "vit" / "preprocessor_config.json"
    settings = json.loads(path.read_text())
    for key, value, expected in (
        ("image_processor_type", "ViTImageProcessorFast", vilt.ViTImageProcessorFast),
        ("feature_extractor_type", "ViTFeatureExtractor", vilt.ViTFeatureExtractor),
        ("image_processor_type", None, vilt.ViTImageProcessor),  # by the config
    ):
        path.write_text(json.dumps({**settings, "image_processor_type": None, key: value}))
        assert type(vilt.AutoImageProcessor.from_pretrained(checkpoints / "vit")) is expected
    fast = vilt.AutoImageProcessor.from_pretrained(checkpoints / "vit", use_fast=True, size=64)
    assert type(fast) is vilt.ViTImageProcessorFast
    assert fast.size == {"height": 64, "width": 64}
    path.write_text(json.dumps({**settings, "image_processor_type": "CLIPImageProcessor"}))
    with pytest.raises(ValueError, match="has image_processor_type 'CLIPImageProcessor'; ViT's and ViLT's are read"):
        vilt.AutoImageProcessor.from_pretrained(checkpoints / "vit")


def test_folders_without_a_config(tmp_path: Path) -> None:
    vilt.ViltTokenizer.from_vocabulary(WORDS).save_pretrained(tmp_path)
    assert isinstance(vilt.AutoProcessor.from_pretrained(tmp_path), vilt.ViltTokenizer)
    vilt.ViltImageProcessor().save_pretrained(tmp_path)
    assert isinstance(vilt.AutoProcessor.from_pretrained(tmp_path), vilt.ViltProcessor)
