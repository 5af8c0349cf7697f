"""`python -m homespun`, where the command itself is not on the path."""

from homespun.cli import main

raise SystemExit(main())
