"""Learning from a model of what was seen: Dyna-Q, and prioritised sweeping."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrl_up import ops
from jaxrl_up.tabular.control import Learned, Step, learn, q_learning_target
from jaxrl_up.tabular.finite_mdp import MDP
from jaxrl_up.tabular.step_sizes import Schedule, StepSize
from jaxrl_up.types import Array, Key


class _Model(NamedTuple):
    """What came of each action when it was last taken, all `[S, A]`."""

    seen: Array
    reward: Array
    discount: Array
    next_state: Array


def dyna_q(
    mdp: MDP,
    key: Key,
    steps: int,
    *,
    planning_steps: int,
    step_size: StepSize = 0.1,
    epsilon: Schedule = 0.1,
    initial: Any = 0.0,
) -> Learned:
    """Q-learning on each step, and then `planning_steps` times on a step of the model, drawn among those seen.

    A state is drawn uniformly among those seen before, then an action among those taken in it; the model says what came
    of it. Without planning steps it is `q_learning`, to the same numbers by the same key.

    Reference: Sutton & Barto 2018, the box of section 8.2, whose model is for deterministic MDPs. Deviation: it takes
    any MDP, and where outcomes differ the model has the last one seen, so that planning then moves towards it.

    Arguments and errors are those of `sarsa`; `ValueError` for fewer than 0 planning steps.
    """
    if planning_steps < 0:
        raise ValueError(f"planning_steps={planning_steps} must be at least 0")

    def plan(
        key: Key, q_values: Array, model: _Model, step: Step, size: Callable[[Array, Array], Array]
    ) -> tuple[Array, _Model]:
        model = _remember(model, step)
        which = jax.random.uniform(key, (2, planning_steps), mdp.transition.dtype)
        states = _pick(jnp.broadcast_to(jnp.any(model.seen, axis=1), (planning_steps, mdp.states)), which[0])
        actions = _pick(model.seen[states], which[1])

        _, reward, discount, there = jax.tree.map(lambda x: x[states, actions], model)
        seen = step._replace(state=states, action=actions, reward=reward, discount=discount, next_state=there)

        def update(q_values: Array, given: tuple[Step, Array]) -> tuple[Array, None]:
            seen, alpha = given
            error = q_learning_target(q_values, jnp.int32(0), seen) - q_values[0, seen.state, seen.action]
            return q_values.at[0, seen.state, seen.action].add(alpha * error), None

        alphas = jnp.broadcast_to(size(states, actions), (planning_steps,))
        seen = jax.tree.map(lambda x: jnp.broadcast_to(x, (planning_steps,)), seen)
        return jax.lax.scan(update, q_values, (seen, alphas))[0], model

    return learn(
        mdp, key, steps, q_learning_target, step_size, epsilon, initial,
        plan=plan if planning_steps else None, model=_nothing_seen(mdp),
    )  # fmt: skip


def prioritized_sweeping(
    mdp: MDP,
    key: Key,
    steps: int,
    *,
    planning_steps: int,
    threshold: Array | float = 1e-4,
    step_size: StepSize = 0.1,
    epsilon: Schedule = 0.1,
    initial: Any = 0.0,
) -> Learned:
    """Q-learning on steps of the model only, those first whose value would change most.

    A step that was taken, or that leads to a state whose value has changed, waits with priority |r + gamma max_b
    Q(s', b) - Q(s, a)|, if that is above `threshold`; after each step at most `planning_steps` of those that wait are
    learned from, the highest first. Reference: Sutton & Barto 2018, the box of section 8.4, for deterministic MDPs.
    Deviation, as of `dyna_q`: it takes any MDP, and where outcomes differ the model has the last one. Arguments and
    errors are those of `sarsa`; `ValueError` for fewer than one planning step.
    """
    if planning_steps < 1:
        raise ValueError(f"planning_steps={planning_steps} must be at least 1: nothing else learns")

    def plan(
        key: Key, q_values: Array, memory: tuple[_Model, Array], step: Step, size: Callable[[Array, Array], Array]
    ) -> tuple[Array, tuple[_Model, Array]]:
        model, waiting = memory
        model = _remember(model, step)
        taken = jnp.zeros(waiting.shape, bool).at[step.state, step.action].set(True)

        def errors(q_values: Array) -> Array:
            ahead = jnp.max(q_values[0], axis=-1)[model.next_state]
            return ops.td_target(model.reward, model.discount, ahead) - q_values[0]

        def wait(waiting: Array, which: Array, q_values: Array) -> Array:
            priority = jnp.abs(errors(q_values))
            return jnp.where(which & (priority > threshold), jnp.maximum(waiting, priority), waiting)

        def update(carry: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], None]:
            q_values, waiting = carry
            state, action = jnp.unravel_index(jnp.argmax(waiting), waiting.shape)
            alpha = jnp.where(waiting[state, action] > 0, size(state, action), 0)
            q_values = q_values.at[0, state, action].add(alpha * errors(q_values)[state, action])
            waiting = waiting.at[state, action].set(0)
            leads_here = model.seen & (model.next_state == state) & (alpha > 0)
            return (q_values, wait(waiting, leads_here, q_values)), None

        first = (q_values, wait(waiting, taken, q_values))
        (q_values, waiting), _ = jax.lax.scan(update, first, length=planning_steps)
        return q_values, (model, waiting)

    model = _nothing_seen(mdp), jnp.zeros((mdp.states, mdp.actions), mdp.transition.dtype)
    return learn(mdp, key, steps, q_learning_target, step_size, epsilon, initial, direct=False, plan=plan, model=model)


def _nothing_seen(mdp: MDP) -> _Model:
    shape = (mdp.states, mdp.actions)
    none = jnp.zeros(shape, mdp.transition.dtype)
    return _Model(jnp.zeros(shape, bool), none, none, jnp.zeros(shape, jnp.int32))


def _remember(model: _Model, step: Step) -> _Model:
    came = _Model(jnp.asarray(True), step.reward, step.discount, step.next_state)
    return jax.tree.map(lambda x, y: x.at[step.state, step.action].set(y), model, came)


def _pick(possible: Array, uniform: Array) -> Array:
    """For each row of bool `[n, M]` one number of those that are true, by a uniform number in [0, 1) `[n]`."""
    before = jnp.cumsum(possible, axis=1)
    nth = jnp.minimum(jnp.floor(uniform * before[:, -1]), before[:, -1] - 1)
    return jnp.argmax(before > nth[:, None], axis=1).astype(jnp.int32)
