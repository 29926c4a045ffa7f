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
# # Planning and models
#
# After this lesson you can plan in a model, learn one from data and say what it does not know, and judge when either is worth its price: a model
# saves steps in the world and costs steps of computing.

# %%
import dataclasses
import json
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax

from jaxrl_up import envs, evaluate, ops, tabular, use_all_cores
from jaxrl_up.learning import models, planning

use_all_cores()  # one CPU device per core, before any JAX computation
plt.style.use("lessons.mplstyle")
plt.rcParams["figure.figsize"] = 6.4, 3.4

# %% [markdown]
# ## What a model is
#
# A model answers "what if": from a state and an action it says what comes next and what that pays, without anything happening. There are two
# kinds, and one record for both, `envs.Model`, with a `reset` and a `step`:
#
# * a **simulator**, which is the environment itself, asked in private: `envs.model_of(env)`. Algorithms that plan in it get to see the state, by
#   `envs.with_simulator(env)`;
# * a **learned** one, a function fitted to what was seen: $\hat s', \hat r \sim \hat p_\theta(\cdot \mid s, a)$.

# %%
env = envs.make("Pendulum-v1")  # turn a rod up and hold it: torque in [-2, 2], angle 0 is up, 200 steps
model = envs.model_of(env)
state = model.reset(env.params, jax.random.key(0))
for torque in (-2.0, 2.0):
    after, obs, reward, terminated = model.step(env.params, jax.random.key(1), state, jnp.array([torque]))
    print(f"from angle {state.state.theta:.3f} a torque of {torque:4.1f} leads to {after.state.theta:.3f} and pays {reward:.2f}")

# %% [markdown]
# The state was stepped twice, and it is still there. That is what a model is for, and what the world does not offer.
#
# ## Planning is a search
#
# With a model, acting well is optimisation. A plan is a sequence of $H$ actions; find the one that earns most:
#
# $$\max_{a_0 \ldots a_{H-1}} R(a_0 \ldots a_{H-1}), \qquad R = E\left[\sum_{h=0}^{H-1} \gamma^h r_h\right], \qquad s_{h+1} \sim p(\cdot \mid s_h, a_h)$$
#
# `planning.imagined_return` is $R$. It can be climbed without its gradient: draw $N$ plans, try them, weigh them by what they earned, and draw the
# next ones around the better ones. Three ways to weigh (`planning.weigh`) are three algorithms:
#
# * **random shooting**: the best one takes all, and nothing is refitted;
# * **CEM**, the cross-entropy method: the best $K$, the *elites*, count alike;
# * **MPPI**: all count, $w_i \propto \exp(R_i / \lambda)$, with a temperature $\lambda$ in units of the return.
#
# Then the Gaussian that plans are drawn from is refitted, $\mu \leftarrow \sum_i w_i a^i$, and for CEM its spread too,
# $\sigma \leftarrow (\sum_i w_i (a^i - \mu)^2)^{1/2}$. Here the rod begins at rest, two radians from the top. The motor is too weak to lift it, so
# it has to swing through the bottom and up on the other side.

# %%
def at(angle, speed=0.0):
    "The state with this angle and angular velocity."
    numbers = {"theta": jnp.float32(angle), "theta_dot": jnp.float32(speed)}
    return state._replace(state=dataclasses.replace(state.state, **numbers))


low = at(2.0)


def worth(plan, state=low):
    "What a plan [H, 1], of actions in [-1, 1], earns in the true model."
    return planning.imagined_return(model, env.params, state, 2.0 * plan, jax.random.key(0))


def angles(plan):
    "Where a plan leads: the angle after each step."
    step = lambda state, action: 2 * (model.step(env.params, jax.random.key(0), state, 2.0 * action)[0],)
    return jax.lax.scan(step, low, plan)[1].state.theta


@partial(jax.jit, static_argnums=0)
def rounds(config, key):
    "Round by round: the angles that candidates lead to, which are elites, the mean plan's angles, what plans earned."

    def one(proposal, key):
        plans = proposal.draw(config, key, config.samples)
        earned = jax.vmap(worth)(plans)
        weight = planning.weigh(config, earned)
        proposal = proposal.refit(config, plans, weight)
        return proposal, (jax.vmap(angles)(plans), weight > 0, angles(proposal.mode()), earned, worth(proposal.mode()))

    keys = jax.random.split(key, config.iterations)
    proposal, seen = jax.lax.scan(one, planning.initial_proposal(config, env), keys)
    return proposal.mode(), seen


