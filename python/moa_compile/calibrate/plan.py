"""What is asked of a calibration."""

from dataclasses import dataclass

_BATCH_TOKENS = 1 << 15
_BATCH = 16


@dataclass(frozen=True)
class Plan:
    lengths: list[int]
    samples: int
    """Of a length."""
    answer_tokens: int
    """The most of an answer; prompts leave room for as many."""
    keep_right: bool
    """Only samples that the model answers right."""
    keep_all: bool
    """Also where it answers nothing right."""
    batch: int | None

    def prompt_tokens(self, length: int) -> int:
        return length - self.answer_tokens

    def batch_of(self, length: int) -> int:
        """Prompts to answer at once."""
        return self.batch or max(1, min(_BATCH, _BATCH_TOKENS // length))
