"""MPC: what it earns beside exact values, its fields, and what it refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_up import MPC, envs, evaluate, run
from jaxrl_up.config import canonical


@pytest.mark.thorough("mppi", "random_shooting")
@pytest.mark.parametrize("method", ["cem", "mppi", "random_shooting"])
def test_it_swings_the_pendulum_up(method):
    env = envs.with_simulator("Pendulum-v1")
    config = MPC.Config(method=method, samples=48, horizon=15)
    returns = evaluate(MPC, env, config, (), jax.random.key(0), 8)
    assert np.mean(returns) > -350  # random actions earn -1200


def test_a_terminal_value_sees_beyond_the_horizon():
    """A walk along a line to a goal that no plan of two steps reaches: alone it earns nothing, with V* the most."""
    length = 8

    def reset(key):
        return jnp.int32(0), jnp.zeros(1)

    def step(key, position, action):
        position = jnp.clip(position + 2 * action - 1, 0, length)
        there = position == length
        return position, position[None].astype(jnp.float32), there * 1.0, there, jnp.bool_(False)

    line = envs.with_simulator(
        envs.from_functions(reset, step, envs.Box(0, length, (1,)), envs.Discrete(2), max_steps=length + 2, name="line")
    )
    common = {"horizon": 2, "samples": 8, "gamma": 0.9, "elites": 2}
    blind = evaluate(MPC, line, MPC.Config(**common), (), jax.random.key(0), 16)
    seeing = evaluate(MPC, line, MPC.Config(terminal_value=_nearer, **common), (), jax.random.key(0), 16)
    assert np.all(seeing == 1.0)
    assert np.mean(blind) < 0.5


def _nearer(obs):
    return 0.9 ** (8.0 - obs[0])


def test_the_model_is_told_the_time_limit():
    """At the last step of an episode plans differ in their first action alone."""

    def reset(key):
        return jnp.zeros(1), jnp.zeros(1)

    def step(key, state, action):
        state = state + action
        return state, state, -jnp.sum(jnp.square(action - 0.5)), jnp.bool_(False), jnp.bool_(False)

    env = envs.with_simulator(
        envs.from_functions(reset, step, envs.Box(-9, 9, (1,)), envs.Box(-1.0, 1.0, (1,)), max_steps=3, name="short")
    )
    returns = evaluate(MPC, env, MPC.Config(horizon=6, samples=200, iterations=5), (), jax.random.key(0), 4)
    np.testing.assert_allclose(returns, 0.0, atol=0.02)


def test_a_mask_is_refused():
    def reset(key):
        return jnp.int32(0), {"x": jnp.zeros(1), "mask": jnp.ones(2, bool)}

    def step(key, state, action):
        return state, {"x": jnp.zeros(1), "mask": jnp.ones(2, bool)}, 0.0, jnp.bool_(False), jnp.bool_(False)

    space = envs.Dict({"x": envs.Box(-1, 1, (1,)), "mask": envs.Mask(2)})
    env = envs.with_simulator(envs.from_functions(reset, step, space, envs.Discrete(2), max_steps=3, name="masked"))
    with pytest.raises(ValueError, match="plans may hold any action, masked has a mask of those that are allowed"):
        run(MPC, env, None, 1, progress=False)


def test_a_terminal_value_is_a_function():
    env = envs.with_simulator("Pendulum-v1")
    with pytest.raises(ValueError, match="terminal_value='best': choose 'none', or give a function of obs"):
        run(MPC, env, MPC.Config(terminal_value="best"), 1, progress=False)


def test_it_acts_by_the_keys_of_its_memories():
    env = envs.with_simulator(envs.make("Pendulum-v1", max_steps=12))
    config = canonical(MPC.Config(samples=5, horizon=3, elites=2))

    @jax.jit
    @jax.vmap
    def begun(obs_key, memory_key):
        return env.reset(obs_key)[1], MPC.initial_memory(config, env, memory_key)

    obs, memory = begun(*(jax.random.split(jax.random.key(i), 3) for i in range(2)))
    act = jax.jit(lambda obs, memory: MPC.act(config, env, (), obs, memory)[0])
    together = act(obs, memory)
    alone = [act(*jax.tree.map(lambda x, i=i: x[i], (obs, memory))) for i in range(3)]
    np.testing.assert_allclose(together, jnp.stack(alone), rtol=1e-5)
