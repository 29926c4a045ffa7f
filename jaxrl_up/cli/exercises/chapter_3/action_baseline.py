"""Exercise 3.2: a baseline that depends on the action.

A baseline takes variance from the policy gradient, and takes nothing from its mean as long as it is a function of the
state alone, since E_a[grad log pi(a) b] = b grad sum_a pi(a) = 0. Somebody has a critic b(a) that knows the reward of
each action, and subtracts that. The estimator below has a small variance, and the wrong mean.

The bandit has one state and A actions, and the policy is softmax(logits). For the action that was drawn,

    g = grad log pi(a) (r - b(a)),    and    E_a[g] = grad J - E_a[grad log pi(a) b(a)],

where the last term is not 0. It can be computed: the policy and b are known for all actions, drawn or not. Mend the
estimator so that its mean is the gradient of J = sum_a pi(a) r(a) for every b, and keep the baseline: with a good b the
variance must be smaller than without any.
"""

import jax
import jax.numpy as jnp


def estimate(logits, action, reward, baseline):
    """An unbiased estimate of grad J with respect to the logits, `[A]`.

    Args:
      logits: `[A]`; pi = softmax(logits).
      action: the action that was drawn, an integer.
      reward: r, the reward it had, a number.
      baseline: b(a) of every action, `[A]`.
    """
    ### BEGIN SOLUTION
    ### TASK
    # policy = jax.nn.softmax(logits)
    # score = jax.nn.one_hot(action, len(logits)) - policy  # grad log pi(action)
    # return score * (reward - baseline[action])

    policy = jax.nn.softmax(logits)
    score = jax.nn.one_hot(action, len(logits)) - policy  # grad log pi(action)
    correction = policy * (baseline - jnp.sum(policy * baseline))  # sum_a pi(a) grad log pi(a) b(a)
    return score * (reward - baseline[action]) + correction
    ### END SOLUTION
