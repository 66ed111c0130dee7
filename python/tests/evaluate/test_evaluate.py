"""`evaluate` with a tiny random model on the CPU: masks, a package on the emulator, and runs that
are stopped."""

import contextlib
import io
import json
import unittest
from pathlib import Path

import torch

from moa_compile.command_line.run import run_commands
from moa_compile.evaluate import retrieval, run
from moa_compile.evaluate.command import COMMAND
from moa_compile.evaluate.retrieval import is_right
from moa_compile.evaluate.states import head, last_states
from moa_compile.evaluate.texts import Agreement, LossByPosition, next_token_losses
from moa_compile.tasks import Question

from ..chat.test_chat import tokenizer
from ..hf.models import LAYERS, PLAN, QUERY_HEADS, compiled, config_of, tiny_model
from ..hf.reference import mask_of
from ..runtime.packages import obstacle, scratch

REASON = obstacle()
LENGTHS = (320, 448)


def plan_mask(length: int) -> dict:
    masks = [mask_of("llama", layer, length) for layer in range(LAYERS)]
    return {"sink": masks[0][0], "windows": [windows for _, windows in masks]}


def same_mask(window: int, sink: int = 0) -> dict:
    return {"sink": sink, "windows": [[window] * QUERY_HEADS] * LAYERS}


def by_length(mask) -> dict:
    return {str(length): mask(length) for length in LENGTHS}


