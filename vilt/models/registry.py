"""The family by `model_type`, as a checkpoint's `config.json` has it.

| | ViLT | ViT | VisualBERT |
| --- | --- | --- | --- |
| reads | a text and an image | an image | a text and the features of an image's regions |
| image size | in proportion, any grid | one size, one grid | a detector has seen it |
| an image's rows | patches: bilinear positions, modality | patches: bicubic positions | regions: token type |
| norms of a block | before its layers | before its layers | after the residuals |
| heads read | pooled text [CLS], or the text | image [CLS] | pooled [CLS], or the last word |
"""

from __future__ import annotations

import torch

from vilt.common.configuration import read_config
from vilt.common.storage import Source
from vilt.inference.engine import Engine
from vilt.inference.preprocessor import AnyPreprocessor
from vilt.models.vilt.predictor import Predictor
from vilt.models.visual_bert.predictor import VisualBertPredictor
from vilt.models.vit.predictor import ViTPredictor

PREDICTORS: dict[str, type[Engine]] = {
    predictor.config_class.model_type: predictor for predictor in (Predictor, ViTPredictor, VisualBertPredictor)
}
NAMES = {"vilt": "ViLT", "vit": "ViT", "visual_bert": "VisualBERT"}


def open_predictor(
    uri: Source,
    device: str | torch.device | None = None,
    precision: str = "auto",
    tokenizer: Source | None = None,
) -> Engine:
    """The predictor of a checkpoint of any kind. See `Engine.from_pretrained`."""
    return PREDICTORS[read_config(uri).model_type].from_pretrained(uri, device, precision, tokenizer)


def open_preprocessor(uri: Source, tokenizer: Source | None = None) -> AnyPreprocessor:
    """The preprocessor of a checkpoint of any kind. See `Engine.from_pretrained`."""
    config = read_config(uri)
    return PREDICTORS[config.model_type].preprocessor_class.from_pretrained(uri, config, tokenizer)
