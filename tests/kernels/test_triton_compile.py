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
        "_block_means",
        "_choose",
        "_merge_parts",
        "_pool",
        "_quantize_rows",
        "_rms_norm",
        "_store",
        "_swiglu",
    }
    for row in found:
        if row["kernel"] == "_attend":
            prefill = row["ROWS"] > 16
            assert row["wgmma.mma_async" if prefill else "mma.sync"] and row["cp.async.cg"], row
            # what registers could not hold; making 8 bits whole takes some
            assert row["stack_bytes"] <= (256 if row["EIGHT"] else 64), row
