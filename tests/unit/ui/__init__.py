"""The page's own functions."""
