"""Forbidden actions: never taken, never read, and learned around as if they were not there.

`bench/mutations.py` drops the mask at one place after another and says which of these tests fails.
"""

import functools
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import assert_close, assert_equal, tiny, to_host

from jaxrl_up import ALGORITHMS, envs, evaluate
from jaxrl_up.config import canonical
from jaxrl_up.envs import Box, Dict, Discrete, Mask, MultiDiscrete, from_functions, probes
from jaxrl_up.learning import Transitions, networks, on_policy, replay, training_env

ON_POLICY = ("vpg", "a2c", "ppo", "trpo")
DISCRETE = (*ON_POLICY, "dqn", "c51", "qr_dqn", "sac_discrete")
CASES = [(name, 1) for name in DISCRETE] + [(name, 2) for name in ON_POLICY]  # with the number of groups of actions
both_kinds = pytest.mark.parametrize(("name", "groups"), CASES, ids=[f"{name}-{groups}" for name, groups in CASES])
FIELDS = {"entropy_cost": 0.1, "target_kl": 0.5, "kl_estimate": "exact", "v_min": -2.0, "v_max": 9.0, "gamma": 0.9}
FIELDS |= {"num_atoms": 7, "num_quantiles": 5, "double": True, "exploration_fraction": 0.5, "random_steps": 12}


def of(name):
    """The algorithm and its module."""
    algo = ALGORITHMS[name]
    return algo, sys.modules[algo.Config.__module__]


# -- never taken


SPACES = {"one": Discrete(4), "from 5": Discrete(3, start=5), "two": MultiDiscrete((3, 2))}
COUNTED = [(name, "one") for name in DISCRETE] + [(name, "two") for name in ON_POLICY]
COUNTED += [(name, "from 5") for name in ("ppo", "dqn", "sac_discrete")]
COUNTED += [("value_fitting", space) for space in SPACES]  # whose policy is uniform


def illegal(returns, penalty):
    """How many forbidden actions there are in returns."""
    return np.ceil(-np.asarray(returns, np.float64) / penalty).clip(0).sum()


@pytest.mark.thorough("ppo-one", "ppo-from 5", "dqn-from 5")
@pytest.mark.exhaustive("vpg-two", "trpo-two", "value_fitting-from 5", "value_fitting-two")
@pytest.mark.parametrize(("name", "space"), COUNTED, ids=lambda x: x)
def test_no_forbidden_action_is_taken(name, space):
    """In training, greedy and sampled evaluation; a tenth of the states allows one action, ends allow none."""
    algo, _ = of(name)
    env = probes.changing_mask(SPACES[space])
    penalty = float(env.params["illegal"])
    wide = {"num_envs": 16, "rollout_length": 32, "buffer_size": 2048, "random_steps": 1024, "learning_starts": 64}
    wide |= {"total_steps": 4096, "epsilon_end": 0.2, "train_every": 8}
    config = canonical(tiny(algo, **wide))

    @jax.jit
    def train(key):
        return jax.lax.scan(lambda state, _: algo.update(config, env, state), algo.init(config, env, key), length=8)

    state, metrics = train(jax.random.key(0))
    assert all(np.isfinite(x).all() for x in to_host(state.learner) if x.dtype.kind == "f")
    assert illegal(metrics.episode_return, penalty) == 0
    assert illegal(state.interaction.episode_return, penalty) == 0
    assert metrics.episode_return.sum() > 0
    for deterministic in (True, False):
        returns = evaluate(algo, env, config, state.policy, jax.random.key(1), 64, deterministic)
        assert illegal(returns, penalty) == 0


@pytest.mark.parametrize("group", [0, 1])
def test_forbidden_actions_of_either_group_are_counted(group):
    env = probes.changing_mask(MultiDiscrete((4, 3)), illegal=1000.0)
    step = jax.jit(env.step)
    state, obs = env.reset(jax.random.key(0))
    counted = 0
    for i in range(20):
        masks = np.split(np.asarray(obs["mask"]), [4])
        action = np.array([np.argmax(mask) for mask in masks], np.int32)
        action[group] = np.argmin(masks[group])
        forbidden = not masks[group].all()
        state, after = step(jax.random.key(i), state, action)
        assert (after.reward == -1000.0) == forbidden
        counted, obs = counted + forbidden, after.obs
    assert counted > 10


