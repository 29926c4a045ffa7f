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
# # Debugging reinforcement learning
#
# After this lesson you can find a mistake in a learner that runs, raises nothing and even learns a little: by
# environments whose answer is known, and by the columns that tell a mistake before the return does.
#
# A wrong program of supervised learning is worse on the test set. A wrong program of reinforcement learning makes its
# own data, which fit what it does; often it learns all the same, only later, or with more seeds that fail. We put six
# mistakes into a small PPO and look for them.

# %%
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from flax import struct

from jaxrl_up import Algorithm, envs, ops, sweep, use_all_cores
from jaxrl_up.envs import probes
from jaxrl_up.learning import on_policy, optimisation, unroll
from jaxrl_up.types import Counters, Metrics, means, static, traced

use_all_cores()  # one CPU device per core, before any JAX computation
plt.style.use("lessons.mplstyle")

# %% [markdown]
# ## A small PPO with six mistakes
#
# | bug | what is wrong |
# |---|---|
# | `sign` | the policy's loss has the wrong sign |
# | `trace` | the sum of TD errors is not cut where an episode ends |
# | `terminal` | a terminal state is bootstrapped from, as if the episode went on |
# | `normaliser` | observations are whitened by statistics that already contain them, but were acted on without |
# | `key` | the key is rebound, so that all seeds are one |
# | `shape` | values `[B]` meet targets `[B, 1]` |
#
# Which bug it has is a number, and `jnp.where` chooses: so seven programs with three seeds each are one sweep. What an
# `Algorithm` is made of (`init`, `update`, a config of traced and static fields) is the matter of lesson 9; to follow
# this one, look at each use of `bug(...)` below: it has the wrong line first and the right one second.

# %%
BUGS = ("healthy", "sign", "trace", "terminal", "normaliser", "key", "shape")
HEALTHY, SIGN, TRACE, TERMINAL, NORMALISER, KEY, SHAPE = range(7)


@struct.dataclass(frozen=True)
class Config(on_policy.GradientFields):
    bug: float = traced(0.0, 0.0, 6.0)
    num_epochs: int = static(4, low=1)
    clip_epsilon: float = traced(0.2, 0.0)
    adam_epsilon: float = traced(1e-5, 0.0)
    value_learning_rate: float | None = traced(5e-3, 0.0)
    rollout_length: int = static(32, low=1)
    normalize_observations: bool = static(True)
    normalize_returns: bool = static(False)


def init(config, env, key):
    words = jax.random.key_data(key)
    words = jnp.where(config.bug == KEY, jnp.zeros_like(words), words)
    return on_policy.init(config, env, jax.random.wrap_key_data(words))


def advantages(config, rows, value, next_value, bug):
    going = 1.0 - (rows.terminated | rows.truncated)
    discount = config.gamma * bug(TERMINAL, jnp.ones_like(value), 1.0 - rows.terminated)
    right = ops.gae(rows.reward, discount, config.gae_lambda * going, value, next_value)
    # A_t = delta_t + gamma lambda A_{t+1}, over everything
    delta, one = rows.reward + discount * next_value - value, jnp.ones_like(value)
    wrong = ops.gae(delta, config.gamma * one, config.gae_lambda * one, 0.0 * one, 0.0 * one)
    return bug(TRACE, wrong, right)


