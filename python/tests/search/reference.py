"""Influence as the definition says it, with all of A in memory and a loop over pairs. Shares no code with the package."""

from contextlib import contextmanager

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import eager_mask


@contextmanager
def whole_attention(model, extra=None):
    """Eager attention with the mask that transformers makes for it, in the model's type; gives the list of A [B, Hq, T, T] of the layers called.

    extra: bool [L, Hq, T, T], pairs that are allowed besides what the model allows.
    """
    seen = []

    def attention(module, query, key, value, attention_mask, scaling=None, softcap=None, s_aux=None, **others):
        groups = query.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
        s = query @ key.transpose(2, 3) * scaling
        if softcap is not None:
            s = softcap * torch.tanh(s / softcap)
        s = s.masked_fill(attention_mask < 0, -torch.inf)
        if extra is not None:
            s = s.masked_fill(~extra[module.layer_idx], -torch.inf)
        if s_aux is not None:
            s = torch.cat([s, s_aux.view(1, -1, 1, 1).expand(*s.shape[:3], 1)], -1)
        a = torch.softmax(s, -1)
        if s_aux is not None:
            a = a[..., :-1]
        if a.requires_grad:
            a.retain_grad()
        seen.append(a)
        return (a @ value).transpose(1, 2), None

    AttentionInterface.register("whole", attention)
    AttentionMaskInterface.register("whole", eager_mask)
    before = model.config._attn_implementation
    model.set_attn_implementation("whole")
    try:
        yield seen
    finally:
        model.set_attn_implementation(before)


def reference(model, tokens, labels, length, target="cross-entropy"):
    """(loss, influence [L, Hq, 2, nb, nb], gradient of the target by the embeddings [T, hidden])."""
    kept = []

    def keep(module, inputs, output):
        kept.append(output.requires_grad_(True))

    hook = model.get_input_embeddings().register_forward_hook(keep)
    with whole_attention(model) as attentions:
        logits = model(input_ids=torch.tensor([tokens]), use_cache=False).logits[0]
    hook.remove()
    right = [torch.softmax(logits[t - 1], -1)[label] for t, label in enumerate(labels) if t > 0 and label != -100]
    loss = sum(-torch.log(p) for p in right) / len(right)
    # The margin is the log-odds of all other tokens together.
    aim = loss if target == "cross-entropy" else sum(torch.log((1 - p) / p) for p in right) / len(right)
    grad = torch.autograd.grad(aim, kept[0], retain_graph=True)[0][0]
    grads = torch.autograd.grad(aim, attentions)
    pages = length // 64
    result = torch.zeros(len(attentions), attentions[0].shape[1], 2, pages, pages, dtype=torch.float64)
    for layer, (a, g) in enumerate(zip(attentions, grads)):
        for head in range(a.shape[1]):
            result[layer, head] = page_sums(pair_influences(a[0, head].tolist(), g[0, head].tolist()), pages)
    return float(loss.detach()), result, grad


def pair_influences(a: list, g: list) -> list:
    """|A (S - g) / (1 - A)|, and |g A| where A is 1, of the pairs j <= i."""
    rows = []
    for i, (weights, slopes) in enumerate(zip(a, g)):
        s = sum(w * x for w, x in zip(weights, slopes))
        rows.append([abs(x * w) if w == 1.0 else abs(w * (s - x) / (1.0 - w)) for w, x in zip(weights[: i + 1], slopes)])
    return rows


def page_sums(pairs: list, pages: int) -> torch.Tensor:
    """[2, nb, nb]: near pairs (i - j < 64 (bi - bj)) and far ones."""
    sums = [[[0.0] * pages for _ in range(pages)] for _ in range(2)]
    for i, row in enumerate(pairs):
        for j, value in enumerate(row):
            bi, bj = i // 64, j // 64
            part = 0 if i - j < 64 * (bi - bj) else 1
            sums[part][bi][bj] += value
    return torch.tensor(sums, dtype=torch.float64)
