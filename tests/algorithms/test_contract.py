"""What every algorithm of the registry promises; a new one inherits these tests.

One that learns nothing promises the same, but for what is about learning: where a test looks at what was learned, there
it is where acting led to.
"""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import (
    EVALUATION,
    TINY,
    assert_close,
    assert_equal,
    bandit,
    field_names,
    go_on,
    keys_of,
    lane,
    result_of,
    start_lanes,
    task,
    tiny,
    to_host,
    troubled,
)

from jaxrl_up import ALGORITHMS, Evaluation, run, train
from jaxrl_up.config import canonical, traced_fields
from jaxrl_up.records import checkpoint
from jaxrl_up.training import advance, begin, lane_mesh, train_program

PADDED = (4, 1, 6)  # three seeds on two devices

# Values of traced fields that are unlike the default and show within a few updates, where those of `other` would not.
OTHER = {
    "learning_rate": 0.03,
    "value_learning_rate": 0.02,
    "gamma": 0.5,
    "gae_lambda": 0.3,
    "clip_epsilon": 1e-5,
    "value_clip": 0.001,
    "target_kl": 1e-9,
    "entropy_cost": 0.7,
    "value_cost": 0.03,
    "max_grad_norm": 0.01,
    "adam_epsilon": 0.5,
    "epsilon": 0.5,
    "rms_decay": 0.5,
    "initial_log_std": -1.0,
    "delta": 0.1,
    "damping": 3.0,
    "backtrack_decay": 0.3,
    "critic_learning_rate": 0.02,
    "epsilon_start": 0.1,
    "epsilon_end": 0.9,
    "exploration_fraction": 1.0,
    "tau": 0.5,
    "noise_scale": 0.7,
    "target_noise": 0.9,
    "target_noise_clip": 0.01,
    "alpha": 0.9,
    "target_entropy": 3.0,
    "v_min": -3.0,
    "v_max": 30.0,
    "kappa": 0.1,
    "priority_exponent": 1.0,
    "importance_exponent": 0.9,
    "spread": 0.05,
    "value_bound": 0.01,
    "simulations": 1.0,
    "exploration": 0.01,
    "temperature": 0.01,
}
# What an optional field, None by default, is set to before it is swept: as good as off.
NEUTRAL = {
    "value_learning_rate": 1e-3,
    "critic_learning_rate": 1e-3,
    "value_clip": 1e6,
    "target_kl": 1e6,
    "max_grad_norm": 1e6,
    "target_entropy": -1.0,
    "simulations": 3.0,
    "value_bound": 1.0,
}
TWINS = ("vpg", "a2c", "c51", "qr_dqn", "ddpg")  # which fail as PPO, DQN and TD3 do: what stops them is not theirs
DISCRETE_IGNORES = {"initial_log_std"}
OF_OTHER_TASKS = {  # of mppi, of a Box, of search by gumbel
    "pets": {"temperature"},
    "mpc": {"temperature", "gamma", "spread"},
    "alphazero": {"gumbel_scale", "value_scale"},
}


def other(config, name):
    """A value of a traced field unlike its own: that of `OTHER`, or one far off in its range, or ten times as much."""
    if name in OTHER:
        return OTHER[name]
    field = next(field for field in dataclasses.fields(config) if field.name == name)
    (low, high), default = field.metadata["range"], getattr(config, name)
    if np.isfinite(high - low):
        return max(0.9 * low + 0.1 * high, 0.1 * low + 0.9 * high, key=lambda x: abs(x - default))
    return 10 * default or 1.0


every_algorithm = pytest.mark.parametrize("algo", ALGORITHMS.values(), ids=ALGORITHMS.keys())  # what only traces
COMPILED = [  # on-policy and off-policy by default, one of each
    pytest.param(algo, id=name, marks=pytest.mark.thorough if name in ("sac", "mpc") else ())
    for name, algo in ALGORITHMS.items()
]


@pytest.fixture(params=COMPILED, scope="session")
def algo(request):
    return request.param


def amplifies(algo):
    """Whether rounding grows from step to step."""
    return bool({"cg_iterations", "members"} & field_names(algo))


