"""Retrieval tasks for a small dense model: records in a long context, and questions about one.

Small on purpose: they find out what a model can do. What plans are compared by is in
`moa_compile.tasks`."""

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

# fmt: off
_ADJECTIVES: Final = (
    "brave", "calm", "dark", "early", "fair", "gentle", "happy", "icy", "jolly", "kind", "loud",
    "merry", "noble", "old", "proud", "quiet", "rapid", "silent", "tall", "urban", "vivid", "warm",
    "young", "bright", "clever", "eager", "fierce", "golden", "honest", "lucky",
)
_NOUNS: Final = (
    "otter", "river", "castle", "pilot", "garden", "tiger", "window", "doctor", "island", "rabbit",
    "bridge", "farmer", "rocket", "valley", "singer", "forest", "eagle", "market", "dragon",
    "sailor", "temple", "spider", "monkey", "harbor", "planet", "lion", "tower", "soldier",
    "turtle", "engine",
)
_CITIES: Final = (
    "Paris", "London", "Tokyo", "Cairo", "Madrid", "Berlin", "Moscow", "Rome", "Vienna", "Oslo",
    "Dublin", "Athens", "Lima", "Delhi", "Boston", "Chicago",
)
_PEOPLE: Final = (
    "Alice", "Robert", "Maria", "David", "Sarah", "Thomas", "Linda", "Peter", "Susan", "George",
    "Helen", "Frank", "Julia", "Henry", "Clara", "Oscar",
)
_WORDS: Final = (
    "apple", "table", "green", "water", "horse", "music", "stone", "bread", "chair", "cloud",
    "money", "paper", "glass", "sugar", "night", "light", "house", "plant", "train", "snow",
    "gold", "milk", "fish", "bird", "ship", "road", "king", "fire", "wind", "rice",
)
_FRUITS: Final = (
    "apple", "orange", "banana", "cherry", "lemon", "mango", "peach", "grape", "plum", "pear",
)
_COLORS: Final = (
    "red", "green", "blue", "yellow", "black", "white", "brown", "orange", "purple", "gray",
)
_ANIMALS: Final = ("dog", "cat", "horse", "bear", "wolf", "fox", "lion", "mouse", "goat", "duck")
_METALS: Final = ("gold", "silver", "iron", "copper", "lead", "zinc", "steel", "brass")
_DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
# fmt: on
_KEYS: Final = tuple(f"{adjective}-{noun}" for adjective in _ADJECTIVES for noun in _NOUNS)
_NEEDLES: Final = 8
_COPIED_KEY, _COPIED_VALUE = 8, 4
_RECALLED: Final = 2
# What questions and answers take at the end of a length.
_TAIL_TOKENS: Final = 96
_SENTENCE_END: Final = re.compile(r"(?<=[.!?:;]) +|\n+")

Encode = Callable[[str], list[int]]
Draw = Callable[[random.Random], str]


def _digits(count: int) -> Draw:
    return lambda draw: str(draw.randrange(10 ** (count - 1), 10**count))


def _one_of(words: Sequence[str]) -> Draw:
    return lambda draw: draw.choice(words)


def _some_of(words: Sequence[str], count: int) -> Draw:
    return lambda draw: " ".join(draw.sample(words, count))


@dataclass(frozen=True)
class Relation:
    """record: with {key} and {value}, which is near its end."""

    record: str
    question: str
    key: Draw
    value: Draw

    def stem(self, key: str) -> str:
        """A record up to its value."""
        return self.record[: self.record.index("{value}")].format(key=key)


@dataclass(frozen=True)
class Content:
    """What a context is made of: records of these relations in turn. prose: few of them stand in a
    text; otherwise there is nothing but records."""

    name: str
    relations: tuple[Relation, ...]
    prose: bool


def _fact(record: str, keys: Sequence[str], value: Draw) -> Relation:
    """record: `The ... {key} is {value}.`"""
    asked = record[: record.index(" is {value}")]
    question = f"What is {asked[0].lower()}{asked[1:]}?"
    return Relation(f"{record} ", question, _one_of(keys), value)


