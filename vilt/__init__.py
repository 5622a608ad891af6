"""ViLT, ViT and VisualBERT in plain torch: models, processors and predictors. Knows nothing of Ray, of tables or of
YAML."""

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
