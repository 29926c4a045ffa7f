"""The host-driven gear: seeds, results, policies, failures and Ctrl-C."""

import os
import signal
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import breaking, cartpole, lane, tiny

from jaxrl_up import A2C, iqm, run, train
from jaxrl_up.config import canonical, seed_list
from jaxrl_up.experiments import Reporter, last_words, stoppable
from jaxrl_up.records import NOT_KEPT

CONFIG = tiny(A2C)
SETTINGS = {"num_evals": 4, "num_episodes": 3, "max_eval_steps": 12, "progress": False}
SEEDS = (7, 2**32 - 1, 0)


@pytest.fixture(scope="module")
def result(cpus):
    return run(A2C, cartpole(), CONFIG, SEEDS, **SETTINGS)


def test_result_has_every_seed_and_no_padding(result):
    assert result.seeds == SEEDS
    assert result.returns.shape == (3, 5)
    np.testing.assert_array_equal(result.env_steps, [0, 16, 32, 48, 64])
    assert all(x.shape[0] == 3 for x in jax.tree.leaves(result.state._replace(counters=None)))
    assert int(result.state.counters.updates) == 4
    assert all(x.shape == (3, 5) for x in jax.tree.leaves(result.log))
    assert not result.stopped
    assert result.failed == {}
    assert result.compile_seconds > 0
    np.testing.assert_allclose(result.steps_per_second, 3 * 64 / result.train_seconds)


def test_score_is_of_the_last_evaluation(result):
    np.testing.assert_allclose(result.score.iqm, iqm(result.returns[:, -1]))
    assert result.score.low <= result.score.iqm <= result.score.high


def test_policy_is_that_of_its_seed(result):
    obs = jax.random.normal(jax.random.key(0), (5, 4))
    params = jax.tree.map(lambda x: x[1], result.state.policy)
    expected = A2C.act(canonical(CONFIG), cartpole(), params, obs)[0]
    np.testing.assert_array_equal(result.policy(SEEDS[1])(obs), expected)
    np.testing.assert_array_equal(result.policy()(obs), result.policy(7)(obs))
    assert result.policy()(obs[0]).shape == ()
    assert result.policy()(np.zeros(4)).shape == ()
    draw = result.policy(0, deterministic=False)
    draws = np.stack([draw(obs, jax.random.key(i)) for i in range(8)])
    assert np.any(draws != draws[0])
    np.testing.assert_array_equal(draw(obs, jax.random.key(3)), draws[3])
    with pytest.raises(ValueError, match="needs a key"):
        draw(obs)
    with pytest.raises(ValueError, match="seed 3 was not run"):
        result.policy(3)


def test_large_seeds_are_the_keys_they_say(result):
    alone = run(A2C, cartpole(), CONFIG, [2**32 - 1], **SETTINGS)
    np.testing.assert_allclose(alone.returns[0], result.returns[1], rtol=1e-4)
    state, _ = train(A2C, cartpole(), CONFIG, jax.random.key(2**32 - 1), 4)
    np.testing.assert_allclose(_kernels(state), _kernels(lane(result.state, 1)), rtol=1e-3, atol=1e-5)


def _kernels(state):
    return np.concatenate([np.ravel(x) for x in jax.tree.leaves(state.learner.params)])


def test_runs_are_equal_bit_for_bit_without_an_evaluation_between(result):
    again = run(A2C, cartpole(), CONFIG, SEEDS, **{**SETTINGS, "num_evals": 2})
    np.testing.assert_array_equal(again.returns[:, -1], result.returns[:, -1])
    for x, y in zip(jax.tree.leaves(again.state.learner), jax.tree.leaves(result.state.learner), strict=True):
        np.testing.assert_array_equal(x, y)


def test_failed_seeds_are_named():
    """A reward that is NaN at the twentieth step, for all seeds."""
    result = run(A2C, breaking(A2C, 20), CONFIG, (3, 9), **SETTINGS)
    assert result.failed == {3: 3, 9: 3}
    assert np.all(np.isfinite(result.returns))
    np.testing.assert_array_equal(result.log.failed_at, [[-1, -1, -1, 3, 3]] * 2)


