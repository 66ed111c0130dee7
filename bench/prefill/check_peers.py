"""Whether the peers of peers.py compute what they should: each against attention written out, on small shapes. On a GPU if there is one.

    python3 bench/prefill/check_peers.py

The dense peers are causal, FlexAttention has the plan's mask. The packed kernels exist on a GPU only.
"""
import sys

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

sys.dont_write_bytecode = True
from peers import Flex, Point, dense_call, packed_call, plan_blocks  # noqa: E402
from compare import check_device, compare  # noqa: E402 - peers.py puts bench/lib on the path

SINK = 64


def point_of(heads, kv_heads, head_dim, lengths, held, windows):
    facts = {"queryHeads": heads, "kvHeads": kv_heads, "headDim": head_dim, "sink": SINK, "windows": {"1024": dict(enumerate(windows))}}
    row = {"dtype": "bf16", "scenario": "one", "tokens": sum(lengths), "held": held, "activePairs": 1}
    return Point("check", facts, row, {"lengths": lengths, "bound": 1024})


def reference(q, k, v, allowed):
    """Softmax of q k^T over `allowed` [query head, query, key], in float32. Tensors are [head, token, dim]."""
    group = q.shape[0] // k.shape[0]
    k, v = (x.float().repeat_interleave(group, 0) for x in (k, v))
    scores = q.float() @ k.transpose(1, 2) / q.shape[-1] ** 0.5
    return scores.masked_fill(~allowed, float("-inf")).softmax(-1) @ v


def allowed_pairs(tokens, held, windows, sink):
    """[query head, query, key], from the definition."""
    i = torch.arange(held, held + tokens)[:, None]
    j = torch.arange(held + tokens)[None, :]
    return torch.stack([(j <= i) & ((j < sink) | (i - j < window)) for window in windows])


def causal(point, tokens):
    return allowed_pairs(tokens, point.held, [point.held + tokens] * point.heads, 0)


def check_pairs(point):
    for windows in point.windows:
        allowed = sum(int(allowed_pairs(length, point.held, windows, SINK).sum()) for length in point.lengths)
        assert point.layer_pairs(windows) == allowed, "active pairs"
    assert point.causal_pairs == sum(int(causal(point, length).sum()) for length in point.lengths), "causal pairs"


def check_dense(point, device, dtype, backends):
    for name, backend in backends.items():
        (q, k, v), call = dense_call(point, device=device, dtype=dtype)
        with sdpa_kernel(backend):
            out = call()
        expected = torch.stack([reference(q[at], k[at], v[at], causal(point, length).to(device)) for at, length in enumerate(point.lengths)])
        compare(f"{name}, dense", out, expected)


def check_packed(point, device, dtype, flash):
    (q, k, v), call = packed_call(point, flash, device=device, dtype=dtype)
    out, expected, first, first_key = call(), [], 0, 0
    for length in point.lengths:
        keys = length + point.held
        parts = q[first : first + length], k[first_key : first_key + keys], v[first_key : first_key + keys]
        expected.append(reference(*(part.transpose(0, 1) for part in parts), causal(point, length).to(device)).transpose(0, 1))
        first, first_key = first + length, first_key + keys
    compare(f"{'flash' if flash else 'cudnn'}-varlen behind {point.held}", out, torch.cat(expected))


def check_flex(point, device, dtype, attend):
    flex = Flex(point, attend, device=device, dtype=dtype)
    for at, windows in enumerate(point.windows):
        allowed = allowed_pairs(point.tokens, point.held, windows, SINK).to(device)
        computed, call = flex.layer(windows, {})
        compare(f"FlexAttention behind {point.held}, layer {at}", call()[0], reference(flex.q[0], flex.k[0], flex.v[0], allowed))
        blocks = create_block_mask(flex.mask, None, point.heads, point.tokens, point.held + point.tokens, device=device)
        ours = plan_blocks(flex.mask, flex.windows, point.sink, point.held, point.tokens)
        assert torch.equal(blocks.to_dense(), ours.to_dense()), "blocks with an allowed pair"
        assert torch.equal(blocks.full_kv_num_blocks, ours.full_kv_num_blocks), "blocks of allowed pairs"
        assert computed >= point.layer_pairs(windows), "computed pairs"


def main():
    device, dtype = check_device()
    on_gpu = device == "cuda"
    backends = {"flash": SDPBackend.FLASH_ATTENTION, "cudnn": SDPBackend.CUDNN_ATTENTION} if on_gpu else {"math": SDPBackend.MATH}
    attend = torch.compile(flex_attention, dynamic=False) if on_gpu else flex_attention
    # Without GQA and with it; windows from the smallest to all, of which some are no multiple of a block.
    for heads, kv_heads, head_dim, windows in (
        (4, 4, 64, [[64, 960, 448, 100], [192, 192, 192, 1024]]),
        (8, 2, 128, [[64, 704, 320, 128, 64, 65, 192, 64], [704] * 8]),
    ):
        print(f"{heads} query heads, {kv_heads} KV heads, {device}")
        for lengths, held in (([512], 0), ([256, 256], 0), ([384], 512), ([64, 1, 200, 129], 0)):
            point = point_of(heads, kv_heads, head_dim, lengths, held, windows)
            check_pairs(point)
            if point.equal and held == 0:
                check_dense(point, device, dtype, backends)
            if len(lengths) == 1:
                check_flex(point, device, dtype, attend)
            if on_gpu:
                check_packed(point, device, dtype, True)
                if held == 0:
                    check_packed(point, device, dtype, False)


if __name__ == "__main__":
    main()
