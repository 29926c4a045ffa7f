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
# # Policy optimisation
#
# After this lesson you can derive the policy gradient, write an algorithm that follows it in forty lines, and say for each of its usual forms what
# it costs in variance: in a small world exactly, and then by the library's `vpg`, with the same numbers.

# %%
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax

from jaxrl_up import VPG, envs, ops, run, tabular, use_all_cores
from jaxrl_up.algorithms import vpg
from jaxrl_up.learning import on_policy, start, unroll
from jaxrl_up.tabular import policy_gradients

use_all_cores()  # one CPU device per core, before any JAX computation
plt.style.use("lessons.mplstyle")

# %% [markdown]
# ## The simplest policy gradient
#
# A policy $\pi_\theta$ has parameters. We want to go uphill on the expected return,
# $\theta \leftarrow \theta + \alpha \nabla_\theta J(\pi_\theta)$, where $J(\pi_\theta) = \mathbb{E}_{\tau \sim \pi_\theta}[R(\tau)]$. The trouble:
# $\theta$ is in the *distribution* of trajectories, and the environment, whose formula we do not have, is in it too. Four steps take care of both.
#
# **1. The probability of a trajectory** is
#
# $$P(\tau \mid \theta) = P(s_0) \prod_{t=0}^{T-1} \pi_\theta(a_t \mid s_t)\, P(s_{t+1} \mid s_t, a_t)$$
#
# **2. The log-derivative trick.** Since $\nabla \log x = \nabla x / x$,
#
# $$\nabla_\theta P(\tau \mid \theta) = P(\tau \mid \theta)\, \nabla_\theta \log P(\tau \mid \theta)$$
#
# **3. The dynamics drop out.** The logarithm makes a sum of the product, and only the policy depends on $\theta$:
#
# $$\log P(\tau \mid \theta) = \log P(s_0) + \sum_{t=0}^{T-1} \left[\log \pi_\theta(a_t \mid s_t) + \log P(s_{t+1} \mid s_t, a_t)\right]$$
#
# $$\nabla_\theta \log P(\tau \mid \theta) = \sum_{t=0}^{T-1} \nabla_\theta \log \pi_\theta(a_t \mid s_t)$$
#
# **4. Together:**
#
# $$\nabla_\theta J(\pi_\theta) = \sum_\tau \nabla_\theta P(\tau \mid \theta)\, R(\tau) = \mathbb{E}_{\tau \sim \pi_\theta}\left[\sum_{t=0}^{T-1} \nabla_\theta \log \pi_\theta(a_t \mid s_t)\, R(\tau)\right]$$
#
# An expectation can be estimated: play, and average. No model is needed.
#
# ## Forty lines
#
# CartPole for at most 200 steps, a network of one hidden layer, 32 episodes for each step of the gradient. `unroll` plays in all environments at
# once; what it plays after the first end of each gets the weight 0. The gradient of `ops.score_function_loss`, which is minus the mean of
# log-probability times weight, is minus the estimate.

# %%
STEPS, EPISODES = 200, 32
env = envs.make("CartPole-v1", max_steps=STEPS)
network = on_policy.network(VPG.Config(hidden=(32,)), env)  # of the actor-critic only the actor is used
optimizer = optax.adam(1e-2)


def play(params, key):
    "32 episodes by the policy: rows [200, 32], and which of them belong to the first episode."
    start_key, act_key = jax.random.split(key)

    def act(obs, memory, key):
        return network.policy(params, obs).sample(key), memory, ()

    _, rows, _ = unroll(env, act, start(env, EPISODES, start_key), STEPS, act_key)
    over = rows.terminated | rows.truncated
    return rows, jnp.cumsum(over, axis=0) - over == 0


def simplest(rows, first):
    "Phi_t = R(tau)"
    return ops.trajectory_returns(rows.reward, 1.0 - rows.terminated, 1.0 - (rows.terminated | rows.truncated))


def loss(params, rows, first, phi):
    log_prob = network.policy(params, rows.obs).log_prob(rows.action)
    return STEPS * ops.score_function_loss(log_prob, first * phi)  # the mean over rows times 200: a sum for each episode


def update(weigh, carry, key):
    params, opt_state = carry
    rows, first = play(params, key)
    value, gradient = jax.value_and_grad(loss)(params, rows, first, weigh(rows, first))
    step, opt_state = optimizer.update(gradient, opt_state, params)
    return (optax.apply_updates(params, step), opt_state), (value, jnp.sum(first * rows.reward) / EPISODES)


