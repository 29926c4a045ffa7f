"""Exported policies act as the live one, with JAX and with NumPy alone; a file that is not one is refused."""

import ast
import dataclasses
import io
import json
import pickle
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fake_runs import make_env
from jax import lax
from tiny import chain, draws, image, searches, targets, task, tiny

from jaxrl_up import A2C, ALGORITHMS, C51, DDPG, DQN, PPO, QR_DQN, SAC, TRPO, VPG
from jaxrl_up.cli import main
from jaxrl_up.config import canonical
from jaxrl_up.deploy import export, load_policy, numpy_policy, numpy_program, save_policy
from jaxrl_up.envs import Box, Discrete
from jaxrl_up.learning import ACTIVATIONS
from jaxrl_up.records import checkpoint, describe, to_toml

ROOT = Path(__file__).parents[2]
LOADERS = pytest.mark.parametrize("load", [load_policy, numpy_policy.load_policy], ids=["jax", "numpy"])


class Normed(nn.Module):
    """A network of one's own."""

    @nn.compact
    def __call__(self, x):
        return jnp.sin(nn.LayerNorm(use_fast_variance=False)(nn.Dense(6)(x)))


class Convolved(nn.Module):
    """Its convolution is an operation of its own."""

    @nn.compact
    def __call__(self, x):
        y = nn.Conv(2, (3, 3))(x)
        return y.reshape(*y.shape[:-3], -1)


NORMAL = {"normalize_observations": True}
CASES = {  # fields that an algorithm does not have are left out
    **{  # NumPy has no keys, and a simulator is not exported
        name: (algo, task(algo), NORMAL) for name, algo in ALGORITHMS.items() if not (draws(algo) or searches(algo))
    },
    **{f"{algo.name}-continuous": (algo, targets(), NORMAL) for algo in (VPG, A2C, PPO, TRPO)},
    **{f"{algo.name}-dueling": (algo, task(algo), {"dueling": True, "hidden": (8, 8)}) for algo in (DQN, C51, QR_DQN)},
    **{f"ddpg-{name}": (DDPG, targets(), {"activation": name, "hidden": (8, 8)}) for name in ACTIVATIONS},
    "ppo-discrete-obs": (PPO, chain(), {}),
    "dqn-pixels": (DQN, image(), {"network": "mlp"}),
    "ppo-normal-pixels": (PPO, image(), {"network": "mlp", **NORMAL}),
    "ppo-linear": (PPO, targets(), {"network": "linear", **NORMAL}),
    "ppo-own-network": (PPO, targets(), {"network": Normed(), **NORMAL}),
}


def random_policy(algo, env, config, seed=0):
    """Weights, and statistics where there is a normaliser, that let every part of the policy show.

    Kernels are as large as a layer of unit gain has them: larger ones amplify rounding, which no loader can help.
    """
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(lambda key: algo.init(canonical(config), env, key), jax.random.key(0)).policy

    def drawn(x):
        gain = 1 / np.sqrt(np.prod(x.shape[:-1])) if x.ndim > 1 else 1.0
        return np.asarray(gain * rng.normal(size=x.shape), x.dtype)

    policy = jax.tree.map(drawn, shapes)
    if getattr(config, "normalize_observations", False):
        statistics = policy.statistics
        statistics = statistics._replace(count=np.float32(50), m2=50 * (statistics.mean**2 + np.float32(0.1)))
        policy = policy._replace(statistics=statistics)
    return policy


def observations(space, number):
    rng = np.random.default_rng(1)
    if isinstance(space, Discrete):
        return rng.integers(0, space.n, number, dtype=np.int32)
    if space.dtype == np.uint8:
        return rng.integers(0, 256, (number, *space.shape), dtype=np.uint8)
    return rng.normal(size=(number, *space.shape)).astype(np.float32)


def assert_same_actions(actions, live, space):
    """Equal up to rounding, which is relative: 1e-5 where the bounds are 4 apart, as float32 has it at other sizes."""
    width = 4.0 if isinstance(space, Discrete) else np.asarray(space.high) - np.asarray(space.low)
    np.testing.assert_allclose(np.asarray(actions) / width, np.asarray(live) / width, rtol=0, atol=1e-5 / 4)