config = planning.SearchFields(method="cem", samples=64, elites=6, horizon=40, iterations=6)
best_plan, (paths, elite, middle, earned, mean_earned) = rounds(config, jax.random.key(1))

fig, axes = plt.subplots(1, 4, figsize=(11, 3.5), sharey=True)
for ax, number in zip(axes, (0, 1, 2, 5)):
    ax.axhline(0, color="0.6", linewidth=0.8, linestyle=":")
    ax.axhline(2 * np.pi, color="0.6", linewidth=0.8, linestyle=":")
    for path, chosen in sorted(zip(paths[number], elite[number]), key=lambda pair: bool(pair[1])):
        ax.plot(path, color="C1" if chosen else "0.75", linewidth=1.4 if chosen else 0.7, alpha=0.9 if chosen else 0.7)
    ax.plot(middle[number], color="C0", linewidth=3)
    ax.set_title(f"round {number + 1}\nbest {earned[number].max():.0f}, mean plan {mean_earned[number]:.0f}", size=10)
    ax.set(xlabel="step of the plan", ylim=(-1, 4 * np.pi))
    ax.set_yticks([0, np.pi, 2 * np.pi], ["up", "hanging", "up"])
axes[0].set_ylabel("angle")
for colour, width, text in (("0.75", 1, "64 candidates"), ("C1", 1.4, "6 elites"), ("C0", 3, "mean, refitted to the elites")):
    axes[0].plot([], color=colour, linewidth=width, label=text)
fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3);

# %% [markdown]
# The first candidates fan out, the elites are those that stop at the top, and the Gaussian draws together around them. Near the top a small difference in
# speed decides between falling back, staying and going over, so that the candidates fan out there once more. The noise of a candidate is correlated over
# time (`plan_noise`). White noise cancels out over a plan: with it the same search ends at -229 on average, and not at -118.
#
# The three ways on one budget of model steps, sixteen searches each:

# %%
for method in ("random_shooting", "cem", "mppi"):
    fields = dataclasses.replace(config, method=method)
    search = lambda key, fields=fields: planning.search(
        fields, planning.initial_proposal(fields, env), key, lambda plans, key: jax.vmap(worth)(plans)
    )
    value = jax.jit(jax.vmap(lambda key: search(key).value))(jax.random.split(jax.random.key(2), 16))
    print(f"{method:16} {6 * 64 * 40:,} steps of the model: best plan {value.mean():.0f}, from {value.min():.0f} to {value.max():.0f}")

# %% [markdown]
# ## Plan again at each step
#
# A plan is not a policy. It says what to do at step 30, whatever happened until then. Played from a state slightly off the one that it was made for:

# %%
for shift in (-0.2, -0.1, 0.0, 0.1, 0.2):
    print(f"{shift:4.1f} rad off at first: the plan earns {worth(best_plan, at(2.0 + shift)):.0f}")


# %% [markdown]
# So planners take the first action only, look where it led, and plan again, beginning with what is left of the last plan: **model predictive control**,
# or a receding horizon. That mends small errors of the model as well.
#
# The horizon $H$ decides how far a plan sees. What comes after it counts for nothing, so a short one is myopic: it never swings back to gain speed, as
# that pays only later. The tail can be given as a value, $\gamma^H V(s_H)$ added to $R$. Here $V$ is value iteration on a coarse grid, from lesson 1:

# %%
grid = jnp.linspace(-jnp.pi, jnp.pi, 65), jnp.linspace(-8.0, 8.0, 65)


def between(values, angle, speed):
    "Values of the grid, interpolated."
    place = (angle + jnp.pi) % (2 * jnp.pi) / (2 * jnp.pi) * 64, (speed + 8.0) / 16.0 * 64
    return jax.scipy.ndimage.map_coordinates(values, place, order=1, mode="nearest")


def backup(values, _):
    "max_a r + V(s') at each point of the grid."

    def q(angle, speed, torque):
        after, _, reward, _ = model.step(env.params, jax.random.key(0), at(angle, speed), torque[None])
        return reward + between(values, after.state.theta, after.state.theta_dot)

    of_torques = jax.vmap(q, (None, None, 0))
    best = lambda angle, speed: of_torques(angle, speed, jnp.linspace(-2.0, 2.0, 9)).max()
    return jax.vmap(jax.vmap(best, (None, 0)), (0, None))(*grid), None


values = jax.jit(lambda: jax.lax.scan(backup, jnp.zeros((65, 65)), length=100)[0])()
tail = lambda obs: between(values, jnp.arctan2(obs[1], obs[0]), obs[2])  # V, of an observation

