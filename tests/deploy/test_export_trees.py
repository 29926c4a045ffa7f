"""Exported policies of composed observations and actions, of masks and of memories; files of the first format."""

import dataclasses
import json
import pickle
import re
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_export import LOADERS, random_policy, without_jax
from tiny import assert_equal, draws, searches, targets, task, tiny
from tree_tasks import AVERAGER, COMPOSED, GAMBLER, SWITCHES, observed, panel, result_of, simulated

from jaxrl_up import ALGORITHMS, DDPG, PPO
from jaxrl_up.deploy import export, load_policy, numpy_policy, save_policy
from jaxrl_up.envs import Box, Dict, Discrete, Mask, MultiDiscrete, Tuple, allows, leaves, parts

FORMAT_1 = Path(__file__).parent / "format_1"


def exported(path, algo, env, seed=0, **fields):
    """The path of a policy with random weights, and the same one live."""
    config = tiny(algo, **fields)
    policy = random_policy(algo, env, config, seed)
    return save_policy(path, algo, env, config, policy, overwrite=True), result_of(algo, env, config, policy).policy()


@pytest.fixture(scope="module")
def switches(tmp_path_factory):
    """A tree of observations with a mask, a MultiDiscrete of actions."""
    return exported(tmp_path_factory.mktemp("switches") / "policy.bin", PPO, panel())


@pytest.fixture(scope="module")
def gambler(tmp_path_factory):
    """A memory of a counter and a typed key."""
    return exported(tmp_path_factory.mktemp("gambler") / "policy.bin", GAMBLER, task(PPO))


@pytest.fixture(scope="module")
def averager(tmp_path_factory):
    """A memory of numbers."""
    return exported(tmp_path_factory.mktemp("averager") / "policy.bin", AVERAGER, task(PPO))


def test_a_tree_with_a_mask_acts_bit_for_bit(switches):
    path, live = switches
    obs = observed(panel(), 60)
    wanted = live(obs)
    assert wanted.shape == (60, 2) and all(len(set(column)) > 1 for column in wanted.T.tolist())
    for load in (load_policy, numpy_policy.load_policy):
        policy = load(path)
        assert not policy.remembers
        np.testing.assert_array_equal(policy(obs), wanted)
        np.testing.assert_array_equal(policy(jax.tree.map(lambda x: x.reshape(3, 20, *x.shape[1:]), obs)),
                                      wanted.reshape(3, 20, 2))  # fmt: skip
        np.testing.assert_array_equal(policy(jax.tree.map(lambda x: x[7], obs)), wanted[7])
        more = {**obs, "critic_only": np.zeros((60, 1)), "other": None}
        listed = jax.tree.map(lambda x: x[0].tolist(), more, is_leaf=lambda x: isinstance(x, np.ndarray))
        np.testing.assert_array_equal(policy(more), wanted)
        np.testing.assert_array_equal(policy({**listed, "arm": list(listed["arm"])}), wanted[0])
    assert load_policy(path).observation_space == Dict(
        {**{name: space for name, space in panel().observation_space.items if name != "critic_only"}}
    )
    assert load_policy(path).action_space == SWITCHES


MASKED = {
    name: algo
    for name, algo in ALGORITHMS.items()
    if "Discrete" in algo.action_spaces and not (draws(algo) or searches(algo))
}


@pytest.mark.thorough(*MASKED.keys() - {"ppo", "dqn"})
@pytest.mark.parametrize("name", [*MASKED, "switches"])
def test_what_it_does_is_allowed(name, tmp_path):
    actions = SWITCHES if name == "switches" else Discrete(5, start=2)
    algo, env = MASKED.get(name, PPO), panel(actions)
    path, live = exported(tmp_path / "policy.bin", algo, env)
    obs = observed(env, 200)
    wanted = np.asarray(live(obs))
    assert len(np.unique(wanted, axis=0)) > 2
    assert bool(allows(actions, obs["mask"], wanted).all())
    for load in (load_policy, numpy_policy.load_policy):
        np.testing.assert_array_equal(load(path)(obs), wanted)
    alone = {**obs, "mask": np.zeros_like(obs["mask"])}
    alone["mask"][:, [1, 4] if name == "switches" else 4] = True
    only = np.broadcast_to([1, 2] if name == "switches" else 6, wanted.shape)
    for load in (load_policy, numpy_policy.load_policy):
        np.testing.assert_array_equal(load(path)(alone), only)


