import json
import re

import pytest

from longctx.kernels.flash import has_flash

needs_flash = pytest.mark.skipif(
    not has_flash(), reason="this processor has no 8-bit keys and values"
)

ARGV = ("--max-tokens", "4", "--threads", "1")


@pytest.fixture
def wide(tiny, tiny_model_dir):
    """A tiny model whose keys and values can be in 8 bits, and the same text."""
    return str(tiny_model_dir("qwen2", head_dim=64))


@pytest.fixture
def tiny(tiny_model_dir, tmp_path, monkeypatch):
    """A tiny model, and a text of more than one node."""
    import torch

    monkeypatch.setattr("longctx.prompts.ask.EVIDENCE_TOKENS", 8)
    (tmp_path / "work" / "a.txt").write_text("The fox came down at dusk.\n" * 60)
    (tmp_path / "work" / "b.txt").write_text("An owl.\n")
    num_threads = torch.get_num_threads()
    yield str(tiny_model_dir("qwen2"))
    torch.set_num_threads(num_threads)


def ask(run, tiny, *argv, source="a.txt"):
    code, out, err = run(
        "ask", source, "-q", "Who came?", "--model", tiny, *ARGV, "--format", "json", *argv
    )
    assert code == 0, err
    return json.loads(out), err


def prefixes(run):
    return json.loads(run("cache", "ls", "--format", "json").out)["prefixes"]


def test_the_second_run_reads_only_its_question_and_says_the_same(run, tiny):
    first, err = ask(run, tiny)
    assert "were read before" not in err
    second, err = ask(run, tiny)
    assert re.search(r"1,\d\d\d of 1,\d\d\d tokens were read before\n", err)
    assert second["text"] == first["text"]
    assert second["usage"]["tokens_read"] < 0.3 * first["usage"]["tokens_read"]


def test_no_cache_neither_reads_nor_writes(run, tiny, home, monkeypatch):
    uncached, _ = ask(run, tiny, "--no-cache")
    assert not (home / "prefixes").exists()
    ask(run, tiny)
    again, _ = ask(run, tiny, "--no-cache")
    assert again["usage"]["tokens_read"] == uncached["usage"]["tokens_read"]
    monkeypatch.setenv("LONGCTX_CACHE_BYTES", "0")
    again, _ = ask(run, tiny)
    assert again["usage"]["tokens_read"] == uncached["usage"]["tokens_read"]


def test_plan_says_what_is_read_already(run, tiny):
    before = run("plan", "a.txt", "--model", tiny)
    assert "are read" not in before.out
    ask(run, tiny)
    assert re.search(
        r"reading .* \(1,\d\d\d tokens are read\)\n", run("plan", "a.txt", "--model", tiny).out
    )
    assert json.loads(run("plan", "a.txt", "--model", tiny, "--format", "json").out)["already_read"]
    # the default is float32 or multiplies in bytes, whatever the processor
    other = run("plan", "a.txt", "--model", tiny, "--numerics", "bfloat16", "--format", "json")
    assert json.loads(other.out)["already_read"] == 0
    assert "are read" not in run("plan", "a.txt", "--model", tiny, "--no-cache").out


def test_ls_and_show_tell_what_is_kept(run, tiny, home):
    ask(run, tiny)
    ask(run, tiny, source="b.txt")
    code, out, err = run("cache", "ls")
    assert (code, err) == (0, "")
    newest, older, total = out.splitlines()
    assert newest.endswith("ask b.txt")
    assert re.fullmatch(
        r"[0-9a-f]{8}  1,\d{3} tokens  \d MB  saves \d+ s  used \d+ s ago  \S+  ask a.txt", older
    )
    assert total.startswith("1 MB of at most ")
    assert total.endswith(f" in {home}/prefixes")
    name = older.split()[0]
    shown = run("cache", "show", name).out
    assert f"name           {name}" in shown
    assert "label          ask a.txt\n" in shown
    assert json.loads(run("cache", "show", name, "--format", "json").out)["num_tokens"] > 1_024


@needs_flash
def test_shrink_makes_what_kv8_finds_and_says_so(run, wide, home):
    first, _ = ask(run, wide, "--numerics", "bfloat16")
    (name,) = (item["name"] for item in prefixes(run))
    code, out, err = run("cache", "shrink", name[:8])
    assert code == 0
    assert re.fullmatch(
        name[:8] + r"  1,\d{3} tokens in 2 nodes: \d MB in bfloat16, \d MB in 8 bits\n", out
    )
    assert "freed" not in err
    assert run("cache", "shrink", name[:8]).out == f"{name[:8]}  is in 8 bits already\n"
    found, err = ask(run, wide, "--numerics", "bfloat16", "--kv8")
    assert re.search(r"1,\d{3} of 1,\d{3} tokens were read before\n", err)
    assert re.search(r"1,\d{3} tokens of the prompt were read in bfloat16 and brought to 8 b", err)
    assert found["usage"]["tokens_read"] < 0.3 * first["usage"]["tokens_read"]
    newest, older = run("cache", "ls").out.splitlines()[:2]
    assert re.search(r"  ask a\.txt  1,\d{3} tokens brought to 8 bits$", newest)
    assert older.endswith("ask a.txt") and older.startswith(name[:8])
    shown = json.loads(run("cache", "show", newest.split()[0], "--format", "json").out)
    assert (shown["made_of"], shown["num_converted"]) == (name, shown["num_tokens"])
    assert f"made_of        {name}\n" in run("cache", "show", newest.split()[0]).out
    assert json.loads(run("cache", "show", name, "--format", "json").out)["made_of"] == ""
    # the originals go only when asked to, and an interrupted run is gone on with by the same name
    code, out, err = run("cache", "shrink", name, "--replace")
    assert (code, out) == (0, f"{name[:8]}  is in 8 bits already\n")
    assert re.search(r"\d MB freed\n$", err)
    assert [item["made_of"] for item in prefixes(run)] == [name]
    assert run("cache", "shrink", name, "--replace") == (
        0,
        f"{shown['name'][:8]}  is in 8 bits already\n",
        "0 MB freed\n",
    )
    assert run("cache", "verify", "--quiet").out == ""


