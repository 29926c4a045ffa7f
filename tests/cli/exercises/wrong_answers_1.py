"""Wrong answers to the exercises of lesson 1: what the verdict says, and the change of the solution."""

WRONG = {
    "1.1": {
        "sum over the last axis.": ("jnp.sum(terms, axis=-1)", "terms"),
        "sum over the batch too": ("jnp.sum(terms, axis=-1)", "jnp.sum(terms)"),
        "This is the mean": ("jnp.sum(terms", "jnp.mean(terms"),
        "The constant log(2 pi) / 2 is left out": (" - 0.5 * jnp.log(2.0 * jnp.pi)", ""),
        "half of it": ("0.5 * jnp.log(2.0", "jnp.log(2.0"),
        "negative log-likelihood": ("return jnp", "return -jnp"),
        "This is the density": ("jnp.sum(terms, axis=-1)", "jnp.exp(jnp.sum(terms, axis=-1))"),
        "log_std is a logarithm": ("jnp.exp(log_std)", "log_std"),
    },
}