def update(config, env, state):
    def bug(which, wrong, right):
        return jax.tree.map(lambda w, r: jnp.where(config.bug == which, w, r), wrong, right)

    key, noise_key, rollout_key = jax.random.split(state.key, 3)
    learner, net = state.learner, on_policy.network(config, env)

    def policy(obs, memory, noise):
        pi = net.policy(learner.params["actor"], ops.normalize(learner.statistics, obs))
        action = pi.sample_with(noise)
        return action, memory, pi.log_prob(action)

    noise = net.noise(noise_key, (config.rollout_length, config.num_envs))
    interaction, rows, episodes = unroll(env, policy, state.interaction, config.rollout_length, rollout_key, noise)
    value, next_value = (
        net.value(learner.params, ops.normalize(learner.statistics, x)) for x in (rows.obs, rows.next_obs)
    )
    advantage = advantages(config, rows, value, next_value, bug)

    moved = ops.update_statistics(learner.statistics, rows.obs)
    obs = ops.normalize(bug(NORMALISER, moved, learner.statistics), rows.obs)
    batch = (obs, rows.action, rows.extras, advantage, advantage + value)
    obs, action, old, advantage, target = (x.reshape(-1, *x.shape[2:]) for x in batch)  # [B, ...]

    def loss(params):
        pi, v = net.both(params, obs)
        log_prob = pi.log_prob(action)
        surrogate = ops.clipped_surrogate_loss(log_prob, old, ops.normalize_advantages(advantage), config.clip_epsilon)
        surrogate = bug(SIGN, -surrogate, surrogate)
        value_loss = bug(SHAPE, 0.5 * jnp.mean((v - target[:, None]) ** 2), ops.value_loss(v, target))
        return surrogate + value_loss, {
            "loss": surrogate + value_loss,
            "value_loss": value_loss,
            "entropy": jnp.mean(pi.entropy()),
            "kl": jnp.mean(ops.kl_k3(old, log_prob)),
            "value": jnp.mean(v),
            "largest_target": jnp.max(target),
            "explained_variance": 1.0 - jnp.var(target - v) / jnp.maximum(jnp.var(target), 1e-6),
        }

    def step(learner, _):
        gradient, seen = jax.grad(loss, has_aux=True)(learner.params)
        rates = on_policy.rates(config, state)
        return optimisation.descend(learner, gradient, rates, optimisation.adam(config), config.max_grad_norm), seen

    learner, seen = jax.lax.scan(step, learner, length=config.num_epochs)
    losses = means({name: x[0] for name, x in seen.items()})  # before the first of the gradient steps
    counters = Counters(state.counters.updates + 1, state.counters.env_steps + on_policy.steps_per_update(config))
    return on_policy.State(learner._replace(statistics=moved), interaction, key, counters), Metrics(losses, *episodes)


SMALL = Algorithm("small_ppo", Config, init, update, on_policy.act, on_policy.steps_per_update)

# %% [markdown]
# ## The return does not tell
#
# Seven programs, three seeds each, on CartPole: the mean of the evaluations in the second half of training.

# %%
keys = jax.vmap(jax.random.key)(jnp.arange(3))
every_bug = {"bug": jnp.arange(len(BUGS), dtype=jnp.float32)}
config = Config(total_steps=24_576, learning_rate=3e-3)
_, log = sweep(SMALL, "CartPole-v1", config, every_bug, keys, num_evals=8)
returns, steps = np.asarray(log.returns), np.asarray(log.env_steps)[0, 0]  # [bugs, seeds, evaluations], [evaluations]
columns = {name: np.asarray(x)[..., 1:] for name, x in log.losses.items()}  # before the first nothing was learned
for bug, name in enumerate(BUGS):
    print(f"{name:10}", *(f"{x:5.0f}" for x in returns[bug, :, 5:].mean(-1)), "   seeds 0, 1, 2")

# %% [markdown]
# `sign` is plain to see, and `terminal` one may suspect. The other four learn, as far as the three healthy seeds do,
# which differ that much among themselves; one of them even scores higher on average. A task that forgives this much is
# no test, and neither is "it learns".
#
# ## Probes
#
# A **probe** is an environment so small that the right answer is known exactly, and that needs one thing more than the
# one before (Jones 2021). The first that fails names the part. `envs.probes` has them:
#
# | probe | what it adds | right answer | fails if |
# |---|---|---|---|
# | `one_step` | a reward of 1, then the end | $V = 1$ | the critic does not learn, or a terminal state is bootstrapped from |
# | `observed_reward` | the observation: shows $o = \pm 1$ and pays it | $V(o) = o$ | observations do not reach the critic, or rows are mixed up |
# | `delayed_reward` | one discounted step | $V(0) = \gamma,\ V(1) = 1$ | discount, bootstrap, trace |
# | `constant_reward` | ends by its time limit only | $V = 1 / (1 - \gamma)$ | a time limit is taken for an end |
# | `action_reward` | an action: pays $\pm 1$ | return 1 | the policy's gradient, its sign, the log-probabilities |
# | `matched_action_reward` | an action that fits the observation | return 1 | observations do not reach the actor, or rows are mixed up |
#
# Three of them are enough for our six. Beside the answer we look at the largest target that the critic was ever given:
# a reward of 1 at most cannot give more than 1.

# %%
gamma = 0.9
tiny = Config(total_steps=8_192, learning_rate=1e-2, value_learning_rate=1e-2, gamma=gamma, hidden=(16,))


def learn(probe):
    "States and logs [bugs, seeds] of all programs on a probe."
    state, log = sweep(SMALL, probe, tiny, every_bug, keys, num_evals=8)
    return state.learner, log


