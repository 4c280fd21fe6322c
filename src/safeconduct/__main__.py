"""`python -m safeconduct` is the same as the command `safeconduct`."""

from safeconduct.cli import main

if __name__ == "__main__":
    main()
