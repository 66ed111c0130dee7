"""Time and memory of a profile against the way of the MoA authors' pipeline, which keeps whole attention matrices.

    PYTHONPATH=python python bench/search/profile_cost.py out.json [--lengths 2048,4096,8192] [--smoke]

The model has the shape of Llama 3.2 1B (its vocabulary apart) and random weights. Per method and length, each in a process of its
own: the fastest of the samples after one that is not counted, and the peak of CUDA memory with and without the weights. --smoke: a tiny model on any device, to see that all of it runs.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time

import torch
import torch.utils.checkpoint
import transformers
from moa_compile.search.data import Sample
from moa_compile.search.interface import attention_of
from moa_compile.search.loss import run_sample
from moa_compile.search.model import decoder_layers, differentiable
from moa_compile.search.profile import profile_sample

LLAMA_1B = dict(hidden_size=2048, intermediate_size=8192, num_hidden_layers=16, num_attention_heads=32, num_key_value_heads=8, head_dim=64)
TINY = dict(hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=16)
ANSWERS = 64


def make_model(shape: dict, device: torch.device, dtype: torch.dtype):
    torch.manual_seed(0)
    config = transformers.LlamaConfig(vocab_size=1024, max_position_embeddings=1 << 17, rope_theta=500000.0, **shape)
    with torch.device(device):
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=dtype)
    return model.eval().requires_grad_(False)


def ours(model, sample: Sample) -> list[torch.Tensor]:
    config, device = model.config, model.device
    pages = -(-len(sample.tokens) // 64)
    sums = [torch.zeros(config.num_attention_heads, 2, pages, pages, device=device) for _ in range(config.num_hidden_layers)]
    profile_sample(model, sample, sums)
    return [part.sum(1) for part in sums]


class Watched(torch.autograd.Function):
    """Hands A on, and on the way back gives `keep(A, gradient)`."""

    @staticmethod
    def forward(context, a, keep):
        context.save_for_backward(a)
        context.keep = keep
        return a.view_as(a)

    @staticmethod
    def backward(context, gradient):
        context.keep(context.saved_tensors[0], gradient)
        return gradient, None


def whole_matrices(model, sample: Sample, checkpoint: bool) -> list[torch.Tensor]:
    """As the authors' pipeline: A of all heads is one matrix that keeps its gradient, and the influence another in float32, summed by page.

    Without `checkpoint` the matrices of all layers live until the backward pass; with it, those of one layer at a time.
    """
    sums: dict[int, torch.Tensor] = {}

    def attention(layer, query, key, value, rule):
        group = query.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(group, 1), value.repeat_interleave(group, 1)
        s = query @ key.transpose(2, 3) * rule.scaling
        tokens = s.shape[-1]
        s = s + torch.full((tokens, tokens), torch.finfo(s.dtype).min, dtype=s.dtype, device=s.device).triu(1)
        a = torch.softmax(s, -1, dtype=torch.float32).to(query.dtype)

        def keep(matrix, gradient):
            weights, slopes = matrix.float(), gradient.float()
            product = weights * slopes
            influence = weights * (slopes - product.sum(-1, keepdim=True)) / (1e-6 + 1 - weights)
            influence[..., 0, :] = product[..., 0, :]
            heads, pages = influence.shape[1], tokens // 64
            sums[layer] = influence.abs_().view(heads, pages, 64, pages, 64).sum((2, 4))

        return Watched.apply(a, keep) @ value

    with attention_of(model, attention), differentiable(model, checkpoint):
        run_sample(model, sample, 1.0)
    return [sums[layer] for layer in range(model.config.num_hidden_layers)]


METHODS = {
    "blocks": ours,
    "whole": lambda model, sample: whole_matrices(model, sample, False),
    "wholeOneLayer": lambda model, sample: whole_matrices(model, sample, True),
}


def measure(options: argparse.Namespace, name: str, length: int) -> dict:
    """One method at one length, in this process: what an earlier one left in memory would count."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    cuda = device.type == "cuda"
    dtype = torch.bfloat16 if cuda else torch.float32
    shape = TINY if options.smoke else LLAMA_1B
    model = make_model(shape, device, dtype)
    assert decoder_layers(model)
    ids = torch.randint(1024, (length,), generator=torch.Generator().manual_seed(length)).tolist()
    sample = Sample(f"length {length}", ids, [-100] * (length - ANSWERS) + ids[-ANSWERS:])
    before = torch.cuda.memory_allocated() if cuda else 0
    facts = {"length": length, "method": name, "device": torch.cuda.get_device_name(0) if cuda else platform.machine(), "dtype": str(dtype).removeprefix("torch."), "weightBytes": before}
    times = []
    try:
        for _ in range(options.runs + 1):
            begin = time.perf_counter()
            found = METHODS[name](model, sample)
            if cuda:
                torch.cuda.synchronize()
            times.append(time.perf_counter() - begin)
    except torch.OutOfMemoryError as error:
        return {**facts, "outOfMemory": True, "says": str(error).split(". ")[0]}
    facts |= {"seconds": min(times[1:]), "total": sum(float(part.sum()) for part in found)}
    if cuda:
        peak = torch.cuda.max_memory_allocated()
        facts |= {"peakBytes": peak, "peakBytesWithoutWeights": peak - before}
    return facts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("output")
    parser.add_argument("--lengths", default=None)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--only", help="one method, in this process")
    options = parser.parse_args()
    lengths = [int(part) for part in (options.lengths or ("256,512" if options.smoke else "2048,4096,8192")).split(",")]
    if options.only:
        facts = measure(options, options.only, lengths[0])
        with open(options.output, "w", encoding="utf-8") as file:
            json.dump(facts, file)
        return
    results = []
    for length in lengths:
        for name in METHODS:
            part = f"{options.output}.part"
            command = [sys.executable, __file__, part, "--only", name, "--lengths", str(length), "--runs", str(options.runs), *(["--smoke"] if options.smoke else [])]
            subprocess.run(command, check=True)
            with open(part, encoding="utf-8") as file:
                results.append(json.load(file))
            os.unlink(part)
            print(results[-1], flush=True)
    facts = {
        "command": "PYTHONPATH=python python bench/search/profile_cost.py",
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "model": {**(TINY if options.smoke else LLAMA_1B), "weights": "random"},
        "answers": ANSWERS,
        "runs": options.runs,
        "results": results,
    }
    with open(options.output, "w", encoding="utf-8") as file:
        json.dump(facts, file, indent=1)
        file.write("\n")


if __name__ == "__main__":
    main()