class Interrupting:
    """A reporter that presses Ctrl-C once the second evaluation after the first is shown."""

    def __init__(self, monkeypatch, press):
        original, seen = Reporter.evaluated, []

        def evaluated(self, log, seconds):
            original(self, log, seconds)
            seen.append(log)
            if len(seen) == 3:
                press()

        monkeypatch.setattr(Reporter, "evaluated", evaluated)
        self.seen = seen


@pytest.mark.parametrize("presses", [1, 2])
def test_ctrl_c_returns_what_was_reached_and_twice_means_it(monkeypatch, presses):
    def press():
        said.append(last_words())
        for _ in range(presses):
            signal.raise_signal(signal.SIGINT)

    said, reporter = [], Interrupting(monkeypatch, press)
    before = signal.getsignal(signal.SIGINT)
    if presses == 2:
        with pytest.raises(KeyboardInterrupt):
            run(A2C, cartpole(), CONFIG, 2, **SETTINGS)
    else:
        stopped = run(A2C, cartpole(), CONFIG, 2, **SETTINGS)
        assert stopped.stopped == "Ctrl-C"
        assert stopped.returns.shape == (2, 3)
        assert int(stopped.state.counters.env_steps) == stopped.env_steps[-1] == 32
        assert stopped.policy()(jnp.zeros(4)).shape == ()
    assert len(reporter.seen) == 3
    assert said == [NOT_KEPT]
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_twice_while_compiling_raises_once_that_is_done(monkeypatch):
    reporter = Interrupting(monkeypatch, lambda: None)
    compiled = Reporter.compiled

    def press_twice(self, *arguments):
        for _ in range(2):
            signal.raise_signal(signal.SIGINT)
        compiled(self, *arguments)  # nothing is raised within

    monkeypatch.setattr(Reporter, "compiled", press_twice)
    with pytest.raises(KeyboardInterrupt):
        run(A2C, cartpole(), CONFIG, 2, **SETTINGS)
    assert not reporter.seen


@pytest.mark.parametrize(("number", "name"), [(signal.SIGINT, "Ctrl-C"), (signal.SIGTERM, "SIGTERM")])
def test_signals_from_outside(monkeypatch, number, name):
    pid = os.getpid()
    reporter = Interrupting(monkeypatch, lambda: os.kill(pid, number))
    assert run(A2C, cartpole(), CONFIG, 2, **SETTINGS).stopped == name
    assert len(reporter.seen) == 3


def test_ctrl_c_is_left_alone_outside_the_main_thread():
    answers = []

    def enter():
        with stoppable() as stop:
            answers.append(stop())

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert answers == [""]


@pytest.mark.parametrize(
    ("seeds", "expected"),
    [(3, (0, 1, 2)), (np.int64(2), (0, 1)), ([5, 1], (5, 1)), (range(2, 4), (2, 3)), (np.array([4, 2]), (4, 2))],
)
def test_seeds_as_a_number_or_a_list(seeds, expected):
    assert seed_list(seeds) == expected


@pytest.mark.parametrize("seeds", [0, -1, [], [1, 1], [-1], [2**32], [0.5], 1.5, True, [True], None])
def test_bad_seeds_are_refused(seeds):
    with pytest.raises(ValueError, match="seeds="):
        seed_list(seeds)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_evals": 0}, "num_evals=0"),
        ({"num_episodes": 0}, "num_episodes=0"),
        ({"max_eval_steps": 0}, "max_eval_steps=0"),
        ({"seeds": []}, "seeds="),
        ({"config": CONFIG.replace(gamma=1.5)}, "gamma=1.5"),
        ({"config": CONFIG.replace(hidden=())}, "hidden"),
    ],
)
def test_bad_settings_are_refused_before_anything_compiles(settings, message):
    arguments = {"config": CONFIG, "seeds": 1, **SETTINGS, **settings}
    with pytest.raises(ValueError, match=message):
        run(A2C, cartpole(), **arguments)