@pytest.fixture(scope="session")
def updates(algo):
    """Trust-region steps, and plans in what is learned, amplify rounding: equal after one update, others after four."""
    return 1 if amplifies(algo) else 4


@pytest.fixture(scope="session")
def long_config(algo):
    """Four updates. What a sweep may want on is on, and gradient steps wait until the second update."""
    config = tiny(algo, total_steps=4 * algo.steps_per_update(tiny(algo)), learning_starts=18)
    return config.replace(**{name: NEUTRAL[name] for name in traced_fields(config) if getattr(config, name) is None})


@pytest.fixture(scope="session")
def config(algo, long_config, updates):
    return long_config.replace(total_steps=updates * algo.steps_per_update(long_config))


@pytest.fixture(scope="session")
def alone(algo, config):
    """seed -> state and log of that seed by itself; one program for all tests that train one seed."""
    done = {}

    def get(seed):
        if seed not in done:
            done[seed] = train(algo, task(algo), config, jax.random.key(seed), 4, EVALUATION)
        return done[seed]

    return get


@pytest.fixture(scope="session")
def begun(algo, long_config, cpus):
    """Three seeds before their first update, and one that fills up the devices, begun as `run` does."""
    keys = (*PADDED, PADDED[0])
    return start_lanes(algo, task(algo), long_config, keys, mesh=lane_mesh(len(keys)))


@pytest.fixture(scope="session")
def half(algo, long_config, begun, cpus):
    return go_on(algo, task(algo), long_config, begun, 2)


@pytest.fixture(scope="session")
def whole(algo, long_config, begun, cpus):
    return go_on(algo, task(algo), long_config, begun, 4)


@pytest.fixture(scope="session")
def grid(algo, long_config):
    """Lane 0 is the base; lane i + 1 has another value of traced field i."""
    fields = traced_fields(long_config)
    config = long_config.replace(
        **{name: NEUTRAL[name] for name in fields if getattr(long_config, name) is None},
        **({"delta": 30.0} if "delta" in fields else {}),  # so large that the line search has to backtrack
        **({"adam_epsilon": 1e-3} if "adam_epsilon" in fields else {}),  # less, and rounding near 0 becomes a step
    )
    swept = {}
    for i, name in enumerate(fields):
        column = np.full(len(fields) + 1, getattr(config, name), np.float32)
        column[i + 1] = other(config, name)
        swept[f"config.{name}"] = column
    return config, swept, start_lanes(algo, task(algo), config, [7] * (len(fields) + 1), swept)


@pytest.fixture(scope="session")
def swept_whole(algo, grid):
    config, swept, start = grid
    return go_on(algo, task(algo), config, start, 4, swept)


# -- one program, many ways to run it


@pytest.mark.thorough
@pytest.mark.exhaustive(*TWINS, "td3", "sac_discrete")  # each operation by itself takes long to compile
@pytest.mark.parametrize("name", ALGORITHMS)  # one after another, so that they share what operations compile
def test_jit_equals_no_jit(name):
    algo = ALGORITHMS[name]
    env = bandit(algo)  # a large epsilon, as Adam turns the rounding of a gradient near 0 into a step
    small = {"rollout_length": 2, "horizon": 2, "samples": 4, "gradient_steps": 2}
    config = canonical(tiny(algo, **small, learning_starts=2, adam_epsilon=0.1, epsilon=0.1))

    @jax.jit
    def quick(key):
        state = algo.init(config, env, key)
        return state, algo.update(config, env, state)

    state, updated = quick(jax.random.key(3))
    with jax.disable_jit():
        assert_close(updated, algo.update(config, env, state))


def test_vmapped_seeds_equal_the_seeds_alone(algo, long_config, begun, whole, alone, updates):
    """Lanes of two devices, two on each, against a program of one seed."""
    progress, log = whole if updates == 4 else go_on(algo, task(algo), long_config, begun, updates)
    tolerance = {"rtol": 1e-4, "atol": 1e-4} if updates == 1 else {}
    for i, seed in enumerate(PADDED):
        state, single = alone(seed)
        assert_close(result_of(algo, lane(progress.state, i)), result_of(algo, state), **tolerance)
        np.testing.assert_allclose(log.returns[i], single.returns[-1], rtol=1e-4)
        np.testing.assert_array_equal(log.env_steps[i], single.env_steps[-1])


