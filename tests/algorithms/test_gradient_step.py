"""One gradient step of each off-policy algorithm against its paper, row by row.

Online and target networks, observations and successors all differ, so that each in another's place is seen. Adam's
first moment after a first step is a tenth of the gradient.
"""

import functools
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import cartpole, targets, tiny

from jaxrl_up import ALGORITHMS
from jaxrl_up.config import canonical
from jaxrl_up.learning import Transitions, training_env

ROWS, GAMMA, TAU, ALPHA = 6, 0.9, 0.25, 0.3
FIELDS = {"gamma": GAMMA, "tau": TAU, "alpha": ALPHA, "v_min": -2.0, "v_max": 2.0, "num_atoms": 5, "num_quantiles": 3}
FIELDS |= {"max_grad_norm": None, "target_noise": 0.5, "target_noise_clip": 0.4, "policy_delay": 2, "target_every": 3}


def shaken(tree, seed):
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda x: jnp.asarray(x + rng.normal(scale=0.5, size=x.shape).astype(x.dtype)), on_host(tree))


def on_host(tree):
    return jax.tree.map(np.asarray, tree)


def flat(tree):
    """All numbers of a tree, which compiles nothing."""
    return np.concatenate([np.ravel(x) for x in jax.tree.leaves(tree)])


def batch_for(env, n_step):
    rng = np.random.default_rng(2)
    obs, next_obs = rng.normal(size=(2, ROWS, *env.observation_space.shape)).astype(np.float32)
    if env.action_space.shape:
        action = rng.uniform(-1, 1, (ROWS, *env.action_space.shape)).astype(np.float32)
    else:
        action = rng.integers(0, 2, ROWS).astype(np.int32)
    given = (obs, action, rng.normal(size=ROWS), GAMMA * np.array([1, 1, 0, 1, 1, 0]), next_obs)
    weight = [1, 0.5, 1, 0.0, 2, 1]
    inner_obs = rng.normal(size=(ROWS, n_step - 1, *env.observation_space.shape))
    inner_discount = GAMMA * rng.integers(0, 2, (ROWS, n_step - 1))
    given += (weight, np.arange(ROWS), inner_obs, inner_discount)
    return Transitions(*(jnp.asarray(x, np.int32 if np.asarray(x).dtype.kind == "i" else np.float32) for x in given))


def setting(name, **fields):
    """(module, config, env, learner, batch, noise, learn) for an algorithm."""
    algo = ALGORITHMS[name]
    module = sys.modules[algo.Config.__module__]
    env = cartpole() if "Discrete" in algo.action_spaces else training_env(targets())
    config = canonical(tiny(algo, **{**FIELDS, **fields}))
    fresh = jax.jit(lambda key: algo.init(config, env, key).learner)(jax.random.key(0))
    learner = fresh._replace(params=shaken(fresh.params, 0), target_params=shaken(fresh.target_params, 1))
    if "model" in fresh.params:  # whose statistics are no weights
        learner.params["model"] = fresh.params["model"]
    noise = module.BROUGHT.learning_noise(config, env, jax.random.key(3), (ROWS,))
    learn = jax.jit(functools.partial(module.BROUGHT.learn, config, env))
    return module, config, env, learner, batch_for(env, config.n_step), noise, learn


def rows_of(batch):
    rows = [jax.tree.map(lambda x, i=i: np.asarray(x)[i], batch) for i in range(ROWS)]
    return jax.tree.map(jnp.asarray, rows)


def mean(losses):
    return sum(losses) / len(losses)


def assert_gradient(opt_state, gradient):
    """`gradient` is what the optimiser was given."""
    np.testing.assert_allclose(10 * flat(opt_state.mu), flat(gradient), rtol=2e-3, atol=2e-5)


def assert_tracks(learner, before, part):
    wanted = TAU * flat(learner.params[part]) + (1 - TAU) * flat(before.target_params[part])
    np.testing.assert_allclose(flat(learner.target_params[part]), wanted, rtol=1e-5)


