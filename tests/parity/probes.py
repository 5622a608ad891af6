"""Lines of people's code, each run on both libraries: what it gives, or the error that it raises, must be the same.

`lib` is the library, `m` a small ViLT that answers questions, `v` a ViT that classifies, `b` a VisualBERT that reasons,
all with the same weights in both; `x` the inputs of each; `tmp` a folder. A reason says why a line differs on purpose.
"""

from __future__ import annotations

from typing import NamedTuple


class Probe(NamedTuple):
    """One line of code; `about` is the class that the documents list it under."""

    about: str
    line: str
    reason: str = ""


CONFIGS = [
    "lib.{c}().to_dict()['hidden_size']",
    "lib.{c}(hidden_size=24, num_attention_heads=2).hidden_size",
    "lib.{c}().model_type",
    "lib.{c}(num_labels=3).id2label",
    "lib.{c}(num_labels=3).label2id",
    "lib.{c}(id2label={0: 'a', 1: 'b'}).num_labels",
    "lib.{c}.from_dict({'hidden_size': 36, 'num_attention_heads': 3}).hidden_size",
    "lib.{c}.from_dict({}, num_labels=4).num_labels",
    "lib.{c}.from_dict({}, hidden_dropout_prob=0.25).hidden_dropout_prob",
    "lib.{c}.from_dict({}, return_unused_kwargs=True, nothing=1)[1]",
    "lib.{c}(nothing=5).nothing",
    "lib.{c}(nothing=5).to_dict()['nothing']",
    "set_(lib.{c}(), 'later', 7).to_dict()['later']",
    "set_(lib.{c}(), 'num_labels', 6).label2id",
    "set_(lib.{c}(), 'label2id', {'z': 0}).label2id",
    "lib.{c}(problem_type='regression').problem_type",
    "lib.{c}(problem_type='guess')",
    "lib.{c}(hidden_size=30).to_diff_dict()['hidden_size']",
    "'num_labels' in lib.{c}().to_diff_dict()",
    "json_(lib.{c}(hidden_size=48).to_json_string())['hidden_size']",
    "updated_(lib.{c}(), hidden_size=60).hidden_size",
    "lib.{c}() == lib.{c}()",
    "lib.{c}(hidden_size=24) == lib.{c}(hidden_size=36)",
    "lib.{c}(torch_dtype='float16').dtype",
    "lib.{c}().use_return_dict",
    "lib.{c}(output_attentions=True, attn_implementation='eager').output_attentions",
    "lib.{c}().pad_token_id",
    "lib.{c}().tie_word_embeddings",
    "lib.{c}().pruned_heads",
    "saved_(lib.{c}(num_labels=9), lib.{c}, tmp).num_labels",
    "saved_(lib.{c}(), lib.{c}, tmp, num_labels=11).num_labels",
    "lib.{c}.get_config_dict(folder_(lib.{c}(), tmp))[0]['model_type']",
    "lib.{c}(label2id=3)",
    "lib.{c}().is_encoder_decoder",
    "lib.{c}(is_decoder=True).is_decoder",
    "lib.{c}().get_text_config().model_type",
    "lib.{c}().sub_configs",
    "lib.{c}.from_dict({}, eos_token_id=3).eos_token_id",
    "lib.{c}(hidden_size=37).hidden_size",
    "lib.{c}.from_dict({}, finetuning_task='vqa').finetuning_task",
    "lib.{c}().prefix",
    "lib.{c}().task_specific_params",
]
POSITIONAL = [
    Probe("ViltConfig", "lib.ViltConfig(99).vocab_size"),
    Probe("ViTConfig", "lib.ViTConfig(36).hidden_size"),
    Probe("VisualBertConfig", "lib.VisualBertConfig(99, 48).hidden_size"),
    Probe("ViTConfig", "lib.ViTModel(lib.ViTConfig(24, 1, 2, 30, image_size=(32, 48))).config.image_size"),
    Probe("ViltConfig", "lib.ViltConfig(image_size=100).image_size"),
]
OUTPUTS = [
    "'logits' in {m}(**x['{m}'])",
    "list({m}(**x['{m}']).keys())",
    "len({m}(**x['{m}']))",
    "len({m}(**x['{m}'])[:1])",
    "{m}(**x['{m}'])[0].shape",
    "{m}(**x['{m}']).loss",
    "{m}(**x['{m}']).logits",
    "{m}(**x['{m}'], return_dict=False)[0]",
    "len({m}(**x['{m}'], output_hidden_states=True).hidden_states)",
    "len({m}(**x['{m}'], output_attentions=True).attentions)",
    "{m}(**x['{m}'], output_attentions=True).attentions[0]",
    "{m}(**x['{m}'], output_hidden_states=True).hidden_states[0]",
    "dict(**{m}(**x['{m}'])).keys() == {m}(**x['{m}']).keys()",
    "{m}(**x['{m}']).pop('logits')",
    "torch.utils._pytree.tree_map(lambda t: t + 1, {m}(**x['{m}'])).logits",
    "isinstance({m}(**x['{m}']), dict)",
    "str({m}(**x['{m}']))[:40]",
]
MEMBERS = [
    "list({m}.state_dict())",
    "{m}.num_parameters()",
    "{m}.num_parameters(only_trainable=True)",
    "{m}.num_parameters(exclude_embeddings=True)",
    "{m}.device",
    "{m}.dtype",
    "{m}.base_model_prefix",
    "{m}.main_input_name",
    "{m}.can_generate()",
    "{m}.get_memory_footprint(return_buffers=False)",
    "type({m}.base_model).__name__",
    "type({m}.get_input_embeddings()).__name__",
    "{m}.get_output_embeddings()",
    "{m}.is_gradient_checkpointing",
    "{m}.framework",
    "{m}.config.model_type",
    "{m}.training",
    "{m}.half().dtype",
    "pruned_({m}).config.pruned_heads",
    "pruned_({m}).num_parameters()",
    "pruned_({m}, -1).config.pruned_heads",
    "reloaded_(pruned_({m}, -1), tmp)(**x['{m}']).logits",
    "pruned_({m})(**x['{m}']).logits",
    "checkpointed_({m}).is_gradient_checkpointing",
    "[name for name, _ in {m}.named_modules()]",
    "{m}.forward.__code__.co_varnames[1:6]",
    "reloaded_({m}, tmp)(**x['{m}']).logits",
    "reloaded_({m}, tmp, torch_dtype=torch.float16).dtype",
    "reloaded_({m}, tmp, torch_dtype='auto').dtype",
    "reloaded_({m}, tmp, output_hidden_states=True).config.output_hidden_states",
    "reloaded_({m}, tmp, num_labels=3, ignore_mismatched_sizes=True).num_labels",
    "sorted(reloaded_({m}, tmp, output_loading_info=True)[1])",
    "reloaded_({m}, tmp, device_map='cpu').device",
    "reloaded_({m}, tmp, device_map='cpu').hf_device_map",
    "reloaded_({m}, tmp, low_cpu_mem_usage=True).dtype",
    "reloaded_({m}, tmp, attn_implementation='eager').config._attn_implementation",
    "reloaded_({m}, tmp, attn_implementation='magic')",
    "reloaded_({m}, tmp, num_labels=77)",
    "reloaded_({m}, tmp, adapter_kwargs={}, offload_folder='x').dtype",
    "type({m})(wide_({m}.config))",
    "reloaded_({m}, tmp, nothing=1)",
    "files_({m}, tmp, max_shard_size='20KB')[-1]",
    "files_({m}, tmp, safe_serialization=False)",
    "files_({m}, tmp, variant='fp16')",
    "files_({m}, tmp, is_main_process=False)",
    "{m}.config.architectures",
    "type({m}).can_generate()",
    "type({m})(checkpointing_({m}.config)).is_gradient_checkpointing",
    "[p.requires_grad_(False) and None for p in {m}.base_model.parameters()] and {m}.num_parameters(True)",
    "sorted(n for n, p in {m}.named_parameters() if 'layernorm' in n.lower() and n.endswith('bias'))[:3]",
    "{m}.to(torch.bfloat16).dtype",
    "{m}.train().training",
    "{m}.get_input_embeddings().weight.requires_grad",
]
IMAGE_PROCESSORS = [
    "lib.{c}().size",
    "lib.{c}(size=100).size",
    "lib.{c}().is_fast",
    "lib.{c}().model_input_names",
    "lib.{c}().to_dict()['image_mean']",
    "lib.{c}(image_mean=0.25).image_mean",
    "lib.{c}.from_dict({'do_resize': False}).do_resize",
    "json_(lib.{c}().to_json_string())['image_processor_type']",
    "len(lib.{c}().save_pretrained(str(tmp)))",
    "saved_(lib.{c}(rescale_factor=0.5), lib.{c}, tmp).rescale_factor",
    "sorted(lib.{c}()(x['picture'], return_tensors='pt').keys())",
    "lib.{c}()(x['picture'], return_tensors='pt').pixel_values.shape",
    "lib.{c}()([x['picture']] * 2, return_tensors='pt').pixel_values.shape",
    "lib.{c}()(x['picture'], do_normalize=False, return_tensors='pt').pixel_values",
    "lib.{c}()(x['picture'], image_mean=0, image_std=1, return_tensors='pt').pixel_values",
    "type(lib.{c}()(x['picture'])['pixel_values']).__name__",
    "lib.{c}()(x['four'], input_data_format='channels_last', image_mean=0, image_std=1, return_tensors='pt')"
    ".pixel_values.shape",
    "lib.{c}()(x['four'], input_data_format='channels_last', return_tensors='pt')",
    "lib.{c}()('nothing')",
]
WHY = {
    "{m}.forward.__code__.co_varnames[1:6]": {"v": "ours names output_attentions and return_dict in the signature"},
    "{m}(**x['{m}'], return_dict=False)[0]": {},
    "{m}(**x['{m}']).pop('logits')": {"": "the same refusal with a TypeError; theirs is a bare Exception"},
    "{m}.num_parameters(exclude_embeddings=True)": {},
    "[name for name, _ in {m}.named_modules()]": {
        "v": "ours has a module for the dropout of attention; theirs calls a function",
    },
    "reloaded_({m}, tmp, num_labels=77)": {"": "a MisfitError, which is a RuntimeError and a ValueError of one line"},
    "lib.{c}()('nothing')": {"": "an ImageError, which is a ValueError with a reason"},
    "files_({m}, tmp, is_main_process=False)": {"": "only the main process writes; theirs writes the weights in all"},
}
FAMILIES = {"VisualBert": "VisualBERT", "Vilt": "ViLT", "ViT": "ViT"}  # by how the names of classes begin
NAMES = {"m": "ViltForQuestionAnswering", "v": "ViTForImageClassification", "b": "VisualBertForVisualReasoning"}
PROBES = [
    *POSITIONAL,
    *(
        Probe(c, line.replace("{c}", c), WHY.get(line, {}).get("", ""))
        for c in ("ViltConfig", "ViTConfig", "VisualBertConfig")
        for line in CONFIGS
    ),
    *(
        Probe(c, line.replace("{c}", c), WHY.get(line, {}).get("", ""))
        for c in ("ViltImageProcessor", "ViTImageProcessor")
        for line in IMAGE_PROCESSORS
    ),
    *(
        Probe(about, line.replace("{m}", m), WHY.get(line, {}).get(m, WHY.get(line, {}).get("", "")))
        for m, about in NAMES.items()
        for line in (*OUTPUTS, *MEMBERS)
    ),
    Probe("ViltModel", "m.vilt.encoder.layer[0].attention.attention.query.weight"),
    Probe("ViltModel", "m.vilt.embeddings.text_embeddings.word_embeddings.weight"),
    Probe("ViltModel", "m.vilt.embeddings.position_embeddings"),
    Probe("ViltModel", "m.vilt.layernorm.weight"),
    Probe("ViltModel", "m.classifier[3].weight"),
    Probe(
        "ViltModel",
        "m.vilt(x['m']['input_ids'], image_embeds=x['m']['image_embeds'], pixel_mask=x['m']['pixel_mask'])[0]",
    ),
    Probe("ViltModel", "m.vilt()", "the error names both inputs that may be given"),
    Probe("VisualBertModel", "b.visual_bert.encoder.layer[0].attention.self.query.weight"),
    Probe("VisualBertModel", "b.visual_bert(x['b']['input_ids'], None, None, None, torch.ones(2)).last_hidden_state"),
    Probe("ViTModel", "v.vit.embeddings.patch_embeddings.projection.weight"),
    Probe("ViTModel", "v.vit(x['v']['pixel_values']).pooler_output"),
    Probe("ViTModel", "v.vit(x['v']['pixel_values'][:, :, 1:])", "the error says what would be right"),
    Probe("ViltForMaskedLM", "lib.ViltForMaskedLM(m.config).resize_token_embeddings(50).weight.shape"),
    Probe("ViltForMaskedLM", "resized_(lib.ViltForMaskedLM(m.config), 50).vocab_size"),
    Probe("ViltForMaskedLM", "type(lib.ViltForMaskedLM(m.config).get_output_embeddings()).__name__"),
    Probe("ViltForImageAndTextRetrieval", "lib.ViltForImageAndTextRetrieval(m.config)(**x['m'], labels=torch.ones(1))"),
]
