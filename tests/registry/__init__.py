import pytest

pytest.register_assert_rewrite("tests.registry.contract", "tests.registry.contract_projects")
