"""Prioritised replay from writing to drawing, schedules, exploration noise, and the memory of a compiled update.

The observation of a stream is the number of its step and environment, so a wrong row or successor is seen.
"""

import dataclasses
import functools
import re

import flashbax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal
import scipy.stats
from tiny import EVALUATION, breaking, cartpole, start_lanes, tiny, written

from jaxrl_up import DDPG, DQN, SAC, TD3, train
from jaxrl_up.config import canonical
from jaxrl_up.envs import Box, Discrete, from_functions
from jaxrl_up.learning import exploration, off_policy, prioritized, replay, sum_tree
from jaxrl_up.training import advance_lanes

GAMMA, BATCH = 0.9, 16


def ranked_rows(weight, index):
    """What `rank` reads of a batch."""
    nothing = dict.fromkeys(replay.Transitions._fields)
    return replay.Transitions(**{**nothing, "weight": weight, "index": index})


def not_called(*_):
    raise AssertionError("only spaces are looked at")


COUNTER = from_functions(not_called, not_called, Box(-np.inf, np.inf, (1,)), Discrete(2))


def ranked_config(**fields):
    given = {"gamma": GAMMA, "batch_size": BATCH, "learning_starts": 0, "prioritized": True}
    return canonical(DQN.Config(**{**given, **fields}))


def row_priorities(ranked):
    """[..., rows * num_envs], and zeros behind."""
    rows = ranked.tree.levels[-1]
    return np.asarray(rows.reshape(*rows.shape[:-2], -1))


def filled(config, values):
    """A tree with the priorities `values [N]` of the first rows."""
    ranked = prioritized.init_priorities(config)
    return ranked._replace(tree=sum_tree.set(ranked.tree, jnp.arange(len(values)), jnp.float32(values)))


def empty_replay(config):
    return replay.init(COUNTER, config.buffer_size, config.num_envs)


def history(config, length):
    """After each step, as in a run: priorities, a batch drawn by them, and how many windows can start."""
    num_envs = config.num_envs

    def step(carry, time):
        kept, ranked = carry
        obs = time * num_envs + jnp.arange(num_envs, dtype=jnp.float32)[:, None]
        zeros, never = jnp.zeros(num_envs), jnp.zeros(num_envs, bool)
        kept = replay.add(COUNTER, kept, time, *written(obs, jnp.int32(zeros), zeros + 1, obs + num_envs, never, never))
        fresh = prioritized.rank_new(config, ranked, time)
        number_key, error_key = jax.random.split(jax.random.fold_in(jax.random.key(0), time))
        numbers = prioritized.draw_index(config, ranked, number_key, ())
        batch = prioritized.draw(config, COUNTER, kept, fresh, time + 1, numbers)
        valid = replay.num_valid(kept, time + 1, config.n_step)
        # as in a run, nothing is drawn while nothing may be
        learned = prioritized.rank(config, fresh, batch, 3 * jax.random.normal(error_key, (BATCH,)))
        ranked = jax.tree.map(lambda new, old: jnp.where(valid > 0, new, old), learned, fresh)
        return (kept, ranked), (fresh, ranked, batch, valid)

    start = empty_replay(config), prioritized.init_priorities(config)
    return jax.tree.map(np.asarray, jax.jit(lambda: jax.lax.scan(step, start, jnp.arange(length))[1])())


