"""The stores of tests/stores."""

from tests.stores.conftest import api, cluster, in_aurora, in_dynamodb, on_server, shared_cluster, stored

__all__ = ["api", "cluster", "in_aurora", "in_dynamodb", "on_server", "shared_cluster", "stored"]
