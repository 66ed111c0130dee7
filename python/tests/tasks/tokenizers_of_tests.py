"""Ways to count tokens: characters, words, and a small BPE that is trained on our own filler."""

import functools

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from moa_compile.tasks.filler import Filler

CHAT = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


class Characters:
    """A tokenizer whose tokens are characters. It frames what it is given."""

    bos_token_id = 1
    chat_template = None

    def __call__(self, text, add_special_tokens=True):
        tokens = [ord(character) for character in text]
        return {"input_ids": [1, *tokens, 2] if add_special_tokens else tokens}


@functools.cache
def small_bpe(vocabulary: int = 400):
    """Bytes and the most frequent pairs of them, digits apart."""
    tokenizer = Tokenizer(models.BPE())
    digits = pre_tokenizers.Digits(individual_digits=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [digits, pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(Filler().stretch(7, 60_000).split("\n\n"), trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")


def bpe_length(text: str) -> int:
    return len(small_bpe()(text, add_special_tokens=False)["input_ids"])


LENGTHS = {"characters": len, "words": lambda text: len(text.split()), "BPE": bpe_length}
