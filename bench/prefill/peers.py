"""Prefill with what torch has, at the points that ours.ts measured, on the same GPU. One layer, attention alone.

    python3 bench/prefill/peers.py OUT.json prefill-ours.json [--seconds flash=20,flex=60] [--only flex,flash]

Dense, causal, with the whole triangle to do, which is what their TFLOP/s count:

    flash, cudnn                SDPA of one sequence, or of a batch of equal lengths
    flash-varlen, cudnn-varlen  the kernels for packed sequences (torch.nn.attention.varlen), for batches of any lengths; flash also for a chunk
                                behind tokens that the cache holds, where queries are the last rows of the triangle

With the plan:

    flex                        FlexAttention, compiled, with each head's window and sink; blocks of 128 x 128 without an allowed pair are skipped.
                                bf16. On the layers, four at most, that ours.ts chose to stand for the plan: TFLOP/s are on the active pairs of
                                these, milliseconds are scaled to the active pairs of the mean layer. Before its first point of a headDim at
                                N = 16k it tries kernel options on one layer, and keeps the best (`flexOptions`).

Every time is the median of CUDA graphs of calls one behind the other, so that no launch by the host counts. A peer that fails at a point
says why in its row. Each has a limit of time, the points that matter most come first, and the others are counted as left out.
"""
import math
import os
import statistics
import sys
import time

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.attention.flex_attention import BlockMask, flex_attention

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from peer_run import new_results, parse_options, run_peers  # noqa: E402
from torch_timing import rested_ms  # noqa: E402

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
BLOCK = 128
FIRST_PLAN = "vicuna-7b"
FIRST_LENGTHS = [16384, 8192, 4096, 32768]
TUNED_LENGTH = 16384
TUNING_SECONDS = 20
# {} is what torch chooses itself.
FLEX_OPTIONS = [{}] + [
    {"BLOCK_M": rows, "BLOCK_N": columns, "num_warps": warps, "num_stages": stages}
    for rows, columns, warps, stages in (
        (128, 128, 8, 2),
        (128, 64, 4, 3),
        (128, 128, 8, 3),
        (128, 64, 8, 3),
        (128, 64, 4, 2),
        (128, 64, 8, 4),
        (128, 128, 4, 2),
    )
]


def triangle(count, limit):
    """The sum of `min(limit, i)` for i from 1 to `count`."""
    rising = max(0, min(count, limit))
    return rising * (rising + 1) // 2 + max(0, count - rising) * limit


class Point:
    """What is measured: a plan's shape in one scenario, and the windows of the layers that stand for the plan."""

    def __init__(self, plan, facts, row, scenario):
        self.plan = plan
        self.key = {name: row[name] for name in ("dtype", "scenario", "tokens", "held")}
        self.dtype, self.scenario, self.tokens, self.held = self.key.values()
        self.lengths = scenario["lengths"]
        self.heads, self.kv_heads, self.head_dim, self.sink = (facts[name] for name in ("queryHeads", "kvHeads", "headDim", "sink"))
        # [layer][query head]
        self.windows = list(facts["windows"][str(scenario["bound"])].values())
        # Of the mean layer of the plan.
        self.active_pairs = row["activePairs"]

    @property
    def grouped(self):
        return self.heads != self.kv_heads

    @property
    def equal(self):
        return len(set(self.lengths)) == 1

    @property
    def order(self):
        """The points that matter most come first: time may run out."""
        whole = self.scenario == "one" and self.dtype == "bf16"
        first = FIRST_LENGTHS.index(self.tokens) if whole and self.tokens in FIRST_LENGTHS else None
        if first is None:
            return (2 if not whole else 3, 0, self.plan)
        return (0 if self.plan == FIRST_PLAN else 1, first, self.plan)

    def pairs(self, window, sink):
        """That one head allows: see `allowedPairs` of pairs.ts."""

        def until(length):
            return triangle(length, window) + triangle(length - window, sink)

        return sum(until(self.held + length) - until(self.held) for length in self.lengths)

    @property
    def causal_pairs(self):
        longest = self.held + max(self.lengths)
        return self.heads * self.pairs(longest, 0)

    def layer_pairs(self, windows):
        return sum(self.pairs(window, self.sink) for window in windows)

    def rates(self, ms, pairs, kind="active"):
        return {f"{kind}Pairs": round(pairs), f"{kind}Tflops": float(f"{4 * self.head_dim * pairs / ms / 1e9:.5g}")}


