"""Pulling from a server on this machine that answers as the hub does."""

import hashlib
import json
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from longctx.runtime import catalog
from longctx.runtime.catalog import Entry
from longctx.runtime.errors import ModelError
from longctx.runtime.hub import HubError, look_up
from longctx.runtime.pull import pull
from longctx.runtime.store import installed, show, verify

COMMIT = "c" * 40


def quiet(phase, done, total):
    pass


def git_sha1(content):
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class Hub:
    """A hub with one repository; it notes what it was asked for, and can break off once."""

    def __init__(self):
        self.files, self.lies, self.asked, self.break_at = {}, {}, [], None
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                hub.answer(self, with_body=True)

            def do_HEAD(self):
                hub.answer(self, with_body=False)

            def log_message(self, *parts):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"
        Thread(target=self.server.serve_forever, daemon=True).start()

    def listing(self):
        siblings = []
        for name, content in self.files.items():
            sibling = {"rfilename": name, "size": len(content), "blobId": git_sha1(content)}
            if not name.endswith((".json", ".txt")):
                digest = self.lies.get(name) or hashlib.sha256(content).hexdigest()
                lfs = {"sha256": digest, "size": len(content), "pointerSize": 1}
                sibling["lfs"] = lfs
            siblings.append(sibling)
        return {
            "id": "Maker/model",
            "modelId": "Maker/model",
            "sha": COMMIT,
            "siblings": siblings,
            "cardData": {"license": "mit"},
            "tags": [],
            "downloads": 0,
            "private": False,
        }

    def answer(self, request, *, with_body):
        path = request.path.split("?")[0]
        if path == "/api/models/Maker/model":
            self.send(request, 200, json.dumps(self.listing()).encode(), {}, with_body)
            return
        name = path.removeprefix(f"/Maker/model/resolve/{COMMIT}/")
        content = self.files.get(name)
        if content is None:
            self.send(request, 404, b"", {"X-Error-Code": "RepoNotFound"}, with_body)
            return
        start = 0
        wanted = re.match(r"bytes=(\d+)-", request.headers.get("Range") or "")
        if wanted:
            start = int(wanted[1])
        if with_body:
            self.asked.append((name, start))
        headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{hashlib.sha256(content).hexdigest()}"'}
        if wanted:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self.send(request, 206 if wanted else 200, content[start:], headers, with_body)

    def send(self, request, status, body, headers, with_body):
        request.send_response(status)
        for key, value in {"Content-Length": str(len(body)), **headers}.items():
            request.send_header(key, value)
        request.end_headers()
        if not with_body:
            return
        if self.break_at is not None and len(body) > self.break_at:
            body, self.break_at = body[: self.break_at], None
            request.close_connection = True
        request.wfile.write(body)


@pytest.fixture
def hub():
    hub = Hub()
    yield hub
    hub.server.shutdown()
    hub.server.server_close()


@pytest.fixture
def model(hub, tiny_model_dir):
    """The hub's repository holds a model, and much that must not be fetched."""
    directory = tiny_model_dir("qwen2")
    hub.files = {path.name: path.read_bytes() for path in sorted(directory.iterdir())}
    hub.files |= {
        "pytorch_model.bin": b"\x80\x04N.",
        "training_args.pt": b"\x80\x04N.",
        "consolidated.safetensors": b"again",
        "onnx/model.json": b"{}",
        "README.md": b"# A model",
    }
    return directory


def test_repository_is_installed(tmp_path, hub, model):
    files = pull(tmp_path, "Maker/model", progress=quiet, endpoint=hub.endpoint)
    assert files.name == "Maker/model"
    for path in model.iterdir():
        assert (files.directory / path.name).read_bytes() == path.read_bytes()
    assert {path.name for path in files.directory.iterdir()} == {
        "source.json",
        *(path.name for path in model.iterdir()),
    }
    assert {name for name, _ in hub.asked} == {path.name for path in model.iterdir()}
    assert verify(tmp_path, "Maker/model", progress=quiet) == ()
    source = show(tmp_path, "Maker/model", progress=quiet).source
    assert source["origin"] == f"huggingface.co/Maker/model at {COMMIT}"
    assert source["licence"] == "mit"
    weights = hashlib.sha256((model / "model.safetensors").read_bytes()).hexdigest()
    assert source["files"]["model.safetensors"]["sha256"] == weights
    assert list((tmp_path / "downloads").iterdir()) == []


