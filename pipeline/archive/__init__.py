"""The archive of every event: what its tables and views look like, and questions to ask them.

``catalog.json`` describes the tables and the views, ``views/`` holds the views' SQL. Terraform creates both from the
module's ``generated.json``, which `make generate` makes of them.
"""
