"""IQM, bootstrap and comparisons, against SciPy, by hand and by naive loops; relations, speed and edge cases."""

import time

import numpy as np
import pytest
from scipy import stats

from jaxrl_up.ops import (
    Score,
    bootstrap,
    iqm,
    optimality_gap,
    performance_profile,
    probability_of_improvement,
    score,
    steps_to_threshold,
    tied,
)


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
        iqm_of_all = stats.trim_mean(scores[:, :, e].ravel(), 0.25)
        error = stats.t(2 * 4).ppf(0.975) * np.std(estimates) * np.sqrt(5 / 4)
        percentiles = np.percentile(estimates, [2.5, 97.5])
        assert value[e] == pytest.approx(iqm_of_all)
        assert low[e] == pytest.approx(min(percentiles[0], iqm_of_all - error))
        assert high[e] == pytest.approx(max(percentiles[1], iqm_of_all + error))


def test_shapes_agree():
    scores = np.random.default_rng(1).normal(size=(6, 4))
    for e, one in enumerate(zip(*bootstrap(scores), strict=True)):
        assert one == bootstrap(scores[:, e])
    np.testing.assert_array_equal(bootstrap(scores), bootstrap(scores[None]))


def test_up_to_three_seeds_have_the_t_interval_of_the_mean():
    for number in (2, 3):
        scores = np.random.default_rng(number).normal(size=number)
        interval = stats.t.interval(0.95, number - 1, scores.mean(), stats.sem(scores))
        np.testing.assert_allclose(score(scores)[:3], (scores.mean(), *interval), rtol=0.05)  # but for drawing


DRAWS = {  # of scores, with how often the interval holds what it should in 3, 5, 8 and 16 seeds, at least
    "normal": (lambda rng, shape: rng.normal(size=shape), (0.93, 0.95, 0.94, 0.94)),
    "uniform": (lambda rng, shape: rng.uniform(size=shape), (0.89, 0.92, 0.93, 0.93)),
    "lognormal": (lambda rng, shape: np.exp(rng.normal(size=shape)), (0.89, 0.94, 0.95, 0.94)),
    "heavy tails": (lambda rng, shape: rng.standard_t(2, size=shape), (0.94, 0.95, 0.95, 0.95)),
    "a ceiling": (lambda rng, shape: np.minimum(500, 480 + 40 * rng.normal(size=shape)), (0.85, 0.91, 0.92, 0.93)),
    "one in five fails": (
        lambda rng, shape: 450 + 20 * rng.normal(size=shape) - 400 * (rng.uniform(size=shape) < 0.2),
        (0.92, 0.94, 0.95, 0.95),
    ),
    "half fail": (
        lambda rng, shape: 450 + 20 * rng.normal(size=shape) - 400 * (rng.uniform(size=shape) < 0.5),
        (0.71, 0.89, 0.88, 0.9),
    ),
}


@pytest.mark.parametrize("kind", DRAWS)
def test_the_interval_holds_the_iqm_of_ever_more_seeds_as_often_as_it_says(kind):
    draw, at_least = DRAWS[kind]
    rng = np.random.default_rng(2)
    truth = iqm(draw(rng, 2_000_000))
    covered = []
    for number in (3, 5, 8, 16):
        _, low, high = bootstrap(draw(rng, (number, 1000)), resamples=300)
        covered.append(np.mean((low <= truth) & (truth <= high)))
    assert np.all(covered >= np.array(at_least))


def test_an_infinite_score_leaves_an_end_open():
    value, low, high, _ = score(np.array([1.0, 2.0, 3.0, 4.0, 5.0, np.inf, 6.0, 7.0]))
    assert np.isfinite([value, low, high]).tolist() == [True, True, False]


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


X = np.array([[1.0, 2.0, 1.0, 2.0], [2.0, 2.0, 1.0, 1.0]])  # tasks, runs: rliable's own test, transposed
Y = np.array([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]])


def test_improvement_is_that_of_rliable():
    # metrics_test.py of rliable 1.0: probability_of_improvement(x, y) = 1/3
    assert probability_of_improvement(X, Y)[0] == pytest.approx(1 / 3)


def test_improvement_is_the_mean_of_mann_whitney():
    rng = np.random.default_rng(5)
    x, y = [rng.integers(4, size=n).astype(float) for n in (5, 8)], [rng.integers(4, size=n) for n in (6, 3)]
    by_scipy = [stats.mannwhitneyu(a, b).statistic / (len(a) * len(b)) for a, b in zip(x, y, strict=True)]
    by_loop = [
        sum(1.0 if u > v else 0.5 if u == v else 0.0 for u in a for v in b) / (len(a) * len(b))
        for a, b in zip(x, y, strict=True)
    ]
    assert probability_of_improvement(x, y)[0] == pytest.approx(np.mean(by_scipy)) == pytest.approx(np.mean(by_loop))


