"""ViLT, ViT and VisualBERT in plain torch: models, processors and predictors. Knows nothing of Ray, of tables or of
YAML."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vilt.configuration import ViltConfig, VisualBertConfig, ViTConfig
    from vilt.decoding import ImageError
    from vilt.family import open_predictor
    from vilt.fast_images import ViltImageProcessorFast, ViTImageProcessorFast
    from vilt.images import ViltFeatureExtractor, ViltImageProcessor, ViTFeatureExtractor, ViTImageProcessor
    from vilt.model import ViltModel
    from vilt.predictor import Filled, Predictor, Tag
    from vilt.text import ViltProcessor, ViltTokenizer
    from vilt.vilt_heads import (
        ViltForImageAndTextRetrieval,
        ViltForImagesAndTextClassification,
        ViltForMaskedLM,
        ViltForQuestionAnswering,
        ViltForTokenClassification,
    )
    from vilt.visual_bert import VisualBertModel
    from vilt.visual_bert_heads import (
        VisualBertForMultipleChoice,
        VisualBertForPreTraining,
        VisualBertForQuestionAnswering,
        VisualBertForRegionToPhraseAlignment,
        VisualBertForVisualReasoning,
    )
    from vilt.visual_bert_predictor import VisualBertPredictor
    from vilt.vit import ViTForImageClassification, ViTForMaskedImageModeling, ViTModel
    from vilt.vit_predictor import ViTPredictor

__all__ = [
    "Filled",
    "ImageError",
    "Predictor",
    "Tag",
    "ViTConfig",
    "ViTFeatureExtractor",
    "ViTForImageClassification",
    "ViTForMaskedImageModeling",
    "ViTImageProcessor",
    "ViTImageProcessorFast",
    "ViTModel",
    "ViTPredictor",
    "ViltConfig",
    "ViltFeatureExtractor",
    "ViltForImageAndTextRetrieval",
    "ViltForImagesAndTextClassification",
    "ViltForMaskedLM",
    "ViltForQuestionAnswering",
    "ViltForTokenClassification",
    "ViltImageProcessor",
    "ViltImageProcessorFast",
    "ViltModel",
    "ViltProcessor",
    "ViltTokenizer",
    "VisualBertConfig",
    "VisualBertForMultipleChoice",
    "VisualBertForPreTraining",
    "VisualBertForQuestionAnswering",
    "VisualBertForRegionToPhraseAlignment",
    "VisualBertForVisualReasoning",
    "VisualBertModel",
    "VisualBertPredictor",
    "open_predictor",
]

_MODULES = (
    *("decoding", "configuration", "images", "fast_images", "text", "model", "predictor", "vilt_heads", "visual_bert"),
    *("visual_bert_heads", "visual_bert_predictor", "vit", "vit_predictor", "family"),
)


def __getattr__(name: str) -> object:
    """A name of `__all__`, when it is first asked for: not every process that imports a module needs torch, which
    takes seconds."""
    if name in __all__:
        for module in _MODULES:
            if hasattr(found := import_module(f"vilt.{module}"), name):
                return globals().setdefault(name, getattr(found, name))
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
