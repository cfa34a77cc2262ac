"""The commands of `python -m training`, each a module with `add_parser(subparsers)` and `run(arguments)`."""
