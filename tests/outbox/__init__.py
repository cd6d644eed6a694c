import pytest

pytest.register_assert_rewrite("tests.outbox.contract", "tests.outbox.contract_leases")