def test_broken_connection_is_taken_up_where_it_broke(tmp_path, hub, model, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 4096)
    hub.break_at = 20_000
    pull(tmp_path, "Maker/model", progress=quiet, endpoint=hub.endpoint)
    starts = [start for name, start in hub.asked if start]
    assert starts and all(0 < start <= 20_000 for start in starts)
    assert verify(tmp_path, "Maker/model", progress=quiet) == ()


def test_finished_files_are_not_fetched_again(tmp_path, hub, model):
    weights = hub.files.pop("tokenizer.json")
    listing = hub.listing
    hub.files["tokenizer.json"] = weights
    full = listing()
    del hub.files["tokenizer.json"]
    hub.listing = lambda: full
    with pytest.raises(HubError):
        pull(tmp_path, "Maker/model", progress=quiet, endpoint=hub.endpoint)
    assert installed(tmp_path) == ()
    before = {name for name, _ in hub.asked}
    assert "model.safetensors" in before
    hub.asked.clear()
    hub.files["tokenizer.json"] = weights
    pull(tmp_path, "Maker/model", progress=quiet, endpoint=hub.endpoint)
    assert {name for name, _ in hub.asked} == {"tokenizer.json"}


def test_pull_killed_at_any_call_is_completed_by_the_next(hub, model, killed_pulls):
    killed, wrong = killed_pulls("Maker/model", endpoint=hub.endpoint)
    assert wrong == []
    assert killed["link"] == len(list(model.iterdir())) < killed["rename"]
    assert killed["fsync"] > 5 and killed["write"] > 10


def test_bytes_that_are_not_those_of_the_hash_are_refused(tmp_path, hub, model):
    hub.lies["model.safetensors"] = "0" * 64
    with pytest.raises(HubError, match=r"model\.safetensors: the hash is"):
        pull(tmp_path, "Maker/model", progress=quiet, endpoint=hub.endpoint)
    assert installed(tmp_path) == ()
    hub.lies.clear()
    assert pull(tmp_path, "Maker/model", progress=quiet, endpoint=hub.endpoint).name


def test_repository_of_pickles_is_refused(tmp_path, hub):
    hub.files = {"config.json": b"{}", "pytorch_model.bin": b"\x80\x04N."}
    with pytest.raises(ModelError, match=r"holds no config\.json with \*\.safetensors"):
        pull(tmp_path, "Maker/model", progress=quiet, endpoint=hub.endpoint)
    assert hub.asked == []


def test_one_gguf_file_comes_from_the_hub_first(
    tmp_path, hub, monkeypatch, tiny_model_dir, write_gguf
):
    content = write_gguf(tmp_path / "tiny.gguf", tiny_model_dir("qwen2")).read_bytes()
    hub.files = {"renamed.gguf": content, "other.gguf": b"other"}
    entry = Entry(
        name="tiny",
        num_bytes=len(content),
        installed_bytes=3 * len(content),
        licence="MIT",
        native_window=64,
        description="",
        repository="Maker/model",
        filename="tiny.gguf",
        sha256=hashlib.sha256(content).hexdigest(),
    )
    monkeypatch.setattr(catalog, "ENTRIES", (entry,))
    files = pull(tmp_path / "store", "tiny", progress=quiet, endpoint=hub.endpoint)
    assert (files.directory / "model.safetensors").is_file()
    assert [name for name, _ in hub.asked] == ["renamed.gguf"]
    source = show(tmp_path / "store", "tiny", progress=quiet).source
    assert source["gguf_sha256"] == entry.sha256


def test_hub_with_another_file_is_not_believed(tmp_path, hub, monkeypatch):
    hub.files = {"tiny.gguf": b"other"}
    wanted = Entry("tiny", 5, 5, "MIT", 64, "", "Maker/model", "tiny.gguf", "0" * 64)
    monkeypatch.setattr(catalog, "ENTRIES", (wanted,))
    with pytest.raises(ModelError, match="no file has the sha256 0000"):
        pull(tmp_path, "tiny", progress=quiet, endpoint=hub.endpoint)
    assert hub.asked == []


def test_absent_hub_is_named(tmp_path):
    with pytest.raises(HubError, match="^Maker/model: ") as caught:
        pull(tmp_path, "Maker/model", progress=quiet, endpoint="http://127.0.0.1:9")
    assert "is huggingface.co reachable?" in caught.value.hint


def test_absent_repository_is_named(hub):
    with pytest.raises(HubError, match="^Maker/absent: "):
        look_up("Maker/absent", endpoint=hub.endpoint)
