"""Trajectories: their probabilities by hand, all of them against a recursion, samples against both."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_up import ops, tabular

# 0 goes to 0 or 1 (action 0), or ends in 2 (action 1); 1 ends in 2 either way
TRANSITION = [[[0.25, 0.75, 0.0], [0.0, 0.0, 1.0]], [[0.0, 0.0, 1.0]] * 2, [[0.0, 0.0, 1.0]] * 2]
KEY = jax.random.key(0)
POLICY = np.array([[0.4, 0.6], [0.5, 0.5], [1.0, 0.0]])


def small(**changes):
    return tabular.mdp(**{
        "transition": TRANSITION, "reward": [[1.0, 2.0], [4.0, 8.0], [0.0, 0.0]], "discount": 0.5, "terminal": [2],
        "start": 0, "horizon": 2,
    } | changes)  # fmt: skip


def by_recursion(mdp, policy, steps):
    """{(states, actions) up to the end: (probability, return)}."""
    result = {}

    def go(states, actions, probability, total):
        here = states[-1]
        if len(actions) == steps or mdp.terminal[here]:
            result[states, actions] = probability, total
            return
        for a in range(mdp.actions):
            for there in range(mdp.states):
                p = float(policy[here][a] * mdp.transition[here, a, there])
                reward = float(mdp.discount) ** len(actions) * float(mdp.reward_table[here, a, there])
                if float(mdp.transition[here, a, there]) > 0:
                    go((*states, there), (*actions, a), probability * p, total + reward)

    for s in np.flatnonzero(mdp.start):
        go((int(s),), (), float(mdp.start[s]), 0.0)
    return result


def by_name(trajectories):
    """{(states, actions) up to the end: index}."""
    taken = np.asarray(trajectories.taken).sum(axis=0).astype(int)
    states, actions = np.asarray(trajectories.states).T.tolist(), np.asarray(trajectories.actions).T.tolist()
    return {(tuple(states[n][: k + 1]), tuple(actions[n][:k])): n for n, k in enumerate(taken)}


def test_probabilities_and_returns_by_hand():
    found = tabular.all_trajectories(small())
    probability = jnp.exp(tabular.trajectory_log_prob(small(), POLICY, found))
    where = by_name(found)
    np.testing.assert_allclose(probability[where[(0, 2), (1,)]], 0.6)
    np.testing.assert_allclose(probability[where[(0, 1, 2), (0, 1)]], 0.4 * 0.75 * 0.5)
    np.testing.assert_allclose(found.returns[where[(0, 2), (1,)]], 2.0)
    np.testing.assert_allclose(found.returns[where[(0, 1, 2), (0, 1)]], 1.0 + 0.5 * 8.0)
    np.testing.assert_allclose(found.discount[:, where[(0, 1, 2), (0, 1)]], [0.5, 0.0])
    np.testing.assert_allclose(found.taken[:, where[(0, 2), (1,)]], [1.0, 0.0])


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_all_are_those_of_a_recursion(steps):
    mdp = small(start=[0.5, 0.5, 0.0], horizon=None)
    expected, found = by_recursion(mdp, POLICY, steps), tabular.all_trajectories(mdp, steps)
    where = by_name(found)
    assert where.keys() == expected.keys() and len(where) == found.states.shape[1]
    probability = np.exp(tabular.trajectory_log_prob(mdp, POLICY, found))
    order = [where[name] for name in expected]
    np.testing.assert_allclose(probability[order], [p for p, _ in expected.values()], rtol=1e-5)
    np.testing.assert_allclose(found.returns[jnp.array(order)], [r for _, r in expected.values()], rtol=1e-6)
    np.testing.assert_allclose(probability.sum(), 1.0, rtol=1e-6)


def test_their_mean_return_is_the_expected_one():
    mdp = small(horizon=5)
    found = tabular.all_trajectories(mdp)
    probability = jnp.exp(tabular.trajectory_log_prob(mdp, POLICY, found))
    np.testing.assert_allclose(jnp.sum(probability * found.returns), tabular.expected_return(mdp, POLICY), rtol=1e-6)


def test_log_probability_has_the_gradient_of_the_policy_alone():
    """grad log P(tau | pi) = sum_t grad log pi(a_t | s_t): dynamics drop out."""
    mdp, logits = small(), jnp.log(POLICY.clip(1e-3))
    found = tabular.all_trajectories(mdp)

    def of(logits):
        return tabular.trajectory_log_prob(mdp, jax.nn.softmax(logits), found)

    def by_hand(logits):
        chosen = jax.nn.log_softmax(logits)[found.states[:-1], found.actions]
        return jnp.sum(found.taken * chosen, axis=0)

    np.testing.assert_allclose(jax.jacobian(of)(logits), jax.jacobian(by_hand)(logits), atol=1e-6)


def test_what_cannot_happen_has_no_probability_and_no_gradient():
    mdp = small()
    found = tabular.all_trajectories(mdp)

    def of(policy):
        return jnp.sum(jnp.exp(tabular.trajectory_log_prob(mdp, policy, found)))

    assert np.isfinite(jax.grad(of)(jnp.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]]))).all()
    sure = tabular.trajectory_log_prob(mdp, [1, 0, 0], found)
    assert np.isneginf(sure).sum() == len(sure) - 1 and np.max(sure) == 0


def test_samples_come_with_their_probabilities():
    mdp, number = small(), 20_000
    found = tabular.sample_trajectories(mdp, POLICY, jax.random.key(0), number)
    names, counts = np.unique(np.concatenate([found.states, found.actions * found.taken], axis=0), axis=1,
                              return_counts=True)  # fmt: skip
    every = tabular.all_trajectories(mdp)
    probability = np.exp(tabular.trajectory_log_prob(mdp, POLICY, every))
    columns = np.concatenate([every.states, every.actions]).T.tolist()
    expected = {tuple(column): p for column, p in zip(columns, probability, strict=True)}
    seen = {tuple(int(x) for x in column): count / number for column, count in zip(names.T, counts, strict=True)}
    assert seen.keys() == {name for name, p in expected.items() if p > 0}
    for name, frequency in seen.items():  # 5 standard errors
        assert abs(frequency - expected[name]) < 5 * np.sqrt(expected[name] * (1 - expected[name]) / number)


def test_estimators_of_ops_read_them_as_they_are():
    mdp = small(horizon=4)
    found = tabular.sample_trajectories(mdp, POLICY, jax.random.key(1), 7)
    nothing = jnp.zeros_like(found.rewards)
    to_go = ops.discounted_returns(found.rewards, found.discount, found.going, nothing)
    np.testing.assert_allclose(to_go[0], found.returns, rtol=1e-6)


def test_a_policy_in_time_acts_in_time():
    mdp = small(horizon=2)
    policy = np.stack([np.eye(2)[[0, 0, 0]], np.eye(2)[[1, 1, 1]]])
    found = tabular.sample_trajectories(mdp, policy, jax.random.key(0), 50)
    taken = np.asarray(found.taken) > 0
    assert set(np.asarray(found.actions)[0][taken[0]]) == {0} and set(np.asarray(found.actions)[1][taken[1]]) == {1}
    every = tabular.all_trajectories(mdp)
    log_prob = tabular.trajectory_log_prob(mdp, policy, every)
    np.testing.assert_allclose(jnp.sum(jnp.exp(log_prob) * every.returns), tabular.expected_return(mdp, policy))


def test_errors():
    endless = small(horizon=None)
    with pytest.raises(ValueError, match="steps=None must be at least 1: an MDP without a horizon"):
        tabular.all_trajectories(endless)
    with pytest.raises(ValueError, match="steps=0 must be at least 1"):
        tabular.sample_trajectories(endless, POLICY, jax.random.key(0), 1, 0)
    for function in (
        tabular.all_trajectories,
        lambda mdp, steps: tabular.sample_trajectories(mdp, POLICY, KEY, 1, steps),
    ):
        with pytest.raises(ValueError, match="steps=3 go beyond the horizon, 2"):
            function(small(), 3)
    with pytest.raises(ValueError, match="over 2000000 trajectories of 30 steps"):
        tabular.all_trajectories(tabular.frozen_lake(), 30)
    with pytest.raises(ValueError, match="call it outside jit"):
        jax.jit(lambda mdp: tabular.all_trajectories(mdp, 2).returns)(endless)
    with pytest.raises(ValueError, match="call it outside jit"):
        jax.jit(lambda start: tabular.all_trajectories(endless.replace(start=start), 2).returns)(endless.start)


def test_arrays_of_numpy_will_do():
    found = tabular.sample_trajectories(jax.device_get(small()), POLICY, KEY, 3)
    np.testing.assert_array_equal(found.states, tabular.sample_trajectories(small(), POLICY, KEY, 3).states)
