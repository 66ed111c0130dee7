"""What ranks of the tests do, and one process for comparison. `rank_...` run on ranks."""

import torch
import torch.distributed as dist
from transformers import AutoModelForCausalLM

import moa_compile
from moa_compile.tp import attach_tensor_parallel, load_sharded, shard_model

from ..hf.models import padded, texts
from .models import model_of

LENGTHS = (200, 150)
NEW = 6
BOUND = max(LENGTHS) + NEW


def prompts() -> dict[str, torch.Tensor]:
    """A batch of 2 with padding."""
    return padded(texts(*LENGTHS))


def from_files(checkpoint: str):
    """Whole. Other than `model.to(torch.bfloat16)` this leaves frequencies of RoPE in float32."""
    model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.bfloat16)
    return model.eval().requires_grad_(False)


def logits_of(model, ids=None) -> torch.Tensor:
    """Of the prompt, in float32."""
    given = prompts() if ids is None else {"input_ids": ids}
    with torch.no_grad():
        return model(**given, use_cache=False).logits.float()


def generate(model, **options) -> torch.Tensor:
    """Greedy or sampled text of the padded prompts, from one seed."""
    torch.manual_seed(5)
    return model.generate(**prompts(), max_new_tokens=NEW, **options)


def generation(model, writes: bool) -> dict[str, torch.Tensor]:
    """Logits of an attached model, and texts if it `writes`."""
    if not writes:
        return {"logits": logits_of(model)}
    return {
        "logits": logits_of(model),
        "greedy": generate(model, do_sample=False),
        "sampled": generate(model, do_sample=True, top_k=8, temperature=0.7),
    }


def rank_generation(
    folders: dict[str, str], writers: tuple[str, ...]
) -> dict[str, dict[str, torch.Tensor]]:
    """`generation` of each family on the package for these ranks."""
    results = {}
    for family, folder in folders.items():
        model = model_of(family)
        attach_tensor_parallel(model, folder, length_bound=BOUND)
        results[family] = generation(model, family in writers)
        shapes = {name: tuple(each.shape) for name, each in model.named_parameters()}
        results[family]["shapes"] = shapes
    return results


def rank_ways(folder: str, checkpoint: str) -> dict[str, torch.Tensor]:
    """One model by every way to its parts, and made dense again."""
    results = {}
    whole = from_files(checkpoint)
    attach_tensor_parallel(whole, folder, length_bound=BOUND)
    results["whole"] = logits_of(whole)
    results["config"] = whole.config.num_attention_heads
    moa_compile.detach(whole)
    results["dense"] = logits_of(whole, texts(100)[0][None])
    # As it is divided already, it is attached as it is.
    attach_tensor_parallel(whole, folder, length_bound=BOUND)
    results["again"] = logits_of(whole)

    divided = from_files(checkpoint)
    shard_model(divided, folder)
    rank = dist.get_rank()
    moa_compile.attach(divided, f"{folder}/rank{rank}", length_bound=BOUND)
    results["divided"] = logits_of(divided)

    loaded = load_sharded(checkpoint, folder, dtype=torch.bfloat16, device="cpu")
    loaded.requires_grad_(False)
    attach_tensor_parallel(loaded, folder, length_bound=BOUND)
    results["loaded"] = logits_of(loaded)
    results["kept"] = sum(each.numel() for each in loaded.parameters())
    return results


def rank_states(folder: str, tied: str) -> dict[str, object]:
    """Whole weights loaded into a divided model of other weights; parts of unequal sizes. tied:
    files of a model whose lm_head is its embedding."""
    ids, results = texts(100)[0][None], {}
    first, second = model_of("llama"), model_of("llama", seed=1)
    whole = second.state_dict()
    shard_model(first, folder)
    shard_model(second, folder)
    first.load_state_dict(whole)
    results["loaded"] = torch.equal(logits_of(first, ids), logits_of(second, ids))
    first.load_state_dict({name: weight.clone() for name, weight in whole.items()}, assign=True)
    results["assigned"] = torch.equal(logits_of(first, ids), logits_of(second, ids))

    unequal = model_of("llama", intermediate_size=70)
    # A hook that was there before hears the sum.
    for layer in unequal.model.layers:
        layer.self_attn.o_proj.register_forward_hook(lambda module, args, out: out + 0.5)
    results["dense"] = logits_of(unequal, ids)
    shard_model(unequal, folder)
    results["unequal"] = logits_of(unequal, ids)
    results["features"] = unequal.model.layers[0].mlp.down_proj.in_features

    loaded = load_sharded(tied, folder, dtype=torch.bfloat16, device="cpu")
    whole = from_files(tied)
    shard_model(whole, folder)
    results["tied"] = torch.equal(logits_of(loaded, ids), logits_of(whole, ids))
    results["is tied"] = loaded.lm_head.weight is loaded.model.embed_tokens.weight
    return results
