"""The loop of a conversation: questions from standard input, replies to standard output, and
commands that begin with a slash."""

import contextlib
import signal
import sys
from collections.abc import Iterator
from typing import Any, Final, TextIO

from ..errors import MoaError
from .replies import CacheBytes, Replies, ReplyTimes

_HELP: Final = """/stats   speed of the last reply, and memory beside a dense cache
/reset   forget the conversation
/quit    end it, as the end of the input does
//...    a question that begins with a slash
A line that ends with \\ goes on in the next one. Ctrl-C ends the reply under way."""
_MIB: Final = 2**20


def converse(replies: Replies, questions: TextIO, out: TextIO) -> None:
    """Reads questions until their end or `/quit`. On a terminal it asks for them."""
    asks = questions.isatty() and out.isatty()
    if asks:
        print("/help lists the commands", file=out)
    while True:
        line = _question(questions, out, asks)
        if line is None:
            return
        if line.startswith("/") and not line.startswith("//"):
            if line.split()[0] == "/quit":
                return
            print(_command(replies, line.split()[0]), file=out, flush=True)
        elif line.strip():
            _reply(replies, line[1:] if line.startswith("//") else line, out)


def _question(questions: TextIO, out: TextIO, asks: bool) -> str | None:
    """The next question; None at the end of the input."""
    lines: list[str] = []
    while True:
        if asks:
            try:
                # Reads from a terminal with its line editing.
                line = input("... " if lines else "> ")
            except EOFError:
                print(file=out)
                return None
        else:
            line = questions.readline()
            if not line:
                return "\n".join(lines) if lines else None
            line = line.rstrip("\n")
        if not line.endswith("\\"):
            return "\n".join([*lines, line])
        lines.append(line[:-1])


def _command(replies: Replies, command: str) -> str:
    if command == "/stats":
        return stats(replies.last, replies.bytes())
    if command == "/reset":
        replies.reset()
        return "the conversation is forgotten"
    return _HELP if command == "/help" else f"there is no {command}\n{_HELP}"


def _reply(replies: Replies, question: str, out: TextIO) -> None:
    tokens = replies.tokens_of(question)
    if tokens >= replies.length_bound:
        message = (
            f"the conversation has {tokens} tokens with this question, and the length bound is "
            f"{replies.length_bound}: /reset forgets it, --length-bound sets another"
        )
        print(message, file=out, flush=True)
        return

    def show(text: str) -> None:
        out.write(text)
        out.flush()

    try:
        with _interrupted_by_ctrl_c(replies):
            replies.reply(question, show)
    except MoaError as error:
        print(f"\n{error}", file=sys.stderr)
    print(file=out, flush=True)


@contextlib.contextmanager
def _interrupted_by_ctrl_c(replies: Replies) -> Iterator[None]:
    """In here Ctrl-C ends the reply, and not the program."""

    def cancel(*_: Any) -> None:
        replies.cancel()

    before = signal.signal(signal.SIGINT, cancel)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def stats(times: ReplyTimes | None, memory: CacheBytes | None) -> str:
    """What `/stats` shows."""
    if times is None or memory is None:
        return "there was no reply yet"
    rate = (times.reply - 1) / times.rest_s if times.rest_s > 0 else 0.0
    after = f", then {rate:.1f} tokens/s" if times.reply > 1 else ""
    return "\n".join(
        [
            f"last reply    {times.reply} tokens; the first {times.first_s:.2f} s after "
            f"{times.prompt} new ones of the prompt{after}",
            f"conversation  {memory.tokens} of at most {memory.length_bound} tokens",
            f"pages held    {_mib(memory.held)}; a dense cache of as many tokens takes "
            f"{_mib(memory.dense)}{_share(memory.held, memory.dense)}",
            f"allocated     {_mib(memory.total)} for all {memory.length_bound} tokens; dense "
            f"{_mib(memory.dense_total)}{_share(memory.total, memory.dense_total)}",
        ]
    )


def _mib(count: int) -> str:
    return f"{count / _MIB:.2f} MiB"


def _share(part: int, whole: int) -> str:
    return f" ({part / whole:.2f} of it)" if whole > 0 else ""
