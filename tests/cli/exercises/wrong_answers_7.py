"""Wrong answers to the exercises of lesson 7: what the verdict says, and the change of the solution."""

DRAW = "noise.append(jax.random.normal(noise_key, (size,)))"

WRONG = {
    "7.1": {
        "3 seeds are one seed": ("vmap(lambda key: one_seed(key,", "vmap(lambda _: one_seed(key,"),
        "is the initial weights": (
            "weights = jax.random.normal(weights_key, (size,))",
            "weights = jax.random.normal(jax.random.split(key)[1], (size,))",
        ),
        "is the same": ("        key, noise_key = jax", "        _, noise_key = jax"),
        "a key is used twice here": (DRAW, "noise.append(jax.random.normal(key, (size,)))"),
        "The key that is given": (
            "keys = jax.random.split(key, seeds)",
            "keys = jax.random.split(jax.random.key(0), seeds)",
        ),
        "standard normal ones": (DRAW, "noise.append(0.1 * jax.random.normal(noise_key, (size,)))"),
        "the shape of the noise": ("jnp.stack(noise)", "jnp.stack(noise[1:])"),
    },
}
