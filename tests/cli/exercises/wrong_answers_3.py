"""Wrong answers to the exercises of lesson 3: what the verdict says, and the change of the solution."""

WRONG = {
    "3.1": {
        "Rewards leak over the end": ("gamma * (1.0 - last) * following", "gamma * following"),
        "done is read one step late": ("(rewards, done)", "(rewards, jnp.roll(done, 1, axis=0).at[0].set(0.0))"),
        "done is turned round": ("(1.0 - last)", "last"),
        "no discount in this": ("reward + gamma *", "reward +"),
        "loses its own reward": ("= reward + gamma", "= reward * (1.0 - last) + gamma"),
        "adds up what came before": (", reverse=True", ""),
        "of the step itself is left out": ("reverse=True)[1]", "reverse=True)[1] - rewards"),
    },
    "3.2": {
        "lacks sum_a pi(a) grad log pi(a) b(a)": (" + correction", ""),
        "the wrong sign": (" + correction", " - correction"),
        "the baseline is gone": ("(reward - baseline[action]) + correction", "reward"),
        "not weighed by the policy": (
            "policy * (baseline - jnp.sum(policy * baseline))",
            "baseline - policy * jnp.sum(baseline)",
        ),
        "a number: its gradient": ("policy * (baseline - jnp.sum(policy * baseline))", "jnp.sum(policy * baseline)"),
        "also has the term": ("(baseline - jnp.sum(policy * baseline))", "baseline"),
    },
    "3.3": {
        "A time limit is taken for a termination": (
            "bootstrap = gamma * (1.0 - terminated)",
            "bootstrap = gamma * (1.0 - jnp.maximum(terminated, truncated))",
        ),
        "runs on through the time limit": ("jnp.maximum(terminated, truncated)", "terminated"),
        "runs on through all ends": ("lam * (1.0 - last)", "lam"),
        "counted after a termination": ("gamma * (1.0 - terminated)", "gamma"),
        "is taken for V(s'_t)": (
            "bootstrap * next_values",
            "bootstrap * jnp.concatenate([values[1:], next_values[-1:]])",
        ),
        "lambda is left out": ("gamma * lam *", "gamma *"),
        "This is A + V": ("reverse=True)[1]", "reverse=True)[1] + values"),
        "The sum runs forwards": (", reverse=True", ""),
    },
}
