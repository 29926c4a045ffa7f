"""Exercises of the lesson on deep Q-learning."""
