"""The check of exercise 8.1, by `ops.action_value`, `ops.q_learning_target` and `jax.grad`."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_up import ops
from jaxrl_up.cli.exercises.exercise import Student

READING = 'lesson 08_debugging, "[B] against [B, 1]"; "Broadcasting" on numpy.org; Mnih et al. 2015, algorithm 1'
HINTS = (
    "Call it with one transition, then with two, and compute both by hand. Only one of them is right: what is it that "
    "a batch of one cannot show?",
    "Print chosen.shape, target.shape and (chosen - target).shape. How many errors does a batch of B have?",
    "take_along_axis keeps the axis: [B, 1] against [B] makes [B, B]. Take the axis off, [:, 0]. And "
    "`assert chosen.shape == target.shape`, or chex.assert_equal_shape, would have said so at once.",
)
Q, NEXT_Q = ((1.0, 4.0), (3.0, 5.0), (-1.0, 0.5), (4.0, 2.0)), ((2.0, 1.0), (0.0, 4.0), (1.0, 3.0), (6.0, 2.0))
ACTION, REWARD, GAMMA = (0, 1, 1, 0), (1.0, 0.5, -1.0, 2.0), 0.5
ENDS = {"": (False,) * 4, ", rows 1 and 3 terminated": (False, True, False, True)}


def check(student: Student) -> None:
    """One row, several, ends, and where the gradient goes. Raises `Wrong`."""
    for rows in (1, 2, 4):
        for ends, terminated in ENDS.items() if rows == 4 else [("", ENDS[""])]:
            given = arrays(rows, terminated)
            asked = (
                f"q_loss of {rows} transition{'s' * (rows > 1)}{ends}: q_values {_list(Q, rows)}, next_q_values "
                f"{_list(NEXT_Q, rows)}, action {list(ACTION[:rows])}, reward {list(REWARD[:rows])}, gamma {GAMMA}"
            )
            student.expect(asked, student.q_loss(*given, GAMMA), right(*given), mistakes(rows, terminated))
    for which, name in ((0, "q_values"), (1, "next_q_values")):
        came = jax.grad(student.q_loss, argnums=which)(*given, GAMMA)
        expected = jax.grad(right, argnums=which)(*given)
        flows = {
            "A gradient flows to the target, which is data: keep jax.lax.stop_gradient.": np.where(
                which == 1, np.asarray(came), np.nan
            ),
            "No gradient reaches the q_values.": np.zeros((4, 2)),
        }
        student.expect(f"gradient of q_loss with respect to {name}, 4 transitions", came, expected, flows)


def arrays(rows: int, terminated: tuple[bool, ...]) -> list[jax.Array]:
    """The first rows of the batch."""
    return [jnp.array(x[:rows]) for x in (Q, NEXT_Q, ACTION, REWARD, terminated)]


def right(q_values, next_q_values, action, reward, terminated) -> jax.Array:
    """What the library says."""
    target = ops.q_learning_target(reward, GAMMA * (1.0 - terminated), next_q_values)
    return jnp.mean(jnp.square(ops.action_value(q_values, action) - jax.lax.stop_gradient(target)))


def mistakes(rows: int, terminated: tuple[bool, ...]) -> dict[str, np.ndarray]:
    """What typical mistakes give, by what is said then."""
    q, next_q, action, reward, ended = (np.array(x[:rows]) for x in (Q, NEXT_Q, ACTION, REWARD, terminated))
    chosen = q[np.arange(rows), action]
    going = 1.0 - ended
    target = reward + GAMMA * going * next_q.max(-1)
    errors = chosen - target
    pairs = chosen[:, None] - target
    both = f"[{rows}, 1] - [{rows}] is [{rows}, {rows}]"
    return {
        f"This is the mean of {rows * rows} squares where there are {rows} errors: {both}, every value against every "
        f"target. Print the shape of the error: it should be [{rows}].": np.mean(pairs**2),
        f"This is the square of the mean error, where the mean of squares is asked for: {both}, or the mean came "
        f"first.": (np.mean(errors) ** 2),
        "One value stands against all targets: of [B, 1] the batch axis was taken off, and the other one was meant.": (
            np.mean((chosen[0] - target) ** 2)
        ),
        "This is the sum over the batch: it should be the mean.": np.sum(errors**2),
        "This is half of it: the loss here has no factor 1/2.": np.mean(errors**2) / 2,
        "The errors are not squared.": np.mean(np.abs(errors)),
        "The largest value of each state stands for the taken action's: take Q(s_i, a_i).": np.mean(
            (q.max(-1) - target) ** 2
        ),
        "All actions of a state are fitted to the target: only the taken one has it.": np.mean(
            (q - target[:, None]) ** 2
        ),
        "A value follows a transition that terminated.": np.mean((chosen - reward - GAMMA * next_q.max(-1)) ** 2),
        "The maximum is over the batch, where it should be over the actions of each row.": np.mean(
            (chosen - reward - GAMMA * going * next_q.max()) ** 2
        ),
    }


def _list(table: tuple, rows: int) -> str:
    return str([list(row) for row in table[:rows]])
