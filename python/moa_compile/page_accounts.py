"""How many pages of the pool the sequences of a session hold, for a host that knows lengths and
forks but no page table.

A fork ends a stretch of a sequence's history and begins two. Stretches form trees, whose leaves are
the sequences:

    1000 tokens, fork, 50 tokens in one sequence, 300 in the other       [0, 1000) -+- [1000, 1050)
                                                                                    +- [1000, 1300)

A page belongs to the stretch in which it was last written. A sequence that has written a page is
its only holder, so a stretch has at most one page for each page of a ring that its tokens lie in. A
page of a stretch that has ended is held as long as one of the sequences after it has neither
written it again nor given it up.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import inf

from .page_counts import PageCounts
from .page_stretches import Branch, Stretch, branch_after, joined, may_join, written

_NOTHING = Branch(0, 0, 0, 0, 0, 0)
# Behind every token.
_NO_END = 1 << 62


@dataclass(eq=False)
class _Node:
    """`slot`: -1 of a stretch that has ended. `even_to`: up to this length it holds as many pages
    as when it was counted."""

    tree: "_Tree"
    slot: int
    stretch: Stretch
    parent: "_Node | None"
    children: list["_Node"] = field(default_factory=list)
    branch: Branch = _NOTHING
    even_to: float = -1


@dataclass(eq=False)
class _Tree:
    """Sequences that may share pages. Parents come before children in `nodes`."""

    bound: int
    nodes: list[_Node] = field(default_factory=list)
    pages: int = 0


class PageAccounts:
    """`pages`: of the pool. `held` and `shared` are at most what is so, and `free` at least; exact
    without truncations behind a fork."""

    def __init__(self, counts: PageCounts, pages: int, slots: int) -> None:
        self._counts, self._pages = counts, pages
        self._leaves: list[_Node | None] = [None] * slots
        self._changed: dict[_Tree, None] = {}
        self._held = 0

    @property
    def held(self) -> int:
        """Pages that sequences hold. Only `advance` lets it rise."""
        self._recount()
        return self._held

    def _recount(self) -> None:
        for tree in self._changed:
            pages = self._count(tree, _no_tokens)
            self._held += pages - tree.pages
            tree.pages = pages
            if len(tree.nodes) == 1:
                only = tree.nodes[0]
                only.even_to = self._counts.even_to(tree.bound, only.stretch.length)
        self._changed.clear()

    @property
    def free(self) -> int:
        """Pages of the pool that no sequence holds."""
        return self._pages - self.held

    @property
    def shared(self) -> int:
        """Pages that more than one sequence holds."""
        trees = dict.fromkeys(leaf.tree for leaf in self._leaves if leaf is not None)
        return sum(self._shared_in(tree) for tree in trees)

    def pages_for(self, bound: int, length: int) -> int:
        """Pages that a sequence of at most `bound` tokens holds alone when it has `length`."""
        return self._counts.in_use(bound, length)

    def add(self, slot: int, bound: int) -> None:
        """Begins an empty sequence of at most `bound` tokens in a free slot."""
        self._add_leaf(_Tree(bound), slot, Stretch(inf, 0, 0, 0), None)

    def remove(self, slot: int) -> None:
        """Ends a slot's sequence."""
        leaf = self._leaf(slot)
        tree = leaf.tree
        # With the leaf go the stretches that have nothing else after them.
        gone = {leaf}
        parent = leaf.parent
        while parent is not None and len(parent.children) == 1:
            gone.add(parent)
            parent = parent.parent
        self._leaves[slot] = None
        if parent is None:
            self._changed.pop(tree, None)
            self._held -= tree.pages
            return
        other = next(child for child in parent.children if child not in gone)
        if may_join(parent.stretch, other.stretch):
            parent.stretch = joined(parent.stretch, other.stretch)
            parent.slot, parent.children, parent.even_to = other.slot, other.children, -1
            for child in other.children:
                child.parent = parent
            if other.slot >= 0:
                self._leaves[other.slot] = parent
            gone.add(other)
        else:
            parent.children = [other]
        tree.nodes = [node for node in tree.nodes if node not in gone]
        self._changed[tree] = None

    def fork(self, source: int, to: int) -> None:
        """Begins a sequence in the free slot `to` that holds the pages of the one in `source`.
        `held` stays."""
        parent = self._leaf(source)
        length = parent.stretch.length
        parent.slot = -1
        parent.children = [
            self._add_leaf(parent.tree, slot, Stretch(inf, 0, length, length), parent)
            for slot in (source, to)
        ]

    def set_length(self, slot: int, length: int) -> None:
        """A slot's sequence goes back to `length` tokens."""
        leaf = self._leaf(slot)
        if length == 0:
            # It holds no page, so it shares none.
            self.remove(slot)
            self.add(slot, leaf.tree.bound)
            return
        leaf.stretch = replace(leaf.stretch, length=length, low=min(leaf.stretch.low, length))
        leaf.even_to = -1
        self._changed[leaf.tree] = None

    def advance(self, slot: int, tokens: int) -> None:
        """A slot's sequence has `tokens` more."""
        leaf = self._leaf(slot)
        leaf.stretch = written(leaf.stretch, tokens)
        if not _is_even(leaf, 0):
            self._changed[leaf.tree] = None

    def needed_for(self, tokens: Callable[[int], int]) -> int:
        """By how much `held` would rise if each slot had so many more tokens. Nothing changes."""
        self._recount()
        trees: dict[_Tree, None] = {}
        for slot, leaf in enumerate(self._leaves):
            if leaf is None:
                continue
            added = tokens(slot)
            if added > 0 and not _is_even(leaf, added):
                trees[leaf.tree] = None
        return sum(self._count(tree, tokens) - tree.pages for tree in trees)

    def _count(self, tree: _Tree, tokens: Callable[[int], int]) -> int:
        """Pages of a tree if its sequences had so many more tokens."""
        bound, nodes = tree.bound, tree.nodes
        if len(nodes) == 1:
            return self._counts.in_use(bound, nodes[0].stretch.length + tokens(nodes[0].slot))
        for node in reversed(nodes):
            node.branch = (
                self._branch_of_leaf(node, tokens)
                if not node.children
                else self._branch_of_fork(node)
            )
        return nodes[0].branch.own

    def _branch_of_leaf(self, node: _Node, tokens: Callable[[int], int]) -> Branch:
        bound = node.tree.bound
        stretch = written(node.stretch, tokens(node.slot))
        own = self._counts.touched(bound, stretch.begin, stretch.reached, stretch.length)
        return Branch(
            stretch.reached, inf, stretch.low, -1, own, self._counts.in_use(bound, stretch.length)
        )

    def _branch_of_fork(self, node: _Node) -> Branch:
        bound, stretch = node.tree.bound, node.stretch
        after = branch_after([child.branch for child in node.children])
        # Pages that the sequences hold were theirs at the fork, or belong to stretches after it.
        at_fork = replace(stretch, begin=0, reached=stretch.length)
        held = min(after.held, after.own + self._left(bound, at_fork, after.reached, after.low))
        return Branch(
            max(stretch.reached, after.reached),
            max(stretch.reached, after.next_reached),
            min(stretch.low, after.low),
            min(stretch.low, after.next_low),
            min(held, after.own + self._left(bound, stretch, after.reached, after.low)),
            held,
        )

    def _shared_in(self, tree: _Tree) -> int:
        """Pages of a tree that more than one of its sequences holds."""
        if len(tree.nodes) == 1:
            return 0
        self._count(tree, _no_tokens)
        pages = held = 0
        for node in tree.nodes:
            if not node.children:
                held += node.branch.held
                continue
            after = branch_after([child.branch for child in node.children])
            pages += self._left(tree.bound, node.stretch, after.next_reached, after.next_low)
        return min(pages, held // 2)

    def _left(self, bound: int, stretch: Stretch, reached: float, low: int) -> int:
        """Pages of a stretch that has ended, without those that hold a token of `length .. reached
        - 1`, which were written again, and those that are not in use at length `low`, which were
        given up."""
        kept = min(stretch.length, low)
        if reached <= max(stretch.begin, stretch.length):
            return self._counts.touched(bound, stretch.begin, stretch.reached, kept)
        # What was written in the stretch and after it is one range of tokens. Nothing follows an
        # infinite one.
        end = _NO_END if reached == inf else int(reached)
        begin, most = min(stretch.begin, stretch.length), max(stretch.reached, end)
        return self._counts.touched(bound, begin, most, kept) - self._counts.touched(
            bound, stretch.length, end, kept
        )

    def _add_leaf(self, tree: _Tree, slot: int, stretch: Stretch, parent: _Node | None) -> _Node:
        leaf = _Node(tree, slot, stretch, parent)
        tree.nodes.append(leaf)
        self._leaves[slot] = leaf
        self._changed[tree] = None
        return leaf

    def _leaf(self, slot: int) -> _Node:
        leaf = self._leaves[slot]
        assert leaf is not None, "internal error: the slot holds a sequence"
        return leaf


def _no_tokens(_: int) -> int:
    return 0


def _is_even(leaf: _Node, tokens: int) -> bool:
    """Whether a sequence that shares no page holds with `tokens` more as many pages as were
    counted."""
    return len(leaf.tree.nodes) == 1 and leaf.stretch.length + tokens <= leaf.even_to