shown = envs.with_simulator(env)
for horizon, value in ((3, "none"), (20, "none"), (3, tail)):
    fields = {"horizon": horizon, "terminal_value": value, "samples": 32}
    returns = evaluate("mpc", shown, fields, (), jax.random.key(0), 16)
    name = "a value after it" if value is tail else "nothing after it"
    print(f"horizon {horizon:2}, {name}: {returns.mean():6.0f} ± {returns.std(ddof=1) / 4:.0f} (mean of 16 episodes, standard error)")

# %% [markdown]
# Three steps are useless alone, and with a value as good as twenty. Planning and values share the work: the search looks after the next steps, the value
# after the rest. Over a hundred starts, `bench/planning.py` compares with the best that can be done:

# %%
measured = json.loads(Path("../bench/results/planning.json").read_text())
for name in ("random shooting", "cem", "mppi", "cem, horizon 40", "cem, coarse grid", "mppi, coarse grid", "sac, seed 0"):
    low, high = measured[name]["interval"]
    print(f"{name:18} {measured[name]['regret']:5.1f} below the optimum [{low:.1f}, {high:.1f}]")

# %% [markdown]
# (Each plans 20 steps, but where it says 40. SAC has learned from 30,000 steps and acts at once; a planner computes at every step.)
#
# ## A model can be learned
#
# Where there is no simulator, a model is fitted to what was seen: supervised learning, from $(s, a)$ to $s'$ and $r$. Two habits make it work. The network
# predicts the **change** $\delta = s' - s$, which is small and centred, so that "nothing changes" costs nothing; and inputs and outputs are **whitened**, so
# that a speed of 8 and a cosine of 0.01 count alike. A model can be right only where data are: half of these come from random actions, half from a
# policy that swings the rod up, with noise. How much of $s'$ is known without learning anything?


# %%
def policy(obs):
    "Swing up by energy, hold near the top: an action in [-1, 1]."
    cos, sin, speed = obs
    energy = speed**2 / 2 + 15.0 * (cos - 1.0)  # 0 at rest at the top
    return jnp.clip(jnp.where(cos > 0.9, -4.0 * sin - speed, -energy * speed / 4.0), -1.0, 1.0)[None]


@partial(jax.jit, static_argnums=1)
def play(key, steps):
    "One environment at random, one by a policy with noise: obs, action, reward, next_obs and done, each [T, 2, ...]."
    reset_key, act_key, step_key = jax.random.split(key, 3)

    def step(carry, row):
        state, obs = carry
        action = jnp.clip(jnp.stack([jnp.zeros(1), policy(obs[1])]) + row[1], -1.0, 1.0)
        state, step = jax.vmap(env.step)(jax.random.split(row[0], 2), state, 2.0 * action)
        return (state, step.obs), (obs, action, step.reward, step.next_obs, step.terminated | step.truncated)

    noise = jnp.array([[1.0], [0.4]]) * jax.random.uniform(act_key, (steps, 2, 1), minval=-1.0)
    begun = jax.vmap(env.reset)(jax.random.split(reset_key, 2))
    return jax.lax.scan(step, begun, (jax.random.split(step_key, steps), noise))[1]


SEEDS, SIZES = 3, jnp.array([60, 250, 1000])
played = jax.vmap(lambda key: play(key, 500))(jax.random.split(jax.random.key(0), SEEDS))
unseen = play(jax.random.key(9), 400)
obs, next_obs = (np.asarray(unseen[i], float).reshape(-1, 3) for i in (0, 3))
print("spread of s'            ", next_obs.std(0).round(2), "(cosine, sine, speed)")
print("spread of s' - s        ", (next_obs - obs).std(0).round(2))
print("variance known for free ", (1 - (next_obs - obs).var(0) / next_obs.var(0)).round(2))

# %% [markdown]
# A network that predicts $s'$ itself looks excellent before it has learned anything about actions. Whoever reads its error has to ask: compared with what?
#
# ## What the model does not know
#
# A model is unsure for two reasons. The world may be random, which more data do not change: **aleatoric** uncertainty. And data may be few: **epistemic**
# uncertainty. A network that predicts a mean and a variance, fitted by the likelihood, has the first kind (exercise 11.2):
#
# $$L(\theta) = \frac{1}{N} \sum_n \frac12 \left( \frac{(y_n - \mu_\theta(x_n))^2}{\sigma^2_\theta(x_n)} + \log \sigma^2_\theta(x_n) \right)$$
#
# Several such networks, begun differently and each with its own resampled copy of the data, differ where data are few: an **ensemble** has the second
# kind too. The variance of what one of its $E$ members, drawn at random, would say is the sum of both:
#
# $$\mathrm{Var}(y) = \frac1E \sum_e \sigma_e^2 + \frac1E \sum_e (\mu_e - \bar\mu)^2$$
#
# `models.Dynamics` is such an ensemble. A world of one number, in which what happens is noisier to the right, and which was never seen in the middle:


