"""Errors of models over several ranks, and what to do about them."""

from typing import Final, NoReturn, SupportsIndex

from ..errors import MoaError

_HELP: Final = {
    "rankGroup": (
        "start one process a rank with torchrun --nproc-per-node N, and call "
        "torch.distributed.init_process_group() first; N is that of moa-compile --tp N"
    ),
    "rankPackage": (
        "compile the plan for several ranks, moa-compile plan.json --model config.json --tp N -o "
        "DIR, and pass DIR, which holds rank0, rank1, ... and tensor-parallel.json"
    ),
    "rankModel": (
        "a model of transformers whose attention has q_proj, k_proj, v_proj (or qkv_proj) and "
        "o_proj, all plain linear layers, and which treats heads and features of its MLPs one by "
        "one in between; others run on one GPU"
    ),
    "rankFailed": "see the error of that rank; the model is as before on all of them",
    "rankCheckpoint": (
        "pass a folder of config.json and *.safetensors with the model's own names; other "
        "checkpoints load on the CPU: from_pretrained(...), moa_compile.tp.shard_model, then "
        "model.to(device)"
    ),
    "rankState": (
        "weights are as they were loaded: save them before the model is divided, or load it again "
        "for that; load_state_dict takes whole weights, of which each rank takes its part"
    ),
}


def problem(name: str, message: str, help: str = "") -> MoaError:
    """An error of a model over ranks, with the help of its code unless it has its own."""
    return MoaError(name, message, help or _HELP[name])


class NotCopied:
    """What a copy of a divided model would share with it: hooks, and what is known of its part."""

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        message = "a model that is divided over ranks cannot be copied or pickled"
        raise problem("rankState", message, "load it again")
