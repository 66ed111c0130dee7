"""What ranks refuse, and that the model is then as before. `rank_...` run on 2 ranks."""

import copy
import tempfile
from datetime import timedelta
from pathlib import Path
from unittest.mock import patch

import torch
import torch.distributed as dist
from transformers.models.llama.modeling_llama import LlamaMLP

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
        options = {"length_bound": 64, **options}
        call = lambda: attach_tensor_parallel(changed, directory, **options)
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
    attention = changed.model.layers[0].self_attn
    attention.k_proj = torch.nn.Sequential(attention.k_proj)
    refuse("adapters", changed)
    with patch.object(LlamaMLP, "forward", odd.normed):
        found["files of an MLP"] = _refused(lambda: _loaded(checkpoint, folder))
    found["rank's package"] = _refused(
        lambda: moa_compile.attach(model, f"{folder}/rank{rank}"), model
    )
    _disagreements(found, refuse, folders, whole, checkpoint)

    # After all of that the model is good, and refuses what is wrong from here on.
    attach_tensor_parallel(model, folder, length_bound=64)
    refuse("attached")
    found["copy of an attached one"] = _refused(lambda: copy.deepcopy(model), model)
    moa_compile.detach(model)
    found["package for all"] = _refused(lambda: moa_compile.attach(model, whole), model)
    refuse("divided otherwise", directory=folders["other"])
    model.requires_grad_(True)
    ids = texts(4)[0][None]
    found["gradients"] = _refused(lambda: model(input_ids=ids, use_cache=False), model)
    model.requires_grad_(False)
    found |= _states(model)
    late = model_of("llama")
    shard_model(late, folder)
    found["good"] = torch.equal(logits_of(model), logits_of(late))
    return found


def _loaded(checkpoint: str, folder: str):
    return load_sharded(checkpoint, folder, dtype=torch.bfloat16, device="cpu")


def _disagreements(found, refuse, folders, whole: str, checkpoint: str) -> None:
    """Rank 0 does what is right, and rank 1 something else."""
    folder, is_first = folders["llama"], dist.get_rank() == 0
    refuse("one fails", directory=folder if is_first else whole)
    refuse("packages differ", directory=folder if is_first else folders["other"])
    refuse("weights differ", model_of("llama", seed=0 if is_first else 1))
    refuse("configs differ", model_of("llama", rms_norm_eps=1e-6 if is_first else 1e-5))
    refuse("lengths differ", length_bound=64 if is_first else 65)
    model = model_of("llama")
    attached = lambda: attach_tensor_parallel(model, folder, length_bound=64)
    call = attached if is_first else lambda: shard_model(model, folder)
    found["calls differ"] = _refused(call, model)
    missing = checkpoint if is_first else f"{checkpoint}/nowhere"
    found["checkpoint"] = _refused(lambda: _loaded(missing, folder))


def _states(model) -> dict[str, object]:
    """What a divided model refuses to give, and to take."""
    projection = model.model.layers[0].self_attn.o_proj
    whole, own = model_of("llama").state_dict(), projection.weight.clone()
    key = "model.layers.0.self_attn.o_proj.weight"
    with tempfile.TemporaryDirectory() as folder:
        return {
            "save_pretrained": _refused(lambda: model.save_pretrained(folder), model),
            "weights saved": [path.name for path in Path(folder).glob("*.safetensors")],
            "state dict": _refused(model.state_dict, model),
            "of a module": _refused(projection.state_dict, model),
            "part": _refused(lambda: model.load_state_dict({**whole, key: own}), model),
            "copy": _refused(lambda: copy.deepcopy(model), model),
            "pickle": _refused(lambda: torch.save(model, f"{folder}/model.pt"), model),
        }


def rank_absence(folder: str) -> dict[str, object]:
    """Rank 0 waits for others, which do not come, in groups with little patience."""
    ranks, found = list(range(dist.get_world_size())), {}
    groups = [dist.new_group(ranks, timeout=timedelta(seconds=3)) for _ in range(2)]
    model, divided = model_of("llama"), model_of("llama")
    shard_model(divided, folder, group=groups[1])
    if dist.get_rank() == 0:
        call = lambda: attach_tensor_parallel(model, folder, group=groups[0], length_bound=64)
        found["attach"] = _refused(call, model)
        found["forward"] = _refused(lambda: logits_of(divided))
    return found


def rank_of_four(for_two: str, for_four: str) -> dict[str, object]:
    """On 4 ranks: more than the package has, and than a KV head each would allow; and one fails."""
    found: dict[str, object] = {}
    model = model_of("llama")
    call = lambda folder: lambda: attach_tensor_parallel(model, folder, length_bound=64)
    found["ranks"] = _refused(call(for_two), model)
    found["one fails"] = _refused(call(for_two if dist.get_rank() == 2 else for_four), model)
    changed = odd.with_mlp(lambda: odd.gemma3n_mlp(0.95))
    found["MLP"] = _refused(lambda: shard_model(changed, for_four), changed)
    changed = odd.with_mlp(lambda: odd.Mlp(lambda x: x.cumsum(-1)))
    found["MLP of some"] = _refused(lambda: shard_model(changed, for_four), changed)
    shard_model(model, for_four)
    return found | _states(model)
