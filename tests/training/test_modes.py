"""JAX's modes: the same programs and numbers under each of them."""

import logging
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import EVALUATION, assert_close, assert_equal, seen_by, task, tiny

from jaxrl_up import (
    ALGORITHMS,
    DQN,
    PPO,
    SAC,
    VPG,
    envs,
    evaluate,
    load_policies,
    load_run,
    make_config,
    resume,
    run,
    sweep,
    train,
)
from jaxrl_up.config import canonical
from jaxrl_up.deploy import load_policy, numpy_policy, save_policy
from jaxrl_up.envs import Box, Discrete, from_functions, probes
from jaxrl_up.experiments import STOPS

FULL = {
    "n_step": 2,
    "double": True,
    "dueling": True,
    "exploration_noise": "pink",
    "normalize_observations": True,
    "anneal_learning_rate": True,
    "target_kl": 0.1,
    "learning_rate": np.float64(1e-3),
}


def precise(action_space):
    """An environment that leaves its dtypes to JAX, so that they are of 64 bits where there are such."""
    space = Box(np.full(3, -1e3), np.full(3, 1e3), (3,), np.float64)

    def step(key, state, action, params):
        state = state + params["size"] * jax.random.normal(key, (3,))
        return state, state, jnp.sum(state), jnp.sum(state) > 9, jnp.array(False)

    def reset(key, params):
        state = jax.random.uniform(key, (3,))
        return state, state

    return from_functions(reset, step, space, action_space, 5, {"size": np.float64(0.1)}, "precise")


@pytest.mark.parametrize("name", ALGORITHMS)
def test_64_bits_change_no_type(name):
    """A sum of int64 in the carry of a loop would not even trace."""
    algo = ALGORITHMS[name]
    known = algo.Config.__dataclass_fields__
    config = tiny(algo, **{field: value for field, value in FULL.items() if field in known})

    def everything(key):
        state, log = train(algo, env, config, key, 2, EVALUATION)
        return state, log, algo.act(config, env, state.policy, state.interaction.obs, state.interaction.memory, key)

    kinds = []
    for x64 in (False, True):
        with jax.enable_x64(x64):
            env = task(algo)
            kinds.append(jax.tree.map(lambda x: (x.shape, x.dtype), jax.eval_shape(everything, jax.random.key(0))))
    assert kinds[0] == kinds[1]


@pytest.mark.parametrize("name", ALGORITHMS)
def test_environments_of_64_bits_are_learned_from(name):
    algo = ALGORITHMS[name]
    with jax.enable_x64(True):
        env = seen_by(algo, precise(Discrete(2) if "Discrete" in algo.action_spaces else Box(-1, 1, (2,))))
        state, log = jax.eval_shape(lambda key: train(algo, env, tiny(algo), key, 1, EVALUATION), jax.random.key(0))
    assert (
        jax.tree.leaves(state.interaction.obs)[0].dtype
        == jax.tree.leaves(state.interaction.env_state)[0].dtype
        == np.float64
    )
    types = {x.dtype for x in jax.tree.leaves((state.learner, log)) if jnp.issubdtype(x.dtype, jnp.floating)}
    assert types == {np.dtype(np.float32)}
    assert not [x for x in jax.tree.leaves((state.learner, state.counters, log)) if x.dtype == np.int64]


@pytest.mark.thorough("dqn")
@pytest.mark.exhaustive("sac")
@pytest.mark.parametrize("algo", [PPO, DQN, SAC], ids=lambda algo: algo.name)
def test_64_bits_change_no_number(algo):
    found = []
    for x64 in (False, True):
        with jax.enable_x64(x64):
            env, config = task(algo), tiny(algo)
            state, log = train(algo, env, config, jax.random.key(0), 1, EVALUATION)
            returns = evaluate(algo, env, config, state.policy, jax.random.key(1), 2)
            found.append([np.asarray(x) for x in (log.returns, log.losses["loss"], returns)])
    assert_close(found[0], found[1], rtol=1e-3, atol=1e-3)


@pytest.mark.thorough
def test_64_bits_change_no_number_of_a_kept_run(tmp_path):
    found = []
    for x64 in (False, True):
        with jax.enable_x64(x64):
            env, config = task(PPO), tiny(PPO)
            options = {"num_evals": 1, "num_episodes": 2, "max_eval_steps": 12, "progress": False}
            gammas, keys = np.array([0.9, 0.99]), jax.random.split(jax.random.key(0))
            _, log = sweep(PPO, env, config, {"gamma": gammas}, keys, 1)
            directory = tmp_path / str(x64)
            run(PPO, env, config, 1, directory, **options)
            longer = resume(directory, 128, 128, progress=False)
            last = jax.tree.map(lambda x: x[0], load_policies(load_run(directory)).last)
            path = save_policy(tmp_path / f"{x64}.bin", PPO, env, config, last)
            obs = np.random.default_rng(0).normal(size=(9, 4))
            actions = load_policy(path)(obs)
            np.testing.assert_array_equal(actions, numpy_policy.load_policy(path)(obs))
            np.testing.assert_array_equal(actions, longer.policy()(obs))
            found.append([np.asarray(x) for x in (log.returns, longer.log.losses["loss"], actions)])
    assert_close(found[0], found[1], rtol=1e-3, atol=1e-3)


