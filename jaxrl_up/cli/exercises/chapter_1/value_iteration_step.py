"""Exercise 1.5: a step of value iteration.

With the maximum over actions in the place of the policy, the backup goes towards the values of the best policy,

    Q(s, a) = r(s, a) + gamma sum_s' P(s' | s, a) V(s'),    (T* V)(s) = max_a Q(s, a),

and the actions where the maximum is reached are the greedy policy. A step of value iteration replaces V by T* V, for
all states at once: every state looks at the old V.
"""

import jax.numpy as jnp


def step(values, transition, reward, discount):
    """(T* V `[S]`, greedy actions `[S]` of integers, the first of equals).

    Args:
      values: V(s), `[S]`.
      transition: P(s' | s, a), `[S, A, S]`, with s' last. No state is terminal.
      reward: r(s, a), `[S, A]`.
      discount: gamma, a number.
    """
    ### BEGIN SOLUTION
    q_values = reward + discount * (transition @ values)
    return jnp.max(q_values, axis=1), jnp.argmax(q_values, axis=1)
    ### END SOLUTION
