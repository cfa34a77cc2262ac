"""`python -m training`, the same as `trueband-training`."""

import sys

from training import cli

if __name__ == "__main__":
    sys.exit(cli.main())
