"""What a calibration writes: samples that the search reads, in which the model is itself."""

import unittest

import torch

from moa_compile.search import cli as search
from moa_compile.search.data import Encoder, read_long_samples, read_samples
from moa_compile.search.loss import run_sample
from moa_compile.search.model import load_model
from moa_compile.tasks import KINDS, holds

from ..tasks.tokenizers_of_tests import CHAT, small_bpe
from .support import VOCABULARY, WithModel, bytes_of, knowing, tiny_model


class Samples(WithModel):
    def read(self, path, lengths):
        encoder = Encoder(VOCABULARY, lambda: self.fail("the tokenizer was asked for"))
        return read_samples(path, lengths, None, encoder).by_length

    def test_lines_are_prompts_with_the_answer_alone_in_the_loss(self):
        lines, said = self.calibrated("--keep-all", "--samples", "6", lengths="512,1024")
        self.assertEqual([line["length"] for line in lines], [512] * 6 + [1024] * 6)
        tokenizer = small_bpe()
        for line in lines:
            length, used = line["length"], line["tokens"]
            tokens, labels = line["input_ids"], line["labels"]
            self.assertEqual((len(tokens), len(labels)), (length, length))
            begin = next(at for at, label in enumerate(labels) if label != -100)
            self.assertEqual(labels[begin:used], tokens[begin:used])
            self.assertEqual(labels[used:], [-100] * (length - used))
            self.assertEqual(set(tokens[used:]), {1} if used < length else set())
            self.assertTrue(0.95 * (length - 64) <= begin <= length - 64)
            self.assertLessEqual(used - begin, 64)
            prompt = tokenizer.decode(tokens[:begin])
            self.assertTrue(prompt.endswith(f"\n\n{line['question']}\nAnswer:"))
            self.assertEqual(prompt.count(line["reference"].split(";")[0]), 1)
            said_here = tokenizer.decode(labels[begin:used], skip_special_tokens=True)
            self.assertEqual(line["response"], said_here.strip())
            self.assertEqual(line["right"], holds(line["reference"], line["response"]))
            self.assertTrue(0 <= line["depth"] <= 1)
            self.assertFalse({"prompt", "answer", "text"} & set(line))
        for length in (512, 1024):
            kinds = [line["kind"] for line in lines if line["length"] == length]
            self.assertEqual(kinds, [*KINDS, "lines", "pairs"])
            depths = {line["depth"] for line in lines if line["length"] == length}
            self.assertGreater(len(depths), 4)
        self.assertRegex(said, r"length +kind +samples +right\n +512  lines +2  0 of 2\n")
        self.assertIn("out.jsonl: 12 samples; the dense model answered 0 of 12 right\n", said)

    def test_the_search_reads_them_and_the_model_is_itself(self):
        self.calibrated("--keep-all", "--samples", "3", lengths="512,576")
        path = self.path("out.jsonl")
        by_length = self.read(path, [512, 576])
        self.assertEqual(
            {length: len(found) for length, found in by_length.items()}, {512: 3, 576: 3}
        )
        encoder = Encoder(VOCABULARY, None)
        self.assertEqual(len(read_long_samples(path, 576, None, encoder)), 3)
        model = load_model(self.model_folder, torch.device("cpu"), "auto")
        for sample in (*by_length[512], *by_length[576]):
            with torch.no_grad():
                result = run_sample(model, sample)
            # Every token of the answer is the most likely one.
            self.assertEqual(result.right, result.answers)
        output = self.path("profile.safetensors")
        arguments = ["profile", "--model", self.model_folder, "--data", path, "--lengths"]
        self.assertEqual(search.main([*arguments, "512,576", "--output", output]), 0)

    def test_equal_commands_write_equal_bytes_and_seeds_differ(self):
        common = ("--keep-all", "--samples", "2", "--kinds", "lines,needles")
        self.calibrated(*common)
        first = bytes_of(self.path("out.jsonl"))
        self.calibrated(*common, output=self.path("again"))
        self.assertEqual(bytes_of(self.path("again")), first)
        self.calibrated(*common, "--seed", "1", output=self.path("other"))
        self.assertNotEqual(bytes_of(self.path("other")), first)

    def test_questions_do_not_depend_on_the_batch(self):
        common = ("--samples", "9", "--kinds", "lines,facts,pairs")
        found = []
        for batch in ("1", "4", "16"):
            with knowing():
                lines, _ = self.calibrated(*common, "--batch", batch, output=self.path(batch))
            found.append(lines)
        self.assertEqual(found[0], found[1])
        self.assertEqual(found[0], found[2])

    def test_a_chat_template(self):
        tokenizer = small_bpe(380)
        folder = self.path("chat")
        tiny_model(vocab_size=380).save_pretrained(folder)
        tokenizer.chat_template = CHAT
        tokenizer.save_pretrained(folder)
        common = ("--keep-all", "--samples", "1", "--kinds", "lines")
        for more, begin, end in (
            ([], "<|user|>Below", "<|end|><|assistant|>"),
            (["--prompt", "chat"], "<|user|>Below", "<|end|><|assistant|>"),
            (["--prompt", "plain"], "Below", "\nAnswer:"),
        ):
            (line,), _ = self.calibrated(*common, *more, model=folder, output=self.path("o"))
            length = next(at for at, label in enumerate(line["labels"]) if label != -100)
            prompt = tokenizer.decode(line["input_ids"][:length])
            self.assertTrue(prompt.startswith(begin) and prompt.endswith(end), prompt)

    def test_texts_and_our_own_filler(self):
        prose = "".join(f"The {n}th sentence of a tale.\n" for n in range(900))
        texts = self.write("tale.txt", [prose])
        common = ("--keep-all", "--samples", "2", "--kinds", "needles")
        lines, _ = self.calibrated(*common, "--texts", texts)
        for line in lines:
            self.assertIn("sentence of a tale.", small_bpe().decode(line["input_ids"]))


