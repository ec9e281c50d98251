"""`python -m ar_zoo` is `ar-zoo`."""

from ar_zoo.cli import main

raise SystemExit(main())
