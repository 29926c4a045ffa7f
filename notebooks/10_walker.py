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
# # A walker that learns to walk
#
# Two legs, six motors, one wish: forward. Each idea of reinforcement learning stands beside a cell that shows it on this body; in the middle
# a policy is trained for a minute. The physics is MuJoCo's, the task gymnasium's `Walker2d-v5`, the algorithm PPO.

# %%
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

from jaxrl_up import PPO, envs, ops, run, use_all_cores
from jaxrl_up.analysis import draw_episode, gif_steps, record_episode, write_gif
from jaxrl_up.learning import normalisation, on_policy

use_all_cores()  # one CPU device per core, before any JAX computation
BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#888888"
plt.rcParams.update({"axes.spines.top": False, "axes.spines.right": False, "figure.dpi": 110, "legend.frameon": False})

env = envs.make("gymnasium/Walker2d-v5")
print(f"observations {env.observation_space}\nactions {env.action_space}\ntime limit {env.max_steps} steps")

# %% [markdown]
# ## State
#
# The state is what decides, together with the action, what happens next. Here it is the simulator's: 9 positions and 9 velocities, for the torso
# (along, up, lean) and six joints (hip, knee, ankle of two legs). A simulator keeps more than physics asks for: its clock, the solution of the
# contact solver that the next one starts from, the last motor commands, and where each body was a substep ago. A step reads some of that, so all of
# it belongs to the state, and a step is a pure function of it: the same state and action give the same result to the last bit.

# %%
state, obs = env.reset(jax.random.key(0))
numbers = np.asarray(state.simulator).view(np.float64)  # kept as pairs of 32-bit words
clock, positions, velocities = numbers[0], numbers[1:10], numbers[10:19]
print(f"{len(numbers)} numbers: clock {clock} s")
print("positions ", positions.round(3))
print("velocities", velocities.round(3))

step_env = jax.jit(env.step)
twice = [step_env(jax.random.key(9), state, jnp.full(6, 0.5))[1].next_obs for _ in range(2)]
print("same state, same action, same result:", bool((twice[0] == twice[1]).all()))

# %% [markdown]
# ## Observation
#
# The policy sees 17 of the 18: **where** the torso is along the track is left out. The floor is the same everywhere and the reward asks for velocity,
# not for a place, so the best action cannot depend on it. Shown, it would harm: the further the walker gets, the larger a number it has never met before.
# Velocities are clipped to ±10. What is left is, nearly, all that matters for the future (the Markov property), so no memory is needed.

# %%
JOINTS = [f"{side} {joint}" for side in ("right", "left") for joint in ("hip", "knee", "ankle")]
print(f"{'':12}{'position':>10}{'velocity':>10}")
for name, position, velocity in zip(
    ["torso x", "torso z", "torso lean", *JOINTS], ["not shown", *obs[:8]], obs[8:], strict=True
):
    shown = position if isinstance(position, str) else f"{position:10.3f}"
    print(f"{name:12}{shown:>10}{velocity:10.3f}")
assert np.allclose(obs, [*positions[1:], *velocities.clip(-10, 10)], atol=1e-6)


# %% [markdown]
# ## Actions
#
# Six torques, one for each joint, in [-1, 1]: shares of what the motor can do. An action is held for 4 substeps of 2 ms, so the policy decides 125 times
# a second. Actions beyond the bounds are clipped.

# %%
def play_uniform(key):
    "Uniformly random torques until the episode ends: a list of (action, TimeStep)."
    state, _ = env.reset(key)
    steps = []
    for time in range(env.max_steps):
        act_key, env_key = jax.random.split(jax.random.fold_in(key, time))
        action = jax.random.uniform(act_key, (6,), minval=-1.0, maxval=1.0)
        state, step = step_env(env_key, state, action)
        steps.append((action, step))
        if step.terminated or step.truncated:
            return steps


steps = play_uniform(jax.random.key(1))
for name, torque in zip(JOINTS, steps[0][0]):
    print(f"{name:12}{torque:6.2f}")

