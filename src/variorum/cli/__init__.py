"""Define the `variorum` command."""


def main() -> None:
    """Run the command that the arguments name."""
    from variorum.cli import command

    command.main()