@pytest.mark.thorough("10-1-4", "9-1-7", "70-7-5")
@pytest.mark.parametrize(
    ("buffer_size", "num_envs", "n_step"), [(23, 3, 1), (23, 3, 3), (10, 1, 4), (9, 1, 7), (70, 7, 5), (8, 2, 2)]
)
def test_whole_windows_alone_have_priority(buffer_size, num_envs, n_step):
    rows = buffer_size // num_envs
    config = ranked_config(buffer_size=buffer_size, num_envs=num_envs, n_step=n_step)
    fresh, learned, batches, valid = history(config, 6 * rows)
    columns = np.arange(num_envs)
    for t in range(6 * rows):
        starts = np.arange(max(t + 1 - rows, 0), max(t + 1 - n_step, 0))
        assert len(starts) == valid[t]
        whole = {int(i) for s in starts for i in s % rows * num_envs + columns}
        for ranked in (fresh, learned):
            assert set(np.flatnonzero(row_priorities(ranked)[t]).tolist()) == whole
        if not whole:
            continue
        newest = starts[-1] % rows * num_envs + columns
        np.testing.assert_array_equal(row_priorities(fresh)[t][newest], fresh.highest[t])
        assert fresh.highest[t] >= row_priorities(fresh)[t].max()
        batch = jax.tree.map(lambda x: x[t], batches)  # noqa: B023
        assert set(batch.index.tolist()) <= whole
        number = np.concatenate([s * num_envs + columns for s in starts])
        number = dict(zip((number % (rows * num_envs)).tolist(), number.tolist(), strict=True))
        drawn = np.array([number[i] for i in batch.index.tolist()])
        np.testing.assert_array_equal(batch.obs[:, 0], drawn)
        np.testing.assert_array_equal(batch.next_obs[:, 0], drawn + n_step * num_envs)
        np.testing.assert_allclose(batch.reward, sum(GAMMA**i for i in range(n_step)), rtol=1e-6)
        assert np.all((batch.weight > 0) & (batch.weight <= 1))
    assert fresh.highest[-1] > 1  # as learning raised it


def test_priorities_are_powers_of_errors():
    config = ranked_config(buffer_size=8, priority_exponent=0.6)
    ranked = filled(config, [1.0] * 6)
    index = jnp.arange(5)
    batch = ranked_rows(jnp.array([1.0, 0.5, 1.0, 0.0, 1.0]), index)
    after = prioritized.rank(config, ranked, batch, jnp.array([-2.0, 0.0, 0.25, 9.0, jnp.nan]))
    powers = (np.array([2.0, 0.0, 0.25, 9.0]) + 1e-6) ** 0.6
    wanted = [powers[0], powers[1], powers[2], 0.0, 1.0, 1.0]  # not to be learned from; failed; as it was
    np.testing.assert_allclose(row_priorities(after)[:6], wanted, rtol=1e-5)
    assert after.highest >= powers[0]


@pytest.mark.parametrize("fields", [{"total_steps": 1000}, {"total_steps": 5000, "schedule_steps": 1000}])
def test_the_importance_exponent_rises_to_one(fields):
    """Priorities of 1 and 4, whose weights are 1 and (1/4)^beta."""
    config = ranked_config(buffer_size=16, num_envs=2, importance_exponent=0.4, **fields)
    ranked = filled(config, [1.0, 4.0])
    numbers = prioritized.draw_index(config, ranked, jax.random.key(0), ())
    draw = jax.jit(lambda time: prioritized.draw(config, COUNTER, empty_replay(config), ranked, time, numbers))
    for time, beta in {0: 0.4, 250: 0.7, 500: 1.0, 501: 1.0, 5000: 1.0}.items():  # of two environments
        batch = draw(jnp.int32(time))
        assert set(batch.index.tolist()) == {0, 1}
        np.testing.assert_allclose(batch.weight, np.where(batch.index == 0, 1.0, 0.25**beta), rtol=1e-5)


def test_tiny_priorities_are_drawn_and_weighted():
    config = ranked_config(buffer_size=100, priority_exponent=40.0)
    ranked, kept = filled(config, [1.0] * 99), empty_replay(config)

    def step(ranked, key):
        number_key, error_key = jax.random.split(key)
        numbers = prioritized.draw_index(config, ranked, number_key, ())
        batch = prioritized.draw(config, COUNTER, kept, ranked, jnp.int32(0), numbers)
        ranked = prioritized.rank(config, ranked, batch, 1e-6 * jax.random.normal(error_key, (BATCH,)))
        return ranked, (ranked, batch.weight)

    keys = jax.random.split(jax.random.key(0), 300)
    _, (ranked, weight) = jax.jit(lambda: jax.lax.scan(step, ranked, keys))()
    rows = row_priorities(ranked)[:, :99]
    assert np.all((rows > 0) & np.isfinite(rows)) and np.all(rows[-1] < 1e-20)
    assert np.all((weight > 0) & (weight <= 1))


