"""Exercises of the lesson on planning and models."""
