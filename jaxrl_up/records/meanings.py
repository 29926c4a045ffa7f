"""What each column of progress.csv is, and what a healthy run shows in it: the one place where that is said.

The report draws columns with it, and the pages of the algorithms take it from here. A name in backquotes is a field, a
column or a symbol. `SHARED` is of every run, the rest of what algorithms report of their learning; a test holds that
every column of every algorithm is here.
"""

from __future__ import annotations

from typing import NamedTuple


class Meaning(NamedTuple):
    """A column in words."""

    what: str
    healthy: str


SHARED = {
    "seed": Meaning("the seed", "all of them reach the last evaluation"),
    "env_steps": Meaning("environment steps of this seed so far", "evenly spaced"),
    "updates": Meaning("updates so far", "evenly spaced"),
    "return": Meaning(
        "mean undiscounted return of the evaluation's episodes",
        "rises above that of random actions, levels off, and the seeds come together",
    ),
    "return_std": Meaning(
        "standard deviation of the return over the evaluation's episodes",
        "falls as episodes come to be alike; what is left is how much starts and chance differ",
    ),
    "length": Meaning(
        "mean length of the evaluation's episodes, environment steps",
        "longer where lasting pays, shorter where a goal ends the episode",
    ),
    "unfinished": Meaning(
        "how many of the evaluation's episodes met the step cap, counted with the return until then", "0"
    ),
    "distinct": Meaning(
        "how many of the evaluation's episodes differ from one another in an action or a reward",
        "as many as there are episodes; fewer where task and policy are deterministic",
    ),
    "train_return": Meaning(
        "mean return of the training episodes that ended since the last row; empty if none did",
        "follows the return, a little below it: it has the exploration in it",
    ),
    "train_episodes": Meaning(
        "how many training episodes ended since the last row", "above 0, and moves against their length"
    ),
    "failed_at": Meaning("the update whose loss or learner was not finite; -1 for none", "-1"),
    "won": Meaning("against an opponent only: share of the evaluation's games that were won", "rises"),
    "drawn": Meaning(
        "against an opponent only: share of the evaluation's games that were drawn",
        "small, or rises where perfect play draws",
    ),
    "lost": Meaning("against an opponent only: share of the evaluation's games that were lost", "falls"),
}
"""The columns that every run has, and those of games, in order."""


WHAT: dict[str, str | dict[str, str]] = {  # of what is learned: what it is, or by algorithm where it differs
    "loss": {
        "": "what must stay finite: the sum of the other losses",
        "a2c": "the number that is minimised: `policy_loss` + `value_cost` x `value_loss` - `entropy_cost` x `entropy`",
        "ppo": "the number that is minimised: `policy_loss` + `value_cost` x `value_loss` - `entropy_cost` x `entropy`",
        "dqn": "the squared or Huber error to the target, weighted where the replay is prioritised",
        "c51": "the cross-entropy of the predicted distribution against the projected target, nats",
        "qr_dqn": "the quantile Huber loss against all quantiles of the target",
        "td3": "what must stay finite: `critic_loss` and, on average, one actor's loss a step",
        "value_fitting": "half the squared error to the targets, in units of V's scale, mean over the update's steps",
        "mpc": "0: nothing is learned",
        "pets": "what must stay finite: `model_loss` + `ending_loss`",
        "alphazero": "the number that is minimised: `policy_loss` + `value_cost` x `value_loss`",
        "mbpo": "what must stay finite of SAC's: `critic_loss` + `actor_loss`",
        "mbve": "what must stay finite of the base's: `critic_loss` + `actor_loss`; with TD3 on average over its steps",
    },
    "policy_loss": {
        "": "the surrogate that the policy descends, in units of the weights: normalised ones unless told otherwise",
        "trpo": "the surrogate -E[ratio x advantage] after the step; before it, the mean advantage, negated: 0",
        "ppo": "the clipped surrogate, negated, mean over minibatches",
        "alphazero": "cross-entropy of the network's policy against the search's weights, nats",
    },
    "value_loss": {
        "": "half the squared error of the critic, in units of its scale; 0.5 where V is 0 everywhere",
        "value_fitting": "the loss before the first of the update's steps: on rows that V has not seen yet",
        "alphazero": "squared error of the value to how games came out, in units of its scale: 1 where wins and losses "
        "are even and V is 0",
    },
    "value_target": "mean target G_t, in units of the discounted return",
    "entropy": {
        "": "mean entropy of the policy, nats; of continuous actions that span [-1, 1], so it may be negative",
        "sac": "mean of -log pi(a|s) over the batch, nats, of actions that span [-1, 1]: it may be negative",
        "sac_discrete": "mean entropy of the policy over the batch, nats; log A is the uniform policy",
        "mbpo": "mean of -log pi(a|s) over the batch, nats, of actions that span [-1, 1]: it may be negative",
    },
    "search_entropy": "mean entropy of the search's weights, nats: the least that `policy_loss` can be",
    "kl": {
        "": "mean KL(old || new) in nats",
        "ppo": "KL(old || new) in nats before each minibatch's step, by `kl_estimate`; the estimate k1 may be negative",
        "trpo": "mean KL(old || new) after the step, exact, nats",
    },
    "clip_fraction": "share of the rows whose probability ratio lies outside 1 ± `clip_epsilon`",
    "stopped": "with `target_kl`: share of the minibatches after which the policy stood still",
    "step_fraction": "part of the full step that the line search took: `backtrack_decay`^j, 0 if none was accepted",
    "q_value": {
        "": "mean value of the actions in the batch, in units of the discounted return",
        "ddpg": "mean value that the critic gives the actions in the batch, in units of the discounted return",
        "td3": "mean value that both critics give the actions in the batch, in units of the discounted return",
        "sac": "mean value that both critics give the actions in the batch: returns with their entropies",
        "sac_discrete": "mean value that both critics give the actions in the batch: returns with their entropies",
        "mbpo": "mean value that both critics give the actions in the batch, imagined ones too: returns with entropies",
        "mbve": "mean value that the critics give real actions and, with `td_k`, imagined ones; in units of the return",
    },
    "td_error": {
        "": "mean absolute error of the value, in units of the return",
        "c51": "mean absolute distance of the means of target and prediction, in units of the return",
        "qr_dqn": "mean absolute distance of the means of target and prediction, in units of the return",
    },
    "critic_loss": {
        "": "squared error to the target, summed over the critics, in squared units of the return",
        "ddpg": "squared error of the critic to its target, in squared units of the return",
        "mbve": "squared error to the targets of H + 1 states (one without `td_k`), mean over them, sum over critics",
    },
    "actor_loss": {
        "": "-Q(s, mu(s)) of the first critic, mean over the batch",
        "sac": "alpha log pi(a|s) - min Q(s, a), mean over the batch",
        "sac_discrete": "sum over the actions of pi (alpha log pi - min Q), mean over the batch",
        "mbpo": "alpha log pi(a|s) - min Q(s, a), mean over the batch, most of it imagined",
    },
    "model_loss": "the model's negative log-likelihood, nats a predicted number, of whitened changes and rewards: "
    "about 1/2 before anything is known, and negative where predictions are sharp",
    "model_error": "mean square of what the model's means miss, in whitened units: 1 for a model that says the mean",
    "ending_loss": "cross-entropy of whether a step ends the episode, nats: log 2 before anything is known",
    "alpha": "the temperature: what a nat of entropy is worth, in units of reward",
}

