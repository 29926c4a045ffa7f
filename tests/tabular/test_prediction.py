"""Values of a policy from its episodes: numbers by hand, loops after the boxes of the book, and relations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_up import ops, tabular

STATES, GAMMA, LAMBDA = 5, 0.9, 0.7
CONSTANT, BY_VISITS = 0.3, tabular.robbins_monro(0.8)
SIZES = {"constant": (CONSTANT, lambda step, visits: CONSTANT), "by visits": (BY_VISITS, lambda step, n: n**-0.8)}
SIZES["by step"] = (lambda step, visits: 1 / (2 + step), lambda step, n: 1 / (2 + step))
FROM = np.linspace(-1, 1, STATES)  # values to begin with


@pytest.fixture(scope="module")
def mdp():
    """Five states, the last terminal, rewards r(s, a, s')."""
    rng = np.random.default_rng(0)
    rewards = rng.normal(size=(STATES, 2, STATES))
    return tabular.mdp(rng.dirichlet(np.ones(STATES), size=(STATES, 2)), rewards, discount=GAMMA, terminal=[STATES - 1])


@pytest.fixture(scope="module")
def trajectories(mdp):
    """Eight episodes of at most seven steps, of which some end, and some are cut."""
    drawn = tabular.sample_trajectories(mdp, tabular.uniform_policy(mdp), jax.random.key(3), 8, 7)
    ended = np.asarray(mdp.terminal)[np.asarray(drawn.states[-1])]
    assert ended.any() and not ended.all()
    return drawn


@pytest.fixture(scope="module")
def ended():
    """A random walk and three episodes of it, to either end, one state visited again and again."""
    walk = tabular.random_walk(discount=GAMMA)
    return walk, tabular.as_trajectories(walk, [[3, 2, 3, 4, 3, 4, 5, 6], [3, 2, 1, 0], [3, 4, 3, 4, 5, 6]])


def episodes(mdp, trajectories):
    """(states s_0, ..., s_T, rewards, whether it ended) of each episode, in Python."""
    for n in range(trajectories.actions.shape[1]):
        steps = int(np.sum(trajectories.taken[:, n]))
        states = [int(s) for s in trajectories.states[: steps + 1, n]]
        yield states, [float(r) for r in trajectories.rewards[:steps, n]], bool(mdp.terminal[states[-1]])


def naive_monte_carlo(mdp, trajectories, first_visit, size):
    values, visits, step, history = np.where(mdp.terminal, 0, FROM), np.zeros(STATES), 0, []
    for states, rewards, _ in episodes(mdp, trajectories):
        for t in range(len(rewards)):
            if first_visit and states[t] in states[:t]:
                continue
            visits[states[t]] += 1
            total = sum(GAMMA ** (k - t) * rewards[k] for k in range(t, len(rewards)))
            values[states[t]] += size(step, visits[states[t]]) * (total - values[states[t]])
            step += 1
        history.append(values.copy())
    return history, visits


def naive_td(mdp, trajectories, n, size):
    """The box of section 7.1, word for word: time runs on past the end, until the last state is updated."""
    values, visits, step, history = np.where(mdp.terminal, 0, FROM), np.zeros(STATES), 0, []
    for states, rewards, over in episodes(mdp, trajectories):
        end = len(rewards)
        for t in range(end + n - 1):
            tau = t - n + 1
            if tau < 0:
                continue
            until = min(tau + n, end)
            total = sum(GAMMA ** (i - tau) * rewards[i] for i in range(tau, until))
            if until < end or not over:
                total += GAMMA ** (until - tau) * values[states[until]]
            if tau < end:
                visits[states[tau]] += 1
                values[states[tau]] += size(step, visits[states[tau]]) * (total - values[states[tau]])
                step += 1
        history.append(values.copy())
    return history, visits


def naive_td_lambda(mdp, trajectories, trace_decay, replacing, online, size):
    values, visits, step, history = np.where(mdp.terminal, 0, FROM), np.zeros(STATES), 0, []
    for states, rewards, over in episodes(mdp, trajectories):
        traces, used = dict.fromkeys(range(STATES), 0.0), values if online else values.copy()
        for t, reward in enumerate(rewards):
            last = over and t == len(rewards) - 1
            error = reward + (0 if last else GAMMA * used[states[t + 1]]) - used[states[t]]
            traces = {s: GAMMA * trace_decay * trace for s, trace in traces.items()}
            traces[states[t]] = 1.0 if replacing else traces[states[t]] + 1
            visits[states[t]] += 1
            for s, trace in traces.items():
                if trace:
                    values[s] += size(step, visits[s]) * error * trace
            step += 1
        history.append(values.copy())
    return history, visits


def agree(found, history, visits):
    np.testing.assert_allclose(found.history, history, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(found.values, found.history[-1])
    np.testing.assert_array_equal(found.visits, visits)


# -- as loops say ----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("first_visit", [True, False])
def test_monte_carlo_as_a_loop(mdp, trajectories, first_visit, size):
    ours, naive = SIZES[size]
    found = tabular.monte_carlo(mdp, trajectories, first_visit=first_visit, step_size=ours, initial=FROM)
    agree(found, *naive_monte_carlo(mdp, trajectories, first_visit, naive))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("n", [1, 3, 20])
def test_td_as_the_box(mdp, trajectories, n, size):
    ours, naive = SIZES[size]
    found = tabular.td(mdp, trajectories, n=n, step_size=ours, initial=FROM)
    agree(found, *naive_td(mdp, trajectories, n, naive))


@pytest.mark.parametrize(("replacing", "online", "size"), [
    (False, True, "constant"), (True, True, "by visits"), (False, False, "by step"), (True, False, "constant"),
])  # fmt: skip
def test_td_lambda_as_a_loop(mdp, trajectories, replacing, online, size):
    ours, naive = SIZES[size]
    found = tabular.td_lambda(
        mdp, trajectories, LAMBDA, step_size=ours, initial=FROM, replacing=replacing, online=online
    )
    agree(found, *naive_td_lambda(mdp, trajectories, LAMBDA, replacing, online, naive))


# -- by hand ---------------------------------------------------------------------------------------


def test_the_first_episode_of_the_random_walk():
    """Sutton & Barto 2018, exercise 6.3: from 0.5 on, an episode that ends at the left changes V(A) only, to 0.45."""
    walk = tabular.random_walk()
    found = tabular.td(walk, tabular.as_trajectories(walk, [[3, 2, 1, 0]]), step_size=0.1, initial=0.5)
    np.testing.assert_allclose(found.history, [[0, 0.45, 0.5, 0.5, 0.5, 0.5, 0]], rtol=1e-6)


def test_first_and_every_visit_of_a_loop():
    """Sutton & Barto 2018, exercise 5.5: nine times in place with reward 1, then the end: 10, and the mean 5.5."""
    stay = tabular.mdp([[[0.9, 0.1]], [[0, 1]]], reward=np.ones((2, 1, 2)), discount=1.0, start=0, terminal=[1])
    once = tabular.as_trajectories(stay, [[0] * 10 + [1]])
    assert tabular.monte_carlo(stay, once).values.tolist() == [10.0, 0.0]
    assert tabular.monte_carlo(stay, once, first_visit=False).values.tolist() == [5.5, 0.0]


def test_replacing_traces_do_not_pass_one():
    """Of a state visited twice the trace is 1 + gamma lambda, or 1: two steps in place, of errors 1 and 1 + V / 2."""
    stay = tabular.mdp([[[1.0]]], reward=[1.0], discount=0.5)
    twice = tabular.as_trajectories(stay, [[0, 0, 0]])
    first, second = 0.5, 1 + 0.5 * 0.5 - 0.5  # V after the first error, and the second
    found = [tabular.td_lambda(stay, twice, 0.5, step_size=0.5, replacing=x).values.item() for x in (False, True)]
    assert found == [first + 0.5 * second * 1.25, first + 0.5 * second]


def test_the_route_to_san_diego():
    """One day from San Francisco, 1 + 6 + 6 hours in the jam; three that enter in San José, 8 hours each.

    Monte Carlo: 13 hours from San Francisco, (12 + 3 x 8) / 4 = 9 from San José. The most likely model of the four
    days has the jam once in four: 1/4 (6 + 6) + 3/4 x 8 = 9 from San José, so 1 + 9 = 10 from San Francisco.
    """
    route, days = tabular.route(), tabular.route_days()
    truth = tabular.v_pi(route, tabular.uniform_policy(route))
    np.testing.assert_allclose(truth, [-10, -9, -6, 0], rtol=1e-6)
    np.testing.assert_allclose(tabular.batch_td(route, days).values, [-10, -9, -6, 0], rtol=1e-6)
    np.testing.assert_allclose(tabular.batch_monte_carlo(route, days).values, [-13, -9, -6, 0], rtol=1e-6)
    np.testing.assert_allclose(tabular.monte_carlo(route, days).values, [-13, -9, -6, 0], rtol=1e-6)
    assert tabular.td(route, days, step_size=1.0).history[:, 0].tolist() == [-1.0] * 4  # and no day to learn more


def test_you_are_the_predictor():
    """Sutton & Barto 2018, example 6.4: V(B) = 6 / 8; V(A) is that too, or 0, the one return that followed it."""
    predictor, episodes = tabular.predictor(), tabular.predictor_episodes()
    np.testing.assert_allclose(tabular.v_pi(predictor, tabular.uniform_policy(predictor)), [0.75, 0.75, 0, 0])
    np.testing.assert_allclose(tabular.batch_td(predictor, episodes).values, [0.75, 0.75, 0, 0], rtol=1e-6)
    np.testing.assert_allclose(tabular.batch_monte_carlo(predictor, episodes).values, [0, 0.75, 0, 0], rtol=1e-6)


def test_true_values_of_random_walks():
    walk = tabular.random_walk()
    np.testing.assert_allclose(tabular.v_pi(walk, tabular.uniform_policy(walk)), [0, *np.arange(1, 6) / 6, 0], 1e-5)
    walk = tabular.random_walk(19, left=-1.0)
    truth = [0, *np.arange(-18, 20, 2) / 20, 0]
    np.testing.assert_allclose(tabular.v_pi(walk, tabular.uniform_policy(walk)), truth, 1e-5, 1e-5)


# -- relations -------------------------------------------------------------------------------------


def test_td_lambda_of_0_is_td(mdp, trajectories):
    for size, _ in SIZES.values():
        one, other = (f(mdp, trajectories, step_size=size) for f in (
            tabular.td, lambda *given, **named: tabular.td_lambda(*given, 0.0, **named)))  # fmt: skip
        np.testing.assert_allclose(one.history, other.history, rtol=1e-5, atol=1e-6)


def test_many_steps_are_monte_carlo(ended):
    one = tabular.td(*ended, n=7, step_size=CONSTANT, initial=0.5)
    other = tabular.monte_carlo(*ended, first_visit=False, step_size=CONSTANT, initial=0.5)
    np.testing.assert_allclose(one.history, other.history, rtol=1e-6)
    fewer = tabular.td(*ended, n=6, step_size=CONSTANT, initial=0.5)
    assert np.abs(fewer.values - one.values).max() > 1e-3


@pytest.mark.parametrize("trace_decay", [0.0, LAMBDA, 1.0])
def test_offline_the_backward_view_is_the_forward_view(ended, trace_decay):
    """Each episode moves V(s) by alpha times the sum over visits of lambda-return - V(s), V held fixed.

    With lambda = 1 these are the returns: the changes of every-visit Monte Carlo, added up.
    """
    walk, drawn = ended
    values = np.where(walk.terminal, 0, np.linspace(0, 1, walk.states)).astype(np.float32)
    found = tabular.td_lambda(walk, drawn, trace_decay, step_size=CONSTANT, initial=values, online=False)
    for n in range(3):
        one = jax.tree.map(lambda x, n=n: x[:, n], drawn)
        targets = ops.lambda_returns(one.rewards, one.discount, trace_decay * one.going, values[one.states[1:]])
        if trace_decay == 1.0:
            np.testing.assert_allclose(targets, ops.discounted_returns(one.rewards, one.discount, one.going), 1e-6)
        change = np.zeros(walk.states)
        np.add.at(change, np.asarray(one.states[:-1]), CONSTANT * one.taken * (targets - values[one.states[:-1]]))
        values = values + change
        np.testing.assert_allclose(found.history[n], values, rtol=1e-5, atol=1e-6)


def test_batches_agree_with_the_most_likely_model_and_with_mean_returns(mdp, trajectories):
    number, paid, returns = np.zeros((STATES, STATES)), np.zeros(STATES), [[] for _ in range(STATES)]
    for states, rewards, _ in episodes(mdp, trajectories):
        for t, reward in enumerate(rewards):
            number[states[t], states[t + 1]] += 1
            paid[states[t]] += reward
            returns[states[t]].append(sum(GAMMA ** (k - t) * rewards[k] for k in range(t, len(rewards))))
    visits = number.sum(1)
    assert (visits[:-1] > 0).all() and visits[-1] == 0
    model = number / np.maximum(visits, 1)[:, None] * ~np.asarray(mdp.terminal)
    certain = np.linalg.solve(np.eye(STATES) - GAMMA * model, paid / np.maximum(visits, 1))
    for alpha in (1.0, 0.5):
        found = tabular.batch_td(mdp, trajectories, step_size=alpha, initial=FROM)
        np.testing.assert_allclose(found.values, certain, rtol=1e-4, atol=1e-5)
        found = tabular.batch_monte_carlo(mdp, trajectories, step_size=alpha, initial=FROM)
        np.testing.assert_allclose(found.values, [np.mean(x) if x else 0 for x in returns], rtol=1e-4, atol=1e-5)


def test_batches_stop_where_told_and_leave_alone_what_was_not_visited():
    route, days = tabular.route(), tabular.as_trajectories(tabular.route(), [[1, 3], [1, 2, 3]])
    assert tabular.batch_td(route, days, initial=5.0).values.tolist() == [5.0, -10.0, -6.0, 0.0]
    found = tabular.batch_td(route, days, max_sweeps=1)
    assert (found.sweeps, found.values.tolist(), found.change) == (1, [0.0, -7.0, -6.0, 0.0], 7.0)
    assert tabular.batch_td(route, days, tolerance=6.5).sweeps == 2  # the second sweep changes 3


def test_averages_come_to_the_values():
    """First-visit returns of the random walk are 0 or 1, independent of deviation at most 1/2: five deviations of n."""
    walk = tabular.random_walk()
    drawn = tabular.sample_trajectories(walk, tabular.uniform_policy(walk), jax.random.key(0), 2000, 200)
    assert bool(jnp.all(walk.terminal[drawn.states[-1]]))
    found = tabular.monte_carlo(walk, drawn)
    error = np.abs(found.values - tabular.v_pi(walk, tabular.uniform_policy(walk)))[1:6]
    assert (error <= 5 * 0.5 / np.sqrt(found.visits[1:6])).all()


def test_vmap_over_step_sizes_keys_and_mdps(mdp):
    policy = tabular.uniform_policy(mdp)
    other = mdp.replace(reward=-mdp.reward)
    both = jax.tree.map(lambda *x: jnp.stack(x), mdp, other)
    keys, sizes, decays = jax.random.split(jax.random.key(1), 2), jnp.array([0.1, 0.4]), jnp.array([0.3, 0.9])

    @jax.jit
    @jax.vmap
    def learned(mdp, key, size, decay):
        drawn = tabular.sample_trajectories(mdp, policy, key, 3, 6)
        return (
            tabular.monte_carlo(mdp, drawn, step_size=size).values, tabular.td(mdp, drawn, n=2, step_size=size).values,
            tabular.td_lambda(mdp, drawn, decay, step_size=size).values, tabular.batch_td(mdp, drawn).values,
        )  # fmt: skip

    found = learned(both, keys, sizes, decays)
    for i, one in enumerate((mdp, other)):
        drawn = tabular.sample_trajectories(one, policy, keys[i], 3, 6)
        size, decay = float(sizes[i]), float(decays[i])
        np.testing.assert_allclose(found[0][i], tabular.monte_carlo(one, drawn, step_size=size).values, 1e-5, 1e-6)
        np.testing.assert_allclose(found[1][i], tabular.td(one, drawn, n=2, step_size=size).values, 1e-5, 1e-6)
        np.testing.assert_allclose(found[2][i], tabular.td_lambda(one, drawn, decay, step_size=size).values, 1e-5, 1e-6)
        np.testing.assert_allclose(found[3][i], tabular.batch_td(one, drawn).values, 1e-4, 1e-5)


def test_in_double_precision():
    with jax.enable_x64(True):
        walk = tabular.random_walk(discount=0.9)
        drawn = tabular.as_trajectories(walk, [[3, 2, 3, 4, 5, 6], [3, 2, 1, 0]])
        found = [
            tabular.monte_carlo(walk, drawn), tabular.td(walk, drawn, n=2, step_size=tabular.robbins_monro(0.8)),
            tabular.td_lambda(walk, drawn, 0.5), tabular.batch_td(walk, drawn), tabular.batch_monte_carlo(walk, drawn),
        ]  # fmt: skip
        assert {x.values.dtype for x in found} == {np.dtype(np.float64)}
        assert found[0].values[3] == pytest.approx(0.9**4 / 2, rel=1e-15)


# -- what is wrong ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("call", "message"), [
    (lambda walk, one: tabular.td(walk, one, n=0), "n=0 must be at least 1"),
    (lambda walk, one: tabular.td(walk, one, step_size=1.5), r"step_size=1.5 is one number in \[0, 1\]"),
    (lambda walk, one: tabular.td(walk, one, step_size=np.ones(2)), "vmap over many"),
    (lambda walk, one: tabular.td(walk, one, initial=np.ones(3)), r"a number or a table \[7\], got shape \[3\]"),
    (lambda walk, one: tabular.td_lambda(walk, one, 1.1), r"trace_decay=1.1 is lambda, in \[0, 1\]"),
    (lambda walk, one: tabular.robbins_monro(0.5), r"power=0.5 must be in \(0.5, 1\]"),
    (lambda walk, one: tabular.as_trajectories(walk, []), "at least one episode"),
    (lambda walk, one: tabular.as_trajectories(walk, [[3]]), "episode 0 has 1 states and 0 actions"),
    (lambda walk, one: tabular.as_trajectories(walk, [[3, 7]]), "states go from 0 to 6"),
    (lambda walk, one: tabular.as_trajectories(walk, [[3, 4]], [[1]]), "actions to 0"),
    (lambda walk, one: tabular.as_trajectories(walk, [[1, 0, 1]]), "goes on after a terminal state"),
    (lambda walk, one: tabular.as_trajectories(walk, [[3, 4], [3, 4, 5]]), "episode 0 is shorter than the longest"),
    (lambda walk, one: tabular.random_walk(4), "states=4 must be odd"),
    (lambda walk, one: tabular.maximization_bias(3), "actions=3 must be even"),
])  # fmt: skip
def test_mistakes_are_named(call, message):
    walk = tabular.random_walk()
    with pytest.raises(ValueError, match=message):
        call(walk, tabular.as_trajectories(walk, [[3, 2, 1, 0]]))