def randn(point, *shape, device="cuda", dtype=None):
    return torch.randn(*shape, device=device, dtype=dtype or DTYPES[point.dtype])


def dense_call(point, **options):
    """SDPA on [sequence, head, token, dim]."""
    batch, length = len(point.lengths), point.lengths[0]
    q = randn(point, batch, point.heads, length, point.head_dim, **options)
    k, v = (randn(point, batch, point.kv_heads, length, point.head_dim, **options) for _ in range(2))
    return (q, k, v), lambda: F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=point.grouped)


def packed_call(point, flash, **options):
    """The operators below torch.nn.attention.varlen, on [token, head, dim]: they take GQA as it is."""
    ends = [0]
    for length in point.lengths:
        ends.append(ends[-1] + length)
    query_ends = torch.tensor(ends, dtype=torch.int32, device=options.get("device", "cuda"))
    key_ends = torch.tensor([end + point.held * at for at, end in enumerate(ends)], dtype=torch.int32, device=query_ends.device)
    keys = ends[-1] + point.held * len(point.lengths)
    q = randn(point, ends[-1], point.heads, point.head_dim, **options)
    k, v = (randn(point, keys, point.kv_heads, point.head_dim, **options) for _ in range(2))
    longest, longest_keys = max(point.lengths), point.held + max(point.lengths)
    if flash:
        return (q, k, v), lambda: torch.ops.aten._flash_attention_forward(q, k, v, query_ends, key_ends, longest, longest_keys, 0.0, True, False)[0]
    return (q, k, v), lambda: torch.ops.aten._cudnn_attention_forward(q, k, v, None, query_ends, key_ends, longest, longest_keys, False, 0.0, True, False)[0]


def measure_dense(point, backend):
    _, call = dense_call(point)
    with sdpa_kernel(backend):
        ms = rested_ms(call)
    return {"layers": 1, "ms": float(f"{ms:.5g}"), **point.rates(ms, point.causal_pairs)}


def measure_packed(point, flash):
    _, call = packed_call(point, flash)
    # cuDNN's operator asks for random numbers, which a graph refuses.
    ms = rested_ms(call, graphs=flash)
    return {"layers": 1, "ms": float(f"{ms:.5g}"), **point.rates(ms, point.causal_pairs)}


def plan_mask(windows, sink, held):
    """Query `held + row` of a head may attend `key`. `windows` is [query head], on the device."""

    def mask(batch, head, row, key):
        return (key <= row + held) & ((key < sink) | (row + held - key < windows[head]))

    return mask


def plan_blocks(mask, windows, sink, held, tokens):
    """
    The BlockMask of `plan_mask` from its formula: `create_block_mask` would write every pair of every head. `check_peers.py` holds both equal.
    """
    device = windows.device
    keys = held + tokens
    first = (held + BLOCK * torch.arange(math.ceil(tokens / BLOCK), device=device))[None, :, None]
    last = torch.clamp(first + BLOCK, max=keys) - 1
    begin = (BLOCK * torch.arange(math.ceil(keys / BLOCK), device=device))[None, None, :]
    end = torch.clamp(begin + BLOCK, max=keys)
    window = windows[:, None, None]
    some = (begin <= last) & ((begin < sink) | (first - (end - 1) < window))
    whole = (end - 1 <= first) & ((end <= sink) | (last - torch.clamp(begin, min=sink) < window))

    def counts_and_indices(blocks):
        blocks = blocks[None]
        return blocks.sum(-1).int(), torch.argsort(blocks.int(), dim=-1, descending=True, stable=True).int()

    return BlockMask.from_kv_blocks(*counts_and_indices(some & ~whole), *counts_and_indices(whole), BLOCK_SIZE=BLOCK, mask_mod=mask, seq_lengths=(tokens, keys))


class Flex:
    """The layers of a point, one at a time: all use one compiled kernel, so windows lie in one buffer."""

    def __init__(self, point, attend, **options):
        self.point, self.attend = point, attend
        self.q = randn(point, 1, point.heads, point.tokens, point.head_dim, **options)
        self.k, self.v = (randn(point, 1, point.kv_heads, point.held + point.tokens, point.head_dim, **options) for _ in range(2))
        self.windows = torch.zeros(point.heads, dtype=torch.int32, device=self.q.device)
        self.mask = plan_mask(self.windows, point.sink, point.held)

    def layer(self, windows, kernel_options):
        """A call of the layer, and the pairs of its blocks."""
        point = self.point
        self.windows.copy_(torch.tensor(windows, dtype=torch.int32))
        blocks = plan_blocks(self.mask, self.windows, point.sink, point.held, point.tokens)
        computed = (blocks.kv_num_blocks.sum() + blocks.full_kv_num_blocks.sum()).item() * BLOCK * BLOCK
        return computed, lambda: self.attend(self.q, self.k, self.v, block_mask=blocks, enable_gqa=point.grouped, kernel_options=kernel_options)


