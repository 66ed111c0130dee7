"""Questions about long texts: made by seed, cut to a length, put into a prompt, and judged.

`make_question` makes the same question from the same arguments on every machine. Nothing here
imports torch or transformers.
"""

from .cut import cut_context, only_evidence
from .kinds import KINDS, make_question
from .prompt import PROMPT_FORMATS, encode, render
from .question import Question
from .right import holds
from .texts import Texts

__all__ = [
    "KINDS",
    "PROMPT_FORMATS",
    "Question",
    "Texts",
    "cut_context",
    "encode",
    "holds",
    "make_question",
    "only_evidence",
    "render",
]