@pytest.mark.thorough("actions1", "actions2")
@pytest.mark.parametrize("actions", [COMPOSED, Box(-1, [[1, 3], [2, 4]], (2, 2)), Tuple((Discrete(3), SWITCHES))])
def test_composed_actions_and_boxes_of_axes(actions, tmp_path):
    env = panel(actions)
    path, live = exported(tmp_path / "policy.bin", PPO, env)
    obs = observed(env, 40)
    wanted = live(obs)
    for load in (load_policy, numpy_policy.load_policy):
        found = load(path)(obs)
        assert jax.tree.structure(found) == jax.tree.structure(wanted)
        for x, y in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
            assert (x.shape, x.dtype) == (y.shape, y.dtype)
            np.testing.assert_allclose(x, y, rtol=0, atol=1e-5)
        one = load(path)(jax.tree.map(lambda x: x[3], obs))
        assert all(bool(leaf.contains(x)) for leaf, x in zip(leaves(actions).values(), parts(actions, one).values(),
                                                             strict=True))  # fmt: skip
    assert load_policy(path).action_space == actions


def played(policy, obs, memory):
    """What a policy does in turn, and the memories after it."""
    done = []
    for row in obs:
        action, memory = policy(row, memory)
        done.append((action, jax.tree.leaves(memory)))
    return done


def test_a_counter_and_a_key_cross_the_file(gambler):
    path, live = gambler
    policy = load_policy(path)
    assert policy.remembers and live.remembers
    described = [{key: x[key] for key in ("path", "shape", "dtype")} for x in policy.about["memory"]]
    assert described == [{"path": "count", "shape": [], "dtype": "int32"},
                         {"path": "key", "shape": [2], "dtype": "uint32"}]  # fmt: skip
    obs = np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32)
    for seed in range(2):
        key = jax.random.key(seed)
        begun = policy.initial_memory(key)
        assert_equal(begun, live.initial_memory(key))
        assert jnp.issubdtype(begun[1].dtype, jax.dtypes.prng_key)
        wanted = played(live, obs, live.initial_memory(key))
        assert_equal(played(policy, obs, begun), wanted)
        assert {int(action) for action, _ in wanted} == {0, 1}
    assert_equal(policy(obs[0], live.initial_memory(3)), live(obs[0], live.initial_memory(3)))  # a tree of the same
    keys = jax.random.split(jax.random.key(9), (3, 4))
    many = policy.initial_memory(keys)
    assert many[0].shape == many[1].shape == (3, 4)
    actions, after = policy(obs.reshape(3, 4, 4), many)
    assert (actions.shape, after[0].shape, after[1].shape) == ((3, 4), (3, 4), (3, 4))
    assert_equal((actions[2, 1], tuple(x[2, 1] for x in after)), live(obs[9], live.initial_memory(keys[2, 1])))
    assert_equal(jax.jit(policy)(obs[0], policy.initial_memory(1)), policy(obs[0], policy.initial_memory(1)))


