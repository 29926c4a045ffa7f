# ---
# jupyter:
#   jupytext:
#     cell_metadata_filter: -all
#     notebook_metadata_filter: kernelspec
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Your own environment, your own algorithm
#
# After this lesson you can bring an environment of your own, write an algorithm as a record of pure functions, and get
# seeds, sweeps, records and resuming for nothing. Both halves are small: an environment is two functions, an algorithm
# is three.

# %%
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from flax import struct

from jaxrl_up import DQN, PPO, Algorithm, Evaluation, envs, ops, resume, run, sweep, train, use_all_cores
from jaxrl_up.algorithms import dqn
from jaxrl_up.analysis import record_episode
from jaxrl_up.deploy import eject
from jaxrl_up.envs import probes
from jaxrl_up.learning import start, unroll
from jaxrl_up.types import Counters, Metrics, means, static, traced

use_all_cores()  # one CPU device per core, before any JAX computation
plt.style.use("lessons.mplstyle")

# %% [markdown]
# ## An environment: `reset` and `step`
#
# A boat crosses a river. It is always under way and steers upstream, straight across, or downstream; the current
# carries it along, most in the middle. The landing pays up to 10, less the further it is from the jetty at $x = 0$.
# Pure functions of a key, a state and an action:

# %%
HEADINGS = jnp.deg2rad(jnp.array([-50.0, 0.0, 50.0]))  # upstream, across, downstream


def reset(key, params):
    position = jnp.array([0.0, 0.0]).at[0].set(jax.random.uniform(key, minval=-0.5, maxval=0.3))
    return position, position  # state, observation


def step(key, position, action, params):
    heading, (x, y) = HEADINGS[action], position
    drift = params["current"] * 4 * y * (1 - y)
    position = jnp.clip(
        position + 0.06 * jnp.array([jnp.sin(heading), jnp.cos(heading)]) + jnp.array([0.04 * drift, 0.0]), -2, 2
    )
    landed = position[1] >= 1
    reward = jnp.where(landed, 10 * jnp.maximum(1 - jnp.abs(position[0]), 0), 0.0)
    return position, position, reward, landed, jnp.bool_(False)  # ..., terminated, truncated


space = envs.Box(-2.0, 2.0, (2,))
river = envs.from_functions(reset, step, space, envs.Discrete(3), max_steps=40, params={"current": 1.0}, name="river")
envs.check(river)
print(river)

# %% [markdown]
# Neither function resets or counts steps: `max_steps` truncates, and the next episode begins by itself. What is in
# `params` is data, to be swept and batched as a learning rate is; what the functions read besides is part of the
# program.
#
# `envs.check` plays random actions and says in one line what to mend. Four boats that leak:


# %%
def broken(name, reset=reset, step=step, space=space):
    try:
        envs.check(
            envs.from_functions(reset, step, space, envs.Discrete(3), max_steps=40, params={"current": 1.0}, name=name)
        )
    except ValueError as error:
        print(f"{error}\n")


def branches(key, position, action, params):
    if position[1] >= 1:  # a value, where JAX has a tracer
        return position, position, 1.0, True, False
    return step(key, position, action, params)


def random_on_the_host(key, position, action, params):
    return step(key, position + np.random.normal(scale=0.01), action, params)


def starts_alike(key, params):
    return jnp.zeros(2), jnp.zeros(2)


broken("branches", step=branches)
broken("host", step=random_on_the_host)
broken("alike", reset=starts_alike)
broken("narrow", space=envs.Box(-1.0, 1.0, (2,)))