@pytest.mark.parametrize(("error", "number"), [((0.0, 2.0), 0.0), ((2.0, 0.0), 1 - 2.0**-23)])
def test_a_row_of_hardly_any_probability_has_a_weight(error, number):
    """Drawn at the border of its range, with priorities of 1e-30 and 2^40."""
    config = ranked_config(buffer_size=8, num_envs=1, batch_size=4, priority_exponent=40.0)

    @jax.jit
    def program(error, numbers):
        batch = ranked_rows(jnp.ones(2), jnp.arange(2))
        ranked = prioritized.rank(config, prioritized.init_priorities(config), batch, error)
        return prioritized.draw(config, COUNTER, empty_replay(config), ranked, jnp.int32(5), numbers)

    drawn = program(np.float32(error), np.full((1, 4), number, np.float32))
    assert np.all((drawn.weight > 0) & (drawn.weight <= 1))


@pytest.mark.thorough("2")
@pytest.mark.parametrize("num_envs", [1, 2])
@jax.numpy_rank_promotion("allow")  # which flashbax needs
def test_equals_flashbax(num_envs):
    """After a wrap, rows of the same errors are drawn as often as from its prioritised buffer."""
    ring, length, draws = 16, 21, 20_000
    config = ranked_config(buffer_size=ring * num_envs, num_envs=num_envs, batch_size=1, priority_exponent=0.6)
    theirs = flashbax.make_prioritised_flat_buffer(
        ring * num_envs, 2, 1, add_batch_size=num_envs, priority_exponent=config.priority_exponent
    )
    state, ranked = jax.jit(theirs.init)({"number": jnp.int32(0)}), prioritized.init_priorities(config)
    add, rank_new = jax.jit(theirs.add), jax.jit(lambda ranked, time: prioritized.rank_new(config, ranked, time))
    for t in range(length):
        state = add(state, {"number": t * num_envs + jnp.arange(num_envs)})
        ranked = rank_new(ranked, jnp.int32(t))

    sample = jax.jit(jax.vmap(theirs.sample, in_axes=(None, 0)))

    def draw_theirs(state):
        drawn = sample(state, jax.random.split(jax.random.key(0), draws))
        drawn = jax.tree.map(lambda x: np.asarray(x)[:, 0], drawn)
        first, second = (x["number"] for x in drawn.experience)
        np.testing.assert_array_equal(second, first + num_envs)
        return first, drawn.indices, drawn.probabilities

    numbers, places = np.unique(np.stack(draw_theirs(state)[:2]), axis=1)  # all have one priority at first
    np.testing.assert_array_equal(numbers, np.arange((length - ring) * num_envs, (length - 1) * num_envs))
    error = np.random.default_rng(0).exponential(size=len(numbers)) + 0.05
    state = jax.jit(theirs.set_priorities)(state, places, np.float32(error))
    index = numbers % (ring * num_envs)
    batch = ranked_rows(np.ones(len(index), np.float32), index)
    ranked = jax.jit(lambda *x: prioritized.rank(config, *x))(ranked, batch, np.float32(error))

    first, _, probability = draw_theirs(state)
    known = row_priorities(ranked)[first % (ring * num_envs)] / sum_tree.total(ranked.tree)
    np.testing.assert_allclose(known, probability, rtol=1e-4)
    drawn, _ = jax.jit(jax.vmap(sum_tree.sample, in_axes=(None, 0)))(
        ranked.tree, prioritized.draw_index(config, ranked, jax.random.key(1), (draws,))
    )
    counts = [np.bincount(x, minlength=ring * num_envs) for x in (np.ravel(drawn), first % (ring * num_envs))]
    assert all(set(np.flatnonzero(count)) == set(index.tolist()) for count in counts)
    assert scipy.stats.chi2_contingency([count[index] for count in counts]).pvalue > 1e-4
    expected = draws * error**0.6 / np.sum(error**0.6)
    for count in counts:
        assert scipy.stats.chisquare(count[index], expected).pvalue > 1e-4


