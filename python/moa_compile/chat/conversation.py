"""A conversation as tokens. Those of replies are what the model generated, and not what its text
would be tokenised to, so each turn continues the cache of the turn before it."""

from typing import Any

from ..tasks.prompt import begin_tokens


class Conversation:
    """Messages, and the tokens that the model was given for them.

    tokenizer: of transformers. system: the system prompt; None for none. is_chat: questions and
    replies are put into the tokenizer's chat template; otherwise they are one text, a line each,
    which the model goes on with.
    """

    def __init__(self, tokenizer: Any, system: str | None = None, is_chat: bool = True) -> None:
        self._tokenizer, self._is_chat = tokenizer, is_chat
        self._messages: list[dict[str, str]] = []
        if system is not None:
            self._messages.append({"role": "system", "content": system})
        # The tokens up to the end of the last reply; the text before it, and its own.
        self._ids: list[int] = []
        self._before, self._reply = "", ""

    @property
    def tokens(self) -> int:
        """Of everything up to the last reply."""
        return len(self._ids)

    def ask(self, question: str) -> tuple[list[int], bool]:
        """All tokens up to where the reply begins, and whether they continue those of the turn
        before. They do not where the template rewrites earlier turns, such as one that drops
        what the model thought. Nothing changes until `answer`."""
        text = self._rendered(question)
        new = self._behind_reply(text)
        if new is None:
            begin = [] if self._is_chat else begin_tokens(self._tokenizer)
            return [*begin, *self._tokens_of(text)], False
        return [*self._ids, *self._tokens_of(new)], True

    def answer(self, question: str, ids: list[int], reply: list[int]) -> str:
        """Adds a turn. ids: what `ask` gave; reply: generated tokens, without the one that ended
        them. Returns the text of the reply."""
        text: str = self._tokenizer.decode(reply, skip_special_tokens=True)
        rendered = self._rendered(question)
        self._messages += [
            {"role": "user", "content": question},
            {"role": "assistant", "content": text},
        ]
        self._ids = [*ids, *reply]
        self._before, self._reply = rendered, text
        return text

    def _behind_reply(self, text: str) -> str | None:
        """What comes behind the last reply in a text; None where the text before is another one.
        Templates may leave out blanks around a reply."""
        if not self._ids or not text.startswith(self._before):
            return None
        rest = text[len(self._before) :]
        for reply in (self._reply, self._reply.rstrip(), self._reply.strip()):
            if rest.startswith(reply):
                return rest[len(reply) :]
        return None

    def _tokens_of(self, text: str) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def _rendered(self, question: str) -> str:
        messages = [*self._messages, {"role": "user", "content": question}]
        if not self._is_chat:
            return "\n".join(_lines(messages))
        text: str = self._tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, tokenize=False
        )
        return text


def _lines(messages: list[dict[str, str]]) -> list[str]:
    """A line for the system prompt, and for each question with its reply behind it."""
    lines: list[str] = []
    for message in messages:
        if message["role"] == "assistant":
            lines[-1] += message["content"]
        else:
            lines.append(message["content"])
    return lines
