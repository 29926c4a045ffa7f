"""Exercise 1.4: the Bellman backup of a policy.

The value of a policy obeys V(s) = sum_a pi(a | s) [r(s, a) + gamma sum_s' P(s' | s, a) V(s')]. Read as an assignment it
is the backup T^pi: put any V into the right side, and get a V that is nearer to the policy's,

    (T^pi V)(s) = sum_a pi(a | s) [r(s, a) + gamma sum_s' P(s' | s, a) V(s')].

A terminal state pays nothing any more. So the backup of a terminal s is 0, and where s' is terminal, V(s') counts as 0
whatever the array holds there.
"""

import jax.numpy as jnp


def backup(values, policy, transition, reward, discount, terminal):
    """T^pi V, `[S]`.

    Args:
      values: V(s), `[S]`.
      policy: pi(a | s), `[S, A]`.
      transition: P(s' | s, a), `[S, A, S]`, with s' last.
      reward: r(s, a), `[S, A]`.
      discount: gamma, a number.
      terminal: bool `[S]`.
    """
    ### BEGIN SOLUTION
    alive = 1.0 - terminal
    next_values = transition @ (alive * values)
    q_values = reward + discount * next_values
    return alive * jnp.sum(policy * q_values, axis=1)
    ### END SOLUTION
