"""The page: asks the API over HTTP, and imports nothing from qa_app."""
