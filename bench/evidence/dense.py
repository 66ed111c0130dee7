"""What a dense model can do on long contexts: retrieval by task, format and depth, and perplexity
by position on real texts.

    python3 -m bench.evidence.dense MODEL_FOLDER TEXTS_FOLDER OUT.json

One thread of a CPU is enough: a context is read once, and all of its questions are asked behind its
cache. An answer is right if each of its tokens is the most likely one, which is what greedy
generation would give. OUT.json is complete after each row."""

import argparse
import json
import os
import statistics
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import torch
import transformers

from .prompts import CHAT, CONTENTS, FORMS, Content, chosen_records, ending, make_context

_CHUNK: Final = 1024
_QUARTERS: Final = 4
_EDGES: Final = (0, 64, 256, 512, 1024, 2048, 4096, 8192)
# Texts whose sentences surround needles.
_NEEDLE_SOURCE: Final = "debian-handbook"
# Long texts of each source for perplexity, by the start of their names.
_PROSE: Final = {
    "bible": "bible/",
    "debian-handbook": "debian-handbook/",
    "python": "python/tutorial/|python/howto/",
    "linux": "linux/process/|linux/admin-guide/",
}


class Dense:
    """The model and its tokenizer."""

    def __init__(self, folder: Path, device: str) -> None:
        self.tokenizer: Any = transformers.AutoTokenizer.from_pretrained(folder)
        dtype = torch.float32 if device == "cpu" else torch.bfloat16
        model: Any = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
        self.model = model.to(device).eval()
        self.device = device

    def encode(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer(text, add_special_tokens=False).input_ids
        return ids

    @property
    def begin(self) -> list[int]:
        """What the tokenizer puts before a text."""
        ids: list[int] = self.tokenizer("").input_ids
        return ids

    def chat(self) -> tuple[str, str]:
        """The template before and after a user's words."""
        mark = "@@"
        words = [{"role": "user", "content": mark}]
        text = self.tokenizer.apply_chat_template(words, tokenize=False, add_generation_prompt=True)
        before, after = text.split(mark)
        return before, after

    @torch.inference_mode()
    def read(self, tokens: Sequence[int]) -> Any:
        """The cache of a context."""
        cache: Any = transformers.DynamicCache(config=self.model.config)
        for start in range(0, len(tokens), _CHUNK):
            part = torch.tensor([list(tokens[start : start + _CHUNK])], device=self.device)
            self.model(part, past_key_values=cache, use_cache=True, logits_to_keep=1)
        return cache

    @torch.inference_mode()
    def answer(self, cache: Any, asked: str, answer: str) -> tuple[bool, float]:
        """Whether greedy generation gives the answer, and its nats. The cache stays as it is."""
        length = cache.get_seq_length()
        question, expected = self.encode(asked), self.encode(answer)
        tokens = torch.tensor([question + expected], device=self.device)
        logits = self.model(
            tokens, past_key_values=cache, use_cache=True, logits_to_keep=len(expected) + 1
        ).logits[0, :-1]
        # Releases differ in what a positive number means.
        cache.crop(length - cache.get_seq_length())
        target = torch.tensor(expected, device=self.device)
        loss = torch.nn.functional.cross_entropy(logits.float(), target, reduction="sum")
        return bool((logits.argmax(1) == target).all()), loss.item()

    @torch.inference_mode()
    def losses(self, tokens: Sequence[int]) -> torch.Tensor:
        """float32 [tokens - 1]: nats of each token but the first."""
        cache: Any = transformers.DynamicCache(config=self.model.config)
        ids = torch.tensor(tokens, device=self.device)
        found = []
        for start in range(0, len(tokens) - 1, _CHUNK):
            end = min(start + _CHUNK, len(tokens) - 1)
            logits = self.model(ids[None, start:end], past_key_values=cache, use_cache=True).logits
            target = ids[start + 1 : end + 1]
            found.append(
                torch.nn.functional.cross_entropy(logits[0].float(), target, reduction="none")
            )
        return torch.cat(found).cpu()


def retrieval(
    dense: Dense,
    content: Content,
    length: int,
    forms: Sequence[str],
    texts: list[str],
    options: argparse.Namespace,
) -> Iterator[dict[str, Any]]:
    """A row for each form. texts: those that needles are put into, one for each sample."""
    before, after = dense.chat() if dense.tokenizer.chat_template else ("", "")
    behind = [form for form in forms if form != CHAT]
    for wraps in (behind, [CHAT] if CHAT in forms and before else []):
        if not wraps:
            continue
        begin = time.monotonic()
        found: dict[str, list[tuple[float, bool, float]]] = {form: [] for form in wraps}
        first = dense.encode(before) if wraps == [CHAT] else dense.begin
        for sample in range(options.samples):
            prose = texts[sample % len(texts)]
            context = make_context(content, length, prose, first, dense.encode, sample)
            cache = dense.read(context.tokens)
            for record in chosen_records(context, options.questions, sample):
                for form in wraps:
                    right, nats = dense.answer(cache, *ending(context, record, form, after))
                    found[form].append((record.at / len(context.tokens), right, nats))
        for form, outcomes in found.items():
            yield {
                "task": content.name,
                "form": form,
                "length": length,
                **summary(outcomes),
                "seconds": round(time.monotonic() - begin, 1),
            }


def summary(outcomes: Sequence[tuple[float, bool, float]]) -> dict[str, Any]:
    """outcomes: depth in 0..1, whether right, nats. Depth 0 is the start of the context."""
    quarters: list[float | None] = []
    for quarter in range(_QUARTERS):
        own = [right for depth, right, _ in outcomes if int(depth * _QUARTERS) == quarter]
        quarters.append(round(statistics.mean(own), 3) if own else None)
    return {
        "answers": len(outcomes),
        "accuracy": round(statistics.mean(right for _, right, _ in outcomes), 3),
        "byDepth": quarters,
        "nats": round(statistics.mean(nats for _, _, nats in outcomes), 3),
    }


def perplexity(
    dense: Dense, source: str, texts: list[str], options: argparse.Namespace
) -> dict[str, Any]:
    """A row: by position, over the start of one text for each sample."""
    begin = time.monotonic()
    rows = []
    for text in texts[: options.texts]:
        tokens = [*dense.begin, *dense.encode(text)][: options.positions]
        if len(tokens) == options.positions:
            rows.append(dense.losses(tokens))
    losses = torch.stack(rows)
    places = [edge for edge in _EDGES if edge < losses.shape[1]] + [losses.shape[1]]
    by_position = {
        f"{low}-{high}": round(losses[:, low:high].mean().exp().item(), 2)
        for low, high in zip(places, places[1:], strict=False)
    }
    return {
        "task": "perplexity",
        "source": source,
        "texts": len(rows),
        "length": options.positions,
        "perplexity": round(losses.mean().exp().item(), 2),
        "byPosition": by_position,
        "seconds": round(time.monotonic() - begin, 1),
    }


def read_texts(folder: Path, starts: str, least_bytes: int) -> list[str]:
    """Those whose names begin so and that are long enough, in the order of texts.json."""
    listed = json.loads((folder / "texts.json").read_text())
    rows = [row for source in listed for row in source["texts"] if row["bytes"] >= least_bytes]
    chosen = [row["file"] for row in rows if row["file"].startswith(tuple(starts.split("|")))]
    if not chosen:
        raise SystemExit(f"{folder} has no text {starts} of {least_bytes} bytes or more")
    return [(folder / name).read_text(encoding="utf-8") for name in chosen]


def shown(row: dict[str, Any]) -> str:
    """A line of the table."""
    if row["task"] == "perplexity":
        parts = "  ".join(f"{place} {value}" for place, value in row["byPosition"].items())
        return f"perplexity {row['source']:16} {row['perplexity']:6.2f}  by position: {parts}"
    depths = " ".join("   -" if part is None else f"{part:4.0%}" for part in row["byDepth"])
    return (
        f"{row['task']:16} {row['form']:11} {row['length']:5}  {row['accuracy']:4.0%} of "
        f"{row['answers']:3}  by depth {depths}  {row['nats']:7.3f} nats  {row['seconds']} s"
    )


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python3 -m bench.evidence.dense",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", type=Path, help="a folder that bench.evidence.models wrote")
    parser.add_argument("texts_folder", type=Path, metavar="texts", help="of bench.evidence.texts")
    parser.add_argument("out", type=Path, help="the result, JSON")
    parser.add_argument("--lengths", default="512,1024,2048,4096", help="of retrieval, in tokens")
    parser.add_argument("--tasks", help="some of the tasks, with commas")
    parser.add_argument("--forms", default=",".join(FORMS), help="of prompts, with commas")
    parser.add_argument("--samples", type=int, default=4, help="contexts of each task and length")
    parser.add_argument("--questions", type=int, default=8, help="about each context")
    parser.add_argument("--positions", type=int, default=4096, help="of perplexity; 0: none")
    parser.add_argument("--texts", type=int, default=2, help="of each source, for perplexity")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    torch.set_num_threads(options.threads)
    # Of `past_key_values`, which releases name differently.
    warnings.filterwarnings("ignore", category=FutureWarning)
    dense = Dense(options.model, options.device)
    wanted = [content.name for content in CONTENTS]
    wanted = wanted if options.tasks is None else options.tasks.split(",")
    own = {key: getattr(options, key) for key in ("lengths", "samples", "questions", "positions")}
    results: dict[str, Any] = {"model": options.model.name, "settings": own, "rows": []}

    def keep(row: dict[str, Any]) -> None:
        results["rows"].append(row)
        part = options.out.with_name(f"{options.out.name}.part")
        part.write_text(json.dumps(results, indent=1) + "\n")
        os.replace(part, options.out)
        print(shown(row), flush=True)

    lengths = [int(length) for length in options.lengths.split(",") if length]
    for length in lengths:
        texts = read_texts(options.texts_folder, f"{_NEEDLE_SOURCE}/", 8 * length)
        for content in CONTENTS:
            if content.name in wanted:
                for row in retrieval(
                    dense, content, length, options.forms.split(","), texts, options
                ):
                    keep(row)
    for source, starts in _PROSE.items() if options.positions else ():
        texts = read_texts(options.texts_folder, starts, 8 * options.positions)
        keep(perplexity(dense, source, texts, options))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
