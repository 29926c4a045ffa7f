"""The options that say where policies are evaluated, if not in the environment that is trained on."""

from __future__ import annotations

import argparse
from typing import Any

from jaxrl_up.cli.options import Parser, UsageError, check_env, chosen_wrappers, take_env_options

PREFIX = "--eval-env."


def take_evaluation_options(arguments: list[str]) -> tuple[list[str], dict[str, Any]]:
    """Split `--eval-env.NAME VALUE` off, as `take_env_options` does."""
    return take_env_options(arguments, PREFIX)


def add_evaluation_env(parser: Parser, group: Any) -> None:
    """Add `--eval-env`, `--eval-wrap` and `--eval-env.NAME`; `build_evaluation_env` builds what they say."""
    parser.add(group, "--eval-env", metavar="ENV",
               help="evaluate in this environment (default: the one that is trained on, with its nominal parameters; "
               "none: leave away that of --recipe or --from)")  # fmt: skip
    group.add_argument("--eval-env.NAME", dest="_", metavar="VALUE", default=argparse.SUPPRESS,
                       help="a parameter of it: --eval-env.gravity 12 --eval-env.max_steps 200")  # fmt: skip
    parser.add(group, "--eval-wrap", action="append", metavar="NAME[=VALUE]",
               help="wrap it, as --wrap does (without --eval-env in place of the wrappers "
               "that are trained with)")  # fmt: skip
    parser.set_defaults(evaluation=None)


def build_evaluation_env(options: argparse.Namespace, env_options: dict[str, Any], given: dict[str, Any]) -> Any:
    """The environment to evaluate in; None where nothing says another one than that of `build_env`.

    `env_options` are the parameters that `build_env` was given, and `given` those of `take_evaluation_options`. Without
    `--eval-env` it begins as `--recipe` or `--from` say; where they say nothing of it, as the environment that is
    trained on, without `randomize`. Raises as `build_env` does.
    """
    from jaxrl_up import envs

    said = options.eval_wrap is not None or bool(given)
    if options.eval_env == "none":
        if said:
            raise UsageError("--eval-env none evaluates in what is trained on: leave --eval-wrap and --eval-env.* out")
        return None
    if options.eval_env is not None:
        name, parameters, wrappers = options.eval_env, {}, ()
    elif options.evaluation is not None:
        name, parameters, wrappers = options.evaluation
    elif said:
        name, parameters = options.env, {**options.parameters, **env_options}
        wrappers = [text for text in chosen_wrappers("--wrap", options.wrap, options.wrappers) if not _draws(text)]
    else:
        return None
    check_env(name)
    wrappers = chosen_wrappers("--eval-wrap", options.eval_wrap, wrappers)
    return envs.wrap(envs.make(name, **{**parameters, **given}), wrappers)


def _draws(text: str) -> bool:
    from jaxrl_up import envs

    return envs.parse_wrappers([text])[0].name == "randomize"
