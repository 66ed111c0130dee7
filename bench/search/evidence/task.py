"""Associative retrieval: sequences in which a pair of values is recorded under a key once, and asked for later.

A sequence of N tokens is N / 4 slots of four tokens:

    REC key v1 v2     a record; no key is recorded twice in a sequence
    ASK key v1 v2     asks for a record that came before; v1 and v2 are the answer tokens
    f f f f           filler, from a Markov chain of order 1 that goes on from one filler slot to the next

A record is asked for once at most, so the distance to it is the distance to the only place that tells the answer. About 30 % of the slots are
records, a little under 30 % ask, the rest is filler. A distance is drawn from one of two distributions: uniform over the rest of the sequence, or
uniform on a logarithmic scale. So all scales occur; a tenth of the answers is further away than N / 2.

    python task.py --lengths 1024,2048 --samples 64 --seed 10001 data.jsonl
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass

import numpy
import torch

SLOT = 4
RECORD = 0
ASK = 1
FIRST_KEY = 2

RECORD_SHARE = 0.3
EVEN_SHARE = 0.6
PLACING_ROUNDS = 12

BRANCHES = 4
TABLE_SEED = 7
WALKS = 1024
WALK_STEPS = 8192


@dataclass(frozen=True)
class Vocabulary:
    """Token ids: REC, ASK, then the keys, the values and the filler states. The default has 896 = 7 * 128 tokens."""

    keys: int = 512
    values: int = 128
    fillers: int = 254

    @property
    def first_value(self) -> int:
        return FIRST_KEY + self.keys

    @property
    def first_filler(self) -> int:
        return self.first_value + self.values

    @property
    def size(self) -> int:
        return self.first_filler + self.fillers


@dataclass(frozen=True)
class Batch:
    """tokens: int64 [samples, N]. sources: int64 [samples, N / 4], for an ASK slot the slot of its record, else -1."""

    tokens: torch.Tensor
    sources: torch.Tensor

    def answers(self) -> torch.Tensor:
        """bool [samples, N]: where v1 and v2 of an ASK slot stand."""
        slot = torch.tensor([False, False, True, True], device=self.tokens.device)
        return ((self.sources >= 0)[:, :, None] & slot).flatten(1)

    def labels(self) -> torch.Tensor:
        """int64 [samples, N]: the token where it is an answer, else -100."""
        return torch.where(self.answers(), self.tokens, -100)

    def distances(self) -> torch.Tensor:
        """int64 [samples, N], in tokens; 0 where there is no answer.

        An answer token at position p is predicted at p - 1, and recorded at some q: the distance is (p - 1) - q. A window of w tokens reaches it
        when the distance is less than w.
        """
        slots = torch.arange(self.sources.shape[1], device=self.sources.device)
        distances = SLOT * (slots - self.sources) - 1
        return torch.where(self.answers(), distances.repeat_interleave(SLOT, dim=1), 0)


def filler_table(fillers: int) -> numpy.ndarray:
    """int64 [fillers, BRANCHES]: the states that may follow each state, all with equal chance. The same for every seed of the data."""
    return numpy.random.default_rng(TABLE_SEED).integers(0, fillers, (fillers, BRANCHES))


def filler_walks(fillers: int, seed: int) -> numpy.ndarray:
    """int16 [WALKS, WALK_STEPS]: walks over the table. A sequence takes its filler from a random place of a random walk."""
    random = numpy.random.default_rng([seed, 1])
    table = filler_table(fillers)
    choices = random.integers(0, BRANCHES, (WALK_STEPS, WALKS), dtype=numpy.uint8)
    states = numpy.empty((WALK_STEPS, WALKS), dtype=numpy.int16)
    state = random.integers(0, fillers, WALKS)
    for step in range(WALK_STEPS):
        state = table[state, choices[step]]
        states[step] = state
    return numpy.ascontiguousarray(states.T)


class Retrieval:
    """A stream of batches, drawn on `device`. It is a function of vocabulary, seed, kind of device, and of the sizes asked for before."""

    def __init__(self, vocabulary: Vocabulary = Vocabulary(), seed: int = 0, device: str = "cpu") -> None:
        self.vocabulary = vocabulary
        self.device = torch.device(device)
        self.generator = torch.Generator(self.device).manual_seed(seed)
        self.walks = torch.from_numpy(filler_walks(vocabulary.fillers, seed)).to(self.device)

    def batch(self, samples: int, length: int) -> Batch:
        """`samples` sequences of `length` tokens; a length is a multiple of 4, of 8 to 8192."""
        if length % SLOT or not 2 * SLOT <= length <= WALK_STEPS:
            raise ValueError(f"a length is a multiple of {SLOT} from {2 * SLOT} to {WALK_STEPS}, not {length}")
        vocabulary = self.vocabulary
        shape = (samples, length // SLOT)
        slots = torch.arange(shape[1], device=self.device)

        # Records: the first slot is one, and there are no more than keys. `rank` counts them.
        is_record = self._uniform(*shape) < RECORD_SHARE
        is_record[:, 0] = True
        rank = is_record.cumsum(1) - 1
        is_record &= rank < vocabulary.keys
        sources = self._place_asks(is_record)

        # What each record says, then for each slot the words of the record that it states or asks for.
        permutation = self._uniform(samples, vocabulary.keys).argsort(1)
        keys = FIRST_KEY + permutation.gather(1, rank.clamp(0, vocabulary.keys - 1))
        values = vocabulary.first_value + self._integers(vocabulary.values, 2, *shape)
        told = torch.where(sources >= 0, sources, slots)
        first = torch.where(sources >= 0, ASK, RECORD)
        words = torch.stack([first, keys.gather(1, told), values[0].gather(1, told), values[1].gather(1, told)], dim=2)

        is_filler = ~is_record & (sources < 0)
        tokens = torch.where(is_filler[:, :, None], self._filler(is_filler, length), words)
        return Batch(tokens.flatten(1), sources)

    def _place_asks(self, is_record: torch.Tensor) -> torch.Tensor:
        """int64 [samples, slots]: the record's slot for each slot that asks, -1 elsewhere; from bool [samples, slots].

        In each round every record without an ask draws a distance. It gets the slot there if that exists and is free; of several records that
        drew the same slot, the furthest gets it. Records that no round placed, most of them close to the end, are never asked for.
        """
        count = is_record.shape[1]
        slots = torch.arange(count, device=self.device).expand_as(is_record)
        pending, free = is_record, ~is_record
        sources = torch.full_like(slots, -1)
        for _ in range(PLACING_ROUNDS):
            even = 1 + self._uniform(*is_record.shape) * (count - 1 - slots)
            logarithmic = count ** self._uniform(*is_record.shape)
            distance = torch.where(self._uniform(*is_record.shape) < EVEN_SHARE, even, logarithmic).long()
            inside = pending & (slots + distance < count)
            target = torch.where(inside, slots + distance, 0)  # slot 0 is a record, so never free
            fits = inside & free.gather(1, target)
            winner = torch.full_like(slots, count).scatter_reduce(1, target, torch.where(fits, slots, count), "amin")
            sources = torch.where(winner < count, winner, sources)
            free = free & (winner == count)
            pending = pending & ~(fits & (winner.gather(1, target) == slots))
        return sources

    def _filler(self, is_filler: torch.Tensor, length: int) -> torch.Tensor:
        """int64 [samples, slots, 4]: the next four tokens of the sample's walk for each filler slot; elsewhere of no meaning."""
        samples = is_filler.shape[0]
        walk = self._integers(WALKS, samples, 1, 1)
        start = self._integers(WALK_STEPS - length + 1, samples, 1)
        step = start + SLOT * (is_filler.cumsum(1) - 1).clamp(min=0)
        within = torch.arange(SLOT, device=self.device)
        return self.vocabulary.first_filler + self.walks[walk, step[:, :, None] + within].long()

    def _uniform(self, *shape: int) -> torch.Tensor:
        return torch.rand(shape, generator=self.generator, device=self.device)

    def _integers(self, bound: int, *shape: int) -> torch.Tensor:
        return torch.randint(bound, shape, generator=self.generator, device=self.device)


