"""`--eval-env`, `--eval-wrap` and `--eval-env.NAME`: where policies are evaluated, and what is then played."""

import re
import shlex
import tomllib

import jax
import numpy as np
import pytest
from tiny import assert_equal, tiny

from jaxrl_up import (
    A2C,
    envs,
    evaluate_episodes,
    load_policies,
    load_recipe,
    load_run,
    load_sweep,
    resume_sweep,
    run,
    run_sweep,
)
from jaxrl_up.cli import main
from jaxrl_up.config import canonical
from jaxrl_up.records import EnvironmentSource, run_source

TINY = shlex.split("--total-steps 64 --num-envs 2 --rollout-length 8 --hidden 8 --no-progress --seeds 2 --num-evals 2")
TRAINED = envs.frame_stack(envs.randomize(envs.make("CartPole-v1", max_steps=12), gravity=(8, 12)), 2)
TEXTS = ("randomize(gravity=8:12)", "frame_stack(2)")
PLAYED = envs.frame_stack(envs.make("CartPole-v1", max_steps=9, gravity=20.0), 2)


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """A run that is evaluated elsewhere."""
    directory = tmp_path_factory.mktemp("elsewhere") / "run"
    settings = {"num_evals": 2, "num_episodes": 2, "progress": False}
    run(A2C, TRAINED, tiny(A2C), 2, directory, evaluation_env=PLAYED, **settings)
    return directory


def tables(directory):
    return tomllib.loads((directory / "config.toml").read_text(encoding="utf-8"))


@pytest.mark.thorough
def test_evaluate_plays_what_evaluations_played(directory, capsys):
    assert main(["evaluate", str(directory), "--episodes", "3", "--seeds", "1,"]) == 0
    printed = capsys.readouterr().out
    found, policies = load_run(directory), load_policies(directory)
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(0), 0x65766C), 1)
    policy = jax.tree.map(lambda x: x[1], policies.last)
    episodes = evaluate_episodes(A2C, PLAYED, canonical(found.config), policy, key, 3)
    assert float(printed.splitlines()[1].split()[1]) == pytest.approx(float(np.mean(episodes.returns)), abs=5e-2)
    trained = evaluate_episodes(A2C, envs.nominal(TRAINED), canonical(found.config), policy, key, 3)
    assert float(np.mean(trained.returns)) > float(np.mean(episodes.returns)) + 0.2
    assert int(np.max(episodes.lengths)) <= 9
    assert main(["evaluate", str(directory), "--episodes", "3", "--env.max_steps", "4"]) == 0
    assert "  4.0  " in capsys.readouterr().out
    assert main(["watch", str(directory), "--out", str(directory / "episode.gif")]) == 0
    assert re.search(r"in \d steps", capsys.readouterr().out)
    assert main(["export", str(directory), str(directory / "policy.bin")]) == 0


def test_from_repeats_it(directory, tmp_path):
    parameters = {"gravity": 20.0, "max_steps": 9}
    evaluation = run_source(directory).evaluation
    assert isinstance(evaluation, EnvironmentSource)
    assert (evaluation.environment, evaluation.wrappers) == ("CartPole-v1", ("frame_stack(2)",))
    assert parameters.items() <= evaluation.parameters.items()
    repeat = ["train", "--from", str(directory), "--no-progress", "--directory"]
    assert main([*repeat, str(tmp_path / "same")]) == 0
    assert (tmp_path / "same" / "progress.csv").read_bytes() == (directory / "progress.csv").read_bytes()


def test_options_change_what_is_repeated(directory, asked):
    repeat = ["train", "--from", str(directory), "--no-progress", "--directory", "none"]
    for words in ("--eval-env.gravity 3", "--eval-env none"):
        assert main([*repeat, *words.split()]) == 2
    other, none = (spec.evaluation_env for spec in asked)
    assert_equal(other, PLAYED.with_params(gravity=3.0))
    assert none is None


WRITTEN = {  # what is said, and what is evaluated in
    "--eval-env CartPole-v1 --eval-wrap frame_stack=2": envs.frame_stack("CartPole-v1", 2),
    "--eval-env.max_steps 9": envs.frame_stack(envs.make("CartPole-v1", max_steps=9, gravity=11), 2),
    "--eval-wrap randomize=gravity=1:2 --eval-wrap frame-stack=2": envs.frame_stack(
        envs.randomize(envs.make("CartPole-v1", max_steps=12, gravity=11), gravity=(1, 2)), 2
    ),
}


@pytest.fixture
def asked(monkeypatch):
    """What `train` was asked for, in place of training."""
    asked = []

    def start(spec, *_):
        asked.append(spec)
        raise ValueError("only asked")

    monkeypatch.setattr("jaxrl_up.experiments.start", start)
    return asked


@pytest.mark.parametrize("words", WRITTEN)
def test_the_command_line_says_where(words, asked):
    what = "--env.max_steps 12 --env.gravity 11 --wrap randomize=gravity=8:12 --wrap frame_stack=2"
    assert main(["train", "a2c", *what.split(), *words.split(), *TINY, "--directory", "none"]) == 2
    (spec,) = asked
    assert spec.env.spec.wrappers == TEXTS
    assert spec.evaluation_env.spec == WRITTEN[words].spec
    assert_equal(spec.evaluation_env, WRITTEN[words])