def assert_stays(tree, before):
    np.testing.assert_array_equal(flat(tree), flat(before))


def assert_unread(learn, learner, batch, noise):
    """Neither the successor of a row that ended or has no weight nor what lies behind an end is read."""
    given = on_host(batch)
    ended = ((given.discount == 0) | (given.weight == 0)).reshape(-1, *[1] * (given.next_obs.ndim - 1))
    behind = (given.inner_discount == 0).reshape(*given.inner_discount.shape, *[1] * (given.next_obs.ndim - 1))
    hidden = batch._replace(
        next_obs=jnp.asarray(np.where(ended, np.float32(np.nan), given.next_obs)),
        inner_obs=jnp.asarray(np.where(behind, np.float32(np.nan), given.inner_obs)),
    )
    assert np.any(np.isnan(hidden.next_obs))
    both = (flat(learn(learner, given, noise, jnp.int32(1))) for given in (batch, hidden))
    np.testing.assert_array_equal(*both)


def projected(probs, places, support):
    """Algorithm 1 of C51, atom by atom."""
    out, step = np.zeros(len(support)), support[1] - support[0]
    for p, place in zip(probs, places, strict=True):
        b = (np.clip(place, support[0], support[-1]) - support[0]) / step
        low = int(np.floor(b))
        out[low] += p * (1 - (b - low))
        if b > low:
            out[low + 1] += p * (b - low)
    return out


def quantile_huber(quantiles, targets):
    total = 0.0
    for i in range(len(quantiles)):
        tau = (2 * i + 1) / (2 * len(quantiles))
        for target in targets:
            u = target - quantiles[i]
            huber = jnp.where(jnp.abs(u) <= 1, u**2 / 2, jnp.abs(u) - 0.5)
            total += jnp.where(u < 0, 1 - tau, tau) * huber / len(targets)
    return total


@pytest.mark.exhaustive("dqn-huber-False", "c51-None-False", "qr_dqn-None-False")
@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize(("name", "loss"), [("dqn", "squared"), ("dqn", "huber"), ("c51", None), ("qr_dqn", None)])
def test_q_learning(name, loss, double):
    module, config, env, learner, batch, noise, learn = setting(name, loss=loss, double=double)
    net = module.network(config, env)
    support = np.linspace(-2, 2, 5)
    outputs = lambda params, obs: net.apply(params, obs[None])[0]  # noqa: E731

    def values(params, obs):
        y = outputs(params, obs)
        return {"dqn": lambda: y, "c51": lambda: jax.nn.softmax(y) @ support, "qr_dqn": lambda: y.mean(-1)}[name]()

    def goal(row):
        target = learner.target_params["q"]
        best = int(np.argmax(values(learner.params["q"] if double else target, row.next_obs)))
        ahead = outputs(target, row.next_obs)[best]
        if name != "c51":
            return row.reward + row.discount * ahead
        return projected(np.asarray(jax.nn.softmax(ahead)), np.asarray(row.reward + row.discount * support), support)

    def row_loss(params, row):
        here = outputs(params, row.obs)[row.action]
        if name == "c51":
            return -jnp.sum(goal(row) * jax.nn.log_softmax(here))
        if name == "qr_dqn":
            return quantile_huber(here, goal(row))
        error = goal(row) - here
        return jnp.where(jnp.abs(error) <= 1, error**2 / 2, jnp.abs(error) - 0.5) if loss == "huber" else error**2 / 2

    def rank(row):
        """How far the prediction is from the target: 0 where they agree, also where the loss is not."""
        here = outputs(learner.params["q"], row.obs)[row.action]
        if name != "c51":
            return abs(jnp.mean(goal(row)) - jnp.mean(here))
        return sum(m * np.log(m / p) for m, p in zip(goal(row), np.asarray(jax.nn.softmax(here)), strict=True) if m > 0)

    gradient = jax.grad(lambda q: mean([row.weight * row_loss(q, row) for row in rows_of(batch)]))(learner.params["q"])
    _, _, error = learn(learner, batch, noise, jnp.int32(0))
    for found, row in zip(error, rows_of(batch), strict=True):
        if row.weight > 0:
            np.testing.assert_allclose(abs(found), rank(row), rtol=1e-3, atol=1e-5)
    assert_unread(learn, learner, batch, noise)
    for step in range(3):
        learned, _, _ = learn(learner, batch, noise, jnp.int32(step))
        assert_gradient(learned.opt_state["q"], gradient)
        if step == 2:  # every third gradient step
            assert_tracks(learned, learner, "q")
        else:
            assert_stays(learned.target_params, learner.target_params)


