"""People's own code around the models: Trainer, accelerate, peft, pipelines, hooks, compilers; only the import differs.

transformers, accelerate and peft are installed for tests alone.
"""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

import numpy as np
import peft
import pytest
import torch
import transformers
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from PIL import Image

import vilt
from tests.parity.checkpoints import write_checkpoint
from tests.parity.family import random_pixels, random_regions, random_visual_bert, random_vit
from tests.parity.models import random_config, random_inputs
from tests.parity.test_models import TOLERANCE, difference
from tests.vilt.models.test_registry import write_vit

ANSWERS = 5
SHAPE = {
    "vocab_size": 40,
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 30,
    "image_size": 32,
    "patch_size": 8,
    "num_labels": ANSWERS,
}
LORA = {"target_modules": ["query", "value"], "modules_to_save": ["classifier"], "r": 4, "lora_alpha": 6}
Batch = dict[str, torch.Tensor]


class Questions(torch.utils.data.Dataset[Batch]):
    """Eight questions about random pictures, as the documented fine-tuning guide collates them."""

    def __len__(self) -> int:
        return 8

    def __getitem__(self, i: int) -> Batch:
        generator = torch.Generator().manual_seed(i)
        return {
            "input_ids": torch.randint(0, 40, (6,), generator=generator),
            "attention_mask": torch.ones(6, dtype=torch.long),
            "pixel_values": torch.randn(3, 32, 32, generator=generator),
            "pixel_mask": torch.ones(32, 32, dtype=torch.long),
            "labels": torch.rand(ANSWERS, generator=generator),
        }


@pytest.fixture
def batch() -> Batch:
    collated: Batch = torch.utils.data.default_collate([Questions()[i] for i in range(3)])
    return collated


def new_model(library: ModuleType = vilt) -> Any:
    torch.manual_seed(0)
    return library.ViltForQuestionAnswering(library.ViltConfig(**SHAPE))


def trained(library: ModuleType, folder: Path, model: Any = None, **arguments: Any) -> transformers.Trainer:
    """Fine-tune as people write it."""
    AcceleratorState._reset_state(True)
    torch.manual_seed(0)
    args = transformers.TrainingArguments(
        str(folder), per_device_train_batch_size=4, use_cpu=True, report_to=[], disable_tqdm=True, seed=1, **arguments
    )
    trainer = transformers.Trainer(
        model if model is not None else new_model(library), args, train_dataset=Questions(), eval_dataset=Questions()
    )
    trainer.train(resume_from_checkpoint=arguments.get("resume_from_checkpoint"))
    return trainer


def test_trainer_learns_the_same(tmp_path: Path, batch: Batch) -> None:
    ours = trained(vilt, tmp_path / "ours", max_steps=3, learning_rate=1e-3)
    theirs = trained(transformers, tmp_path / "theirs", max_steps=3, learning_rate=1e-3)
    assert ours.evaluate()["eval_loss"] == pytest.approx(theirs.evaluate()["eval_loss"], abs=1e-4)
    a, b = (trainer.model.eval()(**batch).logits for trainer in (ours, theirs))
    assert difference(a, b) <= 1e-3