def test_improvement_interval_equals_a_naive_loop():
    low, high = probability_of_improvement(X, Y, resamples=100, seed=4)[1:]
    rng = np.random.default_rng(4)
    tasks = []
    for task in range(2):  # how often each run is drawn, of X and then of Y, in each resample
        xs, ys = rng.multinomial(4, [1 / 4] * 4, size=100), rng.multinomial(3, [1 / 3] * 3, size=100)
        tasks.append([(np.repeat(X[task], xs[i]), np.repeat(Y[task], ys[i])) for i in range(100)])
    estimates = [
        np.mean([np.mean([[(u > v) + (u == v) / 2 for v in y] for u in x]) for x, y in resample])
        for resample in zip(*tasks, strict=True)
    ]
    assert (low, high) == pytest.approx(tuple(np.percentile(estimates, [2.5, 97.5])))


def test_improvement_relations():
    forth, back = probability_of_improvement(X, Y), probability_of_improvement(Y, X)
    assert forth[0] + back[0] == pytest.approx(1)
    assert forth[1] == pytest.approx(1 - back[2], abs=0.05)  # other draws
    assert probability_of_improvement(X, X)[0] == 0.5
    assert probability_of_improvement(X + 9, Y) == (1.0, 1.0, 1.0)
    assert probability_of_improvement(np.exp(X), np.exp(Y)) == forth  # only the order counts
    assert probability_of_improvement(X[0], Y[0]) == probability_of_improvement(X[:1], Y[:1])


def test_profile_by_hand_and_by_counting():
    fraction, low, high = performance_profile([1.0, 2.0, 2.0, 4.0], [0.0, 1.0, 1.5, 2.0, 4.0])
    np.testing.assert_array_equal(fraction, [1.0, 0.75, 0.75, 0.25, 0.0])  # above, not at
    assert (low[0], high[0], low[-1], high[-1]) == (1.0, 1.0, 0.0, 0.0)
    scores, thresholds = np.random.default_rng(6).normal(size=(3, 7)), np.linspace(-2, 2, 9)
    fraction, low, high = performance_profile(scores, thresholds)
    np.testing.assert_allclose(fraction, [np.mean(scores > t) for t in thresholds])
    for line in (fraction, low, high):
        assert np.all(np.diff(line) <= 0)
    assert np.all((low <= fraction) & (fraction <= high))


def test_profile_counts_tasks_alike_and_its_band_is_binomial():
    assert performance_profile([[1.0], [0.0, 0.0, 0.0]], [0.5])[0] == pytest.approx(0.5)
    _, low, high = performance_profile(np.arange(10.0), [6.5], resamples=20_000)  # 3 of 10 are above
    assert (low[0], high[0]) == pytest.approx(tuple(stats.binom(10, 0.3).ppf([0.025, 0.975]) / 10))


def test_optimality_gap():
    assert optimality_gap([0.25, 0.75, 3.0], 1.0) == pytest.approx((0.75 + 0.25 + 0) / 3)
    assert optimality_gap(X, 1.5) == pytest.approx(1.5 - np.minimum(X, 1.5).mean())  # as rliable writes it


def test_scores_are_tied_whose_intervals_overlap_that_of_the_best():
    scores = [
        Score(5.0, 4.0, 6.0),
        Score(9.0, 8.0, 10.0),
        Score(7.0, 6.0, 8.0),
        Score(7.9, 7.8, 7.9),
        Score(1.0, -9.0, 99.0),
    ]
    assert tied(scores, best=1) == [False, True, True, False, True]
    assert tied([Score(5.0, 5.0, 5.0), Score(5.0, 5.0, 5.0), Score(4.9, 4.9, 4.9)]) == [True, True, False]
    nan = Score(np.nan, np.nan, np.nan)
    assert tied([scores[0], nan]) == [True, False]
    assert tied([nan, nan]) == [True, False]


def test_steps_to_threshold():
    returns = np.array([[1.0, 5.0, 2.0], [5.0, 5.0, 5.0], [1.0, 2.0, np.nan], [0.0, 0.0, 9.0]])
    steps, reached, median = steps_to_threshold(np.array([10, 20, 30]), returns, 5.0)
    np.testing.assert_array_equal(steps, [20, 10, np.inf, 30])
    assert (reached, median) == (3, 25.0)
    assert steps_to_threshold(np.array([10, 20, 30]), returns, 6.0).median == np.inf  # one of four


@pytest.mark.parametrize(
    "call",
    [
        lambda: performance_profile([], [1.0]),
        lambda: performance_profile([1.0, np.nan], [1.0]),
        lambda: performance_profile(np.zeros((1, 2, 3)), [1.0]),
        lambda: probability_of_improvement(X, Y[:1]),
        lambda: probability_of_improvement(X, [[1.0], []]),
        lambda: optimality_gap([[]], 1.0),
        lambda: steps_to_threshold(np.zeros(3), np.zeros((2, 4)), 1.0),
        lambda: steps_to_threshold(np.zeros(0), np.zeros((2, 0)), 1.0),
    ],
)
def test_comparisons_refuse_what_has_no_answer(call):
    with pytest.raises(ValueError, match=r"shape|NaN|tasks|give \[E\]"):
        call()
