"""One file for each actor of docs/threat-model.md, who attacks the local stack with the rights that the actor has."""
