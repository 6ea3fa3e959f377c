"""Answers questions from a folder of documents, in the documents' own words."""

import os

__version__ = "0.1.0"

# Haystack decides about telemetry when it is first imported, and would write to the home folder and call out.
os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"