# %% [markdown]
# ## An algorithm: `init`, `update`, `act`
#
# REINFORCE (Williams 1992) with a moving baseline, whole. It raises the log-probability of each action in proportion to
# how much more came after it than usual:
#
# $$g = \frac{1}{N} \sum_t \nabla_\theta \log \pi_\theta(a_t \mid s_t)\,(G_t - b), \qquad b \leftarrow b + \beta\,(\bar G - b)$$
#
# Here $t$ runs over the $N$ steps of a window, $G_t$ is the reward-to-go, and $\bar G$ its mean.
# Since $E[\nabla_\theta \log \pi_\theta(a \mid s)] = 0$, any $b$ that does not depend on the action leaves the
# expectation of $g$ as it is; it changes the variance. With $\beta = 0$ there is no baseline.
#
# First what it is told, what it learns with, and what it keeps. A field is `traced` if it only enters arithmetic,
# `static` if it fixes a shape or a branch.


# %%
@struct.dataclass(frozen=True)
class Config:
    total_steps: int = static(60_000, low=1)
    num_envs: int = static(8, low=1)
    rollout_length: int = static(64, low=1)
    hidden: int = static(32, low=1)
    learning_rate: float = traced(5e-3, 0.0)
    gamma: float = traced(1.0, 0.0, 1.0)
    baseline_rate: float = traced(0.1, 0.0, 1.0)


class Logits(nn.Module):
    "Observations [..., D] -> logits [..., A]."

    actions: int
    width: int

    @nn.compact
    def __call__(self, obs):
        return nn.Dense(self.actions, kernel_init=nn.initializers.zeros)(nn.tanh(nn.Dense(self.width)(obs)))


class Learner(NamedTuple):
    params: Any
    opt_state: Any
    baseline: jax.Array

    @property
    def acting(self):
        return self.params  # what `act` needs


class State(NamedTuple):
    learner: Learner
    interaction: Any  # where the environments stand
    key: jax.Array
    counters: Counters

    @property
    def policy(self):
        return self.learner.acting

    @property
    def experience(self):
        return ()  # nothing is kept to learn from again


# %% [markdown]
# Then the three functions. A state holds arrays only: network and optimiser are made anew where they are needed, which
# costs nothing in a compiled program.


# %%
def network(config, env):
    return Logits(env.action_space.n, config.hidden)


def policy_of(config, env, params, obs):
    return ops.Categorical(network(config, env).apply(params, obs))


def init(config, env, key):
    params_key, env_key, state_key = jax.random.split(key, 3)
    params = network(config, env).init(params_key, jnp.zeros(env.observation_space.shape))
    learner = Learner(params, optax.scale_by_adam().init(params), jnp.float32(0.0))
    return State(learner, start(env, config.num_envs, env_key), state_key, Counters(jnp.int32(0), jnp.int32(0)))


def update(config, env, state):
    key, rollout_key = jax.random.split(state.key)
    params, opt_state, baseline = state.learner

    def act_on(obs, memory, key):
        return policy_of(config, env, params, obs).sample(key), memory, ()

    interaction, rows, episodes = unroll(env, act_on, state.interaction, config.rollout_length, rollout_key)
    done = rows.terminated | rows.truncated
    to_go = ops.discounted_returns(rows.reward, config.gamma * (1.0 - rows.terminated), 1.0 - done)
    ended = jnp.flip(jax.lax.cummax(jnp.flip(done.astype(jnp.float32), 0)), 0)  # the end of the episode was seen

    def loss(params):
        policy = policy_of(config, env, params, rows.obs)
        return ops.score_function_loss(policy.log_prob(rows.action), ended * (to_go - baseline)), jnp.mean(
            policy.entropy()
        )

    (value, entropy), gradient = jax.value_and_grad(loss, has_aux=True)(params)
    step, opt_state = optax.scale_by_adam().update(gradient, opt_state)
    params = jax.tree.map(lambda p, s: p - config.learning_rate * s, params, step)
    seen = jnp.sum(ended * to_go) / jnp.maximum(jnp.sum(ended), 1.0)
    learner = Learner(params, opt_state, baseline + config.baseline_rate * (seen - baseline))
    counters = Counters(state.counters.updates + 1, state.counters.env_steps + steps_per_update(config))
    losses = {"loss": value, "entropy": entropy, "baseline": learner.baseline}
    return State(learner, interaction, key, counters), Metrics(means(losses), *episodes)


