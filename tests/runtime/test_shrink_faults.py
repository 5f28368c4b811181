"""Kills `longctx cache shrink` before and after its system calls, in processes of their own.

As a program it makes a store of its own, and writes down what was wrong after each kill.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from longctx.kernels.flash import has_flash

CALLS = ("open", "write", "utime", "fsync", "link", "unlink")


@pytest.mark.skipif(not has_flash(), reason="this processor has no form of `flash`")
def test_a_kill_at_any_call_leaves_a_store_that_the_next_run_goes_on_with(
    biased_model_dir, tmp_path
):
    out = tmp_path / "out.json"
    done = subprocess.run(
        [sys.executable, "-P", __file__, biased_model_dir(), tmp_path / "home", out],
        capture_output=True,
        text=True,
        # a process that forks must have no threads of its own at work
        env=os.environ | {"OMP_NUM_THREADS": "1", "LONGCTX_HOME": str(tmp_path / "home")},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(out.read_text())
    assert found["wrong"] == []
    killed = found["killed"]
    # before and after: two nodes are made, each synced with its directory, and two originals go
    assert killed.pop("write") > 10
    assert killed == {"open": 8, "utime": 4, "fsync": 8, "link": 4, "unlink": 8}


def main(model: str, home: Path, out: Path) -> None:
    import torch

    from longctx.cli.main import main as longctx
    from longctx.runtime.loading import load_engine
    from longctx.runtime.prefix_store import PrefixStore

    sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))
    from store_runs import faulty

    store = PrefixStore(home / "prefixes", 10**9)
    with load_engine(Path(model), numerics="bfloat16", prefixes=store) as engine:
        ids = torch.randint(0, 500, (1_310,), generator=torch.Generator().manual_seed(0))
        next(engine.generate(ids.tolist(), max_tokens=1, question_start=1_300))
    (prefix,) = store.prefixes()
    kept = home / "kept"
    shutil.copytree(store.directory, kept)
    originals = read_all(kept)

    def run(fault=None, calls=CALLS):
        """Returns whether a process that shrinks the prefix was killed."""
        child = os.fork()
        if not child:
            code = 1
            try:
                with open(os.devnull, "w") as nowhere:
                    sys.stdout = sys.stderr = nowhere
                    command = ["cache", "shrink", prefix.facts.name, "--replace"]
                    if fault is None:
                        code = longctx(command)
                    else:
                        with faulty(calls, fault):
                            code = longctx(command)
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            return True
        assert os.WEXITSTATUS(status) == 0, "the run itself failed"
        return False

    def fresh():
        shutil.rmtree(store.directory)
        shutil.copytree(kept, store.directory)

    assert not run()
    expected = read_all(store.directory)
    assert len(expected) == len(originals) == 2 and not expected.keys() & originals.keys()
    counts, killed, wrong = Counter(), Counter(), []
    counting = home / "counts"

    def count(name, call, args):
        counts[name] += 1
        counting.write_text(json.dumps(counts))
        return call()

    fresh()
    run(count)
    counts = json.loads(counting.read_text())
    for name, number in counts.items():
        for at in range(0, number, 5 if name == "write" else 1):
            for before in (True, False):
                left = [at]

                def strike(_, call, args, left=left, before=before):
                    left[0] -= 1
                    if left[0] != -1:
                        return call()
                    if not before:
                        call()
                    os.kill(os.getpid(), signal.SIGKILL)

                fresh()
                killed[name] += run(strike, (name,))
                case = f"{name} {at} {'before' if before else 'after'}"
                found = read_all(store.directory)
                if any((originals | expected)[key] != content for key, content in found.items()):
                    wrong.append(f"{case}: other bytes")
                if not (originals.items() <= found.items() or expected.items() <= found.items()):
                    wrong.append(f"{case}: nodes were lost")
                if (store.directory.stat().st_mode | 0o700) & 0o077 or store.verify():
                    wrong.append(f"{case}: the store is not sound")
                # what was made is not made again
                made = {key: inode(store, key) for key in expected if key in found}
                run()
                if read_all(store.directory) != expected:
                    wrong.append(f"{case}: the next run did not go on")
                if made != {key: inode(store, key) for key in made}:
                    wrong.append(f"{case}: a node was made twice")
                store.sweep()
                if len(list(store.directory.iterdir())) != len(expected):
                    wrong.append(f"{case}: a draft stayed")
    out.write_text(json.dumps({"killed": killed, "wrong": wrong}))


def read_all(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.glob("*.kv")}


def inode(store, name: str) -> int:
    return (store.directory / name).stat().st_ino


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
