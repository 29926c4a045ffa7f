"""Torsos, heads and initialisers, against flax, lax and jax.nn."""

import math
import re
from types import SimpleNamespace

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_up.envs import Box, Discrete
from jaxrl_up.learning import (
    ACTIVATIONS,
    CNN,
    MLP,
    Conv,
    Dense,
    Residual,
    Torso,
    action_dims,
    actor_critic_network,
    as_observation,
    check_network,
    orthogonal,
    policy_value_network,
    q_network,
    rescale_value,
    to_float,
    value_network,
    value_scale,
)
from jaxrl_up.ops import Categorical, DiagonalGaussian


def config(**fields):
    chosen = {"network": "auto", "hidden": (8,), "activation": "tanh", "initializer": "flax", "shared": False}
    chosen |= {"initial_log_std": 0.0, "head": "gaussian", "log_std": "parameter"}
    return SimpleNamespace(**{**chosen, **fields})


def spaces(observation, action):
    return SimpleNamespace(observation_space=observation, action_space=action)


CONVOLUTIONS = [(5, 1, 1), (6, 2, 1), (6, 3, 1), (7, 3, 2), (9, 4, 2), (8, 4, 3), (9, 5, 2)]


@pytest.mark.thorough(
    "auto-6-2-1",
    "auto-6-3-1",
    "auto-7-3-2",
    "auto-8-4-3",
    "auto-9-5-2",
    "conv-5-1-1",
    "conv-6-2-1",
    "conv-6-3-1",
    "conv-7-3-2",
)
@pytest.mark.parametrize(("side", "size", "stride"), CONVOLUTIONS)
@pytest.mark.parametrize("lowering", ["slices", "conv", "auto"])
def test_convolution_is_nn_conv(side, size, stride, lowering):
    ours, theirs = Conv(4, size, stride, "torch", lowering), nn.Conv(4, (size, size), stride, padding="VALID")
    x = np.random.default_rng(0).normal(size=(2, side, side + 1, 3)).astype(np.float32)

    def with_gradients(module, params, x):
        def loss(params, x):
            output = module.apply(params, x)
            return jnp.sum(jnp.sin(output)), output

        return jax.grad(loss, (0, 1), has_aux=True)(params, x)

    @jax.jit
    def both(key, x):
        params = ours.init(key, x)
        return with_gradients(ours, params, x), with_gradients(theirs, params, x)

    with jax.numpy_rank_promotion("allow"):  # nn.Conv's bias broadcasts
        (gradients, found), (expected_gradients, expected) = both(jax.random.key(1), x)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    for a, b in zip(jax.tree.leaves(gradients), jax.tree.leaves(expected_gradients), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_convolution_takes_any_leading_axes():
    x = jax.random.normal(jax.random.key(0), (2, 3, 6, 6, 1))
    for lowering in ("slices", "conv"):
        module = Conv(4, 3, 1, lowering=lowering)
        params = jax.jit(module.init)(jax.random.key(1), x)
        whole = module.apply(params, x)
        assert whole.shape == (2, 3, 4, 4, 4)
        np.testing.assert_allclose(whole[1, 2], module.apply(params, x[1, 2]), atol=1e-5)


@pytest.mark.parametrize("shape", [(7, 7), (3, 8), (8, 3), (1, 5), (5, 1), (3, 3, 2, 5)])
@pytest.mark.parametrize("scale", [1.0, math.sqrt(2)])
def test_orthogonal_is_that_of_jax(shape, scale):
    for seed in range(3):
        ours = orthogonal(scale)(jax.random.key(seed), shape)
        theirs = jax.nn.initializers.orthogonal(scale)(jax.random.key(seed), shape)
        np.testing.assert_allclose(ours, theirs, atol=2e-5)
    matrix = ours.reshape(-1, shape[-1]) / scale
    gram = matrix @ matrix.T if matrix.shape[0] < matrix.shape[1] else matrix.T @ matrix
    np.testing.assert_allclose(gram, np.eye(len(gram)), atol=1e-5)


def test_orthogonal_is_exact_for_large_layers_and_under_vmap():
    def gap(key):
        w = orthogonal()(key, (256, 256))
        return jnp.max(jnp.abs(w.T @ w - jnp.eye(256)))

    assert np.all(jax.jit(jax.vmap(gap))(jax.random.split(jax.random.key(0), 3)) < 1e-5)


def test_torch_initialiser_is_uniform_within_its_bounds():
    x = jnp.zeros((1, 50))
    params = Dense(400, "torch").init(jax.random.key(0), x)["params"]["Dense_0"]
    bound = 1 / math.sqrt(50)
    for w in (params["kernel"], params["bias"]):
        assert np.max(np.abs(w)) <= bound
        assert np.max(w) > 0.95 * bound
        assert np.min(w) < -0.95 * bound
    np.testing.assert_allclose(np.std(params["kernel"]), bound / math.sqrt(3), rtol=0.03)
    kernel = Conv(64, 3, initializer="torch").init(jax.random.key(0), jnp.zeros((1, 5, 5, 4)))["params"]["kernel"]
    assert 0.95 / 6 < np.max(np.abs(kernel)) <= 1 / 6


@pytest.mark.parametrize(("features", "lead"), [(1, (5,)), (3, ()), (4, (2, 3)), (7, (5,))])
def test_dense_is_a_linear_layer_whatever_its_width(features, lead):
    """Few units are computed another way on CPU: values, gradients, tangents and lanes are those of `nn.Dense`."""
    x = jax.random.normal(jax.random.key(1), (2, *lead, 8))
    layer, plain = Dense(features), nn.Dense(features)
    both = jax.jit(jax.vmap(lambda key: layer.init(key, x[0])))(jax.random.split(jax.random.key(0), 2))

    def loss(model, params, x):
        return jnp.sum(jnp.sin(model.apply(params, x)))

    def everything(model, params, x):
        value, tangent = jax.jvp(lambda x: model.apply(params, x), (x,), (jnp.cos(x),))
        return value, tangent, jax.grad(loss, argnums=(1, 2))(model, params, x)

    ours = jax.jit(jax.vmap(lambda params, x: everything(layer, params, x)))(both, x)
    inner = {"params": both["params"]["Dense_0"]}
    theirs = jax.jit(jax.vmap(lambda params, x: everything(plain, params, x)))(inner, x)
    assert ours[0].shape == (2, *lead, features)
    for one, other in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


def test_orthogonal_gains_of_the_heads():
    net = policy_value_network(config(initializer="orthogonal"), spaces(Box(-1, 1, (6,)), Discrete(3)))
    params = jax.jit(net.init)(jax.random.key(0))
    logits = params["actor"]["params"]["head"]["logits"]["Dense_0"]
    value = params["critic"]["params"]["head"]["value"]["Dense_0"]
    torso = params["actor"]["params"]["torso"]["MLP_0"]["Dense_0"]["Dense_0"]
    np.testing.assert_allclose(np.linalg.norm(logits["kernel"], axis=0), 0.01, rtol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(value["kernel"], axis=0), 1.0, rtol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(torso["kernel"], axis=1), math.sqrt(2), rtol=1e-4)
    assert not np.any(logits["bias"])


@pytest.mark.parametrize(
    ("module", "shape", "features"),
    [
        (MLP((5, 3)), (4, 7), (4, 3)),
        (MLP((5,), event_ndim=2), (2, 4, 3, 7), (2, 4, 5)),
        (CNN((16,)), (4, 10, 10, 4), (4, 16)),
        (CNN((512,)), (2, 3, 84, 84, 4), (2, 3, 512)),
    ],
)
def test_shapes_of_torsos(module, shape, features):
    x = jax.ShapeDtypeStruct(shape, jnp.float32)
    out, _ = jax.eval_shape(module.init_with_output, jax.random.key(0), x)
    assert out.shape == features


def test_nature_cnn_has_the_sizes_of_the_paper():
    x = jax.ShapeDtypeStruct((1, 84, 84, 4), jnp.float32)
    params = jax.eval_shape(CNN((512,)).init, jax.random.key(0), x)["params"]
    assert [params[f"Conv_{i}"]["kernel"].shape for i in range(3)] == [(8, 8, 4, 32), (4, 4, 32, 64), (3, 3, 64, 64)]
    assert params["MLP_0"]["Dense_0"]["Dense_0"]["kernel"].shape == (3136, 512)


OBSERVATIONS = {
    "vector": Box(-1, 1, (3,)),
    "scalar": Box(-1, 1, ()),
    "plane": Box(0, 1, (6, 6)),
    "image": Box(0, 255, (6, 6, 2), np.uint8),
    "number": Discrete(4),
    "cube": Box(0, 1, (2, 2, 2, 2)),
}


@pytest.mark.parametrize("name", OBSERVATIONS)
@pytest.mark.parametrize("shared", [False, True])
def test_actor_critic_on_every_kind_of_observation(name, shared):
    space = OBSERVATIONS[name]
    for action, shape in ((Discrete(3), (3,)), (Box(-1, 1, (2,)), (2,))):
        net = policy_value_network(config(shared=shared, initial_log_std=-0.5), spaces(space, action))

        def outputs(key, net=net):
            params = jax.jit(net.init)(key)
            obs = jnp.zeros((5, 2, *space.shape), space.dtype)
            return params, net.policy(params["actor"], obs), net.value(params, obs), net.both(params, obs)

        params, policy, value, (again, value_again) = jax.eval_shape(outputs, jax.random.key(0))
        assert value.shape == value_again.shape == (5, 2)
        assert jax.tree.leaves(policy)[0].shape == jax.tree.leaves(again)[0].shape == (5, 2, *shape)
        assert isinstance(policy, Categorical if isinstance(action, Discrete) else DiagonalGaussian)
        assert ("torso" in params["critic"]["params"]) == (not shared)


def test_pixels_are_scaled_once_and_numbers_are_one_hot():
    torso = Torso(Box(0, 255, (2, 2, 1), np.uint8), "mlp", (3,), "relu", "flax")
    whole, white = jnp.full((1, 2, 2, 1), 255, jnp.uint8), jnp.ones((1, 2, 2, 1))
    params = jax.jit(torso.init)(jax.random.key(0), whole)
    floats = Torso(Box(0, 1, (2, 2, 1)), "mlp", (3,), "relu", "flax")
    np.testing.assert_allclose(torso.apply(params, whole), floats.apply(params, white))
    np.testing.assert_array_equal(torso.apply(params, whole), torso.apply(params, whole.astype(jnp.int32)))
    torso = Torso(Discrete(3), "auto", (4,), "relu", "flax")
    params = jax.jit(torso.init)(jax.random.key(0), jnp.zeros((1,), jnp.int32))
    kernel = params["params"]["MLP_0"]["Dense_0"]["Dense_0"]["kernel"]
    np.testing.assert_allclose(torso.apply(params, jnp.arange(3)), np.maximum(kernel, 0))


def test_a_critic_of_actions_scales_pixels_too():
    action_space = Box(-1, 1, (2,))
    net, floats = (
        actor_critic_network(config(activation="relu"), spaces(space, action_space), ("action",), 2)
        for space in (Box(0, 255, (3,), np.uint8), Box(0, 1, (3,)))
    )
    params, action = jax.jit(net.init)(jax.random.key(0)), jnp.ones((1, 2))
    whole, white = jnp.full((1, 3), 255, jnp.uint8), jnp.ones((1, 3))
    np.testing.assert_allclose(
        net.critics(params["critic"], whole, action), floats.critics(params["critic"], white, action), rtol=1e-6
    )


@pytest.mark.parametrize(
    ("space", "seen"),
    [
        (Box(0, 255, (2,), np.uint8), [1 / 255, 0.2]),
        (Box(-np.inf, np.inf, (2,), np.uint8), [1 / 255, 0.2]),
        (Box(0, [255, 51], (2,), np.uint8), [1 / 255, 0.2]),
        (Box(0, 51, (2,), np.uint8), [1, 51]),  # numbers, no pixels
        (Box(0, 255, (2,), np.int32), [1, 51]),
        (Box(0, 1, (2,), np.bool_), [1, 1]),
        (Box(0, 255, (2,)), [1, 51]),
    ],
)
def test_the_space_says_what_pixels_are(space, seen):
    for dtype in (np.uint8, np.int32, np.int64):
        np.testing.assert_allclose(to_float(space, np.array([1, 51], dtype)), np.float32(seen), rtol=1e-6)
    np.testing.assert_allclose(to_float(space, [1, 51]), np.float32(seen), rtol=1e-6)


@pytest.mark.parametrize(
    ("space", "obs", "message"),
    [
        (Box(0, 255, (2,), np.uint8), np.zeros(2, np.float32), r"float32 .* uint8.*Box\(0, 255, \(2,\), uint8\)"),
        (Box(0, 1, (2,), np.bool_), np.zeros(2), "not of the space's, bool"),
        (Box(-1, 1, (2,)), np.zeros((2, 3)), r"shape \(2, 3\) .* one or more of shape \(2,\): .* Box\(-1, 1"),
        (Box(-1, 1, (2, 2)), np.zeros(2), "one or more of shape"),
        (Box(-1, 1, (2,)), np.zeros(2, np.complex64), "dtype complex64"),
        (Discrete(3), np.zeros(4), "dtype float32"),
    ],
)
def test_observations_of_another_space_are_refused(space, obs, message):
    with pytest.raises(ValueError, match=message):
        as_observation(space, obs)
    torso = Torso(space, "mlp", (3,))
    params = jax.jit(torso.init)(jax.random.key(0), jnp.zeros((1, *space.shape), space.dtype))
    with pytest.raises(ValueError, match=message):
        torso.apply(params, jnp.asarray(obs))


@pytest.mark.parametrize("shape", [(5, 2), (1, 7), (2, 2), (2, 5, 3), (5, 2, 3), (1, 1)])
def test_what_no_convolution_fits_on_is_a_list_of_numbers(shape):
    env = spaces(Box(0, 1, shape), Discrete(3))
    params = jax.eval_shape(q_network(config(), env).init, jax.random.key(0))["q"]
    kernel = params["params"]["torso"]["MLP_0"]["Dense_0"]["Dense_0"]["kernel"]
    assert kernel.shape[0] == math.prod(shape)
    with pytest.raises(ValueError, match=rf"{re.escape(str(shape))}: choose network='mlp'"):
        q_network(config(network="cnn"), env)


def test_a_cnn_needs_images_and_every_network_needs_numbers():
    for space in (Box(0, 1, (4,)), Box(0, 1, ()), Box(0, 1, (9, 9, 9, 3)), Discrete(3)):
        with pytest.raises(ValueError, match="choose network='mlp'"):
            policy_value_network(config(network="cnn"), spaces(space, Discrete(2)))
    for shape in ((0,), (3, 0), (9, 9, 0)):
        with pytest.raises(ValueError, match="holds no number"):
            policy_value_network(config(), spaces(Box(0, 1, shape), Discrete(2)))
    for shape in ((3, 3), (3, 40, 1), (36, 36, 2), (40, 36)):  # those that a convolution just fits on
        env = spaces(Box(0, 1, shape), Discrete(2))
        params = jax.eval_shape(q_network(config(), env).init, jax.random.key(0))["q"]
        assert "CNN_0" in params["params"]["torso"]


def test_policy_needs_the_actor_alone_and_shared_features_are_shared():
    env = spaces(Box(-1, 1, (3,)), Discrete(2))
    obs = jnp.ones((1, 3))
    for shared in (False, True):
        net = policy_value_network(config(shared=shared), env)
        params = jax.jit(net.init)(jax.random.key(0))
        gradient = jax.jit(jax.grad(lambda p: jnp.sum(net.value(p, obs))))(params)  # noqa: B023
        moved = any(np.any(g) for g in jax.tree.leaves(gradient["actor"]))
        assert moved == shared
        logits = net.policy(params["actor"], obs).logits
        np.testing.assert_allclose(net.both(params, obs)[0].logits, logits)


def test_initial_log_std_and_the_log_std_is_of_no_state():
    net = policy_value_network(config(initial_log_std=-0.7), spaces(Box(-1, 1, (3,)), Box(-1, 1, (2,))))
    params = jax.jit(net.init)(jax.random.key(0))
    policy = net.policy(params["actor"], jnp.ones((4, 3)))
    np.testing.assert_allclose(policy.log_std, np.full((4, 2), -0.7), rtol=1e-6)
    assert params["actor"]["params"]["head"]["log_std"].shape == (2,)


def test_rescaling_a_critic_keeps_its_values_and_no_gradient_moves_the_scale():
    net = policy_value_network(config(), spaces(Box(-1, 1, (3,)), Discrete(2)))
    params = jax.jit(net.init)(jax.random.key(0))
    obs = jax.random.normal(jax.random.key(1), (5, 3))
    assert float(value_scale(params["critic"])) == 1
    scaled = {**params, "critic": rescale_value(params["critic"], jnp.float32(40.0))}
    assert float(value_scale(scaled["critic"])) == 40
    np.testing.assert_allclose(net.value(params, obs), net.value(scaled, obs), rtol=1e-5)
    gradient = jax.jit(jax.grad(lambda p: jnp.sum(net.value(p, obs))))(scaled)
    assert float(value_scale(gradient["critic"])) == 0


class Own(nn.Module):
    @nn.compact
    def __call__(self, obs):
        return nn.Dense(7)(obs)


@pytest.mark.parametrize("space", [Box(-1, 1, (3,)), Box(-1, 1, (4, 4)), Box(-1, 1, ())], ids=str)
def test_a_linear_network_is_linear_in_every_place(space):
    """In the observation as a vector, with a bias; in the action too. `hidden` is not read."""
    linear = config(network="linear", hidden=(64, 64), activation="relu")
    keys = jax.random.split(jax.random.key(0), 3)
    discrete, continuous = spaces(space, Discrete(2)), spaces(space, Box(-1, 1, (2,)))
    obs, action = (jax.random.normal(key, (5, *shape)) for key, shape in zip(keys, (space.shape, (2,)), strict=False))
    size, params = math.prod(space.shape), []
    net = policy_value_network(linear, discrete)
    params.append(jax.jit(net.init)(keys[2]))
    functions = [lambda x: net.policy(params[0]["actor"], x).logits, lambda x: net.value(params[0], x)[..., None]]
    q, fit, both = (
        q_network(linear, discrete),
        value_network(linear, discrete),
        actor_critic_network(linear, continuous, ("mean",), 2),
    )
    params += [jax.jit(q.init)(keys[2]), jax.jit(fit.init)(keys[2]), jax.jit(both.init)(keys[2])]
    functions += [lambda x: q.apply(params[1]["q"], x), lambda x: fit.value(params[2], x)[..., None]]
    functions += [
        lambda x: both.actor(params[3]["actor"], x)[0],
        lambda x: both.critics(params[3]["critic"], x, action),
    ]
    for found in jax.jit(lambda x: [(f(2 * x) - f(x), f(x) - f(0 * x)) for f in functions])(obs):
        np.testing.assert_allclose(*found, rtol=1e-4, atol=1e-5)
    kernel = params[2]["value"]["params"]["head"]["value"]["Dense_0"]
    assert (kernel["kernel"].shape, kernel["bias"].shape) == ((size, 1), (1,))
    critics = jax.jit(lambda action: both.critics(params[3]["critic"], obs, action))
    twice, once, none = (np.asarray(critics(np.float32(k) * np.asarray(action))) for k in (2, 1, 0))
    np.testing.assert_allclose(twice - once, once - none, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="dueling=True gives either stream a hidden layer"):
        q_network(linear, discrete, dueling=True)


def test_own_module_as_a_network():
    net = policy_value_network(config(network=Own()), spaces(Box(-1, 1, (3,)), Discrete(2)))
    params = jax.jit(net.init)(jax.random.key(0))
    assert params["actor"]["params"]["torso"]["network"]["Dense_0"]["kernel"].shape == (3, 7)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"network": "resnet"}, "auto, linear, mlp, cnn, residual or pass a linen module"),
        ({"activation": "swish"}, "tanh, relu"),
        ({"initializer": "xavier"}, "orthogonal, torch, flax"),
        ({"hidden": ()}, "at least one layer"),
        ({"hidden": (64, 0)}, "at least one unit"),
    ],
)
def test_bad_networks_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        check_network(config(**fields))
    with pytest.raises(ValueError, match=message):
        policy_value_network(config(**fields), spaces(Box(-1, 1, (3,)), Discrete(2)))


