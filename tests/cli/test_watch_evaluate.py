"""`jaxrl-up evaluate` and `jaxrl-up watch`, on a run of a few updates."""

import re
import shlex
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image
from tiny import tiny
from tree_tasks import SHOWN, panel

from jaxrl_up import PPO, envs, evaluate_episodes, run
from jaxrl_up.cli import evaluate, main, watch
from jaxrl_up.config import canonical
from jaxrl_up.envs import Box, Discrete, MultiDiscrete, Tuple
from jaxrl_up.ops import score
from jaxrl_up.records import load_policies, load_run, value

SEEDS = (0, 3)
DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "looking.md"


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "cartpole"
    env = envs.make("CartPole-v1", max_steps=40)
    run(PPO, env, tiny(PPO), SEEDS, path, num_evals=2, num_episodes=2, progress=False)
    return path


@pytest.fixture(scope="module")
def policies(directory):
    return load_policies(load_run(directory))


@pytest.fixture
def other_best(policies, monkeypatch):
    """The best policies are the last ones, with their seeds exchanged."""
    best = jax.tree.map(lambda x: x[::-1], policies.last)
    changed = policies._replace(best=best, best_steps=np.array([16, 32]))
    monkeypatch.setattr(evaluate, "load_policies", lambda run: changed)  # which reads them for `watch` too
    return best


def printed(capsys, *words):
    """Standard output of a command that ends well."""
    code = main([*map(str, words)])
    out = capsys.readouterr()
    assert (code, out.err) == (0, ""), out.err
    return out.out


def naive(directory, policy, number, deterministic=True, episode_seed=0, **options):
    """Episodes of each seed by itself."""
    saved = load_run(directory)
    env = envs.make("CartPole-v1", **{"max_steps": 40, **options})
    return [
        evaluate_episodes(
            PPO,
            env,
            canonical(saved.config),
            jax.tree.map(lambda x, i=i: x[i], policy),
            evaluate.episode_key(episode_seed, seed),
            number,
            deterministic,
        )
        for i, seed in enumerate(SEEDS)
    ]


def rows(out):
    """Seed -> the numbers of its row."""
    _, *table, _ = out.splitlines()
    return {int(line.split()[0]): [float(x) for x in line.split()[1:]] for line in table}


def test_a_row_for_each_seed_and_their_score(directory, policies, capsys):
    out = printed(capsys, "evaluate", directory, "--episodes", 5)
    expected = naive(directory, policies.last, 5)
    means = [float(e.returns.mean()) for e in expected]
    assert out.splitlines()[-1] == (
        f"score {score(np.array(means))} (IQM of 2 seeds, 95% interval, 5 episodes each, last policies)"
    )
    for (seed, row), episodes in zip(rows(out).items(), expected, strict=True):
        returns = np.asarray(episodes.returns)
        wanted = [returns.mean(), returns.std(), returns.min(), returns.max(), episodes.lengths.mean(), 0]
        wanted += [len(set(episodes.mark.tolist())), 64]
        np.testing.assert_allclose(row, wanted, atol=0.051)
        assert seed in SEEDS
    assert means[0] != means[1]


def test_the_best_policy_of_one_seed(directory, other_best, capsys):
    out = printed(capsys, "evaluate", directory, "--episodes", 3, "--seeds", "3,", "--best")
    episodes = naive(directory, other_best, 3)[1]
    ((seed, row),) = rows(out).items()
    np.testing.assert_allclose(row[0], episodes.returns.mean(), atol=0.051)
    assert (seed, row[-1]) == (3, 32)
    assert "(1 seed, no interval, 3 episodes each, best policies)" in out


def test_sampled_actions_and_other_episodes(directory, policies, capsys):
    out = printed(capsys, "evaluate", directory, "--episodes", 3, "--stochastic", "--episode-seed", 1)
    expected = naive(directory, policies.last, 3, deterministic=False, episode_seed=1)
    np.testing.assert_allclose([r[0] for r in rows(out).values()], [e.returns.mean() for e in expected], atol=0.051)


