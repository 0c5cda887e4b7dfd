"""`python -m relayminer` is the `relayminer` command."""

from relayminer.cli import main

if __name__ == "__main__":
    main()