# -- schedules


def test_epsilon_falls_to_its_end():
    config = DQN.Config(total_steps=1000, exploration_fraction=0.5, epsilon_start=0.9, epsilon_end=0.1)
    steps = jnp.array([0, 125, 250, 500, 501, 1000, 10**9])
    wanted = [0.9, 0.7, 0.5, 0.1, 0.1, 0.1, 0.1]
    np.testing.assert_allclose(exploration.epsilon(config, steps), wanted, rtol=1e-5)
    np.testing.assert_allclose(exploration.epsilon(config.replace(schedule_steps=2000), 2 * steps), wanted, rtol=1e-5)
    flat = config.replace(exploration_fraction=0.0)
    np.testing.assert_allclose(exploration.epsilon(flat, steps[1:]), 0.1, rtol=1e-5)


@pytest.mark.parametrize(
    ("num_envs", "done"),
    [
        (1, {0: 0, 949: 0, 950: 0, 999: 0, 1000: 50, 1049: 50, 1050: 100, 1100: 150}),
        (4, {200: 0, 249: 0, 250: 50, 299: 50, 300: 100}),
        (3, {300: 0, 349: 0, 350: 50, 400: 100}),  # 334 steps are not enough for a phase to end
    ],
)
def test_gradient_steps_done(num_envs, done):
    config = DDPG.Config(num_envs=num_envs, learning_starts=1000, train_every=50, gradient_steps=50)
    made = off_policy.gradient_steps_done(config, jnp.array(list(done)))
    np.testing.assert_array_equal(made, list(done.values()))