@jax.jit
def learn(key):
    params = network.init(key)["actor"]
    carry, curves = jax.lax.scan(lambda *x: update(simplest, *x), (params, optimizer.init(params)), jax.random.split(key, 60))
    return carry[0], curves


learned, (losses, returns) = jax.vmap(learn)(jax.random.split(jax.random.key(0), 3))
for seed in range(3):
    print(f"seed {seed}: return at updates 0, 10, ..., 50, 59:", *(f"{returns[seed, i]:.0f}" for i in (*range(0, 60, 10), 59)))

# %% [markdown]
# ## The loss means nothing
#
# That "loss" is a device: its gradient, at the parameters that played, on the data they played, is what we want. Its value is no measure of
# success. Left: while the return rises, the loss rises too, since returns are weights in it. Right: from the trained policy one batch is taken, its
# weights made to average 0, and the loss minimised 150 steps long *on that batch*, as one would in supervised learning. It falls without end, and
# the return collapses, in two of the three seeds to 10, the least there is: after the first step the data are no longer the policy's own.


# %%
def around_zero(rows, first):
    "The reward-to-go, less its mean over the batch, in tens."
    to_go = ops.discounted_returns(rows.reward, 1.0 - rows.terminated, 1.0 - (rows.terminated | rows.truncated))
    return (to_go - jnp.sum(first * to_go) / jnp.sum(first)) / 10


@jax.jit
def minimise(params, key):
    rows, first = play(params, key)
    phi = around_zero(rows, first)

    def step(carry, key):
        params, opt_state = carry
        value, gradient = jax.value_and_grad(loss)(params, rows, first, phi)
        change, opt_state = optimizer.update(gradient, opt_state, params)
        played, its_first = play(params, key)
        return (optax.apply_updates(params, change), opt_state), (value, jnp.sum(its_first * played.reward) / EPISODES)

    return jax.lax.scan(step, (params, optimizer.init(params)), jax.random.split(key, 150))[1]


one_batch = jax.vmap(minimise, (0, None))(learned, jax.random.key(5))
fig, axes = plt.subplots(2, 2, figsize=(9, 4.6), sharex="col")
for column, (curves, title, xlabel) in enumerate(
    (((losses, returns), "policy gradient: fresh data for each step", "update"), (one_batch, "minimising on one batch", "gradient step"))
):
    for row, (curve, colour) in enumerate(zip(curves, ("C1", "C0"))):
        axes[row, column].plot(curve.T, color=colour, linewidth=1.4, alpha=0.8)
    axes[0, column].set_title(title, loc="left")
    axes[1, column].set(xlabel=xlabel, ylim=(0, 210))
axes[0, 0].set_ylabel("loss")
axes[1, 0].set_ylabel("return (of 200)")
fig.align_ylabels();

# %% [markdown]
# Three seeds each. Watch returns, not losses.
#
# ## A world to be exact in
#
# How good is an estimate? Where trajectories can be listed, its mean and variance are sums. The machine of lesson 1 for exactly five steps: new,
# worn or broken; to work pays 1 and wears it every other time, to mend makes it new; broken it stays broken. With the time as a part of the state
# there are 15 states and an end, and values need no further thought. The policy is a softmax of two logits in each state, all 0 at first.

# %%
H, BROKEN, END = 5, 2, 15
goes = np.array([[[0.5, 0.5, 0], [1, 0, 0]], [[0, 0.5, 0.5], [1, 0, 0]], [[0, 0, 1], [0, 0, 1]]])
transition, reward = np.zeros((16, 2, 16)), np.zeros((16, 2))
for time in range(H):
    here, there = slice(3 * time, 3 * time + 3), slice(3 * time + 3, 3 * time + 6)
    if time < H - 1:
        transition[here, :, there] = goes
    else:
        transition[here, :, END] = 1.0
    reward[3 * time : 3 * time + BROKEN, 0] = 1.0
transition[END, :, END] = 1.0
world = tabular.mdp(transition, reward, discount=1.0, start=0, terminal=[END])

logits = jnp.zeros((16, 2))
softmax = policy_gradients.softmax_policy
policy = softmax(logits)
tau = tabular.all_trajectories(world, H)
probability = jnp.exp(tabular.trajectory_log_prob(world, policy, tau))
true = policy_gradients.policy_gradient(world, softmax, logits)  # by differentiating the exact J
print(f"{tau.actions.shape[1]} trajectories, J = {probability @ tau.returns:.4f}")


def exact(weights, world=world):
    "Mean and variance of the estimate from one trajectory, over all trajectories."
    moments = policy_gradients.gradient_moments(world, softmax, logits, tau, weights)
    return moments.mean, float(moments.variance)


