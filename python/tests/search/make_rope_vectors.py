"""Makes test/plan/fixtures/ropeVectors.json: configs, and what transformers makes of them.

    python python/tests/search/make_rope_vectors.py > test/plan/fixtures/ropeVectors.json

Inverse frequencies are those of ROPE_INIT_FUNCTIONS, or of the default of the model, in binary32; cos and sin are those of its rotary embedding
in binary32 at positions up to 131,072, as the attention of the model would multiply queries with them.
"""

import json
import sys

import torch
import transformers
from transformers import AutoConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

SHAPE = {"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "hidden_size": 512, "head_dim": 128, "vocab_size": 64, "intermediate_size": 64}
POSITIONS = [0, 1, 63, 1000, 1024, 8191, 65535, 100003, 131071]


def llama(**keys):
    return {"model_type": "llama", **SHAPE, "max_position_embeddings": 131072, **keys}


LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}
LONG = {
    "rope_type": "longrope",
    "short_factor": [1.0 + 0.01 * i for i in range(48)],
    "long_factor": [1.0 + 1.3 * i for i in range(48)],
}
PHI3 = {"model_type": "phi3", "sliding_window": None, **SHAPE, "max_position_embeddings": 131072, "original_max_position_embeddings": 4096, "partial_rotary_factor": 0.75, "rope_theta": 10000.0, "rope_scaling": LONG, "pad_token_id": 0}

# Name: the config, and the lengths for which frequencies are asked where they depend on one.
CASES = {
    "llama without keys": (llama(), [None]),
    "llama, theta": (llama(rope_theta=500000.0), [None]),
    "llama, a theta that binary32 rounds": (llama(rope_theta=283461213.0), [None]),
    "headDim 64": ({**llama(rope_theta=10000.0), "head_dim": 64}, [None]),
    "headDim 256": ({**llama(rope_theta=1e6), "head_dim": 256}, [None]),
    "linear, older keys": (llama(rope_scaling={"type": "linear", "factor": 4.0}), [None]),
    "linear": (llama(rope_parameters={"rope_type": "linear", "factor": 2.5, "rope_theta": 20000.0}), [None]),
    "dynamic": ({**llama(rope_scaling={"type": "dynamic", "factor": 2.0}), "max_position_embeddings": 4096}, [1024, 4096, 4097, 16384, 131072]),
    "llama3": (llama(rope_theta=500000.0, rope_scaling=LLAMA3), [None]),
    "llama3, factor 32": (llama(rope_theta=500000.0, rope_scaling={**LLAMA3, "factor": 32.0}), [None]),
    "yarn": ({**llama(rope_theta=1000000.0, rope_scaling=YARN), "model_type": "qwen2"}, [None]),
    "yarn, factor 32": (llama(rope_scaling={**YARN, "factor": 32.0, "original_max_position_embeddings": 4096}), [None]),
    "yarn, attention factor": (llama(rope_scaling={**YARN, "attention_factor": 0.75, "beta_fast": 24, "beta_slow": 2}), [None]),
    "yarn, mscale": (llama(rope_scaling={**YARN, "factor": 40.0, "mscale": 0.707, "mscale_all_dim": 1.0}), [None]),
    "yarn, not truncated": ({**llama(rope_parameters={**YARN, "factor": 32.0, "original_max_position_embeddings": 4096, "beta_fast": 32.0, "beta_slow": 1.0, "truncate": False, "rope_theta": 150000.0}), "model_type": "gpt_oss", "head_dim": 64, "sliding_window": 128}, [None]),
    "longrope of 3/4 of a head": (PHI3, [1024, 4096, 4097, 131072]),
    "longrope, factor": ({**PHI3, "rope_scaling": {**LONG, "factor": 8.0}}, [4096, 8192]),
    "longrope, attention factor": ({**PHI3, "rope_scaling": {**LONG, "attention_factor": 1.25}}, [4096, 8192]),
    "a quarter of a head, gpt_neox": ({"model_type": "gpt_neox", **SHAPE, "hidden_size": 512, "max_position_embeddings": 2048, "rotary_pct": 0.25, "rotary_emb_base": 10000}, [None]),
    "a quarter of a head, stablelm": ({"model_type": "stablelm", **SHAPE, "max_position_embeddings": 4096, "partial_rotary_factor": 0.25, "rope_theta": 10000}, [None]),
    "half of a head in neighbours, glm": ({"model_type": "glm", **SHAPE, "max_position_embeddings": 131072, "partial_rotary_factor": 0.5, "rope_theta": 10000.0}, [None]),
    "neighbours, cohere": ({"model_type": "cohere", **SHAPE, "max_position_embeddings": 8192, "rope_theta": 8000000.0}, [None]),
}


# Of these also cos and sin.
WITH_ANGLES = ["llama, theta", "llama3", "yarn, factor 32", "longrope of 3/4 of a head", "a quarter of a head, stablelm", "half of a head in neighbours, glm", "neighbours, cohere"]


def numbers(tensor):
    """Nine digits say a binary32 exactly."""
    return [float(f"{value:.9g}") for value in tensor.flatten().tolist()]


def vectors(config, length):
    """Inverse frequencies and the attention factor."""
    parameters = config.rope_parameters
    kind = parameters["rope_type"]
    if kind != "default":
        inverse, factor = ROPE_INIT_FUNCTIONS[kind](config, device="cpu", seq_len=length)
        return inverse, float(factor)
    # The default of every model's rotary embedding.
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    dim = int(head_dim * parameters.get("partial_rotary_factor", 1.0))
    base = parameters["rope_theta"]
    return 1.0 / (base ** (torch.arange(0, dim, 2, dtype=torch.int64).to(dtype=torch.float) / dim)), 1.0


def angles(inverse, factor):
    """cos and sin by pair at each position, in binary32 as rotary embeddings make them."""
    turned = torch.tensor(POSITIONS, dtype=torch.float32)[:, None] @ inverse[None, :].float()
    return numbers(turned.cos() * factor), numbers(turned.sin() * factor)


def main():
    cases = []
    for name, (given, lengths) in CASES.items():
        config = AutoConfig.for_model(**json.loads(json.dumps(given)))
        for length in lengths:
            inverse, factor = vectors(config, length)
            case = {"name": name, "config": given, "lengthBound": length or 131072, "inverseFrequencies": numbers(inverse), "attentionFactor": factor}
            if length in (None, lengths[-1]) and name in WITH_ANGLES:
                case["cos"], case["sin"] = angles(inverse, factor)
            cases.append(case)
    made = {"transformers": transformers.__version__, "torch": torch.__version__, "positions": POSITIONS, "cases": cases}
    json.dump(made, sys.stdout, separators=(",", ":"))
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
