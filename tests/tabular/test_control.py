"""Learning to act: loops after the boxes of the book with the same draws, fixed points, and what the book shows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_up import ops, tabular

LEARNERS = {f.__name__: f for f in (
    tabular.sarsa, tabular.expected_sarsa, tabular.q_learning, tabular.double_q_learning)}  # fmt: skip
STEPS = 300
RATES = {  # (step size, epsilon) as given, and as loops take them
    "constant": ((0.25, 0.4), (lambda step, n: 0.25, lambda step: 0.4)),
    "schedules": (
        (tabular.robbins_monro(0.75), lambda step: jnp.maximum(0.2, 1 - step / 200)),
        (lambda step, n: n**-0.75, lambda step: max(0.2, 1 - step / 200)),
    ),
}
FIXED, SEEDS = dict(alpha=0.02, epsilon=0.4, steps=25_000), 20


@pytest.fixture(scope="module")
def mdp():
    """Four states, the last terminal, three actions, rewards r(s, a, s'), cut after seven steps."""
    rng = np.random.default_rng(1)
    return tabular.mdp(
        rng.dirichlet([1, 1, 1, 0.3], size=(4, 3)), rng.normal(size=(4, 3, 4)), discount=0.8, terminal=[3], horizon=7
    )


@pytest.fixture(scope="module")
def pair():
    """Three states that go on for ever, two actions, of which one is better by a lot in each state: see below."""
    transition = [[[0.6, 0.2, 0.2], [0.2, 0.6, 0.2]], [[0.6, 0.2, 0.2], [0.2, 0.2, 0.6]], [[0.2, 0.6, 0.2]] * 2]
    return tabular.mdp(transition, reward=[[1.0, 0.0], [0.0, 1.5], [0.5, -1.0]], discount=0.5)


# -- as loops say ----------------------------------------------------------------------------------


def greedy_or_not(q, epsilon):
    best = q == q.max()
    return epsilon / len(q) + (1 - epsilon) * best / best.sum()


def naive(name, mdp, key, size, epsilon):
    """The boxes of chapter 6, with the noise of the same keys: (Q, rows of states, actions, rewards, ends)."""
    transition, reward, start = (np.asarray(x) for x in (mdp.transition, mdp.reward_table, mdp.start))
    terminal, gamma, (states, actions) = np.asarray(mdp.terminal), float(mdp.discount), transition.shape[:2]

    def choose(noise, probabilities):
        with np.errstate(divide="ignore"):
            return int(np.argmax(np.log(probabilities) + noise))

    def gumbel(keys):
        return np.asarray(jax.vmap(lambda key: jax.random.gumbel(key, (actions,)))(keys))

    def draw(number, probabilities):
        return int(np.flatnonzero(np.cumsum(probabilities) > number)[0])

    def uniform(keys):
        return np.asarray(jax.vmap(jax.random.uniform)(keys))

    first_key, action_key, walk_key = jax.random.split(key, 3)
    keys = jax.vmap(lambda key: jax.random.split(key, 6))(jax.random.split(walk_key, STEPS))
    (move, begin), (ahead, after) = map(uniform, (keys[:, 0], keys[:, 1])), map(gumbel, (keys[:, 2], keys[:, 3]))
    coin = np.asarray(jax.vmap(jax.random.bernoulli)(keys[:, 4])).astype(int)

    tables = np.zeros((2, states, actions))  # the second for double Q-learning only
    visits, rows = np.zeros((2, states, actions)), []
    s = draw(uniform(first_key[None])[0], start)
    a = choose(gumbel(action_key[None])[0], greedy_or_not(tables.sum(0)[s], epsilon(0)))
    age = 0
    for t in range(STEPS):
        there = draw(move[t], transition[s, a])
        r, over = reward[s, a, there], terminal[there]
        age += 1
        ended = over or age == 7
        chosen = choose(ahead[t], greedy_or_not(tables.sum(0)[there], epsilon(t + 1)))
        i = coin[t] if name == "double_q_learning" else 0
        q, other = tables[i], tables[1 - i]
        value = {
            "sarsa": q[there, chosen],
            "expected_sarsa": greedy_or_not(q[there], epsilon(t + 1)) @ q[there],
            "q_learning": q[there].max(),
            "double_q_learning": other[there, q[there].argmax()],
        }[name]
        visits[i, s, a] += 1
        q[s, a] += size(t, visits[i, s, a]) * (r + (0 if over else gamma * value) - q[s, a])
        rows.append((s, a, r, there, ended))
        s = draw(begin[t], start) if ended else there
        fresh = choose(after[t], greedy_or_not(tables.sum(0)[s], epsilon(t + 1)))
        a = chosen if name == "sarsa" and not ended else fresh
        age = 0 if ended else age
    return tables.mean(0) if name == "double_q_learning" else tables[0], visits.sum(0), rows


@pytest.mark.thorough("schedules")
@pytest.mark.parametrize("rates", RATES)
@pytest.mark.parametrize("name", LEARNERS)
def test_as_the_box(mdp, name, rates):
    (step_size, epsilon), loops = RATES[rates]
    found = LEARNERS[name](mdp, jax.random.key(5), STEPS, step_size=step_size, epsilon=epsilon)
    q_values, visits, rows = naive(name, mdp, jax.random.key(5), *loops)
    np.testing.assert_allclose(found.q_values, q_values, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(found.visits, visits)
    for ours, theirs in zip(found[2:], zip(*rows, strict=True), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    assert found.visits.sum() == STEPS and not found.q_values[3].any()


@pytest.mark.thorough
def test_with_one_action_all_are_td():
    """They go the same way with the same key, since there is no choice; the last episode, which is cut, is left out."""
    walk, key = tabular.random_walk(discount=0.9), jax.random.key(0)
    way = tabular.q_learning(walk, key, 100)
    ends = np.flatnonzero(way.ended)
    episodes = np.split(np.asarray(way.states)[: ends[-1] + 1], ends[:-1] + 1)
    last = np.asarray(way.next_states)[ends]
    drawn = tabular.as_trajectories(walk, [[*states, end] for states, end in zip(episodes, last, strict=True)])
    values = tabular.td(walk, drawn, step_size=0.2).values
    for name in ("sarsa", "expected_sarsa", "q_learning"):  # the two tables of the fourth share the steps
        found = LEARNERS[name](walk, key, 100, step_size=lambda step, visits: 0.2 * (step <= ends[-1]))
        np.testing.assert_array_equal(found.states, way.states)
        np.testing.assert_allclose(found.q_values[:, 0], values, rtol=1e-5)


def test_expected_sarsa_without_exploration_is_q_learning(mdp):
    found = [f(mdp, jax.random.key(2), STEPS, epsilon=0.0) for f in (tabular.expected_sarsa, tabular.q_learning)]
    jax.tree.map(np.testing.assert_array_equal, *found)


# -- fixed points ----------------------------------------------------------------------------------


def tolerance(mdp, value, noise, visits):
    """How far estimates with a constant step size may be from their fixed point, as a root mean square.

    Write E for the error of Q and w for the noise of the target at the fixed point, of mean 0 and deviation sigma(s, a)
    and independent from visit to visit. Where the greedy actions are the right ones, the n-th visit does

        E(s, a) <- (1 - alpha) E(s, a) + alpha (w + gamma E(s', a')),

    with a' greedy, or drawn by the policy. So after n visits E is the sum of three:

        (1 - alpha)^n E_0
        alpha sum_k (1 - alpha)^k w_{n-k}, of variance at most alpha^2 / (1 - (1 - alpha)^2) sigma^2
        gamma alpha sum_k (1 - alpha)^k E(s', a') as it was then, of root mean square at most gamma max E

    by Minkowski. Let e be the largest root mean square of an entry. Without the first, e <= sqrt(alpha / (2 - alpha))
    sigma + gamma e, so e <= sqrt(alpha / (2 - alpha)) sigma / (1 - gamma). The first shrinks by 1 - (1 - gamma) alpha a
    visit, so of E_0 at most exp(-(1 - gamma) alpha n) is left after n visits of the least visited entry. (The times of
    visits are taken as given.) The root mean square of 20 seeds is below twice the true one but once in 10^8, where it
    is normal (chi-squared of 20 degrees over 80), whichever of the six entries.
    """
    gamma, alpha = float(mdp.discount), FIXED["alpha"]
    spread = np.sqrt(alpha / (2 - alpha)) * noise / (1 - gamma)
    left = np.exp(-(1 - gamma) * alpha * visits) * np.abs(value).max()
    assert left < 0.1 * spread
    return 2 * (spread + left)


@pytest.mark.thorough("expected_sarsa", "double_q_learning")
@pytest.mark.parametrize("name", LEARNERS)
def test_fixed_points(pair, name):
    """Both SARSAs end at Q^pi of the epsilon-greedy policy, the others at Q*; these are farther apart than they err."""
    mdp, epsilon = pair, FIXED["epsilon"]
    keys = jax.random.split(jax.random.key(7), SEEDS)
    found = jax.jit(jax.vmap(lambda key: LEARNERS[name](
        mdp, key, FIXED["steps"], step_size=FIXED["alpha"], epsilon=epsilon)))(keys)  # fmt: skip

    optimal = np.asarray(tabular.q_star(mdp))
    gap = np.abs(optimal[:, 0] - optimal[:, 1]).min()
    policy = np.asarray(ops.EpsilonGreedy(jnp.asarray(optimal), epsilon).probs())
    on_policy = np.asarray(tabular.q_pi(mdp, policy))
    fixed = on_policy if "sarsa" in name else optimal
    right = optimal.argmax(-1)
    assert (fixed.argmax(-1) == right).all() and (np.asarray(found.q_values).argmax(-1) == right).all()

    transition = np.asarray(mdp.transition)
    if name == "sarsa":  # the noise is that of s' and a'
        weights, ahead = transition[..., None] * policy, fixed
    else:
        weights, ahead = transition[..., None], (policy * fixed).sum(-1, keepdims=True)
        ahead = ahead if name == "expected_sarsa" else fixed.max(-1, keepdims=True)
    mean = (weights * ahead).sum((-1, -2))
    noise = float(mdp.discount) * np.sqrt((weights * (ahead - mean[..., None, None]) ** 2).sum((-1, -2)).max())
    tables = 2 if name == "double_q_learning" else 1
    allowed = tolerance(mdp, fixed, noise, int(found.visits.min()) // tables)

    error = np.sqrt(np.mean((np.asarray(found.q_values) - fixed) ** 2, axis=0))
    assert (error <= allowed).all()
    assert np.abs(on_policy - optimal).max() > 2 * allowed and gap > 4 * allowed


def test_averaging_q_learning_arrives():
    """With alpha = n^-0.8 the noise goes too: its variance is v_n = (1 - alpha_n)^2 v_{n-1} + alpha_n^2 times that of
    the target. Otherwise it is as in `tolerance`; here r is 1 or 0, so sigma = 1/2."""
    reward = np.broadcast_to([1.0, 0.0], (2, 1, 2))
    coin = tabular.mdp(np.full((2, 1, 2), 0.5), reward, discount=0.5)  # Q* = 1/2 / (1 - 1/2) = 1 everywhere
    keys = jax.random.split(jax.random.key(0), SEEDS)
    run = jax.jit(jax.vmap(lambda key: tabular.q_learning(coin, key, 10_000, step_size=tabular.robbins_monro(0.8))))
    found = run(keys)
    variance, least = 0.0, int(found.visits.min())
    for n in range(1, least + 1):
        variance = (1 - n**-0.8) ** 2 * variance + n**-1.6
    error = np.sqrt(np.mean((np.asarray(found.q_values) - 1.0) ** 2, axis=0))
    assert (error <= 2 * np.sqrt(variance) * 0.5 / (1 - 0.5)).all() and np.sqrt(variance) < 0.03


# -- what the book shows ---------------------------------------------------------------------------


@pytest.mark.thorough
def test_on_the_cliff_sarsa_is_safe_and_q_learning_optimal():
    """Sutton & Barto 2018, example 6.6, with alpha = 0.5: online SARSA loses less, and Q-learning knows the way.

    Its figure comes to some -25 and -50 an episode.
    """
    cliff = tabular.cliff_walking()
    edge, best = np.arange(25, 35), np.asarray(tabular.v_star(cliff))
    assert best[36] == -13 and best[24] == -12 and best[34] == -2
    keys = jax.random.split(jax.random.key(0), SEEDS)
    returns, at_edge = {}, {}
    for name in ("sarsa", "q_learning"):
        run = jax.jit(jax.vmap(lambda key, f=LEARNERS[name]: f(cliff, key, 8_000, step_size=0.5)))
        found = run(keys)
        episodes = tabular.episode_returns(found)[:, 100:200]
        assert episodes.count() == episodes.size  # every run has 200 episodes
        returns[name] = episodes.mean()
        at_edge[name] = np.isin(found.states[:, 4000:], edge).mean()
        if name == "q_learning":
            lost = jax.vmap(lambda policy: tabular.v_pi(cliff, policy)[36])(tabular.greedy(found.q_values))
            np.testing.assert_allclose(lost, -13, rtol=1e-5)
    assert returns["sarsa"] > -35 and returns["q_learning"] < -40
    assert at_edge["sarsa"] < 0.1 < 0.5 < at_edge["q_learning"]


@pytest.mark.thorough
def test_double_q_learning_has_no_maximisation_bias():
    """Sutton & Barto 2018, example 6.7 and figure 6.5: the share of episodes, of 500 runs, that go left from A.

    Q-learning goes left nearly always at first, and after 300 episodes still more often than the 5% of epsilon = 0.1;
    double Q-learning never does so much.
    """
    bias, runs, number = tabular.maximization_bias(), 500, 300
    left = {}
    for name in ("q_learning", "double_q_learning"):
        keys = jax.random.split(jax.random.key(0), runs)
        found = jax.jit(jax.vmap(lambda key, f=LEARNERS[name]: f(bias, key, 2 * number)))(keys)
        at_start = np.asarray(found.states) == 0
        went = np.asarray(found.actions) < 5
        left[name] = np.array([went[i][at_start[i]][:number] for i in range(runs)]).mean(0)
    error = 5 * np.sqrt(0.25 / runs)
    for share in left.values():
        assert abs(share[0] - 0.5) < error  # ties are broken at random
        assert share[-50:].mean() > 0.05 - error / np.sqrt(50)
    q_learning, double = left["q_learning"], left["double_q_learning"]
    assert q_learning[15:25].mean() > 0.85 and double.max() < 0.7
    assert (q_learning[5:150] > double[5:150]).all() and q_learning.mean() > 2 * double.mean()
    assert double[200:].mean() < 0.1


def test_optimism_explores_without_epsilon():
    """All of 8 states and 3 actions are tried, though nothing is random but the ties; with values of 0 they are not.

    Each try of an action lowers its value below the initial one: V* <= 1 / (1 - gamma) = 2 < 5.
    """
    step = np.zeros((8, 3, 8))
    for s in range(8):
        step[s, [0, 1, 2], [(s + 1) % 8, (s - 1) % 8, s]] = 1.0
    ring = tabular.mdp(step, np.arange(3) * np.ones((8, 1)) / 2, discount=0.5, start=0)
    found = [tabular.q_learning(ring, jax.random.key(0), 1000, epsilon=0.0, initial=x) for x in (5.0, 0.0)]
    assert (found[0].visits > 0).all() and not (found[1].visits > 0).all()
    np.testing.assert_array_equal(found[0].q_values.argmax(-1), tabular.q_star(ring).argmax(-1))
    table = tabular.q_star(ring)  # who begins with the answer has no more to learn
    found = tabular.q_learning(ring, jax.random.key(0), 100, initial=table)
    np.testing.assert_allclose(found.q_values, table, rtol=1e-6)


# -- records and programs --------------------------------------------------------------------------


def test_curves_of_episodes():
    """Two runs of six steps: episodes of 2 and 3 steps, and one that goes on; and one of 6."""
    rewards = np.array([[1, 2, 4, 8, 16, 32], [1, 1, 1, 1, 1, 1]], np.float32)
    ended = np.array([[0, 1, 0, 0, 1, 0], [0, 0, 0, 0, 0, 1]], bool)
    found = tabular.Learned(*[np.zeros(1)] * 4, rewards, np.zeros(1), ended)
    assert tabular.episode_lengths(found).tolist() == [[2, 3], [6, None]]
    assert tabular.episode_returns(found).tolist() == [[3, 28], [6, None]]
    assert tabular.episode_returns(found).mean(axis=0).tolist() == [4.5, 28.0]
    one = tabular.Learned(*(x[0] if x.ndim == 2 else x for x in found))
    assert tabular.episode_lengths(one).tolist() == [2, 3]
    none = found._replace(ended=np.zeros_like(ended))
    assert tabular.episode_lengths(none).shape == (2, 0)


def test_an_episode_is_cut_at_the_horizon(mdp):
    found = tabular.q_learning(mdp, jax.random.key(0), STEPS)
    lengths = tabular.episode_lengths(found)
    assert lengths.max() == 7
    long = np.cumsum(lengths).astype(int)[lengths == 7] - 1
    assert not np.asarray(mdp.terminal)[np.asarray(found.next_states)[long]].all()


@pytest.mark.thorough("double_q_learning")
@pytest.mark.parametrize("name", ["sarsa", "double_q_learning"])
def test_vmap_over_rates_and_mdps(mdp, name):
    mdps = [mdp, mdp.replace(reward=-mdp.reward, discount=0.5 * mdp.discount)]
    both = jax.tree.map(lambda *x: jnp.stack(x), *mdps)
    keys, given = jax.random.split(jax.random.key(1), 2), [(0.1, 0.2, 1.0), (0.4, 0.6, -1.0)]

    @jax.jit
    def run(mdp, key, size, epsilon, initial):
        return LEARNERS[name](mdp, key, 50, step_size=size, epsilon=epsilon, initial=initial)

    found = jax.jit(jax.vmap(run))(both, keys, *(jnp.array(x) for x in zip(*given, strict=True)))
    for i, one in enumerate(mdps):
        alone = run(one, keys[i], *given[i])
        np.testing.assert_array_equal(found.actions[i], alone.actions)
        np.testing.assert_allclose(found.q_values[i], alone.q_values, rtol=1e-5, atol=1e-6)


@pytest.mark.thorough
def test_in_double_precision():
    with jax.enable_x64(True):
        walk = tabular.random_walk(discount=0.9)
        found = [
            f(walk, jax.random.key(0), 20, step_size=tabular.robbins_monro())
            for f in (tabular.sarsa, tabular.double_q_learning)
        ]
        assert {(x.q_values.dtype, x.rewards.dtype, x.states.dtype) for x in found} == {
            (np.dtype(np.float64), np.dtype(np.float64), np.dtype(np.int32))
        }


@pytest.mark.parametrize(("given", "message"), [
    (dict(steps=0), "steps=0 must be at least 1"),
    (dict(epsilon=1.5), r"epsilon=1.5 is one number in \[0, 1\]"),
    (dict(step_size=-0.1), r"step_size=-0.1 is one number in \[0, 1\]"),
    (dict(initial=np.zeros(3)), r"a number or a table \[7, 1\], got shape \[3\]"),
])  # fmt: skip
def test_mistakes_are_named(given, message):
    with pytest.raises(ValueError, match=message):
        tabular.q_learning(tabular.random_walk(), jax.random.key(0), **{"steps": 5, **given})