def act(config, env, policy, obs, memory=(), key=None):
    distribution = policy_of(config, env, policy, obs)
    return (distribution.mode() if key is None else distribution.sample(key)), memory


def steps_per_update(config):
    return config.num_envs * config.rollout_length


REINFORCE = Algorithm("my_reinforce", Config, init, update, act, steps_per_update, action_spaces=("Discrete",))

# %% [markdown]
# Episodes whose end lies beyond the window have no return yet; `ended` leaves their steps out.
#
# ## Many seeds, and does the baseline help?
#
# Nothing above speaks of seeds, sweeps or devices. Without and with a baseline, eight seeds each, one program:

# %%
keys = jax.vmap(jax.random.key)(jnp.arange(8))
state, log = sweep(REINFORCE, river, Config(), {"baseline_rate": jnp.array([0.0, 0.1])}, keys, num_evals=12)
trained, steps = np.asarray(log.train_returns), np.asarray(log.env_steps)[0, 0]
for name, returns in zip(("no baseline", "moving baseline"), np.asarray(log.returns)):
    print(
        f"{name:16} after {steps[4]:,} steps {ops.score(returns[:, 4])}, after {steps[-1]:,} steps {ops.score(returns[:, -1])}"
    )

# %% [markdown]
# ## Keep it, and go on later
#
# `run` drives the same functions from the host: progress, records, a checkpoint. `resume` goes on from it; an algorithm
# and an environment of your own are handed over again, since config.toml cannot name what lives in a notebook. A run
# that was cut in two ends where one in one piece does, bit for bit.

# %%
with tempfile.TemporaryDirectory() as directory:
    short, whole = Config(total_steps=8_192), Config(total_steps=16_384)
    settings = {"seeds": 2, "num_episodes": 8, "progress": False}
    run(REINFORCE, river, short, directory=f"{directory}/run", num_evals=1, **settings)
    cut = resume(f"{directory}/run", total_steps=16_384, algo=REINFORCE, env=river, progress=False)
    print(sorted(path.name for path in Path(directory, "run").iterdir()))
straight = run(REINFORCE, river, whole, num_evals=2, **settings)
same = jax.tree.map(lambda x, y: bool((np.asarray(x) == np.asarray(y)).all()), cut.state.policy, straight.state.policy)
print("cut in two, and in one piece:", cut.score, straight.score, " equal bits:", all(jax.tree.leaves(same)))

# %% [markdown]
# ## What to test
#
# An algorithm in the library's registry inherits the suite of `tests/algorithms/test_contract.py`. For one of your own,
# four lines say most of it:
#
# 1. it learns what a **probe** asks (lesson 8): here an action that fits the observation;
# 2. a seed in a batch is the seed alone;
# 3. cut and resumed is equal to straight (above);
# 4. a state holds **arrays only**, and no counter depends on a key.

# %%
small = Config(total_steps=4_096)
probe = run(REINFORCE, probes.matched_action_reward(), small, seeds=3, num_evals=1, progress=False)
print("probe, exact answer 1:", probe.returns[:, -1])
assert (probe.returns[:, -1] == 1).all()

_, alone = train(REINFORCE, river, short, jax.random.key(1), num_evals=1, evaluation=Evaluation(num_episodes=8))
print("seed 1 alone:", alone.returns, " in a batch of two:", cut.returns[1, :2])
assert np.allclose(alone.returns, cut.returns[1, :2], atol=0.05)  # up to rounding
assert all(isinstance(x, jax.Array) for x in jax.tree.leaves(init(small, river, jax.random.key(0))))

# %% [markdown]
# ## Your own network
#
# The library's algorithms take a flax module as `network`: observations `[batch, ...]` to features `[batch, F]`. A
# river bends smoothly, so here a few waves of the position come before the layer:


