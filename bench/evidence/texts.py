"""Fetches long English texts from Debian's packages and writes them as plain UTF-8.

    python3 -m bench.evidence.texts OUT_FOLDER [--tokenizer MODEL_FOLDER]

Packages are downloaded by apt-get from the mirror that it is set to, which checks their signatures,
and unpacked without being installed. OUT_FOLDER gets a folder for each source, a file for each book
or chapter, and texts.json, which lists them with sizes, SHA-256 and, with --tokenizer, tokens."""

import argparse
import json
import re
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from .books import bible, handbook, linux_docs, python_docs, reference
from .fetch import FetchError, new_folder, run_command, sha256_of

_APT_ADVICE: Final = (
    "It needs Debian or a relative of it, a mirror, and lists of packages: apt-get update"
)
# A page of less than that is a list of links.
_LEAST_BYTES: Final = 2000


@dataclass(frozen=True)
class Texts:
    """packages: with the folders that they unpack to, `read` gives names and texts. A package of
    which another one depends by a name with a version is a pattern after a colon."""

    packages: tuple[str, ...]
    read: Callable[[Path], Iterable[tuple[str, str]]]


TEXTS: Final = {
    "bible": Texts(("bible-kjv-text", "bible-kjv"), bible),
    "debian-handbook": Texts(("debian-handbook",), handbook),
    "debian-reference": Texts(("debian-reference-en",), reference),
    "python": Texts((r"python3-doc:python3\.\d+-doc",), python_docs),
    "linux": Texts((r"linux-doc:linux-doc-\d[\d.]*",), linux_docs),
}


def fetch_packages(packages: Iterable[str], scratch: Path, folder: Path) -> list[dict[str, str]]:
    """Unpacks them into `folder`. Returns names, versions and hashes."""
    facts = []
    for package in packages:
        name, _, depends = package.partition(":")
        path = download(name, scratch)
        if depends:
            path = download(dependency(path, depends), scratch)
        run_command(["dpkg-deb", "-x", str(path), str(folder)], scratch, "dpkg-deb -x", _APT_ADVICE)
        form = ["dpkg-deb", "--show", "--showformat=${Package} ${Version}", str(path)]
        own, version = run_command(form, scratch, "dpkg-deb --show", _APT_ADVICE).split()
        facts.append({"package": own, "version": version, "sha256": sha256_of(path)})
    return facts


def download(name: str, scratch: Path) -> Path:
    """The .deb. In a folder of its own, since its name has a version."""
    folder = scratch / name
    folder.mkdir()
    print(name, flush=True)
    run_command(
        ["apt-get", "download", "--quiet", name], folder, f"apt-get download {name}", _APT_ADVICE
    )
    found = sorted(folder.glob("*.deb"))
    if len(found) != 1:
        raise FetchError(f"apt-get download {name} left {len(found)} packages, not one")
    return found[0]


def dependency(deb: Path, pattern: str) -> str:
    """The package of that name that this one depends on."""
    fields = ["dpkg-deb", "--field", str(deb), "Depends"]
    depends = run_command(fields, deb.parent, "dpkg-deb --field", _APT_ADVICE)
    for name in re.split(r"[\s,|]+", depends):
        if re.fullmatch(pattern, name):
            return name
    raise FetchError(f"{deb.name} depends on no {pattern}: it has {depends.strip()}")


def write_texts(
    texts: Iterable[tuple[str, str]], folder: Path, count: Callable[[str], int] | None
) -> Iterator[dict[str, Any]]:
    """A file for each, but for short ones. Yields its line of texts.json."""
    for name, text in texts:
        path = folder / f"{name}.txt"
        if len(text.encode()) < _LEAST_BYTES:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        facts: dict[str, Any] = {"file": f"{folder.name}/{name}.txt", "bytes": len(text.encode())}
        if count is not None:
            facts["tokens"] = count(text)
        yield {**facts, "sha256": sha256_of(path)}


def counter(model: str | None) -> Callable[[str], int] | None:
    """Counts the tokens of a text, without special ones."""
    if model is None:
        return None
    path = Path(model) / "tokenizer.json"
    if not path.exists():
        raise FetchError(f"{model} has no tokenizer.json; bench.evidence.models writes it")
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(path))
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)


def total(name: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    sums: dict[str, Any] = {"source": name, "files": len(rows)}
    for key in ("bytes", "tokens"):
        if all(key in row for row in rows):
            sums[key] = sum(row[key] for row in rows)
            sums[f"most{key.capitalize()}"] = max((row[key] for row in rows), default=0)
    return sums


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python3 -m bench.evidence.texts",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("out", help="the folder to write; new, or empty")
    parser.add_argument("--only", help=f"some of {','.join(TEXTS)}, with commas")
    parser.add_argument("--tokenizer", help="a model's folder: tokens are counted")
    options = parser.parse_args(arguments)
    options.only = list(TEXTS) if options.only is None else options.only.split(",")
    if unknown := [name for name in options.only if name not in TEXTS]:
        parser.error(f"there is no {', '.join(unknown)}: --only takes {','.join(TEXTS)}")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    out = Path(options.out).resolve()
    sources = []
    try:
        count = counter(options.tokenizer)
        with new_folder(out) as folder:
            for name in options.only:
                texts = TEXTS[name]
                with tempfile.TemporaryDirectory(prefix="moa-texts-") as given:
                    scratch, unpacked = Path(given), Path(given) / "unpacked"
                    facts = fetch_packages(texts.packages, scratch, unpacked)
                    rows = list(write_texts(texts.read(unpacked), folder / name, count))
                if not rows:
                    raise FetchError(f"{name}: the packages have no text where it is looked for")
                sources.append({**total(name, rows), "packages": facts, "texts": rows})
            (folder / "texts.json").write_text(json.dumps(sources, indent=1) + "\n")
    except FetchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for source in sources:
        tokens = f", {source['tokens']} tokens" if "tokens" in source else ""
        print(f"{source['source']:18} {source['files']:5} files, {source['bytes']} bytes{tokens}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
