"""Evaluates attention spans on associative retrieval: which answers a model still gives, by the distance to what they ask for.

    python evaluate.py --model model --masks masks.json --uniform 0.25,0.5 --lengths 1024,2048,4096 --samples 128 --output evaluation.json

masks.json is a list of masks, each for one length, with windows in tokens for each layer and query head:

    [{"name": "ours@0.25", "length": 2048, "sink": 64, "windows": [[...Hq], ...L]}, ...]

`name` may be `plan@density`, as table.py reads it. Dense attention is evaluated at every length that a mask or --lengths names, and --uniform adds
masks with one window for all heads, `uniform@density`. All masks of a length see the same sequences, and the result is a function of the arguments.

Of an answer token, the *distance* is that of task.py: from the position that predicts it back to where it was recorded.

*Effective context*: answers are sorted into bins of 64 tokens of distance; from the short end, a bin is joined with those after it until it holds
BIN_ANSWERS answers, and a rest that holds fewer is joined with the bin before it. The effective context is the end of the last bin, in tokens,
such that it and all bins before it have an accuracy of at least 0.9; the length N if all have, 0 if the first has not. Bins depend on the
sequences alone, so they are the same for all masks of a length.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
from pathlib import Path

import torch
from transformers import LlamaForCausalLM

from task import Batch, Retrieval, Vocabulary, lengths_of

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "python"))
from moa_compile.search.masked import masked_attention

PAGE = 64
BIN = 64
BIN_ANSWERS = 200
EFFECTIVE_ACCURACY = 0.9
FAR = 1024


def uniform_mask(density: float, length: int, sink: int, layers: int, heads: int) -> dict:
    """One window for all heads, whole pages, such that sink and window are at most `density` of the length, but for the least: one page."""
    window = max(int(density * length) // PAGE * PAGE - sink, PAGE)
    return {"name": f"uniform@{density:g}", "length": length, "sink": sink, "windows": [[window] * heads] * layers}


def densities(mask: dict, group: int) -> dict[str, float]:
    """The part of the keys that the heads keep, mean of min(sink + window, N) / N: by query head, and by KV head, which keeps its widest window."""
    length, sink = mask["length"], mask["sink"]
    by_query = [min(sink + window, length) / length for row in mask["windows"] for window in row]
    by_kv = [min(sink + max(row[head : head + group]), length) / length for row in mask["windows"] for head in range(0, len(row), group)]
    return {"queryHeads": sum(by_query) / len(by_query), "kvHeads": sum(by_kv) / len(by_kv)}


@torch.no_grad()
def answer_outcomes(model: LlamaForCausalLM, data: Batch, mask: dict | None, batch_tokens: int) -> tuple[torch.Tensor, torch.Tensor]:
    """float64 [answers] loss in nats and bool [answers] whether right, answers in the order of data.answers(). Without a mask, attention is dense."""
    samples, length = data.tokens.shape
    step = max(batch_tokens // length, 1)
    losses, rights = [], []
    for start in range(0, samples, step):
        tokens = data.tokens[start : start + step].to(model.device)
        is_answer = data.answers()[start : start + step, 1:].to(model.device)
        with masked_attention(model, mask["windows"], mask["sink"]) if mask else contextlib.nullcontext():
            logits = model(input_ids=tokens, use_cache=False).logits
        logits, target = logits[:, :-1][is_answer].float(), tokens[:, 1:][is_answer]
        losses.append(torch.nn.functional.cross_entropy(logits, target, reduction="none").double().cpu())
        rights.append((logits.argmax(1) == target).cpu())
    return torch.cat(losses), torch.cat(rights)


def effective_bins(distances: torch.Tensor, length: int) -> list[tuple[int, int]]:
    """[from, to) of the bins that the head of this file defines, in tokens; distances: int64 [answers]."""
    counts = torch.bincount(distances // BIN, minlength=-(-length // BIN)).tolist()
    bins: list[tuple[int, int]] = []
    start, held = 0, 0
    for index, count in enumerate(counts):
        held += count
        if held >= BIN_ANSWERS:
            bins.append((start, (index + 1) * BIN))
            start, held = (index + 1) * BIN, 0
    last = bins.pop()[0] if bins else 0
    return [*bins, (last, length)]


def part(chosen: torch.Tensor, losses: torch.Tensor, rights: torch.Tensor) -> dict:
    """Counts and means over the chosen answers; null where there are none."""
    count = int(chosen.sum())
    if count == 0:
        return {"answerTokens": 0, "accuracy": None, "loss": None}
    return {"answerTokens": count, "accuracy": rights[chosen].double().mean().item(), "loss": losses[chosen].mean().item()}


def outcome(length: int, data: Batch, losses: torch.Tensor, rights: torch.Tensor) -> dict:
    """All figures of one mask. Loss and accuracy as docs/search-formats.md has them for a validation; distances `from` <= d < `to` in tokens."""
    is_answer = data.answers()
    distances = data.distances()[is_answer]
    per_sample = [each.mean().item() for each in losses.split(is_answer.sum(1).tolist()) if len(each)]

    edges = [0] + [edge for edge in (64 << power for power in range(32)) if edge < length] + [length]
    octaves = [{"from": low, "to": high, **part((distances >= low) & (distances < high), losses, rights)} for low, high in zip(edges, edges[1:])]
    effective, fine = 0, []
    for low, high in effective_bins(distances, length):
        one = part((distances >= low) & (distances < high), losses, rights)
        fine.append([low, high, one["answerTokens"], one["accuracy"]])
        if effective == low and one["accuracy"] is not None and one["accuracy"] >= EFFECTIVE_ACCURACY:
            effective = high
    return {
        "answerTokens": len(losses),
        "accuracy": rights.double().mean().item(),
        "loss": sum(per_sample) / len(per_sample),
        "overHalf": part(distances > length // 2, losses, rights),
        "overFar": {"over": FAR, **part(distances > FAR, losses, rights)},
        "effectiveContext": effective,
        "byDistance": octaves,
        "bins": fine,
    }


def evaluate(
    model: LlamaForCausalLM, vocabulary: Vocabulary, masks: list[dict], lengths: list[int], samples: int, seed: int, batch_tokens: int
) -> dict:
    """Dense attention and then each mask, at each length that occurs."""
    group = model.config.num_attention_heads // model.config.num_key_value_heads
    results = []
    for length in sorted({*lengths, *(mask["length"] for mask in masks)}):
        data = Retrieval(vocabulary, seed + length).batch(samples, length)
        for mask in [None] + [mask for mask in masks if mask["length"] == length]:
            begin = time.monotonic()
            figures = outcome(length, data, *answer_outcomes(model, data, mask, batch_tokens))
            name = mask["name"] if mask else "dense"
            density = densities(mask, group) if mask else {"queryHeads": 1.0, "kvHeads": 1.0}
            results.append({"name": name, "length": length, "sink": mask and mask["sink"], "density": density, **figures})
            print(
                f"{length:5d}  {name:24s}  density {density['kvHeads']:.3f}  accuracy {figures['accuracy']:.4f}  loss {figures['loss']:.4f}"
                f"  effective context {figures['effectiveContext']}  ({time.monotonic() - begin:.1f} s)",
                file=sys.stderr,
                flush=True,
            )
    return {
        "format": "moa-evidence",
        "version": 1,
        "samples": samples,
        "seed": seed,
        "attention": masked_attention.__module__,
        "effective": {"accuracy": EFFECTIVE_ACCURACY, "bin": BIN, "binAnswers": BIN_ANSWERS},
        "results": results,
    }


def vocabulary_of(folder: str) -> Vocabulary:
    """That which train.py wrote beside the model; the default if it wrote none."""
    path = Path(folder, "training.json")
    if not path.exists():
        return Vocabulary()
    options = json.loads(path.read_text(encoding="utf-8"))["options"]
    return Vocabulary(options["keys"], options["values"], options["fillers"])


def main(arguments: list[str] | None = None) -> None:
    on_gpu = torch.cuda.is_available()
    parser = argparse.ArgumentParser(description="Evaluates attention spans on associative retrieval.")
    parser.add_argument("--model", required=True, help="folder that train.py wrote")
    parser.add_argument("--masks", action="append", default=[], help="a JSON list of masks; may be given several times")
    parser.add_argument("--uniform", default="", help="densities, with commas, of uniform windows to add")
    parser.add_argument("--sink", type=int, default=64, help="sink of the uniform windows, in tokens")
    parser.add_argument("--lengths", type=lengths_of, default=[], help="lengths for dense attention and uniform windows")
    parser.add_argument("--samples", type=int, default=128, help="sequences of each length")
    parser.add_argument("--seed", type=int, default=20001)
    parser.add_argument("--batch-tokens", type=int, default=32768)
    parser.add_argument("--device", default="cuda" if on_gpu else "cpu")
    parser.add_argument("--dtype", default="bfloat16" if on_gpu else "float32", choices=["bfloat16", "float32"])
    parser.add_argument("--output", required=True)
    options = parser.parse_args(arguments)

    model = LlamaForCausalLM.from_pretrained(options.model, dtype=getattr(torch, options.dtype), attn_implementation="sdpa").to(options.device).eval()
    masks = [mask for path in options.masks for mask in json.loads(Path(path).read_text(encoding="utf-8"))]
    lengths = sorted({*options.lengths, *(mask["length"] for mask in masks)})
    if not lengths:
        parser.error("give --masks or --lengths")
    shape = (model.config.num_hidden_layers, model.config.num_attention_heads)
    wanted = [float(density) for density in options.uniform.split(",") if density]
    masks += [uniform_mask(density, length, options.sink, *shape) for length in lengths for density in wanted]
    report = evaluate(model, vocabulary_of(options.model), masks, lengths, options.samples, options.seed, options.batch_tokens)
    Path(options.output).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