# %%
class Waves(nn.Module):
    width: int = 32

    @nn.compact
    def __call__(self, obs):
        waves = jnp.concatenate([f(k * jnp.pi * obs) for k in (0.5, 1.0) for f in (jnp.sin, jnp.cos)], axis=-1)
        return nn.tanh(nn.Dense(self.width)(waves))


ppo = run(PPO, river, PPO.Config(total_steps=60_000, network=Waves()), seeds=8, num_evals=12, progress=False)
print("PPO with waves:", ppo.score)

# %%
fig, (left, middle, right) = plt.subplots(1, 3, figsize=(12, 3.9), width_ratios=(1.25, 1, 1))
curves = {
    "REINFORCE, no baseline": trained[0],
    "with a moving baseline": trained[1],
    "PPO, own network": np.asarray(ppo.log.train_returns),
}
for (name, returns), colour in zip(curves.items(), ("C1", "C0", "C2")):
    at = steps if returns is not curves["PPO, own network"] else ppo.env_steps
    at, (value, low, high) = at[1:], ops.bootstrap(returns[:, 1:])  # no episode has ended at 0 steps
    left.fill_between(at / 1000, low, high, color=colour, alpha=0.2, linewidth=0)
    left.plot(at / 1000, value, color=colour, label=name)
left.set(
    title="Landing, IQM of 8 seeds, 95% band",
    xlabel="thousand steps",
    ylabel="return in training, at most 10",
    ylim=(5, 10),
)
left.legend(loc="lower right")

fresh = init(Config(), river, jax.random.key(0)).policy
best = jax.tree.map(lambda x: x[1, int(trained[1, :, -1].argmax())], state.policy)
across, along = np.meshgrid(np.linspace(0.08, 0.92, 7), np.linspace(-0.75, 0.95, 6))
for ax, policy, name in (
    (middle, fresh, "Untrained, sampling"),
    (right, best, "REINFORCE with a baseline, by the mode"),
):
    ax.quiver(along, across, 4 * across * (1 - across), 0 * along, color="C5", alpha=0.45, scale=14, width=0.006)
    for number in range(8):
        episode = record_episode(
            REINFORCE, river, Config(), policy, jax.random.key(number), deterministic=policy is best
        )
        ax.plot(*episode.observations.T, color="C0" if policy is best else "C1", linewidth=1.3, alpha=0.8)
    ax.plot(0, 1.0, "s", color="black", markersize=9, clip_on=False)
    ax.set(title=name, xlim=(-0.9, 1.1), ylim=(0, 1.03), xticks=(), yticks=())
    for side in ("left", "bottom"):
        ax.spines[side].set_visible(False)
    ax.axhline(0, color="0.4", linewidth=3)
    ax.axhline(1.03, color="0.4", linewidth=3)

# %% [markdown]
# The boats (of the best of eight seeds) make for a line a little upstream of the jetty and hold it against the current,
# by turns of two headings; nobody told them to. With the baseline the policies that sample earn more, with bands that
# are apart at the end. The greedy scores printed above are of the same policies and noisier: their intervals overlap,
# and by them alone nothing could be claimed.
#
# ## A part of an algorithm
#
# Often one line is to change, not all. The off-policy algorithms are records of functions too: `explore` says how to
# act while learning. DQN takes a random action with probability $\epsilon$; Boltzmann exploration takes $a$ with
# probability $\propto e^{Q(s, a) / \tau}$, here by the Gumbel-max trick, $\arg\max_a (Q(s, a) / \tau + g_a)$ with
# independent $g_a$ of a Gumbel distribution. Replay, targets, schedules stay DQN's.


# %%
@struct.dataclass(frozen=True)
class BoltzmannConfig(dqn.Config):
    temperature: float = traced(0.1, 1e-6)


