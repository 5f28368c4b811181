"""Products of tiles of bfloat16, where the processor has them, against what they stand for."""

import os
import platform
import subprocess
import sys

import pytest
import torch
from torch.nn.functional import rms_norm, silu

from longctx.kernels.byte_linear import code_rows
from longctx.kernels.byte_linear import multiply as multiply_bytes
from longctx.kernels.flash import has_tile_products
from longctx.kernels.narrow import widen
from longctx.kernels.tile_linear import (
    multiply,
    rows_of,
    tile_gated_rows,
    tile_rows,
    tile_weights,
)

needs_tiles = pytest.mark.skipif(not has_tile_products(), reason="no products of tiles here")
SHAPES = [(1, 64, 32), (7, 896, 1152), (16, 32, 64), (33, 448, 96), (512, 192, 320), (70, 1088, 32)]


@needs_tiles
@pytest.mark.parametrize("bits", [4, 5, 6, 8])
@pytest.mark.parametrize(("T", "K", "N"), SHAPES)
def test_products_are_those_of_what_the_tiles_stand_for(T, K, N, bits, factors, stacked, error):
    x, weight, bias = factors(T, K, N)
    weight[0] = 0
    matrix, rows = stacked([weight], [bias], bits), tile_rows(x)
    assert torch.equal(rows_of(rows), x.bfloat16().float())
    expected = rows_of(rows) @ tile_weights(matrix.parts[0]).T + bias
    got = multiply(rows, matrix)
    assert got.shape == (T, N) and error(got, expected) < 2**-8
    onto = torch.randn(T, N)
    wanted = onto + expected
    assert multiply(rows, matrix, onto) is onto
    # a weight that lies between two bfloat16 may be either
    assert error(onto, wanted) < 1e-4


@needs_tiles
def test_products_are_nearer_than_those_of_bytes(factors, stacked, error):
    x, weight, bias = factors(64, 896, 256)
    matrix = stacked([weight], [bias])
    expected = x @ widen(matrix.parts[0]).T + bias
    got = [torch.zeros(64, 256), torch.zeros(64, 256)]
    multiply(tile_rows(x), matrix, got[0])
    multiply_bytes(code_rows(x), matrix, got[1])
    assert error(got[0], expected) < 0.6 * error(got[1], expected)


@needs_tiles
def test_rows_are_normed_and_gated_on_the_way(error):
    x, norm = torch.randn(19, 128) * 30, torch.rand(128) + 0.5
    got = rows_of(tile_rows(x, norm, 1e-6))
    assert error(got, rms_norm(x, (128,), norm, 1e-6)) < 2**-8
    both = (torch.randn(19, 256) * 4).bfloat16()
    expected = silu(both[:, :128].float()) * both[:, 128:].float()
    assert error(rows_of(tile_gated_rows(both)), expected) < 2**-8
    steep = torch.full((1, 256), -200.0, dtype=torch.bfloat16)
    assert rows_of(tile_gated_rows(steep)).abs().max() < 1e-30


@needs_tiles
def test_rows_of_any_memory_are_read_as_they_lie(factors, stacked):
    x, weight, bias = factors(21, 192, 64)
    wide = torch.randn(21, 400)
    wide[:, 7:199] = x
    assert torch.equal(rows_of(tile_rows(wide[:, 7:199])), x.bfloat16().float())
    onto = torch.zeros(21, 200)
    multiply(tile_rows(x), stacked([weight], [bias]), onto[:, 3:67])
    assert not onto[:, :3].any() and not onto[:, 67:].any()
    assert torch.equal(onto[:, 3:67].bfloat16(), multiply(tile_rows(x), stacked([weight], [bias])))


@needs_tiles
def test_matrices_lie_one_below_the_other(factors, stacked):
    x, one, bias = factors(5, 128, 96)
    other = factors(6, 128, 32)[1]
    rows = tile_rows(x)
    both = multiply(rows, stacked([one, other], [bias, None]))
    apart = [multiply(rows, stacked([w], [b])) for w, b in ((one, bias), (other, None))]
    assert torch.equal(both, torch.cat(apart, 1))


@needs_tiles
def test_a_row_is_the_same_bits_whatever_rows_are_beside_it(factors, stacked):
    x, weight, _ = factors(67, 320, 64)
    matrix = stacked([weight], [None])
    whole = multiply(tile_rows(x), matrix)
    for start, end in ((0, 1), (1, 3), (3, 40), (40, 67)):
        assert torch.equal(multiply(tile_rows(x[start:end]), matrix), whole[start:end])


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="tiles of x86")
@pytest.mark.parametrize("bits", [4, 5, 6, 8])
def test_products_are_made_of_tiles(bits, tmp_path):
    # compiled, not run, so that this does not need the processor here
    code = f"""
from numba import njit
from numba.types import CPointer, float32, int64, uint32, void
from longctx.kernels.flash_forms import FORMS as flash_forms
from longctx.kernels.narrow_dots import FORMS
with FORMS.forced("vnni512"), flash_forms.forced("amx"):
    from longctx.kernels.tile_vectors import multiplying, putting, widening
    from longctx.kernels.tiles import begin_tiles, end_tiles
    widen, multiply, put = widening({bits}), multiplying(False), putting(False)
    words, floats = CPointer(uint32), CPointer(float32)

    @njit(void(words, words, floats, floats, words, int64, int64))
    def run(rows, columns, sums, bias, out, panel, steps):
        begin_tiles()
        widen(panel, panel, panel, steps, panel)
        multiply(rows, columns, steps, steps, sums)
        put(sums, bias, 32, out, steps)
        end_tiles()

print(*run.inspect_asm().values())
"""
    target = {"NUMBA_CPU_NAME": "sapphirerapids", "NUMBA_CPU_FEATURES": ""}
    result = subprocess.run(
        [sys.executable, "-P", "-c", code],
        env={**os.environ, **target, "NUMBA_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    for word in ("ldtilecfg", "tdpbf16ps", "tileloadd", "tilestored", "vcvtne2ps2bf16"):
        assert word in result.stdout, word
    assert "tilerelease" in result.stdout
