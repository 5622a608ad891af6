"""ViLT in plain torch: models, processors and the `Predictor`. Knows nothing of Ray, of tables or of YAML."""

from vilt.configuration import ViltConfig
from vilt.decoding import ImageError
from vilt.fast_images import ViltImageProcessorFast
from vilt.heads import (
    ViltForImageAndTextRetrieval,
    ViltForImagesAndTextClassification,
    ViltForMaskedLM,
    ViltForQuestionAnswering,
    ViltForTokenClassification,
)
from vilt.images import ViltFeatureExtractor, ViltImageProcessor
from vilt.model import ViltModel
from vilt.predictor import Filled, Predictor, Tag
from vilt.text import ViltProcessor, ViltTokenizer

__all__ = [
    "Filled",
    "ImageError",
    "Predictor",
    "Tag",
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
]
