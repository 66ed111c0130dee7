"""The command line. Errors are one numbered line and a help line on stderr; see codes.py for the exit statuses."""

import argparse
import json
import os
import sys

from ..chat import command as chat
from ..errors import MoaError as RuntimeMoaError
from ..measure import command as measure
from . import environment
from .codes import MACHINE, PACKAGES, USER, MoaError

_INTERRUPTED = 128
"""Plus the number of the signal, as shells have it."""


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        raise bad_option(message)


def bad_option(message: str) -> MoaError:
    return MoaError("MOA7404", message, "python -m moa_compile --help lists the commands and their options")


def main(arguments: list[str] | None = None) -> int:
    try:
        options = _parser().parse_args(arguments)
        if options.command == "check":
            facts = environment.describe()
            print(json.dumps(facts))
            return PACKAGES if "missing" in facts else 0
        environment.require_packages()
        return _run(options)
    except MoaError as error:
        print(error, file=sys.stderr)
        return error.status
    except RuntimeMoaError as error:
        print(f"error {error}", file=sys.stderr)
        return USER
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return _INTERRUPTED + 2
    except Exception as error:  # A user must never meet a traceback; one who looks for the cause asks for it.
        if os.environ.get("MOA_DEBUG"):
            raise
        print(_unknown(error), file=sys.stderr)
        return MACHINE


def _unknown(error: Exception) -> MoaError:
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = "" if place is None else f" ({os.path.basename(place.tb_frame.f_code.co_filename)}:{place.tb_lineno})"
    message = f"{type(error).__name__}: {str(error)[:300] or 'no message'}{where}"
    return MoaError("MOA7413", message, "with MOA_DEBUG=1 the place in Python is shown; check that torch and transformers are whole and fit each other")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m moa_compile", description="The part of moa-compile's search that runs the model. Files: docs/search-formats.md.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("check", help="print versions and device as JSON, or which packages are missing (exit status 3)")
    profile = commands.add_parser("profile", help="measure the influence of every page of every head")
    validate = commands.add_parser("validate", help="measure loss and accuracy of plans")
    for command in (profile, validate):
        command.add_argument("--model", required=True, metavar="FOLDER", help="config.json and weights; nothing is downloaded")
        command.add_argument("--data", required=True, metavar="FILE.jsonl")
        command.add_argument("--output", required=True, metavar="FILE")
        command.add_argument("--samples", type=int, metavar="N", help="at most N samples a length, the first of the file (default: all)")
        command.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
        command.add_argument("--dtype", choices=("auto", "bfloat16", "float16", "float32"), default="auto", help="auto: that of the weights")
        command.add_argument("--query-block", type=int, metavar="ROWS", help="queries at a time, a multiple of 64 (default: by memory)")
        command.add_argument("--quiet", action="store_true", help="no progress on stderr")
    profile.add_argument("--lengths", required=True, metavar="N,N,...", help="multiples of 64")
    profile.add_argument("--target", choices=("cross-entropy", "margin"), default="cross-entropy", help="what influence is a change of (docs/search-formats.md)")
    profile.add_argument("--restart", action="store_true", help="do not go on from the partial file of a run that was stopped")
    validate.add_argument("--request", required=True, metavar="FILE.json")
    chat.add_options(commands.add_parser("chat", help="a conversation with a model on a package"))
    measure.add_options(commands.add_parser("measure", help="speed, memory and energy of a model on a package, beside dense"))
    return parser


def _run(options) -> int:
    if options.command == "chat":
        return chat.run(options)
    if options.command == "measure":
        with _Bar(options.quiet) as bar:
            return measure.run(options, bar.show)
    if options.samples is not None and options.samples < 1:
        raise bad_option("--samples is less than 1")
    if options.query_block is not None and (options.query_block < 64 or options.query_block % 64):
        raise bad_option("--query-block is no multiple of 64")
    if options.command == "profile":
        lengths = _lengths(options.lengths)
    import torch

    from .profile import Interrupted

    try:
        with _Bar(options.quiet) as bar:
            if options.command == "profile":
                _profile(options, lengths, bar.show)
            else:
                _validate(options, bar.show)
        return 0
    except Interrupted as stop:
        print(f"interrupted: the same command goes on where {partial_path(options.output)} is", file=sys.stderr)
        return _INTERRUPTED + stop.number
    except (torch.OutOfMemoryError, MemoryError) as error:
        print(_out_of_memory(error), file=sys.stderr)
        return MACHINE
    except RuntimeError as error:
        if "can't allocate memory" not in str(error) and "not enough memory" not in str(error):  # What the allocator of the CPU says.
            raise
        print(_out_of_memory(error), file=sys.stderr)
        return MACHINE


def _out_of_memory(error: BaseException) -> MoaError:
    help = "try a smaller --query-block (64 is the least), shorter lengths, or --dtype bfloat16; a profile goes on where it stopped"
    return MoaError("MOA7408", f"out of memory: {str(error).splitlines()[0][:200] if str(error) else 'the allocator gave up'}", help)


def _lengths(text: str) -> list[int]:
    lengths = []
    for part in text.split(","):
        if not part.strip().isdecimal() or int(part) < 64 or int(part) % 64 or int(part) > 1 << 24:
            raise bad_option(f"--lengths: {part.strip()[:40]!r} is no multiple of 64")
        lengths.append(int(part))
    if len(set(lengths)) != len(lengths):
        raise bad_option("--lengths has a length twice")
    return sorted(lengths)


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


def _profile(options, lengths: list[int], show) -> None:
    from .data import read_samples
    from .partial import Partial
    from .profile import run_profile

    model, samples, files = _load(options, lambda encoder: read_samples(options.data, lengths, options.samples, encoder))
    trained = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if trained and lengths[-1] > trained:
        print(f"warning: length {lengths[-1]} is more than the {trained} positions that the model was made for", file=sys.stderr)
    fingerprint = {
        "model": files.files(),
        "data": samples.sha256,
        "lengths": lengths,
        "samples": options.samples,
        "dtype": str(model.dtype),
        "target": options.target,
    }
    partial = Partial(partial_path(options.output), fingerprint, guard=files.require_unchanged)
    if options.restart:
        partial.remove()
    partial.load()
    run_profile(model, options.model, samples, options.output, partial, options.query_block, show, options.target, files.value())


def _validate(options, show) -> None:
    from .data import read_long_samples
    from .validate import read_request, run_validation, write_answer

    request = read_request(options.request)
    model, samples, files = _load(options, lambda encoder: read_long_samples(options.data, request["length"], options.samples, encoder))
    answer = run_validation(model, samples, request, options.query_block, show, options.request)
    files.require_unchanged()
    write_answer(options.output, answer)


class _Bar:
    """Progress on stderr, if that is a terminal."""

    def __init__(self, quiet: bool):
        self._off = quiet or not sys.stderr.isatty() or os.environ.get("TERM") == "dumb"
        self._bar = None

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self._bar is not None:
            self._bar.close()

    def show(self, done: int, of: int, text: str) -> None:
        if self._off:
            return
        if self._bar is None:
            from tqdm import tqdm

            self._bar = tqdm(total=of, initial=done - 1, unit="sample", file=sys.stderr)
        self._bar.set_postfix_str(text, refresh=False)
        self._bar.update(done - self._bar.n)
