"""How fast is it?

Programs that measure ingestion and how it grows, search, the reader, the start and the API under load, beside stock
Haystack v1 in the same run, on texts of their own making. Every measurement is a process of its own, so that its memory
is its own. ``python -m benchmarks`` runs all and writes ``results/latest.md``, ``results/latest.json`` and the plots;
``python -m benchmarks search --passages 200000`` runs one and prints it.
They import ``qa_app`` and the test server of ``tests``; nothing imports them but their own test.
"""
