"""The variances that exercise 6.3 is marked by are those of `tabular.policy_gradients`."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_up import tabular
from jaxrl_up.cli import exercises
from jaxrl_up.tabular import policy_gradients


@pytest.mark.parametrize(("phi", "fit"), [("reward_to_go", False), ("gae", True)])
def test_variances_are_those_of_the_finite_mdp(phi, fit):
    check, logits, gamma, lam = exercises.check_of(exercises.find("6.3")), (0.0, 1.0), 0.9, 0.5
    steps = check.STEPS
    onwards = np.repeat(np.eye(steps + 1)[[*range(1, steps + 1), steps]][:, None], 2, axis=1)  # a state for each step
    rewards = np.tile([1.0, 2.0], (steps + 1, 1))
    game = tabular.mdp(onwards, rewards, discount=gamma, start=0, terminal=[steps])
    params, every = jnp.tile(jnp.array(logits), (steps + 1, 1)), tabular.all_trajectories(game, steps)
    policy_of = policy_gradients.softmax_policy
    weights = policy_gradients.weights(game, policy_of(params), every, phi, gae_lambda=lam, discounted_states=False)
    moments = policy_gradients.gradient_moments(game, policy_of, params, every, weights)
    found = check.variance(*check.estimates(logits, gamma, lam, fit))
    np.testing.assert_allclose(found * steps**2, moments.variance, rtol=1e-4)  # the surrogate is a mean over steps
