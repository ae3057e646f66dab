"""Define the settings of the report."""

from typing import Literal

from variorum.config.types import Settings, Text, setting


class ReportSettings(Settings):
    """Describe what the page shows beside the measurements."""

    notes: dict[Literal["base", "domain"], Text] = setting(
        {}, "A published result to compare with, for each corpus that has one."
    )
