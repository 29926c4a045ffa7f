"""Learned dynamics: their loss against a loop, what must not be read, errors over a horizon, a model as environment."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxrl_up import PPO, envs, ops, run
from jaxrl_up.envs import Box, Discrete, Model, from_functions
from jaxrl_up.learning import models

N, D = 6, 2
SMALL = {"members": 2, "hidden": (8,)}


def box_env(**fields):
    def reset(key):
        return jnp.zeros(D), jnp.zeros(D)

    def step(key, state, action):
        return state, state, 0.0, jnp.bool_(False), jnp.bool_(False)

    return from_functions(reset, step, Box(-9, 9, (D,)), Box(-2.0, 2.0, (1,)), **fields)


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    return models.Targets(
        obs=jnp.array(rng.normal(size=(N, D)), jnp.float32),
        action=jnp.array(rng.uniform(-1, 1, size=(N, 1)), jnp.float32),
        reward=jnp.array(rng.normal(size=N), jnp.float32),
        terminated=jnp.array([False, False, True, False, True, False]),
        next_obs=jnp.array(rng.normal(size=(N, D)), jnp.float32),
        weight=jnp.array([1.0, 1.0, 1.0, 0.0, 1.0, 1.0]),
    )


def begun(probabilistic, rows):
    dynamics = models.dynamics_of(box_env(), probabilistic=probabilistic, **SMALL)
    return dynamics, jax.jit(lambda rows: dynamics.observe(dynamics.init(jax.random.key(0)), rows))(rows)


COUNTS = jnp.array([[1.0, 0.0, 2.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 3.0, 0.0, 2.0]])


@pytest.mark.parametrize("probabilistic", [True, False])
def test_the_loss_is_that_of_a_loop(probabilistic, rows):
    dynamics, params = begun(probabilistic, rows)

    @jax.jit
    def program(params, rows):
        said = [dynamics.predict(dynamics.member(params, e), rows.obs, rows.action) for e in range(2)]
        change = jnp.concatenate([rows.next_obs - rows.obs, rows.reward[:, None]], axis=1)
        plain, _ = dynamics._replace(beta=0.0).loss(params, rows, COUNTS)
        return *dynamics.loss(params, rows, COUNTS), plain, said, ops.normalize(params["outputs"], change)

    found, losses, plain, predicted, targets = jax.tree.map(np.asarray, program(params, rows))
    rows = jax.tree.map(np.asarray, rows)
    fits, squares, endings = [], [], []
    for e in range(2):
        said = predicted[e]
        fit, square, ending, numbers, number = 0.0, 0.0, 0.0, 0.0, 0.0
        for i in range(N):
            if rows.weight[i] == 0:
                continue
            count, ends = float(COUNTS[e, i]), bool(rows.terminated[i])
            probability = 1 / (1 + np.exp(-float(said.termination[i])))
            ending -= count * np.log(probability if ends else 1 - probability)
            number += count
            target = targets[i]
            for k in range(D + 1):
                if ends and k < D:
                    continue
                error = target[k] - float(said.mean[i, k])
                log_variance = float(said.log_variance[i, k])
                fit += count * ((error**2 / np.exp(log_variance) + log_variance) / 2 if probabilistic else error**2)
                square += count * error**2
                numbers += count
        fits, squares, endings = [*fits, fit / numbers], [*squares, square / numbers], [*endings, ending / number]
    np.testing.assert_allclose(losses["model_loss"], np.mean(fits), rtol=1e-4)
    np.testing.assert_allclose(losses["model_error"], np.mean(squares), rtol=1e-4)
    np.testing.assert_allclose(losses["ending_loss"], np.mean(endings), rtol=1e-4)
    width = 0.01 * 10.5 if probabilistic else 0.0
    np.testing.assert_allclose(plain, np.mean(fits) + np.mean(endings) + width, rtol=1e-4)
    assert (found != plain) == probabilistic


def test_rows_taken_for_noise_are_followed_too(rows):
    """With beta 1 the gradient of the means is that of the squared error, whatever the variances."""
    dynamics, params = begun(True, rows)

    def at_the_means(gradient):
        return jax.tree.leaves(gradient["networks"]["params"]["mean"])

    def gradient(dynamics, scale):
        def loss(params):
            return scale * dynamics.loss(params, rows, COUNTS)[0]

        return at_the_means(jax.jit(jax.grad(loss))(params))

    squares = gradient(dynamics.by_means, 0.5)
    for one, other in zip(gradient(dynamics._replace(beta=1.0), 1.0), squares, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_what_follows_an_ending_is_not_read(rows):
    """It is an observation of another episode."""
    dynamics = models.dynamics_of(box_env(), **SMALL)
    other = rows._replace(next_obs=jnp.where(rows.terminated[:, None], jnp.nan, rows.next_obs))

    def all_of(rows):
        params = dynamics.observe(dynamics.init(jax.random.key(0)), rows)
        return params, jax.grad(lambda p: dynamics.loss(p, rows, COUNTS)[0])(params)

    for one, same in zip(*map(jax.tree.leaves, map(jax.jit(all_of), (rows, other))), strict=True):
        np.testing.assert_array_equal(one, same)


def test_a_row_without_weight_changes_nothing(rows):
    dynamics = models.dynamics_of(box_env(), **SMALL)
    out = (rows.weight == 0.0)[:, None]
    other = rows._replace(obs=jnp.where(out, 7.0, rows.obs), reward=jnp.where(out[:, 0], 9.0, rows.reward))

    @jax.jit
    def loss(rows):
        return dynamics.loss(dynamics.observe(dynamics.init(jax.random.key(0)), rows), rows, COUNTS)[0]

    np.testing.assert_array_equal(loss(rows), loss(other))


def test_statistics_are_of_inputs_and_changes(rows):
    _, params = begun(True, rows)
    counts = np.array(rows.weight > 0)
    inputs = np.concatenate([rows.obs, rows.action], axis=1)[counts]
    np.testing.assert_allclose(params["inputs"].mean, inputs.mean(0), rtol=1e-5, atol=1e-6)
    counts &= ~np.asarray(rows.terminated)
    changes = np.concatenate([rows.next_obs - rows.obs, rows.reward[:, None]], axis=1)[counts]
    statistics = params["outputs"]
    np.testing.assert_allclose(statistics.mean, changes.mean(0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(np.sqrt(statistics.m2 / statistics.count), changes.std(0), rtol=1e-5)


def test_no_gradient_moves_the_statistics(rows):
    dynamics, params = begun(True, rows)
    gradient = jax.jit(jax.grad(lambda p: dynamics.loss(p, rows, COUNTS)[0]))(params)
    assert all(np.all(np.asarray(x) == 0) for k in ("inputs", "outputs") for x in jax.tree.leaves(gradient[k]))
    assert any(np.any(np.asarray(x) != 0) for x in jax.tree.leaves(gradient["bounds"]))


def test_a_change_of_units_is_undone_by_the_statistics(rows):
    """What is learned does not depend on the units of observations and rewards."""
    dynamics, params = begun(True, rows)
    bigger = rows._replace(obs=100 * rows.obs, next_obs=100 * rows.next_obs, reward=10 * rows.reward)
    _, other = begun(True, bigger)

    @jax.jit
    def found(params, rows):
        member, key = dynamics.member(params, 0), jax.random.key(1)
        step = dynamics.by_means.step(member, key, rows.obs[0], rows.action[0])
        return dynamics.loss(params, rows, COUNTS)[0], step

    (loss, one), (same, two) = found(params, rows), found(other, bigger)
    np.testing.assert_allclose(loss, same, rtol=1e-4)
    np.testing.assert_allclose(100 * one[0], two[0], rtol=1e-3)
    np.testing.assert_allclose(10 * one[1], two[1], rtol=1e-3)


def test_variances_stay_between_their_bounds(rows):
    dynamics, params = begun(True, rows)
    member = dynamics.member(params, 0)
    said = dynamics.predict(member, 1e4 * rows.obs, rows.action)
    assert np.all(said.log_variance >= -10.0) and np.all(said.log_variance <= 0.5 + 1e-3)


def test_steps_are_drawn_from_what_is_predicted(rows):
    dynamics, params = begun(True, rows)
    member = dynamics.member(params, 1)
    keys = jax.random.split(jax.random.key(0), 4000)
    step = jax.jit(jax.vmap(lambda key: dynamics.step(member, key, rows.obs[0], rows.action[0])))
    drawn, reward, ends = step(keys)
    said = dynamics.predict(member, rows.obs[:1], rows.action[:1])
    scale = np.sqrt(params["outputs"].m2 / params["outputs"].count)
    mean = said.mean[0] * scale + params["outputs"].mean
    std = np.exp(0.5 * said.log_variance[0]) * scale
    found = np.concatenate([np.asarray(drawn) - np.asarray(rows.obs[0]), np.asarray(reward)[:, None]], axis=1)
    np.testing.assert_allclose(found.mean(0), mean, atol=0.06 * float(std.max()))
    np.testing.assert_allclose(found.std(0), std, rtol=0.05)
    assert abs(ends.mean() - 1 / (1 + np.exp(-said.termination[0]))) < 0.03


def test_each_member_has_a_bootstrap_of_its_own():
    dynamics = models.dynamics_of(box_env(), members=3, hidden=(8,))
    counts = np.asarray(dynamics.bootstrap(jnp.arange(3000)))
    for k, probability in enumerate(np.exp(-1) / np.array([1, 1, 2, 6])):
        np.testing.assert_allclose((counts == k).mean(axis=1), probability, atol=0.03)
    assert abs(np.corrcoef(counts)[0, 1]) < 0.06
    np.testing.assert_array_equal(counts[:, 7], dynamics.bootstrap(jnp.array([7]))[:, 0])
    assert np.all(dynamics._replace(members=1).bootstrap(jnp.arange(5)) == 1)


def test_what_is_no_vector_is_refused():
    with pytest.raises(ValueError, match="a model predicts vectors of floats, Breakout-MinAtar shows Box"):
        models.dynamics_of(envs.make("Breakout-MinAtar"))


# -- learning a linear system, which can be learned exactly


def linear(obs, action):
    push = 0.3 * jnp.concatenate([action, -action], axis=-1)
    return obs @ jnp.array([[0.9, 0.2], [-0.2, 0.9]]) + push


def played(key, length=30, batch=8):
    """Steps `[T, B, ...]`."""
    keys = jax.random.split(key, 2)
    obs = jax.random.normal(keys[0], (batch, D))
    actions = jax.random.uniform(keys[1], (length, batch, 1), minval=-1.0)

    def step(obs, action):
        next_obs = linear(obs, action)
        return next_obs, (obs, action, obs[:, 0] - action[:, 0], next_obs)

    return jax.lax.scan(step, obs, actions)[1]


@pytest.fixture(scope="module")
def fitted():
    dynamics = models.dynamics_of(box_env(), members=2, hidden=(32,), probabilistic=False, activation="tanh")
    obs, action, reward, next_obs = (x.reshape(-1, *x.shape[2:]) for x in played(jax.random.key(0), 60))
    rows = models.Targets(obs, action, reward, jnp.zeros(len(obs), bool), next_obs, jnp.ones(len(obs)))
    params = jax.jit(lambda: dynamics.observe(dynamics.init(jax.random.key(1)), rows))()
    optimizer, counts = optax.adam(optax.cosine_decay_schedule(0.01, 600)), dynamics.bootstrap(jnp.arange(len(obs)))

    @jax.jit
    def fit(params):
        def step(carry, _):
            params, state = carry
            gradient = jax.grad(lambda p: dynamics.loss(p, rows, counts)[0])(params)
            updates, state = optimizer.update(gradient, state)
            return (optax.apply_updates(params, updates), state), None

        return jax.lax.scan(step, (params, optimizer.init(params)), length=600)[0][0]

    return dynamics, fit(params)


@pytest.mark.thorough
def test_a_linear_system_is_learned_and_errors_grow_with_the_horizon(fitted):
    dynamics, params = fitted
    obs, action, reward, next_obs = played(jax.random.key(5))
    none = jnp.zeros(reward.shape, bool)
    horizon_errors = jax.jit(lambda *rows: models.horizon_errors(dynamics, params, *rows, 8))
    errors = horizon_errors(obs, action, reward, next_obs, none)
    assert errors.obs[0] < 0.05 and errors.reward[0] < 0.05
    assert errors.obs[-1] > errors.obs[0]
    shuffled = horizon_errors(obs, action[::-1], reward, next_obs, none)
    assert shuffled.obs[0] > 5 * errors.obs[0]


def test_errors_over_a_horizon_are_those_of_a_loop(fitted):
    dynamics, params = fitted
    obs, action, reward, next_obs = (x[:5, :2] for x in played(jax.random.key(6)))
    done = jnp.zeros((5, 2), bool).at[2, 0].set(True)
    found = jax.jit(lambda *rows: models.horizon_errors(dynamics, params, *rows, 3))(
        obs, action, reward, next_obs, done
    )
    scale = np.asarray(obs).reshape(-1, D).std(0)
    squares = np.zeros((2, 3))
    rewards, numbers = np.zeros((2, 3)), np.zeros(3)
    for e in range(2):
        member = dynamics.member(params, e)
        for b in range(2):
            for t in range(5):
                predicted = obs[t, b]
                for h in range(3):
                    if t + h > 4 or any(bool(done[t + i, b]) for i in range(h)):
                        break
                    predicted, earned, _ = dynamics.step(member, jax.random.key(0), predicted, action[t + h, b])
                    squares[e, h] += np.mean(((predicted - next_obs[t + h, b]) / scale) ** 2)
                    rewards[e, h] += float(earned - reward[t + h, b]) ** 2
                    numbers[h] += e == 0
    np.testing.assert_array_equal(found.windows, numbers)
    np.testing.assert_allclose(found.obs, np.sqrt((squares / numbers).mean(0)), rtol=1e-4)
    np.testing.assert_allclose(found.reward, np.sqrt((rewards / numbers).mean(0)), rtol=1e-4)


# -- a model as an environment


def test_a_model_is_an_environment(fitted):
    dynamics, params = fitted
    starts = jax.random.normal(jax.random.key(0), (7, D))
    imagined = models.as_env(models.as_model(dynamics, starts), params, box_env(name="linear", max_steps=9), starts)
    envs.check(imagined)
    assert (imagined.name, imagined.max_steps) == ("model of linear", 9)
    assert imagined.action_space == Box(-1.0, 1.0, (1,))
    state, obs = imagined.reset(jax.random.key(3))
    assert any(np.array_equal(obs, start) for start in starts)
    _, step = imagined.step(jax.random.key(4), state, jnp.array([0.5]))
    np.testing.assert_allclose(step.next_obs, linear(obs, jnp.array([0.5])), atol=0.2)


@pytest.mark.thorough
def test_what_trains_on_an_environment_trains_on_its_exact_model(cpus):
    """Of CartPole, whose states show what they are."""
    cartpole = envs.make("CartPole-v1", max_steps=12)
    model, keys = envs.model_of(cartpole), jax.random.split(jax.random.key(0), 5)
    starts = jax.jit(jax.vmap(lambda key: model.reset(cartpole.params, key)))(keys)

    def observe(state):
        inner = state.state.inner if hasattr(state.state, "inner") else state.state
        return jnp.stack([getattr(inner, name) for name in ("x", "x_dot", "theta", "theta_dot")])

    imagined = models.as_env(model, cartpole.params, cartpole, starts, observe)
    assert imagined.action_space == Discrete(2)
    config = PPO.Config(total_steps=64, num_envs=2, rollout_length=16, num_minibatches=1, num_epochs=1)
    result = run(PPO, imagined, config, 2, num_evals=2, num_episodes=2, progress=False)
    assert np.all((result.returns > 5) & (result.returns <= 12))


def test_a_model_needs_states_to_start_from():
    with pytest.raises(ValueError, match=r"needs states to start from, \[M, \.\.\.\]: got none"):
        models.as_env(Model(lambda p, k: 0, lambda p, k, s, a: (s, s, 0.0, False)), (), box_env(), jnp.zeros((0, D)))
