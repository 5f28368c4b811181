"""A conversation typed into a real terminal."""

import fcntl
import os
import pty
import select
import signal
import stat
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

CHILD = """
import importlib.util, sys, time
from pathlib import Path
spec = importlib.util.spec_from_file_location("conftest", sys.argv[1])
conftest = importlib.util.module_from_spec(spec)
sys.modules["conftest"] = conftest
spec.loader.exec_module(conftest)
import longctx.cli.run
from longctx.cli.main import main
from longctx.cli.options import ModelOptions

class Endless(conftest.ScriptedModel):
    def generate(self, request):
        asked = "".join(map(chr, request.token_ids)).split("\\0")[1].split("\\2")[-1]
        if "Copy from" in asked:
            words = '"The court sits in Ulm every day."'
        elif "forever" in asked:
            words = "".join(f"word{number} " for number in range(100000))
        else:
            words = f"In Ulm\\x1b[2J, asked {asked.count(chr(10) + 'please')} times."
        for word in words:
            time.sleep(0.001 if "forever" in asked else 0)
            yield ord(word)

model = Endless("scripted", Path("."), 32768, ModelOptions())
longctx.cli.run.open_model = lambda *given: model
sys.exit(main(sys.argv[2:]))
"""


class Typist:
    """A process at a terminal, what it has shown, and keys for it."""

    def __init__(self, argv, work, environ):
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-P",
                "-c",
                CHILD,
                str(Path(__file__).with_name("conftest.py")),
                *argv,
            ],
            cwd=work,
            env=environ,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            # Ctrl-C goes to whom the terminal belongs
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(slave)
        self.shown = ""

    def press(self, keys):
        os.write(self.master, keys)

    def type(self, keys):
        """Presses keys at the next prompt: before it they would go to whatever runs."""
        self.until("\x1b[0m>")
        self.press(keys)

    def until(self, text):
        """What was shown up to `text`, which is taken out of what is still to be looked at."""
        deadline = time.monotonic() + 40
        while text not in self.shown:
            assert time.monotonic() < deadline, f"no {text!r} in {self.shown!r}"
            if select.select([self.master], [], [], 1)[0]:
                self.shown += os.read(self.master, 4096).decode(errors="replace")
        before, _, self.shown = self.shown.partition(text)
        return before

    def end(self):
        """The exit code, once the process is gone."""
        try:
            while os.read(self.master, 4096):
                pass
        except OSError:
            pass
        return self.process.wait()


@pytest.fixture
def typist(home, tmp_path):
    work = tmp_path / "work"
    (work / "law.txt").write_text("The court sits in Ulm every day.\nAn appeal is free.\n")
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\necho "edits $1 ${2##*/}"\n')
    editor.chmod(0o700)
    environ = {**os.environ, "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1", "EDITOR": str(editor)}
    typed = Typist(["chat", "law.txt", "--session", "s"], work, environ)
    yield typed
    if typed.process.poll() is None:
        typed.process.send_signal(signal.SIGKILL)
    typed.process.wait()
    os.close(typed.master)


def test_a_conversation_in_a_terminal(typist, home):
    typist.type(b"Tell me forever\r")
    typist.until("word7 ")
    typist.press(b"\x03")
    typist.until("stopped")
    typist.type(b"Where?\x1b\rplease\r")
    shown = typist.until('[1] law.txt:1: "The court sits in Ulm every day."')
    assert "In Ulm[2J, asked 1 times." in shown
    typist.type(b"/open 1\r")
    typist.until("edits +1 law.txt")
    typist.type(b"half a line\x03")
    typist.type(b"\x04")
    typist.until("goes on from here")
    assert typist.end() == 0
    history = home / "chats" / "history"
    assert stat.S_IMODE(history.stat().st_mode) == 0o600
    assert "+Tell me forever\n" in history.read_text()