mean, variance = exact(policy_gradients.weights(world, policy, tau, "trajectory_return"))
print(f"the derivation holds: largest error of the mean {jnp.abs(mean - true.ravel()).max():.1e}")
print(f"|gradient|^2 = {jnp.sum(true**2):.3f}, variance of the estimate from one trajectory {variance:.3f}")

# %% [markdown]
# The estimate is right on average and very noisy: its variance is many times the squared length of what is estimated. All that follows is about
# less variance at the same mean.
#
# ## The EGLP lemma
#
# The *expected grad-log-prob* is zero. Probabilities sum to 1 whatever $\theta$ is, so
#
# $$0 = \nabla_\theta \sum_a \pi_\theta(a \mid s) = \sum_a \pi_\theta(a \mid s)\, \nabla_\theta \log \pi_\theta(a \mid s) = \mathbb{E}_{a \sim \pi_\theta}[\nabla_\theta \log \pi_\theta(a \mid s)]$$
#
# and likewise $\mathbb{E}_{a \sim \pi_\theta}[\nabla_\theta \log \pi_\theta(a \mid s)\, b] = 0$ for every $b$ that does not depend on $a$. In the
# table, and for the network above by its two actions and by samples of them:

# %%
uneven = jax.random.normal(jax.random.key(0), logits.shape)
scores = policy_gradients.scores(world, softmax, uneven)  # grad log pi(a | s), [S, A, P]
print(f"table:   largest entry {jnp.abs(jnp.einsum('sa,sap->sp', softmax(uneven), scores)).max():.1e}")

actor, obs = jax.tree.map(lambda x: x[0], learned), jnp.array([0.0, 0.1, 0.02, -0.3])
score = jax.jit(jax.vmap(jax.grad(lambda params, action: network.policy(params, obs).log_prob(action)), (None, 0)))
pi = jnp.exp(network.policy(actor, obs).log_probs())


def length(tree):
    return float(optax.global_norm(tree))


both = score(actor, jnp.arange(2))
print(f"network: pi = {pi}; |grad log pi| = {length(jax.tree.map(lambda x: x[0], both)):.3f} and {length(jax.tree.map(lambda x: x[1], both)):.3f};", end=" ")
print(f"|expectation| = {length(jax.tree.map(lambda x: jnp.tensordot(pi, x, 1), both)):.1e}")
for number in (100, 10_000):
    shares = jnp.bincount(network.policy(actor, jnp.tile(obs, (number, 1))).sample(jax.random.key(1)), length=2) / number
    print(f"         |mean of {number:6,} samples| = {length(jax.tree.map(lambda x: jnp.tensordot(shares, x, 1), both)):.4f}")

# %% [markdown]
# ## Don't let the past distract you
#
# $R(\tau)$ weighs an action by rewards that came *before* it, which it cannot have caused. By the lemma they add nothing to the mean, since given
# $s_t$ they do not depend on $a_t$; what they add is noise. What is left is the **reward-to-go** $G_t = \sum_{k \ge t} r_k$:
#
# $$\nabla_\theta J(\pi_\theta) = \mathbb{E}\left[\sum_{t=0}^{T-1} \nabla_\theta \log \pi_\theta(a_t \mid s_t)\, G_t\right]$$

# %%
whole, to_go = (policy_gradients.weights(world, policy, tau, phi) for phi in ("trajectory_return", "reward_to_go"))
for name, weights in (("R(tau)", whole), ("the past", whole - to_go), ("reward-to-go", to_go)):
    mean, variance = exact(weights)
    print(f"{name:12}: |mean| {jnp.linalg.norm(mean):.4f}, variance {variance:.3f}")

# %% [markdown]
# ## Baselines
#
# By the same lemma any $b(s_t)$ may be subtracted. The usual choice is $V^\pi(s_t)$: actions after which it went better than expected become more
# likely, the others less. Here, where both actions are equally likely, it is the best that depends on the state; elsewhere `optimal_baseline` is a little better,
# but $V^\pi$ can be learned by regression.

# %%
v = tabular.v_pi(world, policy)
best = policy_gradients.optimal_baseline(world, softmax, logits, tau, of="state")
baselines = [(f"b = {b}", b) for b in (-1.0, 0.0, 1.0, 2.0)] + [("b = V^pi(s)", v), ("the best b(s)", best)]
for name, baseline in baselines:
    mean, variance = exact(policy_gradients.weights(world, policy, tau, "reward_to_go", baseline=baseline))
    print(f"{name:14}: error of the mean {jnp.abs(mean - true.ravel()).max():.1e}, variance {variance:.3f}")