def exported(path, algo=VPG, env=None, seed=0, **fields):
    env = task(algo) if env is None else env
    config = tiny(algo, **fields)
    policy = random_policy(algo, env, config, seed)
    return save_policy(path, algo, env, config, policy, {"seed": seed}, overwrite=True)


EVERYDAY = {
    *(
        "ppo",
        "dqn",
        "sac",
        "sac_discrete",
        "ppo-continuous",
        "dqn-dueling",
        "ddpg-elu",
        "ppo-discrete-obs",
        "dqn-pixels",
    ),
    *("ppo-normal-pixels", "ppo-linear", "ppo-own-network"),
}


@pytest.mark.exhaustive("c51-dueling", "qr_dqn-dueling", "vpg-continuous", "a2c-continuous")
@pytest.mark.thorough(*CASES.keys() - EVERYDAY)
@pytest.mark.parametrize("name", CASES)
def test_both_loaders_equal_the_live_policy(name, tmp_path):
    algo, env, fields = CASES[name]
    config = tiny(algo, **fields)
    obs = observations(env.observation_space, 7 * 6)
    act = jax.jit(lambda policy, obs: algo.act(canonical(config), env, policy, obs, (), None)[0])
    for seed in range(30):
        policy = random_policy(algo, env, config, seed)
        live = np.asarray(act(policy, obs))
        if live.dtype == np.float32 or min(np.bincount(live, minlength=2)) > 4:  # not one action everywhere
            break
    path = save_policy(tmp_path / "policy.bin", algo, env, config, policy, {"seed": 3})
    for load in (load_policy, numpy_policy.load_policy):
        loaded = load(path)
        assert (loaded.about["algorithm"], loaded.about["seed"]) == (algo.name, 3)
        for lead in ((42,), (7, 6)) if name in ALGORITHMS else ((42,),):
            actions = np.asarray(loaded(obs.reshape(*lead, *env.observation_space.shape)))
            assert (actions.shape, actions.dtype) == ((*lead, *live.shape[1:]), live.dtype)
            assert_same_actions(actions.reshape(live.shape), live, env.action_space)
        one = loaded(obs[0])
        assert one.shape == live.shape[1:]
        assert_same_actions(one, live[0], env.action_space)
        assert_same_actions(loaded(obs[:1]), live[:1], env.action_space)
        assert bool(jax.vmap(env.action_space.contains)(live).all())


def everything(obs):
    """Each operation that NumPy has, on `obs [2]`."""
    x = jnp.stack([obs, 2 * obs, obs - 0.5])  # [3, 2]
    y = lax.concatenate([x.T, lax.slice(x.T, (0, 0), (2, 3), (1, 2))], 1)  # [2, 5]
    y = jnp.abs(y) + lax.integer_pow(y, 3) + jnp.sin(y) * jnp.cos(y) - jnp.tanh(-y) / (lax.exp(y) + 1)
    y = y + lax.log(jnp.abs(y) + 1) + lax.log1p(jnp.square(y)) + lax.expm1(y) + lax.logistic(y) + lax.sign(y)
    y = y + lax.sqrt(jnp.abs(y)) + lax.rsqrt(jnp.abs(y) + 1) + lax.min(y, 0.25) + lax.max(y, 0.5)
    z = lax.clamp(-0.5, y, 0.75) + jnp.sum(y, 0, keepdims=True) + jnp.max(y, (0, 1)) - lax.reduce_min(y, (0, 1))
    z = z + lax.rem(z, jnp.full_like(z, 0.75)) + lax.pad(y, np.float32(0.5), ((1, -1, 0), (-3, 0, 1)))[:, :5]
    near = (z > 0) & (z < 0.9) | (z >= 1) & ~(z == 2) | (z <= -1) & (z != -2)
    picked = z @ jnp.arange(20.0).reshape(5, 4) + jnp.argmin(z) + jnp.argmax(jnp.where(near, z, -z), 1)[:, None]
    picked = jnp.where(lax.reduce_and(near, (0, 1)) | lax.reduce_or(near, (1,))[:1, None], picked, -picked)
    first, second = jnp.split(picked, 2, axis=1)  # slices
    return lax.squeeze(lax.transpose(jnp.concatenate([second, first], 1)[:1], (1, 0)), (1,))  # [4]


