"""What the host knows of a session's sequences: who holds a slot, of what length bound, and how
many tokens each layer has of it. It plans nothing, and walks no rings: pages and tables are the
device's."""

from collections.abc import Callable, Sequence
from weakref import WeakValueDictionary

from .errors import session_error
from .layout import LayerClass, RingWindows, SessionLayout
from .page_accounts import PageAccounts
from .words import describe, is_integer

# New tokens of each slot: as many of every sequence, or a number for each slot.
AddedTokens = int | Sequence[int]


class Lengths:
    """Lengths that some layers have. Layers that are in step have the same object, and go from it
    to the same next one: what is found for the first layer of a step holds for all.

    tokens: by slot, -1 for a slot without a sequence, as on the device.
    reached: the most that each sequence had since its rings went round: what a ring has lost
    follows from that.
    too_long: a slot whose sequence would be longer than its bound; -1 where there is none.
    """

    def __init__(self, tokens: list[int], reached: list[int], too_long: int = -1) -> None:
        self.tokens, self.reached, self.too_long = tokens, reached, too_long
        # Whether the pages of all tokens have been counted (`Sequences.reserve`).
        self.is_reserved = False
        # Weak, or a layer that gets no tokens would hold all lengths that others ever had.
        self._next: WeakValueDictionary[object, Lengths] = WeakValueDictionary()

    def after(self, key: object, make: Callable[[], "Lengths"]) -> "Lengths":
        """With so many more tokens. The same object for the same key while it lives."""
        known = self._next.get(key)
        if known is None:
            known = self._next[key] = make()
        return known

    def is_like(self, other: "Lengths") -> bool:
        return self.tokens == other.tokens and self.reached == other.reached


