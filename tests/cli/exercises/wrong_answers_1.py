"""Wrong answers to the exercises of lesson 1: what the verdict says, and the change of the solution."""

LAYERS = """\
    hidden = jnp.tanh(observation @ params["weights0"] + params["bias0"])
    hidden = jnp.tanh(hidden @ params["weights1"] + params["bias1"])
"""
WRONG = {
    "1.1": {
        "The last axis must go": ("jnp.sum(terms, axis=-1)", "terms"),
        "sum over the batch too": ("jnp.sum(terms, axis=-1)", "jnp.sum(terms)"),
        "This is the mean": ("jnp.sum(terms", "jnp.mean(terms"),
        "The constant log(2 pi) / 2 is left out": (" - 0.5 * jnp.log(2.0 * jnp.pi)", ""),
        "half of it": ("0.5 * jnp.log(2.0", "jnp.log(2.0"),
        "negative log-likelihood": ("return jnp", "return -jnp"),
        "This is the density": ("jnp.sum(terms, axis=-1)", "jnp.exp(jnp.sum(terms, axis=-1))"),
        "log_std is a logarithm": ("jnp.exp(log_std)", "log_std"),
    },
    "1.2": {
        "begin with the same weights": ("normal(keys[i]", "normal(keys[0]"),
        "the same parameters for keys 0 and 1": ("jax.random.split(key, 3)", "jax.random.split(jax.random.key(0), 3)"),
        "not 1 / sqrt(32)": (" / jnp.sqrt(sizes[i])", ""),
        "parameters are arrays of floats": ("    return params\n", "    return {**params, 'sizes': sizes}\n"),
        "a linear function": (LAYERS, LAYERS.replace("jnp.tanh", "")),
        "no tanh behind the last layer": ("return mean, params", "return jnp.tanh(mean), params"),
        "does not follow params": ('return mean, params["log_std"]', "return mean, jnp.full(2, -0.5)"),
        "This is the standard deviation": ('return mean, params["log_std"]', 'return mean, jnp.exp(params["log_std"])'),
        "Noise is multiplied with log_std": ("mean + jnp.exp(log_std) * noise", "mean + log_std * noise"),
        "The two numbers of an action have the same noise": ("mean.shape)", "mean[..., :1].shape)"),
        "The two rows of a batch have the same noise": ("mean.shape)", "mean.shape[-1:])"),
        "the same action for every key": ("normal(key, mean.shape)", "normal(jax.random.key(0), mean.shape)"),
        "The noise is uniform": ("jax.random.normal(key, mean.shape)", "jax.random.uniform(key, mean.shape) - 0.5"),
        "These are centred on 0": ("return mean + jnp.exp", "return jnp.exp"),
        "The constant log(2 pi) / 2 is left out": (" - 0.5 * jnp.log(2.0 * jnp.pi)", ""),
        "this parameter is never used": ('+ params["bias1"]', ""),
    },
    "1.3": {
        "The first reward is discounted already": ("jnp.arange(len(rewards))", "jnp.arange(1, len(rewards) + 1)"),
        "The discount runs backwards": ("jnp.arange(len(rewards))", "jnp.arange(len(rewards))[::-1]"),
        "no discount in this": ("gamma ** jnp", "1.0 ** jnp"),
        "The weights are gamma t": ("gamma ** jnp", "gamma * jnp"),
        "The trajectories are added up": ("weights, rewards, axes=1)", "weights, rewards, axes=1).sum()"),
        "add them up over time": ("jnp.tensordot(weights, rewards, axes=1)", "weights * rewards"),
    },
    "1.4": {
        "The value of a terminal next state is counted": ("(alive * values)", "values"),
        "The backup of the terminal state is not 0": ("return alive *", "return"),
        "The discount is left out": ("discount * next_values", "next_values"),
        "The reward is discounted too": ("reward + discount * next_values", "discount * (reward + next_values)"),
        "which is exercise 1.5": ("jnp.sum(policy * q_values, axis=1)", "jnp.max(q_values, axis=1)"),
        "This is the mean over actions": ("jnp.sum(policy * q_values, axis=1)", "jnp.mean(q_values, axis=1)"),
        "the wrong way round": ("transition @ (alive * values)", 'jnp.einsum("tas,t->sa", transition, alive * values)'),
    },
    "1.5": {
        "This is the mean over actions": ("jnp.max(q_values, axis=1)", "jnp.mean(q_values, axis=1)"),
        "The axes are exchanged: this is the maximum over states": (
            "jnp.max(q_values, axis=1)",
            "jnp.max(q_values, axis=0)",
        ),
        "look at values that are new already": (
            "return jnp.max",
            "new = values\n    for s in range(len(values)):\n"
            "        new = new.at[s].set(jnp.max(reward[s] + discount * (transition[s] @ new)))\n"
            "    return new, jnp.argmax(q_values, axis=1)\n    return jnp.max",
        ),
        "The maximum is over next states": (
            "(transition @ values)",
            "jnp.max(jnp.where(transition > 0, values, -jnp.inf), axis=-1)",
        ),
        "the actions of the largest reward": ("jnp.argmax(q_values", "jnp.argmax(reward"),
        "These are the worst actions": ("jnp.argmax", "jnp.argmin"),
        "These are the values again": ("jnp.argmax", "jnp.max"),
        "This is the policy as [S, A]": (
            "jnp.argmax(q_values, axis=1)",
            "jnp.eye(reward.shape[1])[jnp.argmax(q_values, axis=1)]",
        ),
        "The discount is left out": ("discount * (transition", "(transition"),
    },
}