# %%
def rows_of(obs, action, reward, next_obs, done=None):
    "Steps [..., D] as a model learns them."
    flat = lambda x: x.reshape(-1, x.shape[-1])
    number = reward.size
    return models.Targets(flat(obs), flat(action), reward.reshape(-1), jnp.zeros(number, bool), flat(next_obs), jnp.ones(number))


@partial(jax.jit, static_argnums=(0, 4))
def fit(dynamics, rows, size, key, steps=600):
    "The parameters of an ensemble, learned from the first `size` rows by Adam."
    init_key, key = jax.random.split(key)
    rows = rows._replace(weight=(jnp.arange(len(rows.reward)) < size) * 1.0)
    params = dynamics.observe(dynamics.init(init_key), rows)  # the statistics that whiten
    counts = dynamics.bootstrap(jnp.arange(len(rows.reward)))  # how often each member has each row
    optimizer = optax.adam(3e-3)

    def step(carry, key):
        params, state = carry
        which = jax.random.randint(key, (64,), 0, size)
        batch = jax.tree.map(lambda x: x[which], rows)
        gradient = jax.grad(lambda params: dynamics.loss(params, batch, counts[:, which])[0])(params)
        updates, state = optimizer.update(gradient, state, params)
        return (optax.apply_updates(params, updates), state), None

    return jax.lax.scan(step, (params, optimizer.init(params)), jax.random.split(key, steps))[0][0]


x_key, noise_key = jax.random.split(jax.random.key(3))
x = jax.random.uniform(x_key, (300, 1), minval=-3.0, maxval=3.0)
x = x[(x[:, 0] < -0.7) | (x[:, 0] > 0.8)]
noise = 0.03 + 0.12 * jnp.maximum(x, 0.0)
y = jnp.sin(2.0 * x) + noise * jax.random.normal(noise_key, x.shape)
line = envs.Box(-3.0, 3.0, (1,))
world = models.Dynamics(1, line, members=5, hidden=(32, 32))
params = fit(world, rows_of(x, 0.0 * x, 0.0 * x[:, 0], x + y), len(x), jax.random.key(4), 1000)

places = jnp.linspace(-3.0, 3.0, 200)[:, None]


@jax.jit
def predicted(params):
    "Mean and standard deviation of s' - s at each place, member by member: [5, 200] each."
    said = world.each(lambda member: world.predict(member, places, 0.0 * places), params)
    mean, above = (ops.denormalize(params["outputs"], x) for x in (said.mean, said.mean + jnp.exp(0.5 * said.log_variance)))
    return mean[..., 0], (above - mean)[..., 0]


mean, sigma = (np.asarray(x) for x in predicted(params))

fig, axes = plt.subplots(1, 2, figsize=(9, 3.2))
axes[0].plot(x, y, ".", color="0.6", markersize=3)
for member in range(5):
    axes[0].plot(places, mean[member], linewidth=1.3)
    axes[0].fill_between(places[:, 0], mean[member] - sigma[member], mean[member] + sigma[member], alpha=0.12, linewidth=0)
axes[0].set(title="five members: mean ± σ", xlabel="s", ylabel="s' - s", ylim=(-2, 2))
for spread, text in (((sigma**2).mean(0) ** 0.5, "aleatoric"), (mean.std(0), "epistemic")):
    axes[1].plot(places, spread, label=text)
axes[1].plot(places, 0.03 + 0.12 * jnp.maximum(places, 0.0), color="0.4", linestyle=":", label="the noise that there is")
axes[1].set(title="standard deviations", xlabel="s", ylim=(0, 0.8))
axes[1].legend();

# %% [markdown]
# Where there are data the members agree, and their $\sigma$ roughly follows the noise. In the gap each goes its own way, and does not say so by its own $\sigma$: only
# their disagreement shows it. (`beta` in `Dynamics` weighs the gradient of the likelihood by $\sigma$, or a member hardly learns what it once took for noise,
# Seitzer et al. 2022.)
#
# ## Errors grow along a plan
#
# A plan asks the model about its own answers. Errors of the first step are inputs of the second: what is right to 1% for one step may be worthless after 20.
# `models.horizon_errors` follows the actions that were really taken, in episodes not learned from. Ensembles of five on Pendulum, from 60, 250 and 1,000
# steps, three seeds:

