"""What `python -m tymbal` does beside the workflow: one module a command.

Each has a docstring, whose first line is its help; `arguments(parser)`, which adds its options; and `run(options)`,
which does it. Nothing heavy is imported before `run`.
"""
