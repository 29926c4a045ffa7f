"""What is said of memory against what is allocated, and runs that do not fit."""

import jax
import pytest
from tiny import cartpole, start_lanes, tiny

from jaxrl_up import DQN, PPO, envs, memory, run
from jaxrl_up.cli import main


@pytest.mark.parametrize("algo", [PPO, DQN], ids=lambda algo: algo.name)
def test_what_is_said_is_what_is_allocated(algo):
    state = start_lanes(algo, cartpole(), tiny(algo), (0, 1, 2))
    allocated = sum(x.nbytes for x in jax.tree.leaves(state._replace(state=state.state._replace(counters=None))))
    assert memory.need(algo, cartpole(), tiny(algo)).per_seed == pytest.approx(allocated / 3, abs=16)


def test_binary_observations_are_stored_in_bits():
    config = DQN.Config(buffer_size=100_000)
    needed = memory.need(DQN, envs.make("Breakout-MinAtar"), config)
    assert 50 + 4 + 4 + 4 <= needed.per_transition < 66  # 400 bits, action, reward, ending; final observations
    assert needed.replay < needed.per_seed


def test_priorities_count_as_replay():
    plain, ranked = (memory.need(DQN, cartpole(), DQN.Config(prioritized=on)) for on in (False, True))
    assert ranked.per_seed - plain.per_seed == ranked.replay - plain.replay
    assert 4 < ranked.per_transition - plain.per_transition < 5  # a sum tree of float32


def test_seeds_that_do_not_fit_are_refused_before_anything_is_allocated(monkeypatch):
    config = DQN.Config(buffer_size=1_000_000)
    per_seed = memory.need(DQN, cartpole(), config).per_seed
    monkeypatch.setattr(memory, "available", lambda: memory.HEADROOM + memory.COPIES * 5 * per_seed)
    memory.check_memory(DQN, cartpole(), config, 5)
    with pytest.raises(ValueError, match="at most 5 fit; choose fewer or a smaller buffer_size"):
        run(DQN, cartpole(), config, seeds=6, progress=False)
    with pytest.raises(ValueError, match="at most 5 fit"):
        run(DQN, cartpole(), config, seeds=2**31, progress=False)
    with pytest.raises(ValueError, match="at most 0 fit; choose a smaller buffer_size"):
        run(DQN, cartpole(), config.replace(buffer_size=20_000_000), seeds=1, progress=False)


def test_what_is_free_is_known_here():
    free = memory.available()
    assert free is None or 0 < free < 2**50


def test_control_groups_of_both_versions(tmp_path):
    def limit(name, group, most, used=700):
        folder, limit, use, statistics, cache = memory.GROUPS[name]
        place = tmp_path / folder / group
        place.mkdir(parents=True, exist_ok=True)
        for file, text in ((limit, f"{most}\n"), (use, f"{used}\n"), (statistics, f"anon 5\n{cache} 200\n")):
            (place / file).write_text(text)

    membership = tmp_path / "membership"
    for name, line in (("", "0::/slurm/job\n"), ("memory", "9:cpu,memory:/slurm/job\n")):
        left = lambda: memory._groups(membership, tmp_path)  # noqa: E731
        membership.write_text(f"3:pids:/elsewhere\n{line}")
        assert left() is None
        limit(name, ".", 1000)
        assert left() == 500
        limit(name, "slurm/job", "max")
        assert left() == 500
        limit(name, "slurm/job", 900)
        assert left() == 400
        limit(name, "slurm", 800)  # a limit on a group holds for those within
        assert left() == 300
        limit(name, "elsewhere", 701)
        assert left() == 300
        membership.unlink()
        assert left() == 500
        for group in (".", "slurm", "slurm/job"):
            limit(name, group, "max")
        assert left() is None


def test_dry_run_says_what_it_takes_and_trains_nothing(capsys, tmp_path):
    command = ["train", "dqn", "--dry-run", "--seeds", "4", "--buffer-size", "2000", "--directory", str(tmp_path / "r")]
    assert main(command) == 0
    out, _ = capsys.readouterr()
    assert "bytes a transition" in out
    assert "4 seed(s)" in out
    assert not (tmp_path / "r").exists()


def test_what_cannot_begin_is_refused_also_where_free_memory_is_not_known(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "available", lambda: None)
    with pytest.raises(ValueError, match="does not divide"):
        run(PPO, cartpole(), PPO.Config(num_minibatches=3), seeds=1, directory=tmp_path / "r", progress=False)
    assert not (tmp_path / "r").exists()


def test_seeds_that_are_none_stay_a_value_error():
    with pytest.raises(ValueError, match="give how many"):
        run(PPO, cartpole(), tiny(PPO), seeds=1.5, progress=False)
