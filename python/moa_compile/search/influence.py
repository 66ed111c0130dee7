"""Attention whose backward pass also sums up what each pair of tokens means for the loss (MoA, arXiv 2406.14909, section 4.1)."""

import torch

from .blocks import PAGE, Rule, attend, block_sizes, blocks, product, scores, weights


class InfluenceAttention(torch.autograd.Function):
    """Exact causal attention, q [H, G, T, D], k [H, T, D], v [H, T, E] to [H, G, T, E].

    Its backward pass writes |A (S - g) / (1 - A)|, summed over pages of 64 x 64 pairs, into `sums` [H, G, 2, nb, nb] (near, far), nb >= T / 64.
    Neither A nor the row sums are kept from the forward pass: a block holds whole rows, so its softmax is done again, in float32.
    """

    @staticmethod
    def forward(ctx, q, k, v, rule: Rule, sums: torch.Tensor, rows: int | None):
        ctx.save_for_backward(q, k, v)
        ctx.rule, ctx.sums, ctx.rows = rule, sums, rows
        return attend(q, k, v, rule, rows)

    @staticmethod
    def backward(ctx, d_out):
        q, k, v = ctx.saved_tensors
        rule = ctx.rule
        heads, group, tokens, dim = q.shape
        sizes = block_sizes(heads, group, tokens, q.device, ctx.rows)
        d_out = d_out.contiguous()
        d_q = torch.empty_like(q)
        # In float32 over all blocks; two blocks never add to the same sum at a time, so the order is always the same.
        d_k = torch.zeros(k.shape, dtype=ctx.sums.dtype, device=k.device)
        d_v = torch.zeros(v.shape, dtype=ctx.sums.dtype, device=v.device)
        for block in blocks(heads, tokens, sizes, rule.window):
            h, queries, keys = slice(block.head, block.last), slice(block.first, block.end), slice(block.low, block.end)
            s, slope = scores(q, k, block, rule)
            a, share = weights(s, block, rule)
            del s
            d_o = d_out[h, :, queries].reshape(block.last - block.head, -1, v.shape[-1])
            g = product(d_o, v[h, keys].transpose(1, 2)).view_as(a)  # g = dLoss/dA = dO V^T
            d_v[h, keys] += product(a.flatten(1, 2).to(v.dtype).transpose(1, 2), d_o)
            d_s = pair_influence(a, g, share, lambda t: add_pages(t, ctx.sums[h], block.first, block.low))
            if slope is not None:
                d_s.mul_(slope)
            d_s = d_s.flatten(1, 2).to(q.dtype)
            d_q[h, :, queries] = product(d_s, k[h, keys]).mul_(rule.scaling).view(block.last - block.head, group, -1, dim)
            d_k[h, keys] += product(d_s.transpose(1, 2), q[h, :, queries].reshape(block.last - block.head, -1, dim)).mul_(rule.scaling)
        return d_q, d_k.to(k.dtype), d_v.to(v.dtype), None, None, None


def pair_influence(a: torch.Tensor, g: torch.Tensor, share: torch.Tensor | None, use) -> torch.Tensor:
    """Calls use(influence of each pair) and returns dLoss/dScores = A (g - S). a, g [..., keys]; both are overwritten.

    Where A is close to 1, 1 - A and S - g both vanish and their quotient would be noise. A row has one such key at most, its largest. With
    r = the sum of the other A (and of the sink's share) = 1 - A and u = the sum of the other g A:  S - g = u - g r, without cancellation of ones. So
    the influence of the largest is A |u / r - g|, which is |g A| when nothing else is left (u = r = 0). The others have A <= 1/2.
    """
    top, at = a.max(dim=-1, keepdim=True)
    a.scatter_(-1, at, 0.0)
    rest = a.sum(-1, keepdim=True)
    if share is not None:
        rest += share
    t = a * g
    rest_g = t.sum(-1, keepdim=True)
    g_top = g.gather(-1, at)
    mean = rest_g + top * g_top  # S
    torch.addcmul(t, a, mean, value=-1, out=g)  # A (g - S), 0 at the largest
    torch.sub(1, a, out=t)
    torch.div(g, t, out=t).abs_()
    # 0 / 0 is met where nothing else is left: the quotient is then not used.
    quotient = torch.where(rest > 0, rest_g / rest, torch.zeros_like(rest))
    t.scatter_(-1, at, (top * (quotient - g_top)).abs_())
    use(t)
    return g.scatter_(-1, at, top * (g_top * rest - rest_g))


def add_pages(t: torch.Tensor, sums: torch.Tensor, first: int, low: int) -> None:
    """Adds the pairs t [h, G, rows, keys], rows from `first` and keys from `low` (whole pages), to sums [h, G, 2, nb, nb]."""
    rows, keys = t.shape[-2:]
    lacking = (-keys % PAGE, -rows % PAGE)
    if any(lacking):
        t = torch.nn.functional.pad(t, (0, lacking[0], 0, lacking[1]))
    t = t.view(*t.shape[:2], t.shape[2] // PAGE, PAGE, t.shape[3] // PAGE, PAGE)
    # i - j >= 64 (bi - bj) exactly when i mod 64 >= j mod 64.
    far = torch.ones(PAGE, PAGE, dtype=t.dtype, device=t.device).tril_()
    bi, bj = first // PAGE, low // PAGE
    target = sums[..., bi : bi + t.shape[2], bj : bj + t.shape[4]]
    part = t * far[:, None, :]
    # Rows first: on a GPU a third faster than both at once.
    target[:, :, 1] += part.sum(3).sum(4)
    target[:, :, 0] += torch.sub(t, part, out=part).sum(3).sum(4)