class Sequences:
    """`bounds`: the length bound of each slot's sequence; 0 for a free slot."""

    def __init__(self, layout: SessionLayout, accounts: PageAccounts, slots: int) -> None:
        self.bounds = [0] * slots
        self.accounts = accounts
        self._layout = layout
        # Tokens of each slot whose pages have been counted.
        self._reserved = [0] * slots
        none = Lengths([-1] * slots, [0] * slots)
        self._lengths = [none for _ in layout.layers]

    @property
    def slots(self) -> int:
        return len(self.bounds)

    def lengths_of(self, layer: int) -> Lengths:
        """Of a layer, by its number among those of the session."""
        return self._lengths[layer]

    def check_held(self, slot: int) -> None:
        """Raises MOA6107 for a slot without a sequence."""
        if not is_integer(slot) or not 0 <= slot < self.slots:
            message = f"there is no slot {describe(slot)}; the session has {self.slots}"
            raise session_error("noSuchSequence", message)
        if self.bounds[slot] == 0:
            raise session_error("noSuchSequence", f"slot {slot} holds no sequence")

    def check_added(self, added: Sequence[int]) -> None:
        """Raises MOA6107 where tokens are for a slot without a sequence."""
        for slot, count in enumerate(added):
            if count > 0:
                self.check_held(slot)

    def first_free(self) -> int:
        """The first slot that holds no sequence. Raises MOA6108 when all do."""
        if 0 not in self.bounds:
            raise session_error("noFreeSlot", f"all {self.slots} slots hold a sequence")
        return self.bounds.index(0)

    def add(self, slot: int, bound: int) -> None:
        """Begins an empty sequence of at most `bound` tokens in a free slot."""
        self.accounts.add(slot, bound)
        self.bounds[slot] = bound
        self._set(slot, 0)

    def remove(self, slot: int) -> None:
        """Ends a slot's sequence."""
        self.accounts.remove(slot)
        self.bounds[slot] = 0
        self._set(slot, -1)

    def check_between_steps(self, slot: int) -> None:
        """Raises MOA6114 where some layers have tokens of a slot that others have not."""
        for layer, lengths in zip(self._layout.layers, self._lengths, strict=True):
            if lengths.tokens[slot] != self._reserved[slot]:
                message = (
                    f"sequence {slot} has {lengths.tokens[slot]} tokens in layer {layer.layer}, "
                    f"and pages for {self._reserved[slot]}: a step is under way"
                )
                raise session_error("inStep", message)

    def fork(self, source: int, to: int) -> None:
        """Makes the free slot `to` what `source` is."""
        self.accounts.fork(source, to)
        self.bounds[to] = self.bounds[source]
        self._reserved[to] = self._reserved[source]

        def copy(following: Lengths, _: Lengths) -> None:
            following.tokens[to] = following.tokens[source]
            following.reached[to] = following.reached[source]

        self._change(copy)

    def truncate(self, slot: int, length: int) -> None:
        """Takes back the tokens from `length` on. Raises MOA6110, and changes nothing, where a ring
        has lost tokens that the next one attends."""
        wrapped = self._check_kept(slot, length)
        self.accounts.set_length(slot, length)
        self._reserved[slot] = length

        def shorten(following: Lengths, before: Lengths) -> None:
            following.tokens[slot] = length
            # Of a sequence that no ring has gone round for, nothing is lost; what lies behind is
            # written before it is read.
            if before not in wrapped:
                following.reached[slot] = length

        self._change(shorten)

    def _check_kept(self, slot: int, length: int) -> set[Lengths]:
        """Raises MOA6110 where a layer has lost a token that the one after a truncation attends.
        Returns the lengths of layers with rings that have gone round."""
        seen: set[tuple[LayerClass, Lengths]] = set()
        wrapped: set[Lengths] = set()
        for layer, lengths in zip(self._layout.layers, self._lengths, strict=True):
            # Layers of one class that are in step are alike.
            if (layer.layer_class, lengths) in seen:
                continue
            seen.add((layer.layer_class, lengths))
            held = lengths.tokens[slot]
            if length > held:
                message = (
                    f"sequence {slot} has {held} tokens in layer {layer.layer}, fewer than {length}"
                )
                raise session_error("cannotTruncate", message)
            for ring in layer.layer_class.rings(self.bounds[slot]):
                kept = lengths.reached[slot] - ring.window
                if length <= ring.sink or kept <= ring.sink:
                    continue
                wrapped.add(lengths)
                needed = max(ring.sink, length - ring.longest + 1)
                if kept > needed:
                    raise session_error(
                        "cannotTruncate", _lost(slot, held, length, layer.layer, ring, kept, needed)
                    )
        return wrapped

    def fill_all(self, length: int) -> None:
        """Says that every sequence has `length` tokens in all layers."""
        held = [slot for slot in range(self.slots) if self.bounds[slot] > 0]
        for slot in held:
            self.accounts.set_length(slot, 0)
            if length > 0:
                self.accounts.advance(slot, length)
            self._reserved[slot] = length

        def fill(following: Lengths, _: Lengths) -> None:
            for slot in held:
                following.tokens[slot] = following.reached[slot] = length

        self._change(fill)

    def after(self, before: Lengths, added: AddedTokens) -> Lengths:
        """The lengths behind so many more tokens. Nothing changes, and nothing is checked: `commit`
        says that they came."""
        key = added if isinstance(added, int) else tuple(added)

        def make() -> Lengths:
            tokens, reached, too_long = list(before.tokens), list(before.reached), -1
            for slot, bound in enumerate(self.bounds):
                if bound == 0:
                    continue
                tokens[slot] += added if isinstance(added, int) else added[slot]
                reached[slot] = max(reached[slot], tokens[slot])
                if too_long < 0 and tokens[slot] > bound:
                    too_long = slot
            return Lengths(tokens, reached, too_long)

        return before.after(key, make)

    def check_room(self, layer: int, lengths: Lengths) -> None:
        """Raises MOA6101 where a sequence of a layer would pass its length bound."""
        slot = lengths.too_long
        if slot < 0:
            return
        held = self._lengths[layer].tokens[slot]
        message = (
            f"sequence {slot} holds {held} of at most {self.bounds[slot]} tokens in layer "
            f"{self._layout.layers[layer].layer}; {lengths.tokens[slot] - held} more do not fit"
        )
        raise session_error("sequenceFull", message)

    def check_pages(self, every: Sequence[Lengths]) -> None:
        """Raises MOA6109 where the pool may have too few pages for sequences as long as the longest
        of these."""
        if all(lengths.is_reserved for lengths in every):
            return
        needed = self.accounts.needed_for(lambda slot: self._beyond_reserved(every, slot))
        if needed > 0 and needed > self.accounts.free:
            message = (
                f"the new tokens need {needed} pages, and {self.accounts.free} of the pool are free"
            )
            raise session_error("poolFull", message)

    def reserve(self, every: Sequence[Lengths]) -> None:
        """Counts the pages of sequences of these lengths as held: the launches that follow take
        them."""
        if all(lengths.is_reserved for lengths in every):
            return
        for slot in range(self.slots):
            tokens = self._beyond_reserved(every, slot)
            if tokens > 0:
                self.accounts.advance(slot, tokens)
                self._reserved[slot] += tokens
        for lengths in every:
            lengths.is_reserved = True

    def are_in_step(self, layer: int, other: int) -> bool:
        """Whether two layers have equal lengths."""
        return self._lengths[layer].tokens == self._lengths[other].tokens

    def bring_in_step(self, layer: int, other: int) -> None:
        """Gives layers of equal lengths the same object. Raises MOA6011 where they differ."""
        own, others = self._lengths[layer], self._lengths[other]
        if own is others:
            return
        for slot, (tokens, expected) in enumerate(zip(own.tokens, others.tokens, strict=True)):
            if tokens != expected:
                a, b = self._layout.layers[other].layer, self._layout.layers[layer].layer
                message = (
                    f"the graph decodes layers {a} and {b} in one step, and sequence {slot} has "
                    f"{expected} tokens in the one "
                    f"and {tokens} in the other"
                )
                raise session_error("capture", message)
        if own.reached == others.reached:
            self._lengths[layer] = others

    def commit(self, layer: int, lengths: Lengths) -> None:
        """Sequences of a layer have these lengths now."""
        self._lengths[layer] = lengths

    def _beyond_reserved(self, every: Sequence[Lengths], slot: int) -> int:
        """Tokens of a slot that have no pages yet."""
        return max(0, *(lengths.tokens[slot] - self._reserved[slot] for lengths in every))

    def _set(self, slot: int, length: int) -> None:
        self._reserved[slot] = max(0, length)

        def change(following: Lengths, _: Lengths) -> None:
            following.tokens[slot] = length
            following.reached[slot] = max(0, length)

        self._change(change)

    def _change(self, edit: Callable[[Lengths, Lengths], None]) -> None:
        """Layers that were in step stay so, and those that are alike now are in step."""
        changed: dict[Lengths, Lengths] = {}
        for layer, lengths in enumerate(self._lengths):
            if lengths not in changed:
                made = Lengths(list(lengths.tokens), list(lengths.reached))
                edit(made, lengths)
                changed[lengths] = next(
                    (other for other in changed.values() if other.is_like(made)), made
                )
            self._lengths[layer] = changed[lengths]


def _lost(
    slot: int, held: int, length: int, layer: int, ring: RingWindows, kept: int, needed: int
) -> str:
    behind = "" if ring.sink == 0 else "behind the sink, "
    return (
        f"sequence {slot} cannot go back from {held} to {length} tokens: {behind}the ring of KV "
        f"head {ring.kv_heads[0]} "
        f"in layer {layer} begins with token {kept}, and token {length} attends from {needed} on"
    )
