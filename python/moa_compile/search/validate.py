"""Loss and accuracy of plans at a length, each run with its own mask, and of the dense model."""

import json

from .codes import MoaError
from .data import Sample
from .loss import NOT_FINITE_HELP, run_sample
from .masked import masked_attention
from .layer_facts import ModelFacts, model_facts
from .tensorfile import replacing

_KEYS = {"format", "version", "length", "modelWindows", "plans"}


def read_request(path: str) -> dict:
    """The request file, its form checked but for the model's shape. Raises MOA7407."""
    try:
        with open(path, encoding="utf-8") as file:
            request = json.load(file)
    except OSError as error:
        raise bad_request(path, f"it cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise bad_request(path, f"it is no JSON: {error}") from error
    if not isinstance(request, dict) or request.get("format") != "moa-validation-request" or request.get("version") != 1:
        raise bad_request(path, 'it is no object with "format": "moa-validation-request" and "version": 1')
    unknown = sorted(set(request) - _KEYS)
    if unknown:
        raise bad_request(path, f'"{unknown[0]}" is not known')
    length = request.get("length")
    if not _is_int(length, 64) or length % 64 != 0:
        raise bad_request(path, '"length" is no multiple of 64')
    plans = request.get("plans")
    own = request.get("modelWindows")
    if own is not None and not (isinstance(own, list) and all(window is None or _is_int(window, 1) for window in own)):
        raise bad_request(path, '"modelWindows" is no list of tokens (at least 1) and nulls')
    if not isinstance(plans, list) or not plans:
        raise bad_request(path, '"plans" is no list with at least one plan')
    for index, plan in enumerate(plans):
        if not isinstance(plan, dict) or set(plan) != {"id", "sink", "windows"}:
            raise bad_request(path, f'plans[{index}] has not just "id", "sink" and "windows"')
        if not isinstance(plan["id"], str) or not _is_int(plan["sink"], 0):
            raise bad_request(path, f"plans[{index}]: id must be text, and sink a number of tokens")
    ids = [plan["id"] for plan in plans]
    if len(set(ids)) != len(ids):
        raise bad_request(path, "two plans have the same id")
    return request


def check_windows(path: str, plans: list[dict], shape: ModelFacts) -> None:
    """Raises MOA7407 unless every plan has a window of at least one token for each query head of each layer."""
    for index, plan in enumerate(plans):
        layers = plan["windows"]
        if not isinstance(layers, list) or len(layers) != shape.layers:
            raise bad_request(path, f"plans[{index}].windows has not one list for each of the {shape.layers} layers of the model")
        for layer, windows in enumerate(layers):
            if not isinstance(windows, list) or len(windows) != shape.query_heads or not all(_is_int(w, 1) for w in windows):
                raise bad_request(path, f"plans[{index}].windows[{layer}] has not one window (tokens, at least 1) for each of {shape.query_heads} heads")


def check_model_windows(path: str, request: dict, facts: ModelFacts) -> None:
    """Raises MOA7407 unless the plans were made for a model whose layers have the windows of this one."""
    stated = request.get("modelWindows")
    if stated is not None and stated != list(facts.windows):
        layer = next((n for n, pair in enumerate(zip(stated, facts.windows)) if pair[0] != pair[1]), None)
        what = f"{len(stated)} layers" if layer is None else f"a window of {stated[layer]} in layer {layer}"
        has = f"{facts.layers}" if layer is None else f"{facts.windows[layer]}"
        raise bad_request(path, f"its plans are for a model with {what}, this one has {has}")


def bad_request(path: str, message: str) -> MoaError:
    return MoaError("MOA7407", f"{path}: {message}", "docs/search-formats.md, section Validation, says what a request is")


def _is_int(value: object, least: int) -> bool:
    return type(value) is int and least <= value < 1 << 31


def run_validation(model, samples: list[Sample], request: dict, rows: int | None = None, show=None, path: str = "the request") -> dict:
    """The answer to the request of `path`. Loss: mean over samples of the mean over their answer tokens; accuracy: over all answer tokens."""
    facts = model_facts(model)
    check_windows(path, request["plans"], facts)
    check_model_windows(path, request, facts)
    answers, of = 0, len(samples) * (len(request["plans"]) + 1)

    def score(number: int, windows, sink: int) -> dict:
        nonlocal answers
        losses, right, answers = 0.0, 0, 0
        with masked_attention(model, windows, sink, rows):
            for index, sample in enumerate(samples):
                result = run_sample(model, sample)
                if not abs(result.loss) < float("inf"):
                    raise MoaError("MOA7405", f"the loss of {sample.place} is {result.loss}", NOT_FINITE_HELP)
                losses, right, answers = losses + result.loss, right + result.right, answers + result.answers
                if show is not None:
                    show(number * len(samples) + index + 1, of, f"plan {number}" if number else "dense")
        return {"loss": losses / len(samples), "accuracy": right / answers}

    dense = score(0, None, 0)
    plans = [{"id": plan["id"], **score(number, plan["windows"], plan["sink"])} for number, plan in enumerate(request["plans"], 1)]
    head = {"format": "moa-validation", "version": 1, "length": request["length"], "samples": len(samples), "answerTokens": answers}
    return {**head, "dense": dense, "plans": plans}


def write_answer(path: str, answer: dict) -> None:
    with replacing(path) as file:
        file.write((json.dumps(answer, indent=2) + "\n").encode())
