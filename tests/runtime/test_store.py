import json
import shutil

import pytest

from longctx.runtime.errors import ModelError
from longctx.runtime.install import install
from longctx.runtime.store import find_installed, installed, resolve, show, verify


def quiet(phase, done, total):
    pass


def put(root, name, content=b"weights"):
    def fill(target):
        (target / "config.json").write_text('{"model_type": "qwen2"}')
        (target / "model.safetensors").write_bytes(content)

    return install(root, name, {"origin": "here", "licence": "MIT"}, fill)


def test_installed_models_are_listed_and_found(tmp_path):
    assert installed(tmp_path) == ()
    files = put(tmp_path, "b-model"), put(tmp_path, "Maker/a-model")
    assert [model.name for model in installed(tmp_path)] == ["Maker/a-model", "b-model"]
    assert resolve(tmp_path, "b-model", progress=quiet) == files[0]
    assert resolve(tmp_path, "Maker/a-model", progress=quiet) == files[1]
    assert files[0].directory == tmp_path / "models" / "b-model"
    assert files[1].directory == tmp_path / "models" / "Maker--a-model"


def test_digest_goes_by_content(tmp_path):
    one, two = put(tmp_path / "1", "m"), put(tmp_path / "2", "m")
    other = put(tmp_path / "3", "m", b"other")
    assert one.digest == two.digest != other.digest


def test_directories_are_private(tmp_path):
    files = put(tmp_path / "deep" / "store", "m")
    for directory in (files.directory, *files.directory.parents):
        if directory == tmp_path:
            break
        assert directory.stat().st_mode & 0o777 == 0o700, directory


def test_show_tells_shape_size_and_origin(tmp_path):
    put(tmp_path, "m")
    facts = show(tmp_path, "m", progress=quiet)
    assert facts.config == {"model_type": "qwen2"}
    assert facts.source["origin"] == "here"
    assert facts.source["licence"] == "MIT"
    assert facts.num_bytes == sum(file.stat().st_size for file in facts.files.directory.iterdir())


def test_verify_names_what_changed(tmp_path):
    files = put(tmp_path, "m")
    heard = []
    assert verify(tmp_path, "m", progress=lambda *report: heard.append(report)) == ()
    assert heard[-1] == ("verify", 30, 30)
    (files.directory / "model.safetensors").write_bytes(b"weightz")
    (problem,) = verify(tmp_path, "m", progress=quiet)
    assert "model.safetensors: sha256 is" in problem
    (files.directory / "model.safetensors").unlink()
    (problem,) = verify(tmp_path, "m", progress=quiet)
    assert problem.endswith("model.safetensors: missing")


def test_verify_needs_an_installed_model(tmp_path):
    with pytest.raises(ModelError, match="'m' is not installed"):
        verify(tmp_path, "m", progress=quiet)


@pytest.mark.parametrize(
    "name, message, hint",
    [
        ("qwen2.5-coder-0.5b", "is not installed", "longctx models pull qwen2.5-coder-0.5b"),
        ("Maker/model", "is not installed", "longctx models pull Maker/model"),
        ("qwen2.5-coder-0.5", "there is no model", "did you mean qwen2.5-coder-0.5b?"),
        ("zzz", "there is no model 'zzz'", "known names: qwen2.5-coder-1.5b, "),
        ("../../etc", "there is no model", "known names"),
        ("", "no config.json", ""),
    ],
)
def test_missing_model_gives_the_next_step(tmp_path, monkeypatch, name, message, hint):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match=message) as caught:
        resolve(tmp_path / "store", name, progress=quiet)
    assert hint in caught.value.hint


def test_failed_install_leaves_nothing(tmp_path):
    def fill(target):
        (target / "half").write_bytes(b"...")
        raise ModelError("enough")

    with pytest.raises(ModelError, match="enough"):
        install(tmp_path, "m", {}, fill)
    assert list((tmp_path / "models").iterdir()) == []