# %% [markdown]
# ## Rewards
#
# Each step pays
#
# $$r = \underbrace{v_x}_{\text{forward, m/s}} + \underbrace{1}_{\text{healthy}} - \underbrace{10^{-3}\,\lVert a\rVert^2}_{\text{control cost}}$$
#
# The walker is healthy while its torso is between 0.8 and 2 m high and leans less than 1 rad. That bonus alone makes standing still worth 1,000 an
# episode, more than lunging forward for two seconds and falling. `step.info` has the parts.

# %%
print(f"{'step':>4}{'forward':>10}{'healthy':>10}{'control':>10}{'reward':>10}")
for time, (_, step) in [*enumerate(steps)][::5]:
    parts = [float(step.info[name]) for name in ("reward_forward", "reward_survive", "reward_ctrl")]
    print(f"{time:4d}", *(f"{part:9.4f}" for part in parts), f"{float(step.reward):9.4f}")
    assert np.isclose(sum(parts), step.reward, atol=1e-5)

# %% [markdown]
# ## Two ways to end
#
# **Terminated**: the walker is no longer healthy. Nothing comes after it, its value is 0. **Truncated**: 1,000 steps (8 s) are over. The walker would
# have gone on; only we stopped looking, and the value of the state it reached is not 0. `step.next_obs` is that state, also where `step.obs` is already
# the first of the next episode.
#
# Mixing them up teaches the wrong thing. A limit taken for an end: states late in an episode look worthless, though the policy cannot see the
# time, so the same posture gets two targets. A fall taken for a limit: the value "goes on" behind it, and falling costs nothing.

# %%
last = steps[-1][1]
print(f"random torques: terminated={bool(last.terminated)} truncated={bool(last.truncated)} after {len(steps)} steps,")
print(f"torso {last.next_obs[0]:.2f} m high, leaning {last.next_obs[1]:.2f} rad; the next episode starts at {last.obs[0]:.2f} m")

gamma, reward = 0.99, 4.0  # a good walker: 3 m/s and healthy
print(f"\nvalue of going on for ever: {reward / (1 - gamma):.0f}. Were the time limit an end:")
for left in (1000, 300, 100, 30, 1):
    print(f"  {left:4d} steps before it {reward * (1 - gamma**left) / (1 - gamma):6.1f}")

# %% [markdown]
# ## Discount
#
# Values weigh a reward k steps ahead by $\gamma^k$. With $\gamma = 0.99$ the weights add up to $1 / (1 - \gamma) = 100$ steps of 8 ms, or 0.8 s: about
# a stride. That is enough to see a fall coming and to place a foot, and short enough that the noise of later steps does not drown what an action did.
# Scores are undiscounted all the same: what is optimised is not quite what is reported.

# %%
for ahead in (1, 10, 69, 100, 230, 459):
    print(f"{ahead:4d} steps, {0.008 * ahead:5.2f} s ahead: weight {gamma**ahead:.2f}")

# %% [markdown]
# ## The policy network
#
# The actor maps 17 numbers, whitened by running statistics, to six means; with six standard deviations, which are parameters, they are a diagonal
# Gaussian over torques. A second network of the same size, the critic, estimates values and is needed only to learn. To explore, the policy **samples**; to
# show what it has learned, it acts by the **mode**.

# %%
config = PPO.Config(
    total_steps=300_000, schedule_steps=1_000_000, num_envs=8, rollout_length=256, num_minibatches=32, num_epochs=3,
    learning_rate=1e-3, normalize_observations=True, gamma=gamma,
)
network = on_policy.network(config, env)  # pure functions of parameters
fresh = PPO.init(config, env, jax.random.key(0)).learner


def whiten(learner, obs):
    return normalisation.apply(env.observation_space, learner.statistics, obs)


def policy_at(learner, obs):
    return network.policy(learner.params["actor"], whiten(learner, obs))


def value_at(learner, obs):
    return network.value(learner.params, whiten(learner, obs))


for part, outputs in (("actor", 6), ("critic", 1)):
    parameters = sum(x.size for x in jax.tree.leaves(fresh.params[part]))
    print(f"{part:6}", *obs.shape, *config.hidden, f"{outputs}: {parameters:,} parameters, {config.activation}")

