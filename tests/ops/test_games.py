"""Shares of games and ratings, by hand, by naive loops, and where they are not known."""

import numpy as np
import pytest
from scipy.optimize import minimize

from jaxrl_up.ops import elo, win_draw_loss


def test_shares_are_those_that_are_counted():
    rng = np.random.default_rng(0)
    earned = rng.integers(-1, 2, size=(40, 33)).astype(np.float32)
    shares = win_draw_loss(earned.mean(axis=1), earned.std(axis=1))
    for name, value in (("win", 1), ("draw", 0), ("loss", -1)):
        np.testing.assert_allclose(getattr(shares, name), (earned == value).mean(axis=1), atol=1e-6)
    np.testing.assert_allclose(sum(shares), 1.0)


def test_shares_of_nothing_known():
    assert np.isnan(win_draw_loss(np.nan, 0.0)).all()


def test_odds_of_ten_are_400_points():
    np.testing.assert_allclose(elo(np.array([[0.0, 1.0], [10.0, 0.0]]), prior=0.0), [0.0, 400.0])
    np.testing.assert_allclose(elo(np.array([[0.0, 5.0], [5.0, 0.0]])), [0.0, 0.0], atol=1e-9)


def test_ratings_make_the_games_most_likely():
    rng = np.random.default_rng(1)
    points = rng.integers(0, 9, size=(5, 5)).astype(float)

    def unlikely(ratings, prior=1.0):
        ratings, total = np.concatenate([[0.0], ratings]), 0.0
        for i in range(5):
            for j in range(5):
                if i != j:
                    expected = 1 / (1 + 10 ** ((ratings[j] - ratings[i]) / 400))
                    total -= (points[i, j] + prior / 2) * np.log(expected)
        return total

    best = minimize(unlikely, np.zeros(4), method="BFGS", options={"gtol": 1e-9}).x
    np.testing.assert_allclose(elo(points)[1:], best, atol=0.01)


def test_who_scores_as_expected_has_the_true_ratings():
    truth = np.array([0.0, 150.0, -80.0, 410.0])
    expected = 1 / (1 + 10 ** ((truth[None] - truth[:, None]) / 400))
    np.testing.assert_allclose(elo(100 * expected, prior=0.0), truth, atol=1e-5)


def test_who_never_lost_is_rated_with_a_prior_only():
    swept = np.array([[0.0, 0.0], [8.0, 0.0]])
    assert 300 < elo(swept)[1] < 600
    with pytest.raises(ValueError, match="never scored"):
        elo(swept, prior=0.0)


@pytest.mark.parametrize("points", [np.ones(3), np.ones((2, 3)), np.array([[0, -1], [1, 0]]), np.full((2, 2), np.nan)])
def test_points_that_are_none(points):
    with pytest.raises(ValueError, match="points"):
        elo(points)


def test_one_player_is_at_zero():
    assert elo(np.zeros((1, 1))) == pytest.approx([0.0])


def test_strangers_cannot_be_compared():
    apart = np.zeros((4, 4))
    apart[0, 1] = apart[1, 0] = apart[2, 3] = apart[3, 2] = 2.0
    with pytest.raises(ValueError, match="never scored"):
        elo(apart)
