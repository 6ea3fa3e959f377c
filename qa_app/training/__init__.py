"""How does it get better?

Trains models from examples: the loop (batches, steps, checkpoints, validation) knows no task, a module for each task
brings its examples, its loss and its score. Costs hours on a processor for a hundred thousand questions, and three to
five times the model's size in memory and in the checkpoint. May import ``datasets``, ``reading``,
``settings`` and ``errors``.
"""