# %%
ensemble = models.dynamics_of(env, members=5, hidden=(32, 32))
rows, keys = jax.vmap(rows_of)(*played), jax.random.split(jax.random.key(1), SEEDS)
fit_all = jax.jit(jax.vmap(jax.vmap(partial(fit, ensemble), (None, 0, None)), (0, None, 0)))
learned = fit_all(rows, SIZES, keys)  # parameters [seed, size, ...]

errors_of = lambda params: models.horizon_errors(ensemble, params, *unseen, horizon=30).obs
errors = jax.jit(jax.vmap(jax.vmap(errors_of)))(learned)
fig, ax = plt.subplots()
for i, size in enumerate(SIZES):
    ax.plot(jnp.arange(1, 31), errors[:, i].mean(0), color=f"C{i}", label=f"{size:,} steps seen")
    ax.fill_between(jnp.arange(1, 31), errors[:, i].min(0), errors[:, i].max(0), color=f"C{i}", alpha=0.15, linewidth=0)
    print(f"{size:5,} steps seen: 1 step ahead {errors[:, i, 0].mean():.3f}, 10 steps {errors[:, i, 9].mean():.2f}, 30 steps {errors[:, i, 29].mean():.2f}")
ax.axhline(1, color="0.4", linestyle=":", label="as wrong as knowing only the mean state")
ax.set(xlabel="steps ahead", ylabel="error in standard deviations", yscale="log", title="Errors compound (mean of three seeds; band: all of them)")
ax.legend(fontsize=8);

# %% [markdown]
# ## The search finds what is wrong
#
# A search takes the plan of which the model says that it earns most. Among many plans that is often one about which the model errs, on the good side: the
# optimiser turns errors into beliefs. It is the maximum over noisy numbers of lesson 5 once more, and learned models meet it wherever they are
# optimised against: **model exploitation**. More candidates find more of it.
#
# PETS (Chua et al. 2018) plans in an ensemble, by **trajectory sampling**. Particles try a plan, each in one member's world, with the noise that this
# member believes in, and the plan's worth is the mean over particles (exercise 11.3). With TS-infinity a particle keeps its member for the whole plan, with
# TS1 it draws a new one at each step. A plan has to be good in all five worlds, and an error is rarely in all of them.
#
# Does it matter? Ten times 60 random steps of Pendulum, models of three kinds from each; plans of 20 steps from 32 starts. What does the model believe that the best plan
# found earns, and what does it earn in truth? (`python bench/lesson_11.py beliefs`; interquartile means of the ten with 95% intervals.)

# %%
read = lambda name: np.genfromtxt(Path(f"data/11_{name}.csv"), delimiter=",", names=True, dtype=None, encoding="utf-8")
beliefs = read("beliefs")
beliefs = beliefs[beliefs["seen"] == 60]
fig, ax = plt.subplots()
for i, name in enumerate(dict.fromkeys(beliefs["model"])):
    for number, count in enumerate((8, 64, 512)):
        own = beliefs[(beliefs["model"] == name) & (beliefs["candidates"] == count)]
        believed, came = ops.score(own["believed"]), ops.score(own["came"])
        ax.errorbar(number + 0.1 * (i - 1), believed.iqm, [[believed.iqm - believed.low], [believed.high - believed.iqm]], fmt="o", color=f"C{i}", capsize=3, label=name if count == 8 else None)
        ax.plot(number + 0.1 * (i - 1), came.iqm, "_", color=f"C{i}", markersize=18, markeredgewidth=3)
        print(f"{name:22} {count:3} candidates: believed {believed.iqm:6.1f}, came {came.iqm:6.1f}, too good by {ops.score(own['believed'] - own['came'])}")
gaps = [(own["believed"] - own["came"]) for own in (beliefs[(beliefs["model"] == name) & (beliefs["candidates"] == 64)] for name in dict.fromkeys(beliefs["model"]))]
print(f"one against five Gaussian networks, 64 candidates, data set by data set: more by {ops.score(gaps[0] - gaps[2])}")
ax.plot([], "_", color="0.4", markersize=18, markeredgewidth=3, label="what came")
ax.set_xticks(range(3), ("8 candidates", "64", "512"))
ax.set(ylabel="return of the best plan", ylim=(-125, 20), title="What models of 60 steps believe of the best plan found")
ax.legend(fontsize=8, ncols=2, loc="upper center");

