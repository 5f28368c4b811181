"""Kills `longctx models pull` between its system calls, in processes of their own.

    python -P tests/runtime/killed_pulls.py WHAT.json OUT.json

WHAT.json says what is pulled: `root`, `name`, the hub's `endpoint`, and the fields of an `entry` of
the catalog with the folder of its `wheels`, which are copied where pip would download them. After
each kill the next pull must complete with the right bytes; what was wrong is written down.
"""

import io
import json
import os
import shutil
import signal
import sys
from collections import Counter
from pathlib import Path

CALLS = ("fsync", "link", "rename", "replace", "unlink", "write")

# Of each call about so many are struck, all along the pull: of thousands of writes the last, too.
STRUCK = 12


class Written:
    """A file whose writes are told of."""

    def __init__(self, file, strike):
        self._file, self._strike = file, strike

    def __getattr__(self, name):
        return getattr(self._file, name)

    def __enter__(self):
        self._file.__enter__()
        return self

    def __exit__(self, *error):
        return self._file.__exit__(*error)

    def write(self, content):
        return self._strike("write", lambda: self._file.write(content))


def stand_between(strike):
    """Have `strike` get the name of each call that changes a file, and the call itself."""
    import builtins

    for name in CALLS[:-1]:
        real = getattr(os, name)
        # found by a default: the loop goes on
        between = lambda *args, _name=name, _real=real, **more: strike(  # noqa: E731
            _name, lambda: _real(*args, **more)
        )
        setattr(os, name, between)
    real_open = io.open

    def opened(file, mode="r", *args, **more):
        found = real_open(file, mode, *args, **more)
        return found if mode in ("r", "rb") else Written(found, strike)

    io.open = builtins.open = opened


def in_a_child(action):
    """Returns whether a process that does it was killed."""
    child = os.fork()
    if not child:
        code = 1
        try:
            action()
            code = 0
        except Exception as error:
            print(repr(error), file=sys.stderr)
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return True
    assert os.WEXITSTATUS(status) == 0, "the pull itself failed"
    return False


def main(what, out):
    # imported before the forks, and nothing else done: no thread and no connection is inherited
    import gguf.quants  # noqa: F401
    import huggingface_hub  # noqa: F401

    from longctx.runtime import catalog, wheels
    from longctx.runtime.catalog import Entry
    from longctx.runtime.pull import pull
    from longctx.runtime.store import installed, verify

    root, name, counting = Path(what["root"]), what["name"], Path(what["root"] + "-counts")
    if what["entry"]:
        catalog.ENTRIES = (Entry(**what["entry"]),)

        def download(directory, requirement):
            wheel = f"{requirement.replace('-', '_').replace('==', '-')}-py3-none-any.whl"
            return Path(shutil.copy(Path(what["wheels"]) / wheel, directory))

        wheels._download = download

    def tell(phase, done, total):
        pass

    def pull_it(strike=None):
        if strike:
            stand_between(strike)
        pull(root, name, progress=tell, endpoint=what["endpoint"])

    def found():
        (files,) = installed(root)
        assert verify(root, name, progress=tell) == ()
        return {path.name: path.read_bytes() for path in files.directory.iterdir()}

    calls = []

    def note(call_name, call):
        calls.append(call_name)
        return call()

    def noted():
        pull_it(note)
        os.write(os.open(counting, os.O_WRONLY | os.O_CREAT), json.dumps(calls).encode())

    in_a_child(noted)
    expected = found()
    calls = json.loads(counting.read_text())
    struck = []
    for call_name in CALLS:
        each = [at for at, called in enumerate(calls) if called == call_name]
        struck += each[:: -max(1, len(each) // STRUCK)]
    killed, wrong = Counter(), []
    # before a call is after the one before it
    for at in struck:
        left = [at]

        def strike(call_name, call, left=left):
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return call()

        shutil.rmtree(root)
        killed[calls[at]] += in_a_child(lambda strike=strike: pull_it(strike))
        case = f"before {calls[at]}, call {at}"
        if installed(root) and found() != expected:
            wrong.append(f"{case}: half a model is installed")
        in_a_child(pull_it)
        if found() != expected:
            wrong.append(f"{case}: the next pull came to other bytes")
        models = [path.name for path in (root / "models").iterdir()]
        left_over = [one for one in models if not one.startswith((".lock", ".seen"))]
        if len(left_over) != 1 or list((root / "downloads").iterdir()):
            wrong.append(f"{case}: something was left behind")
    out.write_text(json.dumps({"killed": killed, "wrong": wrong}))


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))
