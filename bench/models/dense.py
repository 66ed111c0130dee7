"""The strongest dense peer of the bare loop: torch's SDPA on cuDNN, over a cache that is written in
place."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from .bare import measure_steps, random_tensor
from .settings import Case
from .shapes import Shape


class DenseAttention:
    """Caches of `tokens` random tokens. Each step attends all of them, and writes the last one.

    Queries, keys and values are one product. Queries and keys are rotated in four launches, after
    which both are contiguous.
    """

    def __init__(
        self, shape: Shape, rows: int, tokens: int, device: torch.device, backend: SDPBackend
    ) -> None:
        heads, width = shape.query_heads + 2 * shape.kv_heads, shape.head_dim
        cache = (rows, shape.kv_heads, tokens, width)
        self._shape, self._rows, self._backend = shape, rows, backend
        self.weights = [
            random_tensor(device, shape.hidden, heads * width) for _ in range(shape.layers)
        ]
        self.keys = [random_tensor(device, *cache, deviation=1) for _ in range(shape.layers)]
        self.values = [random_tensor(device, *cache, deviation=1) for _ in range(shape.layers)]
        self._position = torch.tensor([tokens - 1], device=device)
        # Of the one position: the same frequencies for every model.
        exponents = torch.arange(0, width, 2, device=device) / width
        angles = ((tokens - 1) / 10000.0**exponents).repeat(2)
        self._cosine = angles.cos().bfloat16()
        # Rotation swaps halves, and one of them has a minus.
        signs = torch.tensor([-1.0, 1.0], device=device).repeat_interleave(width // 2)
        self._sine = (angles.sin() * signs).bfloat16()

    def __call__(self, layer: int, x: torch.Tensor) -> torch.Tensor:
        shape, half = self._shape, self._shape.head_dim // 2
        turned_heads = shape.query_heads + shape.kv_heads
        every = (x @ self.weights[layer]).view(self._rows, -1, shape.head_dim)
        plain = every[:, :turned_heads]
        straight, crossed = plain * self._cosine, plain.roll(half, -1)
        query, key = (
            torch.addcmul(straight[:, heads], crossed[:, heads], self._sine).unsqueeze(2)
            for heads in (slice(shape.query_heads), slice(shape.query_heads, turned_heads))
        )
        keys, values = self.keys[layer], self.values[layer]
        keys.index_copy_(2, self._position, key)
        values.index_copy_(2, self._position, every[:, turned_heads:].unsqueeze(2))
        with sdpa_kernel(self._backend):
            out = F.scaled_dot_product_attention(query, keys, values, enable_gqa=shape.group > 1)
        return out.reshape(self._rows, shape.query_heads * shape.head_dim)


def capture(step: Callable[[], None]) -> Callable[[], None]:
    """A CUDA graph of one step."""
    # So that what libraries set up for a stream is not captured.
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def measure_cudnn(case: Case) -> dict[str, Any]:
    """A row of `bare`."""
    case.need_gpu("cuDNN")
    backend = SDPBackend.CUDNN_ATTENTION
    attention = DenseAttention(case.shape, case.rows, case.tokens, case.device, backend)
    cache = case.rows * case.shape.kv_bytes(case.tokens)
    return {**measure_steps(case, attention, capture), "cacheGiB": round(cache / 2**30, 3)}