def explore(config, env, learner, obs, memory, noise, env_steps):
    values = dqn.q_values(config, env, learner.params["q"], obs)
    return jnp.argmax(values / config.temperature + noise, axis=-1).astype(jnp.int32), memory


def gumbel(config, env, key, shape):
    return jax.random.gumbel(key, (*shape, env.action_space.n))


brought = dqn.BROUGHT._replace(explore=explore, acting_noise=gumbel)
BOLTZMANN = Algorithm(
    "boltzmann_dqn",
    BoltzmannConfig,
    brought.init,
    brought.update,
    dqn.act,
    DQN.steps_per_update,
    action_spaces=("Discrete",),
)
temperatures = jnp.array([0.1, 1.0, 10.0])
short_dqn = BoltzmannConfig(total_steps=15_360, learning_rate=2e-3, gradient_steps=2, target_every=100)
_, log = sweep(BOLTZMANN, river, short_dqn, {"temperature": temperatures}, keys[:3], num_evals=3)
for temperature, played, acted in zip(temperatures, np.asarray(log.returns), np.asarray(log.train_returns)):
    print(f"temperature {temperature:5.2f}: greedy {played[:, -1].round(1)}, in training {acted[:, -1].round(1)}")

# %% [markdown]
# The scale of $\tau$ is that of the values, here up to 10. At 10 all three actions are nearly as likely: training earns
# what a random boat does, yet the greedy policy that it teaches lands nearer to the jetty, as off-policy learning
# allows; at 0.1 training earns nearly what the greedy policy does. Three seeds are a sketch.
#
# ## The other way: eject
#
# `jaxrl-up eject vpg my_vpg.py` writes an algorithm of the library as one file: all fields of its config, what it
# learns by, and the loop of its family. Until you change it, it gives the numbers of `jaxrl-up train vpg`, bit for bit.
# Begin there if your idea is a change of an algorithm; begin with a record, as above, if it is new. Either is trained by
# `jaxrl-up train --algo my_vpg.py`, with every field as an option.

# %%
with tempfile.TemporaryDirectory() as directory:
    lines = eject("vpg", f"{directory}/my_vpg.py").read_text().splitlines()
print(
    f"{len(lines)} lines, among them:",
    *(line for line in lines if line.startswith(("def ", "class ", "VPG"))),
    sep="\n  ",
)

# %% [markdown]
# ## Exercises
#
# The exercises of the earlier chapters are the parts of an algorithm, `jaxrl-up exercise list`; here the task is a
# whole one:
#
# - Replace the moving baseline by a critic (a second network that is fitted to `to_go`), and add it to the figure.
#   Lesson 3 says why it may depend on the state and not on the action.
# - Sweep `current` beside `baseline_rate`: one more name in the grid. Does a policy trained at 1.0 land at 1.5?
#   (`envs.randomize(river, current=(0.5, 1.5))` trains for all.)
# - Break `ended` (put 1 in its place). Which column shows it, and in which direction does the baseline move?
#
# docs/environments.md, docs/networks.md and docs/own_algorithm.md go further: observations of many parts, masks,
# memory, heads, planners.
#
# ## Further reading
#
# - Williams (1992): Simple Statistical Gradient-Following Algorithms for Connectionist Reinforcement Learning. Machine
#   Learning 8
# - Greensmith, Bartlett, Baxter (2004): Variance Reduction Techniques for Gradient Estimates in Reinforcement Learning.
#   JMLR 5
# - Mei, Chung, Thomas, Dai, Szepesvari, Schuurmans (2022): The Role of Baselines in Policy Gradient Optimization.
#   arXiv:2301.06276
# - Cesa-Bianchi, Gentile, Lugosi, Neu (2017): Boltzmann Exploration Done Right. arXiv:1705.10257
# - Maddison, Tarlow, Minka (2014): A* Sampling. arXiv:1411.0030 (the Gumbel-max trick)
