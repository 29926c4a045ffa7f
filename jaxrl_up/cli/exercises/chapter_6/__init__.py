"""Exercises of the lesson on policy optimisation from VPG to SAC."""
