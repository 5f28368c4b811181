import os
import shutil
import subprocess
from pathlib import Path

import pytest

from longctx.ingest.document import Document
from longctx.ingest.errors import InputError, NotARepository, UnknownRevision
from longctx.ingest.read import read
from longctx.ingest.surroundings import with_surroundings
from longctx.ingest.walk import Walk, walk

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")

FUNCTION = (
    "def {0}(x):\n" + "".join(f"    x += {number}\n" for number in range(12)) + "    return x\n"
)
CODE = "import os\n\n\n" + "\n\n".join(map(FUNCTION.format, "fgh"))


def git(root: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main")
    subprocess.run(("git", *identity, "-C", root, *arguments), check=True, capture_output=True)


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """Two commits: a.py, latin.txt and sub/ä b.txt; the second changes `g` and adds a binary."""
    root = tmp_path / "repo"
    (root / "sub").mkdir(parents=True)
    (root / "a.py").write_text(CODE)
    (root / "latin.txt").write_bytes("Où êtes-vous?\n".encode("latin-1"))
    (root / "sub" / "ä b.txt").write_text("one\n")
    (root / "gone.txt").write_text("gone\n")
    git(root, "init")
    git(root, "add", ".")
    git(root, "commit", "-m", "1")
    git(root, "tag", "v1")
    (root / "a.py").write_text(CODE.replace("def g(x):\n    x += 0\n", "def g(x):\n    x -= 0\n"))
    (root / "sub" / "ä b.txt").write_text("one\ntwo\n")
    (root / "bin").write_bytes(b"\0\1\2")
    (root / "gone.txt").unlink()
    git(root, "add", ".")
    git(root, "commit", "-m", "2")
    return root


def texts(walked: Walk) -> dict[str, str]:
    documents = [read(source) for source in walked.sources]
    return {item.name: item.text for item in documents if isinstance(item, Document)}


def test_files_at_a_revision_are_what_they_were(repo: Path) -> None:
    found = texts(walk([str(repo)], revision="v1"))
    assert found == {
        "a.py": CODE,
        "gone.txt": "gone\n",
        "latin.txt": "Où êtes-vous?\n",
        "sub/ä b.txt": "one\n",
    }


def test_a_path_that_is_gone_is_still_there_at_a_revision(repo: Path) -> None:
    assert texts(walk([str(repo / "gone.txt")], revision="v1")) == {"gone.txt": "gone\n"}
    assert list(texts(walk([str(repo / "sub")], revision="v1"))) == ["ä b.txt"]
    with pytest.raises(InputError, match="holds no file at 'HEAD'"):
        walk([str(repo / "gone.txt")], revision="HEAD")


def test_a_bare_repository_will_do(repo: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "--bare", str(repo), "bare")
    assert texts(walk([str(tmp_path / "bare")], revision="v1"))["gone.txt"] == "gone\n"


def test_what_changed_comes_with_the_function_around_it(repo: Path) -> None:
    walked = walk([str(repo)], base="v1")
    found = texts(walked)
    assert list(found) == [
        "a.py (changes since v1)",
        "gone.txt (changes since v1)",
        "sub/ä b.txt (changes since v1)",
    ]
    assert [item.name for item in walked.skipped] == ["bin (changes since v1)"]
    change = found["a.py (changes since v1)"]
    assert "@@ def g\n" in change and "-    x += 0\n+    x -= 0\n" in change
    # the whole of `g`, none of `f` and `h` but the lines right beside it
    assert (
        change.count("\n     x += 11") == 1
        and " def h" not in change
        and " import os" not in change
    )


def test_the_work_tree_counts_and_untracked_files_are_named(repo: Path) -> None:
    (repo / "latin.txt").write_bytes("Où est-ce?\n".encode("latin-1"))
    (repo / "new.py").write_text("x = 1\n")
    walked = walk([str(repo)], base="HEAD")
    assert "+Où est-ce?\n" in texts(walked)["latin.txt (changes since HEAD)"]
    assert [item.name for item in walked.skipped] == ["new.py (changes since HEAD)"]
    assert texts(walk([str(repo)], base="v1", revision="HEAD")).keys() == {
        f"{name} (changes since v1)" for name in ("a.py", "gone.txt", "sub/ä b.txt")
    }


def test_a_branch_is_held_against_where_it_was_left(repo: Path) -> None:
    git(repo, "checkout", "-b", "work", "v1")
    (repo / "latin.txt").write_text("mine\n")
    git(repo, "commit", "-am", "3")
    assert list(texts(walk([str(repo)], base="main"))) == ["latin.txt (changes since main)"]


def test_a_widened_diff_still_applies(repo: Path, tmp_path: Path) -> None:
    """git itself says whether the hunks are right: applied to the old files they give the new."""
    lines = CODE.splitlines(keepends=True)
    lines[5:6] = []
    lines[20:20] = ["    new = 1\n", "\n"]
    lines[30] = "    changed = 2\n"
    (repo / "a.py").write_text("".join(lines) + "last = 1")
    (source,) = walk([str(repo)], base="HEAD").sources
    old = tmp_path / "old"
    git(tmp_path, "clone", str(repo), "old")
    (tmp_path / "x.patch").write_bytes(source.data or b"")
    git(old, "apply", str(tmp_path / "x.patch"))
    assert (old / "a.py").read_bytes() == (repo / "a.py").read_bytes()


def test_a_diff_without_hunks_stays_as_it_is() -> None:
    section = b"diff --git a/x b/y\nsimilarity index 100%\nrename from x\nrename to y\n"
    assert with_surroundings(section, "y") == section


@pytest.mark.parametrize("revision", ["nope", "--all", "--output=x", "v1:a.py", "", "v1\0"])
def test_what_is_no_revision_is_refused_by_name(repo: Path, revision: str) -> None:
    with pytest.raises(UnknownRevision, match="there is no revision") as caught:
        walk([str(repo)], revision=revision or " ")
    assert "git log" in caught.value.hint
    with pytest.raises(UnknownRevision):
        walk([str(repo)], base=revision or " ")
    assert not (repo / "x").exists()


def test_outside_a_repository_it_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotARepository, match="is not in a git repository"):
        walk([str(tmp_path)], revision="HEAD")


def test_no_change_is_said(repo: Path) -> None:
    with pytest.raises(InputError, match="nothing changed since 'HEAD'"):
        walk([str(repo)], base="HEAD")


def test_no_program_of_the_repository_is_run(repo: Path, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    for key in ("filter.x.clean", "filter.x.process", "diff.x.textconv", "diff.x.command"):
        git(repo, "config", key, f"touch {ran}; cat")
    git(repo, "config", "diff.external", f"touch {ran}")
    git(repo, "config", "core.fsmonitor", f"touch {ran}")
    (repo / ".gitattributes").write_text("* filter=x diff=x\n")
    (repo / "latin.txt").write_text("changed\n")
    os.utime(repo / "a.py")
    assert "latin.txt (changes since v1)" in texts(walk([str(repo)], base="v1"))
    assert texts(walk([str(repo)], revision="v1"))
    assert not ran.exists()
