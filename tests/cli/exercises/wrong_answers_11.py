"""Wrong answers to the exercises of lesson 11: what the verdict says, and the change of the solution."""

ELITE = "elite = returns >= jnp.sort(returns)[-number]"
WEIGHT = "weight = elite / jnp.sum(elite)"
MEAN = 'jnp.einsum("n,nhd->hd", weight, plans)'
STD = 'jnp.sqrt(jnp.einsum("n,nhd->hd", weight, (plans - mean) ** 2))'
CHOSEN = "plans[jnp.argsort(returns)[-number:]]"  # right but for ties
EACH = "0.5 * (square * jnp.exp(-log_variance) + log_variance)"
REDUCED = "jnp.mean(jnp.sum(each, axis=-1))"
SAID = "said = jax.vmap(predict, (0, 0, None))(member, states, action)"
AVERAGED = (
    "every = jax.vmap(lambda e: jax.vmap(predict, (None, 0, None))(e, states, action))(jnp.arange(3))\n"
    "        said = Prediction(*(jnp.mean(x * 1.0, axis=0) for x in every[:3]), every.terminated[0])"
)
EARNED = "earned = jnp.where(going, said.reward, 0.0)"
REACHED = "said.mean + said.std * noise"
STILL = "going & ~said.terminated)"
IMAGINED = "jnp.where(weight > 0.0, weight * imagined, 0.0)"
ENDED = "jnp.where(ended, 0.0, gamma * weight)"
FOR = "for _ in range(horizon):"
LAST = "last = q(obs, mu(obs))"
Q_ADDED = "jnp.where(weight > 0.0, weight * last, 0.0)"