# %% [markdown]
# The best plan found is believed to earn far more than it does, and a little more so with more candidates. Five networks exaggerate less than one on the same
# data, but data sets differ more than kinds of models do, and the plans themselves come to the same. With 250 steps seen the mean gaps are 15 to 21.
#
# An agent goes on: it acts by its plans, and where the model was too good it learns so, from the very states that plans lead to. The whole of PETS, and
# the same with one deterministic network, six seeds (`python bench/lesson_11.py returns`):

# %%
returns = read("returns")
for name in dict.fromkeys(returns["model"]):
    for steps in (200, 400, 600):
        print(f"{name:22} after {steps} steps:", *(f"{x:6.0f}" for x in returns["score"][(returns["model"] == name) & (returns["steps"] == steps)]))

# %% [markdown]
# After 600 steps two of the six single networks are far off what the ensemble of the same seed reaches; the others are alike. Six seeds are no proof, but it
# is the direction that Chua et al. (2018, section 6) report on harder tasks.
#
# ## A model as data: Dyna and MBPO
#
# A model need not plan at each decision. It may be a source of data for an algorithm that has none. **Dyna** (Sutton 1991) interleaves: act and learn from the
# real step, learn the model from it, then learn from $n$ steps of the model, as if they had happened:
#
# $$Q(s, a) \leftarrow Q(s, a) + \alpha \left(r + \gamma \max_b Q(s', b) - Q(s, a)\right) \qquad \text{for one real } (s, a, r, s') \text{ and } n \text{ imagined ones}$$
#
# In a table the model is what came of each action when it was last taken. In the maze of lesson 2, ten runs each:

# %%
maze = tabular.dyna_maze()
keys = jax.random.split(jax.random.key(0), 10)
for planned in (0, 20):
    learn = lambda key, planned=planned: tabular.dyna_q(maze, key, 8000, planning_steps=planned).ended
    ended = jnp.cumsum(jax.jit(jax.vmap(learn))(keys), axis=1)
    assert (ended[:, -1] >= 10).all()
    first, tenth = (jax.vmap(lambda row: jnp.searchsorted(row, number))(ended) for number in (1, 10))
    taken = tenth - first
    print(f"{planned:2} imagined steps for each real one: from the first to the tenth time at the goal {taken.mean():5.0f} steps ({taken.min()} to {taken.max()}), {taken.mean() * (1 + planned):6,.0f} updates")

# %% [markdown]
# A twelfth of the real steps, and nearly twice the updates: a model is paid for in computing. Prioritised sweeping (`tabular.prioritized_sweeping`) updates
# first what changes most, and needs fewer of them.
#
# With networks this is **MBPO** (Janner et al. 2019): an ensemble as above, and SAC. From states that were really visited the policy takes $k$ steps in the
# model, each by a member drawn at random; what is imagined goes into a second replay, which SAC learns from, many gradient steps for each real one. Why from
# real states, and why short? Errors grow along a rollout, as seen above, while a rollout of one step from a real state is hardly wrong, and yet tries the
# *current* policy's action where the replay has an old one's. In the paper's bound the return in the world is at least that in the model less two
# terms: the model's error, which counts $k$ times, and how far the policy has moved from the one that collected the data, which counts $\gamma^k$. `jaxrl-up train mbpo`;
# [docs/algorithms/mbpo.md](../docs/algorithms/mbpo.md).
#
# ## A model in the target
#
# **Model-based value expansion** (MVE, Feinberg et al. 2018) trusts the model for $H$ steps and the critic only after them. The target of a real transition
# $(s, a, r, s')$, with $\hat s_0 = s'$ and the policy $\mu'$ followed in the model (exercise 11.4), is
#
# $$y_H = r + \gamma \left( \sum_{t=0}^{H-1} \gamma^t \hat r_t + \gamma^H Q'(\hat s_H, \mu'(\hat s_H)) \right)$$
#
# $H = 0$ is the TD target. In a perfect model the critic's error counts $\gamma^{H+1}$, so the more steps the better; in a learned one the error of the model
# grows with $H$ meanwhile. Both can be measured here. The policy is the one that swung the rod up above, $\gamma = 0.95$, and the critic an early one: its
# values have come half of the way from 0 to the policy's.

# %%
GAMMA, LONGEST = 0.95, 20


def rewards_and_states(step, state, obs, length):
    "Rewards [T] and observations after each [T, 3], of the policy in a model."

    def one(carry, _):
        state, obs, reward = step(*carry)
        return (state, obs), (reward, obs)

    return jax.lax.scan(one, (state, obs), length=length)[1]


