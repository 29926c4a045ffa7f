"""`python -m jaxrl_up` is `jaxrl-up`."""

import sys

from jaxrl_up.cli import main

if __name__ == "__main__":
    sys.exit(main())