def test_numpy_refuses_random_keys_and_says_why(gambler, tmp_path):
    with pytest.raises(ValueError, match=r"its memory holds a random key, which NumPy lacks; load it with jaxrl_up"):
        numpy_policy.load_policy(gambler[0])

    def begin(config, env, key):
        return jax.random.normal(key, (2,))

    def act(config, env, policy, obs, memory, key):
        return PPO.act(config, env, policy, obs, (), None)[0], memory + 1

    path, live = exported(tmp_path / "a.bin", dataclasses.replace(PPO, initial_memory=begin, act=act), task(PPO))
    with pytest.raises(ValueError, match="its memory begins with a draw from a random key, which NumPy lacks"):
        numpy_policy.load_policy(path)
    policy = load_policy(path)
    assert_equal(policy.initial_memory(4), live.initial_memory(4))
    assert policy.about["memory"][0]["path"] == ""

    def act(config, env, policy, obs, memory, key):
        draw = jax.random.uniform(jax.random.fold_in(jax.random.key(0), memory))
        return jnp.round(draw).astype(jnp.int32), memory + 1

    remember = dataclasses.replace(PPO, initial_memory=lambda config, env, key: jnp.uint32(0), act=act)
    path, live = exported(tmp_path / "b.bin", remember, task(PPO))
    with pytest.raises(ValueError, match="it draws from random keys, which NumPy lacks"):
        numpy_policy.load_policy(path)
    assert_equal(load_policy(path)(np.zeros(4), jnp.uint32(5)), live(np.zeros(4), jnp.uint32(5)))


def test_a_memory_of_numbers_in_both(averager):
    path, live = averager
    obs = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    wanted = played(live, obs, live.initial_memory(0))
    for load in (load_policy, numpy_policy.load_policy):
        policy = load(path)
        assert [x["path"] for x in policy.about["memory"]] == ["average/0", "average/1"]
        found = played(policy, obs, policy.initial_memory(jax.random.key(7)))
        for (action, memory), (wanted_action, wanted_memory) in zip(found, wanted, strict=True):
            assert action == wanted_action
            for x, y in zip(memory, wanted_memory, strict=True):
                assert (x.shape, x.dtype) == (y.shape, y.dtype)
                np.testing.assert_allclose(x, y, rtol=1e-5)
    policy = numpy_policy.load_policy(path)
    begun = policy.initial_memory(lead=(2, 10))
    actions, memory = policy(obs.reshape(2, 10, 4), begun)
    assert actions.shape == memory[1].shape == (2, 10) and memory[0].shape == (2, 10, 2)
    np.testing.assert_array_equal(begun[0], np.full((2, 10, 2), 0.25))
    begun[0][:] = 9  # its own
    assert policy.initial_memory()[0][0] == 0.25


def test_a_memory_is_asked_for_and_checked(averager, gambler, switches):
    for load in (load_policy, numpy_policy.load_policy):
        policy = load(averager[0])
        begun = policy.initial_memory(0)
        with pytest.raises(TypeError, match=r"this policy remembers: call it as `action, memory = policy\(obs, memory"):
            policy(np.zeros(4))
        with pytest.raises(ValueError, match="has 2 parts, and not 1"):
            policy(np.zeros(4), begun[:1])
        with pytest.raises(ValueError, match=r"parts of the memory of shape \(3,\) at 'average/0' are not one or more"):
            policy(np.zeros(4), (np.zeros(3), begun[1]))
        with pytest.raises(ValueError, match=r"of the memory at 'average/0' have the leading axes \(\), .* \(5,\)"):
            policy(np.zeros((5, 4)), begun)
        with pytest.raises(ValueError, match="of the memory of dtype float32 at 'average/1' are not of the space's"):
            policy(np.zeros(4), (begun[0], np.float32(0)))
        forgetful = load(switches[0])
        assert forgetful.initial_memory(0) == ()
        obs = jax.tree.map(lambda x: x[0], observed(panel(), 1))
        np.testing.assert_array_equal(forgetful(obs, ()), forgetful(obs))
        with pytest.raises(TypeError, match="this policy remembers nothing"):
            forgetful(obs, begun)
    with pytest.raises(ValueError, match=r"begins with a key of threefry2x32, and not of rbg: give jax\.random\.key"):
        load_policy(gambler[0]).initial_memory(jax.random.key(0, impl="rbg"))