class Metrics(unittest.TestCase):
    def setUp(self) -> None:
        self.model = tiny_model(dtype=torch.float32)
        self.tokens = torch.randint(3, 60, (200,), generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            self.logits = self.model(input_ids=self.tokens[None]).logits[0].double()
        self.states = last_states(self.model, self.tokens.tolist(), 0)

    def test_losses_are_those_of_the_whole_model(self) -> None:
        with head(self.model) as run_head:
            losses = next_token_losses(self.model, run_head, self.states, self.tokens.tolist())
        wanted = torch.nn.functional.cross_entropy(
            self.logits[:-1], self.tokens[1:], reduction="none"
        )
        self.assertLess(float((losses.double() - wanted).abs().max()), 1e-4)
        sums = LossByPosition.of(200)
        sums.add(losses)
        sums.add(losses)
        row = sums.row()
        edges = [(each["from"], each["to"]) for each in row["byPosition"]]
        self.assertEqual(edges, [(1, 64), (64, 128), (128, 200)])
        self.assertEqual([each["tokens"] for each in row["byPosition"]], [126, 128, 144])
        self.assertEqual(row["tokens"], 398)
        self.assertAlmostEqual(row["loss"], float(wanted.mean()), 4)
        self.assertAlmostEqual(row["byPosition"][1]["loss"], float(wanted[63:127].mean()), 4)

    def test_agreement_is_the_divergence_of_next_tokens(self) -> None:
        other = self.states + 0.05 * torch.randn(self.states.shape)
        with torch.no_grad():
            theirs = self.model.lm_head(other).double().log_softmax(-1)
        own = self.logits.log_softmax(-1)
        wanted = float((own.exp() * (own - theirs)).sum(-1).mean())
        with head(self.model) as run_head:
            sums = Agreement()
            sums.add(self.model, run_head, self.states, other)
            self.assertAlmostEqual(sums.row()["kl"], wanted, 4)
            same = float((own.argmax(-1) == theirs.argmax(-1)).double().mean())
            self.assertAlmostEqual(sums.row()["top1"], same, 6)
            alike = Agreement()
            alike.add(self.model, run_head, self.states, self.states)
        self.assertEqual((alike.row()["kl"], alike.row()["top1"]), (0, 1))

    def test_what_is_asked_is_what_the_model_says(self) -> None:
        words = tokenizer()
        question = Question("lines", "x is 4821.", "what is x?", "4821", 0.5, ((0, 9),))
        prompt = retrieval._Prompt(question, [9] * 20, 15)

        def tokens(text: str) -> list[int]:
            return words(text, add_special_tokens=False)["input_ids"]

        for said, first, last, distance in (
            ("it is 4821. yes", 6, 10, 21),
            ("it is 48219", 0, 4, 15),
            ("no", 0, 4, 15),
        ):
            asked = retrieval._asked(words, prompt, tokens(said))
            self.assertEqual(words.decode(asked.tokens[20 + first : 20 + last]), "4821")
            self.assertEqual((asked.first, asked.last), (20 + first, 20 + last))
            self.assertEqual((asked.distance, asked.depth), (distance, 0.5))

    def test_right_is_each_token_of_the_answer(self) -> None:
        greedy = self.logits.argmax(-1)
        tokens = self.tokens.tolist()
        best = [*tokens[:100], *greedy[99:100].tolist()]
        asked = retrieval.Asked(best, 100, 101, 0.5, 1)
        states = last_states(self.model, best[:100], 99)
        with head(self.model) as run_head:
            self.assertTrue(is_right(states, run_head, asked))
            other = retrieval.Asked([*best[:100], (best[100] + 1) % 60], 100, 101, 0.5, 1)
            self.assertFalse(is_right(states, run_head, other))


@unittest.skipIf(REASON is not None, REASON)
class Runs(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.folder = scratch() / "evaluated"
        model, words = tiny_model(), tokenizer()
        model.save_pretrained(cls.folder)
        words.save_pretrained(cls.folder)
        texts = scratch() / "evaluated-texts"
        texts.mkdir(exist_ok=True)
        lines = ("the other one said that it was so.\n\n", "and then, it was not so 7 days on.\n\n")
        (texts / "a.txt").write_text("".join(lines[n % 3 % 2] for n in range(60)))
        package = str(compiled("evaluate-package", PLAN, config_of("llama")))
        cls.request = {
            "format": "moa-evaluation-request",
            "version": 1,
            "seed": 0,
            "lengths": list(LENGTHS),
            "subjects": [
                {"id": "kernels", "package": package, "masks": by_length(plan_mask)},
                {"id": "whole", "masks": by_length(lambda length: same_mask(length))},
                {"id": "plan", "masks": by_length(plan_mask)},
                {"id": "short", "masks": by_length(lambda length: same_mask(8))},
            ],
            "retrieval": {"kinds": ["pairs"], "samples": 3, "depths": 3},
            "texts": {"path": str(texts), "samples": 2},
        }

    def evaluate(self, request: dict, name: str = "answer") -> tuple[int, str, Path]:
        path, output = scratch() / "request.json", scratch() / f"{name}.json"
        path.write_text(json.dumps(request))
        words = ("evaluate", "--model", self.folder, "--request", path, "--output", output)
        err = io.StringIO()
        with contextlib.redirect_stderr(err):
            status = run_commands([COMMAND], [*map(str, words), "--device", "cpu"])
        return status, err.getvalue(), output

    def test_an_answer(self) -> None:
        status, said, output = self.evaluate(self.request)
        self.assertEqual((status, said), (0, ""))
        answer = json.loads(output.read_text())
        self.assertEqual(answer["format"], "moa-evaluation")
        names = ["dense", "whole", "plan", "short", "kernels"]
        for rows in (answer["retrieval"], answer["perplexity"]):
            at = [(row["length"], row["subject"]) for row in rows]
            self.assertEqual(at, [(length, name) for length in LENGTHS for name in names])
        for row in answer["retrieval"]:
            depths = [each["depth"] for each in row["questions"]]
            self.assertEqual(depths, [1 / 6, 3 / 6, 5 / 6])
            distances = [each["distance"] for each in row["questions"]]
            self.assertEqual(distances, sorted(distances, reverse=True))
            self.assertLess(distances[0], row["length"])
        losses = {(row["length"], row["subject"]): row["loss"] for row in answer["perplexity"]}
        agreement = {
            (row["length"], row["subject"], row["with"]): row for row in answer["agreement"]
        }
        self.assertEqual(len(agreement), 10)
        for length in LENGTHS:
            # All tokens are in the window: dense but for rounding.
            self.assertAlmostEqual(losses[length, "whole"], losses[length, "dense"], 1)
            self.assertLess(agreement[length, "whole", "dense"]["kl"], 0.01)
            self.assertGreater(agreement[length, "short", "dense"]["kl"], 0.05)
            self.assertLess(agreement[length, "kernels", "plan"]["kl"], 0.01)
            self.assertGreater(agreement[length, "kernels", "plan"]["top1"], 0.95)
            kernels, plan = (agreement[length, name, "dense"]["kl"] for name in ("kernels", "plan"))
            self.assertAlmostEqual(kernels, plan, delta=0.02)
            self.assertEqual(agreement[length, "plan", "dense"]["tokens"], 2 * length)
        self.assertFalse(Path(f"{output}.partial").exists())

    def test_a_run_that_is_stopped_goes_on(self) -> None:
        request = {**self.request, "subjects": self.request["subjects"][1:]}
        _, _, whole = self.evaluate(request, "unbroken")
        before, steps = run.attending, []

        @contextlib.contextmanager
        def attending(model, subject, length):
            steps.append((subject.id if subject else None, length))
            if len(steps) in (3, 7):
                raise KeyboardInterrupt
            with before(model, subject, length):
                yield

        run.attending = attending
        try:
            ends = [self.evaluate(request, "broken")[0] for _ in range(3)]
        finally:
            run.attending = before
        self.assertEqual(ends, [130, 130, 0])
        self.assertEqual((scratch() / "broken.json").read_text(), whole.read_text())
        # What was measured is not measured again, but for the dense states that others need.
        self.assertEqual(steps.count(("whole", LENGTHS[0])), 1)
        other = scratch() / "broken.json.partial"
        other.write_text(json.dumps({"format": "another", "version": 1, "key": {}}) + "\n")
        status, said, _ = self.evaluate(request, "broken")
        self.assertEqual(status, 2)
        self.assertIn("error MOA7406: ", said)
        other.unlink()

    def test_what_is_wrong(self) -> None:
        plan = self.request["subjects"][2]
        kernels = {**self.request["subjects"][0], "masks": by_length(lambda _: same_mask(64, 64))}
        small = by_length(lambda _: {"sink": 0, "windows": [[1]]})
        empty = by_length(lambda _: same_mask(0))
        riddles = {"kinds": ["riddles"], "samples": 1, "depths": 1}
        nowhere = {"path": "/nowhere", "samples": 1}
        for changes, says in (
            ({"version": 2}, 'MOA7430: .*"version" is not 1'),
            ({"lengths": [448, 320]}, "MOA7430: .*do not rise"),
            ({"lengths": [320]}, "MOA7430: .*not one mask for each length"),
            ({"subjects": [plan, plan]}, "MOA7430: .*one id"),
            ({"subjects": [{**plan, "id": "dense"}]}, "MOA7430: .*one id"),
            ({"subjects": [{"id": "x"}]}, 'MOA7430: .*a subject has no "masks"'),
            ({"subjects": [{"id": "x", "masks": small}]}, "MOA7430: .*is not for 2 layers of 4"),
            ({"subjects": [{"id": "x", "masks": empty}]}, "MOA7430: .*no integer from 1"),
            ({"retrieval": riddles}, 'MOA7430: .*"kinds"'),
            ({"texts": nowhere}, "MOA7422: /nowhere cannot be read"),
            ({"lengths": [8192], "subjects": [], "retrieval": None}, "MOA7422: .* 8192 are wanted"),
            ({"subjects": [kernels], "retrieval": None}, "MOA7431: at 320 tokens .*a window of"),
        ):
            with self.subTest(says):
                status, said, output = self.evaluate({**self.request, **changes}, "wrong")
                self.assertEqual(status, 2)
                self.assertRegex(said, f"^error {says}")
                self.assertFalse(output.exists())
                Path(f"{output}.partial").unlink(missing_ok=True)
