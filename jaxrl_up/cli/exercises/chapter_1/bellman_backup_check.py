"""The check of exercise 1.4, by `tabular.expectation_backup_v` and `tabular.v_pi`."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_up import tabular
from jaxrl_up.cli.exercises.exercise import Student
from jaxrl_up.tabular import MDP

READING = 'lesson 01_key_concepts, "Bellman equations"; Sutton & Barto 2018, section 4.1, eq. 4.5'
HINTS = (
    "Work from the inside: first sum_s' P(s' | s, a) V(s'), an array [S, A]; then what is in the brackets; then the "
    "sum over actions.",
    "transition @ values sums over the last axis, which is s'. Before that, set the values of terminal states to 0.",
    "alive = 1.0 - terminal; q_values = reward + discount * (transition @ (alive * values)); the backup is alive times "
    "the sum over axis 1 of policy * q_values.",
)
VALUES = np.array([1.0, -2.0, 5.0], np.float32)  # the last state is terminal in the second case


def check(student: Student) -> None:
    """A world without an end, one with a terminal state, jit, and the fixed point. Raises `Wrong`."""
    transition = np.array([
        [[0.5, 0.5, 0.0], [0.0, 0.2, 0.8]],
        [[0.1, 0.6, 0.3], [0.0, 0.0, 1.0]],
        [[0.3, 0.3, 0.4], [1.0, 0.0, 0.0]],
    ], np.float32)  # fmt: skip
    reward = np.array([[1.0, 2.0], [0.0, -1.0], [3.0, 0.5]], np.float32)
    policy = jnp.array([[0.25, 0.75], [0.6, 0.4], [0.9, 0.1]])
    worlds = {
        "three states, none terminal": tabular.mdp(transition, reward, discount=0.9),
        "three states, the last terminal": tabular.mdp(transition, reward, discount=0.9, terminal=[2]),
    }
    for case, world in worlds.items():
        case = f"backup of values [1, -2, 5], {case}, gamma 0.9"
        got = student.backup(jnp.asarray(VALUES), *arrays(world, policy))
        expected = tabular.expectation_backup_v(world, policy, jnp.asarray(VALUES))
        student.expect(case, got, expected, mistakes(VALUES, *arrays(world, policy)))
        got = jax.jit(student.backup)(jnp.asarray(VALUES), *arrays(world, policy))
        student.expect(f"{case}, by jit", got, expected)
        values = tabular.v_pi(world, policy)
        student.expect(
            "backup of V^pi, which does not change it", student.backup(values, *arrays(world, policy)), values
        )


def arrays(world: MDP, policy: jax.Array) -> tuple[jax.Array, ...]:
    """The arguments of backup behind the values, with the rows of terminal states as they were given."""
    return policy, world.transition, world.reward, world.discount, world.terminal


def mistakes(values: np.ndarray, *given: jax.Array) -> dict[str, np.ndarray]:
    """What typical mistakes give, by what is said then."""
    pi, p, r, discount, terminal = (np.asarray(x, float) for x in given)
    alive = 1.0 - terminal
    v = alive * values
    q = r + discount * p @ v
    # a transition [S, A, S] read with s' first
    turned = r + discount * np.einsum("tas,t->sa", p, v)
    return {
        "The value of a terminal next state is counted: it is 0, whatever the array holds.": (
            alive * (pi * (r + discount * p @ values)).sum(1)
        ),
        "The backup of the terminal state is not 0.": (pi * q).sum(1),
        "Terminal states are not treated at all: their backup is 0, and so is their value as next states.": (
            pi * (r + discount * p @ values)
        ).sum(1),
        "The discount is left out.": alive * (pi * (r + p @ v)).sum(1),
        "The reward is discounted too: gamma belongs to the next value only.": alive
        * (pi * discount * (r + p @ v)).sum(1),
        "This is the maximum over actions, which is exercise 1.5: weigh them by the policy.": alive * q.max(1),
        "This is the mean over actions: weigh them by the policy.": alive * q.mean(1),
        "This is the sum over actions: weigh them by the policy.": alive * q.sum(1),
        "This is [S, A], the value of each action: sum over actions, weighed by the policy.": q,
        "The transition is read the wrong way round: its last axis is s'.": alive * (pi * turned).sum(1),
        "The reward is left out.": alive * (pi * (q - r)).sum(1),
        "The next values are left out: this is the expected reward.": alive * (pi * r).sum(1),
    }
