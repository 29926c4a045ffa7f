"""Tiny configs, environments and helpers that the tests of algorithms and training share."""

import dataclasses
import sys

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_up import Evaluation, envs, make_config, ops
from jaxrl_up.config import canonical
from jaxrl_up.envs import Box, Discrete, from_functions, probes
from jaxrl_up.learning import normalisation, on_policy
from jaxrl_up.training import advance_lanes, begin_lanes, lane_axes, lane_mesh, place
from jaxrl_up.types import TimeStep

EVALUATION = Evaluation(num_episodes=2, max_steps=12)

# Whatever of these fields a config has is set; so a new algorithm is tiny without an entry of its own.
TINY = {
    "total_steps": 64,
    "num_envs": 2,
    "rollout_length": 8,
    "num_epochs": 2,
    "num_minibatches": 2,
    "value_steps": 2,
    "cg_iterations": 3,
    "backtrack_steps": 4,
    "batch_size": 32,
    "buffer_size": 24,
    "learning_starts": 8,
    "random_steps": 6,
    "target_every": 2,
    "train_every": 2,
    "prioritized": True,
    "candidates": 5,
    "horizon": 3,
    "samples": 5,
    "elites": 2,
    "iterations": 2,
    "members": 2,
    "particles": 2,
    "base": "td3",
    "td_k": True,
    "model_hidden": (8,),
    "model_every": 2,
    "model_first": 0,
    "branch_length": 2,
    "branch_every": 2,
    "imagined_size": 200,
    "search": "muzero",
    "num_simulations": 3,
    "exploration": 5.0,
    "temperature": 10.0,
    "temperature_moves": 4.0,
    "random_openings": 2.0,
    "hidden": (8,),
    "initializer": "flax",
}


OF_MODELS = {"gradient_steps": 2}  # where a model is learned: by default they are many


def field_names(algo):
    return {field.name for field in dataclasses.fields(algo.Config)}


def tiny(algo, **fields):
    """A tiny config; fields that the algorithm does not have are left out."""
    known = field_names(algo)
    given = {**TINY, **(OF_MODELS if "members" in known else {}), **fields}
    return make_config(algo, **{name: value for name, value in given.items() if name in known})


def cartpole():
    return envs.make("CartPole-v1", max_steps=12)


def task(algo):
    """A short episode of something the algorithm can act in; for plans in what is learned one without ties."""
    discrete = "Discrete" in algo.action_spaces and "members" not in field_names(algo)
    return seen_by(algo, cartpole() if discrete else envs.make("Pendulum-v1", max_steps=12))


def seen_by(algo, env):
    """An environment as an algorithm has to see it: one that learns nothing plans, and one that searches tries."""
    return envs.with_simulator(env) if searches(algo) or not algo.learns else env


def searches(algo):
    """Whether it learns from what a tree search in the simulator finds."""
    return "num_simulations" in field_names(algo)


def plans(algo):
    """Whether it acts by searching for plans, and so learns neither a policy nor values."""
    return "samples" in field_names(algo)


def predictable(space):
    """Whether a learned model can say what is shown next: a vector of floats."""
    return isinstance(space, Box) and len(space.shape) == 1 and np.issubdtype(space.dtype, np.floating)


def draws(algo):
    """Whether what it does without exploring needs chance: a random key in its memory."""
    memory = jax.eval_shape(lambda key: algo.initial_memory(tiny(algo), task(algo), key), jax.random.key(0))
    return algo.greedy_memory and any(map(is_key, jax.tree.leaves(memory)))


def remembered(algo, config, env, number):
    """What so many episodes begin to act with."""
    keys = jax.random.split(jax.random.key(0), number)
    return jax.vmap(lambda key: algo.initial_memory(config, env, key))(keys)


def result_of(algo, state):
    """What updates come to: what was learned, or, where nothing is, where acting led."""
    return state.learner if algo.learns else state.interaction


def keys_of(seeds):
    return jax.vmap(jax.random.key)(jnp.asarray(seeds, jnp.uint32))


def start_lanes(algo, env, config, seeds, swept=None, mesh=None):
    return begin_lanes(algo, env, canonical(config), spread(swept, len(seeds)), keys_of(seeds), mesh)


