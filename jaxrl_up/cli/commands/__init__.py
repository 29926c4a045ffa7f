"""The commands of `jaxrl-up`, one file each."""
