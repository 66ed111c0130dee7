"""Integer expressions of a package (docs/package-format.md, "Expressions")."""

from collections.abc import Mapping
from typing import Literal, TypedDict


class Rule(TypedDict):
    """The span of a head: alpha + numerator / denominator * N tokens at a length bound of N."""

    alpha: int
    numerator: int
    denominator: int


class Limits(TypedDict):
    """Tokens: of the sink, of a page of spans, and of the shortest span."""

    sink: int
    page: int
    minSpan: int


class Expression(TypedDict, total=False):
    """A node; which keys it has follows from `kind`."""

    kind: Literal[
        "constant",
        "variable",
        "add",
        "subtract",
        "product",
        "min",
        "max",
        "multiply",
        "divide",
        "roundUp",
        "span",
    ]
    value: int
    name: str
    left: "Expression"
    right: "Expression"
    operand: "Expression"
    by: int
    multiple: int
    rule: Rule
    limits: Limits


def evaluate(expression: Expression, variables: Mapping[str, int]) -> int:
    """The value of an expression. Raises KeyError for a variable without a value."""
    kind = expression["kind"]
    if kind == "constant":
        return expression["value"]
    if kind == "variable":
        return variables[expression["name"]]
    if kind == "span":
        return span_of(expression["rule"], expression["limits"], variables["N"])
    if kind in ("multiply", "divide", "roundUp"):
        operand = evaluate(expression["operand"], variables)
        if kind == "multiply":
            return operand * expression["by"]
        if kind == "roundUp":
            return round_up(operand, expression["multiple"])
        quotient, remainder = divmod(operand, expression["by"])
        assert remainder == 0, "internal error: a division leaves a remainder"
        return quotient
    left, right = evaluate(expression["left"], variables), evaluate(expression["right"], variables)
    if kind == "add":
        return left + right
    if kind == "subtract":
        return left - right
    if kind == "product":
        return left * right
    if kind == "min":
        return min(left, right)
    assert kind == "max", f"internal error: an expression of kind {kind}"
    return max(left, right)


def span_of(rule: Rule, limits: Limits, bound: int) -> int:
    """Tokens that a rule keeps of a sequence of at most `bound` tokens."""
    scaled = rule["alpha"] * rule["denominator"] + rule["numerator"] * bound
    # Truncated towards 0; `//` rounds down.
    tokens = scaled // rule["denominator"] if scaled >= 0 else -(-scaled // rule["denominator"])
    return round_up(max(min(tokens, bound), limits["minSpan"]), limits["page"])


def round_up(value: int, multiple: int) -> int:
    """The least multiple of `multiple` that is not below `value`."""
    return ceil_divide(value, multiple) * multiple


def ceil_divide(value: int, by: int) -> int:
    """`value / by`, rounded up."""
    return -(-value // by)