HEALTHY: dict[str, str | dict[str, str]] = {  # of what is learned: what a healthy run shows, alike
    "loss": {
        "": "finite; it moves with the values and need not fall",
        "vpg": "finite: a surrogate and a regression say nothing together",
        "a2c": "finite: a surrogate and a regression say nothing together",
        "trpo": "finite: a surrogate and a regression say nothing together",
        "ppo": "finite and near 0: the surrogate is 0 before every update",
        "dqn": "rises while values grow, then falls",
        "c51": "falls from log `num_atoms` and stays above 0, at the entropy of the targets",
        "qr_dqn": "rises while values grow, then falls",
        "value_fitting": "falls and levels off, a little below `value_loss`",
        "mpc": "0",
        "pets": "falls with `model_loss`",
        "alphazero": "falls",
    },
    "policy_loss": {
        "": "any sign and no trend: only its gradient means something, at the policy that acted",
        "trpo": "below 0 after every update: the improvement that the surrogate promises",
        "ppo": "a little below 0",
        "alphazero": "falls to just above `search_entropy`",
    },
    "value_loss": {
        "": "falls from below 0.5, which is a V of 0, and may rise again where returns do",
        "value_fitting": "falls and levels off at the variance of the target",
        "alphazero": "falls from below 1 to what chance and random moves decide",
    },
    "value_target": "levels off at the mean value where the policy is",
    "entropy": {
        "": "falls slowly, over the whole run, and is not at its end early",
        "sac": "comes to `target_entropy` and stays there",
        "sac_discrete": "comes to `target_entropy` and stays there",
        "mbpo": "comes to `target_entropy` and stays there",
        "alphazero": "falls as `search_entropy` does",
    },
    "search_entropy": "falls slowly; moves that are as good as one another keep it above 0",
    "kl": {
        "": "0.001 to 0.02, and less as the step size is annealed",
        "trpo": "just below `delta`",
    },
    "clip_fraction": "0.01 to 0.2",
    "stopped": "below a half",
    "step_fraction": "1, or the first powers of `backtrack_decay`",
    "q_value": "comes to the discounted return that is got, and levels off below what rewards can add up to",
    "td_error": "rises while values grow, then falls to a small part of `q_value`",
    "critic_loss": "small beside the square of `q_value`; rises while values grow",
    "actor_loss": "about -`q_value`",
    "model_loss": "falls and goes on falling",
    "model_error": "falls far below 1",
    "ending_loss": "falls to near 0 where endings can be foreseen",
    "alpha": "falls, then settles above 0",
}


def column_meaning(algorithm: str, column: str) -> Meaning | None:
    """What a column of a run of an algorithm is, None where nothing is said of it."""
    if column in SHARED:
        return SHARED[column]
    what, healthy = (_of(table.get(column), algorithm) for table in (WHAT, HEALTHY))
    return None if what is None or healthy is None else Meaning(what, healthy)


def _of(known: str | dict[str, str] | None, algorithm: str) -> str | None:
    return known.get(algorithm, known.get("")) if isinstance(known, dict) else known
