"""Fetch, once, the data that no wheel carries: ``python -m tlhelpers.data``."""

import sys

from tlhelpers.data._fetch import main

sys.exit(main())
