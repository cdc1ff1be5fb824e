"""The archive of every event: what its table looks like, and questions to ask it.

``table.json`` is the one description of the table and its view. Terraform creates both from it.
"""
