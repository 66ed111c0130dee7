"""A reading of a GGUF file that does not go through transformers: metadata, and weights by the
names and in the layout that transformers has.

llama.cpp changes two things when it writes a GGUF. Rows of q and k of a Llama are interleaved,
since it rotates neighbours (2i, 2i + 1), and transformers halves (i, i + d/2). Norms of Gemma hold
1 + w, since that is what they multiply by."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import gguf
import torch

from .fetch import FetchError

_OUTSIDE: Final = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
}
_LAYER: Final = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
# Gemma has two norms more, and another use of the name `post_attention_layernorm`.
_NORMS: Final = {
    "llama": {"ffn_norm": "post_attention_layernorm"},
    "gemma3": {
        "post_attention_norm": "post_attention_layernorm",
        "ffn_norm": "pre_feedforward_layernorm",
        "post_ffw_norm": "post_feedforward_layernorm",
    },
}
# By the end of a metadata key, the key of a config. What a file does not state is not compared.
_FACTS: Final = {
    "block_count": "num_hidden_layers",
    "context_length": "max_position_embeddings",
    "embedding_length": "hidden_size",
    "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.key_length": "head_dim",
    "attention.value_length": "head_dim",
    "rope.dimension_count": "head_dim",
    "rope.freq_base": "rope_theta",
    "attention.layer_norm_rms_epsilon": "rms_norm_eps",
    "attention.sliding_window": "sliding_window",
    "vocab_size": "vocab_size",
}
_TOKENS: Final = {
    "bos_token_id": "bos_token_id",
    "eos_token_id": "eos_token_id",
    "padding_token_id": "pad_token_id",
}
# A GGUF has float32.
_TOLERANCE: Final = 1e-6


class GgufFile:
    def __init__(self, path: Path) -> None:
        self._reader = gguf.GGUFReader(str(path))
        self.architecture = str(self.field("general.architecture"))
        if self.architecture not in _NORMS:
            raise FetchError(f"{path.name} has architecture {self.architecture}, which is unknown")

    def field(self, key: str) -> Any:
        """None where the file has no such key."""
        found = self._reader.fields.get(key)
        return None if found is None else found.contents()

    def differences(self, config: dict[str, Any]) -> list[str]:
        """Where the metadata states something else than the config."""
        stated = {f"{self.architecture}.{end}": name for end, name in _FACTS.items()}
        stated |= {f"tokenizer.ggml.{end}": name for end, name in _TOKENS.items()}
        found = []
        for key, name in stated.items():
            own, given = self.field(key), config.get(name)
            if own is not None and (given is None or abs(own - given) > _TOLERANCE * abs(own)):
                found.append(f"{key} is {own}, and {name} of the config {given}")
        tokens = len(self.field("tokenizer.ggml.tokens"))
        if tokens != config["vocab_size"]:
            found.append(f"there are {tokens} tokens, and vocab_size is {config['vocab_size']}")
        tied = all(tensor.name != "output.weight" for tensor in self._reader.tensors)
        if tied != config["tie_word_embeddings"]:
            found.append(f"the file says that embeddings are {'' if tied else 'not '}tied")
        return found

    def weights(self, config: dict[str, Any]) -> Iterator[tuple[str, torch.Tensor]]:
        """float32, by name."""
        heads = {"attn_q": config["num_attention_heads"], "attn_k": config["num_key_value_heads"]}
        for tensor in self._reader.tensors:
            values = torch.from_numpy(gguf.dequantize(tensor.data, tensor.tensor_type).copy())
            own = tensor.name.removesuffix(".weight").split(".")[-1]
            if self.architecture == "llama" and own in heads:
                values = halves_of_neighbours(values, heads[own])
            if self.architecture == "gemma3" and own.endswith("norm"):
                values = values - 1
            yield self._name(tensor.name), values

    def _name(self, name: str) -> str:
        inside = {**_LAYER, **_NORMS[self.architecture]}
        match name.split("."):
            case ["blk", layer, own, "weight"] if own in inside:
                return f"model.layers.{layer}.{inside[own]}.weight"
            case [own, "weight"] if own in _OUTSIDE:
                return f"{_OUTSIDE[own]}.weight"
        raise FetchError(f"the tensor {name} is unknown")


def halves_of_neighbours(rows: torch.Tensor, heads: int) -> torch.Tensor:
    """Rows of each head in the order 0, 2, 4, ... 1, 3, 5, ..."""
    neighbours = rows.reshape(heads, -1, 2, *rows.shape[1:])
    return neighbours.transpose(1, 2).reshape(rows.shape)
