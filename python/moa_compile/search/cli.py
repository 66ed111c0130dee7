"""The commands of the search: check, profile and validate."""

import json

from ..command_line.command import Command
from ..command_line.options import add_model_option, add_run_options, bad_option, count, lengths
from ..command_line.run import run_commands
from . import environment
from .codes import PACKAGES


def main(arguments: list[str] | None = None) -> int:
    """Runs one of them."""
    return run_commands(COMMANDS, arguments)


def _check(options, show) -> int:
    facts = environment.describe()
    print(json.dumps(facts))
    return PACKAGES if "missing" in facts else 0


def _add_common_options(parser) -> None:
    add_model_option(parser)
    parser.add_argument("--data", required=True, metavar="FILE.jsonl")
    parser.add_argument("--output", required=True, metavar="FILE")
    parser.add_argument("--samples", type=count("--samples"), metavar="N", help="at most N samples a length, the first of the file (default: all)")
    parser.add_argument("--query-block", type=_query_block, metavar="ROWS", help="queries at a time, a multiple of 64 (default: by memory)")
    add_run_options(parser)


def _query_block(text: str) -> int:
    rows = int(text) if text.isdecimal() else 0
    if rows < 64 or rows % 64:
        raise bad_option("--query-block is no multiple of 64")
    return rows


def _add_profile_options(parser) -> None:
    _add_common_options(parser)
    parser.add_argument("--lengths", required=True, type=lengths, metavar="N,N,...", help="multiples of 64")
    parser.add_argument("--target", choices=("cross-entropy", "margin"), default="cross-entropy", help="what influence is a change of (docs/search-formats.md)")
    parser.add_argument("--restart", action="store_true", help="do not go on from the partial file of a run that was stopped")


def _add_validate_options(parser) -> None:
    _add_common_options(parser)
    parser.add_argument("--request", required=True, metavar="FILE.json")


def partial_path(output: str) -> str:
    return f"{output}.partial.safetensors"


def _load(options, read):
    """(model, `read(encoder)`, the samples, files of the model), after the cheap checks: the data is read before gigabytes of weights are."""
    from .data import Encoder
    from .fingerprint import Fingerprint
    from .known_config import check_config, check_facts, read_config
    from .layer_facts import model_facts
    from .model import device_of, load_model, require_config, text_vocabulary, tokenizer_loader
    from .tensorfile import require_writable

    require_writable(options.output)
    device = device_of(options.device)
    require_config(options.model)
    files = Fingerprint(options.model)
    config = read_config(options.model)
    check_config(config)
    encoder = Encoder(text_vocabulary(options.model), tokenizer_loader(options.model))
    samples = read(encoder)
    files.files()
    model = load_model(options.model, device, options.dtype)
    files.require_unchanged()
    check_facts(config, model_facts(model))
    return model, samples, files


def _profile(options, show) -> int:
    from .data import read_samples
    from .model import warn_of_positions
    from .partial import Partial
    from .profile import run_profile

    model, samples, files = _load(options, lambda encoder: read_samples(options.data, options.lengths, options.samples, encoder))
    warn_of_positions(model, options.lengths[-1])
    fingerprint = {
        "model": files.files(),
        "data": samples.sha256,
        "lengths": options.lengths,
        "samples": options.samples,
        "dtype": str(model.dtype),
        "target": options.target,
    }
    partial = Partial(partial_path(options.output), fingerprint, guard=files.require_unchanged)
    if options.restart:
        partial.remove()
    partial.load()
    run_profile(model, options.model, samples, options.output, partial, options.query_block, show, options.target, files.value())
    return 0


def _validate(options, show) -> int:
    from .data import read_long_samples
    from .validate import read_request, run_validation, write_answer

    request = read_request(options.request)
    model, samples, files = _load(options, lambda encoder: read_long_samples(options.data, request["length"], options.samples, encoder))
    answer = run_validation(model, samples, request, options.query_block, show, options.request)
    files.require_unchanged()
    write_answer(options.output, answer)
    return 0


_MEMORY_HELP = "try a smaller --query-block (64 is the least), shorter lengths, or --dtype bfloat16; a profile goes on where it stopped"

COMMANDS = (
    Command("check", "print versions and device as JSON, or which packages are missing (exit status 3)", lambda parser: None, _check, needs_packages=False),
    Command("profile", "measure the influence of every page of every head", _add_profile_options, _profile, partial_path, _MEMORY_HELP),
    Command("validate", "measure loss and accuracy of plans", _add_validate_options, _validate, memory_help=_MEMORY_HELP),
)