def test_trainer_saves_resumes_and_both_libraries_load(tmp_path: Path, batch: Batch) -> None:
    trainer = trained(vilt, tmp_path, max_steps=2, save_steps=1, bf16=True, gradient_checkpointing=True)
    assert trainer.model.is_gradient_checkpointing
    trainer.save_model(str(tmp_path / "final"))
    ours, info = vilt.ViltForQuestionAnswering.from_pretrained(tmp_path / "final", output_loading_info=True)
    assert not any(info.values())
    theirs, info = transformers.ViltForQuestionAnswering.from_pretrained(tmp_path / "final", output_loading_info=True)
    assert not any(info.values())
    assert difference(ours(**batch).logits, theirs(**batch).logits) <= TOLERANCE
    assert ours.config.architectures == ["ViltForQuestionAnswering"]
    resumed = trained(vilt, tmp_path, max_steps=3, resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    assert resumed.state.global_step == 3


def test_accelerate_loop_and_save(tmp_path: Path, batch: Batch) -> None:
    AcceleratorState._reset_state(True)
    accelerator = Accelerator(cpu=True, mixed_precision="no")
    model = new_model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    model, optimizer, loader = accelerator.prepare(
        model, optimizer, torch.utils.data.DataLoader(Questions(), batch_size=4)
    )
    model.train()
    for inputs in loader:
        accelerator.backward(model(**inputs).loss)
        optimizer.step()
        optimizer.zero_grad()
    unwrapped = accelerator.unwrap_model(model)
    unwrapped.save_pretrained(
        tmp_path,
        is_main_process=accelerator.is_main_process,
        save_function=accelerator.save,
        state_dict=accelerator.get_state_dict(model),
    )
    theirs = transformers.ViltForQuestionAnswering.from_pretrained(tmp_path)
    assert difference(theirs(**batch).logits, unwrapped.eval()(**batch).logits) <= TOLERANCE


def test_an_adapter_goes_both_ways_and_into_a_predictor(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "base", "ViltForQuestionAnswering", seed=3, hidden_dropout_prob=0.0)
    base = vilt.ViltForQuestionAnswering.from_pretrained(tmp_path / "base")
    inputs = random_inputs(base.config, Random(3), batch=3)
    adapted = peft.get_peft_model(base, peft.LoraConfig(**LORA))
    trainable = {name for name, parameter in adapted.named_parameters() if parameter.requires_grad}
    assert all("lora_" in name or "modules_to_save" in name for name in trainable)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if name in trainable:
                parameter.add_(torch.randn(parameter.shape) * 0.1)
    expected = adapted.eval()(**inputs).logits
    adapted.save_pretrained(tmp_path / "adapter")
    for library in (vilt, transformers):
        again = library.ViltForQuestionAnswering.from_pretrained(tmp_path / "base")
        loaded = peft.PeftModel.from_pretrained(again, tmp_path / "adapter").eval()
        assert difference(loaded(**inputs).logits, expected) <= TOLERANCE
    merged = vilt.ViltForQuestionAnswering.from_pretrained(tmp_path / "adapter")  # without peft
    assert difference(merged(**inputs).logits, expected) <= TOLERANCE
    with pytest.raises(ValueError, match=r"reads linear layers, not Linear: merge adapters first"):
        vilt.Predictor(adapted.base_model.model.vilt, {}, vilt.open_predictor(str(tmp_path / "base")).preprocessor)
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (384, 416, 3), dtype=np.uint8))
    processor = vilt.ViltProcessor.from_pretrained(str(tmp_path / "base"))
    logits = merged(**processor(picture, "a red star", return_tensors="pt")).logits
    predictor = vilt.open_predictor(str(tmp_path / "adapter"), precision="float32")
    [(answer, score)] = predictor.answer(picture, "a red star")[0]  # type: ignore[attr-defined]
    assert answer == merged.config.id2label[int(logits.argmax())]
    assert score == pytest.approx(logits.sigmoid().max().item(), abs=1e-4)


def test_pipelines(tmp_path: Path) -> None:
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8))
    write_checkpoint(tmp_path / "vqa", "ViltForQuestionAnswering", seed=1)
    write_vit(tmp_path / "vit")
    answers, classes = [], []
    for library in (vilt, transformers):
        asked = transformers.pipeline(
            "visual-question-answering",
            model=library.ViltForQuestionAnswering.from_pretrained(tmp_path / "vqa"),
            tokenizer=transformers.BertTokenizerFast.from_pretrained(tmp_path / "vqa"),
            image_processor=transformers.ViltImageProcessor.from_pretrained(tmp_path / "vqa"),
        )
        answers.append(asked(image=picture, question="a red star ?", top_k=3))
        shown = transformers.pipeline(
            "image-classification",
            model=library.ViTForImageClassification.from_pretrained(tmp_path / "vit"),
            image_processor=transformers.ViTImageProcessor.from_pretrained(tmp_path / "vit"),
        )
        classes.append(shown(picture, top_k=2))
    for ours, theirs in (answers, classes):
        assert [row.get("answer", row.get("label")) for row in ours] == [
            row.get("answer", row.get("label")) for row in theirs
        ]
        assert [row["score"] for row in ours] == pytest.approx([row["score"] for row in theirs], abs=1e-5)


FAMILIES = {
    "ViltForQuestionAnswering": (random_config, random_inputs),
    "ViTForImageClassification": (random_vit, random_pixels),
    "VisualBertForVisualReasoning": (random_visual_bert, random_regions),
}


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> tuple[Any, Any, Batch]:
    """Ours and theirs, with the same weights, and inputs."""
    make_config, make_inputs = FAMILIES[request.param]
    config = make_config(Random(9), num_hidden_layers=2, num_attention_heads=2, hidden_size=32)
    theirs = getattr(transformers, request.param)(config).eval()
    ours = getattr(vilt, request.param)(getattr(vilt, type(config).__name__)(**config.to_dict())).eval()
    ours.load_state_dict(theirs.state_dict())
    inputs = make_inputs(config, Random(9), 3)
    if "pixel_mask" in inputs:  # transformers shuffles the patches of pictures, but not these
        del inputs["pixel_mask"], inputs["pixel_values"]
        inputs |= {"image_embeds": torch.randn(3, 7, 32), "pixel_mask": torch.ones(3, 7)}
    return ours, theirs, inputs


