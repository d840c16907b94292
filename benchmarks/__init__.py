"""Scripts behind the stored results in ``book/results``."""
