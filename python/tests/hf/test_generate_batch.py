"""`generate_batch`: texts are those of `generate`, whatever the pool, the slots and the order in
which prompts arrive."""

import unittest
from unittest import mock

import torch

import moa_compile
from moa_compile.hf.batch_steps import BatchSteps
from moa_compile.hf.sampling import sampled
from moa_compile.session import Session

from .doubles import Double
from .models import texts, tiny_model
from .support import Attached, pool_of

NEW = 6


class Batches(Attached):
    def setUp(self) -> None:
        super().setUp()
        self.model, self.reference = self.attached(length_bound=240)
        self.sessions: list[Session] = []
        pool = pool_of(self.model)
        make = pool.make

        def noted(*arguments):
            session = make(*arguments)
            # Those of `generate` are kept, and have all pages.
            if len(arguments) == 3:
                self.sessions.append(session)
            return session

        patch = mock.patch.object(pool, "make", noted)
        patch.start()
        self.addCleanup(patch.stop)

    def batch(self, prompts, **arguments):
        options = {"max_new_tokens": NEW, "budget": 96, **arguments}
        return moa_compile.generate_batch(self.model, prompts, **options)

    def alone(self, prompt, new: int = NEW, **arguments) -> list[int]:
        """The new tokens of `generate`."""
        ids = torch.as_tensor(prompt)[None]
        text = self.model.generate(ids, max_new_tokens=new, do_sample=False, **arguments)
        return text[0, ids.shape[1] :].tolist()

    def check(self, prompts, results) -> None:
        self.assertEqual([result.prompt for result in results], list(range(len(prompts))))
        for prompt, result in zip(prompts, results):
            ours = torch.cat((torch.as_tensor(prompt), torch.tensor(result.tokens)))
            theirs = torch.cat((torch.as_tensor(prompt), torch.tensor(self.alone(prompt))))
            # Chunks and mixed steps round otherwise, so near ties may differ.
            self.same_text(ours[None], theirs[None], self.reference, 240)

    def closed(self) -> None:
        """All memory is freed."""
        for session in self.sessions:
            self.refused("MOA6005", "after it was closed", session.usage)

    def test_prompts_of_any_lengths(self) -> None:
        prompts = texts(150, 3, 70, 1, 200)
        results = list(self.batch([prompt.tolist() for prompt in prompts], slots=3))
        self.check(prompts, results)
        self.assertEqual([len(result.tokens) for result in results], [NEW] * 5)
        self.closed()

    def test_as_they_end(self) -> None:

        def choose(logits, prompts):
            return torch.tensor([7 if prompt == 0 else 5 for prompt in prompts])

        for in_order in (False, True):
            results = list(self.batch(texts(9, 3, 3), choose=choose, stop=5, in_order=in_order))
            self.assertEqual(
                [each.prompt for each in results], [0, 1, 2] if in_order else [1, 2, 0]
            )
            self.assertEqual(sorted(results), [(0, [7] * NEW), (1, [5]), (2, [5])])

    def test_arrival(self) -> None:
        """Prompts that come while others are generated."""
        prompts = texts(90, 20, 130)
        ended: list[int] = []

        def arrive():
            yield prompts[0]
            for _ in range(4):
                yield None
            yield prompts[1]
            while not ended:
                yield None
            yield prompts[2]

        results = []
        for result in self.batch(arrive(), slots=2):
            ended.append(result.prompt)
            results.append(result)
        self.check(prompts, results)

    def test_own_bounds(self) -> None:
        """Without a fixed bound each prompt has that of `generate`."""
        moa_compile.detach(self.model)
        model, _ = self.attached()
        prompts = texts(190, 40)
        results = list(moa_compile.generate_batch(model, prompts, max_new_tokens=4))
        self.model = model
        for prompt, result in zip(prompts, results):
            self.assertEqual(result.tokens, self.alone(prompt, 4))
        self.refused(
            "MOA6308",
            "come one by one",
            lambda: moa_compile.generate_batch(model, iter(prompts), max_new_tokens=4),
        )

    def test_stop_tokens(self) -> None:
        prompts = texts(60, 61)
        whole = [self.alone(prompt) for prompt in prompts]
        stop = whole[0][2]
        results = list(self.batch(prompts, stop=stop))
        for text, result in zip(whole, results):
            end = text.index(stop) + 1 if stop in text else NEW
            self.assertEqual(result.tokens, text[:end])
        self.model.generation_config.eos_token_id = [stop]
        self.assertEqual(list(self.batch(prompts)), results)

    def _pages(self, tokens: int) -> int:
        """Of a sequence of so many tokens."""
        with pool_of(self.model).make(1, 240) as session:
            return session.pages_for(tokens)

    def test_a_small_pool(self) -> None:
        """For two of five sequences: the others wait."""
        prompts = texts(190, 180, 170, 160, 150)
        self.check(prompts, list(self.batch(prompts, slots=5, pages=2 * self._pages(200))))
        self.closed()

    def test_preemption(self) -> None:
        """Short prompts are admitted together and grow beyond the pool: three fit at last."""
        prompts = texts(5, 6, 7, 8)
        removed: list[int] = []
        remove = Session.remove

        def noted(session, slot) -> None:
            removed.append(session.lengths(0)[slot])
            remove(session, slot)

        pages = 3 * self._pages(147)
        with mock.patch.object(Session, "remove", noted):
            results = list(self.batch(prompts, max_new_tokens=140, slots=5, pages=pages))
        # The youngest one's pages are given back, and it is fed again.
        self.assertEqual(len(removed), 5)
        self.assertLess(removed[0], 140)
        for prompt, result in zip(prompts, results):
            ours = torch.cat((prompt, torch.tensor(result.tokens)))[None]
            theirs = torch.cat((prompt, torch.tensor(self.alone(prompt, 140))))[None]
            self.same_text(ours, theirs, self.reference, 240)
        self.closed()

    def test_a_pool_too_small(self) -> None:
        self.refused("MOA6109", "pages", lambda: list(self.batch(texts(200), pages=2)))
        self.closed()

    def test_prefix(self) -> None:
        """What prompts have in common is fed and stored once."""
        common = texts(140)[0]
        prompts = [torch.cat((common, each)) for each in texts(20, 9, 33, 1, seed=1)]
        shared, fed = self._most_pages(prompts, slots=5)
        # Texts of the same lengths without anything in common.
        other, all_fed = self._most_pages(texts(160, 149, 173, 141), slots=5)
        # Two whole pages of three sequences, but for pages that are written in the prefix's stead.
        self.assertLessEqual(shared, other - 2 * self._pages(128))
        self.assertEqual(fed, 140 + 63 + 4 * (NEW - 1))
        self.assertEqual(all_fed, 4 * 140 + 63 + 4 * (NEW - 1))

    def _most_pages(self, prompts, **arguments) -> tuple[int, int]:
        """Pages that were held at most, and tokens that were fed."""
        held, fed = [], []
        run = BatchSteps.run

        def noted(steps, new):
            logits = run(steps, new)
            held.append(steps._session.usage().held)
            fed.append(sum(map(len, new.values())))
            return logits

        with mock.patch.object(BatchSteps, "run", noted):
            results = list(self.batch(prompts, **arguments))
        self.check(prompts, results)
        self.closed()
        return max(held), sum(fed)

    def test_prefix_in_a_small_pool(self) -> None:
        common = texts(140)[0]
        prompts = [torch.cat((common, each)) for each in texts(20, 9, 33, 1, 50, seed=1)]
        pages = self._pages(200) + 6
        self.check(prompts, list(self.batch(prompts, slots=4, pages=pages)))
        self.closed()

    def test_sampling(self) -> None:
        """Texts depend on the seed, and on no other prompt."""
        prompts = texts(50, 60, 70)
        options = {"temperature": 0.9, "top_k": 8, "seed": 5}
        together = list(self.batch(prompts, **options))
        tight = list(self.batch(prompts, **options, slots=1))
        self.assertEqual(together, tight)
        other = list(self.batch(prompts, **{**options, "seed": 6}))
        self.assertNotEqual(together, other)
        self.refused("MOA6106", "one of them", lambda: self.batch([], choose=max, top_k=3))
        self.refused("MOA6106", "above 0", lambda: self.batch([], temperature=0))

    def test_a_callable(self) -> None:
        """It gets logits and the numbers of prompts; what it raises frees all memory."""
        seen = []

        def choose(logits, prompts):
            seen.append((tuple(logits.shape), list(prompts), logits.dtype))
            if len(seen) == 3:
                raise RuntimeError("choose")
            return logits.argmin(-1)

        with self.assertRaisesRegex(RuntimeError, "choose"):
            list(self.batch(texts(10, 11), choose=choose))
        self.assertEqual(seen[0], ((2, 64), [0, 1], torch.float32))
        self.closed()
        self.assertEqual(len(self.sessions), 1)

    def test_hooks(self) -> None:
        """What a hook raises, or a cancelled call, frees all memory; the model goes on."""
        prompts = texts(20, 30)
        for error in (RuntimeError("a hook"), KeyboardInterrupt()):
            calls = []

            def hook(*_, error=error, calls=calls) -> None:
                calls.append(1)
                if len(calls) == 3:
                    raise error

            handle = self.model.model.layers[1].register_forward_pre_hook(hook)
            with self.assertRaises(type(error)):
                list(self.batch(prompts))
            handle.remove()
            self.assertEqual(len(calls), 3)
            self.closed()
            self.assertEqual((pool_of(self.model).used, pool_of(self.model).idle), (0, 0))
            self.check(prompts, list(self.batch(prompts)))
            moa_compile.hf.release_memory(self.model)
        moa_compile.detach(self.model)
        ids = prompts[0][None]
        self.assertTrue(torch.equal(self.model(ids).logits, tiny_model()(ids).logits))

    def test_an_iterator_that_is_left(self) -> None:
        texts_of = self.batch(texts(10, 11, 12))
        self.assertEqual(self.sessions, [])
        next(texts_of)
        texts_of.close()
        self.closed()
        self.assertEqual(list(self.batch([])), [])

    def test_two_graphs(self) -> None:
        """One of decodes and one of the budget; logits are taken before the next step."""
        Double.made = []
        self.model._moa_attachment.decoding.make = Double
        prompts = texts(150, 40, 90)
        self.check(prompts, list(self.batch(prompts)))
        mixed, decodes = (double for double in Double.made if double.session in self.sessions)
        self.assertEqual((mixed.steps, decodes.steps), (3, NEW - 1))

    def test_a_model_that_changes(self) -> None:
        """Weights that move are read where they are; a model that is detached is refused."""
        Double.made = []
        self.model._moa_attachment.decoding.make = Double
        prompts = texts(20, 30, 40)
        kept = []

        def choose(logits, numbers):
            weight = self.model.lm_head.weight
            kept.append(weight.data)
            weight.data = weight.data.clone()
            return logits.argmax(-1)

        self.check(prompts, list(self.batch(prompts, choose=choose)))
        self.assertEqual([double.steps for double in Double.made][:2], [1, 0])
        running = self.batch(prompts, slots=1)
        next(running)
        moa_compile.detach(self.model)
        self.refused("MOA6309", "detached", lambda: next(running))
        self.closed()

    def test_refusals(self) -> None:
        self.refused("MOA6308", "prompt 0 has 0 tokens", lambda: list(self.batch([[]])))
        self.refused("MOA6308", "prompt 1 has 239", lambda: list(self.batch(texts(9, 239))))
        self.refused("MOA6106", "max_new_tokens", lambda: self.batch([], max_new_tokens=0))
        moa_compile.detach(self.model)
        self.refused("MOA6309", "not attached", lambda: self.batch([]))


class Sampling(unittest.TestCase):
    def test_probabilities(self) -> None:
        """Of 4000 draws, each token's share is its probability to 4 standard deviations."""
        logits = torch.tensor([0.0, 1.0, 2.0, -1.0])
        choose = sampled(0.8, 3, 1)
        drawn = choose(logits.expand(4000, 4), range(4000))
        wanted = torch.softmax(logits[:3] / 0.8, 0)
        for token, share in enumerate(wanted.tolist()):
            found = (drawn == token).float().mean().item()
            self.assertLess(abs(found - share), 4 * (share * (1 - share) / 4000) ** 0.5)
        self.assertFalse((drawn == 3).any())
