"""Wrong answers to the exercises of lesson 12: what the verdict says, and the change of the solution."""

UP = "reward + discount * worth[-1]"
EDGES = "zip(rewards[::-1], discounts[::-1], strict=True)"
FOUND = "found = jnp.stack(worth[::-1])"
MEAN = "values[path] + (found - values[path]) / count"
SET = "values.at[path].set(mean), visits.at[path].set(count)"
CHAINED = (
    "go, mean = leaf, [leaf]\n"
    "    for n, reward, discount in zip(path[:-1][::-1], rewards[::-1], discounts[::-1], strict=True):\n"
    "        go = reward + discount * go\n"
    "        go = values[n] + (go - values[n]) / (visits[n] + 1)\n"
    "        mean.append(go)\n"
    "    mean = jnp.stack(mean[::-1])\n"
)
ALLOWED = "jnp.where(legal, prior, 0.0)"
BONUS = "c * share * jnp.sqrt(1.0 + jnp.sum(visits)) / (1.0 + visits)"
Q = "jnp.where(visits > 0, q, value)"
BEST = "jnp.argmax(scores(prior, visits, q, value, legal, c))"
ONE = "visits / jnp.max(visits, axis=-1, keepdims=True)"
POWER = "share ** (1.0 / temperature)"
ZERO = "jnp.where(share == 1.0, 1.0, 0.0)"
SUM = "jnp.sum(weight, axis=-1, keepdims=True)"
SIGN = "-gamma if players == 2 else gamma"
Z = "reward + jnp.where(over, 0.0, discount * after)"
SCAN = "jax.lax.scan(step, last_value, (rewards, ended), reverse=True)[1]"

