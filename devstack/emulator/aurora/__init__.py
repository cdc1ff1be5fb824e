"""Aurora clusters on embedded Postgres servers: the server, its TLS front, and the Data API's SQL."""
