"""What people type: one module a command, no logic of its own.

Nothing heavy is imported until a command needs it, so that help answers at once. Messages go to standard error, results
to standard output; with ``--json`` standard output is one JSON document. May import every other room, late.
"""
