"""Wrong answers to the exercises of lesson 4: what the verdict says, and the change of the solution."""

MOVED = "jnp.append(values[1:], last_value)"

WRONG = {
    "4.1": {
        "V is added behind a row that terminated": ("jnp.where(terminated, 0.0, next_values)", "next_values"),
        "A time limit counts as termination": ("jnp.where(terminated, 0.0", "jnp.where(terminated | truncated, 0.0"),
        "The sum runs on into the next episode: the reward": (
            "jnp.where(done, future, later)",
            "jnp.where(done & False, future, later)",
        ),
        "Behind a time limit the sum runs on": ("done = terminated | truncated", "done = terminated"),
        "0 * nan is nan": ("jnp.where(terminated, 0.0, next_values)", "(1.0 - terminated) * next_values"),
        "These are the targets of k + 1 steps": ("range(k - 1)", "range(k)"),
        "The first rows come in again": ("jnp.concatenate([targets[1:], future[-1:]])", "jnp.roll(targets, -1)"),
        "V is not discounted": (
            "    return targets",
            "    last = jnp.stack([jnp.minimum(jnp.arange(5) + i, 4) for i in range(k)])\n"
            "    ended = jnp.cumsum(done[last] | (last == 4), axis=0) > 0\n"
            "    steps = jnp.minimum(jnp.sum(~ended, axis=0) + 1, k)\n"
            "    return targets + (1 - gamma**steps) * future[jnp.minimum(jnp.arange(5) + steps - 1, 4)]",
        ),
    },
    "4.2": {
        "The bug is still there": (MOVED, "values"),
        "moved the other way": (MOVED, "jnp.append(values[0], values[:-1])"),
        "jnp.roll turns around": (MOVED, "jnp.roll(values, -1)"),
        "The last row bootstraps from 0": (MOVED, "jnp.append(values[1:], 0.0)"),
        "its own V(s_t)": (MOVED, "jnp.append(values[1:], values[-1])"),
        "The recursion begins with 0": ("scan(step, last_value", "scan(step, jnp.zeros_like(last_value)"),
        "have changed places": ("((1.0 - lam) * value + lam * later)", "(lam * value + (1.0 - lam) * later)"),
        "These are advantages": ("reverse=True)[1]", "reverse=True)[1] - values"),
    },
}
