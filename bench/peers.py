"""Dense attention of torch on the shapes of bench/speed.ts: the peers, measured in the same run on the same GPU.

    python3 bench/peers.py OUT.json

Times are medians of CUDA events, in milliseconds, of one layer; rates count the dense work.
"""
import json
import statistics
import sys

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

BACKENDS = {"flash": SDPBackend.FLASH_ATTENTION, "cudnn": SDPBackend.CUDNN_ATTENTION}


def median_ms(run, repeats=20, warmup=5):
    for _ in range(warmup):
        run()
    times = []
    for _ in range(repeats):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        run()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end))
    return statistics.median(times)


def graph_ms(run, repeats=20):
    """Median time of a CUDA graph replay, so that launch overhead of the host does not count."""
    for _ in range(3):
        run()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return median_ms(graph.replay, repeats)


def prefill(backend, heads, kv_heads, head_dim, tokens):
    q = torch.randn(1, heads, tokens, head_dim, device="cuda", dtype=torch.bfloat16)
    k, v = (torch.randn(1, kv_heads, tokens, head_dim, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    with sdpa_kernel(backend):
        ms = median_ms(lambda: F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=heads != kv_heads))
    flops = 2 * head_dim * heads * tokens * (tokens + 1)
    return {"ms": ms, "tflops": flops / ms / 1e9}


def decode(backend, heads, kv_heads, head_dim, tokens, batch):
    q = torch.randn(batch, heads, 1, head_dim, device="cuda", dtype=torch.bfloat16)
    k, v = (torch.randn(batch, kv_heads, tokens, head_dim, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    with sdpa_kernel(backend):
        ms = graph_ms(lambda: F.scaled_dot_product_attention(q, k, v, enable_gqa=heads != kv_heads))
    moved = 2 * 2 * batch * kv_heads * tokens * head_dim
    return {"ms": ms, "tbps": moved / ms / 1e9}


def attempt(run, *arguments):
    """A peer that cannot run a shape says why, and the rest goes on."""
    try:
        return run(*arguments)
    except Exception as error:  # noqa: BLE001 - any failure of a peer is its result
        return {"error": str(error).splitlines()[0][:200]}
    finally:
        torch.cuda.empty_cache()


def main(out):
    results = {"device": torch.cuda.get_device_name(), "torch": torch.__version__, "cudnn": torch.backends.cudnn.version(), "prefill": [], "decode": []}
    shapes = {"vicuna-7b": (32, 32, 128), "llama-3-8b": (32, 8, 128), "llama-3.2-1b": (32, 8, 64)}
    for model, (heads, kv_heads, head_dim) in shapes.items():
        for name, backend in BACKENDS.items():
            for tokens in (4096, 8192, 16384):
                row = {"model": model, "backend": name, "tokens": tokens}
                results["prefill"].append(row | attempt(prefill, backend, heads, kv_heads, head_dim, tokens))
            for batch in (1, 8, 32):
                tokens = 16384 if batch < 32 else 8192
                row = {"model": model, "backend": name, "tokens": tokens, "batch": batch}
                results["decode"].append(row | attempt(decode, backend, heads, kv_heads, head_dim, tokens, batch))
    # The ceiling of memory: the sum of 4 GiB.
    data = torch.empty(1 << 30, device="cuda", dtype=torch.float32).normal_()
    ms = median_ms(lambda: data.sum(), 10)
    results["readTbps"] = data.numel() * 4 / ms / 1e9
    with open(out, "w") as file:
        json.dump(results, file, indent=1)
    print(results["device"], "torch", results["torch"], "read", round(results["readTbps"], 2), "TB/s")
    for kind, unit in (("prefill", "tflops"), ("decode", "tbps")):
        for row in results[kind]:
            value = row.get("error") or f'{row["ms"]:.4f} ms {row[unit]:.2f} {unit}'
            print(row["model"].ljust(14), row["backend"].ljust(6), kind, row["tokens"], row.get("batch", 1), value)


if __name__ == "__main__":
    main(sys.argv[1])
