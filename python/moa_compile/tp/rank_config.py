"""The config of a model as attention modules of one rank see it."""

from typing import Any, Final

from .problems import NotCopied

# What attention modules keep of their config, or read in it when they run (Phi-3).
QUERY_COUNTS: Final = ("num_attention_heads", "num_heads")
KV_COUNTS: Final = ("num_key_value_heads", "num_kv_heads")


class RankConfig(NotCopied):
    """A view of a config, with the numbers of heads of a rank. The config itself stays the whole
    model's: it is what `generate` and `save_pretrained` read, and where the name of the attention
    is set."""

    def __init__(self, whole: Any, query_heads: int, kv_heads: int) -> None:
        counts = {
            **{name: query_heads for name in QUERY_COUNTS if hasattr(whole, name)},
            **{name: kv_heads for name in KV_COUNTS if hasattr(whole, name)},
        }
        self.__dict__.update(counts, _whole=whole)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_whole"], name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self.__dict__["_whole"], name, value)
