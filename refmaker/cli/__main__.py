"""``python -m refmaker.cli``: the command line."""

from refmaker.cli import main

main()
