"""Whether a config.json is understood, by the table of known models that TypeScript reads configs by (known_models.json, printed from src/plan/config).

A model type, a layer type or a key that may change geometry, masks, scores or positions and is not known is an error that names it, before any
weights are read. What the layers really do is asked of the running model afterwards (layer_facts.py).
"""

import functools
import json
import math
import os
import re

from .codes import MoaError
from .layer_facts import ModelFacts, different

_HELP = "the search is for models that the compiler understands: docs/search.md, Models"
_ATTENDING = ("full_attention", "sliding_attention", "attention")


def not_understood(message: str) -> MoaError:
    return MoaError("MOA7410", message, _HELP)


@functools.cache
def known_models() -> dict:
    with open(os.path.join(os.path.dirname(__file__), "known_models.json"), encoding="utf-8") as file:
        return json.load(file)


def read_config(folder: str) -> dict:
    """The config.json of a folder. Raises MOA7401."""
    path = os.path.join(folder, "config.json")
    try:
        with open(path, encoding="utf-8") as file:
            config = json.load(file)
        if not isinstance(config, dict):
            raise ValueError("it is no object")
        return config
    except OSError as error:
        raise MoaError("MOA7401", f"{path} cannot be read: {error.strerror}", "give a folder with config.json and weights") from error
    except (ValueError, RecursionError) as error:
        raise MoaError("MOA7401", f"{path} is no config: {str(error)[:200]}", "give a folder with config.json and weights") from error


def check_config(config: dict) -> None:
    """Raises MOA7410 for a config that is not understood, or is of a model that no plan of a search is for."""
    text = _text_config(config)
    known = _type_of(config, text)
    refusals = {refusal["key"]: refusal for refusal in [*known_models()["refusedKeys"], *known["refuses"]]}
    shape = _shape(text, known)
    for scope in (text,) if text is config else (text, config):
        for key, refusal in refusals.items():
            if key in scope and not _changes_nothing(scope[key], refusal["unless"], shape):
                raise not_understood(f"{key} of the config: {refusal['why']}")
    for key, refusal in refusals.items():
        default = refusal.get("whereAbsent")
        if default is not None and text.get(key) is None and not _changes_nothing(default, refusal["unless"], shape):
            raise not_understood(f"the config does not say {key}, which then is {default}: {refusal['why']}")
    _check_counts(text, known)
    _check_layers(text, known)
    _check_keys(text, known, refusals)


def _text_config(config: dict) -> dict:
    """The config of the language model within that of a multimodal one."""
    while not any(key in config for key in ("num_hidden_layers", "n_layer", "num_layers")):
        inner = next((config[key] for key in known_models()["nestedKeys"] if isinstance(config.get(key), dict)), None)
        if inner is None:
            break
        config = inner
    return config


def _type_of(config: dict, text: dict) -> dict:
    wrappers, types = known_models()["wrapperTypes"], known_models()["types"]
    inner, outer = text.get("model_type"), config.get("model_type")
    name = inner if isinstance(inner, str) else outer
    if isinstance(name, str) and name in wrappers:
        name = wrappers[name]
    if not isinstance(name, str):
        raise not_understood("the config names no model_type of its language model")
    for each in (outer, name):
        if not isinstance(each, str) or each in wrappers:
            continue
        found = types.get(each)
        if found is None:
            raise not_understood(f'the model type "{each}" is not known, so it is not known how its models attend')
        if found["status"] != "understood":
            raise not_understood(f'models of the type "{each}" are not ones that plans are for: {found["why"]}')
    return types[name]


def _shape(text: dict, known: dict) -> dict:
    """What is known of the shape, for keys that refuse a config only where they differ from it."""
    keys, defaults = known["keys"], known["defaults"]

    def value(key: str):
        return text[key] if text.get(key) is not None else defaults.get(key)

    heads, hidden = value(keys["queryHeads"]), value(keys["hiddenSize"])
    dim = value(keys["headDim"])
    if dim is None and isinstance(heads, int) and isinstance(hidden, int) and heads > 0:
        dim = hidden // heads
    kv = value(known["kvHeads"]["key"]) if known["kvHeads"]["from"] == "key" else None
    return {"queryHeads": heads, "headDim": dim, "kvHeads": heads if kv is None else kv}