@pytest.mark.parametrize("name", ["ddpg", "td3"])
def test_deterministic_policy_gradient(name):
    module, config, env, learner, batch, noise, learn = setting(name)
    net = module.network(config, env)
    mu = lambda actor, obs: jnp.tanh(net.actor(actor, obs[None])[0][0])  # noqa: E731
    critics = lambda params, obs, action: net.critics(params, obs[None], action[None])[:, 0]  # noqa: E731

    def critic_loss(critic):
        losses = []
        for i, row in enumerate(rows_of(batch)):
            action = mu(learner.target_params["actor"], row.next_obs)
            if name == "td3":
                action = jnp.clip(action + jnp.clip(0.5 * noise[i], -0.4, 0.4), -1, 1)
            y = row.reward + row.discount * jnp.min(critics(learner.target_params["critic"], row.next_obs, action))
            losses.append(row.weight * jnp.sum((y - critics(critic, row.obs, row.action)) ** 2))
        return mean(losses)

    @jax.jit
    @jax.grad
    def actor_gradient(actor, critic):
        return mean([-row.weight * critics(critic, row.obs, mu(actor, row.obs))[0] for row in rows_of(batch)])

    gradient = jax.jit(jax.grad(critic_loss))(learner.params["critic"])
    assert_unread(learn, learner, batch, noise)
    for step in range(4):
        learned, _, _ = learn(learner, batch, noise, jnp.int32(step))
        assert_gradient(learned.opt_state["critic"], gradient)
        if name == "td3" and step % 2 == 0:  # the actor and all targets wait
            assert_stays(learned.params["actor"], learner.params["actor"])
            assert_stays(learned.target_params, learner.target_params)
            continue
        # the critic has stepped before the actor
        assert_gradient(learned.opt_state["actor"], actor_gradient(learner.params["actor"], learned.params["critic"]))
        assert_tracks(learned, learner, "critic")
        assert_tracks(learned, learner, "actor")


