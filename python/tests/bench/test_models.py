"""bench/models on the CPU: tiny models, the emulator, and peers that need no GPU."""

import contextlib
import functools
import io
import json
import unittest
from pathlib import Path

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend

from ..runtime.packages import obstacle, scratch

try:
    import transformers  # noqa: F401

    REASON = obstacle()
except ImportError:
    REASON = "there is no transformers"

if REASON is None:
    from bench.models.batches import decode_between
    from bench.models.dense import DenseAttention
    from bench.models.hugging_face import make_model, measure_generation, static_cache
    from bench.models.kinds import KINDS
    from bench.models.ours import fill_session
    from bench.models.packages import half_plan, make_packages
    from bench.models.points import Point, all_points, chosen
    from bench.models.processes import Workers
    from bench.models.run import add_row, is_done, main
    from bench.models.settings import Settings, case_of
    from bench.models.shapes import shape_of
    from bench.models.worker import measure

    from moa_compile.measure.energy import mean_watts

    torch.set_num_threads(1)

POINTS = "*/llama-3-8b/8192/*/most,*/vicuna-7b/4096/*/most,first-token/*/ours/*,layer-cost/*"


@functools.cache
def packages() -> Path:
    folder = scratch() / "models"
    make_packages(folder, Path(), ["--arch", "8.0", "--emit", "cuda"], small=True)
    return folder


def settings(folder: Path | None = None) -> "Settings":
    return Settings("cpu", True, 70.0, str(packages() if folder is None else folder))


@unittest.skipIf(REASON is not None, REASON)
class Points(unittest.TestCase):
    def test_each_has_an_id_of_its_own_and_is_measured_by_something(self) -> None:
        points = all_points()
        self.assertEqual(len({point.id for point in points}), len(points))
        for point in points:
            self.assertIn(point.implementation, KINDS[point.kind], point.id)

    def test_patterns(self) -> None:
        found = chosen(all_points(), "bare/vicuna-7b/4096/*,layer-cost/*")
        self.assertEqual([point.kind for point in found], ["layer-cost", "bare", "bare"])

    def test_batches_fill_the_memory(self) -> None:
        """Shapes of the published models; nothing is allocated."""
        real = Settings("cuda", False, 70.0, "nowhere")
        rows = {
            (model, kind, implementation): case_of(
                Point(kind, model, 16384, implementation, "most"), real
            ).rows
            for model in ("vicuna-7b", "llama-3-8b")
            for kind, implementation in (("bare", "cudnn"), ("generate", "dynamic"))
        }
        self.assertEqual(
            rows,
            {
                ("vicuna-7b", "bare", "cudnn"): 7,
                ("vicuna-7b", "generate", "dynamic"): 7,
                ("llama-3-8b", "bare", "cudnn"): 27,
                ("llama-3-8b", "generate", "dynamic"): 24,
            },
        )

    def test_the_plan_of_half_the_cache(self) -> None:
        plan = half_plan(shape_of("llama-3-8b", False))
        for row in plan["betas"]:
            self.assertEqual(sum(row) / len(row), 0.5)
            for head in range(0, 32, 4):
                self.assertEqual(len(set(row[head : head + 4])), 1)
        self.assertNotEqual(plan["betas"][0], plan["betas"][1])