class Own(WithModel):
    """Questions of the user."""

    def questions(self, *words, answer="blue", **more):
        lines = []
        for number, count in enumerate(words):
            context = " ".join(f"word{n}" for n in range(count)) + f" The sky {number} is blue."
            lines.append({"context": context, "question": f"Q{number}?", "answer": answer, **more})
        return self.write("questions.jsonl", lines)

    def test_contexts_are_cut_to_the_lengths(self):
        path = self.questions(20, 600, 900, 700)
        lines, said = self.calibrated(
            *("--questions", path, "--samples", "2", "--keep-all"), lengths="512,1024"
        )
        self.assertEqual([line["question"] for line in lines], ["Q1?", "Q2?"] * 2)
        self.assertEqual({line["kind"] for line in lines}, {"own"})
        for line in lines:
            text = small_bpe().decode(line["input_ids"])
            self.assertEqual(text.count("\n[...]\n"), 1)
            self.assertTrue(line["length"] - 64 >= line["labels"].count(-100) - 64)
            self.assertIn("is blue.\n\nQ", text)
            self.assertEqual(line["reference"], "blue")
        self.assertIn("0 of 2\n", said)

    def test_without_answers_nothing_is_judged(self):
        path = self.write("q", [{"context": "a b " * 600, "question": "Q?"}] * 9)
        lines, said = self.calibrated("--questions", path, "--samples", "9")
        self.assertEqual([line["right"] for line in lines], [None] * 9)
        self.assertEqual([line["reference"] for line in lines], [None] * 9)
        self.assertRegex(said, r"own +9  not known\n\n\S+out.jsonl: 9 samples\n\Z")

    def test_the_evidence_is_kept(self):
        context = " ".join(f"word{n}" for n in range(2000))
        begin = context.index("word900 ")
        line = {"context": context, "question": "Q?", "evidence": [[begin, begin + 40]]}
        path = self.write("q", [line])
        (found,), _ = self.calibrated("--questions", path, "--samples", "1")
        self.assertIn(context[begin : begin + 40], small_bpe().decode(found["input_ids"]))
        self.assertTrue(0.3 < found["depth"] < 0.7)

    def test_evidence_that_does_not_fit_leaves_the_question_out(self):
        context = " ".join(f"word{n}" for n in range(2000))
        lines = [{"context": context, "question": "Q0?", "evidence": [[0, 3000]]}]
        lines.append({"context": context, "question": "Q1?"})
        path = self.write("q", lines)
        (found,), _ = self.calibrated("--questions", path, "--samples", "1")
        self.assertEqual(found["question"], "Q1?")


if __name__ == "__main__":
    unittest.main()
