"""Sessions as operators of `torch.library`, `torch.ops.moa_compile.*`: what `torch.compile` keeps
whole in its graphs.

An operator names its session by `Session.handle`. It changes the session's memory, which compilers
do not see, so each takes `Session.order` too, as if it wrote that: operators of one session keep
their order. What else it writes, its schema says: `out` and `lse`; and q and k where they may be
rotated in place. Nothing is returned.

The functions here call them for a session: `ops.decode(session, layer, q, k, v, out)`.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import torch

from .errors import session_error
from .new_tokens import NewTokens
from .session import Session
from .session_base import sessions

NAMESPACE: Final = "moa_compile"

_READS: Final = (
    "Tensor q, Tensor k, Tensor v, Tensor(c!) out, Tensor(d!)? lse, Tensor(e!) order, int "
    "session, int layer"
)
_ROTATES: Final = _READS.replace("Tensor q, Tensor k", "Tensor(a!) q, Tensor(b!) k")
_SCHEMAS: Final = {
    "decode": f"({_READS}) -> ()",
    "decode_tokens": f"({_ROTATES}, int tokens, Tensor? counts) -> ()",
    "prefill": f"({_ROTATES}, int[] cu_seqlens) -> ()",
    "step": f"({_ROTATES}, int[] cu_seqlens) -> ()",
    "step_new_tokens": f"({_ROTATES}, int new_tokens) -> ()",
}

_Tensor = torch.Tensor
# The layer and the tensors of a call, by name.
_Tensors = dict[str, Any]


def _session(handle: int) -> Session:
    session = sessions.get(handle)
    if not isinstance(session, Session):
        raise session_error("usedAfterDispose", f"there is no session {handle}")
    return session


def _decode(session: Session, tensors: _Tensors) -> None:
    session.decode(**tensors)


def _decode_tokens(
    session: Session, tensors: _Tensors, tokens: int, counts: _Tensor | None
) -> None:
    session.decode(**tensors, tokens=tokens, counts=counts)


def _prefill(session: Session, tensors: _Tensors, cu_seqlens: Sequence[int]) -> None:
    session.prefill(**tensors, cu_seqlens=cu_seqlens)


def _step(session: Session, tensors: _Tensors, cu_seqlens: Sequence[int]) -> None:
    session.step(**tensors, cu_seqlens=cu_seqlens)


def _step_new_tokens(session: Session, tensors: _Tensors, new_tokens: int) -> None:
    session.step(**tensors, cu_seqlens=session.new_tokens_of(new_tokens))


def _implementation(call: Callable[..., None]) -> Callable[..., None]:
    """An operator: `call` gets its session, the layer and tensors by their names in calls of
    `Session`, and what else the operator has."""

    def run(
        q: _Tensor,
        k: _Tensor,
        v: _Tensor,
        out: _Tensor,
        lse: _Tensor | None,
        order: _Tensor,
        session: int,
        layer: int,
        *rest: Any,
    ) -> None:
        tensors = {"layer": layer, "q": q, "k": k, "v": v, "out": out, "lse": lse}
        call(_session(session), tensors, *rest)

    return run


def _fake(*_: object) -> None:
    """Operators have no result: nothing is to be known of them without memory."""


_CALLS: Final[dict[str, Callable[..., None]]] = {
    "decode": _decode,
    "decode_tokens": _decode_tokens,
    "prefill": _prefill,
    "step": _step,
    "step_new_tokens": _step_new_tokens,
}

# torch has no types for it.
_new_library: Any = torch.library.Library
_library = _new_library(NAMESPACE, "DEF")
for _name, _schema in _SCHEMAS.items():
    _library.define(_name + _schema)
    for _key in ("CPU", "CUDA"):
        _library.impl(_name, _implementation(_CALLS[_name]), _key)
    torch.library.register_fake(f"{NAMESPACE}::{_name}", _fake, lib=_library)

_ops = torch.ops.moa_compile


def decode(
    session: Session,
    layer: int,
    q: _Tensor,
    k: _Tensor,
    v: _Tensor,
    out: _Tensor,
    *,
    lse: _Tensor | None = None,
    tokens: int = 1,
    counts: _Tensor | None = None,
) -> None:
    """`Session.decode`. One token of each sequence leaves q and k as they are, where the package's
    kernels append it."""
    own = (q, k, v, out, lse, session.order, session.handle, layer)
    if tokens == 1 and counts is None and session.decode_appends(layer):
        _ops.decode.default(*own)
    else:
        _ops.decode_tokens.default(*own, tokens, counts)


def prefill(
    session: Session,
    layer: int,
    q: _Tensor,
    k: _Tensor,
    v: _Tensor,
    out: _Tensor,
    *,
    cu_seqlens: Sequence[int],
    lse: _Tensor | None = None,
) -> None:
    """`Session.prefill`."""
    _ops.prefill.default(q, k, v, out, lse, session.order, session.handle, layer, cu_seqlens)


def step(
    session: Session,
    layer: int,
    q: _Tensor,
    k: _Tensor,
    v: _Tensor,
    out: _Tensor,
    *,
    cu_seqlens: Sequence[int] | NewTokens,
    lse: _Tensor | None = None,
) -> None:
    """`Session.step`."""
    own = (q, k, v, out, lse, session.order, session.handle, layer)
    if isinstance(cu_seqlens, NewTokens):
        _ops.step_new_tokens.default(*own, cu_seqlens.handle)
    else:
        _ops.step.default(*own, cu_seqlens)
