"""Names of what a sweep varies: one grammar for Python, the command line and files."""

from __future__ import annotations

from collections.abc import Collection

from jaxrl_up.config.fields import did_you_mean


def spell(name: str, fields: Collection[str], params: Collection[str], where: str = "") -> str:
    """A name in full, `config.FIELD` or `env.PARAMETER`; given like that, or without the prefix where that is clear.

    `-` is taken for `_`. Raises `ValueError` for a name that is neither, with what was meant, and for one that could be
    both; `where` ends the sentence that it cannot be swept.
    """
    plain = name.replace("-", "_")
    known = [*(f"config.{field}" for field in fields), *(f"env.{param}" for param in params)]
    matches = [full for full in dict.fromkeys((plain, f"config.{plain}", f"env.{plain}")) if full in known]
    if len(matches) > 1:
        raise ValueError(f"{name!r} is a config field and an environment parameter; write {' or '.join(matches)}")
    if not matches:
        short = plain.removeprefix("config.").removeprefix("env.")
        raise ValueError(
            f"{name!r} cannot be swept{where}.{did_you_mean(short, [*fields, *params])} "
            f"Config fields: {', '.join(fields)}. Environment: {', '.join(params) or 'no parameters'}"
        )
    return matches[0]
