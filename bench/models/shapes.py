"""Shapes of the models that are measured; their weights are random."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Shape:
    """layers to kv_heads are also those of the plan."""

    layers: int
    hidden: int
    query_heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocabulary: int
    theta: float
    # Positions are divided by it (vicuna-7b-16k).
    linear_factor: float | None = None

    def config(self) -> Any:
        """Of a Llama of transformers."""
        from transformers import LlamaConfig

        linear = {"rope_type": "linear", "factor": self.linear_factor}
        scaled = {"rope_type": "default"} if self.linear_factor is None else linear
        return LlamaConfig(
            num_hidden_layers=self.layers,
            hidden_size=self.hidden,
            num_attention_heads=self.query_heads,
            num_key_value_heads=self.kv_heads,
            head_dim=self.head_dim,
            intermediate_size=self.intermediate,
            vocab_size=self.vocabulary,
            max_position_embeddings=1 << 18,
            rope_parameters={**scaled, "rope_theta": self.theta},
            tie_word_embeddings=False,
        )


SHAPES = {
    "llama-3-8b": Shape(32, 4096, 32, 8, 128, 14336, 128256, 283461213.0),
    "vicuna-7b": Shape(32, 4096, 32, 32, 128, 11008, 32000, 10000.0, 4.0),
    # For a try on the CPU.
    "small": Shape(2, 64, 8, 4, 64, 128, 64, 10000.0),
}
