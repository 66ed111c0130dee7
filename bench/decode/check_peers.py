"""Whether the peers of peers.py compute what they should: each against attention written out, on small shapes. On a GPU if there is one.

    python3 bench/decode/check_peers.py

The dense peers see all keys, FlexAttention the plan's mask, a call per head group the largest span of each KV head.
"""
import sys

import torch
from torch.nn.attention.flex_attention import flex_attention

sys.dont_write_bytecode = True
from peers import Point, Pool, dense_steps, flex_steps, head_group_steps  # noqa: E402
from compare import check_device, compare  # noqa: E402 - peers.py puts bench/lib on the path

SINK = 64


def point_of(batch, heads, kv_heads, head_dim, tokens, windows):
    facts = {"layers": len(windows), "queryHeads": heads, "kvHeads": kv_heads, "headDim": head_dim, "sink": SINK}
    facts["windows"] = {str(tokens): {str(layer): rows for layer, rows in enumerate(windows)}}
    return Point("check", facts, {"tokens": tokens, "batch": batch, "layers": list(range(len(windows)))})


def reference(q, k, v, allowed):
    """Softmax of q k^T over `allowed` [query head, key], in float32. One query a head: [batch, head, dim]."""
    group = q.shape[1] // k.shape[1]
    k, v = (x.float().repeat_interleave(group, 1) for x in (k, v))
    scores = torch.einsum("bhd,bhkd->bhk", q.float(), k) / q.shape[-1] ** 0.5
    return torch.einsum("bhk,bhkd->bhd", scores.masked_fill(~allowed, float("-inf")).softmax(-1), v)


def all_keys(point, layer):
    return torch.ones(point.heads, point.tokens, dtype=torch.bool)


def plan_keys(point, layer):
    """`key < sink || last - key < window` for each query head."""
    keys, last = torch.arange(point.tokens), point.tokens - 1
    heads = [window for group in point.windows[layer] for window in group]
    return torch.stack([(keys < SINK) | (last - keys < window) for window in heads])


class Recorder(Pool):
    """Keeps what was taken, with numbers of its own everywhere."""

    def __init__(self, elements, device, dtype):
        super().__init__(elements, device, dtype)
        self.data.normal_()
        self.taken = []

    def take(self, *shape):
        view = super().take(*shape)
        self.taken.append(view)
        return view


def check_dense_like(name, steps_of, allowed_of, point, device, dtype, **options):
    """Peers whose cache of a layer is one [batch, KV head, token, dim]."""
    pool = Recorder(1 << 23, device, dtype)
    steps = steps_of(point, pool, **options)
    q, *caches = pool.taken
    for layer, step in enumerate(steps):
        expected = reference(q.reshape(point.batch, point.heads, point.head_dim), *caches[2 * layer : 2 * layer + 2], allowed_of(point, layer).to(device))
        compare(f"{name}, layer {layer}", step().reshape(expected.shape), expected)


def check_head_groups(point, device, dtype):
    pool = Recorder(1 << 23, device, dtype)
    steps = head_group_steps(point, pool)
    q, *caches = pool.taken
    for layer, step in enumerate(steps):
        out = step().reshape(point.batch, point.heads, point.head_dim)
        expected = torch.zeros_like(out, dtype=torch.float32)
        spans = [SINK + max(group) for group in point.windows[layer]]
        for span in dict.fromkeys(spans):
            k, v, *caches = caches
            kv_heads = [head for head, other in enumerate(spans) if other == span]
            heads = [head for head in range(point.heads) if head // point.group in kv_heads]
            assert k.shape == (point.batch, len(kv_heads), span, point.head_dim)
            expected[:, heads] = reference(q[:, heads, 0], k, v, torch.ones(len(heads), span, dtype=torch.bool, device=device))
        compare(f"a call per head group, layer {layer}", out, expected)


def main():
    device, dtype = check_device()
    # Without GQA and with it; windows from the smallest to all, of which some are no multiple of a block.
    cases = [
        point_of(2, 4, 4, 64, 1024, [[64, 960, 448, 64], [192, 192, 192, 192]]),
        point_of(3, 8, 2, 128, 768, [[64, 704, 320, 128, 64, 64, 192, 64], [704] * 8, [128] * 4 + [64] * 4]),
    ]
    for point in cases:
        print(f"{point.heads} query heads, {point.kv_heads} KV heads, N = {point.tokens}, {device}")
        check_dense_like("dense", dense_steps, all_keys, point, device, dtype)
        check_head_groups(point, device, dtype)
        check_dense_like("FlexAttention", flex_steps, plan_keys, point, device, dtype, **({} if device == "cuda" else {"attend": flex_attention}))


if __name__ == "__main__":
    main()
