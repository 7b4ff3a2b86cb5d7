"""One experiment from base evaluation to report."""
