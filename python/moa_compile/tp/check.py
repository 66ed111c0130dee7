"""Whether a rank's part of a model computes its part of what the whole model computes.

Ranks add up `W_r x_r`, where x_r is the input of o_proj or down_proj on rank r. This is right if
x_r is the rank's columns of the whole model's x, and so if everything between the projections
treats each head, or each feature, by itself. A norm, a mean or a maximum over all of them does not,
nor does code that expects another order in fused projections. Each rank compares two runs of
`trace`, which differ in nothing else.
"""

from typing import Final

import torch

from .plain import not_divided
from .trace import Trace

# Of the largest number. Both runs start from equal bits. Results differ where a kernel adds in
# another order for fewer heads: by some units in the last place, 2^-8 in bf16. Numbers of other
# ranks, which are 8 times as large, make a larger difference.
_TOLERANCE: Final = 2**-5
# Of the norm of the decoder's output: experts may be added in any order on a GPU.
_OUTPUT_TOLERANCE: Final = 2**-4


def check_traces(whole: Trace, part: Trace) -> None:
    """Raises MOA6322 where the inputs of a part are not its columns of the whole model's."""
    for path, expected in whole.inputs.items():
        given = part.inputs[path]
        if not expected or len(given) != len(expected):
            raise not_divided(
                f"{path} is called {len(expected)} times in a forward of the whole model, and "
                f"{len(given)} times in one of a part: its weight is used in another way"
            )
        for one, other in zip(expected, given, strict=True):
            _check_input(path, one, other)
    difference, size = (whole.output - part.output).float().norm(), whole.output.float().norm()
    if not difference <= _OUTPUT_TOLERANCE * size:
        raise not_divided(
            "divided projections change the output of the decoder in another way than through the "
            "sums behind o_proj and down_proj"
        )


def _check_input(path: str, expected: torch.Tensor, given: torch.Tensor) -> None:
    if given.shape != expected.shape:
        shapes = f"{list(given.shape)} on a rank, where {list(expected.shape)} is needed"
        raise not_divided(f"the input of {path} is {shapes}")
    if given.numel() == 0:
        return
    difference = (given - expected).abs().max()
    size = torch.maximum(given.abs().max(), expected.abs().max())
    # Written so that NaN is refused.
    if not difference <= _TOLERANCE * size:
        raise not_divided(
            f"the input of {path} depends on heads or features of other ranks: with random numbers "
            f"it differs from the whole model's by {float(difference / size):.2g} of the largest"
        )
