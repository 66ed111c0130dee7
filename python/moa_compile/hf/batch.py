"""`generate_batch`: many prompts on few slots and pages, as a small reference of serving.

    waiting --admit--> running: prefill in chunks --> decode --> ended
       ^                  |
       +----- preempt ----+   the pool is full: the youngest sequence gives its pages back, and its
                              tokens are fed again later

Each step feeds one token of every sequence that decodes, and with what is left of its budget of
tokens, prompts. Tokens that prompts have in common are fed once, as a sequence that others are
forked from."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from ..errors import CODES, MoaError
from ..session import Session
from .batch_steps import BatchSteps
from .decode_graph import numbers_on
from .problems import problem
from .sampling import Choose

Prompt = Sequence[int] | torch.Tensor


class Generated(NamedTuple):
    """prompt: its number, from 0. tokens: new ones, with the stop token if there was one."""

    prompt: int
    tokens: list[int]


@dataclass(eq=False)
class _Sequence:
    """tokens: of the prompt and new ones, of which `fed` are in the cache."""

    number: int
    tokens: list[int]
    bound: int
    prompt: int = 0
    fed: int = 0
    slot: int = -1

    def begins_with(self, other: "_Sequence") -> bool:
        """Whether it can be a fork of another one, and has tokens left to feed."""
        end = len(other.tokens)
        return self.bound == other.bound and self.tokens[:-1][:end] == other.tokens


class Batch:
    """One call of `generate_batch`.

    prompts: token ids, or a tensor of them; None where none has arrived yet. bound: the length
    bound of all sequences; None: each one's prompt and new tokens. least: a common beginning of
    fewer tokens is not shared.
    """

    def __init__(
        self,
        session: Session,
        steps: BatchSteps,
        prompts: Iterable[Prompt | None],
        *,
        budget: int,
        new_tokens: int,
        bound: int | None,
        stop: frozenset[int],
        choose: Choose,
        least: int,
    ) -> None:
        self._session, self._steps, self._choose = session, steps, choose
        self._budget, self._new_tokens, self._bound = budget, new_tokens, bound
        self._stop, self._least = stop, least
        self._prompts: Iterator[Prompt | None] | None = iter(prompts)
        self._numbers = 0
        self._waiting: deque[_Sequence] = deque()
        # In the order in which they were admitted.
        self._running: list[_Sequence] = []
        self._prefix: _Sequence | None = None
        # One sequence needs a slot beside the prefix.
        self._shares = session.slots > 1

    def run(self) -> Iterator[Generated]:
        """Yields texts as they end."""
        while self._prompts is not None or self._waiting or self._running:
            self._receive()
            self._admit()
            if self._running or self._prefix is not None:
                yield from self._step()

    # Which sequences run

    def _receive(self) -> None:
        """Takes prompts, as far as they are looked at."""
        while self._prompts is not None and len(self._waiting) < 2 * self._session.slots:
            try:
                prompt = next(self._prompts)
            except StopIteration:
                self._prompts = None
                return
            if prompt is None:
                return
            tokens = prompt.tolist() if isinstance(prompt, torch.Tensor) else list(prompt)
            longest = len(tokens) + self._new_tokens - 1
            bound = longest if self._bound is None else self._bound
            if not tokens or longest > bound or bound > self._session.length_bound:
                message = f"prompt {self._numbers} has {len(tokens)} tokens, and may get "
                message += f"{self._new_tokens}; the length bound is {self._session.length_bound}"
                raise problem("overBound", message)
            self._waiting.append(_Sequence(self._numbers, tokens, bound, len(tokens)))
            self._numbers += 1

    def _admit(self) -> None:
        """Begins those that wait, in order, while there are slots and pages."""
        prefix = self._prefix
        if prefix is not None and not any(each.begins_with(prefix) for each in self._waiting):
            self._drop_prefix()
        while self._waiting and 0 in self._session.length_bounds():
            first = self._waiting[0]
            if self._prefix is None and self._shares:
                self._begin_prefix(first)
            prefix = self._prefix
            shared = prefix if prefix is not None and first.begins_with(prefix) else None
            if shared is not None and shared.fed < len(shared.tokens):
                return
            if self._running and not self._fits(first, shared):
                return
            if shared is None:
                first.slot = self._session.add(length_bound=first.bound)
            else:
                first.slot, first.fed = self._session.fork(shared.slot), shared.fed
            self._running.append(self._waiting.popleft())

    def _begin_prefix(self, first: _Sequence) -> None:
        """Begins the sequence that saves most: so many tokens for so many prompts."""
        common = sorted(
            (
                _common(first.tokens[:-1], each.tokens[:-1])
                for each in self._waiting
                if each is not first and each.bound == first.bound
            ),
            reverse=True,
        )
        length = max(common, key=lambda n: n * sum(n <= each for each in common), default=0)
        prefix = _Sequence(-1, first.tokens[:length], first.bound)
        if length >= self._least and (not self._running or self._fits(prefix, None)):
            prefix.slot = self._session.add(length_bound=first.bound)
            self._prefix = prefix

    def _fits(self, sequence: _Sequence, shared: _Sequence | None) -> bool:
        """Whether the pool has pages for its tokens, beside what others are about to feed, and for
        some more of all: who is preempted soon was begun in vain."""
        needed = sum(map(self._pages, (sequence, *self._running)))
        if shared is not None:
            needed -= self._session.pages_for(shared.fed, length_bound=shared.bound)
        return needed <= self._session.usage().free

    def _pages(self, sequence: _Sequence) -> int:
        """That it lacks for its tokens and `least` more."""
        count, bound = len(sequence.tokens) + self._least, sequence.bound
        held = self._session.pages_for(sequence.fed, length_bound=bound)
        return self._session.pages_for(min(count, bound), length_bound=bound) - held

    def _preempt(self) -> bool:
        """Gives pages back: those of the youngest sequence, while there is another one; then of
        the prefix. False where there are none."""
        if len(self._running) > 1:
            youngest = self._running.pop()
            self._session.remove(youngest.slot)
            youngest.slot, youngest.fed = -1, 0
            self._waiting.appendleft(youngest)
            return True
        if self._prefix is None:
            return False
        self._drop_prefix()
        self._shares = False
        return True

    def _drop_prefix(self) -> None:
        assert self._prefix is not None, "internal error: there is no prefix"
        self._session.remove(self._prefix.slot)
        self._prefix = None

    # Steps

    def _step(self) -> list[Generated]:
        """One step; returns the texts that ended in it."""
        while True:
            new = self._new_tokens_of_step()
            if not new:
                return []
            try:
                logits = self._steps.run({each.slot: tokens for each, tokens in new.items()})
                break
            except MoaError as error:
                if error.code != CODES["poolFull"] or not self._preempt():
                    raise
        for each, tokens in new.items():
            each.fed += len(tokens)
        ready = [each for each in self._running if each in new and each.fed == len(each.tokens)]
        if not ready:
            return []
        rows = logits.index_select(0, numbers_on(logits.device, [each.slot for each in ready]))
        # The only time in a step that the host waits for the device.
        chosen = self._choose(rows.float(), [each.number for each in ready]).tolist()
        for each, token in zip(ready, chosen, strict=True):
            each.tokens.append(token)
        return [self._end(each) for each in ready if self._is_whole(each)]

    def _new_tokens_of_step(self) -> dict[_Sequence, list[int]]:
        """New tokens of a step: of those that decode, then of prompts in order, the prefix's
        first."""
        new = {each: each.tokens[-1:] for each in self._running if each.fed == len(each.tokens) - 1}
        left = self._budget - len(new)
        prefix = [] if self._prefix is None else [self._prefix]
        for each in (*prefix, *self._running):
            count = min(left, len(each.tokens) - each.fed)
            if each not in new and count > 0:
                new[each] = each.tokens[each.fed : each.fed + count]
                left -= count
        return new

    def _is_whole(self, sequence: _Sequence) -> bool:
        new = len(sequence.tokens) - sequence.prompt
        return new == self._new_tokens or sequence.tokens[-1] in self._stop

    def _end(self, sequence: _Sequence) -> Generated:
        self._running.remove(sequence)
        self._session.remove(sequence.slot)
        return Generated(sequence.number, sequence.tokens[sequence.prompt :])


def _common(a: Sequence[int], b: Sequence[int]) -> int:
    """How many tokens two texts begin with alike."""
    return next(
        (n for n, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b))
    )
