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
# # A tour of jaxrl_up
#
# Train one seed, then sixty-four; sweep the learning rate and the gravity; draw it. Everything is PPO on CartPole, and runs on a laptop.

# %%
import time

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt

from jaxrl_up import PPO, envs, evaluate, iqm, sweep, train, use_all_cores
from jaxrl_up.ops import bootstrap

use_all_cores()  # one CPU device per core, before any JAX computation
jax.devices()

# %% [markdown]
# ## One seed
#
# A config is data. `train` is one compiled program: it returns the final state, and a log with one entry per evaluation, the
# first of the untrained policy.

# %%
env = envs.make("CartPole-v1")
config = PPO.Config(total_steps=30_000)

state, log = train(PPO, env, config, jax.random.key(0), num_evals=10)
for steps, value in zip(log.env_steps, log.returns):
    print(f"{steps:6d} steps: return {value:5.1f}")

# %% [markdown]
# `state.policy` is what acting needs. `evaluate` plays whole episodes with it, here on heavier poles: physics is an argument.

# %%
for mass in (0.1, 0.5, 1.0):
    heavier = env.with_params(masspole=mass)
    returns = evaluate(PPO, heavier, config, state.policy, jax.random.key(1), num_episodes=64)
    print(f"pole of {mass} kg: return {returns.mean():5.1f}")

# %% [markdown]
# ## Sixty-four seeds
#
# A seed is a key, so many seeds are `vmap`. `sweep` does that and spreads them over the devices as well; a grid of one point is a plain
# batch of seeds.

# %%
keys = jax.vmap(jax.random.key)(jnp.arange(64))
start = time.perf_counter()
_, log = sweep(PPO, env, config, {"learning_rate": jnp.array([1e-3])}, keys, num_evals=10)
returns = jax.block_until_ready(log.returns)[0]  # [64 seeds, 11 evaluations], the first before training
steps = log.env_steps[0, 0]
print(f"{64 * int(steps[-1]):,} environment steps in {time.perf_counter() - start:.0f} s, compilation included")

# %%
middle, low, high = bootstrap(returns)  # interquartile mean over seeds, 95% interval
fig, ax = plt.subplots(figsize=(7, 3.5), layout="constrained")
ax.plot(steps, returns.T, color="C0", linewidth=0.5, alpha=0.25)
ax.fill_between(steps, low, high, color="C0", alpha=0.3, linewidth=0)
ax.plot(steps, middle, color="C0", linewidth=2.5, label="IQM of 64 seeds, 95% band")
ax.set(xlabel="environment steps", ylabel="evaluation return")
ax.legend();

# %% [markdown]
# ## Learning rate and gravity
#
# The values of a grid vary together, so a square of them is a meshgrid, ravelled. 5 learning rates x 3 gravities x 4 seeds
# are sixty runs, one program.

# %%
rates = jnp.logspace(-4, -2, 5)
gravities = jnp.array([5.0, 9.8, 40.0])
grid_rates, grid_gravities = (x.ravel() for x in jnp.meshgrid(rates, gravities))

_, log = sweep(
    PPO, env, config, {"learning_rate": grid_rates, "gravity": grid_gravities}, keys[:4], num_evals=5
)
scores = iqm(log.returns[:, :, -1], axis=1).reshape(len(gravities), len(rates))
scores.round()

# %%
fig, ax = plt.subplots(figsize=(7, 3.5), layout="constrained")
for gravity, row in zip(gravities, scores):
    ax.semilogx(rates, row, marker="o", label=f"gravity {gravity:.1f}")
ax.set(xlabel="learning rate", ylabel="return, IQM of 4 seeds")
ax.legend();

# %% [markdown]
# Four seeds a point are few: read the curves as a sketch. `run(..., directory="runs/...")` and `jaxrl-up train` do the same from Python and from the
# command line, with progress, records on disk and a score with its interval.
