"""Wrong calls from Python: one line that says what was given and what is allowed, from this package, at once."""

import dataclasses
import time
import traceback
from functools import cache
from pathlib import Path
from typing import NamedTuple

import gymnasium
import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnax.wrappers import purerl
from tiny import cartpole, chain, tiny

import jaxrl_up
from jaxrl_up import (
    C51,
    DQN,
    PPO,
    SAC,
    Evaluation,
    envs,
    evaluate,
    evaluate_episodes,
    load_policies,
    load_recipe,
    load_run,
    load_sweep,
    make_config,
    random_points,
    resume,
    resume_sweep,
    run,
    run_sweep,
    sweep,
    train,
    use_all_cores,
    use_all_processes,
)
from jaxrl_up.analysis import record_episode
from jaxrl_up.deploy import eject, save_policy
from jaxrl_up.experiments import Sink
from jaxrl_up.records import RunResult

ROOT = Path(jaxrl_up.__file__).parent
ENGINE = (  # what would compile or train
    *("jaxrl_up.training.compiled.train_program", "jaxrl_up.training.evaluation.play_policy"),
    *("jaxrl_up.training.swept.begin_lanes", "jaxrl_up.experiments.drive.begin_lanes"),
    *("jaxrl_up.analysis.drawing.record._record", "jaxrl_up.deploy.export.export_policy"),
)
SECONDS = 30.0  # compiling an update takes longer than tracing one, also on a busy machine
CONFIG = tiny(PPO)


@dataclasses.dataclass
class Physics:
    slope: float = 1.0


class Pair(NamedTuple):
    slope: float = 1.0


@cache
def key():
    return jax.random.key(0)


def keys():
    return jax.random.split(key(), 2)


@cache
def state(algo=PPO, config=CONFIG):
    """Zeros in the place of what training gives."""
    shapes = jax.eval_shape(lambda key: algo.init(config, cartpole(), key), key())
    return jax.tree.map(lambda x: np.zeros(x.shape, x.dtype) if not _is_key(x) else key(), shapes)


def _is_key(x):
    return jnp.issubdtype(x.dtype, jax.dtypes.prng_key)


def reached():
    return RunResult(PPO, cartpole(), CONFIG, (0,), state()._replace(), None, 0.0, 0.0, "")


def seeds_of(policy, number):
    return jax.tree.map(lambda x: np.stack([x] * number), policy)


def own(params=None, action_space=envs.Discrete(2), **options):
    def step(key, state, action, *rest):
        return state, state, 0.0, False, False

    space = envs.Box(-1, 1, (1,))
    return envs.from_functions(
        lambda key, *rest: (jnp.zeros(1), jnp.zeros(1)), step, space, action_space, params=params, **options
    )


def judge(policy=None, algo=PPO, config=CONFIG, **options):
    return evaluate(algo, cartpole(), config, state().policy if policy is None else policy, key(), **options)


def kept(**options):
    return run(PPO, cartpole(), CONFIG, 1, **options)


def swept(grid, config=CONFIG, algo=PPO, **options):
    return sweep(algo, cartpole(), config, grid, keys(), 1, Evaluation(2), **options)


def searched(grid, config=CONFIG, algo=PPO, **options):
    return run_sweep(algo, cartpole(), config, grid, 1, **options)


def gymnax_wrapped(name):
    return envs.from_gymnax(getattr(purerl, name)(gymnax.make("Catch-bsuite")[0]))


def overridden():
    base = type(gymnax.make("Pendulum-v1")[0])
    return envs.from_gymnax(type("Slippery", (base,), {"step": lambda self, *given: None})())


def shows_another_shape():
    base = type(gymnax.make("Pendulum-v1")[0])
    space = gymnax.environments.spaces.Box(-1, 1, (5,))
    return envs.from_gymnax(type("Other", (base,), {"observation_space": lambda self, params: space})())


RANGE = "gamma=1.5 is out of range: it must be between 0 and 1"
ORDER = "give them in the order algo, env, config"
MEANT = "Did you mean 'gamma'?"

