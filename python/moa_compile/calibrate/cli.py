"""The command `calibrate`."""

import argparse

from ..command_line.command import Command, Show, partial_path
from ..command_line.options import (
    add_model_option,
    add_run_options,
    bad_option,
    count,
    lengths,
)
from ..command_line.output import print_result
from ..tasks import KINDS, PROMPT_FORMATS
from .plan import Plan
from .prompts import Prompter
from .sources import Generated, Given, Source


def _kinds(text: str) -> tuple[str, ...]:
    kinds = tuple(dict.fromkeys(word.strip() for word in text.split(",")))
    for kind in kinds:
        if kind not in KINDS:
            raise bad_option(f"--kinds: {kind[:40]!r} is none of {', '.join(KINDS)}")
    return kinds


def _add_options(parser: argparse.ArgumentParser) -> None:
    add_model_option(parser)
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--questions",
        metavar="FILE.jsonl",
        help='the user\'s own: {"context", "question", "answer"} on each line',
    )
    source.add_argument(
        "--texts", metavar="PATH", help="prose that facts are hidden in: .txt and .md files"
    )
    kinds = f"of questions of our own (default: {','.join(KINDS)})"
    parser.add_argument("--kinds", type=_kinds, metavar="LIST", help=kinds)
    parser.add_argument(
        "--lengths", required=True, type=lengths, metavar="N,N,...", help="multiples of 64"
    )
    parser.add_argument("--samples", type=count("--samples"), default=16, help="of a length (16)")
    parser.add_argument(
        "--answer-tokens",
        type=count("--answer-tokens"),
        default=64,
        metavar="N",
        help="the most tokens of an answer (64)",
    )
    parser.add_argument("--seed", type=count("--seed", 0), default=0, metavar="N")
    keep = parser.add_mutually_exclusive_group()
    keep.add_argument(
        "--keep-right", action="store_true", help="keep only what the model answers right"
    )
    keep.add_argument(
        "--keep-all", action="store_true", help="go on though the model answers nothing right"
    )
    parser.add_argument("--prompt", choices=PROMPT_FORMATS, default="auto")
    parser.add_argument(
        "--batch", type=count("--batch"), metavar="N", help="prompts at once (default: by length)"
    )
    parser.add_argument("--output", required=True, metavar="FILE.jsonl")
    parser.add_argument(
        "--restart", action="store_true", help="do not go on from the partial file of another run"
    )
    add_run_options(parser)


def _plan(options: argparse.Namespace) -> Plan:
    if options.questions is not None and options.kinds is not None:
        raise bad_option("--kinds are of our own questions, and --questions are given")
    if options.texts is not None and "needles" not in (options.kinds or KINDS):
        raise bad_option("--texts are for needles, which --kinds leaves out")
    if options.answer_tokens >= options.lengths[0]:
        raise bad_option(f"--answer-tokens: the length {options.lengths[0]} is no longer than them")
    return Plan(
        options.lengths,
        options.samples,
        options.answer_tokens,
        options.keep_right,
        options.keep_all,
        options.batch,
    )


def _calibrate(options: argparse.Namespace, show: Show) -> int:
    plan = _plan(options)
    from ..command_line.journal import Journal
    from ..search.fingerprint import Fingerprint
    from ..search.model import (
        device_of,
        load_model,
        load_tokenizer,
        require_config,
        text_vocabulary,
        warn_of_positions,
    )
    from ..search.tensorfile import require_writable
    from ..tasks.prompt import is_chat
    from .asker import Asker
    from .run import run_calibration
    from .summary import summary

    # What is cheap to find out comes before gigabytes of weights are read.
    require_writable(options.output)
    device = device_of(options.device)
    require_config(options.model)
    files = Fingerprint(options.model)
    vocabulary = text_vocabulary(options.model)
    help = "put the tokenizer's files there"
    tokenizer = load_tokenizer(options.model, "questions are text", help)
    chat = is_chat(tokenizer, options.prompt)
    source = _source(options, Prompter(tokenizer, options.prompt, vocabulary))
    source.require(plan)
    key = {
        "model": files.files(),
        **source.key,
        "lengths": plan.lengths,
        "samples": plan.samples,
        "answerTokens": plan.answer_tokens,
        "keepRight": plan.keep_right,
        "prompt": options.prompt,
        "dtype": options.dtype,
    }
    journal = Journal(partial_path(options.output), "moa-calibration-partial", key)
    if options.restart:
        journal.remove()
    journal.open()
    model = load_model(options.model, device, options.dtype)
    files.require_unchanged()
    warn_of_positions(model, plan.lengths[-1])
    asker = Asker(model, tokenizer, chat, plan.answer_tokens)
    guard = files.require_unchanged
    tallies = run_calibration(asker, source, plan, journal, options.output, guard, show)
    if not options.quiet:
        print_result(summary(tallies, options.output))
    return 0


def _source(options: argparse.Namespace, prompter: Prompter) -> Source:
    from ..tasks import Texts
    from .questions import read_questions

    if options.questions is not None:
        return Given(prompter, read_questions(options.questions, options.keep_right))
    texts = None if options.texts is None else Texts.read(options.texts)
    return Generated(prompter, options.kinds or KINDS, options.seed, texts)


COMMAND = Command(
    "calibrate",
    "make samples for profiles: questions about long texts, with the model's own answers",
    _add_options,
    _calibrate,
    partial_path,
    "try --batch 1, shorter lengths, or --dtype bfloat16; the same command goes on where it"
    " stopped",
)