def in_the_world(state, obs):
    return model.step(env.params, jax.random.key(0), state, 2.0 * policy(obs))[:3]


def in_the_model(member, state, obs):
    obs, reward, _ = ensemble.by_means.step(member, jax.random.key(0), obs, policy(obs))
    return state, obs, reward


def targets(rewards, obs, value):
    "y_H for H = 0 ... T - 1, from the rewards [T] of the real step and the imagined ones after it."
    discount = GAMMA ** jnp.arange(len(rewards))
    return jnp.cumsum(discount * rewards) + GAMMA * discount * value(obs)


def sweep(values, _):
    "The policy's r + gamma V(s') at each point of the grid."

    def of_point(angle, speed):
        obs = jnp.stack([jnp.cos(angle), jnp.sin(angle), speed])
        after, _, reward = in_the_world(at(angle, speed), obs)
        return reward + GAMMA * between(values, after.state.theta, after.state.theta_dot)

    return jax.vmap(jax.vmap(of_point, (None, 0)), (0, None))(*grid), None


policy_values = jax.jit(lambda: jax.lax.scan(sweep, jnp.zeros((65, 65)), length=150)[0])()
critic = lambda obs: 0.5 * between(policy_values, jnp.arctan2(obs[..., 1], obs[..., 0]), obs[..., 2])

start_keys = jax.random.split(jax.random.key(7), 100)
states = jax.vmap(lambda key: model.reset(env.params, key))(start_keys)
obs = jax.vmap(lambda key: env.reset(key)[1])(start_keys)
really = jax.jit(jax.vmap(lambda state, obs: rewards_and_states(in_the_world, state, obs, 199)))
rewards, reached = really(states, obs)
truth = (GAMMA ** jnp.arange(199) * rewards).sum(1)
print(f"the policy's return {rewards.sum(1).mean():.0f}; Q of its starts {truth.mean():.0f} on average, deviation {truth.std():.0f}")


@jax.jit
def expanded(params):
    "y_H [E, 100, LONGEST]: the first step is real, the others are a member's."
    first, after = rewards[:, :1], reached[:, 0]

    def of_member(member):
        imagined = lambda obs: rewards_and_states(partial(in_the_model, member), (), obs, LONGEST - 1)
        more, seen = jax.vmap(imagined)(after)
        return jax.vmap(partial(targets, value=critic))(jnp.concatenate([first, more], 1), jnp.concatenate([after[:, None], seen], 1))

    return ensemble.each(of_member, params)


root = lambda y: jnp.sqrt(jnp.mean((y - truth[:, None]) ** 2, axis=-2))
exact = root(jax.vmap(partial(targets, value=critic))(rewards[:, :LONGEST], reached[:, :LONGEST]))
fig, ax = plt.subplots()
for i, size in enumerate(SIZES):
    of_size = jax.vmap(expanded)(jax.tree.map(lambda x: x[:, i], learned))  # [seed, E, 100, H]
    wrong = root(of_size).mean((0, 1))
    ax.plot(wrong, color=f"C{i}", label=f"model of {size:,} steps")
    print(f"{size:5,} steps seen: TD target off by {wrong[0]:.1f}, best at H = {int(wrong.argmin())} with {wrong.min():.1f}, H = {LONGEST - 1}: {wrong[-1]:.1f}")
print(f"true model: H = 0 {exact[0]:.1f}, H = 7 {exact[7]:.1f}, H = {LONGEST - 1} {exact[-1]:.1f}")
ax.plot(exact, color="0.3", linestyle="--", label="true model")
ax.set_xticks(range(0, 20, 3))
ax.set(xlabel="H, imagined steps", ylabel="root mean square error of y", ylim=(0, None), title="A target with a model in it")
ax.legend(fontsize=8);

# %% [markdown]
# With the true model the error falls with every step. A model of 60 steps helps for ten and harms after; better ones are worth longer looks, and end where
# their own error is all that is left. So $H$ is a trust in the model, as $n$ is in $n$-step returns a patience with variance; and unlike those, the imagined
# steps are the current policy's, so no old policy biases them. `jaxrl-up train mbve`; [docs/algorithms/mbve.md](../docs/algorithms/mbve.md).
#
# ## When does a model pay?
#
# In steps of the world, nearly always; in seconds, seldom. The recipes of Pendulum, measured by `bench/scores.py`:

