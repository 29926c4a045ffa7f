"""MBVE: its targets against a loop, its base where nothing is imagined, and what the true model makes of the error."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_gradient_step import FIELDS, GAMMA, ROWS, assert_gradient, assert_unread, batch_for, rows_of, setting
from tiny import targets, tiny

from jaxrl_up import ALGORITHMS, MBVE, envs, ops, run
from jaxrl_up.algorithms import ddpg, mbve, td3
from jaxrl_up.config import canonical
from jaxrl_up.learning import models, training_env


@pytest.mark.thorough("td3")
@pytest.mark.parametrize("base", ["ddpg", "td3"])
def test_without_imagined_steps_a_gradient_step_is_the_bases_bit_for_bit(base):
    _, _, env, learner, batch, noise, learn = setting("mbve", base=base, horizon=0)
    learn_base = {"ddpg": ddpg, "td3": td3}[base].learn
    other = jax.jit(functools.partial(learn_base, canonical(tiny(ALGORITHMS[base], **FIELDS)), env))
    for step in range(2):
        found, losses, _ = learn(learner, batch, noise, jnp.int32(step))
        wanted, known, _ = other(learner, batch, noise[0], jnp.int32(step))
        for part in ("actor", "critic"):
            for one, two in zip(jax.tree.leaves(found.params[part]), jax.tree.leaves(wanted.params[part]), strict=True):
                np.testing.assert_array_equal(one, two)
        assert float(losses["critic_loss"]) == float(known["critic_loss"])


def deterministic():
    """What the tests below imagine in: a number that moves by the action, and ends here and there."""
    return {
        "transition": lambda obs, action: 0.5 * obs + jnp.sum(action),
        "reward": lambda obs, action, next_obs: jnp.sum(obs) - next_obs[0],
        "termination": lambda obs, action, next_obs: jnp.sin(7.0 * next_obs[0]) > 0.0,
    }


@pytest.mark.thorough("ddpg-False", "td3")
@pytest.mark.parametrize("td_k", [True, False])
@pytest.mark.parametrize("base", ["ddpg", "td3"])
def test_the_critics_step_against_a_loop(base, td_k):
    """Row by row and step by step: rewards, the power of gamma, ends, and which imagined states count."""
    env = training_env(targets())
    known = deterministic()
    module, config, env, learner, batch, noise, learn = setting("mbve", base=base, horizon=3, td_k=td_k, **known)
    net = module.network(config, env)
    mu = lambda obs: jnp.tanh(net.actor(learner.target_params["actor"], obs[None])[0][0])  # noqa: E731
    critics = lambda params, obs, action: net.critics(params, obs[None], action[None])[:, 0]  # noqa: E731
    ended = []

    def loss(critic):
        total = 0.0
        for i, row in enumerate(rows_of(batch)):
            path = [(row.obs, row.action, row.reward, row.discount)]
            obs = row.next_obs
            while len(path) <= 3 and path[-1][3] > 0:
                action = mu(obs)
                did = envs.from_unit(action, env.action_space)
                reached = known["transition"](obs, did)
                ends = bool(known["termination"](obs, did, reached))
                ended.extend([ends] if row.weight > 0 else [])
                path.append((obs, action, known["reward"](obs, did, reached), 0.0 if ends else GAMMA))
                obs = reached
            action = mu(obs)
            if base == "td3":
                action = jnp.clip(action + jnp.clip(0.5 * noise[0][i], -0.4, 0.4), -1, 1)
            y = min(critics(learner.target_params["critic"], obs, action))
            for t, (obs, action, reward, discount) in reversed(list(enumerate(path))):
                y = reward + (discount * y if discount > 0 else 0.0)
                if t == 0 or td_k:
                    total += row.weight * jnp.sum((y - critics(critic, obs, action)) ** 2)
        return total / ROWS / (4 if td_k else 1)

    learned, _, _ = learn(learner, batch, noise, jnp.int32(0))
    assert_gradient(learned.opt_state["critic"], jax.grad(loss)(learner.params["critic"]))
    assert any(ended) and not all(ended)
    assert_unread(learn, learner, batch, noise)


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def errors(horizon, transition, number=256):
    """Mean square error of targets, by critics that know nothing, in a walk without an end.

    The true returns are found by following the target policy.
    """
    env = training_env(walk())
    config = canonical(tiny(MBVE, horizon=horizon, transition=transition, reward=earns, termination=never, gamma=0.9))
    learner = MBVE.init(config, env, jax.random.key(0)).learner
    rng = np.random.default_rng(0)
    batch = batch_for(env, 1)
    rows = jax.tree.map(lambda x: jnp.resize(x, (number, *x.shape[1:])), batch)
    obs = jnp.asarray(rng.normal(size=(number, 1)), jnp.float32)
    mu = mbve.ddpg.policy(config, env, learner.target_params["actor"], obs)
    step = jax.vmap(true_transition)(obs, mu)
    rows = rows._replace(
        obs=obs, action=mu, reward=jax.vmap(earns)(obs, mu, step), discount=jnp.full(number, 0.9),
        next_obs=step, weight=jnp.ones(number),
    )  # fmt: skip
    noise = MBVE_NOISE(config, env, jax.random.key(1), (number,))
    _, target, _ = mbve.expand(config, env, learner.params, learner.target_params, rows, noise)

    # the true return, by following the policy for as long as it counts
    def follow(carry, _):
        total, state, weight = carry
        action = mbve.ddpg.policy(config, env, learner.target_params["actor"], state)
        after = jax.vmap(true_transition)(state, action)
        return (total + weight * jax.vmap(earns)(state, action, after), after, weight * 0.9), None

    total = jax.lax.scan(follow, (rows.reward, step, jnp.float32(0.9)), length=200)[0][0]
    return jnp.mean(jnp.square(target[0] - total))


MBVE_NOISE = mbve.BROUGHT.learning_noise


def walk():
    def reset(key):
        return jnp.zeros(1), jnp.zeros(1)

    def step(key, state, action):
        state = true_transition(state, action)
        return state, state, earns(state, action, state), jnp.bool_(False), jnp.bool_(False)

    return envs.from_functions(reset, step, envs.Box(-99, 99, (1,)), envs.Box(-1.0, 1.0, (1,)), 9, name="walk")


def true_transition(obs, action):
    return 0.9 * obs + 0.1 * action


def wrong_transition(obs, action):
    return 0.9 * obs + 0.1 * action + 0.3


def earns(obs, action, next_obs):
    return 1.0 - jnp.square(next_obs[0])


def never(obs, action, next_obs):
    return jnp.bool_(False)


def test_the_error_of_a_target_falls_with_the_horizon_in_the_true_model_and_not_in_a_wrong_one():
    """Theorem 3.1 of Feinberg et al. 2018: by gamma^2 a step, where critics know nothing of the values."""
    true = [float(errors(h, true_transition)) for h in (0, 1, 3, 6)]
    steps = (1, 2, 3)
    assert all(after < 0.95 ** (2 * h) * before for before, after, h in zip(true, true[1:], steps, strict=False))
    wrong = [float(errors(h, wrong_transition)) for h in (1, 6)]
    assert wrong[0] > true[1] and wrong[1] > 2 * true[3]


def test_what_it_cannot_do_is_refused_in_one_line():
    for fields, message in (
        ({"transition": "true"}, r"transition='true': choose 'learned', or give a function \(obs, action\)"),
        ({"base": "sac"}, "base='sac'"),
    ):
        with pytest.raises(ValueError, match=message):
            run(MBVE, walk(), tiny(MBVE, **fields), 1, progress=False)


def test_branches_are_dealt_out_to_all_members_and_change_hands():
    """Of members that each add their own number."""
    env = training_env(walk())
    dynamics = models.dynamics_of(env, members=3, hidden=(), probabilistic=False)
    params = dynamics.init(jax.random.key(0))
    networks = jax.tree.map(jnp.zeros_like, params["networks"])
    networks["params"]["mean"]["Dense_0"]["bias"] = jnp.array([[1.0, 0.0], [10.0, 0.0], [100.0, 0.0]])
    outputs = ops.RunningStatistics(jnp.float32(2.0), jnp.zeros(2), 2 * jnp.ones(2))  # of mean 0 and deviation 1
    params = {**params, "networks": networks, "outputs": outputs}
    config = canonical(tiny(MBVE, members=3, probabilistic=False))
    policy = lambda obs, key: jnp.zeros((obs.shape[0], 1))  # noqa: E731
    steps = models.branch(config, env, dynamics, params, policy, jnp.zeros((4, 1)), jax.random.key(1), 3)
    added = np.rint(np.asarray(steps.next_obs - steps.obs)[..., 0])
    np.testing.assert_array_equal(added[0], [1, 1, 10, 10])  # 2, 2 and, filled up, none for the third
    np.testing.assert_array_equal(added[1], [100, 100, 1, 1])
    np.testing.assert_array_equal(added[2], [10, 10, 100, 100])


def test_a_branch_that_ends_begins_anew_where_it_began():
    env = training_env(walk())
    config = canonical(
        tiny(MBVE, transition=lambda o, a: o + 1.0, reward=earns, termination=lambda o, a, n: n[0] > 1.5)
    )
    dynamics = models.ensemble_beside(config, env)
    params = dynamics.init(jax.random.key(0))
    policy = lambda obs, key: jnp.zeros((obs.shape[0], 1))  # noqa: E731
    obs = jnp.array([[0.0], [1.0]])
    steps = models.branch(config, env, dynamics, params, policy, obs, jax.random.key(1), 3)
    np.testing.assert_array_equal(steps.obs[..., 0], [[0, 1], [1, 1], [0, 1]])
    np.testing.assert_array_equal(steps.next_obs[..., 0], [[1, 2], [2, 2], [1, 2]])
    np.testing.assert_array_equal(steps.terminated, [[False, True], [True, True], [False, True]])
