"""Environments whose values and best actions are known exactly, learned by every algorithm."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import EVALUATION, clock, tiny, values

from jaxrl_up import ALGORITHMS, train
from jaxrl_up.config import canonical
from jaxrl_up.envs import Box, from_functions, probes

GAMMA = 0.9
LAMBDAS = (0.95, 1.0)
SHORT, LONG = 8, 32  # rollouts, around the time limit of 20

# Set where an algorithm has the field: quick, annealed learning.
LEARN = {
    "num_envs": 4,
    "num_epochs": 8,
    "num_minibatches": 1,
    "value_steps": 8,
    "optimizer": "adam",
    "gamma": GAMMA,
    "learning_rate": 0.03,
    "anneal_learning_rate": True,
    "max_grad_norm": None,
    "hidden": (16,),
}


@pytest.fixture(params=ALGORITHMS.values(), ids=ALGORITHMS.keys(), scope="module")
def algo(request):
    yield request.param
    jax.clear_caches()


def learning(algo, updates, **fields):
    config = tiny(algo, **{**LEARN, **fields})
    return config.replace(total_steps=updates * algo.steps_per_update(config))


def learned_values(algo, env, config, obs):
    """`[len(LAMBDAS), N]`"""

    @jax.jit
    @jax.vmap
    def run(gae_lambda):
        state, _ = train(algo, env, config.replace(gae_lambda=gae_lambda), jax.random.key(0), 1, EVALUATION)
        return values(canonical(config), env, state, jnp.asarray(obs))

    return run(jnp.asarray(LAMBDAS))


@pytest.mark.parametrize("rollout", [SHORT, LONG])
def test_a_time_limit_is_not_an_end(algo, rollout):
    """V = r / (1 - gamma) where only a time limit ends episodes."""
    config = learning(algo, 400, rollout_length=rollout)
    learned = learned_values(algo, probes.constant_reward(1.0, max_steps=20), config, [[0.0]])
    np.testing.assert_allclose(learned, 1 / (1 - GAMMA), rtol=0.02)


def test_a_time_limit_bootstraps_from_the_state_reached(algo):
    """Not from the observation after the reset, which has another value."""
    learned = learned_values(algo, clock(max_steps=6), learning(algo, 500), np.eye(4))
    known = GAMMA ** ((4 - np.arange(4)) % 4) / (1 - GAMMA**4)
    np.testing.assert_allclose(learned, np.stack([known] * 2), rtol=0.02)


@pytest.mark.parametrize(
    ("probe", "obs", "known"),
    [
        (probes.delayed_reward, [[0.0], [1.0]], [GAMMA, 1.0]),
        (lambda: probes.count_steps(terminate_at=3, max_steps=3), [[0.0], [1.0], [2.0]], [2.71, 1.9, 1.0]),
    ],
    ids=["delayed_reward", "both_flags"],
)
def test_values_of_probes(algo, probe, obs, known):
    learned = learned_values(algo, probe(), learning(algo, 300), obs)
    np.testing.assert_allclose(learned, [known] * 2, atol=0.05)


def targets():
    """Show -1 or +1, pay minus the squared distance to [2 + o, 10 o], in units of the bounds, and terminate."""
    return from_functions(
        _targets_reset, _targets_step, Box(-1, 1, (1,)), Box([1.0, -30.0], [5.0, 10.0], (2,)), name="targets"
    )


def _targets_reset(key):
    sign = jax.random.rademacher(key, (1,), jnp.float32)
    return sign, sign


def _targets_step(key, sign, action):
    distance = (action - jnp.concatenate([2 + sign, 10 * sign - 10])) / jnp.array([2.0, 20.0])
    return sign, sign, -jnp.sum(distance**2), jnp.bool_(True), jnp.bool_(False)


@pytest.mark.parametrize(
    ("make", "best", "worst_return"),
    [(probes.matched_action_reward, [0, 1], 0.99), (targets, [[1.0, -20.0], [3.0, 0.0]], -0.02)],
    ids=["discrete", "box"],
)
def test_best_actions(algo, make, best, worst_return):
    env = make()
    if type(env.action_space).__name__ not in algo.action_spaces:
        pytest.skip("not an action space of this algorithm")
    config = learning(algo, 300, num_envs=16, learning_rate=0.01, initial_log_std=-1.0)
    state, log = train(algo, env, config, jax.random.key(0), 2, EVALUATION)
    actions = algo.act(canonical(config), env, state.policy, jnp.asarray([[-1.0], [1.0]]), None)
    tolerance = 0.1 * np.subtract(*reversed(env.action_space.bounds())) if make is targets else 0
    assert np.all(np.abs(actions - np.asarray(best)) <= tolerance)
    assert float(log.returns[-1]) > worst_return
