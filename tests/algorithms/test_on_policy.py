"""What PPO, TRPO and VPG promise beyond the contract."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.stats
from tiny import cartpole, go_on, start_lanes, tiny, to_host

from jaxrl_up import A2C, PPO, TRPO, VPG, envs, make_config, ops, train
from jaxrl_up.algorithms import ppo, vpg
from jaxrl_up.config import canonical
from jaxrl_up.envs import probes, rescale_action
from jaxrl_up.learning import on_policy, optimisation


def updated(algo, env, config, count, key=0):
    """The state after `count` updates, and the losses of each."""
    config = canonical(config)
    state = begun(algo, env, config, key)
    losses = []
    for _ in range(count):
        state, metrics = update(algo, env, config, state)
        losses.append({name: float(x.value) for name, x in metrics.losses.items()})
    return state, losses


@functools.partial(jax.jit, static_argnums=0)  # one program for all values of traced fields
def update(algo, env, config, state):
    return algo.update(config, env, state)


@functools.partial(jax.jit, static_argnums=0)
def _begun(algo, env, config, key):
    return algo.init(config, env, key)


def begun(algo, env, config, key=0):
    return _begun(algo, env, config, jax.random.key(key))


collect = jax.jit(on_policy.collect)


def rollout(env, config, state, key=3):
    return collect(config, env, state, jax.random.key(key))


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(to_host(a), to_host(b), strict=True))


# -- the rollout


def test_the_first_ratio_is_one_with_normalised_observations():
    algo, env = PPO, cartpole()
    config = tiny(algo, normalize_observations=True, num_epochs=1, num_minibatches=1)
    state, losses = updated(algo, env, config, 4)
    for each in losses:
        assert abs(each["kl"]) < 1e-6
        assert each["clip_fraction"] == 0
    config = canonical(config)
    collected = rollout(env, config, state)
    batch = collected.batch

    @jax.jit
    def log_prob(actor):
        return on_policy.network(config, env).policy(actor, batch.obs).log_prob(batch.action)

    np.testing.assert_allclose(log_prob(state.learner.params["actor"]), batch.log_prob, atol=1e-5)
    # the batch is seen through the statistics that acted; they have moved on since
    assert float(collected.learner.statistics.count) == float(state.learner.statistics.count) + batch.advantage.size
    assert not same(collected.learner.statistics, state.learner.statistics)
    assert float(state.learner.statistics.count) == 4 * batch.advantage.size


def test_critic_keeps_its_values_when_its_scale_moves():
    env, config = cartpole(), canonical(tiny(PPO))
    state, _ = updated(PPO, env, config, 1)
    collected = rollout(env, config, state)
    net, obs = on_policy.network(config, env), collected.batch.obs
    before, after = (jax.jit(net.value)(x.learner.params, obs) for x in (state, collected))
    np.testing.assert_allclose(before, after, rtol=1e-5)
    assert not same(state.learner.params["critic"], collected.learner.params["critic"])


@pytest.mark.parametrize(
    ("algo", "fields"),
    [
        (PPO, {"normalize_returns": False}),
        *[pytest.param(algo, {"normalize_returns": False}, marks=pytest.mark.thorough) for algo in (TRPO, A2C, VPG)],
        (PPO, {"normalize_returns": False, "value_clip": 0.1}),
        (PPO, {"normalize_returns": True}),
    ],
)
def test_no_gradient_moves_the_scale_of_the_critic(algo, fields):
    """It is the unit of the loss: a step that makes it larger makes the loss smaller, and teaches nothing."""
    state, _ = updated(algo, cartpole(), tiny(algo, **fields), 2)
    scale = state.learner.params["critic"]["params"]["head"]["scale"]
    statistics = state.learner.return_statistics
    assert scale == (1.0 if statistics is None else on_policy.root_mean_square(statistics))


def test_a_gaussian_sample_is_clipped_for_the_environment_only():
    from test_variants import two_actions

    env, config = two_actions(), canonical(tiny(PPO, initial_log_std=1.0))
    batch = rollout(env, config, begun(PPO, env, config)).batch
    assert np.max(np.abs(batch.action)) > 1.5
    bounded = jax.vmap(jax.vmap(lambda a: envs.to_bounds(a, env.action_space)))(batch.action)
    assert np.all(jax.vmap(jax.vmap(env.action_space.contains))(bounded))
    assert rescale_action(env).action_space.contains(jnp.array([1.0, -1.0]))


@pytest.mark.parametrize("terminate_at", [None, 3, 4], ids=["limit", "end", "both"])
def test_advantages_do_not_cross_a_reset(terminate_at):
    """Against a plain loop that is told where episodes end by the clock and not by flags."""
    length = terminate_at or 4
    env = probes.count_steps(terminate_at, max_steps=4)
    config = canonical(tiny(PPO, rollout_length=11, gamma=0.9, gae_lambda=0.8, initializer="torch"))
    collected = rollout(env, config, begun(PPO, env, config))
    batch = collected.batch
    value, following = np.asarray(batch.value), np.asarray(collected.next_value)
    for b in range(2):
        advantage = 0.0
        for t in reversed(range(11)):
            assert batch.obs[t, b, 0] == t % length
            last = t % length == length - 1
            bootstrap = 0.0 if last and terminate_at else 0.9 * following[t, b]
            advantage = 1.0 + bootstrap - value[t, b] + (0.0 if last else 0.9 * 0.8 * advantage)
            np.testing.assert_allclose(batch.advantage[t, b], advantage, rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(batch.target[t, b], advantage + value[t, b], rtol=1e-4, atol=1e-5)


# -- PPO


def test_ppo_minibatches_must_divide_the_batch():
    with pytest.raises(ValueError, match="num_minibatches=3 does not divide num_envs \\* rollout_length = 16"):
        train(PPO, cartpole(), tiny(PPO, num_minibatches=3), jax.random.key(0))


def test_minibatches_are_a_partition():
    parts = on_policy.minibatches(on_policy.Batch(*[jnp.arange(12)] * 6), 3, jax.random.key(0))
    assert parts.obs.shape == (3, 4)
    assert sorted(np.ravel(parts.obs)) == list(range(12))
    assert np.ravel(parts.obs).tolist() != list(range(12))
    np.testing.assert_array_equal(parts.obs, parts.target)


@pytest.mark.parametrize(
    ("algo", "fields"),
    [
        (PPO, {"num_minibatches": 2, "rollout_length": 2}),
        (PPO, {"num_minibatches": 1, "normalize_advantages": "batch"}),
        *[pytest.param(x, {"normalize_advantages": True}, marks=pytest.mark.thorough) for x in (A2C, VPG)],
        (TRPO, {}),
    ],
)
def test_one_row_is_learned_from(algo, fields):
    """Its advantage less its own mean would be 0 for ever."""
    config = tiny(algo, **{"num_envs": 1, "rollout_length": 1, **fields})
    state, _ = updated(algo, cartpole(), config, 1)
    assert not same(state.learner.params["actor"], begun(algo, cartpole(), canonical(config)).learner.params["actor"])


@pytest.mark.parametrize("n", [1, 2, 3, 512, 1000, 2**16, 2**16 + 1])
def test_shuffled_is_a_permutation_that_depends_on_the_key(n):
    one, other = (on_policy.shuffled(jax.random.key(k), n) for k in (0, 1))
    np.testing.assert_array_equal(np.sort(one), np.arange(n))
    assert one.dtype == jnp.int32
    assert n < 4 or not np.array_equal(one, other)


def test_every_number_comes_to_every_place_equally_often():
    n, draws = 5, 4000
    orders = jax.vmap(lambda key: on_policy.shuffled(key, n))(jax.random.split(jax.random.key(3), draws))
    counts = np.stack([np.bincount(place, minlength=n) for place in np.asarray(orders).T])
    assert scipy.stats.chisquare(counts.ravel()).pvalue > 1e-3
    perms = np.unique(np.asarray(orders), axis=0, return_counts=True)[1]
    assert len(perms) == 120
    assert scipy.stats.chisquare(perms).pvalue > 1e-3


def test_gradients_are_shortened_each_part_for_itself():
    params = {"actor": jnp.zeros(2), "critic": jnp.zeros(2)}
    gradient = {"actor": jnp.array([3.0, 4.0]), "critic": jnp.array([0.3, 0.4])}
    rates = {"actor": 1.0, "critic": 1.0}
    learner = on_policy.Learner(params, {part: optax.EmptyState() for part in params}, None, None)
    after = optimisation.descend(learner, gradient, rates, optax.identity(), 1.0).params
    np.testing.assert_allclose(after["actor"], [-0.6, -0.8], rtol=1e-6)
    np.testing.assert_allclose(after["critic"], [-0.3, -0.4], rtol=1e-6)
    none = jax.tree.map(jnp.zeros_like, params)
    still = optimisation.descend(learner, none, rates, optax.identity(), 1.0).params
    np.testing.assert_array_equal(still["actor"], 0.0)


def test_kl_stop_stops_each_seed_for_itself_and_never_the_value():
    config = tiny(PPO, num_epochs=8, target_kl=1.0, learning_rate=0.01)
    targets = [-1e6, *np.geomspace(1e-4, 0.1, 6), 1e6]  # at once, six in between, never
    swept = {"config.target_kl": targets}
    start = start_lanes(PPO, cartpole(), config, [3] * 8, swept)
    after, log = go_on(PPO, cartpole(), config, start, 1, swept)
    stopped = log.losses["stopped"]
    assert (stopped[0], stopped[-1]) == (1, 0)
    assert np.all(np.diff(stopped) <= 0)
    assert len(set(stopped.tolist())) > 3
    first, last = start.state.learner, after.state.learner
    for i in range(8):
        moved = {part: not same(_pick(first.params[part], i), _pick(last.params[part], i)) for part in first.params}
        assert moved == {"actor": i > 0, "critic": True}
        assert int(last.opt_state["critic"].count[i]) == 16
        moves = round(16 * (1 - float(stopped[i])))
        assert int(last.opt_state["actor"].count[i]) == moves
        counts = {name: int(mean.count[i]) for name, mean in log.learned.items()}
        assert {counts[name] for name in ppo.OF_THE_POLICY} == {min(moves + 1, 16)}  # with the one that stopped it
        assert {counts[name] for name in counts.keys() - ppo.OF_THE_POLICY} == {16}
    assert same(_pick(first.opt_state["actor"], 0), _pick(last.opt_state["actor"], 0))


def _pick(tree, i):
    return jax.tree.map(lambda x: np.asarray(x)[i], tree)


def test_the_kl_is_exact_where_it_is_said_so():
    env, config = cartpole(), canonical(tiny(PPO, kl_estimate="exact", num_minibatches=1, num_epochs=4))
    state = begun(PPO, env, config)
    batch = rollout(env, config, state).batch
    batch = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), batch)
    params = jax.tree.map(lambda x: np.asarray(x) + np.float32(0.1), state.learner.params)

    @jax.jit
    def found(before, params):
        old, new = (on_policy.network(config, env).policy(x["actor"], batch.obs) for x in (before, params))
        return old.log_probs(), new.log_probs(), ppo.loss(config, env, params, batch, 0.2, old)[1]["kl"]

    *both, kl = found(state.learner.params, params)
    p, q = map(np.exp, both)
    np.testing.assert_allclose(kl, np.mean(np.sum(p * np.log(p / q), axis=-1)), rtol=1e-3, atol=1e-7)
    _, (exact,) = updated(PPO, env, config, 1)
    _, (k1,) = updated(PPO, env, config.replace(kl_estimate="k1"), 1)
    assert exact["kl"] > 0
    assert exact["kl"] != k1["kl"]
    assert {name: x for name, x in exact.items() if name != "kl"} == {name: x for name, x in k1.items() if name != "kl"}
    _, (each,) = updated(PPO, env, config.replace(target_kl=jnp.float32(0.0)), 1)
    assert each["stopped"] == 0.75  # the first step is from where KL is 0


@pytest.mark.thorough
def test_a_kl_stop_that_never_comes_changes_nothing():
    with_stop, _ = updated(PPO, cartpole(), tiny(PPO, target_kl=1e6), 2)
    without, _ = updated(PPO, cartpole(), tiny(PPO), 2)
    for x, y in zip(to_host(with_stop.learner), to_host(without.learner), strict=True):
        np.testing.assert_allclose(x, y, atol=1e-6)


@pytest.mark.thorough
def test_value_clip_of_nothing_leaves_the_value_where_it_is():
    """max((V - T)^2, (V_old - T)^2) has no gradient once V is nearer to the target than V_old."""
    free, _ = updated(PPO, cartpole(), tiny(PPO, value_clip=1e6, num_epochs=8, learning_rate=0.01), 1)
    plain, _ = updated(PPO, cartpole(), tiny(PPO, num_epochs=8, learning_rate=0.01), 1)
    tight, _ = updated(PPO, cartpole(), tiny(PPO, value_clip=1e-6, num_epochs=8, learning_rate=0.01), 1)
    assert _farthest(free, plain) < 1e-5
    assert _farthest(tight, plain) > 1e-3


def _farthest(a, b):
    pairs = zip(to_host(a.learner.params["critic"]), to_host(b.learner.params["critic"]), strict=True)
    return max(np.max(np.abs(x - y)) for x, y in pairs)


def test_annealed_step_sizes_and_clip_reach_zero():
    config = canonical(tiny(PPO, total_steps=64, learning_rate=0.5, value_learning_rate=0.25))
    state = begun(PPO, cartpole(), config)

    def at(steps):
        counters = state.counters._replace(env_steps=jnp.int32(steps))
        return {k: float(x) for k, x in on_policy.rates(config, state._replace(counters=counters)).items()}

    assert at(0) == {"actor": 0.5, "critic": 0.25}
    assert at(16) == {"actor": 0.375, "critic": 0.1875}
    assert at(64) == at(80) == {"actor": 0.0, "critic": 0.0}
    constant = config.replace(anneal_learning_rate=False)
    assert float(on_policy.rates(constant, state)["actor"]) == 0.5


def test_past_the_end_of_the_schedule_nothing_is_learned():
    config = tiny(PPO, total_steps=16, anneal_clip=True, normalize_returns=False)
    first, _ = updated(PPO, cartpole(), config, 1)
    second, _ = updated(PPO, cartpole(), config, 2)
    assert same(first.learner.params, second.learner.params)


def test_loss_adds_up():
    config = tiny(PPO, num_epochs=1, num_minibatches=1, entropy_cost=0.3, value_cost=0.2)
    _, (loss,) = updated(PPO, cartpole(), config, 1)
    total = loss["policy_loss"] + 0.2 * loss["value_loss"] - 0.3 * loss["entropy"]
    np.testing.assert_allclose(loss["loss"], total, rtol=1e-5)
    assert ppo.SPINUP["target_kl"] == 0.01


# -- TRPO


@pytest.mark.parametrize("delta", [1e-4, 0.01, 1.0])
def test_trpo_stays_in_its_region_and_improves_or_stands(delta):
    config = tiny(TRPO, rollout_length=32, cg_iterations=10, backtrack_steps=10)
    swept = {"config.delta": [delta] * 4}
    progress = start_lanes(TRPO, cartpole(), config, (0, 1, 2, 3), swept)
    for _ in range(3):
        before = progress.state.learner.params["actor"]
        progress, log = go_on(TRPO, cartpole(), config, progress, 1, swept)
        losses = log.losses
        for i in range(4):
            if losses["step_fraction"][i] == 0:
                assert same(_pick(before, i), _pick(progress.state.learner.params["actor"], i))
                assert losses["kl"][i] == 0
            else:
                assert 0 < losses["kl"][i] <= delta
                assert losses["policy_loss"][i] < 1e-6  # 0 before the step: advantages have mean 0
        assert np.mean(losses["step_fraction"]) > 0.3


@pytest.mark.thorough
def test_natural_gradient_takes_the_full_step_of_quadratic_size():
    """KL + damping |s|^2 / 2 = delta for small delta."""
    config = make_config(TRPO, "natural_gradient", num_envs=8, rollout_length=32, hidden=(8,))
    swept = {"config.delta": [1e-6, 1e-5], "config.damping": [0.1, 0.03]}
    start = start_lanes(TRPO, cartpole(), config, [0] * 2, swept)
    after, log = go_on(TRPO, cartpole(), config, start, 1, swept)
    assert log.losses["step_fraction"].tolist() == [1.0] * 2
    steps = jax.tree.map(jnp.subtract, after.state.learner.params["actor"], start.state.learner.params["actor"])
    for i, delta in enumerate(swept["config.delta"]):
        size = sum(float(jnp.sum(x**2)) for x in jax.tree.leaves(_pick(steps, i)))
        quadratic = log.losses["kl"][i] + 0.5 * swept["config.damping"][i] * size
        np.testing.assert_allclose(quadratic, delta, rtol=0.05)


@pytest.mark.thorough("False")
@pytest.mark.parametrize("normalized", [True, False])
def test_trpo_steps_along_its_advantages_as_they_are_unless_normalised(normalized):
    """Under a large damping the step is sqrt(2 delta / damping) long and goes along the gradient."""
    env, fields = cartpole(), {"line_search": False, "delta": 1.0, "damping": 1e4}
    config = canonical(tiny(TRPO, normalize_advantages=normalized, rollout_length=32, **fields))
    state = begun(TRPO, env, config)
    after, _ = update(TRPO, env, config, state)
    _, rollout_key = jax.random.split(state.key)
    batch = collect(config, env, state, rollout_key).batch
    actor = state.learner.params["actor"]

    def step_along(weight):
        def surrogate(actor):
            return jnp.mean(on_policy.network(config, env).policy(actor, batch.obs).log_prob(batch.action) * weight)

        gradient = np.concatenate([np.ravel(x) for x in to_host(jax.jit(jax.grad(surrogate))(actor))])
        return np.sqrt(2.0 / 1e4) * gradient / np.linalg.norm(gradient)

    step = jax.tree.map(jnp.subtract, after.learner.params["actor"], actor)
    step = np.concatenate([np.ravel(x) for x in to_host(step)])
    wanted = [step_along(ops.normalize_advantages(batch.advantage)), step_along(batch.advantage)]
    distances = [np.linalg.norm(step - x) / np.linalg.norm(step) for x in wanted]
    assert distances[not normalized] < 1e-3
    assert distances[normalized] > 1e-2
    assert make_config(TRPO).normalize_advantages


# -- VPG

PHIS = ("trajectory_return", "reward_to_go", "reward_to_go_baseline", "q", "advantage")


def test_each_phi_is_what_it_says():
    """Against plain loops over one rollout with terminations, time limits and a cut at the end."""
    env, config = cartpole(), canonical(tiny(VPG, rollout_length=40, gamma=0.9, gae_lambda=0.7))
    collected = rollout(env, config, begun(VPG, env, config))
    got = {phi: np.asarray(vpg.weight(config.replace(phi=phi), collected)) for phi in PHIS}
    reward, discount, going, following = (
        np.asarray(x, np.float64) for x in (collected.reward, collected.discount, collected.going, collected.next_value)
    )
    value = np.asarray(collected.batch.value, np.float64)
    length, envs = reward.shape
    assert np.sum(going == 0) > 4
    want = {phi: np.zeros((length, envs)) for phi in PHIS}
    for b in range(envs):
        to_go, trace = following[-1, b], following[-1, b]
        for t in reversed(range(length)):
            if going[t, b] == 0:
                to_go = trace = following[t, b]
            to_go = reward[t, b] + discount[t, b] * to_go
            trace = reward[t, b] + discount[t, b] * (0.3 * following[t, b] + 0.7 * trace)
            want["reward_to_go"][t, b], want["q"][t, b] = to_go, trace
        start = 0
        for t in range(length):
            want["trajectory_return"][t, b] = want["reward_to_go"][start, b]
            start = t + 1 if going[t, b] == 0 else start
    want["reward_to_go_baseline"] = want["reward_to_go"] - value
    want["advantage"] = want["q"] - value
    for phi in PHIS:
        np.testing.assert_allclose(got[phi], want[phi], rtol=1e-4, atol=1e-4, err_msg=phi)


@pytest.mark.parametrize(
    "phi",
    [
        phi if phi == "advantage" else pytest.param(phi, marks=pytest.mark.thorough)  # see test_exact_gradient.py
        for phi in PHIS
    ],
)
def test_vpg_steps_along_phi(phi):
    config = tiny(VPG, phi=phi, value_steps=0, max_grad_norm=None, adam_epsilon=1e6, learning_rate=1e6)
    config = canonical(config.replace(anneal_learning_rate=False))  # Adam of a huge epsilon is plain gradient descent
    env = cartpole()
    state = begun(VPG, env, config)
    after, _ = update(VPG, env, config, state)
    _, rollout_key = jax.random.split(state.key)
    collected = collect(config, env, state, rollout_key)
    weight = ops.normalize_advantages(vpg.weight(config, collected))

    def surrogate(actor):
        policy = on_policy.network(config, env).policy(actor, collected.batch.obs)
        return jnp.mean(policy.log_prob(collected.batch.action) * weight)

    gradient = jax.jit(jax.grad(surrogate))(state.learner.params["actor"])
    for old, new, g in zip(
        *(to_host(x) for x in (state.learner.params["actor"], after.learner.params["actor"], gradient)), strict=True
    ):
        np.testing.assert_allclose(new - old, g, rtol=1e-2, atol=1e-5)


@pytest.mark.thorough("trpo")
@pytest.mark.parametrize("algo", [VPG, TRPO], ids=lambda algo: algo.name)
def test_value_steps_do_not_train_a_shared_torso(algo):
    """Where the critic is fitted by itself, its steps train its head alone."""
    env, config = cartpole(), canonical(tiny(algo, shared=True))
    state = begun(algo, env, config)
    batch = rollout(env, config, state).batch
    params = state.learner.params
    fit = jax.jit(on_policy.fit_value)
    learner, loss = fit(config, env, state.learner, batch, 0.1)
    fitted = learner.params
    assert same(fitted["actor"], params["actor"])
    assert not same(fitted["critic"], params["critic"])
    assert loss.value > 0
    none = config.replace(value_steps=0)
    learner, loss = fit(none, env, state.learner, batch, 0.1)
    assert same(learner.params, params) and np.isnan(loss.value)  # of a step that was not made
