"""Wrong answers to the exercises of lesson 8: what the verdict says, and the change of the solution."""

CHOSEN = "jnp.take_along_axis(q_values, action[:, None], axis=-1)[:, 0]"
ORDER = "    x = normalise(statistics, batch.obs)\n    statistics = extended(statistics, batch.obs)\n"

WRONG = {
    "8.1": {
        "[2, 1] - [2] is [2, 2]": ("axis=-1)[:, 0]", "axis=-1)"),
        "One value stands against all targets": ("axis=-1)[:, 0]", "axis=-1)[0]"),
        "The largest value of each state": (CHOSEN, "jnp.max(q_values, axis=-1)"),
        "All actions of a state": ("chosen - target", "q_values - target[:, None]"),
        "A value follows": ("jnp.where(terminated, 0.0, next_value)", "next_value"),
        "This is the sum over the batch": ("return jnp.mean", "return jnp.sum"),
        "A gradient flows to the target": ("jax.lax.stop_gradient(next_q_values)", "next_q_values"),
    },
    "8.2": {
        "The bug is still there": (
            ORDER,
            "    statistics = extended(statistics, batch.obs)\n    x = normalise(statistics, batch.obs)\n",
        ),
        "but of another policy": (
            ORDER,
            "    statistics = extended(statistics, batch.obs)\n    x = normalise(statistics, batch.obs)\n"
            "    batch = batch._replace(log_prob=log_prob(weights, x, batch.action))\n",
        ),
        "without normalising them": ("x = normalise(statistics, batch.obs)", "x = batch.obs"),
        "go out again": ("    statistics = extended(statistics, batch.obs)\n", ""),
        "in the statistics twice": (
            "statistics = extended(statistics, batch.obs)\n",
            "statistics = extended(extended(statistics, batch.obs), batch.obs)\n",
        ),
        "normalised already": ("extended(statistics, batch.obs)\n", "extended(statistics, x)\n"),
        "moved the wrong way": ("weights - rate * gradient", "weights + rate * gradient"),
        "have not moved": ("weights - rate * gradient", "weights - 0 * gradient"),
    },
}
