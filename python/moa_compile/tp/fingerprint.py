"""Whether ranks have the same model: a hash of what it is and of some of its weights."""

import hashlib
import json
from collections.abc import Iterable
from typing import Any, Final

import torch

# Elements of each tensor. Another checkpoint has other ones nearly everywhere.
_SAMPLES: Final = 16
# Entries of a config that say where it came from.
_ORIGIN: Final = ("_name_or_path", "transformers_version")


def model_fingerprint(model: Any) -> str:
    """Of a whole model. Its buffers count too: RoPE's frequencies are among them."""
    tensors = (*model.named_parameters(), *model.named_buffers())
    return fingerprint(type(model).__name__ + config_text(model.config), tensors)


def config_text(config: Any) -> str:
    """A config, without where it came from."""
    values = {name: value for name, value in config.to_dict().items() if name not in _ORIGIN}
    return json.dumps(values, sort_keys=True, default=str)


def fingerprint(text: str, tensors: Iterable[tuple[str, torch.Tensor]]) -> str:
    """Of a text, and of tensors by their names."""
    found = hashlib.sha256(text.encode())
    for name, tensor in tensors:
        found.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        if tensor.numel() > 0 and not tensor.is_meta:
            at = [(tensor.numel() - 1) * each // (_SAMPLES - 1) for each in range(_SAMPLES)]
            values = tensor.detach().take(torch.tensor(at, device=tensor.device))
            found.update(str(values.double().tolist()).encode())
    return found.hexdigest()