# %% [markdown]
# ## The forms of $\Phi_t$
#
# In general $\nabla_\theta J = \mathbb{E}\left[\sum_t \nabla_\theta \log \pi_\theta(a_t \mid s_t)\, \Phi_t\right]$, where $\Phi_t$ may be
#
# $$R(\tau), \qquad G_t, \qquad G_t - V^\pi(s_t), \qquad Q^\pi(s_t, a_t), \qquad A^\pi(s_t, a_t) = Q^\pi(s_t, a_t) - V^\pi(s_t)$$
#
# $Q^\pi$ is the mean of $G_t$ given the action, so it stands for $G_t$ without the noise of what follows. In practice neither is known. **GAE**
# estimates the advantage from rewards and a critic $V$ (Schulman et al. 2016):
#
# $$\hat{A}_t = \sum_{l \ge 0} (\gamma\lambda)^l \delta_{t+l}, \qquad \delta_t = r_t + \gamma V(s_{t+1}) - V(s_t)$$
#
# With the exact critic all of them are unbiased. The last column is how many trajectories it takes until the standard error is a tenth of the
# gradient's length.

# %%
FORMS = ("trajectory_return", "reward_to_go", "q", "reward_to_go_baseline", "gae", "advantage")
exactly = {}
for phi in FORMS:
    mean, exactly[phi] = exact(policy_gradients.weights(world, policy, tau, phi))
    needed = 100 * exactly[phi] / jnp.sum(true**2)
    print(f"{phi:21} error of the mean {jnp.abs(mean - true.ravel()).max():.0e}, variance {exactly[phi]:.3f}, {needed:6.0f} trajectories")

wrong = v.at[:END].add(jax.random.normal(jax.random.key(0), (END,)))
print("\nand with a critic that errs by 1:")
for phi in ("reward_to_go_baseline", "gae"):
    mean, variance = exact(policy_gradients.weights(world, policy, tau, phi, values=wrong))
    print(f"{phi:21} error of the mean {jnp.abs(mean - true.ravel()).max():.0e}, variance {variance:.3f}")

# %% [markdown]
# A wrong baseline only costs variance. A wrong critic that is *bootstrapped from*, as in GAE with $\lambda < 1$, biases the estimate: that is the
# price of its lower variance.
#
# ## The same by the library
#
# `VPG` has five of these in its field `phi`: its `advantage` is GAE, as it knows no exact one, and its `q` is GAE plus $V(s_t)$. The world above
# becomes an environment, networks without hidden layers become tables, the actor is set to 0 and the critic to $V^\pi$. Then the library collects
# single trajectories, by 4,000 keys, and differentiates its own loss.

# %%
small = tabular.as_env(world)


def library(phi):
    "Mean and variance of VPG's own estimate over 4,000 single trajectories."
    config = VPG.Config(network="linear", num_envs=1, rollout_length=H, gamma=1.0, phi=phi, normalize_returns=False)

    def estimate(key):
        state = vpg.init(config, small, key)
        params = jax.tree.map(jnp.zeros_like, state.learner.params)
        params["critic"]["params"]["head"] = {"scale": jnp.ones(()), "value": {"Dense_0": {"kernel": v[:, None], "bias": jnp.zeros(1)}}}
        collected = on_policy.collect(config, small, state._replace(learner=state.learner._replace(params=params)), state.key)
        weight = vpg.weight(config, collected)
        gradient, _ = jax.grad(vpg.policy_loss, argnums=2, has_aux=True)(config, small, params["actor"], collected.batch, weight)
        return -H * jax.tree.leaves(gradient["params"]["head"]["logits"])[1].ravel()  # the loss is a mean over the steps

    estimates = jax.jit(jax.vmap(estimate))(jax.random.split(jax.random.key(0), 4000))
    return policy_gradients.moments(estimates, jnp.full(4000, 1 / 4000))


measured = {}
names = {"trajectory_return": "trajectory_return", "reward_to_go": "reward_to_go", "reward_to_go_baseline": "reward_to_go_baseline", "gae": "advantage"}
for phi, name in names.items():
    moments = library(name)
    measured[phi] = float(moments.variance)
    expected = (measured[phi] / 4000) ** 0.5  # root of the expected squared error of the mean
    error = jnp.linalg.norm(moments.mean - true.ravel())
    print(f"phi={name:22}: mean off by {error:.4f}, expected {expected:.4f}; variance {measured[phi]:.3f}, exactly {exactly[phi]:.3f}")

