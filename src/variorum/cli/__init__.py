"""Define the `variorum` command."""


def main() -> None:
    """Run the command that the arguments name, by the project's code."""
    from variorum.base.project import run_own_code

    run_own_code()
    from variorum.cli import command

    command.main()
