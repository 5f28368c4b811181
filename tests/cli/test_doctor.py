import json


def test_the_machine_in_words(run, home):
    code, out, err = run("doctor")
    assert (code, err) == (0, "")
    assert f"store          {home}\n" in out
    assert "numerics       " in out
    assert "gpu            " in out and "measured: gpu-h200.json" in out
    found = json.loads(run("doctor", "--format", "json").out)
    assert found["schema"] == "longctx.doctor/1"
    assert found["models"] == "none"
