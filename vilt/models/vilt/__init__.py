"""ViLT: a text and an image's patches, read together by one transformer."""

from vilt.models.family import ModelFamily

FAMILY = ModelFamily(
    name="ViLT",
    model_type="vilt",
    config="vilt.models.vilt.configuration:ViltConfig",
    predictor="vilt.models.vilt.predictor:Predictor",
    preprocessor="vilt.models.vilt.preprocessor:Preprocessor",
    tasks=("score", "answer", "fill", "reason", "tag", "embed", "rank"),
    reads=frozenset({"text", "image"}),
)
