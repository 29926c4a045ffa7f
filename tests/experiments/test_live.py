"""What a run says, on a terminal and elsewhere."""

import io
from types import SimpleNamespace

import numpy as np
import pytest
from fake_runs import CONFIG, RETURNS, SEEDS, at, make_env, make_log, make_result

from jaxrl_up import PPO, envs
from jaxrl_up.experiments import Reporter, SweepWatcher, summary
from jaxrl_up.ops import score
from jaxrl_up.records import NOT_KEPT, clock, duration, score_line, spread, steps_made, value


class Terminal(io.StringIO):
    def isatty(self):
        return True


def report(stream, log=None, enabled=True, **options):
    log = make_log() if log is None else log
    reporter = Reporter(PPO, make_env(), CONFIG, SEEDS, enabled, stream)
    with reporter:
        reporter.compiled(2.0)
        for e in range(log.returns.shape[1]):
            reporter.evaluated(at(log, e), 1.0 + e)
    reporter.finished(make_result(log, **options))
    return stream.getvalue()


def test_plain_lines():
    lines = report(io.StringIO()).splitlines()
    assert lines[0].startswith("ppo on Fake-v0: 3 seeds x 3,072 steps on ")
    assert lines[1] == "compiled in 2.0 s, training"
    assert lines[2] == "1,024/3,072 steps   3,072 steps/s   0:02 left   return 17.4 (IQM, seeds 10.0..22.1)"
    assert lines[5].startswith("score 33.5 [-41.4, 108.5] (IQM of 3 seeds")
    assert lines[6:] == ["worst seed 3: 0.3", "compiled in 2.0 s, trained in 4.0 s (2,304 steps/s, all seeds)"]


def test_the_header_says_where_else_policies_are_evaluated():
    env = envs.make("CartPole-v1")
    for played, said in ((None, ""), (env.with_params(gravity=20.0), ", evaluated in CartPole-v1 (gravity=20)")):
        stream = io.StringIO()
        with Reporter(PPO, env, CONFIG, SEEDS, True, stream, played):
            pass
        header = stream.getvalue().splitlines()[0]
        assert header.endswith(f"cpu devices{said}, compiling ...") or header.endswith(
            f"cpu device{said}, compiling ..."
        )
    stream = io.StringIO()
    with Reporter(PPO, envs.make("pgx/tic_tac_toe"), CONFIG, SEEDS, True, stream):
        pass
    assert ", evaluated in pgx/tic_tac_toe?opponent=random, compiling ..." in stream.getvalue()


def test_a_failed_seed_is_named_once_and_in_the_summary():
    text = report(io.StringIO(), make_log(failed_at=(-1, 17, -1)))
    assert text.count("seed 3 failed at update 17; it keeps") == 1
    assert "seed 3 failed at update 17: its loss or parameters were not finite; its last finite policy" in text


def test_a_failure_is_not_repeated_at_each_evaluation():
    log = make_log()
    log = log._replace(failed_at=np.array([[-1] * 3, [1, 1, 1], [-1] * 3]))
    assert report(io.StringIO(), log).count("it keeps its last finite policy") == 1


def test_an_early_stop_and_unfinished_episodes_are_said():
    lines = summary(make_result(make_log(unfinished=(0, 2, 1)), stopped="Ctrl-C"))
    assert "stopped by Ctrl-C at 3,072 of 3,072 steps" in lines
    assert NOT_KEPT in lines and "--directory DIR" in NOT_KEPT
    assert lines[-1].startswith("3 episodes of the last evaluation met the step cap unfinished")


def test_episodes_that_repeat_others_are_said():
    log = make_log()
    for last, said in (
        ((16, 16, 16), None),
        ((16, 15, 16), None),  # by chance
        ((1, 1, 1), "are the same in every action and reward: they count as one, and"),
        ((2, 2, 2), "only 2 differ in an action or a reward: "),
        ((16, 3, 9), "only 3 differ in an action or a reward, in the seed"),
    ):
        found = make_result(log._replace(distinct=np.array([[16, 16, x] for x in last])))._replace(num_episodes=16)
        lines = [line for line in summary(found) if "16 episodes" in line]
        assert len(lines) == (said is not None)
        assert all(said is not None and said in line for line in lines)
    unknown = make_result(log._replace(distinct=np.full((3, 3), -1)))._replace(num_episodes=16)
    assert not any("differ" in line for line in summary(unknown))


