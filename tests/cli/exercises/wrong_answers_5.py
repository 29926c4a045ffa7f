"""Wrong answers to the exercises of lesson 5: what the verdict says, and the change of the solution."""

SHARE = "greedy / jnp.sum(greedy, axis=-1, keepdims=True)"
LOGITS = "jnp.log(action_probabilities(q_values, epsilon))"
SPLIT = "jnp.zeros_like(atoms).at[below].add((1.0 - share) * probs).at[above].add(share * probs)"

WRONG = {
    "5.1": {
        "Only the first of the best actions": (
            SHARE,
            "jax.nn.one_hot(jnp.argmax(q_values, axis=-1), q_values.shape[-1])",
        ),
        "Each of the best actions has all of 1 - epsilon": (SHARE, "greedy"),
        "epsilon / A is missing": ("epsilon / q_values.shape[-1] + (1.0", "(1.0"),
        "epsilon is not divided": ("epsilon / q_values.shape[-1]", "epsilon"),
        "of the whole batch only": (SHARE, "(q_values == q_values.max()) / jnp.sum(q_values == q_values.max())"),
        "wants the logarithms": (LOGITS, "action_probabilities(q_values, epsilon)"),
        "draws from softmax(q_values)": (LOGITS, "q_values"),
        "two keys gave the same": ("categorical(key", "categorical(jax.random.key(0)"),
        "one action for all rows": (f"{LOGITS}, axis=-1)", f"{LOGITS}, axis=-1)[0]"),
        "under jit an array has no value yet": (
            "share = greedy",
            "share = greedy if q_values.max() > 1e9 else greedy",
        ),
    },
    "5.2": {
        "Mass is lost where a place is exactly an atom": (
            SPLIT,
            "jnp.zeros_like(atoms).at[below].add((jnp.ceil(place) - place) * probs).at[above].add(share * probs)",
        ),
        ".set overwrites": (SPLIT, SPLIT.replace("add", "set")),
        "have changed places": (
            SPLIT,
            "jnp.zeros_like(atoms).at[below].add(share * probs).at[above].add((1.0 - share) * probs)",
        ),
        "to the nearest atom as a whole": ("share = place - below", "below = jnp.round(place); share = place * 0"),
        "Mass beyond the ends is lost: it belongs": (
            "    return",
            "    probs = jnp.where((places < atoms[0]) | (places > atoms[-1]), 0.0, probs)\n    return",
        ),
        "divide by the step": ("(places - atoms[0]) / (atoms[1] - atoms[0])", "places - atoms[0]"),
        "z_0 is not taken off": ("(places - atoms[0]) /", "places /"),
    },
    "5.3": {
        "A time limit counts as an end": ("ended = step.terminated", "ended = step.terminated | step.truncated"),
        "The episodes are stitched together": ("next_obs = step.next_obs", "next_obs = step.obs"),
        "`ended` is to be true there": ("ended = step.terminated", "ended = False"),
        "the other way round": ("ended = step.terminated", "ended = step.truncated & ~step.terminated"),
        "only where both ends came together": ("ended = step.terminated", "ended = step.terminated & step.truncated"),
        "holds the observation that the step started from": ("next_obs = step.next_obs", "next_obs = obs"),
        "terminated at its time limit terminated": (
            "ended = step.terminated",
            "ended = step.terminated & ~step.truncated",
        ),
    },
}
