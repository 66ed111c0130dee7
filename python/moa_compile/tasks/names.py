"""Names that questions ask for, and the numbers that answer them."""

from .draws import Distinct, Draws

_ADJECTIVES = """
    able agile amber ample ancient arctic ashen autumn azure bold brave brief bright brisk broad
    bronze calm candid careful cedar clever coastal cobalt copper coral cosmic crimson crisp curious
    daring deft distant dusty eager early earnest easy elder ember even faint fair famous fancy
    fierce fine firm fleet fond frank fresh frosty gentle gilded glad golden grand granite grave
    green happy hardy hasty hazel hidden hollow honest humble icy idle inner ivory jade jolly keen
    kind lasting late lean level light lively lofty lone loyal lucid lunar mellow merry mild misty
    modest mossy narrow navy neat nimble noble northern olive open opal pale patient plain polar
    polite proud prudent quick quiet rapid rare ready robust rosy royal rugged rustic sandy scarlet
    secret serene silent silver
"""
_NOUNS = """
    acorn anchor anvil apple arrow badger balcony banner barley barn basin beacon beaver bell
    birch bison blossom boulder branch bridge brook bucket cabin camel canal candle canyon carpet
    castle cave chapel cherry cliff clock cloud clover compass cottage cradle crane creek cricket
    crow curtain dagger daisy dolphin dove dragon drum eagle easel falcon feather fern ferry fiddle
    field finch forge fountain fox garden garnet gate glacier goose grove hammer harbor harp hawk
    heron hill hive horse island ivy jacket jasmine kettle kite ladder lagoon lake lantern lark
    ledge lemon lily lion lizard locket loom lotus magnet mantle maple market marsh meadow mill
    mirror moth mountain needle nest oak oasis orchard otter owl paddle palace panther parcel
    pebble pelican pepper pigeon
"""
ADJECTIVES = tuple(_ADJECTIVES.split())
NOUNS = tuple(_NOUNS.split())
_PAIRS = len(ADJECTIVES) * len(NOUNS)


def names(draws: Draws) -> Distinct:
    """`brave otter`; with a second adjective where pairs become rare."""

    def make(known: int) -> str:
        words = [draws.choice(ADJECTIVES)] if known < _PAIRS // 2 else _two(draws)
        return " ".join([*words, draws.choice(NOUNS)])

    return Distinct(make)


def _two(draws: Draws) -> list[str]:
    return [draws.choice(ADJECTIVES), draws.choice(ADJECTIVES)]


def numbers(draws: Draws, at_most: int) -> Distinct:
    """At most `at_most` different numbers of five digits, or of more where those would run out. All
    have as many digits, so that none holds another."""
    digits = 5
    while 9 * 10 ** (digits - 1) < 2 * at_most:
        digits += 1
    least = 10 ** (digits - 1)
    return Distinct(lambda known: str(least + draws.below(9 * least)))
