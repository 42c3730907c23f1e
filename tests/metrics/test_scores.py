"""scores.json: what is written is read again, and what is damaged is never believed."""

import math

import pytest

from toylab.metrics.score import Score, read_score, write_scores

SCORE = Score(0.25, 0.01, 512, 0.02, num_keys=3, nfe=2)


def test_scores_come_back_as_they_were(tmp_path):
    write_scores(tmp_path, {"sliced_w1": SCORE, "energy_distance": SCORE._replace(value=4.0)})
    assert read_score(tmp_path) == SCORE
    assert read_score(tmp_path, "energy_distance") == SCORE._replace(value=4.0)


def test_what_nobody_measured_is_none(tmp_path):
    assert read_score(tmp_path) is None
    write_scores(tmp_path, {"energy_distance": SCORE})
    assert read_score(tmp_path) is None


def test_samples_that_were_not_finite_have_no_value(tmp_path):
    write_scores(tmp_path, {"sliced_w1": SCORE._replace(value=math.nan, stderr=math.nan)})
    assert "null" in (tmp_path / "scores.json").read_text()
    score = read_score(tmp_path)
    assert score is not None
    assert math.isnan(score.value)
    assert (score.n, score.floor) == (SCORE.n, SCORE.floor)


def test_a_file_without_keys_and_nfe_says_so(tmp_path):
    (tmp_path / "scores.json").write_text(
        '{"sliced_w1": {"value": 0.1, "stderr": null, "n": 8, "floor": 0.2}}'
    )
    score = read_score(tmp_path)
    assert score is not None
    assert (score.nfe, score.num_keys) == (1, 0)


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        '{"sliced_w1": null}',
        '{"sliced_w1": [1]}',
        '{"sliced_w1": {"value": 0.1, "stderr": null, "n": 8}}',
        '{"sliced_w1": {"value": NaN, "stderr": null, "n": 8, "floor": 0.2}}',
        '{"sliced_w1": {"value": 0.1, "stderr": null, "n": 8, "floor": null}}',
        '{"sliced_w1": {"value": 0.1, "stderr": null, "n": 0, "floor": 0.2}}',
        '{"sliced_w1": {"value": 0.1, "stderr": null, "n": 1e999, "floor": 0.2}}',
        "[" * 50_000,
        " " * 70_000,
    ],
)
def test_damage_is_one_line_that_names_the_file(tmp_path, content):
    (tmp_path / "scores.json").write_text(content)
    with pytest.raises(ValueError, match=r"scores\.json: sliced_w1: .+") as caught:
        read_score(tmp_path)
    assert "\n" not in str(caught.value)
