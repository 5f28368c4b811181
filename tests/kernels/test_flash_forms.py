"""The forms of attention in the processor's own instructions: which one, and what it is made of."""

import os
import platform
import subprocess
import sys

import numpy as np
import pytest

from longctx.kernels import forms
from longctx.kernels.flash import has_bfloat16_products, has_flash
from longctx.kernels.flash_forms import BLOCK, FORMS

PROCESSORS = {"amx": "sapphirerapids", "avx512bf16": "znver4", "avx2": "znver3"}
PRODUCTS = {"amx": "tdpbf16ps", "avx512bf16": "vdpbf16ps", "avx2": "vfmadd231ps"}
COMPILED = """
import sys
from numba import njit
from numba.types import CPointer, float32, int64, uint32, void
from longctx.kernels.flash_forms import FORMS
with FORMS.forced(sys.argv[1]):
    from longctx.kernels.flash_layout import lay_out
    from longctx.kernels.flash_vectors import gather, score, weigh
    words, floats = CPointer(uint32), CPointer(float32)

    @njit(void(words, words, words, words, words, words, floats, floats, int64))
    def tile(keys, values, columns, panels, queries, weights, scores, sums, head_dim):
        lay_out(keys, values, head_dim, columns, panels, head_dim, head_dim)
        score(queries, head_dim, columns, 64, scores, head_dim, True)
        weigh(scores, float32(1), float32(40), sums, weights, sums)
        gather(weights, 64, panels, head_dim, scores, head_dim, True)

print(*tile.inspect_asm().values())
"""


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        ({"avx512bf16": True, "avx2": True, "fma": True}, ["avx512bf16", "avx2"]),
        ({"avx512bf16": False, "avx2": True, "fma": True}, ["avx2"]),
        ({"avx512bf16": True, "amx-tile": True, "amx-int8": True}, ["avx512bf16"]),
        ({"avx2": True}, []),
        ({"neon": True}, []),
    ],
)
def test_a_form_is_possible_where_its_instructions_are(features, expected, monkeypatch):
    monkeypatch.setattr(forms.binding, "get_host_cpu_features", lambda: features)
    assert FORMS.possible() == expected


@pytest.mark.parametrize("allowed", [True, False])
def test_tiles_are_used_where_the_system_lets_them_be(allowed, monkeypatch):
    features = dict.fromkeys(("amx-tile", "amx-bf16", "avx512bf16"), True)
    monkeypatch.setattr(forms.binding, "get_host_cpu_features", lambda: features)
    monkeypatch.setattr(forms, "may_use_tiles", lambda: allowed)
    assert FORMS.possible() == (["amx", "avx512bf16"] if allowed else ["avx512bf16"])


def test_nothing_compiled_with_tiles_is_found_where_they_may_not_be_used():
    # as on a processor that has them
    code = """
import sys
import torch
from llvmlite import binding
had = binding.get_host_cpu_features
binding.get_host_cpu_features = lambda: binding.FeatureMap({**had(), "amx-tile": True})
torch.cpu._init_amx = lambda: sys.argv[1] == "True"
from longctx.kernels import flash_loops
print(flash_loops.attend.targetctx.codegen().magic_tuple()[2])
"""
    keys = []
    for allowed in (True, False):
        command = [sys.executable, "-P", "-c", code, str(allowed)]
        keys.append(subprocess.check_output(command, text=True).strip())
    assert "+amx-tile" in keys[0] and "-amx-tile" in keys[1]
    assert "+amx" not in keys[1]


def test_what_is_possible_here():
    assert has_flash() == bool(FORMS.possible())
    assert has_bfloat16_products() == ("avx512bf16" in FORMS.possible())


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="forms of x86")
@pytest.mark.parametrize("form", PROCESSORS)
def test_every_form_is_made_of_its_instructions(form, tmp_path):
    # compiled, not run, so that no form needs its processor here
    target = {"NUMBA_CPU_NAME": PROCESSORS[form], "NUMBA_CPU_FEATURES": ""}
    result = subprocess.run(
        [sys.executable, "-P", "-c", COMPILED, form],
        env={**os.environ, **target, "NUMBA_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    counts = {name: result.stdout.count(word) for name, word in PRODUCTS.items()}
    # 4 steps, 8 rows, 4 vectors each for scores and values; or 6 rows, 2 vectors, powers too; or
    # 4 tiles each in loops that are unrolled or not
    expected, more = {"amx": (8, 64), "avx512bf16": (256, 32), "avx2": (96, 32)}[form]
    assert expected <= counts.pop(form) < expected + more
    assert all(count < 32 for count in counts.values())
    # the next Block is asked for, to the second level of cache, and by products that take long
    assert result.stdout.count("prefetcht1") >= {"amx": 3, "avx512bf16": 32, "avx2": 4}[form]
    assert "prefetcht0" not in result.stdout


@pytest.mark.skipif(not has_flash(), reason="this processor has no form")
def test_weights_are_powers_of_two_down_to_nothing():
    import numba

    from longctx.kernels.flash_layout import IN_WORD
    from longctx.kernels.flash_vectors import WEIGHED, weigh
    from longctx.kernels.vectors import LANES, floats, words

    @numba.njit
    def run(scores, factor, limit, peaks, weights, sums):
        pointers = floats(peaks), words(weights), floats(sums)
        return weigh(floats(scores), factor, limit, *pointers)

    def aligned(count, kind):
        memory = np.zeros(count + 16, dtype=kind)
        start = -memory.ctypes.data % 64 // 4
        return memory[start : start + count]

    scores, sums = aligned(WEIGHED * BLOCK, np.float32), aligned(WEIGHED * LANES, np.float32)
    peaks, weights = aligned(WEIGHED, np.float32), aligned(WEIGHED * BLOCK // IN_WORD, np.uint32)
    scores[:] = np.linspace(-140, 35, len(scores))
    scores[:6] = -np.inf, -1e30, -1000, -151, -150.7, np.nan
    addresses = [x.ctypes.data for x in (scores, peaks, weights, sums)]
    one = np.float32(1)
    assert run(addresses[0], one, np.float32(40), *addresses[1:])
    if IN_WORD == 2:
        made = (weights.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    else:
        made = weights.view(np.float32)
    assert made[:5].tolist() == [0] * 5 and np.isnan(made[5])
    np.testing.assert_allclose(made[6:], np.exp2(scores[6:]), rtol=2**-8, atol=2.0**-126)
    totals = made.reshape(WEIGHED, BLOCK).sum(1)
    np.testing.assert_allclose(sums.reshape(WEIGHED, LANES).sum(1)[1:], totals[1:], rtol=2**-8)
    scores[-1] = 41
    assert not run(addresses[0], one, np.float32(40), *addresses[1:])
