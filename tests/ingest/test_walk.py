import os
import shutil
import subprocess
from pathlib import Path

import pytest

from longctx.ingest.document import Skipped
from longctx.ingest.errors import InputError
from longctx.ingest.walk import walk

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def put(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def git(root: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main")
    subprocess.run(("git", *identity, "-C", root, *arguments), check=True, capture_output=True)


def names(*paths: str | Path, **options: tuple[str, ...]) -> list[str]:
    return [source.name for source in walk([str(path) for path in paths], **options).sources]


TREE = {
    ".gitignore": "*.log\n!keep.log\n/only_root.txt\nbuild/\nfoo/*\n!foo/keep/\n",
    ".github/ci.yml": "on: push\n",
    "a.py": "1\n",
    "a.log": "no\n",
    "keep.log": "yes\n",
    "only_root.txt": "no\n",
    "sub/only_root.txt": "yes\n",
    "sub/.gitignore": "*.tmp\n!b.log\n",
    "sub/x.tmp": "no\n",
    "sub/b.log": "yes\n",
    "other.tmp": "yes\n",
    "build/out.o": "no\n",
    "foo/dropped.txt": "no\n",
    "foo/keep/kept.txt": "yes\n",
}
KEPT = sorted(name for name, text in TREE.items() if text != "no\n")


def test_outside_a_work_tree_gitignore_rules_hold_with_nesting_anchors_and_negation(
    tmp_path: Path,
) -> None:
    put(tmp_path, TREE)
    assert names(tmp_path) == KEPT


@needs_git
def test_in_a_work_tree_the_result_is_gits_own(tmp_path: Path) -> None:
    put(tmp_path, TREE)
    git(tmp_path, "init")
    assert names(tmp_path) == KEPT


@needs_git
def test_a_tracked_file_is_in_though_ignored_and_a_deleted_one_is_out(tmp_path: Path) -> None:
    put(tmp_path, {**TREE, "gone.py": "x\n"})
    git(tmp_path, "init")
    git(tmp_path, "add", "-f", "a.log", "gone.py")
    git(tmp_path, "commit", "-m", "x")
    (tmp_path / "gone.py").unlink()
    assert names(tmp_path) == sorted([*KEPT, "a.log"])


@needs_git
def test_a_subdirectory_of_a_work_tree_an_ignored_one_and_a_nested_one(tmp_path: Path) -> None:
    put(tmp_path, {**TREE, "nested/n.py": "x\n", "nested/n.log": "no\n"})
    git(tmp_path, "init")
    git(tmp_path / "nested", "init")
    put(tmp_path, {"nested/.gitignore": "n.log\n"})
    assert names(tmp_path / "sub") == [".gitignore", "b.log", "only_root.txt"]
    assert names(tmp_path / "build") == ["out.o"]
    assert [name for name in names(tmp_path) if "nested" in name] == [
        "nested/.gitignore",
        "nested/n.py",
    ]


@needs_git
def test_a_work_trees_own_configuration_runs_no_program(tmp_path: Path) -> None:
    put(tmp_path, {"a.py": "1\n", "evil.sh": '#!/bin/sh\ntouch "$(dirname $0)/ran"\n'})
    git(tmp_path, "init")
    os.chmod(tmp_path / "evil.sh", 0o755)
    git(tmp_path, "config", "core.fsmonitor", str(tmp_path / "evil.sh"))
    assert names(tmp_path) == ["a.py", "evil.sh"]
    assert not (tmp_path / "ran").exists()


def test_links_pipes_and_sockets_are_skipped_with_the_reason(tmp_path: Path) -> None:
    root = tmp_path / "root"
    put(root, {"a.txt": "a\n", "deep/b.txt": "b\n"})
    put(tmp_path, {"secret/s.txt": "s\n"})
    os.mkfifo(root / "pipe")
    (root / "dangling").symlink_to("nowhere")
    (root / "inside").symlink_to("a.txt")
    (root / "loop").symlink_to(".")
    (root / "outside").symlink_to(tmp_path / "secret" / "s.txt")
    (root / "outside_dir").symlink_to(tmp_path / "secret")
    walked = walk([str(root)])
    assert [source.name for source in walked.sources] == ["a.txt", "deep/b.txt"]
    assert set(walked.skipped) == {
        Skipped("dangling", "a dangling symbolic link"),
        Skipped("inside", "a symbolic link to a.txt"),
        Skipped("loop", "a symbolic link to ."),
        Skipped("outside", "a symbolic link that leaves the directory"),
        Skipped("outside_dir", "a symbolic link that leaves the directory"),
        Skipped("pipe", "a named pipe, not a regular file"),
    }


@needs_git
def test_a_tracked_path_behind_a_link_that_leaves_the_tree_is_not_read(tmp_path: Path) -> None:
    root = tmp_path / "root"
    put(root, {"dir/s.txt": "tracked\n", "a.txt": "a\n"})
    put(tmp_path, {"secret/s.txt": "secret\n"})
    git(root, "init")
    git(root, "add", ".")
    shutil.rmtree(root / "dir")
    (root / "dir").symlink_to(tmp_path / "secret")
    assert names(root) == ["a.txt"]


def test_a_name_that_is_not_utf8_survives_and_is_shown_escaped(tmp_path: Path) -> None:
    raw = os.fsencode(tmp_path) + b"/caf\xe9\n.txt"
    try:
        with open(raw, "wb") as file:
            file.write(b"x\n")
    except OSError:
        pytest.skip("this file system takes only UTF-8 names")
    (source,) = walk([str(tmp_path)]).sources
    assert source.name == "caf\\xe9\\x0a.txt"
    assert source.path is not None and source.path.read_bytes() == b"x\n"


def test_several_arguments_keep_their_order_and_their_names_stay_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, {"one/a.py": "1\n", "two/a.py": "2\n", "b.txt": "b\n"})
    monkeypatch.chdir(tmp_path)
    assert names("two", "b.txt", "./one") == ["two/a.py", "b.txt", "one/a.py"]
    assert names("one/a.py", "one") == ["one/a.py"]
    assert names(tmp_path / "one" / "a.py", tmp_path / "two") == ["a.py", "two/a.py"]
    assert len(set(names(tmp_path / "one" / "a.py", tmp_path / "two" / "a.py"))) == 2
    assert names("b.txt") == ["b.txt"]


def test_a_glob_that_the_shell_left_alone_is_expanded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, {"d/b.txt": "b\n", "d/a.txt": "a\n", "d/c.md": "c\n", "[x].txt": "x\n"})
    monkeypatch.chdir(tmp_path)
    assert names("d/*.txt") == ["d/a.txt", "d/b.txt"]
    assert names("**/*.md") == ["d/c.md"]
    assert names("[x].txt") == ["[x].txt"]
    with pytest.raises(InputError, match=r"no file matches 'd/\*\.rst'"):
        walk(["d/*.rst"])