WRONG = {
    "11.1": {
        "These are the worst K": (ELITE, "elite = returns <= jnp.sort(returns)[number - 1]"),
        "These are all plans": (ELITE, "elite = returns > -jnp.inf"),
        "This is one elite too few": (ELITE, ELITE.replace(">=", ">")),
        "This is one elite too many": (ELITE, "elite = returns >= jnp.sort(returns)[-number - 1]"),
        "by the order they stand in": (MEAN, f"jnp.mean({CHOSEN}, axis=0)"),
        "The sum is divided by K": (WEIGHT, "weight = elite / number"),
        "is divided by N": (WEIGHT, "weight = elite / len(returns)"),
        "by exp(return): that is MPPI": (WEIGHT, "weight = jax.nn.softmax(returns)"),
        "The numbers of the plans are sorted": (MEAN, "jnp.mean(jnp.sort(plans, axis=0)[-number:], axis=0)"),
        "This is over elites and steps": (MEAN, f"jnp.mean({CHOSEN}, axis=(0, 1))"),
        "This is over the steps": ("return mean, std", f"return jnp.mean({CHOSEN}, axis=1), std"),
        "This is the variance": (STD, STD.replace("jnp.sqrt", "")),
        "divided by |E| - 1": (STD, f"jnp.std({CHOSEN}, axis=0, ddof=1)"),
        "from the mean of all plans": (STD, STD.replace("mean", "plans.mean(0)")),
        "the standard deviation of all plans": (STD, "jnp.std(plans, axis=0)"),
        "two things": ("return mean, std", "return mean"),
    },
    "11.2": {
        "log_variance is taken for log sigma:": (EACH, "0.5 * square * jnp.exp(-2.0 * log_variance) + log_variance"),
        "is 1 / sigma^2 already": ("jnp.exp(-log_variance)", "jnp.exp(-2.0 * log_variance)"),
        "divided by sigma, where": ("jnp.exp(-log_variance)", "jnp.exp(-0.5 * log_variance)"),
        "multiplied by the variance": ("jnp.exp(-log_variance)", "jnp.exp(log_variance)"),
        "divided by log_variance": ("jnp.exp(-log_variance)", "(1.0 / log_variance)"),
        "The factor 1/2 is missing": ("0.5 * (square", "(square"),
        "The second term has lost its 1/2": (EACH, "0.5 * square * jnp.exp(-log_variance) + log_variance"),
        "The second term is missing": (" + log_variance)", ")"),
        "The second term has the wrong sign": (" + log_variance)", " - log_variance)"),
        "The errors are not squared": ("(target - mean) ** 2", "jnp.abs(target - mean)"),
        "The constant log(2 pi) / 2": (EACH, f"{EACH} + 0.5 * jnp.log(2.0 * jnp.pi)"),
        "over the K numbers of a row as well": (REDUCED, "jnp.mean(each)"),
        "over rows as well": (REDUCED, "jnp.sum(each)"),
        "This is the log-likelihood": (REDUCED, "-" + REDUCED),
        "No gradient reaches mean": ("(target - mean) ** 2", "(target - jax.lax.stop_gradient(mean)) ** 2"),
        "in the first term is stopped": (
            "jnp.exp(-log_variance)",
            "jnp.exp(-jax.lax.stop_gradient(log_variance))",
        ),
        "as in beta-NLL": (
            REDUCED,
            "jnp.mean(jnp.sum(each + jax.lax.stop_gradient(jnp.exp(0.5 * log_variance)) * each\n"
            "        - jax.lax.stop_gradient(jnp.exp(0.5 * log_variance) * each) - each\n"
            "        + jax.lax.stop_gradient(each), axis=-1))",
        ),
    },
    "11.3": {
        "A particle changes its member on the way": ("horizon if redraw else 1", "horizon"),
        "A particle keeps its member": ("horizon if redraw else 1", "1"),
        "one and the same member": ("(steps, particles), 0", "(steps, 1), 0"),
        "The last member is never drawn": ("0, members)", "0, members - 1)"),
        "with 3 members they are 0 to 2": ("0, members)", "1, members + 1)"),
        "Two keys gave the same members": ("randint(key,", "randint(jax.random.key(0),"),
        "takes the mean of all members' predictions": (SAID, AVERAGED),
        "The noise is left out": (REACHED, "said.mean"),
        "All particles have the same noise": (REACHED, "said.mean + said.std * noise[:1]"),
        "by the variance": (REACHED, "said.mean + said.std**2 * noise"),
        "stays with its first member, member[0]": (
            "    begin =",
            "    member = jnp.tile(member[:1], (len(plan), 1))\n    begin =",
        ),
        "A particle earns on after": (EARNED, "earned = said.reward"),
        "The reward of the step that ends": (
            EARNED,
            "earned = jnp.where(going & ~said.terminated, said.reward, 0.0)",
        ),
        "All particles end as soon as one does": (STILL, "going & ~said.terminated.any())"),
        "it has ended for good": (STILL, "~said.terminated)"),
        "the sum over particles": ("jnp.mean(jnp.sum(earned, axis=0))", "jnp.sum(earned)"),
        "the mean over the steps as well": ("jnp.mean(jnp.sum(earned, axis=0))", "jnp.mean(earned)"),
        "The particles are put together": (REACHED, f"jnp.zeros_like(states) + jnp.mean({REACHED}, axis=0)"),
    },
    "11.4": {
        "A value follows a real transition that terminated": ("jnp.where(terminated, 0.0, gamma)", "gamma"),
        "and Q' too: nothing comes after it": (ENDED, "gamma * weight"),
        "Q' is added after an imagined step": (
            Q_ADDED,
            "jnp.where(terminated, 0.0, gamma ** (horizon + 1) * last)",
        ),
        "Rewards are added after an imagined step that ended the episode: ": (
            IMAGINED,
            "jnp.where(terminated, 0.0, gamma ** (_ + 1) * imagined)",
        ),
        "The reward of the imagined step that ends": (
            IMAGINED,
            "jnp.where((weight > 0.0) & ~ended, weight * imagined, 0.0)",
        ),
        "One end ends all rows": (ENDED, "jnp.where(ended.any(), 0.0, gamma * weight)"),
        "The imagined rewards count gamma^t": (IMAGINED, "jnp.where(weight > 0.0, weight / gamma * imagined, 0.0)"),
        "The imagined rewards are not discounted": (IMAGINED, "jnp.where(weight > 0.0, imagined, 0.0)"),
        "Q' counts gamma^H:": (Q_ADDED, "jnp.where(weight > 0.0, weight / gamma * last, 0.0)"),
        "Q' counts gamma^(H + 2)": (Q_ADDED, "jnp.where(weight > 0.0, gamma * weight * last, 0.0)"),
        "Q' counts gamma, whatever H is": (Q_ADDED, "jnp.where(weight > 0.0, gamma * last, 0.0)"),
        "The action in Q' is that of the state before": (
            f"        obs = after\n    {LAST}",
            "        action, obs = mu(obs), after\n    last = q(obs, action if horizon else mu(obs))",
        ),
        "The real reward is there twice": (IMAGINED, IMAGINED.replace("imagined", "(imagined if _ else reward)")),
        "The real reward is left out": ("total, obs = reward, next_obs", "total, obs = 0.0 * reward, next_obs"),
        "H + 1 imagined steps": (FOR, "for _ in range(horizon + 1):"),
        "H is not read: this is the TD target": (FOR, "for _ in range(0):"),
        "each imagined step begins in s'": ("        obs = after\n", ""),
        "0 * nan is nan": (IMAGINED, "weight * imagined"),
        "A gradient flows through y": ("jax.lax.stop_gradient(total", "(total"),
    },
}