def test_run_is_its_updates_and_evaluations(algo, long_config, half, whole):
    """Of more seeds than devices divide, bit for bit."""
    result = run(algo, task(algo), long_config, PADDED, num_evals=2, num_episodes=2, max_eval_steps=12, progress=False)
    for i in range(len(PADDED)):
        assert_equal(lane(result.state, i), lane(whole[0].state, i))
    for i, (_, log) in enumerate((half, whole)):
        np.testing.assert_array_equal(result.returns[:, 1 + i], log.returns[:3])
        np.testing.assert_array_equal(result.env_steps[1 + i], log.env_steps[0])
    assert result.returns.shape == (3, len(result.env_steps)) == (3, 3)  # the first is of the untrained policies
    assert result.env_steps[0] == 0 and np.isnan(result.log.losses["loss"][:, 0]).all()
    assert result.failed == {}


def test_seeds_differ_in_every_kernel(algo, begun, whole):
    if not algo.learns:
        state = whole[0].state
        assert to_host(state.learner) == to_host(begun.state.learner) == []
        drawn_with = jax.random.key_data(state.interaction.memory["key"])
        assert len(np.unique(np.asarray(drawn_with)[: len(PADDED)], axis=0)) == len(PADDED)
        return
    for progress in (begun, whole[0]):
        kernels = [x for x in to_host(progress.state.learner) if x.ndim > 2]
        assert kernels
        for kernel in kernels:
            if np.any(kernel[0]):  # an optimiser's moments start at 0
                for i, j in itertools.combinations(range(len(PADDED)), 2):
                    assert np.any(kernel[i] != kernel[j])


def test_same_run_twice_is_equal_bit_for_bit(algo, long_config, begun, whole):
    assert_equal(go_on(algo, task(algo), long_config, begun, 4), whole)


@every_algorithm
def test_no_key_is_used_twice(algo):
    env = bandit(algo)

    def everything(config, key):
        progress = begin(algo, env, config, key)
        for _ in range(2):
            progress, log = advance(algo, env, config, progress, 2, Evaluation(2, deterministic=False))
        return progress, log

    def careless(key):
        return jax.random.normal(key) + jax.random.uniform(key)

    with jax.debug_key_reuse(True):
        with pytest.raises(jax.errors.KeyReuseError):
            jax.eval_shape(jax.jit(careless), jax.random.key(0))
        jax.eval_shape(jax.jit(everything), canonical(tiny(algo)), jax.random.key(0))


# -- hyperparameters are data


def test_every_traced_field_makes_a_difference_in_one_program(algo, grid, swept_whole):
    config, _, _ = grid
    progress, _ = swept_whole
    assert np.all(np.asarray(progress.failed_at) == -1)
    learners = [x for x in to_host(result_of(algo, progress.state))]
    for i, name in enumerate(traced_fields(config)):
        same = all(np.array_equal(x[0], x[i + 1]) for x in learners)
        assert same == (name in DISCRETE_IGNORES | OF_OTHER_TASKS.get(algo.name, set())), name


@pytest.mark.parametrize("name", ["learning_rate", "gamma", "max_grad_norm", "spread"])
def test_a_swept_value_equals_that_config(algo, grid, swept_whole, name):
    """Of the sweep's lanes, in a program without a sweep."""
    config, _, _ = grid
    if name not in traced_fields(config) or amplifies(algo):
        pytest.skip("not a field, or one whose steps amplify rounding")
    index = 1 + traced_fields(config).index(name)
    changed = config.replace(**{name: other(config, name)})
    state, _ = train(algo, task(algo), changed, jax.random.key(7), 4, EVALUATION)
    found = result_of(algo, lane(swept_whole[0].state, index))
    assert_close(found, result_of(algo, state), rtol=1e-4, atol=2e-5)


