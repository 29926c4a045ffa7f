"""Spaces of many parts: their elements, what is shown to whom, and the wrappers that add parts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_up import envs
from jaxrl_up.envs import (
    Box,
    Dict,
    Discrete,
    Mask,
    MultiDiscrete,
    Simulator,
    Tuple,
    acting,
    allows,
    leaves,
    map_leaves,
    mask_of,
    only,
    parts,
    pick,
    probes,
    sample_allowed,
    seen,
    stored,
    zeros,
)

KEY = jax.random.key(0)
PAIR = Tuple((Box(-1, 1, (2,)), Discrete(3, start=1)))
SPACE = Dict(
    {
        "mask": Mask((2, 3)),
        "arm": Dict(angle=Box(-1, 1, ()), pair=PAIR),
        "critic_only": Box(0, 9, (1,)),
        "state": Simulator(),
        "lights": Box(0, 1, (4,), np.bool_, binary=True),
    }
)
PATHS = ["arm/angle", "arm/pair/0", "arm/pair/1", "critic_only", "lights", "mask", "state"]


def element():
    return {**Dict({name: SPACE[name] for name in SPACE.spaces if name != "state"}).sample(KEY), "state": {"x": KEY}}


def test_trees_hash_compare_and_say_what_they_are():
    assert Dict(b=Discrete(2), a=Box(0, 1, ())) == Dict({"a": Box(0, 1, ()), "b": Discrete(2)})
    assert hash(Dict(a=PAIR)) == hash(Dict(a=Tuple([Box(-1, 1, (2,)), Discrete(3, start=1)])))
    assert Tuple((PAIR, Discrete(2))) != Tuple((Discrete(2), PAIR)) and PAIR[1] == Discrete(3, start=1)
    assert repr(Dict(a=PAIR)) == "Dict({'a': Tuple((Box(-1, 1, (2,), float32), Discrete(3, start=1)))})"
    assert repr(Mask(3)) == "Mask(3)" and repr(Mask((2, 3))) == "Mask((2, 3))" and Mask(3) == Mask((3,))
    assert repr(Box(0, 1, (2,), binary=True)) == "Box(0, 1, (2,), float32, binary=True)" and "arm" in SPACE


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: Dict({"a": 3}),
            TypeError,
            r"Dict\(spaces\) as 'a' needs a space, as envs.Box or envs.Discrete, got 3",
        ),
        (lambda: Dict({"a/b": PAIR}), ValueError, "names that are text without '/'"),
        (lambda: Dict({1: PAIR}), ValueError, "names that are text without '/', got 1"),
        (lambda: Dict({}), ValueError, "one space at least"),
        (lambda: Dict([("a", PAIR)]), TypeError, "a dict of spaces by name"),
        (lambda: Tuple(()), ValueError, "one space at least"),
        (lambda: Tuple((PAIR, "x")), TypeError, r"Tuple\(spaces\) as number 1 needs a space"),
        (lambda: Tuple((Dict(m=Mask(2)),)), ValueError, r"no place for Mask\(2\), which not all see"),
        (lambda: MultiDiscrete((2, 0)), ValueError, r"MultiDiscrete\(sizes\) needs one or more integers >= 1"),
        (lambda: MultiDiscrete(4), ValueError, r"MultiDiscrete\(sizes\) needs one or more integers >= 1"),
        (lambda: Mask(0), ValueError, r"Mask\(sizes\) needs one or more integers >= 1"),
        (lambda: Discrete(3, start=2**31 - 2), ValueError, "integers of int32 from start"),
        (lambda: Discrete(3, start=0.5), ValueError, "integers of int32 from start"),
        (lambda: Box(0, 2, (2,), binary=True), ValueError, "zeros and ones: its bounds are 0 and 1"),
        (lambda: Simulator().sample(KEY), ValueError, "its states come from the environment"),
    ],
)
def test_nonsense_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_leaves_and_parts_go_by_path():
    assert list(leaves(SPACE)) == PATHS and list(leaves(Discrete(2))) == [""]
    found = parts(SPACE, element())
    assert list(found) == PATHS and found["state"] == {"x": KEY} and found["arm/pair/1"].shape == ()
    shapes = map_leaves(lambda leaf, x: (leaf.shape, x.shape), PAIR, PAIR.sample(KEY))
    assert shapes == (((2,), (2,)), ((), ()))
    assert jax.tree.structure(zeros(PAIR, (4,))) == jax.tree.structure(PAIR.sample(KEY))
    assert zeros(PAIR, (4,))[0].shape == (4, 2) and zeros(Dict(s=Simulator())) == {"s": ()}


@pytest.mark.parametrize("space", [PAIR, Dict(a=PAIR, b=MultiDiscrete((2, 5))), Mask((2, 3)), MultiDiscrete((1, 4))])
def test_samples_are_elements(space):
    samples = jax.jit(jax.vmap(space.sample))(jax.random.split(KEY, 64))
    assert jax.vmap(space.contains)(samples).all()
    assert all(len(np.unique(np.asarray(x).reshape(64, -1), axis=0)) > 1 for x in jax.tree.leaves(samples))


def test_elements_of_another_tree_are_none():
    assert not PAIR.contains((jnp.zeros(2), jnp.int32(0)))  # below the start
    assert not PAIR.contains((jnp.zeros(2),)) and not PAIR.contains({"0": 1}) and not Dict(a=PAIR).contains({"b": 1})
    assert not MultiDiscrete((2, 3)).contains(jnp.int32([1, 3])) and not Mask(2).contains(jnp.ones(2))
    assert not Box(0, 1, (2,), binary=True).contains(jnp.float32([0.5, 1]))


def test_each_sees_what_it_may():
    obs = element()
    assert list(leaves(only(SPACE, stored))) == PATHS[:-1]
    assert list(leaves(only(SPACE, acting))) == [path for path in PATHS if path != "critic_only"]
    assert list(leaves(only(SPACE, seen))) == PATHS[:-2]
    for view in (stored, acting, seen):
        assert jax.tree.structure(pick(SPACE, view, obs)).num_leaves == len(leaves(only(SPACE, view)))
    kept = pick(SPACE, stored, obs)
    assert "state" not in kept and pick(SPACE, acting, kept).keys() == {"arm", "lights", "mask"}  # one view of another
    with pytest.raises(ValueError, match=r"nothing of Dict.* is left"):
        only(Dict(critic_only=Box(0, 1, ())), acting)


def test_a_mask_says_which_actions_are_allowed():
    obs = {**element(), "mask": jnp.bool_([False, True, True, False, True])}
    mask, space = mask_of(SPACE, obs), MultiDiscrete((2, 3))
    drawn = jax.jit(jax.vmap(lambda key: sample_allowed(space, mask, key)))(jax.random.split(KEY, 200))
    assert {tuple(row) for row in drawn.tolist()} == {(1, 0), (1, 2)}
    np.testing.assert_array_equal(allows(space, mask, jnp.int32([[1, 0], [1, 1], [0, 2], [1, 2]])), [1, 0, 0, 1])
    one = jnp.bool_([True, False, True])
    drawn = jax.jit(jax.vmap(lambda key: sample_allowed(Discrete(3, start=-1), one, key)))(jax.random.split(KEY, 200))
    share = np.mean(np.asarray(drawn) == -1)
    assert set(drawn.tolist()) == {-1, 1} and 0.35 < share < 0.65
    np.testing.assert_array_equal(allows(Discrete(3, start=-1), one, jnp.int32([-1, 0, 1])), [1, 0, 1])
    np.testing.assert_array_equal(Mask((2, 1)).possible(jnp.bool_([[1, 0, 1], [0, 0, 1], [1, 1, 0]])), [1, 0, 0])


def masked(mask=Mask(3), action_space=Discrete(3), allowed=lambda time: jnp.arange(3) == time % 3, ends=6):
    """Shows the time and a mask; pays 1; terminates at `ends`."""

    def show(time):
        return {"time": time.astype(jnp.float32)[None], "mask": allowed(time)}

    def reset(key):
        time = jax.random.randint(key, (), 0, 3)
        return time, show(time)

    def step(key, time, action):
        return time + 1, show(time + 1), 1.0, time + 1 >= ends, False

    return envs.from_functions(reset, step, Dict(time=Box(0, 99, (1,)), mask=mask), action_space, 9, name="masked")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: masked(Mask(4)), r"masked: Mask\(4\) does not fit the action space Discrete\(3\): its sizes must be"),
        (lambda: masked(Mask(3), MultiDiscrete((3,))), None),
        (lambda: masked(Mask(3), Box(0, 1, (3,))), "allowed, but actions are Box"),
        (lambda: masked(Mask(3), Dict(a=Discrete(3))), "allowed, but actions are Dict"),
        (lambda: masked(Dict(a=Mask(3), b=Mask(3))), "one mask at most, but 'mask/a' and 'mask/b' are masks"),
    ],
)
def test_a_mask_that_does_not_fit_is_refused(make, message):
    if message is None:
        return envs.check(make())
    with pytest.raises(ValueError, match=message):
        make()


def test_check_wants_an_allowed_action_but_at_the_end():
    envs.check(masked(allowed=lambda time: (jnp.arange(3) == time % 3) & (time < 6)))
    with pytest.raises(ValueError, match=r"allows no action at step .* allow one at least"):
        envs.check(masked(allowed=lambda time: (jnp.arange(3) == time % 3) & (time < 5)))
    with pytest.raises(ValueError, match="allows no action after reset"):
        envs.check(masked(allowed=lambda time: (jnp.arange(3) == time % 3) & (time > 1)))


def test_sticky_actions_repeat_only_what_is_allowed():
    env = envs.sticky_actions(masked(), 0.9)
    state, obs = env.reset(KEY)
    for key in jax.random.split(KEY, 20):
        action = jnp.argmax(obs["mask"]).astype(jnp.int32)
        state, step = env.step(key, state, action)
        done = step.terminated | step.truncated
        assert done or int(state.inner.previous if hasattr(state.inner, "previous") else state.previous) == int(action)
        obs = step.obs


def tree_task():
    """Two parts that tell the time, a picture, and one for critics."""

    def show(time):
        picture = jnp.full((3, 4, 2), time, jnp.uint8)
        return {"n": time, "x": jnp.float32(time)[None], "camera": picture, "critic_only": jnp.float32(time)}

    space = Dict(n=Discrete(9), x=Box(0, 9, (1,)), camera=Box(0, 255, (3, 4, 2), np.uint8), critic_only=Box(0, 9, ()))

    def reset(key):
        return jnp.int32(0), show(jnp.int32(0))

    def step(key, time, action):
        return time + 1, show(time + 1), jnp.float32(action), False, False

    return envs.from_functions(reset, step, space, Discrete(3, start=1), 5, deterministic_reset=True)


def test_frames_are_stacked_part_by_part():
    env = envs.frame_stack(tree_task(), 3)
    envs.check(env)
    assert env.observation_space == Dict(
        n=MultiDiscrete((9, 9, 9)),
        x=Box(0, 9, (3,)),
        camera=Box(0, 255, (3, 4, 6), np.uint8),
        critic_only=Box(0, 9, ()),
    )
    state, obs = env.reset(KEY)
    assert obs["n"].tolist() == [0, 0, 0] and obs["camera"][0, 0].tolist() == [0] * 6
    for t in range(1, 5):
        state, step = env.step(KEY, state, jnp.int32(1))
        expected = [max(t - 2, 0), max(t - 1, 0), t]
        assert step.next_obs["n"].tolist() == expected and step.next_obs["x"].tolist() == expected
        assert step.next_obs["camera"][1, 2].tolist() == [n for n in expected for _ in range(2)]
        assert step.next_obs["critic_only"] == t
    state, step = env.step(KEY, state, jnp.int32(1))
    assert step.truncated and step.next_obs["n"].tolist() == [3, 4, 5] and step.obs["n"].tolist() == [0, 0, 0]
    assert envs.frame_stack(probes.count_steps(max_steps=3), 2).observation_space.shape == (2,)
    grey = envs.frame_stack(envs.make("DeepSea-bsuite"), 4).observation_space
    assert grey.shape == (8, 8, 4) and grey.binary
    for frames in (1, 2.5, "2"):
        with pytest.raises(ValueError, match="frame_stack needs an integer frames >= 2"):
            envs.frame_stack("CartPole-v1", frames)


def test_what_was_done_and_earned_is_shown():
    env = envs.previous_action(tree_task())
    envs.check(env)
    assert env.observation_space["previous_action"] == Box(0, 1, (3,), binary=True)
    state, obs = env.reset(KEY)
    assert obs["previous_action"].tolist() == [0, 0, 0] and obs["previous_reward"] == 0
    state, step = env.step(KEY, state, jnp.int32(2))
    assert step.obs["previous_action"].tolist() == [0, 1, 0] and step.obs["previous_reward"] == 2
    pendulum = envs.previous_action("Pendulum-v1")
    envs.check(pendulum, num_steps=20)
    assert set(pendulum.observation_space.spaces) == {"obs", "previous_action", "previous_reward"}
    with pytest.raises(ValueError, match=r"previous_action adds 'previous_action', which observations .* have already"):
        envs.previous_action(pendulum)


def test_the_time_that_is_left_is_shown():
    env = envs.time_left(tree_task())
    envs.check(env)
    state, obs = env.reset(KEY)
    left = [float(obs["time_left"])]
    for _ in range(5):
        state, step = env.step(KEY, state, jnp.int32(1))
        left.append(float(step.next_obs["time_left"]))
    np.testing.assert_allclose(left, [1, 0.8, 0.6, 0.4, 0.2, 0], atol=1e-6)
    assert step.truncated and step.obs["time_left"] == 1
    with pytest.raises(ValueError, match="time_left needs a time limit"):
        envs.time_left(probes.count_steps(max_steps=None))


def test_trees_are_flattened_in_the_order_of_their_names():
    env = envs.flatten_observation(tree_task())
    envs.check(env)
    assert env.observation_space.shape == (24 + 1 + 9 + 1,) and env.observation_space.dtype == np.float32
    _, step = env.step(KEY, env.reset(KEY)[0], jnp.int32(1))
    assert step.obs.tolist() == [1.0] * 24 + [1.0] + [0.0, 1.0] + [0.0] * 7 + [1.0]
    with pytest.raises(ValueError, match="of which 'mask' is not for networks"):
        envs.flatten_observation(masked())


def test_actions_are_vectors_between_minus_one_and_one_and_count_from_zero():
    space = Dict(go=Box([[0.0, -4.0], [2.0, -np.inf]], [[1.0, 4.0], [6.0, np.inf]]), turn=Discrete(3, start=5))

    def reset(key):
        return jax.random.normal(key), jnp.zeros(1)

    def step(key, state, action):
        return state, jnp.zeros(1), jnp.sum(action["go"]) + 100.0 * action["turn"], True, False

    env = envs.from_functions(reset, step, Box(-1, 1, (1,)), space)
    envs.check(env)
    unit = envs.unit_action(env)
    assert unit.action_space["go"].shape == (4,) and unit.action_space["turn"] == Discrete(3)
    action = {"go": jnp.float32([1.0, -1.0, 0.0, 7.0]), "turn": jnp.int32(2)}
    _, taken = unit.step(KEY, unit.reset(KEY)[0], action)
    assert taken.reward == 1.0 - 4.0 + 4.0 + 7.0 + 700.0
    theirs = envs.from_unit(action, space)
    assert theirs["go"].tolist() == [[1.0, -4.0], [4.0, 7.0]] and theirs["turn"] == 7
    for wrong in ({"go": jnp.zeros((2, 2))}, {"go": jnp.zeros((2, 2)), "turn": jnp.float32(5)}, jnp.zeros(4)):
        with pytest.raises(ValueError, match="An action for"):
            env.step(KEY, env.reset(KEY)[0], wrong)
