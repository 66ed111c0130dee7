"""`generate` of a Llama on a package: every way of decoding gives what the dense model gives under
the plan's mask."""

import torch
import transformers
from transformers import DynamicCache

import moa_compile

from .models import cache_in, given, padded, texts
from .support import Attached


class Generation(Attached):
    def compare(self, bound: int, *options: str, seed: int = 0, **arguments):
        """The same generation on a package and under the mask."""
        model, reference = self.attached("llama", *options, seed=seed)
        torch.manual_seed(0)
        ours = model.generate(**arguments)
        torch.manual_seed(0)
        theirs = reference.generate(bound, **arguments)
        if arguments["input_ids"].shape[0] == ours.shape[0]:
            self.same_text(ours, theirs, reference, bound)
        return ours, theirs

    def test_greedy(self) -> None:
        self.compare(219, input_ids=texts(200)[0][None], max_new_tokens=20, do_sample=False)

    def test_sampling(self) -> None:
        ids = torch.stack(texts(180, 180))
        ours, theirs = self.compare(
            187, input_ids=ids, max_new_tokens=8, do_sample=True, top_k=8, temperature=0.7
        )
        self.assertTrue(torch.equal(ours, theirs))

    def test_beams(self) -> None:
        ours, theirs = self.compare(
            189,
            **padded(texts(180, 150)),
            max_new_tokens=10,
            do_sample=False,
            num_beams=3,
            num_return_sequences=2,
        )
        self.assertTrue(torch.equal(ours, theirs))

    def test_beams_that_are_sampled(self) -> None:
        ids = texts(180)[0][None]
        ours, theirs = self.compare(
            187, input_ids=ids, max_new_tokens=8, do_sample=True, num_beams=3, top_k=8
        )
        self.assertTrue(torch.equal(ours, theirs))

    def test_return_sequences(self) -> None:
        ours, theirs = self.compare(
            185,
            **padded(texts(178, 140)),
            max_new_tokens=8,
            do_sample=True,
            num_return_sequences=3,
            top_k=8,
            temperature=0.7,
        )
        self.assertEqual(len(ours), 6)
        self.assertTrue(torch.equal(ours, theirs))

    def test_left_padding_and_unequal_prompts(self) -> None:
        batch = padded(texts(200, 33, 1, 140))
        self.compare(209, **batch, max_new_tokens=10, do_sample=False)

    def test_a_row_alone_and_among_others(self) -> None:
        """Text does not depend on the padding of a row."""
        model, _ = self.attached(length_bound=240)
        rows = texts(200, 90)
        among = model.generate(**padded(rows), max_new_tokens=8, do_sample=False)
        alone = model.generate(rows[1][None], max_new_tokens=8, do_sample=False)
        self.assertEqual(among[1, -8:].tolist(), alone[0, -8:].tolist())

    def test_chunks_of_a_prompt(self) -> None:
        for size in (1, 64, 150):
            with self.subTest(size):
                batch = padded(texts(200, 130) if size > 1 else texts(20, 12))
                self.compare(
                    batch["input_ids"].shape[1] + 5,
                    **batch,
                    max_new_tokens=6,
                    do_sample=False,
                    prefill_chunk_size=size,
                )

    def test_turns_on_one_cache(self) -> None:
        """Each turn brings the text so far, or the new part of it; the last tokens of a turn were
        never fed."""
        model, reference = self.attached()
        cache = moa_compile.hf.new_cache(model, batch_size=2, length_bound=330)
        other = DynamicCache()
        batch = padded(texts(130, 90, seed=2))
        for turn in range(3):
            arguments = {**batch, "max_new_tokens": 6, "do_sample": False}
            ours = model.generate(**arguments, **given(cache))
            reference.bound(330)
            theirs = reference.model.generate(**arguments, **given(other))
            self.assertTrue(torch.equal(ours, theirs))
            width = batch["input_ids"].shape[1] + 6
            self.assertEqual(cache.get_seq_length(), width - 1)
            self.assertEqual(cache.content.lengths(), [width - 1, width - 41])
            question = torch.stack(texts(40, 40, seed=turn))
            batch = {
                "input_ids": torch.cat((ours, question), 1),
                "attention_mask": torch.nn.functional.pad(
                    batch["attention_mask"], (0, 46), value=1
                ),
            }

    def test_a_cache_that_generation_returns(self) -> None:
        model, reference = self.attached(length_bound=260)
        first = {"input_ids": texts(150)[0][None], "max_new_tokens": 5, "do_sample": False}
        output = model.generate(**first, return_dict_in_generate=True)
        more = torch.cat((output.sequences, texts(50, seed=1)[0][None]), 1)
        arguments = {"input_ids": more, "max_new_tokens": 5, "do_sample": False}
        ours = model.generate(**arguments, **given(cache_in(output)))
        self.same_text(ours, reference.generate(260, **arguments), reference, 260)

    def test_streamer(self) -> None:
        heard: list[int] = []

        class Streamer(transformers.generation.streamers.BaseStreamer):
            def put(self, value) -> None:
                heard.extend(value.flatten().tolist())

            def end(self) -> None:
                heard.append(-1)

        model, _ = self.attached()
        ids = texts(190)[0][None]
        ours = model.generate(ids, max_new_tokens=6, do_sample=False, streamer=Streamer())
        self.assertEqual(heard, [*ours[0].tolist(), -1])

    def test_embeddings(self) -> None:
        """Prompts as embeddings, with beams."""
        ids = torch.stack(texts(160, 160))
        model, reference = self.attached(length_bound=220)
        embeds = model.get_input_embeddings()(ids)
        arguments = {"inputs_embeds": embeds, "max_new_tokens": 6, "do_sample": False}
        for beams in (1, 2):
            ours = model.generate(**arguments, num_beams=beams)
            theirs = reference.generate(220, **arguments, num_beams=beams)
            self.assertTrue(torch.equal(ours, theirs))


class Lengths(Attached):
    """Spans follow from the length that generation asks for."""

    def test_of_generation(self) -> None:
        model, reference = self.attached()
        seen = []
        session_of = model._moa_attachment.forwards.pool.take
        model._moa_attachment.forwards.pool.take = lambda slots, bound: (
            seen.append((slots, bound)) or session_of(slots, bound)
        )
        ids = texts(150)[0][None]
        for new in (6, 100, 130):
            ours = model.generate(ids, max_new_tokens=new, do_sample=False)
            self.assertEqual(seen.pop(), (1, 149 + new))
            theirs = reference.generate(
                149 + new, input_ids=ids, max_new_tokens=new, do_sample=False
            )
            self.same_text(ours, theirs, reference, 149 + new)

    def test_fixed(self) -> None:
        model, reference = self.attached(length_bound=400)
        ids = texts(150)[0][None]
        ours = model.generate(ids, max_new_tokens=12, do_sample=False)
        fixed = reference.generate(400, input_ids=ids, max_new_tokens=12, do_sample=False)
        self.same_text(ours, fixed, reference, 400)
