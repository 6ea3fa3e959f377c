"""The page: asks the API over HTTP, and imports nothing from qa_app.

``app.py`` is what Streamlit runs; ``views/`` has one script for each page. ``client.py`` asks the API, ``records.py``
checks what it answers, and ``calls.py`` keeps the page alive meanwhile. What documents and people wrote reaches the
browser through ``wording.py`` alone, which lets none of it become HTML or Markdown.
"""
