"""Which passages can be cited?

Cuts extracted text into passages of about a hundred words that begin and end with sentences, and knows where each
stands: ``text[start:end] == passage``, its page and the heading above it. Costs about 20 µs a passage for the cutting
and a little more for Haystack's ``Document``. May import ``settings`` and ``errors``.
"""
