"""The kinds of questions, and one function that makes all of them."""

from ..search.codes import MoaError
from .draft import Builder, Draft, LengthOf
from .draws import Draws, seed_of
from .facts import Facts
from .filler import Filler
from .fit import largest_fit
from .lines import Lines
from .needles import Needles
from .pairs import Pairs
from .question import Question
from .texts import Prose, bad_texts

KINDS = ("lines", "pairs", "needles", "facts")
_FULL = 0.98
_WORDS = 512
"""The most of a lead-in."""


def make_question(
    kind: str,
    length_of: LengthOf,
    tokens: int,
    depth: float | None,
    seed: int,
    texts: Prose | None,
) -> Question:
    """A question of a kind whose context has at most `tokens` tokens, and hardly fewer: at least
    98 % of them, or 12 fewer. Equal arguments give equal questions.

    `length_of`: how many tokens a text has. `depth`: where the evidence lies, from 0 to 1; None: as
    the seed has it. `texts`: prose for needles; None: our own. Raises MOA7423 if so few tokens hold
    no question, MOA7422 if the texts are too short.
    """
    if kind not in KINDS or not 0 <= (depth or 0) <= 1:
        raise ValueError(f"kind {kind!r}, depth {depth!r}")
    if depth is None:
        depth = Draws("depth", kind, seed).fraction()
    prose = texts if texts is not None else Filler()
    builder = _builder(kind, seed, depth, tokens, prose)
    draft = _filled(builder, length_of, tokens, seed_of("lead", kind, seed))
    if draft is None:
        message = f"{tokens} tokens hold no question of the kind {kind}"
        raise MoaError("MOA7423", message, "ask for longer lengths, or leave the kind out")
    if builder.is_fine and (found := length_of(draft.context)) < min(_FULL * tokens, tokens - 12):
        message = f"{prose.name} has too little text: {found} tokens with the facts hidden in it"
        raise bad_texts(f"{message}, {tokens} are wanted", "add texts, or ask for shorter lengths")
    return Question(kind, draft.context, draft.question, draft.answer, depth, draft.evidence)


def _builder(kind: str, seed: int, depth: float, tokens: int, prose: Prose) -> Builder:
    if kind == "needles":
        return Needles(seed, depth, prose)
    if kind == "facts":
        return Facts(seed, depth, tokens)
    return Lines(seed, depth, tokens) if kind == "lines" else Pairs(seed, depth, tokens)


def _filled(builder: Builder, length_of: LengthOf, tokens: int, seed: int) -> Draft | None:
    """The draft of the largest size that fits, with as long a lead-in as fits then."""
    slack = tokens // 256 if builder.is_fine else 0
    size = largest_fit(
        lambda size: length_of(builder.draft(size, "").context),
        tokens,
        builder.least,
        builder.most,
        slack,
    )
    if size is None:
        return None
    draft = builder.draft(size, "")
    missing = tokens - length_of(draft.context)
    if builder.is_fine or missing == 0:
        return draft
    words = Filler().stretch(seed, 16 * _WORDS).split()[:_WORDS]

    def lead(count: int) -> str:
        return "".join(f" {word}" for word in words[:count])

    # What the words add is measured without the lines, which are long.
    before = length_of("x\n")
    count = largest_fit(lambda count: length_of(f"x{lead(count)}\n") - before, missing, 0, _WORDS)
    for words_left in range(count or 0, 0, -1):
        filled = builder.draft(size, lead(words_left))
        if length_of(filled.context) <= tokens:
            return filled
    return draft