def test_small_things():
    assert action_dims(Discrete(5)) == 5
    assert action_dims(Box(-1, 1, (3,))) == 3
    assert set(ACTIVATIONS) == {"tanh", "relu", "elu", "gelu", "silu"}
    with pytest.raises(ValueError, match="xavier"):
        Dense(3, "xavier").init(jax.random.key(0), jnp.zeros((1, 2)))


def test_a_residual_block_adds_what_its_two_convolutions_make():
    """Against `lax.conv` with zeros around the board, and the identity where the convolutions are 0."""
    net = Residual((5,), channels=4, blocks=1)
    board = jax.random.normal(jax.random.key(0), (3, 6, 7, 2))
    params = jax.jit(net.init)(jax.random.key(1), board)["params"]

    def convolved(x, p):
        y = jax.lax.conv_general_dilated(x, p["kernel"], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        return y + p["bias"].reshape(1, 1, 1, -1)

    first, second, third = (params[f"Conv_{i}"] for i in range(3))
    x = nn.relu(convolved(board, first))
    y = nn.relu(x + convolved(nn.relu(convolved(x, second)), third))
    dense = params["MLP_0"]["Dense_0"]["Dense_0"]
    wanted = nn.relu(y.reshape(3, -1) @ dense["kernel"] + dense["bias"].reshape(1, -1))
    np.testing.assert_allclose(net.apply({"params": params}, board), wanted, rtol=1e-4, atol=1e-5)


def test_a_board_goes_through_residual_blocks_by_name():
    space = Box(0, 1, (6, 7, 2))
    net = policy_value_network(config(network="residual"), spaces(space, Discrete(7)))
    params = jax.eval_shape(net.init, jax.random.key(0))
    kernels = [x.shape for x in jax.tree.leaves(params["actor"]) if x.ndim == 4]
    assert kernels == [(3, 3, 2, 32)] + [(3, 3, 32, 32)] * 4
    with pytest.raises(ValueError, match="network='residual' needs images"):
        policy_value_network(config(network="residual"), spaces(Box(0, 1, (4,)), Discrete(7)))
