"""A decode loop without a framework: embedding, layers, head and argmax as one captured CUDA graph
a step. What attends is given; all else is the same for ours and for the peer."""

from collections.abc import Callable
from typing import Any, Final, Protocol

import torch
import torch.nn.functional as F

from moa_compile.measure.energy import meter_of
from .settings import Case
from .shapes import Shape
from moa_compile.measure.timing import decode_facts, energy_facts, memory_facts, reset_peak, seconds_of

# The length bound is reached only after the last step. 64 tokens are a page: it is read from its
# first token on, so all steps of a large batch read as much.
STEPS: Final = 48
WARM_UPS: Final = 8
# Steps of one sequence are short, and energy needs half a second.
STEPS_OF_ONE: Final = 112


def random_tensor(device: torch.device, *shape: int, deviation: float = 0.02) -> torch.Tensor:
    """Normal numbers, made on the device."""
    return torch.empty(*shape, device=device, dtype=torch.bfloat16).normal_(0, deviation)


class Attention(Protocol):
    """The first half of each layer: projections to queries, keys and values, the cache, and
    attention."""

    def __call__(self, layer: int, x: torch.Tensor) -> torch.Tensor:
        """x: `[rows, hidden]`, normalized. Returns `[rows, query heads * head dim]`."""


class BareModel:
    """Random weights, and the tokens of a batch."""

    def __init__(self, shape: Shape, attention: Attention, rows: int, device: torch.device) -> None:
        def matrices(inputs: int, outputs: int) -> list[torch.Tensor]:
            return [random_tensor(device, inputs, outputs) for _ in range(shape.layers)]

        self._shape, self._attention = shape, attention
        self._out = matrices(shape.query_heads * shape.head_dim, shape.hidden)
        self._gate_up = matrices(shape.hidden, 2 * shape.intermediate)
        self._down = matrices(shape.intermediate, shape.hidden)
        self._embedding = random_tensor(device, shape.vocabulary, shape.hidden)
        self._head = random_tensor(device, shape.hidden, shape.vocabulary)
        self._norm = torch.ones(shape.hidden, device=device, dtype=torch.bfloat16)
        self.tokens = torch.randint(0, shape.vocabulary, (rows,), device=device)

    def step(self) -> None:
        """The next token of every sequence, into `tokens`."""
        hidden = self._embedding[self.tokens]
        for layer in range(self._shape.layers):
            attended = self._attention(layer, self._normalized(hidden))
            hidden = hidden + attended @ self._out[layer]
            gate, up = (self._normalized(hidden) @ self._gate_up[layer]).chunk(2, -1)
            hidden = hidden + (F.silu(gate) * up) @ self._down[layer]
        self.tokens.copy_((self._normalized(hidden) @ self._head).argmax(-1))

    def _normalized(self, x: torch.Tensor) -> torch.Tensor:
        return F.rms_norm(x, (self._shape.hidden,), self._norm, 1e-5)


# Records a step and returns what replays it.
Capture = Callable[[Callable[[], None]], Callable[[], None]]


def steps_of(rows: int, small: bool) -> tuple[int, int]:
    """Warm-ups and measured steps. Their sum is below what `filled_tokens` leaves free."""
    if small:
        return 2, 2
    return WARM_UPS, STEPS_OF_ONE if rows == 1 else STEPS


def filled_tokens(case: Case) -> int:
    """Tokens that caches hold before the first step: whole pages."""
    warm_ups, steps = steps_of(case.rows, case.settings.small)
    return case.tokens - -(-(warm_ups + steps) // 64) * 64


def measure_steps(case: Case, attention: Attention, capture: Capture) -> dict[str, Any]:
    """Fills the rest of a bare row. Two of the warm-ups are steps without a graph."""
    device = case.device
    warm_ups, steps = steps_of(case.rows, case.settings.small)
    with torch.no_grad():
        model = BareModel(case.shape, attention, case.rows, device)
        reset_peak(device)
        for _ in range(2):
            model.step()
        replay = capture(model.step)
        for _ in range(warm_ups - 2):
            replay()
        meter = meter_of(device)
        with meter.while_running() as reading:
            seconds = seconds_of(device, lambda: [replay() for _ in range(steps)])
    facts = decode_facts(seconds, steps, case.rows)
    energy = energy_facts(meter, reading.watts, facts["tokensPerSecond"])
    return {**facts, **energy, **memory_facts(device)}
