"""The two sentences of the application: files into a store, and a question into answers.

Both are Haystack ``Pipeline``s that save to and load from Haystack's YAML; around the first, ingestion keeps a store in
step with folders. May import ``converters``, ``splitting``, ``stores``, ``reading``, ``settings`` and ``errors``.
"""
