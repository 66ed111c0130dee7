"""The influence profile of a model on a data set: what every 64 x 64 page of every head's attention means for the loss."""

import json

import torch

from ..command_line.signals import Interrupted, interruptible
from .blocks import PAGE, wide
from .codes import MoaError
from .data import Sample, Samples
from .influence import InfluenceAttention
from .interface import attention_of, unsupported
from .loss import NOT_FINITE_HELP, TARGETS, SampleLoss, run_sample
from .layer_facts import model_facts
from .model import describe, differentiable, needs_checkpoint
from .partial import Partial, Progress
from .tensorfile import write_tensors

_FP16_SCALES = (4096.0, 64.0, 1.0)
"""A gradient of a mean over thousands of tokens underflows in float16. The largest scale without an overflow is used, sample by sample."""


def profile_sample(model, sample: Sample, sums: list[torch.Tensor], rows: int | None = None, target: str = TARGETS[0]) -> SampleLoss:
    """Adds the influences of a sample to `sums`, one [Hq, 2, nb, nb] a layer (near, far), and gives its loss. Raises MOA7405.

    `rows`: queries of a block, whole pages; None: by memory. `target`: one of loss.TARGETS.
    """
    called: set[int] = set()
    scales = _FP16_SCALES if model.dtype == torch.float16 else (1.0,)

    def function(layer, query, key, value, rule):
        called.add(layer)
        _, query_heads, tokens, dim = query.shape
        heads = key.shape[1]
        by_group = sums[layer].view(heads, query_heads // heads, *sums[layer].shape[1:])
        if rule.sinks is not None:
            rule = type(rule)(rule.scaling, rule.window, rule.softcap, rule.sinks.view(heads, -1))
        q = query.reshape(heads, -1, tokens, dim)
        return InfluenceAttention.apply(q, key[0].contiguous(), value[0].contiguous(), rule, by_group, rows).view(1, query_heads, tokens, -1)

    checkpoint = needs_checkpoint(model, len(sample.tokens))
    with attention_of(model, function), differentiable(model, checkpoint):
        for scale in scales:
            for part in sums:
                part.zero_()
            result = run_sample(model, sample, scale, target)
            finite = torch.stack([part.isfinite().all() for part in sums])
            if bool(finite.all()):
                break
    if called != set(range(len(sums))):
        raise unsupported(f"layers {sorted(set(range(len(sums))) - called)} of {type(model).__name__} have no attention that can be profiled")
    if not torch.isfinite(torch.tensor(result.loss)):
        raise _not_finite(f"the loss of {sample.place} is {result.loss}")
    if not bool(finite.all()):
        # The backward pass goes from the last layer to the first, so the last bad one is where it began.
        layer = int((~finite).nonzero().max())
        head = int((~sums[layer].flatten(1).isfinite().all(1)).nonzero()[0])
        raise _not_finite(f"an influence of layer {layer}, head {head} is not finite at {sample.place}")
    if scale != 1.0:
        for part in sums:
            part.div_(scale)
    return result


def _not_finite(message: str) -> MoaError:
    return MoaError("MOA7405", message, NOT_FINITE_HELP)


def run_profile(model, folder: str, samples: Samples, output: str, partial: Partial, rows: int | None = None, show=None, target: str = TARGETS[0], fingerprint: str | None = None) -> dict:
    """Profiles all samples, goes on where `partial` is, writes `output` and gives its `profile` metadata.

    `show(done, of, text)` is told after each sample. Raises Interrupted on SIGINT and SIGTERM, with the partial file up to date.
    """
    shape, device = model_facts(model), model.get_input_embeddings().weight.device
    total, done = sum(map(len, samples.by_length.values())), sum(p.samples for p in partial.lengths)
    with interruptible() as shielded:
        try:
            for length, chosen in samples.by_length.items():
                progress = next((p for p in partial.lengths if p.length == length), None)
                if progress is not None and progress.done:
                    continue
                pages, name = length // PAGE, f"influence.{length}"
                if progress is None:
                    with shielded():
                        progress = Progress(length)
                        partial.lengths.append(progress)
                        partial.tensors[name] = torch.zeros(shape.layers, shape.query_heads, 2, pages, pages, dtype=torch.float64)
                size = (shape.query_heads, 2, pages, pages)
                sums = [torch.zeros(size, dtype=wide(model.dtype), device=device) for _ in range(shape.layers)]
                for sample in chosen[progress.samples :]:
                    result = profile_sample(model, sample, sums, rows, target)
                    with shielded():
                        for total_of_layer, part in zip(partial.tensors[name], sums):
                            total_of_layer += part.cpu()
                        progress.samples += 1
                        progress.answer_tokens += result.answers
                        progress.loss += result.loss
                        done += 1
                    if progress.samples < len(chosen):
                        partial.save(at_once=False)
                    if show is not None:
                        show(done, total, f"length {length}, loss {result.loss:.3f}")
                with shielded():
                    partial.tensors[name] = (partial.tensors[name] / progress.samples).float()
                    progress.done = True
                partial.save()
        except (Interrupted, MoaError, torch.OutOfMemoryError) as error:
            if not (isinstance(error, MoaError) and error.code in ("MOA7409", "MOA7412")):
                with shielded():
                    partial.save()
            raise
        facts = {
            "model": describe(model, folder, shape),
            "page": PAGE,
            "lengths": [{"length": p.length, "samples": p.samples, "answerTokens": p.answer_tokens, "loss": p.loss / p.samples} for p in partial.lengths],
            "data": {"sha256": samples.sha256},
            "skipped": samples.skipped,
            "target": target,
            **({} if fingerprint is None else {"fingerprint": fingerprint}),
        }
        with shielded():
            partial.guard()
            metadata = {"format": "moa-profile", "version": "1", "profile": json.dumps(facts)}
            write_tensors(output, partial.tensors, metadata)
            partial.remove()
    return facts