@pytest.mark.parametrize("space", [Discrete(3, start=5), MultiDiscrete((3, 2))], ids=str)
def test_sticky_actions_repeat_what_is_allowed(space):
    env = envs.sticky_actions(probes.changing_mask(space), 0.5)
    returns = play_allowed(env)
    assert illegal(returns, float(env.params["illegal"])) == 0


def play_allowed(env, steps=256):
    """Rewards of random allowed actions."""

    def step(carry, key):
        state, obs = carry
        action_key, step_key = jax.random.split(key)
        action = envs.sample_allowed(env.action_space, envs.mask_of(env.observation_space, obs), action_key)
        state, step = env.step(step_key, state, action)
        return (state, step.obs), step.reward

    start = env.reset(jax.random.key(0))
    return jax.jit(lambda start: jax.lax.scan(step, start, jax.random.split(jax.random.key(1), steps))[1])(start)


# -- never read, and as if they were not there


ALLOWED = {1: ((1, 3, 4),), 2: ((0, 2), (1, 2, 3))}  # of each group
SIZES = {1: (5,), 2: (3, 4)}


def space_of(sizes):
    return Discrete(sizes[0]) if len(sizes) == 1 else MultiDiscrete(sizes)


def columns(groups):
    """The places of the allowed actions among all outputs."""
    starts = np.cumsum((0, *SIZES[groups][:-1]))
    return np.concatenate([start + np.array(a) for start, a in zip(starts, ALLOWED[groups], strict=True)])


@functools.cache
def board(groups, kind):
    """Random vectors, pay by them and the action, may terminate or meet a time limit.

    `masked`, with the same mask in all states; `reduced`, with the allowed actions alone; `bare`, as masked, but
    nobody says so.
    """
    sizes = tuple(map(len, ALLOWED[groups])) if kind == "reduced" else SIZES[groups]
    mask = np.zeros(sum(SIZES[groups]), bool)
    mask[columns(groups)] = True
    shown = Box(-1.0, 1.0, (3,))

    def observation(x, over=False):
        return {"mask": jnp.asarray(mask) & jnp.logical_not(over), "x": x} if kind == "masked" else {"x": x}

    def reset(key):
        x = jax.random.uniform(key, (3,), jnp.float32, -1.0, 1.0)
        return x, observation(x)

    def step(key, x, action):
        places = jnp.atleast_1d(action)
        if kind != "reduced":
            places = jnp.stack([jnp.searchsorted(jnp.array(a), places[i]) for i, a in enumerate(ALLOWED[groups])])
        reward = jnp.sum(jnp.cos(3 * places + x[: len(places)]))
        x_key, end_key = jax.random.split(key)
        new, _ = reset(x_key)
        over = jax.random.bernoulli(end_key, 0.2)
        return new, observation(new, over), reward, over, jnp.bool_(False)

    space = Dict({"mask": Mask(SIZES[groups]), "x": shown}) if kind == "masked" else Dict({"x": shown})
    return from_functions(reset, step, space, space_of(sizes), 6, name="board")


def config_of(name, **fields):
    settings = {**FIELDS, "num_envs": 4, "rollout_length": 16, "buffer_size": 128, "train_every": 4, "n_step": 2}
    settings |= {"ppo": {"normalize_observations": True}, "a2c": {"shared": True}}.get(name, {})
    return canonical(tiny(ALGORITHMS[name], **{**settings, **fields}))


def outputs(groups, masked, reduced):
    """For each leaf of parameters, where its last axis has the outputs of allowed actions; None for other leaves."""

    def of_leaf(x, y):
        if x.shape == y.shape:
            return None
        atoms = x.shape[-1] // sum(SIZES[groups])
        return (columns(groups)[:, None] * atoms + np.arange(atoms)).ravel()

    return jax.tree.map(of_leaf, masked, reduced)


def learned(learner):
    """The parameters, of target networks too."""
    return learner.params, getattr(learner, "target_params", ())


def with_learned(learner, params, targets):
    learner = learner._replace(params=params)
    return learner._replace(target_params=targets) if hasattr(learner, "target_params") else learner


