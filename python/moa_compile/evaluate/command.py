"""`python -m moa_compile evaluate`: an answer to a request, which `moa-compile evaluate` makes."""

import argparse
import json
from dataclasses import asdict
from typing import Final

from ..command_line.command import Command, Show, partial_path
from ..command_line.options import add_model_option, add_run_options


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    add_model_option(parser)
    parser.add_argument("--request", required=True, metavar="FILE.json")
    parser.add_argument("--output", required=True, metavar="FILE.json")
    restart = "do not go on from the partial file of a run that was stopped"
    parser.add_argument("--restart", action="store_true", help=restart)
    add_run_options(parser)


def run(options: argparse.Namespace, show: Show) -> int:
    """The command; returns its exit status."""
    import torch
    import transformers

    from ..command_line.journal import Journal
    from ..search.fingerprint import Fingerprint
    from ..search.layer_facts import model_facts
    from ..search.model import device_of, load_model, load_tokenizer, require_config
    from ..search.tensorfile import replacing, require_writable
    from ..tasks.texts import Texts
    from .request import read_request, require_shape
    from .run import Evaluation

    request = read_request(options.request)
    require_writable(options.output)
    texts = None if request.texts is None else Texts.read(request.texts.path)
    require_config(options.model)
    files = Fingerprint(options.model)
    tokenizer = load_tokenizer(
        options.model, "questions are text", "put the tokenizer's files there"
    )
    device = device_of(options.device)
    model = load_model(options.model, device, options.dtype)
    files.require_unchanged()
    facts = model_facts(model)
    require_shape(options.request, request, facts.layers, facts.query_heads)
    key = {
        "request": asdict(request),
        "model": files.files(),
        "texts": None if texts is None else texts.sha256,
        "dtype": str(model.dtype),
        "device": device.type,
    }
    journal = Journal(partial_path(options.output), "moa-evaluation-partial", key)
    if options.restart:
        journal.remove()
    journal.open()
    rows = Evaluation(model, tokenizer, request, texts, journal, show).run()
    files.require_unchanged()
    on_gpu = device.type == "cuda"
    answer = {
        "format": "moa-evaluation",
        "version": 1,
        "device": torch.cuda.get_device_name(device) if on_gpu else "cpu",
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "dtype": str(model.dtype).removeprefix("torch."),
        "model": {
            "layers": facts.layers,
            "queryHeads": facts.query_heads,
            "kvHeads": facts.kv_heads,
        },
        **rows,
    }
    with replacing(options.output) as file:
        file.write((json.dumps(answer, indent=1) + "\n").encode())
    journal.remove()
    return 0


_HELP: Final = "retrieval, loss on texts and agreement of a model under masks and on packages"
COMMAND: Final = Command("evaluate", _HELP, add_options, run, partial_path)