def spread(swept, lanes):
    """Float32 values of swept fields."""
    return {name: jnp.asarray(value, jnp.float32) for name, value in (swept or {}).items()}


def go_on(algo, env, config, progress, count, swept=None, mesh="all"):
    """`count` updates and an evaluation in all lanes, from a copy, since `advance_lanes` donates. Host log."""
    lanes = progress.failed_at.shape[0]
    mesh = lane_mesh(lanes) if mesh == "all" else mesh
    copied = jax.tree.map(lambda x: jax.device_put(x, x.sharding, may_alias=False), progress)
    progress = place(copied, mesh, lane_axes(progress))
    swept = place(spread(swept, lanes), mesh)
    progress, log = advance_lanes(algo, env, canonical(config), swept, progress, jnp.int32(count), EVALUATION, mesh)
    return progress, jax.tree.map(np.asarray, log)


def to_host(tree):
    """The leaves as NumPy arrays, keys as their data."""
    return [np.asarray(jax.random.key_data(x) if is_key(x) else x) for x in jax.tree.leaves(tree)]


def is_key(x):
    return jnp.issubdtype(x.dtype, jax.dtypes.prng_key)


def lane(tree, index):
    """One lane of a state; the counters have none.

    Fetched first: to index an array spread over devices is a program in which they wait for one another, which XLA
    aborts if one of them is busy for long.
    """
    picked = jax.tree.map(lambda x: _on_host(x, index), tree._replace(counters=None))
    return picked._replace(counters=tree.counters)


def _on_host(x, index):
    """`x[index]`; a NumPy array, where it is no key, so that nothing is compiled."""
    return jax.device_put(x, jax.devices()[0])[index] if is_key(x) else np.asarray(x)[index]


def assert_equal(a, b):
    """Bit for bit."""
    for x, y in zip(to_host(a), to_host(b), strict=True):
        np.testing.assert_array_equal(x, y)


def assert_close(a, b, rtol=1e-5, atol=1e-5):
    for x, y in zip(to_host(a), to_host(b), strict=True):
        np.testing.assert_allclose(x, y, rtol, atol)


def values(algo, config, env, state, obs):
    """The learned values of observations `[N, ...]`: of the best action, or of the policy's."""
    params = state.learner.params
    module = sys.modules[algo.Config.__module__]
    if hasattr(module, "values"):
        return module.values(config, env, state.learner, obs)
    if hasattr(state.learner, "return_statistics"):
        obs = normalisation.apply(env.observation_space, state.learner.statistics, obs)
        return on_policy.network(config, env).value(params, obs)
    if "q" in params:
        return jnp.max(module.q_values(config, env, params["q"], obs), axis=-1)
    policy = module.policy(config, env, params["actor"], obs)
    if isinstance(policy, ops.Categorical):
        q_values = jnp.mean(module.critic_network(config, env).apply(params["critic"], obs), axis=0)
        return ops.v_from_q(q_values, jnp.exp(policy.log_probs()))
    action = policy.mode() if isinstance(policy, ops.TanhGaussian) else policy
    return jnp.mean(module.network(config, env).critics(params["critic"], obs, action), axis=0)


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


def bandit(algo):
    """One-step episodes, in an action space of the algorithm."""
    return seen_by(algo, probes.matched_action_reward() if "Discrete" in algo.action_spaces else targets())


def clock(algo, max_steps=6):
    """Show the time modulo 4, one-hot; pay 1 on leaving phase 0; end by the time limit only.

    V(phase k) = gamma^((4 - k) mod 4) / (1 - gamma^4). At the limit of 6 the true successor has phase 2, the
    reset observation phase 0.
    """
    return from_functions(_clock_reset, _clock_step, Box(0.0, 1.0, (4,)), space_for(algo), max_steps, name="clock")


def pushed_cartpole():
    """CartPole of 200 steps, pushed by any force between its two: 0 is that to the left, 1 that to the right."""
    env = envs.make("CartPole-v1", max_steps=200)

    def step(params, key, state, action):
        return env.spec.step(params, key, state, action[0])

    return env.replace(spec=env.spec._replace(step=step, action_space=Box(0.0, 1.0, (1,))))