def shaken(tree):
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda x: x + jnp.asarray(rng.normal(scale=0.2, size=x.shape), x.dtype), tree)


def begun(algo, config, env):
    state = algo.init(config, env, jax.random.key(0))
    return state._replace(learner=with_learned(state.learner, *shaken(learned(state.learner))))


def where_outputs(groups, name):
    """`outputs` of an algorithm's parameters, of target networks too."""
    algo, _ = of(name)
    shapes = [
        jax.eval_shape(lambda env=board(groups, kind): learned(begun(algo, config_of(name), env).learner))
        for kind in ("masked", "reduced")
    ]
    return outputs(groups, *shapes)


def on_outputs(function, places, tree):
    """The tree with `function(leaf, places)` in place of the leaves that have outputs."""
    found, structure = jax.tree.flatten(tree)
    return structure.unflatten(
        [x if where is None else function(x, where) for x, where in zip(found, flat(places), strict=True)]
    )


def flat(places):
    return jax.tree.leaves(places, is_leaf=lambda x: x is None)


@pytest.mark.thorough("ppo-2", "dqn")
@pytest.mark.exhaustive("vpg-2", "a2c-2", "trpo-2")
@both_kinds
def test_outputs_of_forbidden_actions_are_never_read(name, groups):
    """With biases of nan for them whole updates, losses and actions are the same to the last bit.

    TRPO's line search asks for finite parameters, so there it is a number that would win.
    """
    algo, _ = of(name)
    env, config, places = board(groups, "masked"), config_of(name), where_outputs(groups, name)

    def poisoned(x, allowed):
        forbidden = np.setdiff1d(np.arange(x.shape[-1]), allowed)
        is_bias = x.ndim <= (2 if name == "sac_discrete" and x.shape[0] == 2 else 1)
        return x.at[..., forbidden].set(1e6 if name == "trpo" else jnp.nan) if is_bias else x

    @jax.jit
    def run(learner):
        state = begun(algo, config, env)._replace(learner=learner)
        state, metrics = jax.lax.scan(lambda state, _: algo.update(config, env, state), state, length=2)
        obs = jax.vmap(env.reset)(jax.random.split(jax.random.key(5), 64))[1]
        acts = [algo.act(config, env, state.policy, obs, (), key)[0] for key in (None, jax.random.key(6))]
        return learned(state.learner), metrics, acts

    start = jax.jit(lambda: begun(algo, config, env).learner)()
    clean, *known = run(start)
    hidden = with_learned(start, *on_outputs(poisoned, places, learned(start)))
    found, *shown = run(hidden)
    assert_equal(shown, known)
    restrict = functools.partial(on_outputs, lambda x, allowed: x[..., allowed], places)
    assert_equal(restrict(found), restrict(clean))
    # what belongs to them has gradients of exactly 0, so it stays
    for old, new, allowed in zip(*map(jax.tree.leaves, (start.params, clean[0])), flat(places[0]), strict=True):
        if allowed is not None:
            np.testing.assert_array_equal(*(np.delete(np.asarray(x), allowed, -1) for x in (old, new)))
            assert not np.array_equal(old[..., allowed], new[..., allowed])


