"""The models: their shapes and the bytes that follow."""

import json
from dataclasses import dataclass
from typing import Any, Final

from . import ROOT

_BYTES: Final = 2  # bf16

# What the configs in examples/ leave out, as the published models have it.
_REST: Final = {
    "vicuna-7b": {"intermediate_size": 11008, "vocab_size": 32000},
    "llama-3-8b": {"intermediate_size": 14336, "vocab_size": 128256},
}
# What --small makes of them.
_SMALL: Final = {
    "vicuna-7b": {"num_attention_heads": 4, "num_key_value_heads": 4},
    "llama-3-8b": {"num_attention_heads": 4, "num_key_value_heads": 2},
}
_SMALL_COMMON: Final = {
    "model_type": "llama",
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "head_dim": 64,
    "intermediate_size": 96,
    "vocab_size": 64,
    "max_position_embeddings": 1024,
    "rope_theta": 10000.0,
}
MODELS: Final = tuple(_REST)


@dataclass(frozen=True)
class Shape:
    """A decoder of Llama's kind. config: for transformers and for the compiler."""

    name: str
    hidden: int
    layers: int
    query_heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocabulary: int
    config: dict[str, Any]

    @property
    def group(self) -> int:
        """Query heads of a KV head."""
        return self.query_heads // self.kv_heads

    @property
    def weight_bytes(self) -> int:
        heads = 2 * (self.query_heads + self.kv_heads) * self.head_dim
        layer = self.hidden * (heads + 3 * self.intermediate)
        return _BYTES * (self.layers * layer + 2 * self.vocabulary * self.hidden)

    def kv_bytes(self, tokens: int) -> int:
        """A dense cache of one sequence."""
        return _BYTES * 2 * self.layers * self.kv_heads * self.head_dim * tokens


def llama_config(name: str, small: bool) -> Any:
    """The config of a model for transformers, which need not be installed otherwise."""
    from transformers import LlamaConfig

    return LlamaConfig(**shape_of(name, small).config, tie_word_embeddings=False)


def shape_of(name: str, small: bool) -> Shape:
    """small: 2 layers of small widths, with the model's ratio of heads."""
    if small:
        config: dict[str, Any] = {**_SMALL_COMMON, **_SMALL[name]}
    else:
        text = (ROOT / "examples" / name / "config.json").read_text()
        config = {**json.loads(text), **_REST[name]}
        for unused in ("_name_or_path", "architectures", "torch_dtype"):
            config.pop(unused, None)
    heads = config["num_attention_heads"]
    return Shape(
        name=name,
        hidden=config["hidden_size"],
        layers=config["num_hidden_layers"],
        query_heads=heads,
        kv_heads=config["num_key_value_heads"],
        head_dim=config.get("head_dim", config["hidden_size"] // heads),
        intermediate=config["intermediate_size"],
        vocabulary=config["vocab_size"],
        config=config,
    )