def space_for(algo):
    return Discrete(2) if "Discrete" in algo.action_spaces else Box(0.0, 1.0, (1,))


def _clock_reset(key):
    return jnp.int32(0), jax.nn.one_hot(0, 4)


def _clock_step(key, time, action):
    return time + 1, jax.nn.one_hot((time + 1) % 4, 4), (time % 4 == 0) * 1.0, jnp.bool_(False), jnp.bool_(False)


def breaking(algo, nan_at=np.inf):
    """Random walk whose reward is NaN at step `nan_at` (traced); it never ends."""
    params = {"nan_at": nan_at}
    env = from_functions(_breaking_reset, _breaking_step, Box(-9, 9, (1,)), space_for(algo), None, params, "breaking")
    return seen_by(algo, env)


def _breaking_reset(key, params):
    return (jnp.int32(0), jnp.zeros(1)), jnp.zeros(1)


def _breaking_step(key, state, action, params):
    time, position = state
    position = jnp.clip(position + 0.1 * jax.random.normal(key, (1,)) + 0.1 * (2 * jnp.sum(action) - 1), -9, 9)
    reward = jnp.where(time + 1 == params["nan_at"], jnp.nan, position[0])
    return (time + 1, position), position, reward, jnp.bool_(False), jnp.bool_(False)


def troubled(algo):
    """Random walk: NaN is paid at step `nan_at`; after `length` steps it terminates and shows `last` (all traced)."""
    space, params = Box(-9, 9, (2,)), {"nan_at": np.inf, "length": np.inf, "last": 0.0}
    env = from_functions(_troubled_reset, _troubled_step, space, space_for(algo), None, params, "troubled")
    return seen_by(algo, env)


def _troubled_reset(key, params):
    position = jax.random.uniform(key, (2,))
    return (jnp.int32(0), position), position


def _troubled_step(key, state, action, params):
    time, position = state[0] + 1, state[1]
    position = jnp.clip(position + 0.1 * jax.random.normal(key, (2,)) + 0.1 * (2 * jnp.sum(action) - 1), -9, 9)
    over = time == params["length"]
    reward = jnp.where(time == params["nan_at"], jnp.nan, 1 + position[0])
    return (time, position), jnp.where(over, params["last"], position), reward, over, jnp.bool_(False)


def image(action_space=Discrete(2), dtype=np.uint8):
    """A 6x6x2 picture with one bright pixel per plane; ends after 5 steps."""
    return from_functions(
        _image_reset,
        _image_step if isinstance(action_space, Discrete) else _image_box_step,
        Box(0, 255, (6, 6, 2), dtype),
        action_space,
        5,
        name="image",
    )


def _picture(place):
    return 255 * jax.nn.one_hot(place[:, 0], 6)[:, :, None] * jax.nn.one_hot(place[:, 1], 6)[:, None, :]


def _image_obs(place):
    return jnp.moveaxis(_picture(place), 0, -1).astype(jnp.uint8)


def _image_reset(key):
    place = jax.random.randint(key, (2, 2), 0, 6)
    return place, _image_obs(place)


def _image_step(key, place, action):
    place = (place + action) % 6
    return place, _image_obs(place), (place[0, 0] == 0) * 1.0, jnp.bool_(False), jnp.bool_(False)


def _image_box_step(key, place, action):
    return _image_step(key, place, (action[0] > 0.5).astype(jnp.int32))


def chain(n=5):
    """Walk on the integers 0..n-1, shown as they are: Discrete observation and action."""
    return from_functions(_chain_reset, _chain_step, Discrete(n), Discrete(2), 8, name="chain")


def _chain_reset(key):
    return jnp.int32(0), jnp.int32(0)


def _chain_step(key, place, action):
    place = jnp.clip(place + 2 * action - 1, 0, 4)
    return place, place, (place == 4) * 1.0, place == 4, jnp.bool_(False)


def written(obs, action, reward, next_obs, terminated, truncated):
    """A step as `replay.add` takes it; what is acted on next is not written."""
    return obs, action, TimeStep(next_obs, next_obs, reward, terminated, truncated, {})
