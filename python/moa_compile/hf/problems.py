"""Errors of attached models: what was asked for that a compiled package cannot do, and what to do
instead."""

from typing import Final, NoReturn, SupportsIndex

from ..errors import MoaError

_HELP: Final = {
    "modelPackage": (
        "compile the plan for this model: moa-compile plan.json --model config.json, with the "
        "config that the model was loaded from"
    ),
    "modelPlacement": (
        "load the whole model on one device, in an element type of the package: "
        "from_pretrained(..., dtype=torch.bfloat16).cuda()"
    ),
    "modelState": (
        "call model.eval(), and run it within torch.no_grad() or torch.inference_mode(); train it "
        "after moa_compile.detach(model)"
    ),
    "badCache": (
        "leave the cache to generate, or make one with moa_compile.hf.new_cache(model, "
        "batch_size=..., length_bound=...)"
    ),
    "badMask": (
        "pass the mask of all columns, those in the cache and the new ones: [batch, columns], 1 "
        "for a token and 0 for padding"
    ),
    "badPositions": (
        "pass one sequence a row, with padding and an attention_mask; leave position_ids out, or "
        "let them rise by 1"
    ),
    "noAttentions": "ask for attentions after moa_compile.detach(model)",
    "overBound": (
        "ask for fewer tokens, or fix a larger bound: moa_compile.attach(..., length_bound=...) "
        "or new_cache(..., length_bound=...)"
    ),
    "notAttached": "call the model itself, after moa_compile.attach(model, directory)",
    "attached": "moa_compile.detach(model) first",
    "unsupportedModel": "a causal decoder of transformers: Llama, Mistral, Qwen, Gemma, gpt-oss",
}


def problem(name: str, message: str, help: str = "") -> MoaError:
    """An error of an attached model, with the help of its code unless it has its own."""
    return MoaError(name, message, help or _HELP[name])


class NotCopied:
    """What a copy of an attached model would share with it: a session, hooks."""

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise problem("attached", "an attached model cannot be copied or pickled")