def test_noise_of_exploration_is_no_memory_of_a_greedy_policy(tmp_path):
    path, live = exported(tmp_path / "policy.bin", DDPG, targets(), exploration_noise="ou")
    for load in (load_policy, numpy_policy.load_policy):
        assert not load(path).remembers
        np.testing.assert_allclose(load(path)(np.float32([0.5])), live(np.float32([0.5])), rtol=0, atol=1e-5)


def test_a_policy_that_reads_no_observation(tmp_path):
    """Nor does what it remembers depend on anything."""
    deaf = dataclasses.replace(
        PPO,
        initial_memory=lambda config, env, key: (jnp.int32(1), jnp.zeros(2)),
        act=lambda config, env, policy, obs, memory, key: (jnp.int32(1), (jnp.int32(4), memory[1])),
    )
    path, _ = exported(tmp_path / "policy.bin", deaf, task(PPO))
    for load in (load_policy, numpy_policy.load_policy):
        policy = load(path)
        assert_equal(policy(np.zeros(4), policy.initial_memory(0)), (np.int32(1), np.int32(4), np.zeros(2)))
        many = (np.int32([1, 2]), np.ones((2, 2)))
        assert_equal(policy(np.zeros((2, 4)), many), (np.int32([1, 1]), np.int32([4, 4]), np.ones((2, 2))))


def test_a_policy_that_needs_the_simulator_is_refused(tmp_path):
    env, path = simulated(), tmp_path / "policy.bin"
    config = tiny(PPO)
    policy = random_policy(PPO, env, config)
    with pytest.raises(ValueError, match=r"a policy that needs the simulator cannot be exported: .*'sim'") as caught:
        save_policy(path, PPO, env, config, policy)
    assert "\n" not in str(caught.value) and not path.exists()


@LOADERS
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda obs: obs["counts"], "observations are no dict of arm, counts, mask, walls"),
        (lambda obs: {k: x for k, x in obs.items() if k != "walls"}, "observations lack the part 'walls'"),
        (lambda obs: {**obs, "arm": obs["arm"][0]}, "observations at 'arm' are no tuple of 2 parts"),
        (lambda obs: {**obs, "arm": obs["arm"][:1]}, "observations at 'arm' are no tuple of 2 parts"),
        (lambda obs: {**obs, "arm": (np.zeros((9, 2)), obs["arm"][1])}, r"of shape \(9, 2\) at 'arm/0' are not one or"),
        (lambda obs: {**obs, "mask": np.ones((9, 5))}, "of dtype float.. at 'mask' are not of the space's, bool"),
        (lambda obs: {**obs, "counts": np.zeros((8, 2), int)}, r"at 'counts' have the leading axes \(8,\), .*\(9,\)"),
        (lambda obs: {**obs, "walls": [[0, 1], [1]]}, "observations at 'walls' are no array of numbers"),
        (lambda obs: {**obs, "counts": {"a": 1}}, r"observations .*at 'counts' are no"),
        (lambda obs: jax.tree.map(lambda x: x[:0], obs), r"of shape \(0, 3\) at 'arm/0' are not one or more"),
    ],
)
def test_a_wrong_part_is_named(load, change, message, switches):
    policy = load(switches[0])
    with pytest.raises(ValueError, match=message) as caught:
        policy(change(observed(panel(), 9)))
    assert "\n" not in str(caught.value)


def test_loaded_policies_can_be_pickled(switches, gambler, averager):
    obs = observed(panel(), 5)
    for load in (load_policy, numpy_policy.load_policy):
        policy = load(switches[0])
        again = pickle.loads(pickle.dumps(policy))
        np.testing.assert_array_equal(again(obs), policy(obs))
        policy = load(averager[0])
        again = pickle.loads(pickle.dumps(policy))
        assert_equal(again(np.ones(4), again.initial_memory(0)), policy(np.ones(4), policy.initial_memory(0)))
    policy = load_policy(gambler[0])
    again = pickle.loads(pickle.dumps(policy))
    assert_equal(again(np.ones(4), again.initial_memory(0)), policy(np.ones(4), policy.initial_memory(0)))


