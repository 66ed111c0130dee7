"""Puts the sources of the emulator into the wheel. They lie beside this folder, in a checkout and
in the npm package; a wheel has them as `moa_compile/_emulator` (moa_compile/host_compiler.py)."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

HERE = Path(__file__).resolve().parent
FOLDERS = ("native/emulator", "templates/include")
WITHIN = Path("moa_compile/_emulator")


def copy_sources(to: Path) -> None:
    """`WITHIN` of the folder `to`, made anew."""
    roots = [root for root in (HERE.parent, HERE / WITHIN) if (root / FOLDERS[0]).is_dir()]
    if not roots:
        raise SystemExit(f"{FOLDERS[0]} is missing: build moa_compile in a whole checkout")
    shutil.rmtree(to / WITHIN, ignore_errors=True)
    for folder in FOLDERS:
        shutil.copytree(roots[0] / folder, to / WITHIN / folder)


class Build(build_py):
    def run(self) -> None:
        super().run()
        # An editable install finds them where they lie.
        if not self.editable_mode:
            copy_sources(Path(self.build_lib))


class Source(sdist):
    def make_release_tree(self, base_dir: str, files: list[str]) -> None:
        super().make_release_tree(base_dir, files)
        copy_sources(Path(base_dir))


setup(cmdclass={"build_py": Build, "sdist": Source})
