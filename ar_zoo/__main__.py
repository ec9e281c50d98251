"""`python -m ar_zoo` is `ar-zoo`."""

from ar_zoo.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
