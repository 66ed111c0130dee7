"""Checks of what calls of a session are given, before any work of the device."""

from collections.abc import Sequence
from math import prod
from typing import Any, Final, NamedTuple

import torch

from .definition import Shape
from .errors import session_error
from .words import describe, is_integer

_NAMES: Final = {torch.bfloat16: "bf16", torch.float16: "fp16", torch.float32: "fp32"}


class Tensors(NamedTuple):
    """q and out `[rows, query heads, head dim]`, k and v `[rows, KV heads, head dim]`, lse `[rows,
    query heads]` float32."""

    q: torch.Tensor
    k: torch.Tensor
    v: torch.Tensor
    out: torch.Tensor
    lse: torch.Tensor | None

    def all(self) -> list[torch.Tensor]:
        """Those that are there."""
        return [self.q, self.k, self.v, self.out, *([] if self.lse is None else [self.lse])]

    def addresses(self) -> dict[str, int]:
        """By names of parameters; 0 for no `lse`."""
        lse = 0 if self.lse is None else self.lse.data_ptr()
        return {
            "q": self.q.data_ptr(),
            "k": self.k.data_ptr(),
            "v": self.v.data_ptr(),
            "out": self.out.data_ptr(),
            "lse": lse,
        }


def check_tensors(
    tensors: Tensors, shape: Shape, rows: int, dtype: torch.dtype, device: torch.device
) -> None:
    """Raises MOA6103 for a tensor that is not good for so many rows."""
    heads, kv_heads, head_dim = shape["queryHeads"], shape["kvHeads"], shape["headDim"]
    _check_tensor("q", tensors.q, (rows, heads, head_dim), dtype, device)
    _check_tensor("k", tensors.k, (rows, kv_heads, head_dim), dtype, device)
    _check_tensor("v", tensors.v, (rows, kv_heads, head_dim), dtype, device)
    _check_tensor("out", tensors.out, (rows, heads, head_dim), dtype, device)
    if tensors.lse is not None:
        _check_tensor("lse", tensors.lse, (rows, heads), torch.float32, device)


def _check_tensor(
    name: str,
    tensor: torch.Tensor,
    shape: tuple[int, ...],
    dtype: torch.dtype,
    device: torch.device,
) -> None:
    if (
        isinstance(tensor, torch.Tensor)
        and tensor.shape == shape
        and tensor.dtype is dtype
        and tensor.device == device
        and tensor.is_contiguous()
        and tensor.data_ptr() % 16 == 0
    ):
        return
    problem = _problem_of(tensor, shape, dtype, device)
    if problem is not None:
        raise session_error("badTensor", f"{name} {problem}")


def _problem_of(
    tensor: torch.Tensor, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device
) -> str | None:
    """Why a tensor is not what a call needs. Its rows may have several dimensions."""
    if not isinstance(tensor, torch.Tensor):
        return f"is {describe(tensor)}, not a tensor"
    if tensor.device != device:
        return f"is memory of another device: {tensor.device}; the session is on {device}"
    if tensor.dtype != dtype:
        return f"holds {_NAMES.get(tensor.dtype, tensor.dtype)}; {_NAMES[dtype]} is needed"
    if tensor.shape[1 - len(shape) :] != shape[1:] or tensor.numel() != prod(shape):
        return f"is {_listed(tensor.shape)}; {_listed(shape)} is needed"
    if not tensor.is_contiguous():
        return f"is not contiguous; {_listed(shape)} is needed without gaps"
    if tensor.data_ptr() % 16 != 0:
        return "begins at an address that is not a multiple of 16 bytes"
    return None


def _listed(shape: Sequence[int]) -> str:
    return f"[{', '.join(str(size) for size in shape)}]"


def check_cu_seqlens(values: object, slots: int, length_bound: int) -> list[int]:
    """A copy, found legal: slots + 1 integers from 0 that never fall, no sequence longer than the
    bound."""
    if not isinstance(values, Sequence) or isinstance(values, str):
        hint = (
            ": the host has to know them; see new_tokens for numbers on the device"
            if isinstance(values, torch.Tensor)
            else ""
        )
        raise session_error(
            "badCuSeqlens", f"cu_seqlens is {describe(values)}, not a sequence of numbers{hint}"
        )
    if len(values) != slots + 1:
        message = f"cu_seqlens has {len(values)} entries; {slots} slots need {slots + 1}"
        raise session_error("badCuSeqlens", message)
    before = 0
    for slot, value in enumerate(values):
        if (
            not is_integer(value)
            or value < before
            or value > 0x7FFFFFFF
            or (slot == 0 and value != 0)
        ):
            raise session_error("badCuSeqlens", f"cu_seqlens[{slot}] is {describe(value)}")
        if value - before > length_bound:
            message = (
                f"sequence {slot - 1} has {value - before} tokens; the session's length bound is "
                f"{length_bound}"
            )
            raise session_error("sequenceFull", message)
        before = value
    return list(values)


def check_entries(counts: object, slots: int) -> Sequence[Any]:
    """Found to have an entry for each slot, whatever it is."""
    if not isinstance(counts, Sequence) or isinstance(counts, str):
        raise session_error("badCounts", f"counts is {describe(counts)}, not a sequence of numbers")
    if len(counts) != slots:
        raise session_error(
            "badCounts", f"counts has {len(counts)} entries; {slots} slots need {slots}"
        )
    return counts


def check_counts(counts: object, slots: int, tokens: int) -> list[int]:
    """A copy, found legal: an integer from 0 to `tokens` for each slot."""
    entries = check_entries(counts, slots)
    for slot, count in enumerate(entries):
        if not is_integer(count) or not 0 <= count <= tokens:
            message = (
                f"counts[{slot}] is {describe(count)}; a decode of {tokens} tokens takes 0 to "
                f"{tokens} of a sequence"
            )
            raise session_error("badCounts", message)
    return list(entries)


def check_counts_tensor(counts: torch.Tensor, slots: int, device: torch.device) -> None:
    """Finds a tensor on the device to hold counts of a session."""
    if counts.device != device:
        raise session_error("badCounts", "counts is memory of another device")
    if counts.dtype != torch.int32:
        raise session_error("badCounts", f"counts holds {counts.dtype}; int32 is needed")
    if counts.numel() != slots or not counts.is_contiguous():
        raise session_error(
            "badCounts", f"counts has {counts.nbytes} bytes; {slots} aligned words of 4 are needed"
        )
