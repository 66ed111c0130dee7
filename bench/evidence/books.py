"""What Debian's packages hold, as named texts. Each function takes the folder that the packages
were unpacked to."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from .fetch import FetchError, run_command
from .html_text import Layout, text_of_html

_VERSE: Final = re.compile(r"(\d?[A-Za-z]+)(\d+):(\d+) (.+)")
# fmt: off
_BOOKS: Final = (
    "Genesis", "Exodus", "Leviticus", "Numbers", "Deuteronomy", "Joshua", "Judges", "Ruth",
    "1 Samuel", "2 Samuel", "1 Kings", "2 Kings", "1 Chronicles", "2 Chronicles", "Ezra",
    "Nehemiah", "Esther", "Job", "Psalms", "Proverbs", "Ecclesiastes", "Song of Solomon",
    "Isaiah", "Jeremiah", "Lamentations", "Ezekiel", "Daniel", "Hosea", "Joel", "Amos",
    "Obadiah", "Jonah", "Micah", "Nahum", "Habakkuk", "Zephaniah", "Haggai", "Zechariah",
    "Malachi", "Matthew", "Mark", "Luke", "John", "Acts", "Romans", "1 Corinthians",
    "2 Corinthians", "Galatians", "Ephesians", "Philippians", "Colossians", "1 Thessalonians",
    "2 Thessalonians", "1 Timothy", "2 Timothy", "Titus", "Philemon", "Hebrews", "James",
    "1 Peter", "2 Peter", "1 John", "2 John", "3 John", "Jude", "Revelation",
)
# fmt: on

_HANDBOOK: Final = Layout(leave=frozenset({"#banner", "#title", ".docnav", ".toc"}))
_REFERENCE: Final = Layout(leave=frozenset({".navheader", ".navfooter", ".toc"}))
_SPHINX_LEFT: Final = frozenset({".headerlink", ".toctree-wrapper", ".contents"})
_PYTHON: Final = Layout(content=".body", leave=_SPHINX_LEFT)
_LINUX: Final = Layout(content="[main]", leave=_SPHINX_LEFT)
# The rest of Python's pages are indexes, changes and licenses.
_PYTHON_PARTS: Final = (
    "tutorial",
    "using",
    "reference",
    "library",
    "extending",
    "c-api",
    "howto",
    "faq",
    "distutils",
    "installing",
    "whatsnew",
)
# The pages of linux-doc that are not in English, or lists.
_LINUX_LEFT: Final = ("translations/", "genindex", "search", "_")


def bible(folder: Path) -> Iterator[tuple[str, str]]:
    """A text for each book, a paragraph for each chapter, verses without their numbers. The program
    of the package prints them: its data are compressed in a format of its own."""
    program = folder / "usr/bin/bible"
    printed = run_command(
        [str(program), "-f", "-p", str(folder / "usr/lib"), "Gen1:1-Rev22:21"],
        folder,
        "bible",
        "Its package is of this machine's architecture, and needs libreadline.",
    )
    yield from books_of_verses(printed.splitlines())


def books_of_verses(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """lines: `Ge1:1 In the beginning...`, in order."""
    own: list[str] = []
    book, chapter, number = "", "", 0
    for line in lines:
        match = _VERSE.fullmatch(line.strip())
        if match is None:
            raise FetchError(f"bible printed {line[:80]!r}, which is no verse")
        if match[1] != book:
            if own:
                yield _book(number, own)
            book, chapter, number, own = match[1], "", number + 1, []
        if match[2] != chapter:
            chapter = match[2]
            own.append(f"Chapter {chapter}\n\n{match[4]}")
        else:
            own[-1] += f" {match[4]}"
    if own:
        yield _book(number, own)


def _book(number: int, chapters: list[str]) -> tuple[str, str]:
    title = _BOOKS[number - 1]
    name = f"{number:02}-{title.lower().replace(' ', '-')}"
    return name, "\n\n".join([title, *chapters]) + "\n"


def handbook(folder: Path) -> Iterator[tuple[str, str]]:
    """A text for each chapter: its page and those of its sections, in the order of the index."""
    html = folder / "usr/share/doc/debian-handbook/html/en-US"
    chapters: dict[str, list[str]] = {}
    for page in _links(html / "index.html"):
        if not page.startswith("sect.") or not chapters:
            chapters[page.removesuffix(".html")] = []
        last = chapters[next(reversed(chapters))]
        last.append(text_of_html((html / page).read_text(encoding="utf-8"), _HANDBOOK))
    for number, (name, texts) in enumerate(chapters.items()):
        yield f"{number:02}-{name}", "\n".join(texts)


def _links(index: Path) -> list[str]:
    """Pages beside it, in order, once."""
    if not index.exists():
        raise FetchError(f"there is no {index.name} where it is looked for")
    found = re.findall(r'href="([\w.-]+\.html)[#"]', index.read_text(encoding="utf-8"))
    return [page for page in dict.fromkeys(found) if page != index.name]


def reference(folder: Path) -> Iterator[tuple[str, str]]:
    """A text for each chapter."""
    for path in sorted((folder / "usr/share/debian-reference").glob("ch*.en.html")):
        page = path.read_text(encoding="utf-8")
        yield path.name.removesuffix(".en.html"), text_of_html(page, _REFERENCE)


def python_docs(folder: Path) -> Iterator[tuple[str, str]]:
    """A text for each page."""
    for html in sorted((folder / "usr/share/doc").glob("python3*/html")):
        if html.is_symlink() or html.parent.is_symlink():
            continue
        for part in _PYTHON_PARTS:
            yield from _pages(html, sorted((html / part).rglob("*.html")), _PYTHON)


def linux_docs(folder: Path) -> Iterator[tuple[str, str]]:
    """A text for each page."""
    for html in sorted((folder / "usr/share/doc").glob("linux-doc-*/html")):
        pages = [
            path
            for path in sorted(html.rglob("*.html"))
            if not path.relative_to(html).as_posix().startswith(_LINUX_LEFT)
        ]
        yield from _pages(html, pages, _LINUX)


def _pages(html: Path, paths: Iterable[Path], layout: Layout) -> Iterator[tuple[str, str]]:
    for path in paths:
        name = path.relative_to(html).as_posix().removesuffix(".html")
        yield name, text_of_html(path.read_text(encoding="utf-8", errors="replace"), layout)