def values(probe, learner, obs):
    "V(obs [N, ...]) of every bug and seed: [bugs, seeds, N]."
    net, obs = on_policy.network(tiny, probe), jnp.asarray(obs)
    one = lambda learner: net.value(learner.params, ops.normalize(learner.statistics, obs))
    return np.asarray(jax.vmap(jax.vmap(one))(learner))


observed, delayed, matched = probes.observed_reward(), probes.delayed_reward(), probes.matched_action_reward()
(seen_by, _), (delayed_by, delayed_log), (_, matched_log) = learn(observed), learn(delayed), learn(matched)
largest = np.asarray(delayed_log.losses["largest_target"])
table = {
    "V(-1)": (values(observed, seen_by, [[-1.0]])[..., 0], -1.0),
    "V(+1)": (values(observed, seen_by, [[1.0]])[..., 0], 1.0),
    "V(0)": (values(delayed, delayed_by, [[0.0]])[..., 0], gamma),
    "V(1)": (values(delayed, delayed_by, [[1.0]])[..., 0], 1.0),
    "target": (np.nanmax(largest, -1), 1.0),
    "return": (np.asarray(matched_log.returns)[..., -1], 1.0),
}

# %%
print(f"{'':10}{'observed_reward':^22}{'delayed_reward':^33}{'matched_action':^12}")
print(f"{'':10}" + "".join(f"{name:>11}" for name in table))
print(f"{'exact':10}" + "".join(f"{exact:9.2f}  " for _, exact in table.values()))
for bug, name in enumerate(BUGS):
    worst = [x[bug][np.abs(x[bug] - exact).argmax()] for x, exact in table.values()]  # of three seeds
    cells = [f"{x:9.2f}{' ' if abs(x - exact) < 0.1 else '*'} " for x, (_, exact) in zip(worst, table.values())]
    print(f"{name:10}" + "".join(cells))
print("\nthe worst of three seeds; * more than 0.1 off")

# %% [markdown]
# What each row says:
#
# - **sign**: the values are right, the actions are as wrong as can be. The critic is innocent.
# - **trace**: little is wrong in the end. Once the critic is right, TD errors have a mean of 0, and the sum of those of
#   the next episodes, which has no business there, has too: this bug adds noise and no bias. But while the critic was
#   wrong, targets exceeded what the world can pay. Look at bounds, not only at the end.
# - **terminal**: the state before the end is worth what it pays **and** what the critic says of what comes after, which
#   feeds on itself: $V = 1 + \gamma V$ on the way to $1 / (1 - \gamma) = 10$.
# - **shape**: the critic gives the same value to both observations, the mean. On `delayed_reward` the mean is 0.95 and
#   passes: answers of a probe should be far apart.
# - **normaliser** and **key** pass: what is wrong there is no expected value. They need a look at other columns.
#
# ## The columns that tell
#
# Each mistake has a signature in a quantity whose right value is known, or bounded:
#
# - **entropy** of a policy starts near $\log$ (number of actions) and falls slowly; a fall to 0 within a few updates is
#   a policy that runs away.
# - **KL before the first gradient step** of an update is 0, exactly: the policy that learns is the one that acted.
#   Anything else means that the two saw different inputs, networks or actions. (The figure draws 0 as 1e-10.)
# - **Explained variance**, $1 - \mathrm{Var}(G - V) / \mathrm{Var}(G)$, is 1 for a perfect critic, 0 for one that says
#   the same of every state, and below 0 for one that is worse than that. (Where all returns are equal, as when every
#   episode reaches the limit, it says nothing.)
# - **Values and targets** lie within $r_\mathrm{max} / (1 - \gamma)$; where episodes are short, far within.
# - **Seeds** differ. A spread of exactly 0 is a key that was rebound.

