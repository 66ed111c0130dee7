"""A question as a model of instructions or a plain language model is asked it."""

from typing import Any

from ..search.codes import MoaError
from .question import Question

PROMPT_FORMATS = ("auto", "chat", "plain")


def is_chat(tokenizer: Any, prompt_format: str = "auto") -> bool:
    """Whether prompts follow the chat template: `auto` is `chat` where the tokenizer has one.
    Raises MOA7424 where `chat` is asked for and there is none."""
    has_template = bool(getattr(tokenizer, "chat_template", None))
    if prompt_format == "chat" and not has_template:
        raise _bad_template("the tokenizer has no chat template")
    return has_template and prompt_format != "plain"


def render(tokenizer: Any, question: Question, prompt_format: str = "auto") -> str:
    """The prompt up to where the answer begins. Raises MOA7424."""
    message = f"{question.context}\n\n{question.question}"
    if not is_chat(tokenizer, prompt_format):
        return f"{message}\nAnswer:"
    try:
        # Models that think aloud would not come to their answer.
        prompt = tokenizer.apply_chat_template(
            [{"role": "user", "content": message}],
            tokenize=False,
            add_generation_prompt=True,
            enable_thinking=False,
        )
    except Exception as error:  # A template is a program, and raises what it likes.
        detail = f"{type(error).__name__}: {str(error)[:200]}"
        raise _bad_template(f"the chat template fails: {detail}") from error
    return str(prompt)


def encode(tokenizer: Any, question: Question, prompt_format: str = "auto") -> list[int]:
    """The tokens of the prompt. A plain one begins as the tokenizer begins sequences; what ends one
    is left out, since the answer follows."""
    text = render(tokenizer, question, prompt_format)
    tokens = list(tokenizer(text, add_special_tokens=False)["input_ids"])
    if is_chat(tokenizer, prompt_format):
        return tokens
    return [*begin_tokens(tokenizer), *tokens]


def begin_tokens(tokenizer: Any) -> list[int]:
    """The token that begins a plain text, where this tokenizer puts one there."""
    begin = tokenizer.bos_token_id
    has = begin is not None and tokenizer("x")["input_ids"][:1] == [begin]
    return [begin] if has else []


def _bad_template(message: str) -> MoaError:
    help = "ask in the plain format (--prompt plain), or add a chat template to the model's folder"
    return MoaError("MOA7424", message, help)