WRONG = {
    # values of configs, whatever holds them
    "float32": (lambda: make_config(PPO, gamma=np.float32(1.5)), ValueError, RANGE),
    "float64": (lambda: train(PPO, cartpole(), CONFIG.replace(gamma=np.float64(1.5)), key()), ValueError, RANGE),
    "0-d array": (lambda: make_config(PPO, gamma=np.array(1.5)), ValueError, RANGE),
    "jnp scalar": (lambda: run(PPO, cartpole(), CONFIG.replace(gamma=jnp.float32(1.5))), ValueError, RANGE),
    "bfloat16": (lambda: make_config(PPO, gamma=jnp.bfloat16(1.5)), ValueError, RANGE),
    "int64": (lambda: make_config(PPO, gamma=np.int64(2)), ValueError, "gamma=2 is out of range"),
    "nan of numpy": (lambda: make_config(PPO, learning_rate=np.float32("nan")), ValueError, "learning_rate=nan is out"),
    "inf of jnp": (lambda: make_config(PPO, learning_rate=jnp.float32("inf")), ValueError, "learning_rate=inf is out"),
    "beyond float32": (lambda: make_config(PPO, learning_rate=1e39), ValueError, "float32 holds at most 3.4e+38"),
    "a huge integer": (lambda: make_config(PPO, learning_rate=10**400), ValueError, "float32 holds at most 3.4e+38"),
    "complex": (lambda: make_config(PPO, gamma=0.5j), ValueError, "gamma=0.5j must be a number"),
    "boolean of numpy": (lambda: make_config(PPO, gamma=np.True_), ValueError, "gamma=True must be a number"),
    "a list": (lambda: make_config(PPO, gamma=[0.9, 0.99]), ValueError, "gamma=[0.9, 0.99] must be a number"),
    "a key": (lambda: make_config(PPO, gamma=jax.random.key(0)), ValueError, "must be numbers"),
    "one of an array": (lambda: make_config(PPO, gamma=np.array([0.9, 1.5])), ValueError, RANGE),
    "an array": (
        lambda: train(PPO, cartpole(), CONFIG.replace(gamma=np.array([0.9, 0.8])), key()),
        ValueError,
        "gamma has shape (2,): give one number here, and many to sweep",
    ),
    "half an environment": (lambda: make_config(PPO, num_envs=np.float32(2.5)), ValueError, "must be a whole number"),
    "no environment": (lambda: make_config(PPO, num_envs=np.int32(0)), ValueError, "num_envs=0 is out of range"),
    "sizes as text": (lambda: make_config(PPO, hidden="64,64"), ValueError, "hidden='64,64' must be whole numbers"),
    "a size of 0": (lambda: make_config(PPO, hidden=np.array([64, 0])), ValueError, "each at least 1"),
    "a number as flag": (lambda: make_config(PPO, shared=np.int32(1)), ValueError, "must be True or False"),
    "a number as choice": (lambda: make_config(PPO, activation=3), ValueError, "activation=3: choose from tanh"),
    "an array as choice": (lambda: make_config(PPO, activation=np.array([1, 2])), ValueError, "choose from tanh"),
    "a traced static field": (
        lambda: jax.eval_shape(lambda n: make_config(PPO, num_envs=n).num_envs, 3),
        ValueError,
        "it is static, so it cannot be traced",
    ),
    "a relation": (lambda: make_config(C51, v_min=np.float32(200)), ValueError, "v_max=100 must be above v_min=200"),
    # names
    "no algorithm": (lambda: make_config("pp0"), ValueError, "there is no algorithm 'pp0'. Did you mean 'ppo'?"),
    "a number as algorithm": (lambda: run(5, cartpole()), TypeError, "algo=5 must be an Algorithm"),
    "no environment of that name": (lambda: run("ppo", "CartPole"), ValueError, "Did you mean 'CartPole-v1'?"),
    "a number as environment": (lambda: run("ppo", 5), TypeError, "env=5 must be an Env"),
    "no field": (lambda: make_config("ppo", gama=0.9), ValueError, MEANT),
    "no field of the class": (lambda: PPO.Config(gama=0.9), TypeError, MEANT),
    "no field to replace": (lambda: CONFIG.replace(gama=0.9), TypeError, MEANT),
    "no field in a dict": (lambda: run(PPO, cartpole(), {"gama": 0.9}), ValueError, MEANT),
    "no preset": (lambda: kept(preset="spinpu"), ValueError, "ppo has no preset 'spinpu'; it has default, spinup"),
    "a number as preset": (lambda: make_config(PPO, 3), ValueError, "ppo has no preset 3"),
    # arguments in the place of others
    "run swapped": (
        lambda: run(cartpole(), PPO),
        TypeError,
        f"algo is an environment and env is an algorithm: {ORDER}",
    ),
    "names swapped": (lambda: run("CartPole-v1", "ppo"), TypeError, ORDER),
    "train swapped": (lambda: train(PPO, CONFIG, cartpole(), key()), TypeError, "env is a config and config is an env"),
    "a config first": (lambda: sweep(CONFIG, PPO, cartpole(), {}, keys()), TypeError, ORDER),
    "load_run swapped": (lambda: load_run("nowhere", cartpole(), PPO), TypeError, ORDER),
    "another config": (lambda: run(PPO, cartpole(), DQN.Config()), TypeError, "config is a config of dqn, which ppo"),
    "the config's class": (lambda: run(PPO, cartpole(), PPO.Config), TypeError, "call it, as in Config()"),
    "a number as config": (lambda: run(PPO, cartpole(), 5), TypeError, "config is 5, which ppo does not take"),
    "gymnasium": (
        lambda: run(PPO, gymnasium.make("CartPole-v1")),
        TypeError,
        "make an Env of it with envs.from_gymnasium",
    ),
    "gymnax": (lambda: run(PPO, gymnax.make("CartPole-v1")[0]), TypeError, "make an Env of it with envs.from_gymnax"),
    "gymnax's pair": (lambda: run(PPO, gymnax.make("CartPole-v1")), TypeError, "unpack the pair"),
    # runs
    "half a seed": (lambda: run(PPO, cartpole(), CONFIG, 2.5), ValueError, "seeds=2.5: give how many"),
    "a seed twice": (lambda: run(PPO, cartpole(), CONFIG, jnp.array([1, 1])), ValueError, "distinct whole numbers"),
    "a table of seeds": (lambda: run(PPO, cartpole(), CONFIG, np.eye(2, dtype=int)), ValueError, "give how many"),
    "seeds as text": (lambda: run(PPO, cartpole(), CONFIG, "3"), ValueError, "seeds='3': give how many"),
    "no evaluation": (lambda: kept(num_evals=0), ValueError, "num_evals=0 must be at least 1"),
    "half an episode": (lambda: kept(num_episodes=2.5), ValueError, "num_episodes=2.5 must be a whole number"),
    "a step below 1": (lambda: kept(max_eval_steps=np.int64(0)), ValueError, "max_eval_steps=0 must be at least 1, or"),
    "no": (lambda: kept(deterministic="no"), ValueError, "deterministic='no' must be True or False"),
    "progress": (lambda: kept(progress="bar"), ValueError, "progress='bar' must be True or False"),
    "force": (lambda: kept(force=None), ValueError, "force=None must be True or False"),
    "a negative time": (lambda: kept(checkpoint_seconds=-1), ValueError, "checkpoint_seconds=-1 must be at least 0"),
    "evaluated in other spaces": (
        lambda: kept(evaluation_env=chain()),
        ValueError,
        "evaluation_env has the observation space Discrete(5), but CartPole-v1, which is trained on, has Box(",
    ),
    "evaluated nowhere": (lambda: kept(evaluation_env="CartPole"), ValueError, "evaluation_env: "),
    "evaluated in a number": (lambda: kept(evaluation_env=5), TypeError, "evaluation_env: env=5 must be an Env"),
    "a drawn parameter swept": (
        lambda: sweep(PPO, envs.randomize(cartpole(), gravity=(8, 12)), CONFIG, {"gravity": [9.0]}, keys(), 1),
        ValueError,
        "'gravity' is drawn for each episode of CartPole-v1 + randomize(gravity=8:12), so other values of it",
    ),
    "a number as directory": (lambda: kept(directory=5), TypeError, "directory=5 must be a path"),
    "a number as sink": (lambda: kept(sinks=[5]), TypeError, "sinks has 5, which is no Sink"),
    "a class as sink": (lambda: kept(sinks=Sink), TypeError, "which is no Sink"),
    "an evaluation of none": (
        lambda: train(PPO, cartpole(), CONFIG, key(), 1, Evaluation(0)),
        ValueError,
        "num_episodes=0 must be at least 1",
    ),
    "a number as evaluation": (
        lambda: train(PPO, cartpole(), CONFIG, key(), 1, 16),
        TypeError,
        "evaluation=16 must be an Evaluation",
    ),
    "integer actions": (
        lambda: run(SAC, own(action_space=envs.Box(0, 3, (2,), np.int32))),
        ValueError,
        "of int32, in which no algorithm acts",
    ),
    "resume nothing": (lambda: resume(5), TypeError, "directory=5 must be a path"),
    "resume for half a step": (lambda: resume("nowhere", 2.5), ValueError, "total_steps=2.5 must be a whole number"),
    "resume a wrong name": (lambda: resume("nowhere", algo="pp0"), ValueError, "Did you mean 'ppo'?"),
    "resume nowhere": (lambda: resume("nowhere"), FileNotFoundError, "nowhere holds no run"),
    "resume a sweep": (lambda: resume_sweep(None), TypeError, "directory=None must be a path"),
    "load a sweep": (lambda: load_sweep("nowhere"), FileNotFoundError, "nowhere holds no sweep"),
    "policies of nothing": (lambda: load_policies(3), TypeError, "directory=3 must be a path"),
    "a number as recipe": (lambda: load_recipe(3), TypeError, "name=3 must be a path"),
    "half a process": (lambda: use_all_processes("h:1", 1.5, 0), ValueError, "processes=1.5 must be a whole number"),
    "one process too many": (
        lambda: use_all_processes("h:1", 2, 2),
        ValueError,
        "process=2 must be below processes=2: they are counted from 0",
    ),
    "half a core": (lambda: use_all_cores(1.5), ValueError, "cores=1.5 must be a whole number, or None"),
    # policies
    "no episode": (lambda: judge(num_episodes=0), ValueError, "num_episodes=0 must be at least 1"),
    "negative steps": (lambda: judge(max_steps=-3), ValueError, "max_steps=-3 must be at least 1, or None"),
    "no step": (lambda: judge(max_steps=0), ValueError, "max_steps=0 must be at least 1, or None"),
    "yes": (lambda: judge(deterministic="yes"), ValueError, "deterministic='yes' must be True or False"),
    "a state": (lambda: judge(state()), TypeError, "policy is a state of ppo: give its policy, as in state.policy"),
    "no policy": (lambda: judge({}), ValueError, "policy is not one of ppo on CartPole-v1 with this config"),
    "a function as policy": (lambda: judge(lambda obs: 0), ValueError, "policy is not one of ppo"),
    "another algorithm's": (lambda: judge(algo=DQN, config=tiny(DQN)), ValueError, "policy is not one of dqn"),
    "of another size": (lambda: judge(config=CONFIG.replace(hidden=(5,))), ValueError, "[8, 2] at policy.params"),
    "of three seeds": (lambda: judge(seeds_of(state().policy, 3)), ValueError, "policy is of 3 seeds: choose one"),
    "episodes of none": (
        lambda: evaluate_episodes("ppo", cartpole(), CONFIG, state().policy, key(), num_episodes=np.int32(0)),
        ValueError,
        "num_episodes=0 must be at least 1",
    ),
    "recorded": (
        lambda: record_episode(PPO, cartpole(), CONFIG, state(), key()),
        TypeError,
        "policy is a state of ppo",
    ),
    "perhaps deterministic": (lambda: reached().policy(deterministic="no"), ValueError, "'no' must be True or False"),
    "deterministic by number": (lambda: reached().policy(None, 1), ValueError, "deterministic=1 must be True or False"),
    "recorded by word": (
        lambda: record_episode(PPO, cartpole(), CONFIG, state().policy, key(), deterministic="no"),
        ValueError,
        "deterministic='no' must be True or False",
    ),
    "overwritten by word": (
        lambda: save_policy("policy.bin", PPO, cartpole(), CONFIG, state().policy, overwrite="no"),
        ValueError,
        "overwrite='no' must be True or False",
    ),
    "ejected by word": (lambda: eject(PPO, "mine.py", force="no"), ValueError, "force='no' must be True or False"),
    "swept by word": (lambda: searched({"gamma": [0.9]}, force="no"), ValueError, "force='no' must be True or False"),
    "a flag of an environment": (lambda: own(deterministic_reset="no"), ValueError, "'no' must be True or False"),
    "progress of what goes on": (lambda: resume("nowhere", progress=1), ValueError, "progress=1 must be True or False"),
    "progress of a sweep": (lambda: resume_sweep("nowhere", progress="no"), ValueError, "must be True or False"),
    "saved": (lambda: save_policy(7, PPO, cartpole(), CONFIG, state().policy), TypeError, "path=7 must be a path"),
    # grids
    "a grid's value": (lambda: swept({"gamma": [0.9, 1.5]}), ValueError, RANGE),
    "a grid of numpy": (lambda: swept({"learning_rate": np.array([1e-3, -1e-3])}), ValueError, "learning_rate=-0.001"),
    "a grid of jnp": (lambda: swept({"gamma": jnp.array([jnp.nan, 0.5])}), ValueError, "gamma=nan is out of range"),
    "text in a grid": (lambda: swept({"gamma": [0.9, "high"]}), ValueError, "gamma has the value 'high'"),
    "nan physics in a grid": (
        lambda: swept({"gravity": [9.8, np.nan]}),
        ValueError,
        "env.gravity=nan must be a number",
    ),
    "arrays in a grid": (lambda: swept({"gravity": np.ones((2, 3))}), ValueError, "env.gravity has shape [2, 3]"),
    "a ragged grid": (lambda: swept({"gamma": [[0.9, 0.8], [0.7]]}), ValueError, "must be numbers, all of one shape"),
    "an empty grid": (lambda: swept({}), ValueError, "the values of a grid need one length, at least 1; got no names"),
    "no grid": (lambda: swept([0.9]), TypeError, "grid=[0.9] must be a dict"),
    "above an unswept field": (
        lambda: swept({"v_min": [0.0, 150.0]}, tiny(C51), C51),
        ValueError,
        "v_max=100 must be above v_min=150",
    ),
    "above a swept field": (
        lambda: swept({"v_min": [0.0, 60.0], "v_max": [50.0, 50.0]}, tiny(C51), C51),
        ValueError,
        "v_max=50 must be above v_min=60",
    ),
    "a search's value": (lambda: searched({"gamma": [0.9, np.float32(1.5)]}), ValueError, RANGE),
    "a number in place of values": (lambda: searched({"gamma": 0.9}), ValueError, "gamma=0.9: give a list"),
    "a number in place of points": (lambda: searched([0.9]), TypeError, "0.9 is no point of a sweep"),
    "a search's arrays": (
        lambda: searched({"gravity": [[1, 2], [3, 4]]}),
        ValueError,
        "env.gravity=(1, 2) must be one",
    ),
    "a search's physics": (
        lambda: searched({"gravity": [9.8, jnp.nan]}),
        ValueError,
        "env.gravity=nan must be a finite",
    ),
    "ragged physics": (lambda: searched({"gravity": [[[1], [2, 3]], 4]}), ValueError, "must be one number"),
    "a search's relation": (
        lambda: searched({"v_min": [0.0, 150.0]}, tiny(C51), C51),
        ValueError,
        "v_max=100 must be above v_min=150",
    ),
    "no lane": (lambda: searched({"gamma": [0.9]}, max_lanes=0), ValueError, "max_lanes=0 must be at least 1, or None"),
    "a half rung": (lambda: searched({"gamma": [0.9]}, halving=1.5), ValueError, "halving=1.5 must be a whole number"),
    "a range of one": (lambda: random_points(2, uniform={"gamma": 0.9}), ValueError, "gamma=0.9 is no range"),
    # environments
    "nan physics": (lambda: envs.make("CartPole-v1", gravity=np.nan), ValueError, "'gravity' is not a number"),
    "nan later": (lambda: cartpole().with_params(gravity=jnp.float32("nan")), ValueError, "'gravity' is not a number"),
    "no time": (lambda: envs.make("CartPole-v1", max_steps=np.inf), ValueError, "'max_steps' of CartPole-v1 must be"),
    "a flag as time": (lambda: envs.make("CartPole-v1", max_steps=True), ValueError, "must be of type int, got True"),
    "a size as text": (lambda: envs.make("DeepSea-bsuite", size="x"), ValueError, "cannot be built with size='x'"),
    "a number as name": (lambda: envs.make(5), TypeError, "make needs the name of an environment"),
    "a row number": (lambda: own({"row": 123456789}), ValueError, "'row' holds 123456789, which float32 does not"),
    "row numbers": (lambda: own({"row": np.array([1, 2**24 + 1])}), ValueError, "'row' holds 16777217"),
    "too large": (lambda: own({"row": 1e39}), ValueError, "'row' holds 1e+39, which float32 does not"),
    "a ragged list": (lambda: own({"row": [[1], [2, 3]]}), ValueError, "'row' must be a number or an array"),
    "a tree": (lambda: own({"row": {"a": 1.0}}), ValueError, "'row' must be a number or an array, got {'a': 1.0}"),
    "a dataclass": (lambda: own(Physics()), TypeError, "give dataclasses.asdict(params)"),
    "a named tuple": (lambda: own(Pair()), TypeError, "of a named tuple params._asdict()"),
    "gymnasium for gymnax": (
        lambda: envs.from_gymnax(gymnasium.make("CartPole-v1")),
        TypeError,
        "is an environment of gymnasium",
    ),
    "flattened in gymnax": (
        lambda: gymnax_wrapped("FlattenObservationWrapper"),
        ValueError,
        "wrap the Env with envs.flatten_observation",
    ),
    "sticky in gymnax": (lambda: gymnax_wrapped("StickyActionWrapper"), ValueError, "with envs.sticky_actions"),
    "logged in gymnax": (lambda: gymnax_wrapped("LogWrapper"), ValueError, "with envs.episode_statistics"),
    "a step of one's own": (overridden, ValueError, "would pass over Slippery.step"),
    "another shape": (shows_another_shape, ValueError, "the observation of reset_env is float32[3], its space"),
    "gymnax's class": (lambda: envs.from_gymnax(type(gymnax.make("Pendulum-v1")[0])), TypeError, "call it"),
    "a name for gymnax": (lambda: envs.from_gymnax("Pendulum-v1"), TypeError, "use envs.make for a name"),
    "physics of a dict": (
        lambda: envs.from_gymnax(gymnax.make("Pendulum-v1")[0], {"g": 3.0}),
        TypeError,
        "needs the environment's EnvParams",
    ),
    "a wrapped number": (lambda: envs.time_limit(5, 3), TypeError, "env=5 must be an Env"),
    "a row of a search": (lambda: searched({"gravity": [2**24 + 1]}), ValueError, "holds 16777217, which float32"),
    "a row of a grid": (lambda: swept({"gravity": [1, 2**24 + 1]}), ValueError, "holds 16777217, which float32"),
    "a number as name in a grid": (lambda: swept({5: [0.9]}), TypeError, "must be a dict of names and values"),
    "keys as seeds": (lambda: run(PPO, cartpole(), CONFIG, keys()), ValueError, "give how many (at least 1)"),
    "an array as network": (lambda: make_config(PPO, network=np.eye(2)), ValueError, "it must be hashable"),
    "text as bounds": (lambda: envs.Box("a", 1), ValueError, "Box(low, high) needs numbers, got low='a', high=1"),
    "a scale of text": (lambda: envs.scale_reward(chain(), "x"), ValueError, "needs a finite Python number as scale"),
}


@pytest.fixture(scope="module", autouse=True)
def _loaded():
    """gymnax takes seconds to load, and the first environment of a kind a while."""
    for name in ("CartPole-v1", "Catch-bsuite", "Pendulum-v1", "DeepSea-bsuite"):
        envs.make(name)
    state()


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_call_is_one_line_of_ours(name, tmp_path, monkeypatch):
    call, kind, text = WRONG[name]
    monkeypatch.chdir(tmp_path)
    for function in ENGINE:
        monkeypatch.setattr(function, lambda *_, **__: pytest.fail("it was trained"))
    begun = time.perf_counter()
    with pytest.raises(kind) as caught:
        call()
    assert time.perf_counter() - begun < SECONDS
    assert caught.type is kind
    assert text in str(caught.value).splitlines()[0]
    last = Path(traceback.extract_tb(caught.tb)[-1].filename)
    assert last.is_relative_to(ROOT), f"raised in {last}"
    assert not list(tmp_path.iterdir())


def test_the_table_is_not_empty():
    assert len(WRONG) >= 60
