"""`python -m fassd` is the command `fassd`."""

from fassd.cli.main import main

main()