distribution = policy_at(fresh, obs)
sample = distribution.sample(jax.random.key(2))
print("\nmode   ", np.asarray(distribution.mode()).round(2) + 0.0, f"log-density {distribution.log_prob(distribution.mode()):.2f}")
print("sample ", np.asarray(sample).round(2), f"log-density {distribution.log_prob(sample):.2f}")
print("std    ", np.exp(distribution.log_std).round(2))

# %% [markdown]
# ## Training
#
# PPO collects 8 x 256 steps with the current policy, estimates for each action how much better it went than the critic expected (the advantage), and
# makes good actions more likely, within limits: nothing is gained by changing a probability by more than a fifth. Then the data are thrown away. These are
# the first 300,000 steps of a run of a million (`schedule_steps`: the learning rate falls that slowly). Two seeds, one a core.

# %%
result = run(PPO, env, config, seeds=2, num_evals=12, num_episodes=4, progress=False)
for seed, returns in zip(result.seeds, result.returns):
    print(f"seed {seed}:", *(f"{value:.0f}" for value in returns))

# %%
thousands = result.env_steps / 1000
fig, ax = plt.subplots(figsize=(7.5, 3.8), layout="constrained")
for seed, returns in zip(result.seeds, result.returns):
    ax.plot(thousands, returns, color=BLUE, linewidth=1.2, alpha=0.6)
    ax.annotate(f"seed {seed}", (thousands[-1], returns[-1]), (6, 0), textcoords="offset points", va="center", color=BLUE)
ax.plot(thousands, result.returns.mean(0), color=BLUE, linewidth=3.5, label="mean of two seeds")
ax.axhline(1000, color=GREY, linewidth=1.2, linestyle=":", label="standing still to the time limit")
ax.set(xlabel="environment steps [thousands]", ylabel="return", xlim=(0, None), ylim=(0, None))
ax.set_title("PPO learns to walk (mean of 4 episodes, acting by the mode)", loc="left")
ax.legend(loc="upper left", bbox_to_anchor=(0, 1.0));

# %% [markdown]
# Two seeds are few, and they differ: the curve is a sketch, not a measurement. From here on the better of the two acts. What training did to the policy
# shows in one observation, at the start of an episode (shaded: the bounds; what lies beyond is clipped):

# %%
best = int(result.returns[:, -1].argmax())
learner = jax.tree.map(lambda x: np.asarray(x)[best], result.state.learner)
sample_key = jax.random.key(2)

torques = jnp.linspace(-3, 3, 200)
fig, axes = plt.subplots(1, 6, figsize=(11, 2.4), sharey=True, layout="constrained")
for who, colour, name in ((fresh, GREY, "untrained"), (learner, BLUE, "trained")):
    distribution = policy_at(who, obs)
    mean, std = distribution.mode(), jnp.exp(distribution.log_std)
    sample = distribution.sample(sample_key)
    for joint, ax in enumerate(axes):
        density = jnp.exp(-0.5 * ((torques - mean[joint]) / std[joint]) ** 2) / (std[joint] * jnp.sqrt(2 * jnp.pi))
        ax.fill_between(torques, density, color=colour, alpha=0.25, linewidth=0)
        ax.plot(torques, density, color=colour, label=name)
        ax.plot(mean[joint], density.max(), "v", color=colour, markersize=6, label="mode" if name == "trained" else None)
        ax.plot(sample[joint], 0.02, "|", color=colour, markersize=14, markeredgewidth=2.5, label="sample" if name == "trained" else None)
for joint, ax in zip(JOINTS, axes):
    ax.axvspan(-1, 1, color="black", alpha=0.04, linewidth=0)
    ax.set(title=joint, xlabel="torque", xticks=(-1, 0, 1), ylim=(0, None))
axes[0].set_ylabel("density")
fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4);

# %% [markdown]
# ## A trajectory
#
# A trajectory is what happens: $s_0, a_0, r_0, s_1, a_1, r_1, \ldots$ Its sum of rewards is the return. One of the untrained policy, which samples, and one of the
# trained, by the mode, from the same start:

