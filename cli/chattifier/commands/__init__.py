"""The subcommands of `chattifier`: thin, they parse options and print."""
