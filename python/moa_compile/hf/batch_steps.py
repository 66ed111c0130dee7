"""Steps of `generate_batch` on the device: each sequence of a session brings none, one or many
tokens, and gets the logits behind the last of them."""

from collections.abc import Mapping, Sequence

import torch

from ..new_tokens import NewTokens
from ..session import Session
from .cache import MoaCache
from .decode_graph import DecodeRows, write_numbers
from .forward import Attends, Forwards
from .model_state import ModelState
from .rows import CacheRows
from .static_forward import ModelForward, StaticForward
from .step_graph import EagerStep, MakeGraph


class _PackedRows(CacheRows):
    """What the model is given for a cache: sequences are the session's."""

    def check_under_way(self) -> None:
        """There always is one."""


class _Packed:
    """Tokens of all sequences one after the other, as layers find them: as many rows as the budget
    of `numbers`, of which the last may be none's."""

    def __init__(self, session: Session, numbers: NewTokens) -> None:
        self.layers = 0
        self._session, self._numbers = session, numbers

    def attend(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
    ) -> torch.Tensor:
        self.layers += 1
        q, k, v = (each[0].transpose(0, 1).contiguous() for each in (query, key, value))
        out = torch.zeros_like(q)
        self._session.step(layer, q, k, v, out, cu_seqlens=self._numbers)
        return out[None]


class _Graph:
    """A forward over static memory: of one row of `budget` tokens, or of one token in each slot."""

    def __init__(
        self,
        model: ModelForward,
        session: Session,
        step: Attends,
        budget: int | None,
        make: MakeGraph,
    ) -> None:
        rows, columns = (session.slots, 1) if budget is None else (1, budget)
        with torch.inference_mode(False):
            # The row of each slot's last token.
            self._last = torch.zeros(session.slots, dtype=torch.long, device=session.device)
        keep = 1 if budget is None else self._last
        forward = self._forward = StaticForward(model, rows, columns, keep, session.device)
        self._graph = make(session, lambda cache: forward.run(step, cache))

    def run(
        self, ids: Sequence[int], positions: Sequence[int], last: Sequence[int], cache: MoaCache
    ) -> torch.Tensor:
        forward = self._forward
        none = [0] * (forward.ids.numel() - len(ids))
        write_numbers(forward.ids, [*ids, *none])
        write_numbers(forward.positions, [*positions, *none])
        forward.begins.copy_(forward.positions[0])
        write_numbers(self._last, last)
        return self._graph.run(cache).flatten(0, 1)


class BatchSteps:
    """Steps of one session. On a GPU there are two graphs: of decodes, and of `budget` tokens of
    any kind."""

    def __init__(
        self,
        model: ModelForward,
        forwards: Forwards,
        session: Session,
        budget: int,
        make: MakeGraph,
        state: ModelState,
    ) -> None:
        """state: that of the model, as which steps are captured."""
        self._model, self._forwards, self._session = model, forwards, session
        self._state: ModelState | None = state
        self._numbers = session.new_tokens(budget=budget)
        self._cache = MoaCache(_PackedRows(forwards.pool, session.length_bound), forwards.layers)
        self._budget = budget
        self._make_graphs(make)

    def _make_graphs(self, make: MakeGraph) -> None:
        model, session = self._model, self._session
        mixed = _Packed(session, self._numbers)
        self._mixed = _Graph(model, session, mixed, self._budget, make)
        self._decode = _Graph(model, session, DecodeRows(session), None, make)

    def run(self, new: Mapping[int, Sequence[int]]) -> torch.Tensor:
        """Feeds the new tokens of slots. Returns `[slots, vocabulary]`, which the next step
        overwrites; rows of slots without new tokens mean nothing.

        Raises MOA6109 where the pool has too few pages, and nothing has changed then; MOA6309 where
        the model was detached.
        """
        self._forwards.check_attached()
        if self._state is not None and not self._state.is_plain():
            self._state = None
            self._make_graphs(EagerStep)
        session = self._session
        lengths = session.lengths(0)
        held = [slot for slot, length in enumerate(lengths) if length >= 0]
        every = range(session.slots)
        if all(len(new.get(slot, ())) == 1 for slot in held):
            ids = [new[slot][0] if slot in new else 0 for slot in every]
            return self._decode.run(ids, [max(0, length) for length in lengths], every, self._cache)
        self._numbers.set([len(new.get(slot, ())) for slot in every])
        ids, last = [], [0] * session.slots
        positions: list[int] = []
        for slot in sorted(new):
            ids += new[slot]
            positions += range(lengths[slot], lengths[slot] + len(new[slot]))
            last[slot] = len(ids) - 1
        return self._mixed.run(ids, positions, last, self._cache)