BAD = {
    "--eval-env CartPol-v1": "there is no environment 'CartPol-v1'. Did you mean 'CartPole-v1'?",
    "--eval-env Acrobot-v1": "evaluation_env has the observation space",
    "--eval-env none --eval-env.gravity 3": "--eval-env none evaluates in what is trained on",
    "--eval-wrap none --eval-wrap time_left": "--eval-wrap none leaves all wrappers away: give no other",
    "--eval-env.gravty 3": "CartPole-v1 has no parameter 'gravty'. Did you mean 'gravity'?",
    "--eval-env.gravity": "--eval-env.gravity needs a value, as in `--eval-env.gravity 12`",
    "--eval-wrap frame_stack=2": "evaluation_env has the observation space",
}


@pytest.mark.parametrize("words", BAD)
@pytest.mark.parametrize("command", ["train", "sweep --grid gamma=0.9,0.99"])
def test_a_bad_option_is_one_line(words, command, tmp_path, monkeypatch, capsys):
    envs.make("CartPole-v1")
    monkeypatch.chdir(tmp_path)
    assert main([*command.split(), *words.split()]) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err.count("\n"), BAD[words] in printed.err) == ("", 1, True), printed.err
    assert not list(tmp_path.iterdir())


@pytest.mark.thorough
def test_a_sweep_is_evaluated_there_too(tmp_path, capsys):
    """Traced parameters of a point are of both; a static one, the time limit, of what is trained on."""
    place = tmp_path / "sweep"
    words = "--grid env.masspole=0.1,0.3 --grid env.max_steps=8,12 --eval-env.max_steps 5"
    assert main(["sweep", "a2c", *words.split(), *TINY, "--directory", str(place)]) == 0
    result = load_sweep(place)
    for cell in sorted((place / "cells").iterdir()):
        table = tables(cell)
        assert table["evaluation_environment"]["max_steps"] == 5
        assert table["environment"]["max_steps"] in (8, 12)
        assert np.unique(np.genfromtxt(cell / "progress.csv", names=True, delimiter=",")["length"]) == 5
    best = load_recipe(place / "best.toml")
    assert_equal(best.evaluation_env, result.best_evaluation_env)
    assert (best.evaluation_env.max_steps, best.evaluation_env.spec) == (5, result.evaluation_env.spec)
    assert float(best.evaluation_env.params["masspole"]) == np.float32(result.best.values["env.masspole"])
    before = (place / "results.csv").read_bytes()
    assert resume_sweep(place, progress=False).evaluation_env.max_steps == 5
    assert (place / "results.csv").read_bytes() == before
    with pytest.raises(ValueError, match="the evaluation environment has changed: max_steps was 5 and is 6"):
        resume_sweep(place, evaluation_env=envs.make("CartPole-v1", max_steps=6))
    capsys.readouterr()
    assert main(["evaluate", str(place / "cells" / "0"), "--episodes", "2"]) == 0
    assert capsys.readouterr().out.count("  5.0  ") == 4


@pytest.mark.parametrize("grid", [{"env.gravity": [9.0, 10.0]}, {"gravity": [9.0, 10.0]}])
def test_what_is_drawn_is_not_swept(grid, tmp_path, capsys):
    with pytest.raises(ValueError, match="'gravity' is drawn for each episode of CartPole-v1"):
        run_sweep(A2C, TRAINED, tiny(A2C), grid, 1, tmp_path / "sweep", progress=False)
    (name,) = grid
    words = ["--grid", f"{name}=9,10", "--wrap", "randomize=gravity=8:12", "--directory", str(tmp_path / "sweep")]
    assert main(["sweep", "a2c", *words, "--no-progress"]) == 2
    assert "'gravity' is drawn for each episode of CartPole-v1" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


RECIPE = """\
algorithm = "a2c"
environment = "CartPole-v1"
wrappers = ["randomize=gravity=8:12,masspole=0.05:0.5"]

[evaluation]
environment = "CartPole-v1"
wrappers = ["time_limit=50"]

[evaluation.parameters]
gravity = 12.5
"""


def test_a_recipe_says_where(tmp_path, capsys):
    path = tmp_path / "drawn.toml"
    path.write_text(RECIPE, encoding="utf-8")
    recipe = load_recipe(path)
    assert recipe.env.spec == envs.randomize("CartPole-v1", gravity=(8, 12), masspole=(0.05, 0.5)).spec
    assert recipe.evaluation_env.spec == envs.time_limit("CartPole-v1", 50).spec
    assert recipe.evaluation_env.params["gravity"] == 12.5
    assert main(["train", "--recipe", str(path), "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("a2c on CartPole-v1 + randomize(gravity=8:12, masspole=0.05:0.5): ")
    assert printed.endswith("evaluated in   CartPole-v1 + time_limit(50)\n")
    for old, new, message in (
        ("time_limit=50", "time_limt=50", "There is no wrapper 'time_limt'"),
        ("[evaluation.parameters]\ngravity", "[evaluation.config]\ngravity", "unknown key 'config'"),
        ('[evaluation]\nenvironment = "CartPole-v1"', "[evaluation]", "the key 'environment' is missing"),
    ):
        assert old in RECIPE
        path.write_text(RECIPE.replace(old, new), encoding="utf-8")
        with pytest.raises(ValueError, match=message):
            load_recipe(path)
