"""Prose of our own, where a user gives none: plain sentences without a single digit."""

from .draws import Draws

_WHO = (
    "the old gardener",
    "a young teacher",
    "the night porter",
    "our neighbour",
    "the ferryman",
    "a travelling merchant",
    "the baker's daughter",
    "an honest carpenter",
    "the village doctor",
    "a patient clerk",
    "the lighthouse keeper",
    "an elderly painter",
    "the miller",
    "a student of music",
    "the station master",
    "a quiet visitor",
    "the head cook",
    "her elder brother",
    "the clockmaker",
    "a tired messenger",
)
_DID = (
    "walked along the shore",
    "mended a wooden chair",
    "wrote a long letter",
    "watched the boats come in",
    "carried two baskets of pears",
    "talked about the weather",
    "closed the heavy shutters",
    "waited for the evening train",
    "read the newspaper aloud",
    "planted beans behind the shed",
    "listened to the rain",
    "counted the empty bottles",
    "swept the stone steps",
    "looked for a lost glove",
    "made soup for everyone",
    "told a story about the war",
    "sharpened the kitchen knives",
    "drew a map of the valley",
    "fed the horses",
    "sang an old song",
    "washed the windows",
    "asked for a room",
    "repaired the garden wall",
    "climbed up to the attic",
)
_WHEN = (
    "before noon",
    "after the storm",
    "on market day",
    "late in the evening",
    "as every year",
    "when the bells rang",
    "in the first days of spring",
    "without saying a word",
    "while the others slept",
    "long before sunrise",
    "under a grey sky",
    "in spite of the cold",
    "with great care",
    "for the last time",
    "near the old bridge",
    "at the edge of town",
    "behind the church",
    "beside the river",
)
_THEN = (
    "Nobody asked why.",
    "The street was silent again.",
    "It took longer than expected.",
    "There was nothing more to do.",
    "The dog followed at a distance.",
    "Smoke rose from the chimneys.",
    "Everyone agreed that it was time.",
    "The light began to fade.",
    "It had always been so.",
    "The door stood open all day.",
)
_CHARACTERS = 1 << 26
"""Of a stretch: more than any length takes."""


class Filler:
    """Endless prose; a `Texts` without files."""

    characters: int = _CHARACTERS
    name: str = "our own filler"

    def stretch(self, seed: int, characters: int) -> str:
        """At least `characters` of prose; a longer stretch of a seed begins with a shorter one."""
        draws = Draws("filler", seed)
        parts: list[str] = []
        length = 0
        while length < characters:
            paragraph = _paragraph(draws) + "\n\n"
            parts.append(paragraph)
            length += len(paragraph)
        return "".join(parts)

    def holds(self, words: str) -> bool:
        """Whether the prose may have a number in it that is asked for."""
        return False


def _paragraph(draws: Draws) -> str:
    return " ".join(_sentence(draws) for _ in range(4 + draws.below(5)))


def _sentence(draws: Draws) -> str:
    if draws.below(5) == 0:
        return draws.choice(_THEN)
    who, did, when = draws.choice(_WHO), draws.choice(_DID), draws.choice(_WHEN)
    if draws.below(2) == 0:
        return f"{who[0].upper()}{who[1:]} {did} {when}."
    return f"{when[0].upper()}{when[1:]}, {who} {did}."
