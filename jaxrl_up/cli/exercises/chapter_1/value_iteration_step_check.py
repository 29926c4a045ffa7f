"""The check of exercise 1.5, by `tabular.optimality_backup_v` and `tabular.v_star`."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_up import tabular
from jaxrl_up.cli.exercises.exercise import Student, Wrong
from jaxrl_up.tabular import MDP

READING = 'lesson 01_key_concepts, "The optimal policy"; Sutton & Barto 2018, section 4.4, eq. 4.10'
HINTS = (
    "Everything comes from one array Q [S, A]. Which axis is the maximum over?",
    "transition @ values is [S, A]: the expected value of the next state. With reward and discount it becomes Q.",
    "q_values = reward + discount * (transition @ values); return jnp.max(q_values, axis=1), jnp.argmax(q_values, "
    "axis=1).",
)
SWEEPS = 60


def check(student: Student) -> None:
    """A chance of several next states, ties, and 60 steps in a row. Raises `Wrong`."""
    transition = np.array([
        [[0.5, 0.5, 0.0], [0.0, 0.2, 0.8]],
        [[0.1, 0.6, 0.3], [0.0, 0.0, 1.0]],
        [[0.3, 0.3, 0.4], [1.0, 0.0, 0.0]],
    ], np.float32)  # fmt: skip
    reward = np.array([[1.0, 2.0], [0.0, -9.0], [3.0, 3.5]], np.float32)
    world = tabular.mdp(transition, reward, discount=0.5)
    for values in ([1.0, -2.0, 5.0], [4.0, 3.0, -1.0]):
        _compare(student, world, jnp.array(values))
    same = tabular.mdp(np.tile(np.eye(2, dtype=np.float32)[:, None], (1, 3, 1)), np.ones((2, 3)), discount=0.5)
    _compare(student, same, jnp.array([1.0, 2.0]))
    step = jax.jit(lambda values: _pair(student.step(values, world.transition, world.reward, world.discount))[0])
    values = jnp.zeros(3)
    for _ in range(SWEEPS):
        values = step(values)
    student.expect(f"V after {SWEEPS} steps from 0, by jit, beside V*", values, tabular.v_star(world))


def _compare(student: Student, world: MDP, values: jax.Array) -> None:
    case = f"a step from values {values.tolist()}, gamma 0.5"
    new, actions = _pair(student.step(values, world.transition, world.reward, world.discount))
    expected = tabular.optimality_backup_v(world, values)
    v, p, r = (np.asarray(x, float) for x in (values, world.transition, world.reward))
    q = r + 0.5 * p @ v
    student.expect(f"{case}: T* V", new, expected, mistakes(v, p, r, 0.5))
    best, shape = q.argmax(1), np.shape(actions)
    student.expect(f"{case}: greedy actions", actions, best, {
        "These are the actions of the largest reward: compare Q, which looks ahead.": r.argmax(1),
        "These are the worst actions: argmin in the place of argmax?": q.argmin(1),
        "Of equal actions the first was asked for.": q.shape[1] - 1 - q[:, ::-1].argmax(1),
        "This is the policy as [S, A]: the number of one action a state was asked for.": np.eye(q.shape[1])[best],
        "These are the values again: jnp.argmax gives the actions.": q.max(1),
        "The axes are exchanged: this is the best state for each action.": q.argmax(0),
    })  # fmt: skip
    if np.asarray(actions).dtype.kind not in "iu":
        raise Wrong(f"{case}: greedy actions {list(shape)} are {np.asarray(actions).dtype}, they should be integers.")


def _pair(result: Any) -> tuple[Any, Any]:
    if not isinstance(result, tuple | list) or len(result) != 2:
        raise Wrong(f"step returned a {type(result).__name__}, expected the pair (values, actions).")
    return result[0], result[1]


def mistakes(v: np.ndarray, p: np.ndarray, r: np.ndarray, discount: float) -> dict[str, np.ndarray]:
    """What typical mistakes give, by what is said then."""
    q = r + discount * p @ v
    in_place = v.copy()
    for s in range(len(v)):
        in_place[s] = np.max(r[s] + discount * p[s] @ in_place)
    return {
        "This is the mean over actions: take the maximum.": q.mean(1),
        "This is the minimum over actions: take the maximum.": q.min(1),
        "The states changed one after the other, and look at values that are new already: use the old V.": in_place,
        "The maximum is over next states: expect over them by P, and take the maximum over actions.": (
            r + discount * np.where(p > 0, v, -np.inf).max(-1)
        ).max(1),
        "The maximum was taken of the rewards and of the next values apart: take it of their sum.": (
            r.max(1) + discount * (p @ v).max(1)
        ),
        "The discount is left out.": (r + p @ v).max(1),
        "The reward is discounted too: gamma belongs to the next value only.": (discount * (r + p @ v)).max(1),
        "The axes are exchanged: this is the maximum over states.": q.max(0),
        "This is Q [S, A]: take the maximum over actions.": q,
        "The transition is read the wrong way round: its last axis is s'.": (
            r + discount * np.einsum("tas,t->sa", p, v)
        ).max(1),
    }
