"""The kernels through the compiler for a GPU that is not there: what no interpreter shows."""

import json
import os
import subprocess
import sys


def test_every_kernel_compiles_for_hopper_with_its_matrix_instructions(pytestconfig, tmp_path):
    environment = {**os.environ, "TRITON_CACHE_DIR": str(tmp_path), "PYTHONWARNINGS": "ignore"}
    del environment["TRITON_INTERPRET"]
    result = subprocess.run(
        [sys.executable, "-P", pytestconfig.rootpath / "tests/bench/gpu_compile.py", "90"],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert {row["kernel"] for row in found} == {
        "_attend",
        "_attend_lines",
        "_block_means",
        "_choose",
        "_gather",
        "_merge_parts",
        "_pool",
        "_quantize_rows",
        "_rms_norm",
        "_score_one",
        "_store",
        "_sum_lines",
        "_swiglu",
        "_turn",
    }
    for row in found:
        if row["kernel"] == "_attend":
            prefill = row["ROWS"] > 16
            assert row["wgmma.mma_async" if prefill else "mma.sync"], row
            assert row["cp.async.bulk.tensor"], row
            # what registers could not hold while queries are turned; 8 bits take some more
            assert row["stack_bytes"] <= (512 if row["EIGHT"] else 384), row
        if row["kernel"] in ("_attend_lines", "_sum_lines"):
            assert row["wgmma.mma_async"] and row["cp.async.bulk.tensor"], row
            assert row["stack_bytes"] <= (768 if row["EIGHT"] else 256), row
