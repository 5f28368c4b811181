import json

import pytest
import torch
from safetensors.torch import save_file

from longctx.runtime.errors import ModelError
from longctx.runtime.weights import open_weights

TENSORS = {
    "half": torch.randn(4, 3).to(torch.float16),
    "brain": torch.randn(5, 2).to(torch.bfloat16),
    "single": torch.randn(7),
    "scalar": torch.tensor(2.5),
    "none": torch.zeros(0, 3),
    "whole": torch.arange(6).reshape(2, 3),
    "flag": torch.tensor([True, False]),
    "float8": torch.randn(8).to(torch.float8_e4m3fn),
}


def same(left, right):
    return (
        left.dtype == right.dtype
        and left.shape == right.shape
        and torch.equal(
            left.reshape(-1).view(torch.uint8) if left.numel() else left,
            right.reshape(-1).view(torch.uint8) if right.numel() else right,
        )
    )


def test_one_file(tmp_path):
    save_file(TENSORS, tmp_path / "model.safetensors")
    weights = open_weights(tmp_path)
    assert set(weights) == set(TENSORS)
    assert len(weights) == len(TENSORS)
    for name, tensor in TENSORS.items():
        assert same(weights[name], tensor), name


def test_shards_with_an_index(tmp_path):
    save_file({"a": TENSORS["half"]}, tmp_path / "model-00001-of-00002.safetensors")
    save_file({"b": TENSORS["brain"]}, tmp_path / "model-00002-of-00002.safetensors")
    # the same weights again under another name, as some makers publish them
    save_file({"a": TENSORS["half"]}, tmp_path / "consolidated.safetensors")
    names = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))
    weights = open_weights(tmp_path)
    assert same(weights["a"], TENSORS["half"]) and same(weights["b"], TENSORS["brain"])


def test_tensor_is_a_view_of_the_file(tmp_path):
    save_file({"w": torch.zeros(1024)}, tmp_path / "model.safetensors")
    weights = open_weights(tmp_path)
    first, second = weights["w"], weights["w"]
    first[3] = 7
    assert second[3] == 7


def test_writing_to_a_tensor_leaves_the_file_alone(tmp_path):
    save_file({"w": torch.zeros(4)}, tmp_path / "model.safetensors")
    before = (tmp_path / "model.safetensors").read_bytes()
    open_weights(tmp_path)["w"].fill_(1)
    assert (tmp_path / "model.safetensors").read_bytes() == before


def test_unaligned_tensor_is_copied(tmp_path):
    header = b'{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'
    header += b" " * (1 - (8 + len(header)) % 4 + 4)
    assert (8 + len(header)) % 4
    data = torch.tensor([1.5, -2.0])
    (tmp_path / "model.safetensors").write_bytes(
        len(header).to_bytes(8, "little") + header + data.numpy().tobytes()
    )
    assert same(open_weights(tmp_path)["w"], data)


def test_missing_name_is_a_key_error(tmp_path):
    save_file(TENSORS, tmp_path / "model.safetensors")
    with pytest.raises(KeyError):
        open_weights(tmp_path)["absent"]


def test_tensor_in_two_files_is_refused(tmp_path):
    for name in ("one", "two"):
        save_file({"w": torch.zeros(1)}, tmp_path / f"{name}.safetensors")
    with pytest.raises(ModelError, match="'w' is in another file too"):
        open_weights(tmp_path)


def test_no_weights_are_named(tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04N.")
    with pytest.raises(ModelError, match=r"no \*\.safetensors"):
        open_weights(tmp_path)


@pytest.mark.parametrize(
    "content, expected",
    [
        ("{", "not an index"),
        ("[]", "not an index"),
        ('{"weight_map": 3}', "not an index"),
        ('{"weight_map": {"w": "../other.safetensors"}}', "no file of this directory"),
        ('{"weight_map": {"w": 3}}', "no file of this directory"),
        ('{"weight_map": {"w": "absent.safetensors"}}', "cannot be read"),
    ],
)
def test_malformed_index_is_named(tmp_path, content, expected):
    (tmp_path / "model.safetensors.index.json").write_text(content)
    with pytest.raises(ModelError, match=expected):
        open_weights(tmp_path)
