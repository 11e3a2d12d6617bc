"""What a caller may do."""

from __future__ import annotations

import pytest

from celeriac.http.auth import Caller
from celeriac.storage.keys import Scope


@pytest.mark.parametrize("scope", Scope)
def test_a_scope_allows_itself_and_admin_allows_all(scope: Scope) -> None:
    """Nothing else follows from anything."""
    caller = Caller(id="1", credential="the key 'test'", tenant="shop", scopes=frozenset({scope}))
    allowed = {each for each in Scope if caller.allows(each)}

    assert allowed == (set(Scope) if scope is Scope.ADMIN else {scope})
