import pytest

from longctx.cli.speed import KEPT, Reading, expected_seconds, recall, remember


def test_nothing_is_known_before_the_first_run(tmp_path):
    assert recall(tmp_path, "model") == []
    assert expected_seconds([], 1_000) is None
    assert expected_seconds([Reading(0, 0.0)], 1_000) is None


def test_readings_are_kept_apart_and_the_oldest_go(tmp_path):
    for number in range(KEPT + 3):
        remember(tmp_path, "fast", Reading(1_000 + number, 1.0))
    remember(tmp_path, "slow", Reading(1_000, 9.0))
    assert [item.num_tokens for item in recall(tmp_path, "fast")] == [
        1_000 + number for number in range(3, KEPT + 3)
    ]
    assert recall(tmp_path, "slow") == [Reading(1_000, 9.0)]
    assert [path.name for path in tmp_path.glob("speed*")] == ["speed.json"]


def test_the_readings_nearest_in_length_count():
    short = [Reading(1_000, 1.0)] * 3
    long = [Reading(100_000, 400.0)] * 3
    assert expected_seconds([*long, *short], 2_000) == pytest.approx(2.0)
    assert expected_seconds([*long, *short], 50_000) == pytest.approx(200.0)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"model": 3}', '{"model": [{"x": 1}]}'])
def test_a_broken_file_is_no_memory_and_no_obstacle(tmp_path, text):
    (tmp_path / "speed.json").write_text(text)
    assert recall(tmp_path, "model") == []
    remember(tmp_path, "model", Reading(10, 1.0))
    assert recall(tmp_path, "model") == [Reading(10, 1.0)]
