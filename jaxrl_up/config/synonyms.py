"""Other names for what is here: what people type who come from another library, and the name that is meant.

Of Spinning Up, Stable-Baselines3 (and its zoo), CleanRL and PureJaxRL; their tables in docs/coming_from.md say what
differs. Where a word means several things, which of them is there decides: `batch_size` of PPO is `num_minibatches`.
"""

from __future__ import annotations

from collections.abc import Iterable

SYNONYMS = {
    # what is run
    "env_name": "env", "env_id": "env", "environment": "env", "environment_id": "env", "gym_id": "env", "task": "env",
    "eval_env_id": "eval_env", "algorithm": "algo", "algo_name": "algo", "agent": "algo", "model": "algo",
    "exp_name": "name", "experiment_name": "name", "run_name": "name",
    "log_dir": "directory", "logdir": "directory", "outdir": "directory", "out_dir": "directory", "dir": "directory",
    "data_dir": "directory", "save_dir": "directory", "save_path": "directory", "log_folder": "directory",
    "output": "directory out", "output_dir": "directory", "f": "directory",
    "seed": "seeds", "num_seeds": "seeds", "n_seeds": "seeds", "num_runs": "seeds", "seeds": "seed",
    "hyperparams": "recipe", "config": "recipe from", "overwrite": "force", "yes": "force",
    "wrapper": "wrap", "env_wrapper": "wrap",
    "verbose": "progress", "quiet": "no_progress", "silent": "no_progress", "q": "no_progress",
    "track": "wandb", "wandb_project": "wandb", "wandb_project_name": "wandb", "project": "wandb",
    "tensorboard_log": "tensorboard", "tb": "tensorboard", "log_tensorboard": "tensorboard",
    "save_freq": "checkpoint_seconds", "checkpoint_freq": "checkpoint_seconds", "save_every": "checkpoint_seconds",
    "checkpoint_every": "checkpoint_seconds", "save_model": "checkpoint_seconds",
    "eval_freq": "num_evals", "eval_every": "num_evals", "evals": "num_evals", "n_evals": "num_evals",
    "eval_episodes": "num_episodes episodes", "n_eval_episodes": "num_episodes episodes",
    "num_eval_episodes": "num_episodes episodes", "num_test_episodes": "num_episodes episodes",
    "n_episodes": "episodes num_episodes", "num_episodes": "episodes", "episodes": "num_episodes",
    "len": "max_steps", "deterministic": "stochastic", "n_trials": "random", "trials": "random",
    "render_mode": "simulator_view",
    "metric": "y", "column": "y", "value": "y", "xaxis": "x", "x_axis": "x", "window": "smooth",
    # how long
    "timesteps": "total_steps", "total_timesteps": "total_steps", "n_timesteps": "total_steps",
    "num_timesteps": "total_steps", "steps": "total_steps", "env_steps": "total_steps", "num_env_steps": "total_steps",
    "total_env_steps": "total_steps", "max_steps": "total_steps", "frames": "total_steps", "total": "total_steps",
    "num_frames": "total_steps", "n": "total_steps", "max_timesteps": "total_steps", "num_updates": "total_steps",
    "epochs": "num_epochs|total_steps", "epoch": "num_epochs|total_steps", "num_epoch": "num_epochs|total_steps",
    "num_iterations": "iterations|total_steps", "iters": "iterations|total_steps", "iterations": "total_steps",
    # rollouts and gradient steps
    "n_envs": "num_envs", "nenvs": "num_envs", "envs": "num_envs", "num_workers": "num_envs", "cpu": "num_envs",
    "n_steps": "rollout_length n_step", "num_steps": "rollout_length", "steps_per_epoch": "rollout_length",
    "nsteps": "rollout_length", "horizon": "rollout_length", "unroll_length": "rollout_length",
    "n_epochs": "num_epochs total_steps", "update_epochs": "num_epochs", "ppo_epochs": "num_epochs",
    "noptepochs": "num_epochs", "train_pi_iters": "num_epochs", "train_v_iters": "value_steps",
    "n_minibatches": "num_minibatches", "nminibatches": "num_minibatches", "minibatches": "num_minibatches",
    "batch_size": "num_minibatches",
    "minibatch_size": "num_minibatches batch_size", "mini_batch_size": "num_minibatches batch_size",
    "batch": "batch_size num_minibatches", "train_freq": "train_every", "train_frequency": "train_every",
    "update_every": "train_every", "updates_per_step": "gradient_steps", "utd": "gradient_steps",
    "utd_ratio": "gradient_steps", "update_after": "learning_starts", "start_steps": "random_steps learning_starts",
    "start_timesteps": "random_steps learning_starts", "random_timesteps": "random_steps",
    "learn_start": "learning_starts", "warmup_steps": "learning_starts", "warmup": "learning_starts",
    "replay_size": "buffer_size", "memory_size": "buffer_size", "replay_buffer_size": "buffer_size",
    # step sizes
    "lr": "learning_rate", "learningrate": "learning_rate", "pi_lr": "learning_rate", "actor_lr": "learning_rate",
    "policy_lr": "learning_rate", "step_size": "learning_rate", "eta": "learning_rate",
    "vf_lr": "value_learning_rate critic_learning_rate", "value_lr": "value_learning_rate critic_learning_rate",
    "critic_lr": "critic_learning_rate value_learning_rate", "q_lr": "critic_learning_rate",
    "anneal_lr": "anneal_learning_rate", "lr_decay": "anneal_learning_rate", "adam_eps": "adam_epsilon",
    "eps": "adam_epsilon epsilon", "grad_clip": "max_grad_norm", "clip_grad": "max_grad_norm",
    "grad_norm": "max_grad_norm", "max_gradient_norm": "max_grad_norm",
    # returns, losses
    "discount": "gamma", "discount_factor": "gamma", "lam": "gae_lambda td_lambda", "lambda": "gae_lambda td_lambda",
    "lmbda": "gae_lambda td_lambda", "gae_lam": "gae_lambda", "gae": "gae_lambda",
    "clip": "clip_epsilon", "clip_range": "clip_epsilon", "clip_coef": "clip_epsilon", "clip_ratio": "clip_epsilon",
    "clip_eps": "clip_epsilon", "clip_param": "clip_epsilon", "cliprange": "clip_epsilon",
    "clip_range_vf": "value_clip", "clip_vloss": "value_clip", "clip_vf": "value_clip",
    "ent_coef": "entropy_cost alpha", "ent_coeff": "entropy_cost alpha", "entropy_coef": "entropy_cost alpha",
    "entropy_coeff": "entropy_cost alpha", "entropy": "entropy_cost alpha", "ent_weight": "entropy_cost alpha",
    "vf_coef": "value_cost", "vf_coeff": "value_cost", "value_coef": "value_cost", "value_loss_coef": "value_cost",
    "norm_adv": "normalize_advantages", "normalize_advantage": "normalize_advantages",
    "norm_obs": "normalize_observations", "normalize_obs": "normalize_observations",
    "norm_reward": "normalize_returns", "norm_rew": "normalize_returns", "normalize_reward": "normalize_returns",
    "kl_target": "target_kl", "max_kl": "delta target_kl", "damping_coeff": "damping", "cg_damping": "damping",
    "cg_iters": "cg_iterations", "cg_max_steps": "cg_iterations", "backtrack_iters": "backtrack_steps",
    "backtrack_coeff": "backtrack_decay", "line_search_shrinking_factor": "backtrack_decay",
    "line_search_max_iter": "backtrack_steps",
    "rms_prop_eps": "epsilon", "use_rms_prop": "optimizer", "rms_alpha": "rms_decay",
    # off-policy
    "polyak": "tau", "target_update_interval": "target_every", "target_network_frequency": "target_every",
    "target_update_freq": "target_every", "target_update": "target_every",
    "policy_frequency": "policy_delay", "policy_freq": "policy_delay", "actor_update_interval": "policy_delay",
    "policy_noise": "target_noise", "target_policy_noise": "target_noise", "noise_clip": "target_noise_clip",
    "act_noise": "noise_scale", "action_noise": "exploration_noise noise_scale", "expl_noise": "noise_scale",
    "noise_std": "noise_scale", "noise_type": "exploration_noise", "noise": "noise_scale exploration_noise",
    "start_e": "epsilon_start", "end_e": "epsilon_end", "exploration_initial_eps": "epsilon_start",
    "exploration_final_eps": "epsilon_end", "eps_start": "epsilon_start", "eps_end": "epsilon_end",
    "epsilon": "epsilon_end", "eps_decay": "exploration_fraction", "epsilon_decay": "exploration_fraction",
    "exploration_steps": "exploration_fraction", "autotune": "learn_alpha", "auto_alpha": "learn_alpha",
    "automatic_entropy_tuning": "learn_alpha", "double_q": "double", "double_dqn": "double",
    "dueling_dqn": "dueling", "prioritized_replay": "prioritized", "per": "prioritized",
    "prioritised": "prioritized", "per_alpha": "priority_exponent", "per_beta": "importance_exponent",
    "n_atoms": "num_atoms", "atoms": "num_atoms", "n_quantiles": "num_quantiles", "quantiles": "num_quantiles",
    "nstep": "n_step", "multi_step": "n_step", "num_mcts_sims": "simulations", "n_simulations": "simulations",
    "ensemble_size": "members", "num_ensembles": "members", "rollout_horizon": "branch_length",
    # networks
    "hid": "hidden", "hidden_size": "hidden", "hidden_sizes": "hidden", "hidden_dim": "hidden", "l": "hidden",
    "hidden_layers": "hidden", "layers": "hidden", "net_arch": "hidden", "num_hidden": "hidden", "width": "hidden",
    "units": "hidden", "activation_fn": "activation", "act": "activation", "nonlinearity": "activation",
    "ortho_init": "initializer", "init": "initializer", "policy_network": "network", "arch": "network",
    "features_extractor": "network", "log_std_init": "initial_log_std", "share_features": "shared",
    # commands
    "run": "train", "learn": "train", "fit": "train", "eval": "evaluate", "test": "evaluate", "score": "evaluate",
    "test_policy": "watch", "enjoy": "watch", "render": "watch", "show": "watch", "video": "watch", "view": "watch",
    "continue": "resume", "restart": "resume", "grid": "sweep", "tune": "sweep", "search": "sweep", "hpo": "sweep",
    "draw": "plot", "plots": "plot", "compare": "plot", "curves": "plot", "save": "export", "deploy": "export",
    "algorithms": "algos", "environments": "envs", "presets": "recipes", "zoo": "recipes", "exercises": "exercise",
}  # fmt: skip
"""What is typed -> what is meant, the first that is there, or each of several with `|` between; both with `_`."""
_LIMIT = "The time limit is the environment's: --env.max_steps 200, or --wrap time_limit=200"
_DEVICE = "JAX takes the accelerator that it finds; JAX_PLATFORMS=cpu before the command leaves it alone"
_VIDEO = "`jaxrl-up watch RUN` shows an episode afterwards"
ELSEWHERE = {
    "max_ep_len": _LIMIT, "max_episode_steps": _LIMIT, "max_episode_length": _LIMIT, "time_limit": _LIMIT,
    "device": _DEVICE, "cuda": _DEVICE, "gpu": _DEVICE, "num_cpu": _DEVICE,
    "capture_video": _VIDEO, "record_video": _VIDEO, "render_eval": _VIDEO,
    "env_kwargs": "A parameter of the environment is --env.NAME VALUE, as in --env.gravity 12",
    "trained_agent": "A run goes on by `jaxrl-up resume RUN`", "load": "A run goes on by `jaxrl-up resume RUN`",
    "grid": "Many settings at once are `jaxrl-up sweep --grid NAME=V1,V2`",
    "optimize": "Many settings at once are `jaxrl-up sweep`", "optimize_hyperparameters": "See `jaxrl-up sweep`",
}  # fmt: skip
"""What is typed -> where that is said here, which is no option of `train`."""


def meant(name: str, known: Iterable[str]) -> list[str]:
    """The known names, however they are spelled, that another library's `name` may be here, the likeliest first."""
    spelled = {_plain(other): other for other in known}
    for text in SYNONYMS.get(_plain(name), "").split():
        if there := [spelled[other] for other in text.split("|") if other in spelled]:
            return there
    return []


def elsewhere(name: str) -> str:
    """` A sentence` on where another library's option is here; nothing where there is none."""
    return f" {ELSEWHERE[_plain(name)]}" if _plain(name) in ELSEWHERE else ""


def _plain(name: str) -> str:
    return name.lower().lstrip("-").replace("-", "_")