def test_debris_of_a_kill_is_not_a_model(tmp_path):
    put(tmp_path, "m")
    shutil.copytree(tmp_path / "models" / "m", tmp_path / "models" / ".incoming-n")
    assert [files.name for files in installed(tmp_path)] == ["m"]
    assert find_installed(tmp_path, ".incoming-n") is None
    put(tmp_path, "n")
    assert not (tmp_path / "models" / ".incoming-n").exists()


def test_foreign_directory_is_not_overwritten(tmp_path):
    (tmp_path / "models" / "m").mkdir(parents=True)
    with pytest.raises(ModelError, match="is in the way"):
        put(tmp_path, "m")


def test_local_directory(tmp_path, tiny_model_dir):
    directory = tiny_model_dir("qwen2")
    files = resolve(tmp_path, str(directory), progress=quiet)
    assert files.directory == directory
    assert files == resolve(tmp_path, str(directory), progress=quiet)
    copy = shutil.copytree(directory, tmp_path / "copy")
    (copy / "config.json").write_text((copy / "config.json").read_text() + " ")
    assert resolve(tmp_path, str(copy), progress=quiet).digest != files.digest


@pytest.mark.parametrize(
    "names, expected",
    [
        ([], "no config.json"),
        (["model.safetensors"], "no config.json"),
        (["config.json", "pytorch_model.bin"], r"no \*\.safetensors; weights in other formats"),
    ],
)
def test_directory_that_is_no_model(tmp_path, names, expected):
    for name in names:
        (tmp_path / name).write_text("{}")
    with pytest.raises(ModelError, match=expected):
        resolve(tmp_path / "store", str(tmp_path), progress=quiet)


def test_gguf_file_is_converted_once(tmp_path, tiny_model_dir, write_gguf):
    source = write_gguf(tmp_path / "my tiny.gguf", tiny_model_dir("qwen2"))
    phases = []
    root = tmp_path / "store"
    files = resolve(root, str(source), progress=lambda phase, *_: phases.append(phase))
    assert set(phases) == {"read", "convert"}
    assert files.name.startswith("my-tiny-")
    phases.clear()
    note = lambda phase, *_: phases.append(phase)  # noqa: E731
    assert resolve(root, str(source), progress=note) == files
    assert phases == []
    # by name, and from another place: the content decides
    assert resolve(root, files.name, progress=note) == files
    moved = source.rename(tmp_path / "moved.gguf")
    assert resolve(root, str(moved), progress=note) == files
    assert set(phases) == {"read"}
    assert verify(root, files.name, progress=quiet) == ()


def test_changed_gguf_file_is_another_model(tmp_path, tiny_model_dir, write_gguf):
    source = write_gguf(tmp_path / "m.gguf", tiny_model_dir("qwen2"))
    first = resolve(tmp_path, str(source), progress=quiet)
    content = bytearray(source.read_bytes())
    content[-2] ^= 1
    source.write_bytes(content)
    second = resolve(tmp_path, str(source), progress=quiet)
    assert first.name != second.name and first.digest != second.digest
    assert len(installed(tmp_path)) == 2


def test_file_that_is_no_gguf(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("hello there")
    with pytest.raises(ModelError, match="magic is not GGUF"):
        resolve(tmp_path, str(path), progress=quiet)


def test_damaged_source_is_named(tmp_path):
    files = put(tmp_path, "m")
    (files.directory / "source.json").write_text("{")
    with pytest.raises(ModelError, match=r"source\.json"):
        resolve(tmp_path, "m", progress=quiet)


@pytest.mark.real_model
@pytest.mark.parametrize("name", ["qwen2.5-coder-0.5b"])
def test_real_model_is_sound(store_root, real_model_dir, name):
    real_model_dir(name)
    assert verify(store_root, name, progress=quiet) == ()
    facts = show(store_root, name, progress=quiet)
    assert facts.config["num_hidden_layers"] == 24
    assert json.loads((facts.files.directory / "generation_config.json").read_text())[
        "eos_token_id"
    ] == [151643, 151645]
