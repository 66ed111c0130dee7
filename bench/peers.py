"""Dense prefill of torch on the shapes of bench/speed.ts: the peers, measured in the same run on the same GPU. Decode: bench/decode.

    python3 bench/peers.py OUT.json

Times are medians of CUDA events, in milliseconds, of one layer; rates count the dense work.
"""
import os
import sys

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from torch_timing import first_line, median_ms, read_tbps, write_json  # noqa: E402

BACKENDS = {"flash": SDPBackend.FLASH_ATTENTION, "cudnn": SDPBackend.CUDNN_ATTENTION}


def prefill(backend, heads, kv_heads, head_dim, tokens):
    q = torch.randn(1, heads, tokens, head_dim, device="cuda", dtype=torch.bfloat16)
    k, v = (torch.randn(1, kv_heads, tokens, head_dim, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    with sdpa_kernel(backend):
        ms = median_ms(lambda: F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=heads != kv_heads))
    flops = 2 * head_dim * heads * tokens * (tokens + 1)
    return {"ms": ms, "tflops": flops / ms / 1e9}


def attempt(run, *arguments):
    """A peer that cannot run a shape says why, and the rest goes on."""
    try:
        return run(*arguments)
    except Exception as error:  # noqa: BLE001 - any failure of a peer is its result
        return {"error": first_line(error)}
    finally:
        torch.cuda.empty_cache()


def main(out):
    results = {"device": torch.cuda.get_device_name(), "torch": torch.__version__, "cudnn": torch.backends.cudnn.version(), "prefill": []}
    shapes = {"vicuna-7b": (32, 32, 128), "llama-3-8b": (32, 8, 128), "llama-3.2-1b": (32, 8, 64)}
    for model, (heads, kv_heads, head_dim) in shapes.items():
        for name, backend in BACKENDS.items():
            for tokens in (4096, 8192, 16384):
                row = {"model": model, "backend": name, "tokens": tokens}
                results["prefill"].append(row | attempt(prefill, backend, heads, kv_heads, head_dim, tokens))
                write_json(out, results)
    results["readTbps"] = read_tbps()
    write_json(out, results)
    print(results["device"], "torch", results["torch"], "read", round(results["readTbps"], 2), "TB/s")
    for row in results["prefill"]:
        value = row.get("error") or f'{row["ms"]:.4f} ms {row["tflops"]:.2f} TFLOP/s'
        print(row["model"].ljust(14), row["backend"].ljust(6), "prefill", row["tokens"], value)


if __name__ == "__main__":
    main(sys.argv[1])
