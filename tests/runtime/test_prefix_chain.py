import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from longctx.runtime.prefix_chain import NODE, chain, code_digest, node_name, root_name

ROOT = Path(__file__).parents[2]


def ids_of(count, seed=0):
    return np.random.default_rng(seed).integers(0, 10**5, count, dtype=np.int32)


@pytest.mark.parametrize("num_tokens", [0, 1, NODE - 1, NODE, NODE + 1, 3 * NODE, 3 * NODE + 5])
@pytest.mark.parametrize("tail", [True, False])
def test_a_chain_covers_the_prefix_without_gaps(num_tokens, tail):
    root = root_name("model", "settings")
    links = chain(root, ids_of(num_tokens), tail=tail)
    ends = [0, *(link.end for link in links)]
    assert [link.start for link in links] == ends[:-1]
    assert ends[-1] == (num_tokens if tail else num_tokens - num_tokens % NODE)
    assert [link.parent for link in links] == [root, *(link.name for link in links)][: len(links)]


@pytest.mark.parametrize("changed", [0, NODE - 1, NODE, 2 * NODE + 100])
def test_a_changed_token_changes_the_names_from_there_on(changed):
    ids = ids_of(3 * NODE)
    other = ids.copy()
    other[changed] += 1
    names, others = ([link.name for link in chain("00", each, tail=True)] for each in (ids, other))
    same = [one == two for one, two in zip(names, others, strict=True)]
    assert same == [end <= changed for end in (NODE, 2 * NODE, 3 * NODE)]


def test_what_follows_changes_no_whole_node():
    ids = ids_of(5 * NODE + 17)
    longer = chain("00", ids, tail=True)
    shorter = chain("00", ids[: 2 * NODE + 9], tail=False)
    assert shorter == longer[:2]


def test_names_keep_models_settings_and_beginnings_apart():
    roots = {root_name("a", "b"), root_name("ab", ""), root_name("a", "c"), root_name("b", "a")}
    ids = ids_of(10)
    assert len({node_name(root, ids) for root in roots}) == 4
    assert node_name("00", ids[:5]) != node_name("00", ids)


@pytest.fixture
def code(tmp_path):
    """A copy of the folders that compute keys and values."""
    for folder in ("kernels", "runtime"):
        (tmp_path / folder).mkdir()
        for file in (ROOT / folder).glob("*.py"):
            shutil.copy(file, tmp_path / folder)
    return tmp_path


def digest_of(code):
    code_digest.cache_clear()
    return code_digest(code)


def test_the_same_code_elsewhere_is_the_same_chain(code):
    assert digest_of(code) == code_digest()


@pytest.mark.parametrize(
    "changed", ["kernels/rope.py", "kernels/new.py", "runtime/decoder.py", "runtime/micro_batch.py"]
)
def test_other_code_is_another_chain(code, changed):
    with (code / changed).open("a") as file:
        file.write("# changed\n")
    assert digest_of(code) != code_digest()


def test_code_that_computes_no_keys_changes_no_chain(code):
    (code / "runtime/catalog.py").write_text("")
    assert digest_of(code) == code_digest()


def test_what_an_uninstalled_copy_leaves_is_not_taken_for_the_code(tmp_path):
    """Compiled loops stay behind in site-packages, a folder that import takes for the package."""
    (tmp_path / "longctx/kernels/__pycache__").mkdir(parents=True)
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from longctx.runtime.prefix_chain import code_digest; print(code_digest())"
    )
    command = [sys.executable, "-P", "-c", script, str(tmp_path)]
    assert subprocess.check_output(command, text=True).strip() == code_digest()