def test_losses_are_means_over_the_gradient_steps_that_were_made():
    """None before learning starts, and for an actor that waits only those that moved it."""
    config = tiny(TD3, total_steps=96, learning_starts=24, buffer_size=96, gradient_steps=3, policy_delay=4)
    often, once = (train(TD3, breaking(TD3), config, jax.random.key(0), number, EVALUATION)[1] for number in (6, 1))
    made = np.diff([0, 0, *off_policy.gradient_steps_done(config, 8 * np.arange(1, 7)).tolist()])
    np.testing.assert_array_equal(often.learned["critic_loss"].count, made)
    assert made[0] == made[1] == 0 and 0 < made[2] < made[3]
    moved = np.diff([0, *(np.cumsum(made) // 4)])
    np.testing.assert_array_equal(often.learned["actor_loss"].count, moved)
    for name, mean in often.learned.items():
        losses = often.losses[name]
        assert np.isnan(losses[:2]).all() and np.isfinite(losses[2:]).all()
        np.testing.assert_allclose(np.sum(losses[2:] * mean.count[2:]), once.learned[name].total[1], rtol=1e-4)
        assert once.learned[name].count.tolist() == [0, np.sum(mean.count)]


@pytest.mark.thorough
def test_a_temperature_is_what_it_is_from_the_first_gradient_step_on():
    config = tiny(SAC, learning_starts=20, learn_alpha=False, alpha=0.2)
    _, log = train(SAC, breaking(SAC), config, jax.random.key(0), 4, EVALUATION)
    np.testing.assert_allclose(log.losses["alpha"], [np.nan, np.nan, 0.2, 0.2, 0.2], rtol=1e-6)


# -- exploration noise

CORRELATION = {  # at a distance in steps
    "white": lambda k: np.float64(k == 0),
    "ou": lambda k: np.exp(-k / 7),
    "pink": lambda k: np.mean([np.exp(-k / 2**i) for i in range(10)], axis=0),
}


@functools.cache
def noise(name, num_envs, *lengths):
    """Standard noise `[T, num_envs]` of one episode each, drawn by one call after the other."""
    config, env = DDPG.Config(exploration_noise=name, num_envs=num_envs), breaking(DDPG)
    keys = jax.random.split(jax.random.key(1), num_envs)
    memory, drawn = jax.jit(jax.vmap(lambda key: exploration.initial_noise(config, env, key)))(keys), []

    @functools.partial(jax.jit, static_argnums=0)
    def draw(length, memory, key):
        normals, uniform = exploration.action_noise(config, env, key, (length, num_envs))

        def step(memory, drawn):
            coloured, memory = exploration.coloured(config, memory, drawn)
            return memory, coloured

        return uniform, *jax.lax.scan(step, memory, normals)

    for i, length in enumerate(lengths):
        uniform, memory, coloured = draw(length, memory, jax.random.key(2 + i))
        assert uniform.shape == (length, num_envs, 1) and np.abs(uniform).max() <= 1
        assert coloured.shape == (length, num_envs, 1)
        drawn.append(np.asarray(coloured[..., 0], np.float64))
    return np.concatenate(drawn)


@pytest.mark.parametrize("name", CORRELATION)
def test_a_long_sample_of_noise(name):
    drawn = noise(name, 256, 4096)
    assert abs(drawn.mean()) < 0.05
    assert np.mean(drawn**2) == pytest.approx(1, rel=0.05)
    for lag in (1, 7, 50):
        assert np.mean(drawn[lag:] * drawn[:-lag]) == pytest.approx(CORRELATION[name](lag), abs=0.03)


@pytest.mark.parametrize(("name", "slope"), [("white", 0), ("pink", -1)])
def test_spectrum_of_noise(name, slope):
    """Fitted between frequencies of 1/512 and 1/2, each octave counting the same."""
    drawn = noise(name, 256, 4096)
    frequency, power = scipy.signal.welch(drawn, nperseg=2048, axis=0)
    octave = np.floor(np.log2(frequency, where=frequency > 0, out=np.full_like(frequency, -99)))
    octaves = np.arange(-9, -1)
    mean = np.log([(frequency[octave == k].mean(), power[octave == k].mean()) for k in octaves])
    fit = np.polyfit(*mean.T, 1)
    assert fit[0] == pytest.approx(slope, abs=0.2)
    np.testing.assert_allclose(mean[:, 1], np.polyval(fit, mean[:, 0]), atol=0.3)  # which one time constant is not


def test_every_colour_of_noise_is_a_choice():
    for algo in (DDPG, TD3, SAC):
        (field,) = [x for x in dataclasses.fields(algo.Config) if x.name == "exploration_noise"]
        assert field.metadata["choices"] == tuple(exploration.COLOURS)


@pytest.mark.parametrize("name", CORRELATION)
def test_noise_has_no_seam(name):
    """All covariances of 8 steps are those of one process, drawn by one call or by two; from the first step on."""
    distance = np.abs(np.subtract.outer(np.arange(8), np.arange(8)))
    for lengths in ((8,), (4, 4)):
        drawn = noise(name, 40_000, *lengths)
        np.testing.assert_allclose(drawn @ drawn.T / 40_000, CORRELATION[name](distance), atol=0.03)
        assert np.abs(drawn.mean(1)).max() < 0.03


# -- memory


def test_an_update_copies_no_replay():
    """Two lanes on one device, with priorities and windows of three steps: all is written in place."""
    config, env = canonical(tiny(DQN, buffer_size=200_000, n_step=3, prioritized=True)), cartpole()
    progress = jax.eval_shape(lambda: start_lanes(DQN, env, config, (0, 1)))
    program = advance_lanes.lower(DQN, env, config, {}, progress, jnp.int32(1), EVALUATION, None).compile()
    kept = jax.tree.leaves((progress.state.replay.obs, progress.state.replay.outcome, progress.state.priorities.tree))
    size = sum(x.size * x.dtype.itemsize for x in kept)
    memory = program.memory_analysis()
    assert memory.temp_size_in_bytes < size / 2
    assert memory.temp_size_in_bytes < 500_000 < 10_000_000 < size <= memory.alias_size_in_bytes
    copied = re.findall(r"= \w+\[([\d,]*)\]\S* copy(?:-start)?\(", program.as_text())
    assert copied
    large = {",".join(map(str, x.shape)) for x in kept if x.size > 10_000}
    assert len(large) >= 3 and not large & set(copied)
