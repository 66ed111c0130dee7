"""What is read, and which parts follow, without other processes."""

import json
import tempfile
import unittest
from pathlib import Path

import torch

import moa_compile
from moa_compile.tp.assignment import read_assignment
from moa_compile.tp.cuts import Cut, cut_evenly, cut_heads, stack

_LAYER = {"kvHeads": [[1], [0]], "queryHeads": [[2, 3], [0, 1]]}
_FILE = {
    "format": "moa-tensor-parallel",
    "version": 1,
    "packages": ["rank0", "rank1"],
    "model": {"layers": 1, "queryHeads": 4, "kvHeads": 2, "headDim": 2},
    "layers": [_LAYER],
}


class Files(unittest.TestCase):
    def read(self, text: str):
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "tensor-parallel.json").write_text(text)
            return read_assignment(Path(folder))

    def test_heads(self) -> None:
        assignment = self.read(json.dumps(_FILE))
        self.assertEqual(assignment.ranks, 2)
        self.assertEqual(assignment.of_rank(0)[0].query, (2, 3))
        self.assertEqual(assignment.of_rank(1)[0].kv, (0,))
        self.assertEqual(assignment.package(1).name, "rank1")

    def test_damaged(self) -> None:
        cases = [
            ("no JSON", "is not JSON"),
            ("[]", "is not JSON"),
            (json.dumps({**_FILE, "version": 2}), "version 2"),
            (json.dumps({**_FILE, "layers": [{}]}), "lacks a field"),
            (json.dumps({**_FILE, "layers": [{**_LAYER, "kvHeads": [[1], [1]]}]}), "each head"),
            (json.dumps({**_FILE, "layers": [{**_LAYER, "kvHeads": [[0, 1], []]}]}), "each head"),
            (json.dumps({**_FILE, "packages": ["rank0", "../rank1"]}), "each head"),
        ]
        for text, part in cases:
            with self.subTest(part), self.assertRaises(moa_compile.MoaError) as raised:
                self.read(text)
            self.assertEqual(raised.exception.code, "MOA6321")
            self.assertIn(part, str(raised.exception))

    def test_no_process_group(self) -> None:
        for call in (moa_compile.attach_tensor_parallel, moa_compile.tp.shard_model):
            with self.assertRaises(moa_compile.MoaError) as raised:
                call(torch.nn.Linear(2, 2), "nowhere")
            self.assertEqual(raised.exception.code, "MOA6320")
            self.assertIn("torchrun", raised.exception.help)


class Cuts(unittest.TestCase):
    def test_heads(self) -> None:
        cut = cut_heads(0, (2, 3, 0), 4, 2)
        self.assertEqual(cut, Cut(0, 8, ((4, 8), (0, 2))))
        self.assertEqual(cut.of_tensor(torch.arange(8)).tolist(), [4, 5, 6, 7, 0, 1])
        self.assertEqual(cut.taken, 6)

    def test_columns(self) -> None:
        cut = cut_evenly(1, 4, 1, 2)
        whole = torch.arange(8).view(2, 4)
        self.assertEqual(cut.of_tensor(whole).tolist(), [[2, 3], [6, 7]])
        # Files are indexed as tensors are.
        self.assertEqual(cut.of_file(whole).tolist(), [[2, 3], [6, 7]])

    def test_unequal_shares(self) -> None:
        """Without gaps; in multiples of 64 if those are small beside a share."""
        for size, ranks, shares in (
            (13824, 5, [2752, 2752, 2752, 2752, 2816]),
            (11008, 8, [1376] * 8),
            (192, 5, [36, 40, 36, 40, 40]),
            (65, 2, [32, 33]),
            (3, 3, [1, 1, 1]),
        ):
            cuts = [cut_evenly(0, size, rank, ranks) for rank in range(ranks)]
            self.assertEqual([cut.taken for cut in cuts], shares)
            whole = torch.arange(size)
            self.assertTrue(torch.equal(torch.cat([cut.of_tensor(whole) for cut in cuts]), whole))

    def test_fused(self) -> None:
        cut = stack((cut_heads(0, (1,), 2, 2), cut_heads(0, (0,), 2, 1)))
        self.assertEqual(cut, Cut(0, 6, ((2, 5),)))

    def test_cuts_own_their_memory(self) -> None:
        """Else the whole tensor would stay."""
        whole = torch.arange(8)
        part = cut_evenly(0, 8, 0, 2).of_tensor(whole)
        self.assertNotEqual(part.data_ptr(), whole.data_ptr())
