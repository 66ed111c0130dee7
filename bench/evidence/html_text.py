"""HTML to plain text, with the standard library: for books and manuals, not for pages at large."""

import re
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Final, NamedTuple

# fmt: off
_VOID: Final = (
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source",
    "track", "wbr",
)
# fmt: on
_HIDDEN: Final = frozenset({"head", "script", "style", "svg", "nav", "form", "button"})
# Newlines before and after.
# fmt: off
_PARAGRAPHS: Final = (
    "article", "aside", "blockquote", "body", "details", "div", "dl", "figcaption", "figure",
    "footer", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "main", "ol", "p", "pre",
    "section", "table", "ul",
)
# fmt: on
_LINES: Final = ("dd", "dt", "li", "tr", "br")
_GAPS: Final = {**dict.fromkeys(_LINES, 1), **dict.fromkeys(_PARAGRAPHS, 2)}
_CELLS: Final = ("td", "th")
_SPACES: Final = re.compile(r"\s+")


@dataclass(frozen=True)
class Layout:
    """Where pages have their text. Elements are named as in CSS: `.class`, `#id`, `[role]`.

    content: of the element whose text is taken; None: of the whole page. leave: of elements that
    are left out."""

    content: str | None = None
    leave: frozenset[str] = frozenset()


class _Element(NamedTuple):
    tag: str
    hidden: bool
    content: bool


def text_of_html(page: str, layout: Layout) -> str:
    """Paragraphs with a blank line between them, cells with bars, and a newline at the end; ""
    where there is no text. Lines of `pre` stay as they are."""
    reader = _Reader(layout)
    reader.feed(page)
    reader.close()
    return reader.text()


class _Reader(HTMLParser):
    def __init__(self, layout: Layout) -> None:
        super().__init__(convert_charrefs=True)
        self._layout = layout
        self._open: list[_Element] = []
        # How many of the open elements are such.
        self._hidden = self._contents = self._pres = self._cells = 0
        self._pieces: list[str] = []
        # What stands between the last piece and the next one, and what the next one begins with.
        self._gap, self._space, self._mark = 0, False, ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        names = _names(dict(attributes))
        element = _Element(
            tag,
            tag in _HIDDEN or not self._layout.leave.isdisjoint(names),
            self._layout.content in names,
        )
        self._break(tag)
        if tag not in _VOID:
            self._open.append(element)
            self._count(element, 1)
        if tag == "li":
            self._mark = "- "
        if tag in _CELLS and self._pieces and not self._gap:
            self._mark = " | "

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attributes)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if all(tag != element.tag for element in self._open):
            return
        # Elements that were not closed end with the one around them.
        while True:
            element = self._open.pop()
            self._count(element, -1)
            self._break(element.tag)
            if element.tag == "li":
                self._mark = ""
            if element.tag == tag:
                return

    def handle_data(self, data: str) -> None:
        if self._hidden or (self._layout.content is not None and not self._contents):
            return
        text = data.expandtabs() if self._pres else _SPACES.sub(" ", data)
        if not text.strip() and not (self._pres and not self._gap):
            self._space = self._space or bool(text)
            return
        if not self._pres and (self._gap or self._mark or not self._pieces):
            text = text.lstrip()
        self._pieces.append(self._between() + text)
        self._gap, self._space, self._mark = 0, False, ""

    def text(self) -> str:
        lines = (line.rstrip() for line in "".join(self._pieces).split("\n"))
        joined = re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n")
        return f"{joined}\n" if joined.strip() else ""

    def _between(self) -> str:
        if not self._pieces:
            return self._mark
        if self._gap:
            return "\n" * self._gap + self._mark
        if self._mark:
            self._pieces[-1] = self._pieces[-1].rstrip(" ")
            return self._mark
        return " " if self._space else ""

    def _count(self, element: _Element, step: int) -> None:
        self._hidden += step * element.hidden
        self._contents += step * element.content
        self._pres += step * (element.tag == "pre")
        self._cells += step * (element.tag in _CELLS)

    def _break(self, tag: str) -> None:
        gap = _GAPS.get(tag, 0)
        if self._cells and tag != "tr":
            self._space = self._space or gap > 0
        else:
            self._gap = max(self._gap, gap)


def _names(attributes: dict[str, str | None]) -> set[str | None]:
    found: set[str | None] = {f".{name}" for name in (attributes.get("class") or "").split()}
    if attributes.get("id"):
        found.add(f"#{attributes['id']}")
    if attributes.get("role"):
        found.add(f"[{attributes['role']}]")
    return found
