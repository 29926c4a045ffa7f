"""Observations and actions of many parts through networks, statistics, replay and whole algorithms."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_networks import config, spaces
from tiny import assert_close, assert_equal, tiny, to_host, written

from jaxrl_up import ALGORITHMS, DQN, PPO, SAC, run
from jaxrl_up.algorithms import check_support
from jaxrl_up.config import canonical
from jaxrl_up.envs import (
    Box,
    Dict,
    Discrete,
    Mask,
    MultiDiscrete,
    Simulator,
    Tuple,
    frame_stack,
    from_functions,
    leaves,
    parts,
)
from jaxrl_up.learning import (
    Torso,
    actor_critic_network,
    as_observation,
    normalisation,
    policy_value_network,
    q_network,
    replay,
    start,
    unroll,
)
from jaxrl_up.ops import Joint
from jaxrl_up.records import load_policies, load_run
from jaxrl_up.training import begin, evaluate

KEY = jax.random.key(0)
VECTORS = Dict(a=Box(-1, 1, (3,)), b=Dict(c=Box(-9, 9, ()), d=Box(0, 1, (2, 2))))
MIXED = Dict(
    at=Discrete(4, start=1),
    camera=Box(0, 255, (6, 5, 2), np.uint8),
    critic_only=Box(-1, 1, (2,)),
    lights=Box(0, 1, (3,), np.bool_, binary=True),
    mask=Mask(3),
    pair=Tuple((Box(-5, 5, (2,), np.int32), MultiDiscrete((2, 3)))),
    speed=Box(-np.inf, np.inf, ()),
)


def drawn(space, number=5):
    return jax.jit(jax.vmap(space.sample))(jax.random.split(KEY, number))


def joined(obs):
    return jnp.concatenate([x.reshape(x.shape[0], -1) for x in jax.tree.leaves(obs)], axis=-1)


# -- networks


def test_vectors_in_a_dict_are_seen_as_their_concatenation():
    obs = drawn(VECTORS)
    tree, flat = Torso(VECTORS, hidden=(8, 8)), Torso(Box(-9, 9, (8,)), hidden=(8, 8))
    params = jax.jit(tree.init)(KEY, obs)
    assert_equal(params, jax.jit(flat.init)(KEY, joined(obs)))
    np.testing.assert_array_equal(tree.apply(params, obs), flat.apply(params, joined(obs)))


def test_an_action_meets_the_vectors_of_a_dict_in_the_first_layer():
    obs, action = drawn(VECTORS), jax.random.normal(KEY, (5, 2))
    action_space = Box(-1, 1, (2,))
    nets = [actor_critic_network(config(), spaces(space, action_space), ("action",), 2)
            for space in (VECTORS, Box(-9, 9, (8,)))]  # fmt: skip
    params = jax.jit(nets[0].init)(KEY)
    assert_equal(params, jax.jit(nets[1].init)(KEY))
    for net, seen in zip(nets, (obs, joined(obs)), strict=True):
        np.testing.assert_array_equal(
            net.critics(params["critic"], seen, action), nets[0].critics(params["critic"], obs, action)
        )
        np.testing.assert_array_equal(net.actor(params["actor"], seen)[0], nets[0].actor(params["actor"], obs)[0])


def test_an_image_alone_in_a_dict_is_seen_as_an_image():
    image = MIXED["camera"]
    tree, alone = Torso(Dict(camera=image), hidden=(8,)), Torso(image, hidden=(8,))
    params = jax.jit(tree.init)(KEY, drawn(Dict(camera=image)))
    theirs = {"CNN_0": {**params["params"]["convolutions_camera"], "MLP_0": params["params"]["MLP_0"]}}
    obs = drawn(image)
    np.testing.assert_array_equal(tree.apply(params, {"camera": obs}), alone.apply({"params": theirs}, obs))


def test_every_leaf_becomes_numbers():
    obs = {
        "at": jnp.int32([2]),
        "camera": jnp.full((1, 6, 5, 2), 51, jnp.uint8),
        "critic_only": jnp.ones((1, 2)),
        "lights": jnp.bool_([[True, False, True]]),
        "mask": jnp.bool_([[True, False, False]]),
        "pair": (jnp.int32([[-3, 4]]), jnp.int32([[1, 2]])),
        "speed": jnp.float32([7.0]),
    }
    seen = []

    class Watching(nn.Module):
        @nn.compact
        def __call__(self, obs):
            if not any(isinstance(x, jax.core.Tracer) for x in jax.tree.leaves(obs)):
                seen.append(jax.tree.map(lambda x: np.asarray(x[0]).ravel().tolist(), obs))
            return nn.Dense(2)(obs["camera"].reshape(1, -1))

    env = spaces(MIXED, Discrete(3))
    net = policy_value_network(config(network=Watching()), env)
    params = jax.jit(net.init)(KEY)
    seen.clear()
    net.policy(params["actor"], obs), net.value(params, obs)
    expected = {
        "at": [0.0, 1.0, 0.0, 0.0],
        "camera": pytest.approx([0.2] * 60),
        "lights": [1.0, 0.0, 1.0],
        "pair": ([-3.0, 4.0], [0.0, 1.0, 0.0, 0.0, 1.0]),
        "speed": [7.0],
    }
    assert seen == [expected, {**expected, "critic_only": [1.0, 1.0]}]


def test_networks_do_not_see_the_mask_but_heads_obey_it():
    obs = drawn(MIXED)
    assert sum(np.prod(leaf.shape) for leaf in leaves(MIXED).values() if isinstance(leaf, Mask)) == 3
    net = policy_value_network(config(), spaces(MIXED, Discrete(3)))
    params, q = jax.jit(net.init)(KEY), q_network(config(), spaces(MIXED, Discrete(3)))
    q_params = jax.jit(q.init)(KEY)["q"]
    for mask in (jnp.bool_([True, False, False]), jnp.bool_([False, True, True])):
        here = {**obs, "mask": jnp.broadcast_to(mask, (5, 3))}
        policy = net.policy(params["actor"], here)
        np.testing.assert_array_equal(jnp.exp(policy.log_probs()) > 0, here["mask"])
        np.testing.assert_array_equal(policy.logits, net.policy(params["actor"], obs).logits)
        np.testing.assert_array_equal(net.value(params, here), net.value(params, obs))
        np.testing.assert_array_equal(q.apply(q_params, here), q.apply(q_params, obs))


def test_a_network_that_sees_nothing_and_a_shared_one_that_hides_are_refused():
    with pytest.raises(ValueError, match="holds no number: there is nothing that a network could see"):
        policy_value_network(config(), spaces(Dict(mask=Mask(2), state=Simulator()), Discrete(2)))
    with pytest.raises(ValueError, match="shared=True lets the critic see what the actor sees"):
        policy_value_network(config(shared=True), spaces(MIXED, Discrete(3)))
    with pytest.raises(ValueError, match="network='cnn' needs images"):
        policy_value_network(config(network="cnn"), spaces(VECTORS, Discrete(2)))


@pytest.mark.parametrize(
    ("obs", "message"),
    [
        ({"a": np.zeros(3)}, "have not the parts of their space"),
        (np.zeros(3), "have not the parts of their space"),
        ({"a": np.zeros(4), "b": {"c": 0.0, "d": np.zeros((2, 2))}}, r"shape \(4,\) at 'a' are not one or more of"),
        ({"a": np.zeros(3), "b": {"c": "x", "d": np.zeros((2, 2))}}, "."),
    ],
)
def test_observations_of_another_tree_are_refused(obs, message):
    with pytest.raises((ValueError, TypeError), match=message):
        as_observation(VECTORS, obs)


# -- statistics


def test_statistics_are_of_floats_and_pixels_and_leaf_by_leaf():
    obs = drawn(MIXED, 64)
    statistics = normalisation.update(MIXED, normalisation.init("mixed", MIXED), obs)
    assert list(statistics) == ["camera", "critic_only", "speed"]
    assert list(normalisation.of_acting(statistics)) == ["camera", "speed"]
    seen = normalisation.apply(MIXED, statistics, obs)
    space = normalisation.whitened_space(MIXED)
    for path, leaf in leaves(MIXED).items():
        x, before = parts(space, seen)[path], parts(MIXED, obs)[path]
        if path not in statistics:
            np.testing.assert_array_equal(x, before)
            continue
        alone = normalisation.update(leaf, normalisation.init("one", leaf), before)
        np.testing.assert_array_equal(x, normalisation.apply(leaf, alone, before))
        assert np.abs(np.mean(x, axis=0)).max() < 1e-3 and leaves(space)[path] == Box(-np.inf, np.inf, leaf.shape)
    for space in (Discrete(3), Dict(a=Discrete(3), b=Box(-9, 9, (2,), np.int32))):
        with pytest.raises(ValueError, match="normalize_observations=True needs observations in a Box, of floats"):
            normalisation.init("none", space)


# -- replay


def parade(space=MIXED, action_space=Discrete(3)):
    """Draws every observation anew, of 64; ends as it draws."""
    shown = jax.tree.map(np.asarray, jax.jit(lambda: drawn(space, 64))())

    def pick(key):
        return jax.tree.map(lambda x: jnp.asarray(x)[jax.random.randint(key, (), 0, 64)], shown)

    def reset(key):
        return jnp.int32(0), pick(key)

    def step(key, time, action):
        end_key, obs_key = jax.random.split(key)
        over = jax.random.bernoulli(end_key, 0.2)
        return time + 1, pick(obs_key), jnp.float32(time), over, False

    return from_functions(reset, step, space, action_space, 5, name="parade")


ACTIONS = {
    "discrete": Discrete(3),
    "several": Dict(go=Box(-1, 1, (2,)), turn=Discrete(4), gear=Tuple((MultiDiscrete((2, 5)), Discrete(2)))),
}


@pytest.mark.thorough("several")
@pytest.mark.parametrize("kind", ACTIONS)
def test_a_replay_gives_back_every_part(kind):
    space = Dict({name: MIXED[name] for name in MIXED.spaces if name != "mask"}) if kind == "several" else MIXED
    env = parade(space, ACTIONS[kind])
    length, num_envs = 37, 2

    def policy(obs, memory, key):
        return jax.vmap(env.action_space.sample)(jax.random.split(key, num_envs)), memory, ()

    @jax.jit
    def everything(key):
        _, rows, _ = unroll(env, policy, start(env, num_envs, key), length, key)
        steps = (rows.obs, rows.action, rows.reward, rows.next_obs, rows.terminated, rows.truncated)
        (kept, _), _ = jax.lax.scan(
            lambda carry, step: ((replay.add(env, carry[0], carry[1], *written(*step)), carry[1] + 1), None),
            (replay.init(env, 20 * num_envs, num_envs), jnp.int32(0)),
            steps,
        )
        time = jnp.arange(length - 20, length - 1)
        index = time[:, None] % 20 * num_envs + jnp.arange(num_envs)[None]
        return jax.tree.map(lambda x: x[time], rows), replay.at(env, kept, index.reshape(-1), 0.9), kept

    rows, got, kept = jax.tree.map(np.asarray, everything(jax.random.key(1)))
    flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), rows)
    going = ~flat.terminated
    assert 3 < going.sum() < len(going) and (flat.truncated & going).sum() > 1
    assert_equal(got.obs, flat.obs)
    assert_equal(got.action, flat.action)
    assert_equal(jax.tree.map(lambda x: x[going], got.next_obs), jax.tree.map(lambda x: x[going], flat.next_obs))
    size = {path: x.nbytes / np.prod(x.shape[:2]) for path, x in parts(space, kept.obs).items()}
    assert size["lights"] == 1 and size["camera"] == 60 and size["at"] == 4 and size.get("mask", 1) == 1


def test_a_stack_of_frames_takes_as_many_times_the_room():
    env = parade()
    sizes = [replay.bytes_per_seed(world, 1000, 2) for world in (env, frame_stack(env, 4))]
    rows = 500 + replay.final_rows(env, 500)
    alone = {path: leaf for path, leaf in leaves(MIXED).items() if path not in ("critic_only", "mask", "lights")}
    once = sum(np.prod(leaf.shape) * leaf.dtype.itemsize for leaf in alone.values()) + 1  # the lights' bits
    assert sizes[1] - sizes[0] == 2 * rows * (3 * once - 3 + 1)  # 12 lights are 2 bytes, 3 are 1


# -- algorithms


def scripted(space, shown, action_space=Discrete(2), meaning=lambda action: action):
    """A walk whose two numbers `shown` turns into an observation of the space; the second action walks on."""

    def reset(key):
        place = jax.random.uniform(key, (2,), jnp.float32, -1.0, 1.0)
        return place, shown(place)

    def step(key, place, action):
        place = place + 0.25 * (2 * jnp.float32(meaning(action)) - 1) + 0.125 * jax.random.normal(key, (2,))
        return place, shown(place), -jnp.sum(jnp.abs(place)), jnp.max(jnp.abs(place)) > 2, False

    return from_functions(reset, step, space, action_space, 8)


FREE = Box(-np.inf, np.inf, (1,))
WORLDS = {
    "flat": scripted(Box(-np.inf, np.inf, (2,)), lambda place: place),
    "parts": scripted(Dict(x=FREE, y=FREE), lambda place: {"x": place[:1], "y": place[1:]}),
    "offset": scripted(
        Box(-np.inf, np.inf, (2,)), lambda place: place, Discrete(2, start=-4), lambda action: action + 4
    ),
}


@functools.cache
def learned_in(algo, world):
    """Leaves of what three updates learn, the metrics of the last one, and returns."""
    env = WORLDS[world]
    config = canonical(tiny(algo, total_steps=64, normalize_observations=True))

    @jax.jit
    def program(key):
        start = begin(algo, env, config, key).state
        state, metrics = jax.lax.scan(lambda state, _: algo.update(config, env, state), start, length=3)
        last = jax.tree.map(lambda x: x[-1], metrics)
        return jax.tree.leaves(state.learner), last, evaluate(algo, env, config, state.policy, key, 4)

    return program(KEY)


@pytest.mark.thorough("ppo-parts", "dqn")
@pytest.mark.parametrize("world", ["parts", "offset"])
@pytest.mark.parametrize("algo", [PPO, DQN], ids=lambda algo: algo.name)
def test_a_run_learns_what_it_does_of_the_same_numbers(algo, world):
    learned = [learned_in(algo, name) for name in ("flat", world)]
    if world == "offset":
        assert_equal(*learned)
    else:
        (leaves_a, *a), (leaves_b, *b) = learned
        sizes = [sum(x.size for x in found) for found in (leaves_a, leaves_b)]
        assert abs(sizes[0] - sizes[1]) <= 1  # one count more, of the statistics of one leaf more
        assert_close(a, b, rtol=1e-4, atol=1e-5)


def acts(action_space):
    """Shows nothing much; pays for what lies in the middle of the action space."""

    def reset(key):
        return jnp.int32(0), jax.random.uniform(key, (2,))

    def step(key, time, action):
        reward = sum(jnp.sum(jnp.float32(x)) for x in jax.tree.leaves(action))
        return time + 1, jax.random.uniform(key, (2,)), reward, False, False

    return from_functions(reset, step, Box(0, 1, (2,)), action_space, 4, name="acts")


ACTION_SPACES = [
    MultiDiscrete((2, 3)),
    Box([[0.0, -4.0], [2.0, -9.0]], [[1.0, 4.0], [6.0, 9.0]]),
    Dict(go=Box(-2, 2, (2,)), turn=Discrete(3, start=7), gear=Tuple((MultiDiscrete((2, 2)), Discrete(2)))),
    Tuple((Discrete(2), Box(0, 1, ()))),
]


@pytest.mark.thorough("ppo-multi", "ppo-axes", "ppo-tuple")
@pytest.mark.exhaustive("trpo-axes", "trpo-dict", "trpo-tuple")
@pytest.mark.parametrize("space", ACTION_SPACES, ids=["multi", "axes", "dict", "tuple"])
@pytest.mark.parametrize(
    "algo", [PPO, pytest.param(ALGORITHMS["trpo"], marks=pytest.mark.thorough)], ids=lambda algo: algo.name
)
def test_actions_of_many_parts(algo, space):
    env, config = acts(space), canonical(tiny(algo))
    check_support(algo, env)

    @jax.jit
    def program(key):
        state = begin(algo, env, config, key).state
        return state.policy, *algo.update(config, env, state)

    policy, after, metrics = program(KEY)
    assert all(
        np.all(np.isfinite(x)) for x in to_host((after.learner, [loss.value for loss in metrics.losses.values()]))
    )
    obs, act = jax.random.uniform(KEY, (50, 2)), jax.jit(lambda *x: algo.act(config, env, *x))
    for key in (None, KEY):
        action, memory = act(policy, obs, (), key)
        assert memory == () and jax.vmap(space.contains)(action).all()
    if not isinstance(space, Box):
        assert all(len(np.unique(np.asarray(x).reshape(50, -1), axis=0)) > 1 for x in jax.tree.leaves(action))
    if isinstance(space, Dict | Tuple):
        net = policy_value_network(config, spaces(env.observation_space, space))
        assert isinstance(jax.eval_shape(lambda: net.policy(net.init(KEY)["actor"], obs)), Joint)


def test_an_algorithm_says_what_it_cannot_act_in_and_who_can():
    with pytest.raises(ValueError, match=r"dqn acts in Discrete spaces, .* algorithms for MultiDiscrete: .*ppo"):
        check_support(DQN, acts(MultiDiscrete((2, 3))))
    with pytest.raises(ValueError, match=r"sac acts in Box spaces, .* algorithms for Dict: .*ppo"):
        check_support(SAC, acts(ACTION_SPACES[2]))
    with pytest.raises(ValueError, match="of int32, in which no algorithm acts"):
        check_support(PPO, acts(Dict(a=Box(0, 3, (2,), np.int32))))


@pytest.mark.thorough
@pytest.mark.parametrize("algo", [PPO, DQN], ids=lambda algo: algo.name)
def test_a_run_on_a_tree_is_kept_and_played(algo, tmp_path):
    config = tiny(algo, total_steps=32, normalize_observations=True)
    result = run(algo, parade(), config, 1, tmp_path / "run", num_evals=1, num_episodes=2, progress=False)
    assert np.all(np.isfinite(result.returns)) and result.failed == {}
    assert_equal(load_policies(load_run(tmp_path / "run", env=parade())).last, result.state.policy)
    obs = {name: x for name, x in drawn(MIXED).items() if name != "critic_only"}
    actions = np.asarray(result.policy()(obs))
    assert np.all(np.take_along_axis(np.asarray(obs["mask"]), actions[:, None], axis=1))
