"""What steps bring, as launches are told of it."""

from dataclasses import dataclass
from typing import Literal

from .prefill_workspace import PrefillNeeds, PrefillWorkspace

# Which plan of decode a step makes: for the kernel that appends its one token, or for the one whose
# tokens are in the rings.
PlanName = Literal["one", "many"]


@dataclass(frozen=True)
class StepTokens:
    """What a step brings: new tokens of each sequence, where `cu_seqlens` says nothing. Addresses
    are 0 for nothing."""

    each: int
    cu_seqlens: int
    counts: int


@dataclass(frozen=True)
class PackedTokens:
    """New tokens of a packed call, by the memory that they lie in.

    rows: of the tensors. fewest: sequences with fewer new tokens have no items of prefill.
    decodes, prefills: whether some sequence may be decoded, and whether some may have items.
    """

    rows: int
    cu_seqlens: int
    workspace: PrefillWorkspace
    fewest: int
    decodes: bool
    prefills: bool
    needs: PrefillNeeds
