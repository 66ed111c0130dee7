"""What ranks refuse, and that the model is then as before. Run on 2 ranks."""

import copy

import torch
import torch.distributed as dist

import moa_compile
from moa_compile.tp import attach_tensor_parallel, load_sharded, shard_model

from ..hf.models import texts
from . import odd
from .models import model_of
from .runs import logits_of


def _state(model) -> dict[str, object]:
    """All that a failed attach may have changed."""
    layers = model.model.layers
    state: dict[str, object] = dict(model.named_parameters())
    state["hooks"] = sum(len(module._forward_hooks) for module in model.modules())
    state["configs"] = [id(layer.self_attn.config) for layer in layers]
    state["features"] = [layer.self_attn.o_proj.in_features for layer in layers]
    state["attention"] = model.config._attn_implementation
    state["marks"] = hasattr(model.model, "_moa_shard"), hasattr(model, "_moa_attachment")
    return state


def _refused(call, model=None) -> tuple[str, str]:
    """Code and message of an error, which leaves a model as it is."""
    before = {} if model is None else _state(model)
    try:
        call()
    except moa_compile.MoaError as error:
        after = {} if model is None else _state(model)
        same = before.keys() == after.keys() and all(
            after[name] is each if isinstance(each, torch.Tensor) else after[name] == each
            for name, each in before.items()
        )
        assert same, f"changed by {error}"
        assert error.help
        return error.code, str(error)
    raise AssertionError("nothing was refused")


def rank_refusals(folders: dict[str, str], whole: str, checkpoint: str) -> dict[str, object]:
    """folders: of packages for 2 ranks, by family. whole: the package of llama for one."""
    folder, rank = folders["llama"], dist.get_rank()
    model = model_of("llama")
    found: dict[str, object] = {}

    def refuse(name: str, changed=model, directory: str = folder, **options) -> None:
        call = lambda: attach_tensor_parallel(changed, directory, length_bound=64, **options)
        found[name] = _refused(call, changed)

    alone = [dist.new_group([0]), dist.new_group([1])]
    refuse("size of the group", group=alone[rank])
    found["outsider"] = _refused(
        lambda: attach_tensor_parallel(model, folder, group=alone[1 - rank]), model
    )
    refuse("package for one", directory=whole)
    refuse("no folder", directory=f"{folder}/nowhere")
    refuse("another model", directory=folders["gpt-oss"])
    refuse("MLP", odd.with_mlp(lambda: odd.gemma3n_mlp(0.95)))
    refuse("heads", model_of("llama", num_attention_heads=4))
    refuse("layers", model_of("llama", num_hidden_layers=1))
    refuse("scales", cache_scales=([[1.0]], [[1.0]]))
    changed = model_of("llama")
    changed.model.layers[0].self_attn.q_norm = torch.nn.RMSNorm(512)
    refuse("norm over all heads", changed)
    changed = model_of("llama")
    changed.model.layers[0].self_attn.k_proj = torch.nn.Sequential(
        changed.model.layers[0].self_attn.k_proj
    )
    refuse("adapters", changed)
    # One rank alone fails.
    refuse("one fails", directory=folder if rank == 0 else whole)
    refuse("packages differ", directory=folder if rank == 0 else folders["other"])
    missing = checkpoint if rank == 0 else f"{checkpoint}/nowhere"
    found["checkpoint"] = _refused(
        lambda: load_sharded(missing, folder, dtype=torch.bfloat16, device="cpu")
    )
    found["rank's package"] = _refused(
        lambda: moa_compile.attach(model, f"{folder}/rank{rank}"), model
    )

    # After all of that the model is good, and refuses what is wrong from here on.
    attach_tensor_parallel(model, folder, length_bound=64)
    refuse("attached")
    found["copy"] = _refused(lambda: copy.deepcopy(model), model)
    moa_compile.detach(model)
    found["package for all"] = _refused(lambda: moa_compile.attach(model, whole), model)
    refuse("divided otherwise", directory=folders["other"])
    model.requires_grad_(True)
    found["gradients"] = _refused(
        lambda: model(input_ids=texts(4)[0][None], use_cache=False), model
    )
    model.requires_grad_(False)
    late = model_of("llama")
    shard_model(late, folder)
    found["good"] = torch.equal(logits_of(model), logits_of(late))
    return found
