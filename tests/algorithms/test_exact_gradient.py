"""VPG's own update against the policy gradient: row by row, and in expectation, which a finite MDP has exactly."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from test_gradient_step import assert_gradient, shaken
from tiny import tiny

from jaxrl_up import VPG, tabular
from jaxrl_up.config import canonical
from jaxrl_up.learning import on_policy
from jaxrl_up.tabular import policy_gradients

S, A, LIMIT, ROWS, ENVS, LANES = 5, 2, 3, 4, 2, 4096
LANE = 16  # whose rows hold a termination, a time limit and the edge of the window
GAMMA = 0.4
PHI = ("trajectory_return", "reward_to_go", "reward_to_go_baseline", "q", "advantage")
BOTH_KINDS = ("trajectory_return", "advantage")  # with gamma^t and without: the others are tried by `-m thorough`


def tables(episodes):
    """Random tables: episodes of "two" steps, from states 0 and 1 by 2 and 3 to 4, or of "any" number, to 4 at last."""
    rng = np.random.default_rng(0)
    transition = rng.dirichlet(np.ones(S), (S, A))
    if episodes == "two":
        transition[:2, :, [0, 1, 4]] = 0
        transition[2:4, :, :4] = 0
        transition[:4] /= transition[:4].sum(-1, keepdims=True)
    start = [0.4, 0.6, 0, 0, 0]
    reward = rng.normal(1.0, 1.0, (S, A, S))
    return tabular.mdp(transition, reward, discount=GAMMA, terminal=[4], start=start, horizon=LIMIT)


def config_of(phi, gae_lambda):
    """An update is its gradient: nothing shortens it or changes its weights, and the critic stays."""
    fields = {"normalize_advantages": False, "normalize_returns": False, "max_grad_norm": None, "value_steps": 0}
    fields |= {"num_envs": ENVS, "rollout_length": ROWS, "hidden": (4,), "gamma": GAMMA}
    return canonical(tiny(VPG, phi=phi, gae_lambda=gae_lambda, **fields))


def begun(config, env, params, key):
    state = VPG.init(config, env, key)
    return state._replace(learner=state.learner._replace(params=params))


@jax.jit
def updated(config, env, params):
    """The state of the actor's optimiser after one update, of each lane."""

    def one(key):
        return VPG.update(config, env, begun(config, env, params, key))[0].learner.opt_state["actor"]

    return jax.vmap(one)(jax.random.split(jax.random.key(1), LANES))


@jax.jit
def collected(config, env, params, lane):
    """The rows of one of `updated`."""
    state = begun(config, env, params, jax.random.split(jax.random.key(1), LANES)[lane])
    return on_policy.collect(config, env, state, jax.random.split(state.key)[1])


@functools.cache
def learner(episodes):
    """(mdp, env, params, policy_of, V of the critic `[S]`)."""
    mdp = tables(episodes)
    env, config = tabular.as_env(mdp), config_of("q", 0.5)
    net = on_policy.network(config, env)
    params = shaken(jax.jit(net.init)(jax.random.key(0)), 0)
    shown = tabular.observations(mdp)

    def policy_of(actor):
        return jnp.exp(net.policy(actor, shown).log_probs())

    return mdp, env, params, policy_of, jax.jit(net.value)(params, shown)


def weights_by_hand(phi, reward, discount, going, value, next_value, gae_lambda):
    """Phi_t of one environment's rows, in plain numbers."""
    last, weights, first = len(reward) - 1, [0.0] * len(reward), 0
    to_go, estimate, advantage = ([0.0] * len(reward) for _ in range(3))
    for t in range(last, -1, -1):
        goes_on = t < last and going[t] == 1
        ahead = next_value[t]
        to_go[t] = reward[t] + discount[t] * (to_go[t + 1] if goes_on else ahead)
        mixed = (1 - gae_lambda) * ahead + gae_lambda * estimate[t + 1] if goes_on else ahead
        estimate[t] = reward[t] + discount[t] * mixed
        later = discount[t] * gae_lambda * advantage[t + 1] if goes_on else 0.0
        advantage[t] = reward[t] + discount[t] * ahead - value[t] + later
    for t in range(len(reward)):
        if t > 0 and going[t - 1] == 0:
            first = t
        weights[t] = {
            "trajectory_return": to_go[first],
            "reward_to_go": to_go[t],
            "reward_to_go_baseline": to_go[t] - value[t],
            "q": estimate[t],
            "advantage": advantage[t],
        }[phi]
    return weights


