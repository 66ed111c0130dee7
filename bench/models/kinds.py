"""What measures each point: a function from a case to the rest of its row, by kind and
implementation."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from . import attached, batches, dense, first_token, hugging_face, layer_cost, ours
from .settings import Case

Measure = Callable[[Case], Mapping[str, Any]]

KINDS: Final[dict[str, dict[str, Measure]]] = {
    "bare": {
        "ours": ours.measure_session,
        "ours-half": ours.measure_session,
        "cudnn": dense.measure_cudnn,
    },
    "generate": {
        "ours": attached.measure_attached,
        "ours-half": attached.measure_attached,
        "dynamic": hugging_face.measure_dynamic,
        "static": hugging_face.measure_static,
    },
    "first-token": {
        "ours": first_token.measure_ours,
        "ours-half": first_token.measure_ours,
        "dynamic": first_token.measure_sdpa,
    },
    "layer-cost": {"ours": layer_cost.measure_layer_cost},
    "batches": {"ours": batches.measure_ours, "continuous": batches.measure_continuous},
}