@pytest.mark.thorough("sac--5.0-1", "sac_discrete-5.0-3")
@pytest.mark.parametrize(("target_entropy", "n_step"), [(-5.0, 1), (5.0, 3)])  # too much entropy, and too little
@pytest.mark.parametrize("name", ["sac", "sac_discrete"])
def test_soft_actor_critic(name, target_entropy, n_step):
    module, config, env, learner, batch, noise, learn = setting(name, target_entropy=target_entropy, n_step=n_step)
    learner.params["log_alpha"] = jnp.log(ALPHA)
    old, target = learner.params, learner.target_params["critic"]

    def distribution(actor, obs, eps):
        """Actions that may be taken, their probabilities in an expectation, and their log-probabilities."""
        if name == "sac_discrete":
            log_probs = module.policy(config, env, actor, obs[None]).log_probs()[0]
            return jnp.arange(2), jnp.exp(log_probs), log_probs
        m, log_std = (x[0] for x in module.network(config, env).actor(actor, obs[None]))
        action = jnp.tanh(m + jnp.exp(log_std) * eps)
        log_prob = jnp.sum(-0.5 * eps**2 - log_std - 0.5 * jnp.log(2 * jnp.pi) - jnp.log(1 - action**2))
        return action[None], jnp.ones(1), log_prob[None]

    def critics(params, obs, action):
        if name == "sac_discrete":
            return module.critic_network(config, env).apply(params, obs[None])[:, 0, action]
        return module.network(config, env).critics(params, obs[None], action[None])[:, 0]

    critic_eps, actor_eps = (np.zeros((ROWS, n_step)), np.zeros(ROWS)) if name == "sac_discrete" else noise

    def soft_value(params, actor, obs, eps):
        drawn = zip(*distribution(actor, obs, eps), strict=True)
        return sum(p * (jnp.min(critics(params, obs, a)) - ALPHA * log_p) for a, p, log_p in drawn)

    def critic_loss(critic):
        losses = []
        for i, row in enumerate(rows_of(batch)):
            y = row.reward + row.discount * soft_value(target, old["actor"], row.next_obs, critic_eps[i, -1])
            for j in range(n_step - 1):
                _, p, log_p = distribution(old["actor"], row.inner_obs[j], critic_eps[i, j])
                y -= row.inner_discount[j] * ALPHA * jnp.sum(p * log_p)
            losses.append(row.weight * jnp.sum((y - critics(critic, row.obs, row.action)) ** 2))
        return mean(losses)

    def actor_loss(actor):
        rows = enumerate(rows_of(batch))
        critic = learned.params["critic"]  # which has stepped before the actor
        return mean([-row.weight * soft_value(critic, actor, row.obs, actor_eps[i]) for i, row in rows])

    def entropy():
        rows = [distribution(old["actor"], row.obs, actor_eps[i]) for i, row in enumerate(rows_of(batch))]
        return mean([-jnp.sum(p * log_p) for _, p, log_p in rows])

    assert_unread(learn, learner, batch, noise)
    learned, losses, _ = learn(learner, batch, noise, jnp.int32(0))
    assert_gradient(learned.opt_state["critic"], jax.jit(jax.grad(critic_loss))(old["critic"]))
    assert_gradient(learned.opt_state["actor"], jax.jit(jax.grad(actor_loss))(old["actor"]))
    assert_gradient(learned.opt_state["log_alpha"], ALPHA * (jax.jit(entropy)() - target_entropy))
    assert (learned.params["log_alpha"] < old["log_alpha"]) == (losses["entropy"] > target_entropy)
    assert_tracks(learned, learner, "critic")


@pytest.mark.thorough("ddpg", "td3", "sac_discrete")
@pytest.mark.parametrize("name", ["ddpg", "td3", "sac", "sac_discrete"])
def test_random_first_steps_are_a_branch_under_vmap(name):
    """The policy is not computed while steps are random: no branch is chosen seed by seed."""
    algo = ALGORITHMS[name]
    env = cartpole() if "Discrete" in algo.action_spaces else targets()
    config = canonical(tiny(algo))
    keys = jax.random.split(jax.random.key(0), 3)
    states = jax.eval_shape(jax.vmap(lambda key: algo.init(config, env, key)), keys)
    states = states._replace(counters=jax.eval_shape(lambda x: jax.tree.map(lambda x: x[0], x), states.counters))
    axes = jax.tree.map(lambda _: 0, states)._replace(counters=None)
    jaxpr = jax.make_jaxpr(jax.vmap(lambda state: algo.update(config, env, state), (axes,)))(states)
    branches = [eqn for eqn in equations(jaxpr.jaxpr) if eqn.primitive.name == "cond"]
    comparisons = [eqn.invars[0].aval.shape for eqn in branches]
    assert comparisons and set(comparisons) == {()}
    policy_inside = [
        any(e.primitive.name == "dot_general" for b in eqn.params["branches"] for e in equations(b.jaxpr))
        for eqn in branches
    ]
    assert any(policy_inside)


def equations(jaxpr):
    """All equations of a program, those within others too."""
    for eqn in jaxpr.eqns:
        yield eqn
        for inner in jax.tree.leaves(list(eqn.params.values()), is_leaf=lambda x: hasattr(x, "eqns")):
            if hasattr(inner, "eqns"):
                yield from equations(inner)
