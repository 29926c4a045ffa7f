"""The replay against a list of whole transitions and windows found by loops, at every moment of a ring's life.

Every observation of a stream has a number of its own, resets and final ones too, so that a wrong one is seen.
"""

import functools

import flashbax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from tiny import assert_equal, written

from jaxrl_up.envs import Box, Discrete, from_functions
from jaxrl_up.learning import replay, start, unroll

GAMMA = 0.9


def digits(base, shape):
    size = np.prod(shape)
    return lambda number: (number[..., None] // base ** np.arange(size) % base).reshape(*number.shape, *shape)


SPACES = {
    "box": (Box(-np.inf, np.inf, (2,)), lambda number: np.stack([number, -number], -1)),
    "discrete": (Discrete(100_000), lambda number: number),
    "image": (Box(0, 255, (2, 2, 1), np.uint8), digits(256, (2, 2, 1))),
    "binary": (Box(0, 1, (3, 3, 2), binary=True), digits(2, (3, 3, 2))),
}
ACTIONS = {
    "box": (Box(-1e6, 1e6, (1,)), lambda number: 10.0 * number[..., None]),
    "discrete": (Discrete(100_000), lambda number: number + 7),
}


def not_called(*_):
    raise AssertionError("the replay only looks at spaces")


def holder(kind="box", action="discrete", max_steps=None):
    """An environment with these spaces."""
    return from_functions(not_called, not_called, SPACES[kind][0], ACTIONS[action][0], max_steps)


def stream(length, num_envs, limit=None, terminate=0.15, cut=0.0, seed=0):
    """Numbers of observations and their true successors, rewards and ends `[T, B]` of made-up episodes.

    Episodes terminate and are cut with these probabilities, and are cut after `limit` steps.
    """
    rng = np.random.default_rng(seed)
    out = {name: np.zeros((length, num_envs), int) for name in ("obs", "next_obs", "terminated", "truncated")}
    count = 0
    for b in range(num_envs):
        age, count = 0, count + 1
        for t in range(length):
            age += 1
            out["obs"][t, b], out["next_obs"][t, b], count = count, count + 1, count + 1
            out["terminated"][t, b] = rng.random() < terminate
            out["truncated"][t, b] = rng.random() < cut or age == limit
            if out["terminated"][t, b] or out["truncated"][t, b]:
                age, count = 0, count + 1  # the reset
    return {**out, "reward": rng.normal(size=(length, num_envs)).astype(np.float32)}


def steps_of(kind, action, rows):
    """The arguments of `add` after `time`, with a leading T."""
    obs, next_obs = (SPACES[kind][1](rows[name]) for name in ("obs", "next_obs"))
    ends = (rows["terminated"] > 0, rows["truncated"] > 0)
    dtype = SPACES[kind][0].dtype
    return (
        *(jnp.asarray(obs, dtype), jnp.asarray(ACTIONS[action][1](rows["obs"]), ACTIONS[action][0].dtype)),
        *map(jnp.asarray, (rows["reward"], np.asarray(next_obs, dtype), *ends)),
    )


@functools.partial(jax.jit, static_argnums=(1, 2))
def histories(env, capacity, n_step, steps, bits):
    """After each step: the replay, all its rows, and a sample."""
    num_envs = steps[2].shape[1]

    def add(carry, step):
        kept, time = carry
        kept = replay.add(env, kept, time, *written(*step))
        index = jnp.arange(capacity // num_envs * num_envs)
        drawn = replay.sample(env, kept, time + 1, bits, GAMMA, n_step)
        return (kept, time + 1), (replay.at(env, kept, index, GAMMA, n_step), drawn)

    return jax.lax.scan(add, (replay.init(env, capacity, num_envs), jnp.int32(0)), steps)


def window(rows, t, b, n_step):
    """Reward, discount, number of the successor and last step of the window from step t, step by step."""
    reward, discount = 0.0, 1.0
    for last in range(t, t + n_step):
        reward += discount * rows["reward"][last, b]
        discount *= GAMMA
        if rows["terminated"][last, b]:
            return reward, 0.0, None, last
        if rows["truncated"][last, b]:
            break
    return reward, discount, rows["next_obs"][last, b], last


def check(kind, action, capacity, n_step, rows, max_steps):
    """Compare at all times; returns (rows seen, those of weight 0, those that were cut)."""
    env = holder(kind, action, max_steps)
    length, num_envs = rows["obs"].shape
    bits = jax.random.bits(jax.random.key(0), (200,), jnp.uint32)
    _, (everything, samples) = histories(env, capacity, n_step, steps_of(kind, action, rows), bits)
    everything, samples = jax.tree.map(np.asarray, (everything, samples))
    ring = capacity // num_envs
    finals = replay.final_rows(env, ring)
    seen = lost = cut = 0
    for time in range(1, length + 1):
        valid = {}
        for t in range(max(time - ring, 0), time - n_step):
            for b in range(num_envs):
                i = t % ring * num_envs + b
                valid[i] = t, b
                reward, discount, successor, last = window(rows, t, b, n_step)
                got = jax.tree.map(lambda x: x[time - 1, i], everything)  # noqa: B023
                seen += 1
                if successor is not None and rows["truncated"][last, b]:
                    cut += 1
                    later = np.sum(rows["truncated"][last + 1 : time, b] & ~rows["terminated"][last + 1 : time, b] & 1)
                    assert got.weight == (later < finals - 1)
                    lost += got.weight == 0
                else:
                    assert got.weight == 1
                np.testing.assert_array_equal(got.obs, SPACES[kind][1](rows["obs"][t, b]))
                np.testing.assert_array_equal(got.action, ACTIONS[action][1](rows["obs"][t, b]))
                np.testing.assert_allclose(got.reward, reward, rtol=1e-5, atol=1e-6)
                np.testing.assert_allclose(got.discount, discount, rtol=1e-5)
                inner = np.arange(1, n_step)
                np.testing.assert_allclose(got.inner_discount, np.where(t + inner <= last, GAMMA**inner, 0), rtol=1e-5)
                for j in inner[t + inner <= last]:
                    np.testing.assert_array_equal(got.inner_obs[j - 1], SPACES[kind][1](rows["obs"][t + j, b]))
                if got.weight == 1 and successor is not None:
                    np.testing.assert_array_equal(got.next_obs, SPACES[kind][1](successor))
                assert got.index == i
        if valid:
            drawn = jax.tree.map(lambda x: x[time - 1], samples)  # noqa: B023
            assert set(drawn.index.tolist()) == set(valid), time  # 200 draws of few rows: all, and no other
            assert_equal(drawn, jax.tree.map(lambda x: x[time - 1][drawn.index], everything))  # noqa: B023
    assert everything.obs.dtype == env.observation_space.dtype
    assert everything.obs.shape[2:] == env.observation_space.shape
    assert everything.action.dtype == env.action_space.dtype
    return seen, lost, cut


@pytest.mark.thorough("box-discrete-1-1")
@pytest.mark.parametrize(
    ("kind", "action", "num_envs", "n_step"),
    [
        ("box", "discrete", 1, 1),
        ("box", "box", 3, 1),
        ("box", "discrete", 3, 3),
        ("discrete", "discrete", 1, 3),
        ("image", "discrete", 3, 3),
        ("binary", "discrete", 3, 1),
    ],
)
def test_equals_whole_transitions_and_naive_windows(kind, action, num_envs, n_step):
    rows = stream(50, num_envs, limit=4)  # a ring of 8 or 9 rows, around it 5 times
    ends = rows["terminated"] + 2 * rows["truncated"]
    assert set(np.unique(ends)) == {0, 1, 2, 3}  # terminated, cut and both occur
    seen, lost, cut = check(kind, action, 8 * num_envs + num_envs - 1, n_step, rows, max_steps=4)
    assert seen >= 40 * (8 - n_step) * num_envs
    assert lost == 0 and cut > 20  # every time limit was kept for as long as its row


@pytest.mark.parametrize(("num_envs", "n_step"), [(1, 1), (3, 3)])
def test_keeps_all_finals_of_episodes_of_one_step(num_envs, n_step):
    rows = stream(25, num_envs, limit=1, terminate=0.2)
    seen, lost, cut = check("box", "discrete", 6 * num_envs, n_step, rows, max_steps=1)
    assert lost == 0 and 0 < cut < seen  # the others terminated


@pytest.mark.parametrize("max_steps", [5, 1000, None])
@pytest.mark.parametrize("cut", [0.5, 1.0])
def test_a_lost_final_has_no_weight(max_steps, cut):
    rows = stream(30, 2, terminate=0.1, cut=cut)
    _, lost, cut = check("box", "discrete", 20, 2, rows, max_steps)
    assert 0 < lost <= cut


def walk_reset(key):
    position = jax.random.uniform(key, (1,))
    return position, position


def walk_step(key, position, action):
    position = position + 0.4 * action + 0.1 * jax.random.normal(key, (1,))
    return position, position, position[0], position[0] > 2.0, jnp.bool_(False)


def test_successors_of_real_episodes():
    env = from_functions(walk_reset, walk_step, Box(-9, 9, (1,)), Discrete(2), 5, name="walk")
    length, num_envs, key = 37, 2, jax.random.key(1)

    def policy(obs, memory, key):
        return jax.random.bernoulli(key, 0.6, obs.shape[:1]).astype(jnp.int32), memory, {}

    @jax.jit
    def everything(key):
        _, rows, _ = unroll(env, policy, start(env, num_envs, key), length, key)
        steps = (rows.obs, rows.action, rows.reward, rows.next_obs, rows.terminated, rows.truncated)
        (kept, _), _ = jax.lax.scan(
            lambda carry, step: ((replay.add(env, carry[0], carry[1], *written(*step)), carry[1] + 1), None),
            (replay.init(env, 20 * num_envs, num_envs), jnp.int32(0)),
            steps,
        )
        time = jnp.arange(length - 20, length - 1)
        index = time[:, None] % 20 * num_envs + jnp.arange(num_envs)[None]
        return jax.tree.map(lambda x: x[time], rows), replay.at(env, kept, index.reshape(-1), GAMMA)

    rows, got = jax.tree.map(np.asarray, everything(key))
    flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), rows)
    cut = flat.truncated & ~flat.terminated
    assert cut.sum() > 1 and flat.terminated.sum() > 1
    np.testing.assert_array_equal(got.weight, 1)
    np.testing.assert_array_equal(got.obs, flat.obs)
    np.testing.assert_array_equal(got.reward, flat.reward)
    np.testing.assert_allclose(got.discount, GAMMA * (1 - flat.terminated))
    np.testing.assert_array_equal(got.next_obs[~flat.terminated], flat.next_obs[~flat.terminated])


