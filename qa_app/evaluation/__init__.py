"""How good is it?

Has the reader or the whole pipeline answer questions with known answers, and counts: the official SQuAD 2.0 metric,
retrieval, confidence and time. Costs what answering costs; counting itself takes a second for ten thousand questions.
The reader and the pipeline are handed in. May import ``datasets``, ``reading``, ``splitting``, ``stores`` and
``errors``; matplotlib is imported only in :mod:`qa_app.evaluation.plots`.
"""
