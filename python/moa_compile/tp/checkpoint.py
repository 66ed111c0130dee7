"""`load_sharded`: a model from files, of which each rank reads its part alone."""

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import torch
import torch.distributed as dist
from torch import nn

from ..hf.attach import decoder_of
from .assignment import Assignment, read_assignment
from .cuts import Cut
from .layers import model_parts
from .problems import problem
from .ranks import Ranks
from .shard import divide

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
    folder, on = Path(checkpoint).resolve(), torch.device(device)
    ranks = Ranks(group, on)
    with ranks.agreeing() as agreement:
        assignment = read_assignment(Path(directory).resolve())
        ranks.check(assignment)
        agreement.said = assignment.digest
        model = _empty_model(folder, dtype)
        shapes = {name: tuple(each.shape) for name, each in model.named_parameters()}
        cuts = _divide(model, assignment, ranks)
        with ExitStack() as files:
            stored = _Weights(folder, files)
            for name, parameter in list(model.named_parameters()):
                value = stored.read(name, shapes[name], cuts.get(name))
                owner = model.get_submodule(name.rpartition(".")[0])
                own = nn.Parameter(value.to(on, dtype), requires_grad=parameter.requires_grad)
                setattr(owner, name.rpartition(".")[2], own)
        model.tie_weights()
        model.to(on).eval()
    return model


def _divide(model: Any, assignment: Assignment, ranks: Ranks) -> dict[str, Cut]:
    """Divides a model, and says which parameters are parts of those in the files."""
    decoder = decoder_of(model)
    paths = {module: path for path, module in model.named_modules()}
    cuts = {
        f"{paths[part.module]}.{part.name}": part.cut
        for part in model_parts(decoder, assignment, ranks.rank).parts
        if part.cut is not None
    }
    divide(decoder, assignment, ranks.rank, ranks.group, ExitStack())
    return cuts


def _empty_model(folder: Path, dtype: torch.dtype) -> Any:
    """A model whose parameters have no memory. Buffers, which files do not hold, have values."""
    from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig

    if not (folder / "config.json").is_file():
        raise problem("rankCheckpoint", f"{folder} has no config.json")
    config = AutoConfig.from_pretrained(folder)
    with _parameters_on_meta():
        model: Any = AutoModelForCausalLM.from_config(config, dtype=dtype)
    if (folder / "generation_config.json").is_file():
        model.generation_config = GenerationConfig.from_pretrained(folder)
    return model


@contextmanager
def _parameters_on_meta() -> Iterator[None]:
    """In here modules register their parameters on the meta device, before they are initialised.
    `torch.device("meta")` would take the buffers along."""
    register = nn.Module.register_parameter

    def register_on_meta(module: nn.Module, name: str, param: nn.Parameter | None) -> None:
        if param is not None and param.device.type != "meta":
            param = nn.Parameter(param.detach().to("meta"), requires_grad=param.requires_grad)
        register(module, name, param)

    nn.Module.register_parameter = register_on_meta  # type: ignore
    try:
        yield
    finally:
        nn.Module.register_parameter = register  # type: ignore[method-assign]


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

    def _opened_file(self, name: str) -> Any:
        if name not in self._opened:
            path = self._folder / name
            if not path.is_file():
                raise problem("rankCheckpoint", f"{path} is missing")
            opened = self._open_file(str(path), framework="pt", device="cpu")
            self._opened[name] = self._files.enter_context(opened)
        return self._opened[name]