def spread_evenly(batch: Batch, bins: int = 8) -> torch.Tensor:
    """int64 [samples, N]: the labels of as many asks from each of `bins` equal parts of the distances up to N as the part with the fewest has.

    Far asks are rare in the task, so a mean over all answers says little of them. Which asks are left is a matter of their order in the batch.
    """
    labels, distances = batch.labels(), batch.distances()
    length = labels.shape[1]
    is_first = batch.answers() & (torch.arange(length, device=labels.device) % SLOT == 2)
    part = (distances * bins // length).clamp(max=bins - 1)
    fewest = min(int((is_first & (part == index)).sum()) for index in range(bins))
    keep = torch.zeros_like(is_first)
    for index in range(bins):
        chosen = (is_first & (part == index)).flatten().nonzero()[:, 0]
        # Evenly over the batch.
        keep.view(-1)[chosen[torch.linspace(0, len(chosen) - 1, fewest).round().long()]] = True
    keep |= keep.roll(1, dims=1)
    return torch.where(keep, labels, -100)


def write_jsonl(path: str, length: int, samples: int, seed: int, vocabulary: Vocabulary = Vocabulary(), append: bool = False, even: bool = False) -> None:
    """Writes `samples` sequences of `length` tokens, one a line, as {"input_ids": [N], "labels": [N]}; labels are -100 but for answers.

    even: only for answers that `spread_evenly` leaves; sequences without one are left out.
    """
    batch = Retrieval(vocabulary, seed).batch(samples, length)
    labels = spread_evenly(batch) if even else batch.labels()
    with open(path, "a" if append else "w", encoding="utf-8") as file:
        for tokens, own in zip(batch.tokens.tolist(), labels.tolist()):
            if any(label != -100 for label in own):
                file.write(json.dumps({"input_ids": tokens, "labels": own}, separators=(",", ":")) + "\n")


def lengths_of(text: str) -> list[int]:
    """'1024,2048' as [1024, 2048]."""
    return [int(part) for part in text.split(",")]


def main() -> None:
    parser = argparse.ArgumentParser(description="Writes sequences of the task as .jsonl.")
    parser.add_argument("path")
    parser.add_argument("--lengths", type=lengths_of, default=[1024, 2048], help="lengths in tokens, with commas; all go to the one file")
    parser.add_argument("--samples", type=int, default=64, help="sequences of each length")
    parser.add_argument("--seed", type=int, default=10001)
    parser.add_argument("--even", action="store_true", help="label asks of all distances alike, few of each")
    options = parser.parse_args()
    for index, length in enumerate(options.lengths):
        write_jsonl(options.path, length, options.samples, options.seed + length, append=index > 0, even=options.even)


if __name__ == "__main__":
    main()
