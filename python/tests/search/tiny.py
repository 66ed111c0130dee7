"""Tiny random models of the families that differ in their attention, and data for them."""

import json
import os
import tempfile
import unittest

import torch
import transformers

torch.set_num_threads(1)  # Everything is so small that a second thread only waits.
transformers.logging.disable_progress_bar()
transformers.logging.set_verbosity_error()

VOCABULARY = 97
_COMMON = dict(
    vocab_size=VOCABULARY, hidden_size=32, intermediate_size=40, num_hidden_layers=2,
    num_attention_heads=4, num_key_value_heads=2, head_dim=16, max_position_embeddings=512,
    bos_token_id=1, eos_token_id=2, pad_token_id=0, initializer_range=0.2,
)
_LAYERS = ["sliding_attention", "full_attention"]
FAMILIES = {
    "llama": ("LlamaConfig", {}),
    "llama, one KV head": ("LlamaConfig", dict(num_key_value_heads=1)),
    "mistral": ("MistralConfig", dict(sliding_window=70)),
    "qwen2": ("Qwen2Config", dict(use_sliding_window=True, sliding_window=33, max_window_layers=1)),
    "qwen3": ("Qwen3Config", {}),
    "gemma2": (
        "Gemma2Config",
        dict(sliding_window=50, layer_types=_LAYERS, attn_logit_softcapping=2.0, final_logit_softcapping=3.0, query_pre_attn_scalar=20),
    ),
    "gemma3": ("Gemma3TextConfig", dict(sliding_window=64, layer_types=_LAYERS, query_pre_attn_scalar=16)),
    "gpt-oss": ("GptOssConfig", dict(sliding_window=40, layer_types=_LAYERS, num_local_experts=2, num_experts_per_tok=1)),
}
SLIDING = {"mistral": [70, 70], "qwen2": [None, 33], "gemma2": [50, None], "gemma3": [64, None], "gpt-oss": [40, None]}
"""The windows of the layers, where the family has any."""


def tiny_model(family: str, dtype: torch.dtype = torch.float64, seed: int = 0):
    """A random model in evaluation, its weights frozen."""
    name, own = FAMILIES[family]
    torch.manual_seed(seed)
    config = getattr(transformers, name)(**{**_COMMON, **own})
    model = transformers.AutoModelForCausalLM.from_config(config)
    for key, parameter in model.named_parameters():
        if key.endswith("sinks"):
            torch.nn.init.normal_(parameter)
    if family == "gpt-oss" and hasattr(model, "set_experts_implementation"):
        model.set_experts_implementation("eager")  # The grouped products of 5.x know no float64.
    return model.to(dtype).eval().requires_grad_(False)


def tiny_sample(tokens: int, answers: int, seed: int = 0) -> tuple[list[int], list[int]]:
    """Random tokens of which the last `answers` are in the loss."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(VOCABULARY, (tokens,), generator=generator).tolist()
    return ids, [-100] * (tokens - answers) + ids[tokens - answers :]


def write_lines(path: str, lines: list) -> str:
    with open(path, "w", encoding="utf-8") as file:
        file.writelines((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)
    return path


def line_of(tokens: int, answers: int, seed: int = 0) -> dict:
    ids, labels = tiny_sample(tokens, answers, seed)
    return {"input_ids": ids, "labels": labels}


class WithFolder(unittest.TestCase):
    """Tests that share a folder with a tiny float32 Llama in `model`; `self.path(name)` is a new place for each test."""

    @classmethod
    def setUpClass(cls):
        cls._scratch = tempfile.TemporaryDirectory()
        cls.root = cls._scratch.name
        cls.model_folder = os.path.join(cls.root, "model")
        tiny_model("llama", torch.float32).save_pretrained(cls.model_folder)

    @classmethod
    def tearDownClass(cls):
        cls._scratch.cleanup()

    def path(self, name: str) -> str:
        folder = os.path.join(self.root, self.id().rsplit(".", 1)[-1])
        os.makedirs(folder, exist_ok=True)
        return os.path.join(folder, name)
