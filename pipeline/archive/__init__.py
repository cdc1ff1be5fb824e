"""The archive of every event: the definitions of its tables and views, and questions over them.

``catalog.json`` describes the tables and the views, ``views/`` holds the views' SQL. Terraform creates both from the
module's ``generated.json``, which `make generate` makes of them.
"""