# %%
fig, ax = plt.subplots(figsize=(7.2, 3.4))
labels = {
    "trajectory_return": r"$R(\tau)$", "reward_to_go": r"$G_t$", "q": r"$Q^\pi(s_t, a_t)$", "reward_to_go_baseline": r"$G_t - V^\pi(s_t)$",
    "gae": r"GAE, $\lambda = 0.95$", "advantage": r"$A^\pi(s_t, a_t)$",
}  # fmt: skip
order = sorted(FORMS, key=exactly.get)
ax.barh([labels[phi] for phi in order], [exactly[phi] for phi in order], color=["C0" if phi in names else "0.75" for phi in order])
for row, phi in enumerate(order):
    ax.text(exactly[phi] * 1.06, row, f"{exactly[phi]:.2f}", va="center")
    if phi in measured:
        ax.plot(measured[phi], row, "D", color="C1", markersize=6, label="measured by VPG, 4,000 trajectories" if phi == "gae" else None)
ax.axvline(float(jnp.sum(true**2)), color="0.4", linestyle=":", linewidth=1.4, label="squared length of the gradient")
ax.set(xscale="log", xlabel="variance of the estimate from one trajectory, exact", title="The same gradient on average, with less and less noise")
ax.legend(loc="lower right");

# %% [markdown]
# (Grey: what nobody knows exactly outside of such a world.) On CartPole, with networks, the library's `vpg` with the worst weight and with GAE,
# three seeds each:

# %%
for phi in ("trajectory_return", "advantage"):
    result = run("vpg", "CartPole-v1", {"phi": phi, "total_steps": 60_000}, seeds=3, num_evals=3, num_episodes=8, progress=False)
    print(f"{phi:17}: returns of the seeds after {result.env_steps[-1]:,} steps:", *(f"{value:.0f}" for value in result.returns[:, -1]))

# %% [markdown]
# ## About $\gamma$
#
# With $\gamma < 1$ the return is $R(\tau) = \sum_t \gamma^t r_t$, and its gradient has a factor $\gamma^t$ before the reward-to-go:
# $\mathbb{E}\left[\sum_t \gamma^t \nabla_\theta \log \pi_\theta(a_t \mid s_t)\, G_t\right]$. Practice leaves the factor out, since it would let
# late states count for nothing: `phi="trajectory_return"` estimates the gradient of the discounted return, and the library's other weights are the
# field's, without $\gamma^t$. What they estimate is the gradient of no function (Nota and Thomas 2020). Below the two point to much the
# same side; `docs/theory.md` has an example where they do not.

# %%
discounted = world.replace(discount=jnp.array(0.7))
gradient = policy_gradients.policy_gradient(discounted, softmax, logits).ravel()
seen = [("trajectory_return", True), ("reward_to_go", True), ("reward_to_go", False)]
for phi, with_factor in seen:
    tau_discounted = tabular.all_trajectories(discounted, H)
    weights = policy_gradients.weights(discounted, policy, tau_discounted, phi, discounted_states=with_factor)
    mean = policy_gradients.gradient_moments(discounted, softmax, logits, tau_discounted, weights).mean
    cosine = mean @ gradient / jnp.linalg.norm(mean) / jnp.linalg.norm(gradient)
    name = phi if phi == "trajectory_return" else f"{phi}, {'with' if with_factor else 'without'} gamma^t"
    print(f"{name:30}: error {jnp.abs(mean - gradient).max():.0e}, cosine with the gradient of the discounted return {cosine:.3f}")

# %% [markdown]
# ## Exercises
#
# - 3.1 the reward-to-go
# - 3.2 a baseline that depends on the action: why it biases, and how to mend it
# - 3.3 GAE at a time limit
#
# `jaxrl-up exercise start 3.1` begins. To try here: `STEPS = 500`, fewer episodes for each update, or `simplest` with the reward-to-go.
#
# ## Further reading
#
# - R. Williams (1992), "Simple statistical gradient-following algorithms for connectionist reinforcement learning", Machine Learning 8.
# - R. Sutton, D. McAllester, S. Singh and Y. Mansour (2000), "Policy gradient methods for reinforcement learning with function approximation", NIPS 12.
# - E. Greensmith, P. Bartlett and J. Baxter (2004), "Variance reduction techniques for gradient estimates in reinforcement learning", JMLR 5.
# - J. Schulman, P. Moritz, S. Levine, M. Jordan and P. Abbeel (2016), "High-dimensional continuous control using generalized advantage estimation", arXiv:1506.02438.
# - C. Nota and P. Thomas (2020), "Is the policy gradient a gradient?", arXiv:1906.07073.
# - J. Achiam (2018), *Spinning Up in Deep RL*, part 3.
