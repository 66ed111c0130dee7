"""The cache that transformers sees: rows of a session in the form of its `Cache`."""

import weakref
from typing import Any

import torch
import transformers
from transformers.cache_utils import Cache, CacheLayerMixin

from .problems import problem
from .rows import CacheRows

# In transformers 4 `crop(n)` leaves n columns; since 5 it takes a negative number of them away.
_CROPS_TO_LENGTH = int(transformers.__version__.split(".")[0]) < 5


class MoaLayer(CacheLayerMixin):
    """One layer of a `MoaCache`. Keys and values pass through it: the attention function appends
    them."""

    is_compileable = False
    is_sliding = False
    is_croppable = True
    supports_early_init = False

    def __init__(self, rows: CacheRows) -> None:
        super().__init__()
        self._rows = rows

    def lazy_initialization(self, *_: Any) -> None:
        """Nothing: sessions are made by the first forward."""

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The new keys and values, unchanged. Raises MOA6304 in another forward than an attached
        model's, where nobody would append them."""
        self._rows.check_under_way()
        return key_states, value_states

    def get_mask_sizes(self, query: int | torch.Tensor, *_: Any) -> tuple[int, int]:
        """Columns of the cache with the new ones, and 0. `query`: how many are new; their positions
        in transformers 4."""
        new = query if isinstance(query, int) else int(query.shape[0])
        return self.get_seq_length() + new, 0

    def get_seq_length(self, *_: Any) -> int:
        """Columns, padding included."""
        return self._rows.columns

    def get_max_length(self) -> int:
        """The length bound in tokens."""
        return self._rows.length_bound

    get_max_cache_shape = get_max_length

    def crop(self, *_: Any) -> None:
        """Layers have no lengths of their own."""
        raise problem("badCache", "one layer of a cache cannot be changed alone")

    reset = reorder_cache = batch_repeat_interleave = batch_select_indices = crop
    offload = prefetch = crop


class MoaCache(Cache):
    """Made by `generate` of an attached model, or by `new_cache`.

    content: its rows, their lengths and the session. Tokens are freed with the cache, or with
    `close`.
    """

    def __init__(self, content: CacheRows, layers: int) -> None:
        super().__init__(layers=[MoaLayer(content) for _ in range(layers)])
        self.content = content
        end = weakref.finalize(self, content.close, "it was collected")
        end.atexit = False

    @property
    def length_bound(self) -> int:
        """The most tokens of a row."""
        return self.content.length_bound

    @property
    def batch_size(self) -> int:
        """Rows; -1 before the first forward."""
        return self.content.rows or -1

    @property
    def max_batch_size(self) -> int:
        return self.batch_size

    def close(self) -> None:
        """Frees its tokens. The cache cannot be used afterwards (MOA6304)."""
        self.content.close()

    def crop(self, tokens_to_remove: int) -> None:
        """As `Cache.crop` of the installed transformers: a negative number of columns to take back,
        or in transformers 4 the columns to leave. Raises MOA6110 where rings have lost tokens."""
        count = -tokens_to_remove
        if tokens_to_remove > 0 or (_CROPS_TO_LENGTH and tokens_to_remove == 0):
            if not _CROPS_TO_LENGTH:
                message = f"crop({tokens_to_remove}): a negative number of columns is needed"
                raise problem("badCache", message)
            count = self.content.columns - tokens_to_remove
        self.content.crop(count)

    def reset(self) -> None:
        """Forgets all tokens."""
        self.content.reset()

    def reorder_cache(self, beam_idx: torch.Tensor) -> None:
        """Row i becomes what row `beam_idx[i]` is."""
        self.content.select(beam_idx.tolist())

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Keeps these rows: numbers, or a bool for each."""
        numbers = indices.nonzero().view(-1) if indices.dtype == torch.bool else indices
        self.content.select(numbers.tolist())

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Each row so many times."""
        rows = range(self.content.rows)
        self.content.select([row for row in rows for _ in range(repeats)])

    def __deepcopy__(self, memo: dict[int, Any]) -> "MoaCache":
        message = "a copy of a cache would need a session of its own"
        advice = "repeat its rows with batch_repeat_interleave, or prefill another cache"
        raise problem("badCache", message, advice)
