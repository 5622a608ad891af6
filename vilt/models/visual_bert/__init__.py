"""VisualBERT: a text and the features of an image's regions, read together by BERT's transformer."""

from vilt.models.family import ModelFamily

FAMILY = ModelFamily(
    name="VisualBERT",
    model_type="visual_bert",
    config="vilt.models.visual_bert.configuration:VisualBertConfig",
    predictor="vilt.models.visual_bert.predictor:VisualBertPredictor",
    preprocessor="vilt.models.visual_bert.preprocessor:RegionPreprocessor",
    tasks=("answer", "reason", "embed"),
    reads=frozenset({"text", "regions"}),
)
