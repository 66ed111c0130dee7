"""What ranks refuse, and what they say when they disagree."""

import unittest

from .started import on_four_ranks, on_two_ranks

# The error when a divided model is saved, or other weights are loaded into it.
_STATES = {
    "save_pretrained": ("MOA6325", "one rank's part of its weights, and cannot be saved"),
    "state dict": ("MOA6325", "layers.0.self_attn.q_proj has one rank's part"),
    "of a module": ("MOA6325", "layers.0.self_attn.o_proj has one rank's part"),
    "part": ("MOA6325", "the whole model has [64, 512]"),
    "copy": ("MOA6325", "cannot be copied or pickled"),
    "pickle": ("MOA6325", "cannot be copied or pickled"),
}


class Refusals(unittest.TestCase):
    def said(self, found: dict[str, tuple[str, str]], wanted: dict[str, tuple[str, str]]) -> None:
        """Codes, and parts of messages."""
        for name, (code, text) in wanted.items():
            with self.subTest(name):
                self.assertEqual(found[name][0], code, found[name][1])
                self.assertIn(text, found[name][1])

    def test_refusals(self) -> None:
        """`refusals` has seen that the model is as before."""
        first, second = on_two_ranks()["refusals"]
        alike = {
            "size of the group": ("MOA6320", "for 2 ranks, and the process group has 1"),
            "outsider": ("MOA6320", "not of the group"),
            "package for one": ("MOA6321", "has no tensor-parallel.json"),
            "no folder": ("MOA6321", "there is no folder"),
            "another model": ("MOA6301", "learned sinks"),
            "MLP": ("MOA6322", "layers.1.mlp.down_proj depends on heads or features"),
            "files of an MLP": ("MOA6322", "layers.0.mlp.down_proj depends on heads or features"),
            "heads": ("MOA6322", "q_proj.weight is [256, 64]; the package needs 512 rows"),
            "layers": ("MOA6322", "has 1 layers"),
            "scales": ("MOA6322", "[2][4]"),
            "norm over all heads": ("MOA6322", "q_norm.weight [512] cannot be divided by heads"),
            "adapters": ("MOA6322", "k_proj is Sequential, no linear layer"),
            "attached": ("MOA6310", "attached already"),
            "copy of an attached one": ("MOA6310", "cannot be copied"),
            "package for all": ("MOA6301", "divided over ranks"),
            "divided otherwise": ("MOA6322", "divided already"),
            "gradients": ("MOA6303", "gradients are wanted"),
            "rank's package": ("MOA6301", "attach_tensor_parallel"),
            **_STATES,
        }
        for rank in (first, second):
            self.said(rank, alike)
            self.assertEqual(rank["weights saved"], [])
            self.assertTrue(rank["good"])

    def test_disagreements(self) -> None:
        """Of two ranks, of which the first does what is right."""
        first, second = on_two_ranks()["refusals"]
        for name, code in (("one fails", "MOA6321"), ("checkpoint", "MOA6324")):
            self.said(first, {name: ("MOA6323", f"rank 1 failed: {code}")})
            self.assertEqual(second[name][0], code)
        for name, what in (
            ("packages differ", "package"),
            ("weights differ", "model"),
            ("configs differ", "model"),
            ("lengths differ", "length bound"),
            ("calls differ", "call"),
        ):
            self.said(first, {name: ("MOA6323", f"rank 1 has another {what} than rank 0")})
            self.said(second, {name: ("MOA6323", f"rank 0 has another {what} than rank 1")})

    def test_absent_ranks(self) -> None:
        """Whoever waits for them gets an error when the timeout of the group has passed."""
        absent = ("MOA6323", "another rank ended, or did not do in time")
        self.said(on_two_ranks()["absence"][0], {"attach": absent, "forward": absent})

    def test_refusals_of_four_ranks(self) -> None:
        for number, rank in enumerate(on_four_ranks()["refusals"]):
            depends = "layers.1.mlp.down_proj depends on heads or features"
            failed, other = ("MOA6323", "rank 2 failed: MOA6320"), ("MOA6320", "is for 2 ranks")
            mine, theirs = ("MOA6322", depends), ("MOA6323", "rank 1 failed: MOA6322")
            self.said(
                rank,
                {
                    "ranks": ("MOA6320", "for 2 ranks, and the process group has 4"),
                    "one fails": other if number == 2 else failed,
                    "MLP": mine,
                    "MLP of some": mine if number else theirs,
                    **_STATES,
                },
            )
            self.assertEqual(rank["weights saved"], [])