def _changes_nothing(value, unless: list, shape: dict) -> bool:
    if value is None or value == {}:
        return True
    if isinstance(value, list):
        return all(_changes_nothing(item, unless, shape) for item in value)
    if isinstance(value, dict):
        return False
    allowed = [shape[word] if isinstance(word, str) and word in shape else word for word in unless]
    return any(type(value) is type(word) and value == word for word in allowed)


def _check_counts(text: dict, known: dict) -> None:
    kv = [known["kvHeads"]["key"]] if known["kvHeads"]["from"] == "key" else []
    for key in [known["keys"]["queryHeads"], known["keys"]["headDim"], *kv]:
        if isinstance(text.get(key), list):
            raise not_understood(f"{key} is a list: it differs by layer, and a plan has one shape for all layers")


def _check_layers(text: dict, known: dict) -> None:
    rule = known.get("attentionLayers")
    left_out = rule["leftOut"] if rule else []
    key = next((name for name in (rule["names"] if rule else ["layer_types"]) if text.get(name) is not None), None)
    if key is None:
        return
    kinds = text[key]
    if not isinstance(kinds, list):
        raise not_understood(f"{key} is no list with a name for each layer")
    lacking = [number for number, kind in enumerate(kinds) if kind in left_out]
    if lacking:
        some = ", ".join(map(str, lacking[:8])) + (", ..." if len(lacking) > 8 else "")
        what = ", ".join(dict.fromkeys(kinds[number] for number in lacking))
        raise not_understood(f"layers {some} have no attention that a plan could be for ({what}), and a search needs it in every layer")
    both = ["hybrid"] if rule and rule["otherwise"]["by"] == "all" else []
    for number, kind in enumerate(kinds):
        if kind not in _ATTENDING and kind not in both:
            raise not_understood(f"layer {number} is {str(kind)[:40]!r}; a plan has full_attention and sliding_attention")


def _check_keys(text: dict, known: dict, refusals: dict) -> None:
    table = known_models()
    kv = [known["kvHeads"]["key"]] if known["kvHeads"]["from"] == "key" else []
    names = known["attentionLayers"]["names"] if "attentionLayers" in known else []
    understood = {*table["readKeys"], *table["positionKeys"], *table["harmlessKeys"], *known["keys"].values(), *kv, *names, *refusals}
    for key, value in text.items():
        if value is None or key in understood or not may_matter(key):
            continue
        if not any(key == harmless or (harmless.endswith("_") and key.startswith(harmless)) for harmless in known["harmless"]):
            raise not_understood(f'the key "{key}" of the config may change how the model attends, and is not known for its type')


def may_matter(key: str) -> bool:
    """Whether the name of a key speaks of geometry, masks, scores or positions."""
    words = re.sub(r"([a-z\d])([A-Z])", r"\1_\2", key).lower()
    table = known_models()
    return any(word in words for word in table["relevantWords"]) and not any(word in words for word in table["otherWords"])


def check_facts(config: dict, facts: ModelFacts) -> None:
    """Raises MOA7411 where the running model makes scores in another way than its config says; a plan is compiled by what the config says."""
    text = _text_config(config)
    known = _type_of(config, text)
    scale = _scale_of(text, known, facts.head_dim)
    if scale is not None and not math.isclose(scale, facts.scale, rel_tol=1e-6):
        raise different(f"scores are multiplied by {facts.scale}, and the config says {scale}")
    key = "attn_logit_softcapping"
    cap = text[key] if key in text else known["softCap"]
    if isinstance(cap, (int, float)) and float(cap) != (facts.soft_cap or 0.0):
        raise different(f"scores are capped at {facts.soft_cap}, and the config says {cap}")
    if known["learnedSinks"] == ("never" if facts.learned_sinks else "always"):
        raise different(f"the model has {'' if facts.learned_sinks else 'no '}learned sinks, and models of its type {known['learnedSinks']} have them")


def _scale_of(text: dict, known: dict, head_dim: int) -> float | None:
    for key, make in (("attention_multiplier", float), ("query_pre_attn_scalar", lambda scalar: scalar**-0.5)):
        if isinstance(text.get(key), (int, float)) and text[key] > 0:
            return make(text[key])
    spec = known["scale"]
    if spec["from"] == "headDim":
        return head_dim**-0.5
    if spec["from"] == "constant":
        return float(spec["value"])
    return float(spec["default"]) if spec["as"] == "factor" else spec["default"] ** -0.5
