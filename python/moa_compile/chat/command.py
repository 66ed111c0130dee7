"""`python -m moa_compile chat`: loads the model, attaches the package, and starts the loop."""

import argparse
import os
import sys
from typing import Any, Final

from ..command_line.command import Command, Show
from ..command_line.options import add_model_option, add_run_options, bad_option, count
from ..tasks.prompt import PROMPT_FORMATS, is_chat

# The default length bound is the model's, up to so many tokens: memory is taken for all of them.
_USUAL_BOUND: Final = 8192


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    add = parser.add_argument
    add_model_option(parser)
    add("--package", required=True, metavar="DIR", help="compiled with the model's config")
    plain = "plain: the model goes on with one text (auto: where there is no chat template)"
    add("--prompt", choices=PROMPT_FORMATS, default="auto", help=plain)
    add("--system", metavar="TEXT", help="the system prompt")
    bound = f"most tokens of the conversation (default: the model's, at most {_USUAL_BOUND})"
    add("--length-bound", type=count("--length-bound"), metavar="N", help=bound)
    new = "most tokens of a reply"
    add("--new-tokens", type=count("--new-tokens"), default=1024, metavar="N", help=new)
    heat = "0: the most likely token (default: as generation_config.json says)"
    add("--temperature", type=_temperature, metavar="T", help=heat)
    add("--top-k", type=count("--top-k"), metavar="K", help="sample among so many")
    add("--seed", type=count("--seed", 0), metavar="S", help="of the sampling")
    add_run_options(parser)


def _temperature(text: str) -> float:
    heat = float(text)
    if not 0 <= heat < float("inf"):
        raise bad_option(f"--temperature is {text}; it is 0 or above")
    return heat


def run(options: argparse.Namespace, _: Show) -> int:
    """The command; returns its exit status."""
    import torch

    from ..hf.attach import attach
    from ..search.model import device_of, load_model, load_tokenizer
    from .replies import Replies
    from .terminal import converse

    tokenizer = load_tokenizer(options.model, "a conversation is text", "put its files there")
    chats = is_chat(tokenizer, options.prompt)
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
        is_chat=chats,
        options=_sampling(options),
    )
    try:
        converse(replies, sys.stdin, sys.stdout)
    except BrokenPipeError:
        # Nobody reads any more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


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


COMMAND: Final = Command("chat", "a conversation with a model on a package", add_options, run)
