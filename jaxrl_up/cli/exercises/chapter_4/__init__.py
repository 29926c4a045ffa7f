"""Exercises of the lesson on value fitting."""
