"""A small share of tests/bench/faults.py, which runs the whole."""

import json
import os
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).parents[1] / "bench/faults.py"


def test_kills_and_failing_disks_give_no_wrong_answer_and_lose_no_node(tmp_path):
    out = tmp_path / "out.json"
    done = subprocess.run(
        [sys.executable, "-P", BENCH, out, "--quick"],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(out.read_text())
    assert found["bad"] == 0
    faults = found["faults"]
    assert faults["killed_at_calls"]["killed"] > 10
    assert faults["killed_evicting"]["killed"] > 5
    assert faults["killed_at_random"]["killed"] > 2
    for name in ("ENOSPC", "EIO"):
        assert sum(faults[name]["notices"].values()) > 2
    assert all(tally["runs"] for tally in faults.values())
