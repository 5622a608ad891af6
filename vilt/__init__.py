"""ViLT in plain torch: models, processors and the `Predictor`. Knows nothing of Ray, of tables or of YAML."""

from vilt.configuration import ViltConfig
from vilt.decoding import ImageError
from vilt.heads import ViltForImageAndTextRetrieval, ViltForMaskedLM, ViltForQuestionAnswering
from vilt.images import ViltImageProcessor
from vilt.model import ViltModel
from vilt.predictor import Predictor
from vilt.text import ViltProcessor, ViltTokenizer

__all__ = [
    "ImageError",
    "Predictor",
    "ViltConfig",
    "ViltForImageAndTextRetrieval",
    "ViltForMaskedLM",
    "ViltForQuestionAnswering",
    "ViltImageProcessor",
    "ViltModel",
    "ViltProcessor",
    "ViltTokenizer",
]
