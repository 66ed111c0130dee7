"""What tests of attached models have in common."""

import unittest
import warnings

import torch

import moa_compile

from .models import package, tiny_model
from .reference import Reference

# Two runs in bf16 may differ where the two best logits are nearly equal: nearer than this part of
# the largest. Hidden states go through about 16 roundings of 2^-9 each, whose errors add up like a
# random walk to 2^-7 of the size of a logit, in each of two runs and for each of two logits.
TIE = 4 * 2**-7


class Attached(unittest.TestCase):
    """Tests with models that are attached to packages, and their references."""

    def setUp(self) -> None:
        warnings.simplefilter("ignore", FutureWarning)

    def attached(self, family: str = "llama", *options: str, seed: int = 0, **arguments):
        """A model on a package, and the same one under the plan's mask."""
        model = tiny_model(family, seed)
        reference = Reference(model, family)
        moa_compile.attach(model, package(family, *options), **arguments)
        self.addCleanup(self._detach, model)
        return model, reference

    @staticmethod
    def _detach(model) -> None:
        if hasattr(model, "_moa_attachment"):
            moa_compile.detach(model)

    def refused(self, code: str, text: str, call):
        with self.assertRaises(moa_compile.MoaError) as raised:
            call()
        self.assertEqual(raised.exception.code, code)
        self.assertIn(text, str(raised.exception))
        self.assertTrue(raised.exception.help)
        return raised.exception

    def same_text(self, ours: torch.Tensor, theirs: torch.Tensor, reference, bound: int) -> None:
        """Rows without padding of equal tokens, up to the first near tie (`TIE`)."""
        self.assertEqual(ours.shape, theirs.shape)
        for row, (own, other) in enumerate(zip(ours, theirs)):
            if torch.equal(own, other):
                continue
            at = int((own != other).nonzero()[0])
            logits = reference.logits(bound, input_ids=other[None, :at])[0, -1].float()
            best = logits.topk(2).values
            gap, size = float(best[0] - best[1]), float(logits.abs().max())
            where = f"row {row} differs at {at}, where the best logits are {gap} apart"
            self.assertLess(gap, TIE * size, where)


# The length bound of `WithCache`.
BOUND = 260


def pool_of(model):
    """The sessions of an attached model."""
    return model._moa_attachment.forwards.pool


class WithCache(Attached):
    def setUp(self) -> None:
        super().setUp()
        self.model, self.reference = self.attached(length_bound=BOUND)

    def forward(self, **arguments):
        with torch.no_grad():
            return self.model(**arguments)

    def near(self, ours: torch.Tensor, ids: torch.Tensor, **arguments) -> None:
        """Logits of the last columns are the reference's, to errors of bf16 (`support.TIE`)."""
        theirs = self.reference.logits(BOUND, input_ids=ids, **arguments)[:, -ours.shape[1] :]
        error = (ours.float() - theirs.float()).abs().max().item()
        self.assertLess(error, 4 * 2**-7 * theirs.float().abs().max().item())


__all__ = ["BOUND", "Attached", "WithCache", "pool_of"]