@unittest.skipIf(REASON is not None, REASON)
class Measured(unittest.TestCase):
    def test_rows_of_all_kinds(self) -> None:
        for point in chosen(all_points(), POINTS):
            with self.subTest(point.id):
                row = measure(point, settings())
                self.assertNotIn("error", row)
                if point.implementation in ("cudnn", "static", "continuous"):
                    self.assertIn("needs a GPU", row["skipped"])
                    continue
                figure = {"first-token": "firstTokenMs", "layer-cost": "usPerCall"}
                self.assertGreater(row[figure.get(point.kind, "tokensPerSecond")], 0)
                if point.is_ours and point.kind in ("bare", "generate"):
                    self.assertGreater(row["cacheDensity"], 0)

    def test_what_is_not_there_is_skipped_and_what_fails_says_why(self) -> None:
        point = Point("bare", "vicuna-7b", 4096, "ours", "most")
        row = measure(point, settings(scratch()))
        self.assertEqual(row["skipped"], "there is no package vicuna-7b")
        row = measure(Point("bare", "vicuna-7b", 32, "ours", "most"), settings())
        self.assertIn("Error", row["error"])
        ours = Point("batches", "llama-3-8b", 16384, "ours", "most")
        row = measure(ours, settings())
        self.assertTrue(is_done(row), row)

    def test_a_static_cache_is_gone_on_with(self) -> None:
        case = case_of(Point("generate", "llama-3-8b", 8192, "static", "most"), settings())
        with torch.no_grad():
            model = make_model(case.shape, case.device)
            cache = static_cache(case, model)
            facts = measure_generation(case, model, cache)
        self.assertGreater(facts["tokensPerSecond"], 0)
        # 96 tokens were free, and generations of 2, 2, 2, 2 and 10 leave the last one out.
        self.assertEqual(int(cache.get_seq_length()), case.tokens - 96 + 18)

    def test_sequences_of_a_filled_session_have_pages_of_their_own(self) -> None:
        case = case_of(Point("bare", "llama-3-8b", 16384, "ours", "most"), settings())
        session = case.package().session(slots=2, length_bound=case.tokens, device="cpu")
        fill_session(session, case.shape, 448)
        for layer in range(case.shape.layers):
            self.assertEqual(session.lengths(layer), [448, 448])
        usage = session.usage()
        self.assertEqual((usage.shared, usage.free), (0, usage.pages - usage.held))
        self.assertEqual(sum(map(session.pages_in_use, range(case.shape.layers))), usage.held)

    def test_the_dense_peer_attends_all_tokens_and_turns_by_position(self) -> None:
        shape, rows, tokens = shape_of("llama-3-8b", True), 2, 40
        device = torch.device("cpu")
        attention = DenseAttention(shape, rows, tokens, device, SDPBackend.MATH)
        x = torch.randn(rows, shape.hidden).bfloat16()
        before = attention.keys[1].clone()
        out = attention(1, x)
        heads, width = shape.query_heads + shape.kv_heads, shape.head_dim
        every = (x @ attention.weights[1]).view(rows, -1, width).float()
        angles = (tokens - 1) * 10000.0 ** -(torch.arange(0, width, 2) / width)
        first, second = every[:, :heads].chunk(2, -1)
        turned = torch.cat(
            (
                first * angles.cos() - second * angles.sin(),
                second * angles.cos() + first * angles.sin(),
            ),
            -1,
        )
        keys = before.float()
        keys[:, :, -1] = turned[:, shape.query_heads :]
        torch.testing.assert_close(attention.keys[1].float(), keys, rtol=0.02, atol=0.02)
        query = turned[:, : shape.query_heads].unsqueeze(2)
        values = attention.values[1].float()
        torch.testing.assert_close(values[:, :, -1], every[:, heads:])
        wanted = F.scaled_dot_product_attention(query, keys, values, enable_gqa=True)
        torch.testing.assert_close(out.float(), wanted.reshape(rows, -1), rtol=0.05, atol=0.02)


@unittest.skipIf(REASON is not None, REASON)
class Numbers(unittest.TestCase):
    def test_power_is_taken_between_changes_of_the_counter(self) -> None:
        values = [5000, 5000, 6000, 6000, 7500, 7500, 9000, 9000]
        samples = [(0.1 * at, value) for at, value in enumerate(values)]
        # From 6 J at 0.2 s to 9 J at 0.6 s.
        self.assertAlmostEqual(mean_watts(samples), 7.5)
        self.assertIsNone(mean_watts(samples[:4]))

    def test_decode_between_the_last_first_token_and_the_first_end(self) -> None:
        texts = [[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [2.5, 3.5, 4.5, 5.5, 6.5, 7.5]]
        facts = decode_between(texts)
        # From 2.5 to 6: 3, 4, 5, 6 and 3.5, 4.5, 5.5 make 3 whole steps.
        self.assertEqual(facts["steps"], 3)
        self.assertEqual(decode_between([[1.0, 2.0], [2.5, 3.5]]), {})

    def test_a_point_has_one_row_and_rows_the_order_of_points(self) -> None:
        first, second = (point.id for point in all_points()[:2])
        results: dict = {"rows": []}
        for row in ({"id": second}, {"id": first, "error": "x"}, {"id": first}):
            add_row(results, row)
        self.assertEqual(results["rows"], [{"id": first}, {"id": second}])


@unittest.skipIf(REASON is not None, REASON)
class Command(unittest.TestCase):
    def test_a_run_goes_on_where_the_last_one_ended(self) -> None:
        out = scratch() / "result.json"
        line = [str(out), "--device", "cpu", "--small", "--packages", str(packages())]

        def run(*options: str) -> str:
            with contextlib.redirect_stdout(io.StringIO()) as said:
                self.assertEqual(main([*line, *options]), 0)
            return said.getvalue()

        ours = "bare/vicuna-7b/4096/ours/most"
        self.assertIn("tokens/s", run("--only", ours))
        result = json.loads(out.read_text())
        self.assertEqual([row["id"] for row in result["rows"]], [ours])
        self.assertIn("emulator", result["device"])
        self.assertEqual(run("--only", ours), "")
        self.assertIn("no time for", run("--only", "layer-cost/*", "--minutes", "0.1"))
        self.assertEqual(json.loads(out.read_text()), result)
        self.assertEqual(len(run("--list").splitlines()), len(all_points()))

    def test_a_process_that_ends_early_or_takes_too_long_is_a_row(self) -> None:
        point = all_points()[0]
        for environment, seconds, reason in (
            ({}, 0.2, "it took longer than 0 s"),
            ({"PYTHONHOME": "/nowhere"}, 60, "its process ended with 1: "),
        ):
            workers = Workers(settings(scratch()), scratch(), environment)
            answer = workers.run(point, seconds, True)
            workers.close()
            self.assertEqual(answer["row"]["id"], point.id)
            self.assertIn(reason, answer["row"]["error"])


if __name__ == "__main__":
    unittest.main()
