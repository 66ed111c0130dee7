"""Models of transformers with random weights, and the decode speed of `generate()`.

Prompts are not prefilled: caches are filled with random keys and values, and `generate` goes on
behind them, as it does with any cache that it is given. Each generation goes on where the one
before it ended. The first token of a generation is not counted: speed is of two generations, one
longer than the other, over the tokens between them."""

import inspect
from typing import Any, Final

import torch

from .bare import random_tensor
from moa_compile.measure.energy import meter_of
from .settings import Case
from .shapes import Shape
from moa_compile.measure.timing import decode_facts, energy_facts, memory_facts, reset_peak, seconds_of

FEW: Final = 8
MANY: Final = 56
# Before anything is measured: compilation, graphs, allocations.
_WARM_UPS: Final = 2
# Between the filled tokens and the bound: all generations together take fewer.
_NEW: Final = 96
_SMALL: Final = (2, 10)


def make_model(shape: Shape, device: torch.device, dtype: torch.dtype = torch.bfloat16) -> Any:
    """Made on the device, by transformers' own initialization."""
    import transformers

    transformers.logging.set_verbosity_error()
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            config = transformers.LlamaConfig(**shape.config, attn_implementation="sdpa")
            model = transformers.LlamaForCausalLM(config)
    finally:
        torch.set_default_dtype(before)
    model.requires_grad_(False)
    model.eval()
    model.generation_config.pad_token_id = 0
    model.generation_config.eos_token_id = None
    return model


def cache_argument(model: Any) -> str:
    """The name of the parameter for caches, which transformers has changed."""
    names = inspect.signature(model.forward).parameters
    return "cache" if "cache" in names else "past_key_values"


def random_ids(shape: Shape, rows: int, tokens: int, device: torch.device) -> torch.Tensor:
    return torch.randint(1, shape.vocabulary, (rows, tokens), device=device)


def generate(model: Any, ids: torch.Tensor, tokens: int, cache: object = None) -> torch.Tensor:
    """ids with so many tokens behind them, greedily. cache: has all of ids but the last."""
    given = {} if cache is None else {cache_argument(model): cache}
    out: torch.Tensor = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=tokens,
        min_new_tokens=tokens,
        do_sample=False,
        use_cache=True,
        **given,
    )
    return out


def filled_tokens(case: Case) -> int:
    """Tokens that caches hold before the first generation."""
    return case.tokens - _NEW


def measure_generation(case: Case, model: Any, cache: object) -> dict[str, Any]:
    """Fills the rest of a row of `generate`. The cache has `filled_tokens`."""
    few, many = _SMALL if case.settings.small else (FEW, MANY)
    device = case.device
    ids = random_ids(case.shape, case.rows, filled_tokens(case) + 1, device)

    def go_on(tokens: int) -> None:
        nonlocal ids
        ids = generate(model, ids, tokens, cache)

    reset_peak(device)
    warming = [seconds_of(device, lambda: go_on(few)) for _ in range(_WARM_UPS)]
    short = min(seconds_of(device, lambda: go_on(few)) for _ in range(2))
    meter = meter_of(device)
    with meter.while_running() as reading:
        long = seconds_of(device, lambda: go_on(many))
    if long <= short:
        raise RuntimeError(f"{many} tokens took {long:.3f} s, and {few} took {short:.3f} s")
    facts = decode_facts(long - short, many - few, case.rows)
    # The power of the whole long generation, of which most is decode.
    energy = energy_facts(meter, reading.watts, facts["tokensPerSecond"])
    warm = {"warmUpSeconds": round(sum(warming), 2)}
    return {**facts, **energy, **memory_facts(device), **warm}


def _fill(cache: Any, case: Case, tokens: int) -> None:
    """Random keys and values in all layers of a dense cache."""
    shape = case.shape
    size = (case.rows, shape.kv_heads, tokens, shape.head_dim)
    for layer in range(shape.layers):
        keys, values = (random_tensor(case.device, *size, deviation=1) for _ in range(2))
        cache.update(keys, values, layer)


def dynamic_cache(case: Case, model: Any) -> Any:
    from transformers import DynamicCache

    cache = DynamicCache(config=model.config)
    _fill(cache, case, filled_tokens(case))
    return cache


def static_cache(case: Case, model: Any) -> Any:
    from transformers import StaticCache

    cache = StaticCache(config=model.config, max_cache_len=case.tokens)
    _fill(cache, case, filled_tokens(case))
    return cache


def measure_dynamic(case: Case) -> dict[str, Any]:
    """A row of `generate`: transformers as it comes."""
    with torch.no_grad():
        model = make_model(case.shape, case.device)
        return measure_generation(case, model, dynamic_cache(case, model))


def measure_static(case: Case) -> dict[str, Any]:
    """A row of `generate`: a static cache, with which `generate` compiles the model into CUDA
    graphs."""
    case.need_gpu("torch.compile of generate")
    with torch.no_grad():
        model = make_model(case.shape, case.device)
        return measure_generation(case, model, static_cache(case, model))