# %%
key = jax.random.key(3)
untrained = record_episode(PPO, env, config, fresh.acting, key, deterministic=False)
trained = record_episode(PPO, env, config, learner.acting, key)
for name, episode in (("untrained", untrained), ("trained", trained)):
    print(f"{name:9}: return {episode.total_return:6.0f}, {episode.length:4d} steps, {episode.ending}")

fig, (high, fast) = plt.subplots(2, 1, figsize=(8, 4.2), sharex=True, layout="constrained")
for episode, colour, name in ((trained, BLUE, "trained"), (untrained, ORANGE, "untrained")):
    seconds = 0.008 * np.arange(episode.length + 1)
    high.plot(seconds, episode.observations[:, 0], color=colour, label=name)
    fast.plot(seconds, episode.observations[:, 8], color=colour, linewidth=1)
    if episode.terminated:
        for ax, column in ((high, 0), (fast, 8)):
            ax.plot(seconds[-1], episode.observations[-1, column], "X", color=colour, markersize=9)
high.axhspan(0.6, 0.8, color="black", alpha=0.08, linewidth=0)
high.text(8, 0.7, "unhealthy", ha="right", va="center", color=GREY)
high.set(ylabel="torso height [m]", ylim=(0.6, None), xlim=(0, 8.1))
fast.axhline(0, color=GREY, linewidth=0.8)
fast.set(xlabel="time [s]", ylabel="forward velocity [m/s]")
high.set_title("Torso of a trained and an untrained walker (X: it fell)", loc="left")
high.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2);


# %% [markdown]
# ## The return and its estimate
#
# The discounted return from step t on is $G_t = r_t + \gamma r_{t+1} + \gamma^2 r_{t+2} + \dots$, and $V(s) = E[G_t \mid s_t = s]$ what the policy may
# expect of it. After a fall nothing is added. Where the time limit cuts the episode, $\gamma^k V$ of the state reached, k steps ahead, stands for
# what was not seen; the dashed line leaves that out, as if the limit were an end.

# %%
def returns_of(episode, beyond):
    "G_t of each step of one episode; `beyond` are values of the states reached, for what a time limit cuts off."
    last = jnp.arange(episode.length) == episode.length - 1
    discount = gamma * jnp.where(last & episode.terminated, 0.0, 1.0)
    return ops.discounted_returns(jnp.asarray(episode.rewards), discount, 1.0 - last, beyond)


sampled = record_episode(PPO, env, config, learner.acting, key, deterministic=False)
fig, axes = plt.subplots(1, 2, figsize=(11, 3.8), sharey=True, layout="constrained")
for ax, episode, how in ((axes[0], trained, "by the mode"), (axes[1], sampled, "sampled")):
    values = np.asarray(value_at(learner, episode.observations))  # V of all T + 1 states
    came = np.asarray(returns_of(episode, values[1:]))
    seconds = 0.008 * np.arange(episode.length)
    ax.plot(seconds, values[:-1], color=BLUE, linewidth=1, label="V, the critic's estimate")
    ax.plot(seconds, came, color=ORANGE, linewidth=2, label="discounted return that came")
    if episode.truncated:
        label = "the same, were the time limit an end"
        ax.plot(seconds, returns_of(episode, None), color=ORANGE, linestyle="--", label=label)
    ax.set_title(f"{how}: {episode.ending} after {episode.length} steps", loc="left")
    ax.set(xlabel="time [s]", xlim=(0, 8.1), ylim=(0, None))
    difference = values[:-1] - came
    print(f"{how:11}: mean return {came.mean():.0f}, mean estimate {values.mean():.0f}, apart by {abs(difference).mean():.0f}")
axes[0].set_ylabel("discounted return")
handles = {label: handle for ax in axes for handle, label in zip(*ax.get_legend_handles_labels())}
fig.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=3);

# %% [markdown]
# V is an average over all that may come, and what came is one draw: the two need not meet. It is of the policy that samples, too, which stumbles more
# than the one that acts by the mode. A fall casts its shadow about a second ahead, as the discount says, and the critic cannot see it much earlier.
#
# ## The gait
#
# Eight moments of the episode by the mode, a tenth of a second apart, with the place of the torso along the track. (Torso dark blue; right leg
# vermillion, green, pink; left leg yellow, light blue, black.) Nothing asks for a graceful walk, only for velocity: the policy stored
# here hops.

