"""Replies of an attached model, token by token, on one cache for the whole conversation."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from ..hf.attach import attached, new_cache
from ..hf.cache import MoaCache
from .conversation import Conversation


@dataclass
class ReplyTimes:
    """prompt: new tokens that were fed before the first one of the reply. reply: tokens generated.
    first_s: seconds until the first token; rest_s: for the others."""

    prompt: int
    reply: int = 0
    first_s: float = 0.0
    rest_s: float = 0.0


@dataclass(frozen=True)
class CacheBytes:
    """tokens: of the conversation in the cache. held: bytes of their pages; dense: what a dense
    cache would take for as many tokens. total: bytes of the whole session, which has memory for
    `length_bound` tokens; dense_total: of a dense cache for that many."""

    tokens: int
    length_bound: int
    held: int
    dense: int
    total: int
    dense_total: int


class Replies:
    """Replies of one attached model.

    length_bound: the most tokens of a conversation. new_tokens: the most of a reply. system,
    is_chat: as of `Conversation`. options: of `generate`, such as `do_sample` and `temperature`.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        length_bound: int,
        new_tokens: int,
        system: str | None = None,
        is_chat: bool = True,
        options: dict[str, Any] | None = None,
    ) -> None:
        self.length_bound, self._new_tokens = length_bound, new_tokens
        self._model, self._tokenizer, self._system = model, tokenizer, system
        self._is_chat, self._options = is_chat, options or {}
        self._conversation = Conversation(tokenizer, system, is_chat)
        self._cache: MoaCache | None = None
        self._is_cancelled = False
        self.last: ReplyTimes | None = None

    def cancel(self) -> None:
        """Ends the reply under way after its next token. May be called by a signal's handler."""
        self._is_cancelled = True

    def reset(self) -> None:
        """Forgets the conversation, and frees its memory for the next one."""
        self._conversation = Conversation(self._tokenizer, self._system, self._is_chat)
        self._drop_cache()
        self.last = None

    def tokens_of(self, question: str) -> int:
        """Tokens of the conversation with a question, before its reply."""
        return len(self._conversation.ask(question)[0])

    def reply(self, question: str, show: Callable[[str], None]) -> str:
        """Generates a reply, and shows its text piece by piece.

        Where it raises, the conversation is that of before, and its cache is filled anew by the
        next question.
        """
        conversation = self._conversation
        ids, continues = conversation.ask(question)
        if not continues or self._cache is None:
            self._drop_cache()
            self._cache = new_cache(self._model, batch_size=1, length_bound=self.length_bound)
        cached = self._cache.content.columns
        self._is_cancelled = False
        shown = _Shown(self._tokenizer, show, len(ids) - cached, lambda: self._is_cancelled)
        try:
            output = self._generate(ids, shown)
        except BaseException:
            self._drop_cache()
            raise
        reply = output[0, len(ids) :].tolist()
        if reply and reply[-1] in self._stop_tokens():
            reply.pop()
        self.last = shown.times
        return conversation.answer(question, ids, reply)

    def bytes(self) -> CacheBytes | None:
        """Of the conversation's cache; None before the first reply."""
        cache = self._cache
        session = None if cache is None else cache.content.session
        if cache is None or session is None:
            return None
        usage, memory = session.usage(), session.memory
        dense = memory.dense // (session.slots * session.length_bound)
        tokens = cache.content.columns
        return CacheBytes(
            tokens=tokens,
            length_bound=self.length_bound,
            held=usage.held * usage.page_bytes,
            dense=dense * tokens,
            total=memory.total,
            dense_total=dense * self.length_bound,
        )

    def _generate(self, ids: list[int], shown: "_Shown") -> torch.Tensor:
        given = torch.tensor([ids], device=self._model.device)
        with torch.no_grad():
            output: torch.Tensor = self._model.generate(
                input_ids=given,
                attention_mask=torch.ones_like(given),
                max_new_tokens=min(self._new_tokens, self.length_bound - len(ids) + 1),
                streamer=shown,
                stopping_criteria=[shown],
                **{attached(self._model).forwards.cache_name: self._cache},
                **self._options,
            )
        return output

    def _stop_tokens(self) -> set[int]:
        own = self._options.get("eos_token_id", self._model.generation_config.eos_token_id)
        if own is None:
            return set()
        return {own} if isinstance(own, int) else set(own)

    def _drop_cache(self) -> None:
        if self._cache is not None:
            self._cache.close()
            self._cache = None


class _Shown:
    """A streamer and a stopping criterion of `generate`: shows text as soon as it is sure, and
    notes times."""

    def __init__(
        self,
        tokenizer: Any,
        show: Callable[[str], None],
        prompt: int,
        is_cancelled: Callable[[], bool],
    ) -> None:
        self.times = ReplyTimes(prompt)
        self._tokenizer, self._show, self._is_cancelled = tokenizer, show, is_cancelled
        # Tokens since the last line, and what is shown of them.
        self._ids: list[int] = []
        self._shown = ""
        self._begin = time.perf_counter()
        self._is_prompt = True

    def put(self, value: torch.Tensor) -> None:
        """Called with the prompt, and then with each token."""
        if self._is_prompt:
            self._is_prompt = False
            return
        now = time.perf_counter()
        if self.times.reply == 0:
            self.times.first_s = now - self._begin
        else:
            self.times.rest_s = now - self._begin - self.times.first_s
        self.times.reply += value.numel()
        self._ids += value.flatten().tolist()
        text = self._text()
        # The end of a character may be in the next token.
        if text.endswith("\N{REPLACEMENT CHARACTER}"):
            return
        self._show(text[len(self._shown) :])
        self._shown = text
        if text.endswith("\n"):
            # Decoding all of a long reply for each token would take longer than the tokens do.
            self._ids, self._shown = [], ""

    def end(self) -> None:
        """Shows what was held back."""
        self._show(self._text()[len(self._shown) :])

    def _text(self) -> str:
        text: str = self._tokenizer.decode(self._ids, skip_special_tokens=True)
        return text

    def __call__(self, ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        return torch.full((ids.shape[0],), self._is_cancelled(), device=ids.device)
