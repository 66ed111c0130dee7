"""Options that commands share, and the types of their values."""

import argparse
from collections.abc import Callable
from typing import NoReturn

from ..search.codes import MoaError


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise bad_option(message)


def bad_option(message: str) -> MoaError:
    help = "python -m moa_compile --help lists the commands and their options"
    return MoaError("MOA7404", message, help)


def add_model_option(parser: argparse.ArgumentParser) -> None:
    help = "config.json and weights; nothing is downloaded"
    parser.add_argument("--model", required=True, metavar="FOLDER", help=help)


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """How the model runs."""
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    types = ("auto", "bfloat16", "float16", "float32")
    parser.add_argument("--dtype", choices=types, default="auto", help="auto: that of the weights")
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")


def count(name: str, least: int = 1) -> Callable[[str], int]:
    """The type of an option that is an integer."""

    def parse(text: str) -> int:
        value = int(text)
        if value < least:
            raise bad_option(f"{name} is less than {least}")
        return value

    parse.__name__ = "int"  # What argparse calls it where the text is no number.
    return parse


def lengths(text: str) -> list[int]:
    """The type of --lengths: multiples of 64, rising."""
    found = []
    for part in text.split(","):
        word = part.strip()
        if not word.isdecimal() or int(word) < 64 or int(word) % 64 or int(word) > 1 << 24:
            raise bad_option(f"--lengths: {word[:40]!r} is no multiple of 64")
        found.append(int(word))
    if len(set(found)) != len(found):
        raise bad_option("--lengths has a length twice")
    return sorted(found)