def test_other_physics(directory, policies, capsys):
    out = printed(capsys, "evaluate", directory, "--episodes", 3, "--env.gravity", 60, "--env.max_steps=4")
    for row in rows(out).values():  # nothing falls in four steps; each pays 1
        assert row[:6] == [4.0, 0.0, 4.0, 4.0, 4.0, 0.0]
    out = printed(capsys, "evaluate", directory, "--episodes", 3, "--env.force_mag", 40)
    expected = naive(directory, policies.last, 3, force_mag=40.0)
    np.testing.assert_allclose([r[0] for r in rows(out).values()], [e.returns.mean() for e in expected], atol=0.051)
    assert rows(out) != rows(printed(capsys, "evaluate", directory, "--episodes", 3))


def test_grid_points_are_lanes_in_turn(directory, policies, monkeypatch, capsys):
    saved = load_run(directory)
    swept = saved._replace(grid={"gravity": np.float32([9.8, 9.8]), "force_mag": np.float32([10, 40])})
    both = policies._replace(last=jax.tree.map(lambda x: np.concatenate([x, x[::-1]]), policies.last))
    for command in (evaluate, watch):
        monkeypatch.setattr(command, "load_run", lambda directory: swept)
    monkeypatch.setattr(evaluate, "load_policies", lambda run: both)  # which reads them for `watch` too
    first, second = printed(capsys, "evaluate", directory, "--episodes", 3).split("point 1: ")
    assert first.startswith("point 0: gravity=9.8, force_mag=10\n") and second.startswith("gravity=9.8, force_mag=40\n")
    expected = naive(directory, jax.tree.map(lambda x: x[::-1], policies.last), 3, force_mag=40.0)
    np.testing.assert_allclose(
        [r[0] for r in rows(second.partition("\n")[2]).values()], [e.returns.mean() for e in expected], atol=0.051
    )
    out = printed(capsys, "watch", directory, "--text", "--seed", 3, "--point", 1)
    last = out.splitlines()[-1]
    assert last.startswith(f"return {value(float(expected[1].returns[0]))} in ")
    assert main(["watch", str(directory), "--point", "2"]) == 2
    assert "has points 0 to 1" in capsys.readouterr().err


def test_watch_writes_the_first_episode_of_evaluate(directory, policies, capsys):
    out = printed(capsys, "watch", directory, "--seed", 3)
    episodes = naive(directory, policies.last, 2)[1]
    length = int(episodes.lengths[0])
    how = "time limit" if length == 40 else "terminated"
    path = directory / "episode.gif"
    assert out == f"{path}: return {value(length)} in {length} steps, {how}, seed 3\n"
    with Image.open(path) as gif:
        assert gif.n_frames == (length + 1) // 2 + 1  # every second state, and the last


