"""`python -m rheostat` is `rheostat`."""

from rheostat.cli.main import main

if __name__ == "__main__":
    main()
