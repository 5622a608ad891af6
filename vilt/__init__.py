"""ViLT, ViT and VisualBERT in plain torch: models, processors and predictors.

This package knows nothing of Ray, of tables or of YAML.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vilt.inference.token_results import Filled, Tag
    from vilt.models.registry import open_predictor
    from vilt.models.vilt.configuration import ViltConfig
    from vilt.models.vilt.heads import (
        ViltForImageAndTextRetrieval,
        ViltForImagesAndTextClassification,
        ViltForMaskedLM,
        ViltForQuestionAnswering,
        ViltForTokenClassification,
    )
    from vilt.models.vilt.modeling import ViltModel
    from vilt.models.vilt.predictor import Predictor
    from vilt.models.visual_bert.configuration import VisualBertConfig
    from vilt.models.visual_bert.heads import (
        VisualBertForMultipleChoice,
        VisualBertForPreTraining,
        VisualBertForQuestionAnswering,
        VisualBertForVisualReasoning,
    )
    from vilt.models.visual_bert.modeling import VisualBertModel
    from vilt.models.visual_bert.predictor import VisualBertPredictor
    from vilt.models.visual_bert.region_to_phrase import VisualBertForRegionToPhraseAlignment
    from vilt.models.vit.configuration import ViTConfig
    from vilt.models.vit.modeling import ViTForImageClassification, ViTForMaskedImageModeling, ViTModel
    from vilt.models.vit.predictor import ViTPredictor
    from vilt.processing.auto import AutoImageProcessor, AutoProcessor, AutoTokenizer
    from vilt.processing.errors import ImageError
    from vilt.processing.images import ViltFeatureExtractor, ViltImageProcessor, ViTFeatureExtractor, ViTImageProcessor
    from vilt.processing.processor import ViltProcessor
    from vilt.processing.tokenizer.tokenizer import ViltTokenizer
    from vilt.processing.torch_images import ViltImageProcessorFast, ViTImageProcessorFast

__all__ = [
    "AutoImageProcessor",
    "AutoProcessor",
    "AutoTokenizer",
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

_MODULES = {
    "models.registry": ("open_predictor",),
    "models.vilt.configuration": ("ViltConfig",),
    "models.visual_bert.configuration": ("VisualBertConfig",),
    "models.vit.configuration": ("ViTConfig",),
    "models.vilt.heads": (
        "ViltForImageAndTextRetrieval",
        "ViltForImagesAndTextClassification",
        "ViltForMaskedLM",
        "ViltForQuestionAnswering",
        "ViltForTokenClassification",
    ),
    "models.vilt.modeling": ("ViltModel",),
    "inference.token_results": ("Filled", "Tag"),
    "models.vilt.predictor": ("Predictor",),
    "models.visual_bert.heads": (
        "VisualBertForMultipleChoice",
        "VisualBertForPreTraining",
        "VisualBertForQuestionAnswering",
        "VisualBertForVisualReasoning",
    ),
    "models.visual_bert.modeling": ("VisualBertModel",),
    "models.visual_bert.predictor": ("VisualBertPredictor",),
    "models.visual_bert.region_to_phrase": ("VisualBertForRegionToPhraseAlignment",),
    "models.vit.modeling": (
        "ViTForImageClassification",
        "ViTForMaskedImageModeling",
        "ViTModel",
    ),
    "models.vit.predictor": ("ViTPredictor",),
    "processing.auto": ("AutoImageProcessor", "AutoProcessor", "AutoTokenizer"),
    "processing.errors": ("ImageError",),
    "processing.images": (
        "ViTFeatureExtractor",
        "ViTImageProcessor",
        "ViltFeatureExtractor",
        "ViltImageProcessor",
    ),
    "processing.processor": ("ViltProcessor",),
    "processing.tokenizer.tokenizer": ("ViltTokenizer",),
    "processing.torch_images": (
        "ViTImageProcessorFast",
        "ViltImageProcessorFast",
    ),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> object:
    """Import a name of `__all__` when it is first asked for.

    Torch takes seconds to import, and not every process that imports a module of this package needs it.
    """
    if name in _MODULE_OF:
        return globals().setdefault(name, getattr(import_module(f"vilt.{_MODULE_OF[name]}"), name))
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
