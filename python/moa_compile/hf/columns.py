"""The new columns of a forward: which of them are tokens, and which rows bring the same. Read from
the device in one transfer."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from .call import ForwardCall
from .problems import problem


@dataclass(frozen=True)
class NewColumns:
    """real: `[rows, columns]` bool on the host, where a column is a token of a row; None: all are.
    mask: the same on the device. counts: tokens of each row. like: whether a row brings what its
    leader does."""

    real: torch.Tensor | None
    mask: torch.Tensor | None
    counts: list[int]
    like: list[bool]


def read_columns(
    call: ForwardCall, past: int, known: torch.Tensor | None, leaders: Sequence[int]
) -> NewColumns:
    """Reads the columns of a call and checks them against the cache.

    past: columns of the cache. known: `[rows, past]` bool on the device, which of them are tokens;
    None: all. leaders: for each row one that has the same tokens so far; itself for none.
    Raises MOA6305 where the mask is missing or another one than before, MOA6306 where positions do
    not rise by one.
    """
    rows, columns = call.rows, call.columns
    if call.mask is None and known is not None:
        message = f"attention_mask is missing, and the cache of {past} columns holds padding"
        raise problem("badMask", message)
    shares = any(leader != row for row, leader in enumerate(leaders))
    positions = call.positions if columns > 1 else None
    if call.mask is None and positions is None and call.begins is None and not shares:
        return NewColumns(None, None, [columns] * rows, [True] * rows)
    new: torch.Tensor | None = None
    flags: list[torch.Tensor] = []
    changed = moved = packed = torch.zeros(1, dtype=torch.bool, device=call.tokens.device)
    if call.mask is not None:
        if tuple(call.mask.shape) != (rows, past + columns):
            raise problem(
                "badMask",
                f"attention_mask is {list(call.mask.shape)}; [{rows}, {past + columns}] is needed: "
                f"{past} columns are in the cache, and {columns} are new",
            )
        mask = call.mask.to(device=call.tokens.device) != 0
        new, before = mask[:, past:], mask[:, :past]
        flags.append(new.reshape(-1))
        changed = (~before if known is None else before != known).any().reshape(1)
    if positions is not None:
        rises = positions[:, 1:] - positions[:, :-1] == 1
        pairs = torch.ones_like(rises) if new is None else new[:, 1:] & new[:, :-1]
        packed = (pairs & ~rises).any().reshape(1)
    if call.begins is not None:
        begin = torch.arange(past, past + columns, device=call.begins.device)
        moved = (call.begins.reshape(-1)[:1] != begin[:1]).to(call.tokens.device)
    if shares:
        flags.append(_like_leaders(call, new, leaders))
    # The only time that the host waits for the device; without a mask it does not.
    read = torch.cat([changed, moved, packed, *flags]).cpu()
    _check(read[:3].tolist(), past)
    rest = read[3:]
    real = None if new is None else rest[: rows * columns].view(rows, columns)
    like = rest[-rows:].tolist() if shares else [True] * rows
    if real is None or bool(real.all()):
        return NewColumns(None, None, [columns] * rows, like)
    return NewColumns(real, new, real.sum(1).tolist(), like)


def _like_leaders(
    call: ForwardCall, new: torch.Tensor | None, leaders: Sequence[int]
) -> torch.Tensor:
    """`[rows]` bool: whether a row's columns are what its leader's are."""
    index = torch.tensor(leaders, device=call.tokens.device)
    same = call.tokens == call.tokens[index]
    if same.dim() == 3:
        same = same.all(-1)
    if call.positions is not None and call.positions.shape[0] > 1:
        same &= call.positions == call.positions[index]
    if new is None:
        return same.all(1)
    # What lies in padding does not matter.
    return ((same | ~new) & (new == new[index])).all(1)


def _check(flags: Sequence[bool], past: int) -> None:
    changed, moved, packed = flags
    if changed:
        message = f"attention_mask differs from before in the {past} columns of the cache"
        raise problem("badMask", message)
    if moved:
        message = f"cache_position does not begin at {past}, the columns of the cache"
        raise problem("badPositions", message)
    if packed:
        message = "position_ids do not rise by 1: several sequences in a row, or gaps"
        raise problem("badPositions", message)


def row_keys(call: ForwardCall, new: NewColumns) -> list[tuple[object, ...]]:
    """What tells rows apart, on the host; each its own where tokens came as embeddings."""
    if call.tokens.dim() != 2:
        return [(row,) for row in range(call.rows)]
    real = new.real
    keys: list[tuple[object, ...]] = []
    for row, ids in enumerate(call.tokens.tolist()):
        own = [True] * len(ids) if real is None else real[row].tolist()
        keys.append(
            tuple(None if not each_real else id for id, each_real in zip(ids, own, strict=True))
        )
    return keys