def test_one_trace_for_all_values_of_traced_fields(algo, config):
    traces = set()
    bounds = ("v_min", "v_max")  # one value cannot be both
    numbers = [name for name in traced_fields(config) if getattr(config, name) is not None and name not in bounds]
    for value in (0.9, 1, np.float64(0.5), jnp.float32(0.25), jnp.asarray(0.125)):
        other = config.replace(**dict.fromkeys(numbers, value))
        env = task(algo)
        heavier = env.with_params(**{"gravity" if "gravity" in env.params else "g": 11})
        train(algo, heavier, other, jax.random.key(9), 4, EVALUATION)
        traces.add(train_program._cache_size())
    assert len(traces) == 1


# -- the state is all there is


def test_state_is_arrays_only(begun, whole):
    for progress in (begun, whole[0]):
        assert all(isinstance(x, jax.Array) for x in jax.tree.leaves(progress))


@every_algorithm
def test_update_keeps_structure_shapes_and_types(algo):
    env, config = task(algo), canonical(tiny(algo))
    before = jax.eval_shape(lambda key: algo.init(config, env, key), jax.random.key(0))
    after, metrics = jax.eval_shape(lambda state: algo.update(config, env, state), before)
    assert jax.tree.structure(before) == jax.tree.structure(after)
    for x, y in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True):
        assert (x.shape, x.dtype, x.weak_type) == (y.shape, y.dtype, y.weak_type)
        assert not x.weak_type
    assert "loss" in metrics.losses
    assert all(x.shape == () for x in jax.tree.leaves(metrics))


def test_counters_stay_unbatched_and_know_no_key(algo, long_config, begun, half, whole, swept_whole):
    for progress, updates in ((begun, 0), (half[0], 2), (whole[0], 4), (swept_whole[0], 4)):
        state = progress.state
        assert (int(state.counters.updates), state.counters.updates.shape) == (updates, ())
        assert int(state.counters.env_steps) == updates * algo.steps_per_update(long_config)
        lanes = progress.failed_at.shape[0]
        assert all(x.shape[0] == lanes for x in jax.tree.leaves(state._replace(counters=None)))
    assert whole[0].failed_at.shape == (4,)  # three seeds and one to fill the second device
    one = canonical(long_config)
    counters = jax.eval_shape(  # which refuses counters that know a key
        jax.vmap(lambda key: begin(algo, task(algo), one, key).state.counters, out_axes=None), keys_of(PADDED)
    )
    assert counters.updates.shape == ()


def test_interrupted_equals_uninterrupted_through_a_checkpoint(algo, long_config, half, whole, tmp_path):
    resumed, log = _through_a_checkpoint(algo, long_config, half[0], tmp_path)
    assert_equal(resumed, whole[0])
    np.testing.assert_array_equal(log.returns, whole[1].returns)


def test_interrupted_sweep_equals_uninterrupted_through_a_checkpoint(algo, grid, swept_whole, tmp_path):
    config, swept, start = grid
    half, _ = go_on(algo, task(algo), config, start, 2, swept)
    padding = half.failed_at.shape[0] - start.failed_at.shape[0]
    columns = {name: np.concatenate([x, x[:1].repeat(padding)]) for name, x in swept.items()}
    resumed, _ = _through_a_checkpoint(algo, config, half, tmp_path, columns)
    assert_equal(resumed, swept_whole[0])


def _through_a_checkpoint(algo, config, progress, directory, swept=None):
    place = checkpoint.save(directory, 2, progress, progress.state.policy, {})
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), progress)
    restored = jax.tree.map(jnp.array, checkpoint.restore(place, "state", shapes))
    return go_on(algo, task(algo), config, restored, 2, swept)


def test_evaluation_leaves_no_trace(algo, long_config, begun, half, whole):
    every = begun
    for _ in range(4):
        every, _ = go_on(algo, task(algo), long_config, every, 1)
    twice, _ = go_on(algo, task(algo), long_config, half[0], 2)
    assert_equal(every, whole[0])
    assert_equal(twice, whole[0])


# -- failure


@pytest.fixture(scope="session")
def troubled_runs(algo, cpus):
    """(env, config, start, swept values in which lane 1 breaks): all lanes of the tests below in one program."""
    env, config = troubled(algo), tiny(algo, normalize_observations=True, n_step=3, rollout_length=10)
    swept = {
        "env.nan_at": [np.inf, 24, *[np.inf] * 6],  # in the third update of 10 steps
        "env.length": [*[np.inf] * 5, 4, 4, 4],
        "env.last": [0.0] * 6 + [np.nan, np.inf],
    }
    return env, config, start_lanes(algo, env, config, (0, 1, 2, 3, 4, 5, 5, 5), swept), swept


