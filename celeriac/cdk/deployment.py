"""The settings of a deployment: the class that the code reads, filled with AWS's future values.

A value that CloudFormation knows only later is a token, which is an ordinary string until then.
"""

from __future__ import annotations

from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from celeriac.settings import Settings


class DeploymentSettings(Settings):
    """``Settings`` from arguments alone: the shell that deploys must not leak into what runs."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)
