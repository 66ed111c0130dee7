"""How the layers of a loaded model attend, as they tell the attention function: what a config may say or not, this is what is run."""

import math
from dataclasses import dataclass

import torch

from .codes import MoaError
from .interface import attention_of, unsupported

_TOKENS = 2
_HELP = "the search needs a model all of whose layers have causal attention of one shape and one scale; docs/search.md, Models"


@dataclass(frozen=True)
class ModelFacts:
    layers: int
    query_heads: int
    kv_heads: int
    head_dim: int
    scale: float
    """What q.k is multiplied by."""
    soft_cap: float | None
    learned_sinks: bool
    windows: tuple[int | None, ...]
    """By layer: the model's own sliding window in tokens; None: the layer attends everything."""


@dataclass(frozen=True)
class _Layer:
    query_heads: int
    kv_heads: int
    head_dim: int
    value_dim: int
    scale: float
    soft_cap: float | None
    learned_sinks: bool
    window: int | None


def model_facts(model) -> ModelFacts:
    """Runs the model once on a few tokens and asks each layer. Raises MOA7401 (attention of another kind) or MOA7411 (layers that differ)."""
    layers = _layers_of(model)
    expected = model.config.get_text_config().num_hidden_layers
    if sorted(layers) != list(range(expected)):
        lacking = sorted(set(range(expected)) - set(layers))
        some = f"layers {', '.join(map(str, lacking[:8]))}{', ...' if len(lacking) > 8 else ''}" if lacking else f"layer {max(layers)} of {expected}"
        raise different(f"{some} of {type(model).__name__} {'have no attention' if lacking else 'is one too many'}")
    ordered = [layers[number] for number in range(expected)]
    first = ordered[0]
    for name in ("query_heads", "kv_heads", "head_dim", "value_dim", "scale", "soft_cap", "learned_sinks"):
        values = [getattr(layer, name) for layer in ordered]
        other = next((number for number, value in enumerate(values) if value != values[0]), None)
        if other is not None:
            what = _NAMES.get(name, name.replace("_", " "))
            raise different(f"{what} of layer {other} is {values[other]}, that of layer 0 is {values[0]}")
    if first.value_dim != first.head_dim:
        raise different(f"a key has {first.head_dim} elements and a value {first.value_dim}")
    if first.query_heads % first.kv_heads:
        raise different(f"{first.query_heads} query heads cannot be shared out evenly among {first.kv_heads} KV heads")
    if not (first.scale > 0 and math.isfinite(first.scale)):
        raise different(f"the scale of the scores is {first.scale}")
    windows = tuple(layer.window for layer in ordered)
    return ModelFacts(expected, first.query_heads, first.kv_heads, first.head_dim, first.scale, first.soft_cap, first.learned_sinks, windows)


_NAMES = {"soft_cap": "the cap of the scores", "scale": "the scale of the scores", "learned_sinks": "whether there are learned sinks"}


def different(message: str) -> MoaError:
    return MoaError("MOA7411", message, _HELP)


def usual_scale(facts: ModelFacts) -> bool:
    """Whether the scale is 1 / sqrt(headDim), to the rounding of a double."""
    return math.isclose(facts.scale, facts.head_dim**-0.5, rel_tol=1e-12)


def _layers_of(model) -> dict[int, _Layer]:
    layers: dict[int, _Layer] = {}

    def note(number, query, key, value, rule):
        if number in layers:
            raise different(f"layer {number} of {type(model).__name__} attends more than once")
        cap = rule.softcap or None
        layers[number] = _Layer(
            *(query.shape[1], key.shape[1], query.shape[-1], value.shape[-1]),
            *(rule.scaling, None if cap is None else float(cap), rule.sinks is not None, rule.window),
        )
        return query.new_zeros(*query.shape[:-1], value.shape[-1])

    tokens = torch.zeros(1, _TOKENS, dtype=torch.long, device=model.get_input_embeddings().weight.device)
    with torch.no_grad(), attention_of(model, note):
        try:
            model.base_model(input_ids=tokens, use_cache=False)
        except (MoaError, MemoryError, torch.OutOfMemoryError):
            raise
        except Exception as error:  # Encoders, models of images, code of a model that does not fit this version.
            raise unsupported(f"{type(model).__name__} does not run on tokens alone: {type(error).__name__}: {str(error)[:200]}") from error
    if not layers:
        raise unsupported(f"{type(model).__name__} does not use the transformers attention interface")
    return layers
