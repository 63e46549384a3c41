"""``python -m refmaker``: the command line."""

from refmaker.cli import main

if __name__ == "__main__":
    main()
