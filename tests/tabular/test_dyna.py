"""Dyna-Q and prioritised sweeping: by hand, loops after the boxes of the book with the same draws, and its maze."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_up import tabular

STEPS, PLANNED = 60, 4
RUNS = 8


@pytest.fixture(scope="module")
def mdp():
    """Four states, the last terminal, three actions, not deterministic: the model has what came last."""
    rng = np.random.default_rng(2)
    return tabular.mdp(
        rng.dirichlet(np.ones(4), size=(4, 3)), rng.normal(size=(4, 3, 4)), discount=0.8, terminal=[3], horizon=9
    )


def test_a_step_and_its_echoes():
    """One action to the end with reward 1: a step and n of the model are n + 1 updates, Q = 1 - (1 - alpha)^(n + 1)."""
    end = tabular.mdp([[[0.0, 1.0]], [[0.0, 1.0]]], [1.0, 0.0], discount=0.9, terminal=[1], start=0)
    for n in (0, 1, 5):
        found = tabular.dyna_q(end, jax.random.key(0), 1, planning_steps=n, step_size=0.25)
        np.testing.assert_allclose(found.q_values, [[1 - 0.75 ** (n + 1)], [0]], rtol=1e-6)


def test_without_planning_it_is_q_learning(mdp):
    found = [
        tabular.dyna_q(mdp, jax.random.key(0), STEPS, planning_steps=0),
        tabular.q_learning(mdp, jax.random.key(0), STEPS),
    ]
    jax.tree.map(np.testing.assert_array_equal, *found)


@pytest.mark.parametrize("size", ["constant", "by visits"])
def test_as_the_box(mdp, size):
    """All of it given the steps that were taken and the two numbers in [0, 1) of each planned one."""
    step_size, naive = {
        "constant": (0.2, lambda n: 0.2), "by visits": (tabular.robbins_monro(0.7), lambda n: n**-0.7),
    }[size]  # fmt: skip
    key = jax.random.key(4)
    found = tabular.dyna_q(mdp, key, STEPS, planning_steps=PLANNED, step_size=step_size, epsilon=0.5)
    keys = jax.random.split(jax.random.split(key, 3)[2], STEPS)
    numbers = jax.vmap(lambda key: jax.random.uniform(jax.random.split(key, 6)[5], (2, PLANNED)))(keys)

    q, visits, model, gamma = np.zeros((4, 3)), np.zeros((4, 3)), {}, float(mdp.discount)

    def update(s, a):
        reward, there = model[s, a]
        ahead = 0 if mdp.terminal[there] else gamma * q[there].max()
        q[s, a] += naive(visits[s, a]) * (reward + ahead - q[s, a])

    rows = [np.asarray(x).tolist() for x in (found.states, found.actions, found.rewards, found.next_states)]
    for t, (s, a, reward, there) in enumerate(zip(*rows, strict=True)):
        visits[s, a] += 1
        model[s, a] = reward, there
        update(s, a)
        for first, second in zip(*np.asarray(numbers[t]), strict=True):
            states = sorted({s for s, _ in model})
            s = states[int(first * len(states))]
            actions = sorted(a for x, a in model if x == s)
            update(s, actions[int(second * len(actions))])
    np.testing.assert_allclose(found.q_values, q, rtol=1e-4, atol=1e-5)


def test_the_maze_is_that_of_the_book():
    """Sutton & Barto 2018, example 8.1: 6 rows of 9, from (2, 0) to (0, 8), 14 steps at best."""
    walls = {(1, 2), (2, 2), (3, 2), (4, 5), (0, 7), (1, 7), (2, 7)}
    cells = [(i, j) for i in range(6) for j in range(9) if (i, j) not in walls]
    maze = tabular.dyna_maze()
    assert maze.states == len(cells) == 47 and maze.actions == 4 and maze.discount == pytest.approx(0.95)
    assert np.flatnonzero(maze.start) == [cells.index((2, 0))] and np.flatnonzero(maze.terminal) == [
        cells.index((0, 8))
    ]
    for s, (i, j) in enumerate(cells):
        to = [(i, j - 1), (i + 1, j), (i, j + 1), (i - 1, j)]  # left, down, right, up
        there = [cells.index(cell if cell in cells else (i, j)) for cell in to]
        np.testing.assert_array_equal(maze.transition[s].argmax(-1), there)
        paid = np.asarray(maze.reward_table)[s, range(4), there]
        np.testing.assert_array_equal(paid, [(i, j) != (0, 8) and cells[n] == (0, 8) for n in there])
    start = cells.index((2, 0))
    assert tabular.v_star(maze)[start] == pytest.approx(0.95**13, rel=1e-5)  # the reward comes with the 14th step


@pytest.mark.thorough
def test_planning_finds_the_way_in_fewer_episodes():
    """Sutton & Barto 2018, figure 8.2: alpha = epsilon = 0.1, from 0, steps of an episode averaged over runs.

    Nothing is learned before the goal, so the first episode walks at random whatever is planned: on average 868.7
    steps, exactly (where ties are broken at random), with a deviation of about as much. The book has some 1700 for it.
    """
    maze, start = tabular.dyna_maze(), 15
    keys = jax.random.split(jax.random.key(0), RUNS)
    means = {}
    for planned, steps in ((0, 5_500), (50, 3_200)):
        run = jax.jit(jax.vmap(lambda key, n=planned, t=steps: tabular.dyna_q(maze, key, t, planning_steps=n)))
        found = tabular.episode_lengths(run(keys))[:, :10]
        assert found[:, :3].count() == 3 * RUNS
        means[planned] = np.asarray(found[:, :3].mean(axis=0))
        if planned == 50:
            assert found.min() == 14
    hours = maze.replace(reward=jnp.ones_like(maze.reward), discount=jnp.float32(1))
    expected = float(tabular.v_pi(hours, tabular.uniform_policy(hours))[start])
    assert expected == pytest.approx(868.7, abs=0.1)
    assert abs(means[0][0] - expected) < 4 * expected / np.sqrt(RUNS)
    assert means[0][0] == means[50][0]
    assert means[50][2] <= 20 and means[0][2] > 200


def test_sweeping_brings_a_reward_back_at_once():
    """A corridor of five with reward 1 at its end: once there, five sweeps are the whole way, of which Q-learning's
    first episode has the last step only. Three sweeps are three steps of the way, and the fourth waits: it is made in
    the next step, wherever that is."""
    forth = np.zeros((6, 1, 6))
    forth[range(5), 0, range(1, 6)] = 1.0
    corridor = tabular.mdp(forth, [0, 0, 0, 0, 1.0, 0], discount=0.5, terminal=[5], start=0)
    for steps, sweeps, found in (
        (5, 5, [1 / 16, 1 / 8, 1 / 4, 1 / 2, 1, 0]),
        (5, 3, [0, 0, 1 / 4, 1 / 2, 1, 0]),
        (6, 3, [1 / 16, 1 / 8, 1 / 4, 1 / 2, 1, 0]),
        (4, 5, [0] * 6),
    ):
        learned = tabular.prioritized_sweeping(corridor, jax.random.key(0), steps, planning_steps=sweeps, step_size=1.0)
        assert learned.q_values[:, 0].tolist() == found


def test_sweeping_as_the_box(mdp):
    """All of it given the steps that were taken, with a queue that is sorted."""
    found = tabular.prioritized_sweeping(
        mdp, jax.random.key(4), STEPS, planning_steps=PLANNED, threshold=0.05, step_size=0.2, epsilon=0.5
    )
    q, model, queue, gamma = np.zeros((4, 3)), {}, {}, float(mdp.discount)

    def error(s, a):
        reward, there = model[s, a]
        return reward + (0 if mdp.terminal[there] else gamma * q[there].max()) - q[s, a]

    def insert(s, a):
        priority = abs(error(s, a))
        if priority > 0.05:
            queue[s, a] = max(priority, queue.get((s, a), 0))

    rows = [np.asarray(x).tolist() for x in (found.states, found.actions, found.rewards, found.next_states)]
    for s, a, reward, there in zip(*rows, strict=True):
        model[s, a] = reward, there
        insert(s, a)
        for _ in range(PLANNED):
            if not queue:
                break
            first = max(sorted(queue), key=queue.get)
            del queue[first]
            q[first] += 0.2 * error(*first)
            for before, (_, to) in model.items():
                if to == first[0]:
                    insert(*before)
    np.testing.assert_allclose(found.q_values, q, rtol=1e-4, atol=1e-5)


@pytest.mark.thorough
def test_vmap_and_double_precision(mdp):
    keys = jax.random.split(jax.random.key(1), 2)
    sizes = jnp.array([0.1, 0.5])
    run = jax.jit(lambda key, size: tabular.dyna_q(mdp, key, 30, planning_steps=3, step_size=size))
    found = jax.jit(jax.vmap(run))(keys, sizes)
    for i in range(2):
        np.testing.assert_allclose(found.q_values[i], run(keys[i], sizes[i]).q_values, rtol=1e-5, atol=1e-6)
    with jax.enable_x64(True):
        walk = tabular.random_walk(discount=0.9)
        assert tabular.dyna_q(walk, jax.random.key(0), 5, planning_steps=2).q_values.dtype == np.float64


def test_mistakes_are_named(mdp):
    with pytest.raises(ValueError, match="planning_steps=-1 must be at least 0"):
        tabular.dyna_q(mdp, jax.random.key(0), 5, planning_steps=-1)
    with pytest.raises(ValueError, match="planning_steps=0 must be at least 1"):
        tabular.prioritized_sweeping(mdp, jax.random.key(0), 5, planning_steps=0)
