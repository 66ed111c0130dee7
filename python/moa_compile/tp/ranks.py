"""The other processes: how many there are, and whether all of them succeed."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
import torch.distributed as dist

from .assignment import Assignment
from .problems import problem


class Agreement:
    """What a rank does that all have to do alike: `said["model"]`, and so on, are equal on all
    ranks."""

    def __init__(self) -> None:
        self.said: dict[str, object] = {}


class Ranks:
    """The processes of a group, of which this is `rank`."""

    def __init__(self, group: dist.ProcessGroup | None, device: torch.device) -> None:
        """group: None is all processes. device: the model's, for messages over NCCL. Raises MOA6320
        where torch.distributed is not started, or this process is outside of the group."""
        if not dist.is_available() or not dist.is_initialized():
            raise problem("rankGroup", "torch.distributed has no process group")
        self.group, self._device = group, device
        self.rank, self.count = dist.get_rank(group), dist.get_world_size(group)
        if self.rank < 0:
            raise problem("rankGroup", "this process is not of the group that it gives")

    def check(self, assignment: Assignment) -> None:
        """Raises MOA6320 for a package of another number of ranks."""
        if self.count != assignment.ranks:
            message = (
                f"the package {assignment.folder} is for {assignment.ranks} ranks, and the process "
                f"group has {self.count}"
            )
            raise problem("rankGroup", message)

    @contextmanager
    def agreeing(self) -> Iterator[Agreement]:
        """A block that fails on all ranks if it fails on one: with its own error there, elsewhere
        with MOA6323, also where ranks said different things, and where one does not enter such a
        block: it ended, or the group's timeout passed. The block must not wait for other ranks."""
        agreement, failure = Agreement(), None
        try:
            yield agreement
        except Exception as error:
            failure = error
        try:
            outcomes = self._exchange((agreement.said, None if failure is None else str(failure)))
        except RuntimeError as error:
            if failure is not None:
                raise failure from error
            raise no_answer(error) from error
        if failure is not None:
            raise failure
        for rank, (said, message) in enumerate(outcomes):
            if message is not None:
                raise problem("rankFailed", f"rank {rank} failed: {message}")
            names = [*agreement.said, *said]
            other = [name for name in names if said.get(name) != agreement.said.get(name)]
            if other:
                message = f"rank {rank} has another {other[0]} than rank {self.rank}"
                help = "all ranks make the same calls, with the same model, package and options"
                raise problem("rankFailed", message, help)

    def _exchange(self, own: object) -> list[Any]:
        outcomes: list[Any] = [None] * self.count
        on = torch.cuda.device(self._device) if self._device.type == "cuda" else nullcontext()
        with on:
            dist.all_gather_object(outcomes, own, group=self.group)
        return outcomes


def no_answer(error: RuntimeError) -> Exception:
    """For an error of torch.distributed, which is that another rank ended, or did not answer."""
    return problem(
        "rankFailed",
        f"another rank ended, or did not do in time what this one does: {error}",
        "see the output of the other ranks; how long ranks wait for each other is the timeout of "
        "torch.distributed.init_process_group",
    )
