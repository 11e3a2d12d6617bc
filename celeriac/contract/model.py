"""``BaseModel``: pydantic's, which refuses fields that it doesn't have."""

from __future__ import annotations

import pydantic


class BaseModel(pydantic.BaseModel):
    """Pydantic's ``BaseModel`` that refuses unknown fields.

    A model that should take them says so: ``model_config = ConfigDict(extra="allow")``.
    """

    model_config = pydantic.ConfigDict(extra="forbid")
