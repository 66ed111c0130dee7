"""Decode with what torch has, at the points that ours.ts measured, on the same GPU.

    python3 bench/decode/peers.py OUT.json decode-ours.json [--seconds flash=20,flex=60] [--only flex,flash]

Dense, which read the whole cache of N tokens a KV head:

    flash, cudnn              one call of SDPA a layer

With the plan, on the layers that ours.ts measured:

    flex                      FlexAttention with the plan's mask on a dense cache; blocks without an allowed key are skipped
    heads-flash, heads-cudnn  one call of SDPA for each group of KV heads of equal span, on caches sliced to sink and window

Every time is of a CUDA graph over layers with caches of their own, 1 GiB together or all layers, several times over where they are fewer
than four, divided by the calls. None includes an append. TB/s count the bytes that a peer has to read: the dense cache, or the spans of the
KV heads. A peer that fails at a point says why in its row. Each has a limit of time, the points that matter most come first, and the others
are counted as left out.
"""
import math
import os
import statistics
import sys

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from peer_run import new_results, parse_options, run_peers  # noqa: E402
from torch_timing import graph_times, read_tbps  # noqa: E402

BYTES_OF_REPLAY = 1 << 30
REPLAYS = 15
# Starting a graph does not count.
FEWEST_CALLS = 4


class Pool:
    """One block of random numbers on the device. Caches are views of it, so that a point costs no filling; they do not overlap."""

    block = 1 << 22

    def __init__(self, elements, device="cuda", dtype=torch.bfloat16):
        blocks = math.ceil(elements / self.block)
        self.data = torch.empty(blocks, self.block, device=device, dtype=dtype)
        self.data.copy_(torch.randn(self.block, device=device, dtype=dtype))
        self.data = self.data.view(-1)
        self.used = 0

    def reset(self):
        self.used = 0

    def take(self, *shape):
        count = math.prod(shape)
        if self.used + count > self.data.numel():
            raise MemoryError(f"the point needs more than {self.data.numel() * 2 >> 30} GiB")
        view = self.data[self.used : self.used + count].view(shape)
        self.used += (count + 127) & ~127
        return view


class Point:
    """What is measured: a plan's shape at one N and batch, and the windows of the layers that ours measured."""

    def __init__(self, plan, facts, row):
        self.plan, self.tokens, self.batch = plan, row["tokens"], row["batch"]
        self.layers = row["layers"]
        self.model_layers, self.heads, self.kv_heads, self.head_dim = (facts[key] for key in ("layers", "queryHeads", "kvHeads", "headDim"))
        self.sink = facts["sink"]
        windows = facts["windows"][str(self.tokens)]
        # [kv head][query head of its group]
        group = self.heads // self.kv_heads
        self.windows = [[windows[str(layer)][head * group : (head + 1) * group] for head in range(self.kv_heads)] for layer in self.layers]

    @property
    def key(self):
        return {"tokens": self.tokens, "batch": self.batch}

    @property
    def group(self):
        return self.heads // self.kv_heads

    def bytes_of(self, tokens):
        """Keys and values of `tokens` tokens, summed over KV heads."""
        return 2 * 2 * self.batch * self.head_dim * tokens

    @property
    def dense_bytes(self):
        return self.bytes_of(self.kv_heads * self.tokens)

    @property
    def dense_layers(self):
        return min(self.model_layers, math.ceil(BYTES_OF_REPLAY / self.dense_bytes))

    def spans(self, windows):
        """Tokens that each KV head keeps: the largest span of its query heads."""
        return [self.sink + max(heads) for heads in windows]

    @property
    def plan_bytes(self):
        """Of a layer, the mean over the measured ones."""
        return sum(self.bytes_of(sum(self.spans(windows))) for windows in self.windows) / len(self.windows)

    @property
    def order(self):
        """The points that matter most come first: time may run out."""
        wanted = [self.tokens == 16384 and self.batch in (1, 8, 32), self.batch == 1, self.tokens == 16384, self.batch == 8]
        return wanted.index(True) if True in wanted else len(wanted)


def dense_steps(point, pool):
    """One call of SDPA a layer."""
    q = pool.take(point.batch, point.heads, 1, point.head_dim)
    shape = (point.batch, point.kv_heads, point.tokens, point.head_dim)
    caches = [(pool.take(*shape), pool.take(*shape)) for _ in range(point.dense_layers)]
    return [lambda k=k, v=v: F.scaled_dot_product_attention(q, k, v, enable_gqa=point.group > 1) for k, v in caches]


def head_groups(point, windows):
    """KV heads by their span: `{span: [kv head, ...]}`."""
    groups = {}
    for kv_head, span in enumerate(point.spans(windows)):
        groups.setdefault(span, []).append(kv_head)
    return groups


