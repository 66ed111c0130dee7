"""What processes of several ranks found, for all files of tests: starting them takes longer than
most of what they do."""

import functools

from . import refusals, runs
from .models import folder_of, model_of, other_folder
from .processes import run_ranks

# Those that write text, and others, whose logits are compared.
WRITERS = ("llama", "qwen3", "phi3")
FAMILIES = (*WRITERS, "gemma3", "gpt-oss")


@functools.cache
def checkpoint(name: str = "checkpoint", **options) -> str:
    """Files of the Llama."""
    folder = folder_of("llama", 2).parent / name
    model_of("llama", **options).save_pretrained(folder, max_shard_size="100KB")
    return str(folder)


def tied() -> str:
    return checkpoint("tied", tie_word_embeddings=True)


@functools.cache
def on_two_ranks() -> dict[str, list]:
    """What each rank found, by what it was asked for."""
    folders = {family: str(folder_of(family, 2)) for family in FAMILIES}
    folder, whole, files = folders["llama"], str(folder_of("llama", 1)), checkpoint()
    others = {**folders, "other": str(other_folder())}
    return run_ranks(
        2,
        {
            "generation": (runs.rank_generation, (folders, WRITERS)),
            "ways": (runs.rank_ways, (folder, files)),
            "states": (runs.rank_states, (folder, tied())),
            "refusals": (refusals.rank_refusals, (others, whole, files)),
            "absence": (refusals.rank_absence, (folder,)),
        },
    )


@functools.cache
def on_four_ranks() -> dict[str, list]:
    for_two, for_four = (str(folder_of("llama", ranks)) for ranks in (2, 4))
    return run_ranks(
        4,
        {
            "generation": (runs.rank_generation, ({"llama": for_four}, WRITERS)),
            "states": (runs.rank_states, (for_four, tied())),
            "refusals": (refusals.rank_of_four, (for_two, for_four)),
        },
    )