WRONG = {
    "12.1": {
        "The leaf's value goes up as it is": (UP, "worth[-1]"),
        "The value changes its sign at each edge": (UP, "-worth[-1]"),
        "The discount's sign is lost": (UP, "reward + abs(discount) * worth[-1]"),
        "The sign is turned for one player too": (UP, "reward - abs(discount) * worth[-1]"),
        "The rewards are left out": (UP, "discount * worth[-1]"),
        "The reward is discounted with what follows": (UP, "discount * (reward + worth[-1])"),
        "The edges are taken in the wrong order": (EDGES, "zip(rewards, discounts, strict=True)"),
        "What is behind an edge that ends the game": (UP, "reward + discounts[0] * worth[-1]"),
        "All nodes get the root's G": (FOUND, "found = worth[-1]"),
        "in the order of the way up": (FOUND, "found = jnp.stack(worth)"),
        "A child's new mean goes on up": (f"mean = {MEAN}", CHAINED.rstrip("\n")),
        "The root keeps its value": (SET, "values.at[path[1:]].set(mean[1:]), visits.at[path].set(count)"),
        "The leaf keeps 0": (SET, "values.at[path[:-1]].set(mean[:-1]), visits.at[path].set(count)"),
        "G is divided by N, not by N + 1": (MEAN, "values[path] + (found - values[path]) / (count - 1)"),
        "G is divided by N + 2": (MEAN, "values[path] + (found - values[path]) / (count + 1)"),
        "G takes the place of the mean": (MEAN, "found"),
        "G is added to V": (MEAN, "values[path] + found"),
        "This is the sum of all G": (MEAN, "values[path] * (count - 1) + found"),
        "This is the mean of V and G": (MEAN, "(values[path] + found) / 2.0"),
        "This is the larger of V and G": (MEAN, "jnp.maximum(values[path], found)"),
        "The counts are as they were": (SET, "values.at[path].set(mean), visits"),
        "All nodes are counted": (SET, "values.at[path].set(mean), visits + 1"),
        "The leaf is not counted": (SET, "values.at[path].set(mean), visits.at[path[:-1]].add(1)"),
        "two things": (f"return {SET}", "return values.at[path].set(mean)"),
    },
    "12.2": {
        "The bonus is left out": (f"bonus = {BONUS}", "bonus = 0.0"),
        "c is left out": (BONUS, BONUS.replace("c * ", "")),
        "The prior is left out": (BONUS, BONUS.replace("share * ", "")),
        "The prior is not divided by the sum": ("allowed / jnp.sum(allowed)", "allowed"),
        "by a softmax": ("allowed / jnp.sum(allowed)", "jax.nn.softmax(prior, where=legal)"),
        "N lacks the 1": ("jnp.sqrt(1.0 + jnp.sum(visits))", "jnp.sqrt(jnp.sum(visits))"),
        "N is not under a root": ("jnp.sqrt(1.0 + jnp.sum(visits))", "(1.0 + jnp.sum(visits))"),
        "The root is over N alone": (BONUS, "c * share * jnp.sqrt((1.0 + jnp.sum(visits)) / (1.0 + visits))"),
        "The bonus is divided by N(a)": ("/ (1.0 + visits)", "/ visits"),
        "The bonus is not divided": (" / (1.0 + visits)", ""),
        "That is UCB1's bonus": (BONUS, "c * share * jnp.sqrt(jnp.log(1.0 + jnp.sum(visits)) / (1.0 + visits))"),
        "Q has the wrong sign": ("mean + bonus", "bonus - mean"),
        "is taken as 0": (Q, "jnp.where(visits > 0, q, 0.0)"),
        "is taken as a loss": (Q, "jnp.where(visits > 0, q, -1.0)"),
        "was never tried is nan": (Q, "q"),
        "Q is multiplied by the counts": (Q, "jnp.where(visits > 0, q * visits, value)"),
        "Q is left out": ("mean + bonus", "bonus"),
        "are to be -inf.\n": ("jnp.where(legal, mean + bonus, -jnp.inf)", "mean + bonus + (1.0 - legal)"),
        "A score of 0 is no mask": ("-jnp.inf)", "0.0)"),
        "This is the most visited": (BEST, "jnp.argmax(visits)"),
        "This is the action of least score": (BEST, BEST.replace("jnp.argmax(", "jnp.argmin(")),
        "This is the one of greatest prior": (BEST, "jnp.argmax(prior)"),
    },
    "12.3": {
        "The temperature is not read": (POWER, "share"),
        "The rows do not add up to 1": (f"weight / {SUM}", "weight"),
        "The sum is that of all positions": (SUM, "jnp.sum(weight)"),
        "The sum is that over the positions": (SUM, "jnp.sum(weight, axis=0)"),
        "The counts are raised by 1": (ONE, "(visits + 1) / jnp.max(visits + 1, axis=-1, keepdims=True)"),
        "here the first takes all": (ZERO, "jax.nn.one_hot(jnp.argmax(visits, -1), visits.shape[-1])"),
        "At temperature 0 this is uniform": (ZERO, "jnp.ones_like(share)"),
        "The most visited takes all": (POWER, ZERO),
        "The powers overflow": (ONE, "visits"),
        "make a case of it": (
            f"{POWER} if temperature > 0 else {ZERO}",
            "jax.nn.softmax(jnp.log(visits) / temperature)",
        ),
        "The counts are raised to tau": (POWER, "visits**temperature"),
        "a softmax of N / tau": (POWER, "jax.nn.softmax(visits / temperature)"),
        "The sign does not change": (SIGN, "gamma"),
        "and there is one player": (SIGN, "-gamma"),
        "gamma is left out": (SIGN, "-1.0 if players == 2 else 1.0"),
        "goes on through the end of a game": (Z, "reward + discount * after"),
        "0 * nan is nan": (Z, "reward + (1.0 - over) * discount * after"),
        "v is left out": ("scan(step, last_value,", "scan(step, 0.0 * rewards[0],"),
        "v is added as it is": ("scan(step, last_value,", "scan(step, last_value / discount,"),
        "An end is noticed a step late": (
            "(rewards, ended)",
            "(rewards, jnp.concatenate([jnp.zeros_like(ended[:1]), ended[:-1]]))",
        ),
        "The reward of the step that ends": (Z, "jnp.where(over, 0.0, reward + discount * after)"),
        "seen by whoever moved first": (SCAN, f"{SCAN} * ((-1.0) ** jnp.arange(len(rewards)))[:, None]"),
        "z is seen by the other side": (SCAN, f"-{SCAN}"),
        "These are the rewards alone": (SCAN, "rewards"),
    },
}
