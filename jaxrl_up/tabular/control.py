"""Learning to act in a table, one step after the other: SARSA, expected SARSA, Q-learning, double Q-learning.

Each step takes an epsilon-greedy action in the MDP and moves one entry: Q(s, a) <- Q(s, a) + alpha (target - Q(s, a)).

    SARSA              r + gamma Q(s', a')                       with the a' that it takes next     -> Q^pi
    expected SARSA     r + gamma sum_b pi(b | s') Q(s', b)       pi is epsilon-greedy in Q          -> Q^pi
    Q-learning         r + gamma max_b Q(s', b)                                                     -> Q*
    double Q-learning  r + gamma Q2(s', argmax_b Q1(s', b))      for Q1, or the other way around    -> Q*

After a terminal state an episode begins from the start, and so it does after `mdp.horizon` steps, which the target
does not see: like a time limit it cuts, and the value of the next state is taken.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrl_up import ops
from jaxrl_up.tabular.finite_mdp import MDP
from jaxrl_up.tabular.step_sizes import Schedule, StepSize, as_schedule, as_step_size, first_table
from jaxrl_up.tabular.trajectories import draw
from jaxrl_up.types import Array, Key, PyTree


class Learned(NamedTuple):
    """What was learned in N steps, and the steps; `episode_lengths` and `episode_returns` make curves of them."""

    q_values: Array
    """Q `[S, A]`, the mean of both in double Q-learning; 0 in terminal states"""
    visits: Array
    """how often each action was taken, int32 `[S, A]`"""
    states: Array
    """int32 `[N]`"""
    actions: Array
    """int32 `[N]`"""
    rewards: Array
    """`[N]`"""
    next_states: Array
    """where the step led to, before a new episode begins, int32 `[N]`"""
    ended: Array
    """bool `[N]`: the episode ended with this step, in a terminal state or by the horizon"""


class Step(NamedTuple):
    """A step as a target reads it, all `[]`."""

    state: Array
    action: Array
    reward: Array
    discount: Array
    """gamma (1 - terminated)"""
    next_state: Array
    next_action: Array
    """what SARSA takes next; of others not read"""
    epsilon: Array
    """of the next action"""


def sarsa(
    mdp: MDP, key: Key, steps: int, *, step_size: StepSize = 0.1, epsilon: Schedule = 0.1, initial: Any = 0.0
) -> Learned:
    """Q(s, a) <- Q(s, a) + alpha (r + gamma Q(s', a') - Q(s, a)), with a' chosen before the update, and then taken.

    Reference: Sutton & Barto 2018, the box of section 6.4, eq. 6.7.

    Args:
      mdp: sampled, one transition a step.
      key: one key.
      steps: how many steps, over as many episodes as fit.
      step_size: alpha in [0, 1], or a function of (step, visits of this state and action), as `robbins_monro()`.
      epsilon: probability of any action, in [0, 1], or a function of the step; equal actions are tied at random.
      initial: Q to begin with, a number or `[S, A]`: optimistic if above what can be had.

    Raises:
      ValueError: fewer than one step, a number outside [0, 1], or an initial table of another shape.
    """
    return learn(mdp, key, steps, _sarsa_target, step_size, epsilon, initial, on_policy=True)


def expected_sarsa(
    mdp: MDP, key: Key, steps: int, *, step_size: StepSize = 0.1, epsilon: Schedule = 0.1, initial: Any = 0.0
) -> Learned:
    """Q(s, a) <- Q(s, a) + alpha (r + gamma sum_b pi(b | s') Q(s', b) - Q(s, a)), pi epsilon-greedy in Q.

    Reference: Sutton & Barto 2018, section 6.6, eq. 6.9. Arguments and errors are those of `sarsa`.
    """
    return learn(mdp, key, steps, _expected_sarsa_target, step_size, epsilon, initial)


def q_learning(
    mdp: MDP, key: Key, steps: int, *, step_size: StepSize = 0.1, epsilon: Schedule = 0.1, initial: Any = 0.0
) -> Learned:
    """Q(s, a) <- Q(s, a) + alpha (r + gamma max_b Q(s', b) - Q(s, a)).

    Reference: Sutton & Barto 2018, the box of section 6.5, eq. 6.8; Watkins 1989. Arguments and errors are those of
    `sarsa`.

    >>> from jaxrl_up import tabular
    >>> loop = tabular.mdp([[[1.0]]], reward=[1.0], discount=0.5)  # Q* = 1 / (1 - 0.5)
    >>> q_learning(loop, jax.random.key(0), 100, step_size=1.0).q_values.tolist()
    [[2.0]]
    """
    return learn(mdp, key, steps, q_learning_target, step_size, epsilon, initial)


def double_q_learning(
    mdp: MDP, key: Key, steps: int, *, step_size: StepSize = 0.1, epsilon: Schedule = 0.1, initial: Any = 0.0
) -> Learned:
    """Q1(s, a) <- Q1(s, a) + alpha (r + gamma Q2(s', argmax_b Q1(s', b)) - Q1(s, a)), or with 1 and 2 exchanged.

    A fair coin says which; actions are epsilon-greedy in Q1 + Q2. Of equal actions argmax is the first. Visits, where a
    step size asks for them, are those of each table. Reference: Sutton & Barto 2018, the box of section 6.7, eq. 6.10;
    van Hasselt 2010. Arguments and errors are those of `sarsa`.
    """
    return learn(mdp, key, steps, _double_q_target, step_size, epsilon, initial, tables=2)


# -- targets ---------------------------------------------------------------------------------------

Target = Callable[[Array, Array, Step], Array]  # of Q [K, S, A], which of the K tables is updated, and the step


def _sarsa_target(q_values: Array, table: Array, step: Step) -> Array:
    return ops.td_target(step.reward, step.discount, q_values[table, step.next_state, step.next_action])


def _expected_sarsa_target(q_values: Array, table: Array, step: Step) -> Array:
    ahead = q_values[table, step.next_state]
    return ops.expected_sarsa_target(step.reward, step.discount, ahead, ops.EpsilonGreedy(ahead, step.epsilon).probs())


def q_learning_target(q_values: Array, table: Array, step: Step) -> Array:
    """r + gamma max_b Q(s', b), `[]`."""
    return ops.q_learning_target(step.reward, step.discount, q_values[table, step.next_state])


def _double_q_target(q_values: Array, table: Array, step: Step) -> Array:
    other, own = q_values[1 - table, step.next_state], q_values[table, step.next_state]
    return ops.double_q_target(step.reward, step.discount, other, own)


# -- the loop --------------------------------------------------------------------------------------


def learn(
    mdp: MDP,
    key: Key,
    steps: int,
    target: Target,
    step_size: StepSize,
    epsilon: Schedule,
    initial: Any,
    *,
    tables: int = 1,
    on_policy: bool = False,
    direct: bool = True,
    plan: Callable[[Key, Array, PyTree, Step, Callable[[Array, Array], Array]], tuple[Array, PyTree]] | None = None,
    model: PyTree = (),
) -> Learned:
    """The loop that all share: act, see what comes, move one entry towards the target if `direct`, then plan.

    The key is split in three, for the first state, the first action, and the steps; that of a step in six, for the next
    state, the state that an episode begins with, the action of SARSA, that of others, the coin, and planning.
    """
    if steps < 1:
        raise ValueError(f"steps={steps} must be at least 1")
    dtype, shape = mdp.transition.dtype, (mdp.states, mdp.actions)
    size, explore = as_step_size(step_size, dtype), as_schedule(epsilon, dtype, "epsilon")

    def act(key: Key, q_values: Array, state: Array, epsilon: Array) -> Array:
        return ops.EpsilonGreedy(jnp.sum(q_values, axis=0)[state], epsilon).sample(key)

    def step(carry: tuple, given: tuple[Array, Key]) -> tuple[tuple, tuple[Array, ...]]:
        q_values, visits, model, state, action, age = carry
        time, key = given
        move_key, start_key, next_key, action_key, coin_key, plan_key = jax.random.split(key, 6)
        there = draw(move_key, mdp.transition[state, action])
        reward = mdp.reward[(state, action, there)[: mdp.reward.ndim]]
        ended = mdp.terminal[there]
        discount = jnp.where(ended, 0, mdp.discount)
        ended = ended if mdp.horizon is None else ended | (age + 1 >= mdp.horizon)
        epsilon = explore(time + 1)
        next_action = act(next_key, q_values, there, epsilon) if on_policy else action
        taken = Step(state, action, reward, discount, there, next_action, epsilon)

        table = jax.random.bernoulli(coin_key).astype(jnp.int32) if tables == 2 else jnp.int32(0)
        entry = (table, state, action)
        visits = visits.at[entry].add(1)
        error = target(q_values, table, taken) - q_values[entry]
        if direct:
            q_values = q_values.at[entry].add(size(time, visits[entry]) * error)
        if plan is not None:
            q_values, model = plan(plan_key, q_values, model, taken, lambda s, a: size(time, visits[0, s, a]))

        here = jnp.where(ended, draw(start_key, mdp.start), there)
        chosen = act(action_key, q_values, here, epsilon)
        chosen = jnp.where(ended, chosen, next_action) if on_policy else chosen
        row = (state, action, reward, there, ended)
        return (q_values, visits, model, here, chosen, jnp.where(ended, 0, age + 1)), row

    start_key, action_key, walk_key = jax.random.split(key, 3)
    q_values = jnp.broadcast_to(first_table(mdp, initial, shape), (tables, *shape))
    state = draw(start_key, mdp.start)
    action = act(action_key, q_values, state, explore(jnp.int32(0)))
    visits = jnp.zeros((tables, *shape), jnp.int32)
    first = (q_values, visits, model, state, action, jnp.int32(0))
    times = jnp.arange(steps, dtype=jnp.int32)
    (q_values, visits, *_), rows = jax.lax.scan(step, first, (times, jax.random.split(walk_key, steps)))
    return Learned(jnp.mean(q_values, axis=0), jnp.sum(visits, axis=0), *rows)