_LINE: Final = "line {key}: REGISTER_CONTENT is <{value}>\n"
_LINE_QUESTION: Final = "What is the REGISTER_CONTENT in line {key}?"
_NUMBER: Final = _fact("The magic number of {key} is {value}.", _CITIES, _digits(5))
_FRUIT: Final = _fact("The favorite fruit of {key} is {value}.", _PEOPLE, _one_of(_FRUITS))
_FACTS: Final = (
    _NUMBER,
    _FRUIT,
    _fact("The color of the old house in {key} is {value}.", _CITIES, _one_of(_COLORS)),
    _fact("The animal that {key} was afraid of is {value}.", _PEOPLE, _one_of(_ANIMALS)),
    _fact("The metal that was found near {key} is {value}.", _CITIES, _one_of(_METALS)),
    _fact("The day when {key} goes to the market is {value}.", _PEOPLE, _one_of(_DAYS)),
    _fact("The secret word of the {key} is {value}.", _NOUNS, _one_of(_WORDS)),
    _fact("The number on the door of the {key} is {value}.", _NOUNS, _digits(3)),
)
CONTENTS: Final = (
    Content(
        "lines-5-digits",
        (Relation(_LINE, _LINE_QUESTION, _one_of(_KEYS), _digits(5)),),
        prose=False,
    ),
    Content(
        "lines-word",
        (Relation(_LINE, _LINE_QUESTION, _one_of(_KEYS), _one_of(_WORDS)),),
        prose=False,
    ),
    Content(
        "pairs-word",
        (Relation("{key}: {value}\n", "What is {key}?", _one_of(_KEYS), _one_of(_WORDS)),),
        prose=False,
    ),
    # Eight needles of one kind, which are mixed up easily.
    Content("needles-digits", (_NUMBER,), prose=True),
    Content("needles-word", (_FRUIT,), prose=True),
    # Eight needles of eight kinds.
    Content("facts", _FACTS, prose=True),
    # Eight needles of random words: the last ones are asked for by the first ones.
    Content(
        "copy",
        (
            Relation(
                "{key} {value}. ",
                "Which words came after {key}?",
                _some_of((*_WORDS, *_NOUNS), _COPIED_KEY),
                _some_of((*_WORDS, *_NOUNS), _COPIED_VALUE),
            ),
        ),
        prose=True,
    ),
)

# The end of a prompt, by name: the record again; the same after two others; a question; a question
# within the chat template, with the record as the start of the answer.
COMPLETION, RECALL, QUESTION, CHAT = FORMS = ("completion", "recall", "question", "chat")


@dataclass(frozen=True)
class Record:
    """at: its first token in the context."""

    relation: Relation
    key: str
    value: str
    at: int

    @property
    def text(self) -> str:
        return self.relation.record.format(key=self.key, value=self.value)


@dataclass
class Context:
    tokens: list[int] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)

    def add(self, drawn: Record, encode: Encode) -> None:
        self.records.append(replace(drawn, at=len(self.tokens)))
        self.tokens += encode(drawn.text)


def make_context(
    content: Content, length: int, prose: str, begin: Sequence[int], encode: Encode, seed: int
) -> Context:
    """At most `length` tokens with a question. prose: long enough for it. begin: first tokens."""
    draw = random.Random(f"{content.name}/{length}/{seed}")
    context = Context(list(begin))
    most = length - _TAIL_TOKENS
    if content.prose:
        drawn = _draw_records(content, _NEEDLES, draw)
        _fill_prose(context, most, prose, drawn, encode)
        return context
    context.tokens += encode("Here is a list.\n\n")
    for record in _draw_records(content, len(_KEYS) // 2, draw):
        if len(context.tokens) + len(encode(record.text)) > most:
            break
        context.add(record, encode)
    return context


def _draw_records(content: Content, count: int, draw: random.Random) -> list[Record]:
    """In random order; keys of a relation differ."""
    found: dict[tuple[Relation, str], Record] = {}
    while len(found) < count:
        relation = content.relations[len(found) % len(content.relations)]
        key = relation.key(draw)
        if (relation, key) not in found:
            found[relation, key] = Record(relation, key, relation.value(draw), 0)
    records = list(found.values())
    draw.shuffle(records)
    return records


def _fill_prose(
    context: Context, most: int, prose: str, needles: Sequence[Record], encode: Encode
) -> None:
    """Needles between sentences, evenly spread."""
    most -= sum(len(encode(needle.text)) for needle in needles) + len(context.tokens)
    left = list(needles)
    placed = 0
    for sentence in _SENTENCE_END.split(prose):
        if left and placed >= most * (len(needles) - len(left) + 0.5) / len(needles):
            context.add(left.pop(0), encode)
        added = encode(f"{sentence} ")[: most - placed]
        context.tokens += added
        placed += len(added)
        if placed >= most:
            break
    for needle in left:
        context.add(needle, encode)


def chosen_records(context: Context, count: int, seed: int) -> list[Record]:
    """One of each of `count` equal parts of the context."""
    draw = random.Random(seed)
    records = context.records
    edges = [place * len(records) // count for place in range(count + 1)]
    return [
        records[draw.randrange(low, high)]
        for low, high in zip(edges, edges[1:], strict=False)
        if low < high
    ]


def ending(context: Context, record: Record, form: str, chat_end: str) -> tuple[str, str]:
    """What is asked after the context, and the answer. chat_end: what the template has between a
    user's words and the answer's."""
    stem = record.relation.stem(record.key)
    # A space is a part of the word after it.
    asked, answer = stem.rstrip(" "), stem[len(stem.rstrip(" ")) :] + record.value
    question = record.relation.question.format(key=record.key)
    if form == COMPLETION:
        return f"\n\n{asked}", answer
    if form == RECALL:
        others = [other for other in context.records if other != record]
        said = random.Random(record.key).sample(others, min(_RECALLED, len(others)))
        lines = "".join(f"{other.text.rstrip()}\n" for other in said)
        return f"\n\n{lines}{asked}", answer
    if form == QUESTION:
        return f"\n\nQuestion: {question}\nAnswer:", f" {record.value}"
    return f"\n\n{question}{chat_end}{asked}", answer
