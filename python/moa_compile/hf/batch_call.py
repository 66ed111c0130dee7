"""`generate_batch`: texts of many prompts from an attached model (`batch.py` says how)."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from ..session_options import bad_options, check_integer
from .attach import Attachment, attached
from .batch import Batch, Generated, Prompt
from .batch_steps import BatchSteps
from .model_state import ModelState
from .problems import problem
from .sampling import Choose, greedy, sampled
from .sessions import forget_frames, is_out_of_memory
from .step_graph import EagerStep

_SLOTS: Final = 32


def generate_batch(
    model: Any,
    prompts: Iterable[Prompt | None],
    *,
    max_new_tokens: int,
    slots: int | None = None,
    pages: int | None = None,
    length_bound: int | None = None,
    budget: int = 512,
    stop: int | Iterable[int] | None = None,
    choose: Choose | None = None,
    temperature: float | None = None,
    top_k: int = 0,
    seed: int = 0,
    in_order: bool = True,
) -> Iterator[Generated]:
    """Generates a text for each prompt, as many at once as slots and pages allow. Texts are those
    of `generate` for each prompt alone, but for rounding.

    prompts: token ids of each; from an iterator they are drawn as places come free, and None says
    that none has arrived yet. max_new_tokens: of each text. slots: sequences at once. pages: of the
    pool, fewer than all slots may need (`Package.session`): the youngest sequences then wait.
    length_bound: of all sequences; by default that of `attach`, or each prompt's own length and its
    new tokens. budget: tokens in a step. stop: tokens that end a text; by default the model's. Of
    `choose`, or a temperature (`sampling.py`), or neither: the most likely token. in_order: yields
    texts in the order of prompts; otherwise as they end.

    Memory is taken when the first text is asked for, and freed when the iterator ends, is closed or
    raises. Raises MOA6106, MOA6303, MOA6308, MOA6309, MOA6311, and MOA6109 where one sequence alone
    needs more than all pages.
    """
    attachment = attached(model)
    if not attachment.model_forward.can_be_static:
        message = f"{type(model).__name__} takes no positions, or no logits_to_keep"
        raise problem("unsupportedModel", message)
    if attachment.forwards.decoder.training:
        raise problem("modelState", "the model is in training")
    new_tokens = check_integer("max_new_tokens", max_new_tokens, 1, 2**27, "2^27", " tokens")
    bound = attachment.forwards.length_bound if length_bound is None else length_bound
    longest = bound
    if longest is None:
        if not isinstance(prompts, Sequence):
            message = "prompts have no length bound, and come one by one"
            raise problem("overBound", message, "pass length_bound")
        longest = max((len(each) for each in prompts if each is not None), default=1)
        longest += new_tokens - 1
    longest = check_integer("length_bound", longest, 1, 2**27, "2^27", " tokens")
    if slots is None:
        # One holds what prompts have in common.
        slots = min(len(prompts) + 1, _SLOTS) if isinstance(prompts, Sequence) else _SLOTS
    slots = check_integer("slots", slots, 1, 65536, "65536")
    budget = check_integer("budget", max(budget, slots), 1, 2**24, "2^24", " tokens")
    options = {
        "budget": budget,
        "new_tokens": new_tokens,
        "bound": bound,
        "stop": _stop_tokens(model, stop),
        "choose": _chooser(choose, temperature, top_k, seed),
        "least": attachment.package.definition["layout"]["pageTokens"],
    }
    texts = _texts(model, attachment, prompts, slots, longest, pages, options)
    return _ordered(texts) if in_order else texts


def _texts(
    model: Any,
    attachment: Attachment,
    prompts: Iterable[Prompt | None],
    slots: int,
    length_bound: int,
    pages: int | None,
    options: dict[str, Any],
) -> Iterator[Generated]:
    session = attachment.forwards.pool.make(slots, length_bound, pages)
    decoding, forwards = attachment.decoding, attachment.forwards
    state = ModelState(model, forwards.decoder)
    can_capture = decoding is not None and state.obstacle is None and state.is_plain()
    make = decoding.make if decoding is not None and can_capture else EagerStep
    try:
        with session:
            steps = BatchSteps(
                attachment.model_forward, forwards, session, options["budget"], make, state
            )
            yield from Batch(session, steps, prompts, **options).run()
    except BaseException as error:
        if is_out_of_memory(error):
            forget_frames(error)
        raise


def _ordered(texts: Iterator[Generated]) -> Iterator[Generated]:
    ended: dict[int, Generated] = {}
    following = 0
    for text in texts:
        ended[text.prompt] = text
        while following in ended:
            yield ended.pop(following)
            following += 1


def _stop_tokens(model: Any, stop: int | Iterable[int] | None) -> frozenset[int]:
    own = model.generation_config.eos_token_id if stop is None else stop
    if own is None:
        return frozenset()
    return frozenset([own] if isinstance(own, int) else own)


def _chooser(choose: Choose | None, temperature: float | None, top_k: int, seed: int) -> Choose:
    if choose is not None and (temperature is not None or top_k):
        raise bad_options("choose and temperature or top_k are given; one of them chooses")
    if choose is not None:
        return choose
    if temperature is None and not top_k:
        return greedy
    heat = 1.0 if temperature is None else float(temperature)
    if not 0 < heat < float("inf"):
        raise bad_options(f"temperature is {temperature}; it is above 0, or left out")
    return sampled(heat, check_integer("top_k", top_k, 0, 2**31, "2^31"), seed)
