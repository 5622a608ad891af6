"""The documented names and arguments are all there, and the documented examples run with the import changed."""

import inspect
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import transformers

import vilt
from tests.parity.checkpoints import write_checkpoint
from tests.vilt.models.test_predictor import pairs
from vilt.processing.processor import TEXT_SETTINGS
from vilt.processing.torch_images import WITHOUT_EFFECT

MODEL = (
    "input_ids attention_mask token_type_ids pixel_values pixel_mask head_mask inputs_embeds image_embeds "
    "output_attentions output_hidden_states return_dict"
)
IMAGES = (
    "do_resize size size_divisor resample do_rescale rescale_factor do_normalize image_mean image_std do_pad "
    "return_tensors data_format input_data_format"
)
FAST = (
    "do_resize size default_to_square resample do_center_crop crop_size do_rescale rescale_factor do_normalize "
    "image_mean image_std do_convert_rgb return_tensors data_format input_data_format device disable_grouping"
)
TEXTS = (
    "add_special_tokens padding truncation max_length stride pad_to_multiple_of return_token_type_ids "
    "return_attention_mask return_overflowing_tokens return_special_tokens_mask return_offsets_mapping return_length "
    "verbose return_tensors"
)
VIT = "pixel_values head_mask output_attentions output_hidden_states interpolate_pos_encoding return_dict"
VIT_IMAGES = (
    "do_resize size resample do_rescale rescale_factor do_normalize image_mean image_std return_tensors data_format "
    "input_data_format"
)
VISUAL_BERT = (
    "input_ids attention_mask token_type_ids position_ids inputs_embeds visual_embeds visual_attention_mask "
    "visual_token_type_ids image_text_alignment output_attentions output_hidden_states return_dict"
)
SHAPE = (
    "hidden_size num_hidden_layers num_attention_heads intermediate_size hidden_act hidden_dropout_prob "
    "attention_probs_dropout_prob initializer_range layer_norm_eps"
)
DOCUMENTED = {
    "ViTConfig.__init__": f"{SHAPE} image_size patch_size num_channels qkv_bias encoder_stride",
    "ViTFeatureExtractor.preprocess": f"images {VIT_IMAGES}",
    "ViTImageProcessor.preprocess": f"images {VIT_IMAGES}",
    "ViTModel.__init__": "config add_pooling_layer use_mask_token",
    "ViTModel.forward": f"{VIT} bool_masked_pos",
    "ViTForMaskedImageModeling.forward": f"{VIT} bool_masked_pos",
    "ViTForImageClassification.forward": f"{VIT} labels",
    "VisualBertConfig.__init__": f"{SHAPE} vocab_size visual_embedding_dim max_position_embeddings type_vocab_size "
    "bypass_transformer special_visual_initialize",
    "VisualBertModel.__init__": "config add_pooling_layer",
    "VisualBertModel.forward": VISUAL_BERT,
    "VisualBertForPreTraining.forward": f"{VISUAL_BERT} labels sentence_image_labels",
    "VisualBertForQuestionAnswering.forward": f"{VISUAL_BERT} labels",
    "VisualBertForMultipleChoice.forward": f"{VISUAL_BERT} labels",
    "VisualBertForVisualReasoning.forward": f"{VISUAL_BERT} labels",
    "VisualBertForRegionToPhraseAlignment.forward": f"{VISUAL_BERT} region_to_phrase_position labels",
    "ViltModel.forward": f"{MODEL} image_token_type_idx",
    "ViltForMaskedLM.forward": f"{MODEL} labels",
    "ViltForQuestionAnswering.forward": f"{MODEL} labels",
    "ViltForImagesAndTextClassification.forward": f"{MODEL} labels",
    "ViltForImageAndTextRetrieval.forward": f"{MODEL} labels",
    "ViltForTokenClassification.forward": f"{MODEL} labels",
    "ViltFeatureExtractor.preprocess": f"images {IMAGES}",
    "ViltImageProcessor.preprocess": f"images {IMAGES}",
    "ViltImageProcessorFast.preprocess": f"images {FAST}",
    "ViltProcessor.__call__": f"images text {TEXTS}",
    "ViltConfig.__init__": "vocab_size type_vocab_size modality_type_vocab_size max_position_embeddings hidden_size "
    "num_hidden_layers num_attention_heads intermediate_size hidden_act hidden_dropout_prob "
    "attention_probs_dropout_prob initializer_range layer_norm_eps image_size patch_size num_channels qkv_bias "
    "max_image_length tie_word_embeddings num_images",
}