@pytest.mark.thorough
@pytest.mark.exhaustive("vpg", "a2c-1", "trpo-2", "qr_dqn")
@both_kinds
def test_a_masked_problem_is_learned_as_the_one_without_its_forbidden_actions(name, groups, monkeypatch):
    """Whole updates from restricted parameters, with the noise of the allowed actions."""
    algo, module = of(name)
    config, keep, places = config_of(name), columns(groups), where_outputs(groups, name)
    full, draw = board(groups, "masked"), networks.sampling_noise
    if name in ON_POLICY:

        def noise(space, key, shape, **more):
            drawn = draw(training_env(full).action_space, key, shape, **more)
            return drawn if space == full.action_space else drawn[..., keep]

        monkeypatch.setattr("jaxrl_up.learning.networks.policy_value.sampling_noise", noise)

    def reduced_noise(config, env, key, shape):
        drawn = module.BROUGHT.acting_noise(config, full, key, shape)
        whole = lambda uniform: jnp.floor(uniform * len(keep)).astype(jnp.int32)  # noqa: E731
        if len(drawn) == 2:
            return drawn[0][..., keep], whole(drawn[1])
        return drawn[0], whole(drawn[1]), drawn[2][..., keep]

    def run(masked):
        env = board(groups, "masked" if masked else "reduced")
        update = algo.update
        if name not in ON_POLICY and not masked:
            update = module.BROUGHT._replace(acting_noise=reduced_noise).update
        start = begun(algo, config, full).learner
        fresh = algo.init(config, env, jax.random.key(0))
        if not masked:
            params, targets = on_outputs(lambda x, allowed: x[..., allowed], places, learned(start))
            start = with_learned(fresh.learner, params, targets)
        state = fresh._replace(learner=start)
        state, metrics = jax.lax.scan(lambda state, _: update(config, env, state), state, length=2)
        obs = jax.vmap(env.reset)(jax.random.split(jax.random.key(5), 64))[1]
        return learned(state.learner), metrics, algo.act(config, env, state.policy, obs)[0]

    (params, *known), (reduced, *found) = jax.jit(lambda: run(True))(), jax.jit(lambda: run(False))()
    assert_close(on_outputs(lambda x, allowed: x[..., allowed], places, params), reduced, 1e-4, 1e-5)
    assert_close(known[0], found[0], 1e-4, 1e-5)
    chosen = [np.array(a)[np.atleast_2d(found[1].T)[i]] for i, a in enumerate(ALLOWED[groups])]
    np.testing.assert_array_equal(known[1], np.squeeze(np.stack(chosen, axis=-1)))


# -- the mask of the next state


ROWS, TAKEN, LURE = 6, 0, 1


def batch_of(env, n_step, tempting=False):
    """Rows whose states allow all and whose successors forbid LURE (unless `tempting`), those of an end all."""
    rng = np.random.default_rng(3)
    free, cut = np.ones((ROWS, 4), bool), np.array([True, tempting, True, True])
    discount = 0.9 * np.array([1, 1, 0, 1, 0, 1])
    next_mask = np.where(discount[:, None] == 0, False, cut)

    def obs(mask):
        goal = rng.integers(0, 4, mask.shape[:-1])
        return {"goal": jnp.asarray(goal, jnp.int32), "mask": jnp.asarray(mask)}

    inner = np.broadcast_to(cut, (ROWS, n_step - 1, 4))
    reward = jnp.asarray(rng.normal(size=ROWS), jnp.float32)
    shown, after, between = obs(free), obs(next_mask), obs(inner)
    action, rows = jnp.full(ROWS, TAKEN, jnp.int32), jnp.arange(ROWS, dtype=jnp.int32)
    inner_discount = jnp.full((ROWS, n_step - 1), 0.9, jnp.float32)
    return Transitions(
        shown, action, reward, jnp.float32(discount), after, jnp.ones(ROWS), rows, between, inner_discount
    )


TARGETS = [("dqn", False), ("dqn", True), ("c51", False), ("c51", True), ("qr_dqn", False), ("qr_dqn", True)]
TARGETS += [("sac_discrete", 1), ("sac_discrete", 2)]


@pytest.mark.parametrize(("name", "switch"), TARGETS, ids=str)
def test_targets_read_what_the_next_state_allows(name, switch):
    """A value of nan for what the successors forbid changes no bit, also where they ended and allow nothing."""
    algo, module = of(name)
    env, n_step = probes.changing_mask(Discrete(4)), switch if name == "sac_discrete" else 1
    config = config_of(name, double=switch is True, n_step=n_step)
    params, targets = jax.jit(lambda: learned(begun(algo, config, env).learner))()
    loss = module.critic_loss if name == "sac_discrete" else module.loss
    part = "critic" if name == "sac_discrete" else "q"

    def lured(tree):
        def poison(x):
            atoms = x.shape[-1] // 4
            return x.at[..., LURE * atoms : (LURE + 1) * atoms].set(jnp.nan)

        def of_leaf(path, x):
            names = jax.tree_util.keystr(path)
            return poison(x) if "bias" in names and "head" in names else x

        return jax.tree_util.tree_map_with_path(of_leaf, tree)

    @jax.jit
    def found(params, targets, batch):
        whole = jax.value_and_grad(lambda x: loss(config, env, {**params, part: x}, targets, batch, ())[0])
        return whole(params[part])

    poisoned = {key: x if key == "critic" else lured(x) for key, x in params.items()}
    assert any(np.isnan(x).any() for x in to_host(lured(targets)))
    batch = batch_of(env, n_step)
    wanted = found(params, targets, batch)
    assert_equal(found(poisoned, lured(targets), batch), wanted)
    assert np.isfinite(wanted[0])
    tempted, _ = found(poisoned, lured(targets), batch_of(env, n_step, tempting=True))
    assert np.isnan(tempted)