def tune_flex(flex):
    """The fastest of FLEX_OPTIONS on a layer in the middle, as many as there is time for."""
    windows = sorted(flex.point.windows, key=flex.point.layer_pairs)[len(flex.point.windows) // 2]
    end = time.monotonic() + TUNING_SECONDS
    best = {"options": {}, "ms": math.inf, "tried": 0, "failed": 0}
    for options in FLEX_OPTIONS:
        if time.monotonic() > end:
            break
        best["tried"] += 1
        try:
            ms = rested_ms(flex.layer(windows, options)[1])
        except Exception:  # noqa: BLE001 - options may need more than the GPU has
            best["failed"] += 1
            continue
        if ms < best["ms"]:
            best |= {"options": options, "ms": round(ms, 4)}
    return best


def measure_flex(point, attend, tuned):
    flex = Flex(point, attend)
    if str(point.head_dim) not in tuned and point.tokens == TUNED_LENGTH:
        tuned[str(point.head_dim)] = tune_flex(flex)
    options = tuned.get(str(point.head_dim), {"options": {}})["options"]
    times, computed = [], []
    for windows in point.windows:
        pairs, call = flex.layer(windows, options)
        computed.append(pairs)
        times.append(rested_ms(call))
    ms = statistics.mean(times)
    active = statistics.mean(point.layer_pairs(windows) for windows in point.windows)
    to_mean_layer = point.active_pairs / active
    return {
        "layers": len(times),
        "ms": float(f"{ms * to_mean_layer:.5g}"),
        **point.rates(ms * to_mean_layer, point.active_pairs),
        **point.rates(ms * to_mean_layer, statistics.mean(computed) * to_mean_layer, "computed"),
    }


# Name: what measures it, for which points, seconds for all of them.
PEERS = {
    "flash": (lambda point: measure_dense(point, SDPBackend.FLASH_ATTENTION), lambda point: point.held == 0 and point.equal, 40),
    "cudnn": (lambda point: measure_dense(point, SDPBackend.CUDNN_ATTENTION), lambda point: point.held == 0 and point.equal, 40),
    "flash-varlen": (lambda point: measure_packed(point, True), lambda point: point.scenario != "one", 10),
    "cudnn-varlen": (lambda point: measure_packed(point, False), lambda point: point.scenario != "one" and point.held == 0, 10),
    # Last: it compiles for each point, and a kernel that fails could end the process.
    "flex": (None, lambda point: point.scenario in ("one", "chunked") and point.dtype == "bf16", 420),
}


def points_of(ours):
    """Each point of ours once, whatever variants measured it."""
    scenarios = {(one["scenario"], one["tokens"], one["held"]): one for one in ours["scenarios"]}
    points = {}
    for row in ours["rows"]:
        if "error" not in row:
            point = Point(row["plan"], ours["plans"][row["plan"]], row, scenarios[row["scenario"], row["tokens"], row["held"]])
            points.setdefault((point.plan, *point.key.values()), point)
    return sorted(points.values(), key=lambda point: point.order)


def main():
    options = parse_options("prefill", {name: seconds for name, (_, _, seconds) in PEERS.items()})
    points = points_of(options.ours)
    tuned = {}
    results = new_results(flexOptions=tuned)
    print(results["device"], "torch", results["torch"], flush=True)
    # A kernel for each shape, beyond which torch would give up compiling.
    torch._dynamo.config.recompile_limit = 256
    attend = torch.compile(flex_attention, dynamic=False)

    def measure(peer, point):
        run = PEERS[peer][0]
        return run(point) if run else measure_flex(point, attend, tuned)

    run_peers(
        options,
        results,
        lambda peer: filter(PEERS[peer][1], points),
        measure,
        lambda row: f'{row["ms"]:9.3f} ms  {row["activeTflops"]:.0f} TFLOP/s',
    )


if __name__ == "__main__":
    main()