@needs_flash
def test_shrink_by_model_skips_what_cannot_be(run, wide, home):
    ask(run, wide, "--numerics", "bfloat16")
    ask(run, wide, "--numerics", "float32")
    in_32, in_16 = (item["name"][:8] for item in prefixes(run))
    assert run("cache", "shrink", "--model", "other") == (0, "", "")
    code, out, _ = run("cache", "shrink", "--model", wide, "--replace", "--quiet")
    assert code == 0
    first, second = sorted(out.splitlines(), key=lambda line: "skipped" in line)
    assert first.startswith(f"{in_16}  1,")
    assert second == f"{in_32}  skipped: it was read in float32, expected bfloat16"
    assert {item["num_converted"] > 0 for item in prefixes(run)} == {True, False}


@needs_flash
def test_shrink_names_a_full_disk(run, wide, home, monkeypatch):
    ask(run, wide, "--numerics", "bfloat16")
    (name,) = (item["name"] for item in prefixes(run))

    def full(source, target):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("longctx.runtime.prefix_node.os.link", full)
        code, out, err = run("cache", "shrink", name)
    assert (code, out) == (5, "")
    assert err.endswith(
        f"longctx: {home}/prefixes: the disk is full\n"
        "  free some space, or set LONGCTX_HOME to a directory on a larger disk\n"
    )
    assert len(prefixes(run)) == 1


def test_shrink_needs_a_name(run):
    assert run("cache", "shrink").code == 2
    code, out, err = run("cache", "shrink", "ffffffff")
    assert (code, out) == (2, "")
    assert err == "longctx: there is no prefix 'ffffffff'\n  the names: longctx cache ls\n"


def test_rm_removes_by_name_model_or_all(run, tiny):
    for source in ("a.txt", "b.txt"):
        ask(run, tiny, source=source)
    newest = prefixes(run)[0]
    assert run("cache", "rm", newest["name"][:8]) == (0, "", "0 MB freed\n")
    assert [item["label"] for item in prefixes(run)] == ["ask a.txt"]
    assert run("cache", "rm", "--model", "other").code == 0
    assert len(prefixes(run)) == 1
    assert "MB freed" in run("cache", "rm", "--all").err
    assert prefixes(run) == []
    assert run("cache", "rm").code == 2
    code, out, err = run("cache", "rm", "ffffffff")
    assert (code, out) == (2, "")
    assert err == "longctx: there is no prefix 'ffffffff'\n  the names: longctx cache ls\n"


def test_verify_names_what_is_damaged_and_removes_it(run, tiny, home):
    first, _ = ask(run, tiny)
    assert run("cache", "verify", "--quiet") == (0, "", "")
    assert run("cache", "verify").err.endswith("all of it is sound\n")
    path = max((home / "prefixes").iterdir(), key=lambda path: path.stat().st_size)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    code, out, err = run("cache", "verify")
    assert code == 0
    assert str(path) in out
    assert err.endswith("1 node was not sound and removed\n")
    assert ask(run, tiny)[0]["text"] == first["text"]


def test_gc_removes_what_a_killed_run_left(run, tiny, home):
    ask(run, tiny)
    (home / "prefixes" / ".draft-x").write_bytes(b"0" * 2_000_000)
    assert run("cache", "gc").err == "2 MB freed\n"
    assert not list((home / "prefixes").glob(".draft-*"))
    assert len(prefixes(run)) == 1


def test_a_limit_is_kept(run, tiny, home, monkeypatch):
    ask(run, tiny, "--numerics", "float32")
    monkeypatch.setenv("LONGCTX_CACHE_BYTES", "400000")
    _, err = ask(run, tiny, "--numerics", "bfloat16")
    assert err.count("what is read from here on is not stored: the limit of 0.0 GB") == 1
    assert sum(path.stat().st_size for path in (home / "prefixes").iterdir()) <= 400_000


def test_an_empty_cache_is_shown_as_one(run, home):
    code, out, err = run("cache", "ls")
    assert (code, err) == (0, "")
    assert out.startswith("0 MB of at most ")
    assert run("cache", "gc") == (0, "", "0 MB freed\n")
    assert not home.exists()


def test_what_is_written_is_clean(run, tiny, tmp_path):
    (tmp_path / "work" / "a\x1b[2Jb.txt").write_text("The fox.\n")
    ask(run, tiny, source="a\x1b[2Jb.txt")
    assert "\x1b" not in run("cache", "ls").out + run("cache", "ls", "--format", "json").out


def test_a_stopped_run_waits_until_what_it_read_is_kept(run, model, tmp_path):
    (tmp_path / "work" / "law.txt").write_text("The court sits in Ulm.\n")

    def say(question):
        raise KeyboardInterrupt

    model.say = say
    assert run("ask", "law.txt", "-q", "Where?").code == 130
    assert (model.num_loads, model.num_closed) == (1, 1)
