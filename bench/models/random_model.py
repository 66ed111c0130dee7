"""A model with random weights of which this process has its rank's part, made on the device."""

import zlib
from pathlib import Path
from typing import Any

import torch

from moa_compile.tp.assignment import read_assignment
from moa_compile.tp.build import build_part, build_whole
from moa_compile.tp.cuts import Cut

DEVIATION = 0.02


def random_model(
    config: Any, folder: Path | None, rank: int, device: torch.device, dtype: torch.dtype
) -> Any:
    """folder: of the package for several ranks; None: the whole model. A weight follows from its
    name alone, so that any number of ranks has the same model."""

    def weight(name: str, shape: tuple[int, ...], cut: Cut | None) -> torch.Tensor:
        if len(shape) == 1:
            return torch.ones(shape, device=device)
        random = torch.Generator(device).manual_seed(zlib.crc32(name.encode()))
        whole = torch.empty(shape, dtype=dtype, device=device)
        whole.normal_(0, DEVIATION, generator=random)
        return whole if cut is None else cut.of_tensor(whole)

    if folder is None:
        model = build_whole(config, weight, device, dtype)
    else:
        assignment = read_assignment(folder)
        model = build_part(config, weight, device, dtype, assignment=assignment, rank=rank)
    return model.requires_grad_(False)