def head_group_steps(point, pool):
    """One call of SDPA for each group of KV heads of one layer that have the same span; their query heads are gathered and scattered."""
    q = pool.take(point.batch, point.heads, 1, point.head_dim)
    device = q.device

    def step_of(windows):
        calls = []
        for span, kv_heads in head_groups(point, windows).items():
            heads = [kv_head * point.group + member for kv_head in kv_heads for member in range(point.group)]
            shape = (point.batch, len(kv_heads), span, point.head_dim)
            calls.append((torch.tensor(heads, device=device), pool.take(*shape), pool.take(*shape)))
        out = torch.empty_like(q)

        def step():
            for heads, k, v in calls:
                part = F.scaled_dot_product_attention(q.index_select(1, heads), k, v, enable_gqa=point.group > 1)
                out.index_copy_(1, heads, part)
            return out

        return step

    return [step_of(windows) for windows in point.windows]


def plan_mask(windows, sink, last):
    """Query `last` of head `head * group + row` may attend `key`. `windows` is [kv head, row], padded: the kernel computes rows that are not there."""

    def mask(batch, head, row, key):
        return (key < sink) | (last - key < windows[head, row])

    return mask


def flex_steps(point, pool, attend=None):
    """
    FlexAttention, compiled. The query heads of a KV head are passed as its query rows, which gives the same numbers as `enable_gqa` and
    lets torch take its decode kernel: with a mask by head, `enable_gqa` falls back to the prefill kernel, without a split over keys.
    """
    if attend is None:
        torch._dynamo.reset()
        attend = torch.compile(flex_attention, dynamic=False)
    q = pool.take(point.batch, point.kv_heads, point.group, point.head_dim)
    shape = (point.batch, point.kv_heads, point.tokens, point.head_dim)

    def step_of(windows):
        padded = torch.zeros(point.kv_heads, 128, dtype=torch.int32, device=q.device)
        padded[:, : point.group] = torch.tensor(windows, dtype=torch.int32)
        mask = plan_mask(padded, point.sink, point.tokens - 1)
        blocks = create_block_mask(mask, None, point.kv_heads, point.group, point.tokens, device=q.device)
        k, v = pool.take(*shape), pool.take(*shape)
        return lambda: attend(q, k, v, block_mask=blocks)

    return [step_of(windows) for windows in point.windows]


# Name: steps, SDPA's backend, whether it reads dense caches, seconds for all its points.
PEERS = {
    "flash": (dense_steps, SDPBackend.FLASH_ATTENTION, True, 15),
    "heads-flash": (head_group_steps, SDPBackend.FLASH_ATTENTION, False, 20),
    "cudnn": (dense_steps, SDPBackend.CUDNN_ATTENTION, True, 25),
    "heads-cudnn": (head_group_steps, SDPBackend.CUDNN_ATTENTION, False, 20),
    # Last: it compiles for each point, and a kernel that fails could end the process.
    "flex": (flex_steps, None, False, 50),
}


def measure(peer, point, pool):
    steps_of, backend, dense, _ = PEERS[peer]
    pool.reset()
    steps = steps_of(point, pool)

    rounds = math.ceil(FEWEST_CALLS / len(steps))

    def run():
        for step in steps * rounds:
            step()

    if backend is None:
        times = graph_times(run, REPLAYS)
    else:
        with sdpa_kernel(backend):
            times = graph_times(run, REPLAYS)
    us = sorted(1000 * ms / (len(steps) * rounds) for ms in times)
    moved = point.dense_bytes if dense else point.plan_bytes
    median = statistics.median(us)
    return {
        "layers": len(steps) if dense else point.layers,
        **{key: round(value, 3) for key, value in (("us", median), ("p10Us", us[len(us) // 10]), ("p90Us", us[len(us) * 9 // 10]))},
        "bytes": round(moved),
        "tbps": round(moved / median / 1e6, 4),
    }


def points_of(ours):
    """Each point of ours once, whatever variants measured it."""
    points = {}
    for row in ours["rows"]:
        if "error" not in row:
            points.setdefault((row["plan"], row["tokens"], row["batch"]), row)
    return [Point(row["plan"], ours["plans"][row["plan"]], row) for row in points.values()]


def main():
    options = parse_options("decode", {name: peer[3] for name, peer in PEERS.items()})
    points = sorted(points_of(options.ours), key=lambda point: point.order)
    results = new_results(readTbps=read_tbps())
    torch.cuda.empty_cache()
    needed = max((max(point.dense_layers, len(point.layers)) * point.dense_bytes for point in points), default=0) + BYTES_OF_REPLAY
    pool = Pool(min(needed, int(0.7 * torch.cuda.mem_get_info()[0])) // 2)
    print(results["device"], "torch", results["torch"], "read", round(results["readTbps"], 2), "TB/s", flush=True)
    run_peers(options, results, lambda peer: points, lambda peer, point: measure(peer, point, pool), lambda row: f'{row["us"]:8.1f} us  {row["tbps"]:.2f} TB/s')


if __name__ == "__main__":
    main()
