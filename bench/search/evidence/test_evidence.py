"""Tests of the evidence, without a GPU:  python -m unittest discover -s bench/search/evidence -p 'test_*.py'"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import tempfile
import unittest
from pathlib import Path

import torch
from transformers import LlamaForCausalLM

sys.path.insert(0, str(Path(__file__).resolve().parent))
import evaluate
import table
import train
from task import ASK, FIRST_KEY, RECORD, SLOT, Retrieval, Vocabulary, filler_table, spread_evenly, write_jsonl

torch.set_num_threads(1)  # the models are so small that more threads only wait for each other

SMALL = Vocabulary(keys=32, values=16, fillers=30)
TINY = (
    "--device cpu --dtype float32 --no-compile --hidden 32 --layers 2 --heads 4 --kv-heads 2 --keys 32 --values 16 --fillers 30"
    " --lengths 32,64 --mixed 64 --tokens-per-step 512 --rate 3e-3"
).split()


def tiny_model() -> LlamaForCausalLM:
    """Weights are so large that every key matters."""
    return train.make_model(train.parse(["--output", "", "--init", "0.3", *TINY]), SMALL).eval()


class TaskTest(unittest.TestCase):
    def test_asks_repeat_an_earlier_record(self) -> None:
        for length in (8, 64, 256, 1024):
            vocabulary = Vocabulary()
            batch = Retrieval(vocabulary, seed=length).batch(16, length)
            distances, answers = batch.distances().tolist(), batch.answers().tolist()
            for sample, tokens in enumerate(batch.tokens.tolist()):
                records: dict[int, int] = {}
                asked: set[int] = set()
                for start in range(0, length, SLOT):
                    first, key, *values = tokens[start : start + SLOT]
                    is_ask = first == ASK
                    self.assertEqual(answers[sample][start : start + SLOT], [False, False, is_ask, is_ask])
                    if first in (RECORD, ASK):
                        self.assertTrue(FIRST_KEY <= key < vocabulary.first_value)
                        self.assertTrue(all(vocabulary.first_value <= value < vocabulary.first_filler for value in values))
                    if first == RECORD:
                        self.assertNotIn(key, records)
                        records[key] = start
                    elif is_ask:
                        self.assertNotIn(key, asked)
                        asked.add(key)
                        self.assertEqual(values, tokens[records[key] + 2 : records[key] + 4])
                        for offset in (2, 3):
                            position, recorded = start + offset, records[key] + offset
                            self.assertEqual(distances[sample][position], position - 1 - recorded)
                    else:
                        self.assertTrue(all(vocabulary.first_filler <= token < vocabulary.size for token in tokens[start : start + SLOT]))

    def test_filler_is_one_walk_over_the_table(self) -> None:
        batch = Retrieval(SMALL, seed=5).batch(4, 512)
        table_ = filler_table(SMALL.fillers)
        for tokens in batch.tokens.tolist():
            states = [token - SMALL.first_filler for token in tokens if token >= SMALL.first_filler]
            self.assertTrue(all(after in table_[before] for before, after in zip(states, states[1:])))

    def test_shares_and_distances(self) -> None:
        for length in (256, 1024, 4096):
            batch = Retrieval(seed=1).batch(64 * 1024 // length, length)
            first = batch.tokens.view(-1, length // SLOT, SLOT)[:, :, 0]
            distances = batch.distances()[batch.answers()]
            self.assertAlmostEqual((first == RECORD).double().mean().item(), 0.3, delta=0.02)
            self.assertAlmostEqual((first == ASK).double().mean().item(), 0.28, delta=0.02)
            self.assertGreater((distances > length // 2).double().mean().item(), 0.08)
            self.assertGreater((distances < 64).double().mean().item(), 0.15)

    def test_labels_and_determinism(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            one, two, other = (Path(folder, name) for name in ("1.jsonl", "2.jsonl", "3.jsonl"))
            write_jsonl(str(one), 128, 3, seed=4)
            write_jsonl(str(two), 128, 3, seed=4)
            write_jsonl(str(other), 128, 3, seed=5)
            self.assertEqual(one.read_bytes(), two.read_bytes())
            self.assertNotEqual(one.read_bytes(), other.read_bytes())
            lines = [json.loads(line) for line in one.read_text().splitlines()]
        self.assertEqual([sorted(line) for line in lines], [["input_ids", "labels"]] * 3)
        for line in lines:
            tokens = line["input_ids"]
            self.assertEqual(len(tokens), 128)
            labelled = {index for index, label in enumerate(line["labels"]) if label != -100}
            self.assertEqual(labelled, {start + offset for start in range(0, 128, SLOT) if tokens[start] == ASK for offset in (2, 3)})
            self.assertTrue(all(line["labels"][index] == tokens[index] for index in labelled))

    def test_spread_evenly(self) -> None:
        for samples, length, bins in ((64, 1024, 8), (32, 2048, 8), (200, 256, 4), (1, 8, 8), (2, 64, 8)):
            with self.subTest(samples=samples, length=length, bins=bins):
                batch = Retrieval(seed=length).batch(samples, length)
                labels, all_labels, distances = spread_evenly(batch, bins), batch.labels(), batch.distances()
                kept = labels != -100
                self.assertTrue(bool((labels[kept] == all_labels[kept]).all()))
                # Both values of an ask, or neither.
                by_slot = kept.view(samples, -1, SLOT)
                self.assertFalse(bool(by_slot[:, :, :2].any()))
                self.assertTrue(torch.equal(by_slot[:, :, 2], by_slot[:, :, 3]))
                first, all_first = by_slot[:, :, 2], batch.answers().view(samples, -1, SLOT)[:, :, 2]
                of_asks = distances.view(samples, -1, SLOT)[:, :, 2]
                counts, available = ([int((where & (of_asks * bins // length == part)).sum()) for part in range(bins)] for where in (first, all_first))
                self.assertEqual(counts, [min(available)] * bins)
                if samples * length > 1024:
                    self.assertGreater(min(available), 10)
                    self.assertGreater(len(first.any(1).nonzero()), samples // 2)  # From all over the batch.
                self.assertTrue(torch.equal(spread_evenly(batch, bins), labels))

    def test_lines_with_answers_of_all_distances_alike(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "even.jsonl")
            write_jsonl(str(path), 512, 32, seed=6, even=True)
            lines = [json.loads(line) for line in path.read_text().splitlines()]
        expected = spread_evenly(Retrieval(seed=6).batch(32, 512))
        labelled = expected[(expected != -100).any(1)]
        self.assertEqual([line["labels"] for line in lines], labelled.tolist())

    def test_more_records_than_keys(self) -> None:
        batch = Retrieval(Vocabulary(keys=4, values=16, fillers=30), seed=1).batch(8, 512)
        first = batch.tokens.view(8, -1, SLOT)[:, :, 0]
        self.assertEqual((first == RECORD).sum(1).tolist(), [4] * 8)


class TrainTest(unittest.TestCase):
    def test_a_few_steps_lower_the_loss_and_repeat(self) -> None:
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
            reports = [train.train(train.parse(["--output", str(Path(folder, name)), "--steps", "61", *TINY])) for name in ("a", "b")]
            model = LlamaForCausalLM.from_pretrained(Path(folder, "a"))
            written = json.loads(Path(folder, "a", "training.json").read_text())
            self.assertEqual(evaluate.vocabulary_of(str(Path(folder, "a"))), SMALL)
        curve = [[point["loss"] for point in report["curve"]] for report in reports]
        self.assertEqual(curve[0], curve[1])
        self.assertLess(curve[0][-1], curve[0][0] - 0.5)
        self.assertEqual(model.dtype, torch.bfloat16)
        self.assertEqual([entry["length"] for entry in written["final"]], [32, 64])

    def test_curriculum(self) -> None:
        curriculum = train.Curriculum([8, 16], [16, 32])
        self.assertEqual(curriculum.length(0, 0.0), 8)
        curriculum.look(8, 0.89)
        self.assertEqual(curriculum.length(1, 0.1), 8)
        curriculum.look(8, 0.9)
        self.assertEqual(curriculum.length(2, 0.2), 16)
        self.assertEqual([curriculum.length(step, 0.75) for step in (4, 5)], [16, 32])
        curriculum.look(32, 0.95)  # not the length of the stage
        self.assertEqual(curriculum.length(3, 0.2), 16)
        curriculum.look(16, 0.95)
        self.assertEqual([curriculum.length(step, 0.2) for step in (6, 7)], [16, 32])

    def test_rate(self) -> None:
        self.assertAlmostEqual(train.rate_at(1e-3, 0, 0.0), 1e-5)
        self.assertAlmostEqual(train.rate_at(1e-3, 500, 0.75), 1e-3)
        self.assertAlmostEqual(train.rate_at(1e-3, 500, 1.0), 2e-5)


def explicit_logits(model: LlamaForCausalLM, tokens: torch.Tensor, windows: list[list[int]], sink: int) -> torch.Tensor:
    """Eager attention, each layer with an additive mask [1, Hq, N, N] written out pair by pair."""
    length = tokens.shape[1]

    def put_mask(windows_of_layer: list[int]):
        allowed = [[[j <= i and (j < sink or i - j < window) for j in range(length)] for i in range(length)] for window in windows_of_layer]
        mask = torch.where(torch.tensor(allowed), 0.0, float("-inf"))[None]
        return lambda module, arguments, keywords: (arguments, {**keywords, "attention_mask": mask})

    hooks = [
        layer.self_attn.register_forward_pre_hook(put_mask(row), with_kwargs=True) for layer, row in zip(model.model.layers, windows)
    ]
    model.set_attn_implementation("eager")
    try:
        with torch.no_grad():
            return model(input_ids=tokens, use_cache=False).logits
    finally:
        model.set_attn_implementation("sdpa")
        for hook in hooks:
            hook.remove()


class MaskTest(unittest.TestCase):
    windows = [[1, 20, 64, 7], [33, 2, 90, 16]]

    def test_masks_are_those_written_out(self) -> None:
        model, tokens = tiny_model(), Retrieval(SMALL, seed=2).batch(2, 96).tokens
        with torch.no_grad():
            dense = model(input_ids=tokens, use_cache=False).logits
        for sink in (1, 8):
            expected = explicit_logits(model, tokens, self.windows, sink)
            self.assertGreater((expected - dense).abs().max().item(), 0.1)
            with self.subTest(sink=sink), evaluate.masked_attention(model, self.windows, sink):
                torch.testing.assert_close(model(input_ids=tokens, use_cache=False).logits, expected, atol=1e-4, rtol=1e-4)
        with torch.no_grad():
            torch.testing.assert_close(model(input_ids=tokens, use_cache=False).logits, dense, atol=0, rtol=0)

    def test_an_answer_moves_with_a_record_only_inside_the_window(self) -> None:
        """One layer: what a position sees of another is what its mask lets through, at the very edge too."""
        model = train.make_model(train.parse(["--output", "", *TINY, "--layers", "1", "--init", "0.3"]), SMALL).eval()
        tokens = Retrieval(SMALL, seed=3).batch(1, 64).tokens
        changed = tokens.clone()
        changed[0, 20] = (changed[0, 20] + 1) % SMALL.size
        with evaluate.masked_attention(model, [[10, 10, 10, 10]], 4):
            moved = (model(input_ids=tokens).logits - model(input_ids=changed).logits).abs().amax(2)[0] > 0
        self.assertEqual(moved.nonzero().flatten().tolist(), list(range(20, 30)))


class EvaluateTest(unittest.TestCase):
    def test_full_windows_are_dense_and_small_ones_are_not(self) -> None:
        model = tiny_model()
        masks = [
            {"name": "full", "length": 128, "sink": 4, "windows": [[128] * 4] * 2},
            {"name": "small@0.25", "length": 128, "sink": 4, "windows": [[8, 16, 16, 8]] * 2},
        ]
        with contextlib.redirect_stderr(io.StringIO()):
            first = evaluate.evaluate(model, SMALL, masks, [64], samples=8, seed=1, batch_tokens=512)
            again = evaluate.evaluate(model, SMALL, masks, [64], samples=8, seed=1, batch_tokens=256)
        names = [(result["name"], result["length"]) for result in first["results"]]
        self.assertEqual(names, [("dense", 64), ("dense", 128), ("full", 128), ("small@0.25", 128)])
        _, dense, full, small = first["results"]
        self.assertAlmostEqual(dense["loss"], full["loss"], places=4)
        self.assertEqual(dense["accuracy"], full["accuracy"])
        self.assertGreater(abs(dense["loss"] - small["loss"]), 0.01)
        self.assertAlmostEqual(again["results"][1]["loss"], dense["loss"], places=4)
        self.assertEqual(small["density"], {"queryHeads": 16 / 128, "kvHeads": 20 / 128})
        self.assertEqual(sum(each["answerTokens"] for each in dense["byDistance"]), dense["answerTokens"])
        self.assertEqual([each["to"] for each in dense["byDistance"]], [64, 128])
        lines = table.report([first]).splitlines()
        self.assertEqual([line.split(" | ")[:2] for line in lines if "small" in line], [["| 25.0 %", "small"]])

    def test_effective_context_is_where_right_answers_end(self) -> None:
        data = Retrieval(seed=9).batch(64, 1024)
        distances = data.distances()[data.answers()]
        for reach in (64, 256, 512):
            figures = evaluate.outcome(1024, data, torch.zeros(len(distances), dtype=torch.float64), distances < reach)
            self.assertEqual(figures["effectiveContext"], reach)
            self.assertEqual(figures["byDistance"][0]["accuracy"], 1)
        right = evaluate.outcome(1024, data, torch.zeros(len(distances), dtype=torch.float64), distances >= 0)
        wrong = evaluate.outcome(1024, data, torch.zeros(len(distances), dtype=torch.float64), distances < 0)
        self.assertEqual([right["effectiveContext"], wrong["effectiveContext"]], [1024, 0])

    def test_bins_hold_enough_answers_and_cover_the_length(self) -> None:
        distances = torch.tensor([3] * 250 + [100] * 150 + [190] * 60 + [300] * 10)
        self.assertEqual(evaluate.effective_bins(distances, 512), [(0, 64), (64, 512)])
        self.assertEqual(evaluate.effective_bins(torch.tensor([3, 7]), 512), [(0, 512)])

    def test_uniform_windows(self) -> None:
        mask = evaluate.uniform_mask(0.25, 2048, 64, 2, 4)
        self.assertEqual((mask["name"], mask["windows"]), ("uniform@0.25", [[448] * 4] * 2))
        self.assertEqual(evaluate.densities(mask, 2), {"queryHeads": 0.25, "kvHeads": 0.25})


if __name__ == "__main__":
    unittest.main()
