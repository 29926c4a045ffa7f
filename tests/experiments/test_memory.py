"""What is said of memory against what is allocated, and runs that do not fit."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import cartpole, start_lanes, tiny

from jaxrl_up import DQN, PPO, envs, run
from jaxrl_up.cli import main
from jaxrl_up.config import canonical
from jaxrl_up.experiments import memory, working_bytes
from jaxrl_up.training import Evaluation, advance_lanes, begin_program, lane_mesh


@pytest.mark.parametrize("algo", [PPO, DQN], ids=lambda algo: algo.name)
def test_what_is_said_is_what_is_allocated(algo):
    state = start_lanes(algo, cartpole(), tiny(algo), (0, 1, 2))
    allocated = sum(x.nbytes for x in jax.tree.leaves(state._replace(state=state.state._replace(counters=None))))
    assert memory.need(algo, cartpole(), tiny(algo)).per_seed == pytest.approx(allocated / 3, abs=16)


@pytest.mark.parametrize("seeds", [1, 2, 4])  # on one device, on two, and two on each
def test_an_update_is_traced_once_for_what_it_takes_and_for_training(seeds, cpus):
    traced = []

    def update(config, env, state):
        traced.append(seeds)
        return PPO.update(config, env, state)

    algo, env, config = dataclasses.replace(PPO, update=update), cartpole(), canonical(tiny(PPO))
    memory.check_memory(algo, env, config, seeds)
    keys = jax.random.split(jax.random.key(0), seeds)
    progress = jax.eval_shape(partial(begin_program(), algo), env, config, {}, keys)
    advance_lanes.trace(algo, env, config, {}, progress, jnp.int32(1), Evaluation(), lane_mesh(seeds))
    assert traced == [seeds]


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
    enough = memory.at_start(memory.need(DQN, cartpole(), config), 4, kept=False)
    monkeypatch.setattr(memory, "available", lambda: enough)
    memory.check_memory(DQN, cartpole(), config, 4, kept=False)
    with pytest.raises(ValueError, match="at most 2 fit"):  # a checkpoint takes more
        memory.check_memory(DQN, cartpole(), config, 4)
    with pytest.raises(ValueError, match="at most 4 fit; choose fewer or a smaller buffer_size"):
        run(DQN, cartpole(), config, seeds=5, progress=False)
    with pytest.raises(ValueError, match="at most 4 fit"):
        run(DQN, cartpole(), config, seeds=2**31, progress=False)
    with pytest.raises(ValueError, match="at most 0 fit; choose a smaller buffer_size"):
        run(DQN, cartpole(), config.replace(buffer_size=20_000_000), seeds=1, progress=False)


def test_lanes_that_fill_up_the_devices_count(cpus):
    needed = memory.need(DQN, cartpole(), DQN.Config(buffer_size=1_000_000))
    one, *some = (memory.at_start(needed, seeds) for seeds in (1, 2, 3, 4, 5, 6))
    assert some[1] == some[2] < some[3] == some[4]
    assert [memory.most_seeds(needed, free) for free in (0, one - 1, one, *some)] == [0, 0, 1, 2, 4, 4, 6, 6]
    assert memory.most_seeds(needed, some[2] - 1) == 2


def test_what_a_scan_works_with_counts_what_it_passes_whole():
    rows, weights, start = jnp.ones((100, 8)), jnp.ones((8, 8)), jnp.zeros(8)

    def scan(rows, weights, start):
        return jax.lax.scan(lambda carry, row: (carry @ weights + row, carry[:2]), start, rows)

    jaxpr = jax.make_jaxpr(scan)(rows, weights, start).jaxpr
    inside = 4 * (8 + 8 + 8 + 2)  # a step: its product, the sum, what it was given, its output
    assert (
        4 * 100 * 2 < working_bytes(jaxpr, ()) <= 4 * 100 * 2 + 2 * inside
    )  # the outputs, not the rows or the weights


class Accelerator:
    """All that is asked of one."""

    platform = "gpu"

    def __init__(self, left):
        self.left = left

    def memory_stats(self):
        return {"bytes_limit": self.left + 10, "bytes_in_use": 10}


def test_of_several_accelerators_the_fullest_decides(monkeypatch):
    needed = memory.need(DQN, cartpole(), DQN.Config(buffer_size=1_000_000))
    lane = memory.KEPT_COPIES * needed.per_seed + needed.working
    left = [9 * lane, lane + memory.HEADROOM // 4, 9 * lane, 9 * lane]
    monkeypatch.setattr(jax, "local_devices", lambda: [Accelerator(x) for x in left])
    assert memory.available() == 4 * lane + memory.HEADROOM
    assert memory.most_seeds(needed, memory.available()) == 4
    assert memory.at_start(needed, 1) == memory.at_start(needed, 4) == memory.available() < memory.at_start(needed, 5)
    left[0] = -10
    assert memory.most_seeds(needed, memory.available()) == 0


@pytest.mark.parametrize(("algo", "env"), [(PPO, "CartPole-v1"), (DQN, "Breakout-MinAtar")], ids=["ppo", "dqn"])
def test_what_updates_work_with_grows_with_their_rows(algo, env):
    """Of the right order, and not of the size of the replay."""
    env, config = envs.make(env), algo.Config()
    small, large = (memory.need(algo, env, config.replace(num_envs=n)).working for n in (8, 64))
    observations = 4 * np.prod(env.observation_space.shape)
    assert 64 * config.rollout_length * observations < large < 2**25
    assert small < large
    if algo is DQN:
        assert memory.need(algo, env, config.replace(buffer_size=1_000_000)).working < 2**23 < 50_000_000


def test_programs_are_read_for_what_lives_at_once():
    def chain(x):  # one array after another, each in the place of the last
        for _ in range(5):
            x = jnp.sin(x)
        return x

    def loop(x):
        return jax.lax.scan(lambda x, _: (chain(x), x[:2]), x, length=100)

    def replaced(x, i):
        return jax.lax.fori_loop(0, i, lambda _, x: x.at[i].set(0.0), x)

    x, i = jnp.zeros(1000), jnp.int32(3)

    def needed(function, *args, reusable=0):
        program = jax.make_jaxpr(function)(*args).jaxpr
        return working_bytes(program, program.invars[:reusable])

    assert needed(chain, x) == 4000
    assert needed(chain, x, reusable=1) == 0
    assert needed(lambda x: chain(x) + chain(x + 1), x) == 8000
    assert needed(jax.jit(lambda x: chain(x) + chain(x + 1)), x) == 8000
    assert needed(loop, x) == pytest.approx(4000 + 800, abs=100)
    assert needed(replaced, x, i, reusable=1) < 100
    assert needed(lambda x, i: jax.lax.cond(i > 0, lambda: chain(x), lambda: 2 * jnp.outer(x, x)[0]), x, i) >= 4_000_000


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
    assert "4 seeds x" in out
    assert not (tmp_path / "r").exists()


def test_what_cannot_begin_is_refused_also_where_free_memory_is_not_known(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "available", lambda: None)
    with pytest.raises(ValueError, match="does not divide"):
        run(PPO, cartpole(), PPO.Config(num_minibatches=3), seeds=1, directory=tmp_path / "r", progress=False)
    assert not (tmp_path / "r").exists()


def test_seeds_that_are_none_stay_a_value_error():
    with pytest.raises(ValueError, match="give how many"):
        run(PPO, cartpole(), tiny(PPO), seeds=1.5, progress=False)