def test_each_operation_is_that_of_jax(tmp_path):
    algo = dataclasses.replace(PPO, act=lambda config, env, policy, obs, memory, key: (everything(obs), memory))
    with jax.numpy_rank_promotion("allow"):
        path = save_policy(tmp_path / "policy.bin", algo, make_env(), PPO.Config(), {})
        obs = np.random.default_rng(0).normal(size=(64, 2)).astype(np.float32)
        wanted = jax.jit(jax.vmap(everything))(obs)
    policy = numpy_policy.load_policy(path)
    np.testing.assert_allclose(policy(obs), wanted, rtol=2e-5, atol=2e-5)
    assert {step["operation"] for step in policy.program.steps} == set(numpy_policy.OPERATIONS)


def test_a_program_by_hand():
    steps = [
        {"operation": "mul", "inputs": [0, 1]},
        {"operation": "broadcast_in_dim", "inputs": [2], "shape": ["batch", 2], "broadcast_dimensions": [1]},
        {"operation": "add", "inputs": [3, 4]},
        {"operation": "argmax", "inputs": [5], "axes": [1], "index_dtype": "int32"},
    ]
    program = numpy_policy.Program([np.float32([[2, 3]]), np.float32([0, -10])], steps, [6])
    np.testing.assert_array_equal(program(np.float32([[1, 1], [1, 5]])), [[0, 1]])  # [2, 3-10] and [2, 15-10]


def test_what_leads_to_no_action_is_left_out(tmp_path):
    """SAC's mode needs no deviation, a Gaussian's no logarithm of it; what is known beforehand is computed."""
    program = numpy_program(SAC, task(SAC), tiny(SAC), random_policy(SAC, task(SAC), tiny(SAC)))
    names = [step["operation"] for step in program.steps]
    assert names.count("dot_general") == 2  # one hidden layer, and the mean


def without_jax(script, *arguments):
    """Run a script of this Python where JAX and this package cannot be imported."""
    block = "import sys; sys.modules.update(dict.fromkeys(('jax', 'jaxlib', 'flax', 'jaxrl_up')))"
    start = f"{block}; import runpy; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    return subprocess.run([sys.executable, "-c", start, script, *arguments], capture_output=True, text=True)