def test_discrete_sac_aims_at_half_the_entropy_of_what_is_allowed():
    """The gradient of log alpha is alpha (H - mean of half the log of what is allowed); Adam keeps a tenth of it."""
    algo, module = of("sac_discrete")
    env, config = probes.changing_mask(Discrete(4)), config_of("sac_discrete", n_step=1)
    learner, batch = jax.jit(lambda: begun(algo, config, env).learner)(), batch_of(env, 1)
    counts = np.array([1, 2, 3, 4, 4, 2])
    batch = batch._replace(obs={**batch.obs, "mask": jnp.asarray(np.arange(4) < counts[:, None])})
    learned, losses, _ = jax.jit(functools.partial(module.learn, config, env))(learner, batch, (), jnp.int32(0))
    wanted = losses["alpha"] * (losses["entropy"] - 0.5 * np.log(counts).mean())
    np.testing.assert_allclose(10 * learned.opt_state["log_alpha"].mu, wanted, rtol=1e-4)


@pytest.mark.thorough("None")
@pytest.mark.parametrize("max_steps", [3, None])
def test_a_replay_gives_back_the_masks_of_its_states(max_steps):
    """Each observation tells its mask; at a time limit the successor is the true one and not the reset."""
    env, (algo, _) = telling(max_steps), of("dqn")
    config = canonical(tiny(algo, num_envs=3, rollout_length=16, buffer_size=72, prioritized=False))
    state, _ = jax.jit(lambda: algo.update(config, env, algo.init(config, env, jax.random.key(0))))()
    index = jnp.arange(15 * 3, dtype=jnp.int32)
    batch = jax.jit(lambda kept: replay.at(training_env(env), kept, index, 0.9, 1))(state.replay)
    going = np.asarray(batch.discount) > 0
    assert going.any() and not going.all()
    np.testing.assert_array_equal(batch.obs["mask"], told(np.asarray(batch.obs["time"])))
    after = jax.tree.map(lambda x: np.asarray(x)[going], batch.next_obs)
    np.testing.assert_array_equal(after["mask"], told(after["time"]))
    np.testing.assert_array_equal(after["time"], np.asarray(batch.obs["time"])[going] + 1)


def told(time):
    """The mask at a time: some of its 11 bits, and never none."""
    return (time.astype(np.int32) * 37 + 5) // 2 ** np.arange(11) % 2 == 1


@functools.cache
def telling(max_steps):
    def observation(time):
        return {"time": time[None].astype(jnp.float32), "mask": told(time[None])}

    def reset(key):
        time = 10 * jax.random.randint(key, (), 0, 5)
        return time, observation(time)

    def step(key, time, action):
        over = jax.random.bernoulli(key, 0.2)
        return time + 1, observation(time + 1), 0.0, over, jnp.bool_(False)

    space = Dict({"time": Box(0.0, 100.0, (1,)), "mask": Mask(11)})
    return from_functions(reset, step, space, Discrete(11), max_steps, name="telling")


# -- never seen by a torso


@both_kinds
def test_no_torso_sees_a_mask(name, groups):
    """Parameters are those of the problem without a mask, and what the networks say is the same for all masks."""
    algo, module = of(name)
    config, env, bare = config_of(name), board(groups, "masked"), board(groups, "bare")
    shapes = [jax.eval_shape(lambda env=env: algo.init(config, env, jax.random.key(0)).learner) for env in (env, bare)]
    assert [x.shape for x in jax.tree.leaves(shapes[0])] == [x.shape for x in jax.tree.leaves(shapes[1])]
    params = jax.jit(lambda: begun(algo, config, env).learner.params)()
    size = sum(SIZES[groups])
    obs = {"x": jnp.full((2, 3), 0.3), "mask": jnp.stack([jnp.ones(size, bool), jnp.arange(size) % 3 == 1])}
    if name in ON_POLICY:
        net = on_policy.network(config, env)
        found = [net.policy(params["actor"], obs).logits, net.value(params, obs)]
    elif name == "sac_discrete":
        found = [module.actor_network(config, env).apply(params["actor"], obs)]
        found.append(jnp.moveaxis(module.critic_network(config, env).apply(params["critic"], obs), 1, 0))
    else:
        found = [module.network(config, env).apply(params["q"], obs)]
    for x in found:
        np.testing.assert_array_equal(x[0], x[1])


