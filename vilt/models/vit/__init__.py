"""ViT: an image's patches, read by a transformer."""

from vilt.models.family import ModelFamily

FAMILY = ModelFamily(
    name="ViT",
    model_type="vit",
    config="vilt.models.vit.configuration:ViTConfig",
    predictor="vilt.models.vit.predictor:ViTPredictor",
    preprocessor="vilt.models.vit.preprocessor:ViTPreprocessor",
    tasks=("embed", "classify"),
    reads=frozenset({"image"}),
)
