"""`load_sharded`: a model from files, of which each rank reads its part alone."""

import json
import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import torch
import torch.distributed as dist

from .assignment import read_assignment
from .build import build_part
from .cuts import Cut
from .fingerprint import config_text, fingerprint
from .problems import problem
from .ranks import Ranks

_INDEX: Final = "model.safetensors.index.json"
_SINGLE: Final = "model.safetensors"


def load_sharded(
    checkpoint: str | os.PathLike[str],
    directory: str | os.PathLike[str],
    *,
    dtype: torch.dtype,
    device: str | torch.device,
    group: dist.ProcessGroup | None = None,
) -> Any:
    """A causal model of transformers in evaluation, of which this process has its rank's part, as
    `shard_model` leaves it. Neither the host nor a GPU ever holds the whole model.

    checkpoint: a folder of config.json and safetensors, whose names are the model's. directory: the
    package of `moa-compile --tp N`. dtype: of all parameters; another one in the files is
    converted. device: of this rank.

    Raises MOA6324 where weights are missing or of other shapes, and MOA6320 to MOA6323 as
    `attach_tensor_parallel`.
    """
    from transformers import GenerationConfig

    folder, on = Path(checkpoint).resolve(), torch.device(device)
    ranks = Ranks(group, on)
    with ranks.agreeing() as agreement, ExitStack() as files:
        assignment = read_assignment(Path(directory).resolve())
        ranks.check(assignment)
        config, weights = _config_of(folder), _Weights(folder, files)
        found = weights.fingerprint(f"{dtype} {config_text(config)}")
        agreement.said |= {"call": "load_sharded", "package": assignment.digest, "model": found}
        model = build_part(
            *(config, weights.read, on, dtype),
            assignment=assignment,
            rank=ranks.rank,
            group=group,
            weights=found,
        )
        if (folder / "generation_config.json").is_file():
            model.generation_config = GenerationConfig.from_pretrained(folder)
    return model


def _config_of(folder: Path) -> Any:
    from transformers import AutoConfig

    if not (folder / "config.json").is_file():
        raise problem("rankCheckpoint", f"{folder} has no config.json")
    return AutoConfig.from_pretrained(folder)


class _Weights:
    """The tensors of a folder, by name. `files` closes what is opened."""

    def __init__(self, folder: Path, files: ExitStack) -> None:
        from safetensors import safe_open

        self._folder, self._files, self._open_file = folder, files, safe_open
        self._opened: dict[str, Any] = {}
        index, single = folder / _INDEX, folder / _SINGLE
        if index.is_file():
            self._file_of = dict(json.loads(index.read_text("utf-8"))["weight_map"])
        elif single.is_file():
            self._file_of = dict.fromkeys(self._opened_file(_SINGLE).keys(), _SINGLE)
        else:
            raise problem("rankCheckpoint", f"{folder} has neither {_SINGLE} nor {_INDEX}")

    def read(self, name: str, shape: tuple[int, ...], cut: Cut | None) -> torch.Tensor:
        """A tensor, which has `shape` in the file, or the part of it that `cut` says."""
        if name not in self._file_of:
            raise problem("rankCheckpoint", f"{self._folder} has no weight {name}")
        file = self._opened_file(self._file_of[name])
        stored = file.get_slice(name)
        if tuple(stored.get_shape()) != shape:
            found = list(stored.get_shape())
            raise problem("rankCheckpoint", f"{name} is {found}; the model needs {list(shape)}")
        whole: torch.Tensor = file.get_tensor(name) if cut is None else cut.of_file(stored)
        return whole

    def fingerprint(self, text: str) -> str:
        """Of a text and of a row of each tensor, whichever of them this rank reads."""
        return fingerprint(text, ((name, self._row(name)) for name in sorted(self._file_of)))

    def _row(self, name: str) -> torch.Tensor:
        """The middle one."""
        file = self._opened_file(self._file_of[name])
        stored = file.get_slice(name)
        if not stored.get_shape():
            scalar: torch.Tensor = file.get_tensor(name)
            return scalar
        at = stored.get_shape()[0] // 2
        row: torch.Tensor = stored[at : at + 1]
        return row

    def _opened_file(self, name: str) -> Any:
        if name not in self._opened:
            path = self._folder / name
            if not path.is_file():
                raise problem("rankCheckpoint", f"{path} is missing")
            opened = self._open_file(str(path), framework="pt", device="cpu")
            self._opened[name] = self._files.enter_context(opened)
        return self._opened[name]