def test_copies_and_pickles(family: tuple[Any, Any, Batch]) -> None:
    ours, theirs, inputs = family
    expected = theirs(**inputs).logits
    for made in (copy.deepcopy(ours), pickle.loads(pickle.dumps(ours))):
        assert type(made) is type(ours)
        assert difference(made(**inputs).logits, expected) <= TOLERANCE


def test_freezing_and_hooks_by_published_names(family: tuple[Any, Any, Batch]) -> None:
    ours, theirs, inputs = family
    seen: dict[str, list[torch.Tensor]] = {"ours": [], "theirs": []}
    for name, model in (("ours", ours), ("theirs", theirs)):
        for parameter_name, parameter in model.named_parameters():
            if ".encoder.layer.0." in parameter_name:
                parameter.requires_grad = False
        kept = seen[name]
        for module_name, module in model.named_modules():
            if module_name.endswith(("query", "intermediate.dense", "output.dense")):
                module.register_forward_hook(lambda _m, _i, out, kept=kept: kept.append(out))
        model(**inputs).logits.sum().backward()
    assert len(seen["ours"]) == len(seen["theirs"]) == 8
    assert max(map(difference, seen["ours"], seen["theirs"])) <= TOLERANCE
    frozen = {name for name, parameter in ours.named_parameters() if not parameter.requires_grad}
    assert frozen == {name for name, parameter in theirs.named_parameters() if not parameter.requires_grad}
    assert len(frozen) > 8


def test_a_replaced_classifier_is_used(batch: Batch) -> None:
    model = new_model().eval()
    model.classifier = torch.nn.Linear(24, 2)
    assert model(**{**batch, "labels": None}).logits.shape == (3, 2)


@pytest.mark.skipif(torch.__version__.startswith("2.9."), reason="torch 2.9 does not trace sizes that depend on data")
def test_torch_compile(batch: Batch) -> None:
    model = new_model().eval()
    compiled = torch.compile(model, backend="eager")  # what dynamo traces; no compiler of C++ is needed
    assert difference(compiled(**batch).logits, model(**batch).logits) <= TOLERANCE


@pytest.mark.filterwarnings("ignore")
def test_quantize_dynamic(family: tuple[Any, Any, Batch]) -> None:
    ours, theirs, inputs = family
    a, b = (
        torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}, dtype=torch.qint8)(**inputs).logits
        for model in (ours, theirs)
    )
    assert difference(a, b) <= 1e-3


def test_distributed_data_parallel(tmp_path: Path, batch: Batch) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/rendezvous", rank=0, world_size=1)
    try:
        model = torch.nn.parallel.DistributedDataParallel(new_model())
        model(**batch).loss.backward()
        assert all(parameter.grad is not None for parameter in model.parameters())
    finally:
        torch.distributed.destroy_process_group()


def test_isinstance_is_true_where_transformers_asks() -> None:
    model = new_model()
    assert isinstance(model, transformers.PreTrainedModel)
    assert isinstance(model, vilt.ViltForQuestionAnswering)
    assert type(model) is vilt.ViltForQuestionAnswering


def test_classes_that_are_registered_with_the_auto_classes(tmp_path: Path) -> None:
    """As people do who derive a model from a published one and want `AutoModel` to make it."""

    class OurConfig(vilt.ViltConfig):
        model_type = "vilt-of-ours"

    class OurModel(vilt.ViltModel):
        config_class = OurConfig

    transformers.AutoConfig.register("vilt-of-ours", OurConfig)
    transformers.AutoModel.register(OurConfig, OurModel)
    sizes = {name: value for name, value in SHAPE.items() if name != "num_labels"}
    model = transformers.AutoModel.from_config(OurConfig(**sizes))
    model.save_pretrained(tmp_path)
    again = transformers.AutoModel.from_pretrained(tmp_path)
    assert type(model) is type(again) is OurModel
    assert type(again.config) is type(transformers.AutoConfig.from_pretrained(tmp_path)) is OurConfig
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))


@pytest.mark.parametrize(
    "option", [{"from_tf": True}, {"load_in_8bit": True}, {"quantization_config": {"bits": 8}}, {"gguf_file": "a.gguf"}]
)
def test_options_that_would_change_the_model_are_refused_by_name(tmp_path: Path, option: dict[str, Any]) -> None:
    new_model().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=f"{next(iter(option))}: not offered here; "):
        vilt.ViltForQuestionAnswering.from_pretrained(tmp_path, **option)
    off = dict.fromkeys(option, False)
    assert vilt.ViltForQuestionAnswering.from_pretrained(tmp_path, **off).num_labels == ANSWERS
