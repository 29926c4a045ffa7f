"""Searches, proposals and imagined returns: small values by hand, naive loops, relations."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_up import envs
from jaxrl_up.envs import Model
from jaxrl_up.learning import planning


def config(**fields):
    given = {
        "method": "cem",
        "samples": 64,
        "horizon": 4,
        "iterations": 5,
        "elites": 6,
        "temperature": 0.5,
        "spread": 1.0,
        "smoothing": 0.1,
        "plan_noise": "white",
        "act_on": "mean",
    }
    return SimpleNamespace(**{**given, **fields})


VALUES = jnp.array([1.0, 3.0, jnp.nan, 2.0, 3.0, -jnp.inf])


# -- weights


def test_elites_share_alike_and_ties_are_elites_too():
    weight = planning.weigh(config(elites=1), jnp.array([1.0, 3.0, 2.0, 3.0]))
    np.testing.assert_allclose(weight, [0, 0.5, 0, 0.5])
    weight = planning.weigh(config(elites=3), jnp.array([1.0, 3.0, 2.0, 3.0, 0.0]))
    np.testing.assert_allclose(weight, [0, 1 / 3, 1 / 3, 1 / 3, 0], rtol=1e-6)


def test_mppi_weighs_by_the_exponential_of_what_is_earned():
    values = np.array([1.0, 3.0, 2.0, -50.0])
    wanted = np.exp(values / 0.5) / np.exp(values / 0.5).sum()
    np.testing.assert_allclose(planning.weigh(config(method="mppi"), jnp.array(values)), wanted, rtol=1e-5, atol=1e-7)
    # a shift of all returns changes nothing, however large
    shifted = planning.weigh(config(method="mppi"), jnp.array(values) - 1e4)
    np.testing.assert_allclose(shifted, wanted, rtol=1e-3, atol=1e-7)


def test_random_shooting_takes_the_best():
    weight = planning.weigh(config(method="random_shooting"), jnp.array([1.0, 3.0, 2.0]))
    np.testing.assert_array_equal(weight, [0, 1, 0])


@pytest.mark.parametrize("method", ["cem", "mppi", "random_shooting"])
def test_what_is_not_finite_counts_as_the_worst(method):
    values = jnp.where(jnp.isfinite(VALUES), VALUES, -jnp.inf)
    weight = np.asarray(planning.weigh(config(method=method, elites=2), values))
    assert weight[2] == weight[5] == 0 and np.isclose(weight.sum(), 1.0)


def test_mppi_with_nothing_finite_weighs_all_alike():
    weight = planning.weigh(config(method="mppi"), jnp.full(4, -jnp.inf))
    np.testing.assert_allclose(weight, 0.25)


# -- proposals


def test_a_gaussian_is_refitted_to_weighted_plans():
    rng = np.random.default_rng(0)
    plans, weight = rng.normal(size=(5, 4, 2)), rng.dirichlet(np.ones(5))
    old = planning.Gaussian(jnp.full((4, 2), 0.3), jnp.full((4, 2), 0.7))
    new = old.refit(config(smoothing=0.25), jnp.array(plans, jnp.float32), jnp.array(weight, jnp.float32))
    mean = sum(w * plan for w, plan in zip(weight, plans, strict=True))
    variance = sum(w * (plan - mean) ** 2 for w, plan in zip(weight, plans, strict=True))
    np.testing.assert_allclose(new.mean, 0.25 * 0.3 + 0.75 * mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(new.std, 0.25 * 0.7 + 0.75 * np.sqrt(variance), rtol=1e-5)
    kept = old.refit(config(method="mppi"), jnp.array(plans, jnp.float32), jnp.array(weight, jnp.float32))
    np.testing.assert_array_equal(kept.std, old.std)


def test_choices_are_refitted_to_weighted_plans():
    plans, weight = np.array([[0, 2], [1, 2], [0, 0]]), np.array([0.5, 0.3, 0.2])
    old = planning.Categorical(jnp.full((2, 3), 1 / 3))
    new = old.refit(config(smoothing=0.0), jnp.array(plans), jnp.array(weight, jnp.float32))
    np.testing.assert_allclose(new.probs, [[0.7, 0.3, 0], [0.2, 0, 0.8]], rtol=1e-6)


def test_a_plan_moves_on_by_a_step():
    fresh = planning.Gaussian(jnp.zeros((3, 1)), jnp.ones((3, 1)))
    plan = jnp.array([[1.0], [2.0], [3.0]])
    moved = planning.Gaussian(jnp.full((3, 1), 9.0), jnp.full((3, 1), 0.1)).shifted(config(), fresh, plan)
    np.testing.assert_array_equal(moved.mean[:, 0], [2, 3, 0])
    np.testing.assert_array_equal(moved.std, fresh.std)
    even = planning.Categorical(jnp.full((2, 2), 0.5))
    known = planning.Categorical(jnp.array([[0.9, 0.1], [1.0, 0.0]]))
    moved = known.shifted(config(act_on="mean"), even, jnp.array([0, 0]))
    np.testing.assert_allclose(moved.probs, [[0.75, 0.25], [0.5, 0.5]])
    moved = known.shifted(config(act_on="best"), even, jnp.array([0, 1]))
    np.testing.assert_allclose(moved.probs, [[0.25, 0.75], [0.5, 0.5]])


def test_between_two_good_plans_the_best_is_acted_on_and_not_their_mean():
    """Left and right are worth the same, straight on nothing."""
    proposal = planning.Gaussian(jnp.zeros((4, 1)), jnp.ones((4, 1)))

    def evaluate(plans, key):
        return jnp.mean(jnp.abs(plans), axis=(1, 2)) - jnp.abs(jnp.mean(jnp.sign(plans), axis=(1, 2)) ** 2 - 1)

    found = planning.search(config(act_on="best", iterations=1), proposal, jax.random.key(0), evaluate)
    middle = planning.search(config(act_on="mean", iterations=1), proposal, jax.random.key(0), evaluate)
    assert evaluate(found.plan[None], None) > evaluate(middle.plan[None], None) + 0.2
    np.testing.assert_array_equal(found.proposal.shifted(config(), proposal, found.plan).mean[:-1], found.plan[1:])


@pytest.mark.parametrize(("colour", "correlation"), [("white", 0.0), ("ou", np.exp(-1 / 7)), ("pink", None)])
def test_candidates_have_unit_variance_and_their_colour(colour, correlation):
    proposal = planning.Gaussian(jnp.zeros((12, 1)), jnp.full((12, 1), 0.1))  # so that nothing is clipped
    plans = np.asarray(proposal.draw(config(plan_noise=colour), jax.random.key(0), 4000))[..., 0] / 0.1
    np.testing.assert_allclose(plans.std(axis=0), 1.0, atol=0.06)
    found = np.mean(plans[:, 1:] * plans[:, :-1])
    assert found > 0.5 if correlation is None else abs(found - correlation) < 0.03


def test_candidates_stay_within_the_bounds():
    proposal = planning.Gaussian(jnp.full((3, 2), 0.9), jnp.ones((3, 2)))
    plans = proposal.draw(config(), jax.random.key(0), 50)
    assert float(jnp.max(jnp.abs(plans))) == 1.0


def test_proposals_fit_the_actions():
    box = planning.initial_proposal(config(spread=0.4), envs.make("Pendulum-v1"))
    assert box.mean.shape == (4, 1) and float(box.std[0, 0]) == pytest.approx(0.4)
    choices = planning.initial_proposal(config(), envs.make("Acrobot-v1"))
    np.testing.assert_allclose(choices.probs, np.full((4, 3), 1 / 3))


# -- searches


def best_is(target):
    return lambda plans, key: -jnp.sum(jnp.square(plans - target[None]), axis=(1, 2))


@pytest.mark.parametrize("method", ["cem", "mppi"])
def test_a_search_finds_the_best_plan(method):
    target = jnp.array([[0.5], [-0.3], [0.8], [0.0]])
    proposal = planning.Gaussian(jnp.zeros((4, 1)), jnp.full((4, 1), 1.0 if method == "cem" else 0.3))
    settings = config(method=method, samples=256, iterations=8, temperature=0.02, elites=16)
    found = planning.search(settings, proposal, jax.random.key(0), best_is(target))
    np.testing.assert_allclose(found.plan, target, atol=0.12)
    assert found.value > -0.1


def test_random_shooting_returns_the_best_of_all_that_it_drew():
    target = jnp.full((2, 1), 0.25)
    proposal = planning.Gaussian(jnp.zeros((2, 1)), jnp.ones((2, 1)))
    settings = config(method="random_shooting", samples=50, iterations=3)
    found = planning.search(settings, proposal, jax.random.key(3), best_is(target))
    keys, key = [], jax.random.key(3)
    for _ in range(3):
        key, draw_key, _ = jax.random.split(key, 3)
        keys.append(draw_key)
    drawn = jnp.concatenate([proposal.any(key, 50) for key in keys])
    values = best_is(target)(drawn, None)
    np.testing.assert_array_equal(found.plan, drawn[jnp.argmax(values)])
    assert found.value == jnp.max(values)


def test_discrete_plans_are_found():
    target = jnp.array([2, 0, 1, 1])
    proposal = planning.Categorical(jnp.full((4, 3), 1 / 3))
    found = planning.search(
        config(),
        proposal,
        jax.random.key(0),
        lambda plans, key: jnp.sum(plans == target[None], axis=1).astype(jnp.float32),
    )
    np.testing.assert_array_equal(found.plan, target)


def test_a_policys_plan_is_taken_where_it_is_the_best():
    target = jnp.full((4, 1), 0.77)
    proposal = planning.Gaussian(jnp.zeros((4, 1)), jnp.full((4, 1), 0.01))
    settings = config(act_on="best", iterations=1)
    found = planning.search(settings, proposal, jax.random.key(0), best_is(target), extra=target[None])
    np.testing.assert_array_equal(found.plan, target)


def test_the_plan_of_the_step_before_is_a_candidate():
    before = planning.Gaussian(jnp.full((4, 1), 0.5), jnp.full((4, 1), 1.0))
    settings = config(act_on="best", iterations=1, samples=8)
    found = planning.search(settings, before, jax.random.key(0), best_is(jnp.full((4, 1), 0.5)))
    assert found.value == 0.0


def test_a_plan_that_breaks_the_model_is_never_chosen():
    proposal = planning.Gaussian(jnp.zeros((2, 1)), jnp.ones((2, 1)))

    def evaluate(plans, key):
        return jnp.where(plans[:, 0, 0] > 0.0, jnp.nan, plans[:, 0, 0])

    found = planning.search(config(act_on="best"), proposal, jax.random.key(0), evaluate)
    assert np.isfinite(found.value) and float(found.plan[0, 0]) <= 0.0


def test_more_elites_than_candidates_are_refused():
    proposal = planning.Gaussian(jnp.zeros((2, 1)), jnp.ones((2, 1)))
    with pytest.raises(ValueError, match="elites=9 must be at most samples=8"):
        planning.search(config(elites=9, samples=8), proposal, jax.random.key(0), best_is(jnp.zeros((2, 1))))


# -- imagined returns


def _counting_step(params, key, state, action):
    """Count up, earn the action times the count and a draw, and end at 3."""
    state = state + 1
    reward = action * state + jax.random.uniform(key)
    return state, state.astype(jnp.float32), reward, state == 3


COUNTING = Model(lambda params, key: jnp.int32(0), _counting_step)


@pytest.mark.parametrize("horizon", [1, 2, 3, 5])
@pytest.mark.parametrize("with_value", [False, True])
def test_imagined_returns_are_those_of_a_loop(horizon, with_value):
    key = jax.random.key(1)
    plan = jnp.arange(1.0, horizon + 1)
    value = (lambda obs: 100.0 + obs) if with_value else None
    found = planning.imagined_return(COUNTING, (), jnp.int32(0), plan, key, 0.9, value)
    total, weight, state, ended = 0.0, 1.0, 0, False
    for t in range(horizon):
        if ended:
            break
        state += 1
        key, step_key = jax.random.split(key)
        total += weight * (float(plan[t]) * state + float(jax.random.uniform(step_key)))
        ended = state == 3
        weight *= 0.9
    if with_value and not ended:
        total += weight * (100.0 + state)
    np.testing.assert_allclose(found, total, rtol=1e-5)


def test_what_is_not_finite_after_the_end_is_not_read():
    def step(params, key, state, action):
        return state + 1, jnp.log(-1.0 * state), jnp.where(state > 0, jnp.nan, 2.0), state == 0

    model = Model(lambda params, key: jnp.int32(0), step)
    found = planning.imagined_return(model, (), jnp.int32(0), jnp.zeros(3), jax.random.key(0), 1.0, lambda obs: obs)
    assert float(found) == 2.0


def test_a_policys_plan_is_what_it_would_do():
    key = jax.random.key(4)

    def policy(obs, key):
        return obs + jax.random.uniform(key)

    plan = planning.policy_plan(COUNTING, (), jnp.int32(0), jnp.float32(0), policy, key, 3)
    obs, wanted = 0.0, []
    for _ in range(3):
        key, act_key, _ = jax.random.split(key, 3)
        wanted.append(obs + float(jax.random.uniform(act_key)))
        obs += 1.0
    np.testing.assert_allclose(plan, wanted, rtol=1e-6)
