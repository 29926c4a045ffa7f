"""Exported policies in programs: mapped over batches, and as opponents."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import tiny

from jaxrl_up import DQN, envs
from jaxrl_up.config import canonical
from jaxrl_up.deploy import load_policy, save_policy

NAME = "pgx/tic_tac_toe?opponent=random"


@pytest.fixture(scope="module")
def live():
    """A policy, as it acts on one observation."""
    env, config = envs.make(NAME), canonical(tiny(DQN))
    policy = jax.jit(DQN.init)(config, env, jax.random.key(2)).policy

    def act(obs, key):
        return DQN.act(config, env, policy, obs)[0]

    return policy, act


@pytest.fixture(scope="module")
def loaded(live, tmp_path_factory):
    path = tmp_path_factory.mktemp("policy") / "policy.bin"
    return load_policy(save_policy(path, DQN, NAME, tiny(DQN), live[0]))


@pytest.mark.thorough
def test_it_is_mapped_over_batches_of_batches(live, loaded):
    keys = jax.random.split(jax.random.key(0), (3, 4))
    space = envs.make(NAME).observation_space
    obs = jax.vmap(jax.vmap(space.sample))(keys)
    wanted = np.asarray(live[1](obs, None))
    np.testing.assert_array_equal(jax.vmap(jax.vmap(loaded))(obs), wanted)
    np.testing.assert_array_equal(jax.jit(jax.vmap(loaded))(obs), wanted)
    one = {"board": obs["board"][0, 0], "mask": obs["mask"][0]}
    beside = jax.vmap(loaded, in_axes=({"board": None, "mask": 0},))(one)
    each = [loaded({"board": one["board"], "mask": mask}) for mask in one["mask"]]
    np.testing.assert_array_equal(beside, np.stack(each))


def test_it_plays_as_the_live_policy_does(live, loaded):
    def games(act):
        env = envs.against("pgx/tic_tac_toe", act)

        def lane(key):
            reset_key, key = jax.random.split(key)

            def move(carry, key):
                state, obs = carry
                action = envs.sample_allowed(env.action_space, obs["mask"], key)
                state, step = env.step(key, state, action)
                return (state, step.obs), (step.reward, step.next_obs["board"])

            return jax.lax.scan(move, env.reset(reset_key), jax.random.split(key, 20))[1]

        return jax.tree.map(np.asarray, jax.jit(jax.vmap(lane))(jax.random.split(jax.random.key(5), 6)))

    for mine, theirs in zip(games(live[1]), games(lambda obs, key: jnp.asarray(loaded(obs))), strict=True):
        np.testing.assert_array_equal(mine, theirs)
