"""Which words are the answer?

Finds the reader's model (a folder, the hub's cache, the hub, else the one that ships with the application), checks it
before anything of it runs, and marks answers with Haystack's FARMReader, whose forward pass an engine runs. Loading
costs seconds and some hundred megabytes, and more the first time; a question costs five to thirty milliseconds a
passage on two cores, by engine. The only room that imports torch. May import ``settings`` and ``errors``.
"""