# %%
delayed_value = np.asarray(delayed_log.losses["value"])
spread = np.broadcast_to(columns["value_loss"].std(axis=1, keepdims=True), columns["value_loss"].shape)
signatures = {
    SIGN: ("entropy [nats]", columns["entropy"], steps[1:]),
    TRACE: ("largest target (probe)", largest, np.asarray(delayed_log.env_steps)[0, 0]),
    TERMINAL: ("mean value (probe)", delayed_value, np.asarray(delayed_log.env_steps)[0, 0]),
    NORMALISER: ("KL before the first step", np.maximum(columns["kl"], 1e-10), steps[1:]),
    KEY: ("spread of the loss over seeds", spread, steps[1:]),
    SHAPE: ("explained variance", columns["explained_variance"], steps[1:]),
}
fig, axes = plt.subplots(2, 6, figsize=(14, 5))
for (bug, (what, telltale, at)), (top, bottom) in zip(signatures.items(), axes.T):
    for ax, y, x in ((top, returns, steps), (bottom, telltale, at)):
        for which, colour in ((HEALTHY, "0.55"), (bug, "C1")):
            ax.plot(x / 1000, y[which].T, color=colour, linewidth=0.7, alpha=0.6)
            ax.plot(x / 1000, y[which].mean(0), color=colour, linewidth=2.4, label=BUGS[which])
    top.set(title=BUGS[bug], ylim=(0, 510))
    bottom.set_title(what, fontsize=9)
    bottom.set_xlabel("thousand steps")
    top.set_xlim(0, steps[-1] / 1000)
    bottom.set_xlim(0, at[-1] / 1000)
axes[1, 3].set_yscale("log")
axes[1, 5].set_ylim(-0.5, 1)
for ax in axes[0, 1:]:
    ax.set_yticklabels([])
axes[0, 0].set_ylabel("return on CartPole")
axes[1, 0].set_ylabel("what tells")
handles = [plt.Line2D([], [], color=colour, linewidth=2.4) for colour in ("0.55", "C1")]
fig.legend(handles, ["healthy", "with the bug"], loc="outside upper right", ncols=2);

# %%
print(
    "KL before the first step: healthy at most",
    columns["kl"][HEALTHY].max(),
    " normaliser at most",
    columns["kl"][NORMALISER].max(),
)
print("losses equal in all seeds: healthy", bool((spread[HEALTHY] == 0).all()), " key", bool((spread[KEY] == 0).all()))
print(
    "explained variance, mean of the first half: healthy",
    columns["explained_variance"][HEALTHY, :, :4].mean().round(2),
    " shape",
    columns["explained_variance"][SHAPE, :, :4].mean().round(2),
)

# %% [markdown]
# ### `[B]` against `[B, 1]`
#
# NumPy's rules of broadcasting make of `[B] - [B, 1]` all pairs, `[B, B]`. The mean over all pairs is
#
# $$\frac{1}{B^2} \sum_{i,j} (V_i - G_j)^2 = \frac{1}{B} \sum_i (V_i - \bar G)^2 + \mathrm{Var}(G)$$
#
# so every value is drawn to the mean of the batch, and the loss never falls below the variance of the targets. Nothing
# is raised, unless one asks: the functions of `ops` refuse shapes that differ.

# %%
v, target = jnp.array([1.0, 2.0, 3.0]), jnp.array([1.0, 2.0, 6.0])
print("shape of the difference:", (v - target[:, None]).shape)
print(
    "mean over all pairs:",
    jnp.mean((v - target[:, None]) ** 2),
    " by the formula:",
    jnp.mean((v - target.mean()) ** 2) + target.var(),
)
try:
    ops.value_loss(v, target[:, None])
except AssertionError as error:
    print("ops.value_loss:", str(error).splitlines()[0][:100])

# %% [markdown]
# ## Traps of arithmetic
#
# Four that this library fell into (docs/design.md, "Traps found"). First: **nothing times NaN**. A simulator that
# diverges shows NaN after its last step. The value after a termination counts 0 times, but $0 \cdot \mathrm{NaN}$ is
# NaN. `ops.weighted` selects what has no weight away.

# %%
going, next_value = jnp.array([0.0, 1.0]), jnp.array([jnp.nan, 2.0])
print("product:", going * next_value, " ops.weighted:", ops.weighted(going, next_value))

# %% [markdown]
# **Equal numbers have a spread.** The mean of 2,048 advantages of 1.1 is off by a rounding unit, so is the deviation,
# and their quotient is of the order of 1: a batch from which nothing can be learned makes steps of full size.

# %%
advantage = jnp.full(2048, 1.1)
naive = (advantage - advantage.mean()) / (jnp.sqrt(jnp.mean((advantage - advantage.mean()) ** 2)) + 1e-8)
print("naive:", naive[0], " ops.normalize_advantages:", ops.normalize_advantages(advantage)[0])

# %% [markdown]
# **Ratios beyond float32.** $e^{89}$ is infinite there. A clipped ratio looks finite; its gradient is infinity times 0.