def test_numpy_is_enough(tmp_path):
    loader = shutil.copy(numpy_policy.__file__, tmp_path / "numpy_policy.py")
    path, obs = exported(tmp_path / "policy.bin", PPO, targets()), np.float32([[0.3], [-1.2]])
    done = without_jax(loader, path, json.dumps(obs.tolist()))
    assert done.returncode == 0, done.stderr
    assert_same_actions(json.loads(done.stdout), load_policy(path)(obs), targets().action_space)
    about = json.loads(without_jax(loader, path).stdout)
    assert about["observation_space"] == {"kind": "Box", "shape": [1], "dtype": "float32", "low": -1.0, "high": 1.0}
    done = without_jax(loader, path, "[1, 2, 3]")
    assert (done.returncode, done.stdout) == (2, "")
    assert "shape (3,)" in done.stderr and done.stderr.count("\n") == 1
    imported = {
        name.split(".")[0]
        for node in ast.walk(ast.parse(Path(loader).read_text(encoding="utf-8")))
        for name in (
            [node.module] if isinstance(node, ast.ImportFrom) else [x.name for x in getattr(node, "names", ())]
        )
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    assert imported - set(sys.stdlib_module_names) == {"numpy"}


def test_an_image_network_is_for_jax(tmp_path):
    path = exported(tmp_path / "policy.bin", PPO, image(), network=Convolved())
    with pytest.raises(
        ValueError, match=r"conv_general_dilated, which NumPy lacks; load it with jaxrl_up\.deploy\.load_policy"
    ):
        numpy_policy.load_policy(path)
    assert load_policy(path)(np.zeros((3, 6, 6, 2), np.uint8)).shape == (3,)


@LOADERS
@pytest.mark.parametrize(
    ("obs", "message"),
    [
        (np.zeros((6, 6)), r"shape \(6, 6\)"),
        (np.zeros(()), r"shape \(\)"),
        (np.zeros((0, 6, 6, 2), np.uint8), "one or more"),
        (np.zeros((6, 6, 2)), "dtype float"),
    ],
)
def test_observations_of_another_space_are_refused(load, obs, message, tmp_path):
    policy = load(exported(tmp_path / "policy.bin", DQN, image(), network="mlp"))
    with pytest.raises(ValueError, match=message):
        policy(obs)


def test_spaces_come_back(tmp_path):
    for i, space in enumerate([Box(-np.inf, [1.0, np.inf], (2,)), Box(0, 255, (2, 3), np.uint8), Discrete(4)]):
        described = json.loads(json.dumps(export._describe(space), allow_nan=False))
        assert export._space(described) == space, i


def test_equal_policies_make_equal_files_that_name_no_path(tmp_path):
    first, second = (exported(tmp_path / name).read_bytes() for name in ("a.bin", "b.bin"))
    assert first == second
    assert first != exported(tmp_path / "c.bin", seed=1).read_bytes()
    _, contents = numpy_policy.read(tmp_path / "a.bin")
    assert not [name for name, data in contents.items() if b".py" in data or str(ROOT).encode() in data]
    assert set(jax.export.deserialize(bytearray(contents["policy.jax"])).platforms) == {"cpu", "cuda"}


def zipped(contents):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as out:
        for name, data in contents.items():
            out.writestr(name, data)
    return file.getvalue()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return exported(tmp_path_factory.mktemp("whole") / "policy.bin")


def refused(load, path):
    with pytest.raises(ValueError, match=re.escape(str(path))) as caught:
        load(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@LOADERS
def test_damaged_and_foreign_files_are_refused(load, whole, tmp_path):
    data, path = whole.read_bytes(), tmp_path / "policy.bin"
    for wrong in (b"", b"not a policy", data[:100], data[: len(data) // 2], data[:-5], zipped({}), zipped({"a": "b"}),
                  zipped({"about.json": "[]"}), zipped({"about.json": "{"}), zipped({"about.json": "{}"})):  # fmt: skip
        path.write_bytes(wrong)
        refused(load, path)
    about, contents = numpy_policy.read(whole)
    path.write_bytes(zipped({**contents, "about.json": json.dumps({**about, "jaxrl_up policy": 99})}))
    assert "format 99" in refused(load, path)
    for name in ("policy.jax", "program.json"):
        path.write_bytes(zipped({**contents, name: b"\x00" * 50}))
        if (load is load_policy) == (name == "policy.jax"):
            refused(load, path)
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "none.bin")


def test_a_flipped_byte_is_found_or_does_not_matter(whole, tmp_path):
    data, path = whole.read_bytes(), tmp_path / "policy.bin"
    obs = observations(task(VPG).observation_space, 9)
    actions, messages = numpy_policy.load_policy(whole)(obs), []
    for i in range(0, len(data), len(data) // 200):
        path.write_bytes(data[:i] + bytes([data[i] ^ 0x55]) + data[i + 1 :])
        try:
            policy = numpy_policy.load_policy(path)
        except ValueError as error:
            messages.append(str(error))
        else:
            np.testing.assert_array_equal(policy(obs), actions)
    assert len(messages) > 100
    assert all(str(path) in message and "\n" not in message for message in messages)


def test_nothing_is_unpickled(whole, tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "executed"), "w"))

    _, contents = numpy_policy.read(whole)
    array, path = io.BytesIO(), tmp_path / "policy.bin"
    np.lib.format.write_array(array, np.array([Evil()], object), allow_pickle=True)
    for evil in (array.getvalue(), pickle.dumps(Evil())):
        path.write_bytes(zipped({**contents, "constants/0.npy": evil}))
        refused(numpy_policy.load_policy, path)
        path.write_bytes(zipped({**contents, "policy.jax": evil}))
        refused(load_policy, path)
    path.write_bytes(pickle.dumps(Evil()))
    refused(numpy_policy.load_policy, path)
    assert not (tmp_path / "executed").exists()


def test_a_file_appears_whole_or_not_at_all(whole, tmp_path, monkeypatch):
    path = shutil.copy(whole, tmp_path / "policy.bin")
    settings = (VPG, task(VPG), tiny(VPG), random_policy(VPG, task(VPG), tiny(VPG), seed=1))
    with pytest.raises(FileExistsError, match="exists already"):
        save_policy(path, *settings)
    with pytest.raises(NotADirectoryError, match="no directory"):
        save_policy(tmp_path / "none" / "policy.bin", *settings)
    with pytest.raises(IsADirectoryError, match=r"policy\.bin"):
        save_policy(tmp_path, *settings)

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.replace", full)
        with pytest.raises(OSError, match=r"cannot write .*No space left on device"):
            save_policy(path, *settings, overwrite=True)
    assert [file.name for file in tmp_path.iterdir()] == ["policy.bin"]
    assert path.read_bytes() == whole.read_bytes()


SEEDS = (0, 3, 7)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A run on disk that was never trained: returns 10, 30, nan at the end; 50, 30, 20 at best."""
    directory = tmp_path_factory.mktemp("runs") / "cartpole"
    directory.mkdir()
    env, config = task(VPG), tiny(VPG)
    tables = describe(VPG, env, config, SEEDS)
    (directory / "config.toml").write_text(to_toml(tables), encoding="utf-8")
    last, best = (
        jax.tree.map(lambda *x: np.stack(x), *(random_policy(VPG, env, config, first + lane) for lane in range(3)))
        for first in (0, 100)
    )
    policies = {
        "last": last,
        "returns": np.float32([10, 30, np.nan]),
        "env_steps": np.int32(64),
        "best": best,
        "best_returns": np.float32([50, 30, 20]),
        "best_steps": np.int32([16, 32, 48]),
    }
    checkpoint.save(directory, 4, {"nothing": np.zeros(1)}, policies, {})
    return directory


@pytest.mark.parametrize(
    ("options", "said", "random_seed"),
    [
        ([], {"seed": 3, "env_steps": 64, "return": 30.0}, 1),
        (["--seed", "7"], {"seed": 7, "env_steps": 64, "return": None}, 2),
        (["--best"], {"seed": 0, "env_steps": 16, "return": 50.0}, 100),
        (["--best", "--seed", "7"], {"seed": 7, "env_steps": 48, "return": 20.0}, 102),
    ],
)
def test_command_writes_the_policy_that_was_asked_for(saved, options, said, random_seed, tmp_path, capsys):
    path = tmp_path / "policy.bin"
    assert main(["export", str(saved), str(path), *options]) == 0
    out, err = capsys.readouterr()
    assert out == f"{path}\n"
    assert err.startswith(f"seed {said['seed']}, ") and err.count("\n") == 1
    policy = numpy_policy.load_policy(path)
    assert {key: policy.about[key] for key in said} == said
    for weights in jax.tree.leaves(random_policy(VPG, task(VPG), tiny(VPG), random_seed)):
        kept = [constant.ravel() for constant in policy.program.constants]  # transposed, where the program wants it so
        assert any(np.array_equal(constant, x.ravel()) for constant in kept for x in (weights, weights.T))


def test_command_refuses_in_one_line_and_writes_nothing(saved, tmp_path, capsys):
    path = tmp_path / "policy.bin"
    for arguments, message in [
        ([str(saved)], "FILE"),
        ([str(saved), str(path), "--seed", "5"], "choose from 0, 3, 7"),
        ([str(tmp_path), str(path)], "holds no run"),
        ([str(saved), str(tmp_path)], "is a directory"),
        ([str(saved), str(path / "policy.bin")], "no directory"),
        ([str(saved), str(path), "--bets"], "'--best'"),
    ]:
        assert main(["export", *arguments]) == 2
        out, err = capsys.readouterr()
        assert out == "" and message in err and err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_the_commands_of_the_document(saved, tmp_path, capsys, monkeypatch):
    """Each of them works, in a directory where the run is; the second time only with --force."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(saved, tmp_path / "runs" / "cartpole")
    text = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
    commands = re.findall(r"^\$ (.*?)(?:  #.*)?$", text, re.MULTILINE)
    exports = [shlex.split(command)[1:] for command in commands if command.startswith("jaxrl-up ")]
    scripts = [shlex.split(command)[1:] for command in commands if command.startswith("python ")]
    assert len(exports) + len(scripts) == len(commands) and exports and scripts
    for arguments in exports:
        assert main([*arguments, "--force"]) == 0, capsys.readouterr().err
    assert main(exports[0]) == 2
    assert "--force" in capsys.readouterr().err
    for arguments in scripts:
        done = without_jax(*arguments)
        assert done.returncode == 0, done.stderr
        json.loads(done.stdout)
