"""The documented examples of ViT and VisualBERT run with the import changed, and say the same."""

from pathlib import Path
from types import ModuleType

import pytest
import torch
import transformers

import vilt
from tests.parity.models import randomise
from tests.vilt.models.test_predictor import pairs
from tests.vilt.models.test_registry import features, write_visual_bert, write_vit


def classify(library: ModuleType, folder: str) -> str:
    """Image classification."""
    image = pairs(1)[0][0]
    image_processor = library.ViTImageProcessor.from_pretrained(folder)
    model = library.ViTForImageClassification.from_pretrained(folder)
    inputs = image_processor(image, return_tensors="pt")
    with torch.no_grad():
        logits = model(**inputs).logits
    predicted_label = logits.argmax(-1).item()
    return f"{model.config.id2label[predicted_label]} {logits.max().item():.3f}"


def reconstruct(library: ModuleType, folder: str) -> str:
    """Masked image modelling."""
    image = pairs(1)[0][0]
    image_processor = library.ViTImageProcessor.from_pretrained(folder)
    model = library.ViTForMaskedImageModeling.from_pretrained(folder)
    num_patches = (model.config.image_size // model.config.patch_size) ** 2
    pixel_values = image_processor(images=image, return_tensors="pt").pixel_values
    torch.manual_seed(0)
    bool_masked_pos = torch.randint(low=0, high=2, size=(1, num_patches)).bool()
    outputs = model(pixel_values, bool_masked_pos=bool_masked_pos)
    loss, reconstructed_pixel_values = outputs.loss, outputs.reconstruction
    return f"{list(reconstructed_pixel_values.shape)} {loss.item():.3f} {reconstructed_pixel_values.mean().item():.3f}"


def visual_inputs(folder: str, text: str) -> dict[str, torch.Tensor]:
    inputs = transformers.BertTokenizerFast.from_pretrained(folder)(text, return_tensors="pt")
    visual_embeds = torch.from_numpy(features(5)[4])[None]
    inputs.update(
        {
            "visual_embeds": visual_embeds,
            "visual_token_type_ids": torch.ones(visual_embeds.shape[:-1], dtype=torch.long),
            "visual_attention_mask": torch.ones(visual_embeds.shape[:-1], dtype=torch.float),
        }
    )
    return dict(inputs)


def answer(library: ModuleType, folder: str) -> str:
    """Visual question answering."""
    model = library.VisualBertForQuestionAnswering.from_pretrained(folder)
    inputs = visual_inputs(folder, "a red star ?")
    labels = torch.tensor([[0.25, 0.75] + [0.0] * (model.config.num_labels - 2)])
    outputs = model(**inputs, labels=labels)
    return f"{outputs.loss.item():.3f} {outputs.logits.argmax(-1).item()}"


def pretrain(library: ModuleType, folder: str) -> str:
    """Masked words, and whether text and image belong together."""
    model = library.VisualBertForPreTraining.from_pretrained(folder)
    inputs = visual_inputs(folder, "a [MASK] star")
    max_length = inputs["input_ids"].shape[-1] + inputs["visual_embeds"].shape[-2]
    tokenizer = transformers.BertTokenizerFast.from_pretrained(folder)
    labels = tokenizer("a red star", return_tensors="pt", padding="max_length", max_length=max_length)["input_ids"]
    sentence_image_labels = torch.tensor(1).unsqueeze(0)
    outputs = model(**inputs, labels=labels, sentence_image_labels=sentence_image_labels)
    words, belongs = outputs.prediction_logits, outputs.seq_relationship_logits
    return f"{outputs.loss.item():.3f} {words.argmax(-1).tolist()} {belongs.argmax(-1).item()}"


@pytest.mark.parametrize(
    ("example", "name"),
    [
        (classify, "ViTForImageClassification"),
        (reconstruct, "ViTForMaskedImageModeling"),
        (answer, "VisualBertForQuestionAnswering"),
        (pretrain, "VisualBertForPreTraining"),
    ],
)
def test_the_documented_example(tmp_path: Path, example: object, name: str) -> None:
    if name.startswith("ViT"):
        write_vit(tmp_path, name, seed=7)
    else:
        write_visual_bert(tmp_path, name, seed=7)
    assert example(vilt, str(tmp_path)) == example(transformers, str(tmp_path))  # type: ignore[operator]


def test_the_bare_vit_without_a_pooler(tmp_path: Path) -> None:
    """`add_pooling_layer` may also be said."""
    config = vilt.ViTConfig(hidden_size=24, num_hidden_layers=1, image_size=32, encoder_stride=16)
    theirs = randomise(transformers.ViTModel(transformers.ViTConfig(**config.to_dict())), 8)
    theirs.save_pretrained(tmp_path)
    assert vilt.ViTModel.from_pretrained(str(tmp_path), add_pooling_layer=False).pooler is None
    assert vilt.ViTModel.from_pretrained(str(tmp_path)).pooler is not None
