"""IQM against SciPy and by hand; the bootstrap against a naive loop, its speed and its edge cases."""

import time

import numpy as np
import pytest
from scipy import stats

from jaxrl_up.scores import Score, bootstrap, iqm, score


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5, 7, 8, 16, 33])
def test_iqm_is_scipys_trimmed_mean(number):
    scores = np.random.default_rng(number).normal(size=(number, 6))
    np.testing.assert_allclose(iqm(scores, axis=0), stats.trim_mean(scores, 0.25, axis=0), rtol=1e-12)
    np.testing.assert_allclose(iqm(scores), stats.trim_mean(scores, 0.25, axis=None), rtol=1e-12)


def test_iqm_by_hand():
    assert iqm([100.0, 1.0, 2.0, 3.0, 4.0, -50.0, 5.0, 6.0]) == 3.5  # 2, 3, 4, 5 are left
    assert iqm([1.0, 2.0, 9.0]) == 4.0  # floor(3 / 4) = 0 are cut


def test_a_nan_is_not_trimmed_away():
    assert np.isnan(iqm([1.0, 2.0, 3.0, 4.0, np.nan]))
    assert np.all(np.isnan(score(np.array([1.0, np.nan, 3.0, 4.0, 5.0]))[:3]))
    value, low, high = bootstrap(np.array([[1.0, np.nan], [2.0, 3.0], [4.0, 5.0]]))
    assert np.isfinite([value[0], low[0], high[0]]).all()
    assert np.isnan([value[1], low[1], high[1]]).all()


def test_bootstrap_equals_a_naive_loop():
    scores = np.random.default_rng(0).normal(size=(2, 5, 3))  # tasks, seeds, evaluations
    value, low, high = bootstrap(scores, resamples=200, seed=4)
    draws = np.random.default_rng(4).integers(5, size=(200, 2, 5))
    for e in range(3):
        estimates = []
        for draw in draws:
            resampled = [scores[task, seed, e] for task in range(2) for seed in draw[task]]
            estimates.append(stats.trim_mean(resampled, 0.25))
        assert value[e] == pytest.approx(stats.trim_mean(scores[:, :, e].ravel(), 0.25))
        assert (low[e], high[e]) == pytest.approx(tuple(np.percentile(estimates, [2.5, 97.5])))


def test_shapes_agree():
    scores = np.random.default_rng(1).normal(size=(6, 4))
    for e, one in enumerate(zip(*bootstrap(scores), strict=True)):
        assert one == bootstrap(scores[:, e])
    np.testing.assert_array_equal(bootstrap(scores), bootstrap(scores[None]))


def test_interval_covers_about_as_often_as_it_says():
    rng = np.random.default_rng(2)
    covered = [low <= 0 <= high for _, low, high in (bootstrap(rng.normal(size=32), resamples=500) for _ in range(200))]
    assert 0.88 <= np.mean(covered) <= 0.99


def test_one_seed_and_equal_seeds_have_no_width():
    assert score(np.array([3.0]))[:3] == (3.0, 3.0, 3.0)
    assert score(np.full(8, 500.0))[:3] == (500.0, 500.0, 500.0)


@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (1, 1, 1, 1)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match="shape"):
        bootstrap(np.zeros(shape))


def test_text_keeps_small_scores_readable():
    assert str(Score(498.04, 463.2, 500.0)) == "498.0 [463.2, 500.0]"
    assert str(Score(0.0123, -0.5, 0.61)) == "0.012 [-0.500, 0.610]"


def test_many_seeds_take_less_than_a_second():
    scores = np.random.default_rng(3).normal(size=(128, 20))
    start = time.process_time()
    bootstrap(scores)
    assert time.process_time() - start < 1.0