@pytest.fixture(scope="session")
def troubled_early(algo, troubled_runs):
    env, config, start, swept = troubled_runs
    return go_on(algo, env, config, start, 2, swept)


@pytest.fixture(scope="session")
def troubled_late(algo, troubled_runs, troubled_early):
    env, config, _, swept = troubled_runs
    return go_on(algo, env, config, troubled_early[0], 2, swept)


@pytest.mark.exhaustive(*TWINS)
def test_a_failed_seed_stands_still_and_the_others_do_not_notice(algo, troubled_runs, troubled_early, troubled_late):
    env, config, start, swept = troubled_runs
    unharmed, _ = go_on(algo, env, config, start, 4, swept | {"env.nan_at": [np.inf] * 8})
    (early, early_log), (late, log) = troubled_early, troubled_late
    others = [0, *range(2, 8)]

    assert early_log.failed_at.tolist() == [-1] * 8
    assert log.failed_at.tolist() == [-1, 3 if algo.learns else -1, *[-1] * 6]  # what learns nothing cannot fail
    assert_equal(lane(late.state, 1).learner, lane(early.state, 1).learner)
    assert all(np.all(np.isfinite(x)) for x in to_host(late.state.learner) if x.dtype.kind == "f")
    assert np.all(np.isfinite(log.returns))
    for i in others:
        assert_equal(lane(late.state, i), lane(unharmed.state, i))
    moved = zip(to_host(late.state.interaction.obs), to_host(early.state.interaction.obs), strict=True)
    assert any(np.any(x[1] != y[1]) for x, y in moved)
    assert int(late.state.counters.updates) == 4
    if not algo.learns:
        np.testing.assert_array_equal(log.losses["loss"], 0)
        return
    for mean in log.learned.values():
        if np.all(mean.count[others] > 0):
            assert 0 < mean.count[1] < mean.count[0]  # of the update that failed, not of those after it
    assert np.isnan(log.losses["loss"][1]) and np.all(np.isfinite(log.losses["loss"][others]))
    _, later_log = go_on(algo, env, config, late, 2, swept)
    assert [mean.count[1] for mean in later_log.learned.values()] == [0] * len(later_log.learned)


@pytest.mark.exhaustive(*TWINS)
def test_what_a_terminal_state_shows_does_not_matter(algo, troubled_late):
    """A simulator that ends an episode because it diverged: the value there is 0, whatever it shows."""
    progress, log = troubled_late
    assert np.asarray(progress.failed_at)[5:].tolist() == [-1] * 3
    assert np.all(log.trained.count[5:] > 0)
    for i in (6, 7):
        assert_equal(*(result_of(algo, lane(progress.state, j)) for j in (i, 5)))


def test_a_program_puts_out_no_nan_and_no_infinity_of_its_own(algo, config, long_config):
    """Which would stop it under `jax_debug_nans` or `jax_debug_infs`: means over no episodes, and over gradient steps
    not made yet."""
    config = long_config if "learning_starts" in field_names(algo) else config
    with jax.debug_nans(True), jax.debug_infs(True):
        _, log = train(algo, task(algo), config, jax.random.key(0), 4, EVALUATION)
    assert log.train_episodes[:2].tolist() == [0, 0]  # none ends within 8 steps
    np.testing.assert_array_equal(np.isnan(log.train_returns), log.train_episodes == 0)
    made = log.learned["loss"].count > 0
    assert made[-1]
    assert not made[0] and made[1] != ("learning_starts" in field_names(algo))
    np.testing.assert_array_equal(np.isfinite(log.losses["loss"]), made)


@every_algorithm
def test_tiny_configs_are_tiny(algo):
    assert algo.steps_per_update(tiny(algo)) <= 64
    assert {"total_steps", "num_envs", "hidden" if algo.learns else "samples"} <= set(TINY) & field_names(algo)
