import pytest

from tests.support.api import published


@pytest.fixture(scope="session")
def api(tmp_path_factory):
    """An app over one small generation; tests only read."""
    with published(tmp_path_factory.mktemp("api")) as running:
        yield running
