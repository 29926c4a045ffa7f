"""Modules of the user's own, of linen and of nnx: what they compute, and what they may not carry."""

import pickle
import tomllib

import distrax
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from test_networks import config, spaces
from tiny import tiny

from jaxrl_up import PPO, make_config, run
from jaxrl_up.envs import Box, Dict, Discrete
from jaxrl_up.learning import actor_critic_network, check_network, from_nnx, policy_value_network, q_network
from jaxrl_up.records import from_toml, load_run, to_toml

SEEN, UNIT = Box(-1, 1, (3,)), Box(-1, 1, (2,))


class Net(nnx.Module):
    """Two layers in a list, and a scale."""

    def __init__(self, inputs, width, rngs):
        self.layers = nnx.List([nnx.Linear(inputs, width, rngs=rngs), nnx.Linear(width, width, rngs=rngs)])
        self.scale = nnx.Param(jnp.ones(()))

    def __call__(self, x):
        for layer in self.layers:
            x = nnx.tanh(layer(x))
        return self.scale * x


class Head(nnx.Module):
    """Features to a Beta."""

    def __init__(self, inputs, rngs):
        self.layer = nnx.Linear(inputs, 2, rngs=rngs)

    def __call__(self, features):
        concentrations = 1 + nnx.softplus(self.layer(features))
        return distrax.Beta(concentrations[..., :1], concentrations[..., 1:])


class Loud(nnx.Module):
    """Drops units."""

    def __init__(self, rngs):
        self.layer, self.dropout = nnx.Linear(3, 4, rngs=rngs), nnx.Dropout(0.5, rngs=rngs)

    def __call__(self, x):
        return self.dropout(self.layer(x))


class Normed(nnx.Module):
    """Whitens by running statistics."""

    def __init__(self, rngs):
        self.norm = nnx.BatchNorm(3, rngs=rngs)

    def __call__(self, x):
        return self.norm(x)


class LinenLoud(nn.Module):
    """As `Loud`."""

    @nn.compact
    def __call__(self, x):
        return nn.Dropout(0.5, deterministic=False)(nn.Dense(4)(x))


class LinenNormed(nn.Module):
    """As `Normed`."""

    @nn.compact
    def __call__(self, x):
        return nn.BatchNorm(use_running_average=False)(x)


class Quiet(nn.Module):
    """Holds layers that have neither key nor state as they are set."""

    @nn.compact
    def __call__(self, x):
        return nn.LayerNorm()(nn.Dropout(0.5, deterministic=True)(nn.Dense(4)(x)))


def test_an_nnx_module_computes_what_it_computes():
    net = policy_value_network(config(network=from_nnx(Net, inputs=3, width=5)), spaces(SEEN, Discrete(2)))
    params = jax.jit(net.init)(jax.random.key(0))
    found = params["critic"]["params"]["torso"]["network"]["nnx"]
    assert sorted(found) == ["layers.0.bias", "layers.0.kernel", "layers.1.bias", "layers.1.kernel", "scale"]
    plain, obs = Net(3, 5, rngs=nnx.Rngs(0)), jax.random.normal(jax.random.key(1), (4, 3))
    for i, layer in enumerate(plain.layers):
        layer.kernel.set_value(found[f"layers.{i}.kernel"])
    features = plain(obs)
    value = features @ params["critic"]["params"]["head"]["value"]["Dense_0"]["kernel"]
    np.testing.assert_allclose(net.value(params, obs), value[:, 0], rtol=1e-5)
    gradient = jax.jit(jax.grad(lambda p: jnp.sum(net.value(p, obs))))(params)["critic"]["params"]["torso"]["network"]
    assert all(np.any(x != 0) for x in gradient["nnx"].values())


def test_each_seed_and_each_network_builds_its_own():
    net = policy_value_network(config(network=from_nnx(Net, inputs=3, width=5)), spaces(SEEN, Discrete(2)))
    params = jax.jit(jax.vmap(net.init))(jax.random.split(jax.random.key(0), 2))
    kernels = [params[part]["params"]["torso"]["network"]["nnx"]["layers.0.kernel"] for part in ("actor", "critic")]
    drawn = np.concatenate([np.asarray(x).reshape(2, -1) for x in kernels])
    assert len({row.tobytes() for row in drawn}) == 4