def test_a_seed_without_a_number_is_the_worst():
    returns = RETURNS.copy()
    returns[2, -1] = np.nan
    lines = summary(make_result(make_log(returns=returns)))
    assert lines[0].startswith("score nan [nan, nan]")
    assert lines[1] == "worst seed 7: nan"


def test_terminal_shows_a_bar_and_keeps_the_summary(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    text = report(Terminal(), make_log(failed_at=(-1, 17, -1)))
    assert "━" in text
    assert "3,072/3,072 steps" in text
    assert "return 33.5" in text
    assert "seed 3 failed at update 17; it keeps" in text
    assert text.rstrip().endswith("its last finite policy was kept and scored")


@pytest.mark.parametrize("name", ["TERM", "NO_COLOR"])
def test_a_dumb_terminal_gets_plain_lines_and_a_curve_of_plain_signs(name, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv(name, "dumb")
    text = report(Terminal())
    assert "\x1b" not in text and "3,072/3,072 steps" in text
    assert ("*" if name == "TERM" else "⣀") in text
    assert text.isascii() == (name == "TERM")


def test_a_run_that_goes_on_says_from_where():
    for reached, words in ((1024, "going on from there, compiling ..."), (3072, "finished")):
        stream = io.StringIO()
        news = words.removesuffix(", compiling ...")
        with Reporter(PPO, make_env(), CONFIG, SEEDS, True, stream, reached=reached, news=news):
            pass
        assert stream.getvalue().splitlines()[1:] == [words]
        assert "compiling" not in stream.getvalue().splitlines()[0]


def test_nothing_is_extrapolated_from_the_evaluation_before_the_first_step():
    log, stream = at(make_log(), 0), io.StringIO()
    reporter = Reporter(PPO, make_env(), CONFIG, SEEDS, True, stream)
    reporter.evaluated(log._replace(env_steps=np.zeros(3, np.int32)), 1.0)
    assert stream.getvalue() == "0/3,072 steps   return 17.4 (IQM, seeds 10.0..22.1)   untrained\n"


def test_a_sweep_says_of_which_evaluation_the_policies_are_untrained():
    cell, said = SimpleNamespace(points=(0,), seeds=SEEDS, lanes=[(0, seed) for seed in SEEDS]), []
    watcher = SweepWatcher(SimpleNamespace(points=[{"gamma": 0.9}]), cell, "", 3072, False, said.append)
    for steps in (0, 1024):
        watcher.evaluated(at(make_log(), 0)._replace(env_steps=np.full(3, steps)), 1.0)
    assert said[0] == "0/3,072 steps   best return 17.4 (IQM, seeds 10.0..22.1) at gamma=0.9   untrained"
    assert said[1].endswith(" at gamma=0.9")


def test_silent_when_disabled():
    assert report(io.StringIO(), enabled=False) == ""
    assert report(Terminal(), enabled=False) == ""


def test_the_bar_goes_away_when_training_raises(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    reporter = Reporter(PPO, make_env(), CONFIG, SEEDS, True, stream)
    with pytest.raises(RuntimeError, match="boom"), reporter:
        raise RuntimeError("boom")
    assert reporter.display is None
    assert stream.getvalue().rstrip().endswith("\x1b[?25h")  # the cursor is back


def test_small_texts():
    assert spread([1.0]) == "1.000"
    assert spread(np.array([1.0, 2.0, 3.0, 50.0])) == "2.5 (IQM, seeds 1.0..50.0)"
    assert [value(x) for x in (-0.125, 9.9996, 12345.67)] == ["-0.125", "10.000", "12345.7"]
    assert value(0.9, 0.948) == "0.900"
    assert score_line(score(np.ones(2)), 2, "64 steps") == (
        "score 1.000 [1.000, 1.000] (IQM of 2 seeds, 95% interval, 64 steps)"
    )
    assert steps_made(PPO, PPO.Config(total_steps=100_000)) == "99,328 steps (of 100,000: an update takes 1,024)"
    assert [duration(s) for s in (8.26, 119.9, 3700)] == ["8.3 s", "119.9 s", "1:01:40"]
    assert [clock(s) for s in (0.4, 59.6, 61, 3700)] == ["0:00", "1:00", "1:01", "1:01:40"]