def test_equal_policies_make_equal_files(tmp_path):
    for algo, env in ((PPO, panel()), (GAMBLER, task(PPO)), (AVERAGER, task(PPO))):
        first, second = (exported(tmp_path / name, algo, env)[0].read_bytes() for name in ("a.bin", "b.bin"))
        assert first == second
        assert first != exported(tmp_path / "c.bin", algo, env, seed=1)[0].read_bytes()


def test_what_the_file_says_itself_is_not_overwritten(tmp_path):
    policy = random_policy(PPO, task(PPO), tiny(PPO))
    for name in ("action_space", "memory", "numpy"):
        with pytest.raises(ValueError, match=f"{name!r} it says itself"):
            save_policy(tmp_path / "policy.bin", PPO, task(PPO), tiny(PPO), policy, {name: "mine"})


def test_all_spaces_come_back():
    for space in (
        panel().observation_space,
        COMPOSED,
        Discrete(4, start=-2),
        MultiDiscrete((2, 3)),
        Mask(3),
        Mask((2, 2)),
        Box(0, 1, (3,), np.int8, binary=True),
        Dict({"a": Dict({"b": Tuple((Box(-np.inf, [1.0, np.inf], (2,)), Discrete(2)))}), "10": Discrete(2)}),
    ):
        described = json.loads(json.dumps(export._describe(space), allow_nan=False))
        assert export._space(described) == space


def test_numpy_is_enough(switches, averager, tmp_path):
    loader = shutil.copy(numpy_policy.__file__, tmp_path / "numpy_policy.py")
    obs = jax.tree.map(lambda x: x[0], observed(panel(), 1))
    text = json.dumps(jax.tree.map(lambda x: x.tolist(), obs))
    done = without_jax(loader, switches[0], text)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == switches[1](obs).tolist()
    about = json.loads(without_jax(loader, switches[0]).stdout)
    assert about["observation_space"]["spaces"]["arm"]["spaces"][1] == {
        "kind": "Discrete", "shape": [], "dtype": "int32", "n": 4, "start": -1
    }  # fmt: skip
    live = averager[1]
    action, memory = live(np.ones(4), live.initial_memory(0))
    done = without_jax(loader, averager[0], "[1, 1, 1, 1]")
    assert json.loads(done.stdout)[0] == int(action)
    again = without_jax(loader, averager[0], "[1, 1, 1, 1]", json.dumps(json.loads(done.stdout)[1]))
    assert json.loads(again.stdout)[1][1] == 2
    np.testing.assert_allclose(json.loads(again.stdout)[1][0], live(np.ones(4), memory)[1]["average"][0], rtol=1e-5)
    for arguments in ([switches[0], "[1, 2]"], [switches[0], text, "[1]"], [averager[0], "[1, 1, 1, 1]", "[3]"]):
        done = without_jax(loader, *arguments)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)


@LOADERS
@pytest.mark.parametrize("name", ["ppo-cartpole", "sac-pendulum"])
def test_files_of_the_first_format_still_load(load, name):
    """Written by version 0.1.0, and what its policies did."""
    policy = load(FORMAT_1 / f"{name}.bin")
    assert policy.about["jaxrl_up policy"] == 1 and not policy.remembers
    wanted = json.loads((FORMAT_1 / "actions.json").read_text(encoding="utf-8"))[name]
    obs = np.float32(wanted["observations"])
    np.testing.assert_allclose(policy(obs), np.asarray(wanted["actions"]), rtol=0, atol=1e-5)
    np.testing.assert_allclose(policy(obs[3]), wanted["actions"][3], rtol=0, atol=1e-5)
    with pytest.raises(ValueError, match=re.escape("of shape (2,) are not one or more")):
        policy(np.zeros(2))
    assert pickle.loads(pickle.dumps(policy)).about == policy.about
