"""Answers questions by reading their context, with no code of the generators."""

import json
import re


def solve(question) -> str:
    """The answer; fails where the context has two."""
    return {"lines": _lines, "pairs": _pairs, "needles": _needles, "facts": _facts}[question.kind](
        question.context, question.question
    )


def _only(found: list[str]) -> str:
    assert len(found) == 1, found
    return found[0]


def _lines(context: str, question: str) -> str:
    name = _only(re.findall(r"in line ([a-z-]+)\?", question))
    return _only(re.findall(rf"^line {name}: REGISTER_CONTENT is <(\d+)>$", context, re.M))


def _pairs(context: str, question: str) -> str:
    key = _only(re.findall(r'the key "(\w+)"', question))
    pairs = json.loads(context[context.index("{") :], object_pairs_hook=list)
    words = [word for pair in pairs for word in pair]
    assert len(set(words)) == len(words)
    return _only([value for name, value in pairs if name == key])


def _needles(context: str, question: str) -> str:
    listed = re.findall(r"numbers? of (.*)\?", question)[0]
    names = re.findall(r"the ([a-z]+(?: [a-z]+)+?)(?:,| and|$)", listed)
    found = [_only(re.findall(rf"The number of the {name} is (\d+)\.", context)) for name in names]
    assert len(found) == listed.count("the "), (listed, names)
    return "; ".join(found)


def _facts(context: str, question: str) -> str:
    facts = dict(re.findall(r"^Fact (\d+): the number of the (.*)\.$", context, re.M))
    assert list(facts) == [str(number + 1) for number in range(len(facts))]
    told = dict(fact.split(" is ") for fact in facts.values())
    assert len(told) == len(facts)
    first = told[_only(re.findall(r"number of the (.*)\?", question))]
    referred = _only(re.findall(r"that of fact (\d+)", first))
    for number, fact in facts.items():
        for target in re.findall(r"that of fact (\d+)", fact):
            assert int(target) < int(number)
            assert facts[target].split(" is ")[1].isdigit()
    return facts[referred].split(" is ")[1]
