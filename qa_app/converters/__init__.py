"""What text is in this file?

Answers with an :class:`~qa_app.converters.extraction.Extraction`: the words, where pages and headings start, and what
the file says of itself; or with a reason why the text cannot be had. Content decides the format, the name only helps.

``sniffing`` recognises, ``registry`` lists the formats, one module per format extracts, ``dispatch`` joins the three.
None of these may open, fetch or start anything, and none may import Haystack or torch, because ``cage`` runs them in
child processes that must start fast, stay small and be killed without regret: parsers meet files made to break them.
``nodes`` offers the cage to Haystack pipelines. Cost: a child starts in about 0.1 s, keeps 40 MB, and reads thousands
of small text files a second; PDF pages are slower by two orders of magnitude.

May import ``qa_app.errors`` and, of third parties, one parser per format.
"""
