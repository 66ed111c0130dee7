"""Greedy answers, against the model called token by token without a cache."""

import unittest

import torch
from transformers import GenerationConfig

from moa_compile.calibrate.answers import end_tokens, first_line, greedy_answers

from ..tasks.tokenizers_of_tests import small_bpe
from .support import VOCABULARY, tiny_model


def one_by_one(model, prompt, most, ends):
    tokens = list(prompt)
    for _ in range(most):
        logits = model(input_ids=torch.tensor([tokens]), use_cache=False).logits
        tokens.append(int(logits[0, -1].argmax()))
        if tokens[-1] in ends:
            break
    return tokens[len(prompt) :]


class Greedy(unittest.TestCase):
    def test_prompts_of_a_batch_are_answered_as_each_alone(self):
        model = tiny_model().double()
        generator = torch.Generator().manual_seed(3)
        sizes = (40, 7, 90, 1, 33)
        prompts = [
            torch.randint(2, VOCABULARY, (size,), generator=generator).tolist() for size in sizes
        ]
        expected = [one_by_one(model, prompt, 24, []) for prompt in prompts]
        self.assertEqual(greedy_answers(model, prompts, 24, []), expected)
        # Ends that come at different times, one of them at once and one never.
        ends = sorted({expected[0][5], expected[2][0]})
        with_ends = [one_by_one(model, prompt, 24, ends) for prompt in prompts]
        self.assertGreater(len(set(map(len, with_ends))), 2)
        self.assertEqual(greedy_answers(model, prompts, 24, ends), with_ends)

    def test_the_settings_of_the_model_change_nothing(self):
        model = tiny_model().double()
        prompts = [[5, 6, 7, 8, 9]]
        plain = greedy_answers(model, prompts, 12, [])
        own = GenerationConfig(
            do_sample=True,
            temperature=5.0,
            repetition_penalty=3.0,
            no_repeat_ngram_size=1,
            suppress_tokens=plain[0][:1],
            min_new_tokens=30,
            eos_token_id=[3, 1],
        )
        model.generation_config = own
        self.assertEqual(greedy_answers(model, prompts, 12, []), plain)
        self.assertIs(model.generation_config, own)
        self.assertEqual(end_tokens(model, small_bpe()), [1, 3])

    def test_a_plain_answer_ends_with_its_line(self):
        tokenizer = small_bpe()

        def cut(text):
            tokens = tokenizer(text, add_special_tokens=False)["input_ids"]
            return tokenizer.decode(first_line(tokenizer, tokens))

        for text, expected in (
            (" 48213", " 48213"),
            (" 48213\nQuestion:", " 48213"),
            ("\n\n48213\n\nand", "\n\n48213"),
            ("\n", "\n"),
            ("", ""),
        ):
            self.assertEqual(cut(text), expected)
        ended = [*tokenizer("7\nno", add_special_tokens=False)["input_ids"], 1]
        self.assertEqual(tokenizer.decode(first_line(tokenizer, ended)), "7")


if __name__ == "__main__":
    unittest.main()