# %%
naive = lambda log_prob: jnp.minimum(jnp.exp(log_prob) * 1.0, jnp.clip(jnp.exp(log_prob), 0.8, 1.2))
ours = lambda log_prob: ops.clipped_surrogate_loss(log_prob, jnp.float32(0.0), jnp.float32(1.0), 0.2)
for f, name in ((naive, "naive"), (ours, "ops.clipped_surrogate_loss")):
    print(f"{name}: value {f(jnp.float32(89.0))}, gradient {jax.grad(f)(jnp.float32(89.0))}")

# %% [markdown]
# **`fold_in(key, i)` is `split(key, n)[i]`.** A key that was split must not be folded as well, or two things that
# should be independent are the same.

# %%
key = jax.random.key(0)
print("split:  ", *(jax.random.normal(k) for k in jax.random.split(key, 3)))
print("fold_in:", *(jax.random.normal(jax.random.fold_in(key, i)) for i in range(3)))


# %% [markdown]
# And one of speed, which no result shows: **a batched `cond` is no branch**. Under `vmap`, with a condition that
# differs between seeds, both branches run and one result is thrown away: so a gradient step that should happen every
# tenth time happens ten times as often. Conditions on counters, which are the same in all seeds, stay branches.


# %%
def maybe(condition, x):
    return jax.lax.cond(condition, jnp.sin, jnp.cos, x)


x, conditions = jnp.ones(2), jnp.array([True, False])
for name, program in (
    ("one", jax.make_jaxpr(maybe)(True, 1.0)),
    ("vmapped over the condition", jax.make_jaxpr(jax.vmap(maybe))(conditions, x)),
    ("vmapped, one condition", jax.make_jaxpr(jax.vmap(maybe, in_axes=(None, 0)))(True, x)),
):
    print(f"{name:27}: {[str(line.primitive) for line in program.eqns]}")

# %% [markdown]
# ## A checklist
#
# What to look at first, from the cheapest on:
#
# 1. **Probes**, before any real task. A learner that fails `observed_reward` does not fail on Atari because of a
#    hyperparameter.
# 2. **The environment**: `envs.check(env)`, and the return of a random policy beside that of yours (`length` too: does
#    an episode end where it should?).
# 3. **Entropy**: its value at the start is known. At once to 0: a sign, a step size, a reward scale. Never falling: no
#    gradient reaches the policy.
# 4. **KL**: 0 before the first step; after the last one of an update 0.001 to 0.05 is usual for PPO. `clip_fraction`
#    near 0: it hardly moves; above 0.5: steps are too large.
# 5. **Explained variance** and the value loss: above 0 before the policy can learn much. Values within their bounds.
# 6. **Training returns beside evaluation returns**: the policy that samples and the one that acts by the mode are two;
#    if only one learns, look at how each acts.
# 7. **Seeds**: they differ, and `failed_at`, the update at which something was not finite, is -1 in all. `jax.config.update("jax_debug_nans", True)` names the line
#    where a NaN comes from.
# 8. **One gradient step by hand**: the loss of three rows, computed in NumPy, against yours. It finds what no curve
#    shows.
# 9. Only then hyperparameters, one sweep, with enough seeds.
#
# progress.csv of a run has these columns; `jaxrl-up plot runs/NAME --y entropy` draws one.
#
# ## Exercises
#
# `jaxrl-up exercise start 8.1`: the silent bug of `[B]` against `[B, 1]`. `jaxrl-up exercise start 8.2`: the normaliser
# that moved too early.
#
# To try: which probe would find a time limit that is taken for an end? Add it to `advantages` (`truncated` counted as
# `terminated`) and run `constant_reward`. What does `gae_lambda=1` do to the row `trace`?
#
# ## Further reading
#
# - Jones (2021): Debugging RL, Without the Agonizing Pain. andyljones.com/posts/rl-debugging.html
# - Engstrom, Ilyas, Santurkar, Tsipras, Janoos, Rudolph, Madry (2020): Implementation Matters in Deep Policy Gradients.
#   arXiv:2005.12729
# - Andrychowicz et al. (2021): What Matters in On-Policy Reinforcement Learning? arXiv:2006.05990
# - Huang, Dossa, Raffin, Kanervisto, Wang (2022): The 37 Implementation Details of Proximal Policy Optimization. ICLR
#   Blog Track
# - Pardo, Tavakoli, Levdik, Kormushev (2018): Time Limits in Reinforcement Learning. arXiv:1712.00378
# - Osband et al. (2020): Behaviour Suite for Reinforcement Learning. arXiv:1908.03568
