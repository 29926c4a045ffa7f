"""Runs whose environments step on the host: errors, NaN, resuming, two devices."""

import shutil

import gymnasium
import jax
import numpy as np
import pytest
from gymnasium import spaces
from stopping import stop_after
from tiny import assert_equal, tiny

from jaxrl_up import A2C, DQN, Evaluation, envs, evaluate, resume, run, sweep, train
from jaxrl_up.cli import main
from jaxrl_up.envs import GUARD, HostError

SETTINGS = {"num_evals": 4, "num_episodes": 2, "max_eval_steps": 6, "progress": False}
CONFIG = tiny(A2C)  # 4 updates of 16 steps
FAULTS = {"at": None, "what": None}  # after how many steps of all simulators which of them errs, and how
STEPS = []


class Walk(gymnasium.Env):
    """Left or right; an episode is 7 steps, which an evaluation does not see the end of."""

    observation_space = spaces.Box(-10, 10, (2,), np.float32)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place = self.np_random.uniform(-1, 1, 2).astype(np.float32)
        self.time = 0
        return self.place, {}

    def step(self, action):
        STEPS.append(action)
        if FAULTS["at"] is not None and len(STEPS) >= FAULTS["at"]:
            if FAULTS["what"] == "nan":
                return self.place * np.nan, float("nan"), False, False, {}
            raise OSError("the cable\nis loose")
        self.time += 1
        self.place = self.place + np.float32(0.1 * (2 * action - 1))
        return self.place, float(self.place[0]), self.time == 7, False, {}


@pytest.fixture(autouse=True)
def sound():
    """No faults, and none left over."""
    FAULTS.update(at=None, what=None)
    STEPS.clear()
    yield
    FAULTS.update(at=None, what=None)
    GUARD.begin()


def walk():
    return envs.from_gymnasium(Walk, name="walk")


def pendulum():
    return envs.make("gymnasium/InvertedPendulum-v5", max_steps=9)


def test_two_devices_give_what_each_seed_gives_alone(cpus):
    together = run(A2C, walk(), CONFIG, (3, 8), **SETTINGS)
    for lane, seed in enumerate((3, 8)):
        alone = run(A2C, walk(), CONFIG, (seed,), **SETTINGS)
        np.testing.assert_array_equal(alone.log.returns[0], together.log.returns[lane])
        for one, both in zip(jax.tree.leaves(alone.state.policy), jax.tree.leaves(together.state.policy), strict=True):
            np.testing.assert_allclose(one[0], both[lane], rtol=1e-5, atol=1e-7)


def test_mujoco_goes_on_bit_for_bit(tmp_path):
    whole = run(A2C, pendulum(), tiny(A2C, num_envs=2), (3, 8, 1), directory=tmp_path / "whole", **SETTINGS)
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, 2)
        stopped = run(A2C, pendulum(), tiny(A2C, num_envs=2), (3, 8, 1), directory=tmp_path / "run", **SETTINGS)
    assert stopped.stopped == "SIGTERM"
    resumed = resume(tmp_path / "run", progress=False)
    assert_equal(resumed.state, whole.state)
    assert_equal(resumed.log, whole.log)
    assert (tmp_path / "run" / "progress.csv").read_text() == (tmp_path / "whole" / "progress.csv").read_text()


@pytest.mark.thorough("dqn")
@pytest.mark.parametrize("algo", [A2C, DQN], ids=lambda algo: algo.name)
def test_others_go_on_with_new_episodes_and_say_so(algo, tmp_path):
    config = tiny(algo)
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, 2)
        run(algo, walk(), config, (3, 8, 1), directory=tmp_path / "run", **SETTINGS)
    again = shutil.copytree(tmp_path / "run", tmp_path / "again")
    results = []
    for directory in (tmp_path / "run", again):
        with pytest.warns(
            UserWarning, match="walk: its simulators ended with their process, so all environments begin"
        ):
            results.append(resume(directory, env=walk(), progress=False))
    assert results[0].returns.shape == (3, 5) and np.isfinite(results[0].returns).all()
    assert_equal(results[0].log, results[1].log)  # the new episodes are those of the run's own keys


def test_an_error_ends_the_run_and_what_was_kept_goes_on(tmp_path):
    FAULTS["at"] = 90  # in the second of four parts
    with pytest.raises(HostError, match=r"^walk: its simulator raised OSError: the cable$"):
        run(A2C, walk(), CONFIG, 1, directory=tmp_path / "run", checkpoint_seconds=0, **SETTINGS)
    assert (tmp_path / "run" / "progress.csv").read_text().count("\n") >= 2
    FAULTS["at"] = None
    with pytest.warns(UserWarning, match="begin a new episode"):
        assert resume(tmp_path / "run", env=walk(), progress=False).returns.shape == (1, 5)


def test_simulators_are_left_alone_once_one_has_failed():
    FAULTS["at"] = 5
    with pytest.raises(HostError, match="cable"):
        run(A2C, walk(), CONFIG, 1, **SETTINGS)
    assert len(STEPS) == 5


@pytest.mark.thorough("sweep")
@pytest.mark.parametrize(
    "call",
    [
        lambda: train(A2C, walk(), CONFIG, 0, 1, Evaluation(2, max_steps=3)),
        lambda: sweep(A2C, walk(), CONFIG, {"gamma": [0.9, 0.95]}, [0], 1, Evaluation(2, max_steps=3)),
        lambda: envs.check(walk(), num_steps=4),
    ],
    ids=["train", "sweep", "check"],
)
def test_the_compiled_gear_raises_it_too(call):
    FAULTS["at"] = 5
    with pytest.raises(HostError, match="cable"):
        call()
    FAULTS["at"] = None
    call()  # nothing is left over


def test_evaluate_raises_it_too():
    policy = run(A2C, walk(), CONFIG, 1, **SETTINGS).state.policy
    policy = jax.tree.map(lambda x: x[0], policy)
    assert evaluate(A2C, walk(), CONFIG, policy, 0, 3).shape == (3,)
    FAULTS["at"] = 1
    with pytest.raises(HostError, match="cable"):
        evaluate(A2C, walk(), CONFIG, policy, 0, 3)


def test_an_error_of_an_earlier_program_does_not_hit_the_next():
    GUARD.note("another", OSError("long ago"))
    assert run(A2C, walk(), CONFIG, 1, **SETTINGS).returns.shape == (1, 5)


def test_nan_fails_the_seed_and_not_the_run():
    FAULTS.update(at=70, what="nan")
    result = run(A2C, walk(), CONFIG, 1, **SETTINGS)
    assert int(result.log.failed_at[0, -1]) >= 0
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(result.state.policy))


FILE = """
import gymnasium
from gymnasium import spaces
from jaxrl_up import envs


class Broken(gymnasium.Env):
    observation_space = spaces.Box(-1, 1, (2,))
    action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        return self.observation_space.low, {}

    def step(self, action):
        raise OSError("the cable is loose")


env = envs.from_gymnasium(Broken)
"""


def test_the_command_line_prints_one_line_and_exits_with_1(tmp_path, capsys):
    (tmp_path / "broken.py").write_text(FILE)
    small = ["--seeds", "1", "--total_steps", "64", "--num_envs", "2", "--rollout_length", "8", "--num-evals", "1"]
    assert main(["train", "a2c", "--env", f"{tmp_path}/broken.py:env", "--directory", "none", *small]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == "jaxrl-up: error: Broken: its simulator raised OSError: the cable is loose"