@pytest.mark.thorough("reward_to_go", "q")
@pytest.mark.parametrize("phi", PHI)
def test_one_update_is_the_estimator_row_by_row(phi):
    mdp, env, params, policy_of, _ = learner("any")
    rows = collected(config_of("advantage", 0.6), env, params, LANE)
    states, actions = np.asarray(rows.batch.obs), np.asarray(rows.batch.action)
    fields = (rows.reward, rows.discount, rows.going, rows.batch.value, rows.next_value)
    reward, discount, going, value, next_value = (np.asarray(x, np.float64) for x in fields)
    assert np.any(going == 0) and np.any((going == 0) & (discount > 0)) and np.any(going[-1] == 1)
    score = np.float64(jax.jit(lambda actor: policy_gradients.scores(mdp, policy_of, actor))(params["actor"]))
    total = np.zeros(score.shape[-1])
    for b in range(ENVS):
        columns = (x[:, b] for x in (reward, discount, going, value, next_value))
        for t, weight in enumerate(weights_by_hand(phi, *columns, 0.6)):
            total += score[states[t, b], actions[t, b]] * weight
    found = jax.tree.map(lambda x: np.asarray(x)[LANE], updated(config_of(phi, 0.6), env, params))
    assert_gradient(found, -total / (ROWS * ENVS))


def expected_gradient(weight_of):
    """E of an update of two-step episodes, as many numbers as the actor has: a loss is a mean over rows."""
    mdp, _, params, policy_of, values = learner("two")
    tau = tabular.all_trajectories(mdp)
    values = jnp.broadcast_to(values, (LIMIT + 1, S))

    @jax.jit
    def mean(actor):
        weight = weight_of(mdp, policy_of(actor), tau, values)
        return policy_gradients.gradient_moments(mdp, policy_of, actor, tau, weight).mean

    return -mean(params["actor"]) / 2


def of_practice(phi, gae_lambda):
    """The weights of VPG with its critic, of this room; G^lambda_t is the advantage plus V(s_t)."""

    def weight(mdp, policy, tau, values):
        options = {"values": values, "gae_lambda": gae_lambda, "discounted_states": False}
        if phi == "q":
            return policy_gradients.weights(mdp, policy, tau, "gae", baseline=-values[:-1], **options)
        name = {"advantage": "gae"}.get(phi, phi)
        return policy_gradients.weights(mdp, policy, tau, name, **options)

    return weight


def mean_and_error(phi, gae_lambda):
    """Of the gradients of all lanes, and the standard error of their mean."""
    _, env, params, *_ = learner("two")
    moment = updated(config_of(phi, gae_lambda), env, params).mu
    gradients = 10 * np.float64(jax.jit(jax.vmap(lambda tree: ravel_pytree(tree)[0]))(moment))
    return gradients.mean(0), gradients.std(0) / np.sqrt(LANES) + 1e-7


@pytest.mark.parametrize(
    "phi", [pytest.param(phi, marks=() if phi in BOTH_KINDS else pytest.mark.thorough) for phi in PHI]
)
def test_the_mean_update_is_the_expectation(phi):
    """With lambda = 1 that of all weights is one: exactly the policy gradient, but for the gamma^t of its states."""
    mdp, _, params, policy_of, _ = learner("two")

    @jax.jit
    def gradients(actor):
        usual = policy_gradients.policy_gradient_theorem(mdp, policy_of, actor, discounted_states=False)
        exact = policy_gradients.policy_gradient(mdp, policy_of, actor)
        return [-ravel_pytree(x)[0] / 2 for x in (exact, usual)]

    exact, usual = gradients(params["actor"])
    expected = {x: expected_gradient(of_practice(phi, x)) for x in (1.0, 0.3)}
    np.testing.assert_allclose(expected[1.0], exact if phi == "trajectory_return" else usual, rtol=1e-3, atol=1e-5)
    for gae_lambda, wanted in expected.items():
        mean, error = mean_and_error(phi, gae_lambda)
        assert np.abs((mean - wanted) / error).max() < 4
        other = {"trajectory_return": usual}.get(phi, exact)
        assert np.abs((mean - other) / error).max() > 10  # so many lanes tell them apart
    biased = phi in ("q", "advantage")
    assert biased == (np.abs((expected[0.3] - expected[1.0]) / error).max() > 10)