# -- at the door


def stuck(over, sizes=3, ones=False):
    """In its fourth step no action of the last group is allowed; that step ends the episode or not."""
    sizes = (sizes,) if isinstance(sizes, int) else sizes
    mask = Mask(sizes)

    def observation(x, none):
        last = jnp.arange(sum(sizes)) >= sum(sizes[:-1])
        return {"x": x[None].astype(jnp.float32), "mask": ~(none & last)}

    def reset(key):
        x = jax.random.randint(key, (), 0, 2)
        return x, observation(x, ones)

    def step(key, x, action):
        x = x + 2
        return x, observation(x, x >= 8), 0.0, (x >= 8) & over, jnp.bool_(False)

    return from_functions(
        reset, step, Dict({"x": Box(0.0, 99.0, (1,)), "mask": mask}), space_of(sizes), 9, name="stuck"
    )


@pytest.mark.thorough("(2, 3)")
@pytest.mark.parametrize("sizes", [3, (2, 3)], ids=str)
def test_a_state_that_allows_nothing_is_an_error_unless_the_episode_ended(sizes):
    with pytest.raises(ValueError, match=r"the mask allows no action .*, where the episode has not terminated"):
        envs.check(stuck(False, sizes))
    with pytest.raises(ValueError, match="the mask allows no action after reset"):
        envs.check(stuck(True, sizes, ones=True), num_steps=1)  # no episode ends
    envs.check(stuck(True, sizes))


@pytest.mark.thorough("from 5")
@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES.keys())
def test_a_check_plays_what_is_allowed(space):
    envs.check(probes.changing_mask(space, illegal=float("inf")), num_steps=64)


def environment(mask, action_space):
    def reset(key):
        x = jax.random.uniform(key, (2,))
        return x, {"x": x, "mask": jnp.ones(mask.shape, bool)}

    def step(key, x, action):
        return x, {"x": x, "mask": jnp.ones(mask.shape, bool)}, 0.0, jnp.bool_(False), jnp.bool_(False)

    return from_functions(reset, step, Dict({"x": Box(0.0, 1.0, (2,)), "mask": mask}), action_space, 5, name="own")


@pytest.mark.parametrize(
    ("mask", "action_space", "message"),
    [
        (Mask(3), Discrete(4), r"Mask\(3\) does not fit the action space Discrete\(4\): its sizes must be \(4,\)"),
        (Mask((2, 3)), MultiDiscrete((3, 2)), r"its sizes must be \(3, 2\)"),
        (Mask(5), MultiDiscrete((3, 2)), r"its sizes must be \(3, 2\)"),
        (Mask(2), Box(-1.0, 1.0, (2,)), r"take Mask\(2\) out of the observation"),
        (Mask(2), Dict({"a": Discrete(2)}), r"take Mask\(2\) out of the observation"),
    ],
    ids=str,
)
def test_masks_of_other_actions_are_refused(mask, action_space, message):
    with pytest.raises(ValueError, match=message):
        environment(mask, action_space)


def test_two_masks_and_one_that_only_the_critic_sees_are_refused():
    never = lambda *_: None  # noqa: E731
    two = Dict({"x": Box(0.0, 1.0, (2,)), "a": Mask(2), "b": Mask(2)})
    with pytest.raises(ValueError, match="an observation has one mask at most"):
        from_functions(never, never, two, Discrete(2))
    hidden = Dict({"x": Box(0.0, 1.0, (2,)), "critic_only": Dict({"mask": Mask(2)})})
    with pytest.raises(ValueError, match="what acts has to see it"):
        from_functions(never, never, hidden, Discrete(2))