# %%
start = min(300, trained.length // 2)
moments = np.minimum(start + 13 * np.arange(8), trained.length)
place = np.asarray(trained.states.simulator).view(np.float64)[:, 1]  # position x, which the policy does not see
layout = {"wspace": 0, "left": 0, "right": 1, "bottom": 0, "top": 0.85}
fig, axes = plt.subplots(1, 8, figsize=(12, 2.7), gridspec_kw=layout)
for ax, t, frame in zip(axes, moments, draw_episode(env, trained, steps=moments.tolist())):
    ax.imshow(np.asarray(frame.convert("RGB"))[105:362, 190:370])  # the middle, without the words above
    ax.set_title(f"{8 * (t - start)} ms\n{place[t]:.1f} m", fontsize=10)
    ax.axis("off")

# %% [markdown]
# The same as a GIF. From a saved run (`run(..., directory="runs/walker")`, or `jaxrl-up train`) it is `jaxrl-up watch runs/walker --best`.

# %%
frames, per_second = gif_steps(env, trained.length)  # at the speed of the world
with tempfile.TemporaryDirectory() as directory:
    gif = write_gif(draw_episode(env, trained, "PPO", frames[:50]), Path(directory) / "walker.gif", per_second)
    print(f"{gif.name}: {len(frames[:50])} frames, {per_second:.0f} a second, {gif.stat().st_size / 1000:.0f} kB")

# %% [markdown]
# ## The optimal policy
#
# An optimal policy $\pi^*$ has the highest value in every state, and under mild conditions there is a deterministic one
# that needs nothing but the state. For a finite problem it can be computed
# (`jaxrl_up.tabular`), for linear dynamics with quadratic costs it has a closed form. A walker has neither: 18 continuous numbers, and contacts that
# switch on and off. Nobody knows its optimum, so one compares. An upright episode of 1,000 steps that returns R goes at (R - 1,000) / 1,000 m/s, give or
# take the control cost.

# %%
rows = [("untrained, one episode", untrained.total_return), ("standing still", 1000.0)]
rows += [(f"PPO, this notebook, seed {seed}", value) for seed, value in zip(result.seeds, result.returns[:, -1])]
rows += [(f"PPO, 1M steps, seed {seed}", value) for seed, value in enumerate((3771, 4633, 4347, 4480))]
rows += [("published PPO, 1M, from", 2288), ("published PPO, 1M, to", 3479), ("published SAC, 1M", 4536)]
for name, value in rows:
    print(f"{name:32}{value:7,.0f}   {'█' * round(value / 150)}")

# %% [markdown]
# `jaxrl-up train --recipe ppo/walker` trains with these settings for 1M steps. The published scores are of other
# implementations, and the task has had several versions: a yardstick, no race.
#
# ## Another body, or many
#
# A policy that walks in one simulator knows one world. `brax/walker2d` is the same body inside the compiled program: no simulator on the host, and
# masses, gears, friction and gravity are traced, so that they can be swept, batched and drawn like a learning rate. The contacts are another engine's: a policy does not carry over as it is.

# %%
twin = envs.make("brax/walker2d")
for name, value in twin.params.items():
    print(f"{name:9}{float(value):7.2f}")
assert (twin.observation_space.shape, twin.action_space) == (env.observation_space.shape, env.action_space)

moon = twin.with_params(gravity=-1.62)  # the same program, other numbers
robust = envs.randomize(twin, mass=(0.7, 1.3), gear=(0.8, 1.2), gravity=(-11.0, -8.5))
print(f"\n{robust.full_name}")

# %% [markdown]
# `robust` draws a body and a gravity for each episode, hidden from the policy, which has to walk with all of them; `run(PPO, robust, config)` trains so and evaluates with the nominal ones, and
# `evaluation_env=` names any other, as `moon`.
#
# **To try**: another `gamma` (0.9 looks 0.08 s far: does it walk?), `normalize_observations=False`, 1M steps, or `gymnasium/Hopper-v5` in the first cell, whose one leg
# asks for 3 torques.
