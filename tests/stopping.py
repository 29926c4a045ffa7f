"""Runs that are stopped on their way, as by Ctrl-C."""

import signal

from jaxrl_up.experiments import Reporter


def stop_after(patch, evaluations, number=signal.SIGTERM):
    """Raise a signal once so many evaluations after the first, of the untrained policies, were shown."""
    shown, evaluated = [], Reporter.evaluated

    def count(self, log, seconds):
        evaluated(self, log, seconds)
        shown.append(log)
        if len(shown) == evaluations + (shown[0].env_steps[0] == 0):
            signal.raise_signal(number)

    patch.setattr(Reporter, "evaluated", count)
