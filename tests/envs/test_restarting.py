"""Resets drawn for ended episodes only: the same episodes as by resets at every step."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_up import envs
from jaxrl_up.envs import restarting

AT_LEAST = 8  # resets of one pass


def both(name, **options):
    env = envs.make(name, **options)
    spec = env.spec
    return env, env.replace(spec=spec._replace(restart=restarting(spec.reset, spec.step)))


def same(plain, sparse):
    """Up to the rounding of two programs, which grows along an episode."""
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), plain, sparse)


@jax.jit
def played(env, keys, action):
    """Steps of all environments, `keys [...]` one for each, all of whose episodes end at one time or another."""

    def one(key):
        def step(state, key):
            return env.step(key, state, action)

        return jax.lax.scan(step, env.reset(key)[0], jax.random.split(key, 24))[1]

    for _ in keys.shape:
        one = jax.vmap(one)
    return one(keys)


@pytest.mark.thorough("shape0", "shape1")
@pytest.mark.parametrize("shape", [(), (3,), (2 * AT_LEAST + 3,), (3, AT_LEAST)])
def test_episodes_are_the_same_alone_in_a_batch_and_in_a_batch_of_batches(shape):
    keys = jax.random.split(jax.random.key(0), shape) if shape else jax.random.key(0)
    plain, sparse = (played(env, keys, jnp.int32(1)) for env in both("CartPole-v1"))
    same(plain, sparse)
    assert plain.terminated.any(axis=-1).all()


@pytest.mark.parametrize("count", [2 * AT_LEAST + 3, 300])  # three passes of 8, and 34 of 9
def test_a_whole_batch_may_end_at_once(count):
    keys = jax.random.split(jax.random.key(0), count)
    plain, sparse = (played(env, keys, jnp.int32(1)) for env in both("CartPole-v1", max_steps=2))
    same(plain, sparse)
    assert plain.truncated[:, 1::2].all() and len(np.unique(plain.obs[:, 1, 0])) == len(keys)


def test_parameters_may_differ_within_a_batch_and_gradients_are_those_of_steps():
    def paid(env, gravity, key):
        return jnp.sum(played(env.with_params(g=gravity), key, jnp.full(1, 0.3)).reward)

    gravities, keys = jnp.linspace(5.0, 12.0, 5), jax.random.split(jax.random.key(0), 5)
    plain, sparse = (
        jax.jit(jax.vmap(jax.value_and_grad(lambda gravity, key, env=env: paid(env, gravity, key))))(gravities, keys)
        for env in both("Pendulum-v1", max_steps=50)
    )
    same(plain, sparse)
    assert len(np.unique(plain[0])) == 5 and np.all(np.abs(plain[1]) > 1e-3)
