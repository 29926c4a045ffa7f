"""MBPO: SAC's step on what is mixed, where imagined steps go and come from, and what a batch holds."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_gradient_step import FIELDS, GAMMA, ROWS, setting
from tiny import targets, tiny

from jaxrl_up import MBPO, SAC, run
from jaxrl_up.algorithms import mbpo, sac
from jaxrl_up.config import canonical
from jaxrl_up.learning import models


def given(**fields):
    return setting(
        "mbpo", **{"real_fraction": 0.5, "batch_size": ROWS, "branch_length": 2, "imagined_size": 40, **fields}
    )


def test_of_real_transitions_alone_its_step_is_sacs_bit_for_bit():
    _, _, env, learner, batch, noise, learn = given(real_fraction=1.0)
    other = jax.jit(functools.partial(sac.learn, canonical(tiny(SAC, **FIELDS)), env))
    found, losses, _ = learn(learner, batch, noise, jnp.int32(0))
    wanted, known, _ = other(learner, batch, noise[0], jnp.int32(0))
    for part in ("actor", "critic", "log_alpha"):
        for one, two in zip(jax.tree.leaves(found.params[part]), jax.tree.leaves(wanted.params[part]), strict=True):
            np.testing.assert_array_equal(one, two)
    assert float(losses["critic_loss"]) == float(known["critic_loss"])


def test_branches_begin_in_real_states_and_fill_a_ring():
    """Of three times 12 steps, at every second gradient step; the fourth time overwrites the first."""
    _, _, _, learner, batch, noise, learn = given()
    assert learner.imagined.reward.shape == (36,)
    numbers = lambda learner: np.asarray(learner.imagined.obs[:, 0])  # noqa: E731
    before = numbers(learner)
    for step in range(8):
        moved = batch._replace(obs=batch.obs + step)
        learner, _, _ = learn(learner, moved, noise, jnp.int32(step))
        after = numbers(learner)
        place = step // 2 % 3 * 12
        rows = np.flatnonzero(before != after)
        if step % 2:
            assert rows.size == 0
        else:
            np.testing.assert_array_equal(rows, np.arange(place, place + 12))
            np.testing.assert_array_equal(learner.imagined.obs[place : place + ROWS], moved.obs)
            first, second = (
                jax.tree.map(lambda x, at=place + i * ROWS: x[at : at + ROWS], learner.imagined) for i in (0, 1)
            )
            going = ~np.asarray(first.terminated)
            np.testing.assert_array_equal(second.obs[going], first.next_obs[going])
        before = after


def test_only_what_was_imagined_is_drawn():
    """At the first step a third of the ring is full; the rest is NaN here."""
    _, _, _, learner, batch, noise, learn = given()
    hollow = jax.tree.map(lambda x: jnp.full_like(x, jnp.nan) if x.dtype == jnp.float32 else x, learner.imagined)
    learner = learner._replace(imagined=hollow)
    for bits in (jnp.zeros(ROWS, jnp.uint32), jnp.full(ROWS, 2**32 - 1, jnp.uint32)):
        learned, losses, _ = learn(learner, batch, (noise[0], bits, noise[2]), jnp.int32(0))
        assert np.isfinite(losses["loss"])
        assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves(learned.params))


def test_a_batch_is_real_first_and_imagined_steps_bootstrap_unless_they_end():
    config = canonical(tiny(MBPO, batch_size=ROWS, gamma=GAMMA))
    _, _, _, _, batch, _, _ = given()
    ends = jnp.array([False, True] * 3)
    steps = models.Branches(batch.obs + 9, batch.action + 9, batch.reward + 9, ends, batch.next_obs + 9)
    mixed = mbpo.mix(config, batch, steps, 0.5)
    for name in ("obs", "action", "reward", "next_obs"):
        real, both = np.asarray(getattr(batch, name)), np.asarray(getattr(mixed, name))
        np.testing.assert_array_equal(both[:3], real[:3])
        np.testing.assert_array_equal(both[3:], (real + np.float32(9))[3:])
    np.testing.assert_array_equal(mixed.discount, [*batch.discount[:3], 0.0, np.float32(GAMMA), 0.0])
    np.testing.assert_array_equal(mixed.weight, [*batch.weight[:3], 1.0, 1.0, 1.0])


def test_the_policy_of_the_moment_acts_in_branches():
    _, config, env, learner, batch, _, _ = given()
    steps = mbpo.branch(config, env, learner.params, batch.obs, jax.random.key(0))
    act_key = jax.random.split(jax.random.split(jax.random.key(0), 2)[0])[0]
    normal = jax.random.normal(act_key, (ROWS, 2))
    policy = sac.policy(config, env, learner.params["actor"], batch.obs)
    np.testing.assert_allclose(steps.action[:ROWS], policy.sample_with(normal), rtol=1e-5)


def test_a_ring_too_small_for_the_branches_of_one_time_is_refused():
    with pytest.raises(
        ValueError, match="imagined_size=63 must be at least batch_size \\* branch_length = 64"
    ) as found:
        run(MBPO, targets(), tiny(MBPO, imagined_size=63), 1, progress=False)
    assert "\n" not in str(found.value)