def test_a_missing_path_names_itself_and_the_nearest_name(tmp_path: Path) -> None:
    put(tmp_path, {"report.txt": "x\n"})
    with pytest.raises(InputError, match="reprot.txt' does not exist") as caught:
        walk([str(tmp_path / "reprot.txt")])
    assert caught.value.hint == f"did you mean {tmp_path / 'report.txt'}?"


def test_stdin_is_the_bytes_handed_in() -> None:
    (source,) = walk(["-"], stdin=b"data").sources
    assert (source.name, source.data) == ("stdin", b"data")
    with pytest.raises(InputError, match="nothing is piped in"):
        walk(["-"])


def test_include_and_exclude_are_gitignore_patterns(tmp_path: Path) -> None:
    put(tmp_path, {"a.py": "1\n", "a.md": "1\n", "vendor/b.py": "1\n"})
    assert names(tmp_path, include=("*.py",)) == ["a.py", "vendor/b.py"]
    assert names(tmp_path, exclude=("vendor/", "*.md")) == ["a.py"]


def test_a_deep_tree_is_walked_to_its_end(tmp_path: Path) -> None:
    deep = "/".join(["d"] * 200)
    put(tmp_path, {f"{deep}/x.txt": "x\n"})
    assert names(tmp_path) == [f"{deep}/x.txt"]
