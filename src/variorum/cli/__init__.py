"""Define the `variorum` command."""


def main() -> None:
    """Run the command that the arguments name, by the project's code."""
    from variorum.base.errors import told_in_one_line
    from variorum.base.project import run_own_code

    run_own_code()
    with told_in_one_line():
        from variorum.cli import command

    command.main()