def test_watch_takes_the_best_policy_and_another_place(directory, other_best, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    place = tmp_path / "other.gif"
    out = printed(capsys, "watch", directory, "--best", "--seed", 3, "--out", place)
    length = int(naive(directory, other_best, 1)[1].lengths[0])
    assert out.startswith(f"other.gif: return {value(length)} in {length} steps") and place.exists()


def test_watch_writes_a_video(directory, tmp_path, capsys, monkeypatch):
    av = pytest.importorskip("av")
    place = tmp_path / "episode.mp4"
    assert printed(capsys, "watch", directory, "--out", place, "--max-steps", 6).startswith(
        f"{place}: return 6.000 in 6 "
    )
    with av.open(place) as file:
        assert sum(1 for _ in file.decode(video=0)) == 4 + round(1.5 * 25)  # every second state; the last stays
    monkeypatch.setitem(sys.modules, "av", None)
    assert main(["watch", str(directory), "--out", str(tmp_path / "other.mp4")]) == 2
    assert "pip install 'jaxrl-up[video]', or write a .gif" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["episode.mp4"]


def test_watch_as_text(directory, capsys, tmp_path):
    before = {path.name for path in directory.iterdir()}
    out = printed(capsys, "watch", directory, "--text", "--max-steps", 3)
    header, *steps, end, last = out.splitlines()
    assert header.split() == ["step", "observation", "action", "reward"]
    assert [line.split()[0] for line in steps] == ["0", "1", "2"] and end.endswith("stopped")
    assert last == "return 3.000 in 3 steps, stopped, seed 0"
    assert {path.name for path in directory.iterdir()} == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("evaluate", "RUN"),
        ("evaluate nowhere", "nowhere holds no run"),
        ("watch nowhere", "nowhere holds no run"),
        ("evaluate RUN --episodes 0", "--episodes=0 must be at least 1"),
        ("evaluate RUN --episodes x", "'x' is not a whole number"),
        ("evaluate RUN --seeds 0,1", "has no seed 1; its seeds are 0, 3"),
        ("evaluate RUN --seeds 0,0", "none twice"),
        ("evaluate RUN --episode-seed -1", "--episode-seed=-1"),
        ("evaluate RUN --env.gravty 9", "Did you mean 'gravity'?"),
        ("evaluate RUN --bst", "Did you mean '--best'?"),
        ("watch RUN --seed 7", "has no seed 7; its seeds are 0, 3"),
        ("watch RUN --out a.png", "must end in .gif or .mp4"),
        ("watch RUN --out missing/a.gif", "there is no directory missing"),
        ("watch RUN --text --out a.gif", "leave --out away"),
        ("watch RUN --max-steps 0", "max_steps=0"),
        ("watch RUN --point 1", "has points 0 to 0"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(words, message, directory, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in directory.iterdir()}
    assert main([str(directory) if word == "RUN" else word for word in words.split()]) == 2
    out = capsys.readouterr()
    assert message in out.err and out.err.count("\n") == 1 and out.out == ""
    assert {path: path.stat().st_mtime_ns for path in directory.iterdir()} == before
    assert not list(tmp_path.iterdir())


def test_policies_do_not_fit_every_environment(directory):
    saved = load_run(directory)
    other = saved._replace(env=envs.make("Breakout-MinAtar"), tables={"environment": {"max_steps": 9}})
    with pytest.raises(ValueError, match="the policies are for the action space Discrete"):
        evaluate.other_physics(other, {"use_minimal_action_set": False})


@pytest.mark.parametrize(
    ("new", "fits"),
    [
        (panel(), True),
        (panel(shown={**SHOWN, "arm": Tuple((Box(-9, 9, (3,)), Discrete(4, start=-1)))}), True),  # other bounds
        (panel(shown={**SHOWN, "critic_only": Box(-9, 9, (7,))}), True),  # which no policy sees
        (panel(shown={**SHOWN, "arm": Tuple((Box(-2, 2, (3,)), Discrete(4)))}), False),
        (panel(shown={**SHOWN, "arm": Tuple((Box(-2, 2, (4,)), Discrete(4, start=-1)))}), False),
        (panel(shown={**SHOWN, "arm": Box(-2, 2, (3,))}), False),
        (panel(shown={**SHOWN, "counts": MultiDiscrete((5, 3))}), False),
        (panel(shown={**SHOWN, "more": Discrete(2)}), False),
        (panel(MultiDiscrete((3, 2))), False),
    ],
)
def test_composed_spaces_are_compared_part_by_part(new, fits, directory, monkeypatch):
    saved = load_run(directory)._replace(env=panel(), tables={"environment": {"max_steps": 4}})
    monkeypatch.setattr(envs, "make", lambda name, **options: new)
    if fits:
        assert evaluate.other_physics(saved, {"size": 1}) is new
    else:
        with pytest.raises(ValueError, match=r"the policies are for the (observation|action) space .*, but that"):
            evaluate.other_physics(saved, {"size": 1})


COMMANDS = re.findall(r"^\$ jaxrl-up ((?:watch|evaluate) .*)", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_of_the_document(command, directory, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "cartpole").symlink_to(directory)
    assert printed(capsys, *shlex.split(command.partition("  #")[0]))