@pytest.mark.parametrize(("time", "n_step"), [(4, 1), (25, 3)])
def test_sampling_is_uniform_over_the_rows_that_are_whole(time, n_step):
    num_envs, ring, draws = 3, 8, 40_000
    env = holder(max_steps=4)
    bits = jax.random.bits(jax.random.key(5), (draws,), jnp.uint32)
    kept = replay.init(env, ring * num_envs, num_envs)
    index = jax.jit(lambda bits: replay.sample(env, kept, jnp.int32(time), bits, GAMMA, n_step).index)(bits)
    count = np.bincount(index, minlength=ring * num_envs).reshape(ring, num_envs)
    whole = [t % ring for t in range(max(time - ring, 0), time - n_step)]
    assert len(whole) == int(replay.num_valid(kept, jnp.int32(time), n_step))
    assert count[whole].sum() == draws
    assert scipy.stats.chisquare(count[whole].ravel()).pvalue > 1e-4


@pytest.mark.parametrize("length", [5, 8, 21])
@jax.numpy_rank_promotion("allow")  # which flashbax needs
def test_equals_flashbax(length):
    """The same rows can be drawn, equally often, as from its flat buffer: before, at and long after the wrap."""
    num_envs, ring, draws = 2, 8, 20_000
    rows = stream(length, num_envs, terminate=0.0)
    theirs = flashbax.make_flat_buffer(ring * num_envs, 2, ring, add_batch_size=num_envs)
    env, kept, state = holder(), None, None
    add = jax.jit(lambda kept, t, *step: replay.add(env, kept, t, *written(*step)))
    add_theirs = jax.jit(theirs.add)
    for t, step in enumerate(zip(*map(np.asarray, steps_of("box", "discrete", rows)), strict=True)):
        row = {"obs": step[0], "reward": step[2]}
        kept = replay.init(env, ring * num_envs, num_envs) if kept is None else kept
        state = theirs.init(jax.tree.map(lambda x: x[0], row)) if state is None else state
        kept, state = add(kept, np.int32(t), *step), add_theirs(state, row)
    bits = jax.random.bits(jax.random.key(0), (draws,), jnp.uint32)
    ours = jax.jit(lambda kept: replay.sample(env, kept, jnp.int32(length), bits, GAMMA))(kept)
    pair = jax.jit(jax.vmap(theirs.sample, (None, 0)))(state, jax.random.split(jax.random.key(1), draws // ring))
    pair = jax.tree.map(lambda x: np.asarray(x).reshape(draws, *x.shape[2:]), pair.experience)
    ours = jax.tree.map(np.asarray, ours)
    drawn = [
        np.stack([np.asarray(x) for x in (obs[:, 0], next_obs[:, 0], reward)], -1)
        for obs, next_obs, reward in (
            (ours.obs, ours.next_obs, ours.reward),
            (pair.first["obs"], pair.second["obs"], pair.first["reward"]),
        )
    ]
    (mine, counts), (other, other_counts) = (np.unique(x, axis=0, return_counts=True) for x in drawn)
    np.testing.assert_array_equal(mine, other)
    assert len(mine) == (min(length, ring) - 1) * num_envs
    assert scipy.stats.chi2_contingency([counts, other_counts]).pvalue > 1e-4


@pytest.mark.parametrize("kind", ["box", "binary"])
def test_vmapped_seeds_equal_each_alone(kind):
    seeds, length, num_envs, capacity = 3, 15, 2, 12
    env = holder(kind, max_steps=3)
    streams = [steps_of(kind, "discrete", stream(length, num_envs, 3, seed=s)) for s in range(seeds)]
    bits = jax.random.bits(jax.random.key(0), (seeds, 32), jnp.uint32)

    def fill_and_draw(steps, bits):
        (kept, time), _ = jax.lax.scan(
            lambda carry, step: ((replay.add(env, carry[0], carry[1], *written(*step)), carry[1] + 1), None),
            (replay.init(env, capacity, num_envs), jnp.int32(0)),
            steps,
        )
        return kept, replay.sample(env, kept, time, bits, GAMMA, 2)

    together = jax.jit(jax.vmap(fill_and_draw))(jax.tree.map(lambda *x: jnp.stack(x), *streams), bits)
    alone = jax.jit(fill_and_draw)
    for s in range(seeds):
        mine = jax.tree.map(lambda x: np.asarray(x)[s], together)  # noqa: B023
        assert_equal(mine, alone(streams[s], bits[s]))
    kept = together[0]

    def add(kept, time, *step):
        return jax.vmap(lambda kept, *step: replay.add(env, kept, time, *written(*step)))(kept, *step)

    program = jax.make_jaxpr(add)(kept, jnp.int32(0), *(jnp.stack([x[0]] * seeds) for x in streams[0]))
    # one slice at one place for all seeds; the place of the finals alone depends on the seed
    assert str(program).count("operand_batching_dims=(0,)") == 1


def test_binary_observations_are_bits():
    space = Box(0, 1, (10, 10, 4))
    sizes = {}
    for name, dtype, binary in (("bits", np.float32, True), ("bool", np.bool_, False), ("float", np.float32, False)):
        env = from_functions(not_called, not_called, Box(0, 1, space.shape, dtype, binary=binary), Discrete(2), 10)
        sizes[name] = replay.init(env, 1000, 4).obs.nbytes
        if binary:
            obs = jax.random.bernoulli(jax.random.key(0), 0.3, (7, *space.shape)).astype(dtype)
            packed = replay.pack(env, obs)
            assert packed.dtype == jnp.uint8 and packed.shape == (7, 50)
            back = replay.unpack(env, packed)
            assert back.dtype == dtype
            np.testing.assert_array_equal(back, obs)
            back = replay.unpack(env, packed[0])  # any leading axes
            np.testing.assert_array_equal(back.reshape(space.shape), obs[0])
    assert sizes["bool"] == 8 * sizes["bits"]
    assert sizes["float"] == 32 * sizes["bits"]


@pytest.mark.parametrize(("kind", "num_envs", "max_steps"), [("box", 3, 4), ("image", 1, None), ("binary", 2, 1)])
def test_bytes_per_seed_is_what_is_allocated(kind, num_envs, max_steps):
    env = holder(kind, "box", max_steps)
    kept = replay.init(env, 50, num_envs)
    assert replay.bytes_per_seed(env, 50, num_envs) == sum(x.nbytes for x in kept)


@pytest.mark.parametrize("seeds", [1, 2])
def test_adding_and_sampling_copy_nothing(seeds):
    env, num_envs, capacity = holder(max_steps=200), 2, 200_000
    kept = jax.eval_shape(lambda: jax.vmap(lambda _: replay.init(env, capacity, num_envs))(jnp.zeros(seeds)))
    obs, zeros = jnp.zeros((num_envs, 2)), jnp.zeros(num_envs)

    def step(kept, time, total):
        ends = (zeros > 0, (zeros + total) > 1)
        kept = replay.add(env, kept, time, *written(obs + total, jnp.zeros(num_envs, jnp.int32), zeros, obs, *ends))

        def learn(_, total):
            batch = replay.sample(env, kept, time + 1, jnp.arange(8, dtype=jnp.uint32), GAMMA, 2)
            return total + jnp.sum(batch.next_obs) + jnp.sum(batch.reward)

        return kept, jax.lax.fori_loop(0, 2, learn, total)

    step = jax.vmap(step, in_axes=(0, None, 0))
    program = jax.jit(
        lambda kept: jax.lax.fori_loop(3, 9, lambda t, c: step(c[0], t, c[1]), (kept, jnp.zeros(seeds))),
        donate_argnums=0,
    )
    memory = program.lower(kept).compile().memory_analysis()
    size = seeds * replay.bytes_per_seed(env, capacity, num_envs)
    assert memory.temp_size_in_bytes < 100_000 < size <= memory.alias_size_in_bytes


@pytest.mark.parametrize(("capacity", "num_envs"), [(3, 2), (1, 1), (0, 1)])
def test_too_small_a_buffer_is_named(capacity, num_envs):
    with pytest.raises(ValueError, match=rf"buffer_size={capacity} .* twice num_envs={num_envs}"):
        replay.init(holder(), capacity, num_envs)
