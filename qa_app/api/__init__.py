"""The services over HTTP: Haystack v1's contract, and what it lacks.

Answers "What may a program ask?". The process listens within a second or two; the store and the reader are opened
behind it, and ``/ready`` says what is still missing. May import ``bootstrap`` and everything below it.
"""
