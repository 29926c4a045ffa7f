"""A finite Markov decision process as a pytree: what it is, and what is checked of it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.core import Tracer

from jaxrl_up.tabular.layout import Layout
from jaxrl_up.types import Array


@struct.dataclass
class MDP:
    """A finite MDP: states 0 to S - 1, actions 0 to A - 1. Build it by `mdp`, which checks it.

    What happens in a terminal state is never read: no step is taken there, and its value is 0. Functions of an MDP are
    jit- and vmap-safe in the arrays (many MDPs of one size are one MDP with a leading axis, for `jax.vmap`), and
    compute in the dtype that these have. They are grad-safe too, but for reverse mode through what iterates for as long
    as it takes: there take `v_pi`, `v_star` and `soft_v_pi`.
    """

    transition: Array
    """P(s' | s, a), `[S, A, S]`"""
    reward: Array
    """r(s) `[S]`, for a step from s; r(s, a) `[S, A]`; or r(s, a, s') `[S, A, S]`"""
    start: Array
    """P(s_0), `[S]`"""
    discount: Array
    """gamma per step, in [0, 1], `[]`"""
    terminal: Array
    """bool `[S]`: the episode is over there"""
    horizon: int | None = struct.field(pytree_node=False, default=None)
    """steps after which the return ends; exact values then belong to a time, see `dynamic_programming`. Learners in
    tables, and `as_env`, cut episodes there as at a time limit, and bootstrap. None: none"""
    layout: Layout | None = struct.field(pytree_node=False, default=None)
    """the grid that it was built from, to draw on"""

    if TYPE_CHECKING:  # flax adds it

        def replace(self, **changes: Any) -> MDP: ...

    @property
    def states(self) -> int:
        """S."""
        return self.transition.shape[-1]

    @property
    def actions(self) -> int:
        """A."""
        return self.transition.shape[-2]

    @property
    def going(self) -> Array:
        """P(s' | s, a) of steps after which the episode goes on, `[S, A, S]`: rows sum to 1 - P(the end | s, a)."""
        alive = ~self.terminal
        return jnp.where(alive[:, None, None] & alive[None, None, :], self.transition, 0)

    @property
    def reward_table(self) -> Array:
        """r(s, a, s') `[S, A, S]`, whichever convention it was given in; 0 from terminal states."""
        reward = self.reward.reshape(self.reward.shape + (1,) * (3 - self.reward.ndim))
        return jnp.where(self.terminal[:, None, None], 0, jnp.broadcast_to(reward, self.transition.shape))

    @property
    def expected_reward(self) -> Array:
        """r(s, a) = sum_s' P(s' | s, a) r(s, a, s'), `[S, A]`; 0 in terminal states. Sutton & Barto 2018, eq. 3.5."""
        if self.reward.ndim == 3:
            possible = self.transition > 0  # what cannot happen may be paid infinitely
            expected = jnp.sum(self.transition * jnp.where(possible, self.reward_table, 0), axis=-1)
        else:
            reward = self.reward[:, None] if self.reward.ndim == 1 else self.reward
            expected = jnp.broadcast_to(reward, self.transition.shape[:2])
        return jnp.where(self.terminal[:, None], 0, expected)

    def __repr__(self) -> str:
        if self.transition.ndim != 3 or any(isinstance(x, Tracer) for x in jax.tree.leaves(self)):
            return f"MDP(transition={_shown(self.transition)}, reward={_shown(self.reward)})"
        ends = int(np.sum(np.asarray(self.terminal)))
        horizon = "" if self.horizon is None else f", horizon {self.horizon}"
        convention = ("r(s)", "r(s, a)", "r(s, a, s')")[self.reward.ndim - 1]
        head = (
            f"MDP({_number(self.states, 'state')}, {ends} terminal, {_number(self.actions, 'action')}, {convention}, "
            f"discount {float(self.discount):g}{horizon})"
        )
        return head if self.layout is None else f"{head}\n{self.layout.text}"


def _number(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _shown(x: Any) -> str:
    return f"{jnp.result_type(x)}{list(jnp.shape(x))}"


def mdp(
    transition: Any,
    reward: Any,
    *,
    discount: Any,
    start: Any = None,
    terminal: Any = (),
    horizon: int | None = None,
    layout: Layout | None = None,
) -> MDP:
    """Build a finite MDP from arrays, or nested lists, and check it.

    Args:
      transition: P(s' | s, a), `[S, A, S]`; rows of terminal states are not read.
      reward: r(s) `[S]`, r(s, a) `[S, A]` or r(s, a, s') `[S, A, S]`, finite.
      discount: gamma per step, in [0, 1]. With 1 the return must end: by a horizon, or because a terminal state can be
        reached from everywhere.
      start: P(s_0) `[S]`, or the number of the one first state; None: uniform over the states that are not terminal.
      terminal: numbers of the terminal states, each once, or bool `[S]`.
      horizon: steps after which the return ends.
      layout: the grid to draw on.

    Returns:
      An MDP in float32, or in float64 where JAX is told `jax_enable_x64` and so for arrays of Python numbers or
      float64.

    Raises:
      ValueError: the shapes do not belong together, a row is no distribution (it is named), a number is out of range,
        or a discount of 1 meets no end. Values that are traced are not looked at.

    >>> stay = mdp([[[1.0, 0.0]], [[0.0, 1.0]]], reward=[0.0, 1.0], discount=0.9)
    >>> stay
    MDP(2 states, 0 terminal, 1 action, r(s), discount 0.9)
    """
    transition, reward, discount = (_real(x, what) for x, what in zip(
        (transition, reward, discount), ("transition", "reward", "discount"), strict=True))  # fmt: skip
    if transition.ndim != 3 or transition.shape[0] != transition.shape[2] or 0 in transition.shape:
        raise ValueError(f"transition is P(s' | s, a), of shape [S, A, S], got {list(transition.shape)}")
    states, actions, _ = transition.shape
    shapes = ([states], [states, actions], [states, actions, states])
    if list(reward.shape) not in shapes:
        raise ValueError(
            f"reward is r(s) {shapes[0]}, r(s, a) {shapes[1]} or r(s, a, s') {shapes[2]}, got {list(reward.shape)}"
        )
    if discount.shape != ():
        raise ValueError(f"discount is one number, got shape {list(discount.shape)}; vmap over many")
    if horizon is not None and (not isinstance(horizon, int | np.integer) or isinstance(horizon, bool) or horizon < 1):
        raise ValueError(f"horizon is a whole number of steps, at least 1, or None, got {horizon!r}")
    terminal = _mask(terminal, states)
    start = _start(start, terminal)
    dtype = jnp.result_type(transition, reward, discount, start, jnp.float32)
    horizon = None if horizon is None else int(horizon)
    transition, reward, start, discount = (jnp.asarray(x, dtype) for x in (transition, reward, start, discount))
    made = MDP(transition, reward, start, discount, jnp.asarray(terminal), horizon, layout)
    check(made)
    return made


def check(mdp: MDP) -> None:
    """Raise `ValueError` for a row that is no distribution, a number out of range, or a discount of 1 without an end.

    What is traced is not looked at.
    """
    if any(isinstance(x, Tracer) for x in jax.tree.leaves(mdp)):
        return
    transition, reward, start, discount, terminal = (
        np.asarray(x) for x in (mdp.transition, mdp.reward, mdp.start, mdp.discount, mdp.terminal)
    )
    if not 0.0 <= discount <= 1.0:
        raise ValueError(f"discount={discount:g} is not in [0, 1]")
    _check_rows("transition", transition, ~terminal)
    _check_rows("start", start[None], np.array([True]))
    if start[terminal].any():
        where = int(np.flatnonzero(terminal & (start > 0))[0])
        raise ValueError(f"start: state {where} is terminal, no episode begins there")
    read = np.broadcast_to(~terminal.reshape(-1, *[1] * (reward.ndim - 1)), reward.shape)
    read = read & (transition > 0) if reward.ndim == 3 else read
    if not np.isfinite(reward[read]).all():
        where = [int(i) for i in np.argwhere(read & ~np.isfinite(reward))[0]]
        raise ValueError(f"reward{where} is {reward[tuple(where)]}: rewards are finite")
    if discount == 1.0 and mdp.horizon is None:
        require_end(transition.sum(1), terminal, "no way leads from state {} to a terminal one")


def require_end(steps: np.ndarray, terminal: np.ndarray, why: str) -> None:
    """Raise `ValueError`, with the first state in it, if from some state no way of `steps > 0` `[S, S]` ends.

    For a discount of 1, where the return of such a state has no end.
    """
    ends = terminal.copy()
    while True:
        more = ends | ((steps > 0) & ends).any(-1)
        if (more == ends).all():
            break
        ends = more
    if not ends.all():
        state = int(np.flatnonzero(~ends)[0])
        raise ValueError(f"discount=1 without an end: {why.format(state)}; give a discount below 1 or a horizon")


def never_ending(mdp: MDP, policy: Array) -> Array:
    """bool `[S]`: with a discount of 1, the states from which a policy reaches no terminal one; otherwise none.

    I - P^pi is singular there, and what a solver makes of that spoils the values of other states too. One rounding unit
    less of discount in these rows mends it: they have large values, or 0 where nothing is paid, and the others theirs.
    """
    steps = jax.lax.stop_gradient(jnp.sum(policy[:, :, None] * mdp.transition, axis=1)) > 0
    undiscounted = jax.lax.stop_gradient(mdp.discount) == 1

    def going_on(carry: tuple[Array, Array]) -> Array:
        return carry[1]

    def spread(carry: tuple[Array, Array]) -> tuple[Array, Array]:
        ends = carry[0]
        more = ends | jnp.any(steps & ends[None, :], axis=1)
        return more, jnp.any(more != ends)

    ends, _ = jax.lax.while_loop(going_on, spread, (mdp.terminal, undiscounted))
    return undiscounted & ~ends


def require_policy_ends(mdp: MDP, policy: Array) -> None:
    """Raise `ValueError` for a policy that with a discount of 1 does not end; of what is traced nothing is known."""
    if mdp.horizon is not None:
        return
    arrays = (mdp.discount, mdp.transition, mdp.terminal, policy)
    if any(isinstance(x, Tracer) for x in arrays) or float(mdp.discount) < 1 or mdp.transition.ndim != 3:
        return
    steps = np.einsum("sa,sat->st", np.asarray(policy), np.asarray(mdp.transition))
    require_end(steps, np.asarray(mdp.terminal), "by this policy no way leads from state {} to a terminal one")


def _check_rows(what: str, rows: np.ndarray, read: np.ndarray) -> None:
    """Raise `ValueError` that names the first row, of those that are read, that is no distribution."""
    narrow = np.array_equal(rows, rows.astype(np.float32), equal_nan=True)  # if only as it was given
    tolerance = 1e-4 if narrow else 1e-8
    wrong = ~np.isfinite(rows).all(-1) | (rows < 0).any(-1) | (np.abs(rows.sum(-1, dtype=np.float64) - 1) > tolerance)
    wrong = wrong & read.reshape(-1, *[1] * (wrong.ndim - 1))
    if wrong.any():
        where = tuple(int(i) for i in np.argwhere(wrong)[0])
        row = rows[where]
        name = f"{what}[{', '.join(map(str, where))}]" if what == "transition" else what
        if not np.isfinite(row).all() or (row < 0).any():
            raise ValueError(f"{name} holds {row[~np.isfinite(row) | (row < 0)][0]:g}, which is no probability")
        raise ValueError(f"{name} sums to {row.sum(dtype=np.float64):g}: a row of probabilities sums to 1")


def _real(x: Any, what: str) -> Any:
    """An array of floats; raises ValueError for what is none."""
    try:
        x = _array(x)
    except (TypeError, ValueError):
        raise ValueError(f"{what} is an array of numbers, all rows of one length") from None
    if x.dtype.kind not in "iufV":
        raise ValueError(f"{what} is an array of numbers, got {x.dtype}")
    return jnp.asarray(x, None if jnp.issubdtype(x.dtype, jnp.floating) else float)


def _array(x: Any) -> Any:
    """A NumPy array, or one of JAX where there is one in it, which may be traced."""
    return jnp.asarray(x) if any(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(x)) else np.asarray(x)


def _mask(terminal: Any, states: int) -> Any:
    """bool `[S]`, of such a mask or of the numbers of states."""
    given = _array(terminal)
    if given.dtype == np.bool_:
        if given.shape != (states,):
            raise ValueError(f"terminal is bool [{states}] or numbers of states, got bool {list(given.shape)}")
        return given
    if isinstance(given, Tracer):
        return jnp.zeros(states, bool).at[given].set(True)
    given = np.atleast_1d(given)
    if given.size and not (np.issubdtype(given.dtype, np.integer) and ((given >= 0) & (given < states)).all()):
        raise ValueError(f"terminal holds numbers of states from 0 to {states - 1}, got {terminal!r}")
    times = np.bincount(given.astype(int), minlength=states)
    if (times > 1).any():  # as in a mask of integers
        raise ValueError(
            f"terminal names state {np.argmax(times > 1)} more than once: a mask of states is bool [{states}]"
        )
    return times > 0


def _start(start: Any, terminal: Any) -> Any:
    """P(s_0) `[S]`."""
    states = terminal.shape[0]
    if start is None:
        alive = jnp.asarray(~terminal, float)
        if not isinstance(terminal, Tracer) and terminal.all():
            raise ValueError("all states are terminal: no episode begins")
        return alive / jnp.sum(alive)
    given = _array(start)
    if given.shape == () and jnp.issubdtype(given.dtype, jnp.integer):
        if not isinstance(given, Tracer) and not 0 <= given < states:
            raise ValueError(f"start={start} is no state: they go from 0 to {states - 1}")
        return jnp.zeros(states, float).at[given].set(1.0)
    start = _real(start, "start")
    if start.shape != (states,):
        raise ValueError(f"start is P(s_0), of shape [{states}], or one state, got shape {list(start.shape)}")
    return start


def uniform_policy(mdp: MDP) -> Array:
    """pi(a | s) = 1 / A, `[S, A]`."""
    return jnp.full((mdp.states, mdp.actions), 1.0 / mdp.actions, mdp.transition.dtype)


def as_policy(mdp: MDP, policy: Any) -> Array:
    """pi(a | s) `[S, A]`, or with a horizon `[H, S, A]` as well, of probabilities or of one action a state `[S]`.

    Raises `ValueError` for another shape, or for rows that are no distributions (unless traced).
    """
    given = _array(policy)
    if given.shape == (mdp.states,) and jnp.issubdtype(given.dtype, jnp.integer):
        wrong = [] if isinstance(given, Tracer) else np.flatnonzero((given < 0) | (given >= mdp.actions))
        if len(wrong):
            action, last = int(given[wrong[0]]), mdp.actions - 1
            raise ValueError(f"policy holds action {action} in state {wrong[0]}: they go from 0 to {last}")
        return jax.nn.one_hot(given, mdp.actions, dtype=mdp.transition.dtype)
    policy = _real(given, "policy")
    shapes = [(mdp.states, mdp.actions)] + ([] if mdp.horizon is None else [(mdp.horizon, mdp.states, mdp.actions)])
    if policy.shape not in shapes:
        allowed = " or ".join(str(list(shape)) for shape in shapes)
        raise ValueError(f"a policy is pi(a | s) {allowed}, or one action a state [{mdp.states}], got {_shown(policy)}")
    if not isinstance(policy, Tracer) and math.prod(policy.shape):
        _check_policy(np.asarray(policy))
    return jnp.asarray(policy, mdp.transition.dtype)


def _check_policy(policy: np.ndarray) -> None:
    wrong = ~np.isfinite(policy).all(-1) | (policy < -1e-6).any(-1) | (np.abs(policy.sum(-1) - 1) > 1e-4)
    if wrong.any():
        where = tuple(int(i) for i in np.argwhere(wrong)[0])
        row = ", ".join(f"{x:g}" for x in policy[where])
        raise ValueError(f"policy{list(where)} is [{row}]: a row of probabilities sums to 1")
