"""Decode of a Llama without transformers' forward: its modules and a session, so that one CUDA
graph holds a step of all sequences, from their last tokens to the next ones."""

from typing import Any

import torch
from torch.nn.functional import embedding, rms_norm

import moa_compile


class DecodeLoop:
    """`step` makes the next token of each slot; `tokens` `[slots]` holds the last ones.

    Modules of a model over ranks add up by themselves, so this is the same on one GPU and on
    several.
    """

    def __init__(self, model: Any, session: moa_compile.Session) -> None:
        self._model, self._session = model, session
        self.tokens = torch.zeros(session.slots, dtype=torch.long, device=session.device)

    def step(self) -> None:
        decoder, session, slots = self._model.model, self._session, self._session.slots
        hidden = embedding(self.tokens, decoder.embed_tokens.weight)
        for number, layer in enumerate(decoder.layers):
            attention = layer.self_attn
            x = _norm(layer.input_layernorm, hidden)
            q, k, v = (
                project(x).view(slots, -1, attention.head_dim)
                for project in (attention.q_proj, attention.k_proj, attention.v_proj)
            )
            out = torch.empty_like(q)
            # The session rotates q and k.
            session.decode(number, q, k, v, out)
            hidden = hidden + attention.o_proj(out.view(slots, -1))
            hidden = hidden + layer.mlp(_norm(layer.post_attention_layernorm, hidden))
        logits = self._model.lm_head(_norm(decoder.norm, hidden))
        torch.argmax(logits, -1, out=self.tokens)


def _norm(module: Any, x: torch.Tensor) -> torch.Tensor:
    return rms_norm(x, x.shape[-1:], module.weight, module.variance_epsilon)
