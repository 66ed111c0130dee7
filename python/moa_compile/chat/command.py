"""`python -m moa_compile chat`: loads the model, attaches the package, and starts the loop."""

import argparse
import os
import sys
from typing import Any, Final

from ..search.codes import MoaError

# The default length bound is the model's, up to so many tokens: memory is taken for all of them.
_USUAL_BOUND: Final = 8192


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    add = parser.add_argument
    add("--model", required=True, metavar="FOLDER", help="config.json, weights and tokenizer")
    add("--package", required=True, metavar="DIR", help="compiled with the model's config")
    add("--system", metavar="TEXT", help="the system prompt")
    bound = f"most tokens of the conversation (default: the model's, at most {_USUAL_BOUND})"
    add("--length-bound", type=int, metavar="N", help=bound)
    add("--new-tokens", type=int, default=1024, metavar="N", help="most tokens of a reply")
    heat = "0: the most likely token (default: as generation_config.json says)"
    add("--temperature", type=float, metavar="T", help=heat)
    add("--top-k", type=int, metavar="K", help="sample among so many")
    add("--seed", type=int, metavar="S", help="of the sampling")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto", help="cpu: emulated, slow")
    add("--dtype", choices=("auto", "bfloat16", "float16"), default="auto")
    add("--quiet", action="store_true", help="no word but the replies")


def run(options: argparse.Namespace) -> int:
    """The command; returns its exit status. Raises `MoaError`s of both kinds."""
    _check(options)
    import torch

    from ..hf.attach import attach
    from ..search.model import device_of, load_model, tokenizer_loader
    from .replies import Replies
    from .terminal import converse

    tokenizer = tokenizer_loader(options.model)()
    if getattr(tokenizer, "chat_template", None) is None:
        message = f"the tokenizer of {options.model} has no chat template"
        help = "put chat_template.jinja into the folder, as models for chats have it"
        raise MoaError("MOA7440", message, help)
    model = load_model(options.model, device_of(options.device), options.dtype)
    bound = options.length_bound or _bound_of(model)
    if options.seed is not None:
        torch.manual_seed(options.seed)
    attach(model, options.package, length_bound=bound)
    replies = Replies(
        model,
        tokenizer,
        length_bound=bound,
        new_tokens=options.new_tokens,
        system=options.system,
        options=_sampling(options),
    )
    try:
        converse(replies, sys.stdin, sys.stdout)
    except BrokenPipeError:
        # Nobody reads any more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _check(options: argparse.Namespace) -> None:
    for name, least in (("length_bound", 1), ("new_tokens", 1), ("top_k", 1)):
        value = getattr(options, name)
        if value is not None and value < least:
            raise _bad(f"--{name.replace('_', '-')} is {value}; it is at least {least}")
    heat = options.temperature
    if heat is not None and not 0 <= heat < float("inf"):
        raise _bad(f"--temperature is {heat}; it is 0 or above")


def _bad(message: str) -> MoaError:
    return MoaError("MOA7404", message, "moa-compile chat --help lists the options")


def _bound_of(model: Any) -> int:
    own = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    return min(own, _USUAL_BOUND) if isinstance(own, int) else _USUAL_BOUND


def _sampling(options: argparse.Namespace) -> dict[str, Any]:
    """Options of `generate`."""
    if options.temperature == 0:
        return {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
    chosen: dict[str, Any] = {}
    if options.temperature is not None:
        chosen["temperature"] = options.temperature
    if options.top_k is not None:
        chosen["top_k"] = options.top_k
    return {"do_sample": True, **chosen} if chosen else {}
