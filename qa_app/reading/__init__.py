"""Which words are the answer?

Finds the reader's model (a folder, the hub's cache, the hub, else the one that ships with the application), checks it
before anything of it runs, and marks answers with Haystack's FARMReader. Loading costs seconds and some hundred
megabytes; a question costs about a tenth of a second a passage on one core. The only room that imports torch. May
import ``settings`` and ``errors``.
"""