def test_64_bits_change_no_environment():
    """gymnax draws with the default dtype; here an episode begins and goes on alike."""

    def episode(key):
        state, obs = env.reset(key)
        return obs, env.step(key, state, env.action_space.sample(key))

    for name in ("Acrobot-v1", "Breakout-MinAtar", "PointRobot-misc", "Pong-misc"):
        outcomes = []
        for x64 in (False, True):
            with jax.enable_x64(x64):
                env = envs.make(name)
                outcomes.append(jax.tree.map(np.asarray, jax.jit(episode)(jax.random.key(2))))
        for one, other in zip(*map(jax.tree.leaves, outcomes), strict=True):
            assert one.dtype == other.dtype
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


SMALL = {"total_steps": 8, "num_envs": 2, "rollout_length": 2, "value_steps": 1, "hidden": (4,)}
OPTIONS = {"num_evals": 2, "num_episodes": 1, "max_eval_steps": 2, "progress": False}


def small(seeds=1, directory=None, **fields):
    """A run of two updates."""
    config = make_config(VPG, **{**SMALL, **fields})
    return run(VPG, probes.matched_action_reward(), config, seeds, directory, **OPTIONS)


@pytest.mark.thorough
def test_nothing_is_compiled_without_jit():
    expected = small(total_steps=4)
    with jax.disable_jit():
        found = small(total_steps=4)
    assert_close(found.log, expected.log)


@pytest.mark.thorough
def test_transfers_of_our_own_are_no_offence(tmp_path):
    env, config, key = probes.matched_action_reward(), canonical(tiny(VPG)), jax.random.key(0)
    train(VPG, env, config, key, 2, EVALUATION)  # what it is compiled with may come from the host
    with jax.transfer_guard("disallow"):
        train(VPG, env, config, key, 2, EVALUATION)
        canonical(tiny(VPG, gamma=0.5))
        small(2, tmp_path / "run")
        resume(tmp_path / "run", 12, 8, env=probes.matched_action_reward(), progress=False)


@pytest.mark.thorough("rbg")
@pytest.mark.exhaustive("unsafe_rbg")
@pytest.mark.parametrize("kind", ["rbg", "unsafe_rbg"])
def test_a_run_goes_on_with_random_keys_of_its_kind(kind, tmp_path):
    with jax.default_prng_impl(kind):
        whole = small(schedule_steps=8)
        small(directory=tmp_path / "run", total_steps=4, schedule_steps=8)
    # where keys are of another kind by default
    longer = resume(tmp_path / "run", 8, env=probes.matched_action_reward(), progress=False)
    assert jax.random.key_impl(longer.state.key) == kind
    assert_equal(longer.state, whole.state)


@pytest.mark.thorough
def test_runs_in_threads_do_not_meet(tmp_path):
    logger, handlers = logging.getLogger("absl"), [signal.getsignal(number) for number in STOPS]
    before = logger.level, list(logger.filters)
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda seed: small([seed], tmp_path / str(seed)), (0, 1)))
    assert (logger.level, logger.filters) == before
    assert handlers == [signal.getsignal(number) for number in STOPS]
    for seed, result in enumerate(results):
        assert_equal(result.state, small([seed]).state)


@pytest.mark.thorough
def test_a_kept_run_puts_out_no_nan_and_no_infinity(tmp_path):
    """Nor do its start and its checkpoints; the contract says it of each algorithm's training."""
    with jax.debug_nans(True), jax.debug_infs(True):
        found = small(2, tmp_path / "run")
    assert_equal(found.state, small(2).state)


@pytest.mark.thorough
@pytest.mark.parametrize("algo", [PPO, DQN], ids=lambda algo: algo.name)
def test_no_tracer_leaks(algo):
    env, config = task(algo), tiny(algo, hidden=(9,))  # which no other test has traced
    with jax.checking_leaks():
        jax.eval_shape(lambda key: train(algo, env, config, key, 1, EVALUATION), jax.random.key(0))


def test_an_environment_first_made_within_a_trace_leaves_no_tracer_behind():
    """gymnax is imported there, and its modules hold arrays."""
    program = """
import jax
from jaxrl_up import envs
make = lambda key: envs.make("FrozenLake-misc").reset(key)[1]
jax.eval_shape(make, jax.random.key(0))
print(jax.jit(make)(jax.random.key(0)))
import sys
held = [x for m in list(sys.modules.values()) if m.__name__.startswith("gymnax") for x in vars(m).values()]
print(sum(isinstance(x, jax.core.Tracer) for x in held))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == "0"
