"""The points that are measured, the most important first."""

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

# How many sequences: as many as the memory holds for this implementation, as many as it holds for a
# dense cache, or one.
MOST: Final = "most"
DENSE: Final = "dense"
ONE: Final = "one"


@dataclass(frozen=True)
class Point:
    """kind: what is measured (`kinds.py`). implementation: ours by the plan, or a peer. tokens: the
    length bound N; peers have a cache of as many. batch: `MOST`, `DENSE` or `ONE`."""

    kind: str
    model: str
    tokens: int
    implementation: str
    batch: str

    @property
    def id(self) -> str:
        return f"{self.kind}/{self.model}/{self.tokens}/{self.implementation}/{self.batch}"

    @property
    def is_ours(self) -> bool:
        return self.implementation.startswith("ours")

    @property
    def package(self) -> str:
        """The name of our package: `ours` has the published plan, `ours-half` one of density 0.5 by
        KV head."""
        return f"{self.model}-half" if self.implementation.endswith("-half") else self.model

    @property
    def limit(self) -> float:
        """Seconds that it may take, compilation and the making of weights included."""
        return {"static": 210.0, "continuous": 150.0}.get(self.implementation, 90.0)


def _plans(model: str) -> tuple[str, ...]:
    return ("ours", "ours-half") if model == "llama-3-8b" else ("ours",)


def _points(kind: str, model: str, tokens: int, batch: str, *implementations: str) -> list[Point]:
    return [Point(kind, model, tokens, each, batch) for each in implementations]


def all_points() -> list[Point]:
    """In the order of the run."""
    vicuna, llama, longest = "vicuna-7b", "llama-3-8b", 16384
    points = []
    for model in (vicuna, llama):
        points += _points("bare", model, longest, MOST, "cudnn", *_plans(model))
    points += _points("generate", vicuna, longest, MOST, "ours", "static", "dynamic")
    points += _points("generate", llama, longest, MOST, "ours", "ours-half", "dynamic", "static")
    for model in (vicuna, llama):
        points += _points("bare", model, longest, ONE, *_plans(model), "cudnn")
    points += _points("first-token", llama, longest, ONE, "ours", "dynamic")
    points += _points("layer-cost", llama, longest, ONE, "ours")
    for model in (vicuna, llama):
        points += _points("bare", model, longest, DENSE, *_plans(model))
    for model, tokens in ((vicuna, 8192), (llama, 8192), (vicuna, 4096)):
        points += _points("bare", model, tokens, MOST, "cudnn", *_plans(model))
    for model, tokens in ((vicuna, 8192), (llama, 8192), (vicuna, 4096)):
        points += _points("generate", model, tokens, MOST, *_plans(model), "dynamic", "static")
    points += _points("first-token", llama, longest, ONE, "ours-half")
    for model in (llama, vicuna):
        points += _points("generate", model, longest, ONE, "ours", "dynamic", "static")
    points += _points("generate", vicuna, longest, DENSE, "ours")
    points += _points("batches", llama, longest, MOST, "ours", "continuous")
    return points


def chosen(points: list[Point], patterns: str | None) -> list[Point]:
    """Those whose id matches one of some patterns, as of a shell, with commas between them."""
    if patterns is None:
        return points
    wanted = patterns.split(",")
    return [point for point in points if any(fnmatchcase(point.id, each) for each in wanted)]