@pytest.mark.parametrize("name", DOCUMENTED)
def test_every_documented_argument_is_taken(name: str) -> None:
    owner, method = name.split(".")
    taken = set(inspect.signature(getattr(getattr(vilt, owner), method)).parameters)
    if "own" in taken:  # a class's own, beside those of all VisualBERT classes
        taken |= set(inspect.signature(getattr(vilt, owner).read).parameters)
    if "settings" in taken or "values" in taken:  # the class's own fields, for one call
        taken |= set(getattr(getattr(vilt, owner), "__dataclass_fields__", ()) if owner != "ViltProcessor" else ())
    if owner == "ViltProcessor":
        taken |= TEXT_SETTINGS
    if owner.endswith("Fast"):  # taken without an effect, or refused unless they are None
        taken |= {*WITHOUT_EFFECT, "do_center_crop", "crop_size"}
    assert set(DOCUMENTED[name].split()) <= taken


@pytest.mark.parametrize("name", ["ViltConfig", "ViTConfig", "VisualBertConfig"])
def test_configs_have_the_published_defaults(name: str) -> None:
    ours, theirs = getattr(vilt, name)(), getattr(transformers, name)()
    for argument in DOCUMENTED[f"{name}.__init__"].split():
        assert getattr(ours, argument) == getattr(theirs, argument), argument


def fill(library: ModuleType, folder: str, image: object, text: str) -> str:
    """The documented example of masked words, line by line."""
    processor = processor_of(library, folder)
    model = library.ViltForMaskedLM.from_pretrained(folder)
    encoding = processor(image, text, return_tensors="pt")
    tl = len(re.findall(r"\[MASK\]", text))
    inferred_token = [text]
    with torch.no_grad():
        for _ in range(tl):
            encoded = processor.tokenizer(inferred_token)
            input_ids = torch.tensor(encoded.input_ids)
            encoded = encoded["input_ids"][0][1:-1]
            outputs = model(input_ids=input_ids, pixel_values=encoding.pixel_values)
            mlm_logits = outputs.logits[0]
            mlm_logits = mlm_logits[1 : input_ids.shape[1] - 1, :]
            mlm_values, mlm_ids = mlm_logits.softmax(dim=-1).max(dim=-1)
            mlm_values[torch.tensor(encoded) != 4] = 0  # 103 in the published vocabulary
            select = mlm_values.argmax().item()
            encoded[select] = mlm_ids[select].item()
            inferred_token = [processor.decode(encoded)]
    encoded = processor.tokenizer(inferred_token)
    return processor.decode(encoded.input_ids[0], skip_special_tokens=True)


def answer(library: ModuleType, folder: str, image: object, text: str) -> str:
    """The documented example of visual question answering."""
    processor = processor_of(library, folder)
    model = library.ViltForQuestionAnswering.from_pretrained(folder)
    encoding = processor(image, text, return_tensors="pt")
    outputs = model(**encoding)
    logits = outputs.logits
    idx = logits.argmax(-1).item()
    return f"{model.config.id2label[idx]} {logits.max().item():.3f}"


def reason(library: ModuleType, folder: str, image: object, text: str) -> str:
    """The documented example of reasoning over two pictures."""
    processor = processor_of(library, folder)
    model = library.ViltForImagesAndTextClassification.from_pretrained(folder)
    encoding = processor([image, image], text, return_tensors="pt")
    outputs = model(input_ids=encoding.input_ids, pixel_values=encoding.pixel_values.unsqueeze(0))
    logits = outputs.logits
    idx = logits.argmax(-1).item()
    return f"{model.config.id2label[idx]} {logits.max().item():.3f}"


def rank(library: ModuleType, folder: str, image: object, text: str) -> str:
    """The documented example of retrieval."""
    processor = processor_of(library, folder)
    model = library.ViltForImageAndTextRetrieval.from_pretrained(folder)
    scores = {}
    for one in (text, text[::-1]):
        encoding = processor(image, one, return_tensors="pt")
        outputs = model(**encoding)
        scores[one] = outputs.logits[0, :].item()
    return str({one: round(score, 3) for one, score in scores.items()})


def processor_of(library: ModuleType, folder: str) -> Any:
    if library is vilt:
        return vilt.ViltProcessor.from_pretrained(folder)
    tokenizer = transformers.BertTokenizerFast.from_pretrained(folder)
    return transformers.ViltProcessor(transformers.ViltImageProcessor.from_pretrained(folder), tokenizer)


@pytest.mark.parametrize(
    ("example", "name", "extra"),
    [
        (fill, "ViltForMaskedLM", {}),
        (answer, "ViltForQuestionAnswering", {}),
        (reason, "ViltForImagesAndTextClassification", {"num_images": 2, "modality_type_vocab_size": 3}),
        (rank, "ViltForImageAndTextRetrieval", {}),
    ],
)
def test_the_documented_example(tmp_path: Path, example: object, name: str, extra: dict[str, int]) -> None:
    write_checkpoint(tmp_path, name, seed=31, **extra)
    images, _ = pairs(4)
    for image, text in zip(images, ("a [MASK] star", "a red [MASK] of [MASK]", "blue", "a circle ?"), strict=True):
        assert example(vilt, str(tmp_path), image, text) == example(transformers, str(tmp_path), image, text)  # type: ignore[operator]