@pytest.mark.thorough
def test_nnx_networks_and_heads_are_trained_kept_and_read_back(tmp_path):
    chosen = tiny(PPO, network=from_nnx(Net, inputs=3, width=5), head=from_nnx(Head, inputs=5))
    run(PPO, "Pendulum-v1", chosen, 2, num_evals=1, num_episodes=2, progress=False, directory=tmp_path / "run")
    assert load_run(tmp_path / "run").config == chosen
    assert pickle.loads(pickle.dumps(chosen)) == chosen


def test_own_heads_are_recorded_as_own_networks_are():
    chosen = make_config(PPO, head=from_nnx(Head, inputs=64), log_std="parameter")
    table = tomllib.loads(to_toml({"head": chosen.head}))["head"]
    assert table["fields"]["arguments"] == [["inputs", 64]]
    assert from_toml(table) == chosen.head
    assert from_toml(tomllib.loads(to_toml({"head": "beta"}))["head"]) == "beta"


IMPURE = {
    "Dropout": (LinenLoud(), r"network=LinenLoud\(...\) needs a key at each call \(.*dropout"),
    "BatchNorm": (LinenNormed(), r"network=LinenNormed\(...\) carries state \(batch_stats\)"),
    "GRUCell": (nn.GRUCell(4), r"network=GRUCell\(...\) hands a carry from step to step.*frame_stack"),
    "RNN": (nn.RNN(nn.LSTMCell(4)), r"network=RNN\(...\) hands a carry"),
    "nnx Dropout": (from_nnx(Loud), r"Loud\(...\) needs a key at each call \(it keeps RngCount, RngKey"),
    "nnx BatchNorm": (from_nnx(Normed), r"Normed\(...\) carries state \(BatchStat\)"),
    "flax's own bridge": (nnx.bridge.to_linen(nnx.Linear, 3, 4), "give the nnx module by from_nnx"),
}


@pytest.mark.parametrize("name", IMPURE)
@pytest.mark.parametrize("build", ["policy", "q", "critics"])
def test_keys_and_state_are_refused_in_one_line(name, build):
    module, message = IMPURE[name]
    env = spaces(SEEN, UNIT if build == "critics" else Discrete(2))
    chosen = config(network=module)
    net = {
        "policy": lambda: policy_value_network(chosen, env),
        "q": lambda: q_network(chosen, env),
        "critics": lambda: actor_critic_network(chosen, env, ("action",), 1),
    }[build]()
    with pytest.raises(ValueError, match=message) as error:
        jax.eval_shape(net.init, jax.random.key(0))
    assert "\n" not in str(error.value)


def test_a_head_with_a_key_is_refused_too():
    net = policy_value_network(config(head=LinenLoud()), spaces(SEEN, UNIT))
    with pytest.raises(ValueError, match=r"head=LinenLoud\(...\) needs a key at each call"):
        jax.eval_shape(net.init, jax.random.key(0))


def test_layers_that_ask_for_no_key_may_stay():
    net = policy_value_network(config(network=Quiet()), spaces(Dict({"a": SEEN})["a"], Discrete(2)))
    assert net.value(jax.jit(net.init)(jax.random.key(0)), jnp.ones((2, 3))).shape == (2,)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: from_nnx(Net(3, 5, rngs=nnx.Rngs(0))), r"from_nnx takes a class and its arguments, as from_nnx\(Net"),
        (lambda: from_nnx(nnx.GRUCell, in_features=3, hidden_features=4), r"GRUCell\(...\) hands a carry"),
        (lambda: from_nnx(Net, inputs=3, width=[5]), r"width=\[5\] of Net must be hashable"),
        (lambda: check_network(config(network=Net(3, 5, rngs=nnx.Rngs(0)))), "an nnx one by from_nnx"),
    ],
)
def test_what_from_nnx_does_not_take(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value)