# %%
report = lambda name: json.loads(Path(f"../bench/results/{name}-pendulum.json").read_text())
sac, pets = report("sac"), report("pets")
middle, low, high = ops.bootstrap(sac["curves"], resamples=500)
steps = np.array(sac["curve_steps"])
fig, ax = plt.subplots()
ax.plot(steps, middle, "o-", color="C0", markersize=3, label="SAC")
ax.fill_between(steps, low, high, color="C0", alpha=0.15, linewidth=0)
ax.errorbar(pets["env_steps"], pets["iqm"], np.abs(np.array([pets["interval"]]).T - pets["iqm"]), fmt="s", color="C1", capsize=3, label="PETS")
ax.set(xscale="log", xlabel="environment steps", ylabel="return", title="Pendulum: interquartile means, 95% intervals", ylim=(-1900, 0))
ax.set_xticks([1000, 3000, 10_000, 30_000], ["1,000", "3,000", "10,000", "30,000"])
ax.legend()

there = next(i for i in range(len(steps)) if middle[i] > -180)
seconds = {"PETS": pets["train_seconds"] / pets["seeds"], "SAC": sac["train_seconds"] / sac["seeds"] * steps[there] / steps[-1]}
print(f"PETS: {pets['iqm']:.0f} after {pets['env_steps']:,} steps, {seconds['PETS']:.1f} s a seed (six seeds together {pets['train_seconds']:.0f} s, and {pets['compile_seconds']:.0f} s to compile)")
print(f"SAC:  {middle[there]:.0f} after {steps[there]:,} steps, {seconds['SAC']:.1f} s a seed")
dear = (seconds["PETS"] - seconds["SAC"]) / (steps[there] - pets["env_steps"])
print(f"the model pays where a step of the world takes longer than {1000 * dear:.0f} ms")

# %% [markdown]
# Less than a quarter of the steps, and twenty times the computing (evaluations included, in which PETS plans too; SAC's seconds are its share of 30,000
# steps). In a compiled simulator a step of Pendulum takes microseconds, and no model pays. A robot's step takes 20 to 100 ms, wears it and may break it:
# there it does.
#
# | | the model is used | steps of the world | computing | where it errs |
# |---|---|---|---|---|
# | MPC | to plan at each step; it is the true one | none to learn from | at every decision | beyond the horizon |
# | PETS | to plan at each step | fewest | at every decision, and to learn | plans exploit it; the ensemble tempers that |
# | Dyna, MBPO | as data for $Q$ and the policy | few | to learn; acting is cheap | short rollouts from real states |
# | MVE | in the critic's target | some | to learn; acting is cheap | within $H$ steps of real states |
# | SAC | not at all | most | least | there is none |
#
# ## Exercises
#
# * **11.1** one refit of the cross-entropy method: `jaxrl-up exercise start 11.1`
# * **11.2** the likelihood with a learned variance: `jaxrl-up exercise start 11.2`
# * **11.3** trajectory sampling, TS-infinity and TS1: `jaxrl-up exercise start 11.3`
# * **11.4** the target of value expansion: `jaxrl-up exercise start 11.4`
#
# To try: `method="mppi"` in the figure of the search; `plan_noise="white"`; a gap elsewhere in the world of one number; 3 or 10 members.
#
# ## Further reading
#
# * R. S. Sutton, 1991, *Dyna, an integrated architecture for learning, planning, and reacting*, SIGART Bulletin 2.
# * R. Y. Rubinstein, 1999, *The cross-entropy method for combinatorial and continuous optimization*, Methodology and Computing in Applied Probability 1.
# * G. Williams et al., 2017, *Information theoretic MPC for model-based reinforcement learning*, ICRA.
# * A. Nagabandi, G. Kahn, R. S. Fearing, S. Levine, 2018, *Neural network dynamics for model-based deep reinforcement learning with model-free fine-tuning*, arXiv:1708.02596.
# * K. Chua, R. Calandra, R. McAllister, S. Levine, 2018, *Deep reinforcement learning in a handful of trials using probabilistic dynamics models*, arXiv:1805.12114.
# * V. Feinberg et al., 2018, *Model-based value estimation for efficient model-free reinforcement learning*, arXiv:1803.00101.
# * M. Janner, J. Fu, M. Zhang, S. Levine, 2019, *When to trust your model: model-based policy optimization*, arXiv:1906.08253.
# * M. Seitzer, A. Tavakoli, D. Antic, G. Martius, 2022, *On the pitfalls of heteroscedastic uncertainty estimation with probabilistic neural networks*, arXiv:2203.09168.
# * T. M. Moerland, J. Broekens, A. Plaat, C. M. Jonker, 2023, *Model-based reinforcement learning: a survey*, arXiv:2006.16712.
