"""Wrong answers to the exercises of lesson 6: what the verdict says, and the change of the solution."""

NEXT_Q = "jnp.minimum(*(q(params, batch.next_obs, next_action) for params in targets.critics))"
STRETCH = "2.0 * (math.log(2.0) - before - jax.nn.softplus(-2.0 * before))"
EXACT = "jnp.exp(old_log_probs) * (old_log_probs - new_log_probs)"
FIT = "values, lam = jnp.zeros_like(rewards), 1.0"
MINIMUM = "jnp.minimum(ratio * advantages, clipped * advantages)"
VARIANCES = "return variance(False) / variance(True)"

WRONG = {
    "6.1": {
        "y is the reward alone": ("jnp.where(batch.terminated, 0.0, next_q)", "next_q"),
        "The target takes the larger": (NEXT_Q, NEXT_Q.replace("minimum", "maximum")),
        "The target takes the first critic alone": (NEXT_Q, "q(targets.critics[0], batch.next_obs, next_action)"),
        "has no noise": ("batch.next_obs) + smoothing", "batch.next_obs)"),
        "The noise is not clipped": ("jnp.clip(noise_scale * noise, -noise_clip, noise_clip)", "noise_scale * noise"),
        "The noise is clipped before": (
            "jnp.clip(noise_scale * noise, -noise_clip, noise_clip)",
            "noise_scale * jnp.clip(noise, -noise_clip, noise_clip)",
        ),
        "is not clipped to [-1, 1]": ("smoothing, -1.0, 1.0)", "smoothing, -9.0, 9.0)"),
        "A gradient flows through y": ("jax.lax.stop_gradient(batch.reward", "(batch.reward"),
        "The sign is turned": ("return -jnp.mean", "return jnp.mean"),
        "These are the actions of the batch": ("mu(actor, batch.obs)", "batch.action"),
        "The actor has no gradient": ("mu(actor, batch.obs)", "jax.lax.stop_gradient(mu(actor, batch.obs))"),
    },
    "6.2": {
        "This is u": ("return jnp.tanh(before)", "return before"),
        "The correction is missing": ("gaussian - stretch", "gaussian"),
        "The correction has the wrong sign": ("gaussian - stretch", "gaussian + stretch"),
        "sum over the last axis.": ("jnp.sum(gaussian - stretch, axis=-1)", "gaussian - stretch"),
        "is -inf here": (STRETCH, "jnp.log(1 - jnp.tanh(before) ** 2)"),
        "A small number such as 1e-06": (STRETCH, "jnp.log(1 - jnp.tanh(before) ** 2 + 1e-6)"),
        "by log_std, where": ("jnp.exp(log_std) * noise", "log_std * noise"),
        "The constant log(2 pi) / 2 is left out": (" - 0.5 * math.log(2.0 * math.pi)", ""),
        "two things": ("return jnp.tanh(before), ", "return "),
    },
    "6.3": {
        "`fit` is not read": ("if not fit:", "if False:"),
        "Without value fitting there is no lambda": (FIT, "values = jnp.zeros_like(rewards)"),
        "jnp.roll brings V(s_0)": ("jnp.append(values[1:], 0.0)", "jnp.roll(values, -1)"),
        "The errors count lambda^l": ("error + gamma * lam * total", "error + (lam if fit else gamma) * total"),
        "V has been added again": (
            "return jnp.stack(found[::-1])",
            "return jnp.stack(found[::-1]) + (values if fit else 0.0)",
        ),
        "This is the maximum": (MINIMUM, MINIMUM.replace("minimum", "maximum")),
        "The minimum is of the ratios": (MINIMUM, "jnp.minimum(ratio, clipped) * advantages"),
        "The minimum with rho A is missing": (MINIMUM, "clipped * advantages"),
        "The ratio is the wrong way round": ("log_prob - old_log_prob", "old_log_prob - log_prob"),
        "divided by that without": (VARIANCES, "return variance(True) / variance(False)"),
        "ratio of standard deviations": (VARIANCES, "return jnp.sqrt(variance(False) / variance(True))"),
        "The mean is not taken off": ("(estimates - probability @ estimates)", "estimates"),
        "the mean that is taken off is not": (
            "(estimates - probability @ estimates)",
            "(estimates - estimates.mean(0))",
        ),
        "not weighed by their probability": (
            "probability, _, _ = episodes(logits)",
            "probability = jnp.full(2**STEPS, 1.0 / 2**STEPS)",
        ),
    },
    "6.4": {
        "exact_kl: this is KL(new || old)": (EXACT, "jnp.exp(new_log_probs) * (new_log_probs - old_log_probs)"),
        "exact_kl: this is -KL(old || new)": (EXACT, "jnp.exp(old_log_probs) * (new_log_probs - old_log_probs)"),
        "the weights are not": (EXACT, "jnp.exp(new_log_probs) * (old_log_probs - new_log_probs)"),
        "k1: the sign is turned": ("return old_log_prob - new_log_prob", "return new_log_prob - old_log_prob"),
        "k3: r is the wrong way round": ("new_log_prob - old_log_prob", "old_log_prob - new_log_prob"),
        "k3: this is k2": ("jnp.exp(log_ratio) - 1.0 - log_ratio", "log_ratio**2 / 2"),
        "k3: the sign of log r": ("- 1.0 - log_ratio", "- 1.0 + log_ratio"),
    },
}
