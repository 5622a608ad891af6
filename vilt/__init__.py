"""ViLT in plain torch: models, processors and the `Predictor`. Knows nothing of Ray, of tables or of YAML."""

from vilt.configuration import ViltConfig
from vilt.decoding import ImageError
from vilt.heads import (
    ViltForImageAndTextRetrieval,
    ViltForImagesAndTextClassification,
    ViltForMaskedLM,
    ViltForQuestionAnswering,
    ViltForTokenClassification,
)
from vilt.images import ViltImageProcessor
from vilt.model import ViltModel
from vilt.predictor import Predictor
from vilt.text import ViltProcessor, ViltTokenizer

__all__ = [
    "ImageError",
    "Predictor",
    "ViltConfig",
    "ViltForImageAndTextRetrieval",
    "ViltForImagesAndTextClassification",
    "ViltForMaskedLM",
    "ViltForQuestionAnswering",
    "ViltForTokenClassification",
    "ViltImageProcessor",
    "ViltModel",
    "ViltProcessor",
    "ViltTokenizer",
]
