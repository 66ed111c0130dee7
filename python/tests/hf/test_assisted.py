"""Decoding with candidates: refused ones are taken back, within the slack of the rings."""

from .models import texts, tiny_model
from .support import Attached

SLACK = ("--slack", "64")


class Assisted(Attached):
    def test_prompt_lookup(self) -> None:
        """Candidates that are refused are taken back: within the slack of the rings."""
        text = texts(60)[0].repeat(4)[None]
        model, reference = self.attached("llama", *SLACK, length_bound=260)
        arguments = {"input_ids": text, "max_new_tokens": 12, "do_sample": False}
        ours = model.generate(**arguments, prompt_lookup_num_tokens=5)
        theirs = reference.generate(260, **arguments)
        self.same_text(ours, theirs, reference, 260)

    def test_lookup_without_a_fixed_bound(self) -> None:
        """Candidates may lie beyond the end: the bound is so much longer."""
        text = texts(60)[0].repeat(4)[None]
        model, reference = self.attached("llama", *SLACK)
        arguments = {"input_ids": text, "max_new_tokens": 12, "do_sample": False}
        ours = model.generate(**arguments, prompt_lookup_num_tokens=5)
        self.same_text(ours, reference.generate(256, **arguments), reference, 256)

    def test_assistants(self) -> None:
        """An assistant with a package of its own, and a dense one."""
        model, reference = self.attached("llama", *SLACK, length_bound=240)
        helper, _ = self.attached("llama", *SLACK, length_bound=240)
        arguments = {"input_ids": texts(200)[0][None], "max_new_tokens": 12, "do_sample": False}
        theirs = reference.generate(240, **arguments)
        for assistant in (helper, tiny_model(seed=3)):
            ours = model.generate(**arguments, assistant_model=assistant)
            self.same_text(ours, theirs, reference, 240)

    def test_assistants_without_a_bound(self) -> None:
        model, _ = self.attached("llama", *SLACK, length_bound=240)
        helper, _ = self.attached("llama", *SLACK)
        self.refused(
            "MOA6308",
            "the length bound of an assistant model is not known",
            lambda: model.generate(texts(20)[0][None], max_new_tokens=4, assistant_model=helper),
        )

    def test_without_slack(self) -> None:
        """Rings that went round cannot go back: an error, not other text."""
        model, _ = self.attached(length_bound=300)
        text = texts(60)[0].repeat(4)[None]
        self.refused(
            "MOA6110",
            "compile the plan with --slack",
            lambda: model.generate(text, max_new_tokens=12, prompt_lookup_num_tokens=5),
        )
        self.assertEqual(len(model.generate(text, max_new_tokens=2)[0]), 242)
