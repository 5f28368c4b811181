"""What a tile of queries takes beside the KVCache does not grow with the length of the text."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from longctx.kernels import attention
from longctx.kernels.blocks import BlockRule, block_means, tri_shape
from longctx.kernels.sparse import attend_one, attend_tiles
from longctx.kernels.vertical_slash import VerticalSlashRule


class Largest(TorchDispatchMode):
    """Remembers the largest memory that an operation took for a tensor."""

    def __init__(self, known):
        super().__init__()
        self.known = {t.untyped_storage().data_ptr() for t in known}
        self.bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else (out,):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                if storage.data_ptr() not in self.known:
                    self.bytes = max(self.bytes, storage.nbytes())
        return out


def tensors(num_keys, num_queries, dtype):
    generator = torch.Generator().manual_seed(0)
    shapes = (4, num_queries, 32), (2, num_keys, 32), (2, num_keys, 32)
    q, keys, values = (torch.randn(s, generator=generator).to(dtype) for s in shapes)
    return q, keys, values, block_means(keys)


def largest(attend, num_keys, num_queries=512, dtype=torch.float32):
    """The bytes of the largest temporary of `attend(views, keys, values, means)`."""
    q, keys, values, means = tensors(num_keys, num_queries, dtype)
    with Largest((q, keys, values, means)) as seen:
        attend([(0, num_keys, q)], keys, values, means)
    return seen.bytes


def by_rule(rule):
    def attend(views, keys, values, means):
        attend_tiles(rule, 0, views, keys, values, means, lambda position, recall: None)

    return attend


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_dense_rows(dtype):
    def attend(views, keys, values, means):
        attention.attend(views, keys, values)

    short, long = (largest(attend, n, 200, dtype) for n in (8_192, 32_768))
    assert long <= 1.1 * short


@pytest.mark.parametrize(
    "rule", [BlockRule(dense_below=0, max_keys=1024), tri_shape(dense_below=0)]
)
def test_tiles_of_blocks(rule):
    short, long = (largest(by_rule(rule), n) for n in (8_192, 32_768))
    assert long <= 1.1 * short


def test_vertical_slash_never_holds_the_scores_of_its_last_queries():
    rule = VerticalSlashRule(vertical=100, slash=200, dense_below=0)
    num_keys, num_heads = 32_768, 4
    taken = largest(by_rule(rule), num_keys)
    scores = 4 * rule.last_queries * num_keys * num_heads
    assert taken <= scores / 8


def test_a_decoded_token():
    def attend(views, keys, values, means):
        attend_one(BlockRule(max_keys=1024), views, keys, values, means)

    short, long = (largest(attend, n, 1) for n in (8_192, 32_768))
    assert long <= 1.1 * short
